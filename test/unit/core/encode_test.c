/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * encode_test.c - what is written by hand is what protobuf-c writes, with every
 * field set, none, and any.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/encode.h"

static uint8_t got[1 << 20], want[1 << 20];

static void
check_record(const Hopyard__V1__Record *r)
{
	size_t n = hopyard__v1__record__pack(r, want);
	size_t m = (size_t)(encode_record(got, r) - got);

	assert_true(m <= encode_record_bound(r));
	assert_int_equal(m, n);
	assert_memory_equal(got, want, n);
}

static uint64_t
number(int round)
{
	static const uint64_t values[] = { 0, 1, 127, 128, 16383, 16384,
		1u << 31, UINT32_MAX, 1ull << 40, UINT64_MAX };

	return values[((size_t)rand() + (size_t)round) %
	    (sizeof(values) / sizeof(values[0]))];
}

/* Sets optional fields of any message at random; the descriptor knows them, so
 * a field that is added to the .proto and not here is found. */
static void
fill(ProtobufCMessage *m, int odds)
{
	static uint8_t bytes[300];
	static char text[] = "because";
	const ProtobufCMessageDescriptor *d = m->descriptor;

	for (unsigned i = 0; i < d->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &d->fields[i];
		uint8_t *at = (uint8_t *)m + f->offset;

		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			/* The tests fill in these. */
			assert_true(strcmp(f->name, "queues") == 0 ||
			    strcmp(f->name, "part_done") == 0);
			continue;
		}
		if (f->label == PROTOBUF_C_LABEL_OPTIONAL &&
		    rand() % 100 >= odds)
			continue;
		switch (f->type) {
		case PROTOBUF_C_TYPE_UINT64:
			*(uint64_t *)(void *)at = number(rand());
			break;
		case PROTOBUF_C_TYPE_UINT32:
			*(uint32_t *)(void *)at = (uint32_t)number(rand());
			break;
		case PROTOBUF_C_TYPE_ENUM:
			*(int *)(void *)at = rand() % 30;
			break;
		case PROTOBUF_C_TYPE_BOOL:
			*(protobuf_c_boolean *)at = rand() % 2;
			break;
		case PROTOBUF_C_TYPE_BYTES:
			*(ProtobufCBinaryData *)(void *)at =
			    (ProtobufCBinaryData){ (size_t)rand() % 200,
				    bytes };
			break;
		case PROTOBUF_C_TYPE_STRING:
			*(char **)(void *)at = text;
			break;
		default:
			fail();
		}
		if (f->label == PROTOBUF_C_LABEL_OPTIONAL &&
		    f->type != PROTOBUF_C_TYPE_STRING)
			*(protobuf_c_boolean *)((uint8_t *)m +
			    f->quantifier_offset) = 1;
	}
}

static void
records(void **state)
{
	Hopyard__V1__Queue queue[5], *list[5];

	(void)state;
	srand(5);
	for (int round = 0; round < 3000; round++) {
		Hopyard__V1__Record r = HOPYARD__V1__RECORD__INIT;

		fill(&r.base, round % 101);
		r.n_queues = (size_t)(round % 6);
		r.queues = list;
		for (size_t i = 0; i < r.n_queues; i++) {
			hopyard__v1__queue__init(&queue[i]);
			fill(&queue[i].base, round % 101);
			list[i] = &queue[i];
		}
		check_record(&r);
	}
}

static void
dispatches(void **state)
{
	uint32_t parts[255];

	(void)state;
	srand(6);
	for (int round = 0; round < 3000; round++) {
		Hopyard__V1__Dispatch d = HOPYARD__V1__DISPATCH__INIT;
		size_t n, m;

		fill(&d.base, round % 101);
		d.n_part_done = (size_t)(round % 256);
		d.part_done = parts;
		for (size_t i = 0; i < d.n_part_done; i++)
			parts[i] = (uint32_t)number(round);
		n = hopyard__v1__dispatch__pack(&d, want);
		m = (size_t)(encode_dispatch(got, &d) - got);
		assert_true(m <= encode_dispatch_bound(&d));
		assert_int_equal(m, n);
		assert_memory_equal(got, want, n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records),
		cmocka_unit_test(dispatches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
