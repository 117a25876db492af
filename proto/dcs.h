/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dcs.h - the data_coding octet: SMPP 3.4, 5.2.19 and 3GPP 23.038, 4.
 */
#ifndef PROTO_DCS_H
#define PROTO_DCS_H

#include <stdbool.h>
#include <stdint.h>

/* How the octets of a message are to be read. */
enum dcs_alphabet {
	DCS_DEFAULT = 0, /* data_coding 0: whatever the link says */
	DCS_GSM7,        /* GSM 03.38, said by a GSM data_coding such as 0xf0 */
	DCS_BINARY,
	DCS_UCS2,
	DCS_ASCII,
	DCS_LATIN1,
	DCS_CYRILLIC, /* ISO-8859-5 */
	DCS_HEBREW,   /* ISO-8859-8 */
	DCS_OTHER,    /* JIS, pictograms, reserved, compressed: octets to us */
};

#define DCS_NONE (-1) /* a value that was not said */

/* What a sender asked for, in Kannel's terms; DCS_NONE where he said nothing. */
struct dcs_wish {
	int message_class; /* 0-3 */
	int mwi;     /* 0-3 activate voice, fax, mail, other; 4-7 deactivate */
	int alt_dcs; /* 1: form 1111xxxx also without a message class */
	bool compress;
	bool discard; /* mwi: an indication without text */
};

/*
 * As Kannel does it towards SMPP: alphabet is DCS_DEFAULT or DCS_GSM7 (both 7
 * bit), DCS_BINARY or DCS_UCS2.  Plain: 0x00, 0x04, 0x08; with a class or
 * alt_dcs 0xf0-0xf7 (a class that was not said is 1), but UCS-2 and what is
 * compressed have 0x10-0x3b, the only form with a bit for it; mwi 0xc0-0xef.
 */
uint8_t dcs_build(enum dcs_alphabet, const struct dcs_wish *);

enum dcs_alphabet dcs_alphabet(uint8_t data_coding);
/* 0-3, or DCS_NONE. */
int dcs_message_class(uint8_t data_coding);
/* 0-7 as in dcs_wish, or DCS_NONE. */
int dcs_mwi(uint8_t data_coding);

#endif
