/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pool.h - what is known about the places that requests go to (scheme, host and
 * port): their addresses, and connections that wait for the next request.
 *
 * Of all places together `max_idle` connections wait, each for POOL_IDLE_MS; a
 * connection is given up POOL_LIFE_MS after it was made, so that names and the
 * guard's networks are looked at again.  Addresses are kept for POOL_NAME_MS.
 * A place lives as long as something refers to it, and beyond that while there
 * are no more than POOL_PLACES.
 */
#ifndef HOOK_POOL_H
#define HOOK_POOL_H

#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "boxes/hook/client.h"
#include "boxes/hook/resolve.h"
#include "boxes/hook/url.h"
#include "common/attr.h"
#include "common/map.h"
#include "common/queue.h"

struct transfer;

#define POOL_PLACES    4096
#define POOL_ADDRESSES 16     /* of a name; more are not tried */
#define POOL_NAME_MS   30000  /* addresses of a name */
#define POOL_NO_MS     2000   /* that a name has none */
#define POOL_IDLE_MS   115000 /* less than many servers and firewalls allow */
#define POOL_LIFE_MS   300000

TAILQ_HEAD(transfer_list, transfer);

struct place {
	char origin[URL_ORIGIN_MAX];
	size_t origin_len;
	char host[256]; /* without brackets and final dot, lower case */
	uint16_t port;
	bool tls;
	char head[URL_ORIGIN_MAX + 80]; /* the request's fields that never
					 * change, from Host on */
	size_t head_len;
	unsigned users; /* transfers */
	struct clients idle;
	/* Addresses; the first to be tried is the one that worked last. */
	struct sockaddr_storage address[POOL_ADDRESSES];
	unsigned addresses, preferred;
	bool numeric;
	uint64_t known_until; /* mono ms; of addresses or of resolve_error */
	int resolve_error;    /* UV_EAI_*, when there are no addresses */
	struct resolve *resolve;
	struct transfer_list waiting; /* for the look-up */
	struct pool *pool;
	TAILQ_ENTRY(place) link; /* least recently used first */
};

/* The look-up of a place is over: see to those who wait. */
typedef void pool_resolved_cb(struct place *, void *arg);

struct pool {
	uv_loop_t *loop;
	struct map by_origin;
	TAILQ_HEAD(, place) places;
	struct clients idle; /* longest idle first */
	unsigned idle_count, max_idle;
	unsigned clients; /* connections that are not gone */
	uv_timer_t timer; /* runs while some are idle */
	pool_resolved_cb *resolved_cb;
	void *arg;
};

void pool_init(
    struct pool *, uv_loop_t *, unsigned max_idle, pool_resolved_cb *, void *);
/* Nobody uses a place any more.  The timer is closed by the loop. */
void pool_close(struct pool *);
/* After that, when all connections are gone. */
void pool_fini(struct pool *);

/* Finds or makes it, and counts a user.  origin: what url_origin() makes of it,
 * which the caller knows already. */
struct place *pool_enter(struct pool *, const struct url *, const char *origin);
void pool_leave(struct place *);

/* Takes a connection that waits, the last one that was used; or NULL. */
struct client *pool_take(struct place *, uint64_t now);
/* The connection waits for the next request, or is closed. */
void pool_keep(struct client *, uint64_t now);

/* True: addresses or resolve_error are known.  False: a look-up is under way,
 * and resolved_cb follows. */
bool pool_resolve(struct place *, uint64_t now) WARN_UNUSED;
/* Counted round: the first to be tried is p->preferred, the next one more. */
const struct sockaddr *pool_address(const struct place *, unsigned i);
void pool_prefer(struct place *, unsigned i);
/* None of them worked: ask again. */
void pool_forget_addresses(struct place *);

#endif
