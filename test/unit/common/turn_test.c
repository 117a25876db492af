/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turn_test.c - work that may wait does not hold up what may not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <uv.h>

#include "common/turn.h"

#define TASKS 100
#define TURNS 50

struct later {
	struct turn_task task;
	unsigned runs;
};

static uv_loop_t loop;
static struct turn *turn;
static struct later later[TASKS];
static struct turn_task work;
static unsigned works;

/* Never done. */
static void
on_later(void *arg)
{
	struct later *l = arg;

	l->runs++;
	turn_add(&l->task);
}

static void
on_work(void *arg)
{
	(void)arg;
	works++;
}

static unsigned
all_runs(void)
{
	unsigned i, n = 0;

	for (i = 0; i < TASKS; i++)
		n += later[i].runs;
	return n;
}

static void
test_few_in_a_turn(void **state)
{
	unsigned i, before, least = TASKS * TURNS, most = 0;

	(void)state;
	uv_loop_init(&loop);
	turn = turn_get(&loop);
	turn_task_init(&work, turn, TURN_WORK, on_work, NULL);
	for (i = 0; i < TASKS; i++) {
		turn_task_init(
		    &later[i].task, turn, TURN_LATER, on_later, &later[i]);
		turn_add(&later[i].task);
	}
	for (i = 0; i < TURNS; i++) {
		before = all_runs();
		turn_add(&work);
		uv_run(&loop, UV_RUN_ONCE);
		assert_int_equal(works, i + 1);
		assert_in_range(all_runs() - before, 1, TASKS / 2);
	}
	/* By turns: none is forgotten, none is before the others twice. */
	for (i = 0; i < TASKS; i++) {
		if (later[i].runs < least)
			least = later[i].runs;
		if (later[i].runs > most)
			most = later[i].runs;
	}
	assert_in_range(least, 1, TURNS);
	assert_in_range(most, least, least + 1);
	for (i = 0; i < TASKS; i++)
		turn_remove(&later[i].task);
	turn_put(turn);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_few_in_a_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
