/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hook.h - the process as a whole: its side of the bus, the deliveries in
 * hand, the credit that the bus has for more, and what they share.
 *
 * An item of DELIVER is in hand until its RESULT has been handed to the box
 * (common/box.h), which keeps that until the bus has it on disk.  In hand plus
 * granted is never more than `concurrency` items.
 */
#ifndef HOOK_HOOK_H
#define HOOK_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "boxes/hook/endpoint.h"
#include "boxes/hook/webhook.h"
#include "common/map.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct box;
struct conf;
struct daemon;
struct delivery;
struct guard;
struct inbound;
struct transfers;

#define HOOK_ARENA     (384 * 1024)
#define HOOK_MIX_SLOTS 1024

/* Which endpoints an account has used: see hook_is_mixed(). */
struct hook_mix {
	uint64_t account;                /* hash */
	const struct endpoint *endpoint; /* only compared, never followed */
	uint64_t mixed_until;            /* mono ms */
};

struct hook {
	struct daemon *daemon;
	uv_loop_t *loop;
	uv_timer_t tick;
	uv_prepare_t prepare;
	struct box *box;
	struct guard *guard;
	char *ca_file; /* or NULL */
	struct inbound *inbound;
	struct transfers *transfers;
	struct endpoints endpoints;
	struct webhooks webhooks;
	struct map by_ref;
	struct delivery_list free;    /* to be used again */
	struct delivery_list blocked; /* the box had no room for their frame */
	size_t free_count;
	unsigned concurrency;
	size_t max_bytes; /* of items in hand and granted */
	size_t bytes;     /* of items in hand */
	int64_t granted;  /* items that may still come */
	int64_t granted_bytes;
	bool draining;
	bool stopped;
	struct arena arena;
	uint8_t *arena_memory;
	struct hook_mix mix[HOOK_MIX_SLOTS];
};

/* Returns 0, or <0 after logging why not. */
int hook_start(struct hook *, struct daemon *);
void hook_drain(struct hook *);
/* Takes over rules; what else has changed waits for a restart. */
void hook_reload(struct hook *, const struct conf *);
void hook_fini(struct hook *);

/*
 * Hands the result to the box.  False when there is no room: the delivery
 * stays on `blocked` and is asked again.
 */
bool hook_send_result(struct hook *, const Hopyard__V1__Result *);
/* The delivery is over and its memory may be used again. */
void hook_release(struct hook *, struct delivery *);

/*
 * Does this account use more than one endpoint?  Then a pause of its queue
 * would stop the healthy one too.
 */
bool hook_is_mixed(
    struct hook *, struct bytes account, const struct endpoint *, uint64_t now);

#endif
