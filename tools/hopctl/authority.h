/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * authority.h - a small certificate authority in a folder, for the bus and the
 * boxes of other hosts.
 *
 *	ca.crt  ca.key  ca.crl   of the authority itself
 *	NAME.crt  NAME.key       of a box or a bus
 *	index                    one line for each certificate, see below
 *
 * Keys are EC P-256 in files of mode 0600.  The folder is locked while one is
 * open.  Functions that fail leave the reason in `why`.
 */
#ifndef HOPCTL_AUTHORITY_H
#define HOPCTL_AUTHORITY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attr.h"

struct authority;
struct buf;

/* One line of the index: SERIAL TYPE NAME FROM UNTIL STATE HOSTS */
struct issued {
	char serial[20]; /* 16 hex digits */
	char type[32];
	char name[64];
	int64_t from, until; /* wall seconds */
	bool revoked;
	char hosts[256]; /* "a.example,10.0.0.1" or "" */
};

/* A new one; the folder is made.  Refused where one is already. */
bool authority_init(
    const char *folder, unsigned days, struct buf *why) WARN_UNUSED;
struct authority *authority_open(
    const char *folder, struct buf *why) WARN_UNUSED;
void authority_close(struct authority *);

/* All that was ever issued, oldest first; borrowed until the next change. */
const struct issued *authority_list(const struct authority *, size_t *count);
/* The latest of this name that is not revoked, or NULL. */
const struct issued *authority_find(const struct authority *, const char *name);

/* hosts: names and addresses of a bus, with commas between; or "". */
bool authority_issue(struct authority *, const char *type, const char *name,
    const char *hosts, unsigned days, struct buf *why) WARN_UNUSED;
/* The same type, hosts and key, for longer; needs NAME.crt. */
bool authority_renew(struct authority *, const char *name, unsigned days,
    struct buf *why) WARN_UNUSED;
/* All certificates of this name. */
bool authority_revoke(
    struct authority *, const char *name, struct buf *why) WARN_UNUSED;

#endif
