/* SPDX-License-Identifier: BSD-2-Clause */
/* histogram.c - values under 64 have a bucket each, above it 32 per octave. */
#include "tools/hopsim/histogram.h"

#include <string.h>

#include "common/json.h"

void
histogram_init(struct histogram *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

static unsigned
histogram_index(uint64_t us)
{
	unsigned shift;

	if (us < 2 * HISTOGRAM_SUB)
		return (unsigned)us;
	if (us >> HISTOGRAM_BITS != 0)
		return HISTOGRAM_BUCKETS - 1;
	shift = 63 - (unsigned)__builtin_clzll(us) - 5;
	return shift * HISTOGRAM_SUB + (unsigned)(us >> shift);
}

static uint64_t
histogram_upper(unsigned index)
{
	unsigned shift;

	if (index < 2 * HISTOGRAM_SUB)
		return index;
	shift = index / HISTOGRAM_SUB - 1;
	return (((uint64_t)index - (uint64_t)shift * HISTOGRAM_SUB + 1)
		   << shift) -
	    1;
}

void
histogram_add(struct histogram *h, uint64_t us)
{
	h->bucket[histogram_index(us)]++;
	h->count++;
	h->sum += us;
	if (us > h->max)
		h->max = us;
	if (us < h->min)
		h->min = us;
}

uint64_t
histogram_quantile(const struct histogram *h, double q)
{
	uint64_t rank, seen = 0, upper;
	unsigned i;

	if (h->count == 0)
		return 0;
	rank = (uint64_t)(q * (double)h->count + 0.5);
	if (rank == 0)
		rank = 1;
	if (rank > h->count)
		rank = h->count;
	for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen >= rank) {
			upper = histogram_upper(i);
			return upper < h->max ? upper : h->max;
		}
	}
	return h->max;
}

void
histogram_json(const struct histogram *h, struct json *j, const char *key)
{
	double mean = 0;

	if (h->count != 0)
		mean = (double)h->sum / (double)h->count / 1000;
	json_open_object(j, key);
	json_uint(j, "count", h->count);
	json_double(j, "mean", mean, 3);
	json_double(j, "p50", (double)histogram_quantile(h, 0.5) / 1000, 3);
	json_double(j, "p90", (double)histogram_quantile(h, 0.9) / 1000, 3);
	json_double(j, "p99", (double)histogram_quantile(h, 0.99) / 1000, 3);
	json_double(j, "p999", (double)histogram_quantile(h, 0.999) / 1000, 3);
	json_double(j, "max", (double)h->max / 1000, 3);
	json_close_object(j);
}
