/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyring.h - keys for data at rest, by name, out of a file that an administrator wrote.
 *
 *	# comments and empty lines are left out
 *	2026-11 6f1c...		a name, blanks, 64 hexadecimal digits (256 bits)
 *	2025-11 09ab...		older ones, to read what they encrypted
 *
 * The first key encrypts, all of them decrypt. A name is 1 to 36 letters, digits, ".", "_" and "-".
 *
 * Immutable and counted by reference, so any thread may hold one. The keys lie in libsodium's
 * guarded memory: locked where the limits allow it, left out of core dumps, wiped when freed.
 */
#ifndef CORE_CONFIG_KEYRING_H
#define CORE_CONFIG_KEYRING_H

#include <postern/base.h>

#define KEYRING_NAME 36u /* longest name */
#define KEYRING_KEY  32u /* bytes of a key */
#define KEYRING_MOST 100u

struct keyring;

/* -EINVAL with the line and what would be right, never with what stands there; -ENOMEM. */
int keyring_parse(struct pn_slice text, struct keyring **ret, struct pn_error *err);
struct keyring *keyring_hold(struct keyring *ring);
void keyring_release(struct keyring **ring);

size_t keyring_count(const struct keyring *ring);
/* NUL-terminated, borrowed. */
const char *keyring_name(const struct keyring *ring, size_t index);
const unsigned char *keyring_key(const struct keyring *ring, size_t index);
/* Index of that name, or -ENOENT. */
int keyring_find(const struct keyring *ring, const char *name);
/* The same names and keys in the same order; NULL is an empty ring. */
bool keyring_equals(const struct keyring *a, const struct keyring *b);
/* All of `first`, and behind them those of `then` that it has not; both may be NULL. -ENOMEM. */
int keyring_join(const struct keyring *first, const struct keyring *then, struct keyring **ret);

#endif
