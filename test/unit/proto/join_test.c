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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(joins),
		cmocka_unit_test(neither_text_nor_octets),
		cmocka_unit_test(what_does_not_fit_is_left_out),
		cmocka_unit_test(marks_of_a_part_are_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
