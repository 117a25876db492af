/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smppc/bind.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/smppc/deliver.h"
#include "boxes/smppc/link.h"
#include "boxes/smppc/submit.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/xalloc.h"

#define BIND_STEADY_MS    10000 /* a bind that lived this long was a success */
#define BIND_NEXT_HOST_MS 50

static const char *const bind_state_names[] = {
	[BIND_IDLE] = "idle",
	[BIND_CONNECTING] = "connecting",
	[BIND_BINDING] = "binding",
	[BIND_BOUND] = "bound",
	[BIND_LATE] = "late",
	[BIND_QUIET] = "quiet",
	[BIND_UNBINDING] = "unbinding",
	[BIND_CLOSING] = "closing",
	[BIND_STOPPED] = "stopped",
};

static const struct {
	const char *name, *prefix;
	uint32_t command;
} bind_kinds[] = {
	[BIND_TRANSCEIVER] = { "transceiver", "trx", SMPP_BIND_TRANSCEIVER },
	[BIND_TRANSMITTER] = { "transmitter", "tx", SMPP_BIND_TRANSMITTER },
	[BIND_RECEIVER] = { "receiver", "rx", SMPP_BIND_RECEIVER },
};

static void bind_enter_state(struct bind *, enum bind_state);
static void bind_connect(struct bind *);
static void bind_unbind(struct bind *);

const char *
bind_state_name(enum bind_state state)
{
	return bind_state_names[state];
}

const char *
bind_kind_name(enum bind_kind kind)
{
	return bind_kinds[kind].name;
}

struct bind *
bind_new(struct link *l, enum bind_kind kind, unsigned number)
{
	struct bind *b = xcalloc(1, sizeof(*b));

	b->link = l;
	b->kind = kind;
	b->number = number;
	snprintf(
	    b->name, sizeof(b->name), "%s%u", bind_kinds[kind].prefix, number);
	uv_timer_init(l->loop, &b->timer);
	b->timer.data = b;
	b->backoff_ms = l->profile->reconnect_ms;
	TAILQ_INIT(&b->started);
	TAILQ_INIT(&b->inbound);
	b->entered_ms = clock_mono_ms();
	return b;
}

static void
bind_close_cb(uv_handle_t *handle)
{
	free(handle->data);
}

void
bind_free(struct bind *b)
{
	uv_close((uv_handle_t *)&b->timer, bind_close_cb);
}

/* ----------------------------------------------------------------- states */

/* Ends the connection; the rest happens when the session says closed. */
static void
bind_close(struct bind *b, const char *why)
{
	if (b->state == BIND_CLOSING)
		return;
	session_close(b->session, why);
	bind_enter_state(b, BIND_CLOSING);
}

static void
bind_timer_cb(uv_timer_t *timer)
{
	struct bind *b = timer->data;

	switch (b->state) {
	case BIND_IDLE:
		bind_connect(b);
		break;
	case BIND_CONNECTING:
		bind_close(b,
		    session_handshaking(b->session)
			? "TLS: the handshake was not finished in time"
			: "connect timed out");
		break;
	case BIND_BINDING:
		bind_close(b, "bind was not answered in time");
		break;
	case BIND_QUIET:
		bind_unbind(b);
		break;
	case BIND_UNBINDING:
		bind_close(b, "unbind was not answered in time");
		break;
	case BIND_BOUND:
	case BIND_LATE:
	case BIND_CLOSING:
	case BIND_STOPPED:
		break;
	}
}

static void
bind_set_timer(struct bind *b, uint64_t ms)
{
	uv_update_time(b->link->loop);
	uv_timer_start(&b->timer, bind_timer_cb, ms, 0);
}

static void
bind_enter_state(struct bind *b, enum bind_state next)
{
	log_debug("bind.state", "bind=%s from=%s to=%s", b->name,
	    bind_state_names[b->state], bind_state_names[next]);
	b->state = next;
	b->entered_ms = clock_mono_ms();

	switch (next) {
	case BIND_CONNECTING:
	case BIND_BINDING:
		bind_set_timer(b, b->link->profile->connect_ms);
		break;
	case BIND_UNBINDING:
		bind_set_timer(b, b->link->profile->answer_ms);
		break;
	case BIND_BOUND:
	case BIND_CLOSING:
	case BIND_STOPPED:
		uv_timer_stop(&b->timer);
		break;
	case BIND_LATE:
		session_probe(b->session);
		break;
	case BIND_IDLE:  /* bind_start() sets the timer */
	case BIND_QUIET: /* bind_stop() does */
		break;
	}
	link_on_bind(b->link);
}

bool
bind_can_send(const struct bind *b)
{
	return b->kind != BIND_RECEIVER;
}

bool
bind_writable(const struct bind *b)
{
	return b->state == BIND_BOUND && bind_can_send(b) &&
	    !session_closing(b->session);
}

bool
bind_is_bound(const struct bind *b)
{
	return b->state == BIND_BOUND || b->state == BIND_LATE ||
	    b->state == BIND_QUIET;
}

/* ---------------------------------------------------------- time of retry */

void
bind_start(struct bind *b, uint64_t delay_ms)
{
	assert(b->session == NULL);
	b->rebind = false;
	b->wait_ms = delay_ms;
	bind_set_timer(b, delay_ms);
	bind_enter_state(b, BIND_IDLE);
}

/* x within 20 % either way, so that many binds do not come back in step. */
static uint64_t
bind_jitter(uint64_t ms)
{
	return ms - ms / 5 + (uint64_t)random() % (ms * 2 / 5 + 1);
}

/*
 * The connection has ended: when is the next, and where?  After one that was
 * good, the first host again after the shortest wait.  Else the next host at
 * once, and when all have been tried, a wait that doubles each time round.
 */
static uint64_t
bind_plan_retry(struct bind *b, uint64_t now)
{
	const struct profile *p = b->link->profile;
	uint64_t wait;

	if (b->rebind) {
		b->host = 0;
		return 0;
	}
	if (b->bound_ms != 0 && now - b->bound_ms >= BIND_STEADY_MS) {
		b->host = 0;
		b->backoff_ms = p->reconnect_ms;
	} else if (b->host + 1 < p->n_hosts) {
		b->host++;
		return BIND_NEXT_HOST_MS;
	} else {
		b->host = 0;
	}
	wait = bind_jitter(b->backoff_ms);
	b->backoff_ms *= 2;
	if (b->backoff_ms > p->reconnect_max_ms)
		b->backoff_ms = p->reconnect_max_ms;
	return wait;
}

/* --------------------------------------------------------- session events */

static void
bind_on_connected(struct session *s, void *arg)
{
	struct bind *b = arg;
	const struct profile *p = b->link->profile;
	struct smpp_pdu pdu;

	if (b->state != BIND_CONNECTING)
		return;
	b->login_seq = session_next_seq(s);
	smpp_pdu_init(
	    &pdu, bind_kinds[b->kind].command, ESME_ROK, b->login_seq);
	pdu.system_id = bytes_str(p->system_id);
	pdu.password = bytes_str(p->password);
	pdu.system_type = bytes_str(p->system_type);
	pdu.address_range = bytes_str(p->address_range);
	pdu.interface_version = p->interface_version;
	if (session_send(s, &pdu) != 0) {
		bind_close(
		    b, "bind cannot be encoded, see system_id, password");
		return;
	}
	bind_enter_state(b, BIND_BINDING);
}

static void
bind_on_bound(struct bind *b)
{
	char tls[80];

	b->bound_ms = clock_mono_ms();
	pace_reset(&b->pace);
	session_bound(b->session);
	log_info("link.bound", "bind=%s host=%s peer=%s tls=%s window=%u",
	    b->name, b->link->profile->host[b->host], session_peer(b->session),
	    session_show_tls(b->session, tls, sizeof(tls)),
	    b->link->profile->window);
	bind_enter_state(b, BIND_BOUND);
}

static const char *
bind_hint(uint32_t status)
{
	switch ((enum smpp_status)status) {
	case ESME_RINVPASWD:
		return "check password of this box; the next try comes anyway";
	case ESME_RINVSYSID:
		return "check system_id of this box; the next try comes anyway";
	case ESME_RINVSYSTYP:
		return "check system_type of this box";
	case ESME_RALYBND:
		return "the carrier still holds an older session, or allows fewer than `sessions`";
	case ESME_RINVCMDID:
		return "the carrier does not know this kind of bind; try bind = \"separate\"";
	case ESME_RBINDFAIL:
		return "check system_id, password, source address and number of sessions with the carrier";
	default:
		return "ask the carrier";
	}
}

static void
bind_on_refused(struct bind *b, uint32_t status)
{
	char name[SMPP_NAME_MAX], why[64];

	snprintf(why, sizeof(why), "bind refused: %s",
	    smpp_status_str(status, name));
	log_warn("link.refused", "bind=%s host=%s status=%s hint=%s", b->name,
	    b->link->profile->host[b->host], smpp_status_str(status, name),
	    bind_hint(status));
	bind_close(b, why);
}

static void
bind_on_unexpected(struct bind *b, const struct smpp_pdu *pdu)
{
	static struct log_limit limit;
	char name[SMPP_NAME_MAX];

	b->n_unexpected++;
	if (log_limit(&limit, 5))
		log_warn("link.unexpected",
		    "bind=%s command=0x%08x seq=%u status=%s", b->name,
		    pdu->command_id, pdu->sequence,
		    smpp_status_str(pdu->command_status, name));
}

static void
bind_on_response(struct bind *b, const struct smpp_pdu *pdu)
{
	bool nack = pdu->command_id == (uint32_t)SMPP_GENERIC_NACK;

	if (b->state == BIND_BINDING && pdu->sequence == b->login_seq &&
	    (nack ||
		pdu->command_id == (bind_kinds[b->kind].command | SMPP_RESP))) {
		if (nack || pdu->command_status != ESME_ROK)
			bind_on_refused(b, pdu->command_status);
		else
			bind_on_bound(b);
	} else if (b->state == BIND_UNBINDING &&
	    pdu->sequence == b->login_seq &&
	    (nack || pdu->command_id == (uint32_t)SMPP_UNBIND_RESP)) {
		bind_close(b, "unbound");
	} else {
		bind_on_unexpected(b, pdu);
	}
}

static void
bind_on_pdu(struct session *s, const struct smpp_pdu *pdu, void *arg)
{
	struct bind *b = arg;

	if ((pdu->command_id & SMPP_RESP) != 0) {
		bind_on_response(b, pdu);
		return;
	}
	switch ((enum smpp_command)pdu->command_id) {
	case SMPP_DELIVER_SM:
	case SMPP_DATA_SM:
		if (b->bound_ms != 0)
			deliver_on_pdu(b, pdu);
		else
			session_answer(s, pdu, ESME_RINVBNDSTS);
		break;
	case SMPP_UNBIND:
		session_answer(s, pdu, ESME_ROK);
		session_close_flush(s, "unbound by the SMSC");
		bind_enter_state(b, BIND_CLOSING);
		break;
	case SMPP_ALERT_NOTIFICATION: /* has no answer, and no use here */
	case SMPP_OUTBIND:
		break;
	default: /* a request that makes no sense towards an ESME */
		b->n_unexpected++;
		session_nack(s, pdu->sequence, ESME_RINVCMDID);
		break;
	}
}

static void
bind_on_answer(struct session *s, const struct window_slot *slot,
    const struct smpp_pdu *pdu, void *arg)
{
	struct bind *b = arg;
	uint64_t rtt = clock_mono_us() - slot->sent_us;

	(void)s;
	if (rtt > UINT32_MAX)
		rtt = UINT32_MAX;
	b->rtt_us = b->rtt_us == 0
	    ? (uint32_t)rtt
	    : (uint32_t)(((uint64_t)b->rtt_us * 7 + rtt) / 8);
	submit_on_answer(b, slot, pdu, (uint32_t)rtt);
}

static void
bind_on_batch(struct session *s, void *arg)
{
	struct bind *b = arg;

	(void)s;
	link_pump(b->link);
}

static void
bind_on_lost(struct session *s, const struct window_slot *slot, void *arg)
{
	(void)s;
	submit_on_lost(arg, slot);
}

static void
bind_on_closed(struct session *s, const char *reason, void *arg)
{
	struct bind *b = arg;
	struct link *l = b->link;
	uint64_t now = clock_mono_ms(), wait;

	snprintf(b->why, sizeof(b->why), "%s", reason);
	l->meter.bytes_in.value += session_bytes_in(s);
	l->meter.bytes_out.value += session_bytes_out(s);
	l->meter.reconnects.value++;
	b->session = NULL;
	pace_reset(&b->pace);
	submit_on_closed(b);
	deliver_on_closed(b);

	if (l->state >= LINK_DRAINING || b->retired) {
		b->bound_ms = 0;
		bind_enter_state(b, BIND_STOPPED);
		return;
	}
	wait = bind_plan_retry(b, now);
	log_warn("link.closed", "bind=%s peer=%s reason=%s next_ms=%llu",
	    b->name, session_peer(s), reason, (unsigned long long)wait);
	b->bound_ms = 0;
	bind_start(b, wait);
}

static const struct session_ops bind_session_ops = {
	.connected = bind_on_connected,
	.answer = bind_on_answer,
	.pdu = bind_on_pdu,
	.batch = bind_on_batch,
	.lost = bind_on_lost,
	.closed = bind_on_closed,
};

/* --------------------------------------------------- connecting and leaving */

static void
bind_connect(struct bind *b)
{
	const struct profile *p = b->link->profile;
	const struct session_opts opts = {
		.window = p->window,
		.enquire_ms = p->enquire_ms,
		.answer_ms = p->answer_ms,
		.partial_ms = p->answer_ms,
		.decode = SMPP_LENIENT,
		.local = p->our_host,
		.tls = p->tls,
	};

	/* A reload may have left fewer hosts. */
	if (b->host >= p->n_hosts)
		b->host = 0;
	assert(b->session == NULL);
	b->session = session_connect(
	    b->link->loop, p->host[b->host], &opts, &bind_session_ops, b);
	if (b->session == NULL) {
		snprintf(b->why, sizeof(b->why), "host is no address: %s",
		    p->host[b->host]);
		log_error("link.bad_host", "bind=%s host=%s hint=%s", b->name,
		    p->host[b->host], "write host:port");
		bind_start(b, bind_plan_retry(b, clock_mono_ms()));
		return;
	}
	b->n_connects++;
	bind_enter_state(b, BIND_CONNECTING);
}

static void
bind_unbind(struct bind *b)
{
	struct smpp_pdu pdu;
	int rc;

	b->login_seq = session_next_seq(b->session);
	smpp_pdu_init(&pdu, SMPP_UNBIND, ESME_ROK, b->login_seq);
	rc = session_send(b->session, &pdu);
	assert(rc == 0);
	bind_enter_state(b, BIND_UNBINDING);
}

void
bind_stop(struct bind *b, uint64_t wait_ms, bool rebind, const char *why)
{
	b->rebind = rebind;
	switch (b->state) {
	case BIND_IDLE:
		if (rebind) {
			b->host = 0;
			bind_start(b, 0);
		} else {
			bind_enter_state(b, BIND_STOPPED);
		}
		break;
	case BIND_CONNECTING:
	case BIND_BINDING:
		bind_close(b, why);
		break;
	case BIND_BOUND:
	case BIND_LATE:
		bind_set_timer(b, wait_ms);
		bind_enter_state(b, BIND_QUIET);
		break;
	case BIND_QUIET:
	case BIND_UNBINDING:
	case BIND_CLOSING:
	case BIND_STOPPED:
		break;
	}
}

/* ----------------------------------------------------------------- timers */

/* nothing is given up while the bind lives, but it gets nothing new. */
static void
bind_watch_answers(struct bind *b, uint64_t now)
{
	const struct profile *p = b->link->profile;
	uint64_t oldest = session_oldest_ms(b->session, now);

	if (b->state == BIND_BOUND && oldest > p->response_ms) {
		log_warn("link.late",
		    "bind=%s waiting_ms=%llu unanswered=%u action=%s", b->name,
		    (unsigned long long)oldest, session_in_flight(b->session),
		    "no new messages on this bind");
		bind_enter_state(b, BIND_LATE);
	} else if (b->state == BIND_LATE && oldest <= p->response_ms) {
		log_info("link.late_over", "bind=%s", b->name);
		bind_enter_state(b, BIND_BOUND);
	} else if (b->state == BIND_LATE && oldest > p->late_ms) {
		log_warn("link.unanswered", "bind=%s unanswered=%u action=%s",
		    b->name, session_in_flight(b->session),
		    "unbind; their outcome is unknown");
		bind_unbind(b);
	}
}

void
bind_tick(struct bind *b, uint64_t now)
{
	if (b->session == NULL)
		return;
	session_tick(b->session, now);
	if (session_closing(b->session)) {
		if (b->state != BIND_CLOSING)
			bind_enter_state(b, BIND_CLOSING);
		return;
	}
	if (b->state == BIND_BOUND || b->state == BIND_LATE)
		bind_watch_answers(b, now);
	else if (b->state == BIND_QUIET && b->n_inbound == 0 &&
	    session_in_flight(b->session) == 0)
		bind_unbind(b);
	deliver_tick(b, now);
}

/* ------------------------------------------------------------------- rate */

uint32_t
bind_room(const struct bind *b)
{
	uint32_t room;

	if (!bind_writable(b))
		return 0;
	room = pace_soon(&b->pace, session_room(b->session));
	if (b->rtt_us < SPREAD_RTT_US)
		return room;
	return spread_soon(&b->spread, b->rtt_us, b->link->profile->window,
	    room, clock_mono_us());
}

void
bind_congested(struct bind *b, unsigned percent, uint64_t now)
{
	if (!pace_on_congestion(&b->pace, percent, now))
		return;
	log_info("link.congested", "bind=%s percent=%u rate=%u", b->name,
	    percent, (unsigned)b->pace.rate);
	link_on_bind(b->link);
}

void
bind_throttle(struct bind *b, uint64_t now)
{
	if (!pace_on_throttled(&b->pace, now))
		return;
	log_info("link.throttled", "bind=%s rate=%u", b->name,
	    (unsigned)b->pace.rate);
	link_on_bind(b->link);
}

/* ------------------------------------------------------------------- show */

void
bind_show(const struct bind *b, struct json *j)
{
	const struct profile *p = b->link->profile;
	uint64_t now = clock_mono_ms();
	char tls[80];

	json_open_object(j, NULL);
	json_str(j, "bind", b->name);
	json_str(j, "mode", bind_kind_name(b->kind));
	json_str(j, "state", bind_state_name(b->state));
	json_uint(j, "since_ms", now - b->entered_ms);
	json_str(j, "host", p->host[b->host < p->n_hosts ? b->host : 0]);
	json_str(
	    j, "peer", b->session == NULL ? NULL : session_peer(b->session));
	json_str(j, "tls",
	    b->session == NULL
		? NULL
		: session_show_tls(b->session, tls, sizeof(tls)));
	json_str(j, "last_close", b->why[0] == '\0' ? NULL : b->why);
	json_uint(j, "window", p->window);
	json_uint(j, "in_flight",
	    b->session == NULL ? 0 : session_in_flight(b->session));
	json_uint(j, "oldest_ms",
	    b->session == NULL ? 0 : session_oldest_ms(b->session, now));
	json_uint(j, "rtt_us", b->rtt_us);
	json_uint(j, "rate_limit", (uint64_t)b->pace.rate);
	json_uint(j, "connects", b->n_connects);
	json_uint(j, "submitted", b->n_submitted);
	json_uint(j, "ok", b->n_ok);
	json_uint(j, "refused", b->n_refused);
	json_uint(j, "throttled", b->n_throttled);
	json_uint(j, "receipts", b->n_receipts);
	json_uint(j, "mo", b->n_mo);
	json_uint(j, "inbound_unanswered", b->n_inbound);
	json_uint(j, "unexpected_pdus", b->n_unexpected);
	json_uint(j, "bad_pdus",
	    b->session == NULL ? 0 : session_bad_pdus(b->session));
	json_close_object(j);
}
