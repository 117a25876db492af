/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outbox.h - items that a box has handed over and the bus has not settled yet:
 * their bytes, their numbers on this connection, and what has been sent of
 * them.  Memory only; box.c does the talking.
 *
 * Numbers run from 1 in each connection, over all types, in the order in which
 * the items were added.
 */
#ifndef COMMON_OUTBOX_H
#define COMMON_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "proto/frame.h"

struct outbox_chunk;
struct outbox_entry;

struct outbox {
	struct outbox_entry *ring;
	size_t cap;      /* power of two, or 0 */
	size_t head;     /* index of the oldest entry */
	size_t count;    /* entries in the ring */
	size_t sent;     /* of these, sent on this connection */
	size_t live;     /* of these, not refused and not dropped */
	size_t dropped;  /* unsent ones that are out, but still in the ring */
	uint64_t serial; /* of the last entry that was added */
	uint64_t base;   /* number of the oldest entry on this connection */
	size_t bytes;    /* encoded, of all entries */
	size_t max_items, max_bytes;
	struct outbox_chunk *first, *last, *spare;
};

/* What the next frame may hold. */
struct outbox_limits {
	uint64_t items, bytes; /* credit that is left */
	size_t frame_items, frame_payload;
};

/* The next frame: items of one type that follow each other. */
struct outbox_run {
	uint16_t type;
	uint64_t first; /* number of the first */
	size_t items;
	size_t bytes;   /* what Credit counts */
	size_t payload; /* encoded size of the items alone */
};

void outbox_init(struct outbox *, size_t max_items, size_t max_bytes);
void outbox_fini(struct outbox *);

bool outbox_full(const struct outbox *);
/*
 * Copies the item.  Returns 0, UV_ENOBUFS when full, or UV_EMSGSIZE for an
 * item that fits in no frame.
 */
int outbox_add(struct outbox *, uint16_t type, const struct item *,
    uint64_t cookie) WARN_UNUSED;

enum outbox_withdrawn {
	OUTBOX_SETTLED = 0, /* the bus has had its say */
	OUTBOX_SENT,        /* perhaps with the bus */
	OUTBOX_UNSENT,      /* it never left, and will not */
};

/*
 * The entry that had this o->serial when it was added is not wanted any more: it
 * is not sent, or not again; one that is on this connection already is still
 * settled as usual.
 */
enum outbox_withdrawn outbox_withdraw(struct outbox *, uint64_t serial);
/* Entries that were taken out unsent leave the ring: call before the rest is
 * sent. */
void outbox_close_ranks(struct outbox *);

/* A new connection: nothing is sent, numbers start again at 1. */
void outbox_restart(struct outbox *);
/* False when there is nothing unsent, or no credit for it. */
bool outbox_next(
    const struct outbox *, const struct outbox_limits *, struct outbox_run *);
/* Writes run->payload bytes and counts the items as sent.  Returns the end. */
uint8_t *outbox_put(struct outbox *, const struct outbox_run *, uint8_t *dst);
/* Number of the last item sent on this connection, 0 = none. */
uint64_t outbox_last_sent(const struct outbox *);
/* How many of the oldest entries reach up to the last one of this type. */
size_t outbox_count_to_last(const struct outbox *, uint16_t type);

/*
 * The bus refused this number.  False if it is not outstanding: out of range,
 * or settled before.
 */
bool outbox_refuse(
    struct outbox *, uint64_t number, uint64_t *cookie) WARN_UNUSED;
/*
 * Takes out the oldest item if its number is up to `upto`, which was sent;
 * false when there is no such (more).  Refused ones are passed over.
 */
bool outbox_settle(
    struct outbox *, uint64_t upto, uint64_t *cookie) WARN_UNUSED;

#endif
