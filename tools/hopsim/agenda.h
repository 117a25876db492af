/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * agenda.h - things that are due at a millisecond: a timing wheel whose
 * entries are embedded in their owners.  Adding and removing cost the same
 * with ten entries and with ten million.
 */
#ifndef HOPSIM_AGENDA_H
#define HOPSIM_AGENDA_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/queue.h"

struct agenda_entry {
	TAILQ_ENTRY(agenda_entry) link;
	unsigned kind;   /* the owner's, to tell its entries apart */
	uint64_t due_ms; /* 0: in the list of the running round */
};
TAILQ_HEAD(agenda_list, agenda_entry);

/* The entry is out of the wheel when this is called. */
typedef void agenda_cb(struct agenda_entry *, void *arg);

struct agenda {
	struct agenda_list *slot;
	struct agenda_list due; /* taken out by the round that is running */
	uint64_t now_ms;        /* all slots up to here have been looked at */
	uint64_t count;
	uv_timer_t timer;
	agenda_cb *cb;
	void (*after)(void *arg); /* once after each round of callbacks */
	void *arg;
};

/* `after` may be NULL. */
void agenda_init(struct agenda *, uv_loop_t *, agenda_cb *,
    void (*after)(void *arg), void *arg);
/* The entries stay their owners'; the handle is closed. */
void agenda_fini(struct agenda *);
void agenda_add(struct agenda *, struct agenda_entry *, uint64_t due_ms);
void agenda_remove(struct agenda *, struct agenda_entry *);
static inline bool
agenda_has(const struct agenda_entry *e)
{
	return TAILQ_LINKED(e, link);
}
/* Everything is due at once, whatever its time; `after` is not called. */
void agenda_drain(struct agenda *);
/* What the timer does, with a time of the caller's (for tests). */
void agenda_run(struct agenda *, uint64_t now_ms);

#endif
