/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rules.h - what a link does with the optional parameters of a submit_sm: the
 * list `tlvs` of its configuration.  Never changes once made.
 */
#ifndef BOXES_SMPPC_RULES_H
#define BOXES_SMPPC_RULES_H

#include <stdbool.h>

#include "common/attr.h"
#include "proto/bytes.h"

struct buf;
struct conf_group;
struct rules;
struct smpp_pdu;

/* NULL, without a complaint in why, when there are none. */
struct rules *rules_new(const struct conf_group *link, struct buf *why);
void rules_free(struct rules *);

/*
 * Applies all rules to pdu->tlv.  Values are borrowed from the rules.  NULL, or
 * what is missing, for people; that lives as long as the rules.
 */
const char *rules_apply(
    const struct rules *, struct bytes account, struct smpp_pdu *) WARN_UNUSED;

#endif
