/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * submit.h - what happens with a submit_sm, data_sm or submit_multi: judged,
 * counted, written to the journal, answered, receipts owed.
 */
#ifndef HOPSIM_SUBMIT_H
#define HOPSIM_SUBMIT_H

#include <stddef.h>
#include <stdint.h>

struct session;

/* pdu is a whole PDU with one of these three commands. */
void submit_on_pdu(struct session *, const uint8_t *pdu, size_t len);
void submit_on_query(struct session *, const uint8_t *pdu, size_t len);
void submit_on_cancel(struct session *, const uint8_t *pdu, size_t len);

#endif
