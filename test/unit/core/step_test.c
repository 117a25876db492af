/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * step_test.c - wall times of records on both sides of steps of the clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/step.h"

#define WALL 1800000000000ull

static void
test_steps(void **unused)
{
	struct steps s = { 0 };

	(void)unused;
	assert_int_equal(steps_look(&s, 1000, WALL + 1000, 0), 0);
	/* A little is no step, and does not get lost. */
	assert_int_equal(steps_look(&s, 2000, WALL + 2200, 5), 0);
	assert_int_equal(steps_look(&s, 3000, WALL + 3300, 6), 300);
	assert_int_equal(
	    steps_look(&s, 4000, WALL + 3604000, 10), 3600000 - 300);
	assert_int_equal(steps_look(&s, 5000, WALL + 5000, 20), -3600000);
	assert_int_equal(steps_since(&s, 1), 0);
	assert_int_equal(steps_since(&s, 6), 0);
	assert_int_equal(steps_since(&s, 7), -300);
	assert_int_equal(steps_since(&s, 10), -300);
	assert_int_equal(steps_since(&s, 11), -3600000);
	assert_int_equal(steps_since(&s, 20), -3600000);
	assert_int_equal(steps_since(&s, 21), 0);
}

/* More steps than are kept: whatever is read too old ends late, never early. */
static void
drift(int64_t ms)
{
	struct steps s = { 0 };
	int64_t want, got, worst = 0;
	uint64_t mono = 1000000, seq = 0;

	steps_look(&s, mono, WALL + mono, 0);
	for (int i = 1; i <= 3 * STEP_MAX; i++) {
		mono += 10000;
		seq += 100;
		steps_look(
		    &s, mono, (uint64_t)((int64_t)(WALL + mono) + i * ms), seq);
	}
	assert_int_equal(s.count, STEP_MAX);
	for (int i = 0; i < 3 * STEP_MAX; i++) {
		want = (3 * STEP_MAX - i) * ms;
		got = steps_since(&s, (uint64_t)i * 100 + 1);
		assert_true(got >= want);
		if (got - want > worst)
			worst = got - want;
		/* What is kept whole is exact. */
		if (i > 2 * STEP_MAX)
			assert_int_equal(got, want);
	}
	assert_true(worst > 0);
}

static void
test_drift(void **unused)
{
	(void)unused;
	drift(1000);
	drift(-1000);
}

/* To and fro: never early either. */
static void
test_merge(void **unused)
{
	static const int64_t ms[][2] = { { 5000, -3000 }, { -5000, 3000 },
		{ 5000, 3000 }, { -5000, -3000 } };
	struct steps s;

	(void)unused;
	for (size_t i = 0; i < 4; i++) {
		memset(&s, 0, sizeof(s));
		s.ahead = 1;
		s.count = STEP_MAX;
		for (size_t k = 0; k < STEP_MAX; k++)
			s.step[k].seq = 10 * (k + 1);
		s.step[0].ms = ms[i][0];
		s.step[1].ms = ms[i][1];
		assert_int_equal(steps_look(&s, 1000, 3001, 9999), 2000);
		assert_true(steps_since(&s, 5) >= ms[i][0] + ms[i][1] + 2000);
		assert_true(steps_since(&s, 15) >= ms[i][1] + 2000);
		assert_int_equal(steps_since(&s, 9999), 2000);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_drift),
		cmocka_unit_test(test_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
