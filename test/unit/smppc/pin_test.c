/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pin_test.c - the bind of a split message is remembered, for ten minutes, in
 * bounded memory, and not mistaken for another's.
 */
#include "boxes/smppc/pin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* Only addresses are looked at. */
static char binds[2];
#define A ((struct bind *)(void *)&binds[0])
#define B ((struct bind *)(void *)&binds[1])

static uint64_t
key(const char *account, const char *from, const char *to,
    enum segment_kind kind, uint16_t ref, uint8_t total)
{
	struct segment_key k = { kind, ref, total, 1 };

	return pin_key(bytes_str(account), bytes_str(from), bytes_str(to), &k);
}

static void
test_key(void **state)
{
	struct segment_key k = { SEGMENT_REF8, 7, 3, 1 };
	uint64_t one = key("a", "b", "c", SEGMENT_REF8, 7, 3);

	(void)state;
	k.seq = 2; /* another part of the same */
	assert_int_equal(
	    pin_key(bytes_str("a"), bytes_str("b"), bytes_str("c"), &k), one);
	assert_int_not_equal(key("x", "b", "c", SEGMENT_REF8, 7, 3), one);
	assert_int_not_equal(key("a", "x", "c", SEGMENT_REF8, 7, 3), one);
	assert_int_not_equal(key("a", "b", "x", SEGMENT_REF8, 7, 3), one);
	assert_int_not_equal(key("ab", "", "c", SEGMENT_REF8, 7, 3), one);
	assert_int_not_equal(key("a", "b", "c", SEGMENT_REF16, 7, 3), one);
	assert_int_not_equal(key("a", "b", "c", SEGMENT_REF8, 8, 3), one);
	assert_int_not_equal(key("a", "b", "c", SEGMENT_REF8, 7, 4), one);
	assert_int_not_equal(key("a", "b", "c", SEGMENT_REF16, 0x700, 3),
	    key("a", "b", "c", SEGMENT_REF16, 0x007, 3));
}

static void
test_remembers(void **state)
{
	struct pins *pins = pins_new();

	(void)state;
	assert_null(pins_get(pins, 1, 0));
	pins_put(pins, 1, A, 1000);
	pins_put(pins, 2, B, 1000);
	assert_ptr_equal(pins_get(pins, 1, 1000), A);
	assert_ptr_equal(pins_get(pins, 2, 1000), B);
	assert_ptr_equal(pins_get(pins, 1, 1000 + PIN_MS - 1), A);
	assert_null(pins_get(pins, 1, 1000 + PIN_MS));
	/* Each part makes it new, also with another bind. */
	pins_put(pins, 1, B, 5000);
	assert_ptr_equal(pins_get(pins, 1, 1000 + PIN_MS), B);
	pins_forget(pins, B);
	assert_null(pins_get(pins, 1, 5000));
	assert_null(pins_get(pins, 2, 1000));
	pins_free(pins);
}

/* The oldest of a full set goes; the others stay. */
static void
test_bounded(void **state)
{
	struct pins *pins = pins_new();
	uint64_t i;

	(void)state;
	for (i = 0; i <= PIN_WAYS; i++)
		pins_put(pins, 5 + i * PIN_SETS, i % 2 ? A : B, 100 + i);
	assert_null(pins_get(pins, 5, 200));
	for (i = 1; i <= PIN_WAYS; i++)
		assert_ptr_equal(
		    pins_get(pins, 5 + i * PIN_SETS, 200), i % 2 ? A : B);
	for (i = 0; i < 100000; i++)
		pins_put(pins, i * 977, A, 1000 + i);
	assert_ptr_equal(pins_get(pins, 99999 * UINT64_C(977), 101000), A);
	pins_free(pins);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_remembers),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
