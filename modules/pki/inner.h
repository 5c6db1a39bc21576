/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inner.h - the two headers of an encrypted message (RFC 9788): the one inside, which says all that
 * the sender wrote, and the one outside, which says what the way there needs.
 */
#ifndef MODULES_PKI_INNER_H
#define MODULES_PKI_INNER_H

#include <postern/module.h>

/* Takes bytes that are to be encrypted; a negative errno ends it. */
typedef int pki_sink_fn(void *arg, struct pn_slice bytes);

/*
 * Writes what is to be encrypted: the fields of the original but those of its way, Content-Type
 * with hp="cipher", HP-Outer for what stands outside as well, then its body, piece by piece.
 */
int pki_inner_write(const struct pn_txn *txn, bool hide_subject, pki_sink_fn *sink, void *arg);
/* Renders the fields outside, but for those of the encrypted body, which are the caller's. */
int pki_outer_render(struct pn_call *call, const struct pn_txn *txn, bool hide_subject);

#endif
