/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * restart.c - boxes are started again, one after the other, each when the one
 * before is back: what an upgrade does.
 */
#include "tools/hopctl/restart.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "tools/hopctl/bus.h"
#include "tools/hopctl/table.h"

#define RESTART_LOOK_MS 50
#define RESTART_MAX_MS  90000 /* a drain, and a start */

/* "" where there is none. */
static const char *
word(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

struct restarting {
	struct request *r;
	struct bus *bus;
	json_t *all;
};

/* Of a box that is connected; 0: it is not. */
static json_int_t
restart_pid(struct bus *bus, const char *name)
{
	struct answer a;
	json_int_t pid = 0;
	json_t *box;
	size_t i;

	bus_call(bus, "bus", "boxes", NULL, &a);
	json_array_foreach(a.body, i, box)
	{
		if (strcmp(word(box, "name"), name) == 0)
			pid = json_integer_value(json_object_get(box, "pid"));
	}
	answer_fini(&a);
	return pid;
}

static bool
restart_wait_box(struct bus *bus, const char *name, json_int_t before)
{
	uint64_t end = clock_mono_ms() + RESTART_MAX_MS;
	json_int_t pid;

	while (clock_mono_ms() < end && bus_alive(bus)) {
		pid = restart_pid(bus, name);
		if (pid != 0 && pid != before)
			return true;
		bus_run(bus, RESTART_LOOK_MS);
	}
	return false;
}

/* It works, or stands by for another one. */
static bool
restart_bus_is_well(struct bus *bus)
{
	struct answer a;
	const char *state;
	bool well;

	bus_call(bus, "bus", "status", NULL, &a);
	state = word(a.body, "state");
	well =
	    strcmp(state, "running") == 0 || strcmp(state, "standing by") == 0;
	answer_fini(&a);
	return well;
}

/* The connection ends with the bus, and another one is opened. */
static bool
restart_wait_bus(struct restarting *rs)
{
	uint64_t end = clock_mono_ms() + RESTART_MAX_MS;

	while (clock_mono_ms() < end && bus_alive(rs->bus))
		bus_run(rs->bus, RESTART_LOOK_MS);
	while (clock_mono_ms() < end) {
		if (bus_alive(rs->bus) && restart_bus_is_well(rs->bus))
			return true;
		bus_run(rs->bus, RESTART_LOOK_MS);
		if (bus_alive(rs->bus) || !bus_present(rs->r))
			continue;
		bus_close(rs->bus);
		if (bus_open(rs->r, &rs->bus) != EXIT_OK)
			return false;
	}
	return false;
}

static int
restart_one(struct restarting *rs, const char *name)
{
	bool bus = strcmp(name, "bus") == 0, back;
	json_int_t before = bus ? 0 : restart_pid(rs->bus, name);
	uint64_t since = clock_mono_ms(), ms;
	struct answer a;
	int rc = EXIT_OK;

	bus_call(rs->bus, name, "restart", NULL, &a);
	if (a.code != 0)
		rc = bus_failed(&a, name);
	answer_fini(&a);
	if (rc != EXIT_OK)
		return rc;
	back = bus ? restart_wait_bus(rs)
		   : restart_wait_box(rs->bus, name, before);
	ms = clock_mono_ms() - since;
	json_array_append_new(rs->all,
	    json_pack("{s:s, s:b, s:I}", "box", name, "back", back, "ms",
		(json_int_t)ms));
	if (!back) {
		complain("%s has not come back; its log says why", name);
		return EXIT_FAILED;
	}
	if (rs->r->output == OUTPUT_TABLE && !request_has(rs->r, OPTION_QUIET))
		(void)printf(
		    "%s: back after %llu ms\n", name, (unsigned long long)ms);
	return EXIT_OK;
}

int
restart(struct request *r)
{
	struct restarting rs = { .r = r };
	int rc = bus_open(r, &rs.bus);

	if (rc != EXIT_OK)
		return rc;
	rs.all = json_array();
	/* One that does not come back ends it: the others still work. */
	for (int n = 0; n < r->args && rc == EXIT_OK; n++)
		rc = restart_one(&rs, r->arg[n]);
	(void)table_print_raw(r, rs.all);
	json_decref(rs.all);
	if (rs.bus != NULL)
		bus_close(rs.bus);
	return rc;
}
