/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/parse.h"

#include <assert.h>
#include <string.h>

static struct parse *
parse_of(llhttp_t *ll)
{
	return CONTAINER_OF(ll, struct parse, llhttp);
}

static size_t
parse_at(const struct parse *p, const char *at)
{
	return (size_t)((const uint8_t *)at - p->base);
}

static int
parse_url_cb(llhttp_t *ll, const char *at, size_t len)
{
	struct parse *p = parse_of(ll);

	return http_head_target(&p->head, parse_at(p, at), len) ? 0 : HPE_USER;
}

static int
parse_name_cb(llhttp_t *ll, const char *at, size_t len)
{
	struct parse *p = parse_of(ll);

	/* Trailers of a chunked body are read over, within the body's limit. */
	if (p->state == PARSE_BODY)
		return 0;
	return http_head_name(&p->head, parse_at(p, at), len) ? 0 : HPE_USER;
}

static int
parse_name_done_cb(llhttp_t *ll)
{
	http_head_name_done(&parse_of(ll)->head);
	return 0;
}

static int
parse_value_cb(llhttp_t *ll, const char *at, size_t len)
{
	struct parse *p = parse_of(ll);

	if (p->state == PARSE_BODY)
		return 0;
	return http_head_value(&p->head, parse_at(p, at), len) ? 0 : HPE_USER;
}

static int
parse_head_cb(llhttp_t *ll)
{
	/* No other protocol is offered: an Upgrade is ignored, as RFC 9110,
	 * 7.8 allows.  CONNECT finds no target that we have. */
	ll->upgrade = 0;
	return HPE_PAUSED; /* parse_on_head() goes on, with the length known */
}

static int
parse_body_cb(llhttp_t *ll, const char *at, size_t len)
{
	struct parse *p = parse_of(ll);

	if (!p->chunked) {
		if (p->body_len == 0)
			p->body_at = parse_at(p, at);
		p->body_len += len;
		return 0;
	}
	if (buf_len(&p->joined) + len > p->max_body) {
		p->head.fault = HTTP_FAULT_BODY_LARGE;
		return HPE_USER;
	}
	buf_add(&p->joined, at, len);
	return 0;
}

static int
parse_chunk_cb(llhttp_t *ll)
{
	struct parse *p = parse_of(ll);

	/* Refuse a chunk by its announcement, not after it has been read. */
	if (ll->content_length > p->max_body - buf_len(&p->joined)) {
		p->head.fault = HTTP_FAULT_BODY_LARGE;
		return HPE_USER;
	}
	return 0;
}

static int
parse_message_cb(llhttp_t *ll)
{
	struct parse *p = parse_of(ll);

	p->keep_alive = llhttp_should_keep_alive(ll) != 0;
	p->state = PARSE_DONE;
	return HPE_PAUSED;
}

static const llhttp_settings_t parse_settings = {
	.on_url = parse_url_cb,
	.on_header_field = parse_name_cb,
	.on_header_field_complete = parse_name_done_cb,
	.on_header_value = parse_value_cb,
	.on_headers_complete = parse_head_cb,
	.on_body = parse_body_cb,
	.on_chunk_header = parse_chunk_cb,
	.on_message_complete = parse_message_cb,
};

void
parse_init(struct parse *p)
{
	memset(p, 0, sizeof(*p));
	buf_init(&p->joined);
}

void
parse_fini(struct parse *p)
{
	buf_fini(&p->joined);
}

void
parse_reset(struct parse *p, size_t max_body)
{
	llhttp_init(&p->llhttp, HTTP_REQUEST, &parse_settings);
	http_head_init(&p->head);
	p->state = PARSE_HEAD;
	p->base = NULL;
	p->fed = 0;
	p->max_body = max_body;
	p->body_length = 0;
	p->chunked = false;
	p->keep_alive = false;
	p->body_at = p->body_len = 0;
	p->size = 0;
	buf_clear(&p->joined);
}

static enum parse_state
parse_fail(struct parse *p, enum http_fault fault)
{
	if (p->head.fault == HTTP_FAULT_NONE)
		p->head.fault = fault;
	p->keep_alive = false;
	return p->state = PARSE_FAULT;
}

/* The head ends at `len`; false: refused. */
static bool
parse_on_head(struct parse *p, size_t len)
{
	const llhttp_t *ll = &p->llhttp;

	if (http_head_finish(&p->head, p->base, len, ll->http_major,
		ll->http_minor) != HTTP_FAULT_NONE)
		return false;
	p->chunked = (ll->flags & F_CHUNKED) != 0;
	p->body_length = p->chunked ? 0 : ll->content_length;
	if (p->body_length > p->max_body) {
		p->head.fault = HTTP_FAULT_BODY_LARGE;
		return false;
	}
	p->state = PARSE_BODY;
	return true;
}

enum parse_state
parse_run(struct parse *p, const uint8_t *data, size_t len)
{
	llhttp_errno_t err;
	const char *stop;

	assert(p->state == PARSE_HEAD || p->state == PARSE_BODY);
	assert(len >= p->fed);
	p->base = data;

	for (;;) {
		err = llhttp_execute(
		    &p->llhttp, (const char *)data + p->fed, len - p->fed);
		if (err == HPE_OK) {
			p->fed = len;
			break;
		}
		if (err != HPE_PAUSED)
			return parse_fail(p, HTTP_FAULT_SYNTAX);
		stop = llhttp_get_error_pos(&p->llhttp);
		p->fed = (size_t)((const uint8_t *)stop - data);
		llhttp_resume(&p->llhttp);
		if (p->state == PARSE_DONE) {
			p->size = p->fed;
			return PARSE_DONE;
		}
		if (!parse_on_head(p, p->fed))
			return parse_fail(p, HTTP_FAULT_SYNTAX);
	}

	/* Bytes that belong to no span (blanks, empty lines) count as well, and
	 * the frame around chunks may be as large as what is in them. */
	if (p->state == PARSE_HEAD && len > HTTP_HEAD_MAX + HTTP_TARGET_MAX)
		return parse_fail(p, HTTP_FAULT_HEAD_LARGE);
	if (p->chunked && p->state == PARSE_BODY &&
	    len > 2 * p->max_body + HTTP_HEAD_MAX + HTTP_TARGET_MAX)
		return parse_fail(p, HTTP_FAULT_BODY_LARGE);
	return p->state;
}

struct bytes
parse_body(const struct parse *p, const uint8_t *data)
{
	if (p->chunked)
		return bytes_of(buf_data(&p->joined), buf_len(&p->joined));
	return bytes_of(data + p->body_at, p->body_len);
}

unsigned
parse_method(const struct parse *p)
{
	return p->llhttp.method;
}
