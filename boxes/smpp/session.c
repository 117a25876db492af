/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smpp/session.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"

#define SESSION_BAD_SPAN_MS (10 * 60 * 1000)
#define SESSION_STUCK_MS    (30 * 1000) /* peer does not read */
#define SESSION_SLOW_MS     1000        /* then its memory is given back */
#define SESSION_HURRY       5           /* times less patient */
#define SESSION_IDLE_MAX    32          /* PDUs for nothing in a row */
#define SESSION_DOZE_MS     1000
#define SESSION_DOZES_MAX   30   /* one after the other */
#define SESSION_PDU_ROOM    1024 /* first guess for an encoded PDU */

enum session_state {
	SESSION_CONNECTING = 0, /* conn_connect() under way */
	SESSION_OPEN,           /* PDUs flow */
	SESSION_CLOSING,        /* conn_close() called; only closed() follows */
};

struct session {
	const struct session_ops *ops;
	void *arg;
	struct session_opts opts;
	struct conn *conn; /* owned */
	enum session_state state;
	struct window window;
	size_t max_pdu;
	uint64_t open_ms;
	bool paused;      /* by the owner */
	bool dozing;      /* the peer floods, and is not read for a while */
	uint64_t doze_ms; /* since when, or when it did last */
	unsigned dozes;
	bool hurried;
	uint64_t resumed_ms; /* when reading last went on */
	uint64_t partial_ms; /* since when a PDU is incomplete; 0: none */
	uint64_t
	    above_high_ms; /* since when the peer does not read; 0: it does */
	uint32_t enquire_seq; /* of our unanswered enquire_link, or 0 */
	uint64_t enquire_at_ms;
	unsigned bad;
	uint64_t bad_at_ms;
	uint64_t bytes_in, bytes_out;
	char *reason; /* of the close; the first one */
};

static conn_cb session_conn_cb;

static struct session *
session_new(
    const struct session_opts *opts, const struct session_ops *ops, void *arg)
{
	struct session *s = xcalloc(1, sizeof(*s));

	s->ops = ops;
	s->arg = arg;
	s->opts = *opts;
	if (s->opts.answer_ms == 0)
		s->opts.answer_ms = 10 * 1000;
	if (s->opts.partial_ms == 0)
		s->opts.partial_ms = 10 * 1000;
	if (s->opts.max_bad == 0)
		s->opts.max_bad = 10;
	s->max_pdu = SMPP_MAX_UNBOUND;
	window_init(&s->window, opts->window);
	return s;
}

static void
session_free(struct session *s)
{
	window_fini(&s->window);
	free(s->reason);
	free(s);
}

struct session *
session_connect(uv_loop_t *loop, const char *address,
    const struct session_opts *opts, const struct session_ops *ops, void *arg)
{
	const struct conn_opts conn_opts = { .local = opts->local,
		.tls = opts->tls };
	struct session *s = session_new(opts, ops, arg);

	s->opts.local = NULL;
	s->opts.tls = NULL;
	s->state = SESSION_CONNECTING;
	s->conn = conn_connect(loop, address, &conn_opts, session_conn_cb, s);
	if (s->conn == NULL) {
		session_free(s);
		return NULL;
	}
	return s;
}

struct session *
session_accept(struct conn *conn, const struct session_opts *opts,
    const struct session_ops *ops, void *arg)
{
	struct session *s = session_new(opts, ops, arg);

	s->state = SESSION_OPEN;
	s->open_ms = clock_mono_ms();
	s->conn = conn;
	conn_set_cb(conn, session_conn_cb, s);
	return s;
}

void
session_bound(struct session *s)
{
	s->max_pdu = SMPP_MAX_PDU;
}

void
session_set_window(struct session *s, uint32_t limit)
{
	uint32_t last = s->window.last_seq;

	assert(s->window.in_flight == 0);
	window_fini(&s->window);
	window_init(&s->window, limit);
	s->window.last_seq = last;
}

/* ---------------------------------------------------------------- reading */

static bool
session_reads(const struct session *s)
{
	return !s->paused && !s->dozing && !conn_above_high(s->conn);
}

/* Time begins anew for what the peer could not say meanwhile. */
static void
session_reads_again(struct session *s)
{
	s->resumed_ms = clock_mono_ms();
	if (s->partial_ms != 0)
		s->partial_ms = s->resumed_ms;
}

/* Of two reasons not to read one is gone. */
static void
session_go_on(struct session *s)
{
	if (s->paused || s->dozing)
		return;
	session_reads_again(s);
	conn_resume(s->conn);
}

void
session_pause(struct session *s)
{
	s->paused = true;
	conn_pause(s->conn);
}

void
session_resume(struct session *s)
{
	if (!s->paused)
		return;
	s->paused = false;
	session_go_on(s);
}

/* To answer a peer that asks and asks would leave less for those who work. */
static void
session_doze(struct session *s)
{
	uint64_t now = clock_mono_ms();

	if (now - s->doze_ms > 3 * SESSION_DOZE_MS)
		s->dozes = 0;
	s->dozes++;
	s->doze_ms = now;
	s->dozing = true;
	conn_pause(s->conn);
}

/* ---------------------------------------------------------------- sending */

uint32_t
session_next_seq(struct session *s)
{
	return window_next_seq(&s->window);
}

int
session_send(struct session *s, const struct smpp_pdu *pdu)
{
	size_t room = SESSION_PDU_ROOM;
	int n;

	if (s->state != SESSION_OPEN)
		return 0;
	n = smpp_encode(pdu, conn_reserve(s->conn, room), room);
	if (n == SMPP_ENOSPACE) {
		room = SMPP_MAX_PDU;
		n = smpp_encode(pdu, conn_reserve(s->conn, room), room);
	}
	if (n < 0)
		return n;
	conn_commit(s->conn, (size_t)n);
	s->bytes_out += (size_t)n;
	if (s->ops->sent != NULL)
		s->ops->sent(s, pdu->command_id, pdu->command_status, s->arg);
	return 0;
}

/* A PDU of fixed fields: it always fits. */
static void
session_send_bare(
    struct session *s, uint32_t command, uint32_t status, uint32_t seq)
{
	struct smpp_pdu pdu;
	int rc;

	smpp_pdu_init(&pdu, command, status, seq);
	rc = session_send(s, &pdu);
	assert(rc == 0);
}

void
session_nack(struct session *s, uint32_t seq, uint32_t status)
{
	session_send_bare(s, (uint32_t)SMPP_GENERIC_NACK, status, seq);
}

void
session_answer(
    struct session *s, const struct smpp_pdu *request, uint32_t status)
{
	bool one_way = request->command_id == SMPP_OUTBIND ||
	    request->command_id == SMPP_ALERT_NOTIFICATION;

	if (!one_way)
		session_send_bare(s, request->command_id | SMPP_RESP, status,
		    request->sequence);
	else if (status != ESME_ROK)
		session_nack(s, request->sequence, status);
}

void
session_request(
    struct session *s, uint8_t *pdu, size_t len, void *what, uint32_t tag)
{
	uint32_t seq;

	assert(s->state == SESSION_OPEN && len >= SMPP_HEADER);
	seq = window_take(&s->window, what, tag, clock_mono_us());
	pdu[12] = (uint8_t)(seq >> 24);
	pdu[13] = (uint8_t)(seq >> 16);
	pdu[14] = (uint8_t)(seq >> 8);
	pdu[15] = (uint8_t)seq;
	conn_send(s->conn, pdu, len);
	s->bytes_out += len;
}

uint32_t
session_room(const struct session *s)
{
	if (s->state != SESSION_OPEN || conn_above_high(s->conn))
		return 0;
	return window_room(&s->window);
}

uint32_t
session_in_flight(const struct session *s)
{
	return s->window.in_flight;
}

uint64_t
session_oldest_ms(const struct session *s, uint64_t now_ms)
{
	const struct window_slot *oldest = window_oldest(&s->window);
	uint64_t sent;

	if (oldest == NULL)
		return 0;
	sent = oldest->sent_us / 1000;
	return now_ms > sent ? now_ms - sent : 0;
}

/* ---------------------------------------------------------------- closing */

static void
session_end(struct session *s, const char *reason)
{
	s->state = SESSION_CLOSING;
	s->reason = xstrdup(reason);
}

void
session_close(struct session *s, const char *reason)
{
	if (s->state != SESSION_CLOSING)
		session_end(s, reason);
	conn_close(s->conn);
}

void
session_close_flush(struct session *s, const char *reason)
{
	if (s->state == SESSION_CLOSING)
		return;
	session_end(s, reason);
	conn_close_flush(s->conn);
}

bool
session_closing(const struct session *s)
{
	return s->state == SESSION_CLOSING;
}

/* ----------------------------------------------------------------- timers */

void
session_probe(struct session *s)
{
	if (s->state != SESSION_OPEN || s->enquire_seq != 0)
		return;
	s->enquire_seq = window_next_seq(&s->window);
	s->enquire_at_ms = clock_mono_ms();
	session_send_bare(s, SMPP_ENQUIRE_LINK, ESME_ROK, s->enquire_seq);
}

void
session_hurry(struct session *s, bool hurried)
{
	s->hurried = hurried;
}

static uint64_t
session_partial_ms(const struct session *s)
{
	return s->hurried ? s->opts.partial_ms / SESSION_HURRY
			  : s->opts.partial_ms;
}

static uint64_t
session_last_read_ms(const struct session *s)
{
	uint64_t ms = conn_last_read(s->conn) / 1000;

	if (ms < s->resumed_ms)
		ms = s->resumed_ms;
	return ms > s->open_ms ? ms : s->open_ms;
}

void
session_tick(struct session *s, uint64_t now)
{
	uint64_t since;

	if (s->state != SESSION_OPEN)
		return;

	if (!conn_above_high(s->conn)) {
		s->above_high_ms = 0;
	} else if (s->above_high_ms == 0) {
		s->above_high_ms = now;
	} else if (now - s->above_high_ms >= SESSION_STUCK_MS) {
		session_close(s, "peer does not read");
		return;
	}
	if (s->dozing && now >= s->doze_ms + SESSION_DOZE_MS) {
		s->dozing = false;
		if (s->dozes < SESSION_DOZES_MAX)
			session_go_on(s);
		else
			session_close(
			    s, "enquire_link or malformed PDUs without end");
		return; /* now may be before the time that it reads again */
	}
	if (!session_reads(s))
		return;

	if (s->partial_ms != 0 &&
	    now - s->partial_ms >= session_partial_ms(s)) {
		session_close(s, "PDU begun and not completed");
		return;
	}
	if (s->partial_ms != 0 && now - s->partial_ms >= SESSION_SLOW_MS)
		conn_shrink(s->conn);

	/*
	 * Whatever comes in is a sign of life: a peer that is busy may have
	 * other PDUs before its answer.
	 */
	since = session_last_read_ms(s);
	if (s->enquire_seq != 0) {
		if (since < s->enquire_at_ms)
			since = s->enquire_at_ms;
		if (now >= since + s->opts.answer_ms)
			session_close(s, "enquire_link not answered");
	} else if (s->opts.enquire_ms != 0 &&
	    now >= since + s->opts.enquire_ms) {
		session_probe(s);
	}
}

/* -------------------------------------------------------------- receiving */

/* Counts a PDU that is malformed and closes when there are too many. */
static void
session_on_bad(
    struct session *s, const struct smpp_pdu *pdu, const struct smpp_why *why)
{
	static struct log_limit limit;
	uint64_t now = clock_mono_ms();
	char name[SMPP_NAME_MAX];

	if (now - s->bad_at_ms > SESSION_BAD_SPAN_MS)
		s->bad = 0;
	s->bad_at_ms = now;
	s->bad++;
	if (log_limit(&limit, 10))
		log_warn("smpp.bad_pdu",
		    "peer=%s command=0x%08x seq=%u field=%s reason=%s answer=%s count=%u",
		    conn_peer(s->conn), pdu->command_id, pdu->sequence,
		    why->field, why->reason, smpp_status_str(why->status, name),
		    s->bad);
	if (s->bad >= s->opts.max_bad)
		session_close_flush(s, "too many malformed PDUs");
}

static bool
session_is_answer(uint32_t command)
{
	switch ((enum smpp_command)command) {
	case SMPP_SUBMIT_SM_RESP:
	case SMPP_SUBMIT_MULTI_RESP:
	case SMPP_DELIVER_SM_RESP:
	case SMPP_DATA_SM_RESP:
	case SMPP_GENERIC_NACK:
		return true;
	default: /* any 32-bit number may come */
		return false;
	}
}

static void
session_on_pdu(struct session *s, const struct smpp_pdu *pdu)
{
	struct window_slot slot;

	if (session_is_answer(pdu->command_id) &&
	    window_answer(&s->window, pdu->sequence, &slot)) {
		s->ops->answer(s, &slot, pdu, s->arg);
		return;
	}
	if (pdu->command_id == SMPP_ENQUIRE_LINK) {
		session_answer(s, pdu, ESME_ROK);
		return;
	}
	if (s->enquire_seq != 0 && pdu->sequence == s->enquire_seq &&
	    (pdu->command_id == (uint32_t)SMPP_ENQUIRE_LINK_RESP ||
		pdu->command_id == (uint32_t)SMPP_GENERIC_NACK)) {
		s->enquire_seq = 0;
		return;
	}
	if (pdu->command_id == (uint32_t)SMPP_ENQUIRE_LINK_RESP)
		return;
	s->ops->pdu(s, pdu, s->arg);
}

/*
 * A response whose body is broken has told its status all the same.  To wait
 * on for another would be wrong, and so would sending the message again.
 */
static void
session_on_undecodable(
    struct session *s, struct smpp_pdu *pdu, const struct smpp_why *why)
{
	struct smpp_pdu bare;

	if ((pdu->command_id & SMPP_RESP) != 0) {
		smpp_pdu_init(
		    &bare, pdu->command_id, pdu->command_status, pdu->sequence);
		session_on_pdu(s, &bare);
	} else if (why->status == ESME_RINVCMDID ||
	    why->status == ESME_RINVCMDLEN) {
		session_nack(s, pdu->sequence, why->status);
	} else {
		session_answer(s, pdu, why->status);
	}
	/* A command that we do not know is not malformed. */
	if (why->status != ESME_RINVCMDID && s->state == SESSION_OPEN)
		session_on_bad(s, pdu, why);
}

static void
session_on_data(struct session *s)
{
	struct smpp_pdu pdu;
	struct smpp_why why;
	unsigned done = 0, idle = 0;
	bool good, useful;
	int n;

	/* Any PDU may close the session, fill the window of the peer, or make
	 * more for it than it reads: look every time round. */
	while (s->state == SESSION_OPEN && session_reads(s)) {
		if (done > 0 && done == s->opts.per_turn) {
			conn_yield(s->conn);
			break;
		}
		n = smpp_frame(
		    conn_data(s->conn), conn_len(s->conn), s->max_pdu);
		if (n == 0)
			break;
		if (n < 0) {
			session_nack(s, 0, ESME_RINVCMDLEN);
			session_close_flush(s, "command_length out of bounds");
			break;
		}
		good = smpp_decode(&pdu, conn_data(s->conn), (size_t)n,
			   s->opts.decode, &why) == SMPP_OK;
		if (good)
			session_on_pdu(s, &pdu);
		else
			session_on_undecodable(s, &pdu, &why);
		useful =
		    good && (pdu.command_id & ~SMPP_RESP) != SMPP_ENQUIRE_LINK;
		idle = useful ? 0 : idle + 1;
		if (idle > SESSION_IDLE_MAX && s->state == SESSION_OPEN)
			session_doze(s);
		conn_drop(s->conn, (size_t)n);
		s->bytes_in += (size_t)n;
		done++;
	}

	if (conn_len(s->conn) == 0)
		s->partial_ms = 0;
	else if (done > 0 || s->partial_ms == 0)
		s->partial_ms = clock_mono_ms();
	if (done > 0 && s->ops->batch != NULL)
		s->ops->batch(s, s->arg);
}

static void
session_on_writable(struct session *s)
{
	if (s->state != SESSION_OPEN)
		return;
	session_reads_again(s);
	if (session_reads(s) && conn_len(s->conn) > 0)
		session_on_data(s);
	if (s->state == SESSION_OPEN && s->ops->writable != NULL)
		s->ops->writable(s, s->arg);
}

static void
session_on_closed(struct session *s)
{
	struct window_slot slot;

	while (window_flush(&s->window, &slot))
		s->ops->lost(s, &slot, s->arg);
	s->ops->closed(s, s->reason == NULL ? "closed" : s->reason, s->arg);
	session_free(s);
}

static void
session_conn_cb(struct conn *c, enum conn_event ev, void *arg)
{
	struct session *s = arg;

	assert(s->conn == c);
	switch (ev) {
	case CONN_EV_CONNECTED:
		if (s->state != SESSION_CONNECTING)
			break;
		s->state = SESSION_OPEN;
		s->open_ms = clock_mono_ms();
		s->ops->connected(s, s->arg);
		break;
	case CONN_EV_DATA:
		session_on_data(s);
		break;
	case CONN_EV_WRITABLE:
		session_on_writable(s);
		break;
	case CONN_EV_EOF:
		session_close(s, "peer closed the connection");
		break;
	case CONN_EV_ERROR:
		session_close(s, conn_error_text(c));
		break;
	case CONN_EV_CLOSED:
		session_on_closed(s);
		break;
	}
}

/* ---------------------------------------------------------------- figures */

const char *
session_peer(const struct session *s)
{
	return conn_peer(s->conn);
}

bool
session_handshaking(const struct session *s)
{
	return conn_handshaking(s->conn);
}

bool
session_secure(const struct session *s)
{
	return conn_secure(s->conn);
}

const char *
session_show_tls(const struct session *s, char *dst, size_t cap)
{
	return conn_show_tls(s->conn, dst, cap);
}

uint64_t
session_bytes_in(const struct session *s)
{
	return s->bytes_in;
}

uint64_t
session_bytes_out(const struct session *s)
{
	return s->bytes_out;
}

unsigned
session_bad_pdus(const struct session *s)
{
	return s->bad;
}
