/* SPDX-License-Identifier: Apache-2.0 */
/*
 * permissions.h - whether folders and files are open to people whom they must be closed to.
 *
 * What is looked at, and why, is the table of docs/permissions.md. Reads nothing but modes and
 * owners, and changes nothing.
 */
#ifndef CORE_MASTER_PERMISSIONS_H
#define CORE_MASTER_PERMISSIONS_H

#include <stdbool.h>
#include <stddef.h>

struct permissions {
	const char *folder;             /* of the configuration */
	const char *modules;            /* folders, separated by ':' */
	const char *state, *run, *user; /* as in struct config_relay */
	bool any_owner;                 /* who will start posternd is not known */
	/* For each fault: one line that names the path, its mode or owner, and what mends it. */
	void (*fault)(void *arg, const char *text);
	void *arg;
};

/* The number of faults. What is not there, or may not be looked at, is none. */
size_t permissions_check(const struct permissions *what);

#endif
