/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/hook/transfer.h"

#include <sys/socket.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "boxes/hook/guard.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/xalloc.h"

#define BODY_KEEP       (16 * 1024) /* memory that a free handle may hold */
#define HEADER_MAX      160
#define HEADER_COUNT    4
#define RECEIVE_SIZE    4096
#define CONNECTION_LIFE 300L /* seconds */

/* One easy handle. */
struct transfer {
	struct transfers *owner;
	CURL *easy;
	bool post;
	bool want_body;
	bool truncated;
	unsigned allowed, refused; /* sockets, by the guard */
	const char *refusal;
	uint64_t started_us;
	uint64_t configured; /* settings that its options are from */
	struct buf origin;   /* "http://user@host:80/", what CURLOPT_URL is */
	struct buf target;   /* path and query, when it is not in the URL so */
	struct buf body;
	size_t received; /* of the answer's body, wanted or not */
	transfer_cb *cb;
	void *arg;
	/* Request headers, linked without allocation. */
	struct curl_slist header[HEADER_COUNT];
	char header_text[HEADER_COUNT][HEADER_MAX];
	TAILQ_ENTRY(transfer) link;
};

TAILQ_HEAD(transfer_list, transfer);

/* A descriptor that libcurl wants to be polled. */
struct watch {
	uv_poll_t poll;
	struct transfers *owner;
	curl_socket_t fd;
	int events; /* that libuv polls for */
	bool ours;  /* we made it, so we hear of its end */
	bool idle;  /* libcurl does not ask for events now */
};

struct transfers {
	uv_loop_t *loop;
	CURLM *multi;
	uv_timer_t timer;
	struct transfer_settings settings;
	uint64_t configured;
	struct transfer_list free[2], busy; /* free: GET, POST */
	struct watch **watch;               /* by descriptor */
	size_t watch_cap;
	unsigned open_handles; /* of libuv, ours */
	bool closing;
};

static void transfers_finish(struct transfers *);

/* ------------------------------------------------------- sockets and timer */

static void
watch_closed_cb(uv_handle_t *h)
{
	struct watch *w = h->data;

	w->owner->open_handles--;
	free(w);
}

static void
watch_event_cb(uv_poll_t *poll, int status, int events)
{
	struct watch *w = poll->data;
	struct transfers *t = w->owner;
	int flags = 0, running;

	if (w->idle) {
		/* The other end has closed a connection that waits to be used
		 * again; libcurl finds out when it looks at it. */
		uv_poll_stop(poll);
		w->events = 0;
		return;
	}
	if (status < 0)
		flags = CURL_CSELECT_ERR;
	if (events & UV_READABLE)
		flags |= CURL_CSELECT_IN;
	if (events & UV_WRITABLE)
		flags |= CURL_CSELECT_OUT;
	curl_multi_socket_action(t->multi, w->fd, flags, &running);
	transfers_finish(t);
}

static struct watch **
watch_slot(struct transfers *t, curl_socket_t fd)
{
	size_t cap = t->watch_cap != 0 ? t->watch_cap : 64;

	while ((size_t)fd >= cap)
		cap *= 2;
	if (cap != t->watch_cap) {
		t->watch = xrealloc(t->watch, cap * sizeof(struct watch *));
		memset(t->watch + t->watch_cap, 0,
		    (cap - t->watch_cap) * sizeof(struct watch *));
		t->watch_cap = cap;
	}
	return &t->watch[fd];
}

static struct watch *
watch_new(struct transfers *t, curl_socket_t fd, bool ours)
{
	struct watch **slot = watch_slot(t, fd);
	struct watch *w = xcalloc(1, sizeof(*w));
	int rc;

	assert(*slot == NULL);
	w->owner = t;
	w->fd = fd;
	w->ours = ours;
	w->idle = true;
	rc = uv_poll_init_socket(t->loop, &w->poll, fd);
	if (rc != 0)
		fatal("hook.poll", "err=%s", uv_strerror(rc));
	w->poll.data = w;
	t->open_handles++;
	*slot = w;
	return w;
}

static void
watch_drop(struct transfers *t, curl_socket_t fd)
{
	struct watch **slot = watch_slot(t, fd);

	if (*slot == NULL)
		return;
	uv_poll_stop(&(*slot)->poll);
	uv_close((uv_handle_t *)&(*slot)->poll, watch_closed_cb);
	*slot = NULL;
}

static void
watch_set(struct watch *w, int events)
{
	w->idle = false;
	if (w->events == events)
		return;
	w->events = events;
	uv_poll_start(&w->poll, events, watch_event_cb);
}

/* CURLMOPT_SOCKETFUNCTION */
static int
transfers_socket_cb(
    CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct transfers *t = arg;
	struct watch *w = *watch_slot(t, fd);
	int events = 0;

	(void)easy;
	(void)socket_arg;
	if (what == CURL_POLL_REMOVE) {
		/* Most likely the next request wants it again. */
		if (w != NULL && w->ours && w->events == UV_READABLE)
			w->idle = true;
		else if (w != NULL && w->ours) {
			uv_poll_stop(&w->poll);
			w->events = 0;
			w->idle = true;
		} else
			watch_drop(t, fd);
		return 0;
	}
	if (w == NULL)
		w = watch_new(t, fd, false);
	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= UV_READABLE;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= UV_WRITABLE;
	if (events != 0)
		watch_set(w, events);
	return 0;
}

static void
transfers_timer_cb(uv_timer_t *timer)
{
	struct transfers *t = timer->data;
	int running;

	curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	transfers_finish(t);
}

/* CURLMOPT_TIMERFUNCTION */
static int
transfers_timeout_cb(CURLM *multi, long ms, void *arg)
{
	struct transfers *t = arg;

	(void)multi;
	if (t->closing)
		return 0;
	if (ms < 0)
		uv_timer_stop(&t->timer);
	else
		uv_timer_start(&t->timer, transfers_timer_cb, (uint64_t)ms, 0);
	return 0;
}

/* CURLOPT_OPENSOCKETFUNCTION: the address is the one that will be used. */
static curl_socket_t
transfer_open_cb(void *arg, curlsocktype purpose, struct curl_sockaddr *sa)
{
	struct transfer *x = arg;
	const char *why;
	curl_socket_t fd;

	(void)purpose;
	why = guard_check(x->owner->settings.guard, &sa->addr);
	if (why != NULL) {
		x->refused++;
		x->refusal = why;
		return CURL_SOCKET_BAD;
	}
	x->allowed++;
	fd = socket(sa->family, sa->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    sa->protocol);
	if (fd == -1)
		return CURL_SOCKET_BAD;
	watch_new(x->owner, fd, true);
	return fd;
}

/* CURLOPT_CLOSESOCKETFUNCTION; a connection outlives the request that opened
 * it, so this gets the owner of all. */
static int
transfers_close_cb(void *arg, curl_socket_t fd)
{
	watch_drop(arg, fd);
	return close(fd);
}

/* CURLOPT_SSL_CTX_FUNCTION, only with a ca_file.  CURLOPT_CAINFO would replace
 * the authorities of the system. */
static CURLcode
transfer_tls_cb(CURL *easy, void *tls, void *arg)
{
	const struct transfer *x = arg;

	(void)easy;
	if (SSL_CTX_load_verify_file(tls, x->owner->settings.ca_file) == 1)
		return CURLE_OK;
	ERR_clear_error();
	return CURLE_SSL_CACERT_BADFILE;
}

const char *
transfer_check_ca(const char *path)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	const char *why = NULL;

	assert(tls != NULL);
	if (SSL_CTX_load_verify_file(tls, path) != 1)
		why = ERR_reason_error_string(ERR_peek_error());
	else
		path = NULL;
	ERR_clear_error();
	SSL_CTX_free(tls);
	if (path != NULL && why == NULL)
		why = "holds no certificate";
	return why;
}

/* ---------------------------------------------------------------- answers */

static size_t
transfer_write_cb(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *x = arg;
	size_t max = x->owner->settings.max_body, room;

	n *= size;
	room = max > x->received ? max - x->received : 0;
	if (x->want_body)
		buf_add(&x->body, p, n < room ? n : room);
	x->received += n;
	/* Enough: the status is known, the connection is given up. */
	x->truncated = n > room;
	return x->truncated ? 0 : n;
}

static enum transfer_outcome
outcome_of(const struct transfer *x, CURLcode code, long status)
{
	switch (code) {
	case CURLE_OK:
		return status >= 200 ? TRANSFER_ANSWER : TRANSFER_BROKEN;
	case CURLE_WRITE_ERROR:
		return x->truncated ? TRANSFER_ANSWER : TRANSFER_BROKEN;
	case CURLE_OPERATION_TIMEDOUT:
		return TRANSFER_TIMEOUT;
	case CURLE_COULDNT_RESOLVE_HOST:
		return TRANSFER_DNS;
	case CURLE_COULDNT_CONNECT:
		return x->refused > 0 && x->allowed == 0 ? TRANSFER_REFUSED
							 : TRANSFER_CONNECT;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ENGINE_NOTFOUND:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
		return TRANSFER_TLS;
	case CURLE_URL_MALFORMAT:
		return TRANSFER_REFUSED;
	default:
		/* Among them CURLE_UNSUPPORTED_PROTOCOL: url_parse() has seen
		 * to the scheme, so it is the answer that is no HTTP. */
		return TRANSFER_BROKEN;
	}
}

static void
transfer_release(struct transfer *x)
{
	struct transfers *t = x->owner;

	TAILQ_REMOVE(&t->busy, x, link);
	if (x->body.cap > BODY_KEEP)
		buf_fini(&x->body);
	TAILQ_INSERT_HEAD(&t->free[x->post], x, link);
}

static void
transfer_over(struct transfer *x, CURLcode code)
{
	struct transfer_result r = { .outcome = TRANSFER_ANSWER };
	long status = 0;
	curl_off_t wait = 0;
	char error[64];
	char *type = NULL;

	curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
	r.outcome = outcome_of(x, code, status);
	r.status = status > 0 ? (unsigned)status : 0;
	r.took_us = clock_mono_us() - x->started_us;
	r.truncated = x->truncated;
	r.error = "";
	if (r.outcome == TRANSFER_REFUSED && x->refusal != NULL)
		r.error = x->refusal;
	else if (r.outcome != TRANSFER_ANSWER)
		r.error = curl_easy_strerror(code);
	else if (status >= 300) {
		snprintf(error, sizeof(error), "HTTP %ld", status);
		r.error = error;
	}
	if (status == 429 || status == 503) {
		curl_easy_getinfo(x->easy, CURLINFO_RETRY_AFTER, &wait);
		r.retry_after_ms = wait > 0 ? (uint64_t)wait * 1000 : 0;
	}
	if (x->want_body && r.outcome == TRANSFER_ANSWER) {
		curl_easy_getinfo(x->easy, CURLINFO_CONTENT_TYPE, &type);
		r.type = type;
		r.body = bytes_of(buf_data(&x->body), buf_len(&x->body));
	}
	x->cb(&r, x->arg);
	transfer_release(x);
}

static void
transfers_finish(struct transfers *t)
{
	CURLMsg *m;
	int left;

	while (!t->closing && (m = curl_multi_info_read(t->multi, &left))) {
		struct transfer *x;
		char *private;
		CURLcode code = m->data.result;

		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
		x = (struct transfer *)(void *)private;
		curl_multi_remove_handle(t->multi, x->easy);
		transfer_over(x, code);
	}
}

/* --------------------------------------------------------------- requests */

/* Every option here is one that libcurl knows and memory that is there. */
#define SET(option, value)                                                     \
	do {                                                                   \
		CURLcode rc_ = curl_easy_setopt(x->easy, option, value);       \
		if (rc_ != CURLE_OK)                                           \
			fatal("hook.curl", "option=%s err=%s", #option,        \
			    curl_easy_strerror(rc_));                          \
	} while (0)

static void
transfer_configure(struct transfer *x)
{
	const struct transfer_settings *s = &x->owner->settings;

	SET(CURLOPT_TIMEOUT_MS, (long)s->timeout_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)s->connect_timeout_ms);
	x->configured = x->owner->configured;
}

static struct transfer *
transfer_new(struct transfers *t, bool post)
{
	struct transfer *x = xcalloc(1, sizeof(*x));

	x->owner = t;
	x->post = post;
	x->easy = curl_easy_init();
	if (x->easy == NULL)
		fatal("hook.curl", "err=%s", "no memory");
	buf_init(&x->origin);
	buf_init(&x->target);
	buf_init(&x->body);
	SET(CURLOPT_PRIVATE, x);
	SET(CURLOPT_NOSIGNAL, 1L);
	/* Without it, giving up a look-up waits for the resolver's thread. */
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	/* The address that is checked is the server's, never a proxy's. */
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_TCP_NODELAY, 1L);
	/* So that names and the guard's networks are looked at again. */
	SET(CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFE);
	SET(CURLOPT_BUFFERSIZE, (long)RECEIVE_SIZE);
	SET(CURLOPT_USERAGENT, "hopyard/" HOPYARD_VERSION);
	SET(CURLOPT_WRITEFUNCTION, transfer_write_cb);
	SET(CURLOPT_WRITEDATA, x);
	SET(CURLOPT_OPENSOCKETFUNCTION, transfer_open_cb);
	SET(CURLOPT_OPENSOCKETDATA, x);
	SET(CURLOPT_CLOSESOCKETFUNCTION, transfers_close_cb);
	SET(CURLOPT_CLOSESOCKETDATA, t);
	if (t->settings.ca_file != NULL) {
		SET(CURLOPT_SSL_CTX_FUNCTION, transfer_tls_cb);
		SET(CURLOPT_SSL_CTX_DATA, x);
	}
	if (post)
		SET(CURLOPT_POST, 1L);
	transfer_configure(x);
	return x;
}

static void
transfer_free(struct transfer *x)
{
	curl_easy_cleanup(x->easy);
	buf_fini(&x->origin);
	buf_fini(&x->target);
	buf_fini(&x->body);
	free(x);
}

static void
transfer_set_headers(struct transfer *x, const struct transfer_request *r)
{
	unsigned n = 0;

	if (r->body != NULL) {
		snprintf(x->header_text[n++], HEADER_MAX,
		    "Content-Type: application/json");
		snprintf(x->header_text[n++], HEADER_MAX, "webhook-id: %s",
		    r->event_id);
		snprintf(x->header_text[n++], HEADER_MAX,
		    "webhook-timestamp: %llu",
		    (unsigned long long)r->timestamp);
		if (r->signature != NULL)
			snprintf(x->header_text[n++], HEADER_MAX,
			    "webhook-signature: %s", r->signature);
	} else if (r->possible_dup) {
		snprintf(
		    x->header_text[n++], HEADER_MAX, "X-Possible-Duplicate: 1");
	}
	assert(n <= HEADER_COUNT);
	for (unsigned i = 0; i < n; i++) {
		x->header[i].data = x->header_text[i];
		x->header[i].next = i + 1 < n ? &x->header[i + 1] : NULL;
	}
	SET(CURLOPT_HTTPHEADER, n > 0 ? x->header : NULL);
}

/*
 * libcurl takes a URL apart and puts it together again several times, octet by
 * octet: a third of all that a request costs.  So it gets the origin, which is
 * mostly the one of the last request, and behind it the rest as it stands.
 */
static void
transfer_set_url(struct transfer *x, const char *url)
{
	const char *authority = strstr(url, "//"), *target;
	size_t len, target_len;

	assert(authority != NULL); /* url_parse() was content with it */
	authority += 2;
	target = authority + strcspn(authority, "/?#");
	len = (size_t)(target - url);
	if (buf_len(&x->origin) != len + 1 ||
	    memcmp(buf_data(&x->origin), url, len) != 0) {
		buf_clear(&x->origin);
		buf_add(&x->origin, url, len);
		buf_addc(&x->origin, '/');
		SET(CURLOPT_URL, buf_str(&x->origin));
	}
	target_len = strcspn(target, "#");
	if (*target != '/' || target[target_len] != '\0') {
		buf_clear(&x->target);
		if (*target != '/')
			buf_addc(&x->target, '/');
		buf_add(&x->target, target, target_len);
		target = buf_str(&x->target);
	}
	SET(CURLOPT_REQUEST_TARGET, target);
}

void
transfer_start(struct transfers *t, const struct transfer_request *r,
    transfer_cb *cb, void *arg)
{
	bool post = r->body != NULL;
	struct transfer *x = TAILQ_FIRST(&t->free[post]);
	CURLMcode rc;

	assert(!t->closing);
	if (x != NULL)
		TAILQ_REMOVE(&t->free[post], x, link);
	else
		x = transfer_new(t, post);
	TAILQ_INSERT_TAIL(&t->busy, x, link);
	if (x->configured != t->configured)
		transfer_configure(x);
	x->cb = cb;
	x->arg = arg;
	x->want_body = r->want_body;
	x->truncated = false;
	x->received = 0;
	x->allowed = x->refused = 0;
	x->refusal = NULL;
	x->started_us = clock_mono_us();
	buf_clear(&x->body);
	transfer_set_url(x, r->url);
	if (post) {
		SET(CURLOPT_POSTFIELDSIZE, (long)r->body_len);
		SET(CURLOPT_POSTFIELDS, r->body);
	}
	transfer_set_headers(x, r);
	rc = curl_multi_add_handle(t->multi, x->easy);
	if (rc != CURLM_OK)
		fatal("hook.curl", "err=%s", curl_multi_strerror(rc));
}

/* ----------------------------------------------------------------- engine */

void
transfers_configure(struct transfers *t, const struct transfer_settings *s)
{
	t->settings = *s;
	t->configured++;
	curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, (long)s->concurrency);
}

struct transfers *
transfers_new(uv_loop_t *loop, const struct transfer_settings *s)
{
	struct transfers *t = xcalloc(1, sizeof(*t));

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		fatal("hook.curl", "err=%s", "initialisation failed");
	t->loop = loop;
	TAILQ_INIT(&t->free[0]);
	TAILQ_INIT(&t->free[1]);
	TAILQ_INIT(&t->busy);
	t->multi = curl_multi_init();
	if (t->multi == NULL)
		fatal("hook.curl", "err=%s", "no memory");
	uv_timer_init(loop, &t->timer);
	t->timer.data = t;
	curl_multi_setopt(
	    t->multi, CURLMOPT_SOCKETFUNCTION, transfers_socket_cb);
	curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
	curl_multi_setopt(
	    t->multi, CURLMOPT_TIMERFUNCTION, transfers_timeout_cb);
	curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
	transfers_configure(t, s);
	return t;
}

void
transfers_close(struct transfers *t)
{
	struct transfer *x;

	t->closing = true;
	while ((x = TAILQ_FIRST(&t->busy)) != NULL) {
		curl_multi_remove_handle(t->multi, x->easy);
		transfer_release(x);
	}
	for (int i = 0; i < 2; i++) {
		while ((x = TAILQ_FIRST(&t->free[i])) != NULL) {
			TAILQ_REMOVE(&t->free[i], x, link);
			transfer_free(x);
		}
	}
	curl_multi_cleanup(t->multi);
	uv_close((uv_handle_t *)&t->timer, NULL);
}

void
transfers_free(struct transfers *t)
{
	assert(t->closing && t->open_handles == 0);
	free(t->watch);
	free(t);
	curl_global_cleanup();
}

const char *
transfer_class(enum transfer_outcome outcome, unsigned status)
{
	static const char *const answers[] = { "1xx", "1xx", "2xx", "3xx",
		"4xx", "5xx" };
	static const char *const failures[TRANSFER_OUTCOMES] = {
		[TRANSFER_REFUSED] = "refused",
		[TRANSFER_TIMEOUT] = "timeout",
		[TRANSFER_DNS] = "dns",
		[TRANSFER_TLS] = "tls",
		[TRANSFER_CONNECT] = "connect",
		[TRANSFER_BROKEN] = "broken",
	};

	if (outcome != TRANSFER_ANSWER)
		return failures[outcome];
	return answers[status / 100 < 6 ? status / 100 : 5];
}
