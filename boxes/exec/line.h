/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * line.h - the lines of JSON between box and program, and what they say on the
 * bus: hop-exec(8) is their manual.  Pure: no I/O, no log.
 */
#ifndef BOXES_EXEC_LINE_H
#define BOXES_EXEC_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boxes/filter/verdict.h"
#include "hopyard/v1/bus.pb-c.h"

struct buf;

/* A line for the program, with its end.  id names it in the answer. */
void line_put_deliver(struct buf *, uint64_t id, const Hopyard__V1__Envelope *,
    const Hopyard__V1__Content *, const Hopyard__V1__Dispatch *);
void line_put_filter(struct buf *, uint64_t id, const Hopyard__V1__Envelope *,
    const Hopyard__V1__Content *, const Hopyard__V1__Ask *);
/* What became of a message or receipt of the program's. */
void line_put_ack(struct buf *, const char *id, const char *code);

enum line_kind {
	LINE_BAD = 0, /* fault says why */
	LINE_RESULT,
	LINE_VERDICT, /* with a fault: there will be no other about this id */
	LINE_MESSAGE,
	LINE_RECEIPT,
};

#define LINE_TEXT 65536
#define LINE_ID   64

/* Texts are borrowed from the line's JSON, until line_free(). */
struct line {
	enum line_kind kind;
	const char *fault;
	uint64_t id;        /* RESULT, VERDICT: of the question */
	char name[LINE_ID]; /* MESSAGE, RECEIPT: what the program calls it */
	Hopyard__V1__Result result; /* without ref and id */
	Hopyard__V1__Result__Part part, *parts[1];
	struct verdict verdict;
	Hopyard__V1__Envelope envelope; /* MESSAGE, RECEIPT: without id, link */
	Hopyard__V1__Content content;
	Hopyard__V1__Notice notice;
	void *json;
};

void line_read(struct line *, const char *, size_t len);
void line_free(struct line *);

#endif
