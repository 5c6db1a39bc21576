/* SPDX-License-Identifier: Apache-2.0 */
/* privileges.h - who Postern's processes run as, and the folders they own. Main thread only. */
#ifndef CORE_MASTER_PRIVILEGES_H
#define CORE_MASTER_PRIVILEGES_H

#include <postern/base.h>
#include <sys/types.h>

/*
 * Started as root: becomes `user` (NULL: nobody) for good, with its groups, and can gain nothing
 * any more. As anybody else: stays. -ENOENT: no such user.
 */
int privileges_drop(const char *user, struct pn_error *err);

/*
 * Makes the folder and those above it where they are missing; as root, the last one then belongs to
 * `user`. A folder that exists is left as it is, save one of root's that systemd has made for this
 * service (STATE_DIRECTORY, RUNTIME_DIRECTORY): that one is given to `user`.
 */
int privileges_folder(const char *path, const char *user, mode_t mode, struct pn_error *err);

#endif
