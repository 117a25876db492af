/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/peer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/conn.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "core/broker.h"
#include "core/queue.h"

/* Items and bytes of a peer that may be unsettled. */
#define WINDOW_ITEMS 8192
#define WINDOW_BYTES (16 * 1024 * 1024)
/* A DELIVER frame is closed at this size. */
#define DELIVER_BYTES (128 * 1024)
/* Refusals in one Ack; each has less than 256 bytes and some fields. */
#define ACK_EXCEPTIONS 512
/* An ack of results waits so long for company, and with so many of them. */
#define ACK_RIDE_MS    40
#define ACK_RIDE_ITEMS 256

static conn_cb peer_conn_cb;
static void flush_acks(struct peer *);

static const char *const peer_state_names[] = {
	[PEER_HELLO] = "hello",
	[PEER_GREETED] = "greeted",
	[PEER_READY] = "ready",
	[PEER_CLOSING] = "closing",
};

static void
peer_enter_state(struct peer *p, enum peer_state next)
{
	assert(p->state != PEER_CLOSING);
	log_debug("peer.state", "peer=%u box=%s from=%s to=%s", p->id, p->name,
	    peer_state_names[p->state], peer_state_names[next]);
	p->state = next;
	p->since = clock_mono_ms();
}

struct peer *
peer_new(struct broker *b, struct conn *conn, bool control)
{
	struct peer *p = xcalloc(1, sizeof(*p));

	p->broker = b;
	p->conn = conn;
	p->control = control;
	p->since = clock_mono_ms();
	buf_init(&p->exceptions);
	buf_init(&p->out);
	p->next_number = 1;
	broker_add_peer(b, p);
	conn_set_cb(conn, peer_conn_cb, p);
	return p;
}

void
peer_close(struct peer *p, const char *reason)
{
	if (p->state == PEER_CLOSING)
		return;
	if (p->remote && p->state == PEER_HELLO)
		gate_on_refused(p, reason);
	else if (p->role != ROLE_CONTROL || p->remote)
		log_info("box.gone", "name=%s peer=%u reason=%s",
		    p->name[0] != '\0' ? p->name : "?", p->id, reason);
	broker_peer_gone(p->broker, p);
	peer_enter_state(p, PEER_CLOSING);
	conn_close(p->conn);
}

void
peer_close_flush(struct peer *p, const char *reason)
{
	if (p->state == PEER_CLOSING)
		return;
	if (p->remote && p->state == PEER_HELLO)
		gate_on_refused(p, reason);
	else
		log_info("box.refused", "name=%s peer=%u reason=%s",
		    p->name[0] != '\0' ? p->name : "?", p->id, reason);
	broker_peer_gone(p->broker, p);
	peer_enter_state(p, PEER_CLOSING);
	conn_close_flush(p->conn);
}

/* --------------------------------------------------------------- sending */

static void
send_frame(struct peer *p, uint16_t type, uint64_t correlation, size_t len,
    uint8_t **payload)
{
	uint8_t *dst = conn_reserve(p->conn, FRAME_HEADER + len);

	frame_put_header(dst, len, type, 0, correlation);
	*payload = dst + FRAME_HEADER;
	p->frames_out++;
}

void
peer_send(struct peer *p, uint16_t type, uint64_t correlation,
    const ProtobufCMessage *msg)
{
	size_t len = msg == NULL ? 0 : protobuf_c_message_get_packed_size(msg);
	uint8_t *dst;

	if (p->state == PEER_CLOSING)
		return;
	if (len > FRAME_MAX_PAYLOAD) {
		log_warn("frame.too_big", "peer=%u type=%u size=%zu", p->id,
		    type, len);
		return;
	}
	send_frame(p, type, correlation, len, &dst);
	if (msg != NULL)
		protobuf_c_message_pack(msg, dst);
	conn_commit(p->conn, FRAME_HEADER + len);
	broker_tap(p->broker, p, true, type, len, 0);
}

void
peer_nak(struct peer *p, Hopyard__V1__Nak__Code code, const struct frame *f,
    const char *text)
{
	Hopyard__V1__Nak nak = HOPYARD__V1__NAK__INIT;
	char copy[256];

	snprintf(copy, sizeof(copy), "%s", text);
	nak.code = code;
	nak.text = copy;
	if (f != NULL) {
		nak.has_type = true;
		nak.type = f->type;
		nak.has_correlation = true;
		nak.correlation = f->correlation;
	}
	peer_send(p, HOPYARD__V1__FRAME_TYPE__NAK, 0, &nak.base);
}

static void
flush_items(struct peer *p)
{
	uint16_t type = p->role == ROLE_FILTER
	    ? HOPYARD__V1__FRAME_TYPE__FILTER
	    : HOPYARD__V1__FRAME_TYPE__DELIVER;
	uint8_t head[ITEMS_HEAD], *dst;
	size_t n;

	if (p->out_count == 0)
		return;
	n = items_put_head(head, p->next_number, 0, false, 0, 0);
	send_frame(p, type, 0, n + buf_len(&p->out), &dst);
	memcpy(dst, head, n);
	memcpy(dst + n, buf_data(&p->out), buf_len(&p->out));
	conn_commit(p->conn, FRAME_HEADER + n + buf_len(&p->out));
	broker_tap(
	    p->broker, p, true, type, n + buf_len(&p->out), p->out_count);
	p->next_number += p->out_count;
	p->out_count = 0;
	buf_clear(&p->out);
}

void
peer_deliver(struct peer *p, const struct item *it)
{
	size_t n = item_size(it);

	if (p->state != PEER_READY)
		return;
	if (p->out_count == FRAME_MAX_ITEMS ||
	    (p->out_count > 0 && buf_len(&p->out) + n > DELIVER_BYTES))
		flush_items(p);
	item_put(buf_reserve(&p->out, n), it);
	buf_commit(&p->out, n);
	p->out_count++;
	broker_dirty(p->broker, p);
}

static void
add_exception(struct peer *p, uint64_t number, Hopyard__V1__Ack__Code code,
    const char *text)
{
	Hopyard__V1__Ack__Exception x = HOPYARD__V1__ACK__EXCEPTION__INIT;
	char copy[200];
	uint8_t *dst;
	size_t len;

	x.number = number;
	x.code = code;
	if (text != NULL) {
		snprintf(copy, sizeof(copy), "%s", text);
		x.text = copy;
	}
	/* Field 2 of Ack, length-delimited; always under 256 bytes. */
	len = protobuf_c_message_get_packed_size(&x.base);
	dst = buf_reserve(&p->exceptions, len + 3);
	dst[0] = 2 << 3 | 2;
	if (len < 128) {
		dst[1] = (uint8_t)len;
		dst += 2;
		buf_commit(&p->exceptions, len + 2);
	} else {
		dst[1] = (uint8_t)(len | 0x80);
		dst[2] = (uint8_t)(len >> 7);
		dst += 3;
		buf_commit(&p->exceptions, len + 3);
	}
	protobuf_c_message_pack(&x.base, dst);
	if (++p->exception_count == ACK_EXCEPTIONS)
		flush_acks(p);
}

/*
 * Nobody waits for that of a result, but the box that keeps it; unless it has
 * no credit for more, and perhaps gives none before it is rid of this.
 */
static bool
ack_can_ride(const struct peer *p)
{
	return p->target != NULL && !p->broker->draining &&
	    p->settled - p->told < ACK_RIDE_ITEMS && p->exception_count == 0 &&
	    target_has_credit(p->target, 0);
}

bool
peer_ack_is_due(const struct peer *p, uint64_t now_ms)
{
	return p->ack_since != 0 && now_ms - p->ack_since >= ACK_RIDE_MS;
}

void
peer_settle(struct peer *p, uint64_t number, Hopyard__V1__Ack__Code code,
    const char *text)
{
	struct peer_item *item;
	bool results = true; /* all that this one lets us tell */

	if (p->state != PEER_READY)
		return;
	assert(number > p->settled && number <= p->last_number);
	item = &p->ring[number & (p->ring_cap - 1)];
	assert(!item->done);
	item->done = true;
	if (code != HOPYARD__V1__ACK__CODE__ACK_OK)
		add_exception(p, number, code, text);
	while (p->settled < p->last_number) {
		item = &p->ring[(p->settled + 1) & (p->ring_cap - 1)];
		if (!item->done)
			break;
		results &= item->result;
		p->settled_bytes += item->bytes;
		p->settled++;
	}
	if (!results || !ack_can_ride(p)) {
		broker_dirty(p->broker, p);
	} else if (p->ack_since == 0) {
		p->ack_since = clock_mono_ms();
		broker_ack_later(p->broker);
	}
}

static void
flush_acks(struct peer *p)
{
	Hopyard__V1__Ack ack = HOPYARD__V1__ACK__INIT;
	size_t len;
	uint8_t *dst;

	p->ack_since = 0;
	if (p->settled == p->told && buf_len(&p->exceptions) == 0)
		return;
	ack.upto = p->settled;
	len = hopyard__v1__ack__get_packed_size(&ack);
	send_frame(p, HOPYARD__V1__FRAME_TYPE__ACK, 0,
	    len + buf_len(&p->exceptions), &dst);
	hopyard__v1__ack__pack(&ack, dst);
	if (buf_len(&p->exceptions) > 0)
		memcpy(dst + len, buf_data(&p->exceptions),
		    buf_len(&p->exceptions));
	conn_commit(p->conn, FRAME_HEADER + len + buf_len(&p->exceptions));
	broker_tap(p->broker, p, true, HOPYARD__V1__FRAME_TYPE__ACK,
	    len + buf_len(&p->exceptions), 0);
	buf_clear(&p->exceptions);
	p->exception_count = 0;
	p->told = p->settled;
}

static void
flush_credit(struct peer *p)
{
	Hopyard__V1__Credit c = HOPYARD__V1__CREDIT__INIT;

	if (p->role == ROLE_STORE || p->role == ROLE_CONTROL ||
	    p->role == ROLE_FILTER)
		return;
	c.items = p->settled + WINDOW_ITEMS;
	c.bytes = p->settled_bytes + WINDOW_BYTES;
	if (c.items - p->granted_items < WINDOW_ITEMS / 4 &&
	    c.bytes - p->granted_bytes < WINDOW_BYTES / 4)
		return;
	p->granted_items = c.items;
	p->granted_bytes = c.bytes;
	peer_send(p, HOPYARD__V1__FRAME_TYPE__CREDIT, 0, &c.base);
}

void
peer_flush(struct peer *p, bool grant)
{
	p->dirty = false;
	if (p->state != PEER_READY)
		return;
	flush_items(p);
	flush_acks(p);
	if (grant)
		flush_credit(p);
}

/* ------------------------------------------------------------- receiving */

/* Numbered items must follow each other and stay within the credit. */
static const char *
take_numbers(struct peer *p, uint16_t type, struct items *its)
{
	struct items walk = *its;
	struct item it;
	uint64_t bytes = 0;

	if (its->first != p->last_number + 1)
		return "items are not numbered in sequence";
	if (p->last_number + its->count > p->granted_items)
		return "more items than credit";
	if (p->ring == NULL) {
		p->ring_cap = WINDOW_ITEMS;
		p->ring = xcalloc(p->ring_cap, sizeof(*p->ring));
	}
	while (items_next(&walk, &it)) {
		struct peer_item *slot;

		p->last_number++;
		slot = &p->ring[p->last_number & (p->ring_cap - 1)];
		slot->done = false;
		slot->result = type == HOPYARD__V1__FRAME_TYPE__RESULT;
		slot->bytes = (uint32_t)item_bytes(&it);
		bytes += slot->bytes;
	}
	p->received_bytes += bytes;
	return p->received_bytes > p->granted_bytes ? "more bytes than credit"
						    : NULL;
}

static bool
numbered(uint16_t type)
{
	return type == HOPYARD__V1__FRAME_TYPE__SUBMIT ||
	    type == HOPYARD__V1__FRAME_TYPE__RESULT ||
	    type == HOPYARD__V1__FRAME_TYPE__INBOUND;
}

void
peer_greet(struct peer *p)
{
	if (p->state != PEER_GREETED || !broker_may_welcome(p->broker, p))
		return;
	peer_enter_state(p, PEER_READY);
	broker_welcome(p->broker, p);
}

static void
peer_on_frame(struct peer *p, const struct frame *f)
{
	const char *fault;
	struct items its;

	p->frames_in++;
	if ((f->type == HOPYARD__V1__FRAME_TYPE__HELLO) !=
	    (p->state == PEER_HELLO)) {
		peer_nak(p, HOPYARD__V1__NAK__CODE__BAD_FRAME, f,
		    "Hello missing or repeated");
		peer_close_flush(p, "Hello missing or repeated");
		return;
	}
	if (p->state == PEER_HELLO) {
		if (broker_on_hello(p->broker, p, f)) {
			peer_enter_state(p, PEER_GREETED);
			peer_greet(p);
		}
		return;
	}
	if (p->state == PEER_GREETED) {
		peer_nak(p, HOPYARD__V1__NAK__CODE__BAD_FRAME, f,
		    "frame before the Welcome");
		peer_close_flush(p, "frame before the Welcome");
		return;
	}
	if (!broker_may(p->role, f->type)) {
		if (protobuf_c_enum_descriptor_get_value(
			&hopyard__v1__frame_type__descriptor, f->type) != NULL)
			peer_nak(p, HOPYARD__V1__NAK__CODE__DENIED, f,
			    "this role may not send that");
		else if ((f->flags & FRAME_IGNORABLE) == 0)
			peer_nak(p, HOPYARD__V1__NAK__CODE__UNKNOWN_TYPE, f,
			    "frame type is not known here");
		return;
	}
	if (numbered(f->type)) {
		fault = !items_open(&its, f->payload, f->len)
		    ? "items do not parse"
		    : take_numbers(p, f->type, &its);
		if (fault != NULL) {
			peer_nak(
			    p, HOPYARD__V1__NAK__CODE__BAD_FRAME, f, fault);
			peer_close_flush(p, fault);
			return;
		}
		broker_tap(p->broker, p, false, f->type, f->len, its.count);
		broker_on_items(p->broker, p, f->type, &its);
		return;
	}
	broker_tap(p->broker, p, false, f->type, f->len, 0);
	fault = broker_on_frame(p->broker, p, f);
	if (fault != NULL && p->state != PEER_CLOSING) {
		peer_nak(p, HOPYARD__V1__NAK__CODE__BAD_FRAME, f, fault);
		peer_close_flush(p, fault);
	}
}

static void
peer_on_data(struct peer *p)
{
	struct frame f;
	int n;

	/* Any frame may close the peer: look at the state every time round. */
	while (p->state != PEER_CLOSING) {
		n = frame_decode(&f, conn_data(p->conn), conn_len(p->conn),
		    p->state == PEER_READY ? FRAME_MAX_PAYLOAD
					   : FRAME_MAX_HELLO);
		if (n == 0)
			return;
		if (n < 0) {
			peer_nak(p, HOPYARD__V1__NAK__CODE__BAD_FRAME, NULL,
			    "frame is too long");
			peer_close_flush(p, "frame is too long");
			return;
		}
		peer_on_frame(p, &f);
		conn_drop(p->conn, (size_t)n);
	}
}

static void
peer_conn_cb(struct conn *c, enum conn_event ev, void *arg)
{
	struct peer *p = arg;

	assert(p->conn == c);
	switch (ev) {
	case CONN_EV_DATA:
		broker_time(p->broker);
		peer_on_data(p);
		break;
	case CONN_EV_CONNECTED:
	case CONN_EV_WRITABLE:
		break;
	case CONN_EV_EOF:
		peer_close(p, "connection closed by the box");
		break;
	case CONN_EV_ERROR:
		/* Who is refused by TLS shall read the alert. */
		if (p->remote && p->state == PEER_HELLO)
			peer_close_flush(p, conn_error_text(c));
		else
			peer_close(p, conn_error_text(c));
		break;
	case CONN_EV_CLOSED:
		if (p->state != PEER_CLOSING)
			peer_close(p, "connection closed");
		broker_remove_peer(p->broker, p);
		buf_fini(&p->exceptions);
		buf_fini(&p->out);
		free(p->ring);
		free(p);
		break;
	}
}
