/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nomem.c - LD_PRELOAD: the allocation with the number NOMEM_AT fails, counted
 * from the start of the process; one only, as when a limit is met.
 *
 * At the end, or at the failure, the file that NOMEM_REPORT names has "COUNT
 * PEAK FAILED": how many there were, the most octets that were alive, and
 * whether one failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

static unsigned long at, count, failed;
static size_t live, peak;
static bool known;

static void
report(void)
{
	const char *path = getenv("NOMEM_REPORT");
	char text[80];
	int fd, n;

	fd = path == NULL
	    ? -1
	    : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	n = snprintf(text, sizeof(text), "%lu %zu %lu\n", count, peak, failed);
	if (write(fd, text, (size_t)n) < 0)
		abort();
	close(fd);
}

__attribute__((destructor)) static void
at_end(void)
{
	report();
}

static bool
is_the_one(void)
{
	const char *s;

	if (!known) {
		known = true;
		s = getenv("NOMEM_AT");
		at = s == NULL ? 0 : strtoul(s, NULL, 10);
	}
	if (++count != at)
		return false;
	failed = 1;
	report();
	errno = ENOMEM;
	return true;
}

static void *
counted(void *p)
{
	live += p == NULL ? 0 : malloc_usable_size(p);
	if (live > peak)
		peak = live;
	return p;
}

void *
malloc(size_t n)
{
	return is_the_one() ? NULL : counted(__libc_malloc(n));
}

void *
calloc(size_t n, size_t size)
{
	return is_the_one() ? NULL : counted(__libc_calloc(n, size));
}

void *
realloc(void *old, size_t n)
{
	size_t before = old == NULL ? 0 : malloc_usable_size(old);
	void *p;

	if (is_the_one())
		return NULL;
	p = __libc_realloc(old, n);
	if (p != NULL || n == 0)
		live -= before;
	return counted(p);
}

void
free(void *p)
{
	if (p == NULL)
		return;
	live -= malloc_usable_size(p);
	__libc_free(p);
}
