/* SPDX-License-Identifier: Apache-2.0 */
/*
 * directory_ldap.h - reads the directory server of `directory.ldap` into the database, from where
 * rosters take it. Blocks, as long as the server's timeout; any thread.
 */
#ifndef CORE_POLICY_DIRECTORY_LDAP_H
#define CORE_POLICY_DIRECTORY_LDAP_H

#include <core/config/directory.h>

struct db;

struct ldap_reading {
	size_t users, members, added, removed; /* rows that are new and gone, of all kinds */
	bool changed;
};

/* What decides over what is read; a snapshot by another source is not of this configuration. */
void directory_ldap_source(const struct config_ldap *ldap, char ret[65]);
enum { LDAP_FORCE = 1, LDAP_DRY_RUN = 2 };
/*
 * Reads all there is and keeps it; not in a dry run. With LDAP_FORCE also where more is gone than
 * `most_lost` allows, else -EXDEV. What was
 * kept by other settings is no measure. Where it fails (codes as postern/ldap.h has them), what was
 * kept before stays. `stop` is asked a few times a second; NULL: never.
 */
int directory_ldap_refresh(struct db *db, const struct config_ldap *ldap, unsigned flags,
    bool (*stop)(const void *arg), const void *arg, struct ldap_reading *ret, struct pn_error *err);
/* False: what is kept was read by other settings, or there is nothing. */
int directory_ldap_is_own(
    struct db *db, const struct config_ldap *ldap, bool *ret, struct pn_error *err);
/*
 * Before a roster is made of new settings by a relay: reads the server where nothing was kept by
 * these. Negative: there is nothing to go by.
 */
int directory_ldap_ensure(
    struct db *db, const struct config_ldap *ldap, struct ldap_reading *ret, struct pn_error *err);
/* What was kept, where the settings name no server any more. */
int directory_ldap_forget(struct db *db, const struct config_ldap *ldap, struct pn_error *err);

#endif
