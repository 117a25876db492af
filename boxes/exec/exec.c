/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/exec/exec.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/exec/line.h"
#include "boxes/filter/question.h"
#include "common/attr.h"
#include "common/box.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/daemon.h"
#include "common/inbound.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/uuid.h"
#include "common/xalloc.h"

#define EXEC_INBOUND 2048
#define EXEC_BYTES   (4 * 1024 * 1024)
#define EXEC_UNREAD  (4 * 1024 * 1024)
#define TICK_MS      50
#define ARENA        (256 * 1024)
#define KEYWORD      32

struct job {
	TAILQ_ENTRY(job) link; /* exec->waiting or copy->jobs */
	struct copy *copy;     /* who has it, NULL: it waits */
	uint64_t key, ref;
	uint64_t at; /* mono ms, handed to a copy; before: when it came */
	uint64_t deadline_ms; /* of a question */
	bool given_up;        /* nobody wants the answer any more */
	uint8_t id[UUID_LEN];
	uint32_t attempt;
	size_t line_len, body_len;
	uint8_t *body; /* of a question: the Content */
	char *line;
};

struct copy {
	struct exec *exec;
	struct program *program;
	struct job_list jobs; /* in the order in which it got them */
	size_t count;
	uint64_t life; /* of which process of it */
};

/* A message or receipt of a program, until the bus has settled it. */
struct inbound_wait {
	struct copy *copy;
	uint64_t life;
	char name[LINE_ID];
};

static struct stat_value exec_counts[] = {
#define COUNT(w)                                                               \
	{                                                                      \
		.name = "exec_lines_total",                                    \
		.help = "Lines from the program by what they are",             \
		.labels = "kind=\"" w "\"", .type = STAT_COUNTER               \
	}
	[LINE_BAD] = COUNT("bad"),
	[LINE_RESULT] = COUNT("result"),
	[LINE_VERDICT] = COUNT("verdict"),
	[LINE_MESSAGE] = COUNT("message"),
	[LINE_RECEIPT] = COUNT("receipt"),
#undef COUNT
};
static struct stat_value exec_unanswered = {
	.name = "exec_unanswered_total",
	.help = "Messages that a program had when it ended or was too slow",
	.type = STAT_COUNTER,
};

static uint8_t exec_memory[ARENA];

static void exec_pump(struct exec *);
static void exec_grant(struct exec *);
static void exec_progress(struct exec *);

/* ------------------------------------------------------------------ jobs */

static struct job *
job_new(struct exec *x, uint64_t ref, const Hopyard__V1__Envelope *env)
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->key = ++x->last_key;
	j->ref = ref;
	j->at = clock_mono_ms();
	memcpy(j->id, env->id.data, UUID_LEN);
	map_put_u64(&x->by_key, j->key, j);
	if (!x->filter)
		map_put_u64(&x->by_ref, ref, j);
	return j;
}

/* Off its list, and freed. */
static void
job_free(struct exec *x, struct job *j)
{
	if (j->copy != NULL) {
		TAILQ_REMOVE(&j->copy->jobs, j, link);
		j->copy->count--;
	} else {
		TAILQ_REMOVE(&x->waiting, j, link);
		x->waiting_count--;
	}
	map_del_u64(&x->by_key, j->key);
	if (!x->filter)
		map_del_u64(&x->by_ref, j->ref);
	free(j->line);
	free(j->body);
	free(j);
}

/* The line is in the buffer. */
static void
job_wait(struct exec *x, struct job *j, const struct buf *line)
{
	j->line = xmemdup(buf_data(line), buf_len(line));
	j->line_len = buf_len(line);
	TAILQ_INSERT_TAIL(&x->waiting, j, link);
	x->waiting_count++;
}

static void
send_result(struct exec *x, const struct job *j, Hopyard__V1__Result *r)
{
	struct item item = { .envelope = { NULL, 0 } };
	uint8_t *packed;
	int rc;

	r->ref = j->ref;
	r->has_id = true;
	r->id = (ProtobufCBinaryData){ UUID_LEN, (uint8_t *)(uintptr_t)j->id };
	r->has_attempt = true;
	r->attempt = j->attempt;
	item.envelope.len = hopyard__v1__result__get_packed_size(r);
	packed = xmalloc(item.envelope.len);
	hopyard__v1__result__pack(r, packed);
	item.envelope.p = packed;
	rc = box_send_item(x->box, HOPYARD__V1__FRAME_TYPE__RESULT, &item, 0);
	/* All windows together fit, see exec_grant(). */
	assert(rc == 0);
	free(packed);
}

static const char stopping[] = "box is stopping";

/* An answer of our own: of a filter it is that there is none, and nobody need
 * wait for the deadline.  Takes the job. */
static void
job_tell(struct exec *x, struct job *j, Hopyard__V1__Result__Code code,
    const char *detail)
{
	Hopyard__V1__Result r = HOPYARD__V1__RESULT__INIT;

	r.code = code;
	r.has_detail = true;
	r.detail = (ProtobufCBinaryData){ strlen(detail),
		(uint8_t *)(uintptr_t)detail };
	if (!x->filter)
		send_result(x, j, &r);
	else if (!j->given_up)
		question_pass_over(x->box, j->ref);
	job_free(x, j);
}

/* -------------------------------------------------------------- the bus */

static void
tell_link(struct exec *x)
{
	Hopyard__V1__LinkState s = HOPYARD__V1__LINK_STATE__INIT;

	if (x->filter || x->box == NULL)
		return;
	s.state = x->running > 0 && x->state == EXEC_RUNNING
	    ? HOPYARD__V1__LINK_STATE__LINK__UP
	    : HOPYARD__V1__LINK_STATE__LINK__DOWN;
	s.has_bound = s.has_binds = s.has_window = s.has_in_flight = true;
	s.bound = (uint32_t)x->running;
	s.binds = (uint32_t)x->count;
	s.window = (uint32_t)(x->count * x->window);
	s.in_flight = (uint32_t)x->by_key.count;
	/* When it is not connected, ready() tells it. */
	(void)box_send(
	    x->box, HOPYARD__V1__FRAME_TYPE__LINK_STATE, 0, 0, &s.base);
}

static void
exec_grant(struct exec *x)
{
	if (x->state == EXEC_RUNNING)
		credit_grant(&x->credit, x->box,
		    x->by_key.count + box_unacked(x->box),
		    x->running * x->window, EXEC_BYTES);
}

static void
on_question(const struct question *q, void *arg)
{
	struct exec *x = arg;
	struct job *j = job_new(x, q->ask->ref, q->envelope);
	struct buf line;

	j->deadline_ms = q->ask->deadline_ms;
	if (q->body.len > 0) {
		j->body = xmemdup(q->body.p, q->body.len);
		j->body_len = q->body.len;
	}
	buf_init(&line);
	line_put_filter(&line, j->key, q->envelope, q->content, q->ask);
	job_wait(x, j, &line);
	buf_fini(&line);
	if (x->state != EXEC_RUNNING)
		job_tell(x, j, HOPYARD__V1__RESULT__CODE__NOT_NOW, stopping);
}

static void
on_message(struct exec *x, const struct item *it)
{
	const Hopyard__V1__Envelope *env;
	const Hopyard__V1__Dispatch *d;
	const Hopyard__V1__Content *c;
	struct arena arena;
	struct buf line;
	struct job *j;

	arena_init(&arena, exec_memory, sizeof(exec_memory));
	env = frame_unpack(&arena, &hopyard__v1__envelope__descriptor,
	    it->envelope.p, it->envelope.len);
	d = frame_unpack(&arena, &hopyard__v1__dispatch__descriptor,
	    it->context.p, it->context.len);
	c = it->body.len == 0
	    ? NULL
	    : frame_unpack(&arena, &hopyard__v1__content__descriptor,
		  it->body.p, it->body.len);
	if (env == NULL || d == NULL || env->id.len != UUID_LEN) {
		log_error("bus.bad_item", "len=%zu", item_bytes(it));
		return;
	}
	if (map_get_u64(&x->by_ref, d->ref) != NULL)
		return; /* we said in IN_HAND that we have it */
	j = job_new(x, d->ref, env);
	j->attempt = d->attempt;
	buf_init(&line);
	line_put_deliver(&line, j->key, env, c, d);
	job_wait(x, j, &line);
	buf_fini(&line);
	if (c == NULL)
		job_tell(x, j, HOPYARD__V1__RESULT__CODE__FAIL,
		    "content is malformed");
	else if (x->state != EXEC_RUNNING)
		job_tell(x, j, HOPYARD__V1__RESULT__CODE__NOT_NOW, stopping);
}

static void
box_items_cb(
    struct box *box UNUSED, uint16_t type, struct items *items, void *arg)
{
	struct exec *x = arg;
	struct item it;

	while (items_next(items, &it)) {
		credit_take(&x->credit, &it);
		if (type == HOPYARD__V1__FRAME_TYPE__DELIVER && !x->filter)
			on_message(x, &it);
		else
			log_warn("bus.unexpected", "type=%u", type);
	}
	exec_pump(x);
	exec_grant(x);
}

static void
on_recall(struct exec *x, const struct frame *f)
{
	Hopyard__V1__Recall *r;
	struct arena arena;
	struct job *j;

	arena_init(&arena, exec_memory, sizeof(exec_memory));
	r = frame_unpack(
	    &arena, &hopyard__v1__recall__descriptor, f->payload, f->len);
	j = r != NULL ? map_get_u64(&x->by_ref, r->ref) : NULL;
	/* What a program has may be under way. */
	if (j != NULL && j->copy == NULL)
		job_tell(x, j, HOPYARD__V1__RESULT__CODE__RECALLED, "recalled");
}

static void
box_frame_cb(struct box *box UNUSED, const struct frame *f, void *arg)
{
	struct exec *x = arg;

	if (f->type == HOPYARD__V1__FRAME_TYPE__FILTER && x->filter) {
		questions_read(f, &x->credit, on_question, x);
		exec_pump(x);
		exec_grant(x);
	} else if (f->type == HOPYARD__V1__FRAME_TYPE__RECALL && !x->filter) {
		on_recall(x, f);
	}
}

static void
box_ready_cb(
    struct box *box UNUSED, const Hopyard__V1__Welcome *w UNUSED, void *arg)
{
	struct exec *x = arg;
	uint64_t *refs;
	size_t pos = 0, n = 0;
	struct job *j;

	x->credit = (struct credit){ 0 };
	if (!x->filter) {
		refs = xcalloc(x->by_ref.count + 1, sizeof(*refs));
		while ((j = map_next(&x->by_ref, &pos)) != NULL)
			refs[n++] = j->ref;
		box_send_in_hand(x->box, refs, n);
		free(refs);
	}
	tell_link(x);
	exec_grant(x);
	daemon_ready(x->daemon);
}

static void
box_lost_cb(struct box *box UNUSED, void *arg)
{
	struct exec *x = arg;
	struct job *j;
	size_t pos = 0;

	x->credit = (struct credit){ 0 };
	if (!x->filter)
		return;
	/* The bus has forgotten what it asked. */
	while ((j = TAILQ_FIRST(&x->waiting)) != NULL)
		job_free(x, j);
	while ((j = map_next(&x->by_key, &pos)) != NULL)
		j->given_up = true;
}

/* ----------------------------------------------- messages of the program */

static void
inbound_tell(struct inbound_wait *w, const char *code)
{
	struct buf line;

	if (w->name[0] == '\0' || w->life != w->copy->life ||
	    !program_running(w->copy->program))
		return;
	/* Questions are bounded by the window, these by nothing else. */
	if (program_unread(w->copy->program) > EXEC_UNREAD) {
		program_kill(w->copy->program, "it does not read its input");
		return;
	}
	buf_init(&line);
	line_put_ack(&line, w->name, code);
	program_write(w->copy->program, buf_data(&line), buf_len(&line));
	buf_fini(&line);
}

static const char *
ack_word(Hopyard__V1__Ack__Code code)
{
	switch (code) {
	case HOPYARD__V1__ACK__CODE__ACK_OK:
	case HOPYARD__V1__ACK__CODE__LATER:
		return "ok";
	case HOPYARD__V1__ACK__CODE__UNAVAILABLE:
	case HOPYARD__V1__ACK__CODE__THROTTLED:
		return "later";
	default:
		return "refused";
	}
}

static void
box_acked_cb(struct box *box UNUSED, uint64_t cookie,
    Hopyard__V1__Ack__Code code, const char *text, void *arg)
{
	struct inbound_wait *w = (struct inbound_wait *)(uintptr_t)cookie;
	static struct log_limit limit;
	struct exec *x = arg;

	if (strcmp(ack_word(code), "ok") != 0 && log_limit(&limit, 5))
		log_warn("bus.refused", "code=%d reason=%s", (int)code,
		    text != NULL ? text : "");
	if (w != NULL) {
		inbound_tell(w, ack_word(code));
		x->inbound--;
		free(w);
	}
	exec_grant(x);
	exec_progress(x);
}

static ProtobufCBinaryData
address(ProtobufCBinaryData a)
{
	struct bytes in = inbound_address(bytes_of(a.data, a.len));

	return (ProtobufCBinaryData){ in.len, (uint8_t *)(uintptr_t)in.p };
}

static void
on_inbound(struct exec *x, struct copy *c, const struct line *l)
{
	const char *link = daemon_name(x->daemon);
	Hopyard__V1__Envelope e = l->envelope;
	Hopyard__V1__Notice n = l->notice;
	struct inbound_wait *w = xcalloc(1, sizeof(*w));
	uint8_t id[UUID_LEN], word[KEYWORD], *packed;
	struct item it = { .envelope = { NULL, 0 } };
	const ProtobufCMessage *body =
	    l->kind == LINE_RECEIPT ? &n.base : &l->content.base;

	w->copy = c;
	w->life = c->life;
	snprintf(w->name, sizeof(w->name), "%s", l->name);
	uuid_new(id);
	e.id = (ProtobufCBinaryData){ sizeof(id), id };
	e.has_link = true;
	e.link =
	    (ProtobufCBinaryData){ strlen(link), (uint8_t *)(uintptr_t)link };
	if (l->kind == LINE_MESSAGE) {
		e.to = address(e.to);
		e.from = address(e.from);
		e.has_keyword = true;
		e.keyword.data = word;
		e.keyword.len = inbound_keyword(l->content.text.data,
		    l->content.text.len, word, sizeof(word));
	} else {
		n.has_link = true;
		n.link = e.link;
	}
	it.envelope.len = hopyard__v1__envelope__get_packed_size(&e);
	it.body.len = protobuf_c_message_get_packed_size(body);
	packed = xmalloc(it.envelope.len + it.body.len);
	hopyard__v1__envelope__pack(&e, packed);
	protobuf_c_message_pack(body, packed + it.envelope.len);
	it.envelope.p = packed;
	it.body.p = packed + it.envelope.len;
	if (x->inbound >= EXEC_INBOUND || box_fill(x->box) > 50 ||
	    box_send_item(x->box, HOPYARD__V1__FRAME_TYPE__INBOUND, &it,
		(uint64_t)(uintptr_t)w) != 0) {
		inbound_tell(w, "later");
		free(w);
	} else {
		x->inbound++;
	}
	free(packed);
}

/* ------------------------------------------------------------ the answers */

static const char *
on_verdict(struct exec *x, const struct job *j, struct line *l)
{
	const char *fault;

	if (j->given_up)
		return NULL;
	fault = l->fault;
	if (fault == NULL)
		fault = question_answer(x->box, j->ref,
		    bytes_of(j->body, j->body_len), &l->verdict.v,
		    l->verdict.has_text ? &l->verdict.text : NULL);
	if (fault != NULL)
		question_pass_over(x->box, j->ref);
	return fault;
}

/* NULL, or what is wrong with it. */
static const char *
on_line(struct exec *x, struct copy *c, struct line *l)
{
	struct job *j;
	const char *fault = NULL;

	if (l->kind == LINE_BAD)
		return l->fault;
	if ((l->kind == LINE_VERDICT) != x->filter)
		return "it is not for a box of this role";
	if (l->kind == LINE_MESSAGE || l->kind == LINE_RECEIPT) {
		on_inbound(x, c, l);
		return NULL;
	}
	j = map_get_u64(&x->by_key, l->id);
	if (j == NULL || j->copy != c)
		return "it answers nothing that this program was asked";
	if (x->filter)
		fault = on_verdict(x, j, l);
	else
		send_result(x, j, &l->result);
	job_free(x, j);
	exec_pump(x);
	exec_grant(x);
	exec_progress(x);
	return fault;
}

static void
program_line_cb(struct program *p, char *text, size_t len, void *arg)
{
	static struct log_limit limit;
	struct copy *c = arg;
	const char *fault;
	struct line l;

	line_read(&l, text, len);
	fault = on_line(c->exec, c, &l);
	exec_counts[fault != NULL ? LINE_BAD : l.kind].value++;
	/* Not the line: there may be a text in it. */
	if (fault != NULL && log_limit(&limit, 5))
		log_warn("program.bad_line", "number=%u len=%zu reason=%s",
		    program_number(p), len, fault);
	line_free(&l);
}

/* ------------------------------------------------------------- the copies */

static struct copy *
copy_with_room(struct exec *x)
{
	struct copy *best = NULL;

	for (size_t i = 0; i < x->count; i++) {
		struct copy *c = &x->copies[i];

		if (program_running(c->program) && c->count < x->window &&
		    (best == NULL || c->count < best->count))
			best = c;
	}
	return best;
}

static void
exec_pump(struct exec *x)
{
	uint64_t now = clock_mono_ms();
	struct copy *c;
	struct job *j;

	while ((j = TAILQ_FIRST(&x->waiting)) != NULL) {
		if (x->filter && now - j->at >= j->deadline_ms) {
			job_free(x, j); /* nobody waits for it */
			continue;
		}
		c = copy_with_room(x);
		if (c == NULL)
			return;
		TAILQ_REMOVE(&x->waiting, j, link);
		x->waiting_count--;
		TAILQ_INSERT_TAIL(&c->jobs, j, link);
		j->copy = c;
		j->at = now;
		c->count++;
		program_write(c->program, j->line, j->line_len);
		free(j->line);
		j->line = NULL;
	}
}

static void
program_up_cb(struct program *p UNUSED, void *arg)
{
	struct copy *c = arg;
	struct exec *x = c->exec;

	c->life++;
	if (x->running++ == 0)
		tell_link(x);
	exec_pump(x);
	exec_grant(x);
}

static void
program_gone_cb(struct program *p UNUSED, void *arg)
{
	struct copy *c = arg;
	struct exec *x = c->exec;
	struct job *j;

	/* It may not have been there. */
	if (c->life % 2 == 1) {
		c->life++;
		if (--x->running == 0)
			tell_link(x);
	}
	while ((j = TAILQ_FIRST(&c->jobs)) != NULL) {
		exec_unanswered.value++;
		job_tell(x, j, HOPYARD__V1__RESULT__CODE__UNKNOWN_OUTCOME,
		    "the program ended without an answer");
	}
	exec_grant(x);
	exec_progress(x);
}

static const struct program_ops exec_program_ops = {
	.up = program_up_cb,
	.line = program_line_cb,
	.gone = program_gone_cb,
};

static void
tick_cb(uv_timer_t *timer)
{
	struct exec *x = timer->data;
	uint64_t now = clock_mono_ms();

	for (size_t i = 0; i < x->count; i++) {
		struct copy *c = &x->copies[i];
		const struct job *j = TAILQ_FIRST(&c->jobs);

		if (j != NULL && now - j->at >= x->timeout_ms)
			program_kill(c->program, "no answer in time");
	}
	exec_pump(x);
	exec_progress(x);
}

/* --------------------------------------------------------- start and stop */

static void
closed_cb(void *arg)
{
	struct exec *x = arg;

	x->box = NULL;
	daemon_stop(x->daemon, 0);
}

/* On the way out, as far as it goes now. */
static void
exec_progress(struct exec *x)
{
	if (x->state == EXEC_DRAINING && x->by_key.count == 0 &&
	    box_unacked(x->box) == 0) {
		x->state = EXEC_STOPPING;
		/* One that pauses has ended at once, and comes back here. */
		for (size_t i = 0; i < x->count; i++)
			program_stop(x->copies[i].program);
	}
	if (x->state != EXEC_STOPPING)
		return;
	for (size_t i = 0; i < x->count; i++)
		if (!program_ended(x->copies[i].program))
			return;
	x->state = EXEC_CLOSING;
	box_close(x->box, closed_cb, x);
}

void
exec_drain(struct exec *x)
{
	struct job *j;

	x->state = EXEC_DRAINING;
	tell_link(x);
	while ((j = TAILQ_FIRST(&x->waiting)) != NULL)
		job_tell(x, j, HOPYARD__V1__RESULT__CODE__NOT_NOW, stopping);
	exec_progress(x);
}

/* The strings of a list setting after those given, NULL-ended. */
static char **
strings(const struct conf_group *g, const char *key, const char *const *first)
{
	size_t n = 0, k = conf_list_len(g, key);
	char **list;

	while (first[n] != NULL)
		n++;
	list = xcalloc(n + k + 1, sizeof(*list));
	for (size_t i = 0; i < n; i++)
		list[i] = xstrdup(first[i]);
	for (size_t i = 0; i < k; i++)
		list[n + i] = xstrdup(conf_list_str(g, key, i));
	return list;
}

static void
strings_free(char **list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		free(list[i]);
	free(list);
}

static void
start_copies(struct exec *x, const struct conf_group *g)
{
	struct program_opts o = { .argv = x->argv, .env = x->env };

	conf_range(g, "restart", &o.restart_ms, &o.restart_max_ms);
	x->copies = xcalloc(x->count, sizeof(*x->copies));
	for (size_t i = 0; i < x->count; i++) {
		struct copy *c = &x->copies[i];

		c->exec = x;
		TAILQ_INIT(&c->jobs);
		o.number = (unsigned)i + 1;
		c->program = program_new(
		    daemon_loop(x->daemon), &o, &exec_program_ops, c);
	}
}

int
exec_start(struct exec *x, struct daemon *d)
{
	static const struct box_ops ops = {
		.ready = box_ready_cb,
		.lost = box_lost_cb,
		.acked = box_acked_cb,
		.items = box_items_cb,
		.frame = box_frame_cb,
	};
	const struct conf_group *g = daemon_group(d);
	const char *role = conf_str(g, "role");
	char name[80];
	const char *const env[] = { "PATH=/usr/local/bin:/usr/bin:/bin",
		"LANG=C.UTF-8", name, NULL };
	static const char *const none[] = { NULL };
	struct box_opts opts = { 0 };

	daemon_box_opts(d, "connect", &opts);
	x->daemon = d;
	TAILQ_INIT(&x->waiting);
	map_init(&x->by_key);
	map_init(&x->by_ref);
	/* The configuration has been checked: one of two, and 4096 in hand at
	 * most, so that what is not acknowledged fits into the box. */
	x->filter = strcmp(role, "filter") == 0;
	x->count = (size_t)conf_int(g, "processes");
	x->window = (size_t)conf_int(g, "window");
	x->timeout_ms = conf_duration(g, "timeout");
	snprintf(name, sizeof(name), "HOPYARD_NAME=%s", daemon_name(d));
	x->argv = strings(g, "program", none);
	x->env = strings(g, "env", env);
	for (size_t i = 0; i < ARRAY_LEN(exec_counts); i++)
		stat_register(&exec_counts[i]);
	stat_register(&exec_unanswered);
	x->box = box_new(daemon_loop(d), &opts, &ops, x);
	uv_timer_init(daemon_loop(d), &x->timer);
	x->timer.data = x;
	uv_timer_start(&x->timer, tick_cb, TICK_MS, TICK_MS);
	start_copies(x, g);
	return 0;
}

void
exec_fini(struct exec *x)
{
	struct job *j;
	size_t pos;

	while (pos = 0, (j = map_next(&x->by_key, &pos)) != NULL)
		job_free(x, j);
	for (size_t i = 0; x->copies != NULL && i < x->count; i++)
		program_free(x->copies[i].program);
	free(x->copies);
	strings_free(x->argv);
	strings_free(x->env);
	map_fini(&x->by_key);
	map_fini(&x->by_ref);
}
