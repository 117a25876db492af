/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * message.h - one message of the JSON API: from the object that a client sent
 * to a draft, with every mistake reported at its JSON pointer.
 */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "boxes/http/draft.h"

struct account;
struct front;
struct problem_list;
struct segment_plan;

#define MESSAGE_CLIENT_REF 100

struct message_source {
	const struct front *front;
	const struct account *account;
	const struct draft_origin *origin;
	const json_t *defaults; /* or NULL; its mistakes are told once */
	bool tell_defaults;
	uint64_t now_ms; /* wall clock, for send_at */
};

/*
 * Reads `object`, whose place is `base` ("" or "/messages/3").  The draft
 * borrows from the object and from memory here: use it up before the next
 * call.  False when something was added to the list.
 */
bool message_read(const struct message_source *, const json_t *object,
    const char *base, struct draft *, const struct segment_plan **,
    struct problem_list *);

#endif
