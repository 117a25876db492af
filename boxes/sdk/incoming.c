/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * incoming.c - from a carrier to the bus: receipts, and messages from handsets.
 *
 * A struct pending has the octets of its item for as long as the bus has not
 * settled it, as an UNAVAILABLE has to be sent again as a new item.  box.c
 * knows it by its address.
 */
#include <stdlib.h>
#include <string.h>

#include "boxes/sdk/process.h"
#include "common/box.h"
#include "common/daemon.h"
#include "common/inbound.h"
#include "common/log.h"
#include "common/stats.h"
#include "common/uuid.h"
#include "common/xalloc.h"

#define INCOMING_MAX        8192
#define INCOMING_BYTES      ((size_t)16 * 1024 * 1024)
#define INCOMING_AGAIN_MS   1000
#define INCOMING_ITEM_BYTES (120 * 1024) /* the bus takes 128 KiB */
#define INCOMING_KEYWORD    32
#define INCOMING_SEGMENT_16 2 /* Segment.kind: a reference of 16 bits */

struct pending {
	TAILQ_ENTRY(pending) entry; /* box->pending, or box->again */
	hop_ack_cb *cb;
	void *arg;
	size_t envelope, body; /* lengths; octets behind this struct */
	uint8_t octets[];
};

static struct stat_value incoming_counts[] = {
	{ .name = "box_incoming_total",
	    .help = "Handed to the bus by this box",
	    .labels = "kind=\"receipt\"",
	    .type = STAT_COUNTER },
	{ .name = "box_incoming_total",
	    .help = "Handed to the bus by this box",
	    .labels = "kind=\"mo\"",
	    .type = STAT_COUNTER },
	{ .name = "box_incoming_refused_total",
	    .help = "Refused by the bus for good",
	    .type = STAT_COUNTER },
};

#define SAME(ours, theirs)                                                     \
	_Static_assert((int)(ours) == (int)HOPYARD__V1__##theirs, #ours)
SAME(HOP_BUFFERED, STATE__BUFFERED);
SAME(HOP_DELIVERED, STATE__DELIVERED);
SAME(HOP_SENT, STATE__SENT);
SAME(HOP_ACK_OK, ACK__CODE__ACK_OK);
SAME(HOP_ACK_LATER, ACK__CODE__LATER);
SAME(HOP_ACK_NO_ROUTE, ACK__CODE__NO_ROUTE);
SAME(HOP_ACK_THROTTLED, ACK__CODE__THROTTLED);
SAME(HOP_ACK_UNAVAILABLE, ACK__CODE__UNAVAILABLE);
SAME(HOP_ACK_INVALID, ACK__CODE__INVALID);
SAME(HOP_ACK_DENIED, ACK__CODE__DENIED);
SAME(HOP_ACK_DENIED_SENDER, ACK__CODE__DENIED_SENDER);
SAME(HOP_ACK_DENIED_DESTINATION, ACK__CODE__DENIED_DESTINATION);
SAME(HOP_ACK_REFUSED, ACK__CODE__REFUSED);

/* False: box.c has no room. */
static bool
incoming_send(struct hop_box *b, struct pending *p)
{
	struct item item = {
		.envelope = bytes_of(p->octets, p->envelope),
		.body = bytes_of(p->octets + p->envelope, p->body),
	};

	return box_send_item(b->box, HOPYARD__V1__FRAME_TYPE__INBOUND, &item,
		   (uint64_t)(uintptr_t)p) == 0;
}

static void
incoming_again_cb(uv_timer_t *timer)
{
	struct hop_box *b = timer->data;
	struct pending *p;

	while ((p = TAILQ_FIRST(&b->again)) != NULL) {
		if (b->box == NULL || !incoming_send(b, p)) {
			uv_timer_start(
			    timer, incoming_again_cb, INCOMING_AGAIN_MS, 0);
			return;
		}
		TAILQ_REMOVE(&b->again, p, entry);
		TAILQ_INSERT_TAIL(&b->pending, p, entry);
	}
}

void
incoming_init(struct hop_box *b)
{
	size_t i;

	TAILQ_INIT(&b->pending);
	TAILQ_INIT(&b->again);
	uv_timer_init(daemon_loop(b->daemon), &b->again_timer);
	b->again_timer.data = b;
	for (i = 0; i < ARRAY_LEN(incoming_counts); i++)
		stat_register(&incoming_counts[i]);
}

static void
incoming_free(struct hop_box *b, struct pending *p)
{
	b->pending_count--;
	b->pending_bytes -= p->envelope + p->body;
	free(p);
}

void
incoming_on_acked(
    struct hop_box *b, uint64_t cookie, unsigned code, const char *text)
{
	struct pending *p = (struct pending *)(uintptr_t)cookie;
	static struct log_limit limit;

	TAILQ_REMOVE(&b->pending, p, entry);
	if (code == HOPYARD__V1__ACK__CODE__UNAVAILABLE ||
	    code == HOPYARD__V1__ACK__CODE__THROTTLED) {
		TAILQ_INSERT_TAIL(&b->again, p, entry);
		if (!uv_is_active((uv_handle_t *)&b->again_timer))
			uv_timer_start(&b->again_timer, incoming_again_cb,
			    INCOMING_AGAIN_MS, 0);
		return;
	}
	if (!hop_ack_ok((int)code)) {
		incoming_counts[2].value++;
		if (log_limit(&limit, 5))
			log_warn("mo.refused", "code=%u reason=%s", code,
			    text == NULL ? "" : text);
	}
	if (p->cb != NULL)
		p->cb(b, (int)code, text, p->arg);
	incoming_free(b, p);
	if (b->writable_owed && b->pending_count < INCOMING_MAX / 2 &&
	    b->pending_bytes < INCOMING_BYTES / 2)
		process_tell_writable(b);
}

void
incoming_stop(struct hop_box *b)
{
	struct pending *p;
	struct pendings *list[] = { &b->pending, &b->again };
	size_t i;

	for (i = 0; i < ARRAY_LEN(list); i++) {
		while ((p = TAILQ_FIRST(list[i])) != NULL) {
			TAILQ_REMOVE(list[i], p, entry);
			incoming_free(b, p);
		}
	}
}

/* Packs both and hands them on. */
static int
incoming_pass_on(struct hop_box *b, const Hopyard__V1__Envelope *envelope,
    const ProtobufCMessage *body, hop_ack_cb *cb, void *arg)
{
	Hopyard__V1__Envelope env = *envelope;
	const char *name = daemon_name(b->daemon);
	size_t env_len, body_len;
	struct pending *p;
	uint8_t id[UUID_LEN];

	if (b->box == NULL || b->state == PROCESS_CLOSING)
		return HOP_E_FULL;
	uuid_new(id);
	env.id = process_pb(hop_data(id, sizeof(id)));
	process_put(&env.has_link, &env.link, hop_str(name));
	env_len = hopyard__v1__envelope__get_packed_size(&env);
	body_len = protobuf_c_message_get_packed_size(body);
	if (env_len + body_len > INCOMING_ITEM_BYTES)
		return HOP_E_TOO_LARGE;
	if (b->pending_count == INCOMING_MAX ||
	    env_len + body_len > INCOMING_BYTES - b->pending_bytes ||
	    !box_can_send(b->box)) {
		b->writable_owed = true;
		return HOP_E_FULL;
	}
	p = xmalloc(sizeof(*p) + env_len + body_len);
	p->cb = cb;
	p->arg = arg;
	p->envelope = hopyard__v1__envelope__pack(&env, p->octets);
	p->body = protobuf_c_message_pack(body, p->octets + env_len);
	if (!incoming_send(b, p)) {
		free(p);
		b->writable_owed = true;
		return HOP_E_FULL;
	}
	TAILQ_INSERT_TAIL(&b->pending, p, entry);
	b->pending_count++;
	b->pending_bytes += env_len + body_len;
	return 0;
}

static bool
incoming_is_state(int state)
{
	return state == HOP_BUFFERED ||
	    (state >= HOP_DELIVERED && state <= HOP_SENT);
}

int
hop_receipt(struct hop_box *b, const struct hop_receipt *receipt,
    hop_ack_cb *cb, void *arg)
{
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Notice n = HOPYARD__V1__NOTICE__INIT;
	struct hop_receipt r;
	int rc;

	if (b->opts.role != HOP_CONNECTOR)
		return HOP_E_ROLE;
	if (!process_take_struct(
		&r, sizeof(r), receipt, offsetof(struct hop_receipt, to)) ||
	    !incoming_is_state(r.state) || r.smsc_id.len == 0)
		return HOP_E_INVALID;
	env.kind = HOPYARD__V1__KIND__RECEIPT;
	n.has_state = 1;
	n.state = (Hopyard__V1__State)r.state;
	process_put(&n.has_smsc_id, &n.smsc_id, r.smsc_id);
	process_put(&n.has_link, &n.link, hop_str(daemon_name(b->daemon)));
	process_put(&n.has_to, &n.to, r.to);
	process_put(&n.has_from, &n.from, r.from);
	process_put(&n.has_error, &n.error, r.error);
	process_put(&n.has_reason, &n.reason, r.reason);
	process_put(&n.has_text, &n.text, r.text);
	n.has_done_at = r.done_at != 0;
	n.done_at = r.done_at;
	rc = incoming_pass_on(b, &env, &n.base, cb, arg);
	incoming_counts[0].value += rc == 0;
	return rc;
}

static struct hop_bytes
incoming_address(struct hop_bytes a)
{
	struct bytes in = inbound_address(bytes_of(a.p, a.len));

	return hop_data(in.p, in.len);
}

int
hop_incoming(struct hop_box *b, const struct hop_incoming *incoming,
    hop_ack_cb *cb, void *arg)
{
	Hopyard__V1__Envelope env = HOPYARD__V1__ENVELOPE__INIT;
	Hopyard__V1__Content c = HOPYARD__V1__CONTENT__INIT;
	Hopyard__V1__Segment segment = HOPYARD__V1__SEGMENT__INIT;
	uint8_t word[INCOMING_KEYWORD];
	struct hop_incoming in;
	int rc;

	if (b->opts.role != HOP_CONNECTOR)
		return HOP_E_ROLE;
	if (!process_take_struct(&in, sizeof(in), incoming,
		offsetof(struct hop_incoming, udh)) ||
	    in.to.len == 0 || !process_is_utf8(in.text) ||
	    (in.segment_total != 0 &&
		(in.segment_number < 1 ||
		    in.segment_number > in.segment_total ||
		    in.segment_total > UINT8_MAX)))
		return HOP_E_INVALID;
	env.kind = HOPYARD__V1__KIND__MO;
	process_put(&env.has_to, &env.to, incoming_address(in.to));
	process_put(&env.has_from, &env.from, incoming_address(in.from));
	if (in.segment_total > 1) {
		segment.kind = INCOMING_SEGMENT_16;
		segment.ref = in.segment_ref;
		segment.total = in.segment_total;
		segment.number = in.segment_number;
		env.segment = &segment;
	}
	/* A message has one keyword, and its first part tells it. */
	if (in.segment_number <= 1)
		process_put(&env.has_keyword, &env.keyword,
		    hop_data(word,
			inbound_keyword(
			    in.text.p, in.text.len, word, sizeof(word))));
	process_put(&c.has_text, &c.text, in.text);
	process_put(&c.has_data, &c.data, in.data);
	process_put(&c.has_udh, &c.udh, in.udh);
	if (in.data.len > 0) {
		c.has_coding = 1;
		c.coding = HOPYARD__V1__CONTENT__CODING__BINARY;
	}
	rc = incoming_pass_on(b, &env, &c.base, cb, arg);
	incoming_counts[1].value += rc == 0;
	return rc;
}
