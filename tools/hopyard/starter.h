/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * starter.h - writes a configuration with comments: that of the demo, and the
 * one that `hopyard init` gives to somebody who starts in earnest.
 *
 * The last line of a generated file has a sum of all before it.  A file whose
 * sum fits is written anew at the next start; one that a person has edited is
 * never touched.
 */
#ifndef HOPYARD_STARTER_H
#define HOPYARD_STARTER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attr.h"

struct buf;
struct credentials;

#define STARTER_WITH 8
#define STARTER_SET  64

/* A box of an integrator. */
struct starter_with {
	char name[64];
	char type[64];
	const char *role; /* "connector", "front", "hook", "filter" */
	const char *command;
};

struct starter {
	const char *title; /* comment lines at the top, without "# " */
	const char *node;
	const char *run; /* folder of the bus's sockets */
	const char *dsn;
	const char *http;  /* "127.0.0.1:13013" */
	const char *smpps; /* NULL: no SMPP server */
	const char *admin;
	const char *smsc; /* where the link binds to */
	const char *link; /* its name */
	const char *system_id;
	const char *sink;      /* takes reports; NULL: none */
	unsigned window;       /* 0: the default */
	const char *log_level; /* NULL: the default */
	bool quiet;            /* no line per message */
	bool demo;
	struct starter_with with[STARTER_WITH];
	size_t with_count;
	const char *set[STARTER_SET]; /* "bus.checkpoint=1s" */
	size_t set_count;
};

enum starter_file {
	STARTER_NONE,   /* there is no file */
	STARTER_OURS,   /* as it was written */
	STARTER_EDITED, /* by a person */
};

/* Reads "[NAME[/TYPE][:ROLE]=]COMMAND"; a name is made of the command's. */
bool starter_parse_with(
    struct starter_with *, const char *text, char *err, size_t) WARN_UNUSED;
/* The text, with its sum; false with a reason for a --set that fits nowhere
 * or a hash that cannot be made. */
bool starter_write(const struct starter *, const struct credentials *,
    struct buf *, char *err, size_t) WARN_UNUSED;
enum starter_file starter_look(const char *path);
/* Puts it there, mode 0600, whole or not at all. */
bool starter_save(
    const char *path, struct buf *, char *err, size_t) WARN_UNUSED;
/* A text as libconfig reads it, with its quotes. */
void starter_quote(struct buf *, const char *);
/* host='...' as libpq reads it. */
void starter_dsn(struct buf *, const char *sock_dir);

#endif
