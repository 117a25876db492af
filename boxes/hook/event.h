/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * event.h - the JSON that a webhook gets, and its signature as Standard
 * Webhooks 1.0.0 has it: HMAC-SHA256 over "id.timestamp.body".
 */
#ifndef HOOK_EVENT_H
#define HOOK_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "hopyard/v1/bus.pb-c.h"

struct buf;
struct event_key;

/* "message.delivered", and the word behind the dot. */
const char *event_type(const Hopyard__V1__Notice *);

/* What became of a message; report may be NULL. */
void event_status(struct buf *out, const Hopyard__V1__Envelope *,
    const Hopyard__V1__Notice *, const Hopyard__V1__Report *report);

#define EVENT_RECEIVED "message.received"
/* A message from a handset; rule is the name of the one that took it. */
void event_received(struct buf *out, const Hopyard__V1__Envelope *,
    const Hopyard__V1__Content *, const Hopyard__V1__Dispatch *,
    const char *rule);

/*
 * The id of an event: the same at every attempt, so that the receiver can
 * tell a repeat.  "UUID_REF".
 */
#define EVENT_ID_MAX 64
const char *event_id(
    const uint8_t id[16], uint64_t ref, char dst[EVENT_ID_MAX]);

/*
 * A secret, "whsec_" and base64, or any other text taken as it is; two,
 * separated by a blank, while one is being replaced.  NULL: not usable.
 */
struct event_key *event_key_new(const char *secret) WARN_UNUSED;
void event_key_free(struct event_key *);

/* "v1,BASE64 v1,BASE64" */
#define EVENT_SIGNATURE_MAX 128
const char *event_sign(const struct event_key *, const char *id,
    uint64_t timestamp, const void *body, size_t len,
    char dst[EVENT_SIGNATURE_MAX]);

#endif
