/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * shift.h - national language shift tables of 3GPP 23.038, annex A, for
 * Turkish, Spanish and Portuguese.  A locking table stands in place of the
 * default alphabet, a single shift table in place of its extension; which ones
 * a text uses is said in its user data header.
 *
 * Septets are unpacked, as in gsm7.h.
 */
#ifndef PROTO_SHIFT_H
#define PROTO_SHIFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"

/* National language identifiers, 23.038 6.2.1.2.4. */
enum shift_language {
	SHIFT_DEFAULT = 0,
	SHIFT_TURKISH = 1,
	SHIFT_SPANISH = 2, /* has no locking table */
	SHIFT_PORTUGUESE = 3,
	SHIFT_LANGUAGES,
};

#define SHIFT_BIT(language) (1u << (language)) /* in sets of languages */

struct shift {
	uint8_t locking, single; /* enum shift_language */
};

static inline bool
shift_is_default(struct shift s)
{
	return s.locking == SHIFT_DEFAULT && s.single == SHIFT_DEFAULT;
}

/* "turkish"; SHIFT_LANGUAGES: not known. */
enum shift_language shift_language(const char *name);

/*
 * The tables that a header asks for.  False when it asks for one that we do not
 * have: then the text cannot be read as it was meant.
 */
bool shift_of_udh(struct shift *, struct bytes udh);
/* The elements for a header, without a length octet in front; their size. */
#define SHIFT_IES_MAX 6
size_t shift_put_ies(struct shift, uint8_t dst[SHIFT_IES_MAX]);

/* As gsm7_from_cp() and gsm7_to_cp(), which they are for the default tables. */
int shift_from_cp(struct shift, uint32_t cp);
uint32_t shift_to_cp(struct shift, uint8_t septet, bool escaped);

/* As gsm7_count(), gsm7_encode() and gsm7_decode(), without the misfit. */
bool shift_count(struct shift, struct bytes utf8, size_t *septets);
bool shift_encode(
    struct shift, struct bytes utf8, uint8_t *dst, size_t cap, size_t *out);
size_t shift_decode(
    struct shift, struct bytes septets, uint8_t *dst, size_t cap);

#endif
