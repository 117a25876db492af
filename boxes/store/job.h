/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * job.h - one call to the store while it is being answered; shared by query.c,
 * which runs it, and the files that know the methods: search.c, history.c,
 * claim.c.
 */
#ifndef STORE_JOB_H
#define STORE_JOB_H

#include <jansson.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boxes/store/partition.h"
#include "boxes/store/pg.h"
#include "boxes/store/timeline.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/queue.h"
#include "common/uuid.h"
#include "proto/bytes.h"
#include "proto/frame.h"

#define JOB_ANSWER ((size_t)200 * 1024) /* one frame holds 256 KiB */
/* An id may be ahead of our clock by so much: a front end's may be, and ours may
 * have been put back. */
#define JOB_SKEW_MS CLOCK_SLACK_MS

struct job;
struct query;

struct job_method {
	const char *name;
	bool control; /* not for front ends */
	bool claim;   /* on the session for claims */
	/* Checks the arguments; NULL, or what is wrong with them. */
	const char *(*read)(struct job *);
	void (*run)(struct job *, struct pg *);
	pg_rows_cb *rows;
	/* All rows are in: put the answer together. */
	void (*finish)(struct job *);
};

struct job {
	TAILQ_ENTRY(job) link;
	struct query *query;
	const struct job_method *method;
	uint64_t correlation;
	uint64_t since; /* mono ms */
	json_t *args;
	char *account; /* limit of the asker, or NULL */
	bool text;
	/* what was asked for */
	uint8_t id[UUID_LEN];
	uint8_t from_id[UUID_LEN], to_id[UUID_LEN];
	uint64_t from_ms, to_ms;
	unsigned limit, scan;
	uint32_t states;
	char *ids; /* of a claim */
	/* the answer */
	unsigned code;
	const char *error;
	struct buf out;
	struct json json;
	PGresult *message; /* copies of results, for finish */
	PGresult *events;
	bool again; /* a claim for which a partition had to be made */
};

extern const struct job_method search_find, search_orphans, history_show,
    history_get, history_trace, claim_method;

void job_fail(struct job *, unsigned code, const char *error);
/* A text of the arguments, or NULL. */
const char *job_str(const struct job *, const char *key);
/* For decoding; reset by whoever uses it. */
struct arena *job_arena(const struct job *);

/* The class that counts is the queue's: a route may have changed it. */
#define JOB_HEAD_COLUMNS                                                       \
	"m.id, m.seq, m.expires_at, m.parts, m.kind,"                          \
	" coalesce((SELECT c.class FROM queue c WHERE c.queue = m.queue),"     \
	" m.class::int), m.account, m.dst, m.src, m.client_ref, m.rec"
#define JOB_MESSAGE_COLUMNS JOB_HEAD_COLUMNS ", m.envelope, m.body"

enum {
	JOB_COL_ID,
	JOB_COL_SEQ,
	JOB_COL_EXPIRES_AT,
	JOB_COL_PARTS,
	JOB_COL_KIND,
	JOB_COL_CLASS,
	JOB_COL_ACCOUNT,
	JOB_COL_DST,
	JOB_COL_SRC,
	JOB_COL_CLIENT_REF,
	JOB_COL_REC,
	JOB_COL_ENVELOPE,
	JOB_COL_BODY,
	JOB_COL_QUEUE, /* show: its name; find: the events */
};

/* A value of a binary result; borrowed. */
struct bytes job_bytes(const PGresult *, int row, int col);
/* The columns above; false for a row without an id. */
bool job_message(struct timeline_message *, const PGresult *, int row);

#endif
