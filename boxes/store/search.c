/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * search.c - messages by what is known of them, and receipts without one.
 */
#include "boxes/store/job.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/pack.h"
#include "boxes/store/partition.h"
#include "common/attr.h"
#include "common/clock.h"

#define SEARCH_DAYS      7
#define SEARCH_LIMIT     50
#define SEARCH_LIMIT_MAX 1000
#define SEARCH_SCAN      5000 /* rows looked at for one page of a state */

/* ---------------------------------------------------------------- arguments */

/* A time, or how long ago: "2026-11-22T19:18:00Z", "1h". */
static bool
read_time(const struct job *job, const char *key, uint64_t *ms)
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
read_range(struct job *job)
{
	bool now = json_object_get(job->args, "until") == NULL;

	job->to_ms = clock_wall_ms();
	job->from_ms = 0;
	if (!read_time(job, "until", &job->to_ms))
		return "\"until\" is not a time as 2026-11-22T19:18:00Z or 1h";
	if (!read_time(job, "since", &job->from_ms))
		return "\"since\" is not a time as 2026-11-22T19:18:00Z or 1h";
	if (job->from_ms == 0)
		job->from_ms = job->to_ms - SEARCH_DAYS * DAY_MS;
	if (job->from_ms >= job->to_ms)
		return "\"since\" is not before \"until\"";
	uuid_lowest(job->from_ms, job->from_id);
	/* The newest ids may be ahead of our clock. */
	uuid_lowest(job->to_ms + (now ? JOB_SKEW_MS : 0), job->to_id);
	return NULL;
}

static const char *
read_limit(struct job *job)
{
	const json_t *v = json_object_get(job->args, "limit");

	job->limit = SEARCH_LIMIT;
	if (v == NULL)
		return NULL;
	if (!json_is_integer(v) || json_integer_value(v) < 1 ||
	    json_integer_value(v) > SEARCH_LIMIT_MAX)
		return "\"limit\" is a number from 1 to 1000";
	job->limit = (unsigned)json_integer_value(v);
	return NULL;
}

/* "delivered" or "sent,buffered" */
static const char *
read_states(struct job *job)
{
	const char *s = job_str(job, "state");
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
read_find(struct job *job)
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
	kind = job_str(job, "kind");
	if (kind != NULL && strcmp(kind, "mt") != 0 && strcmp(kind, "mo") != 0)
		return "\"kind\" is mt or mo";
	cursor = job_str(job, "cursor");
	if (cursor != NULL && !uuid_parse(cursor, strlen(cursor), job->to_id))
		return "\"cursor\" is not one that a search gave";
	/* One more than fits tells whether there are more. */
	job->scan = job->states != 0 ? SEARCH_SCAN : job->limit + 1;
	return NULL;
}

static const char *
read_orphans(struct job *job)
{
	const char *why = read_range(job);

	return why != NULL ? why : read_limit(job);
}

/* ---------------------------------------------------------------------- find */

/* " AND dst = $4"; "49*" matches what begins so. */
static void
find_where(const struct job *job, struct buf *sql, struct pg_params *p,
    const char *key, const char *column)
{
	const char *value = job_str(job, key);
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

/* Its events lie behind the time in its id. */
#define FIND_SINCE                                                             \
	"('x' || left(translate(m.id::text, '-', ''), 12))::bit(48)::bigint"   \
	" - 300000"

static void
find_run(struct job *job, struct pg *pg)
{
	struct pg_params p = { .count = 0 };
	const char *kind = job_str(job, "kind");
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
	    " || ',' || e.bus, ' ' ORDER BY e.seq, e.at) FROM"
	    " (SELECT k.type, k.state, (k.rec IS NOT NULL)::int AS bus, k.seq,"
	    " k.at FROM event k WHERE k.ref = m.seq AND k.type::int <> 64"
	    " AND k.at >= " FIND_SINCE
	    " UNION ALL SELECT p.type, p.state, 1, u.seq, u.at FROM " PACK_ROWS
	    " WHERE " PACK_OF(
		"m.seq", FIND_SINCE) ") e)"
				     " FROM (SELECT " JOB_HEAD_COLUMNS);
	buf_addstr(&sql,
	    job->text ? ", NULL::bytea, m.body" : ", NULL::bytea, NULL::bytea");
	buf_addstr(&sql,
	    " FROM message m"
	    " WHERE m.id >= $1::uuid AND m.id < $2::uuid");
	find_where(job, &sql, &p, "to", "dst");
	find_where(job, &sql, &p, "from", "src");
	if (job_str(job, "client_ref") != NULL) {
		buf_printf(&sql, " AND m.client_ref = $%d::text", p.count + 1);
		pg_param_text(&p, job_str(job, "client_ref"));
	}
	/* A front end's account comes first, whatever else was asked for. */
	if (job->account != NULL || job_str(job, "account") != NULL) {
		buf_printf(&sql, " AND m.account = $%d::text", p.count + 1);
		pg_param_text(&p,
		    job->account != NULL ? job->account
					 : job_str(job, "account"));
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
find_state(struct timeline_state *s, const struct job *job, const PGresult *res,
    int row, struct bytes rec_bytes)
{
	const Hopyard__V1__Record *rec;
	char *list = PQgetisnull(res, row, JOB_COL_QUEUE)
	    ? NULL
	    : PQgetvalue(res, row, JOB_COL_QUEUE);

	arena_reset(job_arena(job));
	rec = frame_unpack(job_arena(job), &hopyard__v1__record__descriptor,
	    rec_bytes.p, rec_bytes.len);
	timeline_begin(s, rec);
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
	struct job *job = arg;
	struct timeline t = { .json = &job->json,
		.arena = job_arena(job),
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
		if (!job_message(&t.message, res, i))
			continue;
		if (shown == job->limit || buf_len(&job->out) > JOB_ANSWER) {
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
nothing_more(struct job *job)
{
	assert(buf_len(&job->out) > 0);
}

/* ------------------------------------------------------------------- orphans */

static void
orphans_run(struct job *job, struct pg *pg)
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
	struct job *job = arg;
	struct json *j = &job->json;
	int n = PQntuples(res);

	(void)pg;
	(void)index;
	json_open_object(j, NULL);
	json_open_array(j, "receipts");
	for (int i = 0; i < n && buf_len(&job->out) < JOB_ANSWER; i++) {
		struct bytes link = job_bytes(res, i, 2);
		const Hopyard__V1__Notice *notice;

		arena_reset(job_arena(job));
		notice = frame_unpack(job_arena(job),
		    &hopyard__v1__notice__descriptor, job_bytes(res, i, 3).p,
		    job_bytes(res, i, 3).len);
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

const struct job_method search_find = { "message.find", false, false, read_find,
	find_run, find_rows, nothing_more };
const struct job_method search_orphans = { "receipts.orphans", true, false,
	read_orphans, orphans_run, orphans_rows, nothing_more };
