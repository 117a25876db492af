/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/repeat.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/xalloc.h"
#include "core/engine.h"

#define REPEAT_WAYS 4
#define REPEAT_SETS 16384 /* a power of two: 1.5 MiB, of which what is used */

struct repeat {
	uint64_t hash; /* 0: free */
	uint64_t seq;  /* of its record */
	uint64_t at;   /* mono ms */
};

struct repeats {
	struct buf envelope;
	struct repeat set[REPEAT_SETS][REPEAT_WAYS];
};

void
repeats_free(struct repeats *r)
{
	if (r == NULL)
		return;
	buf_fini(&r->envelope);
	free(r);
}

static const char *
scope_of(const struct target *t)
{
	return t->scope != NULL ? t->scope : t->name;
}

/* Of the same message from another carrier it differs; never 0. */
static uint64_t
repeat_hash(uint64_t fingerprint, const struct target *t)
{
	const char *scope = scope_of(t);
	uint64_t h = fingerprint;

	for (; *scope != '\0'; scope++)
		h = (h ^ (uint8_t)*scope) * 0x100000001b3u;
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdu;
	h ^= h >> 33;
	return h != 0 ? h : 1;
}

static const struct repeat *
repeats_find(const struct engine *e, uint64_t hash)
{
	const struct repeat *set;

	if (e->repeats == NULL)
		return NULL;
	set = e->repeats->set[hash % REPEAT_SETS];
	for (int i = 0; i < REPEAT_WAYS; i++)
		if (set[i].hash == hash && e->now - set[i].at <= REPEAT_MS)
			return &set[i];
	return NULL;
}

/*
 * Has an answer that was owed since then perhaps not reached the carrier?  It
 * may repeat on any link of its own; and while the store is away nobody gets
 * one.
 */
static bool
broke_since(const struct engine *e, const struct target *t, uint64_t at)
{
	if (!e->store)
		return true;
	for (size_t i = 0; i < e->target_count; i++) {
		const struct target *o = e->target[i];

		if (o->role == TARGET_CONNECTOR && o->broke_at != 0 &&
		    o->broke_at + REPEAT_SLACK_MS >= at &&
		    (o == t || strcmp(scope_of(o), scope_of(t)) == 0))
			return true;
	}
	return e->store_back_at != 0 &&
	    e->store_back_at + REPEAT_SLACK_MS >= at;
}

static struct bytes
mark(struct repeats *r, const Hopyard__V1__Envelope *was)
{
	Hopyard__V1__Envelope env = *was;
	size_t len;

	env.has_possible_dup = true;
	env.possible_dup = true;
	len = hopyard__v1__envelope__get_packed_size(&env);
	buf_clear(&r->envelope);
	hopyard__v1__envelope__pack(&env, buf_reserve(&r->envelope, len));
	buf_commit(&r->envelope, len);
	return (struct bytes){ buf_data(&r->envelope), len };
}

enum repeat_verdict
repeat_judge(struct engine *e, const struct target *t,
    const Hopyard__V1__Envelope *env, struct item *it, uint64_t *seq)
{
	const struct repeat *found =
	    repeats_find(e, repeat_hash(env->fingerprint, t));

	if (found == NULL)
		return REPEAT_NEW;
	if (env->identified) {
		e->count.repeated++;
		*seq = found->seq;
		return REPEAT_SAME;
	}
	if (!broke_since(e, t, found->at))
		return REPEAT_NEW;
	e->count.repeated++;
	it->envelope = mark(e->repeats, env);
	return REPEAT_MARKED;
}

void
repeat_remember(struct engine *e, const struct target *t, uint64_t fingerprint,
    uint64_t seq)
{
	uint64_t hash = repeat_hash(fingerprint, t);
	struct repeat *set, *slot;

	if (e->repeats == NULL) {
		e->repeats = xcalloc(1, sizeof(*e->repeats));
		buf_init(&e->repeats->envelope);
	}
	/* In place of itself, or of the oldest; a free one is that. */
	set = slot = e->repeats->set[hash % REPEAT_SETS];
	for (int i = 0; i < REPEAT_WAYS; i++) {
		if (set[i].hash == hash) {
			slot = &set[i];
			break;
		}
		if (set[i].at < slot->at)
			slot = &set[i];
	}
	*slot = (struct repeat){ .hash = hash, .seq = seq, .at = e->now };
}
