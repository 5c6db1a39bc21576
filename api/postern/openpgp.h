/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openpgp.h - OpenPGP for modules: what a key is good for, and encrypting to keys. Since ABI 6.
 *
 *	const struct pn_openpgp_keys *keys;
 *	int r = pn_openpgp_inspect(call, file, "ada@example.com", 0, &keys, &err);
 *
 *	for (size_t i = 0; r == 0 && i < pn_openpgp_count(keys); i++) {
 *		const struct pn_openpgp_key *key = pn_openpgp_key(keys, i);
 *
 *		if (!key->reason)
 *			keep(key->fingerprint, key->minimal);
 *	}
 *
 * Carried out by gpg, through GPGME, in small processes of their own without keys or settings of
 * anybody: hostile bytes never meet the relay's memory. One that dies is replaced; a question that
 * has ended two of them is refused for an hour (-ENOTRECOVERABLE).
 *
 * Threads and blocking: both functions block, for 10 to 100 ms and as long as pn_time_left()
 *allows; a PN_QUICK hook gets -EWOULDBLOCK. In hooks, providers, `start` and commands. What comes
 *back lives as long as the call.
 */
#ifndef POSTERN_OPENPGP_H
#define POSTERN_OPENPGP_H

#include <postern/base.h>

struct pn_call;

/* It only grows. Texts are UTF-8 without control characters. */
struct pn_openpgp_key {
	uint32_t size;
	int32_t version; /* of the key's format: 4; of others only this and `reason` are said */
	const char *fingerprint; /* upper-case hexadecimal digits; "": not of version 4 */
	const char *algorithm;   /* "ed25519/cv25519": of the key and of what encrypts to it */
	int64_t created,
	    expires; /* s since 1970; expires: when it can no longer be used, 0 never */
	bool revoked, expired;
	bool can_encrypt; /* by a subkey or itself that is neither expired nor revoked */
	bool secret;      /* a secret key: not looked at any further */
	/* Those that are valid and not revoked, and the addresses in them; NULL-ended. */
	const char *const *user_ids, *const *addresses;
	/*
	 * NULL: it can be used for the address that was asked for. Else why not, in words that
	 * follow on "the key ...": "expired on 2020-07-02".
	 */
	const char *reason;
	/*
	 * Where it can be used, the binary key with as little as is needed: the primary key, a
	 * user id, the newest self-signatures, the subkey that encrypts. 8 KiB at most: what
	 * pn_choose() takes for the method "pgp". Else empty.
	 */
	struct pn_slice minimal;
};

struct pn_openpgp_keys;

/* The administrator says whose key it is: its user ids need not have the address. */
#define PN_OPENPGP_PINNED 0x01u

/*
 * The keys in `bytes`, armoured or binary, as they come; 4 MiB and 256 keys at most. `address`:
 * whom they are to be used for, compared without case; NULL: anybody. 0, also where there is none;
 * -EBADMSG: not OpenPGP; -E2BIG; -ETIMEDOUT, -ECANCELED: no answer in time; -EBUSY:
 * too many wait; -ENOSYS: gpg is not installed; other negative errno: could not be looked at now.
 */
PN_PUBLIC int pn_openpgp_inspect(struct pn_call *call, struct pn_slice bytes, const char *address,
    uint32_t flags, const struct pn_openpgp_keys **ret, struct pn_error *err);
PN_PUBLIC size_t pn_openpgp_count(const struct pn_openpgp_keys *keys);
/* NULL behind the last. */
PN_PUBLIC const struct pn_openpgp_key *pn_openpgp_key(
    const struct pn_openpgp_keys *keys, size_t index);

/* Nobody can tell from the message for whom it is: recipients try their keys. */
#define PN_OPENPGP_HIDDEN 0x01u

struct pn_openpgp_order {
	uint32_t size; /* PN_OPENPGP_HEAD */
	uint32_t flags;
	const struct pn_slice *keys; /* binary, as in `minimal`; 2,048 at most */
	size_t key_count;
	const struct pn_slice *body; /* pieces that are encrypted as one */
	size_t body_count;
};
#define PN_OPENPGP_HEAD .size = sizeof(struct pn_openpgp_order)

/*
 * Encrypts to all keys and hands the armoured message to `each`, piece by piece, with CRLF line
 * ends; a negative result of `each` ends it and comes back. Always with integrity protection, never
 * compressed. -EKEYREJECTED: a key cannot be used, and `ret_culprit` (which may be NULL) tells
 * which one; -ENOMEM: not within limits.memory now; else as above.
 */
PN_PUBLIC int pn_openpgp_encrypt(struct pn_call *call, const struct pn_openpgp_order *order,
    int (*each)(void *arg, struct pn_slice bytes), void *arg, size_t *ret_culprit,
    struct pn_error *err);

#endif
