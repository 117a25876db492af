/* SPDX-License-Identifier: BSD-2-Clause */
/* map_test.c - random operations against a reference that cannot be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/map.h"

#define KEYS 3000

struct entry {
	char key[40];
	size_t len;
	bool in;
};

static struct entry entries[KEYS];

/* Every length from 0 up, and keys that differ in one byte only. */
static void
make_entries(void)
{
	size_t i;

	for (i = 0; i < KEYS; i++) {
		memset(entries[i].key, 'k', sizeof(entries[i].key));
		entries[i].len = i % 37;
		if (entries[i].len >= 4)
			memcpy(
			    entries[i].key + i % (entries[i].len - 3), &i, 4);
		entries[i].in = false;
	}
}

static bool
is_first(size_t i)
{
	size_t j;

	for (j = 0; j < i; j++)
		if (entries[j].len == entries[i].len &&
		    memcmp(entries[j].key, entries[i].key, entries[i].len) == 0)
			return false;
	return true;
}

static void
bytes(void **state)
{
	size_t n = 0, i, pos;
	struct map m;
	struct entry *e, *got;
	int round;

	(void)state;
	make_entries();
	for (i = 0; i < KEYS; i++)
		if (is_first(i))
			entries[n++] = entries[i];
	assert_true(n > KEYS / 2);
	srand(2);
	map_init(&m);
	assert_null(map_get(&m, "a", 1));
	assert_null(map_del(&m, "a", 1));
	for (round = 0; round < 300000; round++) {
		e = &entries[(size_t)rand() % n];
		got = map_get(&m, e->key, e->len);
		assert_ptr_equal(got, e->in ? e : NULL);
		/* Fill in the first half, empty in the second. */
		if (rand() % 100 < (round < 150000 ? 70 : 20)) {
			got = map_put(&m, e->key, e->len, e);
			assert_ptr_equal(got, e->in ? e : NULL);
			e->in = true;
		} else {
			got = map_del(&m, e->key, e->len);
			assert_ptr_equal(got, e->in ? e : NULL);
			e->in = false;
		}
		if (round % 10000 == 0) {
			size_t count = 0, walked = 0;

			for (i = 0; i < n; i++)
				count += entries[i].in;
			for (pos = 0; (got = map_next(&m, &pos)) != NULL;
			     walked++)
				assert_true(got->in);
			assert_int_equal(m.count, count);
			assert_int_equal(walked, count);
		}
	}
	for (i = 0; i < n; i++)
		map_del(&m, entries[i].key, entries[i].len);
	assert_int_equal(m.count, 0);
	assert_true(m.cap <= 16);
	map_fini(&m);
}

static void
numbers(void **state)
{
	static int values[100000];
	struct map m;
	uint64_t i;

	(void)state;
	map_init(&m);
	for (i = 0; i < 100000; i++)
		assert_null(map_put_u64(&m, i << 20, &values[i]));
	assert_int_equal(m.count, 100000);
	for (i = 0; i < 100000; i++)
		assert_ptr_equal(map_get_u64(&m, i << 20), &values[i]);
	assert_null(map_get_u64(&m, 1));
	for (i = 0; i < 100000; i += 2)
		assert_ptr_equal(map_del_u64(&m, i << 20), &values[i]);
	for (i = 0; i < 100000; i++)
		assert_ptr_equal(
		    map_get_u64(&m, i << 20), i % 2 == 0 ? NULL : &values[i]);
	map_fini(&m);
}

static void
replaced_key(void **state)
{
	char one[] = "same", two[] = "same";
	int a, b;
	struct map m;

	(void)state;
	map_init(&m);
	assert_null(map_put(&m, one, 4, &a));
	assert_ptr_equal(map_put(&m, two, 4, &b), &a);
	one[0] = 'x'; /* the map must not look at the first key any more */
	assert_ptr_equal(map_get(&m, "same", 4), &b);
	assert_int_equal(m.count, 1);
	map_fini(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes),
		cmocka_unit_test(numbers),
		cmocka_unit_test(replaced_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
