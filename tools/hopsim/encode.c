/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopsim/encode.h"

#include <string.h>

#include "common/utf8.h"

struct message_address
encode_address(const char *p, size_t len)
{
	struct message_address a = {
		.ton = SMPP_TON_INTERNATIONAL,
		.npi = SMPP_NPI_ISDN,
	};
	bool plus = len > 1 && p[0] == '+';
	size_t i;

	if (plus) {
		p++;
		len--;
	}
	a.digits = bytes_of(p, len);
	for (i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9') {
			a.ton = SMPP_TON_ALPHANUMERIC;
			a.npi = SMPP_NPI_UNKNOWN;
		}
	}
	if (!plus && len <= 6 && a.npi == SMPP_NPI_ISDN)
		a.ton = SMPP_TON_NETWORK; /* a short code */
	return a;
}

uint8_t
encode_text(const char *text, size_t len, uint8_t *dst, size_t *dst_len)
{
	const uint8_t *p = (const uint8_t *)text;
	uint32_t cp;
	size_t i, n;

	for (i = 0; i < len && p[i] < 0x80; i++)
		;
	*dst_len = 0;
	if (i == len) {
		memcpy(dst, p, len);
		*dst_len = len;
		return SMPP_DC_DEFAULT;
	}
	for (i = 0; i < len; i += n) {
		n = utf8_decode(p + i, len - i, &cp);
		if (n == 0) {
			n = 1;
			cp = 0xfffd;
		}
		if (cp >= 0x10000) {
			cp -= 0x10000;
			dst[(*dst_len)++] = (uint8_t)(0xd8 | cp >> 18);
			dst[(*dst_len)++] = (uint8_t)(cp >> 10);
			cp = 0xdc00 | (cp & 0x3ff);
		}
		dst[(*dst_len)++] = (uint8_t)(cp >> 8);
		dst[(*dst_len)++] = (uint8_t)cp;
	}
	return SMPP_DC_UCS2;
}
