/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * endpoint.h - one place that requests go to (scheme, host and port): how many
 * at a time, how many may wait, and the breaker.
 *
 * No I/O and no clock: the caller says what time it is.  The limit starts
 * small, grows by one with each success up to `per_endpoint` and is halved by
 * a failure, so that a place nobody has heard of, or one that has just died,
 * holds few of the slots that all share.  What may wait is what the endpoint
 * will serve in a quarter of a second at the speed it has shown; the rest goes
 * back to the bus.
 */
#ifndef HOOK_ENDPOINT_H
#define HOOK_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boxes/hook/url.h"
#include "common/map.h"
#include "common/queue.h"

struct delivery;
struct json;

enum endpoint_state {
	ENDPOINT_CLOSED = 0, /* the breaker is: requests flow */
	ENDPOINT_OPEN,       /* it failed too often: nothing before retry_at */
	ENDPOINT_PROBING,    /* one request is on its way to find out */
};

/* What a request came to, as far as the endpoint is concerned. */
enum endpoint_outcome {
	ENDPOINT_OK,     /* 2xx */
	ENDPOINT_ANSWER, /* another answer of a server that is alive */
	ENDPOINT_FAIL,   /* no connection, time-out, 429, 5xx */
	ENDPOINT_NONE,   /* never got there; says nothing */
};

enum endpoint_verdict {
	ENDPOINT_GO,    /* send it now */
	ENDPOINT_WAIT,  /* put it on the list of those who wait */
	ENDPOINT_REFUSE /* give it back, with a pause */
};

TAILQ_HEAD(delivery_list, delivery);

#define ENDPOINT_FAILURES  5     /* in a row, until the breaker opens */
#define ENDPOINT_PROBE_MS  30000 /* from one probe to the next */
#define ENDPOINT_STUCK_MS  1000  /* without an answer: it looks dead */
#define ENDPOINT_PAUSE_MAX (3600 * 1000)

struct endpoint {
	char origin[URL_ORIGIN_MAX];
	size_t origin_len;
	enum endpoint_state state; /* written only by endpoint_enter_state() */
	unsigned in_flight;
	unsigned limit;    /* of in_flight, now */
	unsigned failures; /* in a row */
	unsigned waiting_count;
	struct delivery_list waiting;
	uint64_t retry_at;    /* mono ms, of the next probe */
	uint64_t pause_until; /* mono ms, Retry-After */
	uint64_t active_at;   /* mono ms: latest answer, or start after idle */
	uint64_t latency_us;  /* smoothed; 0: not known yet */
	uint64_t ok, failed, refused;
	char last_error[96];
	TAILQ_ENTRY(endpoint) link; /* least recently used first */
};

struct endpoints {
	struct map by_origin;
	TAILQ_HEAD(, endpoint) all;
	size_t max;
	unsigned per_endpoint;
};

void endpoints_init(struct endpoints *, size_t max, unsigned per_endpoint);
/* No delivery may refer to one any more. */
void endpoints_fini(struct endpoints *);
/* Finds or makes it; NULL when the table is full of busy ones. */
struct endpoint *endpoints_get(struct endpoints *, const struct url *);
/* The list of the control method "endpoints". */
void endpoints_show(const struct endpoints *, uint64_t now, struct json *);

/*
 * May one more request go?  crowded: few slots are left for all, so one that
 * looks dead gets no more of them.  On ENDPOINT_GO it counts as in flight;
 * for ENDPOINT_REFUSE pause_ms says when to come again.
 */
enum endpoint_verdict endpoint_admit(struct endpoint *,
    const struct endpoints *, uint64_t now, bool crowded, uint64_t *pause_ms);
/* The same for the first of those who wait: true counts it as in flight. */
bool endpoint_next(struct endpoint *, uint64_t now);
/* A request is over.  retry_after_ms: what the answer asked for, or 0. */
void endpoint_done(struct endpoint *, const struct endpoints *, uint64_t now,
    enum endpoint_outcome, uint64_t latency_us, uint64_t retry_after_ms,
    const char *error);
/*
 * Must those who wait be given back (the breaker is open, a pause was asked
 * for, or nothing has been answered for a while)?  pause_ms as above.
 */
bool endpoint_hopeless(
    const struct endpoint *, uint64_t now, uint64_t *pause_ms);

#endif
