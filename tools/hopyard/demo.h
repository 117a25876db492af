/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * demo.h - `hopyard demo`: the whole suite with a private PostgreSQL and a
 * simulated SMSC, in the foreground, in one folder.
 */
#ifndef HOPYARD_DEMO_H
#define HOPYARD_DEMO_H

int demo_main(int argc, char **argv);

#endif
