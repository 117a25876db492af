/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * restart.h - `hopctl restart BOX...`
 */
#ifndef HOPCTL_RESTART_H
#define HOPCTL_RESTART_H

struct request;

int restart(struct request *);

#endif
