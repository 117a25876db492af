/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_receipt.c - the input as a receipt's text, and its first line as a
 * message id.
 *
 * Holds: views lie inside the text; a receipt that we write is read as it was
 * meant; a normalised id is the number that strtoull() reads, and decimal ids
 * stay what they are when they are normalised again.  (Receipts inside a PDU:
 * fuzz_smpp_pdu.)
 */
#include "proto/receipt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/fuzz/fuzz.h"

/* One word without anything that could be read as more than that. */
static bool
plain(struct bytes b, size_t max)
{
	size_t i;

	if (b.len == 0 || b.len > max)
		return false;
	for (i = 0; i < b.len; i++)
		if (b.p[i] <= ' ' || strchr(":=,;|&}\"'", b.p[i]) != NULL)
			return false;
	return true;
}

static void
build_again(const struct receipt *r)
{
	char text[512], small[40];
	struct receipt got;
	size_t n;

	n = receipt_build(r, text, sizeof(text));
	assert(n < sizeof(text));
	assert(receipt_build(r, small, sizeof(small)) == n);
	assert(strlen(small) == (n < sizeof(small) ? n : sizeof(small) - 1));
	if (!plain(r->id, 64) || (r->stat.len > 0 && !plain(r->stat, 16)) ||
	    (r->err.len > 0 && !plain(r->err, 16)))
		return;
	assert(receipt_parse(&got, bytes_of(text, n)));
	assert(bytes_eq(got.id, r->id));
	if (r->stat.len > 0)
		assert(bytes_eq(got.stat, r->stat) && got.state == r->state);
	if (r->err.len > 0)
		assert(bytes_eq(got.err, r->err));
	if (r->sub >= 0)
		assert(got.sub == r->sub);
	if (r->dlvrd >= 0)
		assert(got.dlvrd == r->dlvrd);
	if (r->submit_at >= 0)
		assert(got.submit_at == r->submit_at / 60000 * 60000);
	if (r->done_at >= 0)
		assert(got.done_at == r->done_at / 60000 * 60000);
}

static void
text(const uint8_t *data, size_t len)
{
	struct receipt r;
	bool ok = receipt_parse(&r, bytes_of(data, len));

	assert(ok == (r.id.len > 0 || r.stat.len > 0));
	FUZZ_INSIDE(r.id, data, len);
	FUZZ_INSIDE(r.stat, data, len);
	FUZZ_INSIDE(r.err, data, len);
	FUZZ_INSIDE(r.text, data, len);
	assert(r.state >= RECEIPT_ABSENT && r.state <= SMPP_STATE_SKIPPED);
	assert(r.state == receipt_state(r.stat));
	assert(r.sub >= RECEIPT_ABSENT && r.dlvrd >= RECEIPT_ABSENT);
	assert(r.intermediate ==
	    (r.state != RECEIPT_ABSENT && !receipt_state_final(r.state)));
	build_again(&r);
}

static bool
only(const char *digits, const char *s, size_t max)
{
	return *s != '\0' && strlen(s) <= max && s[strspn(s, digits)] == '\0';
}

static void
id(const uint8_t *data, size_t len)
{
	char out[RECEIPT_ID_MAX], again[RECEIPT_ID_MAX], want[32], word[64];
	unsigned form;
	size_t n;

	for (form = RECEIPT_STRING; form <= RECEIPT_DEC; form++) {
		n = receipt_normalise_id(
		    (enum receipt_form)form, bytes_of(data, len), out);
		assert(n < RECEIPT_ID_MAX && out[n] == '\0' && n <= len * 2);
		if (form == RECEIPT_HEX)
			continue; /* digits are another number when read again */
		assert(receipt_normalise_id((enum receipt_form)form,
			   bytes_of(out, n), again) <= n);
		/* What was cut may end in a space, or in digits alone. */
		if (n < RECEIPT_ID_MAX - 1)
			assert(memcmp(out, again, n + 1) == 0);
	}
	if (len >= sizeof(word))
		return;
	if (len > 0)
		memcpy(word, data, len);
	word[len] = '\0';
	if (strlen(word) != len)
		return;
	if (only("0123456789abcdefABCDEF", word, 16)) {
		(void)receipt_normalise_id(
		    RECEIPT_HEX, bytes_of(data, len), out);
		(void)snprintf(
		    want, sizeof(want), "%llu", strtoull(word, NULL, 16));
		assert(strcmp(out, want) == 0);
	}
	if (only("0123456789", word, 19)) {
		(void)receipt_normalise_id(
		    RECEIPT_DEC, bytes_of(data, len), out);
		(void)snprintf(
		    want, sizeof(want), "%llu", strtoull(word, NULL, 10));
		assert(strcmp(out, want) == 0);
		/* The same number in both forms is one key. */
		(void)snprintf(
		    want, sizeof(want), " 0x%llx", strtoull(word, NULL, 10));
		(void)receipt_normalise_id(RECEIPT_HEX, bytes_str(want), again);
		assert(strcmp(out, again) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *end = len == 0 ? NULL : memchr(data, '\n', len);

	text(data, len);
	id(data, end == NULL ? len : (size_t)(end - data));
	return 0;
}
