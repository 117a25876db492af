/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * words.h - a question as a table of Lua, and what a script returns as a
 * verdict.
 */
#ifndef BOXES_LUA_WORDS_H
#define BOXES_LUA_WORDS_H

#include <lua.h>

struct question;
struct verdict;

/* On top of the stack; may raise an error. */
void words_put(lua_State *, const struct question *);
/* Of the value on top of the stack, in which its texts stay.  NULL, or what is
 * wrong, which is valid until the next call. */
const char *words_read(lua_State *, struct verdict *);

#endif
