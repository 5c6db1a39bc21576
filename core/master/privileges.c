/* SPDX-License-Identifier: Apache-2.0 */
/*
 * privileges.c - dropping root, and making the folders that the unprivileged processes use.
 *
 * Called by the children before they touch anything from outside, by the master for folders, and
 * by posternctl before it opens the database.
 */
#include <core/master/privileges.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CANNOT_MAKE \
	"%s: cannot make the folder: %s; see relay.state_directory and relay.run_directory"

static int
find_user(const char *user, struct passwd *ret, char *memory, size_t size, struct pn_error *err)
{
	struct passwd *found = NULL;
	int r = getpwnam_r(user ? user : "nobody", ret, memory, size, &found);

	if (r == 0 && found)
		return 0;
	return pn_error_set(err, r ? -r : -ENOENT,
	    "relay.user: this machine has no user \"%s\"; \"adduser --system --group %s\" makes "
	    "one",
	    user ? user : "nobody", user ? user : "nobody");
}

int
privileges_drop(const char *user, struct pn_error *err)
{
	char memory[4096];
	struct passwd pw;
	int r;

	if (geteuid() == 0) {
		r = find_user(user, &pw, memory, sizeof(memory), err);
		if (r < 0)
			return r;
		if (initgroups(pw.pw_name, pw.pw_gid) < 0 ||
		    setresgid(pw.pw_gid, pw.pw_gid, pw.pw_gid) < 0 ||
		    setresuid(pw.pw_uid, pw.pw_uid, pw.pw_uid) < 0)
			return pn_error_set(
			    err, -errno, "cannot become user %s: %s", pw.pw_name, strerror(errno));
		if (pw.pw_uid != 0 && setuid(0) == 0)
			return pn_error_set(err, -EPERM,
			    "could become root again after dropping to %s", pw.pw_name);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return pn_error_set(
		    err, -errno, "cannot give up gaining privileges: %s", strerror(errno));
	return 0;
}

static int
make_folders_above(const char *path, struct pn_error *err)
{
	char above[PATH_MAX];

	if (snprintf(above, sizeof(above), "%s", path) >= (int)sizeof(above))
		return pn_error_set(err, -ENAMETOOLONG, "%s: the path is too long", path);
	for (char *slash = strchr(above + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(above, 0755) < 0 && errno != EEXIST)
			return pn_error_set(err, -errno, CANNOT_MAKE, above, strerror(errno));
		*slash = '/';
	}
	return 0;
}

/* Through a descriptor, so that nobody can put a link in the way between check and change. */
static int
give_folder(const char *path, const char *user, struct pn_error *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char memory[4096];
	struct passwd pw;
	int r = 0;

	if (fd < 0)
		return pn_error_set(
		    err, -errno, "%s: not a folder that can be used: %s", path, strerror(errno));
	if (geteuid() == 0) {
		r = find_user(user, &pw, memory, sizeof(memory), err);
		if (r == 0 && fchown(fd, pw.pw_uid, pw.pw_gid) < 0)
			r = pn_error_set(err, -errno, "%s: cannot give the folder to %s: %s", path,
			    pw.pw_name, strerror(errno));
	}
	close(fd);
	return r;
}

/* StateDirectory=, RuntimeDirectory=: systemd makes them for this service alone, and root's. */
static bool
is_from_systemd(const char *path)
{
	static const char *const names[] = { "STATE_DIRECTORY", "RUNTIME_DIRECTORY" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *at = getenv(names[i]);

		while (at) {
			size_t len = strcspn(at, ":");

			if (len > 0 && strlen(path) == len && strncmp(at, path, len) == 0)
				return true;
			at = at[len] == ':' ? at + len + 1 : NULL;
		}
	}
	return false;
}

static bool
is_roots(const char *path)
{
	struct stat st;

	return geteuid() == 0 && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == 0;
}

int
privileges_folder(const char *path, const char *user, mode_t mode, struct pn_error *err)
{
	int r = make_folders_above(path, err);

	if (r < 0)
		return r;
	if (mkdir(path, mode) == 0)
		return give_folder(path, user, err);
	if (errno == EEXIST && is_from_systemd(path) && is_roots(path))
		return give_folder(path, user, err);
	if (errno == EEXIST)
		return 0; /* an administrator's folder keeps its owner, whatever a setting names */
	return pn_error_set(err, -errno, CANNOT_MAKE, path, strerror(errno));
}
