/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/address.h"
#include "common/buf.h"

#define INHERITED_FIRST 3 /* SD_LISTEN_FDS_START */

static struct {
	int fd[INHERITED_MAX]; /* -1: taken */
	unsigned count;
	struct buf asked; /* for people */
} inherited;

static void
inherited_clear_env(void)
{
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
}

/* What the environment says is ours. */
static unsigned long
inherited_announced(void)
{
	const char *pid = getenv("LISTEN_PID"), *n = getenv("LISTEN_FDS");

	if (pid == NULL || n == NULL || strtol(pid, NULL, 10) != getpid() ||
	    n[0] < '0' || n[0] > '9')
		return 0;
	return strtoul(n, NULL, 10);
}

bool
inherited_begin(struct buf *why)
{
	unsigned long n = inherited_announced();
	unsigned i;

	inherited_clear_env();
	inherited.count = 0;
	buf_init(&inherited.asked);
	if (n > INHERITED_MAX) {
		buf_printf(
		    why, "LISTEN_FDS is %lu and may be %d\n", n, INHERITED_MAX);
		return false;
	}
	for (i = 0; i < n; i++) {
		inherited.fd[i] = INHERITED_FIRST + (int)i;
		if (fcntl(inherited.fd[i], F_SETFD, FD_CLOEXEC) != 0) {
			buf_printf(why,
			    "LISTEN_FDS is %lu and %d is not open\n", n,
			    inherited.fd[i]);
			return false;
		}
	}
	inherited.count = (unsigned)n;
	return true;
}

/* ---------------------------------------------------------------- addresses */

/* "127.0.0.1:13013", "[::1]:13013", "/path" or what else it is. */
static void
inherited_show(int fd, char *dst, size_t size)
{
	union {
		struct sockaddr_storage ss;
		struct sockaddr sa;
		struct sockaddr_un un;
	} a;
	char host[NI_MAXHOST], port[NI_MAXSERV];
	socklen_t len = sizeof(a) - 1;

	memset(&a, 0, sizeof(a));
	if (getsockname(fd, &a.sa, &len) != 0)
		snprintf(dst, size, "descriptor %d (%s)", fd, strerror(errno));
	else if (a.sa.sa_family == AF_UNIX)
		snprintf(dst, size, "%s", a.un.sun_path);
	else if (getnameinfo(&a.sa, len, host, sizeof(host), port, sizeof(port),
		     NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(dst, size, "descriptor %d", fd);
	else
		snprintf(dst, size,
		    a.sa.sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
		    port);
}

static bool
inherited_listens(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 &&
	    on != 0;
}

static bool
inherited_is_tcp(int fd, const struct sockaddr *want)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	} a;
	socklen_t len = sizeof(a);

	memset(&a, 0, sizeof(a));
	if (getsockname(fd, &a.sa, &len) != 0 || len > sizeof(a) ||
	    a.sa.sa_family != want->sa_family)
		return false;
	if (want->sa_family == AF_INET) {
		const struct sockaddr_in *w = (const void *)want;

		return a.in4.sin_port == w->sin_port &&
		    a.in4.sin_addr.s_addr == w->sin_addr.s_addr;
	}
	if (want->sa_family == AF_INET6) {
		const struct sockaddr_in6 *w = (const void *)want;

		return a.in6.sin6_port == w->sin6_port &&
		    memcmp(&a.in6.sin6_addr, &w->sin6_addr,
			sizeof(w->sin6_addr)) == 0;
	}
	return false;
}

static int
inherited_find_tcp(const struct address *want)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	const char *host = want->host[0] != '\0' ? want->host : NULL;
	struct addrinfo *list, *ai;
	unsigned i;

	if (getaddrinfo(host, want->port, &hints, &list) != 0)
		return -1;
	/* Any of the addresses of a name; of ":port" any of both families. */
	for (ai = list; ai != NULL; ai = ai->ai_next) {
		for (i = 0; i < inherited.count; i++) {
			if (inherited.fd[i] >= 0 &&
			    inherited_is_tcp(inherited.fd[i], ai->ai_addr)) {
				freeaddrinfo(list);
				return (int)i;
			}
		}
	}
	freeaddrinfo(list);
	return -1;
}

static int
inherited_find_unix(const struct address *want)
{
	struct sockaddr_un sun;
	socklen_t len;
	unsigned i;

	for (i = 0; i < inherited.count; i++) {
		memset(&sun, 0, sizeof(sun));
		len = sizeof(sun);
		if (inherited.fd[i] >= 0 &&
		    getsockname(
			inherited.fd[i], (struct sockaddr *)&sun, &len) == 0 &&
		    sun.sun_family == AF_UNIX &&
		    strncmp(sun.sun_path, want->path, sizeof(sun.sun_path)) ==
			0)
			return (int)i;
	}
	return -1;
}

/* --------------------------------------------------------------- interface */

int
inherited_take(const struct address *want)
{
	int fd, flags, i;

	if (inherited.count == 0)
		return -1;
	if (want->kind == ADDRESS_UNIX)
		buf_printf(&inherited.asked, " %s", want->path);
	else
		buf_printf(&inherited.asked,
		    strchr(want->host, ':') != NULL ? " [%s]:%s" : " %s:%s",
		    want->host, want->port);
	i = want->kind == ADDRESS_UNIX ? inherited_find_unix(want)
				       : inherited_find_tcp(want);
	/* One that is only bound is told to listen by nobody: it is left over,
	 * and that is an error. */
	if (i < 0 || !inherited_listens(inherited.fd[i]))
		return -1;
	fd = inherited.fd[i];
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
		return -1;
	inherited.fd[i] = -1;
	return fd;
}

bool
inherited_all_taken(struct buf *why)
{
	char text[256];
	bool all = true;
	unsigned i;

	for (i = 0; i < inherited.count; i++) {
		if (inherited.fd[i] < 0)
			continue;
		inherited_show(inherited.fd[i], text, sizeof(text));
		buf_printf(why,
		    "this process was given a socket for %s%s, and its "
		    "settings are to listen on:%s\n",
		    text,
		    inherited_listens(inherited.fd[i])
			? ""
			: " that does not listen",
		    buf_len(&inherited.asked) > 0 ? buf_str(&inherited.asked)
						  : " nothing");
		all = false;
	}
	return all;
}
