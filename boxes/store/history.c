/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history.c - all that is stored of one message: as a story, or row by row.
 */
#include "boxes/store/job.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/dump.h"
#include "boxes/store/pack.h"
#include "common/attr.h"
#include "common/log.h"
#include "common/xalloc.h"

static const char *
read_id(struct job *job)
{
	const char *id = job_str(job, "id");

	if (id == NULL || !uuid_parse(id, strlen(id), job->id))
		return "\"id\" is not a message id";
	return NULL;
}

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
		e->rec = job_bytes(res, i, EV_REC);
		e->body = job_bytes(res, i, EV_BODY);
	}
	*count = (size_t)n;
	return list;
}

/* ------------------------------------------------------- one message, whole */

/*
 * Its own events, and those of the reports that some of them are.  There is
 * no index by id: everything hangs on the number of the item.
 */
#define EVENT_PACKED                                                           \
	"u.seq, u.at, u.ref, NULL::int8, p.type, p.state, NULL::int2,"         \
	" NULL::int4, true, u.rec, NULL::bytea"
#define EVENTS_OF(more)                                                        \
	"WITH i AS MATERIALIZED (SELECT m.seq FROM message m"                  \
	" WHERE m.id = $1::uuid AND ($2::text IS NULL OR m.account = $2)),"    \
	" e AS MATERIALIZED (SELECT " EVENT_COLUMNS " FROM event"              \
	" WHERE ref = (SELECT seq FROM i) AND at >= $3::bigint" more           \
	" ORDER BY seq, at LIMIT 1000)"                                        \
	" SELECT * FROM e UNION ALL (SELECT " EVENT_COLUMNS " FROM event d"    \
	" WHERE d.ref = ANY (ARRAY(SELECT seq FROM e WHERE queue IS NOT NULL"  \
	")) AND d.at >= $3::bigint" more " LIMIT 1000)"                        \
	" UNION ALL (SELECT " EVENT_PACKED " FROM (SELECT seq FROM i"          \
	" UNION ALL SELECT seq FROM e WHERE queue IS NOT NULL) r, " PACK_ROWS  \
	" WHERE " PACK_OF("r.seq", "$3::bigint") "LIMIT 1000)"

static void
one_params(const struct job *job, struct pg_params *p)
{
	uint64_t made = uuid_time_ms(job->id);

	pg_param_bytes(p, job->id, UUID_LEN);
	pg_param_text(p, job->account);
	pg_param_int(p, made > JOB_SKEW_MS ? (int64_t)(made - JOB_SKEW_MS) : 0);
}

#define MESSAGE_OF                                                             \
	"SELECT " JOB_MESSAGE_COLUMNS ", q.target || '/' || (ARRAY['otp',"     \
	"'alert', 'txn', 'bulk'])[q.class] || '/' || q.account"                \
	" FROM message m LEFT JOIN queue q ON q.queue = m.queue"               \
	" WHERE m.id = $1::uuid AND ($2::text IS NULL OR m.account = $2)"      \
	" AND $3::bigint IS NOT NULL"

static void
show_run(struct job *job, struct pg *pg)
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
trace_run(struct job *job, struct pg *pg)
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
	struct job *job = arg;
	PGresult **copy = index == 0 ? &job->message : &job->events;

	(void)pg;
	*copy = PQcopyResult(
	    res, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES | PG_COPYRES_NOTICEHOOKS);
	if (*copy == NULL)
		fatal("query.memory", "method=%s", job->method->name);
}

static bool
job_found(struct job *job, struct timeline_message *m)
{
	if (job->message != NULL && PQntuples(job->message) > 0 &&
	    job_message(m, job->message, 0)) {
		m->queue = job_bytes(job->message, 0, JOB_COL_QUEUE);
		return true;
	}
	job_fail(job, 404, "no such message");
	return false;
}

static void
show_finish(struct job *job)
{
	struct timeline t = { .json = &job->json,
		.arena = job_arena(job),
		.control = job->account == NULL,
		.text = job->text,
		.max = JOB_ANSWER };
	struct timeline_event *list;

	if (!job_found(job, &t.message))
		return;
	list = read_events(job->events, &t.count);
	t.event = list;
	timeline_tell(&t);
	buf_addc(&job->out, '\n');
	free(list);
}

/* ------------------------------------------------- one message, as it came */

static const char *
read_get(struct job *job)
{
	/* It has the text, which is nobody's but the account's. */
	return job->account == NULL ? "the account is missing" : read_id(job);
}

static void
get_run(struct job *job, struct pg *pg)
{
	struct pg_params p = { .count = 0 };

	one_params(job, &p);
	pg_run(pg,
	    "SELECT " JOB_MESSAGE_COLUMNS ", m.report FROM message m"
	    " WHERE m.id = $1::uuid AND m.account = $2::text"
	    " AND m.kind::int = 1 AND $3::bigint IS NOT NULL",
	    &p, true);
	pg_run(pg,
	    "SELECT * FROM (" EVENTS_OF(
		" AND type::int <> 64") ") x"
					" ORDER BY seq, at LIMIT 1000",
	    &p, true);
}

static ProtobufCBinaryData
get_bytes(struct bytes b)
{
	return (ProtobufCBinaryData){ b.len, (uint8_t *)(uintptr_t)b.p };
}

/* Kept beside the answer, as the arena is used again for each event. */
struct get_kept {
	uint8_t other[UUID_LEN];
	uint8_t error[64];
};

/* What an event of the message itself adds. */
static void
get_event(Hopyard__V1__Stored *out, struct get_kept *kept, struct arena *arena,
    const struct timeline_event *e)
{
	const Hopyard__V1__Record *rec;
	const Hopyard__V1__Notice *notice;

	arena_reset(arena);
	if (e->rec.p != NULL) {
		rec = frame_unpack(arena, &hopyard__v1__record__descriptor,
		    e->rec.p, e->rec.len);
		if (rec != NULL && rec->has_status) {
			out->has_status = rec->status != 0;
			out->status = rec->status;
		}
		if (rec != NULL && rec->other.len == UUID_LEN && out->final) {
			memcpy(kept->other, rec->other.data, UUID_LEN);
			out->has_other = true;
			out->other = get_bytes(bytes_of(kept->other, UUID_LEN));
		}
	} else if (e->body.p != NULL) {
		notice = frame_unpack(arena, &hopyard__v1__notice__descriptor,
		    e->body.p, e->body.len);
		if (notice != NULL && notice->error.len > 0 &&
		    notice->error.len <= sizeof(kept->error)) {
			memcpy(
			    kept->error, notice->error.data, notice->error.len);
			out->has_error = true;
			out->error =
			    get_bytes(bytes_of(kept->error, notice->error.len));
		}
	}
}

static void
get_finish(struct job *job)
{
	Hopyard__V1__Stored out = HOPYARD__V1__STORED__INIT;
	struct arena *arena = job_arena(job);
	struct timeline_message m;
	struct timeline_state s;
	struct timeline_event *list;
	struct get_kept kept;
	unsigned before;
	size_t count, n;

	if (!job_found(job, &m))
		return;
	list = read_events(job->events, &count);
	arena_reset(arena);
	timeline_begin(&s,
	    frame_unpack(
		arena, &hopyard__v1__record__descriptor, m.rec.p, m.rec.len));
	out.has_at = true;
	out.at = uuid_time_ms(m.id);
	for (size_t i = 0; i < count; i++) {
		const struct timeline_event *e = &list[i];

		if (e->ref != m.seq)
			continue;
		before = s.state;
		timeline_fold(&s, e->type, e->state, e->rec.p != NULL);
		out.final = s.final;
		if (s.state != before)
			out.at = e->at;
		get_event(&out, &kept, arena, e);
	}
	out.envelope = get_bytes(m.envelope);
	out.has_body = m.body.p != NULL;
	out.body = get_bytes(m.body);
	/* m.queue is the last column, which is the report here. */
	out.has_report = m.queue.p != NULL;
	out.report = get_bytes(m.queue);
	out.state = (Hopyard__V1__State)s.state;
	out.has_final = true;
	n = hopyard__v1__stored__get_packed_size(&out);
	hopyard__v1__stored__pack(&out, buf_reserve(&job->out, n));
	buf_commit(&job->out, n);
	free(list);
}

/* --------------------------------------------------------------------- trace */

static void
trace_bytes(struct job *job, const char *key,
    const ProtobufCMessageDescriptor *d, struct bytes b)
{
	struct json *j = &job->json;
	const ProtobufCMessage *m;

	if (b.p == NULL)
		return;
	m = frame_unpack(job_arena(job), d, b.p, b.len);
	if (m != NULL)
		dump_message(j, key, m, job->text);
	else
		json_hex(j, key, b.p, b.len);
}

/* A Record without the Result inside it, which follows in plain. */
static void
trace_record(struct job *job, struct bytes b)
{
	Hopyard__V1__Record *rec;
	struct bytes result;

	arena_reset(job_arena(job));
	if (b.p == NULL)
		return;
	rec = frame_unpack(
	    job_arena(job), &hopyard__v1__record__descriptor, b.p, b.len);
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
trace_event(struct job *job, const PGresult *res, int i)
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
	trace_record(job, job_bytes(res, i, EV_REC));
	arena_reset(job_arena(job));
	trace_bytes(job, "notice", &hopyard__v1__notice__descriptor,
	    job_bytes(res, i, EV_BODY));
	json_close_object(j);
}

static void
trace_finish(struct job *job)
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
	arena_reset(job_arena(job));
	trace_bytes(
	    job, "envelope", &hopyard__v1__envelope__descriptor, m.envelope);
	if (job->text) {
		arena_reset(job_arena(job));
		trace_bytes(
		    job, "content", &hopyard__v1__content__descriptor, m.body);
	}
	json_close_object(j);
	json_open_array(j, "records");
	n = job->events != NULL ? PQntuples(job->events) : 0;
	for (i = 0; i < n && buf_len(&job->out) < JOB_ANSWER; i++)
		trace_event(job, job->events, i);
	json_close_array(j);
	if (i < n)
		json_bool(j, "truncated", true);
	json_close_object(j);
	buf_addc(&job->out, '\n');
}

const struct job_method history_show = { "message.show", false, false, read_id,
	show_run, one_rows, show_finish };
const struct job_method history_get = { "message.get", false, false, read_get,
	get_run, one_rows, get_finish };
const struct job_method history_trace = { "message.trace", true, false, read_id,
	trace_run, one_rows, trace_finish };
