/* SPDX-License-Identifier: Apache-2.0 */
/*
 * silence.h - addresses that did not answer, so that not every domain there has to find out.
 *
 * One for the relay, shared by all loops; memory only, bounded. Counted by reference. Any thread.
 * Times are those of the loops, ms.
 */
#ifndef CORE_QUEUE_SILENCE_H
#define CORE_QUEUE_SILENCE_H

#include <core/net/address.h>
#include <core/smtp/courier.h>

struct silence;

/* How long one is left alone: as a next hop is, doubling. */
struct silence_delays {
	int64_t first, most;
};

struct silence *silence_new(void);
struct silence *silence_hold(struct silence *silence);
void silence_release(struct silence **silence);
/* None of them answered, `reason` says how. What was begun together counts once. */
void silence_note(struct silence *silence, const struct address *addresses, size_t count,
    int64_t now, const struct silence_delays *delays, const char *reason);
/* One of them did, or somebody knows better. */
void silence_end(struct silence *silence, const struct address *addresses, size_t count);
/*
 * Until when all of them are to be left alone; 0: one may be tried. `ret_reason` (COURIER_TEXT):
 * why, or NULL. Cheap where no address is silent.
 */
int64_t silence_until(struct silence *silence, const struct address *addresses, size_t count,
    int64_t now, char *ret_reason);

#endif
