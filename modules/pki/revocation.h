/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revocation.h - whether certificates are revoked, as the settings want it asked.
 *
 * Answers are kept in memory as long as they say they hold, failures for a minute. Any thread.
 */
#ifndef MODULES_PKI_REVOCATION_H
#define MODULES_PKI_REVOCATION_H

#include "pki.h"

struct revocations; /* what is known; bounded in number and in bytes */
struct revocations *revocations_new(void);
void revocations_free(struct revocations *known);

/* Into the terms of a judgement; nothing where the settings ask for nothing. May block. */
void revocation_terms(struct pn_call *call, struct certificate_terms *terms);

#endif
