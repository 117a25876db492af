/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/smpps/submit.h"

#include <string.h>

#include "boxes/smpps/cell.h"
#include "boxes/smpps/meter.h"
#include "boxes/smpps/server.h"
#include "common/box.h"
#include "common/clock.h"
#include "common/crash.h"
#include "common/log.h"

/* A destination of submit_multi. */
struct submit_dest {
	uint32_t status; /* ESME_ROK: the bus has been asked */
	uint8_t ton, npi, len;
	uint8_t addr[21];
};

/* A request that the bus has, in the memory of its batch.  The session may end
 * before: it is looked up by its number. */
struct submit_request {
	struct cell *cell;
	uint64_t esme;
	uint64_t since_us;
	uint32_t command, sequence;
	bool v50; /* may be told how congested we are */
	char message_id[ESME_ID_MAX];
	unsigned dests; /* of submit_multi; else 0 */
	struct submit_dest dest[];
};

uint32_t
submit_status(enum submit_result result)
{
	switch (result) {
	case SUBMIT_ACCEPTED:
	case SUBMIT_LATER:
		return ESME_ROK;
	case SUBMIT_NO_ROUTE:
	case SUBMIT_DENIED_DESTINATION:
		return ESME_RINVDSTADR;
	case SUBMIT_DENIED_SENDER:
		return ESME_RINVSRCADR;
	case SUBMIT_THROTTLED:
		return ESME_RTHROTTLED;
	case SUBMIT_UNAVAILABLE:
	case SUBMIT_WITHDRAWN:
	case SUBMIT_TIMEOUT:
		/* Of the last it is not known: the bus has it, there is no
		 * room to withdraw it, and it may be sent.  SMPP has no word
		 * for it; this one makes clients try again. */
		return ESME_RMSGQFUL;
	case SUBMIT_DENIED:
	case SUBMIT_INVALID:
	case SUBMIT_REFUSED:
	case SUBMIT_PENDING:
		break;
	}
	/* INVALID is what order.c ought to have seen; a clock that is minutes
	 * off makes ids that the bus does not take. */
	return ESME_RSUBMITFAIL;
}

void
submit_opts(const struct esme *e, struct order_opts *opts)
{
	*opts = (struct order_opts){
		.account = e->customer->account,
		.source = e->source,
		.credential = e->credential,
		.default_from = e->default_from,
		.charset = e->charset,
		.id_form = e->id_form,
		.max_parts = e->max_parts,
		.interface_version = e->interface_version,
		.now_ms = clock_wall_ms(),
	};
}

/* ----------------------------------------------------------------- answers */

static uint32_t
submit_dest_status(
    const struct submit_request *r, const struct batch *b, unsigned i)
{
	if (r->dest[i].status != ESME_ROK)
		return r->dest[i].status;
	return submit_status(batch_result(b, i));
}

/* The list of those that were refused; the status of the first when none was
 * accepted. */
static uint32_t
submit_unsuccess(const struct submit_request *r, const struct batch *b,
    struct smpp_pdu *resp)
{
	static uint8_t list[SMPP_MAX_DESTS * (2 + 21 + 4)];
	struct smpp_unsuccess u;
	unsigned i, refused = 0;
	size_t len = 0;

	for (i = 0; i < r->dests; i++) {
		const struct submit_dest *d = &r->dest[i];

		u.status = submit_dest_status(r, b, i);
		if (u.status == ESME_ROK)
			continue;
		u.ton = d->ton;
		u.npi = d->npi;
		u.addr = bytes_of(d->addr, d->len);
		if (smpp_unsuccess_put(list, sizeof(list), &len, &u))
			refused++;
	}
	if (refused == r->dests)
		return submit_dest_status(r, b, 0);
	resp->unsuccess = bytes_of(list, len);
	resp->no_unsuccess = (uint8_t)refused;
	return ESME_ROK;
}

static void
submit_batch_cb(struct batch *b, void *arg)
{
	struct submit_request *r = arg;
	struct esme *e = esme_find(r->cell->server, r->esme);
	struct smpp_pdu resp;

	meter_submitted(clock_mono_us() - r->since_us);
	if (e == NULL)
		return;
	smpp_pdu_init(&resp, r->command | SMPP_RESP, ESME_ROK, r->sequence);
	resp.command_status = r->dests > 0 ? submit_unsuccess(r, b, &resp)
					   : submit_status(batch_result(b, 0));
	if (resp.command_status == ESME_ROK)
		resp.message_id = bytes_str(r->message_id);
	if (r->v50)
		smpp_tlv_add_u8(&resp, SMPP_TLV_CONGESTION_STATE,
		    (uint8_t)box_fill(r->cell->box));
	CRASH_POINT("smpps.answer");
	if (session_send(e->session, &resp) != 0)
		log_error("smpp.answer", "esme=%llu reason=%s",
		    (unsigned long long)e->number, "does not fit");
	CRASH_POINT("smpps.answered");
	/* May end the session. */
	esme_request_done(e, r->sequence, r->dests > 0 ? r->dests : 1);
}

/* ---------------------------------------------------------------- requests */

static struct batch *
submit_begin(struct esme *e, const struct smpp_pdu *pdu, const struct order *o,
    unsigned dests)
{
	unsigned count = dests > 0 ? dests : 1;
	struct cell *cell = e->customer->cell;
	struct batch *b = batch_new(cell->submitter, count,
	    sizeof(struct submit_request) + dests * sizeof(struct submit_dest));
	struct submit_request *r = batch_memory(b);

	r->cell = cell;
	r->esme = e->number;
	r->since_us = clock_mono_us();
	r->command = pdu->command_id;
	r->sequence = pdu->sequence;
	r->v50 = e->interface_version >= 0x50;
	r->dests = dests;
	memcpy(r->message_id, o->message_id, sizeof(r->message_id));
	esme_request_begin(e, pdu->sequence, count);
	return b;
}

/* One message for one destination. */
static void
submit_one(struct esme *e, const struct smpp_pdu *pdu)
{
	static struct order order;
	struct order_opts opts;
	struct batch *b;
	struct item item;
	uint32_t status;

	submit_opts(e, &opts);
	status = order_read(&order, pdu, &opts);
	if (status == ESME_ROK)
		status = order_to(&order, pdu->dest_addr_ton,
		    pdu->dest_addr_npi, pdu->destination_addr);
	if (status == ESME_ROK && !order_item(&order, &item))
		status = ESME_RINVMSGLEN;
	if (status != ESME_ROK) {
		session_answer(e->session, pdu, status);
		return;
	}
	b = submit_begin(e, pdu, &order, 0);
	batch_add(b, &item, order.id);
	batch_wait(b, submit_batch_cb, batch_memory(b));
}

void
submit_on_submit_sm(struct esme *e, const struct smpp_pdu *pdu)
{
	CRASH_POINT("smpps.submit_read");
	submit_one(e, pdu);
}

void
submit_on_data_sm(struct esme *e, const struct smpp_pdu *pdu)
{
	submit_one(e, pdu);
}

/* Hands over the next destination, or notes why not; *used: the order's id is
 * taken. */
static void
submit_next(struct batch *b, struct order *o, const struct smpp_dest *to,
    struct submit_dest *d, bool *used)
{
	struct item item;

	d->ton = to->ton;
	d->npi = to->npi;
	d->len = (uint8_t)to->addr.len;
	if (d->len > 0)
		memcpy(d->addr, to->addr.p, d->len);
	/* Lists would be kept by an SMSC; here are none. */
	d->status = to->flag == SMPP_DEST_SME
	    ? order_to(o, to->ton, to->npi, to->addr)
	    : ESME_RINVDLNAME;
	if (d->status == ESME_ROK && *used)
		order_again(o);
	if (d->status == ESME_ROK && !order_item(o, &item))
		d->status = ESME_RINVMSGLEN;
	if (d->status != ESME_ROK) {
		batch_refuse(b, SUBMIT_INVALID, NULL);
		return;
	}
	*used = true;
	batch_add(b, &item, o->id);
}

void
submit_on_submit_multi(struct esme *e, const struct smpp_pdu *pdu)
{
	static struct order order;
	struct bytes list = pdu->dests;
	struct submit_request *r;
	struct order_opts opts;
	struct smpp_dest to;
	struct batch *b;
	uint32_t status;
	unsigned i = 0;
	bool used = false;

	submit_opts(e, &opts);
	status = pdu->number_of_dests > 0 ? order_read(&order, pdu, &opts)
					  : ESME_RINVNUMDESTS;
	if (status != ESME_ROK) {
		session_answer(e->session, pdu, status);
		return;
	}
	b = submit_begin(e, pdu, &order, pdu->number_of_dests);
	r = batch_memory(b);
	while (i < r->dests && smpp_dest_next(&list, &to))
		submit_next(b, &order, &to, &r->dest[i++], &used);
	batch_wait(b, submit_batch_cb, r);
}
