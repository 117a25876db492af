/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replace.h - a message that takes the place of one that is not sent yet.
 *
 * SUBMIT with Envelope.replaces.  The old one is found and held as for a
 * cancel; then the new one is recorded and right behind it the end of the old,
 * and the box is answered when both are durable.  A bus that is killed in
 * between has both: when it loads the new one it ends the old.
 */
#ifndef CORE_REPLACE_H
#define CORE_REPLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/map.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

struct engine;
struct msg;

/* Replacements that wait for the store or for a box. */
#define REPLACE_MAX 65536
/* Tokens of cancels from here on are ours. */
#define REPLACE_TOKEN (1ull << 63)

void replace_init(struct map *);
void replace_fini(struct map *);

/* The envelope is good, and of nobody who is known. */
void replace_submit(struct engine *, uint32_t peer, uint64_t number,
    const char *front, const Hopyard__V1__Envelope *, const struct item *,
    const char *filtered);
/* After a restart: end the one whose place this one has. */
void replace_loaded(struct engine *, const struct msg *);
/* The old one is ours to end.  False: it stays, and the box has been told. */
bool replace_now(struct engine *, uint64_t token, struct msg *, uint32_t peer,
    uint64_t number, const Hopyard__V1__Result *, struct bytes raw);
/* It cannot be ended; code and text as of a cancel. */
void replace_failed(
    struct engine *, uint64_t token, unsigned code, const char *text);
/* Is the new one stored, because the box has asked before? */
void replace_looked_up(struct engine *, uint64_t token, bool found);

#endif
