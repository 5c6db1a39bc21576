/* SPDX-License-Identifier: Apache-2.0 */
/* watchdog.h - tells systemd that the relay turns, and falls silent when it does not. */
#ifndef CORE_MASTER_WATCHDOG_H
#define CORE_MASTER_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

struct watchdog {
	int64_t every_ms; /* 0: nobody wants to hear */
	int64_t due_ms;
	int64_t heard_ms; /* when the relay that serves last said so; 0: it has not yet */
};

/* What systemd asks for in WATCHDOG_USEC. */
void watchdog_start(struct watchdog *watchdog);
/* Another relay serves: it starts, or is of a build that says nothing. */
void watchdog_forget(struct watchdog *watchdog);
void watchdog_heard(struct watchdog *watchdog);
/* Says that all is well if it is time and true. */
void watchdog_look(struct watchdog *watchdog, int64_t now_ms, bool stopping);
/* Says so at once: the master is about to wait for something that has a deadline of its own. */
void watchdog_before_wait(const struct watchdog *watchdog);
/* When to look next; INT64_MAX: never. */
int64_t watchdog_due(const struct watchdog *watchdog);

#endif
