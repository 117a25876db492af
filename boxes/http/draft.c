/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/draft.h"

#include <string.h>

#include "boxes/front/account.h"
#include "common/buf.h"

/* Leaves room in a frame for what the other hops add. */
#define DRAFT_MAX (FRAME_MAX_PAYLOAD - 8192)

void
draft_init(
    struct draft *d, const struct account *a, const struct draft_origin *from)
{
	hopyard__v1__envelope__init(&d->env);
	hopyard__v1__origin__init(&d->origin);
	hopyard__v1__content__init(&d->content);
	hopyard__v1__report__init(&d->report);
	d->parts = 1;
	d->encoding = "gsm7";

	uuid_new(d->id);
	d->env.id = draft_bytes(bytes_of(d->id, UUID_LEN));
	d->env.kind = HOPYARD__V1__KIND__MT;
	d->env.has_account = 1;
	d->env.account = draft_bytes(bytes_str(a->pb->id));
	d->env.origin = &d->origin;
	d->origin.has_source = 1;
	d->origin.source = draft_bytes(bytes_str(from->source));
	d->origin.has_credential = 1;
	d->origin.credential = draft_bytes(bytes_str(from->credential));
	if (from->request.len > 0) {
		d->origin.has_request = 1;
		d->origin.request = draft_bytes(from->request);
	}
}

static struct bytes
draft_view(ProtobufCBinaryData b)
{
	return bytes_of(b.data, b.len);
}

enum segment_error
draft_plan(struct draft *d, unsigned max_parts, const struct segment_plan **out)
{
	static struct segment_plan plan;
	static uint8_t encoded[SEGMENT_BUF];
	struct segment_intent in = SEGMENT_INTENT_INIT;
	struct segment_profile profile = { .max_parts = max_parts };
	const Hopyard__V1__Content *c = &d->content;
	enum segment_error err;

	if (c->has_text)
		in.text = draft_view(c->text);
	if (c->has_data)
		in.data = draft_view(c->data);
	if (c->has_udh)
		in.udh = draft_view(c->udh);
	if (c->has_coding)
		in.coding = (enum segment_coding)c->coding;
	if (c->has_data_coding)
		in.data_coding = (int)c->data_coding;
	if (c->has_message_class)
		in.message_class = (int)c->message_class;
	if (c->has_mwi)
		in.mwi = (int)c->mwi;
	if (c->has_alt_dcs)
		in.alt_dcs = (int)c->alt_dcs;
	in.compress = c->has_compress && c->compress;
	if (c->has_esm_class)
		in.esm_class = c->esm_class;

	err = segment_plan(&plan, &in, &profile, encoded, sizeof(encoded));
	*out = &plan;
	if (err == SEGMENT_OK) {
		d->parts = plan.segments;
		d->encoding = plan.encoding;
		d->env.has_parts = 1;
		d->env.parts = plan.segments;
		if (max_parts > 0) {
			d->content.has_max_parts = 1;
			d->content.max_parts = max_parts;
		}
	}
	return err;
}

/* Packs behind what is in b; returns where. */
static size_t
draft_put(struct buf *b, const ProtobufCMessage *m, size_t size)
{
	size_t at = buf_len(b);

	protobuf_c_message_pack(m, buf_reserve(b, size));
	buf_commit(b, size);
	return at;
}

bool
draft_item(struct draft *d, struct item *item)
{
	static struct buf b;
	size_t env, content, report = 0;
	bool reports = d->report.has_url || d->report.has_webhook;

	env = hopyard__v1__envelope__get_packed_size(&d->env);
	content = hopyard__v1__content__get_packed_size(&d->content);
	if (reports)
		report = hopyard__v1__report__get_packed_size(&d->report);
	if (env > DRAFT_MAX || content > DRAFT_MAX - env ||
	    report > DRAFT_MAX - env - content)
		return false;

	buf_clear(&b);
	draft_put(&b, &d->env.base, env);
	draft_put(&b, &d->content.base, content);
	if (reports)
		draft_put(&b, &d->report.base, report);
	memset(item, 0, sizeof(*item));
	item->envelope = bytes_of(buf_data(&b), env);
	item->body = bytes_of(buf_data(&b) + env, content);
	if (reports)
		item->report = bytes_of(buf_data(&b) + env + content, report);
	return true;
}

size_t
draft_number(
    const uint8_t *p, size_t len, uint8_t dst[DRAFT_NUMBER_MAX], size_t *bad)
{
	size_t i = 0, n = 0;

	while (i < len && p[i] == ' ')
		i++;
	if (i < len && p[i] == '+')
		i++;
	else if (len - i > 2 && p[i] == '0' && p[i + 1] == '0')
		i += 2;
	for (; i < len; i++) {
		*bad = i;
		if (p[i] >= '0' && p[i] <= '9') {
			if (n == DRAFT_NUMBER_MAX)
				return 0;
			dst[n++] = p[i];
		} else if (p[i] == '\0' || strchr(" -().", p[i]) == NULL) {
			return 0;
		}
	}
	*bad = len;
	return n;
}

bool
draft_sender_valid(struct bytes s)
{
	size_t i = 0;
	bool digits;

	if (s.len == 0)
		return false;
	if (s.len > 1 && s.p[0] == '+')
		i++;
	for (digits = true; i < s.len; i++) {
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
		digits = digits && s.p[i] >= '0' && s.p[i] <= '9';
	}
	return s.len <= (digits ? DRAFT_NUMBER_MAX : 11);
}
