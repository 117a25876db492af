/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * histogram.h - latencies in microseconds, in buckets whose width is at most
 * 1/32 of their value (as HdrHistogram does with 5 significant bits).
 */
#ifndef HOPSIM_HISTOGRAM_H
#define HOPSIM_HISTOGRAM_H

#include <stdint.h>

struct json;

#define HISTOGRAM_SUB     32 /* buckets per power of two */
#define HISTOGRAM_BITS    40 /* values of 2^40 us (12 days) and over share one */
#define HISTOGRAM_BUCKETS ((HISTOGRAM_BITS - 4) * HISTOGRAM_SUB)

struct histogram {
	uint64_t count, sum, min, max;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *);
void histogram_add(struct histogram *, uint64_t us);
/* Upper end of the bucket in which the quantile q (0..1) lies, never more than
 * the maximum; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *, double q);
/* {"count":..,"mean":..,"p50":..,"p90":..,"p99":..,"p999":..,"max":..} in
 * milliseconds. */
void histogram_json(const struct histogram *, struct json *, const char *key);

#endif
