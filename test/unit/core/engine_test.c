/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_test.c - one scenario a test: what the engine does with an event, when
 * it may say so, and what it hands to whom.
 * The rig of rig.h is between them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/conf.h"
#include "common/xalloc.h"
#include "test/unit/core/rig.h"

#define MORE 4096

#define STATE(x) HOPYARD__V1__STATE__##x

static const char conf_text[] =
    "bus = { ready_items = 100; queue_items = 16; reclaim = \"10s\";"
    " failover_after = \"5s\"; checkpoint = \"10s\"; };"
    "boxes = ( { name = \"front\"; type = \"http\"; },"
    " { name = \"l1\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\";},"
    " { name = \"l2\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\";},"
    " { name = \"l3\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\";},"
    " { name = \"hook\"; type = \"hook\"; },"
    " { name = \"store\"; type = \"store\"; dsn = \"x\"; } );"
    "accounts = ( { id = \"a\"; }, { id = \"b\"; },"
    " { id = \"otp\"; class = \"otp\"; }, { id = \"bulk\"; class = \"bulk\"; },"
    " { id = \"slow\"; tps = 2; }, { id = \"off\"; disabled = true; },"
    " { id = \"strict\"; from = \"HOP\"; } );"
    "routes = ( { name = \"r1\"; to = \"49\"; via = [ \"l1\", \"l2\" ]; },"
    " { name = \"r2\"; to = \"44\"; via = \"l2\"; },"
    " { name = \"r3\"; to = \"33\"; via = [ \"l1\", \"l2\", \"l3\" ]; } );"
    "inbound = ( { name = \"in\"; to = \"777\"; account = \"a\";"
    " url = \"http://localhost/\"; } );";

struct settled {
	uint32_t peer;
	uint64_t number;
	Hopyard__V1__Ack__Code code;
};

struct delivered {
	const char *target;
	uint64_t ref, expires_in, age;
	uint32_t attempt;
	bool dup;
	uint8_t id[16];
	size_t part_done, report, bytes;
};

static struct settled settled[MORE];
static size_t settled_count;
static struct delivered got[MORE];
static size_t got_count;
static uint64_t recalled[16];
static size_t recalled_count;
static uint64_t answer_token;
static unsigned answer_code;
static size_t answers;

/* --------------------------------------------------------------- effects */

static void
on_settle(void *arg, uint32_t peer, uint64_t n, Hopyard__V1__Ack__Code code,
    const char *text)
{
	(void)arg;
	(void)text;
	assert_true(settled_count < MORE);
	settled[settled_count++] = (struct settled){ peer, n, code };
}

static void
on_deliver(void *arg, struct target *t, const struct item *it)
{
	struct delivered *d = &got[got_count++];
	const struct db_row *r;
	const Hopyard__V1__Dispatch *x = dispatch_of(it, &r);

	(void)arg;
	assert_true(got_count < MORE);
	memset(d, 0, sizeof(*d));
	d->target = t->name;
	d->ref = x->ref;
	d->attempt = x->attempt;
	d->dup = x->possible_dup;
	d->expires_in = x->expires_in_ms;
	d->age = x->age_ms;
	d->part_done = x->n_part_done;
	d->report = it->report.len;
	d->bytes = item_bytes(it);
	memcpy(d->id, r->id, 16);
}

static void
on_recall(void *arg, struct target *t, uint64_t ref)
{
	(void)arg;
	(void)t;
	recalled[recalled_count++] = ref;
}

static void
on_answer(void *arg, uint64_t token, unsigned code, const char *text)
{
	(void)arg;
	(void)text;
	answer_token = token;
	answer_code = code;
	answers++;
}

static const struct engine_ops ops = {
	.settle = on_settle,
	.deliver = on_deliver,
	.recall = on_recall,
	.page = on_page,
	.answer = on_answer,
	.note = on_note,
};

/* ---------------------------------------------------------------- the store */

/* Pages of queues that were asked for; those of the due table are left out. */
static size_t
queues_asked(void)
{
	size_t n = 0;

	for (size_t i = 0; i < asked_count; i++)
		if (!asked[i].page.due)
			asked[n++] = asked[i];
	asked_count = n;
	return n;
}

static void
overdue_cb(void *arg, const uint8_t *payload, size_t len)
{
	struct items its;

	(void)arg;
	assert_true(items_open(&its, payload, len));
	engine_overdue(e, &its);
}

/* --------------------------------------------------------------- the boxes */

static void
link_state(const char *name, bool up)
{
	Hopyard__V1__LinkState s = HOPYARD__V1__LINK_STATE__INIT;

	s.state = up ? HOPYARD__V1__LINK_STATE__LINK__UP
		     : HOPYARD__V1__LINK_STATE__LINK__DOWN;
	engine_link_state(e, target(name), &s);
	engine_dispatch(e);
}

static void
box_up(const char *name, uint8_t inst, uint32_t peer, bool survived,
    uint64_t credit)
{
	struct target *t = target(name);

	engine_hello(e, t, peer, instance(inst), survived);
	if (t->role == TARGET_CONNECTOR)
		link_state(name, true);
	if (credit > 0)
		engine_credit(e, t, credit, 1 << 30);
	engine_dispatch(e);
}

static void
submit_mt(const struct model_mt *mt)
{
	struct item it = model_mt(&buf, mt);

	engine_submit(e, 1, ++number, "front", 3600000, &it);
	engine_dispatch(e);
}

/* Returns the id, valid until the next 64 are made. */
static const uint8_t *
submit(const char *account, const char *to, uint32_t mask)
{
	static uint8_t ids[64][16];
	uint8_t *id = ids[serial % 64];

	model_id(id, WALL + now, ++serial);
	submit_mt(&(struct model_mt){
	    .id = id, .account = account, .to = to, .mask = mask });
	return id;
}

static const struct settled *
answer_of(uint64_t n)
{
	const struct settled *found = NULL;

	for (size_t i = 0; i < settled_count; i++)
		if (settled[i].number == n && settled[i].peer != 0) {
			assert_null(found); /* never twice */
			found = &settled[i];
		}
	return found;
}

static Hopyard__V1__Ack__Code
code_of(uint64_t n)
{
	assert_non_null(answer_of(n));
	return answer_of(n)->code;
}

static struct delivered *
last_got(void)
{
	assert_true(got_count > 0);
	return &got[got_count - 1];
}

/* The bus is killed and comes again; what was not committed is lost. */
static void
bus_restart(void)
{
	engine_free(e);
	now += 1;
	engine_start(&ops);
	store_open();
}

static int
setup(void **state)
{
	(void)state;
	settled_count = got_count = recalled_count = 0;
	answers = 0;
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

/* All is over: nothing is left in memory or in the tables. */
static void
all_over(void)
{
	commit();
	assert_int_equal(e->by_seq.count, 0);
	assert_int_equal(e->bytes, 0);
	assert_int_equal(e->ledger.ring_count, 0);
	assert_int_equal(db.live, 0);
}

/* ---------------------------------------------------------------- admission */

static void
durable_before_anything(void **state)
{
	const uint8_t *id;
	uint64_t n;

	(void)state;
	box_up("l1", 1, 11, false, 100);
	box_up("hook", 2, 12, false, 100);
	id = submit("a", "4915112345678", 31);
	n = number;
	tick(10);
	assert_null(answer_of(n));
	assert_int_equal(got_count, 0);
	commit();
	assert_int_equal(code_of(n), ACK(ACK_OK));
	assert_int_equal(got_count, 1);
	assert_string_equal(got[0].target, "l1");
	assert_int_equal(got[0].attempt, 1);
	assert_false(got[0].dup);
	assert_int_equal(got[0].report, 0); /* not for a connector */
	assert_memory_equal(got[0].id, id, 16);
	/* Its result is durable before the connector may forget it, and the
	 * report before it is handed to the hook. */
	result_of("l1", got[0].ref, RESULT(OK));
	n = number;
	assert_null(answer_of(n));
	assert_int_equal(got_count, 1);
	commit();
	assert_int_equal(code_of(n), ACK(ACK_OK));
	assert_int_equal(got_count, 2);
	assert_string_equal(got[1].target, "hook");
	assert_true(got[1].report > 0);
	result_of("hook", got[1].ref, RESULT(OK));
	all_over();
	assert_true(db_find(&db, id)->submitted);
	assert_int_equal(e->count.accepted, 1);
	assert_int_equal(e->count.submitted, 1);
	assert_int_equal(e->count.notified, 1);
}

static void
refused_at_once(void **state)
{
	static const struct {
		const char *account, *to, *from;
		Hopyard__V1__Ack__Code want;
	} cases[] = {
		{ "a", "999", NULL, ACK(NO_ROUTE) },
		{ "nobody", "491", NULL, ACK(DENIED) },
		{ "off", "491", NULL, ACK(DENIED) },
		{ "strict", "491", "ELSE", ACK(DENIED_SENDER) },
		{ "a", "", NULL, ACK(INVALID) },
		{ "a", "1234567890123456789012", NULL, ACK(INVALID) },
		{ "a", "49\n1", NULL, ACK(INVALID) },
	};
	uint8_t id[16];
	struct item it;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		model_id(id, WALL + now, ++serial);
		submit_mt(&(struct model_mt){ .id = id,
		    .account = cases[i].account,
		    .to = cases[i].to,
		    .from = cases[i].from });
		assert_int_equal(code_of(number), cases[i].want);
	}
	/* Ids of a strange time. */
	model_id(id, WALL + now + 6 * 60000, ++serial);
	submit_mt(&(struct model_mt){ .id = id, .account = "a" });
	assert_int_equal(code_of(number), ACK(INVALID));
	model_id(id, WALL - 3600000, ++serial);
	submit_mt(&(struct model_mt){ .id = id, .account = "a" });
	assert_int_equal(code_of(number), ACK(INVALID));
	/* Parts that are none. */
	model_id(id, WALL + now, ++serial);
	submit_mt(&(struct model_mt){ .id = id, .account = "a", .parts = 256 });
	assert_int_equal(code_of(number), ACK(INVALID));
	/* Garbage. */
	it = (struct item){ .envelope = { (const uint8_t *)"\xff\xff", 2 } };
	engine_submit(e, 1, ++number, "front", 3600000, &it);
	assert_int_equal(code_of(number), ACK(INVALID));
	assert_int_equal(e->ledger.last_seq, 0); /* nothing was recorded */
	assert_int_equal(e->count.refused, 11);
}

/* What no frame to the store could carry must not end the bus. */
static void
huge_items_are_refused(void **state)
{
	uint8_t id[16];
	struct item it;

	(void)state;
	model_id(id, WALL + now, ++serial);
	submit_mt(&(struct model_mt){
	    .id = id, .account = "a", .body_size = FRAME_MAX_PAYLOAD - 100 });
	assert_int_equal(code_of(number), ACK(INVALID));
	submit_mt(&(struct model_mt){
	    .id = id, .account = "a", .body_size = 120 * 1024 });
	commit();
	assert_int_equal(code_of(number), ACK(LATER));
	box_up("l1", 1, 11, false, 10);
	it = (struct item){ .envelope = { xcalloc(1, 200000), 200000 } };
	engine_result(e, target("l1"), 11, ++number, &it);
	assert_int_equal(code_of(number), ACK(INVALID));
	free((void *)(uintptr_t)it.envelope.p);
	it = model_mo(&buf, id, "777", "1");
	it.body = (struct bytes){ xcalloc(1, 260000), 260000 };
	engine_inbound(e, target("l1"), 11, ++number, &it);
	assert_int_equal(code_of(number), ACK(INVALID));
	free((void *)(uintptr_t)it.body.p);
}

static void
nothing_before_the_store_is_open(void **state)
{
	uint8_t id[16];
	struct item it;

	(void)state;
	engine_free(e);
	engine_start(&ops);
	submit("a", "491", 0);
	assert_int_equal(code_of(number), ACK(UNAVAILABLE));
	model_id(id, WALL + now, ++serial);
	it = model_mo(&buf, id, "777", "1");
	engine_inbound(e, target("l1"), 11, ++number, &it);
	assert_int_equal(code_of(number), ACK(UNAVAILABLE));
	engine_cancel(e, id, (struct bytes){ NULL, 0 }, 5);
	assert_int_equal(answer_code, 503);
	assert_int_equal(e->ledger.last_seq, 0);
	tick(1000);
	store_open();
	submit("a", "491", 0);
	commit();
	assert_int_equal(code_of(number), ACK(LATER));
}

static void
over_its_rate(void **state)
{
	(void)state;
	submit("slow", "491", 0);
	submit("slow", "491", 0);
	submit("slow", "491", 0);
	assert_int_equal(code_of(number), ACK(THROTTLED));
	now += 500;
	engine_time(e, now, WALL + now);
	submit("slow", "491", 0);
	commit();
	assert_int_equal(code_of(number), ACK(LATER));
}

static void
link_down_is_said(void **state)
{
	(void)state;
	submit("a", "491", 0);
	commit();
	assert_int_equal(code_of(number), ACK(LATER));
	box_up("l2", 1, 11, false, 10);
	submit("a", "491", 0);
	commit();
	/* The second of the rule is up. */
	assert_int_equal(code_of(number), ACK(ACK_OK));
	assert_string_equal(last_got()->target, "l2");
}

/* ----------------------------------------------------------- repeated ids */

static void
repeated_before_and_after_durable(void **state)
{
	const uint8_t *id = submit("a", "491", 0);
	uint64_t first = number, again, late;
	struct model_mt mt = { .id = id, .account = "a", .to = "491" };

	(void)state;
	submit_mt(&mt);
	again = number;
	assert_null(answer_of(first));
	assert_null(answer_of(again));
	commit();
	assert_non_null(answer_of(first));
	assert_int_equal(code_of(again), ACK(ACK_OK));
	submit_mt(&mt);
	late = number;
	assert_int_equal(code_of(late), ACK(ACK_OK));
	assert_int_equal(e->by_seq.count, 1);
	box_up("l1", 1, 11, false, 10);
	assert_int_equal(got_count, 1);
	result_of("l1", got[0].ref, RESULT(OK));
	commit();
	/* Forgotten by now: the store knows it. */
	submit_mt(&mt);
	assert_null(answer_of(number));
	commit();
	assert_int_equal(code_of(number), ACK(ACK_OK));
	assert_int_equal(got_count, 1);
	assert_int_equal(e->count.duplicates, 1);
	all_over();
}

/* Many duplicates, told in any order. */
static void
duplicates_in_any_order(void **state)
{
	uint8_t id[5][16];
	struct db_news news = { 0 };
	uint64_t t;

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 5; i++) {
			if (round == 0)
				model_id(id[i], WALL + now, ++serial);
			submit_mt(&(struct model_mt){
			    .id = id[i], .account = "a", .to = "491" });
		}
		if (round == 0) {
			commit();
			box_up("l1", 1, 11, false, 5);
			for (int i = 0; i < 5; i++)
				result_of("l1", got[i].ref, RESULT(OK));
			commit();
			engine_credit(e, target("l1"), 100, 1 << 30);
		}
	}
	commit_quietly(&news, UINT64_MAX);
	assert_int_equal(news.duplicate.count, 5);
	t = news.duplicate.v[0];
	news.duplicate.v[0] = news.duplicate.v[4];
	news.duplicate.v[4] = t;
	tell(&news, db.durable);
	engine_dispatch(e);
	assert_int_equal(got_count, 5);
	all_over();
}

/* The second hand-over is on its way when a page brings the first: it is the
 * first that lives. */
static void
page_beside_a_repeated_id(void **state)
{
	const uint8_t *first;

	(void)state;
	for (int i = 0; i < 17; i++)
		submit("a", "491", 0);
	commit();
	/* The queue is full: this one is left to the store. */
	first = submit("a", "491", 0);
	commit();
	assert_null(map_get(&e->by_id, first, 16));
	submit_mt(
	    &(struct model_mt){ .id = first, .account = "b", .to = "491" });
	assert_non_null(map_get(&e->by_id, first, 16));
	box_up("l1", 1, 11, false, 100);
	while (asked_count > 0) {
		pages();
		engine_dispatch(e);
	}
	commit();
	pages();
	assert_int_equal(got_count, 18);
	for (size_t i = 0; i < 18; i++)
		result_of("l1", got[i].ref, RESULT(OK));
	all_over();
}

/* ----------------------------------------------------------------- results */

static uint64_t
deliver_one(const char *account, uint32_t mask)
{
	size_t before = got_count;

	submit(account, "491", mask);
	commit();
	assert_int_equal(got_count, before + 1);
	return last_got()->ref;
}

static void
retries_climb_the_ladder(void **state)
{
	static const uint64_t waits[] = { 5000, 15000, 60000 };
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 1000);
	ref = deliver_one("a", 0);
	for (size_t i = 0; i < 3; i++) {
		size_t had = got_count;
		uint64_t waited = 0;

		result_of("l1", ref, RESULT(RETRY));
		commit();
		while (got_count == had && waited < 200000) {
			tick(100);
			waited += 100;
			pages();
			commit();
		}
		assert_in_range(
		    waited, waits[i] * 8 / 10 - 200, waits[i] * 12 / 10 + 300);
		assert_int_equal(last_got()->ref, ref);
		assert_int_equal(last_got()->attempt, i + 2);
		assert_false(last_got()->dup);
		assert_int_equal(db_row(&db, ref)->attempt_recorded, i + 2);
	}
	result_of("l1", ref, RESULT(OK));
	all_over();
	assert_int_equal(e->count.retries, 3);
}

static void
retries_end(void **state)
{
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 1000);
	box_up("hook", 2, 12, false, 1000);
	ref = deliver_one("a", 31);
	for (int i = 0; i < 10; i++) {
		size_t had = got_count;

		result_of("l1", ref, RESULT(RETRY));
		commit();
		for (int k = 0; k < 20000 && i < 9 && got_count == had; k++) {
			tick(1000);
			pages();
			commit();
		}
	}
	assert_int_equal(db_row(&db, ref)->final, STATE(UNDELIVERABLE));
	assert_string_equal(last_got()->target, "hook");
	result_of("hook", last_got()->ref, RESULT(OK));
	all_over();
}

static void
failed_for_good(void **state)
{
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 10);
	box_up("hook", 2, 12, false, 10);
	ref = deliver_one("a", 31);
	result_of("l1", ref, RESULT(FAIL));
	commit();
	assert_int_equal(db_row(&db, ref)->final, STATE(REJECTED));
	assert_string_equal(last_got()->target, "hook");
	result_of("hook", last_got()->ref, RESULT(OK));
	all_over();
}

/* Each candidate once, in order, and then no more. */
static void
reroutes_through_the_rule(void **state)
{
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 10);
	box_up("l2", 2, 12, false, 10);
	box_up("l3", 3, 13, false, 10);
	submit("a", "331", 0);
	commit();
	ref = last_got()->ref;
	assert_string_equal(last_got()->target, "l1");
	result_of("l1", ref, RESULT(REROUTE));
	assert_int_equal(got_count, 1); /* not before the record */
	commit();
	commit(); /* and that of the attempt */
	assert_string_equal(last_got()->target, "l2");
	assert_int_equal(last_got()->attempt, 2);
	result_of("l2", ref, RESULT(REROUTE));
	commit();
	commit();
	assert_string_equal(last_got()->target, "l3");
	result_of("l3", ref, RESULT(REROUTE));
	commit();
	assert_int_equal(got_count, 3);
	assert_int_equal(db_row(&db, ref)->final, STATE(REJECTED));
	all_over();
}

static void
parts_stay_together(void **state)
{
	struct item it;
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 10);
	box_up("l2", 2, 12, false, 10);
	ref = deliver_one("a", 0);
	it = model_result(&buf,
	    &(struct model_result){
		.ref = ref, .code = RESULT(RETRY), .part_ok = 2 });
	engine_result(e, target("l1"), 11, ++number, &it);
	commit();
	pass(7000);
	commit();
	assert_int_equal(got_count, 2);
	assert_int_equal(last_got()->part_done, 1);
	/* Another link would send it in two halves. */
	result_of("l1", ref, RESULT(REROUTE));
	commit();
	assert_int_equal(db_row(&db, ref)->final, STATE(REJECTED));
	all_over();
}

static void
unknown_outcomes_by_class(void **state)
{
	uint64_t otp, txn, bulk;

	(void)state;
	box_up("l1", 1, 11, false, 1000);
	otp = deliver_one("otp", 0);
	txn = deliver_one("a", 0);
	bulk = deliver_one("bulk", 0);
	result_of("l1", otp, RESULT(UNKNOWN_OUTCOME));
	result_of("l1", txn, RESULT(UNKNOWN_OUTCOME));
	result_of("l1", bulk, RESULT(UNKNOWN_OUTCOME));
	commit();
	/* Never a resend of bulk. */
	assert_int_equal(db_row(&db, bulk)->final, STATE(UNKNOWN));
	tick(20);
	commit();
	assert_int_equal(got_count, 4);
	assert_int_equal(last_got()->ref, otp);
	assert_true(last_got()->dup);
	pass(29000);
	commit();
	assert_int_equal(got_count, 4);
	pass(2000);
	commit();
	assert_int_equal(got_count, 5);
	assert_int_equal(last_got()->ref, txn);
	assert_true(last_got()->dup);
	/* Twice at most. */
	result_of("l1", otp, RESULT(UNKNOWN_OUTCOME));
	commit();
	tick(20);
	commit();
	assert_int_equal(last_got()->ref, otp);
	result_of("l1", otp, RESULT(UNKNOWN_OUTCOME));
	commit();
	assert_int_equal(db_row(&db, otp)->final, STATE(UNKNOWN));
	assert_true(db_row(&db, otp)->dup);
	result_of("l1", txn, RESULT(OK));
	all_over();
	assert_true(db_row(&db, txn)->dup);
}

static void
throttled_keeps_its_place(void **state)
{
	struct item it;
	uint64_t first;

	(void)state;
	box_up("l1", 1, 11, false, 1);
	first = deliver_one("a", 0);
	submit("a", "491", 0);
	commit();
	it = model_result(&buf,
	    &(struct model_result){ .ref = first,
		.code = RESULT(THROTTLED),
		.pause_ms = 1000,
		.pause_link = true });
	engine_result(e, target("l1"), 11, ++number, &it);
	engine_credit(e, target("l1"), 10, 1 << 30);
	engine_dispatch(e);
	/* Nothing is recorded, so the box may forget it at once. */
	assert_int_equal(code_of(number), ACK(ACK_OK));
	pass(900);
	assert_int_equal(got_count, 1);
	pass(200);
	assert_int_equal(got_count, 3);
	assert_int_equal(got[1].ref, first);
	assert_int_equal(got[1].attempt, 1);
	result_of("l1", got[1].ref, RESULT(NOT_NOW));
	pass(100);
	assert_int_equal(got_count, 4);
	assert_int_equal(got[3].ref, first);
	result_of("l1", got[2].ref, RESULT(OK));
	result_of("l1", got[3].ref, RESULT(OK));
	all_over();
}

/* A box may only speak of what it was given. */
static void
results_of_others(void **state)
{
	struct item it;
	uint8_t id[16] = { 0 };
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 10);
	box_up("l2", 2, 12, false, 10);
	box_up("hook", 3, 13, false, 10);
	ref = deliver_one("a", 0);
	result_of("hook", ref, RESULT(OK));
	assert_int_equal(code_of(number), ACK(INVALID));
	result_of("l2", ref, RESULT(FAIL));
	commit();
	assert_int_equal(code_of(number), ACK(ACK_OK));
	it = model_result(&buf,
	    &(struct model_result){ .ref = ref, .code = RESULT(OK), .id = id });
	engine_result(e, target("l1"), 11, ++number, &it);
	assert_int_equal(code_of(number), ACK(INVALID));
	it = (struct item){ .envelope = { (const uint8_t *)"\x08", 1 } };
	engine_result(e, target("l1"), 11, ++number, &it);
	assert_int_equal(code_of(number), ACK(INVALID));
	/* Of nothing at all. */
	result_of("l1", 4711, RESULT(OK));
	assert_int_equal(code_of(number), ACK(ACK_OK));
	assert_false(db_row(&db, ref)->ended);
	result_of("l1", ref, RESULT(OK));
	all_over();
}

/* A code of a later version: nothing is known to have gone. */
static void
result_of_tomorrow(void **state)
{
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 10);
	ref = deliver_one("a", 0);
	result_of("l1", ref, (Hopyard__V1__Result__Code)99);
	pass(100);
	assert_int_equal(got_count, 2);
	result_of("l1", ref, RESULT(OK));
	all_over();
}

/* l1 gave it up, l2 has it; the bus is killed, and l1 says again what it was
 * never told to forget, before or after the item is loaded. */
static void
old_result_after_a_restart(void **state)
{
	struct model_result old = { .code = RESULT(REROUTE), .attempt = 1 };
	const struct msg *m;
	uint8_t id[16];
	uint64_t refs[1];
	struct item it;

	(void)state;
	for (int page_first = 0; page_first < 2; page_first++) {
		got_count = 0;
		box_up("l1", 1, 11, true, 1000);
		box_up("l2", 2, 12, true, 1000);
		model_id(id, WALL + now, ++serial);
		submit_mt(&(struct model_mt){
		    .id = id, .account = "a", .to = "33612" });
		commit();
		refs[0] = old.ref = got[0].ref;
		old.id = id;
		result_of("l1", old.ref, RESULT(REROUTE));
		commit();
		commit();
		assert_int_equal(got_count, 2);
		assert_string_equal(got[1].target, "l2");
		bus_restart();
		box_up("l3", 3, 23, true, 1000); /* would take it */
		engine_hello(e, target("l1"), 21, instance(1), true);
		it = model_result(&buf, &old);
		engine_result(e, target("l1"), 21, ++number, &it);
		assert_true(asked_count > 1);
		for (size_t i = 0; !page_first && i < asked_count / 2; i++) {
			struct asked swap = asked[i];

			asked[i] = asked[asked_count - 1 - i];
			asked[asked_count - 1 - i] = swap;
		}
		pages();
		commit();
		assert_int_equal(code_of(number), ACK(ACK_OK));
		engine_hello(e, target("l2"), 22, instance(2), true);
		engine_in_hand(e, target("l2"), refs, 1);
		engine_credit(e, target("l2"), 1000, 1 << 30);
		pass(1000);
		pages();
		m = map_get_u64(&e->by_seq, old.ref);
		assert_non_null(m);
		assert_int_equal(m->state, MSG_INFLIGHT);
		assert_ptr_equal(m->box, target("l2"));
		assert_int_equal(got_count, 2);
		result_of("l2", old.ref, RESULT(OK));
		all_over();
	}
}

/* --------------------------------------------------------- time and validity */

static void
expires_wherever_it_is(void **state)
{
	uint8_t id[3][16];

	(void)state;
	box_up("l1", 1, 11, false, 1);
	for (int i = 0; i < 3; i++) {
		model_id(id[i], WALL + now, ++serial);
		submit_mt(&(struct model_mt){ .id = id[i],
		    .account = "a",
		    .to = "491",
		    .validity_ms = 20000 });
	}
	commit();
	assert_int_equal(got_count, 1);
	assert_in_range(got[0].expires_in, 19000, 20000);
	pass(23000);
	commit();
	assert_int_equal(db_find(&db, id[1])->final, STATE(EXPIRED));
	assert_int_equal(db_find(&db, id[2])->final, STATE(EXPIRED));
	/* That in the box's hands is the box's for a minute more. */
	assert_int_equal(db_find(&db, id[0])->final, 0);
	pass(60000);
	commit();
	assert_int_equal(db_find(&db, id[0])->final, STATE(UNKNOWN));
	result_of("l1", got[0].ref, RESULT(OK));
	pages();
	assert_int_equal(code_of(number), ACK(ACK_OK));
	all_over();
	assert_int_equal(e->count.expired, 3);
}

/*
 * T-12: the wall clock is set while messages wait in memory, in the store and
 * with a carrier.  What was accepted before and what was accepted after has its
 * time, no less and no more.
 */
static void
clock_is_set(int64_t ms)
{
	struct model_mt mt = {
		.account = "a", .to = "491", .validity_ms = 60000
	};
	uint8_t id[16] = { 0 }, early[16] = { 0 };
	size_t i;

	box_up("l1", 1, 11, false, 1);
	submit("a", "491", 0);
	commit();
	result_of("l1", got[0].ref, RESULT(OK));
	for (i = 0; i < 300; i++) {
		mt.id = i == 0 ? early : id;
		model_id(i == 0 ? early : id, WALL + now, ++serial);
		submit_mt(&mt);
		commit();
	}
	pass(20000);
	stepped = ms;
	tick(1);
	/* By its clock the store may well say that they are all over. */
	db_overdue(&db, WALL + now + (uint64_t)stepped, overdue_cb, NULL);
	pass(20000);
	for (i = 0; i < 10; i++) {
		model_id(id, WALL + now + (uint64_t)stepped, ++serial);
		submit_mt(&mt);
	}
	commit();
	assert_int_equal(e->count.expired, 0);
	/* From memory and from pages: all have the rest of their time. */
	engine_credit(e, target("l1"), 1000, 1 << 30);
	for (i = 0; i < 20; i++) {
		pages();
		commit();
		tick(100);
	}
	assert_int_equal(got_count, 311);
	for (i = 1; i < got_count; i++)
		if (i <= 300)
			assert_in_range(got[i].expires_in, 15000, 20500);
		else
			assert_in_range(got[i].expires_in, 55000, 60000);
	assert_int_equal(e->count.expired, 0);
	/* And they do end: in the hands of a box a minute later. */
	pass(85000);
	commit();
	assert_int_equal(db_find(&db, early)->final, STATE(UNKNOWN));
	pass(60000);
	commit();
	assert_int_equal(e->count.expired, 310);
}

static void
clock_is_set_before_the_receipt(void **state)
{
	uint8_t id[16];
	uint64_t wall;

	(void)state;
	box_up("l1", 1, 11, false, 10);
	model_id(id, WALL + now, ++serial);
	submit_mt(&(struct model_mt){ .id = id,
	    .account = "a",
	    .to = "491",
	    .mask = 31,
	    .validity_ms = 60000 });
	commit();
	result_of("l1", last_got()->ref, RESULT(OK));
	commit();
	stepped = 3600 * 1000;
	tick(1);
	wall = WALL + now + (uint64_t)stepped;
	assert_int_equal(db_overdue(&db, wall, overdue_cb, NULL), 1);
	commit();
	assert_int_equal(db_find(&db, id)->final, 0);
	/* Its validity and a minute for the receipt. */
	pass(125000);
	assert_int_equal(db_overdue(&db, wall + 125000, overdue_cb, NULL), 1);
	commit();
	assert_int_equal(db_find(&db, id)->final, STATE(UNKNOWN));
}

static void
keep_overdue(void *arg, const uint8_t *payload, size_t len)
{
	struct buf *b = arg;

	assert_int_equal(buf_len(b), 0);
	buf_add(b, payload, len);
}

/* Sent in its time, while the store, with the clock put forward, was saying that
 * it is overdue; its word is heard when that has become true. */
static void
overdue_of_one_that_was_sent(void **state)
{
	struct buf word;
	uint8_t id[16];

	(void)state;
	buf_init(&word);
	box_up("l1", 1, 11, false, 10);
	model_id(id, WALL + now, ++serial);
	submit_mt(&(struct model_mt){
	    .id = id, .account = "a", .to = "491", .validity_ms = 20000 });
	commit();
	stepped = 3600 * 1000;
	tick(1);
	assert_int_equal(db_overdue(&db, WALL + now + (uint64_t)stepped,
			     keep_overdue, &word),
	    1);
	result_of("l1", last_got()->ref, RESULT(OK));
	commit();
	assert_int_equal(db_find(&db, id)->final, STATE(SENT));
	pass(21000);
	overdue_cb(NULL, buf_data(&word), buf_len(&word));
	commit();
	assert_int_equal(db_find(&db, id)->final, STATE(SENT));
	assert_int_equal(db_find(&db, id)->finals, 1);
	assert_int_equal(e->count.expired, 0);
	all_over();
	buf_fini(&word);
}

static void
clock_is_put_forward(void **state)
{
	(void)state;
	clock_is_set(3600 * 1000);
}

static void
clock_is_put_back(void **state)
{
	(void)state;
	clock_is_set(-3600 * 1000);
}

static void
clock_is_a_day_off(void **state)
{
	(void)state;
	clock_is_set(24 * 3600 * 1000);
}

static void
clock_was_a_day_off(void **state)
{
	(void)state;
	clock_is_set(-24 * 3600 * 1000);
}

static void
scheduled(void **state)
{
	uint8_t soon[16], later[16];

	(void)state;
	box_up("l1", 1, 11, false, 10);
	model_id(soon, WALL + now, ++serial);
	submit_mt(&(struct model_mt){
	    .id = soon, .account = "a", .to = "491", .delay_ms = 30000 });
	model_id(later, WALL + now, ++serial);
	submit_mt(&(struct model_mt){
	    .id = later, .account = "a", .to = "491", .delay_ms = 90000 });
	commit();
	/* A minute and more is the store's. */
	assert_non_null(map_get(&e->by_id, soon, 16));
	assert_null(map_get(&e->by_id, later, 16));
	pass(29800);
	pages();
	assert_int_equal(got_count, 0);
	pass(300);
	assert_int_equal(got_count, 1);
	assert_memory_equal(got[0].id, soon, 16);
	for (int i = 0; i < 59; i++) {
		pass(1000);
		pages();
	}
	assert_int_equal(got_count, 1);
	pass(2000);
	pages();
	assert_int_equal(got_count, 2);
	assert_memory_equal(got[1].id, later, 16);
	result_of("l1", got[0].ref, RESULT(OK));
	result_of("l1", got[1].ref, RESULT(OK));
	all_over();
}

/* Not before its time either when a restart or a full queue lies between. */
static void
scheduled_across_a_restart(void **state)
{
	uint8_t id[16];

	(void)state;
	model_id(id, WALL + now, ++serial);
	submit_mt(&(struct model_mt){
	    .id = id, .account = "a", .to = "491", .delay_ms = 30000 });
	commit();
	pass(5000);
	bus_restart();
	box_up("l1", 1, 11, true, 10);
	pages();
	pass(24000);
	assert_int_equal(got_count, 0);
	pass(1500);
	assert_int_equal(got_count, 1);
	result_of("l1", got[0].ref, RESULT(OK));
	all_over();
}

/* The store was away for longer than a row lies ahead: the cursor of the due
 * table must not pass what is not written yet. */
static void
due_rows_of_an_outage(void **state)
{
	uint8_t id[16];

	(void)state;
	box_up("l1", 1, 11, false, 10);
	model_id(id, WALL + now, ++serial);
	submit_mt(&(struct model_mt){
	    .id = id, .account = "a", .to = "491", .delay_ms = 61000 });
	engine_store_gone(e);
	pass(120000);
	assert_int_equal(asked_count, 0);
	store_open();
	pass(2000);
	pages(); /* before the record is there */
	commit();
	pass(2000);
	pages();
	assert_int_equal(got_count, 1);
	result_of("l1", got[0].ref, RESULT(OK));
	all_over();
}

static void
overdue_is_ended_once(void **state)
{
	struct db_news news = { 0 };
	uint8_t id[16];
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 10);
	box_up("hook", 2, 12, false, 10);
	model_id(id, WALL + now, ++serial);
	submit_mt(&(struct model_mt){ .id = id,
	    .account = "a",
	    .to = "491",
	    .mask = 31,
	    .validity_ms = 10000 });
	commit();
	ref = last_got()->ref;
	result_of("l1", ref, RESULT(OK));
	commit();
	result_of("hook", last_got()->ref, RESULT(OK));
	commit();
	/* No receipt comes. */
	pass(80000);
	assert_int_equal(db_overdue(&db, WALL + now, overdue_cb, NULL), 1);
	/* And the store says so again before and after it has heard. */
	db_overdue(&db, WALL + now, overdue_cb, NULL);
	commit_quietly(&news, UINT64_MAX);
	tell(&news, db.durable);
	engine_dispatch(e);
	assert_int_equal(db_row(&db, ref)->final, STATE(UNKNOWN));
	assert_int_equal(db_row(&db, ref)->finals, 1);
	assert_int_equal(got_count, 3);
	result_of("hook", last_got()->ref, RESULT(OK));
	all_over();
}

/* ------------------------------------------------------------------ cancel */

static void
cancel(const uint8_t *id)
{
	answers = 0;
	engine_cancel(e, id, (struct bytes){ NULL, 0 }, 900);
	engine_dispatch(e);
}

/* Answered 0 through settle, once it is durable. */
static bool
canceled(void)
{
	for (size_t i = 0; i < settled_count; i++)
		if (settled[i].peer == ENGINE_PEER_CALL &&
		    settled[i].number == 900) {
			settled[i].peer = 0;
			return settled[i].code == ACK(ACK_OK);
		}
	return false;
}

static void
cancel_in_each_state(void **state)
{
	const uint8_t *id;
	uint64_t ref;

	(void)state;
	/* Pending: when it is durable. */
	id = submit("a", "491", 0);
	cancel(id);
	assert_false(canceled());
	commit();
	commit();
	assert_true(canceled());
	assert_int_equal(db_find(&db, id)->final, STATE(CANCELLED));
	/* Ready. */
	id = submit("a", "491", 0);
	commit();
	cancel(id);
	cancel(id);
	assert_int_equal(answer_code, 409);
	commit();
	assert_true(canceled());
	/* In the box's hands: it decides. */
	box_up("l1", 1, 11, false, 100);
	id = submit("a", "491", 0);
	commit();
	ref = last_got()->ref;
	cancel(id);
	assert_int_equal(recalled[recalled_count - 1], ref);
	result_of("l1", ref, RESULT(RECALLED));
	assert_false(canceled());
	commit();
	assert_true(canceled());
	assert_int_equal(db_row(&db, ref)->final, STATE(CANCELLED));
	/* Too late. */
	id = submit("a", "491", 0);
	commit();
	ref = last_got()->ref;
	cancel(id);
	result_of("l1", ref, RESULT(OK));
	assert_int_equal(answers, 1);
	assert_int_equal(answer_code, 409);
	commit();
	assert_false(canceled());
	/* Refused for now: it is ours again. */
	id = submit("a", "491", 0);
	commit();
	ref = last_got()->ref;
	cancel(id);
	result_of("l1", ref, RESULT(RETRY));
	commit();
	assert_true(canceled());
	/* Waiting for its next attempt. */
	id = submit("a", "491", 0);
	commit();
	ref = last_got()->ref;
	result_of("l1", ref, RESULT(RETRY));
	commit();
	cancel(id);
	commit();
	assert_true(canceled());
	/* Attempting: its record is on the way. */
	id = submit("a", "491", 0);
	commit();
	ref = last_got()->ref;
	result_of("l1", ref, RESULT(RETRY));
	commit();
	pass(7000);
	cancel(id);
	commit();
	commit();
	assert_true(canceled());
	assert_int_equal(last_got()->ref, ref);
	assert_int_equal(last_got()->attempt, 1);
	/* Over. */
	cancel(id);
	pages();
	assert_int_equal(answer_code, 409);
	/* Never heard of. */
	cancel((const uint8_t *)"0123456789abcdef");
	pages();
	assert_int_equal(answer_code, 404);
	all_over();
}

/* Items that only the store has, also while a page with them is on its way. */
static void
cancel_in_the_store(void **state)
{
	const uint8_t *spilled;
	uint8_t due[16], id[16];
	struct asked page;

	(void)state;
	for (int i = 0; i < 17; i++)
		submit("a", "491", 0);
	commit();
	spilled = submit("a", "491", 0);
	model_id(due, WALL + now, ++serial);
	submit_mt(&(struct model_mt){
	    .id = due, .account = "a", .to = "491", .delay_ms = 100000 });
	commit();
	memcpy(id, spilled, 16);
	/* Of another account. */
	engine_cancel(e, id, (struct bytes){ (const uint8_t *)"b", 1 }, 900);
	pages();
	assert_int_equal(answer_code, 404);
	/* A page is asked, and read before the cancel is durable. */
	box_up("l1", 1, 11, false, 100);
	assert_int_equal(asked_count, 1);
	page = asked[0];
	asked_count = 0;
	cancel(id);
	pages();
	answer_page(&page);
	commit();
	assert_true(canceled());
	assert_int_equal(db_find(&db, id)->final, STATE(CANCELLED));
	cancel(due);
	pages();
	commit();
	assert_true(canceled());
	pass(110000);
	pages();
	assert_int_equal(got_count, 17);
	for (size_t i = 0; i < 17; i++)
		result_of("l1", got[i].ref, RESULT(OK));
	all_over();
}

/* l1 and its SMSC hold what is to be sent later, l2 does not. */
static void
configure_schedules(const char *l1)
{
	char text[512];

	snprintf(text, sizeof(text),
	    "bus = { failover_after = \"5s\"; reclaim = \"10s\"; };"
	    "boxes = ( { name = \"l1\"; type = \"smppc\"; host = \"h:1\";"
	    " system_id = \"s\"; schedule = \"%s\"; }, { name = \"l2\"; type ="
	    " \"smppc\"; host = \"h:1\"; system_id = \"s\"; } );"
	    "accounts = ( { id = \"a\"; } ); routes = ( { name = \"r1\";"
	    " via = [ \"l1\", \"l2\" ]; } );",
	    l1);
	engine_reload(text);
}

static void
submit_later(uint8_t id[16], uint64_t delay)
{
	model_id(id, WALL + now, ++serial);
	submit_mt(&(struct model_mt){
	    .id = id, .account = "a", .to = "491", .delay_ms = delay });
	commit();
}

static void
scheduled_by_the_smsc(void **state)
{
	uint8_t id[16];

	(void)state;
	configure_schedules("smsc");
	box_up("l1", 1, 11, false, 10);
	submit_later(id, 1800000);
	assert_int_equal(got_count, 1);
	assert_string_equal(got[0].target, "l1");
	/* It counts from the time it is sent. */
	assert_int_equal(got[0].expires_in, 1800000 + 24 * 3600000);
	/* Again later: what is left of the time is the connector's to say. */
	result_of("l1", got[0].ref, RESULT(RETRY));
	commit();
	pass(6500);
	commit();
	assert_int_equal(got_count, 2);
	assert_in_range(got[1].age, 4000, 6500);
	result_of("l1", got[1].ref, RESULT(OK));
	all_over();
}

static void
scheduled_and_the_link_goes_down(void **state)
{
	static const uint64_t delays[] = { 40000, 600000 };
	uint8_t id[16];

	(void)state;
	configure_schedules("smsc");
	for (size_t i = 0; i < 2; i++) {
		box_up("l1", (uint8_t)(10 + i), 20 + (uint32_t)i, false, 0);
		engine_credit(e, target("l1"), 0, 0);
		box_up("l2", (uint8_t)(30 + i), 40 + (uint32_t)i, false, 10);
		submit_later(id, delays[i]);
		assert_int_equal(got_count, i);
		link_state("l1", false);
		pass(7000);
		commit();
		assert_int_equal(got_count, i); /* l2 would send it now */
		for (uint64_t k = 0; k < delays[i] - 8000; k += 1000) {
			pass(1000);
			pages();
			commit();
		}
		assert_int_equal(got_count, i);
		pass(2000);
		pages();
		commit();
		assert_int_equal(got_count, i + 1);
		assert_string_equal(last_got()->target, "l2");
		assert_memory_equal(last_got()->id, id, 16);
		result_of("l2", last_got()->ref, RESULT(OK));
		all_over();
	}
}

static void
scheduled_by_the_smsc_and_restarted(void **state)
{
	uint8_t id[16];

	(void)state;
	configure_schedules("smsc");
	submit_later(id, 600000);
	bus_restart();
	pages();
	box_up("l1", 1, 11, true, 10);
	commit();
	assert_int_equal(got_count, 1);
	result_of("l1", got[0].ref, RESULT(OK));
	commit();
	/* Changed while it lies there: held from now on. */
	box_up("l1", 2, 12, false, 0);
	submit_later(id, 600000);
	configure_schedules("hopyard");
	engine_credit(e, target("l1"), 10, 1 << 20);
	engine_dispatch(e);
	commit();
	assert_int_equal(got_count, 1);
	for (int i = 0; i < 602; i++) {
		pass(1000);
		pages();
		commit();
	}
	assert_int_equal(got_count, 2);
	assert_memory_equal(got[1].id, id, 16);
	result_of("l1", got[1].ref, RESULT(OK));
	all_over();
}

/* Its result is there before it is loaded; what it waits for then is not its
 * time. */
static void
scheduled_and_given_back_to_the_next_bus(void **state)
{
	struct model_result later = { .code = RESULT(NOT_NOW), .attempt = 1 };
	struct item it;
	uint8_t id[16];

	(void)state;
	configure_schedules("smsc");
	box_up("l1", 1, 11, false, 10);
	submit_later(id, 40000);
	assert_int_equal(got_count, 1);
	bus_restart();
	box_up("l1", 1, 12, true, 0);
	later.ref = got[0].ref;
	later.id = id;
	it = model_result(&buf, &later);
	engine_result(e, target("l1"), 12, ++number, &it);
	engine_credit(e, target("l1"), 0, 0);
	pages();
	commit();
	pass(100);
	commit();
	link_state("l1", false);
	box_up("l2", 2, 13, false, 10);
	pass(15000);
	pages();
	commit();
	assert_int_equal(got_count, 1); /* l2 would send it now */
	for (int i = 0; i < 26; i++) {
		pass(1000);
		pages();
		commit();
	}
	assert_int_equal(got_count, 2);
	assert_string_equal(got[1].target, "l2");
	result_of("l2", got[1].ref, RESULT(OK));
	all_over();
}

/* ------------------------------------------------------------------ replace */

/* A new one of account a in the place of this; returns its id. */
static const uint8_t *
replace(const uint8_t *old)
{
	static uint8_t ids[16][16];
	uint8_t *id = ids[++serial % 16];

	model_id(id, WALL + now, serial);
	submit_mt(&(struct model_mt){ .id = id,
	    .account = "a",
	    .to = "4915112345678",
	    .mask = 31,
	    .replaces = old });
	return id;
}

/* The old one ended without a word, and the new one says so. */
static void
assert_replaced(const uint8_t *old, const uint8_t *id)
{
	const struct db_row *was = db_find(&db, old), *is = db_find(&db, id);

	assert_non_null(was);
	assert_non_null(is);
	assert_int_equal(was->final, STATE(CANCELLED));
	assert_memory_equal(was->other, id, 16);
	/* First the new one, then the end of the old. */
	assert_true(is->seq < was->last_close);
	for (uint64_t seq = 1; seq <= db.durable; seq++) {
		const struct db_row *r = db_row(&db, seq);

		assert_false(r->kind == HOPYARD__V1__KIND__DLR &&
		    r->message == was->seq);
	}
}

static void
replace_in_each_state(void **state)
{
	const uint8_t *old, *id;
	uint8_t later[16];
	uint64_t n, ref;

	(void)state;
	/* Pending, and then ready. */
	old = submit("a", "491", 31);
	id = replace(old);
	n = number;
	commit();
	assert_null(answer_of(n));
	commit();
	assert_int_equal(code_of(n), ACK(LATER));
	assert_replaced(old, id);
	old = id;
	id = replace(old);
	n = number;
	assert_null(answer_of(n)); /* both are durable first */
	commit_quietly(&(struct db_news){ 0 }, e->ledger.last_seq - 1);
	tell(&(struct db_news){ 0 }, db.durable);
	assert_null(answer_of(n));
	assert_true(ledger_rewind(&e->ledger, e->ledger.horizon));
	commit();
	assert_int_equal(code_of(n), ACK(LATER));
	assert_replaced(old, id);
	/* In the box's hands: it decides. */
	box_up("l1", 1, 11, false, 100);
	assert_int_equal(got_count, 1);
	ref = last_got()->ref;
	assert_memory_equal(last_got()->id, id, 16);
	old = id;
	id = replace(old);
	n = number;
	assert_int_equal(recalled[recalled_count - 1], ref);
	/* Two at a time are one too many. */
	replace(old);
	assert_int_equal(code_of(number), ACK(UNAVAILABLE));
	result_of("l1", ref, RESULT(RECALLED));
	commit();
	assert_int_equal(code_of(n), ACK(ACK_OK));
	assert_replaced(old, id);
	assert_int_equal(got_count, 2);
	/* Too late. */
	ref = last_got()->ref;
	old = id;
	replace(old);
	n = number;
	result_of("l1", ref, RESULT(OK));
	commit();
	pages(); /* is the new one known already? */
	assert_int_equal(code_of(n), ACK(INVALID));
	replace(old);
	pages();
	assert_int_equal(code_of(number), ACK(INVALID));
	/* Waiting for its time, in memory and in the store. */
	model_id(later, WALL + now, ++serial);
	submit_mt(&(struct model_mt){
	    .id = later, .account = "a", .to = "491", .delay_ms = 30000 });
	commit();
	id = replace(later);
	n = number;
	commit();
	assert_int_equal(code_of(n), ACK(ACK_OK));
	assert_replaced(later, id);
	model_id(later, WALL + now, ++serial);
	submit_mt(&(struct model_mt){
	    .id = later, .account = "a", .to = "491", .delay_ms = 600000 });
	commit();
	id = replace(later);
	n = number;
	pages();
	commit();
	assert_int_equal(code_of(n), ACK(ACK_OK));
	assert_replaced(later, id);
}

static void
replace_refused(void **state)
{
	static const uint8_t nobody[16] = "0123456789abcdef";
	const uint8_t *old, *other;
	uint8_t id[16];
	uint64_t n;

	(void)state;
	replace(nobody);
	n = number;
	pages();
	assert_int_equal(code_of(n), ACK(INVALID));
	/* Of another account. */
	other = submit("b", "491", 31);
	commit();
	replace(other);
	n = number;
	commit();
	pages();
	assert_int_equal(code_of(n), ACK(INVALID));
	/* The new one is refused: the old one is sent as if nothing had been. */
	old = submit("a", "491", 31);
	commit();
	model_id(id, WALL + now, ++serial);
	submit_mt(&(struct model_mt){
	    .id = id, .account = "a", .to = "999", .replaces = old });
	assert_int_equal(code_of(number), ACK(NO_ROUTE));
	commit();
	assert_null(db_find(&db, id));
	box_up("l1", 1, 11, false, 100);
	assert_int_equal(got_count, 2);
	/* Likewise when the box has given it back. */
	submit_mt(&(struct model_mt){
	    .id = id, .account = "a", .to = "999", .replaces = old });
	n = number;
	result_of("l1", last_got()->ref, RESULT(RECALLED));
	assert_int_equal(code_of(n), ACK(NO_ROUTE));
	commit();
	tick(100);
	assert_int_equal(got_count, 3);
	assert_memory_equal(last_got()->id, old, 16);
	assert_int_equal(db_find(&db, old)->final, 0);
}

static void
replace_torn(void **state)
{
	const uint8_t *p;
	uint8_t old[16], id[16];

	(void)state;
	for (unsigned cut = 0; cut <= 2; cut++) {
		uint64_t base;

		p = submit("a", "4915112345678", 31);
		memcpy(old, p, 16);
		commit();
		base = db.durable;
		p = replace(old);
		memcpy(id, p, 16);
		assert_int_equal(e->ledger.last_seq, base + 2);
		commit_quietly(&(struct db_news){ 0 }, base + cut);
		assert_int_equal(db.durable, base + cut);
		bus_restart();
		pages();
		/* The box had no answer: it hands it over again. */
		submit_mt(&(struct model_mt){ .id = id,
		    .account = "a",
		    .to = "4915112345678",
		    .mask = 31,
		    .replaces = old });
		commit();
		pages();
		commit();
		/* Its link may have the old one. */
		box_up("l1", (uint8_t)(10 + cut), 20 + cut, false, 100);
		for (int i = 0; i < 4; i++) {
			commit();
			pages();
		}
		assert_true(code_of(number) == ACK(ACK_OK) ||
		    code_of(number) == ACK(LATER));
		assert_replaced(old, id);
		assert_memory_equal(last_got()->id, id, 16);
		assert_int_equal(got_count, cut + 1u);
		result_of("l1", last_got()->ref, RESULT(OK));
		commit();
		/* Even now. */
		submit_mt(&(struct model_mt){ .id = id,
		    .account = "a",
		    .to = "4915112345678",
		    .mask = 31,
		    .replaces = old });
		pages();
		commit();
		pages();
		commit();
		assert_int_equal(code_of(number), ACK(ACK_OK));
		engine_gone(e, target("l1"));
		link_state("l1", false);
	}
}

/* And the box does not come again. */
static void
replace_torn_and_forgotten(void **state)
{
	uint8_t old[16], id[16];

	(void)state;
	memcpy(old, submit("a", "4915112345678", 31), 16);
	commit();
	memcpy(id, replace(old), 16);
	commit_quietly(&(struct db_news){ 0 }, e->ledger.last_seq - 1);
	bus_restart();
	pages();
	commit();
	assert_int_equal(db_find(&db, old)->final, 0);
	box_up("l1", 1, 11, false, 100);
	commit();
	commit();
	assert_replaced(old, id);
	assert_int_equal(got_count, 1);
	assert_memory_equal(last_got()->id, id, 16);
}

/* ------------------------------------------------------------- deep queues */

static void
deep_queue_is_paged_in(void **state)
{
	uint64_t done = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		submit("a", "491", 0);
		if (i % 50 == 0)
			commit();
		assert_true(e->by_seq.count <= 100);
		assert_int_equal(asked_count, 0);
	}
	commit();
	assert_int_equal(settled_count, 1000);
	box_up("l1", 1, 11, false, 20);
	for (int turn = 0; turn < 2000 && done < 1000; turn++) {
		while (done < got_count)
			result_of("l1", got[done++].ref, RESULT(OK));
		engine_credit(e, target("l1"), done + 20, 1 << 30);
		commit();
		pages();
		assert_true(e->by_seq.count <= 164);
	}
	assert_int_equal(got_count, 1000);
	for (size_t i = 1; i < got_count; i++)
		assert_true(got[i].ref > got[i - 1].ref); /* in order */
	all_over();
	assert_false(queue_deep(TAILQ_FIRST(&e->queues)));
	/* Only as many pages as the backlog has. */
	assert_true(db.pages < 200);
}

static void
one_backlog_hides_nobody(void **state)
{
	size_t otp = 0, b = 0;

	(void)state;
	for (int i = 0; i < 300; i++) {
		submit("a", "491", 0);
		commit();
	}
	for (int i = 0; i < 5; i++)
		submit("b", "491", 0);
	for (int i = 0; i < 5; i++)
		submit("otp", "491", 0);
	commit();
	box_up("l1", 1, 11, false, 30);
	for (size_t i = 0; i < 26; i++) {
		const struct db_row *r = db_row(&db, got[i].ref);
		const struct queue *q =
		    map_get_u64(&e->queue_by_number, r->queue);

		if (i < 6)
			otp += strcmp(q->account, "otp") == 0;
		if (i < 20)
			b += strcmp(q->account, "b") == 0;
	}
	/* OTP first, but for every fifth; and b has its share of the rest. */
	assert_int_equal(otp, 5);
	assert_int_equal(b, 5);
}

/* A message that waits for nothing but its place is never delayed by a page
 * that has nothing new. */
static void
no_page_beyond_the_horizon(void **state)
{
	(void)state;
	box_up("l1", 1, 11, false, 10000);
	for (int i = 0; i < 150; i++)
		submit("a", "491", 0);
	/* Deep, and nothing of it is durable: asking would be in vain. */
	tick(10);
	assert_int_equal(queues_asked(), 0);
	commit();
	for (int i = 0; i < 20; i++) {
		pages();
		commit();
	}
	assert_int_equal(got_count, 150);
	for (int i = 0; i < 150; i++)
		result_of("l1", got[i].ref, RESULT(OK));
	all_over();
}

/* The page was read before the record of the end, and comes after it. */
static void
page_older_than_the_end(void **state)
{
	struct items its;
	uint8_t id[16];
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 0);
	for (int i = 0; i < 16; i++)
		submit("a", "491", 0);
	commit();
	memcpy(id, submit("a", "491", 0), 16); /* spilled */
	commit();
	/* It is found by its id, because its connector speaks of it. */
	ref = db_find(&db, id)->seq;
	engine_credit(e, target("l1"), 16, 1 << 30);
	engine_dispatch(e);
	assert_int_equal(asked_count, 1);
	{
		struct asked a = asked[0];
		uint8_t frame[8192];
		struct item it;
		size_t n;
		Hopyard__V1__Paged pg = HOPYARD__V1__PAGED__INIT;
		uint8_t context[64];
		const struct db_row *r = db_row(&db, ref);

		asked_count = 0;
		it = model_result(&buf,
		    &(struct model_result){
			.ref = ref, .code = RESULT(OK), .id = id });
		engine_result(e, target("l1"), 11, ++number, &it);
		pages();
		commit();
		assert_true(db_row(&db, ref)->ended);
		assert_null(map_get_u64(&e->by_seq, ref));
		/* Now the page, as it was read then. */
		pg.seq = ref;
		pg.queue = r->queue;
		pg.at = r->at;
		it =
		    (struct item){ .envelope = { r->envelope, r->envelope_len },
			    .body = { r->body, r->body_len },
			    .context = { context,
				hopyard__v1__paged__pack(&pg, context) } };
		n = items_put_head(frame, 1, 0, false, ref, 0);
		item_put(frame + n, &it);
		assert_true(items_open(&its, frame, n + item_size(&it)));
		engine_paged(e, a.correlation, &its);
	}
	engine_credit(e, target("l1"), 100, 1 << 30);
	engine_dispatch(e);
	assert_int_equal(got_count, 16);
	for (int i = 0; i < 16; i++)
		result_of("l1", got[i].ref, RESULT(OK));
	pages();
	all_over();
}

/* An answer to a question that was given up is no answer to the next one. */
static void
late_page_is_ignored(void **state)
{
	struct asked old;

	(void)state;
	for (int i = 0; i < 40; i++) {
		submit("a", "491", 0);
		commit();
	}
	box_up("l1", 1, 11, false, 100);
	assert_int_equal(asked_count, 1);
	old = asked[0];
	pass(31000);
	assert_int_equal(queues_asked(), 2);
	assert_true(asked[1].correlation != old.correlation);
	asked[0] = asked[1];
	asked_count = 1;
	pages();
	commit();
	while (asked_count > 0)
		pages();
	assert_int_equal(got_count, 40);
	answer_page(&old);
	assert_int_equal(got_count, 40);
	for (int i = 0; i < 40; i++)
		result_of("l1", got[i].ref, RESULT(OK));
	all_over();
}

/* --------------------------------------------------------------- restarts */

/* The database does not take one of three: it alone is not accepted. */
static void
refused_by_the_database(void **state)
{
	Hopyard__V1__Horizon h = HOPYARD__V1__HORIZON__INIT;
	struct db_news news = { 0 };
	uint64_t n[3], refused;

	(void)state;
	box_up("l1", 1, 11, false, 10);
	for (int i = 0; i < 3; i++) {
		submit("a", "491", 0);
		n[i] = number;
	}
	commit_quietly(&news, UINT64_MAX);
	refused = e->ledger.last_seq - 1;
	h.seq = e->ledger.last_seq;
	h.refused = &refused;
	h.n_refused = 1;
	assert_true(engine_horizon(e, &h));
	db_news_fini(&news);
	engine_dispatch(e);
	assert_int_equal(code_of(n[0]), ACK(ACK_OK));
	assert_int_equal(code_of(n[1]), ACK(INVALID));
	assert_int_equal(code_of(n[2]), ACK(ACK_OK));
	assert_int_equal(got_count, 2);
	assert_int_equal(e->by_seq.count, 2);
	assert_int_equal(e->count.duplicates, 0);
}

static void
store_away_and_back(void **state)
{
	uint64_t n[3];

	(void)state;
	box_up("l1", 1, 11, false, 10);
	submit("a", "491", 0);
	n[0] = number;
	engine_store_gone(e);
	submit("a", "491", 0);
	n[1] = number;
	pass(3000);
	assert_null(answer_of(n[0]));
	assert_int_equal(got_count, 0);
	store_open();
	submit("a", "491", 0);
	n[2] = number;
	commit();
	for (int i = 0; i < 3; i++)
		assert_int_equal(code_of(n[i]), ACK(ACK_OK));
	/* The first two may be refused at this very moment. */
	tick(50);
	assert_int_equal(got_count, 3);
	for (int i = 0; i < 3; i++)
		result_of("l1", got[i].ref, RESULT(OK));
	all_over();
}

/* The commit came through and the store died before it could say so. */
static void
committed_and_not_told(void **state)
{
	struct db_news news = { 0 };
	uint8_t id[16];

	(void)state;
	box_up("l1", 1, 11, false, 10);
	memcpy(id, submit("a", "491", 0), 16);
	commit();
	result_of("l1", got[0].ref, RESULT(OK));
	commit();
	submit_mt(&(struct model_mt){ .id = id, .account = "a", .to = "491" });
	submit("a", "491", 0);
	commit_quietly(&news, UINT64_MAX);
	db_news_fini(&news);
	engine_store_gone(e);
	store_open();
	assert_int_equal(got_count, 1);
	commit(); /* sent again: all of it is in, one was a duplicate */
	assert_int_equal(got_count, 2);
	result_of("l1", got[1].ref, RESULT(OK));
	all_over();
}

static void
look_up_across_a_lost_store(void **state)
{
	uint8_t id[16];

	(void)state;
	box_up("l1", 1, 11, false, 10);
	memcpy(id, submit("a", "491", 0), 16);
	commit();
	bus_restart();
	box_up("l1", 1, 21, true, 0);
	{
		struct item it = model_result(&buf,
		    &(struct model_result){
			.ref = got[0].ref, .code = RESULT(OK), .id = id });

		engine_result(e, target("l1"), 21, ++number, &it);
	}
	assert_int_equal(e->lookups.count, 1);
	/* The answer never comes, and the item must not be left for ever. */
	engine_store_gone(e);
	asked_count = 0;
	pass(1000);
	store_open();
	pages();
	assert_int_equal(e->lookups.count, 0);
	commit();
	assert_int_equal(code_of(number), ACK(ACK_OK));
	all_over();
	assert_int_equal(got_count, 1);
}

static void
recovered_and_still_in_hand(void **state)
{
	uint64_t ref, refs[1];

	(void)state;
	box_up("l1", 1, 11, false, 10);
	ref = deliver_one("a", 0);
	bus_restart();
	/* Loaded before the box is back, and told by it then. */
	pages();
	assert_int_equal(e->by_seq.count, 1);
	engine_hello(e, target("l1"), 21, instance(1), true);
	refs[0] = ref;
	engine_in_hand(e, target("l1"), refs, 1);
	link_state("l1", true);
	engine_credit(e, target("l1"), 10, 1 << 30);
	engine_dispatch(e);
	assert_int_equal(got_count, 1);
	assert_int_equal(target("l1")->inflight_count, 1);
	result_of("l1", ref, RESULT(RETRY));
	commit();
	pass(7000);
	commit();
	assert_int_equal(got_count, 2);
	result_of("l1", ref, RESULT(OK));
	all_over();

	/* Told first, and loaded then. */
	ref = deliver_one("a", 0);
	bus_restart();
	engine_hello(e, target("l1"), 31, instance(1), true);
	refs[0] = ref;
	engine_in_hand(e, target("l1"), refs, 1);
	pages();
	link_state("l1", true);
	engine_credit(e, target("l1"), 10, 1 << 30);
	engine_dispatch(e);
	assert_int_equal(got_count, 3);
	result_of("l1", ref, RESULT(OK));
	all_over();
}

/* The result of an item that is in no memory must not leave the item thought
 * to be in hand. */
static void
result_ends_what_is_in_hand(void **state)
{
	uint64_t ref, refs[1];
	struct item it;

	(void)state;
	box_up("l1", 1, 11, false, 10);
	ref = deliver_one("a", 0);
	bus_restart();
	asked_count = 0; /* its page is slow */
	engine_hello(e, target("l1"), 21, instance(1), true);
	refs[0] = ref;
	engine_in_hand(e, target("l1"), refs, 1);
	link_state("l1", true);
	engine_credit(e, target("l1"), 10, 1 << 30);
	it = model_result(&buf,
	    &(struct model_result){ .ref = ref,
		.code = RESULT(RETRY),
		.id = db_row(&db, ref)->id });
	engine_result(e, target("l1"), 21, ++number, &it);
	pages();
	commit();
	pass(7000);
	commit();
	assert_int_equal(got_count, 2);
	result_of("l1", ref, RESULT(OK));
	all_over();
}

/* Bus and connector were killed together: what it had may have been sent. */
static void
lost_together(void **state)
{
	uint64_t a, b;

	(void)state;
	box_up("l1", 1, 11, false, 1);
	a = deliver_one("a", 0);
	submit("a", "491", 0);
	commit();
	bus_restart();
	box_up("l1", 2, 21, false, 10);
	pages();
	commit(); /* the flag is on disk before the wire */
	assert_int_equal(got_count, 3);
	assert_int_equal(got[1].ref, a);
	assert_true(got[1].dup);
	b = got[2].ref;
	assert_true(got[2].dup); /* nobody knows that it was not */
	result_of("l1", a, RESULT(OK));
	result_of("l1", b, RESULT(OK));
	commit();
	/* What comes new is as sure as ever. */
	deliver_one("a", 0);
	assert_false(last_got()->dup);
	result_of("l1", last_got()->ref, RESULT(OK));
	all_over();
}

static void
connector_lost_with_items(void **state)
{
	uint64_t ref, seq;

	(void)state;
	box_up("l1", 1, 11, false, 10);
	ref = deliver_one("a", 0);
	/* The connection breaks, the process lives and has it: nothing. */
	engine_gone(e, target("l1"));
	pass(2000);
	engine_hello(e, target("l1"), 12, instance(1), true);
	engine_in_hand(e, target("l1"), &ref, 1);
	link_state("l1", true);
	engine_credit(e, target("l1"), 10, 1 << 30);
	engine_dispatch(e);
	assert_int_equal(got_count, 1);
	/* It breaks again, and the item never arrived: once more, unflagged. */
	engine_gone(e, target("l1"));
	box_up("l1", 1, 13, true, 10);
	assert_int_equal(got_count, 2);
	assert_false(last_got()->dup);
	/* Now the process is killed. */
	engine_gone(e, target("l1"));
	seq = engine_succeed(e, target("l1"), instance(2));
	assert_true(seq > 0);
	commit();
	assert_int_equal(engine_succeed(e, target("l1"), instance(2)), 0);
	assert_true(engine_hello(e, target("l1"), 14, instance(2), false));
	link_state("l1", true);
	engine_credit(e, target("l1"), 10, 1 << 30);
	pass(31000);
	commit();
	assert_int_equal(got_count, 3);
	assert_true(last_got()->dup);
	result_of("l1", ref, RESULT(OK));
	all_over();
}

static void
reclaimed_after_a_while(void **state)
{
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 10);
	box_up("l2", 2, 12, false, 10);
	submit("otp", "491", 0);
	commit();
	ref = got[0].ref;
	assert_string_equal(got[0].target, "l1");
	engine_gone(e, target("l1"));
	pass(9000);
	commit();
	assert_int_equal(got_count, 1);
	for (int i = 0; i < 6; i++) {
		pass(1000);
		commit();
	}
	/* By the other way, flagged. */
	assert_int_equal(got_count, 2);
	assert_string_equal(last_got()->target, "l2");
	assert_true(last_got()->dup);
	/* The first comes back and has sent it after all. */
	engine_hello(e, target("l1"), 13, instance(1), true);
	result_of("l1", ref, RESULT(OK));
	assert_int_equal(recalled_count, 1);
	commit();
	assert_int_equal(db_row(&db, ref)->submits, 1);
	assert_string_equal(db_row(&db, ref)->link, "l1");
	result_of("l2", ref, RESULT(RECALLED));
	all_over();
}

/* A connector whose link is down grants nothing: what was lost on the way to
 * it must not wait for that. */
static void
no_credit_after_hello(void **state)
{
	(void)state;
	box_up("l1", 1, 11, false, 10);
	box_up("l2", 2, 12, false, 10);
	deliver_one("a", 0);
	engine_gone(e, target("l1"));
	engine_hello(e, target("l1"), 13, instance(1), true);
	engine_in_hand(e, target("l1"), NULL, 0);
	link_state("l1", false);
	for (int i = 0; i < 20; i++) {
		pass(1000);
		commit();
	}
	assert_int_equal(got_count, 2);
	assert_string_equal(last_got()->target, "l2");
	assert_false(last_got()->dup);
	result_of("l2", last_got()->ref, RESULT(OK));
	all_over();
}

/* It may not claim later what it was never given. */
static void
in_hand_only_at_hello(void **state)
{
	uint64_t ref = 1;

	(void)state;
	box_up("l1", 1, 11, false, 10);
	submit("a", "491", 0);
	for (ref = 1; ref < 5; ref++)
		engine_in_hand(e, target("l1"), &ref, 1);
	commit();
	assert_int_equal(got_count, 1);
	assert_int_equal(target("l1")->in_hand.count, 0);
	result_of("l1", got[0].ref, RESULT(OK));
	all_over();
}

/* ------------------------------------------------------------- other ways */

static void
failover_and_what_comes_after(void **state)
{
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 10);
	submit("a", "491", 0);
	commit();
	ref = got[0].ref;
	result_of("l1", ref, RESULT(RETRY));
	commit();
	link_state("l1", false);
	pass(20000);
	/* No other way, and it has come due on a link that is down. */
	assert_int_equal(got_count, 1);
	box_up("l2", 2, 12, false, 10);
	for (int i = 0; i < 3; i++) {
		pass(500);
		commit();
	}
	assert_int_equal(got_count, 2);
	assert_string_equal(last_got()->target, "l2");
	result_of("l2", ref, RESULT(RETRY));
	commit();
	/* It comes due long after the look around: it must not be stuck. */
	link_state("l2", false);
	link_state("l1", true);
	for (int i = 0; i < 30; i++) {
		pass(1000);
		commit();
	}
	assert_int_equal(got_count, 3);
	assert_string_equal(last_got()->target, "l1");
	result_of("l1", ref, RESULT(OK));
	all_over();
}

/* The connection of a link was lost again before it had said, to a new bus, what
 * it has: that is not for others. */
static void
no_failover_in_doubt(void **state)
{
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 100);
	box_up("l2", 2, 12, false, 100);
	submit("a", "4915112345678", 0);
	commit();
	ref = last_got()->ref;
	assert_string_equal(last_got()->target, "l1");
	bus_restart();
	pages();
	box_up("l2", 2, 12, true, 100);
	engine_hello(e, target("l1"), 13, instance(1), true);
	engine_gone(e, target("l1"));
	pass(8000); /* failover_after is 5 s, reclaim 10 s */
	commit();
	assert_int_equal(got_count, 1);
	engine_hello(e, target("l1"), 14, instance(1), true);
	result_of("l1", ref, RESULT(OK));
	all_over();
}

/* Before the bus was killed the item had gone on to another link; what the first
 * one repeats of it is no news. */
static void
result_of_an_earlier_link(void **state)
{
	uint64_t ref, n;
	struct item it;
	uint8_t id[16];

	(void)state;
	box_up("l1", 1, 11, false, 100);
	box_up("l2", 2, 12, false, 100);
	memcpy(id, submit("a", "4915112345678", 0), 16);
	commit();
	ref = last_got()->ref;
	/* It does not come back in time. */
	bus_restart();
	box_up("l2", 2, 12, true, 100);
	pages();
	pass(16000);
	commit();
	commit();
	assert_int_equal(got_count, 2);
	assert_string_equal(last_got()->target, "l2");
	assert_int_equal(last_got()->attempt, 1);
	assert_true(last_got()->dup);
	bus_restart();
	box_up("l1", 1, 13, true, 0);
	it = model_result(&buf,
	    &(struct model_result){
		.ref = ref, .code = RESULT(RETRY), .id = id, .attempt = 1 });
	engine_result(e, target("l1"), 13, ++number, &it);
	n = number;
	engine_hello(e, target("l2"), 14, instance(2), true);
	engine_in_hand(e, target("l2"), &ref, 1);
	engine_credit(e, target("l1"), 100, 1 << 20);
	engine_credit(e, target("l2"), 100, 1 << 20);
	pages();
	pass(20000);
	commit();
	commit();
	assert_int_equal(code_of(n), ACK(ACK_OK));
	assert_int_equal(got_count, 2);
	result_of("l2", ref, RESULT(OK));
	all_over();
}

static void
hold_drain_maint(void **state)
{
	struct queue *q;
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 100);
	box_up("l2", 2, 12, false, 100);
	ref = deliver_one("a", 0);
	q = map_get_u64(&e->queue_by_number, db_row(&db, ref)->queue);
	engine_hold(e, q, true);
	submit("a", "491", 0);
	commit();
	assert_int_equal(got_count, 1);
	engine_hold(e, q, false);
	engine_dispatch(e);
	assert_int_equal(got_count, 2);
	/* Drain: what is queued is still sent here, new ones go elsewhere. */
	engine_credit(e, target("l1"), 2, 1 << 30);
	submit("a", "491", 0);
	commit();
	engine_set_admin(e, target("l1"), TARGET_ADMIN_DRAIN);
	pass(10000);
	engine_credit(e, target("l1"), 100, 1 << 30);
	engine_dispatch(e);
	assert_int_equal(got_count, 3);
	assert_string_equal(last_got()->target, "l1");
	submit("a", "491", 0);
	commit();
	assert_string_equal(last_got()->target, "l2");
	/* Maintenance: nothing is sent here. */
	engine_set_admin(e, target("l1"), TARGET_ADMIN_READY);
	engine_set_admin(e, target("l2"), TARGET_ADMIN_MAINT);
	submit("a", "441", 0);
	commit();
	assert_int_equal(code_of(number), ACK(LATER));
	pass(10000);
	assert_int_equal(got_count, 4);
	engine_set_admin(e, target("l2"), TARGET_ADMIN_READY);
	engine_dispatch(e);
	assert_int_equal(got_count, 5);
	for (int i = 0; i < 5; i++)
		result_of(got[i].target, got[i].ref, RESULT(OK));
	all_over();
}

static void
credit_is_kept(void **state)
{
	(void)state;
	box_up("l1", 1, 11, false, 3);
	for (int i = 0; i < 10; i++)
		submit("a", "491", 0);
	commit();
	assert_int_equal(got_count, 3);
	/* Bytes as well. */
	engine_credit(e, target("l1"), 10, target("l1")->sent_bytes + 10);
	engine_dispatch(e);
	assert_int_equal(got_count, 3);
	engine_credit(e, target("l1"), 10, 1 << 30);
	engine_dispatch(e);
	assert_int_equal(got_count, 10);
	for (int i = 0; i < 10; i++)
		result_of("l1", got[i].ref, RESULT(OK));
	all_over();
}

/* What the box counts and what we count must not drift apart, or the credit
 * is used up one day. */
static void
credit_to_the_byte(void **state)
{
	size_t bytes = 0;

	(void)state;
	box_up("l1", 1, 11, false, 100);
	for (int i = 0; i < 10; i++)
		submit("a", "491", 0);
	commit();
	/* Once more, through an attempt on disk; one is cancelled meanwhile. */
	for (int i = 0; i < 10; i++)
		result_of("l1", got[i].ref, RESULT(RETRY));
	commit();
	pass(120000);
	engine_dispatch(e);
	engine_cancel(e, got[9].id, (struct bytes){ NULL, 0 }, 5);
	commit();
	assert_int_equal(got_count, 19);
	for (int i = 0; i < 19; i++)
		bytes += got[i].bytes;
	assert_int_equal(target("l1")->sent_items, 19);
	assert_int_equal(target("l1")->sent_bytes, bytes);
	for (int i = 10; i < 19; i++)
		result_of("l1", got[i].ref, RESULT(OK));
	all_over();
}

/* A Dispatch that names many parts still stays within what was granted. */
static void
credit_covers_parts(void **state)
{
	struct target *t = target("l1");
	struct item it;
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 1000);
	ref = deliver_one("a", 0);
	for (uint32_t part = 1; part <= 60; part++) {
		it = model_result(&buf,
		    &(struct model_result){
			.ref = ref, .code = RESULT(NOT_NOW), .part_ok = part });
		if (part == 60)
			engine_credit(e, t, 1000, t->sent_bytes);
		engine_result(e, t, 11, ++number, &it);
		commit();
		tick(100);
		commit();
	}
	assert_int_equal(got_count, 60);
	while (got_count == 60) {
		engine_credit(e, t, 1000, t->granted_bytes + 1);
		engine_dispatch(e);
	}
	assert_int_equal(last_got()->part_done, 60);
	assert_true(t->sent_bytes <= t->granted_bytes);
	result_of("l1", ref, RESULT(OK));
	all_over();
}

/* ------------------------------------------------------- inbound, and hooks */

static void
from_a_handset(void **state)
{
	uint8_t id[16];
	struct item it;
	uint64_t n;

	(void)state;
	box_up("l1", 1, 11, false, 0);
	model_id(id, WALL + now, ++serial);
	it = model_mo(&buf, id, "777", "49151");
	engine_inbound(e, target("l1"), 11, ++number, &it);
	n = number;
	assert_null(answer_of(n));
	commit();
	assert_int_equal(code_of(n), ACK(ACK_OK));
	engine_inbound(e, target("l1"), 11, ++number, &it);
	assert_int_equal(code_of(number), ACK(ACK_OK));
	box_up("hook", 2, 12, false, 10);
	assert_int_equal(got_count, 1);
	assert_memory_equal(got[0].id, id, 16);
	/* An MO is nobody's to cancel. */
	cancel(id);
	assert_int_equal(answer_code, 404);
	result_of("hook", got[0].ref, RESULT(RETRY));
	commit();
	pass(7000);
	commit();
	assert_int_equal(got_count, 2);
	result_of("hook", got[0].ref, RESULT(OK));
	all_over();
	/* Nobody's number: parked, and the carrier has its answer. */
	model_id(id, WALL + now, ++serial);
	it = model_mo(&buf, id, "888", "49151");
	engine_inbound(e, target("l1"), 11, ++number, &it);
	commit();
	assert_int_equal(code_of(number), ACK(ACK_OK));
	assert_int_equal(db_find(&db, id)->queue, 0);
	assert_int_equal(db_find(&db, id)->expires_at, 0);
	all_over();
}

static void
receipt_to_the_customer(void **state)
{
	uint8_t id[16];
	struct item it;
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 10);
	ref = deliver_one("a", 31);
	it = model_result(&buf,
	    &(struct model_result){ .ref = ref,
		.code = RESULT(OK),
		.smsc_id = &ref,
		.smsc_id_len = sizeof(ref) });
	engine_result(e, target("l1"), 11, ++number, &it);
	commit();
	model_id(id, WALL + now, ++serial);
	it = model_receipt(&buf, id, &ref, sizeof(ref), STATE(DELIVERED));
	engine_inbound(e, target("l1"), 11, ++number, &it);
	assert_null(answer_of(number));
	commit();
	assert_int_equal(code_of(number), ACK(ACK_OK));
	box_up("hook", 2, 12, false, 10);
	assert_int_equal(got_count, 3); /* sent, delivered */
	result_of("hook", got[1].ref, RESULT(OK));
	result_of("hook", got[2].ref, RESULT(OK));
	all_over();
	assert_int_equal(db_row(&db, ref)->final, STATE(DELIVERED));
}

/* Before the submit_sm_resp, and in the name of the link that had it. */
static void
receipt_before_the_result(void **state)
{
	uint8_t id[16];
	struct item it;
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 10);
	box_up("l2", 2, 12, false, 10);
	box_up("hook", 3, 13, false, 10);
	ref = deliver_one("a", 31);
	result_of("l1", ref, RESULT(REROUTE));
	commit();
	commit();
	assert_string_equal(last_got()->target, "l2");
	/* The bus is killed; the result comes to the next one. */
	bus_restart();
	asked_count = 0;
	engine_hello(e, target("l2"), 22, instance(2), true);
	model_id(id, WALL + now, ++serial);
	it = model_receipt(&buf, id, &ref, sizeof(ref), STATE(DELIVERED));
	engine_inbound(e, target("l2"), 22, ++number, &it);
	it = model_result(&buf,
	    &(struct model_result){ .ref = ref,
		.code = RESULT(OK),
		.id = db_row(&db, ref)->id,
		.smsc_id = &ref,
		.smsc_id_len = sizeof(ref) });
	engine_result(e, target("l2"), 22, ++number, &it);
	pages();
	commit();
	assert_string_equal(db_row(&db, ref)->link, "l2");
	engine_checkpoint(e); /* carries the late match */
	commit();
	assert_int_equal(db_row(&db, ref)->final, STATE(DELIVERED));
}

/* DLRs join a hook's queue only when they are durable: an MO that spilled
 * meanwhile must not make the queue forget them. */
static void
dlr_behind_a_spilled_mo(void **state)
{
	uint8_t id[16];
	struct item it;
	size_t n;

	(void)state;
	box_up("l1", 1, 11, false, 1000);
	/* Fill the hook's queue. */
	for (int i = 0; i < 16; i++) {
		model_id(id, WALL + now, ++serial);
		it = model_mo(&buf, id, "777", "1");
		engine_inbound(e, target("l1"), 11, ++number, &it);
		commit();
	}
	deliver_one("a", 31);
	/* The DLR is on its way, and an MO spills. */
	result_of("l1", last_got()->ref, RESULT(FAIL));
	model_id(id, WALL + now, ++serial);
	it = model_mo(&buf, id, "777", "1");
	engine_inbound(e, target("l1"), 11, ++number, &it);
	commit();
	engine_checkpoint(e);
	commit(); /* the model looks at the marks */
	n = got_count;
	box_up("hook", 2, 12, false, 1000);
	for (int i = 0; i < 5; i++) {
		pages();
		commit();
	}
	assert_int_equal(got_count - n, 18);
	for (size_t i = n; i < got_count; i++)
		result_of("hook", got[i].ref, RESULT(OK));
	all_over();
}

/* A checkpoint while DLRs are on their way to the disk. */
static void
checkpoint_beside_a_dlr(void **state)
{
	size_t n;

	(void)state;
	box_up("l1", 1, 11, false, 1000);
	deliver_one("a", 31);
	result_of("l1", last_got()->ref, RESULT(FAIL));
	engine_checkpoint(e);
	commit();
	bus_restart();
	n = got_count;
	box_up("hook", 2, 12, false, 10);
	pages();
	assert_int_equal(got_count - n, 1);
	result_of("hook", last_got()->ref, RESULT(OK));
	all_over();
}

/* The pauses are the hook box's own, also after a reload. */
static void
retries_of_a_hook(void **state)
{
	static const char *const lists[] = { "[ \"100ms\", \"400ms\" ]",
		"[ \"2s\" ]" };
	static const uint64_t pauses[2][2] = { { 100, 400 }, { 2000, 0 } };
	uint8_t id[16];
	char text[512];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		size_t n = i == 0 ? 2 : 1;
		struct item it;

		snprintf(text, sizeof(text),
		    "boxes = ( { name = \"l1\"; type = \"smppc\"; host ="
		    " \"h:1\"; system_id = \"s\"; }, { name = \"hook\";"
		    " type = \"hook\"; retry = %s; } ); accounts = ( { id ="
		    " \"a\"; } ); inbound = ( { name = \"in\"; account = \"a\";"
		    " url = \"http://localhost/\"; } );",
		    lists[i]);
		engine_reload(text);
		if (i == 0)
			box_up("hook", 2, 12, false, 100);
		model_id(id, WALL + now, ++serial);
		it = model_mo(&buf, id, "777", "1");
		engine_inbound(e, target("l1"), 11, ++number, &it);
		commit();
		for (size_t k = 0; k <= n; k++) {
			uint64_t since = now;
			size_t had = got_count;

			result_of("hook", last_got()->ref, RESULT(RETRY));
			commit();
			while (k < n && got_count == had) {
				assert_true(now < since + 10000);
				tick(10);
				commit();
			}
			if (k == n)
				break;
			/* More or less a fifth, and a tick. */
			assert_true(now - since >= pauses[i][k] * 4 / 5);
			assert_true(now - since <= pauses[i][k] * 6 / 5 + 10);
		}
		assert_true(db_row(&db, last_got()->ref)->ended);
		assert_false(db_row(&db, last_got()->ref)->notified);
		assert_int_equal(db.live, 0);
	}
}

/* An item that ends the hook box each time is parked, not tried for ever. */
static void
poison_is_parked(void **state)
{
	uint8_t id[16];
	struct item it;
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 0);
	model_id(id, WALL + now, ++serial);
	it = model_mo(&buf, id, "777", "1");
	engine_inbound(e, target("l1"), 11, ++number, &it);
	commit();
	for (uint8_t i = 0; i < 100 && db.live > 0; i++) {
		struct target *t = target("hook");

		if (t->state == TARGET_READY)
			engine_gone(e, t);
		box_up("hook", i, 100u + i, false, 10);
		commit();
		pass(3600 * 1000);
		pages();
		commit();
	}
	ref = db_find(&db, id)->seq;
	assert_true(db_row(&db, ref)->ended);
	assert_false(db_row(&db, ref)->notified);
	assert_true(got_count <= 10);
	all_over();
}

/* Its box was away for long, and says now what became of it, while the record
 * that puts it off is on its way. */
static void
result_beside_a_long_wait(void **state)
{
	uint8_t id[16];
	struct item it;
	uint64_t ref;

	(void)state;
	box_up("l1", 1, 11, false, 0);
	box_up("hook", 2, 12, false, 10);
	model_id(id, WALL + now, ++serial);
	it = model_mo(&buf, id, "777", "1");
	engine_inbound(e, target("l1"), 11, ++number, &it);
	commit();
	ref = got[0].ref;
	for (int i = 0; i < 2; i++) {
		result_of("hook", ref, RESULT(RETRY));
		commit();
		pass(40000);
		commit();
	}
	assert_int_equal(got_count, 3);
	engine_gone(e, target("hook"));
	pass(11000); /* taken back, for some minutes */
	assert_int_equal(map_get_u64(&e->by_seq, ref) != NULL, 1);
	engine_hello(e, target("hook"), 13, instance(2), true);
	it = model_result(&buf,
	    &(struct model_result){ .ref = ref, .code = RESULT(OK), .id = id });
	engine_result(e, target("hook"), 13, ++number, &it);
	pages();
	commit();
	pages();
	commit();
	assert_int_equal(code_of(number), ACK(ACK_OK));
	assert_true(db_row(&db, ref)->notified);
	all_over();
}

static void
many_queues_fit_a_checkpoint(void **state)
{
	char name[16];

	(void)state;
	/* Marks of so many queues do not pass one record's limits. */
	for (int i = 0; i < 3000; i++) {
		struct item it = { .envelope = { NULL, 0 } };
		struct msg *m = msg_new(&it);

		snprintf(name, sizeof(name), "x%d", i);
		m->seq = 1000000u + (uint64_t)i;
		m->kind = HOPYARD__V1__KIND__DLR;
		engine_keep(
		    e, m, engine_queue(e, target("hook"), 2, name), true);
	}
	engine_checkpoint(e);
	commit(); /* the model checks the size */
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(durable_before_anything),
		TEST(refused_at_once),
		TEST(huge_items_are_refused),
		TEST(nothing_before_the_store_is_open),
		TEST(over_its_rate),
		TEST(link_down_is_said),
		TEST(repeated_before_and_after_durable),
		TEST(duplicates_in_any_order),
		TEST(page_beside_a_repeated_id),
		TEST(retries_climb_the_ladder),
		TEST(retries_end),
		TEST(failed_for_good),
		TEST(reroutes_through_the_rule),
		TEST(parts_stay_together),
		TEST(unknown_outcomes_by_class),
		TEST(throttled_keeps_its_place),
		TEST(results_of_others),
		TEST(result_of_tomorrow),
		TEST(old_result_after_a_restart),
		TEST(expires_wherever_it_is),
		TEST(clock_is_set_before_the_receipt),
		TEST(clock_is_put_forward),
		TEST(clock_is_put_back),
		TEST(clock_is_a_day_off),
		TEST(clock_was_a_day_off),
		TEST(scheduled),
		TEST(scheduled_across_a_restart),
		TEST(scheduled_by_the_smsc),
		TEST(scheduled_and_the_link_goes_down),
		TEST(scheduled_by_the_smsc_and_restarted),
		TEST(scheduled_and_given_back_to_the_next_bus),
		TEST(due_rows_of_an_outage),
		TEST(overdue_is_ended_once),
		TEST(overdue_of_one_that_was_sent),
		TEST(cancel_in_each_state),
		TEST(cancel_in_the_store),
		TEST(replace_in_each_state),
		TEST(replace_refused),
		TEST(replace_torn),
		TEST(replace_torn_and_forgotten),
		TEST(deep_queue_is_paged_in),
		TEST(one_backlog_hides_nobody),
		TEST(no_page_beyond_the_horizon),
		TEST(page_older_than_the_end),
		TEST(late_page_is_ignored),
		TEST(refused_by_the_database),
		TEST(store_away_and_back),
		TEST(committed_and_not_told),
		TEST(look_up_across_a_lost_store),
		TEST(recovered_and_still_in_hand),
		TEST(result_ends_what_is_in_hand),
		TEST(lost_together),
		TEST(connector_lost_with_items),
		TEST(reclaimed_after_a_while),
		TEST(no_credit_after_hello),
		TEST(in_hand_only_at_hello),
		TEST(failover_and_what_comes_after),
		TEST(no_failover_in_doubt),
		TEST(result_of_an_earlier_link),
		TEST(hold_drain_maint),
		TEST(credit_is_kept),
		TEST(credit_to_the_byte),
		TEST(credit_covers_parts),
		TEST(from_a_handset),
		TEST(receipt_to_the_customer),
		TEST(receipt_before_the_result),
		TEST(dlr_behind_a_spilled_mo),
		TEST(checkpoint_beside_a_dlr),
		TEST(retries_of_a_hook),
		TEST(poison_is_parked),
		TEST(result_beside_a_long_wait),
		TEST(many_queues_fit_a_checkpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
