/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smppc/link.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/smppc/deliver.h"
#include "boxes/smppc/origin.h"
#include "boxes/smppc/pin.h"
#include "boxes/smppc/submit.h"
#include "common/clock.h"
#include "common/crash.h"
#include "common/json.h"
#include "common/log.h"
#include "common/xalloc.h"

#define LINK_OPEN_BYTES    (1024 * 1024) /* byte credit: never the limit */
#define LINK_AHEAD_MS      20    /* of the measured rate, beyond free slots */
#define LINK_MOST_AHEAD_MS 100   /* of a rate that is agreed on */
#define LINK_BUS_AWAY_MS   5000  /* then nothing new is written */
#define LINK_BUS_FINISH_MS 10000 /* for the bus to take the last results */

static const char *const link_state_names[] = {
	[LINK_DOWN] = "down",
	[LINK_UP] = "up",
	[LINK_DRAINING] = "draining",
	[LINK_CLOSING] = "closing",
	[LINK_CLOSED] = "closed",
};

static const struct box_ops link_box_ops;
static void link_tick_cb(uv_timer_t *);
static void link_soon_cb(uv_timer_t *);
static void link_tell(struct link *);

/* ------------------------------------------------------------------- state */

static void
link_on_box_closed(void *arg)
{
	struct cell *c = arg;
	struct link *l = c->link;
	unsigned i;

	c->box = NULL;
	for (i = 0; i < l->n_cells; i++)
		if (l->cell[i].box != NULL)
			return;
	if (l->done != NULL)
		l->done(l->done_arg);
}

static void
link_enter_state(struct link *l, enum link_state next)
{
	unsigned i;

	assert(next > l->state || l->state < LINK_DRAINING);
	log_info("link.state", "from=%s to=%s", link_state_names[l->state],
	    link_state_names[next]);
	l->state = next;
	l->entered_ms = clock_mono_ms();

	switch (next) {
	case LINK_UP:
		break;
	case LINK_DOWN:
		submit_return_all(l, "link is down");
		break;
	case LINK_DRAINING:
		link_tell(l);
		submit_return_all(l, "connector is stopping");
		for (i = 0; i < l->n_binds; i++)
			bind_stop(l->bind[i], l->profile->answer_ms, false,
			    "stopping");
		break;
	case LINK_CLOSING:
		break;
	case LINK_CLOSED:
		uv_timer_stop(&l->tick);
		uv_timer_stop(&l->soon);
		for (i = 0; i < l->n_cells; i++)
			box_close(
			    l->cell[i].box, link_on_box_closed, &l->cell[i]);
		break;
	}
}

static unsigned
link_count_binds(const struct link *l, bool (*is)(const struct bind *))
{
	unsigned i, n = 0;

	for (i = 0; i < l->n_binds; i++)
		n += is(l->bind[i]);
	return n;
}

void
link_on_bind(struct link *l)
{
	bool up = link_count_binds(l, bind_writable) > 0;

	if (l->state > LINK_UP)
		return;
	if (up && l->state == LINK_DOWN)
		link_enter_state(l, LINK_UP);
	else if (!up && l->state == LINK_UP)
		link_enter_state(l, LINK_DOWN);
	link_tell(l);
}

/* ------------------------------------------------------- what the bus is told */

static uint32_t
link_in_flight(const struct link *l)
{
	uint32_t n = 0;
	unsigned i;

	for (i = 0; i < l->n_binds; i++)
		if (l->bind[i]->session != NULL)
			n += session_in_flight(l->bind[i]->session);
	return n;
}

static uint32_t
link_window(const struct link *l)
{
	unsigned i, n = 0;

	for (i = 0; i < l->n_binds; i++)
		n += bind_is_bound(l->bind[i]) && bind_can_send(l->bind[i]);
	return n * l->profile->window;
}

/* Segments a second that are allowed now; 0: no limit. */
static uint32_t
link_rate(const struct link *l)
{
	double sum = 0;
	unsigned i;

	for (i = 0; i < l->n_binds; i++) {
		if (!bind_writable(l->bind[i]))
			continue;
		if (l->bind[i]->pace.rate <= 0)
			return l->profile->tps;
		sum += l->bind[i]->pace.rate;
	}
	if (sum <= 0 || (l->profile->tps != 0 && sum > l->profile->tps))
		return l->profile->tps;
	return sum < 1 ? 1 : (uint32_t)sum;
}

/* Why the link is down, in the words of the bind that failed last. */
static void
link_detail(const struct link *l, char *dst, size_t cap)
{
	const struct bind *b, *worst = NULL;
	unsigned i;

	dst[0] = '\0';
	if (l->state == LINK_UP)
		return;
	if (l->state >= LINK_DRAINING) {
		snprintf(dst, cap, "%s", "stopping");
		return;
	}
	for (i = 0; i < l->n_binds; i++) {
		b = l->bind[i];
		if (!bind_can_send(b))
			continue;
		if (b->state == BIND_LATE) {
			snprintf(dst, cap, "%s", "answers are overdue");
			return;
		}
		if (b->why[0] != '\0' &&
		    (worst == NULL || b->entered_ms > worst->entered_ms))
			worst = b;
	}
	if (worst == NULL)
		snprintf(dst, cap, "%s", "not bound yet");
	else if (worst->state == BIND_IDLE)
		snprintf(dst, cap, "%s, next try in %llus", worst->why,
		    (unsigned long long)(worst->wait_ms + 999) / 1000);
	else
		snprintf(dst, cap, "%s", worst->why);
}

static void
link_tell_cell(struct cell *c)
{
	Hopyard__V1__LinkState s = HOPYARD__V1__LINK_STATE__INIT;
	char detail[sizeof(c->told.detail)];
	struct link *l = c->link;
	unsigned bound = link_count_binds(l, bind_is_bound);
	uint32_t window = link_window(l), rate = link_rate(l);
	int state = l->state == LINK_UP;

	link_detail(l, detail, sizeof(detail));
	if (c->told.state == state && c->told.bound == bound &&
	    c->told.window == window && c->told.rate == rate &&
	    strcmp(c->told.detail, detail) == 0)
		return;

	s.state = state ? HOPYARD__V1__LINK_STATE__LINK__UP
			: HOPYARD__V1__LINK_STATE__LINK__DOWN;
	s.has_bound = s.has_binds = s.has_window = s.has_in_flight = 1;
	s.bound = bound;
	s.binds = l->n_binds;
	s.window = window;
	s.in_flight = link_in_flight(l);
	s.has_rate = 1;
	s.rate = rate;
	if (detail[0] != '\0')
		s.detail = detail;
	if (!box_send(
		c->box, HOPYARD__V1__FRAME_TYPE__LINK_STATE, 0, 0, &s.base))
		return; /* not connected; ready() tells it all again */
	c->told.state = state;
	c->told.bound = bound;
	c->told.window = window;
	c->told.rate = rate;
	memcpy(c->told.detail, detail, sizeof(detail));
}

static void
link_tell(struct link *l)
{
	unsigned i;

	for (i = 0; i < l->n_cells; i++)
		link_tell_cell(&l->cell[i]);
}

/* -------------------------------------------------------------------- rate */

bool
link_may_write(const struct link *l, const struct bind *b)
{
	return bind_writable(b) && session_room(b->session) > 0 &&
	    pace_may_send(&b->pace) &&
	    (l->profile->tps == 0 || l->tokens >= 1) &&
	    (b->rtt_us < SPREAD_RTT_US ||
		spread_wait(&b->spread, b->rtt_us, clock_mono_us()) == 0);
}

void
link_spend(struct link *l, struct bind *b)
{
	pace_spend(&b->pace);
	if (l->profile->tps != 0)
		l->tokens -= 1;
	l->sent_window++;
	if (b->rtt_us >= SPREAD_RTT_US)
		spread_on_sent(
		    &b->spread, b->rtt_us, l->profile->window, clock_mono_us());
}

static void
link_refill(struct link *l, uint64_t now)
{
	double tps = l->profile->tps, cap = tps * 0.2 < 1 ? 1 : tps * 0.2;

	l->tokens += tps * (double)(now - l->refilled_ms) / 1000.0;
	if (l->tokens > cap)
		l->tokens = cap;
	l->refilled_ms = now;
}

static void
link_roll_second(struct link *l, uint64_t now)
{
	if (now - l->second_ms < 1000)
		return;
	l->second_ms = now;
	l->sent_last = l->sent_window;
	l->sent_window = 0;
	link_tell(l); /* the rate may have changed */
}

/* ------------------------------------------------------------------ credit */

/*
 * How much of its rate a link has in hand: what a turn writes, and what goes
 * while the bus is asked for more.  What is in hand comes before whoever else
 * has a message now, so no more than that.
 */
static uint64_t
link_ahead_ms(const struct cell *c)
{
	uint64_t ms = 2 * LINK_SOON_MS + 4 * (uint64_t)c->bus_us / 1000;

	return ms < LINK_MOST_AHEAD_MS ? ms : LINK_MOST_AHEAD_MS;
}

/* The bus has answered to credit; it may have had nothing before. */
static void
link_learn_bus(struct cell *c)
{
	uint64_t us = clock_mono_us() - c->asked_us;

	if (us > LINK_MOST_AHEAD_MS * 1000)
		us = LINK_MOST_AHEAD_MS * 1000;
	c->bus_us = (uint32_t)((c->bus_us * 7ull + us) / 8);
	c->asked_us = 0;
}

/* Parts that may be in hand unwritten, and granted, of all cells together. */
static uint64_t
link_room(const struct link *l, const struct cell *c)
{
	uint64_t want = 0, limit;
	bool throttled = false;
	unsigned i;

	for (i = 0; i < l->n_binds; i++) {
		want += bind_room(l->bind[i]);
		throttled |= l->bind[i]->pace.rate > 0;
	}
	if (!throttled) {
		limit = (uint64_t)l->sent_last * LINK_AHEAD_MS / 1000;
		want += limit < link_window(l) ? limit : link_window(l);
	}
	if (l->profile->tps != 0) {
		limit = (uint64_t)l->profile->tps * link_ahead_ms(c) / 1000;
		if (limit == 0)
			limit = 1;
		if (want > limit)
			want = limit;
	}
	return want;
}

static void
link_grant_cell(struct cell *c)
{
	struct link *l = c->link;
	uint64_t want, have, now;

	/* No more while the results of what we had wait for room. */
	if (l->state != LINK_UP || !box_ready(c->box) ||
	    !box_can_send(c->box) || !TAILQ_EMPTY(&c->finished))
		return;
	want = link_room(l, c);
	have = l->ready_parts + l->started_parts + c->open_items;
	if (l->n_cells > 1) {
		/* Its part also of what is on the wire. */
		now = clock_mono_ms();
		want = cell_share(c, want + link_in_flight(l), now);
		have = c->parts + c->open_items;
		if (c->open_items == 0)
			c->fed_ms = now;
	}
	if (want <= have)
		return;
	if (c->open_items == 0)
		c->asked_us = clock_mono_us();
	box_grant(c->box, want - have,
	    c->open_bytes < LINK_OPEN_BYTES ? LINK_OPEN_BYTES - c->open_bytes
					    : 0);
	c->open_items += want - have;
	if (c->open_bytes < LINK_OPEN_BYTES)
		c->open_bytes = LINK_OPEN_BYTES;
}

/* -------------------------------------------------------------------- pump */

static bool
link_bus_away(const struct cell *c, uint64_t now)
{
	return c->bus_lost_ms != 0 && now - c->bus_lost_ms > LINK_BUS_AWAY_MS;
}

/* What this bind is to write next, or NULL. */
static struct message *
link_next(struct link *l, struct bind *b)
{
	struct message *m = TAILQ_FIRST(&b->started);

	if (m != NULL)
		return m;
	if (l->n_cells > 1)
		return cell_next(l);
	return l->cell->fresh ? TAILQ_FIRST(&l->cell->ready) : NULL;
}

static void
link_pump_bind(struct link *l, struct bind *b)
{
	struct message *m;

	while (link_may_write(l, b)) {
		m = link_next(l, b);
		if (m == NULL)
			return;
		submit_write(m, b);
	}
	if (b->rtt_us >= SPREAD_RTT_US && bind_writable(b) &&
	    session_room(b->session) == 0)
		spread_on_full(&b->spread, clock_mono_us());
}

/* Microseconds until a bind that has room may write by its rates. */
static uint64_t
link_wait(const struct link *l, const struct bind *b)
{
	double us = 0, other;

	if (l->profile->tps != 0 && l->tokens < 1)
		us = (1 - l->tokens) * 1e6 / l->profile->tps;
	if (!pace_may_send(&b->pace)) {
		other = (1 - b->pace.tokens) * 1e6 / b->pace.rate;
		us = us > other ? us : other;
	}
	other = (double)spread_wait(&b->spread, b->rtt_us, clock_mono_us());
	return (uint64_t)(us > other ? us : other);
}

/*
 * Something waits for a rate alone, and the next tick may be later: turns of
 * LINK_SOON_MS make an even flow of it, in which what is urgent finds a place.
 */
static void
link_pump_soon(struct link *l)
{
	uint64_t us, least = LINK_TICK_MS * 1000;
	unsigned i;

	for (i = 0; i < l->n_binds; i++) {
		struct bind *b = l->bind[i];

		if (!bind_writable(b) || session_room(b->session) == 0 ||
		    link_next(l, b) == NULL)
			continue;
		us = link_wait(l, b);
		if (us < least)
			least = us;
	}
	if (least >= LINK_TICK_MS * 1000)
		return;
	if (least < LINK_SOON_MS * 1000)
		least = LINK_SOON_MS * 1000;
	uv_timer_start(&l->soon, link_soon_cb, (least + 999) / 1000, 0);
}

void
link_pump(struct link *l)
{
	uint64_t now = clock_mono_ms();
	struct cell *c;
	unsigned i;

	assert(l->n_binds > 0);
	for (c = l->cell; c < l->cell + l->n_cells; c++)
		c->fresh = l->state == LINK_UP && !link_bus_away(c, now);
	link_refill(l, now);
	for (i = 0; i < l->n_binds; i++)
		if (pace_refill(&l->bind[i]->pace, now))
			log_info("link.rate_free", "bind=%s", l->bind[i]->name);
	for (i = 0; i < l->n_binds; i++)
		link_pump_bind(l, l->bind[(l->turn + i) % l->n_binds]);
	l->turn = (l->turn + 1) % l->n_binds;
	if (l->ready_parts + l->started_parts > 0 &&
	    !uv_is_active((uv_handle_t *)&l->soon))
		link_pump_soon(l);
	for (c = l->cell; c < l->cell + l->n_cells; c++)
		link_grant_cell(c);
}

static void
link_soon_cb(uv_timer_t *timer)
{
	link_pump(timer->data);
}

/* --------------------------------------------------------------- bus events */

static void
link_send_in_hand(struct cell *c)
{
	size_t max = c->by_ref.count;
	uint64_t *refs = xcalloc(max + 1, sizeof(*refs));

	box_send_in_hand(c->box, refs, submit_refs(c, refs, max));
	free(refs);
}

static void
link_box_ready(struct box *box, const Hopyard__V1__Welcome *welcome, void *arg)
{
	struct cell *c = arg;

	(void)box;
	log_info("bus.welcome", "epoch=%llu in_hand=%zu",
	    (unsigned long long)welcome->epoch, c->by_ref.count);
	c->bus_lost_ms = 0;
	c->open_items = c->open_bytes = c->asked_us = 0;
	link_send_in_hand(c);
	c->told.state = -1;
	link_tell_cell(c);
	link_pump(c->link);
}

static void
link_box_lost(struct box *box, void *arg)
{
	struct cell *c = arg;

	(void)box;
	c->bus_lost_ms = clock_mono_ms();
}

static void
link_box_acked(struct box *box, uint64_t cookie, Hopyard__V1__Ack__Code code,
    const char *text, void *arg)
{
	struct cell *c = arg;

	(void)box;
	if (cookie != 0)
		deliver_on_acked(c->link, cookie, code, text);
	else if (code != HOPYARD__V1__ACK__CODE__ACK_OK)
		log_warn("bus.result_refused", "code=%d reason=%s", (int)code,
		    text == NULL ? "" : text);
}

static void
link_box_items(struct box *box, uint16_t type, struct items *items, void *arg)
{
	struct cell *c = arg;
	struct item item;
	size_t bytes;

	(void)box;
	if (type != HOPYARD__V1__FRAME_TYPE__DELIVER) {
		log_warn("bus.unexpected", "type=%u", type);
		return;
	}
	if (c->asked_us != 0)
		link_learn_bus(c);
	while (items_next(items, &item)) {
		bytes = item_bytes(&item);
		if (c->open_items > 0)
			c->open_items--;
		else
			log_warn("bus.over_credit", "items=%zu", items->count);
		c->open_bytes -= bytes < c->open_bytes ? bytes : c->open_bytes;
		CRASH_POINT("smppc.taken");
		submit_accept(c, &item);
	}
	link_pump(c->link);
}

static void
link_box_frame(struct box *box, const struct frame *f, void *arg)
{
	static uint8_t memory[1024];
	struct cell *c = arg;
	struct arena arena;
	Hopyard__V1__Recall *recall;

	(void)box;
	if (f->type != HOPYARD__V1__FRAME_TYPE__RECALL)
		return;
	arena_init(&arena, memory, sizeof(memory));
	recall = frame_unpack(
	    &arena, &hopyard__v1__recall__descriptor, f->payload, f->len);
	if (recall != NULL)
		submit_recall(c, recall->ref);
}

static void
link_show_cells(const struct link *l, struct json *j)
{
	const struct cell *c;

	json_open_array(j, "cells");
	for (c = l->cell; c < l->cell + l->n_cells; c++) {
		json_open_object(j, NULL);
		json_str(j, "cell", c->name);
		json_bool(j, "connected", c->bus_lost_ms == 0);
		json_uint(j, "in_hand", c->by_ref.count);
		json_uint(j, "granted", c->open_items);
		json_uint(j, "unacked", box_unacked(c->box));
		json_close_object(j);
	}
	json_close_array(j);
}

static void
link_show(const struct cell *c, struct buf *out)
{
	struct link *l = c->link;
	struct json j;
	unsigned i;

	json_init(&j, out);
	json_open_object(&j, NULL);
	json_str(&j, "link", l->name);
	json_str(&j, "scope", l->profile->scope);
	json_str(&j, "state", link_state_names[l->state]);
	json_str(
	    &j, "detail", c->told.detail[0] == '\0' ? NULL : c->told.detail);
	json_uint(&j, "bound", link_count_binds(l, bind_is_bound));
	json_uint(&j, "window", link_window(l));
	json_uint(&j, "in_flight", link_in_flight(l));
	json_uint(&j, "rate_limit", link_rate(l));
	json_uint(&j, "sent_last_second", l->sent_last);
	json_uint(&j, "in_hand", c->by_ref.count);
	json_uint(&j, "ready_parts", l->ready_parts);
	json_uint(&j, "granted", c->open_items);
	json_uint(&j, "unacked", box_unacked(c->box));
	if (l->n_cells > 1)
		link_show_cells(l, &j);
	json_open_array(&j, "hosts");
	for (i = 0; i < l->profile->n_hosts; i++)
		json_str(&j, NULL, l->profile->host[i]);
	json_close_array(&j);
	json_open_array(&j, "binds");
	for (i = 0; i < l->n_binds; i++)
		bind_show(l->bind[i], &j);
	json_close_array(&j);
	json_close_object(&j);
}

/* One bind after the other, so that the link stays up where it has several. */
static void
link_rebind_next(struct link *l)
{
	enum bind_state last;

	while (l->rebind_at < l->n_binds && l->state <= LINK_UP) {
		last = l->rebind_at == 0 ? BIND_IDLE
					 : l->bind[l->rebind_at - 1]->state;
		if (last != BIND_IDLE && last != BIND_BOUND)
			return;
		bind_stop(l->bind[l->rebind_at++], l->profile->response_ms,
		    true, "to be bound again");
	}
}

static void
link_rebind(struct link *l, const char *why)
{
	log_info("link.rebind", "reason=%s", why);
	l->rebind_at = 0;
	link_rebind_next(l);
}

static void
link_box_call(struct box *box, uint64_t correlation,
    const Hopyard__V1__Call *call, void *arg)
{
	struct cell *c = arg;
	struct link *l = c->link;
	struct buf out;

	buf_init(&out);
	if (strcmp(call->method, "link.show") == 0) {
		link_show(c, &out);
		box_reply(box, correlation, 0, NULL, buf_data(&out),
		    buf_len(&out), false);
	} else if (strcmp(call->method, "link.rebind") == 0) {
		if (l->state > LINK_UP) {
			box_reply(box, correlation, 409,
			    "the connector is stopping", NULL, 0, false);
		} else {
			link_rebind(l, "asked for");
			buf_printf(&out, "{\"binds\":%u}", l->n_binds);
			box_reply(box, correlation, 0, NULL, buf_data(&out),
			    buf_len(&out), false);
		}
	} else {
		box_reply(
		    box, correlation, 404, "no such method", NULL, 0, false);
	}
	buf_fini(&out);
}

static void
link_box_writable(struct box *box, void *arg)
{
	struct cell *c = arg;

	(void)box;
	if (submit_flush(c))
		link_pump(c->link);
}

static const struct box_ops link_box_ops = {
	.ready = link_box_ready,
	.lost = link_box_lost,
	.acked = link_box_acked,
	.items = link_box_items,
	.frame = link_box_frame,
	.call = link_box_call,
	.writable = link_box_writable,
};

/* ------------------------------------------------------------------- binds */

static void
link_add_bind(struct link *l, enum bind_kind kind, unsigned number)
{
	l->bind = xrealloc(l->bind, (l->n_binds + 1) * sizeof(struct bind *));
	l->bind[l->n_binds] = bind_new(l, kind, number);
	bind_start(l->bind[l->n_binds++], 0);
}

/* Is there one of this kind and number that is to stay? */
static bool
link_has_bind(const struct link *l, enum bind_kind kind, unsigned number)
{
	unsigned i;

	for (i = 0; i < l->n_binds; i++)
		if (l->bind[i]->kind == kind && l->bind[i]->number == number &&
		    !l->bind[i]->retired)
			return true;
	return false;
}

/* As many binds as the profile says; those that are too many go when they have
 * their answers. */
static void
link_fit_binds(struct link *l)
{
	static const enum bind_kind kinds[] = { BIND_TRANSCEIVER,
		BIND_TRANSMITTER, BIND_RECEIVER };
	const struct profile *p = l->profile;
	unsigned i, k;

	for (i = 0; i < l->n_binds; i++) {
		struct bind *b = l->bind[i];

		if (b->retired ||
		    ((b->kind != BIND_TRANSCEIVER) == p->separate &&
			b->number <= p->sessions))
			continue;
		b->retired = true;
		bind_stop(b, p->response_ms, false, "no longer configured");
	}
	for (i = 1; i <= p->sessions; i++)
		for (k = 0; k < ARRAY_LEN(kinds); k++)
			if ((kinds[k] != BIND_TRANSCEIVER) == p->separate &&
			    !link_has_bind(l, kinds[k], i))
				link_add_bind(l, kinds[k], i);
	l->rebind_at = l->n_binds;
}

static void
link_drop_retired(struct link *l)
{
	unsigned i = 0;

	while (i < l->n_binds) {
		if (!l->bind[i]->retired || l->bind[i]->state != BIND_STOPPED) {
			i++;
			continue;
		}
		log_info("link.retired", "bind=%s", l->bind[i]->name);
		if (l->pins != NULL)
			pins_forget(l->pins, l->bind[i]);
		bind_free(l->bind[i]);
		l->n_binds--;
		memmove(&l->bind[i], &l->bind[i + 1],
		    (l->n_binds - i) * sizeof(struct bind *));
		if (l->rebind_at > i)
			l->rebind_at--;
		link_tell(l);
	}
}

/* ------------------------------------------------------------------- timer */

static bool
link_bind_stopped(const struct bind *b)
{
	return b->state == BIND_STOPPED;
}

static size_t
link_unacked(const struct link *l)
{
	size_t n = 0;
	unsigned i;

	for (i = 0; i < l->n_cells; i++)
		if (l->cell[i].box != NULL)
			n += box_unacked(l->cell[i].box);
	return n;
}

static size_t
link_in_hand(const struct link *l)
{
	size_t n = 0;
	unsigned i;

	for (i = 0; i < l->n_cells; i++)
		n += l->cell[i].by_ref.count;
	return n;
}

static void
link_watch_drain(struct link *l, uint64_t now)
{
	if (l->state == LINK_DRAINING &&
	    link_count_binds(l, link_bind_stopped) == l->n_binds)
		link_enter_state(l, LINK_CLOSING);
	if (l->state != LINK_CLOSING)
		return;
	if (link_in_hand(l) == 0 && link_unacked(l) == 0) {
		link_enter_state(l, LINK_CLOSED);
	} else if (now - l->entered_ms > LINK_BUS_FINISH_MS) {
		log_warn("link.unsettled", "in_hand=%zu unacked=%zu hint=%s",
		    link_in_hand(l), link_unacked(l),
		    "the bus did not acknowledge; it will treat these as unknown outcomes");
		link_enter_state(l, LINK_CLOSED);
	}
}

static void
link_update_meter(struct link *l)
{
	struct meter *m = &l->meter;

	m->up.value = l->state == LINK_UP;
	m->binds.value = link_count_binds(l, bind_is_bound);
	m->in_flight.value = link_in_flight(l);
	m->window.value = link_window(l);
	m->tps.value = link_rate(l);
	m->unacked.value = link_unacked(l);
	expiry_tick(&m->certificate, (int64_t)(clock_wall_ms() / 1000));
}

static void
link_tick_cb(uv_timer_t *timer)
{
	struct link *l = timer->data;
	uint64_t now = clock_mono_ms();
	unsigned i;

	for (i = 0; i < l->n_binds; i++)
		bind_tick(l->bind[i], now);
	link_roll_second(l, now);
	submit_sweep(l, now);
	for (i = 0; i < l->n_cells; i++)
		if (!submit_flush(&l->cell[i]))
			log_debug("bus.full", "unacked=%zu", link_unacked(l));
	link_rebind_next(l);
	link_drop_retired(l);
	link_pump(l);
	link_update_meter(l);
	link_watch_drain(l, now);
}

/* ------------------------------------------------------------- life of a link */

static void
link_open_cells(struct link *l, const struct link_bus *bus, size_t n)
{
	size_t i;

	l->cell = xcalloc(n, sizeof(*l->cell));
	l->n_cells = (unsigned)n;
	for (i = 0; i < n; i++) {
		cell_init(&l->cell[i], l, bus[i].group);
		l->cell[i].name = bus[i].opts.cell;
		l->cell[i].box =
		    box_new(l->loop, &bus[i].opts, &link_box_ops, &l->cell[i]);
	}
	if (n > 1)
		l->origins = origins_new();
}

struct link *
link_new(
    uv_loop_t *loop, const struct link_bus *bus, size_t n, struct profile *p)
{
	struct link *l = xcalloc(1, sizeof(*l));

	l->loop = loop;
	l->name = bus->opts.name;
	l->profile = p;
	l->entered_ms = l->second_ms = l->refilled_ms = clock_mono_ms();
	TAILQ_INIT(&l->inbound);
	buf_init(&l->scratch);
	meter_init(&l->meter, l->name);
	expiry_set(
	    &l->meter.certificate, p->tls, (int64_t)(clock_wall_ms() / 1000));
	link_open_cells(l, bus, n);
	link_fit_binds(l);
	uv_timer_init(loop, &l->tick);
	l->tick.data = l;
	uv_timer_start(&l->tick, link_tick_cb, LINK_TICK_MS, LINK_TICK_MS);
	uv_timer_init(loop, &l->soon);
	l->soon.data = l;
	return l;
}

void
link_reload(struct link *l, struct profile *p)
{
	struct profile *old = l->profile;

	l->profile = p;
	expiry_set(
	    &l->meter.certificate, p->tls, (int64_t)(clock_wall_ms() / 1000));
	if (l->state <= LINK_UP) {
		link_fit_binds(l);
		if (!profile_same_login(old, p))
			link_rebind(l, "the configuration has changed");
		link_tell(l);
	}
	profile_free(old);
}

void
link_drain(struct link *l, void (*done)(void *arg), void *arg)
{
	assert(l->state < LINK_DRAINING);
	l->done = done;
	l->done_arg = arg;
	link_enter_state(l, LINK_DRAINING);
}

void
link_free(struct link *l)
{
	unsigned i;

	/* Without a drain libuv and the sessions still hold on to all of it,
	 * and the process is about to end. */
	if (l->state != LINK_CLOSED)
		return;
	submit_free_all(l);
	deliver_free_all(l);
	for (i = 0; i < l->n_binds; i++)
		bind_free(l->bind[i]);
	if (!uv_is_closing((uv_handle_t *)&l->tick))
		uv_close((uv_handle_t *)&l->tick, NULL);
	if (!uv_is_closing((uv_handle_t *)&l->soon))
		uv_close((uv_handle_t *)&l->soon, NULL);
	/* Lets libuv forget the timers before their memory goes. */
	uv_run(l->loop, UV_RUN_NOWAIT);
	free(l->bind);
	for (i = 0; i < l->n_cells; i++)
		cell_fini(&l->cell[i]);
	free(l->cell);
	pins_free(l->pins);
	origins_free(l->origins);
	buf_fini(&l->scratch);
	meter_fini(&l->meter);
	profile_free(l->profile);
	free(l);
}
