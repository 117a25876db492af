/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parts_test.c - messages from handsets in several parts: in any order, twice,
 * incomplete, and with the bus killed at each record on the way.
 *
 * At the rig of rig.h, whose commit_to() stops at a record of choice.
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
#include "common/inbound.h"
#include "common/xalloc.h"
#include "test/unit/core/rig.h"

#define MORE   1024
#define MINUTE 60000u

static const char conf_text[] =
    "bus = { ready_items = 400; queue_items = 64; checkpoint = \"10s\"; };"
    "boxes = ( { name = \"l1\"; type = \"smppc\"; host = \"h:1\";"
    " system_id = \"s\"; },"
    " { name = \"l2\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\"; },"
    " { name = \"l3\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\";"
    " scope = \"l2\"; },"
    " { name = \"hook\"; type = \"hook\"; },"
    " { name = \"store\"; type = \"store\"; dsn = \"x\"; } );"
    "accounts = ( { id = \"a\"; } );"
    "inbound = ( { name = \"stop\"; to = \"777\"; keyword = \"STOP\";"
    " account = \"a\"; url = \"http://localhost/\"; },"
    " { name = \"apart\"; to = \"888\"; keyword = \"STOP\"; account = \"a\";"
    " url = \"http://localhost/\"; join = false; },"
    " { name = \"any\"; to = \"999\"; account = \"a\";"
    " url = \"http://localhost/\"; } );";

struct got {
	uint64_t ref;
	uint8_t id[16];
	char text[512], keyword[32], link[16];
	unsigned parts, received, number;
	bool segment, data;
};

static struct got got[MORE];
static size_t got_count;
static Hopyard__V1__Ack__Code code[4096]; /* by number; -1: not yet */

/* --------------------------------------------------------------- effects */

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
	static uint8_t memory[256 * 1024];
	struct got *g = &got[got_count++];
	const struct db_row *r;
	const Hopyard__V1__Dispatch *x = dispatch_of(it, &r);
	const Hopyard__V1__Envelope *env;
	const Hopyard__V1__Content *c;
	struct arena arena;

	(void)arg;
	assert_true(got_count < MORE);
	assert_string_equal(t->name, "hook");
	arena_init(&arena, memory, sizeof(memory));
	env = frame_unpack(&arena, &hopyard__v1__envelope__descriptor,
	    it->envelope.p, it->envelope.len);
	c = frame_unpack(&arena, &hopyard__v1__content__descriptor, it->body.p,
	    it->body.len);
	assert_non_null(env);
	memset(g, 0, sizeof(*g));
	g->ref = x->ref;
	memcpy(g->id, env->id.data, 16);
	g->parts = env->parts;
	g->received = env->has_parts_received ? env->parts_received : 0;
	g->segment = env->segment != NULL;
	if (g->segment)
		g->number = env->segment->number;
	snprintf(g->keyword, sizeof(g->keyword), "%.*s", (int)env->keyword.len,
	    (const char *)env->keyword.data);
	snprintf(g->link, sizeof(g->link), "%.*s", (int)env->link.len,
	    (const char *)env->link.data);
	if (c != NULL)
		snprintf(g->text, sizeof(g->text), "%.*s",
		    (int)(c->has_text ? c->text.len : c->data.len),
		    (const char *)(c->has_text ? c->text.data : c->data.data));
	g->data = c != NULL && c->has_data;
}

static void
on_recall(void *arg, struct target *t, uint64_t ref)
{
	(void)arg;
	(void)t;
	(void)ref;
	fail();
}

static void
on_answer(void *arg, uint64_t token, unsigned c, const char *text)
{
	(void)arg;
	(void)token;
	(void)c;
	(void)text;
	fail();
}

static const struct engine_ops ops = {
	.settle = on_settle,
	.deliver = on_deliver,
	.recall = on_recall,
	.page = on_page,
	.answer = on_answer,
	.note = on_note,
};

/* ----------------------------------------------------------- the surroundings */

static void
hook_up(void)
{
	engine_hello(e, target("hook"), 12, instance((uint8_t)epoch), false);
	engine_credit(e, engine_target(e, "hook"), 1000, 1 << 30);
	engine_dispatch(e);
}

/* Until nothing more is recorded of it. */
static void
commit_all(void)
{
	do
		commit_to(UINT64_MAX);
	while (e->ledger.last_seq > db.durable);
}

static void
pass_all(uint64_t ms)
{
	for (uint64_t step; ms > 0; ms -= step) {
		step = ms < 250 ? ms : 250;
		tick(step);
		pages();
		commit_all();
	}
}

/* Killed, and what was not committed is lost; all is read again. */
static void
bus_restart(void)
{
	engine_free(e);
	now++;
	engine_start(&ops);
	store_open();
	pages();
}

static int
setup(void **state)
{
	(void)state;
	got_count = 0;
	memset(code, 0xff, sizeof(code));
	rig_init(conf_text);
	engine_start(&ops);
	store_open();
	hook_up();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rig_fini();
	return 0;
}

struct mo {
	const char *link, *from, *to;
	unsigned kind, ref, total, number;
	const char *text;
	bool data, garbage;
	const uint8_t *id;
};

/* Returns its number. */
static uint64_t
part(const struct mo *mo)
{
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Segment seg = HOPYARD__V1__SEGMENT__INIT;
	Hopyard__V1__Content c = HOPYARD__V1__CONTENT__INIT;
	const char *link = mo->link != NULL ? mo->link : "l1";
	const char *from = mo->from != NULL ? mo->from : "4915112345678";
	ProtobufCBinaryData text = { strlen(mo->text),
		(uint8_t *)(uintptr_t)mo->text };
	uint8_t id[16], word[32];
	struct item it = { 0 };
	size_t len, body, n;

	model_id(id, WALL + now, ++serial);
	env.id = (ProtobufCBinaryData){ 16,
		mo->id != NULL ? (uint8_t *)(uintptr_t)mo->id : id };
	env.kind = HOPYARD__V1__KIND__MO;
	env.has_to = env.has_from = env.has_link = true;
	env.to = (ProtobufCBinaryData){ strlen(mo->to),
		(uint8_t *)(uintptr_t)mo->to };
	env.from =
	    (ProtobufCBinaryData){ strlen(from), (uint8_t *)(uintptr_t)from };
	env.link =
	    (ProtobufCBinaryData){ strlen(link), (uint8_t *)(uintptr_t)link };
	n = inbound_keyword(mo->text, strlen(mo->text), word, sizeof(word));
	if (mo->number <= 1 && n > 0) {
		env.has_keyword = true;
		env.keyword = (ProtobufCBinaryData){ n, word };
	}
	seg.kind = mo->kind != 0 ? mo->kind : 1;
	seg.ref = mo->ref != 0 ? mo->ref : 7;
	seg.total = mo->total;
	seg.number = mo->number;
	if (mo->total != 0)
		env.segment = &seg;
	c.has_text = !mo->data;
	c.has_data = mo->data;
	if (mo->data)
		c.data = text;
	else
		c.text = text;
	len = hopyard__v1__envelope__get_packed_size(&env);
	body = hopyard__v1__content__get_packed_size(&c);
	buf_clear(&buf);
	hopyard__v1__envelope__pack(&env, buf_reserve(&buf, len + body + 8));
	buf_commit(&buf, len);
	if (mo->garbage) {
		buf_add(&buf, "\xff\xff", 2);
		body = 2;
	} else {
		hopyard__v1__content__pack(&c, buf_reserve(&buf, body));
		buf_commit(&buf, body);
	}
	it.envelope = (struct bytes){ buf_data(&buf), len };
	it.body = (struct bytes){ buf_data(&buf) + len, body };
	engine_inbound(e, engine_target(e, link), 11, ++number, &it);
	engine_dispatch(e);
	return number;
}

static void
hook_takes_all(size_t from)
{
	for (size_t i = from; i < got_count; i++) {
		struct item it = model_result(&buf,
		    &(struct model_result){ .ref = got[i].ref,
			.code = HOPYARD__V1__RESULT__CODE__OK });

		engine_result(e, engine_target(e, "hook"), 12, ++number, &it);
	}
	commit_all();
}

/* All that came is told and closed. */
static void
all_over(void)
{
	commit_all();
	assert_int_equal(parts_waiting(e), 0);
	assert_int_equal(e->by_seq.count, 0);
	assert_int_equal(e->bytes, 0);
	assert_int_equal(e->ledger.ring_count, 0);
	assert_int_equal(db.live, 0);
}

/* The only MO of the tables that is in no queue. */
static const struct db_row *
parked(void)
{
	const struct db_row *found = NULL;

	for (uint64_t seq = 1; seq <= db.durable; seq++) {
		const struct db_row *r = db_row(&db, seq);

		if (r->kind != HOPYARD__V1__KIND__MO || r->queue != 0)
			continue;
		assert_null(found);
		found = r;
	}
	return found;
}

/* ------------------------------------------------------------------- joined */

static void
in_any_order(void **state)
{
	static const unsigned orders[][3] = { { 1, 2, 3 }, { 1, 3, 2 },
		{ 2, 1, 3 }, { 2, 3, 1 }, { 3, 1, 2 }, { 3, 2, 1 } };
	static const char *const text[] = { "", "stop all ", "of that ",
		"please" };

	(void)state;
	for (size_t i = 0; i < 6 * 3; i++) {
		unsigned kind = 1 + (unsigned)i % 3;
		uint64_t n = 0;

		got_count = 0;
		for (size_t k = 0; k < 3; k++) {
			assert_int_equal(got_count, 0);
			n = part(&(struct mo){ .to = "777",
			    .kind = kind,
			    .ref = 10 + (unsigned)i,
			    .total = 3,
			    .number = orders[i / 3][k],
			    .text = text[orders[i / 3][k]] });
			/* Not before it is durable. */
			assert_int_equal((int)code[n], -1);
			commit_to(UINT64_MAX);
			assert_int_equal((int)code[n], ACK(ACK_OK));
		}
		commit_all();
		assert_int_equal(got_count, 1);
		assert_string_equal(got[0].text, "stop all of that please");
		assert_string_equal(got[0].keyword, "STOP");
		assert_string_equal(got[0].link, "l1");
		assert_int_equal(got[0].parts, 3);
		assert_int_equal(got[0].received, 0);
		assert_false(got[0].segment);
		hook_takes_all(0);
		all_over();
	}
	assert_int_equal(e->count.inbound, 18);
}

static void
octets_and_a_mixture(void **state)
{
	(void)state;
	part(&(struct mo){ .to = "999",
	    .total = 2,
	    .number = 1,
	    .text = "\x01",
	    .data = true });
	part(&(struct mo){ .to = "999",
	    .total = 2,
	    .number = 2,
	    .text = "\x02",
	    .data = true });
	part(&(struct mo){
	    .to = "999", .ref = 8, .total = 2, .number = 1, .text = "a" });
	part(&(struct mo){ .to = "999",
	    .ref = 8,
	    .total = 2,
	    .number = 2,
	    .text = "\x02",
	    .data = true });
	commit_all();
	assert_int_equal(got_count, 2);
	assert_string_equal(got[0].text, "\x01\x02");
	assert_true(got[0].data);
	assert_string_equal(got[1].text, "a\x02");
	assert_true(got[1].data);
	hook_takes_all(0);
	all_over();
}

static void
apart_from_others(void **state)
{
	/* What is not the same message: sender, link, kind, reference, number
	 * of parts; and what is, links with one scope. */
	static const struct mo other[] = {
		{ .from = "4915100000000" },
		{ .link = "l2" },
		{ .kind = 2 },
		{ .ref = 8 },
		{ .to = "888" },
	};

	(void)state;
	part(&(struct mo){
	    .to = "999", .total = 2, .number = 1, .text = "mine " });
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		struct mo mo = other[i];

		if (mo.to == NULL)
			mo.to = "999";
		mo.total = mo.number = 2;
		mo.text = "theirs";
		part(&mo);
	}
	part(&(struct mo){
	    .to = "999", .total = 3, .number = 2, .text = "theirs" });
	commit_all();
	assert_int_equal(got_count, 0);
	assert_int_equal(parts_waiting(e), 7);
	part(&(struct mo){
	    .to = "999", .total = 2, .number = 2, .text = "too" });
	commit_all();
	assert_int_equal(got_count, 1);
	assert_string_equal(got[0].text, "mine too");
	part(&(struct mo){ .link = "l3",
	    .to = "999",
	    .total = 2,
	    .number = 1,
	    .text = "still " });
	commit_all();
	assert_int_equal(got_count, 2);
	assert_string_equal(got[1].text, "still theirs");
	assert_string_equal(got[1].link, "l3");
}

static void
one_is_no_part(void **state)
{
	(void)state;
	part(&(struct mo){
	    .to = "999", .total = 1, .number = 1, .text = "whole" });
	commit_all();
	assert_int_equal(got_count, 1);
	hook_takes_all(0);
	all_over();
}

static void
refused(void **state)
{
	static const struct mo bad[] = {
		{ .total = 2, .number = 3 },
		{ .total = 2, .number = 0 },
		{ .total = 256, .number = 1 },
		{ .total = 2, .number = 1, .kind = 4 },
		{ .total = 2, .number = 1, .ref = 65536 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct mo mo = bad[i];
		uint64_t n;

		mo.to = "999";
		mo.text = "x";
		n = part(&mo);
		assert_int_equal((int)code[n], ACK(INVALID));
	}
	assert_int_equal(e->ledger.last_seq, 0);
}

/* --------------------------------------------------------------- duplicates */

static void
duplicates(void **state)
{
	struct mo first = {
		.to = "777", .total = 2, .number = 1, .text = "stop "
	};
	struct mo second = {
		.to = "777", .total = 2, .number = 2, .text = "now"
	};
	uint8_t id[16];

	(void)state;
	/* The same item again: its first ack was lost. */
	model_id(id, WALL + now, ++serial);
	first.id = id;
	part(&first);
	part(&first);
	commit_all();
	part(&first);
	assert_int_equal((int)code[number], ACK(ACK_OK));
	first.id = NULL;
	/* The same part again: the carrier missed the answer. */
	part(&first);
	commit_all();
	assert_int_equal((int)code[number], ACK(ACK_OK));
	assert_int_equal(parts_waiting(e), 1);
	assert_int_equal(e->by_seq.count, 1); /* closed at once */
	part(&second);
	part(&second);
	commit_all();
	assert_int_equal(got_count, 1);
	assert_string_equal(got[0].text, "stop now");
	hook_takes_all(0);
	/* And after it went on. */
	part(&second);
	part(&first);
	commit_all();
	all_over();
	pass_all(6 * MINUTE);
	all_over();
	assert_int_equal(got_count, 1);
	assert_int_equal(e->count.duplicates, 4);
	/* After so long it is another message. */
	part(&second);
	commit_all();
	assert_int_equal(parts_waiting(e), 1);
}

static void
reference_used_again(void **state)
{
	(void)state;
	part(&(struct mo){ .to = "999", .total = 2, .number = 1, .text = "a" });
	commit_all();
	/* Nobody sends the rest of that any more. */
	part(&(struct mo){ .to = "999", .total = 2, .number = 1, .text = "b" });
	commit_all();
	assert_int_equal(got_count, 1);
	assert_string_equal(got[0].text, "a");
	assert_int_equal(got[0].received, 1);
	part(&(struct mo){ .to = "999", .total = 2, .number = 2, .text = "c" });
	commit_all();
	assert_int_equal(got_count, 2);
	assert_string_equal(got[1].text, "bc");
	/* At once, while the other is remembered. */
	part(&(struct mo){ .to = "999", .total = 2, .number = 2, .text = "d" });
	part(&(struct mo){ .to = "999", .total = 2, .number = 1, .text = "e" });
	commit_all();
	assert_int_equal(got_count, 3);
	assert_string_equal(got[2].text, "ed");
	hook_takes_all(0);
	all_over();
}

/* --------------------------------------------------------------- incomplete */

static void
partial_after_a_while(void **state)
{
	(void)state;
	part(&(struct mo){
	    .to = "777", .total = 3, .number = 3, .text = "please" });
	commit_all();
	pass_all(4 * MINUTE);
	/* Counted from the first that came. */
	part(&(struct mo){
	    .to = "777", .total = 3, .number = 1, .text = "stop" });
	commit_all();
	pass_all(MINUTE - 1000);
	assert_int_equal(got_count, 0);
	pass_all(2000);
	assert_int_equal(got_count, 1);
	assert_string_equal(got[0].text, "stopplease");
	assert_int_equal(got[0].parts, 3);
	assert_int_equal(got[0].received, 2);
	hook_takes_all(0);
	all_over();
}

static void
without_its_keyword(void **state)
{
	(void)state;
	part(&(struct mo){
	    .to = "777", .total = 2, .number = 2, .text = "stop it" });
	commit_all();
	pass_all(5 * MINUTE + 1000);
	assert_int_equal(got_count, 0);
	assert_non_null(parked());
	all_over();
}

static void
nobody_takes_it(void **state)
{
	(void)state;
	part(&(struct mo){ .to = "123", .total = 2, .number = 2, .text = "b" });
	part(&(struct mo){ .to = "123", .total = 2, .number = 1, .text = "a" });
	commit_all();
	assert_non_null(parked());
	all_over();
}

static void
no_timeout_without_a_store(void **state)
{
	(void)state;
	part(&(struct mo){ .to = "999", .total = 2, .number = 2, .text = "b" });
	commit_all();
	engine_store_gone(e);
	tick(10 * MINUTE);
	assert_int_equal(parts_waiting(e), 1);
	store_open();
	pass_all(250);
	assert_int_equal(got_count, 1);
}

/* ------------------------------------------------------------- rules' wishes */

static void
each_by_itself(void **state)
{
	(void)state;
	for (unsigned i = 3; i > 0; i--)
		part(&(struct mo){ .to = "888",
		    .total = 3,
		    .number = i,
		    .text = i == 1 ? "stop" : "more" });
	commit_all();
	assert_int_equal(got_count, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(got[i].segment);
		assert_int_equal(got[i].number, i + 1);
		/* So that the hook finds the same rule. */
		assert_string_equal(got[i].keyword, "STOP");
	}
	hook_takes_all(0);
	all_over();
}

static void
what_cannot_be_joined(void **state)
{
	char *big = xmalloc(40001);

	(void)state;
	memset(big, 'x', 40000);
	big[40000] = '\0';
	for (unsigned i = 1; i <= 2; i++)
		part(&(struct mo){
		    .to = "999", .total = 2, .number = i, .text = big });
	free(big);
	part(&(struct mo){
	    .to = "999", .ref = 8, .total = 2, .number = 1, .text = "a" });
	part(&(struct mo){ .to = "999",
	    .ref = 8,
	    .total = 2,
	    .number = 2,
	    .text = "b",
	    .garbage = true });
	commit_all();
	assert_int_equal(got_count, 4);
	hook_takes_all(0);
	all_over();
}

static void
bounded(void **state)
{
	unsigned most = 400 / 4;

	(void)state;
	for (unsigned i = 0; i <= most; i++) {
		part(&(struct mo){ .to = "999",
		    .ref = 1000 + i,
		    .total = 2,
		    .number = 2,
		    .text = "b" });
		commit_all();
	}
	assert_int_equal(parts_waiting(e), most);
	assert_int_equal(got_count, 1); /* the oldest */
	assert_int_equal(got[0].received, 1);
	hook_takes_all(0);
	pass_all(6 * MINUTE);
	hook_takes_all(1);
	pass_all(1000);
	assert_int_equal(got_count, most + 1);
	all_over();
}

/* ------------------------------------------------------------------- killed */

static void
between_parts(void **state)
{
	(void)state;
	part(&(struct mo){
	    .to = "777", .total = 3, .number = 2, .text = "it " });
	part(&(struct mo){
	    .to = "777", .total = 3, .number = 1, .text = "stop " });
	commit_all();
	engine_checkpoint(e);
	commit_all();
	bus_restart();
	hook_up();
	pass_all(1000);
	assert_int_equal(parts_waiting(e), 1);
	part(&(struct mo){
	    .to = "777", .total = 3, .number = 1, .text = "stop " });
	part(&(struct mo){
	    .to = "777", .total = 3, .number = 3, .text = "now" });
	commit_all();
	assert_int_equal(got_count, 1);
	assert_string_equal(got[0].text, "stop it now");
	hook_takes_all(0);
	all_over();
}

static void
deadline_across_a_restart(void **state)
{
	(void)state;
	part(&(struct mo){ .to = "999", .total = 2, .number = 2, .text = "b" });
	commit_all();
	pass_all(4 * MINUTE);
	bus_restart();
	hook_up();
	pass_all(MINUTE - 2000);
	assert_int_equal(got_count, 0);
	pass_all(3000);
	assert_int_equal(got_count, 1);
	assert_int_equal(got[0].received, 1);
}

static void
part_not_durable(void **state)
{
	uint64_t n;

	(void)state;
	part(&(struct mo){
	    .to = "777", .total = 2, .number = 1, .text = "stop " });
	commit_all();
	n = part(
	    &(struct mo){ .to = "777", .total = 2, .number = 2, .text = "it" });
	bus_restart();
	hook_up();
	assert_int_equal((int)code[n], -1); /* so the carrier comes again */
	part(
	    &(struct mo){ .to = "777", .total = 2, .number = 2, .text = "it" });
	pages();
	pass_all(500);
	assert_int_equal(got_count, 1);
	assert_string_equal(got[0].text, "stop it");
}

/*
 * All four records of a group, or all six of one that goes on in parts, are
 * torn at each place, with a checkpoint before; the hook takes what it is given
 * after the restart.
 */
static void
torn(const char *to, unsigned records, size_t want, unsigned next)
{
	for (unsigned cut = 0; cut <= records; cut++) {
		uint64_t base;
		size_t before;

		/* A definition of the hook's queue is no record to count. */
		if (cut == 0) {
			part(&(struct mo){ .to = to,
			    .total = 2,
			    .number = 1,
			    .text = "stop" });
			part(&(struct mo){
			    .to = to, .total = 2, .number = 2, .text = "x" });
			commit_all();
			hook_takes_all(0);
		}
		got_count = 0;
		part(&(struct mo){ .to = to,
		    .ref = 100 + cut,
		    .total = 3,
		    .number = 2,
		    .text = "b" });
		part(&(struct mo){ .to = to,
		    .ref = 100 + cut,
		    .total = 3,
		    .number = 1,
		    .text = "stop " });
		commit_all();
		engine_checkpoint(e);
		commit_all();
		part(&(struct mo){ .to = to,
		    .ref = 100 + cut,
		    .total = 3,
		    .number = 3,
		    .text = "c" });
		commit_to(UINT64_MAX); /* now it goes on */
		base = db.durable;
		commit_to(base + cut);
		assert_int_equal(e->ledger.last_seq, base + records);
		before = got_count;
		bus_restart();
		pass_all(1000);
		/* Of another message, while the rest of that one lies there. */
		part(&(struct mo){ .to = to,
		    .ref = 100 + cut,
		    .total = 3,
		    .number = next,
		    .text = "stop again" });
		hook_up();
		pass_all(1000);
		pass_all(6 * MINUTE);
		hook_takes_all(before);
		pass_all(6 * MINUTE);
		all_over();
		/* Not mixed with what was left of the first. */
		for (size_t i = 0; i < got_count; i++)
			if (strstr(got[i].text, "again") != NULL)
				assert_string_equal(got[i].text, "stop again");
		/* Each is in the tables once, and was told. */
		size_t told = 0, others = 0;

		for (uint64_t seq = base - 4; seq <= db.durable; seq++) {
			const struct db_row *r = db_row(&db, seq);

			/* Parked is told, too: to the operator. */
			if (r->kind != HOPYARD__V1__KIND__MO ||
			    (!r->notified && r->queue != 0))
				continue;
			if (r->body_len > 10 &&
			    memmem(r->body, r->body_len, "again", 5) != NULL)
				others++;
			else
				told++;
		}
		assert_int_equal(told, want);
		assert_int_equal(others, 1);
	}
}

static void
torn_while_joined(void **state)
{
	(void)state;
	torn("777", 4, 1, 1);
	torn("777", 4, 1, 3);
}

static void
torn_while_passed_on(void **state)
{
	(void)state;
	torn("888", 6, 3, 1);
	torn("888", 6, 3, 3);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(in_any_order),
		TEST(octets_and_a_mixture),
		TEST(apart_from_others),
		TEST(one_is_no_part),
		TEST(refused),
		TEST(duplicates),
		TEST(reference_used_again),
		TEST(partial_after_a_while),
		TEST(without_its_keyword),
		TEST(nobody_takes_it),
		TEST(no_timeout_without_a_store),
		TEST(each_by_itself),
		TEST(what_cannot_be_joined),
		TEST(bounded),
		TEST(between_parts),
		TEST(deadline_across_a_restart),
		TEST(part_not_durable),
		TEST(torn_while_joined),
		TEST(torn_while_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
