/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * address.h - the text form of an address, as conn.h describes it.  Pure: no
 * look-up.
 */
#ifndef COMMON_ADDRESS_H
#define COMMON_ADDRESS_H

#include <sys/un.h>

#include "common/attr.h"

enum address_kind {
	ADDRESS_UNIX = 0,
	ADDRESS_TCP,
};

struct address {
	enum address_kind kind;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char host[256]; /* without brackets; "" for ":port" */
	char port[6];   /* digits, 0 to 65535 */
};

/* Returns 0, UV_EINVAL, or UV_ENAMETOOLONG for a path over 107 bytes. */
int address_parse(struct address *, const char *text) WARN_UNUSED;

#endif
