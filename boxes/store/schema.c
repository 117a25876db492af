/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/schema.h"

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/partition.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/log.h"

/* The file's bytes become a C string; paths are from the top folder. */
/* NOLINTBEGIN(bugprone-macro-parentheses) */
#define SCHEMA_FILE(symbol, path)                                              \
	__asm__(".section .rodata\n"                                           \
		".global " #symbol "\n" #symbol ":\n"                          \
		".incbin \"" path "\"\n"                                       \
		".byte 0\n"                                                    \
		".previous\n");                                                \
	extern const char symbol[]
/* NOLINTEND(bugprone-macro-parentheses) */

SCHEMA_FILE(schema_001, "boxes/store/schema/001_log.sql");
SCHEMA_FILE(schema_002, "boxes/store/schema/002_archive.sql");
SCHEMA_FILE(schema_003, "boxes/store/schema/003_pack.sql");
SCHEMA_FILE(schema_004, "boxes/store/schema/004_lease.sql");

static const struct {
	const char *name;
	const char *sql;
} schema_migrations[] = {
	{ "001_log", schema_001 },
	{ "002_archive", schema_002 },
	{ "003_pack", schema_003 },
	{ "004_lease", schema_004 },
};

#define SCHEMA_LOCK 7286352 /* "hop" on a telephone's keys */

unsigned
schema_version(void)
{
	return ARRAY_LEN(schema_migrations);
}

const char *
schema_name(int cell, char *dst, size_t len)
{
	if (cell == 1)
		snprintf(dst, len, "hopyard");
	else
		snprintf(dst, len, "hopyard%d", cell);
	return dst;
}

static bool
schema_run(PGconn *c, const char *sql, char *why, size_t len)
{
	PGresult *res = PQexec(c, sql);
	bool ok = PQresultStatus(res) == PGRES_COMMAND_OK ||
	    PQresultStatus(res) == PGRES_TUPLES_OK;

	if (!ok)
		snprintf(why, len, "%s", PQerrorMessage(c));
	PQclear(res);
	return ok;
}

/* One number, or -1. */
static long
schema_number(PGconn *c, const char *sql, char *why, size_t len)
{
	PGresult *res = PQexec(c, sql);
	long n = -1;

	if (PQresultStatus(res) == PGRES_TUPLES_OK && PQntuples(res) == 1)
		n = strtol(PQgetvalue(res, 0, 0), NULL, 10);
	else
		snprintf(why, len, "%s", PQerrorMessage(c));
	PQclear(res);
	return n;
}

static bool
schema_prepare(PGconn *c, const char *name, char *why, size_t len)
{
	char sql[512];

	snprintf(sql, sizeof(sql),
	    "SET client_min_messages = warning; SET lock_timeout = '10s';"
	    "BEGIN; SELECT pg_advisory_xact_lock(%d);"
	    "CREATE SCHEMA IF NOT EXISTS %s; SET LOCAL search_path = %s;"
	    "CREATE TABLE IF NOT EXISTS version (version int PRIMARY KEY,"
	    " name text NOT NULL, at timestamptz NOT NULL DEFAULT now(),"
	    " program text NOT NULL)",
	    SCHEMA_LOCK, name, name);
	return schema_run(c, sql, why, len);
}

static bool
schema_apply(PGconn *c, unsigned index, char *why, size_t len)
{
	const char *value[] = { NULL, schema_migrations[index].name,
		HOPYARD_VERSION };
	char number[16];
	PGresult *res;
	bool ok;

	if (!schema_run(c, schema_migrations[index].sql, why, len))
		return false;
	snprintf(number, sizeof(number), "%u", index + 1);
	value[0] = number;
	res = PQexecParams(c,
	    "INSERT INTO version (version, name, program) VALUES ($1, $2, $3)",
	    3, NULL, value, NULL, NULL, 0);
	ok = PQresultStatus(res) == PGRES_COMMAND_OK;
	if (!ok)
		snprintf(why, len, "%s", PQerrorMessage(c));
	PQclear(res);
	log_info("schema.migrated", "version=%u name=%s", index + 1,
	    schema_migrations[index].name);
	return ok;
}

static bool
schema_partitions(PGconn *c, char *why, size_t len)
{
	uint32_t today = (uint32_t)(clock_wall_ms() / DAY_MS);
	char sql[512], name[PARTITION_NAME];

	for (int t = 0; t < PARTITION_TABLES; t++) {
		for (uint32_t day = today - 1; day <= today + 2; day++) {
			snprintf(sql, sizeof(sql),
			    "SELECT (to_regclass('%s') IS NOT NULL)::int",
			    partition_name(t, day, name));
			if (schema_number(c, sql, why, len) != 0)
				continue;
			for (unsigned s = 0; s < PARTITION_STEPS; s++) {
				partition_make_sql(t, day, s, sql, sizeof(sql));
				if (!schema_run(c, sql, why, len))
					return false;
			}
		}
	}
	return true;
}

int
schema_migrate(const char *dsn, int cell, char *why, size_t len)
{
	char name[32];
	PGconn *c = PQconnectdb(dsn);
	int rc = -1;
	long have;

	if (PQstatus(c) != CONNECTION_OK) {
		snprintf(why, len, "%s", PQerrorMessage(c));
		goto out;
	}
	if (!schema_prepare(c, schema_name(cell, name, sizeof(name)), why, len))
		goto out;
	have = schema_number(
	    c, "SELECT coalesce(max(version), 0) FROM version", why, len);
	if (have < 0)
		goto out;
	if ((unsigned long)have > schema_version()) {
		snprintf(why, len,
		    "the tables have version %ld and this program knows only "
		    "up to %u; install the newer hopyard",
		    have, schema_version());
		goto out;
	}
	for (unsigned i = (unsigned)have; i < schema_version(); i++) {
		if (!schema_apply(c, i, why, len))
			goto out;
	}
	if (schema_partitions(c, why, len) && schema_run(c, "COMMIT", why, len))
		rc = 0;
out:
	PQfinish(c);
	return rc;
}
