/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wire_test.c - cursors: order of octets, the error that stays, and every
 * buffer that is too small.
 */
#include "proto/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static const uint8_t octets[] = { 1, 2, 3, 4, 5, 6, 7, 8, 'a', 'b', 0, 9 };

static void
test_read(void **state)
{
	struct bytes b;
	struct rd r;

	(void)state;
	rd_init(&r, octets, sizeof(octets));
	assert_int_equal(rd_u8(&r), 1);
	assert_int_equal(rd_u16be(&r), 0x0203);
	assert_int_equal(rd_u32be(&r), 0x04050607);
	assert_int_equal(rd_u8(&r), 8);
	b = rd_cstr(&r, 3);
	assert_int_equal(b.len, 2);
	assert_memory_equal(b.p, "ab", 2);
	assert_int_equal(rd_left(&r), 1);
	assert_false(rd_done(&r));
	assert_int_equal(rd_u8(&r), 9);
	assert_true(rd_done(&r));
	assert_int_equal(rd_u8(&r), 0);
	assert_true(r.failed);
	assert_false(rd_done(&r));

	rd_init(&r, octets, sizeof(octets));
	assert_int_equal(rd_u64be(&r), 0x0102030405060708);
	rd_init(&r, octets, sizeof(octets));
	assert_int_equal(rd_u64le(&r), 0x0807060504030201);
	rd_init(&r, octets, sizeof(octets));
	assert_int_equal(rd_u16le(&r), 0x0201);
	assert_int_equal(rd_u32le(&r), 0x06050403);
	b = rd_bytes(&r, 0);
	assert_int_equal(b.len, 0);
	assert_false(r.failed);
	/* No overflow in the comparison. */
	assert_null(rd_take(&r, SIZE_MAX));
	assert_true(r.failed);
	/* It stays. */
	assert_int_equal(rd_u8(&r), 0);
	assert_null(rd_take(&r, 0));
	assert_int_equal(rd_cstr(&r, 5).len, 0);
}

static void
test_cstr(void **state)
{
	struct bytes b;
	struct rd r;

	(void)state;
	rd_init(&r, "abc\0d", 5);
	b = rd_cstr(&r, 4); /* its NUL included: just fits */
	assert_int_equal(b.len, 3);
	assert_int_equal(rd_left(&r), 1);
	b = rd_cstr(&r, 5); /* no NUL before the end */
	assert_true(r.failed);
	assert_null(b.p);
	rd_init(&r, "abc\0d", 5);
	(void)rd_cstr(&r, 3);
	assert_true(r.failed);
	rd_init(&r, "\0", 1);
	b = rd_cstr(&r, 1);
	assert_false(r.failed);
	assert_int_equal(b.len, 0);
	assert_true(rd_done(&r));
	rd_init(&r, NULL, 0);
	assert_true(rd_done(&r));
	(void)rd_cstr(&r, 1);
	assert_true(r.failed);
	rd_init(&r, "\0", 1);
	(void)rd_cstr(&r, 0);
	assert_true(r.failed);
}

static void
read_all(struct rd *r)
{
	(void)rd_u8(r);
	(void)rd_u16be(r);
	(void)rd_u32le(r);
	(void)rd_u8(r);
	(void)rd_cstr(r, 10);
	(void)rd_u8(r);
}

static void
test_truncated(void **state)
{
	struct rd r;
	size_t n;

	(void)state;
	for (n = 0; n <= sizeof(octets); n++) {
		uint8_t *exact = malloc(n + 1);

		memcpy(exact, octets, n);
		rd_init(&r, exact, n);
		read_all(&r);
		assert_int_equal(rd_done(&r), n == sizeof(octets));
		assert_int_equal(r.failed, n < sizeof(octets));
		free(exact);
	}
}

static void
write_all(struct wr *w)
{
	wr_u8(w, 0x01);
	wr_u16be(w, 0x0203);
	wr_u16le(w, 0x0504);
	wr_u32be(w, 0x06070809);
	wr_u32le(w, 0x0d0c0b0a);
	wr_u64be(w, 0x0e0f101112131415);
	wr_u64le(w, 0x1d1c1b1a19181716);
	wr_mem(w, NULL, 0);
	wr_mem(w, "xy", 2);
	wr_cstr(w, bytes_of("z", 1));
	wr_cstr(w, bytes_of(NULL, 0));
}

static void
test_write(void **state)
{
	static const uint8_t tail[5] = { 'x', 'y', 'z', 0, 0 };
	uint8_t want[34], got[40];
	struct wr w;
	size_t i, cap;

	(void)state;
	for (i = 0; i < 29; i++)
		want[i] = (uint8_t)(i + 1);
	memcpy(want + 29, tail, sizeof(tail));
	wr_init(&w, got, sizeof(got));
	write_all(&w);
	assert_false(w.failed);
	assert_int_equal(wr_len(&w), sizeof(want));
	assert_memory_equal(got, want, sizeof(want));
	for (cap = 0; cap < sizeof(want); cap++) {
		memset(got, 0xee, sizeof(got));
		wr_init(&w, got, cap);
		write_all(&w);
		assert_true(w.failed);
		assert_true(wr_len(&w) <= cap);
		assert_int_equal(got[cap], 0xee);
		assert_memory_equal(got, want, wr_len(&w));
	}
	wr_init(&w, got, 0);
	assert_null(wr_take(&w, 1));
	assert_true(w.failed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_cstr),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
