/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attr.h - compiler attributes and the three macros that everybody needs.
 */
#ifndef COMMON_ATTR_H
#define COMMON_ATTR_H

#include <stddef.h>

#define WARN_UNUSED       __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN          __attribute__((noreturn))
#define UNUSED            __attribute__((unused))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct of type t whose member m is at p. */
#define CONTAINER_OF(p, t, m) ((t *)(void *)((char *)(p)-offsetof(t, m)))

#endif
