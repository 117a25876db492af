/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz-link: boxes/exec
 *
 * fuzz_line.c - a line that a program of hop-exec writes.
 *
 * Holds: each line is of one kind or has a fault, a verdict may be both; what
 * is made of it can be packed, and the bus can read it; what a message says
 * comes back in the line that a program would get.
 */
#include "boxes/exec/line.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/xalloc.h"
#include "proto/frame.h"
#include "test/fuzz/fuzz.h"

#define FUZZ_ARENA ((size_t)1024 * 1024)

static uint8_t *memory;

/* As the bus will. */
static void
reads(const ProtobufCMessage *m)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	uint8_t *packed = xmalloc(len + 1);
	struct arena arena;

	assert(protobuf_c_message_pack(m, packed) == len);
	arena_init(&arena, memory, FUZZ_ARENA);
	assert(frame_unpack(&arena, m->descriptor, packed, len) != NULL);
	free(packed);
}

static void
comes_back(struct line *l)
{
	Hopyard__V1__Dispatch d = HOPYARD__V1__DISPATCH__INIT;
	uint8_t id[16] = { 0 };
	struct line again;
	struct buf out;

	l->envelope.id = (ProtobufCBinaryData){ sizeof(id), id };
	reads(&l->envelope.base);
	reads(&l->content.base);
	buf_init(&out);
	line_put_deliver(&out, 7, &l->envelope, &l->content, &d);
	assert(memchr(buf_data(&out), '\n', buf_len(&out)) ==
	    buf_data(&out) + buf_len(&out) - 1);
	/* It is JSON, though not an answer. */
	line_read(&again, (const char *)buf_data(&out), buf_len(&out));
	assert(again.kind == LINE_BAD);
	assert(strcmp(again.fault, "there is no such op") == 0);
	line_free(&again);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct line l;

	if (memory == NULL)
		memory = xmalloc(FUZZ_ARENA);
	line_read(&l, (const char *)data, size);
	assert(l.kind == LINE_VERDICT ||
	    (l.kind == LINE_BAD) == (l.fault != NULL));
	switch (l.kind) {
	case LINE_BAD:
		break;
	case LINE_RESULT:
		reads(&l.result.base);
		break;
	case LINE_VERDICT:
		if (l.fault == NULL)
			reads(&l.verdict.v.base);
		break;
	case LINE_MESSAGE:
		comes_back(&l);
		break;
	case LINE_RECEIPT:
		l.envelope.id.len = 0;
		reads(&l.notice.base);
		break;
	}
	line_free(&l);
	return 0;
}
