/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outbox.c - the ring of unsettled items.
 *
 * The encoded bytes lie one after the other in chunks, so that a frame is
 * filled with one copy per chunk and not one per item.  Entries leave in order
 * at the head; a chunk goes when its last entry has left.  The number of the
 * i-th entry is base + i: entries that were refused stay as holes until they
 * reach the head, or until outbox_restart() closes the ranks.  Entries that are
 * withdrawn before they are sent have no number, and leave when the next ones
 * are to be sent.
 */
#include "common/outbox.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/xalloc.h"

#define OUTBOX_CHUNK    (128 * 1024)
#define OUTBOX_MIN_RING 64

struct outbox_chunk {
	struct outbox_chunk *next;
	size_t used, cap;
	size_t entries; /* that point here */
	uint8_t data[];
};

struct outbox_entry {
	uint64_t cookie;
	uint8_t *data;
	struct outbox_chunk *chunk;
	uint32_t size;  /* encoded */
	uint32_t bytes; /* what Credit counts */
	uint16_t type;
	bool refused;   /* or dropped, which is the same behind the sent ones */
	bool withdrawn; /* not to be sent again */
	bool left;      /* sent on an earlier connection */
	uint64_t serial; /* grows along the ring */
};

static inline struct outbox_entry *
outbox_entry(const struct outbox *o, size_t i)
{
	return &o->ring[(o->head + i) & (o->cap - 1)];
}

void
outbox_init(struct outbox *o, size_t max_items, size_t max_bytes)
{
	memset(o, 0, sizeof(*o));
	o->max_items = max_items;
	o->max_bytes = max_bytes;
	o->base = 1;
}

void
outbox_fini(struct outbox *o)
{
	struct outbox_chunk *c;

	while ((c = o->first) != NULL) {
		o->first = c->next;
		free(c);
	}
	free(o->spare);
	free(o->ring);
	outbox_init(o, o->max_items, o->max_bytes);
}

bool
outbox_full(const struct outbox *o)
{
	return o->count >= o->max_items || o->bytes >= o->max_bytes;
}

/* --------------------------------------------------------------- storage */

static struct outbox_chunk *
outbox_room(struct outbox *o, size_t size)
{
	struct outbox_chunk *c = o->last;
	size_t cap = size > OUTBOX_CHUNK ? size : OUTBOX_CHUNK;

	if (c != NULL && size <= c->cap - c->used)
		return c;
	if (o->spare != NULL && cap == OUTBOX_CHUNK) {
		c = o->spare;
		o->spare = NULL;
	} else {
		c = xmalloc(sizeof(*c) + cap);
	}
	*c = (struct outbox_chunk){ .cap = cap };
	if (o->last != NULL)
		o->last->next = c;
	else
		o->first = c;
	o->last = c;
	return c;
}

static void
outbox_release(struct outbox *o, const struct outbox_entry *e)
{
	struct outbox_chunk *c;

	o->bytes -= e->size;
	e->chunk->entries--;
	while ((c = o->first) != NULL && c->entries == 0) {
		o->first = c->next;
		if (o->first == NULL)
			o->last = NULL;
		if (o->spare == NULL && c->cap == OUTBOX_CHUNK)
			o->spare = c;
		else
			free(c);
	}
}

static void
outbox_grow(struct outbox *o)
{
	size_t cap = o->cap > 0 ? o->cap * 2 : OUTBOX_MIN_RING;
	struct outbox_entry *ring;
	size_t i;

	ring = xcalloc(cap, sizeof(*ring));
	for (i = 0; i < o->count; i++)
		ring[i] = *outbox_entry(o, i);
	free(o->ring);
	o->ring = ring;
	o->cap = cap;
	o->head = 0;
}

int
outbox_add(
    struct outbox *o, uint16_t type, const struct item *item, uint64_t cookie)
{
	size_t size = item_size(item);
	struct outbox_chunk *c;
	struct outbox_entry *e;

	if (outbox_full(o))
		return UV_ENOBUFS;
	if (size > FRAME_MAX_PAYLOAD - ITEMS_HEAD)
		return UV_EMSGSIZE;
	if (o->count == o->cap)
		outbox_grow(o);
	c = outbox_room(o, size);
	e = outbox_entry(o, o->count);
	*e = (struct outbox_entry){
		.cookie = cookie,
		.data = c->data + c->used,
		.chunk = c,
		.size = (uint32_t)size,
		.bytes = (uint32_t)item_bytes(item),
		.type = type,
		.serial = ++o->serial,
	};
	item_put(e->data, item);
	c->used += size;
	c->entries++;
	o->bytes += size;
	o->count++;
	o->live++;
	return 0;
}

/* --------------------------------------------------------------- sending */

void
outbox_restart(struct outbox *o)
{
	struct outbox_entry *e;
	size_t i, kept = 0;

	for (i = 0; i < o->count; i++) {
		e = outbox_entry(o, i);
		e->left |= i < o->sent;
		if (e->withdrawn && !e->refused)
			o->live--;
		if (e->refused || e->withdrawn)
			outbox_release(o, e);
		else
			*outbox_entry(o, kept++) = *e;
	}
	assert(kept == o->live);
	o->count = kept;
	o->sent = 0;
	o->dropped = 0;
	o->base = 1;
}

void
outbox_close_ranks(struct outbox *o)
{
	struct outbox_entry *e;
	size_t i, kept = o->sent;

	if (o->dropped == 0)
		return;
	for (i = o->sent; i < o->count; i++) {
		e = outbox_entry(o, i);
		if (e->refused)
			outbox_release(o, e);
		else
			*outbox_entry(o, kept++) = *e;
	}
	assert(o->count - kept == o->dropped);
	o->count = kept;
	o->dropped = 0;
}

/* Index of the entry, or o->count. */
static size_t
outbox_find(const struct outbox *o, uint64_t serial)
{
	size_t low = 0, high = o->count, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (outbox_entry(o, mid)->serial < serial)
			low = mid + 1;
		else
			high = mid;
	}
	return low < o->count && outbox_entry(o, low)->serial == serial
	    ? low
	    : o->count;
}

enum outbox_withdrawn
outbox_withdraw(struct outbox *o, uint64_t serial)
{
	size_t i = outbox_find(o, serial);
	struct outbox_entry *e;

	if (i == o->count || outbox_entry(o, i)->refused)
		return OUTBOX_SETTLED;
	e = outbox_entry(o, i);
	e->withdrawn = true;
	if (i < o->sent)
		return OUTBOX_SENT;
	e->refused = true;
	o->live--;
	o->dropped++;
	return e->left ? OUTBOX_SENT : OUTBOX_UNSENT;
}

bool
outbox_next(const struct outbox *o, const struct outbox_limits *limits,
    struct outbox_run *run)
{
	const struct outbox_entry *e;
	size_t i;

	assert(o->dropped == 0);
	memset(run, 0, sizeof(*run));
	for (i = o->sent; i < o->count; i++) {
		e = outbox_entry(o, i);
		if (run->items == 0) {
			run->type = e->type;
			run->first = o->base + i;
		}
		if (e->type != run->type || run->items >= limits->items ||
		    run->items >= limits->frame_items ||
		    e->bytes > limits->bytes - run->bytes ||
		    e->size > limits->frame_payload - run->payload)
			break;
		run->items++;
		run->bytes += e->bytes;
		run->payload += e->size;
	}
	return run->items > 0;
}

uint8_t *
outbox_put(struct outbox *o, const struct outbox_run *run, uint8_t *dst)
{
	const struct outbox_entry *e;
	const uint8_t *from = NULL;
	size_t i, len = 0;

	assert(run->first == o->base + o->sent);
	for (i = 0; i < run->items; i++) {
		e = outbox_entry(o, o->sent + i);
		assert(!e->refused);
		if (from != NULL && from + len == e->data) {
			len += e->size;
			continue;
		}
		if (from != NULL) {
			memcpy(dst, from, len);
			dst += len;
		}
		from = e->data;
		len = e->size;
	}
	if (from != NULL)
		memcpy(dst, from, len);
	o->sent += run->items;
	return dst + len;
}

uint64_t
outbox_last_sent(const struct outbox *o)
{
	return o->base + o->sent - 1;
}

size_t
outbox_count_to_last(const struct outbox *o, uint16_t type)
{
	size_t i;

	for (i = o->count; i > 0; i--)
		if (outbox_entry(o, i - 1)->type == type)
			break;
	return i;
}

/* -------------------------------------------------------------- settling */

static void
outbox_pop(struct outbox *o)
{
	outbox_release(o, outbox_entry(o, 0));
	o->head = (o->head + 1) & (o->cap - 1);
	o->count--;
	o->sent--;
	o->base++;
}

bool
outbox_refuse(struct outbox *o, uint64_t number, uint64_t *cookie)
{
	struct outbox_entry *e;

	if (number < o->base || number - o->base >= o->sent)
		return false;
	e = outbox_entry(o, (size_t)(number - o->base));
	if (e->refused)
		return false;
	*cookie = e->cookie;
	e->refused = true;
	o->live--;
	while (o->sent > 0 && outbox_entry(o, 0)->refused)
		outbox_pop(o);
	return true;
}

bool
outbox_settle(struct outbox *o, uint64_t upto, uint64_t *cookie)
{
	struct outbox_entry *e;
	bool refused;

	while (o->sent > 0) {
		e = outbox_entry(o, 0);
		if (!e->refused && o->base > upto)
			return false;
		*cookie = e->cookie;
		refused = e->refused;
		outbox_pop(o);
		if (!refused) {
			o->live--;
			return true;
		}
	}
	return false;
}
