/* SPDX-License-Identifier: Apache-2.0 */
/* api_db.h - when a call may use the database; for the api_*.c that do. */
#ifndef CORE_POLICY_API_DB_H
#define CORE_POLICY_API_DB_H

#include <core/policy/call.h>

/* -EWOULDBLOCK, -ENODEV. */
int api_db_read(const struct pn_call *call, struct db **ret, struct pn_error *err);
/* Also -EROFS before the message is durable and in a trial, -ECANCELED. */
int api_db_write(const struct pn_call *call, struct db **ret, struct pn_error *err);

#endif
