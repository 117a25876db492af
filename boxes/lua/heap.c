/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/lua/heap.h"

#include <sys/mman.h>

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

#define HEAP_ORDERS 32 /* blocks of HEAP_BLOCK << order */

/* Lives in the free block itself. */
struct hole {
	struct hole *next, **link;
};

struct heap {
	uint8_t *base;
	size_t size, used;
	struct hole *hole[HEAP_ORDERS];
	uint8_t *state; /* by block: 1 + order of a hole that begins there */
};

static size_t
heap_index(const struct heap *h, const void *p)
{
	return (size_t)((const uint8_t *)p - h->base) / HEAP_BLOCK;
}

static unsigned
heap_order(size_t size)
{
	unsigned order = 0;

	while (((size_t)HEAP_BLOCK << order) < size)
		order++;
	return order;
}

static void
hole_put(struct heap *h, void *p, unsigned order)
{
	struct hole *hole = p;

	hole->next = h->hole[order];
	hole->link = &h->hole[order];
	if (hole->next != NULL)
		hole->next->link = &hole->next;
	h->hole[order] = hole;
	h->state[heap_index(h, p)] = (uint8_t)(order + 1);
}

static void
hole_take(struct heap *h, struct hole *hole)
{
	*hole->link = hole->next;
	if (hole->next != NULL)
		hole->next->link = hole->link;
	h->state[heap_index(h, hole)] = 0;
}

static void *
heap_take(struct heap *h, unsigned order)
{
	unsigned from = order;
	struct hole *hole;

	while (from < HEAP_ORDERS && h->hole[from] == NULL)
		from++;
	if (from >= HEAP_ORDERS)
		return NULL;
	hole = h->hole[from];
	hole_take(h, hole);
	while (from > order) {
		from--;
		hole_put(
		    h, (uint8_t *)hole + ((size_t)HEAP_BLOCK << from), from);
	}
	h->used += (size_t)HEAP_BLOCK << order;
	return hole;
}

static void
heap_give(struct heap *h, uint8_t *p, unsigned order)
{
	h->used -= (size_t)HEAP_BLOCK << order;
	for (;; order++) {
		size_t len = (size_t)HEAP_BLOCK << order;
		size_t at = (size_t)(p - h->base);
		size_t buddy = at ^ len;

		/* The last ones may have none. */
		if (order + 1 >= HEAP_ORDERS || buddy + len > h->size ||
		    h->state[buddy / HEAP_BLOCK] != order + 1)
			break;
		hole_take(h, (struct hole *)(void *)(h->base + buddy));
		p = h->base + (at & ~len);
	}
	hole_put(h, p, order);
}

/* The upper halves of a block that is too large now. */
static void
heap_trim(struct heap *h, uint8_t *p, unsigned was, unsigned order)
{
	while (was > order) {
		was--;
		heap_give(h, p + ((size_t)HEAP_BLOCK << was), was);
	}
}

void *
heap_realloc(void *heap, void *p, size_t was, size_t size)
{
	struct heap *h = heap;
	void *moved;

	if (p == NULL)
		return size == 0 || size > h->size
		    ? NULL
		    : heap_take(h, heap_order(size));
	if (size == 0) {
		heap_give(h, p, heap_order(was));
		return NULL;
	}
	if (size > h->size)
		return NULL;
	if (heap_order(size) <= heap_order(was)) {
		heap_trim(h, p, heap_order(was), heap_order(size));
		return p;
	}
	moved = heap_take(h, heap_order(size));
	if (moved != NULL) {
		memcpy(moved, p, was);
		heap_give(h, p, heap_order(was));
	}
	return moved;
}

void
heap_clear(struct heap *h)
{
	size_t at = 0, len;
	unsigned order;

	/* What was used goes back to the machine. */
	(void)madvise(h->base, h->size, MADV_DONTNEED);
	memset(h->state, 0, h->size / HEAP_BLOCK);
	memset(h->hole, 0, sizeof(h->hole));
	h->used = 0;
	/* The largest that begin here and fit. */
	for (; at < h->size; at += len) {
		order = HEAP_ORDERS - 1;
		while (len = (size_t)HEAP_BLOCK << order,
		    (at & (len - 1)) != 0 || len > h->size - at)
			order--;
		hole_put(h, h->base + at, order);
	}
}

struct heap *
heap_new(size_t size)
{
	struct heap *h = xcalloc(1, sizeof(*h));

	h->size = (size < HEAP_MIN ? HEAP_MIN : size) / HEAP_BLOCK * HEAP_BLOCK;
	h->base = mmap(NULL, h->size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (h->base == MAP_FAILED) {
		free(h);
		return NULL;
	}
	h->state = xmalloc(h->size / HEAP_BLOCK);
	heap_clear(h);
	return h;
}

void
heap_free(struct heap *h)
{
	if (h == NULL)
		return;
	(void)munmap(h->base, h->size);
	free(h->state);
	free(h);
}

size_t
heap_used(const struct heap *h)
{
	return h->used;
}
