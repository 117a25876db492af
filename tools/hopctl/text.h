/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text.h - numbers, times and foreign text as people read them on a terminal.
 */
#ifndef HOPCTL_TEXT_H
#define HOPCTL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* "850ms", "12s", "4m10s", "3h05m", "3d4h". */
void text_duration(struct buf *, uint64_t ms);
/* "0.9 ms", "41 ms", "1.2 s". */
void text_micros(struct buf *, uint64_t us);
/* Local time: "2026-11-22 20:18:00.123", "20:18:00.123". */
void text_time(struct buf *, uint64_t wall_ms);
void text_clock(struct buf *, uint64_t wall_ms);
/* On the same local day? */
bool text_same_day(uint64_t a, uint64_t b);
/* "+8 ms", "+1009 ms", "+12.3 s", "+2h10m". */
void text_difference(struct buf *, uint64_t ms);
/* Control characters and what is not UTF-8 become '?'. */
void text_clean(struct buf *, const char *, size_t);
/* Columns on a terminal. */
size_t text_width(const char *);

#endif
