/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shift.c - the tables as differences: a locking table to the default alphabet,
 * a single shift table to its extension.
 */
#include "proto/shift.h"

#include <string.h>

#include "proto/charset.h"
#include "proto/gsm7.h"
#include "proto/udh.h"

struct cell {
	uint8_t septet;
	uint16_t cp;
};

struct table {
	const struct cell *cell;
	size_t n;
};

#define TABLE(rows)                                                            \
	{                                                                      \
		(rows), sizeof(rows) / sizeof((rows)[0])                       \
	}

/* A.3.1 */
static const struct cell turkish_locking[] = {
	{ 0x04, 0x20ac },                   /* euro */
	{ 0x07, 0x0131 },                   /* dotless i */
	{ 0x0b, 0x011e },                   /* G with breve */
	{ 0x0c, 0x011f }, { 0x1c, 0x015e }, /* S with cedilla */
	{ 0x1d, 0x015f }, { 0x40, 0x0130 }, /* I with dot */
	{ 0x60, 0x00e7 },                   /* c with cedilla */
};

/* A.3.3 */
static const struct cell portuguese_locking[] = {
	{ 0x04, 0x00ea },                   /* e with circumflex */
	{ 0x06, 0x00fa },                   /* u with acute */
	{ 0x07, 0x00ed },                   /* i with acute */
	{ 0x08, 0x00f3 },                   /* o with acute */
	{ 0x09, 0x00e7 },                   /* c with cedilla */
	{ 0x0b, 0x00d4 },                   /* O with circumflex */
	{ 0x0c, 0x00f4 }, { 0x0e, 0x00c1 }, /* A with acute */
	{ 0x0f, 0x00e1 }, { 0x12, 0x00aa }, /* feminine ordinal */
	{ 0x13, 0x00c7 },                   /* C with cedilla */
	{ 0x14, 0x00c0 },                   /* A with grave */
	{ 0x15, 0x221e },                   /* infinity */
	{ 0x16, 0x005e },                   /* ^ */
	{ 0x17, 0x005c },                   /* backslash */
	{ 0x18, 0x20ac },                   /* euro */
	{ 0x19, 0x00d3 },                   /* O with acute */
	{ 0x1a, 0x007c },                   /* | */
	{ 0x1c, 0x00c2 },                   /* A with circumflex */
	{ 0x1d, 0x00e2 }, { 0x1e, 0x00ca }, /* E with circumflex */
	{ 0x24, 0x00ba },                   /* masculine ordinal */
	{ 0x40, 0x00cd },                   /* I with acute */
	{ 0x5b, 0x00c3 },                   /* A with tilde */
	{ 0x5c, 0x00d5 },                   /* O with tilde */
	{ 0x5d, 0x00da },                   /* U with acute */
	{ 0x60, 0x007e },                   /* ~ */
	{ 0x7b, 0x00e3 },                   /* a with tilde */
	{ 0x7c, 0x00f5 },                   /* o with tilde */
	{ 0x7d, 0x0060 },                   /* ` */
};

/* A.2.1 */
static const struct cell turkish_single[] = {
	{ 0x47, 0x011e }, /* G with breve */
	{ 0x49, 0x0130 }, /* I with dot */
	{ 0x53, 0x015e }, /* S with cedilla */
	{ 0x63, 0x00e7 }, /* c with cedilla */
	{ 0x67, 0x011f },
	{ 0x69, 0x0131 }, /* dotless i */
	{ 0x73, 0x015f },
};

/* A.2.2 */
static const struct cell spanish_single[] = {
	{ 0x09, 0x00e7 }, /* c with cedilla */
	{ 0x41, 0x00c1 }, /* vowels with acute */
	{ 0x49, 0x00cd },
	{ 0x4f, 0x00d3 },
	{ 0x55, 0x00da },
	{ 0x61, 0x00e1 },
	{ 0x69, 0x00ed },
	{ 0x6f, 0x00f3 },
	{ 0x75, 0x00fa },
};

/* A.2.3 */
static const struct cell portuguese_single[] = {
	{ 0x05, 0x00ea }, /* e with circumflex */
	{ 0x09, 0x00e7 }, /* c with cedilla */
	{ 0x0b, 0x00d4 }, /* O with circumflex */
	{ 0x0c, 0x00f4 },
	{ 0x0e, 0x00c1 }, /* A with acute */
	{ 0x0f, 0x00e1 },
	{ 0x12, 0x03a6 }, /* the Greek that the locking table has no room for */
	{ 0x13, 0x0393 },
	{ 0x15, 0x03a9 },
	{ 0x16, 0x03a0 },
	{ 0x17, 0x03a8 },
	{ 0x18, 0x03a3 },
	{ 0x19, 0x0398 },
	{ 0x1f, 0x00ca }, /* E with circumflex */
	{ 0x41, 0x00c0 }, /* A with grave */
	{ 0x49, 0x00cd }, /* vowels with acute */
	{ 0x4f, 0x00d3 },
	{ 0x55, 0x00da },
	{ 0x5b, 0x00c3 }, /* A and O with tilde */
	{ 0x5c, 0x00d5 },
	{ 0x61, 0x00c2 }, /* A with circumflex */
	{ 0x69, 0x00ed },
	{ 0x6f, 0x00f3 },
	{ 0x75, 0x00fa },
	{ 0x7b, 0x00e3 },
	{ 0x7c, 0x00f5 },
	{ 0x7f, 0x00e2 },
};

static const struct table locking_tables[SHIFT_LANGUAGES] = {
	[SHIFT_TURKISH] = TABLE(turkish_locking),
	[SHIFT_PORTUGUESE] = TABLE(portuguese_locking),
};

static const struct table single_tables[SHIFT_LANGUAGES] = {
	[SHIFT_TURKISH] = TABLE(turkish_single),
	[SHIFT_SPANISH] = TABLE(spanish_single),
	[SHIFT_PORTUGUESE] = TABLE(portuguese_single),
};

static const char *const language_names[SHIFT_LANGUAGES] = {
	[SHIFT_TURKISH] = "turkish",
	[SHIFT_SPANISH] = "spanish",
	[SHIFT_PORTUGUESE] = "portuguese",
};

enum shift_language
shift_language(const char *name)
{
	unsigned i;

	for (i = SHIFT_DEFAULT + 1; i < SHIFT_LANGUAGES; i++)
		if (strcmp(name, language_names[i]) == 0)
			return (enum shift_language)i;
	return SHIFT_LANGUAGES;
}

/* ----------------------------------------------------------------- headers */

bool
shift_of_udh(struct shift *s, struct bytes udh)
{
	struct udh_walk w;
	struct udh_ie ie;
	bool known = true;

	*s = (struct shift){ SHIFT_DEFAULT, SHIFT_DEFAULT };
	udh_walk_init(&w, udh.p, udh.len);
	while (udh_walk_next(&w, &ie)) {
		if ((ie.id != UDH_SHIFT && ie.id != UDH_LOCKING) || ie.len != 1)
			continue;
		if (ie.p[0] >= SHIFT_LANGUAGES ||
		    (ie.id == UDH_LOCKING && ie.p[0] == SHIFT_SPANISH))
			known = false;
		else if (ie.id == UDH_SHIFT)
			s->single = ie.p[0];
		else
			s->locking = ie.p[0];
	}
	return known;
}

size_t
shift_put_ies(struct shift s, uint8_t dst[SHIFT_IES_MAX])
{
	size_t n = 0;

	if (s.single != SHIFT_DEFAULT) {
		dst[n++] = UDH_SHIFT;
		dst[n++] = 1;
		dst[n++] = s.single;
	}
	if (s.locking != SHIFT_DEFAULT) {
		dst[n++] = UDH_LOCKING;
		dst[n++] = 1;
		dst[n++] = s.locking;
	}
	return n;
}

/* -------------------------------------------------------------- characters */

static uint16_t
table_cp(struct table t, uint8_t septet)
{
	size_t i;

	for (i = 0; i < t.n; i++)
		if (t.cell[i].septet == septet)
			return t.cell[i].cp;
	return 0;
}

static int
table_septet(struct table t, uint32_t cp)
{
	size_t i;

	for (i = 0; i < t.n; i++)
		if (t.cell[i].cp == cp)
			return t.cell[i].septet;
	return -1;
}

uint32_t
shift_to_cp(struct shift s, uint8_t septet, bool escaped)
{
	uint32_t cp = table_cp(
	    escaped ? single_tables[s.single] : locking_tables[s.locking],
	    septet);

	return cp != 0 ? cp : gsm7_to_cp(septet, escaped);
}

int
shift_from_cp(struct shift s, uint32_t cp)
{
	int v = table_septet(locking_tables[s.locking], cp), plain;

	if (v >= 0)
		return v;
	/* In the default tables, unless another character stands there. */
	plain = gsm7_from_cp(cp);
	if (plain >= 0 && plain <= 0xff &&
	    table_cp(locking_tables[s.locking], (uint8_t)plain) == 0)
		return plain;
	v = table_septet(single_tables[s.single], cp);
	if (v >= 0)
		return GSM7_ESCAPE << 8 | v;
	if (plain > 0xff &&
	    table_cp(single_tables[s.single], (uint8_t)plain) == 0)
		return plain;
	return -1;
}

/* -------------------------------------------------------------------- texts */

bool
shift_count(struct shift s, struct bytes utf8, size_t *septets)
{
	const uint8_t *p = utf8.p, *end = bytes_end(p, utf8.len);
	size_t n = 0;
	int v;

	while (p < end) {
		v = shift_from_cp(s, utf8_next(&p, end));
		if (v < 0)
			return false;
		n += v > 0xff ? 2 : 1;
	}
	*septets = n;
	return true;
}

bool
shift_encode(
    struct shift s, struct bytes utf8, uint8_t *dst, size_t cap, size_t *out)
{
	const uint8_t *p = utf8.p, *end = bytes_end(p, utf8.len);
	size_t n = 0;
	int v;

	while (p < end) {
		v = shift_from_cp(s, utf8_next(&p, end));
		if (v < 0 || cap - n < (v > 0xff ? 2u : 1u))
			return false;
		if (v > 0xff)
			dst[n++] = GSM7_ESCAPE;
		dst[n++] = (uint8_t)v;
	}
	*out = n;
	return true;
}

/* What an escape without a meaning shows: see gsm7_decode(). */
static uint32_t
escaped_cp(struct shift s, uint8_t septet)
{
	uint32_t cp = shift_to_cp(s, septet, true);

	if (cp == 0)
		cp = shift_to_cp(s, septet, false);
	if (cp == 0)
		cp = septet == GSM7_ESCAPE ? ' ' : CHARSET_REPLACEMENT;
	return cp;
}

size_t
shift_decode(struct shift s, struct bytes septets, uint8_t *dst, size_t cap)
{
	size_t i, len, out = 0;
	uint8_t one[4];
	uint32_t cp;

	if (shift_is_default(s))
		return gsm7_decode(septets.p, septets.len, dst, cap);
	for (i = 0; i < septets.len; i++) {
		if (septets.p[i] != GSM7_ESCAPE)
			cp = shift_to_cp(s, septets.p[i], false);
		else if (++i == septets.len)
			cp = ' ';
		else
			cp = escaped_cp(s, septets.p[i]);
		len = utf8_put(one, cp == 0 ? CHARSET_REPLACEMENT : cp);
		if (len > cap - out)
			break;
		memcpy(dst + out, one, len);
		out += len;
	}
	return out;
}
