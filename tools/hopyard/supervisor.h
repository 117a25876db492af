/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * supervisor.h - the processes of one suite: starts those of a configuration,
 * keeps them running, stops them in order (front ends first, the store and
 * the database last, so that what is under way gets its answers).
 */
#ifndef HOPYARD_SUPERVISOR_H
#define HOPYARD_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "tools/hopyard/child.h"

struct conf;
struct conf_group;
struct notices;
struct sockets;

/* Children are stopped phase by phase. */
enum {
	PHASE_FRONT = 0,
	PHASE_EDGE, /* connectors, hooks */
	PHASE_BUS,
	PHASE_STORE,
	PHASE_BASE, /* simulator, database */
	PHASE_COUNT,
};

#define SUPERVISOR_MAX 256

struct supervisor {
	uv_loop_t *loop;
	struct child *child[SUPERVISOR_MAX];
	struct sockets *sockets[SUPERVISOR_MAX]; /* of the same; NULL: none */
	size_t count;
	struct notices *notices; /* NULL: none */
	bool stopping;
	unsigned phase;    /* that is being stopped */
	unsigned limit_ms; /* for one phase; then the hard way */
	uv_timer_t deadline;
	const char *log_dir; /* NULL: children write to our stderr */
	const char *run_dir; /* for pid files; NULL: none */
	const char *mark;    /* "K=V" for the environment of all, or NULL */
	/* A phase is being stopped now. */
	void (*step)(struct supervisor *, unsigned phase, void *arg);
	/* One did not end in time and is killed. */
	void (*late)(struct child *, void *arg);
	/* All have ended. */
	void (*done)(struct supervisor *, void *arg);
	/* A child has ended unasked; child_stopped(): it was to run once. */
	void (*died)(struct child *, int status, int sig, void *arg);
	void *arg;
};

void supervisor_init(struct supervisor *, uv_loop_t *);
/* Takes name, argv, env, phase, signals and `once` from the options; the rest
 * is the supervisor's.  NULL: too many.  Does not start it. */
struct child *supervisor_add(struct supervisor *, const struct child_opts *);
/* hop-bus and every enabled box of the file that is of this host; not started
 * yet. */
bool supervisor_add_conf(
    struct supervisor *, const struct conf *, char *err, size_t);
struct child *supervisor_find(struct supervisor *, const char *name);
void supervisor_start(struct supervisor *);
void supervisor_stop(struct supervisor *);
/* At once, the hard way. */
void supervisor_kill(struct supervisor *);
void supervisor_reload(struct supervisor *);
/* The loop has to run once more. */
void supervisor_fini(struct supervisor *);

/*
 * What a box is called: "hop-smppc" where it is the only one of its type, else
 * its name in the file; NULL is the bus.  In static memory.
 */
const char *supervisor_name(const struct conf *, const struct conf_group *box);
/*
 * The command of one box: argv[0] is a path.  A shell reads `exec`.  Returns a
 * NULL-ended list in static memory, or NULL with err.
 */
char **supervisor_argv(
    const struct conf *, const struct conf_group *box, char *err, size_t);
/* The same of a box on another host than the bus. */
char **supervisor_remote_argv(const char *type, const char *name,
    const char *bus, const char *certs, char *err, size_t);
/* What a box of an integrator finds in its environment: where the bus is and
 * who it is itself.  NULL-ended, in static memory. */
char **supervisor_env(const struct conf *, const struct conf_group *box);
/* Folder of the tools, where this program is, and of the boxes; static. */
const char *supervisor_home(void);
const char *supervisor_bin(void);

#endif
