/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_smpp_session.c - a script of what a peer, an owner and the clock do to
 * one session, over a real socket.  The first octet says how the session is
 * set up (see begin()); then each octet is a step, some with octets behind
 * (see step()).
 * fuzz-link: boxes/smpp
 *
 * Holds at every step: no more is in flight than the window allows; what is
 * written to the peer are whole PDUs that decode strictly, in answer to what it
 * sent or ours; each request ends once, by an answer or as lost; ten malformed
 * PDUs end the session; closed comes last and once.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "boxes/smpp/session.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/log.h"
#include "proto/wire.h"
#include "test/fuzz/fuzz.h"

#define FUZZ_STEPS    400
#define FUZZ_REQUESTS 256
#define FUZZ_BAD      10

enum request_state {
	REQUEST_NONE = 0,
	REQUEST_OUT,
	REQUEST_ANSWERED,
	REQUEST_LOST,
};

static struct fuzz {
	uv_loop_t loop;
	int listener, fd; /* the peer's end */
	char path[64];
	struct session *session; /* NULL: closed */
	uint64_t now_ms;
	uint32_t window;
	bool ready, owner_answers;
	unsigned n_requests, out, closed;
	uint8_t request[FUZZ_REQUESTS]; /* enum request_state, by tag */
	uint8_t in[1 << 16];            /* what the session has written */
	size_t in_len;
} fuzz;

/* -------------------------------------------------------------- the owner */

static void
on_connected(struct session *s, void *arg)
{
	(void)s;
	((struct fuzz *)arg)->ready = true;
}

static void
on_answer(struct session *s, const struct window_slot *slot,
    const struct smpp_pdu *pdu, void *arg)
{
	struct fuzz *f = arg;

	(void)s;
	assert(f->closed == 0);
	assert(slot->what == f && slot->tag < f->n_requests);
	assert(f->request[slot->tag] == REQUEST_OUT);
	assert(slot->seq == pdu->sequence);
	assert((pdu->command_id & SMPP_RESP) != 0);
	f->request[slot->tag] = REQUEST_ANSWERED;
	f->out--;
}

static void
on_pdu(struct session *s, const struct smpp_pdu *pdu, void *arg)
{
	struct fuzz *f = arg;

	assert(f->closed == 0);
	assert(pdu->command_id != SMPP_ENQUIRE_LINK);
	if (f->owner_answers && (pdu->command_id & SMPP_RESP) == 0)
		session_answer(s, pdu, ESME_ROK);
}

static void
on_lost(struct session *s, const struct window_slot *slot, void *arg)
{
	struct fuzz *f = arg;

	assert(f->closed == 0 && session_closing(s));
	assert(slot->what == f && slot->tag < f->n_requests);
	assert(f->request[slot->tag] == REQUEST_OUT);
	f->request[slot->tag] = REQUEST_LOST;
	f->out--;
}

static void
on_closed(struct session *s, const char *reason, void *arg)
{
	struct fuzz *f = arg;

	assert(s == f->session && reason[0] != '\0');
	assert(session_bad_pdus(s) <= FUZZ_BAD);
	f->closed++;
	f->session = NULL;
}

static const struct session_ops ops = {
	.connected = on_connected,
	.answer = on_answer,
	.pdu = on_pdu,
	.lost = on_lost,
	.closed = on_closed,
};

/* ---------------------------------------------------------------- the peer */

/* Takes what the session has written, and looks at each PDU. */
static void
read_all(struct fuzz *f)
{
	struct smpp_why why;
	struct smpp_pdu pdu;
	ssize_t got;
	int n;

	while (f->fd >= 0) {
		got = recv(f->fd, f->in + f->in_len, sizeof(f->in) - f->in_len,
		    MSG_DONTWAIT);
		if (got <= 0)
			break;
		f->in_len += (size_t)got;
		while ((n = smpp_frame(f->in, f->in_len, SMPP_MAX_PDU)) > 0) {
			assert(smpp_decode(&pdu, f->in, (size_t)n, 0, &why) ==
			    SMPP_OK);
			assert((pdu.command_id & SMPP_RESP) != 0 ||
			    pdu.command_id == SMPP_ENQUIRE_LINK ||
			    pdu.command_id == SMPP_SUBMIT_SM ||
			    pdu.command_id == SMPP_BIND_TRANSCEIVER);
			memmove(f->in, f->in + n, f->in_len - (size_t)n);
			f->in_len -= (size_t)n;
		}
		assert(n == 0);
	}
}

static void
peer_sends(struct fuzz *f, const void *octets, size_t len)
{
	/* MSG_NOSIGNAL: the session may have gone; so may room for more. */
	if (f->fd >= 0)
		(void)!send(f->fd, octets, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A PDU whose command_length is right. */
static void
peer_sends_pdu(struct fuzz *f, struct rd *r)
{
	static const uint32_t commands[] = { SMPP_BIND_TRANSCEIVER,
		(uint32_t)SMPP_BIND_TRANSCEIVER_RESP, SMPP_SUBMIT_SM,
		(uint32_t)SMPP_SUBMIT_SM_RESP, SMPP_DELIVER_SM,
		(uint32_t)SMPP_DELIVER_SM_RESP, SMPP_ENQUIRE_LINK,
		(uint32_t)SMPP_ENQUIRE_LINK_RESP, SMPP_UNBIND,
		(uint32_t)SMPP_UNBIND_RESP, (uint32_t)SMPP_GENERIC_NACK,
		SMPP_DATA_SM, SMPP_OUTBIND, SMPP_QUERY_SM, 0x77,
		SMPP_ALERT_NOTIFICATION };
	uint32_t command = commands[rd_u8(r) % ARRAY_LEN(commands)];
	uint32_t status = rd_u8(r), seq = rd_u8(r);
	size_t len = rd_u8(r);
	uint8_t pdu[16 + 255];
	struct bytes body;

	if (len > rd_left(r))
		len = rd_left(r);
	body = rd_bytes(r, len);
	if (r->failed)
		return;
	memset(pdu, 0, 16);
	pdu[2] = (uint8_t)((16 + len) >> 8);
	pdu[3] = (uint8_t)(16 + len);
	pdu[4] = (uint8_t)(command >> 24);
	pdu[5] = (uint8_t)(command >> 16);
	pdu[6] = (uint8_t)(command >> 8);
	pdu[7] = (uint8_t)command;
	pdu[11] = (uint8_t)status;
	pdu[15] = (uint8_t)seq;
	if (len > 0)
		memcpy(pdu + 16, body.p, len);
	peer_sends(f, pdu, 16 + len);
}

/* --------------------------------------------------------------- the script */

static void
owner_requests(struct fuzz *f)
{
	uint8_t octets[256];
	struct smpp_pdu pdu;
	int n;

	if (session_room(f->session) == 0 || f->n_requests == FUZZ_REQUESTS)
		return;
	smpp_pdu_init(&pdu, SMPP_SUBMIT_SM, ESME_ROK, 0);
	pdu.short_message = bytes_str("hello");
	n = smpp_encode(&pdu, octets, sizeof(octets));
	assert(n > 0);
	f->request[f->n_requests] = REQUEST_OUT;
	f->out++;
	session_request(f->session, octets, (size_t)n, f, f->n_requests++);
}

static void
owner_binds(struct fuzz *f)
{
	struct smpp_pdu pdu;

	smpp_pdu_init(&pdu, SMPP_BIND_TRANSCEIVER, ESME_ROK,
	    session_next_seq(f->session));
	pdu.system_id = bytes_str("hop");
	pdu.interface_version = 0x34;
	assert(session_send(f->session, &pdu) == 0);
}

static void
step(struct fuzz *f, struct rd *r)
{
	uint8_t what = rd_u8(r);
	struct bytes octets;
	size_t len;

	switch (what % 12) {
	case 0: /* octets as they are */
		len = rd_u8(r);
		octets = rd_bytes(r, len < rd_left(r) ? len : rd_left(r));
		if (!r->failed)
			peer_sends(f, octets.p, octets.len);
		break;
	case 1:
	case 2:
		peer_sends_pdu(f, r);
		break;
	case 3:
		owner_requests(f);
		break;
	case 4: /* up to a minute */
		f->now_ms += (uint64_t)rd_u8(r) * 250;
		clock_set(f->now_ms, f->now_ms);
		session_tick(f->session, f->now_ms);
		break;
	case 5:
		session_pause(f->session);
		break;
	case 6:
		session_resume(f->session);
		break;
	case 7:
		session_probe(f->session);
		break;
	case 8:
		owner_binds(f);
		break;
	case 9:
		session_bound(f->session);
		break;
	case 10:
		if (rd_u8(r) % 4 == 0)
			session_close(f->session, "by the script");
		else if (rd_u8(r) % 4 == 0)
			session_close_flush(f->session, "by the script");
		break;
	case 11:
		if (f->fd >= 0 && rd_u8(r) % 4 == 0)
			(void)shutdown(f->fd, SHUT_WR);
		break;
	}
}

static void
check(struct fuzz *f)
{
	if (f->session == NULL)
		return;
	assert(session_in_flight(f->session) == f->out);
	assert(f->out <= f->window);
	assert(f->out + session_room(f->session) <= f->window);
	assert(session_bad_pdus(f->session) <= FUZZ_BAD);
	assert(session_bad_pdus(f->session) < FUZZ_BAD ||
	    session_closing(f->session));
}

static void
begin(struct fuzz *f, uint8_t flags)
{
	struct session_opts opts = {
		.window = 1 + (flags & 7),
		.enquire_ms = (flags & 8) != 0 ? 30000 : 0,
		.decode = (flags & 16) != 0 ? SMPP_LENIENT : 0,
		.max_bad = FUZZ_BAD,
	};

	f->now_ms = 1000000;
	clock_set(f->now_ms, f->now_ms);
	f->ready = false;
	f->n_requests = f->out = f->closed = 0;
	f->in_len = 0;
	f->window = opts.window;
	f->owner_answers = (flags & 32) != 0;
	f->session = session_connect(&f->loop, f->path, &opts, &ops, f);
	assert(f->session != NULL);
	while (!f->ready)
		uv_run(&f->loop, UV_RUN_ONCE);
	f->fd = accept(f->listener, NULL, NULL);
	assert(f->fd >= 0);
	if ((flags & 64) != 0)
		session_bound(f->session);
}

static void
end(struct fuzz *f)
{
	unsigned i;

	if (f->session != NULL)
		session_close(f->session, "end of the script");
	while (f->closed == 0)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert(f->closed == 1 && f->session == NULL && f->out == 0);
	for (i = 0; i < f->n_requests; i++)
		assert(f->request[i] == REQUEST_ANSWERED ||
		    f->request[i] == REQUEST_LOST);
	read_all(f);
	(void)close(f->fd);
	f->fd = -1;
	while (uv_run(&f->loop, UV_RUN_NOWAIT) != 0)
		;
}

static void
remove_socket(void)
{
	(void)unlink(fuzz.path);
}

static void
start(struct fuzz *f)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	log_init("fuzz");
	log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT, true);
	assert(uv_loop_init(&f->loop) == 0);
	(void)snprintf(
	    f->path, sizeof(f->path), "/tmp/hop-fuzz-%ld.sock", (long)getpid());
	(void)unlink(f->path);
	memcpy(sun.sun_path, f->path, strlen(f->path) + 1);
	f->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert(bind(f->listener, (struct sockaddr *)&sun, sizeof(sun)) == 0);
	assert(listen(f->listener, 4) == 0);
	(void)atexit(remove_socket);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz *f = &fuzz;
	unsigned steps;
	struct rd r;

	if (f->path[0] == '\0')
		start(f);
	rd_init(&r, data, len);
	begin(f, rd_u8(&r));
	for (steps = 0; steps < FUZZ_STEPS && rd_left(&r) > 0 && !r.failed &&
	     f->session != NULL;
	     steps++) {
		step(f, &r);
		uv_run(&f->loop, UV_RUN_NOWAIT);
		uv_run(&f->loop, UV_RUN_NOWAIT);
		check(f);
		read_all(f);
	}
	end(f);
	return 0;
}
