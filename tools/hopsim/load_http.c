/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load_http.c - every connection has at most one request under way.  A
 * connection that the server ends is made anew at once; one that cannot be
 * made, after a while.
 */
#include "tools/hopsim/load_http.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/conn.h"
#include "common/json.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/xalloc.h"
#include "tools/hopsim/http_scan.h"
#include "tools/hopsim/option.h"
#include "tools/hopsim/pattern.h"

#define HTTP_RETRY_MS 100
#define HTTP_HEAD_MAX 8192

enum http_state {
	HTTP_DOWN = 0, /* the timer brings a new connection */
	HTTP_CONNECTING,
	HTTP_IDLE, /* in the list */
	HTTP_BUSY, /* a request is out */
	HTTP_CLOSING,
};

struct http {
	TAILQ_ENTRY(http) link; /* of the idle ones */
	struct load_http *load;
	struct conn *conn;
	uv_timer_t retry;
	enum http_state state;
	bool refused; /* the last connection did not come about */
	uint64_t due_us, sent_us;
};
TAILQ_HEAD(http_list, http);

struct load_http {
	struct load *load;
	const struct load_http_options *opt;
	char address[300]; /* to connect to */
	struct pattern head, body;
	size_t room; /* that a request takes */
	struct http *http;
	struct http_list idle;
	unsigned open;
	uint64_t busy, connects;
	uint64_t waiting_since_us;
};

static void http_connect(struct http *);

static void
http_retry_cb(uv_timer_t *timer)
{
	http_connect(timer->data);
}

static void
http_enter_state(struct http *h, enum http_state next)
{
	struct load_http *s = h->load;
	enum http_state last = h->state;

	if (last == HTTP_IDLE)
		TAILQ_REMOVE(&s->idle, h, link);
	if (last == HTTP_BUSY)
		s->busy--;
	h->state = next;
	switch (next) {
	case HTTP_DOWN:
		if (s->load->state != LOAD_ENDED)
			uv_timer_start(&h->retry, http_retry_cb,
			    h->refused ? HTTP_RETRY_MS : 0, 0);
		break;
	case HTTP_CONNECTING:
		break;
	case HTTP_IDLE:
		if (last == HTTP_CONNECTING)
			s->open++;
		TAILQ_INSERT_TAIL(&s->idle, h, link);
		break;
	case HTTP_BUSY:
		s->busy++;
		break;
	case HTTP_CLOSING:
		if (last == HTTP_IDLE || last == HTTP_BUSY)
			s->open--;
		conn_close(h->conn);
		break;
	}
}

/* ----------------------------------------------------------------- requests */

static void
http_send(struct http *h, const struct load_message *m)
{
	struct load_http *s = h->load;
	char *at = (char *)conn_reserve(h->conn, s->room);
	char *start = at, length[32];
	size_t body = 0;
	int n;

	h->due_us = m->due_us;
	h->sent_us = clock_mono_us();
	at += pattern_put(&s->head, at, m->number, m->wall_us);
	if (s->opt->post != NULL) {
		/* The length stands before the body: leave it room. */
		body = pattern_put(
		    &s->body, at + sizeof(length), m->number, m->wall_us);
		n = snprintf(length, sizeof(length), "%zu\r\n\r\n", body);
		assert(n > 0 && (size_t)n < sizeof(length));
		memcpy(at, length, (size_t)n);
		memmove(at + n, at + sizeof(length), body);
		at += (size_t)n + body;
	}
	assert((size_t)(at - start) <= s->room);
	conn_commit(h->conn, (size_t)(at - start));
	http_enter_state(h, HTTP_BUSY);
}

static void
load_http_pump(void *arg)
{
	struct load_http *s = arg;
	struct load_message m;
	struct http *h;

	while ((h = TAILQ_FIRST(&s->idle)) != NULL && load_take(s->load, &m))
		http_send(h, &m);
}

/* ------------------------------------------------------------------ answers */

static void
http_answered(struct http *h, const struct http_scan *r)
{
	struct load_http *s = h->load;

	load_answer(
	    s->load, h->due_us, r->status, r->status >= 200 && r->status < 300);
	http_enter_state(h, r->close ? HTTP_CLOSING : HTTP_IDLE);
}

/* The connection is gone; a request under way has no answer. */
static void
http_close(struct http *h, const char *reason)
{
	struct load_http *s = h->load;

	if (h->state == HTTP_DOWN || h->state == HTTP_CLOSING)
		return;
	h->refused = h->state == HTTP_CONNECTING;
	if (h->state == HTTP_BUSY)
		load_lose(s->load);
	if (s->load->state != LOAD_ENDED && h->state != HTTP_IDLE) {
		static struct log_limit limit;

		s->load->errors++;
		if (log_limit(&limit, 3))
			log_warn("load.link", "reason=%s", reason);
	}
	http_enter_state(h, HTTP_CLOSING);
}

static void
http_on_data(struct http *h, bool end)
{
	struct http_scan r;
	long n;

	while (h->state == HTTP_BUSY && conn_len(h->conn) != 0) {
		n = http_scan_response(
		    &r, conn_data(h->conn), conn_len(h->conn));
		if (n == 0 || (n > 0 && r.until_end && !end))
			return;
		if (n < 0) {
			http_close(h, "not an HTTP response");
			return;
		}
		if (r.until_end) {
			n = (long)conn_len(h->conn);
			r.close = true;
		}
		conn_drop(h->conn, (size_t)n);
		if (r.status >= 200) /* 100 Continue is none */
			http_answered(h, &r);
	}
}

static void
http_conn_cb(struct conn *c, enum conn_event ev, void *arg)
{
	struct http *h = arg;
	struct load_http *s = h->load;

	switch (ev) {
	case CONN_EV_CONNECTED:
		s->connects++;
		http_enter_state(h, HTTP_IDLE);
		if (s->open == s->opt->connections)
			load_start(s->load);
		load_http_pump(s);
		break;
	case CONN_EV_DATA:
		http_on_data(h, false);
		load_http_pump(s);
		break;
	case CONN_EV_WRITABLE:
		break;
	case CONN_EV_EOF:
		http_on_data(h, true);
		http_close(h, "closed by peer");
		break;
	case CONN_EV_ERROR:
		http_close(h, uv_strerror(conn_error(c)));
		break;
	case CONN_EV_CLOSED:
		h->conn = NULL;
		http_enter_state(h, HTTP_DOWN);
		break;
	}
}

static void
http_connect(struct http *h)
{
	struct load_http *s = h->load;

	h->conn =
	    conn_connect(s->load->loop, s->address, NULL, http_conn_cb, h);
	if (h->conn == NULL)
		option_die("--http: \"%s\" is no address", s->address);
	http_enter_state(h, HTTP_CONNECTING);
}

/* ---------------------------------------------------------------- the whole */

static void
load_http_second(void *arg)
{
	struct load_http *s = arg;
	uint64_t now_us = clock_mono_us();
	unsigned i;

	if (s->load->state == LOAD_WAITING &&
	    now_us - s->waiting_since_us > s->load->wait_us) {
		log_error("load.start", "address=%s open=%u of=%u reason=%s",
		    s->address, s->open, s->opt->connections, "cannot connect");
		load_end(s->load, 1);
		return;
	}
	for (i = 0; i < s->opt->connections; i++) {
		struct http *h = &s->http[i];

		if (h->state == HTTP_BUSY &&
		    now_us - h->sent_us > s->opt->timeout_us)
			http_close(h, "no answer");
	}
	load_http_pump(s);
}

static bool
load_http_idle(void *arg)
{
	const struct load_http *s = arg;

	return s->busy == 0;
}

static void
load_http_result(void *arg, struct json *j)
{
	const struct load_http *s = arg;

	json_uint(j, "connections", s->opt->connections);
	json_uint(j, "connects", s->connects);
}

static void
load_http_stop(void *arg)
{
	struct load_http *s = arg;
	unsigned i;

	for (i = 0; i < s->opt->connections; i++) {
		uv_close((uv_handle_t *)&s->http[i].retry, NULL);
		http_close(&s->http[i], "end");
	}
}

/* "http://host:port/path": fills in the address and the request's head. */
static void
load_http_url(struct load_http *s)
{
	const char *host, *path;
	struct buf b;
	size_t len;
	unsigned i;

	if (strncmp(s->opt->url, "http://", 7) != 0)
		option_die("--http: \"%s\" is no http:// URL", s->opt->url);
	host = s->opt->url + 7;
	len = strcspn(host, "/?");
	path = host + len;
	if (len == 0 || len > 255)
		option_die("--http: \"%s\" has no host", s->opt->url);
	(void)snprintf(s->address, sizeof(s->address), "%.*s", (int)len, host);
	if (strrchr(s->address, ':') == NULL ||
	    s->address[len - 1] == ']') /* [::1] */
		(void)strncat(s->address, ":80",
		    sizeof(s->address) - strlen(s->address) - 1);

	buf_init(&b);
	buf_printf(&b, "%s %s%s HTTP/1.1\r\nHost: %.*s\r\n",
	    s->opt->post != NULL ? "POST" : "GET", *path == '/' ? "" : "/",
	    path, (int)len, host);
	for (i = 0; i < s->opt->headers; i++)
		buf_printf(&b, "%s\r\n", s->opt->header[i]);
	if (s->opt->post != NULL)
		buf_printf(
		    &b, "Content-Type: %s\r\nContent-Length: ", s->opt->type);
	else
		buf_printf(&b, "\r\n");
	if (buf_len(&b) > HTTP_HEAD_MAX)
		option_die("--http and --header are too long");
	if (!pattern_init(&s->head, buf_str(&b), s->load->digits))
		option_die("--http: too many %%n, %%m and %%t");
	s->head.cycle = s->load->cycle;
	buf_fini(&b);
	s->room = s->head.size;
	if (s->opt->post == NULL)
		return;
	if (!pattern_init(&s->body, s->opt->post, s->load->digits))
		option_die("--post: too many %%n, %%m and %%t");
	s->body.cycle = s->load->cycle;
	s->room += s->body.size + 64;
}

int
load_http_run(struct load *load, const struct load_http_options *opt)
{
	static const struct load_ops ops = {
		.mode = "http",
		.pump = load_http_pump,
		.second = load_http_second,
		.idle = load_http_idle,
		.result = load_http_result,
		.stop = load_http_stop,
	};
	struct load_http http = { .load = load, .opt = opt };
	unsigned i;
	int code;

	load_http_url(&http);
	TAILQ_INIT(&http.idle);
	load_init(load, &ops, &http);
	http.waiting_since_us = clock_mono_us();
	http.http = xcalloc(opt->connections, sizeof(*http.http));
	for (i = 0; i < opt->connections; i++) {
		struct http *h = &http.http[i];

		h->load = &http;
		uv_timer_init(load->loop, &h->retry);
		h->retry.data = h;
		http_connect(h);
	}
	(void)uv_run(load->loop, UV_RUN_DEFAULT);
	code = load_fini(load);
	free(http.http);
	pattern_fini(&http.head);
	pattern_fini(&http.body);
	return code;
}
