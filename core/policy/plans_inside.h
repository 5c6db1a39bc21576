/* SPDX-License-Identifier: Apache-2.0 */
/* plans_inside.h - what the files behind plans.h share. For plan_*.c and plans.c alone. */
#ifndef CORE_POLICY_PLANS_INSIDE_H
#define CORE_POLICY_PLANS_INSIDE_H

#include <core/policy/plans.h>

/* ---- plan_choose.c ---- */
/* The ruling is RULING_CHOSEN: he has a plan. */
void plan_choose(
    struct pn_txn *txn, size_t index, const struct chain_run *run, const struct ruling *ruling);
/* `refused` NULL: nobody said why. */
void plan_leave_unserved(struct pn_txn *txn, size_t index, const struct ruling *refused);
/* What the client hears where nobody serves a recipient. */
struct ruling plan_nobody_serves(void);
/* The same where a fault, which passes, took away who might have served. */
struct ruling plan_nobody_can(void);
/* The reply where nobody is served: the one that all have in common, or one for them all. */
struct ruling plan_refuse_all(const struct plans *plans);

/* ---- plan_render.c ---- */
/* No provider's. */
bool plan_is_clear(const struct plan_group *group);
/* Trace header and fixups (SPEC R10) on the view, as far as `how` says. */
int plan_fix(struct pn_txn *txn, const struct mail_fixups *how);
/* Takes off what stands above the trace header. */
int plan_bare(struct pn_txn *txn);
/* The message as a group's hook is to see it. */
int plan_view(struct pn_txn *txn, struct mail_bytes *bytes);
/* All that the item will have: the clear ones first, where anybody gets them. */
int plan_make_renderings(struct pn_txn *txn);

#endif
