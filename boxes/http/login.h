/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * login.h - the start of every request of the JSON API: who asks.  It answers
 * 401 and 503 itself and calls on for the others.
 */
#ifndef HTTP_LOGIN_H
#define HTTP_LOGIN_H

struct account;
struct front;
struct http_request;

/* The client may: account is valid until the return to the loop. */
typedef void login_cb(
    struct http_request *, struct front *, const struct account *);

void login(struct http_request *, struct front *, login_cb *);
/* "key:1f2e3d4c" or "user:demo"; a static buffer.  No secret. */
const char *login_credential(
    const struct http_request *, const struct account *);

#endif
