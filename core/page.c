/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page.c - the engine and the store: where to go on after a start, pages of
 * deep queues and of the due table, look-ups by id, receipts that were
 * matched, messages whose time is over.
 *
 * Recovery is paging: every queue that had live items at the last checkpoint
 * starts out deep, with its cursor just below its low mark, and its pages
 * leave out what has a closing event.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/engine.h"

#define PAGE_ITEMS   1024
#define PAGE_BYTES   (1024 * 1024)
#define PAGE_TIMEOUT 30000
/* How far ahead of their time due items are loaded. */
#define DUE_AHEAD 5000

static uint8_t
class_index(Hopyard__V1__Class class)
{
	return class >= 1 && class <= 4 ? (uint8_t)(class - 1) : 2;
}

/* ---------------------------------------------------------------- opened */

static void
open_queue(struct engine *e, const Hopyard__V1__Queue *def, uint64_t last_seq)
{
	char target[256], account[256];
	struct queue *q;

	if (map_get_u64(&e->queue_by_number, def->queue) != NULL ||
	    def->target.len >= sizeof(target) ||
	    def->account.len >= sizeof(account))
		return;
	memcpy(target, def->target.data, def->target.len);
	target[def->target.len] = '\0';
	memcpy(account, def->account.data, def->account.len);
	account[def->account.len] = '\0';
	q = engine_queue_known(
	    e, def->queue, target, class_index(def->class_), account);
	if (def->has_low && def->low != 0 && def->low <= last_seq) {
		q->cursor = def->low - 1;
		q->tail = last_seq;
		q->verify = last_seq + 1;
		TAILQ_INSERT_TAIL(&e->deep, q, deep_link);
	}
}

void
engine_opened(struct engine *e, const Hopyard__V1__Opened *o)
{
	if (e->open) {
		/* The store was away, we were not: it gets again what it has
		 * not confirmed. */
		if (!o->more)
			ledger_rewind(&e->ledger);
		return;
	}
	if (e->ledger.last_seq == 0) {
		e->ledger.last_seq = o->last_seq;
		e->ledger.horizon = o->last_seq;
		e->recovered_seq = o->last_seq;
		e->epoch = o->epoch;
	}
	for (size_t i = 0; i < o->n_queue; i++)
		open_queue(e, o->queue[i], o->last_seq);
	if (o->has_due_at) {
		e->due_cursor_at = o->due_at;
		e->due_cursor_seq = o->due_seq;
	}
	if (o->more)
		return;
	e->open = true;
	e->next_checkpoint = e->now + e->limits.checkpoint_ms;
	e->checkpoint_seq = e->ledger.last_seq;
	/* Rows that an earlier bus wrote may lie anywhere ahead. */
	e->due_tail_at = UINT64_MAX;
}

void
engine_store_gone(struct engine *e)
{
	struct queue *q;

	/* Its answers will not come any more. */
	TAILQ_FOREACH(q, &e->queues, all_link)
		q->asked_at = 0;
	e->due_asked_at = 0;
}

/* ---------------------------------------------------------------- asking */

void
engine_page_queue(struct engine *e, struct queue *q)
{
	Hopyard__V1__Page p = HOPYARD__V1__PAGE__INIT;
	size_t room;

	if (engine_full(e) && q->ready_count > 0)
		return;
	room = e->limits.queue_items > q->ready_count
	    ? e->limits.queue_items - q->ready_count
	    : 1;
	p.has_queue = true;
	p.queue = q->number;
	p.has_after = true;
	p.after = q->cursor;
	p.limit = (uint32_t)(room < PAGE_ITEMS ? room : PAGE_ITEMS);
	if (engine_full(e))
		p.limit = 16;
	p.has_bytes = true;
	p.bytes = PAGE_BYTES;
	p.has_verify = true;
	p.verify = q->cursor < q->verify;
	q->asked_at = e->now == 0 ? 1 : e->now;
	e->ops->page(e->arg, ENGINE_PAGE_QUEUE | q->number, &p);
}

void
engine_page_due(struct engine *e)
{
	Hopyard__V1__Page p = HOPYARD__V1__PAGE__INIT;

	if (e->due_asked_at != 0 && e->now - e->due_asked_at < PAGE_TIMEOUT)
		return;
	if (engine_full(e) || e->due_cursor_at >= e->due_tail_at)
		return;
	p.has_due = true;
	p.due = true;
	p.has_after = true;
	p.after = e->due_cursor_seq;
	p.has_after_due_at = true;
	p.after_due_at = e->due_cursor_at;
	p.has_until_due_at = true;
	p.until_due_at = e->wall + DUE_AHEAD;
	p.limit = PAGE_ITEMS;
	p.has_bytes = true;
	p.bytes = PAGE_BYTES;
	p.has_verify = true;
	p.verify = true;
	e->due_asked_at = e->now;
	e->ops->page(e->arg, ENGINE_PAGE_DUE, &p);
}

/* --------------------------------------------------------------- loading */

/* An item as the store has it; NULL when it makes no sense. */
static struct msg *
load(struct engine *e, const struct item *it, const Hopyard__V1__Paged *pg)
{
	const Hopyard__V1__Envelope *env = engine_envelope(e, it->envelope);
	struct msg *m;

	if (env == NULL || env->id.len != 16 || pg->seq == 0)
		return NULL;
	m = msg_new(it);
	m->seq = pg->seq;
	memcpy(m->id, env->id.data, 16);
	m->kind = (uint8_t)env->kind;
	m->parts =
	    env->parts >= 1 && env->parts <= 255 ? (uint16_t)env->parts : 1;
	m->report_mask = env->report_mask;
	m->report_queue = pg->report_queue;
	m->at = pg->at;
	m->expires_at = pg->expires_at;
	if (m->expires_at == 0 && m->kind == HOPYARD__V1__KIND__DLR)
		m->expires_at = m->at + ENGINE_DLR_VALIDITY;
	m->attempts = (uint16_t)(pg->attempts < 1000 ? pg->attempts : 1000);
	m->possible_dup = pg->possible_dup;
	if (pg->n_part_done > 0 && pg->n_part_done <= 255)
		msg_set_part_done(m, pg->part_done, pg->n_part_done);
	e->count.paged++;
	return m;
}

/* The box that it was last given to may not be the one of its home queue. */
static void
load_queue(struct engine *e, struct msg *m, struct queue *home,
    const Hopyard__V1__Paged *pg)
{
	struct target *t;

	m->class = home->class;
	m->queue = home;
	if (pg->link.len == 0 ||
	    (pg->link.len == strlen(home->target->name) &&
		memcmp(pg->link.data, home->target->name, pg->link.len) == 0))
		return;
	t = map_get(&e->target_by_name, pg->link.data, pg->link.len);
	if (t != NULL && t->configured && t->role == home->target->role)
		m->queue = engine_queue(e, t, home->class, home->account);
}

static const Hopyard__V1__Paged *
paged_context(struct engine *e, const struct item *it)
{
	arena_reset(&e->result_arena);
	return frame_unpack(&e->result_arena, &hopyard__v1__paged__descriptor,
	    it->context.p, it->context.len);
}

static void
start(struct engine *e, struct msg *m)
{
	engine_ready(e, m, false);
	if (m->state == MSG_READY && engine_target_failed(e, m->queue->target))
		engine_failover(e, m);
}

static void
page_of_queue(struct engine *e, struct queue *q, struct items *its)
{
	const Hopyard__V1__Paged *pg;
	struct queue *where;
	struct item it;
	struct msg *m;

	while (items_next(its, &it)) {
		pg = paged_context(e, &it);
		if (pg == NULL || pg->seq > q->tail ||
		    map_get_u64(&e->by_seq, pg->seq) != NULL)
			continue;
		m = load(e, &it, pg);
		if (m == NULL)
			continue;
		if (m->kind != HOPYARD__V1__KIND__DLR &&
		    map_get(&e->by_id, m->id, 16) != NULL) {
			msg_free(m);
			continue;
		}
		load_queue(e, m, q, pg);
		where = m->queue;
		engine_keep(e, m, q, true);
		m->queue = where;
		start(e, m);
		if (q->spilled > 0)
			q->spilled--;
	}
	if (its->upto > q->cursor)
		q->cursor = its->upto < q->tail ? its->upto : q->tail;
	if (its->upto > q->paged_to)
		q->paged_to = its->upto;
	if (!its->more) {
		q->asked_at = 0;
		/* The page ran into the horizon, not into its limit. */
		q->caught_up =
		    its->upto >= e->ledger.horizon || its->upto >= q->tail;
		if (!queue_deep(q))
			q->spilled = 0;
	}
}

static void
page_of_due(struct engine *e, struct items *its)
{
	const Hopyard__V1__Paged *pg;
	struct queue *home;
	struct item it;
	struct msg *m;

	while (items_next(its, &it)) {
		pg = paged_context(e, &it);
		if (pg == NULL || map_get_u64(&e->by_seq, pg->seq) != NULL)
			continue;
		home = map_get_u64(&e->queue_by_number, pg->queue);
		if (home == NULL || (m = load(e, &it, pg)) == NULL)
			continue;
		if (m->kind != HOPYARD__V1__KIND__DLR &&
		    map_get(&e->by_id, m->id, 16) != NULL) {
			msg_free(m);
			continue;
		}
		m->from_due = true;
		m->due_at = pg->due_at;
		m->due_seq = pg->due_seq;
		load_queue(e, m, home, pg);
		home = m->queue;
		TAILQ_INSERT_TAIL(&e->due_home, m, home_link);
		engine_keep(e, m, home, true);
		if (m->due_at > e->wall)
			engine_wait(e, m, m->due_at - e->wall);
		else
			start(e, m);
	}
	if (its->upto_due_at > e->due_cursor_at ||
	    (its->upto_due_at == e->due_cursor_at &&
		its->upto > e->due_cursor_seq)) {
		e->due_cursor_at = its->upto_due_at;
		e->due_cursor_seq = its->upto;
	}
	if (!its->more)
		e->due_asked_at = 0;
}

/* -------------------------------------------------------------- look-ups */

static bool
lookup_wants(const struct lookup *l, const struct engine *e,
    const Hopyard__V1__Paged *pg, const struct msg *m)
{
	const struct queue *q;

	if (l->why == LOOKUP_RESULT)
		return pg->seq == l->ref;
	if (l->why == LOOKUP_REPLAY)
		return m->kind == HOPYARD__V1__KIND__MT;
	q = map_get_u64(&e->queue_by_number, pg->queue);
	/* The account of the asker, if it has one. */
	if (l->result_len > 0 &&
	    (q == NULL || strlen(q->account) != l->result_len ||
		memcmp(q->account, l->result, l->result_len) != 0))
		return false;
	return m->kind == HOPYARD__V1__KIND__MT;
}

static void
lookup_done(struct engine *e, struct lookup *l)
{
	struct bytes none = { NULL, 0 };
	struct bytes raw = { l->result, l->result_len };
	const Hopyard__V1__Result *res;
	struct msg *m = l->msg;
	struct queue *q;

	if (l->why == LOOKUP_REPLAY) {
		if (l->found)
			engine_replay_found(e, l);
		else
			e->ops->answer(
			    e->arg, l->number, 404, "no such message");
		msg_free(m);
		return;
	}
	/* It may have been loaded by a page meanwhile. */
	if (m != NULL && map_get_u64(&e->by_seq, m->seq) != NULL) {
		msg_free(m);
		m = NULL;
		if (l->why == LOOKUP_CANCEL) {
			engine_cancel(e, l->id, none, l->number);
			return;
		}
		engine_result(e, l->target, l->peer, l->number,
		    &(struct item){ .envelope = raw });
		return;
	}
	if (l->why == LOOKUP_CANCEL) {
		if (!l->found)
			e->ops->answer(
			    e->arg, l->number, 404, "no such message");
		else if (l->closed)
			e->ops->answer(
			    e->arg, l->number, 409, "too late: it was sent");
	} else if (!l->found || l->closed) {
		e->ops->settle(e->arg, l->peer, l->number,
		    HOPYARD__V1__ACK__CODE__ACK_OK, NULL);
	}
	if (!l->found || l->closed) {
		msg_free(m);
		return;
	}
	/* A page that comes later must leave it out. */
	q = m->queue;
	if (queue_deep(q) && q->verify <= q->tail)
		q->verify = q->tail + 1;
	engine_keep(e, m, q, true);
	if (l->why == LOOKUP_CANCEL) {
		engine_make_final(e, m, HOPYARD__V1__STATE__CANCELLED,
		    "canceled", ENGINE_PEER_CALL, l->number, NULL, none);
		return;
	}
	arena_reset(&e->result_arena);
	res = frame_unpack(
	    &e->result_arena, &hopyard__v1__result__descriptor, raw.p, raw.len);
	assert(res != NULL); /* it was good when it came */
	engine_finish_result(e, m, res, raw, l->peer, l->number);
}

static void
page_of_lookup(struct engine *e, struct lookup *l, struct items *its)
{
	const Hopyard__V1__Paged *pg;
	struct queue *home;
	struct item it;
	struct msg *m;

	while (items_next(its, &it)) {
		pg = paged_context(e, &it);
		if (pg == NULL || l->found)
			continue;
		home = map_get_u64(&e->queue_by_number, pg->queue);
		m = load(e, &it, pg);
		if (m == NULL)
			continue;
		if (!lookup_wants(l, e, pg, m)) {
			msg_free(m);
			continue;
		}
		l->found = true;
		l->closed = pg->closed || home == NULL;
		l->state = pg->state;
		l->msg = m;
		if (home != NULL) {
			load_queue(e, m, home, pg);
			m->queue = home;
		}
	}
	if (its->more)
		return;
	map_del_u64(&e->lookups, l->correlation);
	lookup_done(e, l);
	free(l);
}

void
engine_paged(struct engine *e, uint64_t correlation, const struct items *items)
{
	struct items its = *items;
	struct lookup *l;
	struct queue *q;

	switch (correlation & ENGINE_PAGE_KIND) {
	case ENGINE_PAGE_QUEUE:
		q = map_get_u64(
		    &e->queue_by_number, correlation & ~ENGINE_PAGE_KIND);
		if (q != NULL)
			page_of_queue(e, q, &its);
		break;
	case ENGINE_PAGE_DUE:
		page_of_due(e, &its);
		break;
	case ENGINE_PAGE_LOOKUP:
		l = map_get_u64(&e->lookups, correlation);
		if (l != NULL)
			page_of_lookup(e, l, &its);
		break;
	default:
		break;
	}
}

/* ----------------------------------------------- what the store tells us */

void
engine_notice(struct engine *e, const struct items *items)
{
	struct items its = *items;
	const Hopyard__V1__Paged *pg;
	struct queue *q;
	struct item it;
	struct msg *m;

	while (items_next(&its, &it)) {
		pg = paged_context(e, &it);
		if (pg == NULL)
			continue;
		q = map_get_u64(&e->queue_by_number, pg->queue);
		if (q == NULL || (m = load(e, &it, pg)) == NULL)
			continue;
		m->class = q->class;
		m->queue = q;
		if (e->notes && m->kind == HOPYARD__V1__KIND__DLR)
			engine_say(e, "msg.receipt", m, NULL, "received", NULL);
		engine_keep_notice(e, m);
	}
}

void
engine_overdue(struct engine *e, const struct items *items)
{
	struct items its = *items;
	struct bytes none = { NULL, 0 };
	const Hopyard__V1__Paged *pg;
	struct queue *q;
	struct item it;
	struct msg *m;
	bool submitted;

	while (items_next(&its, &it)) {
		pg = paged_context(e, &it);
		if (pg == NULL || map_get_u64(&e->by_seq, pg->seq) != NULL)
			continue;
		q = map_get_u64(&e->queue_by_number, pg->queue);
		submitted = pg->state == HOPYARD__V1__STATE__SUBMITTED ||
		    pg->state == HOPYARD__V1__STATE__BUFFERED;
		if (q == NULL || (m = load(e, &it, pg)) == NULL)
			continue;
		if (map_get(&e->by_id, m->id, 16) != NULL) {
			msg_free(m);
			continue;
		}
		m->class = q->class;
		if (queue_deep(q) && q->verify <= q->tail)
			q->verify = q->tail + 1;
		engine_keep(e, m, q, true);
		e->count.expired++;
		engine_make_final(e, m,
		    submitted ? HOPYARD__V1__STATE__UNKNOWN
			      : HOPYARD__V1__STATE__EXPIRED,
		    submitted ? "no receipt in time" : "validity expired", 0, 0,
		    NULL, none);
	}
}
