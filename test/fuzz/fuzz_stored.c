/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz-link: boxes/store
 *
 * fuzz_stored.c - what the database gives back: one row of a page, and the
 * story of a message, from tables that somebody may have spoilt.  Each value is
 * two octets of length (0xffff: NULL) and so many octets.
 *
 * Holds: a row that is taken has views inside the result and can be sent to
 * the bus and read there; the story is JSON whatever the rows hold, says no
 * text where none is to be said, and stays within its size.
 */
#include "boxes/store/stored.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/timeline.h"
#include "common/attr.h"
#include "common/buf.h"
#include "common/xalloc.h"
#include "proto/wire.h"
#include "test/fuzz/fuzz.h"

#define FUZZ_ARENA  (512u * 1024)
#define FUZZ_EVENTS 6
#define FUZZ_MAX    (64u * 1024)

static uint8_t *memory;

static struct bytes
value(struct rd *r)
{
	size_t len = rd_u16be(r);

	if (r->failed || len == 0xffff)
		return bytes_of(NULL, 0);
	return rd_bytes(r, len < rd_left(r) ? len : rd_left(r));
}

static void
paged(const struct stored *s, const PGresult *res)
{
	static uint8_t packed[FRAME_MAX_PAYLOAD];
	const Hopyard__V1__Paged *p = &s->paged;
	size_t len = hopyard__v1__paged__get_packed_size(p);
	const Hopyard__V1__Paged *again;
	struct arena arena;

	assert(p->n_part_done <= STORED_PARTS);
	assert(!p->has_link || p->link.len <= sizeof(s->link));
	assert(len <= sizeof(packed));
	assert(hopyard__v1__paged__pack(p, packed) == len);
	arena_init(&arena, memory, FUZZ_ARENA);
	again =
	    frame_unpack(&arena, &hopyard__v1__paged__descriptor, packed, len);
	assert(again != NULL && again->seq == p->seq);
	assert(again->n_part_done == p->n_part_done);
	assert(s->item.body.p == NULL ||
	    s->item.body.p == (const uint8_t *)PQgetvalue(res, 0, STORED_BODY));
	if (PQgetisnull(res, 0, STORED_ENVELOPE)) {
		/* A notice's is ours. */
		arena_init(&arena, memory, FUZZ_ARENA);
		assert(s->item.envelope.len > FRAME_MAX_PAYLOAD ||
		    frame_unpack(&arena, &hopyard__v1__envelope__descriptor,
			s->item.envelope.p, s->item.envelope.len) != NULL);
	}
}

static void
row(struct rd r)
{
	static PGresAttDesc column[STORED_COLUMNS];
	PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	static char name[] = "c";
	struct stored s;
	int ok;

	assert(res != NULL);
	for (int i = 0; i < STORED_COLUMNS; i++) {
		column[i].name = name;
		column[i].format = 1;
	}
	ok = PQsetResultAttrs(res, STORED_COLUMNS, column);
	assert(ok);
	for (int i = 0; i < STORED_COLUMNS; i++) {
		struct bytes b = value(&r);
		char *copy = b.len > 0 ? xmalloc(b.len) : NULL;

		if (b.len > 0)
			memcpy(copy, b.p, b.len);
		ok = PQsetvalue(res, 0, i, b.p == NULL ? NULL : copy,
		    b.p == NULL ? -1 : (int)b.len);
		assert(ok);
		free(copy);
	}
	stored_init(&s);
	if (stored_read(&s, res, 0))
		paged(&s, res);
	stored_fini(&s);
	PQclear(res);
}

/* ----------------------------------------------------------------- story */

static void
story(struct rd r, uint8_t how)
{
	struct timeline_event event[FUZZ_EVENTS];
	struct timeline_state state;
	struct timeline t = { .control = (how & 1) != 0,
		.text = (how & 2) != 0,
		.event = event,
		.max = FUZZ_MAX };
	struct bytes *text[] = { &t.message.account, &t.message.to,
		&t.message.from, &t.message.client_ref, &t.message.queue,
		&t.message.rec, &t.message.envelope, &t.message.body };
	json_t *told, *last = NULL;
	json_error_t err;
	struct json json;
	struct arena arena;
	struct buf out;

	for (size_t i = 0; i < ARRAY_LEN(text); i++)
		*text[i] = value(&r);
	t.message.parts = how >> 2 & 3;
	t.message.kind = how >> 4 & 3;
	t.message.class = how >> 6;
	memset(event, 0, sizeof(event));
	while (t.count < FUZZ_EVENTS && rd_left(&r) > 3) {
		struct timeline_event *e = &event[t.count++];

		e->seq = t.count;
		e->type = rd_u8(&r);
		e->state = rd_u8(&r) & 31;
		e->part = rd_u8(&r);
		e->ref = e->part & 1;
		e->rec = value(&r);
		e->body = value(&r);
	}
	arena_init(&arena, memory, FUZZ_ARENA);
	t.arena = &arena;
	timeline_begin(&state, NULL);
	for (size_t i = 0; i < t.count; i++)
		timeline_fold(&state, event[i].type, event[i].state,
		    event[i].rec.p != NULL);
	buf_init(&out);
	json_init(&json, &out);
	t.json = &json;
	timeline_tell(&t);
	told = json_loadb(
	    (const char *)buf_data(&out), buf_len(&out), JSON_ALLOW_NUL, &err);
	assert(told != NULL && json_is_object(told));
	last = json_object_get(told, "status");
	assert(json_is_string(last) || json_is_null(last));
	if (!t.text)
		assert(json_object_get(told, "text") == NULL &&
		    json_object_get(told, "data") == NULL);
	if (!t.control)
		assert(json_object_get(told, "queue") == NULL);
	json_decref(told);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r;

	if (memory == NULL) {
		memory = xmalloc(FUZZ_ARENA);
		/* As in the programs. */
		json_set_alloc_funcs(xmalloc, free);
	}
	rd_init(&r, data, size);
	row(r);
	if (size > 1) {
		(void)rd_u8(&r);
		story(r, data[0]);
	}
	return 0;
}
