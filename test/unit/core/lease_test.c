/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lease_test.c - when a lease holds, and when it is over, from the first
 * question on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/lease.h"

#define LEASE 6000
#define T     1000000ull /* long after the clock began */

static void
one_life(void **state)
{
	struct lease l = { .ms = LEASE };

	(void)state;
	/* Not ours yet; so it cannot end either. */
	lease_ask(&l, T);
	assert_false(lease_holds(&l, T));
	assert_false(lease_over(&l, T));
	assert_false(lease_due(&l, T + LEASE / 6 - 1));
	assert_true(lease_due(&l, T + LEASE / 6));
	/* From when it was asked for, not from when it was answered. */
	lease_confirm(&l, T);
	assert_true(lease_holds(&l, T + 4499));
	assert_int_equal(lease_left(&l, T + 4000), 500);
	assert_false(lease_holds(&l, T + 4500));
	assert_int_equal(lease_left(&l, T + 4500), 0);
	assert_false(lease_over(&l, T + LEASE - 1));
	assert_true(lease_over(&l, T + LEASE));
	/* What was never asked for, or is older, does not count. */
	lease_ask(&l, T + 1000);
	lease_confirm(&l, T + 5000);
	lease_confirm(&l, T - 1);
	assert_false(lease_holds(&l, T + 4500));
	lease_confirm(&l, T + 1000);
	assert_true(lease_holds(&l, T + 5499));
}

static void
none(void **state)
{
	const struct lease l = { 0 };

	(void)state;
	assert_true(lease_holds(&l, T));
	assert_false(lease_over(&l, T));
	assert_false(lease_due(&l, T));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_life),
		cmocka_unit_test(none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
