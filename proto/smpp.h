/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smpp.h - the numbers of SMPP 3.4 and 5.0 and their names.
 */
#ifndef PROTO_SMPP_H
#define PROTO_SMPP_H

#include <stdbool.h>
#include <stdint.h>

#define SMPP_HEADER       16
#define SMPP_MAX_UNBOUND  512   /* longest PDU that is read before a bind */
#define SMPP_MAX_PDU      69632 /* and after it */
#define SMPP_MAX_SHORT    254   /* octets of short_message */
#define SMPP_MAX_DESTS    254   /* of submit_multi */
#define SMPP_RESP         0x80000000u
#define SMPP_MAX_SEQUENCE 0x7fffffffu

enum smpp_command {
	SMPP_GENERIC_NACK = 0x80000000u,
	SMPP_BIND_RECEIVER = 0x00000001,
	SMPP_BIND_RECEIVER_RESP = 0x80000001u,
	SMPP_BIND_TRANSMITTER = 0x00000002,
	SMPP_BIND_TRANSMITTER_RESP = 0x80000002u,
	SMPP_QUERY_SM = 0x00000003,
	SMPP_QUERY_SM_RESP = 0x80000003u,
	SMPP_SUBMIT_SM = 0x00000004,
	SMPP_SUBMIT_SM_RESP = 0x80000004u,
	SMPP_DELIVER_SM = 0x00000005,
	SMPP_DELIVER_SM_RESP = 0x80000005u,
	SMPP_UNBIND = 0x00000006,
	SMPP_UNBIND_RESP = 0x80000006u,
	SMPP_REPLACE_SM = 0x00000007,
	SMPP_REPLACE_SM_RESP = 0x80000007u,
	SMPP_CANCEL_SM = 0x00000008,
	SMPP_CANCEL_SM_RESP = 0x80000008u,
	SMPP_BIND_TRANSCEIVER = 0x00000009,
	SMPP_BIND_TRANSCEIVER_RESP = 0x80000009u,
	SMPP_OUTBIND = 0x0000000b,
	SMPP_ENQUIRE_LINK = 0x00000015,
	SMPP_ENQUIRE_LINK_RESP = 0x80000015u,
	SMPP_SUBMIT_MULTI = 0x00000021,
	SMPP_SUBMIT_MULTI_RESP = 0x80000021u,
	SMPP_ALERT_NOTIFICATION = 0x00000102,
	SMPP_DATA_SM = 0x00000103,
	SMPP_DATA_SM_RESP = 0x80000103u,
	SMPP_BROADCAST_SM = 0x00000111,
	SMPP_BROADCAST_SM_RESP = 0x80000111u,
	SMPP_QUERY_BROADCAST_SM = 0x00000112,
	SMPP_QUERY_BROADCAST_SM_RESP = 0x80000112u,
	SMPP_CANCEL_BROADCAST_SM = 0x00000113,
	SMPP_CANCEL_BROADCAST_SM_RESP = 0x80000113u,
};

/* ESME_ROK, ESME_RTHROTTLED, ... */
enum smpp_status {
#define STATUS(name, value, text) ESME_##name = (value),
#include "proto/smpp_status.def"
};

#define SMPP_NAME_MAX 16 /* of a buffer for a number in place of a name */

/* "ESME_RTHROTTLED"; NULL when the value has no name. */
const char *smpp_status_name(uint32_t status);
/* The name, or "0x00000421" written to buf. */
const char *smpp_status_str(uint32_t status, char buf[SMPP_NAME_MAX]);
/*
 * "ESME_RTHROTTLED", "RTHROTTLED" (any case; also the names of 5.0), "0x58" or
 * "88".  False: none of these.
 */
bool smpp_status_parse(const char *, uint32_t *status);

/* "submit_sm_resp"; NULL for an unknown id. */
const char *smpp_command_name(uint32_t command);
/* "network_error_code"; NULL for an unknown tag. */
const char *smpp_tlv_name(uint16_t tag);

/* ------------------------------------------------------------- addresses */

enum smpp_ton {
	SMPP_TON_UNKNOWN = 0,
	SMPP_TON_INTERNATIONAL = 1,
	SMPP_TON_NATIONAL = 2,
	SMPP_TON_NETWORK = 3,
	SMPP_TON_SUBSCRIBER = 4,
	SMPP_TON_ALPHANUMERIC = 5,
	SMPP_TON_ABBREVIATED = 6,
};

enum smpp_npi {
	SMPP_NPI_UNKNOWN = 0,
	SMPP_NPI_ISDN = 1, /* E.164 */
	SMPP_NPI_DATA = 3,
	SMPP_NPI_TELEX = 4,
	SMPP_NPI_LAND_MOBILE = 6,
	SMPP_NPI_NATIONAL = 8,
	SMPP_NPI_PRIVATE = 9,
	SMPP_NPI_ERMES = 10,
	SMPP_NPI_INTERNET = 14,
	SMPP_NPI_WAP = 18,
};

#define SMPP_DEST_SME  1 /* dest_flag of submit_multi */
#define SMPP_DEST_LIST 2

/* -------------------------------------------------- bits of single fields */

#define SMPP_ESM_MODE         0x03 /* bits 1-0: messaging mode */
#define SMPP_ESM_DATAGRAM     0x01
#define SMPP_ESM_FORWARD      0x02
#define SMPP_ESM_STORE        0x03
#define SMPP_ESM_TYPE         0x3c /* bits 5-2: message type */
#define SMPP_ESM_RECEIPT      0x04 /* SMSC delivery receipt */
#define SMPP_ESM_SME_ACK      0x08
#define SMPP_ESM_USER_ACK     0x10
#define SMPP_ESM_CONV_ABORT   0x18
#define SMPP_ESM_INTERMEDIATE 0x20 /* intermediate delivery notification */
#define SMPP_ESM_UDHI         0x40
#define SMPP_ESM_REPLY_PATH   0x80

#define SMPP_REG_RECEIPT      0x03
#define SMPP_REG_FINAL        0x01 /* receipt for success and failure */
#define SMPP_REG_FAILURE      0x02
#define SMPP_REG_SUCCESS      0x03 /* 5.0 */
#define SMPP_REG_SME_ACK      0x0c
#define SMPP_REG_INTERMEDIATE 0x10

#define SMPP_DC_DEFAULT  0x00 /* whatever the SMSC's alphabet is */
#define SMPP_DC_ASCII    0x01
#define SMPP_DC_OCTET2   0x02
#define SMPP_DC_LATIN1   0x03
#define SMPP_DC_OCTET    0x04
#define SMPP_DC_JIS      0x05
#define SMPP_DC_CYRILLIC 0x06 /* ISO-8859-5 */
#define SMPP_DC_HEBREW   0x07 /* ISO-8859-8 */
#define SMPP_DC_UCS2     0x08

/* message_state: field of query_sm_resp and TLV. */
enum smpp_state {
	SMPP_STATE_SCHEDULED = 0,
	SMPP_STATE_ENROUTE = 1,
	SMPP_STATE_DELIVERED = 2,
	SMPP_STATE_EXPIRED = 3,
	SMPP_STATE_DELETED = 4,
	SMPP_STATE_UNDELIVERABLE = 5,
	SMPP_STATE_ACCEPTED = 6,
	SMPP_STATE_UNKNOWN = 7,
	SMPP_STATE_REJECTED = 8,
	SMPP_STATE_SKIPPED = 9,
};

/* "DELIVRD": the word that receipts use; NULL out of range. */
const char *smpp_state_word(unsigned state);

/* ------------------------------------------------------------------- TLVs */

/* SMPP_TLV_MESSAGE_PAYLOAD, ...: one per TLV row of smpp_pdu.def. */
enum smpp_tag {
#define TLV(tag, NAME, name, kind, min, max, multi) SMPP_TLV_##NAME = (tag),
#include "proto/smpp_pdu.def"
};

#endif
