/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/pg.h"

#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/hosts.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/xalloc.h"

#define PG_CONNECT_MS   2000 /* to one host; connect_timeout of the DSN wins */
#define PG_RETRY_MIN_MS 100
#define PG_RETRY_MAX_MS 1000
#define PG_WATCH_MS     250
#define PG_KEYWORDS     64

enum pg_state {
	PG_STATE_WAITING = 0, /* the timer runs to the next try */
	PG_STATE_CONNECTING,  /* conn is there, PQconnectPoll has the word */
	PG_STATE_UP,          /* in pipeline mode */
	PG_STATE_CLOSING,     /* pg_close() was called */
};

static const char *const pg_state_names[] = {
	[PG_STATE_WAITING] = "waiting",
	[PG_STATE_CONNECTING] = "connecting",
	[PG_STATE_UP] = "up",
	[PG_STATE_CLOSING] = "closing",
};

struct pg_unit {
	TAILQ_ENTRY(pg_unit) link;
	pg_rows_cb *rows;
	pg_end_cb *done;
	void *arg;
	uint64_t deadline; /* mono ms, 0 none */
	unsigned answered; /* statements whose results are in */
	struct pg_end end;
	char *message, *detail;
};

TAILQ_HEAD(pg_unit_list, pg_unit);

/* libuv wants a handle per descriptor, and libpq may change it. */
struct pg_poll {
	uv_poll_t handle;
	int fd;
	int events; /* that are watched */
};

struct pg {
	uv_loop_t *loop;
	char *dsn, *name, *options;
	const struct pg_ops *ops;
	void *arg;
	struct hosts hosts;
	PGconn *conn;
	struct pg_poll *poll;
	uv_timer_t timer;    /* retry, connect time-out, deadlines of units */
	uv_async_t wake;     /* a drop that was asked for inside a callback */
	enum pg_state state; /* written only by pg_enter_state() */
	uint64_t retry_ms;
	uint64_t connect_by;
	struct pg_unit_list units;
	struct pg_unit *open; /* between pg_begin() and pg_commit() */
	int handles;
	bool broken; /* drop at the next turn */
	bool pass;   /* and go to the next host */
	bool follow; /* and go to the host that has been set */
	char why[256];
	char said[256]; /* last complaint in the log */
};

static void pg_timer_cb(uv_timer_t *);
static void pg_poll_cb(uv_poll_t *, int status, int events);

static void
pg_enter_state(struct pg *pg, enum pg_state next)
{
	assert(pg->state != PG_STATE_CLOSING);
	log_debug("pg.state", "session=%s from=%s to=%s", pg->name,
	    pg_state_names[pg->state], pg_state_names[next]);
	pg->state = next;
}

/* ------------------------------------------------------------ the socket */

static void
pg_poll_close_cb(uv_handle_t *h)
{
	free(CONTAINER_OF(h, struct pg_poll, handle));
}

static void
pg_unwatch(struct pg *pg)
{
	if (pg->poll == NULL)
		return;
	uv_poll_stop(&pg->poll->handle);
	uv_close((uv_handle_t *)&pg->poll->handle, pg_poll_close_cb);
	pg->poll = NULL;
}

static void
pg_watch(struct pg *pg, int events)
{
	int fd = PQsocket(pg->conn);

	if (pg->poll != NULL && pg->poll->fd != fd)
		pg_unwatch(pg);
	if (pg->poll == NULL) {
		struct pg_poll *p = xcalloc(1, sizeof(*p));

		p->fd = fd;
		if (uv_poll_init(pg->loop, &p->handle, fd) < 0) {
			free(p);
			pg_drop(pg, "cannot watch the socket");
			return;
		}
		p->handle.data = pg;
		pg->poll = p;
	}
	/* Even for the same ones it asks the kernel twice. */
	if (pg->poll->events == events)
		return;
	pg->poll->events = events;
	uv_poll_start(&pg->poll->handle, events, pg_poll_cb);
}

static void
pg_flush(struct pg *pg)
{
	int rc = PQflush(pg->conn);

	if (rc < 0) {
		pg_drop(pg, PQerrorMessage(pg->conn));
		return;
	}
	pg_watch(pg, rc == 1 ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

/* --------------------------------------------------------------- results */

/* "FATAL:  no\n\tmore\n" -> one line */
static void
pg_one_line(char *dst, size_t len, const char *src)
{
	size_t n = 0;

	for (; *src != '\0' && n + 1 < len; src++) {
		if ((unsigned char)*src < ' ') {
			if (n > 0 && dst[n - 1] != ' ')
				dst[n++] = ' ';
		} else {
			dst[n++] = *src;
		}
	}
	while (n > 0 && dst[n - 1] == ' ')
		n--;
	dst[n] = '\0';
}

static void
pg_notice_cb(void *arg, const PGresult *res)
{
	struct pg *pg = arg;
	const char *severity =
	    PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	struct pg_unit *u = TAILQ_FIRST(&pg->units);

	if (severity == NULL || strcmp(severity, "WARNING") != 0)
		return;
	if (u != NULL)
		u->end.warned = true;
	log_warn("pg.warning", "session=%s text=%s", pg->name,
	    text != NULL ? text : "");
}

static void
pg_unit_free(struct pg_unit *u)
{
	free(u->message);
	free(u->detail);
	free(u);
}

static void
pg_unit_error(struct pg_unit *u, const PGresult *res)
{
	const char *s;

	if (u->end.outcome != PG_OK)
		return; /* the first error is the cause */
	u->end.outcome = PG_ERROR;
	s = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	snprintf(
	    u->end.sqlstate, sizeof(u->end.sqlstate), "%s", s != NULL ? s : "");
	s = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	if (s == NULL)
		s = PQresultErrorMessage(res);
	u->message = xstrdup(s != NULL ? s : "");
	s = PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL);
	u->detail = s != NULL ? xstrdup(s) : NULL;
}

static void
pg_unit_finish(struct pg *pg, struct pg_unit *u)
{
	TAILQ_REMOVE(&pg->units, u, link);
	u->end.message = u->message != NULL ? u->message : "";
	u->end.detail = u->detail != NULL ? u->detail : "";
	u->done(pg, &u->end, u->arg);
	pg_unit_free(u);
}

static void
pg_result(struct pg *pg, struct pg_unit *u, PGresult *res)
{
	switch (PQresultStatus(res)) {
	case PGRES_PIPELINE_SYNC:
		pg_unit_finish(pg, u);
		return;
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		if (u->end.outcome == PG_OK && u->rows != NULL)
			u->rows(pg, u->answered, res, u->arg);
		break;
	case PGRES_PIPELINE_ABORTED:
		break; /* follows an error */
	default:
		pg_unit_error(u, res);
		break;
	}
	u->answered++;
}

static void
pg_read(struct pg *pg)
{
	unsigned nulls = 0;

	if (PQconsumeInput(pg->conn) == 0) {
		pg_drop(pg, PQerrorMessage(pg->conn));
		return;
	}
	/* A callback may drop the session: look every time round. */
	while (!pg->broken && pg->state == PG_STATE_UP &&
	    !TAILQ_EMPTY(&pg->units) && !PQisBusy(pg->conn)) {
		PGresult *res = PQgetResult(pg->conn);

		if (res == NULL) {
			/* End of one statement; twice: nothing is there. */
			if (++nulls == 2)
				break;
			continue;
		}
		nulls = 0;
		pg_result(pg, TAILQ_FIRST(&pg->units), res);
		PQclear(res);
	}
	if (!pg->broken && pg->state == PG_STATE_UP &&
	    PQstatus(pg->conn) == CONNECTION_BAD)
		pg_drop(pg, PQerrorMessage(pg->conn));
}

/* ------------------------------------------------------------ connecting */

static void
pg_retry(struct pg *pg, bool pass)
{
	uint64_t jitter = clock_mono_us() % (pg->retry_ms / 4 + 1);

	pg_enter_state(pg, PG_STATE_WAITING);
	if (pass && !hosts_pass(&pg->hosts)) {
		uv_timer_start(&pg->timer, pg_timer_cb, 0, 0);
		return;
	}
	uv_timer_start(&pg->timer, pg_timer_cb, pg->retry_ms + jitter, 0);
	if (pg->retry_ms < PG_RETRY_MAX_MS)
		pg->retry_ms *= 2;
}

/* Everything of this connection ends here. */
static void
pg_lose(struct pg *pg)
{
	struct pg_unit *u;
	bool pass =
	    !pg->follow && (pg->pass || pg->state == PG_STATE_CONNECTING);
	char why[sizeof(pg->why)];

	pg->broken = pg->pass = pg->follow = false;
	memcpy(why, pg->why, sizeof(why));
	uv_timer_stop(&pg->timer);
	pg_unwatch(pg);
	if (pg->conn != NULL) {
		PQfinish(pg->conn);
		pg->conn = NULL;
	}
	if (pg->state != PG_STATE_CLOSING)
		pg_enter_state(pg, PG_STATE_WAITING);
	pg->open = NULL;
	while ((u = TAILQ_FIRST(&pg->units)) != NULL) {
		u->end.outcome = PG_LOST;
		free(u->message);
		u->message = xstrdup(why);
		pg_unit_finish(pg, u);
	}
	if (pg->state == PG_STATE_CLOSING)
		return;
	if (strcmp(why, pg->said) != 0) {
		log_warn("pg.down", "session=%s reason=%s", pg->name, why);
		memcpy(pg->said, why, sizeof(pg->said));
	}
	pg_retry(pg, pass);
	pg->ops->down(pg, why, pg->arg);
}

void
pg_drop(struct pg *pg, const char *why)
{
	if (pg->broken || pg->state == PG_STATE_CLOSING ||
	    pg->state == PG_STATE_WAITING)
		return;
	pg->broken = true;
	pg_one_line(pg->why, sizeof(pg->why), why);
	uv_async_send(&pg->wake);
}

void
pg_pass(struct pg *pg, const char *why)
{
	pg->pass = true;
	pg_drop(pg, why);
}

void
pg_follow(struct pg *pg, const struct pg *other)
{
	if (pg->state == PG_STATE_CLOSING ||
	    !hosts_follow(&pg->hosts, &other->hosts))
		return;
	pg->follow = pg->state != PG_STATE_WAITING;
	pg_drop(pg, "the writing session is with another server");
}

static void
pg_wake_cb(uv_async_t *h)
{
	struct pg *pg = h->data;

	if (pg->broken)
		pg_lose(pg);
}

static void
pg_connected(struct pg *pg)
{
	if (PQsetnonblocking(pg->conn, 1) != 0 ||
	    PQenterPipelineMode(pg->conn) != 1) {
		pg_drop(pg, PQerrorMessage(pg->conn));
		return;
	}
	pg_enter_state(pg, PG_STATE_UP);
	pg->retry_ms = PG_RETRY_MIN_MS;
	pg->said[0] = '\0';
	uv_timer_start(&pg->timer, pg_timer_cb, PG_WATCH_MS, PG_WATCH_MS);
	pg_watch(pg, UV_READABLE);
	log_info("pg.up", "session=%s backend=%d server=%d", pg->name,
	    PQbackendPID(pg->conn), PQserverVersion(pg->conn));
	pg->ops->up(pg, pg->arg);
}

static void
pg_connect_step(struct pg *pg)
{
	/* The socket may be another one after each step: do not hold on to
	 * the old descriptor while libpq closes it. */
	if (pg->poll != NULL) {
		pg->poll->events = 0;
		uv_poll_stop(&pg->poll->handle);
	}
	switch (PQconnectPoll(pg->conn)) {
	case PGRES_POLLING_READING:
		pg_watch(pg, UV_READABLE);
		break;
	case PGRES_POLLING_WRITING:
		pg_watch(pg, UV_WRITABLE);
		break;
	case PGRES_POLLING_OK:
		pg_connected(pg);
		break;
	default:
		pg_drop(pg, PQerrorMessage(pg->conn));
		break;
	}
}

static void
pg_connect(struct pg *pg)
{
	const struct host *h = hosts_current(&pg->hosts);
	/* What the DSN says comes later and wins, but for its list of hosts,
	 * and `options`, which is ours.  Empty: as if it were not there. */
	const char *key[] = { "application_name", "tcp_user_timeout",
		"keepalives_idle", "keepalives_interval", "keepalives_count",
		"target_session_attrs", "dbname", "options", "host", "hostaddr",
		"port", NULL };
	const char *value[] = { pg->name, "5000", "5", "2", "3",
		h != NULL ? "read-write" : "any", pg->dsn, pg->options,
		h != NULL ? h->host : NULL, h != NULL ? h->hostaddr : NULL,
		h != NULL ? h->port : NULL, NULL };

	pg->conn = PQconnectStartParams(key, value, 1);
	if (pg->conn == NULL)
		fatal("pg.memory", "session=%s", pg->name);
	pg_enter_state(pg, PG_STATE_CONNECTING);
	PQsetNoticeReceiver(pg->conn, pg_notice_cb, pg);
	pg->connect_by = clock_mono_ms() +
	    (pg->hosts.connect_timeout > 0 ? pg->hosts.connect_timeout * 1000
					   : PG_CONNECT_MS);
	uv_timer_start(&pg->timer, pg_timer_cb, PG_WATCH_MS, PG_WATCH_MS);
	if (PQstatus(pg->conn) == CONNECTION_BAD) {
		pg_drop(pg, PQerrorMessage(pg->conn));
		return;
	}
	pg_watch(pg, UV_WRITABLE);
}

static void
pg_poll_cb(uv_poll_t *h, int status, int events)
{
	struct pg *pg = h->data;

	if (pg->broken || pg->poll == NULL || h != &pg->poll->handle)
		return;
	if (status < 0)
		pg->poll->events = 0; /* libuv has stopped to look */
	if (pg->state == PG_STATE_CONNECTING) {
		pg_connect_step(pg);
		return;
	}
	if (status < 0)
		events = UV_READABLE; /* libpq will find the error */
	if ((events & UV_READABLE) != 0)
		pg_read(pg);
	if (!pg->broken && pg->state == PG_STATE_UP &&
	    (events & UV_WRITABLE) != 0)
		pg_flush(pg);
}

static void
pg_timer_cb(uv_timer_t *t)
{
	struct pg *pg = t->data;
	struct pg_unit *u = TAILQ_FIRST(&pg->units);
	uint64_t now = clock_mono_ms();

	switch (pg->state) {
	case PG_STATE_WAITING:
		pg_connect(pg);
		break;
	case PG_STATE_CONNECTING:
		if (now >= pg->connect_by)
			pg_drop(pg, "no answer while connecting");
		break;
	case PG_STATE_UP:
		if (u != NULL && u->deadline != 0 && now >= u->deadline)
			pg_pass(pg, "no answer in time");
		break;
	case PG_STATE_CLOSING:
		break;
	}
}

/* ------------------------------------------------------------- interface */

struct pg *
pg_new(uv_loop_t *loop, const char *dsn, const char *name, const char *options,
    const struct pg_ops *ops, void *arg)
{
	struct pg *pg = xcalloc(1, sizeof(*pg));

	pg->loop = loop;
	pg->dsn = xstrdup(dsn);
	hosts_init(&pg->hosts, dsn);
	pg->name = xstrdup(name);
	pg->options = xstrdup(options);
	pg->ops = ops;
	pg->arg = arg;
	pg->retry_ms = PG_RETRY_MIN_MS;
	TAILQ_INIT(&pg->units);
	uv_timer_init(loop, &pg->timer);
	uv_async_init(loop, &pg->wake, pg_wake_cb);
	pg->timer.data = pg;
	pg->wake.data = pg;
	pg->handles = 2;
	uv_timer_start(&pg->timer, pg_timer_cb, 0, 0);
	return pg;
}

static void
pg_handle_close_cb(uv_handle_t *h)
{
	struct pg *pg = h->data;

	if (--pg->handles > 0)
		return;
	hosts_fini(&pg->hosts);
	free(pg->dsn);
	free(pg->name);
	free(pg->options);
	free(pg);
}

void
pg_close(struct pg *pg)
{
	if (pg->state == PG_STATE_CLOSING)
		return;
	pg_enter_state(pg, PG_STATE_CLOSING);
	pg_one_line(pg->why, sizeof(pg->why), "closed");
	pg_lose(pg);
	uv_close((uv_handle_t *)&pg->timer, pg_handle_close_cb);
	uv_close((uv_handle_t *)&pg->wake, pg_handle_close_cb);
}

bool
pg_is_up(const struct pg *pg)
{
	return pg->state == PG_STATE_UP && !pg->broken;
}

int
pg_backend(const struct pg *pg)
{
	return pg->conn != NULL ? PQbackendPID(pg->conn) : 0;
}

void
pg_begin(struct pg *pg, uint64_t timeout_ms, pg_rows_cb *rows, pg_end_cb *done,
    void *arg)
{
	struct pg_unit *u = xcalloc(1, sizeof(*u));

	assert(pg->state == PG_STATE_UP && pg->open == NULL);
	u->rows = rows;
	u->done = done;
	u->arg = arg;
	if (timeout_ms > 0)
		u->deadline = clock_mono_ms() + timeout_ms;
	TAILQ_INSERT_TAIL(&pg->units, u, link);
	pg->open = u;
}

static void
pg_sent(struct pg *pg, int ok)
{
	if (!ok)
		pg_drop(pg, PQerrorMessage(pg->conn));
}

void
pg_prepare(struct pg *pg, const char *name, const char *sql)
{
	assert(pg->open != NULL);
	if (!pg->broken)
		pg_sent(pg, PQsendPrepare(pg->conn, name, sql, 0, NULL));
}

void
pg_run(struct pg *pg, const char *sql, const struct pg_params *p, bool binary)
{
	static const struct pg_params none;

	assert(pg->open != NULL);
	if (p == NULL)
		p = &none;
	if (!pg->broken)
		pg_sent(pg,
		    PQsendQueryParams(pg->conn, sql, p->count, NULL, p->value,
			p->length, p->binary, binary));
}

void
pg_run_prepared(
    struct pg *pg, const char *name, const struct pg_params *p, bool binary)
{
	assert(pg->open != NULL);
	if (!pg->broken)
		pg_sent(pg,
		    PQsendQueryPrepared(pg->conn, name, p->count, p->value,
			p->length, p->binary, binary));
}

void
pg_commit(struct pg *pg)
{
	assert(pg->open != NULL);
	pg->open = NULL;
	if (pg->broken)
		return;
	if (PQpipelineSync(pg->conn) != 1)
		pg_drop(pg, PQerrorMessage(pg->conn));
	else
		pg_flush(pg);
}

void
pg_param_int(struct pg_params *p, int64_t v)
{
	int i = p->count++;

	assert(i < PG_PARAMS);
	snprintf(p->text[i], sizeof(p->text[i]), "%" PRId64, v);
	p->value[i] = p->text[i];
	p->length[i] = 0;
	p->binary[i] = 0;
}

void
pg_param_text(struct pg_params *p, const char *s)
{
	int i = p->count++;

	assert(i < PG_PARAMS);
	p->value[i] = s;
	p->length[i] = 0;
	p->binary[i] = 0;
}

void
pg_param_bytes(struct pg_params *p, const void *bytes, size_t len)
{
	int i = p->count++;

	assert(i < PG_PARAMS);
	p->value[i] = bytes;
	p->length[i] = (int)len;
	p->binary[i] = 1;
}

int64_t
pg_int8(const PGresult *res, int row, int col)
{
	const uint8_t *p = (const uint8_t *)PQgetvalue(res, row, col);
	uint64_t v = 0;

	if (PQgetisnull(res, row, col) || PQgetlength(res, row, col) != 8)
		return 0;
	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return (int64_t)v;
}

/* int4, int2, "char" and bool alike. */
int32_t
pg_int4(const PGresult *res, int row, int col)
{
	const uint8_t *p = (const uint8_t *)PQgetvalue(res, row, col);
	int len = PQgetlength(res, row, col);
	uint32_t v = 0;

	if (PQgetisnull(res, row, col) || len > 4)
		return 0;
	for (int i = 0; i < len; i++)
		v = v << 8 | p[i];
	return (int32_t)v;
}

const uint8_t *
pg_bytes(const PGresult *res, int row, int col, size_t *len)
{
	if (PQgetisnull(res, row, col)) {
		*len = 0;
		return NULL;
	}
	*len = (size_t)PQgetlength(res, row, col);
	return (const uint8_t *)PQgetvalue(res, row, col);
}

static uint32_t
pg_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | p[3];
}

void
pg_array_open(struct pg_array *a, const PGresult *res, int row, int col)
{
	size_t len;

	/* dimensions, has-null flag, element type, then length and lower
	 * bound of each dimension */
	memset(a, 0, sizeof(*a));
	a->pos = pg_bytes(res, row, col, &len);
	if (a->pos == NULL || len < 20 || pg_be32(a->pos) != 1)
		return;
	a->end = a->pos + len;
	a->left = pg_be32(a->pos + 12);
	a->pos += 20;
}

bool
pg_array_next(struct pg_array *a, const uint8_t **p, size_t *len)
{
	uint32_t n;

	if (a->left == 0 || a->end - a->pos < 4)
		return false;
	n = pg_be32(a->pos);
	a->pos += 4;
	a->left--;
	*p = NULL;
	*len = 0;
	if (n == UINT32_MAX)
		return true;
	if (n > (size_t)(a->end - a->pos))
		return false;
	*p = a->pos;
	*len = n;
	a->pos += n;
	return true;
}
