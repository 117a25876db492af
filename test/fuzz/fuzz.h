/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz.h - what each fuzz_*.c provides.  It is linked with libFuzzer, or with
 * replay.c, which runs the stored corpus.  A target takes any input, keeps
 * nothing of it between two calls and checks its invariants with assert(),
 * which is never compiled out here.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* The view lies inside the input that it was borrowed from, or is absent. */
#define FUZZ_INSIDE(view, start, size)                                         \
	assert((view).len == 0 ||                                              \
	    ((view).p >= (start) && (view).len <= (size) &&                    \
		(size_t)((view).p - (start)) <= (size) - (view).len))

#endif
