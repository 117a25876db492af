/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client.h - one HTTP/1.1 connection to a customer's server: one request at a
 * time, and between two of them it waits in the pool.
 *
 * client_close() may be called from anywhere but only once; no event follows,
 * and the memory goes when the connection is gone.
 */
#ifndef HOOK_CLIENT_H
#define HOOK_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/attr.h"
#include "common/queue.h"

struct answer;
struct client;
struct conn;
struct place;
struct sockaddr;
struct tls_config;

enum client_state {
	CLIENT_CONNECTING = 0,
	CLIENT_IDLE,   /* connected; whatever comes now is its end */
	CLIENT_ASKING, /* a request is under way */
	CLIENT_CLOSED, /* client_close() called */
};

enum client_event {
	CLIENT_EV_CONNECTED, /* idle now */
	CLIENT_EV_ANSWERED,  /* the answer is over: it is idle, or `worn` */
	CLIENT_EV_FAILED,    /* in any state; close it */
};

typedef void client_cb(struct client *, enum client_event, void *arg);

struct client {
	struct conn *conn;
	enum client_state state; /* written only by client_enter_state() */
	client_cb *cb;
	void *arg;             /* changes from one request to the next */
	struct answer *answer; /* ASKING: borrowed */
	unsigned *count;       /* of connections that are not gone */
	bool fresh;            /* no answer yet */
	bool worn;             /* not to be used again */
	bool tls_failed;       /* FAILED: it was the handshake */
	const char *error;     /* FAILED: why; until it is closed */
	/* Of the pool. */
	struct place *place;
	uint64_t born_ms;
	uint64_t idle_ms;
	TAILQ_ENTRY(client) link; /* of the place's idle ones */
	TAILQ_ENTRY(client) all;  /* of all idle ones */
};

TAILQ_HEAD(clients, client);

/* Connects to this address and no other.  host: for TLS; tls: NULL without.
 * count goes up now, and down when the memory is free. */
struct client *client_open(uv_loop_t *, const struct sockaddr *,
    const char *host, struct tls_config *, uint64_t greet_ms, unsigned *count);
void client_set_cb(struct client *, client_cb *, void *arg);

/*
 * IDLE only: room for a request of up to n octets; client_ask() sends what was
 * written of it.  The answer has been reset and is filled in until ANSWERED or
 * FAILED.
 */
char *client_reserve(struct client *, size_t n) WARN_UNUSED;
void client_ask(struct client *, size_t n, struct answer *);

/* FAILED while ASKING: the server had closed a kept connection, perhaps before
 * it saw the request. */
bool client_was_stale(const struct client *);
void client_close(struct client *);

#endif
