/* SPDX-License-Identifier: Apache-2.0 */
/* store_folder.h - for unit tests: a database in a folder of its own. */
#ifndef TESTS_UNIT_STORE_FOLDER_H
#define TESTS_UNIT_STORE_FOLDER_H

#include <check.h>
#include <core/store/db.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char store_folder[64];

static inline struct db *
store_folder_open(void)
{
	struct pn_error err = { 0 };
	struct db *db;
	char path[80];

	strcpy(store_folder, "/tmp/postern-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(store_folder));
	snprintf(path, sizeof(path), "%s/test.db", store_folder);
	ck_assert_msg(db_open(path, false, &db, &err) == 0, "%s", err.text);
	return db;
}

static inline void
store_folder_close(struct db **db)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char path[90];

	db_close(db);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		snprintf(path, sizeof(path), "%s/test.db%s", store_folder, ends[i]);
		unlink(path);
	}
	ck_assert_int_eq(rmdir(store_folder), 0);
}

#endif
