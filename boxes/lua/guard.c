/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxes/lua/guard.h"

#include <sys/time.h>

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>

#define GUARD_TICK_MS 10

static sigjmp_buf guard_way_out;
static volatile sig_atomic_t guard_armed, guard_ticks, guard_limit;
static bool guard_ticking;
static pthread_t guard_thread;

static void
guard_tick(int sig)
{
	/* The jump is one within its thread; libuv has others. */
	if (!pthread_equal(pthread_self(), guard_thread)) {
		(void)pthread_kill(guard_thread, sig);
		return;
	}
	if (guard_ticks < guard_limit) {
		guard_ticks++;
		return;
	}
	if (!guard_armed)
		return;
	guard_armed = 0;
	siglongjmp(guard_way_out, 1);
}

/* User time: what waits for the machine is not its fault. */
static void
guard_set_timer(unsigned ms)
{
	struct itimerval every = { 0 };

	every.it_interval.tv_usec = every.it_value.tv_usec =
	    (suseconds_t)ms * 1000;
	(void)setitimer(ITIMER_VIRTUAL, &every, NULL);
	guard_ticking = ms > 0;
}

static void
guard_start(void)
{
	struct sigaction act;

	guard_thread = pthread_self();
	memset(&act, 0, sizeof(act));
	act.sa_handler = guard_tick;
	/* The jump would leave the signal blocked, and the mask is not kept. */
	act.sa_flags = SA_RESTART | SA_NODEFER;
	(void)sigaction(SIGVTALRM, &act, NULL);
	guard_set_timer(GUARD_TICK_MS);
}

bool
guard_run(void (*fn)(void *), void *arg, uint64_t ms)
{
	guard_ticks = 0;
	/* The first tick may come at once. */
	guard_limit = (sig_atomic_t)(ms / GUARD_TICK_MS + 1);
	if (!guard_ticking)
		guard_start();
	if (sigsetjmp(guard_way_out, 0) != 0)
		return false;
	guard_armed = 1;
	fn(arg);
	guard_armed = 0;
	return true;
}

void
guard_hold(void)
{
	guard_armed = 0;
}

void
guard_go_on(void)
{
	guard_armed = 1;
}

void
guard_rest(void)
{
	if (guard_ticking)
		guard_set_timer(0);
}
