/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sweep.h - finds messages whose time is over and that nobody has made final.
 *
 * No index by expiry is kept.  Instead the ids and seqs that end in a given
 * slot of 20 s are remembered as ranges (the "wheel"), some seconds of
 * messages to a row; when the slot is over the range is read once and what has
 * no final event goes to the bus, again and again until it is final.
 *
 * What was gathered and not yet in the wheel when an earlier process died is
 * found by number (lookup.c); no row is written before that is done, since a
 * row says that everything before it is in.
 */
#ifndef STORE_SWEEP_H
#define STORE_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch;
struct pg;
struct store;
struct sweep;

struct sweep *sweep_new(struct store *);
void sweep_free(struct sweep *);

/* While a batch is built: this message (its id and seq) ends at `when`. */
void sweep_expect(
    struct sweep *, uint64_t when, const uint8_t id[16], uint64_t seq);
/* Write the wheel with this batch: what is expected here lies in no queue. */
void sweep_hurry(struct sweep *);
/* Put what was gathered into the batch if it is time (seq: its last). */
void sweep_flush(struct sweep *, struct batch *, uint64_t last_seq);
/* What earlier processes have left is in, too. */
void sweep_ready(struct sweep *);

/* Timer: looks for what is overdue, on a session that reads and may delete
 * rows of the wheel; only while the cell is open. */
void sweep_run(struct sweep *, struct pg *);

#endif
