/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tally.h - which messages have been seen before: a set of 64-bit hashes, up
 * to a limit, so that "unique" and "duplicates" can be told at the end.
 */
#ifndef HOPSIM_TALLY_H
#define HOPSIM_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALLY_MAX (8u << 20) /* messages; 128 MiB */

struct tally {
	uint64_t *slot; /* 0: empty */
	size_t cap;
	uint64_t unique, duplicates;
	bool full; /* the figures are lower bounds */
};

void tally_init(struct tally *);
void tally_fini(struct tally *);
/* True when this hash was there before. */
bool tally_add(struct tally *, uint64_t hash);
uint64_t tally_hash(uint64_t seed, const void *, size_t len);

#endif
