/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dialect_test.c - every receipt of test/data/receipts/dialects.txt, whose head
 * says how it is written, as a deliver_sm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/charset.h"
#include "proto/receipt.h"
#include "proto/smpp_pdu.h"
#include "proto/smpp_time.h"

#define LINE 1024

struct dialect {
	char name[64];
	char want[LINE], by_text[LINE];
	struct smpp_pdu pdu;
	uint8_t text[LINE], payload[LINE], tlv[8][64];
	unsigned n_tlvs, lines;
};

static unsigned n_read;

/* \n \r \t \\ \xHH */
static size_t
unescape(const char *s, uint8_t *dst)
{
	char hex[3] = { 0 };
	size_t n = 0;

	for (; *s != '\0'; s++) {
		if (*s != '\\') {
			dst[n++] = (uint8_t)*s;
			continue;
		}
		switch (*++s) {
		case 'n':
			dst[n++] = '\n';
			break;
		case 'r':
			dst[n++] = '\r';
			break;
		case 't':
			dst[n++] = '\t';
			break;
		case 'x':
			memcpy(hex, s + 1, 2);
			dst[n++] = (uint8_t)strtoul(hex, NULL, 16);
			s += 2;
			break;
		default:
			assert_int_equal(*s, '\\');
			dst[n++] = '\\';
		}
	}
	assert_true(n < LINE);
	return n;
}

static size_t
utf16(const char *s, bool mark, bool little, uint8_t *dst)
{
	struct misfit bad;
	size_t n = 0, at = 0, i;
	uint8_t c;

	if (mark) {
		dst[at++] = 0xfe;
		dst[at++] = 0xff;
	}
	assert_true(utf8_to_utf16be(
	    (const uint8_t *)s, strlen(s), dst + at, LINE - at, &n, &bad));
	n += at;
	for (i = 0; little && i < n; i += 2) {
		c = dst[i];
		dst[i] = dst[i + 1];
		dst[i + 1] = c;
	}
	return n;
}

static void
add_tlv(struct dialect *d, const char *value)
{
	uint8_t *octets = d->tlv[d->n_tlvs++];
	unsigned tag, octet;
	size_t n = 0;
	int used;

	assert_int_equal(sscanf(value, "%4x %n", &tag, &used), 1);
	for (value += used; sscanf(value, "%2x", &octet) == 1; value += 2)
		octets[n++] = (uint8_t)octet;
	assert_true(smpp_tlv_add(&d->pdu, (uint16_t)tag, octets, n));
}

static void
read_line(struct dialect *d, const char *key, const char *value)
{
	d->lines++;
	if (strcmp(key, "name") == 0)
		snprintf(d->name, sizeof(d->name), "%s", value);
	else if (strcmp(key, "esm") == 0)
		d->pdu.esm_class = (uint8_t)strtoul(value, NULL, 16);
	else if (strcmp(key, "dcs") == 0)
		d->pdu.data_coding = (uint8_t)strtoul(value, NULL, 10);
	else if (strcmp(key, "text") == 0)
		d->pdu.short_message =
		    bytes_of(d->text, unescape(value, d->text));
	else if (strncmp(key, "wide", 4) == 0)
		d->pdu.short_message = bytes_of(d->text,
		    utf16(value, strcmp(key + 4, "bom") == 0,
			strcmp(key + 4, "le") == 0, d->text));
	else if (strcmp(key, "payload") == 0)
		assert_true(smpp_tlv_add(&d->pdu, SMPP_TLV_MESSAGE_PAYLOAD,
		    d->payload, unescape(value, d->payload)));
	else if (strcmp(key, "tlv") == 0)
		add_tlv(d, value);
	else if (strcmp(key, "want") == 0)
		snprintf(d->want, sizeof(d->want), "%s", value);
	else if (strcmp(key, "by_text") == 0)
		snprintf(d->by_text, sizeof(d->by_text), "%s", value);
	else
		fail_msg("%s: %s", d->name, key);
}

#define WORDS (4 * LINE)
/* What came out, in the words of the file. */
static void
put(char *dst, const char *key, struct bytes value)
{
	size_t n = strlen(dst), i;

	assert_true(n + strlen(key) + 4 * value.len + 3 < WORDS);
	if (value.len == 0)
		return;
	n += (size_t)snprintf(
	    dst + n, WORDS - n, "%s%s=", n == 0 ? "" : " ", key);
	for (i = 0; i < value.len; i++) {
		if (value.p[i] == ' ')
			dst[n++] = '_';
		else if (value.p[i] < 0x20)
			n += (size_t)snprintf(
			    dst + n, WORDS - n, "\\x%02x", value.p[i]);
		else
			dst[n++] = (char)value.p[i];
	}
	dst[n] = '\0';
}

static void
put_number(char *dst, const char *key, int value)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", value);
	if (value != RECEIPT_ABSENT)
		put(dst, key, bytes_str(number));
}

static void
put_date(char *dst, const char *key, int64_t at)
{
	char date[SMPP_TIME_SIZE];

	if (at == RECEIPT_ABSENT)
		return;
	smpp_time_absolute(at, 0, date);
	put(dst, key, bytes_of(date, 12));
}

static void
describe(const struct receipt *r, char *dst)
{
	char net[16];

	dst[0] = '\0';
	put(dst, "id", r->id);
	put(dst, "stat", r->stat);
	if (r->state != RECEIPT_ABSENT)
		put(dst, "state",
		    bytes_str(smpp_state_word((unsigned)r->state)));
	put(dst, "err", r->err);
	put_number(dst, "sub", r->sub);
	put_number(dst, "dlvrd", r->dlvrd);
	put_date(dst, "submit", r->submit_at);
	put_date(dst, "done", r->done_at);
	put(dst, "text", r->text);
	if (r->has_network_error) {
		snprintf(net, sizeof(net), "%u:%u", r->network_type,
		    r->network_error);
		put(dst, "net", bytes_str(net));
	}
	if (r->intermediate)
		put(dst, "final", bytes_str("no"));
	if (dst[0] == '\0')
		snprintf(dst, WORDS, "id=");
}

static void
check(struct dialect *d, bool by_text, const char *want)
{
	uint8_t wide[RECEIPT_WIDE_MAX];
	struct receipt r;
	char got[WORDS];

	if (receipt_from_pdu(&r, &d->pdu, by_text, wide))
		describe(&r, got);
	else
		snprintf(got, sizeof(got), "none");
	if (strcmp(got, want) != 0)
		fail_msg("%s (by_text=%d)\n  want %s\n  got  %s", d->name,
		    by_text, want, got);
}

static void
flush(struct dialect *d)
{
	if (d->lines > 0) {
		assert_true(d->name[0] != '\0' && d->want[0] != '\0');
		check(d, false, d->want);
		check(d, true, d->by_text[0] == '\0' ? d->want : d->by_text);
		n_read++;
	}
	memset(d, 0, sizeof(*d));
	smpp_pdu_init(&d->pdu, SMPP_DELIVER_SM, 0, 1);
	d->pdu.esm_class = SMPP_ESM_RECEIPT;
}

static void
test_dialects(void **state)
{
	static struct dialect d;
	char line[LINE], *value;
	FILE *f = fopen("test/data/receipts/dialects.txt", "r");

	(void)state;
	assert_non_null(f);
	flush(&d);
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#')
			continue;
		if (line[0] == '\0') {
			flush(&d);
			continue;
		}
		value = line + strcspn(line, " ");
		if (*value != '\0')
			*value++ = '\0';
		read_line(&d, line, value);
	}
	flush(&d);
	(void)fclose(f);
	assert_true(n_read >= 70);
}

/* A wide text that is longer than the room for it is cut, not overrun. */
static void
test_wide_is_bounded(void **state)
{
	static uint8_t text[60000];
	uint8_t wide[RECEIPT_WIDE_MAX];
	struct smpp_pdu pdu;
	struct receipt r;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(text); i += 2) {
		text[i] = i < 200 ? 0 : 0x20;
		text[i + 1] = "id:7 stat:DELIVRD "[i / 2 % 18];
	}
	smpp_pdu_init(&pdu, SMPP_DELIVER_SM, 0, 1);
	pdu.esm_class = SMPP_ESM_RECEIPT;
	assert_true(
	    smpp_tlv_add(&pdu, SMPP_TLV_MESSAGE_PAYLOAD, text, sizeof(text)));
	assert_true(receipt_from_pdu(&r, &pdu, false, wide));
	assert_true(r.wide && r.body.len > RECEIPT_WIDE_MAX - 3);
	assert_true(bytes_eq(r.id, bytes_str("7")));
	assert_int_equal(r.state, SMPP_STATE_DELIVERED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialects),
		cmocka_unit_test(test_wide_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
