/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smpp_time_test.c - times of SMPP 3.4, 7.1.1; the instants come from date(1).
 */
#include "proto/smpp_time.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"

#define SECOND INT64_C(1000)
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)

static void
test_absolute(void **state)
{
	static const struct {
		const char *text;
		int64_t want_ms;
		int want_quarters;
	} rows[] = {
		/* date -u -d '2025-11-25 12:00:00' +%s */
		{ "251125120000000+", 1764072000 * SECOND, 0 },
		{ "251125120000900+", 1764072000 * SECOND + 900, 0 },
		{ "251125120000004+", 1764068400 * SECOND, 4 },
		{ "251125120000004-", 1764075600 * SECOND, -4 },
		{ "251125120000048+", 1764028800 * SECOND, 48 },
		{ "000101000000000+", 946684800 * SECOND, 0 },
		{ "991231235959000+", 4102444799 * SECOND, 0 },
		{ "240229000000000+", 1709164800 * SECOND, 0 },
		{ "000229000000000+", 951782400 * SECOND, 0 },
		{ "241231235960000+", 1735689600 * SECOND, 0 }, /* leap */
	};
	char again[SMPP_TIME_SIZE];
	struct smpp_time t;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		assert_true(smpp_time_parse(bytes_str(rows[i].text), &t));
		assert_false(t.relative);
		assert_int_equal(t.ms, rows[i].want_ms);
		assert_int_equal(t.quarters, rows[i].want_quarters);
		smpp_time_absolute(t.ms, t.quarters, again);
		if (strncmp(rows[i].text + 10, "60", 2) != 0)
			assert_string_equal(again, rows[i].text);
	}
	smpp_time_absolute(1735689600 * SECOND, 0, again);
	assert_string_equal(again, "250101000000000+");
	/* An instant in the evening is the next day in the east. */
	smpp_time_absolute(1735689599 * SECOND, 4, again);
	assert_string_equal(again, "250101005959004+");
}

static void
test_relative(void **state)
{
	static const struct {
		const char *text;
		int64_t want_ms;
	} rows[] = {
		{ "000000000000000R", 0 }, { "000000000001000R", SECOND },
		{ "000000000000500R", 500 }, { "000000010000000R", HOUR },
		{ "000001000000000R", DAY }, { "000100000000000R", 30 * DAY },
		{ "010000000000000R", 365 * DAY },
		{ "020610233429000R",
		    (2 * 365 + 6 * 30 + 10) * DAY + 23 * HOUR +
			(34 * 60 + 29) * SECOND }, /* 3.4, 7.1.1.2 */
	};
	static const struct {
		uint64_t ms;
		const char *want;
	} written[] = {
		{ 0, "000000000000000R" },
		{ 999, "000000000000000R" },
		{ 1000, "000000000001000R" },
		{ 3600 * 1000, "000000010000000R" },
		{ 24 * 3600 * 1000, "000001000000000R" },
		{ UINT64_C(30) * 86400000, "000100000000000R" },
		{ UINT64_C(359) * 86400000, "001129000000000R" },
		/* never more than 12 months and 31 days in a field */
		{ UINT64_C(364) * 86400000, "001204000000000R" },
		{ UINT64_C(365) * 86400000, "010000000000000R" },
		{ UINT64_C(36499) * 86400000, "991204000000000R" },
		{ UINT64_C(36500) * 86400000, "991130235959000R" },
		{ UINT64_MAX, "991130235959000R" },
	};
	char text[SMPP_TIME_SIZE];
	struct smpp_time t;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		assert_true(smpp_time_parse(bytes_str(rows[i].text), &t));
		assert_true(t.relative);
		assert_int_equal(t.ms, rows[i].want_ms);
	}
	for (i = 0; i < ARRAY_LEN(written); i++) {
		smpp_time_relative(written[i].ms, text);
		assert_string_equal(text, written[i].want);
		assert_true(smpp_time_parse(bytes_str(text), &t));
		if (i < 10)
			assert_int_equal(t.ms, written[i].ms / 1000 * 1000);
	}
}

static void
test_refused(void **state)
{
	static const char *const rows[] = {
		"",
		"251125120000000",
		"251125120000000+0",
		"251125120000000*",
		"251325120000000+", /* month 13 */
		"250025120000000+",
		"251100120000000+",
		"251131120000000+", /* November has 30 */
		"250229120000000+",
		"251125240000000+",
		"251125126000000+",
		"251125120061000+",
		"251125120000049+",
		"251125120000a00+",
		"2511251200000-1+",
		"25112512 000000+",
		"+51125120000000+",
		"00000001000000xR",
	};
	static const char good[] = "251125120000000+";
	struct smpp_time t;
	size_t i, cut;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (smpp_time_parse(bytes_str(rows[i]), &t))
			fail_msg("\"%s\"", rows[i]);
	for (cut = 0; cut < sizeof(good) - 1; cut++) {
		uint8_t *exact = malloc(cut + 1);

		memcpy(exact, good, cut);
		assert_false(smpp_time_parse(bytes_of(exact, cut), &t));
		free(exact);
	}
	assert_false(smpp_time_parse(bytes_of(NULL, 0), &t));
}

static void
test_calendar(void **state)
{
	static const struct {
		int year, month, day;
		int64_t want;
	} rows[] = {
		{ 1970, 1, 1, 0 },
		{ 1969, 12, 31, -1 },
		{ 2000, 2, 29, 11016 },
		{ 2000, 3, 1, 11017 },
		{ 2025, 11, 25, 20417 },
		{ 1900, 3, 1, -25508 },
		{ 2100, 2, 28, 47540 },
		{ 2100, 3, 1, 47541 },
		{ 1, 1, 1, -719162 },
	};
	int y, m, d;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(
		    smpp_days(rows[i].year, rows[i].month, rows[i].day),
		    rows[i].want);
		smpp_civil(rows[i].want, &y, &m, &d);
		assert_int_equal(y, rows[i].year);
		assert_int_equal(m, rows[i].month);
		assert_int_equal(d, rows[i].day);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_absolute),
		cmocka_unit_test(test_relative),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_calendar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
