/* SPDX-License-Identifier: BSD-2-Clause */
/* message_id in all its forms, there and back, and what is none of ours. */
#include "boxes/smpps/esme.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/attr.h"
#include "common/uuid.h"

static void
check_round_trip(const uint8_t id[16])
{
	static const enum esme_id_form forms[] = { ESME_ID_UUID, ESME_ID_HEX,
		ESME_ID_DEC };
	char text[ESME_ID_MAX], *exact;
	uint8_t back[16];
	size_t i, len;

	for (i = 0; i < ARRAY_LEN(forms); i++) {
		assert_ptr_equal(esme_write_id(forms[i], id, text), text);
		len = strlen(text);
		assert_true(len < ESME_ID_MAX);
		/* In memory of just that size: nobody reads on. */
		exact = malloc(len);
		assert_non_null(exact);
		memcpy(exact, text, len);
		memset(back, 0xaa, sizeof(back));
		assert_true(esme_read_id(bytes_of(exact, len), back));
		assert_memory_equal(back, id, 16);
		free(exact);
	}
}

static void
test_round_trip(void **state UNUSED)
{
	static const uint8_t all[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint8_t id[16];
	int i;

	for (i = 0; i < 10000; i++) {
		uuid_new(id);
		check_round_trip(id);
	}
	check_round_trip(all);
	/* The first and the last moment whose ids have 37 or 38 digits. */
	uuid_lowest(UINT64_C(1000000000000), id);
	check_round_trip(id);
	uuid_lowest(UINT64_C(0xffffffffffff), id);
	check_round_trip(id);
}

static void
test_forms(void **state UNUSED)
{
	static const uint8_t id[16] = { 0x01, 0xa2, 0x13, 0x9b, 0x20, 0xe2,
		0x70, 0xd2, 0xbd, 0x80, 0x7d, 0xf5, 0x1b, 0x42, 0x5c, 0xae };
	static const uint8_t one[16] = { [15] = 1 };
	static const uint8_t zero[16] = { 0 };
	static const uint8_t all[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	char text[ESME_ID_MAX];

	assert_string_equal(esme_write_id(ESME_ID_UUID, id, text),
	    "01a2139b-20e2-70d2-bd80-7df51b425cae");
	assert_string_equal(esme_write_id(ESME_ID_HEX, id, text),
	    "01a2139b20e270d2bd807df51b425cae");
	/* From Python: int("01a2...", 16) */
	assert_string_equal(esme_write_id(ESME_ID_DEC, id, text),
	    "2170777743192487383469467296512236718");
	assert_string_equal(esme_write_id(ESME_ID_DEC, one, text), "1");
	assert_string_equal(esme_write_id(ESME_ID_DEC, zero, text), "0");
	assert_string_equal(esme_write_id(ESME_ID_DEC, all, text),
	    "340282366920938463463374607431768211455");
}

static void
test_other_spellings(void **state UNUSED)
{
	uint8_t a[16], b[16];

	assert_true(
	    esme_read_id(bytes_str("01A2139B-20E2-70D2-BD80-7DF51B425CAE"), a));
	assert_true(
	    esme_read_id(bytes_str("01a2139b20e270d2bd807df51b425cae"), b));
	assert_memory_equal(a, b, 16);
	/* Zeros in front, as far as there is room. */
	assert_true(esme_read_id(
	    bytes_str("002170777743192487383469467296512236718"), b));
	assert_memory_equal(a, b, 16);
}

static void
test_hostile(void **state UNUSED)
{
	static const char *const none[] = {
		"",
		"x",
		"-1",
		"+1",
		" 1",
		"1 ",
		"0x01",
		"12345a",
		"340282366920938463463374607431768211456", /* 2^128 */
		"999999999999999999999999999999999999999",
		"0000000000000000000000000000000000000001", /* 40 */
		"01a2139b-20e2-70d2-bd80-7df51b425ca",
		"01a2139b-20e2-70d2-bd80-7df51b425cag",
		"01a2139b020e2-70d2-bd80-7df51b425cae",
		"01a2139b20e270d2bd807df51b425cag",
		"------------------------------------",
		"%s%s%s%s%n",
	};
	uint8_t id[16], octets[80] = { 0 };
	size_t i, len;

	for (i = 0; i < ARRAY_LEN(none); i++)
		assert_false(esme_read_id(bytes_str(none[i]), id));
	assert_false(esme_read_id((struct bytes){ .p = NULL }, id));
	assert_false(esme_read_id(bytes_of("1\0002", 3), id));
	srand(1);
	for (i = 0; i < 100000; i++) {
		uint8_t *exact;

		len = (size_t)rand() % sizeof(octets);
		for (size_t k = 0; k < len; k++)
			octets[k] = (uint8_t)rand();
		exact = malloc(len > 0 ? len : 1);
		assert_non_null(exact);
		memcpy(exact, octets, len);
		/* Never more than the octets that there are; what it says
		 * of them does not matter. */
		(void)esme_read_id(bytes_of(exact, len), id);
		free(exact);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_other_spellings),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
