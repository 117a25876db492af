/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transfer.c - a request from its start to its end.
 *
 *   RESOLVING -> CONNECTING (one address after the other) -> ASKING -> ENDING
 *
 * All requests have the same time, so that the list of those under way is in
 * the order of their ends and one timer is enough; it runs late rather than
 * being set anew for each.  A timer of the transfer's own is for its
 * connection.
 */
#include "boxes/hook/transfer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

#include "boxes/hook/answer.h"
#include "boxes/hook/client.h"
#include "boxes/hook/guard.h"
#include "boxes/hook/pool.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/tls.h"
#include "common/turn.h"
#include "common/xalloc.h"

#define LOGIN_MAX 512
#define ERROR_MAX 128
/* A handshake ends by our own time, not by that of the connection. */
#define HANDSHAKE_MS 60000
#define FIELD_MAX    256 /* of what we write around a value */

enum transfer_state {
	TRANSFER_FREE = 0,   /* on t->free */
	TRANSFER_RESOLVING,  /* on place->waiting */
	TRANSFER_CONNECTING, /* client is, too */
	TRANSFER_ASKING,     /* client has the request */
	TRANSFER_ENDING,     /* on t->ended: outcome and error are set */
};

struct transfer {
	struct transfers *owner;
	enum transfer_state state; /* written only by transfer_enter_state() */
	struct transfer_request request;
	struct place *place;
	struct client *client; /* CONNECTING, ASKING: owned */
	struct answer answer;
	uv_timer_t timer;       /* of the connection */
	uint64_t connect_by_ms; /* mono */
	unsigned first, tried;  /* addresses of the place */
	bool allowed;           /* the guard has let one of them through */
	bool again;             /* it has been sent before */
	const char *refusal;
	uint64_t started_us;
	enum transfer_outcome outcome;
	char error[ERROR_MAX];
	transfer_cb *cb;
	void *arg;
	TAILQ_ENTRY(transfer) link; /* free or busy */
	TAILQ_ENTRY(transfer) step; /* waiting or ended */
};

struct transfers {
	uv_loop_t *loop;
	struct transfer_settings settings;
	struct tls_config *tls; /* NULL: not needed so far */
	struct pool pool;
	struct transfer_list free, busy; /* busy: the oldest first */
	struct transfer_list ended;
	struct turn *turn;
	struct turn_task ending;
	uv_timer_t timer; /* of the first one of busy, or earlier */
	unsigned open_handles;
	bool closing;
};

static client_cb transfer_client_cb;
static turn_cb transfers_on_ending;
static void transfer_connect(struct transfer *);
static void transfers_timer_cb(uv_timer_t *);

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

/* ------------------------------------------------------------------ states */

static void
transfer_enter_state(struct transfer *x, enum transfer_state next)
{
	struct transfers *t = x->owner;

	if (x->state == TRANSFER_RESOLVING)
		TAILQ_REMOVE(&x->place->waiting, x, step);
	else if (x->state == TRANSFER_ENDING)
		TAILQ_REMOVE(&t->ended, x, step);
	x->state = next;

	switch (next) {
	case TRANSFER_FREE:
		TAILQ_REMOVE(&t->busy, x, link);
		TAILQ_INSERT_HEAD(&t->free, x, link);
		break;
	case TRANSFER_RESOLVING:
		TAILQ_INSERT_TAIL(&x->place->waiting, x, step);
		break;
	case TRANSFER_CONNECTING:
	case TRANSFER_ASKING:
		break;
	case TRANSFER_ENDING:
		TAILQ_INSERT_TAIL(&t->ended, x, step);
		turn_add(&t->ending);
		break;
	}
}

static void
transfer_drop_client(struct transfer *x)
{
	if (x->client != NULL)
		client_close(x->client);
	x->client = NULL;
}

/* Its connection, its timer and its place go back. */
static void
transfer_let_go(struct transfer *x)
{
	transfer_drop_client(x);
	if (uv_is_active((uv_handle_t *)&x->timer))
		uv_timer_stop(&x->timer);
	pool_leave(x->place);
}

static void
transfer_fail(
    struct transfer *x, enum transfer_outcome outcome, const char *why)
{
	x->outcome = outcome;
	if (why != x->error) /* what its last address said */
		(void)snprintf(x->error, sizeof(x->error), "%s", why);
	/* It would say that it was too late, of what has ended. */
	uv_timer_stop(&x->timer);
	transfer_drop_client(x);
	transfer_enter_state(x, TRANSFER_ENDING); /* may be in its start */
}

/* ----------------------------------------------------------------- the end */

static void
transfer_tell(struct transfer *x)
{
	struct transfer_result r = { .outcome = x->outcome, .error = x->error };
	struct answer *a = &x->answer;

	r.took_us = clock_mono_us() - x->started_us;
	if (x->outcome == TRANSFER_ANSWER) {
		r.status = a->status;
		r.truncated = a->truncated;
		if (a->status >= 300)
			(void)snprintf(
			    x->error, sizeof(x->error), "HTTP %u", a->status);
		if (a->status == 429 || a->status == 503)
			r.retry_after_ms =
			    answer_retry_after_ms(a, clock_wall_ms());
		if (x->request.want_body) {
			r.type = answer_type(a);
			r.body =
			    bytes_of(buf_data(&a->body), buf_len(&a->body));
		}
	}
	x->cb(&r, x->arg);
	transfer_enter_state(x, TRANSFER_FREE);
}

/* Those that failed: not from inside transfer_start(). */
static void
transfers_on_ending(void *arg)
{
	struct transfers *t = arg;
	struct transfer *x;

	while ((x = TAILQ_FIRST(&t->ended)) != NULL) {
		transfer_let_go(x);
		transfer_tell(x);
	}
}

static void
transfers_arm(struct transfers *t)
{
	struct transfer *x = TAILQ_FIRST(&t->busy);
	uint64_t now, end;

	if (x == NULL || uv_is_active((uv_handle_t *)&t->timer))
		return;
	now = clock_mono_us();
	end = x->started_us + t->settings.timeout_ms * 1000;
	uv_timer_start(&t->timer, transfers_timer_cb,
	    end > now ? (end - now + 999) / 1000 : 0, 0);
}

/* It is set when nobody waits for it, and so may come early. */
static void
transfers_timer_cb(uv_timer_t *timer)
{
	struct transfers *t = timer->data;
	uint64_t now = clock_mono_us();
	struct transfer *x;

	TAILQ_FOREACH(x, &t->busy, link) {
		if (now - x->started_us < t->settings.timeout_ms * 1000)
			break;
		if (x->state != TRANSFER_ENDING)
			transfer_fail(x, TRANSFER_TIMEOUT, "no answer in time");
	}
	transfers_on_ending(t);
	transfers_arm(t);
}

/* -------------------------------------------------------------- connecting */

static void
transfer_connect_timer_cb(uv_timer_t *timer)
{
	struct transfer *x = timer->data;
	struct place *p = x->place;

	if (x->state == TRANSFER_CONNECTING && x->tried < p->addresses &&
	    clock_mono_ms() < x->connect_by_ms) {
		transfer_drop_client(x);
		transfer_connect(x);
		return;
	}
	if (x->state == TRANSFER_CONNECTING)
		pool_forget_addresses(p);
	transfer_fail(x, TRANSFER_TIMEOUT,
	    x->state == TRANSFER_RESOLVING ? "name not found in time"
					   : "no connection in time");
}

/* Each address has its share of the time that is left. */
static void
transfer_set_timer(struct transfer *x, unsigned shares)
{
	uint64_t now = clock_mono_ms();
	uint64_t left = x->connect_by_ms > now ? x->connect_by_ms - now : 0;

	uv_timer_start(
	    &x->timer, transfer_connect_timer_cb, left / shares + 1, 0);
}

/*
 * NULL with the reason: no TLS.  Not made before it is needed, since all the
 * authorities of a system are a tenth of a second and some memory.
 */
static struct tls_config *
transfers_get_tls(struct transfers *t, const char **why)
{
	struct tls_opts opts = { .ca = t->settings.ca_file,
		.and_system = true };
	struct buf said;

	if (t->tls != NULL)
		return t->tls;
	buf_init(&said);
	t->tls = tls_client_new(&opts, &said);
	/* Timers that are set next must not lose that time. */
	uv_update_time(t->loop);
	if (t->tls == NULL) {
		/* It was good when the process started. */
		log_error("hook.tls", "err=%s", buf_str(&said));
		*why = "certificates of authorities cannot be read";
	}
	buf_fini(&said);
	return t->tls;
}

static void
transfer_connect(struct transfer *x)
{
	struct transfers *t = x->owner;
	struct place *p = x->place;
	struct tls_config *tls = NULL;
	const char *why = NULL;

	if (p->tls) {
		tls = transfers_get_tls(t, &why);
		if (tls == NULL) {
			transfer_fail(x, TRANSFER_TLS, why);
			return;
		}
	}
	while (x->tried < p->addresses) {
		const struct sockaddr *sa =
		    pool_address(p, x->first + x->tried++);

		why = guard_check(t->settings.guard, sa);
		if (why != NULL) {
			x->refusal = why;
			continue;
		}
		x->allowed = true;
		x->client = client_open(t->loop, sa, p->host, tls,
		    t->settings.connect_timeout_ms + HANDSHAKE_MS,
		    &t->pool.clients);
		x->client->place = p;
		x->client->born_ms = clock_mono_ms();
		client_set_cb(x->client, transfer_client_cb, x);
		transfer_enter_state(x, TRANSFER_CONNECTING);
		transfer_set_timer(x, p->addresses - x->tried + 1);
		return;
	}
	pool_forget_addresses(p);
	if (x->allowed)
		transfer_fail(x, TRANSFER_CONNECT, x->error);
	else
		transfer_fail(x, TRANSFER_REFUSED, x->refusal);
}

static void
transfer_on_resolved(struct transfer *x)
{
	struct place *p = x->place;

	if (p->addresses == 0) {
		transfer_fail(x, TRANSFER_DNS, uv_strerror(p->resolve_error));
		return;
	}
	x->first = p->preferred;
	x->tried = 0;
	transfer_connect(x);
}

static void
transfers_resolved_cb(struct place *p, void *arg)
{
	struct transfer *x;

	(void)arg;
	while ((x = TAILQ_FIRST(&p->waiting)) != NULL)
		transfer_on_resolved(x);
}

/* A new connection. */
static void
transfer_dial(struct transfer *x)
{
	uint64_t now = clock_mono_ms();

	x->allowed = false;
	x->refusal = "no address";
	x->error[0] = '\0';
	x->connect_by_ms = now + x->owner->settings.connect_timeout_ms;
	if (pool_resolve(x->place, now)) {
		transfer_on_resolved(x);
		return;
	}
	transfer_enter_state(x, TRANSFER_RESOLVING);
	transfer_set_timer(x, 1);
}

/* ----------------------------------------------------------------- request */

static char *
put(char *p, const void *from, size_t n)
{
	memcpy(p, from, n);
	return p + n;
}

static char *
put_text(char *p, const char *text)
{
	return put(p, text, strlen(text));
}

static char *
put_number(char *p, uint64_t v)
{
	char digits[20];
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	return put(p, digits + n, sizeof(digits) - n);
}

static char *
put_login(char *p, const struct url *u)
{
	char login[LOGIN_MAX];
	size_t len;

	/* transfer_start() has seen that it can be done. */
	if (!url_login(u, login, sizeof(login), &len))
		return p;
	p = put_text(p, "Authorization: Basic ");
	p += EVP_EncodeBlock((uint8_t *)p, (const uint8_t *)login, (int)len);
	return put(p, "\r\n", 2);
}

static char *
put_event(char *p, const struct transfer_request *r)
{
	p = put_text(p, "Content-Type: application/json\r\nContent-Length: ");
	p = put_number(p, r->body_len);
	p = put_text(p, "\r\nwebhook-id: ");
	p = put_text(p, r->event_id);
	p = put_text(p, "\r\nwebhook-timestamp: ");
	p = put_number(p, r->timestamp);
	if (r->signature != NULL) {
		p = put_text(p, "\r\nwebhook-signature: ");
		p = put_text(p, r->signature);
	}
	p = put(p, "\r\n\r\n", 4);
	return put(p, r->body, r->body_len);
}

/* All of it leaves with one write. */
static void
transfer_ask(struct transfer *x)
{
	const struct transfer_request *r = &x->request;
	const struct place *place = x->place;
	bool post = r->body != NULL;
	size_t most = FIELD_MAX + r->url.target.len + place->head_len;
	char *start, *p;

	if (r->url.has_user)
		most += FIELD_MAX + LOGIN_MAX * 2;
	if (post)
		most += FIELD_MAX + strlen(r->event_id) + r->body_len +
		    (r->signature != NULL ? strlen(r->signature) : 0);
	start = p = client_reserve(x->client, most);
	p = put_text(p, post ? "POST " : "GET ");
	if (r->url.target.len == 0 || r->url.target.p[0] != '/')
		*p++ = '/';
	p = put(p, r->url.target.p, r->url.target.len);
	p = put(p, " HTTP/1.1\r\n", 11);
	p = put(p, place->head, place->head_len);
	if (r->url.has_user)
		p = put_login(p, &r->url);
	if (post) {
		p = put_event(p, r);
	} else {
		if (r->possible_dup)
			p = put_text(p, "X-Possible-Duplicate: 1\r\n");
		p = put(p, "\r\n", 2);
	}
	assert((size_t)(p - start) <= most);
	answer_reset(&x->answer, r->want_body, x->owner->settings.max_body);
	client_set_cb(x->client, transfer_client_cb, x);
	transfer_enter_state(x, TRANSFER_ASKING);
	client_ask(x->client, (size_t)(p - start), &x->answer);
}

static void
transfer_on_connected(struct transfer *x)
{
	uv_timer_stop(&x->timer);
	pool_prefer(x->place, x->first + x->tried - 1);
	transfer_ask(x);
}

static void
transfer_on_answered(struct transfer *x)
{
	struct client *c = x->client;

	/* Before the callback, which may have the next request for it. */
	x->client = NULL;
	x->outcome = TRANSFER_ANSWER;
	x->error[0] = '\0';
	pool_keep(c, clock_mono_ms());
	transfer_let_go(x);
	transfer_tell(x);
}

static void
transfer_on_failed(struct transfer *x)
{
	struct client *c = x->client;

	if (c->tls_failed) {
		transfer_fail(x, TRANSFER_TLS, c->error);
		return;
	}
	if (x->state == TRANSFER_CONNECTING) {
		(void)snprintf(x->error, sizeof(x->error), "%s", c->error);
		transfer_drop_client(x);
		transfer_connect(x);
		return;
	}
	if (!client_was_stale(c) || x->again) {
		transfer_fail(x, TRANSFER_BROKEN, c->error);
		return;
	}
	x->again = true;
	transfer_drop_client(x);
	transfer_dial(x);
}

static void
transfer_client_cb(struct client *c, enum client_event ev, void *arg)
{
	struct transfer *x = arg;

	assert(x->client == c);
	switch (ev) {
	case CLIENT_EV_CONNECTED:
		transfer_on_connected(x);
		break;
	case CLIENT_EV_ANSWERED:
		transfer_on_answered(x);
		break;
	case CLIENT_EV_FAILED:
		transfer_on_failed(x);
		break;
	}
}

static struct transfer *
transfer_new(struct transfers *t)
{
	struct transfer *x = xcalloc(1, sizeof(*x));

	x->owner = t;
	answer_init(&x->answer);
	uv_timer_init(t->loop, &x->timer);
	x->timer.data = x;
	t->open_handles++;
	TAILQ_INSERT_HEAD(&t->free, x, link);
	return x;
}

void
transfer_start(struct transfers *t, const struct transfer_request *r,
    transfer_cb *cb, void *arg)
{
	struct transfer *x = TAILQ_FIRST(&t->free);
	char login[LOGIN_MAX];
	size_t len;

	assert(!t->closing);
	if (x == NULL)
		x = transfer_new(t);
	TAILQ_REMOVE(&t->free, x, link);
	TAILQ_INSERT_TAIL(&t->busy, x, link);
	x->request = *r;
	x->cb = cb;
	x->arg = arg;
	x->again = false;
	x->tried = 0;
	x->started_us = clock_mono_us();
	x->place = pool_enter(&t->pool, &r->url, r->origin);
	transfers_arm(t);
	if (r->url.has_user &&
	    !url_login(&r->url, login, sizeof(login), &len)) {
		transfer_fail(x, TRANSFER_REFUSED, "bad user in the URL");
		return;
	}
	x->client = pool_take(x->place, x->started_us / 1000);
	if (x->client != NULL)
		transfer_ask(x);
	else
		transfer_dial(x);
}

/* ------------------------------------------------------------------ engine */

struct transfers *
transfers_new(uv_loop_t *loop, const struct transfer_settings *s)
{
	struct transfers *t = xcalloc(1, sizeof(*t));

	t->loop = loop;
	t->settings = *s;
	TAILQ_INIT(&t->free);
	TAILQ_INIT(&t->busy);
	TAILQ_INIT(&t->ended);
	pool_init(&t->pool, loop, s->concurrency, transfers_resolved_cb, t);
	t->turn = turn_get(loop);
	turn_task_init(&t->ending, t->turn, TURN_WORK, transfers_on_ending, t);
	uv_timer_init(loop, &t->timer);
	t->timer.data = t;
	return t;
}

static void
transfer_closed_cb(uv_handle_t *h)
{
	struct transfer *x = h->data;

	x->owner->open_handles--;
	answer_fini(&x->answer);
	free(x);
}

void
transfers_close(struct transfers *t)
{
	struct transfer *x;

	t->closing = true;
	while ((x = TAILQ_FIRST(&t->busy)) != NULL) {
		transfer_let_go(x);
		transfer_enter_state(x, TRANSFER_FREE);
	}
	while ((x = TAILQ_FIRST(&t->free)) != NULL) {
		TAILQ_REMOVE(&t->free, x, link);
		uv_close((uv_handle_t *)&x->timer, transfer_closed_cb);
	}
	pool_close(&t->pool);
	turn_remove(&t->ending);
	uv_close((uv_handle_t *)&t->timer, NULL);
}

void
transfers_free(struct transfers *t)
{
	assert(t->closing && t->open_handles == 0);
	turn_put(t->turn);
	pool_fini(&t->pool);
	tls_config_unref(t->tls);
	free(t);
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
