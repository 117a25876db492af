/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/lease.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "boxes/store/append.h"
#include "boxes/store/pg.h"
#include "boxes/store/store.h"
#include "common/crash.h"
#include "common/log.h"
#include "common/xalloc.h"

#define LEASE_MS       5000 /* as of a batch */
#define LEASE_STANDBYS 8

struct lease {
	struct store *store;
	struct pg *pg;
	int backend; /* of this session, or of the last; 0: none so far */
	bool busy;
	/* What is under way, and what came meanwhile. */
	uint64_t number, epoch, next;
	bool release, next_release;
	unsigned link;
	bool renewed;
	char *standby[LEASE_STANDBYS];
	size_t standbys;
};

static void lease_run(struct lease *);

static void
lease_forget_standbys(struct lease *l)
{
	while (l->standbys > 0)
		free(l->standby[--l->standbys]);
}

static void
lease_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct lease *l = arg;

	(void)pg;
	if (index == 0)
		l->renewed = PQntuples(res) == 1;
	for (int i = 0;
	     index == 1 && i < PQntuples(res) && l->standbys < LEASE_STANDBYS;
	     i++)
		l->standby[l->standbys++] = xstrdup(PQgetvalue(res, i, 0));
}

static void
lease_tell(struct lease *l)
{
	Hopyard__V1__Renewed r = HOPYARD__V1__RENEWED__INIT;
	struct store *s = l->store;

	if (!s->opened || l->link != s->link)
		return;
	r.number = l->number;
	r.has_release = r.release = l->release;
	r.standby = l->standby;
	r.n_standby = l->standbys;
	box_send(s->box, HOPYARD__V1__FRAME_TYPE__RENEWED, 0, 0, &r.base);
}

static void
lease_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct lease *l = arg;
	struct store *s = l->store;

	(void)pg;
	l->busy = false;
	if (end->outcome == PG_ERROR)
		log_warn("lease.failed", "reason=%s", end->message);
	else if (end->outcome == PG_OK && end->warned)
		log_warn("lease.unsafe", "reason=%s",
		    "the standby server may not have it");
	else if (end->outcome == PG_OK && l->renewed)
		lease_tell(l);
	else if (end->outcome == PG_OK)
		append_taken(s->append, l->epoch);
	if (end->outcome == PG_OK && l->renewed && l->release) {
		CRASH_POINT("store.cell_released");
		store_again(s, "the cell is given up");
	}
	lease_forget_standbys(l);
	if (end->outcome != PG_LOST && l->next != 0)
		lease_run(l);
}

static void
lease_run(struct lease *l)
{
	struct store *s = l->store;
	struct pg_params p = { .count = 0 }, q = { .count = 0 };

	l->number = l->next;
	l->release = l->next_release;
	l->next = 0;
	l->next_release = false;
	l->link = s->link;
	l->epoch = append_epoch(s->append);
	l->renewed = false;
	l->busy = true;
	pg_param_int(&p, s->set.cell);
	pg_param_int(&p, (int64_t)l->epoch);
	pg_param_text(&p, l->release ? "t" : "f");
	pg_begin(l->pg, LEASE_MS, lease_rows, lease_done, l);
	pg_run(l->pg,
	    "UPDATE cell SET beat = beat + 1, released = $3::boolean,"
	    " renewed = clock_timestamp() WHERE cell = $1::int4"
	    " AND epoch = $2::int8 AND NOT released RETURNING 1",
	    &p, false);
	pg_param_int(&q, s->set.cell);
	pg_param_text(&q, s->set.node);
	pg_run(l->pg,
	    "SELECT node FROM standby WHERE cell = $1::int4"
	    " AND node <> $2::text"
	    " AND at > clock_timestamp() - interval '5 s' ORDER BY node",
	    &q, false);
	pg_commit(l->pg);
}

void
lease_renew(struct lease *l, const Hopyard__V1__Renew *r)
{
	if (!l->store->opened)
		return;
	l->next = r->number;
	l->next_release |= r->release;
	if (!l->busy && pg_is_up(l->pg))
		lease_run(l);
}

static void
lease_ended(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct lease *l = arg;

	(void)pg;
	if (end->outcome == PG_ERROR)
		log_warn("lease.old_session", "reason=%s", end->message);
	l->busy = false;
}

/*
 * A backend that waits for a standby server does not notice that we are gone,
 * and holds the row; those behind it would become many.
 */
static void
lease_up(struct pg *pg, void *arg)
{
	struct lease *l = arg;
	struct pg_params p = { .count = 0 };
	int old = l->backend;

	/* The bus asks again soon; what it asked for before is too old to be
	 * of use. */
	l->next = 0;
	l->next_release = false;
	l->backend = pg_backend(pg);
	if (old == 0)
		return;
	l->busy = true;
	pg_param_int(&p, old);
	pg_begin(pg, LEASE_MS, NULL, lease_ended, l);
	pg_run(pg,
	    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
	    " WHERE pid = $1::int AND pid <> pg_backend_pid()"
	    " AND application_name = 'hop-store lease'",
	    &p, false);
	pg_commit(pg);
}

static void
lease_down(struct pg *pg, const char *why, void *arg)
{
	(void)pg;
	(void)why;
	(void)arg;
}

static const struct pg_ops lease_pg_ops = {
	.up = lease_up,
	.down = lease_down,
};

void
lease_doubt(struct lease *l)
{
	if (pg_is_up(l->pg))
		pg_drop(l->pg, "the writing session was lost");
}

struct lease *
lease_new(struct store *s)
{
	struct lease *l = xcalloc(1, sizeof(*l));

	l->store = s;
	l->pg = pg_new(s->loop, s->set.dsn, "hop-store lease", s->options,
	    &lease_pg_ops, l);
	return l;
}

void
lease_follow(struct lease *l, const struct pg *leader)
{
	pg_follow(l->pg, leader);
}

void
lease_close(struct lease *l)
{
	pg_close(l->pg);
	lease_forget_standbys(l);
	free(l);
}
