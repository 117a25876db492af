/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uuid.h - message ids: UUIDv7 (RFC 9562, 5.7), 16 bytes, increasing within a
 * process also inside one millisecond.
 */
#ifndef COMMON_UUID_H
#define COMMON_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

#define UUID_LEN      16
#define UUID_TEXT_LEN 37 /* with NUL */

void uuid_new(uint8_t dst[UUID_LEN]);
uint64_t uuid_time_ms(const uint8_t id[UUID_LEN]);
/* The bound of a range: no id of this millisecond is lower. */
void uuid_lowest(uint64_t ms, uint8_t dst[UUID_LEN]);
const char *uuid_format(const uint8_t id[UUID_LEN], char dst[UUID_TEXT_LEN]);
/* Takes 8-4-4-4-12 or 32 hex digits, either case. */
bool uuid_parse(const char *, size_t len, uint8_t dst[UUID_LEN]) WARN_UNUSED;

#endif
