/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * certs.h - "hopctl certs": an authority in a folder; needs no bus.
 */
#ifndef HOPCTL_CERTS_H
#define HOPCTL_CERTS_H

#include "tools/hopctl/request.h"

#define CERTS_FOLDER "/etc/hopyard/certs"

int certs_init(struct request *);
int certs_issue(struct request *);
int certs_renew(struct request *);
int certs_revoke(struct request *);
int certs_list(struct request *);

#endif
