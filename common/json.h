/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json.h - append-only JSON writer on a buf.  Commas and nesting are its own
 * business; jansson reads.  Invalid UTF-8 in text is written as U+FFFD.
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

struct buf;

struct json {
	struct buf *out;
	unsigned depth;
	bool comma; /* the next value is not the first of its container */
};

void json_init(struct json *, struct buf *out);

/* key is NULL inside arrays and at the top. */
void json_open_object(struct json *, const char *key);
void json_close_object(struct json *);
void json_open_array(struct json *, const char *key);
void json_close_array(struct json *);
void json_text(struct json *, const char *key, const void *, size_t);
void json_str(struct json *, const char *key, const char *); /* NULL: null */
void json_printf(struct json *, const char *key, const char *fmt, ...)
    PRINTF(3, 4);
void json_int(struct json *, const char *key, int64_t);
void json_uint(struct json *, const char *key, uint64_t);
void json_double(struct json *, const char *key, double, int digits);
void json_bool(struct json *, const char *key, bool);
/* null; jansson has taken the other name. */
void json_none(struct json *, const char *key);
void json_time(struct json *, const char *key, uint64_t wall_ms);
void json_uuid(struct json *, const char *key, const uint8_t id[16]);
void json_hex(struct json *, const char *key, const void *, size_t);
/* Bytes that are JSON already. */
void json_raw(struct json *, const char *key, const void *, size_t);

#endif
