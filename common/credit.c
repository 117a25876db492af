/* SPDX-License-Identifier: BSD-2-Clause */
#include "common/credit.h"

#include "common/box.h"
#include "proto/frame.h"

void
credit_take(struct credit *c, const struct item *it)
{
	size_t bytes = item_bytes(it);

	c->items -= c->items > 0;
	c->bytes -= bytes < c->bytes ? bytes : c->bytes;
}

void
credit_grant(struct credit *c, struct box *box, uint64_t have, uint64_t most,
    uint64_t bytes)
{
	uint64_t more = 0;

	have += c->items;
	if (!box_ready(box) || have >= most)
		return;
	if (c->bytes < bytes) {
		more = bytes - c->bytes;
		c->bytes = bytes;
	}
	box_grant(box, most - have, more);
	c->items += most - have;
}
