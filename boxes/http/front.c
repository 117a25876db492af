/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/front.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llhttp.h>

#include "boxes/front/account.h"
#include "boxes/front/auth.h"
#include "boxes/front/submit.h"
#include "boxes/http/api.h"
#include "boxes/http/problem.h"
#include "boxes/http/sendsms.h"
#include "boxes/http/server.h"
#include "boxes/http/traffic.h"
#include "common/box.h"
#include "common/conf.h"
#include "common/conn.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/xalloc.h"

#define FRONT_ACCOUNT_MS 1000  /* at least, to ask the bus for an account */
#define FRONT_ITEMS      32768 /* in the hands of the bus */
#define FRONT_LAST_TURNS 8     /* for what closes */

static void front_livez(struct http_request *, void *);
static void front_readyz(struct http_request *, void *);

#define READ (HTTP_METHOD(HTTP_GET) | HTTP_METHOD(HTTP_HEAD))

/* Kannel's paths come first, so that they can be left out. */
static const struct http_route front_routes[] = {
	{ "/cgi-bin/sendsms", false, 0, "sendsms", sendsms_handle },
	{ "/sendsms", false, 0, "sendsms", sendsms_handle },
	{ "/v1/messages", false, HTTP_METHOD(HTTP_POST), "send", api_send },
	{ "/v1/messages", false, READ, "find", api_find },
	{ "/v1/messages:estimate", false, HTTP_METHOD(HTTP_POST), "estimate",
	    api_estimate },
	{ "/v1/messages/", true, READ | HTTP_METHOD(HTTP_DELETE), "message",
	    api_message },
	{ "/openapi.json", false, READ, "openapi", api_openapi },
	{ "/livez", false, READ, "livez", front_livez },
	{ "/readyz", false, READ, "readyz", front_readyz },
	{ NULL, false, 0, NULL, NULL },
};
#define FRONT_KANNEL_ROUTES 2

/* ------------------------------------------------------------------ cells */

static unsigned
front_pending(const struct front *f)
{
	unsigned i, n = 0;

	for (i = 0; i < f->cells; i++)
		n += submitter_pending(f->cell[i].submitter);
	return n;
}

/* One that is away harms its own accounts only. */
static bool
front_any_ready(const struct front *f)
{
	unsigned i;

	for (i = 0; i < f->cells; i++)
		if (box_ready(f->cell[i].box))
			return true;
	return false;
}

/* ------------------------------------------------------------ small routes */

static void
front_livez(struct http_request *r, void *arg UNUSED)
{
	http_reply_text(r, 200, "application/json", "{\"status\":\"ok\"}\n");
}

/* For a load balancer: would a message be accepted here? */
static void
front_readyz(struct http_request *r, void *arg)
{
	const struct front *f = arg;

	if (daemon_draining(f->daemon))
		problem_reply(r, 503, "draining", "This front end stops.");
	else if (!front_any_ready(f))
		problem_reply(r, 503, "bus_away", "The bus is not connected.");
	else
		http_reply_text(
		    r, 200, "application/json", "{\"status\":\"ready\"}\n");
}

/* What never got to a route, told in the words of its path. */
static void
front_refuse(struct http_request *r, unsigned status, const char *text,
    const char *allow, void *arg)
{
	const struct front *f = arg;
	char extra[128];

	if (f->kannel && sendsms_path(http_path(r))) {
		sendsms_reply(
		    r, status, status == 404 ? "Unknown request." : text);
		return;
	}
	if (allow != NULL)
		snprintf(extra, sizeof(extra), "Allow: %s\r\n", allow);
	problem_reply_extra(
	    r, status, problem_code(status), text, allow ? extra : NULL);
}

/* ------------------------------------------------------------ the bus says */

static void
front_ready_cb(struct box *box, const Hopyard__V1__Welcome *w, void *arg)
{
	struct front_cell *c = arg;

	log_info("front.ready", "bus=%s version=%s cell=%s waiting=%u",
	    w->node != NULL ? w->node : "", w->version,
	    c->name != NULL ? c->name : "", submitter_pending(c->submitter));
	/* Accounts may have changed while we were not told. */
	accounts_ready(c->front->accounts, box);
	submitter_on_ready(c->submitter);
}

static void
front_acked_cb(struct box *box, uint64_t cookie, Hopyard__V1__Ack__Code code,
    const char *text, void *arg)
{
	struct front_cell *c = arg;

	(void)box;
	submitter_on_acked(c->submitter, cookie, code, text);
}

static void
front_frame_cb(struct box *box, const struct frame *frame, void *arg)
{
	struct front_cell *c = arg;

	if (frame->type == HOPYARD__V1__FRAME_TYPE__ACCOUNT_CHANGED)
		accounts_changed(c->front->accounts, box);
}

static void
front_writable_cb(struct box *box, void *arg)
{
	struct front_cell *c = arg;

	(void)box;
	submitter_on_ready(c->submitter);
}

static const struct box_ops front_box_ops = {
	.ready = front_ready_cb,
	.acked = front_acked_cb,
	.frame = front_frame_cb,
	.writable = front_writable_cb,
};

/* ----------------------------------------------------------- start and end */

static int
front_listen(struct front *f, const struct conf_group *g)
{
	const char *address;
	char who[128];
	size_t i;
	int rc;

	for (i = 0; i < conf_list_len(g, "listen"); i++) {
		address = conf_list_str(g, "listen", i);
		rc = server_listen(f->server, address);
		if (rc == UV_EADDRINUSE) {
			log_error("http.listen",
			    "address=%s taken_by=%s "
			    "hint=%s",
			    address, listener_who(address, who, sizeof(who)),
			    "stop it, or choose another listen address");
			return rc;
		}
		if (rc != 0) {
			log_error("http.listen", "address=%s error=%s", address,
			    uv_strerror(rc));
			return rc;
		}
		log_info("http.listen", "address=%s", address);
	}
	return 0;
}

static void
front_open_cell(struct front *f, struct box_opts *opts)
{
	struct front_cell *c = &f->cell[f->cells++];

	opts->max_items = FRONT_ITEMS;
	c->front = f;
	c->name = opts->cell;
	c->submitter = submitter_new(f->loop, f->hold_ms);
	c->box = box_new(f->loop, opts, &front_box_ops, c);
	submitter_set_box(c->submitter, c->box);
	accounts_add_box(f->accounts, c->box);
}

static void
front_open_cells(struct front *f)
{
	size_t i, further = daemon_cells(f->daemon);
	struct box_opts own = { 0 };

	f->cell = xcalloc(1 + further, sizeof(*f->cell));
	daemon_box_opts(f->daemon, "connect", &own);
	front_open_cell(f, &own);
	for (i = 0; i < further; i++) {
		struct box_opts opts = { 0 };

		(void)daemon_cell_opts(f->daemon, i, &opts);
		front_open_cell(f, &opts);
	}
}

int
front_start(struct front *f, struct daemon *daemon)
{
	const struct conf_group *g = daemon_group(daemon);
	struct server_opts server = {
		.routes = front_routes,
		.refuse = front_refuse,
		.arg = f,
		.max_body = conf_size(g, "max_body"),
		.max_connections = (unsigned)conf_int(g, "max_connections"),
		.keepalive_ms = conf_duration(g, "keepalive"),
	};

	f->daemon = daemon;
	f->loop = daemon_loop(daemon);
	f->kannel = conf_bool(g, "kannel");
	f->queued_as_accepted = conf_int(g, "queued_reply") == 0;
	f->default_sender = bytes_str(conf_str(g, "default_sender"));
	f->hold_ms = conf_duration(g, "hold");
	f->store = "store";
	if (!f->kannel)
		server.routes += FRONT_KANNEL_ROUTES;
	f->accounts = accounts_new(f->loop,
	    f->hold_ms > FRONT_ACCOUNT_MS ? f->hold_ms : FRONT_ACCOUNT_MS);
	f->auth =
	    auth_new(f->loop, f->accounts, conf_duration(g, "auth_cache"));
	f->server = server_new(f->loop, &server);
	front_open_cells(f);
	if (front_listen(f, g) != 0)
		return -1;
	daemon_ready(daemon);
	return 0;
}

static void
front_drained_cb(void *arg)
{
	struct front *f = arg;

	daemon_stop(f->daemon, 0);
}

void
front_drain(struct front *f)
{
	log_info("front.drain", "connections=%u waiting=%u",
	    server_connections(f->server), front_pending(f));
	auth_drain(f->auth);
	for (unsigned i = 0; i < f->cells; i++)
		box_retire(f->cell[i].box);
	server_drain(f->server, front_drained_cb, f);
}

void
front_fini(struct front *f)
{
	unsigned i;

	if (f->server == NULL)
		return;
	server_close(f->server);
	auth_close(f->auth);
	accounts_close(f->accounts);
	for (i = 0; i < f->cells; i++) {
		submitter_close(f->cell[i].submitter);
		box_close(f->cell[i].box, NULL, NULL);
	}
	for (i = 0; i < FRONT_LAST_TURNS; i++)
		uv_run(f->loop, UV_RUN_NOWAIT);
	for (i = 0; i < f->cells; i++)
		submitter_free(f->cell[i].submitter);
	free(f->cell);
	auth_free(f->auth);
	accounts_free(f->accounts);
	server_free(f->server);
	traffic_fini();
}
