/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopctl/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/xalloc.h"
#include "tools/hopctl/text.h"

#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define RED    "\033[31m"

void
print_buf(const struct buf *b)
{
	if (buf_len(b) == 0)
		return;
	if (fwrite(buf_data(b), 1, buf_len(b), stdout) != buf_len(b) ||
	    fflush(stdout) != 0)
		exit(EXIT_FAILED);
}

const char *
table_color(const char *word)
{
	static const struct {
		const char *word, *color;
	} colors[] = {
		{ "ready", GREEN },
		{ "running", GREEN },
		{ "connected", GREEN },
		{ "delivered", GREEN },
		{ "up", GREEN },
		{ "yes", "" },
		{ "drain", YELLOW },
		{ "draining", YELLOW },
		{ "maint", YELLOW },
		{ "held", YELLOW },
		{ "expired", YELLOW },
		{ "canceled", YELLOW },
		{ "unknown", YELLOW },
		{ "down", RED },
		{ "away", RED },
		{ "undelivered", RED },
		{ "rejected", RED },
		{ "failed", RED },
	};

	for (size_t i = 0; i < ARRAY_LEN(colors); i++) {
		if (strcmp(colors[i].word, word) == 0)
			return colors[i].color;
	}
	return "";
}

/* -------------------------------------------------------------------- cells */

static void
put_scalar(struct buf *b, const json_t *v)
{
	switch (v == NULL ? JSON_NULL : json_typeof(v)) {
	case JSON_STRING:
		text_clean(b, json_string_value(v), json_string_length(v));
		break;
	case JSON_INTEGER:
		buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		break;
	case JSON_REAL:
		buf_printf(b, "%g", json_real_value(v));
		break;
	case JSON_TRUE:
		buf_addstr(b, "yes");
		break;
	case JSON_FALSE:
		buf_addstr(b, "no");
		break;
	case JSON_NULL:
		break;
	case JSON_ARRAY:
	case JSON_OBJECT: {
		char *s = json_dumps(v, JSON_COMPACT);

		buf_addstr(b, s != NULL ? s : "");
		free(s);
		break;
	}
	}
}

void
put_duration(struct buf *b, const json_t *row, const char *key)
{
	const json_t *v = json_object_get(row, key);

	if (json_is_integer(v) && json_integer_value(v) > 0)
		text_duration(b, (uint64_t)json_integer_value(v));
}

void
put_time(struct buf *b, const json_t *row, const char *key)
{
	const json_t *v = json_object_get(row, key);
	uint64_t ms;

	if (json_is_string(v) &&
	    clock_parse(json_string_value(v), json_string_length(v), &ms) == 0)
		text_time(b, ms);
}

void
put_list(struct buf *b, const json_t *row, const char *key)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(row, key), i, v)
	{
		if (i > 0)
			buf_addstr(b, ", ");
		put_scalar(b, v);
	}
}

void
put_yes(struct buf *b, const json_t *row, const char *key)
{
	if (json_is_true(json_object_get(row, key)))
		buf_addstr(b, "yes");
}

static char *
cell(const struct column *c, const json_t *row)
{
	struct buf b;
	char *s;

	buf_init(&b);
	if (c->put != NULL)
		c->put(&b, row, c->key);
	else
		put_scalar(&b, json_object_get(row, c->key));
	s = xstrdup(buf_len(&b) == 0 ? "-" : buf_str(&b));
	buf_fini(&b);
	return s;
}

static void
pad(struct buf *b, size_t n)
{
	while (n-- > 0)
		buf_addc(b, ' ');
}

static void
write_cell(struct buf *b, const char *s, const struct column *c, size_t width,
    bool last, bool color)
{
	size_t w = text_width(s);
	const char *paint = color && c->state ? table_color(s) : "";

	if (c->right)
		pad(b, width - w);
	buf_printf(b, "%s%s%s", paint, s, paint[0] != '\0' ? TABLE_PLAIN : "");
	if (last)
		return;
	if (!c->right)
		pad(b, width - w);
	pad(b, 2);
}

void
table_write(struct buf *b, const json_t *rows, const struct column *col,
    size_t columns, bool color)
{
	static const struct column title;
	size_t n = json_array_size(rows);
	size_t *width = xcalloc(columns, sizeof(*width));
	char **cells = xcalloc(n * columns + 1, sizeof(*cells));

	for (size_t c = 0; c < columns; c++) {
		width[c] = text_width(col[c].title);
		for (size_t r = 0; r < n; r++) {
			char *s = cell(&col[c], json_array_get(rows, r));

			cells[r * columns + c] = s;
			if (text_width(s) > width[c])
				width[c] = text_width(s);
		}
	}
	for (size_t c = 0; c < columns; c++) {
		struct column head = title;

		head.right = col[c].right;
		write_cell(
		    b, col[c].title, &head, width[c], c + 1 == columns, false);
	}
	buf_addc(b, '\n');
	for (size_t r = 0; r < n; r++) {
		for (size_t c = 0; c < columns; c++) {
			write_cell(b, cells[r * columns + c], &col[c], width[c],
			    c + 1 == columns, color);
			free(cells[r * columns + c]);
		}
		buf_addc(b, '\n');
	}
	free(cells);
	free(width);
}

/* ------------------------------------------------------------- for programs */

/* RFC 4180: quoted where it must be. */
static void
csv_text(struct buf *b, const char *s)
{
	if (strpbrk(s, ",\"\r\n") == NULL) {
		buf_addstr(b, s);
		return;
	}
	buf_addc(b, '"');
	for (; *s != '\0'; s++) {
		if (*s == '"')
			buf_addc(b, '"');
		buf_addc(b, *s);
	}
	buf_addc(b, '"');
}

static void
csv_value(struct buf *b, const json_t *v)
{
	struct buf s;

	if (json_is_boolean(v)) {
		buf_addstr(b, json_is_true(v) ? "true" : "false");
		return;
	}
	if (json_is_string(v)) {
		csv_text(b, json_string_value(v));
		return;
	}
	buf_init(&s);
	put_scalar(&s, v);
	csv_text(b, buf_len(&s) > 0 ? buf_str(&s) : "");
	buf_fini(&s);
}

static void
csv_row(struct buf *b, const json_t *keys, const json_t *row)
{
	const char *key;
	json_t *v;
	bool first = true;

	json_object_foreach((json_t *)(uintptr_t)keys, key, v)
	{
		if (!first)
			buf_addc(b, ',');
		first = false;
		csv_value(b, json_object_get(row, key));
	}
	buf_addstr(b, "\r\n");
}

void
table_write_csv(struct buf *b, const json_t *answer)
{
	json_t *keys = json_object(), *row;
	const char *key;
	size_t i;
	json_t *v;
	bool first = true;

	/* A member that only some rows have is a column, too. */
	if (json_is_array(answer)) {
		json_array_foreach(answer, i, row)
		{
			json_object_update_missing(keys, row);
		}
	} else {
		json_object_update(keys, (json_t *)(uintptr_t)answer);
	}
	json_object_foreach(keys, key, v)
	{
		if (!first)
			buf_addc(b, ',');
		first = false;
		csv_text(b, key);
	}
	if (!first)
		buf_addstr(b, "\r\n");
	if (json_is_array(answer)) {
		json_array_foreach(answer, i, row)
		{
			csv_row(b, keys, row);
		}
	} else {
		csv_row(b, keys, answer);
	}
	json_decref(keys);
}

static void
add_json(struct buf *b, const json_t *v, size_t flags)
{
	char *s = json_dumps(v, flags | JSON_ENCODE_ANY);

	buf_addstr(b, s != NULL ? s : "null");
	buf_addc(b, '\n');
	free(s);
}

void
table_write_jsonl(struct buf *b, const json_t *answer)
{
	const json_t *row;
	size_t i;

	if (!json_is_array(answer)) {
		add_json(b, answer, JSON_COMPACT);
		return;
	}
	json_array_foreach(answer, i, row)
	{
		add_json(b, row, JSON_COMPACT);
	}
}

bool
table_print_raw(const struct request *r, const json_t *answer)
{
	struct buf b;

	if (r->output == OUTPUT_TABLE)
		return false;
	buf_init(&b);
	if (r->output == OUTPUT_JSON)
		add_json(&b, answer, JSON_INDENT(2));
	else if (r->output == OUTPUT_JSONL)
		table_write_jsonl(&b, answer);
	else
		table_write_csv(&b, answer);
	print_buf(&b);
	buf_fini(&b);
	return true;
}

void
table_print(const struct request *r, const json_t *rows,
    const struct column *col, size_t columns, const char *empty)
{
	struct buf b;

	if (table_print_raw(r, rows))
		return;
	buf_init(&b);
	if (json_array_size(rows) > 0)
		table_write(&b, rows, col, columns, r->color);
	else if (!request_has(r, OPTION_QUIET))
		buf_printf(&b, "%s\n", empty);
	print_buf(&b);
	buf_fini(&b);
}
