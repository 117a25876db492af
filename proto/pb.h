/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pb.h - packs protobuf messages in one pass: the same bytes as protobuf-c's
 * pack, which is asked for the size of everything first.
 *
 * It works from the last byte to the first, so that the length of a part is
 * known when it is due.  Knows the types that bus.proto uses, and those alone.
 */
#ifndef PROTO_PB_H
#define PROTO_PB_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

/*
 * Writes the message so that it ends before `end`; returns its first byte, or
 * NULL when it does not fit behind `start`.
 */
uint8_t *pb_pack_back(
    const ProtobufCMessage *, const uint8_t *start, uint8_t *end);

/* Of one value in memory, of any type. */
size_t pb_size(ProtobufCType);

#endif
