/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/notices.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/xalloc.h"

#define NOTICES_PER_TURN 64

struct notices {
	uv_poll_t poll;
	int fd;
	notices_cb *cb;
	void *arg;
	char env[sizeof(((struct sockaddr_un *)0)->sun_path) + 16];
};

/* Room for what the kernel adds. */
union notices_control {
	struct cmsghdr head;
	char space[CMSG_SPACE(sizeof(struct ucred))];
};

static pid_t
notices_sender(struct msghdr *m)
{
	struct cmsghdr *c;
	struct ucred who;

	for (c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET ||
		    c->cmsg_type != SCM_CREDENTIALS ||
		    c->cmsg_len != CMSG_LEN(sizeof(who)))
			continue;
		memcpy(&who, CMSG_DATA(c), sizeof(who));
		return who.pid;
	}
	return 0;
}

/* Among the lines of the text, which is not ended by a NUL. */
static bool
notices_says(const char *text, size_t len, const char *line)
{
	size_t n = strlen(line);
	const char *end = text + len, *nl;

	for (; text < end; text = nl + 1) {
		nl = memchr(text, '\n', (size_t)(end - text));
		if (nl == NULL)
			nl = end;
		if ((size_t)(nl - text) == n && memcmp(text, line, n) == 0)
			return true;
	}
	return false;
}

/* False when there is nothing more. */
static bool
notices_read(struct notices *n)
{
	union notices_control control;
	char text[1024];
	struct iovec iov = { text, sizeof(text) };
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t len;
	pid_t pid;

	/* Descriptors that somebody sends along have no room: the kernel
	 * closes them. */
	len = recvmsg(n->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (len < 0)
		return errno == EINTR;
	pid = notices_sender(&m);
	if (pid > 0 && notices_says(text, (size_t)len, "STOPPING=1"))
		n->cb(pid, n->arg);
	return true;
}

static void
notices_poll_cb(uv_poll_t *poll, int status, int events)
{
	int i;

	(void)status;
	(void)events;
	for (i = 0; i < NOTICES_PER_TURN && notices_read(poll->data); i++)
		continue;
}

/* Without a name the kernel chooses one, which is in no folder. */
static int
notices_open(struct sockaddr_un *sun, socklen_t *len)
{
	const int on = 1;
	int fd;

	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0 &&
	    bind(fd, (struct sockaddr *)sun, sizeof(sa_family_t)) == 0 &&
	    getsockname(fd, (struct sockaddr *)sun, len) == 0 &&
	    *len > offsetof(struct sockaddr_un, sun_path) + 1)
		return fd;
	close(fd);
	return -1;
}

struct notices *
notices_new(uv_loop_t *loop, notices_cb *cb, void *arg)
{
	struct sockaddr_un sun;
	socklen_t len = sizeof(sun);
	int fd = notices_open(&sun, &len);
	struct notices *n;

	if (fd < 0) {
		log_warn("notices.open", "error=%s", strerror(errno));
		return NULL;
	}
	n = xcalloc(1, sizeof(*n));
	n->fd = fd;
	n->cb = cb;
	n->arg = arg;
	snprintf(n->env, sizeof(n->env), "NOTIFY_SOCKET=@%.*s",
	    (int)(len - offsetof(struct sockaddr_un, sun_path) - 1),
	    sun.sun_path + 1);
	uv_poll_init(loop, &n->poll, fd);
	n->poll.data = n;
	uv_poll_start(&n->poll, UV_READABLE, notices_poll_cb);
	return n;
}

const char *
notices_env(const struct notices *n)
{
	return n->env;
}

static void
notices_closed_cb(uv_handle_t *h)
{
	struct notices *n = h->data;

	close(n->fd);
	free(n);
}

void
notices_close(struct notices *n)
{
	if (n != NULL)
		uv_close((uv_handle_t *)&n->poll, notices_closed_cb);
}
