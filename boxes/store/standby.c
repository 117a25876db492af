/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/standby.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/append.h"
#include "boxes/store/pg.h"
#include "boxes/store/store.h"
#include "common/clock.h"
#include "common/crash.h"
#include "common/log.h"

#define STANDBY_MS          10000
#define STANDBY_REGISTER_MS 2000
/* Who has given it up leaves it so long to those that stand by. */
#define STANDBY_YIELD_MS 3000

static void
standby_read_boot(struct standby *s)
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (f == NULL)
		return;
	if (fgets(s->boot, sizeof(s->boot), f) == NULL)
		s->boot[0] = '\0';
	s->boot[strcspn(s->boot, "\n")] = '\0';
	(void)fclose(f);
}

void
standby_init(struct standby *s, struct store *store)
{
	memset(s, 0, sizeof(*s));
	s->store = store;
	standby_read_boot(s);
}

void
standby_reset(struct standby *s)
{
	s->since = 0;
	s->registered_at = 0;
}

uint64_t
standby_epoch(const struct standby *s)
{
	return s->epoch;
}

const char *
standby_boot(const struct standby *s)
{
	return s->boot;
}

/* ------------------------------------------------------------------- claim */

static void
standby_claim_rows(
    struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct standby *s = arg;

	(void)pg;
	if (index == 0 && PQntuples(res) == 1)
		s->claimed = (uint64_t)pg_int8(res, 0, 0);
}

static void
standby_claim_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct standby *s = arg;

	(void)pg;
	if (end->outcome == PG_LOST)
		return;
	if (end->outcome == PG_ERROR) {
		store_state(s->store, false, end->message);
		s->cb(STANDBY_FAILED, s->arg);
		return;
	}
	if (s->claimed == 0) {
		s->since = 0; /* the owner is alive, or another was faster */
		s->cb(STANDBY_WAIT, s->arg);
		return;
	}
	log_warn("cell.claimed", "epoch=%" PRIu64 " from=%s released=%d",
	    s->claimed, s->node, s->released);
	s->epoch = s->claimed;
	CRASH_POINT("store.cell_claimed");
	s->cb(STANDBY_CLAIMED, s->arg);
}

static void
standby_claim(struct standby *s, struct pg *pg)
{
	const struct store_settings *set = &s->store->set;
	struct pg_params p = { .count = 0 };

	s->claimed = 0;
	witness_claim(&s->store->witness, s->epoch);
	pg_param_int(&p, set->cell);
	pg_param_int(&p, (int64_t)s->epoch);
	pg_param_int(&p, (int64_t)s->beat);
	pg_param_text(&p, s->released ? "t" : "f");
	pg_param_text(&p, set->node);
	pg_param_text(&p, s->boot);
	pg_param_int(&p, (int64_t)set->lease_ms);
	pg_begin(pg, STANDBY_MS, standby_claim_rows, standby_claim_done, s);
	pg_run(pg,
	    "UPDATE cell SET epoch = epoch + 1, beat = beat + 1,"
	    " instance = NULL, node = $5::text, boot = $6::text,"
	    " lease_ms = $7::int8, released = false,"
	    " renewed = clock_timestamp()"
	    " WHERE cell = $1::int4 AND epoch = $2::int8 AND beat = $3::int8"
	    " AND released = $4::boolean RETURNING epoch",
	    &p, true);
	pg_commit(pg);
}

/* -------------------------------------------------------------------- look */

static void
standby_look_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct standby *s = arg;
	uint64_t epoch, beat;
	bool released;

	(void)pg;
	(void)index;
	if (PQresultStatus(res) != PGRES_TUPLES_OK || PQnfields(res) != 9)
		return;
	s->there = PQntuples(res) == 1;
	if (!s->there)
		return;
	epoch = strtoull(PQgetvalue(res, 0, 0), NULL, 10);
	beat = strtoull(PQgetvalue(res, 0, 1), NULL, 10);
	released = *PQgetvalue(res, 0, 2) == 't';
	if (s->since == 0 || epoch != s->epoch || beat != s->beat ||
	    released != s->released)
		s->since = clock_mono_ms();
	s->epoch = epoch;
	s->beat = beat;
	s->released = released;
	s->lease_ms = strtoull(PQgetvalue(res, 0, 3), NULL, 10);
	snprintf(s->node, sizeof(s->node), "%s", PQgetvalue(res, 0, 4));
	s->age_ms = strtoull(PQgetvalue(res, 0, 6), NULL, 10);
	s->holder = *PQgetvalue(res, 0, 7) == 't';
	s->mine = strcmp(s->node, s->store->set.node) == 0;
	s->same = s->mine && !s->holder && s->boot[0] != '\0' &&
	    strcmp(PQgetvalue(res, 0, 5), s->boot) == 0;
	s->others = (unsigned)strtoul(PQgetvalue(res, 0, 8), NULL, 10);
}

/* For so long it has been as it is; counted to when we asked, so that the time
 * which the answer took is not in it. */
static uint64_t
standby_still(const struct standby *s)
{
	return s->looked_at > s->since ? s->looked_at - s->since : 0;
}

static bool
standby_may_claim(const struct standby *s)
{
	if (!s->released)
		return standby_still(s) >= s->lease_ms;
	return !s->mine || s->others == 0 ||
	    standby_still(s) >= STANDBY_YIELD_MS;
}

/*
 * Two buses of which only one has a lease: the one without would take the cell
 * as soon as the owner's session ends, while its lease still runs, and as owner
 * goes on sending when another has taken it.  So this process ends and says why.
 * The age is the server's: it has written the time, too.
 */
static bool
standby_misfit(struct standby *s)
{
	const char *hint = "set it for both, or end the other";
	char why[160];

	if (s->mine)
		return false;
	if (s->store->set.lease_ms != 0) {
		if (s->lease_ms != 0 || !s->holder || s->ours != 0)
			return false;
		snprintf(why, sizeof(why),
		    "%s has the cell without bus.lease, which is set here",
		    s->node);
	} else {
		if (s->lease_ms == 0)
			return false;
		if (!s->released && s->age_ms < s->lease_ms)
			snprintf(why, sizeof(why),
			    "%s has the cell with a lease, and bus.lease is "
			    "not set here",
			    s->node);
		else if (s->others > 0)
			snprintf(why, sizeof(why),
			    "another bus stands by, and bus.lease is not set "
			    "here");
		else
			return false;
	}
	store_refuse(s->store, why, hint);
	return true;
}

/* For the bus, and through it for people. */
static void
standby_tell(struct standby *s)
{
	char why[160];

	if (s->released)
		snprintf(why, sizeof(why), "the cell has been given up by %s",
		    s->node);
	else
		snprintf(why, sizeof(why), "%s has the cell", s->node);
	store_standby(s->store, why, s->node, s->epoch, s->age_ms);
}

static void
standby_look_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct standby *s = arg;

	if (end->outcome == PG_LOST)
		return;
	if (end->outcome == PG_ERROR) {
		store_state(s->store, false, end->message);
		s->cb(STANDBY_FAILED, s->arg);
		return;
	}
	if (s->there && standby_misfit(s))
		return;
	if (!s->there)
		s->epoch = 0;
	if (!s->there || s->store->set.lease_ms == 0) {
		s->cb(STANDBY_LOCK, s->arg); /* the lock alone decides */
		return;
	}
	if (s->ours != 0 && s->epoch != s->ours) {
		s->cb(STANDBY_LOST, s->arg);
	} else if (s->claimed != 0 && s->epoch == s->claimed) {
		s->cb(STANDBY_CLAIMED, s->arg);
	} else if (s->lease_ms == 0 || (s->ours != 0 && !s->released) ||
	    (s->same && !s->released)) {
		s->cb(STANDBY_LOCK, s->arg);
	} else if (s->store->connected && standby_may_claim(s)) {
		standby_claim(s, pg);
	} else {
		standby_tell(s);
		s->cb(STANDBY_WAIT, s->arg);
	}
}

void
standby_look(
    struct standby *s, struct pg *pg, uint64_t ours, standby_cb *cb, void *arg)
{
	const struct store_settings *set = &s->store->set;
	struct pg_params p = { .count = 0 }, q = { .count = 0 };

	s->cb = cb;
	s->arg = arg;
	s->ours = ours;
	s->looked_at = clock_mono_ms();
	pg_begin(pg, STANDBY_MS, standby_look_rows, standby_look_done, s);
	/* A look waits for no standby server. */
	pg_run(pg, "SELECT set_config('synchronous_commit', 'local', true)",
	    NULL, false);
	pg_param_int(&q, set->cell);
	pg_param_text(&q, set->node);
	if (set->lease_ms != 0 && s->store->connected &&
	    (s->registered_at == 0 ||
		s->looked_at - s->registered_at >= STANDBY_REGISTER_MS)) {
		s->registered_at = s->looked_at;
		pg_run(pg,
		    "INSERT INTO standby AS s (cell, node, at)"
		    " VALUES ($1::int4, $2::text, clock_timestamp())"
		    " ON CONFLICT (cell, node) DO UPDATE"
		    " SET at = clock_timestamp()",
		    &q, false);
	}
	pg_param_int(&p, set->cell);
	pg_param_text(&p, set->node);
	pg_param_int(&p, APPEND_LOCK);
	pg_run(pg,
	    "SELECT epoch, beat, released, lease_ms, coalesce(node, ''),"
	    " coalesce(boot, ''),"
	    " coalesce((extract(epoch FROM clock_timestamp() - renewed)"
	    " * 1000)::bigint, 0),"
	    " CASE WHEN node = $2::text OR lease_ms = 0 THEN EXISTS (SELECT FROM pg_locks l"
	    " WHERE l.locktype = 'advisory' AND l.classid = $3::int"
	    " AND l.objid = $1::int AND l.granted AND l.database ="
	    " (SELECT oid FROM pg_database WHERE datname ="
	    " current_database())) END,"
	    " (SELECT count(*) FROM standby s WHERE s.cell = $1::int"
	    " AND s.node <> $2::text AND (released OR s.node IS DISTINCT FROM"
	    " cell.node) AND s.at > clock_timestamp() - interval '5 s')"
	    " FROM cell WHERE cell = $1::int",
	    &p, false);
	pg_commit(pg);
}
