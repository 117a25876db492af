/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * charset_test.c - UTF-8 by the tables of Unicode 3.9, UTF-16BE, Latin-1, and
 * charsets by name with octets that Python's codecs made.
 */
#include "proto/charset.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"

#define BAD CHARSET_BAD

static void
test_utf8_next(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		uint32_t want;
		size_t want_size;
	} rows[] = {
		{ "\0", 1, 0, 1 },
		{ "a", 1, 'a', 1 },
		{ "\x7f", 1, 0x7f, 1 },
		{ "\xc2\x80", 2, 0x80, 2 },
		{ "\xdf\xbf", 2, 0x7ff, 2 },
		{ "\xe0\xa0\x80", 3, 0x800, 3 },
		{ "\xed\x9f\xbf", 3, 0xd7ff, 3 },
		{ "\xee\x80\x80", 3, 0xe000, 3 },
		{ "\xef\xbf\xbf", 3, 0xffff, 3 },
		{ "\xf0\x90\x80\x80", 4, 0x10000, 4 },
		{ "\xf4\x8f\xbf\xbf", 4, 0x10ffff, 4 },
		/* table 3-7: what is not well-formed */
		{ "\x80", 1, BAD, 1 },
		{ "\xbf", 1, BAD, 1 },
		{ "\xc0\x80", 2, BAD, 1 },
		{ "\xc1\xbf", 2, BAD, 1 },
		{ "\xe0\x9f\xbf", 3, BAD, 1 },
		{ "\xed\xa0\x80", 3, BAD, 1 },
		{ "\xed\xbf\xbf", 3, BAD, 1 },
		{ "\xf0\x8f\xbf\xbf", 4, BAD, 1 },
		{ "\xf4\x90\x80\x80", 4, BAD, 1 },
		{ "\xf5\x80\x80\x80", 4, BAD, 1 },
		{ "\xff", 1, BAD, 1 },
		{ "\xfe", 1, BAD, 1 },
		{ "\xc3(", 2, BAD, 1 },
		{ "\xe2\x82(", 3, BAD, 1 },
		{ "\xf0\x9f\x91(", 4, BAD, 1 },
	};
	size_t i, cut;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		for (cut = 1; cut <= rows[i].len; cut++) {
			uint8_t *copy = malloc(cut);
			const uint8_t *p = copy;
			uint32_t want = rows[i].want;
			size_t size = rows[i].want_size;

			memcpy(copy, rows[i].text, cut);
			if (cut < rows[i].len) {
				want = BAD;
				size = 1;
			}
			assert_int_equal(utf8_next(&p, copy + cut), want);
			assert_int_equal(p - copy, size);
			free(copy);
		}
	}
}

static void
test_utf8_put(void **state)
{
	uint8_t one[4];
	uint32_t cp;

	(void)state;
	for (cp = 0; cp <= 0x10ffff; cp++) {
		const uint8_t *p = one;
		size_t n = utf8_put(one, cp);

		assert_int_equal(n,
		    cp < 0x80          ? 1
			: cp < 0x800   ? 2
			: cp < 0x10000 ? 3
				       : 4);
		if (cp >= 0xd800 && cp <= 0xdfff) {
			assert_int_equal(utf8_next(&p, one + n), BAD);
			continue;
		}
		assert_int_equal(utf8_next(&p, one + n), cp);
		assert_ptr_equal(p, one + n);
	}
}

static void
test_utf8_check(void **state)
{
	static const char good[] = "Grüße 👋";
	size_t i, len = sizeof(good) - 1;

	(void)state;
	assert_int_equal(utf8_check((const uint8_t *)good, len), len);
	assert_int_equal(utf8_length((const uint8_t *)good, len), 7);
	assert_int_equal(utf8_check(NULL, 0), 0);
	assert_int_equal(utf8_length(NULL, 0), 0);
	assert_int_equal(utf8_check((const uint8_t *)"ab\xff"
						     "c",
			     4),
	    2);
	assert_int_equal(utf8_length((const uint8_t *)"a\xff\xfe"
						      "c",
			     4),
	    4);
	/* Cut inside a character: that is where it ends. */
	for (i = 0; i < len; i++) {
		size_t ok = utf8_check((const uint8_t *)good, i);

		assert_true(ok <= i);
		assert_true(ok == i || ((uint8_t)good[i] & 0xc0) == 0x80);
	}
}

static void
test_utf16(void **state)
{
	static const struct {
		const char *utf8;
		const char *utf16;
		size_t len;
	} rows[] = {
		{ "", "", 0 },
		{ "Grüße 👋", "\0G\0r\0\xfc\0\xdf\0e\0 \xd8\x3d\xdc\x4b", 16 },
		{ "\xf0\x90\x80\x80", "\xd8\x00\xdc\x00", 4 },
		{ "\xf4\x8f\xbf\xbf", "\xdb\xff\xdf\xff", 4 },
		{ "\xef\xbf\xbf", "\xff\xff", 2 },
		{ "\xed\x9f\xbf\xee\x80\x80", "\xd7\xff\xe0\x00", 4 },
	};
	uint8_t got[64];
	struct misfit bad;
	size_t i, cap, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const uint8_t *src = (const uint8_t *)rows[i].utf8;
		size_t len = strlen(rows[i].utf8);

		assert_true(utf8_to_utf16be(src, len, got, 64, &n, NULL));
		assert_int_equal(n, rows[i].len);
		assert_memory_equal(got, rows[i].utf16, n);
		for (cap = 0; cap < rows[i].len; cap++) {
			assert_false(
			    utf8_to_utf16be(src, len, got, cap, &n, &bad));
			assert_int_equal(bad.cp, CHARSET_FULL);
		}
		n = utf16be_to_utf8((const uint8_t *)rows[i].utf16, rows[i].len,
		    got, sizeof(got));
		assert_int_equal(n, len);
		assert_memory_equal(got, rows[i].utf8, n);
	}
	assert_false(utf8_to_utf16be(
	    (const uint8_t *)"ab\xed\xa0\x80", 5, got, 64, &n, &bad));
	assert_int_equal(bad.cp, BAD);
	assert_int_equal(bad.offset, 2);
}

/* U+FFFD stands for what is no UTF-16. */
static void
test_utf16_broken(void **state)
{
	static const struct {
		const char *utf16;
		size_t len;
		const char *want;
	} rows[] = {
		{ "\0", 1, "\xef\xbf\xbd" },
		{ "\0a\0", 3, "a\xef\xbf\xbd" },
		{ "\xd8\x3d", 2, "\xef\xbf\xbd" },
		{ "\xd8\x3d\0a", 4,
		    "\xef\xbf\xbd"
		    "a" },
		{ "\xdc\x4b\0a", 4,
		    "\xef\xbf\xbd"
		    "a" },
		{ "\xd8\x3d\xdc", 3, "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xd8\x3d\xd8\x3d\xdc\x4b", 6, "\xef\xbf\xbd👋" },
		{ "\xdc\x4b\xd8\x3d", 4, "\xef\xbf\xbd\xef\xbf\xbd" },
	};
	uint8_t got[64];
	size_t i, n, cap, cut;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t *copy = malloc(rows[i].len);

		memcpy(copy, rows[i].utf16, rows[i].len);
		n = utf16be_to_utf8(copy, rows[i].len, got, sizeof(got));
		assert_int_equal(n, strlen(rows[i].want));
		assert_memory_equal(got, rows[i].want, n);
		for (cap = 0; cap < n; cap++) {
			cut = utf16be_to_utf8(copy, rows[i].len, got, cap);
			assert_true(cut <= cap);
			assert_int_equal(utf8_check(got, cut), cut);
		}
		free(copy);
	}
}

static void
test_latin1(void **state)
{
	uint8_t octets[256], text[512], back[256];
	struct misfit bad;
	size_t i, n, out;

	(void)state;
	for (i = 0; i < 256; i++)
		octets[i] = (uint8_t)i;
	n = latin1_to_utf8(octets, 256, text, sizeof(text));
	assert_int_equal(n, 128 + 2 * 128);
	assert_memory_equal(text + 128, "\xc2\x80\xc2\x81", 4);
	assert_memory_equal(text + n - 2, "\xc3\xbf", 2);
	assert_true(utf8_to_latin1(text, n, back, sizeof(back), &out, NULL));
	assert_int_equal(out, 256);
	assert_memory_equal(back, octets, 256);
	assert_false(utf8_to_latin1(text, n, back, 255, &out, &bad));
	assert_int_equal(bad.cp, CHARSET_FULL);
	assert_int_equal(bad.offset, n - 2);
	assert_false(utf8_to_latin1(
	    (const uint8_t *)"a\xc4\x80", 3, back, 256, &out, &bad));
	assert_int_equal(bad.cp, 0x100);
	assert_int_equal(bad.offset, 1);
	assert_int_equal(latin1_to_utf8(octets + 0xe0, 8, text, 15), 14);
}

static void
test_names(void **state)
{
	static const struct {
		const char *name;
		const char *octets;
		size_t len;
		const char *utf8;
	} rows[] = {
		{ "UTF-8",
		    "Gr\xc3\xbc\xc3\x9f"
		    "e",
		    7, "Grüße" },
		{ "utf8", "", 0, "" },
		{ "US-ASCII", "Hello", 5, "Hello" },
		{ "ISO-8859-1",
		    "Gr\xfc\xdf"
		    "e",
		    5, "Grüße" },
		{ "latin1", "\xe9", 1, "é" },
		{ "UCS-2", "\x04\x1f", 2, "П" },
		{ "utf-16be", "\xd8\x3d\xdc\x4b", 4, "👋" },
		{ "gsm", "\0\x1b\x65", 3, "@€" },
		{ "windows-1252", "\x80\x35\x20\x96\x20\x93x\x94", 8,
		    "€5 – “x”" },
		{ "ISO-8859-15", "\xa4\x35", 2, "€5" },
		{ "KOI8-R", "\xf0\xd2\xc9\xd7\xc5\xd4", 6, "Привет" },
		{ "CP1251", "\xcf\xf0\xe8\xe2\xe5\xf2", 6, "Привет" },
		{ "Shift_JIS", "\x93\xfa\x96\x7b", 4, "日本" },
		{ "iso-8859-8", "\xf9\xec\xe5\xed", 4, "שלום" },
		{ "GB18030", "\xd6\xd0\xce\xc4\x94\x39\xd0\x39", 8, "中文👋" },
	};
	uint8_t got[128];
	struct charset c;
	size_t i, n, cap;
	int round;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const uint8_t *octets = (const uint8_t *)rows[i].octets;
		const uint8_t *utf8 = (const uint8_t *)rows[i].utf8;
		size_t len = strlen(rows[i].utf8);

		assert_int_equal(charset_open(&c, rows[i].name), 0);
		for (round = 0; round < 2; round++) { /* it may be used again */
			assert_int_equal(charset_to_utf8(&c, octets,
					     rows[i].len, got, sizeof(got), &n),
			    0);
			assert_int_equal(n, len);
			assert_memory_equal(got, utf8, n);
			assert_int_equal(charset_from_utf8(&c, utf8, len, got,
					     sizeof(got), &n),
			    0);
			assert_int_equal(n, rows[i].len);
			assert_memory_equal(got, octets, n);
			for (cap = 0; cap < rows[i].len; cap++)
				assert_int_equal(charset_from_utf8(&c, utf8,
						     len, got, cap, &n),
				    -2);
			for (cap = 0; cap < len; cap++)
				assert_int_equal(charset_to_utf8(&c, octets,
						     rows[i].len, got, cap, &n),
				    -2);
		}
		charset_close(&c);
	}
}

static void
test_names_refused(void **state)
{
	static const char *const names[] = { "", "no-such-charset",
		"ascii//TRANSLIT", "UTF-16//IGNORE", "utf-8 ", "../x", "a/b",
		"a,b", "\xc3\xbc",
		"a-name-that-is-much-longer-than-any-charset-has" };
	struct charset c;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(names); i++) {
		if (charset_open(&c, names[i]) == 0)
			fail_msg("\"%s\" was taken", names[i]);
		charset_close(&c);
	}
}

static void
test_texts_refused(void **state)
{
	static const struct {
		const char *name;
		const char *octets;
		size_t len;
	} to[] = {
		{ "utf-8", "\xff", 1 },
		{ "ascii", "\x80", 1 },
		{ "utf-16be", "\0a\0", 3 },
		{ "utf-16be", "\xd8\x3d\0a", 4 },
		{ "utf-16be", "\xdc\x4b", 2 },
		{ "gsm", "\x80", 1 },
		{ "shift_jis", "\x93", 1 },
		{ "euc-kr", "\xff\xff", 2 },
		{ "utf-16le", "\x3d\xd8", 2 },
		/* glibc makes six octets of this, which are no UTF-8 */
		{ "ucs-4", "\x75\x74\x66\x2d", 4 },
	};
	static const struct {
		const char *name, *utf8;
	} from[] = {
		{ "utf-8", "\xff" },
		{ "ascii", "é" },
		{ "latin1", "€" },
		{ "gsm", "ж" },
		{ "utf-16be", "\xed\xa0\x80" },
		{ "iso-8859-15", "ж" },
		{ "koi8-r", "\xc0\x80" },
	};
	uint8_t got[64];
	struct charset c;
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(to); i++) {
		assert_int_equal(charset_open(&c, to[i].name), 0);
		if (charset_to_utf8(&c, (const uint8_t *)to[i].octets,
			to[i].len, got, sizeof(got), &n) != -1)
			fail_msg("to UTF-8, %zu: %s", i, to[i].name);
		charset_close(&c);
	}
	for (i = 0; i < ARRAY_LEN(from); i++) {
		assert_int_equal(charset_open(&c, from[i].name), 0);
		if (charset_from_utf8(&c, (const uint8_t *)from[i].utf8,
			strlen(from[i].utf8), got, sizeof(got), &n) != -1)
			fail_msg("from UTF-8, %zu: %s", i, from[i].name);
		charset_close(&c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_utf8_next),
		cmocka_unit_test(test_utf8_put),
		cmocka_unit_test(test_utf8_check),
		cmocka_unit_test(test_utf16),
		cmocka_unit_test(test_utf16_broken),
		cmocka_unit_test(test_latin1),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_refused),
		cmocka_unit_test(test_texts_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
