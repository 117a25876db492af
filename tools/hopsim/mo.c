/* SPDX-License-Identifier: BSD-2-Clause */
/* mo.c - time in which nobody is bound to take messages makes none. */
#include "tools/hopsim/mo.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/xalloc.h"
#include "tools/hopsim/encode.h"
#include "tools/hopsim/smsc.h"

#define MO_BURST 1000 /* messages per call, so that a pause makes no flood */

static struct account *
mo_account(struct smsc *smsc)
{
	struct account *a;

	TAILQ_FOREACH(a, &smsc->account_list, link) {
		if (TAILQ_EMPTY(&a->receivers))
			continue;
		if (smsc->opt.mo_system_id == NULL) {
			/* Accounts take turns. */
			TAILQ_REMOVE(&smsc->account_list, a, link);
			TAILQ_INSERT_TAIL(&smsc->account_list, a, link);
			return a;
		}
		if (strcmp(a->name, smsc->opt.mo_system_id) == 0)
			return a;
	}
	return NULL;
}

static void
mo_make(struct smsc *smsc, struct account *a)
{
	const struct smsc_options *opt = &smsc->opt;
	uint64_t n = smsc->count.mo, now_us = pattern_now();
	char *from = xmalloc(opt->mo_from.size + 1);
	char *to = xmalloc(opt->mo_to.size + 1);
	char *text = xmalloc(opt->mo_text.size + 1);
	uint8_t *body = xmalloc(opt->mo_text.size * 2 + 1);
	struct message_address src, dst;
	size_t len;
	uint8_t coding;
	struct owed *o;

	src = encode_address(from, pattern_put(&opt->mo_from, from, n, now_us));
	dst = encode_address(to, pattern_put(&opt->mo_to, to, n, now_us));
	coding = encode_text(
	    text, pattern_put(&opt->mo_text, text, n, now_us), body, &len);
	o = owed_new(OWED_MO, a, &src, &dst, bytes_of(body, len));
	o->data_coding = coding;
	o->submit_ms = o->done_ms = smsc->wall_ms;
	smsc_owe(smsc, o, 0);
	free(from);
	free(to);
	free(text);
	free(body);
}

void
mo_generate(struct smsc *smsc)
{
	struct account *a;
	unsigned made = 0;

	a = mo_account(smsc);
	if (a == NULL) {
		smsc->mo_made_ms = smsc->now_ms;
		return;
	}
	smsc->mo_credit += (double)(smsc->now_ms - smsc->mo_made_ms) *
	    smsc->opt.mo_rate / 1000;
	smsc->mo_made_ms = smsc->now_ms;
	while (smsc->mo_credit >= 1) {
		if (++made > MO_BURST || smsc->owed >= smsc->opt.queue) {
			smsc->mo_credit = 0;
			return;
		}
		if (smsc->opt.mo_count != 0 &&
		    smsc->count.mo >= smsc->opt.mo_count)
			return;
		smsc->mo_credit -= 1;
		mo_make(smsc, a);
		a = mo_account(smsc);
	}
}

void
mo_answer(struct smsc *smsc, struct account *a, const struct message *m)
{
	struct bytes text = bytes_of(m->body.p, m->body.len);
	struct owed *o;

	if (text.len != 4 || m->data_coding != SMPP_DC_DEFAULT ||
	    strncasecmp((const char *)text.p, "ping", 4) != 0)
		return;
	o = owed_new(OWED_MO, a, &m->dst, &m->src, bytes_str("pong"));
	o->submit_ms = o->done_ms = smsc->wall_ms;
	smsc_owe(smsc, o, 0);
}
