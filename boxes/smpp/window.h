/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * window.h - requests of one session that have been written and not answered.
 *
 * A ring indexed by the sequence number, so that the request of an answer is
 * found with one look; the slots in use are also linked in the order in which
 * they were written, so that the oldest one is the only timer.  Embedded in
 * its session.
 *
 * Invariants: in_flight <= limit; the ring has at least twice as many slots
 * as limit; a slot is given back only by its answer or by window_flush().
 */
#ifndef BOXES_SMPP_WINDOW_H
#define BOXES_SMPP_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

#define WINDOW_MAX_SEQ 0x7fffffffu /* SMPP 3.4, 3.2 */

struct window_slot {
	void *what;   /* borrowed from whoever took the slot */
	uint32_t tag; /* his too: number of the part */
	uint32_t seq; /* 0: free */
	uint64_t sent_us;
	uint32_t prev, next; /* in order of writing; index or WINDOW_NONE */
};

struct window {
	struct window_slot *slot;
	uint32_t mask;
	uint32_t limit;
	uint32_t in_flight;
	uint32_t last_seq;
	uint32_t oldest, newest;
};

void window_init(struct window *, uint32_t limit);
void window_fini(struct window *);

static inline uint32_t
window_room(const struct window *w)
{
	return w->limit - w->in_flight;
}

/* A sequence number for a request that needs no slot (bind, enquire_link). */
uint32_t window_next_seq(struct window *);

/*
 * Takes a slot and returns its sequence number, which goes into the PDU.
 * There must be room.
 */
uint32_t window_take(
    struct window *, void *what, uint32_t tag, uint64_t now_us);

/* Frees the slot of an answer and copies it; false: no such request. */
bool window_answer(struct window *, uint32_t seq, struct window_slot *);

/* The request that has waited longest, or NULL. */
const struct window_slot *window_oldest(const struct window *);

/* Takes out the oldest, for when the session is gone; false: empty. */
bool window_flush(struct window *, struct window_slot *);

#endif
