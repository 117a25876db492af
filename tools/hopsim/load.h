/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * load.h - what both load generators share: when the next message is due, what
 * became of it, the line per second and the result.
 *
 * With a rate the load is an open loop: message n is due at start + n / rate,
 * whatever the peer does, and its latency counts from that moment, so that a
 * slow peer cannot hide by slowing the generator.  Without one the next message
 * is due as soon as there is room for it.
 */
#ifndef HOPSIM_LOAD_H
#define HOPSIM_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "tools/hopsim/counts.h"
#include "tools/hopsim/histogram.h"

struct json;
struct load;

/* What a generator brings along. */
struct load_ops {
	const char *mode; /* "smpp" */
	const char *(*status_name)(uint32_t);
	/* Sends what is due, as far as there is room: calls load_take(). */
	void (*pump)(void *arg);
	/* Once a second. */
	void (*second)(void *arg);
	/* All has been sent; called until it says that nothing more is to come.
	 */
	bool (*idle)(void *arg);
	/* Further members of the result. */
	void (*result)(void *arg, struct json *);
	/* Close everything; the loop ends by itself then. */
	void (*stop)(void *arg);
};

enum load_state {
	LOAD_WAITING = 0, /* for connections; the clock has not started */
	LOAD_RUNNING,
	LOAD_DRAINING, /* all sent, answers are awaited */
	LOAD_ENDED,
};

struct load {
	uv_loop_t *loop;
	/* options */
	double rate;        /* messages a second; 0: flat out */
	uint64_t count;     /* 0: no limit */
	uint64_t for_us;    /* 0: no limit */
	uint64_t warmup_us; /* not in the histogram */
	uint64_t wait_us;   /* for the peer at the start */
	uint64_t drain_us;
	uint64_t first; /* of the counter */
	unsigned digits;
	uint64_t cycle; /* of %m */
	bool quiet;

	const struct load_ops *ops;
	void *arg;
	enum load_state state;
	int timerfd;
	uv_poll_t tick; /* the timerfd: libuv's timers are too coarse */
	uv_timer_t second, ending;
	uv_signal_t term, intr;
	int code;

	uint64_t start_us, end_us, last_us, drain_from_us;
	uint64_t cpu_start_us;
	uint64_t taken, sent, ok, failed, lost, errors;
	uint64_t shown_ok, shown_us;
	struct counts by_status;
	struct histogram latency, accepted, refused; /* all, and each kind */
	struct histogram recent;                     /* since the last line */
};

/* One message that is due. */
struct load_message {
	uint64_t number; /* of the counter */
	uint64_t due_us; /* mono */
	uint64_t wall_us;
};

int load_main(int argc, char **argv);

/* Starts the timers; the clock starts with load_start(). */
void load_init(struct load *, const struct load_ops *, void *arg);
void load_start(struct load *);
/* Takes the next message if one is due now. */
bool load_take(struct load *, struct load_message *);
/* An answer to a message that was due at due_us. */
void load_answer(struct load *, uint64_t due_us, uint32_t status, bool ok);
/* It got none. */
void load_lose(struct load *);
/* Ends with this exit code; 0: as after a signal. */
void load_end(struct load *, int code);
/* Prints the result and returns the exit code. */
int load_fini(struct load *);

#endif
