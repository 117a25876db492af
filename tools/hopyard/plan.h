/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plan.h - what a demo is to be: its options, and the configuration that they
 * make (or that a person has edited), with the places in it that the demo
 * itself needs to know.
 */
#ifndef HOPYARD_PLAN_H
#define HOPYARD_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attr.h"
#include "tools/hopyard/cluster.h"
#include "tools/hopyard/credentials.h"
#include "tools/hopyard/folder.h"
#include "tools/hopyard/starter.h"

struct conf;
struct conf_group;

#define PLAN_PORTS 32

struct plan_options {
	const char *dir;
	long shift;
	bool json, quiet, no_sim;
	const char *smsc;
	const char *sim[32]; /* further arguments of hopsim smsc */
	size_t sim_count;
	struct starter starter; /* window, log_level, with, set */
	bool shaped; /* an option was given that shapes the configuration */
};

struct plan {
	struct plan_options o;
	struct folder folder;
	struct cluster cluster;
	struct credentials secret;
	struct conf *conf;
	bool database; /* ours is to be started */
	bool edited;   /* the configuration */
	/* Or NULL. */
	const struct conf_group *link, *http, *smpp, *admin, *store;
	char smsc[300]; /* where the simulator listens; "": there is none */
	char sink[300]; /* the same of the sink */
	struct {
		char name[80];
		char address[300];
	} port[PLAN_PORTS]; /* everything that is listened on */
	size_t ports;
};

/* Reads the command line; -1, or an exit code. */
int plan_parse(struct plan_options *, int argc, char **argv);
/* Folder, credentials, configuration.  false with a text in err. */
bool plan_make(
    struct plan *, const struct plan_options *, char *err, size_t) WARN_UNUSED;
/* Are all ports free?  false with who has them, and what to do, in err. */
bool plan_check_ports(const struct plan *, char *err, size_t) WARN_UNUSED;
void plan_free(struct plan *);

#endif
