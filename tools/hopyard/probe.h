/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe.h - asks the bus, over its control socket, whether the suite is up:
 * the store is open, boxes are connected, links are bound.
 */
#ifndef HOPYARD_PROBE_H
#define HOPYARD_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/attr.h"

struct conf;
struct probe;

#define PROBE_LIST 256

struct probe_state {
	bool answered;            /* the bus has said something at all */
	bool running;             /* bus and store take messages */
	char away[PROBE_LIST];    /* boxes and links that are not there yet */
	char refused[PROBE_LIST]; /* links that have tried and failed */
	uint64_t depth;           /* messages that wait */
};

/* Asks every 20 ms until it is closed.  `change` is called after each round. */
struct probe *probe_new(uv_loop_t *, const struct conf *,
    void (*change)(const struct probe_state *, void *arg),
    void *arg) WARN_UNUSED;
void probe_close(struct probe *);

#endif
