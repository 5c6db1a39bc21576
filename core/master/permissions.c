/* SPDX-License-Identifier: Apache-2.0 */
/*
 * permissions.c - looks at modes and owners before anything is trusted to them.
 *
 * Called by the master at its start, before it makes or opens anything, and by posternctl check.
 * Links are followed: what counts is what will be used. Must never mend by itself: an administrator
 * may have meant it.
 */
#include <core/master/permissions.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define TEXT_MOST (2 * PATH_MAX + 200)

struct look {
	const struct permissions *what;
	size_t faults;
};

static void
complain(struct look *look, const char *text)
{
	look->faults++;
	look->what->fault(look->what->arg, text);
}

/* ---- modes ----------------------------------------------------------------------------------- */

static const struct rule {
	mode_t closed; /* bits that must not be set */
	const char *who, *chmod;
} changes_by_others = { 0002, "everybody may change", "o-w" },
  changes_by_group = { 0022, "others than its owner may change", "go-w" },
  reads = { 0077, "others than its owner may read or change", "go=" };

static void
look_at_mode(struct look *look, const char *path, const struct rule *rule)
{
	char text[TEXT_MOST];
	struct statvfs fs;
	struct stat st;

	if (stat(path, &st) < 0 || !(st.st_mode & rule->closed))
		return;
	/* As volumes of containers may be. */
	if (rule != &reads && statvfs(path, &fs) == 0 && fs.f_flag & ST_RDONLY)
		return;
	snprintf(text, sizeof(text), "%s: mode %04o: %s it; \"chmod %s %s\" mends that", path,
	    (unsigned)(st.st_mode & 07777), rule->who, rule->chmod, path);
	complain(look, text);
}

/* The folder, and each file in it whose name ends like that. */
static void
look_at_folder(struct look *look, const char *path, const char *ending, const struct rule *rule)
{
	char name[PATH_MAX];
	struct dirent *entry;
	DIR *folder = opendir(path);

	look_at_mode(look, path, rule);
	while (folder && (entry = readdir(folder))) {
		size_t len = strlen(entry->d_name), end = strlen(ending);

		if (len <= end || strcmp(entry->d_name + len - end, ending) != 0)
			continue;
		if (snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) < (int)sizeof(name))
			look_at_mode(look, name, rule);
	}
	if (folder)
		closedir(folder);
}

static void
look_at_modules(struct look *look)
{
	const char *at = look->what->modules;
	char path[PATH_MAX];

	while (at) {
		size_t len = strcspn(at, ":");

		if (len > 0 && len < sizeof(path)) {
			memcpy(path, at, len);
			path[len] = '\0';
			look_at_folder(look, path, ".so", &changes_by_others);
		}
		at = at[len] == ':' ? at + len + 1 : NULL;
	}
}

/* ---- owners ---------------------------------------------------------------------------------- */

/* Root, who runs this, and the relay's user may own what the relay writes to. */
static bool
may_own(uid_t owner, const char *user)
{
	char memory[4096];
	struct passwd pw, *found = NULL;

	if (owner == 0 || owner == geteuid())
		return true;
	return getpwnam_r(user ? user : "nobody", &pw, memory, sizeof(memory), &found) == 0 &&
	       found && found->pw_uid == owner;
}

static void
look_at_owner(struct look *look, const char *path)
{
	const char *user = look->what->user ? look->what->user : "nobody";
	char text[TEXT_MOST];
	struct stat st;

	if (look->what->any_owner || stat(path, &st) < 0 || may_own(st.st_uid, look->what->user))
		return;
	snprintf(text, sizeof(text),
	    "%s: belongs to user %u, and neither to root nor to the relay's user; \"chown -R %s "
	    "%s\" mends that",
	    path, (unsigned)st.st_uid, geteuid() == 0 ? user : "$USER", path);
	complain(look, text);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* In a folder that only its owner may enter, modes of files say nothing. */
static bool
is_closed(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 || !(st.st_mode & 0011);
}

static void
look_at_state(struct look *look)
{
	static const char *const files[] = { "postern.db", "postern.db-wal", "postern.db-shm" };
	const char *state = look->what->state;
	char path[PATH_MAX];

	look_at_mode(look, state, &changes_by_group);
	look_at_owner(look, state);
	if (is_closed(state))
		return;
	if (snprintf(path, sizeof(path), "%s/spool", state) < (int)sizeof(path))
		look_at_folder(look, path, ".seg", &reads);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (snprintf(path, sizeof(path), "%s/%s", state, files[i]) < (int)sizeof(path))
			look_at_mode(look, path, &reads);
}

size_t
permissions_check(const struct permissions *what)
{
	struct look look = { .what = what };

	look_at_folder(&look, what->folder, ".yaml", &changes_by_others);
	look_at_modules(&look);
	look_at_state(&look);
	look_at_mode(&look, what->run, &changes_by_group);
	look_at_owner(&look, what->run);
	return look.faults;
}
