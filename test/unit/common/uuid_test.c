/* SPDX-License-Identifier: BSD-2-Clause */
/* uuid_test.c - layout, order and text of ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/attr.h"
#include "common/clock.h"
#include "common/uuid.h"

static void
layout(void **state)
{
	uint8_t id[UUID_LEN], low[UUID_LEN];

	(void)state;
	clock_set(1, 1795375080123);
	uuid_new(id);
	assert_int_equal(uuid_time_ms(id), 1795375080123);
	uuid_lowest(1795375080123, low);
	assert_int_equal(uuid_time_ms(low), 1795375080123);
	assert_true(memcmp(low, id, sizeof(id)) < 0);
	assert_int_equal(id[6] >> 4, 7);
	assert_int_equal(id[8] >> 6, 2);
	clock_set(0, 0);
}

static void
order(void **state)
{
	uint8_t last[UUID_LEN] = { 0 }, id[UUID_LEN];
	int i;

	(void)state;
	for (i = 0; i < 1000000; i++) {
		uuid_new(id);
		assert_true(memcmp(last, id, sizeof(id)) < 0);
		memcpy(last, id, sizeof(id));
	}
	/* A wall clock that steps back a little must not break the order. */
	clock_set(1, uuid_time_ms(last) - 5000);
	uuid_new(id);
	assert_true(memcmp(last, id, sizeof(id)) < 0);
	/* One that steps back an hour is followed. */
	clock_set(1, uuid_time_ms(last) - 3600000);
	uuid_new(id);
	assert_int_equal(uuid_time_ms(id), uuid_time_ms(last) - 3600000);
	clock_set(0, 0);
}

static void
text(void **state)
{
	static const char *const bad[] = { "",
		"0190163d-8694-739b-aea5-966c26f8ad9",
		"0190163d-8694-739b-aea5-966c26f8ad911",
		"0190163d-8694-739b-aea5 966c26f8ad91",
		"0190163d86-94-739b-aea5-966c26f8ad91",
		"0190163d8694739baea5966c26f8ad9g" };
	static const char want[] = "0190163d-8694-739b-aea5-966c26f8ad91";
	uint8_t id[UUID_LEN];
	char out[UUID_TEXT_LEN];
	size_t i;

	(void)state;
	assert_true(uuid_parse(want, 36, id));
	assert_string_equal(uuid_format(id, out), want);
	assert_true(uuid_parse("0190163D8694739BAEA5966C26F8AD91", 32, id));
	assert_string_equal(uuid_format(id, out), want);
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(uuid_parse(bad[i], strlen(bad[i]), id));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout),
		cmocka_unit_test(order),
		cmocka_unit_test(text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
