/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * problem.h - errors as application/problem+json (RFC 9457): a stable code
 * word, a sentence for people, and for a message that is not valid a list of
 * JSON pointers with what is wrong there.
 */
#ifndef HTTP_PROBLEM_H
#define HTTP_PROBLEM_H

#include <stdbool.h>

#include "common/attr.h"
#include "common/buf.h"

struct http_request;

/* What is wrong where, collected; at most 50, the others are counted. */
struct problem_list {
	struct buf errors; /* JSON objects, comma separated */
	unsigned count;
};

void problem_list_init(struct problem_list *);
void problem_list_fini(struct problem_list *);
/* pointer is a JSON pointer, made of base and field ("/messages/3", "/to"). */
void problem_add(struct problem_list *, const char *base, const char *field,
    const char *detail, ...) PRINTF(4, 5);

/* code is a stable word such as "not_found"; detail may be NULL. */
void problem_reply(struct http_request *, unsigned status, const char *code,
    const char *detail);
/* 422 with the list. */
void problem_reply_list(struct http_request *, const struct problem_list *);
/* With more header lines, each with CRLF. */
void problem_reply_extra(struct http_request *, unsigned status,
    const char *code, const char *detail, const char *extra);
/* The word for what a server refuses by itself. */
const char *problem_code(unsigned status);

#endif
