/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smsc_session.h - one connection of an ESME, the SMSC's side.  Born on
 * accept, frees itself when the connection has reported CONN_EV_CLOSED.
 */
#ifndef HOPSIM_SMSC_SESSION_H
#define HOPSIM_SMSC_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/queue.h"
#include "tools/hopsim/agenda.h"

struct account;
struct conn;
struct owed;
struct smsc;

enum session_state {
	SESSION_OPEN = 0, /* connected, waiting for a bind */
	SESSION_BOUND,    /* account and roles are set */
	SESSION_CLOSING,  /* in no list but the simulator's, holds nothing */
};

#define SESSION_FLIGHT 1024 /* most deliver_sm without an answer */

/* A response that waits for its --latency. */
struct reply {
	struct agenda_entry due;
	TAILQ_ENTRY(reply) link;
	struct session *session;
	size_t len;
	uint8_t pdu[64];
};
TAILQ_HEAD(reply_list, reply);
TAILQ_HEAD(flight_list, owed);

struct session {
	TAILQ_ENTRY(session) link;
	TAILQ_ENTRY(session) receiver_link;
	enum session_state state;
	struct smsc *smsc;
	struct conn *conn;
	struct account *account;
	uint64_t bind; /* its number in the journal */
	uint64_t opened_ms, heard_ms;
	uint64_t submits;
	uint8_t version;
	bool transmits, receives;
	uint32_t sequence;
	uint32_t in_flight, late; /* deliver_sm; responses that wait */
	struct reply_list replies;
	struct flight_list flight;         /* oldest first */
	struct owed *slot[SESSION_FLIGHT]; /* by sequence number */
};
TAILQ_HEAD(session_list, session);

/* Takes conn. */
void session_new(struct smsc *, struct conn *);
void session_close(struct session *, const char *reason);

/* Send a PDU now or after delay_ms; len is at most 64. */
void session_reply(
    struct session *, const void *pdu, size_t len, uint32_t delay_ms);
/* A response that has nothing but a header. */
void session_answer(
    struct session *, uint32_t command, uint32_t status, uint32_t sequence);
/* The agenda says that this response is due. */
void session_reply_due(struct reply *);

bool session_can_deliver(const struct session *);
/* Takes the delivery and sends it. */
void session_deliver(struct session *, struct owed *);
/* Once a second: deliveries without an answer, binds that do not come. */
void session_check(struct session *);

#endif
