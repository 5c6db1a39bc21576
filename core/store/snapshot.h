/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot.h - what was last read from the directory server, kept so that a start needs no server.
 *
 * Its rows are those of records.h (accounts, domains, registrations, groups, members, aliases,
 * delegates, users, fields), beside them and never among them. A change counts the version of
 * records.h up in the same transaction. Blocks; any thread.
 */
#ifndef CORE_STORE_SNAPSHOT_H
#define CORE_STORE_SNAPSHOT_H

#include <core/store/records.h>
#include <glib.h>

#define SNAPSHOT_SOURCE_SIZE 65

struct snapshot_state {
	bool any;                          /* something was ever read */
	int64_t read_us;                   /* when it was last other than before */
	char source[SNAPSHOT_SOURCE_SIZE]; /* by which settings, as snapshot_replace() was told */
};

int snapshot_migrate(struct db *db, struct pn_error *err);
int snapshot_state(struct db *db, struct snapshot_state *ret, struct pn_error *err);

/* A row as one text, newly allocated; columns that are NULL or "" are NULL again. */
char *snapshot_line(enum record_kind kind, const char *const columns[RECORD_COLUMNS]);
/* All lines, as keys of a set. */
int snapshot_lines(struct db *db, GHashTable **ret, struct pn_error *err);
/* The kind of a line; RECORD_KINDS: it is none. */
enum record_kind snapshot_kind(const char *line);

/* Each row, those that have been there longer first. */
typedef int snapshot_fn(
    void *arg, enum record_kind kind, const char *const columns[RECORD_COLUMNS]);
int snapshot_each(struct db *db, snapshot_fn *each, void *arg, struct pn_error *err);

/* Makes `lines`, a set, all there is, in one transaction. */
int snapshot_replace(struct db *db, GHashTable *lines, const char *source, struct pn_error *err);
/* Nothing was ever read. */
int snapshot_forget(struct db *db, struct pn_error *err);

#endif
