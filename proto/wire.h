/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wire.h - bounds-checked cursors over bytes that came from, or go to, a peer.
 *
 * The error is sticky: after the first read or write that does not fit, `failed`
 * stays set, reads give 0 or NULL and writes do nothing.  So a decoder reads
 * all its fields in a row and looks at `failed` once.  Suffix be: as SMPP
 * orders octets; le: as our own frames do.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/bytes.h"

/* ---------------------------------------------------------------- reading */

struct rd {
	const uint8_t *pos, *end;
	bool failed;
};

static inline void
rd_init(struct rd *r, const void *p, size_t len)
{
	r->pos = p;
	r->end = bytes_end(r->pos, len);
	r->failed = false;
}

static inline size_t
rd_left(const struct rd *r)
{
	return (size_t)(r->end - r->pos);
}

/* All was read and nothing failed. */
static inline bool
rd_done(const struct rd *r)
{
	return !r->failed && r->pos == r->end;
}

/* The next n octets, or NULL and `failed`. */
static inline const uint8_t *
rd_take(struct rd *r, size_t n)
{
	const uint8_t *p = r->pos;

	if (r->failed || n > rd_left(r)) {
		r->failed = true;
		return NULL;
	}
	r->pos += n;
	return p;
}

static inline struct bytes
rd_bytes(struct rd *r, size_t n)
{
	const uint8_t *p = rd_take(r, n);

	return bytes_of(p, p == NULL ? 0 : n);
}

static inline uint8_t
rd_u8(struct rd *r)
{
	const uint8_t *p = rd_take(r, 1);

	return p == NULL ? 0 : p[0];
}

static inline uint16_t
rd_u16be(struct rd *r)
{
	const uint8_t *p = rd_take(r, 2);

	return p == NULL ? 0 : (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t
rd_u32be(struct rd *r)
{
	const uint8_t *p = rd_take(r, 4);

	return p == NULL ? 0
			 : (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
		(uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t
rd_u64be(struct rd *r)
{
	uint64_t hi = rd_u32be(r);

	return hi << 32 | rd_u32be(r);
}

static inline uint16_t
rd_u16le(struct rd *r)
{
	const uint8_t *p = rd_take(r, 2);

	return p == NULL ? 0 : (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t
rd_u32le(struct rd *r)
{
	const uint8_t *p = rd_take(r, 4);

	return p == NULL ? 0
			 : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 |
		(uint32_t)p[1] << 8 | p[0];
}

static inline uint64_t
rd_u64le(struct rd *r)
{
	uint64_t lo = rd_u32le(r);

	return lo | (uint64_t)rd_u32le(r) << 32;
}

/*
 * A C-octet string of at most max octets, its NUL included.  The view is
 * without the NUL.  No NUL within max, or within the input, is a failure.
 */
static inline struct bytes
rd_cstr(struct rd *r, size_t max)
{
	size_t room = rd_left(r) < max ? rd_left(r) : max;
	const uint8_t *nul;
	struct bytes b = { NULL, 0 };

	nul = r->failed || room == 0 ? NULL : memchr(r->pos, 0, room);
	if (nul == NULL) {
		r->failed = true;
		return b;
	}
	b = bytes_of(r->pos, (size_t)(nul - r->pos));
	r->pos = nul + 1;
	return b;
}

/* ---------------------------------------------------------------- writing */

struct wr {
	uint8_t *base, *pos, *end;
	bool failed;
};

static inline void
wr_init(struct wr *w, void *p, size_t cap)
{
	w->base = w->pos = p;
	w->end = cap == 0 ? w->base : w->base + cap;
	w->failed = false;
}

static inline size_t
wr_len(const struct wr *w)
{
	return (size_t)(w->pos - w->base);
}

/* Room for n octets that the caller fills, or NULL and `failed`. */
static inline uint8_t *
wr_take(struct wr *w, size_t n)
{
	uint8_t *p = w->pos;

	if (w->failed || n > (size_t)(w->end - w->pos)) {
		w->failed = true;
		return NULL;
	}
	w->pos += n;
	return p;
}

static inline void
wr_mem(struct wr *w, const void *src, size_t n)
{
	uint8_t *p = wr_take(w, n);

	if (p != NULL && n > 0)
		memcpy(p, src, n);
}

static inline void
wr_u8(struct wr *w, uint8_t v)
{
	uint8_t *p = wr_take(w, 1);

	if (p != NULL)
		p[0] = v;
}

static inline void
wr_u16be(struct wr *w, uint16_t v)
{
	uint8_t *p = wr_take(w, 2);

	if (p != NULL) {
		p[0] = (uint8_t)(v >> 8);
		p[1] = (uint8_t)v;
	}
}

static inline void
wr_u32be(struct wr *w, uint32_t v)
{
	uint8_t *p = wr_take(w, 4);

	if (p != NULL) {
		p[0] = (uint8_t)(v >> 24);
		p[1] = (uint8_t)(v >> 16);
		p[2] = (uint8_t)(v >> 8);
		p[3] = (uint8_t)v;
	}
}

static inline void
wr_u64be(struct wr *w, uint64_t v)
{
	wr_u32be(w, (uint32_t)(v >> 32));
	wr_u32be(w, (uint32_t)v);
}

static inline void
wr_u16le(struct wr *w, uint16_t v)
{
	uint8_t *p = wr_take(w, 2);

	if (p != NULL) {
		p[0] = (uint8_t)v;
		p[1] = (uint8_t)(v >> 8);
	}
}

static inline void
wr_u32le(struct wr *w, uint32_t v)
{
	uint8_t *p = wr_take(w, 4);

	if (p != NULL) {
		p[0] = (uint8_t)v;
		p[1] = (uint8_t)(v >> 8);
		p[2] = (uint8_t)(v >> 16);
		p[3] = (uint8_t)(v >> 24);
	}
}

static inline void
wr_u64le(struct wr *w, uint64_t v)
{
	wr_u32le(w, (uint32_t)v);
	wr_u32le(w, (uint32_t)(v >> 32));
}

/* The octets and a NUL. */
static inline void
wr_cstr(struct wr *w, struct bytes b)
{
	wr_mem(w, b.p, b.len);
	wr_u8(w, 0);
}

#endif
