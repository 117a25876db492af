/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * batch.h - the records of one transaction: decoded into rows as they come,
 * and what is to be told to the bus once they are durable.
 *
 * Whole RECORD frames go into a batch.  Its rows stay until the commit is
 * certain, so a batch that was sent into a dying session is sent again
 * unchanged, except for its attempt number.
 */
#ifndef STORE_BATCH_H
#define STORE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boxes/store/pack.h"
#include "boxes/store/rows.h"
#include "common/attr.h"
#include "common/buf.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct partitions;
struct receipts;
struct sweep;

/* What turns records into rows; one for all batches. */
struct batch_tools {
	struct arena arena;
	uint8_t *memory;
	struct partitions *partitions;
	struct receipts *receipts;
	struct sweep *sweep;
};
void batch_tools_init(struct batch_tools *);
void batch_tools_fini(struct batch_tools *);

/* An item that the store itself made of a record: a DLR. */
struct batch_notice {
	uint64_t seq;
	uint64_t at;
	uint32_t queue;
	uint8_t id[16];
	bool fetch; /* envelope and report are in the message's row only */
	size_t envelope, envelope_len; /* in batch.blob */
	size_t body, body_len;
	size_t report, report_len;
};

struct batch_id {
	uint8_t id[16];
	uint64_t seq;
};

struct batch {
	uint64_t first, last; /* seq of the records; 0, 0: none */
	uint64_t epoch;
	uint64_t at;        /* mono us of the first record */
	uint64_t urgent_at; /* of the first that somebody waits for, or 0 */
	uint64_t last_at;   /* latest time stamped on a record, wall ms */
	unsigned attempt;   /* of committing it */
	unsigned link; /* connection to the bus that gets the credit back */
	size_t items, bytes;
	struct rows rows[ROWS_TABLES];
	struct packs packs;
	struct batch_id *id; /* of its messages */
	size_t id_count, id_cap;
	struct batch_notice *notice;
	size_t notice_count, notice_cap;
	size_t fetch_count;
	struct buf blob;
	uint64_t *duplicate; /* seqs of messages whose id was there before */
	size_t duplicate_count, duplicate_cap;
	uint64_t *refused; /* seqs of messages that the database refuses */
	size_t refused_count, refused_cap;
};

void batch_init(struct batch *);
void batch_fini(struct batch *);
void batch_clear(struct batch *);

/*
 * One record.  Never fails: what does not parse goes to quarantine, since the
 * bus's numbers must not stop there.
 */
void batch_add(
    struct batch *, struct batch_tools *, uint64_t seq, const struct item *);
/* No more will be added. */
void batch_seal(struct batch *);
/* Make a row of each event again; false if they are. */
bool batch_unpack(struct batch *) WARN_UNUSED;
/* Nobody waits for any of its records: what came of items that are over. */
bool batch_can_wait(const struct batch *);

/* For receipt.c: a DLR item beside the event row that makes it. */
struct batch_notice *batch_add_notice(struct batch *, uint64_t seq, uint64_t at,
    uint32_t queue, const uint8_t id[16]);
/* Appends to blob; returns the offset. */
size_t batch_keep(struct batch *, const void *, size_t);
void batch_add_duplicate(struct batch *, uint64_t seq);
/*
 * The database refuses row i of this table: into quarantine with it, as it came,
 * or out altogether if it comes from there.  A message is then refused, too.
 * Returns its seq, 0 if it has none.
 */
uint64_t batch_set_apart(
    struct batch *, enum rows_table, uint32_t i, const char *why);

/* The message of a DLR item. */
void batch_pack_envelope(struct buf *, const uint8_t id[16],
    struct bytes account, struct bytes to, struct bytes from);

#endif
