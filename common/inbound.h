/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inbound.h - where a message from a handset goes: the rules of the list
 * `inbound`, first match wins.
 *
 * Pure functions of message and table.  The bus asks for the account and the
 * hook box of an MO, the hook for URL and reply; both use this code, so they
 * agree as long as they have the same configuration.  The table borrows its
 * text from the conf that it was made from.
 */
#ifndef COMMON_INBOUND_H
#define COMMON_INBOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"
#include "proto/frame.h"

struct conf;
struct inbound;

struct inbound_rule {
	const char *name;
	const char *account;
	const char *url;  /* Kannel-style GET with escapes, or NULL */
	const char *hook; /* box, or NULL: the first one */
	bool webhook;     /* JSON event to the account's webhook */
	bool smpp;        /* deliver_sm to the account's binds */
	bool join;        /* for URL and webhook: parts are joined first */
	bool reply;       /* the answer's text goes back to the handset */
};

/* What is known of an MO; an absent value fits only rules that do not ask for
 * it.  account: only rules of this account are looked at, unless absent. */
struct inbound_key {
	struct bytes link, to, from, keyword, account;
};

struct inbound *inbound_new(const struct conf *) WARN_UNUSED;
void inbound_free(struct inbound *);

/* The first rule that takes it, or NULL. */
const struct inbound_rule *inbound_match(
    const struct inbound *, const struct inbound_key *);

/*
 * One pattern of a rule: the whole value, or its start when the pattern ends
 * in '*'; a '+' at the start of the pattern means nothing; letters of either
 * case are equal where `fold` says so.
 */
bool inbound_fits(const char *pattern, struct bytes value, bool fold);

/*
 * The keyword of a text: its first word in upper case (ASCII letters only), at
 * most cap bytes.  Returns its length, 0 when there is none.
 */
size_t inbound_keyword(const void *text, size_t len, uint8_t *dst, size_t cap);

/* An address of a carrier's as it is written inside the suite: international
 * numbers without '+'.  A part of what it is given. */
struct bytes inbound_address(struct bytes);

#endif
