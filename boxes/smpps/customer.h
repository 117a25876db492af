/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * customer.h - an account that is bound here: its sessions, the items that the
 * bus has handed over for it, and the credit that the bus has from us.
 *
 * Exists while it has a bind or an item in hand, and longer as long as the bus
 * remembers what it was granted.
 *
 * It has a seat at the bus of each cell that may have something for it.
 *
 * Credit: a bus may send what the receiver binds have room for in their
 * windows, so that what waits here is about nothing; the rest waits durably in
 * the store.  Of several cells each may fill what is free.  Every change is told
 * with one Attach at the end of the turn.
 */
#ifndef SMPPS_CUSTOMER_H
#define SMPPS_CUSTOMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boxes/smpps/esme.h"
#include "common/queue.h"

struct cell;
struct delivery;
struct server;

TAILQ_HEAD(delivery_list, delivery);
TAILQ_HEAD(customer_list, customer);
TAILQ_HEAD(seat_list, seat);

/* What the bus of one cell knows of a customer. */
struct seat {
	struct customer *customer;
	struct cell *cell;      /* NULL: it has no seat there */
	uint64_t came, granted; /* items since Hello */
	bool dirty;             /* an Attach is owed */
	TAILQ_ENTRY(seat) link; /* cell->dirty, while it is */
};

struct customer {
	struct server *server;
	struct cell *cell;      /* the account's */
	char *account;          /* owned */
	struct esme_list binds; /* every session until it is closed */
	unsigned asking;        /* binds that wait for the bus's leave */
	unsigned bind_count, receiver_count; /* of those in the list */
	uint64_t room;     /* the windows of its receivers together */
	uint64_t overdue;  /* what fills them without being in hand */
	struct esme *turn; /* the receiver bind that is next */

	/* Of deliver.c, which adds to in_hand and to `came` of the seat for
	 * every item that it accepts, and calls customer_update() when it has
	 * given results. */
	struct delivery_list waiting; /* in hand, on no bind's window */
	unsigned in_hand;             /* all that buses wait for */

	TAILQ_ENTRY(customer) link; /* server->customers */
	struct seat seat[];         /* one for each cell of the server */
};

/*
 * A bind of the account is asked for at the bus of its cell, which counts it
 * from then on; so do we.  Makes the customer when there is none.  When the
 * answer has come customer_bind() has to follow or not, and then
 * customer_answered().  former: a bit for each cell that had the account before.
 */
void customer_ask(struct cell *, unsigned former, const char *account);
void customer_answered(struct cell *, const char *account);

/*
 * Its account is in this cell now: what comes from the sessions goes there, and
 * the former ones still bring what they have.  False: somebody of that name is
 * there already.
 */
bool customer_move(struct customer *, struct cell *, unsigned former);

/* The other cells that it has a seat in; a bit for each. */
unsigned customer_former(const struct customer *);

/* A session is bound: sets e->customer. */
void customer_bind(struct cell *, const char *account, struct esme *);
/* Its state has changed; what nobody can take any more goes back. */
void customer_recount(struct customer *);
/* One request more (or less) of a bind is overdue: esme.h. */
void customer_overdue(struct esme *, int change);
/* It is closed.  May free the customer. */
void customer_unbind(struct esme *);
struct customer *customer_find(
    const struct cell *, const void *account, size_t len);
/* Grant what has become free and tell the buses. */
void customer_update(struct customer *);
/* A new connection to this bus: all totals begin anew, all is told again, at
 * once. */
void customer_all_ready(struct cell *);
/* Frees it when nothing needs it any more. */
void customer_release(struct customer *);

void customers_init(struct cell *);
/* The tasks of the cells, and every customer. */
void customers_fini(struct server *);

#endif
