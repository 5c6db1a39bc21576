/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.h - what a helper process says of OpenPGP keys, as JSON, and its reading on the other side.
 *
 *	[{"version": 4, "secret": false, "fingerprint": "EB85...", "algorithm": "ed25519/cv25519",
 *	  "created": 1548165000, "expires": 0, "revoked": false, "expired": false,
 *	  "can_encrypt": true, "user_ids": ["..."], "addresses": ["..."],
 *	  "reason": "why it cannot be used" or null, "minimal": "base64"}, ...]
 */
#ifndef CORE_CRYPT_KEYS_H
#define CORE_CRYPT_KEYS_H

#include <core/base/arena.h>
#include <postern/openpgp.h>

struct pn_openpgp_keys {
	size_t count;
	struct pn_openpgp_key *keys;
};

/* All in `arena`. -EPROTO: not what a helper says. */
int keys_parse(struct pn_slice json, struct arena *arena, struct pn_openpgp_keys *ret);

#endif
