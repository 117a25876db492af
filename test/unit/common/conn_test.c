/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn_test.c - connections over real sockets: order of events, watermarks,
 * closing from every callback.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#include "common/attr.h"
#include "common/conn.h"
#include "test/unit/common/ends.h"

static struct end *more_servers;
static char sock_path[64];

static void
end_cb(struct conn *c, enum conn_event ev, void *arg)
{
	struct end *e = arg;

	assert_ptr_equal(c, e->conn);
	assert_int_equal(e->seen[CONN_EV_CLOSED], 0);
	e->seen[ev]++;
	switch (ev) {
	case CONN_EV_DATA:
		assert_true(conn_len(c) > 0);
		if (e->keep)
			break;
		end_take(e);
		break;
	case CONN_EV_ERROR:
		e->error = conn_error(c);
		break;
	case CONN_EV_CLOSED:
		assert_true(conn_closing(c));
		e->conn = NULL;
		return;
	case CONN_EV_CONNECTED:
		snprintf(e->peer, sizeof(e->peer), "%s", conn_peer(c));
		break;
	case CONN_EV_WRITABLE:
	case CONN_EV_EOF:
		break;
	}
	if (e->close_at == (int)ev) {
		if (e->flush_close)
			conn_close_flush(c);
		else
			conn_close(c);
		conn_close(c);
		assert_int_equal(e->seen[CONN_EV_CLOSED], 0);
		conn_send(c, "ignored", 7);
		conn_resume(c);
	}
}

static void
accept_cb(struct listener *l, struct conn *c, void *arg)
{
	struct end *e = accepted == 0 ? arg : &more_servers[accepted - 1];

	assert_ptr_equal(l, listener);
	accepted++;
	e->conn = c;
	snprintf(e->peer, sizeof(e->peer), "%s", conn_peer(c));
	conn_set_cb(c, end_cb, e);
}

static int
setup(void **state)
{
	(void)state;
	ends_init();
	more_servers = NULL;
	snprintf(sock_path, sizeof(sock_path), "/tmp/hopyard-conn-%d.sock",
	    (int)getpid());
	return 0;
}

static int
teardown(void **state)
{
	char lock[80];

	(void)state;
	ends_fini();
	snprintf(lock, sizeof(lock), "%s.lock", sock_path);
	unlink(lock);
	free(more_servers);
	return 0;
}

static void
start(const char *address, const struct conn_opts *server_opts,
    const struct conn_opts *client_opts)
{
	assert_int_equal(listener_open(&loop, address, 0660, 0, server_opts,
			     accept_cb, &server, &listener),
	    0);
	client.conn = conn_connect(
	    &loop, listener_address(listener), client_opts, end_cb, &client);
	assert_non_null(client.conn);
}

static bool
connected(void)
{
	return client.seen[CONN_EV_CONNECTED] == 1 && server.conn != NULL;
}

static bool
both_closed(void)
{
	return client.conn == NULL && server.conn == NULL;
}

static bool
client_closed(void)
{
	return client.conn == NULL;
}

static bool
client_failed(void)
{
	return client.seen[CONN_EV_ERROR] > 0;
}

static size_t want_client_bytes, want_server_bytes;

static bool
bytes_arrived(void)
{
	return client.bytes >= want_client_bytes &&
	    server.bytes >= want_server_bytes;
}

/* ------------------------------------------------------------------ tests */

static void
echo_once(const char *address)
{
	pid_t pid;
	uid_t uid;

	start(address, NULL, NULL);
	/* Before it is connected: kept. */
	conn_send(client.conn, "hello ", 6);
	server.echo = true;
	RUN_UNTIL(connected);
	conn_send(client.conn, "wor", 3);
	memcpy(conn_reserve(client.conn, 10), "ld", 2);
	conn_commit(client.conn, 2);
	want_client_bytes = want_server_bytes = 11;
	RUN_UNTIL(bytes_arrived);
	assert_int_equal(client.bytes, 11);
	assert_int_equal(
	    client.sum, checksum(0, 0, (const uint8_t *)"hello world", 11));
	if (*address == '/') {
		assert_true(conn_peer_cred(server.conn, &pid, &uid));
		assert_int_equal(pid, getpid());
		assert_int_equal(uid, getuid());
		assert_memory_equal(server.peer, "unix:pid=", 9);
	} else {
		assert_false(conn_peer_cred(server.conn, &pid, &uid));
	}
	client.close_at = -1;
	conn_close(client.conn);
	server.close_at = CONN_EV_EOF;
	RUN_UNTIL(both_closed);
	assert_int_equal(client.seen[CONN_EV_CLOSED], 1);
	assert_int_equal(server.seen[CONN_EV_CLOSED], 1);
	assert_int_equal(server.seen[CONN_EV_EOF], 1);
}

static void
echo_unix(void **state)
{
	struct stat st;

	(void)state;
	echo_once(sock_path);
	assert_int_equal(stat(sock_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	listener_close(listener);
	listener = NULL;
	assert_int_not_equal(stat(sock_path, &st), 0);
}

static void
echo_tcp(void **state)
{
	(void)state;
	echo_once("127.0.0.1:0");
	assert_memory_equal(server.peer, "127.0.0.1:", 10);
	assert_string_equal(client.peer, listener_address(listener));
}

static void
connect_by_name(void **state)
{
	char address[40];

	(void)state;
	assert_int_equal(listener_open(&loop, ":0", 0, 0, NULL, accept_cb,
			     &server, &listener),
	    0);
	snprintf(address, sizeof(address), "localhost%s",
	    strrchr(listener_address(listener), ':'));
	client.conn = conn_connect(&loop, address, NULL, end_cb, &client);
	RUN_UNTIL(connected);
}

/* All names of "localhost" refuse: each is tried, one error is told. */
static void
connect_refused(void **state)
{
	static const char *const addresses[] = { "127.0.0.1:1", "localhost:1",
		"[::1]:1", "/tmp/hopyard-no-such-socket" };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(addresses); i++) {
		memset(&client, 0, sizeof(client));
		client.close_at = CONN_EV_ERROR;
		client.conn =
		    conn_connect(&loop, addresses[i], NULL, end_cb, &client);
		conn_send(client.conn, "x", 1);
		RUN_UNTIL(client_closed);
		assert_int_equal(client.seen[CONN_EV_ERROR], 1);
		assert_int_equal(client.seen[CONN_EV_CONNECTED], 0);
		assert_true(client.error < 0);
	}
}

static void
close_while_connecting(void **state)
{
	static const char *const addresses[] = { "127.0.0.1:1", "localhost:1",
		"no-such-name.invalid:1", "/tmp/hopyard-no-such-socket" };
	int turns;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(addresses); i++) {
		for (turns = 0; turns < 4; turns++) {
			memset(&client, 0, sizeof(client));
			client.close_at = -1;
			client.conn = conn_connect(
			    &loop, addresses[i], NULL, end_cb, &client);
			for (int n = 0; n < turns; n++)
				uv_run(&loop, UV_RUN_NOWAIT);
			conn_close(client.conn);
			assert_int_equal(client.seen[CONN_EV_CLOSED], 0);
			RUN_UNTIL(client_closed);
		}
	}
	for (i = 0; i < 20; i++) /* a look-up may still come back */
		uv_run(&loop, UV_RUN_NOWAIT);
}

static void
bad_addresses(void **state)
{
	static const char *const bad[] = { "", "x", "host", "host:", "host:x",
		"host:65536", "host:123456", "::1:80", "[::1]", "[::1:80",
		"[]:80", "a b:80", "unix:",
		"/tmp/a-path-that-is-much-too-long-for-a-unix-socket-address-"
		"which-ends-after-one-hundred-and-seven-bytes-as-we-know" };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		assert_null(conn_connect(&loop, bad[i], NULL, end_cb, &client));
		assert_true(listener_open(&loop, bad[i], 0600, 0, NULL,
				accept_cb, &server, &listener) < 0);
	}
	assert_int_equal(listener_open(&loop, bad[ARRAY_LEN(bad) - 1], 0600, 0,
			     NULL, accept_cb, &server, &listener),
	    UV_ENAMETOOLONG);
	listener = NULL;
}

/* 16 MiB against a reader that does not read at first. */
static void
slow_reader(void **state)
{
	struct conn_opts opts = { .high = 100000, .low = 50000 };
	uint8_t *block = malloc(1 << 20);
	uint64_t sum = 0;
	size_t sent = 0, i;

	(void)state;
	for (i = 0; i < 1 << 20; i++)
		block[i] = (uint8_t)(i * 31 >> 2);
	start("127.0.0.1:0", NULL, &opts);
	RUN_UNTIL(connected);
	conn_pause(server.conn);
	for (i = 0; i < 50; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	while (!conn_above_high(client.conn) && sent < 64 << 20) {
		conn_send(client.conn, block, 1 << 20);
		sum = checksum(sum, sent, block, 1 << 20);
		sent += 1 << 20;
		client.seen[CONN_EV_WRITABLE] = 0;
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	assert_true(conn_above_high(client.conn));
	assert_true(conn_unsent(client.conn) > 50000);
	assert_int_equal(client.seen[CONN_EV_WRITABLE], 0);
	conn_resume(server.conn);
	want_client_bytes = 0;
	want_server_bytes = sent;
	RUN_UNTIL(bytes_arrived);
	assert_int_equal(server.bytes, sent);
	assert_int_equal(server.sum, sum);
	assert_int_equal(client.seen[CONN_EV_WRITABLE], 1);
	assert_false(conn_above_high(client.conn));
	assert_int_equal(conn_unsent(client.conn), 0);
	free(block);
}

/* Above the high watermark an end stops reading, unless it says otherwise. */
static void
reading_stops(void **state)
{
	struct conn_opts opts = { .high = 100000, .low = 50000 };
	static uint8_t block[4 << 20];
	int i, always;

	(void)state;
	for (always = 0; always <= 1; always++) {
		memset(&client, 0, sizeof(client));
		memset(&server, 0, sizeof(server));
		client.close_at = server.close_at = -1;
		accepted = 0;
		opts.read_always = always;
		start(sock_path, NULL, &opts);
		RUN_UNTIL(connected);
		conn_pause(server.conn);
		conn_send(client.conn, block, sizeof(block));
		conn_send(server.conn, "data", 4);
		for (i = 0; i < 50; i++)
			uv_run(&loop, UV_RUN_NOWAIT);
		assert_true(conn_above_high(client.conn));
		assert_int_equal(client.bytes, always ? 4 : 0);
		conn_resume(server.conn);
		want_client_bytes = 4;
		want_server_bytes = sizeof(block);
		RUN_UNTIL(bytes_arrived);
		conn_close(client.conn);
		conn_close(server.conn);
		RUN_UNTIL(both_closed);
		listener_close(listener);
		listener = NULL;
	}
}

/* A peer that never reads is cut off at last. */
static void
hard_limit(void **state)
{
	struct conn_opts opts = { .high = 10000, .low = 5000 };
	static uint8_t block[100000];
	int i;

	(void)state;
	start(sock_path, NULL, &opts);
	RUN_UNTIL(connected);
	conn_pause(server.conn);
	client.close_at = CONN_EV_ERROR;
	for (i = 0; i < 20 && client.conn != NULL; i++) {
		conn_send(client.conn, block, sizeof(block));
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	RUN_UNTIL(client_closed);
	assert_int_equal(client.error, UV_ENOBUFS);
}

/* The limit can be another one than 64 times high. */
static void
hard_limit_of_its_own(void **state)
{
	struct conn_opts opts = { .high = 10000, .low = 5000, .hard = 60000 };
	static uint8_t block[50000];

	(void)state;
	start(sock_path, NULL, &opts);
	RUN_UNTIL(connected);
	client.close_at = CONN_EV_ERROR;
	conn_send(client.conn, block, sizeof(block));
	assert_true(conn_above_high(client.conn));
	assert_int_equal(conn_error(client.conn), 0);
	/* In the same turn: nothing has left yet. */
	conn_send(client.conn, block, sizeof(block));
	RUN_UNTIL(client_closed);
	assert_int_equal(client.error, UV_ENOBUFS);
}

static bool
server_has_1000(void)
{
	return server.conn != NULL && conn_len(server.conn) == 1000;
}

static bool
server_has_90000(void)
{
	return server.conn != NULL && conn_len(server.conn) == 90000;
}

/* What is kept is whole, and more can come. */
static void
shrink(void **state)
{
	static uint8_t block[90000];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 7 + i / 256);
	start("127.0.0.1:0", NULL, NULL);
	server.keep = true;
	RUN_UNTIL(connected);
	conn_send(client.conn, block, 1000);
	RUN_UNTIL(server_has_1000);
	conn_shrink(server.conn);
	conn_shrink(server.conn);
	assert_int_equal(conn_len(server.conn), 1000);
	assert_memory_equal(conn_data(server.conn), block, 1000);
	conn_send(client.conn, block + 1000, sizeof(block) - 1000);
	RUN_UNTIL(server_has_90000);
	assert_memory_equal(conn_data(server.conn), block, sizeof(block));
	conn_shrink(server.conn); /* too much: stays as it is */
	assert_memory_equal(conn_data(server.conn), block, sizeof(block));
	conn_drop(server.conn, sizeof(block));
	conn_shrink(server.conn); /* nothing there */
	assert_int_equal(conn_len(server.conn), 0);
}

static bool
server_has_read_max(void)
{
	return server.conn != NULL && conn_len(server.conn) >= 100000;
}

static void
read_limit_and_resume(void **state)
{
	struct conn_opts opts = { .read_max = 100000 };
	static uint8_t block[4 << 20];
	unsigned events;
	size_t len;
	int i;

	(void)state;
	memset(block, 7, sizeof(block));
	start("127.0.0.1:0", &opts, NULL);
	server.keep = true;
	RUN_UNTIL(connected);
	conn_send(client.conn, block, sizeof(block));
	RUN_UNTIL(server_has_read_max);
	len = conn_len(server.conn);
	for (i = 0; i < 50; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(conn_len(server.conn), len);
	assert_true(len < 400000);
	assert_int_equal(conn_data(server.conn)[len - 1], 7);

	/* Paused: nothing; resumed: told again of what is there. */
	conn_pause(server.conn);
	events = server.seen[CONN_EV_DATA];
	for (i = 0; i < 5; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(server.seen[CONN_EV_DATA], events);
	server.keep = false;
	conn_resume(server.conn);
	assert_int_equal(server.seen[CONN_EV_DATA], events);
	want_client_bytes = 0;
	want_server_bytes = sizeof(block);
	RUN_UNTIL(bytes_arrived);
	assert_int_equal(server.bytes, sizeof(block));
}

/* Sends of one turn leave in one write: the reader sees one piece. */
static void
one_write_per_turn(void **state)
{
	int i;

	(void)state;
	start(sock_path, NULL, NULL);
	RUN_UNTIL(connected);
	for (i = 0; i < 1000; i++)
		conn_send(client.conn, "0123456789", 10);
	want_client_bytes = 0;
	want_server_bytes = 10000;
	RUN_UNTIL(bytes_arrived);
	assert_int_equal(server.seen[CONN_EV_DATA], 1);
}

static void
close_in_every_callback(void **state)
{
	static const struct conn_opts opts = { .high = 10000, .low = 5000 };
	static uint8_t block[300000];
	int ev, flush, tcp;

	(void)state;
	for (ev = 0; ev < CONN_EV_CLOSED * 4; ev++) {
		flush = ev / CONN_EV_CLOSED % 2;
		tcp = ev / CONN_EV_CLOSED / 2;
		memset(&client, 0, sizeof(client));
		memset(&server, 0, sizeof(server));
		accepted = 0;
		server.close_at = CONN_EV_EOF;
		client.close_at = ev % CONN_EV_CLOSED;
		client.flush_close = flush;
		start(tcp ? "127.0.0.1:0" : sock_path, NULL, &opts);
		if (client.close_at == CONN_EV_ERROR) {
			conn_close(client.conn);
		} else if (client.close_at != CONN_EV_CONNECTED) {
			RUN_UNTIL(connected);
			conn_send(server.conn, "data", 4);
			if (client.close_at == CONN_EV_EOF)
				conn_close_flush(server.conn);
			else
				conn_send(client.conn, block, sizeof(block));
		}
		/* The server may never have been accepted. */
		RUN_UNTIL(client_closed);
		listener_close(listener);
		listener = NULL;
		if (server.conn != NULL)
			conn_close(server.conn);
		RUN_UNTIL(both_closed);
		assert_int_equal(client.seen[CONN_EV_CLOSED], 1);
	}
}

/* All that was sent arrives, although the peer's own data was never read. */
static void
close_flush(void **state)
{
	static uint8_t block[8 << 20];
	int tcp;

	(void)state;
	for (tcp = 0; tcp <= 1; tcp++) {
		memset(&client, 0, sizeof(client));
		memset(&server, 0, sizeof(server));
		accepted = 0;
		client.close_at = -1;
		server.close_at = CONN_EV_EOF;
		start(tcp ? "127.0.0.1:0" : sock_path, NULL, NULL);
		RUN_UNTIL(connected);
		conn_pause(client.conn);
		conn_send(server.conn, "never read", 10);
		uv_run(&loop, UV_RUN_NOWAIT);
		conn_send(client.conn, block, sizeof(block));
		conn_close_flush(client.conn);
		conn_send(client.conn, "ignored", 7);
		RUN_UNTIL(both_closed);
		assert_int_equal(server.bytes, sizeof(block));
		assert_int_equal(server.seen[CONN_EV_ERROR], 0);
		assert_int_equal(server.seen[CONN_EV_EOF], 1);
		listener_close(listener);
		listener = NULL;
	}
}

static void
write_to_dead_peer(void **state)
{
	int i;

	(void)state;
	start(sock_path, NULL, NULL);
	RUN_UNTIL(connected);
	conn_pause(client.conn); /* so that it does not see the end */
	conn_close(server.conn);
	for (i = 0; i < 5; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	client.close_at = CONN_EV_ERROR;
	conn_send(client.conn, "x", 1);
	RUN_UNTIL(client_closed);
	assert_int_equal(client.error, UV_EPIPE);
	assert_true(client_failed());
}

/* -------------------------------------------------------------- listening */

static void
stale_and_used_paths(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct listener *second = NULL;
	FILE *f;
	int fd;

	(void)state;
	/* A socket that nobody listens on is replaced. */
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", sock_path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(fd);
	assert_int_equal(listener_open(&loop, sock_path, 0600, 0, NULL,
			     accept_cb, &server, &listener),
	    0);
	/* One that is in use is not. */
	assert_int_equal(listener_open(&loop, sock_path, 0600, 0, NULL,
			     accept_cb, &server, &second),
	    UV_EADDRINUSE);
	listener_close(listener);
	/* Nor one of a program that knows nothing of our lock. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(listener_open(&loop, sock_path, 0600, 0, NULL,
			     accept_cb, &server, &listener),
	    UV_EADDRINUSE);
	close(fd);
	unlink(sock_path);
	/* A file stays what it is. */
	f = fopen(sock_path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(listener_open(&loop, sock_path, 0600, 0, NULL,
			     accept_cb, &server, &listener),
	    UV_EEXIST);
	unlink(sock_path);
	listener = NULL;
}

static void
who_has_the_port(void **state)
{
	struct listener *second = NULL;
	char who[100], want[40];

	(void)state;
	assert_int_equal(listener_open(&loop, "127.0.0.1:0", 0, 0, NULL,
			     accept_cb, &server, &listener),
	    0);
	assert_int_equal(listener_open(&loop, listener_address(listener), 0, 0,
			     NULL, accept_cb, &server, &second),
	    UV_EADDRINUSE);
	listener_who(listener_address(listener), who, sizeof(who));
	snprintf(want, sizeof(want), "(pid %d)", (int)getpid());
	assert_non_null(strstr(who, want));
	assert_string_equal(
	    listener_who("127.0.0.1:1", who, sizeof(who)), "another process");
}

static unsigned want_accepted;

static bool
have_accepted(void)
{
	return accepted == want_accepted;
}

static void
max_connections(void **state)
{
	struct end clients[3];
	size_t i;

	(void)state;
	more_servers = calloc(3, sizeof(*more_servers));
	for (i = 0; i < 3; i++)
		more_servers[i].close_at = CONN_EV_EOF;
	server.close_at = CONN_EV_EOF;
	assert_int_equal(listener_open(&loop, "127.0.0.1:0", 0, 2, NULL,
			     accept_cb, &server, &listener),
	    0);
	memset(clients, 0, sizeof(clients));
	for (i = 0; i < 3; i++) {
		clients[i].close_at = -1;
		clients[i].conn = conn_connect(&loop,
		    listener_address(listener), NULL, end_cb, &clients[i]);
	}
	want_accepted = 2;
	RUN_UNTIL(have_accepted);
	for (i = 0; i < 50; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(accepted, 2);
	conn_close(clients[0].conn);
	want_accepted = 3;
	RUN_UNTIL(have_accepted);
	/* The listener may go before what it accepted. */
	listener_close(listener);
	listener = NULL;
	conn_close(clients[1].conn);
	conn_close(clients[2].conn);
	for (i = 0; i < 50; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	for (i = 0; i < 2; i++)
		assert_null(more_servers[i].conn);
}

static void
out_of_descriptors(void **state)
{
	struct rlimit old, low;
	int fd;

	(void)state;
	start("127.0.0.1:0", NULL, NULL);
	/* The client has its descriptor already; accept() finds none. */
	uv_run(&loop, UV_RUN_NOWAIT);
	if (accepted > 0)
		return; /* too fast to be tested */
	getrlimit(RLIMIT_NOFILE, &old);
	fd = dup(0);
	low = old;
	low.rlim_cur = (rlim_t)fd;
	close(fd);
	setrlimit(RLIMIT_NOFILE, &low);
	for (int i = 0; i < 20; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(accepted, 0);
	setrlimit(RLIMIT_NOFILE, &old);
	RUN_UNTIL(connected);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(echo_unix),
		TEST(echo_tcp),
		TEST(connect_by_name),
		TEST(connect_refused),
		TEST(close_while_connecting),
		TEST(bad_addresses),
		TEST(slow_reader),
		TEST(reading_stops),
		TEST(hard_limit),
		TEST(hard_limit_of_its_own),
		TEST(shrink),
		TEST(read_limit_and_resume),
		TEST(one_write_per_turn),
		TEST(close_in_every_callback),
		TEST(close_flush),
		TEST(write_to_dead_peer),
		TEST(stale_and_used_paths),
		TEST(who_has_the_port),
		TEST(max_connections),
		TEST(out_of_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
