/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hop-store: keeps the record of one cell in PostgreSQL.
 */
#include <jansson.h>
#include <stdlib.h>

#include "boxes/store/store.h"
#include "common/daemon.h"
#include "common/xalloc.h"

static struct store store;

static bool
main_option(int c, const char *value, void *arg)
{
	(void)value;
	(void)arg;
	if (c != 'M')
		return false;
	store.only_migrate = true;
	return true;
}

static int
main_start(struct daemon *d, void *arg)
{
	return store_start(arg, d);
}

static void
main_drain(struct daemon *d, void *arg)
{
	(void)d;
	store_drain(arg);
}

static bool
main_reload(
    struct daemon *d, const struct conf *conf, struct buf *why, void *arg)
{
	(void)d;
	(void)why;
	store_reload(arg, conf);
	return true;
}

static void
main_fini(struct daemon *d, void *arg)
{
	(void)d;
	store_fini(arg);
}

int
main(int argc, char **argv)
{
	static const struct daemon_box box = {
		.program = "hop-store",
		.type = "store",
		.start = main_start,
		.drain = main_drain,
		.reload = main_reload,
		.fini = main_fini,
		.options = "M",
		.option_usage = "[-M]",
		.option_help =
		    "  -M            bring the tables up to date and exit\n",
		.option = main_option,
	};

	/* Out of memory it would call a text malformed, or assert. */
	json_set_alloc_funcs(xmalloc, free);
	return daemon_run(&box, argc, argv, &store);
}
