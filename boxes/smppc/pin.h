/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pin.h - which bind takes the parts of a message that the customer split.
 *
 * Such parts are messages of their own to the suite; handsets, and some SMSCs,
 * want them in order, which only one bind keeps.  A bounded memory: the oldest
 * of its set is forgotten when there is no room, and its later parts may then
 * go by another bind.  Owned by the link; nothing is allocated before the first
 * such part.
 */
#ifndef BOXES_SMPPC_PIN_H
#define BOXES_SMPPC_PIN_H

#include <stdint.h>

#include "proto/bytes.h"
#include "proto/segment.h"

#define PIN_MS   (10 * 60 * 1000)
#define PIN_WAYS 4
#define PIN_SETS 1024 /* 4096 messages: 96 KiB */

struct bind;
struct pins;

struct pins *pins_new(void);
void pins_free(struct pins *); /* NULL is fine */

/* Of one message: what all its parts have in common. */
uint64_t pin_key(struct bytes account, struct bytes from, struct bytes to,
    const struct segment_key *);

/* The bind of the earlier parts, unless that was PIN_MS ago; or NULL. */
struct bind *pins_get(const struct pins *, uint64_t key, uint64_t now_ms);
/* This bind from now on. */
void pins_put(struct pins *, uint64_t key, struct bind *, uint64_t now_ms);
/* The bind is about to be freed. */
void pins_forget(struct pins *, const struct bind *);

#endif
