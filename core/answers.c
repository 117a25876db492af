/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/answers.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

/* Longer ones are nobody's: accounts and numbers are checked before. */
#define KEY_MAX 320

struct answer {
	TAILQ_ENTRY(answer) used_link;
	uint64_t until;
	enum answers_by by;
	uint16_t key_len, len;
	uint8_t bytes[]; /* key, answer */
};

void
answers_init(struct answers *a)
{
	memset(a, 0, sizeof(*a));
	map_init(&a->by_key);
	TAILQ_INIT(&a->used);
}

static void
drop(struct answers *a, struct answer *x)
{
	map_del(&a->by_key, x->bytes, x->key_len);
	TAILQ_REMOVE(&a->used, x, used_link);
	a->kind[x->by]--;
	free(x);
}

static void
shrink(struct answers *a, size_t max)
{
	while (a->by_key.count > max)
		drop(a, TAILQ_FIRST(&a->used));
}

void
answers_clear(struct answers *a)
{
	shrink(a, 0);
}

void
answers_set_max(struct answers *a, size_t max)
{
	a->max = max;
	shrink(a, max);
}

void
answers_fini(struct answers *a)
{
	answers_clear(a);
	map_fini(&a->by_key);
}

/* 0 when there is no such key. */
static size_t
key_put(uint8_t dst[KEY_MAX], enum answers_by by, const struct answers_key *key)
{
	size_t n = 0;

	if (key->number.len == 0 ||
	    key->account.len + key->number.len + 3 > KEY_MAX)
		return 0;
	dst[n++] = (uint8_t)by;
	dst[n++] = key->mt;
	memcpy(dst + n, key->number.p, key->number.len);
	n += key->number.len;
	if (by == ANSWERS_ACCOUNT_NUMBER) {
		/* Neither has one: they are printable. */
		dst[n++] = 0;
		if (key->account.len > 0)
			memcpy(dst + n, key->account.p, key->account.len);
		n += key->account.len;
	}
	return n;
}

struct bytes
answers_get(struct answers *a, const struct answers_key *key, uint64_t now)
{
	uint8_t k[KEY_MAX];
	struct answer *x;
	size_t n;

	for (int by = ANSWERS_KINDS - 1; by >= 0; by--) {
		if (a->kind[by] == 0)
			continue;
		n = key_put(k, (enum answers_by)by, key);
		x = n > 0 ? map_get(&a->by_key, k, n) : NULL;
		if (x == NULL)
			continue;
		if (x->until <= now) {
			drop(a, x);
			continue;
		}
		TAILQ_REMOVE(&a->used, x, used_link);
		TAILQ_INSERT_TAIL(&a->used, x, used_link);
		return (struct bytes){ x->bytes + x->key_len, x->len };
	}
	return (struct bytes){ NULL, 0 };
}

void
answers_put(struct answers *a, enum answers_by by,
    const struct answers_key *key, struct bytes b, uint64_t until)
{
	uint8_t k[KEY_MAX];
	size_t n = key_put(k, by, key);
	struct answer *x;

	if (n == 0 || b.len > ANSWERS_BYTES || a->max == 0)
		return;
	x = map_get(&a->by_key, k, n);
	if (x != NULL)
		drop(a, x);
	shrink(a, a->max - 1);
	x = xmalloc(sizeof(*x) + n + b.len);
	x->until = until;
	x->by = by;
	x->key_len = (uint16_t)n;
	x->len = (uint16_t)b.len;
	memcpy(x->bytes, k, n);
	memcpy(x->bytes + n, b.p, b.len);
	map_put(&a->by_key, x->bytes, n, x);
	TAILQ_INSERT_TAIL(&a->used, x, used_link);
	a->kind[by]++;
}
