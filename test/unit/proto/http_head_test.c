/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_head_test.c - the checks around llhttp, fed as llhttp would: whole
 * spans, and each span octet by octet.
 */
#include "proto/http_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/attr.h"

/* One span, in pieces of `step` octets; an empty one is reported once. */
static bool
feed(struct http_head *h, bool (*take)(struct http_head *, size_t, size_t),
    size_t at, size_t len, size_t step)
{
	size_t n;

	do {
		n = len < step ? len : step;
		if (!take(h, at, n))
			return false;
		at += n;
		len -= n;
	} while (len > 0);
	return true;
}

/* "GET target HTTP/1.x", then "name: value" lines. */
static enum http_fault
read_head(struct http_head *h, const char *raw, size_t step)
{
	const char *target = strchr(raw, ' ') + 1, *p, *end, *colon;
	unsigned minor;
	size_t n;

	http_head_init(h);
	n = strcspn(target, " ");
	if (!feed(h, http_head_target, (size_t)(target - raw), n, step))
		return h->fault;
	minor = (unsigned)(target[n + 8] - '0');
	p = strstr(raw, "\r\n") + 2;
	while ((end = strstr(p, "\r\n")) != p) {
		colon = memchr(p, ':', (size_t)(end - p));
		/* A folded line is more of the value before, to llhttp. */
		if (colon == NULL) {
			n = (size_t)(end - p);
			if (!feed(
				h, http_head_value, (size_t)(p - raw), n, step))
				return h->fault;
			p = end + 2;
			continue;
		}
		n = (size_t)(colon - p);
		if (!feed(h, http_head_name, (size_t)(p - raw), n, step))
			return h->fault;
		http_head_name_done(h);
		for (colon++; *colon == ' '; colon++)
			continue;
		if (!feed(h, http_head_value, (size_t)(colon - raw),
			(size_t)(end - colon), step))
			return h->fault;
		p = end + 2;
	}
	return http_head_finish(h, (const uint8_t *)raw, (size_t)(p + 2 - raw),
	    (unsigned)(target[strcspn(target, " ") + 6] - '0'), minor);
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: x\r\n"

static void
test_faults(void **state)
{
	static const struct {
		const char *raw;
		enum http_fault want;
	} rows[] = {
		{ GET("/") "\r\n", HTTP_FAULT_NONE },
		{ GET("/a?b=c") "Accept: */*\r\n\r\n", HTTP_FAULT_NONE },
		{ "GET /a HTTP/1.0\r\n\r\n", HTTP_FAULT_NONE },
		{ "GET /a HTTP/1.1\r\n\r\n", HTTP_FAULT_HOST_MISSING },
		{ "GET /a HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n",
		    HTTP_FAULT_HOST_REPEATED },
		{ "GET /a HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n",
		    HTTP_FAULT_HOST_REPEATED },
		{ "GET /a HTTP/1.1\r\nHost: x y\r\n\r\n",
		    HTTP_FAULT_HOST_INVALID },
		{ "GET /a HTTP/1.1\r\nHost: x/y\r\n\r\n",
		    HTTP_FAULT_HOST_INVALID },
		{ "GET /a HTTP/1.1\r\nHost: u@x\r\n\r\n",
		    HTTP_FAULT_HOST_INVALID },
		{ "GET /a HTTP/1.1\r\nHost: [::1]:13013\r\n\r\n",
		    HTTP_FAULT_NONE },
		{ GET("/a") "A: b\r\n c\r\n\r\n", HTTP_FAULT_FOLDED },
		{ GET("/a") "A: b\r\n\tc\r\n\r\n", HTTP_FAULT_FOLDED },
		{ GET("/a") ": b\r\n\r\n", HTTP_FAULT_SYNTAX },
		{ GET("/a") "Authorization: a\r\nAUTHORIZATION: b\r\n\r\n",
		    HTTP_FAULT_REPEATED },
		{ GET("/a") "Content-Type: a\r\nContent-Type: b\r\n\r\n",
		    HTTP_FAULT_REPEATED },
		{ GET("/a") "Idempotency-Key: a\r\nIdempotency-Key: a\r\n\r\n",
		    HTTP_FAULT_REPEATED },
		{ GET("/a") "Accept: a\r\nAccept: b\r\n\r\n", HTTP_FAULT_NONE },
		{ "GET /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
		    HTTP_FAULT_TE_ON_10 },
		{ GET("/a") "Transfer-Encoding: chunked\r\n\r\n",
		    HTTP_FAULT_NONE },
		{ GET("/a") "Expect: 100-Continue \r\n\r\n", HTTP_FAULT_NONE },
		{ GET("/a") "Expect: 200-ok\r\n\r\n", HTTP_FAULT_EXPECT },
		{ "GET /a HTTP/1.2\r\nHost: x\r\n\r\n", HTTP_FAULT_VERSION },
		{ "GET /a HTTP/2.0\r\nHost: x\r\n\r\n", HTTP_FAULT_VERSION },
		{ GET("a") "\r\n", HTTP_FAULT_TARGET },
		{ GET("*") "\r\n", HTTP_FAULT_TARGET },
		{ GET("/a#b") "\r\n", HTTP_FAULT_TARGET },
		{ GET("http://x/a") "\r\n", HTTP_FAULT_NONE },
		{ GET("HTTPS://x/a") "\r\n", HTTP_FAULT_NONE },
		{ GET("http://x") "\r\n", HTTP_FAULT_TARGET },
		{ GET("http://x?a") "\r\n", HTTP_FAULT_TARGET },
		{ GET("ftp://x/a") "\r\n", HTTP_FAULT_TARGET },
	};
	static struct http_head h;
	size_t i, step;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		for (step = 1; step < 100; step += 98) {
			enum http_fault got = read_head(&h, rows[i].raw, step);

			if (got != rows[i].want)
				fail_msg("row %zu by %zu: %s", i, step,
				    http_fault_text(got));
			assert_int_equal(h.fault, got);
		}
	}
}

static bool
is(struct bytes b, const char *want)
{
	return b.len == strlen(want) &&
	    (b.len == 0 || memcmp(b.p, want, b.len) == 0);
}

static void
test_spans(void **state)
{
	static const char raw[] = "GET /v1/messages?to=1&text=a HTTP/1.1\r\n"
				  "Host: x.example:80\r\n"
				  "Content-Type:   text/plain \t \r\n"
				  "Empty:\r\n"
				  "Expect: 100-continue\r\n\r\n";
	const uint8_t *p = (const uint8_t *)raw;
	struct bytes v;
	static struct http_head h;
	size_t step;

	(void)state;
	for (step = 1; step < 30; step++) {
		assert_int_equal(read_head(&h, raw, step), HTTP_FAULT_NONE);
		assert_true(is(
		    http_span_bytes(p, h.target), "/v1/messages?to=1&text=a"));
		assert_true(is(http_span_bytes(p, h.path), "/v1/messages"));
		assert_true(is(http_span_bytes(p, h.query), "to=1&text=a"));
		assert_int_equal(h.fields, 4);
		assert_true(h.expects_continue);
		assert_true(http_head_get(&h, p, "HOST", &v));
		assert_true(is(v, "x.example:80"));
		assert_true(http_head_get(&h, p, "content-type", &v));
		assert_true(is(v, "text/plain"));
		assert_true(http_head_get(&h, p, "empty", &v));
		assert_int_equal(v.len, 0);
		assert_false(http_head_get(&h, p, "content", &v));
		assert_false(http_head_get(&h, p, "x", &v));
	}
	assert_int_equal(
	    read_head(&h,
		"GET http://x.example:80/a?b HTTP/1.1\r\nHost: x\r\n\r\n", 5),
	    HTTP_FAULT_NONE);
	assert_int_equal(h.path.len, 2);
	assert_int_equal(h.query.len, 1);
	/* Nobody waits for 100 with HTTP/1.0. */
	assert_int_equal(
	    read_head(&h, "GET /a HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", 9),
	    HTTP_FAULT_NONE);
	assert_false(h.expects_continue);
}

/* A head of given sizes: the target, one field's value, further fields. */
static enum http_fault
sized(size_t target, size_t value, size_t fields, size_t step)
{
	static struct http_head h;
	static char raw[64 * 1024];
	size_t n, i;

	n = (size_t)snprintf(raw, sizeof(raw), "GET ");
	memset(raw + n, '/', target);
	n += target;
	n += (size_t)snprintf(
	    raw + n, sizeof(raw) - n, " HTTP/1.1\r\nHost: x\r\n");
	if (value > 0) {
		n += (size_t)snprintf(raw + n, sizeof(raw) - n, "A: ");
		memset(raw + n, 'a', value);
		n += value;
		n += (size_t)snprintf(raw + n, sizeof(raw) - n, "\r\n");
	}
	for (i = 0; i < fields; i++)
		n += (size_t)snprintf(raw + n, sizeof(raw) - n, "b: c\r\n");
	(void)snprintf(raw + n, sizeof(raw) - n, "\r\n");
	return read_head(&h, raw, step);
}

static void
test_limits(void **state)
{
	size_t step;

	(void)state;
	for (step = 1; step < 100000; step *= 317) {
		assert_int_equal(
		    sized(HTTP_TARGET_MAX, 0, 0, step), HTTP_FAULT_NONE);
		assert_int_equal(sized(HTTP_TARGET_MAX + 1, 0, 0, step),
		    HTTP_FAULT_TARGET_LONG);
		assert_int_equal(
		    sized(1, HTTP_HEAD_MAX - 40, 0, step), HTTP_FAULT_NONE);
		assert_int_equal(
		    sized(1, HTTP_HEAD_MAX, 0, step), HTTP_FAULT_HEAD_LARGE);
		assert_int_equal(
		    sized(HTTP_TARGET_MAX, HTTP_HEAD_MAX - 40, 0, step),
		    HTTP_FAULT_NONE);
		assert_int_equal(
		    sized(1, 0, HTTP_FIELDS_MAX - 1, step), HTTP_FAULT_NONE);
		assert_int_equal(
		    sized(1, 0, HTTP_FIELDS_MAX, step), HTTP_FAULT_FIELDS_MANY);
	}
}

static void
test_texts(void **state)
{
	int f;

	(void)state;
	for (f = HTTP_FAULT_SYNTAX; f <= HTTP_FAULT_BUSY; f++) {
		assert_in_range(
		    http_fault_status((enum http_fault)f), 400, 505);
		assert_true(strlen(http_fault_text((enum http_fault)f)) > 10);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_spans),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
