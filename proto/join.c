/* SPDX-License-Identifier: BSD-2-Clause */
#include "proto/join.h"

#include <string.h>

#include "proto/smpp.h"

void
join_init(struct join *j, uint8_t *dst, size_t cap)
{
	memset(j, 0, sizeof(*j));
	j->dst = dst;
	j->cap = cap;
}

bool
join_add(struct join *j, const Hopyard__V1__Content *c)
{
	ProtobufCBinaryData b = c->has_text ? c->text : c->data;

	if (b.len > j->cap - j->len)
		return false;
	if (b.len > 0)
		memcpy(j->dst + j->len, b.data, b.len);
	j->len += b.len;
	j->octets |= !c->has_text;
	return true;
}

static void
drop_sar(Hopyard__V1__Content *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_tlv; i++) {
		if (c->tlv[i]->tag == SMPP_TLV_SAR_MSG_REF_NUM ||
		    c->tlv[i]->tag == SMPP_TLV_SAR_TOTAL_SEGMENTS ||
		    c->tlv[i]->tag == SMPP_TLV_SAR_SEGMENT_SEQNUM)
			continue;
		c->tlv[n++] = c->tlv[i];
	}
	c->n_tlv = n;
}

static void
drop_concat(struct join *j, Hopyard__V1__Content *c)
{
	size_t n = 0;

	if (c->has_udh && c->udh.len <= sizeof(j->udh))
		n = udh_strip_concat(c->udh.data, c->udh.len, j->udh);
	c->has_udh = n > 0;
	c->udh = (ProtobufCBinaryData){ n, n > 0 ? j->udh : NULL };
	if (n == 0)
		c->esm_class &= ~(uint32_t)SMPP_ESM_UDHI;
}

void
join_finish(struct join *j, Hopyard__V1__Content *c)
{
	ProtobufCBinaryData all = { j->len, j->dst };

	c->has_text = !j->octets;
	c->has_data = j->octets;
	c->text = j->octets ? (ProtobufCBinaryData){ 0, NULL } : all;
	c->data = j->octets ? all : (ProtobufCBinaryData){ 0, NULL };
	if (j->octets) {
		c->has_coding = true;
		c->coding = HOPYARD__V1__CONTENT__CODING__BINARY;
	}
	c->has_raw = false;
	drop_concat(j, c);
	drop_sar(c);
}
