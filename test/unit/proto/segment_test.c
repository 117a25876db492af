/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * segment_test.c - how many parts, of which octets, under which data_coding.
 * Limits by 3GPP 23.040: 140 octets of user data a part, 160 septets or 70
 * UCS-2 characters alone, 153 and 67 beside an 8-bit reference, 152 and 66
 * beside a 16-bit one.
 */
#include "proto/segment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"
#include "proto/charset.h"
#include "proto/smpp_pdu.h"
#include "proto/udh.h"

static uint8_t buf[SEGMENT_BUF];
static struct segment_plan plan;

/* `n` times `unit`, then `tail`. */
static char *
repeat(const char *unit, size_t n, const char *tail)
{
	char *s = malloc(n * strlen(unit) + strlen(tail) + 1), *p = s;
	const char *c;

	assert_non_null(s);
	while (n-- > 0)
		for (c = unit; *c != '\0'; c++)
			*p++ = *c;
	for (c = tail; *c != '\0'; c++)
		*p++ = *c;
	*p = '\0';
	return s;
}

static enum segment_error
plan_text(const char *text, const struct segment_profile *profile)
{
	struct segment_intent in = SEGMENT_INTENT_INIT;

	in.text = bytes_str(text);
	return segment_plan(&plan, &in, profile, buf, sizeof(buf));
}

/* The standard profile: what is counted and billed. */
static void
test_counts(void **state)
{
	static const struct {
		const char *unit;
		size_t n;
		const char *tail;
		unsigned want;
		uint8_t want_coding;
		const char *want_encoding;
	} rows[] = {
		{ "", 0, "", 1, 0, "gsm7" },
		{ "x", 1, "", 1, 0, "gsm7" },
		{ "x", 160, "", 1, 0, "gsm7" },
		{ "x", 161, "", 2, 0, "gsm7" },
		{ "x", 306, "", 2, 0, "gsm7" },
		{ "x", 307, "", 3, 0, "gsm7" },
		{ "x", 153 * 255, "", 255, 0, "gsm7" },
		{ "€", 80, "", 1, 0, "gsm7" },
		{ "€", 81, "", 2, 0, "gsm7" },
		/* 153 septets hold 76 pairs and one that stays free */
		{ "€", 152, "", 2, 0, "gsm7" },
		{ "€", 153, "", 3, 0, "gsm7" },
		{ "x", 159, "€", 2, 0, "gsm7" },
		{ "x", 158, "€", 1, 0, "gsm7" },
		{ "ж", 70, "", 1, 8, "ucs2" },
		{ "ж", 71, "", 2, 8, "ucs2" },
		{ "ж", 134, "", 2, 8, "ucs2" },
		{ "ж", 135, "", 3, 8, "ucs2" },
		{ "x", 69, "ж", 1, 8, "ucs2" },
		{ "x", 70, "ж", 2, 8, "ucs2" },
		{ "👋", 35, "", 1, 8, "ucs2" },
		{ "👋", 36, "", 2, 8, "ucs2" },
		/* 67 units hold 33 pairs and one that stays free */
		{ "👋", 66, "", 2, 8, "ucs2" },
		{ "👋", 67, "", 3, 8, "ucs2" },
		{ "ж", 67 * 255, "", 255, 8, "ucs2" },
	};
	static const struct segment_profile standard;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		char *text = repeat(rows[i].unit, rows[i].n, rows[i].tail);

		assert_int_equal(plan_text(text, &standard), SEGMENT_OK);
		if (plan.segments != rows[i].want)
			fail_msg("row %zu: %u parts, want %u", i, plan.segments,
			    rows[i].want);
		assert_int_equal(plan.n_parts, rows[i].want);
		assert_int_equal(plan.data_coding, rows[i].want_coding);
		assert_string_equal(plan.encoding, rows[i].want_encoding);
		assert_int_equal(
		    plan.esm_class, rows[i].want > 1 ? SMPP_ESM_UDHI : 0);
		free(text);
	}
}

static void
test_too_many(void **state)
{
	struct segment_profile profile = { .max_parts = 0 };
	char *text = repeat("x", 153 * 255 + 1, "");

	(void)state;
	assert_int_equal(plan_text(text, &profile), SEGMENT_TOO_MANY);
	assert_int_equal(plan.segments, 256);
	free(text);
	profile.max_parts = 3;
	text = repeat("x", 3 * 153, "");
	assert_int_equal(plan_text(text, &profile), SEGMENT_OK);
	free(text);
	text = repeat("x", 3 * 153 + 1, "");
	assert_int_equal(plan_text(text, &profile), SEGMENT_TOO_MANY);
	assert_int_equal(plan.segments, 4);
	/* payload is one PDU, and as many parts on the air */
	profile.method = SEGMENT_PAYLOAD;
	assert_int_equal(plan_text(text, &profile), SEGMENT_TOO_MANY);
	profile.max_parts = 4;
	assert_int_equal(plan_text(text, &profile), SEGMENT_OK);
	assert_int_equal(plan.n_parts, 1);
	assert_int_equal(plan.segments, 4);
	free(text);
	text = repeat("x", 65537, "");
	assert_int_equal(plan_text(text, &profile), SEGMENT_TOO_LONG);
	free(text);
}

static void
assert_part(unsigned i, const void *want, size_t len)
{
	uint8_t got[SEGMENT_PUT_MAX];
	size_t n, cap;

	n = segment_put(&plan, i, got, sizeof(got));
	assert_int_equal(n, len);
	assert_memory_equal(got, want, len);
	for (cap = 0; cap < len; cap++)
		assert_int_equal(segment_put(&plan, i, got, cap), 0);
}

static void
test_cut_at_escape(void **state)
{
	struct segment_profile profile = { .ref = 0x1242 };
	char *text = repeat("x", 152, "€yyyyyyyyyy");
	char *part = repeat("x", 152, "");
	static const uint8_t head[6] = { 5, 0, 3, 0x42, 2, 1 };
	uint8_t want[6 + 153];

	(void)state;
	assert_int_equal(plan_text(text, &profile), SEGMENT_OK);
	assert_int_equal(plan.n_parts, 2);
	assert_int_equal(plan.part[0].len, 152);
	memcpy(want, head, 6);
	memcpy(want + 6, part, 152);
	assert_part(0, want, 6 + 152);
	assert_part(1, "\x05\x00\x03\x42\x02\x02\x1b\x65yyyyyyyyyy", 6 + 12);
	assert_int_equal(segment_put(&plan, 2, want, sizeof(want)), 0);
	free(text);
	free(part);
}

static void
test_cut_at_pair(void **state)
{
	struct segment_profile profile = { .ref = 0x1242, .wide_ref = true };
	char *text = repeat("ж", 65, "👋жжжж");
	uint8_t got[SEGMENT_PUT_MAX];

	(void)state;
	/* Room for 66 units: the pair does not fit whole. */
	assert_int_equal(plan_text(text, &profile), SEGMENT_OK);
	assert_int_equal(plan.n_parts, 2);
	assert_int_equal(plan.part[0].len, 130);
	assert_part(1,
	    "\x06\x08\x04\x12\x42\x02\x02\xd8\x3d\xdc\x4b"
	    "\x04\x36\x04\x36\x04\x36\x04\x36",
	    7 + 12);
	assert_int_equal(segment_put(&plan, 0, got, sizeof(got)), 137);
	assert_memory_equal(got, "\x06\x08\x04\x12\x42\x02\x01", 7);
	free(text);
}

static void
test_customer_header(void **state)
{
	struct segment_intent in = SEGMENT_INTENT_INIT;
	struct segment_profile profile = { .ref = 7 };
	char *text = repeat("x", 153, "");
	uint8_t data[200], udh[140];

	(void)state;
	/* Ports: 7 octets leave 133, which are 152 septets. */
	in.udh = bytes_of("\x06\x05\x04\x15\x81\x15\x8a", 7);
	in.text = bytes_of(text, 152);
	assert_int_equal(
	    segment_plan(&plan, &in, &profile, buf, sizeof(buf)), SEGMENT_OK);
	assert_int_equal(plan.n_parts, 1);
	assert_int_equal(plan.esm_class, SMPP_ESM_UDHI);
	/* One more: 12 octets of header each, 146 septets. */
	in.text = bytes_of(text, 153);
	assert_int_equal(
	    segment_plan(&plan, &in, &profile, buf, sizeof(buf)), SEGMENT_OK);
	assert_int_equal(plan.n_parts, 2);
	assert_int_equal(plan.part[0].len, 146);
	assert_part(
	    1, "\x0b\x05\x04\x15\x81\x15\x8a\x00\x03\x07\x02\x02xxxxxxx", 19);
	/* SAR cannot go beside a header. */
	profile.method = SEGMENT_SAR;
	profile.ref = 0x1207;
	assert_int_equal(
	    segment_plan(&plan, &in, &profile, buf, sizeof(buf)), SEGMENT_OK);
	assert_false(plan.sar);
	assert_int_equal(plan.ref, 0x07);
	profile.method = SEGMENT_UDH;

	/* A part that the customer has split himself. */
	in.udh = bytes_of("\x05\x00\x03\x42\x02\x01", 6);
	in.text = bytes_of(text, 153);
	assert_int_equal(
	    segment_plan(&plan, &in, &profile, buf, sizeof(buf)), SEGMENT_OK);
	in.text = bytes_str("");
	memset(data, 'x', sizeof(data));
	in.data = bytes_of(data, 134);
	in.coding = SEGMENT_BINARY;
	assert_int_equal(
	    segment_plan(&plan, &in, &profile, buf, sizeof(buf)), SEGMENT_OK);
	assert_int_equal(plan.data_coding, 4);
	assert_ptr_equal(plan.octets.p, data);
	in.data = bytes_of(data, 135);
	assert_int_equal(segment_plan(&plan, &in, &profile, buf, sizeof(buf)),
	    SEGMENT_TOO_LONG);

	/* A header that leaves no room, or is none. */
	memset(udh, 0, sizeof(udh));
	udh[0] = 133;
	udh[1] = 0x70;
	udh[2] = 131;
	in.udh = bytes_of(udh, 134);
	in.data = bytes_of(data, 6);
	assert_int_equal(
	    segment_plan(&plan, &in, &profile, buf, sizeof(buf)), SEGMENT_OK);
	in.data = bytes_of(data, 7);
	assert_int_equal(segment_plan(&plan, &in, &profile, buf, sizeof(buf)),
	    SEGMENT_BAD_UDH);
	in.udh = bytes_of("\x05\x00\x04\x42\x02\x01", 6);
	assert_int_equal(segment_plan(&plan, &in, &profile, buf, sizeof(buf)),
	    SEGMENT_BAD_UDH);
	in.udh = bytes_of("\x05\x00\x03\x42\x02\x01x", 7);
	assert_int_equal(segment_plan(&plan, &in, &profile, buf, sizeof(buf)),
	    SEGMENT_BAD_UDH);
	free(text);
}

/* data_coding, by what was asked for and what the link calls 0. */
static void
test_coding(void **state)
{
	static const struct {
		const char *text;
		enum segment_coding coding;
		int data_coding;
		enum segment_charset charset;
		enum segment_error want;
		uint8_t want_coding;
		const char *want_octets;
		size_t want_len;
	} rows[] = {
		{ "é", SEGMENT_AUTO, DCS_NONE, SEGMENT_CHARSET_GSM, SEGMENT_OK,
		    0, "\x05", 1 },
		{ "é", SEGMENT_AUTO, DCS_NONE, SEGMENT_CHARSET_LATIN1,
		    SEGMENT_OK, 0, "\xe9", 1 },
		{ "é", SEGMENT_AUTO, DCS_NONE, SEGMENT_CHARSET_UTF8, SEGMENT_OK,
		    0, "\xc3\xa9", 2 },
		{ "é", SEGMENT_AUTO, DCS_NONE, SEGMENT_CHARSET_UCS2, SEGMENT_OK,
		    0, "\x00\xe9", 2 },
		{ "é", SEGMENT_UCS2, DCS_NONE, SEGMENT_CHARSET_GSM, SEGMENT_OK,
		    8, "\x00\xe9", 2 },
		{ "é", SEGMENT_BINARY, DCS_NONE, SEGMENT_CHARSET_GSM,
		    SEGMENT_OK, 4, "\xc3\xa9", 2 },
		{ "ж", SEGMENT_GSM7, DCS_NONE, SEGMENT_CHARSET_GSM,
		    SEGMENT_MISFIT, 0, "", 0 },
		{ "ж", SEGMENT_AUTO, DCS_NONE, SEGMENT_CHARSET_GSM, SEGMENT_OK,
		    8, "\x04\x36", 2 },
		{ "ж", SEGMENT_AUTO, DCS_NONE, SEGMENT_CHARSET_LATIN1,
		    SEGMENT_OK, 8, "\x04\x36", 2 },
		/* Latin-1 has it, handsets do not: UCS-2 */
		{ "ê", SEGMENT_AUTO, DCS_NONE, SEGMENT_CHARSET_LATIN1,
		    SEGMENT_OK, 8, "\x00\xea", 2 },
		{ "ê", SEGMENT_GSM7, DCS_NONE, SEGMENT_CHARSET_LATIN1,
		    SEGMENT_OK, 0, "\xea", 1 },
		/* an exact data_coding says how, too */
		{ "é", SEGMENT_AUTO, 3, SEGMENT_CHARSET_GSM, SEGMENT_OK, 3,
		    "\xe9", 1 },
		{ "ж", SEGMENT_AUTO, 6, SEGMENT_CHARSET_GSM, SEGMENT_OK, 6,
		    "\xd6", 1 },
		{ "№", SEGMENT_AUTO, 6, SEGMENT_CHARSET_GSM, SEGMENT_OK, 6,
		    "\xf0", 1 },
		{ "ש", SEGMENT_AUTO, 7, SEGMENT_CHARSET_GSM, SEGMENT_OK, 7,
		    "\xf9", 1 },
		{ "ж", SEGMENT_AUTO, 3, SEGMENT_CHARSET_GSM, SEGMENT_MISFIT, 0,
		    "", 0 },
		{ "é", SEGMENT_AUTO, 1, SEGMENT_CHARSET_GSM, SEGMENT_MISFIT, 0,
		    "", 0 },
		{ "ж", SEGMENT_AUTO, 8, SEGMENT_CHARSET_GSM, SEGMENT_OK, 8,
		    "\x04\x36", 2 },
		{ "é", SEGMENT_AUTO, 0xf0, SEGMENT_CHARSET_LATIN1, SEGMENT_OK,
		    0xf0, "\xe9", 1 },
		{ "é", SEGMENT_UCS2, 0, SEGMENT_CHARSET_GSM, SEGMENT_OK, 0,
		    "\x00\xe9", 2 },
		{ "a\xff", SEGMENT_AUTO, DCS_NONE, SEGMENT_CHARSET_GSM,
		    SEGMENT_MISFIT, 0, "", 0 },
		{ "a\xff", SEGMENT_AUTO, DCS_NONE, SEGMENT_CHARSET_UTF8,
		    SEGMENT_MISFIT, 0, "", 0 },
	};
	struct segment_intent in;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct segment_profile profile = { .charset = rows[i].charset };

		in = (struct segment_intent)SEGMENT_INTENT_INIT;
		in.text = bytes_str(rows[i].text);
		in.coding = rows[i].coding;
		in.data_coding = rows[i].data_coding;
		if (segment_plan(&plan, &in, &profile, buf, sizeof(buf)) !=
		    rows[i].want)
			fail_msg("row %zu", i);
		if (rows[i].want != SEGMENT_OK)
			continue;
		if (plan.data_coding != rows[i].want_coding ||
		    plan.octets.len != rows[i].want_len ||
		    memcmp(plan.octets.p, rows[i].want_octets,
			rows[i].want_len) != 0)
			fail_msg("row %zu", i);
	}
}

static void
test_misfit(void **state)
{
	struct segment_intent in = SEGMENT_INTENT_INIT;
	struct segment_profile profile = { .charset = SEGMENT_CHARSET_GSM };

	(void)state;
	in.text = bytes_str("abж");
	in.coding = SEGMENT_GSM7;
	assert_int_equal(segment_plan(&plan, &in, &profile, buf, sizeof(buf)),
	    SEGMENT_MISFIT);
	assert_int_equal(plan.misfit.cp, 0x436);
	assert_int_equal(plan.misfit.offset, 2);
	in.lossy = true;
	assert_int_equal(
	    segment_plan(&plan, &in, &profile, buf, sizeof(buf)), SEGMENT_OK);
	assert_int_equal(plan.octets.len, 3);
	assert_memory_equal(plan.octets.p, "ab?", 3);
	/* A buffer that is too small. */
	in.text = bytes_str("abc");
	assert_int_equal(
	    segment_plan(&plan, &in, &profile, buf, 2), SEGMENT_TOO_LONG);
	/* Text and data, or a value out of range. */
	in.data = bytes_of("x", 1);
	assert_int_equal(segment_plan(&plan, &in, &profile, buf, sizeof(buf)),
	    SEGMENT_BAD_INTENT);
	in.data = bytes_of(NULL, 0);
	in.message_class = 4;
	assert_int_equal(segment_plan(&plan, &in, &profile, buf, sizeof(buf)),
	    SEGMENT_BAD_INTENT);
	in.message_class = 0;
	in.alt_dcs = 1;
	assert_int_equal(
	    segment_plan(&plan, &in, &profile, buf, sizeof(buf)), SEGMENT_OK);
	assert_int_equal(plan.data_coding, 0xf0);
}

/* Links whose charset is not the handset's: weighed as it goes on the air. */
static void
test_weight(void **state)
{
	static const struct {
		const char *unit;
		size_t n;
		enum segment_charset charset;
		unsigned want;
	} rows[] = {
		{ "é", 160, SEGMENT_CHARSET_LATIN1, 1 },
		{ "é", 161, SEGMENT_CHARSET_LATIN1, 2 },
		{ "[", 80, SEGMENT_CHARSET_LATIN1, 1 },
		{ "[", 81, SEGMENT_CHARSET_LATIN1, 2 },
		{ "x", 160, SEGMENT_CHARSET_UTF8, 1 },
		/* 254 octets of a PDU end before 160 characters do */
		{ "é", 127, SEGMENT_CHARSET_UTF8, 1 },
		{ "é", 128, SEGMENT_CHARSET_UTF8, 2 },
		{ "[", 81, SEGMENT_CHARSET_UTF8, 2 },
		{ "x", 70, SEGMENT_CHARSET_UCS2, 1 },
		{ "x", 71, SEGMENT_CHARSET_UCS2, 2 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct segment_profile profile = { .charset = rows[i].charset };
		char *text = repeat(rows[i].unit, rows[i].n, "");

		assert_int_equal(plan_text(text, &profile), SEGMENT_OK);
		if (plan.segments != rows[i].want)
			fail_msg("row %zu: %u", i, plan.segments);
		free(text);
	}
}

static void
test_methods(void **state)
{
	struct segment_profile profile = { .method = SEGMENT_SAR,
		.ref = 0x1234 };
	char *text = repeat("x", 200, ""), *part = repeat("x", 153, "");
	uint8_t got[300];

	(void)state;
	assert_int_equal(plan_text(text, &profile), SEGMENT_OK);
	assert_true(plan.sar);
	assert_int_equal(plan.ref, 0x1234);
	assert_int_equal(plan.n_parts, 2);
	assert_int_equal(plan.esm_class, 0);
	assert_part(0, part, 153);
	assert_part(1, part, 47);

	profile.method = SEGMENT_PAYLOAD;
	assert_int_equal(plan_text(text, &profile), SEGMENT_OK);
	assert_true(plan.payload);
	assert_int_equal(plan.n_parts, 1);
	assert_int_equal(plan.segments, 2);
	assert_int_equal(segment_put(&plan, 0, got, sizeof(got)), 200);
	/* What fits is short_message all the same. */
	assert_int_equal(plan_text("short", &profile), SEGMENT_OK);
	assert_false(plan.payload);
	assert_int_equal(plan.method, SEGMENT_UDH);
	free(text);
	free(part);
}

/* ---------------------------------------------------- messages that come in */

static void
test_user(void **state)
{
	static const struct {
		const char *octets;
		size_t len;
		size_t want_udh;
		struct segment_key key;
		uint8_t esm_class;
		bool want;
	} rows[] = {
		{ "hello", 5, 0, { SEGMENT_WHOLE, 0, 1, 1 }, 0, true },
		{ "", 0, 0, { SEGMENT_WHOLE, 0, 1, 1 }, 0, true },
		{ "\x05\x00\x03\x42\x02\x01hi", 8, 6,
		    { SEGMENT_REF8, 0x42, 2, 1 }, 0x40, true },
		{ "\x06\x08\x04\x12\x34\x03\x02hi", 9, 7,
		    { SEGMENT_REF16, 0x1234, 3, 2 }, 0x40, true },
		{ "\x06\x05\x04\x15\x81\x15\x8ahi", 9, 7,
		    { SEGMENT_WHOLE, 0, 1, 1 }, 0x44, true },
		/* without the flag it is text */
		{ "\x05\x00\x03\x42\x02\x01hi", 8, 0,
		    { SEGMENT_WHOLE, 0, 1, 1 }, 0, true },
		/* malformed: all of it is data */
		{ "\x09\x00\x03\x42\x02\x01hi", 8, 0,
		    { SEGMENT_WHOLE, 0, 1, 1 }, 0x40, false },
		{ "", 0, 0, { SEGMENT_WHOLE, 0, 1, 1 }, 0x40, false },
	};
	struct segment_user user;
	struct smpp_pdu pdu;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		smpp_pdu_init(&pdu, SMPP_DELIVER_SM, 0, 1);
		pdu.esm_class = rows[i].esm_class;
		pdu.short_message = bytes_of(rows[i].octets, rows[i].len);
		if (segment_user(&pdu, &user) != rows[i].want)
			fail_msg("row %zu", i);
		assert_int_equal(user.key.kind, rows[i].key.kind);
		assert_int_equal(user.key.ref, rows[i].key.ref);
		assert_int_equal(user.key.total, rows[i].key.total);
		assert_int_equal(user.key.seq, rows[i].key.seq);
		assert_int_equal(user.udh.len, rows[i].want_udh);
		assert_int_equal(user.data.len, rows[i].len - rows[i].want_udh);
	}
	/* sar_* TLVs; all three, and a sane number. */
	smpp_pdu_init(&pdu, SMPP_DELIVER_SM, 0, 1);
	assert_true(smpp_tlv_add_u16(&pdu, SMPP_TLV_SAR_MSG_REF_NUM, 0x1234));
	assert_true(smpp_tlv_add_u8(&pdu, SMPP_TLV_SAR_TOTAL_SEGMENTS, 3));
	assert_true(segment_user(&pdu, &user));
	assert_int_equal(user.key.kind, SEGMENT_WHOLE);
	assert_true(smpp_tlv_add_u8(&pdu, SMPP_TLV_SAR_SEGMENT_SEQNUM, 3));
	assert_true(segment_user(&pdu, &user));
	assert_int_equal(user.key.kind, SEGMENT_REFSAR);
	assert_int_equal(user.key.ref, 0x1234);
	assert_int_equal(user.key.seq, 3);
	pdu.tlv[2].small[0] = 4;
	assert_true(segment_user(&pdu, &user));
	assert_int_equal(user.key.kind, SEGMENT_WHOLE);
}

static void
test_text(void **state)
{
	static const struct {
		uint8_t data_coding;
		enum segment_charset charset;
		const char *octets;
		size_t len;
		const char *want; /* NULL: not text */
	} rows[] = {
		{ 0, SEGMENT_CHARSET_GSM, "\x00\x1b\x65", 3, "@€" },
		{ 0, SEGMENT_CHARSET_LATIN1, "\xe9", 1, "é" },
		{ 0, SEGMENT_CHARSET_UTF8, "\xc3\xa9\xff", 3, "é\xef\xbf\xbd" },
		{ 0, SEGMENT_CHARSET_UCS2, "\x00\xe9", 2, "é" },
		{ 0xf0, SEGMENT_CHARSET_GSM, "\x05", 1, "é" },
		{ 1, SEGMENT_CHARSET_GSM, "a\xe9", 2, "aé" },
		{ 3, SEGMENT_CHARSET_GSM, "\xe9", 1, "é" },
		{ 6, SEGMENT_CHARSET_GSM, "\xd6\xf0\xfd", 3, "ж№§" },
		{ 7, SEGMENT_CHARSET_GSM, "\xf9\xa1", 2, "ש\xef\xbf\xbd" },
		{ 8, SEGMENT_CHARSET_GSM, "\xd8\x3d\xdc\x4b", 4, "👋" },
		{ 0x18, SEGMENT_CHARSET_GSM, "\x04\x36", 2, "ж" },
		{ 4, SEGMENT_CHARSET_GSM, "x", 1, NULL },
		{ 0xf5, SEGMENT_CHARSET_GSM, "x", 1, NULL },
		{ 5, SEGMENT_CHARSET_GSM, "x", 1, NULL },
	};
	uint8_t got[32];
	size_t i, n, cap;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct bytes octets = bytes_of(rows[i].octets, rows[i].len);

		n = 99;
		if (segment_text(rows[i].data_coding, rows[i].charset, octets,
			got, sizeof(got), &n) != (rows[i].want != NULL))
			fail_msg("row %zu", i);
		if (rows[i].want == NULL) {
			assert_int_equal(n, 99);
			continue;
		}
		assert_int_equal(n, strlen(rows[i].want));
		assert_memory_equal(got, rows[i].want, n);
		for (cap = 0; cap < strlen(rows[i].want); cap++) {
			assert_true(segment_text(rows[i].data_coding,
			    rows[i].charset, octets, got, cap, &n));
			assert_true(n <= cap);
			assert_int_equal(utf8_check(got, n), n);
		}
	}
}

/* What was text comes back as the octets that it was, or not at all. */
static void
test_octets(void **state)
{
	static const struct {
		uint8_t data_coding;
		enum segment_charset charset;
		const char *octets;
		size_t len;
		bool same;
	} rows[] = {
		{ 0, SEGMENT_CHARSET_GSM, "\x00\x1b\x65", 3, true },
		{ 0xf1, SEGMENT_CHARSET_GSM, "\x05", 1, true },
		{ 0, SEGMENT_CHARSET_LATIN1, "\xe9", 1, true },
		{ 0, SEGMENT_CHARSET_UTF8, "\xc3\xa9", 2, true },
		{ 0, SEGMENT_CHARSET_UCS2, "\x00\xe9", 2, true },
		{ 1, SEGMENT_CHARSET_GSM, "a\xe9", 2, true },
		{ 3, SEGMENT_CHARSET_GSM, "\xe9\xff", 2, true },
		{ 6, SEGMENT_CHARSET_GSM, "\xd6\xf0\xfd", 3, true },
		{ 7, SEGMENT_CHARSET_GSM, "\xf9\xfa", 2, true },
		{ 8, SEGMENT_CHARSET_GSM, "\xd8\x3d\xdc\x4b", 4, true },
		{ 0, SEGMENT_CHARSET_GSM, "", 0, true },
		/* Turkish, an octet over 0x7f, a hole, half a pair. */
		{ 0, SEGMENT_CHARSET_GSM, "\x1b\x67", 2, false },
		{ 0, SEGMENT_CHARSET_GSM, "\x80", 1, false },
		{ 7, SEGMENT_CHARSET_GSM, "\xa1", 1, false },
		{ 8, SEGMENT_CHARSET_GSM, "\xd8\x3d", 2, false },
		{ 8, SEGMENT_CHARSET_GSM, "\x00\x41\x00", 3, false },
	};
	uint8_t text[32], got[32];
	size_t i, n, m, cap;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct bytes octets = bytes_of(rows[i].octets, rows[i].len);
		bool same;

		assert_true(segment_text(rows[i].data_coding, rows[i].charset,
		    octets, text, sizeof(text), &n));
		same = segment_octets(rows[i].data_coding, rows[i].charset,
			   bytes_of(text, n), got, sizeof(got), &m) &&
		    bytes_eq(bytes_of(got, m), octets);
		if (same != rows[i].same)
			fail_msg("row %zu", i);
		for (cap = 0; same && cap < octets.len; cap++)
			assert_false(segment_octets(rows[i].data_coding,
			    rows[i].charset, bytes_of(text, n), got, cap, &m));
	}
	assert_false(segment_octets(
	    4, SEGMENT_CHARSET_GSM, bytes_str("x"), got, sizeof(got), &m));
	assert_false(segment_octets(
	    0, SEGMENT_CHARSET_GSM, bytes_str("ж"), got, sizeof(got), &m));
}

/* ISO-8859-5 and -8 are written out by hand: iconv knows them as well. */
static void
test_small_charsets(void **state)
{
	static const struct {
		uint8_t data_coding;
		const char *name;
	} rows[] = {
		{ 3, "ISO-8859-1" },
		{ 6, "ISO-8859-5" },
		{ 7, "ISO-8859-8" },
	};
	struct segment_intent in = SEGMENT_INTENT_INIT;
	struct segment_profile profile = { .max_parts = 0 };
	uint8_t octet, want[8], got[8];
	struct charset c;
	size_t i, n, m;
	unsigned v;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(charset_open(&c, rows[i].name), 0);
		for (v = 0; v < 256; v++) {
			octet = (uint8_t)v;
			if (charset_to_utf8(
				&c, &octet, 1, want, sizeof(want), &m) != 0) {
				memcpy(want, "\xef\xbf\xbd", 3);
				m = 3;
			}
			assert_true(segment_text(rows[i].data_coding,
			    SEGMENT_CHARSET_GSM, bytes_of(&octet, 1), got,
			    sizeof(got), &n));
			if (n != m || memcmp(got, want, n) != 0)
				fail_msg("%s 0x%02x", rows[i].name, v);
			if (m == 3 && memcmp(want, "\xef\xbf\xbd", 3) == 0)
				continue;
			in.data_coding = rows[i].data_coding;
			in.text = bytes_of(want, m);
			assert_int_equal(segment_plan(&plan, &in, &profile, buf,
					     sizeof(buf)),
			    SEGMENT_OK);
			assert_int_equal(plan.octets.len, 1);
			assert_int_equal(plan.octets.p[0], v);
		}
		charset_close(&c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_cut_at_escape),
		cmocka_unit_test(test_cut_at_pair),
		cmocka_unit_test(test_customer_header),
		cmocka_unit_test(test_coding),
		cmocka_unit_test(test_misfit),
		cmocka_unit_test(test_weight),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_octets),
		cmocka_unit_test(test_small_charsets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
