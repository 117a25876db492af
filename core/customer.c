/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/customer.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "core/engine.h"

/* A customer that comes back sooner finds its items where they were. */
#define AWAY_AFTER 5000
/* Items put out of memory in one tick, about. */
#define EVICT_MAX 4096
/* Queues looked at for expired items in one tick, and pages under way. */
#define LOOK_QUEUES  256
#define LOOK_PAGES   8
#define LOOK_TIMEOUT 30000

static bool
seat_open(const struct seat *s)
{
	return s->receivers > 0 && s->sent < s->granted;
}

/* The seats have changed: are the queues to be where they are? */
static void
customer_update(struct customer *c)
{
	const struct seat *s;
	bool open = false;

	TAILQ_FOREACH(s, &c->seats, link)
		open |= seat_open(s);
	if (open == c->open)
		return;
	c->open = open;
	for (int i = 0; i < CLASS_COUNT; i++)
		if (c->queue[i] != NULL)
			queue_park(c->queue[i], !open);
}

/* The same for receivers that have come or gone. */
static void
customer_attend(struct engine *e, struct customer *c)
{
	const struct seat *s;
	bool here = false;

	TAILQ_FOREACH(s, &c->seats, link)
		here |= s->receivers > 0;
	customer_update(c);
	if (here == c->here)
		return;
	c->here = here;
	c->left_at = e->now;
	for (int i = 0; i < CLASS_COUNT; i++) {
		struct queue *q = c->queue[i];

		if (q == NULL)
			continue;
		q->away = !here;
		if (!here)
			engine_page_abandon(e, q);
		else if (queue_deep(q) && !TAILQ_LINKED(q, deep_link))
			TAILQ_INSERT_TAIL(
			    &e->deep[q->target->role], q, deep_link);
	}
}

struct customer *
customer_of(struct engine *e, const char *account)
{
	struct customer *c =
	    map_get(&e->customer_by_account, account, strlen(account));

	if (c != NULL)
		return c;
	c = xcalloc(1, sizeof(*c));
	c->account = xstrdup(account);
	c->left_at = e->now;
	TAILQ_INIT(&c->seats);
	map_put(&e->customer_by_account, c->account, strlen(c->account), c);
	TAILQ_INSERT_TAIL(&e->customer_list, c, link);
	return c;
}

static void
seat_free(struct seat *s)
{
	TAILQ_REMOVE(&s->customer->seats, s, link);
	TAILQ_REMOVE(&s->box->seats, s, box_link);
	free(s);
}

void
customer_free(struct customer *c)
{
	struct seat *s, *next;

	TAILQ_FOREACH_SAFE(s, &c->seats, link, next)
		seat_free(s);
	free(c->account);
	free(c);
}

void
customer_add_queue(struct engine *e, struct queue *q)
{
	struct customer *c = customer_of(e, q->account);

	c->queue[q->class] = q;
	q->customer = c;
	q->away = !c->here;
	queue_park(q, !c->open);
}

uint64_t
customer_binds(const struct customer *c)
{
	const struct seat *s;
	uint64_t n = 0;

	TAILQ_FOREACH(s, &c->seats, link)
		n += s->binds;
	return n;
}

/* ----------------------------------------------------------------- seats */

struct seat *
customer_seat(const struct customer *c, uint64_t now)
{
	struct seat *s;

	TAILQ_FOREACH(s, &c->seats, link)
		if (seat_open(s) && !s->box->stalled &&
		    target_open(s->box, now) && target_has_credit(s->box, 1) &&
		    s->box->inflight_count < TARGET_INFLIGHT_MAX)
			return s;
	return NULL;
}

void
seat_take(struct seat *s)
{
	struct customer *c = s->customer;

	s->sent++;
	if (TAILQ_NEXT(s, link) != NULL) {
		TAILQ_REMOVE(&c->seats, s, link);
		TAILQ_INSERT_TAIL(&c->seats, s, link);
	}
	if (!seat_open(s))
		customer_update(c);
}

static struct seat *
seat_find(const struct customer *c, const struct target *box)
{
	struct seat *s;

	TAILQ_FOREACH(s, &c->seats, link)
		if (s->box == box)
			return s;
	return NULL;
}

void
seat_return(const struct msg *m)
{
	struct seat *s = seat_find(m->queue->customer, m->box);

	if (s == NULL || s->sent == 0)
		return;
	s->sent--;
	customer_update(s->customer);
}

static struct seat *
seat_make(struct customer *c, struct target *box)
{
	struct seat *s = seat_find(c, box);

	if (s != NULL)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->customer = c;
	s->box = box;
	TAILQ_INSERT_TAIL(&c->seats, s, link);
	TAILQ_INSERT_TAIL(&box->seats, s, box_link);
	return s;
}

/* The customer that a box names: one that there is, or could be. */
static struct customer *
customer_named(struct engine *e, ProtobufCBinaryData name)
{
	struct customer *c =
	    map_get(&e->customer_by_account, name.data, name.len);
	const struct account *a;

	if (c != NULL)
		return c;
	a = account_get(e->accounts, name.data, name.len);
	return a == NULL ? NULL : customer_of(e, a->id);
}

void
engine_attach(
    struct engine *e, struct target *box, const Hopyard__V1__Attach *attach)
{
	for (size_t i = 0; i < attach->n_seat; i++) {
		const Hopyard__V1__Attach__Seat *said = attach->seat[i];
		struct customer *c = customer_named(e, said->account);
		struct seat *s;

		/* The account has left the configuration, and the server will
		 * hear of it. */
		if (c == NULL)
			continue;
		s = seat_make(c, box);
		s->binds = said->binds;
		s->receivers = said->receivers;
		s->granted = said->items;
		customer_attend(e, c);
	}
}

unsigned
engine_bind(struct engine *e, struct target *box, struct bytes account,
    const char **why)
{
	const struct account *a =
	    account_get(e->accounts, account.p, account.len);
	struct customer *c;

	if (a == NULL || a->disabled || !a->smpp) {
		*why = "the account may not bind";
		return 403;
	}
	c = customer_of(e, a->id);
	if (a->max_binds != 0 && customer_binds(c) >= a->max_binds) {
		*why = "max_binds of the account is reached";
		return 409;
	}
	if (box != NULL)
		seat_make(c, box)->binds++;
	return 0;
}

void
customers_box_gone(struct engine *e, struct target *box)
{
	struct seat *s, *next;

	TAILQ_FOREACH_SAFE(s, &box->seats, box_link, next) {
		struct customer *c = s->customer;

		seat_free(s);
		customer_attend(e, c);
	}
}

/* -------------------------------------------------------------- all of them */

/* Nobody reads the queues that are away: what they hold must end in time all the
 * same. */
static void
end_expired(struct engine *e)
{
	for (int i = 0; i < LOOK_QUEUES; i++) {
		struct queue *q;

		if (e->looked >= e->next_queue)
			e->looked = 0;
		q = map_get_u64(&e->queue_by_number, ++e->looked);
		if (q == NULL || !q->away)
			continue;
		if (q->asked_at != 0 && e->now - q->asked_at >= LOOK_TIMEOUT) {
			engine_page_abandon(e, q);
			q->look_at = 0;
		}
		if (e->store && queue_deep(q) && q->asked_at == 0 &&
		    q->look_at <= e->now && q->cursor < e->ledger.horizon &&
		    e->pages[TARGET_ESME] < LOOK_PAGES && !engine_full(e))
			engine_page_away(e, q);
	}
}

void
customers_tick(struct engine *e)
{
	struct queue *q, *next;
	size_t n = 0;

	end_expired(e);

	TAILQ_FOREACH_SAFE(q, &e->customers->parked, active_link, next) {
		if (!q->away || e->now - q->customer->left_at < AWAY_AFTER)
			continue;
		n += engine_evict(e, q);
		if (n >= EVICT_MAX)
			return;
	}
}

void
customers_count(const struct engine *e, size_t *bound, size_t *seats)
{
	const struct customer *c;
	const struct seat *s;

	*bound = *seats = 0;
	TAILQ_FOREACH(c, &e->customer_list, link) {
		size_t n = 0;

		TAILQ_FOREACH(s, &c->seats, link)
			n += s->binds > 0;
		*bound += n > 0;
		*seats += n;
	}
}
