/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "boxes/front/account.h"
#include "boxes/front/number.h"
#include "boxes/front/pack.h"
#include "boxes/http/front.h"
#include "boxes/http/problem.h"
#include "common/clock.h"
#include "proto/form.h"

#define DAY_MS           (24 * 3600 * 1000ULL)
#define MESSAGE_LATEST   (7 * DAY_MS) /* send_at and validity */
#define MESSAGE_DATA     (SEGMENT_MAX_PARTS * SEGMENT_OCTETS)
#define MESSAGE_TEXT     65536
#define MESSAGE_URL      4096
#define MESSAGE_METADATA 10
#define MESSAGE_TLVS     16
#define MESSAGE_TLV      256

/* Kannel's bits: delivered, failed and refused; or all of them. */
#define DLR_FINAL (1 | 2 | 16)
#define DLR_ALL   31

struct reader {
	const struct message_source *src;
	struct draft *draft;
	struct problem_list *list; /* NULL: told already */
	const char *base;
	bool failed;
	struct bytes callback;
	bool has_dlr;
	char *metadata; /* malloc'ed by jansson */
};

/* Decoded forms of one message. */
static struct {
	uint8_t to[NUMBER_MAX];
	uint8_t data[MESSAGE_DATA + 4];
	uint8_t udh[SEGMENT_OCTETS];
	uint8_t tlv[MESSAGE_TLVS][MESSAGE_TLV];
} decoded;

#define FAIL(rd, field, ...)                                                   \
	do {                                                                   \
		(rd)->failed = true;                                           \
		if ((rd)->list != NULL)                                        \
			problem_add(                                           \
			    (rd)->list, (rd)->base, "/" field, __VA_ARGS__);   \
	} while (0)

/* The same for a field whose name came from the client: "~" and "/" are written
 * as RFC 6901 says. */
static void
fail_at(
    struct reader *rd, const char *parent, const char *name, const char *detail)
{
	char field[160];
	size_t n = (size_t)snprintf(field, sizeof(field), "%s/", parent), left;

	rd->failed = true;
	if (rd->list == NULL)
		return;
	for (left = 64; *name != '\0' && left > 0; name++, left--) {
		if (*name == '~' || *name == '/') {
			field[n++] = '~';
			field[n++] = *name == '~' ? '0' : '1';
		} else {
			field[n++] = *name;
		}
	}
	field[n] = '\0';
	problem_add(rd->list, rd->base, field, "%s", detail);
}

#define SET(m, field, v)                                                       \
	do {                                                                   \
		(m)->has_##field = 1;                                          \
		(m)->field = (v);                                              \
	} while (0)

static struct bytes
json_bytes(const json_t *v)
{
	if (!json_is_string(v))
		return bytes_of(NULL, 0);
	return bytes_of(json_string_value(v), json_string_length(v));
}

static bool
json_number(const json_t *v, json_int_t min, json_int_t max, uint32_t *n)
{
	if (!json_is_integer(v) || json_integer_value(v) < min ||
	    json_integer_value(v) > max)
		return false;
	*n = (uint32_t)json_integer_value(v);
	return true;
}

/* ------------------------------------------------------------- fields */

static void
read_to(struct reader *rd, const json_t *v)
{
	struct bytes s = json_bytes(v);
	size_t bad, n;

	if (s.p == NULL) {
		FAIL(rd, "to", "must be a string");
		return;
	}
	n = number_read(s.p, s.len, decoded.to, &bad);
	if (n == 0) {
		if (bad < s.len)
			FAIL(rd, "to",
			    "not a phone number from character %zu on",
			    bad + 1);
		else
			FAIL(rd, "to", "holds no digit");
		return;
	}
	SET(&rd->draft->env, to, pack_bytes(bytes_of(decoded.to, n)));
}

static void
read_from(struct reader *rd, const json_t *v)
{
	struct bytes s = json_bytes(v);

	if (s.p == NULL || !number_sender_valid(s)) {
		FAIL(rd, "from",
		    "must be a number or up to 11 ASCII characters");
		return;
	}
	SET(&rd->draft->env, from, pack_bytes(s));
}

static void
read_text(struct reader *rd, const json_t *v)
{
	struct bytes s = json_bytes(v);

	if (s.p == NULL)
		FAIL(rd, "text", "must be a string");
	else if (s.len > MESSAGE_TEXT)
		FAIL(rd, "text", "is longer than %d bytes", MESSAGE_TEXT);
	else
		SET(&rd->draft->content, text, pack_bytes(s));
}

static void
read_data(struct reader *rd, const json_t *v)
{
	struct bytes s = json_bytes(v);
	int n;

	if (s.p == NULL || s.len % 4 != 0) {
		FAIL(rd, "data", "must be a string in base64");
		return;
	}
	if (s.len / 4 * 3 > sizeof(decoded.data)) {
		FAIL(rd, "data", "is longer than %d bytes", MESSAGE_DATA);
		return;
	}
	n = s.len == 0 ? 0 : EVP_DecodeBlock(decoded.data, s.p, (int)s.len);
	if (n < 0) {
		FAIL(rd, "data", "must be a string in base64");
		return;
	}
	if (s.len > 0) {
		n -= s.p[s.len - 1] == '=';
		n -= s.p[s.len - 2] == '=';
	}
	SET(&rd->draft->content, data,
	    pack_bytes(bytes_of(decoded.data, (size_t)n)));
}

static void
read_udh(struct reader *rd, const json_t *v)
{
	struct bytes s = json_bytes(v);
	int n = -1;

	if (s.p != NULL && s.len <= 2 * sizeof(decoded.udh))
		n = form_hex(decoded.udh, s.p, s.len);
	if (n <= 0 || decoded.udh[0] + 1 != n) {
		FAIL(rd, "udh",
		    "must be a user data header in hex, its length "
		    "octet included, of up to 140 octets");
		return;
	}
	SET(&rd->draft->content, udh,
	    pack_bytes(bytes_of(decoded.udh, (size_t)n)));
}

static void
read_encoding(struct reader *rd, const json_t *v)
{
	static const char *const names[] = { "auto", "gsm7", "binary", "ucs2" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		if (json_is_string(v) &&
		    strcmp(json_string_value(v), names[i]) == 0) {
			SET(&rd->draft->content, coding,
			    (Hopyard__V1__Content__Coding)i);
			return;
		}
	}
	FAIL(rd, "encoding", "must be auto, gsm7, ucs2 or binary");
}

static void
read_class(struct reader *rd, const json_t *v)
{
	static const char *const names[] = { "otp", "alert", "txn", "bulk" };
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		if (json_is_string(v) &&
		    strcmp(json_string_value(v), names[i]) == 0) {
			rd->draft->env.has_class_ = 1;
			rd->draft->env.class_ = (Hopyard__V1__Class)(i + 1);
			return;
		}
	}
	FAIL(rd, "class", "must be otp, alert, txn or bulk");
}

static void
read_message_class(struct reader *rd, const json_t *v)
{
	uint32_t n;

	if (json_number(v, 0, 3, &n))
		SET(&rd->draft->content, message_class, n);
	else
		FAIL(rd, "message_class", "must be 0 (flash) to 3");
}

static void
read_priority(struct reader *rd, const json_t *v)
{
	uint32_t n;

	if (json_number(v, 0, 3, &n))
		SET(&rd->draft->content, priority, n);
	else
		FAIL(rd, "priority", "must be 0 to 3");
}

static void
read_validity(struct reader *rd, const json_t *v)
{
	uint64_t ms = 0;

	if (json_is_integer(v) && json_integer_value(v) > 0 &&
	    json_integer_value(v) <= (json_int_t)(MESSAGE_LATEST / 1000))
		ms = (uint64_t)json_integer_value(v) * 1000;
	else if (json_is_string(v) &&
	    clock_parse_duration(json_string_value(v), &ms) != 0)
		ms = 0;
	if (ms == 0 || ms > MESSAGE_LATEST) {
		FAIL(rd, "validity",
		    "must be seconds or a duration such as \"2h\", up to 7d");
		return;
	}
	SET(&rd->draft->env, validity_ms, ms);
}

static void
read_send_at(struct reader *rd, const json_t *v)
{
	uint64_t at, now = rd->src->now_ms;

	if (!json_is_string(v) ||
	    clock_parse(json_string_value(v), json_string_length(v), &at) !=
		0) {
		FAIL(rd, "send_at",
		    "must be a time such as 2026-01-31T12:00:00Z");
		return;
	}
	if (at > now + MESSAGE_LATEST)
		FAIL(rd, "send_at", "is more than 7 days ahead");
	else if (at > now)
		SET(&rd->draft->env, delay_ms, at - now);
}

static void
read_client_ref(struct reader *rd, const json_t *v)
{
	struct bytes s = json_bytes(v);

	if (s.p == NULL || s.len == 0 || s.len > MESSAGE_CLIENT_REF) {
		FAIL(rd, "client_ref", "must be a string of 1 to %d bytes",
		    MESSAGE_CLIENT_REF);
		return;
	}
	SET(&rd->draft->env, client_ref, pack_bytes(s));
	SET(&rd->draft->report, client_ref, pack_bytes(s));
}

static void
read_callback_url(struct reader *rd, const json_t *v)
{
	struct bytes s = json_bytes(v);

	if (s.p == NULL || s.len > MESSAGE_URL ||
	    (strncasecmp(json_string_value(v), "http://", 7) != 0 &&
		strncasecmp(json_string_value(v), "https://", 8) != 0)) {
		FAIL(rd, "callback_url", "must be an http or https URL");
		return;
	}
	if (!account_callback_allowed(rd->src->account, s)) {
		FAIL(rd, "callback_url",
		    "is not under a callback prefix of the account");
		return;
	}
	rd->callback = s;
}

static void
read_dlr(struct reader *rd, const json_t *v)
{
	const char *s = json_is_string(v) ? json_string_value(v) : "";
	uint32_t mask = 0;

	if (strcmp(s, "final") == 0) {
		mask = DLR_FINAL;
	} else if (strcmp(s, "all") == 0) {
		mask = DLR_ALL;
	} else if (strcmp(s, "none") != 0) {
		FAIL(rd, "dlr", "must be none, final or all");
		return;
	}
	rd->has_dlr = true;
	SET(&rd->draft->env, report_mask, mask);
}

static void
read_metadata(struct reader *rd, const json_t *v)
{
	const char *key;
	json_t *value;

	if (!json_is_object(v) || json_object_size(v) > MESSAGE_METADATA) {
		FAIL(rd, "metadata", "must be an object of up to %d strings",
		    MESSAGE_METADATA);
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)v, key, value)
	{
		if (json_is_string(value) && json_string_length(value) <= 500 &&
		    strlen(key) <= 40)
			continue;
		FAIL(rd, "metadata",
		    "names have up to 40 bytes, values are "
		    "strings of up to 500 bytes");
		return;
	}
	free(rd->metadata);
	rd->metadata = json_dumps(v, JSON_COMPACT);
	if (rd->metadata != NULL)
		SET(&rd->draft->report, metadata,
		    pack_bytes(bytes_str(rd->metadata)));
}

static void
read_via(struct reader *rd, const json_t *v)
{
	struct bytes s = json_bytes(v);

	if (s.p == NULL || s.len == 0 || s.len > 64)
		FAIL(rd, "via", "must be the name of a link");
	else
		SET(&rd->draft->env, link, pack_bytes(s));
}

static void
read_tlvs(struct reader *rd, const json_t *v)
{
	Hopyard__V1__Content *c = &rd->draft->content;
	Hopyard__V1__Tlv *tlv;
	size_t i, count = json_array_size(v);
	struct bytes s;
	char place[24];
	uint32_t tag;
	int n;

	if (!json_is_array(v) || count > MESSAGE_TLVS) {
		FAIL(rd, "smpp/tlvs", "must be a list of up to %d objects",
		    MESSAGE_TLVS);
		return;
	}
	for (i = 0; i < count; i++) {
		s = json_bytes(json_object_get(json_array_get(v, i), "value"));
		n = s.p != NULL && s.len <= 2 * MESSAGE_TLV
		    ? form_hex(decoded.tlv[i], s.p, s.len)
		    : -1;
		if (n < 0 ||
		    !json_number(json_object_get(json_array_get(v, i), "tag"),
			1, 0xffff, &tag)) {
			snprintf(place, sizeof(place), "%zu", i);
			fail_at(rd, "/smpp/tlvs", place,
			    "needs a tag (1 to 65535) and a value in hex of "
			    "up to 256 octets");
			return;
		}
		tlv = &rd->draft->tlv[i];
		hopyard__v1__tlv__init(tlv);
		tlv->tag = tag;
		tlv->value = pack_bytes(bytes_of(decoded.tlv[i], (size_t)n));
		rd->draft->tlv_list[i] = tlv;
	}
	c->n_tlv = count;
	c->tlv = rd->draft->tlv_list;
}

static void
read_smpp(struct reader *rd, const json_t *v)
{
	Hopyard__V1__Content *c = &rd->draft->content;
	const struct {
		const char *name;
		json_int_t max;
		protobuf_c_boolean *has;
		uint32_t *value;
	} row[] = {
		{ "source_ton", 7, &c->has_source_ton, &c->source_ton },
		{ "source_npi", 18, &c->has_source_npi, &c->source_npi },
		{ "dest_ton", 7, &c->has_dest_ton, &c->dest_ton },
		{ "dest_npi", 18, &c->has_dest_npi, &c->dest_npi },
		{ "protocol_id", 255, &c->has_protocol_id, &c->protocol_id },
		{ "data_coding", 255, &c->has_data_coding, &c->data_coding },
	};
	const char *key;
	char detail[40];
	json_t *value;
	struct bytes s;
	size_t i;

	if (!json_is_object(v)) {
		FAIL(rd, "smpp", "must be an object");
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)v, key, value)
	{
		if (strcmp(key, "tlvs") == 0) {
			read_tlvs(rd, value);
			continue;
		}
		if (strcmp(key, "service_type") == 0) {
			s = json_bytes(value);
			if (s.p == NULL || s.len > 5)
				FAIL(rd, "smpp/service_type",
				    "must be a string of up to 5 bytes");
			else
				SET(c, service_type, pack_bytes(s));
			continue;
		}
		for (i = 0; i < ARRAY_LEN(row); i++) {
			if (strcmp(key, row[i].name) == 0)
				break;
		}
		if (i == ARRAY_LEN(row)) {
			fail_at(rd, "/smpp", key, "there is no such field");
		} else if (!json_number(value, 0, row[i].max, row[i].value)) {
			snprintf(detail, sizeof(detail), "must be 0 to %d",
			    (int)row[i].max);
			fail_at(rd, "/smpp", key, detail);
		} else {
			*row[i].has = 1;
		}
	}
}

static const struct {
	const char *name;
	void (*read)(struct reader *, const json_t *);
} message_fields[] = {
	{ "to", read_to },
	{ "from", read_from },
	{ "text", read_text },
	{ "data", read_data },
	{ "udh", read_udh },
	{ "encoding", read_encoding },
	{ "class", read_class },
	{ "message_class", read_message_class },
	{ "priority", read_priority },
	{ "validity", read_validity },
	{ "send_at", read_send_at },
	{ "client_ref", read_client_ref },
	{ "callback_url", read_callback_url },
	{ "dlr", read_dlr },
	{ "metadata", read_metadata },
	{ "via", read_via },
	{ "smpp", read_smpp },
};

static void
read_object(struct reader *rd, const json_t *object)
{
	const char *key;
	json_t *value;
	size_t i;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		for (i = 0; i < ARRAY_LEN(message_fields); i++) {
			if (strcmp(key, message_fields[i].name) == 0)
				break;
		}
		if (i < ARRAY_LEN(message_fields)) {
			message_fields[i].read(rd, value);
			continue;
		}
		fail_at(rd, "", key, "there is no such field");
	}
}

/* -------------------------------------------------------------- whole */

static void
read_finish(struct reader *rd)
{
	Hopyard__V1__Envelope *env = &rd->draft->env;
	Hopyard__V1__Content *c = &rd->draft->content;
	Hopyard__V1__Report *rep = &rd->draft->report;
	const struct account *a = rd->src->account;

	if (!env->has_to)
		FAIL(rd, "to", "is missing");
	if (!env->has_from) {
		if (a->pb->default_from != NULL)
			SET(env, from,
			    pack_bytes(bytes_str(a->pb->default_from)));
		else if (rd->src->front->default_sender.len > 0)
			SET(env, from,
			    pack_bytes(rd->src->front->default_sender));
		else
			FAIL(rd, "from",
			    "is missing, and the account has no "
			    "default sender");
	}
	if (env->has_from &&
	    !account_from_allowed(a, bytes_of(env->from.data, env->from.len)))
		FAIL(rd, "from", "is not a sender of this account");
	if (c->has_text && c->has_data)
		FAIL(rd, "data", "cannot stand beside text");
	if (!c->has_text && !c->has_data)
		FAIL(rd, "text", "is missing");
	if (c->has_text && c->coding == HOPYARD__V1__CONTENT__CODING__BINARY)
		FAIL(rd, "encoding", "binary needs data and no text");
	if (c->has_data && c->coding != HOPYARD__V1__CONTENT__CODING__AUTO &&
	    c->coding != HOPYARD__V1__CONTENT__CODING__BINARY)
		FAIL(rd, "encoding", "data can only be binary");
	if (c->has_data)
		SET(c, coding, HOPYARD__V1__CONTENT__CODING__BINARY);

	if (!rd->has_dlr)
		SET(env, report_mask, DLR_FINAL);
	if (env->report_mask == 0)
		return;
	SET(rep, mask, env->report_mask);
	if (rd->callback.p != NULL)
		SET(rep, webhook, pack_bytes(rd->callback));
	else if (a->pb->has_webhook && a->pb->webhook)
		SET(rep, webhook, pack_bytes(bytes_str("account")));
	else
		return;
	SET(rep, account, env->account);
	SET(rep, to, env->to);
	SET(rep, from, env->from);
}

static void
read_plan(struct reader *rd, const struct segment_plan **plan)
{
	unsigned max = rd->src->account->pb->max_parts;

	switch (draft_plan(rd->draft, max, plan)) {
	case SEGMENT_OK:
		break;
	case SEGMENT_MISFIT:
		FAIL(rd, "text",
		    "character U+%04X at byte %zu is not in the alphabet "
		    "of this encoding",
		    (*plan)->misfit.cp, (*plan)->misfit.offset);
		break;
	case SEGMENT_TOO_MANY:
		FAIL(rd, "text", "needs %u parts, the account may send %u",
		    (*plan)->segments, max);
		break;
	case SEGMENT_TOO_LONG:
		FAIL(rd, "text", "is too long");
		break;
	case SEGMENT_BAD_UDH:
		FAIL(rd, "udh", "is not a valid header, or leaves no room");
		break;
	case SEGMENT_BAD_INTENT:
		FAIL(rd, "encoding", "does not go with the other fields");
		break;
	}
}

bool
message_read(const struct message_source *src, const json_t *object,
    const char *base, struct draft *d, const struct segment_plan **plan,
    struct problem_list *list)
{
	struct reader rd = {
		.src = src, .draft = d, .list = list, .base = base
	};
	struct reader shared;

	if (!json_is_object(object)) {
		problem_add(list, base, "", "must be an object");
		return false;
	}
	draft_init(d, src->account, src->origin);
	if (src->defaults != NULL) {
		shared = rd;
		shared.base = "/defaults";
		shared.list = src->tell_defaults ? list : NULL;
		read_object(&shared, src->defaults);
		rd.failed = shared.failed;
		rd.callback = shared.callback;
		rd.has_dlr = shared.has_dlr;
		rd.metadata = shared.metadata;
	}
	read_object(&rd, object);
	if (!rd.failed)
		read_finish(&rd);
	if (!rd.failed)
		read_plan(&rd, plan);
	/* The draft is packed before the next call: only then may it go. */
	static char *kept;
	free(kept);
	kept = rd.metadata;
	return !rd.failed;
}
