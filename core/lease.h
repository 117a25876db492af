/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lease.h - how long this bus may be sure that the cell is its own.
 *
 * The store commits a renewal each time that it is asked to, as long as nobody
 * has taken the cell over; a successor takes it when it has seen no renewal for
 * the whole lease.  So we are sure for a part of it, counted from the moment at
 * which the last renewal that was confirmed was *asked for*: how long the
 * answer took does not matter.  Pure: times are monotonic ms, on a clock
 * that goes on while the machine is suspended.
 */
#ifndef CORE_LEASE_H
#define CORE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

struct lease {
	uint64_t ms;      /* 0: there is no other bus, it never ends */
	uint64_t started; /* of the last renewal that was confirmed, 0: none */
	uint64_t asked;   /* of the last that was asked for */
};

/* Is it time to ask?  Then now is the number of the renewal. */
bool lease_due(const struct lease *, uint64_t now);
void lease_ask(struct lease *, uint64_t now);
/* The renewal that was asked for at this time has been committed. */
void lease_confirm(struct lease *, uint64_t asked);

/* Until when it holds. */
uint64_t lease_until(const struct lease *);

static inline bool
lease_holds(const struct lease *l, uint64_t now)
{
	return l->ms == 0 || now < lease_until(l);
}

/* What is left of it. */
uint64_t lease_left(const struct lease *, uint64_t now);
/* It was ours, and another bus may have the cell by now. */
bool lease_over(const struct lease *, uint64_t now);

#endif
