/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * move.h - an account goes to another cell: `moved` is set in the file that has
 * the account, and the bus loads it again.  The file is the one place that says
 * so, and it is whole at each instant.
 */
#ifndef HOPCTL_MOVE_H
#define HOPCTL_MOVE_H

#include "tools/hopctl/request.h"

int accounts_move(struct request *);

#endif
