/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/out.h"

#include <string.h>

#include "common/box.h"
#include "common/log.h"

#define OUT_CONTEXT_MAX 4096

void
out_init(struct out *o, struct box *box, uint16_t type, uint64_t correlation)
{
	memset(o, 0, sizeof(*o));
	o->box = box;
	o->type = type;
	o->correlation = correlation;
	buf_init(&o->buf);
}

static void
out_frame(struct out *o, bool more, uint64_t upto, uint64_t upto_due_at)
{
	uint8_t *head = buf_reserve(&o->buf, ITEMS_HEAD);

	/* Fields may come in any order: the head stands at the end. */
	buf_commit(
	    &o->buf, items_put_head(head, 1, 0, more, upto, upto_due_at));
	box_send_raw(o->box, o->type, o->correlation, buf_data(&o->buf),
	    buf_len(&o->buf));
	buf_clear(&o->buf);
	o->count = 0;
}

void
out_add(struct out *o, const struct item *it, const Hopyard__V1__Paged *paged)
{
	uint8_t context[OUT_CONTEXT_MAX];
	struct item full = *it;
	size_t size;

	full.context.len = hopyard__v1__paged__get_packed_size(paged);
	if (full.context.len > sizeof(context)) {
		log_error("out.context", "seq=%llu len=%zu",
		    (unsigned long long)paged->seq, full.context.len);
		return;
	}
	hopyard__v1__paged__pack(paged, context);
	full.context.p = context;
	size = item_size(&full);
	if (size > FRAME_MAX_PAYLOAD - ITEMS_HEAD) {
		log_error("out.item", "seq=%llu len=%zu",
		    (unsigned long long)paged->seq, size);
		return;
	}
	if (o->count == FRAME_MAX_ITEMS ||
	    buf_len(&o->buf) + size > FRAME_MAX_PAYLOAD - ITEMS_HEAD)
		out_frame(o, true, 0, 0);
	item_put(buf_reserve(&o->buf, size), &full);
	buf_commit(&o->buf, size);
	o->count++;
	o->total++;
	o->bytes += size;
}

void
out_end(struct out *o, uint64_t upto, uint64_t upto_due_at, bool always)
{
	if (o->count > 0 || always)
		out_frame(o, false, upto, upto_due_at);
	buf_fini(&o->buf);
}
