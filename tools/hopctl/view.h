/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * view.h - commands that show what is: status, links, queues, boxes, routes,
 * accounts; and the few that change it.
 */
#ifndef HOPCTL_VIEW_H
#define HOPCTL_VIEW_H

#include "tools/hopctl/request.h"

int view_status(struct request *);
int view_links(struct request *);
int view_link(struct request *);
int view_queues(struct request *);
int view_boxes(struct request *);
int view_routes(struct request *);
int view_routes_test(struct request *);
int view_accounts(struct request *);
int view_customers(struct request *);
int view_version(struct request *);

int link_drain(struct request *);
int link_ready(struct request *);
int link_maint(struct request *);
int link_rebind(struct request *);
int queue_hold(struct request *);
int queue_release(struct request *);
int cell_accept_rewind(struct request *);
int bus_handover(struct request *);
int reload(struct request *);

#endif
