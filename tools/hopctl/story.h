/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * story.h - the timeline of a message in sentences.  Pure: JSON of
 * "message.show" in, text out.
 */
#ifndef HOPCTL_STORY_H
#define HOPCTL_STORY_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct buf;

/* What an event says: "part 1 of 2 to sim, bind trx1, rtt 0.9 ms". */
void story_words(struct buf *, const json_t *event);
/*
 * Its line: time, difference to *last, name, words.  *last is the time of the
 * event before, 0 for the first, and is set.
 */
void story_line(struct buf *, const json_t *event, uint64_t *last, bool color);
/* The whole message. */
void story_tell(struct buf *, const json_t *message, bool color);

#endif
