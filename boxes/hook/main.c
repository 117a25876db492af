/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hop-hook: delivery reports, messages from handsets and keyword services, as
 * HTTP requests to customers.
 */
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "boxes/hook/hook.h"
#include "boxes/hook/resolve.h"
#include "common/daemon.h"
#include "common/xalloc.h"

static int
main_start(struct daemon *d, void *arg)
{
	return hook_start(arg, d);
}

static void
main_drain(struct daemon *d, void *arg)
{
	(void)d;
	hook_drain(arg);
}

static bool
main_reload(
    struct daemon *d, const struct conf *conf, struct buf *why, void *arg)
{
	(void)d;
	(void)why;
	hook_reload(arg, conf);
	return true;
}

static void
main_fini(struct daemon *d, void *arg)
{
	(void)d;
	hook_fini(arg);
}

int
main(int argc, char **argv)
{
	static struct hook hook;
	static const struct daemon_box box = {
		.program = "hop-hook",
		.type = "hook",
		.start = main_start,
		.drain = main_drain,
		.reload = main_reload,
		.fini = main_fini,
	};

	int code;

	resolve_set_threads();
	/* Out of memory it would call a text malformed, or assert. */
	json_set_alloc_funcs(xmalloc, free);
	code = daemon_run(&box, argc, argv, &hook);
	/* A name that nobody answers for: exit() would wait for its thread. */
	if (resolve_busy())
		_exit(code);
	return code;
}
