/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/batch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/partition.h"
#include "boxes/store/receipt.h"
#include "boxes/store/sweep.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/uuid.h"
#include "common/xalloc.h"

/* The largest record that passes a frame needs less when unpacked: a
 * checkpoint of 4,096 queues. */
#define BATCH_ARENA (4 * 1024 * 1024)

void
batch_tools_init(struct batch_tools *t)
{
	memset(t, 0, sizeof(*t));
	t->memory = xmalloc(BATCH_ARENA);
	arena_init(&t->arena, t->memory, BATCH_ARENA);
}

void
batch_tools_fini(struct batch_tools *t)
{
	free(t->memory);
	t->memory = NULL;
}

void
batch_init(struct batch *b)
{
	memset(b, 0, sizeof(*b));
	for (int t = 0; t < ROWS_TABLES; t++)
		rows_init(&b->rows[t], t);
	packs_init(&b->packs);
	buf_init(&b->blob);
}

void
batch_fini(struct batch *b)
{
	for (int t = 0; t < ROWS_TABLES; t++)
		rows_fini(&b->rows[t]);
	packs_fini(&b->packs);
	buf_fini(&b->blob);
	free(b->id);
	free(b->notice);
	free(b->duplicate);
	free(b->refused);
}

void
batch_clear(struct batch *b)
{
	for (int t = 0; t < ROWS_TABLES; t++)
		rows_clear(&b->rows[t]);
	packs_clear(&b->packs);
	buf_clear(&b->blob);
	b->first = b->last = 0;
	b->last_at = b->urgent_at = 0;
	b->attempt = 0;
	b->items = b->bytes = 0;
	b->id_count = b->notice_count = b->fetch_count = 0;
	b->duplicate_count = b->refused_count = 0;
}

/* ---------------------------------------------------------- what is kept */

static void
batch_add_id(struct batch *b, const uint8_t id[16], uint64_t seq)
{
	if (b->id_count == b->id_cap) {
		b->id_cap = b->id_cap == 0 ? 256 : b->id_cap * 2;
		b->id = xrealloc(b->id, b->id_cap * sizeof(*b->id));
	}
	memcpy(b->id[b->id_count].id, id, 16);
	b->id[b->id_count++].seq = seq;
}

void
batch_add_duplicate(struct batch *b, uint64_t seq)
{
	if (b->duplicate_count == b->duplicate_cap) {
		b->duplicate_cap =
		    b->duplicate_cap == 0 ? 64 : b->duplicate_cap * 2;
		b->duplicate = xrealloc(
		    b->duplicate, b->duplicate_cap * sizeof(*b->duplicate));
	}
	b->duplicate[b->duplicate_count++] = seq;
}

struct batch_notice *
batch_add_notice(struct batch *b, uint64_t seq, uint64_t at, uint32_t queue,
    const uint8_t id[16])
{
	struct batch_notice *n;

	if (b->notice_count == b->notice_cap) {
		b->notice_cap = b->notice_cap == 0 ? 64 : b->notice_cap * 2;
		b->notice =
		    xrealloc(b->notice, b->notice_cap * sizeof(*b->notice));
	}
	n = &b->notice[b->notice_count++];
	memset(n, 0, sizeof(*n));
	n->seq = seq;
	n->at = at;
	n->queue = queue;
	memcpy(n->id, id, 16);
	return n;
}

size_t
batch_keep(struct batch *b, const void *p, size_t len)
{
	size_t at = buf_len(&b->blob);

	buf_add(&b->blob, p, len);
	return at;
}

void
batch_pack_envelope(struct buf *dst, const uint8_t id[16], struct bytes account,
    struct bytes to, struct bytes from)
{
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	size_t len;

	env.id.data = (uint8_t *)(uintptr_t)id;
	env.id.len = 16;
	env.kind = HOPYARD__V1__KIND__DLR;
	env.has_account = account.p != NULL;
	env.account.data = (uint8_t *)(uintptr_t)account.p;
	env.account.len = account.len;
	env.has_to = to.p != NULL;
	env.to.data = (uint8_t *)(uintptr_t)to.p;
	env.to.len = to.len;
	env.has_from = from.p != NULL;
	env.from.data = (uint8_t *)(uintptr_t)from.p;
	env.from.len = from.len;
	len = hopyard__v1__envelope__get_packed_size(&env);
	hopyard__v1__envelope__pack(&env, buf_reserve(dst, len));
	buf_commit(dst, len);
}

/* ------------------------------------------------------------ the records */

static void
batch_quarantine(
    struct batch *b, uint64_t seq, const struct item *it, const char *why)
{
	static struct log_limit limit;
	struct rows *r = &b->rows[ROWS_QUARANTINE];
	struct column *c = r->col;

	if (log_limit(&limit, 5))
		log_error("record.quarantined", "seq=%llu reason=%s",
		    (unsigned long long)seq, why);
	column_add(c++, (int64_t)seq);
	column_add(c++, (int64_t)clock_wall_ms());
	column_add_text(c++, why, strlen(why));
	rows_bytes(c++, it->context.p, it->context.len);
	rows_bytes(c++, it->envelope.p, it->envelope.len);
	rows_bytes(c++, it->body.p, it->body.len);
	rows_bytes(c++, it->report.p, it->report.len);
	r->count++;
}

/* Of the column of this name, if the table has it. */
static struct bytes
batch_value(struct rows *r, enum rows_table t, uint32_t i, const char *name)
{
	const struct column *c = rows_column(r, t, name);
	struct bytes v = { NULL, 0 };

	if (c != NULL)
		(void)column_get(c, i, &v.p, &v.len);
	return v;
}

static void
batch_refuse(struct batch *b, uint64_t seq)
{
	if (b->refused_count == b->refused_cap) {
		b->refused_cap = b->refused_cap == 0 ? 16 : b->refused_cap * 2;
		b->refused =
		    xrealloc(b->refused, b->refused_cap * sizeof(*b->refused));
	}
	b->refused[b->refused_count++] = seq;
	for (size_t i = 0; i < b->id_count; i++) {
		if (b->id[i].seq == seq) {
			memmove(&b->id[i], &b->id[i + 1],
			    (--b->id_count - i) * sizeof(*b->id));
			return;
		}
	}
}

uint64_t
batch_set_apart(struct batch *b, enum rows_table t, uint32_t i, const char *why)
{
	struct rows *r = &b->rows[t], *q = &b->rows[ROWS_QUARANTINE];
	struct bytes number = batch_value(r, t, i, "seq");
	struct bytes context = batch_value(r, t, i, "rec");
	struct bytes envelope = batch_value(r, t, i, "envelope");
	struct bytes body = batch_value(r, t, i, "body");
	struct bytes report = batch_value(r, t, i, "report");
	struct column *c = q->col;
	char text[320];
	uint64_t seq = 0;

	for (size_t k = 0; k < number.len; k++)
		seq = seq << 8 | number.p[k];
	if (t != ROWS_QUARANTINE) {
		snprintf(text, sizeof(text), "%s: %s", rows_name(t), why);
		column_add(c++, (int64_t)seq);
		column_add(c++, (int64_t)clock_wall_ms());
		column_add_text(c++, text, strlen(text));
		rows_bytes(c++, context.p, context.len);
		rows_bytes(c++, envelope.p, envelope.len);
		rows_bytes(c++, body.p, body.len);
		rows_bytes(c++, report.p, report.len);
		q->count++;
	}
	rows_remove(r, i);
	if (t == ROWS_MESSAGE)
		batch_refuse(b, seq);
	return seq;
}

static void
batch_add_due(struct batch *b, struct batch_tools *t, uint64_t due_at,
    uint64_t seq, uint64_t ref, const uint8_t *id)
{
	struct rows *r = &b->rows[ROWS_DUE];

	partition_need(t->partitions, PARTITION_DUE, due_at);
	column_add(&r->col[0], (int64_t)due_at);
	column_add(&r->col[1], (int64_t)seq);
	column_add(&r->col[2], (int64_t)ref);
	column_add_bytes(&r->col[3], id, 16);
	r->count++;
}

static inline void
batch_text(
    struct column *c, protobuf_c_boolean has, const ProtobufCBinaryData *d)
{
	if (has)
		column_add_text(c, d->data, d->len);
	else
		column_add_null(c);
}

static void
batch_message(struct batch *b, struct batch_tools *t, uint64_t seq,
    const struct item *it, const Hopyard__V1__Record *rec)
{
	const Hopyard__V1__Envelope *env =
	    frame_unpack(&t->arena, &hopyard__v1__envelope__descriptor,
		it->envelope.p, it->envelope.len);
	struct rows *r = &b->rows[ROWS_MESSAGE];
	struct column *c = r->col;
	bool scheduled = rec->has_due_at && rec->due_at != 0;

	if (env == NULL || env->id.len != 16) {
		batch_quarantine(b, seq, it, "no envelope with an id");
		return;
	}
	partition_need(
	    t->partitions, PARTITION_MESSAGE, uuid_time_ms(env->id.data));
	column_add_bytes(&c[MESSAGE_ID], env->id.data, 16);
	column_add(&c[MESSAGE_SEQ], (int64_t)seq);
	if (rec->has_expires_at)
		column_add(&c[MESSAGE_EXPIRES_AT], (int64_t)rec->expires_at);
	else
		column_add_null(&c[MESSAGE_EXPIRES_AT]);
	/* A scheduled one is not found by its queue but by its due row; an MO
	 * that no rule takes (queue 0) is parked. */
	if (rec->has_queue && rec->queue != 0 && !scheduled)
		column_add(&c[MESSAGE_QUEUE], rec->queue);
	else
		column_add_null(&c[MESSAGE_QUEUE]);
	column_add(&c[MESSAGE_PARTS], env->parts < 32768 ? env->parts : 32767);
	column_add(&c[MESSAGE_KIND], env->kind);
	column_add(&c[MESSAGE_CLASS], env->has_class_ ? env->class_ : 0);
	/* The bus knows best: the envelope of an MO names none. */
	if (rec->has_account)
		batch_text(&c[MESSAGE_ACCOUNT], true, &rec->account);
	else
		batch_text(
		    &c[MESSAGE_ACCOUNT], env->has_account, &env->account);
	batch_text(&c[MESSAGE_DST], env->has_to, &env->to);
	batch_text(&c[MESSAGE_SRC], env->has_from, &env->from);
	batch_text(
	    &c[MESSAGE_CLIENT_REF], env->has_client_ref, &env->client_ref);
	column_add_bytes(&c[MESSAGE_REC], it->context.p, it->context.len);
	column_add_bytes(
	    &c[MESSAGE_ENVELOPE], it->envelope.p, it->envelope.len);
	rows_bytes(&c[MESSAGE_BODY], it->body.p, it->body.len);
	rows_bytes(&c[MESSAGE_REPORT], it->report.p, it->report.len);
	r->count++;
	batch_add_id(b, env->id.data, seq);
	if (scheduled)
		batch_add_due(b, t, rec->due_at, seq, seq, env->id.data);
	if (rec->has_expires_at && rec->queue != 0)
		sweep_expect(t->sweep, rec->expires_at, env->id.data, seq);
	if (scheduled)
		sweep_hurry(t->sweep);
}

/* SMSC ids of a result: the first goes into the event's own row, each further
 * one gets a row that only a look-up by key reads. */
static void
batch_keys(struct batch *b, const struct receipts *r, struct event_row *row,
    const Hopyard__V1__Record *rec, const Hopyard__V1__Result *res)
{
	struct event_row more = { .seq = row->seq,
		.at = row->at,
		.ref = row->ref,
		.id = row->id,
		.type = EVENT_PART };

	for (size_t i = 0; i < res->n_part; i++) {
		const Hopyard__V1__Result__Part *p = res->part[i];
		uint64_t key;

		if (!p->has_smsc_id || p->smsc_id.len == 0)
			continue;
		key = receipts_key(r, rec->link.data, rec->link.len,
		    p->smsc_id.data, p->smsc_id.len);
		if (row->key == 0) {
			row->key = key;
			row->part = (uint16_t)p->part;
		} else {
			more.key = key;
			more.part = (uint16_t)p->part;
			rows_add_event(&b->rows[ROWS_EVENT], &more);
		}
	}
}

/*
 * The end of an item that makes no other one.  A connector or front end goes
 * on without the ack; everything else holds up an answer, a dispatch or a
 * notice until it is durable.
 */
static bool
batch_is_end(const Hopyard__V1__Record *rec)
{
	return rec->type == HOPYARD__V1__RECORD__TYPE__EVENT &&
	    (rec->event == HOPYARD__V1__RECORD__EVENT__SUBMITTED_EV ||
		rec->event == HOPYARD__V1__RECORD__EVENT__NOTIFIED) &&
	    rec->closes && !rec->has_queue && !rec->has_due_at;
}

/*
 * One after which nothing comes: nobody looks for it by a key, no receipt is
 * awaited, and it is no item itself.
 */
static bool
batch_is_pack(const Hopyard__V1__Record *rec, const struct event_row *row)
{
	return batch_is_end(rec) &&
	    (rec->event == HOPYARD__V1__RECORD__EVENT__NOTIFIED ||
		rec->state == HOPYARD__V1__STATE__SENT) &&
	    row->ref != 0 && row->id != NULL && row->rec != NULL &&
	    row->body == NULL && row->key == 0 && row->queue == 0 &&
	    !rec->has_receipt_by;
}

static void
batch_event(struct batch *b, struct batch_tools *t, uint64_t seq,
    const struct item *it, const Hopyard__V1__Record *rec)
{
	const Hopyard__V1__Result *res = NULL;
	struct event_row row = { .seq = seq,
		.at = rec->at,
		.ref = rec->ref,
		.queue = rec->has_queue ? rec->queue : 0,
		.type = (uint8_t)rec->event,
		.state = (uint8_t)rec->state,
		.closes = rec->closes,
		.rec = it->context.p,
		.rec_len = it->context.len,
		.body = it->body.p,
		.body_len = it->body.len };

	partition_need(t->partitions, PARTITION_EVENT, rec->at);
	if (rec->has_id && rec->id.len == 16)
		row.id = rec->id.data;
	switch (rec->event) {
	case HOPYARD__V1__RECORD__EVENT__SUBMITTED_EV:
	case HOPYARD__V1__RECORD__EVENT__RETRY_EV:
		/* SENT: nobody waits for a receipt. */
		if (rec->has_result && row.id != NULL && rec->ref != 0 &&
		    rec->state != HOPYARD__V1__STATE__SENT)
			res = frame_unpack(&t->arena,
			    &hopyard__v1__result__descriptor, rec->result.data,
			    rec->result.len);
		if (res != NULL) {
			batch_keys(b, t->receipts, &row, rec, res);
			if (row.key != 0)
				receipts_submitted(
				    t->receipts, rec, res, it->report);
		}
		break;
	case HOPYARD__V1__RECORD__EVENT__FINAL:
	case HOPYARD__V1__RECORD__EVENT__CANCELLED_EV:
	case HOPYARD__V1__RECORD__EVENT__DEAD_EV:
		receipts_final(t->receipts, rec);
		break;
	default:
		break;
	}
	if (batch_is_pack(rec, &row) && packs_add(&b->packs, &row))
		partition_need(t->partitions, PARTITION_PACK, rec->at);
	else
		rows_add_event(&b->rows[ROWS_EVENT], &row);
	if (rec->has_due_at && rec->due_at != 0 && row.id != NULL)
		batch_add_due(b, t, rec->due_at, seq, rec->ref, row.id);
	if (rec->has_receipt_by && row.id != NULL)
		sweep_expect(t->sweep, rec->receipt_by, row.id, rec->ref);
	if (row.queue == 0)
		receipts_attach(t->receipts, b, seq, rec->at, &t->arena);
}

static void
batch_receipt(struct batch *b, struct batch_tools *t, uint64_t seq,
    const struct item *it, const Hopyard__V1__Record *rec)
{
	const Hopyard__V1__Notice *n = frame_unpack(&t->arena,
	    &hopyard__v1__notice__descriptor, it->body.p, it->body.len);

	if (n == NULL) {
		batch_quarantine(b, seq, it, "receipt without a notice");
		return;
	}
	partition_need(t->partitions, PARTITION_EVENT, rec->at);
	partition_need(t->partitions, PARTITION_ORPHAN, rec->at);
	if (!receipts_in(t->receipts, b, seq, rec, n, it->body, &t->arena))
		receipts_attach(t->receipts, b, seq, rec->at, &t->arena);
}

static void
batch_queues(struct batch *b, uint64_t seq, const Hopyard__V1__Record *rec)
{
	struct rows *r = &b->rows[ROWS_QUEUE];

	for (size_t i = 0; i < rec->n_queues; i++) {
		const Hopyard__V1__Queue *q = rec->queues[i];

		column_add(&r->col[0], q->queue);
		column_add_text(&r->col[1], q->target.data, q->target.len);
		column_add(&r->col[2], q->class_);
		column_add_text(&r->col[3], q->account.data, q->account.len);
		column_add(&r->col[4], (int64_t)seq);
		r->count++;
	}
}

static void
batch_checkpoint(struct batch *b, struct batch_tools *t, uint64_t seq,
    const struct item *it, const Hopyard__V1__Record *rec)
{
	struct rows *r = &b->rows[ROWS_CHECKPOINT];

	column_add(&r->col[0], (int64_t)seq);
	column_add(&r->col[1], (int64_t)rec->at);
	column_add_bytes(&r->col[2], it->context.p, it->context.len);
	r->count++;
	partition_need(t->partitions, PARTITION_EVENT, rec->at);
	receipts_attach(t->receipts, b, seq, rec->at, &t->arena);
}

void
batch_seal(struct batch *b)
{
	packs_spread(&b->packs, &b->rows[ROWS_EVENT], PACK_LEAST);
}

bool
batch_unpack(struct batch *b)
{
	if (b->packs.count == 0)
		return false;
	packs_spread(&b->packs, &b->rows[ROWS_EVENT], UINT32_MAX);
	return true;
}

bool
batch_can_wait(const struct batch *b)
{
	return b->urgent_at == 0 && b->notice_count == 0;
}

static void
batch_record(struct batch *b, struct batch_tools *t, uint64_t seq,
    const struct item *it, const Hopyard__V1__Record *rec)
{
	switch (rec->type) {
	case HOPYARD__V1__RECORD__TYPE__MESSAGE:
		batch_message(b, t, seq, it, rec);
		return;
	case HOPYARD__V1__RECORD__TYPE__EVENT:
		batch_event(b, t, seq, it, rec);
		return;
	case HOPYARD__V1__RECORD__TYPE__RECEIPT_IN:
		batch_receipt(b, t, seq, it, rec);
		return;
	case HOPYARD__V1__RECORD__TYPE__QUEUE_DEF:
		batch_queues(b, seq, rec);
		return;
	case HOPYARD__V1__RECORD__TYPE__CHECKPOINT:
		batch_checkpoint(b, t, seq, it, rec);
		return;
	default:
		batch_quarantine(b, seq, it, "unknown type of record");
		return;
	}
}

void
batch_add(
    struct batch *b, struct batch_tools *t, uint64_t seq, const struct item *it)
{
	const Hopyard__V1__Record *rec;

	assert(b->first == 0 || seq == b->last + 1);
	if (b->first == 0) {
		b->first = seq;
		b->at = clock_mono_us();
	}
	b->last = seq;
	b->items++;
	b->bytes += item_bytes(it);
	arena_reset(&t->arena);
	rec = frame_unpack(&t->arena, &hopyard__v1__record__descriptor,
	    it->context.p, it->context.len);
	if (rec == NULL) {
		batch_quarantine(b, seq, it, "not a record");
		return;
	}
	if (rec->at > b->last_at)
		b->last_at = rec->at;
	if (b->urgent_at == 0 && !batch_is_end(rec))
		b->urgent_at = clock_mono_us();
	batch_record(b, t, seq, it, rec);
}
