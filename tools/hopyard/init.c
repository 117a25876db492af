/* SPDX-License-Identifier: BSD-2-Clause */
#include "tools/hopyard/init.h"

#include <sys/stat.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/conf.h"
#include "tools/hopyard/credentials.h"
#include "tools/hopyard/folder.h"
#include "tools/hopyard/starter.h"

static const char usage[] =
    "usage: hopyard init [DIR]\n\n"
    "Writes DIR/hopyard.cfg, a first configuration with comments, and\n"
    "DIR/credentials, what lets one in. DIR is the working folder if it is "
    "not\n"
    "given. Nothing that is there is overwritten.\n";

static const char title[] =
    "hopyard.cfg - a first configuration, made by `hopyard init`\n"
    "\n"
    "To do: the link (host, system_id, password) as your carrier has told "
    "you,\n"
    "and the database (dsn). A setting that is not here has its default; all "
    "of\n"
    "them are in hopyard.cfg(5). \"hopctl config check\" tells what is wrong.";

static bool
write_files(const char *dir, char *err, size_t len)
{
	struct starter s = { .title = title,
		.node = "hop1",
		.dsn = "host=/run/postgresql dbname=hopyard",
		.http = "127.0.0.1:13013",
		.smpps = "127.0.0.1:2775",
		.admin = "127.0.0.1:13000",
		.smsc = "smsc.example.net:2775",
		.link = "carrier",
		.system_id = "customer" };
	char path[PATH_MAX + 32], run[PATH_MAX + 8];
	struct credentials c;
	struct buf text, why;
	struct conf *conf;
	bool ok;

	snprintf(path, sizeof(path), "%s/hopyard.cfg", dir);
	if (access(path, F_OK) == 0) {
		snprintf(
		    err, len, "%s is there already, and stays as it is", path);
		return false;
	}
	snprintf(run, sizeof(run), "%s/run", dir);
	if (!folder_suits(run, "/bus.sock")) {
		snprintf(err, len,
		    "the path %s is too long for a Unix socket (107 bytes): "
		    "take another folder",
		    dir);
		return false;
	}
	if (mkdir(run, 0700) != 0 && errno != EEXIST) {
		snprintf(err, len, "cannot make %s: %s", run, strerror(errno));
		return false;
	}
	s.run = run;
	snprintf(path, sizeof(path), "%s/credentials", dir);
	if (!credentials_open(&c, path, err, len))
		return false;
	snprintf(path, sizeof(path), "%s/hopyard.cfg", dir);
	buf_init(&text);
	ok = starter_write(&s, &c, &text, err, len) &&
	    starter_save(path, &text, err, len);
	buf_fini(&text);
	if (!ok)
		return false;
	buf_init(&why);
	conf = conf_load(path, &why);
	if (conf == NULL)
		snprintf(err, len, "%s", buf_str(&why));
	else
		conf_free(conf);
	buf_fini(&why);
	return conf != NULL;
}

int
init_main(int argc, char **argv)
{
	const char *given = argc > 1 ? argv[1] : ".";
	char dir[PATH_MAX], err[2 * PATH_MAX];
	bool ok;

	if (strcmp(given, "--help") == 0 || strcmp(given, "-h") == 0) {
		(void)fputs(usage, stdout);
		return 0;
	}
	if (argc > 2 || given[0] == '-') {
		(void)fprintf(stderr, "hopyard init: what is \"%s\" for?\n%s",
		    given[0] == '-' ? given : argv[2], usage);
		return 2;
	}
	ok = mkdir(given, 0700) == 0 || errno == EEXIST;
	if (!ok || realpath(given, dir) == NULL) {
		(void)fprintf(
		    stderr, "hopyard: %s: %s\n", given, strerror(errno));
		return 1;
	}
	if (!write_files(dir, err, sizeof(err))) {
		(void)fprintf(stderr, "hopyard: %s\n", err);
		return 1;
	}
	(void)strncpy(dir, folder_show(dir), sizeof(dir) - 1);
	(void)printf(
	    "Written: %s/hopyard.cfg, and %s/credentials with its "
	    "passwords.\n\n"
	    "Next:\n"
	    "  1. put your carrier and your database into "
	    "%s/hopyard.cfg\n"
	    "     (as user postgres: createuser %s; createdb -O %s "
	    "hopyard)\n"
	    "  2. hop-store -c %s/hopyard.cfg -M     makes the tables\n"
	    "  3. hopyard run -c %s/hopyard.cfg      Ctrl-C stops it\n",
	    dir, dir, dir, getenv("USER") != NULL ? getenv("USER") : "hopyard",
	    getenv("USER") != NULL ? getenv("USER") : "hopyard", dir, dir);
	return 0;
}
