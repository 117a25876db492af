/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/new_box.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/conf_schema.h"
#include "tools/hopyard/template.h"

#define NAME_MAX_LEN 31 /* of a type, in the Hello */

static const char usage[] =
    "usage: hopyard new-box NAME [--type TYPE]\n\n"
    "  NAME          of the box, its type and its folder\n"
    "  --type TYPE   connector (to a carrier), front (for customers) or\n"
    "                filter (has a word on each message); connector\n\n"
    "Makes the folder NAME with a box that works: main.c, Makefile, README, "
    "and a\n"
    "test that runs it in a suite of its own. hopyard-box(3) has the library.\n";

static const char name_letters[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

/* NULL, or what is wrong with it. */
static const char *
new_box_check_name(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > NAME_MAX_LEN || strspn(name, name_letters) != n ||
	    strchr("0123456789_-", name[0]) != NULL)
		return "it has letters, digits, \"-\" and \"_\", 31 at most, "
		       "and begins with a letter";
	if (conf_table_of_type(name) != NULL || strcmp(name, "bus") == 0 ||
	    strcmp(name, "ctl") == 0)
		return "the suite has a box of this type";
	return NULL;
}

static const struct template *
new_box_template(const char *type)
{
	for (size_t i = 0; i < template_count; i++)
		if (strcmp(templates[i].type, type) == 0)
			return &templates[i];
	return NULL;
}

/* The text of a file with our name in place of its own. */
static void
new_box_fill(struct buf *out, const struct template_file *f, const char *named,
    const char *name)
{
	size_t n = strlen(named);
	const char *p = f->text, *at;

	while ((at = memmem(p, (size_t)(f->end - p), named, n)) != NULL) {
		buf_add(out, p, (size_t)(at - p));
		buf_addstr(out, name);
		p = at + n;
	}
	buf_add(out, p, (size_t)(f->end - p));
}

static bool
new_box_write(int dir, const char *file, const struct buf *text)
{
	int fd =
	    openat(dir, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	bool ok = fd >= 0 &&
	    write(fd, buf_data(text), buf_len(text)) == (ssize_t)buf_len(text);

	if (fd >= 0 && close(fd) != 0)
		ok = false;
	return ok;
}

static int
new_box_make(const struct template *t, const char *name)
{
	struct buf text;
	bool ok = true;
	size_t i;
	int dir;

	dir = mkdir(name, 0777) == 0
	    ? open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
	    : -1;
	if (dir < 0 && errno == EEXIST) {
		(void)fprintf(stderr,
		    "hopyard: %s is there already, and stays as it is\n", name);
		return 1;
	}
	if (dir < 0) {
		(void)fprintf(stderr,
		    "hopyard: cannot make the folder %s: %s\n", name,
		    strerror(errno));
		return 1;
	}
	for (i = 0; i < t->count && ok; i++) {
		buf_init(&text);
		new_box_fill(&text, &t->files[i], t->named, name);
		ok = new_box_write(dir, t->files[i].name, &text);
		if (!ok)
			(void)fprintf(stderr,
			    "hopyard: cannot write %s/%s: %s\n", name,
			    t->files[i].name, strerror(errno));
		buf_fini(&text);
	}
	(void)close(dir);
	if (!ok)
		return 1;
	(void)printf("Written: a %s in %s, with a test.\n\n"
		     "Next:\n"
		     "  cd %s && make check\n"
		     "  man hopyard-box\n",
	    t->type, name, name);
	return 0;
}

int
new_box_main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "type", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *type = "connector", *wrong;
	const struct template *t;
	int c;

	while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
		if (c == 't') {
			type = optarg;
			continue;
		}
		(void)fputs(usage, c == 'h' ? stdout : stderr);
		return c == 'h' ? 0 : 2;
	}
	if (optind + 1 != argc) {
		(void)fputs(usage, stderr);
		return 2;
	}
	wrong = new_box_check_name(argv[optind]);
	if (wrong != NULL) {
		(void)fprintf(stderr,
		    "hopyard: \"%s\" is no name for a new box: %s\n",
		    argv[optind], wrong);
		return 2;
	}
	t = new_box_template(type);
	if (t == NULL) {
		(void)fprintf(stderr,
		    "hopyard: --type is connector, front or filter, not \"%s\"\n",
		    type);
		return 2;
	}
	return new_box_make(t, argv[optind]);
}
