/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smppc/spread.h"

#define SPREAD_SLACK_US 10000  /* messages of so long may go together */
#define SPREAD_SOON_US  20000  /* and those of so long be at hand */
#define SPREAD_MOST_US  200000 /* no window is spread over more */

static uint64_t
spread_gap(uint32_t rtt_us, uint32_t window)
{
	uint64_t over = rtt_us < SPREAD_MOST_US ? rtt_us : SPREAD_MOST_US;

	return over * 3 / 4 / window;
}

/* Was the window full in this round trip or the one before? */
static bool
spread_is_on(const struct spread *s, uint32_t rtt_us, uint64_t now_us)
{
	return rtt_us >= SPREAD_RTT_US && s->full_us != 0 &&
	    now_us - s->full_us < 2 * (uint64_t)rtt_us;
}

void
spread_on_full(struct spread *s, uint64_t now_us)
{
	s->full_us = now_us;
}

uint64_t
spread_wait(const struct spread *s, uint32_t rtt_us, uint64_t now_us)
{
	if (!spread_is_on(s, rtt_us, now_us) ||
	    s->next_us <= now_us + SPREAD_SLACK_US)
		return 0;
	return s->next_us - SPREAD_SLACK_US - now_us;
}

void
spread_on_sent(
    struct spread *s, uint32_t rtt_us, uint32_t window, uint64_t now_us)
{
	if (s->next_us < now_us)
		s->next_us = now_us;
	s->next_us += spread_gap(rtt_us, window);
}

uint32_t
spread_soon(const struct spread *s, uint32_t rtt_us, uint32_t window,
    uint32_t room, uint64_t now_us)
{
	uint64_t soon;

	if (!spread_is_on(s, rtt_us, now_us))
		return room;
	soon = SPREAD_SOON_US / (spread_gap(rtt_us, window) + 1) + 1;
	return room < soon ? room : (uint32_t)soon;
}
