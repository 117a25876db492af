/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/engine.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/conf.h"
#include "common/crash.h"
#include "common/inbound.h"
#include "common/xalloc.h"
#include "core/encode.h"
#include "core/repeat.h"

/* Queues looked at in one failover pass. */
#define FAILOVER_QUEUES 8
/* ms: when a commit is late; how long each, and all of one outage, are held. */
#define LATE_MS    1000
#define LATE_HOLD  50
#define LATE_MOST  250
#define LATE_APART 3000
/* All items are looked at for their expiry in so many ticks. */
#define SWEEP_TICKS 8
#define SWEEP_MAX   1000
/* An item that its box keeps beyond its validity is given up. */
#define SWEEP_GRACE (60 * 1000ull)
/* Bytes of credit kept for a Dispatch until it is made. */
#define DISPATCH_BYTES 40
#define PART_BYTES     5
#define ACCOUNT_BYTES  4 /* around it */
/* Items that one box may say that it has. */
#define IN_HAND_MAX 65536
/* Pages asked for at a time, of each kind of queue. */
#define PAGES_CONNECTOR 64
#define PAGES_HOOK      16
#define PAGES_ESME      16
#define PAGE_TIMEOUT    30000
/* Deep queues of a role looked at in one turn, and when to go on: there may be
 * one for each customer. */
#define DEEP_QUEUES 256
#define DEEP_AGAIN  10
/* How old may be what the store says is overdue: half of it at least; or after
 * how many items, so that a crowd that expires at once stays bounded. */
#define OVERDUE_MS    120000
#define OVERDUE_ITEMS 100000
/* Queues in one CHECKPOINT record: it must pass frame_scan(). */
#define CHECKPOINT_QUEUES 1024

static struct target *target_make(
    struct engine *, const char *name, enum target_role);

/* ------------------------------------------------------------- the state */

struct engine *
engine_new(const struct engine_ops *ops, void *arg, uint64_t seed)
{
	struct engine *e = xcalloc(1, sizeof(*e));

	e->ops = ops;
	e->arg = arg;
	e->rng = seed | 1;
	map_init(&e->target_by_name);
	TAILQ_INIT(&e->queues);
	for (int role = 0; role < TARGET_ROLES; role++)
		TAILQ_INIT(&e->deep[role]);
	map_init(&e->queue_by_number);
	map_init(&e->queue_by_key);
	map_init(&e->keys);
	e->next_queue = 1;
	ledger_init(&e->ledger);
	pressure_init(&e->pressure);
	map_init(&e->by_seq);
	map_init(&e->by_id);
	TAILQ_INIT(&e->due_home);
	map_init(&e->due_gone);
	replace_init(&e->replacements);
	map_init(&e->lookups);
	map_init(&e->lookup_by_id);
	map_init(&e->overdue[0]);
	map_init(&e->overdue[1]);
	e->parts = parts_new();
	e->filters = filters_new();
	buf_init(&e->early);
	buf_init(&e->scratch);
	arena_init(&e->arena, e->arena_memory, sizeof(e->arena_memory));
	arena_init(
	    &e->result_arena, e->result_memory, sizeof(e->result_memory));
	TAILQ_INIT(&e->customer_list);
	map_init(&e->customer_by_account);
	/* Always there: whether anything goes is for its seats to say. */
	e->customers = target_make(e, CUSTOMERS_TARGET, TARGET_ESME);
	e->customers->state = TARGET_READY;
	e->customers->up = true;
	return e;
}

void
engine_free(struct engine *e)
{
	struct queue *q, *next;
	struct lookup *l;
	struct entry en;
	struct msg *m;
	void *p;
	size_t pos = 0;

	e->ledger.horizon = UINT64_MAX;
	while (ledger_pop(&e->ledger, &en))
		msg_free(en.notice);
	while ((m = map_next(&e->by_seq, &pos)) != NULL)
		msg_free(m);
	pos = 0;
	while ((l = map_next(&e->lookups, &pos)) != NULL) {
		msg_free(l->msg);
		free(l);
	}
	pos = 0;
	while ((p = map_next(&e->keys, &pos)) != NULL)
		free(p);
	TAILQ_FOREACH_SAFE(q, &e->queues, all_link, next)
		queue_free(q);
	while (!TAILQ_EMPTY(&e->customer_list)) {
		struct customer *c = TAILQ_FIRST(&e->customer_list);

		TAILQ_REMOVE(&e->customer_list, c, link);
		customer_free(c);
	}
	map_fini(&e->customer_by_account);
	for (size_t i = 0; i < e->target_count; i++)
		target_free(e->target[i]);
	free(e->target);
	map_fini(&e->target_by_name);
	map_fini(&e->queue_by_number);
	map_fini(&e->queue_by_key);
	map_fini(&e->keys);
	map_fini(&e->by_seq);
	map_fini(&e->by_id);
	map_fini(&e->due_gone);
	replace_fini(&e->replacements);
	map_fini(&e->lookups);
	map_fini(&e->lookup_by_id);
	map_fini(&e->overdue[0]);
	map_fini(&e->overdue[1]);
	parts_free(e->parts);
	filters_free(e->filters);
	repeats_free(e->repeats);
	ledger_fini(&e->ledger);
	buf_fini(&e->early);
	buf_fini(&e->scratch);
	free(e->heap);
	inbound_free(e->inbound);
	route_table_free(e->routes);
	account_table_free(e->accounts);
	free(e);
}

void
engine_time(struct engine *e, uint64_t mono, uint64_t wall)
{
	steps_look(&e->steps, mono, wall, e->ledger.last_seq);
	e->now = mono;
	e->wall = wall;
	if (e->started == 0)
		e->started = mono;
}

uint64_t
engine_random(struct engine *e, uint64_t below)
{
	e->rng ^= e->rng << 13;
	e->rng ^= e->rng >> 7;
	e->rng ^= e->rng << 17;
	return below == 0 ? 0 : e->rng % below;
}

/* --------------------------------------------------------- configuration */

struct target *
engine_target(struct engine *e, const char *name)
{
	return map_get(&e->target_by_name, name, strlen(name));
}

static struct target *
target_make(struct engine *e, const char *name, enum target_role role)
{
	struct target *t = engine_target(e, name);

	if (t != NULL)
		return t;
	e->target = xrealloc(
	    e->target, (e->target_count + 1) * sizeof(struct target *));
	t = target_new(name, role, (uint32_t)e->target_count);
	t->down_since = e->now;
	e->target[e->target_count++] = t;
	if (role == TARGET_ESME && e->customers != NULL) {
		t->next_server = e->first_server;
		e->first_server = t;
	}
	map_put(&e->target_by_name, t->name, strlen(t->name), t);
	return t;
}

static struct target *
route_target(void *arg, const char *name)
{
	return engine_target(arg, name);
}

/* What the bus itself reads of a box's settings. */
static void
target_configure(struct target *t, const struct conf_group *g)
{
	const char *type = conf_str(g, "type");
	if (strcmp(type, "smppc") == 0) {
		t->scope = conf_str(g, "scope");
		t->schedules = strcmp(conf_str(g, "schedule"), "smsc") == 0;
	}
	if (strcmp(type, "hook") == 0) {
		t->retries = conf_list_len(g, "retry");
		t->retry = xcalloc(t->retries + 1, sizeof(*t->retry));
		for (size_t i = 0; i < t->retries; i++)
			t->retry[i] = conf_list_duration(g, "retry", i);
	}
}

void
engine_configure(struct engine *e, const struct conf *conf, uint64_t version)
{
	const struct conf_group *bus = conf_section(conf, "bus");
	struct account_table *accounts;
	enum target_role role;

	e->limits.ready_items = (size_t)conf_int(bus, "ready_items");
	e->limits.ready_bytes = conf_size(bus, "ready_bytes");
	e->limits.queue_items = (size_t)conf_int(bus, "queue_items");
	e->limits.starvation = (unsigned)conf_int(bus, "starvation");
	e->limits.checkpoint_ms = conf_duration(bus, "checkpoint");
	e->limits.failover_ms = conf_duration(bus, "failover_after");
	e->limits.reclaim_ms = conf_duration(bus, "reclaim");
	e->limits.join_ms = conf_duration(bus, "join_timeout");
	e->ledger.tail_max = conf_size(bus, "tail");

	for (size_t i = 0; i < e->target_count; i++) {
		e->target[i]->configured = e->target[i] == e->customers;
		e->target[i]->scope = NULL;
		e->target[i]->schedules = false;
		free(e->target[i]->retry);
		e->target[i]->retry = NULL;
	}
	e->first_hook = NULL;
	target_make(e, PARTS_TARGET, TARGET_PARTS);
	for (size_t i = 0; i < conf_count(conf, "boxes"); i++) {
		const struct conf_group *g = conf_item(conf, "boxes", i);
		struct target *t;

		if (!conf_bool(g, "enabled") || !target_role_of(g, &role))
			continue;
		t = target_make(e, conf_str(g, "name"), role);
		t->configured = true;
		target_configure(t, g);
		if (role == TARGET_HOOK && e->first_hook == NULL)
			e->first_hook = t;
	}
	accounts = account_table_new(conf, version, e->accounts);
	account_table_free(e->accounts);
	e->accounts = accounts;
	route_table_free(e->routes);
	e->routes = route_table_new(conf, route_target, e);
	inbound_free(e->inbound);
	e->inbound = inbound_new(conf);
	e->conf = conf;
	e->version = version;
	e->route_epoch++;
	e->filtering = filters_configure(e);
}

/* ---------------------------------------------------------------- queues */

struct queue_key {
	uint32_t target;
	uint8_t class;
	char account[];
};

static struct queue *
queue_insert(struct engine *e, uint32_t number, struct target *t, uint8_t class,
    const char *account)
{
	size_t len = offsetof(struct queue_key, account) + strlen(account);
	struct queue_key *key = xcalloc(1, sizeof(*key) + strlen(account));
	struct queue *q = queue_new(number, t, class, account);

	key->target = t->index;
	key->class = class;
	memcpy(key->account, account, strlen(account));
	map_put(&e->keys, key, len, key);
	map_put(&e->queue_by_key, key, len, q);
	map_put_u64(&e->queue_by_number, number, q);
	TAILQ_INSERT_TAIL(&e->queues, q, all_link);
	e->queue_count++;
	if (number >= e->next_queue)
		e->next_queue = number + 1;
	if (t == e->customers)
		customer_add_queue(e, q);
	return q;
}

static struct queue *
queue_look_up(struct engine *e, const struct target *t, uint8_t class,
    const char *account)
{
	uint8_t memory[sizeof(struct queue_key) + 256];
	struct queue_key *key = (void *)memory;
	size_t n = strlen(account);

	if (n > 256)
		return NULL;
	memset(memory, 0, sizeof(struct queue_key));
	key->target = t->index;
	key->class = class;
	memcpy(key->account, account, n);
	return map_get(
	    &e->queue_by_key, key, offsetof(struct queue_key, account) + n);
}

struct queue *
engine_queue_known(struct engine *e, uint32_t number, const char *target,
    uint8_t class, const char *account)
{
	struct target *t = engine_target(e, target);

	if (t == NULL) {
		/* A box that has left the configuration; its items may have
		 * other ways. */
		t = target_make(e, target, TARGET_CONNECTOR);
		t->configured = false;
	}
	return queue_insert(e, number, t, class, account);
}

struct queue *
engine_queue(
    struct engine *e, struct target *t, uint8_t class, const char *account)
{
	Hopyard__V1__Record r = HOPYARD__V1__RECORD__INIT;
	Hopyard__V1__Queue def = HOPYARD__V1__QUEUE__INIT;
	Hopyard__V1__Queue *defs[1] = { &def };
	struct bytes none = { NULL, 0 };
	struct queue *q = queue_look_up(e, t, class, account);

	if (q != NULL)
		return q;
	q = queue_insert(e, e->next_queue, t, class, account);
	def.queue = q->number;
	def.target.data = (uint8_t *)t->name;
	def.target.len = strlen(t->name);
	def.class_ = (Hopyard__V1__Class)(class + 1);
	def.account.data = (uint8_t *)q->account;
	def.account.len = strlen(q->account);
	r.type = HOPYARD__V1__RECORD__TYPE__QUEUE_DEF;
	r.at = e->wall;
	r.n_queues = 1;
	r.queues = defs;
	engine_record(e, &r, none, none, none);
	return q;
}

/* --------------------------------------------------------------- records */

uint64_t
engine_record(struct engine *e, const Hopyard__V1__Record *r,
    struct bytes envelope, struct bytes body, struct bytes report)
{
	struct item it;
	uint8_t *dst;
	uint64_t seq;
	size_t len;

	buf_clear(&e->scratch);
	dst = buf_reserve(&e->scratch, encode_record_bound(r));
	len = (size_t)(encode_record(dst, r) - dst);
	it.envelope = envelope;
	it.body = body;
	it.report = report;
	it.context = (struct bytes){ dst, len };
	seq = ledger_append(&e->ledger, &it);
	pressure_recorded(&e->pressure, seq, e->now);
	return seq;
}

const Hopyard__V1__Envelope *
engine_envelope(struct engine *e, struct bytes b)
{
	arena_reset(&e->arena);
	return frame_unpack(
	    &e->arena, &hopyard__v1__envelope__descriptor, b.p, b.len);
}

void
engine_say(struct engine *e, const char *event, const struct msg *m,
    const char *via, const char *status, const char *why)
{
	struct engine_note n = {
		.event = event, .via = via, .status = status, .why = why
	};
	const Hopyard__V1__Envelope *env;

	if (!e->notes)
		return;
	n.id = m->id;
	n.ref = m->seq;
	n.delay_ms = e->wall > m->at ? e->wall - m->at : 0;
	env = engine_envelope(e, msg_envelope(m));
	if (env != NULL) {
		n.to = (struct bytes){ env->to.data, env->to.len };
		n.from = (struct bytes){ env->from.data, env->from.len };
		n.account =
		    (struct bytes){ env->account.data, env->account.len };
	}
	e->ops->note(e->arg, &n);
}

/* ------------------------------------------------------- items in memory */

bool
engine_full(const struct engine *e)
{
	return e->by_seq.count >= e->limits.ready_items ||
	    e->bytes >= e->limits.ready_bytes;
}

static bool
expired(const struct engine *e, const struct msg *m)
{
	return m->expires != 0 && e->now >= m->expires;
}

void
engine_keep(struct engine *e, struct msg *m, struct queue *home, bool paged)
{
	m->queue = home;
	map_put_u64(&e->by_seq, m->seq, m);
	if (m->kind != HOPYARD__V1__KIND__DLR)
		map_put(&e->by_id, m->id, sizeof(m->id), m);
	e->bytes += msg_size(m);
	if (!m->from_due)
		queue_adopt(home, m, paged);
}

void
engine_forget(struct engine *e, struct msg *m)
{
	map_del_u64(&e->by_seq, m->seq);
	/* Not so when it is a duplicate and a page has brought the first. */
	if (m->kind != HOPYARD__V1__KIND__DLR &&
	    map_get(&e->by_id, m->id, sizeof(m->id)) == m)
		map_del(&e->by_id, m->id, sizeof(m->id));
	/* What the store looked up before it knew of the end is on its way. */
	if (m->home != NULL && m->home->asked_at != 0)
		map_put_u64(&m->home->gone, m->seq, m->home);
	if (e->due_asked_at != 0 && (m->from_due || m->looked_up))
		map_put_u64(&e->due_gone, m->seq, e);
	/* By its own clock the store may think so earlier than we do, and its
	 * word be here when it has become true. */
	if (m->state == MSG_DONE && m->expires != 0 &&
	    e->now + OVERDUE_MS / 2 >= m->expires)
		map_put_u64(&e->overdue[0], m->seq,
		    m->submitted ? (void *)e->overdue : e);
	/* Two servers may have a word on one report, too. */
	engine_overtake(e, m->id);
	e->bytes -= msg_size(m);
	if (m->from_due) {
		TAILQ_REMOVE(&e->due_home, m, home_link);
		e->due_count--;
	} else {
		queue_disown(m);
	}
	msg_free(m);
}

/* ------------------------------------------------------ the waiting heap */

static void
heap_set(struct engine *e, size_t i, struct msg *m)
{
	e->heap[i] = m;
	m->heap_index = (uint32_t)i;
}

static void
heap_up(struct engine *e, size_t i)
{
	struct msg *m = e->heap[i];

	while (i > 0 && e->heap[(i - 1) / 2]->due > m->due) {
		heap_set(e, i, e->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_set(e, i, m);
}

static void
heap_down(struct engine *e, size_t i)
{
	struct msg *m = e->heap[i];
	size_t child;

	while ((child = 2 * i + 1) < e->heap_count) {
		if (child + 1 < e->heap_count &&
		    e->heap[child + 1]->due < e->heap[child]->due)
			child++;
		if (e->heap[child]->due >= m->due)
			break;
		heap_set(e, i, e->heap[child]);
		i = child;
	}
	heap_set(e, i, m);
}

void
engine_wait(struct engine *e, struct msg *m, uint64_t ms)
{
	msg_enter_state(m, MSG_WAITING);
	m->due = e->now + ms;
	if (e->heap_count == e->heap_cap) {
		e->heap_cap = e->heap_cap == 0 ? 256 : e->heap_cap * 2;
		e->heap = xrealloc(e->heap, e->heap_cap * sizeof(struct msg *));
	}
	e->heap[e->heap_count++] = m;
	heap_up(e, e->heap_count - 1);
}

void
engine_unwait(struct engine *e, struct msg *m)
{
	size_t i = m->heap_index;
	struct msg *last = e->heap[--e->heap_count];

	assert(m->state == MSG_WAITING);
	if (last == m)
		return;
	heap_set(e, i, last);
	heap_up(e, i);
	heap_down(e, last->heap_index);
}

/* --------------------------------------------------------------- targets */

static void
target_set_up(struct engine *e, struct target *t, bool up)
{
	if (t->up == up)
		return;
	t->up = up;
	if (up)
		e->route_epoch++;
	else
		t->down_since = e->now;
}

/*
 * Items that went out to a process that is gone for good, or that came back
 * without them.  sure: they never reached the wire.
 */
static void
target_give_back(struct engine *e, struct target *t, bool sure)
{
	static const char *const lost[TARGET_ROLES] = {
		[TARGET_CONNECTOR] = "connector lost",
		[TARGET_HOOK] = "hook box lost",
		[TARGET_ESME] = "SMPP server lost",
	};
	struct msg *m, *next;
	struct bytes none = { NULL, 0 };

	/* From the last one on: each goes to the front of its queue. */
	for (m = TAILQ_LAST(&t->inflight, msg_list); m != NULL; m = next) {
		next = TAILQ_PREV(m, msg_list, link);
		if (sure && map_get_u64(&t->in_hand, m->seq) != NULL) {
			map_del_u64(&t->in_hand, m->seq);
			continue;
		}
		TAILQ_REMOVE(&t->inflight, m, link);
		t->inflight_count--;
		m->queue->inflight--;
		if (sure)
			engine_ready(e, m, true);
		else
			engine_unknown(e, m, 0, 0, none, lost[t->role]);
	}
}

/* What it had in its hands is of unknown outcome. */
static void
target_lose(struct engine *e, struct target *t)
{
	target_give_back(e, t, false);
	/* And what it has said of others is known only to us so far. */
	t->lost_seq = e->ledger.last_seq;
	/* Also items that it told us of and that are not loaded yet. */
	if (t->in_hand.count > 0)
		t->lost = t->unsure = true;
}

/* It has said all that it has in hand.  What we think it has and it does not
 * was lost with the connection, before it was read. */
static void
target_settle(struct engine *e, struct target *t)
{
	if (t->settled)
		return;
	t->settled = true;
	if (!t->lost)
		t->unsure = false;
	target_give_back(e, t, true);
}

bool
engine_unsure(
    const struct engine *e, const struct msg *m, const struct target *t)
{
	return t->unsure && m->seq <= e->recovered_seq &&
	    m->kind == HOPYARD__V1__KIND__MT;
}

/* Is an item in memory or to be loaded that an earlier bus may have sent? */
static bool
recovered_left(const struct engine *e)
{
	const struct queue *q;

	TAILQ_FOREACH(q, &e->queues, all_link) {
		uint64_t low = queue_low(q);

		/* No MT waits where parts of MO do, or customers'
		 * items, and those perhaps for days. */
		if (low != 0 && low <= e->recovered_seq &&
		    q->target->role != TARGET_PARTS &&
		    q->target->role != TARGET_ESME)
			return true;
	}
	return e->due_count > 0;
}

uint64_t
engine_succeed(struct engine *e, struct target *t, const uint8_t instance[16])
{
	if (memcmp(t->instance, instance, sizeof(t->instance)) == 0)
		return 0;
	if (t->state == TARGET_LOST) {
		target_lose(e, t);
		t->state = TARGET_AWAY;
	}
	if (t->lookups > 0)
		return UINT64_MAX;
	return t->lost_seq > e->ledger.horizon ? t->lost_seq : 0;
}

bool
engine_hello(struct engine *e, struct target *t, uint32_t peer,
    const uint8_t instance[16], bool survived)
{
	bool same = memcmp(t->instance, instance, sizeof(t->instance)) == 0;

	if (t->state == TARGET_LOST && !same)
		target_lose(e, t);
	/* Nobody is left who could say what an earlier bus gave it. */
	if (t->met ? !same && t->unsure : !survived)
		t->lost = true;
	t->met = true;
	t->state = TARGET_GREETED;
	t->since = t->broke_at = e->now;
	t->told = t->settled = false;
	t->peer = peer;
	memcpy(t->instance, instance, sizeof(t->instance));
	t->granted_items = t->granted_bytes = 0;
	t->sent_items = t->sent_bytes = 0;
	t->pause_until = 0;
	map_fini(&t->in_hand);
	map_init(&t->in_hand);
	customers_box_gone(e, t);
	/* A connector says so by itself. */
	if (t->role != TARGET_CONNECTOR)
		target_set_up(e, t, true);
	return e->open && t->lookups == 0 && t->lost_seq <= e->ledger.horizon &&
	    (!t->lost || !recovered_left(e));
}

void
engine_in_hand(
    struct engine *e, struct target *t, const uint64_t *refs, size_t n)
{
	struct msg *m;

	/* Once it has credit it may not claim what it was never given. */
	if (t->state != TARGET_GREETED || t->settled)
		return;
	t->told = true;
	for (size_t i = 0; i < n && t->in_hand.count < IN_HAND_MAX; i++) {
		m = map_get_u64(&e->by_seq, refs[i]);
		/* Of a customer's item also while another one has it: should
		 * that one give it back, it is here. */
		if (m == NULL || queue_serves(m, t) ||
		    (t->role == TARGET_ESME && m->queue->customer != NULL)) {
			map_put_u64(&t->in_hand, refs[i], t);
			if (m == NULL)
				continue;
		}
		/* It was loaded before the box had come back. */
		if (m->state != MSG_READY && m->state != MSG_WAITING &&
		    m->state != MSG_ATTEMPTING)
			continue;
		if (m->queue->target->role != t->role)
			continue;
		engine_detach(e, m);
		engine_goes_by(e, m, t);
		map_put_u64(&t->in_hand, refs[i], t);
		engine_ready(e, m, false);
	}
}

void
engine_credit(
    struct engine *e, struct target *t, uint64_t items, uint64_t bytes)
{
	if (t->state == TARGET_AWAY || t->state == TARGET_LOST)
		return;
	t->granted_items = items;
	t->granted_bytes = bytes;
	if (t->state == TARGET_GREETED) {
		t->state = TARGET_READY;
		t->since = e->now;
		target_settle(e, t);
		if (t->up)
			e->route_epoch++;
	}
}

void
engine_link_state(
    struct engine *e, struct target *t, const Hopyard__V1__LinkState *s)
{
	if (s->bound < t->bound)
		t->broke_at = e->now;
	t->bound = s->bound;
	t->binds = s->binds;
	t->window = s->window;
	snprintf(t->detail, sizeof(t->detail), "%s",
	    s->detail != NULL ? s->detail : "");
	target_set_up(e, t, s->state == HOPYARD__V1__LINK_STATE__LINK__UP);
}

void
engine_gone(struct engine *e, struct target *t)
{
	t->peer = 0;
	t->state = TARGET_LOST;
	t->since = t->broke_at = e->now;
	t->bound = 0;
	customers_box_gone(e, t);
	target_set_up(e, t, false);
	snprintf(t->detail, sizeof(t->detail), "box is not connected");
}

void
engine_set_admin(struct engine *e, struct target *t, enum target_admin admin)
{
	t->admin = admin;
	if (admin == TARGET_ADMIN_READY)
		e->route_epoch++;
}

void
engine_hold(struct engine *e, struct queue *q, bool hold)
{
	(void)e;
	q->hold = hold;
}

/* -------------------------------------------------------------- dispatch */

static bool
claims(const struct target *t, const struct msg *m)
{
	return t->in_hand.count > 0 && map_get_u64(&t->in_hand, m->seq) != NULL;
}

/* The box that told us that it has this one already. */
static struct target *
claimant(const struct engine *e, const struct msg *m)
{
	struct target *t = m->queue->target;

	if (t != e->customers)
		return claims(t, m) ? t : NULL;
	for (t = e->first_server; t != NULL; t = t->next_server)
		if (claims(t, m))
			return t;
	return NULL;
}

/* An earlier bus may have given it to its link, which has not said so far what
 * it has. */
static bool
in_doubt(const struct engine *e, const struct msg *m)
{
	const struct target *t = m->queue->target;
	uint64_t since;

	assert(t != NULL);
	since = t->met ? t->since : e->started;
	return m->kind == HOPYARD__V1__KIND__MT && m->seq <= e->recovered_seq &&
	    t->configured && !t->settled &&
	    (t->state != TARGET_AWAY || !t->met) &&
	    e->now - since < e->limits.reclaim_ms;
}

void
engine_ready(struct engine *e, struct msg *m, bool front)
{
	struct target *t = claimant(e, m);
	struct bytes none = { NULL, 0 };

	if (m->cancel_token != 0 && t == NULL && !in_doubt(e, m) &&
	    engine_cancel_now(e, m, 0, 0, NULL, none))
		return;
	if (t != NULL) {
		/* Until all is told, target_settle() needs it there. */
		if (t->settled)
			map_del_u64(&t->in_hand, m->seq);
		msg_enter_state(m, MSG_INFLIGHT);
		m->box = t;
		m->sent_at = e->now;
		m->queue->inflight++;
		t->inflight_count++;
		TAILQ_INSERT_TAIL(&t->inflight, m, link);
		if (m->cancel_token != 0)
			e->ops->recall(e->arg, t, m->seq);
		return;
	}
	if (expired(e, m)) {
		e->count.expired++;
		engine_make_final(e, m, HOPYARD__V1__STATE__EXPIRED,
		    "validity expired", 0, 0, NULL, none);
		return;
	}
	queue_push(m->queue, m, front);
	if (m->queue->target->failed)
		engine_failover(e, m);
}

/* What an item needs at most, before its Dispatch is made. */
static size_t
reserved_bytes(const struct target *t, const struct msg *m)
{
	size_t account = m->queue->customer == NULL
	    ? 0
	    : ACCOUNT_BYTES + strlen(m->queue->account);

	return m->envelope_len + m->body_len + DISPATCH_BYTES + account +
	    m->part_done_count * PART_BYTES +
	    (t->role != TARGET_CONNECTOR ? m->report_len : 0);
}

void
engine_unreserve(struct msg *m)
{
	struct target *t = m->box;

	assert(m->state == MSG_ATTEMPTING);
	t->inflight_count--;
	m->queue->inflight--;
	/* A new connection starts its totals anew. */
	if (t->peer == m->attempt_peer) {
		t->sent_items--;
		t->sent_bytes -= reserved_bytes(t, m);
		if (m->queue->customer != NULL)
			seat_return(m);
	}
}

static void
deliver(struct engine *e, struct target *t, struct msg *m)
{
	Hopyard__V1__Dispatch d = HOPYARD__V1__DISPATCH__INIT;
	struct item it;
	size_t len;
	uint8_t *dst;

	msg_enter_state(m, MSG_INFLIGHT);
	m->sent_at = e->now;
	TAILQ_INSERT_TAIL(&t->inflight, m, link);

	d.ref = m->seq;
	d.attempt = m->attempts + 1u;
	d.has_possible_dup = m->possible_dup;
	d.possible_dup = m->possible_dup;
	if (m->expires != 0) {
		d.has_expires_in_ms = true;
		d.expires_in_ms = m->expires > e->now ? m->expires - e->now : 1;
	}
	d.n_part_done = m->part_done_count;
	d.part_done = m->part_done;
	d.has_age_ms = true;
	d.age_ms = e->wall > m->at ? e->wall - m->at : 0;
	d.has_accepted_at = true;
	d.accepted_at = m->at;
	/* An MO comes from a connector, which knows no accounts. */
	if (m->queue->customer != NULL) {
		d.has_account = true;
		d.account.data = (uint8_t *)m->queue->account;
		d.account.len = strlen(m->queue->account);
	}
	if (m->class <= CLASS_ALERT) {
		d.has_class_ = true;
		d.class_ = (Hopyard__V1__Class)(m->class + 1);
	}
	buf_clear(&e->scratch);
	dst = buf_reserve(&e->scratch, encode_dispatch_bound(&d));
	len = (size_t)(encode_dispatch(dst, &d) - dst);
	it.envelope = msg_envelope(m);
	it.body = msg_body(m);
	it.report = t->role != TARGET_CONNECTOR ? msg_report(m)
						: (struct bytes){ NULL, 0 };
	it.context = (struct bytes){ dst, len };
	/* Credit counts what really goes, to the byte. */
	t->sent_bytes += item_bytes(&it);
	t->sent_bytes -= reserved_bytes(t, m);
	e->ops->deliver(e->arg, t, &it);
}

/* From the second time on the attempt is on disk before the wire sees it. */
static void
attempt(struct engine *e, struct target *t, struct msg *m)
{
	Hopyard__V1__Record r = HOPYARD__V1__RECORD__INIT;
	struct bytes none = { NULL, 0 };
	struct entry entry = { .kind = ENTRY_ATTEMPT, .msg = m };

	msg_enter_state(m, MSG_ATTEMPTING);
	r.type = HOPYARD__V1__RECORD__TYPE__EVENT;
	r.at = e->wall;
	r.has_event = true;
	r.event = HOPYARD__V1__RECORD__EVENT__ATTEMPT;
	r.has_id = true;
	r.id = (ProtobufCBinaryData){ sizeof(m->id), m->id };
	r.has_ref = true;
	r.ref = m->seq;
	r.has_attempt = true;
	r.attempt = m->attempts + 1u;
	r.has_link = true;
	r.link = (ProtobufCBinaryData){ strlen(t->name), (uint8_t *)t->name };
	r.has_possible_dup = m->possible_dup;
	r.possible_dup = m->possible_dup;
	entry.seq = engine_record(e, &r, none, none, none);
	m->attempt_seq = entry.seq;
	m->attempt_peer = t->peer;
	ledger_expect(&e->ledger, &entry);
}

/* An item that was taken off its ready list goes to a box that has credit for
 * so many bytes. */
static void
hand_out(struct engine *e, struct target *box, struct msg *m, size_t size)
{
	/* Also counted while the ATTEMPT event is on its way, so that the
	 * credit is there when it has come through. */
	box->sent_items++;
	box->sent_bytes += size;
	box->inflight_count++;
	m->queue->inflight++;
	m->box = box;
	if (engine_unsure(e, m, box))
		m->possible_dup = true;
	/* So that a next bus knows whom to ask, and the customer that it may
	 * come twice. */
	if (m->attempts > 0 || m->possible_dup || m->moved > e->ledger.horizon)
		attempt(e, box, m);
	else
		deliver(e, box, m);
}

static void
target_dispatch(struct engine *e, struct target *t)
{
	struct bytes none = { NULL, 0 };
	struct msg *m;
	size_t size;

	while (t->ready_count > 0 && t->inflight_count < TARGET_INFLIGHT_MAX &&
	    target_has_credit(t, 1)) {
		m = target_next(t, e->now, e->limits.starvation);
		if (m == NULL)
			return;
		if (m->cancel_token != 0 &&
		    engine_cancel_now(e, m, 0, 0, NULL, none))
			continue;
		if (expired(e, m)) {
			e->count.expired++;
			engine_make_final(e, m, HOPYARD__V1__STATE__EXPIRED,
			    "validity expired", 0, 0, NULL, none);
			continue;
		}
		/* Its link was another, or the link's settings were. */
		if (m->send_at > e->wall && (!t->schedules || m->hold)) {
			m->queue->deficit += m->parts;
			engine_hold_back(e, m);
			continue;
		}
		size = reserved_bytes(t, m);
		if (!target_has_credit(t, size)) {
			queue_push(m->queue, m, true);
			m->queue->deficit += m->parts;
			return;
		}
		hand_out(e, t, m, size);
	}
}

/*
 * What a server may have from an earlier bus goes to no other one before it
 * has said what it has, or has had the time to.
 */
static uint64_t
customers_floor(const struct engine *e)
{
	const struct target *t;

	for (t = e->first_server; t != NULL; t = t->next_server) {
		uint64_t since = t->met ? t->since : e->started;

		/* Once it has said it, in_hand keeps what is not loaded. */
		if (!t->settled && e->now - since < e->limits.reclaim_ms &&
		    (t->met ? t->state != TARGET_AWAY : t->configured))
			return e->recovered_seq;
	}
	return 0;
}

/* Is there a server that could take anything? */
static bool
servers_open(struct engine *e)
{
	struct target *t;
	bool any = false;

	for (t = e->first_server; t != NULL; t = t->next_server) {
		t->stalled =
		    !target_open(t, e->now) || !target_has_credit(t, 1);
		any |= !t->stalled;
	}
	return any;
}

static void
customers_dispatch(struct engine *e)
{
	struct target *t = e->customers;
	struct bytes none = { NULL, 0 };
	struct seat *s;
	struct msg *m;
	size_t size;

	if (t->ready_count == 0 || !servers_open(e))
		return;
	t->floor = customers_floor(e);
	while ((m = target_next(t, e->now, e->limits.starvation)) != NULL) {
		if (expired(e, m)) {
			e->count.expired++;
			engine_make_final(e, m, HOPYARD__V1__STATE__EXPIRED,
			    "validity expired", 0, 0, NULL, none);
			continue;
		}
		s = customer_seat(m->queue->customer, e->now);
		assert(s != NULL); /* its queue would not have been chosen */
		size = reserved_bytes(s->box, m);
		if (!target_has_credit(s->box, size)) {
			/* The others may have another server. */
			s->box->stalled = true;
			queue_push(m->queue, m, true);
			m->queue->deficit += m->parts;
			continue;
		}
		hand_out(e, s->box, m, size);
		seat_take(s);
	}
}

/* Ask for more of the queues of a role that run low. */
static void
page_deep(struct engine *e, enum target_role role, size_t most)
{
	struct queue_list *list = &e->deep[role];
	struct queue *q, *last = TAILQ_LAST(list, queue_list);

	for (unsigned n = 0; last != NULL && e->pages[role] < most; n++) {
		if (n == DEEP_QUEUES) {
			e->deep_left = true;
			return;
		}
		q = TAILQ_FIRST(list);
		TAILQ_REMOVE(list, q, deep_link);
		if (queue_deep(q) && !q->away) {
			/* The others first the next time. */
			TAILQ_INSERT_TAIL(list, q, deep_link);
			/* Pages end at the horizon. */
			if (q->asked_at == 0 && q->cursor < e->ledger.horizon &&
			    q->ready_count < e->limits.queue_items / 4 + 1)
				engine_page_queue(e, q);
		}
		if (q == last)
			return;
	}
}

void
engine_hold_recovered(struct engine *e, uint64_t ms)
{
	if (e->held_until > e->now + ms)
		e->held_until = e->now + ms;
}

void
engine_set_lease(struct engine *e, uint64_t ms)
{
	e->lease.ms = ms;
}

bool
engine_renew(struct engine *e)
{
	if (!lease_due(&e->lease, e->now))
		return false;
	lease_ask(&e->lease, e->now);
	return true;
}

void
engine_renewed(struct engine *e, uint64_t number)
{
	lease_confirm(&e->lease, number);
}

void
engine_dispatch(struct engine *e)
{
	static const size_t most[TARGET_ROLES] = {
		[TARGET_CONNECTOR] = PAGES_CONNECTOR,
		[TARGET_HOOK] = PAGES_HOOK,
		[TARGET_ESME] = PAGES_ESME,
		[TARGET_PARTS] = 1,
	};
	bool held = e->now < e->held_until;

	if (!e->open || !lease_holds(&e->lease, e->now))
		return;
	for (size_t i = 0; i < e->target_count; i++)
		if (e->target[i]->role != TARGET_ESME &&
		    !(held && e->target[i]->role == TARGET_CONNECTOR) &&
		    target_open(e->target[i], e->now))
			target_dispatch(e, e->target[i]);
	customers_dispatch(e);
	e->deep_left = false;
	for (int role = 0; role < TARGET_ROLES && e->store; role++)
		page_deep(e, (enum target_role)role, most[role]);
}

/*
 * A message became durable so late that its front end may be refusing it right
 * now: that word is to be here before the message leaves.  For a moment only,
 * and not all the time where every commit is slow.
 */
static void
hold_late(struct engine *e, const struct msg *m)
{
	if (e->wall < m->at + LATE_MS)
		return;
	if (e->late_since == 0 || e->now - e->late_since > LATE_APART)
		e->late_since = e->now;
	if (e->now - e->late_since <= LATE_MOST &&
	    e->held_until < e->now + LATE_HOLD)
		e->held_until = e->now + LATE_HOLD;
}

/* What became of a message's record. */
enum stored {
	STORED_IN = 0,
	STORED_BEFORE,  /* under another seq: that one counts */
	STORED_REFUSED, /* the database does not take it */
};

/* What the horizon has set free. */
static void
entry_done(struct engine *e, const struct entry *en, enum stored stored)
{
	struct bytes none = { NULL, 0 };
	struct msg *m = en->msg;
	struct target *t;
	bool refused = stored == STORED_REFUSED &&
	    (en->kind == ENTRY_MESSAGE || en->kind == ENTRY_SPILLED);

	switch (en->kind) {
	case ENTRY_LOOKUP:
		engine_look_up_now(e, en->number);
		break;
	case ENTRY_NONE:
	case ENTRY_SPILLED:
		break;
	case ENTRY_MESSAGE:
		assert(m->state == MSG_PENDING);
		hold_late(e, m);
		if (stored != STORED_IN) {
			/* Stored before: that one is to be cancelled. */
			uint64_t token = m->cancel_token;
			uint8_t id[16];

			memcpy(id, m->id, sizeof(id));
			e->count.duplicates += stored == STORED_BEFORE;
			msg_enter_state(m, MSG_DONE);
			engine_forget(e, m);
			if (token != 0)
				engine_cancel(e, id, none, token);
		} else if (m->scheduled && m->due > e->now &&
		    m->cancel_token == 0) {
			uint64_t wait = m->due - e->now;

			engine_wait(e, m, wait);
		} else if (m->home->target->role == TARGET_PARTS) {
			parts_arrived(e, m);
		} else {
			engine_ready(e, m, false);
		}
		break;
	case ENTRY_ATTEMPT:
		CRASH_POINT("bus.attempt_durable");
		if (m->state != MSG_ATTEMPTING || m->attempt_seq != en->seq)
			break; /* a late result has overtaken it */
		t = m->box;
		if (t->state == TARGET_READY && t->peer == m->attempt_peer &&
		    m->cancel_token == 0 && !expired(e, m) &&
		    lease_holds(&e->lease, e->now)) {
			deliver(e, t, m);
		} else {
			engine_unreserve(m);
			engine_ready(e, m, true);
		}
		break;
	case ENTRY_CLOSE:
		engine_forget(e, m);
		break;
	}
	if (en->notice != NULL)
		engine_keep_notice(e, en->notice);
	if (en->peer != 0)
		e->ops->settle(e->arg, en->peer, en->number,
		    refused ? HOPYARD__V1__ACK__CODE__INVALID : en->code,
		    refused ? "the database refuses it" : NULL);
}

static int
compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* seqs of a Horizon, in order. */
struct seqs {
	uint64_t *v;
	size_t count, pos;
};

static struct seqs
seqs_of(const uint64_t *v, size_t n)
{
	struct seqs s = { .count = n };

	if (n > 0) {
		s.v = xmemdup(v, n * sizeof(*v));
		qsort(s.v, n, sizeof(*v), compare_u64);
	}
	return s;
}

/* Asked in the order of seq. */
static bool
seqs_have(struct seqs *s, uint64_t seq)
{
	while (s->pos < s->count && s->v[s->pos] < seq)
		s->pos++;
	return s->pos < s->count && s->v[s->pos] == seq;
}

bool
engine_horizon(struct engine *e, const Hopyard__V1__Horizon *h)
{
	struct seqs before, refused;
	struct entry en;
	size_t waiting;

	if (!e->open || h->seq > e->ledger.last_seq)
		return false;
	before = seqs_of(h->duplicate, h->n_duplicate);
	refused = seqs_of(h->refused, h->n_refused);
	waiting = e->ledger.bytes;
	ledger_advance(&e->ledger, h->seq, e->now);
	pressure_confirmed(&e->pressure, h->seq, waiting - e->ledger.bytes,
	    e->ledger.bytes, e->now);
	if (e->behind && e->ledger.confirmed >= e->ledger.horizon)
		engine_store_back(e);
	while (ledger_pop(&e->ledger, &en)) {
		enum stored stored = STORED_IN;

		if (seqs_have(&refused, en.seq))
			stored = STORED_REFUSED;
		else if (seqs_have(&before, en.seq))
			stored = STORED_BEFORE;
		entry_done(e, &en, stored);
	}
	free(before.v);
	free(refused.v);
	return true;
}

/* ------------------------------------------------------------------ time */

/* One queue of a target that cannot take its items: look for another way. */
static void
failover_queue(struct engine *e, struct queue *q)
{
	struct msg *m, *next;

	q->scanned_epoch = e->route_epoch;
	TAILQ_FOREACH_SAFE(m, &q->ready, link, next)
		engine_failover(e, m);
}

bool
engine_failover(struct engine *e, struct msg *m)
{
	struct queue *q = m->queue;
	const Hopyard__V1__Envelope *env;
	struct bytes none = { NULL, 0 };
	const struct route *r;
	struct target *to;
	bool up;

	assert(m->state == MSG_READY);
	env = engine_envelope(e, msg_envelope(m));
	if (env == NULL || m->kind != HOPYARD__V1__KIND__MT)
		return false;
	r = engine_route(e, env);
	if (r == NULL)
		return false;
	to = engine_choose(r, m, &up, NULL, 0);
	if (to == NULL || !up || to == q->target)
		return false;
	if (engine_unsure(e, m, q->target))
		m->possible_dup = true;
	queue_remove(q, m);
	engine_reroute(e, m, to, "link down", NULL, none);
	return true;
}

bool
engine_target_failed(const struct engine *e, const struct target *t)
{
	if (t->role != TARGET_CONNECTOR || target_usable(t))
		return false;
	/* Draining: what is queued is still sent, and here. */
	if (t->admin == TARGET_ADMIN_DRAIN && t->up && t->configured)
		return false;
	/* What it has in hand is not for others, as long as it may say so. */
	if ((t->state == TARGET_GREETED || t->state == TARGET_LOST) &&
	    !t->settled)
		return false;
	/* After a start, leave the boxes time to come back. */
	if (t->state == TARGET_AWAY &&
	    e->now - e->started < e->limits.reclaim_ms)
		return false;
	return e->now - t->down_since >= e->limits.failover_ms;
}

static void
failover(struct engine *e)
{
	struct queue *q;
	size_t done = 0;

	for (size_t i = 0; i < e->target_count; i++) {
		struct target *t = e->target[i];
		bool failed = engine_target_failed(e, t);

		if (failed && !t->failed)
			e->route_epoch++;
		t->failed = failed;
	}
	if (e->scanned_epoch == e->route_epoch)
		return;
	TAILQ_FOREACH(q, &e->queues, all_link) {
		if (!q->target->failed || q->ready_count == 0 ||
		    q->scanned_epoch == e->route_epoch)
			continue;
		if (done++ == FAILOVER_QUEUES)
			return;
		failover_queue(e, q);
	}
	e->scanned_epoch = e->route_epoch;
}

static bool
is_late(const struct engine *e, const struct msg *m)
{
	/* There was no credit to find out that nobody has it. */
	if (m->cancel_token != 0 && m->state == MSG_READY)
		return true;
	return expired(e, m) &&
	    (m->state == MSG_READY || m->state == MSG_WAITING ||
		(m->state == MSG_INFLIGHT &&
		    e->now - m->expires >= SWEEP_GRACE));
}

/* Looks at a part of all items: a look at all of them would be felt. */
static void
sweep(struct engine *e)
{
	struct msg *late[SWEEP_MAX], *m = NULL;
	struct bytes none = { NULL, 0 };
	size_t n = 0, end = e->sweep_pos + e->by_seq.cap / SWEEP_TICKS + 1;

	while (n < SWEEP_MAX && e->sweep_pos < end &&
	    (m = map_next(&e->by_seq, &e->sweep_pos)) != NULL)
		if (is_late(e, m))
			late[n++] = m;
	if (m == NULL)
		e->sweep_pos = 0;
	for (size_t i = 0; i < n; i++) {
		bool kept = late[i]->state == MSG_INFLIGHT;

		m = late[i];
		engine_detach(e, m);
		if (m->cancel_token != 0 && !kept && !expired(e, m)) {
			engine_ready(e, m, true);
			continue;
		}
		e->count.expired++;
		engine_make_final(e, m,
		    kept ? HOPYARD__V1__STATE__UNKNOWN
			 : HOPYARD__V1__STATE__EXPIRED,
		    kept ? "no answer from the box" : "validity expired", 0, 0,
		    NULL, none);
	}
}

void
engine_checkpoint(struct engine *e)
{
	Hopyard__V1__Record r = HOPYARD__V1__RECORD__INIT;
	Hopyard__V1__Queue *marks, **list;
	struct bytes none = { NULL, 0 };
	struct msg *due = TAILQ_FIRST(&e->due_home);
	struct queue *q;
	size_t n = 0;

	/* Also when nothing has happened: the store may wait for a record to
	 * write a late match beside. */
	if (!e->open)
		return;
	marks = xcalloc(e->queue_count + 1, sizeof(*marks));
	list = xcalloc(e->queue_count + 1, sizeof(Hopyard__V1__Queue *));
	TAILQ_FOREACH(q, &e->queues, all_link) {
		uint64_t low = queue_low(q);

		if (low == 0)
			continue;
		hopyard__v1__queue__init(&marks[n]);
		marks[n].queue = q->number;
		marks[n].class_ = (Hopyard__V1__Class)(q->class + 1);
		marks[n].has_low = true;
		marks[n].low = low;
		list[n] = &marks[n];
		n++;
	}
	r.type = HOPYARD__V1__RECORD__TYPE__CHECKPOINT;
	r.at = e->wall;
	/* DLRs of records behind this are in no queue so far: they join one
	 * when they are durable. */
	r.has_ref = true;
	r.ref = e->ledger.horizon;
	r.has_due_low_at = true;
	r.has_due_low_seq = true;
	/* Exclusive, as Page.after_due_at is. */
	r.due_low_at = due != NULL ? due->due_at : e->due_cursor_at;
	r.due_low_seq = due != NULL ? due->due_seq - 1 : e->due_cursor_seq;
	/* The marks must fit one frame: many queues go out in several records,
	 * the last of which says that it is complete. */
	for (size_t i = 0; i < n || i == 0; i += CHECKPOINT_QUEUES) {
		r.n_queues =
		    n - i > CHECKPOINT_QUEUES ? CHECKPOINT_QUEUES : n - i;
		r.queues = list + i;
		r.has_closes = true;
		r.closes = i + r.n_queues >= n;
		engine_record(e, &r, none, none, none);
	}
	free(marks);
	free(list);
}

uint64_t
engine_tick(struct engine *e)
{
	uint64_t next = e->now + 250;

	for (size_t i = 0; i < e->target_count; i++) {
		struct target *t = e->target[i];

		if (e->now - t->since < e->limits.reclaim_ms)
			continue;
		if (t->state == TARGET_LOST) {
			t->state = TARGET_AWAY;
			target_lose(e, t);
			map_fini(&t->in_hand);
			map_init(&t->in_hand);
		} else if (t->state == TARGET_GREETED && t->told) {
			/* It grants no credit, its link may be down. */
			target_settle(e, t);
		}
	}
	if (!e->open)
		return 250;
	parts_tick(e);
	while (e->heap_count > 0 && e->heap[0]->due <= e->now) {
		struct msg *m = e->heap[0];
		engine_unwait(e, m);
		/* Whatever the wall clock says. */
		if (m->scheduled)
			m->send_at = 0;
		m->scheduled = false;
		engine_ready(e, m, false);
	}
	if (e->heap_count > 0 && e->heap[0]->due < next)
		next = e->heap[0]->due;
	if (e->deep_left && e->now + DEEP_AGAIN < next)
		next = e->now + DEEP_AGAIN;
	if (e->held_until > e->now && e->held_until < next)
		next = e->held_until;
	if (e->filtering) {
		uint64_t due = filters_tick(e);

		if (due < next)
			next = due;
	}
	if (e->now >= e->due_next) {
		e->due_next = e->now + 1000;
		engine_page_due(e);
	}
	if (e->now >= e->next_failover) {
		e->next_failover = e->now + 250;
		failover(e);
	}
	if (e->now >= e->next_sweep) {
		e->next_sweep = e->now + 250;
		sweep(e);
		engine_page_expire(e, PAGE_TIMEOUT);
		customers_tick(e);
	}
	if (e->now - e->overdue_turn >= OVERDUE_MS / 2 ||
	    e->overdue[0].count >= OVERDUE_ITEMS) {
		e->overdue_turn = e->now;
		map_fini(&e->overdue[1]);
		e->overdue[1] = e->overdue[0];
		map_init(&e->overdue[0]);
	}
	if (e->now >= e->next_checkpoint) {
		e->next_checkpoint = e->now + e->limits.checkpoint_ms;
		engine_checkpoint(e);
	}
	return next > e->now ? next - e->now : 1;
}
