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

/* What a process that died in the middle has left. */
enum torn {
	TORN_NONE,
	TORN_DETACH,  /* half detached */
	TORN_DROP,    /* detached, to be dropped */
	TORN_REPLACE, /* detached, and its successor stands ready */
};

struct upkeep {
	struct store *store;
	struct pg *pg;
	bool running;
	struct seal seal;
	bool found;
	enum torn torn;
	enum partition_table table;
	uint32_t day;
};

/* ------------------------------------------------------- days that are over */

static void upkeep_seal(struct upkeep *);
static void upkeep_archive(struct upkeep *);
static void upkeep_clean(struct upkeep *);

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

/* One statement by itself, however long it takes. */
static void
upkeep_do(struct upkeep *u, const char *sql, pg_end_cb *done)
{
	pg_begin(u->pg, 0, NULL, done, u);
	pg_run(u->pg, sql, NULL, false);
	pg_commit(u->pg);
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
	upkeep_do(u, sql, upkeep_indexed);
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

	(void)pg;
	if (!upkeep_went(u, end))
		return;
	if (!s->broken) {
		upkeep_index(u);
		return;
	}
	snprintf(sql, sizeof(sql), "DROP INDEX CONCURRENTLY %s_%s", s->table,
	    s->column);
	upkeep_do(u, sql, upkeep_dropped_index);
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
upkeep_vacuum(struct upkeep *u)
{
	const char *name = u->seal.table;
	char sql[256], pack[PARTITION_NAME];
	enum partition_table t;
	uint32_t day;

	/* A day's packs need no index, so they are frozen with its events. */
	if (partition_parse(name, &t, &day) && t == PARTITION_EVENT &&
	    partition_is_there(&u->store->partitions, PARTITION_PACK, day))
		snprintf(sql, sizeof(sql), "VACUUM (FREEZE, ANALYZE) %s, %s",
		    name, partition_name(PARTITION_PACK, day, pack));
	else
		snprintf(sql, sizeof(sql), "VACUUM (FREEZE, ANALYZE) %s", name);
	upkeep_do(u, sql, upkeep_vacuumed);
}

static void
upkeep_seal_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct upkeep *u = arg;

	(void)pg;
	if (!upkeep_went(u, end))
		return;
	if (u->found)
		upkeep_vacuum(u);
	else
		upkeep_archive(u);
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

/* ------------------------------------------------ texts whose time is over */

/*
 * The columns of the record move to a new table, which then takes the old
 * one's place.  For a moment the day is not there: between the detach, which
 * must be a transaction of its own, and the last step.  upkeep_clean() goes
 * on where a dead process has stopped.
 */
static void
upkeep_replaced(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct upkeep *u = arg;

	(void)pg;
	if (!upkeep_went(u, end))
		return;
	log_info("partition.archived", "name=%s", u->seal.table);
	if (u->torn == TORN_REPLACE)
		upkeep_clean(u);
	else
		upkeep_archive(u);
}

static void
upkeep_replace(struct upkeep *u, const char *table, uint32_t day)
{
	struct pg_params p = { .count = 0 };
	char sql[512];

	pg_begin(u->pg, 0, NULL, upkeep_replaced, u);
	pg_run(u->pg, "SELECT set_config('lock_timeout', '2s', true)", NULL,
	    false);
	snprintf(sql, sizeof(sql), "DROP TABLE IF EXISTS %s", table);
	pg_run(u->pg, sql, NULL, false);
	snprintf(
	    sql, sizeof(sql), "ALTER TABLE %s_rec RENAME TO %s", table, table);
	pg_run(u->pg, sql, NULL, false);
	partition_make_sql(
	    PARTITION_MESSAGE, day, PARTITION_STEPS - 1, sql, sizeof(sql));
	pg_run(u->pg, sql, NULL, false);
	pg_param_int(&p, day);
	pg_param_int(&p, (int64_t)clock_wall_ms());
	pg_run(u->pg,
	    "INSERT INTO archived VALUES ($1::int4, $2::int8)"
	    " ON CONFLICT DO NOTHING",
	    &p, false);
	pg_commit(u->pg);
}

static void
upkeep_archive_detached(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct upkeep *u = arg;

	(void)pg;
	if (upkeep_went(u, end))
		upkeep_replace(u, u->seal.table, u->day);
}

static void
upkeep_copied(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct upkeep *u = arg;
	char sql[256];

	(void)pg;
	if (!upkeep_went(u, end))
		return;
	snprintf(sql, sizeof(sql),
	    "ALTER TABLE message DETACH PARTITION %s CONCURRENTLY",
	    u->seal.table);
	upkeep_do(u, sql, upkeep_archive_detached);
}

static void
upkeep_copy(struct upkeep *u)
{
	static const char columns[] =
	    "id, seq, expires_at, queue, parts, kind, class, account, dst, src,"
	    " client_ref, rec, envelope, report";
	const char *table = u->seal.table;
	char sql[1024];

	pg_begin(u->pg, 0, NULL, upkeep_copied, u);
	snprintf(sql, sizeof(sql), "DROP TABLE IF EXISTS %s_rec", table);
	pg_run(u->pg, sql, NULL, false);
	snprintf(sql, sizeof(sql),
	    "CREATE TABLE %s_rec (LIKE message INCLUDING ALL)", table);
	pg_run(u->pg, sql, NULL, false);
	snprintf(sql, sizeof(sql),
	    "INSERT INTO %s_rec (%s) SELECT %s FROM %s ORDER BY id", table,
	    columns, columns, table);
	pg_run(u->pg, sql, NULL, false);
	pg_commit(u->pg);
}

static void
upkeep_archive_rows(
    struct pg *pg, unsigned index, const PGresult *res, void *arg)
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
		uint64_t end;

		if (!partition_parse(name, &t, &day))
			continue;
		end = (day + 1) * DAY_MS;
		/* What goes altogether soon needs no archive. */
		if (end + u->store->set.text_retention_ms > now ||
		    end + u->store->set.retention_ms < now + DAY_MS)
			continue;
		snprintf(u->seal.table, sizeof(u->seal.table), "%s", name);
		u->day = day;
		u->found = true;
	}
}

static void
upkeep_archive_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct upkeep *u = arg;

	(void)pg;
	if (!upkeep_went(u, end))
		return;
	if (u->found)
		upkeep_copy(u);
	else
		upkeep_over(u);
}

/* The oldest day that has texts and should not; it is sealed already. */
static void
upkeep_archive(struct upkeep *u)
{
	struct pg_params p = { .count = 0 };

	snprintf(u->seal.table, sizeof(u->seal.table), "-");
	pg_param_int(&p, (int64_t)DAY_MS);
	pg_begin(
	    u->pg, UPKEEP_RUN_MS, upkeep_archive_rows, upkeep_archive_done, u);
	pg_run(u->pg,
	    "SELECT c.relname FROM pg_inherits i"
	    " JOIN pg_class c ON c.oid = i.inhrelid"
	    " WHERE i.inhparent = to_regclass('message')"
	    " AND NOT i.inhdetachpending AND NOT EXISTS (SELECT FROM archived a"
	    " WHERE c.relname = 'message_' || to_char(to_timestamp("
	    " a.day::int8 * ($1::int8 / 1000)) AT TIME ZONE 'UTC', 'YYYYMMDD'))"
	    " ORDER BY c.relname",
	    &p, false);
	pg_commit(u->pg);
}

/* ---------------------------------------------------------- what was torn */

static void upkeep_round(struct upkeep *);

static void
upkeep_cleaned(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct upkeep *u = arg;

	(void)pg;
	if (!upkeep_went(u, end))
		return;
	log_info("partition.cleaned", "name=%s", u->seal.table);
	upkeep_clean(u);
}

/* Columns: name, is its detach pending, has it a successor. */
static void
upkeep_clean_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct upkeep *u = arg;
	uint64_t now = clock_wall_ms();

	(void)pg;
	(void)index;
	u->torn = TORN_NONE;
	for (int row = 0; row < PQntuples(res) && u->torn == TORN_NONE; row++) {
		const char *name = PQgetvalue(res, row, 0);
		enum partition_table t;
		uint32_t day;

		if (!partition_parse(name, &t, &day))
			continue;
		if (*PQgetvalue(res, row, 1) == 't')
			u->torn = TORN_DETACH;
		else if (*PQgetvalue(res, row, 2) == 't')
			u->torn = TORN_REPLACE;
		else if (partition_is_over(&u->store->partitions, t, day, now))
			u->torn = TORN_DROP;
		else
			continue; /* by somebody else, for a reason */
		snprintf(u->seal.table, sizeof(u->seal.table), "%s", name);
		u->table = t;
		u->day = day;
	}
}

static void
upkeep_clean_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct upkeep *u = arg;
	char sql[256];

	(void)pg;
	if (!upkeep_went(u, end))
		return;
	switch (u->torn) {
	case TORN_NONE:
		upkeep_round(u);
		return;
	case TORN_REPLACE:
		upkeep_replace(u, u->seal.table, u->day);
		return;
	case TORN_DETACH:
		snprintf(sql, sizeof(sql),
		    "ALTER TABLE %s DETACH PARTITION %s FINALIZE",
		    partition_table_name(u->table), u->seal.table);
		break;
	case TORN_DROP:
		snprintf(sql, sizeof(sql), "DROP TABLE %s", u->seal.table);
		break;
	}
	upkeep_do(u, sql, upkeep_cleaned);
}

/* A partition that is half detached would stop all further detaching. */
static void
upkeep_clean(struct upkeep *u)
{
	snprintf(u->seal.table, sizeof(u->seal.table), "-");
	pg_begin(u->pg, UPKEEP_RUN_MS, upkeep_clean_rows, upkeep_clean_done, u);
	pg_run(u->pg,
	    "SELECT c.relname, coalesce(i.inhdetachpending, false),"
	    " to_regclass(c.relname || '_rec') IS NOT NULL FROM pg_class c"
	    " LEFT JOIN pg_inherits i ON i.inhrelid = c.oid"
	    " WHERE c.relnamespace = current_schema()::regnamespace"
	    " AND c.relkind = 'r' AND (i.inhrelid IS NULL"
	    " OR i.inhdetachpending) ORDER BY 2 DESC, 1",
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
upkeep_round(struct upkeep *u)
{
	struct pg_params p = { .count = 0 };

	partition_upkeep(&u->store->partitions, u->pg, clock_wall_ms());
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
	upkeep_clean(u);
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
upkeep_follow(struct upkeep *u, const struct pg *leader)
{
	pg_follow(u->pg, leader);
}

void
upkeep_close(struct upkeep *u)
{
	pg_close(u->pg);
	free(u);
}
