/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utf8.h - the one UTF-8 decoder under log and JSON output.
 */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

/*
 * One code point at p (RFC 3629: no surrogates, no overlong forms).  Returns
 * its length in bytes, or 0 when p does not start with a valid one.
 */
size_t utf8_decode(const uint8_t *p, size_t len, uint32_t *cp) WARN_UNUSED;

/*
 * True for code points that change what a terminal or a reader shows around
 * them: C0, DEL, C1, line separators and bidirectional controls.
 */
bool utf8_is_control(uint32_t cp);

#endif
