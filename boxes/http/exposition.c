/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/exposition.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/map.h"
#include "common/queue.h"
#include "common/xalloc.h"
#include "proto/bytes.h"

struct family {
	char *name;
	bool has_help, has_type;
	struct buf head;    /* HELP and TYPE */
	struct buf samples; /* whole lines */
	TAILQ_ENTRY(family) link;
};

struct exposition {
	struct map by_name;
	TAILQ_HEAD(, family) list; /* in the order in which they came */
	size_t size, max;
	size_t dropped;
};

struct exposition *
exposition_new(size_t max)
{
	struct exposition *x = xcalloc(1, sizeof(*x));

	map_init(&x->by_name);
	TAILQ_INIT(&x->list);
	x->max = max;
	return x;
}

void
exposition_free(struct exposition *x)
{
	struct family *f;

	while ((f = TAILQ_FIRST(&x->list)) != NULL) {
		TAILQ_REMOVE(&x->list, f, link);
		buf_fini(&f->head);
		buf_fini(&f->samples);
		free(f->name);
		free(f);
	}
	map_fini(&x->by_name);
	free(x);
}

static struct family *
family_get(struct exposition *x, struct bytes name)
{
	struct family *f = map_get(&x->by_name, name.p, name.len);

	if (f != NULL)
		return f;
	f = xcalloc(1, sizeof(*f));
	f->name = xstrndup((const char *)name.p, name.len);
	buf_init(&f->head);
	buf_init(&f->samples);
	map_put(&x->by_name, f->name, name.len, f);
	TAILQ_INSERT_TAIL(&x->list, f, link);
	x->size += sizeof(*f) + name.len;
	return f;
}

/* The metric name at the start of a line, len 0 when there is none. */
static struct bytes
metric_name(struct bytes line)
{
	size_t n = 0;

	while (n < line.len &&
	    (isalnum(line.p[n]) || line.p[n] == '_' || line.p[n] == ':'))
		n++;
	if (n > 0 && isdigit(line.p[0]))
		n = 0;
	return bytes_of(line.p, n);
}

/* name{labels} value */
static bool
is_sample(struct bytes line, struct bytes name)
{
	size_t i = name.len;
	bool quoted = false;

	if (name.len == 0 || i == line.len)
		return false;
	if (line.p[i] == '{') {
		for (i++; i < line.len && (quoted || line.p[i] != '}'); i++) {
			if (quoted && line.p[i] == '\\')
				i++;
			else if (line.p[i] == '"')
				quoted = !quoted;
		}
		if (i >= line.len)
			return false;
		i++;
	}
	if (i + 1 >= line.len || line.p[i] != ' ')
		return false;
	for (i++; i < line.len; i++) {
		if (line.p[i] < ' ' || line.p[i] > '~')
			return false;
	}
	return true;
}

/* Does this sample name belong to that family: itself, or of a histogram? */
static bool
belongs(struct bytes name, const struct family *f)
{
	static const char *const ends[] = { "", "_bucket", "_sum", "_count" };
	size_t n = strlen(f->name), i;

	if (name.len < n || memcmp(name.p, f->name, n) != 0)
		return false;
	for (i = 0; i < ARRAY_LEN(ends); i++) {
		if (name.len - n == strlen(ends[i]) &&
		    memcmp(name.p + n, ends[i], name.len - n) == 0)
			return true;
	}
	return false;
}

static void
put_line(struct exposition *x, struct buf *b, struct bytes line)
{
	buf_add(b, line.p, line.len);
	buf_addc(b, '\n');
	x->size += line.len + 1;
}

/* "# HELP name ..." and "# TYPE name ..."; NULL: a comment. */
static struct family *
take_comment(struct exposition *x, struct bytes line)
{
	bool help = line.len > 7 && memcmp(line.p, "# HELP ", 7) == 0;
	bool type = line.len > 7 && memcmp(line.p, "# TYPE ", 7) == 0;
	struct bytes name;
	struct family *f;

	if (!help && !type)
		return NULL;
	name = metric_name(bytes_of(line.p + 7, line.len - 7));
	if (name.len == 0)
		return NULL;
	f = family_get(x, name);
	if ((help && f->has_help) || (type && f->has_type))
		return f;
	f->has_help |= help;
	f->has_type |= type;
	put_line(x, &f->head, line);
	return f;
}

void
exposition_add(struct exposition *x, const void *text, size_t len)
{
	const uint8_t *p = text, *end = p + len, *nl;
	struct family *f = NULL, *next;
	struct bytes line, name;

	for (; p < end; p = nl + 1) {
		nl = memchr(p, '\n', (size_t)(end - p));
		if (nl == NULL)
			nl = end;
		line = bytes_of(p, (size_t)(nl - p));
		if (line.len == 0)
			continue;
		if (line.len >= x->max || x->size > x->max - line.len) {
			x->dropped++;
			continue;
		}
		if (line.p[0] == '#') {
			next = take_comment(x, line);
			if (next != NULL)
				f = next;
			continue;
		}
		name = metric_name(line);
		if (!is_sample(line, name)) {
			x->dropped++;
			continue;
		}
		if (f == NULL || !belongs(name, f))
			f = family_get(x, name);
		put_line(x, &f->samples, line);
	}
}

size_t
exposition_dropped(const struct exposition *x)
{
	return x->dropped;
}

void
exposition_write(const struct exposition *x, struct buf *out)
{
	const struct family *f;

	TAILQ_FOREACH(f, &x->list, link) {
		if (buf_len(&f->samples) == 0)
			continue;
		buf_add(out, buf_data(&f->head), buf_len(&f->head));
		buf_add(out, buf_data(&f->samples), buf_len(&f->samples));
	}
}
