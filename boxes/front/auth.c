/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * OpenSSL's own SHA256_*() are taken, though 3.0 calls them deprecated: what
 * EVP does around each hash (allocate, copy, clean) takes several times as
 * long as the hash, and each request pays for one.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "boxes/front/auth.h"

#include <assert.h>
#include <crypt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "boxes/front/offender.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/queue.h"
#include "common/stats.h"
#include "common/xalloc.h"

#define AUTH_RUNNING  2   /* hashes at once */
#define AUTH_QUEUE    256 /* and waiting */
#define AUTH_DELAYED  4096
#define AUTH_BAD_MS   60000 /* how long a wrong password is known to be wrong */
#define AUTH_PASSWORD 256
#define AUTH_AGAIN    3 /* times that an account may change under a check */

/* What an unknown name is checked against: as slow as a real one. */
static const char auth_dummy[] =
    "$y$j9T$b0HVQQeGZ6sgWQWGMlvFC/$GoTiyo3cqk9HXfwCMw/X/49siVsIfxcYRiM6/Ogqqt2";

/* One check that could not be answered at once. */
struct attempt {
	struct auth *auth;
	auth_cb *cb;
	void *arg;
	uint8_t digest[ACCOUNT_DIGEST]; /* of name and password */
	uint64_t due;                   /* when the refusal is let out */
	unsigned again;
	TAILQ_ENTRY(attempt) link; /* in a job, or in a list of refusals */
	char source[64];
	size_t username_len, password_len, key_len;
	uint8_t username[ACCOUNT_DIGEST * 4];
	uint8_t password[AUTH_PASSWORD];
	uint8_t key[ACCOUNT_DIGEST];
};

TAILQ_HEAD(attempt_list, attempt);

/* One run of crypt(3); all attempts with the same credentials share it. */
struct job {
	uv_work_t work;
	struct auth *auth;
	bool matches;
	bool running;
	bool dummy; /* there is no such account: the result does not count */
	uint8_t digest[ACCOUNT_DIGEST];
	struct attempt_list attempts;
	TAILQ_ENTRY(job) link;
	char *setting; /* the stored hash */
	char password[AUTH_PASSWORD + 1];
};

TAILQ_HEAD(job_list, job);

static const unsigned auth_delay_s[] = { 2, 4, 8, 15 };

struct auth {
	uv_loop_t *loop;
	struct accounts *accounts;
	uint64_t keep_ms;
	SHA256_CTX inner, outer; /* of HMAC, behind the process key */
	struct offenders offenders;
	struct job_list jobs; /* running ones first */
	unsigned job_count, running;
	/* Refusals on hold, one list per delay, so each is in order of time. */
	struct attempt_list delayed[ARRAY_LEN(auth_delay_s)];
	unsigned delayed_count;
	uv_timer_t timer;
	bool draining;
	bool closing; /* nothing is hashed any more */
	struct log_limit log_failed;
};

static struct stat_value auth_failures = {
	.name = "front_auth_failures_total",
	.help = "Logins refused",
	.type = STAT_COUNTER,
};
static struct stat_value auth_hashes = {
	.name = "front_password_checks_total",
	.help = "Passwords checked with crypt(3)",
	.type = STAT_COUNTER,
};

static enum auth_verdict auth_go(struct auth *, const struct auth_query *,
    struct attempt *, const struct account **);
static void auth_run_jobs(struct auth *);

/* ------------------------------------------------------------- digests */

/* RFC 2104; a random key that is as long as the digest. */
static void
auth_make_key(struct auth *a)
{
	uint8_t key[SHA256_DIGEST_LENGTH], pad[SHA256_CBLOCK];
	unsigned i;

	if (RAND_bytes(key, sizeof(key)) != 1)
		fatal("auth.start", "reason=%s", "OpenSSL has no random bytes");
	memset(pad, 0x36, sizeof(pad));
	for (i = 0; i < sizeof(key); i++)
		pad[i] ^= key[i];
	SHA256_Init(&a->inner);
	SHA256_Update(&a->inner, pad, sizeof(pad));
	for (i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	SHA256_Init(&a->outer);
	SHA256_Update(&a->outer, pad, sizeof(pad));
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(pad, sizeof(pad));
}

/* HMAC-SHA256 under the process key over both, each with its length. */
static void
auth_digest(const struct auth *a, struct bytes user, struct bytes password,
    uint8_t digest[ACCOUNT_DIGEST])
{
	uint8_t head[4] = { (uint8_t)(user.len >> 8), (uint8_t)user.len,
		(uint8_t)(password.len >> 8), (uint8_t)password.len };
	SHA256_CTX c = a->inner;

	SHA256_Update(&c, head, sizeof(head));
	SHA256_Update(&c, user.p, user.len);
	SHA256_Update(&c, password.p, password.len);
	SHA256_Final(digest, &c);
	c = a->outer;
	SHA256_Update(&c, digest, ACCOUNT_DIGEST);
	SHA256_Final(digest, &c);
}

/* In a time that does not tell where they differ. */
static bool
same_digest(const uint8_t a[ACCOUNT_DIGEST], const uint8_t b[ACCOUNT_DIGEST])
{
	uint64_t x[ACCOUNT_DIGEST / 8], y[ACCOUNT_DIGEST / 8];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) |
		   (x[3] ^ y[3])) == 0;
}

static void
auth_key_digest(struct bytes key, uint8_t digest[SHA256_DIGEST_LENGTH])
{
	SHA256_CTX c;

	SHA256_Init(&c);
	SHA256_Update(&c, key.p, key.len);
	SHA256_Final(digest, &c);
}

/* ------------------------------------------------------------ refusals */

/* What failures are counted by; returns the length. */
static size_t
auth_source_key(const struct auth_query *q, uint8_t key[OFFENDER_KEY])
{
	uint8_t addr[16];
	struct bytes who = q->key.p != NULL ? q->key : q->username;
	size_t n;

	if (!network_address(q->source, addr)) {
		/* A Unix socket has a proxy behind it. */
		memset(addr, 0, sizeof(addr));
		addr[15] = 1;
	}
	key[0] = 's';
	if (!network_loopback(addr)) {
		network_client(addr);
		memcpy(key + 1, addr, sizeof(addr));
		return 1 + sizeof(addr);
	}
	n = who.len < OFFENDER_KEY - 17 ? who.len : OFFENDER_KEY - 17;
	memcpy(key + 1, addr, sizeof(addr));
	if (n > 0)
		memcpy(key + 17, who.p, n);
	return 17 + n;
}

static bool
auth_refused(struct auth *a, const struct auth_query *q)
{
	uint8_t key[OFFENDER_KEY];
	size_t len;

	if (a->offenders.count == 0)
		return false;
	len = auth_source_key(q, key);
	return offender_refused(&a->offenders, key, len, clock_turn_ms());
}

/* Counts a failure; returns the index of the delay that it gets. */
static unsigned
auth_count_failure(struct auth *a, const struct auth_query *q)
{
	uint8_t key[OFFENDER_KEY];
	uint64_t now = clock_mono_ms();
	unsigned n, by_name = 0;
	size_t len = auth_source_key(q, key);

	n = offender_add(&a->offenders, key, len, now);
	if (n == OFFENDER_LIMIT)
		log_warn("auth.refused", "peer=%s minutes=%u reason=%s",
		    q->source, (unsigned)OFFENDER_REFUSED_MS / 60000,
		    "too many failed logins");
	if (q->key.p == NULL && q->username.len > 0) {
		key[0] = 'u';
		len = q->username.len < OFFENDER_KEY - 1 ? q->username.len
							 : OFFENDER_KEY - 1;
		memcpy(key + 1, q->username.p, len);
		by_name = offender_add(&a->offenders, key, 1 + len, now);
	}
	if (by_name > n)
		n = by_name;
	return n > ARRAY_LEN(auth_delay_s) ? ARRAY_LEN(auth_delay_s) - 1
					   : n - 1;
}

static void
attempt_free(struct attempt *t)
{
	OPENSSL_cleanse(t, sizeof(*t));
	free(t);
}

static void
attempt_finish(
    struct attempt *t, enum auth_verdict v, const struct account *acc)
{
	auth_cb *cb = t->cb;
	void *arg = t->arg;

	attempt_free(t);
	cb(v, acc, arg);
}

static void auth_arm(struct auth *);

static void
auth_timer_cb(uv_timer_t *timer)
{
	struct auth *a = timer->data;
	struct attempt *t;
	uint64_t now = clock_mono_ms();
	unsigned i;

	for (i = 0; i < ARRAY_LEN(a->delayed); i++) {
		while ((t = TAILQ_FIRST(&a->delayed[i])) != NULL &&
		    (t->due <= now || a->draining)) {
			TAILQ_REMOVE(&a->delayed[i], t, link);
			a->delayed_count--;
			attempt_finish(t, AUTH_DENIED, NULL);
		}
	}
	auth_arm(a);
}

static void
auth_arm(struct auth *a)
{
	const struct attempt *t;
	uint64_t now = clock_mono_ms(), due = UINT64_MAX;
	unsigned i;

	for (i = 0; i < ARRAY_LEN(a->delayed); i++) {
		t = TAILQ_FIRST(&a->delayed[i]);
		if (t != NULL && t->due < due)
			due = t->due;
	}
	if (due == UINT64_MAX)
		uv_timer_stop(&a->timer);
	else
		uv_timer_start(
		    &a->timer, auth_timer_cb, due > now ? due - now : 0, 0);
}

static struct attempt *
attempt_new(struct auth *a, const struct auth_query *q, auth_cb *cb, void *arg)
{
	struct attempt *t = xcalloc(1, sizeof(*t));

	t->auth = a;
	t->cb = cb;
	t->arg = arg;
	strncpy(t->source, q->source, sizeof(t->source) - 1);
	if (q->key.p != NULL) {
		/* auth_check() has put its digest there. */
		t->key_len = q->key.len;
		memcpy(t->key, q->key.p, q->key.len);
		return t;
	}
	t->username_len = q->username.len;
	memcpy(t->username, q->username.p, q->username.len);
	t->password_len = q->password.len;
	if (q->password.len > 0)
		memcpy(t->password, q->password.p, q->password.len);
	return t;
}

static struct auth_query
attempt_query(const struct attempt *t)
{
	struct auth_query q = { .source = t->source };

	if (t->key_len > 0) {
		q.key = bytes_of(t->key, t->key_len);
		return q;
	}
	q.username = bytes_of(t->username, t->username_len);
	q.password = bytes_of(t->password, t->password_len);
	return q;
}

/* The refusal of t, held back.  Takes t. */
static enum auth_verdict
auth_fail(struct auth *a, const struct auth_query *q, struct attempt *t,
    const char *why)
{
	unsigned i = auth_count_failure(a, q);

	auth_failures.value++;
	if (log_limit(&a->log_failed, 10))
		log_warn("auth.failed", "peer=%s user=%.*s reason=%s",
		    q->source, q->key.p != NULL ? 0 : (int)q->username.len,
		    q->key.p != NULL ? "" : (const char *)q->username.p, why);
	if (a->draining || a->delayed_count >= AUTH_DELAYED)
		return AUTH_DENIED;
	t->due = clock_mono_ms() + auth_delay_s[i] * 1000ULL;
	TAILQ_INSERT_TAIL(&a->delayed[i], t, link);
	a->delayed_count++;
	auth_arm(a);
	return AUTH_WAIT;
}

/* ------------------------------------------------------- password jobs */

/* Whether both are the same, in a time that does not tell where they differ. */
static bool
same_secret(const char *a, const char *b)
{
	uint8_t x[SHA256_DIGEST_LENGTH], y[SHA256_DIGEST_LENGTH];

	SHA256((const uint8_t *)a, strlen(a), x);
	SHA256((const uint8_t *)b, strlen(b), y);
	return CRYPTO_memcmp(x, y, sizeof(x)) == 0;
}

/* In a thread of the pool. */
static void
job_work_cb(uv_work_t *work)
{
	struct job *j = CONTAINER_OF(work, struct job, work);
	struct crypt_data *data = xcalloc(1, sizeof(*data));
	/* The configuration may have it in clear: that takes as long. */
	bool clear = j->setting[0] != '$';
	const char *hash =
	    crypt_r(j->password, clear ? auth_dummy : j->setting, data);

	if (clear)
		j->matches = same_secret(j->password, j->setting);
	else
		j->matches = hash != NULL && hash[0] != '*' &&
		    same_secret(hash, j->setting);
	OPENSSL_cleanse(data, sizeof(*data));
	free(data);
}

static void
job_free(struct job *j)
{
	struct auth *a = j->auth;

	assert(TAILQ_EMPTY(&j->attempts));
	TAILQ_REMOVE(&a->jobs, j, link);
	a->job_count--;
	free(j->setting);
	OPENSSL_cleanse(j->password, sizeof(j->password));
	free(j);
}

/*
 * The result belongs to the hash that was checked: it counts if that is still
 * the account's.
 */
static void
job_note(struct job *j, struct account *acc)
{
	uint64_t now = clock_mono_ms();

	if (j->dummy || !acc->pb->has_password_hash ||
	    acc->pb->password_hash.len != strlen(j->setting) ||
	    memcmp(acc->pb->password_hash.data, j->setting,
		acc->pb->password_hash.len) != 0)
		return;
	if (j->matches) {
		memcpy(acc->good, j->digest, sizeof(acc->good));
		acc->good_until = now + j->auth->keep_ms;
	} else {
		memcpy(acc->bad, j->digest, sizeof(acc->bad));
		acc->bad_until = now + AUTH_BAD_MS;
	}
}

static void
job_done_cb(uv_work_t *work, int status)
{
	struct job *j = CONTAINER_OF(work, struct job, work);
	struct auth *a = j->auth;
	struct attempt_list list;
	struct attempt *t;
	struct auth_query q;
	struct account *acc;
	const struct account *ok;
	enum auth_verdict v;
	bool dummy = j->dummy;

	a->running--;
	TAILQ_INIT(&list);
	while ((t = TAILQ_FIRST(&j->attempts)) != NULL) {
		TAILQ_REMOVE(&j->attempts, t, link);
		TAILQ_INSERT_TAIL(&list, t, link);
	}
	t = TAILQ_FIRST(&list);
	if (status == 0 && t != NULL && !dummy) {
		q = attempt_query(t);
		if (accounts_peek(
			a->accounts, ACCOUNT_BY_USERNAME, q.username, &acc))
			job_note(j, acc);
	}
	job_free(j);
	auth_run_jobs(a);

	while ((t = TAILQ_FIRST(&list)) != NULL) {
		TAILQ_REMOVE(&list, t, link);
		q = attempt_query(t);
		ok = NULL;
		if (status != 0 || a->closing || ++t->again > AUTH_AGAIN)
			v = AUTH_BUSY;
		else if (dummy)
			v = auth_fail(a, &q, t, "unknown name");
		else
			v = auth_go(a, &q, t, &ok);
		if (v != AUTH_WAIT)
			attempt_finish(t, v, ok);
	}
}

static void
auth_run_jobs(struct auth *a)
{
	struct job *j;
	int rc;

	TAILQ_FOREACH(j, &a->jobs, link) {
		if (a->running == AUTH_RUNNING || a->closing)
			return;
		if (j->running)
			continue;
		rc = uv_queue_work(a->loop, &j->work, job_work_cb, job_done_cb);
		if (rc != 0)
			fatal("auth.work", "reason=%s", uv_strerror(rc));
		j->running = true;
		a->running++;
		auth_hashes.value++;
	}
}

/* Has t's password checked against setting (NULL: the dummy).  Takes t. */
static enum auth_verdict
auth_hash(struct auth *a, struct attempt *t, const struct account *acc)
{
	struct bytes hash = bytes_str(auth_dummy);
	struct job *j;

	if (acc != NULL)
		hash = bytes_of(
		    acc->pb->password_hash.data, acc->pb->password_hash.len);
	TAILQ_FOREACH(j, &a->jobs, link) {
		if (CRYPTO_memcmp(j->digest, t->digest, sizeof(j->digest)) ==
			0 &&
		    bytes_eq(bytes_str(j->setting), hash))
			break;
	}
	if (j == NULL) {
		if (a->closing || a->job_count >= AUTH_QUEUE + AUTH_RUNNING)
			return AUTH_BUSY;
		j = xcalloc(1, sizeof(*j));
		j->auth = a;
		j->dummy = acc == NULL;
		j->setting = xstrndup((const char *)hash.p, hash.len);
		memcpy(j->digest, t->digest, sizeof(j->digest));
		memcpy(j->password, t->password, t->password_len);
		TAILQ_INIT(&j->attempts);
		TAILQ_INSERT_TAIL(&a->jobs, j, link);
		a->job_count++;
	}
	TAILQ_INSERT_TAIL(&j->attempts, t, link);
	auth_run_jobs(a);
	return AUTH_WAIT;
}

/* --------------------------------------------------------------- check */

/*
 * The account is known: compares what can be compared without a hash.  t may
 * be NULL as long as the verdict needs no waiting; AUTH_WAIT then means "call
 * again with one".
 */
static enum auth_verdict
auth_decide(struct auth *a, const struct auth_query *q, struct attempt *t,
    const uint8_t digest[ACCOUNT_DIGEST], const struct account *acc)
{
	uint64_t now = clock_turn_ms();
	bool good = q->key.p != NULL ||
	    (now < acc->good_until && same_digest(acc->good, digest));
	bool allowed =
	    !acc->pb->disabled && account_source_allowed(acc, q->source);

	if (good && allowed)
		return AUTH_OK;
	if (t == NULL)
		return AUTH_WAIT;
	if (good)
		return auth_fail(
		    a, q, t, acc->pb->disabled ? "disabled" : "source address");
	if (now < acc->bad_until && same_digest(acc->bad, digest))
		return auth_fail(a, q, t, "wrong password");
	if (!acc->pb->has_password_hash || acc->pb->password_hash.len == 0)
		return auth_hash(a, t, NULL);
	return auth_hash(a, t, acc);
}

static void
auth_account_cb(enum account_answer answer, struct account *acc, void *arg)
{
	struct attempt *t = arg;
	struct auth_query q = attempt_query(t);
	const struct account *ok = NULL;
	enum auth_verdict v = AUTH_BUSY;

	switch (answer) {
	case ACCOUNT_KNOWN:
		v = auth_decide(t->auth, &q, t, t->digest, acc);
		ok = v == AUTH_OK ? acc : NULL;
		break;
	case ACCOUNT_ABSENT:
		v = q.key.p != NULL ? auth_fail(t->auth, &q, t, "unknown key")
				    : auth_hash(t->auth, t, NULL);
		break;
	case ACCOUNT_UNKNOWN:
	case ACCOUNT_WAIT:
		break;
	}
	if (v != AUTH_WAIT)
		attempt_finish(t, v, ok);
}

/* The slow way, with an attempt that may wait.  AUTH_WAIT: t was taken. */
static enum auth_verdict
auth_go(struct auth *a, const struct auth_query *q, struct attempt *t,
    const struct account **ok)
{
	struct account *acc;
	enum auth_verdict v;

	switch (accounts_get(a->accounts,
	    q->key.p != NULL ? ACCOUNT_BY_KEY : ACCOUNT_BY_USERNAME,
	    q->key.p != NULL ? q->key : q->username, &acc, auth_account_cb,
	    t)) {
	case ACCOUNT_KNOWN:
		v = auth_decide(a, q, t, t->digest, acc);
		*ok = v == AUTH_OK ? acc : NULL;
		return v;
	case ACCOUNT_ABSENT:
		return q->key.p != NULL ? auth_fail(a, q, t, "unknown key")
					: auth_hash(a, t, NULL);
	case ACCOUNT_UNKNOWN:
		return AUTH_BUSY;
	case ACCOUNT_WAIT:
		return AUTH_WAIT;
	}
	return AUTH_BUSY;
}

enum auth_verdict
auth_check(struct auth *a, const struct auth_query *query,
    const struct account **ok, auth_cb *cb, void *arg)
{
	struct auth_query q = *query;
	uint8_t digest[ACCOUNT_DIGEST] = { 0 }, key[32];
	struct account *acc;
	struct attempt *t;
	enum auth_verdict v;

	*ok = NULL;
	if (q.key.p != NULL) {
		auth_key_digest(q.key, key);
		q.key = bytes_of(key, sizeof(key));
	} else {
		/* No hash of ours has such a password; crypt(3) ends at NUL. */
		if (q.username.len == 0 ||
		    q.username.len > sizeof(t->username) ||
		    q.password.len > AUTH_PASSWORD ||
		    (q.password.len > 0 &&
			memchr(q.password.p, '\0', q.password.len) != NULL))
			return AUTH_DENIED;
		auth_digest(a, q.username, q.password, digest);
	}
	if (auth_refused(a, &q)) {
		auth_failures.value++;
		return AUTH_DENIED;
	}

	/* What is known and good costs no allocation. */
	if (accounts_peek(a->accounts,
		q.key.p != NULL ? ACCOUNT_BY_KEY : ACCOUNT_BY_USERNAME,
		q.key.p != NULL ? q.key : q.username, &acc)) {
		v = auth_decide(a, &q, NULL, digest, acc);
		if (v != AUTH_WAIT) {
			*ok = acc;
			return v;
		}
	}
	t = attempt_new(a, &q, cb, arg);
	memcpy(t->digest, digest, sizeof(digest));
	v = auth_go(a, &q, t, ok);
	if (v != AUTH_WAIT)
		attempt_free(t);
	return v;
}

enum auth_verdict
auth_refuse(struct auth *a, const struct auth_query *q, const char *why,
    auth_cb *cb, void *arg)
{
	struct attempt *t = attempt_new(a, q, cb, arg);
	enum auth_verdict v = auth_fail(a, q, t, why);

	if (v != AUTH_WAIT)
		attempt_free(t);
	return v;
}

void
auth_keep(struct auth *a, struct bytes username)
{
	accounts_keep(a->accounts, username, clock_mono_ms() + a->keep_ms);
}

/* ------------------------------------------------------------- headers */

static bool
auth_scheme(struct bytes *header, const char *scheme)
{
	size_t n = strlen(scheme);

	if (header->len <= n ||
	    strncasecmp((const char *)header->p, scheme, n) != 0 ||
	    header->p[n] != ' ')
		return false;
	while (n < header->len && header->p[n] == ' ')
		n++;
	header->p += n;
	header->len -= n;
	return header->len > 0;
}

bool
auth_header(struct bytes header, uint8_t *scratch, struct auth_query *q)
{
	const uint8_t *colon;
	int n;

	if (auth_scheme(&header, "Bearer")) {
		q->key = header;
		return true;
	}
	if (!auth_scheme(&header, "Basic") || header.len % 4 != 0 ||
	    header.len > 4096)
		return false;
	n = EVP_DecodeBlock(scratch, header.p, (int)header.len);
	if (n <= 0)
		return false;
	/* The padding counts as zero bytes. */
	n -= header.p[header.len - 1] == '=';
	n -= header.p[header.len - 2] == '=';
	colon = memchr(scratch, ':', (size_t)n);
	if (colon == NULL)
		return false;
	q->username = bytes_of(scratch, (size_t)(colon - scratch));
	q->password = bytes_of(colon + 1, (size_t)n - q->username.len - 1);
	return true;
}

/* ---------------------------------------------------------------- life */

struct auth *
auth_new(uv_loop_t *loop, struct accounts *accounts, uint64_t keep_ms)
{
	struct auth *a = xcalloc(1, sizeof(*a));
	unsigned i;

	a->loop = loop;
	a->accounts = accounts;
	a->keep_ms = keep_ms;
	offenders_init(&a->offenders);
	TAILQ_INIT(&a->jobs);
	for (i = 0; i < ARRAY_LEN(a->delayed); i++)
		TAILQ_INIT(&a->delayed[i]);
	uv_timer_init(loop, &a->timer);
	a->timer.data = a;
	stat_register(&auth_failures);
	stat_register(&auth_hashes);

	auth_make_key(a);
	return a;
}

void
auth_drain(struct auth *a)
{
	a->draining = true;
	auth_timer_cb(&a->timer);
}

void
auth_close(struct auth *a)
{
	struct attempt *t;
	struct job *j;

	auth_drain(a);
	if (!uv_is_closing((uv_handle_t *)&a->timer))
		uv_close((uv_handle_t *)&a->timer, NULL);
	/* A thread tells the loop when it has finished: the loop has to be
	 * there. */
	a->closing = true;
	TAILQ_FOREACH(j, &a->jobs, link) {
		if (j->running)
			(void)uv_cancel((uv_req_t *)&j->work);
	}
	while (a->running > 0)
		uv_run(a->loop, UV_RUN_ONCE);
	/* Each leaves its list.  NOLINTBEGIN(clang-analyzer-unix.Malloc) */
	while ((j = TAILQ_FIRST(&a->jobs)) != NULL) {
		while ((t = TAILQ_FIRST(&j->attempts)) != NULL) {
			TAILQ_REMOVE(&j->attempts, t, link);
			attempt_finish(t, AUTH_BUSY, NULL);
		}
		job_free(j);
	}
	/* NOLINTEND(clang-analyzer-unix.Malloc) */
}

void
auth_free(struct auth *a)
{
	assert(TAILQ_EMPTY(&a->jobs));
	offenders_fini(&a->offenders);
	OPENSSL_cleanse(a, sizeof(*a));
	free(a);
}
