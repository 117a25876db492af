/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * counts.h - how often each of a few numbers (command_status, HTTP status)
 * came up.  What does not fit any more is counted under "other".
 */
#ifndef HOPSIM_COUNTS_H
#define HOPSIM_COUNTS_H

#include <stdint.h>

struct json;

#define COUNTS_MAX 32

struct counts {
	unsigned used;
	uint64_t other;
	struct {
		uint32_t number;
		uint64_t count;
	} entry[COUNTS_MAX];
};

void counts_add(struct counts *, uint32_t number);
/* {"ESME_ROK":12}: name may return NULL and then the number is the key. */
void counts_json(const struct counts *, struct json *, const char *key,
    const char *(*name)(uint32_t));

#endif
