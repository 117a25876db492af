/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn_bench.c - what TLS costs: PDU-sized requests and answers over loopback
 * in the clear and over TLS, frames of the bus over its Unix socket and over
 * TLS, handshakes, and the memory of idle connections.
 * Both ends are in this process, so each figure but the last is of two ends.
 *
 *	conn_bench CERT KEY CA
 */
#include <sys/resource.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/conn.h"
#include "common/tls.h"

#define REQUEST  160 /* a submit_sm with some text */
#define ANSWER   33  /* its response, or about an Ack */
#define ITEM     250 /* of a frame: envelope, body and report */
#define FRAMES   20000
#define REQUESTS 200000
#define SHAKES   1000
#define IDLE     1000

enum mode {
	MODE_ECHO = 0, /* requests and answers on one connection */
	MODE_SHAKE,    /* one connection after the other */
	MODE_IDLE,     /* connections that stay */
};

static uv_loop_t loop;
static struct listener *listener;
static struct conn_opts client_opts;
static enum mode mode;
static unsigned window;
static size_t request_size = REQUEST;
static uint8_t request[128 * 1024];
static size_t wanted, connected, answered, gone;

static void dial(void);

static void
server_cb(struct conn *c, enum conn_event ev, void *arg)
{
	static const uint8_t answer[ANSWER];

	(void)arg;
	switch (ev) {
	case CONN_EV_DATA:
		for (; conn_len(c) >= request_size; conn_drop(c, request_size))
			conn_send(c, answer, sizeof(answer));
		break;
	case CONN_EV_EOF:
		conn_close_flush(c);
		break;
	case CONN_EV_ERROR:
		conn_close(c);
		break;
	case CONN_EV_CONNECTED:
	case CONN_EV_WRITABLE:
	case CONN_EV_CLOSED:
		break;
	}
}

static void
accept_cb(struct listener *l, struct conn *c, void *arg)
{
	(void)l;
	conn_set_cb(c, server_cb, arg);
}

static void
client_on_connected(struct conn *c)
{
	unsigned i;

	connected++;
	switch (mode) {
	case MODE_ECHO:
		for (i = 0; i < window; i++)
			conn_send(c, request, request_size);
		break;
	case MODE_SHAKE:
		conn_close_flush(c);
		break;
	case MODE_IDLE:
		if (connected < wanted)
			dial();
		break;
	}
}

static void
client_on_data(struct conn *c)
{
	for (; conn_len(c) >= ANSWER; conn_drop(c, ANSWER))
		if (++answered < wanted)
			conn_send(c, request, request_size);
	if (answered >= wanted) /* more than one may be in this turn */
		conn_close(c);
}

static void
client_cb(struct conn *c, enum conn_event ev, void *arg)
{
	(void)arg;
	switch (ev) {
	case CONN_EV_CONNECTED:
		client_on_connected(c);
		break;
	case CONN_EV_DATA:
		client_on_data(c);
		break;
	case CONN_EV_ERROR:
		(void)fprintf(stderr, "%s\n", conn_error_text(c));
		exit(1);
	case CONN_EV_CLOSED:
		gone++;
		if (mode == MODE_SHAKE && connected < wanted)
			dial();
		break;
	case CONN_EV_WRITABLE:
	case CONN_EV_EOF:
		break;
	}
}

static void
dial(void)
{
	if (conn_connect(&loop, listener_address(listener), &client_opts,
		client_cb, NULL) == NULL)
		abort();
}

static double
cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double
resident_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long size, resident;

	if (f == NULL || fscanf(f, "%ld %ld", &size, &resident) != 2)
		abort();
	(void)fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024;
}

/* CPU microseconds of one request, or of one connection. */
static double
run(enum mode m, size_t n, unsigned in_flight)
{
	double begin = cpu_us();

	mode = m;
	wanted = n;
	window = in_flight;
	connected = answered = gone = 0;
	dial();
	while (gone < (m == MODE_SHAKE ? n : 1))
		uv_run(&loop, UV_RUN_ONCE);
	return (cpu_us() - begin) / (double)n;
}

/* They stay, so it is the last of a listener. */
static double
idle_kib(size_t n)
{
	double before = resident_kib();
	int i;

	mode = MODE_IDLE;
	wanted = n;
	connected = 0;
	dial();
	while (connected < n)
		uv_run(&loop, UV_RUN_ONCE);
	for (i = 0; i < 100; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	return (resident_kib() - before) / (double)n / 2;
}

static void
listen_at(const char *address, struct tls_config *tls)
{
	const struct conn_opts opts = { .tls = tls };

	if (listener_open(&loop, address, 0600, 0, &opts, accept_cb, NULL,
		&listener) != 0)
		abort();
}

static void
listen_with(struct tls_config *tls)
{
	listen_at("127.0.0.1:0", tls);
}

/* Frames with so many items, one after the other and four at a time. */
static void
bench_frames(struct tls_config *server, struct tls_config *client)
{
	static const size_t items[] = { 1, 16, 256 };
	char path[64];
	size_t i, k;

	snprintf(path, sizeof(path), "/tmp/conn_bench.%d", (int)getpid());
	for (i = 0; i < ARRAY_LEN(items); i++) {
		double us[3];

		request_size = 16 + ITEM * items[i];
		for (k = 0; k < ARRAY_LEN(us); k++) {
			client_opts.tls = k == 2 ? client : NULL;
			listen_at(k == 0 ? path : "127.0.0.1:0",
			    k == 2 ? server : NULL);
			us[k] = run(MODE_ECHO, FRAMES, 4);
			listener_close(listener);
		}
		(void)printf("frame of %3zu items: %.2f us CPU by the Unix "
			     "socket, %.2f by TCP, %.2f by TLS (%.2f times, "
			     "%.2f us an item more)\n",
		    items[i], us[0], us[1], us[2], us[2] / us[0],
		    (us[2] - us[0]) / (double)items[i]);
	}
	request_size = REQUEST;
}

int
main(int argc, char **argv)
{
	static const unsigned windows[] = { 1, 10, 100 };
	const struct rlimit files = { 8192, 8192 };
	struct tls_config *server, *client;
	double clear[ARRAY_LEN(windows)], idle, us;
	struct tls_opts server_opts = { 0 }, ca = { 0 };
	struct buf why;
	size_t i;

	if (argc != 4) {
		(void)fprintf(stderr, "usage: conn_bench CERT KEY CA\n");
		return 2;
	}
	server_opts.cert = argv[1];
	server_opts.key = argv[2];
	ca.ca = argv[3];
	buf_init(&why);
	server = tls_server_new(&server_opts, &why);
	client = tls_client_new(&ca, &why);
	if (server == NULL || client == NULL) {
		(void)fprintf(stderr, "%s", buf_str(&why));
		return 1;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	uv_loop_init(&loop);

	bench_frames(server, client);
	client_opts.tls = NULL;
	listen_with(NULL);
	for (i = 0; i < ARRAY_LEN(windows); i++)
		clear[i] = run(MODE_ECHO, REQUESTS, windows[i]);
	idle = idle_kib(IDLE);

	listen_with(server);
	client_opts.tls = client;
	for (i = 0; i < ARRAY_LEN(windows); i++) {
		us = run(MODE_ECHO, REQUESTS, windows[i]);
		(void)printf(
		    "window %3u: %.2f us CPU in the clear, %.2f with TLS "
		    "(%.2f times)\n",
		    windows[i], clear[i], us, us / clear[i]);
	}
	us = run(MODE_SHAKE, SHAKES, 0);
	(void)printf("handshake: %.0f us CPU, %.0f a second on one core\n", us,
	    1e6 / us);
	(void)printf("idle: %.1f KiB an end in the clear, %.1f with TLS\n",
	    idle, idle_kib(IDLE));
	tls_config_unref(server);
	tls_config_unref(client);
	buf_fini(&why);
	return 0;
}
