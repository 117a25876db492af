/* SPDX-License-Identifier: BSD-2-Clause */
/* message.c - SMPP 3.4, 4.4.1 (submit_sm), 4.5.1 (submit_multi), 4.7.1
 * (data_sm). */
#include "tools/hopsim/message.h"

#include "proto/wire.h"

#define MESSAGE_ADDRESS 21 /* with NUL; 65 in data_sm */

static void
message_address(struct rd *r, struct message_address *a, size_t max)
{
	a->ton = rd_u8(r);
	a->npi = rd_u8(r);
	a->digits = rd_cstr(r, max);
}

static uint32_t
message_dests(struct rd *r, struct message *m)
{
	unsigned i, n = rd_u8(r);

	if (n == 0 || n > SMPP_MAX_DESTS)
		return ESME_RINVNUMDESTS;
	for (i = 0; i < n; i++) {
		if (rd_u8(r) != SMPP_DEST_SME)
			return r->failed ? ESME_RINVMSGLEN : ESME_RCNTSUBDL;
		message_address(r, &m->dest[i], MESSAGE_ADDRESS);
	}
	m->dests = n;
	m->dst = m->dest[0];
	return ESME_ROK;
}

static void
message_tlvs(struct rd *r, struct message *m)
{
	struct bytes value;
	uint16_t tag, len;

	while (!r->failed && rd_left(r) != 0) {
		tag = rd_u16be(r);
		len = rd_u16be(r);
		value = rd_bytes(r, len);
		if (r->failed)
			return;
		if (tag == SMPP_TLV_MESSAGE_PAYLOAD && m->body.len == 0) {
			m->body = value;
		} else if (tag == SMPP_TLV_SAR_MSG_REF_NUM && len == 2) {
			m->sar_octets[0] = value.p[0];
			m->sar_octets[1] = value.p[1];
		} else if (tag == SMPP_TLV_SAR_TOTAL_SEGMENTS && len == 1) {
			m->sar_octets[2] = value.p[0];
		} else if (tag == SMPP_TLV_SAR_SEGMENT_SEQNUM && len == 1) {
			m->sar_octets[3] = value.p[0];
		}
	}
	if (m->sar_octets[3] != 0)
		m->sar = bytes_of(m->sar_octets, sizeof(m->sar_octets));
}

uint32_t
message_decode(struct message *m, const uint8_t *pdu, size_t len)
{
	struct rd r;
	uint32_t status;

	rd_init(&r, pdu, len);
	(void)rd_u32be(&r);
	m->command = rd_u32be(&r);
	(void)rd_take(&r, 8);
	m->dests = 0;
	m->schedule = m->validity = m->body = bytes_of(NULL, 0);
	m->udh = m->sar = bytes_of(NULL, 0);
	m->protocol_id = m->priority = 0;
	memset(m->sar_octets, 0, sizeof(m->sar_octets));

	m->service_type = rd_cstr(&r, 6);
	if (m->command == SMPP_DATA_SM) {
		message_address(&r, &m->src, 65);
		message_address(&r, &m->dst, 65);
		m->esm_class = rd_u8(&r);
		m->registered = rd_u8(&r);
		m->data_coding = rd_u8(&r);
	} else {
		message_address(&r, &m->src, MESSAGE_ADDRESS);
		if (m->command == SMPP_SUBMIT_MULTI) {
			status = message_dests(&r, m);
			if (status != ESME_ROK)
				return status;
		} else {
			message_address(&r, &m->dst, MESSAGE_ADDRESS);
		}
		m->esm_class = rd_u8(&r);
		m->protocol_id = rd_u8(&r);
		m->priority = rd_u8(&r);
		m->schedule = rd_cstr(&r, 17);
		m->validity = rd_cstr(&r, 17);
		m->registered = rd_u8(&r);
		(void)rd_u8(&r); /* replace_if_present_flag */
		m->data_coding = rd_u8(&r);
		(void)rd_u8(&r); /* sm_default_msg_id */
		m->body = rd_bytes(&r, rd_u8(&r));
	}
	message_tlvs(&r, m);
	if (r.failed)
		return ESME_RINVMSGLEN;
	if (m->dst.digits.len == 0)
		return ESME_RINVDSTADR;
	if ((m->esm_class & SMPP_ESM_UDHI) != 0) {
		if (m->body.len == 0 || m->body.p[0] >= m->body.len)
			return ESME_RINVESMCLASS;
		m->udh = bytes_of(m->body.p, (size_t)m->body.p[0] + 1);
	}
	return ESME_ROK;
}
