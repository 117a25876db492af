/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * customer.h - an account that is bound here: its sessions, the items that the
 * bus has handed over for it, and the credit that the bus has from us.
 *
 * Exists while it has a bind or an item in hand.  Credit: the bus may send what
 * the receiver binds have room for in their windows, so that what waits here is
 * about nothing; the rest waits durably in the store.  Every change is told
 * with one Attach at the end of the turn.
 */
#ifndef SMPPS_CUSTOMER_H
#define SMPPS_CUSTOMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boxes/smpps/esme.h"
#include "common/queue.h"

struct delivery;
struct server;

TAILQ_HEAD(delivery_list, delivery);

struct customer {
	struct server *server;
	char *account; /* owned */
	struct esme_list binds;
	unsigned bind_count, receiver_count;
	struct esme *turn; /* the receiver bind that is next */

	struct delivery_list waiting; /* in hand, on no bind's window */
	unsigned in_hand;             /* all that the bus waits for */
	uint64_t granted, came;       /* items since Hello */
	bool dirty;                   /* an Attach is owed */
};

/* A session is bound, or no longer.  customer_bind() makes the customer when
 * there is none, and sets e->customer; customer_unbind() may free it. */
void customer_bind(struct server *, const char *account, struct esme *);
void customer_unbind(struct esme *);
struct customer *customer_find(
    const struct server *, const void *account, size_t len);
/* Grant what has become free and tell the bus. */
void customer_update(struct customer *);
/* A new connection to the bus: all totals begin anew, all is told again. */
void customer_all_ready(struct server *);
/* Frees it when it has neither bind nor item. */
void customer_release(struct customer *);

#endif
