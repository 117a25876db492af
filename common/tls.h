/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls.h - TLS 1.2 and 1.3 for connections: what one side shows and checks
 * (struct tls_config), and the filter of one connection (struct tls), which
 * only conn.c uses: octets of the wire in, plain text out, and the other way.
 * No I/O in here.
 *
 * A tls_config never changes.  New certificates are a new one; what goes on
 * with the old one keeps its own reference.
 *
 * Ciphers have forward secrecy and authenticate; security level 2 of OpenSSL
 * at least; no renegotiation, no compression, no early data.
 */
#ifndef COMMON_TLS_H
#define COMMON_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/attr.h"

struct buf;
struct tls;
struct tls_config;

/* OpenSSL takes its memory by xalloc.h: it does not look everywhere whether it
 * was given any.  Before anything else of it is called. */
void tls_use_xalloc(void);

/* ----------------------------------------------------------- configuration */

/* File names, all PEM; NULL or "": not there. */
struct tls_opts {
	const char *cert; /* our certificate and the chain behind it */
	const char *key;  /* its private key; NULL: in the file of cert */
	/* Authorities of peers.  Server: NULL asks clients for nothing, else a
	 * client without a certificate is refused.  Client: NULL trusts those
	 * of the system. */
	const char *ca;
	bool and_system; /* client only: besides `ca`, not instead */
	const char *crl; /* revoked certificates of these authorities */
	/* Client only: the name or address that must be in the certificate, and
	 * that is asked for; NULL: the host that is dialled. */
	const char *name;
	bool no_verify; /* client only: any certificate will do */
	bool only_13;   /* nothing older than TLS 1.3 */
	/* Client only: a URI that must be among the peer's names as well. */
	const char *uri;
};

/* NULL with complaints in why, one "key: what" per line, the key as in
 * tls_opts. */
struct tls_config *tls_server_new(
    const struct tls_opts *, struct buf *why) WARN_UNUSED;
struct tls_config *tls_client_new(
    const struct tls_opts *, struct buf *why) WARN_UNUSED;
struct tls_config *tls_config_ref(struct tls_config *);
/* NULL is fine. */
void tls_config_unref(struct tls_config *);
/* When our own certificate expires, in wall seconds; 0: we have none. */
int64_t tls_config_expires(const struct tls_config *);
/* The first URI that begins with `scheme` among the names of our own
 * certificate; false: there is none that fits into dst. */
bool tls_config_uri(
    const struct tls_config *, const char *scheme, char *dst, size_t cap);

/* ---------------------------------------------------------- one connection */

enum tls_progress {
	TLS_GOES_ON = 0,
	TLS_ENDED,  /* the peer has said that it will send no more */
	TLS_FAILED, /* tls_error() says why; tls_wire() has the alert for it */
};

/* host: what a client dials; a server: NULL.  Takes a reference. */
struct tls *tls_new(struct tls_config *, const char *host);
void tls_free(struct tls *);

/*
 * What came from the wire: all of it is used; plain text is added to `plain`.
 * With no octets it begins the handshake of a client.
 */
enum tls_progress tls_open(
    struct tls *, const uint8_t *, size_t, struct buf *plain) WARN_UNUSED;
/* The handshake is done and the peer is who it should be. */
bool tls_ready(const struct tls *);
/* Moves up to max octets of plain text to the wire.  Only when ready. */
enum tls_progress tls_seal(
    struct tls *, struct buf *plain, size_t max) WARN_UNUSED;
/* Says that we will send no more (close_notify).  False: it was said before,
 * or there is nobody to say it to. */
bool tls_finish(struct tls *);
/* The same of the certificate that the peer has shown. */
bool tls_peer_uri(
    const struct tls *, const char *scheme, char *dst, size_t cap);
/* When that expires, in wall seconds; 0: it has shown none. */
int64_t tls_peer_expires(const struct tls *);
/* Would `config` let it in now?  If not, why. */
bool tls_peer_fits(
    const struct tls *, const struct tls_config *, char *why, size_t cap);
/* What is to be written to the socket. */
struct buf *tls_wire(struct tls *);

/* "TLS: certificate has expired ...", or NULL.  The first error counts. */
const char *tls_error(const struct tls *);
void tls_fail(struct tls *, const char *what);

/* "TLSv1.3 TLS_AES_256_GCM_SHA384", for logs; dst is returned. */
char *tls_show(const struct tls *, char *dst, size_t);

#endif
