/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * receipt.c - read and write delivery receipts.
 */
#include "proto/receipt.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/charset.h"
#include "proto/segment.h"
#include "proto/smpp_pdu.h"
#include "proto/smpp_time.h"

/* ------------------------------------------------------------- state words */

static const struct {
	const char *word;
	int state;
} state_words[] = {
	{ "DELIVRD", SMPP_STATE_DELIVERED },
	{ "DELIVERED", SMPP_STATE_DELIVERED },
	{ "DELIVRED", SMPP_STATE_DELIVERED },
	{ "DELIVERD", SMPP_STATE_DELIVERED },
	{ "DELIVERY_SUCCESS", SMPP_STATE_DELIVERED },
	{ "EXPIRED", SMPP_STATE_EXPIRED },
	{ "EXPIRD", SMPP_STATE_EXPIRED },
	{ "DELETED", SMPP_STATE_DELETED },
	{ "DELETD", SMPP_STATE_DELETED },
	{ "UNDELIV", SMPP_STATE_UNDELIVERABLE },
	{ "UNDELIVERABLE", SMPP_STATE_UNDELIVERABLE },
	{ "UNDELIVERED", SMPP_STATE_UNDELIVERABLE },
	{ "UNDELIVRD", SMPP_STATE_UNDELIVERABLE },
	{ "UNDELIVERD", SMPP_STATE_UNDELIVERABLE },
	{ "UNDLVRD", SMPP_STATE_UNDELIVERABLE },
	{ "FAILED", SMPP_STATE_UNDELIVERABLE },
	{ "ACCEPTD", SMPP_STATE_ACCEPTED },
	{ "ACCEPTED", SMPP_STATE_ACCEPTED },
	{ "ACKED", SMPP_STATE_ACCEPTED },
	{ "UNKNOWN", SMPP_STATE_UNKNOWN },
	{ "UNKNOWND", SMPP_STATE_UNKNOWN },
	{ "REJECTD", SMPP_STATE_REJECTED },
	{ "REJECTED", SMPP_STATE_REJECTED },
	{ "REJCTED", SMPP_STATE_REJECTED },
	{ "ENROUTE", SMPP_STATE_ENROUTE },
	{ "EN_ROUTE", SMPP_STATE_ENROUTE },
	{ "BUFFRED", SMPP_STATE_ENROUTE },
	{ "BUFFERD", SMPP_STATE_ENROUTE },
	{ "BUFFERED", SMPP_STATE_ENROUTE },
	{ "BUFFER", SMPP_STATE_ENROUTE },
	{ "SCHEDULED", SMPP_STATE_SCHEDULED },
	{ "SCHEDUL", SMPP_STATE_SCHEDULED },
	{ "SCHEDLD", SMPP_STATE_SCHEDULED },
	{ "SKIPPED", SMPP_STATE_SKIPPED },
	{ "EXPIRE", SMPP_STATE_EXPIRED },
	{ "TIMEOUT", SMPP_STATE_EXPIRED },
	{ "REJECT", SMPP_STATE_REJECTED },
	{ "REJECTE", SMPP_STATE_REJECTED },
	{ "BLOCKED", SMPP_STATE_REJECTED },
	{ "CANCELLED", SMPP_STATE_DELETED },
	{ "CANCELED", SMPP_STATE_DELETED },
	{ "NOT_DELIVERED", SMPP_STATE_UNDELIVERABLE },
	{ "NOTDELIV", SMPP_STATE_UNDELIVERABLE },
	{ "UNDELIVE", SMPP_STATE_UNDELIVERABLE },
	{ "FAIL", SMPP_STATE_UNDELIVERABLE },
	{ "QUEUED", SMPP_STATE_ENROUTE },
	{ "PENDING", SMPP_STATE_ENROUTE },
	{ "RETRY", SMPP_STATE_ENROUTE },
	{ "SENT", SMPP_STATE_ACCEPTED },
	{ "SUBMITTED", SMPP_STATE_ACCEPTED },
};

/* "2", "02", "002": as message_state has it. */
static int
state_number(struct bytes word)
{
	while (word.len > 1 && word.p[0] == '0') {
		word.p++;
		word.len--;
	}
	if (word.len != 1 || word.p[0] < '0' ||
	    word.p[0] > '0' + SMPP_STATE_SKIPPED)
		return RECEIPT_ABSENT;
	return word.p[0] - '0';
}

int
receipt_state(struct bytes word)
{
	size_t i;

	for (i = 0; i < sizeof(state_words) / sizeof(state_words[0]); i++)
		if (strlen(state_words[i].word) == word.len &&
		    strncasecmp(state_words[i].word, (const char *)word.p,
			word.len) == 0)
			return state_words[i].state;
	return state_number(word);
}

bool
receipt_state_final(int state)
{
	switch (state) {
	case SMPP_STATE_DELIVERED:
	case SMPP_STATE_EXPIRED:
	case SMPP_STATE_DELETED:
	case SMPP_STATE_UNDELIVERABLE:
	case SMPP_STATE_UNKNOWN:
	case SMPP_STATE_REJECTED:
	case SMPP_STATE_SKIPPED:
		return true;
	default:
		/* ACCEPTED is final in the specification; carriers say it when
		 * they have taken the message, as Kannel knows. */
		return false;
	}
}

/* ------------------------------------------------------------------- text */

enum key {
	KEY_ID,
	KEY_SUB,
	KEY_DLVRD,
	KEY_SUBMIT,
	KEY_DONE,
	KEY_STAT,
	KEY_ERR,
	KEY_TEXT,
	KEY_NONE,
};

/*
 * A blank stands for a blank, an underscore, or nothing.  The standard's name
 * of each is the first; names that begin alike stand with the longer one first.
 */
static const struct {
	const char *name;
	enum key key;
} key_names[] = {
	{ "id", KEY_ID },
	{ "sub", KEY_SUB },
	{ "dlvrd", KEY_DLVRD },
	{ "submit date", KEY_SUBMIT },
	{ "done date", KEY_DONE },
	{ "stat", KEY_STAT },
	{ "err", KEY_ERR },
	{ "text", KEY_TEXT },
	/* Others: "message_id" and "msg-id" end in "id" and need no row. */
	{ "messageid", KEY_ID },
	{ "msgid", KEY_ID },
	{ "message state", KEY_STAT },
	{ "submitted", KEY_SUB },
	{ "delivered", KEY_DLVRD },
	{ "dlvd", KEY_DLVRD },
	{ "submit time", KEY_SUBMIT },
	{ "sub date", KEY_SUBMIT },
	{ "done time", KEY_DONE },
	{ "delivery date", KEY_DONE },
	{ "status", KEY_STAT },
	{ "state", KEY_STAT },
	{ "error code", KEY_ERR },
	{ "err code", KEY_ERR },
	{ "error", KEY_ERR },
};

static bool
is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0;
}

static bool
is_alnum(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	    (c >= 'A' && c <= 'Z');
}

static uint8_t
lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool
is_quote(uint8_t c)
{
	return c == '"' || c == '\'';
}

static size_t
skip_space(struct bytes t, size_t i)
{
	while (i < t.len && is_space(t.p[i]))
		i++;
	return i;
}

/* Length of this key with its colon at i, or 0. */
static size_t
key_length(struct bytes t, size_t i, const char *name)
{
	size_t at = i;

	for (; *name != '\0'; name++) {
		if (*name == ' ') {
			while (at < t.len && (t.p[at] == ' ' || t.p[at] == '_'))
				at++;
		} else if (at < t.len && lower(t.p[at]) == (uint8_t)*name) {
			at++;
		} else {
			return 0;
		}
	}
	if (at < t.len && is_quote(t.p[at]))
		at++; /* "id" */
	while (at < t.len && t.p[at] == ' ')
		at++;
	return at < t.len && (t.p[at] == ':' || t.p[at] == '=') ? at + 1 - i
								: 0;
}

/* Most positions are no key: look at the letter first. */
static bool
may_begin_key(uint8_t c)
{
	switch (c | 0x20) {
	case 'i':
	case 's':
	case 'd':
	case 'e':
	case 't':
	case 'm':
		return true;
	default:
		return false;
	}
}

/* The key that begins at i, and the offset behind its colon. */
static enum key
key_at(struct bytes t, size_t i, size_t *behind)
{
	unsigned k;
	size_t n;

	if (i >= t.len || !may_begin_key(t.p[i]) ||
	    (i > 0 && is_alnum(t.p[i - 1])))
		return KEY_NONE;
	for (k = 0; k < sizeof(key_names) / sizeof(key_names[0]); k++) {
		if (lower(t.p[i]) != (uint8_t)key_names[k].name[0])
			continue;
		n = key_length(t, i, key_names[k].name);
		if (n > 0) {
			*behind = i + n;
			return key_names[k].key;
		}
	}
	return KEY_NONE;
}

/* A value ends at a space, at a closing brace, or at punctuation before the
 * next key. */
static size_t
value_end(struct bytes t, size_t i)
{
	size_t ignored, next;

	for (; i < t.len && !is_space(t.p[i]) && t.p[i] != '}'; i++) {
		if (t.p[i] != ',' && t.p[i] != ';' && t.p[i] != '|' &&
		    t.p[i] != '&')
			continue;
		next = skip_space(t, i + 1);
		if (next < t.len && is_quote(t.p[next]))
			next++;
		if (key_at(t, next, &ignored) != KEY_NONE)
			break;
	}
	return i;
}

/* The closing quote, or the end of what is no quoted value. */
static size_t
quote_end(struct bytes t, size_t i)
{
	const uint8_t *end = memchr(t.p + i + 1, t.p[i], t.len - i - 1);

	return end == NULL ? value_end(t, i + 1) : (size_t)(end - t.p);
}

static int
parse_count(struct bytes v)
{
	int n = 0;
	size_t i;

	if (v.len == 0 || v.len > 9)
		return RECEIPT_ABSENT;
	for (i = 0; i < v.len; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return RECEIPT_ABSENT;
		n = n * 10 + (v.p[i] - '0');
	}
	return n;
}

/* YYMMDDhhmm[ss] behind a century. */
static int64_t
parse_short_date(const uint8_t *p, size_t len, int century)
{
	char buf[SMPP_TIME_SIZE] = "0000000000000000";
	struct smpp_time t;

	memcpy(buf, p, len);
	buf[12] = '0';
	buf[15] = '+';
	if (!smpp_time_parse(bytes_of(buf, 16), &t))
		return RECEIPT_ABSENT;
	return century == 20 ? t.ms : RECEIPT_ABSENT;
}

#define DATE_MAX 25 /* "2025-11-25T12:00:00.000Z" and a bit */

/*
 * "2025-11-25 12:00:00" in place of digits alone: where it ends, or 0 when it
 * does not begin so.  Other values end at their space.
 */
static size_t
long_date_end(struct bytes t, size_t i)
{
	size_t end = i + 10;

	if (t.len - i < 16 || t.p[i + 4] != t.p[i + 7] ||
	    (t.p[i + 4] != '-' && t.p[i + 4] != '/' && t.p[i + 4] != '.') ||
	    (t.p[end] != ' ' && t.p[end] != 'T') || t.p[end + 3] != ':')
		return 0;
	end++;
	while (end < t.len && end - i < DATE_MAX && !is_space(t.p[end]) &&
	    !is_quote(t.p[end]) && t.p[end] != ',' && t.p[end] != ';')
		end++;
	return end;
}

static int64_t
parse_date(struct bytes v)
{
	uint8_t digits[14];
	int64_t at;
	size_t i, n;

	if (long_date_end(v, 0) != 0) {
		/* A fraction and a zone are left out, as no other has one. */
		for (i = n = 0; i < v.len && n < sizeof(digits); i++) {
			if (v.p[i] >= '0' && v.p[i] <= '9')
				digits[n++] = v.p[i];
			else if (i > 16 && v.p[i] != ':')
				break;
		}
		v = bytes_of(digits, n);
	}
	for (i = 0; i < v.len; i++)
		if (v.p[i] < '0' || v.p[i] > '9')
			return RECEIPT_ABSENT;
	if (v.len == 10)
		return parse_short_date(v.p, 10, 20);
	if (v.len == 14)
		return parse_short_date(
		    v.p + 2, 12, (v.p[0] - '0') * 10 + (v.p[1] - '0'));
	if (v.len != 12)
		return RECEIPT_ABSENT;
	/* YYMMDDhhmmss, and where that is no date YYYYMMDDhhmm. */
	at = parse_short_date(v.p, 12, 20);
	if (at != RECEIPT_ABSENT)
		return at;
	return parse_short_date(
	    v.p + 2, 10, (v.p[0] - '0') * 10 + (v.p[1] - '0'));
}

static void
receipt_init(struct receipt *r)
{
	memset(r, 0, sizeof(*r));
	r->state = r->sub = r->dlvrd = RECEIPT_ABSENT;
	r->submit_at = r->done_at = RECEIPT_ABSENT;
}

static void
take_value(struct receipt *r, enum key key, struct bytes v)
{
	switch (key) {
	case KEY_ID:
		r->id = v;
		break;
	case KEY_SUB:
		r->sub = parse_count(v);
		break;
	case KEY_DLVRD:
		r->dlvrd = parse_count(v);
		break;
	case KEY_SUBMIT:
		r->submit_at = parse_date(v);
		break;
	case KEY_DONE:
		r->done_at = parse_date(v);
		break;
	case KEY_STAT:
		r->stat = v;
		r->state = receipt_state(v);
		break;
	case KEY_ERR:
		r->err = v;
		break;
	case KEY_TEXT:
	case KEY_NONE:
		break;
	}
}

/* The value that begins at i, and the offset behind it. */
static struct bytes
value_at(struct bytes t, size_t i, enum key key, size_t *behind)
{
	size_t ignored, end;

	/* "id: sub:001": an empty value, not one called "sub:001". */
	if (i >= t.len || key_at(t, i, &ignored) != KEY_NONE) {
		*behind = i;
		return bytes_of(t.p + i, 0);
	}
	if (is_quote(t.p[i])) {
		end = quote_end(t, i);
		*behind = end < t.len && is_quote(t.p[end]) ? end + 1 : end;
		return bytes_of(t.p + i + 1, end - i - 1);
	}
	end = 0;
	if (key == KEY_SUBMIT || key == KEY_DONE)
		end = long_date_end(t, i);
	if (end == 0)
		end = value_end(t, i);
	*behind = end;
	return bytes_of(t.p + i, end - i);
}

/*
 * One walk from left to right; the first of each key counts.  What follows
 * "text:" is the customer's own text, in which nothing is believed, unless the
 * receipt began with it.
 */
bool
receipt_parse(struct receipt *r, struct bytes t)
{
	bool seen[KEY_NONE] = { false };
	size_t i = 0, behind = 0;
	struct bytes v;
	enum key key;

	receipt_init(r);
	while (i < t.len) {
		key = key_at(t, i, &behind);
		if (key == KEY_NONE) {
			i++;
			continue;
		}
		i = skip_space(t, behind);
		if (key == KEY_TEXT) {
			if (seen[KEY_TEXT])
				continue;
			seen[KEY_TEXT] = true;
			r->text = bytes_of(t.p + behind, t.len - behind);
			if (seen[KEY_ID] || seen[KEY_STAT])
				break;
			continue;
		}
		v = value_at(t, i, key, &i);
		if (!seen[key])
			take_value(r, key, v);
		seen[key] = true;
	}
	r->intermediate =
	    r->state != RECEIPT_ABSENT && !receipt_state_final(r->state);
	return r->id.len > 0 || r->stat.len > 0;
}

/* What the TLVs say wins over the text. */
static void
take_tlvs(struct receipt *r, const struct smpp_pdu *pdu)
{
	struct bytes id, code;
	uint8_t state;

	if (smpp_tlv_str(pdu, SMPP_TLV_RECEIPTED_MESSAGE_ID, &id) && id.len > 0)
		r->id = id;
	if (smpp_tlv_u8(pdu, SMPP_TLV_MESSAGE_STATE, &state) &&
	    state <= SMPP_STATE_SKIPPED)
		r->state = state;
	if (smpp_tlv_get(pdu, SMPP_TLV_NETWORK_ERROR_CODE, &code) &&
	    code.len == 3) {
		r->has_network_error = true;
		r->network_type = code.p[0];
		r->network_error = (uint16_t)(code.p[1] << 8 | code.p[2]);
	}
}

/* A text that only looks like a receipt must not make an MO into one. */
static bool
is_receipt(const struct smpp_pdu *pdu)
{
	struct bytes id, state;

	if ((pdu->esm_class & (SMPP_ESM_RECEIPT | SMPP_ESM_INTERMEDIATE)) != 0)
		return true;
	return smpp_tlv_get(pdu, SMPP_TLV_RECEIPTED_MESSAGE_ID, &id) &&
	    smpp_tlv_get(pdu, SMPP_TLV_MESSAGE_STATE, &state);
}

/* ASCII in UTF-16, of either order, perhaps behind a byte order mark. */
static bool
is_wide(struct bytes b, bool *little)
{
	if (b.len < 4 || b.len % 2 != 0)
		return false;
	*little = b.p[3] == 0;
	if ((b.p[0] == 0xfe && b.p[1] == 0xff) ||
	    (b.p[0] == 0xff && b.p[1] == 0xfe))
		return (b.p[2] == 0) != (b.p[3] == 0);
	return (b.p[0] == 0) == (b.p[2] == 0) && (b.p[1] == 0) == *little &&
	    (b.p[0] == 0) != (b.p[1] == 0);
}

static struct bytes
narrow(struct bytes b, bool little, uint8_t wide[RECEIPT_WIDE_MAX])
{
	uint8_t one[4];
	size_t i, n = 0, len;
	uint32_t cp;

	for (i = 0; i + 1 < b.len; i += 2) {
		cp = little ? (uint32_t)(b.p[i + 1] << 8 | b.p[i])
			    : (uint32_t)(b.p[i] << 8 | b.p[i + 1]);
		if (cp == 0xfeff)
			continue;
		/* Only the customer's text, of which 20 octets are shown, could
		 * have pairs. */
		if (cp >= 0xd800 && cp <= 0xdfff)
			cp = CHARSET_REPLACEMENT;
		len = utf8_put(one, cp);
		if (len > RECEIPT_WIDE_MAX - n)
			break;
		memcpy(wide + n, one, len);
		n += len;
	}
	return bytes_of(wide, n);
}

/* No MO begins so by chance. */
static bool
looks_like_receipt(const struct receipt *r, struct bytes body)
{
	size_t at;

	return r->id.len > 0 && r->state != RECEIPT_ABSENT &&
	    key_at(body, skip_space(body, 0), &at) == KEY_ID;
}

bool
receipt_from_pdu(struct receipt *r, const struct smpp_pdu *pdu, bool by_text,
    uint8_t wide[RECEIPT_WIDE_MAX])
{
	struct segment_user user;
	bool said, little, is;

	if (pdu->command_id != SMPP_DELIVER_SM &&
	    pdu->command_id != SMPP_DATA_SM) {
		receipt_init(r);
		return false;
	}
	said = is_receipt(pdu);
	if (!said && (!by_text || (pdu->esm_class & SMPP_ESM_TYPE) != 0)) {
		receipt_init(r);
		return false;
	}
	(void)segment_user(pdu, &user); /* malformed: all of it is text */
	is = is_wide(user.data, &little);
	if (is)
		user.data = narrow(user.data, little, wide);
	(void)receipt_parse(r, user.data);
	r->body = user.data;
	r->wide = is;
	if (!said && !looks_like_receipt(r, user.data)) {
		receipt_init(r);
		return false;
	}
	take_tlvs(r, pdu);
	r->intermediate = (pdu->esm_class & SMPP_ESM_INTERMEDIATE) != 0 ||
	    (r->state != RECEIPT_ABSENT && !receipt_state_final(r->state));
	return true;
}

/* ------------------------------------------------------------------ build */

static void
put_date(int64_t at, char out[11])
{
	char full[SMPP_TIME_SIZE];

	smpp_time_absolute(at == RECEIPT_ABSENT ? 0 : at, 0, full);
	memcpy(out, full, 10);
	out[10] = '\0';
}

static int
view_len(struct bytes b, size_t max)
{
	return (int)(b.len < max ? b.len : max);
}

static const char *
view_text(struct bytes b)
{
	return b.p == NULL ? "" : (const char *)b.p;
}

size_t
receipt_build(const struct receipt *r, char *dst, size_t cap)
{
	char submit[11], done[11];
	const char *word = r->state == RECEIPT_ABSENT
	    ? NULL
	    : smpp_state_word((unsigned)r->state);
	struct bytes stat = r->stat;
	struct bytes err = r->err.len > 0 ? r->err : bytes_str("000");
	int dlvrd = r->dlvrd, n;

	if (stat.len == 0)
		stat = bytes_str(word == NULL ? "UNKNOWN" : word);
	if (dlvrd == RECEIPT_ABSENT)
		dlvrd = r->state == SMPP_STATE_DELIVERED;
	put_date(r->submit_at, submit);
	put_date(r->done_at, done);
	n = snprintf(dst, cap,
	    "id:%.*s sub:%03d dlvrd:%03d submit date:%s done date:%s "
	    "stat:%.*s err:%.*s text:%.*s",
	    view_len(r->id, 64), view_text(r->id),
	    r->sub == RECEIPT_ABSENT ? 1 : r->sub, dlvrd, submit, done,
	    view_len(stat, 16), view_text(stat), view_len(err, 16),
	    view_text(err), view_len(r->text, 20), view_text(r->text));
	return n < 0 ? 0 : (size_t)n;
}

/* ------------------------------------------------------------ message ids */

static int
digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

static bool
is_number(struct bytes id, int base)
{
	size_t i;

	for (i = 0; i < id.len; i++)
		if (digit(id.p[i]) >= base)
			return false;
	return id.len > 0;
}

static struct bytes
trim(struct bytes b)
{
	while (b.len > 0 && is_space(b.p[0])) {
		b.p++;
		b.len--;
	}
	while (b.len > 0 && is_space(b.p[b.len - 1]))
		b.len--;
	return b;
}

#define LIMB     1000000000u
#define MAX_HEX  128 /* digits: 155 decimal ones */
#define MAX_LIMB 18

/* Hex of any size to decimal, by limbs of nine digits. */
static size_t
hex_to_dec(struct bytes id, char out[RECEIPT_ID_MAX])
{
	uint32_t limb[MAX_LIMB] = { 0 };
	size_t used = 1, i, k;
	uint64_t carry;
	int n;

	for (i = 0; i < id.len; i++) {
		carry = (uint64_t)digit(id.p[i]);
		for (k = 0; k < used; k++) {
			carry += (uint64_t)limb[k] * 16;
			limb[k] = (uint32_t)(carry % LIMB);
			carry /= LIMB;
		}
		if (carry > 0)
			limb[used++] = (uint32_t)carry;
	}
	n = snprintf(out, RECEIPT_ID_MAX, "%u", limb[used - 1]);
	for (k = used - 1; k > 0; k--)
		n += snprintf(
		    out + n, RECEIPT_ID_MAX - (size_t)n, "%09u", limb[k - 1]);
	return (size_t)n;
}

static size_t
put_id(enum receipt_form form, struct bytes id, char out[RECEIPT_ID_MAX])
{
	size_t n = id.len < RECEIPT_ID_MAX ? id.len : RECEIPT_ID_MAX - 1, i;

	for (i = 0; i < n; i++)
		out[i] = (char)(form == RECEIPT_HEX ? lower(id.p[i]) : id.p[i]);
	out[n] = '\0';
	return n;
}

size_t
receipt_normalise_id(
    enum receipt_form form, struct bytes id, char out[RECEIPT_ID_MAX])
{
	struct bytes number;

	id = trim(id);
	number = id;
	switch (form) {
	case RECEIPT_STRING:
		return put_id(form, id, out);
	case RECEIPT_HEX:
		if (number.len > 2 && number.p[0] == '0' &&
		    lower(number.p[1]) == 'x') {
			number.p += 2;
			number.len -= 2;
		}
		break;
	case RECEIPT_DEC:
		break;
	}
	if (!is_number(number, form == RECEIPT_HEX ? 16 : 10))
		return put_id(form, id, out);
	while (number.len > 1 && number.p[0] == '0') {
		number.p++;
		number.len--;
	}
	if (form == RECEIPT_DEC)
		return put_id(form, number, out);
	if (number.len > MAX_HEX)
		return put_id(form, id, out);
	return hex_to_dec(number, out);
}
