/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * msg.h - one work item in the bus's memory: an MT for a connector, an MO or a
 * DLR for a hook.
 *
 * Owned by the engine; named by `seq`, the number of the record that made it.
 * One allocation holds the struct and the bytes that are forwarded as they
 * came.  It is always in the engine's map by seq, on exactly one list of its
 * home queue (that holds the low mark), and, by state, on one list more.
 */
#ifndef CORE_MSG_H
#define CORE_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "common/queue.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct part_group;
struct queue;
struct target;

enum msg_state {
	MSG_PENDING = 0, /* recorded, not yet durable; on no list */
	MSG_READY,       /* on queue->ready */
	MSG_ATTEMPTING,  /* its ATTEMPT event is on the way to the disk */
	MSG_INFLIGHT,    /* on box->inflight; the box owes a result */
	MSG_WAITING,     /* in the engine's heap until `due` */
	MSG_HELD,        /* a part of an MO in m->group, see parts.h */
	MSG_DONE,        /* its closing event is on the way; on no list */
};

/* As many as a route may name. */
#define MSG_TRIED 8

struct msg {
	uint64_t seq;
	uint8_t id[16];
	enum msg_state state; /* written only by msg_enter_state() */
	uint8_t kind;         /* Hopyard__V1__Kind */
	uint8_t class;
	bool possible_dup;
	bool hold;      /* until send_at by the bus, whatever the link does */
	bool scheduled; /* waits for its send time, no attempt failed */
	bool from_due;  /* home is the due table, not a queue */
	bool paged;     /* on home->paged rather than home->kept */
	bool looked_up; /* came by its id, so a page may bring it again */
	bool replaces;  /* its envelope names one whose place it takes */
	bool to_due;    /* in MSG_DONE: it lives on in the due table */
	bool withdrawn; /* in MSG_DONE: by its front end */
	bool submitted; /* in MSG_DONE: its receipt is awaited */
	uint16_t attempts; /* hand-overs that had an outcome */
	uint16_t resends;  /* of them with an unknown one */
	uint16_t parts;
	uint32_t report_mask;
	uint32_t report_queue; /* number of the queue for its DLRs, 0 none */
	uint64_t at;           /* wall ms, accepted */
	uint64_t expires;      /* mono ms, 0 never */
	uint64_t send_at;      /* wall ms, not before; 0: at once */
	uint64_t due;          /* mono ms in MSG_WAITING */
	uint64_t due_at;       /* key in the due table, if from_due */
	uint64_t due_seq;
	uint64_t cancel_token; /* a cancel waits for its turn, or 0 */
	uint64_t moved;        /* seq of its last REROUTED */
	uint64_t attempt_seq;  /* in MSG_ATTEMPTING: the record it waits for */
	uint32_t attempt_peer; /* and whose credit is kept for it */
	uint64_t sent_at;      /* mono ms in MSG_INFLIGHT */
	struct queue *queue;
	/* Who has it in ATTEMPTING and INFLIGHT; later who had it last. */
	struct target *box;
	struct queue *home;
	uint16_t tried[MSG_TRIED]; /* indices of targets */
	uint8_t tried_count;
	uint32_t heap_index;
	struct part_group *group; /* in MSG_HELD */
	uint32_t *part_done;      /* part_done_count numbers, or NULL */
	uint32_t part_done_count;
	TAILQ_ENTRY(msg) link;
	TAILQ_ENTRY(msg) home_link;
	uint32_t envelope_len, body_len, report_len;
	uint8_t bytes[];
};

TAILQ_HEAD(msg_list, msg);

/* Copies the three byte strings; everything else is zero. */
struct msg *msg_new(const struct item *);
void msg_free(struct msg *);
/* Memory that it counts for. */
size_t msg_size(const struct msg *);

static inline struct bytes
msg_envelope(const struct msg *m)
{
	return (struct bytes){ m->bytes, m->envelope_len };
}

static inline struct bytes
msg_body(const struct msg *m)
{
	return (struct bytes){ m->bytes + m->envelope_len, m->body_len };
}

static inline struct bytes
msg_report(const struct msg *m)
{
	return (struct bytes){ m->bytes + m->envelope_len + m->body_len,
		m->report_len };
}

void msg_enter_state(struct msg *, enum msg_state);

void msg_add_tried(struct msg *, const struct target *);
bool msg_has_tried(const struct msg *, const struct target *);
void msg_set_part_done(struct msg *, const uint32_t *parts, size_t n);

#endif
