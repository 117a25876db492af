/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * route.h - which links may carry a message: rules by destination prefix,
 * sender, account and the tags of filters, first match wins, candidates in
 * order.
 *
 * Pure functions of message and table.  The table borrows text from the
 * configuration and targets from the engine.
 */
#ifndef CORE_ROUTE_H
#define CORE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"

struct conf;
struct conf_group;
struct target;

#define ROUTE_VIA_MAX 8

struct route {
	const char *name;
	const char **to, **from, **account; /* NULL-ended, or NULL: any */
	const char **tag;
	struct target *via[ROUTE_VIA_MAX];
	size_t via_count;
	int class; /* -1: as the account says */
};

struct route_table {
	struct route *route;
	size_t count;
};

/* What of a message the rules look at. */
struct route_key {
	struct bytes account, to, from;
	const ProtobufCBinaryData *tag;
	size_t tags;
};

/* target_of finds the target of a name; it must exist for every name that
 * passed the checks of the configuration. */
typedef struct target *route_target_cb(void *arg, const char *name);
struct route_table *route_table_new(
    const struct conf *, route_target_cb *, void *arg);
void route_table_free(struct route_table *);

const struct route *route_find(
    const struct route_table *, const struct route_key *);
/* NULL when rule r takes the message, else the reason it does not. */
const char *route_misfit(const struct route *, const struct route_key *);

/* The patterns of a list setting, NULL-ended, borrowed text; NULL: any. */
const char **route_patterns(const struct conf_group *, const char *key);
/* prefix: all are, else those that end in '*'. */
bool route_matches(const char **patterns, struct bytes, bool prefix);

#endif
