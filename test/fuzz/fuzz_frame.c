/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_frame.c - a stream of frames as the bus reads it from a box: headers,
 * the Items level, and each message behind frame_scan() and protobuf-c.
 *
 * Holds: the length is known from the first four octets; items and messages
 * that are accepted can be written and read again with the same result; the
 * arena is never overrun.
 */
#include "proto/frame.h"

#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "hopyard/v1/bus.pb-c.h"
#include "test/fuzz/fuzz.h"

#define FUZZ_ARENA (1u << 20)

/* By frame type; several where a type says so in bus.proto. */
static const struct {
	uint16_t type;
	const ProtobufCMessageDescriptor *whole;
	const ProtobufCMessageDescriptor *envelope, *body, *report, *context;
} rows[] = {
	{ HOPYARD__V1__FRAME_TYPE__HELLO, &hopyard__v1__hello__descriptor, NULL,
	    NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__WELCOME, &hopyard__v1__welcome__descriptor,
	    NULL, NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__NAK, &hopyard__v1__nak__descriptor, NULL,
	    NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__CREDIT, &hopyard__v1__credit__descriptor,
	    NULL, NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__BYE, &hopyard__v1__bye__descriptor, NULL,
	    NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__SUBMIT, NULL,
	    &hopyard__v1__envelope__descriptor,
	    &hopyard__v1__content__descriptor, &hopyard__v1__report__descriptor,
	    &hopyard__v1__record__descriptor },
	{ HOPYARD__V1__FRAME_TYPE__ACK, &hopyard__v1__ack__descriptor, NULL,
	    NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__DELIVER, NULL,
	    &hopyard__v1__envelope__descriptor,
	    &hopyard__v1__content__descriptor, &hopyard__v1__report__descriptor,
	    &hopyard__v1__dispatch__descriptor },
	{ HOPYARD__V1__FRAME_TYPE__RESULT, NULL,
	    &hopyard__v1__result__descriptor, &hopyard__v1__notice__descriptor,
	    &hopyard__v1__report__descriptor,
	    &hopyard__v1__dispatch__descriptor },
	{ HOPYARD__V1__FRAME_TYPE__INBOUND, NULL,
	    &hopyard__v1__envelope__descriptor,
	    &hopyard__v1__notice__descriptor, &hopyard__v1__report__descriptor,
	    &hopyard__v1__record__descriptor },
	{ HOPYARD__V1__FRAME_TYPE__IN_HAND, &hopyard__v1__in_hand__descriptor,
	    NULL, NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__LINK_STATE,
	    &hopyard__v1__link_state__descriptor, NULL, NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__RECALL, &hopyard__v1__recall__descriptor,
	    NULL, NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__OPEN, &hopyard__v1__open__descriptor, NULL,
	    NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__OPENED, &hopyard__v1__opened__descriptor,
	    NULL, NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__RECORD, NULL,
	    &hopyard__v1__envelope__descriptor,
	    &hopyard__v1__content__descriptor, &hopyard__v1__report__descriptor,
	    &hopyard__v1__record__descriptor },
	{ HOPYARD__V1__FRAME_TYPE__HORIZON, &hopyard__v1__horizon__descriptor,
	    NULL, NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__PAGE, &hopyard__v1__page__descriptor, NULL,
	    NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__PAGED, NULL,
	    &hopyard__v1__envelope__descriptor,
	    &hopyard__v1__content__descriptor, &hopyard__v1__report__descriptor,
	    &hopyard__v1__paged__descriptor },
	{ HOPYARD__V1__FRAME_TYPE__NOTICE, NULL,
	    &hopyard__v1__envelope__descriptor,
	    &hopyard__v1__notice__descriptor, &hopyard__v1__report__descriptor,
	    &hopyard__v1__paged__descriptor },
	{ HOPYARD__V1__FRAME_TYPE__OVERDUE, NULL,
	    &hopyard__v1__envelope__descriptor,
	    &hopyard__v1__content__descriptor, &hopyard__v1__report__descriptor,
	    &hopyard__v1__paged__descriptor },
	{ HOPYARD__V1__FRAME_TYPE__STORE_STATE,
	    &hopyard__v1__store_state__descriptor, NULL, NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__CALL, &hopyard__v1__call__descriptor, NULL,
	    NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__REPLY, &hopyard__v1__reply__descriptor, NULL,
	    NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__ACCOUNT_CHANGED,
	    &hopyard__v1__account_changed__descriptor, NULL, NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__TAPPED, &hopyard__v1__tapped__descriptor,
	    NULL, NULL, NULL, NULL },
	{ HOPYARD__V1__FRAME_TYPE__CONFIG, &hopyard__v1__config__descriptor,
	    NULL, NULL, NULL, NULL },
	/* Bodies of Call and Reply, under types that no frame has. */
	{ 0xff00, &hopyard__v1__account__descriptor, NULL, NULL, NULL, NULL },
	{ 0xff01, &hopyard__v1__account_query__descriptor, NULL, NULL, NULL,
	    NULL },
};

/* What was unpacked is packed, unpacked and packed again: the same octets. */
static void
repack(const ProtobufCMessage *m, const ProtobufCMessageDescriptor *d)
{
	static uint64_t memory[FUZZ_ARENA / 8];
	size_t size = protobuf_c_message_get_packed_size(m);
	uint8_t *one = malloc(size + 1), *two = malloc(size + 1);
	struct arena arena;
	ProtobufCMessage *again;

	assert(one != NULL && two != NULL);
	assert(protobuf_c_message_pack(m, one) == size);
	arena_init(&arena, memory, sizeof(memory));
	again = frame_unpack(&arena, d, one, size);
	assert(again != NULL);
	assert(protobuf_c_message_get_packed_size(again) == size);
	assert(protobuf_c_message_pack(again, two) == size);
	assert(memcmp(one, two, size) == 0);
	free(one);
	free(two);
}

static void
message(const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t len)
{
	static uint64_t memory[FUZZ_ARENA / 8], little[64];
	ProtobufCMessage *m;
	struct arena arena;

	if (d == NULL)
		return;
	arena_init(&arena, memory, sizeof(memory));
	m = frame_unpack(&arena, d, p, len);
	assert(arena.used <= arena.cap);
	if (m != NULL) {
		assert(frame_scan(d, p, len));
		assert(protobuf_c_message_check(m));
		repack(m, d);
	}
	arena_init(&arena, little, sizeof(little));
	if (frame_unpack(&arena, d, p, len) != NULL)
		assert(m != NULL);
	assert(arena.used <= arena.cap);
}

static void
item_same(const struct item *a, const struct item *b)
{
	assert(bytes_eq(a->envelope, b->envelope));
	assert(bytes_eq(a->body, b->body));
	assert(bytes_eq(a->report, b->report));
	assert(bytes_eq(a->context, b->context));
	assert((a->body.p == NULL) == (b->body.p == NULL));
	assert(item_bytes(a) == item_bytes(b));
}

static void
items(size_t row, const uint8_t *p, size_t len)
{
	struct items it, copy;
	struct item item, again;
	size_t n = 0, put;
	uint8_t *out;

	if (!items_open(&it, p, len))
		return;
	assert(it.count <= FRAME_MAX_ITEMS);
	/* Unknown fields are left out, so it never gets longer but for a head
	 * that was written in a shorter way than ours: there is none. */
	out = malloc(len + ITEMS_HEAD);
	assert(out != NULL);
	put = items_put_head(
	    out, it.first, it.epoch, it.more, it.upto, it.upto_due_at);
	assert(put <= ITEMS_HEAD);
	while (items_next(&it, &item)) {
		assert(it.number == it.first + n);
		n++;
		FUZZ_INSIDE(item.envelope, p, len);
		FUZZ_INSIDE(item.body, p, len);
		FUZZ_INSIDE(item.report, p, len);
		FUZZ_INSIDE(item.context, p, len);
		assert(put + item_size(&item) <= len + ITEMS_HEAD);
		assert(
		    item_put(out + put, &item) == out + put + item_size(&item));
		put += item_size(&item);
		message(rows[row].envelope, item.envelope.p, item.envelope.len);
		message(rows[row].body, item.body.p, item.body.len);
		message(rows[row].report, item.report.p, item.report.len);
		message(rows[row].context, item.context.p, item.context.len);
	}
	assert(n == it.count);

	assert(items_open(&copy, out, put));
	assert(copy.first == it.first && copy.epoch == it.epoch);
	assert(copy.more == it.more && copy.upto == it.upto);
	assert(copy.upto_due_at == it.upto_due_at && copy.count == n);
	assert(items_open(&it, p, len));
	while (items_next(&it, &item)) {
		assert(items_next(&copy, &again));
		item_same(&item, &again);
	}
	assert(!items_next(&copy, &again));
	free(out);
}

static void
payload(const struct frame *f)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].type == f->type)
			break;
	if (i == ARRAY_LEN(rows))
		i = f->type % ARRAY_LEN(rows);
	if (rows[i].whole == NULL)
		items(i, f->payload, f->len);
	else
		message(rows[i].whole, f->payload, f->len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t head[FRAME_HEADER];
	struct frame f, hello;
	size_t at = 0;
	int n, cut;

	while (at < len) {
		n = frame_decode(&f, data + at, len - at, FRAME_MAX_PAYLOAD);
		if (n <= 0) {
			/* More octets change nothing about "too long". */
			if (n < 0)
				assert(frame_decode(&hello, data + at, 4,
					   FRAME_MAX_PAYLOAD) < 0);
			break;
		}
		assert((size_t)n == FRAME_HEADER + f.len);
		assert((size_t)n <= len - at);
		for (cut = n - 1; cut > n - 20 && cut >= 0; cut--)
			assert(frame_decode(&hello, data + at, (size_t)cut,
				   FRAME_MAX_PAYLOAD) == 0);
		assert(
		    frame_decode(&hello, data + at, len - at,
			FRAME_MAX_HELLO) == (f.len > FRAME_MAX_HELLO ? -1 : n));
		frame_put_header(head, f.len, f.type, f.flags, f.correlation);
		assert(memcmp(head, data + at, FRAME_HEADER) == 0);
		payload(&f);
		at += (size_t)n;
	}
	return 0;
}
