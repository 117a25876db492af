/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smpp_time.h - the 16-character times of SMPP 3.4, 7.1.1: "YYMMDDhhmmsstnnp".
 * Absolute with p '+' or '-' and nn quarter hours off UTC, relative with 'R'.
 */
#ifndef PROTO_SMPP_TIME_H
#define PROTO_SMPP_TIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"

#define SMPP_TIME_SIZE 17 /* with its NUL */

struct smpp_time {
	bool relative;
	int64_t ms;   /* absolute: since 1970 UTC; relative: from now */
	int quarters; /* absolute: the offset that was written */
};

/*
 * False when it is not a time.  Two-digit years are 2000 to 2099.  In a
 * relative time a month has 30 days and a year 365.
 */
bool smpp_time_parse(struct bytes, struct smpp_time *);

/* "000000010000000R".  Cut to whole seconds; over 99 years is 99 years. */
void smpp_time_relative(uint64_t ms, char out[SMPP_TIME_SIZE]);
/* "261122194800000+" for an instant, written at an offset of quarter hours. */
void smpp_time_absolute(
    int64_t unix_ms, int quarters, char out[SMPP_TIME_SIZE]);

/* Days since 1970-01-01 of a civil date, and back.  For receipts, too. */
int64_t smpp_days(int year, int month, int day);
void smpp_civil(int64_t days, int *year, int *month, int *day);

#endif
