/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turn.c - the end of a turn of the loop.
 *
 * One prepare handle per loop runs the tasks just before the loop blocks.  An
 * idle handle is active while there are tasks: so the loop neither blocks nor
 * ends with something left to do, whoever added it and when.
 */
#include "common/turn.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/xalloc.h"

#define TURN_ROUNDS 4
#define TURN_LATERS 8 /* of those that may wait, in one turn */

TAILQ_HEAD(turn_list, turn_task);

struct turn {
	uv_loop_t *loop;
	uv_prepare_t prepare;
	uv_idle_t idle;
	struct turn_list tasks[TURN_WRITE + 1];
	size_t count[TURN_WRITE + 1];
	unsigned users;
	unsigned handles; /* not yet closed by libuv */
	struct turn *next;
};

static struct turn *turns;

static bool
turn_is_empty(const struct turn *t)
{
	return t->count[TURN_LATER] == 0 && t->count[TURN_WORK] == 0 &&
	    t->count[TURN_WRITE] == 0;
}

static void
turn_idle_cb(uv_idle_t *idle)
{
	(void)idle; /* its being active is all that is wanted */
}

static void
turn_run(struct turn *t, enum turn_phase phase, size_t most)
{
	struct turn_task *task;
	size_t n = t->count[phase];

	/* As many as there are now: they may add more, or remove some. */
	for (n = n < most ? n : most; n > 0 && t->count[phase] > 0; n--) {
		task = TAILQ_FIRST(&t->tasks[phase]);
		turn_remove(task);
		task->cb(task->arg);
	}
}

static void
turn_end(struct turn *t)
{
	int round;

	turn_run(t, TURN_LATER, TURN_LATERS);
	for (round = 0; round < TURN_ROUNDS; round++) {
		turn_run(t, TURN_WORK, SIZE_MAX);
		if (t->count[TURN_WORK] > 0 && round < TURN_ROUNDS - 1)
			continue;
		turn_run(t, TURN_WRITE, SIZE_MAX);
		if (t->count[TURN_WORK] == 0 && t->count[TURN_WRITE] == 0) {
			if (t->count[TURN_LATER] == 0)
				uv_idle_stop(&t->idle);
			return;
		}
	}
}

static void
turn_prepare_cb(uv_prepare_t *prepare)
{
	turn_end(prepare->data);
	clock_turn_over(true);
}

struct turn *
turn_get(uv_loop_t *loop)
{
	struct turn *t;

	for (t = turns; t != NULL; t = t->next) {
		if (t->loop == loop) {
			t->users++;
			return t;
		}
	}
	t = xcalloc(1, sizeof(*t));
	t->loop = loop;
	TAILQ_INIT(&t->tasks[TURN_LATER]);
	TAILQ_INIT(&t->tasks[TURN_WORK]);
	TAILQ_INIT(&t->tasks[TURN_WRITE]);
	uv_prepare_init(loop, &t->prepare);
	uv_idle_init(loop, &t->idle);
	t->prepare.data = t->idle.data = t;
	uv_prepare_start(&t->prepare, turn_prepare_cb);
	uv_unref((uv_handle_t *)&t->prepare);
	t->users = 1;
	t->handles = 2;
	t->next = turns;
	turns = t;
	return t;
}

static void
turn_close_cb(uv_handle_t *handle)
{
	struct turn *t = handle->data;

	if (--t->handles == 0)
		free(t);
}

void
turn_put(struct turn *t)
{
	struct turn **p;

	if (--t->users > 0)
		return;
	assert(turn_is_empty(t));
	for (p = &turns; *p != t; p = &(*p)->next)
		;
	*p = t->next;
	clock_turn_over(turns != NULL);
	uv_close((uv_handle_t *)&t->prepare, turn_close_cb);
	uv_close((uv_handle_t *)&t->idle, turn_close_cb);
}

void
turn_task_init(struct turn_task *task, struct turn *t, enum turn_phase phase,
    turn_cb *cb, void *arg)
{
	*task = (struct turn_task){
		.turn = t, .cb = cb, .arg = arg, .phase = phase
	};
}

void
turn_add(struct turn_task *task)
{
	struct turn *t = task->turn;

	if (task->queued)
		return;
	assert(t->users > 0);
	task->queued = true;
	if (turn_is_empty(t))
		uv_idle_start(&t->idle, turn_idle_cb);
	t->count[task->phase]++;
	TAILQ_INSERT_TAIL(&t->tasks[task->phase], task, entry);
}

void
turn_remove(struct turn_task *task)
{
	if (!task->queued)
		return;
	task->queued = false;
	task->turn->count[task->phase]--;
	TAILQ_REMOVE(&task->turn->tasks[task->phase], task, entry);
}
