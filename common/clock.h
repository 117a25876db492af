/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.h - the two clocks.  Timers run on clock_mono_ms() (CLOCK_BOOTTIME, so
 * that a suspended machine does not stretch a time-out); clock_wall_ms() is
 * only for times that are stored or shown.  Tests set both.
 */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
uint64_t clock_wall_ms(void);

/*
 * clock_mono_us() as it was when it was first asked for in this turn of the
 * loop (turn.h): for what every message asks, and where the length of a turn
 * does not matter.
 */
uint64_t clock_turn_us(void);
uint64_t clock_turn_ms(void);
/* The turn is over; whether another one will be ended in this way. */
void clock_turn_over(bool more);

/* Freeze both clocks at these values; 0, 0 lets them run again. */
void clock_set(uint64_t mono_ms, uint64_t wall_ms);

/* RFC 3339 in UTC with milliseconds, "2026-11-22T19:18:00.123Z": 24 + NUL. */
#define CLOCK_TEXT_LEN 25
const char *clock_format(uint64_t wall_ms, char dst[CLOCK_TEXT_LEN]);
/* Accepts what clock_format() writes, with any fraction and offset. */
int clock_parse(const char *, size_t len, uint64_t *wall_ms);

/*
 * "250ms", "30s", "5m", "2h", "7d", or a bare number of seconds.  Returns 0 or
 * UV_EINVAL.
 */
int clock_parse_duration(const char *, uint64_t *ms);

#endif
