/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * port.h - TCP ports that the suite wants to listen on: free, taken and by
 * whom, shifted.  Addresses as conn.h writes them; a Unix path is never taken.
 */
#ifndef HOPYARD_PORT_H
#define HOPYARD_PORT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/attr.h"

/* 0, or UV_E*: why one cannot listen there. */
int port_try(const char *address);
/* Somebody accepts connections there (loopback only: blocks). */
bool port_answers(const char *address);
/*
 * "port 13013 is taken by python3 (pid 4711: python3 -m http.server)", or what
 * else is in the way, for an error of port_try().  dst is returned.
 */
const char *port_complain(const char *address, int error, char *dst, size_t);
/* 13013 and 100 are 13113; 0 when that is no port. */
unsigned port_shift(unsigned port, long by);
/* The port of "host:port"; 0 for none. */
unsigned port_of(const char *address);
/* "http://host:port/..." -> "host:port"; false when there is no port. */
bool port_of_url(const char *url, char *dst, size_t) WARN_UNUSED;

#endif
