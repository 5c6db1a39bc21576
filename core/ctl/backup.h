/* SPDX-License-Identifier: Apache-2.0 */
/* backup.h - what posternctl backup and restore agree on: names in the archive. */
#ifndef CORE_CTL_BACKUP_H
#define CORE_CTL_BACKUP_H

#include <core/ctl/commands.h>

#define BACKUP_DATABASE_FILE "postern.db" /* in relay.state_directory */
#define BACKUP_DATABASE      "state/" BACKUP_DATABASE_FILE
#define BACKUP_CONFIG        "config/" /* before the name of each YAML file */

/* posternctl restore */
int restore_run(struct ctl *ctl, int argc, char **argv, struct pn_error *err);

#endif
