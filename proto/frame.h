/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame.h - the 16-byte frame header and the Items level, bytes <-> views.
 * Pure functions; views are borrowed from the input.
 *
 *	0  u32 payload length    little-endian throughout
 *	4  u16 type              enum FrameType of bus.proto
 *	6  u16 flags             FRAME_IGNORABLE
 *	8  u64 correlation       echoed in answers, 0 = none
 *	16 payload               one protobuf message
 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "proto/bytes.h"

#define FRAME_HEADER      16
#define FRAME_MAX_PAYLOAD (256 * 1024)
#define FRAME_MAX_HELLO   4096 /* before the Hello is accepted */
#define FRAME_MAX_ITEMS   1024
#define FRAME_IGNORABLE   0x0001 /* an unknown type may be skipped */

struct frame {
	uint16_t type;
	uint16_t flags;
	uint64_t correlation;
	const uint8_t *payload;
	size_t len;
};

/*
 * One frame at p: its whole size in bytes, 0 when more bytes are needed, or <0
 * when the length is over max_payload.
 */
int frame_decode(
    struct frame *, const uint8_t *p, size_t len, size_t max_payload);
void frame_put_header(uint8_t dst[FRAME_HEADER], size_t payload, uint16_t type,
    uint16_t flags, uint64_t correlation);

/* ------------------------------------------------------------------ Items */

struct item {
	struct bytes envelope, body, report, context;
};

/* Walks a payload of type Items. */
struct items {
	uint64_t first; /* valid after items_open() */
	uint64_t epoch;
	uint64_t upto;
	uint64_t upto_due_at;
	bool more;
	size_t count;    /* number of items in all */
	uint64_t number; /* of the item that items_next() returned last */
	const uint8_t *pos, *end;
	size_t seen;
};

/* Checks the whole level first: false when it is malformed or has more than
 * FRAME_MAX_ITEMS. */
bool items_open(struct items *, const uint8_t *payload, size_t len);
bool items_next(struct items *, struct item *);

/* Bytes that item_put() will need for this item. */
size_t item_size(const struct item *);
/* Writes one `item` field; returns the end.  dst has item_size() bytes. */
uint8_t *item_put(uint8_t *dst, const struct item *);
/*
 * The fields around the items.  At most ITEMS_HEAD bytes; returns the number.
 * Zero values are left out, except first.
 */
#define ITEMS_HEAD 64
size_t items_put_head(uint8_t *dst, uint64_t first, uint64_t epoch, bool more,
    uint64_t upto, uint64_t upto_due_at);
/* Sum of the four lengths: what Credit counts. */
size_t item_bytes(const struct item *);
/* Envelope, body and report, one behind the other. */
void item_copy(uint8_t *dst, const struct item *);

/* -------------------------------------------------------- bounded unpack */

/*
 * Limits of one payload.  FIELDS: an Ack that refuses each of 1,024 items has
 * 4,097 fields.  UNKNOWN is per message, all others are in all.
 */
#define FRAME_MAX_DEPTH   6
#define FRAME_MAX_FIELDS  8192
#define FRAME_MAX_PACKED  65536
#define FRAME_MAX_UNKNOWN 16

/*
 * Checks a protobuf payload before protobuf-c sees it: the limits above,
 * lengths inside their parent, wire types as the descriptor says, no groups,
 * no NUL in strings (protobuf-c would cut there).  Text is not checked to be
 * UTF-8, and enums may have any value: both are the reader's business.
 */
bool frame_scan(const ProtobufCMessageDescriptor *, const uint8_t *, size_t);

/* A bump allocator of fixed budget for protobuf-c; reset, never freed one by
 * one. */
struct arena {
	ProtobufCAllocator allocator; /* hand this to protobuf-c */
	uint8_t *base;
	size_t cap, used;
};
void arena_init(struct arena *, void *memory, size_t cap);
void arena_reset(struct arena *);

/*
 * frame_scan() and unpack in one; NULL when either fails.  The message lives
 * in the arena until its reset.
 */
void *frame_unpack(struct arena *, const ProtobufCMessageDescriptor *,
    const uint8_t *, size_t);

#endif
