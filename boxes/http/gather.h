/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gather.h - the metrics of the whole suite: the bus and every box that is
 * connected are asked at once and their texts put together.
 *
 * A box that does not answer in time costs that time once and shows as
 * hopyard_box_answered 0.  Requests that come while one gathering is under way
 * share its result.
 */
#ifndef HTTP_GATHER_H
#define HTTP_GATHER_H

#include "common/attr.h"

struct box;
struct gatherer;
struct http_request;

/* Both are borrowed; own: the name of this box. */
struct gatherer *gatherer_new(struct box *, const char *own) WARN_UNUSED;
/* Before the box is closed; requests that wait are not answered. */
void gatherer_free(struct gatherer *);

/* Takes the request. */
void gatherer_metrics(struct gatherer *, struct http_request *);

#endif
