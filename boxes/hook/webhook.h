/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * webhook.h - URL and key of an account's webhook, asked of the bus and kept.
 *
 * Deliveries that need an answer which is not there wait on the entry.  An
 * entry is asked for again after a minute and after every welcome of the bus;
 * until the new answer the old one is used.  The table is bounded.
 */
#ifndef HOOK_WEBHOOK_H
#define HOOK_WEBHOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "boxes/hook/endpoint.h"
#include "common/map.h"
#include "common/queue.h"
#include "proto/frame.h"

struct box;
struct event_key;

enum webhook_state {
	WEBHOOK_ASKED = 0, /* no answer yet */
	WEBHOOK_KNOWN,     /* url and key are what the bus said last */
	WEBHOOK_MISSING,   /* the account has none, or does not exist */
};

struct webhook {
	char *account;
	enum webhook_state state;
	char *url;
	char *secret;          /* to tell whether it changed */
	struct event_key *key; /* NULL: not signed */
	json_t *events;        /* types that are wanted; NULL: all */
	uint64_t fresh_until;  /* mono ms */
	bool asking;
	bool unusable; /* url without a usable secret: nothing is sent */
	struct delivery_list waiting;
	struct webhooks *owner;
	TAILQ_ENTRY(webhook) link; /* least recently used first */
};

/* The deliveries on waiting may go on: state is KNOWN or MISSING, or still
 * ASKED when the bus could not say. */
typedef void webhook_cb(struct webhook *, void *arg);

struct webhooks {
	struct map by_account;
	TAILQ_HEAD(, webhook) all;
	struct box *box;
	size_t max;
	webhook_cb *answered;
	void *arg;
};

void webhooks_init(
    struct webhooks *, size_t max, webhook_cb *answered, void *arg);
void webhooks_set_box(struct webhooks *, struct box *);
void webhooks_fini(struct webhooks *);

/*
 * The entry of an account, asked for if need be; NULL when all entries are
 * being waited for.  Look at state: ASKED means to wait.
 */
struct webhook *webhooks_get(
    struct webhooks *, struct bytes account, uint64_t now);
/* Does the account want events of this type? */
bool webhook_wants(const struct webhook *, const char *type);
/* Everything is to be asked for again at its next use. */
void webhooks_expire(struct webhooks *);

#endif
