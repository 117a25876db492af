/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rig.h - an engine between the tables of model.h and boxes that are played by
 * the test; for the tests that tell one scenario each.
 *
 * The store does nothing by itself: commit() makes durable what was recorded
 * and tells the horizon, pages() answers what was asked.  So every order of the
 * two can be played.  There is one rig a program, and its names are short:
 * each line of a test says them.
 */
#ifndef TEST_CORE_RIG_H
#define TEST_CORE_RIG_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "core/engine.h"
#include "test/unit/core/model.h"

#define WALL 1800000000000ull /* when the monotonic clock was at 0 */

#define ACK(x)    HOPYARD__V1__ACK__CODE__##x
#define RESULT(x) HOPYARD__V1__RESULT__CODE__##x

/* A page that the engine has asked for and that has not been answered. */
struct asked {
	uint64_t correlation;
	Hopyard__V1__Page page;
	uint8_t id[16];
};

extern struct engine *e;
extern struct db db;
extern struct buf buf;       /* of the item that is being built */
extern uint64_t now;         /* ms, monotonic */
extern int64_t stepped;      /* ms, of the wall clock */
extern uint64_t serial;      /* of the last id */
extern uint64_t number;      /* of the last item from a box */
extern uint64_t epoch;       /* of the bus */
extern struct asked asked[]; /* in this order */
extern size_t asked_count;

/* Empty tables and a configuration; no bus yet. */
void rig_init(const char *conf_text);
void rig_fini(void);

/* A new life of the bus; it knows nothing until store_open(). */
void engine_start(const struct engine_ops *);
void store_open(void);
/* Another configuration. */
void engine_reload(const char *conf_text);

/* For engine_ops. */
void on_page(void *arg, uint64_t correlation, const Hopyard__V1__Page *);
void on_note(void *arg, const struct engine_note *);
/*
 * How an item is handed over, and what the tables know of it, which is
 * something: only what is durable goes out.  Borrowed until the next call.
 */
const Hopyard__V1__Dispatch *dispatch_of(
    const struct item *, const struct db_row **);

void tick(uint64_t ms);
/* A long time, in steps that a real timer would make. */
void pass(uint64_t ms);

/* What was recorded up to this seq is durable; the bus is not told. */
void commit_quietly(struct db_news *, uint64_t upto);
/* The bus is told; frees the news. */
void tell(struct db_news *, uint64_t seq);
void commit_to(uint64_t upto);
void commit(void);
void answer_page(const struct asked *);
/* Answers all that was asked, also what the answers make it ask. */
void pages(void);

/* Must be there. */
struct target *target(const char *name);
/* The id of a process, valid until the next call. */
const uint8_t *instance(uint8_t n);
void result_of(const char *box, uint64_t ref, Hopyard__V1__Result__Code);

#endif
