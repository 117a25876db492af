/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/sweep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/batch.h"
#include "boxes/store/out.h"
#include "boxes/store/pack.h"
#include "boxes/store/partition.h"
#include "boxes/store/pg.h"
#include "boxes/store/store.h"
#include "boxes/store/stored.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/map.h"
#include "common/queue.h"
#include "common/stats.h"
#include "common/uuid.h"
#include "common/xalloc.h"

#define SWEEP_SLOT_MS   20000
#define SWEEP_FLUSH_MS  5000
#define SWEEP_AHEAD_MS  (16 * DAY_MS) /* nothing lives longer */
#define SWEEP_GRACE_MS  5000          /* for the bus to do it itself */
#define SWEEP_RANGES    4096
#define SWEEP_ITEMS     500
#define SWEEP_RUN_MS    60000
#define SWEEP_AGAIN_MAX (600 * 1000)

struct slot {
	uint32_t slot;
	uint8_t lo_id[16], hi_id[16];
	uint64_t lo_seq, hi_seq;
};

/* A row of the wheel whose slot is over. */
struct range {
	TAILQ_ENTRY(range) link;
	struct slot slot;
	uint64_t upto;
	char ctid[24];
	bool empty;    /* all is final: delete the row */
	uint64_t next; /* mono ms of the next look */
	uint64_t backoff;
	unsigned found; /* by the look that is under way */
	bool cut;       /* it ran into its limit */
};

TAILQ_HEAD(range_list, range);

struct sweep {
	struct store *store;
	struct map slots; /* number + 1 -> slot */
	uint64_t flushed; /* mono ms */
	bool hurry, ready;
	struct range_list ranges;
	size_t range_count;
	struct map by_ctid;
	bool running;
	struct pg *pg;
	struct range *now; /* that is looked at */
	struct stored stored;
};

static struct stat_value stat_overdue = { .name = "store_overdue_total",
	.help = "Messages found after their time without a final state",
	.type = STAT_COUNTER };
static struct stat_value stat_stuck = { .name = "store_overdue_ranges",
	.help = "Ranges of messages in which some are overdue",
	.type = STAT_GAUGE };

struct sweep *
sweep_new(struct store *s)
{
	struct sweep *w = xcalloc(1, sizeof(*w));

	w->store = s;
	w->flushed = clock_mono_ms();
	map_init(&w->slots);
	map_init(&w->by_ctid);
	TAILQ_INIT(&w->ranges);
	stored_init(&w->stored);
	stat_register(&stat_overdue);
	stat_register(&stat_stuck);
	return w;
}

static void
range_free(struct sweep *w, struct range *r)
{
	map_del(&w->by_ctid, r->ctid, strlen(r->ctid));
	TAILQ_REMOVE(&w->ranges, r, link);
	w->range_count--;
	free(r);
}

void
sweep_free(struct sweep *w)
{
	struct range *r;
	struct slot *s;
	size_t pos = 0;

	while ((r = TAILQ_FIRST(&w->ranges)) != NULL)
		range_free(w, r);
	while ((s = map_next(&w->slots, &pos)) != NULL)
		free(s);
	map_fini(&w->slots);
	map_fini(&w->by_ctid);
	stored_fini(&w->stored);
	free(w);
}

/* ------------------------------------------------------------- the wheel */

void
sweep_expect(struct sweep *w, uint64_t when, const uint8_t id[16], uint64_t seq)
{
	uint64_t now = clock_wall_ms();
	uint32_t number;
	struct slot *s;

	if (when > now + SWEEP_AHEAD_MS)
		when = now + SWEEP_AHEAD_MS;
	number = (uint32_t)(when / SWEEP_SLOT_MS);
	s = map_get_u64(&w->slots, number + 1u);
	if (s == NULL) {
		s = xcalloc(1, sizeof(*s));
		s->slot = number;
		memcpy(s->lo_id, id, 16);
		memcpy(s->hi_id, id, 16);
		s->lo_seq = s->hi_seq = seq;
		map_put_u64(&w->slots, number + 1u, s);
		return;
	}
	if (memcmp(id, s->lo_id, 16) < 0)
		memcpy(s->lo_id, id, 16);
	if (memcmp(id, s->hi_id, 16) > 0)
		memcpy(s->hi_id, id, 16);
	if (seq < s->lo_seq)
		s->lo_seq = seq;
	if (seq > s->hi_seq)
		s->hi_seq = seq;
}

void
sweep_hurry(struct sweep *w)
{
	w->hurry = true;
}

void
sweep_ready(struct sweep *w)
{
	w->ready = true;
}

void
sweep_flush(struct sweep *w, struct batch *b, uint64_t last_seq)
{
	struct rows *r = &b->rows[ROWS_WHEEL];
	uint64_t now = clock_mono_ms();
	struct slot *s;
	size_t pos = 0;

	if (!w->ready || w->slots.count == 0 ||
	    (!w->hurry && now - w->flushed < SWEEP_FLUSH_MS))
		return;
	while ((s = map_next(&w->slots, &pos)) != NULL) {
		column_add(&r->col[0], s->slot);
		column_add(&r->col[1], (int64_t)last_seq);
		column_add_bytes(&r->col[2], s->lo_id, 16);
		column_add_bytes(&r->col[3], s->hi_id, 16);
		column_add(&r->col[4], (int64_t)s->lo_seq);
		column_add(&r->col[5], (int64_t)s->hi_seq);
		r->count++;
		free(s);
	}
	map_fini(&w->slots);
	map_init(&w->slots);
	w->flushed = now;
	w->hurry = false;
}

/* --------------------------------------------------------- what is overdue */

static void sweep_next(struct sweep *);

static void
sweep_stop(struct sweep *w)
{
	w->running = false;
	w->now = NULL;
	stat_stuck.value = w->range_count;
}

static void
sweep_deleted(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct sweep *w = arg;
	struct range *r = w->now;

	(void)pg;
	if (end->outcome != PG_OK) {
		sweep_stop(w);
		return;
	}
	/* A newest row stays: it says how far the wheel goes. */
	if (r->found > 0)
		range_free(w, r);
	else
		r->next = clock_mono_ms() + 60 * 1000;
	sweep_next(w);
}

static void
sweep_deleted_rows(
    struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct sweep *w = arg;

	(void)pg;
	(void)index;
	w->now->found = (unsigned)PQntuples(res);
}

static void
sweep_delete(struct sweep *w, struct range *r)
{
	struct pg_params p = { .count = 0 };

	w->now = r;
	r->found = 0;
	pg_param_text(&p, r->ctid);
	pg_param_int(&p, r->slot.slot);
	pg_param_int(&p, (int64_t)r->upto);
	pg_begin(w->pg, SWEEP_RUN_MS, sweep_deleted_rows, sweep_deleted, w);
	pg_run(w->pg,
	    "DELETE FROM wheel w WHERE ctid = $1::tid AND slot = $2::int4"
	    " AND upto = $3::int8 AND EXISTS (SELECT FROM wheel o"
	    " WHERE o.upto >= w.upto AND o.ctid <> w.ctid) RETURNING 1",
	    &p, false);
	pg_commit(w->pg);
}

static void
sweep_range_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct sweep *w = arg;
	struct range *r = w->now;
	struct stored *st = &w->stored;
	uint64_t now = clock_wall_ms();
	struct out out;

	(void)pg;
	(void)index;
	r->cut = PQntuples(res) >= SWEEP_ITEMS;
	out_init(&out, w->store->box, HOPYARD__V1__FRAME_TYPE__OVERDUE, 0);
	for (int row = 0; row < PQntuples(res); row++) {
		if (!stored_read(st, res, row))
			continue;
		/* Its carrier has time until then; that is another range. */
		if (st->submitted && st->receipt_by > now)
			continue;
		r->found++;
		st->paged.has_state = true;
		if (st->submitted)
			st->paged.state = HOPYARD__V1__STATE__SUBMITTED;
		else if (!st->paged.state)
			st->paged.state = HOPYARD__V1__STATE__QUEUED;
		out_add(&out, &st->item, &st->paged);
	}
	if (r->found > 0)
		log_info("sweep.overdue", "found=%u slot=%u", r->found,
		    r->slot.slot);
	stat_overdue.value += r->found;
	out_end(&out, 0, 0, false);
}

static void
sweep_range_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct sweep *w = arg;
	struct range *r = w->now;

	(void)pg;
	if (end->outcome != PG_OK) {
		if (end->outcome == PG_ERROR)
			log_error("sweep.failed", "reason=%s", end->message);
		sweep_stop(w);
		return;
	}
	if (r->found == 0 && !r->cut) {
		r->empty = true;
		sweep_delete(w, r);
		return;
	}
	if (r->cut)
		r->backoff = w->store->set.sweep_ms;
	else
		r->backoff =
		    r->backoff == 0 ? w->store->set.sweep_ms : r->backoff * 2;
	if (r->backoff > SWEEP_AGAIN_MAX)
		r->backoff = SWEEP_AGAIN_MAX;
	r->next = clock_mono_ms() + r->backoff;
	sweep_next(w);
}

static void
sweep_look(struct sweep *w, struct range *r)
{
	struct pg_params p = { .count = 0 };
	uint64_t at = uuid_time_ms(r->slot.lo_id);

	w->now = r;
	r->found = 0;
	pg_param_bytes(&p, r->slot.lo_id, 16);
	pg_param_bytes(&p, r->slot.hi_id, 16);
	pg_param_int(&p, (int64_t)r->slot.lo_seq);
	pg_param_int(&p, (int64_t)r->slot.hi_seq);
	pg_param_int(&p, (int64_t)clock_wall_ms());
	pg_param_int(
	    &p, at > CLOCK_SLACK_MS ? (int64_t)(at - CLOCK_SLACK_MS) : 0);
	pg_param_int(&p, SWEEP_ITEMS);
	pg_begin(w->pg, SWEEP_RUN_MS, sweep_range_rows, sweep_range_done, w);
	/* CANCELLED_EV, FINAL, NOTIFIED, DEAD_EV; SUBMITTED_EV as SENT */
	pg_run(w->pg,
	    "SELECT " STORED_MESSAGE STORED_HISTORY("m.seq",
		"$6::int8") " FROM message m WHERE m.id BETWEEN $1::uuid AND $2::uuid"
			    " AND m.seq BETWEEN $3::int8 AND $4::int8"
			    " AND m.expires_at <= $5::int8 AND NOT EXISTS"
			    " (SELECT FROM event k WHERE k.ref = m.seq AND k.at >= $6::int8"
			    " AND (k.type::int IN (5, 6, 7, 9)"
			    " OR k.type::int = 2 AND k.state::int = 22))"
			    " AND NOT " PACK_CLOSES("m.seq",
				"$6::int8") " ORDER BY m.id LIMIT $7::int4",
	    &p, true);
	pg_commit(w->pg);
}

static void
sweep_next(struct sweep *w)
{
	uint64_t now = clock_mono_ms();
	struct range *r;

	TAILQ_FOREACH(r, &w->ranges, link) {
		if (r->next <= now)
			break;
	}
	if (r == NULL || !w->store->opened || !pg_is_up(w->pg)) {
		sweep_stop(w);
		return;
	}
	if (r->empty)
		sweep_delete(w, r);
	else
		sweep_look(w, r);
}

static void
sweep_wheel_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct sweep *w = arg;

	(void)pg;
	(void)index;
	for (int row = 0; row < PQntuples(res); row++) {
		struct range *r;
		const uint8_t *lo, *hi, *ctid;
		size_t lo_len, hi_len, ctid_len;

		ctid = pg_bytes(res, row, 0, &ctid_len);
		lo = pg_bytes(res, row, 3, &lo_len);
		hi = pg_bytes(res, row, 4, &hi_len);
		if (w->range_count >= SWEEP_RANGES || lo_len != 16 ||
		    hi_len != 16 || ctid_len >= sizeof(r->ctid) ||
		    map_get(&w->by_ctid, ctid, ctid_len) != NULL)
			continue;
		r = xcalloc(1, sizeof(*r));
		memcpy(r->ctid, ctid, ctid_len);
		r->slot.slot = (uint32_t)pg_int4(res, row, 1);
		r->upto = (uint64_t)pg_int8(res, row, 2);
		memcpy(r->slot.lo_id, lo, 16);
		memcpy(r->slot.hi_id, hi, 16);
		r->slot.lo_seq = (uint64_t)pg_int8(res, row, 5);
		r->slot.hi_seq = (uint64_t)pg_int8(res, row, 6);
		map_put(&w->by_ctid, r->ctid, ctid_len, r);
		TAILQ_INSERT_TAIL(&w->ranges, r, link);
		w->range_count++;
	}
}

static void
sweep_wheel_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct sweep *w = arg;

	(void)pg;
	if (end->outcome == PG_OK) {
		sweep_next(w);
		return;
	}
	if (end->outcome == PG_ERROR)
		log_error("sweep.failed", "reason=%s", end->message);
	sweep_stop(w);
}

void
sweep_run(struct sweep *w, struct pg *pg)
{
	struct pg_params p = { .count = 0 };
	uint64_t over = clock_wall_ms() - SWEEP_GRACE_MS;

	if (w->running || !w->ready || !pg_is_up(pg))
		return;
	w->running = true;
	w->pg = pg;
	pg_param_int(&p, (int64_t)(over / SWEEP_SLOT_MS));
	pg_param_int(&p, SWEEP_RANGES);
	pg_begin(pg, SWEEP_RUN_MS, sweep_wheel_rows, sweep_wheel_done, w);
	pg_run(pg,
	    "SELECT ctid::text, slot, upto, lo_id, hi_id, lo_seq, hi_seq"
	    " FROM wheel WHERE slot < $1::int4 ORDER BY slot LIMIT $2::int4",
	    &p, true);
	pg_commit(pg);
}
