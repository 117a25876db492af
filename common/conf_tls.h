/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * conf_tls.h - TLS as the settings tls_* of a box describe it, with complaints
 * that name file and line.
 */
#ifndef COMMON_CONF_TLS_H
#define COMMON_CONF_TLS_H

#include <stdbool.h>

#include "common/attr.h"

struct buf;
struct conf_group;
struct tls_config;

/*
 * tls_cert, tls_key, tls_client_ca, tls_crl; or of a client tls_ca, tls_cert,
 * tls_key, tls_crl, tls_name, tls_verify.  NULL with complaints in why, each
 * "file:line: what" on a line.
 */
struct tls_config *conf_tls_server(
    const struct conf_group *, struct buf *why) WARN_UNUSED;
struct tls_config *conf_tls_client(
    const struct conf_group *, struct buf *why) WARN_UNUSED;

/* The same of the group `bus`: TLS 1.3 only, for a certificate that says that
 * it is a bus's, and with an authority of clients. */
struct tls_config *conf_tls_bus(
    const struct conf_group *, struct buf *why) WARN_UNUSED;
/* As conf_tls_check(), of the bus. */
bool conf_tls_check_bus(const struct conf_group *, struct buf *) WARN_UNUSED;

/*
 * The check of a box of any type, for conf_check_secrets(): false with
 * complaints when its TLS cannot be set up.  Warnings too: a certificate that
 * has expired or will soon, a key that others can read, a peer that is not
 * checked.
 */
bool conf_tls_check(const struct conf_group *, struct buf *) WARN_UNUSED;

#endif
