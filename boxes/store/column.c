/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/column.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/pg.h"
#include "common/utf8.h"
#include "common/xalloc.h"

/* ndim, has-null flag, element type, length, lower bound */
#define COLUMN_HEAD 20

static inline void
column_be32(uint8_t *dst, uint32_t v)
{
	dst[0] = (uint8_t)(v >> 24);
	dst[1] = (uint8_t)(v >> 16);
	dst[2] = (uint8_t)(v >> 8);
	dst[3] = (uint8_t)v;
}

static void
column_grow(struct column *c, size_t need)
{
	while (c->cap - c->len < need)
		c->cap = c->cap == 0 ? 1024 : c->cap * 2;
	c->base = xrealloc(c->base, c->cap);
}

static inline uint8_t *
column_room(struct column *c, size_t len)
{
	uint8_t *p;

	if (c->cap - c->len < len + 4)
		column_grow(c, len + 4);
	p = c->base + c->len;
	column_be32(p, (uint32_t)len);
	c->len += len + 4;
	c->count++;
	return p + 4;
}

void
column_init(struct column *c, enum column_type type)
{
	memset(c, 0, sizeof(*c));
	c->type = type;
	column_clear(c);
}

void
column_fini(struct column *c)
{
	free(c->base);
	memset(c, 0, sizeof(*c));
}

void
column_clear(struct column *c)
{
	if (c->cap < COLUMN_HEAD)
		column_grow(c, COLUMN_HEAD);
	c->len = COLUMN_HEAD;
	c->count = 0;
	c->nulls = false;
}

void
column_add(struct column *c, int64_t v)
{
	uint64_t u = (uint64_t)v;
	uint8_t *p;

	switch (c->type) {
	case COLUMN_INT8:
		p = column_room(c, 8);
		column_be32(p, (uint32_t)(u >> 32));
		column_be32(p + 4, (uint32_t)u);
		return;
	case COLUMN_INT4:
		column_be32(column_room(c, 4), (uint32_t)u);
		return;
	case COLUMN_INT2:
		p = column_room(c, 2);
		p[0] = (uint8_t)(u >> 8);
		p[1] = (uint8_t)u;
		return;
	case COLUMN_CHAR:
		*column_room(c, 1) = (uint8_t)u;
		return;
	case COLUMN_BOOL:
		*column_room(c, 1) = u != 0;
		return;
	case COLUMN_BYTEA:
	case COLUMN_TEXT:
	case COLUMN_UUID:
		break;
	}
	assert(!"a number in a column of bytes");
}

void
column_add_null(struct column *c)
{
	column_room(c, 0);
	memset(c->base + c->len - 4, 0xff, 4);
	c->nulls = true;
}

void
column_add_bytes(struct column *c, const void *bytes, size_t len)
{
	uint8_t *p;

	assert(
	    c->type == COLUMN_BYTEA || (c->type == COLUMN_UUID && len == 16));
	p = column_room(c, len);
	if (len > 0)
		memcpy(p, bytes, len);
}

void
column_add_text(struct column *c, const void *bytes, size_t len)
{
	uint8_t *p, *end;
	uint32_t cp;

	assert(c->type == COLUMN_TEXT);
	p = column_room(c, len);
	if (len > 0)
		memcpy(p, bytes, len);
	for (end = p + len; p < end;) {
		size_t n = 1;

		if (*p >= 0x80)
			n = utf8_decode(p, (size_t)(end - p), &cp);
		if (n == 0 || *p < ' ' || *p == 0x7f) {
			*p = '?';
			n = 1;
		}
		p += n;
	}
}

/* Where value i begins with its length, -1 for NULL. */
static size_t
column_find(const struct column *c, uint32_t i, size_t *len, bool *null)
{
	size_t at = COLUMN_HEAD;

	assert(i < c->count);
	for (;; i--) {
		const uint8_t *p = c->base + at;
		uint32_t n = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
		    (uint32_t)p[2] << 8 | p[3];

		*null = n == UINT32_MAX;
		*len = *null ? 0 : n;
		if (i == 0)
			return at;
		at += 4 + *len;
	}
}

bool
column_get(const struct column *c, uint32_t i, const uint8_t **p, size_t *len)
{
	bool null;
	size_t at = column_find(c, i, len, &null);

	*p = null ? NULL : c->base + at + 4;
	return !null;
}

void
column_remove(struct column *c, uint32_t i)
{
	size_t len, at;
	bool null;

	at = column_find(c, i, &len, &null);
	memmove(c->base + at, c->base + at + 4 + len, c->len - at - 4 - len);
	c->len -= 4 + len;
	c->count--;
}

void
column_param(struct column *c, struct pg_params *params)
{
	assert(c->len <= INT_MAX);
	column_be32(c->base, c->count > 0);
	column_be32(c->base + 4, c->nulls);
	column_be32(c->base + 8, (uint32_t)c->type);
	column_be32(c->base + 12, c->count);
	column_be32(c->base + 16, 1);
	pg_param_bytes(params, c->base, c->count > 0 ? c->len : 12);
}

/* Bytes of a value with its length before it, as both stand in the array. */
static size_t
column_size(const uint8_t *p)
{
	uint32_t len = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | p[3];

	return len == UINT32_MAX ? 4 : 4 + (size_t)len;
}

bool
column_is_same(const struct column *c)
{
	const uint8_t *first = c->base + COLUMN_HEAD;
	const uint8_t *end = c->base + c->len;
	size_t size;

	if (c->count == 0)
		return false;
	size = column_size(first);
	/* Values of one size, or not the same. */
	if (size * c->count != c->len - COLUMN_HEAD)
		return false;
	for (const uint8_t *p = first + size; p < end; p += size) {
		if (memcmp(first, p, size) != 0)
			return false;
	}
	return true;
}

void
column_param_first(const struct column *c, struct pg_params *params)
{
	const uint8_t *first = c->base + COLUMN_HEAD;
	bool null;

	assert(c->count > 0);
	null = memcmp(first, "\xff\xff\xff\xff", 4) == 0;
	pg_param_bytes(
	    params, null ? NULL : first + 4, null ? 0 : column_size(first) - 4);
}
