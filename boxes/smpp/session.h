/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session.h - one SMPP connection, whichever end we are: framing, sequence
 * numbers, the window of our requests, enquire_link, malformed PDUs.
 *
 * It knows nothing of binding: the owner sends bind or answers it, and says
 * session_bound() when the longer PDUs of a bound session are in order.
 *
 * A slot of the window is given back by an answer (ops->answer), or after the
 * end of the connection (ops->lost); never while the connection lives, so a
 * late answer always finds its request.  How long one may take is the owner's
 * business: session_oldest_ms().
 *
 * What a peer does not read is bounded: from the high watermark of its
 * connection on nothing of it is read or answered and there is no room for
 * requests, and a peer that is not back under the low one within 30 s is cut
 * off.
 *
 * Of a peer that sends nothing but enquire_link, or what cannot be decoded,
 * without waiting 33 are read, and the next ones after a second; one that does
 * so 30 times, one after the other, is cut off.
 *
 * Closes by itself, with the reason in ops->closed: peer gone, enquire_link
 * not answered, a PDU that was begun and not finished in time, a length out
 * of bounds, too many malformed PDUs, a peer that does not read, one that does
 * nothing but ask.
 */
#ifndef BOXES_SMPP_SESSION_H
#define BOXES_SMPP_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "boxes/smpp/window.h"
#include "common/attr.h"
#include "common/conn.h"
#include "proto/smpp_pdu.h"

struct session;

struct session_opts {
	uint32_t window;     /* our unanswered requests */
	uint64_t enquire_ms; /* silence before enquire_link; 0: never */
	uint64_t answer_ms;  /* for its answer; 0: 10 s */
	uint64_t partial_ms; /* from first to last octet of a PDU; 0: 10 s */
	unsigned max_bad;    /* malformed PDUs within ten minutes; 0: 10 */
	unsigned per_turn;   /* PDUs before others have a turn; 0: all */
	unsigned decode;     /* SMPP_LENIENT towards carriers */
	const char *local; /* session_connect(): address to come from, or NULL;
			      * borrowed for the call */
	/* session_connect(): speak TLS; likewise borrowed.  NULL: in the
	 * clear. */
	struct tls_config *tls;
};

struct session_ops {
	/* Only after session_connect(). */
	void (*connected)(struct session *, void *arg);
	/* An answer to session_request(): its own resp, or generic_nack. */
	void (*answer)(struct session *, const struct window_slot *,
	    const struct smpp_pdu *, void *arg);
	/*
	 * Any other PDU: requests, and answers to what session_send() sent.
	 * enquire_link and everything that is not decodable are dealt with
	 * here and do not come.
	 */
	void (*pdu)(struct session *, const struct smpp_pdu *, void *arg);
	/* All PDUs of one read have been handed out.  May be NULL. */
	void (*batch)(struct session *, void *arg);
	/* The peer reads again after session_room() was 0 for it.  May be NULL. */
	void (*writable)(struct session *, void *arg);
	/* session_send() has written something, for figures.  May be
	 * NULL. */
	void (*sent)(
	    struct session *, uint32_t command, uint32_t status, void *arg);
	/* The connection has ended before this request was answered. */
	void (*lost)(struct session *, const struct window_slot *, void *arg);
	/* Last call; the session frees itself when it returns. */
	void (*closed)(struct session *, const char *reason, void *arg);
};

/* NULL: address is none.  ops and arg are borrowed, opts are copied. */
struct session *session_connect(uv_loop_t *, const char *address,
    const struct session_opts *, const struct session_ops *, void *arg);
/* Takes an accepted connection. */
struct session *session_accept(struct conn *, const struct session_opts *,
    const struct session_ops *, void *arg);

/* PDUs may have up to SMPP_MAX_PDU octets from now on. */
void session_bound(struct session *);
/* Another size than that of the options, while nothing is in flight. */
void session_set_window(struct session *, uint32_t);

/*
 * The peer has as many requests under way as it may: nothing more of it is read
 * until session_resume().  Meanwhile its silence is not held against it.
 */
void session_pause(struct session *);
void session_resume(struct session *);

/* A number for a request that session_send() sends (bind, unbind). */
uint32_t session_next_seq(struct session *);
/* Anything that needs no slot: answers, bind, unbind.  0, or SMPP_E*: a field
 * does not fit, nothing was sent. */
int session_send(struct session *, const struct smpp_pdu *) WARN_UNUSED;
void session_nack(struct session *, uint32_t seq, uint32_t status);
/* The answer to a PDU of the peer: command, status and sequence number.  Outbind
 * and alert_notification have none; what is wrong with them is generic_nack. */
void session_answer(
    struct session *, const struct smpp_pdu *request, uint32_t status);

/*
 * A request as octets of a whole PDU, whose sequence number is put in here.
 * There must be room in the window.
 */
void session_request(
    struct session *, uint8_t *pdu, size_t len, void *what, uint32_t tag);
/* How many more requests may be written now: what the window has left, and none
 * to a peer that does not read. */
uint32_t session_room(const struct session *);
uint32_t session_in_flight(const struct session *);
/* How long the oldest request has been waiting; 0: none does. */
uint64_t session_oldest_ms(const struct session *, uint64_t now_ms);

/* Time-outs; the owner calls it about once a second. */
void session_tick(struct session *, uint64_t now_ms);
/* While hurried, a PDU that was begun has a fifth of its time. */
void session_hurry(struct session *, bool);
/* enquire_link now, unless one is under way. */
void session_probe(struct session *);

/* Ends the connection; lost() and closed() come later.  reason is copied, the
 * first one counts. */
void session_close(struct session *, const char *reason);
/* The same, after what was sent has left. */
void session_close_flush(struct session *, const char *reason);
bool session_closing(const struct session *);

const char *session_peer(const struct session *);
/* The connection is there, and its TLS handshake is under way; is done. */
bool session_handshaking(const struct session *);
bool session_secure(const struct session *);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384" or "none"; dst is returned. */
const char *session_show_tls(const struct session *, char *dst, size_t);
/* Octets since the start, for metrics. */
uint64_t session_bytes_in(const struct session *);
uint64_t session_bytes_out(const struct session *);
unsigned session_bad_pdus(const struct session *);

#endif
