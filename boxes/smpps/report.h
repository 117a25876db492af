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

#define REPORT_MAX 65536 /* octets of text and TLVs that are made here */

struct report_opts {
	uint8_t interface_version; /* under 0x34: no TLVs */
	enum esme_id_form id_form;
	enum segment_charset charset;
};

/*
 * Both fill the PDU (deliver_sm; sequence 0), which borrows from the arguments
 * and from memory, REPORT_MAX octets.  NULL, or why it cannot be said in a
 * deliver_sm: never a matter of time.
 *
 * The submit date is that of the id; the done date is the carrier's where it
 * can be (it has no zone), else the time at which we heard.
 */
const char *report_dlr(struct smpp_pdu *, const Hopyard__V1__Envelope *,
    const Hopyard__V1__Notice *, const Hopyard__V1__Report *,
    const struct report_opts *, uint8_t *memory) WARN_UNUSED;
const char *report_mo(struct smpp_pdu *, const Hopyard__V1__Envelope *,
    const Hopyard__V1__Content *, const struct report_opts *,
    uint8_t *memory) WARN_UNUSED;

/* enum smpp_state of a state of ours. */
unsigned report_state(Hopyard__V1__State);

/*
 * err of a receipt, a table that customers rely on; see hop-smpps(8).
 *
 *	000	delivered, or on its way
 *	001-899	the carrier's own error where it is such a number, else the
 *		command_status of its submit_sm_resp
 *	901	expired	  902 undeliverable  903 rejected
 *	904	canceled  905 unknown
 *	999	an error of the carrier's that has no three digits
 */
unsigned report_error(const Hopyard__V1__Notice *);

#endif
