/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hopsim - the other ends of the suite for tests, demos and benchmarks: an
 * SMSC, load in SMPP and HTTP, a sink for callbacks, and a reader of PDUs.
 * Needs neither the bus nor the configuration file.
 */
#include <stdio.h>
#include <string.h>

#include "common/attr.h"
#include "common/log.h"
#include "tools/hopsim/dump.h"
#include "tools/hopsim/load.h"
#include "tools/hopsim/sink.h"
#include "tools/hopsim/smsc.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} modes[] = {
	{ "smsc", smsc_main, "an SMSC that answers, reports and misbehaves" },
	{ "load", load_main,
	    "messages over SMPP or HTTP, at a rate or flat out" },
	{ "sink", sink_main, "an HTTP server that says 200 to everything" },
	{ "dump", dump_main, "PDUs, decoded for people" },
};

static void
usage(FILE *to)
{
	size_t i;

	(void)fputs("usage: hopsim MODE [option ...]\n\n", to);
	for (i = 0; i < ARRAY_LEN(modes); i++)
		(void)fprintf(to, "  %-6s %s\n", modes[i].name, modes[i].help);
	(void)fputs("\n\"hopsim MODE --help\" lists its options.\n", to);
}

int
main(int argc, char **argv)
{
	size_t i;

	log_init("hopsim");
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		usage(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		(void)puts("hopsim " HOPYARD_VERSION);
		return 0;
	}
	for (i = 0; i < ARRAY_LEN(modes); i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			return modes[i].run(argc - 1, argv + 1);
	(void)fprintf(stderr, "hopsim: no mode \"%s\"\n\n", argv[1]);
	usage(stderr);
	return 2;
}
