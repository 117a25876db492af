/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/gather.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "boxes/http/exposition.h"
#include "boxes/http/problem.h"
#include "boxes/http/server.h"
#include "common/box.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/stats.h"
#include "common/xalloc.h"

#define GATHER_MS      2500              /* Prometheus gives up after 10 s */
#define GATHER_MAX     (8 * 1024 * 1024) /* a conn takes 16 MiB */
#define GATHER_WAITING 64
#define GATHER_BOXES   2048

/* One question that is out. */
struct gather_ask {
	struct gatherer *gatherer;
	bool list; /* for the list of boxes, else for metrics */
	bool answered;
	char *name;
	char *type;
	TAILQ_ENTRY(gather_ask) link;
};

struct gatherer {
	struct box *box;
	const char *own;
	/* Of the gathering under way; none: text is NULL. */
	struct exposition *text;
	TAILQ_HEAD(, gather_ask) asks;
	unsigned outstanding;
	bool bus_answered;
	uint64_t started_us;
	struct http_request *waiting[GATHER_WAITING];
	unsigned waiting_count;
};

static struct stat_value gather_failures = {
	.name = "admin_gather_failures_total",
	.help = "Boxes that did not tell their metrics in time.",
	.type = STAT_COUNTER,
};

static box_reply_cb gather_reply_cb;

static void
gather_ask(struct gatherer *g, bool list, const char *name, const char *type)
{
	struct gather_ask *a = xcalloc(1, sizeof(*a));
	Hopyard__V1__Call call = HOPYARD__V1__CALL__INIT;
	char prometheus[] = "prometheus", boxes[] = "boxes";

	a->gatherer = g;
	a->list = list;
	a->name = xstrdup(name);
	a->type = xstrdup(type);
	TAILQ_INSERT_TAIL(&g->asks, a, link);
	g->outstanding++;
	call.target = a->name;
	call.method = list ? boxes : prometheus;
	box_call(g->box, &call, GATHER_MS, gather_reply_cb, a);
}

static void
gather_ask_free(struct gather_ask *a)
{
	TAILQ_REMOVE(&a->gatherer->asks, a, link);
	free(a->name);
	free(a->type);
	free(a);
}

/* A label value; names of boxes have no character that needs more. */
static void
put_up(struct buf *b, const char *metric, const struct gather_ask *a, bool up)
{
	buf_printf(b, "hopyard_%s{box=\"%s\",type=\"%s\"} %d\n", metric,
	    a->name, a->type, up);
}

/* What we know of the boxes ourselves, and our own metrics. */
static void
gather_own(struct gatherer *g, struct buf *b)
{
	const struct gather_ask *a;

	buf_addstr(b,
	    "# HELP hopyard_bus_up Did the bus answer.\n"
	    "# TYPE hopyard_bus_up gauge\n");
	buf_printf(b, "hopyard_bus_up %d\n", g->bus_answered);
	buf_addstr(b,
	    "# HELP hopyard_box_answered Did the box tell its metrics.\n"
	    "# TYPE hopyard_box_answered gauge\n");
	TAILQ_FOREACH(a, &g->asks, link) {
		if (!a->list)
			put_up(b, "box_answered", a, a->answered);
	}
	buf_printf(b,
	    "# HELP hopyard_admin_gather_seconds Time to ask all boxes.\n"
	    "# TYPE hopyard_admin_gather_seconds gauge\n"
	    "hopyard_admin_gather_seconds %.6f\n",
	    (double)(clock_mono_us() - g->started_us) / 1e6);
	buf_printf(b,
	    "# HELP hopyard_admin_gather_dropped_lines Lines of boxes that "
	    "are no sample, or too many.\n"
	    "# TYPE hopyard_admin_gather_dropped_lines gauge\n"
	    "hopyard_admin_gather_dropped_lines %zu\n",
	    exposition_dropped(g->text));
	stats_prometheus(b, g->own);
}

static void
gather_finish(struct gatherer *g)
{
	struct http_response resp = { .status = 200,
		.type = "text/plain; version=0.0.4; charset=utf-8" };
	struct gather_ask *a;
	struct buf own, out;
	unsigned i, n = g->waiting_count;

	buf_init(&own);
	buf_init(&out);
	gather_own(g, &own);
	exposition_add(g->text, buf_data(&own), buf_len(&own));
	exposition_write(g->text, &out);
	buf_fini(&own);
	exposition_free(g->text);
	g->text = NULL;
	while ((a = TAILQ_FIRST(&g->asks)) != NULL)
		/* It leaves the list.  NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		gather_ask_free(a);
	g->waiting_count = 0;
	resp.body = buf_data(&out);
	resp.len = buf_len(&out);
	for (i = 0; i < n; i++)
		http_reply(g->waiting[i], &resp);
	buf_fini(&out);
}

/* The bus's list: asks all others that are connected. */
static void
gather_on_boxes(struct gatherer *g, const Hopyard__V1__Reply *reply)
{
	json_t *list, *box;
	const char *name, *type, *state;
	struct buf up;
	size_t i;

	list = json_loadb((const char *)reply->body.data, reply->body.len,
	    JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_array(list) || json_array_size(list) > GATHER_BOXES) {
		log_warn("admin.boxes", "err=%s",
		    "the bus's list of boxes does not parse");
		json_decref(list);
		return;
	}
	buf_init(&up);
	buf_addstr(&up,
	    "# HELP hopyard_box_up Is the box connected to the bus.\n"
	    "# TYPE hopyard_box_up gauge\n");
	json_array_foreach(list, i, box)
	{
		name = json_string_value(json_object_get(box, "name"));
		type = json_string_value(json_object_get(box, "type"));
		state = json_string_value(json_object_get(box, "state"));
		if (name == NULL || type == NULL || state == NULL ||
		    json_is_false(json_object_get(box, "enabled")))
			continue;
		buf_printf(&up, "hopyard_box_up{box=\"%s\",type=\"%s\"} %d\n",
		    name, type, strcmp(state, "connected") == 0);
		if (strcmp(state, "connected") == 0 &&
		    strcmp(name, g->own) != 0 && strcmp(type, "admin") != 0)
			gather_ask(g, false, name, type);
	}
	exposition_add(g->text, buf_data(&up), buf_len(&up));
	buf_fini(&up);
	json_decref(list);
}

static void
gather_reply_cb(
    struct box *box UNUSED, const Hopyard__V1__Reply *reply, void *arg)
{
	struct gather_ask *a = arg;
	struct gatherer *g = a->gatherer;

	if (reply->code == 0) {
		a->answered = true;
		if (a->list)
			gather_on_boxes(g, reply);
		else
			exposition_add(
			    g->text, reply->body.data, reply->body.len);
		if (reply->more)
			return;
		g->bus_answered |= strcmp(a->name, "bus") == 0;
	} else {
		a->answered = false;
		gather_failures.value++;
		log_debug("admin.gather", "box=%s code=%u err=%s", a->name,
		    reply->code, reply->error != NULL ? reply->error : "");
	}
	assert(g->outstanding > 0);
	if (--g->outstanding == 0)
		gather_finish(g);
}

void
gatherer_metrics(struct gatherer *g, struct http_request *r)
{
	if (g->waiting_count == GATHER_WAITING) {
		problem_reply_extra(r, 503, "busy",
		    "Too many ask for metrics at once.", "Retry-After: 5\r\n");
		return;
	}
	g->waiting[g->waiting_count++] = r;
	if (g->text != NULL)
		return;
	g->text = exposition_new(GATHER_MAX);
	g->bus_answered = false;
	g->started_us = clock_mono_us();
	gather_ask(g, true, "bus", "bus");
	gather_ask(g, false, "bus", "bus");
}

struct gatherer *
gatherer_new(struct box *box, const char *own)
{
	struct gatherer *g = xcalloc(1, sizeof(*g));

	g->box = box;
	g->own = own;
	TAILQ_INIT(&g->asks);
	stat_register(&gather_failures);
	return g;
}

void
gatherer_free(struct gatherer *g)
{
	struct gather_ask *a;

	while ((a = TAILQ_FIRST(&g->asks)) != NULL) {
		/* It leaves the list.  NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		box_call_cancel(g->box, a);
		gather_ask_free(a);
	}
	if (g->text != NULL)
		exposition_free(g->text);
	free(g);
}
