/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/step.h"

#include <string.h>

/* What lies between the two gets too much of a step forward, or too little of a
 * step back: late, in any case. */
static void
steps_merge_oldest(struct steps *s)
{
	if (s->step[0].ms < 0 && s->step[1].ms > 0)
		s->step[0].ms = 0; /* a step back is forgotten, for the same */
	if (s->step[0].ms >= 0)
		s->step[0].seq = s->step[1].seq;
	s->step[0].ms += s->step[1].ms;
	s->count--;
	memmove(&s->step[1], &s->step[2], (s->count - 1) * sizeof(s->step[0]));
}

int64_t
steps_look(struct steps *s, uint64_t mono, uint64_t wall, uint64_t last_seq)
{
	int64_t ahead = (int64_t)wall - (int64_t)mono;
	int64_t ms = ahead - s->ahead;

	if (s->ahead == 0) {
		s->ahead = ahead;
		return 0;
	}
	if (ms < STEP_MIN_MS && ms > -STEP_MIN_MS)
		return 0;
	s->ahead = ahead;
	if (s->count == STEP_MAX)
		steps_merge_oldest(s);
	s->step[s->count].seq = last_seq;
	s->step[s->count].ms = ms;
	s->count++;
	return ms;
}

int64_t
steps_since(const struct steps *s, uint64_t seq)
{
	int64_t ms = 0;

	for (size_t i = s->count; i > 0 && s->step[i - 1].seq >= seq; i--)
		ms += s->step[i - 1].ms;
	return ms;
}
