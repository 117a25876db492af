/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopctl/text.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "common/buf.h"
#include "common/utf8.h"

void
text_duration(struct buf *b, uint64_t ms)
{
	uint64_t s = ms / 1000;

	if (ms < 1000)
		buf_printf(b, "%" PRIu64 "ms", ms);
	else if (s < 60)
		buf_printf(b, "%" PRIu64 "s", s);
	else if (s < 3600)
		buf_printf(b, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		buf_printf(
		    b, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		buf_printf(
		    b, "%" PRIu64 "d%" PRIu64 "h", s / 86400, s / 3600 % 24);
}

void
text_micros(struct buf *b, uint64_t us)
{
	if (us < 10000)
		buf_printf(b, "%.1f ms", (double)us / 1000);
	else if (us < 1000000)
		buf_printf(b, "%" PRIu64 " ms", us / 1000);
	else
		buf_printf(b, "%.1f s", (double)us / 1000000);
}

static void
text_local(uint64_t wall_ms, struct tm *tm)
{
	time_t t = (time_t)(wall_ms / 1000);

	memset(tm, 0, sizeof(*tm));
	localtime_r(&t, tm);
}

void
text_time(struct buf *b, uint64_t wall_ms)
{
	struct tm tm;

	text_local(wall_ms, &tm);
	buf_printf(
	    b, "%04d-%02d-%02d ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
	text_clock(b, wall_ms);
}

void
text_clock(struct buf *b, uint64_t wall_ms)
{
	struct tm tm;

	text_local(wall_ms, &tm);
	buf_printf(b, "%02d:%02d:%02d.%03u", tm.tm_hour, tm.tm_min, tm.tm_sec,
	    (unsigned)(wall_ms % 1000));
}

bool
text_same_day(uint64_t a, uint64_t b)
{
	struct tm ta, tb;

	text_local(a, &ta);
	text_local(b, &tb);
	return ta.tm_yday == tb.tm_yday && ta.tm_year == tb.tm_year;
}

void
text_difference(struct buf *b, uint64_t ms)
{
	buf_addc(b, '+');
	if (ms < 10000)
		buf_printf(b, "%" PRIu64 " ms", ms);
	else if (ms < 60000)
		buf_printf(b, "%.1f s", (double)ms / 1000);
	else
		text_duration(b, ms);
}

void
text_clean(struct buf *b, const char *s, size_t len)
{
	const uint8_t *p = (const uint8_t *)s;
	uint32_t cp;
	size_t n;

	for (size_t i = 0; i < len; i += n) {
		n = utf8_decode(p + i, len - i, &cp);
		if (n == 0 || utf8_is_control(cp)) {
			buf_addc(b, '?');
			n = n == 0 ? 1 : n;
		} else {
			buf_add(b, p + i, n);
		}
	}
}

size_t
text_width(const char *s)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t len = strlen(s), width = 0, n;
	uint32_t cp;
	int w;

	for (size_t i = 0; i < len; i += n) {
		n = utf8_decode(p + i, len - i, &cp);
		if (n == 0) {
			n = 1;
			width++;
			continue;
		}
		/* -1: not known in this locale. */
		w = wcwidth((wchar_t)cp);
		width += w < 0 ? 1 : (size_t)w;
	}
	return width;
}
