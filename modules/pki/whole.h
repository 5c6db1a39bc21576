/* SPDX-License-Identifier: Apache-2.0 */
/*
 * whole.h - is a mail encrypted already, all of it: by structure, not by what its first lines say.
 */
#ifndef MODULES_PKI_WHOLE_H
#define MODULES_PKI_WHOLE_H

#include <postern/module.h>

/* What `start` makes for it: answers by message, since each recipient asks. */
struct pki_wholes;
struct pki_wholes *pki_wholes_new(void); /* NULL: out of memory */
void pki_wholes_free(struct pki_wholes *wholes);

/* 1: it is; 0: not. -EIO, -ENOMEM: it could not be read. In a hook that may block. */
int pki_whole_asked(struct pn_call *call, struct pn_txn *txn, struct pn_error *err);

/*
 * Of bytes alone. A CMS of enveloped or authenticated-enveloped data and nothing behind it; an
 * OpenPGP message (RFC 9580 section 10.3) whose encrypted packet is its last, binary.
 */
bool pki_is_whole_cms(struct pn_slice der);
bool pki_is_whole_pgp(struct pn_slice packets);
/* ASCII armour of such a message, blanks around it aside, and its checksum right if it has one. */
bool pki_is_whole_armour(struct pn_slice text);

#endif
