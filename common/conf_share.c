/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_share.c - what a box on another host is told of the configuration.
 *
 * Only what is set: the box has the defaults itself, in its own version's
 * table.  A secret is told as it is, since its file is here; one that is `local`
 * is only told where to find it there.
 */
#include <string.h>

#include "common/buf.h"
#include "common/conf_tree.h"

/* Of other boxes, for those who have to know: a store matches receipts by
 * scope, a hook calls none of our own ports. */
static const char *const share_of_others[] = { "name", "type", "enabled",
	"scope", "listen", NULL };
/* Not its business, or only of use where the bus is. */
static const char *const share_never[] = { "exec", "uid", "include", NULL };

static bool
share_has(const char *const *keys, const char *key)
{
	for (; *keys != NULL; keys++)
		if (strcmp(*keys, key) == 0)
			return true;
	return false;
}

/* The secret is a name for something on the box's own host. */
static bool
share_is_name(const char *spec)
{
	return strncmp(spec, "file:", 5) == 0 ||
	    strncmp(spec, "env:", 4) == 0 || strncmp(spec, "cred:", 5) == 0;
}

static bool
share_secret(const struct conf_group *g, const struct conf_row *row,
    const struct conf_value *v, struct buf *out, struct buf *err)
{
	char title[128];
	const char *why = NULL;

	if (row->local && !share_is_name(v->u.secret.spec))
		why = "is not sent to another host; write \"file:/path\" of a "
		      "file there";
	else if (!row->local && v->u.secret.text == NULL)
		why = v->u.secret.why;
	if (why != NULL) {
		conf_complain(err, g->conf->file[v->file].path, v->line,
		    "%s of %s %s", row->key,
		    conf_title(g, title, sizeof(title)), why);
		return false;
	}
	conf_print_quoted(
	    row->local ? v->u.secret.spec : v->u.secret.text, out);
	return true;
}

static bool share_group(const struct conf_group *, const char *const *only,
    struct buf *, struct buf *);

static bool
share_value(const struct conf_group *g, const struct conf_row *row,
    const struct conf_value *v, struct buf *out, struct buf *err)
{
	bool good = true;
	size_t i;

	buf_printf(out, "%s = ", row->key);
	switch (row->type) {
	case CONF_SECRET:
		good = share_secret(g, row, v, out, err);
		break;
	case CONF_GROUP:
		buf_addstr(out, "{\n");
		good = share_group(v->u.sub, NULL, out, err);
		buf_addc(out, '}');
		break;
	case CONF_GROUPS:
		buf_addstr(out, "(\n");
		for (i = 0; i < v->u.groups.len; i++) {
			buf_addstr(out, i > 0 ? ", {\n" : "{\n");
			good =
			    share_group(v->u.groups.item[i], NULL, out, err) &&
			    good;
			buf_addc(out, '}');
		}
		buf_addc(out, ')');
		break;
	case CONF_UNREAD:
		conf_print_quoted(v->u.str, out); /* JSON, as a text */
		break;
	default:
		conf_print_value(row, v, true, out);
		break;
	}
	buf_addstr(out, ";\n");
	return good;
}

static bool
share_group(const struct conf_group *g, const char *const *only,
    struct buf *out, struct buf *err)
{
	bool good = true;

	for (size_t i = 0; i < conf_table_len(g->table); i++) {
		const struct conf_row *row = conf_table_row(g->table, i);
		const struct conf_value *v = &g->value[i];

		if (!v->set || share_has(share_never, row->key) ||
		    (only != NULL && !share_has(only, row->key)))
			continue;
		good = share_value(g, row, v, out, err) && good;
	}
	return good;
}

/* The boxes, its own among them. */
static bool
share_boxes(const struct conf *c, const struct conf_group *box, bool others,
    struct buf *out, struct buf *err)
{
	const char *comma = "";
	bool good = true;

	buf_addstr(out, "boxes = (\n");
	for (size_t i = 0; i < conf_count(c, "boxes"); i++) {
		const struct conf_group *g = conf_item(c, "boxes", i);

		if (g != box && !others)
			continue;
		buf_printf(out, "%s{\n", comma);
		good = share_group(
			   g, g == box ? NULL : share_of_others, out, err) &&
		    good;
		buf_addc(out, '}');
		comma = ", ";
	}
	buf_addstr(out, ");\n");
	return good;
}

const char *
conf_foreign(const struct conf_group *box)
{
	return box->table == &conf_table_box ? conf_unread(box, "settings")
					     : NULL;
}

bool
conf_share(const struct conf *c, const struct conf_group *box, struct buf *out,
    struct buf *err)
{
	static const char *const only_node[] = { "node", NULL };
	const char *type = conf_str(box, "type");
	bool hook = strcmp(type, "hook") == 0;
	const struct conf_row *row;
	const struct conf_value *v;
	bool good;

	good = share_group(c->root, only_node, out, err);
	buf_addstr(out, "log = {\n");
	good = share_group(conf_section(c, "log"), NULL, out, err) && good;
	buf_addstr(out, "};\n");
	good =
	    share_boxes(c, box, hook || strcmp(type, "store") == 0, out, err) &&
	    good;
	if (conf_has(box, "cells") && conf_list_len(box, "cells") > 0) {
		v = conf_value(c->root, "cells", &row);
		good = share_value(c->root, row, v, out, err) && good;
	}
	if (hook && conf_count(c, "inbound") > 0) {
		v = conf_value(c->root, "inbound", &row);
		good = share_value(c->root, row, v, out, err) && good;
	}
	return good;
}
