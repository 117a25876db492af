/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * identity.h - who a certificate of the bus's network is for: a URI among its
 * subject alternative names, "hopyard:bus" or "hopyard:box/TYPE/NAME".  Pure.
 */
#ifndef COMMON_IDENTITY_H
#define COMMON_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attr.h"

#define IDENTITY_BUS    "hopyard:bus"
#define IDENTITY_SCHEME "hopyard:"
#define IDENTITY_MAX    128 /* of the text, with its NUL */

struct identity {
	bool bus; /* then type and name are empty */
	char type[32];
	char name[64];
};

/* false: it is no identity of ours.  Letters, digits, '.', '_', '@', '-' only. */
bool identity_parse(struct identity *, const char *uri) WARN_UNUSED;
/* The URI of a type and a name ("bus": of a bus, whatever its name); false
 * when they cannot be one. */
bool identity_format(
    char dst[IDENTITY_MAX], const char *type, const char *name) WARN_UNUSED;

#endif
