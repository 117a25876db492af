/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The item that a draft makes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/front/account.h"
#include "boxes/front/pack.h"
#include "boxes/http/draft.h"

static void
test_item(void **state)
{
	Hopyard__V1__Account pb = HOPYARD__V1__ACCOUNT__INIT;
	struct account a = { .pb = &pb };
	struct draft_origin origin = { .source = "127.0.0.1",
		.credential = "user:demo" };
	const struct segment_plan *plan;
	Hopyard__V1__Envelope *env;
	Hopyard__V1__Content *content;
	char id[] = "demo", text[400];
	struct draft d;
	struct item item;

	(void)state;
	pb.id = id;
	draft_init(&d, &a, &origin);
	memset(text, 'a', sizeof(text));
	d.content.has_text = 1;
	d.content.text = pack_bytes(bytes_of(text, 161));
	assert_int_equal(draft_plan(&d, 1, &plan), SEGMENT_TOO_MANY);
	assert_int_equal(draft_plan(&d, 8, &plan), SEGMENT_OK);
	assert_int_equal(d.parts, 2);
	assert_string_equal(d.encoding, "gsm7");
	d.content.text = pack_bytes(bytes_str("\xe2\x82\xac\xf0\x9f\x91\x8b"));
	assert_int_equal(draft_plan(&d, 8, &plan), SEGMENT_OK);
	assert_int_equal(d.parts, 1);
	assert_string_equal(d.encoding, "ucs2");
	assert_true(draft_item(&d, &item));
	assert_null(item.report.p); /* nobody asked for one */
	/* api.c gives it another id in place. */
	assert_int_equal(item.envelope.p[0], 0x0a);
	assert_int_equal(item.envelope.p[1], UUID_LEN);
	assert_memory_equal(item.envelope.p + 2, d.id, UUID_LEN);
	env = hopyard__v1__envelope__unpack(
	    NULL, item.envelope.len, item.envelope.p);
	assert_non_null(env);
	assert_int_equal(env->kind, HOPYARD__V1__KIND__MT);
	assert_int_equal(env->account.len, 4);
	assert_int_equal(env->parts, 1);
	assert_memory_equal(env->origin->source.data, "127.0.0.1", 9);
	hopyard__v1__envelope__free_unpacked(env, NULL);
	content =
	    hopyard__v1__content__unpack(NULL, item.body.len, item.body.p);
	assert_non_null(content);
	assert_int_equal(content->max_parts, 8);
	hopyard__v1__content__free_unpacked(content, NULL);
}

static void
test_too_large(void **state)
{
	static uint8_t url[FRAME_MAX_PAYLOAD];
	Hopyard__V1__Account pb = HOPYARD__V1__ACCOUNT__INIT;
	struct account a = { .pb = &pb };
	struct draft_origin origin = { .source = "", .credential = "" };
	char id[] = "demo";
	struct draft d;
	struct item item;

	(void)state;
	pb.id = id;
	draft_init(&d, &a, &origin);
	d.report.has_url = 1;
	d.report.url = pack_bytes(bytes_of(url, sizeof(url)));
	assert_false(draft_item(&d, &item));
	d.report.url.len = 4096;
	assert_true(draft_item(&d, &item));
	assert_true(item.report.len > 4096);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_item),
		cmocka_unit_test(test_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
