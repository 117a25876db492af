/* SPDX-License-Identifier: BSD-2-Clause */
/* clock_test.c - both clocks, RFC 3339 and durations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <uv.h>

#include "common/attr.h"
#include "common/clock.h"

static void
freeze(void **state)
{
	uint64_t a;

	(void)state;
	clock_set(5000, 7000);
	assert_int_equal(clock_mono_ms(), 5000);
	assert_int_equal(clock_mono_us(), 5000000);
	assert_int_equal(clock_wall_ms(), 7000);
	clock_set(0, 0);
	a = clock_mono_us();
	assert_true(clock_mono_us() >= a);
	assert_true(clock_wall_ms() / 1000 >= (uint64_t)time(NULL) - 1);
}

static void
format(void **state)
{
	static const struct {
		uint64_t ms;
		const char *want_text;
	} rows[] = {
		{ 0, "1970-01-01T00:00:00.000Z" },
		{ 951782400000, "2000-02-29T00:00:00.000Z" },
		{ 1795375080123, "2026-11-22T19:18:00.123Z" },
		{ 4107542399999, "2100-02-28T23:59:59.999Z" },
		{ 4107542400000, "2100-03-01T00:00:00.000Z" },
		{ 253402300799999, "9999-12-31T23:59:59.999Z" },
	};
	char text[CLOCK_TEXT_LEN];
	uint64_t ms;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		assert_string_equal(
		    clock_format(rows[i].ms, text), rows[i].want_text);
		assert_int_equal(strlen(text), CLOCK_TEXT_LEN - 1);
		assert_int_equal(clock_parse(text, strlen(text), &ms), 0);
		assert_int_equal(ms, rows[i].ms);
	}
	clock_format(UINT64_MAX, text);
	assert_int_equal(strlen(text), CLOCK_TEXT_LEN - 1);
}

/* Against the C library, one step of 13 hours and a bit at a time. */
static void
calendar(void **state)
{
	char text[CLOCK_TEXT_LEN], want[CLOCK_TEXT_LEN];
	struct tm tm;
	time_t t;

	(void)state;
	for (t = 0; t < 253402300800; t += 47013) {
		gmtime_r(&t, &tm);
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
		clock_format((uint64_t)t * 1000, text);
		assert_memory_equal(text, want, sizeof(want));
		if (t > 8000000000)
			t += 470130;
	}
}

static void
parse(void **state)
{
	static const struct {
		const char *text;
		int want_rc;
		uint64_t want_ms;
	} rows[] = {
		{ "2026-11-22T19:18:00Z", 0, 1795375080000 },
		{ "2026-11-22t19:18:00z", 0, 1795375080000 },
		{ "2026-11-22 19:18:00Z", 0, 1795375080000 },
		{ "2026-11-22T20:18:00+01:00", 0, 1795375080000 },
		{ "2026-11-22T13:48:00.5-05:30", 0, 1795375080500 },
		{ "2026-11-22T19:18:00.123456789Z", 0, 1795375080123 },
		{ "2016-12-31T23:59:60Z", 0, 1483228800000 },
		{ "1970-01-01T01:00:00+01:00", 0, 0 },
		{ "1970-01-01T00:00:00+01:00", UV_EINVAL, 0 },
		{ "2026-11-22T19:18:00", UV_EINVAL, 0 },
		{ "2026-11-22T19:18:00.Z", UV_EINVAL, 0 },
		{ "2026-11-22T19:18:00Zx", UV_EINVAL, 0 },
		{ "2026-02-29T00:00:00Z", UV_EINVAL, 0 },
		{ "2026-13-01T00:00:00Z", UV_EINVAL, 0 },
		{ "2026-00-01T00:00:00Z", UV_EINVAL, 0 },
		{ "2026-01-00T00:00:00Z", UV_EINVAL, 0 },
		{ "2026-01-01T24:00:00Z", UV_EINVAL, 0 },
		{ "2026-01-01T00:60:00Z", UV_EINVAL, 0 },
		{ "2026-01-01T00:00:00+24:00", UV_EINVAL, 0 },
		{ "1969-12-31T23:59:59Z", UV_EINVAL, 0 },
		{ "", UV_EINVAL, 0 },
		{ "now", UV_EINVAL, 0 },
	};
	uint64_t ms;
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		ms = 0;
		assert_int_equal(
		    clock_parse(rows[i].text, strlen(rows[i].text), &ms),
		    rows[i].want_rc);
		assert_int_equal(ms, rows[i].want_ms);
	}
	for (n = 0; n < strlen(rows[0].text); n++)
		assert_int_equal(clock_parse(rows[0].text, n, &ms), UV_EINVAL);
}

static void
duration(void **state)
{
	static const struct {
		const char *text;
		int want_rc;
		uint64_t want_ms;
	} rows[] = {
		{ "250ms", 0, 250 },
		{ "30s", 0, 30000 },
		{ "5m", 0, 300000 },
		{ "2h", 0, 7200000 },
		{ "7d", 0, 604800000 },
		{ "12", 0, 12000 },
		{ "0", 0, 0 },
		{ "", UV_EINVAL, 0 },
		{ "s", UV_EINVAL, 0 },
		{ "-1s", UV_EINVAL, 0 },
		{ "1 s", UV_EINVAL, 0 },
		{ "1w", UV_EINVAL, 0 },
		{ "1.5s", UV_EINVAL, 0 },
		{ "36525d", 0, 3155760000000 },
		{ "36526d", UV_EINVAL, 0 },
		{ "99999999999999999999s", UV_EINVAL, 0 },
	};
	uint64_t ms;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		ms = 0;
		assert_int_equal(
		    clock_parse_duration(rows[i].text, &ms), rows[i].want_rc);
		assert_int_equal(ms, rows[i].want_ms);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(freeze),
		cmocka_unit_test(format),
		cmocka_unit_test(calendar),
		cmocka_unit_test(parse),
		cmocka_unit_test(duration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
