/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ends.c - a client and a server of ours over a real socket.
 */
#include "test/unit/common/ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

uv_loop_t loop;
struct listener *listener;
struct end server, client;
unsigned accepted;

void
ends_init(void)
{
	uv_loop_init(&loop);
	memset(&server, 0, sizeof(server));
	memset(&client, 0, sizeof(client));
	server.close_at = client.close_at = -1;
	accepted = 0;
	listener = NULL;
}

void
ends_fini(void)
{
	if (listener != NULL)
		listener_close(listener);
	if (server.conn != NULL)
		conn_close(server.conn);
	if (client.conn != NULL)
		conn_close(client.conn);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

uint64_t
checksum(uint64_t sum, size_t pos, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += (uint64_t)p[i] * (pos + i + 1);
	return sum;
}

void
end_take(struct end *end)
{
	struct conn *c = end->conn;

	if (end->echo)
		conn_send(c, conn_data(c), conn_len(c));
	end->sum = checksum(end->sum, end->bytes, conn_data(c), conn_len(c));
	end->bytes += conn_len(c);
	conn_drop(c, conn_len(c));
}

static void
deadline_cb(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

static void
closed_cb(uv_handle_t *handle)
{
	handle->data = NULL;
}

void
run_until_true(bool (*done)(void), const char *what)
{
	uv_timer_t timer;
	bool late = false;

	uv_timer_init(&loop, &timer);
	timer.data = &late;
	uv_timer_start(&timer, deadline_cb, 5000, 0);
	while (!done() && !late)
		uv_run(&loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, closed_cb);
	while (timer.data != NULL)
		uv_run(&loop, UV_RUN_NOWAIT);
	if (late)
		fail_msg("not within five seconds: %s (server: %s, client: %s)",
		    what, server.text, client.text);
}
