/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gsm7.c - 3GPP 23.038: default alphabet, extension table, packing.
 */
#include "proto/gsm7.h"

#include <string.h>

#include "proto/bytes.h"
#include "proto/charset.h"

static const uint16_t basic[128] = {
	0x0040,
	0x00a3,
	0x0024,
	0x00a5,
	0x00e8,
	0x00e9,
	0x00f9,
	0x00ec, /* @.. */
	0x00f2,
	0x00c7,
	0x000a,
	0x00d8,
	0x00f8,
	0x000d,
	0x00c5,
	0x00e5,
	0x0394,
	0x005f,
	0x03a6,
	0x0393,
	0x039b,
	0x03a9,
	0x03a0,
	0x03a8,
	0x03a3,
	0x0398,
	0x039e,
	0x0000,
	0x00c6,
	0x00e6,
	0x00df,
	0x00c9,
	0x0020,
	0x0021,
	0x0022,
	0x0023,
	0x00a4,
	0x0025,
	0x0026,
	0x0027,
	0x0028,
	0x0029,
	0x002a,
	0x002b,
	0x002c,
	0x002d,
	0x002e,
	0x002f,
	0x0030,
	0x0031,
	0x0032,
	0x0033,
	0x0034,
	0x0035,
	0x0036,
	0x0037,
	0x0038,
	0x0039,
	0x003a,
	0x003b,
	0x003c,
	0x003d,
	0x003e,
	0x003f,
	0x00a1,
	0x0041,
	0x0042,
	0x0043,
	0x0044,
	0x0045,
	0x0046,
	0x0047,
	0x0048,
	0x0049,
	0x004a,
	0x004b,
	0x004c,
	0x004d,
	0x004e,
	0x004f,
	0x0050,
	0x0051,
	0x0052,
	0x0053,
	0x0054,
	0x0055,
	0x0056,
	0x0057,
	0x0058,
	0x0059,
	0x005a,
	0x00c4,
	0x00d6,
	0x00d1,
	0x00dc,
	0x00a7,
	0x00bf,
	0x0061,
	0x0062,
	0x0063,
	0x0064,
	0x0065,
	0x0066,
	0x0067,
	0x0068,
	0x0069,
	0x006a,
	0x006b,
	0x006c,
	0x006d,
	0x006e,
	0x006f,
	0x0070,
	0x0071,
	0x0072,
	0x0073,
	0x0074,
	0x0075,
	0x0076,
	0x0077,
	0x0078,
	0x0079,
	0x007a,
	0x00e4,
	0x00f6,
	0x00f1,
	0x00fc,
	0x00e0,
};

struct pair {
	uint16_t cp;
	uint8_t septet;
};

static const struct pair extension[] = {
	{ 0x000c, 0x0a },
	{ 0x005e, 0x14 },
	{ 0x007b, 0x28 },
	{ 0x007d, 0x29 },
	{ 0x005c, 0x2f },
	{ 0x005b, 0x3c },
	{ 0x007e, 0x3d },
	{ 0x005d, 0x3e },
	{ 0x007c, 0x40 },
	{ 0x20ac, 0x65 },
};

#define EXTENSIONS (sizeof(extension) / sizeof(extension[0]))

/* Code points under 0x100: the septet; 0x80 | septet behind an escape; 0xff
 * for none.  A test makes this table again from the two above. */
#define NO        0xff
#define X(septet) (0x80 | (septet))
static const uint8_t latin[256] = {
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	0x0a,
	NO,
	X(0x0a),
	0x0d,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	0x20,
	0x21,
	0x22,
	0x23,
	0x02,
	0x25,
	0x26,
	0x27,
	0x28,
	0x29,
	0x2a,
	0x2b,
	0x2c,
	0x2d,
	0x2e,
	0x2f,
	0x30,
	0x31,
	0x32,
	0x33,
	0x34,
	0x35,
	0x36,
	0x37,
	0x38,
	0x39,
	0x3a,
	0x3b,
	0x3c,
	0x3d,
	0x3e,
	0x3f,
	0x00,
	0x41,
	0x42,
	0x43,
	0x44,
	0x45,
	0x46,
	0x47,
	0x48,
	0x49,
	0x4a,
	0x4b,
	0x4c,
	0x4d,
	0x4e,
	0x4f,
	0x50,
	0x51,
	0x52,
	0x53,
	0x54,
	0x55,
	0x56,
	0x57,
	0x58,
	0x59,
	0x5a,
	X(0x3c),
	X(0x2f),
	X(0x3e),
	X(0x14),
	0x11,
	NO,
	0x61,
	0x62,
	0x63,
	0x64,
	0x65,
	0x66,
	0x67,
	0x68,
	0x69,
	0x6a,
	0x6b,
	0x6c,
	0x6d,
	0x6e,
	0x6f,
	0x70,
	0x71,
	0x72,
	0x73,
	0x74,
	0x75,
	0x76,
	0x77,
	0x78,
	0x79,
	0x7a,
	X(0x28),
	X(0x40),
	X(0x29),
	X(0x3d),
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	0x40,
	NO,
	0x01,
	0x24,
	0x03,
	NO,
	0x5f,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	0x60,
	NO,
	NO,
	NO,
	NO,
	0x5b,
	0x0e,
	0x1c,
	0x09,
	NO,
	0x1f,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	NO,
	0x5d,
	NO,
	NO,
	NO,
	NO,
	0x5c,
	NO,
	0x0b,
	NO,
	NO,
	NO,
	0x5e,
	NO,
	NO,
	0x1e,
	0x7f,
	NO,
	NO,
	NO,
	0x7b,
	0x0f,
	0x1d,
	NO,
	0x04,
	0x05,
	NO,
	NO,
	0x07,
	NO,
	NO,
	NO,
	NO,
	0x7d,
	0x08,
	NO,
	NO,
	NO,
	0x7c,
	NO,
	0x0c,
	0x06,
	NO,
	NO,
	0x7e,
	NO,
	NO,
	NO,
};

static int
from_wide(uint32_t cp)
{
	size_t i;

	if (cp == 0x20ac)
		return GSM7_ESCAPE << 8 | 0x65;
	if (cp < 0x0393 || cp > 0x03a9)
		return -1;
	for (i = 0x10; i <= 0x1a; i++)
		if (basic[i] == cp)
			return (int)i;
	return -1;
}

static inline int
from_cp(uint32_t cp)
{
	if (cp >= 0x100)
		return from_wide(cp);
	if ((latin[cp] & 0x80) == 0)
		return latin[cp];
	return latin[cp] == NO ? -1 : GSM7_ESCAPE << 8 | (latin[cp] & 0x7f);
}

int
gsm7_from_cp(uint32_t cp)
{
	return from_cp(cp);
}

uint32_t
gsm7_to_cp(uint8_t septet, bool escaped)
{
	size_t i;

	if (!escaped)
		return septet < 128 ? basic[septet] : 0;
	for (i = 0; i < EXTENSIONS; i++)
		if (extension[i].septet == septet)
			return extension[i].cp;
	return 0;
}

static bool
misfit(struct misfit *bad, uint32_t cp, size_t offset)
{
	if (bad != NULL) {
		bad->cp = cp;
		bad->offset = offset;
	}
	return false;
}

bool
gsm7_count(const uint8_t *utf8, size_t len, size_t *septets, struct misfit *bad)
{
	const uint8_t *p = utf8, *end = bytes_end(utf8, len), *start;
	size_t n = 0;
	uint32_t cp;
	int s;

	while (p < end) {
		start = p;
		cp = utf8_next(&p, end);
		s = from_cp(cp);
		if (s < 0)
			return misfit(bad, cp, (size_t)(start - utf8));
		n += s > 0xff ? 2 : 1;
	}
	*septets = n;
	return true;
}

bool
gsm7_encode(const uint8_t *utf8, size_t len, uint8_t *dst, size_t cap,
    size_t *out, struct misfit *bad)
{
	const uint8_t *p = utf8, *end = bytes_end(utf8, len), *start, *q;
	size_t n = 0;
	uint8_t septet;
	uint32_t cp;
	int s;

	while (p < end) {
		/* Nearly all of most texts, in a loop that stays in registers. */
		for (q = p; q < end && n < cap && *q < 0x80; q++) {
			septet = latin[*q];
			if (septet >= 0x80)
				break;
			dst[n++] = septet;
		}
		if (q == end)
			break;
		p = start = q;
		cp = utf8_next(&p, end);
		s = from_cp(cp);
		if (s < 0)
			return misfit(bad, cp, (size_t)(start - utf8));
		if (cap - n < (s > 0xff ? 2u : 1u))
			return misfit(
			    bad, CHARSET_FULL, (size_t)(start - utf8));
		if (s > 0xff)
			dst[n++] = GSM7_ESCAPE;
		dst[n++] = (uint8_t)s;
	}
	*out = n;
	return true;
}

size_t
gsm7_decode(const uint8_t *septets, size_t n, uint8_t *dst, size_t cap)
{
	size_t i, len, out = 0;
	uint8_t one[4];
	uint32_t cp;

	for (i = 0; i < n; i++) {
		if (septets[i] == GSM7_ESCAPE) {
			if (++i == n) {
				cp = ' ';
			} else {
				/* A handset that has no such extension shows
				 * the plain character: 23.038, 6.2.1.1. */
				cp = gsm7_to_cp(septets[i], true);
				if (cp == 0)
					cp = gsm7_to_cp(septets[i], false);
				if (cp == 0)
					cp = septets[i] == GSM7_ESCAPE
					    ? ' '
					    : CHARSET_REPLACEMENT;
			}
		} else {
			cp = gsm7_to_cp(septets[i], false);
			if (cp == 0)
				cp = CHARSET_REPLACEMENT;
		}
		len = utf8_put(one, cp);
		if (len > cap - out)
			break;
		memcpy(dst + out, one, len);
		out += len;
	}
	return out;
}

size_t
gsm7_packed_size(size_t n, unsigned fill)
{
	return (n * 7 + fill + 7) / 8;
}

size_t
gsm7_pack(
    const uint8_t *septets, size_t n, unsigned fill, uint8_t *dst, size_t cap)
{
	size_t size = gsm7_packed_size(n, fill), at = 0, i;
	unsigned bits = fill, acc = 0; /* acc holds `bits` bits, low first */

	if (size > cap)
		return 0;
	for (i = 0; i < n; i++) {
		acc |= (unsigned)(septets[i] & 0x7f) << bits;
		bits += 7;
		if (bits >= 8) {
			dst[at++] = (uint8_t)acc;
			acc >>= 8;
			bits -= 8;
		}
	}
	if (bits > 0 && at < size)
		dst[at++] = (uint8_t)acc;
	return at;
}

size_t
gsm7_unpack(
    const uint8_t *src, size_t len, unsigned fill, uint8_t *dst, size_t n)
{
	size_t have = len * 8 < fill ? 0 : (len * 8 - fill) / 7, i, bit, at;
	unsigned v;

	if (n > have)
		n = have;
	for (i = 0; i < n; i++) {
		bit = fill + i * 7;
		at = bit / 8;
		v = src[at];
		if (at + 1 < len)
			v |= (unsigned)src[at + 1] << 8;
		dst[i] = (uint8_t)(v >> (bit % 8) & 0x7f);
	}
	return n;
}

unsigned
gsm7_fill(size_t udh_len)
{
	return (unsigned)((7 - udh_len * 8 % 7) % 7);
}
