/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopctl/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/clock.h"
#include "tools/hopctl/bus.h"
#include "tools/hopctl/story.h"
#include "tools/hopctl/table.h"

#define SEND_WAIT_MS 60000
#define SEND_LOOK_MS 150
#define TEXT_MAX     65536

static const char *
word(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* Options as members of the call's arguments. */
struct mapping {
	enum option option;
	const char *key;
};

static json_t *
arguments(const struct request *r, const struct mapping *map, size_t n)
{
	json_t *args = json_object();

	for (size_t i = 0; i < n; i++) {
		const char *v = r->value[map[i].option];

		if (v != NULL && *v == '\0')
			json_object_set_new(args, map[i].key, json_true());
		else if (v != NULL)
			json_object_set_new(args, map[i].key, json_string(v));
	}
	return args;
}

/* --limit as a number; false after a complaint. */
static bool
set_limit(const struct request *r, json_t *args)
{
	const char *v = r->value[OPTION_LIMIT];
	char *end;
	long n;

	if (v == NULL)
		return true;
	n = strtol(v, &end, 10);
	if (end == v || *end != '\0' || n < 1 || n > 1000) {
		complain("--limit \"%s\" is not a number from 1 to 1000", v);
		return false;
	}
	json_object_set_new(args, "limit", json_integer(n));
	return true;
}

/* ---------------------------------------------------------------- searching */

static const struct column find_columns[] = {
	{ "ACCEPTED", "accepted_at", put_time, false, false },
	{ "ID", "id", NULL, false, false },
	{ "STATUS", "status", NULL, false, true },
	{ "TO", "to", NULL, false, false },
	{ "FROM", "from", NULL, false, false },
	{ "ACCOUNT", "account", NULL, false, false },
	{ "CLASS", "class", NULL, false, false },
	{ "PARTS", "parts", NULL, true, false },
	{ "REFERENCE", "client_ref", NULL, false, false },
};

static const struct column text_column = { "TEXT", "text", NULL, false, false };

static void
print_found(const struct request *r, const json_t *answer)
{
	struct column col[ARRAY_LEN(find_columns) + 1];
	size_t n = ARRAY_LEN(find_columns);

	/* JSON tells where to go on; the other two are rows alone. */
	if (r->output == OUTPUT_JSON) {
		(void)table_print_raw(r, answer);
		return;
	}
	memcpy(col, find_columns, sizeof(find_columns));
	if (request_has(r, OPTION_TEXT))
		col[n++] = text_column;
	table_print(
	    r, json_object_get(answer, "messages"), col, n, "Nothing found.");
	if (r->output != OUTPUT_TABLE || request_has(r, OPTION_QUIET))
		return;
	(void)fflush(stdout);
	if (word(answer, "next")[0] != '\0')
		(void)fprintf(stderr, "There are more: --cursor %s\n",
		    word(answer, "next"));
	else if (json_array_size(json_object_get(answer, "messages")) == 0 &&
	    !request_has(r, OPTION_SINCE))
		(void)fprintf(stderr,
		    "Looked back to %s; --since goes "
		    "further.\n",
		    word(answer, "since"));
}

int
message_find(struct request *r)
{
	static const struct mapping map[] = {
		{ OPTION_TO, "to" },
		{ OPTION_FROM, "from" },
		{ OPTION_STATUS, "state" },
		{ OPTION_KIND, "kind" },
		{ OPTION_ACCOUNT, "account" },
		{ OPTION_CLIENT_REF, "client_ref" },
		{ OPTION_SINCE, "since" },
		{ OPTION_UNTIL, "until" },
		{ OPTION_CURSOR, "cursor" },
		{ OPTION_TEXT, "text" },
	};
	json_t *args = arguments(r, map, ARRAY_LEN(map)), *answer;
	struct bus *bus;
	int rc;

	if (!set_limit(r, args)) {
		json_decref(args);
		return EXIT_USAGE;
	}
	rc = bus_open(r, &bus);
	if (rc != EXIT_OK) {
		json_decref(args);
		return rc;
	}
	rc = bus_ask(bus, "store", "message.find", args, &answer);
	if (rc == EXIT_OK) {
		print_found(r, answer);
		json_decref(answer);
	}
	bus_close(bus);
	return rc;
}

int
receipts_orphans(struct request *r)
{
	static const struct mapping map[] = { { OPTION_SINCE, "since" },
		{ OPTION_UNTIL, "until" } };
	static const struct column col[] = {
		{ "AT", "at", put_time, false, false },
		{ "LINK", "link", NULL, false, false },
		{ "SMSC-ID", "smsc_id", NULL, false, false },
		{ "STATUS", "status", NULL, false, true },
		{ "ERROR", "error", NULL, false, false },
	};
	json_t *args = arguments(r, map, ARRAY_LEN(map)), *answer;
	struct bus *bus;
	int rc;

	if (!set_limit(r, args)) {
		json_decref(args);
		return EXIT_USAGE;
	}
	rc = bus_open(r, &bus);
	if (rc != EXIT_OK) {
		json_decref(args);
		return rc;
	}
	rc = bus_ask(bus, "store", "receipts.orphans", args, &answer);
	if (rc == EXIT_OK) {
		table_print(r, json_object_get(answer, "receipts"), col,
		    ARRAY_LEN(col), "Every receipt has found its message.");
		json_decref(answer);
	}
	bus_close(bus);
	return rc;
}

/* --------------------------------------------------------------- each of ids */

/* One of the ids that were named, or came on stdin. */
struct each {
	struct request *r;
	struct bus *bus;
	const char *target, *method;
	json_t *all; /* answers, for programs */
	void (*print)(struct request *, const json_t *);
	int good, bad, last;
};

static void
each_id(struct each *e, const char *id)
{
	json_t *args = json_object();
	struct answer a;

	json_object_set_new(args, "id", json_string(id));
	if (request_has(e->r, OPTION_TEXT))
		json_object_set_new(args, "text", json_true());
	if (request_has(e->r, OPTION_FORCE))
		json_object_set_new(args, "force", json_true());
	bus_call(e->bus, e->target, e->method, args, &a);
	if (a.code != 0 || a.body == NULL) {
		e->last = bus_failed(&a, id);
		e->bad++;
	} else {
		e->good++;
		json_array_append(e->all, a.body);
		if (e->r->output == OUTPUT_TABLE)
			e->print(e->r, a.body);
	}
	answer_fini(&a);
}

static int
each_run(struct request *r, const char *target, const char *method,
    void (*print)(struct request *, const json_t *))
{
	struct each e = {
		.r = r, .target = target, .method = method, .print = print
	};
	char line[256];
	int rc;

	rc = bus_open(r, &e.bus);
	if (rc != EXIT_OK)
		return rc;
	e.all = json_array();
	for (int i = 0; i < r->args; i++) {
		if (strcmp(r->arg[i], "-") != 0) {
			each_id(&e, r->arg[i]);
			continue;
		}
		while (fgets(line, sizeof(line), stdin) != NULL) {
			line[strcspn(line, " \t\r\n")] = '\0';
			if (line[0] != '\0')
				each_id(&e, line);
		}
	}
	/* One that was asked for is one object, several are a list. */
	if (r->output != OUTPUT_TABLE && e.good > 0)
		(void)table_print_raw(r,
		    e.good == 1 && e.bad == 0 ? json_array_get(e.all, 0)
					      : e.all);
	json_decref(e.all);
	bus_close(e.bus);
	if (e.bad == 0)
		return EXIT_OK;
	return e.good > 0 ? EXIT_PARTLY : e.last;
}

static void
print_story(struct request *r, const json_t *m)
{
	struct buf b;

	buf_init(&b);
	story_tell(&b, m, r->color);
	print_buf(&b);
	buf_fini(&b);
}

int
message_show(struct request *r)
{
	return each_run(r, "store", "message.show", print_story);
}

/* Raw records are JSON for people as well. */
static void
print_json(struct request *r, const json_t *m)
{
	char *s = json_dumps(m, JSON_INDENT(2));

	(void)r;
	(void)puts(s != NULL ? s : "");
	free(s);
}

int
message_trace(struct request *r)
{
	return each_run(r, "store", "message.trace", print_json);
}

static void
print_canceled(struct request *r, const json_t *m)
{
	if (!request_has(r, OPTION_QUIET))
		(void)printf("%s canceled\n", word(m, "id"));
}

int
message_cancel(struct request *r)
{
	return each_run(r, "bus", "message.cancel", print_canceled);
}

static void
print_replayed(struct request *r, const json_t *m)
{
	(void)r;
	(void)printf("%s\n", word(m, "id"));
}

int
message_replay(struct request *r)
{
	return each_run(r, "bus", "message.replay", print_replayed);
}

/* --------------------------------------------------------------------- send */

/* What is on the command line, or on stdin. */
static bool
read_text(const struct request *r, struct buf *text)
{
	char chunk[4096];
	size_t n;

	if (r->args == 1 && strcmp(r->arg[0], "-") == 0) {
		while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0 &&
		    buf_len(text) <= TEXT_MAX)
			buf_add(text, chunk, n);
		if (buf_len(text) > 0 &&
		    buf_data(text)[buf_len(text) - 1] == '\n')
			text->tail--;
		return true;
	}
	for (int i = 0; i < r->args; i++)
		buf_printf(text, "%s%s", i > 0 ? " " : "", r->arg[i]);
	return true;
}

/* Steps that are new since the last look. */
static void
print_steps(
    const struct request *r, const json_t *m, size_t *seen, uint64_t *last)
{
	const json_t *events = json_object_get(m, "events");
	struct buf b;

	if (r->output != OUTPUT_TABLE || request_has(r, OPTION_QUIET))
		return;
	buf_init(&b);
	for (; *seen < json_array_size(events); (*seen)++)
		story_line(&b, json_array_get(events, *seen), last, r->color);
	print_buf(&b);
	buf_fini(&b);
}

static int
follow(struct request *r, struct bus *bus, const char *id)
{
	uint64_t end = clock_mono_ms() +
	    (r->timeout_ms != 0 ? r->timeout_ms : SEND_WAIT_MS);
	size_t seen = 0;
	uint64_t last = 0;
	struct answer a;
	bool final;
	int rc;

	for (;;) {
		bus_call(bus, "store", "message.show",
		    json_pack("{s:s}", "id", id), &a);
		if (a.code != 0 && !bus_alive(bus)) {
			complain("the bus has gone; the message is safe, look "
				 "later: hopctl messages show %s",
			    id);
			answer_fini(&a);
			return EXIT_NO_BUS;
		}
		/* A store that is away comes back. */
		if (a.code != 0 && a.code < 500) {
			rc = bus_failed(&a, id);
			answer_fini(&a);
			return rc;
		}
		print_steps(r, a.body, &seen, &last);
		final = json_is_true(json_object_get(a.body, "final"));
		if (final || clock_mono_ms() >= end) {
			rc = strcmp(word(a.body, "status"), "delivered") == 0
			    ? EXIT_OK
			    : EXIT_FAILED;
			if (a.body != NULL)
				(void)table_print_raw(r, a.body);
			if (!final)
				complain("it is not final yet (%s); look "
					 "later: hopctl messages show %s",
				    word(a.body, "status"), id);
			answer_fini(&a);
			return rc;
		}
		answer_fini(&a);
		bus_run(bus, SEND_LOOK_MS);
	}
}

int
message_send(struct request *r)
{
	static const struct mapping map[] = { { OPTION_TO, "to" },
		{ OPTION_FROM, "from" }, { OPTION_ACCOUNT, "account" },
		{ OPTION_CLASS, "class" } };
	json_t *args, *answer;
	struct bus *bus;
	struct buf text;
	int rc;

	if (!request_has(r, OPTION_TO)) {
		complain("send needs --to NUMBER");
		return EXIT_USAGE;
	}
	buf_init(&text);
	(void)read_text(r, &text);
	args = arguments(r, map, ARRAY_LEN(map));
	/* NULL for what is not UTF-8. */
	if (json_object_set_new(args, "text",
		json_stringn((const char *)buf_data(&text), buf_len(&text))) !=
	    0) {
		complain("the text is not UTF-8, or there is none");
		json_decref(args);
		buf_fini(&text);
		return EXIT_USAGE;
	}
	buf_fini(&text);
	rc = bus_open(r, &bus);
	if (rc != EXIT_OK) {
		json_decref(args);
		return rc;
	}
	rc = bus_ask(bus, "bus", "send", args, &answer);
	if (rc == EXIT_OK) {
		if (r->output == OUTPUT_TABLE)
			(void)printf("%s\n", word(answer, "id"));
		(void)fflush(stdout);
		if (request_has(r, OPTION_WAIT))
			rc = follow(r, bus, word(answer, "id"));
		else
			(void)table_print_raw(r, answer);
		json_decref(answer);
	}
	bus_close(bus);
	return rc;
}
