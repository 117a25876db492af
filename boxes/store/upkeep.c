/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/upkeep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/partition.h"
#include "boxes/store/pg.h"
#include "boxes/store/store.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"

#define UPKEEP_RUN_MS      30000
#define UPKEEP_CHECKPOINTS 100
/* A record may be stamped before midnight and stored after it. */
#define UPKEEP_SEAL_MS 3600000ULL

/* A partition of a day that is over, and what it still needs. */
struct seal {
	char table[PARTITION_NAME];
	const char *column; /* of its index */
	const char *order;  /* further columns of it */
	bool broken;        /* the index is there and not valid */
};

struct upkeep {
	struct store *store;
	struct pg *pg;
	bool running, closing;
	struct seal seal;
	bool found;
};

/* ------------------------------------------------------- days that are over */

static void upkeep_seal(struct upkeep *);

static void
upkeep_over(struct upkeep *u)
{
	u->running = false;
}

static bool
upkeep_went(struct upkeep *u, const struct pg_end *end)
{
	if (end->outcome == PG_OK)
		return true;
	if (end->outcome == PG_ERROR)
		log_warn("upkeep.failed", "table=%s reason=%s", u->seal.table,
		    end->message);
	upkeep_over(u);
	return false;
}

static void
upkeep_indexed(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct upkeep *u = arg;

	(void)pg;
	if (!upkeep_went(u, end))
		return;
	log_info("partition.sealed", "name=%s", u->seal.table);
	upkeep_seal(u);
}

static void
upkeep_index(struct upkeep *u)
{
	const struct seal *s = &u->seal;
	char sql[384];

	snprintf(sql, sizeof(sql),
	    "CREATE INDEX CONCURRENTLY %s_%s ON %s (%s%s) WHERE %s IS NOT NULL",
	    s->table, s->column, s->table, s->column, s->order, s->column);
	pg_begin(u->pg, 0, NULL, upkeep_indexed, u);
	pg_run(u->pg, sql, NULL, false);
	pg_commit(u->pg);
}

static void
upkeep_dropped_index(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct upkeep *u = arg;

	(void)pg;
	if (upkeep_went(u, end))
		upkeep_index(u);
}

static void
upkeep_vacuumed(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct upkeep *u = arg;
	const struct seal *s = &u->seal;
	char sql[256];

	if (!upkeep_went(u, end))
		return;
	if (!s->broken) {
		upkeep_index(u);
		return;
	}
	snprintf(sql, sizeof(sql), "DROP INDEX CONCURRENTLY %s_%s", s->table,
	    s->column);
	pg_begin(pg, 0, NULL, upkeep_dropped_index, u);
	pg_run(pg, sql, NULL, false);
	pg_commit(pg);
}

static void
upkeep_seal_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct upkeep *u = arg;
	uint64_t now = clock_wall_ms();

	(void)pg;
	(void)index;
	u->found = false;
	for (int row = 0; row < PQntuples(res) && !u->found; row++) {
		const char *name = PQgetvalue(res, row, 0);
		enum partition_table t;
		uint32_t day;

		if (!partition_parse(name, &t, &day) ||
		    (day + 1) * DAY_MS + UPKEEP_SEAL_MS > now)
			continue;
		snprintf(u->seal.table, sizeof(u->seal.table), "%s", name);
		u->seal.column = t == PARTITION_EVENT ? "key" : "dst";
		/* A search wants the newest ones of a number. */
		u->seal.order = t == PARTITION_EVENT ? "" : ", id";
		u->seal.broken = *PQgetvalue(res, row, 1) == 't';
		u->found = true;
	}
}

static void
upkeep_seal_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct upkeep *u = arg;
	char sql[256];

	if (!upkeep_went(u, end))
		return;
	if (!u->found || u->closing) {
		upkeep_over(u);
		return;
	}
	snprintf(
	    sql, sizeof(sql), "VACUUM (FREEZE, ANALYZE) %s", u->seal.table);
	pg_begin(pg, 0, NULL, upkeep_vacuumed, u);
	pg_run(pg, sql, NULL, false);
	pg_commit(pg);
}

/* The next partition whose index is missing or torn. */
static void
upkeep_seal(struct upkeep *u)
{
	snprintf(u->seal.table, sizeof(u->seal.table), "-");
	pg_begin(u->pg, UPKEEP_RUN_MS, upkeep_seal_rows, upkeep_seal_done, u);
	pg_run(u->pg,
	    "SELECT c.relname, x.indexrelid IS NOT NULL"
	    " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
	    " LEFT JOIN pg_class k ON k.relnamespace = c.relnamespace"
	    " AND k.relname = c.relname || CASE"
	    " WHEN i.inhparent = to_regclass('event') THEN '_key'"
	    " ELSE '_dst' END"
	    " LEFT JOIN pg_index x ON x.indexrelid = k.oid"
	    " WHERE i.inhparent IN (to_regclass('event'),"
	    " to_regclass('message')) AND NOT i.inhdetachpending"
	    " AND x.indisvalid IS NOT TRUE ORDER BY c.relname DESC",
	    NULL, false);
	pg_commit(u->pg);
}

/* ------------------------------------------------------------- the rounds */

static void
upkeep_pruned(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct upkeep *u = arg;

	(void)pg;
	if (upkeep_went(u, end))
		upkeep_seal(u);
}

static void
upkeep_prune(struct upkeep *u)
{
	struct pg_params p = { .count = 0 };

	pg_param_int(&p, UPKEEP_CHECKPOINTS);
	snprintf(u->seal.table, sizeof(u->seal.table), "checkpoint");
	pg_begin(u->pg, UPKEEP_RUN_MS, NULL, upkeep_pruned, u);
	/* Some are kept: the last one may be torn. */
	pg_run(u->pg,
	    "DELETE FROM checkpoint WHERE seq < (SELECT min(seq) FROM"
	    " (SELECT seq FROM checkpoint ORDER BY seq DESC LIMIT $1::int4) c)",
	    &p, false);
	pg_commit(u->pg);
}

void
upkeep_run(struct upkeep *u)
{
	if (u->running || !pg_is_up(u->pg))
		return;
	u->running = true;
	partition_upkeep(&u->store->partitions, u->pg, clock_wall_ms());
	upkeep_prune(u);
}

static void
upkeep_up(struct pg *pg, void *arg)
{
	(void)pg;
	(void)arg;
}

static void
upkeep_down(struct pg *pg, const char *why, void *arg)
{
	(void)pg;
	(void)why;
	(void)arg;
}

static const struct pg_ops upkeep_pg_ops = {
	.up = upkeep_up,
	.down = upkeep_down,
};

struct upkeep *
upkeep_new(struct store *s)
{
	struct upkeep *u = xcalloc(1, sizeof(*u));
	char options[512];

	u->store = s;
	store_session_options(
	    s, options, sizeof(options), "-c client_min_messages=error");
	u->pg = pg_new(s->loop, s->set.dsn, "hop-store upkeep", options,
	    &upkeep_pg_ops, u);
	return u;
}

void
upkeep_close(struct upkeep *u)
{
	u->closing = true;
	pg_close(u->pg);
	free(u);
}
