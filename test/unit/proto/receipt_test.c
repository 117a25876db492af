/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * receipt_test.c - receipts as SMPP 3.4, appendix B has them and as carriers
 * write them; the TLVs; message ids in all their forms.
 */
#include "proto/receipt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "common/attr.h"
#include "proto/smpp_pdu.h"

#define NONE  RECEIPT_ABSENT
#define AT(s) (INT64_C(1000) * (s))
/* date -u -d '2025-11-25 12:00' +%s */
#define NOON  AT(1764072000)
#define AFTER AT(1764072060)

static const struct row {
	const char *text;
	const char *id, *stat;
	int state;
	const char *err;
	int sub, dlvrd;
	int64_t submit_at, done_at;
	const char *rest;
} rows[] = {
	{ "id:0123456789 sub:001 dlvrd:001 submit date:2511251200 done "
	  "date:2511251201 stat:DELIVRD err:000 text:Hello world",
	    "0123456789", "DELIVRD", SMPP_STATE_DELIVERED, "000", 1, 1, NOON,
	    AFTER, "Hello world" },
	/* seconds, and a century */
	{ "id:1 submit date:251125120000 done date:20251125120100 stat:EXPIRED",
	    "1", "EXPIRED", SMPP_STATE_EXPIRED, "", NONE, NONE, NOON, AFTER,
	    "" },
	{ "id:1 submit date:202511251200 stat:DELETED", "1", "DELETED",
	    SMPP_STATE_DELETED, "", NONE, NONE, NOON, NONE, "" },
	/* any case, spaces, other separators */
	{ "ID:1 STAT:undeliv ERR:1f4 TEXT:x", "1", "undeliv",
	    SMPP_STATE_UNDELIVERABLE, "1f4", NONE, NONE, NONE, NONE, "x" },
	{ "id : 1  stat :  REJECTD err:\t5", "1", "REJECTD",
	    SMPP_STATE_REJECTED, "5", NONE, NONE, NONE, NONE, "" },
	{ "id:1, stat:DELIVRD, err:0", "1", "DELIVRD", SMPP_STATE_DELIVERED,
	    "0", NONE, NONE, NONE, NONE, "" },
	{ "id:1;stat:DELIVRD|err:0", "1", "DELIVRD", SMPP_STATE_DELIVERED, "0",
	    NONE, NONE, NONE, NONE, "" },
	{ "id:1 submit_date:2511251200 donedate:2511251201 stat:ENROUTE", "1",
	    "ENROUTE", SMPP_STATE_ENROUTE, "", NONE, NONE, NOON, AFTER, "" },
	/* another order, missing and empty fields */
	{ "stat:DELIVRD id:7", "7", "DELIVRD", SMPP_STATE_DELIVERED, "", NONE,
	    NONE, NONE, NONE, "" },
	{ "id: sub:001 stat:UNKNOWN", "", "UNKNOWN", SMPP_STATE_UNKNOWN, "", 1,
	    NONE, NONE, NONE, "" },
	{ "id:5", "5", "", NONE, "", NONE, NONE, NONE, NONE, "" },
	{ "stat:DELIVRD", "", "DELIVRD", SMPP_STATE_DELIVERED, "", NONE, NONE,
	    NONE, NONE, "" },
	{ "id:019aa0b1-c2d3-7e4f-8a5b-6c7d8e9fa0b1 stat:ACCEPTD",
	    "019aa0b1-c2d3-7e4f-8a5b-6c7d8e9fa0b1", "ACCEPTD",
	    SMPP_STATE_ACCEPTED, "", NONE, NONE, NONE, NONE, "" },
	/* a word that we do not know */
	{ "id:1 stat:WHATEVER", "1", "WHATEVER", NONE, "", NONE, NONE, NONE,
	    NONE, "" },
	/* nothing is believed in the customer's own text */
	{ "id:1 stat:UNDELIV text:id:2 stat:DELIVRD", "1", "UNDELIV",
	    SMPP_STATE_UNDELIVERABLE, "", NONE, NONE, NONE, NONE,
	    "id:2 stat:DELIVRD" },
	/* unless the receipt began with it */
	{ "text:Hi id:3 stat:DELIVRD", "3", "DELIVRD", SMPP_STATE_DELIVERED, "",
	    NONE, NONE, NONE, NONE, "Hi id:3 stat:DELIVRD" },
	/* the first of each counts */
	{ "id:1 id:2 stat:EXPIRED stat:DELIVRD", "1", "EXPIRED",
	    SMPP_STATE_EXPIRED, "", NONE, NONE, NONE, NONE, "" },
	/* no such dates, no such numbers */
	{ "id:1 sub:x dlvrd:-1 submit date:2513251200 done date:0", "1", "",
	    NONE, "", NONE, NONE, NONE, NONE, "" },
	{ "id:1 submit date:2502291200 done date:19991231235959", "1", "", NONE,
	    "", NONE, NONE, NONE, NONE, "" },
	{ "id:1 sub:9999999999", "1", "", NONE, "", NONE, NONE, NONE, NONE,
	    "" },
	/* a key is a word of its own */
	{ "android:1 instat:DELIVRD", "", "", NONE, "", NONE, NONE, NONE, NONE,
	    "" },
	{ "Hello, how are you?", "", "", NONE, "", NONE, NONE, NONE, NONE, "" },
	{ "", "", "", NONE, "", NONE, NONE, NONE, NONE, "" },
	{ "id", "", "", NONE, "", NONE, NONE, NONE, NONE, "" },
	{ "id:", "", "", NONE, "", NONE, NONE, NONE, NONE, "" },
};

static bool
is(struct bytes b, const char *want)
{
	return b.len == strlen(want) &&
	    (b.len == 0 || memcmp(b.p, want, b.len) == 0);
}

static void
test_text(void **state)
{
	struct receipt r;
	bool want;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *w = &rows[i];
		size_t len = strlen(w->text);
		char *exact = malloc(len + 1);

		memcpy(exact, w->text, len);
		/* One of the two makes it a receipt. */
		want = w->id[0] != '\0' || w->stat[0] != '\0';
		if (receipt_parse(&r, bytes_of(exact, len)) != want ||
		    !is(r.id, w->id) || !is(r.stat, w->stat) ||
		    r.state != w->state || !is(r.err, w->err) ||
		    r.sub != w->sub || r.dlvrd != w->dlvrd ||
		    r.submit_at != w->submit_at || r.done_at != w->done_at ||
		    !is(r.text, w->rest))
			fail_msg("row %zu: %s", i, w->text);
		assert_false(r.has_network_error);
		free(exact);
	}
}

/* Cut anywhere it is read, or is no receipt; never past its end. */
static void
test_truncated(void **state)
{
	struct receipt r;
	size_t i, cut;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		for (cut = 0; cut < strlen(rows[i].text); cut++) {
			char *exact = malloc(cut + 1);

			memcpy(exact, rows[i].text, cut);
			if (receipt_parse(&r, bytes_of(exact, cut)) &&
			    r.id.len > 0)
				assert_true(
				    (char *)(uintptr_t)r.id.p + r.id.len <=
				    exact + cut);
			free(exact);
		}
	}
}

static void
test_states(void **state)
{
	static const struct {
		const char *word;
		int want;
		bool want_final;
	} words[] = {
		/* appendix B */
		{ "DELIVRD", SMPP_STATE_DELIVERED, true },
		{ "EXPIRED", SMPP_STATE_EXPIRED, true },
		{ "DELETED", SMPP_STATE_DELETED, true },
		{ "UNDELIV", SMPP_STATE_UNDELIVERABLE, true },
		{ "ACCEPTD", SMPP_STATE_ACCEPTED, false },
		{ "UNKNOWN", SMPP_STATE_UNKNOWN, true },
		{ "REJECTD", SMPP_STATE_REJECTED, true },
		{ "SKIPPED", SMPP_STATE_SKIPPED, true },
		{ "ENROUTE", SMPP_STATE_ENROUTE, false },
		{ "SCHEDULED", SMPP_STATE_SCHEDULED, false },
		/* carriers' own */
		{ "delivered", SMPP_STATE_DELIVERED, true },
		{ "Undelivered", SMPP_STATE_UNDELIVERABLE, true },
		{ "FAILED", SMPP_STATE_UNDELIVERABLE, true },
		{ "REJECTED", SMPP_STATE_REJECTED, true },
		{ "BUFFRED", SMPP_STATE_ENROUTE, false },
		{ "BUFFERED", SMPP_STATE_ENROUTE, false },
		{ "ACKED", SMPP_STATE_ACCEPTED, false },
		{ "TIMEOUT", SMPP_STATE_EXPIRED, true },
		{ "BLOCKED", SMPP_STATE_REJECTED, true },
		{ "SENT", SMPP_STATE_ACCEPTED, false },
		{ "2", SMPP_STATE_DELIVERED, true },
		{ "008", SMPP_STATE_REJECTED, true },
		{ "0", SMPP_STATE_SCHEDULED, false },
		{ "9", SMPP_STATE_SKIPPED, true },
		{ "10", NONE, false },
		{ ":", NONE, false },
		{ "DELIVRDX", NONE, false },
		{ "DELIV", NONE, false },
		{ "", NONE, false },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(words); i++) {
		int got = receipt_state(bytes_str(words[i].word));

		if (got != words[i].want)
			fail_msg("%s: %d", words[i].word, got);
		assert_int_equal(receipt_state_final(got), words[i].want_final);
	}
}

static void
test_pdu(void **state)
{
	uint8_t wide[RECEIPT_WIDE_MAX];
	struct smpp_pdu pdu;
	struct receipt r;

	(void)state;
	/* By esm_class, from the text. */
	smpp_pdu_init(&pdu, SMPP_DELIVER_SM, 0, 1);
	pdu.esm_class = SMPP_ESM_RECEIPT;
	pdu.short_message = bytes_str("id:7 stat:UNDELIV err:00B");
	assert_true(receipt_from_pdu(&r, &pdu, false, wide));
	assert_true(is(r.id, "7"));
	assert_int_equal(r.state, SMPP_STATE_UNDELIVERABLE);
	assert_false(r.intermediate);
	/* TLVs win. */
	assert_true(
	    smpp_tlv_add_str(&pdu, SMPP_TLV_RECEIPTED_MESSAGE_ID, "abc"));
	assert_true(smpp_tlv_add_u8(&pdu, SMPP_TLV_MESSAGE_STATE, 2));
	assert_true(
	    smpp_tlv_add(&pdu, SMPP_TLV_NETWORK_ERROR_CODE, "\x03\x00\x1b", 3));
	assert_true(receipt_from_pdu(&r, &pdu, false, wide));
	assert_true(is(r.id, "abc"));
	assert_int_equal(r.state, SMPP_STATE_DELIVERED);
	assert_true(is(r.err, "00B"));
	assert_true(r.has_network_error);
	assert_int_equal(r.network_type, 3);
	assert_int_equal(r.network_error, 0x1b);
	/* Also without esm_class and text. */
	pdu.esm_class = 0;
	pdu.short_message = bytes_of(NULL, 0);
	assert_true(receipt_from_pdu(&r, &pdu, false, wide));
	assert_true(is(r.id, "abc"));
	/* An intermediate notification stays one whatever it says. */
	pdu.esm_class = SMPP_ESM_INTERMEDIATE;
	assert_true(receipt_from_pdu(&r, &pdu, false, wide));
	assert_true(r.intermediate);

	/* A text that looks like a receipt is an MO. */
	smpp_pdu_init(&pdu, SMPP_DELIVER_SM, 0, 1);
	pdu.short_message = bytes_str("id:7 stat:DELIVRD");
	assert_false(receipt_from_pdu(&r, &pdu, false, wide));
	assert_int_equal(r.id.len, 0);
	/* One TLV alone is not enough. */
	assert_true(
	    smpp_tlv_add_str(&pdu, SMPP_TLV_RECEIPTED_MESSAGE_ID, "abc"));
	assert_false(receipt_from_pdu(&r, &pdu, false, wide));
	/* Nor is another PDU. */
	pdu.esm_class = SMPP_ESM_RECEIPT;
	pdu.command_id = SMPP_SUBMIT_SM;
	assert_false(receipt_from_pdu(&r, &pdu, false, wide));
	pdu.command_id = SMPP_DATA_SM;
	assert_true(receipt_from_pdu(&r, &pdu, false, wide));

	/* Behind a header; with an unreadable state; of nothing at all. */
	smpp_pdu_init(&pdu, SMPP_DELIVER_SM, 0, 1);
	pdu.esm_class = SMPP_ESM_RECEIPT | SMPP_ESM_UDHI;
	pdu.short_message = bytes_of("\x02\x70\x00id:9 stat:DELIVRD", 20);
	assert_true(receipt_from_pdu(&r, &pdu, false, wide));
	assert_true(is(r.id, "9"));
	assert_true(smpp_tlv_add_u8(&pdu, SMPP_TLV_MESSAGE_STATE, 10));
	assert_true(receipt_from_pdu(&r, &pdu, false, wide));
	assert_int_equal(r.state, SMPP_STATE_DELIVERED);
	smpp_pdu_init(&pdu, SMPP_DELIVER_SM, 0, 1);
	pdu.esm_class = SMPP_ESM_RECEIPT;
	assert_true(receipt_from_pdu(&r, &pdu, false, wide));
	assert_int_equal(r.id.len, 0);
	assert_int_equal(r.state, NONE);
}

static void
test_build(void **state)
{
	struct receipt r = {
		.id = bytes_str("0123456789"),
		.state = SMPP_STATE_DELIVERED,
		.sub = 1,
		.dlvrd = 1,
		.submit_at = NOON,
		.done_at = AFTER,
		.text = bytes_str("This text has more than 20 octets"),
	};
	static const char want[] =
	    "id:0123456789 sub:001 dlvrd:001 submit date:2511251200 "
	    "done date:2511251201 stat:DELIVRD err:000 "
	    "text:This text has more t";
	char got[200];
	size_t cap;

	(void)state;
	assert_int_equal(receipt_build(&r, got, sizeof(got)), sizeof(want) - 1);
	assert_string_equal(got, want);
	for (cap = 1; cap < sizeof(want); cap++) {
		memset(got, 0x7e, sizeof(got));
		assert_int_equal(receipt_build(&r, got, cap), sizeof(want) - 1);
		assert_int_equal(strlen(got), cap - 1);
		assert_memory_equal(got, want, cap - 1);
		assert_int_equal(got[cap], 0x7e);
	}
	r.state = SMPP_STATE_UNDELIVERABLE;
	r.err = bytes_str("1F4");
	r.sub = r.dlvrd = NONE;
	r.text = bytes_of(NULL, 0);
	(void)receipt_build(&r, got, sizeof(got));
	assert_string_equal(got,
	    "id:0123456789 sub:001 dlvrd:000 submit date:2511251200 "
	    "done date:2511251201 stat:UNDELIV err:1F4 text:");
}

static void
test_ids(void **state)
{
	static const struct {
		enum receipt_form form;
		const char *id, *want;
	} ids[] = {
		{ RECEIPT_STRING, "0012ab", "0012ab" },
		{ RECEIPT_STRING, " 12 ", "12" },
		{ RECEIPT_STRING, "", "" },
		{ RECEIPT_DEC, "0012", "12" },
		{ RECEIPT_DEC, "0", "0" },
		{ RECEIPT_DEC, "000", "0" },
		{ RECEIPT_DEC, "12ab", "12ab" },
		{ RECEIPT_DEC, "12345678901234567890123456789",
		    "12345678901234567890123456789" },
		{ RECEIPT_HEX, "0", "0" },
		{ RECEIPT_HEX, "ff", "255" },
		{ RECEIPT_HEX, "FF", "255" },
		{ RECEIPT_HEX, "0xFF", "255" },
		{ RECEIPT_HEX, "0x", "0x" },
		{ RECEIPT_HEX, "00ff", "255" },
		{ RECEIPT_HEX, "xyz", "xyz" },
		{ RECEIPT_HEX, "XyZ", "xyz" },
		{ RECEIPT_HEX, "3F2B7C1E-5D4A", "3f2b7c1e-5d4a" },
		{ RECEIPT_DEC, "3F2B", "3F2B" },
		{ RECEIPT_STRING, "00fF", "00fF" },
		{ RECEIPT_HEX, "1-2", "1-2" },
		{ RECEIPT_HEX, "3b9aca00", "1000000000" },
		{ RECEIPT_HEX, "ffffffffffffffff", "18446744073709551615" },
		{ RECEIPT_HEX, "10000000000000000", "18446744073709551616" },
		/* python3 -c 'print(0xde0b6b3a7640000)' and 2**128-1 */
		{ RECEIPT_HEX, "de0b6b3a7640000", "1000000000000000000" },
		{ RECEIPT_HEX, "ffffffffffffffffffffffffffffffff",
		    "340282366920938463463374607431768211455" },
	};
	char got[RECEIPT_ID_MAX], big[200];
	size_t i, n;

	(void)state;
	for (i = 0; i < ARRAY_LEN(ids); i++) {
		n = receipt_normalise_id(
		    ids[i].form, bytes_str(ids[i].id), got);
		if (n != strlen(ids[i].want) || strcmp(got, ids[i].want) != 0)
			fail_msg("%s: %s", ids[i].id, got);
	}
	/* 128 hex digits are 155 decimal ones; 129 stay what they are. */
	memset(big, 'f', sizeof(big));
	assert_int_equal(
	    receipt_normalise_id(RECEIPT_HEX, bytes_of(big, 128), got), 155);
	assert_memory_equal(got, "134078079299425970995740249982", 30);
	assert_memory_equal(got + 155 - 10, "9006084095", 11);
	assert_int_equal(
	    receipt_normalise_id(RECEIPT_HEX, bytes_of(big, 129), got), 129);
	/* Longer than any id: cut. */
	assert_int_equal(
	    receipt_normalise_id(RECEIPT_STRING, bytes_of(big, 200), got),
	    RECEIPT_ID_MAX - 1);
	assert_int_equal(
	    receipt_normalise_id(RECEIPT_STRING, bytes_of(NULL, 0), got), 0);
}

/* Every position may begin a key: that must not cost the square of them. */
static void
test_long(void **state)
{
	static const char *const units[] = { "text:-", "id:", "id :", ",id:a",
		"submit   ", "stat ", "text:text:", "err:,;|", "id:\"", "id='x",
		"m", "message   ", "id:a,    ", "done date:2025-11-25 12:00" };
	static char text[60000];
	struct receipt r;
	size_t i, n, len;
	clock_t start;

	(void)state;
	for (i = 0; i < ARRAY_LEN(units); i++) {
		len = strlen(units[i]);
		for (n = 0; n + len <= sizeof(text); n += len)
			memcpy(text + n, units[i], len);
		start = clock();
		(void)receipt_parse(&r, bytes_of(text, n));
		/* A millisecond; seconds where it is the square. */
		assert_true(clock() - start < CLOCKS_PER_SEC / 2);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_pdu),
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
