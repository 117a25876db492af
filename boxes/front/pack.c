/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/front/pack.h"

#include <string.h>

#include "common/buf.h"

/* Leaves room in a frame for what the other hops add. */
#define PACK_MAX (FRAME_MAX_PAYLOAD - 8192)

static void
pack_put(struct buf *b, const ProtobufCMessage *m, size_t size)
{
	protobuf_c_message_pack(m, buf_reserve(b, size));
	buf_commit(b, size);
}

bool
pack_item(struct item *item, const Hopyard__V1__Envelope *envelope,
    const Hopyard__V1__Content *content, const Hopyard__V1__Report *report)
{
	static struct buf b;
	size_t env, body, rep = 0;

	env = hopyard__v1__envelope__get_packed_size(envelope);
	body = hopyard__v1__content__get_packed_size(content);
	if (report != NULL)
		rep = hopyard__v1__report__get_packed_size(report);
	if (env > PACK_MAX || body > PACK_MAX - env ||
	    rep > PACK_MAX - env - body)
		return false;

	buf_clear(&b);
	pack_put(&b, &envelope->base, env);
	pack_put(&b, &content->base, body);
	if (report != NULL)
		pack_put(&b, &report->base, rep);
	memset(item, 0, sizeof(*item));
	item->envelope = bytes_of(buf_data(&b), env);
	item->body = bytes_of(buf_data(&b) + env, body);
	if (report != NULL)
		item->report = bytes_of(buf_data(&b) + env + body, rep);
	return true;
}
