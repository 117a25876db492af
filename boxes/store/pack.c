/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/pack.h"

#include <assert.h>
#include <string.h>

#include "boxes/store/pg.h"

static const char pack_sql[] =
    "INSERT INTO pack (at, block, type, state, ref, seq, ats, id, rec)"
    " VALUES ($1::int8, $2::int8, $3::int::\"char\", $4::int::\"char\","
    " $5::int8[], $6::int8[], $7::int8[], $8::uuid[], $9::bytea[])";

void
packs_init(struct packs *s)
{
	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < PACKS; i++) {
		struct pack *p = &s->pack[i];

		column_init(&p->ref, COLUMN_INT8);
		column_init(&p->seq, COLUMN_INT8);
		column_init(&p->ats, COLUMN_INT8);
		column_init(&p->id, COLUMN_UUID);
		column_init(&p->rec, COLUMN_BYTEA);
	}
}

void
packs_fini(struct packs *s)
{
	for (unsigned i = 0; i < PACKS; i++) {
		struct pack *p = &s->pack[i];

		column_fini(&p->ref);
		column_fini(&p->seq);
		column_fini(&p->ats);
		column_fini(&p->id);
		column_fini(&p->rec);
	}
}

static void
pack_clear(struct pack *p)
{
	column_clear(&p->ref);
	column_clear(&p->seq);
	column_clear(&p->ats);
	column_clear(&p->id);
	column_clear(&p->rec);
}

void
packs_clear(struct packs *s)
{
	for (unsigned i = 0; i < s->count; i++)
		pack_clear(&s->pack[i]);
	s->count = 0;
}

/* The latest is the likeliest. */
static struct pack *
packs_find(struct packs *s, const struct event_row *e)
{
	uint64_t block = e->ref >> PACK_SHIFT;
	struct pack *p;

	for (unsigned i = s->count; i > 0; i--) {
		p = &s->pack[i - 1];
		if (p->block == block && p->type == e->type &&
		    p->state == e->state && p->ref.count < PACK_MOST)
			return p;
	}
	if (s->count == PACKS)
		return NULL;
	p = &s->pack[s->count++];
	p->block = block;
	p->type = e->type;
	p->state = e->state;
	p->at = 0;
	return p;
}

bool
packs_add(struct packs *s, const struct event_row *e)
{
	struct pack *p;

	assert(e->ref != 0 && e->id != NULL && e->rec != NULL && e->closes);
	assert(e->queue == 0 && e->key == 0 && e->body == NULL);
	p = packs_find(s, e);
	if (p == NULL)
		return false;
	if (e->at > p->at)
		p->at = e->at;
	column_add(&p->ref, (int64_t)e->ref);
	column_add(&p->seq, (int64_t)e->seq);
	column_add(&p->ats, (int64_t)e->at);
	column_add_bytes(&p->id, e->id, 16);
	column_add_bytes(&p->rec, e->rec, e->rec_len);
	return true;
}

static uint64_t
pack_number(const struct column *c, uint32_t i)
{
	const uint8_t *p;
	uint64_t v = 0;
	size_t len;

	(void)column_get(c, i, &p, &len);
	while (len-- > 0)
		v = v << 8 | *p++;
	return v;
}

static void
pack_spread(struct pack *p, struct rows *event)
{
	struct event_row e = {
		.type = p->type, .state = p->state, .closes = true
	};
	const uint8_t *value;
	size_t len;

	for (uint32_t i = 0; i < p->ref.count; i++) {
		e.ref = pack_number(&p->ref, i);
		e.seq = pack_number(&p->seq, i);
		e.at = pack_number(&p->ats, i);
		(void)column_get(&p->id, i, &e.id, &len);
		(void)column_get(&p->rec, i, &value, &e.rec_len);
		e.rec = value;
		rows_add_event(event, &e);
	}
	pack_clear(p);
}

void
packs_spread(struct packs *s, struct rows *event, uint32_t least)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < s->count; i++) {
		struct pack swap = s->pack[i];

		if (swap.ref.count < least) {
			pack_spread(&s->pack[i], event);
			continue;
		}
		s->pack[i] = s->pack[kept];
		s->pack[kept++] = swap;
	}
	s->count = kept;
}

void
packs_prepare(struct pg *pg)
{
	pg_prepare(pg, "pack", pack_sql);
}

void
packs_run(struct packs *s, struct pg *pg)
{
	for (unsigned i = 0; i < s->count; i++) {
		struct pack *p = &s->pack[i];
		struct pg_params q = { .count = 0 };

		pg_param_int(&q, (int64_t)p->at);
		pg_param_int(&q, (int64_t)p->block);
		pg_param_int(&q, p->type);
		pg_param_int(&q, p->state);
		column_param(&p->ref, &q);
		column_param(&p->seq, &q);
		column_param(&p->ats, &q);
		column_param(&p->id, &q);
		column_param(&p->rec, &q);
		pg_run_prepared(pg, "pack", &q, false);
	}
}
