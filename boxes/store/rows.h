/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rows.h - the rows that one batch adds to one table, and the INSERT that
 * adds them.
 */
#ifndef STORE_ROWS_H
#define STORE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boxes/store/column.h"

struct pg;

enum rows_table {
	ROWS_MESSAGE = 0,
	ROWS_EVENT,
	ROWS_DUE,
	ROWS_ORPHAN,
	ROWS_ORPHAN_DONE,
	ROWS_WHEEL,
	ROWS_QUEUE,
	ROWS_CHECKPOINT,
	ROWS_QUARANTINE,
	ROWS_TABLES
};

#define ROWS_COLUMNS 15

/* Columns in the order of the INSERT. */
enum {
	MESSAGE_ID,
	MESSAGE_SEQ,
	MESSAGE_EXPIRES_AT,
	MESSAGE_QUEUE,
	MESSAGE_PARTS,
	MESSAGE_KIND,
	MESSAGE_CLASS,
	MESSAGE_ACCOUNT,
	MESSAGE_DST,
	MESSAGE_SRC,
	MESSAGE_CLIENT_REF,
	MESSAGE_REC,
	MESSAGE_ENVELOPE,
	MESSAGE_BODY,
	MESSAGE_REPORT,
};

struct rows {
	struct column col[ROWS_COLUMNS];
	unsigned ncol;
	uint32_t count;
};

void rows_init(struct rows *, enum rows_table);
void rows_fini(struct rows *);
void rows_clear(struct rows *);

/* Bytes of the event table's `type` that no Record has. */
#define EVENT_PART 64 /* SMSC id of a further part */

/* One row; a value of 0 is NULL where the comment says so. */
struct event_row {
	uint64_t seq;
	uint64_t at;
	uint64_t ref;      /* 0: null */
	uint64_t key;      /* 0: null */
	const uint8_t *id; /* NULL: null */
	uint32_t queue;    /* 0: null */
	uint16_t part;     /* 0: null */
	uint8_t type, state;
	bool closes;
	const void *rec, *body; /* NULL: null */
	size_t rec_len, body_len;
};
void rows_add_event(struct rows *, const struct event_row *);

/* Column helpers: bytes that may be absent. */
void rows_bytes(struct column *, const void *, size_t);
void rows_text(struct column *, const void *, size_t);

/*
 * INSERTs for batches in which some columns have one value throughout: an
 * array costs the server as much for each row as a key of an index does, a
 * single value nothing.  They are made as batches call for them; of messages
 * and events only.
 */
#define ROWS_FORMS 8

struct rows_form {
	uint32_t same; /* bit n: column n has one value */
	bool ready;    /* the server has prepared it */
};

struct rows_forms {
	struct rows_form form[2][ROWS_FORMS]; /* by rows_table */
	unsigned count[2];
	uint32_t last[2]; /* what the batch before would have liked */
};

/* Prepare all INSERTs of a session, in an open unit.  Forgets the forms. */
void rows_prepare(struct rows_forms *, struct pg *);
/*
 * Choose the form for these rows; 0: rows_run().  One that is worth it is
 * prepared in a unit of its own, for the next time.  No unit may be open.
 */
uint32_t rows_choose(
    struct rows_forms *, const struct rows *, enum rows_table, struct pg *);
void rows_run_form(struct rows *, enum rows_table, struct pg *, uint32_t same);
/*
 * Run the INSERT, in an open unit.  With `conflict` (messages only) rows whose
 * id is there are left out and the seqs of the others are returned.
 */
void rows_run(struct rows *, enum rows_table, struct pg *, bool conflict);
/* Likewise, rows [from, to) only, and without those that conflict; for a search,
 * so not prepared. */
void rows_run_slice(
    struct rows *, enum rows_table, struct pg *, uint32_t from, uint32_t to);

const char *rows_name(enum rows_table);
/* The column of this name, or NULL. */
struct column *rows_column(struct rows *, enum rows_table, const char *name);
void rows_remove(struct rows *, uint32_t i);

#endif
