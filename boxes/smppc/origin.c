/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smppc/origin.h"

#include <stdlib.h>

#include "common/xalloc.h"

struct origin {
	uint64_t key; /* 0: free */
	uint32_t age; /* of the set, when it was put */
	uint32_t cell;
};

struct origins {
	struct origin set[ORIGIN_SETS][ORIGIN_WAYS];
	uint32_t puts;
};

struct origins *
origins_new(void)
{
	return xcalloc(1, sizeof(struct origins));
}

void
origins_free(struct origins *o)
{
	free(o);
}

/* FNV-1a. */
static uint64_t
origin_key(struct bytes id)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	size_t i;

	for (i = 0; i < id.len; i++)
		h = (h ^ id.p[i]) * UINT64_C(0x100000001b3);
	return h != 0 ? h : 1;
}

static size_t
origin_set(uint64_t key)
{
	return (key ^ key >> 32) % ORIGIN_SETS;
}

void
origins_put(struct origins *o, struct bytes id, unsigned cell)
{
	uint64_t key = origin_key(id);
	struct origin *set = o->set[origin_set(key)], *at = &set[0];
	unsigned i;

	o->puts++;
	for (i = 0; i < ORIGIN_WAYS; i++) {
		if (set[i].key == key || set[i].key == 0) {
			at = &set[i];
			break;
		}
		/* The one that was put longest ago; the count may wrap. */
		if (o->puts - set[i].age > o->puts - at->age)
			at = &set[i];
	}
	at->key = key;
	at->age = o->puts;
	at->cell = cell;
}

int
origins_get(const struct origins *o, struct bytes id)
{
	uint64_t key = origin_key(id);
	const struct origin *set = o->set[origin_set(key)];
	unsigned i;

	for (i = 0; i < ORIGIN_WAYS; i++)
		if (set[i].key == key)
			return (int)set[i].cell;
	return -1;
}
