/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bind.h - one SMPP session with the carrier, over all its reconnects.
 *
 * Never two sockets: the next connection is begun only after CONN_EV_CLOSED of
 * the one before.  Never gives up: the wait doubles up to the configured
 * maximum, also after a wrong password.  The slots of the window are freed by
 * answers and by the end of the connection, by nothing else.
 *
 * Owned by its link, which frees it once it is STOPPED.
 */
#ifndef BOXES_SMPPC_BIND_H
#define BOXES_SMPPC_BIND_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "boxes/smpp/session.h"
#include "boxes/smppc/pace.h"
#include "boxes/smppc/spread.h"
#include "common/queue.h"

struct inbound;
struct json;
struct link;
struct message;

TAILQ_HEAD(message_list, message);
TAILQ_HEAD(inbound_list, inbound);

enum bind_kind {
	BIND_TRANSCEIVER = 0,
	BIND_TRANSMITTER,
	BIND_RECEIVER,
};

enum bind_state {
	BIND_IDLE = 0,   /* no socket; the timer says when the next one comes */
	BIND_CONNECTING, /* socket under way */
	BIND_BINDING,    /* bind sent, no answer yet */
	BIND_BOUND,      /* messages flow */
	BIND_LATE,       /* an answer is overdue: nothing new is written */
	BIND_QUIET,      /* to be unbound: waits for the last answers */
	BIND_UNBINDING,  /* unbind sent, no answer yet */
	BIND_CLOSING,    /* waits for the socket to be gone */
	BIND_STOPPED,    /* no socket and no more to come: drain */
};

struct bind {
	struct link *link;
	enum bind_kind kind;
	unsigned number;         /* of its kind, from 1 */
	char name[16];           /* "trx1" */
	enum bind_state state;   /* written only by bind_enter_state() */
	struct session *session; /* owned; NULL in IDLE and STOPPED */
	uv_timer_t timer;    /* next try; or end of CONNECTING to UNBINDING */
	uint64_t entered_ms; /* when the state was entered */
	uint64_t bound_ms;   /* when it was bound last; 0: not this time */
	uint64_t backoff_ms, wait_ms; /* the next wait, the one in IDLE */
	size_t host;        /* index of the host that is tried or bound */
	uint32_t login_seq; /* of our bind or unbind */
	bool rebind;        /* the next try comes at once */
	bool retired;       /* no longer configured: stops for good */
	char why[160];      /* end of the last connection, for people */

	/* Messages with parts still to write, that must come on this bind. */
	struct message_list started;

	struct pace pace;
	struct spread spread;

	struct inbound_list inbound; /* unanswered deliver_sm, oldest first */
	unsigned n_inbound;

	uint64_t n_submitted, n_ok, n_refused, n_throttled, n_receipts, n_mo;
	uint64_t n_connects, n_unexpected;
	uint32_t rtt_us; /* smoothed, 1/8 */
};

struct bind *bind_new(struct link *, enum bind_kind, unsigned number);
/* When STOPPED, or after the loop has ended. */
void bind_free(struct bind *);

/* Begin, `delay_ms` from now. */
void bind_start(struct bind *, uint64_t delay_ms);
/*
 * Unbind as soon as the last answers are there, at the latest after wait_ms;
 * then bind again (rebind) or stop.
 */
void bind_stop(struct bind *, uint64_t wait_ms, bool rebind, const char *why);
/* Time-outs, the answer that is overdue, the rate on its way back. */
void bind_tick(struct bind *, uint64_t now_ms);

/* Can carry messages at all / is able to now. */
bool bind_can_send(const struct bind *);
bool bind_writable(const struct bind *);
/* Free slots, as far as the rate lets them be used soon. */
uint32_t bind_room(const struct bind *);
/* Has a connection on which the peer has accepted our bind. */
bool bind_is_bound(const struct bind *);

/* congestion_state of an answer: slow down in time. */
void bind_congested(struct bind *, unsigned percent, uint64_t now_ms);
/* The carrier refused for its limits: slow down. */
void bind_throttle(struct bind *, uint64_t now_ms);

const char *bind_state_name(enum bind_state);
const char *bind_kind_name(enum bind_kind);
void bind_show(const struct bind *, struct json *);

#endif
