/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * esme.h - one connection of a customer: its state, what it may send in it,
 * its time-outs.
 *
 * Owned by the server's list; frees itself when its session reports closed().
 * Whoever waits for the bus on its behalf keeps `number` and looks it up in
 * server->by_id.
 *
 * Which PDU is in order in which state is one table in esme.c (SMPP 3.4, 2.2
 * and 2.3); what is not gets ESME_RINVBNDSTS in its own response.
 *
 * A session stays in its customer's list until it is closed, as answers may
 * come until then.
 */
#ifndef SMPPS_ESME_H
#define SMPPS_ESME_H

#include <stdbool.h>
#include <stdint.h>

#include "boxes/smpp/session.h"
#include "common/queue.h"
#include "proto/segment.h"
#include "proto/smpp_pdu.h"

struct conn;
struct customer;
struct origin;
struct server;

enum esme_state {
	ESME_STATE_OPEN = 0,  /* connected, no bind yet */
	ESME_STATE_BINDING,   /* a bind waits for its verdict */
	ESME_STATE_BOUND_TX,  /* it submits */
	ESME_STATE_BOUND_RX,  /* it is delivered to */
	ESME_STATE_BOUND_TRX, /* both */
	ESME_STATE_UNBINDING, /* we have sent unbind; only answers are taken */
	ESME_STATE_CLOSED,    /* its session is being closed */
};

/* How message_id is written towards a customer. */
enum esme_id_form {
	ESME_ID_UUID = 0, /* 36 characters */
	ESME_ID_HEX,      /* 32 hexadecimal digits */
	ESME_ID_DEC,      /* up to 39 decimal digits */
};
#define ESME_ID_MAX 40 /* the longest, with its NUL */

struct esme {
	struct server *server;
	uint64_t number;         /* "esme=%llu" in every log line */
	struct session *session; /* owned */
	enum esme_state state;   /* written only by esme_enter_state() */
	bool tls;
	bool leaving;      /* to be unbound when what is in hand is answered;
			 * by us, unless unbind_waits */
	bool unbind_waits; /* for what it has asked before */
	bool unchecked; /* its account may have changed: in server->unchecked */
	char source[64];       /* the client's address, without port */
	struct origin *origin; /* counts it while it is not bound */

	/* From OPEN on; of the account as it was at the bind. */
	struct customer *customer; /* NULL until bound */
	char system_id[17];
	char credential[32];       /* "smpp:demo"; no secret */
	uint8_t interface_version; /* 0x33, 0x34 or 0x50 */
	uint32_t bind_command;     /* SMPP_BIND_... */
	enum esme_id_form id_form;
	enum segment_charset charset;
	unsigned max_parts;
	char *default_from; /* or NULL */
	uint32_t window;    /* either way */

	uint32_t requests; /* of its own that we have not answered */
	uint32_t extra;    /* messages of these beyond one a request */
	uint32_t *pending; /* their numbers; as many as the window */
	uint64_t since_ms; /* of the state */
	uint64_t bound_at; /* wall ms */
	uint64_t n_submits, n_delivers, n_refused;

	/* deliver.c: requests of ours that it has not answered. */
	uint32_t overdue;     /* of them those whose item was given back */
	uint64_t answered_ms; /* the latest answer, or since when one is due */
	uint64_t paused_ms;   /* it has enough: nothing new before; 0: none */
	unsigned throttled; /* answers that said so, since the last good one */

	uint32_t unbind_seq; /* of our unbind; or of its own, which waits */
	size_t asked_bytes;  /* query.c: what is kept of its questions */

	TAILQ_ENTRY(esme) link;          /* server->esmes */
	TAILQ_ENTRY(esme) open_link;     /* server->open */
	TAILQ_ENTRY(esme) customer_link; /* customer->binds */
	TAILQ_ENTRY(esme) check_link;    /* server->unchecked */
};

TAILQ_HEAD(esme_list, esme);

/* Takes an accepted connection (TLS done or under way); closes it at once when
 * there are too many. */
void esme_accept(struct server *, struct conn *, bool tls);
/* Unbind and close; at once when it is not bound. */
void esme_unbind(struct esme *, const char *why);
void esme_close(struct esme *, const char *why);
/* Takes no new messages; unbinds when what is in hand has been answered. */
void esme_leave(struct esme *, const char *why);
/* Time-outs; once a second. */
void esme_tick(struct esme *, uint64_t now_ms);

struct esme *esme_find(const struct server *, uint64_t number);
static inline bool
esme_is_bound(const struct esme *e)
{
	return e->state >= ESME_STATE_BOUND_TX &&
	    e->state <= ESME_STATE_BOUND_TRX;
}
/* May it be sent a deliver_sm?  session_room() says how many. */
static inline bool
esme_may_receive(const struct esme *e)
{
	return !e->leaving &&
	    (e->state == ESME_STATE_BOUND_RX ||
		e->state == ESME_STATE_BOUND_TRX);
}

/*
 * Of login.c: a bind waits for its verdict; the answer leaves, and the session
 * is bound, or closed behind it.
 */
struct login;
void esme_begin_bind(struct esme *);
void esme_bound(struct esme *, const struct login *);
void esme_refuse(
    struct esme *, const struct login *, uint32_t status, const char *why);

/*
 * A request that will be answered later begins: counts it against the window.
 * At the window's size reading stops (session_pause()), so that an ESME that
 * ignores its window is slowed by TCP.  esme_request_done() ends it, after its
 * answer was sent; until then no other request may have its sequence number.
 *
 * A submit_multi is many messages: few of them fill the window as well, lest
 * one customer has all of what may be on its way to the bus.
 */
void esme_request_begin(struct esme *, uint32_t sequence, uint32_t messages);
void esme_request_done(struct esme *, uint32_t sequence, uint32_t messages);

/* Our id in the form of this customer; dst is returned. */
char *esme_write_id(
    enum esme_id_form, const uint8_t id[16], char dst[ESME_ID_MAX]);
/* The other way, in whichever form it came; false: not an id of ours. */
bool esme_read_id(struct bytes, uint8_t id[16]);

const char *esme_state_name(enum esme_state);
/* "transmitter", of a session that is or was bound. */
const char *esme_role(const struct esme *);

#endif
