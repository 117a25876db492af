/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>
#include <llhttp.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "boxes/http/ask.h"
#include "boxes/http/gather.h"
#include "boxes/http/problem.h"
#include "boxes/http/server.h"
#include "boxes/http/traffic.h"
#include "common/box.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/conn.h"
#include "common/daemon.h"
#include "common/json.h"
#include "common/log.h"
#include "common/uuid.h"
#include "common/xalloc.h"
#include "proto/form.h"

#define ADMIN_CALL_MS     10000
#define ADMIN_READY_MS    2000
#define ADMIN_REFUSAL_MS  1000
#define ADMIN_REFUSALS    64
#define ADMIN_MAX_BODY    65536
#define ADMIN_CONNECTIONS 256
#define ADMIN_KEEPALIVE   75000
#define ADMIN_LAST_TURNS  8
#define ADMIN_NAME        64

static struct log_limit admin_log;

/* ---------------------------------------------------------- health, metrics */

static void
admin_livez(struct http_request *r, void *arg UNUSED)
{
	http_reply_text(r, 200, "application/json", "{\"status\":\"ok\"}\n");
}

static void
admin_not_ready(struct http_request *r, const char *reason)
{
	struct http_response resp = { .status = 503,
		.type = "application/json" };
	struct buf out;
	struct json j;

	buf_init(&out);
	json_init(&j, &out);
	json_open_object(&j, NULL);
	json_str(&j, "status", "not ready");
	json_open_array(&j, "reasons");
	json_str(&j, NULL, reason);
	json_close_array(&j);
	json_close_object(&j);
	buf_addc(&out, '\n');
	resp.body = buf_data(&out);
	resp.len = buf_len(&out);
	http_reply(r, &resp);
	buf_fini(&out);
}

static void
admin_status_cb(
    struct box *box UNUSED, const Hopyard__V1__Reply *reply, void *arg)
{
	struct http_request *r = arg;
	json_t *status = NULL;
	const char *state = NULL;
	char reason[128];

	if (reply->code == 0 && reply->has_body)
		status = json_loadb((const char *)reply->body.data,
		    reply->body.len, JSON_REJECT_DUPLICATES, NULL);
	state = json_string_value(json_object_get(status, "state"));
	if (reply->code != 0) {
		snprintf(reason, sizeof(reason), "bus: %.100s",
		    reply->error != NULL ? reply->error : "no answer");
		admin_not_ready(r, reason);
	} else if (state == NULL) {
		admin_not_ready(r, "bus: its status does not parse");
	} else if (strcmp(state, "running") != 0) {
		snprintf(reason, sizeof(reason), "bus: %.100s", state);
		admin_not_ready(r, reason);
	} else {
		http_reply_text(r, 200, "application/json",
		    "{\"status\":\"ready\",\"reasons\":[]}\n");
	}
	json_decref(status);
}

/* The bus is connected and its cell is open: messages are taken. */
static void
admin_readyz(struct http_request *r, void *arg)
{
	struct admin *a = arg;
	Hopyard__V1__Call call = HOPYARD__V1__CALL__INIT;
	char target[] = "bus", method[] = "status";

	if (daemon_draining(a->daemon)) {
		admin_not_ready(r, "admin: stops");
		return;
	}
	if (!box_ready(a->box)) {
		admin_not_ready(r, "bus: not connected");
		return;
	}
	call.target = target;
	call.method = method;
	box_call(a->box, &call, ADMIN_READY_MS, admin_status_cb, r);
}

static void
admin_metrics(struct http_request *r, void *arg)
{
	struct admin *a = arg;

	gatherer_metrics(a->gatherer, r);
}

/* -------------------------------------------------------------------- token */

/* A refusal that is held back. */
struct held_refusal {
	struct http_request *request;
	uint64_t due;
	TAILQ_ENTRY(held_refusal) link;
};

static void
admin_refuse_token(struct http_request *r)
{
	problem_reply_extra(r, 401, "unauthorized",
	    "Send the token of the admin box as \"Authorization: Bearer "
	    "TOKEN\".",
	    "WWW-Authenticate: Bearer realm=\"hopyard admin\"\r\n");
}

static void
admin_timer_cb(uv_timer_t *timer)
{
	struct admin *a = timer->data;
	struct held_refusal *h;
	uint64_t now = clock_mono_ms();

	while ((h = TAILQ_FIRST(&a->refusals)) != NULL &&
	    (h->due <= now || daemon_draining(a->daemon))) {
		TAILQ_REMOVE(&a->refusals, h, link);
		a->refusal_count--;
		admin_refuse_token(h->request);
		free(h);
	}
	if (h != NULL)
		uv_timer_start(timer, admin_timer_cb, h->due - now, 0);
}

static void
admin_hold_refusal(struct admin *a, struct http_request *r)
{
	struct held_refusal *h;

	if (log_limit(&admin_log, 5))
		log_warn("admin.denied", "peer=%s route=%s", http_source(r),
		    http_route_name(r));
	if (a->refusal_count == ADMIN_REFUSALS || daemon_draining(a->daemon)) {
		admin_refuse_token(r);
		return;
	}
	h = xcalloc(1, sizeof(*h));
	h->request = r;
	h->due = clock_mono_ms() + ADMIN_REFUSAL_MS;
	TAILQ_INSERT_TAIL(&a->refusals, h, link);
	a->refusal_count++;
	if (!uv_is_active((uv_handle_t *)&a->timer))
		uv_timer_start(&a->timer, admin_timer_cb, ADMIN_REFUSAL_MS, 0);
}

/* Answers itself when the client may not. */
static bool
admin_may(struct admin *a, struct http_request *r)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	struct bytes v;

	if (!a->has_token) {
		problem_reply(r, 403, "no_token",
		    "The admin API is shut: the configuration of this box has "
		    "no token.");
		return false;
	}
	if (!http_header(r, "authorization", &v)) {
		admin_refuse_token(r); /* has guessed nothing */
		return false;
	}
	if (v.len > 7 && strncasecmp((const char *)v.p, "Bearer ", 7) == 0) {
		SHA256(v.p + 7, v.len - 7, digest);
		if (CRYPTO_memcmp(digest, a->token, sizeof(digest)) == 0)
			return true;
	}
	admin_hold_refusal(a, r);
	return false;
}

/* ---------------------------------------------------------------- questions */

static void
admin_ask(struct admin *a, struct http_request *r, const char *target,
    const char *method, const struct buf *body)
{
	struct ask q = { .target = target,
		.method = method,
		.body = body,
		.timeout_ms = ADMIN_CALL_MS };

	ask(r, a->box, &q);
}

static void
admin_no_such(struct http_request *r)
{
	problem_reply(r, 404, "not_found", "There is nothing here.");
}

/* GET /admin/v1/status and the like: the method of the bus has the name of the
 * route, and no arguments. */
static void
admin_read(struct http_request *r, void *arg)
{
	struct admin *a = arg;

	if (admin_may(a, r))
		admin_ask(a, r, "bus", http_route_name(r), NULL);
}

/* A piece of a path that is the name of a box; false after the answer. */
static bool
admin_name(struct http_request *r, struct bytes s, char dst[ADMIN_NAME])
{
	size_t i;

	for (i = 0; i < s.len; i++) {
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f ||
		    strchr("/%\"\\", s.p[i]) != NULL)
			break;
	}
	if (s.len == 0 || s.len >= ADMIN_NAME || i < s.len) {
		admin_no_such(r);
		return false;
	}
	memcpy(dst, s.p, s.len);
	dst[s.len] = '\0';
	return true;
}

/* GET /admin/v1/links/NAME and /admin/v1/boxes/NAME */
static void
admin_show_box(struct http_request *r, void *arg)
{
	struct admin *a = arg;
	char name[ADMIN_NAME];

	if (admin_may(a, r) && admin_name(r, http_rest(r), name))
		admin_ask(a, r, name, http_route_name(r), NULL);
}

/* The query as a JSON object of strings; false after the answer. */
static bool
admin_query(struct http_request *r, struct buf *body)
{
	struct bytes query = http_query(r), name, value;
	uint8_t plain[512];
	char key[32];
	struct form f;
	struct json j;
	size_t n;
	int limit;

	json_init(&j, body);
	json_open_object(&j, NULL);
	form_open(&f, query.p, query.len);
	while (form_next(&f, &name, &value)) {
		if (name.len >= sizeof(key) || value.len > sizeof(plain)) {
			problem_reply(
			    r, 400, "bad_request", "A parameter is too long.");
			return false;
		}
		n = form_decode((uint8_t *)key, name.p, name.len);
		key[n] = '\0';
		n = form_decode(plain, value.p, value.len);
		if (strcmp(key, "limit") == 0 && form_int(plain, n, &limit))
			json_int(&j, key, limit);
		else
			json_text(&j, key, plain, n);
	}
	json_close_object(&j);
	return true;
}

/* The route has the name of the method, the query its arguments. */
static void
admin_ask_query(struct http_request *r, struct admin *a, const char *target)
{
	struct buf body;

	if (!admin_may(a, r))
		return;
	buf_init(&body);
	if (admin_query(r, &body))
		admin_ask(a, r, target, http_route_name(r), &body);
	buf_fini(&body);
}

/* GET /admin/v1/routes:test?to=N&from=N&account=A */
static void
admin_test_route(struct http_request *r, void *arg)
{
	admin_ask_query(r, arg, "bus");
}

/* GET /admin/v1/messages?to=N&since=T */
static void
admin_find(struct http_request *r, void *arg)
{
	admin_ask_query(r, arg, "store");
}

/* {"id":"...","force":true}; false after the answer. */
static bool
admin_id(struct http_request *r, struct bytes s, bool force, struct buf *body)
{
	uint8_t id[UUID_LEN];
	struct json j;

	if (!uuid_parse((const char *)s.p, s.len, id)) {
		problem_reply(r, 404, "not_found", "This is not a message id.");
		return false;
	}
	json_init(&j, body);
	json_open_object(&j, NULL);
	json_uuid(&j, "id", id);
	if (force)
		json_bool(&j, "force", true);
	json_close_object(&j);
	return true;
}

/* GET /admin/v1/messages/ID: the timeline; /admin/v1/trace/ID: the rows.  The
 * route has the name of the store's method. */
static void
admin_show_message(struct http_request *r, void *arg)
{
	struct admin *a = arg;
	struct buf body;

	if (!admin_may(a, r))
		return;
	buf_init(&body);
	if (admin_id(r, http_rest(r), false, &body))
		admin_ask(a, r, "store", http_route_name(r), &body);
	buf_fini(&body);
}

/* ------------------------------------------------------------------ actions */

/* May it act?  A JSON type cannot be sent by a form of a foreign page. */
static bool
admin_may_act(struct admin *a, struct http_request *r)
{
	static const char want[] = "application/json";
	struct bytes type;

	if (!admin_may(a, r))
		return false;
	if (!http_header(r, "content-type", &type) ||
	    type.len < sizeof(want) - 1 ||
	    strncasecmp((const char *)type.p, want, sizeof(want) - 1) != 0 ||
	    (type.len > sizeof(want) - 1 && type.p[sizeof(want) - 1] != ';' &&
		type.p[sizeof(want) - 1] != ' ')) {
		problem_reply(r, 415, "unsupported_media_type",
		    "Actions take \"Content-Type: application/json\".");
		return false;
	}
	log_info("admin.action", "peer=%s path=%.*s", http_source(r),
	    (int)http_path(r).len, (const char *)http_path(r).p);
	return true;
}

/* Cuts "NAME/verb" at the slash. */
static bool
admin_verb(struct bytes rest, struct bytes *name, struct bytes *verb)
{
	const uint8_t *slash =
	    rest.len > 0 ? memchr(rest.p, '/', rest.len) : NULL;

	if (slash == NULL)
		return false;
	*name = bytes_of(rest.p, (size_t)(slash - rest.p));
	*verb = bytes_of(slash + 1, rest.len - name->len - 1);
	return true;
}

static bool
verb_is(struct bytes verb, const char *want)
{
	return bytes_eq(verb, bytes_str(want));
}

/* POST /admin/v1/links/NAME/drain, ready, maint or rebind */
static void
admin_act_link(struct http_request *r, void *arg)
{
	struct admin *a = arg;
	struct bytes first, verb;
	char name[ADMIN_NAME];
	struct buf body;
	struct json j;

	if (!admin_may_act(a, r))
		return;
	if (!admin_verb(http_rest(r), &first, &verb) ||
	    !(verb_is(verb, "drain") || verb_is(verb, "ready") ||
		verb_is(verb, "maint") || verb_is(verb, "rebind"))) {
		problem_reply(r, 404, "not_found",
		    "Actions on a link are drain, ready, maint and rebind.");
		return;
	}
	if (!admin_name(r, first, name))
		return;
	buf_init(&body);
	json_init(&j, &body);
	json_open_object(&j, NULL);
	json_str(&j, "link", name);
	json_text(&j, "state", verb.p, verb.len);
	json_close_object(&j);
	if (verb_is(verb, "rebind"))
		admin_ask(a, r, name, "link.rebind", NULL);
	else
		admin_ask(a, r, "bus", "link.set", &body);
	buf_fini(&body);
}

/* Hands the request's body on; an empty one is no arguments. */
static void
admin_act_body(struct admin *a, struct http_request *r, const char *method)
{
	struct bytes in = http_body(r);
	struct buf body;

	buf_init(&body);
	if (in.len > 0)
		buf_add(&body, in.p, in.len);
	admin_ask(a, r, "bus", method, in.len > 0 ? &body : NULL);
	buf_fini(&body);
}

/* POST /admin/v1/queues/hold, /admin/v1/reload, /admin/v1/messages: the route
 * has the name of the bus's method. */
static void
admin_act(struct http_request *r, void *arg)
{
	struct admin *a = arg;

	if (admin_may_act(a, r))
		admin_act_body(a, r, http_route_name(r));
}

/* Does the body say {"force": true}? */
static bool
admin_forced(const struct http_request *r)
{
	struct bytes in = http_body(r);
	json_t *body = json_loadb(in.len > 0 ? (const char *)in.p : "{}",
	    in.len > 0 ? in.len : 2, JSON_REJECT_DUPLICATES, NULL);
	bool force = json_is_true(json_object_get(body, "force"));

	json_decref(body);
	return force;
}

/* POST /admin/v1/messages/ID/cancel or replay */
static void
admin_act_message(struct http_request *r, void *arg)
{
	struct admin *a = arg;
	struct bytes id, verb;
	struct buf body;

	if (!admin_may_act(a, r))
		return;
	if (!admin_verb(http_rest(r), &id, &verb) ||
	    !(verb_is(verb, "cancel") || verb_is(verb, "replay"))) {
		problem_reply(r, 404, "not_found",
		    "Actions on a message are cancel and replay.");
		return;
	}
	buf_init(&body);
	if (admin_id(r, id, admin_forced(r), &body))
		admin_ask(a, r, "bus",
		    verb_is(verb, "cancel") ? "message.cancel"
					    : "message.replay",
		    &body);
	buf_fini(&body);
}

/* ------------------------------------------------------------------- routes */

#define READ (HTTP_METHOD(HTTP_GET) | HTTP_METHOD(HTTP_HEAD))
#define POST HTTP_METHOD(HTTP_POST)

static const struct http_route admin_routes[] = {
	{ "/livez", false, READ, "livez", admin_livez },
	{ "/readyz", false, READ, "readyz", admin_readyz },
	{ "/metrics", false, READ, "metrics", admin_metrics },
	{ "/admin/v1/status", false, READ, "status", admin_read },
	{ "/admin/v1/links", false, READ, "links", admin_read },
	{ "/admin/v1/queues", false, READ, "queues", admin_read },
	{ "/admin/v1/boxes", false, READ, "boxes", admin_read },
	{ "/admin/v1/routes", false, READ, "routes", admin_read },
	{ "/admin/v1/accounts", false, READ, "accounts", admin_read },
	{ "/admin/v1/config", false, READ, "config.show", admin_read },
	{ "/admin/v1/config/diff", false, READ, "config.diff", admin_read },
	{ "/admin/v1/routes:test", false, READ, "routes.test",
	    admin_test_route },
	{ "/admin/v1/links/", true, READ, "link.show", admin_show_box },
	{ "/admin/v1/boxes/", true, READ, "stats", admin_show_box },
	{ "/admin/v1/hooks/", true, READ, "endpoints", admin_show_box },
	{ "/admin/v1/messages", false, READ, "message.find", admin_find },
	{ "/admin/v1/messages/", true, READ, "message.show",
	    admin_show_message },
	{ "/admin/v1/trace/", true, READ, "message.trace", admin_show_message },
	{ "/admin/v1/links/", true, POST, "link.set", admin_act_link },
	{ "/admin/v1/queues/hold", false, POST, "queue.hold", admin_act },
	{ "/admin/v1/queues/release", false, POST, "queue.release", admin_act },
	{ "/admin/v1/messages", false, POST, "send", admin_act },
	{ "/admin/v1/messages/", true, POST, "message.act", admin_act_message },
	{ "/admin/v1/reload", false, POST, "reload", admin_act },
	{ NULL, false, 0, NULL, NULL },
};

static void
admin_refuse(struct http_request *r, unsigned status, const char *text,
    const char *allow, void *arg UNUSED)
{
	char extra[128];

	if (allow != NULL)
		snprintf(extra, sizeof(extra), "Allow: %s\r\n", allow);
	problem_reply_extra(r, status, problem_code(status), text,
	    allow != NULL ? extra : NULL);
}

/* ------------------------------------------------------------ start and end */

static void
admin_acked_cb(struct box *box UNUSED, uint64_t cookie UNUSED,
    Hopyard__V1__Ack__Code code UNUSED, const char *text UNUSED,
    void *arg UNUSED)
{
	/* Nothing is handed over here. */
}

static const struct box_ops admin_box_ops = {
	.acked = admin_acked_cb,
};

static int
admin_listen(struct admin *a, const char *address)
{
	int rc = server_listen(a->server, address);
	char who[128];

	if (rc == UV_EADDRINUSE)
		log_error("http.listen", "address=%s taken_by=%s hint=%s",
		    address, listener_who(address, who, sizeof(who)),
		    "stop it, or choose another listen address");
	else if (rc != 0)
		log_error("http.listen", "address=%s error=%s", address,
		    uv_strerror(rc));
	else
		log_info("http.listen", "address=%s api=%s", address,
		    a->has_token ? "token" : "shut");
	return rc;
}

int
admin_start(struct admin *a, struct daemon *daemon)
{
	const struct conf_group *g = daemon_group(daemon);
	const char *token = conf_secret(g, "token");
	struct server_opts server = {
		.routes = admin_routes,
		.refuse = admin_refuse,
		.arg = a,
		.max_body = ADMIN_MAX_BODY,
		.max_connections = ADMIN_CONNECTIONS,
		.keepalive_ms = ADMIN_KEEPALIVE,
	};
	struct box_opts box = { .owner = true };

	a->daemon = daemon;
	a->loop = daemon_loop(daemon);
	TAILQ_INIT(&a->refusals);
	uv_timer_init(a->loop, &a->timer);
	a->timer.data = a;
	a->has_token = token != NULL && *token != '\0';
	if (a->has_token)
		SHA256((const uint8_t *)token, strlen(token), a->token);
	a->server = server_new(a->loop, &server);
	daemon_box_opts(daemon, "control", &box);
	a->box = box_new(a->loop, &box, &admin_box_ops, a);
	a->gatherer = gatherer_new(a->box, daemon_name(daemon));
	if (admin_listen(a, conf_str(g, "listen")) != 0)
		return -1;
	daemon_ready(daemon);
	return 0;
}

static void
admin_drained_cb(void *arg)
{
	struct admin *a = arg;

	daemon_stop(a->daemon, 0);
}

void
admin_drain(struct admin *a)
{
	admin_timer_cb(&a->timer);
	server_drain(a->server, admin_drained_cb, a);
}

void
admin_fini(struct admin *a)
{
	struct held_refusal *h;

	if (a->server == NULL)
		return;
	while ((h = TAILQ_FIRST(&a->refusals)) != NULL) {
		TAILQ_REMOVE(&a->refusals, h, link);
		free(h);
	}
	server_close(a->server);
	gatherer_free(a->gatherer);
	box_close(a->box, NULL, NULL);
	uv_close((uv_handle_t *)&a->timer, NULL);
	for (int i = 0; i < ADMIN_LAST_TURNS; i++)
		uv_run(a->loop, UV_RUN_NOWAIT);
	server_free(a->server);
	traffic_fini();
}
