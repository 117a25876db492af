/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap.h - memory of a script: so much and no more, apart from all other memory
 * of the process, so that a script that was stopped in the middle of anything
 * leaves nothing behind: heap_clear() forgets it all.
 *
 * Buddies: blocks are powers of two, halved for what is smaller and joined again
 * when both halves are free.
 */
#ifndef BOXES_LUA_HEAP_H
#define BOXES_LUA_HEAP_H

#include <stddef.h>
#include <stdint.h>

#define HEAP_BLOCK 32 /* the smallest */
#define HEAP_MIN   ((size_t)256 * 1024)

struct heap;

/* size is rounded down to whole blocks; HEAP_MIN at least.  NULL: the machine
 * has no room for that. */
struct heap *heap_new(size_t size);
void heap_free(struct heap *);

/* All of it is free again. */
void heap_clear(struct heap *);
/* Octets in blocks that are in use. */
size_t heap_used(const struct heap *);

/*
 * The allocator of lua_newstate(): `was` is the size that p was asked for with,
 * size 0 frees.  NULL when there is no room; never for a block that shrinks.
 */
void *heap_realloc(void *heap, void *p, size_t was, size_t size);

#endif
