/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/hook/answer.h"

#include <assert.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define BODY_KEEP   (16 * 1024) /* memory that an answer may hold */
#define WIRE_FACTOR 8           /* what chunks may cost around one octet */

static struct answer *
answer_of(llhttp_t *ll)
{
	return CONTAINER_OF(ll, struct answer, llhttp);
}

static int
answer_refuse(struct answer *a, const char *why)
{
	if (a->error == NULL)
		a->error = why;
	return HPE_USER;
}

/* ----------------------------------------------------------------- fields */

static void
value_clear(struct answer_value *v)
{
	v->text[0] = '\0';
	v->len = 0;
	v->over = false;
}

static int
answer_name_cb(llhttp_t *ll, const char *at, size_t len)
{
	struct answer *a = answer_of(ll);

	if (len <= sizeof(a->name) - a->name_len)
		memcpy(a->name + a->name_len, at, len);
	else
		len = sizeof(a->name) - a->name_len; /* too long to be ours */
	a->name_len += len;
	return 0;
}

static bool
answer_name_is(const struct answer *a, const char *name, size_t len)
{
	return a->name_len == len && strncasecmp(a->name, name, len) == 0;
}

static int
answer_name_done_cb(llhttp_t *ll)
{
	struct answer *a = answer_of(ll);

	a->value = NULL;
	/* In a trailer they would come too late. */
	if (a->state == ANSWER_HEAD) {
		if (answer_name_is(a, "content-type", 12))
			a->value = &a->type;
		else if (answer_name_is(a, "retry-after", 11))
			a->value = &a->retry_after;
	}
	if (a->value != NULL)
		value_clear(a->value); /* the last one counts */
	a->name_len = 0;
	return 0;
}

static int
answer_value_cb(llhttp_t *ll, const char *at, size_t len)
{
	struct answer_value *v = answer_of(ll)->value;

	if (v == NULL || v->over)
		return 0;
	if (len >= sizeof(v->text) - v->len) {
		v->over = true; /* and nothing of it, however it came */
		v->len = 0;
		v->text[0] = '\0';
		return 0;
	}
	memcpy(v->text + v->len, at, len);
	v->len = (uint16_t)(v->len + len);
	v->text[v->len] = '\0';
	return 0;
}

static void
value_trim(struct answer_value *v)
{
	while (v->len > 0 &&
	    (v->text[v->len - 1] == ' ' || v->text[v->len - 1] == '\t'))
		v->text[--v->len] = '\0';
}

/* --------------------------------------------------------- head and body */

static int
answer_head_cb(llhttp_t *ll)
{
	struct answer *a = answer_of(ll);

	ll->upgrade = 0; /* we have not asked for any other protocol */
	if (ll->http_major != 1)
		return answer_refuse(a, "neither HTTP/1.0 nor HTTP/1.1");
	if (ll->status_code < 100 || ll->status_code > 599)
		return answer_refuse(a, "no status of HTTP");
	if (ll->status_code == 101)
		return answer_refuse(a, "changes the protocol unasked");
	if (ll->status_code >= 200) {
		value_trim(&a->type);
		value_trim(&a->retry_after);
		a->status = ll->status_code;
		a->state = ANSWER_BODY;
	}
	/* No body, whatever length it says (RFC 9112, 6.3); 1: skip it. */
	return ll->status_code < 200 || ll->status_code == 204 ||
	    ll->status_code == 304;
}

static int
answer_body_cb(llhttp_t *ll, const char *at, size_t len)
{
	struct answer *a = answer_of(ll);
	size_t room = a->max_body - a->received;

	if (a->want_body)
		buf_add(&a->body, at, len < room ? len : room);
	a->received += len < room ? len : room;
	a->wire -= len; /* counted there with the rest */
	if (len <= room)
		return 0;
	/* Enough: the status is known, the connection is given up. */
	a->truncated = true;
	a->state = ANSWER_DONE;
	return HPE_PAUSED;
}

static int
answer_message_cb(llhttp_t *ll)
{
	struct answer *a = answer_of(ll);

	if (a->state == ANSWER_HEAD) {
		a->framed = true;
	} else {
		/* Both lengths at once: read by the chunks, as everybody does,
		 * but nothing after it can be trusted. */
		a->keep_alive = llhttp_should_keep_alive(ll) != 0 &&
		    !((ll->flags & F_CHUNKED) != 0 &&
			(ll->flags & F_CONTENT_LENGTH) != 0);
		a->state = ANSWER_DONE;
	}
	return HPE_PAUSED;
}

static const llhttp_settings_t answer_settings = {
	.on_header_field = answer_name_cb,
	.on_header_field_complete = answer_name_done_cb,
	.on_header_value = answer_value_cb,
	.on_headers_complete = answer_head_cb,
	.on_body = answer_body_cb,
	.on_message_complete = answer_message_cb,
};

void
answer_init(struct answer *a)
{
	memset(a, 0, sizeof(*a));
	buf_init(&a->body);
}

void
answer_fini(struct answer *a)
{
	buf_fini(&a->body);
}

static void
answer_begin(struct answer *a)
{
	llhttp_init(&a->llhttp, HTTP_RESPONSE, &answer_settings);
	llhttp_set_lenient_chunked_length(&a->llhttp, 1);
	a->framed = false;
	a->value = NULL;
	a->name_len = 0;
	value_clear(&a->type);
	value_clear(&a->retry_after);
}

void
answer_reset(struct answer *a, bool want_body, size_t max_body)
{
	answer_begin(a);
	a->state = ANSWER_HEAD;
	a->want_body = want_body;
	a->max_body = max_body;
	a->status = 0;
	a->keep_alive = false;
	a->truncated = false;
	a->error = NULL;
	a->wire = 0;
	a->received = 0;
	if (a->body.cap > BODY_KEEP)
		buf_fini(&a->body);
	buf_clear(&a->body);
}

static void
answer_fail(struct answer *a, const char *why)
{
	if (a->error == NULL)
		a->error = why;
	a->state = ANSWER_BAD;
}

/* Head, trailers and the frame of chunks are bounded as well. */
static bool
answer_fits(const struct answer *a)
{
	return a->wire <= ANSWER_HEAD_MAX +
	    (a->state == ANSWER_HEAD ? 0 : a->max_body * WIRE_FACTOR);
}

size_t
answer_run(struct answer *a, const uint8_t *data, size_t len)
{
	size_t used = 0, n;
	llhttp_errno_t err;

	assert(a->state == ANSWER_HEAD || a->state == ANSWER_BODY);
	while (used < len) {
		a->wire += len - used;
		err = llhttp_execute(
		    &a->llhttp, (const char *)data + used, len - used);
		if (err != HPE_OK && err != HPE_PAUSED) {
			answer_fail(a, "not an answer of HTTP");
			return len;
		}
		n = err == HPE_OK
		    ? len - used
		    : (size_t)((const uint8_t *)llhttp_get_error_pos(
				   &a->llhttp) -
			  (data + used));
		a->wire -= len - used - n;
		used += n;
		if (!answer_fits(a)) {
			answer_fail(a, "head of the answer too large");
			return len;
		}
		if (!a->framed)
			break;
		answer_begin(a);
	}
	return used;
}

void
answer_end(struct answer *a)
{
	assert(a->state == ANSWER_HEAD || a->state == ANSWER_BODY);
	/* Only a body without a length ends so; it has told by a callback. */
	if (a->state == ANSWER_BODY)
		(void)llhttp_finish(&a->llhttp);
	if (a->state != ANSWER_DONE)
		answer_fail(a,
		    a->wire == 0 ? "closed without an answer"
				 : "closed in the middle of the answer");
	a->keep_alive = false;
}

/* ------------------------------------------------------------------- facts */

const char *
answer_type(const struct answer *a)
{
	return a->type.len != 0 && !a->type.over ? a->type.text : NULL;
}

uint64_t
answer_retry_after_ms(const struct answer *a, uint64_t wall_ms)
{
	static const char *const forms[] = { "%a, %d %b %Y %H:%M:%S GMT",
		"%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y" };
	const char *p = a->retry_after.text, *end;
	uint64_t n = 0;
	struct tm tm;

	if (a->retry_after.len == 0 || a->retry_after.over)
		return 0;
	if (*p >= '0' && *p <= '9') {
		while (*p >= '0' && *p <= '9') {
			if (n < UINT32_MAX)
				n = n * 10 + (uint64_t)(*p - '0');
			p++;
		}
		return *p == '\0' ? n * 1000 : 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		memset(&tm, 0, sizeof(tm));
		end = strptime(p, forms[i], &tm);
		if (end == NULL || *end != '\0')
			continue;
		n = (uint64_t)(timegm(&tm) > 0 ? timegm(&tm) : 0) * 1000;
		return n > wall_ms ? n - wall_ms : 0;
	}
	return 0;
}
