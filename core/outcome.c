/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outcome.c - what became of an item: results of connectors and hooks,
 * retries, other routes, unknown outcomes, final states and what the customer
 * is told of them.  The bus is the only one that decides and times a retry.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "core/engine.h"

#define SECOND 1000ull
#define MINUTE (60 * SECOND)

/* Waits longer than this are left to the store's due table. */
#define WAIT_IN_MEMORY (60 * SECOND)
#define ATTEMPTS_MAX   10
#define RESENDS_MAX    2
#define NOT_NOW_MIN    20
#define NOT_NOW_MAX    (60 * SECOND)
#define TXN_HOLD       (30 * SECOND) /* after an unknown outcome */
#define LOOKUPS_MAX    65536

/* Kannel's bits of dlr-mask. */
#define MASK_DELIVERED 1u
#define MASK_FAILED    2u
#define MASK_BUFFERED  4u
#define MASK_SUBMITTED 8u
#define MASK_REJECTED  16u

static const uint64_t ladder_otp[] = { 1 * SECOND, 2 * SECOND, 5 * SECOND,
	10 * SECOND, 30 * SECOND };
static const uint64_t ladder_mt[] = { 5 * SECOND, 15 * SECOND, 60 * SECOND,
	5 * MINUTE, 15 * MINUTE, 30 * MINUTE };
/* As Standard Webhooks advises. */
static const uint64_t ladder_hook[] = { 5 * SECOND, 30 * SECOND, 5 * MINUTE,
	30 * MINUTE, 120 * MINUTE, 300 * MINUTE, 600 * MINUTE, 600 * MINUTE };

static const uint64_t ladder_esme[] = { 5 * SECOND, 30 * SECOND, 2 * MINUTE,
	10 * MINUTE };

static const char *const state_words[] = {
	[HOPYARD__V1__STATE__UNDELIVERABLE] = "undelivered",
	[HOPYARD__V1__STATE__EXPIRED] = "expired",
	[HOPYARD__V1__STATE__REJECTED] = "rejected",
	[HOPYARD__V1__STATE__CANCELLED] = "canceled",
	[HOPYARD__V1__STATE__UNKNOWN] = "unknown",
	[HOPYARD__V1__STATE__DEAD] = "failed",
};

static ProtobufCBinaryData
binary(const void *p, size_t len)
{
	return (ProtobufCBinaryData){ len, (uint8_t *)(uintptr_t)p };
}

/* Plus or minus a fifth, so that a crowd does not come back at once. */
static uint64_t
spread(struct engine *e, uint64_t wait)
{
	return wait - wait / 5 + engine_random(e, wait * 2 / 5 + 1);
}

static uint64_t
ladder_wait(struct engine *e, const struct msg *m)
{
	const uint64_t *ladder = ladder_mt;
	size_t n = ARRAY_LEN(ladder_mt), i;

	if (m->queue->customer != NULL) {
		ladder = ladder_esme;
		n = ARRAY_LEN(ladder_esme);
	} else if (m->queue->target->retry != NULL) {
		ladder = m->queue->target->retry;
		n = m->queue->target->retries;
	} else if (m->kind != HOPYARD__V1__KIND__MT) {
		ladder = ladder_hook;
		n = ARRAY_LEN(ladder_hook);
	} else if (m->class == 0) {
		ladder = ladder_otp;
		n = ARRAY_LEN(ladder_otp);
	}
	i = m->attempts == 0 ? 0 : m->attempts - 1u;
	return n == 0 ? 0 : spread(e, ladder[i < n ? i : n - 1]);
}

/* After so many an item is given up. */
static size_t
attempts_max(const struct msg *m)
{
	const struct target *t = m->queue->target;

	return t->retry != NULL ? t->retries + 1 : ATTEMPTS_MAX;
}

void
engine_detach(struct engine *e, struct msg *m)
{
	switch (m->state) {
	case MSG_READY:
		queue_remove(m->queue, m);
		break;
	case MSG_WAITING:
		engine_unwait(e, m);
		break;
	case MSG_INFLIGHT:
		TAILQ_REMOVE(&m->box->inflight, m, link);
		m->box->inflight_count--;
		m->queue->inflight--;
		break;
	case MSG_ATTEMPTING:
		engine_unreserve(m);
		break;
	case MSG_PENDING:
	case MSG_HELD:
	case MSG_DONE:
		break;
	}
}

static void
event_init(struct engine *e, Hopyard__V1__Record *r, const struct msg *m,
    Hopyard__V1__Record__Event event)
{
	hopyard__v1__record__init(r);
	r->type = HOPYARD__V1__RECORD__TYPE__EVENT;
	r->at = e->wall;
	r->has_event = true;
	r->event = event;
	r->has_id = true;
	r->id = binary(m->id, sizeof(m->id));
	r->has_ref = true;
	r->ref = m->seq;
	if (m->queue != NULL) {
		const char *name = queue_box(m)->name;

		r->has_link = true;
		r->link = binary(name, strlen(name));
	}
}

static void
event_result(
    Hopyard__V1__Record *r, const Hopyard__V1__Result *res, struct bytes raw)
{
	if (raw.p != NULL) {
		r->has_result = true;
		r->result = binary(raw.p, raw.len);
	}
	if (res != NULL && res->has_status) {
		r->has_status = true;
		r->status = res->status;
	}
}

/*
 * The DLR that an event of the bus's own causes, or NULL when nobody asked.
 * On success the record carries queue and body, and *body is what the body
 * points to: free it after the record is written.
 */
static struct msg *
make_notice(struct engine *e, const struct msg *m, Hopyard__V1__Record *r,
    Hopyard__V1__State state, uint32_t bit, const char *words,
    const char *reason, const Hopyard__V1__Result *res, uint8_t **body,
    size_t *len)
{
	Hopyard__V1__Notice n = HOPYARD__V1__NOTICE__INIT;
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	const Hopyard__V1__Envelope *was;
	const char *name = m->queue->target->name;
	struct queue *q;
	struct msg *notice;
	struct item it;
	uint8_t *packed;

	*body = NULL;
	if (m->kind != HOPYARD__V1__KIND__MT || m->report_queue == 0 ||
	    bit == 0)
		return NULL;
	q = map_get_u64(&e->queue_by_number, m->report_queue);
	if (q == NULL)
		return NULL;
	n.has_state = true;
	n.state = state;
	n.has_mask = true;
	n.mask = bit;
	n.has_link = true;
	n.link = binary(name, strlen(name));
	n.has_text = words != NULL;
	n.text = binary(words, words == NULL ? 0 : strlen(words));
	n.has_reason = reason != NULL;
	n.reason = binary(reason, reason == NULL ? 0 : strlen(reason));
	if (reason != NULL && res != NULL && res->has_reason)
		n.reason = res->reason; /* the words stand in text */
	n.has_possible_dup = m->possible_dup;
	n.possible_dup = m->possible_dup;
	n.has_event_at = true;
	n.event_at = e->wall;
	n.has_parts = true;
	n.parts = m->parts;
	if (res != NULL && res->has_status) {
		n.has_status = true;
		n.status = res->status;
	}
	if (res != NULL && res->n_part > 0 && res->part[0]->has_smsc_id) {
		n.has_smsc_id = true;
		n.smsc_id = res->part[0]->smsc_id;
	}
	*len = hopyard__v1__notice__get_packed_size(&n);
	*body = xmalloc(*len + 1);
	hopyard__v1__notice__pack(&n, *body);

	was = engine_envelope(e, msg_envelope(m));
	env.id = binary(m->id, sizeof(m->id));
	env.kind = HOPYARD__V1__KIND__DLR;
	if (was != NULL) {
		env.has_account = was->has_account;
		env.account = was->account;
		env.has_to = was->has_to;
		env.to = was->to;
		env.has_from = was->has_from;
		env.from = was->from;
	}
	it.envelope.len = hopyard__v1__envelope__get_packed_size(&env);
	packed = xmalloc(it.envelope.len);
	hopyard__v1__envelope__pack(&env, packed);
	it.envelope.p = packed;
	it.body = (struct bytes){ *body, *len };
	it.report = msg_report(m);
	notice = msg_new(&it);
	free(packed);
	memcpy(notice->id, m->id, sizeof(m->id));
	notice->kind = HOPYARD__V1__KIND__DLR;
	notice->class = q->class;
	notice->at = e->wall;
	notice->queue = q;
	r->has_queue = true;
	r->queue = q->number;
	return notice;
}

static void
record_event(struct engine *e, const Hopyard__V1__Record *r,
    const struct msg *m, struct entry *en, uint8_t *body, size_t len)
{
	/* The store puts the report into its map of open receipts. */
	bool report = r->event == HOPYARD__V1__RECORD__EVENT__SUBMITTED_EV ||
	    r->event == HOPYARD__V1__RECORD__EVENT__RETRY_EV;

	en->seq = engine_record(e, r, (struct bytes){ NULL, 0 },
	    (struct bytes){ body, len },
	    report ? msg_report(m) : (struct bytes){ NULL, 0 });
	if (en->notice != NULL)
		en->notice->seq = en->seq;
	ledger_expect(&e->ledger, en);
	free(body);
}

static uint32_t
mask_of(const struct msg *m, Hopyard__V1__State state)
{
	switch (state) {
	case HOPYARD__V1__STATE__REJECTED:
		/* 16 for those who know it, else it is a failure. */
		if (m->report_mask & MASK_REJECTED)
			return MASK_REJECTED;
		return m->report_mask & MASK_FAILED;
	case HOPYARD__V1__STATE__DELIVERED:
		return m->report_mask & MASK_DELIVERED;
	case HOPYARD__V1__STATE__SUBMITTED:
	case HOPYARD__V1__STATE__SENT:
		return m->report_mask & MASK_SUBMITTED;
	default:
		return m->report_mask & MASK_FAILED;
	}
}

static void
make_final(struct engine *e, struct msg *m, Hopyard__V1__State state,
    const char *reason, const uint8_t *other, uint32_t peer, uint64_t number,
    const Hopyard__V1__Result *res, struct bytes raw)
{
	Hopyard__V1__Record r;
	struct entry en = {
		.kind = ENTRY_CLOSE, .peer = peer, .number = number, .msg = m
	};
	bool mt = m->kind == HOPYARD__V1__KIND__MT;
	char words[192];
	uint8_t *body;
	size_t len = 0;

	engine_cancel_late(e, m);
	/* A report or an MO that nobody takes is parked, not failed. */
	if (!mt)
		state = HOPYARD__V1__STATE__DEAD;
	event_init(e, &r, m,
	    mt ? HOPYARD__V1__RECORD__EVENT__FINAL
	       : HOPYARD__V1__RECORD__EVENT__DEAD_EV);
	event_result(&r, res, raw);
	r.has_state = true;
	r.state = state;
	r.has_closes = true;
	r.closes = true;
	r.has_detail = reason != NULL;
	r.detail = binary(reason, reason == NULL ? 0 : strlen(reason));
	r.has_possible_dup = m->possible_dup;
	r.possible_dup = m->possible_dup;
	r.has_other = other != NULL;
	r.other = binary(other, other == NULL ? 0 : sizeof(m->id));
	snprintf(words, sizeof(words), "NACK/%s", reason);
	en.notice = make_notice(e, m, &r, state, mask_of(m, state), words,
	    state_words[state], res, &body, &len);
	msg_enter_state(m, MSG_DONE);
	engine_say(e, mt ? "msg.final" : "hook.parked", m, queue_box(m)->name,
	    state_words[state], reason);
	record_event(e, &r, m, &en, body, len);
	queue_box(m)->failed_count++;
}

void
engine_make_final(struct engine *e, struct msg *m, Hopyard__V1__State state,
    const char *reason, uint32_t peer, uint64_t number,
    const Hopyard__V1__Result *res, struct bytes raw)
{
	make_final(e, m, state, reason, NULL, peer, number, res, raw);
}

void
engine_make_replaced(struct engine *e, struct msg *m, const uint8_t other[16],
    uint32_t peer, uint64_t number, const Hopyard__V1__Result *res,
    struct bytes raw)
{
	m->report_mask = 0;
	make_final(e, m, HOPYARD__V1__STATE__CANCELLED, "replaced", other, peer,
	    number, res, raw);
}

void
engine_reroute(struct engine *e, struct msg *m, struct target *to,
    const char *why, const Hopyard__V1__Result *res, struct bytes raw)
{
	Hopyard__V1__Record r;
	struct entry en = { .kind = ENTRY_NONE };
	const char *account = m->queue->account;
	struct queue *q = engine_queue(e, to, m->class, account);

	m->queue = q;
	event_init(e, &r, m, HOPYARD__V1__RECORD__EVENT__REROUTED);
	event_result(&r, res, raw);
	r.has_attempt = true;
	r.attempt = m->attempts;
	r.has_possible_dup = m->possible_dup;
	r.possible_dup = m->possible_dup;
	r.has_detail = true;
	r.detail = binary(why, strlen(why));
	engine_say(e, "msg.rerouted", m, to->name, "queued", why);
	record_event(e, &r, m, &en, NULL, 0);
	m->moved = en.seq;
	e->count.rerouted++;
	engine_ready(e, m, false);
}

/* Not counted as an attempt unless the caller has. */
static void
retry(struct engine *e, struct msg *m, uint64_t wait, const char *why,
    uint32_t peer, uint64_t number, const Hopyard__V1__Result *res,
    struct bytes raw)
{
	Hopyard__V1__Record r;
	struct entry en = {
		.kind = ENTRY_NONE, .peer = peer, .number = number
	};

	if (m->expires != 0 && e->now + wait >= m->expires &&
	    m->kind == HOPYARD__V1__KIND__MT && wait > WAIT_IN_MEMORY)
		wait = m->expires > e->now ? m->expires - e->now : 0;
	event_init(e, &r, m, HOPYARD__V1__RECORD__EVENT__RETRY_EV);
	event_result(&r, res, raw);
	r.has_attempt = true;
	r.attempt = m->attempts;
	r.has_wait_ms = true;
	r.wait_ms = wait;
	r.has_detail = why != NULL;
	r.detail = binary(why, why == NULL ? 0 : strlen(why));
	r.has_possible_dup = m->possible_dup;
	r.possible_dup = m->possible_dup;
	e->count.retries++;
	queue_box(m)->retried++;
	engine_say(e, "msg.retry", m, queue_box(m)->name, "queued", why);
	if (wait > WAIT_IN_MEMORY) {
		r.has_due_at = true;
		r.due_at = engine_due_at(e, wait);
		r.has_closes = true;
		r.closes = true;
		en.kind = ENTRY_CLOSE;
		en.msg = m;
		msg_enter_state(m, MSG_DONE);
		m->to_due = true;
	}
	record_event(e, &r, m, &en, NULL, 0);
	if (m->state != MSG_DONE)
		engine_wait(e, m, wait);
	else
		engine_due_written(e, r.due_at, en.seq);
	/* Not to be read again before it is there. */
	if (m->queue->customer != NULL)
		m->moved = en.seq;
}

void
engine_postpone(struct engine *e, struct msg *m, const char *why)
{
	struct bytes none = { NULL, 0 };

	retry(e, m, spread(e, ladder_esme[ARRAY_LEN(ladder_esme) - 1]), why, 0,
	    0, NULL, none);
}

void
engine_hold_back(struct engine *e, struct msg *m)
{
	uint64_t wait = m->send_at - e->wall;
	struct bytes none = { NULL, 0 };

	if (wait > WAIT_IN_MEMORY) {
		retry(e, m, wait, "waits for its time", 0, 0, NULL, none);
		return;
	}
	m->scheduled = true;
	engine_wait(e, m, wait);
}

void
engine_unknown(struct engine *e, struct msg *m, uint32_t peer, uint64_t number,
    struct bytes raw, const char *why)
{
	uint64_t wait = 0;
	bool given_up;

	engine_cancel_late(e, m);
	m->attempts++;
	if (m->kind != HOPYARD__V1__KIND__MT) {
		/* At worst a callback is made twice; but it may be this item
		 * that ends the box each time.  A customer may have said
		 * "later" as often as it liked: there the first death of a
		 * server is forgiven. */
		m->resends++;
		if (m->queue->customer != NULL) {
			given_up =
			    m->possible_dup && m->attempts >= ATTEMPTS_MAX;
			m->possible_dup = true;
		} else {
			given_up = m->resends >= ATTEMPTS_MAX ||
			    m->attempts >= attempts_max(m);
		}
		if (given_up) {
			engine_make_final(e, m, HOPYARD__V1__STATE__DEAD, why,
			    peer, number, NULL, raw);
			return;
		}
		if (m->attempts > 1)
			wait = ladder_wait(e, m);
		retry(e, m, wait, why, peer, number, NULL, raw);
		return;
	}
	m->possible_dup = true;
	if (m->class == CLASS_COUNT - 1 || m->resends >= RESENDS_MAX) {
		engine_make_final(e, m, HOPYARD__V1__STATE__UNKNOWN, why, peer,
		    number, NULL, raw);
		return;
	}
	m->resends++;
	if (m->class == 2)
		wait = TXN_HOLD;
	retry(e, m, wait, why, peer, number, NULL, raw);
}

static void
submitted(struct engine *e, struct msg *m, const Hopyard__V1__Result *res,
    struct bytes raw, uint32_t peer, uint64_t number)
{
	Hopyard__V1__Record r;
	struct entry en = {
		.kind = ENTRY_CLOSE, .peer = peer, .number = number, .msg = m
	};
	bool receipt = (m->report_mask &
			   (MASK_DELIVERED | MASK_FAILED | MASK_BUFFERED)) != 0;
	Hopyard__V1__State state =
	    receipt ? HOPYARD__V1__STATE__SUBMITTED : HOPYARD__V1__STATE__SENT;
	uint8_t *body;
	size_t len = 0;

	event_init(e, &r, m, HOPYARD__V1__RECORD__EVENT__SUBMITTED_EV);
	event_result(&r, res, raw);
	r.has_state = true;
	r.state = state;
	r.has_closes = true;
	r.closes = true;
	r.has_attempt = true;
	r.attempt = m->attempts + 1u;
	r.has_possible_dup = m->possible_dup;
	r.possible_dup = m->possible_dup;
	r.has_report_mask = m->report_mask != 0;
	r.report_mask = m->report_mask;
	r.has_report_queue = m->report_queue != 0;
	r.report_queue = m->report_queue;
	if (receipt && m->expires != 0) {
		r.has_receipt_by = true;
		r.receipt_by =
		    e->wall - e->now + m->expires + ENGINE_RECEIPT_GRACE;
	}
	en.notice = make_notice(e, m, &r, state, mask_of(m, state), "ACK/",
	    "sent", res, &body, &len);
	msg_enter_state(m, MSG_DONE);
	m->submitted = receipt;
	engine_say(e, "msg.sent", m, m->queue->target->name, "sent", NULL);
	record_event(e, &r, m, &en, body, len);
	e->count.submitted++;
	m->queue->target->submitted++;
}

static void
notified(struct engine *e, struct msg *m, const Hopyard__V1__Result *res,
    struct bytes raw, uint32_t peer, uint64_t number)
{
	Hopyard__V1__Record r;
	struct entry en = {
		.kind = ENTRY_CLOSE, .peer = peer, .number = number, .msg = m
	};

	event_init(e, &r, m, HOPYARD__V1__RECORD__EVENT__NOTIFIED);
	event_result(&r, res, raw);
	r.has_closes = true;
	r.closes = true;
	r.has_attempt = true;
	r.attempt = m->attempts + 1u;
	msg_enter_state(m, MSG_DONE);
	engine_say(e,
	    m->kind == HOPYARD__V1__KIND__MO ? "mo.delivered" : "msg.reported",
	    m, queue_box(m)->name, "ok", NULL);
	record_event(e, &r, m, &en, NULL, 0);
	e->count.notified++;
	queue_box(m)->submitted++;
}

/* Parts that the SMSC has taken need not go again. */
static bool
note_parts(struct msg *m, const Hopyard__V1__Result *res)
{
	uint32_t done[255];
	size_t n = 0;
	bool news = false;

	for (size_t i = 0; i < m->part_done_count && n < ARRAY_LEN(done); i++)
		done[n++] = m->part_done[i];
	for (size_t i = 0; i < res->n_part && n < ARRAY_LEN(done); i++) {
		bool known = false;

		if (!res->part[i]->has_smsc_id || res->part[i]->status != 0)
			continue;
		for (size_t k = 0; k < n; k++)
			known |= done[k] == res->part[i]->part;
		if (!known) {
			done[n++] = res->part[i]->part;
			news = true;
		}
	}
	if (news)
		msg_set_part_done(m, done, n);
	return news;
}

static void
reroute_or_fail(struct engine *e, struct msg *m, const Hopyard__V1__Result *res,
    struct bytes raw, const char *why, uint32_t peer, uint64_t number)
{
	struct entry en = {
		.kind = ENTRY_NONE, .peer = peer, .number = number
	};
	const Hopyard__V1__Envelope *env;
	const struct route *route = NULL;
	struct target *to = NULL;
	bool up = false;

	msg_add_tried(m, m->queue->target);
	/* The parts of one message stay on one link. */
	if (m->kind == HOPYARD__V1__KIND__MT && m->part_done_count == 0 &&
	    m->attempts < ATTEMPTS_MAX &&
	    (env = engine_envelope(e, msg_envelope(m))) != NULL)
		route = engine_route(e, env);
	if (route != NULL)
		to = engine_choose(route, m, &up, NULL, 0);
	if (to == NULL) {
		engine_make_final(e, m, HOPYARD__V1__STATE__REJECTED, why, peer,
		    number, res, raw);
		return;
	}
	/* The REROUTED record says it all. */
	engine_reroute(e, m, to, why, res, raw);
	en.seq = e->ledger.last_seq;
	ledger_expect(&e->ledger, &en);
}

static void
not_now(struct engine *e, struct msg *m, const Hopyard__V1__Result *res,
    struct bytes raw, const char *why, uint32_t peer, uint64_t number)
{
	struct queue *q = m->queue;
	uint64_t pause = res->has_pause_ms ? res->pause_ms : 0;

	if (pause > NOT_NOW_MAX)
		pause = NOT_NOW_MAX;
	if (res->pause_link) {
		struct target *t = queue_box(m);

		if (e->now + pause > t->pause_until)
			t->pause_until = e->now + pause;
	} else if (pause > 0) {
		if (e->now + pause > q->pause_until)
			q->pause_until = e->now + pause;
	}
	if (note_parts(m, res)) {
		retry(e, m, pause < NOT_NOW_MIN ? NOT_NOW_MIN : pause, why,
		    peer, number, res, raw);
		return;
	}
	/* Nothing happened that must be kept. */
	e->ops->settle(
	    e->arg, peer, number, HOPYARD__V1__ACK__CODE__ACK_OK, NULL);
	if (pause == 0)
		engine_wait(e, m, NOT_NOW_MIN);
	else
		engine_ready(e, m, true);
}

/* Nothing of it has been taken, so that it may still be cancelled. */
static bool
untaken(const struct msg *m, const Hopyard__V1__Result *res)
{
	switch (res->code) {
	case HOPYARD__V1__RESULT__CODE__OK:
	case HOPYARD__V1__RESULT__CODE__FAIL:
	case HOPYARD__V1__RESULT__CODE__UNKNOWN_OUTCOME:
		return false;
	default:
		break;
	}
	for (size_t i = 0; i < res->n_part; i++)
		if (res->part[i]->has_smsc_id && res->part[i]->status == 0)
			return false;
	return m->part_done_count == 0;
}

void
engine_finish_result(struct engine *e, struct msg *m,
    const Hopyard__V1__Result *res, struct bytes raw, uint32_t peer,
    uint64_t number)
{
	char why[160];
	size_t len;

	len = res->detail.len < sizeof(why) ? res->detail.len : sizeof(why) - 1;
	if (len > 0)
		memcpy(why, res->detail.data, len);
	why[len] = '\0';
	if (why[0] == '\0' && res->has_status)
		snprintf(why, sizeof(why), "status 0x%08x", res->status);
	if (m->cancel_token != 0 && untaken(m, res) &&
	    engine_cancel_now(e, m, peer, number, res, raw))
		return;
	engine_cancel_late(e, m);
	/* What it may wait for now is not its time, which it keeps. */
	m->scheduled = false;
	switch (res->code) {
	case HOPYARD__V1__RESULT__CODE__OK:
		if (m->kind == HOPYARD__V1__KIND__MT)
			submitted(e, m, res, raw, peer, number);
		else
			notified(e, m, res, raw, peer, number);
		return;
	case HOPYARD__V1__RESULT__CODE__RETRY:
		m->attempts++;
		note_parts(m, res);
		/* A customer may take as long as it is worth having. */
		if (m->attempts >= attempts_max(m) &&
		    m->queue->customer == NULL)
			engine_make_final(e, m,
			    HOPYARD__V1__STATE__UNDELIVERABLE,
			    why[0] != '\0' ? why : "retries exceeded", peer,
			    number, res, raw);
		else
			retry(e, m, ladder_wait(e, m), why, peer, number, res,
			    raw);
		return;
	case HOPYARD__V1__RESULT__CODE__REROUTE:
		m->attempts++;
		reroute_or_fail(e, m, res, raw, why, peer, number);
		return;
	case HOPYARD__V1__RESULT__CODE__FAIL:
		engine_make_final(e, m, HOPYARD__V1__STATE__REJECTED, why, peer,
		    number, res, raw);
		return;
	case HOPYARD__V1__RESULT__CODE__UNKNOWN_OUTCOME:
		note_parts(m, res);
		engine_unknown(e, m, peer, number, raw,
		    why[0] != '\0' ? why : "no answer from the SMSC");
		return;
	case HOPYARD__V1__RESULT__CODE__NOT_NOW:
	case HOPYARD__V1__RESULT__CODE__THROTTLED:
	case HOPYARD__V1__RESULT__CODE__RECALLED:
		not_now(e, m, res, raw, why, peer, number);
		return;
	case HOPYARD__V1__RESULT__CODE__CODE_NONE:
	case _HOPYARD__V1__RESULT__CODE_IS_INT_SIZE:
		break;
	}
	/* A code that is newer than we are: nothing is known to have gone. */
	not_now(e, m, res, raw, why, peer, number);
}

/* The result of an item that a restart has put out of our memory. */
static void
look_up_result(struct engine *e, struct target *t, uint32_t peer,
    uint64_t number, const Hopyard__V1__Result *res, struct bytes raw,
    bool deferred)
{
	struct lookup *l;

	if (!res->has_id || res->id.len != 16 ||
	    e->lookups.count >= LOOKUPS_MAX) {
		e->ops->settle(
		    e->arg, peer, number, HOPYARD__V1__ACK__CODE__ACK_OK, NULL);
		return;
	}
	l = xcalloc(1, sizeof(*l) + raw.len);
	l->why = LOOKUP_RESULT;
	memcpy(l->id, res->id.data, 16);
	l->ref = res->ref;
	l->target = t;
	l->peer = peer;
	l->number = number;
	l->result_len = raw.len;
	memcpy(l->result, raw.p, raw.len);
	l->deferred = deferred;
	engine_look_up(e, l);
}

/* It was counted already: a box that lost its connection repeats what it has
 * not been told to forget. */
static bool
stale(const struct msg *m, const Hopyard__V1__Result *res)
{
	if ((m->state != MSG_READY && m->state != MSG_WAITING) ||
	    !res->has_attempt || res->attempt > m->attempts)
		return false;
	switch (res->code) {
	case HOPYARD__V1__RESULT__CODE__RETRY:
	case HOPYARD__V1__RESULT__CODE__NOT_NOW:
	case HOPYARD__V1__RESULT__CODE__THROTTLED:
	case HOPYARD__V1__RESULT__CODE__RECALLED:
		return true;
	case HOPYARD__V1__RESULT__CODE__UNKNOWN_OUTCOME:
		return m->possible_dup;
	default:
		return false;
	}
}

/* The link that has sent it, in whose name its receipts will come. */
void
engine_goes_by(struct engine *e, struct msg *m, struct target *t)
{
	m->box = t;
	if (t->role != TARGET_ESME && m->queue->target != t)
		m->queue = engine_queue(e, t, m->class, m->queue->account);
}

void
engine_result(struct engine *e, struct target *t, uint32_t peer,
    uint64_t number, const struct item *it)
{
	const Hopyard__V1__Result *res;
	struct entry en = {
		.kind = ENTRY_NONE, .peer = peer, .number = number
	};
	struct msg *m;

	/* An arena of its own: the envelopes use the engine's. */
	arena_reset(&e->result_arena);
	res = frame_unpack(&e->result_arena, &hopyard__v1__result__descriptor,
	    it->envelope.p, it->envelope.len);
	if (!e->open || res == NULL || it->envelope.len > ENGINE_RESULT_MAX) {
		e->ops->settle(e->arg, peer, number,
		    HOPYARD__V1__ACK__CODE__INVALID,
		    "result does not parse, or is too long");
		return;
	}
	/* It is in nobody's hands any more, whether loaded or not. */
	if (t->in_hand.count > 0)
		map_del_u64(&t->in_hand, res->ref);
	m = map_get_u64(&e->by_seq, res->ref);
	if (m == NULL || (m->state == MSG_DONE && m->to_due)) {
		look_up_result(
		    e, t, peer, number, res, it->envelope, m != NULL);
		return;
	}
	if (t->role != m->queue->target->role ||
	    (res->has_id &&
		(res->id.len != sizeof(m->id) ||
		    memcmp(res->id.data, m->id, sizeof(m->id)) != 0))) {
		e->ops->settle(e->arg, peer, number,
		    HOPYARD__V1__ACK__CODE__INVALID,
		    "result is about another box's item");
		return;
	}
	if (m->state == MSG_DONE || m->state == MSG_PENDING ||
	    (!queue_serves(m, t) &&
		res->code != HOPYARD__V1__RESULT__CODE__OK) ||
	    stale(m, res)) {
		/* Said before, or overtaken. */
		en.seq = e->ledger.last_seq;
		ledger_expect(&e->ledger, &en);
		return;
	}
	if (m->state == MSG_INFLIGHT && m->box != t)
		e->ops->recall(e->arg, m->box, m->seq);
	engine_detach(e, m);
	engine_goes_by(e, m, t);
	engine_finish_result(e, m, res, it->envelope, peer, number);
}

void
engine_keep_notice(struct engine *e, struct msg *m)
{
	struct queue *q = m->queue;

	/* A page may have been quicker. */
	if (m->seq <= q->paged_to || map_get_u64(&e->by_seq, m->seq) != NULL) {
		msg_free(m);
		return;
	}
	if (m->expires == 0)
		m->expires =
		    engine_expires(e, m->seq, m->at + engine_dlr_validity(q));
	if (!engine_room(e, q)) {
		engine_spill(e, q, m->seq);
		msg_free(m);
		return;
	}
	engine_kept(q, m->seq);
	engine_keep(e, m, q, false);
	engine_ready(e, m, false);
}

/* ---------------------------------------------------------------- cancel */

void
engine_answer(struct engine *e, uint64_t token, unsigned code, const char *text)
{
	if (token >= REPLACE_TOKEN)
		replace_failed(e, token, code, text);
	else
		e->ops->answer(e->arg, token & ~WITHDRAW_TOKEN, code, text);
}

static void
look_up_cancel(struct engine *e, const uint8_t id[16], struct bytes account,
    uint64_t token, bool deferred)
{
	struct entry entry = { .kind = ENTRY_LOOKUP };
	struct lookup *l;

	/* The other half is for results. */
	if (!e->open || e->lookups.count >= LOOKUPS_MAX / 2) {
		engine_answer(e, token, 503, "try again later");
		return;
	}
	l = xcalloc(1, sizeof(*l) + account.len);
	l->why = LOOKUP_CANCEL;
	memcpy(l->id, id, 16);
	l->number = token;
	l->deferred = deferred;
	l->result_len = account.len;
	if (account.len > 0)
		memcpy(l->result, account.p, account.len);
	if ((token & WITHDRAW_TOKEN) == 0 ||
	    e->ledger.last_seq <= e->ledger.horizon) {
		engine_look_up(e, l);
		return;
	}
	/* Nobody was told that it is stored: its record may still be on the
	 * way. */
	l->deferred = true;
	engine_look_up(e, l);
	if (deferred)
		return;
	entry.seq = e->ledger.last_seq;
	entry.number = l->correlation;
	ledger_expect(&e->ledger, &entry);
}

void
engine_cancel(struct engine *e, const uint8_t id[16], struct bytes account,
    uint64_t token)
{
	struct msg *m = map_get(&e->by_id, id, 16);
	struct bytes none = { NULL, 0 };

	if (m == NULL) {
		look_up_cancel(e, id, account, token, false);
		return;
	}
	if (m->kind != HOPYARD__V1__KIND__MT) {
		engine_answer(e, token, 404, "no such message");
		return;
	}
	if (account.p != NULL &&
	    (strlen(m->queue->account) != account.len ||
		memcmp(m->queue->account, account.p, account.len) != 0)) {
		engine_answer(e, token, 404, "no such message");
		return;
	}
	if (m->cancel_token != 0) {
		engine_answer(e, token, 409, "a cancel is under way");
		return;
	}
	if (m->state == MSG_DONE && m->to_due) {
		look_up_cancel(e, id, account, token, true);
		return;
	}
	if (m->state == MSG_DONE) {
		engine_answer(e, token, 409, "too late: it was sent");
		return;
	}
	m->cancel_token = token;
	switch (m->state) {
	case MSG_READY:
		engine_detach(e, m);
		engine_ready(e, m, true);
		return;
	case MSG_WAITING:
		engine_detach(e, m);
		if (!engine_cancel_now(e, m, 0, 0, NULL, none))
			engine_wait(
			    e, m, m->due > e->now ? m->due - e->now : 0);
		return;
	case MSG_INFLIGHT:
		e->ops->recall(e->arg, m->box, m->seq);
		return;
	case MSG_PENDING:    /* it may turn out to be a duplicate */
	case MSG_ATTEMPTING: /* until its record is durable */
	case MSG_HELD:       /* not an MT */
	case MSG_DONE:
		return;
	}
}

bool
engine_cancel_now(struct engine *e, struct msg *m, uint32_t peer,
    uint64_t number, const Hopyard__V1__Result *res, struct bytes raw)
{
	struct entry en = { .kind = ENTRY_NONE,
		.peer = ENGINE_PEER_CALL,
		.number = m->cancel_token };

	m->cancel_token = 0;
	if (en.number >= REPLACE_TOKEN)
		return replace_now(e, en.number, m, peer, number, res, raw);
	if (en.number & WITHDRAW_TOKEN) {
		/* To its customer it was never there. */
		m->report_mask = 0;
		m->withdrawn = true;
		e->count.withdrawn++;
		en.number &= ~WITHDRAW_TOKEN;
	}
	engine_make_final(e, m, HOPYARD__V1__STATE__CANCELLED,
	    m->withdrawn ? "withdrawn: the front end had to refuse it"
			 : "canceled",
	    peer, number, res, raw);
	en.seq = e->ledger.last_seq;
	ledger_expect(&e->ledger, &en);
	return true;
}

void
engine_cancel_late(struct engine *e, struct msg *m)
{
	uint64_t token = m->cancel_token;

	if (token == 0)
		return;
	m->cancel_token = 0;
	engine_answer(e, token, 409, "too late: it was sent");
}

/* ------------------------------------------------------------- withdrawal */

/* Before the store is there; more are refused. */
#define EARLY_MAX 65536

struct early {
	uint8_t id[16];
	uint64_t token;
};

void
engine_withdraw(struct engine *e, const uint8_t id[16], uint64_t token)
{
	struct msg *m = map_get(&e->by_id, id, 16);
	struct bytes none = { NULL, 0 };
	struct early early = { .token = token };

	assert(token < WITHDRAW_TOKEN);
	if (!e->open) {
		if (buf_len(&e->early) >= EARLY_MAX * sizeof(early)) {
			engine_answer(e, token, 503, "try again later");
			return;
		}
		memcpy(early.id, id, sizeof(early.id));
		buf_add(&e->early, &early, sizeof(early));
		return;
	}
	if (m != NULL && m->withdrawn) {
		engine_answer(e, token, 0, NULL);
		return;
	}
	/* Asked again, because the answer was lost or took long. */
	if (m != NULL && m->cancel_token < REPLACE_TOKEN &&
	    (m->cancel_token & WITHDRAW_TOKEN) != 0) {
		uint64_t old = m->cancel_token;

		m->cancel_token = token | WITHDRAW_TOKEN;
		engine_answer(e, old, 503, "it was asked again");
		return;
	}
	if (e->filtering)
		filters_withdraw(e, id);
	engine_cancel(e, id, none, token | WITHDRAW_TOKEN);
}

void
engine_withdraw_early(struct engine *e)
{
	struct buf all = e->early;
	struct early early;

	buf_init(&e->early);
	for (size_t i = 0; i + sizeof(early) <= buf_len(&all);
	     i += sizeof(early)) {
		memcpy(&early, (const char *)buf_data(&all) + i, sizeof(early));
		engine_withdraw(e, early.id, early.token);
	}
	buf_fini(&all);
}

/* ---------------------------------------------------------------- replay */

void
engine_replay(struct engine *e, const uint8_t id[16], const uint8_t new_id[16],
    bool force, uint64_t token)
{
	struct lookup *l;

	if (map_get(&e->by_id, id, 16) != NULL) {
		e->ops->answer(
		    e->arg, token, 409, "the message is still being sent");
		return;
	}
	if (!e->open || e->lookups.count >= LOOKUPS_MAX) {
		e->ops->answer(e->arg, token, 503, "try again later");
		return;
	}
	l = xcalloc(1, sizeof(*l));
	l->why = LOOKUP_REPLAY;
	memcpy(l->id, id, 16);
	memcpy(l->new_id, new_id, 16);
	l->force = force;
	l->number = token;
	engine_look_up(e, l);
}

static const char *
replay_refusal(const struct lookup *l)
{
	switch (l->state) {
	case HOPYARD__V1__STATE__UNDELIVERABLE:
	case HOPYARD__V1__STATE__EXPIRED:
	case HOPYARD__V1__STATE__REJECTED:
	case HOPYARD__V1__STATE__CANCELLED:
	case HOPYARD__V1__STATE__DEAD:
		return NULL;
	case HOPYARD__V1__STATE__UNKNOWN:
	case HOPYARD__V1__STATE__SUBMITTED:
	case HOPYARD__V1__STATE__BUFFERED:
	case HOPYARD__V1__STATE__SENT:
	case HOPYARD__V1__STATE__DELIVERED:
		return l->force ? NULL
				: "it was sent, and may arrive twice; force "
				  "it if that is wanted";
	default:
		return "the message is still on its way";
	}
}

/* Says on the old message what became of it. */
static void
record_replay(struct engine *e, const struct lookup *l)
{
	Hopyard__V1__Record r;
	struct bytes none = { NULL, 0 };

	event_init(e, &r, l->msg, HOPYARD__V1__RECORD__EVENT__REPLAYED);
	/* As bytes: the text form is for people. */
	r.has_detail = true;
	r.detail = binary(l->new_id, sizeof(l->new_id));
	engine_record(e, &r, none, none, none);
}

void
engine_replay_found(struct engine *e, const struct lookup *l)
{
	const Hopyard__V1__Envelope *was;
	Hopyard__V1__Envelope env;
	const char *refusal = replay_refusal(l);
	uint64_t accepted = e->count.accepted;
	uint8_t *packed;
	struct item it;

	was = engine_envelope(e, msg_envelope(l->msg));
	if (refusal != NULL || was == NULL) {
		e->ops->answer(e->arg, l->number, 409,
		    refusal != NULL ? refusal : "it cannot be read any more");
		return;
	}
	/* All of the old envelope but the name and the time to wait. */
	env = *was;
	env.id = binary(l->new_id, sizeof(l->new_id));
	env.has_delay_ms = env.has_replaces = false;
	env.has_reply_to = true;
	env.reply_to = binary(l->id, sizeof(l->id));
	it.envelope.len = hopyard__v1__envelope__get_packed_size(&env);
	packed = xmalloc(it.envelope.len);
	hopyard__v1__envelope__pack(&env, packed);
	it.envelope.p = packed;
	it.body = msg_body(l->msg);
	it.report = msg_report(l->msg);
	it.context = (struct bytes){ NULL, 0 };
	engine_submit(e, ENGINE_PEER_CALL, l->number, "replay", 60000, &it);
	free(packed);
	if (e->count.accepted != accepted)
		record_replay(e, l);
}
