/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * new_box.h - `hopyard new-box`: a folder with a box in C, to begin with.
 */
#ifndef HOPYARD_NEW_BOX_H
#define HOPYARD_NEW_BOX_H

int new_box_main(int argc, char **argv);

#endif
