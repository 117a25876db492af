/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/query.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/job.h"
#include "boxes/store/partition.h"
#include "boxes/store/store.h"
#include "common/box.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/stats.h"
#include "common/xalloc.h"

#define QUERY_WAITING 64
#define QUERY_CLAIMS  4096
#define QUERY_RUN_MS  5000 /* statement_timeout */
#define QUERY_WAIT_MS 8000 /* the asker gives up after 10 s */
#define QUERY_ARENA   ((size_t)1024 * 1024)

/*
 * Open partitions have no statistics, and the planner would read all of them
 * and sort: keep it to walking the indexes, in their order, until the limit is
 * reached (600,000 rows, newest 50: 4 ms against 2 s).
 */
#define QUERY_OPTIONS                                                          \
	"-c statement_timeout=5000 -c enable_seqscan=off"                      \
	" -c enable_bitmapscan=off -c enable_sort=off"                         \
	" -c enable_hashjoin=off -c enable_mergejoin=off"

TAILQ_HEAD(query_jobs, job);

struct query {
	struct store *store;
	struct pg *search, *claim;
	struct query_jobs waiting; /* for the search session */
	unsigned waiting_count;
	unsigned claims; /* on their way */
	bool busy;       /* a search runs */
	bool closing;
	struct arena arena;
	uint8_t *memory;
};

static struct stat_value stat_calls = { .name = "store_searches_total",
	.help = "Searches and claims answered",
	.type = STAT_COUNTER };
static struct stat_value stat_refused = { .name = "store_searches_failed_total",
	.help = "Searches and claims that could not be answered",
	.type = STAT_COUNTER };

static void query_next(struct query *);
static pg_end_cb query_done_cb;

/* ------------------------------------------------------------------ answers */

static void
job_free(struct job *job)
{
	json_decref(job->args);
	buf_fini(&job->out);
	PQclear(job->message);
	PQclear(job->events);
	free(job->account);
	free(job->ids);
	free(job);
}

void
job_fail(struct job *job, unsigned code, const char *error)
{
	job->code = code;
	job->error = error;
}

/* Answers and frees. */
static void
job_end(struct job *job)
{
	struct query *q = job->query;

	if (job->code == 0 && buf_len(&job->out) > FRAME_MAX_PAYLOAD - 1024)
		job_fail(job, 413, "the answer is too long for one frame");
	if (job->code != 0 && job->code != 404 && job->code != 400)
		stat_refused.value++;
	else
		stat_calls.value++;
	if (!q->closing)
		box_reply(q->store->box, job->correlation, job->code,
		    job->error, job->code == 0 ? buf_data(&job->out) : NULL,
		    job->code == 0 ? buf_len(&job->out) : 0, false);
	job_free(job);
}

static void
job_pg_error(struct job *job, const struct pg_end *end)
{
	static struct log_limit limit;

	if (end->outcome == PG_LOST) {
		job_fail(job, 503, "the database cannot be asked now");
	} else if (strcmp(end->sqlstate, "57014") == 0) {
		job_fail(job, 504,
		    "the search took too long; give a shorter range of time "
		    "(since, until)");
	} else if (strcmp(end->sqlstate, "42P01") == 0) {
		job_fail(job, 503, "the database is not set up yet");
	} else {
		if (log_limit(&limit, 1))
			log_error("query.failed",
			    "method=%s sqlstate=%s reason=%s",
			    job->method->name, end->sqlstate, end->message);
		job_fail(job, 500, "the database refused the search");
	}
}

/* --------------------------------------------------------- for the methods */

const char *
job_str(const struct job *job, const char *key)
{
	return json_string_value(json_object_get(job->args, key));
}

struct arena *
job_arena(const struct job *job)
{
	return &job->query->arena;
}

struct bytes
job_bytes(const PGresult *res, int row, int col)
{
	struct bytes b;

	b.p = pg_bytes(res, row, col, &b.len);
	return b;
}

bool
job_message(struct timeline_message *m, const PGresult *res, int row)
{
	struct bytes id = job_bytes(res, row, JOB_COL_ID);

	if (id.len != UUID_LEN)
		return false;
	memcpy(m->id, id.p, UUID_LEN);
	m->seq = (uint64_t)pg_int8(res, row, JOB_COL_SEQ);
	m->expires_at = (uint64_t)pg_int8(res, row, JOB_COL_EXPIRES_AT);
	m->parts = (unsigned)pg_int4(res, row, JOB_COL_PARTS);
	m->kind = (unsigned)pg_int4(res, row, JOB_COL_KIND);
	m->class = (unsigned)pg_int4(res, row, JOB_COL_CLASS);
	m->account = job_bytes(res, row, JOB_COL_ACCOUNT);
	m->to = job_bytes(res, row, JOB_COL_DST);
	m->from = job_bytes(res, row, JOB_COL_SRC);
	m->client_ref = job_bytes(res, row, JOB_COL_CLIENT_REF);
	m->rec = job_bytes(res, row, JOB_COL_REC);
	m->envelope = job_bytes(res, row, JOB_COL_ENVELOPE);
	m->body = job_bytes(res, row, JOB_COL_BODY);
	return true;
}

/* ------------------------------------------------------------------- calling */

static const struct job_method *const query_methods[] = { &search_find,
	&search_orphans, &history_show, &history_get, &history_trace,
	&claim_method };

static void
job_run(struct job *job, struct pg *pg)
{
	pg_begin(
	    pg, QUERY_RUN_MS + 1000, job->method->rows, query_done_cb, job);
	job->method->run(job, pg);
	pg_commit(pg);
}

/* The partition of today is there, or another session was faster. */
static void
query_made_cb(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct job *job = arg;

	if (end->outcome != PG_LOST && pg_is_up(pg) && !job->query->closing) {
		job_run(job, pg);
		return;
	}
	job_fail(job, 503, "the database cannot be asked now");
	job->query->claims--;
	job_end(job);
}

static void
query_make_partition(struct job *job, struct pg *pg)
{
	uint32_t day = (uint32_t)(clock_wall_ms() / DAY_MS);
	char sql[512];

	job->again = true;
	pg_begin(pg, QUERY_RUN_MS, NULL, query_made_cb, job);
	for (unsigned step = 0; step < PARTITION_STEPS; step++) {
		partition_make_sql(PARTITION_IDEM, day, step, sql, sizeof(sql));
		pg_run(pg, sql, NULL, false);
	}
	pg_commit(pg);
}

static void
query_done_cb(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct job *job = arg;
	struct query *q = job->query;
	bool claim = job->method->claim;

	/* 23514: no partition takes the row.  Upkeep makes the days ahead, but
	 * the very first claim may be faster. */
	if (claim && !job->again && end->outcome == PG_ERROR &&
	    strcmp(end->sqlstate, "23514") == 0 && pg_is_up(pg)) {
		query_make_partition(job, pg);
		return;
	}
	if (end->outcome != PG_OK)
		job_pg_error(job, end);
	else if (end->warned && claim)
		job_fail(job, 503, "the claim may not have reached a standby");
	else
		job->method->finish(job);
	job_end(job);
	if (claim) {
		q->claims--;
		return;
	}
	q->busy = false;
	query_next(q);
}

static void
query_next(struct query *q)
{
	struct job *job;

	while (!q->busy && !q->closing &&
	    (job = TAILQ_FIRST(&q->waiting)) != NULL) {
		TAILQ_REMOVE(&q->waiting, job, link);
		q->waiting_count--;
		if (!pg_is_up(q->search)) {
			job_fail(job, 503, "the database cannot be asked now");
			job_end(job);
		} else if (clock_mono_ms() - job->since > QUERY_WAIT_MS) {
			job_fail(job, 504, "too many searches are waiting");
			job_end(job);
		} else {
			q->busy = true;
			job_run(job, q->search);
		}
	}
}

/* NULL: answered with what is wrong. */
static struct job *
job_new(struct query *q, uint64_t correlation, const Hopyard__V1__Call *call,
    const struct job_method *m)
{
	struct job *job = xcalloc(1, sizeof(*job));
	const char *why = NULL;
	json_error_t err;

	job->query = q;
	job->method = m;
	job->correlation = correlation;
	job->since = clock_mono_ms();
	buf_init(&job->out);
	json_init(&job->json, &job->out);
	if (call->has_account)
		job->account = xstrndup(
		    (const char *)call->account.data, call->account.len);
	job->args = json_loadb(
	    call->body.len > 0 ? (const char *)call->body.data : "{}",
	    call->body.len > 0 ? call->body.len : 2, JSON_REJECT_DUPLICATES,
	    &err);
	if (m->control && job->account != NULL)
		job_fail(job, 403, "this is for operators only");
	else if (!json_is_object(job->args))
		job_fail(job, 400, "the arguments are not a JSON object");
	else if ((why = m->read(job)) != NULL)
		job_fail(job, 400, why);
	if (job->code != 0) {
		job_end(job);
		return NULL;
	}
	job->text = job->account == NULL &&
	    json_is_true(json_object_get(job->args, "text"));
	return job;
}

void
query_call(struct query *q, uint64_t correlation, const Hopyard__V1__Call *call)
{
	const struct job_method *m = NULL;
	struct job *job;
	char text[160];

	for (size_t i = 0; i < ARRAY_LEN(query_methods); i++) {
		if (strcmp(query_methods[i]->name, call->method) == 0)
			m = query_methods[i];
	}
	if (m == NULL) {
		snprintf(text, sizeof(text),
		    "the store has no method \"%.80s\"", call->method);
		box_reply(
		    q->store->box, correlation, 404, text, NULL, 0, false);
		return;
	}
	if ((job = job_new(q, correlation, call, m)) == NULL)
		return;
	if (!pg_is_up(m->claim ? q->claim : q->search)) {
		job_fail(job, 503, "the database cannot be asked now");
		job_end(job);
	} else if (m->claim && q->claims >= QUERY_CLAIMS) {
		job_fail(job, 503, "too many claims are on their way");
		job_end(job);
	} else if (m->claim) {
		q->claims++;
		job_run(job, q->claim);
	} else if (q->waiting_count >= QUERY_WAITING) {
		job_fail(job, 503, "too many searches are waiting");
		job_end(job);
	} else {
		TAILQ_INSERT_TAIL(&q->waiting, job, link);
		q->waiting_count++;
		query_next(q);
	}
}

static void
query_pg_up(struct pg *pg, void *arg)
{
	(void)pg;
	(void)arg;
}

/* What waits is answered at once; what ran was. */
static void
query_pg_down(struct pg *pg, const char *why, void *arg)
{
	struct query *q = arg;

	(void)why;
	if (pg == q->search)
		query_next(q);
}

static const struct pg_ops query_pg_ops = {
	.up = query_pg_up,
	.down = query_pg_down,
};

struct query *
query_new(struct store *s)
{
	struct query *q = xcalloc(1, sizeof(*q));
	char options[512];

	q->store = s;
	TAILQ_INIT(&q->waiting);
	q->memory = xmalloc(QUERY_ARENA);
	arena_init(&q->arena, q->memory, QUERY_ARENA);
	stat_register(&stat_calls);
	stat_register(&stat_refused);
	store_session_options(s, options, sizeof(options), QUERY_OPTIONS);
	q->search = pg_new(
	    s->loop, s->set.dsn, "hop-store search", options, &query_pg_ops, q);
	q->claim = pg_new(
	    s->loop, s->set.dsn, "hop-store claim", options, &query_pg_ops, q);
	return q;
}

void
query_follow(struct query *q, const struct pg *leader)
{
	pg_follow(q->search, leader);
	pg_follow(q->claim, leader);
}

void
query_close(struct query *q)
{
	struct job *job;

	q->closing = true;
	while ((job = TAILQ_FIRST(&q->waiting)) != NULL) {
		TAILQ_REMOVE(&q->waiting, job, link);
		job_end(job);
	}
	/* The ends of all units come from here; no callback after it. */
	pg_close(q->search);
	pg_close(q->claim);
	free(q->memory);
	free(q);
}
