/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * customer.h - which customers are bound by SMPP, and at which servers.
 *
 * Items for customers wait in the queues of one target that no box serves,
 * CUSTOMERS_TARGET: one queue for each class and account.  An item goes to a
 * server that has a seat for the account with credit left (Attach) and credit
 * of its own left (Credit); several take turns.  The queues of a customer
 * without such a seat are parked, so that thousands of them cost nothing in a
 * turn; those of a customer without any receiver are away as well: what comes
 * for it is left to the store at once, and what was in memory a little later.
 *
 * A customer is born with its first queue or bind and stays as long as the
 * engine; a seat ends with the connection of its server.
 */
#ifndef CORE_CUSTOMER_H
#define CORE_CUSTOMER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/queue.h"
#include "core/queue.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct engine;

#define CUSTOMERS_TARGET "@customers"

struct seat {
	struct customer *customer;
	struct target *box;
	uint32_t binds;         /* also those let in since its last Attach */
	uint32_t receivers;     /* of them those that take items */
	uint64_t granted, sent; /* items, totals since the server's Hello */
	TAILQ_ENTRY(seat) link; /* of the customer; whose turn it is is first */
	TAILQ_ENTRY(seat) box_link;
};

struct customer {
	char *account;
	struct seat_list seats;
	struct queue *queue[CLASS_COUNT]; /* NULL: none so far */
	bool open;                        /* a seat has a receiver and credit */
	bool here;                        /* a seat has a receiver */
	uint64_t left_at;                 /* mono ms, unless here */
	TAILQ_ENTRY(customer) link;
};

/* The customer of an account; one is made. */
struct customer *customer_of(struct engine *, const char *account);
void customer_free(struct customer *);
/* A queue of CUSTOMERS_TARGET is new. */
void customer_add_queue(struct engine *, struct queue *);
uint64_t customer_binds(const struct customer *);

/* A seat that may take an item now, or NULL. */
struct seat *customer_seat(const struct customer *, uint64_t now);
/* One item goes there. */
void seat_take(struct seat *);
/* An item that was meant for the box it names does not go. */
void seat_return(const struct msg *);

/* The connection of a server has ended, or begins: no seats. */
void customers_box_gone(struct engine *, struct target *);
/* Leaves to the store what waits for those who have been away for a while. */
void customers_tick(struct engine *);
/* Customers with a bind, and seats with one. */
void customers_count(const struct engine *, size_t *bound, size_t *seats);

#endif
