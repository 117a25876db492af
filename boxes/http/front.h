/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * front.h - the HTTP front end as a whole: one of these in a process of type
 * "http".  Handlers get it as their argument.
 */
#ifndef HTTP_FRONT_H
#define HTTP_FRONT_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "boxes/front/account.h"
#include "proto/bytes.h"

struct accounts;
struct auth;
struct box;
struct daemon;
struct server;
struct submitter;

/* One bus that accounts belong to, and what is on its way there. */
struct front_cell {
	struct front *front;
	const char *name; /* NULL: our own */
	struct box *box;
	struct submitter *submitter;
};

struct front {
	struct daemon *daemon;
	uv_loop_t *loop;
	struct front_cell *cell; /* our own first, as in accounts */
	unsigned cells;
	struct server *server;
	struct accounts *accounts;
	struct auth *auth;
	bool kannel;                 /* offer sendsms */
	bool queued_as_accepted;     /* queued_reply = 0 */
	struct bytes default_sender; /* may be absent */
	uint64_t hold_ms;
	const char *store; /* name of the store box */
};

/* Where this account belongs.  Valid as long as the front. */
static inline const struct front_cell *
front_cell(const struct front *f, const struct account *a)
{
	return &f->cell[a->cell];
}

/* Returns 0, or <0 after logging why not. */
int front_start(struct front *, struct daemon *);
/* Answers what is in hand and then ends the daemon. */
void front_drain(struct front *);
/* Also after a start that failed. */
void front_fini(struct front *);

#endif
