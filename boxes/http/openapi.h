/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * openapi.h - the contract of the JSON API: the file openapi.json beside this
 * one, as it is.
 */
#ifndef HTTP_OPENAPI_H
#define HTTP_OPENAPI_H

#include <stddef.h>

extern const char openapi_json[];
extern const size_t openapi_json_len;

#endif
