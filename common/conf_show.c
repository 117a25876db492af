/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_show.c - the configuration for people: show, default, doc, diff.
 *
 * What conf_show() prints is itself a configuration file, but for secrets.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/conf_tree.h"
#include "common/utf8.h"

/* ------------------------------------------------------------------ values */

/* A file is UTF-8; what is not, and what a terminal would not show, is escaped. */
void
conf_print_quoted(const char *s, struct buf *out)
{
	const char *end = s + strlen(s);
	uint32_t cp;
	size_t n;

	buf_addc(out, '"');
	for (; s < end; s += n) {
		n = utf8_decode((const uint8_t *)s, (size_t)(end - s), &cp);
		if (n > 1) {
			buf_add(out, s, n);
			continue;
		}
		n = 1;
		if (*s == '"' || *s == '\\')
			buf_printf(out, "\\%c", *s);
		else if (*s == '\n')
			buf_addstr(out, "\\n");
		else if (*s == '\r')
			buf_addstr(out, "\\r");
		else if (*s == '\t')
			buf_addstr(out, "\\t");
		else if ((unsigned char)*s < ' ' || (unsigned char)*s >= 0x7f)
			buf_printf(out, "\\x%02x", (unsigned char)*s);
		else
			buf_addc(out, *s);
	}
	buf_addc(out, '"');
}

static void
print_duration(uint64_t ms, struct buf *out)
{
	static const struct {
		uint64_t ms;
		const char *unit;
	} units[] = {
		{ 86400000, "d" },
		{ 3600000, "h" },
		{ 60000, "m" },
		{ 1000, "s" },
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(units); i++) {
		/* 90 s is better read than 1.5 m, and 60 s as 1 m. */
		if (ms != 0 && ms % units[i].ms == 0) {
			buf_printf(out, "%llu%s",
			    (unsigned long long)(ms / units[i].ms),
			    units[i].unit);
			return;
		}
	}
	buf_printf(out, ms == 0 ? "0" : "%llums", (unsigned long long)ms);
}

static void
print_size(uint64_t n, struct buf *out)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB" };
	size_t i = 0;

	while (n != 0 && n % 1024 == 0 && i + 1 < ARRAY_LEN(units)) {
		n /= 1024;
		i++;
	}
	buf_printf(out, "%llu%s", (unsigned long long)n, units[i]);
}

void
conf_print_value(const struct conf_row *row, const struct conf_value *v,
    bool plain, struct buf *out)
{
	size_t i;

	switch (row->type) {
	case CONF_STR:
		conf_print_quoted(v->u.str != NULL ? v->u.str : "", out);
		break;
	case CONF_SECRET:
		conf_print_quoted(v->u.secret.spec == NULL ? ""
			: plain                            ? v->u.secret.spec
							   : "***",
		    out);
		break;
	case CONF_INT:
		buf_printf(out, "%lld%s", (long long)v->u.number,
		    v->u.number > INT32_MAX ? "L" : "");
		break;
	case CONF_BOOL:
		buf_addstr(out, v->u.number != 0 ? "true" : "false");
		break;
	case CONF_DURATION:
		buf_addc(out, '"');
		print_duration(v->u.amount, out);
		buf_addc(out, '"');
		break;
	case CONF_SIZE:
		buf_addc(out, '"');
		print_size(v->u.amount, out);
		buf_addc(out, '"');
		break;
	case CONF_RANGE:
		buf_addc(out, '"');
		print_duration(v->u.range[0], out);
		buf_addstr(out, "..");
		print_duration(v->u.range[1], out);
		buf_addc(out, '"');
		break;
	case CONF_LIST:
	case CONF_DURATIONS:
		buf_addstr(out, "[");
		for (i = 0; i < v->u.list.len; i++) {
			buf_addstr(out, i == 0 ? " " : ", ");
			if (row->type == CONF_LIST) {
				conf_print_quoted(v->u.list.str[i], out);
			} else {
				buf_addc(out, '"');
				print_duration(v->u.list.amount[i], out);
				buf_addc(out, '"');
			}
		}
		buf_addstr(out, v->u.list.len > 0 ? " ]" : "]");
		break;
	case CONF_UNREAD:
		buf_addstr(out, v->u.str != NULL ? v->u.str : "{}");
		break;
	case CONF_GROUP:
	case CONF_GROUPS:
		break;
	}
}

/* The value in force under a row of g. */
static const struct conf_value *
value_in_force(const struct conf_group *g, const struct conf_row *row)
{
	return conf_value(g, row->key, NULL);
}

static bool
value_exists(const struct conf_row *row, const struct conf_value *v)
{
	if (row->type == CONF_STR)
		return v->u.str != NULL;
	if (row->type == CONF_SECRET)
		return v->u.secret.spec != NULL;
	if (row->type == CONF_UNREAD)
		return v->u.str != NULL;
	return true;
}

/* -------------------------------------------------------------------- show */

struct show {
	struct buf *out;
	bool only_changed;
	bool plain; /* secrets too, no comments: for the hash */
};

static void show_group(const struct show *, const struct conf_group *, int);

static void
show_indent(const struct show *s, int depth)
{
	while (depth-- > 0)
		buf_addstr(s->out, "    ");
}

static void
show_comment(const struct show *s, const struct conf_group *g,
    const struct conf_row *row, bool set)
{
	if (s->plain)
		return;
	if (set)
		buf_printf(s->out, "  # %s, %s", conf_reload_names[row->reload],
		    conf_where(g, row->key));
	else
		buf_addstr(s->out, "  # default");
}

static void
show_groups(const struct show *s, const struct conf_row *row,
    const struct conf_value *v, int depth)
{
	size_t i;

	if (v->u.groups.len == 0)
		return;
	show_indent(s, depth);
	buf_printf(s->out, "%s = (\n", row->key);
	for (i = 0; i < v->u.groups.len; i++) {
		show_indent(s, depth + 1);
		buf_addstr(s->out, "{\n");
		show_group(s, v->u.groups.item[i], depth + 2);
		show_indent(s, depth + 1);
		buf_addstr(s->out, i + 1 < v->u.groups.len ? "},\n" : "}\n");
	}
	show_indent(s, depth);
	buf_addstr(s->out, ");\n");
}

static bool
group_has_set(const struct conf_group *g)
{
	size_t i;

	for (i = 0; i < conf_table_len(g->table); i++)
		if (g->value[i].set)
			return true;
	return false;
}

static void
show_group(const struct show *s, const struct conf_group *g, int depth)
{
	const struct conf_row *row;
	const struct conf_value *v;
	size_t i;

	for (i = 0; i < conf_table_len(g->table); i++) {
		row = conf_table_row(g->table, i);
		v = &g->value[i];
		if (row->type == CONF_GROUPS) {
			show_groups(s, row, v, depth);
			continue;
		}
		if (row->type == CONF_GROUP) {
			if (v->u.sub == NULL ||
			    (s->only_changed && !group_has_set(v->u.sub)))
				continue;
			show_indent(s, depth);
			buf_printf(s->out, "%s = {\n", row->key);
			show_group(s, v->u.sub, depth + 1);
			show_indent(s, depth);
			buf_addstr(s->out, "};\n");
			continue;
		}
		/* What is included has been read, and stands here already. */
		if ((s->only_changed && !v->set) ||
		    !value_exists(row, value_in_force(g, row)) ||
		    (g->table == &conf_table_root &&
			strcmp(row->key, "include") == 0))
			continue;
		show_indent(s, depth);
		buf_printf(s->out, "%s = ", row->key);
		conf_print_value(row, value_in_force(g, row), s->plain, s->out);
		buf_addc(s->out, ';');
		show_comment(s, g, row, v->set);
		buf_addc(s->out, '\n');
	}
}

void
conf_show(const struct conf *c, bool only_changed, struct buf *out)
{
	struct show s = { .out = out, .only_changed = only_changed };

	show_group(&s, c->root, 0);
}

void
conf_print(const struct conf *c, struct buf *out)
{
	struct show s = { .out = out, .plain = true };

	show_group(&s, c->root, 0);
}

/* ----------------------------------------------------- default and doc */

static void
print_default(const struct conf_row *row, struct buf *out)
{
	const char *p = row->dflt;
	size_t n;

	if (row->like != NULL) {
		buf_printf(out, "the %s", row->like);
	} else if (p == NULL) {
		buf_addstr(out, row->required ? "required" : "none");
	} else if (row->type == CONF_INT || row->type == CONF_BOOL) {
		buf_addstr(out, p);
	} else if (row->type == CONF_LIST || row->type == CONF_DURATIONS) {
		buf_addc(out, '[');
		for (; *p != '\0'; p += n + (p[n] == ' ')) {
			n = strcspn(p, " ");
			buf_printf(out, "%s\"%.*s\"",
			    p == row->dflt ? " " : ", ", (int)n, p);
		}
		buf_addstr(out, row->dflt[0] != '\0' ? " ]" : "]");
	} else {
		buf_printf(out, "\"%s\"", p);
	}
}

/* "1 to 64", "up to 15 characters", "udh, payload or sar", or nothing. */
void
conf_row_range(const struct conf_row *row, struct buf *out)
{
	struct conf_value least = { .u.number = row->min };
	struct conf_value most = { .u.number = row->max };
	struct conf_row one = *row;
	const char *p = row->choices;
	size_t n;

	if (p != NULL) {
		for (; *p != '\0'; p += n + (p[n] == '|')) {
			n = strcspn(p, "|");
			buf_printf(out, "%s%.*s",
			    p == row->choices            ? ""
				: strchr(p, '|') != NULL ? ", "
							 : " or ",
			    (int)n, p);
		}
		return;
	}
	if (row->min == 0 && row->max == 0)
		return;
	if (row->type == CONF_STR || row->type == CONF_SECRET) {
		buf_printf(out, "up to %d characters", (int)row->max);
		return;
	}
	if (row->type == CONF_DURATIONS || row->type == CONF_RANGE)
		one.type = CONF_DURATION;
	conf_print_value(&one, &least, true, out);
	buf_addstr(out, " to ");
	conf_print_value(&one, &most, true, out);
}

static void
default_table(const struct conf_table *t, int depth, struct buf *out)
{
	struct show s = { .out = out };
	const struct conf_row *row;
	size_t i, k;

	for (i = 0; i < conf_table_len(t); i++) {
		row = conf_table_row(t, i);
		if (row->type == CONF_GROUP || row->type == CONF_GROUPS) {
			bool many = row->type == CONF_GROUPS;

			show_indent(&s, depth);
			buf_printf(out, "# %s\n", row->help);
			show_indent(&s, depth);
			buf_printf(out, "%s%s = %s\n", depth > 0 ? "# " : "",
			    row->key, many ? "(" : "{");
			if (row->sub == &conf_table_box) {
				for (k = 0; conf_box_tables[k] != NULL; k++) {
					buf_printf(out,
					    "    # type = \"%s\": "
					    "%s\n",
					    conf_box_tables[k]->name,
					    conf_box_tables[k]->help);
					default_table(
					    conf_box_tables[k], depth + 2, out);
				}
			} else {
				default_table(row->sub, depth + 1 + many, out);
			}
			show_indent(&s, depth);
			buf_printf(out, "%s%s;\n", depth > 0 ? "# " : "",
			    many ? ")" : "}");
			continue;
		}
		show_indent(&s, depth);
		buf_printf(out, "# %s = ", row->key);
		print_default(row, out);
		buf_printf(out, ";  %s\n", row->help);
	}
}

void
conf_show_default(struct buf *out)
{
	default_table(&conf_table_root, 0, out);
}

static void
doc_row(const char *path, const struct conf_row *row, struct buf *out)
{
	size_t before;

	buf_printf(out, "%s (%s)\n    %s\n    default: ", path,
	    conf_type_names[row->type], row->help);
	print_default(row, out);
	buf_addstr(out, "\n");
	before = buf_len(out);
	buf_addstr(out, "    values: ");
	conf_row_range(row, out);
	if (buf_len(out) == before + strlen("    values: "))
		out->tail -= strlen("    values: ");
	else
		buf_addc(out, '\n');
	buf_printf(out, "    change: %s\n",
	    row->reload == CONF_LIVE          ? "reload"
		: row->reload == CONF_REBIND  ? "reload; the link reconnects"
		: row->reload == CONF_RESTART ? "restart of the box"
					      : "restart of the suite");
}

static void
doc_table(const struct conf_table *t, const char *path, struct buf *out)
{
	const struct conf_row *row;
	char full[256];
	size_t i;

	buf_printf(out, "%s: %s\n", path, t->help);
	for (i = 0; i < conf_table_len(t); i++) {
		row = conf_table_row(t, i);
		if (row->type == CONF_GROUP || row->type == CONF_GROUPS) {
			buf_printf(out, "%s%s%s (%s)\n    %s\n", path,
			    path[0] != '\0' ? "." : "", row->key,
			    conf_type_names[row->type], row->help);
			continue;
		}
		snprintf(full, sizeof(full), "%s%s%s", path,
		    path[0] != '\0' ? "." : "", row->key);
		doc_row(full, row, out);
	}
}

bool
conf_doc(const char *path, struct buf *out)
{
	const struct conf_table *t = &conf_table_root, *box;
	const struct conf_row *row;
	const char *p = path;
	size_t n;
	char type[32];
	int i;

	if (p[0] == '\0') {
		for (i = 0; i < (int)conf_table_len(t); i++)
			buf_printf(out, "%-10s %s\n",
			    conf_table_row(t, (size_t)i)->key,
			    conf_table_row(t, (size_t)i)->help);
		return true;
	}
	for (;;) {
		n = strcspn(p, ".");
		i = conf_table_find(t, p, n);
		snprintf(type, sizeof(type), "%.*s", (int)n, p);
		box = t == &conf_table_box ? conf_table_of_type(type) : NULL;
		if (i < 0 && box != NULL) {
			t = box;
		} else if (i < 0) {
			return false;
		} else {
			row = conf_table_row(t, (size_t)i);
			if (row->sub == NULL) {
				if (p[n] != '\0')
					return false;
				doc_row(path, row, out);
				return true;
			}
			t = row->sub;
		}
		if (p[n] == '\0')
			break;
		p += n + 1;
	}
	doc_table(t, path, out);
	return true;
}

/* -------------------------------------------------------------------- diff */

static void diff_group(const char *path, const struct conf_group *old,
    const struct conf_group *new_, struct buf *out);

static const char *
item_name(const struct conf_group *g)
{
	return g->value[0].u.str;
}

static const struct conf_group *
item_find(const struct conf_value *v, const char *name, size_t *at)
{
	size_t i;

	for (i = 0; i < v->u.groups.len; i++) {
		if (strcmp(item_name(v->u.groups.item[i]), name) == 0) {
			if (at != NULL)
				*at = i;
			return v->u.groups.item[i];
		}
	}
	return NULL;
}

static void
diff_groups(const char *list, const struct conf_row *row,
    const struct conf_value *old, const struct conf_value *new_,
    struct buf *out)
{
	const char *class = conf_reload_names[row->reload];
	const struct conf_group *o, *n;
	size_t i, at, last = 0;
	bool moved = false;
	char path[192];

	for (i = 0; i < old->u.groups.len; i++) {
		o = old->u.groups.item[i];
		if (item_find(new_, item_name(o), NULL) == NULL)
			buf_printf(out, "%s.%s: removed (%s)\n", list,
			    item_name(o), class);
	}
	for (i = 0; i < new_->u.groups.len; i++) {
		n = new_->u.groups.item[i];
		o = item_find(old, item_name(n), &at);
		if (o == NULL) {
			buf_printf(out, "%s.%s: added (%s)\n", list,
			    item_name(n), class);
			continue;
		}
		moved = moved || at < last;
		last = at;
		snprintf(
		    path, sizeof(path), "%.127s.%.63s", list, item_name(n));
		if (o->table == n->table)
			diff_group(path, o, n, out);
		else
			buf_printf(out, "%s.type: \"%s\" -> \"%s\" (%s)\n",
			    path, o->table->name, n->table->name, class);
	}
	/* First match wins: order is a setting too. */
	if (moved && row->reload == CONF_LIVE)
		buf_printf(out, "%s: other order (live)\n", row->key);
}

static void
diff_value(const char *path, const struct conf_row *row,
    const struct conf_value *o, const struct conf_value *n, struct buf *out)
{
	struct buf a, b;
	bool same;

	buf_init(&a);
	buf_init(&b);
	if (value_exists(row, o))
		conf_print_value(row, o, true, &a);
	if (value_exists(row, n))
		conf_print_value(row, n, true, &b);
	same = strcmp(buf_str(&a), buf_str(&b)) == 0;
	/* The file behind a secret may have changed and not its name. */
	if (same && row->type == CONF_SECRET && o->u.secret.text != NULL &&
	    n->u.secret.text != NULL)
		same = strcmp(o->u.secret.text, n->u.secret.text) == 0;
	if (!same && row->type == CONF_SECRET)
		buf_printf(out, "%s: changed (%s)\n", path,
		    conf_reload_names[row->reload]);
	else if (!same)
		buf_printf(out, "%s: %s -> %s (%s)\n", path,
		    buf_len(&a) > 0 ? buf_str(&a) : "none",
		    buf_len(&b) > 0 ? buf_str(&b) : "none",
		    conf_reload_names[row->reload]);
	buf_fini(&a);
	buf_fini(&b);
}

static void
diff_group(const char *path, const struct conf_group *old,
    const struct conf_group *new_, struct buf *out)
{
	const struct conf_value *o, *n;
	const struct conf_row *row;
	char full[256];
	size_t i;

	for (i = 0; i < conf_table_len(old->table); i++) {
		row = conf_table_row(old->table, i);
		o = &old->value[i];
		n = &new_->value[i];
		snprintf(full, sizeof(full), "%s%s%s", path,
		    path[0] != '\0' ? "." : "", row->key);
		if (row->type == CONF_GROUPS) {
			diff_groups(full, row, o, n, out);
		} else if (row->type == CONF_GROUP) {
			if (o->u.sub != NULL && n->u.sub != NULL)
				diff_group(full, o->u.sub, n->u.sub, out);
			else if (o->u.sub != n->u.sub)
				buf_printf(out, "%s: %s (%s)\n", full,
				    o->u.sub == NULL ? "added" : "removed",
				    conf_reload_names[row->reload]);
		} else if (strcmp(full, "include") != 0) {
			diff_value(full, row, value_in_force(old, row),
			    value_in_force(new_, row), out);
		}
	}
}

void
conf_diff(const struct conf *old, const struct conf *new_, struct buf *out)
{
	diff_group("", old->root, new_->root, out);
}
