/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shift_test.c - the national tables of 3GPP 23.038, annex A, written down here
 * a second time as texts; what a plan makes of them.
 */
#include "proto/shift.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "proto/charset.h"
#include "proto/gsm7.h"
#include "proto/segment.h"
#include "proto/udh.h"

/* Septets 0x00 to 0x7f in order; 0x1b is left out. */
static const struct {
	struct shift shift;
	const char *text;
} locking[] = {
	{ { SHIFT_TURKISH, 0 },
	    "@£$¥€éùıòÇ\nĞğ\rÅåΔ_ΦΓΛΩΠΨΣΘΞŞşßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
	    "İABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§çabcdefghijklmnopqrstuvwxyzäöñüà" },
	{ { SHIFT_PORTUGUESE, 0 },
	    "@£$¥êéúíóç\nÔô\rÁáΔ_ªÇÀ∞^\\€Ó|ÂâÊÉ !\"#º%&'()*+,-./0123456789:;<=>?"
	    "ÍABCDEFGHIJKLMNOPQRSTUVWXYZÃÕÚÜ§~abcdefghijklmnopqrstuvwxyzãõ`üà" },
};

/* Septet and character, for each that the single shift table has. */
static const struct {
	struct shift shift;
	const char *septets, *text;
} single[] = {
	{ { 0, SHIFT_TURKISH }, "\x0a\x14\x28\x29\x2f\x3c\x3d\x3e\x40GIScegis",
	    "\f^{}\\[~]|ĞİŞç€ğış" },
	{ { 0, SHIFT_SPANISH },
	    "\x09\x0a\x14\x28\x29\x2f\x3c\x3d\x3e\x40"
	    "AIOUaeiou",
	    "ç\f^{}\\[~]|ÁÍÓÚá€íóú" },
	{ { 0, SHIFT_PORTUGUESE },
	    "\x05\x09\x0a\x0b\x0c\x0e\x0f\x12\x13\x14\x15\x16\x17\x18\x19\x1f"
	    "\x28\x29\x2f\x3c\x3d\x3e\x40"
	    "AIOU\x5b\x5c"
	    "aeiou\x7b\x7c\x7f",
	    "êç\fÔôÁáΦΓ^ΩΠΨΣΘÊ{}\\[~]|ÀÍÓÚÃÕÂ€íóúãõâ" },
};

static void
test_locking(void **state)
{
	uint8_t septets[127], text[400], back[127];
	size_t i, k, n;

	(void)state;
	for (i = k = 0; i < 128; i++)
		if (i != GSM7_ESCAPE)
			septets[k++] = (uint8_t)i;
	for (i = 0; i < ARRAY_LEN(locking); i++) {
		const char *want = locking[i].text;

		n = shift_decode(locking[i].shift, bytes_of(septets, 127), text,
		    sizeof(text));
		if (n != strlen(want) || memcmp(text, want, n) != 0)
			fail_msg("%zu: %.*s", i, (int)n, (char *)text);
		assert_true(shift_count(locking[i].shift, bytes_str(want), &n));
		assert_int_equal(n, 127);
		assert_true(shift_encode(
		    locking[i].shift, bytes_str(want), back, sizeof(back), &n));
		assert_memory_equal(back, septets, 127);
	}
}

static void
test_single(void **state)
{
	uint8_t octets[100], text[200], back[100];
	size_t i, k, n, len;

	(void)state;
	for (i = 0; i < ARRAY_LEN(single); i++) {
		const char *want = single[i].text;

		len = strlen(single[i].septets);
		for (k = 0; k < len; k++) {
			octets[2 * k] = GSM7_ESCAPE;
			octets[2 * k + 1] = (uint8_t)single[i].septets[k];
		}
		n = shift_decode(single[i].shift, bytes_of(octets, 2 * len),
		    text, sizeof(text));
		if (n != strlen(want) || memcmp(text, want, n) != 0)
			fail_msg("%zu: %.*s", i, (int)n, (char *)text);
		for (k = 0; k < 128; k++)
			assert_int_equal(
			    shift_to_cp(single[i].shift, (uint8_t)k, true) != 0,
			    memchr(single[i].septets, (int)k, len) != NULL);
		/* Characters of the default alphabet take one septet. */
		assert_true(shift_encode(
		    single[i].shift, bytes_str(want), back, sizeof(back), &n));
		assert_int_equal(shift_decode(single[i].shift,
				     bytes_of(back, n), text, sizeof(text)),
		    strlen(want));
		assert_memory_equal(text, want, strlen(want));
	}
}

/* Every character of every pair of tables comes back; no other is claimed. */
static void
test_round_trip(void **state)
{
	struct shift s;
	unsigned l, k;
	uint32_t cp;
	int v;

	(void)state;
	for (l = 0; l < SHIFT_LANGUAGES; l++)
		for (k = 0; k < SHIFT_LANGUAGES; k++) {
			s = (struct shift){ (uint8_t)l, (uint8_t)k };
			for (cp = 1; cp < 0x11000; cp++) {
				v = shift_from_cp(s, cp);
				if (shift_is_default(s))
					assert_int_equal(v, gsm7_from_cp(cp));
				if (v < 0)
					continue;
				assert_true(v != GSM7_ESCAPE);
				assert_int_equal(
				    shift_to_cp(
					s, (uint8_t)(v & 0xff), v > 0xff),
				    cp);
			}
			for (v = 0; v < 256; v++) {
				cp =
				    shift_to_cp(s, (uint8_t)v & 0x7f, v >= 128);
				assert_true(
				    cp == 0 || shift_from_cp(s, cp) >= 0);
			}
		}
}

static void
test_headers(void **state)
{
	static const struct {
		const char *udh;
		size_t len;
		bool known;
		struct shift want;
	} rows[] = {
		{ "\x03\x24\x01\x01", 4, true, { 0, SHIFT_TURKISH } },
		{ "\x03\x25\x01\x03", 4, true, { SHIFT_PORTUGUESE, 0 } },
		{ "\x06\x24\x01\x02\x25\x01\x01", 7, true,
		    { SHIFT_TURKISH, SHIFT_SPANISH } },
		{ "\x08\x00\x03\x07\x02\x01\x24\x01\x01", 9, true,
		    { 0, SHIFT_TURKISH } },
		{ "\x03\x24\x01\x00", 4, true, { 0, 0 } },
		{ "\x03\x24\x01\x06", 4, false, { 0, 0 } }, /* Hindi */
		{ "\x03\x25\x01\x02", 4, false, { 0, 0 } },
		{ "\x02\x24\x00", 3, true, { 0, 0 } },
		{ "", 0, true, { 0, 0 } },
	};
	struct shift s;
	size_t i, n;
	uint8_t ies[SHIFT_IES_MAX], udh[16];

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(
		    shift_of_udh(&s, bytes_of(rows[i].udh, rows[i].len)),
		    rows[i].known);
		assert_int_equal(s.locking, rows[i].want.locking);
		assert_int_equal(s.single, rows[i].want.single);
	}
	n = shift_put_ies((struct shift){ SHIFT_TURKISH, SHIFT_SPANISH }, ies);
	assert_int_equal(n, 6);
	assert_memory_equal(ies, "\x24\x01\x02\x25\x01\x01", 6);
	assert_int_equal(shift_put_ies((struct shift){ 0, 0 }, ies), 0);
	n = udh_strip_shift((const uint8_t *)rows[3].udh, 9, udh);
	assert_int_equal(n, 6);
	assert_memory_equal(udh, "\x05\x00\x03\x07\x02\x01", 6);
	assert_int_equal(
	    udh_strip_shift((const uint8_t *)rows[0].udh, 4, udh), 0);
	assert_int_equal(shift_language("spanish"), SHIFT_SPANISH);
	assert_int_equal(shift_language("latin"), SHIFT_LANGUAGES);
}

/* ------------------------------------------------------------------- plans */

#define ALL                                                                    \
	(SHIFT_BIT(SHIFT_TURKISH) | SHIFT_BIT(SHIFT_SPANISH) |                 \
	    SHIFT_BIT(SHIFT_PORTUGUESE))

static uint8_t buf[SEGMENT_BUF];
static struct segment_plan plan;

static void
make(const char *unit, size_t n, unsigned national, bool wide)
{
	static char text[SEGMENT_BUF];
	struct segment_intent in = SEGMENT_INTENT_INIT;
	struct segment_profile profile = {
		.national = national, .wide_ref = wide, .ref = 7
	};
	size_t len = strlen(unit), i;

	for (i = 0; i < n; i++)
		memcpy(text + i * len, unit, len);
	in.text = bytes_of(text, n * len);
	assert_int_equal(
	    segment_plan(&plan, &in, &profile, buf, sizeof(buf)), SEGMENT_OK);
}

static void
test_part_limits(void **state)
{
	/* With one table the header has 4 octets, with concatenation 9 or 10:
	 * 155, 149 and 148 septets; 2 octets for the pair of an escape. */
	static const struct {
		const char *unit;
		size_t n;
		unsigned national;
		bool wide;
		unsigned want;
		const char *want_encoding;
		struct shift want_shift;
	} rows[] = {
		{ "ı", 70, ALL, false, 1, "ucs2", { 0, 0 } },
		{ "ı", 71, ALL, false, 1, "gsm7", { SHIFT_TURKISH, 0 } },
		{ "ı", 155, ALL, false, 1, "gsm7", { SHIFT_TURKISH, 0 } },
		{ "ı", 156, ALL, false, 2, "gsm7", { SHIFT_TURKISH, 0 } },
		{ "ı", 298, ALL, false, 2, "gsm7", { SHIFT_TURKISH, 0 } },
		{ "ı", 299, ALL, false, 3, "gsm7", { SHIFT_TURKISH, 0 } },
		{ "ı", 156, ALL, true, 2, "gsm7", { SHIFT_TURKISH, 0 } },
		{ "á", 77, SHIFT_BIT(SHIFT_SPANISH), false, 1, "gsm7",
		    { 0, SHIFT_SPANISH } },
		/* 78 pairs: two parts, as UCS-2 has */
		{ "á", 78, SHIFT_BIT(SHIFT_SPANISH), false, 2, "ucs2",
		    { 0, 0 } },
		{ "á", 78, ALL, false, 1, "gsm7", { SHIFT_PORTUGUESE, 0 } },
		{ "xxxxxxá", 40, SHIFT_BIT(SHIFT_SPANISH), false, 3, "gsm7",
		    { 0, SHIFT_SPANISH } },
		/* not among the languages; not in any */
		{ "ı", 100, SHIFT_BIT(SHIFT_SPANISH), false, 2, "ucs2",
		    { 0, 0 } },
		{ "ж", 100, ALL, false, 2, "ucs2", { 0, 0 } },
		{ "ı", 100, 0, false, 2, "ucs2", { 0, 0 } },
		/* the default alphabet is enough */
		{ "x", 200, ALL, false, 2, "gsm7", { 0, 0 } },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		make(rows[i].unit, rows[i].n, rows[i].national, rows[i].wide);
		if (plan.segments != rows[i].want ||
		    strcmp(plan.encoding, rows[i].want_encoding) != 0 ||
		    plan.shift.locking != rows[i].want_shift.locking ||
		    plan.shift.single != rows[i].want_shift.single)
			fail_msg("row %zu: %u %s %u/%u", i, plan.segments,
			    plan.encoding, plan.shift.locking,
			    plan.shift.single);
	}
}

/* What arrives: within 140 octets, no pair cut, readable part by part. */
static void
check_parts(const char *unit, size_t n, unsigned national, bool wide)
{
	static uint8_t joined[SEGMENT_BUF], text[SEGMENT_BUF];
	uint8_t octets[SEGMENT_PUT_MAX];
	size_t at = 0, len, head, got;
	struct udh_concat concat;
	struct shift said;
	unsigned i;

	make(unit, n, national, wide);
	for (i = 0; i < plan.n_parts; i++) {
		len = segment_put(&plan, i, octets, sizeof(octets));
		head = (plan.esm_class & 0x40) != 0 ? octets[0] + 1u : 0;
		assert_true(head <= len);
		assert_true(shift_of_udh(&said, bytes_of(octets, head)));
		assert_int_equal(said.locking, plan.shift.locking);
		assert_int_equal(said.single, plan.shift.single);
		assert_int_equal(
		    plan.n_parts > 1, udh_get_concat(octets, head, &concat));
		if (plan.alphabet == DCS_GSM7)
			assert_true(head +
				gsm7_packed_size(len - head, gsm7_fill(head)) <=
			    SEGMENT_OCTETS);
		else
			assert_true(len <= SEGMENT_OCTETS);
		assert_true(segment_text_behind(plan.data_coding,
		    SEGMENT_CHARSET_GSM, bytes_of(octets, head),
		    bytes_of(octets + head, len - head), text, sizeof(text),
		    &got));
		memcpy(joined + at, text, got);
		at += got;
	}
	assert_int_equal(at, n * strlen(unit));
	for (len = 0; len < at; len += strlen(unit))
		assert_memory_equal(joined + len, unit, strlen(unit));
}

static void
test_parts_arrive(void **state)
{
	static const char *const units[] = { "ığşçİ", "xá", "ãõ€", "Ωê",
		"abcğ" };
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(units); i++)
		for (n = 1; n < 150; n++) {
			check_parts(units[i], n, ALL, false);
			check_parts(units[i], n, ALL, true);
			check_parts(units[i], n, SHIFT_BIT(1 + i % 3), false);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_locking),
		cmocka_unit_test(test_single),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_part_limits),
		cmocka_unit_test(test_parts_arrive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
