/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls_test.c - TLS between two ends of our own over real sockets, what each
 * side refuses and in which words, and PROXY headers before it.  Certificates
 * are made here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <uv.h>

#include "common/attr.h"
#include "common/buf.h"
#include "common/conn.h"
#include "common/network.h"
#include "common/tls.h"
#include "test/unit/common/ends.h"

#define DAY (24L * 3600)

/* ---------------------------------------------------------- certificates */

static char dir[] = "/tmp/hopyard-tls-XXXXXX";

static struct pair {
	X509 *cert;
	EVP_PKEY *key;
} ca, other_ca;

static const char *
path(const char *name)
{
	static char text[16][128];
	static unsigned turn;
	char *dst = text[turn++ % 16];

	snprintf(dst, sizeof(text[0]), "%s/%s", dir, name);
	return dst;
}

static void
add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(ext);
	X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
}

/* Issued by by, or by itself when by has no key. */
static struct pair
make_cert(
    const struct pair *by, const char *cn, const char *san, long from, long to)
{
	static long serial;
	struct pair p = { X509_new(), EVP_EC_gen("P-256") };
	X509 *issuer = by != NULL ? by->cert : p.cert;
	X509_NAME *name = X509_get_subject_name(p.cert);

	X509_set_version(p.cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(p.cert), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(p.cert), from);
	X509_gmtime_adj(X509_getm_notAfter(p.cert), to);
	X509_NAME_add_entry_by_txt(
	    name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(p.cert, X509_get_subject_name(issuer));
	X509_set_pubkey(p.cert, p.key);
	if (by == NULL)
		add_ext(
		    p.cert, issuer, NID_basic_constraints, "critical,CA:TRUE");
	if (san != NULL)
		add_ext(p.cert, issuer, NID_subject_alt_name, san);
	assert_true(
	    X509_sign(p.cert, by != NULL ? by->key : p.key, EVP_sha256()));
	return p;
}

static void
free_pair(struct pair *p)
{
	X509_free(p->cert);
	EVP_PKEY_free(p->key);
}

static void
write_pair(const struct pair *p, const char *name)
{
	char file[64];
	FILE *f;

	snprintf(file, sizeof(file), "%s.crt", name);
	f = fopen(path(file), "w");
	assert_non_null(f);
	PEM_write_X509(f, p->cert);
	fclose(f);
	snprintf(file, sizeof(file), "%s.key", name);
	f = fopen(path(file), "w");
	assert_non_null(f);
	PEM_write_PrivateKey(f, p->key, NULL, NULL, 0, NULL, NULL);
	fclose(f);
}

static void
write_cert(const struct pair *by, const char *name, const char *san, long from,
    long to)
{
	struct pair p = make_cert(by, name, san, from, to);

	write_pair(&p, name);
	free_pair(&p);
}

/* A list in which the certificate of that file is revoked. */
static void
write_crl(const char *name, const char *revoked)
{
	X509_CRL *crl = X509_CRL_new();
	X509_REVOKED *entry = X509_REVOKED_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, -60);
	ASN1_TIME *next = X509_gmtime_adj(NULL, DAY);
	FILE *f = fopen(path(revoked), "r");
	X509 *cert = PEM_read_X509(f, NULL, NULL, NULL);

	fclose(f);
	X509_CRL_set_version(crl, 1);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca.cert));
	X509_CRL_set1_lastUpdate(crl, now);
	X509_CRL_set1_nextUpdate(crl, next);
	X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(cert));
	X509_REVOKED_set_revocationDate(entry, now);
	X509_CRL_add0_revoked(crl, entry);
	assert_true(X509_CRL_sign(crl, ca.key, EVP_sha256()));
	f = fopen(path(name), "w");
	PEM_write_X509_CRL(f, crl);
	fclose(f);
	X509_free(cert);
	X509_CRL_free(crl);
	ASN1_TIME_free(now);
	ASN1_TIME_free(next);
}

static int
make_files(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	ca = make_cert(NULL, "Test CA", NULL, -DAY, 10 * DAY);
	other_ca = make_cert(NULL, "Other CA", NULL, -DAY, 10 * DAY);
	write_pair(&ca, "ca");
	write_pair(&other_ca, "other-ca");
	write_cert(
	    &ca, "server", "DNS:smsc.example,IP:127.0.0.1", -DAY, 5 * DAY);
	write_cert(
	    &ca, "second", "DNS:smsc.example,IP:127.0.0.1", -DAY, 7 * DAY);
	write_cert(&ca, "expired", "IP:127.0.0.1", -3 * DAY, -DAY);
	write_cert(&ca, "future", "IP:127.0.0.1", DAY, 3 * DAY);
	write_cert(&ca, "elsewhere", "DNS:a.example,DNS:b.example,IP:192.0.2.1",
	    -DAY, DAY);
	write_cert(&ca, "client", "DNS:customer.example", -DAY, DAY);
	write_cert(&other_ca, "stranger", "DNS:x.example", -DAY, DAY);
	write_cert(&other_ca, "unknown", "IP:127.0.0.1", -DAY, DAY);
	write_crl("crl", "client.crt");
	return 0;
}

static int
remove_files(void **state)
{
	static const char *const name[] = { "ca", "other-ca", "server",
		"second", "expired", "future", "elsewhere", "client",
		"stranger", "unknown" };
	char file[64];
	size_t i;

	(void)state;
	free_pair(&ca);
	free_pair(&other_ca);
	for (i = 0; i < ARRAY_LEN(name); i++) {
		snprintf(file, sizeof(file), "%s.crt", name[i]);
		unlink(path(file));
		snprintf(file, sizeof(file), "%s.key", name[i]);
		unlink(path(file));
	}
	unlink(path("crl"));
	return rmdir(dir);
}

/* ------------------------------------------------------------ both ends */

static struct tls_config *server_tls, *client_tls;

static void
end_cb(struct conn *c, enum conn_event ev, void *arg)
{
	struct end *e = arg;

	assert_ptr_equal(c, e->conn);
	e->seen[ev]++;
	switch (ev) {
	case CONN_EV_CONNECTED:
		assert_false(conn_handshaking(c));
		conn_show_tls(c, e->tls, sizeof(e->tls));
		break;
	case CONN_EV_DATA:
		assert_false(conn_handshaking(c));
		assert_true(conn_len(c) > 0);
		conn_show_tls(c, e->tls, sizeof(e->tls));
		if (e->pause) {
			conn_pause(c);
			break;
		}
		end_take(e);
		break;
	case CONN_EV_ERROR:
		e->error = conn_error(c);
		snprintf(e->text, sizeof(e->text), "%s", conn_error_text(c));
		conn_close(c);
		break;
	case CONN_EV_EOF:
		conn_close_flush(c);
		break;
	case CONN_EV_CLOSED:
		e->conn = NULL;
		break;
	case CONN_EV_WRITABLE:
		break;
	}
}

static void
accept_cb(struct listener *l, struct conn *c, void *arg)
{
	struct end *e = arg;

	assert_ptr_equal(l, listener);
	accepted++;
	assert_null(e->conn);
	e->conn = c;
	snprintf(e->peer, sizeof(e->peer), "%s", conn_peer(c));
	conn_set_cb(c, end_cb, e);
}

static int
setup(void **state)
{
	(void)state;
	ends_init();
	server_tls = client_tls = NULL;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	ends_fini();
	tls_config_unref(server_tls);
	tls_config_unref(client_tls);
	return 0;
}

static struct tls_config *
config(struct tls_config *(*make)(const struct tls_opts *, struct buf *),
    const struct tls_opts *opts)
{
	static struct buf why;
	struct tls_config *c = make(opts, &why);

	if (c == NULL)
		fail_msg("%s", buf_str(&why));
	buf_fini(&why);
	return c;
}

static void
listen_tls(const struct tls_opts *opts, struct conn_opts *conn_opts)
{
	server_tls = config(tls_server_new, opts);
	conn_opts->tls = server_tls;
	assert_int_equal(listener_open(&loop, "127.0.0.1:0", 0, 0, conn_opts,
			     accept_cb, &server, &listener),
	    0);
}

static void
dial(const struct tls_opts *opts)
{
	struct conn_opts conn_opts = { 0 };

	if (opts != NULL) {
		tls_config_unref(client_tls);
		client_tls = config(tls_client_new, opts);
		conn_opts.tls = client_tls;
	}
	client.conn = conn_connect(
	    &loop, listener_address(listener), &conn_opts, end_cb, &client);
	assert_non_null(client.conn);
}

static bool
client_connected(void)
{
	return client.seen[CONN_EV_CONNECTED] == 1;
}

static bool
client_has_data(void)
{
	return client.seen[CONN_EV_DATA] > 0;
}

static bool
both_gone(void)
{
	return client.seen[CONN_EV_CLOSED] == 1 &&
	    server.seen[CONN_EV_CLOSED] == 1;
}

static bool
server_gone(void)
{
	return server.seen[CONN_EV_CLOSED] == 1;
}

static bool
client_gone(void)
{
	return client.seen[CONN_EV_CLOSED] == 1;
}

/* --------------------------------------------------------------- good ones */

static void
good_server(struct tls_opts *o)
{
	memset(o, 0, sizeof(*o));
	o->cert = path("server.crt");
	o->key = path("server.key");
}

static void
exchange(const struct tls_opts *server_opts, const struct tls_opts *client_opts)
{
	struct conn_opts conn_opts = { 0 };

	server.echo = true;
	listen_tls(server_opts, &conn_opts);
	dial(client_opts);
	conn_send(
	    client.conn, "hello", 5); /* kept until the handshake is done */
	RUN_UNTIL(client_has_data);
	assert_int_equal(client.seen[CONN_EV_CONNECTED], 1);
	assert_int_equal(server.seen[CONN_EV_CONNECTED], 0);
	assert_int_equal(server.bytes, 5);
	assert_int_equal(client.bytes, 5);
	assert_string_equal(client.tls, server.tls);
	assert_memory_equal(client.tls, "TLSv1.3 TLS_", 12);
}

static void
test_exchange(void **state)
{
	struct tls_opts s, c = { .ca = path("ca.crt") };

	(void)state;
	good_server(&s);
	exchange(&s, &c);
	/* close_notify both ways, and nobody sees an error. */
	conn_close_flush(client.conn);
	RUN_UNTIL(both_gone);
	assert_int_equal(server.seen[CONN_EV_EOF], 1);
	assert_int_equal(server.error, 0);
	assert_int_equal(client.error, 0);
}

static void
test_name(void **state)
{
	struct tls_opts s, c = { .ca = path("ca.crt"), .name = "smsc.example" };

	(void)state;
	good_server(&s);
	exchange(&s, &c);
}

static void
test_client_certificate(void **state)
{
	struct tls_opts s,
	    c = { .ca = path("ca.crt"),
		    .cert = path("client.crt"),
		    .key = path("client.key") };

	(void)state;
	good_server(&s);
	s.ca = path("ca.crt");
	exchange(&s, &c);
}

static void
test_no_verify(void **state)
{
	struct tls_opts s = { .cert = path("expired.crt"),
		.key = path("expired.key") };
	struct tls_opts c = { .no_verify = true, .name = "anybody.example" };

	(void)state;
	exchange(&s, &c);
}

/* Sent before, read after: nothing is lost, WRITABLE comes once it is owed. */
static void
test_large(void **state)
{
	const size_t n = 8 * 1024 * 1024;
	struct tls_opts s, c = { .ca = path("ca.crt") };
	struct conn_opts conn_opts = { 0 };
	uint8_t *p = malloc(n);
	size_t i;

	(void)state;
	for (i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + (i >> 8));
	good_server(&s);
	listen_tls(&s, &conn_opts);
	dial(&c);
	RUN_UNTIL(client_connected);
	for (i = 0; i < n; i += 100000)
		conn_send(client.conn, p + i, n - i < 100000 ? n - i : 100000);
	assert_true(conn_above_high(client.conn));
	conn_close_flush(client.conn);
	RUN_UNTIL(both_gone);
	assert_int_equal(server.bytes, n);
	assert_true(server.sum == checksum(0, 0, p, n));
	assert_int_equal(server.seen[CONN_EV_EOF], 1);
	assert_int_equal(client.seen[CONN_EV_WRITABLE], 0);
	free(p);
}

static bool
client_writable(void)
{
	return client.seen[CONN_EV_WRITABLE] == 1;
}

static bool
echoed(void)
{
	return client.bytes == 3 * 1024 * 1024;
}

static void
test_watermarks(void **state)
{
	const size_t n = 3 * 1024 * 1024;
	struct tls_opts s, c = { .ca = path("ca.crt") };
	struct conn_opts conn_opts = { 0 };
	uint8_t *p = calloc(1, n);

	(void)state;
	server.echo = true;
	good_server(&s);
	listen_tls(&s, &conn_opts);
	dial(&c);
	RUN_UNTIL(client_connected);
	conn_send(client.conn, p, n);
	assert_true(conn_above_high(client.conn));
	RUN_UNTIL(client_writable);
	assert_true(conn_unsent(client.conn) < 256 * 1024);
	RUN_UNTIL(echoed);
	assert_int_equal(conn_unsent(client.conn), 0);
	free(p);
}

static void
test_pause(void **state)
{
	struct tls_opts s, c = { .ca = path("ca.crt") };
	struct conn_opts conn_opts = { 0 };
	unsigned i;

	(void)state;
	good_server(&s);
	listen_tls(&s, &conn_opts);
	dial(&c);
	conn_pause(client.conn);
	RUN_UNTIL(client_connected);
	conn_send(server.conn, "early", 5);
	for (i = 0; i < 20; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(client.seen[CONN_EV_DATA], 0);
	conn_resume(client.conn);
	RUN_UNTIL(client_has_data);
	assert_int_equal(client.bytes, 5);
}

static bool
server_paused(void)
{
	return server.seen[CONN_EV_DATA] == 1;
}

static bool
server_accepted(void)
{
	return server.conn != NULL;
}

static bool
server_saw_end(void)
{
	return server.seen[CONN_EV_EOF] == 1;
}

/* What came before the end is told before the end, also to who paused. */
static void
test_pause_end(void **state)
{
	struct tls_opts s, c = { .ca = path("ca.crt") };
	struct conn_opts conn_opts = { 0 };
	unsigned i;

	(void)state;
	good_server(&s);
	listen_tls(&s, &conn_opts);
	dial(&c);
	RUN_UNTIL(server_accepted);
	conn_pause(server.conn);
	conn_send(client.conn, "last", 4);
	RUN_UNTIL(client_connected);
	conn_close_flush(client.conn);
	for (i = 0; i < 20; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(server.seen[CONN_EV_DATA], 0);
	assert_int_equal(server.seen[CONN_EV_EOF], 0);
	conn_resume(server.conn);
	RUN_UNTIL(server_saw_end);
	assert_int_equal(server.bytes, 4);
	RUN_UNTIL(both_gone);
}

/* The same when data and end come in one read, and the data makes it pause. */
static void
test_pause_at_end(void **state)
{
	struct tls_opts s, c = { .ca = path("ca.crt") };
	struct conn_opts conn_opts = { 0 };
	unsigned i;

	(void)state;
	good_server(&s);
	listen_tls(&s, &conn_opts);
	dial(&c);
	RUN_UNTIL(client_connected);
	server.pause = true;
	conn_send(client.conn, "last", 4);
	conn_close_flush(client.conn);
	RUN_UNTIL(server_paused);
	for (i = 0; i < 20; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(server.seen[CONN_EV_EOF], 0);
	server.pause = false;
	conn_resume(server.conn);
	RUN_UNTIL(both_gone);
	assert_int_equal(server.seen[CONN_EV_EOF], 1);
	assert_int_equal(server.bytes, 4);
}

/* And when it takes one octet in a turn. */
static void
sip_cb(struct conn *c, enum conn_event ev, void *arg)
{
	struct end *e = arg;

	if (ev == CONN_EV_EOF)
		assert_int_equal(e->bytes, 4);
	if (ev != CONN_EV_DATA) {
		end_cb(c, ev, arg);
		return;
	}
	e->seen[ev]++;
	e->bytes++;
	conn_drop(c, 1);
	if (conn_len(c) > 0)
		conn_yield(c);
}

static void
test_yield_at_end(void **state)
{
	struct tls_opts s, c = { .ca = path("ca.crt") };
	struct conn_opts conn_opts = { 0 };

	(void)state;
	good_server(&s);
	listen_tls(&s, &conn_opts);
	dial(&c);
	RUN_UNTIL(client_connected);
	RUN_UNTIL(server_accepted);
	conn_set_cb(server.conn, sip_cb, &server);
	conn_send(client.conn, "last", 4);
	conn_close_flush(client.conn);
	RUN_UNTIL(both_gone);
	assert_int_equal(server.seen[CONN_EV_DATA], 4);
	assert_int_equal(server.seen[CONN_EV_EOF], 1);
}

/* New certificates for who comes now; who is there notices nothing. */
static void
test_swap(void **state)
{
	struct tls_opts s, c = { .ca = path("ca.crt") };
	struct tls_config *next;

	(void)state;
	good_server(&s);
	exchange(&s, &c);
	s.cert = path("second.crt");
	s.key = path("second.key");
	next = config(tls_server_new, &s);
	assert_true(
	    tls_config_expires(next) > tls_config_expires(server_tls) + DAY);
	listener_set_tls(listener, next);
	tls_config_unref(server_tls);
	server_tls = next;
	client.seen[CONN_EV_DATA] = 0;
	conn_send(client.conn, "again", 5);
	RUN_UNTIL(client_has_data);
	assert_int_equal(client.bytes, 10);
	conn_close_flush(client.conn);
	RUN_UNTIL(both_gone);
	memset(&client, 0, sizeof(client));
	memset(&server, 0, sizeof(server));
	dial(&c);
	RUN_UNTIL(client_connected);
}

/* ------------------------------------------------------------------ refused */

static void
refused(const struct tls_opts *server_opts, const struct tls_opts *client_opts,
    const char *want_client, const char *want_server)
{
	struct conn_opts conn_opts = { 0 };

	listen_tls(server_opts, &conn_opts);
	dial(client_opts);
	RUN_UNTIL(both_gone);
	assert_int_equal(server.seen[CONN_EV_DATA], 0);
	assert_int_equal(client.seen[CONN_EV_DATA], 0);
	if (strstr(client.text, want_client) == NULL)
		fail_msg("client says \"%s\"", client.text);
	if (strstr(server.text, want_server) == NULL)
		fail_msg("server says \"%s\"", server.text);
}

static void
refuse_server(
    const char *name, const char *want_client, const char *want_server)
{
	struct tls_opts s, c = { .ca = path("ca.crt") };
	char cert[128], key[128];

	snprintf(cert, sizeof(cert), "%s/%s.crt", dir, name);
	snprintf(key, sizeof(key), "%s/%s.key", dir, name);
	memset(&s, 0, sizeof(s));
	s.cert = cert;
	s.key = key;
	refused(&s, &c, want_client, want_server);
	assert_int_equal(client.seen[CONN_EV_CONNECTED], 0);
}

static void
test_expired(void **state)
{
	(void)state;
	refuse_server("expired", "TLS: certificate has expired, on 20",
	    "TLS: the peer says that our certificate has expired");
}

static void
test_not_yet(void **state)
{
	(void)state;
	refuse_server("future", "TLS: certificate is not yet valid, only from",
	    "TLS: the peer does not accept our certificate");
}

static void
test_wrong_address(void **state)
{
	(void)state;
	refuse_server("elsewhere",
	    "TLS: host name mismatch: wanted 127.0.0.1, certificate is for "
	    "a.example, b.example, 192.0.2.1",
	    "TLS: the peer does not accept our certificate");
}

static void
test_wrong_name(void **state)
{
	struct tls_opts s,
	    c = { .ca = path("ca.crt"), .name = "other.example" };

	(void)state;
	good_server(&s);
	refused(&s, &c,
	    "TLS: host name mismatch: wanted other.example, certificate is for "
	    "smsc.example, 127.0.0.1",
	    "TLS: the peer does not accept our certificate");
}

static void
test_unknown_ca(void **state)
{
	(void)state;
	refuse_server("unknown",
	    "TLS: certificate (127.0.0.1) is signed by nobody we trust: "
	    "/CN=Other CA",
	    "TLS: the peer does not trust who signed our certificate");
}

/* Without a file of ours those of the system count. */
static void
test_system_ca(void **state)
{
	struct tls_opts s, c = { .name = "smsc.example" };

	(void)state;
	good_server(&s);
	refused(&s, &c, "is signed by nobody we trust", "does not trust");
}

static void
test_no_client_certificate(void **state)
{
	struct tls_opts s, c = { .ca = path("ca.crt") };

	(void)state;
	good_server(&s);
	s.ca = path("ca.crt");
	refused(&s, &c,
	    "TLS: the peer wants a client certificate; see tls_cert",
	    "TLS: the client has shown no certificate");
}

static void
test_strange_client(void **state)
{
	struct tls_opts s,
	    c = { .ca = path("ca.crt"),
		    .cert = path("stranger.crt"),
		    .key = path("stranger.key") };

	(void)state;
	good_server(&s);
	s.ca = path("ca.crt");
	refused(&s, &c,
	    "TLS: the peer does not trust who signed our certificate",
	    "TLS: certificate (x.example) is signed by nobody we trust");
}

static void
test_revoked_client(void **state)
{
	struct tls_opts s,
	    c = { .ca = path("ca.crt"),
		    .cert = path("client.crt"),
		    .key = path("client.key") };

	(void)state;
	good_server(&s);
	s.ca = path("ca.crt");
	s.crl = path("crl");
	refused(&s, &c,
	    "TLS: the peer says that our certificate has been revoked",
	    "TLS: certificate has been revoked (customer.example)");
}

/* A client of another make, of which only the first flight is seen. */
static void
offer(int version, const char *want)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	struct conn_opts conn_opts = { 0 };
	struct tls_opts s;
	char *hello;
	long n;
	SSL *ssl;

	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	ssl = SSL_new(ctx);
	SSL_set_bio(ssl, in, out);
	assert_int_equal(SSL_connect(ssl), -1);
	n = BIO_get_mem_data(out, &hello);
	assert_true(n > 40);

	good_server(&s);
	listen_tls(&s, &conn_opts);
	dial(NULL);
	conn_send(client.conn, hello, (size_t)n);
	if (want == NULL) {
		RUN_UNTIL(client_has_data);
		assert_string_equal(server.text, "");
	} else {
		RUN_UNTIL(server_gone);
		assert_string_equal(server.text, want);
		RUN_UNTIL(client_gone);
		assert_int_equal(client.bytes, 7); /* an alert */
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

static void
test_old_version(void **state)
{
	(void)state;
	offer(TLS1_1_VERSION, "TLS: the peer offers neither TLS 1.2 nor 1.3");
}

static void
test_version_12(void **state)
{
	(void)state;
	offer(TLS1_2_VERSION, NULL);
}

static void
test_plain_client(void **state)
{
	struct conn_opts conn_opts = { 0 };
	struct tls_opts s;

	(void)state;
	good_server(&s);
	listen_tls(&s, &conn_opts);
	dial(NULL);
	conn_send(client.conn,
	    "\x00\x00\x00\x10\x00\x00\x00\x15\x00\x00\x00\x00\x00\x00\x00\x01",
	    16);
	RUN_UNTIL(server_gone);
	assert_string_equal(server.text, "TLS: the peer does not speak TLS");
	assert_int_equal(server.seen[CONN_EV_DATA], 0);
}

static void
test_plain_server(void **state)
{
	struct tls_opts c = { .ca = path("ca.crt") };

	(void)state;
	server.echo = true;
	assert_int_equal(listener_open(&loop, "127.0.0.1:0", 0, 0, NULL,
			     accept_cb, &server, &listener),
	    0);
	dial(&c);
	RUN_UNTIL(client_gone);
	assert_memory_equal(client.text, "TLS: ", 5);
	assert_int_equal(client.seen[CONN_EV_CONNECTED], 0);
}

static void
test_stops(void **state)
{
	struct conn_opts conn_opts = { .greet_ms = 100 };
	struct tls_opts s;

	(void)state;
	good_server(&s);
	listen_tls(&s, &conn_opts);
	dial(NULL);
	conn_send(client.conn, "\x16\x03\x01\x02\x00\x01", 6);
	RUN_UNTIL(server_gone);
	assert_int_equal(server.error, UV_ETIMEDOUT);
	assert_string_equal(
	    server.text, "TLS: the handshake was not finished in time");
}

static void
test_leaves(void **state)
{
	struct conn_opts conn_opts = { 0 };
	struct tls_opts s;

	(void)state;
	good_server(&s);
	listen_tls(&s, &conn_opts);
	dial(NULL);
	conn_send(client.conn, "\x16\x03\x01\x02\x00\x01", 6);
	RUN_UNTIL(client_connected);
	conn_close_flush(client.conn);
	RUN_UNTIL(server_gone);
	assert_string_equal(
	    server.text, "TLS: the peer closed during the handshake");
	assert_int_equal(server.seen[CONN_EV_EOF], 0);
}

/* ------------------------------------------------------------------- files */

static void
complains(struct tls_config *(*make)(const struct tls_opts *, struct buf *),
    const struct tls_opts *o, const char *want)
{
	struct buf why;

	buf_init(&why);
	assert_null(make(o, &why));
	if (strstr(buf_str(&why), want) == NULL)
		fail_msg("says \"%s\"", buf_str(&why));
	buf_fini(&why);
}

static void
test_files(void **state)
{
	struct tls_opts o;

	(void)state;
	good_server(&o);
	o.cert = path("absent.crt");
	complains(tls_server_new, &o, "absent.crt\": No such file");
	good_server(&o);
	o.key = path("client.key");
	complains(tls_server_new, &o,
	    "client.key\": this key does not belong to the certificate");
	good_server(&o);
	o.cert = o.key;
	complains(tls_server_new, &o, "cert: \"");
	good_server(&o);
	o.ca = path("server.key");
	complains(tls_server_new, &o, "ca: \"");
	good_server(&o);
	o.crl = path("server.crt");
	complains(tls_server_new, &o, "crl: \"");
	memset(&o, 0, sizeof(o));
	complains(tls_server_new, &o, "cert: a server needs a certificate");
	o.key = path("client.key");
	complains(tls_client_new, &o, "key: there is no certificate to it");
}

/* ----------------------------------------------------------------- trickle */

/* Gives what waits on one side to the other, in pieces of n octets. */
static enum tls_progress
pass(struct tls *from, struct tls *to, size_t n, struct buf *plain)
{
	enum tls_progress progress = TLS_GOES_ON;
	struct buf *wire = tls_wire(from);
	size_t take;

	while (buf_len(wire) > 0 && progress == TLS_GOES_ON) {
		take = buf_len(wire) < n ? buf_len(wire) : n;
		progress = tls_open(to, buf_data(wire), take, plain);
		buf_drop(wire, take);
	}
	return progress;
}

static void
test_trickle(void **state)
{
	static const size_t pieces[] = { 1, 2, 3, 5, 6, 7, 100, 1000, 100000 };
	struct tls_opts so, co = { .ca = path("ca.crt") };
	struct buf in, out;
	uint8_t text[40000];
	size_t i, k;

	(void)state;
	good_server(&so);
	server_tls = config(tls_server_new, &so);
	client_tls = config(tls_client_new, &co);
	for (i = 0; i < sizeof(text); i++)
		text[i] = (uint8_t)(i * 3);
	for (k = 0; k < ARRAY_LEN(pieces); k++) {
		struct tls *s = tls_new(server_tls, NULL);
		struct tls *c = tls_new(client_tls, "127.0.0.1");

		buf_init(&in);
		buf_init(&out);
		assert_int_equal(tls_open(c, NULL, 0, &in), TLS_GOES_ON);
		for (i = 0; i < 10 && !(tls_ready(s) && tls_ready(c)); i++) {
			assert_int_equal(
			    pass(c, s, pieces[k], &in), TLS_GOES_ON);
			assert_int_equal(
			    pass(s, c, pieces[k], &in), TLS_GOES_ON);
		}
		assert_true(tls_ready(s) && tls_ready(c));
		assert_int_equal(buf_len(&in), 0);
		buf_add(&out, text, sizeof(text));
		while (buf_len(&out) > 0)
			assert_int_equal(tls_seal(c, &out, 30000), TLS_GOES_ON);
		tls_finish(c);
		assert_false(tls_finish(c));
		assert_int_equal(pass(c, s, pieces[k], &in), TLS_ENDED);
		assert_int_equal(buf_len(&in), sizeof(text));
		assert_memory_equal(buf_data(&in), text, sizeof(text));
		tls_free(s);
		tls_free(c);
		buf_fini(&in);
		buf_fini(&out);
	}
}

/* One octet of a record that is not as it was sent. */
static void
test_tampered(void **state)
{
	struct tls_opts so, co = { .ca = path("ca.crt") };
	struct tls *s, *c;
	struct buf in, out;
	uint8_t record[256];
	unsigned i;
	size_t n;

	(void)state;
	good_server(&so);
	server_tls = config(tls_server_new, &so);
	client_tls = config(tls_client_new, &co);
	s = tls_new(server_tls, NULL);
	c = tls_new(client_tls, "127.0.0.1");
	buf_init(&in);
	buf_init(&out);
	assert_int_equal(tls_open(c, NULL, 0, &in), TLS_GOES_ON);
	for (i = 0; i < 10 && !(tls_ready(s) && tls_ready(c)); i++) {
		assert_int_equal(pass(c, s, 9999, &in), TLS_GOES_ON);
		assert_int_equal(pass(s, c, 9999, &in), TLS_GOES_ON);
	}
	buf_addstr(&out, "hello");
	assert_int_equal(tls_seal(c, &out, 100), TLS_GOES_ON);
	n = buf_len(tls_wire(c));
	assert_in_range(n, 9, sizeof(record));
	memcpy(record, buf_data(tls_wire(c)), n);
	record[8] ^= 1;
	assert_int_equal(tls_open(s, record, n, &in), TLS_FAILED);
	assert_non_null(tls_error(s));
	assert_int_equal(buf_len(&in), 0);
	tls_free(s);
	tls_free(c);
	buf_fini(&in);
	buf_fini(&out);
}

/* ------------------------------------------------------------------- proxy */

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define TCP4                                                                   \
	V2 "\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xd9\x03\x0a\xd7"
#define TCP6                                                                   \
	V2 "\x21\x21\x00\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09"        \
	   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xd9\x03\x0a\xd7"
#define LOCAL V2 "\x20\x00\x00\x00"

static void
listen_proxy(const char *from, uint64_t greet_ms)
{
	struct network network;
	struct conn_opts opts = {
		.proxies = &network, .n_proxies = 1, .greet_ms = greet_ms
	};

	assert_true(network_parse(from, &network));
	server.echo = true;
	assert_int_equal(listener_open(&loop, "127.0.0.1:0", 0, 0, &opts,
			     accept_cb, &server, &listener),
	    0);
}

static void
test_proxy(void **state)
{
	(void)state;
	listen_proxy("127.0.0.0/8", 0);
	dial(NULL);
	conn_send(client.conn, TCP4 "hello", sizeof(TCP4) - 1 + 5);
	RUN_UNTIL(client_has_data);
	assert_string_equal(server.peer, "192.0.2.7:55555");
	assert_string_equal(conn_peer(server.conn), "192.0.2.7:55555");
	assert_int_equal(client.bytes, 5);
}

static void
test_proxy_v6(void **state)
{
	(void)state;
	listen_proxy("127.0.0.0/8", 0);
	dial(NULL);
	conn_send(client.conn, TCP6 "hello", sizeof(TCP6) - 1 + 5);
	RUN_UNTIL(client_has_data);
	assert_string_equal(server.peer, "[2001:db8::9]:55555");
}

static void
test_proxy_local(void **state)
{
	(void)state;
	listen_proxy("127.0.0.1", 0);
	dial(NULL);
	conn_send(client.conn, LOCAL "hello", sizeof(LOCAL) - 1 + 5);
	RUN_UNTIL(client_has_data);
	assert_memory_equal(server.peer, "127.0.0.1:", 10);
}

static void
test_proxy_trickle(void **state)
{
	size_t i;

	(void)state;
	listen_proxy("127.0.0.0/8", 0);
	dial(NULL);
	RUN_UNTIL(client_connected);
	for (i = 0; i < sizeof(TCP4) - 1; i++) {
		assert_int_equal(accepted, 0);
		conn_send(client.conn, &TCP4[i], 1);
		uv_run(&loop, UV_RUN_NOWAIT);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	conn_send(client.conn, "x", 1);
	RUN_UNTIL(client_has_data);
	assert_int_equal(accepted, 1);
	assert_string_equal(server.peer, "192.0.2.7:55555");
	assert_int_equal(client.bytes, 1);
}

static void
test_proxy_missing(void **state)
{
	(void)state;
	listen_proxy("127.0.0.0/8", 0);
	dial(NULL);
	conn_send(client.conn, "\x00\x00\x00\x10", 4);
	RUN_UNTIL(client_gone);
	assert_int_equal(accepted, 0);
	assert_int_equal(client.seen[CONN_EV_EOF], 1);
}

static void
test_proxy_stops(void **state)
{
	(void)state;
	listen_proxy("127.0.0.0/8", 100);
	dial(NULL);
	conn_send(client.conn, V2, 8);
	RUN_UNTIL(client_gone);
	assert_int_equal(accepted, 0);
}

/* From others it is what they say first, and says nothing of who they are. */
static void
test_proxy_forged(void **state)
{
	(void)state;
	listen_proxy("10.0.0.0/8", 0);
	dial(NULL);
	conn_send(client.conn, TCP4, sizeof(TCP4) - 1);
	RUN_UNTIL(client_has_data);
	assert_memory_equal(server.peer, "127.0.0.1:", 10);
	assert_int_equal(server.bytes, sizeof(TCP4) - 1);
}

/* The owner of the listener goes while a header is waited for. */
static void
test_proxy_listener_closes(void **state)
{
	(void)state;
	listen_proxy("127.0.0.0/8", 0);
	dial(NULL);
	conn_send(client.conn, V2, 8);
	RUN_UNTIL(client_connected);
	uv_run(&loop, UV_RUN_NOWAIT);
	uv_run(&loop, UV_RUN_NOWAIT);
	listener_close(listener);
	listener = NULL;
	RUN_UNTIL(client_gone);
	assert_int_equal(accepted, 0);
}

/* Header and ClientHello in one piece, split at each octet around the end of
 * the header. */
static void
test_proxy_tls(void **state)
{
	struct tls_opts so, co = { .ca = path("ca.crt") };
	struct network network;
	struct conn_opts opts = { .proxies = &network, .n_proxies = 1 };
	struct buf in, hello;
	struct tls *t;
	size_t cut, header = sizeof(TCP4) - 1;

	(void)state;
	assert_true(network_parse("127.0.0.0/8", &network));
	good_server(&so);
	listen_tls(&so, &opts);
	client_tls = config(tls_client_new, &co);
	for (cut = header - 2; cut <= header + 6; cut++) {
		memset(&client, 0, sizeof(client));
		memset(&server, 0, sizeof(server));
		accepted = 0;
		t = tls_new(client_tls, "127.0.0.1");
		buf_init(&in);
		buf_init(&hello);
		assert_int_equal(tls_open(t, NULL, 0, &in), TLS_GOES_ON);
		buf_add(&hello, TCP4, header);
		buf_add(&hello, buf_data(tls_wire(t)), buf_len(tls_wire(t)));
		dial(NULL);
		RUN_UNTIL(client_connected);
		conn_send(client.conn, buf_data(&hello), cut);
		uv_run(&loop, UV_RUN_NOWAIT);
		uv_run(&loop, UV_RUN_NOWAIT);
		conn_send(
		    client.conn, buf_data(&hello) + cut, buf_len(&hello) - cut);
		RUN_UNTIL(client_has_data); /* ServerHello */
		assert_int_equal(accepted, 1);
		assert_string_equal(server.peer, "192.0.2.7:55555");
		assert_string_equal(server.text, "");
		conn_close(client.conn);
		RUN_UNTIL(both_gone);
		tls_free(t);
		buf_fini(&in);
		buf_fini(&hello);
	}
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_exchange),
		TEST(test_name),
		TEST(test_client_certificate),
		TEST(test_no_verify),
		TEST(test_large),
		TEST(test_watermarks),
		TEST(test_pause),
		TEST(test_pause_end),
		TEST(test_pause_at_end),
		TEST(test_yield_at_end),
		TEST(test_swap),
		TEST(test_expired),
		TEST(test_not_yet),
		TEST(test_wrong_address),
		TEST(test_wrong_name),
		TEST(test_unknown_ca),
		TEST(test_system_ca),
		TEST(test_no_client_certificate),
		TEST(test_strange_client),
		TEST(test_revoked_client),
		TEST(test_old_version),
		TEST(test_version_12),
		TEST(test_plain_client),
		TEST(test_plain_server),
		TEST(test_stops),
		TEST(test_leaves),
		TEST(test_files),
		TEST(test_trickle),
		TEST(test_tampered),
		TEST(test_proxy),
		TEST(test_proxy_v6),
		TEST(test_proxy_local),
		TEST(test_proxy_trickle),
		TEST(test_proxy_missing),
		TEST(test_proxy_stops),
		TEST(test_proxy_forged),
		TEST(test_proxy_listener_closes),
		TEST(test_proxy_tls),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
