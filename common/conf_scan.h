/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_scan.h - reads the text of a configuration file before libconfig does,
 * to say what is wrong better than "syntax error", and to refuse what
 * libconfig 1.5 accepts in silence: numbers that wrap, a forgotten comma
 * between two texts, a quote that swallows the next line.
 */
#ifndef COMMON_CONF_SCAN_H
#define COMMON_CONF_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attr.h"

struct buf;

/*
 * Appends "file:line: what\n" to err and returns false when there is anything
 * to complain about.
 */
bool conf_scan(const char *file, const char *text, size_t len,
    struct buf *err) WARN_UNUSED;

#endif
