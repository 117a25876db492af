/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crash.h - named instants at which a process kills itself when a test says so.
 *
 * Only in a build with -DHOPYARD_CRASH (make crash); in every other one a point
 * is nothing at all.  The environment variable HOPYARD_CRASH names a file that
 * all processes of a suite map: the test writes into it which process is to die
 * at which pass of which point, at any time and without starting it anew.
 *
 * test/faults/points.txt lists all points with what may be lost and doubled at
 * each.
 */
#ifndef COMMON_CRASH_H
#define COMMON_CRASH_H

#ifdef HOPYARD_CRASH
#define CRASH_POINT(name) crash_point(name)
void crash_point(const char *name);
#else
#define CRASH_POINT(name) ((void)0)
#endif

#endif
