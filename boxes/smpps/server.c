/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smpps/server.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "boxes/front/account.h"
#include "boxes/front/auth.h"
#include "boxes/front/submit.h"
#include "boxes/smpps/deliver.h"
#include "boxes/smpps/meter.h"
#include "boxes/smpps/query.h"
#include "common/box.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/conf_tls.h"
#include "common/conn.h"
#include "common/daemon.h"
#include "common/json.h"
#include "common/log.h"
#include "common/network.h"
#include "common/tls.h"
#include "common/xalloc.h"

#define SERVER_TICK_MS    1000
#define SERVER_PACE_MS    100
#define SERVER_LEAVE_MS   15000 /* all sessions have been told to leave */
#define SERVER_BIND_MS    400   /* a bind may be on its way to us */
#define SERVER_ACCOUNT_MS 1000  /* at least, to ask the bus for an account */
#define SERVER_UNACKED    32768 /* items in the hands of the bus */
#define SERVER_CHECKS     256   /* accounts asked for at a time */
#define SERVER_LAST_TURNS 8     /* for what closes */
#define SERVER_STRESS     80    /* percent of a limit; and when it is over */
#define SERVER_RELAX      70

/* Credit of the box: far more than any windows hold on an ordinary day. */
#define SERVER_ITEMS 16384
#define SERVER_BYTES (16 * 1024 * 1024)

/* What one client may have us keep (reliability.md: half of it, and it is sent
 * no more requests). */
#define SERVER_OUT_HARD (256 * 1024)
#define SERVER_OUT_HIGH (128 * 1024)
#define SERVER_OUT_LOW  (64 * 1024)

#define SERVER_SHOW_BYTES (128 * 1024) /* of one piece of an answer */

/* ----------------------------------------------------------------- credit */

/* Grants in lumps, so that a frame of credit goes with many items. */
static void
server_grant(struct cell *c)
{
	int64_t in_hand = (int64_t)deliver_in_hand(c), items, bytes;

	if (c->server->draining || !box_ready(c->box))
		return;
	if (in_hand == 0)
		c->largest = 0;
	items = SERVER_ITEMS - in_hand - c->granted_items;
	bytes = SERVER_BYTES - in_hand * (int64_t)c->largest - c->granted_bytes;
	if (items < SERVER_ITEMS / 8 && bytes < SERVER_BYTES / 8)
		return;
	if (items < 0)
		items = 0;
	if (bytes < 0)
		bytes = 0;
	c->granted_items += items;
	c->granted_bytes += bytes;
	box_grant(c->box, (uint64_t)items, (uint64_t)bytes);
}

/* ---------------------------------------- accounts that may have changed */

static void server_check_next(struct server *);

struct check {
	struct server *server;
	uint64_t esme;
};

static void
server_check_answer(
    struct esme *e, enum account_answer answer, const struct account *a)
{
	const char *why = NULL;

	if (e == NULL || !esme_is_bound(e))
		return;
	switch (answer) {
	case ACCOUNT_KNOWN:
		why = login_still_allowed(e, a);
		break;
	case ACCOUNT_ABSENT:
		why = "the account is gone";
		break;
	case ACCOUNT_UNKNOWN: /* asked again at the next change or connection */
	case ACCOUNT_WAIT:
		break;
	}
	if (why != NULL)
		esme_unbind(e, why);
}

static void
server_check_cb(enum account_answer answer, struct account *a, void *arg)
{
	struct check check = *(struct check *)arg;

	free(arg);
	check.server->checking--;
	server_check_answer(esme_find(check.server, check.esme), answer, a);
	server_check_next(check.server);
}

static void
server_check_next(struct server *s)
{
	enum account_answer answer;
	struct account *a;
	struct check *check;
	struct esme *e;

	while (s->checking < SERVER_CHECKS &&
	    (e = TAILQ_FIRST(&s->unchecked)) != NULL) {
		TAILQ_REMOVE(&s->unchecked, e, check_link);
		e->unchecked = false;
		check = xcalloc(1, sizeof(*check));
		check->server = s;
		check->esme = e->number;
		answer = accounts_get(s->accounts, ACCOUNT_BY_USERNAME,
		    bytes_str(e->system_id), &a, server_check_cb, check);
		if (answer == ACCOUNT_WAIT) {
			s->checking++;
			continue;
		}
		free(check);
		server_check_answer(e, answer, a);
	}
}

/* Every session of this cell that is bound is looked at again. */
static void
server_check_all(struct cell *c)
{
	struct server *s = c->server;
	struct esme *e;

	TAILQ_FOREACH(e, &s->esmes, link) {
		if (!esme_is_bound(e) || e->unchecked || e->customer->cell != c)
			continue;
		e->unchecked = true;
		TAILQ_INSERT_TAIL(&s->unchecked, e, check_link);
	}
	server_check_next(s);
}

/* ------------------------------------------------------- for operators */

static void
server_show_one(const struct esme *e, struct json *j)
{
	json_open_object(j, NULL);
	json_uint(j, "session", e->number);
	json_str(
	    j, "account", e->customer != NULL ? e->customer->account : NULL);
	json_str(j, "system_id", e->system_id[0] != '\0' ? e->system_id : NULL);
	json_str(j, "source", e->source);
	json_bool(j, "tls", e->tls);
	json_str(j, "state", esme_state_name(e->state));
	if (e->bound_at != 0) {
		json_str(j, "role", esme_role(e));
		json_printf(j, "version", "%u.%u", e->interface_version >> 4,
		    e->interface_version & 0xfu);
		json_time(j, "bound_at", e->bound_at);
	}
	json_uint(j, "window", e->window);
	json_uint(j, "requests", e->requests);
	json_uint(j, "in_flight", session_in_flight(e->session));
	json_uint(j, "overdue", e->overdue);
	json_uint(j, "submits", e->n_submits);
	json_uint(j, "refused", e->n_refused);
	json_uint(j, "delivers", e->n_delivers);
	json_uint(j, "bad_pdus", session_bad_pdus(e->session));
	json_uint(j, "bytes_in", session_bytes_in(e->session));
	json_uint(j, "bytes_out", session_bytes_out(e->session));
	json_close_object(j);
}

/* Another cell is shown its own; what is not bound yet is for our own. */
static bool
server_shows(const struct cell *c, const struct esme *e)
{
	return e->customer != NULL ? e->customer->cell == c : c->name == NULL;
}

/* One array, in as many pieces as it takes. */
static void
server_show_sessions(
    const struct cell *c, struct box *box, uint64_t correlation)
{
	const struct server *s = c->server;
	const struct esme *e;
	struct json j;
	struct buf out;

	buf_init(&out);
	json_init(&j, &out);
	json_open_array(&j, NULL);
	TAILQ_FOREACH(e, &s->esmes, link) {
		if (e->state == ESME_STATE_CLOSED || !server_shows(c, e))
			continue;
		server_show_one(e, &j);
		if (buf_len(&out) < SERVER_SHOW_BYTES)
			continue;
		box_reply(box, correlation, 0, NULL, buf_data(&out),
		    buf_len(&out), true);
		buf_clear(&out);
	}
	json_close_array(&j);
	box_reply(
	    box, correlation, 0, NULL, buf_data(&out), buf_len(&out), false);
	buf_fini(&out);
}

/* {"account": "demo"} or {"session": 12} */
static void
server_kick(struct cell *c, struct box *box, uint64_t correlation,
    const Hopyard__V1__Call *call)
{
	struct server *s = c->server;
	json_t *body = call->has_body
	    ? json_loadb((const char *)call->body.data, call->body.len, 0, NULL)
	    : NULL;
	const char *account =
	    json_string_value(json_object_get(body, "account"));
	uint64_t number =
	    (uint64_t)json_integer_value(json_object_get(body, "session"));
	unsigned kicked = 0;
	struct esme *e, *next;
	char text[64];

	if (account == NULL && number == 0) {
		box_reply(box, correlation, 400, "name an account or a session",
		    NULL, 0, false);
		json_decref(body);
		return;
	}
	TAILQ_FOREACH_SAFE(e, &s->esmes, link, next) {
		if (e->state >= ESME_STATE_UNBINDING || !server_shows(c, e) ||
		    (number != 0 && e->number != number) ||
		    (account != NULL &&
			(e->customer == NULL ||
			    strcmp(e->customer->account, account) != 0)))
			continue;
		esme_unbind(e, "kicked");
		kicked++;
	}
	json_decref(body);
	snprintf(text, sizeof(text), "{\"kicked\":%u}", kicked);
	if (kicked == 0)
		box_reply(box, correlation, 404, "there is no such session",
		    NULL, 0, false);
	else
		box_reply(box, correlation, 0, NULL, text, strlen(text), false);
}

/* ------------------------------------------ where somebody was before us */

/*
 * Until the process before us has left its name, no bind could be answered:
 * who connects waits where the sockets outlive us both.
 */
static void
server_pause(struct server *s)
{
	size_t i;

	for (i = 0; i < s->listeners; i++)
		if (listener_inherited(s->listener[i]))
			listener_pause(s->listener[i]);
	s->listen_ms = clock_mono_ms() + s->hold_ms;
}

static void
server_resume(struct server *s)
{
	size_t i;

	if (s->listen_ms == 0)
		return;
	s->listen_ms = 0;
	for (i = 0; i < s->listeners; i++)
		listener_resume(s->listener[i]);
}

/* ----------------------------------------------------------- the bus says */

static void
server_ready_cb(struct box *box, const Hopyard__V1__Welcome *w, void *arg)
{
	struct cell *c = arg;
	size_t n = deliver_in_hand(c);
	uint64_t *refs = xcalloc(n + 1, sizeof(*refs));

	log_info("smpps.ready",
	    "bus=%s version=%s cell=%s in_hand=%zu waiting=%u",
	    w->node != NULL ? w->node : "", w->version,
	    c->name != NULL ? c->name : "", n, submitter_pending(c->submitter));
	n = deliver_refs(c, refs, n);
	box_send_in_hand(box, refs, n);
	free(refs);
	customer_all_ready(c);
	c->granted_items = c->granted_bytes = 0;
	server_grant(c);
	/* Accounts may have changed while we were not told. */
	accounts_ready(c->server->accounts, box);
	server_check_all(c);
	submitter_on_ready(c->submitter);
	deliver_flush(c);
	if (c->name == NULL)
		server_resume(c->server);
}

static void
server_acked_cb(struct box *box UNUSED, uint64_t cookie,
    Hopyard__V1__Ack__Code code, const char *text, void *arg)
{
	struct cell *c = arg;

	/* Results have none. */
	if (cookie != 0)
		submitter_on_acked(c->submitter, cookie, code, text);
	else if (code != HOPYARD__V1__ACK__CODE__ACK_OK)
		log_warn("smpps.result_refused", "code=%d err=%s", (int)code,
		    text != NULL ? text : "");
}

static void
server_items_cb(
    struct box *box UNUSED, uint16_t type, struct items *items, void *arg)
{
	struct cell *c = arg;
	struct item item;

	if (type != HOPYARD__V1__FRAME_TYPE__DELIVER)
		return;
	while (items_next(items, &item)) {
		c->granted_items--;
		c->granted_bytes -= (int64_t)item_bytes(&item);
		if (item_bytes(&item) > c->largest)
			c->largest = item_bytes(&item);
		deliver_accept(c, &item);
	}
}

static void
server_frame_cb(struct box *box, const struct frame *f, void *arg)
{
	struct cell *c = arg;

	if (f->type != HOPYARD__V1__FRAME_TYPE__ACCOUNT_CHANGED)
		return;
	accounts_changed(c->server->accounts, box);
	server_check_all(c);
}

static void
server_call_cb(struct box *box, uint64_t correlation,
    const Hopyard__V1__Call *call, void *arg)
{
	struct cell *c = arg;

	if (strcmp(call->method, "sessions") == 0)
		server_show_sessions(c, box, correlation);
	else if (strcmp(call->method, "kick") == 0)
		server_kick(c, box, correlation, call);
	else
		box_reply(
		    box, correlation, 404, "no such method", NULL, 0, false);
}

static void
server_writable_cb(struct box *box UNUSED, void *arg)
{
	struct cell *c = arg;

	deliver_flush(c);
	submitter_on_ready(c->submitter);
}

static const struct box_ops server_box_ops = {
	.ready = server_ready_cb,
	.acked = server_acked_cb,
	.items = server_items_cb,
	.frame = server_frame_cb,
	.call = server_call_cb,
	.writable = server_writable_cb,
};

/* -------------------------------------------------------------- listening */

static void
server_accept_cb(struct listener *l UNUSED, struct conn *conn, void *arg)
{
	esme_accept(arg, conn, false);
}

static void
server_accept_tls_cb(struct listener *l UNUSED, struct conn *conn, void *arg)
{
	esme_accept(arg, conn, true);
}

static int
server_listen_one(struct server *s, const char *address, struct tls_config *tls)
{
	const struct conn_opts opts = {
		.high = SERVER_OUT_HIGH,
		.low = SERVER_OUT_LOW,
		.hard = SERVER_OUT_HARD,
		.tls = tls,
		.proxies = s->proxies,
		.n_proxies = s->n_proxies,
	};
	char who[128];
	int rc;

	if (s->listeners == SERVER_LISTENERS) {
		log_error("smpps.listen", "address=%s reason=%s", address,
		    "too many listen addresses");
		return UV_ENOSPC;
	}
	rc = listener_open(s->loop, address, 0660, 0, &opts,
	    tls != NULL ? server_accept_tls_cb : server_accept_cb, s,
	    &s->listener[s->listeners]);
	if (rc == 0) {
		log_info("smpps.listen", "address=%s tls=%s",
		    listener_address(s->listener[s->listeners++]),
		    tls != NULL ? "yes" : "no");
		return 0;
	}
	if (rc == UV_EADDRINUSE)
		log_error("smpps.listen", "address=%s taken_by=%s hint=%s",
		    address, listener_who(address, who, sizeof(who)),
		    "stop it, or choose another listen address");
	else
		log_error("smpps.listen", "address=%s error=%s", address,
		    uv_strerror(rc));
	return rc;
}

static void
server_set_tls(struct server *s, struct tls_config *tls)
{
	size_t i;

	for (i = s->clear; i < s->listeners; i++)
		listener_set_tls(s->listener[i], tls);
	tls_config_unref(s->tls);
	s->tls = tls;
	expiry_set(&s->certificate, tls, (int64_t)(clock_wall_ms() / 1000));
}

static int
server_configure_tls(struct server *s, const struct conf_group *g)
{
	struct tls_config *tls;
	struct buf why;

	if (conf_list_len(g, "tls_listen") == 0)
		return 0;
	buf_init(&why);
	tls = conf_tls_server(g, &why);
	if (tls != NULL)
		server_set_tls(s, tls);
	else
		log_error("config.bad", "reason=%s", buf_str(&why));
	buf_fini(&why);
	return tls == NULL ? UV_EINVAL : 0;
}

static void
server_configure_proxies(struct server *s, const struct conf_group *g)
{
	size_t i, n = conf_list_len(g, "proxy_protocol");

	s->proxies = xcalloc(n + 1, sizeof(*s->proxies));
	for (i = 0; i < n; i++)
		if (network_parse(conf_list_str(g, "proxy_protocol", i),
			&s->proxies[s->n_proxies]))
			s->n_proxies++;
	assert(s->n_proxies == n); /* the table has seen to that */
}

/* Every listener of this box. */
static int
server_listen(struct server *s, const struct conf_group *g)
{
	size_t i;
	int rc;

	server_configure_proxies(s, g);
	rc = server_configure_tls(s, g);
	for (i = 0; i < conf_list_len(g, "listen") && rc == 0; i++)
		rc = server_listen_one(s, conf_list_str(g, "listen", i), NULL);
	s->clear = s->listeners;
	for (i = 0; i < conf_list_len(g, "tls_listen") && rc == 0; i++)
		rc = server_listen_one(
		    s, conf_list_str(g, "tls_listen", i), s->tls);
	return rc;
}

/* ----------------------------------------------------------------- timers */

/* Of the connections that there may be, or of those without a bind. */
static bool
server_is_full(const struct server *s, unsigned percent)
{
	return s->esme_count * UINT64_C(100) >=
	    s->max_connections * (uint64_t)percent ||
	    s->unbound_count * UINT64_C(100) >=
	    s->max_unbound * (uint64_t)percent;
}

static void
server_look_stressed(struct server *s)
{
	bool stressed =
	    server_is_full(s, s->stressed ? SERVER_RELAX : SERVER_STRESS);

	if (stressed == s->stressed)
		return;
	s->stressed = stressed;
	meter_stress(stressed);
	log_warn("smpps.stress",
	    "state=%s connections=%u of=%u unbound=%u of=%u",
	    stressed ? "on" : "off", s->esme_count, s->max_connections,
	    s->unbound_count, s->max_unbound);
}

static void
server_tick_cb(uv_timer_t *timer)
{
	struct server *s = timer->data;
	struct esme *e, *next;
	uint64_t now;

	deliver_tick(s, clock_mono_ms());
	now = clock_mono_ms();
	server_look_stressed(s);
	if (s->listen_ms != 0 && now >= s->listen_ms)
		server_resume(s);
	expiry_tick(&s->certificate, (int64_t)(clock_wall_ms() / 1000));
	/* What it closes stays in the list until the loop turns. */
	TAILQ_FOREACH_SAFE(e, &s->esmes, link, next)
		esme_tick(e, now);
}

static unsigned
server_pending(const struct server *s)
{
	unsigned i, n = 0;

	for (i = 0; i < s->cells; i++)
		n += submitter_pending(s->cell[i].submitter);
	return n;
}

static size_t
server_in_hand(const struct server *s)
{
	size_t n = 0;
	unsigned i;

	for (i = 0; i < s->cells; i++)
		n += deliver_in_hand(&s->cell[i]);
	return n;
}

static void
server_look_drained(struct server *s)
{
	const struct cell *c;

	if (!s->draining || s->esme_count > 0 || server_in_hand(s) > 0 ||
	    server_pending(s) > 0)
		return;
	for (c = s->cell; c < s->cell + s->cells; c++)
		if (box_unacked(c->box) > 0 && box_ready(c->box))
			return;
	daemon_stop(s->daemon, 0);
}

/* What is in hand is out of it: a process that is started in our place may be
 * delivered to, while our sessions end. */
static void
server_look_left(struct server *s)
{
	unsigned i;

	if (!s->draining || s->left || server_in_hand(s) > 0)
		return;
	s->left = true;
	for (i = 0; i < s->cells; i++)
		box_retire(s->cell[i].box);
}

/* Before the loop blocks. */
static void
server_ready_to_block_cb(uv_prepare_t *p)
{
	struct server *s = p->data;
	unsigned i;

	for (i = 0; i < s->cells; i++)
		server_grant(&s->cell[i]);
	server_look_left(s);
	server_look_drained(s);
}

/* Its bind gets an answer first: a client that is cut off before that takes it
 * for a refusal. */
static bool
server_may_bind_yet(const struct server *s, const struct esme *e, uint64_t now)
{
	return e->state == ESME_STATE_BINDING ||
	    (e->state == ESME_STATE_OPEN && now - s->drain_ms < SERVER_BIND_MS);
}

/* So many sessions at a time leave that their clients do not all come back in
 * the same moment. */
static void
server_pace_cb(uv_timer_t *timer)
{
	struct server *s = timer->data;
	uint64_t now = clock_mono_ms(), since = now - s->drain_ms, due, least;
	struct esme *e, *next;

	due = (since + SERVER_PACE_MS) * s->unbind_rate / 1000;
	least = since * s->to_leave / SERVER_LEAVE_MS;
	TAILQ_FOREACH_SAFE(e, &s->esmes, link, next) {
		if (e->leaving || e->state >= ESME_STATE_UNBINDING ||
		    server_may_bind_yet(s, e, now))
			continue;
		if (s->leaving >= due && s->leaving >= least)
			return;
		s->leaving++;
		esme_leave(e, "the server stops");
	}
}

/* ----------------------------------------------------------- start and end */

static void
server_configure(struct server *s, const struct conf_group *g)
{
	snprintf(
	    s->system_id, sizeof(s->system_id), "%s", conf_str(g, "system_id"));
	s->window = (uint32_t)conf_int(g, "window");
	s->bind_ms = conf_duration(g, "bind_timeout");
	s->enquire_ms = conf_duration(g, "enquire_link");
	s->response_ms = conf_duration(g, "response_timeout");
	s->hold_ms = conf_duration(g, "hold");
	s->max_connections = (unsigned)conf_int(g, "max_connections");
	s->max_unbound = (unsigned)conf_int(g, "max_unbound");
	s->max_unbound_source = (unsigned)conf_int(g, "max_unbound_source");
	s->unbind_rate = (unsigned)conf_int(g, "unbind_rate");
	s->store = "store";
}

static void
server_open_cell(struct server *s, struct cell *c, struct box_opts *opts)
{
	opts->max_items = SERVER_UNACKED;
	c->server = s;
	c->index = (unsigned)(c - s->cell);
	c->name = opts->cell;
	customers_init(c);
	deliver_open(c);
	c->submitter = submitter_new(s->loop, s->hold_ms);
	c->box = box_new(s->loop, opts, &server_box_ops, c);
	submitter_set_box(c->submitter, c->box);
	accounts_add_box(s->accounts, c->box);
}

static void
server_open_cells(struct server *s)
{
	size_t i, further = daemon_cells(s->daemon);
	struct box_opts own = { 0 };

	s->cells = 1 + (unsigned)further;
	s->cell = xcalloc(s->cells, sizeof(*s->cell));
	daemon_box_opts(s->daemon, "connect", &own);
	server_open_cell(s, s->cell, &own);
	for (i = 0; i < further; i++) {
		struct box_opts opts = { 0 };

		(void)daemon_cell_opts(s->daemon, i, &opts);
		server_open_cell(s, &s->cell[1 + i], &opts);
	}
}

int
server_start(struct server *s, struct daemon *daemon)
{
	const struct conf_group *g = daemon_group(daemon);

	s->daemon = daemon;
	s->loop = daemon_loop(daemon);
	s->loop_turn = turn_get(s->loop);
	server_configure(s, g);
	TAILQ_INIT(&s->esmes);
	TAILQ_INIT(&s->open);
	TAILQ_INIT(&s->unchecked);
	TAILQ_INIT(&s->logins);
	map_init(&s->by_id);
	map_init(&s->origins);
	TAILQ_INIT(&s->customers);
	deliver_init();
	meter_init();
	expiry_init(&s->certificate, "smpps_tls_cert_expiry_seconds", NULL);
	s->accounts = accounts_new(s->loop,
	    s->hold_ms > SERVER_ACCOUNT_MS ? s->hold_ms : SERVER_ACCOUNT_MS);
	s->auth =
	    auth_new(s->loop, s->accounts, conf_duration(g, "auth_cache"));
	server_open_cells(s);
	uv_timer_init(s->loop, &s->tick);
	uv_timer_init(s->loop, &s->pace);
	uv_prepare_init(s->loop, &s->ready);
	s->tick.data = s->pace.data = s->ready.data = s;
	uv_timer_start(
	    &s->tick, server_tick_cb, SERVER_TICK_MS, SERVER_TICK_MS);
	uv_prepare_start(&s->ready, server_ready_to_block_cb);
	if (server_listen(s, g) != 0)
		return -1;
	server_pause(s);
	daemon_ready(daemon);
	return 0;
}

/*
 * What is live are the files of TLS, which may be others under the same names,
 * and the rate of unbinds; all else waits for a restart.  Sessions go on with
 * what they have begun.
 */
bool
server_reload(struct server *s, const struct conf_group *g, struct buf *why)
{
	struct tls_config *tls;

	if (s->tls != NULL && conf_list_len(g, "tls_listen") > 0) {
		tls = conf_tls_server(g, why);
		if (tls == NULL)
			return false;
		server_set_tls(s, tls);
	}
	s->unbind_rate = (unsigned)conf_int(g, "unbind_rate");
	return true;
}

void
server_drain(struct server *s)
{
	log_info("smpps.drain", "connections=%u in_hand=%zu waiting=%u",
	    s->esme_count, server_in_hand(s), server_pending(s));
	s->draining = true;
	s->drain_ms = clock_mono_ms();
	s->to_leave = s->esme_count;
	while (s->listeners > 0)
		listener_close(s->listener[--s->listeners]);
	auth_drain(s->auth);
	server_pace_cb(&s->pace);
	uv_timer_start(
	    &s->pace, server_pace_cb, SERVER_PACE_MS, SERVER_PACE_MS);
}

void
server_fini(struct server *s)
{
	struct esme *e, *next;
	unsigned i;

	if (s->daemon == NULL)
		return;
	while (s->listeners > 0)
		listener_close(s->listener[--s->listeners]);
	TAILQ_FOREACH_SAFE(e, &s->esmes, link, next)
		esme_close(e, "the server has stopped");
	auth_close(s->auth);
	accounts_close(s->accounts);
	for (i = 0; i < s->cells; i++)
		submitter_close(s->cell[i].submitter);
	uv_close((uv_handle_t *)&s->tick, NULL);
	uv_close((uv_handle_t *)&s->pace, NULL);
	uv_close((uv_handle_t *)&s->ready, NULL);
	for (i = 0; i < SERVER_LAST_TURNS; i++)
		uv_run(s->loop, UV_RUN_NOWAIT);
	for (i = 0; i < s->cells; i++)
		box_close(s->cell[i].box, NULL, NULL);
	for (i = 0; i < SERVER_LAST_TURNS; i++)
		uv_run(s->loop, UV_RUN_NOWAIT);
	deliver_fini(s);
	query_fini(s);
	for (i = 0; i < s->cells; i++)
		submitter_free(s->cell[i].submitter);
	auth_free(s->auth);
	accounts_free(s->accounts);
	login_fini(s);
	customers_fini(s);
	free(s->cell);
	tls_config_unref(s->tls);
	free(s->proxies);
	map_fini(&s->by_id);
	map_fini(&s->origins);
	turn_put(s->loop_turn);
}
