/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exposition.h - Prometheus texts of several processes put together into one.
 * The format wants all samples of a metric in one group under one HELP and one
 * TYPE, and every process has its own.
 *
 * What comes is input from other processes: lines that are no sample are left
 * out and counted, and the whole is bounded.
 */
#ifndef HTTP_EXPOSITION_H
#define HTTP_EXPOSITION_H

#include <stddef.h>

#include "common/attr.h"

struct buf;
struct exposition;

/* max: bytes kept; what comes after that is left out. */
struct exposition *exposition_new(size_t max) WARN_UNUSED;
void exposition_free(struct exposition *);
/* Copies. */
void exposition_add(struct exposition *, const void *text, size_t len);
/* Lines that were left out. */
size_t exposition_dropped(const struct exposition *);
void exposition_write(const struct exposition *, struct buf *);

#endif
