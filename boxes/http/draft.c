/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/http/draft.h"

#include "boxes/front/account.h"
#include "boxes/front/pack.h"
#include "boxes/front/plan.h"

void
draft_init(
    struct draft *d, const struct account *a, const struct draft_origin *from)
{
	hopyard__v1__envelope__init(&d->env);
	hopyard__v1__origin__init(&d->origin);
	hopyard__v1__content__init(&d->content);
	hopyard__v1__report__init(&d->report);
	d->parts = 1;
	d->encoding = "gsm7";

	uuid_new(d->id);
	d->env.id = pack_bytes(bytes_of(d->id, UUID_LEN));
	d->env.kind = HOPYARD__V1__KIND__MT;
	d->env.has_account = 1;
	d->env.account = pack_bytes(bytes_str(a->pb->id));
	d->env.origin = &d->origin;
	d->origin.has_source = 1;
	d->origin.source = pack_bytes(bytes_str(from->source));
	d->origin.has_credential = 1;
	d->origin.credential = pack_bytes(bytes_str(from->credential));
	if (from->request.len > 0) {
		d->origin.has_request = 1;
		d->origin.request = pack_bytes(from->request);
	}
}

enum segment_error
draft_plan(struct draft *d, unsigned max_parts, const struct segment_plan **out)
{
	enum segment_error err = plan_content(&d->content, max_parts, out);
	const struct segment_plan *plan = *out;

	if (err == SEGMENT_OK) {
		d->parts = plan->segments;
		d->encoding = plan->encoding;
		d->env.has_parts = 1;
		d->env.parts = plan->segments;
		if (max_parts > 0) {
			d->content.has_max_parts = 1;
			d->content.max_parts = max_parts;
		}
	}
	return err;
}

bool
draft_item(const struct draft *d, struct item *item)
{
	bool reports = d->report.has_url || d->report.has_webhook;

	return pack_item(
	    item, &d->env, &d->content, reports ? &d->report : NULL);
}
