/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "common/xalloc.h"
#include "core/customer.h"

/* Parts that an account may send before the next one has its turn. */
#define QUANTUM 1
/* Items of one hook queue that may be out, so that an endpoint that hangs
 * leaves room for the others. */
#define HOOK_QUEUE_INFLIGHT 256

struct target *
target_new(const char *name, enum target_role role, uint32_t index)
{
	struct target *t;

	t = xcalloc(1, sizeof(*t));
	t->name = xstrdup(name);
	t->role = role;
	t->index = index;
	t->configured = true;
	t->unsure = true;
	TAILQ_INIT(&t->inflight);
	for (int c = 0; c < CLASS_COUNT; c++)
		TAILQ_INIT(&t->active[c]);
	TAILQ_INIT(&t->parked);
	TAILQ_INIT(&t->seats);
	map_init(&t->in_hand);
	return t;
}

void
target_free(struct target *t)
{
	map_fini(&t->in_hand);
	free(t->retry);
	free(t->name);
	free(t);
}

static const struct box_type {
	const char *type;
	enum target_role role;
	bool given; /* items, in this role */
	bool filter;
} box_types[] = {
	{ "http", TARGET_CONNECTOR, false, false },
	{ "admin", TARGET_CONNECTOR, false, false },
	{ "store", TARGET_CONNECTOR, false, false },
	{ "smppc", TARGET_CONNECTOR, true, false },
	{ "hook", TARGET_HOOK, true, false },
	{ "smpps", TARGET_ESME, true, false },
	{ "lua", TARGET_CONNECTOR, false, true },
};

/* NULL for a type of its own, which says its role itself. */
static const struct box_type *
box_type_find(const struct conf_group *g)
{
	for (size_t i = 0; i < ARRAY_LEN(box_types); i++)
		if (strcmp(conf_str(g, "type"), box_types[i].type) == 0)
			return &box_types[i];
	return NULL;
}

bool
target_is_filter(const struct conf_group *g)
{
	const struct box_type *known = box_type_find(g);
	const char *said = conf_str(g, "role");

	return known != NULL ? known->filter
			     : said != NULL && strcmp(said, "filter") == 0;
}

bool
target_role_of(const struct conf_group *g, enum target_role *role)
{
	const struct box_type *known = box_type_find(g);
	const char *said = conf_str(g, "role");

	if (known != NULL) {
		*role = known->role;
		return known->given;
	}
	*role = said != NULL && strcmp(said, "hook") == 0 ? TARGET_HOOK
							  : TARGET_CONNECTOR;
	return !target_is_filter(g) &&
	    (said == NULL || strcmp(said, "front") != 0);
}

bool
target_open(const struct target *t, uint64_t now)
{
	return t->state == TARGET_READY && t->up &&
	    t->admin != TARGET_ADMIN_MAINT && t->pause_until <= now;
}

bool
target_usable(const struct target *t)
{
	return t->configured && t->up && t->admin == TARGET_ADMIN_READY &&
	    (t->state == TARGET_READY || t->state == TARGET_GREETED);
}

bool
target_has_credit(const struct target *t, size_t bytes)
{
	return t->sent_items < t->granted_items &&
	    t->sent_bytes + bytes <= t->granted_bytes;
}

struct queue *
queue_new(uint32_t number, struct target *t, uint8_t class, const char *account)
{
	struct queue *q;

	assert(class < CLASS_COUNT);
	q = xcalloc(1, sizeof(*q));
	q->number = number;
	q->target = t;
	q->class = class;
	q->account = xstrdup(account);
	TAILQ_INIT(&q->ready);
	TAILQ_INIT(&q->kept);
	TAILQ_INIT(&q->paged);
	map_init(&q->gone);
	return q;
}

void
queue_free(struct queue *q)
{
	map_fini(&q->gone);
	free(q->account);
	free(q);
}

uint64_t
queue_low(const struct queue *q)
{
	const struct msg *kept = TAILQ_FIRST(&q->kept);
	const struct msg *paged = TAILQ_FIRST(&q->paged);
	uint64_t low = UINT64_MAX;

	if (queue_deep(q))
		low = q->cursor + 1;
	if (kept != NULL && kept->seq < low)
		low = kept->seq;
	if (paged != NULL && paged->seq < low)
		low = paged->seq;
	return low == UINT64_MAX ? 0 : low;
}

static void
insert_by_seq(struct msg_list *list, struct msg *m)
{
	struct msg *before =
	    TAILQ_EMPTY(list) ? NULL : TAILQ_LAST(list, msg_list);

	/* Nearly always the end is the place. */
	while (before != NULL && before->seq > m->seq)
		before = TAILQ_PREV(before, msg_list, home_link);
	if (before == NULL)
		TAILQ_INSERT_HEAD(list, m, home_link);
	else
		TAILQ_INSERT_AFTER(list, before, m, home_link);
}

void
queue_adopt(struct queue *home, struct msg *m, bool paged)
{
	m->home = home;
	m->paged = paged;
	insert_by_seq(paged ? &home->paged : &home->kept, m);
	home->home_count++;
}

void
queue_disown(struct msg *m)
{
	struct queue *home = m->home;

	if (home == NULL)
		return;
	if (m->paged)
		TAILQ_REMOVE(&home->paged, m, home_link);
	else
		TAILQ_REMOVE(&home->kept, m, home_link);
	home->home_count--;
	m->home = NULL;
}

/* Where a queue with items has its turn, or waits for one. */
static struct queue_list *
round_of(struct queue *q)
{
	return q->parked ? &q->target->parked : &q->target->active[q->class];
}

void
queue_park(struct queue *q, bool parked)
{
	if (q->parked == parked)
		return;
	if (q->active)
		TAILQ_REMOVE(round_of(q), q, active_link);
	q->parked = parked;
	if (q->active)
		TAILQ_INSERT_TAIL(round_of(q), q, active_link);
}

void
queue_push(struct queue *q, struct msg *m, bool front)
{
	msg_enter_state(m, MSG_READY);
	m->queue = q;
	if (front)
		TAILQ_INSERT_HEAD(&q->ready, m, link);
	else
		TAILQ_INSERT_TAIL(&q->ready, m, link);
	q->ready_count++;
	q->target->ready_count++;
	if (!q->active) {
		q->active = true;
		TAILQ_INSERT_TAIL(round_of(q), q, active_link);
	}
}

void
queue_remove(struct queue *q, struct msg *m)
{
	assert(m->state == MSG_READY && m->queue == q);
	TAILQ_REMOVE(&q->ready, m, link);
	q->ready_count--;
	q->target->ready_count--;
	if (q->ready_count == 0 && q->active) {
		q->active = false;
		/* What is left over is lost; a debt is kept. */
		if (q->deficit > 0)
			q->deficit = 0;
		TAILQ_REMOVE(round_of(q), q, active_link);
	}
}

static bool
queue_may_send(const struct queue *q, uint64_t now)
{
	if (q->hold || q->pause_until > now)
		return false;
	switch (q->target->role) {
	case TARGET_CONNECTOR:
		break;
	case TARGET_HOOK:
		return q->inflight < HOOK_QUEUE_INFLIGHT;
	case TARGET_ESME:
		return TAILQ_FIRST(&q->ready)->seq > q->target->floor &&
		    customer_seat(q->customer, now) != NULL;
	case TARGET_PARTS:
		break;
	}
	return true;
}

static struct msg *
class_next(struct target *t, int class, uint64_t now)
{
	struct queue_list *list = &t->active[class];
	struct queue *q, *stopped = NULL;
	struct msg *m;

	/* One that may not send goes behind, as does one in debt after it has
	 * had its quantum; a round of the former alone ends the search. */
	while ((q = TAILQ_FIRST(list)) != NULL && q != stopped) {
		bool may = queue_may_send(q, now);

		if (may && q->deficit <= 0)
			q->deficit += QUANTUM;
		/* Nobody else waits: nobody is wronged. */
		if (may && TAILQ_NEXT(q, active_link) == NULL &&
		    q->deficit <= 0)
			q->deficit = 1;
		if (may && q->deficit > 0) {
			m = TAILQ_FIRST(&q->ready);
			q->deficit -= m->parts;
			queue_remove(q, m);
			if (q->active && q->deficit <= 0) {
				TAILQ_REMOVE(list, q, active_link);
				TAILQ_INSERT_TAIL(list, q, active_link);
			}
			return m;
		}
		if (may)
			stopped = NULL;
		else if (stopped == NULL)
			stopped = q;
		TAILQ_REMOVE(list, q, active_link);
		TAILQ_INSERT_TAIL(list, q, active_link);
	}
	return NULL;
}

struct msg *
target_next(struct target *t, uint64_t now, unsigned starvation)
{
	struct msg *m;
	int top;

	for (top = 0; top < CLASS_COUNT; top++)
		if (!TAILQ_EMPTY(&t->active[top]))
			break;
	if (top == CLASS_COUNT)
		return NULL;
	t->dispatches++;
	if (starvation > 0 && t->dispatches % starvation == 0) {
		/* The lower classes in turn, or the lowest would starve those
		 * in the middle; whichever is the top, which may be one that
		 * may not go. */
		for (int i = 1; i <= CLASS_COUNT; i++) {
			int c = (t->guard + i) % CLASS_COUNT;

			if (c > top && (m = class_next(t, c, now)) != NULL) {
				t->guard = (uint8_t)c;
				return m;
			}
		}
	}
	for (int c = top; c < CLASS_COUNT; c++)
		if ((m = class_next(t, c, now)) != NULL)
			return m;
	return NULL;
}
