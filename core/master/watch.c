/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watch.c - looks at the files of the configuration now and then.
 *
 * Called by the master, which reloads when something changed. Reads nothing but their state.
 */
#include <core/base/clock.h>
#include <core/master/watch.h>

struct watch_file {
	const char *path;
	struct stat seen; /* all zero: was not there */
};

static int64_t
changed_us(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000 + st->st_mtim.tv_nsec / 1000;
}

void
watch_stat(const char *path, struct stat *ret)
{
	if (stat(path, ret) < 0)
		memset(ret, 0, sizeof(*ret));
}

bool
watch_same(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       changed_us(a) == changed_us(b);
}

/* One of the files that an administrator edits; what `!file` names is not, whatever it is called.
 */
static bool
is_edited(const char *path, const char *folder)
{
	size_t len = strlen(path), above = strlen(folder);

	return len > 5 && strcmp(path + len - 5, ".yaml") == 0 && len > above &&
	       memcmp(path, folder, above) == 0 && path[above] == '/' &&
	       !strchr(path + above + 1, '/');
}

void
watch_set(
    struct watch *watch, const struct checker_answer *answer, const char *folder, int64_t began_us)
{
	int64_t now_us = clock_wall_us();

	watch_free(watch);
	watch->due_ms = clock_monotonic_ms() + WATCH_MS;
	watch->files = arena_alloc(&watch->arena, (answer->file_count + 1) * sizeof(*watch->files));
	for (size_t i = 0; i < answer->file_count; i++) {
		struct watch_file *file = &watch->files[watch->count];

		if (is_edited(answer->files[i], folder))
			continue;
		file->path = arena_text(&watch->arena, answer->files[i]);
		watch_stat(file->path, &file->seen);
		/* Replaced while it was being read, perhaps: look again as if it were new. */
		if (changed_us(&file->seen) >= began_us && changed_us(&file->seen) <= now_us)
			memset(&file->seen, 0, sizeof(file->seen));
		watch->count++;
	}
}

const char *
watch_look(struct watch *watch)
{
	const char *changed = NULL;

	watch->due_ms = clock_monotonic_ms() + WATCH_MS;
	for (size_t i = 0; i < watch->count; i++) {
		struct watch_file *file = &watch->files[i];
		struct stat now;

		watch_stat(file->path, &now);
		if (watch_same(&now, &file->seen))
			continue;
		file->seen = now;
		changed = file->path;
	}
	return changed;
}

void
watch_free(struct watch *watch)
{
	arena_free(&watch->arena);
	*watch = (struct watch){ 0 };
}
