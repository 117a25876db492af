/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gsm7.h - the default alphabet and its extension table, 3GPP 23.038 6.2.1.
 *
 * "Unpacked" is one septet per octet, as SMPP carries it with data_coding 0; a
 * character of the extension table is the escape 0x1b and one septet more.
 */
#ifndef PROTO_GSM7_H
#define PROTO_GSM7_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GSM7_ESCAPE 0x1b

/* The first character that a charset does not have. */
struct misfit {
	uint32_t cp;   /* or CHARSET_BAD: not UTF-8; CHARSET_FULL: no room */
	size_t offset; /* in octets of the input */
};

/*
 * The septet of a character; 0x1b00 | septet when it needs the escape; -1 when
 * the alphabet does not have it.
 */
int gsm7_from_cp(uint32_t cp);
/* The character of a septet; escaped: of the extension table.  0: none. */
uint32_t gsm7_to_cp(uint8_t septet, bool escaped);

/*
 * Septets that the UTF-8 text needs.  False, and bad filled in, when a
 * character does not fit.  bad may be NULL.
 */
bool gsm7_count(
    const uint8_t *utf8, size_t len, size_t *septets, struct misfit *bad);

/*
 * UTF-8 -> unpacked.  dst needs as many octets as gsm7_count() says; twice the
 * text's are always enough.  False for a misfit or when dst is full.
 */
bool gsm7_encode(const uint8_t *utf8, size_t len, uint8_t *dst, size_t cap,
    size_t *out, struct misfit *bad);

/*
 * Unpacked -> UTF-8, returns the octets written.  Never fails: an escape
 * without a meaning is skipped or a space at the end (23.038 6.2.1.1), an octet
 * over 0x7f becomes U+FFFD.  dst needs 3 octets per septet, else what
 * does not fit is left out.
 */
size_t gsm7_decode(const uint8_t *septets, size_t n, uint8_t *dst, size_t cap);

/*
 * Septets packed into octets as on the air.  fill: 0 to 6 bits that come first,
 * so that text behind a UDH starts at a septet boundary.  Returns the octets
 * written, 0 when dst is too small: it needs gsm7_packed_size().
 */
size_t gsm7_pack(
    const uint8_t *septets, size_t n, unsigned fill, uint8_t *dst, size_t cap);
size_t gsm7_packed_size(size_t n, unsigned fill);
/*
 * Takes n septets out of len octets; fewer when the octets end before.
 * Returns the number.
 */
size_t gsm7_unpack(
    const uint8_t *src, size_t len, unsigned fill, uint8_t *dst, size_t n);

/* Fill bits behind a UDH of this many octets, its length octet included. */
unsigned gsm7_fill(size_t udh_len);

#endif
