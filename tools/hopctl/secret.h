/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * secret.h - what an account needs to log in: a password's hash, an API key.
 * No bus.
 */
#ifndef HOPCTL_SECRET_H
#define HOPCTL_SECRET_H

#include "tools/hopctl/request.h"

int password_hash(struct request *);
int key_new(struct request *);

#endif
