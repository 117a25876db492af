/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_conf.c - the text of a configuration file.
 *
 * Holds: every complaint is one line, "file:line: what", of a line that the
 * file has, and printable; what is accepted, libconfig accepts too, but for a
 * name that is given twice.
 */
#include "common/conf_scan.h"

#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "test/fuzz/fuzz.h"

static unsigned
lines(const char *text, size_t len)
{
	unsigned n = 1;
	size_t i;

	for (i = 0; i < len; i++)
		n += text[i] == '\n';
	return n;
}

static void
complaint(const char *p, size_t len, unsigned last)
{
	unsigned line = 0;
	size_t i;

	assert(len > 8 && len < 1024 && p[len - 1] == '\n');
	assert(memchr(p, '\n', len) == p + len - 1);
	assert(memcmp(p, "x.cfg:", 6) == 0);
	for (i = 6; p[i] >= '0' && p[i] <= '9'; i++)
		line = line * 10 + (unsigned)(p[i] - '0');
	assert(p[i] == ':' && line >= 1 && line <= last);
	for (i = 0; i + 1 < len; i++)
		assert(p[i] >= ' ' && p[i] < 0x7f);
}

static void
against_library(const char *text)
{
	struct config_t config;

	config_init(&config);
	if (config_read_string(&config, text) != CONFIG_TRUE) {
		const char *why = config_error_text(&config);

		if (strstr(why, "duplicate") == NULL) {
			(void)fprintf(stderr, "libconfig, line %d: %s\n",
			    config_error_line(&config), why);
			assert(!"libconfig refuses what was accepted");
		}
	}
	config_destroy(&config);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	/* Not NUL-terminated for the scanner, so that it is seen to stop. */
	const char *text = (const char *)data;
	struct buf err;
	char *copy;

	buf_init(&err);
	if (conf_scan("x.cfg", text, len, &err)) {
		assert(buf_len(&err) == 0);
		assert(len == 0 || memchr(text, 0, len) == NULL);
		/* As conf.c hands it over, with a newline at the end. */
		copy = malloc(len + 2);
		assert(copy != NULL);
		(void)snprintf(copy, len + 2, "%.*s\n", (int)len, text);
		against_library(copy);
		free(copy);
	} else {
		complaint((const char *)buf_data(&err), buf_len(&err),
		    lines(text, len));
	}
	buf_fini(&err);
	return 0;
}
