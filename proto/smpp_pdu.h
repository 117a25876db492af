/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smpp_pdu.h - one SMPP PDU, bytes <-> struct.  Driven by smpp_pdu.def.
 *
 * One struct serves all kinds of PDU: the fields that a kind does not have stay
 * zero.  Strings are views without their NUL, borrowed from the input of
 * smpp_decode() or from whoever filled the struct in: nothing is allocated or
 * copied.  For a decoded PDU every string has been checked against its maximum,
 * every length against what follows it.
 */
#ifndef PROTO_SMPP_PDU_H
#define PROTO_SMPP_PDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/smpp.h"

#define SMPP_MAX_TLVS 64

struct smpp_tlv {
	uint16_t tag;
	uint16_t len;
	uint8_t small[4]; /* the value, when p is NULL */
	const uint8_t *p;
};

struct smpp_pdu {
	/* header */
	uint32_t command_length; /* set by decode; encode finds its own */
	uint32_t command_id;
	uint32_t command_status;
	uint32_t sequence;

	/* bind_*, outbind */
	struct bytes system_id, password, system_type, address_range;
	uint8_t interface_version;
	uint8_t addr_ton, addr_npi;

	/* addresses */
	uint8_t source_addr_ton, source_addr_npi;
	uint8_t dest_addr_ton, dest_addr_npi;
	uint8_t esme_addr_ton, esme_addr_npi;
	struct bytes source_addr, destination_addr, esme_addr;

	/* the message and what is known of it */
	uint8_t esm_class;
	uint8_t protocol_id;
	uint8_t priority_flag;
	uint8_t registered_delivery;
	uint8_t replace_if_present;
	uint8_t data_coding;
	uint8_t sm_default_msg_id;
	uint8_t message_state; /* query_sm_resp; see SMPP_TLV_MESSAGE_STATE */
	uint8_t error_code;    /* query_sm_resp */
	struct bytes service_type;
	struct bytes schedule_delivery_time, validity_period, final_date;
	struct bytes short_message; /* its sm_length is .len */
	struct bytes message_id;

	/*
	 * submit_multi(_resp): the list as it is on the wire, without its count;
	 * smpp_dest_next() and smpp_unsuccess_next() walk it, smpp_dest_put() and
	 * smpp_unsuccess_put() make it.
	 */
	struct bytes dests, unsuccess;
	uint8_t number_of_dests, no_unsuccess;

	uint8_t tlvs_dropped; /* decode with SMPP_LENIENT: broken or repeated */
	uint8_t n_tlvs;
	struct smpp_tlv tlv[SMPP_MAX_TLVS];
};

/* Everything zero except the three; tlv[] is left as it is. */
void smpp_pdu_init(
    struct smpp_pdu *, uint32_t command_id, uint32_t status, uint32_t sequence);

/* ---------------------------------------------------------------- framing */

/*
 * The size of the PDU that starts at p, 0 when the whole of it has not come
 * yet, or <0 when its command_length is under 16 or over max: known after the
 * first four octets, and then the connection cannot be used any more.
 */
int smpp_frame(const uint8_t *p, size_t len, size_t max);

/* --------------------------------------------------------------- decoding */

enum smpp_verdict {
	SMPP_OK = 0,
	SMPP_BAD, /* answer with why->status, or close */
};

/* What is wrong with a PDU.  The strings are constants. */
struct smpp_why {
	uint32_t status;    /* command_status to answer with */
	const char *field;  /* "destination_addr", or "" */
	const char *reason; /* "no NUL within the maximum" */
};

/*
 * What a carrier sends is taken with small faults, since it would only come
 * again for ever: a TLV of wrong length or a second one of the same tag is left
 * out and counted in tlvs_dropped, short_message together with message_payload
 * is let through (use short_message), and times may have any length.
 */
#define SMPP_LENIENT 0x01u

/*
 * Decode the len octets at p, which are one PDU as smpp_frame() found it.  With
 * SMPP_BAD `why` is filled in and of the struct only the header is valid (zero
 * when there was none).  A response without a body is good, whatever its
 * status: its message_id is empty then.  Which PDUs are legal in which state,
 * and sequence numbers, are the session's business.
 */
enum smpp_verdict smpp_decode(struct smpp_pdu *, const uint8_t *p, size_t len,
    unsigned flags, struct smpp_why *why);

/*
 * First TLV with this tag.  False when there is none.  The integer forms
 * also want the value to have that size; smpp_tlv_uint() takes 1 to 4 octets.
 */
bool smpp_tlv_get(const struct smpp_pdu *, uint16_t tag, struct bytes *value);
bool smpp_tlv_u8(const struct smpp_pdu *, uint16_t tag, uint8_t *value);
bool smpp_tlv_u16(const struct smpp_pdu *, uint16_t tag, uint16_t *value);
bool smpp_tlv_uint(const struct smpp_pdu *, uint16_t tag, uint32_t *value);
/* As a string: up to its first NUL, if it has one. */
bool smpp_tlv_str(const struct smpp_pdu *, uint16_t tag, struct bytes *value);
/* The value of one entry of tlv[]. */
struct bytes smpp_tlv_value(const struct smpp_tlv *);

/* What the message says: short_message, else message_payload, else empty. */
struct bytes smpp_content(const struct smpp_pdu *);

struct smpp_dest {
	uint8_t flag; /* SMPP_DEST_SME, SMPP_DEST_LIST */
	uint8_t ton, npi;
	struct bytes addr; /* or the name of the list */
};

struct smpp_unsuccess {
	uint8_t ton, npi;
	struct bytes addr;
	uint32_t status;
};

/* Takes the first entry off the list; false when it is empty or malformed. */
bool smpp_dest_next(struct bytes *list, struct smpp_dest *);
bool smpp_unsuccess_next(struct bytes *list, struct smpp_unsuccess *);

/* Copies a view to a C string, cut to size - 1; returns dst. */
char *smpp_cstr(struct bytes, char *dst, size_t size);

/* --------------------------------------------------------------- encoding */

#define SMPP_ENOSPACE (-1) /* dst is too small */
#define SMPP_EFIELD   (-2) /* a field over its maximum, or with a NUL inside */

/*
 * Adds a TLV; the integers are kept in the struct, the octets are borrowed.
 * False when there are SMPP_MAX_TLVS already or len is over 65535.
 */
bool smpp_tlv_add(struct smpp_pdu *, uint16_t tag, const void *, size_t len);
bool smpp_tlv_add_u8(struct smpp_pdu *, uint16_t tag, uint8_t);
bool smpp_tlv_add_u16(struct smpp_pdu *, uint16_t tag, uint16_t);
bool smpp_tlv_add_u32(struct smpp_pdu *, uint16_t tag, uint32_t);
/* The C string and its NUL; s is borrowed. */
bool smpp_tlv_add_str(struct smpp_pdu *, uint16_t tag, const char *s);

/* Appends one entry at *len of dst; false when it does not fit or is bad. */
bool smpp_dest_put(
    uint8_t *dst, size_t cap, size_t *len, const struct smpp_dest *);
bool smpp_unsuccess_put(
    uint8_t *dst, size_t cap, size_t *len, const struct smpp_unsuccess *);

/*
 * Writes the PDU and returns its size, or SMPP_E*.  A response with a status
 * other than ESME_ROK whose fields are all zero or empty, and that has no TLVs,
 * is written without a body, as 3.4 wants it.  The two lists are counted, and
 * strings are checked against the same table as in decode.
 */
int smpp_encode(const struct smpp_pdu *, uint8_t *dst, size_t cap);

/* ---------------------------------------------------------- for people */

#define SMPP_DUMP_TEXT     0x01u /* message texts instead of their length */
#define SMPP_DUMP_PASSWORD 0x02u
#define SMPP_DUMP_NUMBERS  0x04u /* addresses in full, else "49170*****67" */
#define SMPP_DUMP_ALL      0x07u

/*
 * One line per field ("\tdestination_addr: 49170*****67\n"), the first one with
 * command, sequence and status.  Works as snprintf does: returns the
 * length it would like, writes at most cap - 1 octets and a NUL.  Everything
 * unprintable is escaped.
 */
size_t smpp_dump(
    const struct smpp_pdu *, unsigned flags, char *dst, size_t cap);

#endif
