/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.h - notices that certificates, keys and other files beside the YAML have been replaced.
 *
 * The YAML files themselves are not watched: an administrator edits them in peace and reloads.
 * Compared by inode, size and time of change. Main thread of the master only.
 */
#ifndef CORE_MASTER_WATCH_H
#define CORE_MASTER_WATCH_H

#include <core/master/checker.h>
#include <sys/stat.h>

#define WATCH_MS 2000 /* between two looks */

struct watch {
	struct arena arena;
	struct watch_file *files;
	size_t count;
	int64_t due_ms; /* monotonic; of the next look */
};

/*
 * From now on the files of this answer, save the YAML files in `folder`. `began_us`: wall time
 * before they were read.
 */
void watch_set(
    struct watch *watch, const struct checker_answer *answer, const char *folder, int64_t began_us);
/* The path of a file that changed since the last look, or NULL; borrowed until watch_set. */
const char *watch_look(struct watch *watch);
void watch_free(struct watch *watch);

/* All zero where there is no such file. */
void watch_stat(const char *path, struct stat *ret);
bool watch_same(const struct stat *a, const struct stat *b);

#endif
