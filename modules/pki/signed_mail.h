/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signed_mail.h - a message becomes multipart/signed (RFC 1847, RFC 8551 section 3.5.3.2).
 */
#ifndef MODULES_PKI_SIGNED_MAIL_H
#define MODULES_PKI_SIGNED_MAIL_H

#include "identity.h"
#include <postern/module.h>

/*
 * Edits the message of a message hook. -ENOTSUP: it cannot be made of seven bits without harm; what
 * else fails is an error of the edits. The text is in `err`.
 */
int signed_mail_make(struct pn_call *call, struct pn_txn *txn, const struct identity *identity,
    struct pn_error *err);

/* The fields of the entity (Content-...) out of the header of `message`, each with its CRLF. */
GString *signed_mail_entity_header(struct pn_slice message);
/* What stands behind the empty line. */
struct pn_slice signed_mail_body(struct pn_slice message);

#endif
