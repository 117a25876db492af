/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox.h - what a script finds: string, table, math, utf8 and the harmless
 * part of the basic functions; and log().
 *
 * Left out is what reaches other things than the script's own (io, os, package,
 * debug), takes or makes bytecode, and what would run where no limit is looked
 * at: coroutines, which have a count of their own, and finalizers.
 */
#ifndef BOXES_LUA_SANDBOX_H
#define BOXES_LUA_SANDBOX_H

#include <lua.h>

/* May raise an error. */
void sandbox_open(lua_State *, lua_CFunction log);

#endif
