/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/conf.h"
#include "common/conf_scan.h"

static void
defaults(void **arg)
{
	char path[] = "/tmp/conf_test.XXXXXX";
	int fd = mkstemp(path);
	struct conf *c;
	struct buf err;

	(void)arg;
	assert_true(fd >= 0);
	buf_init(&err);
	c = conf_load(path, &err);
	assert_non_null(c);
	assert_int_equal(buf_len(&err), 0);
	assert_string_equal(conf_str(conf_root(c), "node"), "hop1");
	assert_int_equal(
	    conf_size(conf_section(c, "bus"), "ready_bytes"), 48 << 20);
	conf_free(c);
	buf_fini(&err);
	close(fd);
	unlink(path);
}

/* The end of a file: with and without its newline, in a comment too. */
static void
file_ends(void **arg)
{
	static const char *const texts[] = {
		"node = \"hop2\";\n",
		"node = \"hop2\";",
		"node = \"hop2\"",
		"node = \"hop2\"; # a comment",
		"node = \"hop2\"; // a comment",
		"node = \"hop2\"; /* a comment */",
	};
	size_t i;

	(void)arg;
	for (i = 0; i < ARRAY_LEN(texts); i++) {
		char path[] = "/tmp/conf_test.XXXXXX";
		int fd = mkstemp(path);
		struct conf *c;
		struct buf err;

		assert_true(fd >= 0);
		assert_int_equal(write(fd, texts[i], strlen(texts[i])),
		    (ssize_t)strlen(texts[i]));
		close(fd);
		buf_init(&err);
		c = conf_load(path, &err);
		if (buf_len(&err) > 0)
			print_error("%s: %s\n", texts[i], buf_str(&err));
		assert_non_null(c);
		assert_string_equal(conf_str(conf_root(c), "node"), "hop2");
		conf_free(c);
		buf_fini(&err);
		unlink(path);
	}
}

/* What is refused, and the line and words that say so. */
static void
refused(void **arg)
{
	static const struct {
		const char *text;
		size_t len; /* 0: of the text */
		const char *want;
	} rows[] = {
		{ "a = 1;\nb = 5s;", 0, "x.cfg:2: put quotes around \"5s\"" },
		{ "a = 99999999999;", 0, "x.cfg:1: 99999999999 is too big" },
		{ "secret = 99999999999;", 0,
		    "x.cfg:1: ... is too big for a plain number; write ...L, "
		    "or \"...\" where" },
		{ "dsn = 99999999999999999999;", 0,
		    "x.cfg:1: ... is too big for a number; write \"...\"" },
		{ "a = 1LLL;", 0, "x.cfg:1: put quotes" },
		{ "a = -0x7;", 0, "x.cfg:1: put quotes" },
		{ "a = +-.5;", 0, "x.cfg:1: put quotes" },
		{ "a = yes;", 0, "x.cfg:1: write true or false" },
		{ "a = word;", 0, "x.cfg:1: text stands in quotes" },
		{ "\n\na = 'x';", 0, "x.cfg:3: texts stand in double" },
		{ "a = \"x\" \"y\";", 0, "x.cfg:1: two texts side by side" },
		{ "a = \"x\nb = 1;", 0, "x.cfg:1: the text that starts" },
		{ "a = \"\\q\";", 0, "x.cfg:1: \\q is no escape" },
		{ "a = \"\xff\";", 0, "x.cfg:1: this text is not valid UTF-8" },
		{ "a = {\nb = 1;\n", 0, "x.cfg:1: the \"{\" of this line" },
		{ "a = ( 1, );", 0, "x.cfg:1: the last value of a list" },
		{ "a = [ 1, \"x\" ];", 0, "x.cfg:1: all values of one [ ]" },
		{ "a = [ 1, 2.5 ];", 0, "x.cfg:1: all numbers of one [ ]" },
		{ "a = [ 0x1e,\n1L ];", 0, "x.cfg:2: all numbers of one [ ]" },
		{ "a.b = 1;", 0, "x.cfg:1: a name has no dots" },
		{ "a;", 0, "x.cfg:1: a \"=\" is missing" },
		{ "a \".\x02\";", 0, "x.cfg:1: a \"=\" is missing" },
		{ "password .word;", 0, "x.cfg:1: a \"=\" is missing" },
		{ "password \".word\";", 0, "x.cfg:1: a \"=\" is missing" },
		{ "a = ;", 0, "x.cfg:1: \"a\" has no value" },
		{ "a = 1; false = 2;", 0,
		    "x.cfg:1: true and false are values" },
		{ "/* open", 0, "x.cfg:1: the comment that starts here" },
		{ "\xef\xbb\xbf"
		  "a = 1;",
		    0, "x.cfg:1: the file starts with" },
		{ "a = 1;\n# \0\nb = 2;", 16, "x.cfg:2: byte 0x00" },
		{ "password = \"x\" 5zz;", 0, "x.cfg:1: " },
	};
	struct buf err;
	size_t i;

	(void)arg;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len =
		    rows[i].len > 0 ? rows[i].len : strlen(rows[i].text);

		buf_init(&err);
		if (conf_scan("x.cfg", rows[i].text, len, &err))
			fail_msg("taken: %s", rows[i].text);
		if (strncmp(
			buf_str(&err), rows[i].want, strlen(rows[i].want)) != 0)
			fail_msg("%s", buf_str(&err));
		buf_fini(&err);
	}
}

#define SERVER     "{ name = \"s\"; type = \"smpps\"; }"
#define TLS_SERVER "{ name = \"s\"; type = \"smpps\"; tls_listen = \":3550\"; "
#define ACCOUNT    "accounts = ( { id = \"a\"; } );\n"
#define TO_BINDS                                                               \
	"inbound = ( { name = \"i\"; account = \"a\";\nsmpp = true; } );"

/* What concerns more than one setting of the SMPP server. */
static void
server_settings(void **arg)
{
	static const struct {
		const char *text;
		const char *want; /* NULL: good */
	} rows[] = {
		{ "boxes = ( " SERVER " );\n" ACCOUNT TO_BINDS, NULL },
		{ ACCOUNT TO_BINDS,
		    ":3: inbound \"i\" has smpp, and there is no box of type "
		    "smpps to send it\n" },
		{ "boxes = ( " SERVER " );\n" TO_BINDS,
		    ":2: inbound \"i\": there is no account \"a\"" },
		{ "boxes = ( " SERVER " );\n"
		  "accounts = ( { id = \"a\"; smpp = false; } );\n" TO_BINDS,
		    ":4: inbound \"i\" goes to the binds of account \"a\", "
		    "which may not bind\n" },
		{ "boxes = ( " TLS_SERVER "tls_cert = \"c\"; tls_key = \"k\"; "
		  "} );",
		    NULL },
		{ "boxes = ( " TLS_SERVER "tls_cert = \"c\"; } );",
		    ":1: box \"s\" listens with TLS and needs tls_key\n" },
		{ "boxes = ( " TLS_SERVER "tls_key = \"k\"; } );",
		    ":1: box \"s\" listens with TLS and needs tls_cert\n" },
		{ "boxes = ( { name = \"@customers\"; type = \"smpps\"; } );",
		    ":1: box \"@customers\": names that start with \"@\" are "
		    "for the bus's own queues\n" },
	};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char path[] = "/tmp/conf_test.XXXXXX";
		int fd = mkstemp(path);
		const char *said;
		struct conf *c;
		struct buf err;

		assert_true(fd >= 0);
		assert_int_equal(write(fd, rows[i].text, strlen(rows[i].text)),
		    (ssize_t)strlen(rows[i].text));
		close(fd);
		buf_init(&err);
		c = conf_load(path, &err);
		said = strstr(buf_str(&err), path);
		if (rows[i].want == NULL && c == NULL)
			fail_msg(
			    "refused: %s: %s", rows[i].text, buf_str(&err));
		if (rows[i].want != NULL &&
		    (c != NULL || said == NULL ||
			strncmp(said + strlen(path), rows[i].want,
			    strlen(rows[i].want)) != 0))
			fail_msg("%s: %s", rows[i].text, buf_str(&err));
		conf_free(c);
		buf_fini(&err);
		unlink(path);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(file_ends),
		cmocka_unit_test(refused),
		cmocka_unit_test(server_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
