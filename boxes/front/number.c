/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/front/number.h"

#include <string.h>

size_t
number_read(const uint8_t *p, size_t len, uint8_t dst[NUMBER_MAX], size_t *bad)
{
	size_t i = 0, n = 0;

	while (i < len && p[i] == ' ')
		i++;
	if (i < len && p[i] == '+')
		i++;
	else if (len - i > 2 && p[i] == '0' && p[i + 1] == '0')
		i += 2;
	for (; i < len; i++) {
		*bad = i;
		if (p[i] >= '0' && p[i] <= '9') {
			if (n == NUMBER_MAX)
				return 0;
			dst[n++] = p[i];
		} else if (p[i] == '\0' || strchr(" -().", p[i]) == NULL) {
			return 0;
		}
	}
	*bad = len;
	return n;
}

bool
number_sender_valid(struct bytes s)
{
	size_t i = 0;
	bool digits;

	if (s.len == 0)
		return false;
	if (s.len > 1 && s.p[0] == '+')
		i++;
	for (digits = true; i < s.len; i++) {
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
		digits = digits && s.p[i] >= '0' && s.p[i] <= '9';
	}
	return s.len <= (digits ? NUMBER_MAX : 11);
}
