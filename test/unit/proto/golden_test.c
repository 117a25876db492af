/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * golden_test.c - frames that earlier releases recorded: each is read with
 * the code that bus and boxes use, and written again byte for byte.
 * test_golden_frames.py says what is in them.
 */
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/attr.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

#define TYPE(name) HOPYARD__V1__FRAME_TYPE__##name
#define OF(name)   (&hopyard__v1__##name##__descriptor)

/* The payload, or for Items what the parts of each are. */
static const struct {
	uint16_t type;
	const ProtobufCMessageDescriptor *payload;
	const ProtobufCMessageDescriptor *envelope, *body, *context;
} kinds[] = {
	{ TYPE(HELLO), OF(hello), NULL, NULL, NULL },
	{ TYPE(WELCOME), OF(welcome), NULL, NULL, NULL },
	{ TYPE(NAK), OF(nak), NULL, NULL, NULL },
	{ TYPE(CREDIT), OF(credit), NULL, NULL, NULL },
	{ TYPE(BYE), OF(bye), NULL, NULL, NULL },
	{ TYPE(PING), NULL, NULL, NULL, NULL },
	{ TYPE(LEAVE), NULL, NULL, NULL, NULL },
	{ TYPE(PONG), OF(pong), NULL, NULL, NULL },
	{ TYPE(SUBMIT), NULL, OF(envelope), OF(content), NULL },
	{ TYPE(ACK), OF(ack), NULL, NULL, NULL },
	{ TYPE(DELIVER), NULL, OF(envelope), OF(notice), OF(dispatch) },
	{ TYPE(RESULT), NULL, OF(result), NULL, NULL },
	{ TYPE(INBOUND), NULL, OF(envelope), OF(notice), NULL },
	{ TYPE(IN_HAND), OF(in_hand), NULL, NULL, NULL },
	{ TYPE(LINK_STATE), OF(link_state), NULL, NULL, NULL },
	{ TYPE(RECALL), OF(recall), NULL, NULL, NULL },
	{ TYPE(ATTACH), OF(attach), NULL, NULL, NULL },
	{ TYPE(FILTER), NULL, OF(envelope), OF(content), OF(ask) },
	{ TYPE(VERDICT), OF(verdict), NULL, NULL, NULL },
	{ TYPE(OPEN), OF(open), NULL, NULL, NULL },
	{ TYPE(OPENED), OF(opened), NULL, NULL, NULL },
	{ TYPE(RECORD), NULL, OF(envelope), OF(content), OF(record) },
	{ TYPE(HORIZON), OF(horizon), NULL, NULL, NULL },
	{ TYPE(PAGE), OF(page), NULL, NULL, NULL },
	{ TYPE(PAGED), NULL, OF(envelope), OF(content), OF(paged) },
	{ TYPE(NOTICE), NULL, OF(envelope), OF(notice), OF(paged) },
	{ TYPE(OVERDUE), NULL, OF(envelope), OF(content), OF(paged) },
	{ TYPE(STORE_STATE), OF(store_state), NULL, NULL, NULL },
	{ TYPE(RENEW), OF(renew), NULL, NULL, NULL },
	{ TYPE(RENEWED), OF(renewed), NULL, NULL, NULL },
	{ TYPE(CALL), OF(call), NULL, NULL, NULL },
	{ TYPE(REPLY), OF(reply), NULL, NULL, NULL },
	{ TYPE(ACCOUNT_CHANGED), OF(account_changed), NULL, NULL, NULL },
	{ TYPE(TAPPED), OF(tapped), NULL, NULL, NULL },
	{ TYPE(CONFIG), OF(config), NULL, NULL, NULL },
};

static uint8_t memory[256 * 1024];

static void
same_again(const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t len)
{
	static uint8_t again[64 * 1024];
	struct arena arena;
	ProtobufCMessage *m;

	arena_init(&arena, memory, sizeof(memory));
	m = frame_unpack(&arena, d, p, len);
	assert_non_null(m);
	assert_int_equal(m->n_unknown_fields, 0);
	assert_int_equal(protobuf_c_message_get_packed_size(m), len);
	assert_int_equal(protobuf_c_message_pack(m, again), len);
	assert_memory_equal(again, p, len);
}

static void
read_items(const struct frame *f, size_t kind)
{
	struct items its;
	struct item it;
	size_t n = 0;

	assert_true(items_open(&its, f->payload, f->len));
	assert_int_equal(its.first, 7);
	assert_int_equal(its.epoch, 8);
	assert_true(its.more);
	assert_int_equal(its.upto, 9);
	assert_int_equal(its.upto_due_at, 10);
	for (; items_next(&its, &it); n++) {
		same_again(
		    kinds[kind].envelope, it.envelope.p, it.envelope.len);
		if (kinds[kind].body != NULL)
			same_again(kinds[kind].body, it.body.p, it.body.len);
		if (kinds[kind].context != NULL)
			same_again(
			    kinds[kind].context, it.context.p, it.context.len);
		if (it.report.len > 0)
			same_again(OF(report), it.report.p, it.report.len);
	}
	assert_int_equal(n, 2);
}

static void
read_frame(const uint8_t *data, size_t len)
{
	struct frame f;
	size_t k;

	assert_int_equal(
	    frame_decode(&f, data, len, FRAME_MAX_PAYLOAD), (int)len);
	assert_int_equal(f.correlation, 0x0102030405060708);
	for (k = 0; k < ARRAY_LEN(kinds); k++)
		if (kinds[k].type == f.type)
			break;
	assert_true(k < ARRAY_LEN(kinds));
	if (kinds[k].envelope != NULL)
		read_items(&f, k);
	else if (kinds[k].payload != NULL)
		same_again(kinds[k].payload, f.payload, f.len);
	else
		assert_int_equal(f.len, 0);
}

static void
recorded_frames(void **state)
{
	static uint8_t data[FRAME_HEADER + FRAME_MAX_PAYLOAD];
	glob_t g;

	(void)state;
	assert_int_equal(glob("test/data/frames/*/*.bin", 0, NULL, &g), 0);
	assert_true(g.gl_pathc >= ARRAY_LEN(kinds));
	for (size_t i = 0; i < g.gl_pathc; i++) {
		FILE *f = fopen(g.gl_pathv[i], "rb");
		size_t len;

		print_message("%s\n", g.gl_pathv[i]);
		assert_non_null(f);
		len = fread(data, 1, sizeof(data), f);
		fclose(f);
		read_frame(data, len);
	}
	globfree(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
