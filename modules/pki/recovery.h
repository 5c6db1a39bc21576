/* SPDX-License-Identifier: Apache-2.0 */
/* recovery.h - private keys for whoever the administrator has named for recovery, encrypted. */
#ifndef MODULES_PKI_RECOVERY_H
#define MODULES_PKI_RECOVERY_H

#include "identity.h"

/* The one certificate of a PEM file; X509_free(). -EINVAL: it cannot be encrypted to. */
int recovery_load(const char *path, X509 **ret, struct pn_error *err);
/*
 * Key, certificate and chain in PEM, as CMS for `to`, in PEM, into a new file of mode 0600.
 * -EEXIST: it is there already.
 */
int recovery_write(
    const struct identity *identity, X509 *to, const char *path, struct pn_error *err);

#endif
