/* SPDX-License-Identifier: BSD-2-Clause */
/* What a box on another host is told, and what it makes of it. */
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

static const char file[] =
    "node = \"cell\";\n"
    "log = { level = \"debug\"; };\n"
    "bus = { listen = \"127.0.0.1:0\"; tls_key = \"/bus.key\"; };\n"
    "boxes = (\n"
    " { name = \"acme\"; type = \"smppc\"; remote = true; exec = \"hop-x\";\n"
    "   host = [ \"a:1\", \"b:2\" ]; system_id = \"us\"; uid = 7;\n"
    "   password = \"p\\\"w\\\\\"; tls_key = \"/acme.key\"; scope = \"shared\";\n"
    "   enquire_link = \"7s\"; tlvs = ( { name = \"x\"; tag = 5120; },\n"
    "     { name = \"y\"; tag = 5121; drop = true; } );\n"
    "   errors = { retry = [ \"ESME_RSYSERR\" ]; }; },\n"
    " { name = \"other\"; type = \"smppc\"; host = \"c:3\"; system_id = \"s\";\n"
    "   password = \"SECRETOT\"; },\n"
    " { name = \"store\"; type = \"store\"; remote = true;\n"
    "   dsn = \"file:/there/dsn\"; },\n"
    " { name = \"open\"; type = \"store\"; remote = true; enabled = false;\n"
    "   dsn = \"host=x password=SECRET-DSN\"; },\n"
    " { name = \"api\"; type = \"http\"; listen = \"127.0.0.1:81\"; },\n"
    " { name = \"hooks\"; type = \"hook\"; remote = true; },\n"
    " { name = \"mine\"; type = \"pager\"; exec = \"x\"; remote = true;\n"
    "   role = \"connector\"; settings = { depth = 3; to = [ \"a\" ]; }; },\n"
    " { name = \"odd\"; type = \"admin\"; remote = true;\n"
    "   token = \"env:CONF_SHARE_ODD\"; },\n"
    " { name = \"lost\"; type = \"admin\"; remote = true;\n"
    "   token = \"file:/nowhere/at/all\"; }\n"
    ");\n"
    "accounts = ( { id = \"shop\"; username = \"u\"; password = \"SECRET-SHOP\"; } );\n"
    "routes = ( { name = \"all\"; via = \"acme\"; } );\n"
    "inbound = ( { name = \"in\"; account = \"shop\";\n"
    "   url = \"http://example.org/mo\"; keyword = \"STOP\"; } );\n";

/* Latin-1, UTF-8, and what a terminal does not show. */
static const char odd[] = "\xe9t\xe9 \xc3\xa9 \x01\x7f\n\xc3";

static struct conf *whole;

static int
set_up(void **state)
{
	char path[] = "/tmp/conf_share_test.XXXXXX";
	int fd = mkstemp(path);
	struct buf err;

	(void)state;
	buf_init(&err);
	setenv("CONF_SHARE_ODD", odd, 1);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, file, strlen(file)), strlen(file));
	close(fd);
	whole = conf_load(path, &err);
	unlink(path);
	if (whole == NULL)
		print_error("%s", buf_str(&err));
	buf_fini(&err);
	return whole == NULL;
}

static int
tear_down(void **state)
{
	(void)state;
	conf_free(whole);
	return 0;
}

/* The text of a box; NULL with `want_error` in the complaint. */
static struct conf *
shared(const char *name, struct buf *text, const char *want_error)
{
	struct conf *c = NULL;
	struct buf err;

	buf_init(text);
	buf_init(&err);
	if (conf_share(whole, conf_box(whole, name), text, &err)) {
		assert_null(want_error);
		c = conf_load_shared(
		    "bus", buf_data(text), buf_len(text), &err);
		if (c == NULL)
			fail_msg("%s in\n%s", buf_str(&err), buf_str(text));
		assert_int_equal(conf_hash(c), conf_shared_hash(text));
	} else {
		if (want_error == NULL ||
		    strstr(buf_str(&err), want_error) == NULL)
			fail_msg("%s", buf_str(&err));
	}
	buf_fini(&err);
	return c;
}

static void
test_own_section(void **state)
{
	const struct conf_group *g;
	struct buf text;
	struct conf *c = shared("acme", &text, NULL);

	(void)state;
	g = conf_box(c, "acme");
	assert_non_null(g);
	assert_string_equal(conf_secret(g, "password"), "p\"w\\");
	assert_string_equal(conf_str(g, "tls_key"), "/acme.key");
	assert_int_equal(conf_list_len(g, "host"), 2);
	assert_string_equal(conf_list_str(g, "host", 1), "b:2");
	assert_int_equal(conf_duration(g, "enquire_link"), 7000);
	assert_int_equal(conf_int(g, "window"), 10); /* the default */
	assert_int_equal(conf_subs(g, "tlvs"), 2);
	assert_true(conf_bool(conf_sub_at(g, "tlvs", 1), "drop"));
	assert_string_equal(
	    conf_list_str(g, "errors.retry", 0), "ESME_RSYSERR");
	assert_string_equal(conf_str(conf_section(c, "log"), "level"), "debug");
	assert_string_equal(conf_str(conf_root(c), "node"), "cell");
	/* Nothing of anybody else. */
	assert_int_equal(conf_count(c, "boxes"), 1);
	assert_int_equal(conf_count(c, "accounts"), 0);
	assert_int_equal(conf_count(c, "inbound"), 0);
	assert_false(conf_is_set(g, "exec"));
	assert_false(conf_is_set(g, "uid"));
	assert_null(strstr(buf_str(&text), "SECRET"));
	assert_null(strstr(buf_str(&text), "bus.key"));
	conf_free(c);
	buf_fini(&text);
}

static void
test_store(void **state)
{
	struct buf text;
	struct conf *c = shared("store", &text, NULL);

	(void)state;
	/* Where to read it, and that is tried here. */
	assert_non_null(strstr(buf_str(&text), "\"file:/there/dsn\""));
	assert_null(conf_secret(conf_box(c, "store"), "dsn"));
	assert_string_equal(conf_str(conf_box(c, "acme"), "scope"), "shared");
	assert_false(conf_is_set(conf_box(c, "acme"), "password"));
	assert_null(strstr(buf_str(&text), "SECRET"));
	assert_null(strstr(buf_str(&text), "p\\\"w"));
	conf_free(c);
	buf_fini(&text);
}

static void
test_hook(void **state)
{
	struct buf text;
	struct conf *c = shared("hooks", &text, NULL);

	(void)state;
	assert_string_equal(
	    conf_list_str(conf_box(c, "api"), "listen", 0), "127.0.0.1:81");
	assert_int_equal(conf_count(c, "inbound"), 1);
	assert_string_equal(
	    conf_list_str(conf_item(c, "inbound", 0), "keyword", 0), "STOP");
	assert_null(strstr(buf_str(&text), "SECRET"));
	conf_free(c);
	buf_fini(&text);
}

static void
test_refused(void **state)
{
	struct buf text;

	(void)state;
	assert_null(shared("open", &text,
	    "dsn of box \"open\" (store) is not "
	    "sent to another host"));
	assert_null(strstr(buf_str(&text), "SECRET-DSN"));
	buf_fini(&text);
	assert_null(shared("lost", &text, "/nowhere/at/all"));
	buf_fini(&text);
}

/* The text is UTF-8, as all that is read is; a secret need not be. */
static void
test_any_bytes(void **state)
{
	struct buf text;
	struct conf *c = shared("odd", &text, NULL);

	(void)state;
	assert_string_equal(conf_secret(conf_box(c, "odd"), "token"), odd);
	assert_non_null(strstr(buf_str(&text), "\xc3\xa9"));
	conf_free(c);
	buf_fini(&text);
}

/* A type that nobody knows: its settings stay what they are. */
static void
test_foreign(void **state)
{
	struct buf text;
	struct conf *c = shared("mine", &text, NULL);

	(void)state;
	assert_string_equal(conf_unread(conf_box(c, "mine"), "settings"),
	    "{\"depth\":3,\"to\":[\"a\"]}");
	assert_string_equal(conf_str(conf_box(c, "mine"), "role"), "connector");
	conf_free(c);
	buf_fini(&text);
}

/* What a secret is, it is: not the name of a file on this side. */
static void
test_literal(void **state)
{
	static const char text[] =
	    "boxes = ( { name = \"a\"; type = \"admin\"; token = "
	    "\"file:/etc/passwd\"; } );";
	struct buf err;
	struct conf *c;

	(void)state;
	buf_init(&err);
	c = conf_load_shared("bus", text, strlen(text), &err);
	assert_non_null(c);
	assert_string_equal(
	    conf_secret(conf_box(c, "a"), "token"), "file:/etc/passwd");
	conf_free(c);
	/* And what does not fit is refused, with where it stands. */
	c = conf_load_shared("bus",
	    "boxes = ( { name = \"a\"; type = "
	    "\"admin\"; tokn = \"x\"; } );",
	    strlen("boxes = ( { name = \"a\"; type = \"admin\"; tokn = "
		   "\"x\"; } );"),
	    &err);
	assert_null(c);
	assert_non_null(strstr(buf_str(&err), "bus:1: unknown setting"));
	buf_fini(&err);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_section),
		cmocka_unit_test(test_store),
		cmocka_unit_test(test_hook),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_literal),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
