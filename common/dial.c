/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dial.c - connecting a stream.
 *
 * A socket cannot be connected twice: for the next address the handle is
 * closed and made anew.  Who closes meanwhile is told by the same callback of
 * libuv, since a handle cannot be closed twice either.
 */
#include "common/dial.h"

#include <sys/socket.h>

#include <netdb.h>
#include <stdlib.h>

#include "common/address.h"
#include "common/attr.h"
#include "common/xalloc.h"

/* A name look-up outlives its dial: the thread pool cannot be hurried. */
struct dial_lookup {
	uv_getaddrinfo_t req;
	struct dial *dial; /* NULL: closed meanwhile */
};

struct dial {
	uv_stream_t *stream;
	dial_cb *cb;
	void *arg;
	uv_close_cb closed_cb; /* of the owner; NULL: not closed by it */
	uv_connect_t connect;
	struct dial_lookup *lookup;
	struct addrinfo *addrs;        /* answer of the look-up, owned */
	struct addrinfo *addr;         /* the one being tried */
	struct sockaddr_storage local; /* family 0: none */
	void *data;                    /* the owner's, between two sockets */
};

static void dial_connect_cb(uv_connect_t *, int);

static void
dial_try_address(struct dial *d, const struct sockaddr *sa)
{
	uv_tcp_t *tcp = (uv_tcp_t *)d->stream;
	int rc = 0;

	if (d->local.ss_family != AF_UNSPEC)
		rc = uv_tcp_bind(tcp, (const struct sockaddr *)&d->local, 0);
	if (rc == 0)
		rc = uv_tcp_connect(&d->connect, tcp, sa, dial_connect_cb);
	if (rc != 0)
		dial_connect_cb(&d->connect, rc);
}

static void
dial_next_socket_cb(uv_handle_t *handle)
{
	struct dial *d = handle->data;

	handle->data = d->data;
	if (d->closed_cb != NULL) {
		d->closed_cb(handle);
		return;
	}
	uv_tcp_init(handle->loop, (uv_tcp_t *)d->stream);
	dial_try_address(d, d->addr->ai_addr);
}

static void
dial_connect_cb(uv_connect_t *req, int status)
{
	struct dial *d = CONTAINER_OF(req, struct dial, connect);

	if (d->closed_cb != NULL)
		return;
	if (status != 0 && d->addr != NULL && d->addr->ai_next != NULL) {
		d->addr = d->addr->ai_next;
		d->data = d->stream->data;
		d->stream->data = d;
		uv_close((uv_handle_t *)d->stream, dial_next_socket_cb);
		return;
	}
	d->cb(status, d->arg);
}

static void
dial_lookup_cb(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
	struct dial_lookup *lookup = CONTAINER_OF(req, struct dial_lookup, req);
	struct dial *d = lookup->dial;

	free(lookup);
	if (d == NULL) {
		uv_freeaddrinfo(res);
		return;
	}
	d->lookup = NULL;
	if (status != 0) {
		uv_freeaddrinfo(res);
		d->cb(status, d->arg);
		return;
	}
	d->addrs = d->addr = res;
	dial_try_address(d, d->addr->ai_addr);
}

static void
dial_start_lookup(struct dial *d, const struct address *a)
{
	static const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV,
	};
	struct dial_lookup *lookup;
	int rc;

	lookup = xcalloc(1, sizeof(*lookup));
	lookup->dial = d;
	rc = uv_getaddrinfo(d->stream->loop, &lookup->req, dial_lookup_cb,
	    a->host, a->port, &hints);
	if (rc != 0) {
		free(lookup);
		d->cb(rc, d->arg);
		return;
	}
	d->lookup = lookup;
}

bool
dial_parse_numeric(const char *host, int port, struct sockaddr_storage *ss)
{
	return uv_ip4_addr(host, port, (struct sockaddr_in *)ss) == 0 ||
	    uv_ip6_addr(host, port, (struct sockaddr_in6 *)ss) == 0;
}

struct dial *
dial_start(uv_stream_t *stream, const struct address *a,
    const struct sockaddr_storage *local, dial_cb *cb, void *arg)
{
	struct sockaddr_storage ss;
	struct dial *d;

	d = xcalloc(1, sizeof(*d));
	d->stream = stream;
	d->local = *local;
	d->cb = cb;
	d->arg = arg;
	if (a->kind == ADDRESS_UNIX)
		uv_pipe_connect(
		    &d->connect, (uv_pipe_t *)stream, a->path, dial_connect_cb);
	else if (dial_parse_numeric(a->host, atoi(a->port), &ss))
		dial_try_address(d, (struct sockaddr *)&ss);
	else
		dial_start_lookup(d, a);
	return d;
}

struct dial *
dial_start_known(
    uv_stream_t *stream, const struct sockaddr *sa, dial_cb *cb, void *arg)
{
	struct dial *d = xcalloc(1, sizeof(*d));

	d->stream = stream;
	d->cb = cb;
	d->arg = arg;
	dial_try_address(d, sa);
	return d;
}

void
dial_close(struct dial *d, uv_close_cb closed_cb)
{
	d->closed_cb = closed_cb;
	if (d->lookup != NULL) {
		d->lookup->dial = NULL;
		uv_cancel((uv_req_t *)&d->lookup->req);
		d->lookup = NULL;
	}
	/* Closing already: between two addresses of a name. */
	if (!uv_is_closing((uv_handle_t *)d->stream))
		uv_close((uv_handle_t *)d->stream, closed_cb);
}

void
dial_free(struct dial *d)
{
	if (d == NULL)
		return;
	uv_freeaddrinfo(d->addrs);
	free(d);
}
