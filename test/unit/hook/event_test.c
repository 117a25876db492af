/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The signature against a vector computed elsewhere, and the JSON as a reader
 * sees it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "boxes/hook/event.h"
#include "common/buf.h"

#define BODY                                                                   \
	"{\"type\":\"message.delivered\",\"timestamp\":"                       \
	"\"2024-11-22T16:00:00.000Z\",\"data\":{\"id\":"                       \
	"\"01935405-7f00-7c3a-9b1e-5f0d2a6c8e41\",\"status\":"                 \
	"\"delivered\"}}"
#define SECRET    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define SIGNATURE "v1,62PWL2WXixKba/SSW/mrA3WYSTPk4CNzt/wpoortUnU="

static uint8_t id[16] = { 0x01, 0x93, 0x54, 0x05, 0x7f, 0x00, 0x7c, 0x3a, 0x9b,
	0x1e, 0x5f, 0x0d, 0x2a, 0x6c, 0x8e, 0x41 };

static ProtobufCBinaryData
bin(const char *s)
{
	return (ProtobufCBinaryData){ strlen(s), (uint8_t *)(uintptr_t)s };
}

static void
test_vector(void **state)
{
	struct event_key *k = event_key_new(SECRET);
	char dst[EVENT_SIGNATURE_MAX];

	(void)state;
	assert_non_null(k);
	/* Twice: the key is not used up. */
	for (int i = 0; i < 2; i++)
		assert_string_equal(
		    event_sign(k, "msg_01JD9V0Z8N3Q4W5X6Y7Z8A9B0C", 1732291200,
			BODY, strlen(BODY), dst),
		    SIGNATURE);
	event_key_free(k);
}

static void
test_two_secrets(void **state)
{
	struct event_key *k = event_key_new("plain-old-secret " SECRET);
	char dst[EVENT_SIGNATURE_MAX], *space;

	(void)state;
	assert_non_null(k);
	event_sign(k, "msg_01JD9V0Z8N3Q4W5X6Y7Z8A9B0C", 1732291200, BODY,
	    strlen(BODY), dst);
	space = strchr(dst, ' ');
	assert_non_null(space);
	assert_memory_equal(dst, "v1,", 3);
	assert_string_equal(space + 1, SIGNATURE);
	event_key_free(k);
}

static void
test_bad_secrets(void **state)
{
	(void)state;
	assert_null(event_key_new(""));
	assert_null(event_key_new("whsec_!!!!"));
	assert_null(event_key_new("whsec_abc"));
	assert_null(event_key_new("a b c"));
}

static void
test_id(void **state)
{
	char dst[EVENT_ID_MAX];

	(void)state;
	assert_string_equal(
	    event_id(id, 0, dst), "01935405-7f00-7c3a-9b1e-5f0d2a6c8e41_0");
	assert_string_equal(event_id(id, UINT64_MAX, dst),
	    "01935405-7f00-7c3a-9b1e-5f0d2a6c8e41_18446744073709551615");
}

static json_t *
parse(struct buf *out)
{
	json_error_t why;
	json_t *o = json_loadb((const char *)buf_data(out), buf_len(out),
	    JSON_REJECT_DUPLICATES, &why);

	if (o == NULL)
		fail_msg("%s: %s", why.text, buf_str(out));
	return o;
}

static int
integer(json_t *o, const char *key)
{
	return (int)json_integer_value(json_object_get(o, key));
}

static const char *
text(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "(none)";
}

static void
test_status(void **state)
{
	Hopyard__V1__Envelope e = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Notice n = HOPYARD__V1__NOTICE__INIT;
	Hopyard__V1__Report r = HOPYARD__V1__REPORT__INIT;
	struct buf out;
	json_t *o, *data;

	(void)state;
	e.id.data = id;
	e.id.len = sizeof(id);
	e.account = bin("acme");
	e.to = bin("4915112345678");
	e.from = bin("HOP");
	n.has_state = true;
	n.state = HOPYARD__V1__STATE__UNDELIVERABLE;
	n.has_event_at = true;
	n.event_at = 1732291200000u;
	n.reason = bin("smpp.0x0000000b");
	n.text = bin("Invalid \"dest\"\n\xff");
	n.has_possible_dup = n.possible_dup = true;
	r.to = bin("+4915112345678");
	r.client_ref = bin("order-7");
	r.metadata = bin("{\"k\":[1,2]}");
	buf_init(&out);
	event_status(&out, &e, &n, &r);
	o = parse(&out);
	data = json_object_get(o, "data");
	assert_string_equal(text(o, "type"), "message.undelivered");
	assert_string_equal(text(o, "timestamp"), "2024-11-22T16:00:00.000Z");
	assert_string_equal(
	    text(data, "id"), "01935405-7f00-7c3a-9b1e-5f0d2a6c8e41");
	assert_string_equal(text(data, "status"), "undelivered");
	assert_true(json_is_true(json_object_get(data, "final")));
	assert_string_equal(text(data, "to"), "+4915112345678");
	assert_string_equal(text(data, "from"), "HOP");
	assert_string_equal(text(data, "client_ref"), "order-7");
	assert_true(json_is_object(json_object_get(data, "metadata")));
	assert_true(json_is_true(json_object_get(data, "possible_dup")));
	assert_string_equal(
	    text(json_object_get(data, "reason"), "code"), "smpp.0x0000000b");
	json_decref(o);
	buf_fini(&out);
}

struct type_case {
	Hopyard__V1__State state;
	uint32_t mask;
	const char *want;
};

static void
test_types(void **state)
{
	static const struct type_case cases[] = {
		{ HOPYARD__V1__STATE__SUBMITTED, 8, "message.sent" },
		{ HOPYARD__V1__STATE__SENT, 8, "message.sent" },
		{ HOPYARD__V1__STATE__BUFFERED, 4, "message.buffered" },
		{ HOPYARD__V1__STATE__DELIVERED, 1, "message.delivered" },
		{ HOPYARD__V1__STATE__EXPIRED, 2, "message.expired" },
		{ HOPYARD__V1__STATE__REJECTED, 16, "message.rejected" },
		{ HOPYARD__V1__STATE__CANCELLED, 2, "message.canceled" },
		{ HOPYARD__V1__STATE__UNKNOWN, 2, "message.unknown" },
		{ HOPYARD__V1__STATE__DEAD, 16, "message.failed" },
		/* No state, or one of tomorrow: the mask says enough. */
		{ HOPYARD__V1__STATE__STATE_NONE, 1, "message.delivered" },
		{ HOPYARD__V1__STATE__STATE_NONE, 2, "message.undelivered" },
		{ HOPYARD__V1__STATE__STATE_NONE, 16, "message.rejected" },
		{ (Hopyard__V1__State)77, 8, "message.sent" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		Hopyard__V1__Notice n = HOPYARD__V1__NOTICE__INIT;

		n.has_state = true;
		n.state = cases[i].state;
		n.has_mask = true;
		n.mask = cases[i].mask;
		assert_string_equal(event_type(&n), cases[i].want);
	}
}

static void
test_received(void **state)
{
	Hopyard__V1__Envelope e = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Content c = HOPYARD__V1__CONTENT__INIT;
	Hopyard__V1__Dispatch d = HOPYARD__V1__DISPATCH__INIT;
	Hopyard__V1__Segment segment = HOPYARD__V1__SEGMENT__INIT;
	struct buf out;
	json_t *o, *data;

	(void)state;
	e.id.data = id;
	e.id.len = sizeof(id);
	e.to = bin("8888");
	e.from = bin("4915112345678");
	e.keyword = bin("STOP");
	c.has_text = true;
	c.text = bin("stop Gr\xc3\xbc\xc3\x9f");
	buf_init(&out);
	event_received(&out, &e, &c, &d, "news");
	o = parse(&out);
	data = json_object_get(o, "data");
	assert_string_equal(text(o, "type"), "message.received");
	assert_string_equal(text(data, "text"), "stop Gr\xc3\xbc\xc3\x9f");
	assert_string_equal(text(data, "keyword"), "STOP");
	assert_string_equal(text(data, "rule"), "news");
	assert_null(json_object_get(data, "parts"));
	assert_null(json_object_get(data, "partial"));
	assert_null(json_object_get(data, "segment"));
	json_decref(o);

	/* Joined, and one part of three never came. */
	e.has_parts = e.has_parts_received = true;
	e.parts = 3;
	e.parts_received = 2;
	buf_clear(&out);
	event_received(&out, &e, &c, &d, NULL);
	o = parse(&out);
	data = json_object_get(o, "data");
	assert_true(json_is_true(json_object_get(data, "partial")));
	assert_int_equal(integer(data, "parts"), 3);
	assert_int_equal(integer(data, "parts_received"), 2);
	json_decref(o);

	/* One part of a rule that wants them apart. */
	e.has_parts = e.has_parts_received = false;
	e.parts = 1;
	segment.kind = 1;
	segment.ref = 42;
	segment.total = 3;
	segment.number = 2;
	e.segment = &segment;
	buf_clear(&out);
	event_received(&out, &e, &c, &d, NULL);
	o = parse(&out);
	data = json_object_get(json_object_get(o, "data"), "segment");
	assert_int_equal(integer(data, "ref"), 42);
	assert_int_equal(integer(data, "total"), 3);
	assert_int_equal(integer(data, "number"), 2);
	json_decref(o);
	e.segment = NULL;

	c.has_text = false;
	c.has_data = c.has_udh = true;
	c.data =
	    (ProtobufCBinaryData){ 3, (uint8_t *)(uintptr_t) "\x00\xff\x01" };
	c.udh = bin("\x01\x02");
	buf_clear(&out);
	event_received(&out, &e, &c, &d, NULL);
	o = parse(&out);
	data = json_object_get(o, "data");
	assert_string_equal(text(data, "data"), "AP8B");
	assert_string_equal(text(data, "udh"), "0102");
	json_decref(o);
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector),
		cmocka_unit_test(test_two_secrets),
		cmocka_unit_test(test_bad_secrets),
		cmocka_unit_test(test_id),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_received),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
