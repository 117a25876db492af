/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conn.h - one stream connection, in the clear or over TLS, with read buffer,
 * coalesced writes and watermarks.  Owner of the fd and of its buffers.
 *
 * All that is sent during one turn of the loop leaves with one write at its
 * end.  Reading stops while the owner says so (conn_pause) and while more than
 * the high watermark waits to be written, unless the owner wants it otherwise.
 *
 * conn_close() may be called from anywhere, any number of times; exactly one
 * CONN_EV_CLOSED follows, always as the last event and never from inside
 * conn_close() itself.  Only then may the owner free what the conn refers to;
 * the conn frees itself after that callback returns.
 */
#ifndef COMMON_CONN_H
#define COMMON_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <uv.h>

#include "common/attr.h"

struct conn;
struct network;
struct sockaddr;
struct tls_config;

enum conn_event {
	CONN_EV_CONNECTED, /* conn_connect() came through, and its handshake */
	CONN_EV_DATA,      /* conn_data() has grown */
	CONN_EV_WRITABLE, /* fell under the low watermark after being above high */
	CONN_EV_EOF,      /* the peer will send no more; close, or write on */
	CONN_EV_ERROR,    /* conn_error() says what; close it */
	CONN_EV_CLOSED, /* last event */
};

typedef void conn_cb(struct conn *, enum conn_event, void *arg);

struct conn_opts {
	/* Stop reading with so much unconsumed; 0: 320 KiB. */
	size_t read_max;
	/* Watermarks of the write buffer; 0: 1 MiB, 256 KiB. */
	size_t high, low;
	size_t hard; /* past it the connection fails; 0: 64 times high */
	/*
	 * Go on reading above the high watermark.  For the bus protocol: two
	 * ends that both wait for the other to read would wait for ever, and
	 * credit bounds what is written.
	 */
	bool read_always;
	/* conn_connect(): numeric address to come from, NULL: the kernel's
	 * choice. */
	const char *local;
	/*
	 * Speak TLS; borrowed for the call.  A client checks that the peer is
	 * who it dials.  Of an accepted connection the handshake is under way
	 * when it is handed over, and DATA comes only after it.
	 */
	struct tls_config *tls;
	/* For the handshake, and before it for a PROXY header; 0: 10 s, 5 s. */
	uint64_t greet_ms;
	/*
	 * Listeners: from these networks a PROXY protocol v2 header must come
	 * first, and conn_peer() is the client that it names; borrowed for the
	 * call.  The connection is handed over after it.
	 */
	const struct network *proxies;
	size_t n_proxies;
};

/*
 * Address text: "unix:/path", "/path", "host:port", "[v6]:port", ":port".
 * Starts connecting; name look-up is asynchronous.  CONNECTED or ERROR
 * follows.  Returns NULL only for a text that is no address (logged by the
 * caller), or a `local` that is none.
 */
struct conn *conn_connect(uv_loop_t *, const char *address,
    const struct conn_opts *, conn_cb *, void *arg);

/*
 * The same for a socket address that the caller has looked up and judged:
 * exactly this one is connected to.  host: the name it goes by, which TLS asks
 * for and checks.  opts->local is not used.
 */
struct conn *conn_connect_to(uv_loop_t *, const struct sockaddr *,
    const char *host, const struct conn_opts *, conn_cb *, void *arg);

void conn_set_cb(struct conn *, conn_cb *, void *arg);

/* Unconsumed input; borrowed, valid until the next return to the loop or
 * conn_drop(). */
const uint8_t *conn_data(const struct conn *);
size_t conn_len(const struct conn *);
void conn_drop(struct conn *, size_t n);
/* Only what is unconsumed keeps memory: for input that waits long for its rest. */
void conn_shrink(struct conn *);

/*
 * Copies into the write buffer.  Ignored after a close; kept while connecting.
 * Past the hard limit the connection fails with UV_ENOBUFS.
 */
void conn_send(struct conn *, const void *, size_t);
/* Room in the write buffer to encode in place, then commit. */
uint8_t *conn_reserve(struct conn *, size_t n);
void conn_commit(struct conn *, size_t n);
size_t conn_unsent(const struct conn *);
bool conn_above_high(const struct conn *);

/* No DATA while paused; DATA comes again after conn_resume() for input that is
 * already there. */
void conn_pause(struct conn *);
void conn_resume(struct conn *);
/* From DATA: the rest of the input when the others have had their turn.  DATA
 * comes again then, and nothing more is read until then. */
void conn_yield(struct conn *);

void conn_close(struct conn *);
/* Close after what is in the write buffer has left, at most 5 s later; or after
 * a TLS peer that is refused has had a second to read why. */
void conn_close_flush(struct conn *);
bool conn_closing(const struct conn *);

int conn_error(const struct conn *); /* UV_E*, 0 = none */
/* The same for people: "connection refused", "TLS: certificate has ...". */
const char *conn_error_text(const struct conn *);
/* A TLS handshake is under way; has been finished. */
bool conn_handshaking(const struct conn *);
bool conn_secure(const struct conn *);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384" or "none"; dst is returned. */
const char *conn_show_tls(const struct conn *, char *dst, size_t);
/*
 * What the peer's certificate says, see tls_peer_uri(), tls_peer_expires() and
 * tls_peer_fits(); false, 0 and false for a peer that has shown none.
 */
bool conn_peer_uri(const struct conn *, const char *scheme, char *dst, size_t);
int64_t conn_peer_expires(const struct conn *);
bool conn_peer_fits(
    const struct conn *, const struct tls_config *, char *why, size_t);
/* "127.0.0.1:4711", "unix:pid=17" */
const char *conn_peer(const struct conn *);
/* Credentials of a Unix peer; false for TCP. */
bool conn_peer_cred(const struct conn *, pid_t *, uid_t *);
/* Microseconds of clock_mono at which bytes last came in. */
uint64_t conn_last_read(const struct conn *);

/*
 * Begin TLS as the server of an accepted connection that is in the clear; for
 * owners that look at the peer first.  What has been read and not dropped is
 * the beginning of the handshake.
 */
void conn_start_tls(struct conn *, struct tls_config *);

/* ------------------------------------------------------------- listening */

struct listener;
/* Takes over the conn that is handed in; set its callback at once. */
typedef void listener_cb(struct listener *, struct conn *, void *arg);

/*
 * Same address texts.  A socket for this address that the process was started
 * with is used (inherited.h); else it is made here.  For a Unix path a stale
 * socket is removed (under flock) and `mode` is set; a path over 107 bytes is
 * UV_ENAMETOOLONG.  Accepts are paused with `max` connections open (0 = no limit
 * of its own) and, for a while, when descriptors run out.
 * Returns 0 or UV_E*; on UV_EADDRINUSE listener_who() helps.
 */
int listener_open(uv_loop_t *, const char *address, mode_t mode, unsigned max,
    const struct conn_opts *, listener_cb *, void *arg,
    struct listener **) WARN_UNUSED;
/* Such a socket for another process to accept from, also one that this process
 * was started with: TCP only, listening, closed on exec; or UV_E*. */
int listener_socket(const char *address) WARN_UNUSED;
/* For connections that are accepted from now on; takes a reference.  Only for
 * a listener that was opened with TLS. */
void listener_set_tls(struct listener *, struct tls_config *);
/* The process was started with its socket, which others have as well. */
bool listener_inherited(const struct listener *);
/* Of one that has just been opened: who connects waits until it is resumed. */
void listener_pause(struct listener *);
void listener_resume(struct listener *);
/* Stop accepting; open connections stay.  Frees itself. */
void listener_close(struct listener *);
/* The same after accepting all that wait in the queue: the kernel would reset
 * their connections.  Calls the listener's callback, also past `max`. */
void listener_drain(struct listener *);
/* The address with the port that was really bound. */
const char *listener_address(const struct listener *);

/* "nginx (pid 4711)" for whoever has this TCP port, from /proc; or
 * "another process". dst is returned. */
const char *listener_who(const char *address, char *dst, size_t);

#endif
