/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * box.c - the box's end of the bus protocol.
 *
 * One connection at a time: the next one starts only after CONN_EV_CLOSED of
 * the last.  Only box_enter_state() changes the state, and only box_drop()
 * ends a connection, called from the loop and never from inside the functions
 * of box.h; so an owner that calls those is not called back in the middle.
 *
 * What a turn has collected (items, credit, calls that cannot be asked) goes
 * out in box_turn_cb() at its end.
 */
#include "common/box.h"

#include <sys/random.h>

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/address.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/conn.h"
#include "common/crash.h"
#include "common/expiry.h"
#include "common/identity.h"
#include "common/json.h"
#include "common/log.h"
#include "common/map.h"
#include "common/outbox.h"
#include "common/queue.h"
#include "common/stats.h"
#include "common/tls.h"
#include "common/turn.h"
#include "common/xalloc.h"

#define BOX_PROTO        1
#define BOX_MAX_ITEMS    8192
#define BOX_MAX_BYTES    (32 * 1024 * 1024)
#define BOX_MAX_CALLS    4096
#define BOX_ARENA        (8 * FRAME_MAX_PAYLOAD + 16 * 1024)
#define BOX_TICK_MS      1000
#define BOX_CALL_TICK_MS 100  /* while calls are outstanding */
#define BOX_ANSWER_MS    5000 /* to connect, and to the Welcome */
#define BOX_PING_MS      5000
#define BOX_SILENT_MS    15000
#define BOX_RETRY_MIN_MS 50
#define BOX_RETRY_MAX_MS 2000
#define BOX_REFUSED_MS   5000 /* after a Nak that will not go away soon */
#define BOX_STABLE_MS    5000 /* ready for so long: back-off starts anew */
#define BOX_COMPLAIN_MS  30000
#define BOX_IN_HAND      4096 /* refs of one frame */
/* With several addresses: no time is lost with one where nobody answers. */
#define BOX_ANSWER_ONE_MS 2000
#define BOX_RETRY_ONE_MS  400
#define BOX_STANDBY_MS    200  /* after a bus that says that it stands by */
#define BOX_OWNER_MS      5000 /* with one that has no cell, then look again */
#define BOX_LEASE_TICK_MS 500 /* of a bus with a lease: how often it is asked */
#define BOX_MAX_CONFIG    (16 * 1024 * 1024)
#define BOX_CERTS_MS      60000 /* certificates are looked at so often */

#define BOX_UNPACK(box, name, f)                                               \
	box_unpack(box, &hopyard__v1__##name##__descriptor, f)

enum box_state {
	BOX_WAITING = 0, /* no connection; the timer starts the next */
	BOX_CONNECTING,
	BOX_HELLO,    /* Hello sent, waiting for the Welcome */
	BOX_WELCOMED, /* sending results of earlier connections */
	BOX_READY,    /* ops->ready() has been called */
	BOX_DROPPING, /* connection closing, the next one follows */
	BOX_CLOSING,  /* box_close() */
};

static const char *const box_state_names[] = {
	[BOX_WAITING] = "waiting",
	[BOX_CONNECTING] = "connecting",
	[BOX_HELLO] = "hello",
	[BOX_WELCOMED] = "welcomed",
	[BOX_READY] = "ready",
	[BOX_DROPPING] = "dropping",
	[BOX_CLOSING] = "closing",
};

struct box_ask {
	uint64_t correlation;
	box_reply_cb *cb;
	void *arg;
	uint64_t timeout_ms;
	uint64_t deadline; /* clock_mono_ms() */
	unsigned failed;   /* code of the answer that we make ourselves */
	TAILQ_ENTRY(box_ask) entry;
};
TAILQ_HEAD(box_asks, box_ask);

bool (*box_reload)(struct buf *);
void (*box_config)(const struct buf *);
bool (*box_restart)(struct buf *);
uint64_t box_config_hash;

struct box {
	uv_loop_t *loop;
	const struct box_ops *ops;
	void *arg;
	const char *name, *type;
	const char *certs; /* or NULL */
	char **addresses;
	size_t address_count;
	size_t address; /* the one to try next */
	uint8_t instance[16];

	enum box_state state; /* written only by box_enter_state() */
	struct conn *conn;
	uv_timer_t timer;
	uint64_t tick_ms;
	struct turn *turn;
	struct turn_task task;
	uint64_t random;
	uint64_t retry_ms;    /* back-off of the next failure */
	uint64_t retry_at_ms; /* what the bus asked for, 0 = nothing */
	uint64_t state_since; /* clock_mono_ms() */
	uint64_t complained;  /* last warning about the bus being away */
	uint64_t last_ping;   /* clock_mono_ms(), 0 = none outstanding */
	unsigned ping_ticks;  /* of the timer since then */
	bool setup;           /* asked for its configuration */
	bool guest; /* of another cell, whose configuration is not ours */
	char label[80];
	bool owner;     /* looked for, see struct box_opts */
	bool ownerless; /* this bus does not have the cell */
	bool had_epoch;
	bool retires;       /* box_retire() */
	bool left;          /* the bus has been told */
	bool grant_changed; /* the bus is to be told */
	bool was_full;      /* writable() is owed */
	/* The bus is sure of its cell until then; 0: it has no lease. */
	uint64_t lease_until; /* clock_mono_ms() */
	uint64_t lease_asked; /* clock_mono_ms(), when we last looked */
	size_t standbys;      /* in a row that only stand by */

	/* What the Welcome said, and what has been used of it. */
	Hopyard__V1__Welcome welcome; /* strings point to the two below */
	char bus_version[64], bus_node[64];
	uint64_t epoch;
	struct buf config;      /* what has come of it */
	struct tls_config *tls; /* of this connection or the last; or NULL */
	struct expiry expiry;   /* of its certificate */
	uint64_t certs_at;      /* clock_mono_ms() when it was read */
	size_t frame_items;
	uint64_t credit_items, credit_bytes;
	uint64_t used_items, used_bytes;
	/* What we granted. */
	uint64_t granted_items, granted_bytes;
	uint64_t got_items;

	struct outbox outbox;
	size_t resend_left; /* entries up to the last RESULT of before */
	size_t counted;     /* of the outbox, in box_stat_unacked */

	struct map calls; /* correlation -> struct box_ask */
	struct box_asks asked, failed;
	uint64_t last_correlation;

	struct arena arena;
	void (*done)(void *);
	void *done_arg;
};

static struct stat_value box_stat_lost = { .name = "bus_connections_lost_total",
	.help = "Connections to the bus that ended" };
static struct stat_value box_stat_unacked = { .name = "bus_unacked_items",
	.help = "Items kept until the bus acknowledges them",
	.type = STAT_GAUGE };
static struct stat_value box_stat_sent = { .name = "bus_items_total",
	.help = "Items over the bus",
	.labels = "direction=\"out\"" };
static struct stat_value box_stat_got = { .name = "bus_items_total",
	.help = "Items over the bus",
	.labels = "direction=\"in\"" };
static struct stat_value box_stat_frames_out = { .name = "bus_frames_total",
	.help = "Frames over the bus",
	.labels = "direction=\"out\"" };
static struct stat_value box_stat_frames_in = { .name = "bus_frames_total",
	.help = "Frames over the bus",
	.labels = "direction=\"in\"" };

static void box_enter_state(struct box *, enum box_state);
static void box_on_frame(struct box *, const struct frame *);
static void box_fail_calls(struct box *, unsigned code);
static void box_expire_calls(struct box *);
static conn_cb box_conn_cb;
static turn_cb box_turn_cb;

/* ---------------------------------------------------------------- sending */

static bool
box_welcomed(const struct box *b)
{
	return b->state == BOX_WELCOMED || b->state == BOX_READY;
}

static void
box_put(struct box *b, uint16_t type, uint16_t flags, uint64_t correlation,
    const ProtobufCMessage *m, size_t len)
{
	uint8_t *dst;

	dst = conn_reserve(b->conn, FRAME_HEADER + len);
	frame_put_header(dst, len, type, flags, correlation);
	if (m != NULL)
		protobuf_c_message_pack(m, dst + FRAME_HEADER);
	conn_commit(b->conn, FRAME_HEADER + len);
	box_stat_frames_out.value++;
}

static void
box_put_message(struct box *b, uint16_t type, uint64_t correlation,
    const ProtobufCMessage *m)
{
	box_put(b, type, 0, correlation, m,
	    m != NULL ? protobuf_c_message_get_packed_size(m) : 0);
}

bool
box_send(struct box *b, uint16_t type, uint16_t flags, uint64_t correlation,
    const ProtobufCMessage *m)
{
	size_t len = m != NULL ? protobuf_c_message_get_packed_size(m) : 0;

	if (b->state != BOX_READY)
		return false;
	assert(len <= FRAME_MAX_PAYLOAD);
	box_put(b, type, flags, correlation, m, len);
	return true;
}

bool
box_send_raw(struct box *b, uint16_t type, uint64_t correlation,
    const void *payload, size_t len)
{
	uint8_t *dst;

	if (b->state != BOX_READY)
		return false;
	assert(len <= FRAME_MAX_PAYLOAD);
	dst = conn_reserve(b->conn, FRAME_HEADER + len);
	frame_put_header(dst, len, type, 0, correlation);
	if (len > 0)
		memcpy(dst + FRAME_HEADER, payload, len);
	conn_commit(b->conn, FRAME_HEADER + len);
	box_stat_frames_out.value++;
	return true;
}

void
box_send_in_hand(struct box *b, uint64_t *refs, size_t n)
{
	Hopyard__V1__InHand in = HOPYARD__V1__IN_HAND__INIT;

	/* One frame at least: "nothing" is an answer as well. */
	do {
		in.ref = refs;
		in.n_ref = n < BOX_IN_HAND ? n : BOX_IN_HAND;
		(void)box_send(
		    b, HOPYARD__V1__FRAME_TYPE__IN_HAND, 0, 0, &in.base);
		refs += in.n_ref;
		n -= in.n_ref;
	} while (n > 0);
}

static void
box_send_hello(struct box *b)
{
	Hopyard__V1__Hello h = HOPYARD__V1__HELLO__INIT;
	char version[] = HOPYARD_VERSION;
	char host[256] = "";
	char *name, *type;

	name = xstrdup(b->name);
	type = xstrdup(b->type);
	gethostname(host, sizeof(host) - 1);
	h.proto_min = h.proto_max = BOX_PROTO;
	h.name = name;
	h.type = type;
	h.instance = (ProtobufCBinaryData){ sizeof(b->instance), b->instance };
	h.version = version;
	h.has_pid = true;
	h.pid = (uint32_t)getpid();
	h.has_last_epoch = b->had_epoch;
	h.last_epoch = b->epoch;
	h.host = host;
	h.has_setup = h.setup = b->setup;
	h.has_config = !b->guest && box_config_hash != 0;
	h.config = box_config_hash;
	h.has_leaving = h.leaving = b->left;
	box_put_message(b, HOPYARD__V1__FRAME_TYPE__HELLO, 0, &h.base);
	free(name);
	free(type);
}

/* What was withdrawn goes out of the way. */
static void
box_close_ranks(struct box *b)
{
	size_t last;

	if (b->outbox.dropped == 0)
		return;
	outbox_close_ranks(&b->outbox);
	if (b->state != BOX_WELCOMED)
		return;
	/* At worst a little more than what is meant goes before ready(). */
	last =
	    outbox_count_to_last(&b->outbox, HOPYARD__V1__FRAME_TYPE__RESULT);
	b->resend_left = last > b->outbox.sent ? last - b->outbox.sent : 0;
}

/* One frame per run of items; stops at credit and at the high watermark. */
static void
box_flush_items(struct box *b)
{
	struct outbox_limits limits;
	struct outbox_run run;
	size_t head;
	uint8_t *dst, *p;

	box_close_ranks(b);
	while (!conn_above_high(b->conn)) {
		limits = (struct outbox_limits){
			.items = b->credit_items - b->used_items,
			.bytes = b->credit_bytes - b->used_bytes,
			.frame_items = b->frame_items,
			.frame_payload = FRAME_MAX_PAYLOAD - ITEMS_HEAD,
		};
		if (!outbox_next(&b->outbox, &limits, &run))
			break;
		dst = conn_reserve(
		    b->conn, FRAME_HEADER + ITEMS_HEAD + run.payload);
		head = items_put_head(
		    dst + FRAME_HEADER, run.first, 0, false, 0, 0);
		frame_put_header(dst, head + run.payload, run.type, 0, 0);
		p = outbox_put(&b->outbox, &run, dst + FRAME_HEADER + head);
		conn_commit(b->conn, (size_t)(p - dst));
		CRASH_POINT("box.items_queued");
		b->used_items += run.items;
		b->used_bytes += run.bytes;
		b->resend_left -=
		    run.items < b->resend_left ? run.items : b->resend_left;
		box_stat_sent.value += run.items;
		box_stat_frames_out.value++;
	}
}

/* What the bus is told of what was in hand comes before this, or never. */
static void
box_flush_leave(struct box *b)
{
	if (b->left || b->state != BOX_READY ||
	    b->outbox.sent < b->outbox.count)
		return;
	box_put(b, HOPYARD__V1__FRAME_TYPE__LEAVE, FRAME_IGNORABLE, 0, NULL, 0);
	b->left = true;
}

/*
 * Sends what may be sent.  Once all results of earlier connections are out the
 * owner is told: what it says then, IN_HAND above all, is true in that order.
 */
static void
box_advance(struct box *b)
{
	box_flush_items(b);
	if (b->retires)
		box_flush_leave(b);
	if (b->state != BOX_WELCOMED || b->resend_left > 0)
		return;
	box_enter_state(b, BOX_READY);
	if (b->ops->ready != NULL)
		b->ops->ready(b, &b->welcome, b->arg);
}

/* ------------------------------------------------------------- life cycle */

static uint64_t
box_random(struct box *b)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return b->random;
}

/* Time to the next attempt: doubled by each failure, give or take a half. */
static uint64_t
box_retry_delay(struct box *b)
{
	uint64_t most =
	    b->address_count > 1 ? BOX_RETRY_ONE_MS : BOX_RETRY_MAX_MS;
	uint64_t ms;

	if (b->retry_at_ms > 0) {
		ms = b->retry_at_ms;
		b->retry_at_ms = 0;
	} else {
		ms = b->retry_ms;
		b->retry_ms *= 2;
		if (b->retry_ms > most)
			b->retry_ms = most;
	}
	return ms / 2 + box_random(b) % (ms + 1);
}

/* To wait for a connection, and for the Welcome. */
static uint64_t
box_answer_ms(const struct box *b)
{
	return b->address_count > 1 ? BOX_ANSWER_ONE_MS : BOX_ANSWER_MS;
}

static void
box_next_address(struct box *b)
{
	b->address = (b->address + 1) % b->address_count;
}

static bool
box_may_complain(struct box *b)
{
	uint64_t now = clock_mono_ms();

	if (b->complained != 0 && now - b->complained < BOX_COMPLAIN_MS)
		return false;
	b->complained = now;
	return true;
}

static void
box_drop(struct box *b, const char *reason, const char *detail)
{
	bool was_ready = b->state == BOX_READY;
	const char *address = b->addresses[b->address];

	if (b->state == BOX_DROPPING || b->state == BOX_CLOSING)
		return;
	if (was_ready) {
		/* To look for the owner is no event. */
		(b->ownerless ? log_debug : log_warn)("bus.lost",
		    "address=%s reason=%s detail=%s unacked=%zu", address,
		    reason, detail, b->outbox.live);
		box_stat_lost.value++;
		b->complained = clock_mono_ms();
		if (b->complained - b->state_since >= BOX_STABLE_MS)
			b->retry_ms = BOX_RETRY_MIN_MS;
	} else {
		/* Perhaps the next one of the list is better. */
		box_next_address(b);
		if (box_may_complain(b))
			log_warn("bus.away",
			    "address=%s reason=%s detail=%s next=%s", address,
			    reason, detail, b->addresses[b->address]);
	}
	box_enter_state(b, BOX_DROPPING);
	box_fail_calls(b, 503);
	if (was_ready && b->ops->lost != NULL)
		b->ops->lost(b, b->arg);
}

/* Another address is the better choice. */
static void
box_leave(struct box *b, const char *reason, const char *detail)
{
	bool was_ready = b->state == BOX_READY;

	box_drop(b, reason, detail);
	if (was_ready) /* else it is the next one's turn already */
		box_next_address(b);
}

/* The bus broke the protocol: say so and start anew. */
static void
box_bad_frame(struct box *b, const struct frame *f, const char *why)
{
	Hopyard__V1__Nak nak = HOPYARD__V1__NAK__INIT;
	char text[100];

	snprintf(text, sizeof(text), "%s", why);
	nak.code = HOPYARD__V1__NAK__CODE__BAD_FRAME;
	nak.text = text;
	if (f != NULL) {
		nak.has_type = nak.has_correlation = true;
		nak.type = f->type;
		nak.correlation = f->correlation;
	}
	box_put_message(b, HOPYARD__V1__FRAME_TYPE__NAK, 0, &nak.base);
	conn_close_flush(b->conn);
	box_drop(b, "bad frame from the bus", why);
}

/* The message of a frame, valid until the next one; NULL ends the connection. */
static const void *
box_unpack(
    struct box *b, const ProtobufCMessageDescriptor *d, const struct frame *f)
{
	const void *m = frame_unpack(&b->arena, d, f->payload, f->len);
	char why[64];

	if (m == NULL) {
		snprintf(why, sizeof(why), "%s does not parse", d->short_name);
		box_bad_frame(b, f, why);
	}
	return m;
}

/* The certificates as they are now; NULL with complaints. */
static struct tls_config *
box_read_certs(const struct box *b, struct buf *why)
{
	char *cert = xasprintf("%s/%s.crt", b->certs, b->name);
	char *key = xasprintf("%s/%s.key", b->certs, b->name);
	char *ca = xasprintf("%s/ca.crt", b->certs);
	char *crl = xasprintf("%s/ca.crl", b->certs);
	const struct tls_opts opts = {
		.cert = cert,
		.key = key,
		.ca = ca,
		.crl = access(crl, F_OK) == 0 ? crl : NULL,
		.only_13 = true,
		.uri = IDENTITY_BUS,
	};
	struct tls_config *tls = tls_client_new(&opts, why);

	free(cert);
	free(key);
	free(ca);
	free(crl);
	return tls;
}

/* Takes what is on disk; the connection goes on with what it has. */
static bool
box_take_certs(struct box *b, struct buf *why)
{
	struct tls_config *tls = box_read_certs(b, why);

	b->certs_at = clock_mono_ms();
	if (tls == NULL)
		return false;
	tls_config_unref(b->tls);
	b->tls = tls;
	expiry_set(&b->expiry, tls, (int64_t)(clock_wall_ms() / 1000));
	return true;
}

/* Once a minute: what was renewed is no reason to complain any more. */
static void
box_check_certs(struct box *b)
{
	struct buf why;

	if (b->tls == NULL || clock_mono_ms() - b->certs_at < BOX_CERTS_MS)
		return;
	buf_init(&why);
	if (!box_take_certs(b, &why))
		log_warn(
		    "bus.certs", "folder=%s error=%s", b->certs, buf_str(&why));
	expiry_tick(&b->expiry, (int64_t)(clock_wall_ms() / 1000));
	buf_fini(&why);
}

/* What hinders a connection to this address before it begins, or NULL. */
static const char *
box_prepare(
    struct box *b, const char *text, struct conn_opts *opts, struct buf *why)
{
	struct address a;

	if (address_parse(&a, text) != 0)
		return "not an address: unix:/path, host:port or [v6]:port";
	if (a.kind == ADDRESS_UNIX)
		return NULL;
	if (b->certs == NULL)
		return "a bus on TCP needs certificates";
	if (!box_take_certs(b, why))
		return buf_str(why);
	opts->tls = b->tls;
	return NULL;
}

static void
box_connect(struct box *b)
{
	/* Credit bounds what is written, and acks must come in always. */
	struct conn_opts opts = { .read_always = true,
		.greet_ms = BOX_ANSWER_MS };
	const char *address = b->addresses[b->address];
	const char *fault;
	struct buf why;

	buf_init(&why);
	fault = box_prepare(b, address, &opts, &why);
	if (fault == NULL)
		b->conn = conn_connect(b->loop, address, &opts, box_conn_cb, b);
	if (b->conn != NULL) {
		buf_fini(&why);
		box_enter_state(b, BOX_CONNECTING);
		return;
	}
	if (box_may_complain(b))
		log_error("bus.address", "address=%s error=%s", address,
		    fault != NULL ? fault : "cannot be used");
	buf_fini(&why);
	box_next_address(b);
	b->retry_ms = BOX_RETRY_MAX_MS;
	box_enter_state(b, BOX_WAITING);
}

/*
 * Silence is measured by the clock, but only ends the connection when the loop
 * has turned since the PING: after a SIGSTOP the answer may already be waiting.
 */
static void
box_check_silence(struct box *b)
{
	uint64_t now = clock_mono_ms();
	uint64_t silent = now - conn_last_read(b->conn) / 1000;

	if (silent < BOX_PING_MS) {
		b->last_ping = 0;
		return;
	}
	if (b->last_ping == 0 || now - b->last_ping >= BOX_PING_MS) {
		if (b->last_ping == 0)
			b->ping_ticks = 0;
		b->last_ping = now;
		box_put_message(b, HOPYARD__V1__FRAME_TYPE__PING, 0, NULL);
	}
	b->ping_ticks++;
	if (silent >= BOX_SILENT_MS && b->ping_ticks > 3)
		box_drop(b, "silent", "no answer to PING");
}

static void
box_ping(struct box *b)
{
	if (b->last_ping == 0)
		b->ping_ticks = 0;
	b->last_ping = b->lease_asked = clock_mono_ms();
	/* The answer tells when it was asked. */
	box_put_message(b, HOPYARD__V1__FRAME_TYPE__PING, b->last_ping, NULL);
}

static bool
box_lease_over(const struct box *b)
{
	return b->lease_until != 0 && clock_mono_ms() >= b->lease_until;
}

/*
 * The bus is asked all the time whether it still has the cell.  One that is
 * alive and not sure says so, and will say when to go; one that does not answer
 * is left when its lease is over: by then another may have taken its place.
 */
static void
box_check_lease(struct box *b)
{
	b->ping_ticks++;
	if (b->last_ping == 0) {
		if (clock_mono_ms() - b->lease_asked >= BOX_LEASE_TICK_MS)
			box_ping(b);
	} else if (box_lease_over(b) && b->ping_ticks > 2) {
		box_leave(b, "silent", "its lease is over");
	}
}

static void
box_on_pong(struct box *b, const struct frame *f)
{
	const Hopyard__V1__Pong *pong;

	if (b->lease_until == 0)
		return;
	pong = BOX_UNPACK(b, pong, f);
	if (pong == NULL || f->correlation != b->last_ping)
		return;
	b->last_ping = 0;
	/* From when we asked, so that it is never more than the bus has. */
	if (pong->has_lease_ms &&
	    f->correlation + pong->lease_ms > b->lease_until)
		b->lease_until = f->correlation + pong->lease_ms;
}

static void
box_look_for_owner(struct box *b)
{
	if (!b->ownerless || clock_mono_ms() - b->state_since < BOX_OWNER_MS ||
	    !TAILQ_EMPTY(&b->asked))
		return;
	box_next_address(b);
	box_drop(b, "standby", "it does not have the cell");
}

static void
box_timer_cb(uv_timer_t *timer)
{
	struct box *b = timer->data;

	switch (b->state) {
	case BOX_WAITING:
		box_connect(b);
		break;
	case BOX_CONNECTING:
	case BOX_HELLO:
		box_drop(b, "no answer", box_state_names[b->state]);
		break;
	case BOX_WELCOMED:
	case BOX_READY:
		box_expire_calls(b);
		if (b->lease_until != 0)
			box_check_lease(b);
		else
			box_check_silence(b);
		box_check_certs(b);
		box_look_for_owner(b);
		break;
	case BOX_DROPPING:
	case BOX_CLOSING:
		break;
	}
}

/* Between two looks when nothing is asked. */
static uint64_t
box_idle_tick(const struct box *b)
{
	return b->lease_until != 0 ? BOX_LEASE_TICK_MS : BOX_TICK_MS;
}

static void
box_start_ticks(struct box *b, uint64_t ms)
{
	if (b->tick_ms == ms)
		return;
	b->tick_ms = ms;
	uv_timer_start(&b->timer, box_timer_cb, ms, ms);
}

static void
box_timer_close_cb(uv_handle_t *handle)
{
	struct box *b = handle->data;
	void (*done)(void *) = b->done;
	void *done_arg = b->done_arg;
	size_t i;

	turn_remove(&b->task);
	turn_put(b->turn);
	box_stat_unacked.value -= b->counted;
	outbox_fini(&b->outbox);
	map_fini(&b->calls);
	for (i = 0; i < b->address_count; i++)
		free(b->addresses[i]);
	free(b->addresses);
	free(b->arena.base);
	buf_fini(&b->config);
	tls_config_unref(b->tls);
	expiry_fini(&b->expiry);
	free(b);
	if (done != NULL)
		done(done_arg);
}

static void
box_enter_state(struct box *b, enum box_state next)
{
	assert(b->state != BOX_CLOSING);
	log_debug("bus.state", "from=%s to=%s", box_state_names[b->state],
	    box_state_names[next]);
	b->state = next;
	b->state_since = clock_mono_ms();

	switch (next) {
	case BOX_WAITING:
		uv_timer_start(&b->timer, box_timer_cb, box_retry_delay(b), 0);
		break;
	case BOX_CONNECTING:
		uv_timer_start(&b->timer, box_timer_cb, box_answer_ms(b), 0);
		break;
	case BOX_HELLO:
		uv_timer_start(&b->timer, box_timer_cb, box_answer_ms(b), 0);
		box_send_hello(b);
		break;
	case BOX_WELCOMED:
		b->tick_ms = 0;
		box_start_ticks(b, box_idle_tick(b));
		b->standbys = 0;
		b->used_items = b->used_bytes = 0;
		b->granted_items = b->granted_bytes = b->got_items = 0;
		buf_clear(&b->config);
		b->grant_changed = false;
		b->last_ping = 0;
		outbox_restart(&b->outbox);
		b->resend_left = outbox_count_to_last(
		    &b->outbox, HOPYARD__V1__FRAME_TYPE__RESULT);
		break;
	case BOX_READY:
		break;
	case BOX_DROPPING:
		uv_timer_stop(&b->timer);
		b->tick_ms = 0;
		if (!conn_closing(b->conn)) /* a last Nak may be leaving */
			conn_close(b->conn);
		break;
	case BOX_CLOSING:
		uv_timer_stop(&b->timer);
		if (b->conn != NULL)
			conn_close_flush(b->conn);
		else
			uv_close((uv_handle_t *)&b->timer, box_timer_close_cb);
		break;
	}
}

static void
box_parse_addresses(struct box *b, const char *text)
{
	const char *end;
	size_t len;

	b->addresses = xcalloc(strlen(text) + 2, sizeof(*b->addresses));
	for (;; text = end + 1) {
		text += strspn(text, " ");
		end = strchrnul(text, ',');
		len = (size_t)(end - text);
		while (len > 0 && text[len - 1] == ' ')
			len--;
		/* An empty list is one bad address, and is logged as such. */
		if (len > 0 || (*end == '\0' && b->address_count == 0))
			b->addresses[b->address_count++] = xstrndup(text, len);
		if (*end == '\0')
			break;
	}
}

struct box *
box_new(uv_loop_t *loop, const struct box_opts *opts, const struct box_ops *ops,
    void *arg)
{
	struct box *b;

	b = xcalloc(1, sizeof(*b));
	b->loop = loop;
	b->ops = ops;
	b->arg = arg;
	b->name = opts->name;
	b->type = opts->type;
	b->certs = opts->certs;
	b->setup = opts->setup;
	b->guest = opts->cell != NULL;
	if (b->guest)
		snprintf(b->label, sizeof(b->label), "cell=\"%s\"", opts->cell);
	b->owner = opts->owner && !opts->setup;
	buf_init(&b->config);
	expiry_init(&b->expiry, "bus_tls_cert_expiry_seconds",
	    b->guest ? b->label : NULL);
	box_parse_addresses(b, opts->address);
	if (getrandom(b->instance, sizeof(b->instance), 0) !=
	    (ssize_t)sizeof(b->instance))
		fatal("bus.random", "error=%s", "getrandom failed");
	memcpy(&b->random, b->instance, sizeof(b->random));
	b->random |= 1;
	b->retry_ms = BOX_RETRY_MIN_MS;
	outbox_init(&b->outbox,
	    opts->max_items > 0 ? opts->max_items : BOX_MAX_ITEMS,
	    opts->max_bytes > 0 ? opts->max_bytes : BOX_MAX_BYTES);
	map_init(&b->calls);
	TAILQ_INIT(&b->asked);
	TAILQ_INIT(&b->failed);
	arena_init(&b->arena, xmalloc(BOX_ARENA), BOX_ARENA);
	b->turn = turn_get(loop);
	turn_task_init(&b->task, b->turn, TURN_WORK, box_turn_cb, b);
	uv_timer_init(loop, &b->timer);
	b->timer.data = b;
	stat_register(&box_stat_lost);
	stat_register(&box_stat_unacked);
	stat_register(&box_stat_sent);
	stat_register(&box_stat_got);
	stat_register(&box_stat_frames_out);
	stat_register(&box_stat_frames_in);
	/* From the loop, so that no callback comes from in here. */
	uv_timer_start(&b->timer, box_timer_cb, 0, 0);
	return b;
}

void
box_close(struct box *b, void (*done)(void *), void *arg)
{
	struct box_ask *ask;
	Hopyard__V1__Bye bye = HOPYARD__V1__BYE__INIT;

	if (b->state == BOX_CLOSING)
		return;
	b->done = done;
	b->done_arg = arg;
	while ((ask = TAILQ_FIRST(&b->asked)) != NULL) {
		TAILQ_REMOVE(&b->asked, ask, entry);
		map_del_u64(&b->calls, ask->correlation);
		free(ask);
	}
	while ((ask = TAILQ_FIRST(&b->failed)) != NULL) {
		TAILQ_REMOVE(&b->failed, ask, entry);
		free(ask);
	}
	turn_remove(&b->task);
	if (box_welcomed(b))
		box_put_message(b, HOPYARD__V1__FRAME_TYPE__BYE, 0, &bye.base);
	box_enter_state(b, BOX_CLOSING);
}

void
box_retire(struct box *b)
{
	b->retires = true;
	if (b->state == BOX_READY)
		turn_add(&b->task);
}

bool
box_ready(const struct box *b)
{
	return b->state == BOX_READY;
}

/* ------------------------------------------------------------------ items */

bool
box_can_send(const struct box *b)
{
	return !b->was_full;
}

size_t
box_unacked(const struct box *b)
{
	return b->outbox.live;
}

unsigned
box_fill(const struct box *b)
{
	const struct outbox *o = &b->outbox;
	size_t items = o->count * 100 / o->max_items;
	size_t bytes = o->bytes * 100 / o->max_bytes;
	size_t most = items > bytes ? items : bytes;

	return most > 100 ? 100 : (unsigned)most;
}

int
box_send_item(
    struct box *b, uint16_t type, const struct item *item, uint64_t cookie)
{
	int rc;

	assert(type == HOPYARD__V1__FRAME_TYPE__SUBMIT ||
	    type == HOPYARD__V1__FRAME_TYPE__RESULT ||
	    type == HOPYARD__V1__FRAME_TYPE__INBOUND);
	if (b->was_full)
		return UV_ENOBUFS;
	rc = outbox_add(&b->outbox, type, item, cookie);
	if (rc != 0)
		return rc;
	b->was_full = outbox_full(&b->outbox);
	if (box_welcomed(b))
		turn_add(&b->task);
	return 0;
}

uint64_t
box_last_item(const struct box *b)
{
	return b->outbox.serial;
}

enum box_withdrawn
box_withdraw(struct box *b, uint64_t item)
{
	enum outbox_withdrawn was = outbox_withdraw(&b->outbox, item);

	/* Perhaps there is room again. */
	if (b->outbox.dropped > 0 && b->state != BOX_CLOSING)
		turn_add(&b->task);
	switch (was) {
	case OUTBOX_SETTLED:
		break;
	case OUTBOX_SENT:
		return BOX_SENT;
	case OUTBOX_UNSENT:
		return BOX_UNSENT;
	}
	return BOX_SETTLED;
}

/* All boxes of a process together. */
static void
box_count_unacked(struct box *b)
{
	box_stat_unacked.value += b->outbox.live - b->counted;
	b->counted = b->outbox.live;
}

/* After acks: room for a quarter again, so that it does not come and go. */
static void
box_check_room(struct box *b)
{
	const struct outbox *o = &b->outbox;

	box_count_unacked(b);
	if (!b->was_full || o->count > o->max_items - o->max_items / 4 ||
	    o->bytes > o->max_bytes - o->max_bytes / 4)
		return;
	b->was_full = false;
	if (b->ops->writable != NULL)
		b->ops->writable(b, b->arg);
}

static void
box_on_ack(struct box *b, const struct frame *f)
{
	const Hopyard__V1__Ack__Exception *e;
	const Hopyard__V1__Ack *ack = BOX_UNPACK(b, ack, f);
	uint64_t cookie;
	size_t i;

	if (ack == NULL)
		return;
	CRASH_POINT("box.ack_read");
	if (ack->upto > outbox_last_sent(&b->outbox)) {
		box_bad_frame(b, f, "Ack of an item that was not sent");
		return;
	}
	/* The owner may close the box in each of these callbacks. */
	for (i = 0; i < ack->n_exception && box_welcomed(b); i++) {
		e = ack->exception[i];
		if (outbox_refuse(&b->outbox, e->number, &cookie)) {
			b->ops->acked(b, cookie, e->code, e->text, b->arg);
		} else {
			box_bad_frame(b, f, "Ack refuses what is settled");
			return;
		}
	}
	while (box_welcomed(b) && outbox_settle(&b->outbox, ack->upto, &cookie))
		b->ops->acked(
		    b, cookie, HOPYARD__V1__ACK__CODE__ACK_OK, NULL, b->arg);
	if (box_welcomed(b))
		box_check_room(b);
}

static void
box_on_credit(struct box *b, const struct frame *f)
{
	const Hopyard__V1__Credit *credit = BOX_UNPACK(b, credit, f);

	if (credit == NULL)
		return;
	/* Totals: what was granted cannot be taken back. */
	if (credit->items > b->credit_items)
		b->credit_items = credit->items;
	if (credit->bytes > b->credit_bytes)
		b->credit_bytes = credit->bytes;
	turn_add(&b->task);
}

void
box_grant(struct box *b, uint64_t items, uint64_t bytes)
{
	if (b->state != BOX_READY)
		return;
	b->granted_items += items;
	b->granted_bytes += bytes;
	b->grant_changed = true;
	turn_add(&b->task);
}

static void
box_on_items(struct box *b, const struct frame *f)
{
	struct items items;

	if (!items_open(&items, f->payload, f->len)) {
		box_bad_frame(b, f, "Items do not parse");
		return;
	}
	box_stat_got.value += items.count;
	if (f->type == HOPYARD__V1__FRAME_TYPE__DELIVER) {
		b->got_items += items.count;
		if (b->got_items > b->granted_items) {
			box_bad_frame(b, f, "more items than were granted");
			return;
		}
		/* It may have lain on the way while another bus took over,
		 * which gives it to us again. */
		if (b->lease_until != 0 && box_lease_over(b)) {
			box_drop(b, "items", "after the end of its lease");
			return;
		}
	}
	b->ops->items(b, f->type, &items, b->arg);
}

/* ------------------------------------------------------------------ calls */

static void
box_ask_end(struct box *b, struct box_ask *ask)
{
	map_del_u64(&b->calls, ask->correlation);
	TAILQ_REMOVE(&b->asked, ask, entry);
	if (TAILQ_EMPTY(&b->asked) && box_welcomed(b))
		box_start_ticks(b, box_idle_tick(b));
}

/* To be answered by us, at the end of the turn. */
static void
box_fail_call(struct box *b, struct box_ask *ask, unsigned code)
{
	box_ask_end(b, ask);
	ask->failed = code;
	TAILQ_INSERT_TAIL(&b->failed, ask, entry);
	turn_add(&b->task);
}

static void
box_fail_calls(struct box *b, unsigned code)
{
	struct box_ask *ask;

	while ((ask = TAILQ_FIRST(&b->asked)) != NULL)
		box_fail_call(b, ask, code);
}

static void
box_expire_calls(struct box *b)
{
	uint64_t now = clock_mono_ms();
	struct box_ask *ask, *next;

	TAILQ_FOREACH_SAFE(ask, &b->asked, entry, next)
		if (ask->deadline <= now)
			box_fail_call(b, ask, 504);
}

/* Answers that we make ourselves. */
static void
box_answer_failed(struct box *b)
{
	static char away[] = "no connection to the bus";
	static char late[] = "no answer in time";
	static char large[] = "the question is too long";
	Hopyard__V1__Reply reply;
	struct box_ask *ask;
	size_t n = 0;

	/* Only those that are there now: an owner may ask again at once. */
	TAILQ_FOREACH(ask, &b->failed, entry)
		n++;
	for (; n > 0 && (ask = TAILQ_FIRST(&b->failed)) != NULL; n--) {
		TAILQ_REMOVE(&b->failed, ask, entry);
		hopyard__v1__reply__init(&reply);
		reply.has_code = true;
		reply.code = ask->failed;
		reply.error = ask->failed == 504 ? late
		    : ask->failed == 400         ? large
						 : away;
		ask->cb(b, &reply, ask->arg);
		free(ask);
	}
}

void
box_call(struct box *b, const Hopyard__V1__Call *call, uint64_t timeout_ms,
    box_reply_cb *cb, void *arg)
{
	Hopyard__V1__Call copy = *call;
	struct box_ask *ask;
	size_t len;

	copy.has_timeout_ms = true;
	copy.timeout_ms =
	    timeout_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)timeout_ms;
	len = protobuf_c_message_get_packed_size(&copy.base);
	ask = xcalloc(1, sizeof(*ask));
	ask->correlation = ++b->last_correlation;
	ask->cb = cb;
	ask->arg = arg;
	ask->timeout_ms = timeout_ms;
	ask->deadline = clock_mono_ms() + timeout_ms;
	if (len > FRAME_MAX_PAYLOAD)
		ask->failed = 400;
	else if (b->state != BOX_READY || b->calls.count >= BOX_MAX_CALLS)
		ask->failed = 503;
	if (ask->failed != 0) {
		TAILQ_INSERT_TAIL(&b->failed, ask, entry);
		if (b->state != BOX_CLOSING)
			turn_add(&b->task);
		return;
	}
	map_put_u64(&b->calls, ask->correlation, ask);
	TAILQ_INSERT_TAIL(&b->asked, ask, entry);
	box_put(b, HOPYARD__V1__FRAME_TYPE__CALL, 0, ask->correlation,
	    &copy.base, len);
	box_start_ticks(b, BOX_CALL_TICK_MS);
}

void
box_call_cancel(struct box *b, void *arg)
{
	struct box_ask *ask, *next;

	TAILQ_FOREACH_SAFE(ask, &b->asked, entry, next) {
		if (ask->arg == arg) {
			box_ask_end(b, ask);
			free(ask);
		}
	}
	TAILQ_FOREACH_SAFE(ask, &b->failed, entry, next) {
		if (ask->arg == arg) {
			TAILQ_REMOVE(&b->failed, ask, entry);
			free(ask);
		}
	}
}

static void
box_on_reply(struct box *b, const struct frame *f)
{
	const Hopyard__V1__Reply *reply = BOX_UNPACK(b, reply, f);
	struct box_ask *ask = map_get_u64(&b->calls, f->correlation);

	if (reply == NULL)
		return;
	if (ask == NULL)
		return; /* timed out or cancelled */
	if (reply->more) {
		ask->deadline = clock_mono_ms() + ask->timeout_ms;
		ask->cb(b, reply, ask->arg);
		return;
	}
	box_ask_end(b, ask);
	ask->cb(b, reply, ask->arg);
	free(ask);
}

void
box_reply(struct box *b, uint64_t correlation, unsigned code, const char *error,
    const void *body, size_t len, bool more)
{
	static char large[] = "the answer is too long";
	Hopyard__V1__Reply reply = HOPYARD__V1__REPLY__INIT;
	char *text = error != NULL ? xstrdup(error) : NULL;
	uint8_t *copy = NULL;

	if (!box_welcomed(b)) {
		free(text);
		return;
	}
	reply.has_code = code != 0;
	reply.code = code;
	reply.error = text;
	reply.has_more = more;
	reply.more = more;
	if (body != NULL && len > FRAME_MAX_PAYLOAD - 1024) {
		reply.has_code = true;
		reply.code = 503;
		reply.error = large;
		reply.has_more = false;
	} else if (body != NULL) {
		copy = xmemdup(body, len);
		reply.has_body = true;
		reply.body = (ProtobufCBinaryData){ len, copy };
	}
	box_put_message(
	    b, HOPYARD__V1__FRAME_TYPE__REPLY, correlation, &reply.base);
	free(copy);
	free(text);
}

static void
box_write_ping(const struct box *b, struct buf *out)
{
	struct json j;

	json_init(&j, out);
	json_open_object(&j, NULL);
	json_str(&j, "name", b->name);
	json_str(&j, "type", b->type);
	json_str(&j, "version", HOPYARD_VERSION);
	json_uint(&j, "pid", (uint64_t)getpid());
	json_close_object(&j);
}

static void
box_answer_reload(struct box *b, uint64_t correlation)
{
	struct buf lines, out;
	struct json j;

	buf_init(&lines);
	buf_init(&out);
	/* Another cell has loaded its own. */
	if (b->guest || box_reload(&lines)) {
		json_init(&j, &out);
		json_open_object(&j, NULL);
		json_bool(&j, "ok", true);
		json_text(&j, "diff", buf_data(&lines), buf_len(&lines));
		json_close_object(&j);
		box_reply(b, correlation, 0, NULL, buf_data(&out),
		    buf_len(&out), false);
	} else {
		box_reply(b, correlation, 422, buf_str(&lines), NULL, 0, false);
	}
	buf_fini(&out);
	buf_fini(&lines);
}

static void
box_answer_restart(struct box *b, uint64_t correlation)
{
	struct buf why;

	buf_init(&why);
	if (box_restart(&why))
		box_reply(b, correlation, 0, NULL, "{\"ok\":true}", 11, false);
	else
		box_reply(b, correlation, 409, buf_str(&why), NULL, 0, false);
	buf_fini(&why);
}

/* True when the method is one of those that every box has. */
static bool
box_answer_common(
    struct box *b, uint64_t correlation, const Hopyard__V1__Call *call)
{
	struct json j;
	struct buf out;

	buf_init(&out);
	if (strcmp(call->method, "ping") == 0) {
		box_write_ping(b, &out);
	} else if (strcmp(call->method, "prometheus") == 0) {
		stats_prometheus(&out, b->name);
	} else if (strcmp(call->method, "stats") == 0) {
		json_init(&j, &out);
		stats_json(&j, NULL);
	} else if (strcmp(call->method, "reload") == 0 && box_reload != NULL) {
		box_answer_reload(b, correlation);
		return true;
	} else if (strcmp(call->method, "restart") == 0 &&
	    box_restart != NULL) {
		box_answer_restart(b, correlation);
		return true;
	} else {
		return false;
	}
	box_reply(
	    b, correlation, 0, NULL, buf_data(&out), buf_len(&out), false);
	buf_fini(&out);
	return true;
}

static void
box_on_call(struct box *b, const struct frame *f)
{
	const Hopyard__V1__Call *call = BOX_UNPACK(b, call, f);

	if (call == NULL)
		return;
	if (box_answer_common(b, f->correlation, call))
		return;
	if (b->ops->call != NULL)
		b->ops->call(b, f->correlation, call, b->arg);
	else
		box_reply(
		    b, f->correlation, 404, "no such method", NULL, 0, false);
}

/* --------------------------------------------------------- other frames */

static void
box_keep_welcome(struct box *b, const Hopyard__V1__Welcome *w)
{
	b->welcome = *w;
	snprintf(b->bus_version, sizeof(b->bus_version), "%s", w->version);
	snprintf(b->bus_node, sizeof(b->bus_node), "%s",
	    w->node != NULL ? w->node : "");
	b->welcome.version = b->bus_version;
	b->welcome.node = b->bus_node;
	b->welcome.base.n_unknown_fields = 0;
	b->welcome.base.unknown_fields = NULL;
	/* 0 is no news: it is not known yet. */
	if (w->epoch != 0 || !b->had_epoch)
		b->epoch = w->epoch;
	b->had_epoch = true;
	b->lease_until = w->has_lease_ms ? b->state_since + w->lease_ms : 0;
	b->frame_items =
	    w->max_items < FRAME_MAX_ITEMS ? w->max_items : FRAME_MAX_ITEMS;
	b->credit_items = w->credit_items;
	b->credit_bytes = w->credit_bytes;
}

static void box_on_standby(struct box *, const char *text);

static void
box_on_welcome(struct box *b, const struct frame *f)
{
	const Hopyard__V1__Welcome *w = BOX_UNPACK(b, welcome, f);

	if (w == NULL)
		return;
	if (w->proto != BOX_PROTO || w->max_items == 0 ||
	    w->max_frame < FRAME_MAX_PAYLOAD) {
		b->retry_at_ms = BOX_REFUSED_MS;
		box_bad_frame(b, f, "Welcome with limits that are not ours");
		return;
	}
	b->ownerless = b->owner && b->address_count > 1 && w->epoch == 0;
	if (b->ownerless && b->standbys < b->address_count) {
		box_on_standby(b, "it does not have the cell");
		return;
	}
	CRASH_POINT("box.welcomed");
	box_keep_welcome(b, w);
	b->complained = 0;
	(b->ownerless ? log_debug : log_info)("bus.welcome",
	    "address=%s peer=%s version=%s epoch=%" PRIu64 " resend=%zu",
	    b->addresses[b->address], conn_peer(b->conn), w->version, w->epoch,
	    b->outbox.live);
	box_enter_state(b, BOX_WELCOMED);
	box_advance(b);
}

static unsigned
box_nak_code(const Hopyard__V1__Nak *nak)
{
	switch (nak->code) {
	case HOPYARD__V1__NAK__CODE__UNKNOWN_TYPE:
	case HOPYARD__V1__NAK__CODE__NOT_CONFIGURED:
		return 404;
	case HOPYARD__V1__NAK__CODE__DENIED:
		return 403;
	case HOPYARD__V1__NAK__CODE__NOT_READY:
		return 503;
	default:
		return 400;
	}
}

/*
 * Another one has the cell, or will have it in a moment: no matter for people,
 * unless nobody has it for long.
 */
static void
box_on_standby(struct box *b, const char *text)
{
	const char *address = b->addresses[b->address];

	/* All of the list without a pause, and then again. */
	b->standbys++;
	b->retry_at_ms =
	    b->standbys % b->address_count == 0 ? BOX_STANDBY_MS : 1;
	log_debug("bus.standby", "address=%s text=%s", address, text);
	if (b->complained == 0)
		b->complained = clock_mono_ms();
	box_drop(b, "standby", text);
}

static void
box_on_nak(struct box *b, const struct frame *f)
{
	static char refused[] = "refused by the bus";
	static struct log_limit limit;
	const Hopyard__V1__Nak *nak = BOX_UNPACK(b, nak, f);
	const ProtobufCEnumValue *code;
	const char *name, *text;
	struct box_ask *ask;
	Hopyard__V1__Reply reply = HOPYARD__V1__REPLY__INIT;

	if (nak == NULL)
		return;
	code = protobuf_c_enum_descriptor_get_value(
	    &hopyard__v1__nak__code__descriptor, (int)nak->code);
	name = code != NULL ? code->name : "UNKNOWN";
	text = nak->text != NULL ? nak->text : "";

	if (!box_welcomed(b) && b->address_count > 1 &&
	    nak->code == HOPYARD__V1__NAK__CODE__NOT_READY) {
		box_on_standby(b, text);
		return;
	}
	if (!box_welcomed(b)) {
		/* An operator has to do something, or a name has to become
		 * free: try on, slowly. */
		b->retry_at_ms =
		    nak->code == HOPYARD__V1__NAK__CODE__NAME_IN_USE ||
			nak->code == HOPYARD__V1__NAK__CODE__NOT_READY
		    ? BOX_REFUSED_MS / 5
		    : BOX_REFUSED_MS;
		if (box_may_complain(b))
			log_error("bus.refused",
			    "name=%s type=%s code=%s text=%s retry_ms=%" PRIu64,
			    b->name, b->type, name, text, b->retry_at_ms);
		box_drop(b, "refused", name);
		return;
	}
	ask = nak->has_correlation && nak->has_type &&
		nak->type == HOPYARD__V1__FRAME_TYPE__CALL
	    ? map_get_u64(&b->calls, nak->correlation)
	    : NULL;
	if (ask == NULL) {
		if (log_limit(&limit, 5))
			log_warn("bus.nak", "code=%s type=%u text=%s", name,
			    nak->type, text);
		return;
	}
	box_ask_end(b, ask);
	reply.has_code = true;
	reply.code = box_nak_code(nak);
	reply.error = nak->text != NULL ? nak->text : refused;
	ask->cb(b, &reply, ask->arg);
	free(ask);
}

static void
box_on_bye(struct box *b, const struct frame *f)
{
	const Hopyard__V1__Bye *bye = BOX_UNPACK(b, bye, f);

	if (bye == NULL)
		return;
	if (bye->has_reconnect_ms)
		b->retry_at_ms =
		    bye->reconnect_ms < 60000 ? bye->reconnect_ms : 60000;
	else if (b->address_count > 1)
		b->retry_at_ms = 1;
	box_leave(b, "bye", bye->reason != NULL ? bye->reason : "");
}

static void
box_on_ping(struct box *b, const struct frame *f)
{
	Hopyard__V1__Pong pong = HOPYARD__V1__PONG__INIT;

	stats_process(&pong.memory, &pong.cpu_ms);
	pong.has_memory = pong.has_cpu_ms = true;
	pong.has_config = !b->guest && box_config_hash != 0;
	pong.config = box_config_hash;
	pong.has_certificate_at = b->tls != NULL;
	pong.certificate_at = (uint64_t)b->expiry.at * 1000;
	box_put_message(
	    b, HOPYARD__V1__FRAME_TYPE__PONG, f->correlation, &pong.base);
}

/* Piece by piece; the whole goes to whom it concerns. */
static void
box_on_config(struct box *b, const struct frame *f)
{
	const Hopyard__V1__Config *c = BOX_UNPACK(b, config, f);

	if (c == NULL)
		return;
	if (buf_len(&b->config) + c->text.len > BOX_MAX_CONFIG) {
		box_bad_frame(b, f, "a configuration without end");
		return;
	}
	if (c->text.len > 0)
		buf_add(&b->config, c->text.data, c->text.len);
	if (c->more)
		return;
	if (b->ops->config != NULL)
		b->ops->config(b, &b->config, b->arg);
	else if (box_config != NULL && !b->guest)
		box_config(&b->config);
	if (buf_len(&b->config) > 0) /* there are secrets in it */
		explicit_bzero(buf_data(&b->config), buf_len(&b->config));
	buf_clear(&b->config);
}

static void
box_on_unknown(struct box *b, const struct frame *f)
{
	static struct log_limit limit;
	Hopyard__V1__Nak nak = HOPYARD__V1__NAK__INIT;

	if ((f->flags & FRAME_IGNORABLE) != 0)
		return;
	if (log_limit(&limit, 1))
		log_warn("bus.unknown", "type=%u len=%zu", f->type, f->len);
	nak.code = HOPYARD__V1__NAK__CODE__UNKNOWN_TYPE;
	nak.has_type = nak.has_correlation = true;
	nak.type = f->type;
	nak.correlation = f->correlation;
	box_put_message(b, HOPYARD__V1__FRAME_TYPE__NAK, 0, &nak.base);
}

/* Before the Welcome nothing else may come. */
static void
box_on_first_frame(struct box *b, const struct frame *f)
{
	switch (f->type) {
	case HOPYARD__V1__FRAME_TYPE__WELCOME:
		box_on_welcome(b, f);
		break;
	case HOPYARD__V1__FRAME_TYPE__NAK:
		box_on_nak(b, f);
		break;
	case HOPYARD__V1__FRAME_TYPE__BYE:
		box_on_bye(b, f);
		break;
	default:
		box_bad_frame(b, f, "frame before the Welcome");
		break;
	}
}

static void
box_on_frame(struct box *b, const struct frame *f)
{
	switch (f->type) {
	case HOPYARD__V1__FRAME_TYPE__ACK:
		box_on_ack(b, f);
		break;
	case HOPYARD__V1__FRAME_TYPE__CREDIT:
		box_on_credit(b, f);
		break;
	case HOPYARD__V1__FRAME_TYPE__DELIVER:
	case HOPYARD__V1__FRAME_TYPE__RECORD:
	case HOPYARD__V1__FRAME_TYPE__PAGED:
	case HOPYARD__V1__FRAME_TYPE__NOTICE:
	case HOPYARD__V1__FRAME_TYPE__OVERDUE:
		if (b->ops->items != NULL)
			box_on_items(b, f);
		else
			box_on_unknown(b, f);
		break;
	case HOPYARD__V1__FRAME_TYPE__CALL:
		box_on_call(b, f);
		break;
	case HOPYARD__V1__FRAME_TYPE__REPLY:
		box_on_reply(b, f);
		break;
	case HOPYARD__V1__FRAME_TYPE__PING:
		box_on_ping(b, f);
		if (box_lease_over(b))
			box_ping(b);
		break;
	case HOPYARD__V1__FRAME_TYPE__CONFIG:
		box_on_config(b, f);
		break;
	case HOPYARD__V1__FRAME_TYPE__PONG:
		box_on_pong(b, f);
		break;
	case HOPYARD__V1__FRAME_TYPE__NAK:
		box_on_nak(b, f);
		break;
	case HOPYARD__V1__FRAME_TYPE__BYE:
		box_on_bye(b, f);
		break;
	case HOPYARD__V1__FRAME_TYPE__HELLO:
	case HOPYARD__V1__FRAME_TYPE__WELCOME:
	case HOPYARD__V1__FRAME_TYPE__SUBMIT:
	case HOPYARD__V1__FRAME_TYPE__RESULT:
	case HOPYARD__V1__FRAME_TYPE__INBOUND:
		box_bad_frame(b, f, "frame that a bus does not send");
		break;
	default:
		if (b->ops->frame != NULL &&
		    protobuf_c_enum_descriptor_get_value(
			&hopyard__v1__frame_type__descriptor, f->type) != NULL)
			b->ops->frame(b, f, b->arg);
		else
			box_on_unknown(b, f);
		break;
	}
}

static void
box_on_data(struct box *b)
{
	struct frame f;
	int n;

	/* Any frame may end the connection: look at the state every time. */
	for (;;) {
		if (b->state != BOX_HELLO && !box_welcomed(b))
			return;
		n = frame_decode(&f, conn_data(b->conn), conn_len(b->conn),
		    b->state == BOX_HELLO ? FRAME_MAX_HELLO
					  : FRAME_MAX_PAYLOAD);
		if (n == 0)
			return;
		if (n < 0) {
			box_bad_frame(b, NULL, "frame is too long");
			return;
		}
		arena_reset(&b->arena);
		box_stat_frames_in.value++;
		if (b->state == BOX_HELLO)
			box_on_first_frame(b, &f);
		else
			box_on_frame(b, &f);
		conn_drop(b->conn, (size_t)n);
	}
}

static void
box_conn_cb(struct conn *c, enum conn_event ev, void *arg)
{
	struct box *b = arg;

	assert(b->conn == c);
	switch (ev) {
	case CONN_EV_CONNECTED:
		box_enter_state(b, BOX_HELLO);
		break;
	case CONN_EV_DATA:
		box_on_data(b);
		break;
	case CONN_EV_WRITABLE:
		if (box_welcomed(b))
			turn_add(&b->task);
		break;
	case CONN_EV_EOF:
		box_drop(b, "closed by the bus", "");
		break;
	case CONN_EV_ERROR:
		/* Not trusted, by them or by us: that takes somebody's hand. */
		if (conn_error(c) == UV_EPROTO && !box_welcomed(b))
			b->retry_at_ms = BOX_REFUSED_MS / 5;
		box_drop(b, "connection failed", conn_error_text(c));
		break;
	case CONN_EV_CLOSED:
		b->conn = NULL;
		if (b->state == BOX_CLOSING)
			uv_close((uv_handle_t *)&b->timer, box_timer_close_cb);
		else
			box_enter_state(b, BOX_WAITING);
		break;
	}
}

static void
box_turn_cb(void *arg)
{
	Hopyard__V1__Credit credit = HOPYARD__V1__CREDIT__INIT;
	struct box *b = arg;

	box_answer_failed(b);
	if (b->outbox.dropped > 0) {
		box_close_ranks(b);
		box_check_room(b);
	}
	if (!box_welcomed(b))
		return;
	box_advance(b);
	box_count_unacked(b);
	if (b->state == BOX_READY && b->grant_changed) {
		b->grant_changed = false;
		credit.items = b->granted_items;
		credit.bytes = b->granted_bytes;
		box_put_message(
		    b, HOPYARD__V1__FRAME_TYPE__CREDIT, 0, &credit.base);
	}
}
