/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * store_write.c - how long a commit of the store takes, written as hop-store
 * writes it and in other ways: the same rows into the same tables.
 *
 * A batch of n messages is n rows of `message`, two rows of `event` for each
 * (submitted, final) and the batch's own row, all in one transaction.  Its rows
 * are made before the clock starts.  Each run has tables of its own, counted at
 * the end.  test/bench/store_write.py starts the server; `make bench-store`.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "boxes/store/batch.h"
#include "boxes/store/partition.h"
#include "boxes/store/pg.h"
#include "boxes/store/receipt.h"
#include "boxes/store/rows.h"
#include "boxes/store/schema.h"
#include "boxes/store/store.h"
#include "boxes/store/sweep.h"
#include "common/attr.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/uuid.h"
#include "common/xalloc.h"
#include "hopyard/v1/bus.pb-c.h"

#define ROUNDS_MAX 9
#define SYNC_BLOCK 8192
#define SYNC_COUNT 2000
#define TEXT                                                                   \
	"Your parcel 4711-0815 is on its way and will be with you between "    \
	"ten and twelve o'clock. Follow it at https://example.org/t/47110815"

#define BATCH_SQL                                                              \
	"INSERT INTO batch (last_seq, first_seq, epoch, attempt, at)"          \
	" VALUES ($1::int8, $2::int8, 1, 1, $3::int8)"

/* In the order of rows.c. */
static const char message_columns[] =
    "id, seq, expires_at, queue, parts, kind, class, account, dst, src,"
    " client_ref, rec, envelope, body, report";
static const char event_columns[] =
    "seq, at, ref, key, id, queue, part, type, state, closes, rec, body";

struct bench {
	uv_loop_t loop;
	struct pg *pg; /* ours, as hop-store has it */
	PGconn *conn;  /* of the other ways */
	bool up;       /* pg is */
	bool done;     /* the unit of pg has ended */
	struct batch batch;
	struct rows_forms forms; /* of hop-store's way */
	struct batch_tools tools;
	struct partitions partitions;
	uint64_t seq;
	size_t own_bytes; /* envelopes, bodies and reports of a run */
	struct buf buf;
	const char **value; /* parameters of VALUES */
	int *length, *format;
	size_t params;
};

struct way {
	const char *name;
	void (*open)(struct bench *, unsigned n);
	void (*write)(struct bench *, unsigned n);
};

static const struct {
	unsigned batch, count; /* messages of a commit, of a run */
} sizes[] = { { 1, 2000 }, { 10, 20000 }, { 100, 50000 }, { 1000, 100000 } };

/* What the runs of one way and size came to. */
struct figures {
	double rate[ROUNDS_MAX];
	uint32_t *us; /* of all commits */
	size_t commits;
	double server, client, wal; /* CPU s, bytes */
	size_t messages;
};

static double
cpu_of_client(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* CPU seconds of the postmaster and its processes. */
static double
cpu_of_server(int postmaster)
{
	DIR *dp = opendir("/proc");
	struct dirent *d;
	uint64_t total = 0;

	if (dp == NULL)
		err(1, "/proc");
	while ((d = readdir(dp)) != NULL) {
		char path[64], line[512], *p;
		int pid = (int)strtol(d->d_name, NULL, 10), parent = 0;
		uint64_t ns = 0;
		FILE *f;

		if (pid == 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		f = fopen(path, "r");
		if (f == NULL)
			continue; /* it has ended */
		if (fgets(line, sizeof(line), f) != NULL &&
		    (p = strrchr(line, ')')) != NULL && strlen(p) > 4)
			parent = (int)strtol(p + 4, NULL, 10);
		fclose(f);
		if (pid != postmaster && parent != postmaster)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
		f = fopen(path, "r");
		if (f != NULL && fscanf(f, "%" SCNu64, &ns) == 1)
			total += ns;
		if (f != NULL)
			fclose(f);
	}
	closedir(dp);
	return (double)total / 1e9;
}

/* ------------------------------------------------------------- the records */

static struct bytes
packed(const ProtobufCMessage *m, uint8_t *dst)
{
	return (struct bytes){ dst, protobuf_c_message_pack(m, dst) };
}

static ProtobufCBinaryData
binary(const char *s)
{
	return (ProtobufCBinaryData){ strlen(s), (uint8_t *)(uintptr_t)s };
}

static void
add_message(struct bench *b, uint64_t now, uint8_t id[UUID_LEN])
{
	Hopyard__V1__Record rec = HOPYARD__V1__RECORD__INIT;
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Origin origin = HOPYARD__V1__ORIGIN__INIT;
	Hopyard__V1__Content content = HOPYARD__V1__CONTENT__INIT;
	uint8_t space[3][1024];
	struct item it = { { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, { NULL, 0 } };

	uuid_new(id);
	env.id = (ProtobufCBinaryData){ UUID_LEN, id };
	env.kind = HOPYARD__V1__KIND__MT;
	env.has_account = env.has_to = env.has_from = true;
	env.account = binary("demo");
	env.to = binary("4915112345678");
	env.from = binary("HOP");
	env.has_validity_ms = true;
	env.validity_ms = DAY_MS;
	origin.has_source = origin.has_credential = origin.has_front = true;
	origin.source = binary("192.0.2.1:50000");
	origin.credential = binary("user:demo");
	origin.front = binary("http");
	env.origin = &origin;
	it.envelope = packed(&env.base, space[0]);
	content.has_text = true;
	content.text = binary(TEXT);
	it.body = packed(&content.base, space[1]);
	rec.type = HOPYARD__V1__RECORD__TYPE__MESSAGE;
	rec.at = now;
	rec.has_queue = rec.has_expires_at = rec.has_config = true;
	rec.queue = 3;
	rec.expires_at = now + DAY_MS;
	rec.config = 1;
	rec.has_link = rec.has_rule = true;
	rec.link = binary("sim");
	rec.rule = binary("default");
	it.context = packed(&rec.base, space[2]);
	b->own_bytes += it.envelope.len + it.body.len;
	batch_add(&b->batch, &b->tools, ++b->seq, &it);
}

static void
add_event(struct bench *b, uint64_t now, uint8_t id[UUID_LEN], uint64_t ref,
    Hopyard__V1__Record__Event event)
{
	Hopyard__V1__Record rec = HOPYARD__V1__RECORD__INIT;
	Hopyard__V1__Result res = HOPYARD__V1__RESULT__INIT;
	Hopyard__V1__Result__Part part = HOPYARD__V1__RESULT__PART__INIT;
	Hopyard__V1__Result__Part *list = &part;
	uint8_t space[2][512];
	struct bytes raw;
	char smsc_id[24];
	struct item it = { { NULL, 0 }, { NULL, 0 }, { NULL, 0 }, { NULL, 0 } };

	rec.type = HOPYARD__V1__RECORD__TYPE__EVENT;
	rec.at = now;
	rec.has_event = rec.has_id = rec.has_ref = rec.has_state = true;
	rec.event = event;
	rec.id = (ProtobufCBinaryData){ UUID_LEN, id };
	rec.ref = ref;
	rec.has_closes = true;
	rec.closes = event == HOPYARD__V1__RECORD__EVENT__FINAL;
	rec.state = rec.closes ? HOPYARD__V1__STATE__DELIVERED
			       : HOPYARD__V1__STATE__SUBMITTED;
	if (!rec.closes) {
		snprintf(smsc_id, sizeof(smsc_id), "%010" PRIu64, ref);
		part.part = 1;
		part.has_smsc_id = part.has_rtt_us = true;
		part.smsc_id = binary(smsc_id);
		part.rtt_us = 1500;
		res.ref = ref;
		res.code = HOPYARD__V1__RESULT__CODE__OK;
		res.n_part = 1;
		res.part = &list;
		res.has_parts = res.has_bind = res.has_encoding = true;
		res.parts = 1;
		res.bind = binary("sim/1");
		res.encoding = binary("gsm7");
		raw = packed(&res.base, space[0]);
		rec.has_link = rec.has_result = true;
		rec.link = binary("sim");
		rec.result = (ProtobufCBinaryData){ raw.len, space[0] };
	}
	it.context = packed(&rec.base, space[1]);
	batch_add(&b->batch, &b->tools, ++b->seq, &it);
}

static void
fill(struct bench *b, unsigned n)
{
	uint64_t now = clock_wall_ms(), first = b->seq + 1;
	uint8_t(*id)[UUID_LEN] = xcalloc(n, UUID_LEN);

	batch_clear(&b->batch);
	for (unsigned i = 0; i < n; i++)
		add_message(b, now, id[i]);
	for (unsigned i = 0; i < n; i++)
		add_event(b, now, id[i], first + i,
		    HOPYARD__V1__RECORD__EVENT__SUBMITTED_EV);
	for (unsigned i = 0; i < n; i++)
		add_event(b, now, id[i], first + i,
		    HOPYARD__V1__RECORD__EVENT__FINAL);
	free(id);
	b->batch.first = first;
	b->batch.last = b->seq;
	if (b->batch.rows[ROWS_MESSAGE].count != n ||
	    b->batch.rows[ROWS_EVENT].count != 2 * n ||
	    b->batch.rows[ROWS_QUARANTINE].count != 0)
		errx(1, "the records did not become the rows they should");
}

/* ------------------------------------------------------------- hop-store's */

static void
pg_up(struct pg *pg, void *arg)
{
	struct bench *b = arg;

	(void)pg;
	b->up = true;
}

static void
pg_down(struct pg *pg, const char *why, void *arg)
{
	(void)pg;
	(void)arg;
	errx(1, "the session was lost: %s", why);
}

static const struct pg_ops session_ops = { pg_up, pg_down };

static void
unit_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct bench *b = arg;

	(void)pg;
	if (end->outcome != PG_OK)
		errx(1, "unnest: %s %s", end->sqlstate, end->message);
	b->done = true;
}

static void
unit_run(struct bench *b)
{
	b->done = false;
	pg_commit(b->pg);
	while (!b->done)
		uv_run(&b->loop, UV_RUN_ONCE);
}

static void
unnest_open(struct bench *b, unsigned n)
{
	(void)n;
	pg_begin(b->pg, 0, NULL, unit_done, b);
	pg_run(b->pg, "DEALLOCATE ALL", NULL, false);
	rows_prepare(&b->forms, b->pg);
	pg_prepare(b->pg, "batch", BATCH_SQL);
	unit_run(b);
}

static void
unnest_write(struct bench *b, unsigned n)
{
	struct pg_params p = { .count = 0 };

	(void)n;
	pg_begin(b->pg, 0, NULL, unit_done, b);
	rows_run(&b->batch.rows[ROWS_MESSAGE], ROWS_MESSAGE, b->pg, false);
	rows_run(&b->batch.rows[ROWS_EVENT], ROWS_EVENT, b->pg, false);
	pg_param_int(&p, (int64_t)b->batch.last);
	pg_param_int(&p, (int64_t)b->batch.first);
	pg_param_int(&p, (int64_t)clock_wall_ms());
	pg_run_prepared(b->pg, "batch", &p, false);
	unit_run(b);
}

/* ------------------------------------------------------------ other ways */

/* Walks the rows of columns: a value has its length before it, -1 is NULL. */
struct walk {
	const struct rows *rows;
	const uint8_t *pos[ROWS_COLUMNS];
};

#define COLUMN_HEAD 20 /* of an array, column.c */

static void
walk_start(struct walk *w, const struct rows *r)
{
	w->rows = r;
	for (unsigned i = 0; i < r->ncol; i++)
		w->pos[i] = r->col[i].base + COLUMN_HEAD;
}

/* The value at pos[col], which moves on; <0: NULL. */
static int
walk_next(struct walk *w, unsigned col, const uint8_t **value)
{
	uint32_t be;
	int len;

	memcpy(&be, w->pos[col], 4);
	len = (int)ntohl(be);
	*value = w->pos[col] + 4;
	w->pos[col] += 4 + (len > 0 ? len : 0);
	return len;
}

static void
wants(struct bench *b, ExecStatusType want)
{
	PGresult *res = PQgetResult(b->conn);

	if (PQresultStatus(res) != want)
		errx(1, "%s", PQerrorMessage(b->conn));
	PQclear(res);
}

static void
run_sql(struct bench *b, const char *sql)
{
	PGresult *res = PQexec(b->conn, sql);

	if (PQresultStatus(res) != PGRES_COMMAND_OK &&
	    PQresultStatus(res) != PGRES_TUPLES_OK)
		errx(1, "%s: %s", sql, PQerrorMessage(b->conn));
	PQclear(res);
}

static double
ask_number(struct bench *b, const char *sql)
{
	PGresult *res = PQexec(b->conn, sql);
	double n;

	if (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1)
		errx(1, "%s: %s", sql, PQerrorMessage(b->conn));
	n = strtod(PQgetvalue(res, 0, 0), NULL);
	PQclear(res);
	return n;
}

static void
copy_table(struct bench *b, const struct rows *r)
{
	static const uint8_t head[19] = "PGCOPY\n\377\r\n";
	struct walk w;
	uint16_t ncol = htons((uint16_t)r->ncol), end = 0xffff;

	wants(b, PGRES_COPY_IN);
	buf_clear(&b->buf);
	buf_add(&b->buf, head, sizeof(head));
	walk_start(&w, r);
	for (uint32_t i = 0; i < r->count; i++) {
		buf_add(&b->buf, &ncol, 2);
		for (unsigned c = 0; c < r->ncol; c++) {
			const uint8_t *value;
			int len = walk_next(&w, c, &value);

			buf_add(&b->buf, value - 4,
			    4 + (size_t)(len > 0 ? len : 0));
		}
	}
	buf_add(&b->buf, &end, 2);
	if (PQputCopyData(b->conn, (const char *)buf_data(&b->buf),
		(int)buf_len(&b->buf)) != 1 ||
	    PQputCopyEnd(b->conn, NULL) != 1)
		errx(1, "COPY: %s", PQerrorMessage(b->conn));
	wants(b, PGRES_COMMAND_OK);
}

static void
copy_open(struct bench *b, unsigned n)
{
	(void)b;
	(void)n;
}

/* libpq has no COPY in a pipeline.  Several statements in one string are one
 * transaction, and save the round trips of BEGIN and COMMIT. */
static void
copy_write(struct bench *b, unsigned n)
{
	char sql[640];
	PGresult *res;

	(void)n;
	snprintf(sql, sizeof(sql),
	    "COPY message (%s) FROM STDIN BINARY;"
	    "COPY event (%s) FROM STDIN BINARY;"
	    "INSERT INTO batch (last_seq, first_seq, epoch, attempt, at)"
	    " VALUES (%" PRIu64 ", %" PRIu64 ", 1, 1, %" PRIu64 ")",
	    message_columns, event_columns, b->batch.last, b->batch.first,
	    clock_wall_ms());
	if (PQsendQuery(b->conn, sql) != 1)
		errx(1, "COPY: %s", PQerrorMessage(b->conn));
	copy_table(b, &b->batch.rows[ROWS_MESSAGE]);
	copy_table(b, &b->batch.rows[ROWS_EVENT]);
	wants(b, PGRES_COMMAND_OK);
	res = PQgetResult(b->conn);
	if (res != NULL)
		errx(1, "COPY: an answer too many");
}

/* INSERT ... VALUES of so many rows. */
static void
values_prepare(struct bench *b, const char *name, const char *columns,
    const struct rows *r, unsigned count)
{
	size_t total = (size_t)count * r->ncol;
	Oid *type = xcalloc(total, sizeof(*type));
	PGresult *res;

	buf_clear(&b->buf);
	buf_printf(&b->buf, "INSERT INTO %s (%s) VALUES ", name, columns);
	for (size_t i = 0; i < total; i++) {
		type[i] = (Oid)r->col[i % r->ncol].type;
		buf_printf(&b->buf, "%s$%zu%s",
		    i % r->ncol != 0 ? ", "
			: i == 0     ? "("
				     : ", (",
		    i + 1, (i + 1) % r->ncol == 0 ? ")" : "");
	}
	res = PQprepare(b->conn, name, buf_str(&b->buf), (int)total, type);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		errx(1, "prepare %s: %s", name, PQerrorMessage(b->conn));
	PQclear(res);
	free(type);
	if (total > b->params) {
		b->params = total;
		b->value = xrealloc(b->value, total * sizeof(*b->value));
		b->length = xrealloc(b->length, total * sizeof(*b->length));
		b->format = xrealloc(b->format, total * sizeof(*b->format));
	}
}

static void
values_open(struct bench *b, unsigned n)
{
	PGresult *res;

	run_sql(b, "DEALLOCATE ALL");
	values_prepare(
	    b, "message", message_columns, &b->batch.rows[ROWS_MESSAGE], n);
	values_prepare(b, "event", event_columns, &b->batch.rows[ROWS_EVENT],
	    n > 1 ? 2 * n : 1);
	res = PQprepare(b->conn, "batch", BATCH_SQL, 0, NULL);
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		errx(1, "prepare batch: %s", PQerrorMessage(b->conn));
	PQclear(res);
}

static void
single_open(struct bench *b, unsigned n)
{
	(void)n;
	values_open(b, 1);
}

/* All rows, `step` in a statement; returns the number of statements. */
static unsigned
values_send(
    struct bench *b, const char *name, const struct rows *r, uint32_t step)
{
	struct walk w;
	unsigned sent = 0;

	walk_start(&w, r);
	for (uint32_t row = 0; row < r->count; row += step) {
		size_t n = 0;

		for (uint32_t i = 0; i < step; i++) {
			for (unsigned c = 0; c < r->ncol; c++, n++) {
				const uint8_t *value;
				int len = walk_next(&w, c, &value);

				b->value[n] =
				    len < 0 ? NULL : (const char *)value;
				b->length[n] = len;
				b->format[n] = 1;
			}
		}
		if (PQsendQueryPrepared(b->conn, name, (int)n, b->value,
			b->length, b->format, 0) != 1)
			errx(1, "%s: %s", name, PQerrorMessage(b->conn));
		sent++;
	}
	return sent;
}

static void
values_commit(struct bench *b, uint32_t messages, uint32_t events)
{
	char number[3][24];
	const char *value[] = { number[0], number[1], number[2] };
	unsigned sent;

	if (PQenterPipelineMode(b->conn) != 1)
		errx(1, "pipeline: %s", PQerrorMessage(b->conn));
	sent =
	    values_send(b, "message", &b->batch.rows[ROWS_MESSAGE], messages);
	sent += values_send(b, "event", &b->batch.rows[ROWS_EVENT], events);
	snprintf(number[0], 24, "%" PRIu64, b->batch.last);
	snprintf(number[1], 24, "%" PRIu64, b->batch.first);
	snprintf(number[2], 24, "%" PRIu64, clock_wall_ms());
	if (PQsendQueryPrepared(b->conn, "batch", 3, value, NULL, NULL, 0) !=
		1 ||
	    PQpipelineSync(b->conn) != 1)
		errx(1, "batch: %s", PQerrorMessage(b->conn));
	sent++;
	for (unsigned i = 0; i < sent; i++) {
		wants(b, PGRES_COMMAND_OK);
		if (PQgetResult(b->conn) != NULL)
			errx(1, "a result too many");
	}
	wants(b, PGRES_PIPELINE_SYNC);
	if (PQexitPipelineMode(b->conn) != 1)
		errx(1, "pipeline: %s", PQerrorMessage(b->conn));
}

static void
values_write(struct bench *b, unsigned n)
{
	values_commit(b, n, n > 1 ? 2 * n : 1);
}

static void
single_write(struct bench *b, unsigned n)
{
	(void)n;
	values_commit(b, 1, 1);
}

static const struct way ways[] = {
	{ "unnest", unnest_open, unnest_write },
	{ "copy", copy_open, copy_write },
	{ "values", values_open, values_write },
	{ "single", single_open, single_write },
};

/* ------------------------------------------------------------------ a run */

/* Both sessions look into these tables from now on. */
static void
use_tables(struct bench *b, const char *dsn, int cell)
{
	char why[512], name[32], sql[80];

	if (schema_migrate(dsn, cell, why, sizeof(why)) < 0)
		errx(1, "%s", why);
	snprintf(sql, sizeof(sql), "SET search_path = %s",
	    schema_name(cell, name, sizeof(name)));
	run_sql(b, sql);
	pg_begin(b->pg, 0, NULL, unit_done, b);
	pg_run(b->pg, sql, NULL, false);
	unit_run(b);
	run_sql(b, "CHECKPOINT");
}

static void
drop_tables(struct bench *b, int cell)
{
	char name[32], sql[80];

	run_sql(b, "DEALLOCATE ALL");
	snprintf(sql, sizeof(sql), "DROP SCHEMA %s CASCADE",
	    schema_name(cell, name, sizeof(name)));
	run_sql(b, "SET client_min_messages = error");
	run_sql(b, sql);
}

static void
check_tables(struct bench *b, unsigned count, unsigned commits)
{
	if ((unsigned)ask_number(b, "SELECT count(*) FROM message") != count ||
	    (unsigned)ask_number(b, "SELECT count(*) FROM event") !=
		2 * count ||
	    (unsigned)ask_number(b, "SELECT count(*) FROM batch") != commits)
		errx(1, "the tables do not have what was written");
}

static void
measure(struct bench *b, const struct way *way, unsigned batch, unsigned count,
    int postmaster, struct figures *f, unsigned round)
{
	static const char where[] =
	    "SELECT pg_current_wal_insert_lsn() - '0/0'";
	unsigned commits = count / batch;
	uint32_t *us = xcalloc(commits, sizeof(*us));
	double wal, server, client = 0, wall = 0;

	fill(b, batch); /* types of the columns */
	way->open(b, batch);
	b->own_bytes = 0;
	wal = ask_number(b, where);
	server = cpu_of_server(postmaster);
	for (unsigned i = 0; i < commits; i++) {
		uint64_t start;
		double cpu;

		fill(b, batch);
		cpu = cpu_of_client();
		start = uv_hrtime();
		way->write(b, batch);
		us[i] = (uint32_t)((uv_hrtime() - start) / 1000);
		client += cpu_of_client() - cpu;
		wall += us[i] / 1e6;
	}
	server = cpu_of_server(postmaster) - server;
	wal = ask_number(b, where) - wal;
	check_tables(b, count, commits);
	f->rate[round] = count / wall;
	f->us = xrealloc(f->us, (f->commits + commits) * sizeof(*us));
	memcpy(f->us + f->commits, us, commits * sizeof(*us));
	f->commits += commits;
	f->server += server;
	f->client += client;
	f->wal += wal;
	f->messages += count;
	free(us);
}

static int
compare_us(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int
compare_rate(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
percentile_ms(const uint32_t *sorted, size_t n, double q)
{
	return sorted[(size_t)((double)(n - 1) * q)] / 1000.0;
}

static double
median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), compare_rate);
	return n % 2 == 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* The least that a durable commit costs on this disk. */
static void
measure_disk(const char *folder)
{
	static uint8_t block[SYNC_BLOCK];
	uint32_t *us = xcalloc(SYNC_COUNT, sizeof(*us));
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/sync", folder);
	fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		err(1, "%s", path);
	/* As WAL segments are: written before, now overwritten. */
	for (unsigned i = 0; i < SYNC_COUNT; i++) {
		if (write(fd, block, sizeof(block)) != sizeof(block))
			err(1, "%s", path);
	}
	if (fsync(fd) < 0)
		err(1, "%s", path);
	for (unsigned i = 0; i < SYNC_COUNT; i++) {
		uint64_t start = uv_hrtime();

		if (pwrite(fd, block, sizeof(block), (off_t)i * SYNC_BLOCK) !=
			sizeof(block) ||
		    fdatasync(fd) < 0)
			err(1, "%s", path);
		us[i] = (uint32_t)((uv_hrtime() - start) / 1000);
	}
	close(fd);
	unlink(path);
	qsort(us, SYNC_COUNT, sizeof(*us), compare_us);
	printf("write of 8 KiB and fdatasync: p50 %.2f ms, p99 %.2f ms: at "
	       "most %.0f commits/s, one after the other\n",
	    percentile_ms(us, SYNC_COUNT, 0.5),
	    percentile_ms(us, SYNC_COUNT, 0.99),
	    1000 / percentile_ms(us, SYNC_COUNT, 0.5));
	free(us);
}

static void
print(struct figures figures[][ARRAY_LEN(ways)], unsigned rounds)
{
	printf("%-7s %6s %11s %6s %9s %9s %10s %10s %10s\n", "way", "batch",
	    "messages/s", "x", "p50 ms", "p99 ms", "server s", "client s",
	    "WAL bytes");
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		double ours = 0;

		for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
			struct figures *f = &figures[s][w];
			double rate = median(f->rate, rounds);
			double n = (double)f->messages;

			if (w == 0)
				ours = rate;
			qsort(f->us, f->commits, sizeof(*f->us), compare_us);
			printf("%-7s %6u %11.0f %6.2f %9.2f %9.2f %10.2f "
			       "%10.2f %10.0f\n",
			    ways[w].name, sizes[s].batch, rate, rate / ours,
			    percentile_ms(f->us, f->commits, 0.5),
			    percentile_ms(f->us, f->commits, 0.99),
			    f->server * 1e5 / n, f->client * 1e5 / n,
			    f->wal / n);
			free(f->us);
		}
	}
	printf("x: of unnest; server s, client s: CPU per 100,000 messages; "
	       "WAL bytes: per message\n");
}

int
main(int argc, char **argv)
{
	static struct figures figures[ARRAY_LEN(sizes)][ARRAY_LEN(ways)];
	static struct store store;
	struct bench b = { .up = false };
	const unsigned last = sizes[ARRAY_LEN(sizes) - 1].count;
	unsigned rounds;
	int postmaster, cell = 1;

	if (argc != 5)
		errx(2, "usage: store_write dsn postmaster-pid folder rounds");
	postmaster = (int)strtol(argv[2], NULL, 10);
	rounds = (unsigned)strtoul(argv[4], NULL, 10);
	if (rounds < 1 || rounds > ROUNDS_MAX)
		errx(2, "1 to %d rounds", ROUNDS_MAX);
	log_configure(LOG_LEVEL_WARN, LOG_FORMAT_TEXT, true);
	if (uv_loop_init(&b.loop) != 0)
		errx(1, "no loop");
	partitions_init(&b.partitions, 0);
	batch_tools_init(&b.tools);
	b.tools.partitions = &b.partitions;
	b.tools.receipts = receipts_new(1 << 20, 256 << 20);
	b.tools.sweep = sweep_new(&store);
	batch_init(&b.batch);
	buf_init(&b.buf);
	measure_disk(argv[3]);
	b.conn = PQconnectdb(argv[1]);
	if (PQstatus(b.conn) != CONNECTION_OK)
		errx(1, "%s", PQerrorMessage(b.conn));
	b.pg = pg_new(&b.loop, argv[1], "append", "", &session_ops, &b);
	while (!b.up)
		uv_run(&b.loop, UV_RUN_ONCE);
	/* Round 0 makes WAL segments, which later ones use again. */
	for (unsigned round = 0; round <= rounds; round++) {
		for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
			for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
				struct figures none = { .us = NULL };

				use_tables(&b, argv[1], ++cell);
				measure(&b, &ways[w], sizes[s].batch,
				    sizes[s].count, postmaster,
				    round > 0 ? &figures[s][w] : &none,
				    round > 0 ? round - 1 : 0);
				free(none.us);
				drop_tables(&b, cell);
			}
		}
		fprintf(stderr, "round %u of %u\n", round, rounds);
	}
	printf("%.0f bytes a message in envelope and content; %u rounds\n",
	    (double)b.own_bytes / last, rounds);
	print(figures, rounds);
	return 0;
}
