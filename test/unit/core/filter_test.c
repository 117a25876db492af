/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * filter_test.c - messages that a filter is asked about: each verdict, none in
 * time, a filter that is away, slow or lies, what may be answered by the bus
 * itself, hand-overs that are repeated or withdrawn meanwhile, a reload.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/unit/core/rig.h"

#define FRONT      7 /* peers */
#define BOX        20
#define CONNECTOR  1
#define VERDICT(x) HOPYARD__V1__VERDICT__CODE__##x

static const char boxes[] =
    "boxes = ( { name = \"front\"; type = \"http\"; },"
    " { name = \"l1\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\";},"
    " { name = \"l2\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\";"
    "   schedule = \"smsc\"; },"
    " { name = \"hook\"; type = \"hook\"; },"
    " { name = \"box\"; type = \"y\"; exec = \"/x\"; role = \"filter\"; },"
    " { name = \"other\"; type = \"y\"; exec = \"/x\"; role = \"filter\"; },"
    " { name = \"store\"; type = \"store\"; dsn = \"x\"; } );"
    "accounts = ( { id = \"a\"; to = \"49*\"; },"
    " { id = \"t\"; tps = 1; }, { id = \"o\"; class = \"otp\"; } );"
    "inbound = ( { name = \"in\"; to = \"777\"; account = \"a\";"
    " url = \"http://localhost/\"; } );"
    "routes = ( { name = \"tagged\"; tag = \"op2\"; via = \"l2\"; },"
    " { name = \"any\"; to = \"4\"; via = \"l1\"; } );";

static struct {
	uint64_t ref;
	char filter[64];
	bool probe, body;
	uint32_t peer;
	char to[32];
} question[256];
static size_t questions;

static struct {
	uint32_t peer;
	uint64_t number;
	Hopyard__V1__Ack__Code code;
	char text[128];
} told[256];
static size_t told_count;

static struct {
	char target[64], to[32];
} got[256];
static size_t got_count;
static unsigned turns; /* of the breaker */
static unsigned answers;

static void
on_settle(void *arg, uint32_t peer, uint64_t n, Hopyard__V1__Ack__Code code,
    const char *text)
{
	(void)arg;
	told[told_count].peer = peer;
	told[told_count].number = n;
	told[told_count].code = code;
	snprintf(told[told_count].text, sizeof(told->text), "%s",
	    text != NULL ? text : "");
	told_count++;
}

static void
text_of(char dst[32], ProtobufCBinaryData b)
{
	snprintf(dst, 32, "%.*s", (int)b.len, (const char *)b.data);
}

static void
on_deliver(void *arg, struct target *t, const struct item *it)
{
	Hopyard__V1__Envelope *env = hopyard__v1__envelope__unpack(
	    NULL, it->envelope.len, it->envelope.p);

	(void)arg;
	assert_non_null(env);
	snprintf(got[got_count].target, sizeof(got->target), "%s", t->name);
	text_of(got[got_count].to, env->to);
	got_count++;
	hopyard__v1__envelope__free_unpacked(env, NULL);
}

static void
on_ask(void *arg, uint32_t peer, const struct item *it)
{
	Hopyard__V1__Ask *ask =
	    hopyard__v1__ask__unpack(NULL, it->context.len, it->context.p);
	Hopyard__V1__Envelope *env = hopyard__v1__envelope__unpack(
	    NULL, it->envelope.len, it->envelope.p);

	(void)arg;
	assert_non_null(ask);
	assert_non_null(env);
	assert_int_equal(it->report.len, 0);
	question[questions].ref = ask->ref;
	question[questions].probe = ask->probe;
	question[questions].peer = peer;
	question[questions].body = it->body.len > 0;
	snprintf(question[questions].filter, 64, "%.*s", (int)ask->filter.len,
	    (const char *)ask->filter.data);
	text_of(question[questions].to, env->to);
	questions++;
	hopyard__v1__ask__free_unpacked(ask, NULL);
	hopyard__v1__envelope__free_unpacked(env, NULL);
}

static void
on_filter_state(void *arg, const struct filter *f, const char *why)
{
	(void)arg;
	assert_non_null(f);
	assert_non_null(why);
	turns++;
}

static void
on_answer(void *arg, uint64_t token, unsigned code, const char *text)
{
	(void)arg;
	(void)token;
	(void)code;
	(void)text;
	answers++;
}

static const struct engine_ops ops = {
	.settle = on_settle,
	.deliver = on_deliver,
	.page = on_page,
	.answer = on_answer,
	.note = on_note,
	.ask = on_ask,
	.filter_state = on_filter_state,
};

static char conf_text[8192];

static const char *
with(const char *filters)
{
	snprintf(conf_text, sizeof(conf_text), "%s filters = ( %s );", boxes,
	    filters);
	return conf_text;
}

static void
begin(const char *filters)
{
	questions = told_count = got_count = 0;
	turns = answers = 0;
	rig_init(with(filters));
	engine_start(&ops);
	store_open();
}

static int
teardown(void **state)
{
	(void)state;
	rig_fini();
	return 0;
}

static void
link_up(const char *name)
{
	Hopyard__V1__LinkState s = HOPYARD__V1__LINK_STATE__INIT;
	struct target *t = target(name);

	engine_hello(e, t, CONNECTOR, instance(CONNECTOR), true);
	s.state = HOPYARD__V1__LINK_STATE__LINK__UP;
	if (t->role == TARGET_CONNECTOR)
		engine_link_state(e, t, &s);
	engine_credit(e, t, 1000, 1 << 30);
	engine_dispatch(e);
}

static void
filter_up(const char *name, uint8_t inst, uint64_t credit)
{
	engine_filter_hello(e, name, inst, instance(inst));
	engine_filter_credit(e, name, credit, 1 << 20);
}

static uint8_t last_id[16];

static void
again(uint32_t peer, const char *account, const char *to)
{
	struct item it = model_mt(&buf,
	    &(struct model_mt){
		.id = last_id, .account = account, .to = to, .mask = 0 });

	engine_submit(e, peer, ++number, "front", 3600000, &it);
}

static void
submit(const char *account, const char *to)
{
	model_id(last_id, WALL + now, ++serial);
	again(FRONT, account, to);
}

/* To the last question. */
static Hopyard__V1__Verdict
verdict(Hopyard__V1__Verdict__Code code)
{
	Hopyard__V1__Verdict v = HOPYARD__V1__VERDICT__INIT;

	assert_true(questions > 0);
	v.ref = question[questions - 1].ref;
	v.code = code;
	return v;
}

static void
say(const Hopyard__V1__Verdict *v)
{
	engine_verdict(e, "box", v);
}

static void
say_code(Hopyard__V1__Verdict__Code code)
{
	Hopyard__V1__Verdict v = verdict(code);

	say(&v);
}

static ProtobufCBinaryData
data(const char *s)
{
	return (ProtobufCBinaryData){ strlen(s), (uint8_t *)(uintptr_t)s };
}

static Hopyard__V1__Ack__Code
last_code(void)
{
	assert_true(told_count > 0);
	return told[told_count - 1].code;
}

static const struct filter_counters *
count(void)
{
	return &e->filters->filter[0]->count;
}

/* ------------------------------------------------------------- verdicts */

static void
passed(void **state)
{
	(void)state;
	begin("{ name = \"f\"; box = \"box\"; }");
	link_up("l1");
	filter_up("box", BOX, 10);
	submit("a", "491");
	assert_int_equal(questions, 1);
	assert_string_equal(question[0].filter, "f");
	assert_int_equal(question[0].peer, BOX);
	assert_true(question[0].body);
	/* Nothing of it is on record. */
	commit();
	assert_int_equal(told_count, 0);
	assert_null(db_find(&db, last_id));
	say_code(VERDICT(PASS));
	assert_int_equal(told_count, 0);
	commit();
	assert_int_equal(told_count, 1);
	assert_int_equal(last_code(), ACK(ACK_OK));
	engine_dispatch(e);
	assert_int_equal(got_count, 1);
	assert_string_equal(got[0].target, "l1");
	assert_int_equal(count()->passed, 1);
	assert_int_equal(e->filters->by_id.count, 0);
	assert_int_equal(e->filters->bytes, 0);
}

static void
tagged(void **state)
{
	ProtobufCBinaryData tag[2] = { data("op2"), data("op2") };
	Hopyard__V1__Verdict v;
	uint8_t id[16];

	(void)state;
	begin("{ name = \"f\"; box = \"box\"; content = false; }");
	link_up("l1");
	filter_up("box", BOX, 10);
	submit("a", "491");
	assert_false(question[0].body);
	memcpy(id, last_id, 16);
	v = verdict(VERDICT(PASS));
	v.tag = tag;
	v.n_tag = 2;
	v.has_to = true;
	v.to = data("39123"); /* not one that the account may send to */
	say(&v);
	commit();
	/* Its link is away: it waits there, and has the new number. */
	assert_int_equal(last_code(), ACK(LATER));
	/* And so it does after a restart. */
	engine_free(e);
	engine_start(&ops);
	store_open();
	link_up("l2");
	pages();
	engine_dispatch(e);
	assert_int_equal(got_count, 1);
	assert_string_equal(got[0].target, "l2");
	assert_string_equal(got[0].to, "39123");
	assert_non_null(db_find(&db, id));
}

static void
rejected(void **state)
{
	Hopyard__V1__Verdict v;

	(void)state;
	begin("{ name = \"f\"; box = \"box\"; }");
	filter_up("box", BOX, 10);
	submit("a", "491");
	v = verdict(VERDICT(REJECT));
	v.has_reason = true;
	v.reason = data("on the list");
	say(&v);
	assert_int_equal(last_code(), ACK(REFUSED));
	assert_string_equal(told[0].text, "on the list");
	submit("a", "491");
	v = verdict(VERDICT(REJECT));
	v.has_as = true;
	v.as = ACK(DENIED_DESTINATION);
	say(&v);
	assert_int_equal(last_code(), ACK(DENIED_DESTINATION));
	/* Nobody is to take a refusal for a success. */
	submit("a", "491");
	v = verdict(VERDICT(REJECT));
	v.has_as = true;
	v.as = ACK(ACK_OK);
	say(&v);
	assert_int_equal(last_code(), ACK(REFUSED));
	submit("a", "491");
	say_code(VERDICT(LATER));
	assert_int_equal(last_code(), ACK(UNAVAILABLE));
	assert_int_equal(count()->rejected, 3);
	assert_int_equal(count()->later, 1);
	commit();
	assert_int_equal(db.durable, e->ledger.horizon);
	assert_null(db_find(&db, last_id));
	assert_int_equal(e->filters->by_id.count, 0);
}

/* Not even a link that could keep it gets it before. */
static void
held(void **state)
{
	ProtobufCBinaryData tag = data("op2");
	Hopyard__V1__Verdict v;

	(void)state;
	begin("{ name = \"f\"; box = \"box\"; }");
	link_up("l2");
	filter_up("box", BOX, 10);
	submit("a", "491");
	v = verdict(VERDICT(HOLD));
	v.tag = &tag;
	v.n_tag = 1;
	say(&v); /* for how long? */
	assert_int_equal(count()->invalid, 1);
	submit("a", "491");
	v = verdict(VERDICT(HOLD));
	v.tag = &tag;
	v.n_tag = 1;
	v.has_hold_ms = true;
	v.hold_ms = 30000;
	say(&v);
	commit();
	engine_dispatch(e);
	assert_int_equal(got_count, 0);
	/* Loaded again, it waits on. */
	engine_free(e);
	engine_start(&ops);
	store_open();
	link_up("l2");
	pages();
	engine_dispatch(e);
	assert_int_equal(got_count, 0);
	pass(31000);
	commit();
	engine_dispatch(e);
	assert_int_equal(got_count, 1);
	assert_string_equal(got[0].target, "l2");
}

static void
in_turn(void **state)
{
	Hopyard__V1__Verdict v;

	(void)state;
	begin("{ name = \"f\"; box = \"box\"; },"
	      " { name = \"moved\"; box = \"box\"; to = \"4930*\"; },"
	      " { name = \"otp\"; box = \"box\"; class = \"otp\"; },"
	      " { name = \"mo\"; box = \"box\"; direction = \"mo\"; }");
	filter_up("box", BOX, 10);
	submit("o", "4931");
	v = verdict(VERDICT(PASS));
	v.has_to = true;
	v.to = data("4930");
	say(&v);
	/* The next sees what the first has made of it. */
	assert_int_equal(questions, 2);
	assert_string_equal(question[1].filter, "moved");
	assert_string_equal(question[1].to, "4930");
	say_code(VERDICT(PASS));
	assert_int_equal(questions, 3);
	assert_string_equal(question[2].filter, "otp");
	say_code(VERDICT(PASS));
	commit();
	assert_int_equal(questions, 3);
	assert_int_equal(told_count, 1);
	/* One that no rule matches. */
	submit("a", "491");
	say_code(VERDICT(PASS));
	commit();
	assert_int_equal(questions, 4);
	assert_int_equal(told_count, 2);
}

/* Before anybody is asked it is seen whether it may be sent at all. */
static void
not_for_nothing(void **state)
{
	(void)state;
	begin("{ name = \"f\"; box = \"box\"; }");
	filter_up("box", BOX, 10);
	submit("a", "39");
	assert_int_equal(last_code(), ACK(DENIED_DESTINATION));
	submit("nobody", "49");
	assert_int_equal(last_code(), ACK(DENIED));
	submit("t", "491");
	say_code(VERDICT(PASS));
	submit("t", "491");
	assert_int_equal(last_code(), ACK(THROTTLED));
	assert_int_equal(questions, 1);
	commit();
	assert_int_equal(last_code(), ACK(ACK_OK) + ACK(LATER));
	/* The store does not keep up: only so much waits for it. */
	engine_filter_credit(e, "box", 1000, 1 << 20);
	e->pressure.on = true;
	for (size_t before = 0; before != questions && questions < 200;) {
		before = questions;
		submit("a", "491");
		if (questions > before)
			say_code(VERDICT(PASS));
	}
	assert_in_range(questions, 20, 199);
	assert_int_equal(last_code(), ACK(UNAVAILABLE));
}

static void
invalid(void **state)
{
	static const char *const bad_tag[] = { "", "two words",
		"123456789012345678901234567890123", "a\n" };
	ProtobufCBinaryData tag[10];
	Hopyard__V1__Verdict v;

	(void)state;
	begin("{ name = \"f\"; box = \"box\"; default = \"reject\";"
	      " failures = 100; }");
	filter_up("box", BOX, 100);
	for (int i = 0; i < 12; i++) {
		submit("a", "491");
		v = verdict(VERDICT(PASS));
		for (size_t k = 0; k < 10; k++)
			tag[k] = data("x");
		v.tag = tag;
		switch (i) {
		case 0:
			v.code = (Hopyard__V1__Verdict__Code)77;
			break;
		case 1:
			v.has_to = true;
			v.to = data("");
			break;
		case 2:
			v.has_from = true;
			v.from = data("1234567890123456789012");
			break;
		case 3:
			v.has_parts = true;
			v.parts = 256;
			break;
		case 4:
			v.has_class_ = true;
			v.class_ = (Hopyard__V1__Class)5;
			break;
		case 5:
			v.has_keyword = true;
			v.keyword = data("MO");
			break;
		case 6:
			v.n_tag = 9;
			break;
		case 7:
			v.has_reason = true;
			v.reason = data("\x1b[2J");
			break;
		default:
			v.n_tag = 1;
			tag[0] = data(bad_tag[i - 8]);
			break;
		}
		say(&v);
		assert_int_equal(count()->invalid, i + 1);
		assert_int_equal(last_code(), ACK(REFUSED));
	}
	/* A body that would make it too long for a frame. */
	submit("a", "491");
	v = verdict(VERDICT(PASS));
	v.has_body = true;
	v.body.len = ENGINE_ITEM_MAX;
	v.body.data = calloc(1, ENGINE_ITEM_MAX);
	say(&v);
	free(v.body.data);
	assert_int_equal(last_code(), ACK(REFUSED));
	assert_int_equal(count()->invalid, 13);
	/* About nothing, twice, and of another box. */
	submit("a", "491");
	v = verdict(VERDICT(PASS));
	engine_verdict(e, "other", &v);
	v.ref += 1000;
	say(&v);
	say_code(VERDICT(PASS));
	say_code(VERDICT(PASS));
	assert_int_equal(e->filters->strays, 3);
	commit();
	assert_int_equal(last_code(), ACK(LATER));
}

/* --------------------------------------------------------- no verdict */

static void
defaults(void **state)
{
	static const struct {
		const char *name;
		Hopyard__V1__Ack__Code code;
	} cases[] = { { "pass", ACK(LATER) }, { "reject", ACK(REFUSED) },
		{ "later", ACK(UNAVAILABLE) } };
	char text[128];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		snprintf(text, sizeof(text),
		    "{ name = \"f\"; box = \"box\"; default = \"%s\"; }",
		    cases[i].name);
		if (i > 0)
			rig_fini();
		begin(text);
		/* Away. */
		submit("a", "491");
		commit();
		assert_int_equal(last_code(), cases[i].code);
		assert_int_equal(count()->skipped, 1);
		/* Too late. */
		filter_up("box", BOX, 10);
		submit("a", "491");
		assert_int_equal(told_count, 1);
		assert_true(filters_due(e->filters) == now + 100);
		tick(99);
		commit();
		assert_int_equal(told_count, 1);
		tick(1);
		commit();
		assert_int_equal(told_count, 2);
		assert_int_equal(last_code(), cases[i].code);
		assert_int_equal(count()->late, 1);
		say_code(VERDICT(REJECT));
		assert_int_equal(e->filters->strays, 1);
		/* Its connection ends. */
		submit("a", "491");
		engine_filter_gone(e, "box", BOX + 1);
		assert_int_equal(told_count, 2);
		engine_filter_gone(e, "box", BOX);
		commit();
		assert_int_equal(told_count, 3);
		assert_int_equal(last_code(), cases[i].code);
		assert_int_equal(count()->lost, 1);
		assert_int_equal(e->filters->by_id.count, 0);
	}
}

static void
breaker(void **state)
{
	Hopyard__V1__Verdict v;

	(void)state;
	begin("{ name = \"f\"; box = \"box\"; failures = 3; }");
	filter_up("box", BOX, 100);
	for (int i = 0; i < 2; i++) {
		submit("a", "491");
		tick(100);
	}
	/* A verdict in between starts the count anew. */
	submit("a", "491");
	say_code(VERDICT(PASS));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(turns, 0);
		submit("a", "491");
		tick(100);
	}
	assert_int_equal(turns, 1);
	assert_int_equal(questions, 6);
	/* Nobody waits any more. */
	submit("a", "491");
	assert_int_equal(questions, 6);
	assert_int_equal(count()->skipped, 1);
	assert_int_equal(e->filters->by_id.count, 0);
	/* A probe, and its answer comes late: nothing has changed. */
	tick(1000);
	submit("a", "491");
	assert_int_equal(questions, 7);
	assert_true(question[6].probe);
	assert_int_equal(e->filters->by_id.count, 0);
	submit("a", "491");
	assert_int_equal(questions, 7);
	tick(101);
	say_code(VERDICT(PASS));
	assert_int_equal(turns, 1);
	/* Nor by one that answers, and lies. */
	tick(1000);
	submit("a", "491");
	assert_int_equal(questions, 8);
	say_code((Hopyard__V1__Verdict__Code)77);
	submit("a", "491");
	v = verdict(VERDICT(HOLD));
	say(&v);
	assert_int_equal(turns, 1);
	tick(1000);
	submit("a", "491");
	assert_int_equal(questions, 9);
	/* What it says of that one is not carried out. */
	tick(50);
	say_code(VERDICT(REJECT));
	assert_int_equal(turns, 2);
	submit("a", "491");
	assert_int_equal(questions, 10);
	assert_false(question[9].probe);
	say_code(VERDICT(REJECT));
	assert_int_equal(last_code(), ACK(REFUSED));
	/* One that has come back is asked at once whether it answers. */
	for (int i = 0; i < 3; i++) {
		submit("a", "491");
		tick(100);
	}
	assert_int_equal(turns, 3);
	engine_filter_gone(e, "box", BOX);
	filter_up("box", BOX + 1, 10);
	submit("a", "491");
	assert_true(question[questions - 1].probe);
	say_code(VERDICT(PASS));
	assert_int_equal(turns, 4);
}

/* A copy of a program ends with five questions in hand, the others work. */
static void
given_up_at_once(void **state)
{
	(void)state;
	begin("{ name = \"f\"; box = \"box\"; failures = 3; }");
	filter_up("box", BOX, 100);
	for (int i = 0; i < 5; i++) {
		submit("a", "491");
		say_code(VERDICT(CODE_NONE));
	}
	assert_int_equal(count()->invalid, 5);
	assert_int_equal(turns, 0);
	/* One failure; the third is one too many. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(turns, 0);
		tick(1);
		submit("a", "491");
		say_code(VERDICT(CODE_NONE));
	}
	assert_int_equal(turns, 1);
}

static void
credit(void **state)
{
	uint64_t first;

	(void)state;
	begin("{ name = \"f\"; box = \"box\"; default = \"reject\"; }");
	filter_up("box", BOX, 2);
	for (int i = 0; i < 5; i++)
		submit("a", "491");
	assert_int_equal(questions, 2);
	assert_int_equal(e->filters->filter[0]->in_hand, 5);
	engine_filter_credit(e, "box", 3, 1 << 20);
	assert_int_equal(questions, 3);
	/* Less than before is no credit, and takes none. */
	engine_filter_credit(e, "box", 1, 10);
	assert_int_equal(questions, 3);
	/* Those that it never saw count, too. */
	first = question[0].ref;
	tick(100);
	assert_int_equal(told_count, 5);
	assert_int_equal(e->filters->filter[0]->in_hand, 0);
	assert_int_equal(turns, 1);
	engine_filter_credit(e, "box", 100, 1 << 20);
	assert_int_equal(questions, 3);
	assert_true(first != 0);
	engine_filter_gone(e, "box", BOX);
}

/* ------------------------------------------------------------- the cache */

static void
kept(void **state)
{
	Hopyard__V1__Verdict v;

	(void)state;
	begin("{ name = \"f\"; box = \"box\"; cache = 2; }");
	filter_up("box", BOX, 100);
	submit("a", "491");
	v = verdict(VERDICT(REJECT));
	v.has_key = v.has_ttl_ms = true;
	v.key = HOPYARD__V1__VERDICT__KEY__NUMBER;
	v.ttl_ms = 1000;
	say(&v);
	submit("o", "491");
	assert_int_equal(questions, 1);
	assert_int_equal(last_code(), ACK(REFUSED));
	assert_int_equal(count()->cached, 1);
	submit("o", "492");
	assert_int_equal(questions, 2);
	v.ref = question[1].ref;
	v.key = HOPYARD__V1__VERDICT__KEY__ACCOUNT_NUMBER;
	v.code = VERDICT(PASS);
	v.has_to = true;
	v.to = data("493");
	say(&v);
	submit("o", "492");
	assert_int_equal(questions, 2);
	assert_int_equal(count()->cached, 2);
	assert_int_equal(count()->changed, 2);
	submit("a", "492");
	assert_int_equal(questions, 3);
	/* The oldest makes room. */
	v.ref = question[2].ref;
	v.has_to = false;
	say(&v);
	assert_int_equal(e->filters->filter[0]->answers.by_key.count, 2);
	submit("a", "491");
	assert_int_equal(questions, 4);
	say_code(VERDICT(PASS));
	/* Its time is over. */
	submit("a", "492");
	assert_int_equal(questions, 4);
	tick(1000);
	submit("a", "492");
	assert_int_equal(questions, 5);
	say_code(VERDICT(PASS));
	/* A body is kept by nobody, nor a verdict of no key. */
	for (int i = 0; i < 3; i++) {
		submit("a", "495");
		v.ref = question[questions - 1].ref;
		v.has_body = i == 0;
		v.body = data("x");
		v.key = i == 1 ? (Hopyard__V1__Verdict__Key)9
			       : HOPYARD__V1__VERDICT__KEY__NUMBER;
		v.ttl_ms = i == 2 ? 0 : 1000;
		say(&v);
		assert_int_equal(questions, 6 + i);
	}
	/* Another process may know better; the same one has not forgotten. */
	submit("a", "496");
	v.ref = question[questions - 1].ref;
	v.ttl_ms = 100000;
	say(&v);
	engine_filter_gone(e, "box", BOX);
	filter_up("box", BOX, 100);
	submit("a", "496");
	assert_int_equal(questions, 9);
	engine_filter_gone(e, "box", BOX);
	submit("a", "496");
	filter_up("box", BOX + 1, 100);
	submit("a", "496");
	assert_int_equal(questions, 10);
}

/* -------------------------------------------------------------- meanwhile */

static void
handed_again(void **state)
{
	uint64_t first;

	(void)state;
	begin("{ name = \"f\"; box = \"box\"; }");
	filter_up("box", BOX, 100);
	submit("a", "491");
	first = number;
	again(FRONT + 1, "a", "491");
	assert_int_equal(questions, 1);
	say_code(VERDICT(PASS));
	assert_int_equal(told_count, 0);
	commit();
	assert_int_equal(told_count, 2);
	assert_int_equal(told[0].peer, FRONT + 1);
	assert_int_equal(told[1].number, first);
	assert_int_equal(told[1].code, ACK(ACK_OK));
	/* Stored and repeated: nobody is asked. */
	again(FRONT, "a", "491");
	assert_int_equal(questions, 1);
	submit("a", "491");
	again(FRONT + 1, "a", "491");
	say_code(VERDICT(REJECT));
	assert_int_equal(told_count, 5);
	assert_int_equal(told[3].code, ACK(REFUSED));
	assert_int_equal(told[4].code, ACK(REFUSED));
}

/* The bus has given the cell up: nobody is told what no filter has said. */
static void
forgotten(void **state)
{
	(void)state;
	begin("{ name = \"f\"; box = \"box\"; default = \"reject\"; }");
	filter_up("box", BOX, 1);
	submit("a", "491");
	submit("a", "492");
	filters_forget(e);
	assert_int_equal(e->filters->by_id.count, 0);
	assert_int_equal(e->filters->bytes, 0);
	tick(100);
	say_code(VERDICT(REJECT));
	assert_int_equal(e->filters->strays, 1);
	engine_filter_gone(e, "box", BOX);
	assert_int_equal(told_count, 0);
	/* It has it again after all. */
	filter_up("box", BOX, 10);
	again(FRONT + 1, "a", "492");
	say_code(VERDICT(PASS));
	commit();
	assert_int_equal(told_count, 1);
	assert_int_equal(last_code(), ACK(LATER));
}

static void
withdrawn(void **state)
{
	(void)state;
	begin("{ name = \"f\"; box = \"box\"; }");
	filter_up("box", BOX, 100);
	submit("a", "491");
	engine_withdraw(e, last_id, 1);
	assert_int_equal(last_code(), ACK(UNAVAILABLE));
	pages();
	assert_int_equal(answers, 1);
	say_code(VERDICT(PASS));
	commit();
	assert_null(db_find(&db, last_id));
	assert_int_equal(e->filters->strays, 1);
}

static void
reloaded(void **state)
{
	(void)state;
	begin("{ name = \"f\"; box = \"box\"; },"
	      "{ name = \"g\"; box = \"other\"; }");
	filter_up("box", BOX, 100);
	filter_up("other", BOX + 1, 100);
	submit("a", "491");
	/* Its settings are others, its place as well. */
	engine_reload(with("{ name = \"g\"; box = \"other\"; },"
			   "{ name = \"f\"; box = \"box\"; cache = 0; }"));
	say_code(VERDICT(PASS));
	commit();
	assert_int_equal(told_count, 1);
	/* Another box, which is asked instead. */
	submit("a", "491");
	assert_string_equal(question[1].filter, "g");
	engine_reload(with("{ name = \"g\"; box = \"box\"; }"));
	assert_int_equal(questions, 3);
	assert_int_equal(question[2].peer, BOX);
	/* And no rule at all. */
	engine_reload(boxes);
	assert_false(e->filtering);
	commit();
	assert_int_equal(told_count, 2);
	assert_int_equal(e->filters->by_id.count, 0);
	submit("a", "491");
	commit();
	assert_int_equal(told_count, 3);
	/* The box has been there all the time. */
	engine_reload(with("{ name = \"g\"; box = \"box\"; }"));
	submit("a", "491");
	assert_int_equal(questions, 4);
	/* At the end one waits. */
}

static void
from_handsets(void **state)
{
	Hopyard__V1__Verdict v;
	struct item it;
	uint8_t id[16];

	(void)state;
	begin("{ name = \"f\"; box = \"box\"; direction = \"mo\"; }");
	link_up("l1");
	link_up("hook");
	filter_up("box", BOX, 100);
	submit("a", "491");
	assert_int_equal(questions, 0);
	for (int i = 0; i < 4; i++) {
		model_id(id, WALL + now, ++serial);
		it = model_mo(&buf, id, "555", "4917");
		engine_inbound(e, target("l1"), CONNECTOR, ++number, &it);
		assert_int_equal(questions, i + 1);
		v = verdict(i == 2 ? VERDICT(REJECT) : VERDICT(PASS));
		if (i == 1) {
			v.has_to = true;
			v.to = data("777");
		} else if (i == 3) {
			v.has_class_ = true;
			v.class_ = HOPYARD__V1__CLASS__OTP;
		}
		say(&v);
		commit();
		engine_dispatch(e);
		assert_int_equal(
		    last_code(), i == 2 ? ACK(REFUSED) : ACK(ACK_OK));
		/* Only the changed one has a rule that takes it. */
		assert_int_equal(got_count, 1 + (i >= 1));
	}
	assert_int_equal(count()->invalid, 1);
	/* Receipts are nobody's business. */
	model_id(id, WALL + now, ++serial);
	it = model_receipt(&buf, id, "x", 1, HOPYARD__V1__STATE__DELIVERED);
	engine_inbound(e, target("l1"), CONNECTOR, ++number, &it);
	assert_int_equal(questions, 4);
}

int
main(void)
{
#define T(f) cmocka_unit_test_teardown(f, teardown)
	const struct CMUnitTest tests[] = { T(passed), T(tagged), T(rejected),
		T(held), T(in_turn), T(not_for_nothing), T(invalid),
		T(defaults), T(breaker), T(given_up_at_once), T(credit),
		T(kept), T(handed_again), T(forgotten), T(withdrawn),
		T(reloaded), T(from_handsets) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
