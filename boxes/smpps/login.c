/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smpps/login.h"

#include <stdlib.h>
#include <string.h>

#include "boxes/front/account.h"
#include "boxes/front/auth.h"
#include "boxes/smpps/cell.h"
#include "boxes/smpps/customer.h"
#include "boxes/smpps/esme.h"
#include "boxes/smpps/meter.h"
#include "boxes/smpps/server.h"
#include "common/box.h"
#include "common/xalloc.h"

#define LOGIN_BUS_MS    5000
#define LOGIN_MAX_PARTS 10 /* of an account that says nothing */

static void
login_free(struct login *l)
{
	TAILQ_REMOVE(&l->server->logins, l, link);
	free(l->account);
	free(l->default_from);
	free(l);
}

/* The session that waits for it, or NULL: it has gone. */
static struct esme *
login_esme(const struct login *l)
{
	struct esme *e = esme_find(l->server, l->esme);

	return e != NULL && e->state == ESME_STATE_BINDING ? e : NULL;
}

static void
login_refuse(struct login *l, enum meter_refusal kind, const char *why)
{
	static const uint32_t status[METER_REFUSALS] = {
		[METER_PASSWORD] = ESME_RBINDFAIL,
		[METER_BINDS] = ESME_RALYBND,
		[METER_LATER] = ESME_RSYSERR,
	};
	struct esme *e = login_esme(l);

	meter_refused(kind);
	if (e != NULL)
		esme_refuse(e, l, status[kind], why);
	login_free(l);
}

static void
login_denied(struct login *l)
{
	login_refuse(
	    l, METER_PASSWORD, l->why != NULL ? l->why : "name or password");
}

static void
login_refused_cb(
    enum auth_verdict v UNUSED, const struct account *a UNUSED, void *arg)
{
	login_denied(arg);
}

/* The password is right, which he is not to learn; not even from the time. */
static void
login_hold_back(struct login *l, const char *why)
{
	const struct esme *e = login_esme(l);
	struct auth_query q = { .username = bytes_str(l->system_id) };

	if (e == NULL) {
		login_free(l);
		return;
	}
	l->why = why;
	q.source = e->source;
	if (auth_refuse(l->server->auth, &q, why, login_refused_cb, l) !=
	    AUTH_WAIT)
		login_denied(l);
}

/* ------------------------------------------------------------- the account */

static const char *
login_may_bind(const struct account *a, const char *source, bool tls)
{
	if (a->pb->disabled)
		return "account is disabled";
	if (a->pb->has_smpp && !a->pb->smpp)
		return "account may not bind";
	if (a->pb->require_tls && !tls)
		return "account requires TLS";
	if (!account_source_allowed(a, source))
		return "source address not allowed";
	return NULL;
}

const char *
login_still_allowed(const struct esme *e, const struct account *a)
{
	if (strcmp(a->pb->id, e->customer->account) != 0)
		return "the name is that of another account";
	/* Another of this name may be there already, whose sessions came after
	 * the move. */
	if (a->cell != e->customer->cell->index &&
	    !customer_move(e->customer, &e->server->cell[a->cell], a->former))
		return "the account is in another cell now";
	return login_may_bind(a, e->source, e->tls);
}

static int
login_id_form(const char *word)
{
	if (word != NULL && strcmp(word, "hex") == 0)
		return ESME_ID_HEX;
	if (word != NULL && strcmp(word, "dec") == 0)
		return ESME_ID_DEC;
	return ESME_ID_UUID;
}

static enum segment_charset
login_charset(const char *word)
{
	if (word != NULL && strcmp(word, "latin1") == 0)
		return SEGMENT_CHARSET_LATIN1;
	if (word != NULL && strcmp(word, "utf8") == 0)
		return SEGMENT_CHARSET_UTF8;
	if (word != NULL && strcmp(word, "ucs2") == 0)
		return SEGMENT_CHARSET_UCS2;
	return SEGMENT_CHARSET_GSM;
}

static void
login_take_account(struct login *l, const struct account *a)
{
	const Hopyard__V1__Account *pb = a->pb;

	l->cell = &l->server->cell[a->cell];
	l->former = a->former;
	l->account = xstrdup(pb->id);
	if (pb->default_from != NULL && pb->default_from[0] != '\0')
		l->default_from = xstrdup(pb->default_from);
	l->window = pb->window > 0 && pb->window <= SERVER_MAX_WINDOW
	    ? pb->window
	    : l->server->window;
	l->max_parts = pb->has_max_parts ? pb->max_parts : LOGIN_MAX_PARTS;
	l->id_form = login_id_form(pb->message_id);
	l->charset = login_charset(pb->charset);
}

/* ----------------------------------------------------------------- the bus */

static void
login_bus_cb(struct box *box UNUSED, const Hopyard__V1__Reply *reply, void *arg)
{
	struct login *l = arg;
	struct cell *cell = l->cell;
	struct esme *e = login_esme(l);
	char *account = xstrdup(l->account);

	if (reply->code == 409) {
		login_refuse(l, METER_BINDS, "max_binds of the account");
	} else if (reply->code == 403) {
		login_hold_back(l, "the bus does not allow it");
	} else if (reply->code != 0) {
		login_refuse(l, METER_LATER, "the bus did not answer");
	} else {
		if (e != NULL)
			esme_bound(e, l);
		login_free(l);
	}
	customer_answered(cell, account);
	free(account);
}

static void
login_ask_bus(struct login *l)
{
	Hopyard__V1__Call call = HOPYARD__V1__CALL__INIT;
	char target[] = "bus", method[] = "smpp.bind";

	call.target = target;
	call.method = method;
	call.has_account = 1;
	call.account.data = (uint8_t *)l->account;
	call.account.len = strlen(l->account);
	customer_ask(l->cell, l->former, l->account);
	box_call(l->cell->box, &call, LOGIN_BUS_MS, login_bus_cb, l);
}

/* -------------------------------------------------------------------- auth */

static void
login_on_verdict(struct login *l, enum auth_verdict v, const struct account *a)
{
	struct esme *e = login_esme(l);
	const char *why;

	if (e == NULL) {
		login_free(l);
		return;
	}
	switch (v) {
	case AUTH_OK:
		why = login_may_bind(a, e->source, e->tls);
		if (why != NULL) {
			login_hold_back(l, why);
		} else if (!box_ready(l->server->cell[a->cell].box)) {
			login_refuse(l, METER_LATER, "the bus is away");
		} else {
			login_take_account(l, a);
			login_ask_bus(l);
		}
		break;
	case AUTH_DENIED:
		login_denied(l);
		break;
	case AUTH_BUSY:
		login_refuse(l, METER_LATER, "cannot be checked now");
		break;
	case AUTH_WAIT:
		break;
	}
}

static void
login_auth_cb(enum auth_verdict v, const struct account *a, void *arg)
{
	login_on_verdict(arg, v, a);
}

/* SMPP 3.4, 5.2.4: everything up to 0x33 is 3.3 or older. */
static uint8_t
login_version(uint8_t version)
{
	if (version <= 0x33)
		return 0x33;
	return version < 0x50 ? 0x34 : 0x50;
}

void
login_on_bind(struct esme *e, const struct smpp_pdu *pdu)
{
	struct auth_query q = {
		.source = e->source,
		.username = pdu->system_id,
		.password = pdu->password,
	};
	struct login *l = xcalloc(1, sizeof(*l));
	const struct account *a = NULL;
	enum auth_verdict v;

	l->server = e->server;
	l->esme = e->number;
	l->command = pdu->command_id;
	l->sequence = pdu->sequence;
	l->interface_version = login_version(pdu->interface_version);
	smpp_cstr(pdu->system_id, l->system_id, sizeof(l->system_id));
	TAILQ_INSERT_TAIL(&e->server->logins, l, link);
	esme_begin_bind(e);
	v = auth_check(e->server->auth, &q, &a, login_auth_cb, l);
	if (v != AUTH_WAIT)
		login_on_verdict(l, v, a);
}

void
login_fini(struct server *s)
{
	while (!TAILQ_EMPTY(&s->logins))
		/* It leaves the list.  NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
		login_free(TAILQ_FIRST(&s->logins));
}
