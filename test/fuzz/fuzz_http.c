/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz-link: boxes/http
 *
 * fuzz_http.c - requests of one connection, one after another, as the HTTP
 * front end reads them.
 *
 * Holds: the verdict is the same when the octets come all at once, one by one
 * or in two pieces, also when the buffer moves in between; views lie inside the
 * input; a request that is refused has a fault with a status of 400 or more;
 * the body has the length that was announced.
 */
#include "boxes/http/parse.h"

#include <stdlib.h>
#include <string.h>

#include "proto/form.h"
#include "test/fuzz/fuzz.h"

#define FUZZ_BODY 4096

static void
span_inside(struct http_span s, size_t len)
{
	assert(s.len == 0 || (s.at <= len && s.len <= len - s.at));
}

static void
look(const struct parse *p, const uint8_t *data, size_t len)
{
	struct bytes body, name, value, host;
	struct form f;
	unsigned i;

	assert(p->size > 0 && p->size <= len);
	assert(p->head.fault == HTTP_FAULT_NONE);
	span_inside(p->head.target, p->size);
	span_inside(p->head.path, p->size);
	span_inside(p->head.query, p->size);
	assert(p->head.path.len > 0 && data[p->head.path.at] == '/');
	assert(p->head.fields <= HTTP_FIELDS_MAX);
	for (i = 0; i < p->head.fields; i++) {
		span_inside(p->head.field[i].name, p->size);
		span_inside(p->head.field[i].value, p->size);
		assert(p->head.field[i].name.len > 0);
		value = http_span_bytes(data, p->head.field[i].value);
		assert(
		    value.len == 0 || memchr(value.p, '\n', value.len) == NULL);
	}
	assert(p->head.minor <= 1);
	if (p->head.minor == 1)
		assert(http_head_get(&p->head, data, "host", &host));
	body = parse_body(p, data);
	assert(body.len <= FUZZ_BODY);
	if (!p->chunked) {
		assert(body.len == p->body_length);
		FUZZ_INSIDE(body, data, p->size);
	}
	value = http_span_bytes(data, p->head.query);
	form_open(&f, value.p, value.len);
	while (form_next(&f, &name, &value))
		FUZZ_INSIDE(value, data, p->size);
}

static void
same(const struct parse *a, const struct parse *b, const uint8_t *data)
{
	assert(a->state == b->state);
	/* Which limit is seen first may depend on the pieces. */
	if (a->state == PARSE_FAULT) {
		assert(http_fault_status(a->head.fault) >= 400);
		assert(http_fault_status(b->head.fault) >= 400);
		return;
	}
	if (a->state != PARSE_DONE)
		return;
	assert(a->size == b->size && a->chunked == b->chunked);
	assert(a->keep_alive == b->keep_alive);
	assert(a->head.fields == b->head.fields);
	assert(memcmp(a->head.field, b->head.field,
		   a->head.fields * sizeof(a->head.field[0])) == 0);
	assert(memcmp(&a->head.path, &b->head.path, sizeof(a->head.path)) == 0);
	assert(bytes_eq(parse_body(a, data), parse_body(b, data)));
	assert(parse_method(a) == parse_method(b));
}

/* In pieces of this size, each time out of a fresh buffer. */
static void
in_pieces(
    struct parse *p, const uint8_t *data, size_t len, size_t first, size_t step)
{
	enum parse_state s = PARSE_HEAD;
	uint8_t *moved;
	size_t n;

	parse_reset(p, FUZZ_BODY);
	for (n = first; s == PARSE_HEAD || s == PARSE_BODY; n += step) {
		if (n > len)
			n = len;
		moved = malloc(n + 1);
		assert(moved != NULL);
		memcpy(moved, data, n);
		s = parse_run(p, moved, n);
		free(moved);
		if (n == len)
			break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct parse whole, pieces;
	size_t left = len;

	if (len == 0)
		return 0;
	parse_init(&whole);
	parse_init(&pieces);
	while (left > 0) {
		parse_reset(&whole, FUZZ_BODY);
		(void)parse_run(&whole, data, left);
		if (left <= 2048) {
			in_pieces(&pieces, data, left, 1, 1);
			same(&whole, &pieces, data);
		}
		in_pieces(&pieces, data, left, left / 2, left);
		same(&whole, &pieces, data);
		if (whole.state != PARSE_DONE)
			break;
		look(&whole, data, left);
		data += whole.size;
		left -= whole.size;
	}
	parse_fini(&whole);
	parse_fini(&pieces);
	return 0;
}
