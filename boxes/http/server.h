/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * server.h - an HTTP/1.1 server: connections, deadlines, pipelining, answers
 * in order.  What is asked is the business of the routes.
 *
 * A request belongs to the server.  Its handler must answer it exactly once,
 * with http_reply(), at once or later; the client may be gone by then, which
 * the handler need not know.  Up to 16 requests of a connection wait at a time
 * and are answered in the order in which they came.
 *
 * Limits: head and target as in proto/http_head.h, max_body; a head within
 * 10 s, a body with 500 B/s at least and within 60 s, an answer that nobody
 * reads for 30 s ends the connection.  At 80 % of the connections all times
 * are a fifth.  Bodies over 64 KiB share a budget of 64 MiB.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/attr.h"
#include "proto/bytes.h"

struct http_request;
struct server;

typedef void http_handler(struct http_request *, void *arg);

#define HTTP_METHOD(m) (UINT64_C(1) << (m))

struct http_route {
	const char *path; /* "/v1/messages/" */
	bool prefix;      /* anything may follow the path */
	uint64_t methods; /* HTTP_METHOD(HTTP_GET) | ...; 0: all */
	const char *name; /* in the metrics */
	http_handler *handle;
};

struct server_opts {
	const struct http_route *routes; /* ends with path NULL; borrowed */
	/* Answers what never gets to a route: 404, 405 (allow has the methods)
	 * and all of enum http_fault.  The answer closes where it must. */
	void (*refuse)(struct http_request *, unsigned status, const char *text,
	    const char *allow, void *arg);
	void *arg; /* for handlers and refuse */
	size_t max_body;
	unsigned max_connections;
	uint64_t keepalive_ms;
};

struct server *server_new(uv_loop_t *, const struct server_opts *) WARN_UNUSED;
/* Start listening on one more address.  0 or UV_E*; logs neither. */
int server_listen(struct server *, const char *address) WARN_UNUSED;
/*
 * Stop accepting, answer what is under way and what still comes within 0.4 s
 * on connections that are open, close each after that; then done(arg), once.
 */
void server_drain(struct server *, void (*done)(void *arg), void *arg);
/* Closes what is left at once; memory goes after the loop has run dry. */
void server_close(struct server *);
/* After the loop has ended. */
void server_free(struct server *);
unsigned server_connections(const struct server *);

/* ---------------------------------------------------------------- requests */

/* All views are valid until the handler returns, or for the whole life of the
 * request after http_keep(). */
unsigned http_method(const struct http_request *); /* HTTP_GET ... */
struct bytes http_path(const struct http_request *);
/* What follows the path of a prefix route. */
struct bytes http_rest(const struct http_request *);
struct bytes http_query(const struct http_request *);
struct bytes http_body(const struct http_request *);
bool http_header(
    const struct http_request *, const char *name, struct bytes *value);
/* The client's address without the port. */
const char *http_source(const struct http_request *);
/* X-Request-Id if it came with one that is short and printable, else empty. */
struct bytes http_given_id(const struct http_request *);
/* The same, made here if there is none.  Valid for the life of the
 * request. */
const char *http_request_id(struct http_request *);
const char *http_route_name(const struct http_request *);

/* Own the bytes of the request, so that it can be read after the handler has
 * returned.  Views taken before are no longer valid. */
void http_keep(struct http_request *);

/* A pointer of the handler's own, freed by it. */
void http_set_arg(struct http_request *, void *);
void *http_arg(const struct http_request *);

struct http_response {
	unsigned status;
	const char *type; /* Content-Type, NULL: none */
	const void *body;
	size_t len;
	const void *extra; /* more header lines, each with CRLF */
	size_t extra_len;
	bool close; /* and end the connection after it */
};

/* Takes the request; copies the response. */
void http_reply(struct http_request *, const struct http_response *);
/* The same with a body that is a C string. */
void http_reply_text(
    struct http_request *, unsigned status, const char *type, const char *text);

#endif
