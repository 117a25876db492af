/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rig.c - an engine between the tables of model.h and boxes that are played by
 * the test.
 */
#include "test/unit/core/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/conf.h"

#define ASKED_MAX 16384

struct engine *e;
struct db db;
struct buf buf;
uint64_t now, serial, number, epoch;
int64_t stepped;
struct asked asked[ASKED_MAX];
size_t asked_count;

static struct conf *conf;
static uint64_t version; /* of it */

void
rig_init(const char *conf_text)
{
	now = 1000;
	serial = number = epoch = version = 0;
	stepped = 0;
	asked_count = 0;
	buf_init(&buf);
	db_init(&db);
	conf = model_conf(conf_text);
}

void
rig_fini(void)
{
	engine_free(e);
	db_fini(&db);
	buf_fini(&buf);
	conf_free(conf);
}

void
engine_start(const struct engine_ops *ops)
{
	epoch++;
	e = engine_new(ops, NULL, 42);
	e->notes = true;
	engine_time(e, now, WALL + now + (uint64_t)stepped);
	engine_configure(e, conf, ++version);
	asked_count = 0;
}

void
engine_reload(const char *conf_text)
{
	struct conf *old = conf;

	conf = model_conf(conf_text);
	engine_configure(e, conf, ++version);
	conf_free(old);
}

static void
opened_cb(void *arg, const Hopyard__V1__Opened *o)
{
	(void)arg;
	assert_true(engine_opened(e, o));
}

void
store_open(void)
{
	db_opened(&db, epoch, opened_cb, NULL);
	engine_dispatch(e);
}

/* --------------------------------------------------------------- effects */

void
on_page(void *arg, uint64_t correlation, const Hopyard__V1__Page *page)
{
	struct asked *a = &asked[asked_count];

	(void)arg;
	assert_true(asked_count < ASKED_MAX);
	asked_count++;
	a->correlation = correlation;
	a->page = *page;
	if (page->has_id)
		memcpy(a->id, page->id.data, 16);
}

void
on_note(void *arg, const struct engine_note *n)
{
	(void)arg;
	assert_non_null(n->event);
}

const Hopyard__V1__Dispatch *
dispatch_of(const struct item *it, const struct db_row **row)
{
	static uint8_t memory[4096];
	const Hopyard__V1__Dispatch *x;
	struct arena arena;

	arena_init(&arena, memory, sizeof(memory));
	x = frame_unpack(&arena, &hopyard__v1__dispatch__descriptor,
	    it->context.p, it->context.len);
	assert_non_null(x);
	*row = db_row(&db, x->ref);
	assert_non_null(*row);
	return x;
}

/* ------------------------------------------------------------------ time */

void
tick(uint64_t ms)
{
	now += ms;
	engine_time(e, now, WALL + now + (uint64_t)stepped);
	engine_tick(e);
	engine_dispatch(e);
}

void
pass(uint64_t ms)
{
	while (ms > 0) {
		uint64_t step = ms < 250 ? ms : 250;

		tick(step);
		ms -= step;
	}
}

/* ------------------------------------------------------------- the store */

static void
notice_cb(void *arg, const uint8_t *payload, size_t len)
{
	struct items its;

	(void)arg;
	assert_true(items_open(&its, payload, len));
	engine_notice(e, &its);
}

void
commit_quietly(struct db_news *news, uint64_t upto)
{
	static uint8_t frame[FRAME_MAX_PAYLOAD];
	struct chunk *c;
	struct items its;
	struct item it;

	while ((c = ledger_unsent(&e->ledger)) != NULL) {
		size_t n = items_put_head(frame, c->first, 1, false, 0, 0);

		memcpy(frame + n, c->data, c->len);
		assert_true(items_open(&its, frame, n + c->len));
		while (items_next(&its, &it)) {
			if (its.number > upto)
				continue;
			if (its.number <= db.durable)
				db_again(&db, its.number, &it, news);
			else
				db_commit(&db, its.number, &it, news);
		}
		c->sent = true;
	}
	assert_string_equal(db.fault, "");
}

void
tell(struct db_news *news, uint64_t seq)
{
	Hopyard__V1__Horizon h = HOPYARD__V1__HORIZON__INIT;

	db_notices(&db, &news->notice, notice_cb, NULL);
	h.seq = seq;
	h.duplicate = news->duplicate.v;
	h.n_duplicate = news->duplicate.count;
	assert_true(engine_horizon(e, &h));
	db_news_fini(news);
}

void
commit_to(uint64_t upto)
{
	struct db_news news = { 0 };

	commit_quietly(&news, upto);
	tell(&news, db.durable);
	engine_dispatch(e);
}

void
commit(void)
{
	commit_to(UINT64_MAX);
}

static void
paged_cb(void *arg, const uint8_t *payload, size_t len)
{
	const uint64_t *correlation = arg;
	struct items its;

	assert_true(items_open(&its, payload, len));
	engine_paged(e, *correlation, &its);
}

void
answer_page(const struct asked *a)
{
	Hopyard__V1__Page page = a->page;
	uint64_t correlation = a->correlation;

	page.id.data = (uint8_t *)(uintptr_t)a->id;
	db_page(&db, &page, paged_cb, &correlation);
	engine_dispatch(e);
}

void
pages(void)
{
	for (size_t i = 0; i < asked_count; i++)
		answer_page(&asked[i]);
	asked_count = 0;
}

/* ------------------------------------------------------------- the boxes */

struct target *
target(const char *name)
{
	struct target *t = engine_target(e, name);

	assert_non_null(t);
	return t;
}

const uint8_t *
instance(uint8_t n)
{
	static uint8_t id[16];

	memset(id, n, sizeof(id));
	return id;
}

void
result_of(const char *box, uint64_t ref, Hopyard__V1__Result__Code code)
{
	struct item it = model_result(
	    &buf, &(struct model_result){ .ref = ref, .code = code });

	engine_result(e, target(box), target(box)->peer, ++number, &it);
	engine_dispatch(e);
}
