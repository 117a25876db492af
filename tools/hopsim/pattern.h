/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pattern.h - texts with a counter and a time token in them, as the options
 * --text, --to, --http and --mo-text take them.
 *
 *	%n  the counter, zero padded to the pattern's digits
 *	%m  the counter modulo cycle, not padded
 *	%t  the time token: 'T', microseconds since 1970 in 16 digits, 'Z'
 *	%%  a percent sign
 *
 * Anything else after a percent sign stays as it is, so that %20 of a URL
 * needs no quoting.  The token survives every character set and every URL
 * encoding; whoever finds it knows how long the message was on its way.
 */
#ifndef HOPSIM_PATTERN_H
#define HOPSIM_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_PIECES 16
#define PATTERN_TOKEN  18

enum pattern_piece {
	PATTERN_END = 0,
	PATTERN_TEXT,
	PATTERN_COUNTER,
	PATTERN_CYCLE,
	PATTERN_TIME
};

struct pattern {
	char *text; /* the literal pieces, one after the other */
	unsigned digits;
	uint64_t cycle; /* 0 from pattern_init(): %m is the counter */
	struct {
		enum pattern_piece type;
		size_t len;
	} piece[PATTERN_PIECES];
	size_t size; /* no output is longer */
};

/* False when there are too many pieces. */
bool pattern_init(struct pattern *, const char *text, unsigned digits);
void pattern_fini(struct pattern *);
/* Writes at most p->size bytes, no NUL; returns the length. */
size_t pattern_put(
    const struct pattern *, char *dst, uint64_t counter, uint64_t wall_us);

/* The time of the first token in these bytes, or 0. */
uint64_t pattern_token(const void *, size_t len);
uint64_t pattern_now(void); /* microseconds since 1970 */

#endif
