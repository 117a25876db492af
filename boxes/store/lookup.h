/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lookup.h - brings back from the database what an earlier process knew in
 * memory, and what receipt.c has had to forget.
 *
 * After the start, once: receipts that nobody claimed (orphans), the newest
 * events, so that nearly all receipts that come find their message in memory,
 * and what sweep.c had gathered.  Then, all the time: the keys of receipts that
 * found nothing.  Partitions of days that are over have an index by key; the
 * open one has none and is read where it must be, in the background.
 */
#ifndef STORE_LOOKUP_H
#define STORE_LOOKUP_H

#include <stdint.h>

struct lookup;
struct pg;
struct store;

/* Starts connecting. */
struct lookup *lookup_new(struct store *);
/* To the server where this session is. */
void lookup_follow(struct lookup *, const struct pg *);
/* Frees itself. */
void lookup_close(struct lookup *);

/* The record ends here, for the first time in this process: what lies before
 * is to be brought back. */
void lookup_start(struct lookup *, uint64_t last_seq);
/* Once a second. */
void lookup_tick(struct lookup *);

/* The session, for sweep.c. */
struct pg *lookup_session(struct lookup *);

#endif
