/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parse.h - one HTTP request out of a growing buffer: llhttp (strict) finds
 * the parts, proto/http_head.h checks what llhttp leaves to us.
 *
 * The buffer must keep all bytes of the request in one piece, from its first
 * one, until the request is over; it may move between calls.  A body with a
 * length stays where it lies, a chunked one is put together in `joined`.
 * No I/O and no clock here: a fuzz target drives it.
 */
#ifndef HTTP_PARSE_H
#define HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <llhttp.h>

#include "common/attr.h"
#include "common/buf.h"
#include "proto/http_head.h"

enum parse_state {
	PARSE_HEAD = 0, /* more bytes of the head are needed */
	PARSE_BODY, /* the head is there and good, more of the body is needed */
	PARSE_DONE, /* all there; nothing after it has been looked at */
	PARSE_FAULT, /* refused: head.fault says why */
};

struct parse {
	llhttp_t llhttp;
	enum parse_state state;
	const uint8_t *base; /* of the current call */
	size_t fed;          /* bytes that llhttp has seen */
	size_t max_body;
	uint64_t body_length; /* as announced; 0 when chunked */
	bool chunked;
	bool keep_alive;
	size_t body_at, body_len; /* in place */
	struct buf joined;
	size_t size; /* PARSE_DONE: bytes of the whole request */
	struct http_head head;
};

/* For a fresh request; joined is emptied, not freed. */
void parse_reset(struct parse *, size_t max_body);
void parse_init(struct parse *);
void parse_fini(struct parse *);

/*
 * data has all bytes of the request that have come so far, len never shrinks.
 * Looks at the new ones and returns the state.
 */
enum parse_state parse_run(struct parse *, const uint8_t *data, size_t len);

/* PARSE_DONE: the body, in data or in joined. */
struct bytes parse_body(const struct parse *, const uint8_t *data);
/* The method as llhttp numbers it (HTTP_GET ...). */
unsigned parse_method(const struct parse *);

#endif
