/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * server.h - the SMPP server as a whole: one of these in a process.  It owns
 * the listeners, the box's side of each bus and the lists of sessions and
 * customers; everybody else borrows it.
 */
#ifndef SMPPS_SERVER_H
#define SMPPS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "boxes/smpps/cell.h"
#include "boxes/smpps/customer.h"
#include "boxes/smpps/esme.h"
#include "boxes/smpps/login.h"
#include "common/attr.h"
#include "common/expiry.h"
#include "common/map.h"
#include "common/turn.h"

struct accounts;
struct auth;
struct buf;
struct conf_group;
struct daemon;
struct listener;
struct network;
struct tls_config;

#define SERVER_LISTENERS  64
#define SERVER_DRAIN_MS   30000
#define SERVER_MAX_WINDOW 1000 /* of an account */

struct server {
	struct daemon *daemon;
	uv_loop_t *loop;
	struct cell *cell; /* our own first, as in accounts */
	unsigned cells;
	struct accounts *accounts;
	struct auth *auth;
	struct turn *loop_turn;
	uv_timer_t tick;    /* once a second, over all sessions */
	uv_timer_t pace;    /* unbinds while draining */
	uv_prepare_t ready; /* grants credit, ends a drain */
	struct listener *listener[SERVER_LISTENERS];
	size_t listeners;
	size_t clear; /* the first so many listen without TLS */
	/* Mono ms: not before, unless the bus is there: while the process that
	 * we succeed still has our name; 0: we listen. */
	uint64_t listen_ms;

	struct tls_config *tls; /* NULL without tls_listen */
	struct expiry certificate;
	struct network *proxies; /* that name their clients */
	size_t n_proxies;

	/* Of the configuration. */
	char system_id[17];
	uint32_t window;
	uint64_t bind_ms, enquire_ms, response_ms, hold_ms;
	unsigned max_connections, max_unbound, max_unbound_source;
	unsigned unbind_rate;
	const char *store; /* name of the store box */

	struct esme_list esmes; /* every connection */
	struct esme_list open;  /* of them those in OPEN, oldest first */
	unsigned esme_count, unbound_count;
	/* The connections are near their limit (reliability.md, R-10): those
	 * that do nothing are given a fifth of their time. */
	bool stressed;
	uint64_t last_number;
	struct map by_id;         /* struct esme * by its number */
	struct map origins;       /* struct origin * by client address */
	struct login_list logins; /* binds that wait for their verdict */

	struct customer_list customers;

	/* Sessions whose account may have changed, and how many of them are
	 * being asked for. */
	struct esme_list unchecked;
	unsigned checking;

	bool draining;
	bool left;         /* the bus was told that a successor may come */
	uint64_t drain_ms; /* since when */
	uint64_t leaving;  /* sessions that have been told to */
	uint64_t to_leave; /* and all that there were */
};

/* Returns 0, or <0 after logging why not. */
int server_start(struct server *, struct daemon *);
/* The configuration was loaded again: takes what is live, or says why not. */
bool server_reload(
    struct server *, const struct conf_group *, struct buf *why) WARN_UNUSED;
/* Takes no new connections or requests; answers what is in hand, unbinds,
 * then ends the daemon. */
void server_drain(struct server *);
/* Also after a start that failed. */
void server_fini(struct server *);

#endif
