/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict.h - a verdict in words, as programs and scripts say it: hop-exec(8)
 * lists the fields.  Pure: no I/O, no log.
 *
 * Where the words come from (an object of JSON, a table of Lua) is the matter
 * of a struct verdict_source.
 */
#ifndef BOXES_FILTER_VERDICT_H
#define BOXES_FILTER_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/bytes.h"

#define VERDICT_TEXT_MAX 65536
#define VERDICT_TAGS     8
/* Durations, in milliseconds: no longer than a month. */
#define VERDICT_MS_MAX (31ll * 24 * 3600 * 1000)

struct verdict_value {
	enum verdict_kind {
		VERDICT_ABSENT = 0,
		VERDICT_TEXT,   /* text */
		VERDICT_NUMBER, /* number: a whole one */
		VERDICT_LIST,   /* count */
		VERDICT_ODD,    /* anything else */
	} kind;
	struct bytes text;
	int64_t number;
	size_t count;
};

/* Texts live as long as the verdict that is read from them. */
struct verdict_source {
	struct verdict_value (*field)(void *arg, const char *key);
	struct verdict_value (*tag)(void *arg, size_t i);
	void *arg;
};

struct verdict {
	Hopyard__V1__Verdict v; /* without ref, body and parts */
	ProtobufCBinaryData tag[VERDICT_TAGS];
	protobuf_c_boolean has_text;
	ProtobufCBinaryData text; /* the new one */
};

/* NULL, or what is wrong with it, which is valid until the next call. */
const char *verdict_read(
    struct verdict *, const struct verdict_source *) WARN_UNUSED;
/* Whether a verdict has such a field. */
bool verdict_has_field(struct bytes key);

/* "otp", by Hopyard__V1__Class; VERDICT_CLASSES of them, [0] is NULL. */
#define VERDICT_CLASSES 5
extern const char *const verdict_class_names[VERDICT_CLASSES];

#endif
