/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process.c - hop_box_run(): the daemon and the box behind a struct hop_box.
 */
#include "boxes/sdk/process.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/front/submit.h"
#include "common/box.h"
#include "common/conf.h"
#include "common/daemon.h"
#include "common/json.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "proto/charset.h"

#define PROCESS_WINDOW    100
#define PROCESS_SUBMIT_MS 5000

/* What the first release had at least: below it a program is no program. */
#define PROCESS_OPTS_LEAST offsetof(struct hop_box_opts, recall)

static const char *const process_state_names[] = {
	[PROCESS_STARTING] = "starting",
	[PROCESS_RUNNING] = "running",
	[PROCESS_DRAINING] = "draining",
	[PROCESS_CLOSING] = "closing",
};

static const char *const process_roles[] = {
	[HOP_CONNECTOR] = "connector",
	[HOP_FRONT] = "front",
	[HOP_HOOK] = "hook",
	[HOP_FILTER] = "filter",
};

static void process_closed_cb(void *);

static void
process_enter_state(struct hop_box *b, enum process_state next)
{
	assert(next > b->state);
	log_debug("sdk.state", "from=%s to=%s", process_state_names[b->state],
	    process_state_names[next]);
	b->state = next;
	switch (next) {
	case PROCESS_STARTING:
	case PROCESS_RUNNING:
		break;
	case PROCESS_DRAINING:
		message_tell(b);
		if (b->opts.drain != NULL)
			b->opts.drain(b, b->opts.arg);
		process_progress(b);
		break;
	case PROCESS_CLOSING:
		box_close(b->box, process_closed_cb, b);
		break;
	}
}

static void
process_closed_cb(void *arg)
{
	struct hop_box *b = arg;

	b->box = NULL;
	daemon_stop(b->daemon, 0);
}

void
process_progress(struct hop_box *b)
{
	if (b->state == PROCESS_DRAINING)
		turn_add(&b->task);
}

static void
process_turn_cb(void *arg)
{
	struct hop_box *b = arg;

	submit_on_turn(b);
	if (b->stopping)
		daemon_drain(b->daemon);
	if (b->state == PROCESS_DRAINING && b->by_ref.count == 0 &&
	    b->pending_count == 0 && b->late_count == 0 &&
	    box_unacked(b->box) == 0 &&
	    (b->submitter == NULL || submitter_pending(b->submitter) == 0))
		process_enter_state(b, PROCESS_CLOSING);
}

void
process_tell_writable(struct hop_box *b)
{
	if (!b->writable_owed || b->box == NULL || !box_can_send(b->box))
		return;
	b->writable_owed = false;
	if (b->opts.writable != NULL)
		b->opts.writable(b, b->opts.arg);
}

/* --------------------------------------------------------------- from box.c */

static void
process_box_ready(
    struct box *box UNUSED, const Hopyard__V1__Welcome *w UNUSED, void *arg)
{
	struct hop_box *b = arg;

	if (b->opts.role == HOP_FILTER)
		verdict_on_ready(b);
	else
		message_on_ready(b);
	if (b->submitter != NULL)
		submitter_on_ready(b->submitter);
	if (b->opts.bus != NULL)
		b->opts.bus(b, true, b->opts.arg);
}

static void
process_box_lost(struct box *box UNUSED, void *arg)
{
	struct hop_box *b = arg;

	if (b->opts.role == HOP_FILTER)
		verdict_on_lost(b);
	else
		message_on_lost(b);
	if (b->opts.bus != NULL)
		b->opts.bus(b, false, b->opts.arg);
}

static void
process_box_acked(struct box *box UNUSED, uint64_t cookie,
    Hopyard__V1__Ack__Code code, const char *text, void *arg)
{
	static struct log_limit limit;
	struct hop_box *b = arg;

	if (cookie == 0) {
		if (code != HOPYARD__V1__ACK__CODE__ACK_OK &&
		    log_limit(&limit, 5))
			log_warn("bus.result_refused", "code=%d reason=%s",
			    (int)code, text == NULL ? "" : text);
	} else if (b->submitter != NULL) {
		submitter_on_acked(b->submitter, cookie, code, text);
	} else {
		incoming_on_acked(b, cookie, code, text);
	}
	process_progress(b);
}

static void
process_box_items(
    struct box *box UNUSED, uint16_t type, struct items *items, void *arg)
{
	struct hop_box *b = arg;
	struct item item;

	if (type != HOPYARD__V1__FRAME_TYPE__DELIVER ||
	    b->opts.message == NULL || b->opts.role == HOP_FILTER) {
		log_warn("bus.unexpected", "type=%u", type);
		return;
	}
	while (items_next(items, &item))
		message_on_item(b, &item);
	message_grant(b);
}

static void
process_box_frame(struct box *box UNUSED, const struct frame *f, void *arg)
{
	static uint8_t memory[1024];
	struct hop_box *b = arg;
	Hopyard__V1__Recall *recall;
	struct arena arena;

	if (f->type == HOPYARD__V1__FRAME_TYPE__FILTER &&
	    b->opts.role == HOP_FILTER) {
		verdict_on_frame(b, f);
		return;
	}
	if (f->type != HOPYARD__V1__FRAME_TYPE__RECALL ||
	    b->opts.role == HOP_FILTER)
		return;
	arena_init(&arena, memory, sizeof(memory));
	recall = frame_unpack(
	    &arena, &hopyard__v1__recall__descriptor, f->payload, f->len);
	if (recall != NULL)
		message_on_recall(b, recall->ref);
}

/* What `hopctl links show` asks a connector for. */
static void
process_show(const struct hop_box *b, struct buf *out)
{
	struct json j;

	json_init(&j, out);
	json_open_object(&j, NULL);
	json_str(&j, "link", daemon_name(b->daemon));
	json_str(&j, "scope", daemon_name(b->daemon));
	json_str(&j, "state",
	    b->state > PROCESS_RUNNING ? "draining"
		: b->up                ? "up"
				       : "down");
	json_str(&j, "detail", b->why[0] == '\0' ? NULL : b->why);
	json_uint(&j, "window", b->window);
	json_uint(&j, "in_hand", b->by_ref.count);
	json_uint(&j, "granted", b->credit.items);
	json_uint(&j, "unacked", box_unacked(b->box));
	json_open_array(&j, "hosts");
	json_close_array(&j);
	json_open_array(&j, "binds");
	json_close_array(&j);
	json_close_object(&j);
}

static void
process_box_call(struct box *box, uint64_t correlation,
    const Hopyard__V1__Call *call, void *arg)
{
	struct hop_box *b = arg;
	struct buf out;

	if (b->opts.role != HOP_CONNECTOR ||
	    strcmp(call->method, "link.show") != 0) {
		box_reply(
		    box, correlation, 404, "no such method", NULL, 0, false);
		return;
	}
	buf_init(&out);
	process_show(b, &out);
	box_reply(
	    box, correlation, 0, NULL, buf_data(&out), buf_len(&out), false);
	buf_fini(&out);
}

static void
process_box_writable(struct box *box UNUSED, void *arg)
{
	struct hop_box *b = arg;

	message_flush(b);
	if (b->submitter != NULL)
		submitter_on_ready(b->submitter);
	process_tell_writable(b);
}

/* ------------------------------------------------------------ from daemon.c */

static bool
process_role_fits(const struct hop_box *b, const struct conf_group *g)
{
	const char *said = conf_str(g, "role");

	if (said != NULL && strcmp(said, process_roles[b->opts.role]) == 0)
		return true;
	log_error("config.bad",
	    "where=%s role=%s hint=\"this program is a %s\"",
	    conf_where(g, "role"), said, process_roles[b->opts.role]);
	return false;
}

static void
process_connect(struct hop_box *b)
{
	static const struct box_ops ops = {
		.ready = process_box_ready,
		.lost = process_box_lost,
		.acked = process_box_acked,
		.items = process_box_items,
		.frame = process_box_frame,
		.call = process_box_call,
		.writable = process_box_writable,
	};
	struct box_opts opts = { 0 };

	daemon_box_opts(b->daemon, "connect", &opts);
	b->box = box_new(daemon_loop(b->daemon), &opts, &ops, b);
	if (b->submitter != NULL)
		submitter_set_box(b->submitter, b->box);
}

static int
process_start(struct daemon *d, void *arg)
{
	struct hop_box *b = arg;

	b->daemon = d;
	if (!process_role_fits(b, daemon_group(d)) ||
	    !settings_load(b, daemon_group(d)))
		return -1;
	b->turn = turn_get(daemon_loop(d));
	turn_task_init(&b->task, b->turn, TURN_WORK, process_turn_cb, b);
	incoming_init(b);
	if (b->opts.role == HOP_FRONT || b->opts.role == HOP_HOOK)
		b->submitter = submitter_new(daemon_loop(d),
		    b->opts.submit_ms != 0 ? b->opts.submit_ms
					   : PROCESS_SUBMIT_MS);
	if (b->opts.role == HOP_FILTER)
		verdict_register();
	else
		message_register();
	process_connect(b);
	if (b->opts.start != NULL && b->opts.start(b, b->opts.arg) < 0)
		return -1;
	process_enter_state(b, PROCESS_RUNNING);
	daemon_ready(d);
	return 0;
}

static void
process_drain(struct daemon *d UNUSED, void *arg)
{
	process_enter_state(arg, PROCESS_DRAINING);
}

/* The program looks at the new settings, and may want the old ones back. */
static bool
process_reload(
    struct daemon *d, const struct conf *conf, struct buf *why, void *arg)
{
	struct hop_box *b = arg;
	const struct conf_group *g = conf_box(conf, daemon_name(d));
	json_t *old = b->settings;
	char where[sizeof(b->where)];

	memcpy(where, b->where, sizeof(where));
	if (!process_role_fits(b, g) || !settings_load(b, g)) {
		buf_addstr(why, "the settings of this box do not fit\n");
	} else if (b->opts.reload == NULL || b->opts.reload(b, b->opts.arg)) {
		return true;
	} else {
		buf_printf(
		    why, "%s: this box refuses its new settings\n", b->where);
	}
	b->settings = old;
	memcpy(b->where, where, sizeof(where));
	return false;
}

static void
process_fini(struct daemon *d UNUSED, void *arg)
{
	struct hop_box *b = arg;

	/* Also when start() has failed: then only what there is. */
	if (b->state > PROCESS_STARTING && b->opts.stop != NULL)
		b->opts.stop(b, b->opts.arg);
	if (b->turn == NULL)
		return;
	message_free_all(b);
	incoming_stop(b);
	submit_stop(b);
	turn_remove(&b->task);
	turn_put(b->turn);
	settings_free(b);
	buf_fini(&b->scratch);
}

/* ----------------------------------------------------------- public functions */

bool
process_take_struct(void *dst, size_t size, const void *src, size_t least)
{
	const uint8_t *p = src;
	size_t said, i;

	memcpy(&said, src, sizeof(said));
	if (said < least)
		return false;
	for (i = size; i < said; i++)
		if (p[i] != 0)
			return false;
	memset(dst, 0, size);
	memcpy(dst, src, said < size ? said : size);
	return true;
}

bool
process_is_utf8(struct hop_bytes text)
{
	return utf8_check(text.p, text.len) == text.len;
}

int
hop_box_run(const struct hop_box_opts *opts, int argc, char **argv)
{
	static struct hop_box the_box;
	static bool running;
	struct hop_box *b = &the_box;
	struct daemon_box daemon = {
		.start = process_start,
		.drain = process_drain,
		.reload = process_reload,
		.fini = process_fini,
	};

	if (running || opts == NULL ||
	    !process_take_struct(
		&b->opts, sizeof(b->opts), opts, PROCESS_OPTS_LEAST)) {
		(void)fprintf(stderr, "hop_box_run: %s\n",
		    running ? "may be called once"
			    : "struct hop_box_opts is of another version of "
			      "libhopyard than this, " HOPYARD_VERSION);
		return 1;
	}
	if (b->opts.program == NULL || b->opts.type == NULL ||
	    b->opts.role < HOP_CONNECTOR || b->opts.role > HOP_FILTER ||
	    (b->opts.message == NULL && b->opts.role != HOP_FRONT)) {
		(void)fprintf(stderr,
		    "hop_box_run: program, type and role are needed, and "
		    "message but by a front end\n");
		return 1;
	}
	running = true;
	daemon.program = b->opts.program;
	daemon.type = b->opts.type;
	daemon.drain_ms = b->opts.drain_ms;
	b->window = b->opts.window != 0 ? b->opts.window : PROCESS_WINDOW;
	b->up = true;
	buf_init(&b->scratch);
	map_init(&b->by_ref);
	TAILQ_INIT(&b->finished);
	TAILQ_INIT(&b->late);
	return daemon_run(&daemon, argc, argv, b);
}

const char *
hop_box_name(const struct hop_box *b)
{
	return daemon_name(b->daemon);
}

struct uv_loop_s *
hop_box_loop(struct hop_box *b)
{
	return daemon_loop(b->daemon);
}

void
hop_box_stop(struct hop_box *b, int code)
{
	if (code != 0 || b->state == PROCESS_STARTING) {
		daemon_stop(b->daemon, code);
		return;
	}
	/* Not from in here, as drain() is called then. */
	b->stopping = true;
	turn_add(&b->task);
}

bool
hop_box_draining(const struct hop_box *b)
{
	return b->state >= PROCESS_DRAINING;
}

size_t
hop_box_in_hand(const struct hop_box *b)
{
	return b->by_ref.count;
}

const char *
hop_version(void)
{
	return hopyard_version;
}

const char *
hop_strerror(int error)
{
	switch (error) {
	case 0:
		return "no error";
	case HOP_E_INVALID:
		return "an argument makes no sense";
	case HOP_E_FULL:
		return "too much is not acknowledged by the bus";
	case HOP_E_TOO_LARGE:
		return "too large for a frame of the bus";
	case HOP_E_ROLE:
		return "not for a box of this role";
	default:
		return "unknown error";
	}
}
