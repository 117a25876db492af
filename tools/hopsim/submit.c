/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * submit.c - the order of things: the journal line is made before the response
 * is handed to the connection, and both leave in that order (smsc_settle()).
 */
#include "tools/hopsim/submit.h"

#include <stdio.h>
#include <string.h>

#include "proto/wire.h"
#include "tools/hopsim/message.h"
#include "tools/hopsim/mo.h"
#include "tools/hopsim/smsc.h"

#define SUBMIT_AHEAD_MS 200 /* a receipt that comes first is ahead by this */
#define SUBMIT_TWICE_MS 100 /* the second of two equal receipts is behind */
#define SUBMIT_NOBODY   (1ULL << 47) /* added to the id that nobody got */

/* Whether the sender gets to know, for the journal. */
static const char *const submit_answers[] = {
	[RULES_ANSWER] = "resp",
	[RULES_NACK] = "nack",
	[RULES_SILENCE] = "none",
	[RULES_LOST] = "lost",
};

static void
submit_judge(struct session *s, const struct message *m, struct verdict *v)
{
	struct smsc *smsc = s->smsc;

	rules_judge(&smsc->rules, m->dst.digits, v);
	if (!s->transmits) {
		v->status = ESME_RINVBNDSTS;
	} else if ((smsc->opt.window != 0 && s->late >= smsc->opt.window) ||
	    !account_allow(s->account, smsc->opt.rate, smsc->now_ms)) {
		v->answer = RULES_ANSWER;
		v->status = ESME_RTHROTTLED;
		v->latency_ms = 0;
	} else if (smsc->owed >= smsc->opt.queue) {
		v->answer = RULES_ANSWER;
		v->status = ESME_RMSGQFUL;
	}
}

static uint64_t
submit_hash(const struct message *m, struct bytes dst)
{
	uint64_t h = tally_hash(0, dst.p, dst.len);

	h = tally_hash(h, m->sar.p, m->sar.len);
	return tally_hash(h, m->body.p, m->body.len);
}

static struct bytes
submit_text(const struct message *m)
{
	return bytes_of(m->body.p == NULL ? NULL : m->body.p + m->udh.len,
	    m->body.len - m->udh.len);
}

/* ----------------------------------------------------------------- journal */

static void
submit_journal(struct session *s, const struct message *m,
    const struct message_address *dst, uint32_t sequence,
    const struct verdict *v, uint64_t number, bool duplicate)
{
	struct smsc *smsc = s->smsc;
	struct json *j =
	    journal_begin(&smsc->journal, "submit", "n", number, smsc->wall_ms);
	char id[IDENT_MAX];

	json_printf(j, "hash", "%016llx",
	    (unsigned long long)submit_hash(m, dst->digits));
	json_uint(j, "status", v->status);
	json_str(j, "answer", submit_answers[v->answer]);
	if (number != 0) {
		(void)ident_format(id, number, smsc->opt.ids);
		json_str(j, "id", id);
		json_bool(j, "duplicate", duplicate);
	}
	json_uint(j, "bind", s->bind);
	json_str(j, "system_id", s->account->name);
	json_str(j, "pdu", smpp_command_name(m->command));
	json_uint(j, "sequence", sequence);
	json_text(j, "src", m->src.digits.p, m->src.digits.len);
	json_uint(j, "src_ton", m->src.ton);
	json_uint(j, "src_npi", m->src.npi);
	json_text(j, "dst", dst->digits.p, dst->digits.len);
	json_uint(j, "dst_ton", dst->ton);
	json_uint(j, "dst_npi", dst->npi);
	json_text(j, "service_type", m->service_type.p, m->service_type.len);
	json_uint(j, "esm_class", m->esm_class);
	json_uint(j, "protocol_id", m->protocol_id);
	json_uint(j, "priority", m->priority);
	json_text(j, "schedule", m->schedule.p, m->schedule.len);
	json_text(j, "validity", m->validity.p, m->validity.len);
	json_uint(j, "registered", m->registered);
	json_uint(j, "data_coding", m->data_coding);
	json_hex(j, "udh", m->udh.p, m->udh.len);
	if (m->sar.p != NULL)
		json_hex(j, "sar", m->sar.p, m->sar.len);
	json_hex(j, "body", submit_text(m).p, submit_text(m).len);
	journal_end(&smsc->journal);
}

/* ---------------------------------------------------------------- receipts */

static struct owed *
submit_receipt(struct session *s, const struct message *m,
    const struct message_address *dst, uint64_t number, uint64_t delay_ms,
    enum owed_kind kind, const struct verdict *v)
{
	struct smsc *smsc = s->smsc;
	struct owed *o;

	/* The receipt goes the other way. */
	o = owed_new(kind, s->account, dst, &m->src, submit_text(m));
	o->number = number;
	o->state = kind == OWED_RECEIPT ? v->state : SMPP_STATE_ENROUTE;
	o->form = v->other_form
	    ? (smsc->opt.receipt_ids == IDENT_HEX ? IDENT_DEC : IDENT_HEX)
	    : smsc->opt.receipt_ids;
	o->submit_ms = smsc->wall_ms;
	o->done_ms = smsc->wall_ms + delay_ms;
	smsc_owe(smsc, o, delay_ms);
	return o;
}

/* SMPP 3.4, 5.2.17, and 5.0 for the value 3. */
static bool
submit_wants_receipt(const struct message *m, const struct verdict *v)
{
	switch (m->registered & SMPP_REG_RECEIPT) {
	case SMPP_REG_FINAL:
		return true;
	case SMPP_REG_FAILURE:
		return v->state != SMPP_STATE_DELIVERED;
	case SMPP_REG_SUCCESS:
		return v->state == SMPP_STATE_DELIVERED;
	}
	return false;
}

/* Returns the receipt, for cancel_sm to find. */
static struct owed *
submit_owe(struct session *s, const struct message *m,
    const struct message_address *dst, uint64_t number, const struct verdict *v)
{
	uint64_t delay = v->receipt_ms + (uint64_t)v->latency_ms;
	struct owed *o = NULL;

	if (v->receipt_first)
		delay = 0;
	if ((m->registered & SMPP_REG_INTERMEDIATE) != 0)
		(void)submit_receipt(
		    s, m, dst, number, v->latency_ms, OWED_INTERMEDIATE, v);
	if (!submit_wants_receipt(m, v))
		return NULL;
	o = submit_receipt(s, m, dst, number, delay, OWED_RECEIPT, v);
	if (v->receipt_twice)
		(void)submit_receipt(s, m, dst, number, delay + SUBMIT_TWICE_MS,
		    OWED_RECEIPT, v);
	if (v->unknown)
		(void)submit_receipt(
		    s, m, dst, number + SUBMIT_NOBODY, delay, OWED_RECEIPT, v);
	return o;
}

/* --------------------------------------------------------------- the answer */

static void
submit_answer(struct session *s, const struct message *m, uint32_t sequence,
    const struct verdict *v, uint64_t number)
{
	uint8_t pdu[64];
	struct wr w;

	wr_init(&w, pdu, sizeof(pdu));
	wr_u32be(&w, 0);
	wr_u32be(&w, m->command | SMPP_RESP);
	wr_u32be(&w, v->status);
	wr_u32be(&w, sequence);
	if (v->status == ESME_ROK) {
		char id[IDENT_MAX];
		size_t n = ident_format(id, number, s->smsc->opt.ids);

		wr_mem(&w, id, n + 1);
		if (m->command == SMPP_SUBMIT_MULTI)
			wr_u8(&w, 0); /* no_unsuccess */
	}
	pdu[3] = (uint8_t)wr_len(&w);
	session_reply(s, pdu, wr_len(&w), v->latency_ms);
}

static void
submit_respond(struct session *s, const struct message *m, uint32_t sequence,
    const struct verdict *v, uint64_t number)
{
	switch (v->answer) {
	case RULES_ANSWER:
		submit_answer(s, m, sequence, v, number);
		break;
	case RULES_NACK:
		session_answer(s, SMPP_GENERIC_NACK, ESME_RSYSERR, sequence);
		break;
	case RULES_SILENCE:
	case RULES_LOST:
		s->smsc->count.silent++;
		break;
	}
}

static void
submit_remember(struct smsc *smsc, uint64_t number, const struct verdict *v,
    struct owed *receipt)
{
	struct smsc_recent *r = &smsc->recent[number % SMSC_RECENT];

	r->number = number;
	r->state = v->state;
	r->done_ms = smsc->now_ms + v->latency_ms + v->receipt_ms;
	r->owed = receipt;
}

/* Accepted for one destination. */
static void
submit_accept(struct session *s, const struct message *m,
    const struct message_address *dst, uint32_t sequence,
    const struct verdict *v, uint64_t number)
{
	struct smsc *smsc = s->smsc;
	bool duplicate = false;
	uint64_t sent_us;

	smsc->count.accepted++;
	if (smsc->opt.tally)
		duplicate =
		    tally_add(&smsc->tally, submit_hash(m, dst->digits));
	sent_us = pattern_token(m->body.p, m->body.len);
	if (sent_us != 0) {
		uint64_t now_us = pattern_now();

		histogram_add(
		    &smsc->transit, now_us > sent_us ? now_us - sent_us : 0);
	}
	if (smsc_journals(smsc))
		submit_journal(s, m, dst, sequence, v, number, duplicate);
	submit_remember(smsc, number, v, submit_owe(s, m, dst, number, v));
	if (smsc->opt.auto_reply)
		mo_answer(smsc, s->account, m);
}

void
submit_on_pdu(struct session *s, const uint8_t *pdu, size_t len)
{
	struct smsc *smsc = s->smsc;
	struct message m;
	struct verdict v = { .answer = RULES_ANSWER };
	uint64_t number = 0;
	uint32_t sequence;
	unsigned i;
	struct rd r;

	rd_init(&r, pdu + 12, 4);
	sequence = rd_u32be(&r);
	s->submits++;
	smsc->count.submits++;
	v.status = message_decode(&m, pdu, len);
	if (v.status != ESME_ROK) {
		smsc->count.malformed++;
		counts_add(&smsc->count.by_status, v.status);
		session_answer(s, m.command | SMPP_RESP, v.status, sequence);
		return;
	}
	submit_judge(s, &m, &v);
	if (smsc->opt.drop_after != 0 && v.status == ESME_ROK &&
	    s->submits >= smsc->opt.drop_after)
		v.answer = RULES_LOST;
	counts_add(&smsc->count.by_status, v.status);
	if (v.receipt_first)
		v.latency_ms += SUBMIT_AHEAD_MS;
	if (v.status == ESME_RTHROTTLED)
		smsc->count.throttled++;
	if (v.status == ESME_ROK &&
	    (v.answer == RULES_ANSWER || v.answer == RULES_LOST)) {
		number = smsc->next_number++;
		submit_accept(s, &m, &m.dst, sequence, &v, number);
		for (i = 1; i < m.dests; i++)
			submit_accept(s, &m, &m.dest[i], sequence, &v, number);
	} else if (smsc_journals(smsc)) {
		submit_journal(s, &m, &m.dst, sequence, &v, 0, false);
	}
	submit_respond(s, &m, sequence, &v, number);
	if (smsc->opt.drop_after != 0 && s->submits >= smsc->opt.drop_after) {
		smsc->count.drops++;
		session_close(s, "--drop-after");
	}
}

/* ------------------------------------------------------------ query, cancel */

static struct smsc_recent *
submit_find(struct session *s, struct bytes id)
{
	uint64_t number;

	if (!ident_parse(id, s->smsc->opt.ids, &number))
		return NULL;
	return smsc_recent(s->smsc, number);
}

void
submit_on_query(struct session *s, const uint8_t *pdu, size_t len)
{
	struct smsc_recent *recent;
	bool final;
	uint8_t out[80];
	struct bytes id;
	uint32_t sequence;
	struct rd r;
	struct wr w;

	s->smsc->count.queries++;
	rd_init(&r, pdu + 12, len - 12);
	sequence = rd_u32be(&r);
	id = rd_cstr(&r, 65);
	recent = r.failed ? NULL : submit_find(s, id);
	if (recent == NULL) {
		session_answer(s, SMPP_QUERY_SM_RESP, ESME_RINVMSGID, sequence);
		return;
	}
	final = s->smsc->now_ms >= recent->done_ms;
	wr_init(&w, out, sizeof(out));
	wr_u32be(&w, 0);
	wr_u32be(&w, SMPP_QUERY_SM_RESP);
	wr_u32be(&w, ESME_ROK);
	wr_u32be(&w, sequence);
	wr_cstr(&w, id);
	wr_u8(&w, 0); /* final_date: not kept */
	wr_u8(&w, (uint8_t)(final ? recent->state : SMPP_STATE_ENROUTE));
	wr_u8(&w, 0);
	out[3] = (uint8_t)wr_len(&w);
	session_reply(s, out, wr_len(&w), 0);
}

void
submit_on_cancel(struct session *s, const uint8_t *pdu, size_t len)
{
	struct smsc *smsc = s->smsc;
	struct smsc_recent *recent;
	struct bytes id;
	uint32_t sequence, status = ESME_RCANCELFAIL;
	struct rd r;

	smsc->count.cancels++;
	rd_init(&r, pdu + 12, len - 12);
	sequence = rd_u32be(&r);
	(void)rd_cstr(&r, 6);
	id = rd_cstr(&r, 65);
	recent = r.failed ? NULL : submit_find(s, id);
	if (recent != NULL && smsc->now_ms < recent->done_ms) {
		status = ESME_ROK;
		recent->state = SMPP_STATE_DELETED;
		recent->done_ms = smsc->now_ms;
		if (recent->owed != NULL) {
			recent->owed->state = SMPP_STATE_DELETED;
			recent->owed->done_ms = smsc->wall_ms;
		}
	}
	session_answer(s, SMPP_CANCEL_SM_RESP, status, sequence);
}
