/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * service.h - keyword services: what a message from a handset becomes as a
 * Kannel-style URL, and how the text of the answer becomes a message back.
 *
 * The id of the reply follows from the id of the question, so that a question
 * which is delivered twice is answered once.
 */
#ifndef HOOK_SERVICE_H
#define HOOK_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct buf;
struct inbound_rule;

/* URL of an MO; UV_E2BIG when it gets longer than max. */
int service_url(struct buf *out, const struct inbound_rule *,
    const Hopyard__V1__Envelope *, const Hopyard__V1__Content *,
    const Hopyard__V1__Dispatch *, size_t max) WARN_UNUSED;

/* What is kept of an MO until its answer is there. */
struct service_call;

struct service_call *service_call_new(
    const struct inbound_rule *, const Hopyard__V1__Envelope *) WARN_UNUSED;
void service_call_free(struct service_call *);

/*
 * The text that an answer gives back: text/plain, blanks at both ends
 * stripped, as UTF-8 in `out`.  False when there is none to send.
 */
bool service_text(
    struct buf *out, const char *type, struct bytes body) WARN_UNUSED;

/*
 * The MT with this text, as envelope and body of a SUBMIT item, appended to
 * the two buffers.  fresh: an id of now instead of the one that follows from
 * the question, for a question so old that the bus refuses that one.  NULL, or
 * the reason why there can be no such message.
 */
const char *service_reply(const struct service_call *, struct bytes text,
    bool fresh, struct buf *envelope, struct buf *body) WARN_UNUSED;

/* Exported for its test: the reply's id. */
void service_reply_id(
    const uint8_t question[16], uint64_t time_ms, uint8_t dst[16]);

#endif
