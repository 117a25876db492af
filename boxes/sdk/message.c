/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * message.c - what the bus has handed out: its fields, its result, and the
 * credit for more.
 *
 * A struct hop_message is one allocation that holds copies of all octets that
 * the program may ask for.  It is in by_ref until box.c has its result.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/sdk/process.h"
#include "common/box.h"
#include "common/clock.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/uuid.h"
#include "common/xalloc.h"

#define MESSAGE_ARENA    (6 * FRAME_MAX_PAYLOAD)
#define MESSAGE_BYTES    ((uint64_t)1024 * 1024) /* byte credit ahead */
#define MESSAGE_PAUSE_MS 1000 /* THROTTLED: so long, unless it is said */
#define MESSAGE_PARTS    255
#define MESSAGE_TEXT_MAX 1024 /* of an id, a detail, a reason */
#define MESSAGE_CODES    (HOP_RECALLED + 1)

struct message_part {
	uint8_t part;
	uint8_t id_len;
	uint32_t status;
	char *id; /* owned */
};

_Static_assert(MESSAGE_NUMBERS <= 32, "bits of hop_message.has");

static struct stat_value message_results[] = {
#define COUNT(r)                                                               \
	{                                                                      \
		.name = "box_results_total",                                   \
		.help = "Messages by what became of them here",                \
		.labels = "result=\"" r "\"", .type = STAT_COUNTER             \
	}
	[HOP_OK] = COUNT("ok"),
	[HOP_RETRY] = COUNT("retry"),
	[HOP_REROUTE] = COUNT("reroute"),
	[HOP_FAIL] = COUNT("fail"),
	[HOP_UNKNOWN] = COUNT("unknown"),
	[HOP_NOT_NOW] = COUNT("not_now"),
	[HOP_THROTTLED] = COUNT("throttled"),
	[HOP_RECALLED] = COUNT("recalled"),
#undef COUNT
};
static struct stat_value message_in_hand = {
	.name = "box_in_hand",
	.help = "Messages handed out by the bus and not finished",
	.type = STAT_GAUGE,
};

#define SAME(ours, theirs)                                                     \
	_Static_assert((int)(ours) == (int)HOPYARD__V1__##theirs, #ours)
SAME(HOP_OK, RESULT__CODE__OK);
SAME(HOP_RETRY, RESULT__CODE__RETRY);
SAME(HOP_REROUTE, RESULT__CODE__REROUTE);
SAME(HOP_FAIL, RESULT__CODE__FAIL);
SAME(HOP_UNKNOWN, RESULT__CODE__UNKNOWN_OUTCOME);
SAME(HOP_NOT_NOW, RESULT__CODE__NOT_NOW);
SAME(HOP_THROTTLED, RESULT__CODE__THROTTLED);
SAME(HOP_RECALLED, RESULT__CODE__RECALLED);
SAME(HOP_MT, KIND__MT);
SAME(HOP_MO, KIND__MO);
SAME(HOP_DLR, KIND__DLR);
SAME(HOP_OTP, CLASS__OTP);
SAME(HOP_BULK, CLASS__BULK);

void
message_register(void)
{
	size_t i;

	for (i = 1; i < ARRAY_LEN(message_results); i++)
		stat_register(&message_results[i]);
	stat_register(&message_in_hand);
}

/* ------------------------------------------------------------------ reading */

/* Where the octets of each field are, by source. */
static void
message_list_fields(
    const struct message_input *in, ProtobufCBinaryData f[MESSAGE_FIELDS])
{
	const Hopyard__V1__Envelope *e = in->envelope;
	const Hopyard__V1__Content *c = in->content;
	const Hopyard__V1__Notice *n = in->notice;

	f[HOP_ID] = e->id;
	f[HOP_TO] = e->to;
	f[HOP_FROM] = e->from;
	f[HOP_ACCOUNT] = e->account;
	if (!e->has_account && in->dispatch != NULL)
		f[HOP_ACCOUNT] = in->dispatch->account;
	f[HOP_CLIENT_REF] = e->client_ref;
	f[HOP_KEYWORD] = e->keyword;
	f[HOP_LINK] = e->link;
	if (c != NULL) {
		f[HOP_TEXT] = c->text;
		f[HOP_BINARY_DATA] = c->data;
		f[HOP_UDH] = c->udh;
		f[HOP_SERVICE_TYPE] = c->service_type;
	}
	if (n != NULL) {
		f[HOP_TEXT] = n->text;
		f[HOP_ERROR] = n->error;
		f[HOP_REASON] = n->reason;
		if (n->has_link)
			f[HOP_LINK] = n->link;
	}
	if (in->ask != NULL)
		f[HOP_RULE] = in->ask->filter;
	if (in->report != NULL) {
		f[HOP_REPORT_URL] = in->report->url;
		f[HOP_METADATA] = in->report->metadata;
	}
}

static void
message_number(
    struct hop_message *m, enum hop_number n, bool has, uint64_t value)
{
	if (!has)
		return;
	m->has |= UINT32_C(1) << n;
	m->number[n] = value;
}

static void
message_read_dispatch(struct hop_message *m, const Hopyard__V1__Dispatch *d)
{
	message_number(m, HOP_ATTEMPT, true, d->attempt);
	message_number(m, HOP_POSSIBLE_DUP, d->has_possible_dup,
	    (uint64_t)d->possible_dup);
	message_number(
	    m, HOP_EXPIRES_MS, d->has_expires_in_ms, d->expires_in_ms);
	message_number(m, HOP_AGE_MS, d->has_age_ms, d->age_ms);
	message_number(m, HOP_ACCEPTED_AT, d->has_accepted_at, d->accepted_at);
	for (size_t i = 0; i < d->n_part_done; i++)
		if (d->part_done[i] <= MESSAGE_PARTS)
			m->done[d->part_done[i] / 64] |= UINT64_C(1)
			    << d->part_done[i] % 64;
}

static void
message_read_numbers(struct hop_message *m, const struct message_input *in)
{
	const Hopyard__V1__Dispatch *d = in->dispatch;
	const Hopyard__V1__Envelope *e = in->envelope;
	const Hopyard__V1__Content *c = in->content;
	const Hopyard__V1__Notice *n = in->notice;

	message_number(m, HOP_KIND, true, (uint64_t)e->kind);
	message_number(m, HOP_CLASS, e->has_class_, (uint64_t)e->class_);
	message_number(m, HOP_PARTS, true, e->parts);
	if (d != NULL)
		message_read_dispatch(m, d);
	if (in->ask != NULL) {
		message_number(m, HOP_DEADLINE_MS, true, in->ask->deadline_ms);
		message_number(
		    m, HOP_PROBE, in->ask->has_probe, (uint64_t)in->ask->probe);
	}
	if (e->segment != NULL) {
		message_number(m, HOP_SEGMENT, true, e->segment->number);
		message_number(m, HOP_SEGMENTS, true, e->segment->total);
	}
	message_number(m, HOP_REPORT_MASK, e->has_report_mask, e->report_mask);
	if (c != NULL) {
		message_number(m, HOP_CODING, true, (uint64_t)c->coding);
		message_number(
		    m, HOP_DATA_CODING, c->has_data_coding, c->data_coding);
		message_number(m, HOP_MESSAGE_CLASS, c->has_message_class,
		    c->message_class);
		message_number(
		    m, HOP_PROTOCOL_ID, c->has_protocol_id, c->protocol_id);
		message_number(m, HOP_PRIORITY, c->has_priority, c->priority);
	}
	if (n != NULL) {
		message_number(m, HOP_STATE, n->has_state, (uint64_t)n->state);
		message_number(m, HOP_DONE_AT, n->has_done_at, n->done_at);
		message_number(m, HOP_STATUS, n->has_status, n->status);
		if (n->has_possible_dup && n->possible_dup)
			message_number(m, HOP_POSSIBLE_DUP, true, 1);
	}
}

/* A copy at *p, which moves on. */
static struct hop_bytes
message_put(uint8_t **p, ProtobufCBinaryData b)
{
	struct hop_bytes copy = hop_data(*p, b.len);

	if (b.len == 0)
		return hop_str(NULL);
	memcpy(*p, b.data, b.len);
	*p += b.len;
	return copy;
}

struct hop_message *
message_new(struct hop_box *b, const struct message_input *in)
{
	size_t tags =
	    in->envelope->n_tag < HOP_TAGS ? in->envelope->n_tag : HOP_TAGS;
	ProtobufCBinaryData f[MESSAGE_FIELDS];
	struct hop_message *m;
	size_t i, size = sizeof(*m);
	uint8_t *p;

	memset(f, 0, sizeof(f));
	message_list_fields(in, f);
	for (i = 1; i < MESSAGE_FIELDS; i++)
		size += f[i].len;
	for (i = 0; i < tags; i++)
		size += in->envelope->tag[i].len;
	m = xcalloc(1, size);
	p = (uint8_t *)(m + 1);
	for (i = 1; i < MESSAGE_FIELDS; i++)
		m->field[i] = message_put(&p, f[i]);
	for (i = 0; i < tags; i++)
		m->tag[i] = message_put(&p, in->envelope->tag[i]);
	message_read_numbers(m, in);
	m->box = b;
	m->ref = in->dispatch != NULL ? in->dispatch->ref : in->ask->ref;
	m->key = in->dispatch != NULL ? m->ref : ++b->last_key;
	m->came_ms = clock_turn_ms();
	map_put_u64(&b->by_ref, m->key, m);
	message_in_hand.value = b->by_ref.count;
	return m;
}

void
message_free(struct hop_message *m)
{
	unsigned i;

	map_del_u64(&m->box->by_ref, m->key);
	message_in_hand.value = m->box->by_ref.count;
	for (i = 0; i < m->n_parts; i++)
		free(m->part[i].id);
	free(m->part);
	free(m->result);
	free(m);
}

/* False: it does not parse, or has no ref with which to say so. */
static bool
message_unpack(struct message_input *in, const struct item *item)
{
	static uint8_t memory[MESSAGE_ARENA];
	struct arena arena;

	memset(in, 0, sizeof(*in));
	arena_init(&arena, memory, sizeof(memory));
	in->dispatch = frame_unpack(&arena, &hopyard__v1__dispatch__descriptor,
	    item->context.p, item->context.len);
	in->envelope = frame_unpack(&arena, &hopyard__v1__envelope__descriptor,
	    item->envelope.p, item->envelope.len);
	if (in->dispatch == NULL || in->envelope == NULL ||
	    in->envelope->id.len != UUID_LEN)
		return false;
	if (in->envelope->kind == HOPYARD__V1__KIND__DLR)
		in->notice =
		    frame_unpack(&arena, &hopyard__v1__notice__descriptor,
			item->body.p, item->body.len);
	else
		in->content =
		    frame_unpack(&arena, &hopyard__v1__content__descriptor,
			item->body.p, item->body.len);
	if (item->report.len > 0)
		in->report =
		    frame_unpack(&arena, &hopyard__v1__report__descriptor,
			item->report.p, item->report.len);
	return true;
}

void
message_on_item(struct hop_box *b, const struct item *item)
{
	struct message_input in;
	struct hop_message *m;

	credit_take(&b->credit, item);
	if (!message_unpack(&in, item)) {
		log_error("bus.bad_item", "len=%zu", item_bytes(item));
		return;
	}
	if (map_get_u64(&b->by_ref, in.dispatch->ref) != NULL)
		return; /* we said in IN_HAND that we have it */
	m = message_new(b, &in);
	if (in.content == NULL && in.notice == NULL)
		hop_refuse(m, HOP_FAIL, "content is malformed");
	else if (b->state >= PROCESS_DRAINING)
		hop_refuse(m, HOP_NOT_NOW, "box is stopping");
	else
		b->opts.message(b, m, b->opts.arg);
}

void
message_on_recall(struct hop_box *b, uint64_t ref)
{
	struct hop_message *m = map_get_u64(&b->by_ref, ref);

	if (m != NULL && !m->finished && b->opts.recall != NULL)
		b->opts.recall(b, m, b->opts.arg);
}

/* ------------------------------------------------------------------- credit */

void
message_tell(struct hop_box *b)
{
	Hopyard__V1__LinkState s = HOPYARD__V1__LINK_STATE__INIT;
	bool up = b->up && b->state < PROCESS_DRAINING;
	char stopping[] = "stopping";

	if (b->opts.role != HOP_CONNECTOR || b->box == NULL)
		return;
	s.state = up ? HOPYARD__V1__LINK_STATE__LINK__UP
		     : HOPYARD__V1__LINK_STATE__LINK__DOWN;
	s.has_bound = s.has_binds = s.has_window = s.has_in_flight = 1;
	s.bound = up;
	s.binds = 1;
	s.window = b->window;
	s.in_flight = (uint32_t)b->by_ref.count;
	if (b->state >= PROCESS_DRAINING)
		s.detail = stopping;
	else if (!up && b->why[0] != '\0')
		s.detail = b->why;
	/* When it is not connected, ready() tells it all. */
	(void)box_send(
	    b->box, HOPYARD__V1__FRAME_TYPE__LINK_STATE, 0, 0, &s.base);
}

void
message_grant(struct hop_box *b)
{
	/* No more while results of what was here wait for room. */
	if (b->opts.message == NULL || b->state != PROCESS_RUNNING || !b->up ||
	    !TAILQ_EMPTY(&b->finished))
		return;
	credit_grant(
	    &b->credit, b->box, b->by_ref.count, b->window, MESSAGE_BYTES);
}

void
message_on_ready(struct hop_box *b)
{
	struct hop_message *m;
	uint64_t *refs;
	size_t pos = 0, n = 0;

	if (b->opts.message == NULL)
		return;
	b->credit = (struct credit){ 0 };
	refs = xcalloc(b->by_ref.count + 1, sizeof(*refs));
	while ((m = map_next(&b->by_ref, &pos)) != NULL)
		refs[n++] = m->ref;
	box_send_in_hand(b->box, refs, n);
	free(refs);
	message_tell(b);
	message_flush(b);
}

void
message_on_lost(struct hop_box *b)
{
	b->credit = (struct credit){ 0 };
}

void
hop_box_set_window(struct hop_box *b, unsigned window)
{
	b->window = window;
	message_grant(b);
}

void
hop_box_set_up(struct hop_box *b, bool up, const char *why)
{
	b->up = up;
	snprintf(b->why, sizeof(b->why), "%s", up || why == NULL ? "" : why);
	log_info("link.state", "to=%s detail=%s", up ? "up" : "down", b->why);
	message_tell(b);
	message_grant(b);
}

/* ------------------------------------------------------------------ results */

static bool
message_send(struct hop_message *m, struct bytes packed)
{
	struct item item = { .envelope = packed };
	int rc = box_send_item(
	    m->box->box, HOPYARD__V1__FRAME_TYPE__RESULT, &item, 0);

	/* Its size was looked at when it was made. */
	assert(rc != UV_EMSGSIZE);
	return rc == 0;
}

void
message_flush(struct hop_box *b)
{
	struct hop_message *m;

	/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it has left the list. */
	while ((m = TAILQ_FIRST(&b->finished)) != NULL) {
		if (!message_send(m, bytes_of(m->result, m->result_len)))
			return;
		TAILQ_REMOVE(&b->finished, m, entry);
		message_free(m);
	}
	/* NOLINTEND(clang-analyzer-unix.Malloc) */
	message_grant(b);
	process_progress(b);
}

/* What the program has told of parts; or the one id that it gave. */
static size_t
message_list_parts(const struct hop_message *m, const struct hop_result *r,
    Hopyard__V1__Result__Part *out, Hopyard__V1__Result__Part **list)
{
	size_t i, n = m->n_parts;

	for (i = 0; i < n; i++) {
		hopyard__v1__result__part__init(&out[i]);
		out[i].part = m->part[i].part;
		out[i].has_status = 1;
		out[i].status = m->part[i].status;
		process_put(&out[i].has_smsc_id, &out[i].smsc_id,
		    hop_data(m->part[i].id, m->part[i].id_len));
		list[i] = &out[i];
	}
	if (n == 0 && r->smsc_id.len > 0) {
		hopyard__v1__result__part__init(&out[0]);
		out[0].part = 1;
		process_put(&out[0].has_smsc_id, &out[0].smsc_id, r->smsc_id);
		list[n++] = &out[0];
	}
	return n;
}

/* Packs it into the scratch buffer. */
static struct bytes
message_pack_result(const struct hop_message *m, const struct hop_result *r)
{
	static Hopyard__V1__Result__Part out[MESSAGE_PARTS];
	static Hopyard__V1__Result__Part *list[MESSAGE_PARTS];
	Hopyard__V1__Result result = HOPYARD__V1__RESULT__INIT;
	struct buf *scratch = &m->box->scratch;
	size_t len;

	result.ref = m->ref;
	result.code = (Hopyard__V1__Result__Code)r->code;
	process_put(&result.has_id, &result.id, m->field[HOP_ID]);
	result.has_attempt = 1;
	result.attempt = (uint32_t)m->number[HOP_ATTEMPT];
	result.part = list;
	result.n_part = message_list_parts(m, r, out, list);
	result.has_parts = r->code == HOP_OK || r->parts != 0;
	result.parts = r->parts != 0 ? r->parts
	    : m->n_parts > 0         ? m->n_parts
				     : 1;
	result.has_status = r->status != 0;
	result.status = r->status;
	process_put(&result.has_detail, &result.detail, r->detail);
	process_put(&result.has_reason, &result.reason, r->reason);
	result.pause_ms = r->code == HOP_THROTTLED && r->pause_ms == 0
	    ? MESSAGE_PAUSE_MS
	    : r->pause_ms;
	result.has_pause_ms = result.pause_ms != 0;
	result.pause_link = r->pause_all || r->code == HOP_THROTTLED;
	result.has_pause_link = result.pause_link;

	len = hopyard__v1__result__get_packed_size(&result);
	buf_clear(scratch);
	hopyard__v1__result__pack(&result, buf_reserve(scratch, len));
	buf_commit(scratch, len);
	return bytes_of(buf_data(scratch), len);
}

int
hop_finish(struct hop_message *m, const struct hop_result *result)
{
	struct hop_box *b = m->box;
	struct hop_result r;
	struct bytes packed;

	if (b->opts.role == HOP_FILTER)
		return HOP_E_ROLE;
	if (!process_take_struct(
		&r, sizeof(r), result, offsetof(struct hop_result, detail)) ||
	    r.code < HOP_OK || r.code > HOP_RECALLED || m->finished ||
	    r.smsc_id.len > UINT8_MAX || r.detail.len > MESSAGE_TEXT_MAX ||
	    r.reason.len > MESSAGE_TEXT_MAX || r.parts > MESSAGE_PARTS)
		return HOP_E_INVALID;
	message_results[r.code].value++;
	m->finished = true;
	packed = message_pack_result(m, &r);
	if (TAILQ_EMPTY(&b->finished) && message_send(m, packed)) {
		message_free(m);
		message_grant(b);
		process_progress(b);
		return 0;
	}
	m->result = xmemdup(packed.p, packed.len);
	m->result_len = packed.len;
	TAILQ_INSERT_TAIL(&b->finished, m, entry);
	return 0;
}

void
hop_sent(struct hop_message *m, struct hop_bytes smsc_id)
{
	struct hop_result r = {
		.size = sizeof(r),
		.code = HOP_OK,
		.smsc_id = smsc_id,
	};

	/* The carrier has it: an id that we cannot keep costs its receipt. */
	if (smsc_id.len > UINT8_MAX) {
		log_error("sdk.bad_result",
		    "len=%zu what=\"smsc_id is too long\"", smsc_id.len);
		r.smsc_id = hop_str(NULL);
	}
	if (hop_finish(m, &r) != 0)
		fatal("sdk.bad_result", "what=\"finished twice\"");
}

void
hop_refuse(struct hop_message *m, int code, const char *detail)
{
	struct hop_result r = {
		.size = sizeof(r),
		.code = code,
		.detail = hop_str(detail),
	};

	if (r.detail.len > MESSAGE_TEXT_MAX)
		r.detail.len = MESSAGE_TEXT_MAX;
	if (hop_finish(m, &r) != 0)
		fatal("sdk.bad_result", "code=%d what=\"%s\"", code,
		    "no code of enum hop_code, or finished twice");
}

int
hop_part(struct hop_message *m, unsigned part, struct hop_bytes smsc_id,
    uint32_t status)
{
	struct message_part *p;
	unsigned i;

	if (part < 1 || part > MESSAGE_PARTS || smsc_id.len > UINT8_MAX)
		return HOP_E_INVALID;
	for (i = 0; i < m->n_parts && m->part[i].part != part; i++)
		;
	if (i == m->n_parts) {
		m->part = xrealloc(m->part, (i + 1) * sizeof(*m->part));
		m->part[i] = (struct message_part){ .part = (uint8_t)part };
		m->n_parts++;
	}
	p = &m->part[i];
	free(p->id);
	p->id = smsc_id.len > 0 ? xmemdup(smsc_id.p, smsc_id.len) : NULL;
	p->id_len = (uint8_t)smsc_id.len;
	p->status = status;
	return 0;
}

void
message_free_all(struct hop_box *b)
{
	struct hop_message *m;
	size_t pos;

	while (pos = 0, (m = map_next(&b->by_ref, &pos)) != NULL) {
		if (m->finished)
			TAILQ_REMOVE(&b->finished, m, entry);
		message_free(m);
	}
	map_fini(&b->by_ref);
}

/* ---------------------------------------------------------------- accessors */

struct hop_bytes
hop_message_bytes(const struct hop_message *m, int field)
{
	/* A field of a later version is one that is not there. */
	if (field < 1 || field >= MESSAGE_FIELDS)
		return hop_str(NULL);
	return m->field[field];
}

uint64_t
hop_message_number(const struct hop_message *m, int number, uint64_t absent)
{
	uint64_t passed;

	if (number < 1 || number >= MESSAGE_NUMBERS ||
	    (m->has & UINT32_C(1) << number) == 0)
		return absent;
	passed = clock_turn_ms() - m->came_ms;
	if (number == HOP_DEADLINE_MS && m->given_up)
		return 0;
	if (number == HOP_EXPIRES_MS || number == HOP_DEADLINE_MS)
		return m->number[number] > passed ? m->number[number] - passed
						  : 0;
	if (number == HOP_AGE_MS)
		return m->number[number] + passed;
	return m->number[number];
}

struct hop_bytes
hop_message_tag(const struct hop_message *m, unsigned i)
{
	return i < HOP_TAGS ? m->tag[i] : hop_str(NULL);
}

bool
hop_message_part_done(const struct hop_message *m, unsigned part)
{
	return part <= MESSAGE_PARTS &&
	    (m->done[part / 64] >> part % 64 & 1) != 0;
}

const char *
hop_message_id(const struct hop_message *m, char dst[HOP_ID_TEXT_LEN])
{
	return uuid_format(m->field[HOP_ID].p, dst);
}

void
hop_message_set_user(struct hop_message *m, void *user)
{
	m->user = user;
}

void *
hop_message_user(const struct hop_message *m)
{
	return m->user;
}
