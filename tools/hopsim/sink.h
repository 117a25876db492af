/* SPDX-License-Identifier: BSD-2-Clause */
/* sink.h - an HTTP server that answers everything the same. */
#ifndef HOPSIM_SINK_H
#define HOPSIM_SINK_H

/* hopsim sink ...; returns the exit code. */
int sink_main(int argc, char **argv);

#endif
