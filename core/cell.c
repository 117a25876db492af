/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/cell.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/crash.h"
#include "common/daemon.h"
#include "common/json.h"
#include "common/log.h"
#include "core/broker.h"

/* Handing over: for what is on its way, and for the store's word. */
#define CELL_GIVE_MS    3000
#define CELL_RELEASE_MS 2000
#define CELL_SOON_MS    10
/* After a doubt boxes are asked to look at the lease anew, and get nothing for
 * so long: what came before they have looked would be refused. */
#define CELL_LOOK_MS   250
#define CELL_FRONTS_MS 3000 /* for front ends that were sent away */

static const char *const cell_state_names[] = {
	[CELL_CLOSED] = "closed",
	[CELL_OWNED] = "owned",
	[CELL_DOUBTED] = "doubted",
	[CELL_GIVING] = "giving",
	[CELL_RELEASING] = "releasing",
	[CELL_GONE] = "gone",
};

static void
cell_enter_state(struct broker *b, enum cell_state next)
{
	struct cell *c = &b->cell;

	assert(c->state != CELL_GONE);
	log_debug("cell.state", "from=%s to=%s", cell_state_names[c->state],
	    cell_state_names[next]);
	c->state = next;
	c->since = clock_mono_ms();
}

static void
cell_ready(struct broker *b)
{
	if (b->cell.ready)
		return;
	b->cell.ready = true;
	daemon_ready(b->daemon);
}

static bool
cell_has_lease(const struct broker *b)
{
	return b->engine->lease.ms != 0;
}

/* --------------------------------------------------------------- the boxes */

bool
cell_serves(const struct broker *b, const char **why)
{
	if (!cell_has_lease(b))
		return true;
	*why = b->cell.standby ? "this bus stands by: another has the cell"
			       : "this bus does not have the cell";
	return b->cell.state == CELL_OWNED &&
	    lease_holds(&b->engine->lease, clock_mono_ms());
}

bool
cell_lease(const struct broker *b, uint64_t *ms)
{
	*ms = lease_left(&b->engine->lease, clock_mono_ms());
	return cell_has_lease(b);
}

void
cell_pong(struct broker *b, struct peer *p, const struct frame *f)
{
	Hopyard__V1__Pong pong = HOPYARD__V1__PONG__INIT;

	if (!cell_has_lease(b)) {
		peer_send(
		    p, HOPYARD__V1__FRAME_TYPE__PONG, f->correlation, NULL);
		return;
	}
	pong.has_epoch = pong.has_lease_ms = true;
	pong.epoch = b->engine->epoch;
	(void)cell_lease(b, &pong.lease_ms);
	peer_send(p, HOPYARD__V1__FRAME_TYPE__PONG, f->correlation, &pong.base);
}

static bool
cell_is_box(const struct peer *p)
{
	return p->state == PEER_READY && p->role != ROLE_STORE &&
	    p->role != ROLE_CONTROL;
}

/* They look for the other bus. */
static void
cell_send_away(struct broker *b, const char *reason)
{
	Hopyard__V1__Bye bye = HOPYARD__V1__BYE__INIT;
	char copy[64];
	struct peer *p, *next;

	snprintf(copy, sizeof(copy), "%s", reason);
	bye.reason = copy;
	filters_forget(b->engine);
	TAILQ_FOREACH_SAFE(p, &b->peers, link, next) {
		if (!cell_is_box(p))
			continue;
		/* Acks that are due, before. */
		peer_flush(p, false);
		peer_send(p, HOPYARD__V1__FRAME_TYPE__BYE, 0, &bye.base);
		peer_close_flush(p, reason);
	}
}

static void
cell_ping_boxes(struct broker *b)
{
	struct peer *p;

	TAILQ_FOREACH(p, &b->peers, link)
		if (cell_is_box(p))
			peer_send(p, HOPYARD__V1__FRAME_TYPE__PING, 0, NULL);
}

/* --------------------------------------------------------------- the lease */

static void
cell_ask(struct broker *b, bool release)
{
	Hopyard__V1__Renew r = HOPYARD__V1__RENEW__INIT;

	if (b->store == NULL)
		return;
	r.number = b->engine->lease.asked;
	r.has_release = r.release = release;
	peer_send(b->store, HOPYARD__V1__FRAME_TYPE__RENEW, 0, &r.base);
}

void
cell_open(struct broker *b, Hopyard__V1__Open *o)
{
	o->has_lease_ms = cell_has_lease(b);
	o->lease_ms = b->engine->lease.ms;
}

void
cell_opened(struct broker *b)
{
	/* As it was when we last stood by; one that gives it up renews until
	 * then. */
	b->cell.overtook = b->cell.age_ms > b->engine->lease.ms / 2;
	b->cell.standby = false;
	cell_enter_state(b, CELL_OWNED);
	if (cell_has_lease(b)) {
		/* It was asked for when we began to stand by. */
		lease_ask(&b->engine->lease, b->engine->now);
		cell_ask(b, false);
	}
	cell_ready(b);
}

void
cell_lost(struct broker *b, uint64_t epoch)
{
	if (!cell_has_lease(b))
		fatal("cell.lost", "epoch=%llu ours=%llu hint=%s",
		    (unsigned long long)epoch,
		    (unsigned long long)b->engine->epoch,
		    "another bus has taken over; this one starts anew");
	if (b->cell.state == CELL_GONE)
		return;
	log_error("cell.lost", "epoch=%llu ours=%llu hint=%s",
	    (unsigned long long)epoch, (unsigned long long)b->engine->epoch,
	    "another bus has taken over; this one stands by");
	if (b->cell.asker != 0)
		control_answer(b, b->cell.asker, 409, "another bus has it");
	cell_enter_state(b, CELL_GONE);
	cell_send_away(b, "the cell is lost");
	daemon_again(b->daemon);
}

static void
cell_released(struct broker *b)
{
	struct cell *c = &b->cell;

	CRASH_POINT("bus.cell_released");
	cell_enter_state(b, CELL_GONE);
	log_info("cell.released", "epoch=%llu to=%s",
	    (unsigned long long)b->engine->epoch,
	    c->successors > 0 ? c->successor[0] : "");
	if (c->asker != 0)
		control_answer(b, c->asker, 0, c->successor[0]);
	cell_send_away(b, "the cell is handed over");
	if (c->stopping)
		daemon_stop(b->daemon, 0);
	else
		daemon_again(b->daemon);
}

static void
cell_sure_again(struct broker *b)
{
	struct engine *e = b->engine;
	uint64_t hold = CELL_LOOK_MS;

	log_info("cell.sure", "epoch=%llu", (unsigned long long)e->epoch);
	if (b->cell.state == CELL_DOUBTED) {
		/* The boxes were sent away.  What front ends have refused since
		 * they withdraw when they are back: broker_welcome() sees. */
		hold = CELL_FRONTS_MS;
		b->cell.overtook = true;
		cell_enter_state(b, CELL_OWNED);
	}
	if (e->held_until < e->now + hold)
		e->held_until = e->now + hold;
	cell_ping_boxes(b);
}

void
cell_renewed(struct broker *b, const Hopyard__V1__Renewed *r)
{
	struct engine *e = b->engine;
	struct cell *c = &b->cell;
	bool held;

	if (c->state == CELL_GONE)
		return;
	if (r->release) {
		if (c->state == CELL_RELEASING)
			cell_released(b);
		return;
	}
	held = lease_holds(&e->lease, e->now);
	engine_renewed(e, r->number);
	c->successors = 0;
	for (size_t i = 0; i < r->n_standby && i < CELL_STANDBYS; i++)
		snprintf(c->successor[c->successors++], sizeof(c->successor[0]),
		    "%s", r->standby[i]);
	if (!held && lease_holds(&e->lease, e->now))
		cell_sure_again(b);
}

void
cell_store_state(struct broker *b, const Hopyard__V1__StoreState *s)
{
	struct cell *c = &b->cell;

	/* A store that was started anew while we stood still does not answer
	 * our Open any more. */
	if (s->standby && b->engine->open && s->epoch > b->engine->epoch) {
		cell_lost(b, s->epoch);
		return;
	}
	c->standby = s->standby && !b->engine->open;
	if (!c->standby)
		return;
	snprintf(
	    c->owner, sizeof(c->owner), "%s", s->owner != NULL ? s->owner : "");
	c->epoch = s->epoch;
	c->age_ms = s->lease_age_ms;
	cell_ready(b);
}

/* --------------------------------------------------------------- giving up */

static bool
cell_quiet(const struct broker *b)
{
	const struct ledger *l = &b->engine->ledger;

	return l->ring_count == 0 && l->horizon == l->last_seq;
}

static void
cell_begin_to_give(struct broker *b)
{
	/* What is recorded is safe; with a checkpoint the next one opens
	 * quickly. */
	cell_enter_state(b, CELL_GIVING);
	/* No verdict is heard any more. */
	filters_forget(b->engine);
	engine_checkpoint(b->engine);
}

const char *
cell_hand_over(struct broker *b, uint64_t asker)
{
	struct cell *c = &b->cell;

	if (!cell_has_lease(b))
		return "bus.lease is not set: there is no other bus";
	if (c->state == CELL_CLOSED)
		return "this bus does not have the cell";
	if (c->state != CELL_OWNED || b->store == NULL || !b->store_up ||
	    !lease_holds(&b->engine->lease, b->engine->now))
		return "this bus is not sure of the cell now";
	if (c->successors == 0)
		return "no bus stands by";
	log_info("cell.handover", "epoch=%llu to=%s",
	    (unsigned long long)b->engine->epoch, c->successor[0]);
	c->asker = asker;
	cell_begin_to_give(b);
	return NULL;
}

bool
cell_give_up(struct broker *b)
{
	struct cell *c = &b->cell;

	if (!cell_has_lease(b) || b->store == NULL || !b->engine->open)
		return false;
	c->stopping = true;
	if (c->state == CELL_OWNED)
		cell_begin_to_give(b);
	return c->state == CELL_GIVING || c->state == CELL_RELEASING;
}

/* It does not come to an end: boxes repeat what was not looked at. */
static void
cell_keep(struct broker *b, const char *why)
{
	struct cell *c = &b->cell;

	log_warn("cell.kept", "reason=%s", why);
	if (c->asker != 0)
		control_answer(b, c->asker, 504, why);
	c->asker = 0;
	cell_enter_state(b, CELL_OWNED);
	cell_send_away(b, why);
}

static void
cell_give(struct broker *b)
{
	if (b->store != NULL && b->store_up && cell_quiet(b)) {
		cell_enter_state(b, CELL_RELEASING);
		/* No renewal may come behind it. */
		b->engine->lease.asked = b->engine->now;
		cell_ask(b, true);
	} else if (clock_mono_ms() - b->cell.since > CELL_GIVE_MS) {
		if (b->cell.stopping)
			daemon_stop(b->daemon, 0);
		else
			cell_keep(b, "what is on its way does not get there");
	}
}

/* Whether the store's word was lost or never said: to start anew is right. */
static void
cell_await_release(struct broker *b)
{
	if (clock_mono_ms() - b->cell.since <= CELL_RELEASE_MS)
		return;
	log_warn("cell.unreleased", "detail=%s",
	    "the store does not say that it is released");
	if (b->cell.asker != 0)
		control_answer(b, b->cell.asker, 504,
		    "the store does not say that the cell is released");
	cell_enter_state(b, CELL_GONE);
	cell_send_away(b, "the cell may be released");
	if (b->cell.stopping)
		daemon_stop(b->daemon, 1);
	else
		daemon_again(b->daemon);
}

static void
cell_watch(struct broker *b)
{
	struct engine *e = b->engine;

	if (engine_renew(e))
		cell_ask(b, false);
	if (b->cell.state != CELL_OWNED || !lease_over(&e->lease, e->now))
		return;
	log_warn("cell.doubted", "epoch=%llu unconfirmed_ms=%llu detail=%s",
	    (unsigned long long)e->epoch,
	    (unsigned long long)(e->now - e->lease.started),
	    "the lease is over, another bus may have the cell");
	cell_enter_state(b, CELL_DOUBTED);
	cell_send_away(b, "the lease is over");
}

uint64_t
cell_tick(struct broker *b)
{
	switch (b->cell.state) {
	case CELL_CLOSED:
	case CELL_GONE:
		break;
	case CELL_OWNED:
	case CELL_DOUBTED:
		if (cell_has_lease(b))
			cell_watch(b);
		break;
	case CELL_GIVING:
		if (engine_renew(b->engine))
			cell_ask(b, false);
		cell_give(b);
		return CELL_SOON_MS;
	case CELL_RELEASING:
		cell_await_release(b);
		return CELL_SOON_MS;
	}
	return UINT64_MAX;
}

/* --------------------------------------------------------------- for people */

const char *
cell_word(const struct broker *b)
{
	const struct cell *c = &b->cell;

	if (!cell_has_lease(b))
		return NULL;
	if (c->state >= CELL_GIVING)
		return "handing over";
	if (c->standby)
		return "standing by";
	if (b->engine->open && !lease_holds(&b->engine->lease, b->engine->now))
		return "lease not renewed";
	return NULL;
}

void
cell_status(const struct broker *b, struct json *j)
{
	const struct cell *c = &b->cell;
	const struct lease *l = &b->engine->lease;
	uint64_t now = clock_mono_ms();

	if (!cell_has_lease(b))
		return;
	json_open_object(j, "cell");
	json_uint(j, "lease_ms", l->ms);
	json_bool(j, "owned", b->engine->open && lease_holds(l, now));
	if (b->engine->open) {
		json_str(
		    j, "owner", conf_str(conf_root(b->engine->conf), "node"));
		json_uint(j, "epoch", b->engine->epoch);
		if (l->started != 0)
			json_uint(j, "lease_age_ms", now - l->started);
	} else if (c->standby) {
		json_str(j, "owner", c->owner);
		json_uint(j, "epoch", c->epoch);
		json_uint(j, "lease_age_ms", c->age_ms);
	}
	json_open_array(j, "standby");
	for (size_t i = 0; i < c->successors; i++)
		json_str(j, NULL, c->successor[i]);
	json_close_array(j);
	json_close_object(j);
}

void
cell_metrics(const struct broker *b, struct buf *out)
{
	const struct lease *l = &b->engine->lease;
	uint64_t now = clock_mono_ms();

	if (!cell_has_lease(b))
		return;
	buf_printf(out,
	    "# HELP hopyard_cell_owned This bus owns the cell and may send.\n"
	    "# TYPE hopyard_cell_owned gauge\nhopyard_cell_owned %d\n"
	    "# HELP hopyard_cell_lease_seconds What is left of its lease.\n"
	    "# TYPE hopyard_cell_lease_seconds gauge\n"
	    "hopyard_cell_lease_seconds %.3f\n"
	    "# HELP hopyard_cell_standbys Buses that would succeed it.\n"
	    "# TYPE hopyard_cell_standbys gauge\nhopyard_cell_standbys %zu\n",
	    b->engine->open && lease_holds(l, now),
	    (double)lease_left(l, now) / 1000, b->cell.successors);
}
