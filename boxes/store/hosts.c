/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/hosts.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

/* A DSN with more is a mistake. */
#define HOSTS_MAX 32

static size_t
hosts_length(const char *list)
{
	size_t n = 1;

	if (list == NULL || *list == '\0')
		return 0;
	for (; *list != '\0'; list++)
		n += *list == ',';
	return n;
}

/* Element i, or the only one; NULL if there is none or it is empty. */
static char *
hosts_element(const char *list, size_t i)
{
	const char *end;
	size_t n = hosts_length(list);

	if (n == 0)
		return NULL;
	for (; n > 1 && i > 0; i--) {
		list = strchr(list, ',');
		if (list == NULL)
			return NULL;
		list++;
	}
	end = strchrnul(list, ',');
	return end > list ? xstrndup(list, (size_t)(end - list)) : NULL;
}

static void
hosts_read(struct hosts *h, const PQconninfoOption *options)
{
	const char *host = NULL, *addr = NULL, *port = NULL;
	const PQconninfoOption *o;

	for (o = options; o->keyword != NULL; o++) {
		if (o->val == NULL)
			continue;
		if (strcmp(o->keyword, "host") == 0)
			host = o->val;
		else if (strcmp(o->keyword, "hostaddr") == 0)
			addr = o->val;
		else if (strcmp(o->keyword, "port") == 0)
			port = o->val;
		else if (strcmp(o->keyword, "connect_timeout") == 0)
			h->connect_timeout =
			    (unsigned)strtoul(o->val, NULL, 10);
	}
	h->count =
	    hosts_length(addr) > 0 ? hosts_length(addr) : hosts_length(host);
	if (h->count < 2 || h->count > HOSTS_MAX) {
		h->count = 1;
		return;
	}
	h->list = xcalloc(h->count, sizeof(*h->list));
	for (size_t i = 0; i < h->count; i++) {
		h->list[i].host = hosts_element(host, i);
		h->list[i].hostaddr = hosts_element(addr, i);
		h->list[i].port = hosts_element(port, i);
	}
}

void
hosts_init(struct hosts *h, const char *dsn)
{
	PQconninfoOption *options = PQconninfoParse(dsn, NULL);

	memset(h, 0, sizeof(*h));
	h->count = 1;
	if (options == NULL)
		return;
	hosts_read(h, options);
	PQconninfoFree(options);
}

void
hosts_fini(struct hosts *h)
{
	for (size_t i = 0; h->list != NULL && i < h->count; i++) {
		free(h->list[i].host);
		free(h->list[i].hostaddr);
		free(h->list[i].port);
	}
	free(h->list);
	h->list = NULL;
}

const struct host *
hosts_current(const struct hosts *h)
{
	return h->list != NULL ? &h->list[h->next] : NULL;
}

bool
hosts_pass(struct hosts *h)
{
	h->next = (h->next + 1) % h->count;
	return h->next == 0;
}

bool
hosts_follow(struct hosts *h, const struct hosts *other)
{
	if (h->next == other->next)
		return false;
	h->next = other->next;
	return true;
}
