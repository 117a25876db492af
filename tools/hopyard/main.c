/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hopyard - starts the suite: for a look (demo), from a configuration (run),
 * or one process of it (exec).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attr.h"
#include "common/daemon.h"
#include "tools/hopyard/child.h"
#include "tools/hopyard/cluster.h"
#include "tools/hopyard/demo.h"
#include "tools/hopyard/init.h"
#include "tools/hopyard/new_box.h"
#include "tools/hopyard/run.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} verbs[] = {
	{ "demo", demo_main,
	    "the whole suite with a database and a simulated SMSC" },
	{ "init", init_main, "write a first configuration" },
	{ "run", run_main, "all boxes of a configuration, in the foreground" },
	{ "exec", exec_main, "become one box (for systemd and containers)" },
	{ "new-box", new_box_main, "a folder with a box of your own, in C" },
};

static void
usage(FILE *to)
{
	(void)fputs("usage: hopyard VERB [option ...]\n\n", to);
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		(void)fprintf(to, "  %-7s %s\n", verbs[i].name, verbs[i].help);
	(void)fputs("\n\"hopyard VERB --help\" lists its options.\n", to);
}

/* What the supervisor calls itself as. */
static int
hidden(int argc, char **argv)
{
	if (argc > 3 && strcmp(argv[1], "child") == 0)
		return child_exec((int)strtol(argv[2], NULL, 10), argv + 3);
	if (argc > 3 && strcmp(argv[1], "as-postgres") == 0)
		return cluster_exec(argv[2], argv + 3);
	return -1;
}

int
main(int argc, char **argv)
{
	char name[32];
	int rc;

	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	rc = hidden(argc, argv);
	if (rc >= 0)
		return rc;
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		usage(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0 ||
	    strcmp(argv[1], "version") == 0) {
		(void)printf("hopyard %s\n", hopyard_version);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		if (strcmp(argv[1], verbs[i].name) != 0)
			continue;
		/* For the messages of getopt(3). */
		(void)snprintf(name, sizeof(name), "hopyard %s", argv[1]);
		argv[1] = name;
		return verbs[i].run(argc - 1, argv + 1);
	}
	(void)fprintf(stderr, "hopyard: there is no verb \"%s\"\n\n", argv[1]);
	usage(stderr);
	return 2;
}
