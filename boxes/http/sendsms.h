/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sendsms.h - Kannel's sendsms: parameters, order of checks, status lines and
 * bodies as clients of Kannel 1.4.5 know them.  hop-http(8) lists where it
 * differs on purpose.
 */
#ifndef HTTP_SENDSMS_H
#define HTTP_SENDSMS_H

#include <stdbool.h>

#include "proto/bytes.h"

struct http_request;

/* /cgi-bin/sendsms and /sendsms; arg is the struct front. */
void sendsms_handle(struct http_request *, void *arg);

/* Is this a path on which errors are told as Kannel does? */
bool sendsms_path(struct bytes path);
/* Such an error, with the body as it is. */
void sendsms_reply(struct http_request *, unsigned status, const char *text);

#endif
