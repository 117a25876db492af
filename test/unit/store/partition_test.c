/* SPDX-License-Identifier: BSD-2-Clause */
/* Names and bounds of the day partitions, and which of them are wanted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/store/partition.h"

#define DAY_20261122 20779

static void
names(void **state)
{
	char name[PARTITION_NAME];
	enum partition_table t;
	uint32_t day;

	(void)state;
	assert_string_equal(
	    partition_name(PARTITION_MESSAGE, DAY_20261122, name),
	    "message_20261122");
	for (int i = 0; i < PARTITION_TABLES; i++) {
		for (uint32_t d = 0; d < 40000; d += 13) {
			partition_name((enum partition_table)i, d, name);
			assert_true(partition_parse(name, &t, &day));
			assert_int_equal(t, i);
			assert_int_equal(day, d);
		}
	}
}

static void
not_ours(void **state)
{
	static const char *const bad[] = { "", "message", "message_",
		"message_20261322", "message_20260230", "message_2026112",
		"message_20261122x", "message_020261122", "Message_20261122",
		"other_20261122", "event_-0261122",
		"orphan_done_99999999999999999999", "event_20261122_key" };
	enum partition_table t;
	uint32_t day;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(partition_parse(bad[i], &t, &day));
}

static void
bounds(void **state)
{
	char sql[512];

	(void)state;
	partition_make_sql(PARTITION_EVENT, DAY_20261122, 2, sql, sizeof(sql));
	assert_string_equal(sql,
	    "ALTER TABLE event ATTACH PARTITION event_20261122"
	    " FOR VALUES FROM ('1795305600000') TO ('1795392000000')");
	/* A UUIDv7 begins with the 48 bits of its time. */
	partition_make_sql(
	    PARTITION_MESSAGE, DAY_20261122, 2, sql, sizeof(sql));
	assert_string_equal(sql,
	    "ALTER TABLE message ATTACH PARTITION message_20261122 FOR VALUES"
	    " FROM ('01a2008d-7400-0000-0000-000000000000')"
	    " TO ('01a205b3-d000-0000-0000-000000000000')");
}

static void
wanted(void **state)
{
	struct partitions p;

	(void)state;
	partitions_init(&p, 10 * DAY_MS);
	assert_false(partition_missing(&p));
	partition_add(&p, PARTITION_DUE, 7);
	partition_add(&p, PARTITION_DUE, 5);
	partition_add(&p, PARTITION_DUE, 7);
	assert_int_equal(p.table[PARTITION_DUE].count, 2);
	assert_true(partition_need(&p, PARTITION_DUE, 5 * DAY_MS));
	assert_true(partition_need(&p, PARTITION_DUE, 8 * DAY_MS - 1));
	assert_false(partition_missing(&p));
	assert_false(partition_need(&p, PARTITION_DUE, 6 * DAY_MS));
	assert_false(partition_need(&p, PARTITION_DUE, 6 * DAY_MS + 5));
	assert_false(partition_need(&p, PARTITION_EVENT, 5 * DAY_MS));
	assert_true(partition_missing(&p));
	assert_int_equal(p.missing[PARTITION_DUE].count, 1);
	assert_int_equal(p.missing[PARTITION_EVENT].count, 1);
	partition_forget(&p);
	assert_false(partition_need(&p, PARTITION_DUE, 5 * DAY_MS));
	partitions_fini(&p);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(not_ours),
		cmocka_unit_test(bounds),
		cmocka_unit_test(wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
