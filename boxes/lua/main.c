/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hop-lua: a filter that is a script in Lua.
 */
#include "boxes/lua/judge.h"
#include "common/attr.h"
#include "common/daemon.h"

static int
main_start(struct daemon *d, void *arg)
{
	return judge_start(arg, d);
}

static void
main_drain(struct daemon *d UNUSED, void *arg)
{
	judge_drain(arg);
}

static bool
main_reload(struct daemon *d UNUSED, const struct conf *conf, struct buf *why,
    void *arg)
{
	return judge_reload(arg, conf, why);
}

static void
main_fini(struct daemon *d UNUSED, void *arg)
{
	judge_fini(arg);
}

int
main(int argc, char **argv)
{
	static struct judge judge;
	static const struct daemon_box box = {
		.program = "hop-lua",
		.type = "lua",
		.start = main_start,
		.drain = main_drain,
		.reload = main_reload,
		.fini = main_fini,
	};

	return daemon_run(&box, argc, argv, &judge);
}
