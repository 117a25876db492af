/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/lua/sandbox.h"

#include <lauxlib.h>
#include <lualib.h>

#include <stddef.h>

#include "common/attr.h"

static const luaL_Reg sandbox_libraries[] = {
	{ LUA_GNAME, luaopen_base },
	{ LUA_STRLIBNAME, luaopen_string },
	{ LUA_TABLIBNAME, luaopen_table },
	{ LUA_MATHLIBNAME, luaopen_math },
	{ LUA_UTF8LIBNAME, luaopen_utf8 },
};

static const char *const sandbox_without[] = { "collectgarbage", "dofile",
	"load", "loadfile", "print", "warn" };

/* As that of Lua, but for __gc: a finalizer runs without any limit. */
static int
sandbox_setmetatable(lua_State *L)
{
	int type = lua_type(L, 2);

	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_argexpected(
	    L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
	if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
		return luaL_error(L, "cannot change a protected metatable");
	if (type == LUA_TTABLE) {
		lua_pushliteral(L, "__gc");
		if (lua_rawget(L, 2) != LUA_TNIL)
			return luaL_error(L, "there are no finalizers here");
	}
	lua_settop(L, 2);
	lua_setmetatable(L, 1);
	return 1;
}

void
sandbox_open(lua_State *L, lua_CFunction log)
{
	for (size_t i = 0; i < ARRAY_LEN(sandbox_libraries); i++) {
		luaL_requiref(
		    L, sandbox_libraries[i].name, sandbox_libraries[i].func, 1);
		lua_pop(L, 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(sandbox_without); i++) {
		lua_pushnil(L);
		lua_setglobal(L, sandbox_without[i]);
	}
	lua_getglobal(L, LUA_STRLIBNAME);
	lua_pushnil(L);
	lua_setfield(L, -2, "dump");
	lua_pop(L, 1);
	lua_pushcfunction(L, sandbox_setmetatable);
	lua_setglobal(L, "setmetatable");
	lua_pushcfunction(L, log);
	lua_setglobal(L, "log");
}
