/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/starter.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/xalloc.h"
#include "tools/hopyard/credentials.h"

#define SUM_LINE "# as written by hopyard, sum "
#define FILE_MAX (1 << 20)
#define COLUMN   44 /* comments behind a setting start here */

/* The file under construction. */
struct page {
	const struct starter *s;
	struct buf *out;
	const char *section; /* "log", "sim": first part of a --set path */
	unsigned depth;
	bool used[STARTER_SET];
	char seen[512]; /* " log bus store": all sections so far */
};

/* ------------------------------------------------------------------ pieces */

void
starter_quote(struct buf *out, const char *s)
{
	buf_addc(out, '"');
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			buf_addc(out, '\\');
		if (*s == '\n')
			buf_addstr(out, "\\n");
		else
			buf_addc(out, *s);
	}
	buf_addc(out, '"');
}

void
starter_dsn(struct buf *out, const char *sock_dir)
{
	buf_addstr(out, "host='");
	for (; *sock_dir != '\0'; sock_dir++) {
		if (*sock_dir == '\'' || *sock_dir == '\\')
			buf_addc(out, '\\');
		buf_addc(out, *sock_dir);
	}
	buf_addstr(out, "' user=hopyard dbname=postgres");
}

static void
indent(struct page *p)
{
	for (unsigned i = 0; i < p->depth; i++)
		buf_addc(p->out, '\t');
}

/* A value of --set: as it is where libconfig takes it so, else quoted. */
static void
add_set_value(struct page *p, const char *value)
{
	char *end;

	(void)strtod(value, &end);
	if (strchr("\"[({", value[0]) != NULL || strcmp(value, "true") == 0 ||
	    strcmp(value, "false") == 0 || (*end == '\0' && end != value))
		buf_addstr(p->out, value);
	else
		starter_quote(p->out, value);
}

/* The value that the command line sets for this key, or NULL. */
static const char *
find_set(struct page *p, const char *key)
{
	size_t n = strlen(p->section), k = strlen(key);
	const char *found = NULL;

	for (size_t i = 0; i < p->s->set_count; i++) {
		const char *s = p->s->set[i];

		if (strncmp(s, p->section, n) != 0 || s[n] != '.' ||
		    strncmp(s + n + 1, key, k) != 0 || s[n + 1 + k] != '=')
			continue;
		p->used[i] = true;
		found = s + n + k + 2; /* the last one counts */
	}
	return found;
}

/* "key = value;", value as it is, and perhaps a comment. */
static void
put_raw(struct page *p, const char *key, const char *value, const char *why)
{
	const char *set = find_set(p, key);
	size_t start = buf_len(p->out), width;

	indent(p);
	buf_printf(p->out, "%s = ", key);
	if (set != NULL)
		add_set_value(p, set);
	else
		buf_addstr(p->out, value);
	buf_addc(p->out, ';');
	if (why != NULL) {
		width = buf_len(p->out) - start + (size_t)p->depth * 7;
		do
			buf_addc(p->out, ' ');
		while (++width < COLUMN);
		buf_printf(p->out, "# %s", why);
	}
	buf_addc(p->out, '\n');
}

static void
put(struct page *p, const char *key, const char *value, const char *why)
{
	struct buf quoted;

	buf_init(&quoted);
	starter_quote(&quoted, value);
	put_raw(p, key, buf_str(&quoted), why);
	buf_fini(&quoted);
}

static void
comment(struct page *p, const char *text)
{
	indent(p);
	buf_printf(p->out, "# %s\n", text);
}

static void
open_section(struct page *p, const char *section, const char *head)
{
	size_t n = strlen(p->seen);

	p->section = section;
	snprintf(p->seen + n, sizeof(p->seen) - n, " %s", section);
	indent(p);
	buf_printf(p->out, "%s\n", head);
	p->depth++;
}

/* What the command line sets beyond what was written. */
static void
close_section(struct page *p, const char *tail)
{
	size_t n = strlen(p->section);
	char key[64];

	for (size_t i = 0; i < p->s->set_count; i++) {
		const char *s = p->s->set[i];

		if (p->used[i] || strncmp(s, p->section, n) != 0 || s[n] != '.')
			continue;
		s += n + 1;
		snprintf(key, sizeof(key), "%.*s", (int)strcspn(s, "="), s);
		put_raw(p, key, "", NULL);
	}
	p->depth--;
	indent(p);
	buf_printf(p->out, "%s\n", tail);
}

/* ------------------------------------------------------------------- boxes */

static void
open_box(struct page *p, const char *name, const char *type)
{
	open_section(p, name, "{");
	put(p, "name", name, NULL);
	put(p, "type", type, NULL);
}

static void
write_store(struct page *p)
{
	comment(p, "The only process that knows the database.");
	open_box(p, "store", "store");
	put(p, "dsn", p->s->dsn, NULL);
	close_section(p, "},");
}

static void
write_link(struct page *p, const struct credentials *c)
{
	const struct starter *s = p->s;
	char number[16];

	comment(p,
	    s->demo ? "A link: binds to the simulator, hopsim smsc."
		    : "A link: one carrier. Put in what yours has told you.");
	open_box(p, s->link, "smppc");
	put(p, "host", s->smsc, NULL);
	put(p, "system_id", s->system_id, NULL);
	put(p, "password", s->demo ? c->smsc_password : "secret",
	    s->demo ? NULL : "or \"file:/path\", \"env:NAME\"");
	if (s->window > 0) {
		snprintf(number, sizeof(number), "%u", s->window);
		put_raw(p, "window", number, "submit_sm without an answer");
	} else if (!s->demo) {
		put_raw(p, "window", "10", "submit_sm without an answer");
	}
	if (!s->demo) {
		put_raw(p, "sessions", "1", "binds at a time");
		put_raw(p, "tps", "0", "parts a second; 0: no limit");
	}
	close_section(p, "},");
}

static void
write_fronts(struct page *p, const struct credentials *c)
{
	comment(p, "Kannel's sendsms and the JSON API.");
	open_box(p, "http", "http");
	put(p, "listen", p->s->http, NULL);
	close_section(p, "},");
	if (p->s->smpps != NULL) {
		comment(p,
		    "Customers bind here by SMPP, where a password has at most "
		    "8 characters.");
		open_box(p, "smpp", "smpps");
		put(p, "listen", p->s->smpps, NULL);
		close_section(p, "},");
	}
	comment(p, "Health, metrics, admin API: a process of its own.");
	open_box(p, "admin", "admin");
	put(p, "listen", p->s->admin, NULL);
	put(p, "token", c->admin_token, NULL);
	close_section(p, "},");
}

static void
write_hook(struct page *p)
{
	comment(p, "Calls customers: delivery reports, incoming messages.");
	open_box(p, "hook", "hook");
	if (p->s->demo)
		put_raw(p, "allow", "[ \"127.0.0.0/8\", \"::1/128\" ]",
		    "private networks are refused else");
	close_section(p, p->s->with_count > 0 ? "}," : "}");
}

static void
write_with(struct page *p)
{
	for (size_t i = 0; i < p->s->with_count; i++) {
		const struct starter_with *w = &p->s->with[i];

		comment(p, "Given on the command line with --with.");
		open_box(p, w->name, w->type);
		put(p, "role", w->role, NULL);
		put(p, "exec", w->command, NULL);
		close_section(p, i + 1 < p->s->with_count ? "}," : "}");
	}
}

/* ------------------------------------------------------------- whole file */

static bool
write_account(struct page *p, const struct credentials *c)
{
	char hash[CREDENTIALS_HASH], sum[65], list[80];
	struct buf url;

	if (!credentials_crypt(c->password, hash))
		return false;
	credentials_sha256(c->api_key, sum);
	snprintf(list, sizeof(list), "[ \"%s\" ]", sum);
	buf_addstr(p->out,
	    "\n# Customers. hopyard has only hashes of their "
	    "passwords and keys.\naccounts = (\n");
	p->depth = 1;
	open_section(p, "account", "{");
	put(p, "id", c->username, NULL);
	put(p, "username", c->username, NULL);
	put(p, "password", hash, NULL);
	put_raw(p, "api_keys", list, NULL);
	put(p, "default_from", "hopyard", "sender, when none is given");
	if (p->s->sink != NULL) {
		comment(p,
		    "Where reports go when a request names no URL: "
		    "hopsim sink, which says OK to all.");
		buf_init(&url);
		buf_printf(&url,
		    "http://%s/dlr?status=%%d&id=%%F&to=%%p&smsc=%%i",
		    p->s->sink);
		put(p, "dlr_url", buf_str(&url), NULL);
		buf_fini(&url);
		open_section(p, "webhook", "webhook = {");
		buf_init(&url);
		buf_printf(&url, "http://%s/webhook", p->s->sink);
		put(p, "url", buf_str(&url), NULL);
		buf_fini(&url);
		put(p, "secret", c->webhook_secret, NULL);
		close_section(p, "};");
		p->section = "account";
	}
	close_section(p, "}");
	buf_addstr(p->out, ");\n");
	return true;
}

static void
write_routes(struct page *p)
{
	char via[96], to[32];

	buf_addstr(p->out,
	    "\n# Where messages go: the first route that matches, its links in "
	    "order.\nroutes = (\n");
	p->depth = 1;
	for (size_t i = 0; i < p->s->with_count; i++) {
		if (strcmp(p->s->with[i].role, "connector") != 0)
			continue;
		snprintf(via, sizeof(via), "[ \"%s\" ]", p->s->with[i].name);
		snprintf(to, sizeof(to), "[ \"%zu*\" ]", 999 - i);
		open_section(p, "route-with", "{");
		put(p, "name", p->s->with[i].name, NULL);
		put_raw(p, "to", to, NULL);
		put_raw(p, "via", via, NULL);
		close_section(p, "},");
	}
	open_section(p, "route", "{");
	put(p, "name", "default", NULL);
	snprintf(via, sizeof(via), "[ \"%s\" ]", p->s->link);
	put_raw(p, "via", via, NULL);
	close_section(p, "}");
	buf_addstr(p->out, ");\n");
}

static void
write_filters(struct page *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->s->with_count; i++) {
		const struct starter_with *w = &p->s->with[i];

		if (strcmp(w->role, "filter") != 0)
			continue;
		if (n++ == 0) {
			buf_addstr(p->out,
			    "\n# Who has a word on messages before they are "
			    "accepted.\nfilters = (\n");
			p->depth = 1;
		} else {
			buf_addstr(p->out, "  ,\n");
		}
		open_section(p, "filter-with", "{");
		put(p, "name", w->name, NULL);
		put(p, "box", w->name, NULL);
		close_section(p, "}");
	}
	if (n > 0)
		buf_addstr(p->out, ");\n");
}

static void
write_inbound(struct page *p, const struct credentials *c)
{
	if (p->s->sink == NULL)
		return;
	buf_addstr(p->out,
	    "\n# Messages from handsets: to the webhook of the "
	    "account.\ninbound = (\n");
	p->depth = 1;
	open_section(p, "inbound", "{");
	put(p, "name", "all", NULL);
	put(p, "account", c->username, NULL);
	put_raw(p, "webhook", "true", NULL);
	close_section(p, "}");
	buf_addstr(p->out, ");\n");
}

static uint64_t
sum_of(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t h = UINT64_C(14695981039346656037);

	for (; len > 0; p++, len--)
		h = (h ^ *p) * UINT64_C(1099511628211);
	return h;
}

static void
write_title(struct page *p)
{
	const char *s = p->s->title;

	while (*s != '\0') {
		size_t n = strcspn(s, "\n");

		buf_printf(p->out, "#%s%.*s\n", n > 0 ? " " : "", (int)n, s);
		s += n + (s[n] == '\n');
	}
	buf_addc(p->out, '\n');
}

static void
write_head(struct page *p)
{
	const struct starter *s = p->s;
	struct buf path;

	write_title(p);
	p->section = "node";
	put(p, "node", s->node, NULL);
	buf_addc(p->out, '\n');
	open_section(p, "log", "log = {");
	put(p, "level", s->log_level != NULL ? s->log_level : "info",
	    "error, warn, info or debug");
	put(p, "format", "text", "or json");
	put_raw(p, "messages", s->quiet ? "false" : "true",
	    "a line per message and step");
	close_section(p, "};");
	buf_addstr(p->out,
	    "\n# The bus: sockets for boxes, and for hopctl and "
	    "the admin box.\n");
	open_section(p, "bus", "bus = {");
	buf_init(&path);
	buf_printf(&path, "%s/bus.sock", s->run);
	put(p, "socket", buf_str(&path), NULL);
	buf_clear(&path);
	buf_printf(&path, "%s/ctl.sock", s->run);
	put(p, "control", buf_str(&path), NULL);
	buf_fini(&path);
	close_section(p, "};");
}

static bool
all_used(struct page *p, char *err, size_t len)
{
	for (size_t i = 0; i < p->s->set_count; i++) {
		const char *s = p->s->set[i];

		if (p->used[i])
			continue;
		if (strchr(s, '=') == NULL || strchr(s, '.') == NULL ||
		    strchr(s, '.') > strchr(s, '='))
			snprintf(err, len,
			    "--set %s: write SECTION.KEY=VALUE, such as "
			    "%s.window=100",
			    s, p->s->link);
		else
			snprintf(err, len,
			    "--set %s: there is no section \"%.*s\"; there "
			    "are%s",
			    s, (int)strcspn(s, "."), s, p->seen);
		return false;
	}
	return true;
}

bool
starter_write(const struct starter *s, const struct credentials *c,
    struct buf *out, char *err, size_t len)
{
	struct page p = { .s = s, .out = out };
	uint64_t sum;

	write_head(&p);
	buf_addstr(out, "\n# The processes around the bus.\nboxes = (\n");
	p.depth = 1;
	write_store(&p);
	write_link(&p, c);
	write_fronts(&p, c);
	write_hook(&p);
	write_with(&p);
	buf_addstr(out, ");\n");
	if (!write_account(&p, c)) {
		snprintf(err, len, "the password cannot be hashed: %s",
		    strerror(errno));
		return false;
	}
	write_filters(&p);
	write_routes(&p);
	write_inbound(&p, c);
	if (!all_used(&p, err, len))
		return false;
	sum = sum_of(buf_data(out), buf_len(out));
	buf_printf(out, "\n" SUM_LINE "%016" PRIx64 "\n", sum);
	return true;
}

enum starter_file
starter_look(const char *path)
{
	enum starter_file found = STARTER_EDITED;
	char *text = xmalloc(FILE_MAX), *line = NULL, *at;
	size_t n = 0;
	FILE *f = fopen(path, "re");

	if (f == NULL) {
		free(text);
		return errno == ENOENT ? STARTER_NONE : STARTER_EDITED;
	}
	n = fread(text, 1, FILE_MAX - 1, f);
	fclose(f);
	text[n] = '\0';
	for (at = text; (at = strstr(at, "\n" SUM_LINE)) != NULL; at++)
		line = at;
	if (line != NULL &&
	    strtoull(line + strlen("\n" SUM_LINE), NULL, 16) ==
		sum_of(text, (size_t)(line - text)) &&
	    strchr(line + 1, '\n') == text + n - 1)
		found = STARTER_OURS;
	free(text);
	return found;
}

bool
starter_save(const char *path, struct buf *text, char *err, size_t len)
{
	char *tmp = xasprintf("%s.new", path);
	bool ok = false;
	int fd;

	(void)unlink(tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		ok = write(fd, buf_data(text), buf_len(text)) ==
			(ssize_t)buf_len(text) &&
		    fsync(fd) == 0;
	if (fd >= 0 && close(fd) != 0)
		ok = false;
	if (!ok || rename(tmp, path) != 0) {
		snprintf(
		    err, len, "cannot write %s: %s", path, strerror(errno));
		(void)unlink(tmp);
		ok = false;
	}
	free(tmp);
	return ok;
}

/* ---------------------------------------------------------------- --with */

static const char name_letters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";

/* "python3 test/boxes/echo_connector.py -x" is "echo_connector". */
static void
name_of_command(const char *command, char *dst, size_t size)
{
	const char *word = command, *best = command, *dot;
	size_t n = strcspn(command, " ");

	/* The last word before the options, which is the script. */
	while (*word != '\0' && *word != '-') {
		best = word;
		n = strcspn(word, " ");
		word += n + strspn(word + n, " ");
	}
	for (size_t i = n; i > 0; i--)
		if (best[i - 1] == '/') {
			best += i;
			n -= i;
			break;
		}
	dot = memchr(best, '.', n);
	if (dot != NULL && dot != best)
		n = (size_t)(dot - best);
	if (n >= size)
		n = size - 1;
	memcpy(dst, best, n);
	dst[n] = '\0';
	for (char *p = dst; *p != '\0'; p++)
		if (strchr(name_letters, *p) == NULL)
			*p = '_';
	if (dst[0] == '\0' || dst[0] == '.' || dst[0] == '-')
		snprintf(dst, size, "with");
}

bool
starter_parse_with(
    struct starter_with *w, const char *text, char *err, size_t len)
{
	static const char *const roles[] = { "connector", "front", "hook",
		"filter" };
	const char *equals = strchr(text, '=');
	char head[160], *role, *type;

	memset(w, 0, sizeof(*w));
	w->role = roles[0];
	w->command = text;
	if (equals != NULL && equals > text &&
	    (size_t)(equals - text) < sizeof(head) &&
	    strcspn(text, " ") > (size_t)(equals - text)) {
		snprintf(
		    head, sizeof(head), "%.*s", (int)(equals - text), text);
		w->command = equals + 1;
		role = strchr(head, ':');
		if (role != NULL) {
			*role++ = '\0';
			w->role = NULL;
			for (size_t i = 0; i < ARRAY_LEN(roles); i++)
				if (strcmp(role, roles[i]) == 0)
					w->role = roles[i];
		}
		type = strchr(head, '/');
		if (type != NULL)
			*type++ = '\0';
		snprintf(w->name, sizeof(w->name), "%.63s", head);
		snprintf(w->type, sizeof(w->type), "%.63s",
		    type != NULL ? type : head);
	} else {
		name_of_command(text, w->name, sizeof(w->name));
		snprintf(w->type, sizeof(w->type), "%s", w->name);
	}
	if (w->role != NULL && w->command[strspn(w->command, " ")] != '\0')
		return true;
	snprintf(err, len,
	    "--with %s: write [NAME[/TYPE][:ROLE]=]COMMAND, where ROLE is "
	    "connector, front, hook or filter",
	    text);
	return false;
}
