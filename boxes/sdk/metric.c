/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * metric.c - what a box tells operators: lines of the log, and figures.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/sdk/process.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/xalloc.h"

struct hop_metric {
	struct stat_value stat;
};

void
hop_log(int level, const char *event, const char *fmt, ...)
{
	va_list ap;

	if (level < HOP_LOG_ERROR)
		level = HOP_LOG_ERROR;
	if (level > HOP_LOG_DEBUG)
		level = HOP_LOG_DEBUG;
	va_start(ap, fmt);
	log_event((enum log_level)level, event, fmt, ap);
	va_end(ap);
}

const char *
hop_log_number(struct hop_bytes digits)
{
	return log_number(digits.p, digits.len);
}

struct hop_metric *
hop_metric_new(const char *name, const char *help, const char *labels)
{
	struct hop_metric *m = xcalloc(1, sizeof(*m));
	size_t n = strlen(name);

	m->stat.name = xstrdup(name);
	m->stat.help = xstrdup(help);
	m->stat.labels = labels == NULL ? NULL : xstrdup(labels);
	m->stat.type = n > 6 && strcmp(name + n - 6, "_total") == 0
	    ? STAT_COUNTER
	    : STAT_GAUGE;
	stat_register(&m->stat);
	return m;
}

void
hop_metric_add(struct hop_metric *m, uint64_t n)
{
	m->stat.value += n;
}

void
hop_metric_set(struct hop_metric *m, uint64_t value)
{
	m->stat.value = value;
}
