/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * form.h - query strings and urlencoded bodies, as Kannel reads them: pairs
 * are parted by '&' only (a stray ';' is data), '+' is a blank, and a '%' that
 * is not followed by two hex digits stands for itself.
 *
 * Pure functions; views are borrowed from the input.
 */
#ifndef PROTO_FORM_H
#define PROTO_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"

/* Walks the pairs of a query. */
struct form {
	const uint8_t *pos, *end;
};

void form_open(struct form *, const void *, size_t);
/*
 * The next pair, still encoded; a pair without '=' has an empty value, empty
 * pairs are skipped.  false at the end.
 */
bool form_next(struct form *, struct bytes *name, struct bytes *value);

/* The value of a hex digit, or -1. */
int form_digit(uint8_t);
/* Decodes into dst, which has room for len bytes and may be src itself.
 * Returns the length; the result may hold NULs. */
size_t form_decode(uint8_t *dst, const uint8_t *src, size_t len);

/* True when the encoded name decodes to exactly this text. */
bool form_is(struct bytes encoded, const char *name);

/*
 * An integer as sscanf("%d") reads it: leading blanks, a sign, digits, and
 * whatever follows is ignored.  false when there is no digit.  Values past
 * the range of int are clamped.
 */
bool form_int(const uint8_t *, size_t, int *value);

/* Hex digits, either case, an even number of them.  Returns the number of
 * bytes written to dst (room for len / 2), or -1. */
int form_hex(uint8_t *dst, const uint8_t *src, size_t len);

/*
 * Whether url lies under one of the registered prefixes' terms: it starts with
 * prefix byte for byte, and a prefix that ends inside the authority is only
 * followed by the end of the authority, so that "https://a.example" does not
 * let "https://a.example.net" or "https://a.example@b" through.
 */
bool form_url_under(const uint8_t *url, size_t len, const char *prefix);

#endif
