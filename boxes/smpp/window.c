/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smpp/window.h"

#include <assert.h>
#include <stdlib.h>

#include "common/xalloc.h"

#define WINDOW_NONE UINT32_MAX

void
window_init(struct window *w, uint32_t limit)
{
	uint32_t cap;

	assert(limit > 0 && limit <= 1u << 20);
	for (cap = 16; cap < limit * 2; cap *= 2)
		;
	w->slot = xcalloc(cap, sizeof(*w->slot));
	w->mask = cap - 1;
	w->limit = limit;
	w->in_flight = 0;
	w->last_seq = 0;
	w->oldest = w->newest = WINDOW_NONE;
}

void
window_fini(struct window *w)
{
	free(w->slot);
	w->slot = NULL;
}

/*
 * A number whose slot is taken is skipped: one answer that is late must not
 * stop the others, and numbers need not be without gaps.
 */
uint32_t
window_next_seq(struct window *w)
{
	do {
		w->last_seq =
		    w->last_seq == WINDOW_MAX_SEQ ? 1 : w->last_seq + 1;
	} while (w->slot[w->last_seq & w->mask].seq != 0);
	return w->last_seq;
}

uint32_t
window_take(struct window *w, void *what, uint32_t tag, uint64_t now_us)
{
	struct window_slot *s;
	uint32_t seq, i;

	assert(w->in_flight < w->limit);
	seq = window_next_seq(w);
	i = seq & w->mask;
	s = &w->slot[i];
	s->what = what;
	s->tag = tag;
	s->seq = seq;
	s->sent_us = now_us;
	s->prev = w->newest;
	s->next = WINDOW_NONE;
	if (w->newest != WINDOW_NONE)
		w->slot[w->newest].next = i;
	else
		w->oldest = i;
	w->newest = i;
	w->in_flight++;
	return seq;
}

static void
window_remove(struct window *w, struct window_slot *s)
{
	if (s->prev != WINDOW_NONE)
		w->slot[s->prev].next = s->next;
	else
		w->oldest = s->next;
	if (s->next != WINDOW_NONE)
		w->slot[s->next].prev = s->prev;
	else
		w->newest = s->prev;
	s->seq = 0;
	s->what = NULL;
	w->in_flight--;
}

bool
window_answer(struct window *w, uint32_t seq, struct window_slot *out)
{
	struct window_slot *s = &w->slot[seq & w->mask];

	if (seq == 0 || s->seq != seq)
		return false;
	*out = *s;
	window_remove(w, s);
	return true;
}

const struct window_slot *
window_oldest(const struct window *w)
{
	return w->oldest == WINDOW_NONE ? NULL : &w->slot[w->oldest];
}

bool
window_flush(struct window *w, struct window_slot *out)
{
	if (w->oldest == WINDOW_NONE)
		return false;
	*out = w->slot[w->oldest];
	window_remove(w, &w->slot[w->oldest]);
	return true;
}
