/* SPDX-License-Identifier: Apache-2.0 */
/* pgp.h - OpenPGP in this module: the provider, keys out of files. */
#ifndef MODULES_PKI_PGP_H
#define MODULES_PKI_PGP_H

#include "pki.h"

/*
 * The provider of the method "pgp": PGP/MIME (RFC 3156). Its choice is one key, as
 * pn_openpgp_inspect() reduces it.
 */
struct pn_verdict pgp_render(struct pn_call *call, struct pn_txn *txn);

/* Something of OpenPGP, armoured or binary, by its beginning. */
bool pgp_is_keys(struct pn_slice bytes);
/* As pki_import_smime(). */
int pgp_import(struct pn_call *call, struct pn_console *console, struct pn_slice bytes,
    const char *source, struct pn_error *err);

#endif
