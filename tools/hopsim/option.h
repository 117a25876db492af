/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * option.h - values of command line options.  A bad one ends the program with
 * exit code 2 after naming it.
 */
#ifndef HOPSIM_OPTION_H
#define HOPSIM_OPTION_H

#include <stdint.h>

#include "common/attr.h"
#include "tools/hopsim/rules.h"

void option_die(const char *fmt, ...) PRINTF(1, 2) NORETURN;
uint64_t option_number(const char *name, const char *value, uint64_t max);
/* 0 to 100, with or without a percent sign. */
double option_percent(const char *name, const char *value);
double option_rate(const char *name, const char *value);
uint64_t option_duration(const char *name, const char *value);
/* "100ms..2s" or "100ms". */
struct rules_range option_range(const char *name, const char *value);
/* "ESME_RSYSERR" or a number. */
uint32_t option_status(const char *name, const char *value);

#endif
