/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join_test.c - parts into one Content: text, octets, both; headers with and
 * without a concatenation; what does not fit.
 */
#include "proto/join.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"

static ProtobufCBinaryData
bytes(const char *s, size_t len)
{
	return (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)s };
}

/* 't': text, 'd': octets. */
static Hopyard__V1__Content
part(char kind, const char *s)
{
	Hopyard__V1__Content c = HOPYARD__V1__CONTENT__INIT;

	c.has_text = kind == 't';
	c.has_data = kind == 'd';
	if (kind == 't')
		c.text = bytes(s, strlen(s));
	else
		c.data = bytes(s, strlen(s));
	return c;
}

static const struct {
	const char *name;
	const char *kinds; /* of the parts */
	const char *part[3];
	bool want_text;
	const char *want;
} rows[] = {
	{ "text", "ttt", { "Hello ", "w\xc3\xb6rld", "!" }, true,
	    "Hello w\xc3\xb6rld!" },
	{ "octets", "dd", { "\x01\x02", "\xff" }, false, "\x01\x02\xff" },
	{ "both", "td", { "a\xc3\xa4", "\xff" }, false, "a\xc3\xa4\xff" },
	{ "both, the other way", "dt", { "\xff", "a" }, false,
	    "\xff"
	    "a" },
	{ "an empty part", "ttt", { "a", "", "b" }, true, "ab" },
	{ "one part", "t", { "a" }, true, "a" },
};

static void
joins(void **state)
{
	uint8_t dst[64];
	struct join j;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		Hopyard__V1__Content first =
		    part(rows[i].kinds[0], rows[i].part[0]);
		ProtobufCBinaryData got;

		join_init(&j, dst, sizeof(dst));
		for (size_t k = 0; rows[i].kinds[k] != '\0'; k++) {
			Hopyard__V1__Content c =
			    part(rows[i].kinds[k], rows[i].part[k]);

			assert_true(join_add(&j, &c));
		}
		join_finish(&j, &first);
		assert_int_equal(first.has_text, rows[i].want_text);
		assert_int_equal(first.has_data, !rows[i].want_text);
		got = rows[i].want_text ? first.text : first.data;
		assert_int_equal(got.len, strlen(rows[i].want));
		assert_memory_equal(got.data, rows[i].want, got.len);
		assert_int_equal(
		    first.coding == HOPYARD__V1__CONTENT__CODING__BINARY,
		    !rows[i].want_text);
	}
}

static void
neither_text_nor_octets(void **state)
{
	Hopyard__V1__Content none = HOPYARD__V1__CONTENT__INIT;
	uint8_t dst[8];
	struct join j;

	(void)state;
	join_init(&j, dst, sizeof(dst));
	assert_true(join_add(&j, &none));
	join_finish(&j, &none);
	assert_true(none.has_data);
	assert_int_equal(none.data.len, 0);
}

static void
what_does_not_fit_is_left_out(void **state)
{
	Hopyard__V1__Content a = part('t', "1234"), b = part('t', "56"),
			     c = part('t', "5");
	uint8_t dst[5];
	struct join j;

	(void)state;
	join_init(&j, dst, sizeof(dst));
	assert_true(join_add(&j, &a));
	assert_false(join_add(&j, &b));
	assert_true(join_add(&j, &c));
	assert_false(join_add(&j, &c));
	join_finish(&j, &a);
	assert_int_equal(a.text.len, 5);
	assert_memory_equal(a.text.data, "12345", 5);
}

/* Only what made it a part goes: the ports and other TLVs stay. */
static void
marks_of_a_part_are_gone(void **state)
{
	static const char concat[] = "\x05\x00\x03\x42\x02\x01";
	static const char both[] =
	    "\x0b\x05\x04\x15\x81\x15\x8a\x00\x03\x42\x02\x02";
	static const char ports[] = "\x06\x05\x04\x15\x81\x15\x8a";
	Hopyard__V1__Tlv tlv[5], *list[5];
	Hopyard__V1__Content c = part('t', "a");
	uint32_t tags[5] = { 0x020c, 0x0204, 0x020e, 0x020f, 0x1400 };
	uint8_t dst[8];
	struct join j;

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		hopyard__v1__tlv__init(&tlv[i]);
		tlv[i].tag = tags[i];
		list[i] = &tlv[i];
	}
	c.has_udh = true;
	c.udh = bytes(both, sizeof(both) - 1);
	c.has_esm_class = true;
	c.esm_class = 0x43;
	c.n_tlv = 5;
	c.tlv = list;
	join_init(&j, dst, sizeof(dst));
	assert_true(join_add(&j, &c));
	join_finish(&j, &c);
	assert_true(c.has_udh);
	assert_int_equal(c.udh.len, sizeof(ports) - 1);
	assert_memory_equal(c.udh.data, ports, sizeof(ports) - 1);
	assert_int_equal(c.esm_class, 0x43);
	assert_int_equal(c.n_tlv, 2);
	assert_int_equal(c.tlv[0]->tag, 0x0204);
	assert_int_equal(c.tlv[1]->tag, 0x1400);

	c.udh = bytes(concat, sizeof(concat) - 1);
	join_init(&j, dst, sizeof(dst));
	join_finish(&j, &c);
	assert_false(c.has_udh);
	assert_int_equal(c.esm_class, 0x03);
	/* One that lies about its length, and one that is far too long. */
	for (size_t len = 1; len < 3; len++) {
		static const char lies[300] = "\x7f";

		c.has_udh = true;
		c.udh = bytes(lies, len == 1 ? 1 : sizeof(lies));
		c.esm_class = 0x40;
		join_init(&j, dst, sizeof(dst));
		join_finish(&j, &c);
		assert_false(c.has_udh);
		assert_int_equal(c.esm_class, 0);
	}
}

/* A part of UCS-2, of which text is what can be said of it. */
static Hopyard__V1__Content
wide(const char *text, const char *raw, size_t len, bool udhi)
{
	Hopyard__V1__Content c = part('t', text);

	c.has_raw = true;
	c.raw = bytes(raw, len);
	c.has_data_coding = true;
	c.data_coding = 8;
	c.esm_class = udhi ? 0x40 : 0;
	return c;
}

static void
halves_of_a_character(void **state)
{
#define FFFD "\xef\xbf\xbd"
	static const char one[] = "\x05\x00\x03\x42\x02\x01\x00\x61\xd8\x3d";
	static const char two[] = "\x05\x00\x03\x42\x02\x02\xdc\x4d\x00\x62";
	static const char sar[] = "\xdc\x4d\x00\x62";
	const struct {
		Hopyard__V1__Content first, second;
		const char *want;
	} cases[] = {
		{ wide("a" FFFD, one, 10, true), wide(FFFD "b", two, 10, true),
		    "a\xf0\x9f\x91\x8d"
		    "b" },
		{ wide("a" FFFD, one, 10, true), wide(FFFD "b", sar, 4, false),
		    "a\xf0\x9f\x91\x8d"
		    "b" },
		/* Not the other half, or none, or not from there. */
		{ wide("a" FFFD, one, 10, true), wide(FFFD, one, 10, true),
		    "a" FFFD FFFD },
		{ wide("a" FFFD, one, 10, true), part('t', FFFD "b"),
		    "a" FFFD FFFD "b" },
		{ part('t', "a" FFFD), wide(FFFD "b", two, 10, true),
		    "a" FFFD FFFD "b" },
		{ wide("a", one, 10, true), wide("b", two, 10, true), "ab" },
		{ wide("a" FFFD, one, 9, true), wide(FFFD "b", two, 10, true),
		    "a" FFFD FFFD "b" },
		{ wide("a" FFFD, "\x7f", 1, true), wide(FFFD, "", 0, true),
		    "a" FFFD FFFD },
	};
	uint8_t dst[16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		Hopyard__V1__Content c = cases[i].first;
		size_t len = strlen(cases[i].want);
		struct join j;

		join_init(&j, dst, sizeof(dst));
		assert_true(join_add(&j, &cases[i].first));
		assert_true(join_add(&j, &cases[i].second));
		join_finish(&j, &c);
		assert_int_equal(c.text.len, len);
		assert_memory_equal(c.text.data, cases[i].want, len);
		/* It fits exactly, or not at all. */
		join_init(&j, dst, len);
		assert_true(join_add(&j, &cases[i].first));
		assert_true(join_add(&j, &cases[i].second));
		join_init(&j, dst, len - 1);
		if (join_add(&j, &cases[i].first))
			assert_false(join_add(&j, &cases[i].second));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(joins),
		cmocka_unit_test(neither_text_nor_octets),
		cmocka_unit_test(what_does_not_fit_is_left_out),
		cmocka_unit_test(marks_of_a_part_are_gone),
		cmocka_unit_test(halves_of_a_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
