/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guard.h - cuts off what runs for too long without ever asking whether it may:
 * a function of Lua's library in a long loop counts no instructions.
 *
 * The processor time of this process is looked at by a signal, and what runs is
 * left by a jump out of it.  So it may hold nothing that is needed afterwards:
 * no lock, no memory but that of a heap which is cleared then.
 */
#ifndef BOXES_LUA_GUARD_H
#define BOXES_LUA_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "common/attr.h"

/* Calls fn(arg).  False: it was cut off, after so many ms of processor time or
 * some more.  Not within itself. */
bool guard_run(void (*fn)(void *), void *arg, uint64_t ms) WARN_UNUSED;
/* Within it: what follows must not be cut off, until guard_go_on(). */
void guard_hold(void);
void guard_go_on(void);
/* There is no more work for now: the signals stop. */
void guard_rest(void);

#endif
