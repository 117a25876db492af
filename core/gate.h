/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gate.h - where boxes of other hosts come in: TCP with TLS 1.3, certificates
 * on both sides; and what they are told of the configuration.
 *
 * Owns the listeners on TCP, the bus's certificate and the bounds on those who
 * have not said who they are.  The peers are the broker's like all others.
 */
#ifndef CORE_GATE_H
#define CORE_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "common/expiry.h"
#include "hopyard/v1/bus.pb-c.h"

#define GATE_SOURCES 256

struct broker;
struct conf;
struct listener;
struct peer;
struct tls_config;

/* How many handshakes are left; filled up as time goes by. */
struct gate_bucket {
	uint64_t at; /* mono ms */
	uint32_t left;
};

struct gate {
	struct broker *broker;
	struct listener **listener;
	size_t count;
	struct tls_config *tls; /* NULL: there is no listener */
	struct expiry expiry;
	uint64_t ticked; /* mono ms */
	uint64_t seed;   /* nobody shall choose who shares a bucket */
	struct gate_bucket all, source[GATE_SOURCES];
};

/* Opens bus.listen; 0 or <0, logged. */
int gate_open(struct gate *, struct broker *, const struct conf *) WARN_UNUSED;
/* New certificates; who has one that is not good any more is sent away. */
void gate_configure(struct gate *, const struct conf *);
void gate_tick(struct gate *);
void gate_fini(struct gate *);

/* A peer of ours ends before its Hello was good. */
void gate_on_refused(const struct peer *, const char *reason);
/* NULL, or why a Hello is not what the peer's certificate says. */
const char *gate_fault(
    const struct peer *, const Hopyard__V1__Hello *, char *text, size_t cap);

/* As many as bus.max_boxes are connected, beside this one. */
bool gate_full(const struct gate *, const struct peer *);

/*
 * A box on another host may be welcomed: is its configuration fit to be told?
 * If not, why.  Fills in p->config_wanted.
 */
bool gate_prepare(struct peer *, char *why, size_t cap);
/* After its Welcome, or after a reload: tells it what it does not have yet. */
void gate_tell(struct peer *);

#endif
