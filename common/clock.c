/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * clock.c - CLOCK_BOOTTIME and CLOCK_REALTIME, and their text forms.
 *
 * The civil calendar is done here: gmtime_r() and timegm() take locks and look
 * at the environment.  Years 1970 to 9999.
 */
#include "common/clock.h"

#include <assert.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#define MS_PER_DAY (86400u * 1000u)

static bool clock_frozen;
static uint64_t clock_frozen_mono, clock_frozen_wall;
static bool clock_has_turns;
static uint64_t clock_turn; /* 0: not read in this turn */

uint64_t
clock_mono_us(void)
{
	struct timespec ts;

	if (clock_frozen)
		return clock_frozen_mono * 1000;
	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t
clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

uint64_t
clock_turn_us(void)
{
	if (clock_frozen || !clock_has_turns)
		return clock_mono_us();
	if (clock_turn == 0)
		clock_turn = clock_mono_us();
	return clock_turn;
}

uint64_t
clock_turn_ms(void)
{
	return clock_turn_us() / 1000;
}

void
clock_turn_over(bool more)
{
	clock_has_turns = more;
	clock_turn = 0;
}

uint64_t
clock_wall_ms(void)
{
	struct timespec ts;

	if (clock_frozen)
		return clock_frozen_wall;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void
clock_set(uint64_t mono_ms, uint64_t wall_ms)
{
	clock_frozen = mono_ms != 0 || wall_ms != 0;
	clock_frozen_mono = mono_ms;
	clock_frozen_wall = wall_ms;
}

/* Days since 1970-01-01.  The year starts in March: leap days come last. */
static uint64_t
clock_days(unsigned y, unsigned m, unsigned d)
{
	unsigned era, yoe, doy;

	if (m <= 2)
		y--;
	era = y / 400;
	yoe = y % 400;
	doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
	return (uint64_t)era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy -
	    719468;
}

static void
clock_civil(uint64_t days, unsigned *y, unsigned *m, unsigned *d)
{
	uint64_t z = days + 719468;
	unsigned era = (unsigned)(z / 146097);
	unsigned doe = (unsigned)(z % 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;

	*d = doy - (153 * mp + 2) / 5 + 1;
	*m = mp < 10 ? mp + 3 : mp - 9;
	*y = yoe + era * 400 + (*m <= 2);
}

static char *
clock_put(char *p, unsigned value, unsigned digits, char after)
{
	unsigned i;

	for (i = digits; i-- > 0; value /= 10)
		p[i] = (char)('0' + value % 10);
	p[digits] = after;
	return p + digits + 1;
}

const char *
clock_format(uint64_t wall_ms, char dst[CLOCK_TEXT_LEN])
{
	unsigned y, m, d, ms = (unsigned)(wall_ms % MS_PER_DAY);
	char *p = dst;

	clock_civil(wall_ms / MS_PER_DAY, &y, &m, &d);
	if (y > 9999) { /* the text has no room for it */
		y = 9999;
		m = 12;
		d = 31;
	}
	p = clock_put(p, y, 4, '-');
	p = clock_put(p, m, 2, '-');
	p = clock_put(p, d, 2, 'T');
	p = clock_put(p, ms / 3600000, 2, ':');
	p = clock_put(p, ms / 60000 % 60, 2, ':');
	p = clock_put(p, ms / 1000 % 60, 2, '.');
	p = clock_put(p, ms % 1000, 3, 'Z');
	*p = '\0';
	return dst;
}

/* A cursor over the text; ok turns false at the first surprise and stays. */
struct clock_text {
	const char *p, *end;
	bool ok;
};

static bool
clock_skip(struct clock_text *t, char c)
{
	if (t->p < t->end && (*t->p == c || *t->p == (c | 0x20))) {
		t->p++;
		return true;
	}
	return false;
}

static unsigned
clock_number(struct clock_text *t, unsigned digits)
{
	unsigned v = 0;

	for (; digits > 0; digits--, t->p++) {
		if (t->p >= t->end || *t->p < '0' || *t->p > '9') {
			t->ok = false;
			return 0;
		}
		v = v * 10 + (unsigned)(*t->p - '0');
	}
	return v;
}

static unsigned
clock_fraction(struct clock_text *t)
{
	unsigned v = 0, scale = 100;

	clock_number(t, 1);
	if (!t->ok)
		return 0;
	for (t->p--; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++) {
		v += (unsigned)(*t->p - '0') * scale;
		scale /= 10;
	}
	return v;
}

static unsigned
clock_month_days(unsigned y, unsigned m)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31,
		30, 31 };

	return days[m - 1] +
	    (m == 2 && y % 4 == 0 && (y % 100 != 0 || y % 400 == 0));
}

int
clock_parse(const char *s, size_t len, uint64_t *wall_ms)
{
	struct clock_text t = { s, s + len, true };
	unsigned y, mo, d, h, mi, sec, ms = 0, oh, om;
	int64_t offset = 0, v;
	bool minus;

	y = clock_number(&t, 4);
	t.ok = clock_skip(&t, '-') && t.ok;
	mo = clock_number(&t, 2);
	t.ok = clock_skip(&t, '-') && t.ok;
	d = clock_number(&t, 2);
	t.ok = (clock_skip(&t, 'T') || clock_skip(&t, ' ')) && t.ok;
	h = clock_number(&t, 2);
	t.ok = clock_skip(&t, ':') && t.ok;
	mi = clock_number(&t, 2);
	t.ok = clock_skip(&t, ':') && t.ok;
	sec = clock_number(&t, 2);
	if (clock_skip(&t, '.'))
		ms = clock_fraction(&t);
	if (!clock_skip(&t, 'Z')) {
		minus = clock_skip(&t, '-');
		t.ok = (minus || clock_skip(&t, '+')) && t.ok;
		oh = clock_number(&t, 2);
		t.ok = clock_skip(&t, ':') && t.ok;
		om = clock_number(&t, 2);
		t.ok = t.ok && oh <= 23 && om <= 59;
		offset = ((int64_t)oh * 60 + om) * (minus ? -60000 : 60000);
	}
	/* 60 is a leap second: counted as the first of the next minute. */
	if (!t.ok || t.p != t.end || y < 1970 || mo < 1 || mo > 12 || d < 1 ||
	    d > clock_month_days(y, mo) || h > 23 || mi > 59 || sec > 60)
		return UV_EINVAL;
	v = (int64_t)clock_days(y, mo, d) * MS_PER_DAY +
	    ((int64_t)h * 3600 + mi * 60 + sec) * 1000 + ms - offset;
	if (v < 0)
		return UV_EINVAL;
	*wall_ms = (uint64_t)v;
	return 0;
}

int
clock_parse_duration(const char *s, uint64_t *ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {
		{ "", 1000 },
		{ "ms", 1 },
		{ "s", 1000 },
		{ "m", 60000 },
		{ "h", 3600000 },
		{ "d", MS_PER_DAY },
	};
	/* A hundred years: sums of two durations cannot overflow. */
	const uint64_t max = (uint64_t)36525 * MS_PER_DAY;
	uint64_t v = 0;
	size_t i;

	if (*s < '0' || *s > '9')
		return UV_EINVAL;
	for (; *s >= '0' && *s <= '9'; s++) {
		v = v * 10 + (uint64_t)(*s - '0');
		if (v > max)
			return UV_EINVAL;
	}
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(s, units[i].unit) != 0)
			continue;
		if (v > max / units[i].ms)
			return UV_EINVAL;
		*ms = v * units[i].ms;
		return 0;
	}
	return UV_EINVAL;
}
