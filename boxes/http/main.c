/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hop-http: HTTP front end (type "http"), or the admin API, health and metrics
 * (type "admin").  A process is one of the two, so that a front end never has
 * the control role.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/http/admin.h"
#include "boxes/http/front.h"
#include "common/daemon.h"
#include "common/xalloc.h"

struct roles {
	struct front front;
	struct admin admin;
};

static bool
main_is_admin(struct daemon *d)
{
	return strcmp(daemon_type(d), "admin") == 0;
}

static int
main_start(struct daemon *d, void *arg)
{
	struct roles *r = arg;

	return main_is_admin(d) ? admin_start(&r->admin, d)
				: front_start(&r->front, d);
}

static void
main_drain(struct daemon *d, void *arg)
{
	struct roles *r = arg;

	if (main_is_admin(d))
		admin_drain(&r->admin);
	else
		front_drain(&r->front);
}

static void
main_fini(struct daemon *d, void *arg)
{
	struct roles *r = arg;

	if (main_is_admin(d))
		admin_fini(&r->admin);
	else
		front_fini(&r->front);
}

int
main(int argc, char **argv)
{
	static struct roles roles;
	static const struct daemon_box box = {
		.program = "hop-http",
		.type = "http",
		.types = "admin",
		.start = main_start,
		.drain = main_drain,
		.fini = main_fini,
	};

	/* Out of memory it would call a text malformed, or assert. */
	json_set_alloc_funcs(xmalloc, free);
	return daemon_run(&box, argc, argv, &roles);
}
