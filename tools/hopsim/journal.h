/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * journal.h - the evidence: JSON lines appended with write(2) before anything
 * that follows from them leaves the process, so that kill -9 destroys none of
 * it.  (No fsync: it is not the machine that tests pull the plug of.)
 *
 * Users append lines through journal_begin() and journal_end() during a turn
 * of the loop and call journal_flush() once before they return to it; what is
 * given to conn_send() in the same turn leaves later.
 */
#ifndef HOPSIM_JOURNAL_H
#define HOPSIM_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/json.h"

struct journal {
	int fd;
	const char *path;
	struct buf lines;
	struct json json;
};

/*
 * One line of an older run, borrowed.  number is the value of the second
 * member ("n" or "key"); text is the whole line.
 */
struct journal_line {
	const char *event;
	size_t event_len;
	uint64_t number;
	const char *text;
	size_t len;
};
typedef void journal_line_cb(const struct journal_line *, void *arg);

/* Opens or makes the file.  Returns 0 or UV_E*. */
int journal_open(struct journal *, const char *path) WARN_UNUSED;
/* Hands out every whole line, in order; a torn one at the end is ended and
 * skipped.  Returns 0 or UV_E*. */
int journal_read(struct journal *, journal_line_cb *, void *arg) WARN_UNUSED;
void journal_close(struct journal *);

/*
 * {"ev":"EVENT","KEY":NUMBER,"t":WALL_MS ... the caller adds members ...}
 * Returns the writer for them.
 */
struct json *journal_begin(struct journal *, const char *event, const char *key,
    uint64_t number, uint64_t wall_ms);
void journal_end(struct journal *);
/* Writes what has gathered; ends the process when that fails. */
void journal_flush(struct journal *);

#endif
