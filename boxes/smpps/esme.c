/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smpps/esme.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/front/auth.h"
#include "boxes/smpps/customer.h"
#include "boxes/smpps/deliver.h"
#include "boxes/smpps/login.h"
#include "boxes/smpps/meter.h"
#include "boxes/smpps/query.h"
#include "boxes/smpps/server.h"
#include "boxes/smpps/submit.h"
#include "common/clock.h"
#include "common/conn.h"
#include "common/log.h"
#include "common/network.h"
#include "common/uuid.h"
#include "common/xalloc.h"

#define ESME_UNBIND_MS 5000  /* for the answer to our unbind */
#define ESME_LEAVE_MS  10000 /* for what is in hand when it is to go */
#define ESME_ANSWER_MS 10000 /* for the answer to enquire_link, at most */
#define ESME_SPREAD    256   /* messages under way, where the window is less */
#define ESME_PER_TURN  128   /* PDUs; a usual window in one go */
#define ESME_HURRY     5     /* times less patient under stress */

static const char *const esme_state_names[] = {
	[ESME_STATE_OPEN] = "open",
	[ESME_STATE_BINDING] = "binding",
	[ESME_STATE_BOUND_TX] = "bound_tx",
	[ESME_STATE_BOUND_RX] = "bound_rx",
	[ESME_STATE_BOUND_TRX] = "bound_trx",
	[ESME_STATE_UNBINDING] = "unbinding",
	[ESME_STATE_CLOSED] = "closed",
};

/* Connections without a bind from one address. */
struct origin {
	unsigned count;
	uint8_t addr[16];
};

static void esme_enter_state(struct esme *, enum esme_state);
static void esme_on_unbind(struct esme *, const struct smpp_pdu *);
static void esme_on_unsupported(struct esme *, const struct smpp_pdu *);
static void esme_on_one_way(struct esme *, const struct smpp_pdu *);

/* ------------------------------------------------- what is in order when */

typedef void esme_handler(struct esme *, const struct smpp_pdu *);

#define OK ESME_ROK
#define NO ESME_RINVBNDSTS
#define AL ESME_RALYBND
#define QF ESME_RMSGQFUL

/*
 * Requests: handler, and in which states it is called (OK); in the others the
 * status goes into the response.  enquire_link is answered in every state, by
 * session.c, which also answers what is no command with generic_nack.
 *
 * What is not for an ESME to send at all (deliver_sm: 3.4, table 2-1), or not
 * offered here (broadcast), is ESME_RINVCMDID in its own response, and in a
 * generic_nack for those that have none (outbind, alert_notification).
 *
 * A message that crosses our unbind is not wrong: ESME_RMSGQFUL makes the
 * client send it again.
 */
static const struct esme_row {
	uint32_t command;
	bool message; /* refused when the session is to leave */
	esme_handler *handler;
	uint32_t status[ESME_STATE_CLOSED];
} esme_table[] = {
	/* clang-format off */
	/*		                     open bnding  tx  rx trx unbinding */
	{ SMPP_BIND_RECEIVER,       false, login_on_bind,
						    { OK, AL, AL, AL, AL, NO } },
	{ SMPP_BIND_TRANSMITTER,    false, login_on_bind,
						    { OK, AL, AL, AL, AL, NO } },
	{ SMPP_BIND_TRANSCEIVER,    false, login_on_bind,
						    { OK, AL, AL, AL, AL, NO } },
	{ SMPP_UNBIND,              false, esme_on_unbind,
						    { NO, NO, OK, OK, OK, OK } },
	{ SMPP_SUBMIT_SM,           true, submit_on_submit_sm,
						    { NO, NO, OK, NO, OK, QF } },
	{ SMPP_SUBMIT_MULTI,        true, submit_on_submit_multi,
						    { NO, NO, OK, NO, OK, QF } },
	{ SMPP_DATA_SM,             true, submit_on_data_sm,
						    { NO, NO, OK, NO, OK, QF } },
	{ SMPP_QUERY_SM,            true, query_on_query_sm,
						    { NO, NO, OK, NO, OK, QF } },
	{ SMPP_CANCEL_SM,           true, query_on_cancel_sm,
						    { NO, NO, OK, NO, OK, QF } },
	{ SMPP_REPLACE_SM,          true, query_on_replace_sm,
						    { NO, NO, OK, NO, OK, QF } },
	{ SMPP_DELIVER_SM,          false, esme_on_unsupported,
						    { NO, NO, OK, OK, OK, OK } },
	{ SMPP_BROADCAST_SM,        false, esme_on_unsupported,
						    { NO, NO, OK, NO, OK, OK } },
	{ SMPP_QUERY_BROADCAST_SM,  false, esme_on_unsupported,
						    { NO, NO, OK, NO, OK, OK } },
	{ SMPP_CANCEL_BROADCAST_SM, false, esme_on_unsupported,
						    { NO, NO, OK, NO, OK, OK } },
	{ SMPP_OUTBIND,             false, esme_on_one_way,
						    { OK, OK, OK, OK, OK, OK } },
	{ SMPP_ALERT_NOTIFICATION,  false, esme_on_one_way,
						    { OK, OK, OK, OK, OK, OK } },
	/* clang-format on */
};
#undef OK
#undef NO
#undef AL
#undef QF

static const struct esme_row *
esme_find_row(uint32_t command)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(esme_table); i++)
		if (esme_table[i].command == command)
			return &esme_table[i];
	return NULL;
}

/* ------------------------------------------------------------------ names */

const char *
esme_state_name(enum esme_state state)
{
	return esme_state_names[state];
}

const char *
esme_role(const struct esme *e)
{
	switch (e->bind_command) {
	case SMPP_BIND_RECEIVER:
		return "receiver";
	case SMPP_BIND_TRANSMITTER:
		return "transmitter";
	default: /* there are three */
		return "transceiver";
	}
}

static const char *
esme_version(const struct esme *e)
{
	switch (e->interface_version) {
	case 0x33:
		return "3.3";
	case 0x34:
		return "3.4";
	default: /* login.c knows three */
		return "5.0";
	}
}

struct esme *
esme_find(const struct server *s, uint64_t number)
{
	return map_get_u64(&s->by_id, number);
}

/* ------------------------------------------------------------- admission */

/* "192.0.2.1" out of "192.0.2.1:4711", "2001:db8::1" out of "[2001:db8::1]:1";
 * "unix:pid=1" stays. */
static void
esme_set_source(struct esme *e, const char *peer)
{
	const char *end;
	size_t n;

	if (strncmp(peer, "unix:", 5) == 0)
		end = peer + strlen(peer);
	else if (*peer == '[')
		end = strchr(++peer, ']');
	else
		end = strrchr(peer, ':');
	n = end != NULL ? (size_t)(end - peer) : strlen(peer);
	if (n > sizeof(e->source) - 1)
		n = sizeof(e->source) - 1;
	memcpy(e->source, peer, n);
	e->source[n] = '\0';
}

/* The counter of this client, NULL for a client that has no address. */
static struct origin *
origin_get(struct server *s, const char *source)
{
	uint8_t addr[16];
	struct origin *o;

	if (!network_address(source, addr))
		return NULL;
	network_client(addr);
	o = map_get(&s->origins, addr, sizeof(addr));
	if (o == NULL) {
		o = xcalloc(1, sizeof(*o));
		memcpy(o->addr, addr, sizeof(addr));
		map_put(&s->origins, o->addr, sizeof(o->addr), o);
	}
	return o;
}

static void
origin_release(struct server *s, struct origin *o)
{
	if (o->count == 0) {
		map_del(&s->origins, o->addr, sizeof(o->addr));
		free(o);
	}
}

/* Is the one that was counted last too many?  NULL, or why. */
static const char *
esme_too_many(const struct server *s, const struct origin *o)
{
	if (s->draining)
		return "stopping";
	if (s->esme_count > s->max_connections)
		return "max_connections";
	if (s->unbound_count > s->max_unbound)
		return "max_unbound";
	if (o != NULL && o->count > s->max_unbound_source)
		return "max_unbound_source";
	return NULL;
}

static bool
esme_is_unbound(enum esme_state state)
{
	return state == ESME_STATE_OPEN || state == ESME_STATE_BINDING;
}

static void
esme_count_unbound(struct esme *e)
{
	e->server->unbound_count++;
	if (e->origin != NULL)
		e->origin->count++;
}

/* The counter goes with the last that it counts: nobody else may hold it. */
static void
esme_uncount_unbound(struct esme *e)
{
	struct server *s = e->server;

	s->unbound_count--;
	if (e->origin == NULL)
		return;
	e->origin->count--;
	origin_release(s, e->origin);
	e->origin = NULL;
}

/* ------------------------------------------------------------------ state */

static void
esme_enter_state(struct esme *e, enum esme_state next)
{
	enum esme_state last = e->state;

	log_debug("smpp.state", "esme=%llu from=%s to=%s",
	    (unsigned long long)e->number, esme_state_names[last],
	    esme_state_names[next]);
	assert(last != ESME_STATE_CLOSED && last != next);
	e->state = next;
	e->since_ms = clock_mono_ms();
	meter_state(last, next);
	if (last == ESME_STATE_OPEN)
		TAILQ_REMOVE(&e->server->open, e, open_link);
	if (esme_is_unbound(last) && !esme_is_unbound(next))
		esme_uncount_unbound(e);

	switch (next) {
	case ESME_STATE_OPEN:
	case ESME_STATE_BINDING:
	case ESME_STATE_BOUND_TX:
	case ESME_STATE_BOUND_RX:
	case ESME_STATE_BOUND_TRX:
		break;
	case ESME_STATE_UNBINDING:
	case ESME_STATE_CLOSED:
		if (e->customer != NULL)
			customer_recount(e->customer);
		break;
	}
}

static void
esme_log_end(const struct esme *e, const char *why)
{
	if (e->customer == NULL) {
		log_debug("smpp.closed", "esme=%llu peer=%s reason=%s",
		    (unsigned long long)e->number, session_peer(e->session),
		    why);
		return;
	}
	log_info("smpp.unbound",
	    "esme=%llu account=%s system_id=%s role=%s peer=%s reason=%s "
	    "seconds=%llu submits=%llu delivers=%llu refused=%llu",
	    (unsigned long long)e->number, e->customer->account, e->system_id,
	    esme_role(e), session_peer(e->session), why,
	    (unsigned long long)(clock_wall_ms() - e->bound_at) / 1000,
	    (unsigned long long)e->n_submits, (unsigned long long)e->n_delivers,
	    (unsigned long long)e->n_refused);
}

/* What a customer sees as "cannot connect": say more of it than they can. */
static void
esme_log_handshake(const struct esme *e, const char *why)
{
	static struct log_limit limit;

	meter_refused(METER_TLS);
	if (log_limit(&limit, 5))
		log_info("smpp.tls_failed", "esme=%llu peer=%s reason=%s",
		    (unsigned long long)e->number, session_peer(e->session),
		    why);
}

/* Deaf from now on; what was sent still leaves if `flush`. */
static void
esme_end(struct esme *e, const char *why, bool flush)
{
	if (e->state == ESME_STATE_CLOSED)
		return;
	esme_log_end(e, why);
	if (flush)
		session_close_flush(e->session, why);
	else
		session_close(e->session, why);
	esme_enter_state(e, ESME_STATE_CLOSED);
}

void
esme_close(struct esme *e, const char *why)
{
	esme_end(e, why, false);
}

void
esme_unbind(struct esme *e, const char *why)
{
	struct smpp_pdu pdu;
	int rc;

	if (e->state >= ESME_STATE_UNBINDING)
		return;
	if (!esme_is_bound(e)) {
		esme_end(e, why, true);
		return;
	}
	log_info("smpp.unbinding", "esme=%llu account=%s reason=%s",
	    (unsigned long long)e->number, e->customer->account, why);
	e->unbind_seq = session_next_seq(e->session);
	smpp_pdu_init(&pdu, SMPP_UNBIND, ESME_ROK, e->unbind_seq);
	rc = session_send(e->session, &pdu);
	assert(rc == 0); /* it has no fields */
	/* Its answer has to be read, also behind a full window. */
	session_resume(e->session);
	esme_enter_state(e, ESME_STATE_UNBINDING);
}

/* Answers its unbind. */
static void
esme_let_go(struct esme *e)
{
	struct smpp_pdu pdu;

	smpp_pdu_init(&pdu, SMPP_UNBIND, ESME_ROK, e->unbind_seq);
	session_answer(e->session, &pdu, ESME_ROK);
	esme_end(e, "client unbound", true);
}

static bool
esme_is_idle(const struct esme *e)
{
	/* Who unbinds need not answer any more. */
	if (e->unbind_waits)
		return e->requests == 0;
	return e->requests == 0 && session_in_flight(e->session) == e->overdue;
}

void
esme_leave(struct esme *e, const char *why)
{
	if (e->leaving || e->state >= ESME_STATE_UNBINDING)
		return;
	if (!esme_is_bound(e) || esme_is_idle(e)) {
		esme_unbind(e, why);
		return;
	}
	e->leaving = true;
	e->since_ms = clock_mono_ms();
	customer_recount(e->customer);
}

/* It was to leave, and perhaps it can now. */
static void
esme_look_idle(struct esme *e)
{
	if (!e->leaving || !esme_is_bound(e) || !esme_is_idle(e))
		return;
	if (e->unbind_waits)
		esme_let_go(e);
	else
		esme_unbind(e, "all is answered");
}

static uint32_t
esme_find_pending(const struct esme *e, uint32_t sequence)
{
	uint32_t i = 0;

	while (i < e->requests && e->pending[i] != sequence)
		i++;
	return i;
}

/* Has it as much under way as it may? */
static bool
esme_is_full(const struct esme *e)
{
	uint32_t most = e->window > ESME_SPREAD ? e->window : ESME_SPREAD;

	return e->requests == e->window ||
	    (e->extra > 0 && e->requests + e->extra >= most);
}

void
esme_request_begin(struct esme *e, uint32_t sequence, uint32_t messages)
{
	assert(e->requests < e->window && messages > 0);
	e->pending[e->requests++] = sequence;
	e->extra += messages - 1;
	if (esme_is_full(e))
		session_pause(e->session);
}

void
esme_request_done(struct esme *e, uint32_t sequence, uint32_t messages)
{
	bool full = esme_is_full(e);
	uint32_t i = esme_find_pending(e, sequence);

	assert(i < e->requests);
	e->pending[i] = e->pending[--e->requests];
	e->extra -= messages - 1;
	if (full && !esme_is_full(e))
		session_resume(e->session);
	esme_look_idle(e);
}

void
esme_tick(struct esme *e, uint64_t now_ms)
{
	/* A state may be entered in the same turn, after it began. */
	uint64_t since = now_ms > e->since_ms ? now_ms - e->since_ms : 0;
	const struct server *s = e->server;

	session_hurry(e->session, s->stressed);
	/* Before anything here makes it read on, later than now_ms. */
	session_tick(e->session, now_ms);
	switch (e->state) {
	case ESME_STATE_OPEN:
		if (since >=
		    (s->stressed ? s->bind_ms / ESME_HURRY : s->bind_ms))
			esme_close(e, "no bind in time");
		break;
	case ESME_STATE_BINDING: /* login.c answers in bounded time */
		break;
	case ESME_STATE_BOUND_TX:
	case ESME_STATE_BOUND_RX:
	case ESME_STATE_BOUND_TRX:
		if (!e->leaving || since < ESME_LEAVE_MS)
			esme_look_idle(e);
		else if (e->unbind_waits)
			esme_let_go(e);
		else
			esme_unbind(e, "not all is answered in time");
		break;
	case ESME_STATE_UNBINDING:
		if (since >= ESME_UNBIND_MS)
			esme_close(e, "unbind not answered");
		break;
	case ESME_STATE_CLOSED:
		break;
	}
}

/* ------------------------------------------------------------------- PDUs */

/* Its answer is the last: a client that does not wait for those before would
 * send again what was accepted. */
static void
esme_on_unbind(struct esme *e, const struct smpp_pdu *pdu)
{
	if (e->requests > 0 && esme_is_bound(e) && !e->unbind_waits) {
		e->unbind_seq = pdu->sequence;
		e->unbind_waits = e->leaving = true;
		e->since_ms = clock_mono_ms();
		customer_recount(e->customer);
		return;
	}
	session_answer(e->session, pdu, ESME_ROK);
	esme_end(e, "client unbound", true);
}

static void
esme_on_unsupported(struct esme *e, const struct smpp_pdu *pdu)
{
	session_answer(e->session, pdu, ESME_RINVCMDID);
}

static void
esme_on_one_way(struct esme *e, const struct smpp_pdu *pdu)
{
	session_nack(e->session, pdu->sequence, ESME_RINVCMDID);
}

static void
esme_on_response(struct esme *e, const struct smpp_pdu *pdu)
{
	if (e->state == ESME_STATE_UNBINDING &&
	    pdu->sequence == e->unbind_seq &&
	    (pdu->command_id == (uint32_t)SMPP_UNBIND_RESP ||
		pdu->command_id == (uint32_t)SMPP_GENERIC_NACK)) {
		esme_end(e, "unbind answered", false);
		return;
	}
	meter_stray();
}

static void
esme_pdu_cb(struct session *s, const struct smpp_pdu *pdu, void *arg)
{
	struct esme *e = arg;
	const struct esme_row *row;
	uint32_t status;

	meter_in(pdu->command_id);
	if ((pdu->command_id & SMPP_RESP) != 0) {
		esme_on_response(e, pdu);
		return;
	}
	row = esme_find_row(pdu->command_id);
	if (row == NULL) {
		/* Decoded, so it is in smpp_pdu.def, and forgotten above. */
		session_nack(s, pdu->sequence, ESME_RINVCMDID);
		return;
	}
	status = row->status[e->state];
	if (status == ESME_ROK && row->message && e->leaving)
		status = ESME_RMSGQFUL;
	/* SMPP 3.4, 3.2: numbers begin at 1, and one of a request that has no
	 * answer yet would make the two answers one. */
	if (pdu->sequence == 0 ||
	    esme_find_pending(e, pdu->sequence) < e->requests)
		session_nack(s, pdu->sequence, ESME_RUNKNOWNERR);
	else if (status == ESME_ROK)
		row->handler(e, pdu);
	else
		session_answer(s, pdu, status);
}

static void
esme_answer_cb(struct session *s UNUSED, const struct window_slot *slot,
    const struct smpp_pdu *pdu, void *arg)
{
	struct esme *e = arg;

	meter_in(pdu->command_id);
	deliver_on_answer(e, slot, pdu);
	esme_look_idle(e);
}

static void
esme_lost_cb(
    struct session *s UNUSED, const struct window_slot *slot, void *arg)
{
	deliver_on_lost(arg, slot);
}

/* Answers of this read have made room, or the peer reads again. */
static void
esme_room_cb(struct session *s UNUSED, void *arg)
{
	struct esme *e = arg;

	if (!esme_may_receive(e))
		return;
	deliver_pump(e->customer);
	customer_update(e->customer);
}

static void
esme_sent_cb(
    struct session *s UNUSED, uint32_t command, uint32_t status, void *arg)
{
	struct esme *e = arg;

	meter_out(command, status);
	switch ((enum smpp_command)command) {
	case SMPP_SUBMIT_SM_RESP:
	case SMPP_SUBMIT_MULTI_RESP:
	case SMPP_DATA_SM_RESP:
		if (status == ESME_ROK)
			e->n_submits++;
		else
			e->n_refused++;
		break;
	default: /* the others are not counted for a session */
		break;
	}
}

static void
esme_closed_cb(struct session *session, const char *reason, void *arg)
{
	struct esme *e = arg;
	struct server *s = e->server;

	if (e->tls && !session_secure(session))
		esme_log_handshake(e, reason);
	if (e->state != ESME_STATE_CLOSED) {
		esme_log_end(e, reason);
		esme_enter_state(e, ESME_STATE_CLOSED);
	}
	meter_gone();
	if (e->customer != NULL) {
		auth_keep(s->auth, bytes_str(e->system_id));
		customer_unbind(e);
	}
	if (e->unchecked)
		TAILQ_REMOVE(&s->unchecked, e, check_link);
	TAILQ_REMOVE(&s->esmes, e, link);
	map_del_u64(&s->by_id, e->number);
	s->esme_count--;
	free(e->default_from);
	free(e->pending);
	free(e);
}

static const struct session_ops esme_session_ops = {
	.answer = esme_answer_cb,
	.pdu = esme_pdu_cb,
	.batch = esme_room_cb,
	.writable = esme_room_cb,
	.sent = esme_sent_cb,
	.lost = esme_lost_cb,
	.closed = esme_closed_cb,
};

/* ------------------------------------------------------------------- life */

/* The same, and must it go?  Those that do nothing go first, the oldest before
 * the others. */
static const char *
esme_make_room(struct server *s, const struct origin *o)
{
	static struct log_limit limit;
	const char *why = esme_too_many(s, o);
	struct esme *idle = TAILQ_FIRST(&s->open);

	if (why == NULL || idle == NULL || s->draining ||
	    (o != NULL && o->count > s->max_unbound_source))
		return why;
	meter_refused(METER_DROPPED);
	if (log_limit(&limit, 5))
		log_info("smpp.dropped", "esme=%llu peer=%s reason=%s",
		    (unsigned long long)idle->number,
		    session_peer(idle->session), why);
	esme_close(idle, "others need the room");
	return NULL;
}

void
esme_accept(struct server *s, struct conn *conn, bool tls)
{
	static struct log_limit limit;
	struct session_opts opts = {
		.window = 1, /* the account's, once it is bound */
		.per_turn = ESME_PER_TURN,
		.enquire_ms = s->enquire_ms,
		.answer_ms = s->response_ms < ESME_ANSWER_MS ? s->response_ms
							     : ESME_ANSWER_MS,
	};
	struct esme *e = xcalloc(1, sizeof(*e));
	const char *why;

	e->server = s;
	e->number = ++s->last_number;
	e->tls = tls;
	e->since_ms = clock_mono_ms();
	e->window = 1;
	esme_set_source(e, conn_peer(conn));
	e->origin = origin_get(s, e->source);
	TAILQ_INSERT_TAIL(&s->esmes, e, link);
	map_put_u64(&s->by_id, e->number, e);
	s->esme_count++;
	esme_count_unbound(e);
	why = esme_make_room(s, e->origin);
	TAILQ_INSERT_TAIL(&s->open, e, open_link);
	meter_opened();
	e->session = session_accept(conn, &opts, &esme_session_ops, e);
	if (why == NULL)
		return;
	meter_refused(METER_CONNECTIONS);
	if (log_limit(&limit, 10))
		log_warn("smpp.refused", "esme=%llu peer=%s reason=%s",
		    (unsigned long long)e->number, conn_peer(conn), why);
	esme_close(e, why);
}

void
esme_begin_bind(struct esme *e)
{
	esme_enter_state(e, ESME_STATE_BINDING);
}

/* The answer to a bind. */
static void
esme_answer_bind(struct esme *e, const struct login *l, uint32_t status)
{
	struct smpp_pdu pdu;
	int rc;

	smpp_pdu_init(&pdu, l->command | SMPP_RESP, status, l->sequence);
	if (status == ESME_ROK) {
		pdu.system_id = bytes_str(e->server->system_id);
		/* 3.3 knows no TLVs. */
		if (l->interface_version > 0x33)
			smpp_tlv_add_u8(
			    &pdu, SMPP_TLV_SC_INTERFACE_VERSION, 0x50);
	}
	rc = session_send(e->session, &pdu);
	assert(rc == 0); /* the configuration bounds our system_id */
}

void
esme_refuse(
    struct esme *e, const struct login *l, uint32_t status, const char *why)
{
	static struct log_limit limit;
	char name[SMPP_NAME_MAX];

	if (log_limit(&limit, 20))
		log_warn("smpp.refused",
		    "esme=%llu system_id=%s peer=%s status=%s reason=%s",
		    (unsigned long long)e->number, l->system_id,
		    session_peer(e->session), smpp_status_str(status, name),
		    why);
	esme_answer_bind(e, l, status);
	esme_end(e, "bind refused", true);
}

static enum esme_state
esme_state_of(uint32_t bind)
{
	switch (bind) {
	case SMPP_BIND_TRANSMITTER:
		return ESME_STATE_BOUND_TX;
	case SMPP_BIND_RECEIVER:
		return ESME_STATE_BOUND_RX;
	default: /* there are three */
		return ESME_STATE_BOUND_TRX;
	}
}

void
esme_bound(struct esme *e, const struct login *l)
{
	assert(e->state == ESME_STATE_BINDING);
	memcpy(e->system_id, l->system_id, sizeof(e->system_id));
	snprintf(e->credential, sizeof(e->credential), "smpp:%s", l->system_id);
	e->bind_command = l->command;
	e->interface_version = l->interface_version;
	e->id_form = (enum esme_id_form)l->id_form;
	e->charset = l->charset;
	e->max_parts = l->max_parts;
	e->default_from =
	    l->default_from != NULL ? xstrdup(l->default_from) : NULL;
	e->window = l->window;
	e->pending = xcalloc(e->window, sizeof(*e->pending));
	e->bound_at = clock_wall_ms();
	esme_answer_bind(e, l, ESME_ROK);
	session_bound(e->session);
	/* A transmitter is never sent a request that needs a slot. */
	if (l->command != SMPP_BIND_TRANSMITTER)
		session_set_window(e->session, e->window);
	esme_enter_state(e, esme_state_of(l->command));
	customer_bind(l->cell, l->account, e);
	log_info("smpp.bound",
	    "esme=%llu account=%s system_id=%s role=%s version=%s peer=%s "
	    "tls=%s window=%u",
	    (unsigned long long)e->number, l->account, e->system_id,
	    esme_role(e), esme_version(e), session_peer(e->session),
	    e->tls ? "yes" : "no", e->window);
}

/* --------------------------------------------------------------------- ids */

/* Divides the 128-bit number by ten and returns the rest. */
static unsigned
id_divide(uint32_t n[4])
{
	uint64_t rest = 0;
	int i;

	for (i = 0; i < 4; i++) {
		rest = rest << 32 | n[i];
		n[i] = (uint32_t)(rest / 10);
		rest %= 10;
	}
	return (unsigned)rest;
}

static char *
id_write_dec(const uint8_t id[16], char dst[ESME_ID_MAX])
{
	char digits[ESME_ID_MAX];
	uint32_t n[4];
	size_t len = 0, i;

	for (i = 0; i < 4; i++)
		n[i] = (uint32_t)id[i * 4] << 24 |
		    (uint32_t)id[i * 4 + 1] << 16 |
		    (uint32_t)id[i * 4 + 2] << 8 | id[i * 4 + 3];
	do
		digits[len++] = (char)('0' + id_divide(n));
	while ((n[0] | n[1] | n[2] | n[3]) != 0);
	for (i = 0; i < len; i++)
		dst[i] = digits[len - 1 - i];
	dst[len] = '\0';
	return dst;
}

char *
esme_write_id(
    enum esme_id_form form, const uint8_t id[16], char dst[ESME_ID_MAX])
{
	size_t i;

	switch (form) {
	case ESME_ID_UUID:
		uuid_format(id, dst);
		break;
	case ESME_ID_HEX:
		for (i = 0; i < 16; i++)
			snprintf(dst + i * 2, 3, "%02x", id[i]);
		break;
	case ESME_ID_DEC:
		id_write_dec(id, dst);
		break;
	}
	return dst;
}

static bool
id_read_dec(struct bytes text, uint8_t id[16])
{
	uint32_t n[4] = { 0 };
	uint64_t carry;
	size_t i;
	int k;

	for (i = 0; i < text.len; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		carry = text.p[i] - '0';
		for (k = 3; k >= 0; k--) {
			carry += (uint64_t)n[k] * 10;
			n[k] = (uint32_t)carry;
			carry >>= 32;
		}
		if (carry != 0)
			return false;
	}
	for (i = 0; i < 16; i++)
		id[i] = (uint8_t)(n[i / 4] >> (24 - 8 * (i % 4)));
	return true;
}

/*
 * 32 and 36 characters are hexadecimal: the decimal form of an id of ours has
 * 37 or 38 digits, as its first 48 bits are a time of this century.
 */
bool
esme_read_id(struct bytes text, uint8_t id[16])
{
	if (text.len == 32 || text.len == 36)
		return uuid_parse((const char *)text.p, text.len, id);
	if (text.len == 0 || text.len > 39)
		return false;
	return id_read_dec(text, id);
}
