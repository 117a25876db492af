/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - hop-bus: start-up order, nothing else.
 */
#include <jansson.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/conf.h"
#include "common/daemon.h"
#include "common/xalloc.h"
#include "core/broker.h"

static struct broker broker;

static int
start(struct daemon *d, void *arg)
{
	return broker_start(arg, d);
}

static void
drain(struct daemon *d, void *arg)
{
	(void)d;
	broker_drain(arg);
}

static bool
reload(struct daemon *d, const struct conf *conf, struct buf *why, void *arg)
{
	/* A file that an editor or a full disk has left empty is a valid one
	 * and would shut out every customer. */
	if (conf_count(conf, "boxes") == 0 &&
	    conf_count(daemon_conf(d), "boxes") > 0) {
		buf_printf(why, "%s: has no boxes any more\n", conf_file(conf));
		return false;
	}
	broker_configure(arg, conf);
	return true;
}

static void
fini(struct daemon *d, void *arg)
{
	(void)d;
	broker_fini(arg);
}

int
main(int argc, char **argv)
{
	static const struct daemon_box box = {
		.program = "hop-bus",
		.type = "bus",
		.start = start,
		.drain = drain,
		.reload = reload,
		.fini = fini,
		.drain_ms = 10000,
	};

	/* Out of memory it would call a text malformed, or assert. */
	json_set_alloc_funcs(xmalloc, free);
	return daemon_run(&box, argc, argv, &broker);
}
