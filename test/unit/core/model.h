/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * model.h - the tables of a store, kept in memory, for the tests of the engine.
 *
 * What is in here has been committed.  It follows boxes/store as the bus can
 * see it: which items a page has, what a receipt makes, where recovery begins,
 * which ids were there before.  While records come in it watches over the
 * rules that no bus may break; `fault` says which one was broken first.
 */
#ifndef TEST_CORE_MODEL_H
#define TEST_CORE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/map.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct conf;

/* One record; an item if kind is not 0. */
struct db_row {
	uint64_t seq;
	uint8_t kind;
	uint8_t id[16];
	uint32_t queue; /* home; 0: a parked MO */
	bool scheduled; /* its due row holds it, not its queue */
	uint64_t at, expires_at;
	uint32_t report_queue, mask;
	uint64_t message; /* DLR: seq of the message */
	uint8_t *envelope, *body, *report, *key;
	size_t envelope_len, body_len, report_len;
	/* What has become of it. */
	uint32_t attempts, attempt_recorded;
	bool dup;
	char link[64];
	uint32_t part[16];
	size_t parts;
	uint64_t last_close; /* seq */
	bool ended;          /* closed for good */
	bool submitted;      /* a receipt is awaited */
	uint64_t receipt_by;
	uint8_t final;     /* state */
	bool by_timer;     /* and nobody said so */
	uint8_t other[16]; /* replaced by */
	unsigned finals;   /* how often */
	unsigned submits;
	bool notified;
	/* Its last RETRY: when it was recorded (wall) and durable, and of which
	 * of the times between which no clock was set and no bus restarted. */
	uint64_t waits_at, waits_since, wait_ms, era;
};

struct db_due {
	uint64_t at, seq, ref;
};

struct db_queue {
	uint32_t number;
	char target[64], account[64];
	int class;
	uint64_t *item; /* seqs */
	size_t count, cap;
	uint64_t mark;    /* of the checkpoint that is used */
	uint64_t marking; /* of the one that is being written */
};

struct db_list {
	uint64_t *v;
	size_t count, cap;
};

struct db {
	struct db_row *row; /* by seq - 1 */
	uint64_t durable;
	size_t cap;
	struct map by_id; /* id -> seq of the message, as a pointer */
	struct db_queue *queue;
	size_t queue_count;
	struct db_due *due; /* by (at, seq) */
	size_t due_count, due_cap;
	struct db_list orphan; /* seqs of RECEIPT_IN */
	struct map receipt;    /* ids of all of them, owned */
	uint64_t now, era;     /* set by the owner */
	/* The last checkpoint. */
	uint64_t since, since_event, due_low_at, due_low_seq;
	uint64_t marking_from; /* first record of the one being written */
	size_t frame_items;    /* of a page; 0: as many as fit */
	char fault[256];
	uint64_t pages, verified;
	size_t live;             /* items that are neither ended nor parked */
	struct db_list expiring; /* seqs; what is final leaves late */
};

/* What a commit tells the bus. */
struct db_news {
	struct db_list duplicate, notice;
};

void db_init(struct db *);
void db_fini(struct db *);
void db_list_add(struct db_list *, uint64_t);
void db_news_fini(struct db_news *);

/* The next record becomes durable. */
void db_commit(
    struct db *, uint64_t seq, const struct item *, struct db_news *);
/* The same record has come again. */
void db_again(
    const struct db *, uint64_t seq, const struct item *, struct db_news *);

struct db_row *db_row(const struct db *, uint64_t seq);
/* Its message, or NULL. */
struct db_row *db_find(const struct db *, const uint8_t id[16]);

bool db_receipt(const struct db *, const uint8_t id[16]);

/* Payloads of frames of Items. */
typedef void db_emit(void *arg, const uint8_t *payload, size_t len);
void db_page(struct db *, const Hopyard__V1__Page *, db_emit *, void *arg);
void db_notices(
    const struct db *, const struct db_list *seqs, db_emit *, void *arg);
/* Returns how many. */
size_t db_overdue(struct db *, uint64_t wall, db_emit *, void *arg);
/* Frames of Opened; the last has no `more`. */
typedef void db_opened_cb(void *arg, const Hopyard__V1__Opened *);
void db_opened(struct db *, uint64_t epoch, db_opened_cb *, void *arg);

/* ------------------------------------------------------------ for building */

/* Checked like a file; a mistake ends the test. */
struct conf *model_conf(const char *text);
/* A UUIDv7 of this time. */
void model_id(uint8_t id[16], uint64_t wall_ms, uint64_t serial);

struct model_mt {
	const uint8_t *id;
	const char *account, *to, *from, *link;
	const uint8_t *replaces; /* id, NULL: nobody */
	uint32_t mask, parts;
	uint64_t delay_ms, validity_ms;
	int class;        /* 0: not said */
	size_t body_size; /* 0: a few bytes */
	bool esme;        /* its reports go to SMPP binds */
};
/* Borrowed from the buffer, until it is changed. */
struct item model_mt(struct buf *, const struct model_mt *);
struct item model_mo(
    struct buf *, const uint8_t id[16], const char *to, const char *from);
/* One part; its text is the number in brackets. */
struct model_part {
	const uint8_t *id;
	const char *to, *from, *link;
	uint32_t total, number;
	uint64_t text;
};
struct item model_mo_part(struct buf *, const struct model_part *);
/* A receipt about the message whose SMSC id is this. */
struct item model_receipt(struct buf *, const uint8_t id[16],
    const void *smsc_id, size_t len, Hopyard__V1__State);

struct model_result {
	uint64_t ref;
	Hopyard__V1__Result__Code code;
	const uint8_t *id; /* NULL: not said */
	uint32_t attempt;  /* 0: not said */
	const void *smsc_id;
	size_t smsc_id_len;
	const char *detail;
	uint64_t pause_ms;
	bool pause_link;
	uint32_t part_ok; /* this part has been taken; 0 none */
};
struct item model_result(struct buf *, const struct model_result *);

#endif
