/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/append.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "boxes/store/batch.h"
#include "boxes/store/guard.h"
#include "boxes/store/lease.h"
#include "boxes/store/out.h"
#include "boxes/store/pg.h"
#include "boxes/store/poison.h"
#include "boxes/store/receipt.h"
#include "boxes/store/recovery.h"
#include "boxes/store/schema.h"
#include "boxes/store/standby.h"
#include "boxes/store/store.h"
#include "boxes/store/sweep.h"
#include "common/clock.h"
#include "common/crash.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/xalloc.h"

#define APPEND_COMMIT_MS 5000 /* */
#define APPEND_SETTLE_MS 10000
#define APPEND_AGAIN_MS  1000
#define APPEND_LOCK_MS   50
#define APPEND_WATCH_MS  100  /* between two looks at the owner */
#define APPEND_CLAIM_MS  5000 /* to get the lock of a cell that is ours */
/*
 * What nobody waits for is written with the next that somebody waits for; as
 * far as that comes within this time, and no more comes together.
 */
#define APPEND_RIDE_US    5000
#define APPEND_RIDE_ITEMS 256

enum append_state {
	APPEND_DOWN = 0,   /* no session */
	APPEND_CHECKING,   /* is it a safe server with our tables? */
	APPEND_LOCKING,    /* waiting for our lock */
	APPEND_SETTLING,   /* finding out what is in */
	APPEND_READY,      /* free */
	APPEND_COMMITTING, /* `flying` is on its way */
	APPEND_FINISHING,  /* it is durable, its notices are being completed */
	APPEND_ASKING,     /* about records that came again */
	APPEND_FENCED,     /* another bus has the cell */
};

static const char *const append_state_names[] = {
	[APPEND_DOWN] = "down",
	[APPEND_CHECKING] = "checking",
	[APPEND_LOCKING] = "locking",
	[APPEND_SETTLING] = "settling",
	[APPEND_READY] = "ready",
	[APPEND_COMMITTING] = "committing",
	[APPEND_FINISHING] = "finishing",
	[APPEND_ASKING] = "asking",
	[APPEND_FENCED] = "fenced",
};

/* Records that are in already and came again. */
struct again {
	struct batch_id *id;
	size_t count, cap;
	uint64_t first, last;
	size_t items, bytes;
	unsigned link;
};

struct append {
	struct store *store;
	struct pg *pg;
	enum append_state state; /* written only by append_enter_state() */
	uv_timer_t timer;        /* retries of a step */
	uv_poll_t gather;        /* of gather_fd */
	int gather_fd;
	int handles;
	bool was_up;
	bool conflict;    /* flying hit a unique violation */
	bool may_lock;    /* no other can have the cell */
	bool may_end;     /* and whoever has the lock is to be ended */
	bool open_wanted; /* OPEN waits for a free session */
	bool opening;
	bool accept;  /* the operator accepts a rewind to accept_seq */
	bool rewound; /* a bus that knows nothing of the loss was not opened */
	uint64_t epoch;      /* of the bus that is open here */
	uint64_t cell_epoch; /* as the table had it when we settled */
	uint64_t durable;    /* highest seq committed */
	uint64_t told;       /* highest seq confirmed to the bus */
	uint64_t durable_at; /* latest time stamped on a committed record */
	uint64_t accepted;   /* highest seq taken into memory */
	uint64_t last_done;  /* mono us of the last end of a commit */
	struct batch batch[2];
	struct batch *open, *flying; /* flying: NULL, or the other one */
	struct poison poison;        /* a search in flying */
	unsigned missed;             /* partitions, in a row */
	unsigned step;               /* of settling */
	int old_backend;    /* of the session that had our lock last, or 0 */
	unsigned open_link; /* connection to the bus that wants to open */
	uint64_t lock_since;
	struct standby standby;
	struct rows_forms forms;
	struct guard guard;
	long version;
	struct again again[2];
	struct again *repeated, *asked; /* asked: NULL, or the other one */
	struct batch answer; /* what the database says about `asked` */
	uint8_t instance[64];
	size_t instance_len;
	char node[128];
	uint64_t accept_seq;
};

static struct stat_value stat_batches = { .name = "store_batches_total",
	.help = "Transactions committed",
	.type = STAT_COUNTER };
static struct stat_value stat_records = { .name = "store_records_total",
	.help = "Records of the bus committed",
	.type = STAT_COUNTER };
static struct stat_value stat_conflicts = {
	.name = "store_duplicate_messages_total",
	.help = "Messages whose id was stored before",
	.type = STAT_COUNTER
};
static struct stat_value stat_repeated = { .name =
					       "store_repeated_records_total",
	.help = "Records that came again and were in",
	.type = STAT_COUNTER };
static struct stat_histogram stat_commit = {
	.name = "store_commit_seconds",
	.help = "From the first record of a batch that is waited for to its "
		"commit",
};

/* Since when somebody waits for it. */
static uint64_t
append_since(const struct batch *b)
{
	return b->urgent_at != 0 ? b->urgent_at : b->at;
}

static void append_check(struct append *);
static void append_lock(struct append *);
static void append_settle(struct append *);
static void append_send(struct append *);
static void append_next(struct append *);
static void append_finish(struct append *);
static void append_ask_again(struct append *);

static void
append_enter_state(struct append *a, enum append_state next)
{
	log_debug("append.state", "from=%s to=%s", append_state_names[a->state],
	    append_state_names[next]);
	a->state = next;
	switch (next) {
	case APPEND_DOWN:
	case APPEND_CHECKING:
	case APPEND_LOCKING:
	case APPEND_SETTLING:
	case APPEND_COMMITTING:
	case APPEND_FINISHING:
	case APPEND_ASKING:
	case APPEND_FENCED:
		break;
	case APPEND_READY:
		a->was_up = true;
		if (!a->rewound)
			store_state(a->store, true, NULL);
		break;
	}
}

/*
 * Somebody else has written since, so all that is in memory here is out of
 * date, and what the bus has in memory, too.  An Opened with the new epoch
 * ends that bus; then this process starts anew as well.
 */
static void
append_fence(struct append *a)
{
	Hopyard__V1__Opened o = HOPYARD__V1__OPENED__INIT;
	struct store *s = a->store;

	log_error("append.fenced", "epoch=%" PRIu64 " cell=%" PRIu64, a->epoch,
	    a->cell_epoch);
	append_enter_state(a, APPEND_FENCED);
	if (s->opened) {
		o.epoch =
		    a->cell_epoch != a->epoch ? a->cell_epoch : a->epoch + 1;
		o.last_seq = a->durable;
		box_send(
		    s->box, HOPYARD__V1__FRAME_TYPE__OPENED, 0, 0, &o.base);
	}
	if (s->set.lease_ms != 0)
		store_again(s, "another bus has taken the cell over");
	else
		store_refuse(s, "another bus has taken the cell over",
		    "only one bus and one store serve a cell at a time");
}

/* ------------------------------------------------------- is it the right one */

static void
append_retry(struct append *a, uint64_t ms)
{
	uv_timer_start(&a->timer, a->timer.timer_cb, ms, 0);
}

static void
append_version_rows(
    struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct append *a = arg;

	(void)pg;
	(void)index;
	a->version = strtol(PQgetvalue(res, 0, 0), NULL, 10);
}

static void
append_version_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct append *a = arg;
	struct store *s = a->store;
	char why[512];

	if (end->outcome == PG_LOST)
		return;
	if (end->outcome == PG_ERROR && strcmp(end->sqlstate, "42P01") != 0) {
		store_state(s, false, end->message);
		append_retry(a, APPEND_AGAIN_MS);
		return;
	}
	if (a->version > (long)schema_version()) {
		snprintf(why, sizeof(why),
		    "the database has schema version %ld and this hop-store "
		    "knows only up to %u",
		    a->version, schema_version());
		store_refuse(s, why, "install the newer hopyard");
		return;
	}
	if (a->version == (long)schema_version()) {
		append_enter_state(a, APPEND_LOCKING);
		a->lock_since = clock_mono_ms();
		a->may_lock = false;
		a->may_end = false;
		append_lock(a);
		return;
	}
	if (!s->set.migrate) {
		snprintf(why, sizeof(why),
		    "the database has schema version %ld, %u is needed",
		    a->version, schema_version());
		store_refuse(s, why, "run hop-store -M");
		return;
	}
	/* Blocks, but there is nothing yet that could wait. */
	if (schema_migrate(s->set.dsn, s->set.cell, why, sizeof(why)) < 0) {
		store_refuse(s, why, "see hop-store(8)");
		return;
	}
	(void)pg;
	append_check(a);
}

static void
append_guard_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct append *a = arg;

	(void)pg;
	(void)index;
	guard_read(&a->guard, res);
}

static void
append_guard_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct append *a = arg;
	struct store *s = a->store;
	const char *hint;
	char why[256];

	if (end->outcome == PG_LOST)
		return;
	if (end->outcome == PG_ERROR) {
		store_state(s, false, end->message);
		append_retry(a, APPEND_AGAIN_MS);
		return;
	}
	switch (guard_check(&a->guard, why, sizeof(why), &hint)) {
	case GUARD_OK:
		break;
	case GUARD_UNSAFE:
		if (s->set.unsafe) {
			log_warn("guard.unsafe", "reason=%s", why);
			break;
		}
		if (!a->was_up) {
			store_refuse(s, why, hint);
			return;
		}
		/* It was well before: wait until it is again. */
		store_state(s, false, why);
		append_retry(a, APPEND_AGAIN_MS);
		return;
	case GUARD_TOO_OLD:
		store_refuse(s, why, hint);
		return;
	case GUARD_STANDBY:
		if (!a->was_up) {
			store_refuse(s, why, hint);
			return;
		}
		/* A failover is under way; the DSN may lead elsewhere. */
		store_state(s, false, why);
		pg_pass(pg, why);
		return;
	}
	a->version = 0;
	pg_begin(
	    pg, APPEND_SETTLE_MS, append_version_rows, append_version_done, a);
	pg_run(
	    pg, "SELECT coalesce(max(version), 0) FROM version", NULL, false);
	pg_commit(pg);
}

static void
append_check(struct append *a)
{
	append_enter_state(a, APPEND_CHECKING);
	pg_begin(
	    a->pg, APPEND_SETTLE_MS, append_guard_rows, append_guard_done, a);
	pg_run(a->pg, guard_sql, NULL, false);
	pg_commit(a->pg);
}

/* --------------------------------------------------------- lock and settle */

static void
append_lock_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct append *a = arg;

	(void)pg;
	if (index == 0) {
		a->step = *PQgetvalue(res, 0, 0) == 't';
		return;
	}
	if (a->step == 1 || PQntuples(res) == 0 || a->may_end)
		return;
	if (clock_mono_ms() - a->lock_since > 2000)
		store_state(a->store, false, PQgetvalue(res, 0, 0));
}

static void
append_lock_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct append *a = arg;

	if (end->outcome == PG_LOST)
		return;
	if (end->outcome == PG_ERROR || a->step == 0) {
		/* It was free when we looked: look again. */
		if (!a->may_end ||
		    clock_mono_ms() - a->lock_since > APPEND_CLAIM_MS)
			a->may_lock = false;
		append_retry(a, APPEND_LOCK_MS);
		return;
	}
	a->old_backend = pg_backend(pg);
	append_enter_state(a, APPEND_SETTLING);
	append_settle(a);
}

static void
append_looked(enum standby_verdict verdict, void *arg)
{
	struct append *a = arg;

	switch (verdict) {
	case STANDBY_WAIT:
		append_retry(a, APPEND_WATCH_MS);
		return;
	case STANDBY_FAILED:
		append_retry(a, APPEND_AGAIN_MS);
		return;
	case STANDBY_LOST:
		a->cell_epoch = standby_epoch(&a->standby);
		append_fence(a);
		return;
	case STANDBY_CLAIMED:
		a->may_end = true;
		break;
	case STANDBY_LOCK:
		a->may_end = false;
		break;
	}
	a->may_lock = true;
	if (a->store->set.lease_ms != 0)
		a->lock_since = clock_mono_ms();
	append_lock(a);
}

static void
append_lock(struct append *a)
{
	struct pg_params p = { .count = 0 };

	if (!a->may_lock) {
		standby_look(&a->standby, a->pg, a->epoch, append_looked, a);
		return;
	}

	/*
	 * The session before may live on in the server, which has not heard
	 * that the connection broke, or waits for a standby; and its batch
	 * would become visible after we have looked.  So it is ended first.
	 */
	a->step = 0;
	pg_param_int(&p, APPEND_LOCK);
	pg_param_int(&p, a->store->set.cell);
	pg_begin(
	    a->pg, APPEND_SETTLE_MS, append_lock_rows, append_lock_done, a);
	pg_run(
	    a->pg, "SELECT pg_try_advisory_lock($1::int, $2::int)", &p, false);
	pg_param_int(&p, a->old_backend);
	pg_param_text(&p, a->may_end ? "t" : "f");
	pg_run(a->pg,
	    "SELECT 'another hop-store has the cell: backend ' || l.pid ||"
	    " coalesce(', from ' || a.client_addr::text, ''),"
	    " CASE WHEN (l.pid = $3::int OR $4::boolean)"
	    " AND l.pid <> pg_backend_pid()"
	    " THEN pg_terminate_backend(l.pid) END"
	    " FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
	    " WHERE l.locktype = 'advisory' AND l.classid = $1::int"
	    " AND l.objid = $2::int AND l.granted"
	    " AND l.database = (SELECT oid FROM pg_database"
	    " WHERE datname = current_database())",
	    &p, false);
	pg_commit(a->pg);
}

static void
append_settle_rows(
    struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct append *a = arg;
	enum partition_table t;
	uint32_t day;

	(void)pg;
	/* The statements of rows_prepare() and one more answer before. */
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		return;
	(void)index;
	if (strcmp(PQfname(res, 0), "relname") == 0) {
		partition_forget(&a->store->partitions);
		for (int i = 0; i < PQntuples(res); i++) {
			if (partition_parse(PQgetvalue(res, i, 0), &t, &day))
				partition_add(&a->store->partitions, t, day);
		}
	} else if (strcmp(PQfname(res, 0), "last_seq") == 0) {
		a->durable = strtoull(PQgetvalue(res, 0, 0), NULL, 10);
		a->cell_epoch = strtoull(PQgetvalue(res, 0, 1), NULL, 10);
	}
}

static void
append_settled(struct append *a)
{
	bool lease = a->store->set.lease_ms != 0;

	if (a->epoch != 0 && a->epoch != a->cell_epoch &&
	    (lease || !a->open_wanted)) {
		append_fence(a);
		return;
	}
	if (lease && a->cell_epoch != a->epoch &&
	    a->cell_epoch != standby_epoch(&a->standby)) {
		/* Between our look and our lock. */
		pg_drop(a->pg, "the cell went to another bus");
		return;
	}
	if (a->accepted < a->durable)
		a->accepted = a->durable;
	/* Whoever asks is told so from now on. */
	if (a->told < a->durable)
		a->told = a->durable;
	if (a->rewound)
		a->open_wanted = a->open_link == a->store->link;
	if (a->flying == NULL) {
		append_enter_state(a, APPEND_READY);
		append_next(a);
		return;
	}
	if (a->flying->last > a->durable) {
		append_enter_state(a, APPEND_READY);
		append_send(a);
		return;
	}
	/* It is in.  Its duplicates are found by asking. */
	log_info("append.was_in", "first=%" PRIu64 " last=%" PRIu64,
	    a->flying->first, a->flying->last);
	a->conflict = true;
	append_finish(a);
}

static void append_barrier(struct append *);

static void
append_barrier_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct append *a = arg;

	(void)pg;
	if (end->outcome == PG_LOST)
		return;
	if (end->outcome == PG_ERROR) {
		store_state(a->store, false, end->message);
		append_retry(a, APPEND_AGAIN_MS);
		return;
	}
	if (end->warned) {
		store_state(
		    a->store, false, "commits do not reach the standby");
		append_barrier(a);
		return;
	}
	append_settled(a);
}

/* A commit of our own proves that what we can see is durable. */
static void
append_barrier(struct append *a)
{
	struct pg_params p = { .count = 0 };

	pg_begin(a->pg, APPEND_COMMIT_MS, NULL, append_barrier_done, a);
	pg_param_int(&p, (int64_t)a->durable);
	pg_param_int(&p, (int64_t)a->cell_epoch);
	pg_param_int(&p, (int64_t)clock_wall_ms());
	pg_run(a->pg,
	    "INSERT INTO batch (last_seq, first_seq, epoch, attempt, at)"
	    " VALUES ($1, $1, $2, 0, $3)",
	    &p, false);
	pg_commit(a->pg);
}

static void
append_settle_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct append *a = arg;

	if (end->outcome == PG_LOST)
		return;
	if (end->outcome == PG_ERROR) {
		store_state(a->store, false, end->message);
		append_retry(a, APPEND_AGAIN_MS);
		return;
	}
	/* A standby took over without the last records, or somebody restored
	 * a copy.  What is in memory here goes beyond the tables, receipts
	 * above all; a new process knows no more than they do, and the bus
	 * says again what it has. */
	if (a->durable < a->told)
		fatal("append.rewound",
		    "last_seq=%" PRIu64 " confirmed=%" PRIu64 " hint=%s",
		    a->durable, a->told,
		    "the database has lost records; starting anew");
	partition_need(&a->store->partitions, PARTITION_BATCH, clock_wall_ms());
	partition_make_missing(&a->store->partitions, pg);
	append_barrier(a);
}

static void
append_settle(struct append *a)
{
	struct pg_params p = { .count = 0 };

	pg_begin(
	    a->pg, APPEND_SETTLE_MS, append_settle_rows, append_settle_done, a);
	/* A step may be repeated on the same session. */
	pg_run(a->pg, "DEALLOCATE ALL", NULL, false);
	rows_prepare(&a->forms, a->pg);
	packs_prepare(a->pg);
	/* no epoch, no row.  The lock keeps it from changing between
	 * this look and the commit. */
	pg_prepare(a->pg, "batch",
	    "INSERT INTO batch (last_seq, first_seq, epoch, attempt, at)"
	    " SELECT $1::int8, $2::int8, (SELECT epoch FROM cell"
	    " WHERE cell = $3::int4 AND epoch = $4::int8), $5::int4, $6::int8");
	pg_run(a->pg, partition_list_sql, NULL, false);
	pg_param_int(&p, a->store->set.cell);
	pg_run(a->pg,
	    "SELECT (SELECT coalesce(max(last_seq), 0) FROM batch) AS last_seq,"
	    " coalesce((SELECT epoch FROM cell WHERE cell = $1), 0)",
	    &p, false);
	pg_commit(a->pg);
}

static void
append_timer_cb(uv_timer_t *t)
{
	struct append *a = t->data;

	if (!pg_is_up(a->pg))
		return;
	switch (a->state) {
	case APPEND_CHECKING:
		append_check(a);
		break;
	case APPEND_LOCKING:
		append_lock(a);
		break;
	case APPEND_SETTLING:
		append_settle(a);
		break;
	case APPEND_COMMITTING:
		append_send(a);
		break;
	case APPEND_FINISHING:
		append_finish(a);
		break;
	case APPEND_DOWN:
	case APPEND_READY:
	case APPEND_ASKING:
	case APPEND_FENCED:
		break;
	}
}

static void
append_up(struct pg *pg, void *arg)
{
	struct append *a = arg;

	/* The others may wait for a host that is gone, and be asked nothing
	 * that would show it. */
	store_follow(a->store, pg);
	standby_reset(&a->standby);
	append_check(a);
}

static void
append_down(struct pg *pg, const char *why, void *arg)
{
	struct append *a = arg;

	(void)pg;
	uv_timer_stop(&a->timer);
	if (a->store->lease != NULL)
		lease_doubt(a->store->lease);
	if (a->opening) {
		/* Whether it was done is seen the next time: the same bus gets
		 * the same epoch. */
		a->opening = false;
		a->open_wanted = a->open_link == a->store->link;
	}
	if (a->state == APPEND_FENCED)
		return;
	append_enter_state(a, APPEND_DOWN);
	store_state(a->store, false, why);
}

static const struct pg_ops append_pg_ops = {
	.up = append_up,
	.down = append_down,
};

/* ---------------------------------------------------------------- batches */

static void
append_committed(struct append *a, bool warned)
{
	if (warned) {
		/* the standby may not have it.  The rows are in; a
		 * barrier that returns without a warning makes it durable. */
		append_enter_state(a, APPEND_SETTLING);
		append_settle(a);
		return;
	}
	append_finish(a);
}

/* Nothing but that row, or nothing at all, is changed: send it again. */
static void
append_poison_done(enum poison_found found, void *arg)
{
	struct append *a = arg;

	switch (found) {
	case POISON_LOST:
		return; /* the next session sends it */
	case POISON_MOVED:
		append_retry(a, 0);
		return;
	case POISON_NONE:
	case POISON_ERROR:
		append_retry(a, APPEND_AGAIN_MS);
		return;
	}
}

static void
append_failed(struct append *a, const struct pg_end *end)
{
	static struct log_limit limit;
	const char *reason;

	if (strcmp(end->sqlstate, "23502") == 0 &&
	    strstr(end->message, "epoch") != NULL) {
		append_fence(a);
		return;
	}
	/* What it says of a row has the row's contents in it. */
	reason = poison_says(end);
	if (log_limit(&limit, 2))
		log_error("append.failed", "sqlstate=%s reason=%s detail=%s",
		    end->sqlstate, reason,
		    poison_suspect(end) ? "" : end->detail);
	store_state(a->store, false, reason);
	/* 23514: no partition for a row; the list may be out of date. */
	if (strcmp(end->sqlstate, "23514") == 0 && a->missed++ == 0) {
		append_enter_state(a, APPEND_SETTLING);
	} else if (poison_suspect(end) && batch_unpack(a->flying)) {
		/* Row by row it is found which of them is refused. */
		append_retry(a, 0);
		return;
	} else if (poison_suspect(end) && pg_is_up(a->pg)) {
		poison_find(
		    &a->poison, a->pg, a->flying, append_poison_done, a);
		return;
	}
	append_retry(a, APPEND_AGAIN_MS);
}

static void append_send_conflict(struct append *);

static void
append_commit_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct append *a = arg;

	(void)pg;
	switch (end->outcome) {
	case PG_LOST:
		return; /* `flying` stays; the next session finds out */
	case PG_OK:
		CRASH_POINT("store.committed");
		append_committed(a, end->warned);
		return;
	case PG_ERROR:
		break;
	}
	if (!a->conflict && strcmp(end->sqlstate, "23505") == 0) {
		a->conflict = true;
		append_send_conflict(a);
		return;
	}
	append_failed(a, end);
}

static void
append_run_batch_row(struct append *a, const struct batch *b)
{
	struct pg_params p = { .count = 0 };

	pg_param_int(&p, (int64_t)b->last);
	pg_param_int(&p, (int64_t)b->first);
	pg_param_int(&p, a->store->set.cell);
	pg_param_int(&p, (int64_t)b->epoch);
	pg_param_int(&p, b->attempt);
	pg_param_int(&p, (int64_t)clock_wall_ms());
	pg_run_prepared(a->pg, "batch", &p, false);
}

static void
append_run_rows(struct append *a, struct batch *b, int from)
{
	for (int t = from; t < ROWS_TABLES; t++) {
		if (b->rows[t].count > 0)
			rows_run(&b->rows[t], t, a->pg, false);
	}
	packs_run(&b->packs, a->pg);
}

/* Send the flying batch, for the first time or again. */
static void
append_send(struct append *a)
{
	struct batch *b = a->flying;
	uint32_t form[ROWS_EVENT + 1];
	enum rows_table t;

	assert(a->state == APPEND_READY || a->state == APPEND_COMMITTING);
	if (a->state == APPEND_READY)
		append_enter_state(a, APPEND_COMMITTING);
	partition_need(&a->store->partitions, PARTITION_BATCH, clock_wall_ms());
	if (partition_missing(&a->store->partitions))
		partition_make_missing(&a->store->partitions, a->pg);
	b->attempt++;
	if (a->conflict) {
		append_send_conflict(a);
		return;
	}
	for (t = 0; t <= ROWS_EVENT; t++)
		form[t] = rows_choose(&a->forms, &b->rows[t], t, a->pg);
	pg_begin(a->pg, APPEND_COMMIT_MS, NULL, append_commit_done, a);
	for (t = 0; t <= ROWS_EVENT; t++) {
		if (form[t] != 0)
			rows_run_form(&b->rows[t], t, a->pg, form[t]);
		else if (b->rows[t].count > 0)
			rows_run(&b->rows[t], t, a->pg, false);
	}
	append_run_rows(a, b, ROWS_EVENT + 1);
	append_run_batch_row(a, b);
	CRASH_POINT("store.before_commit");
	pg_commit(a->pg);
	CRASH_POINT("store.commit_queued");
}

/* ------------------------------------------- a message's id is there before */

static void
append_conflict_rows(
    struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct append *a = arg;
	struct batch *b = a->flying;
	int n = PQntuples(res), row = 0;

	(void)pg;
	if (index != 1)
		return;
	/* Rows come back in the order in which they went in. */
	b->duplicate_count = 0;
	for (size_t i = 0; i < b->id_count; i++) {
		if (row < n && (uint64_t)pg_int8(res, row, 0) == b->id[i].seq)
			row++;
		else
			batch_add_duplicate(b, b->id[i].seq);
	}
	if (row != n)
		fatal("append.conflict", "rows=%d matched=%d", n, row);
}

static void
append_rollback_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	(void)arg;
	if (end->outcome == PG_ERROR)
		pg_drop(pg, end->message);
}

static void
append_conflict_commit_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct append *a = arg;

	if (end->outcome == PG_ERROR) {
		pg_begin(pg, APPEND_COMMIT_MS, NULL, append_rollback_done, a);
		pg_run(pg, "ROLLBACK", NULL, false);
		pg_commit(pg);
	}
	append_commit_done(pg, end, arg);
}

static void
append_conflict_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct append *a = arg;
	struct batch *b = a->flying;

	if (end->outcome != PG_OK) {
		append_conflict_commit_done(pg, end, arg);
		return;
	}
	/* Due rows of a duplicate name a message that is not there, and are
	 * left out by the page (page.c joins by id and number). */
	pg_begin(pg, APPEND_COMMIT_MS, NULL, append_conflict_commit_done, a);
	append_run_rows(a, b, ROWS_MESSAGE + 1);
	append_run_batch_row(a, b);
	pg_run(pg, "COMMIT", NULL, false);
	pg_commit(pg);
}

static void
append_send_conflict(struct append *a)
{
	struct batch *b = a->flying;

	pg_begin(a->pg, APPEND_COMMIT_MS, append_conflict_rows,
	    append_conflict_done, a);
	pg_run(a->pg, "BEGIN", NULL, false);
	rows_run(&b->rows[ROWS_MESSAGE], ROWS_MESSAGE, a->pg, true);
	pg_commit(a->pg);
}

/* ------------------------------------------------- after it is durable */

static void
append_send_notices(struct append *a, const struct batch *b)
{
	const uint8_t *blob = buf_data(&b->blob);
	struct out out;

	if (b->notice_count == 0)
		return;
	out_init(&out, a->store->box, HOPYARD__V1__FRAME_TYPE__NOTICE, 0);
	for (size_t i = 0; i < b->notice_count; i++) {
		const struct batch_notice *n = &b->notice[i];
		Hopyard__V1__Paged paged = HOPYARD__V1__PAGED__INIT;
		struct item it = {
			.envelope = { blob + n->envelope, n->envelope_len },
			.body = { blob + n->body, n->body_len },
		};

		if (n->report_len > 0)
			it.report =
			    (struct bytes){ blob + n->report, n->report_len };
		paged.seq = n->seq;
		paged.queue = n->queue;
		paged.at = n->at;
		out_add(&out, &it, &paged);
	}
	out_end(&out, 0, 0, false);
}

static int
append_compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
append_send_horizon(struct append *a, uint64_t seq, struct batch *b)
{
	Hopyard__V1__Horizon h = HOPYARD__V1__HORIZON__INIT;

	h.seq = seq;
	if (b->duplicate_count > 1)
		qsort(b->duplicate, b->duplicate_count, sizeof(*b->duplicate),
		    append_compare);
	h.duplicate = b->duplicate;
	h.n_duplicate = b->duplicate_count;
	h.refused = b->refused;
	h.n_refused = b->refused_count;
	box_send(
	    a->store->box, HOPYARD__V1__FRAME_TYPE__HORIZON, 0, 0, &h.base);
}

static void
append_done(struct append *a)
{
	struct batch *b = a->flying;
	struct store *s = a->store;

	a->durable = a->told = b->last;
	a->missed = 0;
	if (b->last_at > a->durable_at)
		a->durable_at = b->last_at;
	stat_batches.value++;
	stat_records.value += b->items;
	stat_conflicts.value += b->duplicate_count;
	a->last_done = clock_mono_us();
	stat_histogram_add(&stat_commit, a->last_done - append_since(b));
	if (s->opened) {
		witness_confirm(&s->witness, a->durable);
		/* Notices first: a bus that has seen the horizon has them. */
		append_send_notices(a, b);
		CRASH_POINT("store.notices_queued");
		append_send_horizon(a, a->durable, b);
		CRASH_POINT("store.horizon_queued");
	}
	if (s->connected && b->link == s->link)
		box_grant(s->box, b->items, b->bytes);
	batch_clear(b);
	a->flying = NULL;
	a->conflict = false;
	append_enter_state(a, APPEND_READY);
	append_next(a);
}

static void
append_fill_notice(
    struct batch *b, struct batch_notice *n, const PGresult *res, int row)
{
	struct bytes account, to, from, report;

	account.p = pg_bytes(res, row, 1, &account.len);
	to.p = pg_bytes(res, row, 2, &to.len);
	from.p = pg_bytes(res, row, 3, &from.len);
	report.p = pg_bytes(res, row, 4, &report.len);
	n->envelope = buf_len(&b->blob);
	batch_pack_envelope(&b->blob, n->id, account, to, from);
	n->envelope_len = buf_len(&b->blob) - n->envelope;
	n->report_len = report.len;
	n->report = batch_keep(b, report.p, report.len);
	n->fetch = false;
	b->fetch_count--;
}

static void
append_finish_rows(
    struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct append *a = arg;
	struct batch *b = a->flying;
	size_t len, i;

	(void)pg;
	(void)index;
	for (int row = 0; row < PQntuples(res); row++) {
		const uint8_t *id = pg_bytes(res, row, 0, &len);
		uint64_t seq = (uint64_t)pg_int8(res, row, 5);

		if (id == NULL || len != 16)
			continue;
		for (i = 0; i < b->notice_count; i++) {
			if (b->notice[i].fetch &&
			    memcmp(b->notice[i].id, id, 16) == 0)
				append_fill_notice(b, &b->notice[i], res, row);
		}
		/* Under another number: it was there before. */
		for (i = 0; a->conflict && i < b->id_count; i++) {
			if (b->id[i].seq != seq &&
			    memcmp(b->id[i].id, id, 16) == 0)
				batch_add_duplicate(b, b->id[i].seq);
		}
	}
}

static void
append_finish_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct append *a = arg;
	struct batch *b = a->flying;

	(void)pg;
	if (end->outcome == PG_LOST)
		return;
	if (end->outcome == PG_ERROR) {
		log_error("append.finish", "reason=%s", end->message);
		append_retry(a, APPEND_AGAIN_MS);
		return;
	}
	for (size_t i = 0; i < b->notice_count; i++) {
		struct batch_notice *n = &b->notice[i];

		if (!n->fetch)
			continue;
		/* Its message is not there (any more): the item lives on its
		 * own. */
		n->fetch = false;
		n->envelope = buf_len(&b->blob);
		batch_pack_envelope(&b->blob, n->id, (struct bytes){ 0 },
		    (struct bytes){ 0 }, (struct bytes){ 0 });
		n->envelope_len = buf_len(&b->blob) - n->envelope;
	}
	append_done(a);
}

/* What is to be asked before the bus may hear of the batch. */
static void
append_finish(struct append *a)
{
	struct batch *b = a->flying;
	struct pg_params p = { .count = 0 };
	struct column ids;
	bool verify = a->conflict && b->duplicate_count == 0;

	a->conflict = verify;
	if (b->fetch_count == 0 && (!verify || b->id_count == 0)) {
		append_done(a);
		return;
	}
	append_enter_state(a, APPEND_FINISHING);
	column_init(&ids, COLUMN_UUID);
	for (size_t i = 0; i < b->notice_count; i++) {
		if (b->notice[i].fetch)
			column_add_bytes(&ids, b->notice[i].id, 16);
	}
	for (size_t i = 0; verify && i < b->id_count; i++)
		column_add_bytes(&ids, b->id[i].id, 16);
	column_param(&ids, &p);
	pg_begin(
	    a->pg, APPEND_COMMIT_MS, append_finish_rows, append_finish_done, a);
	pg_run(a->pg,
	    "SELECT id, account, dst, src, report, seq FROM message"
	    " WHERE id = ANY($1::uuid[])",
	    &p, true);
	pg_commit(a->pg);
	column_fini(&ids);
}

/* ------------------------------------------- records that came a second time */

static void
again_add(struct append *a, uint64_t seq, const struct item *it)
{
	struct again *g = a->repeated;
	struct batch_tools *t = &a->store->tools;
	const Hopyard__V1__Envelope *env;

	if (g->first == 0)
		g->first = seq;
	g->last = seq;
	g->items++;
	g->bytes += item_bytes(it);
	g->link = a->store->link;
	stat_repeated.value++;
	if (it->envelope.p == NULL)
		return;
	arena_reset(&t->arena);
	env = frame_unpack(&t->arena, &hopyard__v1__envelope__descriptor,
	    it->envelope.p, it->envelope.len);
	if (env == NULL || env->id.len != 16)
		return;
	if (g->count == g->cap) {
		g->cap = g->cap == 0 ? 256 : g->cap * 2;
		g->id = xrealloc(g->id, g->cap * sizeof(*g->id));
	}
	memcpy(g->id[g->count].id, env->id.data, 16);
	g->id[g->count++].seq = seq;
}

static void
again_clear(struct again *g)
{
	g->count = 0;
	g->first = g->last = 0;
	g->items = g->bytes = 0;
}

static int
again_compare(const void *a, const void *b)
{
	const struct batch_id *x = a, *y = b;

	return memcmp(x->id, y->id, sizeof(x->id));
}

static void
again_duplicates(struct append *a, const PGresult *res)
{
	struct again *g = a->asked;
	size_t len, low, high, mid;

	if (g->count > 1)
		qsort(g->id, g->count, sizeof(*g->id), again_compare);
	for (int row = 0; row < PQntuples(res); row++) {
		const uint8_t *id = pg_bytes(res, row, 0, &len);
		uint64_t seq = (uint64_t)pg_int8(res, row, 1);

		if (id == NULL || len != 16)
			continue;
		for (low = 0, high = g->count; low < high;) {
			mid = (low + high) / 2;
			if (memcmp(g->id[mid].id, id, 16) < 0)
				low = mid + 1;
			else
				high = mid;
		}
		for (; low < g->count && memcmp(g->id[low].id, id, 16) == 0;
		     low++) {
			if (g->id[low].seq != seq)
				batch_add_duplicate(&a->answer, g->id[low].seq);
		}
	}
}

static void
again_notices(struct append *a, const PGresult *res)
{
	struct batch *b = &a->answer;

	for (int row = 0; row < PQntuples(res); row++) {
		struct batch_notice *n;
		const uint8_t *id, *body;
		size_t len, body_len;

		id = pg_bytes(res, row, 0, &len);
		if (id == NULL || len != 16)
			continue;
		n = batch_add_notice(b, (uint64_t)pg_int8(res, row, 5),
		    (uint64_t)pg_int8(res, row, 6),
		    (uint32_t)pg_int4(res, row, 7), id);
		b->fetch_count++;
		append_fill_notice(b, n, res, row);
		body = pg_bytes(res, row, 8, &body_len);
		n->body_len = body_len;
		n->body = batch_keep(b, body, body_len);
	}
}

static void
again_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	(void)pg;
	if (index == 0)
		again_duplicates(arg, res);
	else
		again_notices(arg, res);
}

static void
again_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct append *a = arg;
	struct again *g = a->asked;
	struct store *s = a->store;

	(void)pg;
	if (end->outcome == PG_OK && s->opened && g->link == s->link) {
		witness_confirm(&s->witness, g->last);
		append_send_notices(a, &a->answer);
		append_send_horizon(a, g->last, &a->answer);
		box_grant(s->box, g->items, g->bytes);
	}
	batch_clear(&a->answer);
	if (end->outcome == PG_OK || g->link != s->link) {
		again_clear(g);
		a->asked = NULL;
	}
	if (end->outcome == PG_LOST)
		return;
	if (end->outcome == PG_ERROR) {
		log_error("append.again", "reason=%s", end->message);
		append_enter_state(a, APPEND_SETTLING);
		append_retry(a, APPEND_AGAIN_MS);
		return;
	}
	append_enter_state(a, APPEND_READY);
	append_next(a);
}

/*
 * The bus has not heard that these are in.  Tell it, and which of its messages
 * were duplicates, and what the store made of them; and no more than these,
 * since what comes behind them was not looked at.
 */
static void
append_ask_again(struct append *a)
{
	struct again *g = a->asked;
	struct pg_params p = { .count = 0 }, q = { .count = 0 };
	struct column ids;

	if (g == NULL) {
		g = a->asked = a->repeated;
		a->repeated = g == &a->again[0] ? &a->again[1] : &a->again[0];
	}
	append_enter_state(a, APPEND_ASKING);
	column_init(&ids, COLUMN_UUID);
	for (size_t i = 0; i < g->count; i++)
		column_add_bytes(&ids, g->id[i].id, 16);
	column_param(&ids, &p);
	pg_begin(a->pg, APPEND_COMMIT_MS, again_rows, again_done, a);
	pg_run(a->pg, "SELECT id, seq FROM message WHERE id = ANY($1::uuid[])",
	    &p, true);
	pg_param_int(&q, (int64_t)g->first);
	pg_param_int(&q, (int64_t)g->last);
	pg_param_int(&q, (int64_t)(clock_wall_ms() - 2 * DAY_MS));
	pg_run(a->pg,
	    "SELECT e.id, m.account, m.dst, m.src, m.report, e.seq, e.at,"
	    " e.queue, e.body FROM queue q JOIN event e ON e.queue = q.queue"
	    " AND e.seq BETWEEN $1 AND $2 AND e.at >= $3 AND e.rec IS NULL"
	    " LEFT JOIN message m ON m.id = e.id ORDER BY e.seq",
	    &q, true);
	pg_commit(a->pg);
	column_fini(&ids);
}

/* --------------------------------------------------------- what comes next */

/* When it is committed at the latest. */
static uint64_t
append_due(const struct append *a)
{
	const struct batch *b = a->open;
	uint64_t ride = b->at + APPEND_RIDE_US;
	uint64_t due = append_since(b) + a->store->set.gather_us;

	if (batch_can_wait(b))
		return due > ride ? due : ride;
	return due;
}

static bool
append_gathered(const struct append *a)
{
	const struct batch *b = a->open;
	const struct store_settings *set = &a->store->set;
	uint64_t now = clock_mono_us();

	if (b->items >= set->batch_items || b->bytes >= set->batch_bytes ||
	    a->store->draining || a->open_wanted || !a->store->opened)
		return true;
	if (now >= append_due(a))
		return true;
	if (batch_can_wait(b))
		return b->items >= APPEND_RIDE_ITEMS;
	/* An idle store answers at once; one that has just committed waits a
	 * little for company, since a commit costs as much as many rows. */
	return now - a->last_done > set->gather_us &&
	    append_since(b) >= a->last_done + set->gather_us;
}

static void
append_arm(struct append *a)
{
	uint64_t due = append_due(a);
	uint64_t now = clock_mono_us();
	uint64_t us = due > now ? due - now : 1;
	struct itimerspec t = { .it_value = { .tv_sec = (time_t)(us / 1000000),
				    .tv_nsec = (long)(us % 1000000) * 1000 } };

	if (timerfd_settime(a->gather_fd, 0, &t, NULL) < 0)
		fatal("append.timer", "reason=settime");
}

/*
 * The database lacks what was confirmed to another bus than this one, which
 * knows nothing of it and would go on without a word: it waits for an operator
 * (DESIGN 5).  The bus that was told may have it still.
 */
static bool
append_is_rewound(struct append *a)
{
	struct store *s = a->store;
	const struct witness *w = &s->witness;

	if (!witness_lacks(w, a->cell_epoch, a->durable) ||
	    witness_is_of(w, a->instance, a->instance_len) ||
	    (a->accept && a->accept_seq == a->durable))
		return false;
	log_error("cell.rewound",
	    "last_seq=%" PRIu64 " confirmed=%" PRIu64 " lost=%" PRIu64
	    " hint=%s",
	    a->durable, w->confirmed, w->confirmed - a->durable,
	    "was an old copy restored? connect the right one, or "
	    "hopctl cell accept-rewind");
	a->rewound = true;
	store_rewound(s, a->durable, w->confirmed);
	return true;
}

/* The session is free: choose. */
static void
append_next(struct append *a)
{
	if (a->state != APPEND_READY || !pg_is_up(a->pg) || a->opening)
		return;
	if (a->open_wanted && a->open->items == 0) {
		a->open_wanted = false;
		a->rewound = false;
		if (append_is_rewound(a))
			return;
		store_state(a->store, true, NULL);
		a->opening = true;
		recovery_start(a->store, a->instance, a->instance_len, a->node,
		    a->durable);
		return;
	}
	if (a->asked != NULL || a->repeated->items > 0) {
		append_ask_again(a);
		return;
	}
	if (a->open->items == 0) {
		store_idle(a->store);
		return;
	}
	if (!append_gathered(a)) {
		append_arm(a);
		return;
	}
	sweep_flush(a->store->sweep, a->open, a->open->last);
	batch_seal(a->open);
	a->flying = a->open;
	a->open = a->flying == &a->batch[0] ? &a->batch[1] : &a->batch[0];
	append_send(a);
}

static void
append_gather_cb(uv_poll_t *h, int status, int events)
{
	struct append *a = h->data;
	uint64_t n;

	(void)status;
	(void)events;
	if (read(a->gather_fd, &n, sizeof(n)) > 0)
		append_next(a);
}

void
append_flush(struct append *a)
{
	append_next(a);
}

/* ---------------------------------------------------------------- the bus */

void
append_records(struct append *a, struct items *items)
{
	struct store *s = a->store;
	struct item it;

	static struct log_limit limit;
	char why[160];

	if (a->state == APPEND_FENCED || s->draining)
		return; /* a successor gets them again */
	if (items->epoch != a->epoch || !s->opened) {
		log_warn("append.stale", "epoch=%" PRIu64 " want=%" PRIu64,
		    items->epoch, a->epoch);
		return;
	}
	if (items->first > a->accepted + 1 || items->first == 0) {
		/* To confirm anything beyond a hole would be a lie. */
		snprintf(why, sizeof(why),
		    "records %" PRIu64 " to %" PRIu64
		    " were confirmed and are not in the database",
		    a->accepted + 1, items->first - 1);
		if (log_limit(&limit, 1))
			log_error("append.hole",
			    "first=%" PRIu64 " accepted=%" PRIu64 " hint=%s",
			    items->first, a->accepted,
			    "was an old copy of the database restored?");
		store_state(s, false, why);
		return;
	}
	while (items_next(items, &it)) {
		if (items->number <= a->accepted) {
			again_add(a, items->number, &it);
			continue;
		}
		if (a->open->first == 0) {
			a->open->epoch = a->epoch;
			a->open->link = s->link;
		}
		batch_add(a->open, &s->tools, items->number, &it);
		a->accepted = items->number;
	}
	append_next(a);
}

void
append_open(struct append *a, const Hopyard__V1__Open *open)
{
	a->instance_len = open->instance.len < sizeof(a->instance)
	    ? open->instance.len
	    : sizeof(a->instance);
	memcpy(a->instance, open->instance.data, a->instance_len);
	snprintf(a->node, sizeof(a->node), "%s", open->node);
	a->accept = open->has_accept_rewind;
	a->accept_seq = open->accept_rewind;
	a->open_wanted = true;
	a->open_link = a->store->link;
	append_next(a);
}

void
append_opened(struct append *a, uint64_t epoch)
{
	a->opening = false;
	if (epoch != 0) {
		a->epoch = a->cell_epoch = epoch;
		witness_owner(&a->store->witness, epoch, a->instance,
		    a->instance_len, a->durable, a->accept);
		a->accept = false;
	} else {
		/* It failed; find out where we are and try again. */
		a->open_wanted = a->open_link == a->store->link;
		append_enter_state(a, APPEND_SETTLING);
		append_retry(a, APPEND_AGAIN_MS);
		return;
	}
	append_next(a);
}

void
append_bus_gone(struct append *a)
{
	/*
	 * What was gathered is committed all the same: receipts in it have
	 * changed what receipt.c knows, so it must get to the disk.
	 */
	a->open_wanted = false;
	again_clear(a->repeated);
	append_next(a);
}

/* ---------------------------------------------------------- life and death */

struct append *
append_new(struct store *s)
{
	struct append *a = xcalloc(1, sizeof(*a));

	a->store = s;
	standby_init(&a->standby, s);
	batch_init(&a->batch[0]);
	batch_init(&a->batch[1]);
	batch_init(&a->answer);
	a->open = &a->batch[0];
	a->repeated = &a->again[0];
	a->gather_fd =
	    timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (a->gather_fd < 0)
		fatal("append.timer", "reason=create");
	uv_timer_init(s->loop, &a->timer);
	uv_poll_init(s->loop, &a->gather, a->gather_fd);
	a->timer.data = a;
	a->gather.data = a;
	a->timer.timer_cb = append_timer_cb;
	a->handles = 2;
	uv_poll_start(&a->gather, UV_READABLE, append_gather_cb);
	stat_register(&stat_batches);
	stat_register(&stat_records);
	stat_register(&stat_conflicts);
	stat_register(&stat_repeated);
	stat_histogram_register(&stat_commit);
	a->pg = pg_new(s->loop, s->set.dsn, "hop-store append", s->options,
	    &append_pg_ops, a);
	return a;
}

static void
append_handle_close_cb(uv_handle_t *h)
{
	struct append *a = h->data;

	if (--a->handles > 0)
		return;
	close(a->gather_fd);
	batch_fini(&a->batch[0]);
	batch_fini(&a->batch[1]);
	batch_fini(&a->answer);
	free(a->again[0].id);
	free(a->again[1].id);
	free(a);
}

void
append_close(struct append *a)
{
	pg_close(a->pg);
	uv_timer_stop(&a->timer);
	uv_poll_stop(&a->gather);
	uv_close((uv_handle_t *)&a->timer, append_handle_close_cb);
	uv_close((uv_handle_t *)&a->gather, append_handle_close_cb);
}

bool
append_is_up(const struct append *a)
{
	switch (a->state) {
	case APPEND_READY:
	case APPEND_COMMITTING:
	case APPEND_FINISHING:
	case APPEND_ASKING:
		return true;
	case APPEND_DOWN:
	case APPEND_CHECKING:
	case APPEND_LOCKING:
	case APPEND_SETTLING:
	case APPEND_FENCED:
		break;
	}
	return false;
}

bool
append_is_idle(const struct append *a)
{
	return a->flying == NULL && a->open->items == 0;
}

uint64_t
append_durable(const struct append *a)
{
	return a->durable;
}

uint64_t
append_durable_at(const struct append *a)
{
	return a->durable_at;
}

uint64_t
append_lag_ms(const struct append *a)
{
	const struct batch *b = a->flying != NULL ? a->flying : a->open;

	return b->first == 0 ? 0 : (clock_mono_us() - b->at) / 1000;
}

struct pg *
append_session(struct append *a)
{
	return a->pg;
}

uint64_t
append_epoch(const struct append *a)
{
	return a->epoch;
}

const char *
append_boot(const struct append *a)
{
	return standby_boot(&a->standby);
}

void
append_taken(struct append *a, uint64_t epoch)
{
	if (epoch != a->epoch || a->state == APPEND_FENCED || !a->store->opened)
		return;
	append_fence(a);
}
