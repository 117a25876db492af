/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * encode.h - text of an option as octets of a message: ASCII as it is, anything
 * else as UCS-2.
 */
#ifndef HOPSIM_ENCODE_H
#define HOPSIM_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "tools/hopsim/message.h"

/* dst has room for 2 * len octets.  Returns the data_coding. */
uint8_t encode_text(
    const char *text, size_t len, uint8_t *dst, size_t *dst_len);
/* An address with anything but digits in it is alphanumeric, one of up to six
 * digits a short code, any other international. */
struct message_address encode_address(const char *, size_t len);

#endif
