/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hop-exec: any program that speaks lines of JSON, as a filter or connector.
 */
#include <jansson.h>
#include <stdlib.h>

#include "boxes/exec/exec.h"
#include "common/daemon.h"
#include "common/xalloc.h"

static int
main_start(struct daemon *d, void *arg)
{
	return exec_start(arg, d);
}

static void
main_drain(struct daemon *d, void *arg)
{
	(void)d;
	exec_drain(arg);
}

static void
main_fini(struct daemon *d, void *arg)
{
	(void)d;
	exec_fini(arg);
}

int
main(int argc, char **argv)
{
	static struct exec exec;
	static const struct daemon_box box = {
		.program = "hop-exec",
		.type = "exec",
		.start = main_start,
		.drain = main_drain,
		.fini = main_fini,
	};

	/* Out of memory it would call a line malformed. */
	json_set_alloc_funcs(xmalloc, free);
	return daemon_run(&box, argc, argv, &exec);
}
