/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * step.h - where the wall clock was put forward or back while we ran.
 *
 * In memory the end of a validity is a monotonic time, which no step touches.
 * Records keep wall times, as a reader wants them; what was written before a
 * step and is read after it is off by that step.  Kept in order of the records;
 * with too many, as under a clock that runs slow, the oldest two become one in
 * the way that lets nothing expire early.
 *
 * A restart forgets them: it believes the clock that it finds.
 */
#ifndef CORE_STEP_H
#define CORE_STEP_H

#include <stddef.h>
#include <stdint.h>

#define STEP_MAX    64
#define STEP_MIN_MS 250

struct steps {
	int64_t ahead; /* wall - mono, as last believed */
	size_t count;
	struct {
		uint64_t seq; /* last record before it */
		int64_t ms;
	} step[STEP_MAX];
};

/*
 * Looks at both clocks; last_seq is the last record that was written.  Returns
 * by how much the wall clock was put forward since the last look, less than
 * STEP_MIN_MS being none.
 */
int64_t steps_look(
    struct steps *, uint64_t mono, uint64_t wall, uint64_t last_seq);

/* What to add to a wall time in this record. */
int64_t steps_since(const struct steps *, uint64_t seq);

#endif
