/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * daemon_test.c - whole life of a process: a child runs daemon_run(), and we
 * hear from it through its notify socket, its standard error and its exit code.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/conf.h"
#include "common/daemon.h"
#include "common/log.h"

#define GOOD "boxes = ( { name = \"h1\"; type = \"http\"; } );\n"

static char dir[] = "/tmp/daemon_test.XXXXXX";
static char config[64], output[64], notify[64];
static int notify_fd;
static char text[65536];

/* The box under test does what `mode` says. */
enum mode {
	MODE_PLAIN,
	MODE_NEVER_DRAINS,
	MODE_NO_START,
	MODE_REFUSES
};

static int
test_start(struct daemon *d, void *arg)
{
	enum mode *mode = arg;

	if (*mode == MODE_NO_START) {
		log_error("test.no_start", "x=%d", 1);
		return -1;
	}
	daemon_ready(d);
	return 0;
}

static void
test_drain(struct daemon *d, void *arg)
{
	enum mode *mode = arg;

	if (*mode != MODE_NEVER_DRAINS)
		daemon_stop(d, 0);
}

static bool
test_reload(struct daemon *d, const struct conf *c, struct buf *why, void *arg)
{
	enum mode *mode = arg;

	if (*mode == MODE_REFUSES)
		buf_addstr(why, "test: not today\n");
	else
		log_info("test.reload", "old=%s new=%s",
		    conf_str(conf_root(daemon_conf(d)), "node"),
		    conf_str(conf_root(c), "node"));
	daemon_ready(d);
	return *mode != MODE_REFUSES;
}

static bool
test_option(int c, const char *value, void *arg)
{
	(void)value;
	(void)arg;
	return c == 'M';
}

static void
test_fini(struct daemon *d, void *arg)
{
	(void)arg;
	log_info(
	    "test.fini", "name=%s type=%s", daemon_name(d), daemon_type(d));
}

static const struct daemon_box box = {
	.program = "hop-http",
	.type = "http",
	.types = "admin,web",
	.start = test_start,
	.drain = test_drain,
	.reload = test_reload,
	.fini = test_fini,
	.drain_ms = 300,
	.options = "M",
	.option_usage = "[-M]",
	.option_help = "  -M                 test\n",
	.option = test_option,
};

static void
put_config(const char *s)
{
	FILE *f = fopen(config, "w");

	assert_non_null(f);
	fputs(s, f);
	fclose(f);
}

/* Runs the daemon in a child with these options (up to a NULL). */
static pid_t
spawn(enum mode mode, const char *supervised, ...)
{
	char *argv[12] = { strdup("hop-http"), strdup("-c"), strdup(config) };
	va_list ap;
	char *s;
	int argc = 3, fd;
	pid_t pid;

	va_start(ap, supervised);
	while ((s = va_arg(ap, char *)) != NULL)
		argv[argc++] = strdup(s);
	va_end(ap);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid > 0) {
		while (argc > 0)
			free(argv[--argc]);
		return pid;
	}
	alarm(30);
	fd = open(output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	setenv("NOTIFY_SOCKET", notify, 1);
	unsetenv("HOPYARD_SUPERVISED");
	if (supervised != NULL)
		setenv("HOPYARD_SUPERVISED", supervised, 1);
	fd = daemon_run(&box, argc, argv, &mode);
	fflush(NULL);
	_exit(fd);
}

static int
finish(pid_t pid)
{
	int status;
	size_t n;
	FILE *f;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	f = fopen(output, "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
expect_notify(const char *want)
{
	char got[64];
	ssize_t n = recv(notify_fd, got, sizeof(got) - 1, 0);

	assert_true(n > 0);
	got[n] = '\0';
	assert_string_equal(got, want);
}

static void
expect_text(const char *want)
{
	if (strstr(text, want) == NULL)
		fail_msg("\"%s\" is not in:\n%s", want, text);
}

static void
options(void **arg)
{
	(void)arg;
	put_config(GOOD);
	assert_int_equal(finish(spawn(MODE_PLAIN, NULL, "-t", NULL)), 0);
	expect_text("configuration ok: ");
	assert_int_equal(finish(spawn(MODE_PLAIN, NULL, "-V", NULL)), 0);
	expect_text("hop-http (hopyard) 0.");
	assert_int_equal(finish(spawn(MODE_PLAIN, NULL, "--help", NULL)), 0);
	expect_text("usage: hop-http [-c FILE] [-n NAME] [-t] [-M]\n");
	expect_text("  -M                 test\n");
	assert_int_equal(finish(spawn(MODE_PLAIN, NULL, "-Q", NULL)), 2);
	assert_int_equal(finish(spawn(MODE_PLAIN, NULL, "-M", "-t", NULL)), 0);
	assert_int_equal(finish(spawn(MODE_PLAIN, NULL, "what", NULL)), 2);
	expect_text("hop-http: what is \"what\"?");
	assert_int_equal(
	    finish(spawn(MODE_PLAIN, NULL, "--log-level", "loud", NULL)), 2);
	expect_text("--log-level is error, warn, info or debug, not \"loud\"");
}

static void
which_box(void **arg)
{
	(void)arg;
	put_config("nod = \"x\";");
	assert_int_equal(finish(spawn(MODE_PLAIN, NULL, "-t", NULL)), 2);
	expect_text("1: unknown setting \"nod\" in top level; did you mean "
		    "\"node\"?\n");
	put_config("");
	assert_int_equal(finish(spawn(MODE_PLAIN, NULL, NULL)), 2);
	expect_text(": there is no box of type http\n");
	/* Good as a file, though no box of it is for us. */
	assert_int_equal(finish(spawn(MODE_PLAIN, NULL, "-t", NULL)), 0);
	put_config("boxes = ( { name = \"a\"; type = \"http\"; },\n"
		   "{ name = \"b\"; type = \"admin\"; },\n"
		   "{ name = \"c\"; type = \"http\"; enabled = false; },\n"
		   "{ name = \"d\"; type = \"hook\"; } );");
	assert_int_equal(finish(spawn(MODE_PLAIN, NULL, NULL)), 2);
	expect_text(
	    "several boxes are for hop-http; choose one with -n: a, b\n");
	assert_int_equal(finish(spawn(MODE_PLAIN, NULL, "-n", "c", NULL)), 2);
	expect_text("config:3: box \"c\" is not enabled\n");
	assert_int_equal(finish(spawn(MODE_PLAIN, NULL, "-n", "d", NULL)), 2);
	expect_text(
	    "config:4: box \"d\" is of type hook and not for hop-http\n");
	assert_int_equal(finish(spawn(MODE_PLAIN, NULL, "-n", "e", NULL)), 2);
	expect_text("config: there is no box \"e\" (-n)\n");
}

/* A box needs its own secrets and nobody else's. */
static void
secrets(void **arg)
{
	(void)arg;
	put_config("boxes = ( { name = \"h\"; type = \"http\"; },\n"
		   "{ name = \"ad\"; type = \"admin\";\n"
		   "token = \"env:HOPYARD_NOT_SET\"; } );");
	assert_int_equal(
	    finish(spawn(MODE_PLAIN, NULL, "-t", "-n", "h", NULL)), 0);
	assert_int_equal(
	    finish(spawn(MODE_PLAIN, NULL, "-t", "-n", "ad", NULL)), 2);
	expect_text("config:3: token of box \"ad\" (admin): environment "
		    "variable HOPYARD_NOT_SET is not set\n");
}

static void
drain(void **arg)
{
	pid_t pid;

	(void)arg;
	put_config(GOOD);
	pid = spawn(MODE_PLAIN, NULL, NULL);
	expect_notify("READY=1");
	kill(pid, SIGTERM);
	expect_notify("STOPPING=1");
	assert_int_equal(finish(pid), 0);
	expect_text("\"event\":\"daemon.started\"");
	expect_text(
	    "\"event\":\"test.fini\",\"name\":\"h1\",\"type\":\"http\"");

	/* One that does not come to an end by itself. */
	pid = spawn(MODE_NEVER_DRAINS, NULL, NULL);
	expect_notify("READY=1");
	kill(pid, SIGINT);
	expect_notify("STOPPING=1");
	assert_int_equal(finish(pid), 1);
	expect_text("\"event\":\"daemon.drain_timeout\"");

	pid = spawn(MODE_NEVER_DRAINS, NULL, NULL);
	expect_notify("READY=1");
	kill(pid, SIGTERM);
	expect_notify("STOPPING=1");
	kill(pid, SIGTERM);
	assert_int_equal(finish(pid), 1);
	expect_text("\"event\":\"daemon.killed\"");

	assert_int_equal(finish(spawn(MODE_NO_START, NULL, NULL)), 1);
	expect_text("\"event\":\"test.no_start\"");
	expect_text("\"event\":\"test.fini\"");
}

static void
reload(void **arg)
{
	pid_t pid;

	(void)arg;
	put_config(GOOD);
	pid = spawn(MODE_PLAIN, NULL, NULL);
	expect_notify("READY=1");
	put_config("node = \"n2\";\n" GOOD);
	kill(pid, SIGHUP);
	expect_notify("READY=1");
	/* Refused: the box never hears of it, and the old one stays. */
	put_config("node = \"n3\";\nnod = 1;\n" GOOD);
	kill(pid, SIGHUP);
	/* Signals of one kind do not queue: see that the last one was read. */
	for (int i = 0; i < 500; i++) {
		FILE *f = fopen(output, "r");
		size_t n = fread(text, 1, sizeof(text) - 1, f);

		text[n] = '\0';
		fclose(f);
		if (strstr(text, "config.refused") != NULL)
			break;
		usleep(10000);
	}
	put_config("node = \"n5\";\n" GOOD);
	kill(pid, SIGHUP);
	expect_notify("READY=1");
	kill(pid, SIGTERM);
	expect_notify("STOPPING=1");
	assert_int_equal(finish(pid), 0);
	expect_text(
	    "\"event\":\"test.reload\",\"old\":\"hop1\",\"new\":\"n2\"");
	expect_text("node: \\\"hop1\\\" -> \\\"n2\\\" (bus)");
	expect_text("\"event\":\"test.reload\",\"old\":\"n2\",\"new\":\"n5\"");
	expect_text("\"event\":\"config.refused\",\"what\":");

	pid = spawn(MODE_REFUSES, NULL, NULL);
	expect_notify("READY=1");
	kill(pid, SIGHUP);
	expect_notify("READY=1");
	kill(pid, SIGTERM);
	expect_notify("STOPPING=1");
	assert_int_equal(finish(pid), 0);
	expect_text("\"what\":\"test: not today\"");
}

static void
supervised(void **arg)
{
	char own[16];
	pid_t pid;

	(void)arg;
	put_config(GOOD);
	snprintf(own, sizeof(own), "%d", (int)getpid());
	pid = spawn(MODE_PLAIN, own, NULL);
	expect_notify("READY=1");
	/* Ctrl-C is the supervisor's business. */
	kill(pid, SIGINT);
	kill(pid, SIGTERM);
	expect_notify("STOPPING=1");
	assert_int_equal(finish(pid), 0);
	assert_null(strstr(text, "\"signal\":2"));

	snprintf(own, sizeof(own), "%d", (int)getppid() + 100000);
	assert_int_equal(finish(spawn(MODE_PLAIN, own, NULL)), 1);
	expect_text("\"event\":\"daemon.orphan\"");
}

static int
setup(void **arg)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = 20 };

	(void)arg;
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(config, sizeof(config), "%s/config", dir);
	snprintf(output, sizeof(output), "%s/output", dir);
	snprintf(notify, sizeof(notify), "%s/notify", dir);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", notify);
	notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return bind(notify_fd, (struct sockaddr *)&sun, sizeof(sun)) |
	    setsockopt(
		notify_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

static int
teardown(void **arg)
{
	(void)arg;
	unlink(config);
	unlink(output);
	unlink(notify);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options),
		cmocka_unit_test(which_box),
		cmocka_unit_test(secrets),
		cmocka_unit_test(drain),
		cmocka_unit_test(reload),
		cmocka_unit_test(supervised),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
