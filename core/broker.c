/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/broker.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/conn.h"
#include "common/crash.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/uuid.h"

#define PROTO_MIN 1
#define PROTO_MAX 1
/* A front end's id may be this old; a hook answers an MO of days ago. */
#define FRONT_ID_AGE  (25 * 3600 * 1000ull)
#define HOOK_ID_AGE   (8 * 24 * 3600 * 1000ull)
#define HELLO_TIMEOUT 3000
/* A connector waits so long for the store before it is welcomed. */
/*
 * What was handed over to an earlier bus and then refused is withdrawn by the
 * front ends when they come back: so long the connectors get nothing, and a
 * moment more once all are here.
 */
#define WITHDRAW_WAIT 1000
#define WITHDRAW_SOON 50
/*
 * After a takeover they may come later, since they wait for the answer of one
 * that stands still, and are refusing just then.
 */
#define OVERTOOK_WAIT 3000
#define OVERTOOK_SOON 250
#define LEAVING_MAX   8    /* processes of one name */
#define STOOD_STILL   1000 /* ticks come four times a second */
#define WELCOME_WAIT  2000
#define ACK_LOOK_MS   20 /* at acks that wait */
#define PING_AFTER    5000
#define PING_TIMEOUT  15000
/* An end waits so long for the checkpoint alone. */
#define DRAIN_CHECKPOINT 1000

void
broker_time(struct broker *b)
{
	struct engine *e = b->engine;
	uint64_t before = e->now;
	int64_t ahead = e->steps.ahead;
	static struct log_limit limit;

	engine_time(e, clock_mono_ms(), clock_wall_ms());
	if (ahead != 0 && ahead != e->steps.ahead && log_limit(&limit, 1))
		log_warn("clock.step", "ms=%lld hint=%s",
		    (long long)(e->steps.ahead - ahead),
		    "the wall clock was set; validities go on as they were");
	/* We stood still: the store's answers are here, and so may be words
	 * that make them void. */
	if (before != 0 && e->now - before >= STOOD_STILL &&
	    e->held_until < e->now + WITHDRAW_SOON)
		e->held_until = e->now + WITHDRAW_SOON;
	turn_add(&b->work);
}

/* -------------------------------------------------------------- the peers */

struct peer *
broker_peer(struct broker *b, uint32_t id)
{
	return map_get_u64(&b->by_id, id);
}

struct peer *
broker_peer_by_name(struct broker *b, const char *name)
{
	struct peer *p;

	/* Tools call themselves what they like. */
	TAILQ_FOREACH(p, &b->peers, link)
		if (p->state == PEER_READY && !p->control && !p->leaving &&
		    strcmp(p->name, name) == 0)
			return p;
	TAILQ_FOREACH(p, &b->peers, link)
		if (p->state == PEER_READY && !p->leaving &&
		    strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

/* The box that has this name, or is about to have it. */
static struct peer *
holder(const struct broker *b, const char *name)
{
	struct peer *p;

	TAILQ_FOREACH(p, &b->peers, link)
		if ((p->state == PEER_READY || p->state == PEER_GREETED) &&
		    !p->control && !p->leaving && strcmp(p->name, name) == 0)
			return p;
	return NULL;
}

void
broker_add_peer(struct broker *b, struct peer *p)
{
	do
		b->last_id++;
	while (b->last_id == 0 || b->last_id == ENGINE_PEER_CALL ||
	    broker_peer(b, b->last_id) != NULL);
	p->id = b->last_id;
	TAILQ_INSERT_TAIL(&b->peers, p, link);
	map_put_u64(&b->by_id, p->id, p);
}

void
broker_peer_gone(struct broker *b, struct peer *p)
{
	if (p->state != PEER_READY)
		return;
	control_peer_gone(b, p);
	if (b->tap_peer == p->id)
		b->tap_peer = 0;
	if (p == b->store) {
		b->store = NULL;
		b->store_up = false;
		if (!b->rewound)
			snprintf(b->store_detail, sizeof(b->store_detail),
			    "store box is not connected");
		engine_store_gone(b->engine);
		log_warn("store.gone", "detail=%s",
		    "no message is accepted until it is back");
	}
	if (p->target != NULL && p->target->peer == p->id)
		engine_gone(b->engine, p->target);
	if (p->role == ROLE_FILTER)
		engine_filter_gone(b->engine, p->name, p->id);
}

void
broker_remove_peer(struct broker *b, struct peer *p)
{
	TAILQ_REMOVE(&b->peers, p, link);
	map_del_u64(&b->by_id, p->id);
}

void
broker_dirty(struct broker *b, struct peer *p)
{
	if (p->dirty)
		return;
	p->dirty = true;
	if (b->dirty_count == ARRAY_LEN(b->dirty)) {
		b->dirty_all = true;
		return;
	}
	b->dirty[b->dirty_count++] = p->id;
}

static void
ack_timer_cb(uv_timer_t *timer)
{
	struct broker *b = timer->data;
	uint64_t now = clock_mono_ms();
	bool more = false;
	struct peer *p;

	TAILQ_FOREACH(p, &b->peers, link) {
		if (peer_ack_is_due(p, now))
			broker_dirty(b, p);
		else
			more |= p->ack_since != 0;
	}
	if (more)
		broker_ack_later(b);
	broker_time(b);
}

void
broker_ack_later(struct broker *b)
{
	if (!uv_is_active((uv_handle_t *)&b->ack_timer))
		uv_timer_start(&b->ack_timer, ack_timer_cb, ACK_LOOK_MS, 0);
}

/* ------------------------------------------------------------- the rights */

static const struct {
	enum peer_role role;
	uint16_t type;
} rights[] = {
	{ ROLE_FRONT, HOPYARD__V1__FRAME_TYPE__SUBMIT },
	{ ROLE_FRONT, HOPYARD__V1__FRAME_TYPE__LEAVE },
	{ ROLE_FRONT, HOPYARD__V1__FRAME_TYPE__CALL },
	{ ROLE_FRONT, HOPYARD__V1__FRAME_TYPE__REPLY },
	{ ROLE_CONNECTOR, HOPYARD__V1__FRAME_TYPE__CREDIT },
	{ ROLE_CONNECTOR, HOPYARD__V1__FRAME_TYPE__RESULT },
	{ ROLE_CONNECTOR, HOPYARD__V1__FRAME_TYPE__INBOUND },
	{ ROLE_CONNECTOR, HOPYARD__V1__FRAME_TYPE__IN_HAND },
	{ ROLE_CONNECTOR, HOPYARD__V1__FRAME_TYPE__LINK_STATE },
	{ ROLE_CONNECTOR, HOPYARD__V1__FRAME_TYPE__REPLY },
	{ ROLE_HOOK, HOPYARD__V1__FRAME_TYPE__CREDIT },
	{ ROLE_HOOK, HOPYARD__V1__FRAME_TYPE__RESULT },
	{ ROLE_HOOK, HOPYARD__V1__FRAME_TYPE__IN_HAND },
	{ ROLE_HOOK, HOPYARD__V1__FRAME_TYPE__SUBMIT },
	{ ROLE_HOOK, HOPYARD__V1__FRAME_TYPE__CALL },
	{ ROLE_HOOK, HOPYARD__V1__FRAME_TYPE__REPLY },
	{ ROLE_SERVER, HOPYARD__V1__FRAME_TYPE__CREDIT },
	{ ROLE_SERVER, HOPYARD__V1__FRAME_TYPE__RESULT },
	{ ROLE_SERVER, HOPYARD__V1__FRAME_TYPE__IN_HAND },
	{ ROLE_SERVER, HOPYARD__V1__FRAME_TYPE__ATTACH },
	{ ROLE_SERVER, HOPYARD__V1__FRAME_TYPE__SUBMIT },
	{ ROLE_SERVER, HOPYARD__V1__FRAME_TYPE__LEAVE },
	{ ROLE_SERVER, HOPYARD__V1__FRAME_TYPE__CALL },
	{ ROLE_SERVER, HOPYARD__V1__FRAME_TYPE__REPLY },
	{ ROLE_STORE, HOPYARD__V1__FRAME_TYPE__CREDIT },
	{ ROLE_STORE, HOPYARD__V1__FRAME_TYPE__OPENED },
	{ ROLE_STORE, HOPYARD__V1__FRAME_TYPE__HORIZON },
	{ ROLE_STORE, HOPYARD__V1__FRAME_TYPE__PAGED },
	{ ROLE_STORE, HOPYARD__V1__FRAME_TYPE__NOTICE },
	{ ROLE_STORE, HOPYARD__V1__FRAME_TYPE__OVERDUE },
	{ ROLE_STORE, HOPYARD__V1__FRAME_TYPE__STORE_STATE },
	{ ROLE_STORE, HOPYARD__V1__FRAME_TYPE__RENEWED },
	{ ROLE_STORE, HOPYARD__V1__FRAME_TYPE__REPLY },
	{ ROLE_FILTER, HOPYARD__V1__FRAME_TYPE__CREDIT },
	{ ROLE_FILTER, HOPYARD__V1__FRAME_TYPE__VERDICT },
	{ ROLE_FILTER, HOPYARD__V1__FRAME_TYPE__REPLY },
	{ ROLE_CONTROL, HOPYARD__V1__FRAME_TYPE__CALL },
	{ ROLE_CONTROL, HOPYARD__V1__FRAME_TYPE__REPLY },
};

bool
broker_may(enum peer_role role, uint16_t type)
{
	if (type == HOPYARD__V1__FRAME_TYPE__PING ||
	    type == HOPYARD__V1__FRAME_TYPE__PONG ||
	    type == HOPYARD__V1__FRAME_TYPE__BYE ||
	    type == HOPYARD__V1__FRAME_TYPE__NAK)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(rights); i++)
		if (rights[i].role == role && rights[i].type == type)
			return true;
	return false;
}

static enum peer_role
role_of(const char *type, const struct conf_group *g)
{
	static const enum peer_role roles[TARGET_ROLES] = {
		[TARGET_CONNECTOR] = ROLE_CONNECTOR,
		[TARGET_HOOK] = ROLE_HOOK,
		[TARGET_ESME] = ROLE_SERVER,
	};
	enum target_role role;

	if (strcmp(type, "store") == 0)
		return ROLE_STORE;
	if (target_is_filter(g))
		return ROLE_FILTER;
	return target_role_of(g, &role) ? roles[role] : ROLE_FRONT;
}

/* The engine hands items to it. */
static bool
has_target(enum peer_role role)
{
	return role == ROLE_CONNECTOR || role == ROLE_HOOK ||
	    role == ROLE_SERVER;
}

/* Unpack into the engine's arena, or NULL. */
static const void *
unpack(struct broker *b, const struct frame *f,
    const ProtobufCMessageDescriptor *d)
{
	arena_reset(&b->engine->arena);
	return frame_unpack(&b->engine->arena, d, f->payload, f->len);
}

/* Into one of our own: what the frame brings about uses the engine's. */
static const void *
unpack_apart(struct broker *b, const struct frame *f,
    const ProtobufCMessageDescriptor *d)
{
	arena_reset(&b->frame_arena);
	return frame_unpack(&b->frame_arena, d, f->payload, f->len);
}

/* ------------------------------------------------------------------ Hello */

static bool
refuse_hello(struct peer *p, Hopyard__V1__Nak__Code code, const char *text)
{
	peer_nak(p, code, NULL, text);
	peer_close_flush(p, text);
	return false;
}

static bool
clean_name(const char *s, size_t max)
{
	size_t n = strlen(s);

	if (n == 0 || n > max)
		return false;
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~')
			return false;
	return true;
}

/* Only for people to read; they may do so on a terminal, or in a table. */
static void
copy_words(char *dst, size_t cap, const char *s)
{
	snprintf(dst, cap, "%s", s != NULL ? s : "");
	for (; *dst != '\0'; dst++)
		if (*dst < ' ' || *dst > '~')
			*dst = '?';
}

static bool
process_lives(uint32_t pid)
{
	/* EPERM: it is another user's. */
	return pid != 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

/* Of a process on another host only its words tell. */
static bool
peer_lives(const struct peer *p)
{
	if (!p->remote)
		return process_lives(p->pid);
	return clock_mono_ms() - conn_last_read(p->conn) / 1000 <
	    PING_AFTER + HELLO_TIMEOUT;
}

/*
 * One more process of this name leaves.  They are few, and bounded: the same
 * one comes again after its connection was lost, or the oldest goes.
 */
static void
make_room_to_leave(struct broker *b, const struct peer *p, const char *name,
    const uint8_t instance[16])
{
	struct peer *o, *oldest = NULL;
	unsigned n = 0;

	TAILQ_FOREACH(o, &b->peers, link) {
		if (o == p || !o->leaving || o->state == PEER_CLOSING ||
		    strcmp(o->name, name) != 0)
			continue;
		if (memcmp(o->instance, instance, 16) == 0) {
			peer_close(o, "replaced by a new connection");
			return;
		}
		if (n++ == 0)
			oldest = o;
	}
	if (n >= LEAVING_MAX)
		peer_close(oldest, "too many of this name leave");
}

static bool
admit_box(struct broker *b, struct peer *p, const Hopyard__V1__Hello *h)
{
	const struct conf_group *g = conf_box(b->engine->conf, h->name);
	const char *why = NULL;
	struct peer *old;
	char text[200];
	pid_t pid;
	uid_t uid;

	if (g == NULL || !conf_bool(g, "enabled") ||
	    strcmp(conf_str(g, "type"), h->type) != 0) {
		snprintf(text, sizeof(text),
		    "no box \"%s\" of type \"%s\" in the configuration",
		    h->name, h->type);
		return refuse_hello(
		    p, HOPYARD__V1__NAK__CODE__NOT_CONFIGURED, text);
	}
	if (conf_bool(g, "remote") != p->remote)
		return refuse_hello(p, HOPYARD__V1__NAK__CODE__DENIED,
		    p->remote ? "the box is not remote = true: it connects by "
				"the socket of its host"
			      : "the box is remote = true: it connects by TLS");
	if (p->remote && !gate_prepare(p, text, sizeof(text)))
		return refuse_hello(p, HOPYARD__V1__NAK__CODE__NOT_READY, text);
	if (h->setup) {
		p->role = ROLE_SETUP;
		return true;
	}
	if (strcmp(h->type, "admin") == 0) {
		/* On another host it is its certificate that says so. */
		if (!p->remote)
			return refuse_hello(p, HOPYARD__V1__NAK__CODE__DENIED,
			    "an admin box connects to the control socket");
		p->role = ROLE_CONTROL;
		p->control = true;
		return true;
	}
	if (conn_peer_cred(p->conn, &pid, &uid)) {
		if (uid != 0 && uid != getuid() &&
		    (!conf_is_set(g, "uid") ||
			(int64_t)uid != conf_int(g, "uid"))) {
			snprintf(text, sizeof(text),
			    "uid %u may not be box \"%s\"", (unsigned)uid,
			    h->name);
			return refuse_hello(
			    p, HOPYARD__V1__NAK__CODE__DENIED, text);
		}
	}
	p->role = role_of(h->type, g);
	if (p->role != ROLE_STORE && !cell_serves(b, &why)) {
		p->elsewhere = true;
		return refuse_hello(p, HOPYARD__V1__NAK__CODE__NOT_READY, why);
	}
	if (has_target(p->role) && engine_target(b->engine, h->name) == NULL)
		return refuse_hello(p, HOPYARD__V1__NAK__CODE__NOT_CONFIGURED,
		    "the bus does not know this box yet");
	if (p->role == ROLE_STORE && b->store != NULL &&
	    strcmp(b->store->name, h->name) != 0)
		return refuse_hello(p, HOPYARD__V1__NAK__CODE__NAME_IN_USE,
		    "another store box is connected");
	p->leaving = h->leaving && peer_is_front(p);
	if (p->leaving)
		make_room_to_leave(b, p, h->name, h->instance.data);
	old = p->leaving ? NULL : holder(b, h->name);
	if (old != NULL) {
		/* The same process comes again before we saw the old
		 * connection end, or a new one after a kill. */
		if (memcmp(old->instance, h->instance.data, 16) != 0 &&
		    peer_lives(old))
			return refuse_hello(p,
			    HOPYARD__V1__NAK__CODE__NAME_IN_USE,
			    "a box of this name is connected and alive");
		peer_close(old, "replaced by a new connection");
	}
	return true;
}

bool
broker_on_hello(struct broker *b, struct peer *p, const struct frame *f)
{
	const Hopyard__V1__Hello *h;
	const char *fault;
	struct peer *old;
	char text[320];
	pid_t pid;
	uid_t uid;

	h = unpack_apart(b, f, &hopyard__v1__hello__descriptor);
	if (h == NULL || h->instance.len != 16 ||
	    !clean_name(h->name, sizeof(p->name) - 1) ||
	    !clean_name(h->type, sizeof(p->type) - 1))
		return refuse_hello(
		    p, HOPYARD__V1__NAK__CODE__BAD_FRAME, "bad Hello");
	snprintf(p->name, sizeof(p->name), "%s", h->name);
	snprintf(p->type, sizeof(p->type), "%s", h->type);
	copy_words(p->version, sizeof(p->version), h->version);
	copy_words(p->host, sizeof(p->host), h->host);
	if (h->proto_min > PROTO_MAX || h->proto_max < PROTO_MIN) {
		snprintf(text, sizeof(text),
		    "bus speaks protocol %d to %d, box %u to %u", PROTO_MIN,
		    PROTO_MAX, h->proto_min, h->proto_max);
		return refuse_hello(p, HOPYARD__V1__NAK__CODE__VERSION, text);
	}
	if (p->remote && (fault = gate_fault(p, h, text, sizeof(text))) != NULL)
		return refuse_hello(p, HOPYARD__V1__NAK__CODE__DENIED, fault);
	if (h->setup && !p->remote)
		return refuse_hello(p, HOPYARD__V1__NAK__CODE__DENIED,
		    "a box on this host reads the file");
	if (p->remote && strcmp(h->type, "ctl") == 0)
		p->control = true;
	if (p->control) {
		p->role = ROLE_CONTROL;
	} else if (strcmp(h->type, "ctl") == 0) {
		return refuse_hello(p, HOPYARD__V1__NAK__CODE__DENIED,
		    "control tools connect to the control socket");
	} else if (!admit_box(b, p, h)) {
		return false;
	}
	if (p->remote && gate_full(&b->gate, p))
		return refuse_hello(p, HOPYARD__V1__NAK__CODE__NOT_READY,
		    "as many boxes as bus.max_boxes are connected");
	memcpy(p->instance, h->instance.data, 16);
	/* The kernel's word, where there is one. */
	p->pid = conn_peer_cred(p->conn, &pid, &uid) && pid > 0 ? (uint32_t)pid
								: h->pid;
	p->survived = h->has_last_epoch && h->last_epoch != 0;
	p->config = p->config_sent = h->has_config ? h->config : 0;
	if (p->role == ROLE_SETUP) {
		/* It is not the box yet, and has not its name; once is enough. */
		snprintf(p->name, sizeof(p->name), "%.57s/setup", h->name);
		old = holder(b, p->name);
		if (old != NULL)
			peer_close(old, "replaced by a new connection");
		p->setup = true;
	}
	return true;
}

void
broker_open_store(struct broker *b, struct peer *p)
{
	Hopyard__V1__Open o = HOPYARD__V1__OPEN__INIT;
	const char *node = conf_str(conf_root(b->engine->conf), "node");
	char copy[128];

	b->store = p;
	snprintf(copy, sizeof(copy), "%s", node != NULL ? node : "");
	o.instance = (ProtobufCBinaryData){ 16, b->instance };
	o.node = copy;
	o.has_accept_rewind = b->rewind_accepted;
	o.accept_rewind = b->rewound_to;
	cell_open(b, &o);
	peer_send(p, HOPYARD__V1__FRAME_TYPE__OPEN, 0, &o.base);
	/* All that this process knows beyond the database is void. */
	if (b->rewind_accepted && b->engine->open)
		daemon_stop(b->daemon, 1);
	b->rewind_accepted = false;
}

bool
broker_may_welcome(struct broker *b, struct peer *p)
{
	struct target *t;

	const char *why;

	if (p->role != ROLE_CONNECTOR)
		return true;
	if (!cell_serves(b, &why))
		return false;
	t = engine_target(b->engine, p->name);
	if (clock_mono_ms() - p->since >= WELCOME_WAIT ||
	    (b->engine->open && engine_succeed(b->engine, t, p->instance) == 0))
		return true;
	b->greeted++;
	return false;
}

/* Is every front end here?  p is about to be. */
static bool
fronts_here(struct broker *b, const struct peer *p)
{
	const struct conf *conf = b->engine->conf;

	for (size_t i = 0; i < conf_count(conf, "boxes"); i++) {
		const struct conf_group *g = conf_item(conf, "boxes", i);
		const char *type = conf_str(g, "type");
		const char *name = conf_str(g, "name");

		if (conf_bool(g, "enabled") &&
		    (strcmp(type, "http") == 0 || strcmp(type, "smpps") == 0) &&
		    (p == NULL || strcmp(p->name, name) != 0) &&
		    broker_peer_by_name(b, name) == NULL)
			return false;
	}
	return true;
}

void
broker_welcome(struct broker *b, struct peer *p)
{
	uint64_t epoch = b->engine->epoch;
	Hopyard__V1__Welcome w = HOPYARD__V1__WELCOME__INIT;
	char version[32], cipher[64];

	if (has_target(p->role) && !p->leaving) {
		p->target = engine_target(b->engine, p->name);
		assert(p->target != NULL);
		if (!engine_hello(b->engine, p->target, p->id, p->instance,
			p->survived) &&
		    p->role == ROLE_CONNECTOR)
			epoch = 0;
	}
	if (p->role == ROLE_FILTER)
		engine_filter_hello(b->engine, p->name, p->id, p->instance);
	snprintf(version, sizeof(version), "%s", hopyard_version);
	w.proto = PROTO_MAX;
	w.version = version;
	w.epoch = epoch;
	w.max_frame = FRAME_MAX_PAYLOAD;
	w.max_items = FRAME_MAX_ITEMS;
	/* The store is where it comes from, and operators look at any; but who
	 * came from another host for the owner is to miss it when it is gone. */
	if (p->role != ROLE_STORE &&
	    (p->role != ROLE_CONTROL || (p->remote && w.epoch != 0)))
		w.has_lease_ms = cell_lease(b, &w.lease_ms);
	peer_send(p, HOPYARD__V1__FRAME_TYPE__WELCOME, 0, &w.base);
	if (p->role != ROLE_CONTROL || p->remote)
		log_info("box.connected",
		    "name=%s type=%s peer=%u pid=%u version=%s from=%s tls=%s",
		    p->name, p->type, p->id, p->pid, p->version,
		    conn_peer(p->conn),
		    conn_show_tls(p->conn, cipher, sizeof(cipher)));
	if (p->remote)
		gate_tell(p);
	if (p->role == ROLE_STORE)
		broker_open_store(b, p);
	if (peer_is_front(p) && fronts_here(b, p))
		engine_hold_recovered(b->engine,
		    b->cell.overtook ? OVERTOOK_SOON : WITHDRAW_SOON);
	broker_dirty(b, p);
}

/* ----------------------------------------------------------------- frames */

void
broker_on_items(
    struct broker *b, struct peer *p, uint16_t type, struct items *its)
{
	struct engine *e = b->engine;
	struct item it;

	if (cell_is_quiet(&b->cell))
		return;
	while (items_next(its, &it)) {
		if (type == HOPYARD__V1__FRAME_TYPE__SUBMIT) {
			CRASH_POINT("bus.submit_read");
			/* The front end's name goes into the record. */
			engine_submit(e, p->id, its->number, p->name,
			    p->role == ROLE_HOOK ? HOOK_ID_AGE : FRONT_ID_AGE,
			    &it);
			CRASH_POINT("bus.submit_recorded");
		} else if (p->leaving) {
			/* Its successor has what this is about. */
			peer_settle(p, its->number,
			    HOPYARD__V1__ACK__CODE__ACK_OK, NULL);
		} else if (type == HOPYARD__V1__FRAME_TYPE__RESULT) {
			CRASH_POINT("bus.result_read");
			engine_result(e, p->target, p->id, its->number, &it);
			CRASH_POINT("bus.result_recorded");
		} else {
			CRASH_POINT("bus.inbound_read");
			engine_inbound(e, p->target, p->id, its->number, &it);
			CRASH_POINT("bus.inbound_recorded");
		}
	}
}

/*
 * The database lacks records that it had confirmed, and we have not all of them
 * any more.  To go on would be to lose them without a word: nothing is
 * accepted until somebody says so, or another database is there.
 */
static void
store_rewound(struct broker *b, uint64_t last_seq, uint64_t confirmed)
{
	static struct log_limit limit;
	uint64_t lost = confirmed - last_seq;

	b->rewound = true;
	b->rewound_to = last_seq;
	b->rewound_from = confirmed;
	snprintf(b->store_detail, sizeof(b->store_detail),
	    "the database has lost %llu records that it had confirmed; see "
	    "hopctl cell accept-rewind",
	    (unsigned long long)lost);
	if (log_limit(&limit, 1))
		log_error("cell.rewound",
		    "last_seq=%llu confirmed=%llu lost=%llu hint=%s",
		    (unsigned long long)last_seq, (unsigned long long)confirmed,
		    (unsigned long long)lost,
		    "was an old copy restored? connect the right one, or "
		    "hopctl cell accept-rewind");
}

static const char *
store_opened(struct broker *b, const struct frame *f)
{
	const Hopyard__V1__Opened *o =
	    unpack(b, f, &hopyard__v1__opened__descriptor);
	struct engine *e = b->engine;
	bool was = e->open;

	if (o == NULL)
		return "Opened does not parse";
	if ((was && o->epoch != e->epoch) ||
	    (was && o->last_seq > e->ledger.last_seq)) {
		/* Somebody else has written since: this bus is not the owner
		 * of the cell any more, and all it knows is stale. */
		cell_lost(b, o->epoch);
		return NULL;
	}
	CRASH_POINT("bus.opened");
	if (!engine_opened(e, o)) {
		store_rewound(b, o->last_seq, e->ledger.horizon);
		return "the database has been rewound";
	}
	if (!o->more) {
		if (was && o->last_seq < e->ledger.horizon)
			log_warn("store.behind",
			    "last_seq=%llu confirmed=%llu detail=%s",
			    (unsigned long long)o->last_seq,
			    (unsigned long long)e->ledger.horizon,
			    "the database has lost records, and gets them "
			    "again");
		b->rewound = false;
		b->store_up = true;
		b->store_detail[0] = '\0';
		log_info(was ? "store.back" : "store.open",
		    "epoch=%llu last_seq=%llu queues=%zu",
		    (unsigned long long)e->epoch,
		    (unsigned long long)o->last_seq, e->queue_count);
		b->dirty_all = true;
		if (!was) {
			cell_opened(b);
			if (o->last_seq > 0)
				e->held_until = e->now +
				    (b->cell.overtook ? OVERTOOK_WAIT
						      : WITHDRAW_WAIT);
			if (fronts_here(b, NULL))
				engine_hold_recovered(e, WITHDRAW_SOON);
		}
	}
	return NULL;
}

static const char *
store_frame(struct broker *b, struct peer *p, const struct frame *f)
{
	const Hopyard__V1__Horizon *h;
	const Hopyard__V1__StoreState *s;
	const Hopyard__V1__Renewed *renewed;
	const Hopyard__V1__Credit *c;
	struct items its;

	switch ((Hopyard__V1__FrameType)f->type) {
	case HOPYARD__V1__FRAME_TYPE__OPENED:
		return store_opened(b, f);
	case HOPYARD__V1__FRAME_TYPE__HORIZON:
		h = unpack_apart(b, f, &hopyard__v1__horizon__descriptor);
		if (h == NULL)
			return "Horizon does not parse";
		CRASH_POINT("bus.horizon_read");
		if (!engine_horizon(b->engine, h))
			return "horizon beyond what was written";
		CRASH_POINT("bus.horizon_applied");
		return NULL;
	case HOPYARD__V1__FRAME_TYPE__CREDIT:
		c = unpack(b, f, &hopyard__v1__credit__descriptor);
		if (c == NULL)
			return "Credit does not parse";
		p->credit_items = c->items;
		p->credit_bytes = c->bytes;
		return NULL;
	case HOPYARD__V1__FRAME_TYPE__PAGED:
	case HOPYARD__V1__FRAME_TYPE__NOTICE:
	case HOPYARD__V1__FRAME_TYPE__OVERDUE:
		if (!items_open(&its, f->payload, f->len))
			return "items do not parse";
		CRASH_POINT("bus.items_read");
		if (f->type == HOPYARD__V1__FRAME_TYPE__PAGED)
			engine_paged(b->engine, f->correlation, &its);
		else if (f->type == HOPYARD__V1__FRAME_TYPE__NOTICE)
			engine_notice(b->engine, &its);
		else
			engine_overdue(b->engine, &its);
		return NULL;
	case HOPYARD__V1__FRAME_TYPE__STORE_STATE:
		s = unpack(b, f, &hopyard__v1__store_state__descriptor);
		if (s == NULL)
			return "StoreState does not parse";
		if (s->up != b->store_up)
			log_info("store.state", "up=%d detail=%s", s->up,
			    s->detail != NULL ? s->detail : "");
		b->store_up = s->up;
		snprintf(b->store_detail, sizeof(b->store_detail), "%s",
		    s->detail != NULL ? s->detail : "");
		cell_store_state(b, s);
		if (b->engine->open)
			return NULL;
		/* It knows better than we do what our predecessor was told. */
		b->rewound = false;
		if (s->has_rewound_to && s->confirmed > s->rewound_to)
			store_rewound(b, s->rewound_to, s->confirmed);
		return NULL;
	case HOPYARD__V1__FRAME_TYPE__RENEWED:
		renewed = unpack(b, f, &hopyard__v1__renewed__descriptor);
		if (renewed == NULL)
			return "Renewed does not parse";
		cell_renewed(b, renewed);
		return NULL;
	default:
		return "not for a store";
	}
}

static const char *
target_frame(struct broker *b, struct peer *p, const struct frame *f)
{
	const Hopyard__V1__Credit *c;
	const Hopyard__V1__InHand *in;
	const Hopyard__V1__LinkState *s;
	const Hopyard__V1__Attach *at;
	bool was = p->target->up;

	switch ((Hopyard__V1__FrameType)f->type) {
	case HOPYARD__V1__FRAME_TYPE__CREDIT:
		c = unpack(b, f, &hopyard__v1__credit__descriptor);
		if (c == NULL)
			return "Credit does not parse";
		engine_credit(b->engine, p->target, c->items, c->bytes);
		return NULL;
	case HOPYARD__V1__FRAME_TYPE__IN_HAND:
		in = unpack(b, f, &hopyard__v1__in_hand__descriptor);
		if (in == NULL)
			return "InHand does not parse";
		engine_in_hand(b->engine, p->target, in->ref, in->n_ref);
		return NULL;
	case HOPYARD__V1__FRAME_TYPE__ATTACH:
		at = unpack(b, f, &hopyard__v1__attach__descriptor);
		if (at == NULL)
			return "Attach does not parse";
		engine_attach(b->engine, p->target, at);
		return NULL;
	case HOPYARD__V1__FRAME_TYPE__LINK_STATE:
		s = unpack(b, f, &hopyard__v1__link_state__descriptor);
		if (s == NULL)
			return "LinkState does not parse";
		engine_link_state(b->engine, p->target, s);
		if (p->target->up != was)
			log_info(p->target->up ? "link.up" : "link.down",
			    "link=%s bound=%u binds=%u detail=%s", p->name,
			    s->bound, s->binds,
			    s->detail != NULL ? s->detail : "");
		return NULL;
	default:
		return "not from a box that takes items";
	}
}

static const char *
filter_frame(struct broker *b, struct peer *p, const struct frame *f)
{
	const Hopyard__V1__Verdict *v;
	const Hopyard__V1__Credit *c;

	if (f->type == HOPYARD__V1__FRAME_TYPE__CREDIT) {
		c = unpack(b, f, &hopyard__v1__credit__descriptor);
		if (c == NULL)
			return "Credit does not parse";
		engine_filter_credit(b->engine, p->name, c->items, c->bytes);
		return NULL;
	}
	v = unpack_apart(b, f, &hopyard__v1__verdict__descriptor);
	if (v == NULL)
		return "Verdict does not parse";
	engine_verdict(b->engine, p->name, v);
	return NULL;
}

/*
 * It has nothing in hand and takes nothing more, but still answers customers:
 * its name is free for the process that was started in its place.
 */
static void
leave(struct broker *b, struct peer *p)
{
	if (p->leaving)
		return;
	make_room_to_leave(b, p, p->name, p->instance);
	p->leaving = true;
	log_info(
	    "box.leaving", "name=%s peer=%u pid=%u", p->name, p->id, p->pid);
	if (p->target != NULL && p->target->peer == p->id)
		engine_gone(b->engine, p->target);
	p->target = NULL;
}

/* Its answer to our PING, and what it says of itself. */
static const char *
take_pong(struct broker *b, struct peer *p, const struct frame *f)
{
	const Hopyard__V1__Pong *pong =
	    unpack(b, f, &hopyard__v1__pong__descriptor);
	uint64_t us = clock_mono_us(), now = clock_mono_ms();

	if (pong == NULL)
		return "Pong does not parse";
	p->pinged_at = 0;
	if (p->probe != 0 && f->correlation == p->probe && us > p->probe)
		p->rtt_us = us - p->probe < UINT32_MAX
		    ? (uint32_t)(us - p->probe)
		    : UINT32_MAX;
	p->probe = 0;
	if (pong->has_cpu_ms && pong->cpu_ms >= p->cpu_ms && p->cpu_at != 0 &&
	    now > p->cpu_at)
		p->cpu_permille = (uint32_t)((pong->cpu_ms - p->cpu_ms) * 1000 /
		    (now - p->cpu_at));
	p->cpu_at = pong->has_cpu_ms ? now : 0;
	p->cpu_ms = pong->cpu_ms;
	p->memory = pong->memory;
	p->cert_at = pong->certificate_at;
	if (pong->has_config)
		p->config = pong->config;
	return NULL;
}

const char *
broker_on_frame(struct broker *b, struct peer *p, const struct frame *f)
{
	const Hopyard__V1__Nak *nak;

	switch ((Hopyard__V1__FrameType)f->type) {
	case HOPYARD__V1__FRAME_TYPE__PING:
		cell_pong(b, p, f);
		return NULL;
	case HOPYARD__V1__FRAME_TYPE__PONG:
		return take_pong(b, p, f);
	case HOPYARD__V1__FRAME_TYPE__BYE:
		peer_close(p, "box said Bye");
		return NULL;
	case HOPYARD__V1__FRAME_TYPE__LEAVE:
		leave(b, p);
		return NULL;
	case HOPYARD__V1__FRAME_TYPE__NAK:
		nak = unpack(b, f, &hopyard__v1__nak__descriptor);
		log_warn("box.nak", "name=%s code=%d text=%s", p->name,
		    nak != NULL ? (int)nak->code : -1,
		    nak != NULL && nak->text != NULL ? nak->text : "");
		return NULL;
	case HOPYARD__V1__FRAME_TYPE__CALL:
		/* A box asks the successor again. */
		if (p->role == ROLE_CONTROL || !cell_is_quiet(&b->cell))
			control_call(b, p, f->correlation, f);
		return NULL;
	case HOPYARD__V1__FRAME_TYPE__REPLY:
		control_reply(b, p, f->correlation, f);
		return NULL;
	default:
		break;
	}
	if (p->role == ROLE_STORE)
		return store_frame(b, p, f);
	if (cell_is_quiet(&b->cell) || p->leaving)
		return NULL;
	if (p->role == ROLE_FILTER)
		return filter_frame(b, p, f);
	if (p->target != NULL)
		return target_frame(b, p, f);
	return "unexpected frame";
}

/* ---------------------------------------------------------------- effects */

static void
on_settle(void *arg, uint32_t peer, uint64_t number,
    Hopyard__V1__Ack__Code code, const char *text)
{
	struct broker *b = arg;
	struct peer *p;

	if (peer == ENGINE_PEER_CALL) {
		bool ok = code == HOPYARD__V1__ACK__CODE__ACK_OK ||
		    code == HOPYARD__V1__ACK__CODE__LATER;
		bool later = code == HOPYARD__V1__ACK__CODE__UNAVAILABLE ||
		    code == HOPYARD__V1__ACK__CODE__THROTTLED;

		control_answer(b, number, ok ? 0 : later ? 503 : 422, text);
		return;
	}
	p = broker_peer(b, peer);
	if (p != NULL)
		peer_settle(p, number, code, text);
}

static void
on_deliver(void *arg, struct target *t, const struct item *it)
{
	struct broker *b = arg;
	struct peer *p = broker_peer(b, t->peer);

	if (p == NULL)
		return;
	peer_deliver(p, it);
	CRASH_POINT("bus.dispatched");
}

static void
on_recall(void *arg, struct target *t, uint64_t ref)
{
	struct broker *b = arg;
	struct peer *p = broker_peer(b, t->peer);
	Hopyard__V1__Recall r = HOPYARD__V1__RECALL__INIT;

	if (p == NULL)
		return;
	peer_flush(p, false); /* the item itself goes first */
	r.ref = ref;
	peer_send(p, HOPYARD__V1__FRAME_TYPE__RECALL, 0, &r.base);
}

static void
on_page(void *arg, uint64_t correlation, const Hopyard__V1__Page *page)
{
	struct broker *b = arg;

	if (b->store != NULL)
		peer_send(b->store, HOPYARD__V1__FRAME_TYPE__PAGE, correlation,
		    &page->base);
}

static void
on_answer(void *arg, uint64_t token, unsigned code, const char *text)
{
	control_answer(arg, token, code, text);
}

static void
on_note(void *arg, const struct engine_note *n)
{
	char id[UUID_TEXT_LEN];

	(void)arg;
	log_info(n->event,
	    "msg=%s from=%s to=%s account=%.*s via=%s status=%s delay=%llu "
	    "why=%s",
	    uuid_format(n->id, id), log_number(n->from.p, n->from.len),
	    log_number(n->to.p, n->to.len), (int)n->account.len,
	    n->account.p != NULL ? (const char *)n->account.p : "",
	    n->via != NULL ? n->via : "", n->status != NULL ? n->status : "",
	    (unsigned long long)n->delay_ms, n->why != NULL ? n->why : "");
}

static void
on_ask(void *arg, uint32_t peer, const struct item *it)
{
	struct broker *b = arg;
	struct peer *p = broker_peer(b, peer);

	if (p != NULL)
		peer_deliver(p, it);
}

static void
on_filter_state(void *arg, const struct filter *f, const char *why)
{
	(void)arg;
	if (f->state == FILTER_PASSED_OVER)
		log_warn("filter.passed_over", "filter=%s box=%s reason=%s",
		    f->name, f->box->name, why);
	else
		log_info("filter.back", "filter=%s box=%s reason=%s", f->name,
		    f->box->name, why);
}

static const struct engine_ops broker_ops = {
	.settle = on_settle,
	.deliver = on_deliver,
	.recall = on_recall,
	.page = on_page,
	.answer = on_answer,
	.note = on_note,
	.ask = on_ask,
	.filter_state = on_filter_state,
};

/* ---------------------------------------------------------------- turning */

static void
send_records(struct broker *b)
{
	struct ledger *l = &b->engine->ledger;
	struct peer *p = b->store;
	uint8_t head[ITEMS_HEAD], *dst;
	struct chunk *c;
	size_t n;

	if (p == NULL || !b->engine->open)
		return;
	while ((c = ledger_unsent(l)) != NULL) {
		if (p->sent_items + c->count > p->credit_items ||
		    p->sent_bytes + c->counted > p->credit_bytes)
			return;
		n = items_put_head(
		    head, c->first, b->engine->epoch, false, 0, 0);
		dst = conn_reserve(p->conn, FRAME_HEADER + n + c->len);
		frame_put_header(
		    dst, n + c->len, HOPYARD__V1__FRAME_TYPE__RECORD, 0, 0);
		memcpy(dst + FRAME_HEADER, head, n);
		memcpy(dst + FRAME_HEADER + n, c->data, c->len);
		conn_commit(p->conn, FRAME_HEADER + n + c->len);
		broker_tap(b, p, true, HOPYARD__V1__FRAME_TYPE__RECORD,
		    n + c->len, c->count);
		c->sent = true;
		CRASH_POINT("bus.records_queued");
		p->sent_items += c->count;
		p->sent_bytes += c->counted;
		p->frames_out++;
	}
}

static void
flush_peers(struct broker *b, bool fronts)
{
	struct peer *p;

	if (b->dirty_all) {
		TAILQ_FOREACH(p, &b->peers, link)
			if (peer_is_front(p) == fronts)
				peer_flush(p, b->engine->open);
		return;
	}
	for (size_t i = 0; i < b->dirty_count; i++) {
		p = broker_peer(b, b->dirty[i]);
		if (p != NULL && peer_is_front(p) == fronts)
			peer_flush(p, b->engine->open);
	}
}

static void timer_cb(uv_timer_t *);

/* Deadlines come sooner than other times. */
static void
hurry(struct broker *b)
{
	const struct engine *e = b->engine;
	uint64_t due = filters_due(e->filters), wait;

	if (due == UINT64_MAX)
		return;
	wait = due > e->now ? due - e->now : 0;
	if (wait < uv_timer_get_due_in(&b->timer))
		uv_timer_start(&b->timer, timer_cb, wait, 0);
}

static void
work_cb(void *arg)
{
	struct broker *b = arg;
	struct peer *p;

	if (b->greeted > 0) {
		struct peer *next;

		b->greeted = 0;
		TAILQ_FOREACH_SAFE(p, &b->peers, link, next)
			peer_greet(p);
	}
	if (!cell_is_quiet(&b->cell))
		engine_dispatch(b->engine);
	send_records(b);
	/* Front ends first: should we end between two writes, a message is
	 * accepted and goes later, rather than gone and refused. */
	flush_peers(b, true);
	CRASH_POINT("bus.fronts_told");
	flush_peers(b, false);
	CRASH_POINT("bus.turn_over");
	b->dirty_count = 0;
	b->dirty_all = false;
	if (b->engine->filtering)
		hurry(b);
}

/* Answered or not, how far away a box is wants to be known all the time. */
static void
send_ping(struct peer *p)
{
	p->probed_at = clock_mono_ms();
	p->probe = clock_mono_us();
	peer_send(p, HOPYARD__V1__FRAME_TYPE__PING, p->probe, NULL);
}

static void
tick_peers(struct broker *b)
{
	struct peer *p, *next;
	uint64_t now = clock_mono_ms();

	TAILQ_FOREACH_SAFE(p, &b->peers, link, next) {
		uint64_t quiet;

		if (p->state == PEER_HELLO && now - p->since > HELLO_TIMEOUT)
			peer_close(p, "no Hello in time");
		if (p->state != PEER_READY)
			continue;
		quiet = now - conn_last_read(p->conn) / 1000;
		if (p->pinged_at != 0 && quiet < now - p->pinged_at)
			p->pinged_at = 0;
		if (p->pinged_at != 0 && now - p->pinged_at > PING_TIMEOUT) {
			peer_close(p, "no answer to PING");
		} else if (p->pinged_at == 0 && quiet > PING_AFTER) {
			p->pinged_at = now;
			send_ping(p);
		} else if (now - p->probed_at > PING_AFTER &&
		    now - p->since > PING_AFTER) {
			send_ping(p);
		}
	}
}

/* Nobody waits for a record any more.  The checkpoint is no such thing: without
 * it the next start takes longer, that is all. */
static bool
drained(const struct broker *b)
{
	const struct ledger *l = &b->engine->ledger;

	if (l->ring_count > 0)
		return false;
	return l->horizon == l->last_seq || b->store == NULL || !b->store_up ||
	    clock_mono_ms() - b->draining_since > DRAIN_CHECKPOINT;
}

static void
timer_cb(uv_timer_t *timer)
{
	struct broker *b = timer->data;
	uint64_t next, cell;

	broker_time(b);
	next = engine_tick(b->engine);
	cell = cell_tick(b);
	if (cell < next)
		next = cell;
	tick_peers(b);
	control_tick(b);
	gate_tick(&b->gate);
	if (b->draining && drained(b) && !cell_give_up(b))
		daemon_stop(b->daemon, 0);
	uv_timer_start(timer, timer_cb, b->draining ? 20 : next, 0);
}

/* --------------------------------------------------------- start and stop */

static void
accept_cb(struct listener *l, struct conn *conn, void *arg)
{
	struct broker *b = arg;

	peer_new(b, conn, l == b->control);
}

static int
open_listener(struct broker *b, const char *key, struct listener **l)
{
	const struct conf_group *g = conf_section(b->engine->conf, "bus");
	const char *address = conf_str(g, key);
	int rc;

	rc = listener_open(b->loop, address, 0660,
	    (unsigned)conf_int(g, "max_boxes"), NULL, accept_cb, b, l);
	if (rc != 0)
		log_error("bus.listen", "address=%s error=%s where=%s", address,
		    uv_strerror(rc), conf_where(g, key));
	return rc;
}

int
broker_start(struct broker *b, struct daemon *d)
{
	uint64_t seed;
	int rc;

	memset(b, 0, sizeof(*b));
	b->daemon = d;
	b->loop = daemon_loop(d);
	b->started = clock_wall_ms();
	TAILQ_INIT(&b->peers);
	map_init(&b->by_id);
	map_init(&b->calls);
	snprintf(b->store_detail, sizeof(b->store_detail),
	    "store box is not connected");
	if (getrandom(b->instance, sizeof(b->instance), 0) !=
		sizeof(b->instance) ||
	    getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		fatal("bus.random", "error=%s", "getrandom failed");
	arena_init(&b->frame_arena, b->frame_memory, sizeof(b->frame_memory));
	b->engine = engine_new(&broker_ops, b, seed);
	b->turn = turn_get(b->loop);
	turn_task_init(&b->work, b->turn, TURN_WORK, work_cb, b);
	broker_time(b);
	engine_set_lease(b->engine,
	    conf_duration(conf_section(daemon_conf(d), "bus"), "lease"));
	broker_configure(b, daemon_conf(d));
	if ((rc = open_listener(b, "socket", &b->boxes)) != 0 ||
	    (rc = open_listener(b, "control", &b->control)) != 0 ||
	    (rc = gate_open(&b->gate, b, daemon_conf(d))) != 0)
		return rc;
	uv_timer_init(b->loop, &b->timer);
	uv_timer_init(b->loop, &b->ack_timer);
	b->ack_timer.data = b;
	b->timer.data = b;
	uv_timer_start(&b->timer, timer_cb, 10, 0);
	log_info("bus.listening", "boxes=%s control=%s",
	    listener_address(b->boxes), listener_address(b->control));
	return 0;
}

void
broker_configure(struct broker *b, const struct conf *conf)
{
	const struct conf_group *log = conf_section(conf, "log");
	Hopyard__V1__AccountChanged c = HOPYARD__V1__ACCOUNT_CHANGED__INIT;
	struct peer *p;

	b->version++;
	b->engine->notes = conf_bool(log, "messages");
	engine_configure(b->engine, conf, b->version);
	if (b->gate.broker != NULL) /* not at the start */
		gate_configure(&b->gate, conf);
	c.version = b->version;
	TAILQ_FOREACH(p, &b->peers, link)
		if (p->state == PEER_READY &&
		    (peer_is_front(p) || p->role == ROLE_HOOK))
			peer_send(p, HOPYARD__V1__FRAME_TYPE__ACCOUNT_CHANGED,
			    0, &c.base);
}

void
broker_drain(struct broker *b)
{
	struct peer *p;
	Hopyard__V1__Bye bye = HOPYARD__V1__BYE__INIT;
	char reason[] = "bus is stopping";

	broker_time(b);
	/* What is recorded is safe; a checkpoint makes the next start short. */
	b->draining = true;
	b->draining_since = clock_mono_ms();
	b->dirty_all = true; /* no ack waits any more */
	engine_checkpoint(b->engine);
	bye.reason = reason;
	TAILQ_FOREACH(p, &b->peers, link)
		if (p->state == PEER_READY && peer_is_front(p))
			peer_send(
			    p, HOPYARD__V1__FRAME_TYPE__BYE, 0, &bye.base);
	if (!b->engine->open)
		daemon_stop(b->daemon, 0);
}

void
broker_fini(struct broker *b)
{
	control_fini(b);
	gate_fini(&b->gate);
	turn_remove(&b->work);
	turn_put(b->turn);
	map_fini(&b->by_id);
	map_fini(&b->calls);
	engine_free(b->engine);
}
