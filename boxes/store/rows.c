/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/rows.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "boxes/store/pg.h"
#include "common/buf.h"

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
rows_sql(enum rows_table t, const char *after, struct buf *b)
{
	const struct rows_spec *s = &rows_specs[t];
	unsigned i;

	buf_clear(b);
	buf_printf(b, "INSERT INTO %s (", s->name);
	for (i = 0; i < ROWS_COLUMNS && s->col[i].name != NULL; i++)
		buf_printf(b, "%s%s", i > 0 ? ", " : "", s->col[i].name);
	buf_addstr(b, ") SELECT ");
	for (i = 0; i < ROWS_COLUMNS && s->col[i].name != NULL; i++)
		buf_printf(b, "%sunnest($%u::%s[])", i > 0 ? ", " : "", i + 1,
		    rows_type_name(s->col[i].type));
	buf_addstr(b, after);
}

void
rows_prepare(struct pg *pg)
{
	struct buf b;

	buf_init(&b);
	for (int t = 0; t < ROWS_TABLES; t++) {
		rows_sql(t, rows_specs[t].after, &b);
		pg_prepare(pg, rows_specs[t].name, buf_str(&b));
	}
	rows_sql(
	    ROWS_MESSAGE, " ON CONFLICT (id) DO NOTHING RETURNING seq", &b);
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
