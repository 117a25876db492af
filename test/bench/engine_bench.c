/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine_bench.c - what a message costs in the bus's engine alone: submit,
 * horizon, deliver, result, horizon, and the DLR to a hook; no sockets, no
 * store.  For a profiler rather than for figures of its own:
 *
 *	engine_bench [messages] [batch] [customers]
 *	valgrind --tool=callgrind --toggle-collect=run engine_bench 100000
 *
 * With a number of customers, 0 too, the DLR goes to a customer who is bound at
 * an SMPP server, beside so many who are not and have a backlog.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/conf.h"
#include "common/xalloc.h"
#include "core/engine.h"

#define WALL 1800000000000ull

static const char conf_text[] =
    "bus = { ready_items = 100000; };"
    "boxes = ( { name = \"front\"; type = \"http\"; },"
    " { name = \"l1\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\";},"
    " { name = \"hook\"; type = \"hook\"; },"
    " { name = \"gate\"; type = \"smpps\"; listen = \"127.0.0.1:0\"; },"
    " { name = \"store\"; type = \"store\"; dsn = \"x\"; } );"
    "accounts = ( { id = \"demo\"; } );"
    "routes = ( { name = \"all\"; via = \"l1\"; } );";

static struct {
	uint64_t ref;
	uint8_t id[16];
} handed[65536];
static size_t handed_count;
static uint64_t reports[65536];
static size_t report_count;
static uint64_t settled;

static void
on_settle(void *arg, uint32_t peer, uint64_t number,
    Hopyard__V1__Ack__Code code, const char *text)
{
	(void)arg;
	(void)peer;
	(void)number;
	(void)text;
	settled += code == HOPYARD__V1__ACK__CODE__ACK_OK;
}

/* The first field of Dispatch. */
static uint64_t
ref_of(const struct item *it)
{
	uint64_t v = 0;

	for (size_t i = 1, shift = 0; i < it->context.len; i++, shift += 7) {
		v |= (uint64_t)(it->context.p[i] & 0x7f) << shift;
		if (it->context.p[i] < 0x80)
			break;
	}
	return v;
}

static void
on_deliver(void *arg, struct target *t, const struct item *it)
{
	(void)arg;
	if (t->role != TARGET_CONNECTOR) {
		reports[report_count++] = ref_of(it);
		return;
	}
	handed[handed_count].ref = ref_of(it);
	memcpy(handed[handed_count++].id, it->envelope.p + 2, 16);
}

static void
on_recall(void *arg, struct target *t, uint64_t ref)
{
	(void)arg;
	(void)t;
	(void)ref;
}

static void
on_page(void *arg, uint64_t correlation, const Hopyard__V1__Page *page)
{
	(void)arg;
	(void)correlation;
	(void)page;
}

static void
on_answer(void *arg, uint64_t token, unsigned code, const char *text)
{
	(void)arg;
	(void)token;
	(void)code;
	(void)text;
}

static void
on_note(void *arg, const struct engine_note *n)
{
	(void)arg;
	(void)n;
}

static const struct engine_ops ops = {
	.settle = on_settle,
	.deliver = on_deliver,
	.recall = on_recall,
	.page = on_page,
	.answer = on_answer,
	.note = on_note,
};

static struct conf *
load(void)
{
	char path[] = "/tmp/engine_bench.XXXXXX";
	int fd = mkstemp(path);
	struct conf *c;
	struct buf err;

	if (fd < 0 || write(fd, conf_text, strlen(conf_text)) < 0)
		exit(1);
	close(fd);
	buf_init(&err);
	c = conf_load(path, &err);
	unlink(path);
	if (c == NULL) {
		fprintf(stderr, "%s", buf_str(&err));
		exit(1);
	}
	buf_fini(&err);
	return c;
}

/* All of the ledger goes to the store and is durable. */
static void
commit(struct engine *e)
{
	Hopyard__V1__Horizon h = HOPYARD__V1__HORIZON__INIT;
	struct chunk *c;

	while ((c = ledger_unsent(&e->ledger)) != NULL)
		c->sent = true;
	h.seq = e->ledger.last_seq;
	if (!engine_horizon(e, &h))
		abort();
	engine_dispatch(e);
}

static void
make_id(uint8_t id[16], uint64_t wall, uint64_t n)
{
	for (int i = 0; i < 6; i++)
		id[i] = (uint8_t)(wall >> (40 - 8 * i));
	id[6] = 0x70;
	id[7] = 0;
	for (int i = 0; i < 8; i++)
		id[8 + i] = (uint8_t)((n * 0x9e3779b97f4a7c15u) >> 8 * i);
}

void run(struct engine *, uint64_t messages, uint64_t batch, bool esme);

/* Not static: the name is for the profiler. */
void
run(struct engine *e, uint64_t messages, uint64_t batch, bool esme)
{
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Result res = HOPYARD__V1__RESULT__INIT;
	Hopyard__V1__Result__Part part = HOPYARD__V1__RESULT__PART__INIT;
	Hopyard__V1__Result__Part *parts[] = { &part };
	uint8_t id[16], envelope[256], result[256], body[40] = "text";
	char account[] = "demo", to[] = "4915112345678", from[] = "HOP";
	char smsc_id[] = "0123456789";
	uint64_t number = 0;

	env.id = (ProtobufCBinaryData){ 16, id };
	env.kind = HOPYARD__V1__KIND__MT;
	env.has_account = env.has_to = env.has_from = true;
	env.account = (ProtobufCBinaryData){ 4, (uint8_t *)account };
	env.to = (ProtobufCBinaryData){ 13, (uint8_t *)to };
	env.from = (ProtobufCBinaryData){ 3, (uint8_t *)from };
	env.has_report_mask = true;
	env.report_mask = 31;
	env.has_esme = env.esme = esme;
	res.code = HOPYARD__V1__RESULT__CODE__OK;
	res.has_id = res.has_parts = true;
	res.parts = 1;
	part.part = 1;
	part.has_smsc_id = true;
	part.smsc_id = (ProtobufCBinaryData){ 10, (uint8_t *)smsc_id };
	res.part = parts;
	for (uint64_t done = 0; done < messages; done += batch) {
		struct item it = { .body = { body, sizeof(body) },
			.report = { body, sizeof(body) } };

		engine_time(e, done + 1000, WALL + done);
		for (uint64_t i = 0; i < batch; i++) {
			make_id(id, WALL + done, done + i);
			it.envelope.len =
			    hopyard__v1__envelope__pack(&env, envelope);
			it.envelope.p = envelope;
			engine_submit(e, 1, ++number, "front", 3600000, &it);
		}
		commit(e);
		res.n_part = 1;
		for (size_t i = 0; i < handed_count; i++) {
			res.ref = handed[i].ref;
			res.id = (ProtobufCBinaryData){ 16, handed[i].id };
			it = (struct item){ .envelope = { result,
						hopyard__v1__result__pack(
						    &res, result) } };
			engine_result(
			    e, engine_target(e, "l1"), 2, ++number, &it);
		}
		handed_count = 0;
		commit(e);
		res.n_part = 0;
		for (size_t i = 0; i < report_count; i++) {
			Hopyard__V1__Result ok = HOPYARD__V1__RESULT__INIT;

			ok.ref = reports[i];
			ok.code = HOPYARD__V1__RESULT__CODE__OK;
			it = (struct item){ .envelope = { result,
						hopyard__v1__result__pack(
						    &ok, result) } };
			engine_result(e,
			    engine_target(e, esme ? "gate" : "hook"), 3,
			    ++number, &it);
		}
		report_count = 0;
		commit(e);
	}
}

/* The account is bound at an SMPP server; so many others are not, and have a
 * backlog. */
static void
bind_customers(struct engine *e, uint64_t others)
{
	Hopyard__V1__Attach attach = HOPYARD__V1__ATTACH__INIT;
	Hopyard__V1__Attach__Seat seat = HOPYARD__V1__ATTACH__SEAT__INIT;
	Hopyard__V1__Attach__Seat *list[] = { &seat };
	char account[] = "demo", name[32];

	for (uint64_t i = 0; i < others; i++) {
		snprintf(
		    name, sizeof(name), "other%llu", (unsigned long long)i);
		engine_spill(e, engine_queue(e, e->customers, 2, name),
		    e->ledger.last_seq);
	}
	seat.account = (ProtobufCBinaryData){ 4, (uint8_t *)account };
	seat.binds = seat.receivers = 1;
	seat.items = 1ull << 60;
	attach.n_seat = 1;
	attach.seat = list;
	engine_attach(e, engine_target(e, "gate"), &attach);
}

int
main(int argc, char **argv)
{
	uint64_t messages = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	uint64_t batch = argc > 2 ? strtoull(argv[2], NULL, 10) : 200;
	bool esme = argc > 3;
	Hopyard__V1__Opened opened = HOPYARD__V1__OPENED__INIT;
	Hopyard__V1__LinkState up = HOPYARD__V1__LINK_STATE__INIT;
	struct conf *conf = load();
	struct engine *e = engine_new(&ops, NULL, 1);
	struct timespec a, b;
	uint8_t instance[16] = { 1 };
	double s;

	if (batch == 0 || batch > 200)
		batch = 200; /* what a hook's queue hands out at once */
	engine_time(e, 1000, WALL);
	engine_configure(e, conf, 1);
	opened.epoch = 1;
	if (!engine_opened(e, &opened))
		abort();
	up.state = HOPYARD__V1__LINK_STATE__LINK__UP;
	engine_hello(e, engine_target(e, "l1"), 2, instance, false);
	engine_link_state(e, engine_target(e, "l1"), &up);
	engine_credit(e, engine_target(e, "l1"), 1ull << 60, 1ull << 60);
	engine_hello(e, engine_target(e, "hook"), 3, instance, false);
	engine_credit(e, engine_target(e, "hook"), 1ull << 60, 1ull << 60);
	engine_hello(e, engine_target(e, "gate"), 4, instance, false);
	engine_credit(e, engine_target(e, "gate"), 1ull << 60, 1ull << 60);
	if (esme)
		bind_customers(e, strtoull(argv[3], NULL, 10));
	clock_gettime(CLOCK_MONOTONIC, &a);
	run(e, messages, batch, esme);
	clock_gettime(CLOCK_MONOTONIC, &b);
	s = (double)(b.tv_sec - a.tv_sec) +
	    (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	printf("%llu messages in %.3f s: %.0f ns each; submitted %llu, "
	       "notified %llu, settled %llu, left %zu\n",
	    (unsigned long long)messages, s, s * 1e9 / (double)messages,
	    (unsigned long long)e->count.submitted,
	    (unsigned long long)e->count.notified, (unsigned long long)settled,
	    e->by_seq.count);
	engine_free(e);
	conf_free(conf);
	return 0;
}
