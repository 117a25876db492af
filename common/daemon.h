/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * daemon.h - the skeleton of every process: options, configuration, log,
 * signals, drain, exit.  A box's main() fills a struct daemon_box and calls
 * daemon_run().
 *
 *	-c FILE   configuration (default /etc/hopyard/hopyard.cfg)
 *	-n NAME   which box of the file this is (default: the only one of its type)
 *	-t        check the configuration and exit 0 or 2
 *	--bus ADDRESS[,ADDRESS]  of a box on another host than the bus: its
 *	          configuration comes from there, and it needs -n NAME and
 *	--certs FOLDER  (default /etc/hopyard/certs)
 *	-V        version        --help
 *	--log-level LEVEL
 *
 * SIGTERM, SIGINT: drain() once, and exit when the box calls daemon_stop() or
 * the time-out has passed; a second signal ends at once.  SIGHUP: the file is
 * loaded and handed to reload(), or refused with a log line; on another host
 * that happens when the bus sends another configuration.
 *
 * Environment: HOPYARD_CONFIG, HOPYARD_NAME (for -c and -n, as hopyard(1) sets
 * them for a box of any type), HOPYARD_SUPERVISED=PID (of the supervisor: the box ends with it,
 * and leaves Ctrl-C to it), NOTIFY_SOCKET, LISTEN_PID and LISTEN_FDS (as
 * systemd sets them), HOPYARD_CORE=1 (may leave a core file).
 * Exit codes: 0 ended as asked, 1 failed, 2 usage or configuration.
 */
#ifndef COMMON_DAEMON_H
#define COMMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/attr.h"

struct box_opts;
struct buf;
struct conf;
struct conf_group;
struct daemon;

struct daemon_box {
	const char *program; /* "hop-smppc" */
	const char *type;    /* "smppc"; "bus" has no entry in boxes */
	const char *types;   /* further types, comma separated ("admin") */
	/* Start; returns 0, or <0 after logging why not. */
	int (*start)(struct daemon *, void *arg);
	/* Stop taking new work; call daemon_stop() when the rest is done. */
	void (*drain)(struct daemon *, void *arg);
	/* The new configuration is checked; return false with a reason (lines
	 * in `why`) to keep the old one.  After true the old one is gone, with
	 * all that was borrowed from it.  NULL: only log settings are taken. */
	bool (*reload)(
	    struct daemon *, const struct conf *, struct buf *why, void *arg);
	/* Free everything that is left.  The loop does not run again: handles
	 * need not be closed.  Also called when start() has failed. */
	void (*fini)(struct daemon *, void *arg);
	uint64_t drain_ms; /* 0: 30 s */
	/* Further options, as getopt(3) takes them ("M"), or NULL. */
	const char *options;
	const char *option_usage; /* "[-M]" */
	const char *option_help;  /* "  -M    ...\n" */
	bool (*option)(int c, const char *value, void *arg);
};

/* Runs the process and returns its exit code. */
int daemon_run(const struct daemon_box *, int argc, char **argv, void *arg);

uv_loop_t *daemon_loop(struct daemon *);
/* The current configuration and this box's group in it (the bus: NULL). */
const struct conf *daemon_conf(struct daemon *);
const struct conf_group *daemon_group(struct daemon *);
const char *daemon_name(struct daemon *);
const char *daemon_type(struct daemon *);
bool daemon_draining(struct daemon *);
/*
 * Name, type, addresses of the bus and certificates of this box.  key: the
 * setting of the group `bus` that has the address on the bus's own host.
 */
void daemon_box_opts(struct daemon *, const char *key, struct box_opts *);
/*
 * The cells that this box serves beside its own; and the options for the bus of
 * one of them, once.  Only for a type that has the setting `cells`.  What the
 * options point to stays until the process ends; the group is the
 * configuration's.
 */
size_t daemon_cells(struct daemon *);
const struct conf_group *daemon_cell_opts(
    struct daemon *, size_t i, struct box_opts *);
/* Everything that start() began is there: tells the supervisor. */
void daemon_ready(struct daemon *);
/* As SIGTERM does: once, and harmless when it is under way. */
void daemon_drain(struct daemon *);
/* The same soon, for somebody to start it again; false with why not: it was
 * started by nobody who does. */
bool daemon_restart(struct daemon *, struct buf *why) WARN_UNUSED;
/* End the loop after a last turn that writes what is waiting. */
void daemon_stop(struct daemon *, int code);
/* The same with code 0, and then the program starts anew, in this process: it
 * has nothing in its memory that it could go on with. */
void daemon_again(struct daemon *);
/* Load the file again, as SIGHUP does.  On failure err has the complaints,
 * else warnings and what has changed. */
bool daemon_reload(struct daemon *, struct buf *err);

extern const char hopyard_version[]; /* "0.1.0" */

#endif
