/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session.h - commands about the sessions of SMPP customers, which only the
 * servers know: each is asked.  A session is called BOX/NUMBER.
 */
#ifndef HOPCTL_SESSION_H
#define HOPCTL_SESSION_H

#include "tools/hopctl/request.h"

int session_list(struct request *);
int session_kick(struct request *);

#endif
