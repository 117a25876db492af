/* SPDX-License-Identifier: BSD-2-Clause */
#include "proto/join.h"

#include <string.h>

#include "proto/charset.h"
#include "proto/dcs.h"
#include "proto/smpp.h"
void
join_init(struct join *j, uint8_t *dst, size_t cap)
{
	memset(j, 0, sizeof(*j));
	j->dst = dst;
	j->cap = cap;
}

static const uint8_t replaced[] = { 0xef, 0xbf, 0xbd }; /* U+FFFD */

/* The first, or last, UTF-16 unit of a part whose text does not say all; 0. */
static uint16_t
edge(const Hopyard__V1__Content *c, bool last)
{
	const uint8_t *p = c->raw.data;
	size_t len = c->raw.len, head = 0;

	if (!c->has_text || !c->has_raw || c->data_coding > UINT8_MAX ||
	    dcs_alphabet((uint8_t)c->data_coding) != DCS_UCS2 || len == 0)
		return 0;
	if ((c->esm_class & SMPP_ESM_UDHI) != 0)
		head = (size_t)p[0] + 1;
	if (head > len || len - head < 2 || (len - head) % 2 != 0)
		return 0;
	p += last ? len - 2 : head;
	return (uint16_t)(p[0] << 8 | p[1]);
}

static bool
is_half(uint16_t unit, uint16_t kind)
{
	return (unit & 0xfc00) == kind;
}

bool
join_add(struct join *j, const Hopyard__V1__Content *c)
{
	ProtobufCBinaryData b = c->has_text ? c->text : c->data;
	uint16_t low = edge(c, false), high = edge(c, true);
	uint8_t whole[4];
	size_t n = 0;

	if (j->half != 0 && is_half(low, 0xdc00) && b.len >= sizeof(replaced) &&
	    memcmp(b.data, replaced, sizeof(replaced)) == 0)
		n = utf8_put(whole,
		    0x10000u + ((j->half & 0x3ffu) << 10) + (low & 0x3ffu));
	if (n > 0) {
		b.data += sizeof(replaced);
		b.len -= sizeof(replaced);
		if (b.len + n > j->cap - (j->len - sizeof(replaced)))
			return false;
		j->len -= sizeof(replaced);
		memcpy(j->dst + j->len, whole, n);
		j->len += n;
	} else if (b.len > j->cap - j->len) {
		return false;
	}
	if (b.len > 0)
		memcpy(j->dst + j->len, b.data, b.len);
	j->len += b.len;
	j->octets |= !c->has_text;
	j->half = is_half(high, 0xd800) && b.len >= sizeof(replaced) &&
		memcmp(b.data + b.len - sizeof(replaced), replaced,
		    sizeof(replaced)) == 0
	    ? high
	    : 0;
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
