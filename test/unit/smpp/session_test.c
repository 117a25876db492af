/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session_test.c - one session against octets that the test writes: framing at
 * every cut, enquire_link, time-outs on a clock that the test sets, bad PDUs,
 * answers and what is told at the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <cmocka.h>
#include <uv.h>

#include "boxes/smpp/session.h"
#include "common/attr.h"
#include "common/clock.h"
#include "common/log.h"

struct fixture {
	uv_loop_t loop;
	int listener, fd; /* the peer's end */
	struct session *session;
	unsigned connected, answers, pdus, batches, lost, closed, writable;
	unsigned sent, pause_at; /* pause when so many PDUs have come; 0: no */
	struct window_slot last_slot;
	struct smpp_pdu last_pdu;
	char reason[128];
};

static void
on_connected(struct session *s, void *arg)
{
	(void)s;
	((struct fixture *)arg)->connected++;
}

static void
on_answer(struct session *s, const struct window_slot *slot,
    const struct smpp_pdu *pdu, void *arg)
{
	struct fixture *f = arg;

	(void)s;
	f->answers++;
	f->last_slot = *slot;
	f->last_pdu = *pdu;
}

static void
on_pdu(struct session *s, const struct smpp_pdu *pdu, void *arg)
{
	struct fixture *f = arg;

	f->pdus++;
	f->last_pdu = *pdu;
	if (f->pdus == f->pause_at)
		session_pause(s);
	if ((pdu->command_id & SMPP_RESP) == 0)
		session_answer(s, pdu, ESME_ROK);
}

static void
on_batch(struct session *s, void *arg)
{
	(void)s;
	((struct fixture *)arg)->batches++;
}

static void
on_writable(struct session *s, void *arg)
{
	assert_true(session_room(s) > 0);
	((struct fixture *)arg)->writable++;
}

static void
on_sent(struct session *s UNUSED, uint32_t command UNUSED,
    uint32_t status UNUSED, void *arg)
{
	((struct fixture *)arg)->sent++;
}

static void
on_lost(struct session *s, const struct window_slot *slot, void *arg)
{
	struct fixture *f = arg;

	(void)s;
	assert_int_equal(f->closed, 0);
	f->lost++;
	f->last_slot = *slot;
}

static void
on_closed(struct session *s, const char *reason, void *arg)
{
	struct fixture *f = arg;

	(void)s;
	f->closed++;
	f->session = NULL;
	snprintf(f->reason, sizeof(f->reason), "%s", reason);
}

static const struct session_ops ops = {
	.connected = on_connected,
	.answer = on_answer,
	.pdu = on_pdu,
	.batch = on_batch,
	.writable = on_writable,
	.sent = on_sent,
	.lost = on_lost,
	.closed = on_closed,
};

/* Runs the loop until *what has reached n; a stuck test is ended by run_unit. */
static void
run_until(struct fixture *f, const unsigned *what, unsigned n)
{
	while (*what < n)
		uv_run(&f->loop, UV_RUN_ONCE);
}

/* All that is ready now, and a little more: for "nothing happens". */
static void
run_some(struct fixture *f)
{
	int i;

	for (i = 0; i < 20; i++) {
		uv_run(&f->loop, UV_RUN_NOWAIT);
		poll(NULL, 0, 1);
	}
}

static int
setup(void **state)
{
	static const struct session_opts opts = {
		.window = 4,
		.enquire_ms = 30000,
		.decode = SMPP_LENIENT,
	};
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_in sin = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	char address[64];

	clock_set(1000000, 1000000);
	log_init("session_test");
	uv_loop_init(&f->loop);
	f->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(
	    bind(f->listener, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(f->listener, 1), 0);
	getsockname(f->listener, (struct sockaddr *)&sin, &len);
	snprintf(address, sizeof(address), "127.0.0.1:%u",
	    (unsigned)ntohs(sin.sin_port));
	f->session = session_connect(&f->loop, address, &opts, &ops, f);
	assert_non_null(f->session);
	run_until(f, &f->connected, 1);
	f->fd = accept(f->listener, NULL, NULL);
	assert_true(f->fd >= 0);
	session_bound(f->session);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	if (f->session != NULL) {
		session_close(f->session, "end of test");
		run_until(f, &f->closed, 1);
	}
	close(f->fd);
	close(f->listener);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	free(f);
	clock_set(0, 0);
	return 0;
}

static void
tick(struct fixture *f, uint64_t mono_ms)
{
	clock_set(mono_ms, mono_ms);
	if (f->session != NULL)
		session_tick(f->session, mono_ms);
}

static size_t
put(uint8_t *dst, uint32_t command, uint32_t status, uint32_t seq,
    const void *body, size_t len)
{
	uint32_t head[4] = { htonl((uint32_t)(16 + len)), htonl(command),
		htonl(status), htonl(seq) };

	memcpy(dst, head, 16);
	if (len > 0)
		memcpy(dst + 16, body, len);
	return 16 + len;
}

static void
peer_send(struct fixture *f, uint32_t command, uint32_t status, uint32_t seq,
    const void *body, size_t len)
{
	uint8_t buf[512];
	size_t n = put(buf, command, status, seq, body, len);

	assert_int_equal(write(f->fd, buf, n), n);
}

/* The header of the next PDU that we sent to the peer. */
static void
peer_expect(struct fixture *f, uint32_t command, uint32_t status, uint32_t *seq)
{
	uint8_t buf[512];
	struct pollfd p = { .fd = f->fd, .events = POLLIN };
	uint32_t head[4];
	size_t rest;

	while (poll(&p, 1, 0) == 0)
		uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(recv(f->fd, head, 16, MSG_WAITALL), 16);
	assert_int_equal(ntohl(head[1]), command);
	assert_int_equal(ntohl(head[2]), status);
	if (seq != NULL)
		*seq = ntohl(head[3]);
	rest = ntohl(head[0]) - 16;
	assert_true(rest <= sizeof(buf));
	if (rest > 0)
		assert_int_equal(recv(f->fd, buf, rest, MSG_WAITALL), rest);
}

static void
send_submit(struct fixture *f, void *what, uint32_t tag)
{
	struct smpp_pdu pdu;
	uint8_t buf[256];
	int n;

	smpp_pdu_init(&pdu, SMPP_SUBMIT_SM, ESME_ROK, 0);
	pdu.destination_addr = bytes_str("491511");
	pdu.short_message = bytes_str("text");
	n = smpp_encode(&pdu, buf, sizeof(buf));
	assert_true(n > 0);
	session_request(f->session, buf, (size_t)n, what, tag);
}

/* ------------------------------------------------------------------- tests */

static void
every_cut_of_the_stream(void **state)
{
	struct fixture *f = *state;
	uint8_t stream[256];
	size_t len = 0, cut;
	unsigned want = 0;
	uint32_t seq;

	len += put(stream + len, SMPP_ENQUIRE_LINK, 0, 1, NULL, 0);
	len += put(stream + len, SMPP_UNBIND, 0, 2, NULL, 0);
	len += put(stream + len, SMPP_ENQUIRE_LINK, 0, 3, NULL, 0);
	for (cut = 1; cut < len; cut++) {
		assert_int_equal(write(f->fd, stream, cut), cut);
		run_some(f);
		assert_int_equal(
		    write(f->fd, stream + cut, len - cut), len - cut);
		run_until(f, &f->pdus, ++want);
		peer_expect(f, (uint32_t)SMPP_ENQUIRE_LINK_RESP, 0, &seq);
		assert_int_equal(seq, 1);
		peer_expect(f, (uint32_t)SMPP_UNBIND_RESP, 0, &seq);
		assert_int_equal(seq, 2);
		peer_expect(f, (uint32_t)SMPP_ENQUIRE_LINK_RESP, 0, &seq);
		assert_int_equal(seq, 3);
	}
	assert_int_equal(f->pdus, want);
	assert_int_equal(session_bad_pdus(f->session), 0);
}

static void
answers_find_their_requests(void **state)
{
	struct fixture *f = *state;
	uint32_t seq[4];
	int what[4], i;

	for (i = 0; i < 4; i++)
		send_submit(f, &what[i], (uint32_t)i);
	assert_int_equal(session_room(f->session), 0);
	for (i = 0; i < 4; i++)
		peer_expect(f, SMPP_SUBMIT_SM, 0, &seq[i]);
	peer_send(f, (uint32_t)SMPP_SUBMIT_SM_RESP, 0, seq[2], "id2", 4);
	run_until(f, &f->answers, 1);
	assert_ptr_equal(f->last_slot.what, &what[2]);
	assert_int_equal(f->last_slot.tag, 2);

	/* Again: not ours any more, the owner hears of it. */
	peer_send(f, (uint32_t)SMPP_SUBMIT_SM_RESP, 0, seq[2], "id2", 4);
	run_until(f, &f->pdus, 1);
	peer_send(f, (uint32_t)SMPP_GENERIC_NACK, 3, seq[0], NULL, 0);
	run_until(f, &f->answers, 2);
	assert_ptr_equal(f->last_slot.what, &what[0]);
	assert_int_equal(f->last_pdu.command_status, 3);

	/* The end: the two that are left, then closed. */
	close(f->fd);
	run_until(f, &f->closed, 1);
	assert_int_equal(f->lost, 2);
	assert_ptr_equal(f->last_slot.what, &what[3]);
	f->fd = dup(f->listener);
}

/* The body does not parse, the status is there: it is the answer. */
static void
broken_body_of_an_answer(void **state)
{
	struct fixture *f = *state;
	uint32_t seq;

	send_submit(f, f, 0);
	peer_expect(f, SMPP_SUBMIT_SM, 0, &seq);
	peer_send(f, (uint32_t)SMPP_SUBMIT_SM_RESP, 0, seq, "no end", 6);
	run_until(f, &f->answers, 1);
	assert_int_equal(f->last_pdu.command_status, 0);
	assert_int_equal(f->last_pdu.message_id.len, 0);
	assert_int_equal(session_bad_pdus(f->session), 1);
}

static void
enquire_link_after_silence(void **state)
{
	struct fixture *f = *state;
	uint32_t seq;

	tick(f, 1029000);
	tick(f, 1030001);
	peer_expect(f, SMPP_ENQUIRE_LINK, 0, &seq);
	peer_send(f, (uint32_t)SMPP_ENQUIRE_LINK_RESP, 0, seq, NULL, 0);
	run_until(f, &f->batches, 1);
	tick(f, 1045000);
	assert_int_equal(f->closed, 0);

	/* The next one is not answered. */
	tick(f, 1060100);
	peer_expect(f, SMPP_ENQUIRE_LINK, 0, &seq);
	tick(f, 1070000);
	run_some(f);
	assert_int_equal(f->closed, 0);
	tick(f, 1070200);
	run_until(f, &f->closed, 1);
	assert_string_equal(f->reason, "enquire_link not answered");
}

/* A peer that sends other things first is alive. */
static void
any_pdu_is_a_sign_of_life(void **state)
{
	struct fixture *f = *state;

	tick(f, 1030001);
	peer_expect(f, SMPP_ENQUIRE_LINK, 0, NULL);
	clock_set(1039000, 1039000);
	peer_send(f, SMPP_UNBIND, 0, 9, NULL, 0);
	run_until(f, &f->pdus, 1);
	tick(f, 1041000);
	run_some(f);
	assert_int_equal(f->closed, 0);
	tick(f, 1049001);
	run_until(f, &f->closed, 1);
}

static void
unfinished_pdu(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[64];

	put(buf, SMPP_ENQUIRE_LINK, 0, 1, NULL, 0);
	assert_int_equal(write(f->fd, buf, 9), 9);
	run_some(f);
	tick(f, 1009000);
	/* One octet more does not buy time. */
	assert_int_equal(write(f->fd, buf + 9, 1), 1);
	run_some(f);
	assert_int_equal(f->closed, 0);
	tick(f, 1010001);
	run_until(f, &f->closed, 1);
	assert_string_equal(f->reason, "PDU begun and not completed");
}

static void
length_out_of_bounds(void **state)
{
	struct fixture *f = *state;
	const uint32_t head[4] = { htonl(SMPP_MAX_PDU + 1),
		htonl(SMPP_DELIVER_SM), 0, htonl(1) };

	assert_int_equal(write(f->fd, head, 16), 16);
	peer_expect(f, (uint32_t)SMPP_GENERIC_NACK, ESME_RINVCMDLEN, NULL);
	run_until(f, &f->closed, 1);
}

static void
ten_bad_pdus(void **state)
{
	struct fixture *f = *state;
	uint32_t i;

	for (i = 1; i <= 10; i++)
		peer_send(f, SMPP_DELIVER_SM, 0, i, "\1", 1);
	run_until(f, &f->closed, 1);
	assert_string_equal(f->reason, "too many malformed PDUs");
	assert_int_equal(f->pdus, 0);
}

/* Ten in a year are no reason. */
static void
bad_pdus_are_forgotten(void **state)
{
	struct fixture *f = *state;
	uint32_t i;

	for (i = 1; i <= 20; i++) {
		clock_set(1000000 + i * 601000, 1000000);
		peer_send(f, SMPP_DELIVER_SM, 0, i, "\1", 1);
		run_until(f, &f->batches, i);
	}
	assert_int_equal(f->closed, 0);
	assert_int_equal(session_bad_pdus(f->session), 1);
}

static void
peer_floods(struct fixture *f, unsigned n)
{
	uint8_t stream[64 * SMPP_HEADER];
	size_t len = 0;

	while (n-- > 0)
		len += put(stream + len, SMPP_ENQUIRE_LINK, 0, 7, NULL, 0);
	assert_int_equal(write(f->fd, stream, len), len);
}

static unsigned
peer_got(struct fixture *f)
{
	uint8_t got[64 * SMPP_HEADER];
	ssize_t n;

	run_some(f);
	n = recv(f->fd, got, sizeof(got), MSG_DONTWAIT);
	return n < 0 ? 0 : (unsigned)n / SMPP_HEADER;
}

/* Some in a row are answered; who goes on has an answer now and then. */
static void
enquire_link_in_a_row(void **state)
{
	struct fixture *f = *state;
	uint64_t now = 1000000;
	int i;

	peer_floods(f, 32);
	assert_int_equal(peer_got(f), 32);
	peer_floods(f, 40);
	assert_int_equal(peer_got(f), 33);
	peer_floods(f, 1);
	assert_int_equal(peer_got(f), 0);
	tick(f, now += 100);
	assert_int_equal(peer_got(f), 0);
	tick(f, now += 900);
	assert_int_equal(peer_got(f), 8);

	for (i = 0; i < 28; i++) {
		peer_floods(f, 33);
		assert_int_equal(peer_got(f), 33);
		tick(f, now += 1000);
	}
	/* A pause of its own, and all is forgotten. */
	tick(f, now += 4000);
	for (i = 0; i < 30; i++) {
		assert_int_equal(f->closed, 0);
		peer_floods(f, 33);
		assert_int_equal(peer_got(f), 33);
		tick(f, now += 1000);
	}
	run_until(f, &f->closed, 1);
	assert_non_null(strstr(f->reason, "without end"));
}

/* Between messages they are not counted. */
static void
enquire_link_between(void **state)
{
	struct fixture *f = *state;
	int i;

	for (i = 0; i < 20; i++) {
		peer_floods(f, 20);
		peer_send(f, SMPP_UNBIND, 0, 8, NULL, 0);
	}
	run_until(f, &f->pdus, 20);
	assert_int_equal(f->closed, 0);
}

/*
 * The owner looks at the clock once for all its sessions, and it goes on
 * meanwhile: what came during a doze has its time from the end of that.
 */
static void
wakes_later_than_now(void **state)
{
	struct fixture *f = *state;
	uint8_t half[8] = { 0, 0, 0, 16 };

	peer_floods(f, 40);
	assert_int_equal(write(f->fd, half, sizeof(half)), sizeof(half));
	assert_int_equal(peer_got(f), 33);
	clock_set(1001007, 1001007);
	session_tick(f->session, 1001000);
	assert_int_equal(peer_got(f), 7);
	assert_int_equal(f->closed, 0);
	tick(f, 1011000);
	assert_int_equal(f->closed, 0);
	tick(f, 1011100);
	run_until(f, &f->closed, 1);
	assert_string_equal(f->reason, "PDU begun and not completed");
}

/* The owner's pause and that for a flood do not end each other. */
static void
flood_while_paused(void **state)
{
	struct fixture *f = *state;

	peer_floods(f, 40);
	assert_int_equal(peer_got(f), 33);
	session_pause(f->session);
	session_resume(f->session);
	assert_int_equal(peer_got(f), 0);
	session_pause(f->session);
	tick(f, 1001000);
	assert_int_equal(peer_got(f), 0);
	session_resume(f->session);
	assert_int_equal(peer_got(f), 7);
}

static void
unknown_commands(void **state)
{
	struct fixture *f = *state;
	uint32_t i, seq;

	for (i = 1; i <= 30; i++) {
		peer_send(f, 0x10200, 0, i, "vendor", 6);
		peer_expect(
		    f, (uint32_t)SMPP_GENERIC_NACK, ESME_RINVCMDID, &seq);
		assert_int_equal(seq, i);
	}
	assert_int_equal(session_bad_pdus(f->session), 0);
}

/* Outbind and alert_notification have no response of their own. */
static void
one_way_broken(void **state)
{
	static const uint32_t command[] = { SMPP_OUTBIND,
		SMPP_ALERT_NOTIFICATION };
	static const char body[] = "\1\1"
				   "0123456789012345678901234567890123456789"
				   "0123456789012345678901234567890123456789";
	struct fixture *f = *state;
	uint32_t seq;

	for (uint32_t i = 0; i < ARRAY_LEN(command); i++) {
		peer_send(f, command[i], 0, 80 + i, body, sizeof(body));
		peer_expect(f, (uint32_t)SMPP_GENERIC_NACK,
		    i == 0 ? ESME_RINVSYSID : ESME_RINVSRCADR, &seq);
		assert_int_equal(seq, 80 + i);
	}
	assert_int_equal(session_bad_pdus(f->session), 2);
}

/* Whatever comes, and broken in whatever way. */
static void
every_command_broken(void **state)
{
	static const size_t lengths[] = { 0, 3, 7 };
	static const char body[] = "\xff\xff\xff\0\0\0";
	struct fixture *f = *state;
	uint32_t command, n = 0;
	uint8_t drop[4096];
	int on = 1;
	size_t i;

	assert_int_equal(
	    setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
	for (command = 0; command < 0x120; command++) {
		for (i = 0; i < 2 * ARRAY_LEN(lengths); i++) {
			clock_set(1000000 + ++n * 601000ull, 1000000);
			peer_send(f, command | (i % 2 == 0 ? 0 : 0x80000000u),
			    0, n, body, lengths[i / 2]);
			run_until(f, &f->batches, n);
			while (
			    recv(f->fd, drop, sizeof(drop), MSG_DONTWAIT) > 0)
				continue;
		}
	}
	assert_int_equal(f->closed, 0);
}

/*
 * Whose window is full is not read, not even what has come already; and while
 * he cannot be heard, neither his silence nor the half of a PDU counts.
 */
static void
paused(void **state)
{
	struct fixture *f = *state;
	uint8_t two[32];

	f->pause_at = 1;
	put(two, SMPP_UNBIND, ESME_ROK, 1, NULL, 0);
	put(two + 16, SMPP_UNBIND, ESME_ROK, 2, NULL, 0);
	/* The second, and half of a third. */
	assert_int_equal(write(f->fd, two, 32), 32);
	assert_int_equal(write(f->fd, two, 8), 8);
	run_until(f, &f->pdus, 1);
	run_some(f);
	assert_int_equal(f->pdus, 1);

	tick(f, 1000000 + 25000);
	tick(f, 1000000 + 60000);
	tick(f, 1000000 + 120000);
	run_some(f);
	assert_int_equal(f->closed, 0);
	assert_int_equal(f->sent, 1); /* the answer, and no enquire_link */

	session_resume(f->session);
	run_until(f, &f->pdus, 2);
	assert_int_equal(f->last_pdu.sequence, 2);
	/* Times begin anew: ten seconds for the half, thirty for silence. */
	tick(f, 1000000 + 129000);
	run_some(f);
	assert_int_equal(f->closed, 0);
	tick(f, 1000000 + 130000);
	run_until(f, &f->closed, 1);
	assert_string_equal(f->reason, "PDU begun and not completed");
}

static void
window_of_another_size(void **state)
{
	struct fixture *f = *state;
	uint32_t seq = session_next_seq(f->session);

	assert_int_equal(session_room(f->session), 4);
	session_set_window(f->session, 100);
	assert_int_equal(session_room(f->session), 100);
	/* Numbers go on. */
	assert_true(session_next_seq(f->session) > seq);
}

/* Requests to a peer that does not read: no more at the high watermark; he is
 * cut off after thirty seconds, or all goes on. */
static void
fill(struct fixture *f)
{
	static uint8_t pdu[SMPP_MAX_PDU];

	session_set_window(f->session, 4096);
	put(pdu, SMPP_DELIVER_SM, ESME_ROK, 0, NULL, 0);
	while (session_room(f->session) > 0) {
		session_request(f->session, pdu, sizeof(pdu), f, 0);
		uv_run(&f->loop, UV_RUN_NOWAIT);
		assert_true(session_in_flight(f->session) < 4096);
	}
}

static void
peer_does_not_read(void **state)
{
	struct fixture *f = *state;

	fill(f);
	/* Nor is what he sends answered, while he does not read. */
	peer_send(f, SMPP_UNBIND, ESME_ROK, 1, NULL, 0);
	run_some(f);
	assert_int_equal(f->pdus, 0);
	tick(f, 1000000 + 1000);
	tick(f, 1000000 + 30900);
	run_some(f);
	assert_int_equal(f->closed, 0);
	tick(f, 1000000 + 31000);
	run_until(f, &f->closed, 1);
	assert_string_equal(f->reason, "peer does not read");
}

static void
peer_reads_again(void **state)
{
	static uint8_t drop[1 << 16];
	struct fixture *f = *state;

	fill(f);
	peer_send(f, SMPP_UNBIND, ESME_ROK, 1, NULL, 0);
	tick(f, 1000000 + 1000);
	while (f->writable == 0) {
		while (recv(f->fd, drop, sizeof(drop), MSG_DONTWAIT) > 0)
			continue;
		uv_run(&f->loop, UV_RUN_NOWAIT);
	}
	run_until(f, &f->pdus, 1);
	tick(f, 1000000 + 31500);
	run_some(f);
	assert_int_equal(f->closed, 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(every_cut_of_the_stream),
		T(answers_find_their_requests),
		T(broken_body_of_an_answer),
		T(enquire_link_after_silence),
		T(any_pdu_is_a_sign_of_life),
		T(unfinished_pdu),
		T(length_out_of_bounds),
		T(ten_bad_pdus),
		T(bad_pdus_are_forgotten),
		T(enquire_link_in_a_row),
		T(enquire_link_between),
		T(wakes_later_than_now),
		T(flood_while_paused),
		T(unknown_commands),
		T(one_way_broken),
		T(every_command_broken),
		T(paused),
		T(window_of_another_size),
		T(peer_does_not_read),
		T(peer_reads_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
