/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frame.c - frame header, the Items level by hand, and the check that stands
 * between the network and protobuf-c.
 *
 * Invariants: nothing here reads past the given end, allocates (but from the
 * caller's arena) or keeps state; all lengths are compared by subtraction.
 */
#include "proto/frame.h"

#include <assert.h>
#include <string.h>

#define FRAME_TAG_BYTES(field) ((uint8_t)((field) << 3 | 2))

/* Field numbers of Items and Item in bus.proto. */
enum {
	ITEMS_FIRST = 1,
	ITEMS_ITEM = 2,
	ITEMS_EPOCH = 3,
	ITEMS_MORE = 4,
	ITEMS_UPTO = 5,
	ITEMS_UPTO_DUE_AT = 6,
	ITEM_ENVELOPE = 1,
	ITEM_BODY = 2,
	ITEM_REPORT = 3,
	ITEM_CONTEXT = 4,
};

/* --------------------------------------------------------------- header */

static inline void
frame_put_le(uint8_t *dst, uint64_t v, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++, v >>= 8)
		dst[i] = (uint8_t)v;
}

static inline uint64_t
frame_get_le(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	while (n-- > 0)
		v = v << 8 | p[n];
	return v;
}

int
frame_decode(struct frame *f, const uint8_t *p, size_t len, size_t max_payload)
{
	size_t payload;

	assert(max_payload <= FRAME_MAX_PAYLOAD);
	if (len < 4)
		return 0;
	/* Refused before the rest has come: nobody waits for a gigabyte. */
	payload = (size_t)frame_get_le(p, 4);
	if (payload > max_payload)
		return -1;
	if (len < FRAME_HEADER || len - FRAME_HEADER < payload)
		return 0;
	f->type = (uint16_t)frame_get_le(p + 4, 2);
	f->flags = (uint16_t)frame_get_le(p + 6, 2);
	f->correlation = frame_get_le(p + 8, 8);
	f->payload = p + FRAME_HEADER;
	f->len = payload;
	return (int)(FRAME_HEADER + payload);
}

void
frame_put_header(uint8_t dst[FRAME_HEADER], size_t payload, uint16_t type,
    uint16_t flags, uint64_t correlation)
{
	assert(payload <= FRAME_MAX_PAYLOAD);
	frame_put_le(dst, payload, 4);
	frame_put_le(dst + 4, type, 2);
	frame_put_le(dst + 6, flags, 2);
	frame_put_le(dst + 8, correlation, 8);
}

/* --------------------------------------------------- reading one field */

/* One field as it stands on the wire. */
struct wire_field {
	uint32_t number;
	uint32_t wire; /* 0 varint, 1 64 bits, 2 bytes, 5 32 bits */
	uint64_t value;
	const uint8_t *p; /* wire 2: value is its length */
};

/* The byte after the varint at p, or NULL. */
static inline const uint8_t *
frame_varint(const uint8_t *p, const uint8_t *end, uint64_t *value)
{
	uint64_t v;
	unsigned shift;

	if (p < end && *p < 0x80) {
		*value = *p;
		return p + 1;
	}
	/* The length of most items and envelopes. */
	if (end - p >= 2 && p[1] < 0x80) {
		*value = (uint64_t)(p[0] & 0x7f) | (uint64_t)p[1] << 7;
		return p + 2;
	}
	for (v = 0, shift = 0; p < end && shift < 64; shift += 7) {
		v |= (uint64_t)(*p & 0x7f) << shift;
		if (*p++ >= 0x80)
			continue;
		/* The tenth byte has room for one bit. */
		if (shift == 63 && p[-1] > 1)
			return NULL;
		*value = v;
		return p;
	}
	return NULL;
}

/* The byte after the field at p, or NULL when it is malformed or a group. */
static inline __attribute__((always_inline)) const uint8_t *
frame_field(const uint8_t *p, const uint8_t *end, struct wire_field *f)
{
	uint64_t key;

	p = frame_varint(p, end, &key);
	if (p == NULL || key > UINT32_MAX || key >> 3 == 0)
		return NULL;
	f->number = (uint32_t)key >> 3;
	f->wire = (uint32_t)key & 7;
	f->value = 0;
	f->p = p;
	switch (f->wire) {
	case 0:
		return frame_varint(p, end, &f->value);
	case 1:
		return end - p >= 8 ? p + 8 : NULL;
	case 2:
		p = frame_varint(p, end, &f->value);
		if (p == NULL || f->value > (uint64_t)(end - p))
			return NULL;
		f->p = p;
		return p + f->value;
	case 5:
		return end - p >= 4 ? p + 4 : NULL;
	default: /* 3 and 4 are groups, 6 and 7 do not exist */
		return NULL;
	}
}

/* ---------------------------------------------------------------- Items */

/* Splits an Item into its four byte strings. */
static bool
item_read(struct item *item, const uint8_t *p, const uint8_t *end)
{
	struct wire_field f;
	unsigned unknown = 0;
	struct bytes *dst;

	memset(item, 0, sizeof(*item));
	while (p < end) {
		p = frame_field(p, end, &f);
		if (p == NULL)
			return false;
		switch (f.number) {
		case ITEM_ENVELOPE:
			dst = &item->envelope;
			break;
		case ITEM_BODY:
			dst = &item->body;
			break;
		case ITEM_REPORT:
			dst = &item->report;
			break;
		case ITEM_CONTEXT:
			dst = &item->context;
			break;
		default:
			if (++unknown > FRAME_MAX_UNKNOWN)
				return false;
			continue;
		}
		/* Twice the same field: protobuf's rule is that the last wins,
		 * but two readers could still see two messages. */
		if (f.wire != 2 || dst->p != NULL)
			return false;
		dst->p = f.p;
		dst->len = (size_t)f.value;
	}
	return true;
}

bool
items_open(struct items *it, const uint8_t *payload, size_t len)
{
	const uint8_t *p = payload, *end = payload + len;
	struct wire_field f;
	struct item item;
	unsigned unknown = 0;
	unsigned heads = 0;
	bool have_first = false;

	memset(it, 0, sizeof(*it));
	while (p < end) {
		p = frame_field(p, end, &f);
		if (p == NULL)
			return false;
		if (f.number == ITEMS_ITEM) {
			if (f.wire != 2 || ++it->count > FRAME_MAX_ITEMS ||
			    !item_read(&item, f.p, p))
				return false;
			continue;
		}
		if (f.number > ITEMS_UPTO_DUE_AT) {
			if (++unknown > FRAME_MAX_UNKNOWN)
				return false;
			continue;
		}
		if (f.wire != 0 || (heads & 1u << f.number) != 0)
			return false;
		heads |= 1u << f.number;
		switch (f.number) {
		case ITEMS_FIRST:
			it->first = f.value;
			have_first = true;
			break;
		case ITEMS_EPOCH:
			it->epoch = f.value;
			break;
		case ITEMS_MORE:
			it->more = f.value != 0;
			break;
		case ITEMS_UPTO:
			it->upto = f.value;
			break;
		case ITEMS_UPTO_DUE_AT:
			it->upto_due_at = f.value;
			break;
		}
	}
	it->pos = payload;
	it->end = end;
	return have_first && it->first <= UINT64_MAX - it->count;
}

bool
items_next(struct items *it, struct item *item)
{
	struct wire_field f;
	bool ok;

	while (it->pos < it->end) {
		it->pos = frame_field(it->pos, it->end, &f);
		assert(it->pos != NULL); /* items_open() has looked */
		if (f.number != ITEMS_ITEM)
			continue;
		ok = item_read(item, f.p, it->pos);
		assert(ok);
		it->number = it->first + it->seen++;
		return true;
	}
	return false;
}

static inline size_t
frame_varint_size(uint64_t v)
{
	/* Seven bits a byte, without a division: 1 + (bits - 1) * 9 / 64. */
	unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1);

	return (bits * 9 + 64) / 64;
}

static inline uint8_t *
frame_put_varint(uint8_t *dst, uint64_t v)
{
	while (v >= 0x80) {
		*dst++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*dst++ = (uint8_t)v;
	return dst;
}

static inline size_t
bytes_field_size(const struct bytes *b)
{
	return b->p != NULL ? 1 + frame_varint_size(b->len) + b->len : 0;
}

static inline size_t
item_inner_size(const struct item *item)
{
	return bytes_field_size(&item->envelope) +
	    bytes_field_size(&item->body) + bytes_field_size(&item->report) +
	    bytes_field_size(&item->context);
}

size_t
item_size(const struct item *item)
{
	size_t inner = item_inner_size(item);

	return 1 + frame_varint_size(inner) + inner;
}

static inline uint8_t *
bytes_field_put(uint8_t *dst, unsigned number, const struct bytes *b)
{
	if (b->p == NULL)
		return dst;
	*dst++ = FRAME_TAG_BYTES(number);
	dst = frame_put_varint(dst, b->len);
	if (b->len > 0)
		memcpy(dst, b->p, b->len);
	return dst + b->len;
}

uint8_t *
item_put(uint8_t *dst, const struct item *item)
{
	*dst++ = FRAME_TAG_BYTES(ITEMS_ITEM);
	dst = frame_put_varint(dst, item_inner_size(item));
	dst = bytes_field_put(dst, ITEM_ENVELOPE, &item->envelope);
	dst = bytes_field_put(dst, ITEM_BODY, &item->body);
	dst = bytes_field_put(dst, ITEM_REPORT, &item->report);
	return bytes_field_put(dst, ITEM_CONTEXT, &item->context);
}

static uint8_t *
items_put_number(uint8_t *dst, unsigned number, uint64_t value)
{
	if (value == 0 && number != ITEMS_FIRST)
		return dst;
	*dst++ = (uint8_t)(number << 3);
	return frame_put_varint(dst, value);
}

size_t
items_put_head(uint8_t *dst, uint64_t first, uint64_t epoch, bool more,
    uint64_t upto, uint64_t upto_due_at)
{
	uint8_t *p = dst;

	p = items_put_number(p, ITEMS_FIRST, first);
	p = items_put_number(p, ITEMS_EPOCH, epoch);
	p = items_put_number(p, ITEMS_MORE, more);
	p = items_put_number(p, ITEMS_UPTO, upto);
	p = items_put_number(p, ITEMS_UPTO_DUE_AT, upto_due_at);
	return (size_t)(p - dst);
}

size_t
item_bytes(const struct item *item)
{
	return item->envelope.len + item->body.len + item->report.len +
	    item->context.len;
}

void
item_copy(uint8_t *dst, const struct item *item)
{
	const struct bytes *part[] = { &item->envelope, &item->body,
		&item->report };

	for (int i = 0; i < 3; i++) {
		if (part[i]->len > 0)
			memcpy(dst, part[i]->p, part[i]->len);
		dst += part[i]->len;
	}
}

/* ----------------------------------------------------- bounded unpack */

struct frame_budget {
	unsigned fields;
	size_t packed;
};

/* Wire type of one element of this protobuf type. */
static const uint8_t frame_wire_type[] = {
	[PROTOBUF_C_TYPE_INT32] = 0,
	[PROTOBUF_C_TYPE_SINT32] = 0,
	[PROTOBUF_C_TYPE_SFIXED32] = 5,
	[PROTOBUF_C_TYPE_INT64] = 0,
	[PROTOBUF_C_TYPE_SINT64] = 0,
	[PROTOBUF_C_TYPE_SFIXED64] = 1,
	[PROTOBUF_C_TYPE_UINT32] = 0,
	[PROTOBUF_C_TYPE_FIXED32] = 5,
	[PROTOBUF_C_TYPE_UINT64] = 0,
	[PROTOBUF_C_TYPE_FIXED64] = 1,
	[PROTOBUF_C_TYPE_FLOAT] = 5,
	[PROTOBUF_C_TYPE_DOUBLE] = 1,
	[PROTOBUF_C_TYPE_BOOL] = 0,
	[PROTOBUF_C_TYPE_ENUM] = 0,
	[PROTOBUF_C_TYPE_STRING] = 2,
	[PROTOBUF_C_TYPE_BYTES] = 2,
	[PROTOBUF_C_TYPE_MESSAGE] = 2,
};

/*
 * The field of this number, or NULL.  `hint` is where the last one was found:
 * senders write fields in order, so the next is at it or shortly after it.
 */
static inline const ProtobufCFieldDescriptor *
frame_find_field(
    const ProtobufCMessageDescriptor *d, uint32_t number, unsigned *hint)
{
	unsigned low = 0, high = d->n_fields, mid;

	for (mid = *hint; mid < high && mid <= *hint + 2; mid++) {
		if (d->fields[mid].id == number) {
			*hint = mid;
			return &d->fields[mid];
		}
	}
	while (low < high) { /* fields are sorted by number */
		mid = (low + high) / 2;
		if (d->fields[mid].id == number) {
			*hint = mid;
			return &d->fields[mid];
		}
		if (d->fields[mid].id < number)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* Elements of a packed field; false when one of them is cut or too long. */
static bool
frame_scan_packed(const ProtobufCFieldDescriptor *fd, const uint8_t *p,
    size_t len, struct frame_budget *budget)
{
	const uint8_t *end = p + len;
	size_t size, n = 0, run = 0;

	switch (frame_wire_type[fd->type]) {
	case 0:
		for (; p < end; p++) {
			if (++run > 10)
				return false;
			if (*p < 0x80) {
				n++;
				run = 0;
			}
		}
		if (run != 0)
			return false;
		break;
	case 1:
	case 5:
		size = frame_wire_type[fd->type] == 1 ? 8 : 4;
		if (len % size != 0)
			return false;
		n = len / size;
		break;
	default:
		return false;
	}
	if (n > budget->packed)
		return false;
	budget->packed -= n;
	return true;
}

static bool
frame_scan_message(const ProtobufCMessageDescriptor *d, const uint8_t *p,
    const uint8_t *end, unsigned depth, struct frame_budget *budget)
{
	const ProtobufCFieldDescriptor *fd;
	struct wire_field f;
	unsigned hint = 0, unknown = 0;

	if (depth == 0)
		return false;
	while (p < end) {
		p = frame_field(p, end, &f);
		if (p == NULL || budget->fields-- == 0)
			return false;
		fd = frame_find_field(d, f.number, &hint);
		if (fd == NULL) {
			if (++unknown > FRAME_MAX_UNKNOWN)
				return false;
			continue;
		}
		if (f.wire != frame_wire_type[fd->type]) {
			if (f.wire != 2 ||
			    fd->label != PROTOBUF_C_LABEL_REPEATED ||
			    !frame_scan_packed(
				fd, f.p, (size_t)f.value, budget))
				return false;
			continue;
		}
		if (fd->type == PROTOBUF_C_TYPE_MESSAGE &&
		    !frame_scan_message(
			fd->descriptor, f.p, p, depth - 1, budget))
			return false;
		if (fd->type == PROTOBUF_C_TYPE_STRING && f.value > 0 &&
		    memchr(f.p, '\0', (size_t)f.value) != NULL)
			return false;
	}
	return true;
}

bool
frame_scan(const ProtobufCMessageDescriptor *d, const uint8_t *p, size_t len)
{
	struct frame_budget budget = { FRAME_MAX_FIELDS, FRAME_MAX_PACKED };

	if (len == 0)
		return true;
	return frame_scan_message(d, p, p + len, FRAME_MAX_DEPTH, &budget);
}

static void *
arena_alloc_cb(void *arg, size_t size)
{
	struct arena *a = arg;
	void *p;

	if (size > a->cap - a->used)
		return NULL;
	p = a->base + a->used;
	size = (size + 7) & ~(size_t)7;
	a->used = size > a->cap - a->used ? a->cap : a->used + size;
	return p;
}

static void
arena_free_cb(void *arg, void *p)
{
	(void)arg;
	(void)p;
}

void
arena_init(struct arena *a, void *memory, size_t cap)
{
	assert(((uintptr_t)memory & 7) == 0);
	a->allocator = (ProtobufCAllocator){ arena_alloc_cb, arena_free_cb, a };
	a->base = memory;
	a->cap = cap;
	a->used = 0;
}

void
arena_reset(struct arena *a)
{
	a->used = 0;
}

void *
frame_unpack(struct arena *a, const ProtobufCMessageDescriptor *d,
    const uint8_t *p, size_t len)
{
	if (!frame_scan(d, p, len))
		return NULL;
	return protobuf_c_message_unpack(d, &a->allocator, len, p);
}
