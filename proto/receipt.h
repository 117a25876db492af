/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * receipt.h - delivery receipts: SMPP 3.4 appendix B as carriers really write
 * it, and the TLVs that say the same.
 *
 *	id:IIII sub:SSS dlvrd:DDD submit date:YYMMDDhhmm done date:YYMMDDhhmm
 *	stat:DDDDDDD err:E text: ....
 */
#ifndef PROTO_RECEIPT_H
#define PROTO_RECEIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/smpp.h"

struct smpp_pdu;

#define RECEIPT_ABSENT (-1)

/* Views are borrowed from the text or the PDU. */
struct receipt {
	struct bytes id;   /* empty: none */
	struct bytes stat; /* as written: "DELIVRD" */
	int state;         /* enum smpp_state, or RECEIPT_ABSENT: not known */
	struct bytes err;  /* as written: "000", "1F4", "E0045" */
	int sub, dlvrd;    /* or RECEIPT_ABSENT */
	/*
	 * Milliseconds since 1970 as if the carrier's local time, which has no
	 * zone, were UTC; RECEIPT_ABSENT when missing or not a date.
	 */
	int64_t submit_at, done_at;
	struct bytes text; /* of the message, behind "text:" */
	struct bytes body; /* of a PDU: all of the text, behind a header */
	bool wide;         /* it came as UTF-16, and body is UTF-8 */
	/* TLV network_error_code: type (3 = GSM) and value. */
	bool has_network_error;
	uint8_t network_type;
	uint16_t network_error;
	bool intermediate; /* esm_class says so, or the state is not final */
};

/*
 * Reads the text form.  Keys in any order and case, with other names that
 * carriers have for them, in quotes and braces as in JSON, "=" for the colon,
 * spaces around it and around values, quoted values, missing fields.  False
 * when there is neither an id nor a stat: then it is no receipt.
 */
bool receipt_parse(struct receipt *, struct bytes text);

#define RECEIPT_WIDE_MAX 1024 /* octets of UTF-8 made of UTF-16 */

/*
 * A deliver_sm or data_sm.  True when it is a receipt: by esm_class (receipt or
 * intermediate notification), by the TLVs receipted_message_id and
 * message_state together, or, only with by_text, by a text that begins with an
 * id and has a stat that we know.  Where both say something, TLVs win over
 * text.  True with an empty id: a receipt that cannot be matched.
 *
 * data_coding is not believed, because many carriers copy that of the message:
 * a text with NULs at every other octet is UTF-16 and is put into wide, which
 * has to live as long as the receipt; everything else is taken as it is.
 */
bool receipt_from_pdu(struct receipt *, const struct smpp_pdu *, bool by_text,
    uint8_t wide[RECEIPT_WIDE_MAX]);

/*
 * "DELIVRD", "delivered", "UNDELIV", "BUFFRED", ... and the numbers of
 * message_state -> enum smpp_state, or RECEIPT_ABSENT.  Words for "still on its
 * way" (BUFFRED, ENROUTE, ACKED) are ENROUTE or ACCEPTED.
 */
int receipt_state(struct bytes word);
/* No other state will follow. */
bool receipt_state_final(int state);

/*
 * The standard text, for us as an SMSC.  Absent numbers are written as 001 and
 * 000, times as YYMMDDhhmm, text cut to 20 octets.  Works as snprintf does.
 */
size_t receipt_build(const struct receipt *, char *dst, size_t cap);

/* ------------------------------------------------------------ message ids */

/* How a carrier writes its ids; may differ between response and receipt. */
enum receipt_form {
	RECEIPT_STRING = 0, /* as it is */
	RECEIPT_HEX,
	RECEIPT_DEC,
};

#define RECEIPT_ID_MAX 160 /* of a canonical id, with its NUL */

/*
 * One key for the same id in whatever form: spaces around it cut off.  A string
 * stays as it is, zeros and case included; a number becomes decimal digits
 * without leading zeros, up to 128 hex digits; what is no number of that form
 * stays as it is, with HEX in small letters.  Returns the length, 0 for an empty
 * id; ids over RECEIPT_ID_MAX - 1 octets are cut.
 */
size_t receipt_normalise_id(
    enum receipt_form, struct bytes id, char out[RECEIPT_ID_MAX]);

#endif
