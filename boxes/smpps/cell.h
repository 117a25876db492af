/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cell.h - one bus that accounts belong to: its box, what is on its way there,
 * and what is in hand of it.  Refs, credit and seats are of one bus and mean
 * nothing to another.
 *
 * Owned by the server, which has our own first; never moves.
 */
#ifndef SMPPS_CELL_H
#define SMPPS_CELL_H

#include <stddef.h>
#include <stdint.h>

#include "boxes/smpps/customer.h"
#include "common/map.h"
#include "common/turn.h"

struct box;
struct server;
struct submitter;

struct cell {
	struct server *server;
	unsigned index;   /* as accounts count them */
	const char *name; /* NULL: our own */
	struct box *box;
	struct submitter *submitter;

	/* Of customer.c. */
	struct map customers;   /* struct customer * by account id */
	struct seat_list dirty; /* owe an Attach */
	struct turn_task attach;

	/* Of deliver.c. */
	struct map in_hand;           /* struct delivery * by ref */
	struct delivery_list blocked; /* results that box.c had no room for */

	/* Credit that the bus has from us; and the largest item since nothing
	 * was in hand, which bounds the octets of what is. */
	int64_t granted_items, granted_bytes;
	size_t largest;
};

#endif
