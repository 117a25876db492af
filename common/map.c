/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * map.c - hash table with linear probing.
 *
 * No tombstones: a deletion moves later entries of the same run back.  The
 * table doubles above 3/4 and halves below 1/8, so a walk and the memory follow
 * what is in it.  The seed is fixed: a walk must repeat from run to run.
 *
 * A number needs no stored key: the mixing function is a bijection, so equal
 * hashes are equal keys.
 */
#include "common/map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

#define MAP_MIN 16

#define MAP_K0 0x9e3779b97f4a7c15u
#define MAP_K1 0xd6e8feb86659fd93u
#define MAP_K2 0xa0761d6478bd642fu

static inline uint64_t
map_load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t
map_load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Both halves of the 128-bit product: every input bit reaches all of them. */
static inline uint64_t
map_fold(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t
map_hash(const void *key, size_t len)
{
	const uint8_t *p = key;
	uint64_t a, b, h = MAP_K0 ^ len;
	size_t n = len;

	for (; n > 16; n -= 16, p += 16)
		h = map_fold(map_load64(p) ^ MAP_K1, map_load64(p + 8) ^ h);
	/* The words of the rest may overlap: the length is in the seed. */
	if (n >= 8) {
		a = map_load64(p);
		b = map_load64(p + n - 8);
	} else if (n >= 4) {
		a = map_load32(p);
		b = map_load32(p + n - 4);
	} else if (n > 0) {
		a = (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
		b = 0;
	} else {
		a = b = 0;
	}
	return map_fold(MAP_K2 ^ len, map_fold(a ^ MAP_K1, b ^ h));
}

/* splitmix64's finaliser */
static inline uint64_t
map_mix(uint64_t x)
{
	x += MAP_K0;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

void
map_init(struct map *m)
{
	memset(m, 0, sizeof(*m));
}

void
map_fini(struct map *m)
{
	free(m->slot);
	map_init(m);
}

/* The slot of this key, or the empty one where it would go. */
static struct map_slot *
map_find(const struct map *m, uint64_t hash, const void *key, size_t len)
{
	size_t mask = m->cap - 1;
	size_t i;
	struct map_slot *s;

	for (i = hash & mask;; i = (i + 1) & mask) {
		s = &m->slot[i];
		if (s->value == NULL)
			return s;
		if (s->hash == hash && s->len == len &&
		    (len == 0 || memcmp(s->key, key, len) == 0))
			return s;
	}
}

static void
map_resize(struct map *m, size_t cap)
{
	struct map_slot *old = m->slot;
	size_t old_cap = m->cap;
	size_t i, j;

	m->slot = xcalloc(cap, sizeof(*m->slot));
	m->cap = cap;
	for (i = 0; i < old_cap; i++) {
		if (old[i].value == NULL)
			continue;
		j = old[i].hash & (cap - 1);
		while (m->slot[j].value != NULL)
			j = (j + 1) & (cap - 1);
		m->slot[j] = old[i];
	}
	free(old);
}

static void *
map_put_hash(
    struct map *m, uint64_t hash, const void *key, size_t len, void *value)
{
	struct map_slot *s;
	void *old;

	assert(value != NULL);
	if (m->count + 1 > m->cap / 4 * 3)
		map_resize(m, m->cap > 0 ? m->cap * 2 : MAP_MIN);
	s = map_find(m, hash, key, len);
	old = s->value;
	if (old == NULL)
		m->count++;
	*s = (struct map_slot){ key, len, hash, value };
	return old;
}

static void *
map_del_hash(struct map *m, uint64_t hash, const void *key, size_t len)
{
	size_t mask = m->cap - 1;
	size_t hole, i;
	struct map_slot *s;
	void *value;

	if (m->count == 0)
		return NULL;
	s = map_find(m, hash, key, len);
	value = s->value;
	if (value == NULL)
		return NULL;
	hole = (size_t)(s - m->slot);
	for (i = (hole + 1) & mask; m->slot[i].value != NULL;
	     i = (i + 1) & mask) {
		/* It may move to the hole unless its home lies after that. */
		if (((i - m->slot[i].hash) & mask) < ((i - hole) & mask))
			continue;
		m->slot[hole] = m->slot[i];
		hole = i;
	}
	m->slot[hole].value = NULL;
	m->count--;
	if (m->cap > MAP_MIN && m->count < m->cap / 8)
		map_resize(m, m->cap / 2);
	return value;
}

void *
map_get(const struct map *m, const void *key, size_t len)
{
	if (m->count == 0)
		return NULL;
	return map_find(m, map_hash(key, len), key, len)->value;
}

void *
map_put(struct map *m, const void *key, size_t len, void *value)
{
	return map_put_hash(m, map_hash(key, len), key, len, value);
}

void *
map_del(struct map *m, const void *key, size_t len)
{
	return map_del_hash(m, map_hash(key, len), key, len);
}

void *
map_get_u64(const struct map *m, uint64_t key)
{
	if (m->count == 0)
		return NULL;
	return map_find(m, map_mix(key), NULL, 0)->value;
}

void *
map_put_u64(struct map *m, uint64_t key, void *value)
{
	return map_put_hash(m, map_mix(key), NULL, 0, value);
}

void *
map_del_u64(struct map *m, uint64_t key)
{
	return map_del_hash(m, map_mix(key), NULL, 0);
}

void *
map_next(const struct map *m, size_t *pos)
{
	while (*pos < m->cap) {
		void *value = m->slot[(*pos)++].value;

		if (value != NULL)
			return value;
	}
	return NULL;
}
