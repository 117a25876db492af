/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timeline.h - the story of one message, told from its rows as JSON.  Pure:
 * rows in, JSON out.
 *
 * Customers are told what became of their message; what our side looks like
 * (link, bind, rule, queue, addresses of clients) is for operators only.
 */
#ifndef STORE_TIMELINE_H
#define STORE_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/bytes.h"
#include "proto/frame.h"

/* Where a message stands; fold its own events in the order of seq. */
struct timeline_state {
	unsigned state; /* Hopyard__V1__State */
	bool final;
	bool by_timer; /* set by us as time was over: may be corrected once */
};
/* As its own row leaves it; NULL: a Record that does not parse. */
void timeline_begin(struct timeline_state *, const Hopyard__V1__Record *);
/* from_bus: the row has a Record, so no receipt decided. */
void timeline_fold(
    struct timeline_state *, unsigned type, unsigned state, bool from_bus);

/* "delivered"; NULL for a number that is no state. */
const char *timeline_word(unsigned state);
/* Bit n is set for each state n of that word; 0: no such word. */
uint32_t timeline_states(const char *word, size_t len);

/* One message row; what it points to is borrowed. */
struct timeline_message {
	uint8_t id[16];
	uint64_t seq;
	uint64_t expires_at;
	unsigned parts, kind, class;
	struct bytes account, to, from, client_ref;
	struct bytes queue; /* its name, or NULL */
	struct bytes rec, envelope, body;
};

/* One event row. */
struct timeline_event {
	uint64_t seq, at, ref;
	unsigned type, state, part;
	struct bytes rec, body;
};

struct timeline {
	struct json *json;
	struct arena *arena; /* for decoding; reset here */
	bool control;        /* show everything */
	bool text;           /* and the text */
	struct timeline_message message;
	const struct timeline_event *event; /* in the order of seq */
	size_t count;
	size_t max; /* bytes of JSON after which events are left out */
};

/* The members that a list has as well; no braces around them. */
void timeline_head(const struct timeline *, const struct timeline_state *);
/* One object. */
void timeline_tell(const struct timeline *);
/* "text", or "data" and "udh", of a Content. */
void timeline_content(const struct timeline *);

#endif
