/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * child.h - one process that hopyard starts and keeps running.
 *
 * Owned by the supervisor.  A child that ends unasked is started again after
 * 20 ms, doubling to 30 s while it keeps dying young; a life of ten seconds, or
 * of one that ended with 0, sets the wait back.  It writes straight into its log file, so that nothing
 * of ours can hold it up.  It runs in a session of its own, so that Ctrl-C
 * reaches only us, and dies with us.
 */
#ifndef HOPYARD_CHILD_H
#define HOPYARD_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

struct child;

struct child_opts {
	const char *name;     /* "hop-bus", or the name of the box */
	const char *log_file; /* NULL: our stderr */
	const char *pid_file; /* NULL: none */
	char **argv;          /* argv[0] is a path; copied */
	char **env;           /* "K=V", added to ours; NULL: none */
	int stop_signal;      /* 0: SIGTERM */
	int kill_signal;      /* 0: SIGKILL */
	unsigned phase;       /* children are stopped in order of phase */
	bool once;            /* not started again */
	bool deaf;            /* knows nothing of SIGHUP */
	/* Another one may be started while it drains: child_leaving(). */
	bool overlaps;
	/* Listening sockets for it (inherited.h), NULL: none; asked for before
	 * each start, and borrowed for it. */
	size_t (*sockets)(struct child *, const int **fds, void *arg);
	/* It has ended; child_stopped() says whether for good. */
	void (*ended)(struct child *, int status, int signal, void *arg);
	void *arg;
};

/* Does not start it. */
struct child *child_new(uv_loop_t *, const struct child_opts *);
void child_start(struct child *);
/* Ends it and does not start it again; `ended` follows, perhaps at once. */
void child_stop(struct child *);
/* The hard way. */
void child_kill(struct child *);
/* The process says that it drains, and nobody here has asked it to: where that
 * may be, the next one starts now. */
void child_leaving(struct child *, pid_t);
void child_reload(struct child *); /* SIGHUP */
void child_free(struct child *);   /* after it has ended and the loop has run */

bool child_idle(const struct child *); /* never started */
bool child_running(const struct child *);
bool child_stopped(const struct child *);
pid_t child_pid(const struct child *); /* 0: not running */
const char *child_name(const struct child *);
unsigned child_phase(const struct child *);
unsigned child_restarts(const struct child *);
/* The last line in its log file, for an error message. */
const char *child_last_line(const struct child *, char *dst, size_t);

/* Run in the child by the hidden subcommand "child": dies with the parent,
 * takes what sockets it was given in its own name, then becomes argv.  Returns
 * only on failure. */
int child_exec(int stop_signal, char **argv);

#endif
