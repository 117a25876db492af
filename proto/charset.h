/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * charset.h - UTF-8, UTF-16BE and Latin-1; others by iconv(3).
 *
 * Inside the suite text is UTF-8 and has been checked.  Sizes that are always
 * enough: UTF-16BE 2 x the UTF-8 octets; UTF-8 3 x the units of UTF-16, 2 x the
 * octets of Latin-1.
 */
#ifndef PROTO_CHARSET_H
#define PROTO_CHARSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/gsm7.h" /* struct misfit */

#define CHARSET_BAD         0xffffffffu
#define CHARSET_FULL        0xfffffffeu /* only in struct misfit */
#define CHARSET_REPLACEMENT 0xfffdu

/* utf8_next() of what is not ASCII; nobody else calls it. */
uint32_t utf8_next_long(const uint8_t **p, const uint8_t *end);

/*
 * The character at *p, which moves behind it.  CHARSET_BAD for an octet that
 * does not belong (over-long forms, surrogates, over U+10FFFF and cut-off
 * sequences too); *p then moves by one octet.  *p < end on entry.
 */
static inline uint32_t
utf8_next(const uint8_t **p, const uint8_t *end)
{
	return **p < 0x80 ? *(*p)++ : utf8_next_long(p, end);
}
/* Writes 1 to 4 octets. */
size_t utf8_put(uint8_t dst[4], uint32_t cp);
/* Offset of the first octet that is not UTF-8, or len when all is. */
size_t utf8_check(const uint8_t *, size_t len);
/* Number of characters; invalid octets count one each. */
size_t utf8_length(const uint8_t *, size_t len);

/*
 * UTF-8 -> UTF-16BE, which SMPP calls UCS2; characters over U+FFFF become a
 * surrogate pair.  False when the input is not UTF-8 or dst is full.
 */
bool utf8_to_utf16be(const uint8_t *, size_t len, uint8_t *dst, size_t cap,
    size_t *out, struct misfit *bad);
/*
 * Returns the octets written.  Never fails: half a pair and an odd last octet
 * become U+FFFD; what does not fit in dst is left out.
 */
size_t utf16be_to_utf8(const uint8_t *, size_t len, uint8_t *dst, size_t cap);

/* As the two above, for ISO-8859-1. */
bool utf8_to_latin1(const uint8_t *, size_t len, uint8_t *dst, size_t cap,
    size_t *out, struct misfit *bad);
size_t latin1_to_utf8(const uint8_t *, size_t len, uint8_t *dst, size_t cap);

/* ------------------------------------------------------- charsets by name */

enum charset_kind {
	CHARSET_NONE = 0,
	CHARSET_UTF8,
	CHARSET_ASCII,
	CHARSET_LATIN1,
	CHARSET_UTF16BE, /* UCS-2 and UTF-16 without a mark, as Kannel has it */
	CHARSET_GSM7,    /* unpacked septets; "gsm", "gsm0338" */
	CHARSET_ICONV,
};

/* A converter; whoever opened it may keep it as long as he likes. */
struct charset {
	enum charset_kind kind;
	void *to, *from; /* iconv_t, opened at first use */
	char name[40];
};

/*
 * 0, or -1 when the name is not known to us or to iconv (any case; "utf8",
 * "ascii" and the like too; iconv's "//" suffixes are refused).
 */
int charset_open(struct charset *, const char *name);
void charset_close(struct charset *);

/*
 * Whole texts, either way.  0; -1 when the input is not valid in its charset or
 * has a character that the other does not have; -2 when dst is full, or, towards
 * UTF-8, smaller than the sizes above.
 */
int charset_to_utf8(struct charset *, const uint8_t *src, size_t len,
    uint8_t *dst, size_t cap, size_t *out);
int charset_from_utf8(struct charset *, const uint8_t *src, size_t len,
    uint8_t *dst, size_t cap, size_t *out);

#endif
