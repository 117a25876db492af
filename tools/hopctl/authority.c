/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * authority.c - the folder of a certificate authority.
 *
 * The index is written anew beside the old one and renamed, before the
 * certificate that it tells of: what is valid somewhere is always in it, so that
 * it can be revoked.  A certificate that is not made after all is taken out.
 */
#include "tools/hopctl/authority.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "common/buf.h"
#include "common/identity.h"
#include "common/xalloc.h"

#define EARLY     300 /* seconds that a clock may be behind ours */
#define DAY       (24 * 3600)
#define INDEX_TOP "# SERIAL TYPE NAME FROM UNTIL STATE HOSTS\n"

struct authority {
	char *folder;
	int lock;
	X509 *cert;
	EVP_PKEY *key;
	struct issued *issued;
	size_t count;
};

/* -------------------------------------------------------------- the files */

static char *
path_of(const char *folder, const char *name, const char *suffix)
{
	return xasprintf("%s/%s%s", folder, name, suffix);
}

/* Whole or not at all. */
static bool
write_file(
    const char *path, const struct buf *text, mode_t mode, struct buf *why)
{
	char *next = xasprintf("%s.new", path);
	size_t left = buf_len(text);
	const uint8_t *p = buf_data(text);
	ssize_t n = 0;
	bool good;
	int fd;

	(void)unlink(next);
	fd = open(
	    next, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	while (fd >= 0 && left > 0 && (n = write(fd, p, left)) > 0) {
		p += n;
		left -= (size_t)n;
	}
	good = fd >= 0 && left == 0 && fchmod(fd, mode) == 0 && fsync(fd) == 0;
	if (fd >= 0 && close(fd) != 0)
		good = false;
	good = good && rename(next, path) == 0;
	if (!good) {
		buf_printf(why, "%s: %s", path, strerror(errno));
		(void)unlink(next);
	}
	free(next);
	return good;
}

static bool
write_bio(BIO *bio, const char *path, mode_t mode, struct buf *why)
{
	struct buf text;
	char *data;
	long n = BIO_get_mem_data(bio, &data);
	bool good;

	buf_init(&text);
	if (n > 0)
		buf_add(&text, data, (size_t)n);
	good = n > 0 && write_file(path, &text, mode, why);
	if (n > 0)
		explicit_bzero(buf_data(&text), buf_len(&text));
	buf_fini(&text);
	return good;
}

static bool
write_key(const char *path, EVP_PKEY *key, struct buf *why)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	bool good = bio != NULL &&
	    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) ==
		1 &&
	    write_bio(bio, path, 0600, why);

	BIO_free(bio);
	return good;
}

static bool
write_cert(const char *path, X509 *cert, struct buf *why)
{
	BIO *bio = BIO_new(BIO_s_mem());
	bool good = bio != NULL && PEM_write_bio_X509(bio, cert) == 1 &&
	    write_bio(bio, path, 0644, why);

	BIO_free(bio);
	return good;
}

static X509 *
read_cert(const char *path, struct buf *why)
{
	FILE *f = fopen(path, "re");
	X509 *cert;

	if (f == NULL) {
		buf_printf(why, "%s: %s", path, strerror(errno));
		return NULL;
	}
	cert = PEM_read_X509(f, NULL, NULL, NULL);
	(void)fclose(f);
	if (cert == NULL)
		buf_printf(why, "%s has no certificate in PEM", path);
	return cert;
}

static EVP_PKEY *
read_key(const char *path, struct buf *why)
{
	FILE *f = fopen(path, "re");
	EVP_PKEY *key;

	if (f == NULL) {
		buf_printf(why, "%s: %s", path, strerror(errno));
		return NULL;
	}
	key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	(void)fclose(f);
	if (key == NULL)
		buf_printf(why, "%s has no key in PEM", path);
	return key;
}

/* ---------------------------------------------------------- the index */

static bool
parse_time(const char *text, int64_t *at)
{
	struct tm tm = { 0 };
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);

	*at = (int64_t)timegm(&tm);
	return end != NULL && *end == '\0';
}

static bool
parse_line(const char *line, struct issued *i)
{
	char from[32], until[32], state[16];
	int n;

	memset(i, 0, sizeof(*i));
	n = sscanf(line, "%19s %31s %63s %31s %31s %15s %255s", i->serial,
	    i->type, i->name, from, until, state, i->hosts);
	if (n < 6 || !parse_time(from, &i->from) ||
	    !parse_time(until, &i->until))
		return false;
	i->revoked = strcmp(state, "revoked") == 0;
	if (n < 7 || strcmp(i->hosts, "-") == 0)
		i->hosts[0] = '\0';
	return i->revoked || strcmp(state, "valid") == 0;
}

static bool
index_read(struct authority *a, struct buf *why)
{
	char *path = path_of(a->folder, "index", "");
	FILE *f = fopen(path, "re");
	char line[512];
	unsigned number = 0;
	bool good = f != NULL;

	if (f == NULL)
		buf_printf(why, "%s: %s", path, strerror(errno));
	while (good && fgets(line, sizeof(line), f) != NULL) {
		number++;
		if (line[0] == '#' || line[0] == '\n')
			continue;
		a->issued =
		    xrealloc(a->issued, (a->count + 1) * sizeof(struct issued));
		good = parse_line(line, &a->issued[a->count++]);
		if (!good)
			buf_printf(
			    why, "%s:%u is no line of an index", path, number);
	}
	if (f != NULL)
		(void)fclose(f);
	free(path);
	return good;
}

static void
print_time(struct buf *out, int64_t at)
{
	time_t t = (time_t)at;
	struct tm tm;
	char text[32];

	gmtime_r(&t, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	buf_printf(out, " %s", text);
}

static bool
index_write(const struct authority *a, struct buf *why)
{
	char *path = path_of(a->folder, "index", "");
	struct buf text;
	bool good;

	buf_init(&text);
	buf_addstr(&text, INDEX_TOP);
	for (size_t k = 0; k < a->count; k++) {
		const struct issued *i = &a->issued[k];

		buf_printf(&text, "%s %s %s", i->serial, i->type, i->name);
		print_time(&text, i->from);
		print_time(&text, i->until);
		buf_printf(&text, " %s %s\n", i->revoked ? "revoked" : "valid",
		    i->hosts[0] != '\0' ? i->hosts : "-");
	}
	good = write_file(path, &text, 0644, why);
	if (good && fsync(a->lock) != 0) {
		buf_printf(why, "%s: %s", a->folder, strerror(errno));
		good = false;
	}
	buf_fini(&text);
	free(path);
	return good;
}

const struct issued *
authority_list(const struct authority *a, size_t *count)
{
	*count = a->count;
	return a->issued;
}

const struct issued *
authority_find(const struct authority *a, const char *name)
{
	for (size_t k = a->count; k-- > 0;)
		if (strcmp(a->issued[k].name, name) == 0 &&
		    !a->issued[k].revoked)
			return &a->issued[k];
	return NULL;
}

/* ----------------------------------------------------- one certificate */

static bool
new_serial(char hex[20])
{
	uint8_t raw[8];

	if (RAND_bytes(raw, sizeof(raw)) != 1)
		return false;
	raw[0] = (raw[0] & 0x7f) | 0x40; /* positive, and of one length */
	for (size_t i = 0; i < sizeof(raw); i++)
		snprintf(hex + 2 * i, 3, "%02x", raw[i]);
	return true;
}

static bool
set_serial(ASN1_INTEGER *to, const char *hex)
{
	BIGNUM *bn = NULL;
	bool good = BN_hex2bn(&bn, hex) > 0 && BN_to_ASN1_INTEGER(bn, to);

	BN_free(bn);
	return good;
}

static bool
set_name(X509 *cert, const char *name)
{
	X509_NAME *n = X509_get_subject_name(cert);

	return X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8,
		   (const unsigned char *)name, -1, -1, 0) == 1;
}

static bool
add_extension(X509V3_CTX *ctx, X509 *cert, const char *key, const char *value)
{
	X509_EXTENSION *x = X509V3_EXT_nconf(NULL, ctx, key, value);
	bool good = x != NULL && X509_add_ext(cert, x, -1) == 1;

	X509_EXTENSION_free(x);
	return good;
}

/* What is the same for all of them. */
static bool
begin_cert(X509 *cert, EVP_PKEY *key, const struct issued *i)
{
	return X509_set_version(cert, X509_VERSION_3) == 1 &&
	    set_serial(X509_get_serialNumber(cert), i->serial) &&
	    ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)i->from) != NULL &&
	    ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)i->until) != NULL &&
	    X509_set_pubkey(cert, key) == 1 && set_name(cert, i->name);
}

static bool
valid_host(const char *s, size_t len, char *dst, size_t cap, bool *numeric)
{
	uint8_t address[16];

	if (len == 0 || len >= cap)
		return false;
	memcpy(dst, s, len);
	dst[len] = '\0';
	*numeric = inet_pton(AF_INET, dst, address) == 1 ||
	    inet_pton(AF_INET6, dst, address) == 1;
	return *numeric ||
	    strspn(dst,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789.-") == len;
}

/* "URI:hopyard:bus,DNS:a.example,IP:10.0.0.1" */
static bool
alt_names(const struct issued *i, struct buf *out, struct buf *why)
{
	char uri[IDENTITY_MAX], host[254];
	const char *p = i->hosts;
	bool numeric;
	size_t n;

	if (!identity_format(uri, i->type, i->name)) {
		buf_printf(why,
		    "\"%s\" of type \"%s\" is no name of a box: letters, "
		    "digits, \".\", \"_\", \"@\", \"-\"",
		    i->name, i->type);
		return false;
	}
	buf_printf(out, "URI:%s", uri);
	for (; *p != '\0'; p += n + (p[n] == ',')) {
		n = strcspn(p, ",");
		if (!valid_host(p, n, host, sizeof(host), &numeric)) {
			buf_printf(why, "\"%.*s\" is no host name or address",
			    (int)n, p);
			return false;
		}
		buf_printf(out, ",%s:%s", numeric ? "IP" : "DNS", host);
	}
	return true;
}

static void
complain_openssl(struct buf *why)
{
	if (buf_len(why) == 0)
		buf_addstr(why, "OpenSSL could not make the certificate");
}

/* Signed by a->key and written to NAME.crt. */
static bool
sign(
    struct authority *a, const struct issued *i, EVP_PKEY *key, struct buf *why)
{
	bool bus = strcmp(i->type, "bus") == 0;
	char *path = path_of(a->folder, i->name, ".crt");
	X509 *cert = X509_new();
	X509V3_CTX ctx;
	struct buf names;
	bool good;

	buf_init(&names);
	X509V3_set_ctx(&ctx, a->cert, cert, NULL, NULL, 0);
	good = cert != NULL && alt_names(i, &names, why) &&
	    begin_cert(cert, key, i) &&
	    X509_set_issuer_name(cert, X509_get_subject_name(a->cert)) == 1 &&
	    add_extension(
		&ctx, cert, "basicConstraints", "critical,CA:FALSE") &&
	    add_extension(
		&ctx, cert, "keyUsage", "critical,digitalSignature") &&
	    add_extension(&ctx, cert, "extendedKeyUsage",
		bus ? "serverAuth" : "clientAuth") &&
	    add_extension(&ctx, cert, "subjectAltName", buf_str(&names)) &&
	    add_extension(&ctx, cert, "subjectKeyIdentifier", "hash") &&
	    add_extension(&ctx, cert, "authorityKeyIdentifier", "keyid") &&
	    X509_sign(cert, a->key, EVP_sha256()) > 0 &&
	    write_cert(path, cert, why);
	if (!good)
		complain_openssl(why);
	buf_fini(&names);
	X509_free(cert);
	free(path);
	return good;
}

/* Wall seconds; 0 if the certificate does not tell. */
static int64_t
authority_end(const struct authority *a)
{
	struct tm tm;

	return ASN1_TIME_to_tm(X509_get0_notAfter(a->cert), &tm)
	    ? (int64_t)timegm(&tm)
	    : 0;
}

/* Fills in the rest and keeps it in the index. */
static bool
issue(struct authority *a, struct issued *i, unsigned days, EVP_PKEY *key,
    struct buf *why)
{
	int64_t now = (int64_t)time(NULL), end = authority_end(a);
	struct buf more;

	if (end <= now) {
		buf_printf(why,
		    "the authority in %s has expired; make another one",
		    a->folder);
		return false;
	}
	i->from = now - EARLY;
	i->until = now + (int64_t)days * DAY;
	if (i->until > end)
		i->until = end; /* nothing outlives who has signed it */
	if (!new_serial(i->serial)) {
		complain_openssl(why);
		return false;
	}
	a->issued = xrealloc(a->issued, (a->count + 1) * sizeof(struct issued));
	a->issued[a->count++] = *i;
	if (!index_write(a, why)) {
		a->count--;
		return false;
	}
	if (sign(a, i, key, why))
		return true;
	a->count--;
	/* One too many in there does no harm. */
	buf_init(&more);
	if (!index_write(a, &more))
		buf_printf(why, "; %s", buf_str(&more));
	buf_fini(&more);
	return false;
}

/* The list of what is revoked, as long as the authority itself lives. */
static bool
write_crl(const struct authority *a, struct buf *why)
{
	char *path = path_of(a->folder, "ca", ".crl");
	ASN1_TIME *at = ASN1_TIME_set(NULL, time(NULL) - EARLY);
	X509_CRL *crl = X509_CRL_new();
	BIO *bio = BIO_new(BIO_s_mem());
	bool good;

	good = crl != NULL && at != NULL && bio != NULL &&
	    X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
	    X509_CRL_set_issuer_name(crl, X509_get_subject_name(a->cert)) ==
		1 &&
	    X509_CRL_set1_lastUpdate(crl, at) == 1 &&
	    X509_CRL_set1_nextUpdate(crl, X509_get0_notAfter(a->cert)) == 1;
	for (size_t k = 0; good && k < a->count; k++) {
		X509_REVOKED *r;
		ASN1_INTEGER *serial;

		if (!a->issued[k].revoked)
			continue;
		r = X509_REVOKED_new();
		serial = ASN1_INTEGER_new();
		good = r != NULL && serial != NULL &&
		    set_serial(serial, a->issued[k].serial) &&
		    X509_REVOKED_set_serialNumber(r, serial) == 1 &&
		    X509_REVOKED_set_revocationDate(r, at) == 1 &&
		    X509_CRL_add0_revoked(crl, r) == 1;
		if (!good)
			X509_REVOKED_free(r);
		ASN1_INTEGER_free(serial);
	}
	good = good && X509_CRL_sort(crl) == 1 &&
	    X509_CRL_sign(crl, a->key, EVP_sha256()) > 0 &&
	    PEM_write_bio_X509_CRL(bio, crl) == 1 &&
	    write_bio(bio, path, 0644, why);
	if (!good)
		complain_openssl(why);
	BIO_free(bio);
	X509_CRL_free(crl);
	ASN1_TIME_free(at);
	free(path);
	return good;
}

/* ------------------------------------------------------------- interface */

static struct authority *
authority_new(const char *folder)
{
	struct authority *a = xcalloc(1, sizeof(*a));

	a->folder = xstrdup(folder);
	a->lock = -1;
	return a;
}

void
authority_close(struct authority *a)
{
	if (a == NULL)
		return;
	X509_free(a->cert);
	EVP_PKEY_free(a->key);
	if (a->lock >= 0)
		(void)close(a->lock);
	free(a->issued);
	free(a->folder);
	free(a);
}

static bool
authority_lock(struct authority *a, struct buf *why)
{
	a->lock = open(a->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->lock >= 0 && flock(a->lock, LOCK_EX) == 0)
		return true;
	buf_printf(why, "%s: %s", a->folder, strerror(errno));
	return false;
}

static bool
sign_self(struct authority *a, unsigned days)
{
	struct issued self = { .from = (int64_t)time(NULL) - EARLY };
	X509V3_CTX ctx;

	self.until = self.from + (int64_t)days * DAY;
	if (!new_serial(self.serial))
		return false;
	/* Two authorities shall not look the same in a complaint. */
	snprintf(self.name, sizeof(self.name), "hopyard CA %.8s", self.serial);
	a->cert = X509_new();
	X509V3_set_ctx(&ctx, a->cert, a->cert, NULL, NULL, 0);
	return a->cert != NULL && begin_cert(a->cert, a->key, &self) &&
	    X509_set_issuer_name(a->cert, X509_get_subject_name(a->cert)) ==
	    1 &&
	    add_extension(&ctx, a->cert, "basicConstraints",
		"critical,CA:TRUE,pathlen:0") &&
	    add_extension(
		&ctx, a->cert, "keyUsage", "critical,keyCertSign,cRLSign") &&
	    add_extension(&ctx, a->cert, "subjectKeyIdentifier", "hash") &&
	    X509_sign(a->cert, a->key, EVP_sha256()) > 0;
}

bool
authority_init(const char *folder, unsigned days, struct buf *why)
{
	struct authority *a = authority_new(folder);
	char *cert = path_of(folder, "ca", ".crt");
	char *key = path_of(folder, "ca", ".key");
	bool good = false;

	if (mkdir(folder, 0755) != 0 && errno != EEXIST) {
		buf_printf(why, "%s: %s", folder, strerror(errno));
	} else if (!authority_lock(a, why)) {
		;
	} else if (access(cert, F_OK) == 0 || access(key, F_OK) == 0) {
		buf_printf(why, "%s has an authority already", folder);
	} else {
		a->key = EVP_EC_gen("P-256");
		good = a->key != NULL && sign_self(a, days) &&
		    index_write(a, why) && write_crl(a, why) &&
		    write_key(key, a->key, why) &&
		    write_cert(cert, a->cert, why);
		if (!good)
			complain_openssl(why);
	}
	free(cert);
	free(key);
	authority_close(a);
	return good;
}

struct authority *
authority_open(const char *folder, struct buf *why)
{
	struct authority *a = authority_new(folder);
	char *cert = path_of(folder, "ca", ".crt");
	char *key = path_of(folder, "ca", ".key");

	if (authority_lock(a, why) &&
	    (a->cert = read_cert(cert, why)) != NULL &&
	    (a->key = read_key(key, why)) != NULL) {
		if (X509_check_private_key(a->cert, a->key) != 1)
			buf_printf(why, "%s does not belong to %s", key, cert);
		else
			(void)index_read(a, why);
	}
	free(cert);
	free(key);
	if (buf_len(why) > 0) {
		authority_close(a);
		return NULL;
	}
	return a;
}

bool
authority_issue(struct authority *a, const char *type, const char *name,
    const char *hosts, unsigned days, struct buf *why)
{
	struct issued i = { .revoked = false };
	struct buf names;
	char *path;
	EVP_PKEY *key;
	bool good;

	/* Whole, or the index would say something else than the certificate. */
	if (strlen(type) >= sizeof(i.type) || strlen(name) >= sizeof(i.name) ||
	    strlen(hosts) >= sizeof(i.hosts)) {
		buf_addstr(why, "type, name or hosts are too long");
		return false;
	}
	if (strcmp(name, "ca") == 0 || strcmp(name, "index") == 0 ||
	    strspn(name, ".") > 0) {
		buf_printf(why, "\"%s\" is a name of our own files", name);
		return false;
	}
	snprintf(i.type, sizeof(i.type), "%s", type);
	snprintf(i.name, sizeof(i.name), "%s", name);
	snprintf(i.hosts, sizeof(i.hosts), "%s", hosts);
	buf_init(&names);
	good = alt_names(&i, &names, why); /* before it is part of a path */
	buf_fini(&names);
	if (!good)
		return false;
	key = EVP_EC_gen("P-256");
	path = path_of(a->folder, name, ".key");
	good = key != NULL && write_key(path, key, why);
	if (good && !issue(a, &i, days, key, why)) {
		(void)unlink(path); /* of no use to anybody */
		good = false;
	}
	if (!good)
		complain_openssl(why);
	EVP_PKEY_free(key);
	free(path);
	return good;
}

bool
authority_renew(
    struct authority *a, const char *name, unsigned days, struct buf *why)
{
	const struct issued *last = authority_find(a, name);
	struct issued i;
	char *path;
	X509 *cert;
	bool good;

	if (last == NULL) {
		buf_printf(
		    why, "there is no certificate \"%s\" to renew", name);
		return false;
	}
	i = *last;
	path = path_of(a->folder, name, ".crt");
	cert = read_cert(path, why);
	free(path);
	if (cert == NULL)
		return false;
	good = issue(a, &i, days, X509_get0_pubkey(cert), why);
	X509_free(cert);
	return good;
}

bool
authority_revoke(struct authority *a, const char *name, struct buf *why)
{
	size_t n = 0;

	for (size_t k = 0; k < a->count; k++)
		if (strcmp(a->issued[k].name, name) == 0 &&
		    !a->issued[k].revoked) {
			a->issued[k].revoked = true;
			n++;
		}
	if (n > 0)
		return write_crl(a, why) && index_write(a, why);
	buf_printf(why, "there is no certificate \"%s\" to revoke", name);
	return false;
}
