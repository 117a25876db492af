/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * witness.h - how far records were confirmed, noted outside of the database.
 *
 * A database that was restored from an old copy, or a standby that took over
 * without the last records, cannot say what it lacks, and a bus that was
 * started since does not know either.  This file does: one line, written before
 * each confirmation.  It outlives the death of every process; after that of the
 * host it may be half a minute old, and then proves as much less.
 */
#ifndef STORE_WITNESS_H
#define STORE_WITNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attr.h"

#define WITNESS_INSTANCE 16

struct witness {
	int fd; /* -1: there is none, and nothing is ever missing */
	int cell;
	uint64_t epoch;     /* 0: nobody has opened the cell with it */
	uint64_t confirmed; /* to the bus of that epoch */
	uint8_t instance[WITNESS_INSTANCE]; /* of that bus */
};

/* 0, or a negative errno: it cannot be used.  -EINVAL: it is not such a file,
 * or of another cell. */
int witness_open(struct witness *, const char *path, int cell) WARN_UNUSED;
void witness_close(struct witness *);

/*
 * Does a database that has records up to last_seq, written under epochs up to
 * `epoch`, lack some that were confirmed?  Not when another owner has had the
 * cell since: then this file is the old one.
 */
bool witness_lacks(const struct witness *, uint64_t epoch, uint64_t last_seq);
/* Is that bus the one that was told? */
bool witness_is_of(const struct witness *, const uint8_t *instance, size_t len);

/* This bus has the cell, and was told that last_seq is there; or, with
 * `accept`, that this is all. */
void witness_owner(struct witness *, uint64_t epoch, const uint8_t *instance,
    size_t len, uint64_t last_seq, bool accept);
/* We are about to take the cell over from the owner of that epoch, and what it
 * lacks is missing after that as well. */
void witness_claim(struct witness *, uint64_t epoch);
/* Before the bus is told. */
void witness_confirm(struct witness *, uint64_t seq);

#endif
