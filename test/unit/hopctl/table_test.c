/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What people and programs see: alignment, foreign text, CSV, durations.
 */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/attr.h"
#include "common/buf.h"
#include "tools/hopctl/table.h"
#include "tools/hopctl/text.h"

static json_t *
read_json(const char *s)
{
	json_t *o = json_loads(s, 0, NULL);

	assert_non_null(o);
	return o;
}

static const struct column columns[] = {
	{ "NAME", "name", NULL, false, false },
	{ "STATE", "state", NULL, false, true },
	{ "DEPTH", "depth", NULL, true, false },
	{ "AGE", "age_ms", put_duration, true, false },
	{ "VIA", "via", put_list, false, false },
};

static void
check_table(const char *json, bool color, const char *want)
{
	json_t *rows = read_json(json);
	struct buf b;

	buf_init(&b);
	table_write(&b, rows, columns, ARRAY_LEN(columns), color);
	assert_string_equal(buf_str(&b), want);
	buf_fini(&b);
	json_decref(rows);
}

static void
test_aligned(void **state)
{
	(void)state;
	check_table(
	    "[{\"name\":\"a\",\"state\":\"ready\",\"depth\":1204,"
	    "\"age_ms\":8000,\"via\":[\"x\",\"y\"]},"
	    "{\"name\":\"Grüße\",\"state\":\"down\",\"depth\":0,\"age_ms\":0}]",
	    false,
	    "NAME   STATE  DEPTH  AGE  VIA\n"
	    "a      ready   1204   8s  x, y\n"
	    "Grüße  down       0    -  -\n");
}

static void
test_color(void **state)
{
	(void)state;
	check_table("[{\"name\":\"a\",\"state\":\"down\"}]", true,
	    "NAME  STATE  DEPTH  AGE  VIA\n"
	    "a     \033[31mdown\033[0m       -    -  -\n");
}

/* What a peer wrote must not move the cursor or colour the screen. */
static void
test_foreign_text(void **state)
{
	struct buf b;

	(void)state;
	check_table("[{\"name\":\"x\\u001b[2Jy\\n\"}]", false,
	    "NAME     STATE  DEPTH  AGE  VIA\n"
	    "x?[2Jy?  -          -    -  -\n");
	buf_init(&b);
	text_clean(&b,
	    "a\xff\xc2\x9b"
	    "b",
	    5);
	assert_string_equal(buf_str(&b), "a??b");
	buf_fini(&b);
}

static void
test_csv(void **state)
{
	json_t *rows =
	    read_json("[{\"a\":\"x,y\",\"b\":1,\"c\":true},"
		      "{\"a\":\"say \\\"hi\\\"\",\"d\":[1,2]},{\"b\":null}]");
	struct buf b;

	(void)state;
	buf_init(&b);
	table_write_csv(&b, rows);
	assert_string_equal(buf_str(&b),
	    "a,b,c,d\r\n"
	    "\"x,y\",1,true,\r\n"
	    "\"say \"\"hi\"\"\",,,\"[1,2]\"\r\n"
	    ",,,\r\n");
	json_decref(rows);
	buf_clear(&b);
	rows = read_json("{\"ok\":true,\"text\":\"a\\nb\"}");
	table_write_csv(&b, rows);
	assert_string_equal(buf_str(&b), "ok,text\r\ntrue,\"a\nb\"\r\n");
	json_decref(rows);
	buf_clear(&b);
	rows = read_json("[]");
	table_write_csv(&b, rows);
	assert_int_equal(buf_len(&b), 0);
	json_decref(rows);
	buf_fini(&b);
}

static void
test_jsonl(void **state)
{
	json_t *rows = read_json("[{\"a\":1},{\"a\":\"ü\"}]");
	struct buf b;

	(void)state;
	buf_init(&b);
	table_write_jsonl(&b, rows);
	assert_string_equal(buf_str(&b), "{\"a\":1}\n{\"a\":\"ü\"}\n");
	buf_fini(&b);
	json_decref(rows);
}

static void
test_durations(void **state)
{
	static const struct {
		uint64_t ms;
		const char *want_duration, *want_difference;
	} cases[] = {
		{ 0, "0ms", "+0 ms" },
		{ 850, "850ms", "+850 ms" },
		{ 1009, "1s", "+1009 ms" },
		{ 12300, "12s", "+12.3 s" },
		{ 250000, "4m10s", "+4m10s" },
		{ 11100000, "3h05m", "+3h05m" },
		{ 273600000, "3d4h", "+3d4h" },
	};
	struct buf b;

	(void)state;
	buf_init(&b);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_clear(&b);
		text_duration(&b, cases[i].ms);
		assert_string_equal(buf_str(&b), cases[i].want_duration);
		buf_clear(&b);
		text_difference(&b, cases[i].ms);
		assert_string_equal(buf_str(&b), cases[i].want_difference);
	}
	buf_fini(&b);
}

static void
test_times(void **state)
{
	/* 2026-11-22T19:18:00.123Z */
	const uint64_t at = UINT64_C(1795375080123);
	struct buf b;

	(void)state;
	buf_init(&b);
	text_time(&b, at);
	assert_string_equal(buf_str(&b), "2026-11-22 20:18:00.123");
	/* Midnight is at 23:00 UTC. */
	assert_true(text_same_day(at, at + 3600 * 1000));
	assert_false(text_same_day(at, at + 4 * 3600 * 1000));
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aligned),
		cmocka_unit_test(test_color),
		cmocka_unit_test(test_foreign_text),
		cmocka_unit_test(test_csv),
		cmocka_unit_test(test_jsonl),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_times),
	};

	(void)setlocale(LC_CTYPE, "C.UTF-8");
	(void)setenv("TZ", "CET-1", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
