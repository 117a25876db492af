/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * mo.h - messages from mobiles: a generator at a steady rate, and the automatic
 * answer to "ping".
 */
#ifndef HOPSIM_MO_H
#define HOPSIM_MO_H

#include <stddef.h>

#include "proto/bytes.h"

struct account;
struct message;
struct smsc;

/* Makes what has become due since the last call; nothing while no receiver is
 * bound. */
void mo_generate(struct smsc *);
/* "pong" when the message is "ping". */
void mo_answer(struct smsc *, struct account *, const struct message *);

#endif
