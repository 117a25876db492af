/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * submit.h - handing messages to the bus and waiting, for a bounded time, to
 * hear that they are durable.
 *
 * A batch is what one request asks for: one message or many, and one callback
 * when all are settled or the time is over.  While the bus is away messages
 * wait here, so that those that run out of time were certainly not accepted;
 * what was handed over before is withdrawn: the bus is told, as soon as it is
 * there, not to send it.  Both ends of the wait are bounded: past 16,384
 * messages or 32 MiB batch_add() refuses.
 */
#ifndef BOXES_FRONT_SUBMIT_H
#define BOXES_FRONT_SUBMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/attr.h"
#include "common/uuid.h"
#include "proto/frame.h"

struct box;
struct batch;
struct submitter;

enum submit_result {
	SUBMIT_PENDING = 0,
	SUBMIT_ACCEPTED, /* durable */
	SUBMIT_LATER,    /* durable, its link is down */
	SUBMIT_NO_ROUTE,
	SUBMIT_THROTTLED,
	SUBMIT_UNAVAILABLE, /* not accepted; may be repeated */
	SUBMIT_INVALID,     /* text says what */
	SUBMIT_DENIED,
	SUBMIT_DENIED_SENDER,
	SUBMIT_DENIED_DESTINATION,
	SUBMIT_REFUSED, /* by a filter; text says why */
	SUBMIT_TIMEOUT, /* not known whether it was accepted, see batch_keep() */
	SUBMIT_WITHDRAWN, /* not accepted in time, and taken back; unless it is
			     under way already it is not sent */
};

/* Takes nothing; the batch and what it holds is freed after it returns. */
typedef void submit_cb(struct batch *, void *arg);

struct submitter *submitter_new(uv_loop_t *, uint64_t hold_ms);
void submitter_set_box(struct submitter *, struct box *);
/* From the box's callbacks. */
void submitter_on_ready(struct submitter *);
void submitter_on_acked(
    struct submitter *, uint64_t cookie, unsigned code, const char *text);
/* Batches whose callback has not come. */
unsigned submitter_pending(const struct submitter *);
void submitter_close(struct submitter *);
void submitter_free(struct submitter *);

/* count: how many will be added at most.  extra: octets of the caller's own in
 * the same allocation, zeroed: batch_memory(). */
struct batch *batch_new(struct submitter *, unsigned count, size_t extra);
void *batch_memory(struct batch *);
/*
 * Hands over one SUBMIT item (copied).  A refusal is a result like any other,
 * settled at once.
 */
void batch_add(struct batch *, const struct item *, const uint8_t id[UUID_LEN]);
/* A message that never gets as far as the bus, so that results keep the order
 * of the request.  text is copied, may be NULL. */
void batch_refuse(struct batch *, enum submit_result, const char *text);
/*
 * What is not confirmed in time stays with the bus: SUBMIT_TIMEOUT.  For what is
 * going to be repeated under the same ids, or replaces another one.
 */
void batch_keep(struct batch *);
/* All or none: when one is withdrawn, those that were accepted are, too, and
 * have the same result. */
void batch_bind(struct batch *);
/*
 * All were added.  cb is called exactly once, later or before this returns.
 */
void batch_wait(struct batch *, submit_cb *, void *arg);

unsigned batch_count(const struct batch *);
enum submit_result batch_result(const struct batch *, unsigned i);
const uint8_t *batch_id(const struct batch *, unsigned i);
const char *batch_text(const struct batch *, unsigned i); /* or NULL */

#endif
