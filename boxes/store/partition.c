/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/partition.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "boxes/store/pg.h"
#include "common/log.h"
#include "common/xalloc.h"

#define PARTITION_AHEAD 2 /* days made before they begin */
#define PARTITION_CAP   4096

static const struct partition_spec {
	const char *name;
	const char *key;
	bool uuid;     /* bounds are UUIDs of that time, not milliseconds */
	unsigned keep; /* days; 0: the retention setting */
} partition_specs[PARTITION_TABLES] = {
	[PARTITION_BATCH] = { "batch", "at", false, 2 },
	[PARTITION_MESSAGE] = { "message", "id", true, 0 },
	[PARTITION_EVENT] = { "event", "at", false, 0 },
	[PARTITION_PACK] = { "pack", "at", false, 0 },
	[PARTITION_DUE] = { "due", "due_at", false, 9 },
	[PARTITION_ORPHAN] = { "orphan", "at", false, 10 },
	[PARTITION_ORPHAN_DONE] = { "orphan_done", "at", false, 10 },
	[PARTITION_IDEM] = { "idem", "at", false, 2 },
};

const char partition_list_sql[] =
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
    " WHERE i.inhparent IN (SELECT oid FROM pg_class"
    " WHERE relnamespace = current_schema()::regnamespace AND relkind = 'p')"
    " AND NOT i.inhdetachpending";

/* ----------------------------------------------------------------- days */

/* Index of the first day that is not smaller. */
static size_t
partition_find(const struct partition_days *d, uint32_t day)
{
	size_t low = 0, high = d->count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (d->day[mid] < day)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool
partition_has(const struct partition_days *d, uint32_t day)
{
	/* Nearly always the latest but PARTITION_AHEAD. */
	size_t i = partition_find(d, day);

	return i < d->count && d->day[i] == day;
}

static void
partition_insert(struct partition_days *d, uint32_t day)
{
	size_t i = partition_find(d, day);

	if (i < d->count && d->day[i] == day)
		return;
	if (d->count == d->cap) {
		d->cap = d->cap == 0 ? 16 : d->cap * 2;
		d->day = xrealloc(d->day, d->cap * sizeof(*d->day));
	}
	memmove(d->day + i + 1, d->day + i, (d->count - i) * sizeof(*d->day));
	d->day[i] = day;
	d->count++;
}

static void
partition_remove(struct partition_days *d, uint32_t day)
{
	size_t i = partition_find(d, day);

	if (i == d->count || d->day[i] != day)
		return;
	d->count--;
	memmove(d->day + i, d->day + i + 1, (d->count - i) * sizeof(*d->day));
}

void
partitions_init(struct partitions *p, uint64_t retention_ms)
{
	memset(p, 0, sizeof(*p));
	p->retention_ms = retention_ms;
}

void
partitions_fini(struct partitions *p)
{
	for (int t = 0; t < PARTITION_TABLES; t++) {
		free(p->table[t].day);
		free(p->missing[t].day);
	}
}

void
partition_add(struct partitions *p, enum partition_table t, uint32_t day)
{
	if (p->table[t].count < PARTITION_CAP)
		partition_insert(&p->table[t], day);
}

void
partition_forget(struct partitions *p)
{
	for (int t = 0; t < PARTITION_TABLES; t++)
		p->table[t].count = 0;
}

bool
partition_need(struct partitions *p, enum partition_table t, uint64_t ms)
{
	uint32_t day = (uint32_t)(ms / DAY_MS);

	if (partition_has(&p->table[t], day))
		return true;
	partition_insert(&p->missing[t], day);
	return false;
}

bool
partition_is_there(
    const struct partitions *p, enum partition_table t, uint32_t day)
{
	return partition_has(&p->table[t], day);
}

bool
partition_missing(const struct partitions *p)
{
	for (int t = 0; t < PARTITION_TABLES; t++) {
		if (p->missing[t].count > 0)
			return true;
	}
	return false;
}

/* ---------------------------------------------------------------- names */

const char *
partition_table_name(enum partition_table t)
{
	return partition_specs[t].name;
}

const char *
partition_name(enum partition_table t, uint32_t day, char dst[PARTITION_NAME])
{
	time_t at = (time_t)day * 86400;
	struct tm tm;

	gmtime_r(&at, &tm);
	snprintf(dst, PARTITION_NAME, "%s_%04d%02d%02d",
	    partition_specs[t].name, tm.tm_year + 1900, tm.tm_mon + 1,
	    tm.tm_mday);
	return dst;
}

bool
partition_parse(const char *name, enum partition_table *table, uint32_t *day)
{
	const char *mark = strrchr(name, '_');
	struct tm tm = { 0 };
	char check[PARTITION_NAME];
	long n;

	if (mark == NULL)
		return false;
	n = strtol(mark + 1, NULL, 10);
	tm.tm_mday = (int)(n % 100);
	tm.tm_mon = (int)(n / 100 % 100) - 1;
	tm.tm_year = (int)(n / 10000) - 1900;
	*day = (uint32_t)(timegm(&tm) / 86400);
	for (int t = 0; t < PARTITION_TABLES; t++) {
		if (strcmp(partition_name(t, *day, check), name) != 0)
			continue;
		*table = t;
		return true;
	}
	return false;
}

static void
partition_bound(const struct partition_spec *s, uint32_t day, char dst[40])
{
	uint64_t ms = day * DAY_MS;

	if (s->uuid)
		snprintf(dst, 40,
		    "%08" PRIx64 "-%04" PRIx64 "-0000-0000-000000000000",
		    ms >> 16, ms & 0xffff);
	else
		snprintf(dst, 40, "%" PRIu64, ms);
}

void
partition_make_sql(
    enum partition_table t, uint32_t day, unsigned step, char *dst, size_t len)
{
	const struct partition_spec *s = &partition_specs[t];
	char name[PARTITION_NAME], from[40], to[40];

	partition_name(t, day, name);
	switch (step) {
	case 0:
		snprintf(dst, len, "CREATE TABLE %s (LIKE %s INCLUDING ALL)",
		    name, s->name);
		return;
	case 1:
		/* Nothing here is ever updated: vacuum has no work until
		 * the day is over, and upkeep does it then. */
		snprintf(dst, len,
		    "ALTER TABLE %s SET (autovacuum_enabled = off,"
		    " toast.autovacuum_enabled = off)",
		    name);
		return;
	default:
		partition_bound(s, day, from);
		partition_bound(s, day + 1, to);
		snprintf(dst, len,
		    "ALTER TABLE %s ATTACH PARTITION %s"
		    " FOR VALUES FROM ('%s') TO ('%s')",
		    s->name, name, from, to);
		return;
	}
}

/* ---------------------------------------------------------- on a session */

struct partition_job {
	struct partitions *p;
	enum partition_table table;
	uint32_t day;
	bool making;
};

static void
partition_done_cb(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct partition_job *j = arg;
	char name[PARTITION_NAME];
	bool ok = end->outcome == PG_OK;

	(void)pg;
	partition_name(j->table, j->day, name);
	/* 42P07: the other session was faster. */
	if (!ok && j->making && strcmp(end->sqlstate, "42P07") == 0)
		ok = true;
	if (ok && j->making)
		partition_add(j->p, j->table, j->day);
	else if (j->making)
		partition_insert(&j->p->missing[j->table], j->day);
	if (ok)
		log_info(j->making ? "partition.made" : "partition.upkeep",
		    "name=%s", name);
	else
		log_warn("partition.failed", "name=%s reason=%s", name,
		    end->message);
	free(j);
}

static struct partition_job *
partition_job(struct partitions *p, enum partition_table t, uint32_t day)
{
	struct partition_job *j = xcalloc(1, sizeof(*j));

	j->p = p;
	j->table = t;
	j->day = day;
	return j;
}

static void
partition_make(
    struct partitions *p, struct pg *pg, enum partition_table t, uint32_t day)
{
	struct partition_job *j = partition_job(p, t, day);
	char sql[512];

	j->making = true;
	pg_begin(pg, 10000, NULL, partition_done_cb, j);
	pg_run(
	    pg, "SELECT set_config('lock_timeout', '2s', true)", NULL, false);
	for (unsigned s = 0; s < PARTITION_STEPS; s++) {
		partition_make_sql(t, day, s, sql, sizeof(sql));
		pg_run(pg, sql, NULL, false);
	}
	pg_commit(pg);
}

void
partition_make_missing(struct partitions *p, struct pg *pg)
{
	for (int t = 0; t < PARTITION_TABLES; t++) {
		for (size_t i = 0; i < p->missing[t].count; i++)
			partition_make(p, pg, t, p->missing[t].day[i]);
		p->missing[t].count = 0;
	}
}

static void
partition_detached_cb(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct partition_job *j = arg;
	char name[PARTITION_NAME], sql[256];

	partition_name(j->table, j->day, name);
	/* Never a DROP of what is still attached: it would lock the parent. */
	if (end->outcome != PG_OK || !pg_is_up(pg)) {
		log_warn("partition.failed", "name=%s reason=%s", name,
		    end->message);
		free(j);
		return;
	}
	partition_remove(&j->p->table[j->table], j->day);
	pg_begin(pg, 0, NULL, partition_done_cb, j);
	snprintf(sql, sizeof(sql), "DROP TABLE IF EXISTS %s", name);
	pg_run(pg, sql, NULL, false);
	pg_commit(pg);
}

static void
partition_drop(
    struct partitions *p, struct pg *pg, enum partition_table t, uint32_t day)
{
	char name[PARTITION_NAME], sql[256];

	partition_name(t, day, name);
	pg_begin(pg, 0, NULL, partition_detached_cb, partition_job(p, t, day));
	snprintf(sql, sizeof(sql),
	    "ALTER TABLE %s DETACH PARTITION %s CONCURRENTLY",
	    partition_specs[t].name, name);
	pg_run(pg, sql, NULL, false);
	pg_commit(pg);
}

static uint64_t
partition_keep_ms(const struct partitions *p, enum partition_table t)
{
	if (partition_specs[t].keep != 0)
		return partition_specs[t].keep * DAY_MS;
	return p->retention_ms;
}

bool
partition_is_over(const struct partitions *p, enum partition_table t,
    uint32_t day, uint64_t now_ms)
{
	/* When its last millisecond is old enough. */
	return (day + 1) * DAY_MS + partition_keep_ms(p, t) < now_ms;
}

void
partition_upkeep(struct partitions *p, struct pg *pg, uint64_t now_ms)
{
	uint32_t today = (uint32_t)(now_ms / DAY_MS);

	for (int t = 0; t < PARTITION_TABLES; t++) {
		const struct partition_days *d = &p->table[t];

		for (uint32_t day = today; day <= today + PARTITION_AHEAD;
		     day++) {
			if (!partition_has(d, day))
				partition_make(p, pg, t, day);
		}
		for (size_t i = 0;
		     i < d->count && partition_is_over(p, t, d->day[i], now_ms);
		     i++)
			partition_drop(p, pg, t, d->day[i]);
	}
}
