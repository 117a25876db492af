/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * map.h - open-addressing hash table from byte strings (ids, names) or 64-bit
 * numbers to pointers.  Keys are borrowed: they live inside the value.  The
 * order of a walk depends only on the history of operations, so that a
 * simulation repeats bit for bit.
 */
#ifndef COMMON_MAP_H
#define COMMON_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

struct map_slot {
	const void *key;
	size_t len;
	uint64_t hash;
	void *value; /* NULL: empty */
};

struct map {
	struct map_slot *slot;
	size_t cap; /* power of two, or 0 */
	size_t count;
};

void map_init(struct map *);
void map_fini(struct map *);

void *map_get(const struct map *, const void *key, size_t len);
/* Adds, or replaces the value and the key pointer; returns the old value. */
void *map_put(struct map *, const void *key, size_t len, void *value);
/* Removes and returns the value, or NULL. */
void *map_del(struct map *, const void *key, size_t len);

/* The same with a number as key; never mix both in one map. */
void *map_get_u64(const struct map *, uint64_t);
void *map_put_u64(struct map *, uint64_t, void *value);
void *map_del_u64(struct map *, uint64_t);

/* Walk: start with 0; returns NULL at the end.  Deleting is not allowed while
 * walking. */
void *map_next(const struct map *, size_t *pos);

#endif
