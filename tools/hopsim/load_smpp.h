/* SPDX-License-Identifier: BSD-2-Clause */
/* load_smpp.h - submit_sm over any number of binds. */
#ifndef HOPSIM_LOAD_SMPP_H
#define HOPSIM_LOAD_SMPP_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/hopsim/load.h"

struct load_smpp_options {
	const char *address, *system_id, *password;
	const char *to, *from, *text;
	unsigned binds, window;
	bool transmitter; /* bind as one, not as a transceiver */
	bool receipts;    /* ask for them and wait for them */
	uint64_t receipt_wait_us;
	uint64_t timeout_us; /* of a response */
};

int load_smpp_run(struct load *, const struct load_smpp_options *);

#endif
