/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/hook/client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/hook/answer.h"
#include "common/conn.h"
#include "common/xalloc.h"

static conn_cb client_conn_cb;

static void
client_enter_state(struct client *c, enum client_state next)
{
	assert(c->state != CLIENT_CLOSED);
	c->state = next;

	switch (next) {
	case CLIENT_CONNECTING:
	case CLIENT_ASKING:
		break;
	case CLIENT_IDLE:
		c->answer = NULL;
		break;
	case CLIENT_CLOSED:
		conn_close(c->conn);
		break;
	}
}

struct client *
client_open(uv_loop_t *loop, const struct sockaddr *sa, const char *host,
    struct tls_config *tls, uint64_t greet_ms, unsigned *count)
{
	struct conn_opts opts = { .tls = tls, .greet_ms = greet_ms };
	struct client *c = xcalloc(1, sizeof(*c));

	c->fresh = true;
	c->error = "";
	c->count = count;
	++*count;
	c->conn = conn_connect_to(loop, sa, host, &opts, client_conn_cb, c);
	return c;
}

void
client_set_cb(struct client *c, client_cb *cb, void *arg)
{
	c->cb = cb;
	c->arg = arg;
}

char *
client_reserve(struct client *c, size_t n)
{
	assert(c->state == CLIENT_IDLE);
	return (char *)conn_reserve(c->conn, n);
}

void
client_ask(struct client *c, size_t n, struct answer *a)
{
	assert(c->state == CLIENT_IDLE && !c->worn);
	c->answer = a;
	client_enter_state(c, CLIENT_ASKING);
	conn_commit(c->conn, n);
}

bool
client_was_stale(const struct client *c)
{
	assert(c->state == CLIENT_ASKING);
	return !c->fresh && c->answer->wire == 0;
}

void
client_close(struct client *c)
{
	client_enter_state(c, CLIENT_CLOSED);
}

static void
client_fail(struct client *c, const char *why)
{
	c->error = why;
	c->worn = true;
	c->cb(c, CLIENT_EV_FAILED, c->arg);
}

/* The answer is over, well or not. */
static void
client_on_answer(struct client *c)
{
	if (c->answer->state == ANSWER_BAD) {
		client_fail(c, c->answer->error);
		return;
	}
	/* What comes behind an answer belongs to none. */
	c->worn = !c->answer->keep_alive || conn_len(c->conn) > 0 ||
	    conn_unsent(c->conn) > 0;
	c->fresh = false;
	client_enter_state(c, CLIENT_IDLE);
	c->cb(c, CLIENT_EV_ANSWERED, c->arg);
}

static void
client_on_data(struct client *c)
{
	size_t used;

	switch (c->state) {
	case CLIENT_ASKING:
		used = answer_run(
		    c->answer, conn_data(c->conn), conn_len(c->conn));
		conn_drop(c->conn, used);
		if (c->answer->state >= ANSWER_DONE)
			client_on_answer(c);
		break;
	case CLIENT_IDLE:
		client_fail(c, "an answer to nothing");
		break;
	case CLIENT_CONNECTING:
	case CLIENT_CLOSED:
		break;
	}
}

static void
client_on_eof(struct client *c)
{
	switch (c->state) {
	case CLIENT_ASKING:
		answer_end(c->answer);
		client_on_answer(c);
		break;
	case CLIENT_CONNECTING:
	case CLIENT_IDLE:
		client_fail(c, "closed");
		break;
	case CLIENT_CLOSED:
		break;
	}
}

static void
client_on_error(struct client *c)
{
	const char *why = conn_error_text(c->conn);

	if (c->state == CLIENT_CLOSED)
		return;
	if (strncmp(why, "TLS: ", 5) == 0) {
		why += 5;
		c->tls_failed = true;
	}
	client_fail(c, why);
}

static void
client_conn_cb(struct conn *conn, enum conn_event ev, void *arg)
{
	struct client *c = arg;

	assert(c->conn == conn);
	switch (ev) {
	case CONN_EV_CONNECTED:
		client_enter_state(c, CLIENT_IDLE);
		c->cb(c, CLIENT_EV_CONNECTED, c->arg);
		break;
	case CONN_EV_DATA:
		client_on_data(c);
		break;
	case CONN_EV_WRITABLE:
		break;
	case CONN_EV_EOF:
		client_on_eof(c);
		break;
	case CONN_EV_ERROR:
		client_on_error(c);
		break;
	case CONN_EV_CLOSED:
		assert(c->state == CLIENT_CLOSED);
		--*c->count;
		free(c);
		break;
	}
}
