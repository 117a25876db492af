/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopctl/config.h"

#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/conf.h"
#include "tools/hopctl/bus.h"
#include "tools/hopctl/table.h"

/* The file that is meant: an argument, -c, or a usual place. */
static const char *
config_file(const struct request *r)
{
	const char *file = r->args > 0 ? r->arg[0] : bus_config_path(r);

	if (file == NULL)
		complain("there is no ./hopyard-data/hopyard.cfg and no "
			 "/etc/hopyard/hopyard.cfg: say -c FILE");
	return file;
}

/* NULL after the complaints. */
static struct conf *
load(const char *file)
{
	struct conf *c;
	struct buf err;

	buf_init(&err);
	c = conf_load(file, &err);
	complain_lines(&err);
	buf_fini(&err);
	return c;
}

/* {"file": .., "ok": .., "complaints": [..]} for programs. */
static void
print_verdict(
    const struct request *r, const char *file, bool ok, const struct buf *lines)
{
	json_t *list = json_array(), *o;
	const char *p = (const char *)buf_data(lines);
	const char *end = p + buf_len(lines), *nl;

	while (p < end) {
		nl = memchr(p, '\n', (size_t)(end - p));
		if (nl == NULL)
			nl = end;
		json_array_append_new(list, json_stringn(p, (size_t)(nl - p)));
		p = nl + 1;
	}
	o = json_pack(
	    "{s:s, s:b, s:o}", "file", file, "ok", ok, "complaints", list);
	(void)table_print_raw(r, o);
	json_decref(o);
}

int
config_check(struct request *r)
{
	const char *file = config_file(r);
	struct conf *c;
	struct buf err;
	bool ok, secrets = true;

	if (file == NULL)
		return EXIT_FAILED;
	buf_init(&err);
	c = conf_load(file, &err);
	ok = c != NULL;
	/* What we cannot read the box may be able to: only a warning. */
	if (c != NULL) {
		secrets = conf_check_secrets(c, NULL, &err);
		for (size_t i = 0; i < conf_count(c, "boxes"); i++)
			secrets &= conf_check_secrets(
			    c, conf_item(c, "boxes", i), &err);
	}
	if (r->output != OUTPUT_TABLE) {
		print_verdict(r, file, ok, &err);
	} else {
		complain_lines(&err);
		if (ok && !request_has(r, OPTION_QUIET))
			(void)printf("%s: ok: %zu boxes, %zu accounts, %zu "
				     "routes, %zu inbound rules%s\n",
			    file, conf_count(c, "boxes"),
			    conf_count(c, "accounts"), conf_count(c, "routes"),
			    conf_count(c, "inbound"),
			    secrets ? "" : "; secrets cannot all be read");
	}
	buf_fini(&err);
	if (c != NULL)
		conf_free(c);
	return ok ? EXIT_OK : EXIT_FAILED;
}

static int
show_running(struct request *r)
{
	json_t *args = json_object(), *answer;
	struct bus *bus;
	int rc;

	if (request_has(r, OPTION_CHANGED))
		json_object_set_new(args, "changed", json_true());
	rc = bus_open(r, &bus);
	if (rc != EXIT_OK) {
		json_decref(args);
		return rc;
	}
	rc = bus_ask(bus, "bus", "config.show", args, &answer);
	if (rc == EXIT_OK) {
		if (!table_print_raw(r, answer))
			(void)fputs(
			    json_string_value(json_object_get(answer, "text")),
			    stdout);
		json_decref(answer);
	}
	bus_close(bus);
	return rc;
}

int
config_show(struct request *r)
{
	struct conf *c;
	struct buf out;
	const char *file;
	json_t *o;

	if (request_has(r, OPTION_RUNNING))
		return show_running(r);
	file = config_file(r);
	if (file == NULL || (c = load(file)) == NULL)
		return EXIT_FAILED;
	buf_init(&out);
	conf_show(c, request_has(r, OPTION_CHANGED), &out);
	o = json_pack("{s:s, s:s}", "file", file, "text", buf_str(&out));
	if (!table_print_raw(r, o))
		print_buf(&out);
	json_decref(o);
	buf_fini(&out);
	conf_free(c);
	return EXIT_OK;
}

int
config_default(struct request *r)
{
	struct buf out;

	(void)r;
	buf_init(&out);
	conf_show_default(&out);
	print_buf(&out);
	buf_fini(&out);
	return EXIT_OK;
}

int
config_doc(struct request *r)
{
	struct buf out;
	bool found = true;

	buf_init(&out);
	for (int i = 0; i < r->args; i++) {
		buf_clear(&out);
		if (conf_doc(r->arg[i], &out)) {
			print_buf(&out);
			continue;
		}
		complain("no setting \"%s\"; \"hopctl config default\" lists "
			 "them, and a path looks like boxes.smppc.window",
		    r->arg[i]);
		found = false;
	}
	buf_fini(&out);
	return found ? EXIT_OK : EXIT_NOT_FOUND;
}

static int
diff_files(struct request *r)
{
	struct conf *a = load(r->arg[0]), *b = load(r->arg[1]);
	struct buf out;

	if (a != NULL && b != NULL) {
		buf_init(&out);
		conf_diff(a, b, &out);
		print_buf(&out);
		buf_fini(&out);
	}
	if (a != NULL)
		conf_free(a);
	if (b != NULL)
		conf_free(b);
	return a != NULL && b != NULL ? EXIT_OK : EXIT_FAILED;
}

int
config_diff(struct request *r)
{
	json_t *answer;
	const char *diff;
	struct bus *bus;
	int rc;

	if (r->args == 1) {
		complain("diff compares two files, or without any the running "
			 "configuration with its file");
		return EXIT_USAGE;
	}
	if (r->args == 2)
		return diff_files(r);
	rc = bus_open(r, &bus);
	if (rc != EXIT_OK)
		return rc;
	rc = bus_ask(bus, "bus", "config.diff", NULL, &answer);
	if (rc == EXIT_OK) {
		diff = json_string_value(json_object_get(answer, "diff"));
		if (!table_print_raw(r, answer))
			(void)fputs(diff != NULL && *diff != '\0'
				? diff
				: "The file says what is running.\n",
			    stdout);
		json_decref(answer);
	}
	bus_close(bus);
	return rc;
}
