/* SPDX-License-Identifier: Apache-2.0 */
/* certificate.h - certificates of users: SASL EXTERNAL, and the commands that store fingerprints.
 */
#ifndef MODULES_AUTH_CERTIFICATE_H
#define MODULES_AUTH_CERTIFICATE_H

#include "attempt.h"

/* external.c: who the client is by its certificate; `said->user` is the identity it asks for. */
struct pn_verdict external_decide(const struct attempt *attempt);

/* certificate_command.c: user certificate add|list|remove */
int certificate_add(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err);
int certificate_list(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err);
int certificate_remove(
    struct pn_call *call, struct pn_console *console, int argc, char **argv, struct pn_error *err);

#endif
