/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * init.h - `hopyard init`: a first configuration for work in earnest.
 */
#ifndef HOPYARD_INIT_H
#define HOPYARD_INIT_H

int init_main(int argc, char **argv);

#endif
