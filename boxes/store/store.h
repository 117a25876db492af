/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store.h - the process: what its parts share.  store.c joins the bus
 * (common/box.h) to the sessions: append.c writes, page.c reads for the bus,
 * lookup.c what memory has lost, query.c for people, and upkeep.c tidies up.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "boxes/store/batch.h"
#include "boxes/store/witness.h"
#include "boxes/store/partition.h"
#include "common/attr.h"
#include "common/box.h"

struct append;
struct lease;
struct pg;
struct conf;
struct daemon;
struct lookup;
struct page;
struct query;
struct receipts;
struct sweep;
struct upkeep;

struct store_settings {
	const char *dsn;
	int cell;
	uint64_t lease_ms; /* 0: there is no other bus */
	char node[64];
	bool unsafe;
	bool migrate;
	size_t batch_items, batch_bytes;
	uint64_t gather_us;
	size_t receipt_cache, receipt_cache_bytes;
	uint64_t sweep_ms;
	uint64_t retention_ms, text_retention_ms;
};

struct store {
	struct daemon *daemon;
	uv_loop_t *loop;
	struct store_settings set;
	char options[128]; /* of every session */
	struct box *box;
	unsigned link;     /* number of the present connection to the bus */
	bool connected;    /* to the bus */
	bool opened;       /* the bus of this connection has its Opened */
	bool told_up;      /* what the last StoreState said */
	uint64_t told_lag; /* ms, likewise */
	/* Told while it is down because of that; confirmed 0: it is not. */
	uint64_t rewound_to, confirmed;
	bool standing_by;
	uint64_t standby_told; /* mono ms */
	char detail[256];
	struct batch_tools tools;
	struct witness witness;
	struct partitions partitions;
	struct receipts *receipts;
	struct sweep *sweep;
	struct append *append;
	struct lease *lease; /* NULL: there is no other bus */
	struct lookup *lookup;
	struct page *page;
	struct query *query;
	struct upkeep *upkeep;
	uv_timer_t tick; /* once a second: sweeps, upkeep, look-ups */
	uint64_t next_sweep, next_upkeep;
	bool settled;      /* the append session was up once */
	bool only_migrate; /* option -M */
	bool draining;
	bool refused;
};

/* For main.c, as daemon.h says. */
int store_start(struct store *, struct daemon *);
void store_drain(struct store *);
void store_reload(struct store *, const struct conf *);
void store_fini(struct store *);

/* The database can (not) take records; tells the bus. */
void store_state(struct store *, bool up, const char *detail);
/* The database lacks records that were confirmed, and the bus does not. */
void store_rewound(struct store *, uint64_t last_seq, uint64_t confirmed);
/* Another has the cell: what is known of it, for the bus. */
void store_standby(struct store *, const char *why, const char *owner,
    uint64_t epoch, uint64_t age_ms);
/* The writing session is with this server now, so the others go there. */
void store_follow(struct store *, const struct pg *);
/* Start this process anew: what it knows is out of date. */
void store_again(struct store *, const char *why);
/* Opened has been sent. */
void store_opened(struct store *);
/* End the process: something a restart does not mend. */
void store_refuse(struct store *, const char *why, const char *hint);
/* Nothing is on its way any more. */
void store_idle(struct store *);
/* What a session is told when it connects, and `more`. */
void store_session_options(
    const struct store *, char *dst, size_t len, const char *more);

#endif
