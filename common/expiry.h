/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * expiry.h - how long a certificate of ours is still good: a gauge of the
 * seconds that are left, and a line in the log at 30, 14, 7 and 1 days before
 * the end and at the end.
 */
#ifndef COMMON_EXPIRY_H
#define COMMON_EXPIRY_H

#include <stdint.h>

#include "common/stats.h"

struct tls_config;

struct expiry {
	struct stat_value gauge;
	int64_t at;    /* wall seconds; 0: there is no certificate */
	unsigned told; /* how many of the lines */
};

/* name and labels as in struct stat_value. */
void expiry_init(struct expiry *, const char *name, const char *labels);
void expiry_fini(struct expiry *);
/* Another certificate, or none: tls may be NULL. */
void expiry_set(struct expiry *, const struct tls_config *tls, int64_t now);
/* Now and then. */
void expiry_tick(struct expiry *, int64_t now);

#endif
