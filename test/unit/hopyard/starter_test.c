/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * starter_test.c - the generated configuration loads, has what was asked for,
 * and knows whether somebody has edited it; the credentials behind it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <crypt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/conf.h"
#include "tools/hopyard/credentials.h"
#include "tools/hopyard/starter.h"

static char dir[64];
static struct credentials secret;

static const char *
file(const char *name)
{
	static char path[2][128];
	static unsigned at;
	char *dst = path[at++ % 2];

	snprintf(dst, sizeof(path[0]), "%s/%s", dir, name);
	return dst;
}

static struct starter
demo(void)
{
	return (struct starter){ .title = "A title\n\nof lines",
		.node = "demo",
		.run = "/tmp/a \"quoted\" path",
		.dsn = "host=/x",
		.http = "127.0.0.1:13013",
		.admin = "127.0.0.1:13000",
		.smsc = "127.0.0.1:13075",
		.link = "sim",
		.system_id = "demo",
		.sink = "127.0.0.1:13080",
		.demo = true };
}

/* Writes and loads; NULL with the complaint in err. */
static struct conf *
load(const struct starter *s, char *err, size_t len)
{
	struct conf *conf = NULL;
	struct buf text, why;

	buf_init(&text);
	buf_init(&why);
	err[0] = '\0';
	if (starter_write(s, &secret, &text, err, len) &&
	    starter_save(file("hopyard.cfg"), &text, err, len)) {
		conf = conf_load(file("hopyard.cfg"), &why);
		snprintf(err, len, "%s", buf_str(&why));
	}
	buf_fini(&text);
	buf_fini(&why);
	return conf;
}

static void
loads(void **arg)
{
	struct starter s = demo();
	const struct conf_group *g;
	struct crypt_data data = { 0 };
	struct conf *conf;
	char err[1024], sum[65];
	struct stat st;

	(void)arg;
	conf = load(&s, err, sizeof(err));
	assert_string_equal(err, "");
	assert_non_null(conf);
	assert_string_equal(conf_str(conf_section(conf, "bus"), "socket"),
	    "/tmp/a \"quoted\" path/bus.sock");
	assert_int_equal(conf_count(conf, "boxes"), 5);
	g = conf_box(conf, "sim");
	assert_string_equal(conf_list_str(g, "host", 0), "127.0.0.1:13075");
	assert_string_equal(conf_secret(g, "password"), secret.smsc_password);
	g = conf_item(conf, "accounts", 0);
	assert_string_equal(conf_str(g, "username"), "demo");
	assert_string_equal(
	    crypt_r(secret.password, conf_secret(g, "password"), &data),
	    conf_secret(g, "password"));
	credentials_sha256(secret.api_key, sum);
	assert_string_equal(conf_list_str(g, "api_keys", 0), sum);
	assert_non_null(conf_sub(g, "webhook"));
	assert_true(conf_bool(conf_section(conf, "log"), "messages"));
	conf_free(conf);
	/* No secret of a customer in clear, and for nobody else's eyes. */
	assert_int_equal(stat(file("hopyard.cfg"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(starter_look(file("hopyard.cfg")), STARTER_OURS);
}

static void
for_work(void **arg)
{
	struct starter s = demo();
	struct conf *conf;
	char err[1024];

	(void)arg;
	s.demo = false;
	s.sink = NULL;
	s.smsc = "smsc.example.net:2775";
	s.link = "carrier";
	conf = load(&s, err, sizeof(err));
	assert_string_equal(err, "");
	assert_non_null(conf);
	assert_int_equal(conf_count(conf, "inbound"), 0);
	assert_null(conf_sub(conf_item(conf, "accounts", 0), "webhook"));
	conf_free(conf);
}

static void
set_values(void **arg)
{
	struct starter s = demo();
	struct conf *conf;
	char err[1024];

	(void)arg;
	s.window = 20;
	s.quiet = true;
	s.set[s.set_count++] = "bus.checkpoint=1s";
	s.set[s.set_count++] = "sim.window=30"; /* over --window */
	s.set[s.set_count++] = "sim.reconnect=10ms..1s";
	s.set[s.set_count++] = "sim.host=[\"127.0.0.1:1\",\"127.0.0.1:2\"]";
	s.set[s.set_count++] = "account.tps=5";
	s.set[s.set_count++] = "account.default_from=A B";
	s.set[s.set_count++] = "log.level=debug";
	conf = load(&s, err, sizeof(err));
	assert_string_equal(err, "");
	assert_non_null(conf);
	assert_int_equal(
	    conf_duration(conf_section(conf, "bus"), "checkpoint"), 1000);
	assert_int_equal(conf_int(conf_box(conf, "sim"), "window"), 30);
	assert_int_equal(conf_list_len(conf_box(conf, "sim"), "host"), 2);
	assert_int_equal(conf_int(conf_item(conf, "accounts", 0), "tps"), 5);
	assert_string_equal(
	    conf_str(conf_item(conf, "accounts", 0), "default_from"), "A B");
	assert_string_equal(
	    conf_str(conf_section(conf, "log"), "level"), "debug");
	assert_false(conf_bool(conf_section(conf, "log"), "messages"));
	conf_free(conf);
}

static void
set_nonsense(void **arg)
{
	static const struct {
		const char *set, *want;
	} rows[] = {
		{ "nothing.here=1", "no section \"nothing\"" },
		{ "window=1", "SECTION.KEY=VALUE" },
		{ "sim.window", "SECTION.KEY=VALUE" },
		{ "sim", "SECTION.KEY=VALUE" },
		{ "", "SECTION.KEY=VALUE" },
		{ "sim.", "SECTION.KEY=VALUE" },
		{ "simx.a=1", "no section \"simx\"" },
		{ "sim.widnow=1", "did you mean \"window\"" },
		{ "sim.window=0", "window" },
	};
	char err[1024];

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct starter s = demo();

		s.set[s.set_count++] = rows[i].set;
		assert_null(load(&s, err, sizeof(err)));
		if (strstr(err, rows[i].want) == NULL)
			fail_msg("%s: %s", rows[i].set, err);
	}
}

static void
edited(void **arg)
{
	static const char *const changes[] = { "\n", "# mine\n", " " };
	struct starter s = demo();
	struct conf *conf;
	char err[1024];
	FILE *f;

	(void)arg;
	unlink(file("hopyard.cfg"));
	assert_int_equal(starter_look(file("hopyard.cfg")), STARTER_NONE);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		conf = load(&s, err, sizeof(err));
		assert_non_null(conf);
		conf_free(conf);
		f = fopen(file("hopyard.cfg"), "ae");
		assert_non_null(f);
		fputs(changes[i], f);
		fclose(f);
		assert_int_equal(
		    starter_look(file("hopyard.cfg")), STARTER_EDITED);
	}
	conf = load(&s, err, sizeof(err));
	conf_free(conf);
	f = fopen(file("hopyard.cfg"), "r+e");
	assert_non_null(f);
	fputs("#", f);
	fputs("!", f);
	fclose(f);
	assert_int_equal(starter_look(file("hopyard.cfg")), STARTER_EDITED);
}

static void
with_boxes(void **arg)
{
	static const struct {
		const char *text, *name, *type, *role, *command;
	} rows[] = {
		{ "python3 test/boxes/echo.py", "echo", "echo", "connector",
		    "python3 test/boxes/echo.py" },
		{ "/opt/x/my-box --fast a.b", "my-box", "my-box", "connector",
		    "/opt/x/my-box --fast a.b" },
		{ "a=b c", "a", "a", "connector", "b c" },
		{ "a/t:hook=b", "a", "t", "hook", "b" },
		{ "a:front=b=c", "a", "a", "front", "b=c" },
		{ "a:filter=b", "a", "a", "filter", "b" },
		{ "b --x=1", "b", "b", "connector", "b --x=1" },
		{ "a:boss=b", NULL, NULL, NULL, NULL },
		{ "a=", NULL, NULL, NULL, NULL },
		{ "", NULL, NULL, NULL, NULL },
		{ "\xff\xfe", "__", "__", "connector", "\xff\xfe" },
	};
	struct starter s = demo();
	struct starter_with w;
	struct conf *conf;
	char err[1024];

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool ok =
		    starter_parse_with(&w, rows[i].text, err, sizeof(err));

		assert_int_equal(ok, rows[i].name != NULL);
		if (!ok)
			continue;
		assert_string_equal(w.name, rows[i].name);
		assert_string_equal(w.type, rows[i].type);
		assert_string_equal(w.role, rows[i].role);
		assert_string_equal(w.command, rows[i].command);
	}
	assert_true(starter_parse_with(
	    &s.with[0], "python3 \"a b\"/echo.py", err, sizeof(err)));
	assert_true(starter_parse_with(
	    &s.with[1], "two:hook=/bin/two", err, sizeof(err)));
	assert_true(starter_parse_with(
	    &s.with[2], "three:filter=/bin/three", err, sizeof(err)));
	assert_true(starter_parse_with(
	    &s.with[3], "four:filter=/bin/four", err, sizeof(err)));
	s.with_count = 4;
	conf = load(&s, err, sizeof(err));
	assert_string_equal(err, "");
	assert_non_null(conf);
	assert_string_equal(conf_str(conf_box(conf, "two"), "role"), "hook");
	assert_string_equal(conf_str(conf_box(conf, "echo"), "exec"),
	    "python3 \"a b\"/echo.py");
	assert_int_equal(conf_count(conf, "routes"), 2);
	assert_int_equal(conf_count(conf, "filters"), 2);
	assert_string_equal(
	    conf_str(conf_item(conf, "filters", 1), "box"), "four");
	conf_free(conf);
}

static void
dsn(void **arg)
{
	struct buf out;

	(void)arg;
	buf_init(&out);
	starter_dsn(&out, "/a b/it's\\here");
	assert_string_equal(buf_str(&out),
	    "host='/a b/it\\'s\\\\here' user=hopyard dbname=postgres");
	buf_fini(&out);
}

static void
kept(void **arg)
{
	struct credentials a, b;
	struct stat st;
	char err[256];
	FILE *f;

	(void)arg;
	unlink(file("credentials"));
	assert_true(
	    credentials_open(&a, file("credentials"), err, sizeof(err)));
	assert_int_equal(stat(file("credentials"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(
	    credentials_open(&b, file("credentials"), err, sizeof(err)));
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(strlen(a.password), 8);
	assert_int_equal(strlen(a.smsc_password), 8);
	assert_int_equal(strlen(a.webhook_secret), 6 + 32);
	/* One that a person has set is used; one that is gone is made. */
	f = fopen(file("credentials"), "we");
	assert_non_null(f);
	fputs("HOPYARD_USERNAME=shop\nHOPYARD_PASSWORD=mine\nJUNK\n=\n", f);
	fclose(f);
	assert_true(
	    credentials_open(&b, file("credentials"), err, sizeof(err)));
	assert_string_equal(b.username, "shop");
	assert_string_equal(b.password, "mine");
	assert_string_not_equal(b.api_key, a.api_key);
	assert_false(credentials_open(&b, "/nowhere/at/all", err, sizeof(err)));
	assert_non_null(strstr(err, "/nowhere/at/all"));
}

static int
set_up(void **arg)
{
	char err[256];

	(void)arg;
	snprintf(dir, sizeof(dir), "/tmp/starter_test.XXXXXX");
	return mkdtemp(dir) != NULL &&
		credentials_open(&secret, file("credentials"), err, sizeof(err))
	    ? 0
	    : -1;
}

static int
tear_down(void **arg)
{
	(void)arg;
	unlink(file("hopyard.cfg"));
	unlink(file("credentials"));
	return rmdir(dir);
}

static void
smpp_server(void **state)
{
	struct starter s = demo();
	const struct conf_group *g;
	struct conf *conf;
	char err[512];

	(void)state;
	conf = load(&s, err, sizeof(err));
	assert_non_null(conf);
	assert_null(conf_box(conf, "smpp"));
	conf_free(conf);

	s.smpps = "127.0.0.1:2775";
	conf = load(&s, err, sizeof(err));
	assert_non_null(conf);
	g = conf_box(conf, "smpp");
	assert_non_null(g);
	assert_string_equal(conf_str(g, "type"), "smpps");
	assert_string_equal(conf_list_str(g, "listen", 0), s.smpps);
	conf_free(conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads),
		cmocka_unit_test(for_work),
		cmocka_unit_test(set_values),
		cmocka_unit_test(set_nonsense),
		cmocka_unit_test(edited),
		cmocka_unit_test(with_boxes),
		cmocka_unit_test(dsn),
		cmocka_unit_test(kept),
		cmocka_unit_test(smpp_server),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
