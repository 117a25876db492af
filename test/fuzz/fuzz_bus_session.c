/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz-link: core
 *
 * fuzz_bus_session.c - a script of what boxes, tools and the clock do to one
 * bus: the real broker, peers and engine behind real sockets.  Each octet is a
 * step, some with octets behind (see step()).
 *
 * Holds at every step: what the bus writes are whole frames that parse; each
 * box is acknowledged no more than it has sent, never less than before, and
 * nothing that the store has not confirmed; a connection that was closed is
 * gone from the table; and at the end nothing is left.
 *
 * The one thing left out: a store that was open and then names another epoch
 * ends the bus, as it must (another one has taken over).
 */
#include "core/broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/conn.h"
#include "common/daemon.h"
#include "common/log.h"
#include "proto/wire.h"
#include "test/fuzz/fuzz.h"

#define FUZZ_STEPS 200
#define FUZZ_BOXES 6
#define FUZZ_IDS   256 /* more in one run are not watched */
#define FUZZ_WALL  UINT64_C(1800000000000)

static const char conf_text[] =
    "bus = { socket = \"%s/b\"; control = \"%s/c\"; };\n"
    "boxes = ( { name = \"store\"; type = \"store\"; dsn = \"x\"; },\n"
    "{ name = \"api\"; type = \"http\"; },\n"
    "{ name = \"sim\"; type = \"smppc\"; host = \"h:1\"; system_id = \"s\"; },\n"
    "{ name = \"hooks\"; type = \"hook\"; },\n"
    "{ name = \"gw\"; type = \"smpps\"; } );\n"
    "accounts = ( { id = \"demo\"; username = \"demo\"; smpp = true; } );\n"
    "routes = ( { name = \"r\"; via = [ \"sim\" ]; } );\n"
    "inbound = ( { name = \"i\"; account = \"demo\"; url = \"http://h/\"; } );\n";

static const struct {
	const char *name, *type;
} boxes[FUZZ_BOXES] = { { "store", "store" }, { "api", "http" },
	{ "sim", "smppc" }, { "hooks", "hook" }, { "gw", "smpps" },
	{ "hopctl", "ctl" } };

/* One end of a connection; the bus has the other. */
struct box {
	int fd; /* -1: none */
	uint32_t peer;
	uint64_t sent, acked; /* numbered items */
	uint64_t records;     /* the last seq that came, the store's */
	uint64_t ref;         /* the last that was handed over */
	uint64_t credit;
	uint16_t carries[FUZZ_IDS]; /* by number: 1 + which id, 0: none */
	uint8_t in[1 << 17];
	size_t in_len;
};

static struct fuzz {
	uv_loop_t loop;
	char dir[40];
	struct conf *conf;
	struct broker broker;
	struct box box[FUZZ_BOXES];
	uint64_t now;
	struct {
		uint8_t octets[16];
		bool accepted;
	} id[FUZZ_IDS]; /* of messages, however often they were handed over */
	size_t ids;
	uint64_t accepted; /* of those, acknowledged as good */
	uint64_t confirmed;
	uint64_t serial;
} fuzz;

/* ----------------------------------- what the broker wants of its process */

const char hopyard_version[] = "0.0.0";

uv_loop_t *
daemon_loop(struct daemon *d)
{
	(void)d;
	return &fuzz.loop;
}

const struct conf *
daemon_conf(struct daemon *d)
{
	(void)d;
	return fuzz.conf;
}

void
daemon_ready(struct daemon *d)
{
	(void)d;
}

void
daemon_stop(struct daemon *d, int code)
{
	(void)d;
	(void)code;
}

void
daemon_again(struct daemon *d)
{
	(void)d;
}

bool
daemon_restart(struct daemon *d, struct buf *why)
{
	(void)d;
	buf_printf(why, "not here");
	return false;
}

bool
daemon_reload(struct daemon *d, struct buf *err)
{
	(void)d;
	buf_printf(err, "not here");
	return false;
}

/* ------------------------------------------------------- what the bus says */

static void
parsed(const struct frame *f, const ProtobufCMessageDescriptor *d)
{
	static uint64_t memory[1 << 17];
	struct arena arena;

	arena_init(&arena, memory, sizeof(memory));
	assert(frame_unpack(&arena, d, f->payload, f->len) != NULL);
}

static bool
refused(const Hopyard__V1__Ack *ack, size_t i)
{
	return ack->exception[i]->code != HOPYARD__V1__ACK__CODE__ACK_OK &&
	    ack->exception[i]->code != HOPYARD__V1__ACK__CODE__LATER;
}

static void
accepted(struct fuzz *f, size_t which)
{
	/* Handed over once more with the same id, it is the same message. */
	f->accepted += !f->id[which].accepted;
	f->id[which].accepted = true;
}

static void
acked(struct fuzz *f, struct box *b, const struct frame *frame)
{
	static uint64_t memory[1 << 16];
	const Hopyard__V1__Ack *ack;
	struct arena arena;

	arena_init(&arena, memory, sizeof(memory));
	ack = frame_unpack(
	    &arena, &hopyard__v1__ack__descriptor, frame->payload, frame->len);
	assert(ack != NULL && ack->upto >= b->acked && ack->upto <= b->sent);
	for (size_t i = 0; i < ack->n_exception; i++)
		if (ack->exception[i]->number < FUZZ_IDS && refused(ack, i))
			b->carries[ack->exception[i]->number] = 0;
	while (b->acked < ack->upto)
		if (++b->acked < FUZZ_IDS && b->carries[b->acked] != 0)
			accepted(f, b->carries[b->acked] - 1);
}

static void
items(struct box *b, const struct frame *f)
{
	static uint64_t memory[1 << 14];
	const Hopyard__V1__Dispatch *x;
	struct arena arena;
	struct items its;
	struct item it;
	bool good = items_open(&its, f->payload, f->len);

	assert(good);
	while (items_next(&its, &it)) {
		if (f->type == HOPYARD__V1__FRAME_TYPE__RECORD) {
			b->records = its.number;
			continue;
		}
		arena_init(&arena, memory, sizeof(memory));
		x = frame_unpack(&arena, &hopyard__v1__dispatch__descriptor,
		    it.context.p, it.context.len);
		assert(x != NULL);
		b->ref = x->ref;
	}
}

static void
heard(struct fuzz *f, struct box *b, const struct frame *frame)
{
	switch ((Hopyard__V1__FrameType)frame->type) {
	case HOPYARD__V1__FRAME_TYPE__ACK:
		acked(f, b, frame);
		break;
	case HOPYARD__V1__FRAME_TYPE__RECORD:
	case HOPYARD__V1__FRAME_TYPE__DELIVER:
		items(b, frame);
		break;
	case HOPYARD__V1__FRAME_TYPE__WELCOME:
		parsed(frame, &hopyard__v1__welcome__descriptor);
		break;
	case HOPYARD__V1__FRAME_TYPE__NAK:
		parsed(frame, &hopyard__v1__nak__descriptor);
		break;
	case HOPYARD__V1__FRAME_TYPE__CREDIT:
		parsed(frame, &hopyard__v1__credit__descriptor);
		break;
	case HOPYARD__V1__FRAME_TYPE__PAGE:
		parsed(frame, &hopyard__v1__page__descriptor);
		break;
	case HOPYARD__V1__FRAME_TYPE__REPLY:
		parsed(frame, &hopyard__v1__reply__descriptor);
		break;
	default:
		break;
	}
}

static void
gone(struct box *b)
{
	if (b->fd >= 0)
		(void)close(b->fd);
	b->fd = -1;
	b->in_len = 0;
	b->sent = b->acked = b->credit = b->records = 0;
	memset(b->carries, 0, sizeof(b->carries));
}

static void
read_all(struct fuzz *f)
{
	for (size_t i = 0; i < FUZZ_BOXES; i++) {
		struct box *b = &f->box[i];
		struct frame frame;
		ssize_t got;
		int n;

		while (b->fd >= 0) {
			got = recv(b->fd, b->in + b->in_len,
			    sizeof(b->in) - b->in_len, MSG_DONTWAIT);
			if (got == 0)
				gone(b);
			if (got <= 0)
				break;
			b->in_len += (size_t)got;
			while ((n = frame_decode(&frame, b->in, b->in_len,
				    FRAME_MAX_PAYLOAD)) > 0) {
				heard(f, b, &frame);
				b->in_len -= (size_t)n;
				memmove(b->in, b->in + n, b->in_len);
			}
			assert(n == 0);
		}
	}
}

/* --------------------------------------------------- what the boxes say */

static void
send_frame(struct box *b, uint16_t type, uint16_t flags, uint64_t correlation,
    const void *payload, size_t len)
{
	static uint8_t out[FRAME_HEADER + 65536];

	if (b->fd < 0 || len > sizeof(out) - FRAME_HEADER)
		return;
	frame_put_header(out, len, type, flags, correlation);
	if (len > 0)
		memcpy(out + FRAME_HEADER, payload, len);
	(void)!send(
	    b->fd, out, FRAME_HEADER + len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
send_message(struct box *b, uint16_t type, const ProtobufCMessage *m)
{
	static uint8_t out[8192];
	size_t len = protobuf_c_message_get_packed_size(m);

	assert(len <= sizeof(out));
	send_frame(b, type, 0, 0, out, protobuf_c_message_pack(m, out));
}

static void
turn(struct fuzz *f)
{
	/* To come in, and to be read. */
	for (int i = 0; i < 2; i++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
	read_all(f);
}

static void
dial(struct fuzz *f, size_t i)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct box *b = &f->box[i];

	if (b->fd >= 0)
		return;
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%c", f->dir,
	    i == FUZZ_BOXES - 1 ? 'c' : 'b');
	b->fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert(b->fd >= 0);
	if (connect(b->fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		gone(b);
		return;
	}
	turn(f);
	b->peer = f->broker.last_id;
}

static void
hello(struct fuzz *f, size_t i, uint8_t how)
{
	Hopyard__V1__Hello h = HOPYARD__V1__HELLO__INIT;
	uint8_t instance[16] = { 0 };
	char name[16], type[16];

	dial(f, i);
	(void)snprintf(name, sizeof(name), "%s", boxes[i].name);
	(void)snprintf(
	    type, sizeof(type), "%s", boxes[(i + (how == 255)) % 6].type);
	instance[0] = how & 1;
	h.proto_min = how == 254 ? 2 : 1;
	h.proto_max = 1 + (how == 254);
	h.name = name;
	h.type = type;
	h.instance = (ProtobufCBinaryData){ 16, instance };
	h.has_last_epoch = (how & 2) != 0;
	h.last_epoch = 1;
	send_message(&f->box[i], HOPYARD__V1__FRAME_TYPE__HELLO, &h.base);
}

static void
opened(struct fuzz *f)
{
	Hopyard__V1__Opened o = HOPYARD__V1__OPENED__INIT;
	Hopyard__V1__Credit c = HOPYARD__V1__CREDIT__INIT;
	const struct engine *e = f->broker.engine;

	o.epoch = e->epoch != 0 ? e->epoch : 1;
	o.last_seq = e->open ? e->ledger.horizon : e->ledger.last_seq;
	send_message(&f->box[0], HOPYARD__V1__FRAME_TYPE__OPENED, &o.base);
	c.items = f->box[0].credit += 1000;
	c.bytes = c.items * 1000;
	send_message(&f->box[0], HOPYARD__V1__FRAME_TYPE__CREDIT, &c.base);
}

static void
horizon(struct fuzz *f)
{
	Hopyard__V1__Horizon h = HOPYARD__V1__HORIZON__INIT;

	if (f->box[0].records == 0)
		return;
	h.seq = f->box[0].records;
	f->confirmed = h.seq;
	send_message(&f->box[0], HOPYARD__V1__FRAME_TYPE__HORIZON, &h.base);
}

/* Which of the messages of this run; FUZZ_IDS: too many. */
static size_t
known(struct fuzz *f, const uint8_t id[16])
{
	size_t i;

	for (i = 0; i < f->ids; i++)
		if (memcmp(f->id[i].octets, id, 16) == 0)
			return i;
	if (i < FUZZ_IDS) {
		memcpy(f->id[i].octets, id, 16);
		f->id[i].accepted = false;
		f->ids++;
	}
	return i;
}

/* An item, and the id of a message that it hands over. */
static void
numbered(struct fuzz *f, struct box *b, uint16_t type, const struct item *it,
    const uint8_t *id)
{
	static uint8_t out[4096];
	size_t which = id != NULL ? known(f, id) : FUZZ_IDS;
	size_t n = items_put_head(out, b->sent + 1, 0, false, 0, 0);

	if (b->fd < 0 || n + item_size(it) > sizeof(out))
		return;
	(void)item_put(out + n, it);
	b->sent++;
	if (which < FUZZ_IDS && b->sent < FUZZ_IDS)
		b->carries[b->sent] = (uint16_t)(which + 1);
	send_frame(b, type, 0, 0, out, n + item_size(it));
}

static void
submit(struct fuzz *f, size_t i, uint8_t how)
{
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	static uint8_t packed[1024];
	static uint8_t account[] = "demo", to[] = "4915112345678",
		       link[] = "sim";
	uint8_t id[16] = { 0 };
	struct item it = { .body = bytes_str("x") };
	uint64_t ms = FUZZ_WALL + f->now;

	for (int k = 0; k < 6; k++)
		id[k] = (uint8_t)(ms >> (40 - 8 * k));
	id[6] = 0x70;
	id[8] = 0x80;
	id[15] = (uint8_t)(f->serial += (how & 1));
	id[14] = (uint8_t)(f->serial >> 8);
	env.id = (ProtobufCBinaryData){ 16, id };
	env.kind = i == 2 ? HOPYARD__V1__KIND__MO : HOPYARD__V1__KIND__MT;
	env.has_account = i != 2;
	env.account = (ProtobufCBinaryData){ 4, account };
	env.has_to = true;
	env.to = (ProtobufCBinaryData){ 13, to };
	env.has_link = i == 2;
	env.link = (ProtobufCBinaryData){ 3, link };
	env.has_report_mask = true;
	env.report_mask = how >> 1 & 31;
	it.envelope =
	    bytes_of(packed, hopyard__v1__envelope__pack(&env, packed));
	numbered(f, &f->box[i],
	    i == 2 ? HOPYARD__V1__FRAME_TYPE__INBOUND
		   : HOPYARD__V1__FRAME_TYPE__SUBMIT,
	    &it, id);
}

static void
result(struct fuzz *f, size_t i, uint8_t how)
{
	Hopyard__V1__Result r = HOPYARD__V1__RESULT__INIT;
	Hopyard__V1__Credit c = HOPYARD__V1__CREDIT__INIT;
	static uint8_t packed[256];
	struct item it = { 0 };

	if ((how & 1) != 0 || f->box[i].ref == 0) {
		c.items = f->box[i].credit += how;
		c.bytes = c.items * 1000;
		send_message(
		    &f->box[i], HOPYARD__V1__FRAME_TYPE__CREDIT, &c.base);
		return;
	}
	r.ref = f->box[i].ref;
	r.code = (Hopyard__V1__Result__Code)(how >> 1 & 7);
	it.envelope = bytes_of(packed, hopyard__v1__result__pack(&r, packed));
	numbered(f, &f->box[i], HOPYARD__V1__FRAME_TYPE__RESULT, &it, NULL);
}

/* -------------------------------------------------------------- the script */

static bool
is_store(struct fuzz *f, const struct box *b)
{
	const struct peer *p = broker_peer(&f->broker, b->peer);

	return p != NULL && p->role == ROLE_STORE;
}

/* Any type with any payload.  What is numbered is counted as sent: the bus
 * closes where the numbers are not in order. */
static void
any_frame(struct fuzz *f, struct box *b, struct rd *r)
{
	uint16_t type = rd_u8(r), flags = rd_u8(r) & 1;
	uint64_t correlation = rd_u8(r);
	size_t len = rd_u16be(r);
	struct bytes payload = rd_bytes(r, len < rd_left(r) ? len : rd_left(r));
	struct items its;

	if (r->failed ||
	    (type == HOPYARD__V1__FRAME_TYPE__OPENED && f->broker.engine->open))
		return;
	if ((type == HOPYARD__V1__FRAME_TYPE__SUBMIT ||
		type == HOPYARD__V1__FRAME_TYPE__RESULT ||
		type == HOPYARD__V1__FRAME_TYPE__INBOUND) &&
	    items_open(&its, payload.p, payload.len))
		b->sent += its.count;
	/* It may say anything is durable, which is its business. */
	if (type == HOPYARD__V1__FRAME_TYPE__HORIZON)
		f->confirmed = UINT64_MAX;
	send_frame(b, type, flags, correlation, payload.p, payload.len);
}

static void
tick(struct fuzz *f, uint64_t ms)
{
	uv_timer_t *timer = &f->broker.timer, *acks = &f->broker.ack_timer;

	f->now += ms;
	clock_set(f->now, FUZZ_WALL + f->now);
	if (uv_is_active((uv_handle_t *)acks)) {
		uv_timer_stop(acks);
		acks->timer_cb(acks);
	}
	timer->timer_cb(timer);
	uv_timer_stop(timer);
}

static void
step(struct fuzz *f, struct rd *r)
{
	uint8_t what = rd_u8(r), which = rd_u8(r);
	size_t i = which % FUZZ_BOXES;
	struct box *b = &f->box[i];
	struct bytes octets;
	size_t len;

	switch (what % 10) {
	case 0:
	case 1:
		hello(f, i, rd_u8(r));
		break;
	case 2:
	case 3:
		any_frame(f, b, r);
		break;
	case 4: /* octets as they are */
		len = rd_u8(r);
		octets = rd_bytes(r, len < rd_left(r) ? len : rd_left(r));
		if (!r->failed && b->fd >= 0 && !is_store(f, b))
			(void)!send(b->fd, octets.p, octets.len,
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case 5:
		tick(f, (uint64_t)which * 100);
		break;
	case 6:
		gone(b);
		break;
	case 7:
		if (is_store(f, &f->box[0]))
			opened(f);
		break;
	case 8:
		horizon(f);
		break;
	case 9:
		if (i == 1 || (i == 2 && (which & 64) != 0))
			submit(f, i, rd_u8(r));
		else if (i == 2 || i == 3)
			result(f, i, rd_u8(r));
		break;
	}
}

static void
check(struct fuzz *f)
{
	const struct engine *e = f->broker.engine;
	struct peer *p;
	size_t n = 0;

	TAILQ_FOREACH(p, &f->broker.peers, link) {
		assert(broker_peer(&f->broker, p->id) == p);
		assert(p->settled <= p->last_number);
		assert(p->role == ROLE_STORE || p->sent_items == 0);
		assert(p->role != ROLE_STORE ||
		    p->sent_items <= p->credit_items || p->credit_items == 0);
		n++;
	}
	assert(n <= 4 * FUZZ_BOXES);
	assert(e->ledger.horizon <= e->ledger.last_seq);
	assert(f->accepted <= f->confirmed);
}

static void
begin(struct fuzz *f)
{
	f->now = 1000000;
	f->accepted = f->confirmed = f->serial = 0;
	f->ids = 0;
	clock_set(f->now, FUZZ_WALL + f->now);
	for (size_t i = 0; i < FUZZ_BOXES; i++) {
		f->box[i].fd = -1;
		f->box[i].peer = 0;
		f->box[i].ref = 0;
		gone(&f->box[i]);
	}
	assert(broker_start(&f->broker, NULL) == 0);
	/* Time is the script's. */
	uv_timer_stop(&f->broker.timer);
}

static void
end(struct fuzz *f)
{
	struct peer *p, *next;

	for (size_t i = 0; i < FUZZ_BOXES; i++)
		gone(&f->box[i]);
	uv_close((uv_handle_t *)&f->broker.timer, NULL);
	uv_close((uv_handle_t *)&f->broker.ack_timer, NULL);
	listener_close(f->broker.boxes);
	listener_close(f->broker.control);
	for (unsigned i = 0; !TAILQ_EMPTY(&f->broker.peers); i++) {
		TAILQ_FOREACH_SAFE(p, &f->broker.peers, link, next)
			peer_close(p, "end of the script");
		uv_run(&f->loop, UV_RUN_NOWAIT);
		assert(i < 1000);
	}
	broker_fini(&f->broker);
	while (uv_run(&f->loop, UV_RUN_NOWAIT) != 0)
		;
}

static void
clean_up(void)
{
	char path[64];

	for (const char *c = "bc"; *c != '\0'; c++) {
		(void)snprintf(path, sizeof(path), "%s/%c", fuzz.dir, *c);
		(void)unlink(path);
		(void)snprintf(path, sizeof(path), "%s/%c.lock", fuzz.dir, *c);
		(void)unlink(path);
	}
	(void)rmdir(fuzz.dir);
}

static void
start(struct fuzz *f)
{
	char path[64], text[2048];
	struct buf err;
	FILE *file;

	log_init("fuzz");
	log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, true);
	assert(uv_loop_init(&f->loop) == 0);
	/* Two sockets are made in each run: in memory, where that can be. */
	(void)snprintf(f->dir, sizeof(f->dir), "%s/hop-fuzz-%ld",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
	    (long)getpid());
	assert(mkdir(f->dir, 0700) == 0);
	(void)atexit(clean_up);
	(void)snprintf(path, sizeof(path), "%s/x.cfg", f->dir);
	(void)snprintf(text, sizeof(text), conf_text, f->dir, f->dir);
	file = fopen(path, "w");
	if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
		abort();
	buf_init(&err);
	f->conf = conf_load(path, &err);
	if (f->conf == NULL)
		(void)fprintf(stderr, "%s", buf_str(&err));
	assert(f->conf != NULL);
	buf_fini(&err);
	(void)unlink(path);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz *f = &fuzz;
	struct rd r;

	if (f->conf == NULL)
		start(f);
	rd_init(&r, data, len);
	begin(f);
	for (unsigned n = 0; n < FUZZ_STEPS && rd_left(&r) > 1 && !r.failed;
	     n++) {
		step(f, &r);
		turn(f);
		check(f);
	}
	end(f);
	return 0;
}
