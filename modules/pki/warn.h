/* SPDX-License-Identifier: Apache-2.0 */
/* warn.h - mail to administrators before keys end. */
#ifndef MODULES_PKI_WARN_H
#define MODULES_PKI_WARN_H

#include "pki.h"

/* At PN_STAGE_TICK. Tells of each key 30, 7 and 1 days before it ends, once each. */
struct pn_verdict warn_of_ends(struct pn_call *call);

#endif
