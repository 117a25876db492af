/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * answer.h - one HTTP answer out of the octets of a connection, as they come:
 * llhttp finds the parts, and what nobody asked for is not kept.
 *
 * Interim answers (1xx) are read over.  The head, together with that of interim
 * answers and of trailers, may have ANSWER_HEAD_MAX octets; of the body no more
 * than max_body are read.  No I/O and no clock here: a fuzz target drives it.
 */
#ifndef HOOK_ANSWER_H
#define HOOK_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <llhttp.h>

#include "common/attr.h"
#include "common/buf.h"
#include "proto/frame.h"

#define ANSWER_HEAD_MAX  (256 * 1024)
#define ANSWER_NAME_MAX  16 /* longer names are none of ours */
#define ANSWER_VALUE_MAX 160

enum answer_state {
	ANSWER_HEAD = 0, /* the head is not complete */
	ANSWER_BODY,     /* the status is known, more of the body is to come */
	ANSWER_DONE,     /* all there, or as much of it as we take */
	ANSWER_BAD,      /* no HTTP, or not all of it: see error */
};

/* The value of a field; one that is longer than we take counts as absent. */
struct answer_value {
	char text[ANSWER_VALUE_MAX];
	uint16_t len;
	bool over;
};

struct answer {
	llhttp_t llhttp;
	enum answer_state state;
	bool want_body;
	size_t max_body;
	unsigned status;
	bool keep_alive; /* DONE: the connection can be used again */
	bool truncated;  /* DONE: the body is longer than max_body */
	bool framed;     /* an interim answer is over, the next one begins */
	const char *error;
	size_t wire;     /* octets seen, without those of the body */
	size_t received; /* of the body, wanted or not */
	struct buf body;
	struct answer_value type;        /* Content-Type */
	struct answer_value retry_after; /* Retry-After */
	struct answer_value *value;      /* of the field that is being read */
	char name[ANSWER_NAME_MAX];
	size_t name_len;
};

void answer_init(struct answer *);
void answer_fini(struct answer *);
/* For the next answer; the memory of the body is kept. */
void answer_reset(struct answer *, bool want_body, size_t max_body);

/*
 * Reads on, in HEAD and BODY only.  Returns how many octets belonged to it:
 * all of them unless it is over now.
 */
size_t answer_run(struct answer *, const uint8_t *, size_t len) WARN_UNUSED;
/* The peer will send no more: DONE or BAD, in HEAD and BODY only. */
void answer_end(struct answer *);

/* Content-Type, or NULL. */
const char *answer_type(const struct answer *);
/* Retry-After in milliseconds from now (wall clock), as seconds or as a date;
 * 0: not there, or nothing that can be read. */
uint64_t answer_retry_after_ms(const struct answer *, uint64_t wall_ms);

#endif
