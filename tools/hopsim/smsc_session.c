/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smsc_session.c - PDUs of one connection: framing, bind, unbind, links, and
 * the deliver_sm that are in flight.
 */
#include "tools/hopsim/smsc_session.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conn.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "proto/smpp.h"
#include "proto/smpp_pdu.h"
#include "proto/wire.h"
#include "tools/hopsim/smsc.h"
#include "tools/hopsim/submit.h"

#define SESSION_SYSTEM_ID "hopsim"
#define SESSION_BIND_MS   10000 /* a peer has this long to bind */
#define SESSION_AGAIN_MS  1000  /* after a delivery was refused */

static const char *const session_state_names[] = {
	[SESSION_OPEN] = "open",
	[SESSION_BOUND] = "bound",
	[SESSION_CLOSING] = "closing",
};

static const char *
session_role(const struct session *s)
{
	if (s->transmits)
		return s->receives ? "transceiver" : "transmitter";
	return s->receives ? "receiver" : "none";
}

/* ------------------------------------------------------------------ states */

static void
session_on_bound(struct session *s)
{
	struct smsc *smsc = s->smsc;

	smsc->bound++;
	smsc->count.binds++;
	if (s->receives)
		TAILQ_INSERT_TAIL(&s->account->receivers, s, receiver_link);
	log_info("bind.open", "bind=%" PRIu64 " system_id=%s type=%s peer=%s",
	    s->bind, s->account->name, session_role(s), conn_peer(s->conn));
	if (smsc_journals(smsc)) {
		struct json *j = journal_begin(
		    &smsc->journal, "bind", "bind", s->bind, smsc->wall_ms);

		json_str(j, "system_id", s->account->name);
		json_str(j, "type", session_role(s));
		json_str(j, "peer", conn_peer(s->conn));
		journal_end(&smsc->journal);
	}
}

/* Everything that was under way goes back to where it came from. */
static void
session_on_closing(struct session *s)
{
	struct smsc *smsc = s->smsc;
	struct reply *r;
	struct owed *o;

	while ((r = TAILQ_FIRST(&s->replies)) != NULL) {
		TAILQ_REMOVE(&s->replies, r, link);
		agenda_remove(&smsc->agenda, &r->due);
		free(r);
	}
	s->late = 0;
	if (s->account == NULL)
		return;
	smsc->bound--;
	if (s->receives)
		TAILQ_REMOVE(&s->account->receivers, s, receiver_link);
	/* Newest first to the front: the order stays. */
	while (!TAILQ_EMPTY(&s->flight)) {
		o = TAILQ_LAST(&s->flight, flight_list);
		TAILQ_REMOVE(&s->flight, o, link);
		account_return(s->account, o);
	}
	memset(s->slot, 0, sizeof(s->slot));
	s->in_flight = 0;
	if (smsc_journals(smsc)) {
		(void)journal_begin(
		    &smsc->journal, "unbind", "bind", s->bind, smsc->wall_ms);
		journal_end(&smsc->journal);
	}
}

static void
session_enter_state(struct session *s, enum session_state next)
{
	log_debug("bind.state", "bind=%" PRIu64 " from=%s to=%s", s->bind,
	    session_state_names[s->state], session_state_names[next]);
	assert(s->state != SESSION_CLOSING);
	s->state = next;
	switch (next) {
	case SESSION_OPEN:
		break;
	case SESSION_BOUND:
		session_on_bound(s);
		break;
	case SESSION_CLOSING:
		session_on_closing(s);
		break;
	}
}

static void
session_end(struct session *s, const char *reason, bool flush)
{
	if (s->state == SESSION_CLOSING)
		return;
	log_info("bind.closed", "bind=%" PRIu64 " reason=%s", s->bind, reason);
	/* The peer may see the end before smsc_settle(). */
	if (smsc_journals(s->smsc))
		journal_flush(&s->smsc->journal);
	session_enter_state(s, SESSION_CLOSING);
	if (flush)
		conn_close_flush(s->conn);
	else
		conn_close(s->conn);
}

void
session_close(struct session *s, const char *reason)
{
	session_end(s, reason, false);
}

/* ----------------------------------------------------------------- sending */

static void
session_trace(
    const struct session *s, const char *way, const void *pdu, size_t len)
{
	struct smpp_why why;
	struct smpp_pdu p;
	char text[8192];

	if (!s->smsc->opt.trace)
		return;
	if (smpp_decode(&p, pdu, len, SMPP_LENIENT, &why) == SMPP_OK)
		(void)smpp_dump(
		    &p, SMPP_DUMP_TEXT | SMPP_DUMP_NUMBERS, text, sizeof(text));
	else
		(void)snprintf(text, sizeof(text), "malformed: %s %s\n",
		    why.field, why.reason);
	(void)fprintf(stderr, "bind %" PRIu64 " %s %s", s->bind, way, text);
}

void
session_reply(struct session *s, const void *pdu, size_t len, uint32_t delay_ms)
{
	struct reply *r;

	session_trace(s, "<-", pdu, len);
	if (delay_ms == 0) {
		conn_send(s->conn, pdu, len);
		return;
	}
	r = xmalloc(sizeof(*r));
	assert(len <= sizeof(r->pdu));
	r->session = s;
	r->len = len;
	memcpy(r->pdu, pdu, len);
	r->due.kind = SMSC_AGENDA_REPLY;
	TAILQ_INSERT_TAIL(&s->replies, r, link);
	s->late++;
	agenda_add(&s->smsc->agenda, &r->due, s->smsc->now_ms + delay_ms);
}

void
session_reply_due(struct reply *r)
{
	struct session *s = r->session;

	TAILQ_REMOVE(&s->replies, r, link);
	s->late--;
	conn_send(s->conn, r->pdu, r->len);
	free(r);
}

void
session_answer(
    struct session *s, uint32_t command, uint32_t status, uint32_t sequence)
{
	uint8_t pdu[SMPP_HEADER];
	struct wr w;

	wr_init(&w, pdu, sizeof(pdu));
	wr_u32be(&w, SMPP_HEADER);
	wr_u32be(&w, command);
	wr_u32be(&w, status);
	wr_u32be(&w, sequence);
	session_reply(s, pdu, sizeof(pdu), 0);
}

/* -------------------------------------------------------------- deliveries */

bool
session_can_deliver(const struct session *s)
{
	uint32_t next = (s->sequence + 1) % SESSION_FLIGHT;

	/* The slot is taken while a delivery of one round ago is unanswered. */
	return s->in_flight < s->smsc->opt.deliver_window &&
	    s->slot[next] == NULL && !conn_above_high(s->conn);
}

void
session_deliver(struct session *s, struct owed *o)
{
	struct smsc *smsc = s->smsc;
	uint8_t *room = conn_reserve(s->conn, OWED_PDU_MAX);
	struct wr w;

	if (++s->sequence > SMPP_MAX_SEQUENCE)
		s->sequence = SESSION_FLIGHT; /* the same slot as 0 */
	o->sequence = s->sequence;
	o->sent_ms = smsc->now_ms;
	if (o->tries++ != 0)
		smsc->count.resent++;
	s->slot[o->sequence % SESSION_FLIGHT] = o;
	s->in_flight++;
	TAILQ_INSERT_TAIL(&s->flight, o, link);

	wr_init(&w, room, OWED_PDU_MAX);
	owed_put(o, &w, o->sequence, smsc->opt.receipt, s->version < 0x34);
	assert(!w.failed);
	session_trace(s, "<-", room, wr_len(&w));
	conn_commit(s->conn, wr_len(&w));
	if (o->kind == OWED_MO)
		smsc->count.mo_sent++;
	else
		smsc->count.receipts_sent++;
	if (smsc_journals(smsc)) {
		struct json *j = journal_begin(
		    &smsc->journal, "deliver", "key", o->key, smsc->wall_ms);

		json_uint(j, "bind", s->bind);
		json_uint(j, "try", o->tries);
		journal_end(&smsc->journal);
	}
}

static struct owed *
session_land(struct session *s, uint32_t sequence)
{
	struct owed *o = s->slot[sequence % SESSION_FLIGHT];

	if (o == NULL || o->sequence != sequence)
		return NULL;
	s->slot[sequence % SESSION_FLIGHT] = NULL;
	s->in_flight--;
	TAILQ_REMOVE(&s->flight, o, link);
	return o;
}

static void
session_on_deliver_resp(struct session *s, uint32_t sequence, uint32_t status)
{
	struct smsc *smsc = s->smsc;
	struct owed *o = session_land(s, sequence);

	if (o == NULL) {
		smsc->count.strays++;
		return;
	}
	if (smsc_journals(smsc)) {
		struct json *j = journal_begin(
		    &smsc->journal, "ack", "key", o->key, smsc->wall_ms);

		json_uint(j, "status", status);
		json_uint(j, "bind", s->bind);
		journal_end(&smsc->journal);
	}
	if (status != ESME_ROK) {
		smsc->count.nacked++;
		smsc_owed_again(smsc, o, SESSION_AGAIN_MS);
		return;
	}
	if (o->kind == OWED_MO)
		smsc->count.mo_acked++;
	else
		smsc->count.receipts_acked++;
	smsc_owed_done(smsc, o);
}

void
session_check(struct session *s)
{
	struct smsc *smsc = s->smsc;
	struct owed *o;

	switch (s->state) {
	case SESSION_OPEN:
		if (smsc->now_ms - s->opened_ms > SESSION_BIND_MS)
			session_close(s, "no bind");
		return;
	case SESSION_CLOSING:
		return;
	case SESSION_BOUND:
		break;
	}
	while ((o = TAILQ_FIRST(&s->flight)) != NULL &&
	    smsc->now_ms - o->sent_ms > smsc->opt.ack_timeout_ms) {
		(void)session_land(s, o->sequence);
		account_return(s->account, o);
	}
	if (smsc->opt.enquire_ms != 0 &&
	    smsc->now_ms - s->heard_ms > 3 * smsc->opt.enquire_ms)
		session_close(s, "no answer to enquire_link");
	else if (smsc->opt.enquire_ms != 0 &&
	    smsc->now_ms - s->heard_ms > smsc->opt.enquire_ms)
		session_answer(s, SMPP_ENQUIRE_LINK, 0, SMPP_MAX_SEQUENCE);
}

/* -------------------------------------------------------------------- bind */

static bool
session_equal(struct bytes b, const char *s)
{
	return s == NULL || bytes_eq(b, bytes_str(s));
}

static void
session_bind_resp(
    struct session *s, uint32_t command, uint32_t status, uint32_t sequence)
{
	uint8_t pdu[64];
	struct wr w;

	wr_init(&w, pdu, sizeof(pdu));
	wr_u32be(&w, 0);
	wr_u32be(&w, command | SMPP_RESP);
	wr_u32be(&w, status);
	wr_u32be(&w, sequence);
	if (status == ESME_ROK) {
		wr_cstr(&w, bytes_str(SESSION_SYSTEM_ID));
		if (s->version >= 0x34) {
			wr_u16be(&w, SMPP_TLV_SC_INTERFACE_VERSION);
			wr_u16be(&w, 1);
			wr_u8(&w, s->version >= 0x50 ? 0x50 : 0x34);
		}
	}
	pdu[3] = (uint8_t)wr_len(&w);
	session_reply(s, pdu, wr_len(&w), 0);
}

/* Credentials and roles; sets version. */
static uint32_t
session_judge_bind(
    struct session *s, const uint8_t *pdu, size_t len, struct bytes *name)
{
	struct smsc *smsc = s->smsc;
	struct bytes password;
	struct rd r;

	rd_init(&r, pdu + SMPP_HEADER, len - SMPP_HEADER);
	*name = rd_cstr(&r, 16);
	password = rd_cstr(&r, 9);
	(void)rd_cstr(&r, 13);
	s->version = rd_u8(&r);
	if (r.failed)
		return ESME_RINVMSGLEN;
	if (smsc->opt.bind_refusals != 0) {
		if (smsc->opt.bind_refusals != UINT64_MAX)
			smsc->opt.bind_refusals--;
		return smsc->opt.bind_status;
	}
	if (!session_equal(*name, smsc->opt.system_id))
		return ESME_RINVSYSID;
	if (!session_equal(password, smsc->opt.password))
		return ESME_RINVPASWD;
	return ESME_ROK;
}

static void
session_on_bind(struct session *s, uint32_t command, const uint8_t *pdu,
    size_t len, uint32_t sequence)
{
	struct account *account = NULL;
	struct bytes name;
	uint32_t status;

	if (s->state != SESSION_OPEN) {
		session_bind_resp(s, command, ESME_RALYBND, sequence);
		return;
	}
	status = session_judge_bind(s, pdu, len, &name);
	if (status == ESME_ROK) {
		account = account_get(s->smsc, name);
		if (account == NULL)
			status = ESME_RBINDFAIL;
	}
	session_bind_resp(s, command, status, sequence);
	if (status != ESME_ROK) {
		char number[SMPP_NAME_MAX];

		s->smsc->count.refused_binds++;
		session_end(s, smpp_status_str(status, number), true);
		return;
	}
	s->account = account;
	s->transmits = command != SMPP_BIND_RECEIVER;
	s->receives = command != SMPP_BIND_TRANSMITTER;
	session_enter_state(s, SESSION_BOUND);
}

/* ------------------------------------------------------------------- input */

static void
session_on_bound_pdu(struct session *s, uint32_t command, const uint8_t *pdu,
    size_t len, uint32_t sequence)
{
	switch (command) {
	case SMPP_SUBMIT_SM:
	case SMPP_DATA_SM:
	case SMPP_SUBMIT_MULTI:
		submit_on_pdu(s, pdu, len);
		break;
	case SMPP_QUERY_SM:
		submit_on_query(s, pdu, len);
		break;
	case SMPP_CANCEL_SM:
		submit_on_cancel(s, pdu, len);
		break;
	case SMPP_REPLACE_SM:
		session_answer(
		    s, SMPP_REPLACE_SM_RESP, ESME_RREPLACEFAIL, sequence);
		break;
	default:
		session_answer(s, SMPP_GENERIC_NACK, ESME_RINVCMDID, sequence);
		break;
	}
}

static void
session_on_pdu(struct session *s, const uint8_t *pdu, size_t len)
{
	uint32_t command, status, sequence;
	struct rd r;

	rd_init(&r, pdu + 4, len - 4);
	command = rd_u32be(&r);
	status = rd_u32be(&r);
	sequence = rd_u32be(&r);
	session_trace(s, "->", pdu, len);
	switch (command) {
	case SMPP_BIND_RECEIVER:
	case SMPP_BIND_TRANSMITTER:
	case SMPP_BIND_TRANSCEIVER:
		session_on_bind(s, command, pdu, len, sequence);
		break;
	case SMPP_ENQUIRE_LINK:
		s->smsc->count.enquiries++;
		session_answer(s, SMPP_ENQUIRE_LINK_RESP, ESME_ROK, sequence);
		break;
	case SMPP_UNBIND:
		session_answer(s, SMPP_UNBIND_RESP, ESME_ROK, sequence);
		session_end(s, "unbind", true);
		break;
	case SMPP_UNBIND_RESP:
		session_close(s, "unbind_resp");
		break;
	case SMPP_DELIVER_SM_RESP:
		session_on_deliver_resp(s, sequence, status);
		break;
	case SMPP_GENERIC_NACK:
		session_on_deliver_resp(
		    s, sequence, status == ESME_ROK ? ESME_RSYSERR : status);
		break;
	case SMPP_ENQUIRE_LINK_RESP:
		break;
	default:
		if (s->state == SESSION_BOUND)
			session_on_bound_pdu(s, command, pdu, len, sequence);
		else
			session_answer(
			    s, command | SMPP_RESP, ESME_RINVBNDSTS, sequence);
		break;
	}
}

static void
session_on_data(struct session *s)
{
	size_t max, used = 0, len = conn_len(s->conn);
	const uint8_t *data = conn_data(s->conn);
	int n;

	s->heard_ms = s->smsc->now_ms;
	/* Any PDU may close the session. */
	while (s->state != SESSION_CLOSING) {
		max =
		    s->state == SESSION_OPEN ? SMPP_MAX_UNBOUND : SMPP_MAX_PDU;
		n = smpp_frame(data + used, len - used, max);
		if (n == 0)
			break;
		if (n < 0) {
			s->smsc->count.malformed++;
			session_answer(
			    s, SMPP_GENERIC_NACK, ESME_RINVCMDLEN, 0);
			session_end(s, "command_length", true);
			return;
		}
		session_on_pdu(s, data + used, (size_t)n);
		used += (size_t)n;
	}
	conn_drop(s->conn, used);
}

static void
session_free(struct session *s)
{
	struct smsc *smsc = s->smsc;

	TAILQ_REMOVE(&smsc->sessions, s, link);
	smsc->open--;
	free(s);
}

static void
session_conn_cb(struct conn *c, enum conn_event ev, void *arg)
{
	struct session *s = arg;
	struct smsc *smsc = s->smsc;

	assert(s->conn == c);
	smsc_tick(smsc);
	switch (ev) {
	case CONN_EV_CONNECTED:
	case CONN_EV_WRITABLE:
		break;
	case CONN_EV_DATA:
		session_on_data(s);
		break;
	case CONN_EV_EOF:
		session_close(s, "peer closed");
		break;
	case CONN_EV_ERROR:
		session_close(s, uv_strerror(conn_error(c)));
		break;
	case CONN_EV_CLOSED:
		session_close(s, "closed");
		session_free(s);
		break;
	}
	smsc_settle(smsc);
}

void
session_new(struct smsc *smsc, struct conn *conn)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->smsc = smsc;
	s->conn = conn;
	s->bind = ++smsc->next_bind;
	s->opened_ms = s->heard_ms = smsc->now_ms;
	TAILQ_INIT(&s->replies);
	TAILQ_INIT(&s->flight);
	TAILQ_INSERT_TAIL(&smsc->sessions, s, link);
	smsc->open++;
	smsc->count.connects++;
	conn_set_cb(conn, session_conn_cb, s);
}
