/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ends.h - a client and a server of ours over a real socket, for the tests of
 * conn.h: the loop, what happened to each end, and waiting for it.  Each test
 * has its own callback, and ends with an empty loop: a handle that is left
 * over fails uv_loop_close().
 */
#ifndef TEST_COMMON_ENDS_H
#define TEST_COMMON_ENDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/conn.h"

#define END_EVENTS 6

/* One end of a connection, and what happened to it. */
struct end {
	struct conn *conn;
	unsigned seen[END_EVENTS];
	int error;
	char text[300]; /* of the error */
	size_t bytes;
	uint64_t sum; /* over position and value of every byte */
	bool echo;
	char peer[80];
	/* What a test has its end do. */
	int close_at;     /* event at which it closes itself, -1: none */
	bool flush_close; /* with conn_close_flush() */
	bool keep;        /* data stays */
	bool pause;       /* the same, and pauses */
	char tls[80];
};

extern uv_loop_t loop;
extern struct listener *listener;
extern struct end server, client;
extern unsigned accepted;

void ends_init(void);
/* Closes what is left. */
void ends_fini(void);

uint64_t checksum(uint64_t sum, size_t pos, const uint8_t *, size_t);
/* Counts what has come, and sends it back from an end that echoes. */
void end_take(struct end *);

/* Runs the loop until the question is answered with true, at most 5 s. */
#define RUN_UNTIL(f) run_until_true(f, #f)
void run_until_true(bool (*done)(void), const char *what);

#endif
