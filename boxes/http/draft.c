/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/draft.h"

#include <string.h>

#include "boxes/front/account.h"
#include "boxes/front/plan.h"
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

enum segment_error
draft_plan(struct draft *d, unsigned max_parts, const struct segment_plan **out)
{
	enum segment_error err = plan_content(&d->content, max_parts, out);
	const struct segment_plan *plan = *out;

	if (err == SEGMENT_OK) {
		d->parts = plan->segments;
		d->encoding = plan->encoding;
		d->env.has_parts = 1;
		d->env.parts = plan->segments;
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
