/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * api.h - the JSON API under /v1, and its contract /openapi.json.
 *
 * 202 means stored durably.  Every error is a problem+json (problem.h).
 */
#ifndef HTTP_API_H
#define HTTP_API_H

struct http_request;

/* arg is the struct front. */
void api_send(struct http_request *, void *arg);    /* POST /v1/messages */
void api_find(struct http_request *, void *arg);    /* GET /v1/messages */
void api_message(struct http_request *, void *arg); /* /v1/messages/ID */
void api_estimate(struct http_request *, void *arg);
void api_openapi(struct http_request *, void *arg);

#endif
