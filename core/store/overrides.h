/* SPDX-License-Identifier: Apache-2.0 */
/*
 * overrides.h - settings that the database has for accounts, domains, groups, users, or for all.
 *
 * A value is YAML text and was checked by whoever stored it against the table of its module; what
 * it is worth today is for whoever reads it. Every change is audited and counts the version up, so
 * that another process can tell cheaply whether anything is new. Blocks; any thread.
 */
#ifndef CORE_STORE_OVERRIDES_H
#define CORE_STORE_OVERRIDES_H

#include <core/base/arena.h>
#include <core/store/db.h>

struct override {
	const char *kind; /* "default", "account", "domain", "group", "user" */
	const char *name; /* "" for the default */
	const char *entry;
	const char *path;  /* "limits.level" */
	const char *value; /* NULL: none */
	const char *label; /* in diagnostics, for one that is not stored yet; NULL: it is stored */
};

struct overrides {
	size_t count;
	struct override *items;
	int64_t version;
};

int overrides_migrate(struct db *db, struct pn_error *err);
int overrides_version(struct db *db, int64_t *ret, struct pn_error *err);
/* All of them, in `arena`, by kind, name, entry and path; of one point in time with the version. */
int overrides_read(struct db *db, struct arena *arena, struct overrides *ret, struct pn_error *err);
/* Sets, or removes where `value` is NULL. -ENOENT: there was none to remove. */
int overrides_change(
    struct db *db, const struct override *override, const char *who, struct pn_error *err);

#endif
