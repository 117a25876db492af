/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/front/offender.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

struct offender {
	uint64_t first_ms; /* of the window */
	uint64_t refused_until;
	unsigned count;
	TAILQ_ENTRY(offender) link;
	size_t len;
	uint8_t key[OFFENDER_KEY];
};

void
offenders_init(struct offenders *os)
{
	map_init(&os->by_key);
	TAILQ_INIT(&os->list);
	os->count = 0;
}

static void
offender_free(struct offenders *os, struct offender *o)
{
	TAILQ_REMOVE(&os->list, o, link);
	map_del(&os->by_key, o->key, o->len);
	os->count--;
	free(o);
}

void
offenders_fini(struct offenders *os)
{
	while (!TAILQ_EMPTY(&os->list))
		offender_free(os, TAILQ_FIRST(&os->list));
	map_fini(&os->by_key);
}

static struct offender *
offender_find(const struct offenders *os, const void *key, size_t len)
{
	return map_get(
	    &os->by_key, key, len < OFFENDER_KEY ? len : OFFENDER_KEY);
}

bool
offender_refused(
    const struct offenders *os, const void *key, size_t len, uint64_t now_ms)
{
	const struct offender *o;

	if (os->count == 0)
		return false;
	o = offender_find(os, key, len);
	return o != NULL && now_ms < o->refused_until;
}

unsigned
offender_add(struct offenders *os, const void *key, size_t len, uint64_t now_ms)
{
	struct offender *o = offender_find(os, key, len);

	if (o == NULL) {
		if (os->count == OFFENDER_MAX)
			offender_free(os, TAILQ_FIRST(&os->list));
		o = xcalloc(1, sizeof(*o));
		o->len = len < OFFENDER_KEY ? len : OFFENDER_KEY;
		memcpy(o->key, key, o->len);
		map_put(&os->by_key, o->key, o->len, o);
		os->count++;
	} else {
		TAILQ_REMOVE(&os->list, o, link);
	}
	TAILQ_INSERT_TAIL(&os->list, o, link);

	if (o->count == 0 || now_ms - o->first_ms > OFFENDER_WINDOW_MS) {
		o->first_ms = now_ms;
		o->count = 0;
	}
	if (++o->count >= OFFENDER_LIMIT)
		o->refused_until = now_ms + OFFENDER_REFUSED_MS;
	return o->count;
}
