/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tap.h - watch the frames between the bus and its boxes: what they are, never
 * what is in them.
 */
#ifndef HOPCTL_TAP_H
#define HOPCTL_TAP_H

#include "tools/hopctl/request.h"

int tap(struct request *);

#endif
