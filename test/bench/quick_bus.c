/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * quick_bus.c - a bus that only says yes, to measure a front end alone: it
 * welcomes a box, knows one account, and acknowledges all that has come every
 * TICK milliseconds, as a store that commits so often would.
 *
 *	quick_bus ADDRESS USERNAME PASSWORD TICK
 *
 * On SIGTERM it prints how many SUBMIT frames and items there were.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/attr.h"
#include "common/conn.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

static uv_loop_t loop;
static char *username, *password;
static struct conn *box; /* the one that is connected last */
static uint64_t frames, items_seen, upto, acked;

static void
put(uint16_t type, uint64_t correlation, const ProtobufCMessage *m)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	uint8_t *dst = conn_reserve(box, FRAME_HEADER + len);

	frame_put_header(dst, len, type, 0, correlation);
	protobuf_c_message_pack(m, dst + FRAME_HEADER);
	conn_commit(box, FRAME_HEADER + len);
}

static void
on_hello(void)
{
	Hopyard__V1__Welcome w = HOPYARD__V1__WELCOME__INIT;
	char version[] = HOPYARD_VERSION;

	upto = acked = 0;
	w.proto = 1;
	w.version = version;
	w.epoch = 1;
	w.credit_items = w.credit_bytes = UINT64_MAX / 2;
	w.max_frame = FRAME_MAX_PAYLOAD;
	w.max_items = FRAME_MAX_ITEMS;
	put(HOPYARD__V1__FRAME_TYPE__WELCOME, 0, &w.base);
}

/* Whatever is asked, the answer is the account. */
static void
on_call(const struct frame *f)
{
	Hopyard__V1__Account a = HOPYARD__V1__ACCOUNT__INIT;
	Hopyard__V1__Reply reply = HOPYARD__V1__REPLY__INIT;
	uint8_t body[512];

	a.id = a.username = username;
	a.version = 1;
	a.has_password_hash = true;
	a.password_hash.data = (uint8_t *)password;
	a.password_hash.len = strlen(password);
	a.has_max_parts = true;
	a.max_parts = 8;
	reply.has_body = true;
	reply.body.len = hopyard__v1__account__pack(&a, body);
	reply.body.data = body;
	put(HOPYARD__V1__FRAME_TYPE__REPLY, f->correlation, &reply.base);
}

static void
on_frame(const struct frame *f)
{
	struct items items;

	switch (f->type) {
	case HOPYARD__V1__FRAME_TYPE__HELLO:
		on_hello();
		break;
	case HOPYARD__V1__FRAME_TYPE__CALL:
		on_call(f);
		break;
	case HOPYARD__V1__FRAME_TYPE__SUBMIT:
		if (!items_open(&items, f->payload, f->len))
			abort();
		frames++;
		items_seen += items.count;
		upto = items.first + items.count - 1;
		break;
	default:
		break;
	}
}

static void
box_cb(struct conn *c, enum conn_event ev, void *arg)
{
	struct frame f;
	int n;

	(void)arg;
	switch (ev) {
	case CONN_EV_DATA:
		while ((n = frame_decode(&f, conn_data(c), conn_len(c),
			    FRAME_MAX_PAYLOAD)) > 0) {
			on_frame(&f);
			conn_drop(c, (size_t)n);
		}
		break;
	case CONN_EV_EOF:
	case CONN_EV_ERROR:
		conn_close(c);
		break;
	case CONN_EV_CLOSED:
		if (box == c)
			box = NULL;
		break;
	case CONN_EV_CONNECTED:
	case CONN_EV_WRITABLE:
		break;
	}
}

static void
accept_cb(struct listener *l, struct conn *c, void *arg)
{
	(void)l;
	box = c;
	conn_set_cb(c, box_cb, arg);
}

static void
tick_cb(uv_timer_t *timer)
{
	Hopyard__V1__Ack ack = HOPYARD__V1__ACK__INIT;

	(void)timer;
	if (box == NULL || upto == acked)
		return;
	ack.upto = acked = upto;
	put(HOPYARD__V1__FRAME_TYPE__ACK, 0, &ack.base);
}

static void
signal_cb(uv_signal_t *s, int number)
{
	(void)s;
	(void)number;
	printf("{\"frames\": %llu, \"items\": %llu}\n",
	    (unsigned long long)frames, (unsigned long long)items_seen);
	exit(0);
}

int
main(int argc, char **argv)
{
	struct conn_opts opts = { .read_always = true };
	struct listener *listener;
	uv_signal_t term;
	uv_timer_t timer;
	uint64_t ms;

	if (argc != 5) {
		fprintf(stderr,
		    "usage: quick_bus ADDRESS USERNAME PASSWORD TICK\n");
		return 64;
	}
	username = argv[2];
	password = argv[3];
	ms = strtoull(argv[4], NULL, 10);
	uv_loop_init(&loop);
	if (listener_open(&loop, argv[1], 0600, 1, &opts, accept_cb, NULL,
		&listener) != 0)
		return 1;
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, tick_cb, ms, ms);
	uv_signal_init(&loop, &term);
	uv_signal_start(&term, signal_cb, SIGTERM);
	return uv_run(&loop, UV_RUN_DEFAULT);
}
