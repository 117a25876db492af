/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * poison.h - the one row of a batch that PostgreSQL refuses for what is in it.
 *
 * Sent again it would be refused again, and all that comes behind it with it.
 * It is found by halves: slices of the batch's rows are inserted and rolled
 * back, until one row is left.  It goes into the table quarantine, as it came,
 * and the batch can go on without it.
 */
#ifndef STORE_POISON_H
#define STORE_POISON_H

#include <stdbool.h>
#include <stdint.h>

#include "boxes/store/rows.h"
#include "common/attr.h"

struct batch;
struct pg;
struct pg_end;

enum poison_found {
	POISON_MOVED, /* a row was set apart: send the batch again */
	POISON_NONE,  /* each table takes its rows now: it was something else */
	POISON_ERROR, /* the search failed; the session lives on */
	POISON_LOST,  /* the session is gone */
};

typedef void poison_cb(enum poison_found, void *arg);

/* Zeroed; embedded in its owner. */
struct poison {
	struct pg *pg;
	struct batch *batch;
	poison_cb *done;
	void *arg;
	char why[256];
	enum rows_table table;
	uint32_t low, high; /* rows [low, high) of it */
	uint32_t tried;     /* rows [low, tried) are on their way */
	bool bad;           /* [low, high) was refused */
	bool passed;        /* the slice on its way was taken */
};

/* May a row's contents be the cause? */
bool poison_suspect(const struct pg_end *);
/* The server's words, as far as they may go into a log. */
const char *poison_says(const struct pg_end *);
/* Borrows all; `done` is called once, from the loop. */
void poison_find(
    struct poison *, struct pg *, struct batch *, poison_cb *done, void *arg);

#endif
