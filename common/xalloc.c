/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xalloc.c - allocation that ends the process instead of failing.
 *
 * Says so with write(2) and nothing else: the log may need memory itself.
 */
#include "common/xalloc.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void xalloc_die(size_t) NORETURN;

static void
xalloc_die(size_t n)
{
	char text[64];
	int len;

	len = snprintf(
	    text, sizeof(text), "fatal: out of memory (%zu bytes)\n", n);
	if (write(STDERR_FILENO, text, (size_t)len) < 0)
		_exit(1);
	abort();
}

void *
xmalloc(size_t n)
{
	void *p;

	p = malloc(n > 0 ? n : 1);
	if (p == NULL)
		xalloc_die(n);
	return p;
}

void *
xcalloc(size_t n, size_t size)
{
	void *p;

	if (n == 0 || size == 0)
		n = size = 1;
	p = calloc(n, size);
	if (p == NULL)
		xalloc_die(n > SIZE_MAX / size ? SIZE_MAX : n * size);
	return p;
}

void *
xrealloc(void *old, size_t n)
{
	void *p;

	p = realloc(old, n > 0 ? n : 1);
	if (p == NULL)
		xalloc_die(n);
	return p;
}

void *
xmemdup(const void *src, size_t n)
{
	void *p;

	p = xmalloc(n);
	if (n > 0)
		memcpy(p, src, n);
	return p;
}

char *
xstrdup(const char *s)
{
	return xmemdup(s, strlen(s) + 1);
}

char *
xstrndup(const char *s, size_t n)
{
	char *p;

	p = xmalloc(n + 1);
	if (n > 0)
		memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

char *
xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *p;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&p, fmt, ap);
	va_end(ap);
	if (n < 0)
		xalloc_die(0);
	return p;
}
