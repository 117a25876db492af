/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers and senders as people write them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/front/number.h"
#include "common/attr.h"

static void
test_number(void **state)
{
	static const struct {
		const char *in;
		const char *want; /* "": refused */
		size_t bad;
	} row[] = {
		{ "4915112345678", "4915112345678", 0 },
		{ "+4915112345678", "4915112345678", 0 },
		{ "004915112345678", "4915112345678", 0 },
		{ "  +49 (151) 123-456.78", "4915112345678", 0 },
		{ "110", "110", 0 }, { "0", "0", 0 }, { "00", "00", 0 },
		{ "12345678901234567890", "12345678901234567890", 0 },
		{ "123456789012345678901", "", 20 }, { "+", "", 1 },
		{ "", "", 0 }, { " ", "", 1 }, { "++49", "", 1 },
		{ "49+1", "", 2 }, { "49x1", "", 2 }, { "x", "", 0 },
		{ "49,50", "", 2 }, { "49\t1", "", 2 },
		{ "\xd9\xa1\xd9\xa2", "", 0 }, /* other digits */
	};
	uint8_t dst[NUMBER_MAX];
	size_t i, n, bad;

	(void)state;
	for (i = 0; i < ARRAY_LEN(row); i++) {
		bad = 0;
		n = number_read(
		    (const uint8_t *)row[i].in, strlen(row[i].in), dst, &bad);
		assert_int_equal(n, strlen(row[i].want));
		assert_memory_equal(dst, row[i].want, n);
		if (n == 0)
			assert_int_equal(bad, row[i].bad);
	}
	assert_int_equal(
	    number_read((const uint8_t *)"49\0001", 4, dst, &bad), 0);
}

static void
test_sender(void **state)
{
	static const struct {
		const char *in;
		bool want;
	} row[] = {
		{ "HOP", true },
		{ "Hop & Co. +", true },
		{ "twelve chars", false },
		{ "4915112345678", true },
		{ "+4915112345678", true },
		{ "12345678901234567890", true },
		{ "123456789012345678901", false },
		{ "+", true }, /* one printable character */
		{ "", false },
		{ "a\nb", false },
		{ "Gr\xc3\xbc\xc3\x9f", false },
		{ "a\x7f", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(row); i++)
		assert_int_equal(
		    number_sender_valid(bytes_str(row[i].in)), row[i].want);
	assert_false(number_sender_valid(bytes_of("a\0b", 3)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_sender),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
