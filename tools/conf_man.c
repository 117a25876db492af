/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_man.c - copies hopyard.cfg(5) from standard input to standard output
 * and prints the settings anew from the table in common/conf_schema.c, between
 * the two comment lines that mark them.  `make man` runs it, `make lint`
 * compares.
 */
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/conf_schema.h"

#define MARK_BEGIN ".\\\" settings: printed by make man, do not edit\n"
#define MARK_END   ".\\\" settings: end\n"

/* As mdoc text: no macro at the start of the line, no escapes. */
static void
put_text(const char *s)
{
	if (*s == '.' || *s == '\'')
		fputs("\\&", stdout);
	for (; *s != '\0'; s++) {
		if (*s == '\\')
			fputs("\\e", stdout);
		else if (*s == '"')
			fputs("\\(dq", stdout);
		else
			putchar(*s);
	}
}

static void
put_default(const struct conf_row *row)
{
	const char *p = row->dflt;
	size_t n;

	if (row->required) {
		fputs("required", stdout);
	} else if (row->like != NULL) {
		printf("default the %s", row->like);
	} else if (p == NULL) {
		fputs("no default", stdout);
	} else if (row->type == CONF_INT || row->type == CONF_BOOL) {
		printf("default %s", p);
	} else if (row->type == CONF_LIST || row->type == CONF_DURATIONS) {
		fputs("default [", stdout);
		for (; *p != '\0'; p += n + (p[n] == ' ')) {
			n = strcspn(p, " ");
			printf("%s\\(dq%.*s\\(dq", p == row->dflt ? " " : ", ",
			    (int)n, p);
		}
		fputs(row->dflt[0] != '\0' ? " ]" : "]", stdout);
	} else {
		printf("default \\(dq%s\\(dq", p);
	}
}

static void
put_row(const struct conf_row *row)
{
	static const char *const reload[] = {
		[CONF_LIVE] = "reload",
		[CONF_REBIND] = "reload, the link reconnects",
		[CONF_RESTART] = "restart of the box",
		[CONF_BUS] = "restart of the suite",
	};
	struct buf range;

	printf(".It Ic %s\n", row->key);
	put_text(row->help);
	printf("\n.br\n(%s", conf_type_names[row->type]);
	buf_init(&range);
	conf_row_range(row, &range);
	if (buf_len(&range) > 0) {
		fputs(": ", stdout);
		put_text(buf_str(&range));
	}
	buf_fini(&range);
	fputs("; ", stdout);
	put_default(row);
	printf("; change: %s)\n", reload[row->reload]);
}

static bool
is_group(const struct conf_row *row)
{
	return row->type == CONF_GROUP || row->type == CONF_GROUPS;
}

/* The rows of one table without those of its base, then its groups. */
static void
put_table(const struct conf_table *t, const char *path)
{
	const struct conf_row *row;
	char full[128];
	size_t i;

	put_text(t->help);
	fputs("\n.Bl -tag -width Ds\n", stdout);
	for (i = 0; i < t->count; i++)
		if (!is_group(&t->rows[i]))
			put_row(&t->rows[i]);
	fputs(".El\n", stdout);
	for (i = 0; i < t->count; i++) {
		row = &t->rows[i];
		if (!is_group(row))
			continue;
		snprintf(full, sizeof(full), "%s%s%s", path,
		    path[0] != '\0' ? "." : "", row->key);
		printf(".Ss %s %s\n",
		    row->type == CONF_GROUPS ? "List" : "Group", full);
		put_table(row->sub, full);
		if (row->sub != &conf_table_box)
			continue;
		for (size_t k = 0; conf_box_tables[k] != NULL; k++) {
			printf(
			    ".Ss Boxes of type %s\n", conf_box_tables[k]->name);
			put_table(conf_box_tables[k], conf_box_tables[k]->name);
		}
	}
}

int
main(void)
{
	char line[4096];
	bool inside = false, found = false;

	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (strcmp(line, MARK_END) == 0)
			inside = false;
		if (!inside)
			fputs(line, stdout);
		if (strcmp(line, MARK_BEGIN) == 0) {
			inside = found = true;
			puts(".Ss Top level");
			put_table(&conf_table_root, "");
		}
	}
	if (!found || inside) {
		fputs("conf_man: the page lacks the marks around the "
		      "settings\n",
		    stderr);
		return 1;
	}
	return ferror(stdin) || fflush(stdout) != 0 ? 1 : 0;
}
