/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * receipt.h - the messages that the SMSC has and whose receipts are awaited,
 * by (link, SMSC id); and the receipts that came before their message was
 * known.  Bounded; what does not fit is looked up in the database (lookup.c).
 *
 * A receipt is matched while its batch is built, so its event row is in the
 * same commit as the record that brought it.  One that can only be matched
 * later (receipt before the submit_sm_resp, restart) becomes an orphan row at
 * once, and its event goes out beside a later record that makes no item
 * itself: so an item's number is always above the horizon when it is written,
 * and no page can have passed it.
 *
 * All parts decide: delivered when all are, else as the first failure says.
 * The first final state wins; UNKNOWN and EXPIRED that the bus set because
 * time was over may be corrected once.
 */
#ifndef STORE_RECEIPT_H
#define STORE_RECEIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct batch;
struct receipts;

struct receipts *receipts_new(size_t max_parts, size_t max_bytes);
void receipts_free(struct receipts *);

uint64_t receipt_key(
    const void *link, size_t link_len, const void *id, size_t id_len);

/*
 * Links of one scope match each other's receipts: their ids are those of one
 * SMSC.  Without a word about it a link is a scope of its own.
 */
void receipts_scope(struct receipts *, const char *link, const char *scope);
void receipts_forget_scopes(struct receipts *);
uint64_t receipts_key(const struct receipts *, const void *link,
    size_t link_len, const void *id, size_t id_len);

/* True for states that end a message. */
static inline bool
receipt_is_final(unsigned state)
{
	return state >= HOPYARD__V1__STATE__DELIVERED;
}

/* ---------------------------------------------- while a batch is built */

/* SUBMITTED_EV, or RETRY_EV after which some parts are out. */
void receipts_submitted(struct receipts *, const Hopyard__V1__Record *,
    const Hopyard__V1__Result *, struct bytes report);
/* The bus made it final. */
void receipts_final(struct receipts *, const Hopyard__V1__Record *);
/* RECEIPT_IN; true when it made an item of this seq. */
bool receipts_in(struct receipts *, struct batch *, uint64_t seq,
    const Hopyard__V1__Record *, const Hopyard__V1__Notice *, struct bytes body,
    struct arena *);
/* A record that made no item: carry one that was matched late. */
void receipts_attach(struct receipts *, struct batch *, uint64_t seq,
    uint64_t at, struct arena *);

/* ------------------------------------------------- from the database */

struct receipt_load {
	uint64_t ref;
	const uint8_t *id;
	const Hopyard__V1__Record *rec; /* of the SUBMITTED event */
	const Hopyard__V1__Result *result;
	struct bytes report; /* NULL: to be fetched when it is needed */
};
void receipts_load_sent(struct receipts *, const struct receipt_load *);
/* An event row of a message that was loaded. */
void receipts_load_event(struct receipts *, uint64_t ref, unsigned part,
    unsigned type, unsigned state, bool by_timer);
/* An orphan of an earlier life of this process. */
void receipts_load_orphan(struct receipts *, uint64_t key, uint64_t seq,
    uint64_t at, struct bytes link, struct bytes body);
bool receipts_knows(const struct receipts *, uint64_t key);

/*
 * While the database is being read, messages that became final meanwhile must
 * not come back to life.
 */
void receipts_loading(struct receipts *, bool);

/* Keys of receipts that found nothing: hands out at most max, once each. */
size_t receipts_misses(struct receipts *, uint64_t *keys, size_t max);
/* Receipts older than this that nobody claimed are given up. */
void receipts_expire(struct receipts *, uint64_t older_than);

struct receipt_counts {
	uint64_t received, matched, repeated, late_final, unmatched, joined;
	uint64_t wrong_number, evicted;
	size_t parts, bytes, orphans, waiting;
};
const struct receipt_counts *receipts_counts(const struct receipts *);

#endif
