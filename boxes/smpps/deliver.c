/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smpps/deliver.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/smpps/cell.h"
#include "boxes/smpps/customer.h"
#include "boxes/smpps/esme.h"
#include "boxes/smpps/meter.h"
#include "boxes/smpps/report.h"
#include "boxes/smpps/server.h"
#include "common/box.h"
#include "common/clock.h"
#include "common/crash.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/uuid.h"
#include "common/xalloc.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/smpp.h"

#define DELIVER_ARENA     (384 * 1024)
#define DELIVER_PINS      4096
#define DELIVER_PAUSE_MS  1000 /* nobody there, or enough for now */
#define DELIVER_THROTTLES 10   /* in a row, then the item leaves the queue */
#define DELIVER_SILENCE   3    /* time-outs without any answer */

enum delivery_state {
	DELIVERY_NEW = 0, /* being read; on no list */
	DELIVERY_WAITING, /* on customer->waiting; item is a copy */
	DELIVERY_SENT,    /* on deliver.sent, in the window of `esme` */
	DELIVERY_DONE,    /* the result is set; on cell->blocked when the box
			   * had no room for it */
	DELIVERY_SPENT,   /* on deliver.spent; the bus knows nothing of it */
};

struct delivery {
	TAILQ_ENTRY(delivery) link;
	enum delivery_state state;
	bool in_slot; /* a window points here: SENT, and later until answered */
	bool listed;  /* on cell->blocked */
	bool mo;
	struct cell *cell;         /* that it comes from */
	struct customer *customer; /* in whose in_hand it is counted, or NULL */
	uint64_t esme; /* number of the bind that it was written to */
	uint64_t pin;  /* key of deliver_pin; 0: none */
	uint64_t ref;
	uint32_t attempt;
	uint8_t id[UUID_LEN];
	uint64_t came_us, sent_us;
	/* The result. */
	Hopyard__V1__Result__Code code;
	uint32_t status;
	uint64_t pause_ms;
	const char *why;  /* constant */
	struct item item; /* in WAITING: views of data */
	uint8_t data[];
};

/* Which bind has the parts of a long message.  A collision costs the pin. */
struct deliver_pin {
	uint64_t key;
	uint64_t esme;
};

/* One server is one process. */
static struct {
	struct delivery_list sent; /* oldest first: all have the same time */
	struct delivery_list spent;
	struct deliver_pin pin[DELIVER_PINS];
	struct arena arena;
	uint8_t arena_memory[DELIVER_ARENA];
	uint8_t report_memory[REPORT_MAX];
	uint8_t pdu[SMPP_MAX_PDU];
} deliver;

/* --------------------------------------------------------------------- figures */

/* In the order of enum deliver_verdict; then no answer, and the bind's end. */
#define DELIVER_UNANSWERED (DELIVER_FAIL + 1)
#define DELIVER_LOST       (DELIVER_FAIL + 2)
#define OUTCOME(kind, result)                                                  \
	{                                                                      \
		.name = "smpps_deliver_total",                                 \
		.help = "deliver_sm to customers by what came of them.",       \
		.labels = "kind=\"" kind "\",result=\"" result "\"",           \
		.type = STAT_COUNTER                                           \
	}
#define OUTCOMES(kind)                                                         \
	{                                                                      \
		OUTCOME(kind, "ok"), OUTCOME(kind, "throttled"),               \
		    OUTCOME(kind, "retry"), OUTCOME(kind, "fail"),             \
		    OUTCOME(kind, "unanswered"), OUTCOME(kind, "lost")         \
	}
static struct stat_value outcome_stat[2][DELIVER_LOST + 1] = {
	OUTCOMES("dlr"),
	OUTCOMES("mo"),
};
static struct stat_value returned_stat = {
	.name = "smpps_given_back_total",
	.help = "Items given back to the bus without a deliver_sm.",
	.type = STAT_COUNTER,
};
static struct stat_value late_stat = {
	.name = "smpps_deliver_late_total",
	.help = "Answers to deliver_sm after their item was given back.",
	.type = STAT_COUNTER,
};
static struct stat_value pending_stat = {
	.name = "smpps_deliver_pending",
	.help = "Items in hand.",
	.type = STAT_GAUGE,
};
static struct stat_histogram answer_stat = {
	.name = "smpps_deliver_seconds",
	.help = "From deliver_sm to its answer.",
};

void
deliver_init(void)
{
	TAILQ_INIT(&deliver.sent);
	TAILQ_INIT(&deliver.spent);
	arena_init(
	    &deliver.arena, deliver.arena_memory, sizeof(deliver.arena_memory));
	memset(deliver.pin, 0, sizeof(deliver.pin));
	for (size_t k = 0; k < ARRAY_LEN(outcome_stat); k++)
		for (size_t i = 0; i < ARRAY_LEN(outcome_stat[k]); i++)
			stat_register(&outcome_stat[k][i]);
	stat_register(&returned_stat);
	stat_register(&late_stat);
	stat_register(&pending_stat);
	stat_histogram_register(&answer_stat);
}

void
deliver_open(struct cell *cell)
{
	map_init(&cell->in_hand);
	TAILQ_INIT(&cell->blocked);
}

static void
deliver_count(const struct delivery *d, unsigned outcome)
{
	outcome_stat[d->mo][outcome].value++;
}

/* --------------------------------------------------------------------- results */

static void
delivery_enter_state(struct delivery *d, enum delivery_state next)
{
	d->state = next;
}

/* Off the list of its state. */
static void
delivery_unlist(struct delivery *d)
{
	switch (d->state) {
	case DELIVERY_WAITING:
		TAILQ_REMOVE(&d->customer->waiting, d, link);
		break;
	case DELIVERY_SENT:
		TAILQ_REMOVE(&deliver.sent, d, link);
		break;
	case DELIVERY_DONE:
		if (d->listed)
			TAILQ_REMOVE(&d->cell->blocked, d, link);
		d->listed = false;
		break;
	case DELIVERY_SPENT:
		TAILQ_REMOVE(&deliver.spent, d, link);
		break;
	case DELIVERY_NEW:
		break;
	}
}

static int
delivery_send_result(struct box *box, const struct delivery *d)
{
	Hopyard__V1__Result r = HOPYARD__V1__RESULT__INIT;
	struct item item = { 0 };
	uint8_t space[256], id[UUID_LEN];
	char bind[32], detail[96], status[SMPP_NAME_MAX];
	size_t n;

	memcpy(id, d->id, sizeof(id));
	r.ref = d->ref;
	r.code = d->code;
	r.has_id = true;
	r.id = (ProtobufCBinaryData){ sizeof(id), id };
	r.has_attempt = true;
	r.attempt = d->attempt;
	r.has_status = d->status != 0;
	r.status = d->status;
	r.has_pause_ms = d->pause_ms != 0;
	r.pause_ms = d->pause_ms;
	if (d->esme != 0) {
		r.has_bind = true;
		r.bind.len = (size_t)snprintf(bind, sizeof(bind), "esme %llu",
		    (unsigned long long)d->esme);
		r.bind.data = (uint8_t *)bind;
	}
	if (d->why != NULL) {
		snprintf(detail, sizeof(detail), "%s%s%s", d->why,
		    d->status != 0 ? " " : "",
		    d->status != 0 ? smpp_status_str(d->status, status) : "");
		r.has_detail = true;
		r.detail =
		    (ProtobufCBinaryData){ strlen(detail), (uint8_t *)detail };
	}
	n = hopyard__v1__result__get_packed_size(&r);
	assert(n <= sizeof(space));
	item.envelope = bytes_of(space, hopyard__v1__result__pack(&r, space));
	return box_send_item(box, HOPYARD__V1__FRAME_TYPE__RESULT, &item, 0);
}

/* Tells the bus what is set, or waits for room.  May free both the delivery and
 * a customer that has nothing else. */
static void
delivery_give(struct delivery *d)
{
	struct customer *c = d->customer;
	struct delivery *old;

	if (delivery_send_result(d->cell->box, d) != 0) {
		if (!d->listed)
			TAILQ_INSERT_TAIL(&d->cell->blocked, d, link);
		d->listed = true;
		return;
	}
	CRASH_POINT("smpps.result_queued");
	delivery_unlist(d);
	old = map_del_u64(&d->cell->in_hand, d->ref);
	assert(old == d);
	d->customer = NULL;
	if (d->in_slot) {
		delivery_enter_state(d, DELIVERY_SPENT);
		TAILQ_INSERT_TAIL(&deliver.spent, d, link);
	} else {
		free(d);
	}
	if (c != NULL) {
		c->in_hand--;
		customer_update(c);
		customer_release(c);
	}
}

static void
delivery_finish(struct delivery *d, Hopyard__V1__Result__Code code,
    uint32_t status, uint64_t pause_ms, const char *why)
{
	delivery_unlist(d);
	delivery_enter_state(d, DELIVERY_DONE);
	d->code = code;
	d->status = status;
	d->pause_ms = pause_ms;
	d->why = why;
	delivery_give(d);
}

/* It never got as far as a bind. */
static void
delivery_return(struct delivery *d, uint64_t pause_ms, const char *why)
{
	returned_stat.value++;
	delivery_finish(
	    d, HOPYARD__V1__RESULT__CODE__NOT_NOW, 0, pause_ms, why);
}

static void
delivery_fail(struct delivery *d, const char *why)
{
	static struct log_limit limit;
	char id[UUID_TEXT_LEN];

	if (log_limit(&limit, 10))
		log_warn("esme.undeliverable", "msg=%s kind=%s err=%s",
		    uuid_format(d->id, id), d->mo ? "mo" : "dlr", why);
	deliver_count(d, DELIVER_FAIL);
	delivery_finish(d, HOPYARD__V1__RESULT__CODE__FAIL, 0, 0, why);
}

/* ------------------------------------------------------------- which bind */

static bool
deliver_has_room(const struct esme *e)
{
	return esme_may_receive(e) && e->paused_ms == 0 &&
	    session_room(e->session) > 0;
}

static uint64_t
deliver_hash(uint64_t hash, const void *p, size_t len)
{
	const uint8_t *octet = p;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ octet[i]) * 0x100000001b3u;
	return (hash ^ 0xff) * 0x100000001b3u;
}

/* The same for all parts of a message; 0: it is not a part. */
static uint64_t
deliver_pin_key(const struct customer *c, const Hopyard__V1__Envelope *e)
{
	uint64_t hash = 0xcbf29ce484222325u;

	if (e->kind != HOPYARD__V1__KIND__MO || e->segment == NULL ||
	    e->segment->total < 2)
		return 0;
	hash = deliver_hash(hash, c->account, strlen(c->account));
	hash = deliver_hash(hash, e->link.data, e->link.len);
	hash = deliver_hash(hash, e->from.data, e->from.len);
	hash = deliver_hash(hash, e->to.data, e->to.len);
	hash = deliver_hash(hash, &e->segment->kind, sizeof(e->segment->kind));
	hash = deliver_hash(hash, &e->segment->ref, sizeof(e->segment->ref));
	return hash == 0 ? 1 : hash;
}

static struct deliver_pin *
deliver_pin_of(uint64_t key)
{
	return &deliver.pin[(key ^ key >> 32) % DELIVER_PINS];
}

/* The bind whose turn it is among those with room, or NULL. */
static struct esme *
deliver_next_bind(struct customer *c)
{
	struct esme *e, *first;

	first = c->turn != NULL ? c->turn : TAILQ_FIRST(&c->binds);
	e = first;
	if (e == NULL)
		return NULL;
	do {
		if (deliver_has_room(e)) {
			c->turn = TAILQ_NEXT(e, customer_link);
			return e;
		}
		e = TAILQ_NEXT(e, customer_link);
		if (e == NULL)
			e = TAILQ_FIRST(&c->binds);
	} while (e != first);
	return NULL;
}

/* Where it goes now; NULL: it has to wait. */
static struct esme *
deliver_choose(struct customer *c, uint64_t key)
{
	struct deliver_pin *pin;
	struct esme *e;

	if (key == 0)
		return deliver_next_bind(c);
	pin = deliver_pin_of(key);
	if (pin->key == key) {
		e = esme_find(c->server, pin->esme);
		if (e != NULL && e->customer == c && esme_may_receive(e))
			return deliver_has_room(e) ? e : NULL;
	}
	e = deliver_next_bind(c);
	if (e != NULL)
		*pin = (struct deliver_pin){ .key = key, .esme = e->number };
	return e;
}

/* --------------------------------------------------------------------- sending */

/* Octets of the deliver_sm in deliver.pdu, or 0 and why not. */
static size_t
deliver_encode(const struct esme *e, const Hopyard__V1__Envelope *env,
    const struct item *item, const char **why)
{
	const struct report_opts opts = {
		.interface_version = e->interface_version,
		.id_form = e->id_form,
		.charset = e->charset,
	};
	struct arena *a = &deliver.arena;
	struct smpp_pdu pdu;
	int n;

	if (env->kind == HOPYARD__V1__KIND__MO) {
		const Hopyard__V1__Content *c =
		    frame_unpack(a, &hopyard__v1__content__descriptor,
			item->body.p, item->body.len);

		*why = c == NULL
		    ? "malformed content"
		    : report_mo(&pdu, env, c, &opts, deliver.report_memory);
	} else {
		const Hopyard__V1__Notice *notice =
		    frame_unpack(a, &hopyard__v1__notice__descriptor,
			item->body.p, item->body.len);
		const Hopyard__V1__Report *r =
		    frame_unpack(a, &hopyard__v1__report__descriptor,
			item->report.p, item->report.len);

		*why = notice == NULL || r == NULL
		    ? "malformed notice or report"
		    : report_dlr(
			  &pdu, env, notice, r, &opts, deliver.report_memory);
	}
	if (*why != NULL)
		return 0;
	n = smpp_encode(&pdu, deliver.pdu, sizeof(deliver.pdu));
	if (n > 0)
		return (size_t)n;
	*why = n == SMPP_ENOSPACE ? "too long for a PDU"
				  : "a field is too long for deliver_sm";
	return 0;
}

static void
deliver_write(struct delivery *d, struct esme *e,
    const Hopyard__V1__Envelope *env, const struct item *item)
{
	const char *why;
	size_t len = deliver_encode(e, env, item, &why);

	if (len == 0) {
		delivery_fail(d, why);
		return;
	}
	delivery_unlist(d);
	delivery_enter_state(d, DELIVERY_SENT);
	TAILQ_INSERT_TAIL(&deliver.sent, d, link);
	d->in_slot = true;
	d->esme = e->number;
	d->sent_us = clock_mono_us();
	if (session_in_flight(e->session) == 0)
		e->answered_ms = d->sent_us / 1000;
	e->n_delivers++;
	meter_out(SMPP_DELIVER_SM, ESME_ROK);
	session_request(e->session, deliver.pdu, len, d, 0);
	CRASH_POINT("smpps.deliver_queued");
}

void
deliver_pump(struct customer *c)
{
	const Hopyard__V1__Envelope *env;
	struct delivery *d, *next;
	struct esme *e;

	TAILQ_FOREACH_SAFE(d, &c->waiting, link, next) {
		e = deliver_choose(c, d->pin);
		if (e == NULL && d->pin == 0)
			break; /* nobody has room */
		if (e == NULL)
			continue;
		arena_reset(&deliver.arena);
		env = frame_unpack(&deliver.arena,
		    &hopyard__v1__envelope__descriptor, d->item.envelope.p,
		    d->item.envelope.len);
		assert(env != NULL); /* it was read before */
		deliver_write(d, e, env, &d->item);
	}
	customer_update(c);
}

/* -------------------------------------------------------------- from the bus */

static struct bytes
deliver_keep(uint8_t **to, struct bytes b)
{
	struct bytes kept = bytes_of(*to, b.len);

	if (b.len > 0)
		memcpy(*to, b.p, b.len);
	*to += b.len;
	return kept;
}

static void
deliver_wait(struct delivery *d, struct customer *c, const struct item *item)
{
	uint8_t *p = d->data;

	d->item.envelope = deliver_keep(&p, item->envelope);
	d->item.body = deliver_keep(&p, item->body);
	d->item.report = deliver_keep(&p, item->report);
	delivery_enter_state(d, DELIVERY_WAITING);
	TAILQ_INSERT_TAIL(&c->waiting, d, link);
}

static struct delivery *
delivery_new(struct cell *cell, const Hopyard__V1__Dispatch *dispatch,
    struct customer *c, const struct item *copied)
{
	size_t room = copied == NULL ? 0 : item_bytes(copied);
	struct delivery *d = xmalloc(sizeof(*d) + room);

	memset(d, 0, sizeof(*d));
	d->cell = cell;
	d->ref = dispatch->ref;
	d->attempt = dispatch->attempt;
	d->came_us = clock_mono_us();
	d->customer = c;
	if (c != NULL)
		c->in_hand++;
	map_put_u64(&cell->in_hand, d->ref, d);
	return d;
}

void
deliver_accept(struct cell *cell, const struct item *item)
{
	struct server *srv = cell->server;
	static struct log_limit limit;
	const Hopyard__V1__Dispatch *dispatch;
	const Hopyard__V1__Envelope *env;
	struct customer *c = NULL;
	struct esme *e = NULL;
	struct delivery *d;
	uint64_t pin = 0;

	CRASH_POINT("smpps.taken");
	arena_reset(&deliver.arena);
	dispatch =
	    frame_unpack(&deliver.arena, &hopyard__v1__dispatch__descriptor,
		item->context.p, item->context.len);
	if (dispatch == NULL) {
		if (log_limit(&limit, 5))
			log_error("esme.item", "err=%s", "malformed context");
		return;
	}
	c = customer_find(cell, dispatch->account.data, dispatch->account.len);
	if (c != NULL)
		c->seat[cell->index].came++;
	/* The bus was told that it is in hand and did not listen. */
	if (map_get_u64(&cell->in_hand, dispatch->ref) != NULL) {
		if (c != NULL)
			customer_update(c);
		return;
	}
	env = frame_unpack(&deliver.arena, &hopyard__v1__envelope__descriptor,
	    item->envelope.p, item->envelope.len);
	if (c != NULL && env != NULL && !srv->draining) {
		pin = deliver_pin_key(c, env);
		/* What waits was here first. */
		if (TAILQ_EMPTY(&c->waiting))
			e = deliver_choose(c, pin);
	}
	d = delivery_new(cell, dispatch, c, e == NULL ? item : NULL);
	d->pin = pin;
	if (env == NULL || env->id.len != UUID_LEN) {
		delivery_fail(d, "malformed envelope");
		return;
	}
	memcpy(d->id, env->id.data, UUID_LEN);
	d->mo = env->kind == HOPYARD__V1__KIND__MO;
	if (env->kind != HOPYARD__V1__KIND__MO &&
	    env->kind != HOPYARD__V1__KIND__DLR) {
		delivery_fail(d, "not a report and not an incoming message");
	} else if (srv->draining) {
		delivery_return(d, 0, "shutting down");
	} else if (e != NULL) {
		deliver_write(d, e, env, item);
	} else if (c == NULL || c->receiver_count == 0) {
		delivery_return(d, DELIVER_PAUSE_MS, "no receiver is bound");
	} else {
		deliver_wait(d, c, item);
		/* A part may wait for its bind while others have room. */
		deliver_pump(c);
	}
}

void
deliver_return_all(struct customer *c)
{
	struct delivery *d;

	c->in_hand++; /* so that it lives as long as this */
	/* Each goes to the head of its queue: the last one first. */
	while ((d = TAILQ_LAST(&c->waiting, delivery_list)) != NULL)
		delivery_return(d, DELIVER_PAUSE_MS, "no receiver is bound");
	c->in_hand--;
}

/* --------------------------------------------------------------------- answers */

/*
 * SMPP 3.4, 5.1.3, and what is made of it: temporary are the statuses that
 * carriers retry (Vonage publishes its list: 0x08, 0x14, 0x45, 0x58, 0x67,
 * 0xfe, 0xff), the one that the specification calls temporary, and one that
 * speaks of the session and not of the message.  Everything else is an opinion
 * about the message that the next try would not change, as is a generic_nack
 * of an ESME that does not know deliver_sm or finds its length wrong.
 */
enum deliver_verdict
deliver_judge(uint32_t status, bool nack)
{
	switch ((enum smpp_status)status) {
	case ESME_ROK:
		/* Nothing was wrong, and nothing was taken. */
		return nack ? DELIVER_RETRY : DELIVER_OK;
	case ESME_RTHROTTLED:
	case ESME_RMSGQFUL:
		return DELIVER_THROTTLED;
	case ESME_RSYSERR:
	case ESME_RSUBMITFAIL:
	case ESME_RQUERYFAIL:
	case ESME_RX_T_APPN:
	case ESME_RDELIVERYFAILURE:
	case ESME_RUNKNOWNERR:
	case ESME_RINVBNDSTS:
		return DELIVER_RETRY;
	default: /* any 32-bit number may come */
		return DELIVER_FAIL;
	}
}

static void
deliver_log_answer(
    const struct delivery *d, const char *status, uint64_t now_us)
{
	char id[UUID_TEXT_LEN];

	log_info("esme.deliver",
	    "msg=%s kind=%s account=%s esme=%llu status=%s attempt=%u delay=%llu",
	    uuid_format(d->id, id), d->mo ? "mo" : "dlr",
	    d->customer != NULL ? d->customer->account : "",
	    (unsigned long long)d->esme, status, d->attempt,
	    (unsigned long long)((now_us - d->came_us) / 1000));
}

/*
 * Full for now.  The item keeps its place at the head of its queue and is not
 * counted, as this is about the bind and not about the item; unless the bind
 * never says anything else.
 */
static void
deliver_on_throttled(
    struct esme *e, struct delivery *d, uint32_t status, uint64_t now_ms)
{
	struct customer *c = d->customer;
	const struct esme *other;
	uint64_t pause = DELIVER_PAUSE_MS;

	e->paused_ms = now_ms + DELIVER_PAUSE_MS;
	if (++e->throttled > DELIVER_THROTTLES) {
		delivery_finish(
		    d, HOPYARD__V1__RESULT__CODE__RETRY, status, 0, "answer");
		return;
	}
	TAILQ_FOREACH(other, &c->binds, customer_link)
		if (deliver_has_room(other))
			pause = 0;
	delivery_finish(
	    d, HOPYARD__V1__RESULT__CODE__THROTTLED, status, pause, "answer");
}

static void
deliver_on_verdict(struct esme *e, struct delivery *d,
    enum deliver_verdict verdict, uint32_t status, uint64_t now_ms)
{
	switch (verdict) {
	case DELIVER_OK:
		e->throttled = 0;
		delivery_finish(d, HOPYARD__V1__RESULT__CODE__OK, 0, 0, NULL);
		break;
	case DELIVER_THROTTLED:
		deliver_on_throttled(e, d, status, now_ms);
		break;
	case DELIVER_RETRY:
		delivery_finish(
		    d, HOPYARD__V1__RESULT__CODE__RETRY, status, 0, "answer");
		break;
	case DELIVER_FAIL:
		delivery_finish(
		    d, HOPYARD__V1__RESULT__CODE__FAIL, status, 0, "answer");
		break;
	}
}

/* The slot of one that was given back is free again, or gone. */
static void
delivery_leave_slot(struct esme *e, struct delivery *d)
{
	d->in_slot = false;
	assert(e->overdue > 0);
	customer_overdue(e, -1);
	if (d->state == DELIVERY_SPENT) {
		delivery_unlist(d);
		free(d);
	}
}

void
deliver_on_answer(
    struct esme *e, const struct window_slot *slot, const struct smpp_pdu *pdu)
{
	struct delivery *d = slot->what;
	uint64_t now_us = clock_mono_us();
	bool nack = pdu->command_id == (uint32_t)SMPP_GENERIC_NACK;
	enum deliver_verdict verdict = deliver_judge(pdu->command_status, nack);
	char name[SMPP_NAME_MAX];

	CRASH_POINT("smpps.deliver_answered");
	e->answered_ms = now_us / 1000;
	if (d->state != DELIVERY_SENT) {
		late_stat.value++;
		delivery_leave_slot(e, d);
	} else {
		d->in_slot = false;
		stat_histogram_add(&answer_stat, now_us - d->sent_us);
		deliver_count(d, verdict);
		if (log_enabled(LOG_LEVEL_INFO))
			deliver_log_answer(d,
			    smpp_status_str(pdu->command_status, name), now_us);
		deliver_on_verdict(
		    e, d, verdict, pdu->command_status, now_us / 1000);
	}
}

/*
 * Written, and whether it was taken nobody knows: the bus gives it out again,
 * the first time at once.  At worst the customer has it twice.
 */
void
deliver_on_lost(struct esme *e, const struct window_slot *slot)
{
	struct delivery *d = slot->what;

	if (d->state != DELIVERY_SENT) {
		delivery_leave_slot(e, d);
		return;
	}
	d->in_slot = false;
	deliver_count(d, DELIVER_LOST);
	delivery_finish(d, HOPYARD__V1__RESULT__CODE__UNKNOWN_OUTCOME, 0, 0,
	    "the bind ended before its answer");
}

/* --------------------------------------------------------------------- periodic */

static void
deliver_give_up(const struct server *srv, struct delivery *d)
{
	struct esme *e = esme_find(srv, d->esme);

	assert(e != NULL); /* else its slot would have been lost */
	customer_overdue(e, 1);
	deliver_count(d, DELIVER_UNANSWERED);
	deliver_log_answer(d, "no_answer", clock_mono_us());
	delivery_finish(
	    d, HOPYARD__V1__RESULT__CODE__RETRY, 0, 0, "no answer in time");
}

static bool
deliver_is_stuck(const struct server *srv, const struct esme *e, uint64_t now)
{
	if (e->overdue == 0 || !esme_may_receive(e))
		return false;
	if (session_room(e->session) == 0 &&
	    e->overdue >= session_in_flight(e->session))
		return true;
	return now >= e->answered_ms + DELIVER_SILENCE * srv->response_ms;
}

void
deliver_tick(struct server *srv, uint64_t now)
{
	struct delivery *d;
	struct esme *e, *next;
	unsigned i;

	while ((d = TAILQ_FIRST(&deliver.sent)) != NULL &&
	    now >= d->sent_us / 1000 + srv->response_ms)
		deliver_give_up(srv, d);
	TAILQ_FOREACH_SAFE(e, &srv->esmes, link, next) {
		if (deliver_is_stuck(srv, e, now)) {
			esme_unbind(e, "deliver_sm is not answered");
		} else if (e->paused_ms != 0 && now >= e->paused_ms) {
			e->paused_ms = 0;
			if (e->customer != NULL)
				deliver_pump(e->customer);
		}
	}
	pending_stat.value = 0;
	for (i = 0; i < srv->cells; i++)
		pending_stat.value += deliver_in_hand(&srv->cell[i]);
}

size_t
deliver_refs(const struct cell *cell, uint64_t *ref, size_t max)
{
	const struct delivery *d;
	size_t pos = 0, n = 0;

	while (n < max && (d = map_next(&cell->in_hand, &pos)) != NULL)
		ref[n++] = d->ref;
	return n;
}

void
deliver_flush(struct cell *cell)
{
	struct delivery *d;

	while ((d = TAILQ_FIRST(&cell->blocked)) != NULL &&
	    box_can_send(cell->box))
		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): it left the list */
		delivery_give(d);
}

size_t
deliver_in_hand(const struct cell *cell)
{
	return cell->in_hand.count;
}

static void
deliver_close(struct cell *cell)
{
	struct delivery *d;
	size_t pos = 0;

	while ((d = map_next(&cell->in_hand, &pos)) != NULL) {
		delivery_unlist(d);
		if (d->customer != NULL)
			d->customer->in_hand--;
		free(d);
	}
	map_fini(&cell->in_hand);
}

void
deliver_fini(struct server *srv)
{
	struct delivery *d;
	unsigned i;

	for (i = 0; i < srv->cells; i++)
		deliver_close(&srv->cell[i]);
	while ((d = TAILQ_FIRST(&deliver.spent)) != NULL) {
		TAILQ_REMOVE(&deliver.spent, d, link);
		free(d);
	}
}
