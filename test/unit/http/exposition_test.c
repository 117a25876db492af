/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Metrics of several processes in one text: one group per metric, no line that
 * is none, no end of memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/http/exposition.h"
#include "common/buf.h"

static const char *
merged(struct exposition *x, struct buf *b)
{
	buf_clear(b);
	exposition_write(x, b);
	return buf_str(b);
}

static void
add(struct exposition *x, const char *s)
{
	exposition_add(x, s, strlen(s));
}

static void
test_merge(void **state)
{
	struct exposition *x = exposition_new(10000);
	struct buf b;

	(void)state;
	buf_init(&b);
	add(x,
	    "# HELP m_total Things.\n# TYPE m_total counter\n"
	    "m_total{box=\"a\"} 1\n"
	    "# HELP h_seconds Time.\n# TYPE h_seconds histogram\n"
	    "h_seconds_bucket{box=\"a\",le=\"+Inf\"} 2\n"
	    "h_seconds_sum{box=\"a\"} 0.5\nh_seconds_count{box=\"a\"} 2\n");
	add(x,
	    "# HELP h_seconds Other words.\n# TYPE h_seconds histogram\n"
	    "h_seconds_sum{box=\"b\"} 1\n"
	    "# HELP m_total Things.\n# TYPE m_total counter\n"
	    "m_total{box=\"b\",x=\"a \\\"}\"} 3 1700000000\n"
	    "alone 7"); /* no line end, no head */
	assert_string_equal(merged(x, &b),
	    "# HELP m_total Things.\n# TYPE m_total counter\n"
	    "m_total{box=\"a\"} 1\n"
	    "m_total{box=\"b\",x=\"a \\\"}\"} 3 1700000000\n"
	    "# HELP h_seconds Time.\n# TYPE h_seconds histogram\n"
	    "h_seconds_bucket{box=\"a\",le=\"+Inf\"} 2\n"
	    "h_seconds_sum{box=\"a\"} 0.5\nh_seconds_count{box=\"a\"} 2\n"
	    "h_seconds_sum{box=\"b\"} 1\n"
	    "alone 7\n");
	assert_int_equal(exposition_dropped(x), 0);
	buf_fini(&b);
	exposition_free(x);
}

static void
test_garbage(void **state)
{
	static const char *const bad[] = { "x", "x ", "x{", "x{a=\"} 1",
		"x{a=\"b\"}1", "1x 2", "{} 1", "x\t1", "x 1\r", "x \x01",
		"x{a=\"\\", "<html>" };
	struct exposition *x = exposition_new(10000);
	struct buf b;
	size_t i;
	char *copy;

	(void)state;
	buf_init(&b);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		copy = malloc(strlen(bad[i]));
		assert_non_null(copy);
		memcpy(copy, bad[i], strlen(bad[i]));
		exposition_add(x, copy, strlen(bad[i]));
		free(copy);
		if (exposition_dropped(x) != i + 1)
			fail_msg("taken: %s", bad[i]);
	}
	add(x, "# a comment\n#\n# HELP\n# TYPE \n# HELP 1 x\n\n\n");
	assert_string_equal(merged(x, &b), "");
	buf_fini(&b);
	exposition_free(x);
}

static void
test_bounded(void **state)
{
	struct exposition *x = exposition_new(1000);
	struct buf b;
	int i;

	(void)state;
	buf_init(&b);
	for (i = 0; i < 1000; i++)
		add(x, "m{box=\"a\"} 1\n");
	merged(x, &b);
	assert_true(buf_len(&b) <= 1000);
	assert_true(exposition_dropped(x) > 900);
	buf_fini(&b);
	exposition_free(x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
