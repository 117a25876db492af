/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopsim/option.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

void
option_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fprintf(stderr, "hopsim: ");
	(void)vfprintf(stderr, fmt, ap);
	(void)fprintf(stderr, "\n");
	va_end(ap);
	exit(2);
}

uint64_t
option_number(const char *name, const char *value, uint64_t max)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || *value == '-' ||
	    v > max)
		option_die("--%s: \"%s\" is not a number up to %llu", name,
		    value, (unsigned long long)max);
	return v;
}

static double
option_double(const char *name, const char *value, double max, const char *unit)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(value, &end);
	if (strcmp(end, unit) == 0)
		end += strlen(unit);
	if (errno != 0 || end == value || *end != '\0' || !(v >= 0 && v <= max))
		option_die("--%s: \"%s\" is not a number from 0 to %g", name,
		    value, max);
	return v;
}

double
option_percent(const char *name, const char *value)
{
	return option_double(name, value, 100, "%");
}

double
option_rate(const char *name, const char *value)
{
	return option_double(name, value, 1e7, "/s");
}

uint64_t
option_duration(const char *name, const char *value)
{
	uint64_t ms;

	if (clock_parse_duration(value, &ms) != 0)
		option_die("--%s: \"%s\" is not a duration such as 250ms, 30s "
			   "or 5m",
		    name, value);
	return ms;
}

struct rules_range
option_range(const char *name, const char *value)
{
	const char *dots = strstr(value, "..");
	struct rules_range range;
	char low[32];
	uint64_t min, max;

	if (dots == NULL) {
		min = max = option_duration(name, value);
	} else {
		(void)snprintf(
		    low, sizeof(low), "%.*s", (int)(dots - value), value);
		min = option_duration(name, low);
		max = option_duration(name, dots + 2);
	}
	if (min > max || max > UINT32_MAX)
		option_die("--%s: \"%s\" is not MIN..MAX", name, value);
	range.min_ms = (uint32_t)min;
	range.max_ms = (uint32_t)max;
	return range;
}

uint32_t
option_status(const char *name, const char *value)
{
	uint32_t status;

	if (!smpp_status_parse(value, &status))
		option_die(
		    "--%s: \"%s\" is no command_status: give a name such "
		    "as ESME_RSYSERR, or its number",
		    name, value);
	return status;
}
