/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * form_test.c - query strings as the Kannel dialect takes them.
 */
#include "proto/form.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"

/* "name=value|name=value" of what form_next() finds. */
static void
test_pairs(void **state)
{
	static const struct {
		const char *query, *want;
	} rows[] = {
		{ "", "" },
		{ "&&&", "" },
		{ "a=1", "a=1|" },
		{ "a=1&b=2", "a=1|b=2|" },
		{ "&a=1&&b=2&", "a=1|b=2|" },
		{ "a", "a=|" },
		{ "a&b", "a=|b=|" },
		{ "a=", "a=|" },
		{ "=1", "=1|" },
		{ "a=b=c", "a=b=c|" },
		{ "a=1;b=2", "a=1;b=2|" },
		{ "a=%26&b=%3d", "a=%26|b=%3d|" },
		{ "a=1&a=2", "a=1|a=2|" },
	};
	struct bytes name, value;
	struct form f;
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].query);
		char got[64], *exact = malloc(len + 1);

		memcpy(exact, rows[i].query, len);
		form_open(&f, exact, len);
		for (n = 0; form_next(&f, &name, &value);) {
			memcpy(got + n, name.p, name.len);
			n += name.len;
			got[n++] = '=';
			memcpy(got + n, value.p, value.len);
			n += value.len;
			got[n++] = '|';
		}
		got[n] = '\0';
		assert_string_equal(got, rows[i].want);
		assert_false(form_next(&f, &name, &value));
		free(exact);
	}
}

static void
test_decode(void **state)
{
	static const struct {
		const char *encoded, *want;
		size_t want_len;
	} rows[] = {
		{ "", "", 0 }, { "abc", "abc", 3 }, { "a+b", "a b", 3 },
		{ "a%20b", "a b", 3 }, { "%2b%2B", "++", 2 }, { "%", "%", 1 },
		{ "%4", "%4", 2 }, { "%4g", "%4g", 3 }, { "%%41", "%A", 2 },
		{ "%zz%41", "%zzA", 4 }, { "%00x", "\0x", 2 },
		{ "%C3%bc", "ü", 2 },
		{ "%25%34%31", "%41", 3 }, /* once, not twice */
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].encoded);
		uint8_t *exact = malloc(len + 1), *dst = malloc(len + 1);

		memcpy(exact, rows[i].encoded, len);
		dst[len] = 0xee;
		assert_int_equal(
		    form_decode(dst, exact, len), rows[i].want_len);
		assert_memory_equal(dst, rows[i].want, rows[i].want_len);
		assert_int_equal(dst[len], 0xee);
		assert_int_equal(
		    form_decode(exact, exact, len), rows[i].want_len);
		assert_memory_equal(exact, rows[i].want, rows[i].want_len);
		free(exact);
		free(dst);
	}
}

static void
test_is(void **state)
{
	static const struct {
		const char *encoded, *name;
		bool want;
	} rows[] = {
		{ "text", "text", true }, { "te%78t", "text", true },
		{ "%74%65%78%74", "text", true }, { "Text", "text", false },
		{ "tex", "text", false }, { "texts", "text", false },
		{ "text%00", "text", false }, { "a+b", "a b", true },
		{ "a%2bb", "a b", false }, { "", "text", false },
		{ "%74%65%78%74%74%65%78%74%74%65%78%74%74%65%78%74%74%65%78%74"
		  "%74%65",
		    "texttexttexttexttextte", false }, /* over 64: refused */
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (form_is(bytes_str(rows[i].encoded), rows[i].name) !=
		    rows[i].want)
			fail_msg("\"%s\"", rows[i].encoded);
}

static void
test_int(void **state)
{
	static const struct {
		const char *text;
		bool want;
		int value;
	} rows[] = {
		{ "0", true, 0 },
		{ "12", true, 12 },
		{ "-7", true, -7 },
		{ "+7", true, 7 },
		{ " \t\n\v\f\r9", true, 9 },
		{ "9x", true, 9 },
		{ "007", true, 7 },
		{ "2147483647", true, INT_MAX },
		{ "2147483648", true, INT_MAX },
		{ "99999999999999999999999", true, INT_MAX },
		{ "-99999999999999999999999", true, -INT_MAX },
		{ "", false, 0 },
		{ "-", false, 0 },
		{ "+-1", false, 0 },
		{ "x9", false, 0 },
		{ "- 1", false, 0 },
	};
	size_t i;
	int v;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].text);
		uint8_t *exact = malloc(len + 1);

		memcpy(exact, rows[i].text, len);
		v = 0;
		if (form_int(exact, len, &v) != rows[i].want ||
		    v != rows[i].value)
			fail_msg("\"%s\": %d", rows[i].text, v);
		free(exact);
	}
}

static void
test_hex(void **state)
{
	static const struct {
		const char *text;
		int want;
	} rows[] = {
		{ "", 0 },
		{ "00", 1 },
		{ "050003420201", 6 },
		{ "aBcDeF", 3 },
		{ "0", -1 },
		{ "0g", -1 },
		{ "g0", -1 },
		{ "0x00", -1 },
		{ "00 0", -1 },
	};
	uint8_t got[8];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (form_hex(got, (const uint8_t *)rows[i].text,
			strlen(rows[i].text)) != rows[i].want)
			fail_msg("\"%s\"", rows[i].text);
	assert_int_equal(form_hex(got, (const uint8_t *)"aBcDeF", 6), 3);
	assert_memory_equal(got, "\xab\xcd\xef", 3);
}

static void
test_url_under(void **state)
{
	static const struct {
		const char *url, *prefix;
		bool want;
	} rows[] = {
		{ "https://a.example", "https://a.example", true },
		{ "https://a.example/x", "https://a.example", true },
		{ "https://a.example?x", "https://a.example", true },
		{ "https://a.example#x", "https://a.example", true },
		{ "https://a.example.net/", "https://a.example", false },
		{ "https://a.example@b/", "https://a.example", false },
		{ "https://a.example:1/", "https://a.example", false },
		{ "https://a.example:10/", "https://a.example:1", false },
		{ "http://a.example/x", "https://a.example", false },
		{ "https://a.exampl", "https://a.example", false },
		{ "https://a.example/dlr/x", "https://a.example/dlr/", true },
		{ "https://a.example/dlrx", "https://a.example/dlr", true },
		{ "https://A.example/", "https://a.example", false },
		{ "https://a.example/", "", false },
		{ "", "https://a.example", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (form_url_under((const uint8_t *)rows[i].url,
			strlen(rows[i].url), rows[i].prefix) != rows[i].want)
			fail_msg(
			    "\"%s\" under \"%s\"", rows[i].url, rows[i].prefix);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_is),
		cmocka_unit_test(test_int),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_url_under),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
