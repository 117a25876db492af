/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * judge.h - hop-lua: asks its script about each message that the bus asks it
 * about.
 *
 * Questions wait here for their turn, within the window that was granted: the
 * script has so much time in each turn of the loop, and then all others have
 * theirs.  One about which the script says nothing, or whose time is over, is
 * left to the default of its rule.
 */
#ifndef BOXES_LUA_JUDGE_H
#define BOXES_LUA_JUDGE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/credit.h"
#include "common/queue.h"
#include "common/turn.h"

struct box;
struct buf;
struct conf;
struct conf_group;
struct daemon;
struct script;
struct waiting;

TAILQ_HEAD(waitings, waiting);

struct judge {
	struct daemon *daemon;
	struct box *box;
	struct script *script;
	struct waitings waiting;
	size_t count, window;
	struct credit credit;
	struct turn *turn;
	struct turn_task task;
	enum judge_state {
		JUDGE_RUNNING = 0,
		JUDGE_DRAINING, /* grants nothing more */
		JUDGE_CLOSING,  /* the box is on its way out */
	} state;
};

int judge_start(struct judge *, struct daemon *);
void judge_drain(struct judge *);
/* False: the new script does not fit, says why, and the old one stays. */
bool judge_reload(struct judge *, const struct conf *, struct buf *why);
void judge_fini(struct judge *);

#endif
