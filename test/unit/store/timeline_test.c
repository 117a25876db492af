/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows in, the story of a message out: which state counts, what customers are
 * told and what only operators are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "boxes/store/dump.h"
#include "boxes/store/timeline.h"
#include "common/attr.h"
#include "common/buf.h"

#define EVENT(name) HOPYARD__V1__RECORD__EVENT__##name
#define STATE(name) HOPYARD__V1__STATE__##name
#define AT          UINT64_C(1795375080123) /* 2026-11-22T19:18:00.123Z */

static uint8_t id[16] = { 0x01, 0x93, 0x54, 0x05, 0x7f, 0x00, 0x7c, 0x3a, 0x9b,
	0x1e, 0x5f, 0x0d, 0x2a, 0x6c, 0x8e, 0x41 };

static ProtobufCBinaryData
bin(const char *s)
{
	return (ProtobufCBinaryData){ strlen(s), (uint8_t *)(uintptr_t)s };
}

/* ------------------------------------------------------------ which state */

struct step {
	unsigned type, state;
	bool from_bus;
};

static void
test_fold(void **state)
{
	static const struct {
		struct step step[6];
		unsigned want_state;
		bool want_final;
	} cases[] = {
		{ { { 0 } }, STATE(QUEUED), false },
		{ { { EVENT(ATTEMPT), 0, true } }, STATE(SENDING), false },
		{ { { EVENT(RETRY_EV), 0, true } }, STATE(QUEUED), false },
		{ { { EVENT(JOINED), 0, true } }, STATE(ACCEPTED), false },
		{ { { EVENT(SUBMITTED_EV), STATE(SUBMITTED), true } },
		    STATE(SUBMITTED), false },
		/* No receipt was asked for: that is the end. */
		{ { { EVENT(SUBMITTED_EV), STATE(SENT), true } }, STATE(SENT),
		    true },
		{ { { EVENT(SUBMITTED_EV), STATE(SUBMITTED), true },
		      { EVENT(RECEIPT_EV), STATE(BUFFERED), false } },
		    STATE(BUFFERED), false },
		/* One part of several is not the message. */
		{ { { EVENT(SUBMITTED_EV), STATE(SUBMITTED), true },
		      { EVENT(RECEIPT_EV), STATE(DELIVERED), false } },
		    STATE(SUBMITTED), false },
		/* The first final state stays... */
		{ { { EVENT(FINAL), STATE(DELIVERED), false },
		      { EVENT(FINAL), STATE(UNDELIVERABLE), false } },
		    STATE(DELIVERED), true },
		{ { { EVENT(FINAL), STATE(REJECTED), true },
		      { EVENT(RECEIPT_EV), STATE(BUFFERED), false } },
		    STATE(REJECTED), true },
		/* ... unless it was our own timer's; and that once. */
		{ { { EVENT(FINAL), STATE(UNKNOWN), true },
		      { EVENT(FINAL), STATE(DELIVERED), false },
		      { EVENT(FINAL), STATE(UNDELIVERABLE), false } },
		    STATE(DELIVERED), true },
		{ { { EVENT(FINAL), STATE(DELIVERED), false },
		      { EVENT(FINAL), STATE(EXPIRED), true } },
		    STATE(DELIVERED), true },
		/* A receipt that says "expired" is no timer of ours. */
		{ { { EVENT(FINAL), STATE(EXPIRED), false },
		      { EVENT(FINAL), STATE(DELIVERED), false } },
		    STATE(EXPIRED), true },
		{ { { EVENT(CANCELLED_EV), STATE(CANCELLED), true },
		      { EVENT(REPLAYED), 0, true } },
		    STATE(CANCELLED), true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct timeline_state s = { .state = STATE(QUEUED) };

		for (const struct step *p = cases[i].step; p->type != 0; p++)
			timeline_fold(&s, p->type, p->state, p->from_bus);
		if (s.state != cases[i].want_state ||
		    s.final != cases[i].want_final)
			fail_msg(
			    "case %zu: state %u final %d", i, s.state, s.final);
	}
}

static void
test_words(void **state)
{
	(void)state;
	assert_string_equal(timeline_word(STATE(UNDELIVERABLE)), "undelivered");
	assert_null(timeline_word(7));
	assert_null(timeline_word(1000));
	assert_int_equal(timeline_states("sent", 4),
	    1u << STATE(SUBMITTED) | 1u << STATE(SENT));
	assert_int_equal(
	    timeline_states("DELIVERED,", 9), 1u << STATE(DELIVERED));
	assert_int_equal(timeline_states("flying", 6), 0);
	assert_int_equal(timeline_states("", 0), 0);
}

/* ---------------------------------------------------------------- the story */

static uint8_t memory[65536], packed[16][512];
static unsigned used;

static struct bytes
pack(const ProtobufCMessage *m)
{
	uint8_t *dst = packed[used++];
	size_t n = protobuf_c_message_get_packed_size(m);

	assert_true(n <= sizeof(packed[0]));
	protobuf_c_message_pack(m, dst);
	return (struct bytes){ dst, n };
}

static struct bytes
admission(void)
{
	Hopyard__V1__Record r = HOPYARD__V1__RECORD__INIT;

	r.type = HOPYARD__V1__RECORD__TYPE__MESSAGE;
	r.at = AT;
	r.has_queue = r.has_link = r.has_rule = r.has_config = true;
	r.queue = 3;
	r.link = bin("acme");
	r.rule = bin("germany");
	r.why = (char *)(uintptr_t) "beta down";
	r.config = 7;
	r.has_detail = true;
	r.detail = bin("api");
	return pack(&r.base);
}

static struct bytes
envelope(void)
{
	Hopyard__V1__Envelope e = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Origin o = HOPYARD__V1__ORIGIN__INIT;

	e.id.data = id;
	e.id.len = sizeof(id);
	e.kind = HOPYARD__V1__KIND__MT;
	e.origin = &o;
	o.has_source = o.has_credential = true;
	o.source = bin("192.0.2.1:5000");
	o.credential = bin("key:ab12");
	return pack(&e.base);
}

/* Two parts, the second one refused: a retry. */
static struct timeline_event
retry(void)
{
	Hopyard__V1__Result__Part part[2] = { HOPYARD__V1__RESULT__PART__INIT,
		HOPYARD__V1__RESULT__PART__INIT };
	Hopyard__V1__Result__Part *parts[2] = { &part[0], &part[1] };
	Hopyard__V1__Result res = HOPYARD__V1__RESULT__INIT;
	Hopyard__V1__Record r = HOPYARD__V1__RECORD__INIT;
	struct bytes raw;

	part[0].part = 1;
	part[0].has_smsc_id = part[0].has_rtt_us = true;
	part[0].smsc_id = bin("4711");
	part[0].rtt_us = 900;
	part[1].part = 2;
	part[1].has_status = true;
	part[1].status = 0x14; /* ESME_RMSGQFUL */
	res.code = HOPYARD__V1__RESULT__CODE__RETRY;
	res.n_part = 2;
	res.part = parts;
	res.has_parts = res.has_bind = true;
	res.parts = 2;
	res.bind = bin("trx1");
	raw = pack(&res.base);
	r.type = HOPYARD__V1__RECORD__TYPE__EVENT;
	r.at = AT + 8;
	r.has_event = r.has_result = r.has_link = true;
	r.event = EVENT(RETRY_EV);
	r.link = bin("acme");
	r.result = (ProtobufCBinaryData){ raw.len, packed[used - 1] };
	r.has_attempt = r.has_wait_ms = r.has_status = r.has_possible_dup =
	    true;
	r.attempt = 1;
	r.wait_ms = 5000;
	r.status = 0x14;
	r.possible_dup = true;
	return (struct timeline_event){ .seq = 8,
		.at = AT + 8,
		.ref = 7,
		.type = EVENT(RETRY_EV),
		.rec = pack(&r.base) };
}

static struct timeline_event
receipt(void)
{
	Hopyard__V1__Notice n = HOPYARD__V1__NOTICE__INIT;

	n.has_smsc_id = n.has_error = n.has_text = n.has_link = true;
	n.smsc_id = bin("4711");
	n.link = bin("acme");
	n.error = bin("000");
	n.text = bin("id:4711 stat:DELIVRD Text:Hello you");
	return (struct timeline_event){ .seq = 9,
		.at = AT + 1000,
		.ref = 7,
		.type = EVENT(FINAL),
		.state = STATE(DELIVERED),
		.part = 1,
		.body = pack(&n.base) };
}

static struct timeline_event
notified(void)
{
	Hopyard__V1__Record r = HOPYARD__V1__RECORD__INIT;

	r.type = HOPYARD__V1__RECORD__TYPE__EVENT;
	r.at = AT + 1010;
	r.has_event = r.has_status = r.has_attempt = true;
	r.event = EVENT(NOTIFIED);
	r.status = 200;
	r.attempt = 1;
	return (struct timeline_event){ .seq = 10,
		.at = AT + 1010,
		.ref = 9,
		.type = EVENT(NOTIFIED),
		.rec = pack(&r.base) };
}

static json_t *
tell(struct timeline *t)
{
	struct arena arena;
	struct json j;
	struct buf out;
	json_t *o;

	arena_init(&arena, memory, sizeof(memory));
	buf_init(&out);
	json_init(&j, &out);
	t->json = &j;
	t->arena = &arena;
	timeline_tell(t);
	o = json_loads(buf_str(&out), JSON_REJECT_DUPLICATES, NULL);
	if (o == NULL)
		fail_msg("not JSON: %s", buf_str(&out));
	buf_fini(&out);
	return o;
}

static struct timeline
story(const struct timeline_event *event, size_t count)
{
	struct timeline t = { .event = event, .count = count, .max = 65536 };

	memcpy(t.message.id, id, sizeof(id));
	t.message.seq = 7;
	t.message.parts = 2;
	t.message.kind = 1;
	t.message.class = 3;
	t.message.account = (struct bytes){ (const uint8_t *)"shop", 4 };
	t.message.to = (struct bytes){ (const uint8_t *)"49151", 5 };
	t.message.queue =
	    (struct bytes){ (const uint8_t *)"acme/txn/shop", 13 };
	t.message.rec = admission();
	t.message.envelope = envelope();
	return t;
}

static const char *
text(const json_t *events, size_t i, const char *key)
{
	const char *s =
	    json_string_value(json_object_get(json_array_get(events, i), key));

	return s != NULL ? s : "(none)";
}

static void
test_operator(void **state)
{
	static const char *const want_events[] = { "accepted", "routed",
		"queued", "submitted", "refused", "retry", "receipt", "final",
		"notified" };
	struct timeline_event e[3];
	struct timeline t;
	json_t *o, *events;

	(void)state;
	used = 0;
	e[0] = retry();
	e[1] = receipt();
	e[2] = notified();
	t = story(e, 3);
	t.control = true;
	o = tell(&t);
	assert_string_equal(
	    json_string_value(json_object_get(o, "status")), "delivered");
	assert_true(json_is_true(json_object_get(o, "final")));
	assert_true(json_is_true(json_object_get(o, "possible_dup")));
	assert_string_equal(
	    json_string_value(json_object_get(o, "class")), "txn");
	events = json_object_get(o, "events");
	assert_int_equal(json_array_size(events), ARRAY_LEN(want_events));
	for (size_t i = 0; i < ARRAY_LEN(want_events); i++)
		assert_string_equal(text(events, i, "event"), want_events[i]);
	assert_string_equal(text(events, 0, "credential"), "key:ab12");
	assert_string_equal(text(events, 1, "rule"), "germany");
	assert_string_equal(text(events, 1, "why"), "beta down");
	assert_string_equal(text(events, 2, "queue"), "acme/txn/shop");
	assert_string_equal(text(events, 3, "smsc_id"), "4711");
	assert_string_equal(text(events, 3, "bind"), "trx1");
	assert_string_equal(text(events, 4, "smpp_status"), "ESME_RMSGQFUL");
	assert_string_equal(text(events, 5, "result"), "retry");
	/* The message's text stands at the end of the carrier's. */
	assert_string_equal(text(events, 6, "text"), "id:4711 stat:DELIVRD");
	assert_string_equal(text(events, 8, "report"), "delivered");
	json_decref(o);
	t.text = true;
	o = tell(&t);
	assert_string_equal(text(json_object_get(o, "events"), 6, "text"),
	    "id:4711 stat:DELIVRD Text:Hello you");
	json_decref(o);
}

static void
test_customer(void **state)
{
	struct timeline_event e[3];
	struct timeline t;
	json_t *o;
	char *s;

	(void)state;
	used = 0;
	e[0] = retry();
	e[1] = receipt();
	e[2] = notified();
	t = story(e, 3);
	o = tell(&t);
	s = json_dumps(o, JSON_COMPACT);
	assert_non_null(strstr(s, "\"submitted\""));
	assert_non_null(strstr(s, "\"possible_dup\":true"));
	assert_non_null(strstr(s, "\"http_status\":200"));
	assert_null(strstr(s, "acme"));
	assert_null(strstr(s, "trx1"));
	assert_null(strstr(s, "192.0.2.1"));
	assert_null(strstr(s, "germany"));
	assert_null(strstr(s, "rtt"));
	assert_null(strstr(s, "stat:"));
	free(s);
	json_decref(o);
}

/* A receipt with a state that this version has no word for. */
static void
test_no_word(void **state)
{
	struct timeline_event e[1];
	struct timeline t;
	json_t *o;

	(void)state;
	used = 0;
	e[0] = receipt();
	e[0].state = 7;
	t = story(e, 1);
	o = tell(&t);
	assert_string_equal(
	    text(json_object_get(o, "events"), 2, "event"), "receipt");
	assert_true(json_is_null(json_object_get(
	    json_array_get(json_object_get(o, "events"), 2), "status")));
	json_decref(o);
}

/* What does not parse is said to be so; what is too much is left out. */
static void
test_limits(void **state)
{
	struct timeline_event e[2] = {
		{ .seq = 8,
		    .ref = 7,
		    .type = EVENT(RETRY_EV),
		    .at = AT,
		    .rec = { (const uint8_t *)"\xff\xff", 2 } },
		{ .seq = 9,
		    .ref = 7,
		    .type = 99,
		    .at = AT,
		    .rec = { (const uint8_t *)"", 0 } },
	};
	struct timeline t;
	json_t *o;

	(void)state;
	used = 0;
	t = story(e, 2);
	o = tell(&t);
	assert_string_equal(
	    text(json_object_get(o, "events"), 2, "event"), "unreadable");
	assert_null(json_object_get(o, "truncated"));
	json_decref(o);
	t.max = 1;
	o = tell(&t);
	assert_true(json_is_true(json_object_get(o, "truncated")));
	json_decref(o);
	/* A row that lost everything but its key. */
	t = story(NULL, 0);
	t.max = 65536;
	t.message.rec = t.message.envelope = (struct bytes){ NULL, 0 };
	t.message.to = t.message.account = (struct bytes){ NULL, 0 };
	o = tell(&t);
	assert_int_equal(json_array_size(json_object_get(o, "events")), 0);
	json_decref(o);
}

/* --------------------------------------------------------------------- dump */

static void
test_dump(void **state)
{
	Hopyard__V1__Content c = HOPYARD__V1__CONTENT__INIT;
	Hopyard__V1__Tlv tlv = HOPYARD__V1__TLV__INIT, *tlvs[1] = { &tlv };
	struct json j;
	struct buf out;

	(void)state;
	c.has_text = c.has_coding = c.has_service_type = true;
	c.text = bin("secret");
	c.coding = HOPYARD__V1__CONTENT__CODING__UCS2;
	c.service_type = bin("a\tb");
	tlv.tag = 0x1400;
	tlv.value = bin("v");
	c.n_tlv = 1;
	c.tlv = tlvs;
	buf_init(&out);
	json_init(&j, &out);
	dump_message(&j, NULL, &c.base, false);
	assert_string_equal(buf_str(&out),
	    "{\"coding\":\"UCS2\",\"service_type\":\"610962\","
	    "\"tlv\":[{\"tag\":5120,\"value\":\"v\"}]}");
	buf_clear(&out);
	json_init(&j, &out);
	dump_message(&j, NULL, &c.base, true);
	assert_non_null(strstr(buf_str(&out), "\"text\":\"secret\""));
	buf_fini(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_operator),
		cmocka_unit_test(test_customer),
		cmocka_unit_test(test_no_word),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_dump),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
