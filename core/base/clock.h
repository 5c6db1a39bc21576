/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - time, in one place so that tests can see it jump. Any thread. */
#ifndef CORE_BASE_CLOCK_H
#define CORE_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);
/* Like the monotonic one, and it also runs while the machine sleeps. */
int64_t clock_steady_us(void);
int64_t clock_wall_us(void); /* microseconds since 1970, UTC */

#define CLOCK_DATE_SIZE 80
/* "Sun, 22 Nov 2026 10:00:00 +0000" (RFC 5322 section 3.3); `ret` has CLOCK_DATE_SIZE bytes. */
void clock_mail_date(int64_t wall_us, char *ret);
/* "2026-11-22T10:00:00.123Z" */
void clock_log_date(int64_t wall_us, char *ret);

#endif
