/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bytes.h - a borrowed run of octets.  Whoever hands one out says how long the
 * memory behind it lives; nobody frees through it.
 */
#ifndef PROTO_BYTES_H
#define PROTO_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const uint8_t *p; /* NULL: absent */
	size_t len;
};

static inline struct bytes
bytes_of(const void *p, size_t len)
{
	return (struct bytes){ .p = p, .len = len };
}

static inline struct bytes
bytes_str(const char *s)
{
	return bytes_of(s, s == NULL ? 0 : strlen(s));
}

/* The end of len octets at p, which may be NULL when there are none. */
static inline const uint8_t *
bytes_end(const uint8_t *p, size_t len)
{
	return len == 0 ? p : p + len;
}

static inline bool
bytes_eq(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

#endif
