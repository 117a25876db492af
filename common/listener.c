/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * listener.c - a listening socket.
 *
 * The socket is made here and only polled by libuv: uv_listen() cannot be
 * paused, and uv_pipe_bind() cuts long paths and leaves stale sockets to us.
 *
 * A Unix path is guarded by a flock on "PATH.lock", held as long as the
 * listener lives: whoever has it may remove the socket.  The lock file stays,
 * since removing it would let two processes hold two locks.
 *
 * A connection from a proxy waits here for its PROXY header, before anybody
 * else knows of it; so the owner never sees an address that is not the client's.
 *
 * Lives until it is closed and the last conn it accepted is gone.
 */
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/accept.h"
#include "common/address.h"
#include "common/conn.h"
#include "common/inherited.h"
#include "common/log.h"
#include "common/network.h"
#include "common/queue.h"
#include "common/tls.h"
#include "common/xalloc.h"
#include "proto/proxy.h"

#define LISTENER_BACKLOG  1024
#define LISTENER_PER_TURN 64
#define LISTENER_PAUSE_MS 250
#define LISTENER_PROXY_MS 5000 /* for the PROXY header */

enum listener_state {
	LISTENER_OPEN = 0, /* polling */
	LISTENER_FULL,     /* max conns: until one of them goes */
	LISTENER_STARVED,  /* no descriptors: until the timer fires */
	LISTENER_PAUSED,   /* listener_pause() */
	LISTENER_CLOSED,   /* only waits for libuv and for its conns */
};

/* A connection that still owes its PROXY header. */
struct waiting {
	struct listener *listener;
	struct conn *conn; /* owned */
	TAILQ_ENTRY(waiting) entry;
};

TAILQ_HEAD(waiting_list, waiting);

struct listener {
	uv_loop_t *loop;
	uv_poll_t poll;
	uv_timer_t timer;
	enum listener_state state; /* written only by listener_enter_state() */
	int fd;
	int lock;       /* -1 for TCP, and when it was inherited */
	bool inherited; /* others have it as well, and its path is theirs */
	struct address address;
	char *text;              /* as bound */
	struct conn_opts opts;   /* without what it only borrows */
	struct tls_config *tls;  /* own reference, or NULL */
	struct network *proxies; /* owned */
	size_t n_proxies;
	struct waiting_list waiting;
	unsigned max;
	unsigned open;    /* conns alive */
	unsigned handles; /* not yet closed by libuv */
	listener_cb *cb;
	void *arg;
};

static void listener_poll_cb(uv_poll_t *, int, int);
static void listener_timer_cb(uv_timer_t *);

static void
listener_free(struct listener *l)
{
	tls_config_unref(l->tls);
	free(l->proxies);
	free(l->text);
	free(l);
}

static void
listener_free_if_done(struct listener *l)
{
	if (l->state != LISTENER_CLOSED || l->open > 0 || l->handles > 0)
		return;
	assert(TAILQ_EMPTY(&l->waiting));
	listener_free(l);
}

static void
listener_close_cb(uv_handle_t *handle)
{
	struct listener *l = handle->data;

	l->handles--;
	listener_free_if_done(l);
}

static void
listener_enter_state(struct listener *l, enum listener_state next)
{
	struct waiting *w;

	assert(l->state != LISTENER_CLOSED);
	l->state = next;

	switch (next) {
	case LISTENER_OPEN:
		uv_poll_start(&l->poll, UV_READABLE, listener_poll_cb);
		break;
	case LISTENER_FULL:
	case LISTENER_PAUSED:
		uv_poll_stop(&l->poll);
		break;
	case LISTENER_STARVED:
		uv_poll_stop(&l->poll);
		uv_timer_start(
		    &l->timer, listener_timer_cb, LISTENER_PAUSE_MS, 0);
		break;
	case LISTENER_CLOSED:
		uv_close((uv_handle_t *)&l->poll, listener_close_cb);
		uv_close((uv_handle_t *)&l->timer, listener_close_cb);
		if (l->address.kind == ADDRESS_UNIX && !l->inherited)
			unlink(l->address.path);
		close(l->fd);
		if (l->lock >= 0)
			close(l->lock);
		/* Nobody has seen them, and nobody is there to take them. */
		TAILQ_FOREACH(w, &l->waiting, entry)
			conn_close(w->conn);
		break;
	}
}

static void
listener_timer_cb(uv_timer_t *timer)
{
	struct listener *l = timer->data;

	if (l->state == LISTENER_STARVED)
		listener_enter_state(l, LISTENER_OPEN);
}

/* ----------------------------------------------------------- handing over */

/* To the owner, whose client it is from now on. */
static void
listener_hand_over(struct listener *l, struct conn *c)
{
	if (l->tls != NULL)
		conn_start_tls(c, l->tls);
	l->cb(l, c, l->arg);
}

static void
waiting_end(struct waiting *w, const char *why)
{
	static struct log_limit limit;

	if (log_limit(&limit, 5))
		log_warn("listener.proxy", "address=%s peer=%s reason=%s",
		    w->listener->text, conn_peer(w->conn), why);
	conn_close(w->conn);
}

static void
waiting_free(struct waiting *w)
{
	TAILQ_REMOVE(&w->listener->waiting, w, entry);
	free(w);
}

static void
waiting_set_peer(struct conn *c, const struct proxy *p)
{
	struct sockaddr_storage ss = { .ss_family = AF_UNSPEC };
	struct sockaddr_in *in4 = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;

	switch (p->family) {
	case PROXY_NONE:
		break;
	case PROXY_IPV4:
		in4->sin_family = AF_INET;
		in4->sin_port = htons(p->source_port);
		memcpy(&in4->sin_addr, p->source, 4);
		break;
	case PROXY_IPV6:
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(p->source_port);
		memcpy(&in6->sin6_addr, p->source, 16);
		break;
	}
	conn_set_peer(c, &ss);
}

static void
waiting_on_data(struct waiting *w)
{
	struct listener *l = w->listener;
	struct conn *c = w->conn;
	struct proxy p;
	int n = proxy_decode(&p, conn_data(c), conn_len(c));

	if (n == 0)
		return;
	if (n < 0) {
		waiting_end(w, proxy_error_str(n));
		return;
	}
	waiting_set_peer(c, &p);
	conn_drop(c, (size_t)n);
	conn_set_deadline(c, 0);
	waiting_free(w);
	listener_hand_over(l, c);
	conn_tell_data(c);
}

static void
waiting_conn_cb(struct conn *c, enum conn_event ev, void *arg)
{
	struct waiting *w = arg;

	assert(w->conn == c);
	switch (ev) {
	case CONN_EV_DATA:
		if (!conn_closing(c))
			waiting_on_data(w);
		break;
	case CONN_EV_EOF:
		waiting_end(w, "closed before its PROXY header");
		break;
	case CONN_EV_ERROR:
		waiting_end(w,
		    conn_error(c) == UV_ETIMEDOUT ? "no PROXY header in time"
						  : conn_error_text(c));
		break;
	case CONN_EV_CLOSED:
		waiting_free(w);
		break;
	case CONN_EV_CONNECTED:
	case CONN_EV_WRITABLE:
		break;
	}
}

static bool
listener_is_proxy(const struct listener *l, const struct conn *c)
{
	struct sockaddr_storage ss;
	uint8_t address[16];
	size_t i;

	if (l->n_proxies == 0 || !conn_get_address(c, &ss) ||
	    !network_of_sockaddr(&ss, address))
		return false;
	for (i = 0; i < l->n_proxies; i++)
		if (network_has(&l->proxies[i], address))
			return true;
	return false;
}

static void
listener_wait(struct listener *l, struct conn *c)
{
	struct waiting *w = xcalloc(1, sizeof(*w));

	w->listener = l;
	w->conn = c;
	TAILQ_INSERT_TAIL(&l->waiting, w, entry);
	conn_set_cb(c, waiting_conn_cb, w);
	conn_set_deadline(
	    c, l->opts.greet_ms > 0 ? l->opts.greet_ms : LISTENER_PROXY_MS);
}

/* -------------------------------------------------------------- accepting */

/* True if it is worth another accept() at once. */
static bool
listener_accept(struct listener *l)
{
	static struct log_limit limit;
	struct conn *c;
	int fd;

	if (l->max > 0 && l->open >= l->max) {
		listener_enter_state(l, LISTENER_FULL);
		return false;
	}
	fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		switch (errno) {
		case EINTR:
		case ECONNABORTED:
			return true;
		case EAGAIN:
			return false;
		default: /* EMFILE, ENFILE, ENOBUFS, ENOMEM... */
			if (log_limit(&limit, 1))
				log_warn("listener.starved",
				    "address=%s error=%s pause_ms=%d", l->text,
				    strerror(errno), LISTENER_PAUSE_MS);
			listener_enter_state(l, LISTENER_STARVED);
			return false;
		}
	}
	l->open++;
	c = conn_accept(
	    l->loop, fd, l->address.kind == ADDRESS_UNIX, &l->opts, l);
	if (listener_is_proxy(l, c))
		listener_wait(l, c);
	else
		listener_hand_over(l, c);
	return true;
}

static void
listener_poll_cb(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;
	int i;

	(void)status; /* accept() finds out what is wrong */
	(void)events;
	/* Its callback may close the listener. */
	for (i = 0; i < LISTENER_PER_TURN && l->state == LISTENER_OPEN; i++)
		if (!listener_accept(l))
			break;
}

void
listener_on_gone(struct listener *l)
{
	l->open--;
	if (l->state == LISTENER_FULL)
		listener_enter_state(l, LISTENER_OPEN);
	listener_free_if_done(l);
}

/* ------------------------------------------------------------ unix paths */

/* UV_EADDRINUSE if somebody answers there; else removes what is left over. */
static int
listener_remove_stale(const struct sockaddr_un *sun)
{
	struct stat st;
	int fd, rc;

	if (lstat(sun->sun_path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return UV_EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)sun, sizeof(*sun));
	rc = rc == 0 ? 0 : errno;
	close(fd);
	if (rc != ECONNREFUSED && rc != ENOENT)
		return UV_EADDRINUSE; /* EAGAIN: alive, with a full backlog */
	return unlink(sun->sun_path) == 0 || errno == ENOENT ? 0 : -errno;
}

static int
listener_lock(struct listener *l)
{
	char path[sizeof(l->address.path) + 8];
	int rc;

	snprintf(path, sizeof(path), "%s.lock", l->address.path);
	l->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->lock < 0)
		return -errno;
	if (flock(l->lock, LOCK_EX | LOCK_NB) != 0) {
		rc = errno == EWOULDBLOCK ? UV_EADDRINUSE : -errno;
		return rc;
	}
	return 0;
}

static int
listener_bind_unix(struct listener *l, mode_t mode)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int rc;

	memcpy(sun.sun_path, l->address.path, sizeof(sun.sun_path));
	rc = listener_lock(l);
	if (rc == 0)
		rc = listener_remove_stale(&sun);
	if (rc != 0)
		return rc;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return -errno;
	/* Linux takes the socket's own mode for the file: nobody else can
	 * connect before chmod() has said who may. */
	if (fchmod(l->fd, 0600) != 0 ||
	    bind(l->fd, (const struct sockaddr *)&sun, sizeof(sun)) != 0)
		return -errno;
	if (chmod(sun.sun_path, mode) != 0 ||
	    listen(l->fd, LISTENER_BACKLOG) != 0) {
		rc = -errno;
		unlink(sun.sun_path);
		return rc;
	}
	l->text = xstrdup(l->address.path);
	return 0;
}

/* ------------------------------------------------------------------- tcp */

static int
listener_bind_one(const struct addrinfo *ai)
{
	static const int on = 1, off;
	int fd, rc;

	fd = socket(
	    ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ai->ai_family == AF_INET6) /* ":port" takes IPv4 as well */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 ||
	    listen(fd, LISTENER_BACKLOG) != 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

static void
listener_name_tcp(struct listener *l)
{
	struct sockaddr_storage ss;
	char host[INET6_ADDRSTRLEN] = "";
	socklen_t len = sizeof(ss);

	memset(&ss, 0, sizeof(ss));
	getsockname(l->fd, (struct sockaddr *)&ss, &len);
	if (ss.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;

		uv_ip6_name(in6, host, sizeof(host));
		l->text = xasprintf("[%s]:%u", host, ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in4 = (struct sockaddr_in *)&ss;

		uv_ip4_name(in4, host, sizeof(host));
		l->text = xasprintf("%s:%u", host, ntohs(in4->sin_port));
	}
}

/* Looks a name up in this thread: listeners are opened at the start. */
static int
listener_bind_tcp(const struct address *address)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	const char *host = address->host[0] != '\0' ? address->host : NULL;
	const int families[] = { AF_INET6, AF_INET };
	struct addrinfo *list, *ai;
	int rc = UV_EADDRNOTAVAIL;
	size_t i;

	if (getaddrinfo(host, address->port, &hints, &list) != 0)
		return UV_EADDRNOTAVAIL;
	if (host != NULL)
		rc = listener_bind_one(list);
	/* Any address: IPv6 first, its socket serves both. */
	for (i = 0; host == NULL && i < ARRAY_LEN(families) && rc < 0; i++)
		for (ai = list; ai != NULL && rc < 0; ai = ai->ai_next)
			if (ai->ai_family == families[i])
				rc = listener_bind_one(ai);
	freeaddrinfo(list);
	return rc;
}

int
listener_socket(const char *address)
{
	struct address a;
	int rc = address_parse(&a, address);

	if (rc != 0)
		return rc;
	if (a.kind != ADDRESS_TCP)
		return UV_EAFNOSUPPORT;
	rc = inherited_take(&a);
	return rc >= 0 ? rc : listener_bind_tcp(&a);
}

/* ------------------------------------------------------------------------ */

static int
listener_bind(struct listener *l, mode_t mode)
{
	l->fd = inherited_take(&l->address);
	l->inherited = l->fd >= 0;
	if (l->address.kind == ADDRESS_UNIX && !l->inherited)
		return listener_bind_unix(l, mode);
	if (!l->inherited)
		l->fd = listener_bind_tcp(&l->address);
	if (l->fd < 0)
		return l->fd;
	if (l->address.kind == ADDRESS_UNIX)
		l->text = xstrdup(l->address.path);
	else
		listener_name_tcp(l);
	if (l->inherited)
		log_info("listener.inherited", "address=%s", l->text);
	return 0;
}

static void
listener_set_options(struct listener *l, const struct conn_opts *opts)
{
	if (opts == NULL)
		return;
	l->opts = *opts;
	l->opts.tls = NULL;
	l->opts.proxies = NULL;
	l->opts.local = NULL;
	if (opts->tls != NULL)
		l->tls = tls_config_ref(opts->tls);
	if (opts->n_proxies == 0)
		return;
	l->n_proxies = opts->n_proxies;
	l->proxies = xcalloc(l->n_proxies, sizeof(*l->proxies));
	memcpy(l->proxies, opts->proxies, l->n_proxies * sizeof(*l->proxies));
}

void
listener_set_tls(struct listener *l, struct tls_config *tls)
{
	assert(l->tls != NULL);
	(void)tls_config_ref(tls);
	tls_config_unref(l->tls);
	l->tls = tls;
}

int
listener_open(uv_loop_t *loop, const char *address, mode_t mode, unsigned max,
    const struct conn_opts *opts, listener_cb *cb, void *arg,
    struct listener **out)
{
	struct listener *l;
	int rc;

	l = xcalloc(1, sizeof(*l));
	l->fd = l->lock = -1;
	TAILQ_INIT(&l->waiting);
	rc = address_parse(&l->address, address);
	if (rc != 0)
		goto fail;
	rc = listener_bind(l, mode);
	if (rc != 0)
		goto fail;
	l->loop = loop;
	listener_set_options(l, opts);
	l->max = max;
	l->cb = cb;
	l->arg = arg;
	rc = uv_poll_init(loop, &l->poll, l->fd);
	if (rc != 0)
		goto fail;
	uv_timer_init(loop, &l->timer);
	l->poll.data = l->timer.data = l;
	l->handles = 2;
	listener_enter_state(l, LISTENER_OPEN);
	*out = l;
	return 0;
fail:
	if (l->fd >= 0)
		close(l->fd);
	if (l->lock >= 0)
		close(l->lock);
	listener_free(l);
	return rc;
}

void
listener_close(struct listener *l)
{
	if (l->state != LISTENER_CLOSED)
		listener_enter_state(l, LISTENER_CLOSED);
}

bool
listener_inherited(const struct listener *l)
{
	return l->inherited;
}

void
listener_pause(struct listener *l)
{
	if (l->state == LISTENER_OPEN)
		listener_enter_state(l, LISTENER_PAUSED);
}

void
listener_resume(struct listener *l)
{
	if (l->state == LISTENER_PAUSED)
		listener_enter_state(l, LISTENER_OPEN);
}

void
listener_drain(struct listener *l)
{
	int i;

	l->max = 0;
	if (l->state == LISTENER_FULL)
		listener_enter_state(l, LISTENER_OPEN);
	for (i = 0; i < LISTENER_BACKLOG && l->state == LISTENER_OPEN; i++)
		if (!listener_accept(l))
			break;
	listener_close(l);
}

const char *
listener_address(const struct listener *l)
{
	return l->text;
}

/* --------------------------------------------------------- who has it? */

/* The inode of the listening socket on this TCP port, 0 = not found. */
static unsigned long
listener_find_inode(const char *table, unsigned port)
{
	unsigned long inode;
	unsigned local, state;
	char line[512];
	FILE *f;

	f = fopen(table, "re");
	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		/* sl local:port remote:port st tx:rx tr:when retr uid timeout
		 * inode; state 0A is LISTEN. */
		if (sscanf(line,
			" %*d: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s "
			"%*s %*u %*d %lu",
			&local, &state, &inode) == 3 &&
		    local == port && state == 0x0a) {
			fclose(f);
			return inode;
		}
	}
	fclose(f);
	return 0;
}

static bool
listener_has_inode(const char *pid, const char *want)
{
	char path[300], link[64];
	struct dirent *e;
	bool found = false;
	ssize_t n;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	d = opendir(path);
	if (d == NULL)
		return false; /* gone, or not ours to look at */
	while (!found && (e = readdir(d)) != NULL) {
		n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		if (n < 0)
			continue;
		link[n] = '\0';
		found = strcmp(link, want) == 0;
	}
	closedir(d);
	return found;
}

static void
listener_read_comm(const char *pid, char *dst, size_t size)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	f = fopen(path, "re");
	if (f == NULL || fgets(dst, (int)size, f) == NULL)
		snprintf(dst, size, "process");
	if (f != NULL)
		fclose(f);
	dst[strcspn(dst, "\n")] = '\0';
}

const char *
listener_who(const char *address, char *dst, size_t size)
{
	unsigned long inode = 0;
	char want[64], comm[64];
	struct address a;
	struct dirent *e;
	unsigned port;
	DIR *proc;

	snprintf(dst, size, "another process");
	if (address_parse(&a, address) != 0 || a.kind != ADDRESS_TCP)
		return dst;
	port = (unsigned)atoi(a.port);
	inode = listener_find_inode("/proc/net/tcp", port);
	if (inode == 0)
		inode = listener_find_inode("/proc/net/tcp6", port);
	if (inode == 0 || (proc = opendir("/proc")) == NULL)
		return dst;
	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	while ((e = readdir(proc)) != NULL) {
		if (!isdigit((unsigned char)e->d_name[0]) ||
		    !listener_has_inode(e->d_name, want))
			continue;
		listener_read_comm(e->d_name, comm, sizeof(comm));
		snprintf(dst, size, "%s (pid %s)", comm, e->d_name);
		break;
	}
	closedir(proc);
	return dst;
}
