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

#define PAGE_ITEMS 1024
#define PAGE_BYTES (1024 * 1024)
/* With the memory full, and nothing else of this queue there. */
#define PAGE_FEW 16
/* Of a queue that nobody reads. */
#define PAGE_AWAY 256
/* How far ahead of their time due items are loaded. */
#define DUE_AHEAD 5000
/* They may fill so much more than ready_items. */
#define DUE_SHARE 4

static uint8_t
class_index(Hopyard__V1__Class class)
{
	return class >= 1 && class <= 4 ? (uint8_t)(class - 1) : 2;
}

/* ---------------------------------------------------------------- opened */

/* Asks anew: what has been heard so far is forgotten. */
static void
lookup_ask(struct engine *e, struct lookup *l)
{
	Hopyard__V1__Page p = HOPYARD__V1__PAGE__INIT;

	msg_free(l->msg);
	l->msg = NULL;
	l->found = l->closed = l->overtaken = false;
	p.has_id = true;
	p.id.data = l->id;
	p.id.len = sizeof(l->id);
	p.limit = 64;
	e->ops->page(e->arg, l->correlation, &p);
}

void
engine_look_up(struct engine *e, struct lookup *l)
{
	l->correlation = ENGINE_PAGE_LOOKUP | ++e->next_lookup;
	map_put_u64(&e->lookups, l->correlation, l);
	l->same = map_get(&e->lookup_by_id, l->id, sizeof(l->id));
	map_put(&e->lookup_by_id, l->id, sizeof(l->id), l);
	if (l->why == LOOKUP_RESULT)
		l->target->lookups++;
	/* Without a store it waits until there is one. */
	if (e->store && !l->deferred)
		lookup_ask(e, l);
}

static void
lookup_undefer(struct engine *e, struct lookup *l)
{
	l->deferred = false;
	if (e->store)
		lookup_ask(e, l);
}

void
engine_look_up_now(struct engine *e, uint64_t correlation)
{
	struct lookup *l = map_get_u64(&e->lookups, correlation);

	if (l != NULL && l->deferred)
		lookup_undefer(e, l);
}

void
engine_overtake(struct engine *e, const uint8_t id[16])
{
	struct lookup *l;

	for (l = map_get(&e->lookup_by_id, id, 16); l != NULL; l = l->same) {
		l->overtaken = true;
		if (l->deferred)
			lookup_undefer(e, l);
	}
}

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
	if (def->account.len > 0) /* that of parts has none */
		memcpy(account, def->account.data, def->account.len);
	account[def->account.len] = '\0';
	q = engine_queue_known(
	    e, def->queue, target, class_index(def->class_), account);
	if (def->has_low && def->low != 0 && def->low <= last_seq) {
		q->cursor = def->low - 1;
		q->tail = last_seq;
		q->verify = last_seq + 1;
		if (!q->away)
			TAILQ_INSERT_TAIL(
			    &e->deep[q->target->role], q, deep_link);
	}
}

void
engine_store_back(struct engine *e)
{
	struct lookup *l;
	size_t pos = 0;

	e->behind = false;
	e->store = true;
	e->store_back_at = e->now;
	while ((l = map_next(&e->lookups, &pos)) != NULL)
		if (!l->deferred)
			lookup_ask(e, l);
}

bool
engine_opened(struct engine *e, const Hopyard__V1__Opened *o)
{
	if (e->open) {
		if (o->more)
			return true;
		/* The store was away, we were not: it gets again what it has
		 * not confirmed, and is asked again what it has not
		 * answered. */
		if (!ledger_rewind(&e->ledger, o->last_seq))
			return false;
		/* What it lost would look undone in its answers. */
		if (e->ledger.confirmed < e->ledger.horizon)
			e->behind = true;
		else
			engine_store_back(e);
		return true;
	}
	if (e->ledger.last_seq == 0) {
		e->ledger.last_seq = o->last_seq;
		e->ledger.horizon = o->last_seq;
		e->ledger.confirmed = o->last_seq;
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
		return true;
	e->open = e->store = true;
	e->next_checkpoint = e->now + e->limits.checkpoint_ms;
	/* Rows that an earlier bus wrote may lie anywhere ahead. */
	e->due_tail_at = UINT64_MAX;
	parts_opened(e);
	engine_withdraw_early(e);
	return true;
}

static void
page_over(struct engine *e, struct queue *q)
{
	if (q->asked_at == 0)
		return;
	q->asked_at = 0;
	e->pages[q->target->role]--;
	e->page_room -= q->page_room;
	map_fini(&q->gone);
	map_init(&q->gone);
}

void
engine_page_abandon(struct engine *e, struct queue *q)
{
	if (q->asked_at == 0)
		return;
	page_over(e, q);
	/* What has come of it may be done when it is asked for again. */
	if (q->verify <= q->tail)
		q->verify = q->tail + 1;
}

static void
due_over(struct engine *e)
{
	e->due_asked_at = 0;
	map_fini(&e->due_gone);
	map_init(&e->due_gone);
}

void
engine_store_gone(struct engine *e)
{
	struct queue *q;

	/* Its answers will not come any more; look-ups are asked again when
	 * it is back. */
	e->store = e->behind = false;
	TAILQ_FOREACH(q, &e->queues, all_link)
		engine_page_abandon(e, q);
	due_over(e);
}

void
engine_page_expire(struct engine *e, uint64_t ms)
{
	struct queue *q;

	for (int role = 0; role < TARGET_ROLES; role++)
		TAILQ_FOREACH(q, &e->deep[role], deep_link)
			if (q->asked_at != 0 && e->now - q->asked_at >= ms)
				engine_page_abandon(e, q);
	if (e->due_asked_at != 0 && e->now - e->due_asked_at >= ms)
		due_over(e);
}

uint64_t
engine_dlr_validity(const struct queue *q)
{
	return q != NULL && q->customer != NULL ? ENGINE_DLR_VALIDITY_ESME
						: ENGINE_DLR_VALIDITY;
}

size_t
engine_evict(struct engine *e, struct queue *q)
{
	uint64_t low = UINT64_MAX, high = 0;
	struct msg *m, *next;
	size_t n = 0, left = 0;

	engine_page_abandon(e, q);
	TAILQ_FOREACH_SAFE(m, &q->ready, link, next) {
		if (m->moved > e->ledger.horizon)
			continue;
		n++;
		queue_remove(q, m);
		if (m->from_due) {
			engine_postpone(e, m, "the customer is not bound");
			continue;
		}
		if (m->seq < low)
			low = m->seq;
		if (m->seq > high)
			high = m->seq;
		left++;
		engine_forget(e, m);
	}
	if (left == 0)
		return n;
	if (!queue_deep(q)) {
		/* Everything before is in memory or done. */
		q->cursor = low - 1;
		q->tail = high;
		q->spilled = 0;
	} else {
		if (low <= q->cursor)
			q->cursor = low - 1;
		if (high > q->tail)
			q->tail = high;
	}
	/* Those around them may be done when they come back. */
	q->verify = e->ledger.last_seq + 1;
	q->caught_up = false;
	q->spilled += left;
	return n;
}

/* ---------------------------------------------------------------- asking */

static uint64_t
page_correlation(const struct queue *q)
{
	return ENGINE_PAGE_QUEUE |
	    (uint64_t)(q->page & ENGINE_PAGE_COUNT) << 32 | q->number;
}

static void
page_ask(struct engine *e, struct queue *q, uint32_t limit)
{
	Hopyard__V1__Page p = HOPYARD__V1__PAGE__INIT;

	p.has_queue = true;
	p.queue = q->number;
	p.has_after = true;
	p.after = q->cursor;
	p.limit = limit;
	p.has_bytes = true;
	p.bytes = PAGE_BYTES;
	p.has_verify = true;
	p.verify = q->cursor < q->verify;
	q->asked_at = e->now == 0 ? 1 : e->now;
	q->page++;
	q->page_tail = q->tail;
	q->page_room = limit;
	e->page_room += limit;
	e->pages[q->target->role]++;
	e->ops->page(e->arg, page_correlation(q), &p);
}

void
engine_page_queue(struct engine *e, struct queue *q)
{
	size_t room, used = e->by_seq.count + e->page_room;
	size_t left =
	    e->limits.ready_items > used ? e->limits.ready_items - used : 0;

	if (engine_full(e) && q->ready_count > 0)
		return;
	room = e->limits.queue_items > q->ready_count
	    ? e->limits.queue_items - q->ready_count
	    : 1;
	/* Many pages at a time must not bring more than there is room for. */
	if (engine_full(e) || left < PAGE_FEW)
		room = room < PAGE_FEW ? room : PAGE_FEW;
	else if (room > left)
		room = left;
	page_ask(e, q, (uint32_t)(room < PAGE_ITEMS ? room : PAGE_ITEMS));
}

void
engine_page_away(struct engine *e, struct queue *q)
{
	/* One tells when to look again; where one has expired there may be
	 * many. */
	page_ask(e, q, q->look_at == 0 ? 1 : PAGE_AWAY);
	q->look_at = e->now;
}

/* ---------------------------------------------------------- the due table */

uint64_t
engine_due_at(struct engine *e, uint64_t wait_ms)
{
	uint64_t at = e->wall + wait_ms;
	uint64_t floor =
	    e->due_until > e->due_cursor_at ? e->due_until : e->due_cursor_at;

	/* Only after the wall clock was set back. */
	return at > floor ? at : floor + 1;
}

void
engine_due_written(struct engine *e, uint64_t due_at, uint64_t seq)
{
	if (due_at > e->due_tail_at)
		e->due_tail_at = due_at;
	if (e->due_written[1].seq == 0 || due_at < e->due_written[1].at)
		e->due_written[1].at = due_at;
	e->due_written[1].seq = seq;
}

/* All rows up to here that we have written are durable. */
static uint64_t
due_limit(struct engine *e, uint64_t until)
{
	for (int i = 0; i < 2; i++) {
		if (e->due_written[0].seq > e->ledger.horizon)
			break;
		e->due_written[0] = e->due_written[1];
		e->due_written[1].seq = 0;
	}
	for (int i = 0; i < 2; i++)
		if (e->due_written[i].seq > e->ledger.horizon &&
		    e->due_written[i].at <= until)
			until = e->due_written[i].at - 1;
	return until;
}

void
engine_page_due(struct engine *e)
{
	Hopyard__V1__Page p = HOPYARD__V1__PAGE__INIT;
	uint64_t until = due_limit(e, e->wall + DUE_AHEAD);

	if (!e->store || e->due_asked_at != 0 ||
	    e->due_cursor_at >= e->due_tail_at || until <= e->due_cursor_at)
		return;
	/* Not held back by full queues of other links. */
	if (engine_full(e) && e->due_count >= e->limits.ready_items / DUE_SHARE)
		return;
	p.has_due = true;
	p.due = true;
	p.has_after = true;
	p.after = e->due_cursor_seq;
	p.has_after_due_at = true;
	p.after_due_at = e->due_cursor_at;
	p.has_until_due_at = true;
	p.until_due_at = until;
	p.limit = PAGE_ITEMS;
	p.has_bytes = true;
	p.bytes = PAGE_BYTES;
	p.has_verify = true;
	p.verify = true;
	if (until > e->due_until)
		e->due_until = until;
	e->due_asked_at = e->now == 0 ? 1 : e->now;
	e->due_page = (e->due_page + 1) & ENGINE_PAGE_COUNT;
	e->ops->page(e->arg, ENGINE_PAGE_DUE | (uint64_t)e->due_page << 32, &p);
}

/* --------------------------------------------------------------- loading */

uint64_t
engine_expires(const struct engine *e, uint64_t seq, uint64_t wall)
{
	int64_t left = (int64_t)(wall - e->wall) + steps_since(&e->steps, seq);

	/* Before this machine was started: long ago. */
	if (left < 0 && (uint64_t)-left >= e->now)
		return 1;
	return (uint64_t)((int64_t)e->now + left);
}

/* An item as the store has it, of a queue if it has one; NULL when it makes no
 * sense. */
static struct msg *
load(struct engine *e, const struct item *it, const Hopyard__V1__Paged *pg,
    const struct queue *home)
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
	m->replaces = env->has_replaces;
	m->hold = env->hold;
	m->report_queue = pg->report_queue;
	m->at = pg->at;
	if (pg->expires_at != 0)
		m->expires = engine_expires(e, m->seq, pg->expires_at);
	else if (m->kind == HOPYARD__V1__KIND__DLR)
		m->expires = engine_expires(
		    e, m->seq, m->at + engine_dlr_validity(home));
	m->attempts = (uint16_t)(pg->attempts < 1000 ? pg->attempts : 1000);
	m->possible_dup = pg->possible_dup;
	/* How often is not known: at least once. */
	m->resends = m->possible_dup;
	if (env->has_delay_ms && env->delay_ms > 0)
		m->send_at = pg->at +
		    (env->delay_ms < ENGINE_DELAY_MAX ? env->delay_ms
						      : ENGINE_DELAY_MAX);
	if (!pg->has_due_at && m->attempts == 0 && m->send_at > e->wall) {
		m->scheduled = true;
		m->due = e->now + (m->send_at - e->wall);
	}
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
	if (home->target->role == TARGET_ESME || pg->link.len == 0 ||
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
lookup_remove(struct engine *e, struct lookup *l)
{
	struct lookup *first = map_get(&e->lookup_by_id, l->id, sizeof(l->id));

	map_del_u64(&e->lookups, l->correlation);
	if (l->why == LOOKUP_RESULT)
		l->target->lookups--;
	if (first == l) {
		map_del(&e->lookup_by_id, l->id, sizeof(l->id));
		if (l->same != NULL)
			map_put(&e->lookup_by_id, l->same->id,
			    sizeof(l->same->id), l->same);
		return;
	}
	while (first->same != l)
		first = first->same;
	first->same = l->same;
}

/* A result of this item is here and waits for a look-up. */
static struct lookup *
result_of(const struct engine *e, const uint8_t id[16], uint64_t seq)
{
	struct lookup *l;

	for (l = map_get(&e->lookup_by_id, id, 16); l != NULL; l = l->same)
		if (l->why == LOOKUP_RESULT && l->ref == seq)
			return l;
	return NULL;
}

/* A box repeats what it has not been told to forget; the item has been handed
 * out again since then, perhaps to another one. */
static bool
overtaken(struct engine *e, const struct lookup *l, const struct msg *m)
{
	const Hopyard__V1__Result *res;

	arena_reset(&e->result_arena);
	res = frame_unpack(&e->result_arena, &hopyard__v1__result__descriptor,
	    l->result, l->result_len);
	assert(res != NULL); /* it was good when it came */
	if (res->code == HOPYARD__V1__RESULT__CODE__OK)
		return false;
	/* Another link has it by now, as the store tells. */
	if (m->queue->target->role == TARGET_CONNECTOR &&
	    m->queue->target != l->target)
		return true;
	return res->has_attempt && res->attempt < m->attempts;
}

static void
lookup_settle(struct engine *e, const struct lookup *l)
{
	e->ops->settle(
	    e->arg, l->peer, l->number, HOPYARD__V1__ACK__CODE__ACK_OK, NULL);
}

static void
apply_result(struct engine *e, const struct lookup *l, struct msg *m)
{
	struct bytes raw = { l->result, l->result_len };
	const Hopyard__V1__Result *res;

	if (l->target->role == m->queue->target->role)
		engine_goes_by(e, m, l->target);
	arena_reset(&e->result_arena);
	res = frame_unpack(
	    &e->result_arena, &hopyard__v1__result__descriptor, raw.p, raw.len);
	assert(res != NULL); /* it was good when it came */
	engine_finish_result(e, m, res, raw, l->peer, l->number);
	l->target->lost_seq = e->ledger.last_seq;
}

/* Its front end has withdrawn it: the look-up has no more to find out. */
static void
take_withdrawal(struct engine *e, struct msg *m)
{
	struct lookup *l = map_get(&e->lookup_by_id, m->id, sizeof(m->id));

	while (l != NULL &&
	    (l->why != LOOKUP_CANCEL || (l->number & WITHDRAW_TOKEN) == 0))
		l = l->same;
	if (l == NULL || m->kind != HOPYARD__V1__KIND__MT ||
	    m->cancel_token != 0)
		return;
	m->cancel_token = l->number;
	lookup_remove(e, l);
	msg_free(l->msg);
	free(l);
}

static void
start_waiting(struct engine *e, struct msg *m, uint64_t ms)
{
	struct bytes none = { NULL, 0 };

	if (m->cancel_token == 0 || !engine_cancel_now(e, m, 0, 0, NULL, none))
		engine_wait(e, m, ms);
}

/* A page has brought it: into its list, unless its result is known. */
static void
start(struct engine *e, struct msg *m)
{
	uint64_t seq = m->seq;
	uint8_t id[16];
	struct lookup *l;

	if (m->home != NULL && m->home->target->role == TARGET_PARTS) {
		parts_arrived(e, m);
		return;
	}
	memcpy(id, m->id, sizeof(id));
	take_withdrawal(e, m);
	while ((l = result_of(e, id, seq)) != NULL && overtaken(e, l, m)) {
		lookup_remove(e, l);
		lookup_settle(e, l);
		msg_free(l->msg);
		free(l);
	}
	if (l == NULL) {
		if (m->replaces && m->attempts == 0 && seq <= e->recovered_seq)
			replace_loaded(e, m);
		if (m->queue->target->schedules && !m->hold)
			m->scheduled = false;
		if (m->scheduled)
			start_waiting(e, m, m->due - e->now);
		else if (m->from_due && m->due_at > e->wall)
			start_waiting(e, m, m->due_at - e->wall);
		else
			engine_ready(e, m, false);
		return;
	}
	lookup_remove(e, l);
	apply_result(e, l, m);
	msg_free(l->msg);
	free(l);
	/* Said twice: the rest is about an item that is here. */
	while ((l = result_of(e, id, seq)) != NULL) {
		lookup_remove(e, l);
		engine_result(e, l->target, l->peer, l->number,
		    &(struct item){ .envelope = { l->result, l->result_len } });
		msg_free(l->msg);
		free(l);
	}
}

/* Another item of this id is in memory, and not because its record is on the
 * way to be found a duplicate. */
static bool
known(const struct engine *e, const struct msg *m)
{
	const struct msg *other;

	if (m->kind == HOPYARD__V1__KIND__DLR)
		return false;
	other = map_get(&e->by_id, m->id, sizeof(m->id));
	return other != NULL && other->state != MSG_PENDING;
}

static void
page_of_queue(struct engine *e, struct queue *q, struct items *its)
{
	const Hopyard__V1__Paged *pg;
	struct queue *where;
	struct item it;
	struct msg *m;
	uint64_t upto, expires;
	bool fresh = false;

	while (items_next(its, &it)) {
		pg = paged_context(e, &it);
		if (pg == NULL || pg->seq > q->page_tail ||
		    map_get_u64(&e->by_seq, pg->seq) != NULL ||
		    map_get_u64(&q->gone, pg->seq) != NULL)
			continue;
		m = load(e, &it, pg, q);
		if (m == NULL)
			continue;
		if (known(e, m)) {
			msg_free(m);
			continue;
		}
		load_queue(e, m, q, pg);
		where = m->queue;
		engine_keep(e, m, q, true);
		m->queue = where;
		expires = m->expires;
		start(e, m);
		if (q->spilled > 0)
			q->spilled--;
		/* The first that has not expired says when to look again. */
		if (q->away && !fresh && expires > e->now) {
			q->look_at = expires;
			fresh = true;
		}
	}
	/* What lies beyond the tail of then is in memory, or comes with a
	 * notice, or has spilled since and is for the next page. */
	upto = its->upto < q->page_tail ? its->upto : q->page_tail;
	if (upto > q->cursor)
		q->cursor = upto;
	if (upto > q->paged_to)
		q->paged_to = upto;
	if (!its->more) {
		page_over(e, q);
		/* The page ran into the horizon, not into its limit. */
		q->caught_up =
		    its->upto >= e->ledger.horizon || its->upto >= q->tail;
		if (!queue_deep(q))
			q->spilled = 0;
	}
}

static void
due_home(struct engine *e, struct msg *m, const Hopyard__V1__Paged *pg)
{
	queue_disown(m);
	m->from_due = true;
	m->due_at = pg->due_at;
	m->due_seq = pg->due_seq;
	TAILQ_INSERT_TAIL(&e->due_home, m, home_link);
	e->due_count++;
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
		if (pg == NULL || map_get_u64(&e->due_gone, pg->seq) != NULL)
			continue;
		m = map_get_u64(&e->by_seq, pg->seq);
		if (m != NULL) {
			/* It came by its id; from now on this row is where it
			 * would be found again. */
			if (m->looked_up && !m->from_due)
				due_home(e, m, pg);
			continue;
		}
		home = map_get_u64(&e->queue_by_number, pg->queue);
		if (home == NULL || (m = load(e, &it, pg, home)) == NULL)
			continue;
		if (known(e, m)) {
			msg_free(m);
			continue;
		}
		load_queue(e, m, home, pg);
		home = m->queue;
		due_home(e, m, pg);
		engine_keep(e, m, home, true);
		start(e, m);
	}
	if (its->upto_due_at > e->due_cursor_at ||
	    (its->upto_due_at == e->due_cursor_at &&
		its->upto > e->due_cursor_seq)) {
		e->due_cursor_at = its->upto_due_at;
		e->due_cursor_seq = its->upto;
	}
	if (!its->more)
		due_over(e);
}

/* -------------------------------------------------------------- look-ups */

static bool
lookup_wants(const struct lookup *l, const struct engine *e,
    const Hopyard__V1__Paged *pg, const struct msg *m)
{
	const struct queue *q;

	if (l->why == LOOKUP_RESULT)
		return pg->seq == l->ref;
	if (l->why == LOOKUP_REPLAY || l->why == LOOKUP_REPLACED)
		return m->kind == HOPYARD__V1__KIND__MT;
	if (l->why == LOOKUP_PARTS)
		return m->kind == HOPYARD__V1__KIND__MO;
	q = map_get_u64(&e->queue_by_number, pg->queue);
	/* The account of the asker, if it has one. */
	if (l->result_len > 0 &&
	    (q == NULL || strlen(q->account) != l->result_len ||
		memcmp(q->account, l->result, l->result_len) != 0))
		return false;
	return m->kind == HOPYARD__V1__KIND__MT;
}

static void
keep_looked_up(struct engine *e, struct msg *m, struct queue *q)
{
	/* A page that comes later must leave it out. */
	if (queue_deep(q) && q->verify <= q->tail)
		q->verify = q->tail + 1;
	m->looked_up = true;
	engine_keep(e, m, q, true);
}

/* A final state of a message that no handset gets. */
static bool
unsent(Hopyard__V1__State state)
{
	return state == HOPYARD__V1__STATE__CANCELLED ||
	    state == HOPYARD__V1__STATE__REJECTED ||
	    state == HOPYARD__V1__STATE__EXPIRED;
}

static void
lookup_done(struct engine *e, struct lookup *l)
{
	struct bytes none = { NULL, 0 };
	struct bytes raw = { l->result, l->result_len };
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
	if (l->why == LOOKUP_REPLACED) {
		replace_looked_up(e, l->number, l->found);
		msg_free(m);
		return;
	}
	if (l->why == LOOKUP_PARTS) {
		parts_looked_up(e, l->ref, l->found);
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
			engine_answer(e, l->number, 404, "no such message");
		else if (l->closed && (l->number & WITHDRAW_TOKEN) != 0 &&
		    unsent(l->state))
			engine_answer(e, l->number, 0, "it has ended");
		else if (l->closed)
			engine_answer(
			    e, l->number, 409, "too late: it was sent");
	} else if (m == NULL || l->closed || overtaken(e, l, m)) {
		lookup_settle(e, l);
		msg_free(m);
		return;
	}
	if (!l->found || l->closed) {
		msg_free(m);
		return;
	}
	assert(m != NULL);
	q = m->queue;
	keep_looked_up(e, m, l->home);
	m->queue = q;
	if (l->why == LOOKUP_CANCEL) {
		m->cancel_token = l->number;
		start(e, m);
		return;
	}
	apply_result(e, l, m);
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
		m = load(e, &it, pg, home);
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
		l->home = home;
		if (home != NULL)
			load_queue(e, m, home, pg);
	}
	if (its->more)
		return;
	if (l->overtaken) {
		/* It may have ended after the store had looked. */
		lookup_ask(e, l);
		return;
	}
	lookup_remove(e, l);
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
		q = map_get_u64(&e->queue_by_number, (uint32_t)correlation);
		if (q != NULL && q->asked_at != 0 &&
		    correlation == page_correlation(q))
			page_of_queue(e, q, &its);
		break;
	case ENGINE_PAGE_DUE:
		if (e->due_asked_at != 0 &&
		    (correlation >> 32 & ENGINE_PAGE_COUNT) == e->due_page)
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

/* For the log: what a report says of its message. */
static const char *
notice_word(struct engine *e, struct bytes body)
{
	static const char *const words[] = {
		[HOPYARD__V1__STATE__SUBMITTED] = "sent",
		[HOPYARD__V1__STATE__BUFFERED] = "buffered",
		[HOPYARD__V1__STATE__DELIVERED] = "delivered",
		[HOPYARD__V1__STATE__UNDELIVERABLE] = "undelivered",
		[HOPYARD__V1__STATE__EXPIRED] = "expired",
		[HOPYARD__V1__STATE__REJECTED] = "rejected",
		[HOPYARD__V1__STATE__CANCELLED] = "canceled",
		[HOPYARD__V1__STATE__UNKNOWN] = "unknown",
		[HOPYARD__V1__STATE__SENT] = "sent",
	};
	const Hopyard__V1__Notice *n;

	arena_reset(&e->arena);
	n = frame_unpack(
	    &e->arena, &hopyard__v1__notice__descriptor, body.p, body.len);
	return n == NULL || (size_t)n->state >= ARRAY_LEN(words) ||
		words[n->state] == NULL
	    ? "received"
	    : words[n->state];
}

void
engine_notice(struct engine *e, const struct items *items)
{
	struct items its = *items;
	const Hopyard__V1__Paged *pg;
	struct queue *q;
	struct item it;
	struct msg *m;

	while (e->open && items_next(&its, &it)) {
		pg = paged_context(e, &it);
		if (pg == NULL || pg->seq > e->ledger.last_seq)
			continue;
		/* Of a record that a rewound database got a second time. */
		if (pg->seq <= e->ledger.horizon)
			continue;
		q = map_get_u64(&e->queue_by_number, pg->queue);
		if (q == NULL || (m = load(e, &it, pg, q)) == NULL)
			continue;
		m->class = q->class;
		m->queue = q;
		if (e->notes && m->kind == HOPYARD__V1__KIND__DLR)
			engine_say(e, "msg.receipt", m, NULL,
			    notice_word(e, it.body), NULL);
		engine_keep_notice(e, m);
	}
}

/* It has ended, and the store's word is older than that. */
static bool
over(const struct engine *e, uint64_t seq, bool submitted)
{
	for (size_t i = 0; i < ARRAY_LEN(e->overdue); i++) {
		const void *v = map_get_u64(&e->overdue[i], seq);

		if (v != NULL && (v == e || !submitted))
			return true;
	}
	return false;
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

	while (e->open && items_next(&its, &it)) {
		pg = paged_context(e, &it);
		if (pg == NULL)
			continue;
		submitted = pg->state == HOPYARD__V1__STATE__SUBMITTED ||
		    pg->state == HOPYARD__V1__STATE__BUFFERED;
		if (map_get_u64(&e->by_seq, pg->seq) != NULL ||
		    over(e, pg->seq, submitted))
			continue;
		q = map_get_u64(&e->queue_by_number, pg->queue);
		if (q == NULL || (m = load(e, &it, pg, q)) == NULL)
			continue;
		/* The store goes by the wall clock alone, and asks again. */
		if (known(e, m) || result_of(e, m->id, m->seq) != NULL ||
		    e->now <
			m->expires + (submitted ? ENGINE_RECEIPT_GRACE : 0)) {
			msg_free(m);
			continue;
		}
		m->class = q->class;
		keep_looked_up(e, m, q);
		/* Once is enough, also for those whose receipt is missing. */
		map_put_u64(&e->overdue[0], m->seq, e);
		e->count.expired++;
		engine_make_final(e, m,
		    submitted ? HOPYARD__V1__STATE__UNKNOWN
			      : HOPYARD__V1__STATE__EXPIRED,
		    submitted ? "no receipt in time" : "validity expired", 0, 0,
		    NULL, none);
	}
}
