/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sealed.h - small secrets at rest in the database, sealed under a key that is not there.
 *
 *	1 byte   1: the version
 *	1 byte   length of the key's name
 *	...      that name, as in the keyring
 *	24 bytes nonce
 *	...      XChaCha20-Poly1305 (libsodium) of the secret, with its tag
 *
 * The key is made of the ring's for this use alone. `about` is authenticated: what was sealed for
 * one purpose does not open for another. Any thread; pure but for chance.
 */
#ifndef CORE_CONFIG_SEALED_H
#define CORE_CONFIG_SEALED_H

#include <core/base/buf.h>
#include <core/config/keyring.h>

#define SEALED_SECRET_MOST 16384u
#define SEALED_MOST        (SEALED_SECRET_MOST + 128u)

/* Under the ring's first key. -ENOKEY: an empty ring; -E2BIG; -ENOMEM. */
int sealed_make(const struct keyring *ring, struct pn_slice about, struct pn_slice secret,
    struct buf *ret) PN_WARN_UNUSED;
/*
 * Behind what `ret` has, with room for it from the start, so that no copy is left behind; whoever
 * calls wipes it. -ENOKEY: the ring has no key of that name; -EBADMSG: it was sealed about
 * something else, under another key of that name, or was changed.
 */
int sealed_open(const struct keyring *ring, struct pn_slice about, struct pn_slice sealed,
    struct buf *ret) PN_WARN_UNUSED;
/* The name of the key that it was sealed under. -EBADMSG. */
int sealed_key_name(struct pn_slice sealed, char ret[KEYRING_NAME + 1]);

#endif
