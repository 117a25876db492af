/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/ledger.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

#define CHUNK_MIN   4096
#define CHUNK_MAX   (FRAME_MAX_PAYLOAD - ITEMS_HEAD)
#define CHUNK_ITEMS FRAME_MAX_ITEMS
#define SPARE_MAX   16
#define TAIL_MS     60000

void
ledger_init(struct ledger *l)
{
	memset(l, 0, sizeof(*l));
	TAILQ_INIT(&l->chunks);
	TAILQ_INIT(&l->spare);
	TAILQ_INIT(&l->tail);
}

static void
chunk_free(struct chunk *c)
{
	free(c->data);
	free(c);
}

static void
tail_clear(struct ledger *l)
{
	struct chunk *c, *next;

	TAILQ_FOREACH_SAFE(c, &l->tail, link, next)
		chunk_free(c);
	TAILQ_INIT(&l->tail);
	l->tail_bytes = 0;
}

void
ledger_fini(struct ledger *l)
{
	struct chunk *c, *next;

	TAILQ_FOREACH_SAFE(c, &l->chunks, link, next)
		chunk_free(c);
	TAILQ_FOREACH_SAFE(c, &l->spare, link, next)
		chunk_free(c);
	tail_clear(l);
	free(l->ring);
}

static struct chunk *
chunk_open(struct ledger *l, size_t need)
{
	struct chunk *c = NULL;

	if (!TAILQ_EMPTY(&l->chunks)) {
		c = TAILQ_LAST(&l->chunks, chunk_list);
		if (c->sent || c->count == CHUNK_ITEMS ||
		    need > CHUNK_MAX - c->len)
			c = NULL;
	}
	if (c == NULL) {
		c = TAILQ_FIRST(&l->spare);
		if (c != NULL) {
			TAILQ_REMOVE(&l->spare, c, link);
			l->spare_count--;
		} else {
			c = xcalloc(1, sizeof(*c));
		}
		c->first = l->last_seq + 1;
		c->count = 0;
		c->len = 0;
		c->counted = 0;
		c->sent = false;
		TAILQ_INSERT_TAIL(&l->chunks, c, link);
	}
	if (c->cap - c->len < need) {
		size_t cap = c->cap < CHUNK_MIN ? CHUNK_MIN : c->cap;

		while (cap - c->len < need)
			cap *= 2;
		c->data = xrealloc(c->data, cap);
		c->cap = (uint32_t)cap;
	}
	return c;
}

uint64_t
ledger_append(struct ledger *l, const struct item *it)
{
	size_t need = item_size(it);
	struct chunk *c;

	assert(need <= CHUNK_MAX);
	c = chunk_open(l, need);
	item_put(c->data + c->len, it);
	c->len += (uint32_t)need;
	c->counted += item_bytes(it);
	c->count++;
	l->bytes += need;
	return ++l->last_seq;
}

void
ledger_expect(struct ledger *l, const struct entry *e)
{
	if (l->ring_count == l->ring_cap) {
		size_t cap = l->ring_cap == 0 ? 1024 : l->ring_cap * 2;
		struct entry *ring = xmalloc(cap * sizeof(*ring));

		for (size_t i = 0; i < l->ring_count; i++)
			ring[i] =
			    l->ring[(l->ring_head + i) & (l->ring_cap - 1)];
		free(l->ring);
		l->ring = ring;
		l->ring_cap = cap;
		l->ring_head = 0;
	}
	assert(l->ring_count == 0 ||
	    l->ring[(l->ring_head + l->ring_count - 1) & (l->ring_cap - 1)]
		    .seq <= e->seq);
	l->ring[(l->ring_head + l->ring_count) & (l->ring_cap - 1)] = *e;
	l->ring_count++;
}

bool
ledger_pop(struct ledger *l, struct entry *e)
{
	if (l->ring_count == 0 || l->ring[l->ring_head].seq > l->horizon)
		return false;
	*e = l->ring[l->ring_head];
	l->ring_head = (l->ring_head + 1) & (l->ring_cap - 1);
	l->ring_count--;
	return true;
}

static uint64_t
chunk_last(const struct chunk *c)
{
	return c->first + c->count - 1;
}

static void
tail_trim(struct ledger *l, uint64_t now)
{
	struct chunk *c;

	/* What the store lacks stays, whatever it takes. */
	while ((c = TAILQ_FIRST(&l->tail)) != NULL &&
	    chunk_last(c) <= l->confirmed &&
	    (l->tail_bytes > l->tail_max || now - c->kept_at > TAIL_MS)) {
		TAILQ_REMOVE(&l->tail, c, link);
		l->tail_bytes -= c->cap;
		chunk_free(c);
	}
}

/* Small chunks of an idle time would take a page each: they are joined. */
static void
tail_add(struct ledger *l, const struct chunk *c, uint64_t now)
{
	struct chunk *t = NULL;

	if (!TAILQ_EMPTY(&l->tail)) {
		t = TAILQ_LAST(&l->tail, chunk_list);
		/* None was kept for a while. */
		if (t->first + t->count != c->first) {
			tail_clear(l);
			t = NULL;
		}
	}
	if (t != NULL) {
		if (!t->sent || t->count + c->count > CHUNK_ITEMS ||
		    c->len > CHUNK_MAX - t->len)
			t = NULL;
	}
	if (t == NULL) {
		t = xcalloc(1, sizeof(*t));
		t->first = c->first;
		t->sent = true;
		TAILQ_INSERT_TAIL(&l->tail, t, link);
	}
	if (t->cap - t->len < c->len) {
		size_t cap = t->cap < CHUNK_MIN ? CHUNK_MIN : t->cap;

		while (cap - t->len < c->len)
			cap *= 2;
		l->tail_bytes += cap - t->cap;
		t->data = xrealloc(t->data, cap);
		t->cap = (uint32_t)cap;
	}
	memcpy(t->data + t->len, c->data, c->len);
	t->len += c->len;
	t->counted += c->counted;
	t->count += c->count;
	t->kept_at = now;
}

void
ledger_advance(struct ledger *l, uint64_t horizon, uint64_t now)
{
	struct chunk *c;

	assert(horizon <= l->last_seq);
	l->confirmed = horizon;
	if (horizon > l->horizon)
		l->horizon = horizon;
	/* Also when it is no news: after a rewind the chunks below it were
	 * kept until they had been sent again. */
	while ((c = TAILQ_FIRST(&l->chunks)) != NULL && c->sent &&
	    chunk_last(c) <= l->horizon) {
		TAILQ_REMOVE(&l->chunks, c, link);
		l->bytes -= c->len;
		if (l->tail_max > 0)
			tail_add(l, c, now);
		if (l->spare_count < SPARE_MAX) {
			TAILQ_INSERT_HEAD(&l->spare, c, link);
			l->spare_count++;
		} else {
			chunk_free(c);
		}
	}
	tail_trim(l, now);
}

static struct chunk *
list_unsent(struct chunk_list *list)
{
	struct chunk *c, *found = NULL;

	/* Sent chunks come before unsent ones: look from the end. */
	if (TAILQ_EMPTY(list))
		return NULL;
	for (c = TAILQ_LAST(list, chunk_list); c != NULL && !c->sent;
	     c = TAILQ_PREV(c, chunk_list, link))
		found = c;
	return found != NULL && found->count > 0 ? found : NULL;
}

struct chunk *
ledger_unsent(struct ledger *l)
{
	struct chunk *c = list_unsent(&l->tail);

	return c != NULL ? c : list_unsent(&l->chunks);
}

bool
ledger_rewind(struct ledger *l, uint64_t last_seq)
{
	struct chunk *c = TAILQ_FIRST(&l->tail);
	uint64_t from;

	if (c == NULL)
		c = TAILQ_FIRST(&l->chunks);
	from = c != NULL ? c->first : l->horizon + 1;
	if (last_seq + 1 < from && last_seq < l->horizon)
		return false;
	l->confirmed = last_seq;
	TAILQ_FOREACH(c, &l->tail, link)
		c->sent = chunk_last(c) <= last_seq;
	TAILQ_FOREACH(c, &l->chunks, link)
		c->sent = false;
	return true;
}
