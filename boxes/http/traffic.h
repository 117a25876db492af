/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * traffic.h - what the HTTP server counts: requests by route, method and
 * status, and how long they took by route.
 */
#ifndef HTTP_TRAFFIC_H
#define HTTP_TRAFFIC_H

#include <stdint.h>

/* route is a string that lives as long as the process. */
void traffic_count(
    const char *route, unsigned method, unsigned status, uint64_t us);
/* Gives the memory back at the end of the process. */
void traffic_fini(void);

#endif
