/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/lookup.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/column.h"
#include "boxes/store/page.h"
#include "boxes/store/partition.h"
#include "boxes/store/pg.h"
#include "boxes/store/receipt.h"
#include "boxes/store/store.h"
#include "boxes/store/sweep.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/uuid.h"
#include "common/xalloc.h"
#include "proto/frame.h"

#define LOOKUP_RUN_MS    120000
#define LOOKUP_ARENA     (256 * 1024)
#define LOOKUP_BLOCKS    32768 /* of the newest events, read at the start */
#define LOOKUP_CHUNK     128   /* blocks at a time: commits wait for it */
#define LOOKUP_KEYS      1024
#define LOOKUP_ORPHAN_MS (3 * DAY_MS)
#define LOOKUP_ORPHANS   100000
#define LOOKUP_DAYS      10 /* how old a message may be when its receipt comes */
#define LOOKUP_AGAIN_MS  1000

enum lookup_state {
	LOOKUP_IDLE = 0, /* lookup_start() has not been called */
	LOOKUP_WHEEL,    /* what sweep.c had gathered */
	LOOKUP_ORPHAN,   /* receipts that nobody claimed */
	LOOKUP_SIZE,     /* how long are the open partitions? */
	LOOKUP_LOAD,     /* the newest events, chunk by chunk */
	LOOKUP_READY,
};

static const char *const lookup_state_names[] = {
	[LOOKUP_IDLE] = "idle",
	[LOOKUP_WHEEL] = "wheel",
	[LOOKUP_ORPHAN] = "orphan",
	[LOOKUP_SIZE] = "size",
	[LOOKUP_LOAD] = "load",
	[LOOKUP_READY] = "ready",
};

/* A day's event partition. */
struct lookup_day {
	uint64_t blocks; /* when it was looked at */
	uint64_t from;   /* blocks before this are not in memory */
	uint32_t day;
	bool indexed; /* by key */
};

struct lookup {
	struct store *store;
	struct pg *pg;
	enum lookup_state state; /* written only by lookup_enter_state() */
	bool running;            /* a unit is on its way */
	uint64_t last_seq;       /* what lies behind it comes from the bus */
	uint64_t wheel_upto;
	uint64_t lowest;                        /* seq that the load has met */
	struct lookup_day day[LOOKUP_DAYS + 2]; /* newest first */
	unsigned days;
	unsigned at_day; /* being loaded */
	uint64_t at_block;
	uint64_t started, next;
	uint64_t keys[LOOKUP_KEYS];
	size_t key_count; /* looked for now */
	bool have_days;   /* of this round */
	int64_t *ref;
	size_t ref_count, ref_cap;
	struct arena arena;
	uint8_t *memory;
};

static struct stat_value stat_lookups = { .name = "receipt_lookups_total",
	.help = "Receipts that were looked for in the database",
	.type = STAT_COUNTER };

static void lookup_step(struct lookup *);

static void
lookup_enter_state(struct lookup *l, enum lookup_state next)
{
	log_debug("lookup.state", "from=%s to=%s", lookup_state_names[l->state],
	    lookup_state_names[next]);
	l->state = next;
	if (next != LOOKUP_READY)
		return;
	receipts_loading(l->store->receipts, false);
	sweep_ready(l->store->sweep);
	log_info("lookup.ready", "parts=%zu orphans=%zu ms=%" PRIu64,
	    receipts_counts(l->store->receipts)->parts,
	    receipts_counts(l->store->receipts)->orphans,
	    clock_mono_ms() - l->started);
}

/* The end of a unit: true when it went well. */
static bool
lookup_went(struct lookup *l, const struct pg_end *end)
{
	static struct log_limit limit;

	l->running = false;
	if (end->outcome == PG_OK)
		return true;
	if (end->outcome == PG_ERROR && log_limit(&limit, 1))
		log_error("lookup.failed", "state=%s reason=%s",
		    lookup_state_names[l->state], end->message);
	l->next = clock_mono_ms() + LOOKUP_AGAIN_MS;
	return false;
}

static void
lookup_begin(struct lookup *l, pg_rows_cb *rows, pg_end_cb *done)
{
	l->running = true;
	pg_begin(l->pg, LOOKUP_RUN_MS, rows, done, l);
}

/* --------------------------------------------------- messages not in the wheel */

static void
lookup_wheel_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct lookup *l = arg;
	size_t len;

	(void)pg;
	if (index == 0) {
		l->wheel_upto = (uint64_t)pg_int8(res, 0, 0);
		return;
	}
	for (int row = 0; row < PQntuples(res); row++) {
		const uint8_t *id = pg_bytes(res, row, 0, &len);

		if (len == 16)
			sweep_expect(l->store->sweep,
			    (uint64_t)pg_int8(res, row, 2), id,
			    (uint64_t)pg_int8(res, row, 1));
	}
}

static void
lookup_wheel_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct lookup *l = arg;

	(void)pg;
	if (lookup_went(l, end)) {
		lookup_enter_state(l, LOOKUP_ORPHAN);
		lookup_step(l);
	}
}

static void
lookup_wheel(struct lookup *l)
{
	struct pg_params p = { .count = 0 };
	uint8_t id[UUID_LEN];

	uuid_lowest(clock_wall_ms() - PAGE_REACH_MS, id);
	lookup_begin(l, lookup_wheel_rows, lookup_wheel_done);
	pg_run(l->pg, "SELECT coalesce(max(upto), 0) FROM wheel", NULL, true);
	pg_param_int(&p, (int64_t)l->last_seq);
	pg_param_bytes(&p, id, sizeof(id));
	pg_run(l->pg,
	    "SELECT m.id, m.seq, m.expires_at FROM queue q JOIN message m"
	    " ON m.queue = q.queue AND m.id >= $2::uuid"
	    " AND m.seq > coalesce((SELECT max(upto) FROM wheel), 0)"
	    " AND m.seq <= $1::int8 WHERE m.expires_at IS NOT NULL",
	    &p, true);
	pg_commit(l->pg);
}

/* ---------------------------------------------------------------- orphans */

static void
lookup_orphan_rows(
    struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct lookup *l = arg;

	(void)pg;
	(void)index;
	/* They come newest first, and are wanted in order. */
	for (int row = PQntuples(res) - 1; row >= 0; row--) {
		struct bytes link, body;

		link.p = pg_bytes(res, row, 3, &link.len);
		body.p = pg_bytes(res, row, 4, &body.len);
		receipts_load_orphan(l->store->receipts,
		    (uint64_t)pg_int8(res, row, 0),
		    (uint64_t)pg_int8(res, row, 1),
		    (uint64_t)pg_int8(res, row, 2), link, body);
	}
}

static void
lookup_orphan_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct lookup *l = arg;

	(void)pg;
	if (lookup_went(l, end)) {
		lookup_enter_state(l, LOOKUP_SIZE);
		lookup_step(l);
	}
}

static void
lookup_orphan(struct lookup *l)
{
	struct pg_params p = { .count = 0 };

	pg_param_int(&p, (int64_t)(clock_wall_ms() - LOOKUP_ORPHAN_MS));
	pg_param_int(&p, (int64_t)l->last_seq);
	pg_param_int(&p, LOOKUP_ORPHANS);
	lookup_begin(l, lookup_orphan_rows, lookup_orphan_done);
	pg_run(l->pg,
	    "SELECT o.key, o.seq, o.at, o.link, o.body FROM orphan o"
	    " WHERE o.at >= $1::int8 AND o.seq <= $2::int8 AND NOT EXISTS"
	    " (SELECT FROM orphan_done d WHERE d.seq = o.seq"
	    " AND d.at >= $1::int8)"
	    " ORDER BY o.seq DESC LIMIT $3::int4",
	    &p, true);
	pg_commit(l->pg);
}

/* ------------------------------------------------- which partitions there are */

static void
lookup_days_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct lookup *l = arg;
	uint32_t today = (uint32_t)(clock_wall_ms() / DAY_MS), day;
	struct lookup_day old[LOOKUP_DAYS + 2];
	unsigned olds = l->days;
	enum partition_table t;
	char name[PARTITION_NAME];

	(void)pg;
	(void)index;
	memcpy(old, l->day, sizeof(old));
	l->days = 0;
	for (int row = 0; row < PQntuples(res); row++) {
		struct lookup_day *d = &l->day[l->days];
		size_t len;
		const uint8_t *p = pg_bytes(res, row, 0, &len);

		if (len >= sizeof(name))
			continue;
		memcpy(name, p, len);
		name[len] = '\0';
		if (!partition_parse(name, &t, &day) || t != PARTITION_EVENT ||
		    day + LOOKUP_DAYS < today || day > today + 1 ||
		    l->days == LOOKUP_DAYS + 2)
			continue;
		d->day = day;
		d->blocks = (uint64_t)pg_int8(res, row, 1);
		d->from = d->blocks;
		d->indexed = pg_int4(res, row, 2) != 0;
		for (unsigned i = 0; i < olds; i++) {
			if (old[i].day == day)
				d->from = old[i].from;
		}
		/* Began after we did: all of it has passed through memory. */
		if (l->state == LOOKUP_READY && day > old[0].day)
			d->from = 0;
		l->days++;
	}
}

static void
lookup_days(struct lookup *l, pg_end_cb *done)
{
	lookup_begin(l, lookup_days_rows, done);
	pg_run(l->pg,
	    "SELECT c.relname::text, pg_relation_size(c.oid)"
	    " / current_setting('block_size')::int8,"
	    " EXISTS (SELECT FROM pg_index x JOIN pg_class k"
	    " ON k.oid = x.indexrelid WHERE x.indrelid = c.oid"
	    " AND x.indisvalid AND k.relname = c.relname || '_key')"
	    " FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
	    " WHERE i.inhparent = to_regclass('event')"
	    " AND NOT i.inhdetachpending ORDER BY c.relname DESC",
	    NULL, true);
	pg_commit(l->pg);
}

static void
lookup_size_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct lookup *l = arg;
	uint64_t left = LOOKUP_BLOCKS;

	(void)pg;
	if (!lookup_went(l, end))
		return;
	/* The newest blocks of all: back from the end, then forward. */
	l->at_day = 0;
	for (unsigned i = 0; i < l->days && left > 0; i++) {
		struct lookup_day *d = &l->day[i];
		uint64_t n = d->blocks < left ? d->blocks : left;

		d->from = d->blocks - n;
		left -= n;
		l->at_day = i;
	}
	l->at_block = l->days > 0 ? l->day[l->at_day].from : 0;
	l->lowest = UINT64_MAX;
	lookup_enter_state(l, LOOKUP_LOAD);
	lookup_step(l);
}

/* ------------------------------------------------------------------ events */

enum {
	LOOKUP_SEQ,
	LOOKUP_REF,
	LOOKUP_ID,
	LOOKUP_PART,
	LOOKUP_TYPE,
	LOOKUP_EVENT_STATE,
	LOOKUP_REC,
};
#define LOOKUP_COLUMNS                                                         \
	"e.seq, e.ref, e.id, e.part, e.type, e.state,"                         \
	" CASE WHEN e.type::int IN (2, 3) THEN e.rec END"

static void
lookup_sent(struct lookup *l, const PGresult *res, int row)
{
	struct receipt_load load = { 0 };
	size_t id_len, len;
	const uint8_t *p;

	load.id = pg_bytes(res, row, LOOKUP_ID, &id_len);
	p = pg_bytes(res, row, LOOKUP_REC, &len);
	arena_reset(&l->arena);
	load.rec =
	    frame_unpack(&l->arena, &hopyard__v1__record__descriptor, p, len);
	if (load.rec == NULL || id_len != 16)
		return;
	load.ref = (uint64_t)pg_int8(res, row, LOOKUP_REF);
	if (load.rec->has_receipt_by &&
	    (uint64_t)pg_int8(res, row, LOOKUP_SEQ) > l->wheel_upto &&
	    l->state == LOOKUP_LOAD)
		sweep_expect(
		    l->store->sweep, load.rec->receipt_by, load.id, load.ref);
	if (!load.rec->has_result ||
	    load.rec->state == HOPYARD__V1__STATE__SENT)
		return;
	load.result = frame_unpack(&l->arena, &hopyard__v1__result__descriptor,
	    load.rec->result.data, load.rec->result.len);
	if (load.result != NULL)
		receipts_load_sent(l->store->receipts, &load);
}

/* Rows in the order of seq. */
static void
lookup_event_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct lookup *l = arg;

	(void)pg;
	(void)index;
	for (int row = 0; row < PQntuples(res); row++) {
		int type = pg_int4(res, row, LOOKUP_TYPE);
		unsigned state =
		    (unsigned)pg_int4(res, row, LOOKUP_EVENT_STATE);
		unsigned part = (unsigned)pg_int4(res, row, LOOKUP_PART);
		uint64_t seq = (uint64_t)pg_int8(res, row, LOOKUP_SEQ);

		if (seq < l->lowest)
			l->lowest = seq;
		if (type == HOPYARD__V1__RECORD__EVENT__SUBMITTED_EV ||
		    type == HOPYARD__V1__RECORD__EVENT__RETRY_EV)
			lookup_sent(l, res, row);
		else
			receipts_load_event(l->store->receipts,
			    (uint64_t)pg_int8(res, row, LOOKUP_REF), part,
			    (unsigned)type, state,
			    part == 0 &&
				(state == HOPYARD__V1__STATE__UNKNOWN ||
				    state == HOPYARD__V1__STATE__EXPIRED));
	}
}

static void
lookup_load_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct lookup *l = arg;
	struct lookup_day *d = &l->day[l->at_day];

	(void)pg;
	if (!lookup_went(l, end))
		return;
	/* All that sweep.c had gathered must be among it. */
	if (l->lowest > l->wheel_upto + 1 && l->lowest != UINT64_MAX &&
	    l->at_block == d->from && d->from > 0) {
		d->from -= d->from < LOOKUP_BLOCKS ? d->from : LOOKUP_BLOCKS;
		l->at_block = d->from;
		lookup_step(l);
		return;
	}
	l->at_block += LOOKUP_CHUNK;
	if (l->at_block >= d->blocks) {
		if (l->at_day == 0) {
			lookup_enter_state(l, LOOKUP_READY);
			return;
		}
		l->at_day--;
		l->at_block = l->day[l->at_day].from;
	}
	lookup_step(l);
}

static void
lookup_load(struct lookup *l)
{
	struct lookup_day *d = &l->day[l->at_day];
	struct pg_params p = { .count = 0 };
	char name[PARTITION_NAME], sql[512], from[24], to[24];

	if (l->days == 0) {
		lookup_enter_state(l, LOOKUP_READY);
		return;
	}
	/* What is written from now on lies behind `blocks` or last_seq. */
	snprintf(from, sizeof(from), "(%" PRIu64 ",0)", l->at_block);
	snprintf(to, sizeof(to), "(%" PRIu64 ",0)", l->at_block + LOOKUP_CHUNK);
	pg_param_text(&p, from);
	pg_param_text(&p, to);
	pg_param_int(&p, (int64_t)l->last_seq);
	snprintf(sql, sizeof(sql),
	    "SELECT " LOOKUP_COLUMNS " FROM %s e WHERE e.ctid >= $1::tid"
	    " AND e.ctid < $2::tid AND e.seq <= $3::int8"
	    " AND e.type::int IN (2, 3, 5, 6, 8, 9) ORDER BY e.seq",
	    partition_name(PARTITION_EVENT, d->day, name));
	lookup_begin(l, lookup_event_rows, lookup_load_done);
	pg_run(l->pg, sql, &p, true);
	pg_commit(l->pg);
}

/* ------------------------------------------------------------- look-ups */

static void
lookup_keys_over(struct lookup *l)
{
	l->key_count = 0;
	l->have_days = false;
	receipts_loading(l->store->receipts, false);
}

static void
lookup_refs_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct lookup *l = arg;

	(void)pg;
	if (lookup_went(l, end)) {
		lookup_keys_over(l);
		lookup_step(l);
	}
}

/* All events of the messages that were found. */
static void
lookup_refs(struct lookup *l)
{
	struct pg_params p = { .count = 0 };
	struct column refs;

	column_init(&refs, COLUMN_INT8);
	for (size_t i = 0; i < l->ref_count; i++)
		column_add(&refs, l->ref[i]);
	column_param(&refs, &p);
	pg_param_int(
	    &p, (int64_t)(clock_wall_ms() - (LOOKUP_DAYS + 1) * DAY_MS));
	lookup_begin(l, lookup_event_rows, lookup_refs_done);
	pg_run(l->pg,
	    "SELECT " LOOKUP_COLUMNS " FROM event e"
	    " WHERE e.ref = ANY($1::int8[]) AND e.at >= $2::int8"
	    " AND e.type::int IN (2, 3, 5, 6, 8, 9) ORDER BY e.seq",
	    &p, true);
	pg_commit(l->pg);
	column_fini(&refs);
}

static void
lookup_keys_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct lookup *l = arg;

	(void)pg;
	(void)index;
	for (int row = 0; row < PQntuples(res); row++) {
		if (l->ref_count == l->ref_cap) {
			l->ref_cap = l->ref_cap == 0 ? 256 : l->ref_cap * 2;
			l->ref = xrealloc(l->ref, l->ref_cap * sizeof(*l->ref));
		}
		l->ref[l->ref_count++] = pg_int8(res, row, 0);
	}
}

static void
lookup_keys_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct lookup *l = arg;
	uint64_t now = clock_mono_ms();

	(void)pg;
	if (!lookup_went(l, end))
		return;
	/* Where an open partition was read, leave the disk some rest. */
	if (now - l->started > 100)
		l->next = now + (now - l->started) * 4;
	if (l->ref_count > 0)
		lookup_refs(l);
	else
		lookup_keys_over(l);
}

/* The days in which a key that is not in memory may lie. */
static void
lookup_keys(struct lookup *l)
{
	struct pg_params p = { .count = 0 };
	struct column keys;
	struct buf sql;
	char name[PARTITION_NAME];
	bool evicted = receipts_counts(l->store->receipts)->evicted > 0;
	unsigned n = 0;

	buf_init(&sql);
	for (unsigned i = 0; i < l->days; i++) {
		const struct lookup_day *d = &l->day[i];

		if (!d->indexed && !evicted && d->from == 0)
			continue;
		buf_printf(&sql, "%sSELECT ref FROM %s e",
		    n++ > 0 ? " UNION ALL " : "",
		    partition_name(PARTITION_EVENT, d->day, name));
		buf_addstr(&sql,
		    " WHERE e.key = ANY($1::int8[])"
		    " AND e.type::int IN (2, 3, 64)");
		if (!d->indexed && !evicted)
			buf_printf(
			    &sql, " AND e.ctid < '(%" PRIu64 ",0)'", d->from);
	}
	l->ref_count = 0;
	if (n == 0) {
		lookup_keys_over(l);
		buf_fini(&sql);
		return;
	}
	column_init(&keys, COLUMN_INT8);
	for (size_t i = 0; i < l->key_count; i++)
		column_add(&keys, (int64_t)l->keys[i]);
	column_param(&keys, &p);
	l->started = clock_mono_ms();
	lookup_begin(l, lookup_keys_rows, lookup_keys_done);
	pg_run(l->pg, buf_str(&sql), &p, true);
	pg_commit(l->pg);
	column_fini(&keys);
	buf_fini(&sql);
}

static void
lookup_days_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct lookup *l = arg;

	(void)pg;
	if (lookup_went(l, end)) {
		l->have_days = true;
		lookup_step(l);
	}
}

static void
lookup_misses(struct lookup *l)
{
	struct receipts *r = l->store->receipts;

	if (l->key_count == 0) {
		l->key_count = receipts_misses(r, l->keys, LOOKUP_KEYS);
		if (l->key_count == 0)
			return;
		stat_lookups.value += l->key_count;
	}
	if (!l->have_days) {
		lookup_days(l, lookup_days_done);
		return;
	}
	receipts_loading(r, true);
	lookup_keys(l);
}

/* -------------------------------------------------------------- interface */

static void
lookup_step(struct lookup *l)
{
	if (l->running || !pg_is_up(l->pg) || clock_mono_ms() < l->next)
		return;
	switch (l->state) {
	case LOOKUP_IDLE:
		break;
	case LOOKUP_WHEEL:
		lookup_wheel(l);
		break;
	case LOOKUP_ORPHAN:
		lookup_orphan(l);
		break;
	case LOOKUP_SIZE:
		lookup_days(l, lookup_size_done);
		break;
	case LOOKUP_LOAD:
		lookup_load(l);
		break;
	case LOOKUP_READY:
		lookup_misses(l);
		break;
	}
}

void
lookup_start(struct lookup *l, uint64_t last_seq)
{
	if (l->state != LOOKUP_IDLE)
		return;
	l->last_seq = last_seq;
	l->started = clock_mono_ms();
	receipts_loading(l->store->receipts, true);
	lookup_enter_state(l, LOOKUP_WHEEL);
	lookup_step(l);
}

void
lookup_tick(struct lookup *l)
{
	receipts_expire(l->store->receipts, clock_wall_ms() - LOOKUP_ORPHAN_MS);
	lookup_step(l);
}

static void
lookup_up(struct pg *pg, void *arg)
{
	(void)pg;
	lookup_step(arg);
}

static void
lookup_down(struct pg *pg, const char *why, void *arg)
{
	(void)pg;
	(void)why;
	(void)arg;
}

static const struct pg_ops lookup_pg_ops = {
	.up = lookup_up,
	.down = lookup_down,
};

struct lookup *
lookup_new(struct store *s)
{
	struct lookup *l = xcalloc(1, sizeof(*l));
	char options[512];

	l->store = s;
	l->memory = xmalloc(LOOKUP_ARENA);
	arena_init(&l->arena, l->memory, LOOKUP_ARENA);
	stat_register(&stat_lookups);
	store_session_options(s, options, sizeof(options),
	    "-c enable_hashjoin=off -c enable_mergejoin=off"
	    " -c enable_seqscan=off -c jit=off"
	    " -c max_parallel_workers_per_gather=0");
	l->pg = pg_new(s->loop, s->set.dsn, "hop-store lookup", options,
	    &lookup_pg_ops, l);
	return l;
}

void
lookup_follow(struct lookup *l, const struct pg *leader)
{
	pg_follow(l->pg, leader);
}

void
lookup_close(struct lookup *l)
{
	pg_close(l->pg);
	free(l->memory);
	free(l->ref);
	free(l);
}

struct pg *
lookup_session(struct lookup *l)
{
	return l->pg;
}
