/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/hook/resolve.h"

#include <sys/socket.h>

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/xalloc.h"

struct resolve {
	uv_getaddrinfo_t req;
	resolve_cb *cb; /* NULL: given up */
	void *arg;
};

static unsigned resolve_count;

void
resolve_set_threads(void)
{
	char n[8];

	/* A name that is not answered for holds its thread for many seconds,
	 * and must not hold up the others. */
	(void)snprintf(n, sizeof(n), "%d", RESOLVE_THREADS);
	(void)setenv("UV_THREADPOOL_SIZE", n, 0);
}

static void
resolve_done_cb(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	struct resolve *r = CONTAINER_OF(req, struct resolve, req);

	resolve_count--;
	if (r->cb != NULL)
		r->cb(status, found, r->arg);
	uv_freeaddrinfo(found);
	free(r);
}

struct resolve *
resolve_start(
    uv_loop_t *loop, const char *host, uint16_t port, resolve_cb *cb, void *arg)
{
	static const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV,
	};
	struct resolve *r;
	char service[8];

	if (resolve_count >= RESOLVE_MAX)
		return NULL;
	r = xcalloc(1, sizeof(*r));
	r->cb = cb;
	r->arg = arg;
	(void)snprintf(service, sizeof(service), "%u", (unsigned)port);
	if (uv_getaddrinfo(
		loop, &r->req, resolve_done_cb, host, service, &hints) != 0) {
		free(r);
		return NULL;
	}
	resolve_count++;
	return r;
}

void
resolve_cancel(struct resolve *r)
{
	r->cb = NULL;
	(void)uv_cancel((uv_req_t *)&r->req); /* too late for one that runs */
}

bool
resolve_busy(void)
{
	return resolve_count > 0;
}
