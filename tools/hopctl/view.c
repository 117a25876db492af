/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopctl/view.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/clock.h"
#include "tools/hopctl/bus.h"
#include "tools/hopctl/table.h"
#include "tools/hopctl/text.h"

/* ------------------------------------------------------------------ columns */

static json_int_t
number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static const char *
word(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static void
put_binds(struct buf *b, const json_t *row, const char *key)
{
	(void)key;
	buf_printf(b, "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT,
	    number(row, "bound"), number(row, "binds"));
}

static void
put_window(struct buf *b, const json_t *row, const char *key)
{
	(void)key;
	if (number(row, "window") > 0 || number(row, "in_flight") > 0)
		buf_printf(b, "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT,
		    number(row, "in_flight"), number(row, "window"));
}

static void
put_queue_state(struct buf *b, const json_t *row, const char *key)
{
	(void)key;
	if (json_is_true(json_object_get(row, "hold")))
		buf_addstr(b, "held");
	else if (json_is_true(json_object_get(row, "deep")))
		buf_addstr(b, "deep");
	else
		buf_addstr(b, "ready");
}

static void
put_box_state(struct buf *b, const json_t *row, const char *key)
{
	if (json_is_false(json_object_get(row, "enabled")))
		buf_addstr(b, "disabled");
	else
		buf_addstr(b, word(row, key));
}

/* "84cb3f7b", and whether it is what the bus has. */
static void
put_box_config(struct buf *b, const json_t *row, const char *key)
{
	const char *hash = word(row, "config_hash");

	(void)key;
	if (hash[0] != '\0')
		buf_printf(b, "%.8s%s", hash,
		    json_is_true(json_object_get(row, "config_current"))
			? ""
			: " old");
}

static void
put_micros(struct buf *b, const json_t *row, const char *key)
{
	if (json_object_get(row, key) != NULL)
		text_micros(b, (uint64_t)number(row, key));
}

static void
put_mebibytes(struct buf *b, const json_t *row, const char *key)
{
	if (json_object_get(row, key) != NULL)
		buf_printf(b, "%.1f MiB", (double)number(row, key) / 1048576);
}

static void
put_cpu(struct buf *b, const json_t *row, const char *key)
{
	(void)key;
	if (json_object_get(row, "cpu_permille") != NULL)
		buf_printf(
		    b, "%.1f%%", (double)number(row, "cpu_permille") / 10);
}

static void
put_days(struct buf *b, const json_t *row, const char *key)
{
	if (json_object_get(row, key) != NULL)
		buf_printf(
		    b, "%" JSON_INTEGER_FORMAT "d", number(row, key) / 86400);
}

static const struct column link_columns[] = {
	{ "LINK", "link", NULL, false, false },
	{ "STATE", "state", NULL, false, true },
	{ "BINDS", NULL, put_binds, true, false },
	{ "WINDOW", NULL, put_window, true, false },
	{ "QUEUED", "queued", NULL, true, false },
	{ "OLDEST", "oldest_ms", put_duration, true, false },
	{ "SUBMITTED", "submitted", NULL, true, false },
	{ "RETRIED", "retried", NULL, true, false },
	{ "FAILED", "failed", NULL, true, false },
	{ "DETAIL", "detail", NULL, false, false },
};

static const struct column queue_columns[] = {
	{ "QUEUE", "queue", NULL, false, false },
	{ "STATE", NULL, put_queue_state, false, true },
	{ "OLDEST", "oldest_ms", put_duration, true, false },
	{ "DEPTH", "depth", NULL, true, false },
	{ "READY", "ready", NULL, true, false },
	{ "IN-STORE", "in_store", NULL, true, false },
	{ "IN-FLIGHT", "in_flight", NULL, true, false },
};

static const struct column box_columns[] = {
	{ "BOX", "name", NULL, false, false },
	{ "TYPE", "type", NULL, false, false },
	{ "STATE", "state", put_box_state, false, true },
	{ "UP", "up_ms", put_duration, true, false },
	{ "VERSION", "version", NULL, false, false },
	{ "HOST", "host", NULL, false, false },
	{ "CONFIG", NULL, put_box_config, false, false },
	{ "RTT", "rtt_us", put_micros, true, false },
	{ "CREDIT", "credit", NULL, true, false },
	{ "UNSETTLED", "unsettled", NULL, true, false },
	{ "MEMORY", "memory", put_mebibytes, true, false },
	{ "CPU", NULL, put_cpu, true, false },
	{ "CERT", "cert_seconds_left", put_days, true, false },
};

static const struct column route_columns[] = {
	{ "ROUTE", "route", NULL, false, false },
	{ "TO", "to", put_list, false, false },
	{ "ACCOUNT", "account", put_list, false, false },
	{ "VIA", "via", put_list, false, false },
};

static const struct column account_columns[] = {
	{ "ACCOUNT", "account", NULL, false, false },
	{ "USERNAME", "username", NULL, false, false },
	{ "ENABLED", "enabled", NULL, false, true },
	{ "CLASS", "class", NULL, false, false },
	{ "TPS", "tps", NULL, true, false },
	{ "KEYS", "api_keys", NULL, true, false },
	{ "WEBHOOK", "webhook", put_yes, false, false },
	{ "ACCEPTED", "accepted", NULL, true, false },
	{ "REFUSED", "refused", NULL, true, false },
};

static const struct column customer_columns[] = {
	{ "ACCOUNT", "account", NULL, false, false },
	{ "BOX", "box", NULL, false, false },
	{ "BINDS", "binds", NULL, true, false },
	{ "RECEIVERS", "receivers", NULL, true, false },
	{ "CREDIT", "credit", NULL, true, false },
	{ "QUEUED", "queued", NULL, true, false },
	{ "IN-FLIGHT", "in_flight", NULL, true, false },
};

/* -------------------------------------------------------------------- views */

/* Prints an answer once. */
typedef void view_fn(const struct request *, const json_t *);

/* Once, or with -w again and again. */
static int
view(struct request *r, const char *target, const char *method, json_t *args,
    view_fn *print)
{
	const char *every = r->value[OPTION_EVERY];
	struct bus *bus;
	uint64_t ms = 0;
	json_t *answer;
	int rc;

	if (every != NULL &&
	    (clock_parse_duration(every, &ms) != 0 || ms < 100)) {
		complain("-w \"%s\" is not a time from 100ms on", every);
		json_decref(args);
		return EXIT_USAGE;
	}
	rc = bus_open(r, &bus);
	while (rc == EXIT_OK) {
		rc = bus_ask(bus, target, method, json_incref(args), &answer);
		if (rc != EXIT_OK)
			break;
		if (ms > 0 && r->color && r->output == OUTPUT_TABLE)
			(void)fputs("\033[H\033[2J", stdout);
		print(r, answer);
		json_decref(answer);
		if (ms == 0)
			break;
		bus_run(bus, ms);
		if (!bus_alive(bus)) {
			complain("the bus has gone");
			rc = EXIT_NO_BUS;
		}
	}
	json_decref(args);
	bus_close(bus);
	return rc;
}

static void
line(struct buf *b, const char *title)
{
	buf_printf(b, "%-10s", title);
}

/* Only of a bus that others may succeed. */
static void
print_cell(struct buf *b, const json_t *cell)
{
	const json_t *age = json_object_get(cell, "lease_age_ms");
	const json_t *list = json_object_get(cell, "standby");
	const char *node;
	size_t i;

	if (cell == NULL)
		return;
	line(b, "cell");
	buf_printf(b, "owner %s, epoch %" JSON_INTEGER_FORMAT ", lease ",
	    word(cell, "owner")[0] != '\0' ? word(cell, "owner") : "unknown",
	    number(cell, "epoch"));
	text_duration(b, (uint64_t)number(cell, "lease_ms"));
	if (age != NULL) {
		buf_addstr(b, ", renewed ");
		text_duration(b, (uint64_t)json_integer_value(age));
		buf_addstr(b, " ago");
	}
	for (i = 0; i < json_array_size(list); i++) {
		node = json_string_value(json_array_get(list, i));
		buf_printf(b, "%s%s", i == 0 ? ", standby " : " ", node);
	}
	buf_addc(b, '\n');
}

static void
print_status(const struct request *r, const json_t *s)
{
	const json_t *store = json_object_get(s, "store");
	const json_t *links = json_object_get(s, "links");
	const json_t *queues = json_object_get(s, "queues");
	const json_t *counts = json_object_get(s, "counts");
	const json_t *memory = json_object_get(s, "memory");
	const char *state = word(s, "state");
	const char *paint = r->color ? table_color(state) : "";
	const char *plain = paint[0] != '\0' ? TABLE_PLAIN : "";
	bool up = json_is_true(json_object_get(store, "up"));
	struct buf b;

	if (table_print_raw(r, s))
		return;
	buf_init(&b);
	line(&b, word(s, "node")[0] != '\0' ? word(s, "node") : "hopyard");
	buf_printf(&b, "%s%s%s for ", paint, state, plain);
	text_duration(&b, (uint64_t)number(s, "uptime_ms"));
	buf_printf(&b,
	    ", version %s, configuration %.8s, epoch %" JSON_INTEGER_FORMAT
	    "\n",
	    word(s, "version"), word(s, "config_hash"), number(s, "epoch"));
	print_cell(&b, json_object_get(s, "cell"));
	line(&b, "store");
	if (r->color)
		buf_addstr(&b, table_color(up ? "up" : "down"));
	buf_addstr(&b, up ? "up" : "down");
	if (r->color)
		buf_addstr(&b, TABLE_PLAIN);
	if (!up && word(store, "detail")[0] != '\0') {
		buf_addstr(&b, " (");
		text_clean(
		    &b, word(store, "detail"), strlen(word(store, "detail")));
		buf_addc(&b, ')');
	}
	buf_printf(&b, ", %" JSON_INTEGER_FORMAT " records on their way\n",
	    number(store, "pending"));
	line(&b, "links");
	buf_printf(&b,
	    "%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " up\n",
	    number(links, "up"), number(links, "total"));
	line(&b, "queues");
	buf_printf(&b, "%" JSON_INTEGER_FORMAT " waiting, oldest ",
	    number(queues, "depth"));
	if (number(queues, "oldest_ms") > 0)
		text_duration(&b, (uint64_t)number(queues, "oldest_ms"));
	else
		buf_addc(&b, '-');
	buf_printf(
	    &b, ", %" JSON_INTEGER_FORMAT " stuck", number(queues, "stuck"));
	if (number(queues, "incomplete") > 0)
		buf_printf(&b, ", %" JSON_INTEGER_FORMAT " incomplete",
		    number(queues, "incomplete"));
	buf_addc(&b, '\n');
	line(&b, "counts");
	buf_printf(&b,
	    "accepted %" JSON_INTEGER_FORMAT ", refused %" JSON_INTEGER_FORMAT
	    ", submitted %" JSON_INTEGER_FORMAT
	    ", receipts %" JSON_INTEGER_FORMAT
	    ", notified %" JSON_INTEGER_FORMAT ", inbound %" JSON_INTEGER_FORMAT
	    "\n",
	    number(counts, "accepted"), number(counts, "refused"),
	    number(counts, "submitted"), number(counts, "receipts"),
	    number(counts, "notified"), number(counts, "inbound"));
	line(&b, "");
	buf_printf(&b,
	    "retries %" JSON_INTEGER_FORMAT ", rerouted %" JSON_INTEGER_FORMAT
	    ", expired %" JSON_INTEGER_FORMAT
	    ", duplicates %" JSON_INTEGER_FORMAT "\n",
	    number(counts, "retries"), number(counts, "rerouted"),
	    number(counts, "expired"), number(counts, "duplicates"));
	line(&b, "memory");
	buf_printf(&b, "%" JSON_INTEGER_FORMAT " messages, %.1f MiB\n",
	    number(memory, "items"),
	    (double)(number(memory, "bytes") +
		number(memory, "unwritten_bytes")) /
		(1024 * 1024));
	print_buf(&b);
	buf_fini(&b);
}

int
view_status(struct request *r)
{
	return view(r, "bus", "status", NULL, print_status);
}

static void
print_links(const struct request *r, const json_t *rows)
{
	table_print(r, rows, link_columns, ARRAY_LEN(link_columns),
	    "There are no links.");
}

int
view_links(struct request *r)
{
	return view(r, "bus", "links", NULL, print_links);
}

static void
print_queues(const struct request *r, const json_t *rows)
{
	table_print(r, rows, queue_columns, ARRAY_LEN(queue_columns),
	    "There are no queues yet.");
}

int
view_queues(struct request *r)
{
	return view(r, "bus", "queues", NULL, print_queues);
}

static void
print_boxes(const struct request *r, const json_t *rows)
{
	table_print(r, rows, box_columns, ARRAY_LEN(box_columns),
	    "There are no boxes in the configuration.");
}

int
view_boxes(struct request *r)
{
	return view(r, "bus", "boxes", NULL, print_boxes);
}

static void
print_routes(const struct request *r, const json_t *rows)
{
	table_print(r, rows, route_columns, ARRAY_LEN(route_columns),
	    "There are no routes: nothing can be sent.");
}

int
view_routes(struct request *r)
{
	return view(r, "bus", "routes", NULL, print_routes);
}

static void
print_accounts(const struct request *r, const json_t *rows)
{
	table_print(r, rows, account_columns, ARRAY_LEN(account_columns),
	    "There are no accounts: nobody can send.");
}

int
view_accounts(struct request *r)
{
	return view(r, "bus", "accounts", NULL, print_accounts);
}

static void
print_customers(const struct request *r, const json_t *rows)
{
	table_print(r, rows, customer_columns, ARRAY_LEN(customer_columns),
	    "No customer is bound by SMPP, and nothing waits for one.");
}

int
view_customers(struct request *r)
{
	return view(r, "bus", "customers", NULL, print_customers);
}

/* Without a bus our own version is all there is to say. */
int
view_version(struct request *r)
{
	struct answer a = { .code = 0 };
	struct bus *bus = NULL;
	json_t *o = json_pack("{s:s}", "hopctl", HOPYARD_VERSION);

	if (bus_present(r) && bus_open(r, &bus) == EXIT_OK) {
		bus_call(bus, "bus", "status", NULL, &a);
		if (a.code == 0)
			json_object_set(
			    o, "bus", json_object_get(a.body, "version"));
		answer_fini(&a);
		bus_close(bus);
	}
	if (!table_print_raw(r, o)) {
		(void)puts("hopctl " HOPYARD_VERSION);
		if (word(o, "bus")[0] != '\0')
			(void)printf("hop-bus %s\n", word(o, "bus"));
	}
	json_decref(o);
	return EXIT_OK;
}

/* One member a line, a list of objects as a table. */
static void
put_member(struct buf *b, const char *key, const json_t *v)
{
	char *s;

	buf_printf(b, "%-18s", key);
	if (json_is_string(v)) {
		text_clean(b, json_string_value(v), json_string_length(v));
	} else if ((s = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT)) !=
	    NULL) {
		buf_addstr(b, s);
		free(s);
	}
	buf_addc(b, '\n');
}

static void
print_link(const struct request *r, const json_t *o)
{
	const char *key;
	struct buf b;
	json_t *v;

	if (table_print_raw(r, o))
		return;
	buf_init(&b);
	json_object_foreach((json_t *)(uintptr_t)o, key, v)
	{
		if (json_is_null(v))
			continue;
		if (!json_is_array(v)) {
			put_member(&b, key, v);
		} else if (!json_is_object(json_array_get(v, 0))) {
			buf_printf(&b, "%-18s", key);
			put_list(&b, o, key);
			buf_addc(&b, '\n');
		} else {
			const json_t *first = json_array_get(v, 0);
			struct column col[24];
			const char *name;
			json_t *member;
			size_t n = 0;

			json_object_foreach(
			    (json_t *)(uintptr_t)first, name, member)
			{
				if (n == ARRAY_LEN(col))
					break;
				memset(&col[n], 0, sizeof(col[n]));
				col[n].title = name;
				col[n].key = name;
				col[n].right = json_is_number(member);
				n++;
			}
			buf_addc(&b, '\n');
			table_write(&b, v, col, n, r->color);
		}
	}
	print_buf(&b);
	buf_fini(&b);
}

int
view_link(struct request *r)
{
	return view(r, r->arg[0], "link.show", NULL, print_link);
}

static void
print_routes_test(const struct request *r, const json_t *o)
{
	static const struct column col[] = {
		{ "ROUTE", "route", NULL, false, false },
		{ "RESULT", "result", NULL, false, false },
	};
	const char *link = word(o, "link");
	struct buf b;

	if (table_print_raw(r, o))
		return;
	buf_init(&b);
	table_write(
	    &b, json_object_get(o, "rules"), col, ARRAY_LEN(col), r->color);
	if (link[0] == '\0')
		buf_addstr(&b, "\nno route takes it\n");
	else
		buf_printf(
		    &b, "\nlink %s, which is %s\n", link, word(o, "state"));
	if (word(o, "passed_over")[0] != '\0')
		buf_printf(&b, "passed over: %s\n", word(o, "passed_over"));
	print_buf(&b);
	buf_fini(&b);
}

int
view_routes_test(struct request *r)
{
	static const enum option options[] = { OPTION_TO, OPTION_FROM,
		OPTION_ACCOUNT };
	static const char *const keys[] = { "to", "from", "account" };
	json_t *args = json_object();

	if (!request_has(r, OPTION_TO)) {
		complain("routes test needs --to NUMBER");
		json_decref(args);
		return EXIT_USAGE;
	}
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (request_has(r, options[i]))
			json_object_set_new(
			    args, keys[i], json_string(r->value[options[i]]));
	}
	return view(r, "bus", "routes.test", args, print_routes_test);
}

/* ------------------------------------------------------------------ actions */

/* The result of several: all, some or none of them. */
static int
result_of(int done, int failed, int last)
{
	if (failed == 0)
		return EXIT_OK;
	return done > 0 ? EXIT_PARTLY : last;
}

static void
say_done(const struct request *r, const char *fmt, const char *what)
{
	if (request_has(r, OPTION_QUIET))
		return;
	if (r->output == OUTPUT_TABLE)
		(void)printf("%s %s\n", what, fmt);
}

/* One call for each link that was named. */
static int
each_link(struct request *r, const char *state, const char *done)
{
	int good = 0, bad = 0, last = EXIT_OK, rc;
	json_t *all = json_array(), *answer;
	struct bus *bus;

	rc = bus_open(r, &bus);
	if (rc != EXIT_OK) {
		json_decref(all);
		return rc;
	}
	for (int i = 0; i < r->args; i++) {
		if (state != NULL)
			rc = bus_ask(bus, "bus", "link.set",
			    json_pack("{s:s, s:s}", "link", r->arg[i], "state",
				state),
			    &answer);
		else
			rc = bus_ask(
			    bus, r->arg[i], "link.rebind", NULL, &answer);
		if (rc != EXIT_OK) {
			last = rc;
			bad++;
			continue;
		}
		json_array_append_new(all,
		    json_pack("{s:s, s:s}", "link", r->arg[i], "state",
			state != NULL ? state : "rebinding"));
		json_decref(answer);
		say_done(r, done, r->arg[i]);
		good++;
	}
	(void)table_print_raw(r, all);
	json_decref(all);
	bus_close(bus);
	return result_of(good, bad, last);
}

int
link_drain(struct request *r)
{
	return each_link(r, "drain",
	    "drains: routes avoid it, what is queued for it is still sent");
}

int
link_ready(struct request *r)
{
	return each_link(r, "ready", "is ready");
}

int
link_maint(struct request *r)
{
	return each_link(
	    r, "maint", "is in maintenance: nothing is sent on it");
}

int
link_rebind(struct request *r)
{
	return each_link(r, NULL, "binds again, one session after the other");
}

static int
hold(struct request *r, const char *method, const char *done)
{
	static const enum option options[] = { OPTION_TARGET, OPTION_CLASS,
		OPTION_ACCOUNT };
	static const char *const keys[] = { "target", "class", "account" };
	json_t *args = json_object(), *answer;
	struct bus *bus;
	int rc;

	if (r->args > 0)
		json_object_set_new(args, "queue", json_string(r->arg[0]));
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		if (request_has(r, options[i]))
			json_object_set_new(
			    args, keys[i], json_string(r->value[options[i]]));
	}
	if (json_object_size(args) == 0) {
		complain("say which: a QUEUE as \"hopctl queues\" shows it, or "
			 "--target, --class, --account");
		json_decref(args);
		return EXIT_USAGE;
	}
	rc = bus_open(r, &bus);
	if (rc != EXIT_OK) {
		json_decref(args);
		return rc;
	}
	rc = bus_ask(bus, "bus", method, args, &answer);
	if (rc == EXIT_OK) {
		if (!table_print_raw(r, answer) &&
		    !request_has(r, OPTION_QUIET))
			(void)printf("%" JSON_INTEGER_FORMAT " queue%s %s\n",
			    number(answer, "queues"),
			    number(answer, "queues") == 1 ? "" : "s", done);
		json_decref(answer);
	}
	bus_close(bus);
	return rc;
}

int
queue_hold(struct request *r)
{
	return hold(r, "queue.hold", "held");
}

int
queue_release(struct request *r)
{
	return hold(r, "queue.release", "released");
}

/* --------------------------------------------------------------------- cell */

int
bus_handover(struct request *r)
{
	json_t *answer;
	struct bus *bus;
	int rc = bus_open(r, &bus);

	if (rc != EXIT_OK)
		return rc;
	rc = bus_ask(bus, "bus", "bus.handover", json_object(), &answer);
	if (rc == EXIT_OK) {
		if (!table_print_raw(r, answer) &&
		    !request_has(r, OPTION_QUIET))
			(void)printf("%s may take the cell; this bus stands "
				     "by.\n",
			    word(answer, "detail"));
		json_decref(answer);
	}
	bus_close(bus);
	return rc;
}

int
cell_accept_rewind(struct request *r)
{
	json_t *answer;
	struct bus *bus;
	int rc = bus_open(r, &bus);

	if (rc != EXIT_OK)
		return rc;
	rc = bus_ask(bus, "bus", "cell.accept_rewind", json_object(), &answer);
	if (rc == EXIT_OK) {
		if (!table_print_raw(r, answer) &&
		    !request_has(r, OPTION_QUIET))
			(void)printf("%" JSON_INTEGER_FORMAT
				     " records given up; the bus starts anew\n",
			    number(answer, "lost"));
		json_decref(answer);
	}
	bus_close(bus);
	return rc;
}

/* ------------------------------------------------------------------- reload */

struct reloading {
	struct request *r;
	struct bus *bus;
	json_t *all;
	int good, bad, last;
};

static void
reload_one(struct reloading *rl, const char *name)
{
	struct answer a;
	const char *diff;

	bus_call(rl->bus, name, "reload", NULL, &a);
	diff = word(a.body, "diff");
	json_array_append_new(rl->all,
	    json_pack("{s:s, s:b, s:s}", "box", name, "ok", a.code == 0,
		a.code == 0 ? "diff" : "error", a.code == 0 ? diff : a.error));
	if (a.code == 404) {
		/* A box of somebody else's, which need not know how. */
		if (!request_has(rl->r, OPTION_QUIET))
			complain("%s cannot be reloaded: restart it if what "
				 "concerns it has changed",
			    name);
	} else if (a.code != 0) {
		rl->last = bus_failed(&a, name);
		rl->bad++;
	} else {
		rl->good++;
		if (rl->r->output == OUTPUT_TABLE &&
		    !request_has(rl->r, OPTION_QUIET))
			(void)printf("%s%s: reloaded\n",
			    rl->good == 1 ? diff : "", name);
	}
	answer_fini(&a);
}

int
reload(struct request *r)
{
	struct reloading rl = { .r = r };
	json_t *boxes, *box;
	size_t i;
	int rc;

	rc = bus_open(r, &rl.bus);
	if (rc != EXIT_OK)
		return rc;
	rl.all = json_array();
	if (r->args > 0) {
		for (int n = 0; n < r->args; n++)
			reload_one(&rl, r->arg[n]);
	} else {
		/* The bus first: a file that it refuses goes nowhere. */
		reload_one(&rl, "bus");
		if (rl.bad == 0 && !request_has(r, OPTION_BUS_ONLY) &&
		    bus_ask(rl.bus, "bus", "boxes", NULL, &boxes) == EXIT_OK) {
			json_array_foreach(boxes, i, box)
			{
				if (strcmp(word(box, "state"), "connected") ==
				    0)
					reload_one(&rl, word(box, "name"));
			}
			json_decref(boxes);
		}
	}
	(void)table_print_raw(r, rl.all);
	json_decref(rl.all);
	bus_close(rl.bus);
	return result_of(rl.good, rl.bad, rl.last);
}
