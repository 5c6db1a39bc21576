/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watchdog.c - tells systemd that the relay turns, and falls silent when it does not.
 *
 * Called by the master. A relay that dies is the master's to replace, and lanes that hang are the
 * relay's own to notice; left is a relay whose main loop hangs, and the master itself. A relay
 * that starts may read a long queue first, so silence counts only after it has spoken once.
 */
#include <core/base/clock.h>
#include <core/master/watchdog.h>
#include <systemd/sd-daemon.h>

#define SILENT_LEAST_MS 3000 /* a relay speaks every second */

void
watchdog_start(struct watchdog *watchdog)
{
	uint64_t us = 0;

	*watchdog = (struct watchdog){ 0 };
	if (sd_watchdog_enabled(0, &us) <= 0)
		return;
	watchdog->every_ms = us / 4000 > 0 ? (int64_t)(us / 4000) : 1;
	watchdog->due_ms = clock_monotonic_ms();
}

void
watchdog_forget(struct watchdog *watchdog)
{
	watchdog->heard_ms = 0;
}

void
watchdog_heard(struct watchdog *watchdog)
{
	watchdog->heard_ms = clock_monotonic_ms();
}

static bool
is_silent(const struct watchdog *watchdog, int64_t now_ms)
{
	int64_t most = 2 * watchdog->every_ms;

	return watchdog->heard_ms > 0 &&
	       now_ms - watchdog->heard_ms > (most > SILENT_LEAST_MS ? most : SILENT_LEAST_MS);
}

void
watchdog_look(struct watchdog *watchdog, int64_t now_ms, bool stopping)
{
	if (watchdog->every_ms == 0 || now_ms < watchdog->due_ms)
		return;
	watchdog->due_ms = now_ms + watchdog->every_ms;
	if (stopping || !is_silent(watchdog, now_ms))
		sd_notify(0, "WATCHDOG=1");
}

void
watchdog_before_wait(const struct watchdog *watchdog)
{
	if (watchdog->every_ms > 0 && !is_silent(watchdog, clock_monotonic_ms()))
		sd_notify(0, "WATCHDOG=1");
}

int64_t
watchdog_due(const struct watchdog *watchdog)
{
	return watchdog->every_ms > 0 ? watchdog->due_ms : INT64_MAX;
}
