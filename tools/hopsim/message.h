/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * message.h - what a submit_sm, data_sm or submit_multi says, as borrowed
 * views of the PDU.  Decoded by hand and not through the PDU table: the
 * simulator is a benchmark partner, and a test double that shares its decoder
 * with the suite would share its errors as well.
 */
#ifndef HOPSIM_MESSAGE_H
#define HOPSIM_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"
#include "proto/smpp.h"

struct message_address {
	uint8_t ton, npi;
	struct bytes digits;
};

struct message {
	uint32_t command;
	struct bytes service_type;
	struct message_address src, dst; /* submit_multi: dst is the first */
	uint8_t esm_class, protocol_id, priority, registered, data_coding;
	struct bytes schedule, validity;
	struct bytes body; /* short_message or message_payload, with the UDH */
	struct bytes udh;  /* with its length octet; NULL: none */
	struct bytes sar;  /* ref (2), total, number, as sar_* TLVs said */
	uint8_t sar_octets[4];
	struct message_address dest[SMPP_MAX_DESTS]; /* submit_multi */
	unsigned dests;
};

/* pdu is the whole PDU with its header.  Returns ESME_ROK or why not. */
uint32_t message_decode(struct message *, const uint8_t *pdu, size_t len);

#endif
