/* SPDX-License-Identifier: BSD-2-Clause */
/* tally.c - open addressing, at most half full. */
#include "tools/hopsim/tally.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

#define TALLY_MIN 4096

void
tally_init(struct tally *t)
{
	memset(t, 0, sizeof(*t));
}

void
tally_fini(struct tally *t)
{
	free(t->slot);
	t->slot = NULL;
}

static bool
tally_insert(struct tally *t, uint64_t hash)
{
	size_t i = hash & (t->cap - 1);

	while (t->slot[i] != 0) {
		if (t->slot[i] == hash)
			return false;
		i = (i + 1) & (t->cap - 1);
	}
	t->slot[i] = hash;
	return true;
}

static void
tally_grow(struct tally *t)
{
	uint64_t *old = t->slot;
	size_t i, cap = t->cap;

	t->cap = cap == 0 ? TALLY_MIN : cap * 4;
	t->slot = xcalloc(t->cap, sizeof(*t->slot));
	for (i = 0; i < cap; i++)
		if (old[i] != 0)
			(void)tally_insert(t, old[i]);
	free(old);
}

bool
tally_add(struct tally *t, uint64_t hash)
{
	if (hash == 0)
		hash = 1;
	if (t->unique >= TALLY_MAX) {
		t->full = true;
		return false;
	}
	if (t->unique * 2 >= t->cap)
		tally_grow(t);
	if (tally_insert(t, hash)) {
		t->unique++;
		return false;
	}
	t->duplicates++;
	return true;
}

uint64_t
tally_hash(uint64_t seed, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ (len * 0x9e3779b97f4a7c15ULL), w;

	while (len != 0) {
		size_t n = len < sizeof(w) ? len : sizeof(w);

		w = 0;
		memcpy(&w, p, n);
		h = (h ^ w) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
		p += n;
		len -= n;
	}
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 29;
}
