/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ident.c - numbers stay under 2^48, so that they fit into the last group of a
 * UUID and into what 64-bit decimal and hexadecimal ids of carriers look like.
 */
#include "tools/hopsim/ident.h"

#include <stdio.h>
#include <string.h>

#define IDENT_EPOCH_MS  1735689600000ULL /* 2025-01-01 */
#define IDENT_MASK      ((1ULL << 48) - 1)
#define IDENT_UUID_HEAD "68307031-6d00-7000-8000-"

bool
ident_form_parse(const char *s, enum ident_form *form)
{
	if (strcmp(s, "dec") == 0)
		*form = IDENT_DEC;
	else if (strcmp(s, "hex") == 0)
		*form = IDENT_HEX;
	else if (strcmp(s, "uuid") == 0)
		*form = IDENT_UUID;
	else
		return false;
	return true;
}

uint64_t
ident_start(uint64_t wall_ms)
{
	/* 2^10 numbers per millisecond: more than are ever given out. */
	return ((wall_ms - IDENT_EPOCH_MS) << 10) & IDENT_MASK;
}

size_t
ident_format(char dst[IDENT_MAX], uint64_t number, enum ident_form form)
{
	static const char hex[] = "0123456789ABCDEF";
	char tmp[24];
	size_t n = sizeof(tmp);

	switch (form) {
	case IDENT_DEC:
		do {
			tmp[--n] = (char)('0' + number % 10);
			number /= 10;
		} while (number != 0);
		break;
	case IDENT_HEX:
		do {
			tmp[--n] = hex[number & 15];
			number >>= 4;
		} while (number != 0);
		break;
	case IDENT_UUID:
		return (size_t)snprintf(dst, IDENT_MAX,
		    IDENT_UUID_HEAD "%012llx",
		    (unsigned long long)(number & IDENT_MASK));
	}
	memcpy(dst, tmp + n, sizeof(tmp) - n);
	dst[sizeof(tmp) - n] = '\0';
	return sizeof(tmp) - n;
}

static bool
ident_digits(const uint8_t *p, size_t len, unsigned base, uint64_t *number)
{
	uint64_t v = 0;
	unsigned d;
	size_t i;

	if (len == 0 || len > 16)
		return false;
	for (i = 0; i < len; i++) {
		if (p[i] >= '0' && p[i] <= '9')
			d = p[i] - '0';
		else if ((p[i] | 0x20) >= 'a' && (p[i] | 0x20) <= 'f')
			d = (p[i] | 0x20u) - 'a' + 10;
		else
			return false;
		if (d >= base)
			return false;
		v = v * base + d;
	}
	*number = v;
	return true;
}

bool
ident_parse(struct bytes text, enum ident_form form, uint64_t *number)
{
	const size_t head = sizeof(IDENT_UUID_HEAD) - 1;

	switch (form) {
	case IDENT_DEC:
		return ident_digits(text.p, text.len, 10, number);
	case IDENT_HEX:
		return ident_digits(text.p, text.len, 16, number);
	case IDENT_UUID:
		return text.len == head + 12 &&
		    memcmp(text.p, IDENT_UUID_HEAD, head) == 0 &&
		    ident_digits(text.p + head, 12, 16, number);
	}
	return false;
}
