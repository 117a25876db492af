/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smppc/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/conf.h"
#include "common/xalloc.h"
#include "proto/form.h"
#include "proto/smpp_pdu.h"

struct rule {
	uint16_t tag, rename_to; /* rename_to 0: not at all */
	bool required, drop;
	uint8_t *value; /* owned; NULL: none */
	size_t len;
	char **account; /* owned, as each; none: everybody's */
	size_t n_accounts;
	char missing[128];
};

struct rules {
	struct rule *rule;
	size_t n;
};

/* What the plan of the message decides. */
static bool
rule_tag_is_ours(uint16_t tag)
{
	return tag == SMPP_TLV_MESSAGE_PAYLOAD ||
	    tag == SMPP_TLV_SAR_MSG_REF_NUM ||
	    tag == SMPP_TLV_SAR_TOTAL_SEGMENTS ||
	    tag == SMPP_TLV_SAR_SEGMENT_SEQNUM;
}

/* False: "hex:" and something else behind it. */
static bool
rule_value(struct rule *r, const char *text)
{
	size_t len = strlen(text);
	int n;

	if (strncmp(text, "hex:", 4) != 0) {
		r->value = (uint8_t *)xstrdup(text);
		r->len = len;
		return true;
	}
	r->value = xcalloc(1, len);
	n = form_hex(r->value, (const uint8_t *)text + 4, len - 4);
	r->len = n < 0 ? 0 : (size_t)n;
	return n >= 0;
}

static void
rule_init(struct rule *r, const struct conf_group *g, struct buf *why)
{
	const char *value = conf_str(g, "value");
	size_t i;

	r->tag = (uint16_t)conf_int(g, "tag");
	r->rename_to = (uint16_t)conf_int(g, "rename_to");
	r->required = conf_bool(g, "required");
	r->drop = conf_bool(g, "drop");
	snprintf(r->missing, sizeof(r->missing),
	    "this link needs TLV %.60s (0x%04x) and the message has none",
	    conf_str(g, "name"), r->tag);
	if (value != NULL && !rule_value(r, value))
		buf_printf(why,
		    "%s: value: \"%s\": no hex digits behind hex:\n",
		    conf_where(g, "value"), value);
	if (rule_tag_is_ours(r->tag) || rule_tag_is_ours(r->rename_to))
		buf_printf(why,
		    "%s: tag: message_payload and sar are what long_messages says\n",
		    conf_where(g, "tag"));
	r->n_accounts = conf_list_len(g, "account");
	r->account = xcalloc(r->n_accounts + 1, sizeof(*r->account));
	for (i = 0; i < r->n_accounts; i++)
		r->account[i] = xstrdup(conf_list_str(g, "account", i));
}

struct rules *
rules_new(const struct conf_group *link, struct buf *why)
{
	size_t n = conf_subs(link, "tlvs"), i;
	struct rules *rules;

	if (n == 0)
		return NULL;
	rules = xcalloc(1, sizeof(*rules));
	rules->rule = xcalloc(n, sizeof(*rules->rule));
	rules->n = n;
	for (i = 0; i < n; i++)
		rule_init(&rules->rule[i], conf_sub_at(link, "tlvs", i), why);
	return rules;
}

void
rules_free(struct rules *rules)
{
	size_t i, k;

	if (rules == NULL)
		return;
	for (i = 0; i < rules->n; i++) {
		struct rule *r = &rules->rule[i];

		for (k = 0; k < r->n_accounts; k++)
			free(r->account[k]);
		free(r->account);
		free(r->value);
	}
	free(rules->rule);
	free(rules);
}

static bool
rule_is_for(const struct rule *r, struct bytes account)
{
	size_t i;

	for (i = 0; i < r->n_accounts; i++)
		if (bytes_eq(bytes_str(r->account[i]), account))
			return true;
	return r->n_accounts == 0;
}

static void
rule_drop(const struct rule *r, struct smpp_pdu *pdu)
{
	uint8_t i, n = 0;

	for (i = 0; i < pdu->n_tlvs; i++)
		if (pdu->tlv[i].tag != r->tag)
			pdu->tlv[n++] = pdu->tlv[i];
	pdu->n_tlvs = n;
}

static bool
rule_apply(const struct rule *r, struct smpp_pdu *pdu)
{
	struct bytes found;
	uint8_t i;

	if (r->drop)
		rule_drop(r, pdu);
	/* A full PDU, of 64 of them, has no room: then it is missing. */
	if (r->value != NULL && !smpp_tlv_get(pdu, r->tag, &found))
		(void)smpp_tlv_add(pdu, r->tag, r->value, r->len);
	if (r->required && !smpp_tlv_get(pdu, r->tag, &found))
		return false;
	for (i = 0; r->rename_to != 0 && i < pdu->n_tlvs; i++)
		if (pdu->tlv[i].tag == r->tag)
			pdu->tlv[i].tag = r->rename_to;
	return true;
}

const char *
rules_apply(
    const struct rules *rules, struct bytes account, struct smpp_pdu *pdu)
{
	size_t i;

	for (i = 0; i < rules->n; i++)
		if (rule_is_for(&rules->rule[i], account) &&
		    !rule_apply(&rules->rule[i], pdu))
			return rules->rule[i].missing;
	return NULL;
}
