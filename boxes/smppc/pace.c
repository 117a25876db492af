/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smppc/pace.h"

#include <math.h>
#include <string.h>

#define PACE_SLOT_MS   100
#define PACE_SAME_MS   1000  /* refusals within are one event */
#define PACE_SOON_MS   3000  /* again so soon: we are far above the limit */
#define PACE_FORGET_MS 30000 /* without a refusal */
#define PACE_LATE      0.25  /* seconds that a late turn makes up for */
#define PACE_MIN       1.0
#define PACE_HIGH      90   /* percent of congestion: slower */
#define PACE_LOW       80   /* below: faster again */
#define PACE_STALE_MS  5000 /* what was said of congestion is forgotten */
/* Parts of the rate, per event or per second. */
#define PACE_FIRST  0.5   /* of what was taken, when nothing is known */
#define PACE_AGAIN  0.7   /* of what was taken, when it was far too much */
#define PACE_BACK   0.95  /* of what was taken */
#define PACE_FAST   0.5   /* growth towards the ceiling */
#define PACE_SLOW   0.006 /* near it */
#define PACE_BEYOND 0.05  /* above it: it seems to have moved */
#define PACE_EASE   0.9   /* of the rate, when congested */

void
pace_reset(struct pace *p)
{
	memset(p, 0, sizeof(*p));
}

static void
pace_turn_slots(struct pace *p, uint64_t now_ms)
{
	uint64_t slot = now_ms / PACE_SLOT_MS;

	if (slot - p->slot >= PACE_SLOTS)
		memset(p->took, 0, sizeof(p->took));
	else
		while (p->slot != slot)
			p->took[++p->slot % PACE_SLOTS] = 0;
	p->slot = slot;
}

/* Taken in a second: the last one whose slots are whole, or, if that is more,
 * the one that is not over yet. */
static uint32_t
pace_taken(const struct pace *p)
{
	uint32_t sum = 0, begun, oldest;
	unsigned i;

	for (i = 0; i < PACE_SLOTS; i++)
		sum += p->took[i];
	begun = p->took[p->slot % PACE_SLOTS];
	oldest = p->took[(p->slot + 1) % PACE_SLOTS];
	return sum - (begun < oldest ? begun : oldest);
}

void
pace_on_taken(struct pace *p, uint64_t now_ms)
{
	pace_turn_slots(p, now_ms);
	p->took[p->slot % PACE_SLOTS]++;
}

bool
pace_on_throttled(struct pace *p, uint64_t now_ms)
{
	bool soon;

	if (p->throttled_ms != 0 && now_ms - p->throttled_ms < PACE_SAME_MS)
		return false;
	pace_turn_slots(p, now_ms);
	soon = p->throttled_ms != 0 && now_ms - p->throttled_ms < PACE_SOON_MS;
	p->throttled_ms = now_ms;
	p->ceiling = pace_taken(p);
	if (p->rate <= 0) {
		/* A burst was refused: it says little about a second. */
		p->rough = true;
		p->rate = p->ceiling * PACE_FIRST;
		p->refilled_ms = now_ms;
	} else {
		p->rate =
		    p->ceiling * (soon && !p->rough ? PACE_AGAIN : PACE_BACK);
		p->rough = false;
	}
	if (p->rate < PACE_MIN)
		p->rate = PACE_MIN;
	p->tokens = 0;
	return true;
}

bool
pace_on_congestion(struct pace *p, unsigned percent, uint64_t now_ms)
{
	if (percent < PACE_LOW) {
		p->congested_ms = 0;
		return false;
	}
	/* Between the two it stays as it is, if there is a rate at all. */
	p->congested_ms = now_ms;
	if (percent < PACE_HIGH ||
	    (p->eased_ms != 0 && now_ms - p->eased_ms < PACE_SAME_MS))
		return false;
	p->eased_ms = now_ms;
	pace_turn_slots(p, now_ms);
	if (p->rate <= 0) {
		p->rate = p->ceiling = pace_taken(p);
		p->rough = false;
		p->refilled_ms = now_ms;
		p->tokens = 0;
	}
	p->rate *= PACE_EASE;
	if (p->rate < PACE_MIN)
		p->rate = PACE_MIN;
	return true;
}

static bool
pace_congested(const struct pace *p, uint64_t now_ms)
{
	return p->congested_ms != 0 && now_ms - p->congested_ms < PACE_STALE_MS;
}

static double
pace_growth(const struct pace *p, uint64_t now_ms)
{
	if (pace_congested(p, now_ms))
		return 0;
	/* Only a rate that is used up has shown that it is too low. */
	if (pace_taken(p) < p->rate * 0.5)
		return 0;
	if (p->rough || p->rate < p->ceiling * 0.9)
		return PACE_FAST;
	return p->rate < p->ceiling * 1.02 ? PACE_SLOW : PACE_BEYOND;
}

bool
pace_refill(struct pace *p, uint64_t now_ms)
{
	double dt = (double)(now_ms - p->refilled_ms) / 1000.0, most;

	if (p->rate <= 0)
		return false;
	pace_turn_slots(p, now_ms);
	p->refilled_ms = now_ms;
	if (now_ms - p->throttled_ms > PACE_FORGET_MS &&
	    now_ms - p->eased_ms > PACE_FORGET_MS &&
	    pace_taken(p) < p->rate * 0.5) {
		p->rate = 0;
		return true;
	}
	if (dt > 1)
		dt = 1;
	p->rate += p->rate * pace_growth(p, now_ms) * dt;
	/* A tick's worth: carriers look at short times as well.  More after a
	 * turn that came late, or a busy machine sends half of what it may. */
	most = p->rate * PACE_SLOT_MS / 1000;
	if (dt * 1000 > PACE_SLOT_MS)
		most = p->rate * (dt < PACE_LATE ? dt : PACE_LATE);
	if (most < 1)
		most = 1;
	/* What is left of a token that is not whole yet is not lost: at 19 a
	 * second and ten turns that were every other message. */
	most += p->tokens - floor(p->tokens);
	p->tokens += p->rate * dt;
	if (p->tokens > most)
		p->tokens = most;
	return false;
}

uint32_t
pace_soon(const struct pace *p, uint32_t room)
{
	double soon = p->rate * PACE_SLOT_MS / 1000;

	if (p->rate <= 0)
		return room;
	if (soon < 1)
		soon = 1;
	return (double)room < soon ? room : (uint32_t)soon;
}
