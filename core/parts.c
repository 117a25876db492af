/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/parts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/inbound.h"
#include "common/map.h"
#include "common/queue.h"
#include "common/uuid.h"
#include "common/xalloc.h"
#include "core/engine.h"
#include "proto/join.h"

/* Part of the memory for items that waiting parts may fill. */
#define PARTS_SHARE 4
#define KIND_MAX    3 /* of Segment.kind */
#define KEYWORD_MAX 64
/* Groups that one tick completes. */
#define TICK_GROUPS 200

union slot {
	struct msg *m; /* it waits */
	uint64_t hash; /* of one that went on; 0: it never came */
};

struct part_group {
	TAILQ_ENTRY(part_group) link; /* on open or gone */
	uint8_t *key;
	size_t key_len;
	int64_t since;        /* mono ms: its first part came; or it went on */
	bool gone;            /* it went on, and is only remembered */
	bool asked;           /* the store is looking whether it went on then */
	uint8_t id[UUID_LEN]; /* gone: of the anchor's successor */
	unsigned total, count;
	union slot part[];
};

TAILQ_HEAD(group_list, part_group);

struct parts {
	struct map groups;      /* open and gone, by key */
	struct group_list open; /* by since */
	struct group_list gone; /* by since */
	size_t open_count, gone_count;
	size_t held, held_bytes; /* parts in open groups */
	struct queue *queue;     /* NULL: there never was a part */
	bool recovering;         /* parts of before a restart are not here */
	struct buf key, keyword, envelope, body;
	uint8_t text[PARTS_BYTES];
};

struct parts *
parts_new(void)
{
	struct parts *p = xcalloc(1, sizeof(*p));

	map_init(&p->groups);
	TAILQ_INIT(&p->open);
	TAILQ_INIT(&p->gone);
	buf_init(&p->key);
	buf_init(&p->keyword);
	buf_init(&p->envelope);
	buf_init(&p->body);
	return p;
}

void
parts_free(struct parts *p)
{
	struct part_group *g;
	size_t pos = 0;

	while ((g = map_next(&p->groups, &pos)) != NULL) {
		free(g->key);
		free(g);
	}
	map_fini(&p->groups);
	buf_fini(&p->key);
	buf_fini(&p->keyword);
	buf_fini(&p->envelope);
	buf_fini(&p->body);
	free(p);
}

size_t
parts_waiting(const struct engine *e)
{
	return e->parts->open_count;
}

static struct bytes
view(ProtobufCBinaryData b)
{
	return (struct bytes){ b.data, b.len };
}

/* ----------------------------------------------------------------- a part */

bool
parts_is_part(const Hopyard__V1__Envelope *env)
{
	return env->segment != NULL && env->segment->total != 1;
}

static bool
segment_fault(const Hopyard__V1__Segment *s)
{
	return s->kind == 0 || s->kind > KIND_MAX || s->ref > UINT16_MAX ||
	    s->total == 0 || s->total > UINT8_MAX || s->number == 0 ||
	    s->number > s->total;
}

const char *
parts_fault(const struct target *t, const Hopyard__V1__Envelope *env)
{
	if (segment_fault(env->segment))
		return "segment is none";
	/* A restart must find out whose it is. */
	if (env->link.len != strlen(t->name) ||
	    memcmp(env->link.data, t->name, env->link.len) != 0)
		return "a part must have the name of its link";
	if (env->keyword.len > KEYWORD_MAX)
		return "keyword is too long";
	return NULL;
}

/* As map_get() wants it; borrowed until the next one is made. */
static struct bytes
make_key(struct engine *e, const Hopyard__V1__Envelope *env)
{
	struct buf *b = &e->parts->key;
	const Hopyard__V1__Segment *s = env->segment;
	const struct target *t =
	    map_get(&e->target_by_name, env->link.data, env->link.len);

	buf_clear(b);
	buf_printf(b, "%u %u %u %zu %zu ", s->kind, s->ref, s->total,
	    env->from.len, env->to.len);
	buf_add(b, env->from.data, env->from.len);
	buf_add(b, env->to.data, env->to.len);
	if (t != NULL)
		buf_addstr(b, t->scope != NULL ? t->scope : t->name);
	else
		buf_add(b, env->link.data, env->link.len);
	return (struct bytes){ buf_data(b), buf_len(b) };
}

/* Never 0. */
static uint64_t
body_hash(const struct msg *m)
{
	struct bytes b = msg_body(m);
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (size_t i = 0; i < b.len; i++)
		h = (h ^ b.p[i]) * 0x100000001b3u;
	return h | 1;
}

static bool
same_body(const struct msg *a, const struct msg *b)
{
	return a->body_len == b->body_len &&
	    (a->body_len == 0 ||
		memcmp(msg_body(a).p, msg_body(b).p, a->body_len) == 0);
}

/*
 * The id under which it goes on: the same each time, of the same time, and of
 * nobody else, because the bits that it inverts are random.
 */
static void
successor_id(uint8_t dst[UUID_LEN], const uint8_t id[UUID_LEN])
{
	memcpy(dst, id, UUID_LEN);
	dst[8] ^= 0x3f; /* not the variant */
	for (int i = 9; i < UUID_LEN; i++)
		dst[i] ^= 0xff;
}

/* Its text is with another message: the last record of this one. */
static void
close_part(struct engine *e, struct msg *m, const uint8_t other[UUID_LEN],
    bool duplicate)
{
	Hopyard__V1__Record r = HOPYARD__V1__RECORD__INIT;
	struct entry entry = { .kind = ENTRY_CLOSE, .msg = m };
	struct bytes none = { NULL, 0 };

	r.type = HOPYARD__V1__RECORD__TYPE__EVENT;
	r.at = e->wall;
	r.has_event = true;
	r.event = HOPYARD__V1__RECORD__EVENT__JOINED;
	r.has_id = true;
	r.id = (ProtobufCBinaryData){ sizeof(m->id), m->id };
	r.has_ref = true;
	r.ref = m->seq;
	r.has_closes = true;
	r.closes = true;
	r.has_possible_dup = duplicate;
	r.possible_dup = duplicate;
	r.has_other = true;
	r.other =
	    (ProtobufCBinaryData){ UUID_LEN, (uint8_t *)(uintptr_t)other };
	msg_enter_state(m, MSG_DONE);
	entry.seq = engine_record(e, &r, none, none, none);
	ledger_expect(&e->ledger, &entry);
	if (duplicate)
		e->count.duplicates++;
}

/* ------------------------------------------------------------------ groups */

static void
group_drop(struct parts *p, struct part_group *g)
{
	map_del(&p->groups, g->key, g->key_len);
	if (g->gone) {
		TAILQ_REMOVE(&p->gone, g, link);
		p->gone_count--;
	} else {
		TAILQ_REMOVE(&p->open, g, link);
		p->open_count--;
	}
	free(g->key);
	free(g);
}

static struct part_group *
group_new(
    struct engine *e, struct bytes key, unsigned total, const struct msg *m)
{
	struct parts *p = e->parts;
	struct part_group *g, *before;
	uint64_t age = e->wall > m->at ? e->wall - m->at : 0;

	g = xcalloc(1, sizeof(*g) + total * sizeof(g->part[0]));
	g->key = xmemdup(key.p, key.len);
	g->key_len = key.len;
	g->total = total;
	/* Not before the bus was started, whatever the wall clock does. */
	g->since = (int64_t)e->now -
	    (int64_t)(age < e->limits.join_ms ? age : e->limits.join_ms);
	map_put(&p->groups, g->key, g->key_len, g);
	before =
	    TAILQ_EMPTY(&p->open) ? NULL : TAILQ_LAST(&p->open, group_list);
	while (before != NULL && before->since > g->since)
		before = TAILQ_PREV(before, group_list, link);
	if (before == NULL)
		TAILQ_INSERT_HEAD(&p->open, g, link);
	else
		TAILQ_INSERT_AFTER(&p->open, before, g, link);
	p->open_count++;
	return g;
}

/* The first that there is: an open group has one. */
static struct msg *
group_anchor(const struct part_group *g)
{
	unsigned i = 0;

	while (g->part[i].m == NULL)
		i++;
	assert(i < g->total);
	return g->part[i].m;
}

/* The first of before a restart, and how many of them there are. */
static struct msg *
group_recovered(const struct engine *e, const struct part_group *g, unsigned *n)
{
	struct msg *first = NULL;

	*n = 0;
	for (unsigned i = 0; i < g->total; i++) {
		struct msg *m = g->part[i].m;

		if (m == NULL || m->seq > e->recovered_seq)
			continue;
		if (first == NULL)
			first = m;
		++*n;
	}
	return first;
}
static void
group_take_out(struct parts *p, struct part_group *g, unsigned i)
{
	struct msg *m = g->part[i].m;

	m->group = NULL;
	g->part[i].m = NULL;
	g->count--;
	p->held--;
	p->held_bytes -= msg_size(m);
}

/* -------------------------------------------------------------- it goes on */

static void
set_keyword(struct parts *p, const Hopyard__V1__Envelope *env)
{
	buf_clear(&p->keyword);
	if (env != NULL && env->keyword.len > 0)
		buf_add(&p->keyword, env->keyword.data, env->keyword.len);
}

/*
 * The message that goes on, with p->keyword, in p->envelope: of a whole group,
 * or, where g is NULL, of m alone.
 */
static struct bytes
make_envelope(struct engine *e, const struct part_group *g, const struct msg *m)
{
	struct parts *p = e->parts;
	const Hopyard__V1__Envelope *was = engine_envelope(e, msg_envelope(m));
	Hopyard__V1__Envelope env = *was;
	uint8_t id[UUID_LEN];
	size_t len;

	successor_id(id, m->id);
	env.id = (ProtobufCBinaryData){ sizeof(id), id };
	env.has_keyword = buf_len(&p->keyword) > 0;
	env.keyword = (ProtobufCBinaryData){ buf_len(&p->keyword),
		buf_data(&p->keyword) };
	if (g != NULL) {
		env.segment = NULL;
		env.has_parts = true;
		env.parts = g->total;
		env.has_parts_received = g->count < g->total;
		env.parts_received = g->count;
	}
	len = hopyard__v1__envelope__get_packed_size(&env);
	buf_clear(&p->envelope);
	hopyard__v1__envelope__pack(&env, buf_reserve(&p->envelope, len));
	buf_commit(&p->envelope, len);
	return (struct bytes){ buf_data(&p->envelope), len };
}

static Hopyard__V1__Content *
part_content(struct arena *a, const struct msg *m)
{
	arena_reset(a);
	return frame_unpack(a, &hopyard__v1__content__descriptor, msg_body(m).p,
	    msg_body(m).len);
}

/* The content of all, in p->body; NULL when it cannot be, or is too long. */
static struct bytes
make_body(struct engine *e, const struct part_group *g)
{
	struct bytes none = { NULL, 0 };
	struct parts *p = e->parts;
	Hopyard__V1__Content *first, *c;
	struct join join;
	size_t len;

	join_init(&join, p->text, sizeof(p->text));
	for (unsigned i = 0; i < g->total; i++) {
		if (g->part[i].m == NULL)
			continue;
		c = part_content(&e->arena, g->part[i].m);
		if (c == NULL || !join_add(&join, c))
			return none;
	}
	first = part_content(&e->result_arena, group_anchor(g));
	if (first == NULL)
		return none;
	join_finish(&join, first);
	len = hopyard__v1__content__get_packed_size(first);
	if (len > ENGINE_ITEM_MAX - 4096)
		return none;
	buf_clear(&p->body);
	hopyard__v1__content__pack(first, buf_reserve(&p->body, len));
	buf_commit(&p->body, len);
	return (struct bytes){ buf_data(&p->body), len };
}

static void
send_on(struct engine *e, struct bytes envelope, struct bytes body)
{
	struct item it = { .envelope = envelope, .body = body };
	const Hopyard__V1__Envelope *env = engine_envelope(e, envelope);
	char link[256];

	/* A restart between its record and the end of its parts. */
	if (map_get(&e->by_id, env->id.data, UUID_LEN) != NULL)
		return;
	snprintf(link, sizeof(link), "%.*s", (int)env->link.len,
	    (const char *)env->link.data);
	engine_mobile_originated(e, link, 0, 0, env, &it);
}

/* By the rule for the keyword of part 1, which is put into p->keyword. */
static bool
wants_joined(struct engine *e, const struct part_group *g)
{
	struct parts *p = e->parts;
	const Hopyard__V1__Envelope *env;
	const struct inbound_rule *rule;

	env = engine_envelope(e, msg_envelope(group_anchor(g)));
	set_keyword(p, g->part[0].m != NULL ? env : NULL);
	rule = inbound_match(e->inbound,
	    &(struct inbound_key){ .link = view(env->link),
		.to = view(env->to),
		.from = view(env->from),
		.keyword = { buf_data(&p->keyword), buf_len(&p->keyword) } });
	return rule == NULL || (rule->join && !rule->smpp);
}

/* Takes the group: what is left of it is the memory that it went on. */
static void
group_complete(struct engine *e, struct part_group *g)
{
	struct parts *p = e->parts;
	struct msg *anchor = group_anchor(g), *part[UINT8_MAX];
	struct bytes body = { NULL, 0 };
	bool joined = wants_joined(e, g);
	uint8_t id[UUID_LEN];
	unsigned n = 0;

	if (joined) {
		body = make_body(e, g);
		joined = body.p != NULL;
	}
	if (joined)
		send_on(e, make_envelope(e, g, anchor), body);
	for (unsigned i = 0; i < g->total; i++) {
		struct msg *m = g->part[i].m;

		if (m == NULL)
			continue;
		if (!joined)
			send_on(e, make_envelope(e, NULL, m), msg_body(m));
		part[n++] = m;
	}
	successor_id(g->id, anchor->id);
	for (unsigned i = 0; i < g->total; i++) {
		struct msg *m = g->part[i].m;

		if (m == NULL)
			continue;
		group_take_out(p, g, i);
		g->part[i].hash = body_hash(m);
	}
	while (n > 0) { /* the anchor is the first, and ends last */
		struct msg *m = part[--n];

		successor_id(id, joined ? anchor->id : m->id);
		close_part(e, m, id, false);
	}
	TAILQ_REMOVE(&p->open, g, link);
	p->open_count--;
	g->gone = true;
	g->asked = false;
	g->since = (int64_t)e->now;
	TAILQ_INSERT_TAIL(&p->gone, g, link);
	if (++p->gone_count > PARTS_GROUPS)
		group_drop(p, TAILQ_FIRST(&p->gone));
}

/* -------------------------------------------------------------- a part comes */

static bool
crowded(const struct engine *e, size_t more)
{
	const struct parts *p = e->parts;
	/* What is still being recovered should not be torn apart. */
	size_t share = p->recovering ? PARTS_SHARE / 2 : PARTS_SHARE;

	return p->open_count >= PARTS_GROUPS * (p->recovering ? 2u : 1u) ||
	    p->held >= e->limits.ready_items / share ||
	    p->held_bytes + more > e->limits.ready_bytes / share;
}

/* Where part `number` belongs; NULL: it is a duplicate, *of whom. */
static struct part_group *
find_group(struct engine *e, struct bytes key, unsigned total, unsigned number,
    const struct msg *m, uint8_t of[UUID_LEN])
{
	struct parts *p = e->parts;
	struct part_group *g = map_get(&p->groups, key.p, key.len);
	union slot *slot;

	if (g != NULL) {
		slot = &g->part[number - 1];
		if (g->gone) {
			if (slot->hash == body_hash(m)) {
				memcpy(of, g->id, UUID_LEN);
				return NULL;
			}
			/* References are used again; or it is late. */
			group_drop(p, g);
			g = NULL;
		} else if (slot->m != NULL && same_body(slot->m, m)) {
			memcpy(of, slot->m->id, UUID_LEN);
			return NULL;
		} else if (slot->m != NULL) {
			/* Another message; the rest of this one is lost. */
			group_complete(e, g);
			group_drop(p, g);
			g = NULL;
		}
	}
	if (g == NULL) {
		while (crowded(e, msg_size(m)) && !TAILQ_EMPTY(&p->open))
			group_complete(e, TAILQ_FIRST(&p->open));
		g = group_new(e, key, total, m);
	}
	return g;
}

void
parts_arrived(struct engine *e, struct msg *m)
{
	struct parts *p = e->parts;
	const Hopyard__V1__Envelope *env = engine_envelope(e, msg_envelope(m));
	uint8_t of[UUID_LEN];
	struct part_group *g;
	unsigned number;

	if (env->segment == NULL || segment_fault(env->segment)) {
		/* Not as we wrote it: a message by itself. */
		set_keyword(p, env);
		successor_id(of, m->id);
		send_on(e, make_envelope(e, NULL, m), msg_body(m));
		close_part(e, m, of, false);
		return;
	}
	number = env->segment->number;
	g = find_group(e, make_key(e, env), env->segment->total, number, m, of);
	if (g == NULL) {
		close_part(e, m, of, true);
		return;
	}
	msg_enter_state(m, MSG_HELD);
	m->group = g;
	g->part[number - 1].m = m;
	g->count++;
	p->held++;
	p->held_bytes += msg_size(m);
	if (g->count == g->total && !g->asked && !p->recovering)
		group_complete(e, g);
}

void
parts_admit(struct engine *e, struct target *t, uint32_t peer, uint64_t number,
    const Hopyard__V1__Envelope *env, const struct item *it)
{
	Hopyard__V1__Record r = HOPYARD__V1__RECORD__INIT;
	struct entry entry = {
		.kind = ENTRY_MESSAGE, .peer = peer, .number = number
	};
	struct parts *p = e->parts;
	struct msg *m;

	if (p->queue == NULL)
		p->queue = engine_queue(e,
		    map_get(
			&e->target_by_name, PARTS_TARGET, strlen(PARTS_TARGET)),
		    2, "");
	r.type = HOPYARD__V1__RECORD__TYPE__MESSAGE;
	r.at = e->wall;
	r.has_queue = true;
	r.queue = p->queue->number;
	r.has_link = true;
	r.link = (ProtobufCBinaryData){ strlen(t->name), (uint8_t *)t->name };
	r.has_config = true;
	r.config = e->version;
	entry.seq = engine_record(e, &r, it->envelope, it->body, it->report);
	if (e->notes) {
		struct engine_note n = { .event = "mo.part",
			.id = env->id.data,
			.to = view(env->to),
			.from = view(env->from),
			.via = t->name,
			.status = "waiting" };

		e->ops->note(e->arg, &n);
	}
	m = msg_new(it);
	m->seq = entry.seq;
	memcpy(m->id, env->id.data, UUID_LEN);
	m->kind = HOPYARD__V1__KIND__MO;
	m->class = p->queue->class;
	m->at = e->wall;
	engine_kept(p->queue, m->seq);
	engine_keep(e, m, p->queue, false);
	entry.msg = m;
	ledger_expect(&e->ledger, &entry);
}

/* ---------------------------------------------------------------- recovery */

void
parts_opened(struct engine *e)
{
	struct parts *p = e->parts;
	struct queue *q;

	TAILQ_FOREACH(q, &e->queues, all_link)
		if (q->target->role == TARGET_PARTS)
			p->queue = q;
	p->recovering = p->queue != NULL && queue_deep(p->queue);
}

/* Did it go on, and the bus was killed before all parts had ended? */
static void
group_ask(struct engine *e, struct part_group *g, const struct msg *anchor)
{
	struct lookup *l;
	if (e->lookups.count >= PARTS_GROUPS * 4)
		return;
	l = xcalloc(1, sizeof(*l));
	l->why = LOOKUP_PARTS;
	successor_id(l->id, anchor->id);
	l->ref = anchor->seq;
	g->asked = true;
	engine_look_up(e, l);
}

static void
recovered(struct engine *e)
{
	struct part_group *g, *next;

	e->parts->recovering = false;
	TAILQ_FOREACH_SAFE(g, &e->parts->open, link, next) {
		unsigned old;
		struct msg *first = group_recovered(e, g, &old);

		if (first != NULL && old < g->total)
			group_ask(e, g, first);
		else if (g->count == g->total)
			group_complete(e, g);
	}
}

void
parts_looked_up(struct engine *e, uint64_t seq, bool found)
{
	struct parts *p = e->parts;
	struct msg *m = map_get_u64(&e->by_seq, seq), *fresh[UINT8_MAX];
	struct part_group *g;
	unsigned n = 0;

	if (m == NULL || m->state != MSG_HELD || !m->group->asked)
		return;
	g = m->group;
	g->asked = false;
	if (!found) {
		if (g->count == g->total)
			group_complete(e, g);
		return;
	}
	/* What has come since is of another message, or a duplicate. */
	for (unsigned i = 0; i < g->total; i++) {
		m = g->part[i].m;
		if (m == NULL || m->seq <= e->recovered_seq)
			continue;
		group_take_out(p, g, i);
		fresh[n++] = m;
	}
	group_complete(e, g);
	for (unsigned i = 0; i < n; i++)
		parts_arrived(e, fresh[i]);
}

void
parts_tick(struct engine *e)
{
	struct parts *p = e->parts;
	struct part_group *g, *next;
	int64_t due = (int64_t)e->now - (int64_t)e->limits.join_ms;
	unsigned n = 0;

	while ((g = TAILQ_FIRST(&p->gone)) != NULL && g->since <= due)
		group_drop(p, g);
	/* What it would record could not be written. */
	if (!e->store)
		return;
	if (p->recovering && !queue_deep(p->queue))
		recovered(e);
	if (p->recovering)
		return;
	TAILQ_FOREACH_SAFE(g, &p->open, link, next) {
		if (g->since > due || n++ == TICK_GROUPS)
			break;
		if (!g->asked)
			group_complete(e, g);
	}
}
