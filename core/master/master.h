/* SPDX-License-Identifier: Apache-2.0 */
/* master.h - the process that supervises the others. */
#ifndef CORE_MASTER_MASTER_H
#define CORE_MASTER_MASTER_H

/* Runs until SIGTERM or SIGINT, reloads on SIGHUP. Exit status. */
int master_main(const char *folder, const char *modules);

#endif
