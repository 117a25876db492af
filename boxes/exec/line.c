/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/exec/line.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/json.h"

#define DETAIL_MAX 200
#define SMSC_ID    64

/* --------------------------------------------------------------- writing */

static void
put_bytes(struct json *j, const char *key, bool has, ProtobufCBinaryData b)
{
	if (has)
		json_text(j, key, b.data, b.len);
}

static void
open_line(struct json *j, struct buf *out, const char *op, uint64_t id)
{
	json_init(j, out);
	json_open_object(j, NULL);
	/* First, so that a program without JSON finds it. */
	json_printf(j, "id", "%llu", (unsigned long long)id);
	json_str(j, "op", op);
}

static void
close_line(struct json *j, struct buf *out)
{
	json_close_object(j);
	buf_addc(out, '\n');
}

static void
put_message(struct json *j, const Hopyard__V1__Envelope *e,
    const Hopyard__V1__Content *c)
{
	json_uuid(j, "message", e->id.data);
	put_bytes(j, "account", e->has_account, e->account);
	put_bytes(j, "to", e->has_to, e->to);
	put_bytes(j, "from", e->has_from, e->from);
	if (e->has_class_ && e->class_ >= 1 && e->class_ <= 4)
		json_str(j, "class", verdict_class_names[e->class_]);
	json_uint(j, "parts", e->parts);
	put_bytes(j, "client_ref", e->has_client_ref, e->client_ref);
	if (e->n_tag > 0) {
		json_open_array(j, "tags");
		for (size_t i = 0; i < e->n_tag; i++)
			json_text(j, NULL, e->tag[i].data, e->tag[i].len);
		json_close_array(j);
	}
	if (c == NULL)
		return;
	put_bytes(j, "text", c->has_text, c->text);
	if (c->has_data)
		json_hex(j, "data", c->data.data, c->data.len);
	if (c->has_udh)
		json_hex(j, "udh", c->udh.data, c->udh.len);
	if (c->has_data_coding)
		json_uint(j, "data_coding", c->data_coding);
}

void
line_put_deliver(struct buf *out, uint64_t id, const Hopyard__V1__Envelope *e,
    const Hopyard__V1__Content *c, const Hopyard__V1__Dispatch *d)
{
	struct json j;

	open_line(&j, out, "deliver", id);
	put_message(&j, e, c);
	json_uint(&j, "attempt", d->attempt);
	json_bool(&j, "possible_dup", d->possible_dup);
	if (d->has_expires_in_ms)
		json_uint(&j, "expires_in_ms", d->expires_in_ms);
	close_line(&j, out);
}

void
line_put_filter(struct buf *out, uint64_t id, const Hopyard__V1__Envelope *e,
    const Hopyard__V1__Content *c, const Hopyard__V1__Ask *a)
{
	bool mo = e->kind == HOPYARD__V1__KIND__MO;
	struct json j;

	open_line(&j, out, "filter", id);
	json_text(&j, "filter", a->filter.data, a->filter.len);
	json_str(&j, "direction", mo ? "mo" : "mt");
	put_message(&j, e, c);
	if (mo)
		put_bytes(&j, "link", e->has_link, e->link);
	if (e->segment != NULL) {
		json_uint(&j, "part", e->segment->number);
		json_uint(&j, "of", e->segment->total);
	}
	json_uint(&j, "deadline_ms", a->deadline_ms);
	close_line(&j, out);
}

void
line_put_ack(struct buf *out, const char *id, const char *code)
{
	struct json j;

	json_init(&j, out);
	json_open_object(&j, NULL);
	json_str(&j, "id", id);
	json_str(&j, "op", "ack");
	json_str(&j, "code", code);
	close_line(&j, out);
}

/* --------------------------------------------------------------- reading */

/* False with a fault: a text was asked for, or a shorter one. */
static bool
get_text(struct line *l, const char *key, size_t max, protobuf_c_boolean *has,
    ProtobufCBinaryData *dst)
{
	json_t *v = json_object_get(l->json, key);

	*has = false;
	if (v == NULL || json_is_null(v))
		return true;
	if (!json_is_string(v) || json_string_length(v) > max) {
		l->fault = "a text is none, or too long";
		return false;
	}
	*has = true;
	dst->data = (uint8_t *)(uintptr_t)json_string_value(v);
	dst->len = json_string_length(v);
	return true;
}

/* A word of a list, as its number; 0: not said; -1: no such word. */
static int
get_word(struct line *l, const char *key, const char *const *words, size_t n)
{
	const char *s = json_string_value(json_object_get(l->json, key));

	if (json_object_get(l->json, key) == NULL)
		return 0;
	for (size_t i = 1; s != NULL && i < n; i++)
		if (words[i] != NULL && strcmp(s, words[i]) == 0)
			return (int)i;
	l->fault = "there is no such word";
	return -1;
}

static bool
get_number(struct line *l, const char *key, int64_t max,
    protobuf_c_boolean *has, uint64_t *dst)
{
	json_t *v = json_object_get(l->json, key);

	*has = false;
	if (v == NULL || json_is_null(v))
		return true;
	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    json_integer_value(v) > max) {
		l->fault = "a number is none, negative or too large";
		return false;
	}
	*has = true;
	*dst = (uint64_t)json_integer_value(v);
	return true;
}

static void
read_result(struct line *l)
{
	static const char *const words[] = { NULL, "ok", "retry", "reroute",
		"fail", "unknown", "not_now", "throttled" };
	Hopyard__V1__Result *r = &l->result;
	protobuf_c_boolean has;
	uint64_t status;
	int code;

	hopyard__v1__result__init(r);
	hopyard__v1__result__part__init(&l->part);
	if ((code = get_word(l, "result", words, ARRAY_LEN(words))) <= 0 ||
	    !get_text(l, "detail", DETAIL_MAX, &r->has_detail, &r->detail) ||
	    !get_text(l, "reason", DETAIL_MAX, &r->has_reason, &r->reason) ||
	    !get_text(l, "smsc_id", SMSC_ID, &l->part.has_smsc_id,
		&l->part.smsc_id) ||
	    !get_number(l, "pause_ms", VERDICT_MS_MAX, &r->has_pause_ms,
		&r->pause_ms) ||
	    !get_number(l, "status", UINT32_MAX, &has, &status))
		return;
	r->code = (Hopyard__V1__Result__Code)code;
	if (has) {
		r->has_status = true;
		r->status = (uint32_t)status;
	}
	r->has_pause_link = r->pause_link = r->has_pause_ms;
	l->part.part = 1;
	if (l->part.has_smsc_id) {
		l->parts[0] = &l->part;
		r->part = l->parts;
		r->n_part = 1;
	}
	l->kind = LINE_RESULT;
}

static struct verdict_value
verdict_of_json(const json_t *v)
{
	struct verdict_value out = { .kind = VERDICT_ODD };

	if (v == NULL || json_is_null(v)) {
		out.kind = VERDICT_ABSENT;
	} else if (json_is_string(v)) {
		out.kind = VERDICT_TEXT;
		out.text =
		    bytes_of(json_string_value(v), json_string_length(v));
	} else if (json_is_integer(v)) {
		out.kind = VERDICT_NUMBER;
		out.number = json_integer_value(v);
	} else if (json_is_array(v)) {
		out.kind = VERDICT_LIST;
		out.count = json_array_size(v);
	}
	return out;
}

static struct verdict_value
verdict_field(void *json, const char *key)
{
	return verdict_of_json(json_object_get(json, key));
}

static struct verdict_value
verdict_tag(void *json, size_t i)
{
	return verdict_of_json(
	    json_array_get(json_object_get(json, "tags"), i));
}

static void
read_verdict(struct line *l)
{
	struct verdict_source from = { verdict_field, verdict_tag, l->json };

	l->fault = verdict_read(&l->verdict, &from);
	l->kind = LINE_VERDICT;
}

static bool
read_addresses(struct line *l)
{
	Hopyard__V1__Envelope *e = &l->envelope;

	hopyard__v1__envelope__init(e);
	return get_text(l, "to", 21, &e->has_to, &e->to) &&
	    get_text(l, "from", 21, &e->has_from, &e->from);
}

static void
read_incoming(struct line *l)
{
	Hopyard__V1__Content *c = &l->content;

	hopyard__v1__content__init(c);
	if (!read_addresses(l) ||
	    !get_text(l, "text", LINE_TEXT, &c->has_text, &c->text))
		return;
	if (l->envelope.to.len == 0 || !c->has_text) {
		l->fault = "a message needs to and text";
		return;
	}
	l->envelope.kind = HOPYARD__V1__KIND__MO;
	l->kind = LINE_MESSAGE;
}

static void
read_receipt(struct line *l)
{
	static const char *const states[] = {
		[HOPYARD__V1__STATE__BUFFERED] = "buffered",
		[HOPYARD__V1__STATE__DELIVERED] = "delivered",
		[HOPYARD__V1__STATE__UNDELIVERABLE] = "undeliverable",
		[HOPYARD__V1__STATE__EXPIRED] = "expired",
		[HOPYARD__V1__STATE__REJECTED] = "rejected",
		[HOPYARD__V1__STATE__CANCELLED] = "cancelled",
		[HOPYARD__V1__STATE__UNKNOWN] = "unknown",
	};
	Hopyard__V1__Notice *n = &l->notice;
	int state;

	hopyard__v1__notice__init(n);
	if (!read_addresses(l) ||
	    (state = get_word(l, "state", states, ARRAY_LEN(states))) < 0 ||
	    !get_text(l, "smsc_id", SMSC_ID, &n->has_smsc_id, &n->smsc_id) ||
	    !get_text(l, "error", 32, &n->has_error, &n->error))
		return;
	if (n->smsc_id.len == 0 || state == 0) {
		l->fault = "a receipt needs smsc_id and state";
		return;
	}
	n->has_state = true;
	n->state = (Hopyard__V1__State)state;
	n->has_to = l->envelope.has_to;
	n->to = l->envelope.to;
	n->has_from = l->envelope.has_from;
	n->from = l->envelope.from;
	hopyard__v1__envelope__init(&l->envelope);
	l->envelope.kind = HOPYARD__V1__KIND__RECEIPT;
	l->kind = LINE_RECEIPT;
}

static bool
read_id(struct line *l)
{
	json_t *v = json_object_get(l->json, "id");
	const char *s = json_string_value(v);
	char *end;

	if (v == NULL)
		return true;
	if (json_is_integer(v) && json_integer_value(v) >= 0) {
		l->id = (uint64_t)json_integer_value(v);
		snprintf(l->name, sizeof(l->name), "%llu",
		    (unsigned long long)l->id);
		return true;
	}
	if (s == NULL || json_string_length(v) >= LINE_ID) {
		l->fault = "id is no text or number, or too long";
		return false;
	}
	snprintf(l->name, sizeof(l->name), "%s", s);
	l->id = strtoull(s, &end, 10);
	if (*end != '\0')
		l->id = 0;
	return true;
}

void
line_read(struct line *l, const char *p, size_t len)
{
	const char *op;

	memset(l, 0, sizeof(*l));
	l->json = json_loadb(p, len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object((json_t *)l->json)) {
		l->fault = "it is no JSON object";
		return;
	}
	if (!read_id(l))
		return;
	op = json_string_value(json_object_get(l->json, "op"));
	if (op == NULL)
		op = json_object_get(l->json, "verdict") != NULL ? "verdict"
								 : "result";
	if (strcmp(op, "result") == 0)
		read_result(l);
	else if (strcmp(op, "verdict") == 0)
		read_verdict(l);
	else if (strcmp(op, "message") == 0)
		read_incoming(l);
	else if (strcmp(op, "receipt") == 0)
		read_receipt(l);
	else
		l->fault = "there is no such op";
	if (l->kind == LINE_BAD && l->fault == NULL)
		l->fault = "result or verdict is missing";
}

void
line_free(struct line *l)
{
	json_decref(l->json);
	l->json = NULL;
}
