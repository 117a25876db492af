/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * address.c - "unix:/path", "/path", "host:port", "[v6]:port", ":port".
 */
#include "common/address.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

static int
address_parse_path(struct address *a, const char *path)
{
	size_t len = strlen(path);

	if (len == 0)
		return UV_EINVAL;
	/* libuv and the kernel would cut it without a word. */
	if (len >= sizeof(a->path))
		return UV_ENAMETOOLONG;
	a->kind = ADDRESS_UNIX;
	memcpy(a->path, path, len + 1);
	return 0;
}

int
address_parse(struct address *a, const char *text)
{
	const char *host = text, *colon;
	size_t host_len, port_len;

	memset(a, 0, sizeof(*a));
	if (strncmp(text, "unix:", 5) == 0)
		return address_parse_path(a, text + 5);
	if (*text == '/')
		return address_parse_path(a, text);

	colon = strrchr(text, ':');
	if (colon == NULL)
		return UV_EINVAL;
	host_len = (size_t)(colon - text);
	if (*text == '[') {
		if (host_len < 4 || text[host_len - 1] != ']')
			return UV_EINVAL;
		host++;
		host_len -= 2;
	} else if (memchr(text, ':', host_len) != NULL) {
		return UV_EINVAL; /* IPv6 needs brackets */
	}
	port_len = strlen(colon + 1);
	if (host_len >= sizeof(a->host) || port_len == 0 || port_len > 5 ||
	    strspn(colon + 1, "0123456789") != port_len ||
	    strtoul(colon + 1, NULL, 10) > 65535)
		return UV_EINVAL;
	if (strcspn(host, " \t/[") < host_len)
		return UV_EINVAL;
	a->kind = ADDRESS_TCP;
	memcpy(a->host, host, host_len);
	memcpy(a->port, colon + 1, port_len);
	return 0;
}
