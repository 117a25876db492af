/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * append.h - the one session that writes: the bus's records in the order of
 * their numbers, a batch to a transaction, each exactly once.
 *
 * While one batch is on its way the next one fills.  After a lost session
 * nobody knows whether the batch that was on its way is in: the new session
 * takes the advisory lock (so the old one is dead), reads the last number,
 * commits a barrier row, and then either repeats the batch or counts it as
 * done.  Nothing is confirmed to the bus before its commit has returned
 * without a warning.
 */
#ifndef STORE_APPEND_H
#define STORE_APPEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hopyard/v1/bus.pb-c.h"

/* First key of the advisory lock of a cell. */
#define APPEND_LOCK 7286352

struct append;
struct items;
struct pg;
struct store;

struct append *append_new(struct store *);
/* Frees itself once the session is closed. */
void append_close(struct append *);

/* Settled and writing. */
bool append_is_up(const struct append *);
/* Nothing gathered, nothing on its way. */
bool append_is_idle(const struct append *);
/* Everything up to here is durable. */
uint64_t append_durable(const struct append *);
/* The latest time that the bus has stamped on a durable record; 0: none since
 * the start. */
uint64_t append_durable_at(const struct append *);
/* How long the oldest record has been waiting for its commit. */
uint64_t append_lag_ms(const struct append *);
struct pg *append_session(struct append *);
/* Of the bus that is open here, 0: none. */
uint64_t append_epoch(const struct append *);
/* Of this host since its start. */
const char *append_boot(const struct append *);
/* Somebody else has the cell; this was our epoch when it was seen. */
void append_taken(struct append *, uint64_t epoch);

/* OPEN of a bus: recovery.c runs when the session is settled and free. */
void append_open(struct append *, const Hopyard__V1__Open *);
/* The bus of this connection is gone: what was gathered is committed. */
void append_bus_gone(struct append *);
/* Do not wait for company. */
void append_flush(struct append *);
/* A RECORD frame. */
void append_records(struct append *, struct items *);

/* For recovery.c: the cell is open; or, with 0, it is to be tried again. */
void append_opened(struct append *, uint64_t epoch);

#endif
