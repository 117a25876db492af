/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * question.h - what the bus asks a filter, and the answer to it: the part of
 * hopyard-protocol(7) that each box of this role needs, whoever decides.
 */
#ifndef BOXES_FILTER_QUESTION_H
#define BOXES_FILTER_QUESTION_H

#include "common/attr.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/bytes.h"

struct box;
struct credit;
struct frame;
struct item;

/* Borrowed from the frame and from memory that the next one is read into. */
struct question {
	const Hopyard__V1__Envelope *envelope;
	const Hopyard__V1__Content *content; /* NULL: the rule has it off */
	const Hopyard__V1__Ask *ask;
	struct bytes body; /* the Content as it came */
};

typedef void question_cb(const struct question *, void *arg);

/* Each question of a frame FILTER; what does not parse is logged and left out. */
void questions_read(
    const struct frame *, struct credit *, question_cb *, void *arg);
/* One item of it; false when it does not parse. */
bool question_read(struct question *, const struct item *) WARN_UNUSED;

/*
 * Sends the verdict about ref, with another text if that is not NULL; body is
 * the question's.  Returns NULL, or what is wrong with the text: then nothing
 * was sent.
 */
const char *question_answer(struct box *, uint64_t ref, struct bytes body,
    Hopyard__V1__Verdict *, const ProtobufCBinaryData *text);
/* There is no verdict: the rule's default counts, at once. */
void question_pass_over(struct box *, uint64_t ref);

#endif
