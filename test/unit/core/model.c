/* SPDX-License-Identifier: BSD-2-Clause */
#include "test/unit/core/model.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/conf.h"
#include "common/xalloc.h"

#define EV(x)    HOPYARD__V1__RECORD__EVENT__##x
#define STATE(x) HOPYARD__V1__STATE__##x

static uint8_t arena_memory[512 * 1024];
static struct arena arena;

static void *
unpack(const ProtobufCMessageDescriptor *d, struct bytes b)
{
	if (arena.base == NULL)
		arena_init(&arena, arena_memory, sizeof(arena_memory));
	return frame_unpack(&arena, d, b.p, b.len);
}

static void
fault(struct db *db, const char *what, uint64_t seq)
{
	if (db->fault[0] == '\0')
		snprintf(db->fault, sizeof(db->fault), "%s (seq %llu)", what,
		    (unsigned long long)seq);
}

void
db_list_add(struct db_list *l, uint64_t v)
{
	if (l->count == l->cap) {
		l->cap = l->cap == 0 ? 16 : l->cap * 2;
		l->v = xrealloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->count++] = v;
}

void
db_news_fini(struct db_news *n)
{
	free(n->duplicate.v);
	free(n->notice.v);
	memset(n, 0, sizeof(*n));
}

void
db_init(struct db *db)
{
	memset(db, 0, sizeof(*db));
	map_init(&db->by_id);
	map_init(&db->receipt);
}

void
db_fini(struct db *db)
{
	size_t pos = 0;
	void *id;

	for (uint64_t i = 0; i < db->durable; i++) {
		free(db->row[i].envelope);
		free(db->row[i].body);
		free(db->row[i].report);
		free(db->row[i].key);
	}
	for (size_t i = 0; i < db->queue_count; i++)
		free(db->queue[i].item);
	free(db->queue);
	free(db->row);
	free(db->due);
	free(db->orphan.v);
	free(db->expiring.v);
	map_fini(&db->by_id);
	while ((id = map_next(&db->receipt, &pos)) != NULL)
		free(id);
	map_fini(&db->receipt);
}

struct db_row *
db_row(const struct db *db, uint64_t seq)
{
	return seq >= 1 && seq <= db->durable ? &db->row[seq - 1] : NULL;
}

/* One that must be there. */
static struct db_row *
db_xrow(const struct db *db, uint64_t seq)
{
	assert(seq >= 1 && seq <= db->durable);
	return &db->row[seq - 1];
}

struct db_row *
db_find(const struct db *db, const uint8_t id[16])
{
	void *p = map_get(&db->by_id, id, 16);

	return p == NULL ? NULL : db_row(db, (uint64_t)(uintptr_t)p);
}

bool
db_receipt(const struct db *db, const uint8_t id[16])
{
	return map_get(&db->receipt, id, 16) != NULL;
}

static struct db_queue *
db_queue(const struct db *db, uint32_t number)
{
	for (size_t i = 0; i < db->queue_count; i++)
		if (db->queue[i].number == number)
			return &db->queue[i];
	return NULL;
}

static uint8_t *
copy(struct bytes b)
{
	return b.p == NULL ? NULL : xmemdup(b.p, b.len == 0 ? 1 : b.len);
}

static void
queue_add(struct db *db, uint32_t number, uint64_t seq)
{
	struct db_queue *q = db_queue(db, number);

	if (q == NULL) {
		fault(db, "item of a queue that was never defined", seq);
		return;
	}
	if (q->count == q->cap) {
		q->cap = q->cap == 0 ? 64 : q->cap * 2;
		q->item = xrealloc(q->item, q->cap * sizeof(*q->item));
	}
	q->item[q->count++] = seq;
}

/* Would recovery, starting from the last checkpoint, come by this row? */
static bool
due_behind(const struct db *db, const struct db_due *d)
{
	return d->at < db->due_low_at ||
	    (d->at == db->due_low_at && d->seq <= db->due_low_seq);
}

static void
due_add(struct db *db, uint64_t at, uint64_t seq, uint64_t ref)
{
	struct db_due d = { at, seq, ref };
	size_t i = db->due_count;

	if (db->due_count == db->due_cap) {
		db->due_cap = db->due_cap == 0 ? 64 : db->due_cap * 2;
		db->due = xrealloc(db->due, db->due_cap * sizeof(*db->due));
	}
	while (i > 0 &&
	    (db->due[i - 1].at > at ||
		(db->due[i - 1].at == at && db->due[i - 1].seq > seq)))
		i--;
	memmove(&db->due[i + 1], &db->due[i],
	    (db->due_count - i) * sizeof(*db->due));
	db->due[i] = d;
	db->due_count++;
	if (due_behind(db, &d))
		fault(db, "due row behind the due mark", seq);
}

static bool
due_live(const struct db *db, const struct db_due *d)
{
	const struct db_row *r = db_row(db, d->ref);

	return r != NULL && r->kind != 0 && r->last_close <= d->seq;
}

/* ---------------------------------------------------------------- records */

static struct db_row *
row_new(struct db *db, uint64_t seq)
{
	struct db_row *r;

	assert(seq == db->durable + 1);
	if (db->durable == db->cap) {
		db->cap = db->cap == 0 ? 256 : db->cap * 2;
		db->row = xrealloc(db->row, db->cap * sizeof(*db->row));
	}
	r = &db->row[db->durable++];
	memset(r, 0, sizeof(*r));
	r->seq = seq;
	return r;
}

static void
add_message(struct db *db, struct db_row *r, const struct item *it,
    const Hopyard__V1__Record *rec, struct db_news *news)
{
	const Hopyard__V1__Envelope *env =
	    unpack(&hopyard__v1__envelope__descriptor, it->envelope);

	if (env == NULL || env->id.len != 16) {
		fault(db, "message without an envelope", r->seq);
		return;
	}
	if (map_get(&db->by_id, env->id.data, 16) != NULL) {
		db_list_add(&news->duplicate, r->seq);
		return;
	}
	r->kind = (uint8_t)env->kind;
	memcpy(r->id, env->id.data, 16);
	r->queue = rec->queue;
	r->scheduled = rec->has_due_at && rec->due_at != 0;
	r->at = rec->at;
	r->expires_at = rec->expires_at;
	if (r->kind != 0 && r->expires_at != 0)
		db_list_add(&db->expiring, r->seq);
	db->live += r->queue != 0;
	r->report_queue = rec->report_queue;
	r->mask = env->report_mask;
	r->envelope = copy(it->envelope);
	r->envelope_len = it->envelope.len;
	r->body = copy(it->body);
	r->body_len = it->body.len;
	r->report = copy(it->report);
	r->report_len = it->report.len;
	/* The key must not move, and rows do. */
	r->key = xmemdup(r->id, 16);
	map_put(&db->by_id, r->key, 16, (void *)(uintptr_t)r->seq);
	if (r->scheduled)
		due_add(db, rec->due_at, r->seq, r->seq);
	else if (r->queue != 0)
		queue_add(db, r->queue, r->seq);
}

/* The item that an event makes: a DLR about the message. */
static void
make_dlr(struct db *db, struct db_row *r, uint32_t queue,
    const struct db_row *message, struct bytes body, uint64_t at)
{
	struct bytes was = { message->envelope, message->envelope_len };
	const Hopyard__V1__Envelope *env =
	    unpack(&hopyard__v1__envelope__descriptor, was);
	Hopyard__V1__Envelope out = HOPYARD__V1__ENVELOPE__INIT;
	uint8_t *old;

	r->kind = HOPYARD__V1__KIND__DLR;
	memcpy(r->id, message->id, 16);
	r->queue = queue;
	db->live++;
	r->at = at;
	r->message = message->seq;
	out.kind = HOPYARD__V1__KIND__DLR;
	out.id = env->id;
	out.has_account = true;
	out.account = env->account;
	out.has_to = true;
	out.to = env->to;
	r->envelope_len = hopyard__v1__envelope__get_packed_size(&out);
	r->envelope = xmalloc(r->envelope_len);
	hopyard__v1__envelope__pack(&out, r->envelope);
	old = r->body; /* may be what is copied */
	r->body = copy(body);
	r->body_len = body.len;
	free(old);
	r->report =
	    copy((struct bytes){ message->report, message->report_len });
	r->report_len = message->report_len;
	queue_add(db, queue, r->seq);
}

static void
set_final(struct db *db, struct db_row *m, unsigned state, bool by_bus)
{
	bool timer =
	    by_bus && (state == STATE(UNKNOWN) || state == STATE(EXPIRED));

	/* A receipt may come while the timer's word is on its way. */
	if (m->final != 0 && m->submitted && timer && !m->by_timer)
		return;
	if (m->final != 0 && (!m->by_timer || by_bus))
		fault(db, "a second final state", m->seq);
	m->final = (uint8_t)state;
	m->by_timer = timer;
	m->finals++;
}

/* RECEIPT_IN at `from` is about a message that is known: the event it makes
 * is record r.  Returns whether it made an item. */
static bool
apply_receipt(struct db *db, struct db_row *r, uint64_t from, uint64_t at)
{
	const struct db_row *in = db_xrow(db, from);
	struct bytes body = { in->body, in->body_len };
	const Hopyard__V1__Notice *n =
	    unpack(&hopyard__v1__notice__descriptor, body);
	struct db_row *m;
	uint64_t ref;

	memcpy(&ref, n->smsc_id.data, sizeof(ref));
	m = db_xrow(db, ref);
	/* First final wins; one of our own timer may be corrected. */
	if (m->final != 0 && !m->by_timer)
		return false;
	set_final(db, m, n->state, false);
	if (m->report_queue == 0 || (m->mask & 3) == 0)
		return false;
	make_dlr(db, r, m->report_queue, m, body, at);
	return true;
}

/* The message that a RECEIPT_IN is about, if the carrier has it. */
static bool
receipt_known(const struct db *db, const struct db_row *in)
{
	struct bytes body = { in->body, in->body_len };
	const Hopyard__V1__Notice *n =
	    unpack(&hopyard__v1__notice__descriptor, body);
	const struct db_row *m;
	uint64_t ref;

	if (n == NULL || n->smsc_id.len != sizeof(ref))
		return false;
	memcpy(&ref, n->smsc_id.data, sizeof(ref));
	m = db_row(db, ref);
	/* The scope of an id is the link that gave it. */
	return m != NULL && m->submitted && strcmp(m->link, in->link) == 0;
}

/* A record that made no item carries what was matched late. */
static void
attach(struct db *db, struct db_row *r, uint64_t at, struct db_news *news)
{
	for (size_t i = 0; i < db->orphan.count; i++) {
		uint64_t seq = db->orphan.v[i];

		if (!receipt_known(db, db_xrow(db, seq)))
			continue;
		db->orphan.v[i--] = db->orphan.v[--db->orphan.count];
		if (apply_receipt(db, r, seq, at)) {
			db_list_add(&news->notice, r->seq);
			return;
		}
	}
}

static void
add_event(struct db *db, uint64_t seq, const struct item *it,
    const Hopyard__V1__Record *rec, struct db_news *news)
{
	struct db_row *r = db_xrow(db, seq), *m = db_row(db, rec->ref);
	const Hopyard__V1__Result *res = NULL;
	struct bytes raw = { rec->result.data, rec->result.len };

	/* About a message that turned out to be a duplicate, or none. */
	if (m == NULL || m->kind == 0) {
		fault(db, "event about nothing", seq);
		return;
	}
	if (memcmp(m->id, rec->id.data, 16) != 0)
		fault(db, "event with the id of another item", seq);
	if (rec->has_link)
		snprintf(m->link, sizeof(m->link), "%.*s", (int)rec->link.len,
		    (const char *)rec->link.data);
	if (rec->has_result)
		res = unpack(&hopyard__v1__result__descriptor, raw);
	/* Only a timer, or a receipt, comes after the carrier has it. */
	if (m->ended && rec->event != EV(REPLAYED) &&
	    !(m->submitted && rec->event == EV(FINAL)))
		fault(db, "event about an item that has ended", rec->ref);
	switch (rec->event) {
	case EV(ATTEMPT):
		m->attempts = m->attempt_recorded = rec->attempt;
		m->dup = true;
		break;
	case EV(RETRY_EV):
	case EV(REROUTED):
		if (res != NULL &&
		    (res->code == HOPYARD__V1__RESULT__CODE__RETRY ||
			res->code == HOPYARD__V1__RESULT__CODE__REROUTE) &&
		    (rec->attempt == 0 || rec->attempt < m->attempts))
			fault(db, "a refusal that was not counted", rec->ref);
		m->waits_at = rec->at;
		m->waits_since = rec->event == EV(RETRY_EV) && !rec->has_due_at
		    ? db->now
		    : 0;
		m->wait_ms = rec->wait_ms;
		m->era = db->era;
		m->attempts = rec->attempt;
		m->dup = rec->possible_dup;
		break;
	case EV(SUBMITTED_EV):
		m->submits++;
		m->dup = rec->possible_dup;
		m->submitted = rec->state == STATE(SUBMITTED);
		m->receipt_by = rec->receipt_by;
		if (!m->submitted)
			set_final(db, m, STATE(SENT), true);
		break;
	case EV(FINAL):
		if (rec->other.len == sizeof(m->other))
			memcpy(m->other, rec->other.data, sizeof(m->other));
		m->dup = rec->possible_dup;
		set_final(db, m, rec->state, true);
		break;
	case EV(NOTIFIED):
		m->notified = true;
		break;
	default:
		break;
	}
	for (size_t i = 0; res != NULL && i < res->n_part; i++)
		if (res->part[i]->has_smsc_id && res->part[i]->status == 0 &&
		    m->parts < 16)
			m->part[m->parts++] = res->part[i]->part;
	if (rec->closes) {
		m->last_close = seq;
		if (rec->event != EV(RETRY_EV)) {
			db->live -= !m->ended;
			m->ended = true;
		}
		if (!m->ended && !rec->has_due_at)
			fault(db, "closed, and nowhere to be found", rec->ref);
	}
	if (rec->has_due_at && rec->due_at != 0)
		due_add(db, rec->due_at, seq, rec->ref);
	if (rec->has_queue && rec->queue != 0)
		make_dlr(db, r, rec->queue, m, it->body, rec->at);
	else
		attach(db, r, rec->at, news);
}

static void
add_receipt(struct db *db, struct db_row *r, const struct item *it,
    const Hopyard__V1__Record *rec, struct db_news *news)
{
	uint64_t seq = r->seq;

	if (rec->id.len == 16 && !db_receipt(db, rec->id.data)) {
		void *id = xmemdup(rec->id.data, 16);

		map_put(&db->receipt, id, 16, id);
	}
	/* Kept beside: the body of a row that may become a DLR itself. */
	r->body = copy(it->body);
	r->body_len = it->body.len;
	snprintf(r->link, sizeof(r->link), "%.*s", (int)rec->link.len,
	    (const char *)rec->link.data);
	if (receipt_known(db, r)) {
		if (apply_receipt(db, r, seq, rec->at))
			db_list_add(&news->notice, seq);
		return;
	}
	db_list_add(&db->orphan, seq);
	attach(db, r, rec->at, news);
}

static void
add_queues(struct db *db, const Hopyard__V1__Record *rec)
{
	for (size_t i = 0; i < rec->n_queues; i++) {
		const Hopyard__V1__Queue *def = rec->queues[i];
		struct db_queue *q = db_queue(db, def->queue);

		if (q != NULL) {
			fault(db, "queue defined twice", def->queue);
			continue;
		}
		db->queue = xrealloc(
		    db->queue, (db->queue_count + 1) * sizeof(*db->queue));
		q = &db->queue[db->queue_count++];
		memset(q, 0, sizeof(*q));
		q->number = def->queue;
		q->class = def->class_;
		snprintf(q->target, sizeof(q->target), "%.*s",
		    (int)def->target.len, (const char *)def->target.data);
		snprintf(q->account, sizeof(q->account), "%.*s",
		    (int)def->account.len, (const char *)def->account.data);
	}
}

/* Where recovery would begin to read this queue; 0: it would not. */
static uint64_t
recovery_low(const struct db *db, const struct db_queue *q)
{
	uint64_t low = q->mark;

	for (size_t i = q->count; i > 0; i--) {
		uint64_t seq = q->item[i - 1];
		bool message = db_xrow(db, seq)->kind != HOPYARD__V1__KIND__DLR;

		if (seq <= db->since_event)
			break;
		if ((!message || seq > db->since) && (low == 0 || seq < low))
			low = seq;
	}
	return low;
}

static void
check_marks(struct db *db)
{
	for (size_t i = 0; i < db->queue_count; i++) {
		const struct db_queue *q = &db->queue[i];
		uint64_t low = recovery_low(db, q);

		for (size_t k = 0; k < q->count; k++) {
			const struct db_row *r = db_xrow(db, q->item[k]);

			if (r->kind == 0 || r->last_close != 0)
				continue;
			if (low == 0 || r->seq < low)
				fault(db, "low mark above a live item", r->seq);
			break;
		}
	}
	for (size_t i = 0; i < db->due_count; i++) {
		if (!due_behind(db, &db->due[i]))
			break;
		if (due_live(db, &db->due[i]))
			fault(db, "due mark behind a live row", db->due[i].seq);
	}
}

static void
add_checkpoint(struct db *db, uint64_t seq, const Hopyard__V1__Record *rec)
{
	if (rec->n_queues > 1300)
		fault(db, "checkpoint record does not pass the scan", seq);
	if (db->marking_from == 0) {
		db->marking_from = seq;
		for (size_t i = 0; i < db->queue_count; i++)
			db->queue[i].marking = 0;
	}
	for (size_t i = 0; i < rec->n_queues; i++) {
		struct db_queue *q = db_queue(db, rec->queues[i]->queue);

		if (q == NULL)
			fault(db, "mark of a queue that is not defined", seq);
		else
			q->marking = rec->queues[i]->low;
	}
	if (!rec->closes)
		return;
	for (size_t i = 0; i < db->queue_count; i++)
		db->queue[i].mark = db->queue[i].marking;
	db->since = db->marking_from;
	db->since_event = rec->ref;
	db->due_low_at = rec->due_low_at;
	db->due_low_seq = rec->due_low_seq;
	db->marking_from = 0;
	check_marks(db);
}

void
db_commit(
    struct db *db, uint64_t seq, const struct item *it, struct db_news *news)
{
	const Hopyard__V1__Record *rec;
	struct db_row *r = row_new(db, seq);

	arena_reset(&arena);
	rec = unpack(&hopyard__v1__record__descriptor, it->context);
	if (rec == NULL) {
		fault(db, "record does not parse", seq);
		return;
	}
	switch (rec->type) {
	case HOPYARD__V1__RECORD__TYPE__MESSAGE:
		add_message(db, r, it, rec, news);
		break;
	case HOPYARD__V1__RECORD__TYPE__EVENT:
		add_event(db, seq, it, rec, news);
		break;
	case HOPYARD__V1__RECORD__TYPE__RECEIPT_IN:
		add_receipt(db, r, it, rec, news);
		break;
	case HOPYARD__V1__RECORD__TYPE__QUEUE_DEF:
		add_queues(db, rec);
		break;
	case HOPYARD__V1__RECORD__TYPE__CHECKPOINT:
		add_checkpoint(db, seq, rec);
		attach(db, db_xrow(db, seq), rec->at, news);
		break;
	default:
		fault(db, "record of no type", seq);
		break;
	}
}

void
db_again(const struct db *db, uint64_t seq, const struct item *it,
    struct db_news *news)
{
	const struct db_row *r = db_xrow(db, seq);
	const Hopyard__V1__Record *rec;

	arena_reset(&arena);
	rec = unpack(&hopyard__v1__record__descriptor, it->context);
	assert(rec != NULL);
	if (rec->type == HOPYARD__V1__RECORD__TYPE__MESSAGE && r->kind == 0)
		db_list_add(&news->duplicate, seq);
	/* Items of the store's own making. */
	if (r->kind == HOPYARD__V1__KIND__DLR &&
	    !(rec->type == HOPYARD__V1__RECORD__TYPE__EVENT && rec->has_queue &&
		rec->queue != 0))
		db_list_add(&news->notice, seq);
}

/* ------------------------------------------------------------------ frames */

struct frame_out {
	const struct db *db;
	struct buf items;
	size_t count;
	db_emit *emit;
	void *arg;
};

static void
out_frame(struct frame_out *o, uint64_t upto, uint64_t upto_due_at, bool more)
{
	uint8_t head[ITEMS_HEAD];
	struct buf b;
	size_t n = items_put_head(head, 1, 0, more, upto, upto_due_at);

	buf_init(&b);
	buf_add(&b, head, n);
	if (o->count > 0)
		buf_add(&b, buf_data(&o->items), buf_len(&o->items));
	o->emit(o->arg, buf_data(&b), buf_len(&b));
	buf_fini(&b);
	buf_clear(&o->items);
	o->count = 0;
}

static void
out_row(struct frame_out *o, const struct db_row *r,
    Hopyard__V1__Paged *p /* what the caller has to add */)
{
	size_t max = o->db->frame_items != 0 ? o->db->frame_items : 200;
	uint32_t parts[16];
	uint8_t context[512];
	struct item it = {
		.envelope = { r->envelope, r->envelope_len },
		.body = { r->body, r->body_len },
		.report = { r->report, r->report_len },
	};

	if (o->count == max)
		out_frame(o, 0, 0, true);
	p->seq = r->seq;
	p->queue = r->queue;
	p->at = r->at;
	p->has_expires_at = r->expires_at != 0;
	p->expires_at = r->expires_at;
	p->has_attempts = r->attempts > 0;
	p->attempts = r->attempts;
	p->has_report_queue = r->report_queue != 0;
	p->report_queue = r->report_queue;
	p->has_link = r->link[0] != '\0';
	p->link.data = (uint8_t *)(uintptr_t)r->link;
	p->link.len = strlen(r->link);
	p->has_possible_dup = r->dup;
	p->possible_dup = r->dup;
	memcpy(parts, r->part, sizeof(parts));
	p->n_part_done = r->parts;
	p->part_done = parts;
	assert(hopyard__v1__paged__get_packed_size(p) <= sizeof(context));
	it.context.len = hopyard__v1__paged__pack(p, context);
	it.context.p = context;
	item_put(buf_reserve(&o->items, item_size(&it)), &it);
	buf_commit(&o->items, item_size(&it));
	o->count++;
}

static void
page_id(const struct db *db, const Hopyard__V1__Page *p, struct frame_out *o)
{
	const struct db_row *m = db_find(db, p->id.data);

	for (uint64_t seq = m == NULL ? db->durable + 1 : m->seq;
	     seq <= db->durable; seq++) {
		const struct db_row *r = db_xrow(db, seq);
		Hopyard__V1__Paged pg = HOPYARD__V1__PAGED__INIT;

		assert(m != NULL);
		if (r->kind == 0 || (r != m && r->message != m->seq))
			continue;
		pg.has_closed = true;
		pg.closed = r->ended;
		pg.has_state = r->final != 0 || r->submitted;
		pg.state = r->final != 0 ? r->final : STATE(SUBMITTED);
		out_row(o, r, &pg);
	}
	out_frame(o, db->durable, 0, false);
}

static void
page_due(const struct db *db, const Hopyard__V1__Page *p, struct frame_out *o)
{
	uint64_t upto = INT64_MAX, upto_at = p->until_due_at;
	uint32_t n = 0;

	for (size_t i = 0; i < db->due_count; i++) {
		const struct db_due *d = &db->due[i];
		Hopyard__V1__Paged pg = HOPYARD__V1__PAGED__INIT;

		if (d->at < p->after_due_at ||
		    (d->at == p->after_due_at && d->seq <= p->after))
			continue;
		if (d->at > p->until_due_at)
			break;
		if (n == p->limit) {
			upto = db->due[i - 1].seq;
			upto_at = db->due[i - 1].at;
			break;
		}
		n++;
		if (!due_live(db, d))
			continue;
		pg.has_due_at = pg.has_due_seq = true;
		pg.due_at = d->at;
		pg.due_seq = d->seq;
		out_row(o, db_xrow(db, d->ref), &pg);
	}
	out_frame(o, upto, upto_at, false);
}

static void
page_queue(struct db *db, const Hopyard__V1__Page *p, struct frame_out *o)
{
	const struct db_queue *q = db_queue(db, p->queue);
	uint64_t upto = db->durable;
	uint32_t n = 0;

	db->pages++;
	db->verified += p->verify;
	for (size_t i = 0; q != NULL && i < q->count; i++) {
		const struct db_row *r = db_xrow(db, q->item[i]);
		Hopyard__V1__Paged pg = HOPYARD__V1__PAGED__INIT;

		if (r->seq <= p->after || (p->verify && r->last_close != 0))
			continue;
		out_row(o, r, &pg);
		if (++n == p->limit) {
			upto = r->seq;
			break;
		}
	}
	out_frame(o, upto, 0, false);
}

void
db_page(struct db *db, const Hopyard__V1__Page *p, db_emit *emit, void *arg)
{
	struct frame_out o = { .db = db, .emit = emit, .arg = arg };

	arena_reset(&arena);
	buf_init(&o.items);
	if (p->has_id)
		page_id(db, p, &o);
	else if (p->due)
		page_due(db, p, &o);
	else
		page_queue(db, p, &o);
	buf_fini(&o.items);
}

void
db_notices(
    const struct db *db, const struct db_list *seqs, db_emit *emit, void *arg)
{
	struct frame_out o = { .db = db, .emit = emit, .arg = arg };

	if (seqs->count == 0)
		return;
	buf_init(&o.items);
	for (size_t i = 0; i < seqs->count; i++) {
		Hopyard__V1__Paged pg = HOPYARD__V1__PAGED__INIT;

		out_row(&o, db_xrow(db, seqs->v[i]), &pg);
	}
	out_frame(&o, 0, 0, false);
	buf_fini(&o.items);
}

size_t
db_overdue(struct db *db, uint64_t wall, db_emit *emit, void *arg)
{
	struct frame_out o = { .db = db, .emit = emit, .arg = arg };
	struct db_list *open = &db->expiring;
	size_t n = 0, kept = 0;

	buf_init(&o.items);
	for (size_t i = 0; i < open->count; i++) {
		const struct db_row *r = db_xrow(db, open->v[i]);
		Hopyard__V1__Paged pg = HOPYARD__V1__PAGED__INIT;

		if (r->final != 0 || r->notified)
			continue; /* and never again */
		open->v[kept++] = r->seq;
		if (n == 500 || wall < r->expires_at + 5000)
			continue;
		if (r->ended && (!r->submitted || wall < r->receipt_by))
			continue;
		pg.has_state = true;
		pg.state = r->submitted ? STATE(SUBMITTED) : STATE(QUEUED);
		out_row(&o, r, &pg);
		n++;
	}
	open->count = kept;
	if (n > 0)
		out_frame(&o, 0, 0, false);
	buf_fini(&o.items);
	return n;
}

void
db_opened(struct db *db, uint64_t epoch, db_opened_cb *cb, void *arg)
{
	Hopyard__V1__Opened o = HOPYARD__V1__OPENED__INIT;
	Hopyard__V1__Queue queue[3], *list[3];

	db->marking_from = 0; /* one that was torn off */
	o.epoch = epoch;
	o.last_seq = db->durable;
	o.has_due_at = o.has_due_seq = db->due_low_at != 0;
	o.due_at = db->due_low_at;
	o.due_seq = db->due_low_seq;
	o.queue = list;
	for (size_t i = 0; i < db->queue_count; i++) {
		const struct db_queue *q = &db->queue[i];
		Hopyard__V1__Queue *out = &queue[o.n_queue];

		hopyard__v1__queue__init(out);
		out->queue = q->number;
		out->class_ = (Hopyard__V1__Class)q->class;
		out->target.data = (uint8_t *)(uintptr_t)q->target;
		out->target.len = strlen(q->target);
		out->account.data = (uint8_t *)(uintptr_t)q->account;
		out->account.len = strlen(q->account);
		out->low = recovery_low(db, q);
		out->has_low = out->low != 0;
		list[o.n_queue++] = out;
		if (o.n_queue == 3) {
			o.has_more = o.more = true;
			cb(arg, &o);
			o.n_queue = 0;
		}
	}
	o.has_more = o.more = false;
	cb(arg, &o);
}

/* ---------------------------------------------------------------- building */

struct conf *
model_conf(const char *text)
{
	char path[] = "/tmp/core_test.XXXXXX";
	int fd = mkstemp(path);
	struct conf *c;
	struct buf err;
	ssize_t n;

	assert(fd >= 0);
	n = write(fd, text, strlen(text));
	assert(n == (ssize_t)strlen(text));
	close(fd);
	buf_init(&err);
	c = conf_load(path, &err);
	if (c == NULL)
		fprintf(stderr, "%s", buf_str(&err));
	assert(c != NULL);
	buf_fini(&err);
	unlink(path);
	return c;
}

void
model_id(uint8_t id[16], uint64_t wall, uint64_t serial)
{
	for (int i = 0; i < 6; i++)
		id[i] = (uint8_t)(wall >> (40 - 8 * i));
	id[6] = 0x70;
	id[7] = 0;
	for (int i = 0; i < 8; i++)
		id[8 + i] = (uint8_t)(serial >> (56 - 8 * i));
	id[8] |= 0x80;
}

static ProtobufCBinaryData
binary(const char *s)
{
	return (ProtobufCBinaryData){ s == NULL ? 0 : strlen(s),
		(uint8_t *)(uintptr_t)s };
}

static struct bytes
put(struct buf *b, size_t at)
{
	return (struct bytes){ buf_data(b) + at, buf_len(b) - at };
}

struct item
model_mt(struct buf *b, const struct model_mt *mt)
{
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	struct item it = { 0 };
	size_t len, body = mt->body_size != 0 ? mt->body_size : 5;

	env.id = (ProtobufCBinaryData){ 16, (uint8_t *)(uintptr_t)mt->id };
	env.kind = HOPYARD__V1__KIND__MT;
	env.has_account = true;
	env.account = binary(mt->account);
	env.has_to = true;
	env.to = binary(mt->to != NULL ? mt->to : "4915112345678");
	env.has_from = mt->from != NULL;
	env.from = binary(mt->from);
	env.has_link = mt->link != NULL;
	env.link = binary(mt->link);
	env.has_replaces = mt->replaces != NULL;
	env.replaces =
	    (ProtobufCBinaryData){ 16, (uint8_t *)(uintptr_t)mt->replaces };
	env.has_parts = mt->parts != 0;
	env.parts = mt->parts != 0 ? mt->parts : 1;
	env.has_report_mask = true;
	env.report_mask = mt->mask;
	env.has_delay_ms = mt->delay_ms != 0;
	env.delay_ms = mt->delay_ms;
	env.has_validity_ms = mt->validity_ms != 0;
	env.validity_ms = mt->validity_ms;
	env.has_class_ = mt->class != 0;
	env.class_ = (Hopyard__V1__Class)mt->class;
	env.has_esme = mt->esme;
	env.esme = mt->esme;
	buf_clear(b);
	len = hopyard__v1__envelope__get_packed_size(&env);
	hopyard__v1__envelope__pack(&env, buf_reserve(b, len + body + 8));
	buf_commit(b, len);
	memset(buf_reserve(b, body), 'x', body);
	buf_commit(b, body);
	buf_add(b, "report", 6);
	it.envelope = (struct bytes){ buf_data(b), len };
	it.body = (struct bytes){ buf_data(b) + len, body };
	it.report = put(b, len + body);
	return it;
}

struct item
model_mo(struct buf *b, const uint8_t id[16], const char *to, const char *from)
{
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	struct item it = { 0 };
	size_t len;

	env.id = (ProtobufCBinaryData){ 16, (uint8_t *)(uintptr_t)id };
	env.kind = HOPYARD__V1__KIND__MO;
	env.has_to = env.has_from = true;
	env.to = binary(to);
	env.from = binary(from);
	buf_clear(b);
	len = hopyard__v1__envelope__get_packed_size(&env);
	hopyard__v1__envelope__pack(&env, buf_reserve(b, len + 8));
	buf_commit(b, len);
	buf_add(b, "hello", 5);
	it.envelope = (struct bytes){ buf_data(b), len };
	it.body = put(b, len);
	return it;
}

struct item
model_mo_part(struct buf *b, const struct model_part *mp)
{
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Segment seg = HOPYARD__V1__SEGMENT__INIT;
	Hopyard__V1__Content c = HOPYARD__V1__CONTENT__INIT;
	struct item it = { 0 };
	char text[32];
	size_t len, body;

	snprintf(text, sizeof(text), "[%llu]", (unsigned long long)mp->text);
	c.has_text = true;
	c.text = binary(text);
	seg.kind = 1;
	seg.ref = 7;
	seg.total = mp->total;
	seg.number = mp->number;
	env.id = (ProtobufCBinaryData){ 16, (uint8_t *)(uintptr_t)mp->id };
	env.kind = HOPYARD__V1__KIND__MO;
	env.has_to = env.has_from = env.has_link = true;
	env.to = binary(mp->to);
	env.from = binary(mp->from);
	env.link = binary(mp->link);
	env.segment = &seg;
	buf_clear(b);
	len = hopyard__v1__envelope__get_packed_size(&env);
	body = hopyard__v1__content__get_packed_size(&c);
	hopyard__v1__envelope__pack(&env, buf_reserve(b, len + body));
	buf_commit(b, len);
	hopyard__v1__content__pack(&c, buf_reserve(b, body));
	buf_commit(b, body);
	it.envelope = (struct bytes){ buf_data(b), len };
	it.body = put(b, len);
	return it;
}

struct item
model_receipt(struct buf *b, const uint8_t id[16], const void *smsc_id,
    size_t id_len, Hopyard__V1__State state)
{
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Notice n = HOPYARD__V1__NOTICE__INIT;
	struct item it = { 0 };
	size_t len, body;

	env.id = (ProtobufCBinaryData){ 16, (uint8_t *)(uintptr_t)id };
	env.kind = HOPYARD__V1__KIND__RECEIPT;
	n.has_state = true;
	n.state = state;
	n.has_smsc_id = true;
	n.smsc_id =
	    (ProtobufCBinaryData){ id_len, (uint8_t *)(uintptr_t)smsc_id };
	n.has_mask = true;
	n.mask = state == STATE(DELIVERED) ? 1 : 2;
	buf_clear(b);
	len = hopyard__v1__envelope__get_packed_size(&env);
	body = hopyard__v1__notice__get_packed_size(&n);
	hopyard__v1__envelope__pack(&env, buf_reserve(b, len + body));
	buf_commit(b, len);
	hopyard__v1__notice__pack(&n, buf_reserve(b, body));
	buf_commit(b, body);
	it.envelope = (struct bytes){ buf_data(b), len };
	it.body = put(b, len);
	return it;
}

struct item
model_result(struct buf *b, const struct model_result *mr)
{
	Hopyard__V1__Result r = HOPYARD__V1__RESULT__INIT;
	Hopyard__V1__Result__Part part = HOPYARD__V1__RESULT__PART__INIT;
	Hopyard__V1__Result__Part *list[1] = { &part };
	struct item it = { 0 };
	size_t len;

	r.ref = mr->ref;
	r.code = mr->code;
	r.has_id = mr->id != NULL;
	r.id = (ProtobufCBinaryData){ 16, (uint8_t *)(uintptr_t)mr->id };
	r.has_attempt = mr->attempt != 0;
	r.attempt = mr->attempt;
	r.has_detail = mr->detail != NULL;
	r.detail = binary(mr->detail);
	r.has_pause_ms = mr->pause_ms != 0;
	r.pause_ms = mr->pause_ms;
	r.has_pause_link = mr->pause_link;
	r.pause_link = mr->pause_link;
	if (mr->smsc_id != NULL || mr->part_ok != 0) {
		part.part = mr->part_ok != 0 ? mr->part_ok : 1;
		part.has_smsc_id = true;
		part.smsc_id = mr->smsc_id != NULL
		    ? (ProtobufCBinaryData){ mr->smsc_id_len,
			      (uint8_t *)(uintptr_t)mr->smsc_id }
		    : binary("id");
		r.n_part = 1;
		r.part = list;
	}
	buf_clear(b);
	len = hopyard__v1__result__get_packed_size(&r);
	hopyard__v1__result__pack(&r, buf_reserve(b, len));
	buf_commit(b, len);
	it.envelope = (struct bytes){ buf_data(b), len };
	return it;
}
