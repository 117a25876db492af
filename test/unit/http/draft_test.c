/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Numbers and senders as people write them, and the item that a draft makes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/front/account.h"
#include "boxes/http/draft.h"

static void
test_number(void **state)
{
	static const struct {
		const char *in;
		const char *want; /* "": refused */
		size_t bad;
	} row[] = {
		{ "4915112345678", "4915112345678", 0 },
		{ "+4915112345678", "4915112345678", 0 },
		{ "004915112345678", "4915112345678", 0 },
		{ "  +49 (151) 123-456.78", "4915112345678", 0 },
		{ "110", "110", 0 }, { "0", "0", 0 }, { "00", "00", 0 },
		{ "12345678901234567890", "12345678901234567890", 0 },
		{ "123456789012345678901", "", 20 }, { "+", "", 1 },
		{ "", "", 0 }, { " ", "", 1 }, { "++49", "", 1 },
		{ "49+1", "", 2 }, { "49x1", "", 2 }, { "x", "", 0 },
		{ "49,50", "", 2 }, { "49\t1", "", 2 },
		{ "\xd9\xa1\xd9\xa2", "", 0 }, /* other digits */
	};
	uint8_t dst[DRAFT_NUMBER_MAX];
	size_t i, n, bad;

	(void)state;
	for (i = 0; i < ARRAY_LEN(row); i++) {
		bad = 0;
		n = draft_number(
		    (const uint8_t *)row[i].in, strlen(row[i].in), dst, &bad);
		assert_int_equal(n, strlen(row[i].want));
		assert_memory_equal(dst, row[i].want, n);
		if (n == 0)
			assert_int_equal(bad, row[i].bad);
	}
	assert_int_equal(
	    draft_number((const uint8_t *)"49\0001", 4, dst, &bad), 0);
}

static void
test_sender(void **state)
{
	static const struct {
		const char *in;
		bool want;
	} row[] = {
		{ "HOP", true },
		{ "Hop & Co. +", true },
		{ "twelve chars", false },
		{ "4915112345678", true },
		{ "+4915112345678", true },
		{ "12345678901234567890", true },
		{ "123456789012345678901", false },
		{ "+", true }, /* one printable character */
		{ "", false },
		{ "a\nb", false },
		{ "Gr\xc3\xbc\xc3\x9f", false },
		{ "a\x7f", false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(row); i++)
		assert_int_equal(
		    draft_sender_valid(bytes_str(row[i].in)), row[i].want);
	assert_false(draft_sender_valid(bytes_of("a\0b", 3)));
}

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
	d.content.text = draft_bytes(bytes_of(text, 161));
	assert_int_equal(draft_plan(&d, 1, &plan), SEGMENT_TOO_MANY);
	assert_int_equal(draft_plan(&d, 8, &plan), SEGMENT_OK);
	assert_int_equal(d.parts, 2);
	assert_string_equal(d.encoding, "gsm7");
	d.content.text = draft_bytes(bytes_str("\xe2\x82\xac\xf0\x9f\x91\x8b"));
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
	d.report.url = draft_bytes(bytes_of(url, sizeof(url)));
	assert_false(draft_item(&d, &item));
	d.report.url.len = 4096;
	assert_true(draft_item(&d, &item));
	assert_true(item.report.len > 4096);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_sender),
		cmocka_unit_test(test_item),
		cmocka_unit_test(test_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
