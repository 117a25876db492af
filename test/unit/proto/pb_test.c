/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pb_test.c - every message of bus.proto, filled at random from its
 * descriptor: our bytes are those of protobuf-c.
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
#include "proto/pb.h"

#define OF(name) &hopyard__v1__##name##__descriptor

#define ROUNDS 300
#define SPACE  (64 * 1024)

static const ProtobufCMessageDescriptor *const kinds[] = { OF(hello),
	OF(welcome), OF(nak), OF(credit), OF(bye), OF(items), OF(ack),
	OF(envelope), OF(content), OF(report), OF(notice), OF(dispatch),
	OF(result), OF(in_hand), OF(link_state), OF(recall), OF(attach),
	OF(open), OF(opened), OF(record), OF(horizon), OF(page), OF(paged),
	OF(store_state), OF(call), OF(reply), OF(account_changed), OF(account),
	OF(account_query), OF(pong), OF(config) };

static uint8_t memory[1024 * 1024];
static size_t memory_used;
static uint64_t state;

static uint64_t
dice(uint64_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state % below;
}

static void *
take(size_t n)
{
	void *p = memory + memory_used;

	n = (n + 15) & ~(size_t)15;
	assert_true(n <= sizeof(memory) - memory_used);
	memory_used += n;
	memset(p, 0, n);
	return p;
}

/* All lengths of a varint, and what an enum may be. */
static uint64_t
any_number(void)
{
	return (dice(2) ? UINT64_MAX : dice(UINT64_MAX)) >> dice(64);
}

static ProtobufCMessage *any_message(const ProtobufCMessageDescriptor *, int);

static void
any_value(const ProtobufCFieldDescriptor *f, void *member, int depth)
{
	ProtobufCBinaryData *data = member;
	size_t i, n = dice(8) == 0 ? dice(20000) % 300 : dice(5);
	uint8_t *text;

	switch (f->type) {
	case PROTOBUF_C_TYPE_UINT64:
		*(uint64_t *)member = any_number();
		break;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)member = dice(2) == 1;
		break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_ENUM:
		*(uint32_t *)member = (uint32_t)any_number();
		break;
	case PROTOBUF_C_TYPE_BYTES:
	case PROTOBUF_C_TYPE_STRING:
		text = take(n + 1);
		for (i = 0; i < n; i++)
			text[i] = (uint8_t)(1 + dice(255));
		if (f->type == PROTOBUF_C_TYPE_BYTES)
			*data = (ProtobufCBinaryData){ n, text };
		else
			*(char **)member = (char *)text;
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		*(ProtobufCMessage **)member =
		    any_message(f->descriptor, depth + 1);
		break;
	default:
		fail_msg("%s: a type that pb.c does not know", f->name);
	}
}

static size_t
any_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_UINT64:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	default:
		return 4;
	}
}

static void
any_field(const ProtobufCFieldDescriptor *f, uint8_t *message, int depth)
{
	void *member = message + f->offset, *list;
	size_t i, n;

	switch (f->label) {
	case PROTOBUF_C_LABEL_OPTIONAL:
		if (dice(2) == 0)
			return;
		if (f->type != PROTOBUF_C_TYPE_STRING &&
		    f->type != PROTOBUF_C_TYPE_MESSAGE)
			*(protobuf_c_boolean *)(void *)(message +
			    f->quantifier_offset) = 1;
		any_value(f, member, depth);
		break;
	case PROTOBUF_C_LABEL_REQUIRED:
		any_value(f, member, depth);
		break;
	case PROTOBUF_C_LABEL_REPEATED:
		n = dice(4);
		list = take(n * any_size(f->type) + 1);
		for (i = 0; i < n; i++)
			any_value(
			    f, (uint8_t *)list + i * any_size(f->type), depth);
		*(size_t *)(void *)(message + f->quantifier_offset) = n;
		*(void **)member = list;
		break;
	case PROTOBUF_C_LABEL_NONE:
		fail_msg("%s: proto3", f->name);
	}
}

static ProtobufCMessage *
any_message(const ProtobufCMessageDescriptor *d, int depth)
{
	ProtobufCMessage *m = take(d->sizeof_message);
	ProtobufCMessageUnknownField *u;
	unsigned i;

	assert_true(depth < 8);
	protobuf_c_message_init(d, m);
	for (i = 0; i < d->n_fields; i++)
		any_field(&d->fields[i], (uint8_t *)m, depth);
	m->n_unknown_fields = dice(5) == 0 ? 2 : 0;
	m->unknown_fields = take(2 * sizeof(*u));
	for (i = 0; i < m->n_unknown_fields; i++) {
		u = &m->unknown_fields[i];
		u->tag = 1000 + i;
		u->wire_type = PROTOBUF_C_WIRE_TYPE_VARINT;
		u->len = 1;
		u->data = take(1);
	}
	return m;
}

static void
test_same_bytes(void **unused)
{
	static uint8_t want[SPACE], got[SPACE];
	const ProtobufCMessage *m;
	uint8_t *p;
	size_t len, k;
	int round;

	(void)unused;
	state = 0x123456789abcdef;
	for (k = 0; k < ARRAY_LEN(kinds); k++) {
		for (round = 0; round < ROUNDS; round++) {
			memory_used = 0;
			m = any_message(kinds[k], 0);
			len = protobuf_c_message_get_packed_size(m);
			assert_true(len <= sizeof(want));
			assert_int_equal(protobuf_c_message_pack(m, want), len);
			p = pb_pack_back(m, got, got + sizeof(got));
			assert_ptr_equal(p, got + sizeof(got) - len);
			assert_memory_equal(p, want, len);
		}
	}
}

/* Room for a byte less than it takes, and for all less: not a byte before. */
static void
test_no_room(void **unused)
{
	static uint8_t got[SPACE];
	const ProtobufCMessage *m;
	size_t len, room, k, i;

	(void)unused;
	state = 0xfedcba987654321;
	for (k = 0; k < ARRAY_LEN(kinds); k++) {
		memory_used = 0;
		m = any_message(kinds[k], 0);
		len = protobuf_c_message_get_packed_size(m);
		assert_non_null(pb_pack_back(
		    m, got + sizeof(got) - len, got + sizeof(got)));
		for (room = 0; room < len; room++) {
			memset(got + sizeof(got) - len - 16, 0xa5, 16 + len);
			assert_null(pb_pack_back(
			    m, got + sizeof(got) - room, got + sizeof(got)));
			for (i = room; i < len + 16; i++)
				assert_int_equal(
				    got[sizeof(got) - 1 - i], 0xa5);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_bytes),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
