/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/lua/words.h"

#include <stdio.h>
#include <string.h>

#include "boxes/filter/question.h"
#include "boxes/filter/verdict.h"
#include "common/uuid.h"

#define WORDS_FIELDS 20 /* of a message, about */

static void
put_bytes(lua_State *L, const char *key, bool has, ProtobufCBinaryData b)
{
	if (!has)
		return;
	lua_pushlstring(L, (const char *)b.data, b.len);
	lua_setfield(L, -2, key);
}

static void
put_number(lua_State *L, const char *key, bool has, uint64_t n)
{
	if (!has)
		return;
	lua_pushinteger(L, (lua_Integer)n);
	lua_setfield(L, -2, key);
}

static void
put_word(lua_State *L, const char *key, const char *word)
{
	lua_pushstring(L, word);
	lua_setfield(L, -2, key);
}

static void
put_tags(lua_State *L, const Hopyard__V1__Envelope *e)
{
	lua_createtable(L, (int)e->n_tag, 0);
	for (size_t i = 0; i < e->n_tag; i++) {
		lua_pushlstring(L, (const char *)e->tag[i].data, e->tag[i].len);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_setfield(L, -2, "tags");
}

void
words_put(lua_State *L, const struct question *q)
{
	const Hopyard__V1__Envelope *e = q->envelope;
	const Hopyard__V1__Content *c = q->content;
	bool mo = e->kind == HOPYARD__V1__KIND__MO;
	char id[UUID_TEXT_LEN];

	lua_createtable(L, 0, WORDS_FIELDS);
	put_word(L, "message", uuid_format(e->id.data, id));
	put_bytes(L, "filter", true, q->ask->filter);
	put_word(L, "direction", mo ? "mo" : "mt");
	put_number(L, "deadline_ms", true, q->ask->deadline_ms);
	put_bytes(L, "account", e->has_account, e->account);
	put_bytes(L, "to", e->has_to, e->to);
	put_bytes(L, "from", e->has_from, e->from);
	if (e->has_class_ && e->class_ > 0 && e->class_ < VERDICT_CLASSES)
		put_word(L, "class", verdict_class_names[e->class_]);
	put_number(L, "parts", true, e->parts);
	put_bytes(L, "client_ref", e->has_client_ref, e->client_ref);
	put_bytes(L, "link", mo && e->has_link, e->link);
	put_tags(L, e);
	if (e->segment != NULL) {
		put_number(L, "part", true, e->segment->number);
		put_number(L, "of", true, e->segment->total);
	}
	if (c == NULL)
		return;
	put_bytes(L, "text", c->has_text, c->text);
	put_bytes(L, "data", c->has_data, c->data);
	put_bytes(L, "udh", c->has_udh, c->udh);
	put_number(L, "data_coding", c->has_data_coding, c->data_coding);
}

/* --------------------------------------------------------------- reading */

/* What is on top of the stack, and taken off: it stays in its table. */
static struct verdict_value
words_value(lua_State *L)
{
	struct verdict_value v = { .kind = VERDICT_ODD };
	int whole;

	switch (lua_type(L, -1)) {
	case LUA_TNIL:
		v.kind = VERDICT_ABSENT;
		break;
	case LUA_TSTRING:
		v.kind = VERDICT_TEXT;
		v.text.p = (const uint8_t *)lua_tolstring(L, -1, &v.text.len);
		break;
	case LUA_TNUMBER:
		v.number = lua_tointegerx(L, -1, &whole);
		if (whole)
			v.kind = VERDICT_NUMBER;
		break;
	case LUA_TTABLE:
		v.kind = VERDICT_LIST;
		v.count = lua_rawlen(L, -1);
		break;
	default:
		break;
	}
	lua_pop(L, 1);
	return v;
}

/* A table is on top of the stack. */
static struct verdict_value
words_field(void *arg, const char *key)
{
	lua_State *L = arg;

	lua_pushstring(L, key);
	lua_rawget(L, -2);
	return words_value(L);
}

static struct verdict_value
words_tag(void *arg, size_t i)
{
	lua_State *L = arg;
	struct verdict_value v;

	lua_pushliteral(L, "tags");
	lua_rawget(L, -2);
	lua_rawgeti(L, -1, (lua_Integer)i + 1);
	v = words_value(L);
	lua_pop(L, 1);
	return v;
}

/* A word alone. */
static struct verdict_value
words_only(void *arg, const char *key)
{
	lua_State *L = arg;

	if (strcmp(key, "verdict") != 0)
		return (struct verdict_value){ .kind = VERDICT_ABSENT };
	lua_pushvalue(L, -1);
	return words_value(L);
}

/* A misspelt one is a mistake, not one that is absent. */
static const char *
words_unknown(lua_State *L)
{
	static char fault[64];
	struct verdict_value key;

	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		lua_pop(L, 1);
		lua_pushvalue(L, -1);
		key = words_value(L);
		if (key.kind == VERDICT_TEXT && verdict_has_field(key.text))
			continue;
		lua_pop(L, 1);
		if (key.kind != VERDICT_TEXT)
			return "a field of the verdict has no name";
		snprintf(fault, sizeof(fault),
		    "a verdict has no field \"%.*s\"",
		    key.text.len > 32 ? 32 : (int)key.text.len,
		    (const char *)key.text.p);
		return fault;
	}
	return NULL;
}

const char *
words_read(lua_State *L, struct verdict *v)
{
	struct verdict_source table = { words_field, words_tag, L };
	struct verdict_source word = { words_only, NULL, L };
	const char *unknown;

	switch (lua_type(L, -1)) {
	case LUA_TNIL:
		memset(v, 0, sizeof(*v));
		hopyard__v1__verdict__init(&v->v);
		v->v.code = HOPYARD__V1__VERDICT__CODE__PASS;
		return NULL;
	case LUA_TSTRING:
		return verdict_read(v, &word);
	case LUA_TTABLE:
		unknown = words_unknown(L);
		return unknown != NULL ? unknown : verdict_read(v, &table);
	default:
		return "filter() returns no word, table or nil";
	}
}
