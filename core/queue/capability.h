/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capability.h - what the last session with each next hop showed of TLS. Memory only: after a
 * restart nothing is known until mail has been sent.
 *
 * One for the relay, shared by all loops and policy threads; it outlives reloads. Counted by
 * reference. Any thread.
 */
#ifndef CORE_QUEUE_CAPABILITY_H
#define CORE_QUEUE_CAPABILITY_H

struct capability;

struct capability *capability_new(void);
struct capability *capability_hold(struct capability *capability);
void capability_release(struct capability **capability);
/* `key`: of a route. 0: the session had no TLS. */
void capability_note(struct capability *capability, const char *key, int bits);
/* -ENOENT: no session yet, or so many with others since that this one is forgotten. */
int capability_bits(struct capability *capability, const char *key);

#endif
