/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret.h - small secrets that a module keeps in the database, sealed under a key that is not
 * there: private keys, passwords at somebody else's service.
 *
 * The keys are a setting of the module, PN_OPT_SECRET, whose text is a line for each: a name, a
 * blank, 64 hexadecimal digits. The first one seals, all of them open: so a new key is put before
 * the others, everything is sealed again, and the old ones can go. Whoever has only the database
 * reads nothing. What was sealed says module, table and name, and opens for those three alone.
 *
 * Any thread; nothing here blocks, or changes anything. Since ABI 6.
 */
#ifndef POSTERN_SECRET_H
#define POSTERN_SECRET_H

#include <postern/base.h>

struct pn_call;
struct pn_check;
struct pn_secret;

#define PN_SEALED_SECRET_MOST 16384 /* bytes of a secret */

/* For a module's `check`: complains at `path` where the setting's text is no keys; NULL is fine. */
PN_PUBLIC void pn_sealed_check(
    struct pn_check *check, const char *path, const struct pn_secret *keys);

/*
 * `*ret` is what to store; it lives until the hook (or `start`, or the command) returns, and may be
 * shown to anybody. -ENOKEY: `keys` is NULL or empty; -E2BIG, -ENOMEM.
 */
PN_PUBLIC int pn_secret_seal(struct pn_call *call, const struct pn_secret *keys, const char *table,
    const char *name, struct pn_slice secret, struct pn_slice *ret, struct pn_error *err);

/* Gets the secret, which is wiped when it has returned. Its result is pn_secret_open()'s. */
typedef int pn_secret_fn(void *arg, struct pn_slice secret);
/*
 * -ENOKEY: it was sealed under a key that is not among these; -EBADMSG: it was sealed about
 * something else, or was changed; -ENOMEM.
 */
PN_PUBLIC int pn_secret_open(struct pn_call *call, const struct pn_secret *keys, const char *table,
    const char *name, struct pn_slice sealed, pn_secret_fn *use, void *arg, struct pn_error *err);

/* Is it sealed under the first of these keys? */
PN_PUBLIC bool pn_sealed_is_fresh(const struct pn_secret *keys, struct pn_slice sealed);

#endif
