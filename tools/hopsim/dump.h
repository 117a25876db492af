/* SPDX-License-Identifier: BSD-2-Clause */
/* dump.h - PDUs from a file or stdin, decoded for people. */
#ifndef HOPSIM_DUMP_H
#define HOPSIM_DUMP_H

/* hopsim dump ...; returns the exit code: 1 when anything was malformed. */
int dump_main(int argc, char **argv);

#endif
