/* SPDX-License-Identifier: Apache-2.0 */
/* backup.h - what posternctl backup and restore agree on: names in the archive. */
#ifndef CORE_CTL_BACKUP_H
#define CORE_CTL_BACKUP_H

#include <core/ctl/commands.h>

#define BACKUP_DATABASE_FILE "postern.db" /* in relay.state_directory */
#define BACKUP_DATABASE      "state/" BACKUP_DATABASE_FILE
#define BACKUP_SPOOL         "spool/"  /* before the name of each segment */
#define BACKUP_CONFIG        "config/" /* before the name of each YAML file */

/* ---- restore_spool.c ---- */
struct keyring;
struct progress;
struct restore_spool {
	const char *path; /* of the backup, which was checked */
	const json_t *manifest;
	const char *state; /* relay.state_directory, locked */
	uint64_t segment_size;
	struct keyring *keys; /* NULL: none */
	bool hold;
	const char *who, *reason; /* of the hold */
	struct progress *progress;
};
struct restored_spool {
	size_t messages, damaged;
	int encrypted; /* segments */
	json_t *ids;   /* of the first of them; the caller's, also on failure; NULL: none */
};
int restore_spool(
    const struct restore_spool *order, struct restored_spool *ret, struct pn_error *err);

/* ---- command_restore.c ---- */
/* posternctl restore */
int restore_run(struct ctl *ctl, int argc, char **argv, struct pn_error *err);

#endif
