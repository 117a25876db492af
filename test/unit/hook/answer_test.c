/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers of HTTP servers, good and odd ones: whole, cut in two at every octet,
 * octet by octet, and broken off at every octet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/hook/answer.h"
#include "common/xalloc.h"

#define MAX_BODY 32
#define WALL_MS  1795374060000u /* 2026-11-22 19:01:00 */

struct row {
	const char *what;
	const char *text;
	bool closed; /* the peer closes behind it */
	enum answer_state want;
	unsigned status;
	bool keep_alive;
	const char *body;
	size_t left; /* octets behind the answer */
};

#define OK "HTTP/1.1 200 OK\r\n"

static const struct row rows[] = {
	{ "length", OK "Content-Length: 2\r\n\r\nhi", false, ANSWER_DONE, 200,
	    true, "hi", 0 },
	{ "no body", OK "content-length:0\r\n\r\n", false, ANSWER_DONE, 200,
	    true, "", 0 },
	{ "no phrase", "HTTP/1.1 202\r\nContent-Length: 0\r\n\r\n", false,
	    ANSWER_DONE, 202, true, "", 0 },
	{ "204", "HTTP/1.1 204 No Content\r\n\r\n", false, ANSWER_DONE, 204,
	    true, "", 0 },
	{ "204 with a length", "HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nhi",
	    false, ANSWER_DONE, 204, true, "", 2 },
	{ "100 with a length",
	    "HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\n" OK
	    "Content-Length: 0\r\n\r\n",
	    false, ANSWER_DONE, 200, true, "", 0 },
	{ "304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
	    false, ANSWER_DONE, 304, true, "", 0 },
	{ "close", OK "Connection: close\r\nContent-Length: 2\r\n\r\nhi", false,
	    ANSWER_DONE, 200, false, "hi", 0 },
	{ "until the end", OK "\r\nhello", true, ANSWER_DONE, 200, false,
	    "hello", 0 },
	{ "until the end, nothing", OK "\r\n", true, ANSWER_DONE, 200, false,
	    "", 0 },
	{ "until the end, which does not come", OK "\r\nhello", false,
	    ANSWER_BODY, 200, false, NULL, 0 },
	{ "HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhello", true, ANSWER_DONE, 200,
	    false, "hello", 0 },
	{ "HTTP/1.0 with a length",
	    "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", false,
	    ANSWER_DONE, 200, false, "hi", 0 },
	{ "HTTP/1.0 kept",
	    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
	    "Content-Length: 2\r\n\r\nhi",
	    false, ANSWER_DONE, 200, true, "hi", 0 },
	{ "chunks",
	    OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
	       "A;ext=\"1\"\r\n0123456789\r\n0\r\n\r\n",
	    false, ANSWER_DONE, 200, true, "abc0123456789", 0 },
	{ "trailers",
	    OK "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n"
	       "Retry-After: 9\r\nX: y\r\n\r\n",
	    false, ANSWER_DONE, 200, true, "ab", 0 },
	{ "chunks and length",
	    OK "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
	       "2\r\nab\r\n0\r\n\r\n",
	    false, ANSWER_DONE, 200, false, "ab", 0 },
	{ "100 first",
	    "HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" OK
	    "Content-Length: 2\r\n\r\nhi",
	    false, ANSWER_DONE, 200, true, "hi", 0 },
	{ "several",
	    "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
	    "Link: </x>\r\nContent-Type: a/b\r\n\r\n"
	    "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
	    false, ANSWER_DONE, 500, true, "", 0 },
	{ "100 and the end", "HTTP/1.1 100 Continue\r\n\r\n", true, ANSWER_BAD,
	    0, false, NULL, 0 },
	{ "101",
	    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"
	    "Connection: Upgrade\r\n\r\n",
	    false, ANSWER_BAD, 0, false, NULL, 0 },
	{ "redirect",
	    "HTTP/1.1 302 Found\r\nLocation: http://x/\r\n"
	    "Content-Length: 0\r\n\r\n",
	    false, ANSWER_DONE, 302, true, "", 0 },
	{ "something behind it", OK "Content-Length: 2\r\n\r\nhiHTTP/1.1 ",
	    false, ANSWER_DONE, 200, true, "hi", 9 },
	{ "full",
	    OK "Content-Length: 32\r\n\r\n0123456789abcdef0123456789abcdef",
	    false, ANSWER_DONE, 200, true, "0123456789abcdef0123456789abcdef",
	    0 },
	{ "nothing", "", true, ANSWER_BAD, 0, false, NULL, 0 },
	{ "half a head", "HTTP/1.1 200 OK\r\nX: y\r\n", true, ANSWER_BAD, 0,
	    false, NULL, 0 },
	{ "half a body", OK "Content-Length: 5\r\n\r\nhi", true, ANSWER_BAD,
	    200, false, NULL, 0 },
	{ "half a chunk", OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhi", true,
	    ANSWER_BAD, 200, false, NULL, 0 },
	{ "no last chunk", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
	    true, ANSWER_BAD, 200, false, NULL, 0 },
	{ "wrong chunk",
	    OK "Transfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n", false,
	    ANSWER_BAD, 200, false, NULL, 0 },
	{ "chunk without its end",
	    OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhixx0\r\n\r\n", false,
	    ANSWER_BAD, 200, false, NULL, 0 },
	{ "chunk of 2^64",
	    OK "Transfer-Encoding: chunked\r\n\r\n"
	       "10000000000000000\r\n",
	    false, ANSWER_BAD, 200, false, NULL, 0 },
	{ "two lengths", OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\nhi",
	    false, ANSWER_BAD, 0, false, NULL, 0 },
	{ "length of 2^64", OK "Content-Length: 18446744073709551616\r\n\r\n",
	    false, ANSWER_BAD, 0, false, NULL, 0 },
	{ "negative length", OK "Content-Length: -1\r\n\r\n", false, ANSWER_BAD,
	    0, false, NULL, 0 },
	{ "SSH", "SSH-2.0-x\r\n", false, ANSWER_BAD, 0, false, NULL, 0 },
	{ "SMTP", "220 mail.example ESMTP\r\n", false, ANSWER_BAD, 0, false,
	    NULL, 0 },
	{ "a request", "GET / HTTP/1.1\r\n\r\n", false, ANSWER_BAD, 0, false,
	    NULL, 0 },
	{ "HTTP/2", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", false,
	    ANSWER_BAD, 0, false, NULL, 0 },
	{ "HTTP/0.9", "<html>hello</html>", true, ANSWER_BAD, 0, false, NULL,
	    0 },
	{ "status 099", "HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n", false,
	    ANSWER_BAD, 0, false, NULL, 0 },
	{ "status 600", "HTTP/1.1 600 x\r\nContent-Length: 0\r\n\r\n", false,
	    ANSWER_BAD, 0, false, NULL, 0 },
	{ "status 20000", "HTTP/1.1 20000 x\r\nContent-Length: 0\r\n\r\n",
	    false, ANSWER_BAD, 0, false, NULL, 0 },
	{ "offers HTTP/2",
	    OK "Upgrade: h2,h2c\r\nConnection: Upgrade, Keep-Alive\r\n"
	       "Content-Length: 2\r\n\r\nhi",
	    false, ANSWER_DONE, 200, true, "hi", 0 },
	{ "control octet in a field", OK "X: \1\r\n\r\n", false, ANSWER_BAD, 0,
	    false, NULL, 0 },
};

/* In pieces that end at `first` and then every `step` octets, each in memory
 * of its own so that a sanitizer sees what is read too far. */
static size_t
run_pieces(struct answer *a, const char *text, size_t len, size_t first,
    size_t step, bool closed)
{
	size_t at = 0, end = first, used;
	uint8_t *piece;

	answer_reset(a, true, MAX_BODY);
	while (a->state <= ANSWER_BODY && at < len) {
		if (end > len)
			end = len;
		piece = xmalloc(end - at + 1);
		memcpy(piece, text + at, end - at);
		used = answer_run(a, piece, end - at);
		free(piece);
		assert_true(used <= end - at);
		assert_true(used == end - at || a->state > ANSWER_BODY);
		at += used;
		end = at + step;
	}
	if (a->state <= ANSWER_BODY && closed)
		answer_end(a);
	return len - at;
}

static void
check(const struct answer *a, const struct row *r, size_t left, bool whole)
{
	if (a->state != r->want)
		fail_msg("%s: state %d, not %d (%s)", r->what, (int)a->state,
		    (int)r->want, a->error != NULL ? a->error : "");
	if (r->want == ANSWER_BAD)
		assert_non_null(a->error);
	if (r->want != ANSWER_DONE)
		return;
	if (a->status != r->status || a->keep_alive != r->keep_alive)
		fail_msg(
		    "%s: %u, keep_alive %d", r->what, a->status, a->keep_alive);
	assert_int_equal(buf_len(&a->body), strlen(r->body));
	assert_memory_equal(buf_data(&a->body), r->body, strlen(r->body));
	assert_false(a->truncated);
	if (whole)
		assert_int_equal(left, r->left);
}

static void
test_rows(void **state)
{
	struct answer a;

	(void)state;
	answer_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		size_t len = strlen(r->text), left;

		left = run_pieces(&a, r->text, len, len, len, r->closed);
		check(&a, r, left, true);
		(void)run_pieces(&a, r->text, len, 1, 1, r->closed);
		check(&a, r, 0, false);
		for (size_t cut = 1; cut < len; cut++) {
			left =
			    run_pieces(&a, r->text, len, cut, len, r->closed);
			check(&a, r, left, true);
		}
	}
	answer_fini(&a);
}

/* Less than an answer is never taken for one. */
static void
test_truncated(void **state)
{
	struct answer a;

	(void)state;
	answer_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		size_t len = strlen(r->text) - r->left;

		if (r->want != ANSWER_DONE || r->closed)
			continue;
		for (size_t cut = 0; cut < len; cut++) {
			(void)run_pieces(&a, r->text, cut, cut, 1, false);
			assert_true(a.state <= ANSWER_BODY);
			answer_end(&a);
			assert_int_equal(a.state, ANSWER_BAD);
			assert_false(a.keep_alive);
		}
	}
	answer_fini(&a);
}

static void
test_long_body(void **state)
{
	static const char *const texts[] = {
		OK "Content-Length: 40\r\n\r\n"
		   "0123456789abcdef0123456789abcdefXXXXXXXX",
		OK "\r\n0123456789abcdef0123456789abcdefXXXXXXXX",
		OK
		"Transfer-Encoding: chunked\r\n\r\n"
		"28\r\n0123456789abcdef0123456789abcdefXXXXXXXX\r\n0\r\n\r\n",
	};
	struct answer a;

	(void)state;
	answer_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		for (size_t step = 1; step < 100; step++) {
			(void)run_pieces(
			    &a, texts[i], strlen(texts[i]), step, step, false);
			assert_int_equal(a.state, ANSWER_DONE);
			assert_true(a.truncated && !a.keep_alive);
			assert_int_equal(a.status, 200);
			assert_int_equal(buf_len(&a.body), MAX_BODY);
			assert_memory_equal(buf_data(&a.body),
			    "0123456789abcdef0123456789abcdef", MAX_BODY);
		}
	}
	/* Nobody wants it: counted all the same. */
	answer_reset(&a, false, 4);
	assert_true(answer_run(&a, (const uint8_t *)texts[1],
			strlen(texts[1])) <= strlen(texts[1]));
	assert_int_equal(a.state, ANSWER_DONE);
	assert_true(a.truncated);
	assert_int_equal(buf_len(&a.body), 0);
	answer_fini(&a);
}

/* Repeats text until the answer is over; how many octets it took. */
static size_t
run_for_ever(struct answer *a, const char *head, const char *text)
{
	size_t n = strlen(head), len = strlen(text), all = n;

	answer_reset(a, true, MAX_BODY);
	assert_int_equal(answer_run(a, (const uint8_t *)head, n), n);
	while (a->state <= ANSWER_BODY && all < 16u << 20)
		all += answer_run(a, (const uint8_t *)text, len);
	assert_int_equal(a->state, ANSWER_BAD);
	return all;
}

static void
test_endless(void **state)
{
	static const struct {
		const char *head, *text;
	} rows_endless[] = {
		{ OK, "X: 0123456789abcdef0123456789abcdef\r\n" },
		{ OK "X: ", "0123456789abcdef0123456789abcdef" },
		{ OK, "0123456789abcdef0123456789abcdef" },
		{ "", "HTTP/1.1 100 Continue\r\n\r\n" },
		{ "HTTP/1.1 200 ", "0123456789abcdef0123456789abcdef" },
		{ OK "Transfer-Encoding: chunked\r\n\r\n1;",
		    "0123456789abcdef0123456789abcdef" },
		{ OK "Transfer-Encoding: chunked\r\n\r\n0\r\n",
		    "X: 0123456789abcdef0123456789abcdef\r\n" },
	};
	struct answer a;

	(void)state;
	answer_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(rows_endless); i++)
		assert_in_range(run_for_ever(&a, rows_endless[i].head,
				    rows_endless[i].text),
		    ANSWER_HEAD_MAX, 2 * ANSWER_HEAD_MAX);
	answer_fini(&a);
}

static void
run_field(struct answer *a, const char *field)
{
	char text[1024];
	size_t len = (size_t)snprintf(text, sizeof(text),
	    "HTTP/1.1 503 Busy\r\n%s\r\nContent-Length: 0\r\n\r\n", field);

	assert_true(len < sizeof(text));
	for (size_t step = 1; step < len; step += 7) {
		(void)run_pieces(a, text, len, step, step, false);
		assert_int_equal(a->state, ANSWER_DONE);
		assert_int_equal(a->status, 503);
	}
}

static void
test_retry_after(void **state)
{
	static const struct {
		const char *field;
		uint64_t want;
	} fields[] = {
		{ "Retry-After: 7", 7000 },
		{ "retry-after:120  ", 120000 },
		{ "Retry-After: 0", 0 },
		{ "Retry-After: 99999999999999999999", 9999999999000 },
		{ "Retry-After: -5", 0 },
		{ "Retry-After: 5 s", 0 },
		{ "Retry-After: soon", 0 },
		{ "Retry-After:", 0 },
		{ "X-Retry-After: 7", 0 },
		{ "Retry-Afte: 7", 0 },
		{ "Retry-After: 3\r\nRetry-After: 4", 4000 },
		{ "Retry-After: Sun, 22 Nov 2026 19:02:00 GMT", 60000 },
		{ "Retry-After: Sunday, 22-Nov-26 19:02:00 GMT", 60000 },
		{ "Retry-After: Sun Nov 22 19:02:00 2026", 60000 },
		{ "Retry-After: Sun, 22 Nov 2020 19:02:00 GMT", 0 },
		{ "Retry-After: Sun, 22 Nov 2026 19:02:00 GMT+1", 0 },
	};
	struct answer a;

	(void)state;
	answer_init(&a);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		uint64_t got;

		run_field(&a, fields[i].field);
		got = answer_retry_after_ms(&a, WALL_MS);
		if (got != fields[i].want)
			fail_msg("%s: %llu", fields[i].field,
			    (unsigned long long)got);
	}
	answer_fini(&a);
}

static void
test_type(void **state)
{
	char longest[400] = "Content-Type: ";
	struct answer a;

	(void)state;
	answer_init(&a);
	run_field(&a, "Content-Type:  text/plain; charset=utf-8 ");
	assert_string_equal(answer_type(&a), "text/plain; charset=utf-8");
	run_field(&a, "X-Content-Type: text/plain");
	assert_null(answer_type(&a));
	run_field(&a, "Content-Type:");
	assert_null(answer_type(&a));
	memset(longest + 14, 'x', ANSWER_VALUE_MAX - 1);
	run_field(&a, longest);
	assert_int_equal(strlen(answer_type(&a)), ANSWER_VALUE_MAX - 1);
	memset(longest + 14, 'x', ANSWER_VALUE_MAX);
	run_field(&a, longest);
	assert_null(answer_type(&a));
	answer_fini(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_long_body),
		cmocka_unit_test(test_endless),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
