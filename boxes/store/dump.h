/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dump.h - any message of bus.proto as JSON, by its descriptor: every field
 * that is there, under its own name.
 */
#ifndef STORE_DUMP_H
#define STORE_DUMP_H

#include <stdbool.h>

#include <protobuf-c/protobuf-c.h>

#include "common/json.h"

/* Without `text` the fields called text, data and udh are left out. */
void dump_message(
    struct json *, const char *key, const ProtobufCMessage *, bool text);

#endif
