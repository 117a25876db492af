/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dcs.c - make and read the data_coding octet.
 */
#include "proto/dcs.h"

#define DCS_UCS2_BITS   0x08
#define DCS_BINARY_BITS 0x04

static uint8_t
alphabet_bits(enum dcs_alphabet a)
{
	if (a == DCS_UCS2)
		return DCS_UCS2_BITS;
	return a == DCS_BINARY ? DCS_BINARY_BITS : 0;
}

static uint8_t
build_mwi(enum dcs_alphabet a, const struct dcs_wish *w)
{
	uint8_t indicator = (uint8_t)(w->mwi & 0x03);

	if ((w->mwi & 0x04) != 0) /* taken away: nothing to store or show */
		return (uint8_t)(0xc0 | indicator);
	indicator |= 0x08;
	if (w->discard)
		return (uint8_t)(0xc0 | indicator);
	return (uint8_t)((a == DCS_UCS2 || a == DCS_BINARY ? 0xe0 : 0xd0) |
	    indicator);
}

uint8_t
dcs_build(enum dcs_alphabet a, const struct dcs_wish *w)
{
	uint8_t dcs = alphabet_bits(a);

	if (w->mwi != DCS_NONE)
		return build_mwi(a, w);

	/* A class goes into the second form, as Kannel writes it.  That form
	 * has no UCS-2, no compression and no "no class": class 1 is the
	 * handset's own choice, 0 would be a flash message. */
	if ((w->alt_dcs > 0 || w->message_class != DCS_NONE) && a != DCS_UCS2 &&
	    !w->compress)
		return (uint8_t)(dcs | 0xf0 |
		    (w->message_class == DCS_NONE ? 1
						  : w->message_class & 0x03));
	if (w->compress)
		dcs |= 0x20;
	if (w->message_class != DCS_NONE)
		dcs |= (uint8_t)(0x10 | (w->message_class & 0x03));
	return dcs;
}

/* Values under 0x10 are SMPP's own list, the others are GSM 03.38's. */
enum dcs_alphabet
dcs_alphabet(uint8_t dcs)
{
	static const uint8_t smpp[16] = {
		[0x00] = DCS_DEFAULT,
		[0x01] = DCS_ASCII,
		[0x02] = DCS_BINARY,
		[0x03] = DCS_LATIN1,
		[0x04] = DCS_BINARY,
		[0x05] = DCS_OTHER,
		[0x06] = DCS_CYRILLIC,
		[0x07] = DCS_HEBREW,
		[0x08] = DCS_UCS2,
		[0x09] = DCS_OTHER,
		[0x0a] = DCS_OTHER,
		[0x0b] = DCS_OTHER,
		[0x0c] = DCS_OTHER,
		[0x0d] = DCS_OTHER,
		[0x0e] = DCS_OTHER,
		[0x0f] = DCS_OTHER,
	};

	if (dcs < 0x10)
		return (enum dcs_alphabet)smpp[dcs];
	if ((dcs & 0x80) == 0) { /* 00xxxxxx and 01xxxxxx */
		if ((dcs & 0x20) != 0)
			return DCS_OTHER;
		switch (dcs & 0x0c) {
		case 0x00:
			return DCS_GSM7;
		case 0x04:
			return DCS_BINARY;
		case 0x08:
			return DCS_UCS2;
		default:
			return DCS_OTHER;
		}
	}
	switch (dcs & 0xf0) {
	case 0xc0:
	case 0xd0:
		return DCS_GSM7;
	case 0xe0:
		return DCS_UCS2;
	case 0xf0:
		return (dcs & 0x04) != 0 ? DCS_BINARY : DCS_GSM7;
	default:
		return DCS_OTHER;
	}
}

int
dcs_message_class(uint8_t dcs)
{
	if ((dcs & 0xf0) == 0xf0 || ((dcs & 0x90) == 0x10))
		return dcs & 0x03;
	return DCS_NONE;
}

int
dcs_mwi(uint8_t dcs)
{
	if ((dcs & 0xf0) < 0xc0 || (dcs & 0xf0) == 0xf0)
		return DCS_NONE;
	return (dcs & 0x03) | ((dcs & 0x08) != 0 ? 0 : 0x04);
}
