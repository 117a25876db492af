/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUARD_MIN_VERSION 140000 /* pipelines, DETACH CONCURRENTLY */

const char guard_sql[] =
    "SELECT current_setting('fsync'), current_setting('full_page_writes'),"
    " current_setting('synchronous_commit'), pg_is_in_recovery()::text,"
    " current_setting('server_version_num')";

static bool
guard_on(const PGresult *res, int col)
{
	const char *v = PQgetvalue(res, 0, col);

	return strcmp(v, "on") == 0 || strcmp(v, "true") == 0;
}

void
guard_read(struct guard *g, const PGresult *res)
{
	memset(g, 0, sizeof(*g));
	if (PQntuples(res) != 1 || PQnfields(res) != 5)
		return;
	g->fsync = guard_on(res, 0);
	g->full_page_writes = guard_on(res, 1);
	snprintf(g->synchronous_commit, sizeof(g->synchronous_commit), "%s",
	    PQgetvalue(res, 0, 2));
	g->standby = guard_on(res, 3);
	g->version = (int)strtol(PQgetvalue(res, 0, 4), NULL, 10);
}

enum guard_verdict
guard_check(const struct guard *g, char *why, size_t len, const char **hint)
{
	*hint = "set it in postgresql.conf, or durability = \"unsafe\" where "
		"losing accepted messages in a crash is acceptable";
	if (g->version < GUARD_MIN_VERSION) {
		snprintf(
		    why, len, "PostgreSQL %d is too old", g->version / 10000);
		*hint = "use version 14 or later";
		return GUARD_TOO_OLD;
	}
	if (g->standby) {
		snprintf(why, len, "the server is a standby");
		*hint = "name the primary in dsn, or several hosts and "
			"target_session_attrs=read-write";
		return GUARD_STANDBY;
	}
	if (!g->fsync) {
		snprintf(why, len, "fsync is off");
		return GUARD_UNSAFE;
	}
	if (!g->full_page_writes) {
		snprintf(why, len, "full_page_writes is off");
		return GUARD_UNSAFE;
	}
	if (strcmp(g->synchronous_commit, "on") != 0 &&
	    strcmp(g->synchronous_commit, "remote_apply") != 0) {
		snprintf(why, len,
		    "synchronous_commit is %s and must be on or remote_apply",
		    g->synchronous_commit);
		return GUARD_UNSAFE;
	}
	*why = '\0';
	return GUARD_OK;
}
