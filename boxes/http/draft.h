/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * draft.h - a message between the request that asks for it and the bus: the
 * three protobuf messages of an item, filled by the dialect, checked and
 * planned here.
 *
 * All bytes in a draft are borrowed; it lives on the stack of its handler.
 */
#ifndef HTTP_DRAFT_H
#define HTTP_DRAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "common/uuid.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/frame.h"
#include "proto/segment.h"

struct account;

/* Who asks; the same for all drafts of a request. */
struct draft_origin {
	const char *source;
	const char *credential; /* "user:demo", "key:1f2e3d4c"; no secret */
	struct bytes request;   /* X-Request-Id, may be absent */
};

struct draft {
	Hopyard__V1__Envelope env;
	Hopyard__V1__Origin origin;
	Hopyard__V1__Content content;
	Hopyard__V1__Report report;
	Hopyard__V1__Tlv tlv[16];
	Hopyard__V1__Tlv *tlv_list[16];
	uint8_t id[UUID_LEN];
	/* Of the plan. */
	unsigned parts;
	const char *encoding;
};

/* Everything unset, a new id, account and origin filled in. */
void draft_init(
    struct draft *, const struct account *, const struct draft_origin *);

/*
 * Plans the parts for the standard profile and puts their number into the
 * envelope.  The plan is borrowed, valid until the next call.
 */
enum segment_error draft_plan(
    struct draft *, unsigned max_parts, const struct segment_plan **plan);

/*
 * The item for SUBMIT, in memory that the next call uses again.  false when it
 * would not fit into a frame.
 */
bool draft_item(const struct draft *, struct item *) WARN_UNUSED;

#endif
