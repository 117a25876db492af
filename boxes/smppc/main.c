/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hop-smppc: SMSC connector, one link per process.  Start-up order, nothing
 * else.
 */
#include <stddef.h>

#include "boxes/smppc/link.h"
#include "common/buf.h"
#include "common/box.h"
#include "common/conf.h"
#include "common/daemon.h"
#include "common/log.h"

static struct link *smppc_link;

static void
smppc_log_complaints(struct buf *why)
{
	log_error("config.bad", "reason=%s", buf_str(why));
}

static struct link *
smppc_open(struct daemon *d, struct profile *p)
{
	struct link_bus bus[CONF_MAX_CELLS] = { { .group = NULL } };
	size_t i, further = daemon_cells(d);

	daemon_box_opts(d, "connect", &bus[0].opts);
	for (i = 0; i < further; i++)
		bus[1 + i].group = daemon_cell_opts(d, i, &bus[1 + i].opts);
	return link_new(daemon_loop(d), bus, 1 + further, p);
}

static int
smppc_start(struct daemon *d, void *arg)
{
	struct profile *p;
	struct buf why;

	(void)arg;
	buf_init(&why);
	p = profile_new(daemon_group(d), daemon_name(d), &why);
	if (p == NULL) {
		smppc_log_complaints(&why);
	} else {
		smppc_link = smppc_open(d, p);
		/* The carrier may be away for days; the link says so itself. */
		daemon_ready(d);
	}
	buf_fini(&why);
	return p == NULL ? -1 : 0;
}

static void
smppc_drained(void *arg)
{
	daemon_stop(arg, 0);
}

static void
smppc_drain(struct daemon *d, void *arg)
{
	(void)arg;
	link_drain(smppc_link, smppc_drained, d);
}

static bool
smppc_reload(
    struct daemon *d, const struct conf *conf, struct buf *why, void *arg)
{
	struct profile *p;

	(void)arg;
	p = profile_new(conf_box(conf, daemon_name(d)), daemon_name(d), why);
	if (p == NULL)
		return false;
	link_reload(smppc_link, p);
	return true;
}

static void
smppc_fini(struct daemon *d, void *arg)
{
	(void)d;
	(void)arg;
	if (smppc_link != NULL)
		link_free(smppc_link);
}

int
main(int argc, char **argv)
{
	static const struct daemon_box box = {
		.program = "hop-smppc",
		.type = "smppc",
		.start = smppc_start,
		.drain = smppc_drain,
		.reload = smppc_reload,
		.fini = smppc_fini,
	};

	return daemon_run(&box, argc, argv, NULL);
}
