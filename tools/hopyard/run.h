/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run.h - `hopyard run`: all boxes of a configuration in the foreground;
 * `hopyard exec`: become one of them.
 */
#ifndef HOPYARD_RUN_H
#define HOPYARD_RUN_H

int run_main(int argc, char **argv);
int exec_main(int argc, char **argv);

#endif
