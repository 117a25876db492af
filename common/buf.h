/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * buf.h - a growing byte buffer that is filled at the end and emptied at the
 * front.  Embedded in its owner; buf_fini() gives the memory back.
 */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

struct buf {
	uint8_t *base; /* start of the allocation */
	size_t head;   /* first byte that is not yet dropped */
	size_t tail;   /* end of the content */
	size_t cap;
};

void buf_init(struct buf *);
void buf_fini(struct buf *);

/* NULL for one that was never filled.  gcc -fanalyzer does not see that it has
 * no length then, as the code that fills is in another file: `make lint` calls
 * it ANALYZER and does not show it the NULL.  `make san` finds the memcpy() and
 * the like that are given it. */
static inline uint8_t *
buf_data(const struct buf *b)
{
#ifdef ANALYZER
	return b->base + b->head;
#else
	return b->base != NULL ? b->base + b->head : NULL;
#endif
}

static inline size_t
buf_len(const struct buf *b)
{
	return b->tail - b->head;
}

/* Room for n more bytes; write there, then buf_commit() what was written. */
uint8_t *buf_reserve(struct buf *, size_t n) WARN_UNUSED;
void buf_commit(struct buf *, size_t n);

void buf_add(struct buf *, const void *, size_t);
void buf_addstr(struct buf *, const char *);
void buf_addc(struct buf *, char);
void buf_printf(struct buf *, const char *, ...) PRINTF(2, 3);

/* Forget n bytes at the front. */
void buf_drop(struct buf *, size_t n);
void buf_clear(struct buf *);

/* The content as a C string; the NUL is not counted in buf_len(). */
const char *buf_str(struct buf *);

#endif
