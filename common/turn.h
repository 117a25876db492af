/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turn.h - work for the end of this turn of the loop: what many callbacks of
 * one turn have collected is done once, before the loop blocks.
 *
 * TURN_WORK comes before TURN_WRITE, so that what the work sends leaves in the
 * same turn.  A task that adds work again is served in the same turn a few
 * times; after that the loop turns without blocking.
 *
 * TURN_LATER is for the rest of what would take too long: before both, and what
 * is added from there on has to wait until all others have had a turn.  A turn
 * does a few of them only, in their order, and then looks who else has come: a
 * thousand peers that flood us do not make the others wait for all of them.
 */
#ifndef COMMON_TURN_H
#define COMMON_TURN_H

#include <stdbool.h>
#include <uv.h>

#include "common/attr.h"
#include "common/queue.h"

struct turn;

enum turn_phase {
	TURN_LATER = 0,
	TURN_WORK,
	TURN_WRITE,
};

typedef void turn_cb(void *arg);

/* Embedded in its owner, who removes it before it goes. */
struct turn_task {
	struct turn *turn;
	turn_cb *cb;
	void *arg;
	enum turn_phase phase;
	bool queued; /* runs once, however often it is added */
	TAILQ_ENTRY(turn_task) entry;
};

/* The turn of this loop; each get needs a put, or the loop cannot be closed. */
struct turn *turn_get(uv_loop_t *);
void turn_put(struct turn *);

void turn_task_init(
    struct turn_task *, struct turn *, enum turn_phase, turn_cb *, void *arg);
void turn_add(struct turn_task *);
void turn_remove(struct turn_task *);

#endif
