/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * template.h - the files of etc/examples that `hopyard new-box` copies, inside
 * the program.
 */
#ifndef HOPYARD_TEMPLATE_H
#define HOPYARD_TEMPLATE_H

#include <stddef.h>

struct template_file {
	const char *name; /* "main.c" */
	const char *text; /* not ended by NUL */
	const char *end;
};

struct template
{
	const char *type;  /* "connector" */
	const char *named; /* what it is called in its files */
	const struct template_file *files;
	size_t count;
};

extern const struct template templates[];
extern const size_t template_count;

#endif
