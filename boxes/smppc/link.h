/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * link.h - one carrier: its binds, the messages in hand, the credit that the
 * bus has from us; all of them for each cell, see cell.h.
 *
 * A message that a bus handed over is in `by_ref` of its cell until its result
 * has been given to box.c, and there in exactly one place besides: `ready` of
 * the cell (no part of it may be on the wire), the `started` list of a bind
 * (some parts are, or it is itself a part whose others went by that bind), no
 * list (all are), or `finished` of the cell (the result waits for room in
 * box.c).
 *
 * Credit: the bus may send what the bound binds could write now and 20 ms of
 * the measured rate more, so that it need not be asked per message; never over
 * 100 ms of a configured rate.  open_items is what was granted and has not
 * come: granting more than that would let bulk stand in front of an OTP.
 */
#ifndef BOXES_SMPPC_LINK_H
#define BOXES_SMPPC_LINK_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "boxes/smppc/bind.h"
#include "boxes/smppc/cell.h"
#include "boxes/smppc/meter.h"
#include "boxes/smppc/profile.h"
#include "common/attr.h"
#include "common/box.h"
#include "common/buf.h"
#include "common/map.h"

#define LINK_TICK_MS 100
#define LINK_SOON_MS 10 /* while a rate holds something back */

struct origins;
struct pins;

enum link_state {
	LINK_DOWN = 0, /* no bind can take messages */
	LINK_UP,       /* at least one can */
	LINK_DRAINING, /* takes no more; finishes what it has, then unbinds */
	LINK_CLOSING, /* binds are gone; waits for the bus to have the results */
	LINK_CLOSED,
};

struct link {
	uv_loop_t *loop;
	struct cell *cell; /* owned; our own first */
	unsigned n_cells;
	const char *name;
	struct profile *profile; /* owned */
	enum link_state state;   /* written only by link_enter_state() */
	uint64_t entered_ms;
	void (*done)(void *arg); /* after a drain */
	void *done_arg;

	struct bind **bind; /* owned, as each of them */
	unsigned n_binds;
	unsigned turn;      /* the bind that writes first */
	unsigned rebind_at; /* the next one to be bound again; n_binds: none */
	uv_timer_t tick;
	uv_timer_t soon; /* before the next tick, when a rate allows more */

	uint32_t ready_parts;   /* parts still to be written, in all `ready` */
	uint32_t started_parts; /* the same on all started lists */
	uint64_t arrivals;
	struct pins *pins; /* binds of split messages, or NULL: none yet */
	struct origins *origins; /* cells of receipts, or NULL: there is one */

	double tokens; /* of profile->tps */
	uint64_t refilled_ms;
	uint32_t sent_window, sent_last; /* segments in this, last second */
	uint64_t second_ms;

	struct inbound_list inbound; /* handed to box.c and not settled */
	struct meter meter;
	struct buf scratch;
};

/* A bus that the link sends for; group: of the configuration, or NULL. */
struct link_bus {
	struct box_opts opts;
	const struct conf_group *group;
};

/*
 * Connects to the n buses, our own first, and begins to bind.  Takes the
 * profile.  What the options point to is borrowed for the life of the link.
 */
struct link *link_new(
    uv_loop_t *, const struct link_bus *, size_t n, struct profile *);
/*
 * Takes the profile.  Binds come and go as it says; if the login has changed
 * they are bound again one after the other, else they stay as they are.
 */
void link_reload(struct link *, struct profile *);
/*
 * No new messages; waits for answers, unbinds, waits until the bus has all
 * results.  done() is called once, then link_free() may be.
 */
void link_drain(struct link *, void (*done)(void *arg), void *arg);
/* After the loop has ended. */
void link_free(struct link *);

/* A bind has changed: tell the bus, and go on. */
void link_on_bind(struct link *);
/* Write what can be written and grant what has become free. */
void link_pump(struct link *);
/* The bind has a slot, and neither its rate nor the link's stands against it. */
bool link_may_write(const struct link *, const struct bind *);
/* One segment is being written. */
void link_spend(struct link *, struct bind *);

#endif
