/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * broker.h - between the peers and the engine: which frame from whom is which
 * event, and which effect goes out as which frame.
 *
 * Owns the listeners, the peers' table, the engine and the timers.  Knows no
 * rule of its own about messages.
 */
#ifndef CORE_BROKER_H
#define CORE_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/attr.h"
#include "common/map.h"
#include "common/queue.h"
#include "common/turn.h"
#include "core/cell.h"
#include "core/engine.h"
#include "core/gate.h"
#include "core/peer.h"

struct daemon;
struct listener;

TAILQ_HEAD(peer_list, peer);

struct broker {
	struct daemon *daemon;
	uv_loop_t *loop;
	struct engine *engine;
	struct listener *boxes, *control;
	struct gate gate; /* of other hosts */
	struct peer_list peers;
	struct map by_id;
	uint32_t last_id;
	struct peer *store; /* the store box, or NULL */
	struct cell cell;
	uint8_t instance[16];
	bool draining;
	bool dirty_all; /* more than `dirty` holds */
	bool store_up;
	char store_detail[160];
	bool rewound; /* the database has lost what we cannot give it again */
	uint64_t rewound_to, rewound_from; /* what it has, and had confirmed */
	bool rewind_accepted;              /* the store is to be told so */
	size_t greeted; /* peers that wait for their Welcome, at most */

	struct turn *turn;
	struct turn_task work; /* hand out and flush, once a turn */
	uv_timer_t timer;
	uv_timer_t ack_timer; /* while acks wait for company */
	uint32_t dirty[1024]; /* ids of peers with something to flush */
	size_t dirty_count;

	struct map calls; /* relayed calls, by our correlation */
	uint64_t next_call;
	uint32_t tap_peer; /* who watches, 0 nobody */
	uint64_t tap_correlation;
	char tap_filter[64];
	uint64_t started;        /* wall ms */
	uint64_t draining_since; /* mono ms */
	uint64_t version;
	struct arena frame_arena; /* see unpack_apart() */
	uint8_t frame_memory[256 * 1024];
};

int broker_start(struct broker *, struct daemon *) WARN_UNUSED;
void broker_drain(struct broker *);
void broker_fini(struct broker *);
void broker_configure(struct broker *, const struct conf *);

struct peer *broker_peer(struct broker *, uint32_t id);
struct peer *broker_peer_by_name(struct broker *, const char *name);

/* ------------------------------------------------------------ for peer.c */

void broker_add_peer(struct broker *, struct peer *);
/* It is about to close: its name is free, its calls fail. */
void broker_peer_gone(struct broker *, struct peer *);
/* It is closed. */
void broker_remove_peer(struct broker *, struct peer *);
/* Fills in role and name; false after a NAK and a close. */
bool broker_on_hello(struct broker *, struct peer *, const struct frame *);
/* Not while it waits for what a process before it has left behind. */
bool broker_may_welcome(struct broker *, struct peer *);
void broker_welcome(struct broker *, struct peer *);
/* Something is about to happen: tells the engine the time, and has what comes
 * of it handed out at the end of this turn. */
void broker_time(struct broker *);
/* What a role may send, apart from Hello. */
bool broker_may(enum peer_role, uint16_t type);
void broker_on_items(
    struct broker *, struct peer *, uint16_t type, struct items *);
/* NULL, or what is wrong with it. */
const char *broker_on_frame(
    struct broker *, struct peer *, const struct frame *);
/* The peer has something to flush at the end of this turn. */
void broker_dirty(struct broker *, struct peer *);
/* The peer has an ack that waits for company: look at it soon. */
void broker_ack_later(struct broker *);
/* Asks the store for the cell. */
void broker_open_store(struct broker *, struct peer *);
void broker_tap(struct broker *, struct peer *, bool from_bus, uint16_t type,
    size_t size, size_t items);

/* --------------------------------------------------------- for control.c */

/* A Call from a peer: answered here, or relayed to the box it names. */
void control_call(
    struct broker *, struct peer *, uint64_t correlation, const struct frame *);
/* The answer of a box to a relayed call. */
void control_reply(
    struct broker *, struct peer *, uint64_t correlation, const struct frame *);
/* Calls to or from this peer end. */
void control_peer_gone(struct broker *, struct peer *);
void control_tick(struct broker *);
/* Answer of the engine to a cancel or send that waited. */
void control_answer(
    struct broker *, uint64_t token, unsigned code, const char *text);
void control_fini(struct broker *);

#endif
