/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * queue.h - where items wait: targets (a connector or hook box), and per
 * target one queue for each class and account.
 *
 * A queue is deep while its cursor is below its tail: items in between are
 * only in the store and come back in pages.  Its low mark is the lowest seq
 * that may still be live; a checkpoint of all low marks is all that recovery
 * needs.
 */
#ifndef CORE_QUEUE_H
#define CORE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/map.h"
#include "common/queue.h"
#include "core/msg.h"

struct conf_group;

#define CLASS_COUNT 4 /* OTP, ALERT, TXN, BULK as 0..3 */
#define CLASS_ALERT 1

enum target_role {
	TARGET_CONNECTOR = 0,
	TARGET_HOOK,
	TARGET_ESME,  /* an SMPP server, or all customers as one */
	TARGET_PARTS, /* no box: parts of MO, see parts.h */
};
#define TARGET_ROLES 4

enum target_state {
	TARGET_AWAY = 0, /* not connected, and nothing of ours is with it */
	TARGET_LOST,     /* connection gone; its items wait for its return */
	TARGET_GREETED,  /* Hello done, IN_HAND may still come */
	TARGET_READY,    /* has granted credit */
};

/* What the operator said. */
enum target_admin {
	TARGET_ADMIN_READY = 0,
	TARGET_ADMIN_DRAIN, /* routes avoid it, its queue is still sent */
	TARGET_ADMIN_MAINT, /* nothing is sent */
};

struct queue {
	uint32_t number;
	struct target *target;
	uint8_t class; /* 0..3 */
	char *account;
	struct msg_list ready;
	struct msg_list kept;  /* home of items kept since they came, by seq */
	struct msg_list paged; /* home of items that a page brought, by seq */
	uint32_t ready_count;
	uint32_t home_count; /* on kept and paged */
	uint32_t inflight;
	uint64_t cursor; /* everything up to here has been loaded or is done */
	uint64_t tail;   /* last seq that was left to the store */
	uint64_t paged_to; /* what pages have brought or would have */
	uint64_t kept_to;  /* highest seq that was kept while others spilled */
	uint64_t verify;  /* pages starting below this leave out closed items */
	uint64_t spilled; /* items between cursor and tail, an estimate */
	uint64_t look_at; /* mono ms: what is away may have expired */
	uint64_t asked_at;  /* mono ms of the page that is under way, 0 none */
	uint32_t page;      /* its number, so that a late one is told apart */
	uint64_t page_tail; /* the tail when it was asked for */
	uint32_t page_room; /* items that it may bring */
	struct map gone;    /* items that ended while it was under way */
	struct customer *customer; /* of CUSTOMERS_TARGET, else NULL */
	uint64_t pause_until;      /* mono ms */
	bool parked;               /* no seat takes its items now */
	bool away;       /* and none will: they are left to the store */
	bool caught_up;  /* the last page reached the horizon */
	bool hold;       /* by the operator */
	bool active;     /* on target->active[class], or ->parked */
	int32_t deficit; /* parts left in this round; below 0: in debt */
	TAILQ_ENTRY(queue) active_link;
	uint64_t scanned_epoch; /* of the last search for another way */
	TAILQ_ENTRY(queue) deep_link;
	TAILQ_ENTRY(queue) all_link;
};

TAILQ_HEAD(queue_list, queue);
TAILQ_HEAD(seat_list, seat);

/* Items that one box may have in its hands. */
#define TARGET_INFLIGHT_MAX 16384

struct target {
	char *name;
	enum target_role role;
	enum target_state state;
	enum target_admin admin;
	bool up;         /* a connector: its LinkState; a hook: connected */
	bool configured; /* still in the configuration */
	bool failed;     /* down for long enough to route around it */
	bool met;        /* has said Hello to this process of ours */
	/*
	 * Items that an earlier bus may have handed to it are neither in its
	 * hand nor known to be unsent: it was killed as well.
	 */
	bool unsure;
	bool lost;         /* and will stay so */
	bool told;         /* since Hello: it has said what it has in hand */
	bool settled;      /* and that was all */
	bool schedules;    /* its SMSC holds what is to be sent later */
	const char *scope; /* of ids that its carrier gives, NULL: its name */
	/* Mono ms: answers of its to its carrier may have been lost then. */
	uint64_t broke_at;
	/* A hook: pauses between attempts, then an item is parked; NULL: the
	 * usual. */
	uint64_t *retry;
	size_t retries;
	uint32_t index;
	uint32_t peer; /* id, 0 = none */
	uint8_t instance[16];
	uint64_t granted_items, granted_bytes; /* totals since Hello */
	uint64_t sent_items, sent_bytes;
	uint64_t since;       /* mono ms, of the state */
	uint64_t lost_seq;    /* last record about what a dead one had */
	uint32_t lookups;     /* for results of its that wait */
	uint64_t down_since;  /* mono ms, while not up */
	uint64_t pause_until; /* mono ms */
	uint32_t dispatches;  /* for the starvation guard */
	uint8_t guard;        /* the class that had its last turn */
	uint32_t inflight_count;
	uint64_t ready_count;
	struct msg_list inflight;
	struct queue_list active[CLASS_COUNT];
	/* Of CUSTOMERS_TARGET. */
	struct queue_list parked; /* queues with items that no seat takes */
	uint64_t floor; /* items up to this seq may be in a server's hands */
	/* Of a server. */
	struct seat_list seats;
	struct target *next_server;
	bool stalled; /* out of credit for this turn */
	/* Refs that it says it has, of items not loaded yet. */
	struct map in_hand;
	/* Counters for people. */
	uint64_t submitted, failed_count, retried;
	uint32_t bound, binds, window;
	char detail[128];
};

struct target *target_new(const char *name, enum target_role, uint32_t index);
void target_free(struct target *);
/* What a box is to the engine; false for one that it hands nothing to. */
bool target_role_of(const struct conf_group *, enum target_role *);
/* Such a one is asked, see filter.h. */
bool target_is_filter(const struct conf_group *);
/* May items be handed over right now? */
bool target_open(const struct target *, uint64_t now);
/* May the router choose it? */
bool target_usable(const struct target *);
/* Credit for one more item of this size. */
bool target_has_credit(const struct target *, size_t bytes);

struct queue *queue_new(
    uint32_t number, struct target *, uint8_t class, const char *account);
void queue_free(struct queue *);

static inline bool
queue_deep(const struct queue *q)
{
	return q->cursor < q->tail;
}

/* The box in whose name an item is recorded: that of its queue; of an item for
 * a customer, the server that had it last. */
static inline struct target *
queue_box(const struct msg *m)
{
	struct target *t = m->queue->target;

	return t->role == TARGET_ESME && m->box != NULL ? m->box : t;
}

/* Has t a word in what becomes of it?  While one has it in hand, only that one;
 * before, any server for an item of a customer. */
static inline bool
queue_serves(const struct msg *m, const struct target *t)
{
	if (m->state == MSG_INFLIGHT || m->state == MSG_ATTEMPTING)
		return m->box == t;
	return m->queue->target == t ||
	    (t->role == TARGET_ESME && m->queue->target->role == TARGET_ESME);
}

/* Lowest seq that may be live, or 0 when the queue is empty. */
uint64_t queue_low(const struct queue *);

/* Home lists: who holds the low mark.  Kept in order of seq. */
void queue_adopt(struct queue *home, struct msg *, bool paged);
void queue_disown(struct msg *);

/* Put at the end (or the front) of the ready list. */
void queue_push(struct queue *, struct msg *, bool front);
void queue_remove(struct queue *, struct msg *);
/* Out of the round of its target and back into it; items may be added and
 * removed all the same. */
void queue_park(struct queue *, bool parked);

/*
 * The next item of this target: classes in order of priority, every n-th turn
 * (starvation) a lower one, each in its turn; accounts inside a class in
 * deficit round robin, counted in parts.  Takes it off its ready list.  NULL when nothing may go.
 */
struct msg *target_next(struct target *, uint64_t now, unsigned starvation);

#endif
