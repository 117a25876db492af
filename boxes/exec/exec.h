/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * exec.h - hop-exec: hands what the bus asks to copies of a program, and its
 * answers back.
 *
 * A job is a message of a connector or a question of a filter.  It waits here
 * until a copy has room, is then that copy's until it answers, ends or is too
 * slow, and its fate is told: a connector says of what a program had and did
 * not answer that the outcome is unknown, and the bus decides; of a filter the
 * bus stops waiting by itself.
 */
#ifndef BOXES_EXEC_EXEC_H
#define BOXES_EXEC_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boxes/exec/program.h"
#include "common/credit.h"
#include "common/map.h"
#include "common/queue.h"

struct box;
struct copy;
struct daemon;
struct job;

TAILQ_HEAD(job_list, job);

struct exec {
	struct daemon *daemon;
	struct box *box;
	bool filter; /* else a connector */
	char **argv, **env;
	struct copy *copies;
	size_t count, running;
	size_t window; /* of each copy */
	uint64_t timeout_ms;
	struct job_list waiting; /* for a copy that has room */
	size_t waiting_count;
	struct map by_key; /* all jobs, by the id that programs see */
	struct map by_ref; /* a connector's, by that of the bus */
	uint64_t last_key;
	struct credit credit;
	size_t inbound; /* messages and receipts that the bus has not settled */
	uv_timer_t timer;
	enum exec_state {
		EXEC_RUNNING = 0,
		EXEC_DRAINING, /* takes nothing on, waits for answers */
		EXEC_STOPPING, /* there are none to come; programs end */
		EXEC_CLOSING,  /* the box is on its way out */
	} state;
};

int exec_start(struct exec *, struct daemon *);
void exec_drain(struct exec *);
void exec_fini(struct exec *);

#endif
