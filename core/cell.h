/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cell.h - does this bus own the cell?
 *
 * Part of the broker.  Without bus.lease the store's Opened says so once and
 * for all.  With it the bus renews a lease through its store; as long as that
 * holds it hands out items and has boxes, and when it may be over they are sent
 * to the other bus.  A bus that has lost the cell, or given it up, starts anew
 * and stands by.
 */
#ifndef CORE_CELL_H
#define CORE_CELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hopyard/v1/bus.pb-c.h"

struct broker;
struct buf;
struct frame;
struct json;
struct peer;

enum cell_state {
	CELL_CLOSED = 0, /* not opened by the store; another may have it */
	CELL_OWNED,      /* ours */
	CELL_DOUBTED,    /* the lease is over: another may have it */
	CELL_GIVING,     /* no more work; waits for what is on its way */
	CELL_RELEASING,  /* the store is writing that anybody may take it */
	CELL_GONE,       /* not ours any more; this process starts anew */
};

#define CELL_STANDBYS 8 /* names kept */

struct cell {
	enum cell_state state; /* written only by cell_enter_state() */
	uint64_t since;        /* mono ms, of the state */
	bool ready;            /* daemon_ready() was called */
	bool stopping;         /* ends for good once it is given up */
	uint64_t asker;        /* who is told that it was handed over, or 0 */
	/* What the store last said of the owner while we stand by. */
	bool standby;
	/*
	 * It was taken from a bus that said nothing for long: front ends may be
	 * refusing right now what they had handed over, and what they say of
	 * that is to be here before anything of it leaves.
	 */
	bool overtook;
	char owner[64];
	uint64_t epoch, age_ms;
	/* And who would succeed us. */
	char successor[CELL_STANDBYS][64];
	size_t successors;
};

/* Is it for boxes to connect here now?  Else *why, for a Nak. */
bool cell_serves(const struct broker *, const char **why);
/* Nothing that comes from boxes is taken any more: the successor gets it. */
static inline bool
cell_is_quiet(const struct cell *c)
{
	return c->state >= CELL_GIVING;
}

/* What is left of the lease, for a Welcome; false: there is none. */
bool cell_lease(const struct broker *, uint64_t *ms);
/* The answer to a PING. */
void cell_pong(struct broker *, struct peer *, const struct frame *);

/* Open is about to be sent. */
void cell_open(struct broker *, Hopyard__V1__Open *);
/* The store has opened it, for the first time here. */
void cell_opened(struct broker *);
/* The store says that it is another's.  Does not go on. */
void cell_lost(struct broker *, uint64_t epoch);
void cell_renewed(struct broker *, const Hopyard__V1__Renewed *);
void cell_store_state(struct broker *, const Hopyard__V1__StoreState *);
/* From the timer; returns ms until it wants to be called. */
uint64_t cell_tick(struct broker *);

/*
 * Give the cell to a bus that stands by: NULL, and asker is told through
 * control_answer(); or why not.
 */
const char *cell_hand_over(struct broker *, uint64_t asker);
/* At the end of a drain: true while the cell is still being given up. */
bool cell_give_up(struct broker *);

/* For the status: one word for people, or NULL: nothing to say. */
const char *cell_word(const struct broker *);
void cell_status(const struct broker *, struct json *);
void cell_metrics(const struct broker *, struct buf *);

#endif
