/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/probe.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/box.h"
#include "common/conf.h"
#include "common/xalloc.h"

#define EVERY_MS  20
#define ANSWER_MS 2000

struct probe {
	struct box *box;
	uv_timer_t timer;
	struct probe_state state;
	unsigned asked; /* questions without an answer */
	unsigned failed;
	void (*change)(const struct probe_state *, void *);
	void *arg;
};

static void
acked(struct box *box, uint64_t cookie, Hopyard__V1__Ack__Code code,
    const char *text, void *arg)
{
	/* Nothing is sent that could be acknowledged. */
	(void)box;
	(void)cookie;
	(void)code;
	(void)text;
	(void)arg;
}

static const struct box_ops probe_ops = { .acked = acked };

static const char *
word(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static void
add_name(char list[PROBE_LIST], const char *name, const char *detail)
{
	size_t n = strlen(list);

	snprintf(list + n, PROBE_LIST - n, "%s%s%s%s", n > 0 ? ", " : "", name,
	    detail[0] != '\0' ? ": " : "", detail);
}

static json_t *
answer(struct probe *p, const Hopyard__V1__Reply *r)
{
	json_t *root = NULL;

	if (r->code == 0 && r->has_body)
		root = json_loadb((const char *)r->body.data, r->body.len,
		    JSON_DECODE_ANY, NULL);
	if (root == NULL)
		p->failed++;
	return root;
}

static void
round_done(struct probe *p)
{
	if (--p->asked > 0)
		return;
	p->state.answered = p->failed == 0;
	p->change(&p->state, p->arg);
	uv_timer_again(&p->timer);
}

static void
links_cb(struct box *box, const Hopyard__V1__Reply *r, void *arg)
{
	struct probe *p = arg;
	json_t *root = answer(p, r), *o;
	size_t i;

	(void)box;
	json_array_foreach(root, i, o)
	{
		if (json_is_true(json_object_get(o, "configured")) &&
		    !json_is_true(json_object_get(o, "up")))
			add_name(word(o, "detail")[0] != '\0' ? p->state.refused
							      : p->state.away,
			    word(o, "link"), word(o, "detail"));
	}
	json_decref(root);
	round_done(p);
}

static void
boxes_cb(struct box *box, const Hopyard__V1__Reply *r, void *arg)
{
	struct probe *p = arg;
	json_t *root = answer(p, r), *o;
	size_t i;

	(void)box;
	json_array_foreach(root, i, o)
	{
		/* An admin box is a control tool to the bus, as we are. */
		if (json_is_true(json_object_get(o, "enabled")) &&
		    strcmp(word(o, "state"), "connected") != 0 &&
		    strcmp(word(o, "type"), "admin") != 0)
			add_name(
			    p->state.away, word(o, "name"), "not connected");
	}
	json_decref(root);
	round_done(p);
}

static void
status_cb(struct box *box, const Hopyard__V1__Reply *r, void *arg)
{
	struct probe *p = arg;
	json_t *root = answer(p, r);

	(void)box;
	p->state.running = strcmp(word(root, "state"), "running") == 0;
	p->state.depth = (uint64_t)json_integer_value(
	    json_object_get(json_object_get(root, "queues"), "depth"));
	if (root != NULL && !p->state.running)
		add_name(p->state.away, "bus", word(root, "state"));
	json_decref(root);
	round_done(p);
}

static void
ask(struct probe *p, char *method, box_reply_cb *reply)
{
	Hopyard__V1__Call call = HOPYARD__V1__CALL__INIT;

	call.target = (char[]){ "bus" };
	call.method = method;
	p->asked++;
	box_call(p->box, &call, ANSWER_MS, reply, p);
}

static void
timer_cb(uv_timer_t *t)
{
	struct probe *p = t->data;

	if (p->asked > 0 || !box_ready(p->box))
		return;
	p->failed = 0;
	p->state.away[0] = '\0';
	p->state.refused[0] = '\0';
	ask(p, (char[]){ "status" }, status_cb);
	ask(p, (char[]){ "boxes" }, boxes_cb);
	ask(p, (char[]){ "links" }, links_cb);
}

struct probe *
probe_new(uv_loop_t *loop, const struct conf *conf,
    void (*change)(const struct probe_state *, void *), void *arg)
{
	struct probe *p = xcalloc(1, sizeof(*p));
	struct box_opts o = { .name = "hopyard",
		.type = "ctl",
		.address = conf_str(conf_section(conf, "bus"), "control") };

	p->change = change;
	p->arg = arg;
	p->box = box_new(loop, &o, &probe_ops, p);
	uv_timer_init(loop, &p->timer);
	p->timer.data = p;
	uv_timer_start(&p->timer, timer_cb, EVERY_MS, EVERY_MS);
	return p;
}

static void
closed_cb(uv_handle_t *h)
{
	free(h->data);
}

void
probe_close(struct probe *p)
{
	box_call_cancel(p->box, p);
	box_close(p->box, NULL, NULL);
	uv_close((uv_handle_t *)&p->timer, closed_cb);
}
