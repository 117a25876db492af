/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "boxes/http/server.h"
#include "common/json.h"

#define PROBLEM_MAX 50

static const char *
problem_title(unsigned status)
{
	switch (status) {
	case 400:
		return "The request cannot be read";
	case 401:
		return "Authentication is needed";
	case 403:
		return "This is not allowed";
	case 404:
		return "Not found";
	case 405:
		return "Method not allowed";
	case 408:
		return "The request took too long";
	case 409:
		return "Not in this state";
	case 413:
		return "The request is too large";
	case 414:
		return "The URL is too long";
	case 417:
		return "Expectation failed";
	case 422:
		return "The message is not valid";
	case 429:
		return "Too many requests";
	case 431:
		return "The headers are too large";
	case 502:
		return "The answer from inside cannot be read";
	case 503:
		return "Not possible now";
	case 504:
		return "No answer from inside in time";
	case 505:
		return "This HTTP version is not spoken";
	}
	return "Internal error";
}

const char *
problem_code(unsigned status)
{
	switch (status) {
	case 404:
		return "not_found";
	case 405:
		return "method_not_allowed";
	case 408:
		return "timeout";
	case 413:
		return "body_too_large";
	case 414:
		return "url_too_long";
	case 417:
		return "expectation_failed";
	case 431:
		return "headers_too_large";
	case 503:
		return "unavailable";
	case 505:
		return "http_version";
	}
	return "bad_request";
}

void
problem_list_init(struct problem_list *l)
{
	buf_init(&l->errors);
	l->count = 0;
}

void
problem_list_fini(struct problem_list *l)
{
	buf_fini(&l->errors);
}

void
problem_add(struct problem_list *l, const char *base, const char *field,
    const char *fmt, ...)
{
	struct json j;
	char detail[256];
	va_list ap;

	if (l->count++ >= PROBLEM_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	if (buf_len(&l->errors) > 0)
		buf_addc(&l->errors, ',');
	json_init(&j, &l->errors);
	json_open_object(&j, NULL);
	json_printf(&j, "pointer", "%s%s", base, field);
	json_str(&j, "detail", detail);
	json_close_object(&j);
}

static void
problem_send(struct http_request *r, unsigned status, const char *code,
    const char *detail, const struct problem_list *list, const char *extra)
{
	struct http_response resp = { .status = status,
		.type = "application/problem+json",
		.extra = extra,
		.extra_len = extra != NULL ? strlen(extra) : 0 };
	struct buf b, errors;
	struct json j;

	buf_init(&b);
	json_init(&j, &b);
	json_open_object(&j, NULL);
	json_printf(&j, "type", "urn:hopyard:problem:%s", code);
	json_str(&j, "title", problem_title(status));
	json_uint(&j, "status", status);
	json_str(&j, "code", code);
	if (detail != NULL)
		json_str(&j, "detail", detail);
	json_str(&j, "request_id", http_request_id(r));
	if (list != NULL) {
		buf_init(&errors);
		buf_addc(&errors, '[');
		buf_add(
		    &errors, buf_data(&list->errors), buf_len(&list->errors));
		buf_addc(&errors, ']');
		json_raw(&j, "errors", buf_data(&errors), buf_len(&errors));
		buf_fini(&errors);
	}
	json_close_object(&j);
	buf_addc(&b, '\n');
	resp.body = buf_data(&b);
	resp.len = buf_len(&b);
	http_reply(r, &resp);
	buf_fini(&b);
}

void
problem_reply(struct http_request *r, unsigned status, const char *code,
    const char *detail)
{
	problem_send(r, status, code, detail, NULL, NULL);
}

void
problem_reply_extra(struct http_request *r, unsigned status, const char *code,
    const char *detail, const char *extra)
{
	problem_send(r, status, code, detail, NULL, extra);
}

void
problem_reply_list(struct http_request *r, const struct problem_list *list)
{
	char detail[64];

	snprintf(detail, sizeof(detail), "%u %s", list->count,
	    list->count == 1 ? "error" : "errors");
	problem_send(r, 422, "invalid_message", detail, list, NULL);
}
