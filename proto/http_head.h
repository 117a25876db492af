/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_head.h - what we keep and check of an HTTP request's head, around a
 * strict llhttp: where the target and the fields lie, and the refusals that
 * the parser leaves to its user.
 *
 * Everything is an offset into the bytes of the request, which stay in one
 * piece until the request is over.  Pure functions.
 */
#ifndef PROTO_HTTP_HEAD_H
#define PROTO_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"

#define HTTP_HEAD_MAX   (16 * 1024) /* field lines */
#define HTTP_TARGET_MAX (8 * 1024)
#define HTTP_FIELDS_MAX 64

/* Why a request is refused before anybody looks at what it wants. */
enum http_fault {
	HTTP_FAULT_NONE = 0,
	HTTP_FAULT_SYNTAX, /* llhttp refused it */
	HTTP_FAULT_FOLDED, /* a field goes on in the next line */
	HTTP_FAULT_HOST_MISSING,
	HTTP_FAULT_HOST_REPEATED,
	HTTP_FAULT_HOST_INVALID,
	HTTP_FAULT_REPEATED, /* another field that may stand only once */
	HTTP_FAULT_TE_ON_10, /* Transfer-Encoding in HTTP/1.0 */
	HTTP_FAULT_TARGET,   /* not a path and not an absolute URL */
	HTTP_FAULT_TARGET_LONG,
	HTTP_FAULT_HEAD_LARGE,
	HTTP_FAULT_FIELDS_MANY,
	HTTP_FAULT_VERSION, /* neither 1.0 nor 1.1 */
	HTTP_FAULT_EXPECT,  /* an expectation other than 100-continue */
	HTTP_FAULT_BODY_LARGE,
	HTTP_FAULT_SLOW, /* a deadline passed */
	HTTP_FAULT_BUSY, /* no memory left for more bodies */
};

/* HTTP status and one sentence for people. */
unsigned http_fault_status(enum http_fault);
const char *http_fault_text(enum http_fault);

struct http_span {
	uint32_t at, len;
};

struct http_field {
	struct http_span name, value;
};

struct http_head {
	struct http_span target; /* as it stands in the request line */
	struct http_span path;   /* valid after http_head_finish() */
	struct http_span query;  /* without '?' */
	unsigned fields;
	enum http_fault fault;
	bool in_name; /* the next name span goes on with the last */
	bool expects_continue;
	uint8_t minor; /* 0 or 1 */
	/* Large, so last: `fields` of them. */
	struct http_field field[HTTP_FIELDS_MAX];
};

void http_head_init(struct http_head *);

/*
 * Spans as the parser reports them, possibly in pieces; a piece follows the
 * one before.  false: refused, see fault.
 */
bool http_head_target(struct http_head *, size_t at, size_t len);
bool http_head_name(struct http_head *, size_t at, size_t len);
void http_head_name_done(struct http_head *);
bool http_head_value(struct http_head *, size_t at, size_t len);

/*
 * The head is complete: raw has its `len` bytes from the request line to the
 * empty line.  Does the checks that need the whole; the result is also left
 * in `fault`.
 */
enum http_fault http_head_finish(struct http_head *, const uint8_t *raw,
    size_t len, unsigned major, unsigned minor);

/* The first field of that name (any case); false when there is none. */
bool http_head_get(const struct http_head *, const uint8_t *raw,
    const char *name, struct bytes *value);

static inline struct bytes
http_span_bytes(const uint8_t *raw, struct http_span s)
{
	return (struct bytes){ raw + s.at, s.len };
}

#endif
