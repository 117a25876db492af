/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * answers.h - verdicts of one filter that it allows to be given again: by
 * number, or by account and number, for a time of its own choice.
 *
 * Bounded in entries, the one that was not used for longest goes first.  Keeps
 * packed bytes and does not know what is in them; knows no clock.
 */
#ifndef CORE_ANSWERS_H
#define CORE_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/map.h"
#include "common/queue.h"
#include "proto/bytes.h"

/* A longer verdict is not kept. */
#define ANSWERS_BYTES 512

/* What an answer is for. */
enum answers_by {
	ANSWERS_NUMBER = 0,
	ANSWERS_ACCOUNT_NUMBER,
};
#define ANSWERS_KINDS 2

struct answer;
TAILQ_HEAD(answer_list, answer);

struct answers {
	size_t max;
	size_t kind[ANSWERS_KINDS]; /* how many of each */
	struct map by_key;
	struct answer_list used; /* the latest last */
};

void answers_init(struct answers *);
void answers_fini(struct answers *);
/* 0: none are kept. */
void answers_set_max(struct answers *, size_t max);
void answers_clear(struct answers *);

/* mt: of a message to this number, else of one from it. */
struct answers_key {
	bool mt;
	struct bytes account, number;
};

/* The bytes, until the next call; p is NULL where there is no answer. */
struct bytes answers_get(
    struct answers *, const struct answers_key *, uint64_t now);
void answers_put(struct answers *, enum answers_by, const struct answers_key *,
    struct bytes, uint64_t until);

#endif
