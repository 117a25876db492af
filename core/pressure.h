/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pressure.h - does more come in than the store can write?
 *
 * Without a word against it the records that wait would become seconds of work;
 * front ends give up each message after their `hold`, and the store would spend
 * its time on what nobody waits for any more.  So while records go on becoming
 * durable, but later than they should for half a second, only as much is let
 * in as keeps the wait short; the others are refused at once.
 *
 * A store that confirms nothing is away and not slow: what comes then is held.
 * One whose commits take long by themselves, as with a standby far away, is
 * measured by its own shortest time.
 *
 * No clock and no I/O; times in ms.
 */
#ifndef CORE_PRESSURE_H
#define CORE_PRESSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pressure {
	bool on;            /* only so much is let in */
	uint64_t sample;    /* seq of the record that is timed, 0: none */
	uint64_t sample_at; /* when it was recorded */
	uint64_t
	    late_since; /* records have taken too long since; 0: they do not */
	uint64_t last_at; /* when something became durable last */
	/* The shortest time to durable of this half minute and the last. */
	uint64_t base[2], base_at;
	/* Bytes that became durable, and what that is in a second. */
	uint64_t window_at, window_bytes, rate;
	uint64_t refused_at; /* for the last time */
};

void pressure_init(struct pressure *);
/* A record was made. */
void pressure_recorded(struct pressure *, uint64_t seq, uint64_t now);
/* All up to this seq are durable; bytes are new among them, waiting are not. */
void pressure_confirmed(struct pressure *, uint64_t horizon, size_t bytes,
    size_t waiting, uint64_t now);
/* Is a new message to be refused, with so much waiting? */
bool pressure_refuses(struct pressure *, size_t waiting, uint64_t now);

#endif
