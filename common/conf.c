/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf.c - reading files into the tree, and the getters.
 *
 * libconfig's own tree is gone when conf_load() returns: values are copied
 * into one struct conf_group per group, checked row by row on the way.  A
 * setting that is wrong keeps its default, so that reading goes on and all
 * complaints come at once.
 */
#include "common/conf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libconfig.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/conf_scan.h"
#include "common/conf_tree.h"
#include "common/json.h"
#include "common/log.h"
#include "common/xalloc.h"

#define CONF_MAX_SIZE   (64 << 20)
#define CONF_MAX_SECRET (64 << 10)
#define CONF_MAX_ERRORS 50

struct loader {
	struct conf *conf;
	struct buf *err;
	unsigned errors;
	bool broken;   /* a file could not be read to its end */
	bool shared;   /* conf_load_shared(): checked by the bus */
	uint16_t file; /* being read */
};

static void load_complain(struct loader *, unsigned line, const char *, ...)
    PRINTF(3, 4);
static void load_group(
    struct loader *, struct conf_group *, const config_setting_t *);

/* --------------------------------------------------------- small things */

void
conf_complain(
    struct buf *err, const char *file, unsigned line, const char *fmt, ...)
{
	char text[768];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (line > 0)
		buf_printf(err, "%s:%u: %s\n", file, line, text);
	else
		buf_printf(err, "%s: %s\n", file, text);
}

static void
load_complain(struct loader *l, unsigned line, const char *fmt, ...)
{
	char text[768];
	va_list ap;

	if (l->errors++ == CONF_MAX_ERRORS)
		buf_addstr(l->err, "... and more\n");
	if (l->errors > CONF_MAX_ERRORS)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	conf_complain(l->err, l->conf->file[l->file].path, line, "%s", text);
}

/* Edit distance with swaps of neighbours; words over 32 bytes never match. */
static unsigned
conf_distance(const char *a, const char *b)
{
	unsigned d[34][34];
	size_t la = strlen(a), lb = strlen(b), i, k;

	if (la > 32 || lb > 32)
		return 99;
	for (i = 0; i <= la; i++)
		d[i][0] = (unsigned)i;
	for (k = 0; k <= lb; k++)
		d[0][k] = (unsigned)k;
	for (i = 1; i <= la; i++) {
		for (k = 1; k <= lb; k++) {
			unsigned best =
			    d[i - 1][k - 1] + (a[i - 1] != b[k - 1]);

			if (d[i - 1][k] + 1 < best)
				best = d[i - 1][k] + 1;
			if (d[i][k - 1] + 1 < best)
				best = d[i][k - 1] + 1;
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] &&
			    a[i - 2] == b[k - 1] && d[i - 2][k - 2] + 1 < best)
				best = d[i - 2][k - 2] + 1;
			d[i][k] = best;
		}
	}
	return d[la][lb];
}

const char *
conf_suggest(const char *word, conf_next_word *next, const void *arg, char *dst,
    size_t size)
{
	unsigned best = (unsigned)strlen(word) / 3 + 1, d;
	const char *found = NULL, *w;
	size_t i;

	/* One word inside the other is as good as two typing errors. */
	for (i = 0; (w = next(arg, i)) != NULL; i++) {
		d = conf_distance(word, w);
		if (d > 2 && strlen(word) > 3 && strlen(w) > 3 &&
		    (strstr(w, word) != NULL || strstr(word, w) != NULL))
			d = 2;
		if (d <= best && d < strlen(w)) {
			found = w;
			best = d - (d > 0);
			if (d == 0)
				break;
		}
	}
	if (found == NULL)
		dst[0] = '\0';
	else
		snprintf(dst, size, "; did you mean \"%s\"?", found);
	return dst;
}

static const char *
next_key(const void *arg, size_t i)
{
	const struct conf_table *t = arg;

	return i < conf_table_len(t) ? conf_table_row(t, i)->key : NULL;
}

struct choices {
	char word[16][24];
	size_t n;
};

static const char *
next_choice(const void *arg, size_t i)
{
	const struct choices *c = arg;

	return i < c->n ? c->word[i] : NULL;
}

static void
choices_split(struct choices *c, const char *text)
{
	size_t n;

	for (c->n = 0; *text != '\0' && c->n < ARRAY_LEN(c->word); c->n++) {
		n = strcspn(text, "|");
		snprintf(
		    c->word[c->n], sizeof(c->word[0]), "%.*s", (int)n, text);
		text += n + (text[n] == '|');
	}
}

const char *
conf_title(const struct conf_group *g, char *dst, size_t size)
{
	const struct conf_row *row = conf_table_row(g->table, 0);
	const char *label = g->table->name;

	/* Groups of a list start with their name or id. */
	if (!row->required || row->form != CONF_NAME || !g->value[0].set)
		snprintf(dst, size, "%s", label);
	else if (g->table->base != NULL)
		snprintf(
		    dst, size, "box \"%s\" (%s)", g->value[0].u.str, label);
	else
		snprintf(dst, size, "%s \"%s\"", label, g->value[0].u.str);
	return dst;
}

/* ------------------------------------------------------------- one value */

static const char *
setting_kind(const config_setting_t *s)
{
	switch (s->type) {
	case CONFIG_TYPE_GROUP:
		return "a group";
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
	case CONFIG_TYPE_FLOAT:
		return "a number";
	case CONFIG_TYPE_STRING:
		return "text";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	default:
		return "a list";
	}
}

static bool
setting_is_int(const config_setting_t *s)
{
	return s->type == CONFIG_TYPE_INT || s->type == CONFIG_TYPE_INT64;
}

/* "it must be ...", for a value of the wrong type. */
static void
load_wrong_type(struct loader *l, const struct conf_row *row,
    const config_setting_t *s, unsigned line)
{
	char want[160];

	switch (row->type) {
	case CONF_STR:
	case CONF_SECRET:
		if (setting_is_int(s) && row->type == CONF_STR)
			snprintf(want, sizeof(want),
			    "text in quotes: %s = \"%lld\"", row->key,
			    config_setting_get_int64(s));
		else
			snprintf(want, sizeof(want), "text in quotes");
		break;
	case CONF_INT:
		if (s->type == CONFIG_TYPE_STRING && s->value.sval[0] != '\0' &&
		    strspn(s->value.sval, "0123456789") ==
			strlen(s->value.sval) &&
		    strlen(s->value.sval) < 20)
			snprintf(want, sizeof(want),
			    "a whole number without quotes: %s = %s", row->key,
			    s->value.sval);
		else
			snprintf(want, sizeof(want), "a whole number");
		break;
	case CONF_BOOL:
		snprintf(want, sizeof(want), "true or false, without quotes");
		break;
	case CONF_DURATION:
		if (setting_is_int(s))
			snprintf(want, sizeof(want),
			    "a duration with its unit, in quotes: %s = "
			    "\"%llds\"",
			    row->key, config_setting_get_int64(s));
		else
			snprintf(want, sizeof(want),
			    "a duration in quotes, such as \"%s\"", row->dflt);
		break;
	case CONF_SIZE:
		snprintf(want, sizeof(want), "a size in quotes, such as \"%s\"",
		    row->dflt);
		break;
	case CONF_RANGE:
		snprintf(want, sizeof(want),
		    "two durations in quotes, such as \"%s\"", row->dflt);
		break;
	case CONF_LIST:
		snprintf(want, sizeof(want),
		    "a list of texts: %s = [ \"...\", \"...\" ]", row->key);
		break;
	case CONF_DURATIONS:
		snprintf(want, sizeof(want),
		    "a list of durations: %s = [ \"5s\", \"30s\" ]", row->key);
		break;
	case CONF_GROUP:
	case CONF_UNREAD:
		snprintf(want, sizeof(want), "a group: %s = { ... }", row->key);
		break;
	case CONF_GROUPS:
		snprintf(want, sizeof(want),
		    "a list of groups: %s = ( { ... }, { ... } )", row->key);
		break;
	}
	load_complain(l, line, "%s is %s; it must be %s", row->key,
	    setting_kind(s), want);
}

static void
print_amount(const struct conf_row *row, uint64_t n, struct buf *out)
{
	struct conf_value v = { .u.amount = n };
	struct conf_row one = *row;

	if (row->type == CONF_DURATIONS || row->type == CONF_RANGE)
		one.type = CONF_DURATION;
	conf_print_value(&one, &v, true, out);
}

static bool
load_in_range(struct loader *l, const struct conf_row *row, unsigned line,
    int64_t n, bool may_have_wrapped)
{
	struct buf least, most;

	if (row->max == 0 && row->min == 0)
		return true;
	if (n >= row->min && n <= row->max)
		return true;
	if (row->type == CONF_INT) {
		if (n < 0 && may_have_wrapped)
			load_complain(l, line,
			    "%s = %lld is out of range %lld to %lld; did you "
			    "mean %lldL?",
			    row->key, (long long)n, (long long)row->min,
			    (long long)row->max, (long long)n + (1LL << 32));
		else
			load_complain(l, line,
			    "%s = %lld is out of range: %lld to %lld", row->key,
			    (long long)n, (long long)row->min,
			    (long long)row->max);
		return false;
	}
	buf_init(&least);
	buf_init(&most);
	print_amount(row, (uint64_t)row->min, &least);
	print_amount(row, (uint64_t)row->max, &most);
	load_complain(l, line, "%s is out of range: %s to %s", row->key,
	    buf_str(&least), buf_str(&most));
	buf_fini(&least);
	buf_fini(&most);
	return false;
}

/* A duration in a file has a unit: bare seconds are too easily minutes. */
bool
conf_parse_duration(const char *s, uint64_t *ms)
{
	size_t n = strlen(s);

	if (strcmp(s, "0") == 0) {
		*ms = 0;
		return true;
	}
	return n > 0 && (s[n - 1] < '0' || s[n - 1] > '9') &&
	    clock_parse_duration(s, ms) == 0;
}

bool
conf_parse_size(const char *s, uint64_t *bytes)
{
	static const struct {
		const char *unit;
		unsigned shift;
	} units[] = {
		{ "", 0 },
		{ "B", 0 },
		{ "KiB", 10 },
		{ "MiB", 20 },
		{ "GiB", 30 },
	};
	uint64_t v = 0;
	size_t i;

	if (*s < '0' || *s > '9')
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		v = v * 10 + (uint64_t)(*s - '0');
		if (v > UINT64_C(1) << 40)
			return false;
	}
	for (i = 0; i < ARRAY_LEN(units); i++) {
		if (strcmp(s, units[i].unit) == 0) {
			*bytes = v << units[i].shift;
			return *bytes <= INT64_MAX / 2;
		}
	}
	return false;
}

static bool
parse_range(const char *s, uint64_t range[2])
{
	const char *dots = strstr(s, "..");
	char from[24];

	if (dots == NULL || (size_t)(dots - s) >= sizeof(from))
		return false;
	memcpy(from, s, (size_t)(dots - s));
	from[dots - s] = '\0';
	return conf_parse_duration(from, &range[0]) &&
	    conf_parse_duration(dots + 2, &range[1]) && range[0] <= range[1];
}

static bool
load_choice(struct loader *l, const struct conf_row *row, unsigned line,
    const char *text)
{
	struct choices c;
	char hint[64], all[160];
	size_t i, n = 0;

	choices_split(&c, row->choices);
	for (i = 0; i < c.n; i++)
		if (strcmp(c.word[i], text) == 0)
			return true;
	for (i = 0; i < c.n && n < sizeof(all); i++)
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s",
		    i == 0            ? ""
			: i + 1 < c.n ? ", "
				      : " or ",
		    c.word[i]);
	load_complain(l, line, "%s = \"%.64s\" is not one of %s%s", row->key,
	    text, all, conf_suggest(text, next_choice, &c, hint, sizeof(hint)));
	return false;
}

static bool
load_form(struct loader *l, const struct conf_row *row, unsigned line,
    const char *text)
{
	const char *why;

	if (row->form == CONF_CHOICE)
		return load_choice(l, row, line, text);
	why = conf_form_check(row, text);
	if (why == NULL)
		return true;
	/* Perhaps it is the key itself. */
	if (row->form == CONF_SHA256)
		load_complain(l, line, "%s: %s", row->key, why);
	else
		load_complain(
		    l, line, "%s = \"%.128s\": %s", row->key, text, why);
	return false;
}

/* ---------------------------------------------------------------- secrets */

/* A regular file of bounded size, or NULL with a reason. */
static char *
read_small_file(const char *path, char **why)
{
	struct stat st;
	char *text = NULL;
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0) {
		*why = xasprintf("cannot read %s: %s", path, strerror(errno));
	} else if (!S_ISREG(st.st_mode) || st.st_size > CONF_MAX_SECRET) {
		*why = xasprintf("%s is no small file", path);
	} else {
		text = xmalloc(CONF_MAX_SECRET + 1);
		n = read(fd, text, CONF_MAX_SECRET);
		if (n < 0)
			n = 0;
		/* Editors end the last line. */
		while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
			n--;
		text[n] = '\0';
		text = xrealloc(text, (size_t)n + 1);
		if (n == 0 || strlen(text) != (size_t)n) {
			*why = xasprintf(
			    n == 0 ? "%s is empty" : "%s has a NUL byte", path);
			free(text);
			text = NULL;
		}
	}
	if (fd >= 0)
		close(fd);
	return text;
}

static void
secret_resolve(struct conf_value *v)
{
	const char *spec = v->u.secret.spec, *dir, *value;
	char *path;

	if (strncmp(spec, "file:", 5) == 0) {
		v->u.secret.text = read_small_file(spec + 5, &v->u.secret.why);
	} else if (strncmp(spec, "env:", 4) == 0) {
		value = getenv(spec + 4);
		if (value != NULL)
			v->u.secret.text = xstrdup(value);
		else
			v->u.secret.why = xasprintf(
			    "environment variable %s is not set", spec + 4);
	} else if (strncmp(spec, "cred:", 5) == 0) {
		dir = getenv("CREDENTIALS_DIRECTORY");
		if (strchr(spec + 5, '/') != NULL || spec[5] == '\0') {
			v->u.secret.why = xasprintf(
			    "\"%s\" is no name of a credential", spec + 5);
		} else if (dir == NULL) {
			v->u.secret.why = xasprintf(
			    "credential %s: CREDENTIALS_DIRECTORY is not set",
			    spec + 5);
		} else {
			path = xasprintf("%s/%s", dir, spec + 5);
			v->u.secret.text =
			    read_small_file(path, &v->u.secret.why);
			free(path);
		}
	} else {
		v->u.secret.text = xstrdup(spec);
	}
}

/* ------------------------------------------------------- from the setting */

static void
setting_json(const config_setting_t *s, struct json *j)
{
	int i, n;

	switch (s->type) {
	case CONFIG_TYPE_GROUP:
		json_open_object(j, s->name);
		break;
	case CONFIG_TYPE_ARRAY:
	case CONFIG_TYPE_LIST:
		json_open_array(j, s->name);
		break;
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		json_int(j, s->name, config_setting_get_int64(s));
		return;
	case CONFIG_TYPE_FLOAT:
		json_double(j, s->name, config_setting_get_float(s), 6);
		return;
	case CONFIG_TYPE_BOOL:
		json_bool(j, s->name, config_setting_get_bool(s) != 0);
		return;
	case CONFIG_TYPE_STRING:
		json_str(j, s->name, config_setting_get_string(s));
		return;
	default:
		return;
	}
	n = config_setting_length(s);
	for (i = 0; i < n; i++)
		setting_json(config_setting_get_elem(s, (unsigned)i), j);
	if (s->type == CONFIG_TYPE_GROUP)
		json_close_object(j);
	else
		json_close_array(j);
}

/* The i-th text of a list, or of a plain text which is a list of one. */
static bool
load_element(struct loader *l, const struct conf_row *row,
    const config_setting_t *s, unsigned line, char dst[24], const char **text)
{
	if (s->type == CONFIG_TYPE_STRING) {
		*text = s->value.sval;
		return true;
	}
	if (setting_is_int(s) &&
	    (row->form == CONF_PORTS || row->form == CONF_STATUS)) {
		snprintf(dst, 24, "%lld", config_setting_get_int64(s));
		*text = dst;
		return true;
	}
	if (setting_is_int(s))
		load_complain(l, line, "%s holds texts: put quotes around %lld",
		    row->key, config_setting_get_int64(s));
	else
		load_complain(l, line, "%s holds texts, not %s", row->key,
		    setting_kind(s));
	return false;
}

static void
load_list(struct loader *l, const struct conf_row *row,
    const config_setting_t *s, struct conf_value *v)
{
	bool many = config_setting_is_array(s) || config_setting_is_list(s);
	size_t n = many ? (size_t)config_setting_length(s) : 1, i;
	const config_setting_t *e;
	char number[24];
	const char *text;
	unsigned line;
	uint64_t ms;

	v->u.list.len = 0;
	v->u.list.str =
	    row->type == CONF_LIST ? xcalloc(n + 1, sizeof(char *)) : NULL;
	v->u.list.amount = row->type == CONF_DURATIONS
	    ? xcalloc(n + 1, sizeof(uint64_t))
	    : NULL;
	assert(row->type == CONF_LIST || row->type == CONF_DURATIONS);
	for (i = 0; i < n; i++) {
		e = many ? config_setting_get_elem(s, (unsigned)i) : s;
		line = e->line != 0 ? e->line : v->line;
		if (!load_element(l, row, e, line, number, &text))
			continue;
		if (row->type == CONF_LIST) {
			if (load_form(l, row, line, text))
				v->u.list.str[v->u.list.len++] = xstrdup(text);
		} else if (!conf_parse_duration(text, &ms)) {
			load_complain(l, line,
			    "%s: \"%.32s\" is no duration such as \"30s\" "
			    "(units: ms, s, m, h, d)",
			    row->key, text);
		} else if (load_in_range(l, row, line, (int64_t)ms, false)) {
			v->u.list.amount[v->u.list.len++] = ms;
		}
	}
	if (row->required && n == 0)
		load_complain(l, v->line, "%s is empty", row->key);
}

static struct conf_group *
group_new(struct loader *l, const struct conf_table *t, unsigned line)
{
	struct conf_group *g;

	g = xcalloc(
	    1, sizeof(*g) + conf_table_len(t) * sizeof(struct conf_value));
	g->table = t;
	g->conf = l->conf;
	g->file = l->file;
	g->line = line;
	return g;
}

/* A box is of its own table; which one is said in the group itself. */
static const struct conf_table *
load_box_table(const config_setting_t *s)
{
	const config_setting_t *type;
	const struct conf_table *t = NULL;

	type = config_setting_get_member(s, "type");
	if (type != NULL && type->type == CONFIG_TYPE_STRING)
		t = conf_table_of_type(type->value.sval);
	return t != NULL ? t : &conf_table_box;
}

static void
load_groups(struct loader *l, const struct conf_row *row,
    const config_setting_t *s, struct conf_value *v)
{
	size_t n = (size_t)config_setting_length(s), i;
	const struct conf_table *t;
	const config_setting_t *e;
	struct conf_group *g;

	v->u.groups.item = xrealloc(v->u.groups.item,
	    (v->u.groups.len + n + 1) * sizeof(struct conf_group *));
	for (i = 0; i < n; i++) {
		e = config_setting_get_elem(s, (unsigned)i);
		if (e->type != CONFIG_TYPE_GROUP) {
			load_complain(l, e->line != 0 ? e->line : s->line,
			    "%s holds groups { ... }, not %s", row->key,
			    setting_kind(e));
			continue;
		}
		t = row->sub == &conf_table_box ? load_box_table(e) : row->sub;
		g = group_new(l, t, e->line);
		v->u.groups.item[v->u.groups.len++] = g;
		load_group(l, g, e);
	}
}

/* Whether a text is as short as its row wants it; it may be a secret. */
static bool
load_length(struct loader *l, const struct conf_row *row, unsigned line,
    const char *text)
{
	if (row->max == 0 || strlen(text) <= (size_t)row->max)
		return true;
	load_complain(l, line, "%s has %zu characters; at most %d fit",
	    row->key, strlen(text), (int)row->max);
	return false;
}

static bool
load_text(struct loader *l, const struct conf_row *row, const char *text,
    struct conf_value *v)
{
	switch (row->type) {
	case CONF_STR:
		if (!load_form(l, row, v->line, text) ||
		    !load_length(l, row, v->line, text))
			return false;
		v->u.str = xstrdup(text);
		return true;
	case CONF_SECRET:
		v->u.secret.spec = xstrdup(text);
		if (l->shared && !row->local)
			v->u.secret.text = xstrdup(text);
		else
			secret_resolve(v);
		return v->u.secret.text == NULL ||
		    load_length(l, row, v->line, v->u.secret.text);
	case CONF_DURATION:
		if (!conf_parse_duration(text, &v->u.amount)) {
			load_complain(l, v->line,
			    "%s = \"%.32s\" is no duration such as \"%s\" "
			    "(units: ms, s, m, h, d)",
			    row->key, text, row->dflt);
			return false;
		}
		return load_in_range(
		    l, row, v->line, (int64_t)v->u.amount, false);
	case CONF_SIZE:
		if (!conf_parse_size(text, &v->u.amount)) {
			load_complain(l, v->line,
			    "%s = \"%.32s\" is no size such as \"%s\" (units: "
			    "B, KiB, MiB, GiB)",
			    row->key, text, row->dflt);
			return false;
		}
		return load_in_range(
		    l, row, v->line, (int64_t)v->u.amount, false);
	case CONF_RANGE:
		if (!parse_range(text, v->u.range)) {
			load_complain(l, v->line,
			    "%s = \"%.48s\" is no range of durations such as "
			    "\"%s\"",
			    row->key, text, row->dflt);
			return false;
		}
		return load_in_range(
			   l, row, v->line, (int64_t)v->u.range[0], false) &&
		    load_in_range(
			l, row, v->line, (int64_t)v->u.range[1], false);
	default:
		return false;
	}
}

static bool
load_type_fits(
    const struct conf_row *row, const config_setting_t *s, bool shared)
{
	bool list = config_setting_is_array(s) || config_setting_is_list(s);
	bool text = s->type == CONFIG_TYPE_STRING;

	switch (row->type) {
	case CONF_STR:
		return text || (setting_is_int(s) && row->form == CONF_STATUS);
	case CONF_SECRET:
	case CONF_DURATION:
	case CONF_RANGE:
		return text;
	case CONF_SIZE:
		return text || setting_is_int(s);
	case CONF_INT:
		return setting_is_int(s);
	case CONF_BOOL:
		return s->type == CONFIG_TYPE_BOOL;
	case CONF_LIST:
		return list || text ||
		    (setting_is_int(s) && row->form == CONF_PORTS);
	case CONF_DURATIONS:
		return list || text;
	case CONF_GROUP:
	case CONF_UNREAD:
		return s->type == CONFIG_TYPE_GROUP ||
		    (shared && text && row->type == CONF_UNREAD);
	case CONF_GROUPS:
		return config_setting_is_list(s) ||
		    (config_setting_is_array(s) &&
			config_setting_length(s) == 0);
	}
	return false;
}

/* Reads one setting into v; false when there was a complaint. */
static bool
load_value(struct loader *l, const struct conf_row *row,
    const config_setting_t *s, struct conf_value *v)
{
	unsigned errors = l->errors;
	char number[24];
	struct json j;
	struct buf b;

	switch (row->type) {
	case CONF_INT:
		v->u.number = config_setting_get_int64(s);
		load_in_range(
		    l, row, v->line, v->u.number, s->type == CONFIG_TYPE_INT);
		if (row->choices != NULL && l->errors == errors) {
			snprintf(number, sizeof(number), "%lld",
			    (long long)v->u.number);
			load_choice(l, row, v->line, number);
		}
		break;
	case CONF_BOOL:
		v->u.number = config_setting_get_bool(s) != 0;
		break;
	case CONF_SIZE:
		if (!setting_is_int(s))
			return load_text(l, row, s->value.sval, v);
		v->u.amount = (uint64_t)config_setting_get_int64(s);
		load_in_range(l, row, v->line, (int64_t)v->u.amount,
		    s->type == CONFIG_TYPE_INT);
		break;
	case CONF_STR:
		if (setting_is_int(s)) {
			snprintf(number, sizeof(number), "%lld",
			    config_setting_get_int64(s));
			return load_text(l, row, number, v);
		}
		return load_text(l, row, s->value.sval, v);
	case CONF_SECRET:
	case CONF_DURATION:
	case CONF_RANGE:
		return load_text(l, row, s->value.sval, v);
	case CONF_LIST:
	case CONF_DURATIONS:
		/* What is good of it is kept, so that it can be freed. */
		load_list(l, row, s, v);
		return true;
	case CONF_GROUP:
		if (v->u.sub == NULL)
			v->u.sub = group_new(l, row->sub, s->line);
		load_group(l, v->u.sub, s);
		return true;
	case CONF_GROUPS:
		load_groups(l, row, s, v);
		return true;
	case CONF_UNREAD:
		if (s->type == CONFIG_TYPE_STRING) {
			v->u.str = xstrdup(s->value.sval); /* is JSON already */
			return true;
		}
		buf_init(&b);
		json_init(&j, &b);
		json_open_object(&j, NULL);
		for (int i = 0; i < config_setting_length(s); i++)
			setting_json(
			    config_setting_get_elem(s, (unsigned)i), &j);
		json_close_object(&j);
		v->u.str = xstrdup(buf_str(&b));
		buf_fini(&b);
		return true;
	}
	return l->errors == errors;
}

/* Where a key that does not belong here would be right. */
static const char *
load_other_place(
    const struct conf_group *g, const char *key, char *dst, size_t size)
{
	size_t i, n = 0;

	dst[0] = '\0';
	if (g->table != &conf_table_box && g->table->base != &conf_table_box)
		return dst;
	for (i = 0; conf_box_tables[i] != NULL && n < size; i++)
		if (conf_table_find(conf_box_tables[i], key, strlen(key)) >= 0)
			n += (size_t)snprintf(dst + n, size - n, "%s%s",
			    n == 0 ? "; boxes of these types have it: " : ", ",
			    conf_box_tables[i]->name);
	return dst;
}

static void
load_unknown_key(
    struct loader *l, const struct conf_group *g, const config_setting_t *s)
{
	char title[128], hint[128], all[256];
	size_t i, n = 0, len = conf_table_len(g->table);

	conf_title(g, title, sizeof(title));
	if (conf_suggest(s->name, next_key, g->table, hint, sizeof(hint))[0] ==
		'\0' &&
	    load_other_place(g, s->name, hint, sizeof(hint))[0] == '\0' &&
	    len <= 12) {
		n = (size_t)snprintf(all, sizeof(all), "; there are ");
		for (i = 0; i < len && n < sizeof(all); i++)
			n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s",
			    i == 0 ? "" : ", ",
			    conf_table_row(g->table, i)->key);
		load_complain(l, s->line, "unknown setting \"%.64s\" in %s%s",
		    s->name, title, all);
		return;
	}
	load_complain(l, s->line, "unknown setting \"%.64s\" in %s%s", s->name,
	    title, hint[0] != '\0' ? hint : "; see hopyard.cfg(5)");
}

static void
load_setting(struct loader *l, struct conf_group *g, const config_setting_t *s)
{
	int i = conf_table_find(g->table, s->name, strlen(s->name));
	const struct conf_row *row;
	struct conf_value *v;

	if (i < 0) {
		/* Of a type that nobody knows one complaint is enough. */
		if (g->table != &conf_table_box ||
		    g->value[conf_table_find(g->table, "exec", 4)].set ||
		    load_box_table(s->parent) != &conf_table_box)
			load_unknown_key(l, g, s);
		return;
	}
	row = conf_table_row(g->table, (size_t)i);
	v = &g->value[i];
	if (!load_type_fits(row, s, l->shared)) {
		load_wrong_type(l, row, s, s->line);
		return;
	}
	if (v->set && row->type != CONF_GROUP && row->type != CONF_GROUPS) {
		load_complain(l, s->line, "%s is set already at %s:%u",
		    row->key, l->conf->file[v->file].path, v->line);
		return;
	}
	if (g->table == &conf_table_root && l->file > 0 &&
	    strcmp(row->key, "include") == 0) {
		load_complain(
		    l, s->line, "include is only read in the main file");
		return;
	}
	v->file = l->file;
	v->line = s->line;
	v->set = load_value(l, row, s, v);
}

static void
load_group(struct loader *l, struct conf_group *g, const config_setting_t *s)
{
	int i, n = config_setting_length(s);
	const config_setting_t *e;

	/* The name first: complaints about the others say it. */
	for (i = 0; i < n; i++) {
		e = config_setting_get_elem(s, (unsigned)i);
		if (strcmp(e->name, conf_table_row(g->table, 0)->key) == 0 ||
		    (g->table->base != NULL && strcmp(e->name, "exec") == 0))
			load_setting(l, g, e);
	}
	for (i = 0; i < n; i++) {
		e = config_setting_get_elem(s, (unsigned)i);
		if (strcmp(e->name, conf_table_row(g->table, 0)->key) != 0 &&
		    (g->table->base == NULL || strcmp(e->name, "exec") != 0))
			load_setting(l, g, e);
	}
}

/* --------------------------------------------------------------- defaults */

/* A value from the text of the table, which is known to be good. */
static void
default_value(const struct conf_row *row, struct conf_value *v)
{
	const char *p = row->dflt;
	size_t n, cap = 0;

	if (p == NULL)
		return;
	switch (row->type) {
	case CONF_STR:
		v->u.str = xstrdup(p);
		break;
	case CONF_INT:
		v->u.number = strtoll(p, NULL, 10);
		break;
	case CONF_BOOL:
		v->u.number = strcmp(p, "true") == 0;
		break;
	case CONF_DURATION:
		if (!conf_parse_duration(p, &v->u.amount))
			fatal("conf.table", "key=%s default=%s", row->key, p);
		break;
	case CONF_SIZE:
		if (!conf_parse_size(p, &v->u.amount))
			fatal("conf.table", "key=%s default=%s", row->key, p);
		break;
	case CONF_RANGE:
		if (!parse_range(p, v->u.range))
			fatal("conf.table", "key=%s default=%s", row->key, p);
		break;
	case CONF_LIST:
	case CONF_DURATIONS:
		for (; *p != '\0'; p += n + (p[n] == ' ')) {
			char *word;

			n = strcspn(p, " ");
			word = xstrndup(p, n);
			if (v->u.list.len == cap) {
				cap = cap * 2 + 8;
				v->u.list.str = xrealloc(
				    v->u.list.str, cap * sizeof(char *));
				v->u.list.amount = xrealloc(
				    v->u.list.amount, cap * sizeof(uint64_t));
			}
			if (row->type == CONF_DURATIONS) {
				if (!conf_parse_duration(
					word, &v->u.list.amount[v->u.list.len]))
					fatal("conf.table", "key=%s", row->key);
				free(word);
				word = NULL;
			}
			v->u.list.str[v->u.list.len++] = word;
		}
		break;
	case CONF_SECRET:
	case CONF_GROUP:
	case CONF_GROUPS:
	case CONF_UNREAD:
		fatal(
		    "conf.table", "key=%s: no default for this type", row->key);
	}
}

static void
default_group(struct loader *l, const struct conf_table *t)
{
	struct conf *c = l->conf;
	struct conf_group *g;
	size_t i;

	for (i = 0; i < c->dflts; i++)
		if (c->dflt[i]->table == t)
			return;
	g = group_new(l, t, 0);
	for (i = 0; i < conf_table_len(t); i++)
		default_value(conf_table_row(t, i), &g->value[i]);
	c->dflt =
	    xrealloc(c->dflt, (c->dflts + 1) * sizeof(struct conf_group *));
	c->dflt[c->dflts++] = g;
}

/* Gives what is not set its default, and says what is missing. */
/* Where the settings of a box are another cell's, and not missed here. */
static bool
load_is_elsewhere(const struct conf_group *g, size_t i)
{
	int guest;

	if (g->table->base != &conf_table_box || i < g->table->base->count)
		return false;
	guest = conf_table_find(g->table, "guest", strlen("guest"));
	return g->value[guest].set && g->value[guest].u.number != 0;
}

static void
load_finish(struct loader *l, struct conf_group *g)
{
	size_t n = conf_table_len(g->table), i, k;
	const struct conf_row *row;
	struct conf_value *v;
	char title[128];

	default_group(l, g->table);
	l->file = g->file;
	for (i = 0; i < n; i++) {
		row = conf_table_row(g->table, i);
		v = &g->value[i];
		/* A line without `set`: it is there but wrong, said already. */
		if (row->required && !v->set && v->line == 0 && !l->shared &&
		    !load_is_elsewhere(g, i))
			load_complain(l, g->line, "%s has no %s",
			    conf_title(g, title, sizeof(title)), row->key);
		if (row->type == CONF_GROUP) {
			if (v->u.sub == NULL && row->always)
				v->u.sub = group_new(l, row->sub, g->line);
			if (v->u.sub != NULL)
				load_finish(l, v->u.sub);
			l->file = g->file;
		} else if (row->type == CONF_GROUPS) {
			for (k = 0; k < v->u.groups.len; k++)
				load_finish(l, v->u.groups.item[k]);
			l->file = g->file;
		}
	}
}

static void
value_fini(const struct conf_row *row, struct conf_value *v)
{
	size_t i;

	switch (row->type) {
	case CONF_STR:
	case CONF_UNREAD:
		free(v->u.str);
		break;
	case CONF_SECRET:
		if (v->u.secret.text != NULL)
			explicit_bzero(
			    v->u.secret.text, strlen(v->u.secret.text));
		free(v->u.secret.text);
		free(v->u.secret.spec);
		free(v->u.secret.why);
		break;
	case CONF_LIST:
	case CONF_DURATIONS:
		for (i = 0; v->u.list.str != NULL && i < v->u.list.len; i++)
			free(v->u.list.str[i]);
		free(v->u.list.str);
		free(v->u.list.amount);
		break;
	case CONF_INT:
	case CONF_BOOL:
	case CONF_DURATION:
	case CONF_SIZE:
	case CONF_RANGE:
	case CONF_GROUP:
	case CONF_GROUPS:
		break;
	}
}

static void
group_free(struct conf_group *g)
{
	const struct conf_row *row;
	struct conf_value *v;
	size_t i, k;

	if (g == NULL)
		return;
	for (i = 0; i < conf_table_len(g->table); i++) {
		row = conf_table_row(g->table, i);
		v = &g->value[i];
		if (row->type == CONF_GROUP) {
			group_free(v->u.sub);
		} else if (row->type == CONF_GROUPS) {
			for (k = 0; k < v->u.groups.len; k++)
				group_free(v->u.groups.item[k]);
			free(v->u.groups.item);
		} else {
			value_fini(row, v);
		}
	}
	free(g);
}

/* ------------------------------------------------------------------- files */

/* The whole file; on failure false with a complaint at `line` of the main. */
static bool
read_file(struct loader *l, const char *path, bool included, struct buf *text,
    bool *exposed)
{
	int flags = O_RDONLY | O_CLOEXEC | O_NOCTTY;
	struct stat st;
	ssize_t n;
	int fd;

	/* Only the main file may be a pipe, which has to be waited for. */
	fd = open(path, flags | (included ? O_NONBLOCK : 0));
	if (fd < 0 || fstat(fd, &st) < 0) {
		load_complain(l, 0, "cannot be read: %s%s", strerror(errno),
		    errno == ENOENT ? " (-c FILE names another configuration)"
				    : "");
		goto fail;
	}
	if (S_ISDIR(st.st_mode) || (included && !S_ISREG(st.st_mode))) {
		load_complain(l, 0, "is no file");
		goto fail;
	}
	*exposed = S_ISREG(st.st_mode) && (st.st_mode & S_IROTH) != 0;
	do {
		n = read(fd, buf_reserve(text, 65536), 65536);
		if (n > 0)
			buf_commit(text, (size_t)n);
	} while ((n > 0 || (n < 0 && errno == EINTR)) &&
	    buf_len(text) < CONF_MAX_SIZE);
	if (n < 0) {
		load_complain(l, 0, "cannot be read: %s", strerror(errno));
		goto fail;
	}
	if (buf_len(text) >= CONF_MAX_SIZE) {
		load_complain(l, 0, "is too big for a configuration");
		goto fail;
	}
	close(fd);
	return true;
fail:
	if (fd >= 0)
		close(fd);
	return false;
}

static bool
load_parsed(config_t *cfg, struct buf *text)
{
	/* libconfig 1.5 refuses a comment that ends the file without it. */
	buf_addc(text, '\n');
	return config_read_string(cfg, buf_str(text)) == CONFIG_TRUE;
}

static void
load_file(struct loader *l, const char *path, bool included)
{
	struct conf_file *f = &l->conf->file[l->conf->files];
	config_t cfg;
	struct buf text;

	l->file = (uint16_t)l->conf->files++;
	f->path = xstrdup(path);
	buf_init(&text);
	config_init(&cfg);
	if (!read_file(l, path, included, &text, &f->exposed)) {
		l->broken = true;
	} else if (!conf_scan(path, buf_str(&text), buf_len(&text), l->err)) {
		l->errors++;
		l->broken = true;
	} else if (!load_parsed(&cfg, &text)) {
		load_complain(l, (unsigned)config_error_line(&cfg), "%s",
		    config_error_text(&cfg));
		l->broken = true;
	} else {
		load_group(l, l->conf->root, config_root_setting(&cfg));
	}
	if (buf_len(&text) > 0)
		explicit_bzero(buf_data(&text), buf_len(&text));
	buf_fini(&text);
	config_destroy(&cfg);
}

static void
load_pattern(struct loader *l, const struct conf_value *at, const char *pattern)
{
	struct conf *c = l->conf;
	const char *slash = strrchr(c->file[0].path, '/');
	size_t i, k;
	char *full;
	glob_t g;
	int rc;

	if (pattern[0] == '/' || slash == NULL)
		full = xstrdup(pattern);
	else
		full = xasprintf("%.*s/%s", (int)(slash - c->file[0].path),
		    c->file[0].path, pattern);
	rc = glob(full, 0, NULL, &g);
	l->file = 0;
	if (rc == GLOB_NOMATCH && strpbrk(full, "*?[") == NULL)
		load_complain(
		    l, at->line, "include: there is no file %s", full);
	else if (rc != 0 && rc != GLOB_NOMATCH)
		load_complain(l, at->line, "include: cannot read %s", full);
	for (i = 0; rc == 0 && i < g.gl_pathc; i++) {
		/* Two patterns may well find the same file. */
		for (k = 0; k < c->files; k++)
			if (strcmp(c->file[k].path, g.gl_pathv[i]) == 0)
				break;
		if (k < c->files)
			continue;
		if (c->files == CONF_MAX_FILES) {
			l->file = 0;
			load_complain(l, at->line, "include: over %d files",
			    CONF_MAX_FILES);
			break;
		}
		load_file(l, g.gl_pathv[i], true);
	}
	if (rc == 0)
		globfree(&g);
	free(full);
}

/* ------------------------------------------------------------------- whole */

static uint64_t
conf_fnv(const struct buf *b)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	size_t i;

	for (i = 0; i < buf_len(b); i++)
		h = (h ^ buf_data(b)[i]) * UINT64_C(0x100000001b3);
	return h;
}

static void
conf_index(struct conf *c)
{
	size_t i;

	for (i = 0; i < conf_count(c, "boxes"); i++) {
		const struct conf_group *g = conf_item(c, "boxes", i);
		const char *name = conf_str(g, "name");

		if (name != NULL &&
		    map_get(&c->boxes, name, strlen(name)) == NULL)
			map_put(&c->boxes, name, strlen(name),
			    conf_value(c->root, "boxes", NULL)
				->u.groups.item[i]);
	}
}

static struct loader
loader_new(struct buf *err)
{
	struct loader l = { .err = err };

	l.conf = xcalloc(1, sizeof(*l.conf));
	map_init(&l.conf->boxes);
	l.conf->root = group_new(&l, &conf_table_root, 1);
	return l;
}

uint64_t
conf_shared_hash(const struct buf *text)
{
	return conf_fnv(text);
}

struct conf *
conf_load_shared(
    const char *from, const void *data, size_t len, struct buf *err)
{
	struct loader l = loader_new(err);
	config_t cfg;
	struct buf text;

	l.shared = true;
	l.conf->file[l.conf->files++].path = xstrdup(from);
	buf_init(&text);
	buf_add(&text, data, len);
	l.conf->hash = conf_fnv(&text);
	config_init(&cfg);
	if (!conf_scan(from, buf_str(&text), buf_len(&text), err))
		l.errors++;
	else if (!load_parsed(&cfg, &text))
		load_complain(&l, (unsigned)config_error_line(&cfg), "%s",
		    config_error_text(&cfg));
	else
		load_group(&l, l.conf->root, config_root_setting(&cfg));
	if (l.errors == 0)
		load_finish(&l, l.conf->root);
	if (l.errors == 0) {
		conf_index(l.conf);
	} else {
		conf_free(l.conf);
		l.conf = NULL;
	}
	if (buf_len(&text) > 0)
		explicit_bzero(buf_data(&text), buf_len(&text));
	buf_fini(&text);
	config_destroy(&cfg);
	return l.conf;
}

struct conf *
conf_load(const char *file, struct buf *err)
{
	const struct conf_value *include;
	struct loader l = loader_new(err);
	struct buf more, warnings;
	size_t i;

	load_file(&l, file, false);
	include = conf_value(l.conf->root, "include", NULL);
	for (i = 0; i < include->u.list.len; i++)
		load_pattern(&l, include, include->u.list.str[i]);
	/* After a syntax error everything would seem to be missing. */
	if (!l.broken)
		load_finish(&l, l.conf->root);
	buf_init(&more);
	buf_init(&warnings);
	if (l.errors == 0) {
		conf_index(l.conf);
		conf_check(l.conf, &more, &warnings);
		buf_add(err, buf_data(&more), buf_len(&more));
	}
	if (l.errors > 0 || buf_len(&more) > 0) {
		conf_free(l.conf);
		l.conf = NULL;
	} else {
		buf_add(err, buf_data(&warnings), buf_len(&warnings));
		buf_clear(&more);
		conf_print(l.conf, &more);
		l.conf->hash = conf_fnv(&more);
	}
	buf_fini(&more);
	buf_fini(&warnings);
	return l.conf;
}

void
conf_free(struct conf *c)
{
	size_t i;

	if (c == NULL)
		return;
	group_free(c->root);
	for (i = 0; i < c->dflts; i++)
		group_free(c->dflt[i]);
	free(c->dflt);
	for (i = 0; i < c->files; i++)
		free(c->file[i].path);
	map_fini(&c->boxes);
	free(c);
}

const char *
conf_file(const struct conf *c)
{
	return c->file[0].path;
}

uint64_t
conf_hash(const struct conf *c)
{
	return c->hash;
}

/* ----------------------------------------------------------------- getters */

const struct conf_value *
conf_default(const struct conf *c, const struct conf_table *t,
    const struct conf_row *row)
{
	size_t i;

	for (i = 0; i < c->dflts; i++)
		if (c->dflt[i]->table == t)
			return &c->dflt[i]->value[conf_table_find(
			    t, row->key, strlen(row->key))];
	return NULL;
}

/* The slot of a key in its own group, set or not. */
static const struct conf_value *
conf_slot(const struct conf_group **group, const char **key,
    const struct conf_row **row)
{
	const struct conf_group *g = *group;
	const char *dot = strchr(*key, '.');
	size_t n = dot != NULL ? (size_t)(dot - *key) : strlen(*key);
	int i = conf_table_find(g->table, *key, n);

	if (i < 0)
		fatal("conf.bug", "table=%s key=%s has no such row",
		    g->table->name, *key);
	*row = conf_table_row(g->table, (size_t)i);
	if (dot == NULL)
		return &g->value[i];
	if ((*row)->type != CONF_GROUP || g->value[i].u.sub == NULL)
		fatal("conf.bug", "table=%s key=%s is no group", g->table->name,
		    *key);
	*group = g->value[i].u.sub;
	*key = dot + 1;
	return conf_slot(group, key, row);
}

const struct conf_value *
conf_value(
    const struct conf_group *g, const char *key, const struct conf_row **found)
{
	const struct conf_value *v, *dflt;
	const struct conf_row *row;

	v = conf_slot(&g, &key, &row);
	if (found != NULL)
		*found = row;
	if (v->set)
		return v;
	if (row->like != NULL)
		return conf_value(g, row->like, NULL);
	if (row->dflt == NULL)
		return v;
	dflt = conf_default(g->conf, g->table, row);
	return dflt != NULL ? dflt : v;
}

static const struct conf_value *
conf_value_of(const struct conf_group *g, const char *key, enum conf_type type)
{
	const struct conf_row *row;
	const struct conf_value *v = conf_value(g, key, &row);

	if (row->type != type)
		fatal("conf.bug", "table=%s key=%s is a %s and not a %s",
		    g->table->name, key, conf_type_names[row->type],
		    conf_type_names[type]);
	return v;
}

const struct conf_group *
conf_root(const struct conf *c)
{
	return c->root;
}

const struct conf_group *
conf_section(const struct conf *c, const char *name)
{
	return conf_value_of(c->root, name, CONF_GROUP)->u.sub;
}

size_t
conf_count(const struct conf *c, const char *list)
{
	return conf_value_of(c->root, list, CONF_GROUPS)->u.groups.len;
}

const struct conf_group *
conf_item(const struct conf *c, const char *list, size_t index)
{
	const struct conf_value *v = conf_value_of(c->root, list, CONF_GROUPS);

	assert(index < v->u.groups.len);
	return v->u.groups.item[index];
}

size_t
conf_subs(const struct conf_group *g, const char *key)
{
	return conf_value_of(g, key, CONF_GROUPS)->u.groups.len;
}

const struct conf_group *
conf_sub_at(const struct conf_group *g, const char *key, size_t index)
{
	const struct conf_value *v = conf_value_of(g, key, CONF_GROUPS);

	assert(index < v->u.groups.len);
	return v->u.groups.item[index];
}

const struct conf_group *
conf_box(const struct conf *c, const char *name)
{
	return map_get(&c->boxes, name, strlen(name));
}

const char *
conf_str(const struct conf_group *g, const char *key)
{
	return conf_value_of(g, key, CONF_STR)->u.str;
}

const char *
conf_unread(const struct conf_group *g, const char *key)
{
	return conf_value_of(g, key, CONF_UNREAD)->u.str;
}

int64_t
conf_int(const struct conf_group *g, const char *key)
{
	return conf_value_of(g, key, CONF_INT)->u.number;
}

bool
conf_bool(const struct conf_group *g, const char *key)
{
	return conf_value_of(g, key, CONF_BOOL)->u.number != 0;
}

uint64_t
conf_duration(const struct conf_group *g, const char *key)
{
	return conf_value_of(g, key, CONF_DURATION)->u.amount;
}

uint64_t
conf_size(const struct conf_group *g, const char *key)
{
	return conf_value_of(g, key, CONF_SIZE)->u.amount;
}

size_t
conf_list_len(const struct conf_group *g, const char *key)
{
	const struct conf_row *row;
	const struct conf_value *v = conf_value(g, key, &row);

	if (row->type != CONF_DURATIONS)
		v = conf_value_of(g, key, CONF_LIST);
	return v->u.list.len;
}

const char *
conf_list_str(const struct conf_group *g, const char *key, size_t i)
{
	const struct conf_value *v = conf_value_of(g, key, CONF_LIST);

	assert(i < v->u.list.len);
	return v->u.list.str[i];
}

uint64_t
conf_list_duration(const struct conf_group *g, const char *key, size_t i)
{
	const struct conf_value *v = conf_value_of(g, key, CONF_DURATIONS);

	assert(i < v->u.list.len);
	return v->u.list.amount[i];
}

void
conf_range(const struct conf_group *g, const char *key, uint64_t *from_ms,
    uint64_t *to_ms)
{
	const struct conf_value *v = conf_value_of(g, key, CONF_RANGE);

	*from_ms = v->u.range[0];
	*to_ms = v->u.range[1];
}

const char *
conf_secret(const struct conf_group *g, const char *key)
{
	return conf_value_of(g, key, CONF_SECRET)->u.secret.text;
}

const struct conf_group *
conf_sub(const struct conf_group *g, const char *key)
{
	return conf_value_of(g, key, CONF_GROUP)->u.sub;
}

const char *
conf_bus(const struct conf *c)
{
	const struct conf_group *bus = conf_section(c, "bus");
	const char *connect = conf_str(bus, "connect");

	return connect[0] != '\0' ? connect : conf_str(bus, "socket");
}

bool
conf_has(const struct conf_group *g, const char *key)
{
	return conf_table_find(g->table, key, strlen(key)) >= 0;
}

bool
conf_is_set(const struct conf_group *g, const char *key)
{
	const struct conf_row *row;

	return conf_slot(&g, &key, &row)->set;
}

const char *
conf_where(const struct conf_group *g, const char *key)
{
	static char ring[8][256];
	static unsigned next;
	char *dst = ring[next++ % 8];
	const struct conf_value *v;
	const struct conf_row *row;
	unsigned line = g->line;
	uint16_t file = g->file;

	if (key != NULL) {
		v = conf_slot(&g, &key, &row);
		if (v->line > 0) {
			line = v->line;
			file = v->file;
		}
	}
	snprintf(dst, sizeof(ring[0]), "%s:%u", g->conf->file[file].path, line);
	return dst;
}
