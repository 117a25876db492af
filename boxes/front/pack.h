/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pack.h - from the protobuf messages of a customer's message to the item that
 * is submitted.
 */
#ifndef BOXES_FRONT_PACK_H
#define BOXES_FRONT_PACK_H

#include <stdbool.h>

#include "common/attr.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"

/* Both borrow. */
static inline ProtobufCBinaryData
pack_bytes(struct bytes b)
{
	return (ProtobufCBinaryData){ b.len, (uint8_t *)(uintptr_t)b.p };
}

static inline struct bytes
pack_view(protobuf_c_boolean has, ProtobufCBinaryData b)
{
	return has ? bytes_of(b.data, b.len) : bytes_of(NULL, 0);
}

/*
 * The item for SUBMIT, in memory that the next call uses again; the Report may
 * be NULL.  false when it would not fit into a frame.
 */
bool pack_item(struct item *, const Hopyard__V1__Envelope *,
    const Hopyard__V1__Content *, const Hopyard__V1__Report *) WARN_UNUSED;

#endif
