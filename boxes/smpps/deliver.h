/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * deliver.h - reports and messages on their way to a customer: item of DELIVER
 * -> deliver_sm -> Result.
 *
 * Each item is in the hand of exactly one delivery, which is waiting, in the
 * window of one bind, or given back and only its slot left.  The result is
 * given when the ESME has answered, when its time is over, or when the bind
 * has ended; the bus decides whether and when it comes again.
 *
 * Binds take turns; each is sent to in the order of arrival.  The parts of one
 * long message go to the same bind as long as that lives.
 */
#ifndef SMPPS_DELIVER_H
#define SMPPS_DELIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"

struct cell;
struct customer;
struct esme;
struct server;
struct smpp_pdu;
struct window_slot;

void deliver_init(void);
/* For each cell, before anything comes from its bus. */
void deliver_open(struct cell *);
/* An item of DELIVER. */
void deliver_accept(struct cell *, const struct item *);
/* A bind has room: send what waits for its customer. */
void deliver_pump(struct customer *);
/* deliver_pump() is to follow when all answers of one read have been handed in. */
void deliver_on_answer(
    struct esme *, const struct window_slot *, const struct smpp_pdu *);
void deliver_on_lost(struct esme *, const struct window_slot *);
/* The last receiver bind is gone: give back what waits.  Leaves the customer to
 * the caller, to be released. */
void deliver_return_all(struct customer *);
/* Answers that are overdue, and binds that owe too many. */
void deliver_tick(struct server *, uint64_t now_ms);
/* Every ref in hand, for IN_HAND, up to max; returns the number. */
size_t deliver_refs(const struct cell *, uint64_t *ref, size_t max);
/* Results that waited for room in box.c. */
void deliver_flush(struct cell *);
size_t deliver_in_hand(const struct cell *);
/* After the sessions and before the customers. */
void deliver_fini(struct server *);

/* What an answer to deliver_sm means for the item. */
enum deliver_verdict {
	DELIVER_OK = 0,
	DELIVER_THROTTLED, /* later, when the bind takes more */
	DELIVER_RETRY,     /* temporary */
	DELIVER_FAIL,      /* it will never be taken */
};
/* nack: it was a generic_nack. */
enum deliver_verdict deliver_judge(uint32_t status, bool nack);

#endif
