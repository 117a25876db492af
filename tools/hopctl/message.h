/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * message.h - commands about messages: find, show, trace, cancel, replay, send.
 */
#ifndef HOPCTL_MESSAGE_H
#define HOPCTL_MESSAGE_H

#include "tools/hopctl/request.h"

int message_find(struct request *);
int message_show(struct request *);
int message_trace(struct request *);
int message_cancel(struct request *);
int message_replay(struct request *);
int message_send(struct request *);
int receipts_orphans(struct request *);

#endif
