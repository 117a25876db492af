/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * order.h - what a customer orders, bytes <-> meaning: submit_sm, data_sm,
 * submit_multi and replace_sm -> Envelope, Content and Report.  Pure, but for
 * the ids that it makes.
 *
 * Everything that was asked for is either in these three, refused with the
 * status that belongs to it, or named here:
 *
 * - Text that stands alone becomes UTF-8, for the connector to encode as its
 *   link likes, when that gives back the same octets; what does not stays
 *   octets.  data_coding 0 is the account's charset, and says nothing more than
 *   that: a character that a link's default alphabet lacks goes as UCS-2.  All
 *   others are exact.
 * - Parts that the customer split (UDH, sar_* TLVs) are octets and must fit
 *   into one part; only where data_coding 0 of the account is not GSM 03.38
 *   they are text as well, since no link could make sense of them.
 * - A validity of zero is none.  A time of delivery up to a minute ago is now; more
 *   than seven days ahead is refused.  Validity counts from the submission.
 * - A predefined message together with a text is refused; alone it goes to the
 *   carrier.
 * - A destination of TON 0 or 1 is digits, and '+' or "00" in front is left out.
 *   Where that decides what the number is, TON 0 becomes 1.
 */
#ifndef SMPPS_ORDER_H
#define SMPPS_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boxes/smpps/esme.h"
#include "common/attr.h"
#include "common/uuid.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"
#include "proto/smpp_pdu.h"

#define ORDER_ADDRESS 64 /* octets of an address in UTF-8 */

struct order_opts {
	const char *account, *source, *credential;
	const char *default_from; /* or NULL */
	enum segment_charset charset;
	enum esme_id_form id_form;
	unsigned max_parts; /* 0: no limit */
	uint8_t interface_version;
	uint64_t now_ms; /* wall */
};

/* Borrows from the PDU and the options; not to be copied. */
struct order {
	const struct order_opts *opts;
	Hopyard__V1__Envelope env;
	Hopyard__V1__Origin origin;
	Hopyard__V1__Content content;
	Hopyard__V1__Report report;
	Hopyard__V1__Tlv tlv[SMPP_MAX_TLVS];
	Hopyard__V1__Tlv *tlv_list[SMPP_MAX_TLVS];
	uint8_t id[UUID_LEN];
	char message_id[ESME_ID_MAX]; /* in the form of the customer */
	char client_ref[8];
	uint8_t from[ORDER_ADDRESS], to[ORDER_ADDRESS];
};

/*
 * Reads all but the destination; the order then has an id.  Returns an
 * ESME_status.  The text lives in memory that the next call uses again.
 */
uint32_t order_read(
    struct order *, const struct smpp_pdu *, const struct order_opts *);
/* Sets the destination. */
uint32_t order_to(struct order *, uint8_t ton, uint8_t npi, struct bytes addr);
/* A message more for another destination: a new id in the envelope; the
 * Report keeps message_id. */
void order_again(struct order *);
/* The item for SUBMIT, in memory that the next call uses again.  false when it
 * would not fit into a frame. */
bool order_item(const struct order *, struct item *) WARN_UNUSED;

/* For replace_sm: what it replaces in a message of before.  env, content and
 * report are the old ones, unpacked; changed here. */
uint32_t order_replace(struct order *, const struct smpp_pdu *,
    const struct order_opts *, const struct item *old, struct arena *);

/* A source address as an envelope has it; 0 or ESME_RINVSRCADR.  ton and npi
 * may be changed. */
uint32_t order_from(uint8_t *ton, uint8_t *npi, struct bytes addr,
    uint8_t dst[ORDER_ADDRESS], size_t *len);

#endif
