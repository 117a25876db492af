/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz-link: boxes/http
 *
 * fuzz_json.c - the body of a POST to /v1/messages: one octet of account, then
 * the JSON of a message, which may have its defaults behind a NUL.
 *
 * Holds: a message that is taken has a number, one kind of content and as many
 * parts as the account may send, and its item can be read by the bus; each
 * mistake of one that is not is told as JSON; any octets come out of our own
 * writer as JSON, and good text comes out unchanged.
 */
#include "boxes/http/message.h"

#include <stdlib.h>
#include <string.h>

#include "boxes/front/account.h"
#include "boxes/http/front.h"
#include "boxes/http/problem.h"
#include "common/json.h"
#include "common/xalloc.h"
#include "proto/charset.h"
#include "test/fuzz/fuzz.h"

#define FUZZ_NOW   UINT64_C(1767225600000)
#define FUZZ_ARENA ((size_t)1024 * 1024)

static uint8_t *memory;

static void
writer(const uint8_t *data, size_t len)
{
	json_t *read, *text;
	json_error_t err;
	struct json json;
	struct buf out;

	buf_init(&out);
	json_init(&json, &out);
	json_open_object(&json, NULL);
	json_text(&json, "text", data, len);
	json_hex(&json, "hex", data, len);
	json_open_array(&json, "list");
	json_uint(&json, NULL, len);
	json_close_array(&json);
	json_close_object(&json);
	read = json_loadb(
	    (const char *)buf_data(&out), buf_len(&out), JSON_ALLOW_NUL, &err);
	assert(read != NULL);
	text = json_object_get(read, "text");
	assert(json_is_string(text));
	if (utf8_check(data, len) == len) {
		assert(json_string_length(text) == len);
		assert(len == 0 ||
		    memcmp(json_string_value(text), data, len) == 0);
	}
	assert(json_string_length(json_object_get(read, "hex")) == 2 * len);
	json_decref(read);
	buf_fini(&out);
}

static void
taken(const struct draft *draft, unsigned max_parts)
{
	const Hopyard__V1__Envelope *env;
	const Hopyard__V1__Content *content;
	struct arena arena;
	struct item item;

	if (!draft_item(draft, &item))
		return;
	arena_init(&arena, memory, FUZZ_ARENA);
	env = frame_unpack(&arena, &hopyard__v1__envelope__descriptor,
	    item.envelope.p, item.envelope.len);
	content = frame_unpack(&arena, &hopyard__v1__content__descriptor,
	    item.body.p, item.body.len);
	assert(env != NULL && content != NULL);
	assert(env->to.len > 0 && env->to.len <= 20);
	assert(env->parts >= 1 && env->parts <= SEGMENT_MAX_PARTS);
	assert(max_parts == 0 || env->parts <= max_parts);
	assert(!content->has_text != !content->has_data);
	if (item.report.len > 0)
		assert(frame_unpack(&arena, &hopyard__v1__report__descriptor,
			   item.report.p, item.report.len) != NULL);
}

static void
message(uint8_t how, const char *text, size_t len)
{
	static char name[] = "acme", from[] = "HOP";
	static struct front front;
	const char *nul = memchr(text, 0, len);
	size_t n = nul != NULL ? (size_t)(nul - text) : len;
	Hopyard__V1__Account pb = HOPYARD__V1__ACCOUNT__INIT;
	struct account account = { .pb = &pb };
	struct draft_origin origin = { .source = "192.0.2.1",
		.credential = "key:01020304" };
	struct message_source src = { .front = &front,
		.account = &account,
		.origin = &origin,
		.tell_defaults = (how & 1) != 0,
		.now_ms = FUZZ_NOW };
	const struct segment_plan *plan;
	struct problem_list list;
	json_t *object, *told, *shared = NULL;
	struct draft draft;
	struct buf all;

	pb.id = name;
	pb.default_from = (how & 2) != 0 ? from : NULL;
	pb.has_max_parts = (how & 4) != 0;
	pb.max_parts = how >> 3 & 7;
	object = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
	if (nul != NULL)
		shared = json_loadb(
		    nul + 1, len - n - 1, JSON_REJECT_DUPLICATES, NULL);
	if (json_is_object(object)) {
		src.defaults = json_is_object(shared) ? shared : NULL;
		problem_list_init(&list);
		if (message_read(
			&src, object, "/messages/0", &draft, &plan, &list)) {
			assert(list.count == 0 && plan != NULL);
			taken(&draft, pb.has_max_parts ? pb.max_parts : 0);
		} else {
			/* Those of the defaults are told once, elsewhere. */
			assert(list.count > 0 ||
			    (src.defaults != NULL && !src.tell_defaults));
		}
		buf_init(&all);
		buf_printf(&all, "[%s]", buf_str(&list.errors));
		told = json_loadb(
		    (const char *)buf_data(&all), buf_len(&all), 0, NULL);
		assert(json_is_array(told));
		assert(list.count > 50 || json_array_size(told) == list.count);
		json_decref(told);
		buf_fini(&all);
		problem_list_fini(&list);
	}
	json_decref(object);
	json_decref(shared);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (memory == NULL) {
		memory = xmalloc(FUZZ_ARENA);
		/* As in the programs. */
		json_set_alloc_funcs(xmalloc, free);
	}
	if (size == 0)
		return 0;
	writer(data, size);
	message(data[0], (const char *)data + 1, size - 1);
	return 0;
}
