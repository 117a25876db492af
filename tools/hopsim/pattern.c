/* SPDX-License-Identifier: BSD-2-Clause */
/* pattern.c - a pattern is cut into pieces once and filled in often. */
#include "tools/hopsim/pattern.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/xalloc.h"

#define PATTERN_DIGITS_MAX 20

bool
pattern_init(struct pattern *p, const char *text, unsigned digits)
{
	size_t n = 0, used = 0, i;
	enum pattern_piece type;

	memset(p, 0, sizeof(*p));
	p->text = xmalloc(strlen(text) + 1);
	p->digits = digits < PATTERN_DIGITS_MAX ? digits : PATTERN_DIGITS_MAX;
	for (i = 0; text[i] != '\0'; i++) {
		type = PATTERN_TEXT;
		if (text[i] == '%' && text[i + 1] == 'n')
			type = PATTERN_COUNTER;
		else if (text[i] == '%' && text[i + 1] == 'm')
			type = PATTERN_CYCLE;
		else if (text[i] == '%' && text[i + 1] == 't')
			type = PATTERN_TIME;
		if (type != PATTERN_TEXT ||
		    (text[i] == '%' && text[i + 1] == '%'))
			i++;
		if (type == PATTERN_TEXT) {
			p->text[used++] = text[i];
			if (n != 0 && p->piece[n - 1].type == PATTERN_TEXT) {
				p->piece[n - 1].len++;
				continue;
			}
		}
		if (n == PATTERN_PIECES - 1) {
			pattern_fini(p);
			return false;
		}
		p->piece[n].type = type;
		p->piece[n++].len = 1;
		if (type == PATTERN_COUNTER || type == PATTERN_CYCLE)
			p->size += PATTERN_DIGITS_MAX;
		else if (type == PATTERN_TIME)
			p->size += PATTERN_TOKEN;
	}
	p->size += used;
	return true;
}

void
pattern_fini(struct pattern *p)
{
	free(p->text);
	p->text = NULL;
}

static size_t
pattern_number(char *dst, uint64_t v, unsigned digits)
{
	char tmp[PATTERN_DIGITS_MAX];
	size_t n = 0;

	while (v != 0 || n < digits) {
		tmp[sizeof(tmp) - ++n] = (char)('0' + v % 10);
		v /= 10;
	}
	memcpy(dst, tmp + sizeof(tmp) - n, n);
	return n;
}

size_t
pattern_put(
    const struct pattern *p, char *dst, uint64_t counter, uint64_t wall_us)
{
	const char *text = p->text;
	char *at = dst;
	size_t i;

	for (i = 0;; i++) {
		switch (p->piece[i].type) {
		case PATTERN_END:
			return (size_t)(at - dst);
		case PATTERN_TEXT:
			memcpy(at, text, p->piece[i].len);
			text += p->piece[i].len;
			at += p->piece[i].len;
			break;
		case PATTERN_COUNTER:
			at += pattern_number(at, counter, p->digits);
			break;
		case PATTERN_CYCLE:
			at += pattern_number(at,
			    p->cycle != 0 ? counter % p->cycle : counter, 1);
			break;
		case PATTERN_TIME:
			*at++ = 'T';
			at += pattern_number(at, wall_us, 16);
			*at++ = 'Z';
			break;
		}
	}
}

static uint64_t
pattern_token_at(const char *at)
{
	uint64_t v = 0;
	int i;

	if (at[PATTERN_TOKEN - 1] != 'Z')
		return 0;
	for (i = 1; i < PATTERN_TOKEN - 1; i++) {
		if (at[i] < '0' || at[i] > '9')
			return 0;
		v = v * 10 + (uint64_t)(at[i] - '0');
	}
	return v;
}

uint64_t
pattern_token(const void *data, size_t len)
{
	const char *at = data, *end = at + len;
	uint64_t v;

	while (end - at >= PATTERN_TOKEN) {
		at = memchr(at, 'T', (size_t)(end - at) - PATTERN_TOKEN + 1);
		if (at == NULL)
			return 0;
		v = pattern_token_at(at++);
		if (v != 0)
			return v;
	}
	return 0;
}

uint64_t
pattern_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}
