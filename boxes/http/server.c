/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory: a request is one struct from a free list; its bytes stay in the
 * conn's buffer while its handler runs and are copied only by http_keep().  An
 * answer goes straight into the conn's write buffer when it is its turn, and
 * waits in the request otherwise.
 */
#include "boxes/http/server.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "boxes/http/parse.h"
#include "boxes/http/traffic.h"
#include "common/clock.h"
#include "common/conn.h"
#include "common/crash.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/stats.h"
#include "common/uuid.h"
#include "common/xalloc.h"

#define SERVER_PIPELINE      16
#define SERVER_PER_TURN      64 /* requests of one connection */
#define SERVER_HEAD_MS       10000
#define SERVER_BODY_MS       60000
#define SERVER_BODY_GRACE    5000
#define SERVER_BODY_RATE     500 /* bytes per second */
#define SERVER_STALL_MS      30000
#define SERVER_DRAIN_IDLE_MS 400         /* a request may be on its way */
#define SERVER_BODY_FREE     (64 * 1024) /* bodies up to here cost no budget */
#define SERVER_BODY_BUDGET   (64 * 1024 * 1024)
#define SERVER_SPARE         1024 /* requests kept for reuse */
#define SERVER_PARSES        16   /* and what reads them */
#define SERVER_LISTENERS     8
#define SOURCE_LEN           48
#define REQUEST_ID_LEN       64

enum http_state {
	HCONN_IDLE = 0, /* no byte of a request has come */
	HCONN_HEAD,     /* part of a head has come */
	HCONN_BODY,     /* the head is good, the body is on its way */
	HCONN_FULL,     /* enough requests wait; nothing more is read */
	HCONN_LAST,     /* no further request; closes when all are answered */
	HCONN_CLOSING,  /* only CLOSED may follow */
};

static const char *const http_state_names[] = {
	[HCONN_IDLE] = "idle",
	[HCONN_HEAD] = "head",
	[HCONN_BODY] = "body",
	[HCONN_FULL] = "full",
	[HCONN_LAST] = "last",
	[HCONN_CLOSING] = "closing",
};

/* Small: by the time of the answer other requests were handled, and its memory
 * is cold. */
struct http_request {
	struct server *server;
	struct http_conn *conn; /* NULL: the client has gone */
	const struct http_route *route;
	void *arg;
	uint64_t started_us;
	TAILQ_ENTRY(http_request) link;
	const uint8_t *base; /* NULL: no longer readable */
	uint8_t *kept;       /* owned copy of the bytes, or NULL */
	size_t charged;      /* of the budget for bodies */
	/* While it is being received or can be read, else NULL. */
	struct parse *parse;
	size_t size;          /* of it all; this and what follows since it */
	unsigned char method; /* was received */
	bool old;             /* HTTP/1.0 */
	bool keep_alive;      /* the client does not want it to be the last */
	bool done;            /* answered, waits for its turn */
	bool close;           /* the connection ends after this answer */
	char id[REQUEST_ID_LEN + 1];
	struct buf out;          /* the answer, until its turn */
	char source[SOURCE_LEN]; /* when the client has gone */
};

TAILQ_HEAD(request_list, http_request);

struct http_conn {
	struct server *server;
	struct conn *conn;
	enum http_state state;        /* written only by http_enter_state() and
				* http_read_no_more() */
	uint64_t since;               /* mono ms, when the state was entered */
	struct http_request *current; /* being received */
	struct request_list waiting;  /* received, in order, not answered */
	unsigned waiting_count;
	uint64_t served;
	bool want_continue; /* 100 Continue is due when the answers are out */
	size_t unsent;      /* at the last sweep */
	uint64_t unsent_since;
	char source[SOURCE_LEN];
	TAILQ_ENTRY(http_conn) link;
};

TAILQ_HEAD(http_conn_list, http_conn);

struct server {
	struct server_opts opts;
	uv_loop_t *loop;
	uv_timer_t sweep;
	struct listener *listener[SERVER_LISTENERS];
	unsigned listeners;
	struct http_conn_list conns;
	unsigned conn_count;
	unsigned request_count; /* in the hands of handlers or waiting */
	struct request_list spare;
	unsigned spare_count;
	struct parse *parses[SERVER_PARSES]; /* spare */
	unsigned parse_count;
	size_t body_charged;
	bool draining;
	void (*drained)(void *arg);
	void *drained_arg;
	uint64_t date_turn; /* clock_turn_us() when it was looked at */
	uint64_t date_second;
	char date[64]; /* "Date: ...\r\n" */
	size_t date_len;
	struct log_limit log_faults;
};

static struct stat_value server_connections_stat = {
	.name = "http_connections",
	.help = "Open HTTP connections",
	.type = STAT_GAUGE,
};

static conn_cb http_conn_cb;

/* ------------------------------------------------------------ requests */

static struct parse *
server_parse(struct server *s)
{
	struct parse *p;

	if (s->parse_count > 0)
		return s->parses[--s->parse_count];
	p = xmalloc(sizeof(*p));
	parse_init(p);
	return p;
}

/* Its bytes are not readable any more. */
static void
request_end_reading(struct http_request *r)
{
	struct server *s = r->server;
	struct parse *p = r->parse;

	r->base = NULL;
	r->parse = NULL;
	if (p == NULL)
		return;
	/* Large buffers are not kept for the next one. */
	if (s->parse_count == SERVER_PARSES || p->joined.cap > 16384) {
		parse_fini(p);
		free(p);
		return;
	}
	s->parses[s->parse_count++] = p;
}

static struct http_request *
request_new(struct http_conn *c)
{
	struct server *s = c->server;
	struct http_request *r = TAILQ_FIRST(&s->spare);

	if (r != NULL) {
		TAILQ_REMOVE(&s->spare, r, link);
		s->spare_count--;
	} else {
		r = xcalloc(1, sizeof(*r));
		r->server = s;
		buf_init(&r->out);
	}
	r->conn = c;
	r->route = NULL;
	r->base = NULL;
	r->arg = NULL;
	r->charged = 0;
	r->done = r->close = false;
	r->id[0] = '\0';
	r->parse = server_parse(s);
	parse_reset(r->parse, s->opts.max_body);
	s->request_count++;
	return r;
}

static void
request_free(struct http_request *r)
{
	struct server *s = r->server;

	assert(s->request_count > 0);
	s->request_count--;
	s->body_charged -= r->charged;
	free(r->kept);
	r->kept = NULL;
	r->conn = NULL;
	request_end_reading(r);
	if (s->spare_count == SERVER_SPARE || r->out.cap > 16384) {
		buf_fini(&r->out);
		free(r);
		return;
	}
	buf_clear(&r->out);
	TAILQ_INSERT_HEAD(&s->spare, r, link);
	s->spare_count++;
}

/* False when the budget for large bodies is used up. */
static bool
request_charge(struct http_request *r)
{
	struct server *s = r->server;
	size_t want = r->parse->chunked ? s->opts.max_body
					: (size_t)r->parse->body_length;

	if (want <= SERVER_BODY_FREE)
		return true;
	if (want > SERVER_BODY_BUDGET - s->body_charged)
		return false;
	s->body_charged += want;
	r->charged = want;
	return true;
}

unsigned
http_method(const struct http_request *r)
{
	return r->method;
}

struct bytes
http_path(const struct http_request *r)
{
	return http_span_bytes(r->base, r->parse->head.path);
}

struct bytes
http_rest(const struct http_request *r)
{
	struct bytes path = http_path(r);
	size_t n = strlen(r->route->path);

	return bytes_of(path.p + n, path.len - n);
}

struct bytes
http_query(const struct http_request *r)
{
	return http_span_bytes(r->base, r->parse->head.query);
}

struct bytes
http_body(const struct http_request *r)
{
	return parse_body(r->parse, r->base);
}

bool
http_header(const struct http_request *r, const char *name, struct bytes *value)
{
	return http_head_get(&r->parse->head, r->base, name, value);
}

const char *
http_source(const struct http_request *r)
{
	return r->conn != NULL ? r->conn->source : r->source;
}

const char *
http_route_name(const struct http_request *r)
{
	return r->route != NULL ? r->route->name : "none";
}

struct bytes
http_given_id(const struct http_request *r)
{
	return bytes_of(r->id, strlen(r->id));
}

const char *
http_request_id(struct http_request *r)
{
	uint8_t id[UUID_LEN];

	if (r->id[0] == '\0') {
		uuid_new(id);
		uuid_format(id, r->id);
	}
	return r->id;
}

void
http_keep(struct http_request *r)
{
	if (r->kept != NULL)
		return;
	assert(r->base != NULL);
	r->kept = xmemdup(r->base, r->size);
	r->base = r->kept;
}

void
http_set_arg(struct http_request *r, void *arg)
{
	r->arg = arg;
}

void *
http_arg(const struct http_request *r)
{
	return r->arg;
}

/* An id that a client may choose: short, printable, no quotes or blanks. */
static void
request_take_id(struct http_request *r)
{
	struct bytes v;
	size_t i;

	if (!http_header(r, "x-request-id", &v) || v.len == 0 ||
	    v.len > REQUEST_ID_LEN)
		return;
	for (i = 0; i < v.len; i++) {
		if (v.p[i] <= ' ' || v.p[i] >= 0x7f || v.p[i] == '"' ||
		    v.p[i] == '\\' || v.p[i] == '<' || v.p[i] == '>')
			return;
	}
	memcpy(r->id, v.p, v.len);
	r->id[v.len] = '\0';
}

/* ------------------------------------------------------------- answers */

static const char *
reason_phrase(unsigned status)
{
	switch (status) {
	case 200:
		return "OK";
	case 201:
		return "Created";
	case 202:
		return "Accepted";
	case 204:
		return "No Content";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 408:
		return "Request Timeout";
	case 409:
		return "Conflict";
	case 413:
		return "Content Too Large";
	case 414:
		return "URI Too Long";
	case 415:
		return "Unsupported Media Type";
	case 417:
		return "Expectation Failed";
	case 422:
		return "Unprocessable Content";
	case 429:
		return "Too Many Requests";
	case 431:
		return "Request Header Fields Too Large";
	case 500:
		return "Internal Server Error";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	case 505:
		return "HTTP Version Not Supported";
	}
	return "Unknown";
}

/* The Date line, made once a second. */
static void
server_date(struct server *s)
{
	uint64_t turn = clock_turn_us(), second;
	struct tm tm;
	time_t t;

	if (turn == s->date_turn)
		return;
	s->date_turn = turn;
	second = clock_wall_ms() / 1000;
	if (second == s->date_second)
		return;
	t = (time_t)second;
	s->date_second = second;
	s->date_len = strftime(s->date, sizeof(s->date),
	    "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&t, &tm));
}

static uint8_t *
put(uint8_t *p, const void *data, size_t len)
{
	memcpy(p, data, len);
	return p + len;
}

static uint8_t *
put_str(uint8_t *p, const char *s)
{
	return put(p, s, strlen(s));
}

static uint8_t *
put_number(uint8_t *p, size_t n)
{
	char digits[24];
	size_t i = sizeof(digits);

	do
		digits[--i] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	return put(p, digits + i, sizeof(digits) - i);
}

#define RESPONSE_HEAD 512 /* all header lines of ours together */

/* Writes a response at p, which has room for it; returns the end. */
static uint8_t *
response_put(
    struct http_request *r, const struct http_response *resp, uint8_t *p)
{
	struct server *s = r->server;

	server_date(s);
	p = put_str(p, r->old ? "HTTP/1.0 " : "HTTP/1.1 ");
	p = put_number(p, resp->status);
	*p++ = ' ';
	p = put_str(p, reason_phrase(resp->status));
	p = put_str(p, "\r\nServer: hopyard\r\n");
	p = put(p, s->date, s->date_len);
	p = put_str(p, "Content-Length: ");
	p = put_number(p, resp->len);
	p = put_str(p,
	    r->close ? "\r\nConnection: Close\r\n"
		     : "\r\nConnection: Keep-Alive\r\n");
	if (resp->type != NULL) {
		p = put_str(p, "Content-Type: ");
		p = put_str(p, resp->type);
		p = put_str(p, "\r\n");
	}
	p = put_str(p, "Cache-Control: no-cache\r\n");
	if (r->id[0] != '\0') {
		p = put_str(p, "X-Request-Id: ");
		p = put_str(p, r->id);
		p = put_str(p, "\r\n");
	}
	if (resp->extra_len > 0)
		p = put(p, resp->extra, resp->extra_len);
	p = put_str(p, "\r\n");
	if (resp->len > 0 && http_method(r) != HTTP_HEAD)
		p = put(p, resp->body, resp->len);
	return p;
}

/* Nobody is there to read the answers of what still waits. */
static void
http_detach(struct http_conn *c)
{
	struct http_request *r;

	while ((r = TAILQ_FIRST(&c->waiting)) != NULL) {
		TAILQ_REMOVE(&c->waiting, r, link);
		memcpy(r->source, c->source, sizeof(r->source));
		r->conn = NULL;
		if (r->done)
			request_free(r);
	}
	c->waiting_count = 0;
}

static void
http_enter_state(struct http_conn *c, enum http_state next)
{
	assert(c->state != HCONN_CLOSING);
	if (c->state != next && log_enabled(LOG_LEVEL_DEBUG))
		log_debug("http.state", "peer=%s from=%s to=%s",
		    conn_peer(c->conn), http_state_names[c->state],
		    http_state_names[next]);
	c->state = next;
	c->since = clock_turn_ms();

	switch (next) {
	case HCONN_IDLE:
	case HCONN_HEAD:
	case HCONN_BODY:
		break;
	case HCONN_FULL:
		conn_pause(c->conn);
		break;
	case HCONN_LAST:
		/* What still comes is read and thrown away. */
		conn_resume(c->conn);
		conn_drop(c->conn, conn_len(c->conn));
		break;
	case HCONN_CLOSING:
		http_detach(c);
		conn_close_flush(c->conn);
		break;
	}
}

/* HCONN_LAST without throwing input away: a request may still lie there. */
static void
http_read_no_more(struct http_conn *c)
{
	if (c->state < HCONN_LAST)
		c->state = HCONN_LAST;
}

/* Throw away what is being received. */
static void
http_drop_current(struct http_conn *c)
{
	if (c->current != NULL) {
		request_free(c->current);
		c->current = NULL;
	}
}

/* The last answer of a connection is out.  conn.c sees to it that the client
 * gets to read it, although more of a refused request may be on its way. */
static void
http_finish(struct http_conn *c)
{
	http_drop_current(c);
	http_enter_state(c, HCONN_CLOSING);
}

/* Called whenever the first of the waiting requests may have been answered. */
static void
http_flush(struct http_conn *c)
{
	struct http_request *r;
	bool close = false;

	while ((r = TAILQ_FIRST(&c->waiting)) != NULL && r->done) {
		if (buf_len(&r->out) > 0)
			conn_send(c->conn, buf_data(&r->out), buf_len(&r->out));
		TAILQ_REMOVE(&c->waiting, r, link);
		c->waiting_count--;
		c->served++;
		close = r->close;
		request_free(r);
		if (close)
			break;
	}
	if (close) {
		/* Requests behind it were read but will not be answered. */
		http_detach(c);
		http_finish(c);
	} else if (c->waiting_count == 0 && c->state == HCONN_LAST) {
		http_finish(c);
	} else if (c->want_continue && c->waiting_count == 0) {
		c->want_continue = false;
		conn_send(c->conn, "HTTP/1.1 100 Continue\r\n\r\n", 25);
	}
}

/*
 * While draining: is this the last answer of its connection?  Not as long as
 * something of another request has come.
 */
static bool
http_is_last(const struct http_conn *c, const struct http_request *r)
{
	size_t own = r->base == conn_data(c->conn) ? r->size : 0;

	return r == TAILQ_LAST(&c->waiting, request_list) &&
	    c->current == NULL && conn_len(c->conn) <= own;
}

void
http_reply(struct http_request *r, const struct http_response *resp)
{
	struct http_conn *c = r->conn;
	size_t room = RESPONSE_HEAD + resp->extra_len + resp->len;
	uint8_t *p, *end;

	assert(!r->done);
	CRASH_POINT("http.answer");
	traffic_count(http_route_name(r), http_method(r), resp->status,
	    clock_turn_us() - r->started_us);
	r->done = true;
	if (c == NULL) {
		request_free(r);
		return;
	}

	r->close = resp->close || !r->keep_alive ||
	    (r->server->draining && http_is_last(c, r));
	if (r->close)
		http_read_no_more(c); /* the answer itself may have to wait */
	if (r == TAILQ_FIRST(&c->waiting)) {
		p = conn_reserve(c->conn, room);
		end = response_put(r, resp, p);
		conn_commit(c->conn, (size_t)(end - p));
		CRASH_POINT("http.answered");
		http_flush(c);
	} else {
		p = buf_reserve(&r->out, room);
		end = response_put(r, resp, p);
		buf_commit(&r->out, (size_t)(end - p));
	}
	if (c->state == HCONN_FULL && c->waiting_count < SERVER_PIPELINE) {
		http_enter_state(c, HCONN_IDLE);
		/* What lies there is handed in later: no handler is entered
		 * from inside another. */
		conn_resume(c->conn);
	}
}

void
http_reply_text(
    struct http_request *r, unsigned status, const char *type, const char *text)
{
	struct http_response resp = {
		.status = status,
		.type = type,
		.body = text,
		.len = strlen(text),
	};

	http_reply(r, &resp);
}

/* ------------------------------------------------------------ dispatch */

static bool
route_matches(const struct http_route *route, struct bytes path)
{
	size_t n = strlen(route->path);

	return (route->prefix ? path.len > n : path.len == n) &&
	    memcmp(path.p, route->path, n) == 0;
}

/* "GET, POST" of all routes with this path. */
static void
route_allow(
    const struct http_route *routes, struct bytes path, char *dst, size_t cap)
{
	const struct http_route *route;
	uint64_t methods = 0;
	size_t n = 0;
	unsigned m;

	dst[0] = '\0';
	for (route = routes; route->path != NULL; route++) {
		if (route_matches(route, path))
			methods |= route->methods;
	}
	for (m = 0; m < 64 && n < cap; m++) {
		if ((methods & HTTP_METHOD(m)) != 0)
			n += (size_t)snprintf(dst + n, cap - n, "%s%s",
			    n > 0 ? ", " : "",
			    llhttp_method_name((llhttp_method_t)m));
	}
}

static void
server_dispatch(struct server *s, struct http_request *r)
{
	const struct http_route *route;
	struct bytes path = http_path(r);
	char allow[64];
	bool known = false;

	for (route = s->opts.routes; route->path != NULL; route++) {
		if (!route_matches(route, path))
			continue;
		known = true;
		if (route->methods != 0 &&
		    (route->methods & HTTP_METHOD(http_method(r))) == 0)
			continue;
		r->route = route;
		route->handle(r, s->opts.arg);
		return;
	}
	if (!known) {
		s->opts.refuse(
		    r, 404, "There is nothing here.", NULL, s->opts.arg);
		return;
	}
	route_allow(s->opts.routes, path, allow, sizeof(allow));
	s->opts.refuse(
	    r, 405, "This method is not known here.", allow, s->opts.arg);
}

/* The request stands in the queue of its connection from here on. */
static void
http_enqueue(struct http_conn *c, struct http_request *r, const uint8_t *data)
{
	r->base = data;
	r->size = r->parse->size;
	r->method = (unsigned char)parse_method(r->parse);
	r->old = r->parse->head.minor == 0;
	r->keep_alive = r->parse->keep_alive;
	r->started_us = clock_turn_us();
	TAILQ_INSERT_TAIL(&c->waiting, r, link);
	c->waiting_count++;
	c->current = NULL;
	c->want_continue = false;
}

static void
http_on_request(struct http_conn *c, struct http_request *r)
{
	size_t size = r->parse->size;

	CRASH_POINT("http.request_read");
	http_enqueue(c, r, conn_data(c->conn));
	request_take_id(r);
	if (!r->keep_alive)
		http_read_no_more(c); /* before any answer can close it */
	/* The handler may answer and so free r: only c is safe afterwards. */
	server_dispatch(c->server, r);

	r = TAILQ_LAST(&c->waiting, request_list);
	if (!TAILQ_EMPTY(&c->waiting) && r->kept == NULL)
		request_end_reading(r);
	conn_drop(c->conn, c->state < HCONN_LAST ? size : conn_len(c->conn));
}

/* Refuse what came and end the connection. */
static void
http_on_fault(struct http_conn *c, enum http_fault fault)
{
	struct http_request *r = c->current;
	static const uint8_t nothing[1];

	if (log_limit(&c->server->log_faults, 10))
		log_warn("http.fault", "peer=%s status=%u reason=%s",
		    conn_peer(c->conn), http_fault_status(fault),
		    http_fault_text(fault));
	r->parse->state = PARSE_FAULT;
	r->parse->keep_alive = false;
	/* Only the path is of use to refuse(), if it got that far. */
	http_enqueue(
	    c, r, r->parse->head.path.len > 0 ? r->parse->base : nothing);
	c->server->opts.refuse(r, http_fault_status(fault),
	    http_fault_text(fault), NULL, c->server->opts.arg);
	if (c->state < HCONN_LAST)
		http_enter_state(c, HCONN_LAST);
}

static bool
http_reading(const struct http_conn *c)
{
	return c->state == HCONN_IDLE || c->state == HCONN_HEAD ||
	    c->state == HCONN_BODY;
}

static void
http_on_head(struct http_conn *c, struct http_request *r)
{
	if (c->state == HCONN_BODY)
		return;
	http_enter_state(c, HCONN_BODY);
	if (!request_charge(r)) {
		http_on_fault(c, HTTP_FAULT_BUSY);
		return;
	}
	if (r->parse->head.expects_continue) {
		c->want_continue = true;
		http_flush(c);
	}
}

static void
http_on_data(struct http_conn *c)
{
	struct http_request *r;
	unsigned turns = SERVER_PER_TURN;

	while (http_reading(c) && conn_len(c->conn) > 0) {
		if (turns-- == 0) {
			/* Others first; the conn calls again by itself. */
			conn_pause(c->conn);
			conn_resume(c->conn);
			return;
		}
		if (c->waiting_count == SERVER_PIPELINE) {
			http_enter_state(c, HCONN_FULL);
			return;
		}
		if (c->current == NULL) {
			c->current = request_new(c);
			http_enter_state(c, HCONN_HEAD);
		}
		r = c->current;
		switch (parse_run(
		    r->parse, conn_data(c->conn), conn_len(c->conn))) {
		case PARSE_HEAD:
			return;
		case PARSE_BODY:
			http_on_head(c, r);
			return;
		case PARSE_DONE:
			http_on_request(c, r);
			if (http_reading(c))
				http_enter_state(c, HCONN_IDLE);
			break;
		case PARSE_FAULT:
			http_on_fault(c, r->parse->head.fault);
			break;
		}
	}
	if (!http_reading(c) && c->state != HCONN_FULL)
		conn_drop(c->conn, conn_len(c->conn));
}

/* --------------------------------------------------------- connections */

static void
http_on_eof(struct http_conn *c)
{
	http_drop_current(c);
	if (c->state == HCONN_CLOSING)
		return;
	/* A client that shut its side down may still wait for answers. */
	if (c->waiting_count > 0)
		http_enter_state(c, HCONN_LAST);
	else
		http_enter_state(c, HCONN_CLOSING);
}

static void
http_on_closed(struct http_conn *c)
{
	struct server *s = c->server;

	http_drop_current(c);
	http_detach(c);
	TAILQ_REMOVE(&s->conns, c, link);
	s->conn_count--;
	server_connections_stat.value--;
	free(c);
	if (s->draining && s->conn_count == 0 && s->drained != NULL) {
		s->drained(s->drained_arg);
		s->drained = NULL;
	}
}

static void
http_conn_cb(struct conn *conn, enum conn_event ev, void *arg)
{
	struct http_conn *c = arg;

	assert(c->conn == conn);
	switch (ev) {
	case CONN_EV_CONNECTED:
	case CONN_EV_WRITABLE:
		break;
	case CONN_EV_DATA:
		http_on_data(c);
		break;
	case CONN_EV_EOF:
		http_on_eof(c);
		break;
	case CONN_EV_ERROR:
		if (c->state != HCONN_CLOSING)
			http_enter_state(c, HCONN_CLOSING);
		conn_close(conn);
		break;
	case CONN_EV_CLOSED:
		http_on_closed(c);
		break;
	}
}

/* "[::1]:4711" -> "::1" */
static void
http_set_source(struct http_conn *c)
{
	const char *peer = conn_peer(c->conn), *colon = strrchr(peer, ':');
	size_t len = colon != NULL ? (size_t)(colon - peer) : strlen(peer);

	if (len >= 2 && peer[0] == '[' && peer[len - 1] == ']') {
		peer++;
		len -= 2;
	}
	/* A v4 address on a v6 socket is that v4 address. */
	if (len > 7 && strncasecmp(peer, "::ffff:", 7) == 0 &&
	    memchr(peer, '.', len) != NULL) {
		peer += 7;
		len -= 7;
	}
	if (len >= sizeof(c->source))
		len = sizeof(c->source) - 1;
	memcpy(c->source, peer, len);
	c->source[len] = '\0';
}

static void
server_accept_cb(struct listener *l UNUSED, struct conn *conn, void *arg)
{
	struct server *s = arg;
	struct http_conn *c;

	c = xcalloc(1, sizeof(*c));
	c->server = s;
	c->conn = conn;
	c->since = clock_mono_ms();
	TAILQ_INIT(&c->waiting);
	TAILQ_INSERT_TAIL(&s->conns, c, link);
	s->conn_count++;
	server_connections_stat.value++;
	conn_set_cb(conn, http_conn_cb, c);
	http_set_source(c);
}

/* Whether the bytes of the body come fast enough. */
static bool
http_body_slow(const struct http_conn *c, uint64_t spent, unsigned hurry)
{
	uint64_t got = conn_len(c->conn);

	return spent > SERVER_BODY_MS / hurry ||
	    spent > SERVER_BODY_GRACE / hurry + got * 1000 / SERVER_BODY_RATE;
}

/* How long a connection may say nothing. */
static uint64_t
http_idle_ms(const struct http_conn *c, unsigned hurry)
{
	if (c->server->draining)
		return SERVER_DRAIN_IDLE_MS;
	/* Nothing said yet: as long as for a head. */
	return (c->served > 0 ? c->server->opts.keepalive_ms : SERVER_HEAD_MS) /
	    hurry;
}

static void
http_sweep_reading(struct http_conn *c, uint64_t spent, unsigned hurry)
{
	switch (c->state) {
	case HCONN_IDLE:
		if (c->waiting_count == 0 && spent > http_idle_ms(c, hurry))
			http_enter_state(c, HCONN_CLOSING);
		break;
	case HCONN_HEAD:
		if (spent > SERVER_HEAD_MS / hurry)
			http_on_fault(c, HTTP_FAULT_SLOW);
		break;
	case HCONN_BODY:
		if (http_body_slow(c, spent, hurry))
			http_on_fault(c, HTTP_FAULT_SLOW);
		break;
	case HCONN_FULL:
	case HCONN_LAST:
	case HCONN_CLOSING:
		break;
	}
}

static void
server_sweep_cb(uv_timer_t *timer)
{
	struct server *s = timer->data;
	struct http_conn *c, *next;
	uint64_t now = clock_mono_ms();
	unsigned hurry;
	size_t unsent;

	hurry =
	    s->draining || s->conn_count * 5ULL > s->opts.max_connections * 4ULL
	    ? 5
	    : 1;
	TAILQ_FOREACH_SAFE(c, &s->conns, link, next) {
		unsent = conn_unsent(c->conn);
		if (unsent == 0 || unsent != c->unsent)
			c->unsent_since = now;
		c->unsent = unsent;
		if (now - c->unsent_since > SERVER_STALL_MS) {
			if (c->state != HCONN_CLOSING)
				http_enter_state(c, HCONN_CLOSING);
			conn_close(c->conn);
			continue;
		}
		http_sweep_reading(c, now - c->since, hurry);
	}
}

/* -------------------------------------------------------------- server */

struct server *
server_new(uv_loop_t *loop, const struct server_opts *opts)
{
	struct server *s = xcalloc(1, sizeof(*s));

	s->opts = *opts;
	s->loop = loop;
	TAILQ_INIT(&s->conns);
	TAILQ_INIT(&s->spare);
	stat_register(&server_connections_stat);
	uv_timer_init(loop, &s->sweep);
	s->sweep.data = s;
	uv_timer_start(&s->sweep, server_sweep_cb, 1000, 1000);
	return s;
}

int
server_listen(struct server *s, const char *address)
{
	struct conn_opts opts = {
		/* Chunks may frame a body at the same size again. */
		.read_max = 2 * s->opts.max_body + HTTP_HEAD_MAX +
		    HTTP_TARGET_MAX + 65536,
		.high = 256 * 1024,
		.low = 64 * 1024,
	};
	int rc;

	if (s->listeners == SERVER_LISTENERS)
		return UV_ENOSPC;
	rc = listener_open(s->loop, address, 0660, s->opts.max_connections,
	    &opts, server_accept_cb, s, &s->listener[s->listeners]);
	if (rc == 0)
		s->listeners++;
	return rc;
}

void
server_drain(struct server *s, void (*done)(void *arg), void *arg)
{
	struct http_conn *c;

	s->draining = true;
	s->drained = done;
	s->drained_arg = arg;
	/* Who has connected already is served. */
	while (s->listeners > 0)
		listener_drain(s->listener[--s->listeners]);
	TAILQ_FOREACH(c, &s->conns, link) {
		if (c->state == HCONN_IDLE)
			c->since = clock_mono_ms();
	}
	uv_timer_start(&s->sweep, server_sweep_cb, SERVER_DRAIN_IDLE_MS / 4,
	    SERVER_DRAIN_IDLE_MS / 4);
	if (s->conn_count == 0 && s->drained != NULL) {
		s->drained = NULL;
		done(arg);
	}
}

void
server_close(struct server *s)
{
	struct http_conn *c;

	while (s->listeners > 0)
		listener_close(s->listener[--s->listeners]);
	TAILQ_FOREACH(c, &s->conns, link) {
		if (c->state != HCONN_CLOSING)
			http_enter_state(c, HCONN_CLOSING);
		conn_close(c->conn);
	}
	if (!uv_is_closing((uv_handle_t *)&s->sweep))
		uv_close((uv_handle_t *)&s->sweep, NULL);
}

void
server_free(struct server *s)
{
	struct http_request *r;

	stat_unregister(&server_connections_stat);
	while ((r = TAILQ_FIRST(&s->spare)) != NULL) {
		TAILQ_REMOVE(&s->spare, r, link);
		buf_fini(&r->out);
		free(r);
	}
	while (s->parse_count > 0) {
		parse_fini(s->parses[--s->parse_count]);
		free(s->parses[s->parse_count]);
	}
	free(s);
}

unsigned
server_connections(const struct server *s)
{
	return s->conn_count;
}
