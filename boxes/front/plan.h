/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plan.h - how many parts a message has: the plan of its Content for the
 * standard profile, by which messages are counted, priced and refused.
 */
#ifndef BOXES_FRONT_PLAN_H
#define BOXES_FRONT_PLAN_H

#include "hopyard/v1/bus.pb-c.h"
#include "proto/segment.h"

/* The plan is borrowed, valid until the next call.  max_parts 0: as many as
 * there may be. */
enum segment_error plan_content(const Hopyard__V1__Content *,
    unsigned max_parts, const struct segment_plan **);

#endif
