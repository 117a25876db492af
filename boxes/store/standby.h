/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * standby.h - may this store have the cell?  For append.c, on its session,
 * before the advisory lock; where bus.lease says that there is another bus it is
 * this that decides, and where it does not, whether it is right in that.
 *
 * The owner's `beat` grows with each renewal.  Who has seen it stand still for
 * the owner's lease takes the cell in one statement, which fails if it has
 * grown in the meantime; from then on no renewal and no batch of the old owner
 * is committed, and its session may be ended.  No clock is compared with
 * another: the time that counts is the one between two looks of ours.
 *
 * Without a bus of its own a store neither stands by nor takes a cell that has
 * a lease: nobody would be served by it.
 */
#ifndef STORE_STANDBY_H
#define STORE_STANDBY_H

#include <stdbool.h>
#include <stdint.h>

struct pg;
struct store;

enum standby_verdict {
	STANDBY_WAIT = 0, /* another has it */
	STANDBY_LOCK,     /* nobody else can have it while the lock is free */
	STANDBY_CLAIMED,  /* it is ours: whoever has the lock is to be ended */
	STANDBY_LOST,     /* ours was it once, and somebody else has had it */
	STANDBY_FAILED,   /* no answer */
};

typedef void standby_cb(enum standby_verdict, void *arg);

struct standby {
	struct store *store;
	standby_cb *cb;
	void *arg;
	uint64_t ours; /* epoch of the bus that is open here, or 0 */
	uint64_t looked_at, registered_at; /* mono ms */
	/* As last seen, and since when it has not changed (mono ms; 0: never
	 * seen in this session). */
	bool there, released;
	uint64_t epoch, beat, since;
	uint64_t lease_ms, age_ms;
	bool holder; /* somebody has the lock; not always looked for */
	bool mine;   /* this node has it, or had */
	bool same;   /* a process of this node and boot had it */
	unsigned others;
	char node[64];
	uint64_t claimed; /* epoch that we have made, or 0 */
	bool told;
	char boot[64];
};

void standby_init(struct standby *, struct store *);
/* A new session, perhaps to another server. */
void standby_reset(struct standby *);
/* Look, and claim it if it is time; cb is not called if the session is lost. */
void standby_look(
    struct standby *, struct pg *, uint64_t ours, standby_cb *, void *arg);
/* The epoch that was seen when the verdict was LOCK or CLAIMED. */
uint64_t standby_epoch(const struct standby *);
/* Of this host since its start. */
const char *standby_boot(const struct standby *);

#endif
