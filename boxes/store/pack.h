/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pack.h - events that end an item and make no other, gathered into few rows
 * of table `pack`: most messages have one, and a row and an index entry of its
 * own for each costs the server more than all else that is in it.
 *
 * A pack holds events of one type and state about items of one block of
 * PACK_BLOCK numbers, so that a look for one item reads a bounded number of
 * them.  What does not come together in such numbers stays a row of `event`.
 */
#ifndef STORE_PACK_H
#define STORE_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "boxes/store/column.h"
#include "boxes/store/rows.h"
#include "common/attr.h"

struct pg;

#define PACK_SHIFT 12
#define PACK_SQL   "12"
#define PACK_LEAST 8   /* fewer are not worth a row that others must read */
#define PACK_MOST  240 /* numbers must fit into a block of the database */
#define PACKS      8   /* kinds and blocks in one batch */

struct pack {
	uint64_t block;
	uint64_t at; /* of the latest */
	uint8_t type, state;
	struct column ref, seq, ats, id, rec;
};

struct packs {
	struct pack pack[PACKS];
	unsigned count;
};

void packs_init(struct packs *);
void packs_fini(struct packs *);
void packs_clear(struct packs *);

/* False if there is no place for it: it stays a row. */
bool packs_add(struct packs *, const struct event_row *) WARN_UNUSED;
/* Those that have got fewer events than `least` become rows of `event`. */
void packs_spread(struct packs *, struct rows *event, uint32_t least);

void packs_prepare(struct pg *);
/* Insert them, in an open unit. */
void packs_run(struct packs *, struct pg *);

/* SQL: has an event of a pack closed this item?  A lower bound of time. */
#define PACK_CLOSES(item, since)                                               \
	"EXISTS (SELECT FROM pack p WHERE p.block = " item " >> " PACK_SQL     \
	" AND p.at >= " since " AND " item " = ANY (p.ref))"
/* The events of a pack `p` as rows `u`. */
#define PACK_ROWS                                                              \
	"pack p, unnest(p.ref, p.seq, p.ats, p.rec) AS u(ref, seq, at, rec)"
/* Of them, those about this item. */
#define PACK_OF(item, since)                                                   \
	" p.block = " item " >> " PACK_SQL " AND p.at >= " since " AND " item  \
	" = ANY (p.ref) AND u.ref = " item " "

#endif
