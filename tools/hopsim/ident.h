/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ident.h - the message ids that the simulator gives out.  Behind each is a
 * number that is never given out twice, not even after a restart: it starts
 * with the time, or behind the last one in the journal.
 */
#ifndef HOPSIM_IDENT_H
#define HOPSIM_IDENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"

#define IDENT_MAX 37 /* with NUL */

enum ident_form {
	IDENT_DEC,
	IDENT_HEX,
	IDENT_UUID
};

bool ident_form_parse(const char *, enum ident_form *);
/* First number after a start without a journal. */
uint64_t ident_start(uint64_t wall_ms);
/* NUL-terminated; returns the length without it. */
size_t ident_format(char dst[IDENT_MAX], uint64_t number, enum ident_form);
/* False when the text cannot be an id of this form. */
bool ident_parse(struct bytes, enum ident_form, uint64_t *number);

#endif
