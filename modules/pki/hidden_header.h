/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hidden_header.h - header protection (RFC 9788) for whoever encrypts: what stands inside, with
 * hp="cipher", and what is left outside. By the baseline policy of section 3.2.1: the subject is
 * hidden, comments and keywords are not there.
 */
#ifndef MODULES_PKI_HIDDEN_HEADER_H
#define MODULES_PKI_HIDDEN_HEADER_H

#include <glib.h>
#include <postern/module.h>

/*
 * The header of the part that is to be encrypted, with its empty line: the fields that are
 * protected, what is said of them outside, and the Content-* fields of the message. What follows is
 * pn_txn_body().
 */
void hidden_header_inner(const struct pn_txn *txn, GString *ret);
/* Renders the outer header but for what the caller says of the content. */
int hidden_header_outer(struct pn_call *call, const struct pn_txn *txn);

#endif
