/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/lua/judge.h"

#include <stdlib.h>
#include <string.h>

#include "boxes/filter/question.h"
#include "boxes/filter/verdict.h"
#include "boxes/lua/guard.h"
#include "boxes/lua/script.h"
#include "common/box.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/xalloc.h"
#include "proto/frame.h"

#define JUDGE_BYTES   ((uint64_t)4 * 1024 * 1024)
#define JUDGE_TURN_US 5000

/* A question, with the octets of its item behind it. */
struct waiting {
	TAILQ_ENTRY(waiting) link;
	uint64_t came_ms;
	struct item item;
	uint8_t octets[];
};

static struct stat_value judge_verdicts[] = {
#define COUNT(w)                                                               \
	{                                                                      \
		.name = "lua_verdicts_total",                                  \
		.help = "Verdicts of the script by their word",                \
		.labels = "verdict=\"" w "\"", .type = STAT_COUNTER            \
	}
	[HOPYARD__V1__VERDICT__CODE__CODE_NONE] = COUNT("none"),
	[HOPYARD__V1__VERDICT__CODE__PASS] = COUNT("pass"),
	[HOPYARD__V1__VERDICT__CODE__REJECT] = COUNT("reject"),
	[HOPYARD__V1__VERDICT__CODE__LATER] = COUNT("later"),
	[HOPYARD__V1__VERDICT__CODE__HOLD] = COUNT("hold"),
#undef COUNT
};
static struct stat_value judge_ends[] = {
#define COUNT(w)                                                               \
	{                                                                      \
		.name = "lua_failed_total",                                    \
		.help = "Messages about which the script said nothing",        \
		.labels = "cause=\"" w "\"", .type = STAT_COUNTER              \
	}
	[SCRIPT_ERROR] = COUNT("error"),
	[SCRIPT_INSTRUCTIONS] = COUNT("instructions"),
	[SCRIPT_TIME] = COUNT("time"),
	[SCRIPT_MEMORY] = COUNT("memory"),
#undef COUNT
};
static struct stat_value judge_late = {
	.name = "lua_late_total",
	.help = "Messages whose deadline was over before their turn",
	.type = STAT_COUNTER,
};
static struct stat_value judge_memory = {
	.name = "lua_memory_bytes",
	.help = "What the script has of its memory",
	.type = STAT_GAUGE,
};

static void
judge_progress(struct judge *j)
{
	if (j->count > 0 || j->state == JUDGE_DRAINING)
		turn_add(&j->task);
}

static void
judge_grant(struct judge *j)
{
	if (j->state == JUDGE_RUNNING)
		credit_grant(
		    &j->credit, j->box, j->count, j->window, JUDGE_BYTES);
}

/* ------------------------------------------------------------- one question */

static void
judge_failed(enum script_end end, const char *rule, size_t len, const char *why)
{
	static struct log_limit limit;

	judge_ends[end].value++;
	judge_verdicts[HOPYARD__V1__VERDICT__CODE__CODE_NONE].value++;
	if (log_limit(&limit, 1))
		log_warn("script.failed", "filter=%.*s line=%s", (int)len, rule,
		    why);
}

static void
judge_ask(struct judge *j, const struct waiting *w)
{
	uint64_t waited = clock_mono_ms() - w->came_ms;
	enum script_end end;
	struct question q;
	struct verdict v;
	const char *fault;

	if (!question_read(&q, &w->item))
		return;
	if (waited >= q.ask->deadline_ms) {
		judge_late.value++; /* nobody waits for it */
		return;
	}
	end = script_judge(j->script, &q, q.ask->deadline_ms - waited, &v);
	fault = script_fault(j->script);
	if (end == SCRIPT_VERDICT) {
		fault = question_answer(j->box, q.ask->ref, q.body, &v.v,
		    v.has_text ? &v.text : NULL);
		if (fault == NULL) {
			judge_verdicts[v.v.code].value++;
			return;
		}
		end = SCRIPT_ERROR;
	}
	judge_failed(
	    end, (const char *)q.ask->filter.data, q.ask->filter.len, fault);
	question_pass_over(j->box, q.ask->ref);
}

/* The caller's own then. */
static struct waiting *
judge_next(struct judge *j)
{
	struct waiting *w = TAILQ_FIRST(&j->waiting);

	if (w != NULL) {
		TAILQ_REMOVE(&j->waiting, w, link);
		j->count--;
	}
	return w;
}

static void
judge_closed_cb(void *arg)
{
	struct judge *j = arg;

	j->box = NULL;
	daemon_stop(j->daemon, 0);
}

static void
judge_turn_cb(void *arg)
{
	uint64_t until = clock_mono_us() + JUDGE_TURN_US;
	struct judge *j = arg;
	struct waiting *w;

	while (clock_mono_us() < until && (w = judge_next(j)) != NULL) {
		judge_ask(j, w);
		free(w);
	}
	judge_memory.value = script_memory(j->script);
	judge_grant(j);
	if (j->count > 0) {
		turn_add(&j->task);
		return;
	}
	guard_rest();
	if (j->state == JUDGE_DRAINING) {
		j->state = JUDGE_CLOSING;
		box_close(j->box, judge_closed_cb, j);
	}
}

/* ----------------------------------------------------------------- the bus */

static void
judge_take(struct judge *j, const struct item *it)
{
	struct waiting *w = xmalloc(sizeof(*w) + item_bytes(it));
	uint8_t *p = w->octets;

	w->came_ms = clock_mono_ms();
	w->item = *it;
	item_copy(p, it); /* without the context */
	w->item.envelope.p = p;
	w->item.body.p = p += it->envelope.len;
	w->item.report.p = p += it->body.len;
	w->item.context.p = p += it->report.len;
	if (it->context.len > 0)
		memcpy(p, it->context.p, it->context.len);
	TAILQ_INSERT_TAIL(&j->waiting, w, link);
	j->count++;
}

static void
judge_frame_cb(struct box *box UNUSED, const struct frame *f, void *arg)
{
	struct judge *j = arg;
	struct items items;
	struct item it;

	if (f->type != HOPYARD__V1__FRAME_TYPE__FILTER)
		return;
	if (!items_open(&items, f->payload, f->len)) {
		log_error("bus.bad_item", "len=%zu", f->len);
		return;
	}
	while (items_next(&items, &it)) {
		credit_take(&j->credit, &it);
		judge_take(j, &it);
	}
	judge_progress(j);
}

static void
judge_ready_cb(
    struct box *box UNUSED, const Hopyard__V1__Welcome *w UNUSED, void *arg)
{
	struct judge *j = arg;

	j->credit = (struct credit){ 0 };
	judge_grant(j);
	daemon_ready(j->daemon);
}

static void
judge_lost_cb(struct box *box UNUSED, void *arg)
{
	struct judge *j = arg;
	struct waiting *w;

	j->credit = (struct credit){ 0 };
	/* The bus has forgotten what it asked. */
	while ((w = judge_next(j)) != NULL)
		free(w);
}

static void
judge_acked_cb(struct box *box UNUSED, uint64_t cookie UNUSED,
    Hopyard__V1__Ack__Code code UNUSED, const char *text UNUSED,
    void *arg UNUSED)
{
	/* A filter has no items. */
}

/* ----------------------------------------------------------- start and stop */

static struct script *
judge_read(const struct conf_group *g, struct buf *why)
{
	struct script_limits limits = {
		.memory = (size_t)conf_size(g, "memory"),
		.instructions = (uint64_t)conf_int(g, "instructions"),
		.timeout_ms = conf_duration(g, "timeout"),
	};
	struct script *s = script_new(conf_str(g, "script"), &limits, why);

	guard_rest();
	return s;
}

int
judge_start(struct judge *j, struct daemon *d)
{
	static const struct box_ops ops = {
		.ready = judge_ready_cb,
		.lost = judge_lost_cb,
		.acked = judge_acked_cb,
		.frame = judge_frame_cb,
	};
	const struct conf_group *g = daemon_group(d);
	struct box_opts opts = { 0 };
	struct buf why;

	j->daemon = d;
	TAILQ_INIT(&j->waiting);
	j->window = (size_t)conf_int(g, "window");
	buf_init(&why);
	j->script = judge_read(g, &why);
	if (j->script == NULL)
		log_error("script.refused", "what=%.*s", (int)buf_len(&why) - 1,
		    buf_str(&why));
	buf_fini(&why);
	if (j->script == NULL)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(judge_verdicts); i++)
		stat_register(&judge_verdicts[i]);
	for (size_t i = SCRIPT_ERROR; i < ARRAY_LEN(judge_ends); i++)
		stat_register(&judge_ends[i]);
	stat_register(&judge_late);
	stat_register(&judge_memory);
	judge_memory.value = script_memory(j->script);
	j->turn = turn_get(daemon_loop(d));
	turn_task_init(&j->task, j->turn, TURN_LATER, judge_turn_cb, j);
	daemon_box_opts(d, "connect", &opts);
	j->box = box_new(daemon_loop(d), &opts, &ops, j);
	return 0;
}

void
judge_drain(struct judge *j)
{
	j->state = JUDGE_DRAINING;
	judge_progress(j);
}

bool
judge_reload(struct judge *j, const struct conf *conf, struct buf *why)
{
	const struct conf_group *g = conf_box(conf, daemon_name(j->daemon));
	struct script *s = judge_read(g, why);

	if (s == NULL)
		return false;
	script_free(j->script);
	j->script = s;
	judge_memory.value = script_memory(s);
	return true;
}

void
judge_fini(struct judge *j)
{
	struct waiting *w;

	guard_rest();
	while (j->daemon != NULL && (w = judge_next(j)) != NULL)
		free(w);
	if (j->turn != NULL) {
		turn_remove(&j->task);
		turn_put(j->turn);
	}
	script_free(j->script);
}
