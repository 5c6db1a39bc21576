/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access.c - whose a listener's unix socket is, and who may connect to it.
 *
 * Called by the configuration's check, and by the checker for the master, which looks up no names.
 */
#include <core/config/access.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_SIZE 16384 /* of a user or group, all members; more than that is not found */

static int
read_mode(const char *text, unsigned *ret, struct pn_error *err)
{
	size_t len = strlen(text);

	if (len < 3 || len > 4 || strspn(text, "01234567") != len || (len == 4 && *text != '0'))
		return pn_error_set(
		    err, -EINVAL, "\"%s\" is no mode; write it in octal digits, as in 0660", text);
	*ret = (unsigned)strtoul(text, NULL, 8);
	return 0;
}

static int
read_owner(const char *name, int64_t *ret, struct pn_error *err)
{
	char memory[NAMES_SIZE];
	struct passwd pw, *found = NULL;

	if (getpwnam_r(name, &pw, memory, sizeof(memory), &found) != 0 || !found)
		return pn_error_set(err, -EINVAL, "this machine has no user \"%s\"", name);
	*ret = pw.pw_uid;
	return 0;
}

static int
read_group(const char *name, int64_t *ret, struct pn_error *err)
{
	char memory[NAMES_SIZE];
	struct group gr, *found = NULL;

	if (getgrnam_r(name, &gr, memory, sizeof(memory), &found) != 0 || !found)
		return pn_error_set(err, -EINVAL, "this machine has no group \"%s\"", name);
	*ret = gr.gr_gid;
	return 0;
}

int
config_access_read(const struct config_listener *listener, struct config_access *ret,
    const char **ret_key, struct pn_error *err)
{
	int r = 0;

	*ret = (struct config_access){ .mode = 0666, .uid = -1, .gid = -1 };
	*ret_key = "mode";
	if (listener->mode)
		r = read_mode(listener->mode, &ret->mode, err);
	if (r == 0 && listener->owner) {
		*ret_key = "owner";
		r = read_owner(listener->owner, &ret->uid, err);
	}
	if (r == 0 && listener->group) {
		*ret_key = "group";
		r = read_group(listener->group, &ret->gid, err);
	}
	return r;
}
