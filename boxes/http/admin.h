/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * admin.h - the process of type "admin": health, metrics, and the admin API
 * over the bus's control role.
 *
 * /livez, /readyz and /metrics are open to everybody who can connect.
 * Everything under /admin/v1 wants the token of the configuration as
 * "Authorization: Bearer TOKEN"; without one in the configuration it is shut.
 * A wrong token is answered after a second.  A POST must be JSON, so that no
 * form of a web page can make one.
 */
#ifndef HTTP_ADMIN_H
#define HTTP_ADMIN_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/queue.h"

struct box;
struct daemon;
struct gatherer;
struct held_refusal;
struct server;

struct admin {
	struct daemon *daemon;
	uv_loop_t *loop;
	struct box *box;
	struct server *server;
	struct gatherer *gatherer;
	bool has_token;
	uint8_t token[32]; /* SHA-256 */
	TAILQ_HEAD(, held_refusal) refusals;
	unsigned refusal_count;
	uv_timer_t timer; /* of the first refusal */
};

/* Returns 0, or <0 after logging why not. */
int admin_start(struct admin *, struct daemon *);
void admin_drain(struct admin *);
/* Also after a start that failed. */
void admin_fini(struct admin *);

#endif
