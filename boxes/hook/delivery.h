/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * delivery.h - one item of DELIVER on its way to a customer: from the frame to
 * the request, and from the answer to the RESULT.
 *
 * Each is in the hook's map by ref, and on one list at most: waiting for its
 * account's webhook, waiting for room at its endpoint, or blocked because the
 * bus does not keep up.
 */
#ifndef HOOK_DELIVERY_H
#define HOOK_DELIVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boxes/hook/endpoint.h"
#include "boxes/hook/event.h"
#include "boxes/hook/url.h"
#include "common/buf.h"
#include "common/queue.h"
#include "common/uuid.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct hook;
struct service_call;
struct webhook;

enum delivery_state {
	DELIVERY_NEW = 0,  /* being read */
	DELIVERY_LOOKUP,   /* on webhook->waiting */
	DELIVERY_WAITING,  /* on endpoint->waiting */
	DELIVERY_RUNNING,  /* the request is under way and borrows our bytes */
	DELIVERY_REPLYING, /* SUBMIT of the reply is with the bus */
	DELIVERY_DONE,     /* code and detail are set; on blocked if the frame
			    * could not be sent */
};

struct delivery {
	struct hook *hook;
	enum delivery_state state; /* written only by delivery_enter_state() */
	bool listed;               /* on hook->blocked */
	uint64_t ref;
	uint8_t id[UUID_LEN];
	uint32_t attempt;
	size_t bytes; /* as Credit counts them */
	uint64_t arrived_us;
	bool json;         /* POST of body, else GET */
	const char *type;  /* of the event in body */
	bool possible_dup; /* the message may have been sent twice */
	struct buf account;
	struct buf url;
	struct url where; /* url taken apart: views into it */
	struct buf body;
	struct endpoint *endpoint;    /* in WAITING and RUNNING */
	struct webhook *webhook;      /* in LOOKUP */
	struct service_call *service; /* its answer becomes a message */
	bool fresh_id;                /* second try of the reply */
	struct buf reply_text;
	char event_id[EVENT_ID_MAX];
	char signature[EVENT_SIGNATURE_MAX];
	uint64_t timestamp;
	/* The result. */
	Hopyard__V1__Result__Code code;
	unsigned status;
	uint64_t pause_ms;
	char detail[128];
	TAILQ_ENTRY(delivery) link;
};

void delivery_init(struct delivery *, struct hook *);
void delivery_fini(struct delivery *);

/*
 * Takes an item: reads it and gets it going.  The delivery is in the map and
 * may be over and released when this returns.
 */
void delivery_start(
    struct delivery *, const struct item *, const Hopyard__V1__Dispatch *);
/* Its webhook is known, or cannot be known now. */
void delivery_on_webhook(struct delivery *);
/* The bus has judged the reply. */
void delivery_on_reply_acked(
    struct delivery *, Hopyard__V1__Ack__Code, const char *text);
/* The box has room again. */
void delivery_on_writable(struct delivery *);
/* Given back untouched; only in LOOKUP and WAITING. */
void delivery_give_back(struct delivery *, const char *why, uint64_t pause_ms);

/* Start those who wait at an endpoint, as far as it has room, or give them
 * back when there is no hope. */
void delivery_pump(struct endpoint *);

void delivery_register_stats(void);

#endif
