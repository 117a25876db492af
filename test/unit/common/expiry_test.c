/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * expiry_test.c - the gauge of a certificate's remaining life, and that each
 * warning comes once.
 */
#include "common/expiry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/attr.h"
#include "common/buf.h"

#define DAY   86400
#define START 1700000000

static void
test_gauge(void **state)
{
	static const struct {
		int64_t left;
		uint64_t want;
		unsigned told; /* warnings so far */
	} rows[] = {
		{ 31 * DAY, 31 * DAY, 0 },
		{ 30 * DAY, 30 * DAY, 1 },
		{ 30 * DAY - 5, 30 * DAY - 5, 1 },
		{ 14 * DAY, 14 * DAY, 2 },
		{ 2 * DAY, 2 * DAY, 3 },
		{ DAY / 2, DAY / 2, 4 },
		{ 1, 1, 4 },
		{ 0, 0, 5 },
		{ -3 * DAY, 0, 5 },
	};
	struct expiry e;
	size_t i;

	(void)state;
	expiry_init(&e, "test_expiry_seconds", NULL);
	e.at = START;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		expiry_tick(&e, START - rows[i].left);
		assert_int_equal(e.gauge.value, rows[i].want);
		assert_int_equal(e.told, rows[i].told);
	}
	expiry_fini(&e);
}

/* Without a certificate there is no figure that could be read as one. */
static void
test_none(void **state)
{
	struct expiry e;
	struct buf out;

	(void)state;
	buf_init(&out);
	expiry_init(&e, "test_expiry_seconds", NULL);
	expiry_set(&e, NULL, START);
	stats_prometheus(&out, "test");
	assert_null(strstr(buf_str(&out), "test_expiry_seconds"));
	assert_int_equal(e.told, 0);
	expiry_fini(&e);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gauge),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
