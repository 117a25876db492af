/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * auth.h - who is asking: passwords and API keys against the accounts of the
 * bus, without holding up the loop and without helping who guesses.
 *
 * A password is checked with crypt(3) in the thread pool, two at a time, 256
 * in the queue.  A result is kept for a while as an HMAC under a key of this
 * process, so that a client that sends its password with every request costs
 * few hashes.  An unknown name costs the same hash.
 *
 * Failures are counted by client address and by username within ten minutes;
 * the refusal is held back 2, 4, 8, then 15 s.  Ten failures: the address is
 * refused for 15 minutes.  Behind the loopback address there may be a proxy
 * with everybody behind it, so there the pair of address and username is.
 */
#ifndef BOXES_FRONT_AUTH_H
#define BOXES_FRONT_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "boxes/front/account.h"
#include "proto/bytes.h"

struct auth;

enum auth_verdict {
	AUTH_OK,
	AUTH_DENIED,
	AUTH_BUSY, /* cannot be told now */
	AUTH_WAIT, /* the callback will tell */
};

struct auth_query {
	const char *source; /* the client's address */
	struct bytes username, password;
	struct bytes key; /* or an API key; then the two above are absent */
};

/* account is NULL unless the verdict is AUTH_OK; it is valid until the next
 * return to the loop. */
typedef void auth_cb(enum auth_verdict, const struct account *, void *arg);

/* keep_ms: how long a result is kept. */
struct auth *auth_new(uv_loop_t *, struct accounts *, uint64_t keep_ms);
/* Copies what it needs of the query.  AUTH_WAIT: cb comes later, exactly once;
 * otherwise never. */
enum auth_verdict auth_check(struct auth *, const struct auth_query *,
    const struct account **, auth_cb *, void *arg);
/*
 * Who was let in may not have what he wants: that must look like a wrong
 * password, so it is counted and held back as one.  username and source are
 * enough of a query.  AUTH_WAIT: cb comes later, with AUTH_DENIED; otherwise it
 * is AUTH_DENIED now.
 */
enum auth_verdict auth_refuse(struct auth *, const struct auth_query *,
    const char *why, auth_cb *, void *arg);
/*
 * A session that began with this account's password ends now: who comes back
 * with the same one needs no new hash for keep_ms, however long the session
 * was.
 */
void auth_keep(struct auth *, struct bytes username);
/* Answer all held refusals now, and hold no more. */
void auth_drain(struct auth *);
/* Turns the loop until no thread hashes any more; who waits for a hash is told
 * AUTH_BUSY. */
void auth_close(struct auth *);
void auth_free(struct auth *);

/*
 * The credentials of an Authorization header, decoded into scratch (which needs
 * as many bytes as the header): Basic fills username and password, Bearer the
 * key.  false when it is neither.
 */
bool auth_header(struct bytes header, uint8_t *scratch, struct auth_query *);

#endif
