/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smppc/submit.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/smppc/link.h"
#include "boxes/smppc/origin.h"
#include "boxes/smppc/pin.h"
#include "boxes/smppc/rules.h"
#include "common/clock.h"
#include "common/crash.h"
#include "common/log.h"
#include "common/uuid.h"
#include "common/xalloc.h"
#include "proto/charset.h"
#include "proto/smpp_pdu.h"
#include "proto/smpp_time.h"
#include "proto/udh.h"

#define SUBMIT_PAUSE_MS   1000 /* THROTTLED: the bus waits that long */
#define SUBMIT_DELAY_MAX  (7 * 24 * 3600 * 1000ull)
#define SUBMIT_ARENA      (192 * 1024)
#define SUBMIT_ID_ROOM    72 /* a part's octets later hold its id, <= 65 */
#define SUBMIT_SHORT_CODE 6  /* digits: no international number is as short */

typedef Hopyard__V1__Result__Code result_code;
#define RESULT(x) HOPYARD__V1__RESULT__CODE__##x

enum part_state {
	PART_TODO = 0, /* to be written */
	PART_WRITTEN,  /* on the wire, unanswered */
	PART_OK,       /* the SMSC has it: octets hold its id */
	PART_REFUSED,  /* answered with `status` */
	PART_UNKNOWN,  /* written, and the connection was lost */
	PART_BEFORE,   /* an earlier attempt brought it there */
};

struct part {
	uint32_t off; /* in octets */
	uint32_t len;
	uint8_t state; /* enum part_state */
	uint8_t id_len;
	uint32_t status;
	uint32_t rtt_us;
};

enum message_place {
	PLACE_NONE = 0, /* all is written, or being moved */
	PLACE_READY,    /* cell->ready */
	PLACE_STARTED,  /* bind->started */
	PLACE_FINISHED, /* cell->finished */
};

struct message {
	TAILQ_ENTRY(message) entry;
	struct link *link;
	struct cell *cell;        /* that it comes from */
	struct bind *bind;        /* of its latest part; NULL: of none */
	enum message_place place; /* written only by submit_put() */
	uint64_t ref;
	uint64_t
	    arrival; /* place among others of its cell, see submit_place() */
	uint64_t expires_ms;   /* 0: never */
	uint64_t throttled_ms; /* refused by a limit first; 0: not yet */
	uint32_t attempt;
	uint8_t id[UUID_LEN];
	char bind_name[16]; /* of the session that wrote last */
	const char *encoding;
	const char
	    *detail; /* constant, or in octets; why there was nothing to send */
	uint32_t status;  /* the deciding one */
	result_code code; /* worst so far; CODE_NONE: none */
	uint16_t n_parts;
	uint16_t todo;    /* parts in PART_TODO */
	uint16_t counted; /* todo as counted in the list's sum */
	uint16_t in_flight;
	uint16_t accepted; /* PART_OK */
	uint16_t before;   /* PART_BEFORE */
	bool stop;         /* write no more parts */
	bool pinned;       /* a part of the customer's: only for this bind */
	struct part *part; /* inside this allocation, as are the octets */
	uint8_t *octets;
};

static void submit_finish(struct message *);

/* ------------------------------------------------------------------ places */

static void
submit_insert(struct message_list *list, struct message *m)
{
	struct message *other;

	/* Almost always the newest; one that was throttled goes back in. */
	other = TAILQ_LAST(list, message_list);
	if (other == NULL || other->arrival < m->arrival) {
		TAILQ_INSERT_TAIL(list, m, entry);
		return;
	}
	TAILQ_FOREACH(other, list, entry)
		if (other->arrival > m->arrival)
			break;
	assert(other != NULL);
	TAILQ_INSERT_BEFORE(other, m, entry);
}

static void
submit_put(struct message *m, enum message_place place)
{
	struct link *l = m->link;

	switch (m->place) {
	case PLACE_NONE:
		break;
	case PLACE_READY:
		TAILQ_REMOVE(&m->cell->ready, m, entry);
		l->ready_parts -= m->counted;
		break;
	case PLACE_STARTED:
		TAILQ_REMOVE(&m->bind->started, m, entry);
		l->started_parts -= m->counted;
		break;
	case PLACE_FINISHED:
		TAILQ_REMOVE(&m->cell->finished, m, entry);
		break;
	}
	m->place = place;
	m->counted = m->todo;
	switch (place) {
	case PLACE_NONE:
		break;
	case PLACE_READY:
		submit_insert(&m->cell->ready, m);
		l->ready_parts += m->counted;
		break;
	case PLACE_STARTED:
		submit_insert(&m->bind->started, m);
		l->started_parts += m->counted;
		break;
	case PLACE_FINISHED:
		TAILQ_INSERT_TAIL(&m->cell->finished, m, entry);
		break;
	}
}

/* After anything has happened to its parts: where does it belong? */
static void
submit_settle(struct message *m)
{
	if (m->stop || m->todo == 0) {
		if (m->in_flight == 0)
			submit_finish(m);
		else
			submit_put(m, PLACE_NONE);
	} else if (m->accepted == 0 && m->in_flight == 0 && !m->pinned) {
		submit_put(m, PLACE_READY); /* any bind may take it */
	} else {
		submit_put(m, PLACE_STARTED);
	}
}

/* ----------------------------------------------------------------- results */

/* Worse codes are later in this order. */
static int
submit_rank(result_code code)
{
	switch (code) {
	case RESULT(CODE_NONE):
	case RESULT(OK):
		return 0;
	case RESULT(NOT_NOW):
		return 1;
	case RESULT(RECALLED):
		return 2;
	case RESULT(THROTTLED):
		return 3;
	case RESULT(RETRY):
		return 4;
	case RESULT(REROUTE):
		return 5;
	case RESULT(UNKNOWN_OUTCOME):
		return 6;
	case RESULT(FAIL):
		return 7;
	default: /* protobuf-c adds a value to force the size */
		return 8;
	}
}

static void
submit_note(struct message *m, result_code code, uint32_t status)
{
	if (submit_rank(code) <= submit_rank(m->code))
		return;
	m->code = code;
	m->status = status;
}

/* The parts that were answered, and what their ids look like on the wire. */
static size_t
submit_list_parts(struct message *m, Hopyard__V1__Result__Part *out,
    Hopyard__V1__Result__Part **list, char (*ids)[RECEIPT_ID_MAX], char *detail,
    size_t cap)
{
	size_t n = 0, used = strlen(detail), len;
	unsigned i;

	for (i = 0; i < m->n_parts; i++) {
		const struct part *p = &m->part[i];
		Hopyard__V1__Result__Part *r = &out[n];
		struct bytes raw = { NULL, 0 };

		if (p->state != PART_OK && p->state != PART_REFUSED)
			continue;
		hopyard__v1__result__part__init(r);
		r->part = i + 1;
		r->has_status = 1;
		r->status = p->status;
		r->has_rtt_us = 1;
		r->rtt_us = p->rtt_us;
		if (p->state == PART_OK) {
			raw = bytes_of(m->octets + p->off, p->id_len);
			len = receipt_normalise_id(
			    m->link->profile->id_resp, raw, ids[n]);
			r->has_smsc_id = 1;
			r->smsc_id.data = (uint8_t *)ids[n];
			r->smsc_id.len = len;
			if ((len != raw.len ||
				memcmp(ids[n], raw.p, len) != 0) &&
			    used < cap)
				used += (size_t)snprintf(detail + used,
				    cap - used, "%sraw=%u:%.*s",
				    used == 0 ? "" : " ", i + 1, (int)raw.len,
				    (const char *)raw.p);
		}
		list[n++] = r;
	}
	return n;
}

static void
submit_describe(const struct message *m, char *detail, size_t cap)
{
	char name[SMPP_NAME_MAX];

	detail[0] = '\0';
	if (m->detail != NULL)
		snprintf(detail, cap, "%s", m->detail);
	else if (m->status != ESME_ROK)
		snprintf(detail, cap, "%s", smpp_status_str(m->status, name));
	else if (m->code == RESULT(UNKNOWN_OUTCOME))
		snprintf(
		    detail, cap, "%s", "connection lost before the answer");
}

/* What was refused without a status could not be made a submit_sm. */
static const char *
submit_reason(const struct message *m)
{
	if (m->status != ESME_ROK)
		return profile_reason_of_status(m->link->profile, m->status);
	return m->code == RESULT(FAIL) ? "invalid_message" : NULL;
}

/* Hands the result to box.c; false: no room there. */
static bool
submit_send_result(struct message *m)
{
	static Hopyard__V1__Result__Part out[SEGMENT_MAX_PARTS];
	static Hopyard__V1__Result__Part *list[SEGMENT_MAX_PARTS];
	static char ids[SEGMENT_MAX_PARTS][RECEIPT_ID_MAX];
	struct link *l = m->link;
	Hopyard__V1__Result r;
	struct item item;
	char detail[256];
	const char *reason;
	uint8_t *buf;
	size_t len;
	int rc;

	hopyard__v1__result__init(&r);
	r.ref = m->ref;
	r.code = m->code == RESULT(CODE_NONE) ? RESULT(OK) : m->code;
	r.has_id = 1;
	r.id.data = m->id;
	r.id.len = UUID_LEN;
	r.has_attempt = 1;
	r.attempt = m->attempt;
	submit_describe(m, detail, sizeof(detail));
	r.part = list;
	r.n_part = submit_list_parts(m, out, list, ids, detail, sizeof(detail));
	if (m->n_parts > 0) {
		r.has_parts = 1;
		r.parts = m->n_parts;
	}
	if (m->status != ESME_ROK) {
		r.has_status = 1;
		r.status = m->status;
	}
	reason = submit_reason(m);
	if (reason != NULL) {
		r.has_reason = 1;
		r.reason.data = (uint8_t *)(uintptr_t)reason;
		r.reason.len = strlen(reason);
	}
	if (detail[0] != '\0') {
		r.has_detail = 1;
		r.detail.data = (uint8_t *)detail;
		r.detail.len = strlen(detail);
	}
	if (m->bind_name[0] != '\0') {
		r.has_bind = 1;
		r.bind.data = (uint8_t *)m->bind_name;
		r.bind.len = strlen(m->bind_name);
	}
	if (r.code == RESULT(THROTTLED)) {
		r.has_pause_ms = 1;
		r.pause_ms = SUBMIT_PAUSE_MS;
		r.has_pause_link = 1;
		r.pause_link = 1;
	}
	if (m->encoding != NULL) {
		r.has_encoding = 1;
		r.encoding.len = strlen(m->encoding);
		r.encoding.data = (uint8_t *)(uintptr_t)m->encoding;
	}

	len = hopyard__v1__result__get_packed_size(&r);
	buf_clear(&l->scratch);
	buf = buf_reserve(&l->scratch, len);
	hopyard__v1__result__pack(&r, buf);
	memset(&item, 0, sizeof(item));
	item.envelope = bytes_of(buf, len);
	rc = box_send_item(
	    m->cell->box, HOPYARD__V1__FRAME_TYPE__RESULT, &item, 0);
	CRASH_POINT("smppc.result_queued");
	return rc == 0;
}

static void
submit_free(struct message *m)
{
	map_del_u64(&m->cell->by_ref, m->ref);
	m->cell->parts -= m->n_parts;
	free(m);
}

static void
submit_finish(struct message *m)
{
	assert(m->in_flight == 0);
	if (m->code == RESULT(REROUTE) && m->accepted + m->before > 0)
		m->code = RESULT(RETRY);
	submit_put(m, PLACE_NONE);
	m->todo = 0;
	if (TAILQ_EMPTY(&m->cell->finished) && submit_send_result(m))
		submit_free(m);
	else
		submit_put(m, PLACE_FINISHED);
}

bool
submit_flush(struct cell *c)
{
	struct message *m;

	/* NOLINTBEGIN(clang-analyzer-unix.Malloc): submit_put() unlinks them,
	 * which the analyser cannot know. */
	while ((m = TAILQ_FIRST(&c->finished)) != NULL) {
		if (!submit_send_result(m))
			return false;
		submit_put(m, PLACE_NONE);
		submit_free(m);
	}
	/* NOLINTEND(clang-analyzer-unix.Malloc) */
	return true;
}

/* --------------------------------------------------------------- addresses */

static bool
submit_all_digits(struct bytes b)
{
	size_t i;

	for (i = 0; i < b.len; i++)
		if (b.p[i] < '0' || b.p[i] > '9')
			return false;
	return b.len > 0;
}

static bool
submit_cut_plus(struct bytes *b)
{
	if (b->len < 2 || b->p[0] != '+')
		return false;
	b->p++;
	b->len--;
	return true;
}

void
submit_source(struct submit_address *a, struct bytes from)
{
	struct bytes digits = from;
	bool plus = submit_cut_plus(&digits);

	a->digits = digits;
	if (!submit_all_digits(digits)) {
		a->digits = from;
		a->ton = SMPP_TON_ALPHANUMERIC;
		a->npi = SMPP_NPI_UNKNOWN;
	} else if (!plus && digits.len <= SUBMIT_SHORT_CODE) {
		a->ton = SMPP_TON_NETWORK;
		a->npi = SMPP_NPI_UNKNOWN;
	} else {
		a->ton = SMPP_TON_INTERNATIONAL;
		a->npi = SMPP_NPI_ISDN;
	}
	if (from.len == 0) { /* the SMSC's own */
		a->ton = SMPP_TON_UNKNOWN;
		a->npi = SMPP_NPI_UNKNOWN;
	}
}

void
submit_dest(struct submit_address *a, struct bytes to)
{
	bool plus = submit_cut_plus(&to);

	a->digits = to;
	a->ton = SMPP_TON_INTERNATIONAL;
	a->npi = SMPP_NPI_ISDN;
	if (!plus && to.len <= SUBMIT_SHORT_CODE)
		a->ton = SMPP_TON_UNKNOWN;
}

/* What the message says, else the configuration, else the look of it. */
static uint8_t
submit_pick(
    protobuf_c_boolean has, uint32_t said, int configured, uint8_t detected)
{
	if (has)
		return (uint8_t)said;
	return configured >= 0 ? (uint8_t)configured : detected;
}

/* Kannel's rules: success wanted -> 1, only failure -> 2, buffered adds 16. */
uint8_t
submit_registered(uint32_t mask)
{
	uint8_t r = 0;

	if (mask & 1)
		r = SMPP_REG_FINAL;
	else if (mask & 2)
		r = SMPP_REG_FAILURE;
	if (mask & 4)
		r |= SMPP_REG_INTERMEDIATE;
	return r;
}

/* -------------------------------------------------------------- the message */

/* What came with an item, unpacked; lives in the arena. */
struct submit_input {
	Hopyard__V1__Envelope *env;
	Hopyard__V1__Content *content;
	Hopyard__V1__Dispatch *dispatch;
	struct segment_key key; /* SEGMENT_WHOLE, or a part of the customer's */
	bool to_sar, to_udh;    /* whose form this link does not take */
};

static struct bytes
submit_bytes(protobuf_c_boolean has, ProtobufCBinaryData b)
{
	return has ? bytes_of(b.data, b.len) : bytes_of(NULL, 0);
}

/*
 * Concatenation reference: the same at each attempt, so that a handset can put
 * parts of two attempts together.
 */
static uint16_t
submit_reference(const Hopyard__V1__Envelope *env)
{
	const uint8_t *id = env->id.data;

	return env->id.len < UUID_LEN ? 0 : (uint16_t)(id[14] << 8 | id[15]);
}

/* ---------------------------------------------- parts that the customer made */

static const Hopyard__V1__Tlv *
submit_tlv(const Hopyard__V1__Content *c, uint32_t tag, size_t len)
{
	size_t i;

	for (i = 0; i < c->n_tlv; i++)
		if (c->tlv[i]->tag == tag && c->tlv[i]->value.len == len)
			return c->tlv[i];
	return NULL;
}

/* Says in `key` which part this is, if it is one. */
static void
submit_find_part(struct submit_input *in)
{
	const Hopyard__V1__Content *c = in->content;
	const Hopyard__V1__Tlv *ref, *total, *seq;
	struct udh_concat concat;

	if (c->has_udh && udh_get_concat(c->udh.data, c->udh.len, &concat)) {
		in->key.kind = concat.wide ? SEGMENT_REF16 : SEGMENT_REF8;
		in->key.ref = concat.ref;
		in->key.total = concat.total;
		in->key.seq = concat.seq;
	} else if (c->n_tlv >= 3) {
		ref = submit_tlv(c, SMPP_TLV_SAR_MSG_REF_NUM, 2);
		total = submit_tlv(c, SMPP_TLV_SAR_TOTAL_SEGMENTS, 1);
		seq = submit_tlv(c, SMPP_TLV_SAR_SEGMENT_SEQNUM, 1);
		if (ref == NULL || total == NULL || seq == NULL ||
		    seq->value.data[0] < 1 ||
		    seq->value.data[0] > total->value.data[0])
			return;
		in->key.kind = SEGMENT_REFSAR;
		in->key.ref =
		    (uint16_t)(ref->value.data[0] << 8 | ref->value.data[1]);
		in->key.total = total->value.data[0];
		in->key.seq = seq->value.data[0];
	}
}

/*
 * The form that the link takes.  A header with other elements goes as it is: what
 * an SMSC makes of TLVs beside it is anybody's guess.  For "payload" sar has to
 * do: to join the parts first they would have to be held until the last is here,
 * after each has been promised a result of its own.
 */
static void
submit_translate_part(
    struct submit_input *in, const struct profile *p, struct bytes *udh)
{
	static uint8_t header[1 + UDH_CONCAT_MAX];
	uint8_t left[UDH_MAX];
	struct udh_concat concat = {
		.ref = in->key.ref & 0xff,
		.total = in->key.total,
		.seq = in->key.seq,
	};

	if (p->method == SEGMENT_UDH && in->key.kind == SEGMENT_REFSAR &&
	    udh->len == 0) {
		header[0] = (uint8_t)udh_put_concat(header + 1, &concat);
		*udh = bytes_of(header, 1u + header[0]);
		in->to_udh = true;
	} else if (p->method != SEGMENT_UDH && in->key.kind != SEGMENT_REFSAR &&
	    udh->len <= UDH_MAX &&
	    udh_strip_concat(udh->p, udh->len, left) == 0) {
		*udh = bytes_of(NULL, 0);
		in->to_sar = true;
	}
}

/*
 * Septets of a part that the customer made, for a link whose data_coding 0 is
 * another charset: the same text in that.  False: it has to go as it is.
 */
static bool
submit_plan_septets(struct segment_plan *plan,
    const struct segment_intent *intent, const struct segment_profile *profile)
{
	static uint8_t utf8[3 * SEGMENT_PUT_MAX], text[6 * SEGMENT_PUT_MAX];
	struct segment_intent other = *intent;
	enum dcs_alphabet alphabet = dcs_alphabet((uint8_t)intent->data_coding);
	size_t len;

	if (intent->coding == SEGMENT_BINARY ||
	    intent->coding == SEGMENT_UCS2 || intent->data.len == 0 ||
	    intent->data.len > SEGMENT_PUT_MAX ||
	    (alphabet != DCS_DEFAULT && alphabet != DCS_GSM7) ||
	    !segment_text_behind(0, SEGMENT_CHARSET_GSM, intent->udh,
		intent->data, utf8, sizeof(utf8), &len))
		return false;
	other.data = bytes_of(NULL, 0);
	other.text = bytes_of(utf8, len);
	return segment_plan(plan, &other, profile, text, sizeof(text)) ==
	    SEGMENT_OK &&
	    plan->n_parts == 1;
}

static enum segment_error
submit_make_plan(struct segment_plan *plan, const struct segment_intent *intent,
    const struct segment_profile *profile)
{
	static uint8_t text[SEGMENT_BUF];

	if (profile->charset != SEGMENT_CHARSET_GSM &&
	    intent->data_coding != DCS_NONE &&
	    submit_plan_septets(plan, intent, profile))
		return SEGMENT_OK;
	return segment_plan(plan, intent, profile, text, sizeof(text));
}

static enum segment_error
submit_plan(
    struct segment_plan *plan, const struct profile *p, struct submit_input *in)
{
	enum segment_error error;
	const Hopyard__V1__Content *c = in->content;
	struct segment_intent intent = SEGMENT_INTENT_INIT;
	struct segment_profile profile = {
		.charset = p->charset,
		.method = p->method,
		.max_parts = c->has_max_parts ? c->max_parts : 0,
		.ref = submit_reference(in->env),
		.national = p->national,
	};

	intent.text = submit_bytes(c->has_text, c->text);
	intent.data = submit_bytes(c->has_data, c->data);
	intent.udh = submit_bytes(c->has_udh, c->udh);
	if (c->has_coding && c->coding <= HOPYARD__V1__CONTENT__CODING__UCS2)
		intent.coding = (enum segment_coding)c->coding;
	if (c->has_data_coding)
		intent.data_coding = (int)c->data_coding;
	if (c->has_message_class)
		intent.message_class = (int)c->message_class;
	if (c->has_mwi)
		intent.mwi = (int)c->mwi;
	if (c->has_alt_dcs)
		intent.alt_dcs = (int)c->alt_dcs;
	intent.compress = c->has_compress && c->compress;
	if (c->has_esm_class)
		intent.esm_class = c->esm_class & 0xff;
	if (c->has_reply_path && c->reply_path)
		intent.esm_class |= SMPP_ESM_REPLY_PATH;
	if (c->has_udh || c->n_tlv > 0)
		submit_find_part(in);
	if (in->key.kind == SEGMENT_WHOLE)
		return submit_make_plan(plan, &intent, &profile);

	submit_translate_part(in, p, &intent.udh);
	if (in->to_sar)
		intent.esm_class &= ~(unsigned)SMPP_ESM_UDHI;
	error = submit_make_plan(plan, &intent, &profile);
	if (error == SEGMENT_TOO_LONG && in->to_udh) {
		/* No room for a header; perhaps the SMSC knows what to do. */
		in->to_udh = false;
		intent.udh = bytes_of(NULL, 0);
		error = submit_make_plan(plan, &intent, &profile);
	}
	/* What is a part cannot be cut again. */
	if (error == SEGMENT_OK && plan->n_parts > 1)
		error = SEGMENT_TOO_LONG;
	return error;
}

/* An alphanumeric sender that is not ASCII goes out as Latin-1 where it can. */
static struct bytes
submit_address_octets(struct bytes a, uint8_t *dst, size_t cap)
{
	struct misfit bad;
	size_t i, n;

	for (i = 0; i < a.len && a.p[i] < 0x80; i++)
		;
	if (i < a.len && utf8_to_latin1(a.p, a.len, dst, cap, &n, &bad))
		return bytes_of(dst, n);
	return a;
}

/* All fields that are the same in each part. */
struct submit_common {
	struct smpp_pdu pdu;
	char validity[SMPP_TIME_SIZE], schedule[SMPP_TIME_SIZE];
	uint8_t source[64];
};

static void
submit_times(struct submit_common *s, const struct profile *p,
    const struct submit_input *in)
{
	const Hopyard__V1__Envelope *e = in->env;
	const Hopyard__V1__Dispatch *d = in->dispatch;
	uint64_t age = d->has_age_ms ? d->age_ms : 0;
	/* As the bus has it. */
	uint64_t delay =
	    e->delay_ms < SUBMIT_DELAY_MAX ? e->delay_ms : SUBMIT_DELAY_MAX;
	if (e->has_validity_ms && d->has_expires_in_ms) {
		smpp_time_relative(d->expires_in_ms, s->validity);
		s->pdu.validity_period = bytes_str(s->validity);
	}
	if (p->schedule_smsc && e->has_delay_ms && delay > age) {
		smpp_time_relative(delay - age, s->schedule);
		s->pdu.schedule_delivery_time = bytes_str(s->schedule);
	}
}

static void
submit_addresses(struct submit_common *s, const struct profile *p,
    const struct submit_input *in)
{
	const Hopyard__V1__Content *c = in->content;
	struct bytes from = submit_bytes(in->env->has_from, in->env->from);
	struct submit_address a;

	submit_source(&a, from);
	if (!p->source_autodetect && a.ton != SMPP_TON_ALPHANUMERIC) {
		a.ton = SMPP_TON_NATIONAL; /* Kannel's value without it */
		a.npi = SMPP_NPI_ISDN;
	}
	s->pdu.source_addr =
	    submit_address_octets(a.digits, s->source, sizeof(s->source));
	s->pdu.source_addr_ton =
	    submit_pick(c->has_source_ton, c->source_ton, p->source_ton, a.ton);
	s->pdu.source_addr_npi =
	    submit_pick(c->has_source_npi, c->source_npi, p->source_npi, a.npi);

	submit_dest(&a, submit_bytes(in->env->has_to, in->env->to));
	s->pdu.destination_addr = a.digits;
	s->pdu.dest_addr_ton =
	    submit_pick(c->has_dest_ton, c->dest_ton, p->dest_ton, a.ton);
	s->pdu.dest_addr_npi =
	    submit_pick(c->has_dest_npi, c->dest_npi, p->dest_npi, a.npi);
}

static bool
submit_our_tlv(const struct submit_input *in, const struct segment_plan *plan,
    uint32_t tag)
{
	switch (tag) {
	case SMPP_TLV_MESSAGE_PAYLOAD:
		return true;
	case SMPP_TLV_SAR_MSG_REF_NUM:
	case SMPP_TLV_SAR_TOTAL_SEGMENTS:
	case SMPP_TLV_SAR_SEGMENT_SEQNUM:
		return plan->sar || in->to_sar || in->to_udh;
	default:
		return tag > UINT16_MAX;
	}
}

static bool
submit_add_sar(
    struct smpp_pdu *pdu, uint16_t ref, unsigned total, unsigned number)
{
	return smpp_tlv_add_u16(pdu, SMPP_TLV_SAR_MSG_REF_NUM, ref) &&
	    smpp_tlv_add_u8(pdu, SMPP_TLV_SAR_TOTAL_SEGMENTS, (uint8_t)total) &&
	    smpp_tlv_add_u8(pdu, SMPP_TLV_SAR_SEGMENT_SEQNUM, (uint8_t)number);
}

/* NULL, or why the message cannot go by this link. */
static const char *
submit_common(struct submit_common *s, const struct profile *p,
    const struct submit_input *in, const struct segment_plan *plan)
{
	const Hopyard__V1__Content *c = in->content;
	const char *missing = NULL;
	size_t i;

	smpp_pdu_init(&s->pdu, SMPP_SUBMIT_SM, ESME_ROK, 0);
	s->pdu.service_type = c->has_service_type
	    ? bytes_of(c->service_type.data, c->service_type.len)
	    : bytes_str(p->service_type);
	submit_addresses(s, p, in);
	submit_times(s, p, in);
	s->pdu.esm_class = plan->esm_class;
	s->pdu.data_coding = profile_coding(p, plan->data_coding);
	s->pdu.protocol_id = c->has_protocol_id ? (uint8_t)c->protocol_id : 0;
	if (c->has_priority)
		s->pdu.priority_flag =
		    c->priority > 3 ? 3 : (uint8_t)c->priority;
	s->pdu.registered_delivery = submit_registered(
	    in->env->has_report_mask ? in->env->report_mask : 0);
	if (c->has_sme_ack)
		s->pdu.registered_delivery |=
		    (uint8_t)(c->sme_ack & SMPP_REG_SME_ACK);
	if (c->has_replace_if_present)
		s->pdu.replace_if_present = c->replace_if_present != 0;
	if (c->has_default_msg_id)
		s->pdu.sm_default_msg_id = (uint8_t)c->default_msg_id;
	for (i = 0; i < c->n_tlv; i++)
		if (!submit_our_tlv(in, plan, c->tlv[i]->tag) &&
		    !smpp_tlv_add(&s->pdu, (uint16_t)c->tlv[i]->tag,
			c->tlv[i]->value.data, c->tlv[i]->value.len))
			break; /* over SMPP_MAX_TLVS */
	if (p->rules != NULL)
		missing = rules_apply(p->rules,
		    submit_bytes(in->env->has_account, in->env->account),
		    &s->pdu);
	if (in->to_sar)
		(void)submit_add_sar(
		    &s->pdu, in->key.ref, in->key.total, in->key.seq);
	return missing;
}

/* Appends one part's PDU to the scratch buffer; its size or SMPP_E*. */
static int
submit_encode_part(struct submit_common *s, const struct segment_plan *plan,
    unsigned i, struct buf *out)
{
	static uint8_t user[65536 + SEGMENT_PUT_MAX];
	struct smpp_pdu *pdu = &s->pdu;
	uint8_t tlvs = pdu->n_tlvs;
	size_t len;
	int n;

	len = segment_put(plan, i, user, sizeof(user));
	pdu->short_message = bytes_of(NULL, 0);
	if (!plan->payload)
		pdu->short_message = bytes_of(user, len);
	else if (!smpp_tlv_add(pdu, SMPP_TLV_MESSAGE_PAYLOAD, user, len))
		return SMPP_EFIELD;
	if (plan->sar && !submit_add_sar(pdu, plan->ref, plan->n_parts, i + 1))
		return SMPP_EFIELD;
	n = smpp_encode(pdu, buf_reserve(out, SMPP_MAX_PDU), SMPP_MAX_PDU);
	pdu->n_tlvs = tlvs;
	return n;
}

/* What is urgent goes before what came before it: 0, 1, or 2 for the rest. */
static uint64_t
submit_place(const Hopyard__V1__Dispatch *d)
{
	if (!d->has_class_)
		return 2;
	return d->class_ == HOPYARD__V1__CLASS__OTP  ? 0
	    : d->class_ == HOPYARD__V1__CLASS__ALERT ? 1
						     : 2;
}

unsigned
submit_urgency(const struct message *m)
{
	return (unsigned)(m->arrival >> 62);
}

/* One allocation: the message, its parts, their octets. */
static struct message *
submit_new(struct cell *c, const struct submit_input *in, size_t n_parts,
    size_t octets)
{
	struct link *l = c->link;
	struct message *m =
	    xcalloc(1, sizeof(*m) + n_parts * sizeof(struct part) + octets);

	m->link = l;
	m->cell = c;
	m->part = (struct part *)(void *)(m + 1);
	m->octets = (uint8_t *)(m->part + n_parts);
	m->n_parts = (uint16_t)n_parts;
	m->todo = (uint16_t)n_parts;
	m->ref = in->dispatch->ref;
	m->attempt = in->dispatch->attempt;
	m->arrival = submit_place(in->dispatch) << 62 | ++l->arrivals;
	if (in->env->id.len == UUID_LEN)
		memcpy(m->id, in->env->id.data, UUID_LEN);
	if (in->dispatch->has_expires_in_ms)
		m->expires_ms = clock_mono_ms() + in->dispatch->expires_in_ms;
	map_put_u64(&c->by_ref, m->ref, m);
	c->parts += m->n_parts;
	return m;
}

/* Answers without anything having been sent. */
static void
submit_refuse(struct cell *c, const struct submit_input *in, result_code code,
    const char *detail)
{
	size_t len = strlen(detail) + 1;
	struct message *m = submit_new(c, in, 0, len);

	/* It may outlive the profile that it comes from. */
	memcpy(m->octets, detail, len);
	m->code = code;
	m->detail = (const char *)m->octets;
	submit_finish(m);
}

static void
submit_mark_before(struct message *m, const Hopyard__V1__Dispatch *d)
{
	size_t i;

	for (i = 0; i < d->n_part_done; i++) {
		uint32_t n = d->part_done[i];

		if (n < 1 || n > m->n_parts ||
		    m->part[n - 1].state == PART_BEFORE)
			continue;
		m->part[n - 1].state = PART_BEFORE;
		m->before++;
		m->todo--;
	}
}

static struct message *
submit_build(struct cell *c, struct submit_input *in)
{
	struct link *l = c->link;
	static struct segment_plan plan;
	static struct submit_common common;
	static uint32_t size[SEGMENT_MAX_PARTS];
	enum segment_error error;
	const char *missing;
	struct message *m;
	size_t octets = 0;
	uint8_t *src;
	unsigned i;
	uint32_t off;
	int n;

	error = submit_plan(&plan, l->profile, in);
	if (error != SEGMENT_OK) {
		submit_refuse(c, in, RESULT(FAIL), segment_strerror(error));
		return NULL;
	}
	missing = submit_common(&common, l->profile, in, &plan);
	if (missing != NULL) {
		submit_refuse(c, in, RESULT(FAIL), missing);
		return NULL;
	}
	buf_clear(&l->scratch);
	for (i = 0; i < plan.n_parts; i++) {
		n = submit_encode_part(&common, &plan, i, &l->scratch);
		if (n < 0) {
			submit_refuse(c, in, RESULT(FAIL),
			    "a field does not fit into submit_sm: address, service type or TLV too long");
			return NULL;
		}
		buf_commit(&l->scratch, (size_t)n);
		size[i] = (uint32_t)n;
		octets += n < SUBMIT_ID_ROOM ? SUBMIT_ID_ROOM : (size_t)n;
	}

	m = submit_new(c, in, plan.n_parts, octets);
	m->encoding = plan.encoding;
	src = buf_data(&l->scratch);
	off = 0;
	for (i = 0; i < plan.n_parts; i++) {
		m->part[i].off = off;
		m->part[i].len = size[i];
		memcpy(m->octets + off, src, size[i]);
		src += size[i];
		off += size[i] < SUBMIT_ID_ROOM ? SUBMIT_ID_ROOM : size[i];
	}
	submit_mark_before(m, in->dispatch);
	return m;
}

/* The bind with the most room: the parts behind will wait for it. */
static struct bind *
submit_widest(const struct link *l)
{
	struct bind *best = NULL;
	uint32_t room, most = 0;
	unsigned i;

	for (i = 0; i < l->n_binds; i++) {
		struct bind *b = l->bind[(l->turn + i) % l->n_binds];

		if (!bind_writable(b))
			continue;
		room = session_room(b->session);
		if (best == NULL || room > most) {
			best = b;
			most = room;
		}
	}
	return best;
}

/*
 * A part goes by the bind of those before it; the first says which that is.
 * With one bind the order of arrival is enough.
 */
static void
submit_pin(struct message *m, const struct submit_input *in)
{
	struct link *l = m->link;
	struct bind *b;
	uint64_t now, key;

	if (l->n_binds < 2)
		return;
	now = clock_mono_ms();
	key = pin_key(submit_bytes(in->env->has_account, in->env->account),
	    submit_bytes(in->env->has_from, in->env->from),
	    submit_bytes(in->env->has_to, in->env->to), &in->key);
	if (l->pins == NULL)
		l->pins = pins_new();
	b = pins_get(l->pins, key, now);
	if (b == NULL || !bind_writable(b))
		b = submit_widest(l);
	if (b == NULL)
		return;
	pins_put(l->pins, key, b, now);
	m->bind = b;
	m->pinned = true;
}

void
submit_accept(struct cell *c, const struct item *item)
{
	static uint8_t memory[SUBMIT_ARENA];
	struct submit_input in;
	struct arena arena;
	struct message *m;

	memset(&in, 0, sizeof(in));
	arena_init(&arena, memory, sizeof(memory));
	in.dispatch = frame_unpack(&arena, &hopyard__v1__dispatch__descriptor,
	    item->context.p, item->context.len);
	in.env = frame_unpack(&arena, &hopyard__v1__envelope__descriptor,
	    item->envelope.p, item->envelope.len);
	in.content = frame_unpack(&arena, &hopyard__v1__content__descriptor,
	    item->body.p, item->body.len);
	if (in.dispatch == NULL || in.env == NULL) {
		/* Without a ref nobody can be told. */
		log_error("bus.bad_item", "what=%s",
		    in.dispatch == NULL ? "dispatch" : "envelope");
		return;
	}
	if (map_get_u64(&c->by_ref, in.dispatch->ref) != NULL)
		return; /* we said in IN_HAND that we have it */
	if (in.content == NULL) {
		submit_refuse(c, &in, RESULT(FAIL), "content is malformed");
		return;
	}
	if (c->link->state != LINK_UP) {
		submit_refuse(c, &in, RESULT(NOT_NOW), "link is down");
		return;
	}
	m = submit_build(c, &in);
	if (m == NULL)
		return;
	if (in.key.kind != SEGMENT_WHOLE)
		submit_pin(m, &in);
	submit_settle(m);
}

/* -------------------------------------------------------------- on the wire */

void
submit_write(struct message *m, struct bind *b)
{
	struct link *l = m->link;
	unsigned i;

	submit_put(m, PLACE_NONE);
	m->bind = b;
	memcpy(m->bind_name, b->name, sizeof(m->bind_name));
	for (i = 0; i < m->n_parts && m->todo > 0; i++) {
		struct part *p = &m->part[i];

		if (p->state != PART_TODO)
			continue;
		if (!link_may_write(l, b))
			break;
		link_spend(l, b);
		session_request(b->session, m->octets + p->off, p->len, m, i);
		CRASH_POINT("smppc.submit_queued");
		p->state = PART_WRITTEN;
		m->todo--;
		m->in_flight++;
		b->n_submitted++;
		m->cell->served++;
		l->meter.submit.value++;
	}
	submit_settle(m);
}

/* The part may be written again later, in its old place. */
static bool
submit_may_hold(struct message *m, struct bind *b, uint64_t now)
{
	if (m->throttled_ms == 0)
		m->throttled_ms = now;
	return !m->stop && b->state == BIND_BOUND &&
	    now - m->throttled_ms < m->link->profile->hold_ms &&
	    (m->expires_ms == 0 || now < m->expires_ms);
}

static void
submit_on_refused(struct message *m, struct part *p, struct bind *b)
{
	uint64_t now;

	meter_error(&m->link->meter, m->link->name, p->status);
	p->state = PART_REFUSED;
	b->n_refused++;
	switch (profile_verdict(m->link->profile, p->status)) {
	case VERDICT_THROTTLE:
		now = clock_mono_ms();
		b->n_throttled++;
		m->link->meter.throttled.value++;
		bind_throttle(b, now);
		if (submit_may_hold(m, b, now)) {
			p->state = PART_TODO;
			m->todo++;
			return;
		}
		submit_note(m, RESULT(THROTTLED), p->status);
		break;
	case VERDICT_RETRY:
		submit_note(m, RESULT(RETRY), p->status);
		break;
	case VERDICT_REROUTE:
		submit_note(m, RESULT(REROUTE), p->status);
		break;
	case VERDICT_FAIL:
		submit_note(m, RESULT(FAIL), p->status);
		break;
	}
	m->stop = true;
}

/* Where its receipt is to go. */
static void
submit_note_origin(const struct message *m, const struct part *p)
{
	struct link *l = m->link;
	char id[RECEIPT_ID_MAX];
	size_t len;

	len = receipt_normalise_id(
	    l->profile->id_resp, bytes_of(m->octets + p->off, p->id_len), id);
	if (len > 0)
		origins_put(l->origins, bytes_of(id, len),
		    (unsigned)(m->cell - l->cell));
}

void
submit_on_answer(struct bind *b, const struct window_slot *slot,
    const struct smpp_pdu *pdu, uint32_t rtt_us)
{
	struct message *m = slot->what;
	struct part *p = &m->part[slot->tag];
	uint8_t congestion;
	size_t len;

	assert(p->state == PART_WRITTEN && m->bind == b);
	CRASH_POINT("smppc.resp_read");
	stat_histogram_add(&m->link->meter.response, rtt_us);
	m->in_flight--;
	p->status = pdu->command_status;
	p->rtt_us = rtt_us;
	if (p->status == ESME_ROK &&
	    pdu->command_id == (uint32_t)SMPP_GENERIC_NACK)
		p->status = ESME_RUNKNOWNERR; /* a nack is never a yes */
	if (pdu->n_tlvs > 0 &&
	    smpp_tlv_u8(pdu, SMPP_TLV_CONGESTION_STATE, &congestion))
		bind_congested(b, congestion, clock_mono_ms());
	if (p->status == ESME_ROK) {
		p->state = PART_OK;
		m->accepted++;
		b->n_ok++;
		pace_on_taken(&b->pace, clock_mono_ms());
		/* The octets of the PDU have done their work. */
		len = pdu->message_id.len;
		if (len > SUBMIT_ID_ROOM)
			len = SUBMIT_ID_ROOM;
		if (len > 0)
			memcpy(m->octets + p->off, pdu->message_id.p, len);
		p->id_len = (uint8_t)len;
		if (m->link->origins != NULL)
			submit_note_origin(m, p);
	} else {
		submit_on_refused(m, p, b);
	}
	submit_settle(m);
}

void
submit_on_lost(struct bind *b, const struct window_slot *slot)
{
	struct message *m = slot->what;
	struct part *p = &m->part[slot->tag];

	assert(p->state == PART_WRITTEN && m->bind == b);
	p->state = PART_UNKNOWN;
	m->in_flight--;
	m->stop = true;
	submit_note(m, RESULT(UNKNOWN_OUTCOME), ESME_ROK);
	submit_settle(m);
}

/* Only parts that are answered or not written are left by now. */
void
submit_on_closed(struct bind *b)
{
	struct message *m;

	while ((m = TAILQ_FIRST(&b->started)) != NULL) {
		m->stop = true; /* NOLINT(clang-analyzer-unix.Malloc) */
		submit_note(m, RESULT(NOT_NOW), ESME_ROK);
		m->detail = "connection lost between two parts";
		submit_settle(m);
	}
}

/* ---------------------------------------------------------------- giving back */

/* Nothing of it has been on the wire in this attempt. */
static bool
submit_untouched(const struct message *m)
{
	return m->place == PLACE_READY ||
	    (m->place == PLACE_STARTED && m->accepted == 0 &&
		m->in_flight == 0);
}

static void
submit_return(struct message *m, result_code code, const char *why)
{
	assert(submit_untouched(m));
	m->stop = true;
	m->code = RESULT(CODE_NONE);
	submit_note(m, code, ESME_ROK);
	m->detail = why;
	submit_settle(m);
}

void
submit_recall(struct cell *c, uint64_t ref)
{
	struct message *m = map_get_u64(&c->by_ref, ref);

	/* Too late otherwise: the result is on its way. */
	if (m != NULL && submit_untouched(m))
		submit_return(m, RESULT(RECALLED), NULL);
}

void
submit_return_all(struct link *l, const char *why)
{
	struct message *m;
	unsigned i;

	for (i = 0; i < l->n_cells; i++)
		while ((m = TAILQ_FIRST(&l->cell[i].ready)) != NULL)
			/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
			submit_return(m, RESULT(NOT_NOW), why);
}

static void
submit_sweep_list(
    struct link *l, struct message_list *list, bool stuck, uint64_t now)
{
	struct message *m, *next;

	TAILQ_FOREACH_SAFE(m, list, entry, next) {
		if (!submit_untouched(m))
			continue;
		if (m->expires_ms != 0 && now >= m->expires_ms)
			submit_return(m, RESULT(NOT_NOW), "expired");
		else if (m->throttled_ms != 0 &&
		    now - m->throttled_ms >= l->profile->hold_ms)
			submit_return(
			    m, RESULT(THROTTLED), "throttled by the SMSC");
		else if (stuck)
			submit_return(m, RESULT(NOT_NOW),
			    "the bind of its other parts takes no more");
	}
}

void
submit_sweep(struct link *l, uint64_t now)
{
	unsigned i;

	for (i = 0; i < l->n_cells; i++)
		submit_sweep_list(l, &l->cell[i].ready, false, now);
	for (i = 0; i < l->n_binds; i++)
		if (!TAILQ_EMPTY(&l->bind[i]->started))
			submit_sweep_list(l, &l->bind[i]->started,
			    !bind_writable(l->bind[i]), now);
}

size_t
submit_refs(const struct cell *c, uint64_t *ref, size_t max)
{
	struct message *m;
	size_t pos = 0, n = 0;

	while (n < max && (m = map_next(&c->by_ref, &pos)) != NULL)
		ref[n++] = m->ref;
	return n;
}

void
submit_free_all(struct link *l)
{
	struct message *m;
	unsigned i;
	size_t pos;

	for (i = 0; i < l->n_cells; i++)
		while (
		    pos = 0, (m = map_next(&l->cell[i].by_ref, &pos)) != NULL) {
			submit_put(m, PLACE_NONE);
			submit_free(m);
		}
}
