/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/query.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/dump.h"
#include "boxes/store/partition.h"
#include "boxes/store/pg.h"
#include "boxes/store/store.h"
#include "boxes/store/timeline.h"
#include "common/box.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/stats.h"
#include "common/uuid.h"
#include "common/xalloc.h"

#define QUERY_WAITING   64
#define QUERY_CLAIMS    4096
#define QUERY_RUN_MS    5000         /* statement_timeout */
#define QUERY_WAIT_MS   8000         /* the asker gives up after 10 s */
#define QUERY_ANSWER    (200 * 1024) /* one frame holds 256 KiB */
#define QUERY_ARENA     (1024 * 1024)
#define QUERY_DAYS      7
#define QUERY_LIMIT     50
#define QUERY_LIMIT_MAX 1000
#define QUERY_SCAN      5000 /* rows looked at for one page of a state */
#define QUERY_IDEM_MS   DAY_MS
#define QUERY_IDS       1000
/* A front end's clock may be ahead of the bus's by so much. */
#define QUERY_SKEW_MS (5 * 60 * 1000)

/*
 * Open partitions have no statistics, and the planner would read all of them
 * and sort: keep it to walking the indexes, in their order, until the limit is
 * reached (600,000 rows, newest 50: 4 ms against 2 s).
 */
#define QUERY_OPTIONS                                                          \
	"-c statement_timeout=5000 -c enable_seqscan=off"                      \
	" -c enable_bitmapscan=off -c enable_sort=off"                         \
	" -c enable_hashjoin=off -c enable_mergejoin=off"

struct query_job;

struct query_method {
	const char *name;
	bool control; /* not for front ends */
	bool claim;   /* on the session for claims */
	/* Checks the arguments; NULL, or what is wrong with them. */
	const char *(*read)(struct query_job *);
	void (*run)(struct query_job *, struct pg *);
	pg_rows_cb *rows;
	/* All rows are in: put the answer together. */
	void (*finish)(struct query_job *);
};

struct query_job {
	TAILQ_ENTRY(query_job) link;
	struct query *query;
	const struct query_method *method;
	uint64_t correlation;
	uint64_t since; /* mono ms */
	json_t *args;
	char *account; /* limit of the asker, or NULL */
	bool text;
	/* what was asked for */
	uint8_t id[UUID_LEN];
	uint8_t from_id[UUID_LEN], to_id[UUID_LEN];
	uint64_t from_ms, to_ms;
	unsigned limit, scan;
	uint32_t states;
	char *ids; /* of a claim */
	/* the answer */
	unsigned code;
	const char *error;
	struct buf out;
	struct json json;
	PGresult *message; /* copies of results, for finish */
	PGresult *events;
	bool again; /* a claim for which a partition had to be made */
};

TAILQ_HEAD(query_jobs, query_job);

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
job_free(struct query_job *job)
{
	json_decref(job->args);
	buf_fini(&job->out);
	PQclear(job->message);
	PQclear(job->events);
	free(job->account);
	free(job->ids);
	free(job);
}

static void
job_fail(struct query_job *job, unsigned code, const char *error)
{
	job->code = code;
	job->error = error;
}

/* Answers and frees. */
static void
job_end(struct query_job *job)
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
job_pg_error(struct query_job *job, const struct pg_end *end)
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

/* ---------------------------------------------------------------- arguments */

static const char *
arg_str(const struct query_job *job, const char *key)
{
	return json_string_value(json_object_get(job->args, key));
}

static const char *
read_id(struct query_job *job)
{
	const char *id = arg_str(job, "id");

	if (id == NULL || !uuid_parse(id, strlen(id), job->id))
		return "\"id\" is not a message id";
	return NULL;
}

/* The lowest id of a millisecond. */
static void
id_of_time(uint64_t ms, uint8_t id[UUID_LEN])
{
	memset(id, 0, UUID_LEN);
	for (int i = 0; i < 6; i++)
		id[i] = (uint8_t)(ms >> (40 - 8 * i));
}

/* A time, or how long ago: "2026-11-22T19:18:00Z", "1h". */
static bool
read_time(const struct query_job *job, const char *key, uint64_t *ms)
{
	const json_t *v = json_object_get(job->args, key);
	const char *s = json_string_value(v);
	uint64_t now = clock_wall_ms(), ago;

	if (v == NULL)
		return true;
	if (json_is_integer(v) && json_integer_value(v) >= 0) {
		*ms = (uint64_t)json_integer_value(v);
		return *ms < UINT64_C(1) << 48;
	}
	if (s == NULL)
		return false;
	if (clock_parse(s, strlen(s), ms) == 0)
		return true;
	if (clock_parse_duration(s, &ago) != 0 || ago > now)
		return false;
	*ms = now - ago;
	return true;
}

static const char *
read_range(struct query_job *job)
{
	job->to_ms = clock_wall_ms() + QUERY_SKEW_MS;
	job->from_ms = 0;
	if (!read_time(job, "until", &job->to_ms))
		return "\"until\" is not a time as 2026-11-22T19:18:00Z or 1h";
	if (!read_time(job, "since", &job->from_ms))
		return "\"since\" is not a time as 2026-11-22T19:18:00Z or 1h";
	if (job->from_ms == 0)
		job->from_ms = job->to_ms - QUERY_DAYS * DAY_MS;
	if (job->from_ms >= job->to_ms)
		return "\"since\" is not before \"until\"";
	id_of_time(job->from_ms, job->from_id);
	id_of_time(job->to_ms, job->to_id);
	return NULL;
}

static const char *
read_limit(struct query_job *job)
{
	const json_t *v = json_object_get(job->args, "limit");

	job->limit = QUERY_LIMIT;
	if (v == NULL)
		return NULL;
	if (!json_is_integer(v) || json_integer_value(v) < 1 ||
	    json_integer_value(v) > QUERY_LIMIT_MAX)
		return "\"limit\" is a number from 1 to 1000";
	job->limit = (unsigned)json_integer_value(v);
	return NULL;
}

/* "delivered" or "sent,buffered" */
static const char *
read_states(struct query_job *job)
{
	const char *s = arg_str(job, "state");
	uint32_t set;

	for (; s != NULL && *s != '\0'; s += *s == ',') {
		size_t n = strcspn(s, ",");

		set = timeline_states(s, n);
		if (set == 0)
			return "\"state\" is not one of accepted, scheduled, "
			       "queued, sending, sent, buffered, delivered, "
			       "undelivered, expired, rejected, canceled, "
			       "unknown, failed";
		job->states |= set;
		s += n;
	}
	return NULL;
}

static const char *
read_find(struct query_job *job)
{
	static const char *const texts[] = { "to", "from", "state",
		"client_ref", "account", "kind", "cursor" };
	const char *cursor, *kind, *why;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const json_t *v = json_object_get(job->args, texts[i]);

		if (v != NULL && !json_is_string(v))
			return "to, from, state, client_ref, account, kind and "
			       "cursor are texts";
	}
	if ((why = read_range(job)) != NULL ||
	    (why = read_limit(job)) != NULL || (why = read_states(job)) != NULL)
		return why;
	kind = arg_str(job, "kind");
	if (kind != NULL && strcmp(kind, "mt") != 0 && strcmp(kind, "mo") != 0)
		return "\"kind\" is mt or mo";
	cursor = arg_str(job, "cursor");
	if (cursor != NULL && !uuid_parse(cursor, strlen(cursor), job->to_id))
		return "\"cursor\" is not one that a search gave";
	/* One more than fits tells whether there are more. */
	job->scan = job->states != 0 ? QUERY_SCAN : job->limit + 1;
	return NULL;
}

static const char *
read_orphans(struct query_job *job)
{
	const char *why = read_range(job);

	return why != NULL ? why : read_limit(job);
}

/* ------------------------------------------------------------------- columns */

/* The class that counts is the queue's: a route may have changed it. */
#define HEAD_COLUMNS                                                           \
	"m.id, m.seq, m.expires_at, m.parts, m.kind,"                          \
	" coalesce((SELECT c.class FROM queue c WHERE c.queue = m.queue),"     \
	" m.class::int), m.account, m.dst, m.src, m.client_ref, m.rec"
#define MESSAGE_COLUMNS HEAD_COLUMNS ", m.envelope, m.body"

enum {
	COL_ID,
	COL_SEQ,
	COL_EXPIRES_AT,
	COL_PARTS,
	COL_KIND,
	COL_CLASS,
	COL_ACCOUNT,
	COL_DST,
	COL_SRC,
	COL_CLIENT_REF,
	COL_REC,
	COL_ENVELOPE,
	COL_BODY,
	COL_QUEUE, /* show: its name; find: the events */
};

#define EVENT_COLUMNS                                                          \
	"seq, at, ref, key, type, state, part, queue, closes,"                 \
	" rec, body"

enum {
	EV_SEQ,
	EV_AT,
	EV_REF,
	EV_KEY,
	EV_TYPE,
	EV_STATE,
	EV_PART,
	EV_QUEUE,
	EV_CLOSES,
	EV_REC,
	EV_BODY,
	EV_EPOCH, /* trace */
};

static struct bytes
col_bytes(const PGresult *res, int row, int col)
{
	struct bytes b;

	b.p = pg_bytes(res, row, col, &b.len);
	return b;
}

static bool
read_message(struct timeline_message *m, const PGresult *res, int row)
{
	struct bytes id = col_bytes(res, row, COL_ID);

	if (id.len != UUID_LEN)
		return false;
	memcpy(m->id, id.p, UUID_LEN);
	m->seq = (uint64_t)pg_int8(res, row, COL_SEQ);
	m->expires_at = (uint64_t)pg_int8(res, row, COL_EXPIRES_AT);
	m->parts = (unsigned)pg_int4(res, row, COL_PARTS);
	m->kind = (unsigned)pg_int4(res, row, COL_KIND);
	m->class = (unsigned)pg_int4(res, row, COL_CLASS);
	m->account = col_bytes(res, row, COL_ACCOUNT);
	m->to = col_bytes(res, row, COL_DST);
	m->from = col_bytes(res, row, COL_SRC);
	m->client_ref = col_bytes(res, row, COL_CLIENT_REF);
	m->rec = col_bytes(res, row, COL_REC);
	m->envelope = col_bytes(res, row, COL_ENVELOPE);
	m->body = col_bytes(res, row, COL_BODY);
	return true;
}

/* The caller frees what is returned. */
static struct timeline_event *
read_events(const PGresult *res, size_t *count)
{
	int n = res != NULL ? PQntuples(res) : 0;
	struct timeline_event *list = xcalloc((size_t)n + 1, sizeof(*list));

	for (int i = 0; i < n; i++) {
		struct timeline_event *e = &list[i];

		e->seq = (uint64_t)pg_int8(res, i, EV_SEQ);
		e->at = (uint64_t)pg_int8(res, i, EV_AT);
		e->ref = (uint64_t)pg_int8(res, i, EV_REF);
		e->type = (unsigned)pg_int4(res, i, EV_TYPE);
		e->state = (unsigned)pg_int4(res, i, EV_STATE);
		e->part = (unsigned)pg_int4(res, i, EV_PART);
		e->rec = col_bytes(res, i, EV_REC);
		e->body = col_bytes(res, i, EV_BODY);
	}
	*count = (size_t)n;
	return list;
}

/* ------------------------------------------------------- one message, whole */

/*
 * Its own events, and those of the reports that some of them are.  There is
 * no index by id: everything hangs on the number of the item.
 */
#define EVENTS_OF(more)                                                        \
	"WITH e AS MATERIALIZED (SELECT " EVENT_COLUMNS " FROM event"          \
	" WHERE ref = (SELECT m.seq FROM message m WHERE m.id = $1::uuid"      \
	" AND ($2::text IS NULL OR m.account = $2)) AND at >= $3::bigint" more \
	" ORDER BY seq, at LIMIT 1000)"                                        \
	" SELECT * FROM e UNION ALL (SELECT " EVENT_COLUMNS " FROM event d"    \
	" WHERE d.ref = ANY (ARRAY(SELECT seq FROM e WHERE queue IS NOT NULL"  \
	")) AND d.at >= $3::bigint" more " LIMIT 1000)"

static void
one_params(const struct query_job *job, struct pg_params *p)
{
	uint64_t made = uuid_time_ms(job->id);

	pg_param_bytes(p, job->id, UUID_LEN);
	pg_param_text(p, job->account);
	pg_param_int(
	    p, made > QUERY_SKEW_MS ? (int64_t)(made - QUERY_SKEW_MS) : 0);
}

#define MESSAGE_OF                                                             \
	"SELECT " MESSAGE_COLUMNS ", q.target || '/' || (ARRAY['otp',"         \
	"'alert', 'txn', 'bulk'])[q.class] || '/' || q.account"                \
	" FROM message m LEFT JOIN queue q ON q.queue = m.queue"               \
	" WHERE m.id = $1::uuid AND ($2::text IS NULL OR m.account = $2)"      \
	" AND $3::bigint IS NOT NULL"

static void
show_run(struct query_job *job, struct pg *pg)
{
	struct pg_params p = { .count = 0 };

	one_params(job, &p);
	pg_run(pg, MESSAGE_OF, &p, true);
	pg_run(pg,
	    "SELECT * FROM (" EVENTS_OF(
		" AND type::int <> 64") ") x"
					" ORDER BY seq, at LIMIT 1000",
	    &p, true);
}

static void
trace_run(struct query_job *job, struct pg *pg)
{
	struct pg_params p = { .count = 0 };

	one_params(job, &p);
	pg_run(pg, MESSAGE_OF, &p, true);
	pg_run(pg,
	    "SELECT x.*, (SELECT b.epoch FROM batch b WHERE b.last_seq >= x.seq"
	    " ORDER BY b.last_seq LIMIT 1) FROM (" EVENTS_OF(
		"") ") x"
		    " ORDER BY x.seq, x.at LIMIT 1000",
	    &p, true);
}

static void
one_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct query_job *job = arg;
	PGresult **copy = index == 0 ? &job->message : &job->events;

	(void)pg;
	*copy = PQcopyResult(
	    res, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES | PG_COPYRES_NOTICEHOOKS);
	if (*copy == NULL)
		fatal("query.memory", "method=%s", job->method->name);
}

static bool
job_found(struct query_job *job, struct timeline_message *m)
{
	if (job->message != NULL && PQntuples(job->message) > 0 &&
	    read_message(m, job->message, 0)) {
		m->queue = col_bytes(job->message, 0, COL_QUEUE);
		return true;
	}
	job_fail(job, 404, "no such message");
	return false;
}

static void
show_finish(struct query_job *job)
{
	struct timeline t = { .json = &job->json,
		.arena = &job->query->arena,
		.control = job->account == NULL,
		.text = job->text,
		.max = QUERY_ANSWER };
	struct timeline_event *list;

	if (!job_found(job, &t.message))
		return;
	list = read_events(job->events, &t.count);
	t.event = list;
	timeline_tell(&t);
	buf_addc(&job->out, '\n');
	free(list);
}

/* --------------------------------------------------------------------- trace */

static void
trace_bytes(struct query_job *job, const char *key,
    const ProtobufCMessageDescriptor *d, struct bytes b)
{
	struct json *j = &job->json;
	const ProtobufCMessage *m;

	if (b.p == NULL)
		return;
	m = frame_unpack(&job->query->arena, d, b.p, b.len);
	if (m != NULL)
		dump_message(j, key, m, job->text);
	else
		json_hex(j, key, b.p, b.len);
}

/* A Record without the Result inside it, which follows in plain. */
static void
trace_record(struct query_job *job, struct bytes b)
{
	Hopyard__V1__Record *rec;
	struct bytes result;

	arena_reset(&job->query->arena);
	if (b.p == NULL)
		return;
	rec = frame_unpack(
	    &job->query->arena, &hopyard__v1__record__descriptor, b.p, b.len);
	if (rec == NULL) {
		json_hex(&job->json, "record", b.p, b.len);
		return;
	}
	result = (struct bytes){ rec->has_result ? rec->result.data : NULL,
		rec->result.len };
	rec->has_result = false;
	dump_message(&job->json, "record", &rec->base, job->text);
	trace_bytes(job, "result", &hopyard__v1__result__descriptor, result);
}

static void
trace_event(struct query_job *job, const PGresult *res, int i)
{
	struct json *j = &job->json;
	int type = pg_int4(res, i, EV_TYPE);
	const ProtobufCEnumValue *name = protobuf_c_enum_descriptor_get_value(
	    &hopyard__v1__record__event__descriptor, type);

	json_open_object(j, NULL);
	json_uint(j, "seq", (uint64_t)pg_int8(res, i, EV_SEQ));
	if (!PQgetisnull(res, i, EV_EPOCH))
		json_uint(j, "epoch", (uint64_t)pg_int8(res, i, EV_EPOCH));
	json_time(j, "at", (uint64_t)pg_int8(res, i, EV_AT));
	json_uint(j, "ref", (uint64_t)pg_int8(res, i, EV_REF));
	json_str(j, "event", name != NULL ? name->name : "PART");
	json_str(
	    j, "status", timeline_word((unsigned)pg_int4(res, i, EV_STATE)));
	if (!PQgetisnull(res, i, EV_PART))
		json_int(j, "part", pg_int4(res, i, EV_PART));
	if (!PQgetisnull(res, i, EV_KEY))
		json_printf(
		    j, "key", "%016" PRIx64, (uint64_t)pg_int8(res, i, EV_KEY));
	if (!PQgetisnull(res, i, EV_QUEUE))
		json_int(j, "queue", pg_int4(res, i, EV_QUEUE));
	json_bool(j, "closes", pg_int4(res, i, EV_CLOSES) != 0);
	trace_record(job, col_bytes(res, i, EV_REC));
	arena_reset(&job->query->arena);
	trace_bytes(job, "notice", &hopyard__v1__notice__descriptor,
	    col_bytes(res, i, EV_BODY));
	json_close_object(j);
}

static void
trace_finish(struct query_job *job)
{
	struct timeline_message m;
	struct json *j = &job->json;
	int n, i;

	if (!job_found(job, &m))
		return;
	json_open_object(j, NULL);
	json_uuid(j, "id", m.id);
	json_uint(j, "seq", m.seq);
	if (m.queue.p != NULL)
		json_text(j, "queue", m.queue.p, m.queue.len);
	json_open_object(j, "message");
	trace_record(job, m.rec);
	arena_reset(&job->query->arena);
	trace_bytes(
	    job, "envelope", &hopyard__v1__envelope__descriptor, m.envelope);
	if (job->text) {
		arena_reset(&job->query->arena);
		trace_bytes(
		    job, "content", &hopyard__v1__content__descriptor, m.body);
	}
	json_close_object(j);
	json_open_array(j, "records");
	n = job->events != NULL ? PQntuples(job->events) : 0;
	for (i = 0; i < n && buf_len(&job->out) < QUERY_ANSWER; i++)
		trace_event(job, job->events, i);
	json_close_array(j);
	if (i < n)
		json_bool(j, "truncated", true);
	json_close_object(j);
	buf_addc(&job->out, '\n');
}

/* ---------------------------------------------------------------------- find */

/* " AND dst = $4"; "49*" matches what begins so. */
static void
find_where(const struct query_job *job, struct buf *sql, struct pg_params *p,
    const char *key, const char *column)
{
	const char *value = arg_str(job, key);
	size_t len = value != NULL ? strlen(value) : 0;

	if (value == NULL)
		return;
	if (value[0] == '+' && len > 1) {
		value++;
		len--;
	}
	if (len > 0 && value[len - 1] == '*')
		buf_printf(sql, " AND starts_with(m.%s, left($%d::text, -1))",
		    column, p->count + 1);
	else
		buf_printf(sql, " AND m.%s = $%d::text", column, p->count + 1);
	pg_param_text(p, value);
}

static void
find_run(struct query_job *job, struct pg *pg)
{
	struct pg_params p = { .count = 0 };
	const char *kind = arg_str(job, "kind");
	struct buf sql;

	buf_init(&sql);
	pg_param_bytes(&p, job->from_id, UUID_LEN);
	pg_param_bytes(&p, job->to_id, UUID_LEN);
	pg_param_int(&p, job->scan);
	/*
	 * The events of one message lie in the partitions from its day on: the
	 * time in its id leaves the others out.
	 */
	buf_addstr(&sql,
	    "SELECT m.*, (SELECT string_agg(e.type::int || ',' || e.state::int"
	    " || ',' || (e.rec IS NOT NULL)::int, ' ' ORDER BY e.seq, e.at)"
	    " FROM event e WHERE e.ref = m.seq AND e.type::int <> 64 AND e.at >="
	    " ('x' || left(translate(m.id::text, '-', ''), 12))::bit(48)::bigint"
	    " - 300000) FROM (SELECT " HEAD_COLUMNS);
	buf_addstr(&sql,
	    job->text ? ", NULL::bytea, m.body" : ", NULL::bytea, NULL::bytea");
	buf_addstr(&sql,
	    " FROM message m"
	    " WHERE m.id >= $1::uuid AND m.id < $2::uuid");
	find_where(job, &sql, &p, "to", "dst");
	find_where(job, &sql, &p, "from", "src");
	if (arg_str(job, "client_ref") != NULL) {
		buf_printf(&sql, " AND m.client_ref = $%d::text", p.count + 1);
		pg_param_text(&p, arg_str(job, "client_ref"));
	}
	/* A front end's account comes first, whatever else was asked for. */
	if (job->account != NULL || arg_str(job, "account") != NULL) {
		buf_printf(&sql, " AND m.account = $%d::text", p.count + 1);
		pg_param_text(&p,
		    job->account != NULL ? job->account
					 : arg_str(job, "account"));
	}
	if (kind != NULL)
		buf_addstr(&sql,
		    strcmp(kind, "mt") == 0 ? " AND m.kind::int = 1"
					    : " AND m.kind::int = 2");
	buf_addstr(&sql,
	    " ORDER BY m.id DESC LIMIT $3::int) m"
	    " ORDER BY m.id DESC");
	pg_run(pg, buf_str(&sql), &p, true);
	buf_fini(&sql);
}

/* "1,0,1 2,5,1": type, state, from the bus. */
static void
find_state(struct timeline_state *s, const struct query_job *job,
    const PGresult *res, int row, struct bytes rec_bytes)
{
	const Hopyard__V1__Record *rec;
	char *list = PQgetisnull(res, row, COL_QUEUE)
	    ? NULL
	    : PQgetvalue(res, row, COL_QUEUE);

	memset(s, 0, sizeof(*s));
	arena_reset(&job->query->arena);
	rec = frame_unpack(&job->query->arena, &hopyard__v1__record__descriptor,
	    rec_bytes.p, rec_bytes.len);
	s->state = HOPYARD__V1__STATE__QUEUED;
	if (rec != NULL && rec->has_due_at && rec->due_at != 0)
		s->state = HOPYARD__V1__STATE__SCHEDULED;
	else if (rec != NULL && (!rec->has_queue || rec->queue == 0))
		s->state = HOPYARD__V1__STATE__ACCEPTED;
	while (list != NULL && *list != '\0') {
		unsigned long type = strtoul(list, &list, 10);
		unsigned long state = strtoul(list + (*list == ','), &list, 10);
		unsigned long bus = strtoul(list + (*list == ','), &list, 10);

		timeline_fold(s, (unsigned)type, (unsigned)state, bus != 0);
		list += strspn(list, " ");
	}
}

static void
find_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct query_job *job = arg;
	struct timeline t = { .json = &job->json,
		.arena = &job->query->arena,
		.control = job->account == NULL,
		.text = job->text };
	struct timeline_state s;
	struct json *j = &job->json;
	char next[UUID_TEXT_LEN];
	uint8_t last[UUID_LEN];
	unsigned shown = 0;
	bool more = false;
	int i, n = PQntuples(res);

	(void)pg;
	(void)index;
	memset(last, 0, sizeof(last));
	json_open_object(j, NULL);
	json_open_array(j, "messages");
	for (i = 0; i < n; i++) {
		if (!read_message(&t.message, res, i))
			continue;
		if (shown == job->limit || buf_len(&job->out) > QUERY_ANSWER) {
			more = true;
			break;
		}
		memcpy(last, t.message.id, sizeof(last));
		find_state(&s, job, res, i, t.message.rec);
		if (job->states != 0 &&
		    (job->states & UINT32_C(1) << (s.state & 31)) == 0)
			continue;
		json_open_object(j, NULL);
		timeline_head(&t, &s);
		json_time(j, "accepted_at", uuid_time_ms(t.message.id));
		if (t.text)
			timeline_content(&t);
		json_close_object(j);
		shown++;
	}
	json_close_array(j);
	/* The look through states ends before the range does. */
	more |= job->states != 0 && n > 0 && (unsigned)n == job->scan;
	if (more)
		json_str(j, "next", uuid_format(last, next));
	else
		json_none(j, "next");
	json_time(j, "since", job->from_ms);
	json_time(j, "until", job->to_ms);
	json_close_object(j);
	buf_addc(&job->out, '\n');
}

static void
nothing_more(struct query_job *job)
{
	assert(buf_len(&job->out) > 0);
}

/* ------------------------------------------------------------------- orphans */

static void
orphans_run(struct query_job *job, struct pg *pg)
{
	struct pg_params p = { .count = 0 };

	pg_param_int(&p, (int64_t)job->from_ms);
	pg_param_int(&p, (int64_t)job->to_ms);
	pg_param_int(&p, job->limit);
	pg_run(pg,
	    "SELECT o.at, o.seq, o.link, o.body FROM orphan o"
	    " WHERE o.at >= $1::bigint AND o.at < $2::bigint AND NOT EXISTS"
	    " (SELECT FROM orphan_done d WHERE d.seq = o.seq"
	    " AND d.at >= $1::bigint) ORDER BY o.at DESC LIMIT $3::int",
	    &p, true);
}

static void
orphans_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct query_job *job = arg;
	struct json *j = &job->json;
	int n = PQntuples(res);

	(void)pg;
	(void)index;
	json_open_object(j, NULL);
	json_open_array(j, "receipts");
	for (int i = 0; i < n && buf_len(&job->out) < QUERY_ANSWER; i++) {
		struct bytes link = col_bytes(res, i, 2);
		const Hopyard__V1__Notice *notice;

		arena_reset(&job->query->arena);
		notice = frame_unpack(&job->query->arena,
		    &hopyard__v1__notice__descriptor, col_bytes(res, i, 3).p,
		    col_bytes(res, i, 3).len);
		json_open_object(j, NULL);
		json_time(j, "at", (uint64_t)pg_int8(res, i, 0));
		json_uint(j, "seq", (uint64_t)pg_int8(res, i, 1));
		json_text(j, "link", link.p, link.len);
		if (notice != NULL) {
			json_str(j, "status", timeline_word(notice->state));
			json_text(j, "smsc_id", notice->smsc_id.data,
			    notice->smsc_id.len);
			if (notice->error.len > 0)
				json_text(j, "error", notice->error.data,
				    notice->error.len);
		}
		json_close_object(j);
	}
	json_close_array(j);
	json_time(j, "since", job->from_ms);
	json_time(j, "until", job->to_ms);
	json_close_object(j);
}

/* -------------------------------------------------------------------- claims */

static const char *
read_claim(struct query_job *job)
{
	const json_t *ids = json_object_get(job->args, "ids");
	const char *account = arg_str(job, "account");
	struct buf list;

	if (account == NULL || arg_str(job, "key") == NULL ||
	    arg_str(job, "fingerprint") == NULL)
		return "a claim needs account, key and fingerprint";
	if (job->account != NULL && strcmp(job->account, account) != 0)
		return "the account is another one than the caller's";
	if (!json_is_array(ids) || json_array_size(ids) == 0 ||
	    json_array_size(ids) > QUERY_IDS)
		return "\"ids\" is a list of 1 to 1000 message ids";
	buf_init(&list);
	for (size_t i = 0; i < json_array_size(ids); i++) {
		const char *id = json_string_value(json_array_get(ids, i));
		char plain[UUID_TEXT_LEN];

		if (id == NULL || !uuid_parse(id, strlen(id), job->id)) {
			buf_fini(&list);
			return "\"ids\" holds what is no message id";
		}
		buf_printf(&list, "%s%s", i > 0 ? "," : "",
		    uuid_format(job->id, plain));
	}
	job->ids = xstrdup(buf_str(&list));
	buf_fini(&list);
	return NULL;
}

/*
 * All in one transaction: one claim of a key at a time, whoever asks, then
 * insert if nobody did, then look who it was.  Each statement sees what was
 * committed before it, so the lock makes the second one see the first.
 */
static void
claim_run(struct query_job *job, struct pg *pg)
{
	struct pg_params p = { .count = 0 }, lock = { .count = 0 };
	uint64_t now = clock_wall_ms();

	pg_param_text(&lock, arg_str(job, "account"));
	pg_param_text(&lock, arg_str(job, "key"));
	pg_run(pg,
	    "SELECT pg_advisory_xact_lock("
	    "hashtextextended($1::text || chr(1) || $2::text, 7286353))",
	    &lock, false);
	pg_param_text(&p, arg_str(job, "account"));
	pg_param_text(&p, arg_str(job, "key"));
	pg_param_int(&p, (int64_t)(now - QUERY_IDEM_MS));
	pg_param_int(&p, (int64_t)now);
	pg_param_text(&p, arg_str(job, "fingerprint"));
	pg_param_text(&p, job->ids);
	pg_run(pg,
	    "INSERT INTO idem (at, account, key, fingerprint, ids)"
	    " SELECT $4::bigint, $1::text, $2::text, $5::text, $6::text"
	    " WHERE NOT EXISTS (SELECT FROM idem WHERE account = $1::text"
	    " AND key = $2::text AND at >= $3::bigint)",
	    &p, false);
	p.count = 3;
	pg_run(pg,
	    "SELECT fingerprint, ids FROM idem WHERE account = $1::text"
	    " AND key = $2::text AND at >= $3::bigint ORDER BY at LIMIT 1",
	    &p, false);
}

static void
claim_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct query_job *job = arg;
	struct json *j = &job->json;
	const char *print, *ids;

	(void)pg;
	if (index != 2 || PQntuples(res) == 0)
		return;
	print = PQgetvalue(res, 0, 0);
	ids = PQgetvalue(res, 0, 1);
	json_open_object(j, NULL);
	if (strcmp(ids, job->ids) == 0 &&
	    strcmp(print, arg_str(job, "fingerprint")) == 0) {
		/* Ours: new, or one whose answer was lost. */
		json_bool(j, "claimed", true);
		json_close_object(j);
		return;
	}
	json_bool(j, "claimed", false);
	json_str(j, "fingerprint", print);
	json_open_array(j, "ids");
	while (*ids != '\0') {
		size_t n = strcspn(ids, ",");

		json_text(j, NULL, ids, n);
		ids += n + (ids[n] == ',');
	}
	json_close_array(j);
	json_close_object(j);
}

static void
claim_finish(struct query_job *job)
{
	if (buf_len(&job->out) == 0)
		job_fail(job, 500, "the claim is not there");
}

/* ------------------------------------------------------------------- calling */

static const struct query_method query_methods[] = {
	{ "message.show", false, false, read_id, show_run, one_rows,
	    show_finish },
	{ "message.find", false, false, read_find, find_run, find_rows,
	    nothing_more },
	{ "message.trace", true, false, read_id, trace_run, one_rows,
	    trace_finish },
	{ "receipts.orphans", true, false, read_orphans, orphans_run,
	    orphans_rows, nothing_more },
	{ "idem.claim", false, true, read_claim, claim_run, claim_rows,
	    claim_finish },
};

static void
job_run(struct query_job *job, struct pg *pg)
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
	struct query_job *job = arg;

	if (end->outcome != PG_LOST && pg_is_up(pg) && !job->query->closing) {
		job_run(job, pg);
		return;
	}
	job_fail(job, 503, "the database cannot be asked now");
	job->query->claims--;
	job_end(job);
}

static void
query_make_partition(struct query_job *job, struct pg *pg)
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
	struct query_job *job = arg;
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
	struct query_job *job;

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
static struct query_job *
job_new(struct query *q, uint64_t correlation, const Hopyard__V1__Call *call,
    const struct query_method *m)
{
	struct query_job *job = xcalloc(1, sizeof(*job));
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
	const struct query_method *m = NULL;
	struct query_job *job;
	char text[160];

	for (size_t i = 0; i < ARRAY_LEN(query_methods); i++) {
		if (strcmp(query_methods[i].name, call->method) == 0)
			m = &query_methods[i];
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
query_close(struct query *q)
{
	struct query_job *job;

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
