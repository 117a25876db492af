/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smpps/customer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/smpps/cell.h"
#include "boxes/smpps/deliver.h"
#include "boxes/smpps/server.h"
#include "common/box.h"
#include "common/log.h"
#include "common/xalloc.h"

#define CUSTOMER_SEATS 256 /* of one Attach: far from the size of a frame */

struct customer *
customer_find(const struct cell *cell, const void *account, size_t len)
{
	return map_get(&cell->customers, account, len);
}

static void
customer_sit(struct customer *c, struct cell *cell)
{
	struct seat *seat = &c->seat[cell->index];

	seat->customer = c;
	seat->cell = cell;
	map_put(&cell->customers, c->account, strlen(c->account), c);
}

static struct customer *
customer_get(struct cell *cell, const char *account)
{
	struct customer *c = customer_find(cell, account, strlen(account));
	struct server *s = cell->server;

	if (c != NULL)
		return c;
	c = xcalloc(1, sizeof(*c) + s->cells * sizeof(struct seat));
	c->server = s;
	c->cell = cell;
	c->account = xstrdup(account);
	TAILQ_INIT(&c->binds);
	TAILQ_INIT(&c->waiting);
	TAILQ_INSERT_TAIL(&s->customers, c, link);
	customer_sit(c, cell);
	return c;
}

/* The next seat that it has, from i on; NULL: no more. */
static struct seat *
customer_seat(struct customer *c, unsigned *i)
{
	while (*i < c->server->cells)
		if (c->seat[(*i)++].cell != NULL)
			return &c->seat[*i - 1];
	return NULL;
}

static void
customer_free(struct customer *c)
{
	struct seat *seat;
	unsigned i = 0;

	while ((seat = customer_seat(c, &i)) != NULL) {
		if (seat->dirty)
			TAILQ_REMOVE(&seat->cell->dirty, seat, link);
		map_del(&seat->cell->customers, c->account, strlen(c->account));
	}
	TAILQ_REMOVE(&c->server->customers, c, link);
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
	struct seat *seat;
	unsigned i = 0;

	if (!customer_is_idle(c))
		return;
	/* A bus counts on from what it was granted. */
	while ((seat = customer_seat(c, &i)) != NULL)
		if (seat->dirty || seat->granted != 0)
			return;
	customer_free(c);
}

/* ------------------------------------------------------ telling the bus */

static void
seat_mark(struct seat *seat)
{
	if (seat->dirty)
		return;
	seat->dirty = true;
	TAILQ_INSERT_TAIL(&seat->cell->dirty, seat, link);
	turn_add(&seat->cell->attach);
}

static void
customer_mark(struct customer *c)
{
	struct seat *seat;
	unsigned i = 0;

	while ((seat = customer_seat(c, &i)) != NULL)
		seat_mark(seat);
}

/*
 * What the windows of the receivers can hold, less what is in hand and what
 * fills them without being in hand: requests that are overdue.
 */
static bool
seat_grant(struct seat *seat)
{
	const struct customer *c = seat->customer;
	uint64_t taken = c->in_hand + c->overdue, total = seat->came;

	if (c->room > taken)
		total += c->room - taken;
	/* A grant is never taken back: what is on its way comes. */
	if (total <= seat->granted)
		return false;
	seat->granted = total;
	return true;
}

void
customer_update(struct customer *c)
{
	struct seat *seat;
	unsigned i = 0;

	while ((seat = customer_seat(c, &i)) != NULL)
		if (seat_grant(seat))
			seat_mark(seat);
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
customer_send_seats(struct box *box, Hopyard__V1__Attach__Seat **seat, size_t n)
{
	Hopyard__V1__Attach attach = HOPYARD__V1__ATTACH__INIT;

	if (n == 0)
		return;
	attach.n_seat = n;
	attach.seat = seat;
	box_send(box, HOPYARD__V1__FRAME_TYPE__ATTACH, 0, 0, &attach.base);
}

/* One turn's changes. */
static void
customer_attach_cb(void *arg)
{
	struct cell *cell = arg;
	Hopyard__V1__Attach__Seat seats[CUSTOMER_SEATS];
	Hopyard__V1__Attach__Seat *list[CUSTOMER_SEATS];
	struct seat_list told;
	struct seat *seat;
	struct customer *c;
	size_t n = 0;

	/* Not ready: all is told again when it is. */
	TAILQ_INIT(&told);
	while ((seat = TAILQ_FIRST(&cell->dirty)) != NULL) {
		TAILQ_REMOVE(&cell->dirty, seat, link);
		TAILQ_INSERT_TAIL(&told, seat, link);
		if (!box_ready(cell->box))
			continue;
		c = seat->customer;
		hopyard__v1__attach__seat__init(&seats[n]);
		seats[n].account.data = (uint8_t *)c->account;
		seats[n].account.len = strlen(c->account);
		seats[n].binds = c->bind_count + c->asking;
		seats[n].receivers = c->receiver_count;
		seats[n].items = seat->granted;
		list[n] = &seats[n];
		if (++n == CUSTOMER_SEATS) {
			customer_send_seats(cell->box, list, n);
			n = 0;
		}
	}
	customer_send_seats(cell->box, list, n);
	while ((seat = TAILQ_FIRST(&told)) != NULL) {
		TAILQ_REMOVE(&told, seat, link);
		seat->dirty = false;
		customer_release(seat->customer);
	}
}

void
customer_all_ready(struct cell *cell)
{
	struct customer *c, *next;
	struct seat *seat;

	TAILQ_FOREACH_SAFE(c, &cell->server->customers, link, next) {
		seat = &c->seat[cell->index];
		if (seat->cell == NULL)
			continue;
		/* The new connection has never heard of it. */
		seat->came = seat->granted = 0;
		if (seat->dirty)
			TAILQ_REMOVE(&cell->dirty, seat, link);
		seat->dirty = false;
		if (customer_is_idle(c)) {
			customer_release(c);
			continue;
		}
		seat_grant(seat);
		seat_mark(seat);
	}
	turn_remove(&cell->attach);
	customer_attach_cb(cell);
}

/* --------------------------------------------------------------- sessions */

bool
customer_move(struct customer *c, struct cell *cell, unsigned former)
{
	struct server *s = c->server;
	struct customer *there;
	unsigned i;

	there = customer_find(cell, c->account, strlen(c->account));
	if (there != NULL && there != c)
		return false;
	if (c->cell != cell)
		log_info("smpp.moved", "account=%s from=%s to=%s", c->account,
		    c->cell->name != NULL ? c->cell->name : "",
		    cell->name != NULL ? cell->name : "");
	c->cell = cell;
	former |= 1u << cell->index;
	for (i = 0; i < s->cells; i++)
		if ((former & 1u << i) != 0 && c->seat[i].cell == NULL &&
		    customer_find(
			&s->cell[i], c->account, strlen(c->account)) == NULL)
			customer_sit(c, &s->cell[i]);
	customer_mark(c);
	customer_update(c);
	return true;
}

unsigned
customer_former(const struct customer *c)
{
	unsigned i, former = 0;

	for (i = 0; i < c->server->cells; i++)
		if (c->seat[i].cell != NULL && c->seat[i].cell != c->cell)
			former |= 1u << i;
	return former;
}

/* The one that was in a former cell until now, or NULL. */
static struct customer *
customer_before(struct cell *cell, unsigned former, const char *account)
{
	struct server *s = cell->server;
	struct customer *c;
	unsigned i;

	for (i = 0; i < s->cells; i++) {
		if ((former & 1u << i) == 0)
			continue;
		c = customer_find(&s->cell[i], account, strlen(account));
		if (c != NULL)
			return c;
	}
	return NULL;
}

void
customer_ask(struct cell *cell, unsigned former, const char *account)
{
	struct customer *c = customer_find(cell, account, strlen(account));

	if (c == NULL)
		c = customer_before(cell, former, account);
	if (c == NULL)
		c = customer_get(cell, account);
	if (c->cell != cell || former != 0)
		(void)customer_move(c, cell, former);
	c->asking++;
}

void
customer_answered(struct cell *cell, const char *account)
{
	struct customer *c = customer_find(cell, account, strlen(account));

	/* It is there as long as it asks. */
	assert(c != NULL && c->asking > 0);
	c->asking--;
	/* The bus counted it, whatever has become of it. */
	customer_mark(c);
}

void
customer_bind(struct cell *cell, const char *account, struct esme *e)
{
	struct customer *c = customer_get(cell, account);

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
customers_init(struct cell *cell)
{
	map_init(&cell->customers);
	TAILQ_INIT(&cell->dirty);
	turn_task_init(&cell->attach, cell->server->loop_turn, TURN_WORK,
	    customer_attach_cb, cell);
}

void
customers_fini(struct server *s)
{
	struct customer *c;
	unsigned i;

	for (i = 0; i < s->cells; i++)
		turn_remove(&s->cell[i].attach);
	while ((c = TAILQ_FIRST(&s->customers)) != NULL)
		customer_free(c); /* NOLINT(clang-analyzer-unix.Malloc) */
	for (i = 0; i < s->cells; i++)
		map_fini(&s->cell[i].customers);
}
