/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages of the JSON API: what each field becomes on the bus, and where each
 * mistake is said to be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/front/account.h"
#include "boxes/http/front.h"
#include "boxes/http/message.h"
#include "boxes/http/problem.h"

#define NOW 1767225600000ull /* 2026-01-01T00:00:00Z */

static Hopyard__V1__Account pb;
static struct account account = { .pb = &pb };
static struct front front;
static struct draft draft;
static const struct segment_plan *plan;

static int
set_up(void **state)
{
	static char id[] = "acme", from[] = "HOP";

	(void)state;
	hopyard__v1__account__init(&pb);
	pb.id = id;
	pb.default_from = from;
	pb.has_max_parts = 1;
	pb.max_parts = 4;
	memset(&front, 0, sizeof(front));
	return 0;
}

/* Reads it; returns the errors as JSON, "" when there are none.  The object
 * stays until the next call, as the draft borrows from it. */
static const char *
read_text(const char *json, const char *defaults, const char *base)
{
	static json_t *object, *shared;
	static struct problem_list list;
	struct draft_origin origin = { .source = "192.0.2.1",
		.credential = "key:01020304" };
	struct message_source src = { .front = &front,
		.account = &account,
		.origin = &origin,
		.tell_defaults = true,
		.now_ms = NOW };
	json_error_t err;
	bool ok;

	json_decref(object);
	json_decref(shared);
	shared = NULL;
	object = json_loads(json, JSON_DECODE_ANY, &err);
	assert_non_null(object);
	if (defaults != NULL) {
		shared = json_loads(defaults, 0, &err);
		assert_non_null(shared);
	}
	src.defaults = shared;
	problem_list_fini(&list);
	problem_list_init(&list);
	ok = message_read(&src, object, base, &draft, &plan, &list);
	assert_int_equal(ok, list.count == 0);
	return buf_str(&list.errors);
}

static const char *
read_one(const char *json)
{
	return read_text(json, NULL, "");
}

#define ARE(b, s)                                                              \
	do {                                                                   \
		assert_int_equal((b).len, sizeof(s) - 1);                      \
		assert_memory_equal((b).data, s, sizeof(s) - 1);               \
	} while (0)

static void
test_small(void **state)
{
	(void)state;
	assert_string_equal(
	    read_one("{\"to\":\"+49 151 1234\",\"text\":\"Gr\\u00fc\\u00dfe "
		     "\\ud83d\\udc4b\"}"),
	    "");
	ARE(draft.env.to, "491511234");
	ARE(draft.env.from, "HOP");
	ARE(draft.env.account, "acme");
	ARE(draft.env.origin->credential, "key:01020304");
	assert_string_equal(draft.encoding, "ucs2");
	assert_int_equal(draft.parts, 1);
	/* A receipt is asked for, but nobody is called. */
	assert_int_equal(draft.env.report_mask, 1 | 2 | 16);
	assert_false(draft.report.has_webhook || draft.report.has_url);
}

static void
test_all(void **state)
{
	(void)state;
	assert_string_equal(
	    read_one(
		"{\"to\":\"49151\",\"from\":\"+4930\",\"text\":\"x\","
		"\"encoding\":\"gsm7\",\"class\":\"otp\","
		"\"message_class\":0,\"priority\":3,\"validity\":\"2h\","
		"\"send_at\":\"2026-01-01T01:00:00+00:30\","
		"\"client_ref\":\"r-1\",\"callback_url\":\"https://h/x\","
		"\"dlr\":\"all\",\"metadata\":{\"a\":\"b\"},\"via\":\"sim\","
		"\"smpp\":{\"source_ton\":5,\"source_npi\":0,"
		"\"dest_ton\":1,\"dest_npi\":18,\"protocol_id\":64,"
		"\"data_coding\":0,\"service_type\":\"VMA\","
		"\"tlvs\":[{\"tag\":5121,\"value\":\"00ff\"}]}}"),
	    "");
	ARE(draft.env.from, "+4930");
	assert_int_equal(draft.env.class_, HOPYARD__V1__CLASS__OTP);
	assert_int_equal(draft.env.validity_ms, 7200000);
	assert_int_equal(draft.env.delay_ms, 1800000);
	assert_int_equal(draft.env.report_mask, 31);
	ARE(draft.env.client_ref, "r-1");
	ARE(draft.env.link, "sim");
	assert_int_equal(
	    draft.content.coding, HOPYARD__V1__CONTENT__CODING__GSM7);
	assert_true(draft.content.has_message_class);
	assert_int_equal(draft.content.priority, 3);
	assert_int_equal(draft.content.source_ton, 5);
	assert_true(draft.content.has_source_npi);
	assert_int_equal(draft.content.dest_npi, 18);
	assert_int_equal(draft.content.protocol_id, 64);
	ARE(draft.content.service_type, "VMA");
	assert_int_equal(draft.content.n_tlv, 1);
	assert_int_equal(draft.content.tlv[0]->tag, 5121);
	ARE(draft.content.tlv[0]->value, "\x00\xff");
	ARE(draft.report.webhook, "https://h/x");
	ARE(draft.report.metadata, "{\"a\":\"b\"}");
	ARE(draft.report.client_ref, "r-1");
	ARE(draft.report.to, "49151");
	assert_int_equal(draft.report.mask, 31);

	assert_string_equal(read_one("{\"to\":\"1\",\"data\":\"AP8=\","
				     "\"udh\":\"050003010101\","
				     "\"encoding\":\"binary\",\"dlr\":\"none\","
				     "\"validity\":60,"
				     "\"send_at\":\"2025-12-31T00:00:00Z\"}"),
	    "");
	ARE(draft.content.data, "\x00\xff");
	ARE(draft.content.udh, "\x05\x00\x03\x01\x01\x01");
	assert_int_equal(draft.env.report_mask, 0);
	assert_int_equal(draft.env.validity_ms, 60000);
	assert_false(draft.env.has_delay_ms); /* past: at once */
}

#define ERR(p, d) "{\"pointer\":\"" p "\",\"detail\":\"" d "\"}"

static void
test_mistakes(void **state)
{
	static const struct {
		const char *json;
		const char *want; /* the only error */
	} row[] = {
		{ "[]", ERR("", "must be an object") },
		{ "5", ERR("", "must be an object") },
		{ "{\"text\":\"x\"}", ERR("/to", "is missing") },
		{ "{\"to\":5,\"text\":\"x\"}", ERR("/to", "must be a string") },
		{ "{\"to\":\"\",\"text\":\"x\"}",
		    ERR("/to", "holds no digit") },
		{ "{\"to\":\"+49 151 x\",\"text\":\"x\"}",
		    ERR("/to", "not a phone number from character 9 on") },
		{ "{\"to\":\"1\"}", ERR("/text", "is missing") },
		{ "{\"to\":\"1\",\"text\":null}",
		    ERR("/text", "must be a string") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"from\":\"a b c d e f g\"}",
		    ERR("/from",
			"must be a number or up to 11 ASCII "
			"characters") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"data\":\"AA==\"}",
		    ERR("/data", "cannot stand beside text") },
		{ "{\"to\":\"1\",\"data\":\"A\"}",
		    ERR("/data", "must be a string in base64") },
		{ "{\"to\":\"1\",\"data\":\"!!!!\"}",
		    ERR("/data", "must be a string in base64") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"udh\":\"0500\"}",
		    ERR("/udh",
			"must be a user data header in hex, its length "
			"octet included, of up to 140 octets") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"encoding\":\"latin1\"}",
		    ERR("/encoding", "must be auto, gsm7, ucs2 or binary") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"encoding\":\"binary\"}",
		    ERR("/encoding", "binary needs data and no text") },
		{ "{\"to\":\"1\",\"data\":\"AA==\",\"encoding\":\"ucs2\"}",
		    ERR("/encoding", "data can only be binary") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"class\":\"vip\"}",
		    ERR("/class", "must be otp, alert, txn or bulk") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"message_class\":4}",
		    ERR("/message_class", "must be 0 (flash) to 3") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"priority\":-1}",
		    ERR("/priority", "must be 0 to 3") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"priority\":1.5}",
		    ERR("/priority", "must be 0 to 3") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"validity\":0}",
		    ERR("/validity",
			"must be seconds or a duration such as "
			"\\\"2h\\\", up to 7d") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"validity\":\"8d\"}",
		    ERR("/validity",
			"must be seconds or a duration such as "
			"\\\"2h\\\", up to 7d") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"send_at\":\"soon\"}",
		    ERR("/send_at",
			"must be a time such as 2026-01-31T12:00:00Z") },
		{ "{\"to\":\"1\",\"text\":\"x\","
		  "\"send_at\":\"2026-01-09T00:00:00Z\"}",
		    ERR("/send_at", "is more than 7 days ahead") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"client_ref\":\"\"}",
		    ERR("/client_ref", "must be a string of 1 to 100 bytes") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"callback_url\":\"ftp://h/\"}",
		    ERR("/callback_url", "must be an http or https URL") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"dlr\":\"some\"}",
		    ERR("/dlr", "must be none, final or all") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"metadata\":{\"a\":1}}",
		    ERR("/metadata",
			"names have up to 40 bytes, values are "
			"strings of up to 500 bytes") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"via\":\"\"}",
		    ERR("/via", "must be the name of a link") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"smpp\":[]}",
		    ERR("/smpp", "must be an object") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"smpp\":{\"x\":1}}",
		    ERR("/smpp/x", "there is no such field") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"smpp\":{\"dest_ton\":8}}",
		    ERR("/smpp/dest_ton", "must be 0 to 7") },
		{ "{\"to\":\"1\",\"text\":\"x\","
		  "\"smpp\":{\"service_type\":\"toolong\"}}",
		    ERR("/smpp/service_type",
			"must be a string of up to 5 bytes") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"smpp\":{\"tlvs\":"
		  "[{\"tag\":1,\"value\":\"00\"},{\"tag\":0,\"value\":\"\"}]}}",
		    ERR("/smpp/tlvs/1",
			"needs a tag (1 to 65535) and a value "
			"in hex of up to 256 octets") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"txt\":1}",
		    ERR("/txt", "there is no such field") },
		{ "{\"to\":\"1\",\"text\":\"x\",\"a/b~c\":1}",
		    ERR("/a~1b~0c", "there is no such field") },
		{ "{\"to\":\"1\",\"text\":\"a\\ud83d\\udc4b\","
		  "\"encoding\":\"gsm7\"}",
		    ERR("/text",
			"character U+1F44B at byte 1 is not in the "
			"alphabet of this encoding") },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		assert_string_equal(read_one(row[i].json), row[i].want);
	/* All mistakes of a message at once, and where it stands. */
	assert_string_equal(
	    read_text("{\"to\":\"x\",\"priority\":9}", NULL, "/messages/7"),
	    ERR("/messages/7/to", "not a phone number from character 1 on") "," ERR(
		"/messages/7/priority", "must be 0 to 3"));
}

static void
test_account_limits(void **state)
{
	static char shop[] = "SHOP", prefix[] = "https://ok.example/";
	static char *senders[] = { shop }, *prefixes[] = { prefix };
	char json[2000], text[700];

	(void)state;
	memset(text, 'a', sizeof(text));
	snprintf(
	    json, sizeof(json), "{\"to\":\"1\",\"text\":\"%.613s\"}", text);
	assert_string_equal(read_one(json),
	    ERR("/text", "needs 5 parts, the account may send 4"));
	snprintf(
	    json, sizeof(json), "{\"to\":\"1\",\"text\":\"%.612s\"}", text);
	assert_string_equal(read_one(json), "");
	assert_int_equal(draft.parts, 4);

	pb.default_from = NULL;
	assert_string_equal(read_one("{\"to\":\"1\",\"text\":\"x\"}"),
	    ERR("/from", "is missing, and the account has no default sender"));
	front.default_sender = bytes_str("FRONT");
	assert_string_equal(read_one("{\"to\":\"1\",\"text\":\"x\"}"), "");
	ARE(draft.env.from, "FRONT");
	pb.n_from = 1;
	pb.from = senders;
	assert_string_equal(read_one("{\"to\":\"1\",\"text\":\"x\"}"),
	    ERR("/from", "is not a sender of this account"));
	assert_string_equal(
	    read_one("{\"to\":\"1\",\"text\":\"x\",\"from\":\"SHOP\"}"), "");
	pb.n_callback_prefix = 1;
	pb.callback_prefix = prefixes;
	assert_string_equal(
	    read_one("{\"to\":\"1\",\"text\":\"x\",\"from\":\"SHOP\","
		     "\"callback_url\":\"https://other/\"}"),
	    ERR("/callback_url",
		"is not under a callback prefix of the account"));
	pb.has_webhook = pb.webhook = 1;
	assert_string_equal(
	    read_one("{\"to\":\"1\",\"text\":\"x\",\"from\":\"SHOP\"}"), "");
	ARE(draft.report.webhook, "account");
}

static void
test_defaults(void **state)
{
	(void)state;
	assert_string_equal(
	    read_text("{\"to\":\"1\",\"from\":\"B\"}",
		"{\"text\":\"x\",\"from\":\"A\",\"dlr\":\"none\","
		"\"metadata\":{\"k\":\"v\"},\"callback_url\":\"http://h/\"}",
		"/messages/0"),
	    "");
	ARE(draft.env.from, "B");
	ARE(draft.content.text, "x");
	assert_int_equal(draft.env.report_mask, 0);
	assert_string_equal(read_text("{\"to\":\"1\",\"dlr\":\"final\"}",
				"{\"text\":\"x\",\"metadata\":{\"k\":\"v\"},"
				"\"callback_url\":\"http://h/\"}",
				"/messages/0"),
	    "");
	ARE(draft.report.webhook, "http://h/");
	ARE(draft.report.metadata, "{\"k\":\"v\"}");
	assert_string_equal(
	    read_text("{\"to\":\"1\"}", "{\"text\":\"x\",\"priority\":9}",
		"/messages/0"),
	    ERR("/defaults/priority", "must be 0 to 3"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_small, set_up),
		cmocka_unit_test_setup(test_all, set_up),
		cmocka_unit_test_setup(test_mistakes, set_up),
		cmocka_unit_test_setup(test_account_limits, set_up),
		cmocka_unit_test_setup(test_defaults, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
