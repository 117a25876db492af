/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config.h - commands about the configuration.  Only "diff" and "--running"
 * need a bus.
 */
#ifndef HOPCTL_CONFIG_H
#define HOPCTL_CONFIG_H

#include "tools/hopctl/request.h"

int config_check(struct request *);
int config_show(struct request *);
int config_default(struct request *);
int config_doc(struct request *);
int config_diff(struct request *);

#endif
