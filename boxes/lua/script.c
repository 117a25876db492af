/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/lua/script.h"

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "boxes/filter/question.h"
#include "boxes/filter/verdict.h"
#include "boxes/lua/guard.h"
#include "boxes/lua/heap.h"
#include "boxes/lua/sandbox.h"
#include "boxes/lua/words.h"
#include "common/attr.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"

#define SCRIPT_STEP 1000 /* instructions between two looks at the limits */
/* To read a script, which may have long lists. */
#define SCRIPT_LOAD_INSTRUCTIONS 20000000
#define SCRIPT_LOAD_MS           1000
#define SCRIPT_FAULT             200
/* What is shorter than that is everywhere. */
#define SCRIPT_SECRET 4
/* Lua calls it so in its messages, and cuts longer names. */
#define SCRIPT_NAME "script"

struct script {
	struct heap *heap;
	lua_State *L; /* NULL: it has to begin anew */
	char *path;
	char *text;
	size_t text_len;
	struct script_limits limits;
	char fault[SCRIPT_FAULT];

	/* of the call that is running */
	const struct question *question; /* NULL: it is read */
	struct verdict *verdict;
	uint64_t instructions, most;
	uint64_t deadline;   /* mono ms */
	enum script_end end; /* the limit that is passed, or 0 */
};

static const char *const script_end_words[SCRIPT_ENDS] = {
	[SCRIPT_INSTRUCTIONS] = "too many instructions",
	[SCRIPT_TIME] = "it takes too long",
	[SCRIPT_MEMORY] = "not enough memory",
};

static struct script *
script_of(lua_State *L)
{
	return *(struct script **)lua_getextraspace(L);
}

/* ------------------------------------------------- what is told of a script */

/* The message's own words are in it. */
static bool
script_has(ProtobufCBinaryData secret, const char *p, size_t len)
{
	return secret.len >= SCRIPT_SECRET &&
	    memmem(p, len, secret.data, secret.len) != NULL;
}

/* What a script or Lua itself says goes to the log: without numbers and texts. */
static void
script_mask(
    const struct script *s, const char *p, size_t len, char dst[SCRIPT_FAULT])
{
	const struct question *q = s->question;

	if (q != NULL && q->content != NULL &&
	    (script_has(q->content->text, p, len) ||
		script_has(q->content->data, p, len))) {
		snprintf(dst, SCRIPT_FAULT, "(the text of a message)");
		return;
	}
	log_words(dst, SCRIPT_FAULT, p, len);
}

/* "script:7: ...": the name is that of the file. */
static void
script_set_fault(struct script *s, const char *p, size_t len)
{
	static const char name[] = SCRIPT_NAME ":";
	size_t n = sizeof(name) - 1;

	if (len > n && memcmp(p, name, n) == 0) {
		p += n;
		len -= n;
	}
	script_mask(s, p, len, s->fault);
}

static int
script_log(lua_State *L)
{
	static struct log_limit limit;
	struct script *s = script_of(L);
	char line[SCRIPT_FAULT];
	const char *p;
	size_t len;

	p = luaL_tolstring(L, 1, &len);
	guard_hold();
	script_mask(s, p, len, line);
	if (log_limit(&limit, 20))
		log_info("script.says", "line=%s", line);
	guard_go_on();
	return 0;
}

/* ----------------------------------------------------------------- limits */

/*
 * Raised at each instruction from then on, as a script may catch it: so it
 * comes out of every pcall() in which it is.
 */
static void
script_hook(lua_State *L, lua_Debug *ar UNUSED)
{
	struct script *s = script_of(L);

	s->instructions += SCRIPT_STEP;
	if (s->end == SCRIPT_VERDICT) {
		if (s->instructions > s->most)
			s->end = SCRIPT_INSTRUCTIONS;
		else if (clock_mono_ms() >= s->deadline)
			s->end = SCRIPT_TIME;
		else
			return;
		lua_sethook(L, script_hook, LUA_MASKCOUNT, 1);
	}
	luaL_where(L, 0);
	lua_pushstring(L, script_end_words[s->end]);
	lua_concat(L, 2);
	lua_error(L);
}

static void
script_read_error(struct script *s)
{
	static const char odd[] = "error() was called with what is no text";
	const char *p = odd;
	size_t len = sizeof(odd) - 1;

	if (lua_type(s->L, -1) == LUA_TSTRING)
		p = lua_tolstring(s->L, -1, &len);
	script_set_fault(s, p, len);
}

/* Calls body in the sandbox; what it leaves on the stack stays there. */
static void
script_enter(struct script *s, lua_CFunction body)
{
	int rc;

	lua_settop(s->L, 0);
	lua_sethook(s->L, script_hook, LUA_MASKCOUNT, SCRIPT_STEP);
	lua_pushcfunction(s->L, body);
	rc = lua_pcall(s->L, 0, 1, 0);
	if (rc == LUA_OK)
		return;
	if (rc == LUA_ERRMEM)
		s->end = SCRIPT_MEMORY;
	else if (s->end == SCRIPT_VERDICT)
		s->end = SCRIPT_ERROR;
	script_read_error(s);
}

static void
script_forget(struct script *s)
{
	s->L = NULL;
	heap_clear(s->heap);
}

/* Both are in the same state afterwards, but for s->L. */
static enum script_end
script_run(struct script *s, void (*enter)(void *), uint64_t ms, uint64_t most)
{
	s->end = SCRIPT_VERDICT;
	s->instructions = 0;
	s->most = most;
	s->deadline = clock_mono_ms() + ms;
	s->fault[0] = '\0';
	if (!guard_run(enter, s, ms)) {
		/* In the middle of anything. */
		s->end = SCRIPT_TIME;
		snprintf(s->fault, sizeof(s->fault), "%s, in one call",
		    script_end_words[SCRIPT_TIME]);
		s->L = NULL;
	}
	if (s->end == SCRIPT_MEMORY)
		s->L = NULL;
	if (s->L == NULL)
		script_forget(s);
	return s->end;
}

/* ---------------------------------------------------------------- reading */

static int
script_load_body(lua_State *L)
{
	struct script *s = script_of(L);

	sandbox_open(L, script_log);
	if (luaL_loadbufferx(L, s->text, s->text_len, "=" SCRIPT_NAME, "t") !=
	    LUA_OK)
		return lua_error(L);
	lua_call(L, 0, 0);
	if (lua_getglobal(L, "filter") != LUA_TFUNCTION)
		return luaL_error(L, "there is no function filter()");
	if (s->end != SCRIPT_VERDICT)
		return luaL_error(L, "%s", script_end_words[s->end]);
	return 0;
}

static void
script_load_enter(void *arg)
{
	struct script *s = arg;

	s->L = lua_newstate(heap_realloc, s->heap);
	if (s->L == NULL) {
		s->end = SCRIPT_MEMORY;
		script_set_fault(s, script_end_words[SCRIPT_MEMORY],
		    strlen(script_end_words[SCRIPT_MEMORY]));
		return;
	}
	*(struct script **)lua_getextraspace(s->L) = s;
	script_enter(s, script_load_body);
}

static enum script_end
script_load(struct script *s)
{
	script_forget(s);
	s->question = NULL;
	if (script_run(s, script_load_enter, SCRIPT_LOAD_MS,
		SCRIPT_LOAD_INSTRUCTIONS) != SCRIPT_VERDICT)
		script_forget(s);
	return s->end;
}

static char *
script_read(const char *path, size_t *len, struct buf *why)
{
	char *text = NULL;
	FILE *f = fopen(path, "re");

	if (f == NULL) {
		buf_printf(why, "%s: %s\n", path, strerror(errno));
		return NULL;
	}
	text = xmalloc(SCRIPT_TEXT_MAX + 1);
	*len = fread(text, 1, SCRIPT_TEXT_MAX + 1, f);
	if (ferror(f) || *len > SCRIPT_TEXT_MAX) {
		buf_printf(why, "%s: %s\n", path,
		    ferror(f) ? strerror(errno) : "the script is too long");
		free(text);
		text = NULL;
	}
	(void)fclose(f);
	return text;
}

struct script *
script_of_text(const char *path, const char *text, size_t len,
    const struct script_limits *limits, struct buf *why)
{
	struct script *s = xcalloc(1, sizeof(*s));

	s->path = xstrdup(path);
	s->text = xmemdup(text, len);
	s->text_len = len;
	s->limits = *limits;
	s->heap = heap_new(limits->memory);
	if (s->heap == NULL) {
		buf_printf(why, "%s: there is no memory for it\n", path);
	} else if (script_load(s) == SCRIPT_VERDICT) {
		return s;
	} else {
		/* A line of its own, or of none. */
		buf_printf(why, "%s:%s%s\n", path,
		    s->fault[0] >= '0' && s->fault[0] <= '9' ? "" : " ",
		    s->fault);
	}
	script_free(s);
	return NULL;
}

struct script *
script_new(
    const char *path, const struct script_limits *limits, struct buf *why)
{
	size_t len;
	char *text = script_read(path, &len, why);
	struct script *s = NULL;

	if (text != NULL)
		s = script_of_text(path, text, len, limits, why);
	free(text);
	return s;
}

void
script_free(struct script *s)
{
	if (s == NULL)
		return;
	heap_free(s->heap);
	free(s->path);
	free(s->text);
	free(s);
}

/* ---------------------------------------------------------------- judging */

static int
script_judge_body(lua_State *L)
{
	struct script *s = script_of(L);
	const char *fault;

	lua_getglobal(L, "filter");
	words_put(L, s->question);
	lua_call(L, 1, 1);
	/* It may have caught that with its last instruction. */
	if (s->end != SCRIPT_VERDICT)
		return luaL_error(L, "%s", script_end_words[s->end]);
	fault = words_read(L, s->verdict);
	if (fault != NULL)
		return luaL_error(L, "%s", fault);
	return 1;
}

static void
script_judge_enter(void *arg)
{
	script_enter(arg, script_judge_body);
}

enum script_end
script_judge(struct script *s, const struct question *q, uint64_t left_ms,
    struct verdict *v)
{
	if (s->L == NULL && script_load(s) != SCRIPT_VERDICT)
		return s->end;
	s->question = q;
	s->verdict = v;
	(void)script_run(s, script_judge_enter,
	    left_ms < s->limits.timeout_ms ? left_ms : s->limits.timeout_ms,
	    s->limits.instructions);
	s->question = NULL;
	return s->end;
}

const char *
script_fault(const struct script *s)
{
	return s->fault;
}

size_t
script_memory(const struct script *s)
{
	return heap_used(s->heap);
}
