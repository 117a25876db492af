/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz-link: boxes/hook
 *
 * fuzz_http_answer.c - what a customer's server answers, as hop-hook reads it.
 * The first octet: 1 the body is wanted, 2 the peer closes behind it.
 *
 * Holds: what came of it is the same when the octets come all at once, one by
 * one or in two pieces; no more than max_body is kept; a status is one of HTTP;
 * what was cut off is never an answer unless its end is the peer's; the fields
 * are text.
 */
#include "boxes/hook/answer.h"

#include <stdlib.h>
#include <string.h>

#include "test/fuzz/fuzz.h"

#define FUZZ_BODY 512
#define FUZZ_NOW  1795374060000u

static size_t
read_pieces(struct answer *a, unsigned how, const uint8_t *data, size_t len,
    size_t first, size_t step)
{
	size_t at = 0, n = first, used;
	uint8_t *piece;

	answer_reset(a, (how & 1) != 0, FUZZ_BODY);
	while (a->state <= ANSWER_BODY && at < len) {
		if (n > len - at)
			n = len - at;
		piece = malloc(n + 1);
		assert(piece != NULL);
		memcpy(piece, data + at, n);
		used = answer_run(a, piece, n);
		free(piece);
		assert(used <= n);
		assert(used == n || a->state > ANSWER_BODY);
		at += used;
		n = step;
	}
	if (a->state <= ANSWER_BODY && (how & 2) != 0)
		answer_end(a);
	return at;
}

static void
look(const struct answer *a, unsigned how)
{
	const char *type = answer_type(a);

	assert(a->received <= FUZZ_BODY);
	assert(buf_len(&a->body) == ((how & 1) != 0 ? a->received : 0));
	if (type != NULL)
		assert(
		    strlen(type) == a->type.len && (unsigned char)*type > ' ');
	(void)answer_retry_after_ms(a, FUZZ_NOW);
	switch (a->state) {
	case ANSWER_HEAD:
		assert(a->status == 0 && (how & 2) == 0);
		break;
	case ANSWER_BODY:
		assert(a->status >= 200 && (how & 2) == 0);
		break;
	case ANSWER_DONE:
		assert(a->status >= 200 && a->status <= 599);
		assert(a->error == NULL);
		assert(!a->truncated ||
		    (!a->keep_alive && a->received == FUZZ_BODY));
		break;
	case ANSWER_BAD:
		assert(a->error != NULL && !a->keep_alive);
		break;
	}
}

static void
same(const struct answer *a, const struct answer *b)
{
	assert(a->state == b->state);
	/* Where a mistake is seen first may depend on the pieces. */
	if (a->state == ANSWER_BAD)
		return;
	assert(a->status == b->status && a->keep_alive == b->keep_alive);
	assert(a->truncated == b->truncated && a->received == b->received);
	assert(a->wire == b->wire || a->truncated);
	assert(buf_len(&a->body) == buf_len(&b->body));
	assert(buf_len(&a->body) == 0 ||
	    memcmp(buf_data(&a->body), buf_data(&b->body), buf_len(&a->body)) ==
		0);
	if (a->state == ANSWER_HEAD)
		return; /* a value may lack its last octets */
	assert(a->type.len == b->type.len);
	assert(memcmp(a->type.text, b->type.text, a->type.len) == 0);
	assert(a->retry_after.len == b->retry_after.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct answer whole, pieces;
	size_t used;
	unsigned how;

	if (len == 0)
		return 0;
	how = *data++;
	len--;
	answer_init(&whole);
	answer_init(&pieces);
	used = read_pieces(&whole, how, data, len, len, len);
	look(&whole, how);
	if (len <= 2048) {
		size_t slowly = read_pieces(&pieces, how, data, len, 1, 1);

		look(&pieces, how);
		same(&whole, &pieces);
		if (whole.state == ANSWER_DONE && !whole.truncated)
			assert(used == slowly);
	}
	(void)read_pieces(&pieces, how, data, len, len / 2 + 1, len);
	same(&whole, &pieces);
	/* One octet less, and nobody says that this is the end. */
	if (whole.state == ANSWER_DONE && (how & 2) == 0 && !whole.truncated) {
		(void)read_pieces(&pieces, how, data, used - 1, used, used);
		assert(pieces.state <= ANSWER_BODY);
	}
	answer_fini(&whole);
	answer_fini(&pieces);
	return 0;
}
