/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/stats.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"

/* Both lists keep stats of one name together, in the order of first use. */
static struct stat_value *stat_first;
static struct stat_histogram *histogram_first;
static uint64_t started_ms;

/* What /proc and getrusage() know about this process. */
struct process {
	double cpu_s, start_s;
	uint64_t rss;
};

void
stat_register(struct stat_value *s)
{
	struct stat_value **at = NULL, **p;

	for (p = &stat_first; *p != NULL; p = &(*p)->next) {
		if (*p == s)
			return;
		if (strcmp((*p)->name, s->name) == 0)
			at = &(*p)->next;
	}
	if (at == NULL)
		at = p;
	s->next = *at;
	*at = s;
}

void
stat_unregister(struct stat_value *s)
{
	struct stat_value **p;

	for (p = &stat_first; *p != NULL; p = &(*p)->next) {
		if (*p == s) {
			*p = s->next;
			s->next = NULL;
			return;
		}
	}
}

void
stat_histogram_register(struct stat_histogram *h)
{
	struct stat_histogram **at = NULL, **p;

	for (p = &histogram_first; *p != NULL; p = &(*p)->next) {
		if (*p == h)
			return;
		if (strcmp((*p)->name, h->name) == 0)
			at = &(*p)->next;
	}
	if (at == NULL)
		at = p;
	h->next = *at;
	*at = h;
}

void
stat_histogram_unregister(struct stat_histogram *h)
{
	struct stat_histogram **p;

	for (p = &histogram_first; *p != NULL; p = &(*p)->next) {
		if (*p == h) {
			*p = h->next;
			h->next = NULL;
			return;
		}
	}
}

static uint64_t
stat_bound_us(unsigned bucket)
{
	return UINT64_C(100) << bucket;
}

void
stat_histogram_add(struct stat_histogram *h, uint64_t us)
{
	unsigned n = 0;

	/* ceil(log2(us / 100)), in one instruction instead of a walk. */
	if (us > 100) {
		n = 64 - (unsigned)__builtin_clzll((us + 99) / 100 - 1);
		if (n > STAT_BUCKETS)
			n = STAT_BUCKETS;
	}
	h->bucket[n]++;
	h->count++;
	h->sum_us += us;
}

uint64_t
stat_histogram_quantile(const struct stat_histogram *h, double q)
{
	uint64_t seen = 0;
	unsigned i;

	if (h->count == 0)
		return 0;
	for (i = 0; i < STAT_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen > 0 && (double)seen >= q * (double)h->count)
			return stat_bound_us(i);
	}
	return stat_bound_us(STAT_BUCKETS - 1);
}

static void
process_read(struct process *p)
{
	unsigned long long pages = 0;
	struct rusage ru;
	FILE *f;

	memset(p, 0, sizeof(*p));
	if (getrusage(RUSAGE_SELF, &ru) == 0)
		p->cpu_s = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
		    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
	f = fopen("/proc/self/statm", "re");
	if (f != NULL) {
		if (fscanf(f, "%*u %llu", &pages) == 1)
			p->rss = pages * (uint64_t)sysconf(_SC_PAGESIZE);
		fclose(f);
	}
	if (started_ms == 0)
		started_ms = clock_wall_ms();
	p->start_s = (double)started_ms / 1e3;
}

/* Apart from the rest, for it takes the longer the more there are. */
static unsigned long long
process_count_fds(void)
{
	unsigned long long n = 0;
	DIR *d = opendir("/proc/self/fd");

	if (d == NULL)
		return 0;
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	/* ".", ".." and the one of opendir() itself. */
	return n > 3 ? n - 3 : 0;
}

void
stats_init(void)
{
	started_ms = clock_wall_ms();
}

void
stats_process(uint64_t *memory, uint64_t *cpu_ms)
{
	struct process p;

	process_read(&p);
	*memory = p.rss;
	*cpu_ms = (uint64_t)(p.cpu_s * 1000);
}

/* ------------------------------------------------------------- Prometheus */

static void
prometheus_head(
    struct buf *b, const char *name, const char *help, const char *type)
{
	buf_printf(b, "# HELP %s ", name);
	for (; *help != '\0'; help++) {
		if (*help == '\\')
			buf_addstr(b, "\\\\");
		else if (*help == '\n')
			buf_addstr(b, "\\n");
		else
			buf_addc(b, *help);
	}
	buf_printf(b, "\n# TYPE %s %s\n", name, type);
}

/* {box="...",labels,extra} */
static void
prometheus_labels(
    struct buf *b, const char *box, const char *labels, const char *extra)
{
	buf_addstr(b, "{box=\"");
	for (; *box != '\0'; box++) {
		if (*box == '"' || *box == '\\')
			buf_addc(b, '\\');
		if (*box == '\n')
			buf_addstr(b, "\\n");
		else
			buf_addc(b, *box);
	}
	buf_addc(b, '"');
	if (labels != NULL && labels[0] != '\0')
		buf_printf(b, ",%s", labels);
	if (extra != NULL)
		buf_printf(b, ",%s", extra);
	buf_addstr(b, "} ");
}

static void
prometheus_process(struct buf *b, const char *box)
{
	struct process p;

	process_read(&p);
	prometheus_head(b, "process_cpu_seconds_total",
	    "User and system CPU time.", "counter");
	buf_addstr(b, "process_cpu_seconds_total");
	prometheus_labels(b, box, NULL, NULL);
	buf_printf(b, "%.2f\n", p.cpu_s);

	prometheus_head(
	    b, "process_resident_memory_bytes", "Resident memory.", "gauge");
	buf_addstr(b, "process_resident_memory_bytes");
	prometheus_labels(b, box, NULL, NULL);
	buf_printf(b, "%llu\n", (unsigned long long)p.rss);

	prometheus_head(b, "process_open_fds", "Open descriptors.", "gauge");
	buf_addstr(b, "process_open_fds");
	prometheus_labels(b, box, NULL, NULL);
	buf_printf(b, "%llu\n", process_count_fds());

	prometheus_head(b, "process_start_time_seconds",
	    "Start of the process since the epoch.", "gauge");
	buf_addstr(b, "process_start_time_seconds");
	prometheus_labels(b, box, NULL, NULL);
	buf_printf(b, "%.3f\n", p.start_s);

	prometheus_head(b, "hopyard_build_info", "Version.", "gauge");
	buf_addstr(b, "hopyard_build_info");
	prometheus_labels(b, box, NULL, "version=\"" HOPYARD_VERSION "\"");
	buf_addstr(b, "1\n");
}

static void
prometheus_histogram(
    struct buf *b, const char *box, const struct stat_histogram *h)
{
	uint64_t seen = 0;
	char le[40];
	unsigned i;

	for (i = 0; i <= STAT_BUCKETS; i++) {
		seen += h->bucket[i];
		if (i < STAT_BUCKETS)
			snprintf(le, sizeof(le), "le=\"%g\"",
			    (double)stat_bound_us(i) / 1e6);
		else
			snprintf(le, sizeof(le), "le=\"+Inf\"");
		buf_printf(b, "hopyard_%s_bucket", h->name);
		prometheus_labels(b, box, h->labels, le);
		buf_printf(b, "%llu\n", (unsigned long long)seen);
	}
	buf_printf(b, "hopyard_%s_sum", h->name);
	prometheus_labels(b, box, h->labels, NULL);
	buf_printf(b, "%.6f\n", (double)h->sum_us / 1e6);
	buf_printf(b, "hopyard_%s_count", h->name);
	prometheus_labels(b, box, h->labels, NULL);
	buf_printf(b, "%llu\n", (unsigned long long)h->count);
}

void
stats_prometheus(struct buf *b, const char *box)
{
	const struct stat_histogram *h;
	const char *last = "";
	const struct stat_value *s;
	char name[128];

	prometheus_process(b, box);
	for (s = stat_first; s != NULL; s = s->next) {
		if (strcmp(last, s->name) != 0) {
			snprintf(name, sizeof(name), "hopyard_%s", s->name);
			prometheus_head(b, name, s->help,
			    s->type == STAT_COUNTER ? "counter" : "gauge");
			last = s->name;
		}
		buf_printf(b, "hopyard_%s", s->name);
		prometheus_labels(b, box, s->labels, NULL);
		buf_printf(b, "%llu\n", (unsigned long long)s->value);
	}
	last = "";
	for (h = histogram_first; h != NULL; h = h->next) {
		if (strcmp(last, h->name) != 0) {
			snprintf(name, sizeof(name), "hopyard_%s", h->name);
			prometheus_head(b, name, h->help, "histogram");
			last = h->name;
		}
		prometheus_histogram(b, box, h);
	}
}

/* ------------------------------------------------------------------- JSON */

static const char *
stat_key(char *dst, size_t size, const char *name, const char *labels)
{
	if (labels == NULL || labels[0] == '\0')
		return name;
	snprintf(dst, size, "%s{%s}", name, labels);
	return dst;
}

void
stats_json(struct json *j, const char *key)
{
	const struct stat_histogram *h;
	const struct stat_value *s;
	struct process p;
	char name[256];

	process_read(&p);
	json_open_object(j, key);
	json_double(j, "process_cpu_seconds_total", p.cpu_s, 2);
	json_uint(j, "process_resident_memory_bytes", p.rss);
	json_uint(j, "process_open_fds", process_count_fds());
	json_double(j, "process_start_time_seconds", p.start_s, 3);
	for (s = stat_first; s != NULL; s = s->next)
		json_uint(j, stat_key(name, sizeof(name), s->name, s->labels),
		    s->value);
	for (h = histogram_first; h != NULL; h = h->next) {
		json_open_object(
		    j, stat_key(name, sizeof(name), h->name, h->labels));
		json_uint(j, "count", h->count);
		json_double(j, "sum", (double)h->sum_us / 1e6, 6);
		json_double(
		    j, "p50", (double)stat_histogram_quantile(h, 0.5) / 1e6, 4);
		json_double(j, "p99",
		    (double)stat_histogram_quantile(h, 0.99) / 1e6, 4);
		json_close_object(j);
	}
	json_close_object(j);
}
