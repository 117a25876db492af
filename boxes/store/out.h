/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * out.h - Items for the bus (PAGED, NOTICE, OVERDUE), cut into frames.
 */
#ifndef STORE_OUT_H
#define STORE_OUT_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct box;

struct out {
	struct box *box;
	uint16_t type;
	uint64_t correlation;
	struct buf buf; /* item fields of the open frame */
	size_t count;   /* in the open frame */
	size_t total;
	size_t bytes;
};

void out_init(struct out *, struct box *, uint16_t type, uint64_t correlation);
/* Packs the context; a frame that is full leaves with `more`. */
void out_add(struct out *, const struct item *, const Hopyard__V1__Paged *);
/* The last frame; an empty one is sent as well if `always`. */
void out_end(struct out *, uint64_t upto, uint64_t upto_due_at, bool always);

#endif
