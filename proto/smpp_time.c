/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * smpp_time.c - the 16-character times of SMPP.
 */
#include "proto/smpp_time.h"

#include <stdio.h>
#include <string.h>

#define DAY_MS INT64_C(86400000)

/* Days by counting years from March, so that the leap day comes last. */
int64_t
smpp_days(int year, int month, int day)
{
	int y = month <= 2 ? year - 1 : year;
	int era = (y >= 0 ? y : y - 399) / 400;
	int of_era = y - era * 400;
	int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return (int64_t)era * 146097 + of_era * 365 + of_era / 4 -
	    of_era / 100 + of_year - 719468;
}

void
smpp_civil(int64_t days, int *year, int *month, int *day)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int d = (int)(z - era * 146097);
	int y = (d - d / 1460 + d / 36524 - d / 146096) / 365;
	int of_year = d - (365 * y + y / 4 - y / 100);
	int m = (5 * of_year + 2) / 153;

	*day = of_year - (153 * m + 2) / 5 + 1;
	*month = m < 10 ? m + 3 : m - 9;
	*year = (int)(y + era * 400) + (*month <= 2);
}

static bool
two_digits(const uint8_t *p, int min, int max, int *v)
{
	if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
		return false;
	*v = (p[0] - '0') * 10 + (p[1] - '0');
	return *v >= min && *v <= max;
}

static int
days_in_month(int year, int month)
{
	return (int)(smpp_days(month == 12 ? year + 1 : year,
			 month == 12 ? 1 : month + 1, 1) -
	    smpp_days(year, month, 1));
}

bool
smpp_time_parse(struct bytes b, struct smpp_time *t)
{
	int yy, mo, dd, hh, mi, ss, nn;
	const uint8_t *p = b.p;
	bool relative;

	if (b.len != 16 || p[12] < '0' || p[12] > '9')
		return false;
	relative = p[15] == 'R';
	if (!relative && p[15] != '+' && p[15] != '-')
		return false;
	if (!two_digits(p, 0, 99, &yy) ||
	    !two_digits(p + 2, relative ? 0 : 1, relative ? 99 : 12, &mo) ||
	    !two_digits(p + 4, relative ? 0 : 1, relative ? 99 : 31, &dd) ||
	    !two_digits(p + 6, 0, relative ? 99 : 23, &hh) ||
	    !two_digits(p + 8, 0, relative ? 99 : 59, &mi) ||
	    !two_digits(p + 10, 0, relative ? 99 : 60, &ss) ||
	    !two_digits(p + 13, 0, relative ? 99 : 48, &nn))
		return false;

	t->relative = relative;
	t->ms =
	    (p[12] - '0') * 100 + INT64_C(1000) * (ss + 60 * mi + 3600 * hh);
	if (relative) {
		t->quarters = 0;
		t->ms += DAY_MS * (dd + 30 * mo + 365 * yy);
		return true;
	}
	if (dd > days_in_month(2000 + yy, mo))
		return false;
	t->quarters = p[15] == '-' ? -nn : nn;
	t->ms += DAY_MS * smpp_days(2000 + yy, mo, dd) -
	    INT64_C(900000) * t->quarters;
	return true;
}

void
smpp_time_relative(uint64_t ms, char out[SMPP_TIME_SIZE])
{
	uint64_t s = ms / 1000, days = s / 86400;
	unsigned years, months, of_day = (unsigned)(s % 86400);

	if (days >= 36500) {
		memcpy(out, "991130235959000R", SMPP_TIME_SIZE);
		return;
	}
	years = (unsigned)(days / 365);
	days %= 365;
	/* Up to twelve months and four days: no field is over what it may be in
	 * an absolute time, since some SMSCs check that in either form. */
	months = (unsigned)(days / 30);
	days %= 30;
	snprintf(out, SMPP_TIME_SIZE, "%02u%02u%02u%02u%02u%02u000R",
	    years % 100, months % 100, (unsigned)days % 100,
	    of_day / 3600 % 100, of_day / 60 % 60, of_day % 60);
}

void
smpp_time_absolute(int64_t unix_ms, int quarters, char out[SMPP_TIME_SIZE])
{
	int64_t local = unix_ms + INT64_C(900000) * quarters;
	int64_t days = local / DAY_MS - (local % DAY_MS < 0);
	unsigned of_day = (unsigned)((local - days * DAY_MS) / 100);
	unsigned nn = (unsigned)(quarters < 0 ? -quarters : quarters);
	int year, month, day;

	smpp_civil(days, &year, &month, &day);
	snprintf(out, SMPP_TIME_SIZE, "%02u%02u%02u%02u%02u%02u%u%02u%c",
	    (unsigned)year % 100, (unsigned)month % 100, (unsigned)day % 100,
	    of_day / 36000 % 100, of_day / 600 % 60, of_day / 10 % 60,
	    of_day % 10, nn % 100, quarters < 0 ? '-' : '+');
}
