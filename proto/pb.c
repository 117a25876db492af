/* SPDX-License-Identifier: BSD-2-Clause */
#include "proto/pb.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define PB_VARINT 0
#define PB_BYTES  2

/* What was written begins at `p`, which is NULL once something did not fit
 * behind `start`. */
struct pb {
	const uint8_t *start;
	uint8_t *p;
};

static void pb_put_message(struct pb *, const ProtobufCMessage *);

static inline uint8_t *
pb_room(struct pb *b, size_t n)
{
	if (b->p == NULL || n > (size_t)(b->p - b->start))
		return b->p = NULL;
	return b->p -= n;
}

static inline void
pb_put_varint(struct pb *b, uint64_t v)
{
	uint64_t rest = v;
	size_t n = 1;
	uint8_t *p;

	if (v < 0x80 && b->p != NULL && b->p > b->start) {
		*--b->p = (uint8_t)v;
		return;
	}
	while ((rest >>= 7) > 0)
		n++;
	if ((p = pb_room(b, n)) == NULL)
		return;
	for (; n > 1; n--, v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p = (uint8_t)v;
}

static inline void
pb_put_tag(struct pb *b, uint32_t id, unsigned wire)
{
	pb_put_varint(b, (uint64_t)id << 3 | wire);
}

static inline void
pb_put_raw(struct pb *b, const void *data, size_t len)
{
	uint8_t *p = pb_room(b, len);

	if (p != NULL && len > 0)
		memcpy(p, data, len);
}

static void
pb_put_bytes(struct pb *b, uint32_t id, const void *data, size_t len)
{
	pb_put_raw(b, data, len);
	pb_put_varint(b, len);
	pb_put_tag(b, id, PB_BYTES);
}

/* The number of a scalar as it stands on the wire. */
static inline uint64_t
pb_scalar(ProtobufCType type, const void *member)
{
	switch (type) {
	case PROTOBUF_C_TYPE_UINT32:
		return *(const uint32_t *)member;
	case PROTOBUF_C_TYPE_UINT64:
		return *(const uint64_t *)member;
	case PROTOBUF_C_TYPE_BOOL:
		return *(const protobuf_c_boolean *)member ? 1 : 0;
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_ENUM:
		/* A negative one has the sign in all 64 bits. */
		return (uint64_t)(int64_t) * (const int32_t *)member;
	default:
		assert(!"a type that bus.proto does not use");
		return 0;
	}
}

size_t
pb_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

static void
pb_put_value(
    struct pb *b, const ProtobufCFieldDescriptor *f, const void *member)
{
	const ProtobufCBinaryData *data;
	const ProtobufCMessage *m;
	const uint8_t *end;
	const char *s;

	switch (f->type) {
	case PROTOBUF_C_TYPE_BYTES:
		data = member;
		pb_put_bytes(b, f->id, data->data, data->len);
		break;
	case PROTOBUF_C_TYPE_STRING:
		s = *(char *const *)member;
		pb_put_bytes(b, f->id, s, s != NULL ? strlen(s) : 0);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		m = *(ProtobufCMessage *const *)member;
		if ((end = b->p) == NULL)
			return;
		if (m != NULL)
			pb_put_message(b, m);
		if (b->p == NULL)
			return;
		pb_put_varint(b, (uint64_t)(end - b->p));
		pb_put_tag(b, f->id, PB_BYTES);
		break;
	default:
		pb_put_varint(b, pb_scalar(f->type, member));
		pb_put_tag(b, f->id, PB_VARINT);
		break;
	}
}

static void
pb_put_repeated(
    struct pb *b, const ProtobufCFieldDescriptor *f, const uint8_t *message)
{
	size_t n =
	    *(const size_t *)(const void *)(message + f->quantifier_offset);
	const uint8_t *list =
	    *(uint8_t *const *)(const void *)(message + f->offset);
	size_t size = pb_size(f->type);
	const uint8_t *end;

	if (n == 0 || b->p == NULL)
		return;
	if ((f->flags & PROTOBUF_C_FIELD_FLAG_PACKED) == 0) {
		while (n-- > 0)
			pb_put_value(b, f, list + n * size);
		return;
	}
	end = b->p;
	while (n-- > 0 && b->p != NULL)
		pb_put_varint(b, pb_scalar(f->type, list + n * size));
	if (b->p == NULL)
		return;
	pb_put_varint(b, (uint64_t)(end - b->p));
	pb_put_tag(b, f->id, PB_BYTES);
}

static inline bool
pb_has(const ProtobufCFieldDescriptor *f, const uint8_t *message)
{
	const void *p;

	if (f->type == PROTOBUF_C_TYPE_STRING ||
	    f->type == PROTOBUF_C_TYPE_MESSAGE) {
		p = *(void *const *)(const void *)(message + f->offset);
		return p != NULL && p != f->default_value;
	}
	return *(const protobuf_c_boolean *)(const void *)(message +
		   f->quantifier_offset) != 0;
}

/* Fields that we do not know, as a newer sender put them. */
static void
pb_put_unknown(struct pb *b, const ProtobufCMessage *m)
{
	const ProtobufCMessageUnknownField *u;
	unsigned i;

	for (i = m->n_unknown_fields; i > 0; i--) {
		u = &m->unknown_fields[i - 1];
		pb_put_raw(b, u->data, u->len);
		pb_put_tag(b, u->tag, u->wire_type);
	}
}

static void
pb_put_message(struct pb *b, const ProtobufCMessage *m)
{
	const uint8_t *message = (const uint8_t *)m;
	const ProtobufCFieldDescriptor *first = m->descriptor->fields;
	const ProtobufCFieldDescriptor *f = first + m->descriptor->n_fields;

	if (m->n_unknown_fields > 0)
		pb_put_unknown(b, m);
	while (f-- > first) {
		/* Most are optional and not there. */
		if (f->label == PROTOBUF_C_LABEL_OPTIONAL) {
			if (pb_has(f, message))
				pb_put_value(b, f, message + f->offset);
		} else if (f->label == PROTOBUF_C_LABEL_REQUIRED) {
			pb_put_value(b, f, message + f->offset);
		} else {
			assert(f->label == PROTOBUF_C_LABEL_REPEATED);
			pb_put_repeated(b, f, message);
		}
	}
}

/* It is written to.  NOLINTBEGIN(readability-non-const-parameter) */
uint8_t *
pb_pack_back(const ProtobufCMessage *m, const uint8_t *start, uint8_t *end)
{
	struct pb b = { start, end };

	pb_put_message(&b, m);
	return b.p;
}
/* NOLINTEND(readability-non-const-parameter) */
