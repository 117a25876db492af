/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests whole, byte by byte, split at every place and cut at every length;
 * and what must be refused, with its status.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boxes/http/parse.h"

#define MAX_BODY 64

struct good {
	const char *in; /* one request, maybe with more behind it */
	size_t len;
	unsigned method;
	const char *path, *query, *body;
	bool keep_alive;
	size_t size; /* of the request alone; 0: that is all */
};

#define IN(s) s, sizeof(s) - 1
#define GET1  "GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST1 "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
#define CHUNKED                                                                \
	"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"    \
	"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n"

static const struct good good[] = {
	{ IN(GET1), HTTP_GET, "/a", "b=c", "", true, sizeof(GET1) - 1 },
	{ IN(GET1 GET1), HTTP_GET, "/a", "b=c", "", true, sizeof(GET1) - 1 },
	{ IN("\r\n" GET1), HTTP_GET, "/a", "b=c", "", true, sizeof(GET1) + 1 },
	{ IN(POST1), HTTP_POST, "/p", "", "hello", true, sizeof(POST1) - 1 },
	{ IN(POST1 "GET"), HTTP_POST, "/p", "", "hello", true,
	    sizeof(POST1) - 1 },
	{ IN(CHUNKED), HTTP_POST, "/p", "", "hello", true,
	    sizeof(CHUNKED) - 1 },
	{ IN(CHUNKED GET1), HTTP_POST, "/p", "", "hello", true,
	    sizeof(CHUNKED) - 1 },
	/* As playSMS sends it. */
	{ IN("GET /s HTTP/1.0\r\n\r\n"), HTTP_GET, "/s", "", "", false, 0 },
	{ IN("GET /s HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), HTTP_GET,
	    "/s", "", "", true, 0 },
	{ IN("GET /s HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n"), HTTP_GET,
	    "/s", "", "", false, 0 },
	{ IN("GET http://h:1/x?y HTTP/1.1\r\nHost: h:1\r\n\r\n"), HTTP_GET,
	    "/x", "y", "", true, 0 },
	{ IN("DELETE /%2e?a=%00 HTTP/1.1\r\nhOST:  h \t\r\n\r\n"), HTTP_DELETE,
	    "/%2e", "a=%00", "", true, 0 },
	/* No other protocol is offered. */
	{ IN("GET /u HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
	     "Upgrade: websocket\r\n\r\n"),
	    HTTP_GET, "/u", "", "", true, 0 },
};

static void
check(const struct parse *p, const uint8_t *data, const struct good *g)
{
	struct bytes v;

	assert_int_equal(parse_method(p), g->method);
	v = http_span_bytes(data, p->head.path);
	assert_true(bytes_eq(v, bytes_str(g->path)));
	v = http_span_bytes(data, p->head.query);
	assert_true(bytes_eq(v, bytes_str(g->query)));
	v = parse_body(p, data);
	assert_int_equal(v.len, strlen(g->body));
	if (v.len > 0)
		assert_memory_equal(v.p, g->body, v.len);
	assert_int_equal(p->keep_alive, g->keep_alive);
	assert_int_equal(p->size, g->size > 0 ? g->size : g->len);
}

/* Hands over data in the pieces that end at a, b and the end, each time in
 * fresh memory of just that size, so that a read too far shows. */
static enum parse_state
feed(struct parse *p, const struct good *g, size_t a, size_t b)
{
	size_t ends[3] = { a, b, g->len };
	enum parse_state state = PARSE_HEAD;
	uint8_t *copy;
	size_t i;

	parse_reset(p, MAX_BODY);
	for (i = 0; i < 3; i++) {
		copy = malloc(ends[i] + 1);
		assert_non_null(copy);
		memcpy(copy, g->in, ends[i]);
		state = parse_run(p, copy, ends[i]);
		if (state == PARSE_DONE) {
			check(p, copy, g);
			free(copy);
			break;
		}
		free(copy);
		assert_int_not_equal(state, PARSE_FAULT);
	}
	return state;
}

static void
test_good(void **state)
{
	struct parse p;
	size_t i, a, b;

	(void)state;
	parse_init(&p);
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(
		    feed(&p, &good[i], good[i].len, good[i].len), PARSE_DONE);
		for (a = 0; a <= good[i].len; a++)
			for (b = a; b <= good[i].len; b += 1 + a % 3)
				assert_int_equal(
				    feed(&p, &good[i], a, b), PARSE_DONE);
	}
	parse_fini(&p);
}

static void
test_byte_by_byte(void **state)
{
	struct parse p;
	size_t i, n, size;
	uint8_t *copy;

	(void)state;
	parse_init(&p);
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		parse_reset(&p, MAX_BODY);
		size = good[i].size > 0 ? good[i].size : good[i].len;
		for (n = 1; n <= size; n++) {
			copy = malloc(n);
			assert_non_null(copy);
			memcpy(copy, good[i].in, n);
			assert_int_not_equal(
			    parse_run(&p, copy, n), PARSE_FAULT);
			/* Done with the last byte and not before. */
			assert_int_equal(p.state == PARSE_DONE, n == size);
			if (p.state == PARSE_DONE)
				check(&p, copy, &good[i]);
			free(copy);
		}
	}
	parse_fini(&p);
}

static const struct bad {
	const char *in;
	size_t len;
	unsigned status;
} bad[] = {
	/* Lengths that two readers could take differently. */
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
	     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	    400 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
	     "Content-Length: 5\r\n\r\n0\r\n\r\n"),
	    400 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
	     "Content-Length: 5\r\n\r\nhello"),
	    400 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: +2\r\n\r\nhe"),
	    400 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1_0\r\n\r\nhe"),
	    400 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 0x2\r\n\r\nhe"),
	    400 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\nhe"), 400 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: "
	     "99999999999999999999999\r\n\r\n"),
	    400 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
	     "xchunked\r\n\r\n0\r\n\r\n"),
	    400 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
	     "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	    400 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, "
	     "identity\r\n\r\n0\r\n\r\n"),
	    400 },
	{ IN("POST /p HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"
	     "0\r\n\r\n"),
	    400 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	     "-1\r\n\r\n"),
	    400 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	     "1 \r\nx\r\n0\r\n\r\n"),
	    400 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	     "1\r\nxx\r\n0\r\n\r\n"),
	    400 },
	/* Lines that end differently for two readers. */
	{ IN("GET / HTTP/1.1\nHost: h\n\n"), 400 },
	{ IN("GET / HTTP/1.1\r\nHost: h\nX: y\r\n\r\n"), 400 },
	{ IN("GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n"), 400 },
	{ IN("GET / HTTP/1.1\r\nHost: h\r\n\rX: y\r\n\r\n"), 400 },
	{ IN("GET / HTTP/1.1\r\nHost : h\r\n\r\n"), 400 },
	{ IN("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n"), 400 },
	{ IN("GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb\r\n\r\n"), 400 },
	{ IN("GET / HTTP/1.1\r\n Host: h\r\n\r\n"), 400 },
	{ IN("GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n"), 400 },
	{ IN("GET / HTTP/1.1\r\nHost: h\r\nX\0Y: a\r\n\r\n"), 400 },
	/* Host */
	{ IN("GET / HTTP/1.1\r\n\r\n"), 400 },
	{ IN("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400 },
	{ IN("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"), 400 },
	{ IN("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400 },
	{ IN("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400 },
	/* What may stand only once. */
	{ IN("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\n"
	     "Authorization: Bearer b\r\n\r\n"),
	    400 },
	{ IN("POST / HTTP/1.1\r\nHost: h\r\nContent-Type: a/b\r\n"
	     "Content-Type: c/d\r\nContent-Length: 0\r\n\r\n"),
	    400 },
	{ IN("POST / HTTP/1.1\r\nHost: h\r\nIdempotency-Key: a\r\n"
	     "Idempotency-Key: b\r\nContent-Length: 0\r\n\r\n"),
	    400 },
	/* The request line. */
	{ IN("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n"), 400 },
	{ IN("get / HTTP/1.1\r\nHost: h\r\n\r\n"), 400 },
	{ IN("GET /\r\n\r\n"), 505 },
	{ IN("GET a HTTP/1.1\r\nHost: h\r\n\r\n"), 400 },
	{ IN("GET * HTTP/1.1\r\nHost: h\r\n\r\n"), 400 },
	{ IN("GET /#x HTTP/1.1\r\nHost: h\r\n\r\n"), 400 },
	{ IN("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n"), 400 },
	{ IN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 400 },
	{ IN("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 400 },
	{ IN("GET / HTTP/1.1\r\nHost: h\r\nExpect: wonders\r\n\r\n"), 417 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 65\r\n\r\n"),
	    413 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	     "41\r\n"),
	    413 },
	{ IN("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	     "fffffffffffffff\r\n"),
	    413 },
};

static void
refuse(const struct bad *b, size_t step)
{
	enum parse_state state = PARSE_HEAD;
	struct parse p;
	uint8_t *copy;
	size_t n = 0;

	parse_init(&p);
	parse_reset(&p, MAX_BODY);
	while (state != PARSE_FAULT && n < b->len) {
		n = n + step < b->len ? n + step : b->len;
		copy = malloc(n);
		assert_non_null(copy);
		memcpy(copy, b->in, n);
		state = parse_run(&p, copy, n);
		free(copy);
		if (state == PARSE_DONE)
			fail_msg("taken: %.80s", b->in);
	}
	if (state != PARSE_FAULT)
		fail_msg("not refused: %.60s", b->in);
	if (http_fault_status(p.head.fault) != b->status)
		fail_msg("status %u, not %u: %.60s",
		    http_fault_status(p.head.fault), b->status, b->in);
	parse_fini(&p);
}

static void
test_bad(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		refuse(&bad[i], bad[i].len);
		refuse(&bad[i], 1);
		refuse(&bad[i], 7);
	}
}

/* A request of `count` times `line` between head and tail. */
static unsigned
status_of(const char *head, const char *line, size_t count, const char *tail)
{
	size_t n = strlen(line), len = strlen(head) + n * count + strlen(tail);
	uint8_t *data = malloc(len), *p = data;
	unsigned status = 200;
	struct parse parse;
	size_t i;

	assert_non_null(data);
	memcpy(p, head, strlen(head));
	p += strlen(head);
	for (i = 0; i < count; i++, p += n)
		memcpy(p, line, n);
	memcpy(p, tail, strlen(tail));
	parse_init(&parse);
	parse_reset(&parse, MAX_BODY);
	if (parse_run(&parse, data, len) == PARSE_FAULT)
		status = http_fault_status(parse.head.fault);
	else
		assert_int_equal(parse.state, PARSE_DONE);
	parse_fini(&parse);
	free(data);
	return status;
}

static void
test_limits(void **state)
{
	static const char end[] = " HTTP/1.1\r\nHost: h\r\n\r\n";
	static const char head[] = "GET / HTTP/1.1\r\nHost: h\r\n";

	(void)state;
	assert_int_equal(status_of("GET /", "a", 8191, end), 200);
	assert_int_equal(status_of("GET /", "a", 8192, end), 414);
	assert_int_equal(status_of(head, "A: b\r\n", 63, "\r\n"), 200);
	assert_int_equal(status_of(head, "A: b\r\n", 64, "\r\n"), 431);
	assert_int_equal(status_of("GET / HTTP/1.1\r\nHost: h\r\nX: ", "y",
			     16000, "\r\n\r\n"),
	    200);
	assert_int_equal(status_of("GET / HTTP/1.1\r\nHost: h\r\nX: ", "y",
			     17000, "\r\n\r\n"),
	    431);
	/* Empty lines before a request are read over, but not for ever. */
	assert_int_equal(status_of("", "\r\n", 100, GET1), 200);
	/* Many small chunks. */
	assert_int_equal(status_of("POST /p HTTP/1.1\r\nHost: h\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n",
			     "1\r\nx\r\n", 64, "0\r\n\r\n"),
	    200);
	assert_int_equal(status_of("POST /p HTTP/1.1\r\nHost: h\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n",
			     "1\r\nx\r\n", 65, "0\r\n\r\n"),
	    413);
}

/* A flood that never becomes a head, or a body, ends. */
static void
test_endless(void **state)
{
	static const struct {
		const char *head, *more;
	} flood[] = {
		{ "", "\r\n" },
		{ "GET / HTTP/1.1\r\n", "A: b\r\n" },
		{ "GET /", "x" },
		{ "GET / HTTP/1.1\r\nHost:", " " },
		{ "POST /p HTTP/1.1\r\nHost: h\r\n"
		  "Transfer-Encoding: chunked\r\n\r\n1",
		    ";x=y" },
		{ "POST /p HTTP/1.1\r\nHost: h\r\n"
		  "Transfer-Encoding: chunked\r\n\r\n0\r\n",
		    "T: x\r\n" },
	};
	const size_t max = 128 * 1024;
	uint8_t *data = malloc(max);
	struct parse p;
	size_t i, n;

	(void)state;
	assert_non_null(data);
	for (i = 0; i < sizeof(flood) / sizeof(flood[0]); i++) {
		n = strlen(flood[i].head);
		memcpy(data, flood[i].head, n);
		parse_init(&p);
		parse_reset(&p, MAX_BODY);
		while (p.state != PARSE_FAULT &&
		    n + strlen(flood[i].more) <= max) {
			memcpy(data + n, flood[i].more, strlen(flood[i].more));
			n += strlen(flood[i].more);
			parse_run(&p, data, n);
		}
		if (p.state != PARSE_FAULT)
			fail_msg("flood %zu goes on", i);
		parse_fini(&p);
	}
	free(data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
