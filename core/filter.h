/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * filter.h - boxes that have a word on a message before it is accepted.
 *
 * A message that a filter's rule matches is asked about before anything is
 * recorded and before its sender is told: the record has the changed message,
 * its tags and its route in one commit, and there is nothing to recover.  Until
 * the verdict its front end (of an MO, the connector) owns it, within the credit
 * that it has; if we end, it hands it over again.
 *
 * No filter stops the traffic.  A message waits for a verdict at most for the
 * deadline, then the rule's default counts; after so many without one in a row
 * the default is taken at once, and now and then a message goes to the filter
 * all the same, as a probe: its answer, in time, has the rule ask again.
 *
 * What was asked about is bounded in number and bytes; over that, too, the
 * default is taken.
 */
#ifndef CORE_FILTER_H
#define CORE_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/map.h"
#include "common/queue.h"
#include "core/answers.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct engine;
struct target;

/* Messages that wait for verdicts, in all. */
#define FILTER_ASKS  32768
#define FILTER_BYTES (64 * 1024 * 1024)
/* Tags of one message, and the length of one. */
#define FILTER_TAGS    8
#define FILTER_TAG_LEN 32

struct ask;
TAILQ_HEAD(ask_list, ask);

enum filter_state {
	FILTER_ASKING = 0,
	FILTER_PASSED_OVER, /* it does not answer: probes only */
};

enum filter_default {
	FILTER_PASS = 0,
	FILTER_REJECT,
	FILTER_LATER,
};

/* One that is connected, or was. */
struct filter_box {
	char *name;
	uint32_t peer; /* 0: it is away */
	uint8_t instance[16];
	uint64_t granted_items, granted_bytes; /* totals since Hello */
	uint64_t sent_items, sent_bytes;
	struct ask_list waiting; /* for credit */
};

struct filter_counters {
	uint64_t asked, cached;
	uint64_t passed, changed, rejected, later, held; /* by its word */
	uint64_t late;                                   /* deadlines */
	uint64_t skipped; /* not asked: away, passed over, or too many wait */
	uint64_t lost;    /* its connection went before the deadline */
	uint64_t invalid; /* verdicts that cannot be carried out */
	uint64_t probes;
	uint64_t wait_ms; /* for verdicts, in all */
};

/* One rule of the configuration. */
struct filter {
	char *name;
	size_t order; /* in the configuration */
	bool configured;
	struct filter_box *box;
	const char **to, **from, **account; /* borrowed text */
	uint8_t classes;                    /* bits; 0: any */
	bool mt, mo;
	bool content;
	uint64_t deadline;
	enum filter_default otherwise;
	unsigned failures;
	uint64_t probe;

	enum filter_state state;
	unsigned missed;       /* in a row */
	uint64_t abstained_at; /* last, by the filter itself */
	uint64_t probe_ref;    /* of the one that is under way, or 0 */
	bool probe_mo;
	uint64_t probe_until; /* its deadline */
	uint64_t next_probe;  /* mono ms */
	struct ask_list asks; /* with its box, or waiting; by deadline */
	size_t in_hand;       /* on it */
	struct answers answers;
	struct filter_counters count;
};

struct filters {
	struct filter **filter; /* by order */
	size_t count;
	struct map box_by_name;
	struct map by_ref;     /* asks */
	struct map by_id;      /* all of them */
	struct ask_list again; /* their rule is gone, within a reload */
	size_t bytes;          /* in asks */
	uint64_t next_ref;
	uint64_t strays;    /* verdicts that nobody waits for */
	struct arena arena; /* a kept verdict */
	uint8_t memory[4096];
};

struct filters *filters_new(void);
void filters_free(struct filters *);

/* From engine_configure(), when all else is in force.  Returns whether there is
 * a rule. */
bool filters_configure(struct engine *);

/*
 * An MT that is good, of nobody who is known: true when a filter has it, or had
 * its word; the peer is told as by engine_submit().  False: no rule matches.
 */
bool filters_submit(struct engine *, uint32_t peer, uint64_t number,
    const char *front, const Hopyard__V1__Envelope *, const struct item *);
/* The same of an MO. */
bool filters_inbound(struct engine *, struct target *, uint32_t peer,
    uint64_t number, const Hopyard__V1__Envelope *, const struct item *);
/* Its front end does not want it any more: nobody waits for a verdict. */
void filters_withdraw(struct engine *, const uint8_t id[16]);
/* The cell is given up or in doubt: who handed them over does so again, to its
 * owner, and is not told a default that was nobody's word. */
void filters_forget(struct engine *);
/* Deadlines; mono ms of the next one, or UINT64_MAX. */
uint64_t filters_tick(struct engine *);
uint64_t filters_due(const struct filters *);

#endif
