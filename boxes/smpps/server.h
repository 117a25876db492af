/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * server.h - the SMPP server as a whole: one of these in a process.  It owns
 * the listeners, the box's side of the bus and the lists of sessions and
 * customers; everybody else borrows it.
 */
#ifndef SMPPS_SERVER_H
#define SMPPS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "boxes/smpps/customer.h"
#include "boxes/smpps/esme.h"
#include "common/buf.h"
#include "common/map.h"

struct accounts;
struct auth;
struct box;
struct daemon;
struct submitter;

struct server {
	struct daemon *daemon;
	uv_loop_t *loop;
	struct box *box;
	struct accounts *accounts;
	struct auth *auth;
	struct submitter *submitter;
	uv_timer_t tick; /* once a second, over all sessions */

	/* Of the configuration; text is borrowed from it. */
	const char *system_id;
	uint32_t window;
	uint64_t bind_ms, enquire_ms, response_ms, hold_ms;
	unsigned max_connections, max_unbound, max_unbound_source;
	const char *store; /* name of the store box */

	struct esme_list esmes; /* every connection */
	unsigned esme_count, unbound_count;
	struct map by_id;     /* struct esme * by its number */
	struct map customers; /* struct customer * by account id */
	bool draining;
};

/* Returns 0, or <0 after logging why not. */
int server_start(struct server *, struct daemon *);
/* Takes no new connections or requests; answers what is in hand, unbinds,
 * then ends the daemon. */
void server_drain(struct server *);
/* Also after a start that failed. */
void server_fini(struct server *);

#endif
