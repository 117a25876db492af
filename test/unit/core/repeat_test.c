/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repeat_test.c - messages from handsets that a carrier may have sent twice:
 * which are marked, which are one message, and which are simply equal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/repeat.h"
#include "test/unit/core/rig.h"

#define MINUTE 60000u

static const char conf_text[] =
    "boxes = ( { name = \"l1\"; type = \"smppc\"; host = \"h:1\";"
    " system_id = \"s\"; },"
    " { name = \"l2\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\";"
    " scope = \"l1\"; },"
    " { name = \"other\"; type = \"smppc\"; host = \"h:1\";"
    " system_id = \"s\"; },"
    " { name = \"hook\"; type = \"hook\"; },"
    " { name = \"store\"; type = \"store\"; dsn = \"x\"; } );"
    "accounts = ( { id = \"a\"; } );"
    "inbound = ( { name = \"any\"; account = \"a\";"
    " url = \"http://localhost/\"; } );";

static Hopyard__V1__Ack__Code code[4096]; /* by number; -1: not yet */
static size_t came, marked;
static size_t tags; /* of what mo() sends */

static void
on_settle(void *arg, uint32_t peer, uint64_t n, Hopyard__V1__Ack__Code c,
    const char *text)
{
	(void)arg;
	(void)peer;
	(void)text;
	assert_true(n < sizeof(code) / sizeof(code[0]));
	assert_int_equal((int)code[n], -1); /* never twice */
	code[n] = c;
}

static void
on_deliver(void *arg, struct target *t, const struct item *it)
{
	static uint8_t memory[4096];
	const struct db_row *r;
	const Hopyard__V1__Envelope *env;
	struct arena arena;

	(void)arg;
	(void)dispatch_of(it, &r);
	assert_string_equal(t->name, "hook");
	arena_init(&arena, memory, sizeof(memory));
	env = frame_unpack(&arena, &hopyard__v1__envelope__descriptor,
	    it->envelope.p, it->envelope.len);
	assert_non_null(env);
	assert_string_equal((const char *)it->body.p, "body");
	came++;
	marked += env->possible_dup;
}

static const struct engine_ops ops = {
	.settle = on_settle,
	.deliver = on_deliver,
	.page = on_page,
	.note = on_note,
};

static void
link_up(const char *name, uint8_t process, unsigned bound)
{
	Hopyard__V1__LinkState s = HOPYARD__V1__LINK_STATE__INIT;

	if (process != 0)
		engine_hello(e, target(name), 11, instance(process), false);
	s.state = bound > 0 ? HOPYARD__V1__LINK_STATE__LINK__UP
			    : HOPYARD__V1__LINK_STATE__LINK__DOWN;
	s.has_bound = true;
	s.bound = bound;
	engine_link_state(e, target(name), &s);
}

static int
setup(void **state)
{
	(void)state;
	came = marked = tags = 0;
	memset(code, 0xff, sizeof(code));
	rig_init(conf_text);
	engine_start(&ops);
	store_open();
	engine_hello(e, target("hook"), 12, instance(1), false);
	engine_credit(e, target("hook"), 100000, 1 << 30);
	link_up("l1", 2, 2);
	link_up("l2", 3, 1);
	link_up("other", 4, 1);
	pass(MINUTE); /* what is up has been so for a while */
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rig_fini();
	return 0;
}

/* As the connector of this name has it; returns its number. */
static uint64_t
mo(const char *link, uint64_t fingerprint, bool identified)
{
	static ProtobufCBinaryData none[4096];
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	struct item it = { .body = { (const uint8_t *)"body", 5 } };
	uint8_t id[16];
	size_t len;

	model_id(id, WALL + now, ++serial);
	env.id = (ProtobufCBinaryData){ 16, id };
	env.kind = HOPYARD__V1__KIND__MO;
	env.has_to = env.has_from = env.has_link = true;
	env.to = (ProtobufCBinaryData){ 3, (uint8_t *)(uintptr_t) "777" };
	env.from = (ProtobufCBinaryData){ 5, (uint8_t *)(uintptr_t) "49151" };
	env.link =
	    (ProtobufCBinaryData){ strlen(link), (uint8_t *)(uintptr_t)link };
	env.has_fingerprint = true;
	env.fingerprint = fingerprint;
	env.has_identified = env.identified = identified;
	env.tag = none;
	env.n_tag = tags;
	len = hopyard__v1__envelope__get_packed_size(&env);
	buf_clear(&buf);
	hopyard__v1__envelope__pack(&env, buf_reserve(&buf, len));
	buf_commit(&buf, len);
	it.envelope = (struct bytes){ buf_data(&buf), len };
	engine_inbound(e, target(link), 11, ++number, &it);
	return number;
}

static void
want(size_t want_came, size_t want_marked)
{
	commit();
	engine_dispatch(e);
	assert_int_equal(came, want_came);
	assert_int_equal(marked, want_marked);
	for (uint64_t n = 1; n <= number; n++)
		assert_int_equal(code[n], ACK(ACK_OK));
}

static void
said_twice(void **state)
{
	(void)state;
	mo("l1", 1, false);
	mo("l1", 1, false);
	tick(1000);
	mo("l2", 1, false);
	want(3, 0);
}

static void
a_bind_breaks(void **state)
{
	(void)state;
	mo("l1", 1, false);
	want(1, 0);
	link_up("l1", 0, 1);
	mo("l1", 1, false);
	mo("l1", 2, false);
	want(3, 1);
	/* One more bind is no break. */
	pass(MINUTE);
	mo("l1", 3, false);
	link_up("l1", 0, 2);
	mo("l1", 3, false);
	want(5, 1);
}

static void
a_connector_dies(void **state)
{
	(void)state;
	mo("l1", 1, false);
	engine_gone(e, target("l1"));
	/* On a sister's session, at once. */
	mo("l2", 1, false);
	mo("other", 1, false);
	tick(1000);
	link_up("l1", 9, 1);
	mo("l1", 1, false);
	want(4, 2);
	/* What came well after that break has nothing to do with it. */
	pass(MINUTE);
	mo("l1", 1, false);
	mo("l1", 5, false);
	mo("l1", 5, false);
	want(7, 3);
}

static void
too_late(void **state)
{
	(void)state;
	mo("l1", 1, false);
	link_up("l1", 0, 0);
	pass(10 * MINUTE + 1000);
	mo("l1", 1, false);
	want(2, 0);
}

static void
the_store_is_away(void **state)
{
	uint64_t first;

	(void)state;
	engine_store_gone(e);
	first = mo("l1", 1, false);
	assert_int_equal((int)code[first], -1);
	tick(9000); /* its carrier has been told "not now" */
	mo("l1", 1, false);
	engine_store_back(e);
	mo("l1", 1, false);
	want(3, 2);
}

static void
proved(void **state)
{
	uint64_t again;

	(void)state;
	mo("l1", 1, true);
	/* Answered when the first one is durable, and not before. */
	again = mo("l1", 1, true);
	assert_int_equal((int)code[again], -1);
	want(1, 0);
	again = mo("l2", 1, true);
	assert_int_equal(code[again], ACK(ACK_OK));
	mo("other", 1, true);
	mo("l1", 2, true);
	want(3, 0);
	pass(10 * MINUTE + 1000);
	mo("l1", 1, true);
	want(4, 0);
}

static bool
known(uint64_t fingerprint, uint64_t *seq)
{
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	struct item it = { 0 };

	env.fingerprint = fingerprint;
	env.identified = true;
	return repeat_judge(e, target("l1"), &env, &it, seq) == REPEAT_SAME;
}

/* One that fits our memory only just would not any more once it is marked. */
static void
crowded(void **state)
{
	(void)state;
	for (tags = 4000; tags < 4096; tags++) {
		mo("l1", 1, false);
		link_up("l1", 0, tags % 2);
		assert_int_equal(code[number], ACK(INVALID));
	}
	tags = 8;
	mo("l1", 1, false);
	commit();
	assert_int_equal(code[number], ACK(ACK_OK));
}

/* The newest are known, however many there were. */
static void
bounded(void **state)
{
	uint64_t seq, many = 200000, old = 0;

	(void)state;
	for (uint64_t i = 1; i <= many; i++) {
		repeat_remember(e, target("l1"), i << 32, i);
		tick(i % 2);
	}
	for (uint64_t i = 1; i <= many; i++) {
		bool is = known(i << 32, &seq);

		if (i > many - 1000)
			assert_true(is && seq == i);
		old += is;
	}
	assert_true(old <= 65536);
}

static void
many_records(void **state)
{
	(void)state;
	mo("l1", 1, true);
	for (uint64_t i = 2; i < 3000; i++) {
		mo("l1", i, false);
		tick(1);
	}
	mo("l1", 2998, false);
	mo("l1", 1, true);
	commit();
	assert_int_equal(e->count.repeated, 1);
	assert_int_equal(e->count.inbound, 3000);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(said_twice),
		TEST(a_bind_breaks),
		TEST(a_connector_dies),
		TEST(too_late),
		TEST(the_store_is_away),
		TEST(proved),
		TEST(crowded),
		TEST(bounded),
		TEST(many_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
