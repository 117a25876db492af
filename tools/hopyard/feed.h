/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * feed.h - follows the log of the bus and shows what happens to messages, one
 * line per step, for a person at a terminal.  The log is read as a file, so
 * that a slow terminal holds up nobody; past so many lines a second they are
 * only counted.
 */
#ifndef HOPYARD_FEED_H
#define HOPYARD_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/attr.h"

struct feed;

/* Opens the file at its present end; nothing is read before feed_start().
 * `show` gets whole lines, with their end. */
struct feed *feed_new(uv_loop_t *, const char *path, bool color,
    void (*show)(const char *line, void *arg), void *arg) WARN_UNUSED;
void feed_start(struct feed *);
/* Reads what is there now if it was started; the loop has to run once more. */
void feed_close(struct feed *);

/*
 * A line of the log (text or JSON) as it is shown, or false when it is about
 * no message and no link.  Pure; for feed.c and its test.
 */
bool feed_format(const char *line, size_t len, bool color, char *dst,
    size_t size) WARN_UNUSED;

#endif
