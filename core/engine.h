/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * engine.h - all decisions of the bus, as a pure function of its state, the
 * events below and the time it is told: no clock, socket, log or file here, so
 * that a run can be repeated bit for bit.
 *
 * Events come in as engine_*() calls; effects go out through struct
 * engine_ops, at once and in order.  Effects must not call back into the
 * engine.  Files: engine.c (targets, dispatch, time), admit.c (what comes in),
 * filter.c (who has a word on it before),
 * parts.c (MO in several parts), outcome.c (what became of it), page.c (the
 * store, recovery, deep queues).
 *
 * Life of an item here:
 *	admitted -> record -> PENDING -> horizon -> READY -> (ATTEMPTING) ->
 *	INFLIGHT -> result -> event record -> DONE -> horizon -> freed
 *	                  \-> WAITING (retry) -> READY
 */
#ifndef CORE_ENGINE_H
#define CORE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/map.h"
#include "core/account.h"
#include "core/customer.h"
#include "core/filter.h"
#include "core/lease.h"
#include "core/ledger.h"
#include "core/parts.h"
#include "core/pressure.h"
#include "core/queue.h"
#include "core/replace.h"
#include "core/route.h"
#include "core/step.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct conf;
struct inbound;

/* For engine_settle: the answer goes to a control call, not to a peer. */
#define ENGINE_PEER_CALL UINT32_MAX

/* Correlation of a page: what it is for, and a count; below it, for a queue,
 * its number. */
#define ENGINE_PAGE_QUEUE  (1ull << 56)
#define ENGINE_PAGE_DUE    (2ull << 56)
#define ENGINE_PAGE_LOOKUP (3ull << 56)
#define ENGINE_PAGE_KIND   (0xffull << 56)
#define ENGINE_PAGE_COUNT  0xffffffu

/* Largest item from a box (envelope, body and report) and largest result: what
 * is recorded of them, with a DLR, must fit one frame. */
#define ENGINE_ITEM_MAX   (128 * 1024)
#define ENGINE_RESULT_MAX (32 * 1024)

#define ENGINE_DLR_VALIDITY      (3 * 24 * 3600 * 1000ull)
#define ENGINE_DLR_VALIDITY_ESME (24 * 3600 * 1000ull)

/* A receipt may come so long after the end of the validity. */
#define ENGINE_RECEIPT_GRACE (60 * 1000ull)

#define ENGINE_ADDRESS_MAX 21

/* What filters did with a message, in words; longer ones are cut. */
#define ENGINE_FILTERED 96

/* A message is held no longer than this. */
#define ENGINE_DELAY_MAX (7 * 24 * 3600 * 1000ull)

/* One line for people per message and step. */
struct engine_note {
	const char *event; /* "msg.accepted" */
	const uint8_t *id;
	struct bytes to, from, account;
	const char *via;
	const char *status;
	const char *why;
	uint64_t delay_ms;
	uint64_t ref;
};

struct engine_ops {
	/* An item of a peer is done with, or refused. */
	void (*settle)(void *arg, uint32_t peer, uint64_t number,
	    Hopyard__V1__Ack__Code, const char *text);
	/* Hand an item to the box behind a target. */
	void (*deliver)(void *arg, struct target *, const struct item *);
	void (*recall)(void *arg, struct target *, uint64_t ref);
	void (*page)(
	    void *arg, uint64_t correlation, const Hopyard__V1__Page *);
	/* A call that waited (cancel) has its answer: code as in Reply. */
	void (*answer)(
	    void *arg, uint64_t token, unsigned code, const char *text);
	void (*note)(void *arg, const struct engine_note *);
	/* Ask the filter box at this peer. */
	void (*ask)(void *arg, uint32_t peer, const struct item *);
	/* It is asked again, or not any more; may be NULL. */
	void (*filter_state)(void *arg, const struct filter *, const char *why);
};

struct engine_limits {
	size_t ready_items, ready_bytes;
	size_t queue_items;
	unsigned starvation;
	uint64_t checkpoint_ms;
	uint64_t failover_ms;
	uint64_t reclaim_ms;
	uint64_t join_ms;
};

/* A look-up by id that is under way in the store. */
struct lookup {
	uint64_t correlation;
	enum {
		LOOKUP_RESULT,
		LOOKUP_CANCEL,
		LOOKUP_REPLAY,
		LOOKUP_PARTS,
		LOOKUP_REPLACED
	} why;
	uint8_t id[16];
	uint8_t new_id[16]; /* replay */
	bool force;         /* replay: also what was sent */
	uint64_t ref;
	struct target *target;
	uint32_t peer;
	uint64_t number; /* or token of the call */
	bool found;
	bool closed;
	bool overtaken;      /* an item of this id ended: ask again */
	bool deferred;       /* not to be asked before that */
	struct lookup *same; /* next of this id */
	struct queue *home;  /* of msg */
	struct msg *msg;
	Hopyard__V1__State state;
	size_t result_len;
	uint8_t result[];
};

struct engine_counters {
	uint64_t accepted, refused, inbound, receipts;
	uint64_t submitted, retries, rerouted, notified, expired;
	uint64_t paged;
	uint64_t duplicates; /* found by the store */
	uint64_t repeated;   /* MOs that a carrier sent once more */
	uint64_t withdrawn;  /* by front ends */
};

struct engine {
	const struct engine_ops *ops;
	void *arg;
	struct engine_limits limits;
	uint64_t now;  /* mono ms */
	uint64_t wall; /* wall ms */
	struct steps steps;
	uint64_t rng;
	bool notes;

	const struct conf *conf; /* borrowed */
	uint64_t version;
	struct account_table *accounts;
	struct route_table *routes;

	struct target **target;
	size_t target_count;
	struct map target_by_name;
	struct target *first_hook;
	struct target *customers;    /* CUSTOMERS_TARGET */
	struct target *first_server; /* by next_server */
	TAILQ_HEAD(customer_list, customer) customer_list;
	struct map customer_by_account;
	uint32_t looked; /* number of the last queue that was */

	struct queue_list queues;
	/* By role; may hold queues that no longer are. */
	struct queue_list deep[TARGET_ROLES];
	struct map queue_by_number;
	struct map queue_by_key; /* target index, class, account */
	struct map keys;         /* the keys themselves, owned */
	uint32_t next_queue;
	size_t queue_count;
	size_t pages[TARGET_ROLES]; /* of queues under way */
	size_t page_room;           /* items that they may bring */

	struct parts *parts;
	struct repeats *repeats; /* NULL: there never was an MO */

	struct filters *filters;
	bool filtering; /* there is a rule that asks one */

	struct ledger ledger;
	struct pressure pressure;
	bool open;              /* the store has told us where to go on */
	bool store;             /* it is there now, and knows all that we do */
	bool behind;            /* it is there, and gets lost records again */
	bool deep_left;         /* not all of `deep` were looked at */
	uint64_t store_back_at; /* mono ms, 0: it never went */
	uint64_t epoch;
	uint64_t recovered_seq; /* last_seq when this process opened the cell */
	uint64_t started;       /* mono ms */
	uint64_t held_until;    /* mono ms: connectors get nothing before */
	uint64_t late_since;    /* mono ms: the store was away until here */
	struct lease lease;     /* nothing is handed out after its end */

	struct map by_seq; /* all items in memory */
	struct map by_id;  /* MT and MO of them */
	size_t bytes;

	struct msg **heap; /* MSG_WAITING by due */
	size_t heap_count, heap_cap;

	/*
	 * The due table: items due soon are loaded in (due_at, seq) order.
	 * The cursor never passes a row that may not be durable yet: those of
	 * the last while are in two generations, each with the least due_at.
	 */
	uint64_t due_cursor_at, due_cursor_seq;
	uint64_t due_tail_at; /* latest due_at we ever wrote */
	uint64_t due_until;   /* latest that was asked for */
	struct {
		uint64_t seq, at;
	} due_written[2];
	uint64_t due_asked_at;
	uint32_t due_page; /* count of them */
	uint64_t due_next; /* mono ms of the next look */
	struct msg_list due_home;
	size_t due_count;
	struct map due_gone;     /* as queue->gone */
	struct map replacements; /* that wait, by token */
	uint64_t next_replacement;

	struct map lookups;      /* by correlation */
	struct map lookup_by_id; /* the first of each id */
	uint64_t next_lookup;
	struct buf early; /* withdrawals that came before the store */

	/* Items that ended when their time was over, or nearly, by seq: the
	 * store may still say so.  The young ones and the old ones.  Of those
	 * whose value is not the engine the receipt may be overdue. */
	struct map overdue[2];
	uint64_t overdue_turn; /* mono ms */

	uint64_t route_epoch; /* grows when a target becomes usable */
	uint64_t scanned_epoch;
	uint64_t next_checkpoint, next_sweep, next_failover;
	size_t sweep_pos;

	struct buf scratch; /* packed Record / Dispatch */
	struct arena arena;
	struct arena result_arena;
	struct inbound *inbound;
	uint8_t arena_memory[256 * 1024];
	uint8_t result_memory[256 * 1024];
	struct engine_counters count;
};

struct engine *engine_new(
    const struct engine_ops *, void *arg, uint64_t seed) WARN_UNUSED;
void engine_free(struct engine *);

/* The next events happen at this time. */
void engine_time(struct engine *, uint64_t mono_ms, uint64_t wall_ms);

/* Accounts, routes, targets and limits of a checked configuration, which must
 * outlive the engine or the next call. */
void engine_configure(struct engine *, const struct conf *, uint64_t version);

/* ------------------------------------------------------------ boxes */

struct target *engine_target(struct engine *, const char *name);
/*
 * A box wants to say Hello.  What a process before it had in hand is now of
 * unknown outcome: the seq that must be durable before engine_hello(), or 0.
 */
uint64_t engine_succeed(
    struct engine *, struct target *, const uint8_t instance[16]);
/*
 * A connector or hook has said Hello.  survived: this process was told an
 * epoch by an earlier bus.  Returns whether it may be told ours: that is the
 * word that nothing of before is in unknown hands.
 */
bool engine_hello(struct engine *, struct target *, uint32_t peer,
    const uint8_t instance[16], bool survived);
void engine_in_hand(
    struct engine *, struct target *, const uint64_t *refs, size_t n);
void engine_credit(
    struct engine *, struct target *, uint64_t items, uint64_t bytes);
void engine_link_state(
    struct engine *, struct target *, const Hopyard__V1__LinkState *);
void engine_gone(struct engine *, struct target *);

/* What an SMPP server has of the accounts named. */
void engine_attach(
    struct engine *, struct target *, const Hopyard__V1__Attach *);
/*
 * May one more session of this account bind there?  0, and it is counted (NULL:
 * at a server that leaves, and not counted), or the code of a Reply with *why.
 */
unsigned engine_bind(
    struct engine *, struct target *, struct bytes account, const char **why);

/* max_age: how old an id may be, ms (R of the id's day). */
void engine_submit(struct engine *, uint32_t peer, uint64_t number,
    const char *front, uint64_t max_age, const struct item *);
void engine_inbound(struct engine *, struct target *, uint32_t peer,
    uint64_t number, const struct item *);
void engine_result(struct engine *, struct target *, uint32_t peer,
    uint64_t number, const struct item *);

/* A filter box has said Hello, is gone, grants credit, or gives a verdict; it
 * is known by its name. */
void engine_filter_hello(struct engine *, const char *box, uint32_t peer,
    const uint8_t instance[16]);
void engine_filter_gone(struct engine *, const char *box, uint32_t peer);
void engine_filter_credit(
    struct engine *, const char *box, uint64_t items, uint64_t bytes);
void engine_verdict(
    struct engine *, const char *box, const Hopyard__V1__Verdict *);

/* ------------------------------------------------------------ store */

/*
 * All Opened frames of one answer, in order; `more` tells.  False: the
 * database has lost more than we have kept.
 */
bool engine_opened(struct engine *, const Hopyard__V1__Opened *) WARN_UNUSED;
/* false: the horizon lies beyond what was ever written. */
bool engine_horizon(struct engine *, const Hopyard__V1__Horizon *) WARN_UNUSED;
void engine_paged(struct engine *, uint64_t correlation, const struct items *);
void engine_notice(struct engine *, const struct items *);
void engine_overdue(struct engine *, const struct items *);
void engine_store_gone(struct engine *);
/* Others may succeed this bus: it hands out for as long as it renews its lease.
 * Before engine_opened(). */
void engine_set_lease(struct engine *, uint64_t ms);
/* True: ask the store for a renewal, with e->lease.asked as its number. */
bool engine_renew(struct engine *);
/* It has been committed. */
void engine_renewed(struct engine *, uint64_t number);
/* It has all records, and is asked again what it has not answered. */
void engine_store_back(struct engine *);

/* --------------------------------------------------------- operators */

/* The answer comes through ops->answer with this token, perhaps at once. */
void engine_cancel(struct engine *, const uint8_t id[16], struct bytes account,
    uint64_t token);
/*
 * The front end has refused this message after it had handed it over: it is
 * ended if nothing of it is on the wire, and nobody gets a report.  Answers: 0,
 * or it ended otherwise without being sent; 404: not stored; 409: sent; 503: ask
 * again.  token is below WITHDRAW_TOKEN.
 */
#define WITHDRAW_TOKEN (1ull << 62)
void engine_withdraw(struct engine *, const uint8_t id[16], uint64_t token);
/*
 * Submit the content of a message that has ended without success again, under
 * new_id; with `force` also one that was sent.  The answer as above.
 */
void engine_replay(struct engine *, const uint8_t id[16],
    const uint8_t new_id[16], bool force, uint64_t token);
void engine_set_admin(struct engine *, struct target *, enum target_admin);
void engine_hold(struct engine *, struct queue *, bool hold);

/* ----------------------------------------------------------- running */

/* Connectors get nothing for so long, if they had to wait longer. */
void engine_hold_recovered(struct engine *, uint64_t ms);
/* Hand out all that may go; call once per turn of the loop. */
void engine_dispatch(struct engine *);
/* Timers, sweeps, checkpoints; returns ms until it wants to be called. */
uint64_t engine_tick(struct engine *);
/* At a drain: write a last checkpoint. */
void engine_checkpoint(struct engine *);

/* ------------------------------------------ between the engine's files */

struct queue *engine_queue(
    struct engine *, struct target *, uint8_t class, const char *account);
/* One that the store told us of. */
struct queue *engine_queue_known(struct engine *, uint32_t number,
    const char *target, uint8_t class, const char *account);
uint64_t engine_record(struct engine *, const Hopyard__V1__Record *,
    struct bytes envelope, struct bytes body, struct bytes report);
/* Take an item into memory: maps and home list. */
void engine_keep(struct engine *, struct msg *, struct queue *home, bool paged);
void engine_forget(struct engine *, struct msg *);
bool engine_full(const struct engine *);
/* May a new item of this queue stay in memory? */
bool engine_room(const struct engine *, const struct queue *);
void engine_wait(struct engine *, struct msg *, uint64_t ms);
void engine_unwait(struct engine *, struct msg *);
/* Into the ready list of its queue, or final if its time is over. */
void engine_ready(struct engine *, struct msg *, bool front);
/* From MSG_ATTEMPTING: it does not go out, its credit is free again. */
void engine_unreserve(struct msg *);
/* A whole MO of this link: to its hook, or parked.  The peer is told when it
 * is durable, unless it is 0. */
void engine_mobile_originated(struct engine *, const char *link, uint32_t peer,
    uint64_t number, const Hopyard__V1__Envelope *, const struct item *);
/* The rule that takes a message, or NULL. */
const struct route *engine_route(
    const struct engine *, const Hopyard__V1__Envelope *);
/* Choose among the rule's candidates; *why says who was passed over. */
struct target *engine_choose(const struct route *, const struct msg *, bool *up,
    char *why, size_t whylen);
const Hopyard__V1__Envelope *engine_envelope(struct engine *, struct bytes);
void engine_make_final(struct engine *, struct msg *, Hopyard__V1__State,
    const char *reason, uint32_t peer, uint64_t number,
    const Hopyard__V1__Result *, struct bytes raw);
void engine_reroute(struct engine *, struct msg *, struct target *to,
    const char *why, const Hopyard__V1__Result *, struct bytes raw);
/* Another message, with this id, has its place; its customer is not told. */
void engine_make_replaced(struct engine *, struct msg *,
    const uint8_t other[16], uint32_t peer, uint64_t number,
    const Hopyard__V1__Result *, struct bytes raw);
/*
 * A new MT with an envelope that is good: recorded, or refused and false.  The
 * peer is told when it is durable; where code is not NULL the caller does.
 */
bool engine_enter(struct engine *, const struct item *, const char *front,
    uint32_t peer, uint64_t number, const char *filtered,
    Hopyard__V1__Ack__Code *code);
/*
 * A good MT of nobody who is known, behind the filters: filtered says what they
 * did, NULL that none was asked.  The same of an MO.
 */
void engine_admit(struct engine *, uint32_t peer, uint64_t number,
    const char *front, const Hopyard__V1__Envelope *, const struct item *,
    const char *filtered);
void engine_take_inbound(struct engine *, struct target *, uint32_t peer,
    uint64_t number, const Hopyard__V1__Envelope *, const struct item *);
/* What is asked of an MT before its filters are: may the account send it, and
 * has it the rate for it?  ACK_OK, and it is counted, or the refusal. */
Hopyard__V1__Ack__Code engine_permit(
    struct engine *, const Hopyard__V1__Envelope *, const char **say);
void engine_refuse(struct engine *, uint32_t peer, uint64_t number,
    const Hopyard__V1__Envelope *, Hopyard__V1__Ack__Code, const char *say);
bool engine_printable(struct bytes);
/* It is not to be sent yet, and nobody but us holds it until then. */
void engine_hold_back(struct engine *, struct msg *);
/* Off whatever list its state put it on. */
void engine_detach(struct engine *, struct msg *);
/* What a cancel came to, to whom it asked. */
void engine_answer(
    struct engine *, uint64_t token, unsigned code, const char *text);
/* A cancel that waited for its turn: it is this item's.  False: it stays, as
 * if nobody had asked. */
bool engine_cancel_now(struct engine *, struct msg *, uint32_t peer,
    uint64_t number, const Hopyard__V1__Result *, struct bytes raw);
void engine_cancel_late(struct engine *, struct msg *);
/* The withdrawals that came before the store was there. */
void engine_withdraw_early(struct engine *);
/* An item of its home queue stays in memory while others are left out. */
void engine_kept(struct queue *, uint64_t seq);
/* The time of a row in the due table. */
uint64_t engine_due_at(struct engine *, uint64_t wait_ms);
/* The mono time of a wall time in the record `seq`, also when the clock was put
 * forward or back after it was written.  Never 0. */
uint64_t engine_expires(const struct engine *, uint64_t seq, uint64_t wall);
void engine_due_written(struct engine *, uint64_t due_at, uint64_t seq);
/* An item of this id has left the memory: what the store says of it may be
 * older than that. */
void engine_overtake(struct engine *, const uint8_t id[16]);
/* Ask the store for the message of a look-up; takes it. */
void engine_look_up(struct engine *, struct lookup *);
/* One that was deferred, by its correlation, if it is still there. */
void engine_look_up_now(struct engine *, uint64_t correlation);
/* Its box may have it from an earlier bus, and cannot be asked. */
bool engine_unsure(
    const struct engine *, const struct msg *, const struct target *);
void engine_unknown(struct engine *, struct msg *, uint32_t peer,
    uint64_t number, struct bytes raw, const char *why);
/* This box has it, or had it: its queue is one of that box's from now on. */
void engine_goes_by(struct engine *, struct msg *, struct target *);
void engine_finish_result(struct engine *, struct msg *,
    const Hopyard__V1__Result *, struct bytes raw, uint32_t peer,
    uint64_t number);
void engine_keep_notice(struct engine *, struct msg *notice);
/* The message of a replay is here; does not take it. */
void engine_replay_found(struct engine *, const struct lookup *);
/* Try another way for an item in MSG_READY; true when it has moved. */
bool engine_failover(struct engine *, struct msg *);
bool engine_target_failed(const struct engine *, const struct target *);
/* The store alone keeps the item with this seq. */
void engine_spill(struct engine *, struct queue *, uint64_t seq);
/* Puts the ready items of a queue that is away out of memory; returns how
 * many. */
size_t engine_evict(struct engine *, struct queue *);
/* To the due table, for the longest wait of the ladder; not counted. */
void engine_postpone(struct engine *, struct msg *, const char *why);
/* Ends what has expired at the head of a queue that is away. */
void engine_page_away(struct engine *, struct queue *);
/* How long a report of this queue is worth having. */
uint64_t engine_dlr_validity(const struct queue *);
void engine_page_queue(struct engine *, struct queue *);
/* The page will not come, or not all of it, or not be wanted. */
void engine_page_abandon(struct engine *, struct queue *);
/* Pages that were asked for so long ago will not come. */
void engine_page_expire(struct engine *, uint64_t ms);
void engine_page_due(struct engine *);
void engine_say(struct engine *, const char *event, const struct msg *,
    const char *via, const char *status, const char *why);
uint64_t engine_random(struct engine *, uint64_t below);

#endif
