/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hop-smpps: SMPP server for customers.  Start-up order, nothing else.
 */
#include <jansson.h>
#include <stdlib.h>

#include "boxes/smpps/server.h"
#include "common/attr.h"
#include "common/conf.h"
#include "common/daemon.h"
#include "common/xalloc.h"

static int
main_start(struct daemon *d, void *arg)
{
	return server_start(arg, d);
}

static void
main_drain(struct daemon *d UNUSED, void *arg)
{
	server_drain(arg);
}

static bool
main_reload(
    struct daemon *d, const struct conf *conf, struct buf *why, void *arg)
{
	return server_reload(arg, conf_box(conf, daemon_name(d)), why);
}

static void
main_fini(struct daemon *d UNUSED, void *arg)
{
	server_fini(arg);
}

int
main(int argc, char **argv)
{
	static struct server server;
	static const struct daemon_box box = {
		.program = "hop-smpps",
		.type = "smpps",
		.start = main_start,
		.drain = main_drain,
		.reload = main_reload,
		.fini = main_fini,
		.drain_ms = SERVER_DRAIN_MS,
	};

	/* Out of memory it would call a text malformed, or assert. */
	json_set_alloc_funcs(xmalloc, free);
	return daemon_run(&box, argc, argv, &server);
}
