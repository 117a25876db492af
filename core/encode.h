/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * encode.h - Record and Dispatch as protobuf, by hand.  They are written once
 * or more for every message, and protobuf-c looks at each of their thirty
 * fields twice; the bytes are the same.  Pure.
 */
#ifndef CORE_ENCODE_H
#define CORE_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "hopyard/v1/bus.pb-c.h"

/* At least what encode_record() will write. */
size_t encode_record_bound(const Hopyard__V1__Record *);
/* Returns the end. */
uint8_t *encode_record(uint8_t *dst, const Hopyard__V1__Record *);

size_t encode_dispatch_bound(const Hopyard__V1__Dispatch *);
uint8_t *encode_dispatch(uint8_t *dst, const Hopyard__V1__Dispatch *);

#endif
