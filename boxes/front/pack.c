/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/front/pack.h"

#include <string.h>

#include "proto/pb.h"

/* Leaves room in a frame for what the other hops add. */
#define PACK_MAX (FRAME_MAX_PAYLOAD - 8192)

/* Packs in front of *end and moves it there. */
static bool
pack_before(const uint8_t *start, uint8_t **end, const ProtobufCMessage *m,
    struct bytes *to)
{
	uint8_t *p = pb_pack_back(m, start, *end);

	if (p == NULL)
		return false;
	*to = bytes_of(p, (size_t)(*end - p));
	*end = p;
	return true;
}

bool
pack_item(struct item *item, const Hopyard__V1__Envelope *envelope,
    const Hopyard__V1__Content *content, const Hopyard__V1__Report *report)
{
	static uint8_t space[PACK_MAX];
	uint8_t *end = space + sizeof(space);

	memset(item, 0, sizeof(*item));
	return (report == NULL ||
		   pack_before(space, &end, &report->base, &item->report)) &&
	    pack_before(space, &end, &content->base, &item->body) &&
	    pack_before(space, &end, &envelope->base, &item->envelope);
}
