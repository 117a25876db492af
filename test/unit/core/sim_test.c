/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sim_test.c - the engine in a world that goes wrong: front ends, connectors, a
 * hook, SMPP servers with customers who come and go, in half of the worlds a
 * filter, and a store around it, all kept here, joined by links that delay and
 * break, each of them and the bus itself killed at any time.
 *
 * A seed decides everything, so a run repeats: SEED=17 sim_test runs that one
 * alone, with TRACE=1 it says what happens; SEEDS=n others than the usual
 * number, FIRST=n from there on, STEPS=n longer ones, BAD=n stops after so many
 * that failed, AGAIN=n runs so many of them again.  The rules are checked while
 * it runs, and at its end, when nothing fails any more, all must have come to
 * an end: every message that was acknowledged, and every report of it.
 *
 * All that the engine does goes into a digest, so that two runs of a seed can be
 * told to be the same to the byte.
 */
#include <setjmp.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/conf.h"
#include "common/xalloc.h"
#include "core/engine.h"
#include "test/unit/core/model.h"
#include "test/unit/core/witness.h"

#define SEEDS     300
#define STEPS     1500
#define AGAIN     5 /* seeds that are run three times */
#define WALL_BASE 1800000000000ull

#define FRONTS     2
#define CONNECTORS 3
#define SERVERS    2
#define HOOK       (FRONTS + CONNECTORS)
#define SERVER     (HOOK + 1)
#define BOXES      (SERVER + SERVERS)
#define ACCOUNTS   6

#define RECLAIM 3000
#define LEASE   800
#define SWEEP   4000

static const char sim_conf[] =
    "bus = { ready_items = 120; queue_items = %u; checkpoint = \"700ms\";"
    " failover_after = \"1s\"; reclaim = \"3s\"; starvation = 5;"
    " join_timeout = \"2s\"; };"
    "boxes = ("
    " { name = \"f0\"; type = \"http\"; },"
    " { name = \"f1\"; type = \"x\"; exec = \"/bin/x\"; role = \"front\"; },"
    " { name = \"l0\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\";},"
    " { name = \"l1\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\";},"
    " { name = \"l2\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\";"
    " schedule = \"smsc\"; },"
    " { name = \"hook\"; type = \"hook\"; },"
    " { name = \"s0\"; type = \"smpps\"; listen = \"127.0.0.1:0\"; },"
    " { name = \"s1\"; type = \"smpps\"; listen = \"127.0.0.1:0\"; },"
    " { name = \"flt\"; type = \"y\"; exec = \"/y\"; role = \"filter\"; },"
    " { name = \"store\"; type = \"store\"; dsn = \"x\"; } );"
    "accounts = ( { id = \"a\"; }, { id = \"b\"; class = \"bulk\"; },"
    " { id = \"c\"; class = \"otp\"; }, { id = \"d\"; class = \"alert\"; },"
    " { id = \"t\"; tps = 3; }, { id = \"u\"; class = \"bulk\"; } );"
    "routes = ( { name = \"r0\"; to = \"49\"; via = [ \"l0\", \"l1\" ]; },"
    " { name = \"r1\"; to = \"44\"; via = [ \"l1\", \"l2\", \"l0\" ]; },"
    " { name = \"r2\"; to = \"1\"; via = \"l2\"; } );"
    "inbound = ( { name = \"in\"; to = \"777\"; account = \"a\";"
    " url = \"http://localhost/\"; }, { name = \"apart\"; to = \"888\";"
    " account = \"a\"; url = \"http://localhost/\"; join = false; },"
    " { name = \"esme\"; to = \"778\"; account = \"b\"; smpp = true; } );";

/* Of every second world.  The first one says yes when it says nothing. */
static const char sim_filters[] =
    "filters = ( { name = \"one\"; box = \"flt\"; to = [ \"49\", \"7\" ];"
    " direction = \"both\"; failures = 3; probe = \"300ms\"; cache = 3; },"
    " { name = \"two\"; box = \"flt\"; class = [ \"otp\", \"txn\" ];"
    " deadline = \"40ms\"; default = \"later\"; failures = 5; } );";

static const char *const accounts[ACCOUNTS] = { "a", "b", "c", "d", "t", "u" };
static const char *const destinations[] = { "4915112345678", "447712345678",
	"12025550123", "999" };
static const char *const names[BOXES] = { "f0", "f1", "l0", "l1", "l2", "hook",
	"s0", "s1" };

/* One message of a front end, MO of a connector, or receipt of a carrier. */
struct message {
	uint8_t id[16];
	uint64_t serial;
	const char *account, *to;
	uint32_t mask;
	uint64_t delay_ms, validity_ms;
	const struct message *replaces;
	uint32_t parts_taken; /* bits */
	bool mo;
	unsigned total, number; /* MO: one part of several */
	uint64_t group;         /* and of which */
	unsigned told;          /* how often its text was */
	uint64_t told_in;       /* and in which message */
	bool esme; /* for the binds of the account, itself or its reports */
	unsigned front;
	bool acked;        /* OK, at least once */
	bool refused;      /* and never OK */
	bool canceled;     /* and the answer said so */
	bool withdrawn;    /* by its front end, likewise */
	bool flagged;      /* handed out once as possibly sent before */
	unsigned taken;    /* by carriers */
	unsigned unknowns; /* reasons to be taken twice */
	uint64_t came_at;  /* monotonic, the first hand-over */
	uint64_t back_at;  /* monotonic, a box gave it back, not to wait */
	bool moved;        /* by a box or a request: not where it came in */
};

enum packet_kind {
	/* to the bus */
	P_HELLO,
	P_IN_HAND,
	P_CREDIT,
	P_LINK_STATE,
	P_ATTACH,
	P_SUBMIT,
	P_RESULT,
	P_INBOUND,
	P_OPENED,
	P_HORIZON,
	P_PAGED,
	P_NOTICE,
	P_OVERDUE,
	P_RENEWED,
	/* from the bus */
	P_WELCOME,
	P_ACK,
	P_DELIVER,
	P_RECALL,
	P_OPEN,
	P_RECORD,
	P_PAGE,
	P_RENEW,
};

struct packet {
	TAILQ_ENTRY(packet) link;
	uint64_t at;
	enum packet_kind kind;
	uint64_t a, b; /* number, ref, correlation... */
	bool flag;
	uint8_t id[16];
	uint32_t attempt;
	Hopyard__V1__Page page;
	size_t len;
	uint8_t *data;
};
TAILQ_HEAD(packet_list, packet);

/* A connection; both ends lose it at once, and all that is on its way. */
struct wire {
	bool up;
	uint32_t peer;
	struct packet_list to_bus, from_bus;
	uint64_t at_bus, at_box; /* packets do not overtake */
};

/* Something a box hands over until it is acknowledged. */
struct owed {
	TAILQ_ENTRY(owed) link;
	enum packet_kind kind;   /* SUBMIT, RESULT, INBOUND */
	struct message *message; /* or NULL */
	struct model_result result;
	uint8_t id[16];   /* of the result's item, or of the envelope */
	uint64_t smsc_id; /* of a receipt, or in a result */
	uint8_t state;    /* of a receipt */
	uint64_t number;  /* on this connection, 0: not sent */
	bool refused;
	bool overtaken; /* its server was given up, another one has the item */
};
TAILQ_HEAD(owed_list, owed);

/* An item in the hands of a connector or hook. */
struct held {
	TAILQ_ENTRY(held) link;
	uint64_t ref;
	uint8_t id[16];
	uint32_t attempt;
	bool dup;
	unsigned account; /* of a customer's item */
	uint64_t done_at;
	bool recalled;
	bool early; /* the carrier has it, and its answer is on the way */
};
TAILQ_HEAD(held_list, held);

struct box {
	bool alive;
	uint64_t epoch; /* the last that it was told */
	bool greeting;  /* its Hello is there and waits */
	uint64_t greeted_at;
	uint8_t instance[16];
	struct wire wire;
	struct owed_list owed;
	uint64_t last_number, settled; /* of this connection */
	struct held_list held;
	size_t held_count;
	bool link_up;
	uint64_t granted, got;
	uint64_t given; /* by the bus, since its Hello */
	bool ready;     /* has said what it has in hand */
	bool told;      /* and the bus has heard it */
	uint64_t back_at;
	/* A server: what it has of each account. */
	struct {
		unsigned binds, receivers;
		uint64_t granted, got, given; /* of this connection */
		size_t held;
	} seat[ACCOUNTS];
	uint64_t stopped_until;   /* it stands still */
	struct owed_list carrier; /* receipts that it will send */
};

struct batch {
	uint64_t first, last;
};

/* A question that a filter has. */
struct asked {
	TAILQ_ENTRY(asked) link;
	uint64_t ref, at; /* when it answers */
	uint64_t serial;
	bool mo;
};
TAILQ_HEAD(asked_list, asked);

/* Its wire is never cut half way: what it is asked it has at once. */
struct sim_filter {
	bool there;    /* in this world */
	uint32_t peer; /* 0: it is away */
	uint8_t instance;
	uint64_t back_at, stopped_until;
	uint64_t granted, got;
	struct asked_list asked;
	uint64_t verdicts; /* in all */
};

struct faults {
	bool bus, store, connector, hook, server, cut, unknown, overdue, leap,
	    clock, pause, page, holiday, taken;
	unsigned odds; /* of each, in a thousand steps */
};

struct sim {
	uint64_t seed, rng;
	uint64_t now;      /* monotonic */
	int64_t skew;      /* of the wall clock */
	uint64_t set_at;   /* when it was set */
	uint64_t leapt_at; /* the time did, or something stood still */
	unsigned step;
	struct conf *conf;
	struct engine *e; /* NULL: the bus is dead */
	uint64_t bus_back, epoch, tick_at;
	uint32_t last_peer;
	bool opened;
	/*
	 * Where there is a lease: when the store last committed a renewal; and
	 * a bus that is cut off, or stands still, while another takes its
	 * place.  What was on its way to it from the store is still there.
	 */
	bool lease;
	uint64_t beat_at;
	struct engine *old;
	uint64_t old_epoch, old_wakes, old_ends;
	struct packet_list old_hears;
	size_t taken, outlived; /* how often, and what the old one still did */
	uint64_t bus_stopped, store_stopped; /* they stand still until then */
	double rate_used;                    /* parts of account t */
	uint64_t rate_at;

	struct db db;
	bool store_alive;
	struct wire store;
	uint64_t store_back, commit_at, overdue_at;
	bool open_wanted, store_open;
	struct packet_list pending; /* RECORD packets not committed */
	uint64_t accepted;          /* last seq of them */
	uint64_t flying;            /* seqs up to here are being committed */
	struct packet_list slow;    /* read beside it, not yet on the wire */
	struct db_list again_unused;

	struct sim_filter filter;
	struct box box[BOXES];
	struct message **message;
	size_t count, cap;
	struct map by_id;
	struct map cancels; /* token -> message */
	struct map withdrawals;
	struct map served; /* refs that a customer has */
	uint64_t last_token;
	struct faults faults;
	size_t replaced;
	bool calm; /* nothing fails any more */
	struct buf buf;
	struct witness witness;
	size_t most;     /* items in memory */
	uint64_t digest; /* of all that the engine was told and did */
	char failed[400];
};

/* Of an MT. */
#define PARTS(m) (1 + (uint32_t)((m)->serial % 3))

#define WALL(s) (WALL_BASE + (uint64_t)((int64_t)(s)->now + (s)->skew))

static unsigned steps = STEPS;

static void fail_run(struct sim *, const char *, ...) PRINTF(2, 3);

static void
fail_run(struct sim *s, const char *fmt, ...)
{
	va_list ap;

	if (s->failed[0] != '\0')
		return;
	va_start(ap, fmt);
	vsnprintf(s->failed, sizeof(s->failed), fmt, ap);
	va_end(ap);
}

static void
digest(struct sim *s, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = s->digest, w;

	for (; len >= sizeof(w); len -= sizeof(w), p += sizeof(w)) {
		memcpy(&w, p, sizeof(w));
		h = (h ^ w) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	for (; len > 0; len--)
		h = (h ^ *p++) * 0x100000001b3u;
	s->digest = h;
}

static void
digest_event(struct sim *s, char what, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t word[5] = { (uint64_t)what, s->now, a, b, c };

	digest(s, word, sizeof(word));
}

/* TRACE=1: what happens, one line each. */
static bool tracing;
#define TRACE(s, ...)                                                          \
	do {                                                                   \
		if (tracing) {                                                 \
			printf("%llu ", (unsigned long long)(s)->now);         \
			printf(__VA_ARGS__);                                   \
			putchar('\n');                                         \
		}                                                              \
	} while (0)

/* Of the boxes behind the front ends: connectors; the rest tells customers. */
static bool
is_link(int i)
{
	return i >= FRONTS && i < HOOK;
}

static bool
is_server(int i)
{
	return i >= SERVER;
}

static uint64_t
rnd(struct sim *s, uint64_t below)
{
	s->rng ^= s->rng << 13;
	s->rng ^= s->rng >> 7;
	s->rng ^= s->rng << 17;
	return below == 0 ? 0 : (s->rng >> 11) % below;
}

static bool
chance(struct sim *s, unsigned in_thousand)
{
	return rnd(s, 1000) < in_thousand;
}

/* ------------------------------------------------------------------ wires */

static struct packet *
packet_new(enum packet_kind kind)
{
	struct packet *p = xcalloc(1, sizeof(*p));

	p->kind = kind;
	return p;
}

static void
packet_free(struct packet *p)
{
	free(p->data);
	free(p);
}

static void
packets_clear(struct packet_list *l)
{
	struct packet *p;

	while ((p = TAILQ_FIRST(l)) != NULL) {
		TAILQ_REMOVE(l, p, link);
		packet_free(p);
	}
}

static void
packet_set(struct packet *p, const void *data, size_t len)
{
	p->data = xmemdup(data, len == 0 ? 1 : len);
	p->len = len;
}

/* An item as one Items payload. */
static void
packet_item(struct packet *p, const struct item *it)
{
	uint8_t head[ITEMS_HEAD];
	size_t n = items_put_head(head, 1, 0, false, 0, 0);

	p->len = n + item_size(it);
	p->data = xmalloc(p->len);
	memcpy(p->data, head, n);
	item_put(p->data + n, it);
}

static void
send_to(struct sim *s, struct wire *w, bool to_bus, struct packet *p)
{
	uint64_t *last = to_bus ? &w->at_bus : &w->at_box;

	if (!w->up) {
		packet_free(p);
		return;
	}
	p->at = s->now + rnd(s, 4);
	if (p->at < *last)
		p->at = *last;
	*last = p->at;
	if (to_bus)
		TAILQ_INSERT_TAIL(&w->to_bus, p, link);
	else
		TAILQ_INSERT_TAIL(&w->from_bus, p, link);
}

static struct packet *
arrived(struct sim *s, struct packet_list *l)
{
	struct packet *p = TAILQ_FIRST(l);

	if (p == NULL || p->at > s->now)
		return NULL;
	TAILQ_REMOVE(l, p, link);
	return p;
}

static void
wire_open(struct sim *s, struct wire *w)
{
	w->up = true;
	w->peer = ++s->last_peer;
	w->at_bus = w->at_box = s->now;
}

static void
wire_drop(struct wire *w)
{
	w->up = false;
	w->peer = 0;
	packets_clear(&w->to_bus);
	packets_clear(&w->from_bus);
}

/* --------------------------------------------------------------- messages */

static struct message *
message_new(struct sim *s)
{
	struct message *m = xcalloc(1, sizeof(*m));

	if (s->count == s->cap) {
		s->cap = s->cap == 0 ? 256 : s->cap * 2;
		s->message =
		    xrealloc(s->message, s->cap * sizeof(struct message *));
	}
	s->message[s->count++] = m;
	m->serial = s->count;
	model_id(m->id, WALL(s), m->serial);
	map_put(&s->by_id, m->id, 16, m);
	return m;
}

static struct message *
message_of(struct sim *s, const uint8_t id[16])
{
	return map_get(&s->by_id, id, 16);
}

static const char *
hex(const uint8_t id[16])
{
	static char text[20];

	snprintf(text, sizeof(text), "%02x%02x%02x%02x", id[12], id[13], id[14],
	    id[15]);
	return text;
}

/* ---------------------------------------------------- effects of the engine */

static struct box *
box_of_peer(struct sim *s, uint32_t peer)
{
	for (int i = 0; i < BOXES; i++)
		if (s->box[i].wire.up && s->box[i].wire.peer == peer)
			return &s->box[i];
	return NULL;
}

static int
box_index(const char *name)
{
	for (int i = 0; i < BOXES; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

/* What a box may forget must be in the record. */
static void
check_settled(struct sim *s, const struct owed *o)
{
	const struct db_row *r;

	switch (o->kind) {
	case P_SUBMIT:
		if (db_find(&s->db, o->id) == NULL)
			fail_run(s, "acknowledged before it was durable: %s",
			    hex(o->id));
		return;
	case P_INBOUND:
		if (o->message != NULL && db_find(&s->db, o->id) == NULL)
			fail_run(s, "MO acknowledged before it was durable");
		if (o->message == NULL && !db_receipt(&s->db, o->id))
			fail_run(s,
			    "receipt acknowledged before it was "
			    "durable");
		return;
	default:
		break;
	}
	r = db_row(&s->db, o->result.ref);
	if (r == NULL)
		fail_run(s, "result of an item that is not durable");
	else if (o->overtaken)
		return;
	else if ((o->result.code == HOPYARD__V1__RESULT__CODE__OK ||
		     o->result.code == HOPYARD__V1__RESULT__CODE__FAIL) &&
	    !r->ended && r->message == 0 && !r->dup)
		fail_run(s, "result %d of %s forgotten before it was durable",
		    (int)o->result.code, hex(o->id));
}

static void
on_settle(void *arg, uint32_t peer, uint64_t number,
    Hopyard__V1__Ack__Code code, const char *text)
{
	struct sim *s = arg;
	struct packet *p;
	struct message *m;
	struct box *b;
	struct owed *o;

	(void)text;
	digest_event(s, 's', peer, number, (uint64_t)code);
	if (peer == ENGINE_PEER_CALL) {
		bool withdrawal = map_get_u64(&s->withdrawals, number) != NULL;

		m = map_del_u64(
		    withdrawal ? &s->withdrawals : &s->cancels, number);
		if (m == NULL) {
			fail_run(s, "a cancel was answered twice");
			return;
		}
		if (code == HOPYARD__V1__ACK__CODE__ACK_OK) {
			const struct db_row *r = db_find(&s->db, m->id);

			m->canceled = true;
			m->withdrawn |= withdrawal;
			if (r == NULL ||
			    r->final != HOPYARD__V1__STATE__CANCELLED)
				fail_run(s, "canceled %s, but it is not",
				    hex(m->id));
		}
		return;
	}
	b = box_of_peer(s, peer);
	if (b == NULL)
		return; /* of a connection that is gone */
	TAILQ_FOREACH(o, &b->owed, link)
		if (o->number == number)
			break;
	if (o == NULL || o->refused) {
		fail_run(s, "item %llu settled twice, or never sent",
		    (unsigned long long)number);
		return;
	}
	o->refused = true;
	if (code == HOPYARD__V1__ACK__CODE__ACK_OK ||
	    code == HOPYARD__V1__ACK__CODE__LATER)
		check_settled(s, o);
	p = packet_new(P_ACK);
	p->a = number;
	p->b = (uint64_t)code;
	send_to(s, &b->wire, false, p);
}

/* May the bus think that what this server has is lost, without a word of it on
 * record?  Only when it was away for long. */
static bool
given_up(const struct sim *s, int i)
{
	const struct target *t = engine_target(s->e, names[i]);

	/* It may stand still before it has said what it has. */
	if (t->met)
		return t->state == TARGET_AWAY ||
		    (!s->box[i].told && s->e->now - t->since >= RECLAIM);
	return s->e->now - s->e->started >= RECLAIM;
}

static unsigned
account_index(const char *name)
{
	for (unsigned i = 0; i < ACCOUNTS; i++)
		if (strcmp(accounts[i], name) == 0)
			return i;
	abort();
}

static void
check_hands(
    struct sim *s, int index, const uint8_t id[16], uint64_t ref, bool dup)
{
	for (int i = FRONTS; i < BOXES; i++) {
		struct box *b = &s->box[i];
		struct held *h;

		if (!b->alive || is_link(i) != is_link(index) ||
		    is_server(i) != is_server(index))
			continue;
		TAILQ_FOREACH(h, &b->held, link) {
			if (is_link(i) ? memcmp(h->id, id, 16) != 0
				       : h->ref != ref)
				continue;
			if (i == index)
				fail_run(s, "%s was given %s twice", names[i],
				    hex(id));
			else if (is_server(i)) {
				if (!dup && !given_up(s, i))
					fail_run(s, "%s has %s, and now %s too",
					    names[i], hex(id), names[index]);
			} else if (b->told)
				fail_run(s, "%s has %s, and now %s too",
				    names[i], hex(id), names[index]);
			else if (!dup)
				fail_run(s,
				    "%s may have %s, and %s gets it "
				    "unflagged",
				    names[i], hex(id), names[index]);
		}
	}
}

/* Has it been where it is since it came? */
static bool
plain(void *arg, const struct msg *m)
{
	const struct message *msg;

	if (m->kind != HOPYARD__V1__KIND__MT || m->paged || m->from_due ||
	    m->send_at != 0 || m->due != 0 || m->moved != 0 ||
	    m->attempts != 0 || m->attempt_seq != 0)
		return false;
	msg = message_of(arg, m->id);
	return msg != NULL && !msg->moved;
}

static void
check_turn(struct sim *s, struct target *t, uint64_t ref)
{
	const struct msg *m = map_get_u64(&s->e->by_seq, ref);
	const char *broken;

	if (m == NULL) {
		fail_run(s, "handed out, and not in memory");
		return;
	}
	/* Its turn came earlier. */
	if (m->attempt_seq != 0)
		return;
	broken = witness_dispatch(&s->witness, s->e, t, m, plain, s);
	if (broken != NULL)
		fail_run(s, "%s at %s: %s", hex(m->id), t->name, broken);
}

/* What the carrier has must not go again. */
static void
check_parts_done(
    struct sim *s, const Hopyard__V1__Dispatch *d, const struct db_row *r)
{
	for (size_t i = 0; i < r->parts; i++) {
		bool said = false;

		for (size_t k = 0; k < d->n_part_done; k++)
			said |= d->part_done[k] == r->part[i];
		if (!said)
			fail_run(s, "%s goes with part %u again", hex(r->id),
			    r->part[i]);
	}
}

/* What a filter holds is not even for an SMSC to keep. */
static void
check_hold(struct sim *s, const struct db_row *r, const struct message *m)
{
	Hopyard__V1__Envelope *env =
	    hopyard__v1__envelope__unpack(NULL, r->envelope_len, r->envelope);

	if (env->hold && WALL(s) < r->at + env->delay_ms &&
	    m->came_at >= s->set_at)
		fail_run(s, "%s sent before its hold was over", hex(r->id));
	hopyard__v1__envelope__free_unpacked(env, NULL);
}

static void
on_deliver(void *arg, struct target *t, const struct item *it)
{
	struct sim *s = arg;
	uint8_t memory[2048];
	struct arena arena;
	const Hopyard__V1__Dispatch *d;
	const struct db_row *r;
	int index = box_index(t->name);
	struct message *m;
	struct packet *p;
	bool esme;

	digest(s, it->context.p, it->context.len);
	digest(s, it->envelope.p, it->envelope.len);
	digest(s, it->body.p, it->body.len);
	digest_event(s, 'd', t->index, t->sent_items, t->sent_bytes);
	arena_init(&arena, memory, sizeof(memory));
	d = frame_unpack(&arena, &hopyard__v1__dispatch__descriptor,
	    it->context.p, it->context.len);
	r = d == NULL ? NULL : db_row(&s->db, d->ref);
	if (r == NULL || r->kind == 0) {
		fail_run(s, "handed out before it was durable: %llu",
		    d == NULL ? 0 : (unsigned long long)d->ref);
		return;
	}
	if (r->ended)
		fail_run(s, "%s (ref %llu) handed out after its end",
		    hex(r->id), (unsigned long long)r->seq);
	if (d->attempt > 1 && r->attempt_recorded < d->attempt)
		fail_run(s, "attempt %u of %s is not on disk", d->attempt,
		    hex(r->id));
	m = message_of(s, r->id); /* NULL: of parts that were joined */
	esme = m != NULL && m->esme;
	check_parts_done(s, d, r);
	if (m != NULL && is_link(index) && !s->faults.clock &&
	    r->waits_since != 0 && m->back_at < r->waits_since &&
	    r->era == s->db.era && WALL(s) < r->waits_at + r->wait_ms &&
	    d->attempt == r->attempts)
		fail_run(s, "%s does not wait before attempt %u", hex(r->id),
		    d->attempt);
	if (r->kind == HOPYARD__V1__KIND__MT) {
		check_hold(s, r, m);
		/* Only the SMSC behind l2 waits. */
		if (WALL(s) < r->at + m->delay_ms && m->came_at >= s->set_at &&
		    strcmp(t->name, "l2") != 0)
			fail_run(s, "%s sent before its time", hex(r->id));
		if (r->expires_at != 0 && WALL(s) >= r->expires_at &&
		    m->came_at >= s->set_at)
			fail_run(s, "%s sent after its time", hex(r->id));
	}
	if ((r->kind == HOPYARD__V1__KIND__MT) != is_link(index) ||
	    (r->kind != HOPYARD__V1__KIND__MT && esme != is_server(index)))
		fail_run(s, "%s got an item that is not its kind", t->name);
	check_hands(s, index, r->id, r->seq, d->possible_dup);
	if (t->sent_items > t->granted_items)
		fail_run(s, "%s got more than it granted", t->name);
	check_turn(s, t, d->ref);
	TRACE(s, "deliver %s %s ref %llu attempt %u dup %d", t->name,
	    hex(r->id), (unsigned long long)r->seq, d->attempt,
	    (int)d->possible_dup);
	p = packet_new(P_DELIVER);
	p->a = d->ref;
	p->attempt = d->attempt;
	p->flag = d->possible_dup;
	if (is_server(index) && m != NULL)
		p->b = account_index(m->mo ? "b" : m->account);
	s->box[index].given++;
	s->box[index].seat[p->b].given++;
	memcpy(p->id, r->id, 16);
	send_to(s, &s->box[index].wire, false, p);
}

static void
on_recall(void *arg, struct target *t, uint64_t ref)
{
	struct sim *s = arg;
	struct packet *p = packet_new(P_RECALL);

	digest_event(s, 'r', t->index, ref, 0);
	p->a = ref;
	send_to(s, &s->box[box_index(t->name)].wire, false, p);
}

static void
on_page(void *arg, uint64_t correlation, const Hopyard__V1__Page *page)
{
	struct sim *s = arg;
	struct packet *p = packet_new(P_PAGE);

	digest_event(s, 'p', correlation, page->after, page->limit);
	digest_event(
	    s, 'q', page->verify, page->after_due_at, page->until_due_at);
	if (!s->store.up || !s->opened)
		fail_run(s, "page asked of a store that is away");
	p->a = correlation;
	p->page = *page;
	if (page->has_id) {
		memcpy(p->id, page->id.data, 16);
		p->page.id.data = p->id;
	}
	send_to(s, &s->store, false, p);
}

static void
on_answer(void *arg, uint64_t token, unsigned code, const char *text)
{
	struct sim *s = arg;

	(void)text;
	digest_event(s, 'a', token, code, 0);
	/* Withdrawn before, and asked again, is as good. */
	if (map_del_u64(&s->withdrawals, token) != NULL)
		return;
	if (map_del_u64(&s->cancels, token) == NULL)
		fail_run(s, "a cancel was answered twice");
	if (code == 0)
		fail_run(s, "a cancel was granted without a record");
}

static void
on_note(void *arg, const struct engine_note *n)
{
	(void)arg;
	(void)n;
}

static void
on_ask(void *arg, uint32_t peer, const struct item *it)
{
	struct sim *s = arg;
	struct sim_filter *f = &s->filter;
	Hopyard__V1__Ask *ask =
	    hopyard__v1__ask__unpack(NULL, it->context.len, it->context.p);
	Hopyard__V1__Envelope *env = hopyard__v1__envelope__unpack(
	    NULL, it->envelope.len, it->envelope.p);
	struct message *m = message_of(s, env->id.data);
	struct asked *a = xcalloc(1, sizeof(*a));

	digest(s, it->context.p, it->context.len);
	digest(s, it->envelope.p, it->envelope.len);
	if (f->peer == 0 || peer != f->peer)
		fail_run(s, "a filter is asked that is not there");
	if (f->got++ >= f->granted)
		fail_run(s, "a filter is asked more than it granted");
	a->ref = ask->ref;
	a->serial = m != NULL ? m->serial : 0;
	a->mo = env->kind == HOPYARD__V1__KIND__MO;
	a->at = s->now + rnd(s, chance(s, 950) ? 30 : 200);
	TAILQ_INSERT_TAIL(&f->asked, a, link);
	hopyard__v1__ask__free_unpacked(ask, NULL);
	hopyard__v1__envelope__free_unpacked(env, NULL);
}

static const struct engine_ops sim_ops = {
	.settle = on_settle,
	.deliver = on_deliver,
	.recall = on_recall,
	.page = on_page,
	.answer = on_answer,
	.note = on_note,
	.ask = on_ask,
};

/* ------------------------------------------------------ does it all add up */

static void
check_customers(struct sim *s)
{
	const struct customer *c;
	const struct seat *seat;

	TAILQ_FOREACH(c, &s->e->customer_list, link) {
		bool here = false, open = false;

		TAILQ_FOREACH(seat, &c->seats, link) {
			here |= seat->receivers > 0;
			open |=
			    seat->receivers > 0 && seat->sent < seat->granted;
			if (seat->box->state == TARGET_LOST ||
			    seat->box->state == TARGET_AWAY)
				fail_run(s, "a seat at %s, which is away",
				    seat->box->name);
		}
		if (here != c->here || open != c->open)
			fail_run(
			    s, "%s is thought to be elsewhere", c->account);
		for (int i = 0; i < CLASS_COUNT; i++) {
			const struct queue *q = c->queue[i];

			if (q == NULL)
				continue;
			if (q->parked == open || q->away == here)
				fail_run(s, "a queue of %s is in no place",
				    c->account);
			if (here && queue_deep(q) &&
			    !TAILQ_LINKED(q, deep_link))
				fail_run(s, "nobody will page in for %s",
				    c->account);
		}
	}
}

/* What was granted and is not used is what there was, less what went out and
 * what is kept for an ATTEMPT record. */
static void
check_credit(struct sim *s, const size_t kept[BOXES],
    const size_t seat_kept[BOXES][ACCOUNTS])
{
	const struct seat *seat;

	for (int i = FRONTS; i < BOXES; i++) {
		const struct target *t = engine_target(s->e, names[i]);
		const struct box *b = &s->box[i];
		unsigned long long used = b->given + kept[i];

		if (t->state != TARGET_GREETED && t->state != TARGET_READY)
			continue;
		if (t->sent_items != used)
			fail_run(s, "%s: credit for %llu used, %llu given",
			    names[i], (unsigned long long)t->sent_items, used);
		TAILQ_FOREACH(seat, &t->seats, box_link) {
			unsigned k = account_index(seat->customer->account);

			used = b->seat[k].given + seat_kept[i][k];
			if (seat->sent != used)
				fail_run(s, "%s: seat of %s: %llu, not %llu",
				    names[i], accounts[k],
				    (unsigned long long)seat->sent, used);
		}
	}
}

/* Nothing is kept longer than the timers allow. */
static void
check_times(struct sim *s, const struct msg *m)
{
	const struct engine *e = s->e;

	/* A part of all is looked at in each of eight ticks. */
	if (!s->calm && s->now > s->leapt_at + SWEEP && e->store &&
	    e->now - e->started > SWEEP && m->expires != 0 &&
	    e->now >= m->expires + SWEEP &&
	    (m->state == MSG_READY || m->state == MSG_WAITING))
		fail_run(s, "%s has expired, and waits", hex(m->id));
	if (m->state == MSG_WAITING && m->due + 1000 < e->now && !s->calm &&
	    s->now > s->leapt_at + 1000)
		fail_run(s, "%s waits, and it is late", hex(m->id));
}

/* Nobody is forgotten between two rules, and all that waits is counted. */
static void
check_filters(struct sim *s)
{
	const struct filters *fs = s->e->filters;
	size_t in_hand = 0;

	for (size_t i = 0; i < fs->count; i++)
		in_hand += fs->filter[i]->in_hand;
	if (in_hand != fs->by_id.count || in_hand != fs->by_ref.count ||
	    (in_hand == 0) != (fs->bytes == 0))
		fail_run(s, "%zu wait for filters, %zu and %zu are known",
		    in_hand, fs->by_id.count, fs->by_ref.count);
}

static void
check_engine(struct sim *s)
{
	struct engine *e = s->e;
	size_t bytes = 0, waiting = 0, inflight[16] = { 0 };
	size_t ready[16] = { 0 };
	size_t kept[BOXES] = { 0 }, seat_kept[BOXES][ACCOUNTS] = { 0 };
	size_t home = 0, due = 0, pos = 0;
	struct queue *q;
	struct msg *m;

	while ((m = map_next(&e->by_seq, &pos)) != NULL) {
		bytes += msg_size(m);
		waiting += m->state == MSG_WAITING;
		if (m->state == MSG_INFLIGHT || m->state == MSG_ATTEMPTING)
			inflight[m->box->index]++;
		if (m->state == MSG_READY)
			ready[m->queue->target->index]++;
		due += m->from_due;
		if (!m->from_due && m->home == NULL)
			fail_run(s, "an item has no home");
		if (m->state == MSG_PENDING && m->seq <= e->ledger.horizon)
			fail_run(s, "durable, and still pending");
		if (m->state == MSG_ATTEMPTING &&
		    m->attempt_peer == m->box->peer) {
			int i = box_index(m->box->name);

			kept[i]++;
			if (m->queue->customer != NULL)
				seat_kept[i]
					 [account_index(m->queue->account)]++;
		}
		check_times(s, m);
	}
	if (bytes != e->bytes || waiting != e->heap_count ||
	    due != e->due_count)
		fail_run(s, "bytes %zu of %zu, waiting %zu of %zu, due %zu/%zu",
		    e->bytes, bytes, e->heap_count, waiting, e->due_count, due);
	for (size_t i = 0; i < e->target_count; i++)
		if (e->target[i]->inflight_count != inflight[i] ||
		    e->target[i]->ready_count != ready[i])
			fail_run(s, "%s: in flight %u of %zu, ready %zu/%zu",
			    e->target[i]->name, e->target[i]->inflight_count,
			    inflight[i], (size_t)e->target[i]->ready_count,
			    ready[i]);
	check_credit(s, kept, seat_kept);
	check_customers(s);
	check_filters(s);
	TAILQ_FOREACH(q, &e->queues, all_link) {
		home += q->home_count;
		if (q->asked_at == 0 && q->gone.count != 0)
			fail_run(s, "remembers what no page can bring");
	}
	if (home + due != e->by_seq.count)
		fail_run(s, "%zu items, %zu at home", e->by_seq.count, home);
	if (e->by_seq.count > s->most)
		s->most = e->by_seq.count;
	/* Few pages of 16 each may come on top. */
	if (e->by_seq.count > e->limits.ready_items + 40 * 16)
		fail_run(s, "%zu items in memory", e->by_seq.count);
	if (s->db.fault[0] != '\0')
		fail_run(s, "%s", s->db.fault);
}

/* ------------------------------------------------------------- the record */

static void
send_records(struct sim *s)
{
	uint8_t head[ITEMS_HEAD];
	struct packet *p;
	struct chunk *c;
	size_t n;

	if (!s->store.up || !s->opened)
		return;
	while ((c = ledger_unsent(&s->e->ledger)) != NULL) {
		n = items_put_head(head, c->first, s->epoch, false, 0, 0);
		p = packet_new(P_RECORD);
		p->len = n + c->len;
		p->data = xmalloc(p->len);
		memcpy(p->data, head, n);
		memcpy(p->data + n, c->data, c->len);
		digest(s, p->data, p->len);
		p->a = c->first;
		p->b = c->first + c->count - 1;
		c->sent = true;
		send_to(s, &s->store, false, p);
	}
}

static void
emit(struct sim *s, enum packet_kind kind, uint64_t correlation,
    const uint8_t *payload, size_t len)
{
	struct packet *p = packet_new(kind);

	p->a = correlation;
	packet_set(p, payload, len);
	send_to(s, &s->store, true, p);
}

struct emit_arg {
	struct sim *s;
	uint64_t correlation;
	uint64_t at;
};

/* Read on a session of its own: what it says may be older than a horizon that
 * is told meanwhile. */
static void
emit_slowly(struct sim *s, enum packet_kind kind, uint64_t correlation,
    const uint8_t *payload, size_t len, uint64_t at)
{
	struct packet *p = packet_new(kind);

	p->a = correlation;
	p->at = at;
	packet_set(p, payload, len);
	TAILQ_INSERT_TAIL(&s->slow, p, link);
}

static void
slow_run(struct sim *s)
{
	struct packet *p, *next;

	TAILQ_FOREACH_SAFE(p, &s->slow, link, next) {
		if (p->at > s->now)
			continue;
		TAILQ_REMOVE(&s->slow, p, link);
		send_to(s, &s->store, true, p);
	}
}

static uint64_t
read_until(struct sim *s)
{
	return s->now + rnd(s, chance(s, 900) ? 8 : 1500);
}

static void
emit_paged(void *arg, const uint8_t *payload, size_t len)
{
	struct emit_arg *a = arg;

	emit_slowly(a->s, P_PAGED, a->correlation, payload, len, a->at);
}

static void
emit_notice(void *arg, const uint8_t *payload, size_t len)
{
	emit(arg, P_NOTICE, 0, payload, len);
}

static void
emit_overdue(void *arg, const uint8_t *payload, size_t len)
{
	struct sim *s = arg;

	emit_slowly(s, P_OVERDUE, 0, payload, len, read_until(s));
}

static void
emit_opened(void *arg, const Hopyard__V1__Opened *o)
{
	struct sim *s = arg;
	size_t len = hopyard__v1__opened__get_packed_size(o);
	uint8_t *b = xmalloc(len + 1);

	hopyard__v1__opened__pack(o, b);
	emit(s, P_OPENED, 0, b, len);
	free(b);
}

/* Notices first: a bus that has seen the horizon has them. */
static void
store_tell(struct sim *s, struct db_news *news, uint64_t seq)
{
	Hopyard__V1__Horizon h = HOPYARD__V1__HORIZON__INIT;
	uint8_t *b;
	size_t len;

	if (s->store.up && s->store_open) {
		db_notices(&s->db, &news->notice, emit_notice, s);
		h.seq = seq;
		h.duplicate = news->duplicate.v;
		h.n_duplicate = news->duplicate.count;
		/* In any order. */
		for (size_t i = 1; i < h.n_duplicate; i++) {
			size_t k = rnd(s, i + 1);
			uint64_t v = h.duplicate[i];

			h.duplicate[i] = h.duplicate[k];
			h.duplicate[k] = v;
		}
		len = hopyard__v1__horizon__get_packed_size(&h);
		b = xmalloc(len + 1);
		hopyard__v1__horizon__pack(&h, b);
		emit(s, P_HORIZON, 0, b, len);
		free(b);
	}
	db_news_fini(news);
}

/* The transaction: all records up to `flying`. */
static void
store_commit(struct sim *s, bool tell)
{
	struct db_news news = { 0 };
	struct packet *p, *next;
	struct items its;
	struct item it;

	s->db.now = s->now;
	TAILQ_FOREACH_SAFE(p, &s->pending, link, next) {
		bool ok = items_open(&its, p->data, p->len);

		assert_true(ok);
		if (its.first > s->flying)
			break;
		while (items_next(&its, &it)) {
			if (its.number > s->flying)
				break;
			if (its.number > s->db.durable)
				db_commit(&s->db, its.number, &it, &news);
		}
		if (its.first + its.count - 1 <= s->flying) {
			TAILQ_REMOVE(&s->pending, p, link);
			packet_free(p);
		}
	}
	TRACE(s, "committed up to %llu", (unsigned long long)s->db.durable);
	s->flying = 0;
	if (tell)
		store_tell(s, &news, s->db.durable);
	else
		db_news_fini(&news);
	if (s->db.fault[0] != '\0')
		fail_run(s, "%s", s->db.fault);
}

static void
store_records(struct sim *s, struct packet *p)
{
	struct db_news news = { 0 };
	struct items its;
	struct item it;
	uint64_t last = 0;
	bool again = false;

	if (!items_open(&its, p->data, p->len)) {
		fail_run(s, "RECORD frame does not parse");
		packet_free(p);
		return;
	}
	if (its.epoch != s->epoch)
		fail_run(s, "RECORD of another epoch");
	if (its.first > s->accepted + 1)
		fail_run(s, "hole before record %llu",
		    (unsigned long long)its.first);
	while (items_next(&its, &it)) {
		if (its.number <= s->db.durable) {
			again = true;
			last = its.number;
			db_again(&s->db, its.number, &it, &news);
		}
	}
	if (p->b > s->accepted)
		s->accepted = p->b;
	if (p->b > s->db.durable)
		TAILQ_INSERT_TAIL(&s->pending, p, link);
	else
		packet_free(p);
	/* Of what lies behind it is not known whether it was a duplicate. */
	if (again)
		store_tell(s, &news, last);
	else
		db_news_fini(&news);
}

static void
store_page(struct sim *s, struct packet *p)
{
	struct emit_arg a = { s, p->a, read_until(s) };

	/* Nobody will ever hear of it: its session broke, or a frame was too
	 * much for somebody. */
	if (s->faults.page && !s->calm && !p->page.has_id && chance(s, 50))
		return;
	p->page.id.data = p->id;
	db_page(&s->db, &p->page, emit_paged, &a);
}

/* Each is committed at once, but now and then one is lost. */
static void
store_renew(struct sim *s, uint64_t number)
{
	struct packet *p;

	if (!s->calm && chance(s, 100))
		return;
	s->beat_at = s->now;
	p = packet_new(P_RENEWED);
	p->a = number;
	send_to(s, &s->store, true, p);
}

static void
store_run(struct sim *s)
{
	struct packet *p;

	slow_run(s);
	while (s->failed[0] == '\0' && s->flying == 0 &&
	    (p = arrived(s, &s->store.from_bus)) != NULL) {
		switch (p->kind) {
		case P_OPEN:
			s->store_open = true;
			s->beat_at = s->now;
			s->accepted = s->db.durable;
			db_opened(&s->db, s->epoch, emit_opened, s);
			break;
		case P_RECORD:
			store_records(s, p);
			continue;
		case P_PAGE:
			store_page(s, p);
			break;
		case P_RENEW:
			store_renew(s, p->a);
			break;
		default:
			fail_run(s, "not for a store");
			break;
		}
		packet_free(p);
	}
	/* Pages are read beside a commit. */
	if (s->flying != 0) {
		struct packet *next;

		TAILQ_FOREACH_SAFE(p, &s->store.from_bus, link, next) {
			if (p->at > s->now || p->kind != P_PAGE)
				break;
			TAILQ_REMOVE(&s->store.from_bus, p, link);
			store_page(s, p);
			packet_free(p);
		}
	}
	if (s->flying != 0 && s->now >= s->commit_at)
		store_commit(s, true);
	if (s->flying == 0 && !TAILQ_EMPTY(&s->pending)) {
		s->flying = s->accepted;
		s->commit_at =
		    s->now + 1 + rnd(s, s->calm || chance(s, 980) ? 12 : 400);
	}
	if (s->store.up && s->store_open && s->now >= s->overdue_at) {
		s->overdue_at = s->now + 500 + rnd(s, 1000);
		db_overdue(&s->db, WALL(s), emit_overdue, s);
	}
}

static void
store_lost_bus(struct sim *s)
{
	struct packet *p, *next;

	/* What was only gathered is dropped; what is on its way goes on. */
	TAILQ_FOREACH_SAFE(p, &s->pending, link, next) {
		if (s->flying != 0 && p->a <= s->flying)
			continue;
		TAILQ_REMOVE(&s->pending, p, link);
		packet_free(p);
	}
	s->accepted = s->flying != 0 ? s->flying : s->db.durable;
	s->store_open = false;
}

static void
store_cut(struct sim *s)
{
	if (!s->store.up)
		return;
	TRACE(s, "store cut");
	wire_drop(&s->store);
	packets_clear(&s->slow);
	s->opened = false;
	store_lost_bus(s);
	if (s->e != NULL)
		engine_store_gone(s->e);
}

static void
store_kill(struct sim *s)
{
	if (!s->store_alive)
		return;
	store_cut(s);
	/* The commit that was on its way may have come through. */
	if (s->flying != 0 && chance(s, 500))
		store_commit(s, false);
	packets_clear(&s->pending);
	s->flying = 0;
	s->accepted = s->db.durable;
	s->store_alive = false;
	s->store_back = s->now + rnd(s, chance(s, 900) ? 500 : 90000);
}

static void
store_connect(struct sim *s)
{
	wire_open(s, &s->store);
	s->db.era++;
	s->opened = false;
	send_to(s, &s->store, false, packet_new(P_OPEN));
}

/* ------------------------------------------------------------------- boxes */

static void
box_lost(struct sim *s, int i, bool told)
{
	struct box *b = &s->box[i];
	struct engine *e = s->e;
	struct owed *o, *next;
	struct target *t;

	if (!b->wire.up)
		return;
	TRACE(s, "%s cut", names[i]);
	wire_drop(&b->wire);
	b->ready = b->told = b->greeting = false;
	TAILQ_FOREACH_SAFE(o, &b->owed, link, next) {
		o->number = 0;
		o->refused = false;
	}
	b->back_at = s->now + rnd(s, RECLAIM / 2);
	if (e != NULL && told && i >= FRONTS) {
		t = engine_target(e, names[i]);
		if (t->state != TARGET_AWAY && t->state != TARGET_LOST)
			engine_gone(e, t);
	}
}

static void
owed_clear(struct owed_list *l)
{
	struct owed *o;

	while ((o = TAILQ_FIRST(l)) != NULL) {
		TAILQ_REMOVE(l, o, link);
		free(o);
	}
}

static void
held_free(struct box *b, struct held *h)
{
	TAILQ_REMOVE(&b->held, h, link);
	b->held_count--;
	b->seat[h->account].held--;
	free(h);
}

/* The carrier has it. */
static void
taken(struct sim *s, struct box *b, const struct held *h)
{
	struct message *m = message_of(s, h->id);
	struct owed *o;

	/* Either of two that have it may be the later one. */
	m->flagged |= h->dup;
	if (m->taken > 0 && !m->flagged)
		fail_run(s, "%s sent twice, unflagged", hex(h->id));
	m->taken++;
	if ((m->mask & 3) != 0 && !chance(s, 50)) {
		o = xcalloc(1, sizeof(*o));
		o->kind = P_INBOUND;
		o->smsc_id = h->ref;
		o->state = chance(s, 800) ? HOPYARD__V1__STATE__DELIVERED
					  : HOPYARD__V1__STATE__UNDELIVERABLE;
		model_id(o->id, WALL(s), 1u << 30 | rnd(s, 1u << 29));
		TAILQ_INSERT_TAIL(&b->carrier, o, link);
	}
}

static void
box_kill(struct sim *s, int i)
{
	struct box *b = &s->box[i];
	struct held *h;
	struct owed *o;

	if (!b->alive)
		return;
	TRACE(s, "%s killed", names[i]);
	box_lost(s, i, true);
	/* What was in its hands may be with the carrier. */
	while ((h = TAILQ_FIRST(&b->held)) != NULL) {
		if (is_link(i)) {
			message_of(s, h->id)->unknowns++;
			if (!h->early && chance(s, 500))
				taken(s, b, h);
		}
		held_free(b, h);
	}
	TAILQ_FOREACH(o, &b->owed, link)
		if (o->kind == P_RESULT && is_link(i))
			message_of(s, o->id)->unknowns++;
	/* Front ends have not answered for it; a carrier repeats a receipt
	 * that got no answer. */
	while (
	    !is_server(i) && i != HOOK && (o = TAILQ_FIRST(&b->owed)) != NULL) {
		TAILQ_REMOVE(&b->owed, o, link);
		if (o->kind == P_INBOUND && o->message == NULL)
			TAILQ_INSERT_TAIL(&b->carrier, o, link);
		else
			free(o);
	}
	owed_clear(&b->owed);
	b->alive = false;
	b->epoch = 0;
	memset(b->seat, 0, sizeof(b->seat));
	b->link_up = false;
	b->back_at = s->now + rnd(s, chance(s, 700) ? 300 : 8000);
}

static struct item
mo_part(struct sim *s, const struct box *b, const struct message *m)
{
	char from[24];

	snprintf(from, sizeof(from), "49%llu", (unsigned long long)m->group);
	return model_mo_part(&s->buf,
	    &(struct model_part){ .id = m->id,
		.to = m->group % 2 == 0 ? "777" : "888",
		.from = from,
		.link = names[b - s->box],
		.total = m->total,
		.number = m->number,
		.text = m->serial });
}

static void
box_send_owed(struct sim *s, struct box *b, struct owed *o)
{
	struct packet *p = packet_new(o->kind);
	struct item it;

	o->number = ++b->last_number;
	switch (o->kind) {
	case P_SUBMIT:
		it = model_mt(&s->buf,
		    &(struct model_mt){ .id = o->message->id,
			.account = o->message->account,
			.to = o->message->to,
			.mask = o->message->mask,
			.delay_ms = o->message->delay_ms,
			.validity_ms = o->message->validity_ms,
			.replaces = o->message->replaces != NULL
			    ? o->message->replaces->id
			    : NULL,
			.esme = o->message->esme,
			.parts = PARTS(o->message) });
		break;
	case P_INBOUND:
		it = o->message != NULL && o->message->total > 0
		    ? mo_part(s, b, o->message)
		    : o->message != NULL
		    ? model_mo(&s->buf, o->id, o->message->esme ? "778" : "777",
			  "4915199")
		    : model_receipt(&s->buf, o->id, &o->smsc_id,
			  sizeof(o->smsc_id), o->state);
		break;
	default:
		o->result.id = o->id;
		if (o->smsc_id != 0) {
			o->result.smsc_id = &o->smsc_id;
			o->result.smsc_id_len = sizeof(o->smsc_id);
		}
		it = model_result(&s->buf, &o->result);
		break;
	}
	p->a = o->number;
	memcpy(p->id, o->id, sizeof(p->id));
	packet_item(p, &it);
	send_to(s, &b->wire, true, p);
}

static void
box_grant(struct sim *s, struct box *b)
{
	struct packet *p;
	uint64_t window = 8;

	if (!b->ready || b->granted - b->got + b->held_count >= window)
		return;
	b->granted += window - (b->granted - b->got + b->held_count);
	p = packet_new(P_CREDIT);
	p->a = b->granted;
	send_to(s, &b->wire, true, p);
}

/* What a server has of one account, or of all that are bound. */
static void
box_attach(struct sim *s, struct box *b, int only)
{
	Hopyard__V1__Attach a = HOPYARD__V1__ATTACH__INIT;
	Hopyard__V1__Attach__Seat seat[ACCOUNTS], *list[ACCOUNTS];
	struct packet *p;

	if (!b->ready)
		return;
	a.seat = list;
	for (int k = 0; k < ACCOUNTS; k++) {
		Hopyard__V1__Attach__Seat *out = &seat[a.n_seat];
		uint64_t window = 3;

		if (only >= 0 ? k != only : b->seat[k].binds == 0)
			continue;
		if (b->seat[k].receivers > 0 &&
		    b->seat[k].granted < b->seat[k].got + window &&
		    b->seat[k].held < window)
			b->seat[k].granted =
			    b->seat[k].got + window - b->seat[k].held;
		hopyard__v1__attach__seat__init(out);
		out->account.data = (uint8_t *)(uintptr_t)accounts[k];
		out->account.len = 1;
		out->binds = b->seat[k].binds;
		out->receivers = b->seat[k].receivers;
		out->items = b->seat[k].granted;
		list[a.n_seat++] = out;
	}
	if (a.n_seat == 0)
		return;
	p = packet_new(P_ATTACH);
	p->len = hopyard__v1__attach__get_packed_size(&a);
	p->data = xmalloc(p->len);
	hopyard__v1__attach__pack(&a, p->data);
	send_to(s, &b->wire, true, p);
}

/* Customers come and go. */
static void
box_bind(struct sim *s, int i, int account, unsigned binds, unsigned receivers)
{
	struct box *b = &s->box[i];

	b->seat[account].binds = binds;
	b->seat[account].receivers = receivers;
	TRACE(s, "%s: %u binds of %s, %u receivers", names[i], binds,
	    accounts[account], receivers);
	box_attach(s, b, account);
}

static void
box_tell_link(struct sim *s, struct box *b)
{
	struct packet *p;

	if (!b->ready)
		return;
	p = packet_new(P_LINK_STATE);
	p->a = b->link_up;
	send_to(s, &b->wire, true, p);
}

static void
box_connect(struct sim *s, int i)
{
	struct box *b = &s->box[i];
	struct packet *p;

	wire_open(s, &b->wire);
	b->last_number = 0;
	b->granted = b->got = 0;
	for (int k = 0; k < ACCOUNTS; k++)
		b->seat[k].granted = b->seat[k].got = 0;
	p = packet_new(P_HELLO);
	p->flag = b->epoch != 0;
	send_to(s, &b->wire, true, p);
}

static void
box_welcome(struct sim *s, int i, uint64_t epoch)
{
	struct box *b = &s->box[i];
	struct packet *p;
	struct owed *o;
	struct held *h;
	uint64_t *refs;

	if (epoch != 0)
		b->epoch = epoch;
	b->ready = true;
	if (i < FRONTS)
		return;
	/* Results of before first, then what it has in hand, then credit. */
	TAILQ_FOREACH(o, &b->owed, link)
		box_send_owed(s, b, o);
	p = packet_new(P_IN_HAND);
	refs = xcalloc(b->held_count + 1, sizeof(*refs));
	TAILQ_FOREACH(h, &b->held, link)
		refs[p->len++] = h->ref;
	for (size_t k = 0; k < p->len; k++)
		TRACE(s, "%s has ref %llu", names[i],
		    (unsigned long long)refs[k]);
	p->data = (uint8_t *)refs;
	send_to(s, &b->wire, true, p);
	if (is_link(i))
		box_tell_link(s, b);
	box_attach(s, b, -1);
	if (b->link_up || !is_link(i))
		box_grant(s, b);
}

/* Nobody left to take it, or it is with the customer. */
static void
served(struct sim *s, struct box *b, const struct held *h, struct owed *o)
{
	if (b->seat[h->account].receivers == 0)
		o->result.code = HOPYARD__V1__RESULT__CODE__NOT_NOW;
	if (o->result.code != HOPYARD__V1__RESULT__CODE__OK)
		return;
	if (map_put_u64(&s->served, h->ref, b) != NULL && !h->dup &&
	    !s->faults.server && !s->faults.leap &&
	    !(s->faults.cut && s->faults.connector))
		fail_run(s, "a customer got ref %llu twice",
		    (unsigned long long)h->ref);
}

/* Its place and time in the queue are others from now on. */
static void
put_back(struct sim *s, const struct held *h, const struct owed *o)
{
	struct message *m = message_of(s, h->id);

	m->moved = true;
	if (o->result.code != HOPYARD__V1__RESULT__CODE__RETRY)
		m->back_at = s->now;
}

/* The carrier has some part of it, and not yet all. */
static void
take_part(struct sim *s, struct owed *o)
{
	struct message *m = message_of(s, o->id);
	uint32_t part;

	switch (o->result.code) {
	case HOPYARD__V1__RESULT__CODE__RETRY:
	case HOPYARD__V1__RESULT__CODE__NOT_NOW:
	case HOPYARD__V1__RESULT__CODE__THROTTLED:
	case HOPYARD__V1__RESULT__CODE__UNKNOWN_OUTCOME:
		break;
	default:
		return;
	}
	part = 1 + (uint32_t)rnd(s, PARTS(m));
	if (part == PARTS(m) || (m->parts_taken & 1u << part) != 0 ||
	    !chance(s, 300))
		return;
	m->parts_taken |= 1u << part;
	m->moved = true;
	o->result.part_ok = part;
}

static void
box_result(struct sim *s, int i, const struct held *h)
{
	struct box *b = &s->box[i];
	struct owed *o = xcalloc(1, sizeof(*o));
	uint64_t dice = s->calm ? 0 : rnd(s, 100);

	o->kind = P_RESULT;
	memcpy(o->id, h->id, 16);
	o->result.ref = h->ref;
	o->result.attempt = h->attempt;
	if (h->early || (!h->recalled && dice < 72))
		o->result.code = HOPYARD__V1__RESULT__CODE__OK;
	else if (h->recalled)
		o->result.code = HOPYARD__V1__RESULT__CODE__RECALLED;
	else if (dice < 80)
		o->result.code = HOPYARD__V1__RESULT__CODE__RETRY;
	else if (dice < 84)
		o->result.code = HOPYARD__V1__RESULT__CODE__REROUTE;
	else if (dice < 87)
		o->result.code = HOPYARD__V1__RESULT__CODE__FAIL;
	else if (dice < 92)
		o->result.code = HOPYARD__V1__RESULT__CODE__NOT_NOW;
	else if (dice < 96) {
		o->result.code = HOPYARD__V1__RESULT__CODE__THROTTLED;
		o->result.pause_ms = rnd(s, 300);
		o->result.pause_link = chance(s, 300);
	} else
		o->result.code = s->faults.unknown
		    ? HOPYARD__V1__RESULT__CODE__UNKNOWN_OUTCOME
		    : HOPYARD__V1__RESULT__CODE__RETRY;
	if (is_link(i) && o->result.code != HOPYARD__V1__RESULT__CODE__OK)
		put_back(s, h, o);
	if (!is_link(i) && o->result.code == HOPYARD__V1__RESULT__CODE__REROUTE)
		o->result.code = HOPYARD__V1__RESULT__CODE__RETRY;
	if (is_server(i))
		served(s, b, h, o);
	if (is_link(i)) {
		if (o->result.code == HOPYARD__V1__RESULT__CODE__OK) {
			o->smsc_id = h->ref;
			if (!h->early)
				taken(s, b, h);
		} else if (o->result.code ==
		    HOPYARD__V1__RESULT__CODE__UNKNOWN_OUTCOME) {
			message_of(s, h->id)->unknowns++;
			if (chance(s, 500))
				taken(s, b, h);
		}
	}
	if (is_link(i) && !h->early)
		take_part(s, o);
	TRACE(s, "%s result of %llu: %d", names[i], (unsigned long long)h->ref,
	    (int)o->result.code);
	TAILQ_INSERT_TAIL(&b->owed, o, link);
	if (b->ready)
		box_send_owed(s, b, o);
}

/* The old one is over before anybody hears of the new. */
static void
check_replaced(struct sim *s, const struct message *m)
{
	const struct db_row *old;

	if (m->replaces == NULL)
		return;
	old = db_find(&s->db, m->replaces->id);
	/* A killed bus may have sent it while it was being replaced. */
	if (old == NULL ||
	    (!s->faults.bus &&
		(old->final != HOPYARD__V1__STATE__CANCELLED ||
		    memcmp(old->other, m->id, 16) != 0)))
		fail_run(s, "%s was accepted, and replaces nobody", hex(m->id));
}

/* A refusal that may be a filter's. */
static bool
filtered(const struct sim *s, uint64_t code)
{
	return s->filter.there &&
	    (code == HOPYARD__V1__ACK__CODE__REFUSED ||
		code == HOPYARD__V1__ACK__CODE__UNAVAILABLE);
}

static void
box_ack(struct sim *s, int i, const struct packet *p)
{
	struct box *b = &s->box[i];
	struct owed *o;

	TAILQ_FOREACH(o, &b->owed, link)
		if (o->number == p->a)
			break;
	if (o == NULL)
		return;
	if (o->kind == P_SUBMIT) {
		bool ok = p->b == HOPYARD__V1__ACK__CODE__ACK_OK ||
		    p->b == HOPYARD__V1__ACK__CODE__LATER;

		if (ok)
			o->message->acked = true;
		else
			o->message->refused = true;
		if (!ok && strcmp(o->message->to, "999") != 0 &&
		    !(s->faults.clock &&
			p->b == HOPYARD__V1__ACK__CODE__INVALID) &&
		    p->b != HOPYARD__V1__ACK__CODE__THROTTLED &&
		    /* The store was too slow for what came. */
		    !(p->b == HOPYARD__V1__ACK__CODE__UNAVAILABLE &&
			s->e != NULL && s->e->pressure.refused_at != 0) &&
		    !filtered(s, p->b) &&
		    (o->message->replaces == NULL ||
			(p->b != HOPYARD__V1__ACK__CODE__INVALID &&
			    p->b != HOPYARD__V1__ACK__CODE__UNAVAILABLE)))
			fail_run(s, "refused with %d", (int)p->b);
		if (ok && strcmp(o->message->to, "999") == 0)
			fail_run(s, "accepted without a route");
		if (ok)
			check_replaced(s, o->message);
	} else if (p->b != HOPYARD__V1__ACK__CODE__ACK_OK &&
	    (o->kind != P_INBOUND || o->message == NULL ||
		!filtered(s, p->b))) {
		fail_run(s, "a %s was refused with %d",
		    o->kind == P_RESULT ? "result" : "receipt", (int)p->b);
	}
	TAILQ_REMOVE(&b->owed, o, link);
	free(o);
}

static void
box_delivered(struct sim *s, int i, const struct packet *p)
{
	struct box *b = &s->box[i];
	struct held *h;

	TAILQ_FOREACH(h, &b->held, link)
		if (h->ref == p->a)
			fail_run(
			    s, "%s was given %s twice", names[i], hex(p->id));
	h = xcalloc(1, sizeof(*h));
	h->ref = p->a;
	h->attempt = p->attempt;
	h->dup = p->flag;
	h->account = (unsigned)p->b;
	b->seat[h->account].held++;
	if (is_server(i) &&
	    ++b->seat[h->account].got > b->seat[h->account].granted)
		fail_run(s, "%s got more for %s than it granted", names[i],
		    accounts[h->account]);
	memcpy(h->id, p->id, 16);
	h->done_at = s->now + rnd(s, chance(s, 900) ? 60 : 5000);
	/* Its receipt may come before its answer. */
	if (is_link(i) && chance(s, 150)) {
		h->early = true;
		taken(s, b, h);
	}
	TAILQ_INSERT_TAIL(&b->held, h, link);
	b->held_count++;
	b->got++;
}

/* A carrier does not trust our answer. */
static void
repeat_receipt(struct sim *s, struct box *b, const struct owed *o)
{
	struct owed *again = xcalloc(1, sizeof(*again));

	again->kind = o->kind;
	again->smsc_id = o->smsc_id;
	again->state = o->state;
	model_id(again->id, WALL(s), 1u << 30 | rnd(s, 1u << 29));
	TAILQ_INSERT_TAIL(&b->carrier, again, link);
}

static void
box_run(struct sim *s, int i)
{
	struct box *b = &s->box[i];
	struct packet *p;
	struct held *h, *next;
	struct owed *o;

	while (b->wire.up && (p = arrived(s, &b->wire.from_bus)) != NULL) {
		switch (p->kind) {
		case P_WELCOME:
			box_welcome(s, i, p->a);
			break;
		case P_ACK:
			box_ack(s, i, p);
			break;
		case P_DELIVER:
			box_delivered(s, i, p);
			break;
		case P_RECALL:
			TAILQ_FOREACH(h, &b->held, link)
				if (h->ref == p->a && chance(s, 600)) {
					h->recalled = true;
					h->done_at = s->now;
				}
			break;
		default:
			fail_run(s, "not for a box");
			break;
		}
		packet_free(p);
	}
	if (i < FRONTS || !b->alive)
		return;
	TAILQ_FOREACH_SAFE(h, &b->held, link, next) {
		if (h->done_at > s->now)
			continue;
		box_result(s, i, h);
		held_free(b, h);
	}
	if (b->ready && (b->link_up || !is_link(i)))
		box_grant(s, b);
	for (int k = 0; is_server(i) && k < ACCOUNTS; k++)
		if (b->seat[k].receivers > 0 &&
		    b->seat[k].granted + b->seat[k].held < b->seat[k].got + 3)
			box_attach(s, b, k);
	if (is_link(i) && (o = TAILQ_FIRST(&b->carrier)) != NULL &&
	    (s->calm || chance(s, 200))) {
		TAILQ_REMOVE(&b->carrier, o, link);
		TAILQ_INSERT_TAIL(&b->owed, o, link);
		o->number = 0;
		o->refused = false;
		if (!s->calm && chance(s, 50))
			repeat_receipt(s, b, o);
		if (b->ready)
			box_send_owed(s, b, o);
	}
}

static bool
on_holiday(const struct sim *s)
{
	return s->faults.holiday && s->step >= steps / 2 && !s->calm;
}

static void
box_start(struct sim *s, int i)
{
	struct box *b = &s->box[i];

	if (!b->alive) {
		b->alive = true;
		for (int k = 0; k < 16; k++)
			b->instance[k] = (uint8_t)rnd(s, 256);
		b->link_up = i >= FRONTS;
		for (int k = 0; is_server(i) && k < ACCOUNTS; k++)
			if (s->calm || (!on_holiday(s) && chance(s, 500)))
				box_bind(s, i, k, 1, 1);
	}
	if (!b->wire.up && s->e != NULL && s->now >= b->back_at)
		box_connect(s, i);
}

/* -------------------------------------------------------------- the filter */

static void
filter_lost(struct sim *s, bool told)
{
	struct sim_filter *f = &s->filter;
	struct asked *a;

	if (f->peer == 0)
		return;
	if (told && s->e != NULL) {
		engine_time(s->e, s->now + 1, WALL(s));
		engine_filter_gone(s->e, "flt", f->peer);
	}
	f->peer = 0;
	while ((a = TAILQ_FIRST(&f->asked)) != NULL) {
		TAILQ_REMOVE(&f->asked, a, link);
		free(a);
	}
	f->back_at = s->now + rnd(s, chance(s, 800) ? 300 : 5000);
}

static void
filter_hello(struct sim *s)
{
	struct sim_filter *f = &s->filter;
	uint8_t instance[16] = { 0xf1 };

	f->peer = ++s->last_peer;
	f->instance += (uint8_t)chance(s, 500);
	instance[1] = f->instance;
	f->granted = 1 + rnd(s, 40);
	f->got = 0;
	engine_filter_hello(s->e, "flt", f->peer, instance);
	engine_filter_credit(s->e, "flt", f->granted, 1 << 30);
}

/* A word that is always the same of the same message, where it is one. */
static void
filter_answer(struct sim *s, const struct asked *a)
{
	Hopyard__V1__Verdict v = HOPYARD__V1__VERDICT__INIT;
	static uint8_t word[] = "word", sender[] = "FLT";
	ProtobufCBinaryData tag = { 4, word };

	v.ref = a->ref;
	v.code = HOPYARD__V1__VERDICT__CODE__PASS;
	switch (a->serial % 9) {
	case 0:
		v.code = HOPYARD__V1__VERDICT__CODE__REJECT;
		break;
	case 1:
		v.code = HOPYARD__V1__VERDICT__CODE__LATER;
		break;
	case 2:
		v.tag = &tag;
		v.n_tag = 1;
		break;
	case 3: /* invalid, of an MO */
		v.code = HOPYARD__V1__VERDICT__CODE__HOLD;
		v.has_hold_ms = true;
		v.hold_ms = 500 + a->serial % 5 * 20000;
		break;
	case 4:
		/* Parts of an MO from two senders are not one message. */
		v.has_from = !a->mo;
		v.from = (ProtobufCBinaryData){ 3, sender };
		break;
	case 5:
		v.has_key = v.has_ttl_ms = true;
		v.key = a->serial % 2 == 0
		    ? HOPYARD__V1__VERDICT__KEY__NUMBER
		    : HOPYARD__V1__VERDICT__KEY__ACCOUNT_NUMBER;
		v.ttl_ms = 200;
		break;
	default:
		break;
	}
	if (chance(s, 5))
		v.ref += rnd(s, 5);
	s->filter.verdicts++;
	engine_verdict(s->e, "flt", &v);
}

static void
filter_run(struct sim *s)
{
	struct sim_filter *f = &s->filter;
	struct asked *a, *next;

	if (!f->there || s->e == NULL)
		return;
	engine_time(s->e, s->now + 1, WALL(s));
	if (f->peer == 0) {
		if (s->now >= f->back_at)
			filter_hello(s);
		return;
	}
	if (s->now < f->stopped_until && !s->calm)
		return;
	TAILQ_FOREACH_SAFE(a, &f->asked, link, next) {
		if (s->now < a->at)
			continue;
		TAILQ_REMOVE(&f->asked, a, link);
		filter_answer(s, a);
		free(a);
		f->granted++;
		engine_filter_credit(s->e, "flt", f->granted, 1 << 30);
	}
}

/* --------------------------------------------------------------------- bus */

static void bus_lost(struct sim *);

static void
old_settle(void *arg, uint32_t peer, uint64_t number,
    Hopyard__V1__Ack__Code code, const char *text)
{
	(void)arg;
	(void)peer;
	(void)number;
	(void)code;
	(void)text;
}

/* The carrier cannot be fenced: this is what must not be. */
static void
old_deliver(void *arg, struct target *t, const struct item *it)
{
	struct sim *s = arg;

	(void)it;
	if (s->epoch != s->old_epoch)
		fail_run(s, "%s got an item from a bus that has lost the cell",
		    t->name);
	else
		s->outlived++;
}

static void
old_recall(void *arg, struct target *t, uint64_t ref)
{
	(void)arg;
	(void)t;
	(void)ref;
}

static void
old_page(void *arg, uint64_t correlation, const Hopyard__V1__Page *page)
{
	(void)arg;
	(void)correlation;
	(void)page;
}

static void
old_answer(void *arg, uint64_t token, unsigned code, const char *text)
{
	(void)arg;
	(void)token;
	(void)code;
	(void)text;
}

static void
old_note(void *arg, const struct engine_note *n)
{
	(void)arg;
	(void)n;
}

static void
old_ask(void *arg, uint32_t peer, const struct item *it)
{
	(void)arg;
	(void)peer;
	(void)it;
}

static const struct engine_ops old_ops = {
	.settle = old_settle,
	.deliver = old_deliver,
	.recall = old_recall,
	.page = old_page,
	.answer = old_answer,
	.note = old_note,
	.ask = old_ask,
};

static void
old_end(struct sim *s)
{
	packets_clear(&s->old_hears);
	if (s->old != NULL)
		engine_free(s->old);
	s->old = NULL;
}

static void
old_hear(struct sim *s, const struct packet *p)
{
	static uint8_t memory[256 * 1024];
	struct arena arena;
	const Hopyard__V1__Horizon *h;

	arena_init(&arena, memory, sizeof(memory));
	if (p->kind == P_RENEWED) {
		engine_renewed(s->old, p->a);
	} else if (p->kind == P_HORIZON) {
		h = frame_unpack(
		    &arena, &hopyard__v1__horizon__descriptor, p->data, p->len);
		assert_non_null(h);
		if (!engine_horizon(s->old, h))
			fail_run(s, "horizon refused");
	}
}

/* It wakes up, or finds that it is alone: all that came before is read. */
static void
old_run(struct sim *s)
{
	struct packet *p;

	if (s->old == NULL || s->now < s->old_wakes)
		return;
	engine_time(s->old, s->now + 1, WALL(s));
	if (chance(s, 500))
		(void)engine_renew(s->old);
	while ((p = arrived(s, &s->old_hears)) != NULL) {
		old_hear(s, p);
		packet_free(p);
	}
	(void)engine_renew(s->old);
	engine_tick(s->old);
	engine_dispatch(s->old);
	if (s->now >= s->old_ends || s->calm)
		old_end(s);
}

/*
 * The bus is cut off from everybody, and does not know; or it stands still for
 * a while, with that from the store unread.  Another takes its place as soon as
 * it may.
 */
static void
bus_cut_off(struct sim *s)
{
	struct packet *p;

	if (s->e == NULL || !s->opened || !s->lease || s->old != NULL)
		return;
	TRACE(s, "bus cut off");
	s->taken++;
	while ((p = TAILQ_FIRST(&s->store.to_bus)) != NULL) {
		TAILQ_REMOVE(&s->store.to_bus, p, link);
		TAILQ_INSERT_TAIL(&s->old_hears, p, link);
	}
	s->old = s->e;
	s->old->ops = &old_ops;
	s->old_epoch = s->epoch;
	s->old_wakes = s->now + (chance(s, 500) ? 0 : rnd(s, 3 * LEASE));
	s->old_ends = s->old_wakes + rnd(s, 3 * LEASE);
	s->e = NULL;
	bus_lost(s);
	s->bus_back = s->now;
	if (s->bus_back < s->beat_at + LEASE)
		s->bus_back = s->beat_at + LEASE;
	s->bus_back += rnd(s, 100);
}

static void
bus_kill(struct sim *s)
{
	if (s->e == NULL)
		return;
	TRACE(s, "bus killed");
	engine_free(s->e);
	s->e = NULL;
	bus_lost(s);
}

/* What is around a bus that is not there any more. */
static void
bus_lost(struct sim *s)
{
	size_t pos = 0;
	struct message *m;

	for (int i = 0; i < BOXES; i++)
		box_lost(s, i, false);
	filter_lost(s, false);
	store_cut(s);
	/* Nobody will answer those any more. */
	while ((m = map_next(&s->cancels, &pos)) != NULL)
		;
	map_fini(&s->cancels);
	map_init(&s->cancels);
	map_fini(&s->withdrawals);
	map_init(&s->withdrawals);
	s->bus_back = s->now + rnd(s, chance(s, 900) ? 300 : 5000);
}

static void
bus_start(struct sim *s)
{
	s->e = engine_new(&sim_ops, s, s->seed + s->epoch);
	witness_restart(&s->witness);
	s->rate_used = 0;
	s->epoch++;
	s->db.era++;
	s->tick_at = 0;
	engine_time(s->e, s->now + 1, WALL(s));
	if (s->lease)
		engine_set_lease(s->e, LEASE);
	engine_configure(s->e, s->conf, 1);
}

/* In no time an account gets more in than its tps allows. */
static void
check_rate(struct sim *s, const struct message *m)
{
	const double tps = 3; /* of account t in sim_conf, and its bucket */
	double gone = (double)(s->now - s->rate_at) * tps / 1000;

	if (strcmp(m->account, "t") != 0)
		return;
	s->rate_at = s->now;
	s->rate_used = s->rate_used > gone ? s->rate_used - gone : 0;
	s->rate_used += PARTS(m);
	if (s->rate_used > tps + 0.001)
		fail_run(
		    s, "%s: its account is faster than it may", hex(m->id));
}

/* A record of it was written: was there room to keep it, too? */
static void
check_room(struct sim *s, const struct message *m)
{
	const struct engine *e = s->e;
	const struct msg *kept = map_get_u64(&e->by_seq, e->ledger.last_seq);

	if (kept == NULL || memcmp(kept->id, m->id, 16) != 0)
		return;
	if (e->by_seq.count > e->limits.ready_items)
		fail_run(
		    s, "%s is kept, one too many for the memory", hex(m->id));
	if (kept->queue->ready_count >= e->limits.queue_items)
		fail_run(
		    s, "%s is kept, one too many for its queue", hex(m->id));
}

static void
check_admitted(struct sim *s, const uint8_t id[16])
{
	const struct message *m = message_of(s, id);

	/* One that takes another's place may have been looked up before. */
	if (m->replaces != NULL)
		return;
	check_rate(s, m);
	check_room(s, m);
}

static void
bus_submit(struct sim *s, int i, const struct packet *p, const struct item *it)
{
	uint64_t before = s->e->ledger.last_seq;
	size_t waiting = s->e->filters->by_id.count;

	engine_submit(
	    s->e, s->box[i].wire.peer, p->a, names[i], 3600000ull * 24 * 8, it);
	if (s->e->ledger.last_seq > before)
		check_admitted(s, p->id);
	else if (s->e->filters->by_id.count > waiting)
		check_rate(s, message_of(s, p->id));
}

/* What a server could not get rid of counts no more when another one has it. */
static void
note_overtaken(struct sim *s, int i, uint64_t number)
{
	struct owed *o;
	const struct msg *m;

	TAILQ_FOREACH(o, &s->box[i].owed, link)
		if (o->number == number)
			break;
	if (o == NULL || o->result.code != HOPYARD__V1__RESULT__CODE__FAIL)
		return;
	m = map_get_u64(&s->e->by_seq, o->result.ref);
	o->overtaken = m != NULL && m->state == MSG_INFLIGHT &&
	    m->box != engine_target(s->e, names[i]);
}

static void
bus_result(struct sim *s, int i, const struct packet *p, const struct item *it)
{
	if (is_server(i))
		note_overtaken(s, i, p->a);
	engine_result(
	    s->e, engine_target(s->e, names[i]), s->box[i].wire.peer, p->a, it);
}

static void
bus_items(struct sim *s, int i, const struct packet *p)
{
	struct engine *e = s->e;
	struct target *t = i < FRONTS ? NULL : engine_target(e, names[i]);
	struct box *b = &s->box[i];
	struct items its;
	struct item it;
	bool ok = items_open(&its, p->data, p->len);

	assert_true(ok);
	while (items_next(&its, &it)) {
		if (p->kind == P_SUBMIT)
			bus_submit(s, i, p, &it);
		else if (p->kind == P_RESULT)
			bus_result(s, i, p, &it);
		else
			engine_inbound(e, t, b->wire.peer, p->a, &it);
	}
}

/* As broker.c does. */
static void
bus_greet(struct sim *s, int i)
{
	struct engine *e = s->e;
	struct box *b = &s->box[i];
	struct target *t = i < FRONTS ? NULL : engine_target(e, names[i]);
	bool sure = true;
	struct packet *p;

	if (!b->greeting || !b->wire.up)
		return;
	if (t != NULL && !is_server(i) && s->now - b->greeted_at < 2000 &&
	    (!e->open || engine_succeed(e, t, b->instance) != 0))
		return;
	b->greeting = false;
	b->given = 0;
	for (int k = 0; k < ACCOUNTS; k++)
		b->seat[k].given = 0;
	if (t != NULL)
		sure = engine_hello(
		    e, t, b->wire.peer, b->instance, b->epoch != 0);
	TRACE(s, "welcome %s, sure %d", names[i], (int)sure);
	p = packet_new(P_WELCOME);
	p->a = sure && e->open ? s->epoch : 0;
	send_to(s, &b->wire, false, p);
}

static void
bus_attach(struct sim *s, struct target *t, const struct packet *p)
{
	uint8_t memory[2048];
	struct arena arena;
	const Hopyard__V1__Attach *a;

	arena_init(&arena, memory, sizeof(memory));
	a = frame_unpack(
	    &arena, &hopyard__v1__attach__descriptor, p->data, p->len);
	assert_non_null(a);
	engine_attach(s->e, t, a);
}

static void
bus_hear_box(struct sim *s, int i)
{
	struct engine *e = s->e;
	struct box *b = &s->box[i];
	struct target *t = i < FRONTS ? NULL : engine_target(e, names[i]);
	Hopyard__V1__LinkState state = HOPYARD__V1__LINK_STATE__INIT;
	struct packet *p;

	bus_greet(s, i);
	/* Before the store is open nobody has credit. */
	while (b->wire.up && (p = TAILQ_FIRST(&b->wire.to_bus)) != NULL &&
	    (e->open ||
		(p->kind != P_SUBMIT && p->kind != P_RESULT &&
		    p->kind != P_INBOUND)) &&
	    (p = arrived(s, &b->wire.to_bus)) != NULL) {
		if (p->kind != P_SUBMIT)
			TRACE(s, "%s says %d: %llu", names[i], (int)p->kind,
			    (unsigned long long)p->a);
		switch (p->kind) {
		case P_HELLO:
			b->greeting = true;
			b->greeted_at = s->now;
			break;
		case P_IN_HAND:
			b->told = true;
			engine_in_hand(
			    e, t, (const uint64_t *)(void *)p->data, p->len);
			break;
		case P_CREDIT:
			engine_credit(e, t, p->a, p->a * 100000);
			break;
		case P_LINK_STATE:
			state.state = p->a
			    ? HOPYARD__V1__LINK_STATE__LINK__UP
			    : HOPYARD__V1__LINK_STATE__LINK__DOWN;
			engine_link_state(e, t, &state);
			break;
		case P_ATTACH:
			bus_attach(s, t, p);
			break;
		case P_SUBMIT:
		case P_RESULT:
		case P_INBOUND:
			bus_items(s, i, p);
			break;
		default:
			fail_run(s, "not for the bus");
			break;
		}
		packet_free(p);
	}
}

static void
bus_hear_store(struct sim *s)
{
	static uint8_t memory[256 * 1024];
	struct engine *e = s->e;
	struct arena arena;
	struct items its;
	struct packet *p;
	const void *o;

	arena_init(&arena, memory, sizeof(memory));
	while (s->store.up && (p = arrived(s, &s->store.to_bus)) != NULL) {
		arena_reset(&arena);
		switch (p->kind) {
		case P_OPENED:
			o = frame_unpack(&arena,
			    &hopyard__v1__opened__descriptor, p->data, p->len);
			assert_non_null(o);
			if (!((const Hopyard__V1__Opened *)o)->more)
				s->opened = true;
			assert_true(engine_opened(e, o));
			break;
		case P_HORIZON:
			o = frame_unpack(&arena,
			    &hopyard__v1__horizon__descriptor, p->data, p->len);
			assert_non_null(o);
			if (!engine_horizon(e, o))
				fail_run(s, "horizon refused");
			break;
		case P_RENEWED:
			engine_renewed(e, p->a);
			break;
		case P_PAGED:
		case P_NOTICE:
		case P_OVERDUE:
			assert_true(items_open(&its, p->data, p->len));
			if (p->kind == P_PAGED)
				engine_paged(e, p->a, &its);
			else if (p->kind == P_NOTICE)
				engine_notice(e, &its);
			else
				engine_overdue(e, &its);
			break;
		default:
			fail_run(s, "not for the bus");
			break;
		}
		packet_free(p);
	}
}

static void
bus_run(struct sim *s)
{
	uint64_t next;

	engine_time(s->e, s->now + 1, WALL(s));
	bus_hear_store(s);
	for (int i = 0; i < BOXES; i++)
		bus_hear_box(s, i);
	filter_run(s);
	if (s->now >= s->tick_at || filters_due(s->e->filters) <= s->now + 1) {
		next = engine_tick(s->e);
		s->tick_at = s->now + next;
		if (filters_due(s->e->filters) <= s->now + 1)
			fail_run(s, "a deadline has passed by");
	}
	engine_dispatch(s->e);
	send_records(s);
	if (s->opened && engine_renew(s->e)) {
		struct packet *p = packet_new(P_RENEW);

		p->a = s->e->lease.asked;
		send_to(s, &s->store, false, p);
	}
}

/* ------------------------------------------------------------ what happens */

/* m takes the place of another of its account, perhaps long gone. */
static void
replace_one(struct sim *s, struct message *m)
{
	uint64_t n = s->count - 1, back = rnd(s, n < 40 ? n + 1 : 40);
	const struct message *old = s->message[n - back];

	if (old != m && !old->mo)
		m->replaces = old;
	if (m->replaces == NULL)
		return;
	m->account = old->account;
	s->message[n - back]->moved = true;
}

static void
submit(struct sim *s, uint64_t crowd)
{
	int i = (int)rnd(s, FRONTS);
	struct box *b = &s->box[i];
	struct message *m;
	struct owed *o;

	if (!b->alive)
		return;
	/* Sometimes one that was handed over before. */
	if (s->count > 0 && chance(s, 60)) {
		m = s->message[rnd(s, s->count)];
		if (m->mo || (m->refused && !m->acked))
			return;
	} else {
		m = message_new(s);
		m->came_at = s->now;
		m->account =
		    accounts[crowd != 0 ? crowd % ACCOUNTS : rnd(s, ACCOUNTS)];
		m->to = destinations[crowd != 0 ? crowd / ACCOUNTS % 3
			: chance(s, 20)         ? 3
						: rnd(s, 3)];
		m->mask = chance(s, 800) ? 31 : 0;
		m->esme = chance(s, 400);
		if (chance(s, 60))
			m->delay_ms = 1 + rnd(s, 55000);
		else if (chance(s, 60))
			m->delay_ms = 61000 + rnd(s, 60000);
		if (chance(s, 150))
			m->validity_ms = 2000 + rnd(s, 30000);
		if (chance(s, 80))
			replace_one(s, m);
	}
	o = xcalloc(1, sizeof(*o));
	o->kind = P_SUBMIT;
	o->message = m;
	memcpy(o->id, m->id, 16);
	TAILQ_INSERT_TAIL(&b->owed, o, link);
}

/* Bursts, so that queues become deep; some of them of one account. */
static void
submit_some(struct sim *s)
{
	uint64_t n = chance(s, 20) ? rnd(s, 60) : 1;
	uint64_t crowd = n > 1 && chance(s, 500) ? 1 + rnd(s, 1000) : 0;

	while (n-- > 0)
		submit(s, crowd);
}

static void
send_mo(struct sim *s)
{
	int i = FRONTS + (int)rnd(s, CONNECTORS);
	struct box *b = &s->box[i];
	struct message *m;
	struct owed *o;

	if (!b->alive)
		return;
	m = message_new(s);
	m->mo = true;
	m->esme = chance(s, 400);
	o = xcalloc(1, sizeof(*o));
	o->kind = P_INBOUND;
	o->message = m;
	memcpy(o->id, m->id, 16);
	TAILQ_INSERT_TAIL(&b->owed, o, link);
	if (b->ready)
		box_send_owed(s, b, o);
}

/* A long MO: its parts in some order, and some of them never. */
static void
send_parts(struct sim *s)
{
	unsigned total = 2 + (unsigned)rnd(s, 3), first = (unsigned)rnd(s, 4);
	struct box *b = &s->box[FRONTS + rnd(s, CONNECTORS)];
	uint64_t group = s->count + 1;

	if (!b->alive)
		return;
	for (unsigned i = 0; i < total; i++) {
		struct message *m;
		struct owed *o;

		if (chance(s, 40))
			continue;
		m = message_new(s);
		m->mo = true;
		m->total = total;
		m->number = 1 + (first + i) % total;
		m->group = group;
		o = xcalloc(1, sizeof(*o));
		o->kind = P_INBOUND;
		o->message = m;
		memcpy(o->id, m->id, 16);
		TAILQ_INSERT_TAIL(&b->owed, o, link);
		if (b->ready)
			box_send_owed(s, b, o);
	}
}

static void
cancel(struct sim *s)
{
	struct message *m;
	if (s->count == 0 || s->e == NULL || !s->e->open)
		return;
	m = s->message[rnd(s, s->count)];
	if (m->mo)
		return;
	m->moved = true;
	map_put_u64(&s->cancels, ++s->last_token, m);
	engine_time(s->e, s->now + 1, WALL(s));
	engine_cancel(s->e, m->id, (struct bytes){ NULL, 0 }, s->last_token);
}

/* As if its front end had refused it; also before the store is there. */
static void
withdraw(struct sim *s)
{
	struct message *m;

	if (s->count == 0 || s->e == NULL)
		return;
	/* Mostly one that is new. */
	m = s->message[s->count - 1 -
	    rnd(s, chance(s, 900) && s->count > 20 ? 20 : s->count)];
	if (m->mo)
		return;
	m->moved = true;
	map_put_u64(&s->withdrawals, ++s->last_token, m);
	engine_time(s->e, s->now + 1, WALL(s));
	engine_withdraw(s->e, m->id, s->last_token);
}

static void
front_send(struct sim *s, int i)
{
	struct box *b = &s->box[i];
	struct owed *o;

	if (!b->ready)
		return;
	TAILQ_FOREACH(o, &b->owed, link)
		if (o->number == 0)
			box_send_owed(s, b, o);
}

/* Timers may be late until then, and a while longer. */
static void
leapt(struct sim *s, uint64_t until)
{
	if (until > s->leapt_at)
		s->leapt_at = until;
}

/* The wall clock is set: a little, or by an hour. */
static void
set_clock(struct sim *s)
{
	int64_t most = chance(s, 500) ? 2000 : 3600000;

	s->skew = (int64_t)rnd(s, 2 * (uint64_t)most) - most;
	s->set_at = s->now + 1; /* what came just now knew the old time */
	leapt(s, s->now);
	s->db.era++;
	TRACE(s, "the clock is off by %lld ms", (long long)s->skew);
}

/* SIGSTOP, or a machine that is late. */
static void
stop_something(struct sim *s)
{
	uint64_t until = s->now + rnd(s, chance(s, 700) ? 200 : 2 * RECLAIM);
	uint64_t who = rnd(s, BOXES + 2);

	TRACE(s, "%s stands still until %llu",
	    who < BOXES        ? names[who]
		: who == BOXES ? "bus"
			       : "store",
	    (unsigned long long)until);
	if (who < BOXES) {
		s->box[who].stopped_until = until;
		return;
	}
	if (who == BOXES)
		s->bus_stopped = until;
	else
		s->store_stopped = until;
	leapt(s, until);
}

static void
break_something(struct sim *s)
{
	const struct faults *f = &s->faults;
	int i = FRONTS + (int)rnd(s, CONNECTORS);

	if (f->pause && chance(s, f->odds))
		stop_something(s);
	if (s->filter.there && chance(s, f->odds))
		filter_lost(s, true);
	if (s->filter.there && chance(s, f->odds))
		s->filter.stopped_until = s->now + rnd(s, 3000);

	if (f->bus && chance(s, f->odds))
		bus_kill(s);
	if (f->taken && chance(s, f->odds))
		bus_cut_off(s);
	if (f->store && chance(s, f->odds))
		store_kill(s);
	if (f->store && chance(s, f->odds))
		store_cut(s);
	if (f->connector && chance(s, f->odds))
		box_kill(s, i);
	if (f->hook && chance(s, f->odds))
		box_kill(s, HOOK);
	if (f->server && chance(s, f->odds))
		box_kill(s, SERVER + (int)rnd(s, SERVERS));
	if (f->cut && chance(s, 2 * f->odds)) {
		i = (int)rnd(s, BOXES);
		box_lost(s, i, true);
		/* Longer than the bus waits for it. */
		if (f->connector && chance(s, 300))
			s->box[i].back_at = s->now + rnd(s, 3 * RECLAIM);
	}
	if (chance(s, f->odds)) {
		struct box *b = &s->box[FRONTS + rnd(s, CONNECTORS)];

		b->link_up = !b->link_up;
		box_tell_link(s, b);
	}
	if (s->e != NULL && chance(s, 3)) {
		struct target *t =
		    engine_target(s->e, names[FRONTS + rnd(s, CONNECTORS)]);

		engine_set_admin(s->e, t, (enum target_admin)rnd(s, 3));
	}
	if (s->e != NULL && chance(s, 3)) {
		struct queue *q;

		TAILQ_FOREACH(q, &s->e->queues, all_link)
			if (chance(s, 200))
				engine_hold(s->e, q, !q->hold);
	}
}

static void
come_and_go(struct sim *s)
{
	int i = SERVER + (int)rnd(s, SERVERS);
	unsigned binds = chance(s, 500) ? (unsigned)rnd(s, 3) : 0;

	if (s->box[i].alive)
		box_bind(s, i, (int)rnd(s, ACCOUNTS), binds,
		    (unsigned)rnd(s, binds + 1));
}

static void
mend(struct sim *s)
{
	struct queue *q;

	s->calm = true;
	/* From here on time goes in leaps that no lease outlasts. */
	s->lease = false;
	if (s->e == NULL)
		return;
	engine_set_lease(s->e, 0);
	for (int i = FRONTS; i < BOXES; i++)
		engine_set_admin(
		    s->e, engine_target(s->e, names[i]), TARGET_ADMIN_READY);
	TAILQ_FOREACH(q, &s->e->queues, all_link)
		engine_hold(s->e, q, false);
	for (int i = SERVER; i < BOXES; i++)
		for (int k = 0; s->box[i].alive && k < ACCOUNTS; k++)
			if (s->box[i].seat[k].receivers == 0)
				box_bind(s, i, k, 1, 1);
	for (int i = FRONTS; i < HOOK; i++)
		if (s->box[i].alive && !s->box[i].link_up) {
			s->box[i].link_up = true;
			box_tell_link(s, &s->box[i]);
		}
}

static void
one_step(struct sim *s)
{
	if (s->e == NULL && s->now >= s->bus_back)
		bus_start(s);
	if (!s->store_alive && s->now >= s->store_back)
		s->store_alive = true;
	if (s->store_alive && !s->store.up && s->e != NULL && s->flying == 0)
		store_connect(s);
	for (int i = 0; i < BOXES; i++) {
		if (s->box[i].alive || s->now >= s->box[i].back_at)
			box_start(s, i);
		if (i < FRONTS)
			front_send(s, i);
	}
	if (s->e != NULL && (s->now >= s->bus_stopped || s->calm))
		bus_run(s);
	old_run(s);
	if (s->store_alive && (s->now >= s->store_stopped || s->calm))
		store_run(s);
	for (int i = 0; i < BOXES; i++)
		if (s->now >= s->box[i].stopped_until || s->calm)
			box_run(s, i);
	s->step++;
}

static bool
at_rest(const struct sim *s)
{
	const struct engine *e = s->e;

	if (e == NULL || !s->opened || !TAILQ_EMPTY(&s->pending) ||
	    e->by_seq.count != 0 || e->ledger.ring_count != 0 ||
	    e->lookups.count != 0 || e->replacements.count != 0 ||
	    s->cancels.count != 0 || s->withdrawals.count != 0 ||
	    e->filters->by_id.count != 0)
		return false;
	for (int i = 0; i < BOXES; i++)
		if (!TAILQ_EMPTY(&s->box[i].owed) ||
		    !TAILQ_EMPTY(&s->box[i].held) ||
		    !TAILQ_EMPTY(&s->box[i].carrier))
			return false;
	return s->db.live == 0;
}

/* In one message with *last, or the first of one. */
static void
told_part(struct sim *s, struct message **last, struct message *m, uint64_t seq)
{
	if (*last != NULL &&
	    ((*last)->group != m->group || (*last)->number >= m->number))
		fail_run(
		    s, "part %u of an MO is in the wrong place", m->number);
	*last = m;
	m->told++;
	m->told_in = seq;
}

/* Where nothing fails, all parts that came are in one message. */
static void
check_whole(struct sim *s)
{
	for (size_t i = 1; i < s->count; i++) {
		const struct message *m = s->message[i];
		const struct message *before = s->message[i - 1];

		if (m->total == 0 || before->group != m->group ||
		    m->group % 2 != 0 || before->told_in == m->told_in)
			continue;
		fail_run(s, "an MO of %u parts was torn apart", m->total);
	}
}

/* Which parts of MO the customer was told of, and in how many messages. */
static void
count_told(struct sim *s)
{
	struct message *last;

	for (uint64_t seq = 1; seq <= s->db.durable; seq++) {
		const struct db_row *r = db_row(&s->db, seq);
		const uint8_t *p = r->body;

		if (r->kind != HOPYARD__V1__KIND__MO || !r->notified)
			continue;
		last = NULL;
		while (p != NULL &&
		    (p = memchr(p, '[', r->body_len - (size_t)(p - r->body))) !=
			NULL) {
			uint64_t serial = 0;

			while (*++p != ']')
				serial = serial * 10 + (uint64_t)(*p - '0');
			if (serial == 0 || serial > s->count ||
			    s->message[serial - 1]->total == 0)
				fail_run(s, "a text that nobody sent");
			else
				told_part(
				    s, &last, s->message[serial - 1], seq);
		}
	}
}

/* A report: not of a message that was withdrawn. */
static void
told_of(struct sim *s, const struct db_row *report)
{
	const struct db_row *r = db_row(&s->db, report->message);

	for (size_t i = 0; r != NULL && i < s->count; i++)
		if (s->message[i]->withdrawn &&
		    memcmp(s->message[i]->id, r->id, 16) == 0)
			fail_run(s, "%s was withdrawn, and a report says so",
			    hex(r->id));
}

/* A connector may have been given up; so it looks as well where the time leaps,
 * or somebody stands still. */
static bool
away_for_long(const struct sim *s)
{
	return s->faults.connector || s->faults.leap || s->faults.pause;
}

static void
check_end(struct sim *s)
{
	const struct engine *e = s->e;
	const struct queue *q;
	count_told(s);
	if (s->seed % 16 == 0)
		check_whole(s);
	for (uint64_t seq = 1; seq <= s->db.durable; seq++) {
		const struct db_row *r = db_row(&s->db, seq);
		static const uint8_t nobody[16];

		if (r->kind == HOPYARD__V1__KIND__DLR)
			told_of(s, r);
		if (memcmp(r->other, nobody, 16) == 0)
			continue;
		s->replaced++;
		if (db_find(&s->db, r->other) == NULL)
			fail_run(s, "%s was replaced by nobody", hex(r->id));
	}
	for (size_t i = 0; i < s->count; i++) {
		const struct message *m = s->message[i];
		const struct db_row *r = db_find(&s->db, m->id);

		if (m->told > 1 || (m->acked && m->total > 0 && m->told == 0))
			fail_run(s, "part %llu of an MO was told %u times",
			    (unsigned long long)m->serial, m->told);
		if (m->acked && r == NULL)
			fail_run(
			    s, "%s was acknowledged and is lost", hex(m->id));
		if (r == NULL)
			continue;
		if (!r->ended)
			fail_run(s, "%s never ended", hex(m->id));
		if (!m->mo && r->final == 0 && !r->submitted)
			fail_run(s, "%s has no final state", hex(m->id));
		if (r->finals > 1 + (r->by_timer ? 0u : 1u))
			fail_run(s, "%s ended %u times", hex(m->id), r->finals);
		if (m->taken > 1 && m->unknowns == 0 && !away_for_long(s))
			fail_run(s, "%s was sent %u times for no reason",
			    hex(m->id), m->taken);
		if (m->canceled && m->taken > 0 && m->unknowns == 0 &&
		    !away_for_long(s))
			fail_run(s, "%s was canceled, and sent", hex(m->id));
		if (m->taken > 1 && !r->dup && r->submits > 0)
			fail_run(s, "%s was sent twice, and is not flagged",
			    hex(m->id));
	}
	if (parts_waiting(e) != 0)
		fail_run(s, "parts of an MO wait for ever");
	if (e->ledger.ring_count != 0 || e->heap_count != 0 || e->bytes != 0 ||
	    e->due_count != 0 || e->pages[TARGET_CONNECTOR] != 0 ||
	    e->pages[TARGET_HOOK] != 0 || e->pages[TARGET_ESME] != 0)
		fail_run(s, "the engine is not empty");
	for (size_t i = 0; i < e->target_count; i++)
		if (e->target[i]->in_hand.count != 0)
			fail_run(s, "%s is thought to have something",
			    e->target[i]->name);
	TAILQ_FOREACH(q, &e->queues, all_link)
		if (q->inflight != 0 || q->ready_count != 0 ||
		    queue_low(q) != 0)
			fail_run(s, "queue %u is not empty", q->number);
}

static void
sim_init(struct sim *s, uint64_t seed)
{
	char text[sizeof(sim_conf) + sizeof(sim_filters) + 16];
	size_t len;

	memset(s, 0, sizeof(*s));
	s->seed = seed;
	s->rng = seed * 0x9e3779b97f4a7c15u | 1;
	for (int i = 0; i < 8; i++)
		rnd(s, 2);
	db_init(&s->db);
	s->db.frame_items = rnd(s, 2) ? 5 : 0;
	map_init(&s->by_id);
	map_init(&s->withdrawals);
	map_init(&s->cancels);
	map_init(&s->served);
	buf_init(&s->buf);
	len = (size_t)snprintf(
	    text, sizeof(text), sim_conf, seed % 3 == 0 ? 400u : 16u);
	TAILQ_INIT(&s->filter.asked);
	s->filter.there = seed % 2 == 1;
	if (s->filter.there)
		snprintf(text + len, sizeof(text) - len, "%s", sim_filters);
	s->conf = model_conf(text);
	witness_init(&s->witness, 5);
	TAILQ_INIT(&s->pending);
	TAILQ_INIT(&s->slow);
	TAILQ_INIT(&s->store.to_bus);
	TAILQ_INIT(&s->store.from_bus);
	TAILQ_INIT(&s->old_hears);
	for (int i = 0; i < BOXES; i++) {
		struct box *b = &s->box[i];

		TAILQ_INIT(&b->wire.to_bus);
		TAILQ_INIT(&b->wire.from_bus);
		TAILQ_INIT(&b->owed);
		TAILQ_INIT(&b->held);
		TAILQ_INIT(&b->carrier);
	}
	s->faults = (struct faults){ .bus = rnd(s, 4) > 0,
		.store = rnd(s, 3) > 0,
		.connector = rnd(s, 2),
		.hook = rnd(s, 2),
		.server = rnd(s, 2),
		.cut = rnd(s, 2),
		.unknown = rnd(s, 2),
		.leap = rnd(s, 2),
		.clock = rnd(s, 3) == 0,
		.pause = rnd(s, 3) == 0,
		.page = rnd(s, 3) == 0,
		.holiday = rnd(s, 4) == 0,
		.odds = 1 + (unsigned)rnd(s, 12),
		.taken = seed % 2 == 0 };
	s->lease = seed % 2 == 0;
	if (seed % 16 == 0)
		memset(&s->faults, 0, sizeof(s->faults));
}

static void
sim_fini(struct sim *s)
{
	if (s->e != NULL)
		engine_free(s->e);
	old_end(s);
	filter_lost(s, false);
	packets_clear(&s->pending);
	packets_clear(&s->slow);
	wire_drop(&s->store);
	for (int i = 0; i < BOXES; i++) {
		struct box *b = &s->box[i];

		wire_drop(&b->wire);
		owed_clear(&b->owed);
		owed_clear(&b->carrier);
		while (!TAILQ_EMPTY(&b->held))
			held_free(b, TAILQ_FIRST(&b->held));
	}
	for (size_t i = 0; i < s->count; i++)
		free(s->message[i]);
	free(s->message);
	map_fini(&s->by_id);
	map_fini(&s->withdrawals);
	map_fini(&s->cancels);
	map_fini(&s->served);
	buf_fini(&s->buf);
	db_fini(&s->db);
	conf_free(s->conf);
}

struct totals {
	uint64_t messages, records, pages, verified, served, kills, taken;
	uint64_t outlived;
	uint64_t replaced, parts, withdrawn, verdicts;
	uint64_t storm, time; /* simulated ms, until nothing fails and in all */
	uint64_t digest;
	size_t most; /* items in memory at a time */
};

/* What dies or hangs says in which seed. */
static volatile sig_atomic_t running;

static void
died(int sig)
{
	char text[] = "SEED=0000000000: died of signal 00\n";
	unsigned long seed = (unsigned long)running;

	for (int i = 14; i > 4; i--, seed /= 10)
		text[i] = (char)('0' + seed % 10);
	text[sizeof(text) - 4] = (char)('0' + sig / 10);
	text[sizeof(text) - 3] = (char)('0' + sig % 10);
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0)
		_exit(2);
	_exit(1);
}

/* In time of the processor, so that a slow machine is no hang: 120 s each. */
static void
watch(uint64_t seed)
{
	const char *hang = getenv("HANG");
	struct itimerval t = { .it_value.tv_sec =
				   hang != NULL ? atoi(hang) : 120 };

	running = (sig_atomic_t)seed;
	signal(SIGPROF, died);
	signal(SIGABRT, died);
	if (setitimer(ITIMER_PROF, &t, NULL) != 0)
		print_error("no watch over hangs\n");
}

/*
 * All customers go, and come back at the end, with items in memory and more that
 * come: so much time passes that what they have is left to the store.
 */
static void
holiday(struct sim *s)
{
	s->now += rnd(s, 20);
	for (int i = SERVER; i < BOXES; i++)
		for (int k = 0; s->box[i].alive && k < ACCOUNTS; k++)
			if (s->box[i].seat[k].binds != 0)
				box_bind(s, i, k, 0, 0);
}

/* Traffic and faults. */
static void
storm(struct sim *s)
{
	bool busy = rnd(s, 2);

	while (s->step < steps && s->failed[0] == '\0') {
		if (chance(s, busy ? 500 : 250))
			submit_some(s);
		if (chance(s, 40))
			send_mo(s);
		if (chance(s, 30))
			send_parts(s);
		if (chance(s, 25))
			cancel(s);
		if (chance(s, 15))
			withdraw(s);
		if (on_holiday(s))
			holiday(s);
		else if (chance(s, 15))
			come_and_go(s);
		break_something(s);
		one_step(s);
		if (s->e != NULL && s->step % 16 == 0)
			check_engine(s);
		s->now += rnd(s, 8) == 0 ? rnd(s, 60) : rnd(s, 4);
		if (s->faults.leap && chance(s, 3)) {
			s->now += rnd(s, 30000);
			leapt(s, s->now);
		}
		if (s->faults.clock && chance(s, 3))
			set_clock(s);
	}
}

/* Nothing fails any more, and all comes to an end. */
static void
calm(struct sim *s)
{
	for (unsigned n = 0; s->failed[0] == '\0' && !at_rest(s); n++) {
		if (n % 64 == 0)
			mend(s);
		one_step(s);
		s->now += n < 4000 ? 5 : n < 40000 ? 500 : 20000;
		if (n > 90000) {
			fail_run(s,
			    "does not come to rest: %zu live, %zu in "
			    "memory, %zu look-ups",
			    s->db.live, s->e != NULL ? s->e->by_seq.count : 0,
			    s->e != NULL ? s->e->lookups.count : 0);
		}
	}
}

static bool
sim_run(uint64_t seed, struct totals *sum)
{
	struct sim *s = xcalloc(1, sizeof(*s));
	bool ok;

	watch(seed);
	sim_init(s, seed);
	storm(s);
	sum->storm += s->now;
	calm(s);
	if (s->failed[0] == '\0') {
		check_engine(s);
		check_end(s);
	}
	digest_event(s, 'e', s->step, s->db.durable, s->count);
	sum->digest = (sum->digest ^ s->digest) * 0x100000001b3u;
	sum->time += s->now;
	if (s->most > sum->most)
		sum->most = s->most;
	sum->messages += s->count;
	sum->records += s->db.durable;
	sum->pages += s->db.pages;
	sum->verified += s->db.verified;
	sum->kills += s->epoch - (s->epoch > 0);
	sum->taken += s->taken;
	sum->outlived += s->outlived;
	sum->served += s->served.count;
	sum->verdicts += s->filter.verdicts;
	sum->replaced += s->replaced;
	for (size_t i = 0; i < s->count; i++) {
		sum->parts += s->message[i]->told;
		sum->withdrawn += s->message[i]->withdrawn;
	}
	ok = s->failed[0] == '\0';
	if (!ok)
		print_error("SEED=%llu step %u: %s\n", (unsigned long long)seed,
		    s->step, s->failed);
	sim_fini(s);
	free(s);
	return ok;
}

static uint64_t
setting(const char *name, uint64_t otherwise)
{
	const char *v = getenv(name);

	return v == NULL ? otherwise : strtoull(v, NULL, 10);
}

static void
say_totals(uint64_t n, const struct totals *sum, double cpu)
{
	if (cpu <= 0)
		cpu = 1e-6;
	print_message(
	    "%llu runs: %llu messages, %llu records, %llu pages "
	    "(%llu verified), %llu items to customers, %llu parts "
	    "of MO, %llu replaced, %llu withdrawn, %llu verdicts, bus killed "
	    "%llu times, of them replaced while it lived %llu (it handed out "
	    "%llu until then)\n",
	    (unsigned long long)n, (unsigned long long)sum->messages,
	    (unsigned long long)sum->records, (unsigned long long)sum->pages,
	    (unsigned long long)sum->verified, (unsigned long long)sum->served,
	    (unsigned long long)sum->parts, (unsigned long long)sum->replaced,
	    (unsigned long long)sum->withdrawn,
	    (unsigned long long)sum->verdicts, (unsigned long long)sum->kills,
	    (unsigned long long)sum->taken, (unsigned long long)sum->outlived);
	print_message("%.1f s of processor: %.1f runs/s; %.0f s simulated "
		      "(%.0f with faults): %.0f (%.0f) times real time\n",
	    cpu, (double)n / cpu, (double)sum->time / 1e3,
	    (double)sum->storm / 1e3, (double)sum->time / 1e3 / cpu,
	    (double)sum->storm / 1e3 / cpu);
	print_message("at most %zu items in memory\n", sum->most);
	print_message("digest %016llx\n", (unsigned long long)sum->digest);
}

static void
many_worlds(void **state)
{
	uint64_t first = setting("SEED", setting("FIRST", 1)), bad = 0, n = 0;
	uint64_t many = getenv("SEED") != NULL ? 1 : setting("SEEDS", SEEDS);
	struct totals sum = { 0 };
	clock_t began = clock();

	(void)state;
	tracing = getenv("TRACE") != NULL;
	steps = (unsigned)setting("STEPS", STEPS);
	for (; n < many && bad < setting("BAD", 10); n++)
		bad += !sim_run(first + n, &sum);
	say_totals(n, &sum, (double)(clock() - began) / CLOCKS_PER_SEC);
	assert_int_equal(bad, 0);
}

/* The digest that a process of its own, with addresses of its own, gets. */
static uint64_t
digest_elsewhere(uint64_t seed)
{
	unsigned long long got = 0;
	char command[64], line[256];
	FILE *f;

	snprintf(command, sizeof(command), "SEED=%llu /proc/%ld/exe 2>&1",
	    (unsigned long long)seed, (long)getpid());
	f = popen(command, "r"); /* NOLINT(cert-env33-c): itself */
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "digest ", 7) == 0)
			got = strtoull(line + 7, NULL, 16);
	assert_int_equal(pclose(f), 0);
	return got;
}

/* Nothing but the seed decides: no clock, no address, no byte that malloc()
 * has left. */
static void
the_same_again(void **state)
{
	uint64_t first = setting("FIRST", 1), again = setting("AGAIN", AGAIN);

	(void)state;
	if (getenv("SEED") != NULL || again == 0)
		skip();
	for (uint64_t seed = first; seed < first + again; seed++) {
		struct totals one = { 0 }, two = { 0 };
		void *litter[64];

		mallopt(M_PERTURB, 0x5a);
		assert_true(sim_run(seed, &one));
		/* Other addresses, other contents. */
		for (size_t i = 0; i < ARRAY_LEN(litter); i++)
			litter[i] = xmalloc(17 + i * 40);
		mallopt(M_PERTURB, 0xa5);
		assert_true(sim_run(seed, &two));
		for (size_t i = 0; i < ARRAY_LEN(litter); i++)
			free(litter[i]);
		mallopt(M_PERTURB, 0);
		assert_int_equal(one.digest, two.digest);
		assert_int_equal(one.digest, digest_elsewhere(seed));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_again),
		cmocka_unit_test(many_worlds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
