/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/filter/verdict.h"

#include <stdio.h>
#include <string.h>

#define VERDICT_NAME_MAX   64
#define VERDICT_REASON_MAX 200

const char *const verdict_class_names[VERDICT_CLASSES] = { NULL, "otp", "alert",
	"txn", "bulk" };

static const char *const verdict_codes[] = { NULL, "pass", "reject", "later",
	"hold" };
static const char *const verdict_keys[] = { NULL, "number", "account" };
static const char *const verdict_as[] = {
	[HOPYARD__V1__ACK__CODE__NO_ROUTE] = "no_route",
	[HOPYARD__V1__ACK__CODE__DENIED] = "denied",
	[HOPYARD__V1__ACK__CODE__DENIED_SENDER] = "denied_sender",
	[HOPYARD__V1__ACK__CODE__DENIED_DESTINATION] = "denied_destination",
};

/* What a field may be, and where in a struct verdict it goes. */
struct verdict_row {
	const char *key;
	enum {
		ROW_WORD,
		ROW_TEXT,
		ROW_MS,
		ROW_TAGS
	} kind;
	size_t has, value;
	size_t max;               /* of a text */
	const char *const *words; /* of a word, by number */
	size_t count;
};

/* clang-format off */
#define IN_V(field) offsetof(struct verdict, v.field)
#define WORD(key, has, value, words) \
	{ key, ROW_WORD, has, IN_V(value), 0, words, ARRAY_LEN(words) }
#define TEXT(key, field, max) \
	{ key, ROW_TEXT, IN_V(has_##field), IN_V(field), max, NULL, 0 }
#define MS(field) \
	{ #field, ROW_MS, IN_V(has_##field), IN_V(field), 0, NULL, 0 }
#define NO_HAS SIZE_MAX
static const struct verdict_row verdict_rows[] = {
	WORD("verdict", NO_HAS, code, verdict_codes),
	WORD("class", IN_V(has_class_), class_, verdict_class_names),
	WORD("cache", IN_V(has_key), key, verdict_keys),
	WORD("as", IN_V(has_as), as, verdict_as),
	TEXT("to", to, VERDICT_NAME_MAX),
	TEXT("from", from, VERDICT_NAME_MAX),
	TEXT("link", link, VERDICT_NAME_MAX),
	TEXT("keyword", keyword, VERDICT_NAME_MAX),
	TEXT("reason", reason, VERDICT_REASON_MAX),
	{ "text", ROW_TEXT, offsetof(struct verdict, has_text),
	  offsetof(struct verdict, text), VERDICT_TEXT_MAX, NULL, 0 },
	MS(validity_ms),
	MS(delay_ms),
	MS(hold_ms),
	MS(ttl_ms),
	{ "tags", ROW_TAGS, NO_HAS, 0, 0, NULL, 0 },
};
/* clang-format on */

_Static_assert(sizeof(Hopyard__V1__Verdict__Code) == sizeof(int), "enum");

static const char *
fault(const char *key, const char *what)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s: %s", key, what);
	return text;
}

static void
put_has(struct verdict *d, const struct verdict_row *row)
{
	static const protobuf_c_boolean yes = true;

	if (row->has != NO_HAS)
		memcpy((char *)d + row->has, &yes, sizeof(yes));
}

static const char *
put_word(struct verdict *d, const struct verdict_row *row,
    const struct verdict_value *v)
{
	for (size_t i = 1; v->kind == VERDICT_TEXT && i < row->count; i++) {
		int number = (int)i;

		if (row->words[i] == NULL ||
		    !bytes_eq(bytes_str(row->words[i]), v->text))
			continue;
		memcpy((char *)d + row->value, &number, sizeof(number));
		put_has(d, row);
		return NULL;
	}
	return fault(row->key, "there is no such word");
}

static const char *
put_text(struct verdict *d, const struct verdict_row *row,
    const struct verdict_value *v)
{
	ProtobufCBinaryData text = { v->text.len,
		(uint8_t *)(uintptr_t)v->text.p };

	if (v->kind != VERDICT_TEXT || v->text.len > row->max)
		return fault(row->key, "it is no text, or too long");
	memcpy((char *)d + row->value, &text, sizeof(text));
	put_has(d, row);
	return NULL;
}

static const char *
put_ms(struct verdict *d, const struct verdict_row *row,
    const struct verdict_value *v)
{
	uint64_t ms = (uint64_t)v->number;

	if (v->kind != VERDICT_NUMBER || v->number < 0 ||
	    v->number > VERDICT_MS_MAX)
		return fault(
		    row->key, "it is no whole number, negative or too large");
	memcpy((char *)d + row->value, &ms, sizeof(ms));
	put_has(d, row);
	return NULL;
}

static const char *
put_tags(struct verdict *d, const struct verdict_row *row,
    const struct verdict_value *v, const struct verdict_source *from)
{
	if (v->kind != VERDICT_LIST || v->count > VERDICT_TAGS)
		return fault(row->key, "they are no list, or too many");
	for (size_t i = 0; i < v->count; i++) {
		struct verdict_value tag = from->tag(from->arg, i);

		if (tag.kind != VERDICT_TEXT)
			return fault(row->key, "one is no text");
		d->tag[i].data = (uint8_t *)(uintptr_t)tag.text.p;
		d->tag[i].len = tag.text.len;
	}
	d->v.tag = d->tag;
	d->v.n_tag = v->count;
	return NULL;
}

const char *
verdict_read(struct verdict *d, const struct verdict_source *from)
{
	const char *wrong = NULL;

	memset(d, 0, sizeof(*d));
	hopyard__v1__verdict__init(&d->v);
	for (size_t i = 0; i < ARRAY_LEN(verdict_rows) && wrong == NULL; i++) {
		const struct verdict_row *row = &verdict_rows[i];
		struct verdict_value v = from->field(from->arg, row->key);

		if (v.kind == VERDICT_ABSENT)
			continue;
		switch (row->kind) {
		case ROW_WORD:
			wrong = put_word(d, row, &v);
			break;
		case ROW_TEXT:
			wrong = put_text(d, row, &v);
			break;
		case ROW_MS:
			wrong = put_ms(d, row, &v);
			break;
		case ROW_TAGS:
			wrong = put_tags(d, row, &v, from);
			break;
		}
	}
	if (wrong == NULL && d->v.code == HOPYARD__V1__VERDICT__CODE__CODE_NONE)
		return "verdict is missing";
	return wrong;
}

bool
verdict_has_field(struct bytes key)
{
	for (size_t i = 0; i < ARRAY_LEN(verdict_rows); i++)
		if (bytes_eq(bytes_str(verdict_rows[i].key), key))
			return true;
	return false;
}
