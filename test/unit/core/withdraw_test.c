/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * withdraw_test.c - messages that their front end takes back: in each state, in
 * the store, before the store is there, across a restart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/unit/core/rig.h"

#define TOKEN    900
#define STATE(x) HOPYARD__V1__STATE__##x

static const char conf_text[] =
    "bus = { ready_items = 100; queue_items = 16; reclaim = \"10s\"; };"
    "boxes = ( { name = \"front\"; type = \"http\"; },"
    " { name = \"l1\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\";},"
    " { name = \"hook\"; type = \"hook\"; },"
    " { name = \"store\"; type = \"store\"; dsn = \"x\"; } );"
    "accounts = ( { id = \"a\"; } );"
    "routes = ( { name = \"r1\"; to = \"49\"; via = [ \"l1\" ]; } );";

static uint64_t got[256];
static size_t got_count, answers, hooked;
static unsigned answer_code;
static uint64_t recalled;

static void
on_settle(void *arg, uint32_t peer, uint64_t n, Hopyard__V1__Ack__Code code,
    const char *text)
{
	(void)arg;
	(void)text;
	if (peer != ENGINE_PEER_CALL)
		return;
	assert_int_equal(n, TOKEN);
	assert_int_equal(code, ACK(ACK_OK));
	answer_code = 0;
	answers++;
}

static void
on_deliver(void *arg, struct target *t, const struct item *it)
{
	const struct db_row *row;

	(void)arg;
	if (t->role == TARGET_HOOK)
		hooked++;
	else
		got[got_count++] = dispatch_of(it, &row)->ref;
}

static void
on_recall(void *arg, struct target *t, uint64_t ref)
{
	(void)arg;
	(void)t;
	recalled = ref;
}

static void
on_answer(void *arg, uint64_t token, unsigned code, const char *text)
{
	(void)arg;
	(void)text;
	assert_int_equal(token, TOKEN);
	answer_code = code;
	answers++;
}

/* As many as there may be; nobody answers them all. */
static void
on_asked(void *arg, uint64_t correlation, const Hopyard__V1__Page *page)
{
	if (asked_count < 1000)
		on_page(arg, correlation, page);
}

static const struct engine_ops ops = {
	.settle = on_settle,
	.deliver = on_deliver,
	.recall = on_recall,
	.page = on_asked,
	.answer = on_answer,
	.note = on_note,
};

static int
setup(void **state)
{
	(void)state;
	got_count = answers = hooked = 0;
	rig_init(conf_text);
	engine_start(&ops);
	store_open();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rig_fini();
	return 0;
}

static void
box_up(const char *name, uint8_t inst, uint64_t credit)
{
	Hopyard__V1__LinkState s = HOPYARD__V1__LINK_STATE__INIT;
	struct target *t = target(name);

	engine_hello(e, t, inst, instance(inst), true);
	s.state = HOPYARD__V1__LINK_STATE__LINK__UP;
	if (t->role == TARGET_CONNECTOR)
		engine_link_state(e, t, &s);
	engine_credit(e, t, credit, 1 << 30);
	engine_dispatch(e);
}

/* With all reports asked for. */
static void
submit_in(uint8_t id[16], uint64_t delay)
{
	struct item it;

	model_id(id, WALL + now, ++serial);
	it = model_mt(&buf,
	    &(struct model_mt){ .id = id,
		.account = "a",
		.to = "491",
		.mask = 31,
		.delay_ms = delay });
	engine_submit(e, 1, ++number, "front", 3600000, &it);
	engine_dispatch(e);
}

static void
submit(uint8_t id[16])
{
	submit_in(id, 0);
}

static void
withdraw(const uint8_t id[16])
{
	answers = 0;
	engine_withdraw(e, id, TOKEN);
	engine_dispatch(e);
}

/* Its end is durable, and nobody hears of it. */
static void
assert_withdrawn(const uint8_t id[16])
{
	const struct db_row *row = db_find(&db, id);

	assert_int_equal(answers, 1);
	assert_int_equal(answer_code, 0);
	assert_non_null(row);
	assert_int_equal(row->final, STATE(CANCELLED));
	for (uint64_t seq = 1; seq <= db.durable; seq++)
		assert_false(db_row(&db, seq)->kind == HOPYARD__V1__KIND__DLR &&
		    db_row(&db, seq)->message == row->seq);
}

static void
all_over(void)
{
	commit();
	assert_int_equal(e->by_seq.count, 0);
	assert_int_equal(e->bytes, 0);
	assert_int_equal(e->ledger.ring_count, 0);
	assert_int_equal(e->lookups.count, 0);
	assert_int_equal(db.live, 0);
	assert_int_equal(hooked, 0);
}

static void
in_each_state(void **state)
{
	uint8_t id[16];
	uint64_t ref;

	(void)state;
	box_up("hook", 9, 100);
	box_up("l1", 1, 100);
	/* Pending, the usual case: the store is slow, or away. */
	submit(id);
	withdraw(id);
	assert_int_equal(answers, 0);
	commit();
	assert_int_equal(answers, 0); /* its end is not durable */
	assert_int_equal(got_count, 0);
	commit();
	assert_withdrawn(id);
	/* Asked again: while it is pending, and when it is over. */
	submit(id);
	engine_withdraw(e, id, TOKEN);
	withdraw(id);
	assert_int_equal(answers, 1);
	assert_int_equal(answer_code, 503);
	answers = 0;
	commit();
	commit();
	assert_withdrawn(id);
	withdraw(id);
	pages();
	assert_withdrawn(id);
	assert_int_equal(got_count, 0);
	/* In the connector's hands, not on the wire. */
	submit(id);
	commit();
	ref = got[got_count - 1];
	withdraw(id);
	assert_int_equal(recalled, ref);
	result_of("l1", ref, RESULT(RECALLED));
	commit();
	assert_withdrawn(id);
	/* Waiting for its next attempt, which is to be on disk. */
	submit(id);
	commit();
	ref = got[got_count - 1];
	result_of("l1", ref, RESULT(RETRY));
	commit();
	withdraw(id);
	commit();
	assert_withdrawn(id);
	submit(id);
	commit();
	ref = got[got_count - 1];
	result_of("l1", ref, RESULT(RETRY));
	commit();
	pass(7000);
	withdraw(id);
	commit();
	commit();
	assert_withdrawn(id);
	assert_int_equal(got[got_count - 1], ref);
	/* Not to be sent yet. */
	submit_in(id, 30000);
	commit();
	withdraw(id);
	commit();
	assert_withdrawn(id);
	/* No credit. */
	engine_credit(e, target("l1"), 0, 0);
	submit(id);
	commit();
	withdraw(id);
	commit();
	assert_withdrawn(id);
	assert_int_equal(e->count.withdrawn, 7);
	/* Never heard of. */
	withdraw((const uint8_t *)"0123456789abcdef");
	pages();
	assert_int_equal(answer_code, 404);
	all_over();
}

/* The database was away for as long as a front end waits: when it is back,
 * refusals cross with what has become durable. */
static void
refusal_on_its_way(void **state)
{
	uint8_t id[16];
	size_t before;

	(void)state;
	box_up("l1", 1, 100);
	submit(id);
	pass(5000);
	commit();
	assert_int_equal(got_count, 0);
	tick(20);
	withdraw(id);
	commit();
	assert_withdrawn(id);
	tick(100);
	assert_int_equal(got_count, 0);
	/* Without one they go, and they go on going when all are late. */
	before = got_count;
	for (int i = 0; i < 40; i++) {
		submit(id);
		pass(1500);
		commit();
	}
	tick(500);
	assert_int_equal(got_count, before + 40);
	/* Nothing waits for that in good times. */
	submit(id);
	commit();
	assert_int_equal(got_count, before + 41);
}

static void
too_late(void **state)
{
	uint8_t id[16];

	(void)state;
	box_up("l1", 1, 100);
	submit(id);
	commit();
	withdraw(id);
	result_of("l1", got[0], RESULT(OK));
	assert_int_equal(answers, 1);
	assert_int_equal(answer_code, 409);
	commit();
	withdraw(id);
	pages();
	assert_int_equal(answer_code, 409);
	assert_true(db_find(&db, id)->submitted);
	assert_int_equal(e->count.withdrawn, 0);
}

/* What only the store keeps: also when its record is on the way. */
static void
in_the_store(void **state)
{
	uint8_t id[16], spilled[16], due[16];

	(void)state;
	for (int i = 0; i < 16; i++)
		submit(id);
	commit();
	submit(spilled);
	assert_null(map_get(&e->by_id, spilled, 16));
	withdraw(spilled);
	pages(); /* it would not be found */
	assert_int_equal(answers, 0);
	commit();
	pages();
	commit();
	assert_withdrawn(spilled);
	submit_in(due, 100000);
	withdraw(due);
	pages();
	assert_int_equal(answers, 0);
	commit();
	pages();
	commit();
	assert_withdrawn(due);
	/* The store goes, and comes back without it. */
	submit(spilled);
	engine_store_gone(e);
	withdraw(spilled);
	store_open();
	pages();
	assert_int_equal(answers, 0);
	commit();
	pages();
	commit();
	assert_withdrawn(spilled);
	/* A page is quicker than the look-up. */
	submit(spilled);
	withdraw(spilled);
	commit();
	box_up("l1", 1, 100);
	for (size_t i = 0; i < asked_count; i++)
		if (asked[i].page.has_queue) {
			struct asked page = asked[i];

			answer_page(&page);
			break;
		}
	engine_dispatch(e);
	pages();
	commit();
	assert_withdrawn(spilled);
	pass(110000);
	pages();
	assert_int_equal(got_count, 16);
	for (size_t i = 0; i < got_count; i++)
		result_of("l1", got[i], RESULT(OK));
	commit();
	assert_int_equal(e->by_seq.count, 16); /* their reports */
	assert_int_equal(e->lookups.count, 0);
}

/* The bus was killed; the front end is quicker back than the store. */
static void
before_the_store(void **state)
{
	uint8_t id[16], lost[16];

	(void)state;
	submit(id);
	commit();
	submit(lost); /* never durable */
	engine_free(e);
	now++;
	engine_start(&ops);
	withdraw(id);
	engine_withdraw(e, lost, TOKEN);
	assert_int_equal(answers, 0);
	box_up("l1", 1, 100);
	store_open();
	engine_dispatch(e);
	pages();
	engine_dispatch(e);
	commit();
	assert_int_equal(answers, 2); /* 404 for the other */
	answers = 1;
	answer_code = 0;
	assert_withdrawn(id);
	assert_int_equal(got_count, 0);
	all_over();
}

/* The bus was killed, and the link may have it: only the link knows. */
static void
in_doubt(void **state)
{
	uint8_t id[2][16];
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 1);
	submit(id[0]);
	submit(id[1]);
	commit();
	assert_int_equal(got_count, 1);
	ref = got[0];
	engine_free(e);
	now++;
	engine_start(&ops);
	store_open();
	engine_dispatch(e);
	pages();
	withdraw(id[0]);
	engine_withdraw(e, id[1], TOKEN);
	commit();
	assert_int_equal(answers, 0);
	engine_hello(e, target("l1"), 7, instance(1), true);
	engine_in_hand(e, target("l1"), &ref, 1);
	assert_int_equal(recalled, ref);
	engine_credit(e, target("l1"), 0, 0);
	pass(3000);
	commit();
	assert_withdrawn(id[1]); /* without credit, too */
	result_of("l1", ref, RESULT(OK));
	assert_int_equal(answers, 2);
	assert_int_equal(answer_code, 409);
	commit();
	assert_true(db_find(&db, id[0])->submitted);
	assert_int_equal(e->count.withdrawn, 1);
}

/* And when it does not come back in time, or has gone for good. */
static void
in_doubt_for_long(void **state)
{
	uint8_t id[16];

	(void)state;
	box_up("l1", 1, 0);
	submit(id);
	commit();
	engine_free(e);
	now++;
	engine_start(&ops);
	store_open();
	engine_dispatch(e);
	pages();
	withdraw(id);
	pass(9000);
	commit();
	assert_int_equal(answers, 0);
	pass(5000);
	commit();
	assert_withdrawn(id);
	all_over();
}

/* More than is kept in mind: ask again. */
static void
too_many(void **state)
{
	uint8_t id[16];

	(void)state;
	engine_free(e);
	now++;
	engine_start(&ops);
	for (int i = 0; i < 65536; i++) {
		model_id(id, WALL + now, ++serial);
		engine_withdraw(e, id, TOKEN);
	}
	assert_int_equal(answers, 0);
	withdraw(id);
	assert_int_equal(answers, 1);
	assert_int_equal(answer_code, 503);
	/* Half of the look-ups are for results. */
	answers = 0;
	store_open();
	assert_int_equal(e->lookups.count, 32768);
	assert_int_equal(answers, 32768);
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(in_each_state),
		TEST(refusal_on_its_way),
		TEST(too_late),
		TEST(in_the_store),
		TEST(before_the_store),
		TEST(in_doubt),
		TEST(in_doubt_for_long),
		TEST(too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
