/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * peer.h - one connection to the bus: a box or an operator's tool.
 *
 * Born in broker.c on accept, in the broker's table all its life, frees itself
 * when the connection reports CONN_EV_CLOSED.  Others keep its id and look it
 * up.  Reads frames, checks the Hello and what the role may send, and keeps
 * the numbers both ways; what a frame means is the broker's business.
 */
#ifndef CORE_PEER_H
#define CORE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/queue.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct broker;
struct conn;
struct target;

enum peer_state {
	PEER_HELLO = 0, /* accepted, its Hello is due */
	PEER_GREETED,   /* its Hello is good, the Welcome waits */
	PEER_READY,     /* welcomed; in the table by name */
	PEER_CLOSING,   /* conn_close() called; only CLOSED may follow */
};

enum peer_role {
	ROLE_NONE = 0,
	ROLE_FRONT,
	ROLE_CONNECTOR,
	ROLE_HOOK,
	ROLE_SERVER,
	ROLE_STORE,
	ROLE_FILTER,
	ROLE_CONTROL,
	ROLE_SETUP, /* a box that has no configuration yet */
};

/* One item of the peer's that is not settled yet. */
struct peer_item {
	uint32_t bytes;
	bool done;
	bool result; /* of something that was delivered */
};

struct peer {
	struct broker *broker;
	struct conn *conn;
	enum peer_state state; /* written only by peer_enter_state() */
	enum peer_role role;
	uint32_t id;
	bool control;   /* came in by the control socket, or might have */
	bool remote;    /* came in by the gate: TLS, from another host */
	bool elsewhere; /* it looks for the bus that has the cell */
	bool setup;     /* only wants its configuration */
	bool dirty;     /* the broker will flush it */
	bool survived;  /* the process knew a bus before this one */
	bool leaving;   /* it ends, and its name is for its successor */
	char name[64];
	char type[32];
	char version[32];
	char host[64];
	uint8_t instance[16];
	uint32_t pid;
	uint64_t since;        /* mono ms, of the state */
	struct target *target; /* connectors, hooks and servers */

	/* From the peer: its numbered items. */
	uint64_t last_number;
	uint64_t settled;   /* all up to here are settled */
	uint64_t told;      /* upto of the last Ack */
	uint64_t ack_since; /* mono ms, of one that waits for company; or 0 */
	struct peer_item *ring;
	size_t ring_cap;
	uint64_t settled_bytes, received_bytes;
	uint64_t granted_items, granted_bytes;
	struct buf exceptions; /* packed Ack.exception fields */
	uint32_t exception_count;

	/* To the peer. */
	uint64_t next_number;
	struct buf out; /* item fields of the next DELIVER or FILTER */
	uint32_t out_count;

	/* What the store grants us. */
	uint64_t credit_items, credit_bytes, sent_items, sent_bytes;

	uint64_t frames_in, frames_out;
	uint64_t pinged_at;
	uint64_t probed_at; /* mono ms of the last PING */
	uint64_t probe;     /* its correlation: mono us; 0: answered */
	uint32_t rtt_us;    /* of the last that was answered; 0: none yet */
	/* What it says of itself in PONG; 0: it does not. */
	uint64_t memory, cpu_ms, cert_at;
	uint32_t cpu_permille; /* between the last two */
	uint64_t cpu_at;       /* mono ms */
	uint64_t config;       /* hash of what it has */
	uint64_t config_sent, config_wanted;
	TAILQ_ENTRY(peer) link;
};

/* It takes messages from customers. */
static inline bool
peer_is_front(const struct peer *p)
{
	return p->role == ROLE_FRONT || p->role == ROLE_SERVER;
}

/* Takes conn. */
struct peer *peer_new(struct broker *, struct conn *, bool control);
/* Start closing.  Safe in every state and from every callback. */
void peer_close(struct peer *, const char *reason);
/* The same after what is in the buffer has left. */
void peer_close_flush(struct peer *, const char *reason);

void peer_send(struct peer *, uint16_t type, uint64_t correlation,
    const ProtobufCMessage *);
void peer_nak(struct peer *, Hopyard__V1__Nak__Code, const struct frame *,
    const char *text);

/* One more item of DELIVER, for a filter of FILTER; leaves with peer_flush(). */
void peer_deliver(struct peer *, const struct item *);
/* An item of the peer's is settled; leaves with peer_flush(). */
void peer_settle(
    struct peer *, uint64_t number, Hopyard__V1__Ack__Code, const char *text);
/* In PEER_GREETED: welcome it if it is time. */
void peer_greet(struct peer *);
/*
 * An ack of results alone wakes a connector for nothing: it waits some time for
 * an item that goes to the same box.  True once it has waited enough.
 */
bool peer_ack_is_due(const struct peer *, uint64_t now_ms);
/* Send what has gathered: items, acks, credit. */
void peer_flush(struct peer *, bool grant);

#endif
