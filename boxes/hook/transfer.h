/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transfer.h - HTTP requests on the loop, from a URL to the answer: the
 * connection, the two time-outs, and what came of it.  It knows nothing of
 * messages.
 *
 * Each address is shown to the guard right before it is connected to.
 * Redirects are an answer like any other.  A request that finds its kept
 * connection closed without an octet of an answer is sent once more on a new
 * one: whoever gets it twice knows it by the event's id.
 */
#ifndef HOOK_TRANSFER_H
#define HOOK_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "boxes/hook/url.h"
#include "common/attr.h"
#include "proto/frame.h"

struct guard;
struct transfer;
struct transfers;

enum transfer_outcome {
	TRANSFER_ANSWER = 0, /* the status says the rest */
	TRANSFER_REFUSED,    /* by the guard, or no usable URL */
	TRANSFER_TIMEOUT,
	TRANSFER_DNS,
	TRANSFER_TLS,
	TRANSFER_CONNECT, /* no connection */
	TRANSFER_BROKEN,  /* connection lost, or no HTTP */
	TRANSFER_OUTCOMES
};

struct transfer_settings {
	unsigned concurrency; /* so many connections may wait for a request */
	uint64_t timeout_ms;
	uint64_t connect_timeout_ms;
	size_t max_body;
	const char *ca_file;       /* trusted besides the system's, or NULL */
	const struct guard *guard; /* borrowed */
};

/* All borrowed until the callback, also what is in the url. */
struct transfer_request {
	struct url url;
	const char *origin; /* url_origin() of it */
	const void *body;   /* POST of JSON; NULL: GET */
	size_t body_len;
	const char *event_id; /* with a body */
	uint64_t timestamp;
	const char *signature; /* NULL: not signed */
	bool want_body;        /* of the answer */
	bool possible_dup; /* said in a header of a GET; JSON has it inside */
};

struct transfer_result {
	enum transfer_outcome outcome;
	unsigned status;         /* HTTP, 0 without an answer */
	uint64_t retry_after_ms; /* 0: not said */
	uint64_t took_us;
	const char *error; /* short, for people; never NULL */
	struct bytes body; /* if wanted; borrowed */
	const char *type;  /* Content-Type or NULL; borrowed */
	bool truncated;    /* the body was longer than max_body */
};

/* NULL: the file can be used as ca_file; else why not. */
const char *transfer_check_ca(const char *path);

/* Called once for each request, never from inside transfer_start(). */
typedef void transfer_cb(const struct transfer_result *, void *arg);

struct transfers *transfers_new(uv_loop_t *, const struct transfer_settings *);
void transfer_start(struct transfers *, const struct transfer_request *,
    transfer_cb *, void *arg);
/* Drops all requests without a callback and closes the handles; the memory
 * goes when the loop has run a few times more and transfers_free() is called. */
void transfers_close(struct transfers *);
void transfers_free(struct transfers *);

/* Stable word for metrics and logs: "2xx", "4xx", "timeout", "dns", ... */
const char *transfer_class(enum transfer_outcome, unsigned status);

#endif
