/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/poison.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "boxes/store/batch.h"
#include "boxes/store/pg.h"
#include "common/log.h"
#include "common/stats.h"

#define POISON_MS 10000
/* Rolls back what the slice has done. */
#define POISON_BACK "SELECT 1/0"

static struct stat_value stat_poison = { .name = "store_poison_rows_total",
	.help = "Rows that the database refused, set apart in quarantine",
	.type = STAT_COUNTER };

static void poison_try(struct poison *);

bool
poison_suspect(const struct pg_end *end)
{
	/* Bad data, a constraint, or over a limit such as the size of an index
	 * entry. */
	static const char *const classes[] = { "22", "23", "54" };

	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		if (strncmp(end->sqlstate, classes[i], 2) == 0)
			return true;
	return false;
}

const char *
poison_says(const struct pg_end *end)
{
	/* Bad data is quoted. */
	return strncmp(end->sqlstate, "22", 2) == 0 ? "a value is not right"
						    : end->message;
}

/* The row goes from its table to quarantine. */
static void
poison_move(struct poison *p)
{
	uint64_t seq = batch_set_apart(p->batch, p->table, p->low, p->why);

	stat_poison.value++;
	log_error("record.poison", "table=%s seq=%llu reason=%s hint=%s",
	    rows_name(p->table), (unsigned long long)seq, p->why,
	    "the database refuses this row; see table quarantine");
}

static void
poison_rows(struct pg *pg, unsigned index, const PGresult *res, void *arg)
{
	struct poison *p = arg;

	(void)pg;
	(void)res;
	if (index == 0)
		p->passed = true;
}

static void
poison_done(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct poison *p = arg;

	(void)pg;
	if (end->outcome == PG_LOST) {
		p->done(POISON_LOST, p->arg);
		return;
	}
	if (p->passed && p->bad && p->tried == p->high &&
	    p->low + 1 == p->high) {
		/* All that was left of a slice that was refused is taken. */
		p->done(POISON_NONE, p->arg);
		return;
	}
	if (p->passed) {
		p->low = p->tried;
	} else if (!poison_suspect(end)) {
		log_error("poison.search", "reason=%s", end->message);
		p->done(POISON_ERROR, p->arg);
		return;
	} else {
		snprintf(p->why, sizeof(p->why), "%s: %s", end->sqlstate,
		    poison_says(end));
		p->high = p->tried;
		p->bad = true;
		if (p->low + 1 == p->high) {
			poison_move(p);
			p->done(POISON_MOVED, p->arg);
			return;
		}
	}
	poison_try(p);
}

/* The first half of a slice that was refused, else all of a table. */
static void
poison_try(struct poison *p)
{
	while (p->low == p->high) {
		/* Nothing in this table, or nothing any more. */
		if (p->bad || p->table + 1 == ROWS_TABLES) {
			p->done(POISON_NONE, p->arg);
			return;
		}
		p->table++;
		p->low = 0;
		p->high = p->batch->rows[p->table].count;
	}
	p->tried = p->high;
	if (p->bad && p->high - p->low > 1)
		p->tried = p->low + (p->high - p->low) / 2;
	p->passed = false;
	pg_begin(p->pg, POISON_MS, poison_rows, poison_done, p);
	rows_run_slice(
	    &p->batch->rows[p->table], p->table, p->pg, p->low, p->tried);
	pg_run(p->pg, POISON_BACK, NULL, false);
	pg_commit(p->pg);
}

void
poison_find(struct poison *p, struct pg *pg, struct batch *b, poison_cb *done,
    void *arg)
{
	stat_register(&stat_poison);
	memset(p, 0, sizeof(*p));
	p->pg = pg;
	p->batch = b;
	p->done = done;
	p->arg = arg;
	p->table = ROWS_MESSAGE;
	p->high = b->rows[p->table].count;
	poison_try(p);
}
