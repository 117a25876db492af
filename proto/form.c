/* SPDX-License-Identifier: BSD-2-Clause */
#include "proto/form.h"

#include <limits.h>
#include <string.h>

int
form_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

void
form_open(struct form *f, const void *data, size_t len)
{
	f->pos = data;
	f->end = len > 0 ? f->pos + len : f->pos;
}

bool
form_next(struct form *f, struct bytes *name, struct bytes *value)
{
	const uint8_t *amp, *eq, *stop;

	while (f->pos < f->end) {
		amp = memchr(f->pos, '&', (size_t)(f->end - f->pos));
		stop = amp != NULL ? amp : f->end;
		name->p = f->pos;
		name->len = (size_t)(stop - f->pos);
		value->p = stop;
		value->len = 0;
		f->pos = amp != NULL ? amp + 1 : f->end;
		if (name->len == 0)
			continue;
		eq = memchr(name->p, '=', name->len);
		if (eq != NULL) {
			value->p = eq + 1;
			value->len = (size_t)(stop - value->p);
			name->len = (size_t)(eq - name->p);
		}
		return true;
	}
	return false;
}

/* How much at the beginning stands for itself. */
static size_t
form_plain(const uint8_t *src, size_t len)
{
	size_t i;

	for (i = 0; i < len && src[i] != '+' && src[i] != '%'; i++)
		;
	return i;
}

size_t
form_decode(uint8_t *dst, const uint8_t *src, size_t len)
{
	size_t i = 0, n = 0, plain;
	int hi, lo;

	if (len == 0)
		return 0;
	for (;;) {
		plain = form_plain(src + i, len - i);
		if (plain > 0 && dst + n != src + i)
			memmove(dst + n, src + i, plain);
		i += plain;
		n += plain;
		if (i == len)
			return n;
		hi = lo = -1;
		if (src[i] == '%' && len - i > 2) {
			hi = form_digit(src[i + 1]);
			lo = form_digit(src[i + 2]);
		}
		if (hi >= 0 && lo >= 0) {
			dst[n++] = (uint8_t)(hi << 4 | lo);
			i += 3;
		} else {
			dst[n++] = src[i] == '+' ? ' ' : src[i];
			i++;
		}
	}
}

bool
form_is(struct bytes encoded, const char *name)
{
	uint8_t plain[64];
	size_t len;

	/* Told apart by the first byte mostly: this is asked for each pair of a
	 * query and each name that there could be. */
	if (encoded.len > 0 && encoded.p[0] != (uint8_t)name[0] &&
	    encoded.p[0] != '%' && encoded.p[0] != '+')
		return false;
	len = strlen(name);
	if (encoded.len == len && memcmp(encoded.p, name, len) == 0)
		return true;
	if (encoded.len < len || encoded.len > sizeof(plain) ||
	    form_plain(encoded.p, encoded.len) == encoded.len)
		return false;
	return form_decode(plain, encoded.p, encoded.len) == len &&
	    memcmp(plain, name, len) == 0;
}

bool
form_int(const uint8_t *p, size_t len, int *value)
{
	const uint8_t *end = len > 0 ? p + len : p;
	bool negative = false, any = false;
	int64_t v = 0;

	while (p < end && (*p == ' ' || (*p >= '\t' && *p <= '\r')))
		p++;
	if (p < end && (*p == '-' || *p == '+'))
		negative = *p++ == '-';
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		any = true;
		if (v <= INT_MAX)
			v = v * 10 + (*p - '0');
	}
	if (!any)
		return false;
	if (v > INT_MAX)
		v = INT_MAX;
	*value = (int)(negative ? -v : v);
	return true;
}

int
form_hex(uint8_t *dst, const uint8_t *src, size_t len)
{
	size_t i;
	int hi, lo;

	if (len % 2 != 0 || len / 2 > INT_MAX)
		return -1;
	for (i = 0; i < len; i += 2) {
		hi = form_digit(src[i]);
		lo = form_digit(src[i + 1]);
		if (hi < 0 || lo < 0)
			return -1;
		dst[i / 2] = (uint8_t)(hi << 4 | lo);
	}
	return (int)(len / 2);
}

bool
form_url_under(const uint8_t *url, size_t len, const char *prefix)
{
	size_t n = strlen(prefix);
	const char *authority = strstr(prefix, "://");

	if (n == 0 || len < n || memcmp(url, prefix, n) != 0)
		return false;
	if (authority != NULL && strpbrk(authority + 3, "/?#") != NULL)
		return true;
	return len == n || url[n] == '/' || url[n] == '?' || url[n] == '#';
}
