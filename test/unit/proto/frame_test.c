/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame_test.c - header and Items whole, byte by byte and truncated at each
 * length; the limits of frame_scan(); the arena.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/attr.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

#define ENVELOPE (&hopyard__v1__envelope__descriptor)
#define RECORD   (&hopyard__v1__record__descriptor)

static void
header(void **state)
{
	static const uint8_t want[FRAME_HEADER + 3] = { 3, 0, 0, 0, 0x12, 0x34,
		1, 0, 8, 7, 6, 5, 4, 3, 2, 1, 'a', 'b', 'c' };
	uint8_t got[FRAME_HEADER];
	struct frame f;
	size_t n;

	(void)state;
	frame_put_header(got, 3, 0x3412, FRAME_IGNORABLE, 0x0102030405060708);
	assert_memory_equal(got, want, sizeof(got));
	for (n = 0; n < sizeof(want); n++) {
		uint8_t *cut = malloc(n); /* so that valgrind sees every byte */

		memcpy(cut, want, n);
		assert_int_equal(frame_decode(&f, cut, n, 100), 0);
		free(cut);
	}
	assert_int_equal(
	    frame_decode(&f, want, sizeof(want), 100), sizeof(want));
	assert_int_equal(f.type, 0x3412);
	assert_int_equal(f.flags, FRAME_IGNORABLE);
	assert_int_equal(f.correlation, 0x0102030405060708);
	assert_int_equal(f.len, 3);
	assert_memory_equal(f.payload, "abc", 3);
	/* Too long: known from the first four bytes. */
	assert_true(frame_decode(&f, want, 4, 2) < 0);
	assert_true(frame_decode(&f, want, sizeof(want), 2) < 0);
	assert_int_equal(frame_decode(&f, want, sizeof(want), 3), sizeof(want));
	memset(got, 0xff, sizeof(got));
	assert_true(frame_decode(&f, got, 4, FRAME_MAX_PAYLOAD) < 0);
}

static struct bytes
str(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

static size_t
make_items(uint8_t *dst, size_t n)
{
	struct item item;
	uint8_t *p = dst;
	size_t i;

	p += items_put_head(p, 7, 3, true, 99, UINT64_MAX);
	for (i = 0; i < n; i++) {
		memset(&item, 0, sizeof(item));
		item.envelope = str("envelope");
		if (i % 2 == 0)
			item.body = str(""); /* there, and empty */
		if (i % 3 == 0)
			item.context = str("context");
		p = item_put(p, &item);
	}
	return (size_t)(p - dst);
}

static void
items_round_trip(void **state)
{
	static uint8_t payload[FRAME_MAX_PAYLOAD];
	struct item item;
	struct items it;
	size_t len, i;

	(void)state;
	len = make_items(payload, FRAME_MAX_ITEMS);
	assert_true(items_open(&it, payload, len));
	assert_int_equal(it.first, 7);
	assert_int_equal(it.epoch, 3);
	assert_true(it.more);
	assert_int_equal(it.upto, 99);
	assert_int_equal(it.upto_due_at, UINT64_MAX);
	assert_int_equal(it.count, FRAME_MAX_ITEMS);
	for (i = 0; i < FRAME_MAX_ITEMS; i++) {
		assert_true(items_next(&it, &item));
		assert_int_equal(it.number, 7 + i);
		assert_int_equal(item.envelope.len, 8);
		assert_memory_equal(item.envelope.p, "envelope", 8);
		assert_int_equal(item.body.p != NULL, i % 2 == 0);
		assert_int_equal(item.body.len, 0);
		assert_null(item.report.p);
		assert_int_equal(item.context.p != NULL, i % 3 == 0);
	}
	assert_false(items_next(&it, &item));
	len = make_items(payload, FRAME_MAX_ITEMS + 1);
	assert_false(items_open(&it, payload, len));
}

/* item_size() at the places where a length takes one more byte. */
static void
item_sizes(void **state)
{
	static const size_t sizes[] = { 0, 1, 121, 122, 123, 124, 125, 126, 127,
		128, 16377, 16378, 16379, 16383, 16384, 100000 };
	static uint8_t text[100000], dst[400100];
	struct items it;
	struct item item, got;
	size_t i, n;
	uint8_t *p;

	(void)state;
	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		memset(&item, 0, sizeof(item));
		item.envelope = (struct bytes){ text, sizes[i] };
		if (sizes[i] < 50000)
			item.report = item.context = item.envelope;
		n = items_put_head(dst, UINT64_MAX - 1, 0, false, 0, 0);
		assert_true(n <= ITEMS_HEAD);
		p = item_put(dst + n, &item);
		assert_int_equal(p - dst - n, item_size(&item));
		assert_true(items_open(&it, dst, (size_t)(p - dst)));
		assert_true(items_next(&it, &got));
		assert_int_equal(it.number, UINT64_MAX - 1);
		assert_int_equal(got.envelope.len, sizes[i]);
		assert_int_equal(item_bytes(&got), item_bytes(&item));
	}
}

/* Cut anywhere: refused, or a shorter whole list; never a read past the end. */
static void
items_truncated(void **state)
{
	uint8_t payload[2000];
	struct item item;
	struct items it;
	size_t len, n, got;

	(void)state;
	len = make_items(payload, 20);
	for (n = 0; n < len; n++) {
		uint8_t *cut = malloc(n);

		memcpy(cut, payload, n);
		if (items_open(&it, cut, n)) {
			for (got = 0; items_next(&it, &item); got++)
				;
			assert_int_equal(got, it.count);
			assert_true(got < 20);
		}
		free(cut);
	}
}

static void
items_malformed(void **state)
{
	static const struct {
		const char *name;
		const char *bytes;
		size_t len;
		bool want;
	} rows[] = {
		{ "empty", "", 0, false },
		{ "first only", "\x08\x01", 2, true },
		{ "no first", "\x12\x00", 2, false },
		{ "first twice", "\x08\x01\x08\x02", 4, false },
		{ "first as bytes", "\x0a\x01\x01", 3, false },
		{ "item as varint", "\x08\x01\x10\x00", 4, false },
		{ "empty item", "\x08\x01\x12\x00", 4, true },
		{ "envelope", "\x08\x01\x12\x02\x0a\x00", 6, true },
		{ "envelope twice", "\x08\x01\x12\x04\x0a\x00\x0a\x00", 8,
		    false },
		{ "envelope past its item", "\x08\x01\x12\x02\x0a\x01\x00", 7,
		    false },
		{ "item past the frame", "\x08\x01\x12\x03\x0a\x00", 6, false },
		{ "group", "\x08\x01\x3b\x3c", 4, false },
		{ "wire type 7", "\x08\x01\x3f", 3, false },
		{ "field 0", "\x08\x01\x00\x00", 4, false },
		{ "unknown varint", "\x08\x01\x38\x05", 4, true },
		{ "unknown 32 bits", "\x08\x01\x3d\x01\x02\x03\x04", 7, true },
		{ "cut 32 bits", "\x08\x01\x3d\x01\x02\x03", 6, false },
		{ "unknown 64 bits",
		    "\x08\x01\x39\x01\x02\x03\x04\x05\x06\x07\x08", 11, true },
		{ "varint of ten bytes",
		    "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, true },
		{ "varint over 64 bits",
		    "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, false },
		{ "varint of eleven bytes",
		    "\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12,
		    false },
		{ "numbers wrap",
		    "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x12\x00", 13,
		    false },
		{ "item first, head later", "\x12\x00\x08\x05", 4, true },
		{ "length of 2^63",
		    "\x08\x01\x12\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 13,
		    false },
	};
	struct items it;
	struct item item;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t *copy = malloc(rows[i].len + 1);

		memcpy(copy, rows[i].bytes, rows[i].len);
		if (items_open(&it, copy, rows[i].len) != rows[i].want)
			fail_msg("%s", rows[i].name);
		if (rows[i].want)
			while (items_next(&it, &item))
				;
		free(copy);
	}
}

static size_t
make_envelope(uint8_t *dst)
{
	Hopyard__V1__Envelope e = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Origin o = HOPYARD__V1__ORIGIN__INIT;
	static uint8_t id[16] = { 1, 2, 3 };
	static char demo[] = "demo", to[] = "4915112345678", from[] = "HOPYARD",
		    key[] = "key:ab12cd34", source[] = "192.0.2.17";

	e.id = (ProtobufCBinaryData){ sizeof(id), id };
	e.kind = HOPYARD__V1__KIND__MT;
	e.has_account = e.has_to = e.has_from = true;
	e.account = (ProtobufCBinaryData){ 4, (uint8_t *)demo };
	e.to = (ProtobufCBinaryData){ 13, (uint8_t *)to };
	e.from = (ProtobufCBinaryData){ 7, (uint8_t *)from };
	e.has_class_ = e.has_report_mask = e.has_validity_ms = true;
	e.class_ = HOPYARD__V1__CLASS__TXN;
	e.report_mask = 31;
	e.validity_ms = 86400000;
	e.origin = &o;
	o.has_source = o.has_credential = true;
	o.source = (ProtobufCBinaryData){ 10, (uint8_t *)source };
	o.credential = (ProtobufCBinaryData){ 12, (uint8_t *)key };
	return hopyard__v1__envelope__pack(&e, dst);
}

static void
unpack(void **state)
{
	static uint64_t memory[1024];
	Hopyard__V1__Envelope *e;
	uint8_t wire[300];
	struct arena arena;
	size_t len, n, cap;

	(void)state;
	arena_init(&arena, memory, sizeof(memory));
	len = make_envelope(wire);
	e = frame_unpack(&arena, ENVELOPE, wire, len);
	assert_non_null(e);
	assert_int_equal(e->to.len, 13);
	assert_memory_equal(e->to.data, "4915112345678", 13);
	assert_int_equal(e->origin->source.len, 10);
	assert_int_equal(e->parts, 1);
	for (n = 0; n < len; n++) {
		uint8_t *cut = malloc(n);

		memcpy(cut, wire, n);
		arena_reset(&arena);
		frame_unpack(&arena, ENVELOPE, cut, n);
		free(cut);
	}
	/* An arena of any smaller size fails cleanly. */
	arena_reset(&arena);
	e = frame_unpack(&arena, ENVELOPE, wire, len);
	assert_non_null(e);
	for (cap = arena.used; cap-- > 0;) {
		arena_init(&arena, memory, cap);
		if (cap + 8 <= arena.used)
			assert_null(frame_unpack(&arena, ENVELOPE, wire, len));
		else
			frame_unpack(&arena, ENVELOPE, wire, len);
		assert_true(arena.used <= cap);
	}
	/* Required fields are protobuf-c's own check. */
	arena_init(&arena, memory, sizeof(memory));
	assert_null(frame_unpack(&arena, ENVELOPE, wire, 0));
}

static void
scan(void **state)
{
	static const struct {
		const char *name;
		const ProtobufCMessageDescriptor *d;
		const char *bytes;
		size_t len;
		bool want;
	} rows[] = {
		{ "empty", ENVELOPE, "", 0, true },
		{ "kind", ENVELOPE, "\x10\x01", 2, true },
		{ "kind as bytes", ENVELOPE, "\x12\x01\x01", 3, false },
		{ "id as varint", ENVELOPE, "\x08\x01", 2, false },
		{ "group", ENVELOPE, "\xa3\x01\xa4\x01", 4, false },
		{ "origin", ENVELOPE, "\x62\x03\x0a\x01x", 5, true },
		{ "source past origin", ENVELOPE, "\x62\x03\x0a\x02xy", 6,
		    false },
		{ "origin past the end", ENVELOPE, "\x62\x04\x0a\x01x", 5,
		    false },
		{ "client_ref as varint", ENVELOPE, "\x68\x01\x10\x01", 4,
		    false },
		{ "backwards", ENVELOPE, "\x58\x01\x38\x01\x10\x01", 6, true },
		{ "string", RECORD, "\x4a\x03why", 5, true },
		{ "string with NUL", RECORD, "\x4a\x03w\0y", 5, false },
		{ "packed", &hopyard__v1__in_hand__descriptor,
		    "\x0a\x03\x01\x80\x01", 5, true },
		{ "packed, cut", &hopyard__v1__in_hand__descriptor,
		    "\x0a\x02\x01\x80", 4, false },
		{ "packed, 11 bytes", &hopyard__v1__in_hand__descriptor,
		    "\x0a\x0b\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 13,
		    false },
		{ "packable one by one", &hopyard__v1__in_hand__descriptor,
		    "\x08\x01\x08\x02", 4, true },
		{ "packed of a single field", &hopyard__v1__horizon__descriptor,
		    "\x0a\x01\x01", 3, false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t *copy = malloc(rows[i].len + 1);

		memcpy(copy, rows[i].bytes, rows[i].len);
		if (frame_scan(rows[i].d, copy, rows[i].len) != rows[i].want)
			fail_msg("%s", rows[i].name);
		free(copy);
	}
}

static void
scan_limits(void **state)
{
	static uint8_t wire[FRAME_MAX_PAYLOAD];
	size_t n, len;

	(void)state;
	/* Known fields, each twice: the 8,192nd is the last. */
	for (n = 0, len = 0; n < FRAME_MAX_FIELDS; n++) {
		wire[len++] = 0x10;
		wire[len++] = 1;
	}
	assert_true(frame_scan(ENVELOPE, wire, len));
	wire[len++] = 0x10;
	wire[len++] = 1;
	assert_false(frame_scan(ENVELOPE, wire, len));

	/* Unknown fields. */
	for (n = 0, len = 0; n < FRAME_MAX_UNKNOWN; n++) {
		wire[len++] = 0x80 | 0x20;
		wire[len++] = 0x1f;
		wire[len++] = 0;
	}
	assert_true(frame_scan(ENVELOPE, wire, len));
	memcpy(wire + len, "\xa0\x1f", 3);
	assert_false(frame_scan(ENVELOPE, wire, len + 3));

	/* Packed elements: a kind of InHand with 65,536 refs and one more. */
	memcpy(wire, "\x0a\x80\x80\x04", 4);
	memset(wire + 4, 1, FRAME_MAX_PACKED);
	assert_true(frame_scan(
	    &hopyard__v1__in_hand__descriptor, wire, 4 + FRAME_MAX_PACKED));
	memcpy(wire + 4 + FRAME_MAX_PACKED, "\x0a\x01\x01", 3);
	assert_false(frame_scan(
	    &hopyard__v1__in_hand__descriptor, wire, 4 + FRAME_MAX_PACKED + 3));
}

/* A descriptor that contains itself, as no message of ours does. */
static void
scan_depth(void **state)
{
	static ProtobufCMessageDescriptor d;
	static ProtobufCFieldDescriptor field;
	uint8_t wire[32], *p = wire + sizeof(wire);
	int depth;

	(void)state;
	field.id = 1;
	field.type = PROTOBUF_C_TYPE_MESSAGE;
	field.label = PROTOBUF_C_LABEL_OPTIONAL;
	field.descriptor = &d;
	d.fields = &field;
	d.n_fields = 1;
	for (depth = 1; depth <= 10; depth++) {
		size_t inner = (size_t)(wire + sizeof(wire) - p);

		*--p = (uint8_t)inner;
		*--p = 0x0a;
		/* `depth` fields nest depth + 1 messages. */
		assert_int_equal(
		    frame_scan(&d, p, inner + 2), depth < FRAME_MAX_DEPTH);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header),
		cmocka_unit_test(items_round_trip),
		cmocka_unit_test(item_sizes),
		cmocka_unit_test(items_truncated),
		cmocka_unit_test(items_malformed),
		cmocka_unit_test(unpack),
		cmocka_unit_test(scan),
		cmocka_unit_test(scan_limits),
		cmocka_unit_test(scan_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
