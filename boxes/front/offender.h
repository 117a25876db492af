/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * offender.h - failed logins by whatever they are counted by (an address, a
 * name): a bounded table, the oldest entry goes first.
 */
#ifndef BOXES_FRONT_OFFENDER_H
#define BOXES_FRONT_OFFENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/map.h"
#include "common/queue.h"

#define OFFENDER_KEY        96
#define OFFENDER_MAX        16384
#define OFFENDER_WINDOW_MS  600000
#define OFFENDER_LIMIT      10
#define OFFENDER_REFUSED_MS 900000

struct offender;
TAILQ_HEAD(offender_list, offender);

struct offenders {
	struct map by_key;
	struct offender_list list; /* least recently seen first */
	size_t count;
};

void offenders_init(struct offenders *);
void offenders_fini(struct offenders *);

/* Keys longer than OFFENDER_KEY are cut. */
bool offender_refused(
    const struct offenders *, const void *key, size_t len, uint64_t now_ms);
/* One more failure; returns how many there were in the window. */
unsigned offender_add(
    struct offenders *, const void *key, size_t len, uint64_t now_ms);

#endif
