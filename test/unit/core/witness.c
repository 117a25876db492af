/* SPDX-License-Identifier: BSD-2-Clause */
#include "test/unit/core/witness.h"

#include <string.h>

/* Parts of a turn (queue.c), and the most that one message of ours has. */
#define QUANTUM   1
#define PARTS_MAX 3
/* Two that have had something all the time are never further apart: one may
 * have had its turn, and the other a debt, before we looked. */
#define APART (2 * (QUANTUM + PARTS_MAX))

void
witness_init(struct witness *w, unsigned starvation)
{
	memset(w, 0, sizeof(*w));
	w->starvation = starvation;
}

void
witness_restart(struct witness *w)
{
	memset(w->of, 0, sizeof(w->of));
}

static bool
may_go(const struct engine *e, const struct queue *q)
{
	return !q->hold && q->pause_until <= e->now && q->ready_count > 0 &&
	    (q->target->role != TARGET_HOOK || q->inflight < 256);
}

static bool
class_waits(const struct engine *e, const struct target *t, int class)
{
	const struct queue *q;

	TAILQ_FOREACH(q, &t->active[class], active_link)
		if (may_go(e, q))
			return true;
	return false;
}

static const char *
check_classes(
    struct witness *w, const struct engine *e, struct target *t, int class)
{
	bool higher = false, lower = false;

	for (int c = 0; c < class; c++)
		higher |= class_waits(e, t, c);
	for (int c = class + 1; c < CLASS_COUNT; c++)
		lower |= class_waits(e, t, c);
	if (higher &&
	    (w->starvation == 0 || t->dispatches % w->starvation != 0))
		return "a lower class goes first";
	if (!lower || higher)
		w->of[t->index].passed = 0;
	else if (w->starvation > 0 &&
	    ++w->of[t->index].passed > CLASS_COUNT * w->starvation)
		return "a lower class starves";
	return NULL;
}

/* The queues of this class that have something, and the one that had. */
static size_t
contenders(const struct engine *e, const struct target *t,
    const struct queue *now, uint32_t number[WITNESS_QUEUES])
{
	const struct queue *q;
	size_t n = 0;

	TAILQ_FOREACH(q, &e->queues, all_link)
		if (q->target == t && q->class == now->class &&
		    (q == now || may_go(e, q)) && n < WITNESS_QUEUES)
			number[n++] = q->number;
	return n;
}

static const char *
check_shares(struct witness *w, const struct engine *e, const struct target *t,
    const struct msg *m)
{
	uint32_t number[WITNESS_QUEUES], most = 0, least = UINT32_MAX;
	size_t n = contenders(e, t, m->queue, number);
	struct share *share = w->of[t->index].share;
	bool same = n == w->of[t->index].shares &&
	    w->of[t->index].class == m->queue->class;

	for (size_t i = 0; same && i < n; i++)
		same = share[i].queue == number[i];
	if (!same) {
		w->of[t->index].shares = n;
		w->of[t->index].class = m->queue->class;
		for (size_t i = 0; i < n; i++)
			share[i] = (struct share){ .queue = number[i] };
	}
	for (size_t i = 0; i < n; i++) {
		if (share[i].queue == m->queue->number)
			share[i].parts += m->parts;
		if (share[i].parts > most)
			most = share[i].parts;
		if (share[i].parts < least)
			least = share[i].parts;
	}
	return most - least > APART ? "an account has more than its share"
				    : NULL;
}

static const char *
check_order(const struct msg *m, bool (*plain)(void *arg, const struct msg *),
    void *arg)
{
	const struct msg *other;

	if (!plain(arg, m))
		return NULL;
	TAILQ_FOREACH(other, &m->queue->ready, link)
		if (other->seq < m->seq && plain(arg, other))
			return "overtakes one of its queue";
	return NULL;
}

const char *
witness_dispatch(struct witness *w, struct engine *e, struct target *t,
    const struct msg *m, bool (*plain)(void *arg, const struct msg *),
    void *arg)
{
	const char *broken;

	if (m->queue->hold)
		return "goes out of a queue on hold";
	if (m->queue->pause_until > e->now || t->pause_until > e->now)
		return "goes out in a pause";
	if (t->admin == TARGET_ADMIN_MAINT)
		return "goes to a box under maintenance";
	if ((broken = check_order(m, plain, arg)) != NULL)
		return broken;
	if (t->role == TARGET_ESME || t->index >= WITNESS_TARGETS)
		return NULL; /* whose turn it is, its seats say as well */
	/* Turns of items that wait for a record, or have expired, are not seen:
	 * count only what follows without a gap. */
	if (t->dispatches != w->of[t->index].turn + 1) {
		w->of[t->index].passed = 0;
		w->of[t->index].shares = 0;
	}
	w->of[t->index].turn = t->dispatches;
	if ((broken = check_classes(w, e, t, m->queue->class)) != NULL)
		return broken;
	return check_shares(w, e, t, m);
}
