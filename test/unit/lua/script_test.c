/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * script_test.c - scripts that judge, that fail, that eat time and memory or try
 * to get out of the sandbox: each is stopped and told, and the next message is
 * judged all the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/filter/question.h"
#include "boxes/filter/verdict.h"
#include "boxes/lua/script.h"
#include "common/attr.h"
#include "common/buf.h"
#include "common/log.h"

#define DEFAULT_LIMITS                                                         \
	{                                                                      \
		.memory = (size_t)2 * 1024 * 1024, .instructions = 500000,     \
		.timeout_ms = 20000                                            \
	}

static const struct script_limits limits = DEFAULT_LIMITS;

static Hopyard__V1__Envelope envelope;
static Hopyard__V1__Content content;
static Hopyard__V1__Segment segment;
static Hopyard__V1__Ask ask;
static ProtobufCBinaryData tags[2];

static ProtobufCBinaryData
data(const char *s)
{
	return (ProtobufCBinaryData){ strlen(s), (uint8_t *)(uintptr_t)s };
}

static struct question
question(void)
{
	static uint8_t id[16] = { 1, 2, 3 };

	hopyard__v1__envelope__init(&envelope);
	hopyard__v1__content__init(&content);
	hopyard__v1__segment__init(&segment);
	hopyard__v1__ask__init(&ask);
	ask.ref = 7;
	ask.filter = data("rule");
	ask.deadline_ms = 100;
	envelope.id = (ProtobufCBinaryData){ sizeof(id), id };
	envelope.kind = HOPYARD__V1__KIND__MT;
	envelope.has_to = envelope.has_from = envelope.has_account = true;
	envelope.to = data("4915112345678");
	envelope.from = data("HOP");
	envelope.account = data("demo");
	envelope.has_class_ = true;
	envelope.class_ = HOPYARD__V1__CLASS__OTP;
	envelope.parts = 2;
	tags[0] = data("a");
	tags[1] = data("b");
	envelope.tag = tags;
	envelope.n_tag = 2;
	content.has_text = true;
	content.text = data("the secret of a text");
	return (struct question){ &envelope, &content, &ask, { NULL, 0 } };
}

static struct script *
load(const char *text, const struct script_limits *l)
{
	struct script *s;
	struct buf why;

	buf_init(&why);
	s = script_of_text("/x/f.lua", text, strlen(text), l, &why);
	if (s == NULL)
		print_error("%s", buf_str(&why));
	assert_non_null(s);
	buf_fini(&why);
	return s;
}

static enum script_end
judge(struct script *s, struct verdict *v)
{
	struct question q = question();

	return script_judge(s, &q, 60000, v);
}

/* The body of filter(m). */
static struct script *
filter(const char *body)
{
	char text[4096];

	snprintf(text, sizeof(text), "function filter(m) %s end", body);
	return load(text, &limits);
}

/* ---------------------------------------------------------------- verdicts */

static void
verdicts(void **state)
{
	static const struct {
		const char *body;
		Hopyard__V1__Verdict__Code want;
	} cases[] = {
		{ "", HOPYARD__V1__VERDICT__CODE__PASS },
		{ "return", HOPYARD__V1__VERDICT__CODE__PASS },
		{ "return nil, 7", HOPYARD__V1__VERDICT__CODE__PASS },
		{ "return 'pass'", HOPYARD__V1__VERDICT__CODE__PASS },
		{ "return 'reject'", HOPYARD__V1__VERDICT__CODE__REJECT },
		{ "return 'later'", HOPYARD__V1__VERDICT__CODE__LATER },
		{ "return { verdict = 'hold', hold_ms = 5 * 60.0 }",
		    HOPYARD__V1__VERDICT__CODE__HOLD },
		{ "if m.to:sub(1, 2) == '49' and m.class == 'otp' and "
		  "m.parts == 2 and m.tags[2] == 'b' and #m.tags == 2 and "
		  "m.text:find('secret') and m.direction == 'mt' and "
		  "m.filter == 'rule' and m.deadline_ms == 100 and "
		  "m.account == 'demo' and m.from == 'HOP' and m.link == nil "
		  "and m.part == nil and m.data == nil and m.message == "
		  "'01020300-0000-0000-0000-000000000000' then return 'reject' "
		  "end",
		    HOPYARD__V1__VERDICT__CODE__REJECT },
	};
	struct verdict v;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct script *s = filter(cases[i].body);

		assert_int_equal(judge(s, &v), SCRIPT_VERDICT);
		assert_int_equal(v.v.code, cases[i].want);
		script_free(s);
	}
}

static void
fields(void **state)
{
	struct script *s = filter(
	    "return { verdict = 'pass', to = '4917', from = '', "
	    "text = m.text:upper(), tags = { 'one', m.account }, "
	    "class = 'bulk', link = 'up', validity_ms = 1000, delay_ms = 2, "
	    "cache = 'account', ttl_ms = 60000 }");
	struct verdict v;

	(void)state;
	assert_int_equal(judge(s, &v), SCRIPT_VERDICT);
	assert_memory_equal(v.v.to.data, "4917", v.v.to.len);
	assert_true(v.v.has_from && v.v.from.len == 0);
	assert_true(v.has_text && v.text.len == 20);
	assert_memory_equal(v.text.data, "THE SECRET OF A TEXT", 20);
	assert_int_equal(v.v.n_tag, 2);
	assert_memory_equal(v.v.tag[1].data, "demo", v.v.tag[1].len);
	assert_int_equal(v.v.class_, HOPYARD__V1__CLASS__BULK);
	assert_int_equal(v.v.validity_ms, 1000);
	assert_int_equal(v.v.key, HOPYARD__V1__VERDICT__KEY__ACCOUNT_NUMBER);
	assert_false(v.v.has_keyword || v.v.has_reason || v.v.has_hold_ms);
	script_free(s);
}

/* A part of an MO, in octets. */
static void
from_handset(void **state)
{
	struct script *s = filter(
	    "assert(m.direction == 'mo' and m.link == 'up' and m.part == 2 and "
	    "m.of == 3 and m.data == 'a\\0b' and m.udh == '\\5\\0' and "
	    "m.data_coding == 4 and not m.text) return 'reject'");
	struct question q = question();
	struct verdict v;

	(void)state;
	envelope.kind = HOPYARD__V1__KIND__MO;
	envelope.has_link = true;
	envelope.link = data("up");
	segment.number = 2;
	segment.total = 3;
	envelope.segment = &segment;
	content.has_text = false;
	content.has_data = content.has_udh = content.has_data_coding = true;
	content.data = (ProtobufCBinaryData){ 3, (uint8_t[]){ 'a', 0, 'b' } };
	content.udh = (ProtobufCBinaryData){ 2, (uint8_t[]){ 5, 0 } };
	content.data_coding = 4;
	assert_int_equal(script_judge(s, &q, 60000, &v), SCRIPT_VERDICT);
	assert_int_equal(v.v.code, HOPYARD__V1__VERDICT__CODE__REJECT);
	/* A rule with content = false. */
	q.content = NULL;
	assert_int_equal(script_judge(s, &q, 60000, &v), SCRIPT_ERROR);
	script_free(s);
}

/* ------------------------------------------------------------------ faults */

static void
faults(void **state)
{
	static const struct {
		const char *body, *want;
	} cases[] = {
		{ "return 7", "filter() returns no word, table or nil" },
		{ "return true", "filter() returns no word, table or nil" },
		{ "return 'perhaps'", "verdict: there is no such word" },
		{ "return {}", "verdict is missing" },
		{ "return { verdict = 'pass', tag = 'x' }",
		    "a verdict has no field \"tag\"" },
		{ "return { 'pass' }", "a field of the verdict has no name" },
		{ "return { verdict = 'pass', to = 7 }",
		    "to: it is no text, or too long" },
		{ "return { verdict = 'hold', hold_ms = 1.5 }",
		    "hold_ms: it is no whole number" },
		{ "return { verdict = 'hold', hold_ms = -1 }",
		    "hold_ms: it is no whole number" },
		{ "return { verdict = 'pass', tags = 'x' }", "tags: they are" },
		{ "return { verdict = 'pass', tags = { 7 } }", "tags: one is" },
		{ "return { verdict = 'pass', tags = { 1,2,3,4,5,6,7,8,9 } }",
		    "tags: they are no list, or too many" },
		{ "\n\nerror('on line 3')", "3: on line 3" },
		{ "error({})", "error() was called with what is no text" },
		{ "return m.nothing.at_all",
		    "1: attempt to index a nil value (field 'nothing')" },
		{ "error('about ' .. m.to)", "1: about 49151***678" },
		{ "error(m.text)", "(the text of a message)" },
		{ "error('x ' .. m.text .. ' y')", "(the text of a message)" },
		{ "return setmetatable({}, { __gc = 1 })",
		    "1: there are no finalizers here" },
		{ "local t = setmetatable({}, { __metatable = 1 }) "
		  "setmetatable(t, {})",
		    "1: cannot change a protected metatable" },
		{ "return ('x'):rep(-1):dump()", "1: attempt to call a nil" },
	};
	struct verdict v;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct script *s = filter(cases[i].body);

		assert_int_equal(judge(s, &v), SCRIPT_ERROR);
		if (strstr(script_fault(s), cases[i].want) == NULL)
			fail_msg("%s: \"%s\"", cases[i].body, script_fault(s));
		/* It lives. */
		assert_int_equal(judge(s, &v), SCRIPT_ERROR);
		script_free(s);
	}
}

/* Each has its verdict about the message after the one that it fails about. */
static void
goes_on(const char *evil, enum script_end want, const struct script_limits *l)
{
	char text[2048];
	struct script *s;
	struct verdict v;

	snprintf(text, sizeof(text),
	    "evil = false function bad(m) %s end "
	    "function filter(m) if m.from == 'HOP' then return bad(m) end "
	    "return 'reject' end",
	    evil);
	s = load(text, l);
	for (int i = 0; i < 3; i++) {
		struct question q = question();
		enum script_end end = script_judge(s, &q, 60000, &v);

		if (end != want)
			fail_msg("%s: %d, \"%s\"", evil, end, script_fault(s));
		assert_true(script_fault(s)[0] != '\0');
		q = question();
		envelope.from = data("4912");
		assert_int_equal(
		    script_judge(s, &q, 60000, &v), SCRIPT_VERDICT);
		assert_int_equal(v.v.code, HOPYARD__V1__VERDICT__CODE__REJECT);
		assert_true(script_memory(s) <= l->memory);
	}
	script_free(s);
}

static void
instructions(void **state)
{
	static const char *const evils[] = {
		"while true do end",
		"for i = 1, 1e12 do end",
		"while true do pcall(function() while true do end end) end",
		"repeat local ok = pcall(bad) until false",
		"return pcall(function() while true do end end)",
		"return select(2, pcall(function() while true do end end))",
		"setmetatable(_G, { __index = function(t, k) while true do end "
		"end }) return nothing",
		"table.sort({ 1, 2, 3 }, function() while true do end end)",
		"return setmetatable({}, { __index = function() while true do end "
		"end }).x",
		"string.gsub('x', '.', function() while true do end end)",
		"tostring(setmetatable({}, { __tostring = function() while true "
		"do end end }))",
		"local t <close> = setmetatable({}, { __close = function() while "
		"true do end end })",
		"goto a ::a:: goto a",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(evils); i++)
		goes_on(evils[i], SCRIPT_INSTRUCTIONS, &limits);
}

static void
memory(void **state)
{
	static const char *const evils[] = {
		"local t = {} while true do t[#t + 1] = t end",
		"keep = keep or {} while true do keep[#keep + 1] = #keep end",
		"local s = 'x' while true do s = s .. s end",
		"return ('x'):rep(1e9)",
		"local function f() return f() + 1 end return f()",
		"local t = {} for i = 1, 1e9 do t['k' .. i] = i end",
		"return table.concat({ ('x'):rep(1e6), ('y'):rep(1e6) })",
		"keep = {} local t = {} while true do "
		"t[#t + 1] = function() return t end end",
	};
	/* Memory ends before instructions do. */
	struct script_limits l = DEFAULT_LIMITS;

	(void)state;
	l.instructions = 100000000;
	for (size_t i = 0; i < ARRAY_LEN(evils); i++)
		goes_on(evils[i], SCRIPT_MEMORY, &l);
}

/* A library function that loops for hours and counts no instruction; and one
 * that handles the error of passing a limit, which is exempt from it. */
static void
cut_off(void **state)
{
	static const char *const evils[] = {
		"return (('a'):rep(4000)):find(('.-'):rep(30) .. 'b')",
		"return (''):rep(1 << 50)",
		"return table.move({}, 1, 1 << 50, 1)",
		"while true do xpcall(function() while true do end end, "
		"function() while true do end end) end",
		"return (('a'):rep(100000)):gsub(('a-'):rep(20) .. 'b', '')",
	};
	struct script_limits l = DEFAULT_LIMITS;

	(void)state;
	l.timeout_ms = 50;
	l.instructions = 1000;
	l.memory = (size_t)16 * 1024 * 1024;
	for (size_t i = 0; i < ARRAY_LEN(evils); i++)
		goes_on(evils[i], SCRIPT_TIME, &l);
}

static void
deadline(void **state)
{
	struct script_limits l = DEFAULT_LIMITS;
	struct question q = question();
	struct script *s;
	struct verdict v;

	(void)state;
	l.instructions = UINT64_MAX / 2;
	l.timeout_ms = 20;
	goes_on("while true do end", SCRIPT_TIME, &l);
	/* That of the question. */
	l.timeout_ms = 100000;
	s = load("function filter(m) while true do end end", &l);
	assert_int_equal(script_judge(s, &q, 20, &v), SCRIPT_TIME);
	assert_string_equal(script_fault(s), "1: it takes too long");
	script_free(s);
}

/* Globals stay; after all memory was taken they are as at the start. */
static void
globals(void **state)
{
	struct script *s =
	    load("n = 0 function filter(m) n = n + 1 if n == 3 then error('x') "
		 "end if n == 5 then while true do n = { n } end end "
		 "return { verdict = 'hold', hold_ms = n } end",
		&limits);
	static const uint64_t want[] = { 1, 2, 0, 4, 0, 1, 2 };
	struct verdict v;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		enum script_end end = judge(s, &v);

		assert_true((end == SCRIPT_VERDICT) == (want[i] > 0));
		if (end == SCRIPT_VERDICT)
			assert_int_equal(v.v.hold_ms, want[i]);
	}
	script_free(s);
}

/* ------------------------------------------------------------- the sandbox */

static void
nothing_else(void **state)
{
	static const char *const names[] = { "io", "os", "package", "debug",
		"require", "load", "loadstring", "loadfile", "dofile", "print",
		"warn", "collectgarbage", "coroutine", "string.dump", "getfenv",
		"setfenv", "newproxy" };
	char body[128];
	struct verdict v;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct script *s;

		snprintf(body, sizeof(body),
		    "if %s == nil then return 'reject' end", names[i]);
		s = filter(body);
		assert_int_equal(judge(s, &v), SCRIPT_VERDICT);
		assert_int_equal(v.v.code, HOPYARD__V1__VERDICT__CODE__REJECT);
		script_free(s);
	}
}

/* All names that there are: a later Lua may bring others. */
static void
only_these(void **state)
{
	struct script *s = filter(
	    "local known = {} for k in ('_G _VERSION assert error filter "
	    "getmetatable ipairs log math next pairs pcall rawequal rawget "
	    "rawlen rawset select setmetatable string table tonumber tostring "
	    "type utf8 xpcall'):gmatch('%S+') do known[k] = true end "
	    "for k in pairs(_G) do assert(known[k], k) end "
	    "for k in pairs(known) do assert(_G[k] ~= nil, k) end");
	struct verdict v;

	(void)state;
	if (judge(s, &v) != SCRIPT_VERDICT)
		fail_msg("%s", script_fault(s));
	script_free(s);
}

static void
refused(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "", "/x/f.lua: there is no function filter()\n" },
		{ "filter = 7", "/x/f.lua: there is no function filter()\n" },
		{ "x = 1\nx = = 2",
		    "/x/f.lua:2: unexpected symbol near '='\n" },
		{ "\n\nerror('why')", "/x/f.lua:3: why\n" },
		{ "while true do end", "/x/f.lua:1: " },
		{ "local t = {} while true do t[#t + 1] = {} end",
		    "/x/f.lua: not enough memory\n" },
		{ "\33Lua",
		    "/x/f.lua: attempt to load a binary chunk "
		    "(mode is 't')\n" },
		{ "x = ('a'):rep(4000):find(('.-'):rep(30) .. 'b')",
		    "/x/f.lua: it takes too long, in one call\n" },
	};
	struct buf why;

	(void)state;
	buf_init(&why);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_null(script_of_text("/x/f.lua", cases[i].text,
		    strlen(cases[i].text), &limits, &why));
		if (strstr(buf_str(&why), cases[i].want) != buf_str(&why))
			fail_msg("%s", buf_str(&why));
		buf_clear(&why);
	}
	assert_null(script_new("/nowhere/f.lua", &limits, &why));
	assert_string_equal(
	    buf_str(&why), "/nowhere/f.lua: No such file or directory\n");
	buf_clear(&why);
	assert_null(script_new("/proc", &limits, &why));
	assert_true(buf_len(&why) > 0);
	buf_fini(&why);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts),
		cmocka_unit_test(fields),
		cmocka_unit_test(from_handset),
		cmocka_unit_test(faults),
		cmocka_unit_test(instructions),
		cmocka_unit_test(memory),
		cmocka_unit_test(cut_off),
		cmocka_unit_test(deadline),
		cmocka_unit_test(globals),
		cmocka_unit_test(nothing_else),
		cmocka_unit_test(only_these),
		cmocka_unit_test(refused),
	};

	log_init("test");
	log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
