/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spread.h - keeps a bind whose window is full from sending it in one go.
 *
 * A carrier that answers each message after the same time answers a burst with
 * a burst: the whole window is sent at once, and then nothing goes for a round
 * trip, an urgent message neither.  So after the window has been full its
 * messages leave with three quarters of the distance that a window evenly
 * spread would have.  That costs nothing once they are apart, and an idle bind
 * is not held back at all.
 *
 * No clock and no I/O; embedded in its bind.
 */
#ifndef BOXES_SMPPC_SPREAD_H
#define BOXES_SMPPC_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

/* Shorter round trips are short enough to wait for. */
#define SPREAD_RTT_US 40000

struct spread {
	uint64_t next_us; /* when the next message would be due */
	uint64_t full_us; /* when the window was full last; 0: never */
};

/* There was more to send than the window has room for. */
void spread_on_full(struct spread *, uint64_t now_us);
/* Microseconds until the next message may go; 0: now. */
uint64_t spread_wait(const struct spread *, uint32_t rtt_us, uint64_t now_us);
void spread_on_sent(
    struct spread *, uint32_t rtt_us, uint32_t window, uint64_t now_us);
/* How many of these slots may be used soon. */
uint32_t spread_soon(const struct spread *, uint32_t rtt_us, uint32_t window,
    uint32_t room, uint64_t now_us);

#endif
