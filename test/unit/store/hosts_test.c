/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hosts_test.c - the hosts of a DSN, in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/store/hosts.h"

static void
one_host_is_left_to_the_dsn(void **state)
{
	static const char *const dsn[] = { "host=/run/pg dbname=x", "dbname=x",
		"postgresql://u@h/x", "not a dsn" };
	struct hosts h;

	(void)state;
	for (size_t i = 0; i < sizeof(dsn) / sizeof(*dsn); i++) {
		hosts_init(&h, dsn[i]);
		assert_null(hosts_current(&h));
		assert_true(hosts_pass(&h));
		assert_true(hosts_pass(&h));
		hosts_fini(&h);
	}
}

static void
several_take_turns(void **state)
{
	struct hosts h;

	(void)state;
	hosts_init(&h, "host=a,b,c port=1,2,3 dbname=x connect_timeout=7");
	assert_int_equal(h.connect_timeout, 7);
	for (int round = 0; round < 2; round++) {
		assert_string_equal(hosts_current(&h)->host, "a");
		assert_string_equal(hosts_current(&h)->port, "1");
		assert_null(hosts_current(&h)->hostaddr);
		assert_false(hosts_pass(&h));
		assert_string_equal(hosts_current(&h)->host, "b");
		assert_false(hosts_pass(&h));
		assert_string_equal(hosts_current(&h)->host, "c");
		assert_string_equal(hosts_current(&h)->port, "3");
		assert_true(hosts_pass(&h));
	}
	hosts_fini(&h);
}

static void
what_stands_once_is_for_all(void **state)
{
	struct hosts h;

	(void)state;
	hosts_init(&h, "postgresql://u@/x?host=/a,/b&port=5433");
	assert_string_equal(hosts_current(&h)->port, "5433");
	assert_false(hosts_pass(&h));
	assert_string_equal(hosts_current(&h)->host, "/b");
	assert_string_equal(hosts_current(&h)->port, "5433");
	hosts_fini(&h);

	hosts_init(&h, "hostaddr=10.0.0.1,10.0.0.2 host=x, port=,7");
	assert_string_equal(hosts_current(&h)->host, "x");
	assert_string_equal(hosts_current(&h)->hostaddr, "10.0.0.1");
	assert_null(hosts_current(&h)->port);
	assert_false(hosts_pass(&h));
	assert_null(hosts_current(&h)->host);
	assert_string_equal(hosts_current(&h)->hostaddr, "10.0.0.2");
	assert_string_equal(hosts_current(&h)->port, "7");
	hosts_fini(&h);
}

static void
one_follows_another(void **state)
{
	struct hosts a, b;

	(void)state;
	hosts_init(&a, "host=/a,/b,/c");
	hosts_init(&b, "host=/a,/b,/c");
	assert_false(hosts_follow(&b, &a));
	assert_false(hosts_pass(&a));
	assert_true(hosts_follow(&b, &a));
	assert_string_equal(hosts_current(&b)->host, "/b");
	assert_false(hosts_follow(&b, &a));
	/* Its turns go on from there. */
	assert_false(hosts_pass(&b));
	assert_string_equal(hosts_current(&b)->host, "/c");
	assert_true(hosts_pass(&b));
	hosts_fini(&a);
	hosts_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_host_is_left_to_the_dsn),
		cmocka_unit_test(several_take_turns),
		cmocka_unit_test(what_stands_once_is_for_all),
		cmocka_unit_test(one_follows_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
