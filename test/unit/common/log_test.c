/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/log.h"

#define TEXT_HEAD "2026-11-22T19:18:00.123Z info http event=e"
#define JSON_HEAD                                                              \
	"{\"ts\":\"2026-11-22T19:18:00.123Z\",\"level\":\"info\","             \
	"\"box\":\"http\",\"event\":\"e\""

static FILE *out;
static int real_stderr;
static char captured[1 << 20];

static void
begin(enum log_format format)
{
	rewind(out);
	assert_int_equal(ftruncate(fileno(out), 0), 0);
	assert_true(dup2(fileno(out), STDERR_FILENO) >= 0);
	log_init("http");
	log_configure(LOG_LEVEL_INFO, format, true);
}

/* What has been logged since begin(). */
static const char *
end(void)
{
	size_t n;

	log_flush();
	assert_true(dup2(real_stderr, STDERR_FILENO) >= 0);
	rewind(out);
	n = fread(captured, 1, sizeof(captured) - 1, out);
	captured[n] = '\0';
	return captured;
}

static int
setup(void **arg)
{
	(void)arg;
	clock_set(1000, 1795375080123);
	real_stderr = dup(STDERR_FILENO);
	out = tmpfile();
	return out == NULL || real_stderr < 0;
}

static void
values(void **arg)
{
	const char *volatile null = NULL;

	(void)arg;
	begin(LOG_FORMAT_TEXT);
	log_info("e",
	    "s=%s d=%d ld=%ld lld=%lld i=%i u=%u llu=%llu zu=%zu x=%x "
	    "lx=%lx c=%c p=%.3s star=%.*s pct=%u%% none=%s",
	    "v", -1, -2L, -9223372036854775807LL - 1, 3, 4u,
	    18446744073709551615ULL, (size_t)5, 0xbeefu, 0xcafeul, 'y',
	    "abcdef", 2, "xyz", 50u, null);
	assert_string_equal(end(),
	    TEXT_HEAD
	    " s=v d=-1 ld=-2 lld=-9223372036854775808 i=3 u=4 "
	    "llu=18446744073709551615 zu=5 x=beef lx=cafe c=y p=abc star=xy "
	    "pct=50% none=(null)\n");

	begin(LOG_FORMAT_JSON);
	log_info("e", "s=%s d=%d x=%x pair=%u/%u addr=%s:%u flag=true", "7", -1,
	    16u, 1u, 2u, "h", 80u);
	assert_string_equal(end(),
	    JSON_HEAD ",\"s\":\"7\",\"d\":-1,\"x\":\"10\",\"pair\":\"1/2\","
		      "\"addr\":\"h:80\",\"flag\":\"true\"}\n");
}

static void
free_words(void **arg)
{
	(void)arg;
	begin(LOG_FORMAT_TEXT);
	log_info(
	    "e", "cannot open %s: hint=\"try again\" why=%s", "/a b", "none");
	assert_string_equal(end(),
	    TEXT_HEAD
	    " hint=\"try again\" why=none text=\"cannot open /a b:\"\n");
	begin(LOG_FORMAT_TEXT);
	log_info("e", "%s", "k=v");
	assert_string_equal(end(), TEXT_HEAD " text=\"k=v\"\n");
	begin(LOG_FORMAT_TEXT);
	log_info("e", "%s", "");
	assert_string_equal(end(), TEXT_HEAD "\n");
}

/* What a peer may send must neither break the line nor the terminal. */
static void
hostile(void **arg)
{
	static const struct {
		const char *in, *want_text, *want_json;
	} cases[] = {
		{ "", "\"\"", "\"\"" },
		{ "a b", "\"a b\"", "\"a b\"" },
		{ "a\nlevel=error x=\"", "\"a\\nlevel=error x=\\\"\"",
		    "\"a\\nlevel=error x=\\\"\"" },
		{ "a=b", "\"a=b\"", "\"a=b\"" },
		{ "\\", "\"\\\\\"", "\"\\\\\"" },
		{ "\r\t", "\"\\r\\t\"", "\"\\r\\t\"" },
		{ "\x1b[2J", "\"\\x1b[2J\"", "\"\\u001b[2J\"" },
		{ "\x7f", "\"\\x7f\"", "\"\\u007f\"" },
		{ "\xc2\x9b"
		  "2J",
		    "\"\\u009b2J\"", "\"\\u009b2J\"" },
		{ "\xe2\x80\xae"
		  "x",
		    "\"\\u202ex\"", "\"\\u202ex\"" },
		{ "\xff\xfe", "\"\\xff\\xfe\"", "\"\\ufffd\\ufffd\"" },
		{ "Gr\xc3\xbc", "\"Gr\xc3\xbc\"", "\"Gr\xc3\xbc\"" },
		{ "%s%n", "%s%n", "\"%s%n\"" },
	};
	char want[256];
	size_t i;

	(void)arg;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(LOG_FORMAT_TEXT);
		log_info("e", "v=%s n=%d", cases[i].in, 1);
		snprintf(want, sizeof(want), TEXT_HEAD " v=%s n=1\n",
		    cases[i].want_text);
		assert_string_equal(end(), want);

		begin(LOG_FORMAT_JSON);
		log_info("e", "v=%s n=%d", cases[i].in, 1);
		snprintf(want, sizeof(want), JSON_HEAD ",\"v\":%s,\"n\":1}\n",
		    cases[i].want_json);
		assert_string_equal(end(), want);
	}
}

/* Long values are cut, and a pair that does not fit is left out whole. */
static void
long_lines(void **arg)
{
	static char big[5000];
	const char *got;
	unsigned i;

	(void)arg;
	memset(big, '\x01', sizeof(big) - 1);
	for (i = 0; i < 2; i++) {
		begin(i == 0 ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT);
		log_info("e", "a=%u v=%s b=%u", 1u, big, 2u);
		got = end();
		assert_true(strlen(got) <= 4096);
		assert_null(strchr(got, '\x01'));
		if (i == 0)
			assert_string_equal(
			    got, JSON_HEAD ",\"a\":1,\"truncated\":true}\n");
	}
	memset(big, 'x', sizeof(big) - 1);
	begin(LOG_FORMAT_JSON);
	log_info("e", "v=%s", big);
	assert_int_equal(strlen(end()), strlen(JSON_HEAD) + 6 + 1024 + 3);
}

static void
levels(void **arg)
{
	(void)arg;
	begin(LOG_FORMAT_TEXT);
	log_debug("e", "not=%s", "shown");
	log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, true);
	log_warn("e", "not=%s", "shown");
	assert_false(log_enabled(LOG_LEVEL_WARN));
	assert_string_equal(end(), "");
	/* An error does not wait for the flush. */
	begin(LOG_FORMAT_TEXT);
	log_error("e", "x=%u", 1u);
	assert_true(lseek(STDERR_FILENO, 0, SEEK_END) > 0);
	assert_string_equal(
	    end(), "2026-11-22T19:18:00.123Z error http event=e x=1\n");
}

static void
numbers(void **arg)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ "4915112345678", "49151***678" },
		{ "+4915112345678", "+49151***678" },
		{ "49151123456", "49151***456" },
		{ "4915112345", "491***45" },
		{ "1234567", "123***67" },
		{ "123456", "123456" },
		{ "SHOP", "SHOP" },
		{ "", "" },
	};
	size_t i;

	(void)arg;
	log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, true);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(
		    log_number(cases[i].in, strlen(cases[i].in)),
		    cases[i].want);
	log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, false);
	assert_string_equal(log_number("4915112345678", 13), "4915112345678");
}

static void
words(void **arg)
{
	static const struct {
		const char *in, *want;
		size_t cap;
	} cases[] = {
		{ "", "", 20 },
		{ "no number", "no number", 20 },
		{ "4915112345678", "49151***678", 40 },
		{ "to +4915112345678: line 4711, x1234567y",
		    "to +49151***678: line 4711, x123***67y", 64 },
		{ "4915112345678", "49151**", 8 },
		{ "abcdef", "abc", 4 },
		{ "abcdef", "", 1 },
		{ "12", "1", 2 },
	};
	char dst[64];
	size_t i;

	(void)arg;
	log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, true);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(log_words(dst, cases[i].cap, cases[i].in,
					strlen(cases[i].in)),
		    cases[i].want);
	log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, false);
}

static void
limit(void **arg)
{
	struct log_limit place = { 0 };

	(void)arg;
	assert_true(log_limit(&place, 2));
	assert_true(log_limit(&place, 2));
	assert_false(log_limit(&place, 2));
	assert_int_equal(place.dropped, 1);
	clock_set(2000, 1795375080123);
	assert_true(log_limit(&place, 2));
	clock_set(1000, 1795375080123);
}

/* Runs in a child: fills the pipe, says so, and goes on when it is read. */
static void
fill_pipe(int log_fd, int ready_fd)
{
	static char big[1001];
	unsigned i;

	memset(big, 'x', sizeof(big) - 1);
	alarm(20);
	if (dup2(log_fd, STDERR_FILENO) < 0)
		_exit(2);
	log_init("http");
	log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT, true);
	for (i = 0; i < 1000; i++)
		log_info("fill", "v=%s", big);
	log_flush();
	if (write(ready_fd, "r", 1) != 1)
		_exit(2);
	fatal("gone", "x=%d", 1);
}

/* A reader that stops reading costs lines, never time, and is told. */
static void
slow_reader(void **arg)
{
	int fd[2], ready[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;
	char c;

	(void)arg;
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0)
		fill_pipe(fd[1], ready[1]);
	assert_true(pid > 0);
	close(fd[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	while (
	    (n = read(fd[0], captured + len, sizeof(captured) - 1 - len)) > 0)
		len += (size_t)n;
	captured[len] = '\0';
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_non_null(
	    strstr(captured, " warn http event=log.dropped lines="));
	assert_non_null(strstr(captured, " error http event=gone x=1\n"));
	close(fd[0]);
	close(ready[0]);
	close(ready[1]);
}

/* How many of the numbered lines are whole, and how many the log owns up to
 * have dropped. */
static void
count_lines(const char *text, unsigned *whole, unsigned *dropped)
{
	char *copy = strdup(text), *save = NULL, *line;
	unsigned n;

	*whole = *dropped = 0;
	for (line = strtok_r(copy, "\n", &save); line != NULL;
	     line = strtok_r(NULL, "\n", &save)) {
		const char *what = strstr(line, "event=log.dropped lines=");

		if (what != NULL) {
			n = 0;
			assert_int_equal(
			    sscanf(what, "event=log.dropped lines=%u", &n), 1);
			*dropped += n;
		} else if (strncmp(line, TEXT_HEAD, sizeof(TEXT_HEAD) - 1) ==
			0 &&
		    strstr(line, " end=1") != NULL) {
			(*whole)++;
		}
	}
	free(copy);
}

/* The disk is full for a while, twice: lines are dropped and counted, no one
 * waits, and those after it are there. */
static void
full_disk(void **arg)
{
	struct rlimit old, small;
	unsigned whole, dropped, sent = 0;

	(void)arg;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	begin(LOG_FORMAT_TEXT);
	for (int round = 1; round <= 2; round++) {
		small = old;
		small.rlim_cur = (rlim_t)round * 10000 + 77;
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
		for (int i = 0; i < 500; i++) {
			log_info("e", "n=%u end=1", ++sent);
			log_flush();
		}
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
		log_info("e", "n=%u end=1", ++sent);
		log_flush();
	}
	count_lines(end(), &whole, &dropped);
	assert_true(whole > 200 && dropped > 500);
	assert_int_equal(whole + dropped, sent);
	assert_non_null(strstr(captured, " n=501 end=1\n"));
	assert_non_null(strstr(captured, " n=1002 end=1\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(free_words),
		cmocka_unit_test(hostile),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(levels),
		cmocka_unit_test(numbers),
		cmocka_unit_test(words),
		cmocka_unit_test(limit),
		cmocka_unit_test(slow_reader),
		cmocka_unit_test(full_disk),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
