/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/hook/event.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/uuid.h"
#include "common/xalloc.h"

#define KEYS_MAX    2
#define SECRET_MAX  256
#define SHA256_SIZE 64 /* its block */

/* The states after the padded key: a signature then costs only its own text. */
struct hmac {
	EVP_MD_CTX *inner, *outer;
};

struct event_key {
	struct hmac key[KEYS_MAX];
	size_t count;
	EVP_MD_CTX *work;
};

static const char *const types[] = {
	[HOPYARD__V1__STATE__ACCEPTED] = "message.accepted",
	[HOPYARD__V1__STATE__SCHEDULED] = "message.scheduled",
	[HOPYARD__V1__STATE__QUEUED] = "message.queued",
	[HOPYARD__V1__STATE__SENDING] = "message.sending",
	[HOPYARD__V1__STATE__SUBMITTED] = "message.sent",
	[HOPYARD__V1__STATE__BUFFERED] = "message.buffered",
	[HOPYARD__V1__STATE__DELIVERED] = "message.delivered",
	[HOPYARD__V1__STATE__UNDELIVERABLE] = "message.undelivered",
	[HOPYARD__V1__STATE__EXPIRED] = "message.expired",
	[HOPYARD__V1__STATE__REJECTED] = "message.rejected",
	[HOPYARD__V1__STATE__CANCELLED] = "message.canceled",
	[HOPYARD__V1__STATE__UNKNOWN] = "message.unknown",
	[HOPYARD__V1__STATE__SENT] = "message.sent",
	[HOPYARD__V1__STATE__DEAD] = "message.failed",
};

static Hopyard__V1__State
state_of_mask(uint32_t mask)
{
	if (mask & 1)
		return HOPYARD__V1__STATE__DELIVERED;
	if (mask & 2)
		return HOPYARD__V1__STATE__UNDELIVERABLE;
	if (mask & 8)
		return HOPYARD__V1__STATE__SUBMITTED;
	if (mask & 16)
		return HOPYARD__V1__STATE__REJECTED;
	return HOPYARD__V1__STATE__BUFFERED;
}

static Hopyard__V1__State
state_of(const Hopyard__V1__Notice *n)
{
	if (n->has_state && (unsigned)n->state < ARRAY_LEN(types) &&
	    types[n->state] != NULL)
		return n->state;
	return state_of_mask(n->mask);
}

const char *
event_type(const Hopyard__V1__Notice *n)
{
	return types[state_of(n)];
}

static void
put_bytes(struct json *j, const char *key, ProtobufCBinaryData b)
{
	if (b.len != 0)
		json_text(j, key, b.data, b.len);
}

/* What the client gave is given back: an object stays one. */
static void
put_metadata(struct json *j, ProtobufCBinaryData m)
{
	json_t *object = NULL;

	if (m.len == 0)
		return;
	if (m.data[0] == '{')
		object = json_loadb(
		    (const char *)m.data, m.len, JSON_REJECT_DUPLICATES, NULL);
	if (object != NULL)
		json_raw(j, "metadata", m.data, m.len);
	else
		json_text(j, "metadata", m.data, m.len);
	json_decref(object);
}

static void
put_reason(struct json *j, const Hopyard__V1__Notice *n)
{
	if (n->reason.len == 0 && n->text.len == 0 && n->error.len == 0)
		return;
	json_open_object(j, "reason");
	put_bytes(j, "code", n->reason);
	put_bytes(j, "error", n->error);
	put_bytes(j, "text", n->text);
	json_close_object(j);
}

void
event_status(struct buf *out, const Hopyard__V1__Envelope *e,
    const Hopyard__V1__Notice *n, const Hopyard__V1__Report *r)
{
	const char *type = event_type(n);
	Hopyard__V1__State state = state_of(n);
	uint64_t at = n->has_event_at ? n->event_at : uuid_time_ms(e->id.data);
	struct json j;

	json_init(&j, out);
	json_open_object(&j, NULL);
	json_str(&j, "type", type);
	json_time(&j, "timestamp", at);
	json_open_object(&j, "data");
	json_uuid(&j, "id", e->id.data);
	json_str(&j, "status", type + strlen("message."));
	json_bool(&j, "final", state >= HOPYARD__V1__STATE__DELIVERED);
	put_bytes(&j, "account", e->account);
	put_bytes(&j, "to", r != NULL && r->to.len != 0 ? r->to : e->to);
	put_bytes(
	    &j, "from", r != NULL && r->from.len != 0 ? r->from : e->from);
	put_bytes(&j, "client_ref",
	    r != NULL && r->client_ref.len != 0 ? r->client_ref
						: e->client_ref);
	if (r != NULL)
		put_metadata(&j, r->metadata);
	put_bytes(&j, "link", n->link);
	put_bytes(&j, "smsc_id", n->smsc_id);
	if (n->has_parts)
		json_uint(&j, "parts", n->parts);
	if (n->has_parts_ok)
		json_uint(&j, "parts_ok", n->parts_ok);
	if (n->has_done_at && n->done_at != 0)
		json_time(&j, "done_at", n->done_at);
	put_reason(&j, n);
	json_bool(&j, "possible_dup", n->possible_dup);
	json_close_object(&j);
	json_close_object(&j);
}

static void
put_base64(struct json *j, const char *key, ProtobufCBinaryData b)
{
	size_t cap = (b.len + 2) / 3 * 4 + 1;
	unsigned char *text = xmalloc(cap);
	int n = EVP_EncodeBlock(text, b.data, (int)b.len);

	json_text(j, key, text, (size_t)n);
	free(text);
}

/* Of a message in several: that it is not whole, or which part this is. */
static void
put_parts(struct json *j, const Hopyard__V1__Envelope *e)
{
	const Hopyard__V1__Segment *s = e->segment;

	if (e->parts > 1)
		json_uint(j, "parts", e->parts);
	if (e->has_parts_received) {
		json_bool(j, "partial", true);
		json_uint(j, "parts_received", e->parts_received);
	}
	if (s == NULL)
		return;
	json_open_object(j, "segment");
	json_uint(j, "ref", s->ref);
	json_uint(j, "total", s->total);
	json_uint(j, "number", s->number);
	json_close_object(j);
}

void
event_received(struct buf *out, const Hopyard__V1__Envelope *e,
    const Hopyard__V1__Content *c, const Hopyard__V1__Dispatch *d,
    const char *rule)
{
	uint64_t at = d->has_accepted_at && d->accepted_at != 0
	    ? d->accepted_at
	    : uuid_time_ms(e->id.data);
	struct json j;

	json_init(&j, out);
	json_open_object(&j, NULL);
	json_str(&j, "type", EVENT_RECEIVED);
	json_time(&j, "timestamp", at);
	json_open_object(&j, "data");
	json_uuid(&j, "id", e->id.data);
	json_str(&j, "status", "received");
	put_bytes(&j, "account", e->account);
	put_bytes(&j, "to", e->to);
	put_bytes(&j, "from", e->from);
	if (c->has_text)
		json_text(&j, "text", c->text.data, c->text.len);
	else if (c->has_data)
		put_base64(&j, "data", c->data);
	if (c->has_udh && c->udh.len != 0)
		json_hex(&j, "udh", c->udh.data, c->udh.len);
	put_parts(&j, e);
	put_bytes(&j, "keyword", e->keyword);
	put_bytes(&j, "link", e->link);
	if (rule != NULL)
		json_str(&j, "rule", rule);
	json_bool(&j, "possible_dup", d->possible_dup || e->possible_dup);
	json_close_object(&j);
	json_close_object(&j);
}

const char *
event_id(const uint8_t id[16], uint64_t ref, char dst[EVENT_ID_MAX])
{
	char digits[24];
	size_t i = sizeof(digits);

	uuid_format(id, dst);
	digits[--i] = '\0';
	do {
		digits[--i] = (char)('0' + ref % 10);
		ref /= 10;
	} while (ref != 0);
	digits[--i] = '_';
	memcpy(dst + UUID_TEXT_LEN - 1, digits + i, sizeof(digits) - i);
	return dst;
}

/* -------------------------------------------------------------- signature */

static void
hmac_init(struct hmac *h, const uint8_t *secret, size_t len)
{
	uint8_t pad[SHA256_SIZE] = { 0 }, block[SHA256_SIZE];

	if (len > sizeof(pad))
		SHA256(secret, len, pad);
	else
		memcpy(pad, secret, len);
	h->inner = EVP_MD_CTX_new();
	h->outer = EVP_MD_CTX_new();
	assert(h->inner != NULL && h->outer != NULL);
	for (size_t i = 0; i < sizeof(pad); i++)
		block[i] = pad[i] ^ 0x36;
	if (EVP_DigestInit_ex(h->inner, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(h->inner, block, sizeof(block)) != 1)
		abort();
	for (size_t i = 0; i < sizeof(pad); i++)
		block[i] = pad[i] ^ 0x5c;
	if (EVP_DigestInit_ex(h->outer, EVP_sha256(), NULL) != 1 ||
	    EVP_DigestUpdate(h->outer, block, sizeof(block)) != 1)
		abort();
	OPENSSL_cleanse(pad, sizeof(pad));
	OPENSSL_cleanse(block, sizeof(block));
}

/* Length of the decoded bytes, 0 when the text is no base64. */
static size_t
decode_base64(const char *text, size_t len, uint8_t *dst)
{
	size_t padding = 0;
	int n;

	if (len == 0 || len % 4 != 0 || len > SECRET_MAX)
		return 0;
	while (padding < 2 && text[len - 1 - padding] == '=')
		padding++;
	n = EVP_DecodeBlock(dst, (const unsigned char *)text, (int)len);
	return n < 0 || (size_t)n < padding ? 0 : (size_t)n - padding;
}

static bool
key_add(struct event_key *k, const char *secret, size_t len)
{
	uint8_t raw[SECRET_MAX];
	size_t n;

	if (len == 0 || len > SECRET_MAX || k->count == KEYS_MAX)
		return false;
	if (len > 6 && memcmp(secret, "whsec_", 6) == 0) {
		n = decode_base64(secret + 6, len - 6, raw);
		if (n == 0)
			return false;
	} else {
		memcpy(raw, secret, len);
		n = len;
	}
	hmac_init(&k->key[k->count++], raw, n);
	OPENSSL_cleanse(raw, sizeof(raw));
	return true;
}

struct event_key *
event_key_new(const char *secret)
{
	struct event_key *k = xcalloc(1, sizeof(*k));
	const char *p = secret;
	size_t n;

	k->work = EVP_MD_CTX_new();
	assert(k->work != NULL);
	do {
		n = strcspn(p, " ");
		if (!key_add(k, p, n)) {
			event_key_free(k);
			return NULL;
		}
		p += n + (p[n] == ' ');
	} while (*p != '\0');
	return k;
}

void
event_key_free(struct event_key *k)
{
	if (k == NULL)
		return;
	for (size_t i = 0; i < k->count; i++) {
		EVP_MD_CTX_free(k->key[i].inner);
		EVP_MD_CTX_free(k->key[i].outer);
	}
	EVP_MD_CTX_free(k->work);
	free(k);
}

const char *
event_sign(const struct event_key *k, const char *id, uint64_t timestamp,
    const void *body, size_t len, char dst[EVENT_SIGNATURE_MAX])
{
	char head[EVENT_ID_MAX + 32];
	uint8_t digest[32];
	unsigned n = sizeof(digest);
	size_t used = 0;
	int head_len;

	head_len = snprintf(
	    head, sizeof(head), "%s.%llu.", id, (unsigned long long)timestamp);
	assert(head_len > 0 && (size_t)head_len < sizeof(head));
	for (size_t i = 0; i < k->count; i++) {
		if (EVP_MD_CTX_copy_ex(k->work, k->key[i].inner) != 1 ||
		    EVP_DigestUpdate(k->work, head, (size_t)head_len) != 1 ||
		    EVP_DigestUpdate(k->work, body, len) != 1 ||
		    EVP_DigestFinal_ex(k->work, digest, &n) != 1 ||
		    EVP_MD_CTX_copy_ex(k->work, k->key[i].outer) != 1 ||
		    EVP_DigestUpdate(k->work, digest, sizeof(digest)) != 1 ||
		    EVP_DigestFinal_ex(k->work, digest, &n) != 1)
			abort();
		if (i > 0)
			dst[used++] = ' ';
		memcpy(dst + used, "v1,", 3);
		used += 3;
		used += (size_t)EVP_EncodeBlock(
		    (unsigned char *)dst + used, digest, sizeof(digest));
	}
	dst[used] = '\0';
	return dst;
}
