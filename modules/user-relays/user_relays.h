/* SPDX-License-Identifier: Apache-2.0 */
/* user_relays.h - what the files of the module share. */
#ifndef MODULES_USER_RELAYS_USER_RELAYS_H
#define MODULES_USER_RELAYS_USER_RELAYS_H

#include <postern/module.h>

struct user_relays {
	bool allow, force_gateway, unverified;
};

/*
 * NULL: the user may have a server for that address; else what is wrong with it: it is somebody
 * else's, or of a domain that is here. Out of memory.
 */
const char *user_relays_objection(
    const struct pn_call *call, const char *user, const char *address);

extern const struct pn_command user_relays_commands[];

#endif
