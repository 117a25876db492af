/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gsm7_test.c - the alphabet of 3GPP 23.038 as its tables print it, every code
 * point both ways, and packing against vectors made with big integers.
 */
#include "proto/gsm7.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "proto/charset.h"

/* 23.038, 6.2.1: from 0x00 to 0x7f; the escape at 0x1b is written as '?'. */
static const char alphabet[] =
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ?ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>\?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/* 23.038, 6.2.1.1 */
static const struct {
	const char *text;
	uint8_t septet;
} extension[] = {
	{ "\f", 0x0a },
	{ "^", 0x14 },
	{ "{", 0x28 },
	{ "}", 0x29 },
	{ "\\", 0x2f },
	{ "[", 0x3c },
	{ "~", 0x3d },
	{ "]", 0x3e },
	{ "|", 0x40 },
	{ "€", 0x65 },
};

static uint32_t
first_cp(const char *text)
{
	const uint8_t *p = (const uint8_t *)text;

	return utf8_next(&p, p + strlen(text));
}

static void
test_alphabet(void **state)
{
	const uint8_t *p = (const uint8_t *)alphabet, *end;
	static int want[0x110000];
	uint32_t cp;
	size_t i;

	(void)state;
	memset(want, 0xff, sizeof(want));
	end = p + sizeof(alphabet) - 1;
	for (i = 0; i < 128; i++) {
		assert_true(p < end);
		cp = utf8_next(&p, end);
		if (i == GSM7_ESCAPE) {
			assert_int_equal(gsm7_to_cp((uint8_t)i, false), 0);
			continue;
		}
		assert_int_equal(gsm7_to_cp((uint8_t)i, false), cp);
		want[cp] = (int)i;
	}
	assert_ptr_equal(p, end);
	for (i = 0; i < ARRAY_LEN(extension); i++) {
		cp = first_cp(extension[i].text);
		assert_int_equal(gsm7_to_cp(extension[i].septet, true), cp);
		want[cp] = GSM7_ESCAPE << 8 | extension[i].septet;
	}
	for (cp = 0; cp < ARRAY_LEN(want); cp++)
		if (gsm7_from_cp(cp) != want[cp])
			fail_msg("U+%04X: %d, want %d", cp, gsm7_from_cp(cp),
			    want[cp]);
	assert_int_equal(gsm7_from_cp(CHARSET_BAD), -1);
	for (i = 128; i < 256; i++) {
		assert_int_equal(gsm7_to_cp((uint8_t)i, false), 0);
		assert_int_equal(gsm7_to_cp((uint8_t)i, true), 0);
	}
}

static void
test_encode(void **state)
{
	static const struct {
		const char *text;
		const char *want;
		size_t want_len;
	} rows[] = {
		{ "", "", 0 },
		{ "hello", "hello", 5 },
		{ "@", "\0", 1 },
		{ "Grüße", "Gr\x7e\x1e\x65", 5 },
		{ "€ 5", "\x1b\x65 5", 4 },
		{ "[]", "\x1b\x3c\x1b\x3e", 4 },
		{ "ΔΩ", "\x10\x15", 2 },
		{ "\n\r\f", "\x0a\x0d\x1b\x0a", 4 },
	};
	uint8_t got[32], text[64];
	struct misfit bad;
	size_t i, cap, n, septets;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const uint8_t *src = (const uint8_t *)rows[i].text;
		size_t len = strlen(rows[i].text);

		assert_true(gsm7_count(src, len, &septets, NULL));
		assert_int_equal(septets, rows[i].want_len);
		assert_true(gsm7_encode(src, len, got, sizeof(got), &n, NULL));
		assert_int_equal(n, rows[i].want_len);
		assert_memory_equal(got, rows[i].want, n);
		assert_int_equal(gsm7_decode(got, n, text, sizeof(text)), len);
		assert_memory_equal(text, src, len);
		for (cap = 0; cap < n; cap++) {
			size_t out = 0;

			memset(got, 0xee, sizeof(got));
			assert_false(
			    gsm7_encode(src, len, got, cap, &out, &bad));
			assert_int_equal(bad.cp, CHARSET_FULL);
			assert_int_equal(got[cap], 0xee);
		}
	}
}

static void
test_misfit(void **state)
{
	static const struct {
		const char *text;
		uint32_t want_cp;
		size_t want_offset;
	} rows[] = {
		{ "a\xf0\x9f\x91\x8b", 0x1f44b, 1 }, { "Grüße ж", 0x436, 8 },
		{ "ç", 0xe7, 0 }, /* the alphabet has the capital only */
		{ "`", 0x60, 0 }, { "ab\xff", CHARSET_BAD, 2 },
		{ "ab\xe2\x82", CHARSET_BAD, 2 },
		{ "ab\xc0\x80", CHARSET_BAD, 2 }, { "\t", 0x09, 0 },
		{ "Α", 0x391, 0 }, /* Greek, although it looks like A */
	};
	struct misfit bad;
	uint8_t got[32];
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const uint8_t *src = (const uint8_t *)rows[i].text;
		size_t len = strlen(rows[i].text);

		assert_false(gsm7_count(src, len, &n, &bad));
		assert_int_equal(bad.cp, rows[i].want_cp);
		assert_int_equal(bad.offset, rows[i].want_offset);
		memset(&bad, 0, sizeof(bad));
		assert_false(gsm7_encode(src, len, got, sizeof(got), &n, &bad));
		assert_int_equal(bad.cp, rows[i].want_cp);
		assert_int_equal(bad.offset, rows[i].want_offset);
		assert_false(gsm7_encode(src, len, got, sizeof(got), &n, NULL));
	}
	/* Room runs out before the misfit is reached. */
	assert_false(
	    gsm7_encode((const uint8_t *)"ab\xff", 3, got, 1, &n, &bad));
	assert_int_equal(bad.cp, CHARSET_FULL);
	assert_int_equal(bad.offset, 1);
}

static void
test_decode(void **state)
{
	static const struct {
		const char *octets;
		size_t len;
		const char *want;
	} rows[] = {
		{ "", 0, "" },
		{ "\x1b\x65", 2, "€" },
		{ "a\x1b", 2, "a " },   /* nothing behind the escape */
		{ "\x1b\x1b", 2, " " }, /* a further table that is not there */
		{ "\x1b\x41", 2, "A" }, /* no such extension: the plain one */
		{ "\x1b\x00", 2, "@" },
		{ "\x1b\x1b\x65", 3, " e" },
		{ "\x80", 1, "\xef\xbf\xbd" },
		{ "\x1b\xff", 2, "\xef\xbf\xbd" },
		{ "a\xfe\x62", 3,
		    "a\xef\xbf\xbd"
		    "b" },
	};
	uint8_t text[64];
	size_t i, cap, n, cut;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t *copy = malloc(rows[i].len + 1);

		memcpy(copy, rows[i].octets, rows[i].len);
		n = gsm7_decode(copy, rows[i].len, text, sizeof(text));
		assert_int_equal(n, strlen(rows[i].want));
		assert_memory_equal(text, rows[i].want, n);
		/* Too small: whole characters that fit. */
		for (cap = 0; cap < n; cap++) {
			memset(text, 0xee, sizeof(text));
			cut = gsm7_decode(copy, rows[i].len, text, cap);
			assert_true(cut <= cap);
			assert_memory_equal(text, rows[i].want, cut);
			assert_int_equal(utf8_check(text, cut), cut);
			assert_int_equal(text[cap], 0xee);
		}
		free(copy);
	}
}

static void
unhex(const char *hex, uint8_t *dst)
{
	unsigned v;

	for (; *hex != '\0'; hex += 2) {
		assert_int_equal(sscanf(hex, "%2x", &v), 1);
		*dst++ = (uint8_t)v;
	}
}

/* Behind 0 to 6 fill bits. */
static void
test_pack(void **state)
{
	static const struct {
		const char *text;
		const char *want[7];
	} rows[] = {
		{ "", { "", "00", "00", "00", "00", "00", "00" } },
		{ "1", { "31", "62", "c400", "8801", "1003", "2006", "400c" } },
		{ "1234567",
		    { "31d98c56b3dd00", "62b219ad66bb01", "c464335acd7603",
			"88c966b49aed06", "1093cd6835db0d", "20269bd16ab61b",
			"404c36a3d56c37" } },
		{ "12345678",
		    { "31d98c56b3dd70", "62b219ad66bbe100", "c464335acd76c301",
			"88c966b49aed8603", "1093cd6835db0d07",
			"20269bd16ab61b0e", "404c36a3d56c371c" } },
		{ "hellohello",
		    { "e8329bfd4697d9ec37", "d06536fb8d2eb3d96f",
			"a0cb6cf61b5d66b3df", "4097d9ec37bacc66bf01",
			"802eb3d96f7499cd7e03", "005d66b3dfe8329bfd06",
			"00bacc66bfd16536fb0d" } },
	};
	uint8_t got[32], want[32], back[32];
	size_t i, size, n, cut;
	unsigned fill;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		n = strlen(rows[i].text);
		for (fill = 0; fill < 7; fill++) {
			size = strlen(rows[i].want[fill]) / 2;
			unhex(rows[i].want[fill], want);
			assert_int_equal(gsm7_packed_size(n, fill), size);
			assert_int_equal(
			    gsm7_pack((const uint8_t *)rows[i].text, n, fill,
				got, sizeof(got)),
			    size);
			assert_memory_equal(got, want, size);
			if (size > 0)
				assert_int_equal(
				    gsm7_pack((const uint8_t *)rows[i].text, n,
					fill, got, size - 1),
				    0);
			assert_int_equal(
			    gsm7_unpack(want, size, fill, back, n), n);
			assert_memory_equal(back, rows[i].text, n);
			/* Cut at each length: the septets that are whole. */
			for (cut = 0; cut < size; cut++) {
				uint8_t *exact = malloc(cut + 1);
				size_t whole =
				    cut * 8 < fill ? 0 : (cut * 8 - fill) / 7;

				memcpy(exact, want, cut);
				assert_int_equal(
				    gsm7_unpack(exact, cut, fill, back, n),
				    whole < n ? whole : n);
				free(exact);
			}
		}
	}
}

/* 23.040, 9.2.3.24: septets begin at a septet boundary behind the header. */
static void
test_fill(void **state)
{
	static const unsigned want[] = { 0, 6, 5, 4, 3, 2, 1, 0, 6, 5, 4, 3, 2,
		1, 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(want); i++)
		assert_int_equal(gsm7_fill(i), want[i]);
	/* A concatenated part: 6 octets of header, 153 septets, 140 in all. */
	assert_int_equal(6 + gsm7_packed_size(153, gsm7_fill(6)), 140);
	assert_int_equal(7 + gsm7_packed_size(152, gsm7_fill(7)), 140);
	assert_int_equal(gsm7_packed_size(160, 0), 140);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alphabet),
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_misfit),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_pack),
		cmocka_unit_test(test_fill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
