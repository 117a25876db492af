/* SPDX-License-Identifier: BSD-2-Clause */
/* The bytes of array_recv(), written out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/store/column.h"
#include "boxes/store/pg.h"

static void
check(struct column *c, const uint8_t *want, size_t len)
{
	struct pg_params p = { .count = 0 };

	column_param(c, &p);
	assert_int_equal(p.count, 1);
	assert_int_equal(p.binary[0], 1);
	assert_int_equal(p.length[0], len);
	assert_memory_equal(p.value[0], want, len);
}

static void
numbers(void **state)
{
	static const uint8_t want8[] = { 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 20, 0,
		0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0xff,
		0xff, 0xff, 0xff, 0, 0, 0, 8, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xfe };
	static const uint8_t want2[] = { 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 21, 0,
		0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0x12, 0x34 };
	static const uint8_t want1[] = { 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 16, 0,
		0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0 };
	struct column c;

	(void)state;
	column_init(&c, COLUMN_INT8);
	column_add(&c, 0x0102030405060708);
	column_add_null(&c);
	column_add(&c, -2);
	check(&c, want8, sizeof(want8));
	column_fini(&c);
	column_init(&c, COLUMN_INT2);
	column_add(&c, 0x1234);
	check(&c, want2, sizeof(want2));
	column_fini(&c);
	column_init(&c, COLUMN_BOOL);
	column_add(&c, 7);
	column_add(&c, 0);
	check(&c, want1, sizeof(want1));
	column_fini(&c);
}

static void
empty(void **state)
{
	static const uint8_t want[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 17 };
	struct column c;

	(void)state;
	column_init(&c, COLUMN_BYTEA);
	check(&c, want, sizeof(want));
	column_add_bytes(&c, "abc", 3);
	column_add_null(&c);
	/* A column that is used again forgets its NULLs. */
	column_clear(&c);
	check(&c, want, sizeof(want));
	column_fini(&c);
}

static const struct {
	const char *in, *want;
	size_t len;
} texts[] = {
	{ "", "", 0 },
	{ "plain", "plain", 5 },
	{ "a\nb\tc\x7f", "a?b?c?", 6 },
	{ "nul\0byte", "nul?byte", 8 },
	{ "\xc3\xa4\xe2\x82\xac", "\xc3\xa4\xe2\x82\xac", 5 },
	{ "\xf0\x9f\x91\x8b", "\xf0\x9f\x91\x8b", 4 },
	{ "\xc3", "?", 1 },                /* cut */
	{ "x\xc0\xafy", "x??y", 4 },       /* overlong */
	{ "\xed\xa0\x80", "???", 3 },      /* surrogate */
	{ "\xf4\x90\x80\x80", "????", 4 }, /* beyond Unicode */
	{ "\xe2\x82z", "??z", 3 },
};

static void
text(void **state)
{
	struct column c;

	(void)state;
	column_init(&c, COLUMN_TEXT);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		column_clear(&c);
		column_add_text(&c, texts[i].in, texts[i].len);
		assert_int_equal(c.len, 20 + 4 + texts[i].len);
		assert_memory_equal(c.base + 24, texts[i].want, texts[i].len);
	}
	column_fini(&c);
}

static void
growth(void **state)
{
	struct column c;
	static uint8_t big[5000];

	(void)state;
	memset(big, 'b', sizeof(big));
	column_init(&c, COLUMN_BYTEA);
	for (size_t i = 0; i <= sizeof(big); i += 50)
		column_add_bytes(&c, big, i);
	assert_int_equal(c.count, 101);
	for (size_t i = 0, at = 20; i <= sizeof(big); i += 50) {
		assert_int_equal(c.base[at + 2] << 8 | c.base[at + 3], i);
		assert_memory_equal(c.base + at + 4, big, i);
		at += 4 + i;
	}
	column_fini(&c);
}

static void
check_first(const struct column *c, const void *want, int len)
{
	struct pg_params p = { .count = 0 };

	column_param_first(c, &p);
	assert_int_equal(p.count, 1);
	assert_int_equal(p.binary[0], 1);
	if (want == NULL) {
		assert_null(p.value[0]);
		return;
	}
	assert_non_null(p.value[0]);
	assert_int_equal(p.length[0], len);
	assert_memory_equal(p.value[0], want, (size_t)len);
}

/* One value throughout, which NULL and no bytes are not the same as. */
static void
same(void **state)
{
	static const uint8_t seven[] = { 0, 0, 0, 7 };
	struct column c;

	(void)state;
	column_init(&c, COLUMN_INT4);
	assert_false(column_is_same(&c));
	column_add(&c, 7);
	assert_true(column_is_same(&c));
	column_add(&c, 7);
	column_add(&c, 7);
	assert_true(column_is_same(&c));
	check_first(&c, seven, 4);
	column_add(&c, 8);
	assert_false(column_is_same(&c));
	check_first(&c, seven, 4);
	column_clear(&c);
	column_add_null(&c);
	column_add_null(&c);
	assert_true(column_is_same(&c));
	check_first(&c, NULL, 0);
	column_add(&c, 7);
	assert_false(column_is_same(&c));
	column_fini(&c);

	column_init(&c, COLUMN_TEXT);
	column_add_text(&c, "", 0);
	column_add_text(&c, "", 0);
	assert_true(column_is_same(&c));
	check_first(&c, "", 0);
	column_add_null(&c);
	assert_false(column_is_same(&c));
	column_clear(&c);
	column_add_text(&c, "abc", 3);
	column_add_text(&c, "abc", 3);
	assert_true(column_is_same(&c));
	check_first(&c, "abc", 3);
	column_add_text(&c, "abd", 3);
	assert_false(column_is_same(&c));
	/* As long together as three of the first. */
	column_clear(&c);
	column_add_text(&c, "ab", 2);
	column_add_text(&c, "a", 1);
	column_add_text(&c, "abc", 3);
	assert_false(column_is_same(&c));
	column_fini(&c);
}

static void
values_are_found_and_removed(void **state)
{
	static const char *const text[] = { "a", NULL, "", "four", "fifth" };
	struct column c;
	const uint8_t *p;
	size_t len;

	(void)state;
	column_init(&c, COLUMN_TEXT);
	for (int i = 0; i < 5; i++) {
		if (text[i] == NULL)
			column_add_null(&c);
		else
			column_add_text(&c, text[i], strlen(text[i]));
	}
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(column_get(&c, i, &p, &len), text[i] != NULL);
		if (text[i] == NULL) {
			assert_null(p);
			continue;
		}
		assert_int_equal(len, strlen(text[i]));
		assert_memory_equal(p, text[i], len);
	}
	column_remove(&c, 1);
	column_remove(&c, 3); /* the fifth */
	assert_int_equal(c.count, 3);
	assert_true(column_get(&c, 2, &p, &len));
	assert_memory_equal(p, "four", 4);
	assert_ptr_equal(p + len, c.base + c.len);
	column_remove(&c, 0);
	column_remove(&c, 0);
	column_remove(&c, 0);
	assert_int_equal(c.count, 0);
	column_add_text(&c, "new", 3);
	assert_true(column_get(&c, 0, &p, &len));
	assert_memory_equal(p, "new", 3);
	column_fini(&c);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(same),
		cmocka_unit_test(numbers),
		cmocka_unit_test(empty),
		cmocka_unit_test(text),
		cmocka_unit_test(growth),
		cmocka_unit_test(values_are_found_and_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
