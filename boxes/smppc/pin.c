/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smppc/pin.h"

#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "common/xalloc.h"

struct pin {
	uint64_t key, at_ms;
	struct bind *bind; /* NULL: free */
};

struct pins {
	struct pin set[PIN_SETS][PIN_WAYS];
};

struct pins *
pins_new(void)
{
	return xcalloc(1, sizeof(struct pins));
}

void
pins_free(struct pins *pins)
{
	free(pins);
}

static uint64_t
pin_mix(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t i;

	/* FNV-1a; the length keeps "ab","c" and "a","bc" apart. */
	h = (h ^ len) * UINT64_C(0x100000001b3);
	for (i = 0; i < len; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

uint64_t
pin_key(struct bytes account, struct bytes from, struct bytes to,
    const struct segment_key *key)
{
	const uint8_t which[] = { (uint8_t)key->kind, (uint8_t)(key->ref >> 8),
		(uint8_t)key->ref, key->total };
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	h = pin_mix(h, account.p, account.len);
	h = pin_mix(h, from.p, from.len);
	h = pin_mix(h, to.p, to.len);
	return pin_mix(h, which, sizeof(which));
}

static size_t
pin_set(uint64_t key)
{
	return (key ^ key >> 32) % PIN_SETS;
}

struct bind *
pins_get(const struct pins *pins, uint64_t key, uint64_t now_ms)
{
	const struct pin *set = pins->set[pin_set(key)];
	size_t i;

	for (i = 0; i < PIN_WAYS; i++)
		if (set[i].bind != NULL && set[i].key == key)
			return now_ms - set[i].at_ms < PIN_MS ? set[i].bind
							      : NULL;
	return NULL;
}

void
pins_put(struct pins *pins, uint64_t key, struct bind *b, uint64_t now_ms)
{
	struct pin *set = pins->set[pin_set(key)], *p = &set[0];
	size_t i;

	for (i = 0; i < PIN_WAYS; i++) {
		if (set[i].bind != NULL && set[i].key == key) {
			p = &set[i];
			break;
		}
		if (p->bind != NULL &&
		    (set[i].bind == NULL || set[i].at_ms < p->at_ms))
			p = &set[i];
	}
	p->key = key;
	p->at_ms = now_ms;
	p->bind = b;
}

void
pins_forget(struct pins *pins, const struct bind *b)
{
	size_t i, k;

	for (i = 0; i < PIN_SETS; i++)
		for (k = 0; k < PIN_WAYS; k++)
			if (pins->set[i][k].bind == b)
				pins->set[i][k].bind = NULL;
}
