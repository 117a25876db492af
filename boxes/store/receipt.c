/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/receipt.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/batch.h"
#include "common/buf.h"
#include "common/map.h"
#include "common/queue.h"
#include "common/stats.h"
#include "common/xalloc.h"

#define RECEIPT_PARTS_MAX   255
#define RECEIPT_ORPHANS_MAX 100000
#define RECEIPT_WAITING_MAX 100000
/* Kannel's bits of dlr-mask. */
#define RECEIPT_DELIVERED 1
#define RECEIPT_FAILED    2
#define RECEIPT_BUFFERED  4
#define RECEIPT_REJECTED  16

struct sent_part {
	uint64_t key;
	uint16_t part; /* its number, from 1 */
	uint8_t state; /* 0: no receipt yet */
};

struct sent {
	TAILQ_ENTRY(sent) link; /* open, or done */
	uint64_t ref;
	uint8_t id[16];
	uint32_t report_queue;
	uint32_t mask;
	uint8_t final; /* state, or 0 */
	bool by_timer; /* final was set by us, may be corrected */
	bool complete; /* all parts that went out are known */
	bool buffered; /* the customer was told so */
	bool possible_dup;
	bool fetch; /* report is in the database */
	uint16_t nparts;
	uint32_t report_len;
	uint8_t *report;
	struct sent_part *part;
};

TAILQ_HEAD(sent_list, sent);

/* A receipt that found no message, in memory until it is too old. */
struct orphan {
	TAILQ_ENTRY(orphan) link; /* idle, or waiting */
	uint64_t key;
	uint64_t seq;
	uint64_t at;
	bool waiting;
	struct orphan *same; /* next of this key, later */
	size_t link_len, len;
	uint8_t bytes[]; /* link, Notice */
};

TAILQ_HEAD(orphan_list, orphan);

/* A link that shares the ids of its SMSC with others. */
struct receipt_scope {
	struct receipt_scope *next;
	size_t link_len, scope_len;
	char text[]; /* link, scope */
};

struct receipts {
	struct receipt_scope *scopes;
	struct map by_key; /* sent */
	struct map by_ref; /* sent */
	struct sent_list open, done;
	struct map orphan_by_key;
	struct orphan_list orphans; /* oldest first */
	struct orphan *unasked;     /* of them: the first not yet looked up */
	struct orphan_list waiting; /* message is known: wait for a carrier */
	size_t waiting_count;
	size_t max_parts, max_bytes;
	struct map final_while_loading; /* ref -> any */
	bool loading;
	struct receipt_counts count;
};

static struct stat_value stat_matched = { .name = "receipts_matched_total",
	.help = "Receipts for which the message was known",
	.type = STAT_COUNTER };
static struct stat_value stat_unmatched = { .name = "receipts_unmatched_total",
	.help = "Receipts whose message was not known when they came",
	.type = STAT_COUNTER };
static struct stat_value stat_joined = { .name = "receipts_joined_total",
	.help = "Receipts whose message became known later",
	.type = STAT_COUNTER };
static struct stat_value stat_repeated = { .name = "receipts_repeated_total",
	.help = "Receipts that said what was known",
	.type = STAT_COUNTER };
static struct stat_value stat_wrong_number = {
	.name = "receipts_wrong_number_total",
	.help = "Receipts with a known id and another phone number",
	.type = STAT_COUNTER
};
static struct stat_value stat_parts = { .name = "receipt_cache_parts",
	.help = "Parts in memory to match receipts",
	.type = STAT_GAUGE };

struct receipts *
receipts_new(size_t max_parts, size_t max_bytes)
{
	struct receipts *r = xcalloc(1, sizeof(*r));

	map_init(&r->by_key);
	map_init(&r->by_ref);
	map_init(&r->orphan_by_key);
	map_init(&r->final_while_loading);
	TAILQ_INIT(&r->open);
	TAILQ_INIT(&r->done);
	TAILQ_INIT(&r->orphans);
	TAILQ_INIT(&r->waiting);
	r->max_parts = max_parts;
	r->max_bytes = max_bytes;
	stat_register(&stat_matched);
	stat_register(&stat_unmatched);
	stat_register(&stat_joined);
	stat_register(&stat_repeated);
	stat_register(&stat_wrong_number);
	stat_register(&stat_parts);
	return r;
}

/*
 * FNV-1a over link, NUL and the id in lower case, mixed once more: the value is
 * stored, so it must never change.  Whether a carrier writes its ids in hex or
 * decimal is the connector's business; it hands in one form.
 */
uint64_t
receipt_key(const void *link, size_t link_len, const void *id, size_t id_len)
{
	const uint8_t *p = link;
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < link_len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	h *= 0x100000001b3u;
	p = id;
	for (size_t i = 0; i < id_len; i++) {
		uint8_t c = p[i];

		if (c >= 'A' && c <= 'Z')
			c = (uint8_t)(c + 32);
		h = (h ^ c) * 0x100000001b3u;
	}
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdu;
	h ^= h >> 33;
	return h != 0 ? h : 1;
}

void
receipts_scope(struct receipts *r, const char *link, const char *scope)
{
	size_t link_len = strlen(link), scope_len = strlen(scope);
	struct receipt_scope *s = xcalloc(1, sizeof(*s) + link_len + scope_len);

	s->link_len = link_len;
	s->scope_len = scope_len;
	memcpy(s->text, link, link_len);
	memcpy(s->text + link_len, scope, scope_len);
	s->next = r->scopes;
	r->scopes = s;
}

void
receipts_forget_scopes(struct receipts *r)
{
	struct receipt_scope *s;

	while ((s = r->scopes) != NULL) {
		r->scopes = s->next;
		free(s);
	}
}

uint64_t
receipts_key(const struct receipts *r, const void *link, size_t link_len,
    const void *id, size_t id_len)
{
	const struct receipt_scope *s;

	for (s = r->scopes; s != NULL; s = s->next) {
		if (s->link_len == link_len &&
		    memcmp(s->text, link, link_len) == 0)
			return receipt_key(
			    s->text + link_len, s->scope_len, id, id_len);
	}
	return receipt_key(link, link_len, id, id_len);
}

/* ------------------------------------------------------------ sent parts */

static size_t
sent_bytes(const struct sent *s)
{
	/* Two map slots a part in a half full table, two for the ref. */
	return sizeof(*s) + s->report_len + s->nparts * sizeof(*s->part) +
	    (s->nparts + 1u) * 2 * sizeof(struct map_slot);
}

static void
sent_free(struct receipts *r, struct sent *s)
{
	r->count.bytes -= sent_bytes(s);
	r->count.parts -= s->nparts;
	stat_parts.value = r->count.parts;
	for (unsigned i = 0; i < s->nparts; i++) {
		if (map_get_u64(&r->by_key, s->part[i].key) == s)
			map_del_u64(&r->by_key, s->part[i].key);
	}
	if (map_get_u64(&r->by_ref, s->ref) == s)
		map_del_u64(&r->by_ref, s->ref);
	if (s->final != 0)
		TAILQ_REMOVE(&r->done, s, link);
	else
		TAILQ_REMOVE(&r->open, s, link);
	free(s->report);
	free(s->part);
	free(s);
}

static void
sent_drop_report(struct receipts *r, struct sent *s)
{
	r->count.bytes -= s->report_len;
	s->report_len = 0;
	free(s->report);
	s->report = NULL;
}

static void
sent_set_final(
    struct receipts *r, struct sent *s, unsigned state, bool by_timer)
{
	if (s->final == 0) {
		TAILQ_REMOVE(&r->open, s, link);
		TAILQ_INSERT_TAIL(&r->done, s, link);
	}
	s->final = (uint8_t)state;
	s->by_timer = by_timer;
	if (!by_timer)
		sent_drop_report(r, s);
}

static void
receipts_evict(struct receipts *r)
{
	while (r->count.parts > r->max_parts || r->count.bytes > r->max_bytes) {
		struct sent *s = TAILQ_FIRST(&r->done);

		if (s == NULL)
			s = TAILQ_FIRST(&r->open);
		if (s == NULL)
			return;
		/* A receipt may still have something to say. */
		if (s->final == 0 || s->by_timer)
			r->count.evicted++;
		sent_free(r, s);
	}
}

static struct sent *
sent_new(struct receipts *r, uint64_t ref, const uint8_t id[16])
{
	struct sent *s = xcalloc(1, sizeof(*s));

	s->ref = ref;
	memcpy(s->id, id, 16);
	map_put_u64(&r->by_ref, ref, s);
	TAILQ_INSERT_TAIL(&r->open, s, link);
	r->count.bytes += sent_bytes(s);
	return s;
}

static struct sent_part *
sent_part_of(const struct sent *s, uint64_t key)
{
	for (unsigned i = 0; i < s->nparts; i++) {
		if (s->part[i].key == key)
			return &s->part[i];
	}
	return NULL;
}

static void
orphan_unlink(struct receipts *r, struct orphan *o)
{
	if (o->waiting) {
		TAILQ_REMOVE(&r->waiting, o, link);
		r->waiting_count--;
		return;
	}
	if (r->unasked == o)
		r->unasked = TAILQ_NEXT(o, link);
	TAILQ_REMOVE(&r->orphans, o, link);
}

/* Its message has become known. */
static void
orphan_wait(struct receipts *r, struct orphan *o)
{
	orphan_unlink(r, o);
	TAILQ_INSERT_TAIL(&r->waiting, o, link);
	o->waiting = true;
	r->waiting_count++;
}

static void
sent_add_part(struct receipts *r, struct sent *s, uint64_t key, unsigned part)
{
	if (s->nparts == RECEIPT_PARTS_MAX || sent_part_of(s, key) != NULL)
		return;
	r->count.bytes -= sent_bytes(s);
	s->part = xrealloc(s->part, (s->nparts + 1u) * sizeof(*s->part));
	s->part[s->nparts++] =
	    (struct sent_part){ .key = key, .part = (uint16_t)part };
	r->count.bytes += sent_bytes(s);
	r->count.parts++;
	stat_parts.value = r->count.parts;
	/* Ids come back after a while: the newest message has it. */
	map_put_u64(&r->by_key, key, s);
}

/* Receipts of its parts that were there first. */
static void
sent_claim(struct receipts *r, const struct sent *s)
{
	struct orphan *o;

	for (unsigned i = 0; i < s->nparts; i++) {
		if (map_get_u64(&r->by_key, s->part[i].key) != s)
			continue;
		o = map_get_u64(&r->orphan_by_key, s->part[i].key);
		for (; o != NULL; o = o->same) {
			if (!o->waiting &&
			    r->waiting_count < RECEIPT_WAITING_MAX)
				orphan_wait(r, o);
		}
	}
}

static struct sent *
receipts_register(struct receipts *r, const Hopyard__V1__Record *rec,
    const Hopyard__V1__Result *res, const uint8_t *id, uint64_t ref)
{
	struct sent *s = map_get_u64(&r->by_ref, ref);

	if (s == NULL)
		s = sent_new(r, ref, id);
	if (rec->has_report_queue)
		s->report_queue = rec->report_queue;
	if (rec->has_report_mask)
		s->mask = rec->report_mask;
	s->possible_dup = s->possible_dup || rec->possible_dup;
	s->complete = s->complete ||
	    rec->event == HOPYARD__V1__RECORD__EVENT__SUBMITTED_EV;
	for (size_t i = 0; i < res->n_part; i++) {
		const ProtobufCBinaryData *smsc_id = &res->part[i]->smsc_id;

		if (res->part[i]->has_smsc_id && smsc_id->len > 0)
			sent_add_part(r, s,
			    receipts_key(r, rec->link.data, rec->link.len,
				smsc_id->data, smsc_id->len),
			    res->part[i]->part);
	}
	/* Before that nobody knows what one part means for the whole. */
	if (s->complete)
		sent_claim(r, s);
	return s;
}

void
receipts_submitted(struct receipts *r, const Hopyard__V1__Record *rec,
    const Hopyard__V1__Result *res, struct bytes report)
{
	struct sent *s = receipts_register(r, rec, res, rec->id.data, rec->ref);

	if (s->report == NULL && report.len > 0) {
		s->report = xmemdup(report.p, report.len);
		s->report_len = (uint32_t)report.len;
		r->count.bytes += report.len;
		s->fetch = false;
	}
	receipts_evict(r);
}

void
receipts_final(struct receipts *r, const Hopyard__V1__Record *rec)
{
	struct sent *s = map_get_u64(&r->by_ref, rec->ref);
	bool by_timer = rec->state == HOPYARD__V1__STATE__UNKNOWN ||
	    rec->state == HOPYARD__V1__STATE__EXPIRED;

	if (r->loading)
		map_put_u64(&r->final_while_loading, rec->ref, r);
	if (s != NULL && s->final == 0)
		sent_set_final(r, s, rec->state, by_timer);
}

/* --------------------------------------------------------------- orphans */

static void
orphan_free(struct receipts *r, struct orphan *o)
{
	struct orphan *head = map_get_u64(&r->orphan_by_key, o->key);

	orphan_unlink(r, o);
	if (head == o) {
		map_del_u64(&r->orphan_by_key, o->key);
		if (o->same != NULL)
			map_put_u64(&r->orphan_by_key, o->same->key, o->same);
	} else {
		for (; head != NULL; head = head->same) {
			if (head->same == o)
				head->same = o->same;
		}
	}
	r->count.orphans--;
	free(o);
}

static struct orphan *
orphan_new(struct receipts *r, uint64_t key, uint64_t seq, uint64_t at,
    struct bytes link, struct bytes body)
{
	struct orphan *o = xmalloc(sizeof(*o) + link.len + body.len);
	struct orphan *last = map_get_u64(&r->orphan_by_key, key);

	memset(o, 0, sizeof(*o));
	o->key = key;
	o->seq = seq;
	o->at = at;
	o->link_len = link.len;
	o->len = body.len;
	if (link.len > 0)
		memcpy(o->bytes, link.p, link.len);
	if (body.len > 0)
		memcpy(o->bytes + link.len, body.p, body.len);
	if (last == NULL) {
		map_put_u64(&r->orphan_by_key, key, o);
	} else {
		while (last->same != NULL)
			last = last->same;
		last->same = o;
	}
	TAILQ_INSERT_TAIL(&r->orphans, o, link);
	if (r->unasked == NULL)
		r->unasked = o;
	r->count.orphans++;
	while (r->count.orphans - r->waiting_count > RECEIPT_ORPHANS_MAX)
		orphan_free(r, TAILQ_FIRST(&r->orphans));
	return o;
}

static void
receipts_orphan(struct receipts *r, struct batch *b, uint64_t seq, uint64_t at,
    uint64_t key, struct bytes link, struct bytes body)
{
	struct column *c = b->rows[ROWS_ORPHAN].col;

	column_add(c++, (int64_t)at);
	column_add(c++, (int64_t)seq);
	column_add(c++, (int64_t)key);
	rows_text(c++, link.p, link.len);
	column_add_bytes(c++, body.p, body.len);
	b->rows[ROWS_ORPHAN].count++;
	orphan_new(r, key, seq, at, link, body);
}

/* ----------------------------------------------------------- what it says */

/* What the customer asked to hear of this state; 0: nothing. */
static uint32_t
sent_wants(const struct sent *s, unsigned state)
{
	uint32_t bit;

	if (s->report_queue == 0)
		return 0;
	switch (state) {
	case HOPYARD__V1__STATE__DELIVERED:
		return s->mask & RECEIPT_DELIVERED;
	case HOPYARD__V1__STATE__BUFFERED:
		return s->mask & RECEIPT_BUFFERED;
	case HOPYARD__V1__STATE__REJECTED:
		bit = s->mask & RECEIPT_REJECTED;
		return bit != 0 ? bit : s->mask & RECEIPT_FAILED;
	default:
		return s->mask & RECEIPT_FAILED;
	}
}

static const char *
receipt_reason(unsigned state)
{
	switch (state) {
	case HOPYARD__V1__STATE__DELIVERED:
		return "delivered";
	case HOPYARD__V1__STATE__BUFFERED:
		return "buffered";
	case HOPYARD__V1__STATE__EXPIRED:
		return "expired";
	case HOPYARD__V1__STATE__REJECTED:
		return "rejected";
	case HOPYARD__V1__STATE__CANCELLED:
		return "canceled";
	case HOPYARD__V1__STATE__UNKNOWN:
		return "unknown";
	default:
		return "undelivered";
	}
}

/* The state of the whole message after this receipt, or 0: still open. */
static unsigned
sent_verdict(const struct sent *s, unsigned state)
{
	if (!receipt_is_final(state) || !s->complete)
		return 0;
	if (state != HOPYARD__V1__STATE__DELIVERED)
		return state;
	for (unsigned i = 0; i < s->nparts; i++) {
		if (s->part[i].state != HOPYARD__V1__STATE__DELIVERED)
			return 0;
	}
	return HOPYARD__V1__STATE__DELIVERED;
}

static const Hopyard__V1__Report *
sent_report(const struct sent *s, struct arena *arena)
{
	if (s->report == NULL)
		return NULL;
	return frame_unpack(
	    arena, &hopyard__v1__report__descriptor, s->report, s->report_len);
}

/* One receipt as it is stored and told. */
struct told {
	struct receipts *r;
	struct batch *batch;
	struct sent *sent;
	uint64_t seq, at;
	const Hopyard__V1__Notice *in;
	const Hopyard__V1__Report *report; /* of sent; NULL: not in memory */
	unsigned part;
	unsigned state;
	bool final; /* it decides the message */
	uint32_t bit;
};

static void
told_notice(const struct told *t, size_t body, size_t len)
{
	struct sent *s = t->sent;
	struct batch_notice *n =
	    batch_add_notice(t->batch, t->seq, t->at, s->report_queue, s->id);
	const Hopyard__V1__Report *report = t->report;

	n->body = body;
	n->body_len = len;
	if (s->report == NULL && s->fetch) {
		n->fetch = true;
		t->batch->fetch_count++;
		return;
	}
	n->envelope = buf_len(&t->batch->blob);
	if (report != NULL)
		batch_pack_envelope(&t->batch->blob, s->id,
		    (struct bytes){ report->account.data, report->account.len },
		    (struct bytes){ report->to.data, report->to.len },
		    (struct bytes){ report->from.data, report->from.len });
	else
		batch_pack_envelope(&t->batch->blob, s->id, (struct bytes){ 0 },
		    (struct bytes){ 0 }, (struct bytes){ 0 });
	n->envelope_len = buf_len(&t->batch->blob) - n->envelope;
	n->report_len = s->report_len;
	n->report = batch_keep(t->batch, s->report, s->report_len);
}

static void
told_write(const struct told *t)
{
	Hopyard__V1__Notice out = *t->in;
	struct sent *s = t->sent;
	const char *reason = receipt_reason(t->state);
	struct event_row row = { .seq = t->seq,
		.at = t->at,
		.ref = s->ref,
		.id = s->id,
		.part = (uint16_t)t->part,
		.queue = t->bit != 0 ? s->report_queue : 0,
		.state = (uint8_t)t->state,
		.type = t->final ? HOPYARD__V1__RECORD__EVENT__FINAL
				 : HOPYARD__V1__RECORD__EVENT__RECEIPT_EV };
	unsigned ok = 0;
	size_t at, len;

	for (unsigned i = 0; i < s->nparts; i++)
		ok += s->part[i].state == HOPYARD__V1__STATE__DELIVERED;
	out.has_state = true;
	out.state = t->state;
	out.has_mask = t->bit != 0;
	out.mask = t->bit;
	out.has_parts = true;
	out.parts = s->nparts;
	out.has_parts_ok = true;
	out.parts_ok = ok;
	out.has_possible_dup = s->possible_dup;
	out.possible_dup = s->possible_dup;
	/* The connector may know why it failed. */
	if (!t->in->has_reason || t->in->reason.len == 0) {
		out.has_reason = true;
		out.reason.data = (uint8_t *)(uintptr_t)reason;
		out.reason.len = strlen(reason);
	}
	out.has_event_at = true;
	out.event_at = t->at;
	len = hopyard__v1__notice__get_packed_size(&out);
	at = buf_len(&t->batch->blob);
	hopyard__v1__notice__pack(&out, buf_reserve(&t->batch->blob, len));
	buf_commit(&t->batch->blob, len);
	row.body = buf_data(&t->batch->blob) + at;
	row.body_len = len;
	rows_add_event(&t->batch->rows[ROWS_EVENT], &row);
	if (t->bit != 0)
		told_notice(t, at, len);
}

/* Applies a receipt to a message that is known; true when it made an item. */
static bool
receipts_apply(struct told *t, uint64_t key)
{
	struct sent *s = t->sent;
	struct sent_part *part = sent_part_of(s, key);
	unsigned verdict;

	assert(part != NULL);
	if (part->state == t->state ||
	    (!receipt_is_final(t->state) && receipt_is_final(part->state)) ||
	    (!receipt_is_final(t->state) && s->final != 0)) {
		t->r->count.repeated++;
		stat_repeated.value++;
		return false;
	}
	t->part = part->part;
	/* A part's first final state stays, too. */
	if (!receipt_is_final(part->state))
		part->state = (uint8_t)t->state;
	verdict = sent_verdict(s, part->state);
	if (s->final != 0 && !s->by_timer) {
		t->r->count.late_final++;
	} else if (verdict != 0) {
		t->final = true;
		t->state = verdict;
		t->bit = sent_wants(s, verdict);
	} else if (!receipt_is_final(t->state) && !s->buffered) {
		t->bit = sent_wants(s, HOPYARD__V1__STATE__BUFFERED);
		s->buffered = true;
	}
	told_write(t);
	if (t->final)
		sent_set_final(t->r, s, verdict, false);
	return t->bit != 0;
}

static unsigned
receipt_state(const Hopyard__V1__Notice *n)
{
	if (!n->has_state)
		return HOPYARD__V1__STATE__UNKNOWN;
	return receipt_is_final(n->state) ? n->state
					  : HOPYARD__V1__STATE__BUFFERED;
}

/* --------------------------------------------------- the right message? */

#define RECEIPT_DIGITS 8

/* The last digits of two numbers; true also where one is no number. */
static bool
receipt_same_number(struct bytes a, struct bytes b)
{
	size_t i;

	if (a.len < RECEIPT_DIGITS || b.len < RECEIPT_DIGITS)
		return true;
	for (i = 1; i <= RECEIPT_DIGITS; i++) {
		uint8_t x = a.p[a.len - i], y = b.p[b.len - i];

		if (x < '0' || x > '9' || y < '0' || y > '9')
			return true;
		if (x != y)
			return false;
	}
	return true;
}

/*
 * a receipt must be about the number that we sent to.  Carriers put it
 * into either address, and some into none.
 */
static bool
receipt_right_number(
    const Hopyard__V1__Report *report, const Hopyard__V1__Notice *n)
{
	struct bytes to, a = { n->from.data, n->from.len },
			 b = { n->to.data, n->to.len };

	if (report == NULL || report->to.len == 0 || (a.len == 0 && b.len == 0))
		return true;
	to = (struct bytes){ report->to.data, report->to.len };
	return (a.len > 0 && receipt_same_number(to, a)) ||
	    (b.len > 0 && receipt_same_number(to, b));
}

/* ------------------------------------------------------------ the batch */

bool
receipts_in(struct receipts *r, struct batch *b, uint64_t seq,
    const Hopyard__V1__Record *rec, const Hopyard__V1__Notice *n,
    struct bytes body, struct arena *arena)
{
	struct bytes link = { rec->link.data, rec->link.len };
	struct told t = { .r = r,
		.batch = b,
		.seq = seq,
		.at = rec->at,
		.in = n,
		.state = receipt_state(n) };
	static const uint8_t empty[1];
	uint64_t key;

	if (!rec->has_link)
		link = (struct bytes){ n->link.data, n->link.len };
	if (body.p == NULL)
		body.p = empty;
	key =
	    receipts_key(r, link.p, link.len, n->smsc_id.data, n->smsc_id.len);
	r->count.received++;
	t.sent = map_get_u64(&r->by_key, key);
	if (t.sent != NULL && t.sent->complete) {
		t.report = sent_report(t.sent, arena);
		if (receipt_right_number(t.report, n)) {
			r->count.matched++;
			stat_matched.value++;
			return receipts_apply(&t, key);
		}
		r->count.wrong_number++;
		stat_wrong_number.value++;
	}
	r->count.unmatched++;
	stat_unmatched.value++;
	receipts_orphan(r, b, seq, rec->at, key, link, body);
	return false;
}

/* The orphan's message is known: its event beside this record. */
static bool
receipts_join(struct receipts *r, struct batch *b, struct orphan *o,
    uint64_t seq, uint64_t at, struct arena *arena)
{
	const Hopyard__V1__Notice *n = frame_unpack(arena,
	    &hopyard__v1__notice__descriptor, o->bytes + o->link_len, o->len);
	struct sent *s = map_get_u64(&r->by_key, o->key);
	struct told t = {
		.r = r, .batch = b, .sent = s, .seq = seq, .at = at, .in = n
	};
	struct column *c = b->rows[ROWS_ORPHAN_DONE].col;
	bool made = false;

	if (s != NULL)
		t.report = sent_report(s, arena);
	if (n == NULL || s == NULL || !receipt_right_number(t.report, n)) {
		orphan_free(r, o);
		return false;
	}
	t.state = receipt_state(n);
	made = receipts_apply(&t, o->key);
	column_add(&c[0], (int64_t)at);
	column_add(&c[1], (int64_t)o->seq);
	b->rows[ROWS_ORPHAN_DONE].count++;
	r->count.joined++;
	stat_joined.value++;
	orphan_free(r, o);
	return made;
}

void
receipts_attach(struct receipts *r, struct batch *b, uint64_t seq, uint64_t at,
    struct arena *arena)
{
	struct orphan *o, *next;
	unsigned tries = 0;

	TAILQ_FOREACH_SAFE(o, &r->waiting, link, next) {
		if (++tries > 16)
			return;
		if (receipts_join(r, b, o, seq, at, arena))
			return; /* one item a number */
	}
}

/* ------------------------------------------------------ from the database */

void
receipts_loading(struct receipts *r, bool loading)
{
	r->loading = loading;
	map_fini(&r->final_while_loading);
	map_init(&r->final_while_loading);
}

void
receipts_load_sent(struct receipts *r, const struct receipt_load *l)
{
	struct sent *s;

	if (map_get_u64(&r->final_while_loading, l->ref) != NULL)
		return;
	s = receipts_register(r, l->rec, l->result, l->id, l->ref);
	if (s->report == NULL) {
		s->fetch = l->report.p == NULL;
		if (!s->fetch && l->report.len > 0) {
			s->report = xmemdup(l->report.p, l->report.len);
			s->report_len = (uint32_t)l->report.len;
			r->count.bytes += l->report.len;
		}
	}
	receipts_evict(r);
}

void
receipts_load_event(struct receipts *r, uint64_t ref, unsigned part,
    unsigned type, unsigned state, bool by_timer)
{
	struct sent *s = map_get_u64(&r->by_ref, ref);

	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->nparts && part > 0; i++) {
		if (s->part[i].part == part &&
		    !receipt_is_final(s->part[i].state))
			s->part[i].state = (uint8_t)state;
	}
	if (!receipt_is_final(state))
		s->buffered = true;
	if (type != HOPYARD__V1__RECORD__EVENT__RECEIPT_EV &&
	    (s->final == 0 || s->by_timer))
		sent_set_final(r, s, state, by_timer);
}

void
receipts_load_orphan(struct receipts *r, uint64_t key, uint64_t seq,
    uint64_t at, struct bytes link, struct bytes body)
{
	const struct sent *s;
	struct orphan *o;

	for (o = map_get_u64(&r->orphan_by_key, key); o != NULL; o = o->same) {
		if (o->seq == seq)
			return;
	}
	o = orphan_new(r, key, seq, at, link, body);
	s = map_get_u64(&r->by_key, key);
	if (s != NULL && s->complete)
		orphan_wait(r, o);
}

bool
receipts_knows(const struct receipts *r, uint64_t key)
{
	return map_get_u64(&r->by_key, key) != NULL;
}

size_t
receipts_misses(struct receipts *r, uint64_t *keys, size_t max)
{
	size_t n = 0;

	for (; r->unasked != NULL && n < max;
	     r->unasked = TAILQ_NEXT(r->unasked, link))
		keys[n++] = r->unasked->key;
	return n;
}

void
receipts_expire(struct receipts *r, uint64_t older_than)
{
	struct orphan *o;

	while ((o = TAILQ_FIRST(&r->orphans)) != NULL && o->at < older_than)
		orphan_free(r, o);
}

const struct receipt_counts *
receipts_counts(const struct receipts *r)
{
	struct receipts *w = (struct receipts *)(uintptr_t)r;

	w->count.waiting = r->waiting_count;
	return &r->count;
}

void
receipts_free(struct receipts *r)
{
	struct sent *s;

	/* NOLINTBEGIN(clang-analyzer-unix.Malloc): each leaves its list */
	while ((s = TAILQ_FIRST(&r->open)) != NULL ||
	    (s = TAILQ_FIRST(&r->done)) != NULL)
		sent_free(r, s);
	while (!TAILQ_EMPTY(&r->orphans))
		orphan_free(r, TAILQ_FIRST(&r->orphans));
	while (!TAILQ_EMPTY(&r->waiting))
		orphan_free(r, TAILQ_FIRST(&r->waiting));
	/* NOLINTEND(clang-analyzer-unix.Malloc) */
	map_fini(&r->by_key);
	map_fini(&r->by_ref);
	map_fini(&r->orphan_by_key);
	map_fini(&r->final_while_loading);
	receipts_forget_scopes(r);
	free(r);
}
