/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/front/plan.h"

#include "boxes/front/pack.h"

enum segment_error
plan_content(const Hopyard__V1__Content *c, unsigned max_parts,
    const struct segment_plan **out)
{
	static struct segment_plan plan;
	static uint8_t encoded[SEGMENT_BUF];
	struct segment_intent in = SEGMENT_INTENT_INIT;
	struct segment_profile profile = { .max_parts = max_parts };

	in.text = pack_view(c->has_text, c->text);
	in.data = pack_view(c->has_data, c->data);
	in.udh = pack_view(c->has_udh, c->udh);
	if (c->has_coding)
		in.coding = (enum segment_coding)c->coding;
	if (c->has_data_coding)
		in.data_coding = (int)c->data_coding;
	if (c->has_message_class)
		in.message_class = (int)c->message_class;
	if (c->has_mwi)
		in.mwi = (int)c->mwi;
	if (c->has_alt_dcs)
		in.alt_dcs = (int)c->alt_dcs;
	in.compress = c->has_compress && c->compress;
	if (c->has_esm_class)
		in.esm_class = c->esm_class;
	*out = &plan;
	return segment_plan(&plan, &in, &profile, encoded, sizeof(encoded));
}
