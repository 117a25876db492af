/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * admit.c - what comes into the bus: new messages from front ends and hooks,
 * MO and receipts from connectors.  Each is refused at once or recorded; the
 * sender is told when the record is durable.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/inbound.h"
#include "common/uuid.h"
#include "core/engine.h"
#include "core/repeat.h"

#define ID_FUTURE_MS     (5 * 60 * 1000)
#define MINUTE_MS        (60 * 1000ull)
#define HOUR_MS          (60 * MINUTE_MS)
#define VALIDITY_MAX     (7 * 24 * HOUR_MS)
#define MO_VALIDITY      (7 * 24 * HOUR_MS)
#define MO_VALIDITY_ESME (72 * HOUR_MS)
/* Later than this and a message waits in the store's due table. */
#define DUE_TABLE_MS MINUTE_MS
/* Records that wait for the store: new messages are refused first, what
 * carriers bring later. */
#define LEDGER_BYTES (64 * 1024 * 1024)
#define LEDGER_MORE  (16 * 1024 * 1024)

static const uint64_t class_validity[CLASS_COUNT] = {
	5 * MINUTE_MS, /* otp */
	24 * HOUR_MS,  /* alert */
	24 * HOUR_MS,  /* txn */
	48 * HOUR_MS,  /* bulk */
};

static struct bytes
view(ProtobufCBinaryData b)
{
	return (struct bytes){ b.data, b.len };
}

static ProtobufCBinaryData
text(const char *s)
{
	return (ProtobufCBinaryData){ strlen(s), (uint8_t *)(uintptr_t)s };
}

bool
engine_printable(struct bytes b)
{
	for (size_t i = 0; i < b.len; i++)
		if (b.p[i] < 0x20 || b.p[i] == 0x7f)
			return false;
	return true;
}

/* NULL when the envelope is fit to be stored, else what is wrong with it. */
static const char *
envelope_fault(
    const struct engine *e, const Hopyard__V1__Envelope *env, uint64_t max_age)
{
	uint64_t made;

	if (env->id.len != UUID_LEN)
		return "id is not 16 bytes";
	made = uuid_time_ms(env->id.data);
	if (made > e->wall + ID_FUTURE_MS || made + max_age < e->wall)
		return "id is too old or too new; are the clocks right?";
	if (env->to.len == 0 || env->to.len > ENGINE_ADDRESS_MAX ||
	    !engine_printable(view(env->to)))
		return "destination is empty, too long or not printable";
	if (env->from.len > ENGINE_ADDRESS_MAX ||
	    !engine_printable(view(env->from)))
		return "sender is too long or not printable";
	if (env->parts == 0 || env->parts > 255)
		return "parts is not in 1..255";
	if (env->n_tag > FILTER_TAGS)
		return "too many tags";
	return NULL;
}

const struct route *
engine_route(const struct engine *e, const Hopyard__V1__Envelope *env)
{
	return route_find(e->routes,
	    &(struct route_key){ .account = view(env->account),
		.to = view(env->to),
		.from = view(env->from),
		.tag = env->tag,
		.tags = env->n_tag });
}

struct target *
engine_choose(const struct route *r, const struct msg *m, bool *up, char *why,
    size_t whylen)
{
	struct target *down = NULL;
	size_t len = 0;

	if (why != NULL)
		why[0] = '\0';
	for (size_t i = 0; i < r->via_count; i++) {
		struct target *t = r->via[i];
		const char *reason = NULL;

		if (!t->configured)
			reason = "removed";
		else if (m != NULL && msg_has_tried(m, t))
			reason = "tried";
		else if (t->admin == TARGET_ADMIN_MAINT)
			reason = "maint";
		else if (t->admin == TARGET_ADMIN_DRAIN)
			reason = "drain";
		else if (!target_usable(t))
			reason = "down";
		if (reason == NULL) {
			*up = true;
			return t;
		}
		if (down == NULL && t->configured &&
		    (m == NULL || !msg_has_tried(m, t)))
			down = t;
		if (why != NULL && len < whylen)
			len += (size_t)snprintf(why + len, whylen - len,
			    "%s%s %s", len == 0 ? "" : ", ", t->name, reason);
	}
	*up = false;
	return down;
}

static struct target *
account_hook(struct engine *e, const struct account *a)
{
	struct target *t = a->hook != NULL ? engine_target(e, a->hook) : NULL;

	return t != NULL && t->role == TARGET_HOOK ? t : e->first_hook;
}

struct admission {
	const Hopyard__V1__Envelope *env;
	const struct item *item;
	struct account *account;
	const struct route *route;
	struct target *target;
	struct queue *queue;
	uint32_t report_queue;
	uint8_t class;
	bool up;
	bool bus_waits; /* until delay_ms have passed; else the SMSC does */
	uint64_t delay_ms;
	uint64_t due_at;   /* of a row in the due table, 0 none */
	uint64_t valid_ms; /* from now on */
	/* What filters did; NULL: none was asked.  With one, what the customer
	 * may send was looked at before, and what filters made of it may
	 * differ. */
	const char *filtered;
	char why[160];
};

static Hopyard__V1__Ack__Code
may_send(
    const struct account *a, const Hopyard__V1__Envelope *env, const char **say)
{
	if (!account_may_send_as(a, env->from.data, env->from.len)) {
		*say = "the account may not use this sender";
		return HOPYARD__V1__ACK__CODE__DENIED_SENDER;
	}
	if (!account_may_send_to(a, env->to.data, env->to.len)) {
		*say = "the account may not send to this destination";
		return HOPYARD__V1__ACK__CODE__DENIED_DESTINATION;
	}
	return HOPYARD__V1__ACK__CODE__ACK_OK;
}

static bool
store_lags(struct engine *e)
{
	return e->ledger.bytes > LEDGER_BYTES ||
	    pressure_refuses(&e->pressure, e->ledger.bytes, e->now);
}

static Hopyard__V1__Ack__Code
pay(struct engine *e, struct account *a, const Hopyard__V1__Envelope *env,
    const char **say)
{
	if (account_take(a, env->parts, e->now))
		return HOPYARD__V1__ACK__CODE__ACK_OK;
	*say = "the account is over its rate";
	return HOPYARD__V1__ACK__CODE__THROTTLED;
}

/* ACK_OK, or the refusal with its text. */
static Hopyard__V1__Ack__Code
judge(struct engine *e, struct admission *ad, const char **say)
{
	const Hopyard__V1__Envelope *env = ad->env;
	Hopyard__V1__Ack__Code code;
	uint64_t validity;
	struct target *wanted;

	ad->account =
	    account_get(e->accounts, env->account.data, env->account.len);
	if (ad->account == NULL || ad->account->disabled) {
		*say = "no such account, or it is disabled";
		return HOPYARD__V1__ACK__CODE__DENIED;
	}
	if (ad->filtered == NULL &&
	    (code = may_send(ad->account, env, say)) !=
		HOPYARD__V1__ACK__CODE__ACK_OK)
		return code;
	ad->route = engine_route(e, env);
	if (ad->route == NULL) {
		*say = "no route";
		return HOPYARD__V1__ACK__CODE__NO_ROUTE;
	}
	ad->target =
	    engine_choose(ad->route, NULL, &ad->up, ad->why, sizeof(ad->why));
	if (env->has_link) {
		/* A wanted link counts when the rule offers it. */
		wanted =
		    map_get(&e->target_by_name, env->link.data, env->link.len);
		for (size_t i = 0; wanted != NULL && i < ad->route->via_count;
		     i++)
			if (ad->route->via[i] == wanted && wanted->configured) {
				ad->target = wanted;
				ad->up = target_usable(wanted);
			}
	}
	if (ad->target == NULL) {
		*say = "no link of the route is configured";
		return HOPYARD__V1__ACK__CODE__NO_ROUTE;
	}
	if (store_lags(e)) {
		*say = "the store does not keep up";
		return HOPYARD__V1__ACK__CODE__UNAVAILABLE;
	}
	if (ad->filtered == NULL &&
	    (code = pay(e, ad->account, env, say)) !=
		HOPYARD__V1__ACK__CODE__ACK_OK)
		return code;
	ad->class = env->has_class_ && env->class_ >= 1 && env->class_ <= 4
	    ? (uint8_t)(env->class_ - 1)
	    : ad->account->class;
	if (ad->route->class >= 0)
		ad->class = (uint8_t)ad->route->class;
	ad->delay_ms = env->has_delay_ms ? env->delay_ms : 0;
	if (ad->delay_ms > ENGINE_DELAY_MAX)
		ad->delay_ms = ENGINE_DELAY_MAX;
	validity = env->has_validity_ms && env->validity_ms > 0
	    ? env->validity_ms
	    : class_validity[ad->class];
	if (validity > VALIDITY_MAX)
		validity = VALIDITY_MAX;
	ad->bus_waits = !ad->target->schedules || env->hold;
	if (ad->delay_ms > DUE_TABLE_MS && ad->bus_waits)
		ad->due_at = engine_due_at(e, ad->delay_ms);
	ad->valid_ms = ad->delay_ms + validity;
	return HOPYARD__V1__ACK__CODE__ACK_OK;
}

static uint64_t
record_message(struct engine *e, const struct admission *ad, const char *front)
{
	Hopyard__V1__Record r = HOPYARD__V1__RECORD__INIT;
	char why[sizeof(ad->why)];

	r.type = HOPYARD__V1__RECORD__TYPE__MESSAGE;
	r.at = e->wall;
	r.has_queue = true;
	r.queue = ad->queue->number;
	r.has_expires_at = true;
	r.expires_at = e->wall + ad->valid_ms;
	r.has_due_at = ad->due_at != 0;
	r.due_at = ad->due_at;
	r.has_report_queue = ad->report_queue != 0;
	r.report_queue = ad->report_queue;
	r.has_link = true;
	r.link = text(ad->target->name);
	r.has_rule = true;
	r.rule = text(ad->route->name);
	if (ad->why[0] != '\0') {
		memcpy(why, ad->why, sizeof(why));
		r.why = why;
	}
	r.has_config = true;
	r.config = e->version;
	r.has_account = true;
	r.account = text(ad->account->id);
	if (front != NULL) {
		r.has_detail = true;
		r.detail = text(front);
	}
	return engine_record(
	    e, &r, ad->item->envelope, ad->item->body, ad->item->report);
}

void
engine_spill(struct engine *e, struct queue *q, uint64_t seq)
{
	if (!queue_deep(q)) {
		/* Everything before is in memory or done; but DLRs join a
		 * queue only when they are durable, and those before
		 * this one may still come and spill, too. */
		q->cursor = seq - 1;
		if (q->target->role != TARGET_CONNECTOR &&
		    e->ledger.horizon < q->cursor) {
			q->cursor = e->ledger.horizon;
			if (q->verify < seq)
				q->verify = seq;
		}
		q->tail = seq;
		q->spilled = 0;
		if (!q->away && !TAILQ_LINKED(q, deep_link))
			TAILQ_INSERT_TAIL(
			    &e->deep[q->target->role], q, deep_link);
	} else if (seq <= q->cursor) {
		engine_page_abandon(e, q);
		if (q->verify <= q->cursor)
			q->verify = q->cursor + 1;
		q->cursor = seq - 1;
	}
	q->caught_up = false;
	if (seq > q->tail)
		q->tail = seq;
	/* Items that were kept among those that are not may be done when a
	 * page meets them. */
	if (q->kept_to > q->cursor && q->kept_to >= q->verify)
		q->verify = q->kept_to + 1;
	q->spilled++;
}

void
engine_kept(struct queue *q, uint64_t seq)
{
	if (seq > q->kept_to)
		q->kept_to = seq;
	if (queue_deep(q) && seq <= q->tail && seq >= q->verify)
		q->verify = seq + 1;
}

bool
engine_room(const struct engine *e, const struct queue *q)
{
	if (q->away || engine_full(e) ||
	    q->ready_count >= e->limits.queue_items)
		return false;
	/* Close to the end of a backlog: keep what comes, page the rest. */
	return !queue_deep(q) || q->caught_up;
}

static void
take(struct engine *e, struct admission *ad, uint64_t seq, struct entry *entry)
{
	struct queue *q = ad->queue;
	struct msg *m;

	if (ad->due_at != 0) {
		engine_due_written(e, ad->due_at, seq);
		return;
	}
	if (!engine_room(e, q)) {
		entry->kind = ENTRY_SPILLED;
		engine_spill(e, q, seq);
		return;
	}
	m = msg_new(ad->item);
	m->seq = seq;
	memcpy(m->id, ad->env->id.data, UUID_LEN);
	m->kind = HOPYARD__V1__KIND__MT;
	m->class = ad->class;
	m->parts = (uint16_t)ad->env->parts;
	m->report_mask = ad->env->report_mask;
	m->report_queue = ad->report_queue;
	m->hold = ad->env->hold;
	m->at = e->wall;
	m->expires = e->now + ad->valid_ms;
	if (ad->delay_ms > 0) {
		m->scheduled = ad->bus_waits;
		m->due = e->now + ad->delay_ms;
		m->send_at = e->wall + ad->delay_ms;
	}
	engine_kept(q, seq);
	engine_keep(e, m, q, false);
	entry->kind = ENTRY_MESSAGE;
	entry->msg = m;
}

static size_t
item_length(const struct item *it)
{
	return it->envelope.len + it->body.len + it->report.len;
}

void
engine_refuse(struct engine *e, uint32_t peer, uint64_t number,
    const Hopyard__V1__Envelope *env, Hopyard__V1__Ack__Code code,
    const char *say)
{
	struct engine_note n = { .event = "msg.refused", .why = say };

	e->count.refused++;
	if (e->notes && env != NULL && env->id.len == UUID_LEN) {
		n.id = env->id.data;
		n.to = view(env->to);
		n.from = view(env->from);
		n.account = view(env->account);
		n.status = "refused";
		e->ops->note(e->arg, &n);
	}
	e->ops->settle(e->arg, peer, number, code, say);
}

/* A hand-over of what is in memory: durable when the first one is, so at the
 * latest with everything recorded until now. */
static void
settle_with(struct engine *e, uint32_t peer, uint64_t number, uint64_t seq)
{
	struct entry entry = { .kind = ENTRY_NONE,
		.seq = e->ledger.last_seq,
		.peer = peer,
		.number = number };

	if (seq <= e->ledger.horizon)
		e->ops->settle(
		    e->arg, peer, number, HOPYARD__V1__ACK__CODE__ACK_OK, NULL);
	else
		ledger_expect(&e->ledger, &entry);
}

static bool
repeated(struct engine *e, uint32_t peer, uint64_t number,
    const Hopyard__V1__Envelope *env)
{
	const struct msg *known = map_get(&e->by_id, env->id.data, UUID_LEN);

	if (known == NULL)
		return false;
	settle_with(e, peer, number, known->seq);
	return true;
}

/* What filters did comes first: of links many may be down. */
static void
add_filtered(struct admission *ad)
{
	char why[sizeof(ad->why)];

	snprintf(why, sizeof(why), "%.*s%s%.*s", ENGINE_FILTERED, ad->filtered,
	    ad->why[0] != '\0' ? "; " : "",
	    (int)sizeof(why) - ENGINE_FILTERED - 3, ad->why);
	memcpy(ad->why, why, sizeof(ad->why));
}

Hopyard__V1__Ack__Code
engine_permit(
    struct engine *e, const Hopyard__V1__Envelope *env, const char **say)
{
	struct account *a =
	    account_get(e->accounts, env->account.data, env->account.len);
	Hopyard__V1__Ack__Code code;

	if (a == NULL || a->disabled) {
		*say = "no such account, or it is disabled";
		return HOPYARD__V1__ACK__CODE__DENIED;
	}
	code = may_send(a, env, say);
	if (code == HOPYARD__V1__ACK__CODE__ACK_OK && store_lags(e)) {
		*say = "the store does not keep up";
		code = HOPYARD__V1__ACK__CODE__UNAVAILABLE;
	}
	if (code == HOPYARD__V1__ACK__CODE__ACK_OK)
		code = pay(e, a, env, say);
	if (code != HOPYARD__V1__ACK__CODE__ACK_OK)
		a->refused++;
	return code;
}

static bool
enter(struct engine *e, const Hopyard__V1__Envelope *env, const struct item *it,
    const char *front, uint32_t peer, uint64_t number, const char *filtered,
    Hopyard__V1__Ack__Code *told)
{
	struct admission ad = { .item = it, .env = env, .filtered = filtered };
	struct entry entry = {
		.kind = ENTRY_NONE, .peer = peer, .number = number
	};
	Hopyard__V1__Ack__Code code;
	const char *say = NULL;
	struct target *teller;

	code = judge(e, &ad, &say);
	if (code != HOPYARD__V1__ACK__CODE__ACK_OK) {
		if (ad.account != NULL)
			ad.account->refused++;
		engine_refuse(e, peer, number, ad.env, code, say);
		return false;
	}
	if (filtered != NULL && filtered[0] != '\0')
		add_filtered(&ad);
	ad.queue = engine_queue(e, ad.target, ad.class, ad.account->id);
	/* Without a Report a receipt is asked for, and nobody is called. */
	teller = ad.env->esme ? e->customers : account_hook(e, ad.account);
	if (ad.env->report_mask != 0 && it->report.len > 0 && teller != NULL)
		ad.report_queue =
		    engine_queue(e, teller, ad.class, ad.account->id)->number;
	entry.seq = record_message(e, &ad, front);
	if (!ad.up)
		entry.code = HOPYARD__V1__ACK__CODE__LATER;
	if (e->notes) {
		struct engine_note n = { .event = "msg.accepted",
			.id = ad.env->id.data,
			.to = view(ad.env->to),
			.from = view(ad.env->from),
			.account = view(ad.env->account),
			.via = ad.target->name,
			.status = ad.delay_ms > 0 ? "scheduled" : "queued",
			.why = ad.why[0] != '\0' ? ad.why : NULL };

		e->ops->note(e->arg, &n);
	}
	if (told != NULL) {
		*told = entry.code;
		entry.peer = 0;
	}
	take(e, &ad, entry.seq, &entry);
	ledger_expect(&e->ledger, &entry);
	ad.account->accepted++;
	e->count.accepted++;
	return true;
}

bool
engine_enter(struct engine *e, const struct item *it, const char *front,
    uint32_t peer, uint64_t number, const char *filtered,
    Hopyard__V1__Ack__Code *told)
{
	const Hopyard__V1__Envelope *env = engine_envelope(e, it->envelope);

	assert(env != NULL);
	return enter(e, env, it, front, peer, number, filtered, told);
}

void
engine_admit(struct engine *e, uint32_t peer, uint64_t number,
    const char *front, const Hopyard__V1__Envelope *env, const struct item *it,
    const char *filtered)
{
	if (env->has_replaces)
		replace_submit(e, peer, number, front, env, it, filtered);
	else
		(void)enter(e, env, it, front, peer, number, filtered, NULL);
}

void
engine_submit(struct engine *e, uint32_t peer, uint64_t number,
    const char *front, uint64_t max_age, const struct item *it)
{
	const Hopyard__V1__Envelope *env;
	const char *say;

	if (!e->open) {
		engine_refuse(e, peer, number, NULL,
		    HOPYARD__V1__ACK__CODE__UNAVAILABLE,
		    "the store is not open yet");
		return;
	}
	if (item_length(it) > ENGINE_ITEM_MAX) {
		engine_refuse(e, peer, number, NULL,
		    HOPYARD__V1__ACK__CODE__INVALID, "the message is too long");
		return;
	}
	env = engine_envelope(e, it->envelope);
	if (env == NULL || env->kind != HOPYARD__V1__KIND__MT) {
		engine_refuse(e, peer, number, NULL,
		    HOPYARD__V1__ACK__CODE__INVALID, "envelope does not parse");
		return;
	}
	if ((say = envelope_fault(e, env, max_age)) != NULL) {
		engine_refuse(
		    e, peer, number, env, HOPYARD__V1__ACK__CODE__INVALID, say);
		return;
	}
	if (repeated(e, peer, number, env))
		return;
	if (e->filtering && filters_submit(e, peer, number, front, env, it))
		return;
	engine_admit(e, peer, number, front, env, it, NULL);
}

/* --------------------------------------------------------------- inbound */

static void
receipt(struct engine *e, struct target *t, uint32_t peer, uint64_t number,
    const Hopyard__V1__Envelope *env, const struct item *it)
{
	Hopyard__V1__Record r = HOPYARD__V1__RECORD__INIT;
	struct entry entry = {
		.kind = ENTRY_NONE, .peer = peer, .number = number
	};

	r.type = HOPYARD__V1__RECORD__TYPE__RECEIPT_IN;
	r.at = e->wall;
	r.has_link = true;
	r.link = text(t->name);
	r.has_id = true;
	r.id = env->id;
	entry.seq = engine_record(
	    e, &r, it->envelope, it->body, (struct bytes){ NULL, 0 });
	ledger_expect(&e->ledger, &entry);
	e->count.receipts++;
}

void
engine_mobile_originated(struct engine *e, const char *link, uint32_t peer,
    uint64_t number, const Hopyard__V1__Envelope *env, const struct item *it)
{
	Hopyard__V1__Record r = HOPYARD__V1__RECORD__INIT;
	struct entry entry = {
		.kind = ENTRY_NONE, .peer = peer, .number = number
	};
	const struct inbound_rule *rule;
	struct account *a = NULL;
	struct target *hook = NULL;
	struct queue *q = NULL;
	struct msg *m;

	rule = inbound_match(e->inbound,
	    &(struct inbound_key){
		.link = { (const uint8_t *)link, strlen(link) },
		.to = view(env->to),
		.from = view(env->from),
		.keyword = view(env->keyword) });
	if (rule != NULL) {
		a = account_get(
		    e->accounts, rule->account, strlen(rule->account));
		if (rule->smpp)
			hook = e->customers;
		else if (rule->hook != NULL)
			hook = engine_target(e, rule->hook);
		if (hook == NULL && a != NULL)
			hook = account_hook(e, a);
	}
	if (hook != NULL && a != NULL)
		q = engine_queue(e, hook, a->class, a->id);
	r.type = HOPYARD__V1__RECORD__TYPE__MESSAGE;
	r.at = e->wall;
	r.has_queue = true;
	r.queue = q != NULL ? q->number : 0;
	/* One that is parked has no end that could be missed. */
	r.has_expires_at = q != NULL;
	r.expires_at =
	    e->wall + (hook == e->customers ? MO_VALIDITY_ESME : MO_VALIDITY);
	r.has_link = true;
	r.link = text(link);
	if (rule != NULL) {
		r.has_rule = true;
		r.rule = text(rule->name);
	} else {
		r.why = (char *)(uintptr_t) "no inbound rule takes it; parked";
	}
	r.has_config = true;
	r.config = e->version;
	if (a != NULL) {
		r.has_account = true;
		r.account = text(a->id);
	}
	e->count.inbound++;
	entry.seq = engine_record(e, &r, it->envelope, it->body, it->report);
	if (e->notes) {
		struct engine_note n = { .event = "mo.received",
			.id = env->id.data,
			.to = view(env->to),
			.from = view(env->from),
			.via = link,
			.status = q != NULL ? "queued" : "parked",
			.why = env->possible_dup ? "possible_dup" : NULL };

		e->ops->note(e->arg, &n);
	}
	if (q != NULL && !engine_room(e, q)) {
		entry.kind = ENTRY_SPILLED;
		engine_spill(e, q, entry.seq);
	} else if (q != NULL) {
		m = msg_new(it);
		m->seq = entry.seq;
		memcpy(m->id, env->id.data, UUID_LEN);
		m->kind = HOPYARD__V1__KIND__MO;
		m->class = q->class;
		m->at = e->wall;
		m->expires = e->now + (r.expires_at - e->wall);
		engine_kept(q, m->seq);
		engine_keep(e, m, q, false);
		entry.kind = ENTRY_MESSAGE;
		entry.msg = m;
	}
	ledger_expect(&e->ledger, &entry);
}

static void
note_repeat(
    struct engine *e, const struct target *t, const Hopyard__V1__Envelope *env)
{
	struct engine_note n = { .event = "mo.repeated",
		.id = env->id.data,
		.to = view(env->to),
		.from = view(env->from),
		.via = t->name,
		.status = "known" };

	e->ops->note(e->arg, &n);
}

/* One that is whole and has a fingerprint. */
static void
inbound_print(struct engine *e, struct target *t, uint32_t peer,
    uint64_t number, const Hopyard__V1__Envelope *env, const struct item *it)
{
	struct item marked = *it;
	uint64_t print = env->fingerprint, seq;

	switch (repeat_judge(e, t, env, &marked, &seq)) {
	case REPEAT_SAME:
		if (e->notes)
			note_repeat(e, t, env);
		settle_with(e, peer, number, seq);
		return;
	case REPEAT_MARKED:
		env = engine_envelope(e, marked.envelope);
		break;
	case REPEAT_NEW:
		break;
	}
	engine_mobile_originated(e, t->name, peer, number, env, &marked);
	repeat_remember(e, t, print, e->ledger.last_seq);
}

void
engine_take_inbound(struct engine *e, struct target *t, uint32_t peer,
    uint64_t number, const Hopyard__V1__Envelope *env, const struct item *it)
{
	if (parts_is_part(env))
		parts_admit(e, t, peer, number, env, it);
	else if (env->has_fingerprint)
		inbound_print(e, t, peer, number, env, it);
	else
		engine_mobile_originated(e, t->name, peer, number, env, it);
}

void
engine_inbound(struct engine *e, struct target *t, uint32_t peer,
    uint64_t number, const struct item *it)
{
	const Hopyard__V1__Envelope *env = engine_envelope(e, it->envelope);
	const char *fault;

	if (env == NULL || env->id.len != UUID_LEN ||
	    item_length(it) > ENGINE_ITEM_MAX) {
		engine_refuse(e, peer, number, NULL,
		    HOPYARD__V1__ACK__CODE__INVALID,
		    "envelope does not parse, or the item is too long");
		return;
	}
	if (!e->open || e->ledger.bytes > LEDGER_BYTES + LEDGER_MORE) {
		engine_refuse(e, peer, number, env,
		    HOPYARD__V1__ACK__CODE__UNAVAILABLE,
		    "the store does not keep up");
		return;
	}
	if (env->kind == HOPYARD__V1__KIND__RECEIPT) {
		receipt(e, t, peer, number, env, it);
		return;
	}
	if (env->kind != HOPYARD__V1__KIND__MO ||
	    env->to.len > ENGINE_ADDRESS_MAX ||
	    env->from.len > ENGINE_ADDRESS_MAX) {
		engine_refuse(e, peer, number, env,
		    HOPYARD__V1__ACK__CODE__INVALID,
		    "not an MO or a receipt, or an address is too long");
		return;
	}
	/* So that there is room for what it is marked with. */
	if (env->n_tag > FILTER_TAGS) {
		engine_refuse(e, peer, number, env,
		    HOPYARD__V1__ACK__CODE__INVALID, "too many tags");
		return;
	}
	if (parts_is_part(env) && (fault = parts_fault(t, env)) != NULL) {
		engine_refuse(e, peer, number, env,
		    HOPYARD__V1__ACK__CODE__INVALID, fault);
		return;
	}
	if (repeated(e, peer, number, env))
		return;
	if (e->filtering && filters_inbound(e, t, peer, number, env, it))
		return;
	engine_take_inbound(e, t, peer, number, env, it);
}
