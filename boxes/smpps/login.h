/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * login.h - a bind on its way to its verdict: who is it (boxes/front), may he
 * (the account), is there room (the bus counts the binds of an account over all
 * boxes).
 *
 * Whoever he says he is, and whatever is wrong with it, the answer is
 * ESME_RBINDFAIL, held back as auth.h says.  What is only wrong now (too many
 * passwords to check, the bus is away) is ESME_RSYSERR: come again.  One bind
 * too many is ESME_RALYBND.
 */
#ifndef SMPPS_LOGIN_H
#define SMPPS_LOGIN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/queue.h"
#include "proto/segment.h"
#include "proto/smpp_pdu.h"

struct account;
struct cell;
struct esme;
struct server;

/* Outlives its session: the answers always come. */
struct login {
	struct server *server;
	uint64_t esme; /* number */
	uint32_t command, sequence;
	char system_id[17];
	uint8_t interface_version;
	const char *why; /* it is refused although the password is right */
	/* Of the account, once it is known. */
	struct cell *cell;
	unsigned former; /* cells: account.h */
	char *account;
	char *default_from; /* or NULL */
	uint32_t window;
	unsigned max_parts;
	int id_form;
	enum segment_charset charset;
	TAILQ_ENTRY(login) link; /* server->logins */
};

TAILQ_HEAD(login_list, login);

void login_on_bind(struct esme *, const struct smpp_pdu *);
/* May this session stay bound, as its account is now?  NULL, or why not.  Goes
 * with the account to another cell. */
const char *login_still_allowed(const struct esme *, const struct account *);
void login_fini(struct server *);

#endif
