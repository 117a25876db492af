/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Failures are counted within a window, the tenth refuses, time heals, and
 * nobody can fill the memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/front/offender.h"

static void
test_limit(void **state)
{
	struct offenders o;
	unsigned i;

	(void)state;
	offenders_init(&o);
	assert_false(offender_refused(&o, "a", 1, 0));
	for (i = 1; i < OFFENDER_LIMIT; i++)
		assert_int_equal(offender_add(&o, "a", 1, 1000 + i), i);
	assert_false(offender_refused(&o, "a", 1, 2000));
	assert_int_equal(offender_add(&o, "a", 1, 2000), OFFENDER_LIMIT);
	assert_true(offender_refused(&o, "a", 1, 2001));
	assert_false(offender_refused(&o, "b", 1, 2001));
	assert_true(
	    offender_refused(&o, "a", 1, 2000 + OFFENDER_REFUSED_MS - 1));
	assert_false(offender_refused(&o, "a", 1, 2000 + OFFENDER_REFUSED_MS));
	/* Then it begins anew. */
	assert_int_equal(
	    offender_add(&o, "a", 1, 2000 + OFFENDER_REFUSED_MS), 1);
	offenders_fini(&o);
}

static void
test_window(void **state)
{
	struct offenders o;

	(void)state;
	offenders_init(&o);
	assert_int_equal(offender_add(&o, "a", 1, 1), 1);
	assert_int_equal(offender_add(&o, "a", 1, OFFENDER_WINDOW_MS), 2);
	assert_int_equal(
	    offender_add(&o, "a", 1, 3 * (uint64_t)OFFENDER_WINDOW_MS), 1);
	offenders_fini(&o);
}

static void
test_bounded(void **state)
{
	char key[OFFENDER_KEY + 20];
	struct offenders o;
	uint32_t i;

	(void)state;
	offenders_init(&o);
	for (i = 0; i < OFFENDER_MAX + 100; i++)
		offender_add(&o, &i, sizeof(i), 1);
	assert_int_equal(o.count, OFFENDER_MAX);
	i = 0; /* the oldest has gone */
	assert_int_equal(offender_add(&o, &i, sizeof(i), 1), 1);
	i = OFFENDER_MAX + 99;
	assert_int_equal(offender_add(&o, &i, sizeof(i), 1), 2);
	/* A long key is cut, not refused. */
	memset(key, 'x', sizeof(key));
	assert_int_equal(offender_add(&o, key, sizeof(key), 1), 1);
	assert_int_equal(offender_add(&o, key, OFFENDER_KEY, 1), 2);
	offenders_fini(&o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
