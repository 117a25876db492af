/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * later_test.c - frames of a later version: fields that we do not know are
 * kept or passed over, and a frame of unknown type says in its header whether
 * it may be ignored.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

static uint8_t data[4096];

static void
read_frame(const char *name, struct frame *f)
{
	char path[128];
	size_t len;
	FILE *file;

	snprintf(path, sizeof(path), "test/data/later/%s.bin", name);
	file = fopen(path, "rb");
	assert_non_null(file);
	len = fread(data, 1, sizeof(data), file);
	fclose(file);
	assert_int_equal(frame_decode(f, data, len, FRAME_MAX_HELLO), (int)len);
	assert_int_equal(f->correlation, 3);
}

static void
test_hello(void **state)
{
	static uint64_t memory[1024];
	Hopyard__V1__Hello *h;
	uint8_t again[1024];
	struct arena arena;
	struct frame f;

	(void)state;
	read_frame("hello", &f);
	assert_int_equal(f.type, HOPYARD__V1__FRAME_TYPE__HELLO);
	arena_init(&arena, memory, sizeof(memory));
	h = frame_unpack(
	    &arena, &hopyard__v1__hello__descriptor, f.payload, f.len);
	assert_non_null(h);
	assert_int_equal(h->proto_min, 1001);
	assert_string_equal(h->name, "name");
	assert_int_equal(h->n_feature, 2);
	assert_int_equal(h->base.n_unknown_fields, 4);
	assert_int_equal(h->base.unknown_fields[0].tag, 1000);
	/* Whoever passes it on loses nothing. */
	assert_int_equal(hopyard__v1__hello__get_packed_size(h), f.len);
	assert_int_equal(hopyard__v1__hello__pack(h, again), f.len);
	assert_memory_equal(again, f.payload, f.len);
}

static void
test_items(void **state)
{
	struct items it;
	struct item item;
	struct frame f;

	(void)state;
	read_frame("items", &f);
	assert_int_equal(f.type, HOPYARD__V1__FRAME_TYPE__SUBMIT);
	assert_true(items_open(&it, f.payload, f.len));
	assert_int_equal(it.first, 7);
	assert_int_equal(it.count, 2);
	assert_true(items_next(&it, &item));
	assert_int_equal(item.envelope.len, 8);
	assert_memory_equal(item.envelope.p, "envelope", 8);
	assert_non_null(item.body.p);
	assert_int_equal(item.body.len, 0);
	assert_null(item.report.p);
	assert_null(item.context.p);
	assert_true(items_next(&it, &item));
	assert_int_equal(it.number, 8);
	assert_null(item.envelope.p);
	assert_false(items_next(&it, &item));
}

static void
test_types(void **state)
{
	struct frame f;

	(void)state;
	read_frame("ignorable", &f);
	assert_int_equal(f.type, 0x7ff0);
	assert_int_equal(f.flags & FRAME_IGNORABLE, FRAME_IGNORABLE);
	read_frame("refused", &f);
	assert_int_equal(f.type, 0x7ff1);
	assert_int_equal(f.flags & FRAME_IGNORABLE, 0);
	/* Other flags mean nothing yet, and are no fault. */
	read_frame("flags", &f);
	assert_int_equal(f.type, HOPYARD__V1__FRAME_TYPE__PING);
	assert_int_equal(f.flags, 0xfffe);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_items),
		cmocka_unit_test(test_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
