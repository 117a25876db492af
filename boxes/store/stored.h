/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stored.h - one item as it lies in the tables: a row of a query, turned into
 * what the bus is told of it.
 *
 * An item is a message row, or an event row with a queue: a notice to the
 * customer, whose envelope is made of the columns of its message.  What has
 * become of it so far is in the events that name it.
 */
#ifndef STORE_STORED_H
#define STORE_STORED_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "common/buf.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

/* Columns that such a query begins with, in binary. */
enum {
	STORED_SEQ,
	STORED_ID,
	STORED_QUEUE,
	STORED_REC,      /* a message's Record; NULL for a notice */
	STORED_ENVELOPE, /* NULL for a notice */
	STORED_BODY,
	STORED_REPORT,
	STORED_ACCOUNT, /* these three for a notice only */
	STORED_DST,
	STORED_SRC,
	STORED_AT, /* of a notice */
	STORED_EXPIRES_AT,
	STORED_EVENTS, /* Records of the events about it, bytea[]; or NULL */
	STORED_COLUMNS
};
/* They as text, for a message `m`, and for a notice: event `e` of `m`. */
#define STORED_MESSAGE                                                         \
	"m.seq, m.id, m.queue, m.rec, m.envelope, m.body, m.report,"           \
	" NULL::text, NULL::text, NULL::text, NULL::int8, m.expires_at, "
#define STORED_NOTICE                                                          \
	"e.seq, e.id, e.queue, NULL::bytea, NULL::bytea, e.body, m.report,"    \
	" m.account, m.dst, m.src, e.at, NULL::int8, "
/* Subquery for the last one: the item's seq, a lower bound of time.  For items
 * that are not over: what ends one may be in a pack. */
#define STORED_HISTORY(seq, at)                                                \
	"(SELECT array_agg(h.rec ORDER BY h.seq) FROM event h"                 \
	" WHERE h.ref = " seq " AND h.at >= " at " AND h.rec IS NOT NULL)"

#define STORED_PARTS 255

struct stored {
	struct item item; /* borrowed from the result, or in `envelope` */
	Hopyard__V1__Paged paged;
	bool submitted;      /* a carrier has it, a receipt is awaited */
	uint64_t receipt_by; /* until then; 0: not said */
	uint32_t part_done[STORED_PARTS];
	uint8_t link[256];
	struct buf envelope;
	struct arena arena;
	uint8_t *memory;
};

void stored_init(struct stored *);
void stored_fini(struct stored *);

/* Valid until the next call, and while the result lives; false if the row
 * holds no item. */
bool stored_read(struct stored *, const PGresult *, int row) WARN_UNUSED;

#endif
