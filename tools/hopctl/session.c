/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopctl/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "tools/hopctl/bus.h"
#include "tools/hopctl/table.h"

static void
put_use(struct buf *b, const json_t *row, const char *key)
{
	/* Ours in flight and its own unanswered, of as many each way. */
	(void)key;
	buf_printf(b,
	    "%" JSON_INTEGER_FORMAT "+%" JSON_INTEGER_FORMAT
	    "/%" JSON_INTEGER_FORMAT,
	    json_integer_value(json_object_get(row, "in_flight")),
	    json_integer_value(json_object_get(row, "requests")),
	    json_integer_value(json_object_get(row, "window")));
}

static const struct column session_columns[] = {
	{ "SESSION", "name", NULL, false, false },
	{ "ACCOUNT", "account", NULL, false, false },
	{ "STATE", "state", NULL, false, true },
	{ "VERSION", "version", NULL, false, false },
	{ "SOURCE", "source", NULL, false, false },
	{ "TLS", "tls", put_yes, false, false },
	{ "SINCE", "bound_at", put_time, false, false },
	{ "WINDOW", "window", put_use, true, false },
	{ "SUBMITS", "submits", NULL, true, false },
	{ "REFUSED", "refused", NULL, true, false },
	{ "DELIVERS", "delivers", NULL, true, false },
};

/* The names of the SMPP servers that are connected; EXIT_OK or how to exit. */
static int
session_servers(struct bus *bus, json_t **names)
{
	json_t *boxes, *box;
	size_t i;
	int rc;

	rc = bus_ask(bus, "bus", "boxes", NULL, &boxes);
	if (rc != EXIT_OK)
		return rc;
	*names = json_array();
	json_array_foreach(boxes, i, box)
	{
		const char *type =
		    json_string_value(json_object_get(box, "type"));
		const char *state =
		    json_string_value(json_object_get(box, "state"));

		if (type != NULL && state != NULL &&
		    strcmp(type, "smpps") == 0 &&
		    strcmp(state, "connected") == 0)
			json_array_append(*names, json_object_get(box, "name"));
	}
	json_decref(boxes);
	return EXIT_OK;
}

/* Rows of one server that the options want, each with its name. */
static void
session_take(
    const struct request *r, const char *box, const json_t *rows, json_t *all)
{
	const char *account = r->value[OPTION_ACCOUNT];
	char name[128];
	json_t *row;
	size_t i;

	json_array_foreach(rows, i, row)
	{
		const char *of =
		    json_string_value(json_object_get(row, "account"));

		if (account != NULL && (of == NULL || strcmp(of, account) != 0))
			continue;
		snprintf(name, sizeof(name), "%s/%" JSON_INTEGER_FORMAT, box,
		    json_integer_value(json_object_get(row, "session")));
		json_object_set_new(row, "name", json_string(name));
		json_object_set_new(row, "box", json_string(box));
		json_array_append(all, row);
	}
}

int
session_list(struct request *r)
{
	json_t *names = NULL, *all = json_array(), *rows, *name;
	struct bus *bus;
	size_t i;
	int rc;

	rc = bus_open(r, &bus);
	if (rc == EXIT_OK && r->args > 0)
		names = json_pack("[s]", r->arg[0]);
	else if (rc == EXIT_OK)
		rc = session_servers(bus, &names);
	json_array_foreach(names, i, name)
	{
		rc = bus_ask(
		    bus, json_string_value(name), "sessions", NULL, &rows);
		if (rc != EXIT_OK)
			break;
		session_take(r, json_string_value(name), rows, all);
		json_decref(rows);
	}
	if (rc == EXIT_OK)
		table_print(r, all, session_columns,
		    sizeof(session_columns) / sizeof(session_columns[0]),
		    "There are no sessions.");
	json_decref(all);
	json_decref(names);
	bus_close(bus);
	return rc;
}

static int
session_kick_one(const struct request *r, struct bus *bus, const char *box,
    const char *who, json_t *args)
{
	json_t *answer;
	int rc;

	rc = bus_ask(bus, box, "kick", args, &answer);
	if (rc != EXIT_OK)
		return rc;
	if (!table_print_raw(r, answer) && !request_has(r, OPTION_QUIET))
		(void)printf("%s is asked to leave\n", who);
	json_decref(answer);
	return EXIT_OK;
}

/* All sessions of an account, wherever they are. */
static int
session_kick_account(const struct request *r, struct bus *bus)
{
	const char *account = r->value[OPTION_ACCOUNT];
	json_t *names = NULL, *name;
	struct answer a = { .code = 0 };
	json_int_t kicked = 0;
	size_t i;
	int rc;

	rc = session_servers(bus, &names);
	json_array_foreach(names, i, name)
	{
		bus_call(bus, json_string_value(name), "kick",
		    json_pack("{s:s}", "account", account), &a);
		/* That there is none at this one is no failure. */
		if (a.code != 0 && a.code != 404)
			rc = bus_failed(&a, json_string_value(name));
		kicked += json_integer_value(json_object_get(a.body, "kicked"));
		answer_fini(&a);
	}
	json_decref(names);
	if (rc != EXIT_OK)
		return rc;
	if (kicked == 0) {
		complain("account \"%s\" has no session", account);
		return EXIT_NOT_FOUND;
	}
	names = json_pack("{s:I}", "kicked", kicked);
	if (!table_print_raw(r, names) && !request_has(r, OPTION_QUIET))
		(void)printf("%" JSON_INTEGER_FORMAT " sessions of %s are "
			     "asked to leave\n",
		    kicked, account);
	json_decref(names);
	return EXIT_OK;
}

int
session_kick(struct request *r)
{
	int rc, last = EXIT_OK, good = 0;
	struct bus *bus;

	if ((r->args > 0) == request_has(r, OPTION_ACCOUNT)) {
		complain("say which: BOX/NUMBER as \"hopctl sessions\" shows "
			 "it, or --account");
		return EXIT_USAGE;
	}
	rc = bus_open(r, &bus);
	if (rc != EXIT_OK)
		return rc;
	if (r->args == 0)
		last = session_kick_account(r, bus);
	for (int i = 0; i < r->args; i++) {
		const char *slash = strrchr(r->arg[i], '/');
		char *end = NULL, box[96];
		unsigned long long n =
		    slash != NULL ? strtoull(slash + 1, &end, 10) : 0;

		if (n == 0 || *end != '\0' ||
		    (size_t)(slash - r->arg[i]) >= sizeof(box)) {
			complain("\"%s\" is no session: BOX/NUMBER, as "
				 "\"hopctl sessions\" shows it",
			    r->arg[i]);
			last = EXIT_USAGE;
			continue;
		}
		memcpy(box, r->arg[i], (size_t)(slash - r->arg[i]));
		box[slash - r->arg[i]] = '\0';
		rc = session_kick_one(r, bus, box, r->arg[i],
		    json_pack("{s:I}", "session", (json_int_t)n));
		if (rc == EXIT_OK)
			good++;
		else
			last = rc;
	}
	bus_close(bus);
	return last != EXIT_OK && good > 0 ? EXIT_PARTLY : last;
}
