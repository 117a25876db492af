/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/port.h"

#include <sys/socket.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <uv.h>

#include "common/address.h"
#include "common/conn.h"

static struct addrinfo *
look_up(const char *address)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
	};
	struct addrinfo *list;
	struct address a;

	if (address_parse(&a, address) != 0 || a.kind != ADDRESS_TCP ||
	    getaddrinfo(
		a.host[0] != '\0' ? a.host : NULL, a.port, &hints, &list) != 0)
		return NULL;
	return list;
}

int
port_try(const char *address)
{
	struct addrinfo *list = look_up(address), *ai;
	int fd, rc = 0, on = 1;

	for (ai = list; ai != NULL && rc == 0; ai = ai->ai_next) {
		fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue; /* no IPv6 here */
		if (ai->ai_family == AF_INET6)
			(void)setsockopt(
			    fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) !=
			0 ||
		    bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 ||
		    listen(fd, 1) != 0)
			rc = uv_translate_sys_error(errno);
		close(fd);
	}
	if (list != NULL)
		freeaddrinfo(list);
	return rc;
}

bool
port_answers(const char *address)
{
	struct addrinfo *list = look_up(address), *ai;
	bool yes = false;
	int fd;

	for (ai = list; ai != NULL && !yes; ai = ai->ai_next) {
		fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		yes = connect(fd, ai->ai_addr, ai->ai_addrlen) == 0;
		close(fd);
	}
	if (list != NULL)
		freeaddrinfo(list);
	return yes;
}

/* The command line of a process, printable; "" when it is gone. */
static void
command_of(pid_t pid, char *dst, size_t size)
{
	char path[64];
	size_t n = 0;
	FILE *f;

	dst[0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return;
	n = fread(dst, 1, size - 1, f);
	fclose(f);
	while (n > 0 && dst[n - 1] == '\0')
		n--;
	dst[n] = '\0';
	/* Somebody else's bytes, for our terminal. */
	for (size_t i = 0; i < n; i++)
		if (dst[i] == '\0')
			dst[i] = ' ';
		else if ((unsigned char)dst[i] < ' ' || dst[i] == 0x7f)
			dst[i] = '?';
}

const char *
port_complain(const char *address, int error, char *dst, size_t size)
{
	unsigned port = port_of(address);
	char who[128], command[100];
	const char *at;

	if (error != UV_EADDRINUSE) {
		snprintf(dst, size, "cannot listen on %s: %s%s", address,
		    uv_strerror(error),
		    error == UV_EACCES ? " (ports under 1024 need root)" : "");
		return dst;
	}
	listener_who(address, who, sizeof(who));
	at = strstr(who, "(pid ");
	command[0] = '\0';
	if (at != NULL)
		command_of(
		    (pid_t)strtol(at + 5, NULL, 10), command, sizeof(command));
	if (command[0] != '\0')
		snprintf(dst, size, "port %u is taken by %.*s: %s)", port,
		    (int)strcspn(who, ")"), who, command);
	else if (at != NULL)
		snprintf(dst, size, "port %u is taken by %s", port, who);
	else
		snprintf(dst, size, "port %u is taken by %s%s", port, who,
		    geteuid() != 0 ? " of another user (root can see which)"
				   : "");
	return dst;
}

unsigned
port_shift(unsigned port, long by)
{
	long shifted = by > 65535 || by < -65535 ? 0 : (long)port + by;

	return shifted < 1 || shifted > 65535 ? 0 : (unsigned)shifted;
}

unsigned
port_of(const char *address)
{
	struct address a;

	if (address_parse(&a, address) != 0 || a.kind != ADDRESS_TCP)
		return 0;
	return (unsigned)strtoul(a.port, NULL, 10);
}

bool
port_of_url(const char *url, char *dst, size_t size)
{
	static const char scheme[] = "http://";
	size_t n;

	if (url == NULL || strncasecmp(url, scheme, sizeof(scheme) - 1) != 0)
		return false;
	url += sizeof(scheme) - 1;
	n = strcspn(url, "/?#");
	if (n >= size)
		return false;
	memcpy(dst, url, n);
	dst[n] = '\0';
	return port_of(dst) != 0;
}
