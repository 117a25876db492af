/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/hook/pool.h"

#include <assert.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "common/dial.h"
#include "common/xalloc.h"

#define SWEEP_MS 5000

static client_cb pool_client_cb;

/* ------------------------------------------------------------- connections */

static void
pool_remove(struct pool *pool, struct client *c)
{
	TAILQ_REMOVE(&c->place->idle, c, link);
	TAILQ_REMOVE(&pool->idle, c, all);
	if (--pool->idle_count == 0)
		uv_timer_stop(&pool->timer);
}

static void
pool_drop(struct pool *pool, struct client *c)
{
	pool_remove(pool, c);
	client_close(c);
}

/* A connection that waits can only end. */
static void
pool_client_cb(struct client *c, enum client_event ev, void *arg)
{
	assert(ev == CLIENT_EV_FAILED);
	pool_drop(arg, c);
}

static void
pool_sweep_cb(uv_timer_t *timer)
{
	struct pool *pool = timer->data;
	uint64_t now = clock_mono_ms();
	struct client *c;

	while ((c = TAILQ_FIRST(&pool->idle)) != NULL &&
	    now - c->idle_ms >= POOL_IDLE_MS)
		pool_drop(pool, c);
}

struct client *
pool_take(struct place *p, uint64_t now)
{
	struct client *c;

	while ((c = TAILQ_FIRST(&p->idle)) != NULL) {
		if (now - c->born_ms < POOL_LIFE_MS &&
		    now - c->idle_ms < POOL_IDLE_MS) {
			pool_remove(p->pool, c);
			return c;
		}
		pool_drop(p->pool, c);
	}
	return NULL;
}

void
pool_keep(struct client *c, uint64_t now)
{
	struct place *p = c->place;
	struct pool *pool = p->pool;

	if (c->worn || now - c->born_ms >= POOL_LIFE_MS ||
	    pool->max_idle == 0) {
		client_close(c);
		return;
	}
	if (pool->idle_count >= pool->max_idle)
		pool_drop(pool, TAILQ_FIRST(&pool->idle));
	c->idle_ms = now;
	client_set_cb(c, pool_client_cb, pool);
	TAILQ_INSERT_HEAD(&p->idle, c, link);
	TAILQ_INSERT_TAIL(&pool->idle, c, all);
	if (pool->idle_count++ == 0)
		uv_timer_start(&pool->timer, pool_sweep_cb, SWEEP_MS, SWEEP_MS);
}

/* ------------------------------------------------------------------ places */

static void
place_forget(struct place *p)
{
	struct pool *pool = p->pool;
	struct client *c;

	assert(p->users == 0 && TAILQ_EMPTY(&p->waiting));
	while ((c = TAILQ_FIRST(&p->idle)) != NULL)
		pool_drop(pool, c);
	if (p->resolve != NULL)
		resolve_cancel(p->resolve);
	map_del(&pool->by_origin, p->origin, p->origin_len);
	TAILQ_REMOVE(&pool->places, p, link);
	free(p);
}

static void
pool_make_room(struct pool *pool)
{
	struct place *p;

	if (pool->by_origin.count < POOL_PLACES)
		return;
	/* Those in use are as few as the endpoints that are in use. */
	TAILQ_FOREACH(p, &pool->places, link) {
		if (p->users == 0) {
			place_forget(p);
			return;
		}
	}
}

static void
place_set_head(struct place *p, const char *shown, size_t shown_len)
{
	char port[8] = "";

	if (p->port != (p->tls ? 443 : 80))
		(void)snprintf(port, sizeof(port), ":%u", (unsigned)p->port);
	p->head_len = (size_t)snprintf(p->head, sizeof(p->head),
	    "Host: %.*s%s\r\nUser-Agent: hopyard/" HOPYARD_VERSION
	    "\r\nAccept: */*\r\n",
	    (int)shown_len, shown, port);
	assert(p->head_len < sizeof(p->head));
}

static struct place *
place_new(struct pool *pool, const struct url *u, const char *origin)
{
	struct place *p = xcalloc(1, sizeof(*p));
	const char *shown = strstr(origin, "://") + 3;
	size_t len = u->host.len, brackets = *shown == '[' ? 1 : 0;

	p->pool = pool;
	p->origin_len = strlen(origin);
	memcpy(p->origin, origin, p->origin_len + 1);
	p->port = u->port;
	p->tls = u->tls;
	place_set_head(p, shown, len + 2 * brackets);
	memcpy(p->host, shown + brackets, len);
	if (len > 1 && p->host[len - 1] == '.')
		p->host[len - 1] = '\0';
	TAILQ_INIT(&p->idle);
	TAILQ_INIT(&p->waiting);
	p->numeric = dial_parse_numeric(p->host, p->port, &p->address[0]);
	p->addresses = p->numeric ? 1 : 0;
	return p;
}

struct place *
pool_enter(struct pool *pool, const struct url *u, const char *origin)
{
	size_t len = strlen(origin);
	struct place *p = map_get(&pool->by_origin, origin, len);

	if (p == NULL) {
		pool_make_room(pool);
		p = place_new(pool, u, origin);
		map_put(&pool->by_origin, p->origin, len, p);
		TAILQ_INSERT_TAIL(&pool->places, p, link);
	} else if (TAILQ_NEXT(p, link) != NULL) {
		TAILQ_REMOVE(&pool->places, p, link);
		TAILQ_INSERT_TAIL(&pool->places, p, link);
	}
	p->users++;
	return p;
}

void
pool_leave(struct place *p)
{
	assert(p->users > 0);
	p->users--;
}

/* --------------------------------------------------------------- addresses */

static void
place_take_address(struct place *p, const struct addrinfo *ai)
{
	struct sockaddr_storage *to = &p->address[p->addresses];

	if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
		return;
	memset(to, 0, sizeof(*to));
	memcpy(to, ai->ai_addr, ai->ai_addrlen);
	p->addresses++;
}

static void
place_resolved_cb(int status, const struct addrinfo *found, void *arg)
{
	struct place *p = arg;
	struct sockaddr_storage liked = p->address[p->preferred];
	bool had = p->addresses > 0;

	p->resolve = NULL;
	p->addresses = 0;
	p->preferred = 0;
	for (; found != NULL && p->addresses < POOL_ADDRESSES;
	     found = found->ai_next)
		place_take_address(p, found);
	for (unsigned i = 0; had && i < p->addresses; i++)
		if (memcmp(&liked, &p->address[i], sizeof(liked)) == 0)
			p->preferred = i;
	p->resolve_error = status != 0 ? status : UV_EAI_NODATA;
	p->known_until =
	    clock_mono_ms() + (p->addresses > 0 ? POOL_NAME_MS : POOL_NO_MS);
	p->pool->resolved_cb(p, p->pool->arg);
}

bool
pool_resolve(struct place *p, uint64_t now)
{
	if (p->numeric || now < p->known_until)
		return true;
	if (p->resolve != NULL)
		return false;
	p->resolve = resolve_start(
	    p->pool->loop, p->host, p->port, place_resolved_cb, p);
	if (p->resolve != NULL)
		return false;
	/* Too many look-ups: better what is old than nothing. */
	if (p->addresses == 0)
		p->resolve_error = UV_EAI_MEMORY;
	return true;
}

const struct sockaddr *
pool_address(const struct place *p, unsigned i)
{
	return (const struct sockaddr *)&p->address[i % p->addresses];
}

void
pool_prefer(struct place *p, unsigned i)
{
	if (p->addresses > 0)
		p->preferred = i % p->addresses;
}

void
pool_forget_addresses(struct place *p)
{
	p->known_until = 0;
}

/* -------------------------------------------------------------------- pool */

void
pool_init(struct pool *pool, uv_loop_t *loop, unsigned max_idle,
    pool_resolved_cb *cb, void *arg)
{
	memset(pool, 0, sizeof(*pool));
	pool->loop = loop;
	pool->max_idle = max_idle;
	pool->resolved_cb = cb;
	pool->arg = arg;
	map_init(&pool->by_origin);
	TAILQ_INIT(&pool->places);
	TAILQ_INIT(&pool->idle);
	uv_timer_init(loop, &pool->timer);
	pool->timer.data = pool;
}

void
pool_close(struct pool *pool)
{
	struct place *p, *next;

	TAILQ_FOREACH_SAFE(p, &pool->places, link, next)
		place_forget(p);
	uv_close((uv_handle_t *)&pool->timer, NULL);
}

void
pool_fini(struct pool *pool)
{
	assert(pool->clients == 0);
	map_fini(&pool->by_origin);
}
