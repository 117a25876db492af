/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls.c - OpenSSL between a connection's buffers.
 *
 * A BIO of our own reads from the octets that were just received and writes to
 * `wire`: no copy more than OpenSSL makes itself, and its record buffers are
 * given back whenever they are empty, so that an idle connection keeps little
 * more than its keys.
 */
#include "common/tls.h"

#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "common/buf.h"
#include "common/xalloc.h"

#define TLS_RECORD    (16 * 1024) /* plain text of one record */
#define TLS_OVERHEAD  64          /* of a record, at most */
#define TLS_ERROR_MAX 240
#define TLS_LEVEL     2

struct tls_config {
	unsigned refs;
	bool client;
	bool verify;
	SSL_CTX *ctx;
	char *name; /* or NULL */
	char *uri;  /* or NULL */
	bool only_13;
	int64_t expires;
};

struct tls {
	SSL *ssl;
	bool ready;
	bool finished;     /* close_notify is sent */
	const uint8_t *in; /* while in tls_open() */
	size_t in_len;
	struct buf wire;
	char wanted[256];          /* the name that is checked, for the error */
	struct tls_config *config; /* own reference */
	char error[TLS_ERROR_MAX];
};

/* ----------------------------------------------------------------- memory */

static void *
tls_xmalloc(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return n > 0 ? xmalloc(n) : NULL;
}

static void *
tls_xrealloc(void *old, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	if (n > 0)
		return xrealloc(old, n);
	free(old);
	return NULL;
}

static void
tls_xfree(void *p, const char *file, int line)
{
	(void)file;
	(void)line;
	free(p);
}

void
tls_use_xalloc(void)
{
	/* It says no once it has memory: then all goes on as it was. */
	(void)CRYPTO_set_mem_functions(tls_xmalloc, tls_xrealloc, tls_xfree);
}

/* -------------------------------------------------------------------- bio */

static BIO_METHOD *tls_bio_method; /* one for the process */

static int
tls_bio_read(BIO *bio, char *dst, int n)
{
	struct tls *t = BIO_get_data(bio);
	size_t take = t->in_len < (size_t)n ? t->in_len : (size_t)n;

	BIO_clear_retry_flags(bio);
	if (take == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(dst, t->in, take);
	t->in += take;
	t->in_len -= take;
	return (int)take;
}

static int
tls_bio_write(BIO *bio, const char *p, int n)
{
	struct tls *t = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	buf_add(&t->wire, p, (size_t)n);
	return n;
}

static long
tls_bio_ctrl(BIO *bio, int command, long number, void *p)
{
	(void)bio;
	(void)number;
	(void)p;
	return command == BIO_CTRL_FLUSH;
}

static BIO *
tls_bio_new(struct tls *t)
{
	BIO *bio;

	if (tls_bio_method == NULL) {
		tls_bio_method = BIO_meth_new(
		    BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "conn");
		if (tls_bio_method == NULL ||
		    !BIO_meth_set_read(tls_bio_method, tls_bio_read) ||
		    !BIO_meth_set_write(tls_bio_method, tls_bio_write) ||
		    !BIO_meth_set_ctrl(tls_bio_method, tls_bio_ctrl))
			abort(); /* out of memory */
	}
	bio = BIO_new(tls_bio_method);
	if (bio == NULL)
		abort();
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	return bio;
}

/* ------------------------------------------------------------------ errors */

static void tls_set_error(struct tls *, const char *, ...) PRINTF(2, 3);

static void
tls_set_error(struct tls *t, const char *fmt, ...)
{
	va_list ap;
	size_t i;

	if (t->error[0] != '\0')
		return;
	va_start(ap, fmt);
	memcpy(t->error, "TLS: ", 5);
	(void)vsnprintf(t->error + 5, sizeof(t->error) - 5, fmt, ap);
	va_end(ap);
	/* Names in certificates are the peer's. */
	for (i = 0; t->error[i] != '\0'; i++)
		if (t->error[i] < ' ' || t->error[i] > '~')
			t->error[i] = '?';
}

void
tls_fail(struct tls *t, const char *what)
{
	tls_set_error(t, "%s", what);
}

/* What the certificate is for: "a.example, b.example". */
static void
tls_names(X509 *cert, char *dst, size_t cap)
{
	GENERAL_NAMES *names =
	    X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	char text[INET6_ADDRSTRLEN];
	size_t used = 0;
	int i;

	dst[0] = '\0';
	for (i = 0; i < sk_GENERAL_NAME_num(names) && used < cap; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		const ASN1_STRING *s = name->d.ia5;
		const char *what = NULL;
		int len = 0;

		if (name->type == GEN_DNS) {
			what = (const char *)ASN1_STRING_get0_data(s);
			len = ASN1_STRING_length(s);
		} else if (name->type == GEN_IPADD) {
			s = name->d.iPAddress;
			len = ASN1_STRING_length(s);
			if (len == 4 || len == 16)
				what = inet_ntop(len == 4 ? AF_INET : AF_INET6,
				    ASN1_STRING_get0_data(s), text,
				    sizeof(text));
			len = what == NULL ? 0 : (int)strlen(what);
		}
		if (what != NULL)
			used += (size_t)snprintf(dst + used, cap - used,
			    "%s%.*s", used == 0 ? "" : ", ", len, what);
	}
	GENERAL_NAMES_free(names);
	if (dst[0] == '\0')
		(void)X509_NAME_get_text_by_NID(
		    X509_get_subject_name(cert), NID_commonName, dst, (int)cap);
	if (dst[0] == '\0')
		(void)snprintf(dst, cap, "no name at all");
}

static void
tls_time(const ASN1_TIME *at, char dst[24])
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(at, &tm) ||
	    strftime(dst, 24, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		dst[0] = '\0';
}

static int64_t
tls_seconds(const ASN1_TIME *at)
{
	struct tm tm;

	return ASN1_TIME_to_tm(at, &tm) ? (int64_t)timegm(&tm) : 0;
}

/* The first URI of this scheme; one with a NUL inside is none. */
static bool
tls_uri(X509 *cert, const char *scheme, char *dst, size_t cap)
{
	GENERAL_NAMES *names =
	    X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	bool found = false;
	int i;

	for (i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		const ASN1_STRING *s = name->d.ia5;
		const char *p;
		size_t len;

		if (name->type != GEN_URI)
			continue;
		p = (const char *)ASN1_STRING_get0_data(s);
		len = (size_t)ASN1_STRING_length(s);
		if (len >= cap || memchr(p, '\0', len) != NULL ||
		    len < strlen(scheme) ||
		    memcmp(p, scheme, strlen(scheme)) != 0)
			continue;
		memcpy(dst, p, len);
		dst[len] = '\0';
		found = true;
	}
	GENERAL_NAMES_free(names);
	return found;
}

/* The peer is of the trusted; is it what we mean to talk to? */
static int
tls_check_uri(struct tls *t, X509_STORE_CTX *store)
{
	char uri[128] = "no such name";

	if (t->config->uri == NULL || X509_STORE_CTX_get_error_depth(store) > 0)
		return 1;
	if (tls_uri(X509_STORE_CTX_get_current_cert(store), t->config->uri, uri,
		sizeof(uri)) &&
	    strcmp(uri, t->config->uri) == 0)
		return 1;
	tls_set_error(t, "the certificate is not that of %s: it has %s",
	    t->config->uri, uri);
	X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
	return 0;
}

/* Says what is wrong with the peer's certificate, as long as it is at hand. */
static int
tls_verify_cb(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
	    store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = SSL_get_app_data(ssl);
	X509 *cert = X509_STORE_CTX_get_current_cert(store);
	int error = X509_STORE_CTX_get_error(store);
	char names[128] = "", issuer[128] = "", at[24];

	if (ok)
		return tls_check_uri(t, store);
	if (cert != NULL) {
		tls_names(cert, names, sizeof(names));
		(void)X509_NAME_oneline(
		    X509_get_issuer_name(cert), issuer, sizeof(issuer));
	}
	if (error == X509_V_ERR_CERT_HAS_EXPIRED && cert != NULL) {
		tls_time(X509_get0_notAfter(cert), at);
		tls_set_error(
		    t, "certificate has expired, on %s (%s)", at, names);
	} else if (error == X509_V_ERR_CERT_NOT_YET_VALID && cert != NULL) {
		tls_time(X509_get0_notBefore(cert), at);
		tls_set_error(t,
		    "certificate is not yet valid, only from %s (%s)", at,
		    names);
	} else if (error == X509_V_ERR_HOSTNAME_MISMATCH ||
	    error == X509_V_ERR_IP_ADDRESS_MISMATCH) {
		tls_set_error(t,
		    "host name mismatch: wanted %s, certificate is for %s",
		    t->wanted, names);
	} else if (error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	    error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE ||
	    error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
	    error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT) {
		tls_set_error(t,
		    "certificate (%s) is signed by nobody we trust: %s", names,
		    issuer);
	} else if (error == X509_V_ERR_CERT_REVOKED) {
		tls_set_error(t, "certificate has been revoked (%s)", names);
	} else {
		tls_set_error(t, "certificate is not accepted: %s (%s)",
		    X509_verify_cert_error_string(error), names);
	}
	return 0;
}

static const char *
tls_reason(int reason)
{
	switch (reason) {
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
		return "the peer does not speak TLS";
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_UNKNOWN_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
		return "the peer offers neither TLS 1.2 nor 1.3";
	case SSL_R_NO_SHARED_CIPHER:
		return "no cipher in common with the peer";
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return "the client has shown no certificate";
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
		return "the peer wants a client certificate; see tls_cert";
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
		return "the peer does not trust who signed our certificate";
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
		return "the peer says that our certificate has expired";
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
		return "the peer does not accept our certificate";
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
		return "the peer says that our certificate has been revoked";
	case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
		return "the peer takes neither TLS 1.2 nor 1.3";
	case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
		return "the peer refuses: no cipher in common, or it wants a "
		       "client certificate";
	case SSL_R_TLSV1_UNRECOGNIZED_NAME:
		return "the peer does not know the name that we ask for; see "
		       "tls_name";
	default:
		return NULL;
	}
}

static enum tls_progress
tls_broken(struct tls *t)
{
	unsigned long e = ERR_get_error();
	const char *reason = tls_reason(ERR_GET_REASON(e));

	if (t->config->only_13) {
		if (ERR_GET_REASON(e) == SSL_R_UNSUPPORTED_PROTOCOL)
			reason = "the peer does not offer TLS 1.3";
		else if (ERR_GET_REASON(e) ==
		    SSL_R_TLSV1_ALERT_PROTOCOL_VERSION)
			reason = "the peer does not take TLS 1.3";
	}

	if (reason == NULL)
		reason = ERR_reason_error_string(e);
	tls_set_error(t, "%s", reason == NULL ? "protocol error" : reason);
	ERR_clear_error();
	return TLS_FAILED;
}

/* ----------------------------------------------------------- configuration */

static bool
tls_given(const char *file)
{
	return file != NULL && file[0] != '\0';
}

static void
tls_complain(struct buf *why, const char *key, const char *file)
{
	unsigned long e = ERR_peek_last_error();
	const char *text = ERR_reason_error_string(e);
	char words[128];

	/* libc's errors come as their own library, with errno as the reason. */
	if (ERR_SYSTEM_ERROR(e))
		text = strerror_r(ERR_GET_REASON(e), words, sizeof(words));
	else if (ERR_GET_LIB(e) == ERR_LIB_X509 &&
	    ERR_GET_REASON(e) == X509_R_KEY_VALUES_MISMATCH)
		text = "this key does not belong to the certificate";
	else if (ERR_GET_LIB(e) == ERR_LIB_PEM ||
	    ERR_GET_LIB(e) == ERR_LIB_SSL || ERR_GET_REASON(e) == ERR_R_PEM_LIB)
		text = "has nothing in PEM that can be used";
	buf_printf(why, "%s: \"%s\": %s\n", key, file,
	    text == NULL ? "cannot be read" : text);
	ERR_clear_error();
}

/* The first error in the queue says best why a file could not be opened. */
static void
tls_complain_open(struct buf *why, const char *key, const char *file)
{
	FILE *f = fopen(file, "re");

	if (f != NULL) {
		(void)fclose(f);
		tls_complain(why, key, file);
		return;
	}
	buf_printf(why, "%s: \"%s\": %m\n", key, file);
	ERR_clear_error();
}

static void
tls_load_own(struct tls_config *c, const struct tls_opts *o, struct buf *why)
{
	const char *key = tls_given(o->key) ? o->key : o->cert;
	X509 *cert;

	if (!tls_given(o->cert)) {
		if (!c->client)
			buf_addstr(why, "cert: a server needs a certificate\n");
		else if (tls_given(o->key))
			buf_addstr(why, "key: there is no certificate to it\n");
		return;
	}
	if (SSL_CTX_use_certificate_chain_file(c->ctx, o->cert) != 1) {
		tls_complain_open(why, "cert", o->cert);
		return;
	}
	cert = SSL_CTX_get0_certificate(c->ctx);
	if (cert != NULL)
		c->expires = tls_seconds(X509_get0_notAfter(cert));
	/* Says itself whether it belongs to the certificate. */
	if (SSL_CTX_use_PrivateKey_file(c->ctx, key, SSL_FILETYPE_PEM) != 1)
		tls_complain_open(why, tls_given(o->key) ? "key" : "cert", key);
}

/*
 * Signed by one of the authorities, or perhaps by one below them: with a list of
 * somebody else every peer would be refused, since of its own authority there
 * is none.
 */
static bool
tls_crl_fits(X509_STORE *store, X509_CRL *crl)
{
	STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(store);
	X509 *ca;

	for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
		ca = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));
		if (ca == NULL)
			continue;
		if (X509_NAME_cmp(X509_get_subject_name(ca),
			X509_CRL_get_issuer(crl)) != 0) {
			if (X509_get_pathlen(ca) != 0)
				return true;
		} else if (X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1) {
			return true;
		}
	}
	return false;
}

static bool
tls_crls_fit(X509_STORE *store)
{
	STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(store);
	X509_CRL *crl;

	for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
		crl = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(all, i));
		if (crl != NULL && !tls_crl_fits(store, crl))
			return false;
	}
	return true;
}

static void
tls_load_crl(struct tls_config *c, const struct tls_opts *o, struct buf *why)
{
	X509_STORE *store = SSL_CTX_get_cert_store(c->ctx);
	X509_LOOKUP *lookup;

	if (!tls_given(o->crl))
		return;
	lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
	if (lookup == NULL ||
	    X509_load_crl_file(lookup, o->crl, X509_FILETYPE_PEM) < 1) {
		tls_complain_open(why, "crl", o->crl);
		return;
	}
	if (tls_given(o->ca) && !tls_crls_fit(store)) {
		buf_printf(why,
		    "crl: \"%s\": is not signed by an authority in \"%s\"\n",
		    o->crl, o->ca);
		ERR_clear_error();
		return;
	}
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
}

static void
tls_load_peers(struct tls_config *c, const struct tls_opts *o, struct buf *why)
{
	STACK_OF(X509_NAME) * names;

	if (c->client && c->verify && (!tls_given(o->ca) || o->and_system) &&
	    SSL_CTX_set_default_verify_paths(c->ctx) != 1)
		buf_addstr(why, "ca: the system has no authorities\n");
	if (!tls_given(o->ca))
		return;
	if (SSL_CTX_load_verify_file(c->ctx, o->ca) != 1) {
		tls_complain_open(why, "ca", o->ca);
		return;
	}
	if (c->client)
		return;
	/* A client with several certificates sees which one is meant. */
	names = SSL_load_client_CA_file(o->ca);
	if (names != NULL)
		SSL_CTX_set_client_CA_list(c->ctx, names);
}

static bool
tls_set_up(SSL_CTX *ctx, bool only_13)
{
	const int least = only_13 ? TLS1_3_VERSION : TLS1_2_VERSION;

	if (SSL_CTX_get_security_level(ctx) < TLS_LEVEL)
		SSL_CTX_set_security_level(ctx, TLS_LEVEL);
	SSL_CTX_set_options(
	    ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	/* Nothing that a peer could make grow; tickets keep it with the peer. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return SSL_CTX_set_min_proto_version(ctx, least) == 1 &&
	    SSL_CTX_set_cipher_list(ctx,
		"ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:"
		"ECDHE+AES:!aNULL:!PSK:!SHA1") == 1;
}

static struct tls_config *
tls_config_new(bool client, const struct tls_opts *o, struct buf *why)
{
	struct tls_config *c = xcalloc(1, sizeof(*c));
	size_t before = buf_len(why);

	ERR_clear_error();
	c->refs = 1;
	c->client = client;
	c->verify = client ? !o->no_verify : tls_given(o->ca);
	c->only_13 = o->only_13;
	c->name = tls_given(o->name) ? xstrdup(o->name) : NULL;
	c->uri = tls_given(o->uri) ? xstrdup(o->uri) : NULL;
	c->ctx =
	    SSL_CTX_new(client ? TLS_client_method() : TLS_server_method());
	if (c->ctx == NULL || !tls_set_up(c->ctx, o->only_13)) {
		buf_addstr(why, "cert: OpenSSL cannot be set up\n");
		goto fail;
	}
	tls_load_own(c, o, why);
	tls_load_peers(c, o, why);
	tls_load_crl(c, o, why);
	if (c->verify)
		SSL_CTX_set_verify(c->ctx,
		    SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
		    tls_verify_cb);
	/* A resumed session shows no certificate: who has to show one shows it
	 * each time. */
	if (!client && c->verify) {
		SSL_CTX_set_options(c->ctx, SSL_OP_NO_TICKET);
		(void)SSL_CTX_set_num_tickets(c->ctx, 0);
	}
	if (buf_len(why) == before)
		return c;
fail:
	tls_config_unref(c);
	return NULL;
}

struct tls_config *
tls_server_new(const struct tls_opts *o, struct buf *why)
{
	return tls_config_new(false, o, why);
}

struct tls_config *
tls_client_new(const struct tls_opts *o, struct buf *why)
{
	return tls_config_new(true, o, why);
}

struct tls_config *
tls_config_ref(struct tls_config *c)
{
	c->refs++;
	return c;
}

void
tls_config_unref(struct tls_config *c)
{
	if (c == NULL || --c->refs > 0)
		return;
	SSL_CTX_free(c->ctx);
	free(c->name);
	free(c->uri);
	free(c);
}

int64_t
tls_config_expires(const struct tls_config *c)
{
	return c->expires;
}

bool
tls_config_uri(
    const struct tls_config *c, const char *scheme, char *dst, size_t cap)
{
	X509 *cert = SSL_CTX_get0_certificate(c->ctx);

	return cert != NULL && tls_uri(cert, scheme, dst, cap);
}

/* ---------------------------------------------------------- one connection */

/* The name that must be in the certificate; asked for unless it is a number. */
static void
tls_expect(struct tls *t, const struct tls_config *c, const char *host)
{
	const char *name = c->name != NULL ? c->name : host;
	X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
	uint8_t address[16];
	bool numeric = inet_pton(AF_INET, name, address) == 1 ||
	    inet_pton(AF_INET6, name, address) == 1;

	(void)snprintf(t->wanted, sizeof(t->wanted), "%s", name);
	if (!numeric)
		(void)SSL_set_tlsext_host_name(t->ssl, t->wanted);
	if (!c->verify)
		return;
	X509_VERIFY_PARAM_set_hostflags(
	    param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (numeric ? !X509_VERIFY_PARAM_set1_ip_asc(param, name)
		    : !X509_VERIFY_PARAM_set1_host(param, name, 0))
		abort(); /* out of memory: never go on without a check */
}

struct tls *
tls_new(struct tls_config *c, const char *host)
{
	struct tls *t = xcalloc(1, sizeof(*t));
	BIO *bio;

	t->ssl = SSL_new(c->ctx);
	if (t->ssl == NULL)
		abort();
	bio = tls_bio_new(t);
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_app_data(t->ssl, t);
	t->config = tls_config_ref(c);
	if (c->client) {
		SSL_set_connect_state(t->ssl);
		tls_expect(t, c, host);
	} else {
		SSL_set_accept_state(t->ssl);
	}
	return t;
}

void
tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	SSL_free(t->ssl);
	tls_config_unref(t->config);
	buf_fini(&t->wire);
	free(t);
}

static enum tls_progress
tls_shake(struct tls *t)
{
	int rc = SSL_do_handshake(t->ssl);

	if (rc == 1) {
		t->ready = true;
		return TLS_GOES_ON;
	}
	switch (SSL_get_error(t->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return TLS_GOES_ON;
	case SSL_ERROR_ZERO_RETURN:
		tls_fail(t, "the peer closed during the handshake");
		return TLS_FAILED;
	default:
		return tls_broken(t);
	}
}

static enum tls_progress
tls_read(struct tls *t, struct buf *plain)
{
	uint8_t *room;
	int n;

	for (;;) {
		room = buf_reserve(plain, TLS_RECORD);
		n = SSL_read(t->ssl, room, TLS_RECORD);
		if (n > 0) {
			buf_commit(plain, (size_t)n);
			continue;
		}
		switch (SSL_get_error(t->ssl, n)) {
		case SSL_ERROR_WANT_READ:
			return TLS_GOES_ON;
		case SSL_ERROR_ZERO_RETURN:
			return TLS_ENDED;
		default:
			return tls_broken(t);
		}
	}
}

enum tls_progress
tls_open(struct tls *t, const uint8_t *p, size_t n, struct buf *plain)
{
	enum tls_progress progress = TLS_GOES_ON;

	ERR_clear_error();
	t->in = p;
	t->in_len = n;
	if (!t->ready)
		progress = tls_shake(t);
	if (t->ready && progress == TLS_GOES_ON)
		progress = tls_read(t, plain);
	t->in = NULL;
	t->in_len = 0; /* what follows an end or an error means nothing */
	return progress;
}

bool
tls_ready(const struct tls *t)
{
	return t->ready;
}

enum tls_progress
tls_seal(struct tls *t, struct buf *plain, size_t max)
{
	size_t n = buf_len(plain) < max ? buf_len(plain) : max;
	const uint8_t *room;
	int rc;

	assert(t->ready && !t->finished && max <= INT_MAX);
	if (n == 0)
		return TLS_GOES_ON;
	ERR_clear_error();
	/* One piece of memory for all the records. */
	room = buf_reserve(
	    &t->wire, n + (n / TLS_RECORD + 1) * (size_t)TLS_OVERHEAD);
	assert(room != NULL);
	rc = SSL_write(t->ssl, buf_data(plain), (int)n);
	if (rc <= 0)
		return tls_broken(t);
	buf_drop(plain, (size_t)rc);
	return TLS_GOES_ON;
}

bool
tls_finish(struct tls *t)
{
	if (t->finished || !t->ready || t->error[0] != '\0')
		return false;
	t->finished = true;
	ERR_clear_error();
	(void)SSL_shutdown(t->ssl); /* 0: the peer's is not there yet */
	ERR_clear_error();
	return true;
}

bool
tls_peer_uri(const struct tls *t, const char *scheme, char *dst, size_t cap)
{
	X509 *cert = SSL_get0_peer_certificate(t->ssl);

	return cert != NULL && tls_uri(cert, scheme, dst, cap);
}

int64_t
tls_peer_expires(const struct tls *t)
{
	X509 *cert = SSL_get0_peer_certificate(t->ssl);

	return cert == NULL ? 0 : tls_seconds(X509_get0_notAfter(cert));
}

bool
tls_peer_fits(
    const struct tls *t, const struct tls_config *c, char *why, size_t cap)
{
	X509 *cert = SSL_get0_peer_certificate(t->ssl);
	X509_STORE_CTX *store = X509_STORE_CTX_new();
	bool good = false;

	if (store == NULL)
		abort();
	/* Of a client its chain begins with the one behind its own. */
	if (cert == NULL ||
	    X509_STORE_CTX_init(store, SSL_CTX_get_cert_store(c->ctx), cert,
		SSL_get_peer_cert_chain(t->ssl)) != 1 ||
	    X509_STORE_CTX_set_default(
		store, c->client ? "ssl_server" : "ssl_client") != 1)
		(void)snprintf(why, cap, "there is no certificate to check");
	else
		good = X509_verify_cert(store) == 1;
	if (!good && cert != NULL)
		(void)snprintf(why, cap, "%s",
		    X509_verify_cert_error_string(
			X509_STORE_CTX_get_error(store)));
	X509_STORE_CTX_free(store);
	ERR_clear_error();
	return good;
}

struct buf *
tls_wire(struct tls *t)
{
	return &t->wire;
}

const char *
tls_error(const struct tls *t)
{
	return t->error[0] == '\0' ? NULL : t->error;
}

char *
tls_show(const struct tls *t, char *dst, size_t cap)
{
	(void)snprintf(dst, cap, "%s %s", SSL_get_version(t->ssl),
	    SSL_get_cipher_name(t->ssl));
	return dst;
}
