/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lease.h - the owner's side of the lease: renewals that the bus asks for, on a
 * session of their own, so that no batch delays them.
 *
 * It is the bus that must be alive, so nothing is renewed unasked.  What is
 * confirmed has been committed like any batch, with the standby server if there
 * is one; so a server that is cut off from it renews nothing.
 */
#ifndef STORE_LEASE_H
#define STORE_LEASE_H

#include "hopyard/v1/bus.pb-c.h"

struct lease;
struct pg;
struct store;

/* Starts connecting. */
struct lease *lease_new(struct store *);
/* To the server where this session is. */
void lease_follow(struct lease *, const struct pg *);
/* Frees itself. */
void lease_close(struct lease *);

/* RENEW of the bus. */
void lease_renew(struct lease *, const Hopyard__V1__Renew *);
/* The writing session was lost: this one may hang on the same dead server. */
void lease_doubt(struct lease *);

#endif
