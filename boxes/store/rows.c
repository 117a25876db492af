/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/rows.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/store/pg.h"
#include "common/buf.h"
#include "common/log.h"
#include "common/xalloc.h"

struct rows_column {
	const char *name;
	enum column_type type;
};

static const struct rows_spec {
	const char *name;
	const char *after; /* end of the statement */
	struct rows_column col[ROWS_COLUMNS];
} rows_specs[ROWS_TABLES] = {
	[ROWS_MESSAGE] = { "message", "",
	    {
		[MESSAGE_ID] = { "id", COLUMN_UUID },
		[MESSAGE_SEQ] = { "seq", COLUMN_INT8 },
		[MESSAGE_EXPIRES_AT] = { "expires_at", COLUMN_INT8 },
		[MESSAGE_QUEUE] = { "queue", COLUMN_INT4 },
		[MESSAGE_PARTS] = { "parts", COLUMN_INT2 },
		[MESSAGE_KIND] = { "kind", COLUMN_CHAR },
		[MESSAGE_CLASS] = { "class", COLUMN_CHAR },
		[MESSAGE_ACCOUNT] = { "account", COLUMN_TEXT },
		[MESSAGE_DST] = { "dst", COLUMN_TEXT },
		[MESSAGE_SRC] = { "src", COLUMN_TEXT },
		[MESSAGE_CLIENT_REF] = { "client_ref", COLUMN_TEXT },
		[MESSAGE_REC] = { "rec", COLUMN_BYTEA },
		[MESSAGE_ENVELOPE] = { "envelope", COLUMN_BYTEA },
		[MESSAGE_BODY] = { "body", COLUMN_BYTEA },
		[MESSAGE_REPORT] = { "report", COLUMN_BYTEA },
	    } },
	[ROWS_EVENT] = { "event", "",
	    { { "seq", COLUMN_INT8 }, { "at", COLUMN_INT8 },
		{ "ref", COLUMN_INT8 }, { "key", COLUMN_INT8 },
		{ "id", COLUMN_UUID }, { "queue", COLUMN_INT4 },
		{ "part", COLUMN_INT2 }, { "type", COLUMN_CHAR },
		{ "state", COLUMN_CHAR }, { "closes", COLUMN_BOOL },
		{ "rec", COLUMN_BYTEA }, { "body", COLUMN_BYTEA } } },
	[ROWS_DUE] = { "due", "",
	    { { "due_at", COLUMN_INT8 }, { "seq", COLUMN_INT8 },
		{ "ref", COLUMN_INT8 }, { "id", COLUMN_UUID } } },
	[ROWS_ORPHAN] = { "orphan", "",
	    { { "at", COLUMN_INT8 }, { "seq", COLUMN_INT8 },
		{ "key", COLUMN_INT8 }, { "link", COLUMN_TEXT },
		{ "body", COLUMN_BYTEA } } },
	[ROWS_ORPHAN_DONE] = { "orphan_done", "",
	    { { "at", COLUMN_INT8 }, { "seq", COLUMN_INT8 } } },
	[ROWS_WHEEL] = { "wheel", "",
	    { { "slot", COLUMN_INT4 }, { "upto", COLUMN_INT8 },
		{ "lo_id", COLUMN_UUID }, { "hi_id", COLUMN_UUID },
		{ "lo_seq", COLUMN_INT8 }, { "hi_seq", COLUMN_INT8 } } },
	[ROWS_QUEUE] = { "queue", " ON CONFLICT DO NOTHING",
	    { { "queue", COLUMN_INT4 }, { "target", COLUMN_TEXT },
		{ "class", COLUMN_INT2 }, { "account", COLUMN_TEXT },
		{ "seq", COLUMN_INT8 } } },
	[ROWS_CHECKPOINT] = { "checkpoint", " ON CONFLICT DO NOTHING",
	    { { "seq", COLUMN_INT8 }, { "at", COLUMN_INT8 },
		{ "rec", COLUMN_BYTEA } } },
	[ROWS_QUARANTINE] = { "quarantine", "",
	    { { "seq", COLUMN_INT8 }, { "at", COLUMN_INT8 },
		{ "why", COLUMN_TEXT }, { "context", COLUMN_BYTEA },
		{ "envelope", COLUMN_BYTEA }, { "body", COLUMN_BYTEA },
		{ "report", COLUMN_BYTEA } } },
};

#define ROWS_CONFLICT "message_conflict"
#define ROWS_NAME     32
#define ROWS_FEW      8 /* rows: fewer are equal by accident */
#define ROWS_MAKE_MS  10000

static const char *
rows_type_name(enum column_type t)
{
	switch (t) {
	case COLUMN_BOOL:
		return "bool";
	case COLUMN_BYTEA:
		return "bytea";
	case COLUMN_CHAR:
		return "\"char\"";
	case COLUMN_INT8:
		return "int8";
	case COLUMN_INT2:
		return "int2";
	case COLUMN_INT4:
		return "int4";
	case COLUMN_TEXT:
		return "text";
	case COLUMN_UUID:
		return "uuid";
	}
	assert(!"no such type");
	return "";
}

void
rows_init(struct rows *r, enum rows_table t)
{
	memset(r, 0, sizeof(*r));
	while (
	    r->ncol < ROWS_COLUMNS && rows_specs[t].col[r->ncol].name != NULL) {
		column_init(&r->col[r->ncol], rows_specs[t].col[r->ncol].type);
		r->ncol++;
	}
}

void
rows_fini(struct rows *r)
{
	for (unsigned i = 0; i < r->ncol; i++)
		column_fini(&r->col[i]);
}

void
rows_clear(struct rows *r)
{
	if (r->count == 0)
		return;
	for (unsigned i = 0; i < r->ncol; i++)
		column_clear(&r->col[i]);
	r->count = 0;
}

void
rows_bytes(struct column *c, const void *p, size_t len)
{
	if (p == NULL)
		column_add_null(c);
	else
		column_add_bytes(c, p, len);
}

void
rows_text(struct column *c, const void *p, size_t len)
{
	if (p == NULL)
		column_add_null(c);
	else
		column_add_text(c, p, len);
}

static inline void
rows_number(struct column *c, uint64_t v)
{
	if (v == 0)
		column_add_null(c);
	else
		column_add(c, (int64_t)v);
}

void
rows_add_event(struct rows *r, const struct event_row *e)
{
	struct column *c = r->col;

	column_add(c++, (int64_t)e->seq);
	column_add(c++, (int64_t)e->at);
	rows_number(c++, e->ref);
	rows_number(c++, e->key);
	rows_bytes(c++, e->id, 16);
	rows_number(c++, e->queue);
	rows_number(c++, e->part);
	column_add(c++, e->type);
	column_add(c++, e->state);
	column_add(c++, e->closes);
	rows_bytes(c++, e->rec, e->rec_len);
	rows_bytes(c++, e->body, e->body_len);
	r->count++;
}

static void
rows_sql(enum rows_table t, uint32_t same, const char *after, struct buf *b)
{
	const struct rows_spec *s = &rows_specs[t];
	unsigned i;

	buf_clear(b);
	buf_printf(b, "INSERT INTO %s (", s->name);
	for (i = 0; i < ROWS_COLUMNS && s->col[i].name != NULL; i++)
		buf_printf(b, "%s%s", i > 0 ? ", " : "", s->col[i].name);
	buf_addstr(b, ") SELECT ");
	for (i = 0; i < ROWS_COLUMNS && s->col[i].name != NULL; i++) {
		const char *type = rows_type_name(s->col[i].type);

		buf_addstr(b, i > 0 ? ", " : "");
		if ((same >> i & 1) != 0)
			buf_printf(b, "$%u::%s", i + 1, type);
		else
			buf_printf(b, "unnest($%u::%s[])", i + 1, type);
	}
	buf_addstr(b, after);
}

void
rows_prepare(struct rows_forms *forms, struct pg *pg)
{
	struct buf b;

	memset(forms, 0, sizeof(*forms));
	buf_init(&b);
	for (int t = 0; t < ROWS_TABLES; t++) {
		rows_sql(t, 0, rows_specs[t].after, &b);
		pg_prepare(pg, rows_specs[t].name, buf_str(&b));
	}
	rows_sql(
	    ROWS_MESSAGE, 0, " ON CONFLICT (id) DO NOTHING RETURNING seq", &b);
	pg_prepare(pg, ROWS_CONFLICT, buf_str(&b));
	buf_fini(&b);
}

void
rows_run(struct rows *r, enum rows_table t, struct pg *pg, bool conflict)
{
	struct pg_params p;

	p.count = 0;
	for (unsigned i = 0; i < r->ncol; i++) {
		assert(r->col[i].count == r->count);
		column_param(&r->col[i], &p);
	}
	pg_run_prepared(
	    pg, conflict ? ROWS_CONFLICT : rows_specs[t].name, &p, conflict);
}

/* ------------------------------------------------------------------ forms */

struct rows_making {
	struct rows_forms *forms;
	enum rows_table table;
	uint32_t same;
};

static const char *
rows_form_name(enum rows_table t, uint32_t same, char dst[ROWS_NAME])
{
	snprintf(dst, ROWS_NAME, "%s_%" PRIx32, rows_specs[t].name, same);
	return dst;
}

static void
rows_made_cb(struct pg *pg, const struct pg_end *end, void *arg)
{
	struct rows_making *m = arg;

	(void)pg;
	if (end->outcome == PG_ERROR)
		log_warn("rows.form_failed", "reason=%s", end->message);
	else if (end->outcome == PG_OK)
		log_debug("rows.form", "table=%s same=%" PRIx32,
		    rows_specs[m->table].name, m->same);
	/* Not there any more: another session has begun since. */
	for (unsigned i = 0; i < m->forms->count[m->table]; i++) {
		struct rows_form *f = &m->forms->form[m->table][i];

		if (f->same == m->same)
			f->ready = end->outcome == PG_OK;
	}
	free(m);
}

static void
rows_make(
    struct rows_forms *forms, enum rows_table t, uint32_t same, struct pg *pg)
{
	struct rows_making *m = xcalloc(1, sizeof(*m));
	char name[ROWS_NAME];
	struct buf b;

	m->forms = forms;
	m->table = t;
	m->same = same;
	forms->form[t][forms->count[t]++] = (struct rows_form){ .same = same };
	buf_init(&b);
	rows_sql(t, same, "", &b);
	/* In a unit of its own: what fails there does not fail the batch, and
	 * what fails in the batch does not leave this in doubt. */
	pg_begin(pg, ROWS_MAKE_MS, NULL, rows_made_cb, m);
	pg_prepare(pg, rows_form_name(t, same, name), buf_str(&b));
	pg_commit(pg);
	buf_fini(&b);
}

/* The first column is an array always: its length is the number of rows. */
static uint32_t
rows_same(const struct rows *r)
{
	uint32_t same = 0;

	for (unsigned i = 1; i < r->ncol; i++) {
		if (column_is_same(&r->col[i]))
			same |= UINT32_C(1) << i;
	}
	return same;
}

uint32_t
rows_choose(struct rows_forms *forms, const struct rows *r, enum rows_table t,
    struct pg *pg)
{
	uint32_t same, best = 0;
	bool making = false;

	if (t > ROWS_EVENT || r->count < ROWS_FEW)
		return 0;
	same = rows_same(r);
	for (unsigned i = 0; i < forms->count[t]; i++) {
		const struct rows_form *f = &forms->form[t][i];

		making |= f->same == same;
		if (f->ready && (f->same & ~same) == 0 &&
		    __builtin_popcount(f->same) > __builtin_popcount(best))
			best = f->same;
	}
	/* Twice the same is no accident, and a form for one column more is no
	 * gain. */
	if (!making && same == forms->last[t] &&
	    __builtin_popcount(same) > __builtin_popcount(best) + 1 &&
	    forms->count[t] < ROWS_FORMS)
		rows_make(forms, t, same, pg);
	forms->last[t] = same;
	return best;
}

void
rows_run_form(struct rows *r, enum rows_table t, struct pg *pg, uint32_t same)
{
	char name[ROWS_NAME];
	struct pg_params p;

	p.count = 0;
	for (unsigned i = 0; i < r->ncol; i++) {
		assert(r->col[i].count == r->count);
		if ((same >> i & 1) != 0)
			column_param_first(&r->col[i], &p);
		else
			column_param(&r->col[i], &p);
	}
	pg_run_prepared(pg, rows_form_name(t, same, name), &p, false);
}

const char *
rows_name(enum rows_table t)
{
	return rows_specs[t].name;
}

struct column *
rows_column(struct rows *r, enum rows_table t, const char *name)
{
	for (unsigned i = 0; i < r->ncol; i++)
		if (strcmp(rows_specs[t].col[i].name, name) == 0)
			return &r->col[i];
	return NULL;
}

void
rows_remove(struct rows *r, uint32_t i)
{
	for (unsigned c = 0; c < r->ncol; c++)
		column_remove(&r->col[c], i);
	r->count--;
}

void
rows_run_slice(struct rows *r, enum rows_table t, struct pg *pg, uint32_t from,
    uint32_t to)
{
	const struct rows_spec *s = &rows_specs[t];
	struct pg_params p = { .count = 0 };
	struct buf b;

	buf_init(&b);
	buf_printf(&b, "INSERT INTO %s (", s->name);
	for (unsigned i = 0; i < r->ncol; i++)
		buf_printf(&b, "%s%s", i > 0 ? ", " : "", s->col[i].name);
	buf_addstr(&b, ") SELECT ");
	/* Arrays count from 1, and both ends are in the slice. */
	for (unsigned i = 0; i < r->ncol; i++) {
		buf_printf(&b, "%sunnest(($%u::%s[])[%u:%u])",
		    i > 0 ? ", " : "", i + 1, rows_type_name(s->col[i].type),
		    from + 1, to);
		column_param(&r->col[i], &p);
	}
	buf_addstr(&b, " ON CONFLICT DO NOTHING");
	pg_run(pg, buf_str(&b), &p, false);
	buf_fini(&b);
}
