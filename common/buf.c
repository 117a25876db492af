/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * buf.c - a growing byte buffer.
 *
 * The content is base[head..tail).  When room is needed at the end, content is
 * moved to the front if at least half of the memory before it is free (so each
 * byte moves at most once for each byte that was dropped), else the memory
 * doubles.
 */
#include "common/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

#define BUF_MIN 256

void
buf_init(struct buf *b)
{
	memset(b, 0, sizeof(*b));
}

void
buf_fini(struct buf *b)
{
	free(b->base);
	buf_init(b);
}

uint8_t *
buf_reserve(struct buf *b, size_t n)
{
	size_t len = b->tail - b->head;
	size_t cap;

	if (b->base != NULL && n <= b->cap - b->tail)
		return b->base + b->tail;
	assert(n < SIZE_MAX / 4 && len < SIZE_MAX / 4);
	assert(b->base != NULL || len == 0);
	if (b->head >= len && n <= b->cap - len) {
		if (len > 0)
			memcpy(b->base, b->base + b->head, len);
	} else {
		cap = b->cap > BUF_MIN ? b->cap : BUF_MIN;
		while (cap < len + n)
			cap *= 2;
		if (b->head > 0 && len > 0)
			memmove(b->base, b->base + b->head, len);
		b->base = xrealloc(b->base, cap);
		b->cap = cap;
	}
	b->head = 0;
	b->tail = len;
	return b->base + len;
}

void
buf_commit(struct buf *b, size_t n)
{
	assert(n <= b->cap - b->tail);
	b->tail += n;
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	memcpy(buf_reserve(b, n), p, n);
	b->tail += n;
}

void
buf_addstr(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_addc(struct buf *b, char c)
{
	*buf_reserve(b, 1) = (uint8_t)c;
	b->tail++;
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	size_t room;
	char *dst;
	int n;

	dst = (char *)buf_reserve(b, 64);
	room = b->cap - b->tail;
	va_start(ap, fmt);
	n = vsnprintf(dst, room, fmt, ap);
	va_end(ap);
	assert(n >= 0);
	if ((size_t)n >= room) {
		dst = (char *)buf_reserve(b, (size_t)n + 1);
		va_start(ap, fmt);
		n = vsnprintf(dst, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	b->tail += (size_t)n;
}

void
buf_drop(struct buf *b, size_t n)
{
	assert(n <= b->tail - b->head);
	b->head += n;
	if (b->head == b->tail)
		b->head = b->tail = 0;
}

void
buf_clear(struct buf *b)
{
	b->head = b->tail = 0;
}

const char *
buf_str(struct buf *b)
{
	*buf_reserve(b, 1) = '\0';
	return (const char *)buf_data(b);
}
