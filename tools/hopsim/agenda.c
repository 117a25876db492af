/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * agenda.c - the wheel has one slot per millisecond; an entry that is further
 * away than one turn stays in its slot until its round comes.
 */
#include "tools/hopsim/agenda.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/xalloc.h"

#define AGENDA_SLOTS 16384

static void
agenda_timer_cb(uv_timer_t *timer)
{
	struct agenda *a = timer->data;

	agenda_run(a, clock_mono_ms());
}

void
agenda_init(struct agenda *a, uv_loop_t *loop, agenda_cb *cb,
    void (*after)(void *arg), void *arg)
{
	size_t i;

	a->slot = xcalloc(AGENDA_SLOTS, sizeof(*a->slot));
	for (i = 0; i < AGENDA_SLOTS; i++)
		TAILQ_INIT(&a->slot[i]);
	TAILQ_INIT(&a->due);
	a->now_ms = clock_mono_ms();
	a->count = 0;
	a->cb = cb;
	a->after = after;
	a->arg = arg;
	uv_timer_init(loop, &a->timer);
	a->timer.data = a;
}

void
agenda_fini(struct agenda *a)
{
	uv_close((uv_handle_t *)&a->timer, NULL);
	free(a->slot);
	a->slot = NULL;
}

static struct agenda_list *
agenda_slot(struct agenda *a, uint64_t ms)
{
	if (ms == 0)
		return &a->due;
	return &a->slot[ms % AGENDA_SLOTS];
}

void
agenda_add(struct agenda *a, struct agenda_entry *e, uint64_t due_ms)
{
	if (a->count == 0) {
		a->now_ms = clock_mono_ms();
		uv_timer_start(&a->timer, agenda_timer_cb, 1, 1);
	}
	if (due_ms <= a->now_ms)
		due_ms = a->now_ms + 1;
	e->due_ms = due_ms;
	TAILQ_INSERT_TAIL(agenda_slot(a, due_ms), e, link);
	a->count++;
}

void
agenda_remove(struct agenda *a, struct agenda_entry *e)
{
	TAILQ_REMOVE(agenda_slot(a, e->due_ms), e, link);
	if (--a->count == 0)
		uv_timer_stop(&a->timer);
}

/* Takes what is due first, so that callbacks may add and remove at will. */
static void
agenda_take(struct agenda *a, uint64_t ms, uint64_t now_ms)
{
	struct agenda_list *slot = agenda_slot(a, ms);
	struct agenda_entry *e, *next;

	TAILQ_FOREACH_SAFE(e, slot, link, next) {
		if (e->due_ms > now_ms)
			continue;
		TAILQ_REMOVE(slot, e, link);
		e->due_ms = 0;
		TAILQ_INSERT_TAIL(&a->due, e, link);
	}
}

void
agenda_drain(struct agenda *a)
{
	struct agenda_entry *e;

	for (uint64_t ms = 1; ms <= AGENDA_SLOTS; ms++)
		agenda_take(a, ms, UINT64_MAX);
	while ((e = TAILQ_FIRST(&a->due)) != NULL) {
		agenda_remove(a, e);
		a->cb(e, a->arg);
	}
}

void
agenda_run(struct agenda *a, uint64_t now_ms)
{
	struct agenda_entry *e;
	uint64_t ms;

	if (now_ms <= a->now_ms)
		return;
	ms = a->now_ms + 1;
	if (now_ms - a->now_ms > AGENDA_SLOTS)
		ms = now_ms - AGENDA_SLOTS + 1;
	for (; ms <= now_ms; ms++)
		agenda_take(a, ms, now_ms);
	a->now_ms = now_ms;
	while ((e = TAILQ_FIRST(&a->due)) != NULL) {
		agenda_remove(a, e);
		a->cb(e, a->arg);
	}
	if (a->after != NULL)
		a->after(a->arg);
}
