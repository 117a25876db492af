/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dump.c - hexadecimal text (blanks, colons and commas are skipped, '#' starts
 * a comment) or, with --raw, the octets themselves.
 */
#include "tools/hopsim/dump.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "proto/smpp_pdu.h"
#include "tools/hopsim/option.h"

#define DUMP_MAX (256u << 20) /* octets of input */

static const char dump_usage[] =
    "usage: hopsim dump [--raw] [--mask] [file ...]\n"
    "\n"
    "  --raw    the input is binary, not hexadecimal\n"
    "  --mask   neither texts, passwords nor whole numbers\n";

static void
dump_read(FILE *f, const char *name, struct buf *in)
{
	char chunk[65536];
	size_t n;

	while ((n = fread(chunk, 1, sizeof(chunk), f)) != 0) {
		if (buf_len(in) + n > DUMP_MAX)
			option_die("%s: too long", name);
		buf_add(in, chunk, n);
	}
	if (ferror(f))
		option_die("%s: %s", name, strerror(errno));
}

static int
dump_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = tolower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False at a character that has no place in hexadecimal text. */
static bool
dump_unhex(const struct buf *in, struct buf *out, size_t *line)
{
	const uint8_t *p = buf_data(in), *end = p + buf_len(in);
	bool comment = false;
	int high = -1, digit;

	*line = 1;
	for (; p < end; p++) {
		if (*p == '\n') {
			comment = false;
			++*line;
		}
		if (*p == '#')
			comment = true;
		if (comment || isspace(*p) || *p == ':' || *p == ',')
			continue;
		if (*p == '0' && p + 1 < end && (p[1] | 0x20) == 'x') {
			p++;
			continue;
		}
		digit = dump_digit(*p);
		if (digit < 0)
			return false;
		if (high < 0) {
			high = digit;
			continue;
		}
		buf_addc(out, (char)(high << 4 | digit));
		high = -1;
	}
	return high < 0;
}

/* One PDU; true when it is well-formed. */
static bool
dump_pdu(const uint8_t *p, size_t len, unsigned flags)
{
	static char text[1 << 20];
	struct smpp_pdu pdu;
	struct smpp_why why;
	char status[SMPP_NAME_MAX];
	bool good;

	good = smpp_decode(&pdu, p, len, SMPP_LENIENT, &why) == SMPP_OK;
	if (good) {
		(void)smpp_dump(&pdu, flags, text, sizeof(text));
		(void)fputs(text, stdout);
	} else {
		const char *name = smpp_command_name(pdu.command_id);

		(void)printf("%s sequence=%u MALFORMED: %s %s (%s)\n",
		    name == NULL ? "unknown command" : name, pdu.sequence,
		    why.field, why.reason, smpp_status_str(why.status, status));
	}
	return good;
}

static bool
dump_all(const struct buf *in, unsigned flags)
{
	const uint8_t *p = buf_data(in);
	size_t left = buf_len(in), offset = 0;
	bool good = true;
	int n;

	while (left != 0) {
		n = smpp_frame(p + offset, left, SMPP_MAX_PDU);
		if (n <= 0) {
			(void)printf("at %zu: %s, %zu octets left\n", offset,
			    n == 0 ? "cut off" : "bad command_length", left);
			return false;
		}
		if (!dump_pdu(p + offset, (size_t)n, flags))
			good = false;
		offset += (size_t)n;
		left -= (size_t)n;
	}
	return good;
}

static bool
dump_stream(FILE *f, const char *name, bool raw, unsigned flags)
{
	struct buf in, octets;
	size_t line;
	bool good;

	buf_init(&in);
	buf_init(&octets);
	dump_read(f, name, &in);
	if (!raw && !dump_unhex(&in, &octets, &line))
		option_die(
		    "%s:%zu: not hexadecimal (--raw takes octets)", name, line);
	good = dump_all(raw ? &in : &octets, flags);
	buf_fini(&octets);
	buf_fini(&in);
	return good;
}

int
dump_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "raw", no_argument, NULL, 'r' },
		{ "mask", no_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	unsigned flags = SMPP_DUMP_ALL;
	bool raw = false, good = true;
	FILE *f;
	int opt;

	while ((opt = getopt_long(argc, argv, "rmh", options, NULL)) != -1) {
		switch (opt) {
		case 'r':
			raw = true;
			break;
		case 'm':
			flags = 0;
			break;
		case 'h':
			(void)fputs(dump_usage, stdout);
			return 0;
		default:
			return 2;
		}
	}
	if (optind == argc)
		return dump_stream(stdin, "stdin", raw, flags) ? 0 : 1;
	for (; optind < argc; optind++) {
		f = fopen(argv[optind], "r");
		if (f == NULL)
			option_die("%s: %s", argv[optind], strerror(errno));
		if (!dump_stream(f, argv[optind], raw, flags))
			good = false;
		(void)fclose(f);
	}
	return good ? 0 : 1;
}
