/* SPDX-License-Identifier: Apache-2.0 */
/* api_db.h - when a call may use the database; for the api_*.c that do. */
#ifndef CORE_POLICY_API_DB_H
#define CORE_POLICY_API_DB_H

#include <core/policy/call.h>

/* -EWOULDBLOCK, -ENODEV. */
int api_db_read(const struct pn_call *call, struct db **ret, struct pn_error *err);
/* Also -EROFS before the message is durable and in a trial, -ECANCELED. */
int api_db_write(const struct pn_call *call, struct db **ret, struct pn_error *err);

/*
 * The same around a change: that of a command goes with a row of the audit log. `r` is the change's
 * result; returns that of both.
 */
int api_db_begin(const struct pn_call *call, struct db **ret, struct pn_error *err);
int api_db_end(struct pn_call *call, struct db *db, int r, struct pn_error *err);

#endif
