/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smppc/cell.h"

#include <stdlib.h>
#include <string.h>

#include "boxes/smppc/link.h"
#include "boxes/smppc/submit.h"
#include "common/clock.h"
#include "common/conf.h"
#include "common/xalloc.h"

#define CELL_HUNGRY_MS 200 /* credit is used up within, or is too much */
#define CELL_PROBE     4   /* part of the whole for one that uses none */

void
cell_init(struct cell *c, struct link *l, const struct conf_group *g)
{
	size_t i;

	c->link = l;
	c->bus_lost_ms = clock_mono_ms();
	c->told.state = -1;
	TAILQ_INIT(&c->ready);
	TAILQ_INIT(&c->finished);
	map_init(&c->by_ref);
	if (g == NULL)
		return;
	c->n_inbound = conf_list_len(g, "inbound");
	c->inbound = xcalloc(c->n_inbound + 1, sizeof(*c->inbound));
	for (i = 0; i < c->n_inbound; i++)
		c->inbound[i] = xstrdup(conf_list_str(g, "inbound", i));
}

void
cell_fini(struct cell *c)
{
	size_t i;

	for (i = 0; i < c->n_inbound; i++)
		free(c->inbound[i]);
	free(c->inbound);
	map_fini(&c->by_ref);
}

/* ---------------------------------------------------------------- fairness */

bool
cell_is_hungry(const struct cell *c, uint64_t now)
{
	return c->bus_lost_ms == 0 &&
	    (c->open_items == 0 || now - c->fed_ms < CELL_HUNGRY_MS);
}

uint64_t
cell_share(const struct cell *c, uint64_t total, uint64_t now)
{
	const struct link *l = c->link;
	uint64_t satisfied = 0, mine, probe;
	unsigned i, hungry = 1;

	for (i = 0; i < l->n_cells; i++) {
		const struct cell *other = &l->cell[i];

		if (other == c)
			continue;
		if (cell_is_hungry(other, now))
			hungry++;
		else
			satisfied += other->parts;
	}
	mine = satisfied < total ? (total - satisfied) / hungry : 0;
	if (mine == 0)
		mine = 1;
	if (cell_is_hungry(c, now))
		return mine;
	probe = total / CELL_PROBE > 0 ? total / CELL_PROBE : 1;
	return c->parts + probe < mine ? c->parts + probe : mine;
}

struct message *
cell_next(struct link *l)
{
	struct cell *best = NULL;
	struct message *m, *next = NULL;
	unsigned i, urgency, first = 0;

	for (i = 0; i < l->n_cells; i++) {
		struct cell *c = &l->cell[i];

		m = c->fresh ? TAILQ_FIRST(&c->ready) : NULL;
		if (m == NULL)
			continue;
		urgency = submit_urgency(m);
		if (best == NULL || urgency < first ||
		    (urgency == first && c->served < best->served)) {
			best = c;
			next = m;
			first = urgency;
		}
	}
	if (best == NULL)
		return NULL;
	/* Who has nothing to send saves up no turns. */
	for (i = 0; i < l->n_cells; i++)
		if (TAILQ_EMPTY(&l->cell[i].ready) &&
		    l->cell[i].served < best->served)
			l->cell[i].served = best->served;
	return next;
}

/* ------------------------------------------------------------------ inbound */

static bool
cell_has_number(const struct cell *c, struct bytes to)
{
	const char *rule;
	size_t i, n;

	for (i = 0; i < c->n_inbound; i++) {
		rule = c->inbound[i] + (c->inbound[i][0] == '+');
		n = strlen(rule);
		if (n > 0 && rule[n - 1] == '*'
			? to.len >= n - 1 && memcmp(to.p, rule, n - 1) == 0
			: bytes_eq(to, bytes_of(rule, n)))
			return true;
	}
	return false;
}

struct cell *
cell_of_number(struct link *l, struct bytes to)
{
	unsigned i;

	for (i = 1; i < l->n_cells; i++)
		if (cell_has_number(&l->cell[i], to))
			return &l->cell[i];
	return &l->cell[0];
}
