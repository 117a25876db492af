/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pace.h - how fast a bind may send after the carrier has refused for its
 * limits: no limit until then, afterwards what the carrier has been seen to
 * take in a second, and a little more as long as it does not complain.
 *
 * Halving at each refusal and adding a twentieth a second leaves a third of the
 * carrier's rate unused, and starts from nothing when a burst is refused at
 * once; so the pace remembers what was taken.
 *
 * A carrier of SMPP 5.0 can say beforehand how congested it is, in percent: from
 * 90 on the rate goes down by a tenth a second, below 80 it may grow again.
 *
 * No clock and no I/O; embedded in its bind.
 */
#ifndef BOXES_SMPPC_PACE_H
#define BOXES_SMPPC_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_SLOTS 11 /* of 100 ms: the last second and what is begun */

struct pace {
	double rate;    /* segments a second; 0: no limit */
	double tokens;  /* segments that may go now */
	double ceiling; /* what the carrier took when it last refused */
	bool rough;     /* the ceiling is not known yet: grow fast */
	uint64_t throttled_ms, refilled_ms;
	uint64_t congested_ms; /* told so last; 0: never, or it is over */
	uint64_t eased_ms;     /* the rate was lowered for it last */
	uint64_t slot; /* of now, in 100 ms since the start of the clock */
	uint32_t took[PACE_SLOTS];
};

/* A new session: nothing is known of its limits. */
void pace_reset(struct pace *);
/* The carrier has taken a segment. */
void pace_on_taken(struct pace *, uint64_t now_ms);
/* It has refused one.  True when the rate has changed: what comes within a
 * second of it is the same event. */
bool pace_on_throttled(struct pace *, uint64_t now_ms);
/* congestion_state of an answer.  True when the rate has changed. */
bool pace_on_congestion(struct pace *, unsigned percent, uint64_t now_ms);
/* Tokens and growth for the time that has passed.  True when the limit is
 * gone: there was no refusal for long and the traffic is far below it. */
bool pace_refill(struct pace *, uint64_t now_ms);

static inline bool
pace_may_send(const struct pace *p)
{
	return p->rate <= 0 || p->tokens >= 1;
}

static inline void
pace_spend(struct pace *p)
{
	if (p->rate > 0)
		p->tokens -= 1;
}

/* How many of these may go within the next 100 ms. */
uint32_t pace_soon(const struct pace *, uint32_t room);

#endif
