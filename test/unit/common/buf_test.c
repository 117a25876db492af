/* SPDX-License-Identifier: BSD-2-Clause */
/* buf_test.c - fill at the end, drop at the front, against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"

static void
empty(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	assert_int_equal(buf_len(&b), 0);
	assert_string_equal(buf_str(&b), "");
	assert_int_equal(buf_len(&b), 0);
	buf_add(&b, NULL, 0);
	buf_drop(&b, 0);
	buf_fini(&b);
}

static void
text(void **state)
{
	char want[1200];
	struct buf b;

	(void)state;
	buf_init(&b);
	buf_addstr(&b, "one");
	buf_addc(&b, ' ');
	buf_printf(&b, "%d %s", 2, "three");
	assert_string_equal(buf_str(&b), "one 2 three");
	buf_clear(&b);
	memset(want, 'x', sizeof(want) - 1);
	want[sizeof(want) - 1] = '\0';
	buf_printf(&b, "<%s>", want); /* longer than what was reserved */
	assert_int_equal(buf_len(&b), sizeof(want) + 1);
	assert_memory_equal(buf_data(&b) + 1, want, sizeof(want) - 1);
	buf_fini(&b);
}

/* Random adds and drops: what comes out is what went in. */
static void
stream(void **state)
{
	uint8_t chunk[700];
	uint64_t in = 0, out = 0;
	struct buf b;
	size_t i, n;
	int round;

	(void)state;
	srand(1);
	buf_init(&b);
	for (round = 0; round < 20000; round++) {
		n = (size_t)rand() % sizeof(chunk);
		for (i = 0; i < n; i++)
			chunk[i] = (uint8_t)((in + i) * 7 >> 3);
		buf_add(&b, chunk, n);
		in += n;
		n = (size_t)rand() % (buf_len(&b) + 1);
		for (i = 0; i < n; i++)
			assert_int_equal(
			    buf_data(&b)[i], (uint8_t)((out + i) * 7 >> 3));
		buf_drop(&b, n);
		out += n;
		assert_int_equal(buf_len(&b), in - out);
	}
	assert_true(b.cap < 1 << 20);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty),
		cmocka_unit_test(text),
		cmocka_unit_test(stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
