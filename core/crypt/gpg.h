/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpg.h - what a helper process does with GPGME: looks at keys, encrypts.
 *
 * In helper processes only: GPGME forks, and from a large process that takes most of a second.
 * One thing at a time; whatever is in the home folder is gone when it returns.
 */
#ifndef CORE_CRYPT_GPG_H
#define CORE_CRYPT_GPG_H

#include <core/crypt/frame.h>
#include <gpgme.h>

#define GPG_PIECES_MOST 2048               /* keys that one message is encrypted to */
#define GPG_KEYS_MOST   256                /* in one question */
#define GPG_INPUT_MOST  (4u * 1024 * 1024) /* bytes of keys in one question */
#define GPG_MINIMAL     (8u * 1024)        /* PN_CHOICE's size: a larger key cannot be chosen */

struct gpg {
	const char *home; /* absolute, this process's own */
	gpgme_ctx_t ctx;
};

/* Writes the settings of gpg into `home`, and makes the context. */
int gpg_begin(struct gpg *gpg, const char *home, struct pn_error *err);
/* All files of the home but the settings. */
void gpg_forget(const struct gpg *gpg);
/* The context for one piece of work, without anything of the one before. */
int gpg_context(struct gpg *gpg, struct pn_error *err);
/* A negative errno for what GPGME says, with the text. */
int gpg_fault(gpgme_error_t error, struct pn_error *err, const char *what);

/* Writes JSON to `out`: see keys.h. */
int gpg_inspect(struct gpg *gpg, struct pn_slice address, bool pinned, struct pn_slice keys,
    int out, struct pn_error *err);
/*
 * Encrypts what is in `in` from its position on. `ret_culprit`: the key that cannot be used, -1
 * none in particular.
 */
int gpg_encrypt(struct gpg *gpg, const struct pn_slice *keys, size_t count, bool hidden, int in,
    int out, int *ret_culprit, struct pn_error *err);

#endif
