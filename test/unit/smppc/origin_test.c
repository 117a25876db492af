/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "boxes/smppc/origin.h"

static struct bytes
id_of(unsigned n)
{
	static char text[32];

	return bytes_of(text, (size_t)snprintf(text, sizeof(text), "id-%u", n));
}

static void
finds_what_was_put(void **state)
{
	struct origins *o = origins_new();
	unsigned i;

	(void)state;
	assert_int_equal(origins_get(o, id_of(1)), -1);
	for (i = 0; i < 1000; i++)
		origins_put(o, id_of(i), i % 3);
	for (i = 0; i < 1000; i++)
		assert_int_equal(origins_get(o, id_of(i)), i % 3);
	assert_int_equal(origins_get(o, id_of(1000)), -1);
	origins_free(o);
}

/* Carriers begin again with their numbers. */
static void
last_one_counts(void **state)
{
	struct origins *o = origins_new();

	(void)state;
	origins_put(o, id_of(7), 0);
	origins_put(o, id_of(7), 1);
	assert_int_equal(origins_get(o, id_of(7)), 1);
	origins_free(o);
}

static void
oldest_go_first(void **state)
{
	const unsigned all = ORIGIN_SETS * ORIGIN_WAYS;
	struct origins *o = origins_new();
	unsigned i, known = 0;

	(void)state;
	for (i = 0; i < 3 * all; i++)
		origins_put(o, id_of(i), 1);
	/* Sets fill unevenly; of the newest half of them little may be gone. */
	for (i = 3 * all - all / 2; i < 3 * all; i++)
		known += origins_get(o, id_of(i)) == 1;
	assert_in_range(known, all / 2 - all / 8, all / 2);
	for (i = 0, known = 0; i < all; i++)
		known += origins_get(o, id_of(i)) == 1;
	assert_in_range(known, 0, all / 40);
	origins_free(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_was_put),
		cmocka_unit_test(last_one_counts),
		cmocka_unit_test(oldest_go_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
