/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn.c - one stream connection, in the clear or over TLS.
 *
 * Buffers: `in` is only there while it has content; an empty one becomes
 * the spare of the next reader, so that 10,000 idle connections cost no memory.
 * `out` collects; what the socket does not take at once moves with its memory
 * to `flying`, which libuv reads from until conn_write_cb().
 *
 * With TLS the octets of the wire are read into memory of all connections and
 * decrypted into `in` at once; `out` is encrypted when it is written, so what
 * waits for a slow peer is mostly still plain.
 *
 * Reading is in conn_read_cb(), writing in conn_flush(), and nowhere else.
 */
#include "common/conn.h"

#include <sys/socket.h>

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/accept.h"
#include "common/address.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/crash.h"
#include "common/dial.h"
#include "common/tls.h"
#include "common/turn.h"
#include "common/xalloc.h"

#define CONN_CHUNK       (128 * 1024) /* memory of an empty read buffer */
#define CONN_READ_MIN    (64 * 1024)  /* least room for a read */
#define CONN_READ_MAX    (320 * 1024) /* a whole frame and some more */
#define CONN_HIGH        (1024 * 1024)
#define CONN_LOW         (256 * 1024)
#define CONN_HARD_FACTOR 64          /* times high: the peer does not read */
#define CONN_KEEP        (64 * 1024) /* write memory that is always kept */
#define CONN_OUTS        256
#define CONN_OUT_MAX     4096 /* larger ones stay where they are */
#define CONN_FLUSH_MS    5000
#define CONN_LINGER_MS   1000
#define CONN_SHAKE_MS    10000 /* for a TLS handshake */
#define CONN_DEAD_MS     13000 /* what was sent is not acknowledged */
#define CONN_CIPHER      (64 * 1024)
#define CONN_SEAL        (256 * 1024) /* encrypted ahead of the socket */

enum conn_state {
	CONN_CONNECTING = 0, /* looking up or connecting; sends are collected */
	CONN_SHAKING, /* TLS handshake; sends are collected, `in` is not decrypted */
	CONN_OPEN,
	CONN_FAILED, /* ERROR has been or will be told; only a close follows */
	CONN_FLUSHING, /* conn_close_flush(): writing the rest, deaf */
	CONN_LINGERING, /* all written and shut down, waiting for the peer's end */
	CONN_CLOSING, /* uv_close() called; CLOSED follows */
};

struct conn {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} u;
	enum conn_state state; /* written only by conn_enter_state() */
	bool is_unix;
	bool read_always;
	bool paused;
	bool yielded;
	bool reading; /* uv_read_start() is in effect */
	bool eof;
	bool ended; /* the peer has sent close_notify; `eof` may come later */
	bool above_high; /* WRITABLE is owed */
	bool in_flight;  /* libuv reads from `flying` */
	bool has_timer;
	unsigned handles; /* not yet closed by libuv */
	uv_os_fd_t fd;    /* -1: not connected yet */
	int error;

	conn_cb *cb;
	void *arg;
	struct listener *listener; /* NULL for outgoing ones */
	uv_loop_t *loop;
	struct turn *turn;
	struct turn_task wake;  /* owes an event, not from inside a call */
	struct turn_task dirty; /* something to write */
	struct turn_task later; /* yielded */

	struct buf in, out, flying;
	struct tls *tls; /* NULL: in the clear */
	uint64_t greet_ms;
	size_t read_max, high, low, hard;
	uint64_t last_read;

	uv_write_t write;
	uv_timer_t timer;
	struct dial *dial; /* NULL: accepted, or not begun */

	pid_t peer_pid;
	uid_t peer_uid;
	char peer[80];
};

static struct buf conn_spare; /* memory of an empty read buffer, or none */
/* Memory of empty write buffers: what is sent next is put where something was
 * sent from just now, and not where this connection did so long ago. */
static struct buf conn_outs[CONN_OUTS];
static unsigned conn_out_count;
/* Between alloc and read callback: what came over TLS, and how much it was (0:
 * nothing, UV_EOF, or an error). */
static uint8_t conn_cipher[CONN_CIPHER];
static ssize_t conn_got;

static void conn_enter_state(struct conn *, enum conn_state);
static void conn_fail(struct conn *, int);
static void conn_on_ended(struct conn *);
static void conn_on_records(struct conn *, const uint8_t *, size_t);
static void conn_say_bye(struct conn *);
static void conn_update_reading(struct conn *);
static turn_cb conn_on_wake, conn_on_later, conn_flush;

/* ------------------------------------------------------------ life cycle */

static struct conn *
conn_new(uv_loop_t *loop, bool is_unix, const struct conn_opts *opts)
{
	static const struct conn_opts defaults;
	static bool no_sigpipe;
	struct conn *c;

	/* A peer that is gone is an error code to us, never a signal. */
	if (!no_sigpipe) {
		signal(SIGPIPE, SIG_IGN);
		no_sigpipe = true;
	}

	if (opts == NULL)
		opts = &defaults;
	c = xcalloc(1, sizeof(*c));
	c->loop = loop;
	c->turn = turn_get(loop);
	turn_task_init(&c->wake, c->turn, TURN_WORK, conn_on_wake, c);
	turn_task_init(&c->dirty, c->turn, TURN_WRITE, conn_flush, c);
	turn_task_init(&c->later, c->turn, TURN_LATER, conn_on_later, c);
	c->is_unix = is_unix;
	c->read_max = opts->read_max > 0 ? opts->read_max : CONN_READ_MAX;
	c->high = opts->high > 0 ? opts->high : CONN_HIGH;
	c->low = opts->low > 0 ? opts->low : CONN_LOW;
	if (c->low > c->high)
		c->low = c->high;
	c->hard = opts->hard > 0 ? opts->hard : c->high * CONN_HARD_FACTOR;
	c->read_always = opts->read_always;
	c->greet_ms = opts->greet_ms > 0 ? opts->greet_ms : CONN_SHAKE_MS;
	c->last_read = clock_mono_us();
	if (is_unix)
		uv_pipe_init(loop, &c->u.pipe, 0);
	else
		uv_tcp_init(loop, &c->u.tcp);
	c->u.handle.data = c;
	c->handles = 1;
	c->fd = -1;
	return c;
}

static void
conn_free(struct conn *c)
{
	struct listener *listener = c->listener;
	struct turn *turn = c->turn;

	assert(!c->wake.queued && !c->dirty.queued && !c->in_flight);
	dial_free(c->dial);
	buf_fini(&c->in);
	buf_fini(&c->out);
	buf_fini(&c->flying);
	tls_free(c->tls);
	free(c);
	turn_put(turn);
	if (listener != NULL)
		listener_on_gone(listener);
}

static void
conn_close_cb(uv_handle_t *handle)
{
	struct conn *c = handle->data;

	if (--c->handles > 0)
		return;
	assert(c->state == CONN_CLOSING);
	c->cb(c, CONN_EV_CLOSED, c->arg);
	conn_free(c);
}

bool
conn_get_address(const struct conn *c, struct sockaddr_storage *ss)
{
	int n = sizeof(*ss);

	memset(ss, 0, sizeof(*ss));
	return !c->is_unix &&
	    uv_tcp_getpeername(&c->u.tcp, (struct sockaddr *)ss, &n) == 0;
}

void
conn_set_peer(struct conn *c, const struct sockaddr_storage *ss)
{
	char host[INET6_ADDRSTRLEN];

	if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 =
		    (const struct sockaddr_in6 *)ss;

		uv_ip6_name(in6, host, sizeof(host));
		if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
			snprintf(c->peer, sizeof(c->peer), "%s:%u", host + 7,
			    ntohs(in6->sin6_port));
		else
			snprintf(c->peer, sizeof(c->peer), "[%s]:%u", host,
			    ntohs(in6->sin6_port));
	} else if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in4 = (const struct sockaddr_in *)ss;

		uv_ip4_name(in4, host, sizeof(host));
		snprintf(c->peer, sizeof(c->peer), "%s:%u", host,
		    ntohs(in4->sin_port));
	}
}

/*
 * A peer that is gone without a word, with something of ours on its way: the
 * kernel would try for a quarter of an hour.  Idle ones are for the protocol
 * above to find.  A peer whose window stays closed ends likewise.
 */
static void
conn_limit_silence(struct conn *c)
{
	static const unsigned dead_ms = CONN_DEAD_MS;

	setsockopt(
	    c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof(dead_ms));
}

/* Starts writing and reading on a stream that is connected. */
static void
conn_opened(struct conn *c)
{
	struct sockaddr_storage ss;
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (uv_fileno(&c->u.handle, &c->fd) != 0)
		c->fd = -1; /* each use of it tells */
	if (c->is_unix) {
		if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ==
		    0) {
			c->peer_pid = cred.pid;
			c->peer_uid = cred.uid;
		}
		snprintf(
		    c->peer, sizeof(c->peer), "unix:pid=%d", (int)c->peer_pid);
		return;
	}
	uv_tcp_nodelay(&c->u.tcp, 1);
	conn_limit_silence(c);
	if (conn_get_address(c, &ss))
		conn_set_peer(c, &ss);
}

struct conn *
conn_accept(uv_loop_t *loop, int fd, bool is_unix, const struct conn_opts *opts,
    struct listener *listener)
{
	struct conn *c;
	int rc;

	c = conn_new(loop, is_unix, opts);
	rc =
	    is_unix ? uv_pipe_open(&c->u.pipe, fd) : uv_tcp_open(&c->u.tcp, fd);
	c->listener = listener;
	conn_enter_state(c, CONN_OPEN);
	if (rc != 0) {
		/* The owner learns it like any other failure. */
		close(fd);
		c->error = rc;
		conn_enter_state(c, CONN_FAILED);
		return c;
	}
	conn_opened(c);
	conn_update_reading(c);
	return c;
}

static void
conn_timer_cb(uv_timer_t *timer)
{
	struct conn *c = CONTAINER_OF(timer, struct conn, timer);

	if (c->state == CONN_SHAKING)
		tls_fail(c->tls, "the handshake was not finished in time");
	/* Who flushes or lingers has nobody to tell; conn_fail() closes. */
	conn_fail(c, UV_ETIMEDOUT);
}

void
conn_set_deadline(struct conn *c, uint64_t ms)
{
	if (!c->has_timer) {
		uv_timer_init(c->loop, &c->timer);
		c->timer.data = c;
		c->has_timer = true;
		c->handles++;
	}
	if (ms > 0)
		uv_timer_start(&c->timer, conn_timer_cb, ms, 0);
	else
		uv_timer_stop(&c->timer);
}

static void
conn_enter_state(struct conn *c, enum conn_state next)
{
	assert(c->state != CONN_CLOSING);
	if (next == CONN_CLOSING)
		conn_say_bye(c);
	c->state = next;

	switch (next) {
	case CONN_CONNECTING:
		break;
	case CONN_SHAKING:
		conn_set_deadline(c, c->greet_ms);
		conn_update_reading(c);
		turn_add(&c->wake); /* begins it */
		break;
	case CONN_OPEN:
		if (c->has_timer)
			conn_set_deadline(c, 0);
		break;
	case CONN_FAILED:
		conn_update_reading(c);
		turn_add(&c->wake);
		break;
	case CONN_FLUSHING:
		conn_set_deadline(c, CONN_FLUSH_MS);
		conn_update_reading(c);
		turn_add(&c->dirty);
		break;
	case CONN_LINGERING:
		conn_set_deadline(c, CONN_LINGER_MS);
		buf_clear(&c->in);
		conn_update_reading(c);
		break;
	case CONN_CLOSING:
		turn_remove(&c->wake);
		turn_remove(&c->dirty);
		turn_remove(&c->later);
		if (c->has_timer)
			uv_close((uv_handle_t *)&c->timer, conn_close_cb);
		if (c->dial != NULL)
			dial_close(c->dial, conn_close_cb);
		else
			uv_close(&c->u.handle, conn_close_cb);
		break;
	}
}

void
conn_close(struct conn *c)
{
	if (c->state != CONN_CLOSING)
		conn_enter_state(c, CONN_CLOSING);
}

void
conn_close_flush(struct conn *c)
{
	switch (c->state) {
	case CONN_OPEN:
		conn_enter_state(c, CONN_FLUSHING);
		break;
	case CONN_FAILED:
		/* The alert has left.  What the peer is just saying would reset
		 * the connection, and the peer might never read it. */
		if (c->error == UV_EPROTO && c->tls != NULL && !c->in_flight &&
		    shutdown(c->fd, SHUT_WR) == 0)
			conn_enter_state(c, CONN_LINGERING);
		else
			conn_close(c);
		break;
	case CONN_CONNECTING:
	case CONN_SHAKING:
		conn_close(c);
		break;
	case CONN_FLUSHING:
	case CONN_LINGERING:
	case CONN_CLOSING:
		break;
	}
}

bool
conn_closing(const struct conn *c)
{
	return c->state >= CONN_FLUSHING;
}

/* The owner is told from the loop; here it may be in the middle of anything. */
static void
conn_fail(struct conn *c, int error)
{
	if (c->state == CONN_SHAKING)
		tls_fail(c->tls, uv_strerror(error)); /* unless it has said */
	switch (c->state) {
	case CONN_CONNECTING:
	case CONN_SHAKING:
	case CONN_OPEN:
		c->error = error;
		conn_enter_state(c, CONN_FAILED);
		break;
	case CONN_FLUSHING:
	case CONN_LINGERING:
		conn_close(c);
		break;
	case CONN_FAILED:
	case CONN_CLOSING:
		break;
	}
}

static void
conn_on_wake(void *arg)
{
	struct conn *c = arg;
	struct buf early;

	switch (c->state) {
	case CONN_FAILED:
		c->cb(c, CONN_EV_ERROR, c->arg);
		break;
	case CONN_OPEN:
		if (!c->paused && buf_len(&c->in) > 0)
			c->cb(c, CONN_EV_DATA, c->arg);
		if (c->ended)
			conn_on_ended(c);
		break;
	case CONN_SHAKING:
		early = c->in; /* what came with the PROXY header */
		buf_init(&c->in);
		conn_on_records(c, buf_data(&early), buf_len(&early));
		buf_fini(&early);
		conn_update_reading(c);
		break;
	case CONN_CONNECTING:
	case CONN_FLUSHING:
	case CONN_LINGERING:
	case CONN_CLOSING:
		break;
	}
}

/* ------------------------------------------------------------ connecting */

static void
conn_connected(struct conn *c)
{
	conn_enter_state(c, CONN_OPEN);
	conn_update_reading(c);
	if (buf_len(&c->out) > 0)
		turn_add(&c->dirty);
	if (c->listener == NULL)
		c->cb(c, CONN_EV_CONNECTED, c->arg);
}

static void
conn_on_dialled(int status, void *arg)
{
	struct conn *c = arg;

	if (c->state != CONN_CONNECTING)
		return;
	if (status != 0) {
		conn_fail(c, status);
		return;
	}
	conn_opened(c);
	if (c->tls != NULL)
		conn_enter_state(c, CONN_SHAKING);
	else
		conn_connected(c);
}

struct conn *
conn_connect(uv_loop_t *loop, const char *address, const struct conn_opts *opts,
    conn_cb *cb, void *arg)
{
	struct sockaddr_storage local = { .ss_family = AF_UNSPEC };
	struct address a;
	struct conn *c;

	if (address_parse(&a, address) != 0)
		return NULL;
	if (opts != NULL && opts->local != NULL &&
	    !dial_parse_numeric(opts->local, 0, &local))
		return NULL;
	if (a.kind == ADDRESS_TCP && a.host[0] == '\0')
		snprintf(a.host, sizeof(a.host), "127.0.0.1");
	c = conn_new(loop, a.kind == ADDRESS_UNIX, opts);
	c->cb = cb;
	c->arg = arg;
	if (opts != NULL && opts->tls != NULL)
		c->tls = tls_new(
		    opts->tls, a.kind == ADDRESS_UNIX ? "localhost" : a.host);
	snprintf(c->peer, sizeof(c->peer), "%s", address);
	c->dial = dial_start(&c->u.stream, &a, &local, conn_on_dialled, c);
	return c;
}

struct conn *
conn_connect_to(uv_loop_t *loop, const struct sockaddr *sa, const char *host,
    const struct conn_opts *opts, conn_cb *cb, void *arg)
{
	struct conn *c = conn_new(loop, false, opts);

	c->cb = cb;
	c->arg = arg;
	if (opts != NULL && opts->tls != NULL)
		c->tls = tls_new(opts->tls, host);
	snprintf(c->peer, sizeof(c->peer), "%s", host);
	c->dial = dial_start_known(&c->u.stream, sa, conn_on_dialled, c);
	return c;
}

/* --------------------------------------------------------------- reading */

static void
conn_give_back(struct conn *c)
{
	if (conn_spare.base == NULL && c->in.cap == CONN_CHUNK) {
		conn_spare = c->in;
		buf_init(&c->in);
	} else {
		buf_fini(&c->in);
	}
}

static void
conn_take_spare(struct conn *c)
{
	if (c->in.base != NULL)
		return;
	if (conn_spare.base != NULL) {
		c->in = conn_spare;
		buf_init(&conn_spare);
	} else {
		c->in.base = xmalloc(CONN_CHUNK);
		c->in.cap = CONN_CHUNK;
	}
}

/* What recv() or send() left in errno, as an error of libuv; 0 when it is no
 * more than "not now". */
static int
conn_errno(void)
{
	return errno == EAGAIN ? 0 : uv_translate_sys_error(errno);
}

/*
 * Reads, and leaves libuv nothing to do: recv() costs a tenth of a small
 * request less than the read() that it would call.  To be given no memory is
 * an UV_ENOBUFS for it, with which it calls conn_read_cb() and goes on.
 */
static void
conn_alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *none)
{
	struct conn *c = handle->data;
	uint8_t *dst = conn_cipher;
	size_t room = sizeof(conn_cipher);

	(void)suggested;
	*none = uv_buf_init(NULL, 0);
	if (c->tls == NULL) {
		conn_take_spare(c);
		dst = buf_reserve(&c->in, CONN_READ_MIN);
		room = c->in.cap - c->in.tail;
	}
	do
		conn_got = recv(c->fd, dst, room, MSG_DONTWAIT);
	while (conn_got < 0 && errno == EINTR);
	/* A Unix peer that closed without reading all is at its end as well:
	 * what it sent has come before that. */
	if (conn_got == 0 ||
	    (conn_got < 0 && c->is_unix && errno == ECONNRESET))
		conn_got = UV_EOF;
	else if (conn_got < 0)
		conn_got = conn_errno();
}

static void
conn_on_eof(struct conn *c)
{
	c->eof = true;
	conn_update_reading(c);
	if (c->state == CONN_SHAKING) {
		tls_fail(c->tls, "the peer closed during the handshake");
		conn_fail(c, UV_ECONNRESET);
	} else if (c->state == CONN_OPEN) {
		c->cb(c, CONN_EV_EOF, c->arg);
	}
}

static void
conn_read_cb(uv_stream_t *stream, ssize_t n, const uv_buf_t *into)
{
	struct conn *c = stream->data;

	(void)into;
	if (n == UV_ENOBUFS)
		n = conn_got; /* conn_alloc_cb() */
	if (n > 0 && c->tls != NULL) {
		c->last_read = clock_turn_us();
		conn_on_records(c, conn_cipher, (size_t)n);
	} else if (n > 0 && c->state == CONN_OPEN) {
		buf_commit(&c->in, (size_t)n);
		c->last_read = clock_turn_us();
		if (buf_len(&c->in) >= c->read_max)
			conn_update_reading(c);
		CRASH_POINT("conn.read");
		c->cb(c, CONN_EV_DATA, c->arg);
	}
	if (buf_len(&c->in) == 0)
		conn_give_back(c);
	if (n >= 0)
		return;
	if (n != UV_EOF || c->state == CONN_LINGERING) {
		conn_fail(c, (int)n);
		return;
	}
	conn_on_eof(c);
}

static bool
conn_wants_reading(const struct conn *c)
{
	switch (c->state) {
	case CONN_OPEN:
		return !c->eof && !c->paused && !c->yielded &&
		    (c->read_always || !c->above_high) &&
		    buf_len(&c->in) < c->read_max;
	case CONN_SHAKING: /* conn_on_wake() takes what is there first */
		return !c->eof && buf_len(&c->in) == 0;
	case CONN_LINGERING:
		return !c->eof;
	case CONN_CONNECTING:
	case CONN_FAILED:
	case CONN_FLUSHING:
	case CONN_CLOSING:
		break;
	}
	return false;
}

static void
conn_update_reading(struct conn *c)
{
	bool want = conn_wants_reading(c);

	if (want == c->reading)
		return;
	c->reading = want;
	if (want)
		uv_read_start(&c->u.stream, conn_alloc_cb, conn_read_cb);
	else
		uv_read_stop(&c->u.stream);
}

const uint8_t *
conn_data(const struct conn *c)
{
	return buf_data(&c->in);
}

size_t
conn_len(const struct conn *c)
{
	return buf_len(&c->in);
}

void
conn_drop(struct conn *c, size_t n)
{
	buf_drop(&c->in, n);
	conn_update_reading(c);
}

void
conn_shrink(struct conn *c)
{
	size_t len = buf_len(&c->in);
	struct buf small;

	if (c->in.cap < CONN_CHUNK || len == 0 || len > CONN_CHUNK / 4)
		return;
	buf_init(&small);
	buf_add(&small, buf_data(&c->in), len);
	buf_clear(&c->in);
	conn_give_back(c);
	c->in = small;
}

void
conn_pause(struct conn *c)
{
	c->paused = true;
	conn_update_reading(c);
}

void
conn_resume(struct conn *c)
{
	if (!c->paused)
		return;
	c->paused = false;
	conn_update_reading(c);
	if (c->state == CONN_OPEN && (buf_len(&c->in) > 0 || c->ended))
		turn_add(&c->wake);
}

void
conn_yield(struct conn *c)
{
	if (c->state != CONN_OPEN)
		return;
	c->yielded = true;
	conn_update_reading(c);
	turn_add(&c->later);
}

static void
conn_on_later(void *arg)
{
	struct conn *c = arg;

	c->yielded = false;
	if (c->state == CONN_OPEN && !c->paused && buf_len(&c->in) > 0)
		c->cb(c, CONN_EV_DATA, c->arg);
	if (c->state == CONN_OPEN && c->ended)
		conn_on_ended(c);
	conn_update_reading(c);
}

/* --------------------------------------------------------------- writing */

size_t
conn_unsent(const struct conn *c)
{
	return buf_len(&c->out) +
	    (c->tls != NULL ? buf_len(tls_wire(c->tls)) : 0) +
	    (c->in_flight ? c->u.stream.write_queue_size : 0);
}

bool
conn_above_high(const struct conn *c)
{
	return c->above_high;
}

static bool
conn_takes_output(const struct conn *c)
{
	return c->state <= CONN_OPEN;
}

uint8_t *
conn_reserve(struct conn *c, size_t n)
{
	if (c->out.base == NULL && conn_out_count > 0)
		c->out = conn_outs[--conn_out_count];
	return buf_reserve(&c->out, n);
}

/* The write buffer is empty. */
static void
conn_pass_out(struct conn *c)
{
	if (c->out.base == NULL || c->out.cap > CONN_OUT_MAX ||
	    conn_out_count == CONN_OUTS)
		return;
	conn_outs[conn_out_count++] = c->out;
	buf_init(&c->out);
}

/* Something to write has come. */
static void
conn_on_unsent(struct conn *c)
{
	size_t unsent = conn_unsent(c);

	if (unsent <= c->high)
		return;
	if (unsent > c->hard) {
		conn_fail(c, UV_ENOBUFS);
		return;
	}
	if (!c->above_high) {
		c->above_high = true;
		conn_update_reading(c);
	}
}

void
conn_commit(struct conn *c, size_t n)
{
	if (!conn_takes_output(c) || n == 0)
		return;
	buf_commit(&c->out, n);
	if (c->state == CONN_OPEN)
		turn_add(&c->dirty);
	conn_on_unsent(c);
}

void
conn_send(struct conn *c, const void *p, size_t n)
{
	if (!conn_takes_output(c) || n == 0)
		return;
	memcpy(conn_reserve(c, n), p, n);
	conn_commit(c, n);
}

/* Bytes have left: tell who waits for that. */
static void
conn_on_written(struct conn *c)
{
	if (c->state == CONN_FLUSHING && conn_unsent(c) == 0) {
		if (c->tls != NULL && tls_finish(c->tls)) {
			turn_add(&c->dirty); /* its close_notify */
			return;
		}
		/* Closing now could reset the connection, and the peer would
		 * lose what it has not read yet. */
		if (c->is_unix || c->eof || shutdown(c->fd, SHUT_WR) != 0)
			conn_close(c);
		else
			conn_enter_state(c, CONN_LINGERING);
		return;
	}
	if (c->state == CONN_OPEN && c->above_high && conn_unsent(c) < c->low) {
		c->above_high = false;
		conn_update_reading(c);
		c->cb(c, CONN_EV_WRITABLE, c->arg);
	}
}

/* Memory of a burst goes once less than a quarter of it is in use; what is
 * only on its way through keeps none. */
static void
conn_trim(struct buf *b, size_t keep, size_t used)
{
	if (b->cap > keep && (keep == 0 || used < b->cap / 4))
		buf_fini(b);
}

static void conn_fail_tls(struct conn *);

static void
conn_write_cb(uv_write_t *req, int status)
{
	struct conn *c = req->data;
	size_t len;

	c->in_flight = false;
	len = buf_len(&c->flying);
	buf_clear(&c->flying);
	conn_trim(&c->flying, CONN_KEEP, len);
	if (c->state == CONN_CLOSING)
		return;
	if (status != 0) {
		conn_fail(c, status);
		return;
	}
	if (conn_unsent(c) > 0)
		turn_add(&c->dirty);
	conn_on_written(c);
}

/* The bytes for the socket; NULL after a failure. */
static struct buf *
conn_seal(struct conn *c)
{
	size_t len;

	if (!tls_ready(c->tls))
		return tls_wire(c->tls);
	len = buf_len(&c->out);
	if (tls_seal(c->tls, &c->out, CONN_SEAL) != TLS_GOES_ON) {
		conn_fail_tls(c);
		return NULL;
	}
	if (buf_len(&c->out) == 0)
		conn_trim(&c->out, CONN_KEEP, len);
	if (c->state == CONN_FLUSHING && buf_len(&c->out) == 0)
		(void)tls_finish(c->tls);
	return tls_wire(c->tls);
}

/* What the socket takes at once, 0 for nothing, or an error of libuv.  Only
 * with nothing in the hands of libuv: it would be overtaken. */
static ssize_t
conn_write_now(struct conn *c, const uint8_t *p, size_t len)
{
	ssize_t n;

	assert(!c->in_flight);
	do
		n = send(c->fd, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == ENOBUFS ? 0 : conn_errno();
}

static void
conn_flush(void *arg)
{
	struct conn *c = arg;
	struct buf *from = &c->out, rest;
	uv_buf_t b;
	size_t len;
	ssize_t n;

	if (c->state != CONN_OPEN && c->state != CONN_FLUSHING &&
	    c->state != CONN_SHAKING)
		return;
	if (c->in_flight)
		return; /* conn_write_cb() comes back to it */
	if (c->tls != NULL) {
		from = conn_seal(c);
		if (from == NULL)
			return;
	}
	len = buf_len(from);
	if (len > 0) {
		n = conn_write_now(c, buf_data(from), len);
		if (n < 0) {
			conn_fail(c, (int)n);
			return;
		}
		CRASH_POINT("conn.written");
		buf_drop(from, (size_t)n);
		if (buf_len(from) == 0)
			conn_trim(from, c->tls == NULL ? CONN_KEEP : 0, len);
	}
	if (buf_len(from) > 0) {
		rest = c->flying;
		c->flying = *from;
		*from = rest;
		b = uv_buf_init((char *)buf_data(&c->flying),
		    (unsigned)buf_len(&c->flying));
		c->write.data = c;
		c->in_flight = true;
		n = uv_write(&c->write, &c->u.stream, &b, 1, conn_write_cb);
		if (n != 0) {
			c->in_flight = false;
			conn_fail(c, (int)n);
			return;
		}
	} else if (from != &c->out && buf_len(&c->out) > 0 &&
	    c->state != CONN_SHAKING) {
		turn_add(&c->dirty); /* the next piece */
	}
	if (buf_len(&c->out) == 0)
		conn_pass_out(c);
	conn_on_written(c);
}

/* -------------------------------------------------------------------- tls */

/* Once and without waiting: the peer shall know why, or that it is the end. */
static void
conn_try_wire(struct conn *c)
{
	struct buf *wire = tls_wire(c->tls);

	if (c->in_flight || buf_len(wire) == 0)
		return;
	(void)conn_write_now(c, buf_data(wire), buf_len(wire));
	buf_clear(wire);
}

static void
conn_fail_tls(struct conn *c)
{
	conn_try_wire(c);
	conn_fail(c, UV_EPROTO);
}

/* Closing at once: close_notify only after all that came before it. */
static void
conn_say_bye(struct conn *c)
{
	if (c->tls == NULL || c->state != CONN_OPEN || conn_unsent(c) > 0)
		return;
	if (tls_finish(c->tls))
		conn_try_wire(c);
}

/* Who has paused or yielded has not read what came before the end. */
static void
conn_on_ended(struct conn *c)
{
	c->ended = true;
	if (!c->paused && !c->yielded && !c->eof)
		conn_on_eof(c);
}

static void
conn_on_records(struct conn *c, const uint8_t *p, size_t n)
{
	enum tls_progress progress;

	if (c->state != CONN_SHAKING && c->state != CONN_OPEN)
		return;
	conn_take_spare(c);
	progress = tls_open(c->tls, p, n, &c->in);
	if (progress == TLS_FAILED) {
		conn_fail_tls(c);
		return;
	}
	/* Of the handshake, or an answer to a change of keys. */
	if (buf_len(tls_wire(c->tls)) > 0) {
		turn_add(&c->dirty);
		conn_on_unsent(c);
	}
	if (c->state == CONN_SHAKING && tls_ready(c->tls))
		conn_connected(c);
	if (buf_len(&c->in) >= c->read_max)
		conn_update_reading(c);
	if (c->state == CONN_OPEN && !c->paused && buf_len(&c->in) > 0)
		c->cb(c, CONN_EV_DATA, c->arg);
	if (progress == TLS_ENDED)
		conn_on_ended(c);
	if (buf_len(&c->in) == 0)
		conn_give_back(c);
}

void
conn_start_tls(struct conn *c, struct tls_config *config)
{
	if (c->state != CONN_OPEN)
		return; /* it will tell its new owner why */
	c->tls = tls_new(config, NULL);
	conn_enter_state(c, CONN_SHAKING);
}

void
conn_tell_data(struct conn *c)
{
	if (c->state == CONN_OPEN && buf_len(&c->in) > 0)
		turn_add(&c->wake);
}

/* ----------------------------------------------------------------- facts */

void
conn_set_cb(struct conn *c, conn_cb *cb, void *arg)
{
	c->cb = cb;
	c->arg = arg;
}

int
conn_error(const struct conn *c)
{
	return c->error;
}

const char *
conn_error_text(const struct conn *c)
{
	const char *text = c->tls != NULL ? tls_error(c->tls) : NULL;

	return text != NULL ? text : uv_strerror(c->error);
}

bool
conn_handshaking(const struct conn *c)
{
	return c->state == CONN_SHAKING;
}

bool
conn_secure(const struct conn *c)
{
	return c->tls != NULL && tls_ready(c->tls);
}

const char *
conn_show_tls(const struct conn *c, char *dst, size_t cap)
{
	if (conn_secure(c))
		return tls_show(c->tls, dst, cap);
	snprintf(dst, cap, "none");
	return dst;
}

bool
conn_peer_uri(const struct conn *c, const char *scheme, char *dst, size_t cap)
{
	return conn_secure(c) && tls_peer_uri(c->tls, scheme, dst, cap);
}

int64_t
conn_peer_expires(const struct conn *c)
{
	return conn_secure(c) ? tls_peer_expires(c->tls) : 0;
}

bool
conn_peer_fits(const struct conn *c, const struct tls_config *config, char *why,
    size_t cap)
{
	if (conn_secure(c))
		return tls_peer_fits(c->tls, config, why, cap);
	snprintf(why, cap, "there is no certificate to check");
	return false;
}

const char *
conn_peer(const struct conn *c)
{
	return c->peer;
}

bool
conn_peer_cred(const struct conn *c, pid_t *pid, uid_t *uid)
{
	if (!c->is_unix || c->peer_pid == 0)
		return false;
	*pid = c->peer_pid;
	*uid = c->peer_uid;
	return true;
}

uint64_t
conn_last_read(const struct conn *c)
{
	return c->last_read;
}
