/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control.c - calls: those that the bus answers itself, and the relay of all
 * others to the box that they name.
 *
 * Bodies are JSON, but for "account.get".  A relayed call gets a number of
 * ours on the way out and its own back on the way home.
 */
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/conn.h"
#include "common/daemon.h"
#include "common/json.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/uuid.h"
#include "common/xalloc.h"
#include "core/broker.h"
#include "proto/segment.h"

#define CALLS_MAX    4096
#define TIMEOUT_MS   10000
#define TIMEOUT_MAX  120000
#define WITHDRAW_MAX 1000 /* ids of one call */
/* A list ends here, so that the answer fits one frame. */
#define LIST_BYTES (FRAME_MAX_PAYLOAD - 8192)
/* What follows the list of queues in the metrics. */
#define STATS_BYTES (32 * 1024)

/* A call that waits: for a box, or for the engine (box 0). */
struct pending_call {
	uint64_t correlation; /* ours */
	uint32_t asker, box;
	uint64_t asked; /* correlation of the asker */
	uint64_t deadline;
	uint8_t id[16]; /* of the message, for cancel and send */
	bool has_id;
	/* For withdraw: messages without an answer, and what it was. */
	size_t left, withdrawn, sent, unknown, again;
};

/* One call that is answered here. */
struct control {
	struct broker *b;
	struct peer *peer;
	uint64_t correlation;
	const Hopyard__V1__Call *call;
	json_t *args; /* object; may be NULL */
};

/* ---------------------------------------------------------------- replies */

static void
reply_bytes(struct peer *p, uint64_t correlation, unsigned code,
    const char *error, const void *body, size_t len)
{
	Hopyard__V1__Reply r = HOPYARD__V1__REPLY__INIT;
	char copy[512];

	if (code != 0) {
		r.has_code = true;
		r.code = code;
	}
	if (error != NULL) {
		snprintf(copy, sizeof(copy), "%s", error);
		r.error = copy;
	}
	if (body != NULL) {
		r.has_body = true;
		r.body.data = (uint8_t *)(uintptr_t)body;
		r.body.len = len;
	}
	peer_send(p, HOPYARD__V1__FRAME_TYPE__REPLY, correlation, &r.base);
}

static void
fail(const struct control *c, unsigned code, const char *error)
{
	reply_bytes(c->peer, c->correlation, code, error, NULL, 0);
}

static void
reply_json(const struct control *c, struct buf *body)
{
	if (buf_len(body) > FRAME_MAX_PAYLOAD - 1024)
		fail(c, 413, "the answer is too long for one frame");
	else
		reply_bytes(c->peer, c->correlation, 0, NULL, buf_data(body),
		    buf_len(body));
	buf_fini(body);
}

static void
reply_ok(const struct control *c)
{
	reply_bytes(c->peer, c->correlation, 0, NULL, "{\"ok\":true}", 11);
}

static const char *
arg_str(const struct control *c, const char *key)
{
	return json_string_value(json_object_get(c->args, key));
}

/* box NULL: for the engine.  NULL when it was refused. */
static struct pending_call *
wait_for(const struct control *c, const struct peer *box, uint64_t ms)
{
	struct broker *b = c->b;
	struct pending_call *pc;

	if (b->calls.count >= CALLS_MAX) {
		fail(c, 503, "too many calls are waiting");
		return NULL;
	}
	pc = xcalloc(1, sizeof(*pc));
	pc->correlation = ++b->next_call;
	pc->asker = c->peer->id;
	pc->asked = c->correlation;
	pc->box = box != NULL ? box->id : 0;
	if (ms == 0)
		ms = TIMEOUT_MS;
	pc->deadline = clock_mono_ms() + (ms > TIMEOUT_MAX ? TIMEOUT_MAX : ms);
	map_put_u64(&b->calls, pc->correlation, pc);
	return pc;
}

/* The engine will answer about this message. */
static struct pending_call *
wait_for_message(const struct control *c, const uint8_t id[16])
{
	struct pending_call *pc = wait_for(c, NULL, TIMEOUT_MS);

	if (pc != NULL) {
		memcpy(pc->id, id, 16);
		pc->has_id = true;
	}
	return pc;
}

/* The argument "id"; false when it was refused. */
static bool
arg_id(const struct control *c, uint8_t id[16])
{
	const char *text = arg_str(c, "id");

	if (text != NULL && uuid_parse(text, strlen(text), id))
		return true;
	fail(c, 400, "\"id\" is not a message id");
	return false;
}

static void
forget(struct broker *b, struct pending_call *pc)
{
	map_del_u64(&b->calls, pc->correlation);
	free(pc);
}

/* One of its messages; all of them are answered at once. */
static void
answer_withdrawal(struct broker *b, struct pending_call *pc, unsigned code)
{
	struct peer *p = broker_peer(b, pc->asker);
	struct json j;
	struct buf out;

	if (code == 0)
		pc->withdrawn++;
	else if (code == 404)
		pc->unknown++;
	else if (code == 409)
		pc->sent++;
	else
		pc->again++;
	if (--pc->left > 0)
		return;
	if (p != NULL && pc->again > 0) {
		reply_bytes(p, pc->asked, 503, "ask again", NULL, 0);
	} else if (p != NULL) {
		buf_init(&out);
		json_init(&j, &out);
		json_open_object(&j, NULL);
		json_uint(&j, "withdrawn", pc->withdrawn);
		json_uint(&j, "sent", pc->sent);
		json_uint(&j, "unknown", pc->unknown);
		json_close_object(&j);
		reply_bytes(
		    p, pc->asked, 0, NULL, buf_data(&out), buf_len(&out));
		buf_fini(&out);
	}
	forget(b, pc);
}

void
control_answer(
    struct broker *b, uint64_t token, unsigned code, const char *text)
{
	struct pending_call *pc = map_get_u64(&b->calls, token);
	char id[UUID_TEXT_LEN];
	struct peer *p;
	struct json j;
	struct buf out;

	if (pc == NULL)
		return;
	if (pc->left > 0) {
		answer_withdrawal(b, pc, code);
		return;
	}
	p = broker_peer(b, pc->asker);
	if (p != NULL && code != 0) {
		reply_bytes(p, pc->asked, code, text, NULL, 0);
	} else if (p != NULL) {
		buf_init(&out);
		json_init(&j, &out);
		json_open_object(&j, NULL);
		json_bool(&j, "ok", true);
		if (pc->has_id)
			json_str(&j, "id", uuid_format(pc->id, id));
		if (text != NULL)
			json_str(&j, "detail", text);
		json_close_object(&j);
		reply_bytes(
		    p, pc->asked, 0, NULL, buf_data(&out), buf_len(&out));
		buf_fini(&out);
	}
	forget(b, pc);
}

/* ------------------------------------------------------------------ views */

static const char *
admin_name(enum target_admin a)
{
	static const char *const names[] = { "ready", "drain", "maint" };

	return names[a];
}

static const char *
target_word(const struct target *t)
{
	if (t->state == TARGET_LOST || t->state == TARGET_AWAY)
		return "away";
	if (t->admin != TARGET_ADMIN_READY)
		return admin_name(t->admin);
	return t->up ? "ready" : "down";
}

static uint64_t
queue_oldest(const struct broker *b, const struct queue *q)
{
	const struct msg *m = TAILQ_FIRST(&q->ready);

	return m != NULL && b->engine->wall > m->at ? b->engine->wall - m->at
						    : 0;
}

static uint64_t
queue_depth(const struct queue *q)
{
	return q->ready_count + q->spilled;
}

static void
on_status(struct control *c)
{
	struct broker *b = c->b;
	struct engine *e = b->engine;
	struct json j;
	struct buf out;
	const char *word = cell_word(b);
	uint64_t depth = 0, oldest = 0, stuck = 0;
	struct queue *q;
	size_t up = 0, links = 0;

	TAILQ_FOREACH(q, &e->queues, all_link) {
		uint64_t age = queue_oldest(b, q);

		depth += queue_depth(q);
		if (age > oldest)
			oldest = age;
	}
	for (size_t i = 0; i < e->target_count; i++) {
		struct target *t = e->target[i];
		struct msg *m = TAILQ_FIRST(&t->inflight);

		if (m != NULL && e->now - m->sent_at > 600000)
			stuck++;
		if (t->role != TARGET_CONNECTOR || !t->configured)
			continue;
		links++;
		up += target_usable(t);
	}
	buf_init(&out);
	json_init(&j, &out);
	json_open_object(&j, NULL);
	json_str(&j, "state",
	    b->draining            ? "draining"
		: b->rewound       ? "database rewound"
		: word != NULL     ? word
		: !e->open         ? "waiting for the store"
		: b->store == NULL ? "store away"
		: !b->store_up     ? "database away"
				   : "running");
	json_str(&j, "node", conf_str(conf_root(e->conf), "node"));
	json_str(&j, "version", hopyard_version);
	json_uint(&j, "uptime_ms", clock_wall_ms() - b->started);
	json_uint(&j, "epoch", e->epoch);
	json_printf(&j, "config_hash", "%016llx",
	    (unsigned long long)conf_hash(e->conf));
	cell_status(b, &j);
	json_open_object(&j, "store");
	json_bool(&j, "up", b->store != NULL && b->store_up);
	json_str(&j, "detail", b->store_detail);
	json_uint(&j, "pending", e->ledger.last_seq - e->ledger.horizon);
	json_close_object(&j);
	json_open_object(&j, "links");
	json_uint(&j, "up", up);
	json_uint(&j, "total", links);
	json_close_object(&j);
	json_open_object(&j, "queues");
	json_uint(&j, "depth", depth);
	json_uint(&j, "oldest_ms", oldest);
	json_uint(&j, "stuck", stuck);
	/* Messages from handsets of which parts are missing. */
	json_uint(&j, "incomplete", parts_waiting(e));
	json_close_object(&j);
	json_open_object(&j, "counts");
	json_uint(&j, "accepted", e->count.accepted);
	json_uint(&j, "refused", e->count.refused);
	json_uint(&j, "inbound", e->count.inbound);
	json_uint(&j, "receipts", e->count.receipts);
	json_uint(&j, "submitted", e->count.submitted);
	json_uint(&j, "notified", e->count.notified);
	json_uint(&j, "retries", e->count.retries);
	json_uint(&j, "rerouted", e->count.rerouted);
	json_uint(&j, "expired", e->count.expired);
	json_uint(&j, "duplicates", e->count.duplicates);
	json_uint(&j, "repeated", e->count.repeated);
	json_uint(&j, "withdrawn", e->count.withdrawn);
	json_uint(&j, "paged", e->count.paged);
	json_close_object(&j);
	json_open_object(&j, "memory");
	json_uint(&j, "items", e->by_seq.count);
	json_uint(&j, "bytes", e->bytes);
	json_uint(&j, "unwritten_bytes", e->ledger.bytes);
	json_close_object(&j);
	json_close_object(&j);
	reply_json(c, &out);
}

static void
on_links(struct control *c)
{
	struct engine *e = c->b->engine;
	struct json j;
	struct buf out;

	buf_init(&out);
	json_init(&j, &out);
	json_open_array(&j, NULL);
	for (size_t i = 0; i < e->target_count; i++) {
		struct target *t = e->target[i];
		uint64_t depth = 0, oldest = 0;
		struct queue *q;

		if (t->role != TARGET_CONNECTOR)
			continue;
		TAILQ_FOREACH(q, &e->queues, all_link) {
			uint64_t age;

			if (q->target != t)
				continue;
			depth += queue_depth(q);
			age = queue_oldest(c->b, q);
			if (age > oldest)
				oldest = age;
		}
		json_open_object(&j, NULL);
		json_str(&j, "link", t->name);
		json_str(&j, "state", target_word(t));
		json_str(&j, "admin", admin_name(t->admin));
		json_bool(&j, "up", t->up);
		json_uint(&j, "bound", t->bound);
		json_uint(&j, "binds", t->binds);
		json_uint(&j, "window", t->window);
		json_uint(&j, "in_flight", t->inflight_count);
		json_uint(&j, "queued", depth);
		json_uint(&j, "oldest_ms", oldest);
		json_uint(&j, "submitted", t->submitted);
		json_uint(&j, "failed", t->failed_count);
		json_uint(&j, "retried", t->retried);
		json_str(&j, "detail", t->detail);
		json_bool(&j, "configured", t->configured);
		json_close_object(&j);
	}
	json_close_array(&j);
	reply_json(c, &out);
}

static void
on_queues(struct control *c)
{
	struct engine *e = c->b->engine;
	struct json j;
	struct buf out;
	struct queue *q;
	size_t n = 0;

	buf_init(&out);
	json_init(&j, &out);
	json_open_array(&j, NULL);
	TAILQ_FOREACH(q, &e->queues, all_link) {
		/* Empty queues say nothing, and there may be many. */
		if (queue_depth(q) == 0 && q->home_count == 0 && !q->hold &&
		    q->inflight == 0 && n > 100)
			continue;
		if (n++ == 1000 || buf_len(&out) > LIST_BYTES)
			break;
		json_open_object(&j, NULL);
		json_printf(&j, "queue", "%s/%s/%s", q->target->name,
		    class_name(q->class), q->account);
		json_uint(&j, "number", q->number);
		json_str(&j, "target", q->target->name);
		json_str(&j, "class", class_name(q->class));
		json_str(&j, "account", q->account);
		json_uint(&j, "depth", queue_depth(q));
		json_uint(&j, "ready", q->ready_count);
		json_uint(&j, "in_store", q->spilled);
		json_uint(&j, "in_flight", q->inflight);
		json_uint(&j, "oldest_ms", queue_oldest(c->b, q));
		json_bool(&j, "deep", queue_deep(q));
		json_bool(&j, "hold", q->hold);
		json_close_object(&j);
	}
	json_close_array(&j);
	reply_json(c, &out);
}

/* What is known of a box's state: from its answers to PING, and by us. */
static void
write_figures(struct json *j, const struct broker *b, const struct peer *p)
{
	char cipher[64];
	uint64_t wanted =
	    p->remote ? p->config_wanted : conf_hash(b->engine->conf);
	int64_t expires = p->cert_at != 0 ? (int64_t)(p->cert_at / 1000)
					  : conn_peer_expires(p->conn);

	json_str(j, "tls", conn_show_tls(p->conn, cipher, sizeof(cipher)));
	if (p->remote)
		json_int(j, "cert_seconds_left",
		    expires - (int64_t)(clock_wall_ms() / 1000));
	if (p->config != 0) {
		json_printf(
		    j, "config_hash", "%016llx", (unsigned long long)p->config);
		json_bool(j, "config_current", p->config == wanted);
	}
	if (p->rtt_us != 0)
		json_uint(j, "rtt_us", p->rtt_us);
	if (p->memory != 0) {
		json_uint(j, "memory", p->memory);
		json_uint(j, "cpu_ms", p->cpu_ms);
		json_uint(j, "cpu_permille", p->cpu_permille);
	}
	/* What it takes more of ours, and what it may send us more. */
	if (p->target != NULL)
		json_uint(j, "credit",
		    p->target->granted_items > p->target->sent_items
			? p->target->granted_items - p->target->sent_items
			: 0);
	else if (p->role == ROLE_STORE)
		json_uint(j, "credit", p->credit_items - p->sent_items);
	else if (p->granted_items > 0)
		json_uint(j, "credit", p->granted_items - p->last_number);
}

static void
on_boxes(struct control *c)
{
	const struct conf *conf = c->b->engine->conf;
	struct json j;
	struct buf out;

	buf_init(&out);
	json_init(&j, &out);
	json_open_array(&j, NULL);
	for (size_t i = 0; i < conf_count(conf, "boxes"); i++) {
		const struct conf_group *g = conf_item(conf, "boxes", i);
		struct peer *p = broker_peer_by_name(c->b, conf_str(g, "name"));

		json_open_object(&j, NULL);
		json_str(&j, "name", conf_str(g, "name"));
		json_str(&j, "type", conf_str(g, "type"));
		json_bool(&j, "enabled", conf_bool(g, "enabled"));
		json_str(&j, "state", p != NULL ? "connected" : "away");
		if (p != NULL) {
			json_uint(&j, "pid", p->pid);
			json_str(&j, "version", p->version);
			json_str(&j, "host", p->host);
			json_str(&j, "peer", conn_peer(p->conn));
			json_uint(&j, "up_ms", clock_mono_ms() - p->since);
			json_uint(&j, "frames_in", p->frames_in);
			json_uint(&j, "frames_out", p->frames_out);
			json_uint(&j, "unsettled", p->last_number - p->settled);
			write_figures(&j, c->b, p);
		}
		json_close_object(&j);
	}
	json_close_array(&j);
	reply_json(c, &out);
}

static void
on_routes(struct control *c)
{
	const struct route_table *t = c->b->engine->routes;
	struct json j;
	struct buf out;

	buf_init(&out);
	json_init(&j, &out);
	json_open_array(&j, NULL);
	for (size_t i = 0; i < t->count; i++) {
		const struct route *r = &t->route[i];

		json_open_object(&j, NULL);
		json_str(&j, "route", r->name);
		json_open_array(&j, "to");
		for (size_t k = 0; r->to != NULL && r->to[k] != NULL; k++)
			json_str(&j, NULL, r->to[k]);
		json_close_array(&j);
		json_open_array(&j, "account");
		for (size_t k = 0; r->account != NULL && r->account[k] != NULL;
		     k++)
			json_str(&j, NULL, r->account[k]);
		json_close_array(&j);
		json_open_array(&j, "via");
		for (size_t k = 0; k < r->via_count; k++)
			json_str(&j, NULL, r->via[k]->name);
		json_close_array(&j);
		json_close_object(&j);
	}
	json_close_array(&j);
	reply_json(c, &out);
}

static void
on_accounts(struct control *c)
{
	const struct account_table *t = c->b->engine->accounts;
	struct json j;
	struct buf out;

	buf_init(&out);
	json_init(&j, &out);
	json_open_array(&j, NULL);
	for (size_t i = 0; i < t->count; i++) {
		const struct account *a = &t->account[i];

		if (buf_len(&out) > LIST_BYTES)
			break; /* 10,000 accounts are no list for people */
		json_open_object(&j, NULL);
		json_str(&j, "account", a->id);
		json_str(&j, "username", a->username);
		json_bool(&j, "enabled", !a->disabled);
		json_str(&j, "moved", a->moved);
		json_str(&j, "class", class_name(a->class));
		json_uint(&j, "tps", a->tps);
		json_uint(&j, "api_keys", conf_list_len(a->group, "api_keys"));
		json_bool(&j, "webhook", conf_sub(a->group, "webhook") != NULL);
		json_str(&j, "hook", a->hook);
		json_uint(&j, "accepted", a->accepted);
		json_uint(&j, "refused", a->refused);
		json_str(&j, "where", conf_where(a->group, NULL));
		json_close_object(&j);
	}
	json_close_array(&j);
	reply_json(c, &out);
}

/* One row for each customer and server; who has no bind and nothing waiting is
 * left out. */
static void
on_customers(struct control *c)
{
	const char *only = arg_str(c, "account");
	struct engine *e = c->b->engine;
	const struct customer *cu;
	const struct seat *s;
	struct json j;
	struct buf out;

	buf_init(&out);
	json_init(&j, &out);
	json_open_array(&j, NULL);
	TAILQ_FOREACH(cu, &e->customer_list, link) {
		uint64_t depth = 0, in_flight = 0;

		if (buf_len(&out) > LIST_BYTES)
			break;
		if (only != NULL && strcmp(only, cu->account) != 0)
			continue;
		for (int i = 0; i < CLASS_COUNT; i++)
			if (cu->queue[i] != NULL) {
				depth += queue_depth(cu->queue[i]);
				in_flight += cu->queue[i]->inflight;
			}
		s = TAILQ_FIRST(&cu->seats);
		if (depth == 0 && in_flight == 0 && customer_binds(cu) == 0)
			continue;
		do {
			uint64_t left = s != NULL && s->granted > s->sent
			    ? s->granted - s->sent
			    : 0;

			json_open_object(&j, NULL);
			json_str(&j, "account", cu->account);
			json_str(&j, "box", s != NULL ? s->box->name : NULL);
			json_uint(&j, "binds", s != NULL ? s->binds : 0);
			json_uint(
			    &j, "receivers", s != NULL ? s->receivers : 0);
			json_uint(&j, "credit", left);
			json_uint(&j, "queued", depth);
			json_uint(&j, "in_flight", in_flight);
			json_close_object(&j);
		} while (s != NULL && (s = TAILQ_NEXT(s, link)) != NULL);
	}
	json_close_array(&j);
	reply_json(c, &out);
}

static struct bytes
arg_bytes(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, s == NULL ? 0 : strlen(s) };
}

static void
on_routes_test(struct control *c)
{
	struct engine *e = c->b->engine;
	const char *to = arg_str(c, "to"), *from = arg_str(c, "from");
	const char *account = arg_str(c, "account");
	const struct route *hit = NULL;
	struct route_key key;
	struct target *t;
	struct json j;
	struct buf out;
	char why[160];
	bool up;

	if (to == NULL) {
		fail(c, 400, "routes.test needs \"to\"");
		return;
	}
	if (*to == '+')
		to++;
	key = (struct route_key){ .account = arg_bytes(account),
		.to = arg_bytes(to),
		.from = arg_bytes(from) };
	buf_init(&out);
	json_init(&j, &out);
	json_open_object(&j, NULL);
	json_open_array(&j, "rules");
	for (size_t i = 0; i < e->routes->count && hit == NULL; i++) {
		const struct route *r = &e->routes->route[i];
		const char *misfit = route_misfit(r, &key);

		json_open_object(&j, NULL);
		json_str(&j, "route", r->name);
		json_str(&j, "result", misfit == NULL ? "match" : misfit);
		json_close_object(&j);
		if (misfit == NULL)
			hit = r;
	}
	json_close_array(&j);
	t = hit == NULL ? NULL
			: engine_choose(hit, NULL, &up, why, sizeof(why));
	json_str(&j, "link", t != NULL ? t->name : NULL);
	if (t != NULL) {
		json_str(&j, "state", target_word(t));
		json_str(&j, "passed_over", why);
	}
	json_close_object(&j);
	reply_json(c, &out);
}

static void
on_config_show(struct control *c)
{
	struct buf text, out;
	struct json j;

	buf_init(&text);
	buf_init(&out);
	conf_show(c->b->engine->conf,
	    json_is_true(json_object_get(c->args, "changed")), &text);
	json_init(&j, &out);
	json_open_object(&j, NULL);
	json_str(&j, "file", conf_file(c->b->engine->conf));
	json_text(&j, "text", buf_data(&text), buf_len(&text));
	json_close_object(&j);
	buf_fini(&text);
	reply_json(c, &out);
}

/* What a reload would change. */
static void
on_config_diff(struct control *c)
{
	const struct conf *now = c->b->engine->conf;
	struct buf err, diff, out;
	struct conf *file;
	struct json j;

	buf_init(&err);
	file = conf_load(conf_file(now), &err);
	if (file == NULL) {
		fail(c, 422, buf_str(&err));
		buf_fini(&err);
		return;
	}
	buf_init(&diff);
	buf_init(&out);
	conf_diff(now, file, &diff);
	json_init(&j, &out);
	json_open_object(&j, NULL);
	json_str(&j, "file", conf_file(now));
	json_text(&j, "diff", buf_data(&diff), buf_len(&diff));
	json_text(&j, "warnings", buf_data(&err), buf_len(&err));
	json_close_object(&j);
	conf_free(file);
	buf_fini(&diff);
	buf_fini(&err);
	reply_json(c, &out);
}

/* ---------------------------------------------------------------- actions */

static void
on_reload(struct control *c)
{
	struct buf err, out;
	struct json j;
	bool ok;

	buf_init(&err);
	ok = daemon_reload(c->b->daemon, &err);
	if (!ok) {
		fail(c, 422, buf_str(&err));
		buf_fini(&err);
		return;
	}
	buf_init(&out);
	json_init(&j, &out);
	json_open_object(&j, NULL);
	json_bool(&j, "ok", true);
	json_uint(&j, "version", c->b->version);
	json_text(&j, "diff", buf_data(&err), buf_len(&err));
	json_close_object(&j);
	buf_fini(&err);
	reply_json(c, &out);
}

static void
on_restart(struct control *c)
{
	struct buf why;

	buf_init(&why);
	if (daemon_restart(c->b->daemon, &why))
		reply_ok(c);
	else
		fail(c, 409, buf_str(&why));
	buf_fini(&why);
}

static void
on_link_set(struct control *c)
{
	const char *name = arg_str(c, "link"), *state = arg_str(c, "state");
	struct target *t =
	    name == NULL ? NULL : engine_target(c->b->engine, name);

	if (t == NULL || t->role != TARGET_CONNECTOR) {
		fail(c, 404, "no such link");
		return;
	}
	for (int a = TARGET_ADMIN_READY; a <= TARGET_ADMIN_MAINT; a++)
		if (state != NULL &&
		    strcmp(state, admin_name((enum target_admin)a)) == 0) {
			engine_set_admin(c->b->engine, t, (enum target_admin)a);
			log_info("link.admin", "link=%s state=%s by=%s",
			    t->name, state, c->peer->name);
			reply_ok(c);
			return;
		}
	fail(c, 400, "state is ready, drain or maint");
}

static void
set_hold(struct control *c, bool hold)
{
	const char *target = arg_str(c, "target"), *class = arg_str(c, "class");
	const char *account = arg_str(c, "account"),
		   *name = arg_str(c, "queue");
	struct json j;
	struct buf out;
	struct queue *q;
	size_t n = 0;
	char full[512];

	if (target == NULL && class == NULL && account == NULL &&
	    name == NULL) {
		fail(c, 400,
		    "say which: \"queue\" as target/class/account, or any of "
		    "\"target\", \"class\", \"account\"");
		return;
	}
	TAILQ_FOREACH(q, &c->b->engine->queues, all_link) {
		snprintf(full, sizeof(full), "%s/%s/%s", q->target->name,
		    class_name(q->class), q->account);
		if ((name != NULL && strcmp(name, full) != 0) ||
		    (target != NULL && strcmp(target, q->target->name) != 0) ||
		    (class != NULL &&
			strcmp(class, class_name(q->class)) != 0) ||
		    (account != NULL && strcmp(account, q->account) != 0))
			continue;
		engine_hold(c->b->engine, q, hold);
		n++;
	}
	if (n == 0) {
		fail(c, 404, "no such queue");
		return;
	}
	buf_init(&out);
	json_init(&j, &out);
	json_open_object(&j, NULL);
	json_bool(&j, "ok", true);
	json_uint(&j, "queues", n);
	json_close_object(&j);
	reply_json(c, &out);
}

static void
on_queue_hold(struct control *c)
{
	set_hold(c, true);
}

static void
on_queue_release(struct control *c)
{
	set_hold(c, false);
}

static void
on_accept_rewind(struct control *c)
{
	struct broker *b = c->b;
	struct json j;
	struct buf out;
	uint64_t confirmed = b->rewound_from;

	if (!b->rewound) {
		fail(c, 409, "the database has not been rewound");
		return;
	}
	log_warn("cell.rewind_accepted",
	    "last_seq=%llu confirmed=%llu lost=%llu by=%s",
	    (unsigned long long)b->rewound_to, (unsigned long long)confirmed,
	    (unsigned long long)(confirmed - b->rewound_to), c->peer->name);
	buf_init(&out);
	json_init(&j, &out);
	json_open_object(&j, NULL);
	json_bool(&j, "ok", true);
	json_uint(&j, "last_seq", b->rewound_to);
	json_uint(&j, "confirmed", confirmed);
	json_uint(&j, "lost", confirmed - b->rewound_to);
	json_close_object(&j);
	reply_json(c, &out);
	/* The store must hear of it; where it is not here just now it will when
	 * it comes.  A bus that was open ends then. */
	b->rewind_accepted = true;
	if (b->store != NULL)
		broker_open_store(b, b->store);
}

static void
on_handover(struct control *c)
{
	struct pending_call *pc = wait_for(c, NULL, TIMEOUT_MS);
	const char *why;

	if (pc == NULL)
		return;
	why = cell_hand_over(c->b, pc->correlation);
	if (why != NULL)
		control_answer(c->b, pc->correlation, 409, why);
}

static void
on_cancel(struct control *c)
{
	struct bytes account = { c->call->account.data, c->call->account.len };
	struct pending_call *pc;
	uint8_t id[16];

	if (arg_id(c, id) && (pc = wait_for_message(c, id)) != NULL)
		engine_cancel(c->b->engine, id, account, pc->correlation);
}

static void
on_withdraw(struct control *c)
{
	const json_t *ids = json_object_get(c->args, "ids");
	size_t n = json_array_size(ids);
	struct pending_call *pc;
	uint64_t token;
	uint8_t id[16];

	for (size_t i = 0; i < n && n <= WITHDRAW_MAX; i++) {
		const char *s = json_string_value(json_array_get(ids, i));

		if (s == NULL || !uuid_parse(s, strlen(s), id))
			n = 0;
	}
	if (n == 0 || n > WITHDRAW_MAX) {
		fail(c, 400, "\"ids\" is not 1 to 1000 message ids");
		return;
	}
	pc = wait_for(c, NULL, c->call->timeout_ms);
	if (pc == NULL)
		return;
	pc->left = n;
	/* It may end with the last answer. */
	token = pc->correlation;
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(ids, i));

		if (uuid_parse(s, strlen(s), id))
			engine_withdraw(c->b->engine, id, token);
	}
}

static void
on_replay(struct control *c)
{
	bool force = json_is_true(json_object_get(c->args, "force"));
	struct pending_call *pc;
	uint8_t id[16], new_id[16];

	if (!arg_id(c, id))
		return;
	uuid_new(new_id);
	if ((pc = wait_for_message(c, new_id)) == NULL)
		return;
	log_info("message.replay", "by=%s force=%s", c->peer->name,
	    force ? "yes" : "no");
	engine_replay(c->b->engine, id, new_id, force, pc->correlation);
}

/* Parts as the standard profile counts them; 0 with *why when there is no
 * way. */
static unsigned
count_parts(const char *text, const char **why)
{
	static struct segment_plan plan;
	static uint8_t encoded[16384];
	struct segment_intent in = SEGMENT_INTENT_INIT;
	struct segment_profile profile = { .max_parts = 0 };
	enum segment_error err;

	in.text = arg_bytes(text);
	err = segment_plan(&plan, &in, &profile, encoded, sizeof(encoded));
	*why = segment_strerror(err);
	return err == SEGMENT_OK ? plan.segments : 0;
}

/* hopctl send: the bus is the front end. */
static void
on_send(struct control *c)
{
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Content content = HOPYARD__V1__CONTENT__INIT;
	Hopyard__V1__Origin origin = HOPYARD__V1__ORIGIN__INIT;
	const char *to = arg_str(c, "to"), *from = arg_str(c, "from");
	const char *text = arg_str(c, "text"), *account = arg_str(c, "account");
	const struct account_table *accounts = c->b->engine->accounts;
	const char *class = arg_str(c, "class"), *why;
	uint8_t memory[2][4096];
	struct account *sender;
	struct pending_call *pc;
	struct item it;
	unsigned parts;
	uint8_t id[16];

	if (account == NULL && accounts->count > 0)
		account = accounts->account[0].id;
	if (to == NULL || text == NULL || account == NULL) {
		fail(c, 400, "send needs \"to\", \"text\" and an account");
		return;
	}
	if (class != NULL && class_parse(class) < 0) {
		fail(c, 400, "\"class\" is otp, alert, txn or bulk");
		return;
	}
	sender = account_get(accounts, account, strlen(account));
	if (from == NULL && sender != NULL)
		from = conf_str(sender->group, "default_from");
	if (*to == '+')
		to++;
	if (strlen(text) > 3000 || strlen(to) > 20 ||
	    (from != NULL && strlen(from) > 20) || strlen(account) > 64) {
		fail(c, 400, "text or address is too long");
		return;
	}
	if ((parts = count_parts(text, &why)) == 0) {
		fail(c, 422, why);
		return;
	}
	uuid_new(id);
	if ((pc = wait_for_message(c, id)) == NULL)
		return;
#define BIN(s) (ProtobufCBinaryData){ strlen(s), (uint8_t *)(uintptr_t)(s) }
	env.id = (ProtobufCBinaryData){ 16, id };
	env.kind = HOPYARD__V1__KIND__MT;
	env.has_account = env.has_to = true;
	env.account = BIN(account);
	env.to = BIN(to);
	if (from != NULL) {
		env.has_from = true;
		env.from = BIN(from);
	}
	env.has_parts = true;
	env.parts = parts;
	if (class != NULL) {
		env.has_class_ = true;
		env.class_ = (Hopyard__V1__Class)(class_parse(class) + 1);
	}
	env.has_report_mask = true;
	env.report_mask = 1 | 2;
	env.origin = &origin;
	origin.has_source = origin.has_credential = true;
	origin.source = BIN(conn_peer(c->peer->conn));
	origin.credential = BIN("control");
	content.has_text = true;
	content.text = BIN(text);
#undef BIN
	it.envelope = (struct bytes){ memory[0],
		hopyard__v1__envelope__pack(&env, memory[0]) };
	it.body = (struct bytes){ memory[1],
		hopyard__v1__content__pack(&content, memory[1]) };
	/* A mask without a Report: a receipt is asked for and kept, nobody is
	 * called back. */
	it.report = (struct bytes){ NULL, 0 };
	it.context = (struct bytes){ NULL, 0 };
	engine_submit(c->b->engine, ENGINE_PEER_CALL, pc->correlation,
	    c->peer->name, 60000, &it);
}

static void
on_account_get(struct control *c)
{
	const struct account_table *t = c->b->engine->accounts;
	const Hopyard__V1__AccountQuery *q;
	struct account *a;
	uint8_t *body;
	size_t len;

	arena_reset(&c->b->engine->result_arena);
	q = frame_unpack(&c->b->engine->result_arena,
	    &hopyard__v1__account_query__descriptor, c->call->body.data,
	    c->call->body.len);
	a = q == NULL ? NULL : account_find(t, q);
	if (a == NULL) {
		fail(c, q == NULL ? 400 : 404, "no such account");
		return;
	}
	/* What it has here still goes on, and is taken from whoever has not
	 * heard of it yet. */
	if (a->moved != NULL) {
		fail(c, 410, a->moved);
		return;
	}
	body = account_pack(t, a, &len);
	reply_bytes(c->peer, c->correlation, 0, NULL, body, len);
	explicit_bzero(body, len);
	free(body);
}

/* Is one more session of the account welcome?  It is counted if so. */
static void
on_smpp_bind(struct control *c)
{
	struct bytes account = { c->call->account.data, c->call->account.len };
	const char *why = NULL;
	unsigned code =
	    engine_bind(c->b->engine, c->peer->target, account, &why);

	if (code != 0)
		fail(c, code, why);
	else
		reply_ok(c);
}

static void
on_webhook_get(struct control *c)
{
	const char *id = arg_str(c, "account");
	const struct conf_group *g = NULL;
	struct account *a;
	struct json j;
	struct buf out;

	a = id == NULL ? NULL
		       : account_get(c->b->engine->accounts, id, strlen(id));
	if (a != NULL)
		g = conf_sub(a->group, "webhook");
	if (g == NULL) {
		fail(c, 404, "the account has no webhook");
		return;
	}
	buf_init(&out);
	json_init(&j, &out);
	json_open_object(&j, NULL);
	json_str(&j, "url", conf_str(g, "url"));
	json_str(&j, "secret", conf_secret(g, "secret"));
	json_uint(&j, "version", c->b->version);
	json_open_array(&j, "events");
	for (size_t i = 0; i < conf_list_len(g, "events"); i++)
		json_str(&j, NULL, conf_list_str(g, "events", i));
	json_close_array(&j);
	json_close_object(&j);
	reply_json(c, &out);
}

/* One of all rules; `at` is where their counter is. */
static void
filter_counter(const struct filters *fs, struct buf *out, const char *name,
    const char *help, const char *label, size_t at)
{
	if (help != NULL)
		buf_printf(out,
		    "# HELP hopyard_%s %s\n# TYPE hopyard_%s counter\n", name,
		    help, name);
	for (size_t i = 0; i < fs->count; i++) {
		uint64_t value;

		memcpy(&value, (const char *)&fs->filter[i]->count + at,
		    sizeof(value));
		buf_printf(out, "hopyard_%s{filter=\"%s\"%s} %llu\n", name,
		    fs->filter[i]->name, label, (unsigned long long)value);
	}
}

static void
filter_metrics(const struct filters *fs, struct buf *out)
{
#define AT(field) offsetof(struct filter_counters, field)
	static const struct {
		const char *label;
		size_t at;
	} verdicts[] = {
		{ ",verdict=\"pass\"", AT(passed) },
		{ ",verdict=\"change\"", AT(changed) },
		{ ",verdict=\"reject\"", AT(rejected) },
		{ ",verdict=\"later\"", AT(later) },
		{ ",verdict=\"hold\"", AT(held) },
	}, without[] = {
		{ ",why=\"late\"", AT(late) },
		{ ",why=\"lost\"", AT(lost) },
		{ ",why=\"not_asked\"", AT(skipped) },
		{ ",why=\"invalid\"", AT(invalid) },
	};

	if (fs->count == 0)
		return;
	filter_counter(fs, out, "filter_asked_total",
	    "Messages that the filter was asked about.", "", AT(asked));
	filter_counter(fs, out, "filter_cached_total",
	    "Verdicts that it had allowed the bus to give.", "", AT(cached));
	filter_counter(fs, out, "filter_probes_total",
	    "Messages that it got to see whether it answers.", "", AT(probes));
	filter_counter(fs, out, "filter_wait_ms_total",
	    "How long messages waited for it, all together.", "", AT(wait_ms));
	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++)
		filter_counter(fs, out, "filter_verdicts_total",
		    i == 0 ? "Verdicts." : NULL, verdicts[i].label,
		    verdicts[i].at);
	for (size_t i = 0; i < ARRAY_LEN(without); i++)
		filter_counter(fs, out, "filter_defaults_total",
		    i == 0 ? "Messages that had the default verdict." : NULL,
		    without[i].label, without[i].at);
#undef AT
	buf_printf(out,
	    "# HELP hopyard_filter_passed_over It does not answer, and is "
	    "asked by probes only.\n"
	    "# TYPE hopyard_filter_passed_over gauge\n");
	for (size_t i = 0; i < fs->count; i++)
		buf_printf(out,
		    "hopyard_filter_passed_over{filter=\"%s\"} %d\n",
		    fs->filter[i]->name,
		    fs->filter[i]->state == FILTER_PASSED_OVER);
	buf_printf(out,
	    "# HELP hopyard_filter_waiting Messages that wait for it.\n"
	    "# TYPE hopyard_filter_waiting gauge\n");
	for (size_t i = 0; i < fs->count; i++)
		buf_printf(out, "hopyard_filter_waiting{filter=\"%s\"} %zu\n",
		    fs->filter[i]->name, fs->filter[i]->in_hand);
}

static void
metrics(struct broker *b, struct buf *out)
{
	struct engine *e = b->engine;
	size_t bound, seats;
	struct queue *q;

#define COUNTER(name, help, value)                                             \
	buf_printf(out,                                                        \
	    "# HELP hopyard_%s %s\n# TYPE hopyard_%s counter\n"                \
	    "hopyard_%s{box=\"bus\"} %llu\n",                                  \
	    name, help, name, name, (unsigned long long)(value))
	COUNTER("messages_accepted_total", "MT messages made durable.",
	    e->count.accepted);
	COUNTER("messages_refused_total", "Submissions refused at admission.",
	    e->count.refused);
	COUNTER("messages_submitted_total", "Messages taken by a link.",
	    e->count.submitted);
	COUNTER("messages_retried_total", "Attempts that will be repeated.",
	    e->count.retries);
	COUNTER("messages_rerouted_total", "Messages moved to another link.",
	    e->count.rerouted);
	COUNTER("messages_expired_total", "Messages whose validity ended here.",
	    e->count.expired);
	COUNTER("inbound_total", "Messages from handsets.", e->count.inbound);
	COUNTER(
	    "receipts_total", "Delivery receipts taken.", e->count.receipts);
	COUNTER("notified_total", "Reports and MO given to customers.",
	    e->count.notified);
	if (e->filtering)
		COUNTER("filter_strays_total",
		    "Verdicts that nobody waited for: late, or of no question.",
		    e->filters->strays);
#undef COUNTER
	filter_metrics(e->filters, out);
	buf_printf(out,
	    "# HELP hopyard_link_state Links by state.\n"
	    "# TYPE hopyard_link_state gauge\n");
	for (size_t i = 0; i < e->target_count; i++)
		if (e->target[i]->role == TARGET_CONNECTOR)
			buf_printf(out,
			    "hopyard_link_state{link=\"%s\",state=\"%s\"} 1\n",
			    e->target[i]->name, target_word(e->target[i]));
	buf_printf(out,
	    "# HELP hopyard_queue_depth Items waiting.\n"
	    "# TYPE hopyard_queue_depth gauge\n");
	/* Thousands of queues leave room for each other metric. */
	TAILQ_FOREACH(q, &e->queues, all_link) {
		if (buf_len(out) > LIST_BYTES / 2)
			break;
		buf_printf(out,
		    "hopyard_queue_depth{queue=\"%s/%s/%s\"} %llu\n",
		    q->target->name, class_name(q->class), q->account,
		    (unsigned long long)queue_depth(q));
	}
	buf_printf(out,
	    "# HELP hopyard_queue_oldest_age_seconds Age of the first item.\n"
	    "# TYPE hopyard_queue_oldest_age_seconds gauge\n");
	TAILQ_FOREACH(q, &e->queues, all_link) {
		if (buf_len(out) > LIST_BYTES - STATS_BYTES)
			break;
		buf_printf(out,
		    "hopyard_queue_oldest_age_seconds{queue=\"%s/%s/%s\"} "
		    "%.3f\n",
		    q->target->name, class_name(q->class), q->account,
		    (double)queue_oldest(b, q) / 1000);
	}
	buf_printf(out,
	    "# HELP hopyard_store_up Is the store taking records.\n"
	    "# TYPE hopyard_store_up gauge\nhopyard_store_up %d\n"
	    "# HELP hopyard_bus_items Items in the bus's memory.\n"
	    "# TYPE hopyard_bus_items gauge\nhopyard_bus_items %zu\n",
	    b->store != NULL && b->store_up, e->by_seq.count);
	customers_count(e, &bound, &seats);
	buf_printf(out,
	    "# HELP hopyard_customers_bound Customers with an SMPP bind.\n"
	    "# TYPE hopyard_customers_bound gauge\n"
	    "hopyard_customers_bound %zu\n"
	    "# HELP hopyard_customers_seats The same, each at each server.\n"
	    "# TYPE hopyard_customers_seats gauge\n"
	    "hopyard_customers_seats %zu\n",
	    bound, seats);
	cell_metrics(b, out);
	stats_prometheus(out, "bus");
}

static void
on_prometheus(struct control *c)
{
	struct buf out;

	buf_init(&out);
	metrics(c->b, &out);
	reply_json(c, &out);
}

static void
on_ping(struct control *c)
{
	reply_ok(c);
}

static void
on_tap(struct control *c)
{
	const char *peer = arg_str(c, "peer");

	if (c->b->tap_peer != 0 && c->b->tap_peer != c->peer->id &&
	    broker_peer(c->b, c->b->tap_peer) != NULL) {
		fail(c, 409, "somebody else is watching; one at a time");
		return;
	}
	c->b->tap_peer = c->peer->id;
	c->b->tap_correlation = c->correlation;
	snprintf(c->b->tap_filter, sizeof(c->b->tap_filter), "%s",
	    peer != NULL ? peer : "");
	reply_ok(c);
}

void
broker_tap(struct broker *b, struct peer *p, bool from_bus, uint16_t type,
    size_t size, size_t items)
{
	Hopyard__V1__Tapped t = HOPYARD__V1__TAPPED__INIT;
	struct peer *to;
	char name[64];

	if (b->tap_peer == 0 || p->id == b->tap_peer)
		return;
	if (b->tap_filter[0] != '\0' && strcmp(b->tap_filter, p->name) != 0)
		return;
	to = broker_peer(b, b->tap_peer);
	/* A watcher that does not keep up misses frames. */
	if (to == NULL || conn_above_high(to->conn))
		return;
	snprintf(name, sizeof(name), "%s", p->name);
	t.peer = name;
	t.has_from_bus = t.has_type = t.has_size = t.has_items = true;
	t.from_bus = from_bus;
	t.type = type;
	t.size = (uint32_t)size;
	t.items = (uint32_t)items;
	peer_send(
	    to, HOPYARD__V1__FRAME_TYPE__TAPPED, b->tap_correlation, &t.base);
}

/* ------------------------------------------------------------- dispatcher */

/* Who may ask for what: F front ends, S SMPP servers, H hooks, C control. */
static const struct {
	const char *name;
	void (*run)(struct control *);
	const char *roles;
	bool json;
} methods[] = {
	{ "status", on_status, "C", true },
	{ "links", on_links, "C", true },
	{ "queues", on_queues, "C", true },
	{ "boxes", on_boxes, "C", true },
	{ "routes", on_routes, "C", true },
	{ "routes.test", on_routes_test, "C", true },
	{ "accounts", on_accounts, "C", true },
	{ "customers", on_customers, "C", true },
	{ "config.show", on_config_show, "C", true },
	{ "config.diff", on_config_diff, "C", true },
	{ "reload", on_reload, "C", true },
	{ "restart", on_restart, "C", true },
	{ "link.set", on_link_set, "C", true },
	{ "queue.hold", on_queue_hold, "C", true },
	{ "queue.release", on_queue_release, "C", true },
	{ "cell.accept_rewind", on_accept_rewind, "C", true },
	{ "bus.handover", on_handover, "C", true },
	{ "message.cancel", on_cancel, "CFS", true },
	{ "message.withdraw", on_withdraw, "FS", true },
	{ "message.replay", on_replay, "C", true },
	{ "send", on_send, "C", true },
	{ "account.get", on_account_get, "FS", false },
	{ "smpp.bind", on_smpp_bind, "S", true },
	{ "webhook.get", on_webhook_get, "H", true },
	{ "prometheus", on_prometheus, "C", true },
	{ "ping", on_ping, "CFSH", true },
	{ "tap", on_tap, "C", true },
};

/* Methods of boxes that front ends may reach. */
static const char *const front_methods[] = { "message.show", "message.find",
	"message.get", "idem.claim" };

static bool
role_in(const struct peer *p, const char *roles)
{
	switch (p->role) {
	case ROLE_FRONT:
		return strchr(roles, 'F') != NULL;
	case ROLE_HOOK:
		return strchr(roles, 'H') != NULL;
	case ROLE_SERVER:
		return strchr(roles, 'S') != NULL;
	case ROLE_CONTROL:
		return strchr(roles, 'C') != NULL;
	default:
		return false;
	}
}

static void
call_bus(struct control *c)
{
	json_error_t err;
	char text[200];

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (strcmp(methods[i].name, c->call->method) != 0)
			continue;
		if (!role_in(c->peer, methods[i].roles)) {
			fail(c, 403, "this box may not ask that");
			return;
		}
		if (methods[i].json && c->call->body.len > 0) {
			c->args = json_loadb((const char *)c->call->body.data,
			    c->call->body.len, JSON_REJECT_DUPLICATES, &err);
			if (!json_is_object(c->args)) {
				snprintf(text, sizeof(text),
				    "arguments are not a JSON object: %s",
				    err.text);
				fail(c, 400, text);
				json_decref(c->args);
				return;
			}
		}
		methods[i].run(c);
		json_decref(c->args);
		return;
	}
	snprintf(text, sizeof(text), "the bus has no method \"%s\"",
	    c->call->method);
	fail(c, 404, text);
}

static void
relay(struct control *c)
{
	Hopyard__V1__Call out = *c->call;
	bool may = c->peer->role == ROLE_CONTROL;
	struct pending_call *pc;
	struct peer *box = NULL;
	char text[160];

	for (size_t i = 0; i < ARRAY_LEN(front_methods); i++)
		may |= peer_is_front(c->peer) && c->call->has_account &&
		    strcmp(c->call->method, front_methods[i]) == 0;
	if (!may) {
		fail(c, 403, "this box may not ask that");
		return;
	}
	/* "store" is whoever has that role. */
	if (strcmp(c->call->target, "store") == 0)
		box = c->b->store;
	if (box == NULL)
		box = broker_peer_by_name(c->b, c->call->target);
	/* The admin process is a box as well; an operator's tool is not. */
	if (box == NULL ||
	    (box->role == ROLE_CONTROL &&
		conf_box(c->b->engine->conf, box->name) == NULL)) {
		snprintf(text, sizeof(text), "box \"%s\" is not connected",
		    c->call->target);
		fail(c, 503, text);
		return;
	}
	pc = wait_for(c, box, c->call->timeout_ms);
	if (pc == NULL)
		return;
	out.has_caller = true;
	out.caller = (ProtobufCBinaryData){ strlen(c->peer->name),
		(uint8_t *)c->peer->name };
	peer_send(
	    box, HOPYARD__V1__FRAME_TYPE__CALL, pc->correlation, &out.base);
}

void
control_call(struct broker *b, struct peer *p, uint64_t correlation,
    const struct frame *f)
{
	struct control c = { .b = b, .peer = p, .correlation = correlation };
	uint8_t *memory = xmalloc(64 * 1024 + 8 * f->len);
	struct arena arena;

	/* Calls are rare: an arena of their own, so that the methods may use
	 * the engine freely. */
	arena_init(&arena, memory, 64 * 1024 + 8 * f->len);
	c.call = frame_unpack(
	    &arena, &hopyard__v1__call__descriptor, f->payload, f->len);
	if (c.call == NULL)
		fail(&c, 400, "Call does not parse");
	else if (strcmp(c.call->target, "bus") == 0)
		call_bus(&c);
	else
		relay(&c);
	free(memory);
}

void
control_reply(struct broker *b, struct peer *p, uint64_t correlation,
    const struct frame *f)
{
	struct pending_call *pc = map_get_u64(&b->calls, correlation);
	const Hopyard__V1__Reply *r;
	size_t cap = 8 * f->len + 4096;
	struct arena arena;
	struct peer *asker;
	uint8_t *memory;
	bool more = false;

	if (pc == NULL || pc->box != p->id)
		return; /* too late, or not ours */
	asker = broker_peer(b, pc->asker);
	if (asker != NULL) {
		memory = xmalloc(cap);
		arena_init(&arena, memory, cap);
		r = frame_unpack(&arena, &hopyard__v1__reply__descriptor,
		    f->payload, f->len);
		if (r != NULL)
			peer_send(asker, HOPYARD__V1__FRAME_TYPE__REPLY,
			    pc->asked, &r->base);
		else
			reply_bytes(asker, pc->asked, 502,
			    "the box's answer does not parse", NULL, 0);
		more = r != NULL && r->more;
		free(memory);
	}
	if (more)
		pc->deadline = clock_mono_ms() + TIMEOUT_MS;
	else
		forget(b, pc);
}

static void
end_calls(struct broker *b, uint32_t peer, uint64_t now)
{
	struct pending_call *pc;
	uint64_t ended[64];
	size_t n, pos;

	do {
		n = 0;
		pos = 0;
		while (n < ARRAY_LEN(ended) &&
		    (pc = map_next(&b->calls, &pos)) != NULL)
			if ((peer != 0 &&
				(pc->asker == peer || pc->box == peer)) ||
			    (peer == 0 && pc->deadline <= now))
				ended[n++] = pc->correlation;
		for (size_t i = 0; i < n; i++) {
			struct peer *asker;

			pc = map_get_u64(&b->calls, ended[i]);
			asker = pc->asker == peer ? NULL
						  : broker_peer(b, pc->asker);
			if (asker != NULL)
				reply_bytes(asker, pc->asked,
				    peer != 0 ? 503 : 504,
				    peer != 0 ? "the box has gone"
					      : "no answer in time",
				    NULL, 0);
			forget(b, pc);
		}
	} while (n == ARRAY_LEN(ended));
}

void
control_peer_gone(struct broker *b, struct peer *p)
{
	end_calls(b, p->id, 0);
}

void
control_tick(struct broker *b)
{
	end_calls(b, 0, clock_mono_ms());
}

void
control_fini(struct broker *b)
{
	struct pending_call *pc;
	size_t pos = 0;

	while ((pc = map_next(&b->calls, &pos)) != NULL)
		free(pc);
}
