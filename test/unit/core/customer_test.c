/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * customer_test.c - items for SMPP customers: to whom they go, what they cost
 * while nobody takes them, and what becomes of them when servers, or the bus,
 * are killed.
 *
 * Two servers, s1 and s2, at the rig of rig.h.
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
#include "test/unit/core/rig.h"

#define MORE   16384
#define PLENTY 1000000

static const char conf_text[] =
    "bus = { ready_items = 20000; queue_items = 64; reclaim = \"10s\";"
    " failover_after = \"5s\"; checkpoint = \"10s\"; };"
    "boxes = ( { name = \"front\"; type = \"http\"; },"
    " { name = \"l1\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\";},"
    " { name = \"s1\"; type = \"smpps\"; listen = \"127.0.0.1:0\"; },"
    " { name = \"s2\"; type = \"smpps\"; listen = \"127.0.0.1:0\"; },"
    " { name = \"hook\"; type = \"hook\"; },"
    " { name = \"store\"; type = \"store\"; dsn = \"x\"; } );"
    "accounts = ( { id = \"a\"; max_binds = 2; }, { id = \"b\"; },"
    " { id = \"home\"; to = [ \"49*\", \"+44*\", \"112\" ]; },"
    " { id = \"web\"; smpp = false; },"
    " { id = \"off\"; disabled = true; } );"
    "routes = ( { name = \"r1\"; to = \"*\"; via = \"l1\"; } );"
    "inbound = ( { name = \"in\"; to = \"777\"; account = \"a\";"
    " smpp = true; } );";

struct delivered {
	const char *target;
	uint64_t ref, expires_in;
	uint32_t attempt;
	size_t report;
	uint8_t id[16];
};

static Hopyard__V1__Ack__Code last_code;
static uint64_t last_settled;
static struct delivered got[MORE];
static size_t got_count;

/* --------------------------------------------------------------- effects */

static void
on_settle(void *arg, uint32_t peer, uint64_t n, Hopyard__V1__Ack__Code code,
    const char *text)
{
	(void)arg;
	(void)peer;
	(void)text;
	last_settled = n;
	last_code = code;
}

static void
on_deliver(void *arg, struct target *t, const struct item *it)
{
	struct delivered *d = &got[got_count++];
	const struct db_row *r;
	const Hopyard__V1__Dispatch *x = dispatch_of(it, &r);

	(void)arg;
	assert_true(got_count < MORE);
	assert_false(r->ended);
	d->target = t->name;
	d->ref = x->ref;
	d->expires_in = x->expires_in_ms;
	d->attempt = x->attempt;
	d->report = it->report.len;
	memcpy(d->id, r->id, 16);
}

static void
on_recall(void *arg, struct target *t, uint64_t ref)
{
	(void)arg;
	(void)t;
	(void)ref;
}

static void
on_answer(void *arg, uint64_t token, unsigned code, const char *text)
{
	(void)arg;
	(void)token;
	(void)code;
	(void)text;
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

static size_t
queues_asked(void)
{
	size_t n = 0;

	for (size_t i = 0; i < asked_count; i++)
		n += asked[i].page.has_queue;
	return n;
}

/* --------------------------------------------------------------- the boxes */

static void
attach(const char *box, const char *account, unsigned binds, unsigned receivers,
    uint64_t items)
{
	Hopyard__V1__Attach a = HOPYARD__V1__ATTACH__INIT;
	Hopyard__V1__Attach__Seat seat = HOPYARD__V1__ATTACH__SEAT__INIT;
	Hopyard__V1__Attach__Seat *list[1] = { &seat };

	seat.account.data = (uint8_t *)(uintptr_t)account;
	seat.account.len = strlen(account);
	seat.binds = binds;
	seat.receivers = receivers;
	seat.items = items;
	a.n_seat = 1;
	a.seat = list;
	engine_attach(e, target(box), &a);
	engine_dispatch(e);
}

static void
credit(const char *box, uint64_t items)
{
	engine_credit(e, target(box), items, 1 << 30);
	engine_dispatch(e);
}

/* Hello and, unless it is to come later, credit. */
static void
server_up(const char *name, uint8_t inst, uint64_t items)
{
	engine_hello(e, target(name), inst, instance(inst), true);
	engine_in_hand(e, target(name), NULL, 0);
	if (items > 0)
		credit(name, items);
}

static const uint8_t *
submit(const char *account, const char *to)
{
	static uint8_t id[16];
	struct item it;

	model_id(id, WALL + now, ++serial);
	it = model_mt(&buf,
	    &(struct model_mt){ .id = id,
		.account = account,
		.to = to,
		.mask = 31,
		.esme = true });
	engine_submit(e, 1, ++number, "s1", 3600000, &it);
	engine_dispatch(e);
	return id;
}

/* A message of the account is refused by the carrier: a report is there. */
static void
report(const char *account)
{
	size_t n;

	submit(account, "4915112345678");
	commit();
	assert_true(got_count > 0);
	n = got_count - 1;
	assert_string_equal(got[n].target, "l1");
	got_count--;
	result_of("l1", got[n].ref, RESULT(FAIL));
	commit();
}

static void
mo_come(void)
{
	uint8_t id[16];
	struct item it;

	model_id(id, WALL + now, ++serial);
	it = model_mo(&buf, id, "777", "49151");
	engine_inbound(e, target("l1"), 11, ++number, &it);
	engine_dispatch(e);
}

static void
mo(void)
{
	mo_come();
	commit();
	assert_int_equal(last_code, ACK(ACK_OK));
}

static void
bus_start(void)
{
	Hopyard__V1__LinkState s = HOPYARD__V1__LINK_STATE__INIT;

	engine_start(&ops);
	store_open();
	engine_hello(e, target("l1"), 11, instance(99), true);
	s.state = HOPYARD__V1__LINK_STATE__LINK__UP;
	engine_link_state(e, target("l1"), &s);
	engine_credit(e, target("l1"), PLENTY, 1 << 30);
	engine_dispatch(e);
}

static void
bus_restart(void)
{
	engine_free(e);
	now += 1;
	bus_start();
}

static int
setup(void **state)
{
	(void)state;
	got_count = 0;
	last_settled = 0;
	rig_init(conf_text);
	bus_start();
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
	const struct target *t;

	commit();
	assert_int_equal(e->by_seq.count, 0);
	assert_int_equal(e->bytes, 0);
	assert_int_equal(e->customers->ready_count, 0);
	for (t = e->first_server; t != NULL; t = t->next_server)
		assert_int_equal(t->inflight_count, 0);
	assert_int_equal(db.live, 0);
}

/* ------------------------------------------------------------------- tests */

static void
report_to_the_bound_server(void **state)
{
	(void)state;
	server_up("s1", 1, PLENTY);
	server_up("s2", 2, PLENTY);
	attach("s2", "a", 1, 1, 10);
	report("a");
	assert_int_equal(got_count, 1);
	assert_string_equal(got[0].target, "s2");
	assert_true(got[0].report > 0); /* what the customer asked for */
	/* Worth a day, and not three as a hook's. */
	assert_in_range(got[0].expires_in, 23 * 3600000, 24 * 3600000);
	result_of("s2", got[0].ref, RESULT(OK));
	all_over();
	assert_string_equal(db_row(&db, got[0].ref)->link, "s2");
}

static void
mo_by_inbound_smpp(void **state)
{
	(void)state;
	server_up("s1", 1, PLENTY);
	attach("s1", "a", 1, 1, 10);
	mo();
	assert_int_equal(got_count, 1);
	assert_string_equal(got[0].target, "s1");
	assert_in_range(got[0].expires_in, 71 * 3600000, 72 * 3600000);
	result_of("s1", got[0].ref, RESULT(OK));
	all_over();
}

/* Both kinds, in the order in which they came. */
static void
unbound_waits_for_nothing(void **state)
{
	size_t queue_count;

	(void)state;
	server_up("s1", 1, PLENTY);
	/* A transmitter takes none. */
	attach("s1", "a", 1, 0, 100);
	for (int i = 0; i < 100; i++) {
		report("a");
		mo();
	}
	assert_int_equal(e->by_seq.count, 0);
	assert_int_equal(e->bytes, 0);
	pass(20000);
	assert_int_equal(queues_asked(), 1); /* has its head expired? */
	for (size_t i = 0; i < asked_count; i++)
		assert_true(asked[i].page.due || asked[i].page.limit == 1);
	pages();
	pass(60000);
	assert_int_equal(e->by_seq.count, 0);
	assert_int_equal(queues_asked(), 0);
	queue_count = 0;
	for (struct queue *q = TAILQ_FIRST(&e->deep[TARGET_ESME]); q != NULL;
	     q = TAILQ_NEXT(q, deep_link))
		queue_count++;
	assert_int_equal(queue_count, 0); /* no turn looks at it */
	assert_int_equal(got_count, 0);
	commit();
	attach("s1", "a", 2, 1, PLENTY);
	for (int i = 0; i < 20; i++) {
		pages();
		for (size_t k = 0; k < got_count; k++)
			if (!db_row(&db, got[k].ref)->notified)
				result_of("s1", got[k].ref, RESULT(OK));
		commit();
	}
	assert_int_equal(got_count, 200);
	for (size_t i = 1; i < got_count; i++)
		assert_true(got[i].ref > got[i - 1].ref);
	all_over();
}

/* What was in memory when the last receiver left is put out of it, each item
 * once, and comes back with the next receiver. */
static void
evicted_and_back(void **state)
{
	uint8_t seen[4096] = { 0 };
	uint64_t held;

	(void)state;
	server_up("s1", 1, PLENTY);
	attach("s1", "a", 1, 1, 2);
	for (int i = 0; i < 40; i++)
		report("a");
	assert_int_equal(got_count, 2);
	assert_int_equal(e->by_seq.count, 40);
	held = got[0].ref;
	attach("s1", "a", 0, 0, 2);
	/* One that is back at once finds all in place. */
	pass(4000);
	assert_int_equal(e->by_seq.count, 40);
	attach("s1", "a", 1, 1, 3);
	assert_int_equal(got_count, 3);
	attach("s1", "a", 0, 0, 3);
	pass(6000);
	assert_int_equal(e->by_seq.count, 3); /* in the server's hands */
	/* Given back, and not wanted either. */
	result_of("s1", held, RESULT(NOT_NOW));
	result_of("s1", got[1].ref, RESULT(OK));
	commit();
	pass(1000);
	assert_int_equal(e->by_seq.count, 1);
	engine_checkpoint(e);
	commit(); /* the model looks at the marks */
	got[0] = got[2];
	got_count = 1;
	attach("s1", "a", 1, 1, PLENTY);
	for (int i = 0; i < 10; i++) {
		pages();
		for (size_t k = 0; k < got_count; k++) {
			if (seen[got[k].ref] != 0)
				continue;
			seen[got[k].ref] = 1;
			result_of("s1", got[k].ref, RESULT(OK));
		}
		commit();
	}
	/* Each once: all 40 but the one that was done before. */
	assert_int_equal(got_count, 39);
	assert_int_equal(seen[held], 1);
	all_over();
}

/* All that waits in the store is paged in, and s1 has it. */
static void
s1_takes_all(size_t n)
{
	for (int i = 0; i < 5; i++) {
		pages();
		commit();
	}
	assert_int_equal(got_count, n);
	for (size_t i = 0; i < n; i++)
		result_of("s1", got[i].ref, RESULT(OK));
}

/* The end of a backlog is not durable yet, so that what comes behind it is kept
 * again; all of that goes back to the store. */
static void
evicted_behind_a_backlog(void **state)
{
	const struct queue *q;

	(void)state;
	server_up("s1", 1, PLENTY);
	attach("s1", "a", 1, 1, 0);
	for (int i = 0; i < 65; i++)
		mo();
	q = TAILQ_FIRST(&e->customers->parked);
	assert_int_equal(q->ready_count, 64);
	assert_true(queue_deep(q)); /* the last one */
	attach("s1", "a", 1, 1, 64);
	assert_int_equal(queues_asked(), 1);
	mo_come(); /* spilled, too */
	pages();
	assert_true(queue_deep(q));
	assert_true(q->caught_up);
	mo_come(); /* kept */
	commit();
	assert_int_equal(q->ready_count, 2);
	assert_true(queue_deep(q));
	attach("s1", "a", 0, 0, 64);
	pass(6000);
	assert_int_equal(q->ready_count, 0);
	attach("s1", "a", 1, 1, PLENTY);
	s1_takes_all(67);
	all_over();
}

/* A report is on its way to the disk, and an MO behind it spills. */
static void
report_before_a_spilled_mo(void **state)
{
	size_t n;

	(void)state;
	server_up("s1", 1, PLENTY);
	attach("s1", "a", 1, 1, 0);
	for (int i = 0; i < 64; i++)
		mo();
	submit("a", "4915112345678");
	commit();
	n = --got_count;
	result_of("l1", got[n].ref, RESULT(FAIL));
	mo_come();
	commit();
	engine_checkpoint(e);
	commit(); /* the model looks at the marks */
	attach("s1", "a", 1, 1, PLENTY);
	s1_takes_all(66);
	all_over();
}

/* What is not on record yet would be read again as it was before. */
static void
evicted_when_on_record(void **state)
{
	(void)state;
	server_up("s1", 1, PLENTY);
	server_up("s2", 2, PLENTY);
	attach("s1", "a", 1, 1, 10);
	report("a");
	engine_gone(e, target("s1"));
	pass(12000); /* given up, and nobody is there */
	assert_int_equal(e->by_seq.count, 1);
	attach("s2", "a", 1, 1, 10);
	pages();
	commit();
	assert_int_equal(got_count, 2);
	assert_int_equal(got[1].attempt, 2);
	result_of("s2", got[1].ref, RESULT(OK));
	all_over();
}

/* The due table gives back what the customer has refused; nobody is there. */
static void
due_while_away(void **state)
{
	uint64_t ref;

	(void)state;
	server_up("s1", 1, PLENTY);
	attach("s1", "a", 1, 1, 10);
	report("a");
	ref = got[0].ref;
	for (int i = 0; i < 2; i++) {
		result_of("s1", ref, RESULT(RETRY));
		commit();
		pass(40000);
		commit();
	}
	assert_int_equal(got_count, 3);
	result_of("s1", ref, RESULT(RETRY)); /* two minutes */
	attach("s1", "a", 0, 0, 10);
	commit();
	assert_int_equal(e->by_seq.count, 0);
	for (int i = 0; i < 40; i++) {
		pass(5000);
		pages();
		commit();
	}
	/* Back in the table. */
	pass(10000);
	commit();
	assert_int_equal(e->by_seq.count, 0);
	assert_int_equal(db.live, 1);
	attach("s1", "a", 1, 1, 10);
	for (int i = 0; i < 200; i++) {
		pass(5000);
		pages();
		commit();
	}
	assert_int_equal(got_count, 4);
	assert_int_equal(got[3].attempt, 4); /* waiting is no attempt */
	result_of("s1", ref, RESULT(OK));
	all_over();
}

/* A customer may say "later" as long as the report is worth having. */
static void
retries_up_to_the_validity(void **state)
{
	uint64_t ref, began = now, last = 0, most = 0;

	(void)state;
	server_up("s1", 1, PLENTY);
	attach("s1", "a", 1, 1, PLENTY);
	report("a");
	ref = got[0].ref;
	while (db.live > 0 && now - began < 26 * 3600000ull) {
		size_t n = got_count;

		if (last != 0 && now - last > most)
			most = now - last;
		last = now;
		result_of("s1", ref, RESULT(RETRY));
		commit();
		while (got_count == n && db.live > 0) {
			pass(5000);
			pages();
			commit();
		}
	}
	assert_true(got_count > 100);
	assert_in_range(most, 8 * 60000, 13 * 60000);
	assert_in_range(now - began, 24 * 3600000ull, 25 * 3600000ull);
	assert_false(db_row(&db, ref)->notified); /* but parked */
	all_over();
}

static void
two_servers_take_turns(void **state)
{
	size_t first = 0;

	(void)state;
	server_up("s1", 1, PLENTY);
	server_up("s2", 2, PLENTY);
	attach("s1", "b", 1, 1, 100);
	attach("s2", "b", 1, 1, 100);
	for (int i = 0; i < 20; i++)
		report("b");
	assert_int_equal(got_count, 20);
	for (size_t i = 0; i < got_count; i++)
		first += strcmp(got[i].target, "s1") == 0;
	assert_int_equal(first, 10);
	/* One has no credit left: all to the other. */
	attach("s1", "b", 1, 1, 10);
	for (int i = 0; i < 5; i++) {
		report("b");
		assert_string_equal(got[got_count - 1].target, "s2");
	}
	/* Nor has the server itself. */
	attach("s1", "b", 1, 1, 100);
	credit("s1", 10);
	report("b");
	assert_string_equal(got[got_count - 1].target, "s2");
	credit("s2", 16);
	got_count = 0;
	report("b");
	assert_int_equal(got_count, 0);
	credit("s1", 11);
	assert_int_equal(got_count, 1);
	assert_string_equal(got[0].target, "s1");
}

/* One customer takes nothing; another one does not notice. */
static void
slow_customer_holds_up_nobody(void **state)
{
	(void)state;
	server_up("s1", 1, PLENTY);
	attach("s1", "a", 1, 1, 3);
	attach("s1", "b", 1, 1, 100);
	for (int i = 0; i < 50; i++)
		report("a");
	assert_int_equal(got_count, 3);
	for (int i = 0; i < 50; i++)
		report("b");
	assert_int_equal(got_count, 53);
	/* It is counted since the server's Hello, whatever has ended. */
	result_of("s1", got[0].ref, RESULT(OK));
	commit();
	assert_int_equal(got_count, 53);
	attach("s1", "a", 1, 1, 5);
	assert_int_equal(got_count, 55);
}

static void
server_killed_with_items(void **state)
{
	(void)state;
	server_up("s1", 1, PLENTY);
	server_up("s2", 2, PLENTY);
	attach("s1", "a", 1, 1, 10);
	report("a");
	report("a");
	assert_int_equal(got_count, 2);
	engine_gone(e, target("s1"));
	attach("s2", "a", 1, 1, 10);
	/* It may come back and still have them. */
	pass(5000);
	commit();
	assert_int_equal(got_count, 2);
	pass(6000);
	commit();
	pass(1000);
	commit();
	assert_int_equal(got_count, 4);
	assert_string_equal(got[2].target, "s2");
	assert_int_equal(got[2].attempt, 2);
	result_of("s2", got[2].ref, RESULT(OK));
	result_of("s2", got[3].ref, RESULT(OK));
	all_over();

	/* A new process of the name: at once. */
	server_up("s1", 1, PLENTY);
	attach("s1", "b", 1, 1, 10);
	report("b");
	assert_int_equal(got_count, 5);
	engine_gone(e, target("s1"));
	server_up("s1", 3, PLENTY);
	attach("s1", "b", 1, 1, 10);
	commit();
	pass(1000);
	commit();
	assert_int_equal(got_count, 6);
	assert_int_equal(got[5].attempt, 2);
	result_of("s1", got[5].ref, RESULT(OK));
	all_over();
}

/* An attempt that is only on its way to the disk is overtaken: what was kept for
 * it is free again. */
static void
credit_of_an_attempt_that_is_off(void **state)
{
	const struct seat *seat;

	(void)state;
	server_up("s1", 1, PLENTY);
	server_up("s2", 2, PLENTY);
	attach("s1", "a", 1, 1, 10);
	report("a");
	engine_gone(e, target("s1"));
	attach("s2", "a", 1, 1, 1);
	seat = TAILQ_FIRST(&target("s2")->seats);
	pass(11000); /* the next attempt is on its way to the disk */
	assert_int_equal(seat->sent, 1);
	assert_int_equal(target("s2")->sent_items, 1);
	assert_false(seat->customer->open);
	engine_hello(e, target("s1"), 21, instance(1), true);
	result_of("s1", got[0].ref, RESULT(OK));
	assert_int_equal(seat->sent, 0);
	assert_int_equal(target("s2")->sent_items, 0);
	assert_true(seat->customer->open);
	commit();
	assert_int_equal(got_count, 1);
	all_over();
}

static void
server_cut_and_back(void **state)
{
	uint64_t refs[2];

	(void)state;
	server_up("s1", 1, PLENTY);
	server_up("s2", 2, PLENTY);
	attach("s1", "a", 1, 1, 10);
	report("a");
	report("a");
	report("a");
	engine_gone(e, target("s1"));
	assert_int_equal(TAILQ_EMPTY(&target("s1")->seats), true);
	attach("s2", "a", 1, 1, 10);
	/* The same process has two of three; the other was on the way. */
	engine_hello(e, target("s1"), 21, instance(1), true);
	refs[0] = got[0].ref;
	refs[1] = got[1].ref;
	engine_in_hand(e, target("s1"), refs, 2);
	credit("s1", PLENTY);
	assert_int_equal(got_count, 4);
	assert_int_equal(got[3].ref, got[2].ref);
	assert_string_equal(got[3].target, "s2");
	assert_int_equal(target("s1")->inflight_count, 2);
	/* What another has is not its to give back. */
	result_of("s1", got[3].ref, RESULT(NOT_NOW));
	commit();
	assert_int_equal(target("s2")->inflight_count, 1);
	result_of("s1", got[0].ref, RESULT(OK));
	result_of("s1", got[1].ref, RESULT(OK));
	result_of("s2", got[3].ref, RESULT(OK));
	all_over();
}

/* Given up, but not lost: when the other server gives it back it is where it
 * was. */
static void
claimed_while_another_has_it(void **state)
{
	(void)state;
	server_up("s1", 1, PLENTY);
	server_up("s2", 2, PLENTY);
	attach("s1", "a", 1, 1, 10);
	report("a");
	engine_gone(e, target("s1"));
	attach("s2", "a", 1, 1, 10);
	pass(11000);
	commit();
	assert_int_equal(got_count, 2);
	engine_hello(e, target("s1"), 21, instance(1), true);
	engine_in_hand(e, target("s1"), &got[0].ref, 1);
	credit("s1", PLENTY);
	attach("s1", "a", 1, 1, 10);
	result_of("s2", got[1].ref, RESULT(NOT_NOW));
	pass(1000);
	commit();
	assert_int_equal(got_count, 2);
	assert_int_equal(target("s1")->inflight_count, 1);
	result_of("s1", got[0].ref, RESULT(OK));
	all_over();
	assert_int_equal(target("s1")->in_hand.count, 0);
}

/* The bus is killed while s1 has items.  s2 is back first and must not get
 * them. */
static void
bus_killed_with_items_out(void **state)
{
	uint64_t refs[2];

	(void)state;
	server_up("s1", 1, PLENTY);
	attach("s1", "a", 1, 1, 10);
	report("a");
	report("a");
	report("a");
	refs[0] = got[0].ref;
	refs[1] = got[1].ref;
	bus_restart();
	server_up("s2", 2, PLENTY);
	attach("s2", "a", 1, 1, 10);
	pages();
	assert_int_equal(got_count, 3);
	/* But what is new goes. */
	report("b");
	attach("s2", "b", 1, 1, 10);
	pages();
	assert_int_equal(got_count, 4);
	/* Lost again before it could say what it has. */
	engine_hello(e, target("s1"), 30, instance(1), true);
	engine_gone(e, target("s1"));
	engine_dispatch(e);
	assert_int_equal(got_count, 4);
	engine_hello(e, target("s1"), 31, instance(1), true);
	engine_dispatch(e);
	assert_int_equal(got_count, 4);
	engine_in_hand(e, target("s1"), refs, 2);
	engine_dispatch(e);
	assert_int_equal(got_count, 4);
	attach("s1", "a", 1, 1, 10);
	credit("s1", PLENTY);
	assert_int_equal(got_count, 5);
	assert_int_equal(got[4].ref, got[2].ref);
	result_of("s1", refs[0], RESULT(OK));
	result_of("s1", refs[1], RESULT(OK));
	result_of("s2", got[3].ref, RESULT(OK));
	result_of(got[4].target, got[4].ref, RESULT(OK));
	all_over();

	/* It never comes back: after a while the other one gets them. */
	attach("s1", "a", 1, 1, 10);
	attach("s2", "a", 0, 0, 10);
	report("a");
	assert_int_equal(got_count, 6);
	bus_restart();
	server_up("s2", 2, PLENTY);
	attach("s2", "a", 1, 1, 10);
	pages();
	pass(5000);
	assert_int_equal(got_count, 6);
	pass(6000);
	assert_int_equal(got_count, 7);
	result_of("s2", got[6].ref, RESULT(OK));
	all_over();
}

/* Said before its item was loaded, of a customer who has gone. */
static void
result_of_an_unbound_customer(void **state)
{
	uint64_t ref;
	struct item it;
	uint8_t id[16];

	(void)state;
	server_up("s1", 1, PLENTY);
	attach("s1", "a", 1, 1, 10);
	report("a");
	ref = got[0].ref;
	memcpy(id, got[0].id, 16);
	bus_restart();
	engine_hello(e, target("s1"), 31, instance(1), true);
	it = model_result(&buf,
	    &(struct model_result){
		.ref = ref, .code = RESULT(NOT_NOW), .id = id });
	engine_result(e, target("s1"), 31, ++number, &it);
	engine_in_hand(e, target("s1"), NULL, 0);
	credit("s1", PLENTY);
	pages();
	pass(2000);
	assert_int_equal(last_settled, number);
	assert_int_equal(last_code, ACK(ACK_OK));
	pass(8000);
	assert_int_equal(e->by_seq.count, 0);
	assert_int_equal(got_count, 1);
	attach("s1", "a", 1, 1, 10);
	pages();
	assert_int_equal(got_count, 2);
	result_of("s1", ref, RESULT(OK));
	all_over();
}

/* At each of the deaths of its server it was out: it may be what kills it. */
static void
poison_is_parked(void **state)
{
	uint64_t ref;

	(void)state;
	server_up("s1", 1, PLENTY);
	attach("s1", "a", 1, 1, 10);
	report("a");
	ref = got[0].ref;
	for (uint8_t i = 2; i < 40 && db.live > 0; i++) {
		size_t n = got_count;

		engine_gone(e, target("s1"));
		server_up("s1", i, PLENTY);
		attach("s1", "a", 1, 1, 10);
		commit();
		for (int k = 0; k < 300 && got_count == n && db.live > 0; k++) {
			pass(5000);
			pages();
			commit();
		}
	}
	assert_int_equal(got_count, 10);
	assert_false(db_row(&db, ref)->notified); /* but parked */
	all_over();
}

static unsigned
bind_of(const char *box, const char *account)
{
	struct bytes b = { (const uint8_t *)account, strlen(account) };
	const char *why = NULL;
	unsigned code = engine_bind(e, target(box), b, &why);

	assert_int_equal(code != 0, why != NULL);
	return code;
}

static void
max_binds_over_two_servers(void **state)
{
	(void)state;
	server_up("s1", 1, PLENTY);
	server_up("s2", 2, PLENTY);
	assert_int_equal(bind_of("s1", "a"), 0);
	assert_int_equal(bind_of("s2", "a"), 0);
	assert_int_equal(bind_of("s1", "a"), 409);
	assert_int_equal(bind_of("s2", "a"), 409);
	/* Its word replaces what was counted. */
	attach("s1", "a", 0, 0, 0);
	assert_int_equal(bind_of("s2", "a"), 0);
	assert_int_equal(bind_of("s1", "a"), 409);
	attach("s2", "a", 1, 1, 10);
	assert_int_equal(bind_of("s1", "a"), 0);
	/* A server that has gone has no binds. */
	engine_gone(e, target("s2"));
	assert_int_equal(bind_of("s1", "a"), 0);
	assert_int_equal(bind_of("s1", "a"), 409);
	/* Other accounts. */
	for (int i = 0; i < 10; i++)
		assert_int_equal(bind_of("s1", "b"), 0);
	assert_int_equal(bind_of("s1", "b"), 409);
	assert_int_equal(bind_of("s1", "web"), 403);
	assert_int_equal(bind_of("s1", "off"), 403);
	assert_int_equal(bind_of("s1", "nobody"), 403);
	/* Nor can a server make up names. */
	attach("s1", "nobody", 1, 1, 10);
	assert_null(map_get(&e->customer_by_account, "nobody", 6));
}

static void
allowed_destinations(void **state)
{
	(void)state;
	submit("home", "4915112345678");
	submit("home", "447700900123");
	submit("home", "112");
	assert_int_equal(last_settled, 0);
	submit("home", "33612345678");
	assert_int_equal(last_settled, number);
	assert_int_equal(last_code, ACK(DENIED_DESTINATION));
	submit("home", "1120");
	assert_int_equal(last_settled, number);
	assert_int_equal(last_code, ACK(DENIED_DESTINATION));
	submit("a", "33612345678");
	assert_int_not_equal(last_settled, number);
}

/* Of a thousand with a backlog each turn looks at some, and the next goes on;
 * the bus does not sleep before it has seen all. */
static void
many_backlogs(void **state)
{
	char name[16];
	size_t turns = 0;

	(void)state;
	server_up("s1", 1, PLENTY);
	for (int i = 0; i < 1000; i++) {
		struct queue *q;

		snprintf(name, sizeof(name), "x%d", i);
		q = engine_queue(e, e->customers, 2, name);
		engine_spill(e, q, e->ledger.last_seq);
		/* Only the last has something that is durable. */
		if (i < 999)
			q->cursor = q->tail = 5000;
		q->tail = 6000;
		attach("s1", name, 1, 1, 10);
	}
	assert_int_equal(queues_asked(), 0);
	commit();
	assert_true(e->ledger.horizon < 5000);
	for (engine_dispatch(e); queues_asked() == 0; engine_dispatch(e)) {
		assert_true(engine_tick(e) <= 10);
		assert_true(++turns < 5);
	}
	assert_int_equal(queues_asked(), 1);
}

/* Thousands of them with a backlog: no memory, and no page in any turn. */
static void
many_unbound(void **state)
{
	char name[16];

	(void)state;
	server_up("s1", 1, PLENTY);
	for (int i = 0; i < 10000; i++) {
		struct queue *q;

		snprintf(name, sizeof(name), "x%d", i);
		q = engine_queue(e, e->customers, 2, name);
		assert_false(engine_room(e, q));
		engine_spill(e, q, e->ledger.last_seq);
	}
	commit();
	pass(20000);
	assert_int_equal(e->by_seq.count, 0);
	assert_true(TAILQ_EMPTY(&e->deep[TARGET_ESME]));
	assert_true(TAILQ_EMPTY(&e->customers->parked));
	assert_int_equal(queues_asked(), 8); /* a few at a time */
	engine_checkpoint(e);
	commit();
	bus_restart();
	pass(20000);
	assert_int_equal(e->queue_count, 10000);
	assert_int_equal(e->by_seq.count, 0);
	assert_true(TAILQ_EMPTY(&e->deep[TARGET_ESME]));
	assert_int_equal(queues_asked(), 8);
}

/* Its customer never comes: a report ends all the same, after a day. */
static void
expired_while_away(void **state)
{
	const uint64_t began = now;

	(void)state;
	for (int i = 0; i < 300; i++)
		report("a");
	pass(250);
	pages();
	while (now - began < 23 * 3600000ull) {
		pass(60000);
		pages();
		commit();
		assert_in_range(e->by_seq.count, 0, 1);
	}
	assert_int_equal(db.live, 300);
	assert_in_range(db.pages, 1, 2);
	report("a"); /* this one has still a day */
	pass(10000);
	while (now - began < 24 * 3600000ull + 60000) {
		pass(1000);
		pages();
		commit();
	}
	pass(6000);
	assert_int_equal(db.live, 1);
	assert_int_equal(e->by_seq.count, 0);
	assert_int_equal(got_count, 0);
	server_up("s1", 1, PLENTY);
	attach("s1", "a", 1, 1, 10);
	pages();
	assert_int_equal(got_count, 1);
	result_of("s1", got[0].ref, RESULT(OK));
	all_over();
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(report_to_the_bound_server),
		TEST(mo_by_inbound_smpp),
		TEST(unbound_waits_for_nothing),
		TEST(evicted_and_back),
		TEST(evicted_behind_a_backlog),
		TEST(report_before_a_spilled_mo),
		TEST(evicted_when_on_record),
		TEST(due_while_away),
		TEST(retries_up_to_the_validity),
		TEST(two_servers_take_turns),
		TEST(slow_customer_holds_up_nobody),
		TEST(server_killed_with_items),
		TEST(credit_of_an_attempt_that_is_off),
		TEST(server_cut_and_back),
		TEST(claimed_while_another_has_it),
		TEST(bus_killed_with_items_out),
		TEST(result_of_an_unbound_customer),
		TEST(poison_is_parked),
		TEST(max_binds_over_two_servers),
		TEST(allowed_destinations),
		TEST(many_backlogs),
		TEST(many_unbound),
		TEST(expired_while_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
