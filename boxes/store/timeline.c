/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/timeline.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/uuid.h"
#include "proto/smpp.h"

#define EVENT(name) HOPYARD__V1__RECORD__EVENT__##name
#define STATE(name) HOPYARD__V1__STATE__##name

/* As boxes/hook names them. */
static const char *const timeline_words[] = {
	[STATE(ACCEPTED)] = "accepted",
	[STATE(SCHEDULED)] = "scheduled",
	[STATE(QUEUED)] = "queued",
	[STATE(SENDING)] = "sending",
	[STATE(SUBMITTED)] = "sent",
	[STATE(BUFFERED)] = "buffered",
	[STATE(DELIVERED)] = "delivered",
	[STATE(UNDELIVERABLE)] = "undelivered",
	[STATE(EXPIRED)] = "expired",
	[STATE(REJECTED)] = "rejected",
	[STATE(CANCELLED)] = "canceled",
	[STATE(UNKNOWN)] = "unknown",
	[STATE(SENT)] = "sent",
	[STATE(DEAD)] = "failed",
};

const char *
timeline_word(unsigned state)
{
	return state < ARRAY_LEN(timeline_words) ? timeline_words[state] : NULL;
}

uint32_t
timeline_states(const char *word, size_t len)
{
	uint32_t set = 0;

	for (unsigned i = 0; i < ARRAY_LEN(timeline_words); i++) {
		if (timeline_words[i] != NULL &&
		    strlen(timeline_words[i]) == len &&
		    strncasecmp(timeline_words[i], word, len) == 0)
			set |= UINT32_C(1) << i;
	}
	return set;
}

static const char *
timeline_class(unsigned class)
{
	static const char *const names[] = { NULL, "otp", "alert", "txn",
		"bulk" };

	return class < ARRAY_LEN(names) ? names[class] : NULL;
}

static const char *
timeline_kind(unsigned kind)
{
	static const char *const names[] = { NULL, "mt", "mo", "dlr",
		"receipt" };

	return kind < ARRAY_LEN(names) ? names[kind] : NULL;
}

static bool
state_is_final(unsigned state)
{
	return state >= STATE(DELIVERED);
}

void
timeline_begin(struct timeline_state *s, const Hopyard__V1__Record *rec)
{
	*s = (struct timeline_state){ .state = STATE(QUEUED) };
	if (rec != NULL && rec->has_due_at && rec->due_at != 0)
		s->state = STATE(SCHEDULED);
	else if (rec != NULL && (!rec->has_queue || rec->queue == 0))
		s->state = STATE(ACCEPTED);
}

void
timeline_fold(
    struct timeline_state *s, unsigned type, unsigned state, bool from_bus)
{
	bool timer =
	    from_bus && (state == STATE(UNKNOWN) || state == STATE(EXPIRED));

	switch (type) {
	case EVENT(ATTEMPT):
		state = STATE(SENDING);
		break;
	case EVENT(RETRY_EV):
	case EVENT(REROUTED):
		state = STATE(QUEUED);
		break;
	case EVENT(SUBMITTED_EV):
	case EVENT(RECEIPT_EV):
		break;
	case EVENT(FINAL):
	case EVENT(CANCELLED_EV):
	case EVENT(DEAD_EV):
		if (s->final && (!s->by_timer || from_bus))
			return;
		s->final = true;
		s->by_timer = timer;
		s->state = state;
		return;
	case EVENT(NOTIFIED): /* an MO that its customer has */
		state = STATE(DELIVERED);
		break;
	case EVENT(JOINED): /* what becomes of it, another message says */
		state = STATE(ACCEPTED);
		break;
	default:
		return;
	}
	/* A receipt of one part of several says nothing of the whole. */
	if (s->final || (type == EVENT(RECEIPT_EV) && state != STATE(BUFFERED)))
		return;
	s->state = state;
	s->final = state_is_final(state);
}

/* ------------------------------------------------------------- small things */

static void
put_bytes(struct json *j, const char *key, ProtobufCBinaryData b)
{
	if (b.len > 0)
		json_text(j, key, b.data, b.len);
}

static void
put_view(struct json *j, const char *key, struct bytes b)
{
	if (b.p != NULL)
		json_text(j, key, b.p, b.len);
	else
		json_none(j, key);
}

static const char *
result_word(unsigned code)
{
	static const char *const words[] = { NULL, "ok", "retry", "reroute",
		"fail", "unknown outcome", "not now", "throttled", "recalled" };

	return code < ARRAY_LEN(words) ? words[code] : NULL;
}

/* command_status of a carrier, or the status of an HTTP endpoint. */
static void
put_status(struct json *j, uint32_t status, bool http)
{
	char name[SMPP_NAME_MAX];

	if (http)
		json_uint(j, "http_status", status);
	else
		json_str(j, "smpp_status", smpp_status_str(status, name));
}

static void
open_event(struct json *j, uint64_t at, const char *event)
{
	json_open_object(j, NULL);
	json_time(j, "at", at);
	json_str(j, "event", event);
}

/*
 * What a carrier wrote into its receipt, without the start of the message that
 * stands at its end.
 */
static void
put_receipt_text(
    const struct timeline *t, struct json *j, ProtobufCBinaryData b)
{
	size_t n = b.len;

	if (!t->control || b.len == 0)
		return;
	for (size_t i = 0; !t->text && i + 5 <= b.len; i++) {
		if (strncasecmp((const char *)b.data + i, "text:", 5) == 0) {
			n = i;
			break;
		}
	}
	while (n > 0 && b.data[n - 1] == ' ')
		n--;
	json_text(j, "text", b.data, n);
}

/* ------------------------------------------------------------------- events */

/* One record of the bus, decoded. */
struct told {
	const struct timeline *t;
	struct json *j;
	const struct timeline_event *e;
	const Hopyard__V1__Record *rec; /* NULL: the store made it */
	const Hopyard__V1__Result *res;
	const Hopyard__V1__Notice *notice;
	bool report; /* the event of a report to the customer, not of the
			message */
};

static void
told_link(const struct told *d)
{
	if (!d->t->control)
		return;
	if (d->rec != NULL)
		put_bytes(d->j, "link", d->rec->link);
	if (d->res != NULL)
		put_bytes(d->j, "bind", d->res->bind);
}

static void
told_dup(const struct told *d)
{
	if (d->rec != NULL && d->rec->possible_dup)
		json_bool(d->j, "possible_dup", true);
}

/* One line per part that reached the carrier. */
static void
told_parts(const struct told *d)
{
	const struct timeline *t = d->t;
	const Hopyard__V1__Result *res = d->res;
	struct json *j = d->j;

	for (size_t i = 0; res != NULL && i < res->n_part; i++) {
		const Hopyard__V1__Result__Part *p = res->part[i];
		bool ok = p->status == 0 && p->has_smsc_id;

		if (!ok && p->status == 0)
			continue;
		open_event(j, d->e->at, ok ? "submitted" : "refused");
		if (ok)
			json_str(j, "status", "sent");
		json_uint(j, "part", p->part);
		json_uint(
		    j, "parts", res->has_parts ? res->parts : t->message.parts);
		if (d->rec->has_attempt)
			json_uint(j, "attempt", d->rec->attempt);
		told_link(d);
		put_bytes(j, "smsc_id", p->smsc_id);
		if (p->has_rtt_us && t->control)
			json_uint(j, "rtt_us", p->rtt_us);
		if (!ok)
			put_status(j, p->status, false);
		put_bytes(j, "encoding", res->encoding);
		told_dup(d);
		json_close_object(j);
	}
}

static void
told_submitted(const struct told *d)
{
	if (d->res != NULL && d->res->n_part > 0) {
		told_parts(d);
		return;
	}
	open_event(d->j, d->e->at, "submitted");
	json_str(d->j, "status", "sent");
	if (d->rec != NULL && d->rec->has_attempt)
		json_uint(d->j, "attempt", d->rec->attempt);
	told_link(d);
	told_dup(d);
	json_close_object(d->j);
}

/* What the box and the bus said, in the words that they used. */
static void
told_why(const struct told *d, const char *key)
{
	const Hopyard__V1__Record *rec = d->rec;

	if (rec == NULL)
		return;
	if (d->res != NULL && d->t->control &&
	    result_word(d->res->code) != NULL)
		json_str(d->j, "result", result_word(d->res->code));
	if (rec->detail.len > 0)
		json_text(d->j, key, rec->detail.data, rec->detail.len);
	else if (d->res != NULL)
		put_bytes(d->j, key, d->res->detail);
	if (rec->has_status && rec->status != 0)
		put_status(d->j, rec->status,
		    d->report || d->t->message.kind != HOPYARD__V1__KIND__MT);
}

static void
told_retry(const struct told *d)
{
	bool hook = d->report || d->t->message.kind != HOPYARD__V1__KIND__MT;

	if (!hook)
		told_parts(d);
	open_event(d->j, d->e->at, hook ? "notify_retry" : "retry");
	json_uint(d->j, "attempt", d->rec->attempt);
	json_uint(d->j, "wait_ms", d->rec->wait_ms);
	told_link(d);
	told_why(d, "why");
	told_dup(d);
	json_close_object(d->j);
}

static void
told_notified(const struct told *d, const char *report)
{
	open_event(d->j, d->e->at, "notified");
	if (report != NULL)
		json_str(d->j, "report", report);
	if (d->rec->has_attempt)
		json_uint(d->j, "attempt", d->rec->attempt);
	told_link(d);
	if (d->rec->has_status && d->rec->status != 0)
		put_status(d->j, d->rec->status, true);
	json_close_object(d->j);
}

/* The carrier's word, and what it means if it decided. */
static void
told_receipt(const struct told *d)
{
	const Hopyard__V1__Notice *n = d->notice;
	const char *word = timeline_word(d->e->state);
	bool final = d->e->type == EVENT(FINAL);

	open_event(d->j, d->e->at, "receipt");
	/* The verdict on the whole message may differ from this part's. */
	json_str(d->j, "status", word);
	if (d->e->part > 0)
		json_uint(d->j, "part", d->e->part);
	if (n != NULL) {
		if (n->has_parts)
			json_uint(d->j, "parts", n->parts);
		put_bytes(d->j, "smsc_id", n->smsc_id);
		put_bytes(d->j, "error", n->error);
		/* Where it says more than the status, if that has a word. */
		if (word == NULL || n->reason.len != strlen(word) ||
		    memcmp(n->reason.data, word, n->reason.len) != 0)
			put_bytes(d->j, "reason", n->reason);
		if (d->t->control)
			put_bytes(d->j, "link", n->link);
		put_receipt_text(d->t, d->j, n->text);
		if (n->has_done_at && n->done_at != 0)
			json_time(d->j, "done_at", n->done_at);
	}
	json_close_object(d->j);
	if (!final)
		return;
	open_event(d->j, d->e->at, "final");
	json_str(d->j, "status", word);
	json_str(d->j, "by", "receipt");
	if (n != NULL && n->possible_dup)
		json_bool(d->j, "possible_dup", true);
	json_close_object(d->j);
}

static void
told_final(const struct told *d, const char *event)
{
	if (!d->report && d->t->message.kind == HOPYARD__V1__KIND__MT)
		told_parts(d);
	open_event(d->j, d->e->at, event);
	json_str(d->j, "status", timeline_word(d->e->state));
	if (!d->report)
		json_str(d->j, "by", d->res != NULL ? "link" : "bus");
	told_link(d);
	told_why(d, "reason");
	if (d->res != NULL)
		put_bytes(d->j, "code", d->res->reason);
	if (d->rec != NULL && d->rec->other.len == UUID_LEN)
		json_uuid(d->j, "replaced_by", d->rec->other.data);
	told_dup(d);
	json_close_object(d->j);
}

static void
told_simple(const struct told *d, const char *event, const char *why)
{
	open_event(d->j, d->e->at, event);
	if (d->rec != NULL && d->rec->has_attempt)
		json_uint(d->j, "attempt", d->rec->attempt);
	told_link(d);
	if (why != NULL && d->rec != NULL && d->t->control)
		put_bytes(d->j, why, d->rec->detail);
	told_dup(d);
	json_close_object(d->j);
}

/* By an operator, under another id. */
static void
told_replayed(const struct told *d)
{
	open_event(d->j, d->e->at, "replayed");
	if (d->rec->detail.len == UUID_LEN)
		json_uuid(d->j, "as", d->rec->detail.data);
	json_close_object(d->j);
}

/* A part of an MO: where its text is. */
static void
told_joined(const struct told *d)
{
	open_event(
	    d->j, d->e->at, d->rec->possible_dup ? "duplicate" : "joined");
	if (d->rec->other.len == UUID_LEN)
		json_uuid(d->j, d->rec->possible_dup ? "of" : "into",
		    d->rec->other.data);
	json_close_object(d->j);
}

/* The report that this event is about: the state that it told. */
static const char *
told_report(const struct told *d)
{
	for (size_t i = 0; i < d->t->count; i++) {
		const struct timeline_event *e = &d->t->event[i];

		if (e->seq == d->e->ref && e->ref == d->t->message.seq)
			return timeline_word(e->state);
	}
	return NULL;
}

static void
tell_event(const struct timeline *t, const struct timeline_event *e)
{
	struct told d = {
		.t = t, .j = t->json, .e = e, .report = e->ref != t->message.seq
	};

	arena_reset(t->arena);
	if (e->rec.p != NULL)
		d.rec = frame_unpack(t->arena, &hopyard__v1__record__descriptor,
		    e->rec.p, e->rec.len);
	if (d.rec != NULL && d.rec->has_result)
		d.res = frame_unpack(t->arena, &hopyard__v1__result__descriptor,
		    d.rec->result.data, d.rec->result.len);
	if (e->body.p != NULL)
		d.notice = frame_unpack(t->arena,
		    &hopyard__v1__notice__descriptor, e->body.p, e->body.len);
	/* Receipts are events of the store's own. */
	if (e->rec.p == NULL) {
		if (e->type == EVENT(FINAL) || e->type == EVENT(RECEIPT_EV))
			told_receipt(&d);
		return;
	}
	if (d.rec == NULL) {
		open_event(d.j, e->at, "unreadable");
		json_close_object(d.j);
		return;
	}
	switch (e->type) {
	case EVENT(ATTEMPT):
		told_simple(&d, d.report ? "notify_attempt" : "attempt", NULL);
		break;
	case EVENT(SUBMITTED_EV):
		told_submitted(&d);
		break;
	case EVENT(RETRY_EV):
		told_retry(&d);
		break;
	case EVENT(REROUTED):
		told_simple(&d, "rerouted", "why");
		break;
	case EVENT(CANCELLED_EV):
	case EVENT(FINAL):
		told_final(&d, "final");
		break;
	case EVENT(DEAD_EV):
		told_final(&d, d.report ? "notify_failed" : "parked");
		break;
	case EVENT(NOTIFIED):
		told_notified(&d, d.report ? told_report(&d) : NULL);
		break;
	case EVENT(REPLAYED):
		told_replayed(&d);
		break;
	case EVENT(JOINED):
		told_joined(&d);
		break;
	default:
		break;
	}
}

/* ------------------------------------------------------------------ the head */

void
timeline_content(const struct timeline *t)
{
	const Hopyard__V1__Content *c;

	arena_reset(t->arena);
	c = frame_unpack(t->arena, &hopyard__v1__content__descriptor,
	    t->message.body.p, t->message.body.len);
	if (c == NULL)
		return;
	if (c->has_text)
		json_text(t->json, "text", c->text.data, c->text.len);
	if (c->has_data)
		json_hex(t->json, "data", c->data.data, c->data.len);
	if (c->has_udh)
		json_hex(t->json, "udh", c->udh.data, c->udh.len);
}

void
timeline_head(const struct timeline *t, const struct timeline_state *s)
{
	const struct timeline_message *m = &t->message;
	struct json *j = t->json;

	json_uuid(j, "id", m->id);
	json_str(j, "kind", timeline_kind(m->kind));
	put_view(j, "account", m->account);
	put_view(j, "to", m->to);
	put_view(j, "from", m->from);
	json_str(j, "status", timeline_word(s->state));
	json_bool(j, "final", s->final);
	json_str(j, "class", timeline_class(m->class));
	json_uint(j, "parts", m->parts);
	if (m->client_ref.p != NULL)
		put_view(j, "client_ref", m->client_ref);
}

/* Accepted, routed and queued are one row: the message's own. */
static void
tell_admission(const struct timeline *t, const Hopyard__V1__Record *rec,
    const Hopyard__V1__Envelope *env)
{
	const Hopyard__V1__Origin *o = env != NULL ? env->origin : NULL;
	const struct timeline_message *m = &t->message;
	bool mt = m->kind == HOPYARD__V1__KIND__MT;
	struct json *j = t->json;

	open_event(j, rec->at, mt ? "accepted" : "received");
	if (env != NULL && env->reply_to.len == UUID_LEN)
		json_uuid(j, "reply_to", env->reply_to.data);
	if (t->control) {
		if (mt)
			put_bytes(j, "front", rec->detail);
		else
			put_bytes(j, "link", rec->link);
		if (o != NULL) {
			put_bytes(j, "source", o->source);
			put_bytes(j, "credential", o->credential);
			put_bytes(j, "request", o->request);
		}
	}
	json_close_object(j);
	if (t->control) {
		open_event(j, rec->at, "routed");
		put_bytes(j, "rule", rec->rule);
		if (mt)
			put_bytes(j, "link", rec->link);
		if (rec->why != NULL)
			json_str(j, "why", rec->why);
		if (rec->has_config)
			json_uint(j, "config", rec->config);
		json_close_object(j);
	}
	if (rec->has_due_at && rec->due_at != 0) {
		open_event(j, rec->at, "scheduled");
		json_time(j, "until", rec->due_at);
	} else if (!rec->has_queue || rec->queue == 0) {
		return;
	} else {
		open_event(j, rec->at, "queued");
		if (t->control && m->queue.p != NULL)
			put_view(j, "queue", m->queue);
	}
	json_close_object(j);
}

static bool
any_dup(const struct timeline *t)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct timeline_event *e = &t->event[i];
		const Hopyard__V1__Record *rec;

		if (e->rec.p == NULL || e->ref != t->message.seq)
			continue;
		arena_reset(t->arena);
		rec = frame_unpack(t->arena, &hopyard__v1__record__descriptor,
		    e->rec.p, e->rec.len);
		if (rec != NULL && rec->possible_dup)
			return true;
	}
	return false;
}

/* By the bus, when it came: its carrier had sent the like before. */
static bool
marked_dup(const struct timeline *t)
{
	const Hopyard__V1__Envelope *env;

	arena_reset(t->arena);
	env = frame_unpack(t->arena, &hopyard__v1__envelope__descriptor,
	    t->message.envelope.p, t->message.envelope.len);
	return env != NULL && env->possible_dup;
}

void
timeline_tell(const struct timeline *t)
{
	const struct timeline_message *m = &t->message;
	struct timeline_state s;
	const Hopyard__V1__Record *rec;
	const Hopyard__V1__Envelope *env;
	struct json *j = t->json;
	size_t i;

	arena_reset(t->arena);
	rec = frame_unpack(
	    t->arena, &hopyard__v1__record__descriptor, m->rec.p, m->rec.len);
	timeline_begin(&s, rec);
	for (i = 0; i < t->count; i++) {
		const struct timeline_event *e = &t->event[i];

		if (e->ref == m->seq)
			timeline_fold(&s, e->type, e->state, e->rec.p != NULL);
	}
	json_open_object(j, NULL);
	timeline_head(t, &s);
	if (rec != NULL)
		json_time(j, "accepted_at", rec->at);
	else
		json_time(j, "accepted_at", uuid_time_ms(m->id));
	if (m->expires_at != 0)
		json_time(j, "expires_at", m->expires_at);
	if (any_dup(t) || marked_dup(t))
		json_bool(j, "possible_dup", true);
	if (t->text)
		timeline_content(t);
	json_open_array(j, "events");
	arena_reset(t->arena);
	rec = frame_unpack(
	    t->arena, &hopyard__v1__record__descriptor, m->rec.p, m->rec.len);
	env = frame_unpack(t->arena, &hopyard__v1__envelope__descriptor,
	    m->envelope.p, m->envelope.len);
	if (rec != NULL)
		tell_admission(t, rec, env);
	for (i = 0; i < t->count && buf_len(j->out) < t->max; i++)
		tell_event(t, &t->event[i]);
	json_close_array(j);
	if (i < t->count)
		json_bool(j, "truncated", true);
	json_close_object(j);
}
