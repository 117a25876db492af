/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * repeat.h - messages from handsets that a carrier sends once more because our
 * answer did not reach it.
 *
 * Between the commit of an MO and its deliver_sm_resp a connector may die, or
 * lose its bind; the carrier repeats it then, on any session of the same scope
 * and under any sequence number.  The newest fingerprints are kept, a bounded
 * number of them.  An equal one that comes after a break is marked and not
 * dropped, since somebody may well say "YES" twice; only one that has the
 * SMSC's own id in it is proof, and is answered without a second message.
 *
 * This is memory: when bus and connector die together a repeat is not marked.
 */
#ifndef CORE_REPEAT_H
#define CORE_REPEAT_H

#include <stdbool.h>
#include <stdint.h>

#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

/* So long after the first one a second may be a repeat. */
#define REPEAT_MS (10 * 60 * 1000ull)
/* What its carrier sent before a break may be recorded so much after it. */
#define REPEAT_SLACK_MS 2000

struct engine;
struct repeats;
struct target;

enum repeat_verdict {
	REPEAT_NEW,    /* as far as anybody can tell */
	REPEAT_MARKED, /* *it has another envelope, which says so */
	REPEAT_SAME,   /* there is a record of it already: *seq */
};

/* Takes NULL. */
void repeats_free(struct repeats *);
/*
 * Is this MO with a fingerprint one that came before?  Where it marks it the
 * envelope of *it is another one, which lasts until the next call.
 */
enum repeat_verdict repeat_judge(struct engine *, const struct target *,
    const Hopyard__V1__Envelope *, struct item *it, uint64_t *seq);
/* It is being recorded under this number. */
void repeat_remember(
    struct engine *, const struct target *, uint64_t fingerprint, uint64_t seq);

#endif
