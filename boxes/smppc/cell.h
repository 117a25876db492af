/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cell.h - one bus that a link sends for: its box, what of it is in hand, the
 * credit that it has from us.  A ref means something to its own bus only.
 *
 * Several cells share what the link may send.  Each is granted its part of the
 * window and rate while it uses it; one that leaves its credit lie has a little
 * of it, so that it can begin, and the others have the rest.  What is ready is
 * written by urgency, and among equals by turns, counted in segments.
 *
 * Owned by the link, which has our own first; never moves.
 */
#ifndef BOXES_SMPPC_CELL_H
#define BOXES_SMPPC_CELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boxes/smppc/bind.h"
#include "common/map.h"
#include "proto/bytes.h"

struct box;
struct conf_group;
struct link;

struct cell {
	struct link *link;
	const char *name; /* NULL: our own */
	struct box *box;  /* owned; NULL: closed for good */

	struct message_list ready;    /* urgent first, in order of arrival */
	struct message_list finished; /* results that box.c had no room for */
	struct map by_ref;            /* struct message * by ref */
	bool fresh;                   /* `ready` may be written in this turn */

	uint64_t open_items, open_bytes;
	uint64_t asked_us; /* credit was given when there was none; 0: heard */
	uint64_t fed_ms;   /* the same, for cell_is_hungry() */
	uint32_t bus_us;   /* until items came for it, smoothed, 1/8 */
	uint64_t bus_lost_ms; /* 0: connected */

	/* With several cells. */
	uint32_t parts;  /* of all messages in hand */
	uint64_t served; /* segments, as its turns are counted */
	char **inbound;  /* numbers whose messages go there; owned */
	size_t n_inbound;

	/* What the bus was told last. */
	struct {
		int state;
		unsigned bound;
		uint32_t window, rate;
		char detail[224];
	} told;
};

/* g: of the configuration, NULL for our own. */
void cell_init(struct cell *, struct link *, const struct conf_group *g);
void cell_fini(struct cell *);

/* It has used up what it was granted, or may still do so. */
bool cell_is_hungry(const struct cell *, uint64_t now_ms);
/*
 * How many parts this one may have in hand and granted, when the link has room
 * for `total` of all cells together.
 */
uint64_t cell_share(const struct cell *, uint64_t total, uint64_t now_ms);
/* The first message of the one whose turn it is, or NULL. */
struct message *cell_next(struct link *);
/* The one that has the messages for this number. */
struct cell *cell_of_number(struct link *, struct bytes to);

#endif
