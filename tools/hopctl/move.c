/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopctl/move.h"

#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/conf.h"
#include "common/xalloc.h"
#include "tools/hopctl/bus.h"
#include "tools/hopctl/table.h"

/* The file with the account, and what was in it. */
struct move {
	const char *account, *cell;
	char *file;    /* owned */
	unsigned line; /* of the account's id */
	struct buf before, after;
};

/* ------------------------------------------------------------------- the file */

static bool
move_read(const char *file, struct buf *out)
{
	FILE *f = fopen(file, "re");
	size_t n;

	if (f == NULL)
		return false;
	do {
		n = fread(buf_reserve(out, 65536), 1, 65536, f);
		buf_commit(out, n);
	} while (n > 0);
	n = (size_t)ferror(f);
	(void)fclose(f);
	return n == 0;
}

/* The file is never half of something: a new one takes its place. */
static bool
move_write(const char *file, const struct buf *text)
{
	char *path = realpath(file, NULL), *fresh;
	struct stat st;
	bool good = false;
	int fd;

	if (path == NULL)
		return false;
	fresh = xasprintf("%s.new", path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0) {
		good = stat(path, &st) == 0 &&
		    (fchown(fd, st.st_uid, st.st_gid) == 0 || errno == EPERM) &&
		    fchmod(fd, st.st_mode & 07777) == 0 &&
		    write(fd, buf_data(text), buf_len(text)) ==
			(ssize_t)buf_len(text) &&
		    fsync(fd) == 0;
		good = close(fd) == 0 && good;
		good = good && rename(fresh, path) == 0;
		if (!good)
			(void)unlink(fresh);
	}
	free(fresh);
	free(path);
	return good;
}

/* Where `id = "NAME"` begins in this line, or NULL. */
static const char *
move_find_id(const char *p, const char *end, const char *account)
{
	const char *start = p, *at;
	size_t n = strlen(account);

	for (; p + 2 < end; p++) {
		if (strncmp(p, "id", 2) != 0 ||
		    (p > start &&
			(isalnum((unsigned char)p[-1]) || p[-1] == '_')))
			continue;
		for (at = p + 2; at < end && strchr(" \t=:", *at) != NULL; at++)
			;
		if (at > p + 2 && (size_t)(end - at) >= n + 2 && *at == '"' &&
		    strncmp(at + 1, account, n) == 0 && at[n + 1] == '"')
			return p;
	}
	return NULL;
}

/* The same text with the setting before the account's id. */
static bool
move_edit(struct move *m)
{
	const char *p = buf_str(&m->before), *nl, *id;
	unsigned line;

	for (line = 1; line < m->line; line++) {
		nl = strchr(p, '\n');
		if (nl == NULL)
			return false;
		p = nl + 1;
	}
	id = move_find_id(p, strchrnul(p, '\n'), m->account);
	if (id == NULL)
		return false;
	buf_add(&m->after, buf_data(&m->before),
	    (size_t)(id - buf_str(&m->before)));
	buf_printf(&m->after, "moved = \"%s\"; ", m->cell);
	buf_addstr(&m->after, id);
	return true;
}

/* ------------------------------------------------------------------ the account */

static const struct conf_group *
move_find(
    const struct conf *c, const char *list, const char *key, const char *name)
{
	size_t i;

	for (i = 0; i < conf_count(c, list); i++)
		if (strcmp(conf_str(conf_item(c, list, i), key), name) == 0)
			return conf_item(c, list, i);
	return NULL;
}

/* May it go there?  Where its id is, if so. */
static int
move_check(struct move *m, const struct conf *c)
{
	const struct conf_group *g = move_find(c, "accounts", "id", m->account);
	const char *where, *colon;

	if (g == NULL) {
		complain(
		    "%s: there is no account \"%s\"", conf_file(c), m->account);
		return EXIT_NOT_FOUND;
	}
	if (move_find(c, "cells", "name", m->cell) == NULL) {
		complain("%s: cells has no \"%s\"", conf_file(c), m->cell);
		return EXIT_NOT_FOUND;
	}
	if (conf_str(g, "moved") != NULL) {
		complain("%s: account \"%s\" has moved to \"%s\" already",
		    conf_where(g, "moved"), m->account, conf_str(g, "moved"));
		return EXIT_FAILED;
	}
	where = conf_where(g, "id");
	colon = strrchr(where, ':');
	m->file = xstrndup(where, (size_t)(colon - where));
	m->line = (unsigned)strtoul(colon + 1, NULL, 10);
	return EXIT_OK;
}

static int
move_reload(const struct request *r, struct bus *bus, const struct move *m)
{
	json_t *answer;
	int rc = bus_ask(bus, "bus", "reload", NULL, &answer);

	if (rc == EXIT_OK) {
		if (!table_print_raw(r, answer) &&
		    !request_has(r, OPTION_QUIET))
			(void)printf("%s is in cell %s now\n%s:%u has it\n",
			    m->account, m->cell, m->file, m->line);
		json_decref(answer);
		return rc;
	}
	/* Refused: as if nothing had been. */
	if (!move_write(m->file, &m->before))
		complain("%s: cannot be written back: %s; take moved = \"%s\" "
			 "out of account \"%s\"",
		    m->file, strerror(errno), m->cell, m->account);
	return rc;
}

static int
move_go(const struct request *r, struct bus *bus, struct move *m)
{
	if (!move_read(m->file, &m->before)) {
		complain("%s: %s", m->file, strerror(errno));
		return EXIT_FAILED;
	}
	if (!move_edit(m)) {
		complain("%s:%u: cannot be changed here: write moved = \"%s\"; "
			 "into account \"%s\" and reload the bus",
		    m->file, m->line, m->cell, m->account);
		return EXIT_FAILED;
	}
	if (!move_write(m->file, &m->after)) {
		complain("%s: cannot be written: %s", m->file, strerror(errno));
		return EXIT_FAILED;
	}
	return move_reload(r, bus, m);
}

int
accounts_move(struct request *r)
{
	struct move m = { .account = r->arg[0], .cell = r->arg[1] };
	const char *file = bus_config_path(r);
	struct conf *c = NULL;
	struct bus *bus;
	struct buf err;
	int rc;

	if (file == NULL) {
		complain("which configuration?  say -c FILE");
		return EXIT_FAILED;
	}
	/* The bus first: without it nothing is changed. */
	rc = bus_open(r, &bus);
	if (rc != EXIT_OK)
		return rc;
	buf_init(&err);
	buf_init(&m.before);
	buf_init(&m.after);
	c = conf_load(file, &err);
	complain_lines(&err);
	rc = c == NULL ? EXIT_FAILED : move_check(&m, c);
	if (rc == EXIT_OK)
		rc = move_go(r, bus, &m);
	conf_free(c);
	free(m.file);
	buf_fini(&m.before);
	buf_fini(&m.after);
	buf_fini(&err);
	bus_close(bus);
	return rc;
}
