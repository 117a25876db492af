/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stats.h - counters, gauges and histograms of a process, and their Prometheus
 * text.  Each is a static struct that registers itself at its first use, so a
 * count on the path of every message is one addition.
 */
#ifndef COMMON_STATS_H
#define COMMON_STATS_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct json;

enum stat_type {
	STAT_COUNTER,
	STAT_GAUGE
};

/*
 * Not `struct stat`: libuv's headers bring that of <sys/stat.h>.
 * name without the prefix "hopyard_"; labels "link=\"sim\"" or NULL.
 */
struct stat_value {
	const char *name;
	const char *help;
	const char *labels; /* borrowed, lives as long as the stat */
	enum stat_type type;
	uint64_t value;
	struct stat_value *next;
};

/* Buckets at 0.1 ms x 2^n up to 52 s, in microseconds; and a sum. */
#define STAT_BUCKETS 20
struct stat_histogram {
	const char *name; /* ends in _seconds */
	const char *help;
	const char *labels;
	uint64_t bucket[STAT_BUCKETS + 1];
	uint64_t count;
	uint64_t sum_us;
	struct stat_histogram *next;
};

/* Notes the start time; daemon_run() calls it. */
void stats_init(void);

/* Resident bytes and milliseconds of CPU of this process. */
void stats_process(uint64_t *memory, uint64_t *cpu_ms);

/* Registering twice is harmless. */
void stat_register(struct stat_value *);
void stat_unregister(struct stat_value *);
void stat_histogram_register(struct stat_histogram *);
void stat_histogram_unregister(struct stat_histogram *);
void stat_histogram_add(struct stat_histogram *, uint64_t us);
/* Upper bound of the bucket that holds the quantile q (0..1), microseconds. */
uint64_t stat_histogram_quantile(const struct stat_histogram *, double q);

/* Everything registered, as Prometheus text 0.0.4 / as one JSON object, with
 * process_* figures; `box` becomes a label. */
void stats_prometheus(struct buf *, const char *box);
void stats_json(struct json *, const char *key);

#endif
