/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * join.h - several Contents into one: the parts of a message that came from a
 * handset, in their order.
 *
 * The joined one is the first with the text, or the octets, of all.  Where some
 * parts have text and others octets it has octets, text as UTF-8.  What made
 * the parts parts is left out: the concatenation IE of the header and the sar
 * TLVs.  A character of which each of two parts has one half, which its text
 * could not say, is made whole from the octets in `raw`.
 */
#ifndef PROTO_JOIN_H
#define PROTO_JOIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hopyard/v1/bus.pb-c.h"
#include "proto/udh.h"

struct join {
	uint8_t *dst;
	size_t cap, len;
	bool octets;   /* a part had no text */
	uint16_t half; /* of a UTF-16 pair, at the end of the last part; or 0 */
	uint8_t udh[UDH_MAX + 1];
};

/* Text goes to dst, which has to live as long as the result is used. */
void join_init(struct join *, uint8_t *dst, size_t cap);
/* The next part.  False: there is no room for it, and nothing was added. */
bool join_add(struct join *, const Hopyard__V1__Content *);
/* Makes the first part's Content the joined one; it points into the join. */
void join_finish(struct join *, Hopyard__V1__Content *first);

#endif
