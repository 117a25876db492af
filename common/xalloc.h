/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xalloc.h - allocation that cannot fail: running out of memory ends the
 * process.  Sizes that come from a peer are checked before they get here.
 */
#ifndef COMMON_XALLOC_H
#define COMMON_XALLOC_H

#include <stddef.h>

#include "common/attr.h"

void *xmalloc(size_t) WARN_UNUSED;
void *xcalloc(size_t n, size_t size) WARN_UNUSED;
void *xrealloc(void *, size_t) WARN_UNUSED;
void *xmemdup(const void *, size_t) WARN_UNUSED;
char *xstrdup(const char *) WARN_UNUSED;
/* Copies n bytes and adds a NUL. */
char *xstrndup(const char *, size_t n) WARN_UNUSED;
char *xasprintf(const char *, ...) PRINTF(1, 2) WARN_UNUSED;

#endif
