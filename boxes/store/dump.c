/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/store/dump.h"

#include <stdint.h>
#include <string.h>

#include "common/utf8.h"
#include "proto/pb.h"

static bool
dump_printable(const ProtobufCBinaryData *b)
{
	for (size_t i = 0; i < b->len;) {
		uint32_t cp;
		size_t n = utf8_decode(b->data + i, b->len - i, &cp);

		if (n == 0 || utf8_is_control(cp))
			return false;
		i += n;
	}
	return true;
}

static void
dump_enum(struct json *j, const char *key, const ProtobufCFieldDescriptor *f,
    int value)
{
	const ProtobufCEnumValue *v =
	    protobuf_c_enum_descriptor_get_value(f->descriptor, value);

	if (v != NULL)
		json_str(j, key, v->name);
	else
		json_int(j, key, value);
}

static void
dump_value(struct json *j, const char *key, const ProtobufCFieldDescriptor *f,
    const void *at, bool text)
{
	const ProtobufCBinaryData *b = at;

	switch (f->type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
		json_int(j, key, *(const int32_t *)at);
		break;
	case PROTOBUF_C_TYPE_UINT32:
	case PROTOBUF_C_TYPE_FIXED32:
		json_uint(j, key, *(const uint32_t *)at);
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
		json_int(j, key, *(const int64_t *)at);
		break;
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		json_uint(j, key, *(const uint64_t *)at);
		break;
	case PROTOBUF_C_TYPE_FLOAT:
		json_double(j, key, (double)*(const float *)at, 6);
		break;
	case PROTOBUF_C_TYPE_DOUBLE:
		json_double(j, key, *(const double *)at, 6);
		break;
	case PROTOBUF_C_TYPE_BOOL:
		json_bool(j, key, *(const protobuf_c_boolean *)at != 0);
		break;
	case PROTOBUF_C_TYPE_ENUM:
		dump_enum(j, key, f, *(const int *)at);
		break;
	case PROTOBUF_C_TYPE_STRING:
		json_str(j, key, *(const char *const *)at);
		break;
	case PROTOBUF_C_TYPE_BYTES:
		if (strcmp(f->name, "id") != 0 && dump_printable(b))
			json_text(j, key, b->data, b->len);
		else if (b->len == 16)
			json_uuid(j, key, b->data);
		else
			json_hex(j, key, b->data, b->len);
		break;
	case PROTOBUF_C_TYPE_MESSAGE:
		dump_message(
		    j, key, *(const ProtobufCMessage *const *)at, text);
		break;
	}
}

static bool
dump_has(const ProtobufCFieldDescriptor *f, const uint8_t *base)
{
	const void *at = base + f->offset;

	if (f->label == PROTOBUF_C_LABEL_REQUIRED)
		return true;
	/* protobuf-c points an absent string at its default. */
	if (f->type == PROTOBUF_C_TYPE_STRING ||
	    f->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(const void *const *)at != NULL &&
		    *(const void *const *)at != f->default_value;
	return *(const protobuf_c_boolean *)(base + f->quantifier_offset) != 0;
}

static bool
dump_is_text(const char *name)
{
	return strcmp(name, "text") == 0 || strcmp(name, "data") == 0 ||
	    strcmp(name, "udh") == 0;
}

void
dump_message(
    struct json *j, const char *key, const ProtobufCMessage *m, bool text)
{
	const uint8_t *base = (const uint8_t *)m;

	json_open_object(j, key);
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const uint8_t *at = base + f->offset;

		if (!text && dump_is_text(f->name))
			continue;
		if (f->label != PROTOBUF_C_LABEL_REPEATED) {
			if (dump_has(f, base))
				dump_value(j, f->name, f, at, text);
			continue;
		}
		size_t n = *(
		    const size_t *)(const void *)(base + f->quantifier_offset);
		const uint8_t *list = *(const uint8_t *const *)(const void *)at;

		if (n == 0)
			continue;
		json_open_array(j, f->name);
		for (size_t k = 0; k < n; k++)
			dump_value(
			    j, NULL, f, list + k * pb_size(f->type), text);
		json_close_array(j);
	}
	json_close_object(j);
}
