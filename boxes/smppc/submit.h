/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * submit.h - a message on its way out: item of DELIVER -> parts -> submit_sm
 * -> Result.
 *
 * A message is one allocation that holds the PDUs of all its parts, encoded
 * when it came; only the sequence number is put in when one is written.  It is
 * freed when box.c has its result.
 *
 * In the Result, Part stands for each part that was answered in this attempt,
 * with its command_status: 0 is a part that the SMSC has and that must not be
 * sent again.  Part.smsc_id is the id in the form that receipts are matched by
 * (receipt_normalise_id with the link's msg_id_resp; store and Notice.smsc_id
 * use the same); where the SMSC wrote it in another way, `detail` has that as
 * "raw=1:ABC".  Parts that were written and never answered, and parts that were
 * not written, are not listed: the code tells which.
 *
 * The code is that of the worst part: FAIL, UNKNOWN_OUTCOME, REROUTE (only
 * while no part was accepted, else RETRY), RETRY, THROTTLED, NOT_NOW, OK.
 * After a part that was not accepted the ones behind it are not written.
 */
#ifndef BOXES_SMPPC_SUBMIT_H
#define BOXES_SMPPC_SUBMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "boxes/smppc/bind.h"
#include "proto/frame.h"

struct cell;
struct link;
struct smpp_pdu;
struct window_slot;

/* An item of DELIVER: makes a message of it and puts it in `ready`, or answers
 * at once. */
void submit_accept(struct cell *, const struct item *);
/* Less goes first: 0 an OTP, 1 an alert, 2 the rest. */
unsigned submit_urgency(const struct message *);

/* Write parts of the message on this bind, as many as it takes now. */
void submit_write(struct message *, struct bind *);

void submit_on_answer(struct bind *, const struct window_slot *,
    const struct smpp_pdu *, uint32_t rtt_us);
/* The connection was lost with this part unanswered. */
void submit_on_lost(struct bind *, const struct window_slot *);
/* The connection is gone: what was not written is given back. */
void submit_on_closed(struct bind *);

/* The bus wants this one back: RECALLED if no part was written. */
void submit_recall(struct cell *, uint64_t ref);
/* Give back all that is ready: NOT_NOW. */
void submit_return_all(struct link *, const char *why);
/* Give back what has expired or waited too long behind throttling. */
void submit_sweep(struct link *, uint64_t now_ms);
/* Results that waited for room; true when all are gone. */
bool submit_flush(struct cell *);
/* Every ref in hand, in no order; returns the number. */
size_t submit_refs(const struct cell *, uint64_t *ref, size_t max);
void submit_free_all(struct link *);

/* TON and NPI by the look of an address; a leading '+' is cut off. */
struct submit_address {
	struct bytes digits;
	uint8_t ton, npi;
};
void submit_source(struct submit_address *, struct bytes from);
void submit_dest(struct submit_address *, struct bytes to);
/* registered_delivery for a mask of Kannel's bits. */
uint8_t submit_registered(uint32_t report_mask);

#endif
