/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/recovery.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/append.h"
#include "boxes/store/partition.h"
#include "boxes/store/pg.h"
#include "boxes/store/store.h"
#include "common/clock.h"
#include "common/crash.h"
#include "common/log.h"
#include "common/map.h"
#include "common/uuid.h"
#include "common/xalloc.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

#define RECOVERY_MS          60000
#define RECOVERY_CHECKPOINTS 256
#define RECOVERY_QUEUES      500 /* in a frame of Opened */
/* An id may be this much older than the record of its message. */
#define RECOVERY_ID_AGE (9 * DAY_MS)
/* For checkpoints that do not say what was durable when they were written. */
#define RECOVERY_BEHIND (1000 * 1000)

struct mark {
	uint32_t queue;
	uint64_t low;
};

struct recovery {
	struct store *store;
	unsigned link;
	uint64_t epoch;
	uint64_t last_seq;
	/* The last checkpoint that is complete. */
	uint64_t checkpoint; /* seq of its last record, 0: none */
	uint64_t since;      /* new items lie behind this */
	uint64_t since_event;
	uint64_t since_at;
	bool has_due;
	uint64_t due_at, due_seq;
	struct map marks; /* queue -> mark */
	uint64_t started;
	size_t queues, live;
	Hopyard__V1__Opened opened;
	Hopyard__V1__Queue queue[RECOVERY_QUEUES];
	Hopyard__V1__Queue *list[RECOVERY_QUEUES];
};

static void
recovery_free(struct recovery *r)
{
	struct mark *m;
	size_t pos = 0;

	while ((m = map_next(&r->marks, &pos)) != NULL)
		free(m);
	map_fini(&r->marks);
	free(r);
}

static bool
recovery_wanted(const struct recovery *r)
{
	return r->store->connected && r->link == r->store->link;
}

/* --------------------------------------------------------- the checkpoint */

static void
recovery_mark(struct recovery *r, uint32_t queue, uint64_t low)
{
	struct mark *m = map_get_u64(&r->marks, queue);

	if (m == NULL) {
		m = xcalloc(1, sizeof(*m));
		m->queue = queue;
		map_put_u64(&r->marks, queue, m);
	}
	if (m->low == 0 || low < m->low)
		m->low = low;
}

/*
 * Newest first.  A checkpoint of many queues is several records; the last of
 * them says that it closes the checkpoint, so one that does not is torn off.
 */
static void
recovery_checkpoint(struct recovery *r, const PGresult *res)
{
	struct arena *arena = &r->store->tools.arena;

	for (int row = 0; row < PQntuples(res); row++) {
		const Hopyard__V1__Record *rec;
		const uint8_t *p;
		size_t len;

		p = pg_bytes(res, row, 2, &len);
		arena_reset(arena);
		rec = frame_unpack(
		    arena, &hopyard__v1__record__descriptor, p, len);
		if (rec == NULL)
			continue;
		if (r->checkpoint == 0 && !rec->closes)
			continue;
		if (r->checkpoint != 0 && rec->closes)
			return;
		if (r->checkpoint == 0) {
			r->checkpoint = (uint64_t)pg_int8(res, row, 0);
			r->has_due = rec->has_due_low_at;
			r->due_at = rec->due_low_at;
			r->due_seq = rec->due_low_seq;
		}
		r->since = (uint64_t)pg_int8(res, row, 0);
		r->since_at = (uint64_t)pg_int8(res, row, 1);
		/* Notices that were on their way are in no mark. */
		r->since_event = rec->has_ref    ? rec->ref
		    : r->since > RECOVERY_BEHIND ? r->since - RECOVERY_BEHIND
						 : 0;
		for (size_t i = 0; i < rec->n_queues; i++)
			recovery_mark(
			    r, rec->queues[i]->queue, rec->queues[i]->low);
	}
}

/* ------------------------------------------------------------- the queues */

static void
recovery_frame(struct recovery *r, bool more)
{
	Hopyard__V1__Opened *o = &r->opened;

	if (!recovery_wanted(r))
		return;
	o->has_more = o->more = more;
	box_send(
	    r->store->box, HOPYARD__V1__FRAME_TYPE__OPENED, 0, 0, &o->base);
	o->n_queue = 0;
}

static void
recovery_queue_rows(
    struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct recovery *r = arg;
	Hopyard__V1__Opened *o = &r->opened;

	(void)pg;
	if (index == 0)
		return; /* set_config() */
	for (int row = 0; row < PQntuples(res); row++) {
		Hopyard__V1__Queue *q = &r->queue[o->n_queue];
		const struct mark *m;

		hopyard__v1__queue__init(q);
		q->queue = (uint32_t)pg_int4(res, row, 0);
		q->target.data =
		    (uint8_t *)(uintptr_t)pg_bytes(res, row, 1, &q->target.len);
		q->class_ = (Hopyard__V1__Class)pg_int4(res, row, 2);
		q->account.data = (uint8_t *)(uintptr_t)pg_bytes(
		    res, row, 3, &q->account.len);
		m = map_get_u64(&r->marks, q->queue);
		if (m != NULL)
			q->low = m->low;
		for (int col = 4; col <= 5; col++) {
			uint64_t seq = (uint64_t)pg_int8(res, row, col);

			if (seq != 0 && (q->low == 0 || seq < q->low))
				q->low = seq;
		}
		q->has_low = q->low != 0;
		r->live += q->has_low;
		r->queues++;
		o->queue[o->n_queue++] = q;
		if (o->n_queue == RECOVERY_QUEUES)
			recovery_frame(r, true);
	}
	/* Its strings lie in the result. */
	recovery_frame(r, false);
}

static void
recovery_end(struct recovery *r, const struct pg_end *end)
{
	struct store *s = r->store;
	uint64_t epoch = r->epoch;

	if (end->outcome == PG_LOST) {
		recovery_free(r);
		return; /* append.c starts it anew */
	}
	if (end->outcome == PG_ERROR || end->warned) {
		log_error("recovery.failed", "reason=%s",
		    end->outcome == PG_ERROR ? end->message : "not durable");
		store_state(s, false, "recovery failed");
		epoch = 0;
	} else if (recovery_wanted(r)) {
		log_info("recovery.done",
		    "epoch=%" PRIu64 " last_seq=%" PRIu64 " checkpoint=%" PRIu64
		    " queues=%zu live=%zu ms=%" PRIu64,
		    r->epoch, r->last_seq, r->checkpoint, r->queues, r->live,
		    clock_mono_ms() - r->started);
		CRASH_POINT("store.recovered");
		store_opened(s);
	}
	recovery_free(r);
	append_opened(s->append, epoch);
}

static void
recovery_queues_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	(void)pg;
	recovery_end(arg, end);
}

/* Index by index; a plan must not read what grows. */
static const char recovery_plan_sql[] =
    "SELECT set_config('enable_seqscan', 'off', true),"
    " set_config('enable_hashjoin', 'off', true),"
    " set_config('enable_mergejoin', 'off', true),"
    " set_config('enable_bitmapscan', 'off', true)";

static void
recovery_queues(struct recovery *r, struct pg *pg)
{
	Hopyard__V1__Opened *o = &r->opened;
	struct pg_params p = { .count = 0 };
	uint64_t id_at =
	    r->since_at > RECOVERY_ID_AGE ? r->since_at - RECOVERY_ID_AGE : 0;
	uint8_t id[UUID_LEN];

	hopyard__v1__opened__init(o);
	o->epoch = r->epoch;
	o->last_seq = r->last_seq;
	o->queue = r->list;
	o->has_checkpoint_seq = r->checkpoint != 0;
	o->checkpoint_seq = r->checkpoint;
	o->has_due_at = o->has_due_seq = r->has_due;
	o->due_at = r->due_at;
	o->due_seq = r->due_seq;
	o->has_now_at = true;
	o->now_at = clock_wall_ms();
	uuid_lowest(id_at, id);
	pg_param_int(&p, (int64_t)r->since);
	pg_param_int(&p, (int64_t)r->since_event);
	pg_param_bytes(&p, id, sizeof(id));
	pg_param_int(&p,
	    r->since_at > CLOCK_SLACK_MS
		? (int64_t)(r->since_at - CLOCK_SLACK_MS)
		: 0);
	pg_begin(pg, RECOVERY_MS, recovery_queue_rows, recovery_queues_done, r);
	pg_run(pg, recovery_plan_sql, NULL, false);
	pg_run(pg,
	    "SELECT q.queue, q.target, q.class, q.account, m.seq, e.seq"
	    " FROM queue q LEFT JOIN LATERAL (SELECT seq FROM message"
	    " WHERE queue = q.queue AND seq > $1::int8 AND id >= $3::uuid"
	    " ORDER BY seq LIMIT 1) m ON true"
	    " LEFT JOIN LATERAL (SELECT seq FROM event"
	    " WHERE queue = q.queue AND seq > $2::int8 AND at >= $4::int8"
	    " ORDER BY seq LIMIT 1) e ON true ORDER BY q.queue",
	    &p, true);
	pg_commit(pg);
}

/* -------------------------------------------------------------- the epoch */

static void
recovery_epoch_rows(
    struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct recovery *r = arg;

	(void)pg;
	if (index == 0 && PQntuples(res) == 1)
		r->epoch = (uint64_t)pg_int8(res, 0, 0);
	else if (index == 1)
		recovery_checkpoint(r, res);
}

static void
recovery_epoch_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct recovery *r = arg;

	if (end->outcome != PG_OK || end->warned)
		recovery_end(r, end);
	else
		recovery_queues(r, pg);
}

void
recovery_start(struct store *s, const uint8_t *instance, size_t instance_len,
    const char *node, uint64_t last_seq)
{
	struct recovery *r = xcalloc(1, sizeof(*r));
	struct pg *pg = append_session(s->append);
	struct pg_params p = { .count = 0 }, q = { .count = 0 };

	r->store = s;
	r->link = s->link;
	r->last_seq = last_seq;
	r->started = clock_mono_ms();
	map_init(&r->marks);
	for (size_t i = 0; i < RECOVERY_QUEUES; i++)
		r->list[i] = &r->queue[i];
	pg_param_int(&p, s->set.cell);
	pg_param_bytes(&p, instance, instance_len);
	pg_param_text(&p, node);
	pg_param_int(&p, (int64_t)clock_wall_ms());
	/* A rewound database may have forgotten the bus that is here. */
	pg_param_int(&p,
	    (int64_t)(s->witness.epoch +
		!witness_is_of(&s->witness, instance, instance_len)));
	pg_param_int(&p, (int64_t)s->set.lease_ms);
	pg_param_text(&p, append_boot(s->append));
	pg_begin(pg, RECOVERY_MS, recovery_epoch_rows, recovery_epoch_done, r);
	/* A bus that only lost its connection goes on; a new one fences all
	 * that were before it. */
	pg_run(pg,
	    "INSERT INTO cell AS c (cell, epoch, instance, node, at, beat,"
	    " lease_ms, boot, renewed) VALUES ($1::int4,"
	    " greatest(1, $5::int8), $2::bytea, $3::text, $4::int8, 1,"
	    " $6::int8, $7::text, clock_timestamp())"
	    " ON CONFLICT (cell) DO UPDATE SET epoch = greatest($5::int8, CASE"
	    " WHEN c.instance = $2::bytea THEN c.epoch ELSE c.epoch + 1 END),"
	    " instance = $2::bytea, node = $3::text, at = $4::int8,"
	    " beat = c.beat + 1, lease_ms = $6::int8, boot = $7::text,"
	    " released = false, renewed = clock_timestamp()"
	    " RETURNING epoch",
	    &p, true);
	pg_param_int(&q, RECOVERY_CHECKPOINTS);
	pg_run(pg,
	    "SELECT seq, at, rec FROM checkpoint ORDER BY seq DESC"
	    " LIMIT $1::int4",
	    &q, true);
	pg_commit(pg);
}
