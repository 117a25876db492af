/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_smpp_time.c - times of SMPP, and the first octets as numbers.
 *
 * Holds: an absolute time is written again as it was read (but for a leap
 * second); a relative one that we write is read as what was meant; the
 * calendar is one to one and a month has the days that it has.
 */
#include "proto/smpp_time.h"

#include <stdlib.h>
#include <string.h>

#include "proto/wire.h"
#include "test/fuzz/fuzz.h"

#define DAY     INT64_C(86400000)
#define LONGEST (INT64_C(36500) * DAY)
#define IN_2000 INT64_C(946684800000)
#define IN_2100 INT64_C(4102444800000)

static void
parse(struct bytes text)
{
	char again[SMPP_TIME_SIZE];
	struct smpp_time t, u;

	if (!smpp_time_parse(text, &t))
		return;
	assert(text.len == 16);
	if (t.relative) {
		assert(t.ms >= 0 && t.quarters == 0);
		smpp_time_relative((uint64_t)t.ms, again);
		assert(smpp_time_parse(bytes_str(again), &u) && u.relative);
		assert(u.ms <= t.ms);
		assert(t.ms >= LONGEST || t.ms - u.ms < 1000);
		return;
	}
	assert(t.quarters >= -48 && t.quarters <= 48);
	smpp_time_absolute(t.ms, t.quarters, again);
	assert(strlen(again) == 16);
	/* -00 is +00, and the 60th second the first of the next minute. */
	if (memcmp(text.p + 10, "60", 2) != 0) {
		assert(memcmp(again, text.p, 15) == 0);
		assert(smpp_time_parse(bytes_str(again), &u));
		assert(u.ms == t.ms && u.quarters == t.quarters);
	}
}

static void
numbers(uint64_t a, uint64_t b)
{
	char text[SMPP_TIME_SIZE];
	int year, month, day, y, m, d, quarters = (int)(b % 97) - 48;
	int64_t days = (int64_t)(a % 3000000) - 1000000, ms;
	struct smpp_time t;

	smpp_time_relative(a, text);
	assert(smpp_time_parse(bytes_str(text), &t) && t.relative);
	assert(
	    memcmp(text + 2, "12", 2) <= 0 && memcmp(text + 4, "31", 2) <= 0);
	if (a < (uint64_t)LONGEST)
		assert(t.ms >= 0 && a - (uint64_t)t.ms < 1000);
	/* 991130235959 is as much as there is, and a little more than this. */
	assert((uint64_t)t.ms <= a);

	smpp_civil(days, &year, &month, &day);
	assert(month >= 1 && month <= 12 && day >= 1 && day <= 31);
	assert(smpp_days(year, month, day) == days);
	smpp_civil(days + 1, &y, &m, &d);
	assert((y == year && m == month && d == day + 1) ||
	    (d == 1 && (m == month + 1 || (m == 1 && y == year + 1))));

	ms = IN_2000 + DAY +
	    (int64_t)(b % (uint64_t)(IN_2100 - IN_2000 - 2 * DAY));
	smpp_time_absolute(ms, quarters, text);
	assert(smpp_time_parse(bytes_str(text), &t) && !t.relative);
	assert(t.ms == ms / 100 * 100 && t.quarters == quarters);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rd r;
	uint64_t a;

	parse(bytes_of(data, len));
	rd_init(&r, data, len);
	a = rd_u64le(&r);
	numbers(a, rd_u64le(&r));
	return 0;
}
