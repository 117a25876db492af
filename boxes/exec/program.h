/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * program.h - one copy of the program that the box runs: started, read line by
 * line, started again with a growing pause when it ends, and ended.
 *
 * No shell; an environment of our own.  What it writes to standard error goes
 * to the log.  A line of its output that is too long ends it.
 */
#ifndef BOXES_EXEC_PROGRAM_H
#define BOXES_EXEC_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define PROGRAM_LINE (64 * 1024)

struct program;

struct program_ops {
	void (*up)(struct program *, void *arg);
	/* A line without its end, and a NUL. */
	void (*line)(struct program *, char *line, size_t len, void *arg);
	/* It has ended, and all that it said has been handed on.  It comes
	 * back unless program_stop() was called. */
	void (*gone)(struct program *, void *arg);
};

struct program_opts {
	unsigned number; /* in the log */
	char **argv;     /* borrowed, as all here */
	char **env;
	uint64_t restart_ms, restart_max_ms;
};

struct program *program_new(uv_loop_t *, const struct program_opts *,
    const struct program_ops *, void *arg);
/* Only when it has ended, or the loop does not run any more: kill -9. */
void program_free(struct program *);

bool program_running(const struct program *);
/* For good. */
bool program_ended(const struct program *);
/* Copies the line, which has its end. */
void program_write(struct program *, const void *line, size_t len);
/* Octets that were written and that it has not read, but for those in the
 * kernel; only while it is running. */
size_t program_unread(const struct program *);
/* It is stuck: kill -9, and another one. */
void program_kill(struct program *, const char *why);
/* Ends its input, later asks by signal, later kills; then gone(), and it stays
 * so. */
void program_stop(struct program *);
unsigned program_number(const struct program *);

#endif
