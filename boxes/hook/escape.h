/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * escape.h - Kannel's %-escapes in the URLs of delivery reports and keyword
 * services.  hop-hook(8) has the table.
 *
 * The one deliberate difference: `%` and two hexadecimal digits are an encoded
 * byte and stay as they are, where Kannel expands `%C3` as charset and "3".
 * So a code whose letter is a hexadecimal digit (A B C D F a b c d e f) needs
 * something else behind it, as `%d&` or `%A` at the end has.  Blanks, control
 * and non-ASCII bytes of the URL itself, which HTTP does not allow, become
 * encoded bytes.
 *
 * Pure functions.
 */
#ifndef HOOK_ESCAPE_H
#define HOOK_ESCAPE_H

#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "proto/frame.h"

struct buf;

/* Absent values expand to nothing. */
struct escape_values {
	struct bytes text;     /* %b %A %a %k %s %S %r %e: text, or receipt */
	struct bytes handset;  /* %p %q */
	struct bytes ours;     /* %P %Q */
	struct bytes link;     /* %i */
	struct bytes smsc_id;  /* %F */
	struct bytes service;  /* %n: user name, or name of the rule */
	struct bytes account;  /* %o */
	struct bytes billing;  /* %B */
	struct bytes charset;  /* %C, else as the coding says */
	struct bytes metadata; /* %D and %#group#key#, "?group?key=value&" */
	struct bytes url;      /* %R */
	struct bytes udh;      /* %u */
	const uint8_t *id;     /* %I: 16 bytes */
	uint64_t at;           /* %t %T: wall ms */
	int dlr;               /* %d */
	int coding;            /* %c, -1 unset; so all below */
	int message_class;     /* %m */
	int mwi;               /* %M */
	int data_coding;       /* %O */
	int64_t validity_min;  /* %v */
	int64_t deferred_min;  /* %V */
	uint32_t parts; /* %x: of an MO that has not all of them; else 0 */
	uint32_t parts_received;
};

/* All numbers unset, all texts absent. */
void escape_values_init(struct escape_values *);

/*
 * Appends the expanded pattern.  Stops past `max` bytes and returns UV_E2BIG;
 * else 0.
 */
int escape_expand(struct buf *out, const char *pattern, size_t len,
    const struct escape_values *, size_t max) WARN_UNUSED;

/* URL-encodes as Kannel does: blank to '+', upper-case digits. */
void escape_encode(struct buf *out, struct bytes);

#endif
