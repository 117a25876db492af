/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz-link: boxes/hook
 *
 * fuzz_escape.c - a URL with Kannel's %-escapes, a newline, and what they stand
 * for: two octets of numbers, then texts that end with a NUL, each in turn.
 *
 * Holds: what is expanded is at most as long as was said, and the same twice; no
 * octet gets in from a value that HTTP forbids in a URL; what is encoded decodes
 * to the same.
 */
#include "boxes/hook/escape.h"

#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "common/attr.h"
#include "common/buf.h"
#include "proto/form.h"
#include "test/fuzz/fuzz.h"

#define FUZZ_MAX 4096

static const uint8_t id[16] = "0123456789abcdef";

static void
read_values(struct escape_values *v, const uint8_t *p, size_t len)
{
	struct bytes *text[] = { &v->text, &v->handset, &v->ours, &v->link,
		&v->smsc_id, &v->service, &v->account, &v->billing, &v->charset,
		&v->metadata, &v->url, &v->udh };
	const uint8_t *end;
	size_t n;

	escape_values_init(v);
	if (len < 2)
		return;
	v->id = (p[0] & 1) != 0 ? id : NULL;
	v->at = UINT64_C(1764088200000) * (p[0] >> 4);
	v->dlr = p[0];
	v->coding = (p[1] & 7) - 1;
	v->message_class = (p[1] >> 3 & 7) - 1;
	v->mwi = (p[1] >> 5) - 1;
	v->data_coding = p[1] - 1;
	v->validity_min = (int64_t)p[1] * p[0] - 1;
	v->deferred_min = p[0] - 1;
	v->parts = p[0] & 3;
	v->parts_received = p[1] & 3;
	p += 2;
	len -= 2;
	for (size_t i = 0; i < ARRAY_LEN(text) && len > 0; i++) {
		end = memchr(p, 0, len);
		n = end != NULL ? (size_t)(end - p) : len;
		*text[i] = bytes_of(p, n);
		n += end != NULL;
		p += n;
		len -= n;
	}
}

/* What is not of the pattern itself is URL-encoded. */
static void
clean(const struct buf *out, const uint8_t *pattern, size_t len)
{
	const uint8_t *p = buf_data(out);

	for (size_t i = 0; i < buf_len(out); i++)
		assert((p[i] > ' ' && p[i] < 0x7f) ||
		    (len > 0 && memchr(pattern, p[i], len) != NULL));
}

static void
encoded(struct bytes b)
{
	uint8_t *back;
	struct buf out;
	size_t n;

	buf_init(&out);
	escape_encode(&out, b);
	assert(buf_len(&out) >= b.len && buf_len(&out) <= 3 * b.len);
	back = malloc(buf_len(&out) + 1);
	assert(back != NULL);
	n = form_decode(back, buf_data(&out), buf_len(&out));
	assert(n == b.len && (n == 0 || memcmp(back, b.p, n) == 0));
	free(back);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
	size_t len = end != NULL ? (size_t)(end - data) : size;
	const char *pattern = (const char *)data;
	struct escape_values v;
	struct buf one, two;
	int rc;

	read_values(&v, data + len + (end != NULL), size - len - (end != NULL));
	buf_init(&one);
	buf_init(&two);
	rc = escape_expand(&one, pattern, len, &v, FUZZ_MAX);
	assert(rc == 0 || rc == UV_E2BIG);
	if (rc == 0) {
		assert(buf_len(&one) <= FUZZ_MAX);
		clean(&one, data, len);
		/* To the octet that fits, and not to one less. */
		rc = escape_expand(&two, pattern, len, &v, buf_len(&one));
		assert(rc == 0 && buf_len(&one) == buf_len(&two));
		assert(buf_len(&one) == 0 ||
		    memcmp(buf_data(&one), buf_data(&two), buf_len(&one)) == 0);
		buf_clear(&two);
		if (buf_len(&one) > 0)
			assert(escape_expand(&two, pattern, len, &v,
				   buf_len(&one) - 1) == UV_E2BIG);
	}
	buf_fini(&one);
	buf_fini(&two);
	encoded(v.text);
	return 0;
}
