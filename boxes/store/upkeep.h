/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upkeep.h - the work that may take its time, on a session of its own:
 * partitions made ahead and dropped by retention; days that are over are
 * vacuumed, get their indexes, and lose their texts when their time has come;
 * old checkpoints go.
 */
#ifndef STORE_UPKEEP_H
#define STORE_UPKEEP_H

struct store;
struct upkeep;
struct pg;

/* Starts connecting. */
struct upkeep *upkeep_new(struct store *);
/* To the server where this session is. */
void upkeep_follow(struct upkeep *, const struct pg *);
/* Frees itself. */
void upkeep_close(struct upkeep *);

/* Timer; does nothing while the last round is under way. */
void upkeep_run(struct upkeep *);

#endif
