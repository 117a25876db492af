/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parts.h - parts of messages from handsets, until all of a message are there.
 *
 * Each part is a stored message of its own in the one queue of the target
 * PARTS_TARGET, which no box serves, and its carrier is answered when it is
 * durable; so a restart finds the parts again as it finds every item.  Only a
 * durable part is counted.  When all are there, or their time is over, the
 * whole goes on by the rule for the keyword of part 1: as one message, or, for
 * a rule that wants parts, each by itself.  First what goes on is recorded,
 * then the end of the parts, that of the first part (the anchor) last.  A bus
 * that is killed in between finds the anchor, makes the same id of it, and the
 * store knows that already.
 *
 * A group that went on is remembered as long as one may wait: what its carrier
 * sends again is a duplicate, and not the beginning of another message.
 */
#ifndef CORE_PARTS_H
#define CORE_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct engine;
struct msg;
struct parts;
struct target;

#define PARTS_TARGET "@parts"
/* Groups that wait, and groups that are remembered. */
#define PARTS_GROUPS 10000
/* Content of a joined message; larger ones go on in parts. */
#define PARTS_BYTES (64 * 1024)

struct parts *parts_new(void);
void parts_free(struct parts *);

/* Is it one of several? */
bool parts_is_part(const Hopyard__V1__Envelope *);
/* NULL, or why this part cannot be taken. */
const char *parts_fault(const struct target *, const Hopyard__V1__Envelope *);
/* Record a part that a connector has brought. */
void parts_admit(struct engine *, struct target *, uint32_t peer,
    uint64_t number, const Hopyard__V1__Envelope *, const struct item *);
/* A part is durable, or a page has brought it. */
void parts_arrived(struct engine *, struct msg *);
/* The store is open and its queues are known. */
void parts_opened(struct engine *);
/* Has the group of the part with this seq gone on before? */
void parts_looked_up(struct engine *, uint64_t seq, bool found);
void parts_tick(struct engine *);
/* Groups that wait. */
size_t parts_waiting(const struct engine *);

#endif
