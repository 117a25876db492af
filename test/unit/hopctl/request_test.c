/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line: which command, which options, and what is said about
 * those that are wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/attr.h"
#include "common/buf.h"
#include "tools/hopctl/request.h"

/* Words up to the first NULL. */
static int
parse(struct request *r, struct buf *err, const char *const *word)
{
	char *argv[16] = { (char *)(uintptr_t) "hopctl" };
	int argc = 1;

	for (; *word != NULL; word++)
		argv[argc++] = (char *)(uintptr_t)*word;
	buf_init(err);
	return request_parse(r, argc, argv, err);
}

#define PARSE(r, err, ...)                                                     \
	parse(r, err, (const char *const[]){ __VA_ARGS__, NULL })

static void
done(struct request *r, struct buf *err)
{
	request_fini(r);
	buf_fini(err);
}

static void
test_options_anywhere(void **state)
{
	struct request r;
	struct buf err;

	(void)state;
	assert_int_equal(PARSE(&r, &err, "-o", "json", "messages", "--to=49*",
			     "find", "--limit", "5", "-ctest.cfg"),
	    EXIT_OK);
	assert_string_equal(r.command->noun, "messages");
	assert_string_equal(r.command->verb, "find");
	assert_int_equal(r.output, OUTPUT_JSON);
	assert_string_equal(r.value[OPTION_TO], "49*");
	assert_string_equal(r.value[OPTION_LIMIT], "5");
	assert_string_equal(r.value[OPTION_CONFIG], "test.cfg");
	assert_int_equal(r.args, 0);
	done(&r, &err);
}

static void
test_letter_of_the_command(void **state)
{
	struct request r;
	struct buf err;

	(void)state;
	assert_int_equal(PARSE(&r, &err, "tap", "-n", "3"), EXIT_OK);
	assert_string_equal(r.value[OPTION_COUNT], "3");
	assert_null(r.value[OPTION_LIMIT]);
	done(&r, &err);
	assert_int_equal(PARSE(&r, &err, "messages", "find", "-n3"), EXIT_OK);
	assert_string_equal(r.value[OPTION_LIMIT], "3");
	done(&r, &err);
}

static void
test_arguments(void **state)
{
	struct request r;
	struct buf err;

	(void)state;
	assert_int_equal(
	    PARSE(&r, &err, "message", "show", "a", "-", "-q"), EXIT_OK);
	assert_string_equal(r.command->noun, "messages");
	assert_int_equal(r.args, 2);
	assert_string_equal(r.arg[0], "a");
	assert_string_equal(r.arg[1], "-");
	assert_true(request_has(&r, OPTION_QUIET));
	done(&r, &err);
	/* "--" ends the options. */
	assert_int_equal(
	    PARSE(&r, &err, "send", "--to", "1", "--", "--wait"), EXIT_OK);
	assert_int_equal(r.args, 1);
	assert_string_equal(r.arg[0], "--wait");
	assert_false(request_has(&r, OPTION_WAIT));
	done(&r, &err);
	/* A noun that takes arguments itself. */
	assert_int_equal(PARSE(&r, &err, "reload", "api", "sim"), EXIT_OK);
	assert_null(r.command->verb);
	assert_int_equal(r.args, 2);
	done(&r, &err);
}

static void
test_timeout(void **state)
{
	struct request r;
	struct buf err;

	(void)state;
	assert_int_equal(PARSE(&r, &err, "status", "-t", "250ms"), EXIT_OK);
	assert_int_equal(r.timeout_ms, 250);
	done(&r, &err);
}

static void
test_faults(void **state)
{
	static const struct {
		const char *word[6];
		const char *want_text;
	} cases[] = {
		{ { NULL }, "hopctl --help" },
		{ { "-q", NULL }, "hopctl --help" },
		{ { "stauts", NULL }, "did you mean \"status\"" },
		{ { "xyzzy", NULL }, "no command \"xyzzy\"" },
		{ { "xyzzy", "--help", NULL }, "no command \"xyzzy\"" },
		{ { "links", "dran", "a", NULL }, "did you mean \"drain\"" },
		{ { "boxes", "list", NULL }, "say hopctl boxes alone" },
		{ { "links", "xyzzy", NULL }, "show, drain, ready, maint" },
		{ { "messages", NULL }, "find, show, cancel, replay" },
		{ { "status", "--sokcet", "x", NULL },
		    "did you mean \"socket\"" },
		{ { "--bogus", "status", NULL }, "no option --bogus" },
		{ { "status", "-z", NULL }, "no option -z" },
		{ { "status", "--to", "1", NULL },
		    "status does not take --to" },
		{ { "status", "-o", NULL }, "-o needs a FORMAT" },
		{ { "status", "-o", "xml", NULL }, "json, jsonl and csv" },
		{ { "status", "-t", "soon", NULL }, "is not a time" },
		{ { "status", "-t", "0", NULL }, "is not a time" },
		{ { "status", "--quiet=1", NULL }, "takes no value" },
		{ { "status", "links", NULL }, "status has no \"links\"" },
		{ { "links", "show", NULL }, "usage: hopctl links show NAME" },
		{ { "links", "show", "a", "b", NULL }, "what is \"b\" for" },
		{ { "password", "hash", "secret", NULL }, "\"secret\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct request r;
		struct buf err;

		assert_int_equal(parse(&r, &err, cases[i].word), EXIT_USAGE);
		if (strstr(buf_str(&err), cases[i].want_text) == NULL)
			fail_msg("case %zu: \"%s\" not in \"%s\"", i,
			    cases[i].want_text, buf_str(&err));
		done(&r, &err);
	}
}

static void
test_help(void **state)
{
	struct request r;
	struct buf err, text;

	(void)state;
	assert_int_equal(PARSE(&r, &err, "--help"), EXIT_OK);
	assert_null(r.command);
	done(&r, &err);
	assert_int_equal(PARSE(&r, &err, "messages", "-h"), EXIT_OK);
	assert_null(r.command);
	assert_int_equal(r.args, 1);
	done(&r, &err);
	/* Also where something is missing. */
	assert_int_equal(PARSE(&r, &err, "links", "show", "--help"), EXIT_OK);
	assert_string_equal(r.command->verb, "show");
	done(&r, &err);
	/* Every command is in it, and has a page of its own. */
	buf_init(&text);
	buf_init(&err);
	request_help(&text);
	for (const struct command *c = commands; c->noun != NULL; c++) {
		assert_non_null(strstr(buf_str(&text), c->summary));
		assert_non_null(c->run);
		buf_clear(&err);
		request_help_command(&err, c);
		assert_non_null(strstr(buf_str(&err), c->noun));
	}
	buf_fini(&text);
	buf_fini(&err);
}

/* The list of options of a command must have an end. */
static void
test_table(void **state)
{
	(void)state;
	for (const struct command *c = commands; c->noun != NULL; c++) {
		size_t i = 0;

		while (i < ARRAY_LEN(c->option) && c->option[i] != OPTIONS)
			i++;
		assert_in_range(i, 0, ARRAY_LEN(c->option) - 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_anywhere),
		cmocka_unit_test(test_letter_of_the_command),
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
