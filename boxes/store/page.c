/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/append.h"
#include "boxes/store/out.h"
#include "boxes/store/pack.h"
#include "boxes/store/partition.h"
#include "boxes/store/pg.h"
#include "boxes/store/store.h"
#include "boxes/store/stored.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/map.h"
#include "common/queue.h"
#include "common/stats.h"
#include "common/uuid.h"
#include "common/xalloc.h"

#define PAGE_RUNNING  4 /* in the pipeline at a time */
#define PAGE_WAITING  100000
#define PAGE_RUN_MS   30000
#define PAGE_LIMIT    1024
#define PAGE_LIMIT_ID 64
#define PAGE_BYTES    (1024 * 1024)
/*
 * Where closed items are left out, a page looks at as many rows as it may
 * return; where all of them are closed, each further one at more.
 */
#define PAGE_SCAN_GROWTH 4
#define PAGE_SCAN_MAX    32768
/* One number in so many, at least, is of this queue. */
#define PAGE_DENSE 8
/* A record may wait for its commit this much less than the least time by
 * which a due row lies ahead (core: 60 s). */
#define PAGE_DUE_AHEAD 55000

/*
 * Open partitions have no statistics, and a plan that reads one from end to
 * end must never be chosen: these all go by index, row by row.
 */
#define PAGE_OPTIONS                                                           \
	"-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off" \
	" -c enable_bitmapscan=off -c jit=off"                                 \
	" -c max_parallel_workers_per_gather=0"                                \
	" -c plan_cache_mode=force_generic_plan -c work_mem=64MB"

struct page_request {
	TAILQ_ENTRY(page_request) link;
	struct page *page;
	uint64_t correlation;
	unsigned bus; /* connection that asked */
	enum {
		PAGE_QUEUE,
		PAGE_DUE,
		PAGE_ID,
	} kind;
	uint32_t queue;
	uint64_t after, after_due_at, until_due_at;
	uint32_t limit;
	uint64_t bytes;
	bool verify;
	uint8_t id[16];
	uint64_t horizon; /* when it was run */
	uint64_t due_cap;
	uint32_t scan;
	bool dense; /* so are the numbers of its queue */
};

TAILQ_HEAD(page_list, page_request);

struct page {
	struct store *store;
	struct pg *pg;
	struct page_list waiting;
	unsigned waiting_count, running;
	bool prepared, preparing; /* on this session */
	bool closing;
	struct map scans; /* queue -> rows that the next page looks at */
	struct stored stored;
};

static struct stat_value stat_pages = { .name = "store_pages_total",
	.help = "Pages read for the bus",
	.type = STAT_COUNTER };
static struct stat_value stat_paged = { .name = "store_paged_items_total",
	.help = "Items in them",
	.type = STAT_COUNTER };

/* ------------------------------------------------------------- statements */

/*
 * Columns behind those of stored.h.  Where a page leaves something out, a row
 * without an item tells how many rows were looked at, and which was the last.
 */
enum {
	PAGE_LOOKED = STORED_COLUMNS,
	PAGE_TOP,
	PAGE_TOP_DUE_AT,
	PAGE_ITEM_DUE_AT, /* of this item's due row */
	PAGE_ITEM_DUE_SEQ,
	PAGE_REF, /* item that the due row is about */
	PAGE_CLOSED,
};

/* clang-format off */

#define PAGE_NONE \
    "NULL::int8, NULL::int8, NULL::int8, NULL::int8, NULL::int8, NULL::int8," \
    " false"
#define PAGE_NO_ITEM \
    "NULL::int8, NULL::uuid, NULL::int4, NULL::bytea, NULL::bytea," \
    " NULL::bytea, NULL::bytea, NULL::text, NULL::text, NULL::text," \
    " NULL::int8, NULL::int8, NULL::bytea[]"

/* $1 queue, $2 after, $3 horizon, $4 lowest id, $5 lowest event time */
#define PAGE_OF(bound) \
    " WHERE queue = $1::int4 AND seq > $2::int8 AND seq <= $3::int8" \
    " AND " bound " ORDER BY seq LIMIT "
#define PAGE_OF_MESSAGE PAGE_OF("id >= $4::uuid")
#define PAGE_OF_EVENT PAGE_OF("at >= $5::int8")
#define PAGE_ITS_MESSAGE \
    " LEFT JOIN message m ON m.id = e.id AND m.id >= $4::uuid"

/* $6 limit */
static const char page_queue_sql[] =
    "(SELECT " STORED_MESSAGE "NULL::bytea[], " PAGE_NONE
    " FROM message m" PAGE_OF_MESSAGE "$6::int8)"
    " UNION ALL"
    " (SELECT " STORED_NOTICE "NULL::bytea[], " PAGE_NONE
    " FROM (SELECT * FROM event" PAGE_OF_EVENT "$6::int8) e"
    PAGE_ITS_MESSAGE ")"
    " ORDER BY 1 LIMIT $6::int8";

/*
 * The same without what is closed: $7 rows are looked at.  Events about items
 * behind the cursor are not older than the batch that holds the next seq.
 * Written as a scalar subquery everywhere, so that it prunes partitions.
 */
#define PAGE_SINCE "(SELECT at FROM s)"
#define PAGE_VERIFY(closed, open) \
    "WITH s AS MATERIALIZED (SELECT coalesce((SELECT" \
    " CASE WHEN b.first_seq <= $2::int8 + 1 THEN b.at - " CLOCK_SLACK_SQL " END" \
    " FROM batch b WHERE b.last_seq > $2::int8 ORDER BY b.last_seq LIMIT 1)," \
    " $5::int8) AS at)," \
    " c AS MATERIALIZED (SELECT * FROM" \
    " ((SELECT seq, id, true AS msg FROM message" PAGE_OF_MESSAGE "$7::int8)" \
    " UNION ALL" \
    " (SELECT seq, id, false FROM event" PAGE_OF_EVENT "$7::int8)) u" \
    " ORDER BY seq LIMIT $7::int8)," closed \
    " l AS MATERIALIZED (SELECT * FROM c WHERE " open \
    " ORDER BY seq LIMIT $6::int8)" \
    " (SELECT " STORED_MESSAGE STORED_HISTORY("m.seq", PAGE_SINCE) \
    ", " PAGE_NONE " FROM l JOIN message m ON m.id = l.id AND m.seq = l.seq" \
    " AND m.id >= $4::uuid WHERE l.msg)" \
    " UNION ALL" \
    " (SELECT " STORED_NOTICE STORED_HISTORY("e.seq", PAGE_SINCE) \
    ", " PAGE_NONE " FROM l JOIN event e ON e.queue = $1::int4" \
    " AND e.seq = l.seq AND e.at >= $5::int8" PAGE_ITS_MESSAGE \
    " WHERE NOT l.msg)" \
    " UNION ALL" \
    " (SELECT " PAGE_NO_ITEM ", count(*), max(seq), NULL::int8, NULL::int8," \
    " NULL::int8, NULL::int8, false FROM c)" \
    " ORDER BY 1"

static const char page_verify_sql[] = PAGE_VERIFY("",
    "NOT EXISTS (SELECT FROM event k WHERE k.ref = c.seq AND k.closes"
    " AND k.at >= " PAGE_SINCE ") AND NOT " PACK_CLOSES("c.seq", PAGE_SINCE));

/* Where most numbers are of this queue: all closing events of the range in
 * one go, instead of a probe for each candidate. */
static const char page_dense_sql[] = PAGE_VERIFY(
    " k AS MATERIALIZED (SELECT k.ref FROM event k WHERE k.ref > $2::int8"
    " AND k.ref <= (SELECT max(seq) FROM c) AND k.closes"
    " AND k.at >= " PAGE_SINCE " UNION ALL SELECT unnest(p.ref) FROM pack p"
    " WHERE p.block BETWEEN $2::int8 >> " PACK_SQL
    " AND (SELECT max(seq) FROM c) >> " PACK_SQL
    " AND p.at >= " PAGE_SINCE "),",
    "seq NOT IN (SELECT ref FROM k)");

/*
 * $1 after_due_at, $2 after, $3 horizon, $4 lowest id, $5 lowest event time,
 * $6 limit, $7 scan, $8 until.  A due row is over when an event behind the
 * record that wrote it has closed its item.
 */
static const char page_due_sql[] =
    "WITH c AS MATERIALIZED (SELECT due_at, seq, ref, id FROM due"
    " WHERE (due_at, seq) > ($1::int8, $2::int8) AND due_at >= $1::int8"
    " AND due_at <= $8::int8 ORDER BY due_at, seq LIMIT $7::int8),"
    " l AS MATERIALIZED (SELECT c.* FROM c WHERE c.seq <= $3::int8"
    " AND NOT EXISTS (SELECT FROM event k WHERE k.ref = c.ref"
    " AND k.seq > c.seq AND k.closes AND k.at >= $5::int8)"
    " AND NOT EXISTS (SELECT FROM " PACK_ROWS
    " WHERE " PACK_OF("c.ref", "$5::int8") "AND u.seq > c.seq)"
    " ORDER BY c.due_at, c.seq LIMIT $6::int8),"
    " i AS (SELECT l.*, m.seq AS mseq FROM l LEFT JOIN message m"
    " ON m.id = l.id AND m.id >= $4::uuid)"
    " (SELECT " STORED_MESSAGE STORED_HISTORY("m.seq", "$5::int8")
    ", NULL::int8, NULL::int8, NULL::int8, i.due_at, i.seq, i.ref, false"
    " FROM i JOIN message m ON m.id = i.id AND m.id >= $4::uuid"
    " WHERE i.mseq = i.ref)"
    " UNION ALL"
    " (SELECT " STORED_NOTICE STORED_HISTORY("e.seq", "$5::int8")
    ", NULL::int8, NULL::int8, NULL::int8, i.due_at, i.seq, i.ref, false"
    " FROM i JOIN message m ON m.id = i.id AND m.id >= $4::uuid"
    " JOIN event e ON e.ref = m.seq AND e.seq = i.ref"
    " AND e.queue IS NOT NULL AND e.at >= $5::int8"
    " WHERE i.mseq <> i.ref)"
    " UNION ALL"
    " (SELECT " PAGE_NO_ITEM ", n.looked, t.seq, t.due_at, NULL::int8,"
    " NULL::int8, NULL::int8, false"
    " FROM (SELECT count(*) AS looked FROM c) n"
    " LEFT JOIN (SELECT due_at, seq FROM c ORDER BY due_at DESC, seq DESC"
    " LIMIT 1) t ON true)"
    " ORDER BY 17, 18";

/*
 * $1 id, $2 horizon, $3 lowest event time, $4 limit.  An item that waits in
 * the due table was closed by the RETRY_EV (3) that put it there.
 */
#define PAGE_IS_CLOSED(seq) \
    ", NULL::int8, NULL::int8, NULL::int8, NULL::int8, NULL::int8," \
    " NULL::int8, EXISTS (SELECT FROM event k WHERE k.ref = " seq \
    " AND k.closes AND k.type::int <> 3 AND k.at >= $3::int8) OR " \
    PACK_CLOSES(seq, "$3::int8")
/* STORED_HISTORY is of open items, which no pack has closed. */
#define PAGE_HISTORY(item) \
    "(SELECT array_agg(h.rec ORDER BY h.seq) FROM (SELECT k.rec, k.seq" \
    " FROM event k WHERE k.ref = " item " AND k.at >= $3::int8" \
    " AND k.rec IS NOT NULL UNION ALL SELECT u.rec, u.seq FROM " PACK_ROWS \
    " WHERE " PACK_OF(item, "$3::int8") ") h)"

static const char page_id_sql[] =
    "SELECT " STORED_MESSAGE PAGE_HISTORY("m.seq")
    PAGE_IS_CLOSED("m.seq")
    " FROM message m WHERE m.id = $1::uuid AND m.seq <= $2::int8"
    " UNION ALL"
    " (SELECT " STORED_NOTICE PAGE_HISTORY("e.seq")
    PAGE_IS_CLOSED("e.seq")
    " FROM message m JOIN event e ON e.ref = m.seq AND e.queue IS NOT NULL"
    " AND e.at >= $3::int8 AND e.seq <= $2::int8"
    " WHERE m.id = $1::uuid ORDER BY e.seq LIMIT $4::int8)";

/* clang-format on */

/* ---------------------------------------------------------------- running */

static void page_run(struct page *);

static bool
page_wanted(const struct page_request *r)
{
	const struct store *s = r->page->store;

	return s->opened && r->bus == s->link;
}

/*
 * How far a page has looked when all its items are out.  sum: the row that
 * tells, -1 where all that there was is an item.
 */
static uint64_t
page_upto_queue(const struct page_request *r, const PGresult *res, int items,
    int sum, uint64_t last)
{
	if (items >= (int)r->limit)
		return last;
	if (sum >= 0 && (uint64_t)pg_int8(res, sum, PAGE_LOOKED) >= r->scan)
		return (uint64_t)pg_int8(res, sum, PAGE_TOP);
	return r->horizon;
}

static void
page_upto_due(const struct page_request *r, const PGresult *res, int items,
    int sum, uint64_t *upto, uint64_t *at)
{
	if (items >= (int)r->limit)
		return;
	if (sum >= 0 && (uint64_t)pg_int8(res, sum, PAGE_LOOKED) >= r->scan) {
		*upto = (uint64_t)pg_int8(res, sum, PAGE_TOP);
		*at = (uint64_t)pg_int8(res, sum, PAGE_TOP_DUE_AT);
	} else {
		*upto = INT64_MAX;
		*at = r->until_due_at;
	}
}

/* What belongs to the kind of page; false: leave it out. */
static bool
page_complete(const struct page_request *r, Hopyard__V1__Paged *paged,
    const PGresult *res, int row)
{
	if (r->kind == PAGE_ID) {
		paged->has_closed = true;
		paged->closed = pg_int4(res, row, PAGE_CLOSED) != 0;
	}
	if (r->kind != PAGE_DUE)
		return true;
	paged->has_due_at = true;
	paged->due_at = (uint64_t)pg_int8(res, row, PAGE_ITEM_DUE_AT);
	paged->has_due_seq = true;
	paged->due_seq = (uint64_t)pg_int8(res, row, PAGE_ITEM_DUE_SEQ);
	/* Else it is a duplicate's, or its message has been dropped. */
	return paged->seq == (uint64_t)pg_int8(res, row, PAGE_REF);
}

/* What the last page of this queue has met. */
static uint32_t
page_scan(const struct page *p, struct page_request *r)
{
	uintptr_t hint = 0;
	uint32_t scan;

	if (r->kind == PAGE_QUEUE && r->verify)
		hint = (uintptr_t)map_get_u64(&p->scans, r->queue);
	r->dense = (hint & 1) != 0;
	scan = (uint32_t)(hint >> 1);
	return scan > r->limit ? scan : r->limit;
}

/* Nearly all that it looked at was closed: look at more. */
static void
page_learn(struct page *p, const struct page_request *r, size_t items,
    uint64_t looked, uint64_t top)
{
	uint32_t scan = r->scan * PAGE_SCAN_GROWTH;
	uintptr_t dense = top - r->after < looked * PAGE_DENSE;

	if (scan > PAGE_SCAN_MAX)
		scan = PAGE_SCAN_MAX;
	if (looked >= r->scan && items < r->limit / PAGE_SCAN_GROWTH)
		map_put_u64(&p->scans, r->queue,
		    (void *)((uintptr_t)scan << 1 | dense));
	else
		map_del_u64(&p->scans, r->queue);
}

static void
page_answer(struct page_request *r, const PGresult *res)
{
	struct page *p = r->page;
	struct stored *st = &p->stored;
	int n = PQntuples(res), row, sum = -1;
	uint64_t upto = r->horizon, upto_due_at = r->after_due_at;
	struct out out;

	out_init(&out, p->store->box, HOPYARD__V1__FRAME_TYPE__PAGED,
	    r->correlation);
	/* It comes last, since it has no number. */
	if (n > 0 && PQgetisnull(res, n - 1, STORED_SEQ))
		sum = --n;
	for (row = 0; row < n; row++) {
		if (out.bytes >= r->bytes)
			break;
		if (r->kind == PAGE_QUEUE) {
			upto = (uint64_t)pg_int8(res, row, STORED_SEQ);
		} else if (r->kind == PAGE_DUE) {
			upto = (uint64_t)pg_int8(res, row, PAGE_ITEM_DUE_SEQ);
			upto_due_at =
			    (uint64_t)pg_int8(res, row, PAGE_ITEM_DUE_AT);
		}
		if (stored_read(st, res, row) &&
		    page_complete(r, &st->paged, res, row))
			out_add(&out, &st->item, &st->paged);
	}
	if (r->kind == PAGE_QUEUE && sum >= 0)
		page_learn(p, r, out.total,
		    (uint64_t)pg_int8(res, sum, PAGE_LOOKED),
		    (uint64_t)pg_int8(res, sum, PAGE_TOP));
	if (row == n && r->kind == PAGE_QUEUE)
		upto = page_upto_queue(r, res, n, sum, upto);
	if (row == n && r->kind == PAGE_DUE)
		page_upto_due(r, res, n, sum, &upto, &upto_due_at);
	/* What is not committed yet may lie before that. */
	if (r->kind == PAGE_DUE && upto_due_at > r->due_cap) {
		upto_due_at = r->due_cap;
		upto = r->due_cap == r->after_due_at ? r->after : 0;
	}
	stat_pages.value++;
	stat_paged.value += out.total;
	out_end(&out, upto, r->kind == PAGE_DUE ? upto_due_at : 0, true);
}

static void
page_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct page_request *r = arg;

	(void)pg;
	(void)index;
	if (page_wanted(r))
		page_answer(r, res);
}

static void
page_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	static struct log_limit limit;
	struct page_request *r = arg;
	struct page *p = r->page;

	(void)pg;
	p->running--;
	if (end->outcome != PG_OK && page_wanted(r) && !p->closing) {
		if (end->outcome == PG_ERROR && log_limit(&limit, 1))
			log_error("page.failed", "reason=%s", end->message);
		TAILQ_INSERT_HEAD(&p->waiting, r, link);
		p->waiting_count++;
		/* The tick tries again. */
		return;
	}
	free(r);
	if (end->outcome == PG_OK)
		page_run(p);
}

static void
page_low_id(struct pg_params *params, uint64_t ms, uint8_t id[16])
{
	uuid_lowest(ms, id);
	pg_param_bytes(params, id, 16);
}

static void
page_send(struct page *p, struct page_request *r)
{
	struct append *a = p->store->append;
	struct pg_params q = { .count = 0 };
	uint64_t low = clock_wall_ms() - PAGE_REACH_MS;
	uint8_t id[16];

	r->horizon = append_durable(a);
	r->due_cap = append_durable_at(a) + PAGE_DUE_AHEAD;
	if (append_durable_at(a) == 0 || r->due_cap < r->after_due_at)
		r->due_cap = r->after_due_at;
	r->scan = page_scan(p, r);
	p->running++;
	pg_begin(p->pg, PAGE_RUN_MS, page_rows, page_done, r);
	switch (r->kind) {
	case PAGE_QUEUE:
		pg_param_int(&q, r->queue);
		pg_param_int(&q, (int64_t)r->after);
		pg_param_int(&q, (int64_t)r->horizon);
		page_low_id(&q, low, id);
		pg_param_int(&q, (int64_t)low);
		pg_param_int(&q, r->limit);
		if (r->verify)
			pg_param_int(&q, r->scan);
		pg_run_prepared(p->pg,
		    !r->verify     ? "queue"
			: r->dense ? "dense"
				   : "verify",
		    &q, true);
		break;
	case PAGE_DUE:
		pg_param_int(&q, (int64_t)r->after_due_at);
		pg_param_int(&q, (int64_t)r->after);
		pg_param_int(&q, (int64_t)r->horizon);
		page_low_id(&q, low, id);
		pg_param_int(&q, (int64_t)low);
		pg_param_int(&q, r->limit);
		pg_param_int(&q, r->scan);
		pg_param_int(&q, (int64_t)r->until_due_at);
		pg_run_prepared(p->pg, "due", &q, true);
		break;
	case PAGE_ID:
		pg_param_bytes(&q, r->id, 16);
		pg_param_int(&q, (int64_t)r->horizon);
		pg_param_int(&q,
		    (int64_t)(uuid_time_ms(r->id) & INT64_MAX) -
			(int64_t)CLOCK_SLACK_MS);
		pg_param_int(&q, r->limit);
		pg_run_prepared(p->pg, "id", &q, true);
		break;
	}
	pg_commit(p->pg);
}

static void
page_run(struct page *p)
{
	struct page_request *r;

	while (pg_is_up(p->pg) && p->prepared && p->running < PAGE_RUNNING &&
	    (r = TAILQ_FIRST(&p->waiting)) != NULL) {
		TAILQ_REMOVE(&p->waiting, r, link);
		p->waiting_count--;
		if (page_wanted(r))
			page_send(p, r);
		else
			free(r);
	}
}

/* -------------------------------------------------------------- interface */

void
page_ask(struct page *p, uint64_t correlation, const Hopyard__V1__Page *page)
{
	static struct log_limit limit;
	struct page_request *r;

	if (p->waiting_count >= PAGE_WAITING) {
		if (log_limit(&limit, 1))
			log_error(
			    "page.dropped", "waiting=%u", p->waiting_count);
		return;
	}
	r = xcalloc(1, sizeof(*r));
	r->page = p;
	r->correlation = correlation;
	r->bus = p->store->link;
	r->limit = page->limit;
	r->after = page->after;
	r->bytes = page->has_bytes && page->bytes < PAGE_BYTES ? page->bytes
							       : PAGE_BYTES;
	if (page->has_id && page->id.len == 16) {
		r->kind = PAGE_ID;
		memcpy(r->id, page->id.data, 16);
		if (r->limit > PAGE_LIMIT_ID)
			r->limit = PAGE_LIMIT_ID;
	} else if (page->due) {
		r->kind = PAGE_DUE;
		r->verify = true;
		r->after_due_at = page->after_due_at;
		r->until_due_at = page->until_due_at;
	} else {
		r->kind = PAGE_QUEUE;
		r->queue = page->queue;
		r->verify = page->verify;
	}
	if (r->limit == 0 || r->limit > PAGE_LIMIT)
		r->limit = PAGE_LIMIT;
	TAILQ_INSERT_TAIL(&p->waiting, r, link);
	p->waiting_count++;
	page_run(p);
}

void
page_bus_gone(struct page *p)
{
	struct page_request *r;

	while ((r = TAILQ_FIRST(&p->waiting)) != NULL) {
		TAILQ_REMOVE(&p->waiting, r, link);
		free(r);
	}
	p->waiting_count = 0;
}

static void
page_prepared(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct page *p = arg;

	(void)pg;
	p->preparing = false;
	/* The tables may not be there yet: the tick tries again. */
	p->prepared = end->outcome == PG_OK;
	if (p->prepared)
		page_run(p);
}

/* Once a session: to plan over many partitions takes longer than to run. */
static void
page_prepare(struct page *p)
{
	p->preparing = true;
	pg_begin(p->pg, PAGE_RUN_MS, NULL, page_prepared, p);
	pg_run(p->pg, "DEALLOCATE ALL", NULL, false);
	pg_prepare(p->pg, "queue", page_queue_sql);
	pg_prepare(p->pg, "verify", page_verify_sql);
	pg_prepare(p->pg, "dense", page_dense_sql);
	pg_prepare(p->pg, "due", page_due_sql);
	pg_prepare(p->pg, "id", page_id_sql);
	pg_commit(p->pg);
}

void
page_tick(struct page *p)
{
	if (pg_is_up(p->pg) && !p->prepared && !p->preparing)
		page_prepare(p);
	page_run(p);
}

static void
page_up(struct pg *pg, void *arg)
{
	(void)pg;
	page_prepare(arg);
}

static void
page_down(struct pg *pg, const char *why, void *arg)
{
	struct page *p = arg;

	(void)pg;
	(void)why;
	p->prepared = p->preparing = false;
}

static const struct pg_ops page_pg_ops = {
	.up = page_up,
	.down = page_down,
};

struct page *
page_new(struct store *s)
{
	struct page *p = xcalloc(1, sizeof(*p));
	char options[512];

	p->store = s;
	TAILQ_INIT(&p->waiting);
	map_init(&p->scans);
	stored_init(&p->stored);
	stat_register(&stat_pages);
	stat_register(&stat_paged);
	store_session_options(s, options, sizeof(options), PAGE_OPTIONS);
	p->pg = pg_new(
	    s->loop, s->set.dsn, "hop-store page", options, &page_pg_ops, p);
	return p;
}

void
page_follow(struct page *p, const struct pg *leader)
{
	pg_follow(p->pg, leader);
}

void
page_close(struct page *p)
{
	p->closing = true;
	pg_close(p->pg);
	page_bus_gone(p);
	map_fini(&p->scans);
	stored_fini(&p->stored);
	free(p);
}
