/* SPDX-License-Identifier: Apache-2.0 */
/* demand.h - modules' demands on TLS (postern/plan.h) as plans have them. */
#ifndef CORE_POLICY_DEMAND_H
#define CORE_POLICY_DEMAND_H

#include <core/mail/plan.h>

/* In `arena`. -EINVAL: what is wrong with them is in `err`. */
int demand_of_terms(const struct pn_tls_terms *terms, struct arena *arena, struct mail_demand *ret,
    struct pn_error *err);

#endif
