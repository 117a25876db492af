/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smpps/customer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/smpps/deliver.h"
#include "boxes/smpps/server.h"
#include "common/box.h"
#include "common/xalloc.h"

#define CUSTOMER_SEATS 256 /* of one Attach: far from the size of a frame */

struct customer *
customer_find(const struct server *s, const void *account, size_t len)
{
	return map_get(&s->customers, account, len);
}

static struct customer *
customer_get(struct server *s, const char *account)
{
	struct customer *c = customer_find(s, account, strlen(account));

	if (c != NULL)
		return c;
	c = xcalloc(1, sizeof(*c));
	c->server = s;
	c->account = xstrdup(account);
	TAILQ_INIT(&c->binds);
	TAILQ_INIT(&c->waiting);
	map_put(&s->customers, c->account, strlen(c->account), c);
	return c;
}

static void
customer_free(struct customer *c)
{
	struct server *s = c->server;

	if (c->dirty)
		TAILQ_REMOVE(&s->dirty, c, link);
	map_del(&s->customers, c->account, strlen(c->account));
	free(c->account);
	free(c);
}

static bool
customer_is_idle(const struct customer *c)
{
	return TAILQ_EMPTY(&c->binds) && c->asking == 0 && c->in_hand == 0;
}

void
customer_release(struct customer *c)
{
	/* The bus counts on from what it was granted. */
	if (customer_is_idle(c) && !c->dirty && c->granted == 0)
		customer_free(c);
}

/* ------------------------------------------------------ telling the bus */

static void
customer_mark(struct customer *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	TAILQ_INSERT_TAIL(&c->server->dirty, c, link);
	turn_add(&c->server->attach);
}

/*
 * What the windows of the receivers can hold, less what is in hand and what
 * fills them without being in hand: requests that are overdue.
 */
static bool
customer_grant(struct customer *c)
{
	uint64_t taken = c->in_hand + c->overdue, total = c->came;

	if (c->room > taken)
		total += c->room - taken;
	/* A grant is never taken back: what is on its way comes. */
	if (total <= c->granted)
		return false;
	c->granted = total;
	return true;
}

void
customer_update(struct customer *c)
{
	if (customer_grant(c))
		customer_mark(c);
}

void
customer_recount(struct customer *c)
{
	unsigned binds = 0, receivers = 0;
	const struct esme *e;

	c->room = c->overdue = 0;
	TAILQ_FOREACH(e, &c->binds, customer_link) {
		binds += esme_is_bound(e);
		if (!esme_may_receive(e))
			continue;
		receivers++;
		c->room += e->window;
		c->overdue += e->overdue;
	}
	if (binds != c->bind_count || receivers != c->receiver_count)
		customer_mark(c);
	c->bind_count = binds;
	c->receiver_count = receivers;
	customer_update(c);
	if (receivers == 0 && c->in_hand > 0)
		deliver_return_all(c);
}

void
customer_overdue(struct esme *e, int change)
{
	e->overdue += (uint32_t)change;
	/* Whether it may receive changes only with a recount. */
	if (esme_may_receive(e))
		e->customer->overdue += (uint64_t)change;
}

static void
customer_send_seats(
    struct server *s, Hopyard__V1__Attach__Seat **seat, size_t n)
{
	Hopyard__V1__Attach attach = HOPYARD__V1__ATTACH__INIT;

	if (n == 0)
		return;
	attach.n_seat = n;
	attach.seat = seat;
	box_send(s->box, HOPYARD__V1__FRAME_TYPE__ATTACH, 0, 0, &attach.base);
}

/* One turn's changes. */
static void
customer_attach_cb(void *arg)
{
	struct server *s = arg;
	Hopyard__V1__Attach__Seat seats[CUSTOMER_SEATS];
	Hopyard__V1__Attach__Seat *seat[CUSTOMER_SEATS];
	struct customer_list told;
	struct customer *c;
	size_t n = 0;

	/* Not ready: all is told again when it is. */
	TAILQ_INIT(&told);
	while ((c = TAILQ_FIRST(&s->dirty)) != NULL) {
		TAILQ_REMOVE(&s->dirty, c, link);
		TAILQ_INSERT_TAIL(&told, c, link);
		if (!box_ready(s->box))
			continue;
		hopyard__v1__attach__seat__init(&seats[n]);
		seats[n].account.data = (uint8_t *)c->account;
		seats[n].account.len = strlen(c->account);
		seats[n].binds = c->bind_count + c->asking;
		seats[n].receivers = c->receiver_count;
		seats[n].items = c->granted;
		seat[n] = &seats[n];
		if (++n == CUSTOMER_SEATS) {
			customer_send_seats(s, seat, n);
			n = 0;
		}
	}
	customer_send_seats(s, seat, n);
	while ((c = TAILQ_FIRST(&told)) != NULL) {
		TAILQ_REMOVE(&told, c, link);
		c->dirty = false;
		customer_release(c);
	}
}

void
customer_all_ready(struct server *s)
{
	struct customer *c;
	struct customer_list idle;
	size_t pos = 0;

	TAILQ_INIT(&idle);
	while ((c = map_next(&s->customers, &pos)) != NULL) {
		c->came = 0;
		c->granted = 0;
		if (c->dirty)
			TAILQ_REMOVE(&s->dirty, c, link);
		c->dirty = customer_is_idle(c);
		if (c->dirty) {
			/* The new connection has never heard of it. */
			TAILQ_INSERT_TAIL(&idle, c, link);
			continue;
		}
		customer_grant(c);
		customer_mark(c);
	}
	while ((c = TAILQ_FIRST(&idle)) != NULL) {
		TAILQ_REMOVE(&idle, c, link);
		c->dirty = false;
		customer_free(c); /* NOLINT(clang-analyzer-unix.Malloc) */
	}
	turn_remove(&s->attach);
	customer_attach_cb(s);
}

/* --------------------------------------------------------------- sessions */

struct customer *
customer_ask(struct server *s, const char *account)
{
	struct customer *c = customer_get(s, account);

	c->asking++;
	return c;
}

void
customer_answered(struct server *s, const char *account)
{
	struct customer *c = customer_find(s, account, strlen(account));

	/* It is there as long as it asks. */
	assert(c != NULL && c->asking > 0);
	c->asking--;
	/* The bus counted it, whatever has become of it. */
	customer_mark(c);
}

void
customer_bind(struct server *s, const char *account, struct esme *e)
{
	struct customer *c = customer_get(s, account);

	assert(e->customer == NULL);
	e->customer = c;
	TAILQ_INSERT_TAIL(&c->binds, e, customer_link);
	customer_recount(c);
}

void
customer_unbind(struct esme *e)
{
	struct customer *c = e->customer;

	if (c->turn == e)
		c->turn = TAILQ_NEXT(e, customer_link);
	TAILQ_REMOVE(&c->binds, e, customer_link);
	e->customer = NULL;
	customer_recount(c);
	customer_release(c);
}

void
customers_init(struct server *s)
{
	map_init(&s->customers);
	TAILQ_INIT(&s->dirty);
	turn_task_init(
	    &s->attach, s->loop_turn, TURN_WORK, customer_attach_cb, s);
}

void
customers_fini(struct server *s)
{
	struct customer *c;
	size_t pos;

	turn_remove(&s->attach);
	for (pos = 0; (c = map_next(&s->customers, &pos)) != NULL; pos = 0)
		customer_free(c);
	map_fini(&s->customers);
}
