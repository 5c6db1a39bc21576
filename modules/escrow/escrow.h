/* SPDX-License-Identifier: Apache-2.0 */
/* escrow.h - what the files of module escrow share. */
#ifndef MODULES_ESCROW_ESCROW_H
#define MODULES_ESCROW_ESCROW_H

#include <postern/module.h>

/* ---- accounts.c: portal accounts of recipients, kept apart per customer account ---------------
 */

extern const struct pn_migration escrow_migrations[];
extern const struct pn_command escrow_commands[];
/*
 * Whether this recipient has a portal account of that customer account ("" for mail that is
 * nobody's): 1 or 0; < 0, with the text in `err`, where the database could not be asked. Blocks.
 */
int escrow_has_account(
    struct pn_call *call, const char *account, const char *recipient, struct pn_error *err);

#endif
