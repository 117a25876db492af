/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report.h - what a deliver_sm to a customer says: a DLR as a receipt (SMPP
 * 3.4, appendix B and 5.3.2.12, 5.3.2.35), an MO as it came.  Pure.
 */
#ifndef SMPPS_REPORT_H
#define SMPPS_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "boxes/smpps/esme.h"
#include "common/attr.h"
#include "hopyard/v1/bus.pb-c.h"
#include "proto/smpp_pdu.h"

#define REPORT_MAX 1024 /* octets of text and TLVs that are made here */

struct report_opts {
	uint8_t interface_version; /* 0x33: no TLVs */
	enum esme_id_form id_form;
	enum segment_charset charset;
};

/*
 * Fills the PDU (deliver_sm; sequence 0), which borrows from the arguments and
 * from memory, REPORT_MAX octets.  UV-style: 0, or <0: it cannot be said in a
 * deliver_sm (too long without TLVs).
 */
int report_dlr(struct smpp_pdu *, const Hopyard__V1__Envelope *,
    const Hopyard__V1__Notice *, const Hopyard__V1__Report *,
    uint64_t accepted_at, const struct report_opts *,
    uint8_t *memory) WARN_UNUSED;
int report_mo(struct smpp_pdu *, const Hopyard__V1__Envelope *,
    const Hopyard__V1__Content *, const struct report_opts *,
    uint8_t *memory) WARN_UNUSED;

#endif
