/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * credentials.h - what lets one in: made once, kept in a file that only its
 * owner reads, in a form that a shell can source.  The configuration has
 * hashes of the first three.
 */
#ifndef HOPYARD_CREDENTIALS_H
#define HOPYARD_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attr.h"

struct credentials {
	char username[64];
	char password[80];
	char api_key[80];
	char admin_token[80];
	char webhook_secret[80]; /* "whsec_" and base64 */
	char smsc_password[16];  /* SMPP has room for eight */
};

#define CREDENTIALS_HASH 384

/* Reads the file; makes what is not in it and writes it, mode 0600. */
bool credentials_open(
    struct credentials *, const char *path, char *err, size_t) WARN_UNUSED;
/* yescrypt. */
bool credentials_crypt(
    const char *password, char dst[CREDENTIALS_HASH]) WARN_UNUSED;
/* SHA-256 in hex. */
void credentials_sha256(const char *key, char dst[65]);

#endif
