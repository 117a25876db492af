/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * number.h - telephone numbers as people write them.
 */
#ifndef BOXES_FRONT_NUMBER_H
#define BOXES_FRONT_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"

/*
 * A destination as people write it: digits with blanks, '-', '(', ')', '.'
 * between them and '+' or "00" in front.  Writes only digits, at most 20 of
 * them; returns how many, or 0 when it is not a number (*bad: offset of the
 * first character that does not belong).
 */
#define NUMBER_MAX 20
size_t number_read(
    const uint8_t *, size_t len, uint8_t dst[NUMBER_MAX], size_t *bad);

/*
 * A sender: a number of at most 20 digits, '+' in front allowed, or up to 11
 * printable ASCII characters.  It is handed on as it is.
 */
bool number_sender_valid(struct bytes);

#endif
