/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * box.h - a box's side of the bus: connect, Hello, credit, numbering, acks,
 * repeat after a reconnect, PING, control calls.
 *
 * An item that is handed to box_send_item() is kept here (copied) until the
 * bus has acknowledged it, and sent again after every reconnect, with the same
 * bytes; so each is handled at least once, and the ids in it make that
 * harmless.  The memory is bounded: past `max_items` or `max_bytes`
 * box_can_send() is false and the caller must push back.
 *
 * Reconnects go on for ever: 50 ms, doubling to 2 s, with jitter, through the
 * list of addresses.
 */
#ifndef COMMON_BOX_H
#define COMMON_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/attr.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct box;
struct buf;

struct box_opts {
	const char *name; /* borrowed for the life of the box */
	const char *type;
	const char *address; /* "a,b": several are tried in turn */
	size_t max_items;    /* unacknowledged items kept; 0: 8192 */
	size_t max_bytes;    /* 0: 32 MiB */
	/*
	 * For addresses on TCP, which are TLS always: the folder with NAME.crt,
	 * NAME.key, ca.crt and, if there is one, ca.crl; read for each
	 * connection.
	 */
	const char *certs;
	bool setup; /* only to be told the configuration, see `config` */
	/* The bus is that of another cell, of this name: its configuration is
	 * not ours.  NULL: it is our own. */
	const char *cell;
	/*
	 * For those whom a bus that stands by welcomes, too: with several
	 * addresses the bus that has the cell is looked for, again and again,
	 * and another one is good enough only while nobody has it.
	 */
	bool owner;
};

struct box_ops {
	/*
	 * The bus has welcomed us (again), and all results of earlier
	 * connections are on their way already, before anything that is sent
	 * here.  Connectors send IN_HAND here and then grant credit.  All but
	 * `acked` may be NULL.
	 */
	void (*ready)(struct box *, const Hopyard__V1__Welcome *, void *arg);
	/* The connection that was ready is gone, and all credit with it. */
	void (*lost)(struct box *, void *arg);
	/*
	 * The bus has settled an item: code HOPYARD__V1__ACK__CODE__ACK_OK or
	 * LATER: done; everything else: refused, text may be NULL.
	 */
	void (*acked)(struct box *, uint64_t cookie, Hopyard__V1__Ack__Code,
	    const char *text, void *arg);
	/* DELIVER, PAGED, NOTICE, RECORD...: walk with items_next(). */
	void (*items)(struct box *, uint16_t type, struct items *, void *arg);
	/* Any other frame that is not handled here. */
	void (*frame)(struct box *, const struct frame *, void *arg);
	/* A Call for this box; answer with box_reply(), now or later. */
	void (*call)(struct box *, uint64_t correlation,
	    const Hopyard__V1__Call *, void *arg);
	/* Room again after box_can_send() was false. */
	void (*writable)(struct box *, void *arg);
	/* On another host: our settings have come, or have changed.  Where this
	 * is NULL, box_config gets them. */
	void (*config)(struct box *, const struct buf *text, void *arg);
};

/* Starts connecting.  ops and arg are borrowed. */
struct box *box_new(
    uv_loop_t *, const struct box_opts *, const struct box_ops *, void *arg);
/*
 * Says Bye, closes, frees itself; no callback comes any more but `done`, which
 * may be NULL.  Items that are not acknowledged are forgotten.
 */
void box_close(struct box *, void (*done)(void *arg), void *arg);

/*
 * Of a front end or server that drains and has nothing in hand: leave the name
 * to a successor that is being started, as soon as all that was sent to the bus
 * is out.  Submits and calls go on; nothing is delivered here any more.  A bus
 * of an earlier release has the successor wait until this process has ended.
 */
void box_retire(struct box *);

bool box_ready(const struct box *);
bool box_can_send(const struct box *);
/* Items not yet acknowledged. */
size_t box_unacked(const struct box *);
/* How full that is, in percent of max_items or max_bytes. */
unsigned box_fill(const struct box *);

/*
 * SUBMIT, RESULT or INBOUND.  Returns 0, UV_ENOBUFS (see above), or
 * UV_EMSGSIZE for an item that fits in no frame.  Nothing is lost while the
 * bus is away: it is kept and sent later.
 */
int box_send_item(struct box *, uint16_t type, const struct item *,
    uint64_t cookie) WARN_UNUSED;

/* Names the item that box_send_item() has just taken. */
uint64_t box_last_item(const struct box *);

enum box_withdrawn {
	BOX_SETTLED = 0, /* acked() has been called for it */
	BOX_SENT,   /* the bus has it, or had it at an earlier connection */
	BOX_UNSENT, /* the bus never saw it, and will not */
};

/*
 * An item is not wanted any more: it is not sent, and not repeated after a
 * reconnect.  acked() may still come for one that was sent.
 */
enum box_withdrawn box_withdraw(struct box *, uint64_t item);

/* Any other frame with a protobuf payload; dropped while not connected.
 * false when it was. */
bool box_send(struct box *, uint16_t type, uint16_t flags, uint64_t correlation,
    const ProtobufCMessage *);
/* A frame whose payload is ready made (Items built with item_put()). */
bool box_send_raw(struct box *, uint16_t type, uint64_t correlation,
    const void *payload, size_t len);

/*
 * What ready() of a connector or hook has to say first: the refs that it has
 * and has no result for, in as many frames as they take.
 */
void box_send_in_hand(struct box *, uint64_t *refs, size_t n);

/*
 * Grant the bus more: amounts, added to the totals here, and told once at the
 * end of the turn.  Ignored while not ready: each connection starts at nothing.
 */
void box_grant(struct box *, uint64_t items, uint64_t bytes);

/*
 * Ask: reply is called exactly once per answer (Reply.more: again), and with
 * code 503 when the connection is lost or not there, 504 when timeout_ms have
 * passed without an answer; never from inside box_call().
 */
typedef void box_reply_cb(struct box *, const Hopyard__V1__Reply *, void *arg);
void box_call(struct box *, const Hopyard__V1__Call *, uint64_t timeout_ms,
    box_reply_cb *, void *arg);
/* Forget all outstanding calls with this arg; their callbacks never come. */
void box_call_cancel(struct box *, void *arg);
/* code 0 is success; error and body may be NULL. */
void box_reply(struct box *, uint64_t correlation, unsigned code,
    const char *error, const void *body, size_t len, bool more);

/*
 * Methods that are answered here, before ops->call: "stats" (JSON),
 * "prometheus" (text), "ping" (JSON), "reload" and "restart" where box_reload
 * and box_restart are set.
 */

/*
 * Load the configuration again; true with what has changed, or false with the
 * complaints.  daemon_run() sets this and those that follow.
 */
extern bool (*box_reload)(struct buf *lines);
/* Another configuration has come from the bus. */
extern void (*box_config)(const struct buf *text);
/* End in good order, soon after this returns, to be started again; or false
 * with why not. */
extern bool (*box_restart)(struct buf *why);
/* conf_hash() of the one in force, for the bus to know; 0: none. */
extern uint64_t box_config_hash;

#endif
