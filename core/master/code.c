/* SPDX-License-Identifier: Apache-2.0 */
/*
 * code.c - remembers the files whose code runs, and notices when they are replaced.
 *
 * Called by the master. The dynamic linker gives a process the code it has already for a path it
 * has loaded, whatever is in the file by now; so new code is said to be there and not used before
 * an upgrade. Reads nothing but the files' state.
 */
#include <core/base/log.h>
#include <core/master/code.h>
#include <core/master/watch.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* Above the descriptor of the children's channel, which takes its place before they start. */
#define DESCRIPTOR_LEAST 10
#define CHANGED_MOST     (1024u * 1024)

struct code_file {
	const char *path;
	struct stat seen;
	bool told; /* that it has changed */
};

static int
open_program(const char *path, int *ret, struct pn_error *err)
{
	int fd = open(path, O_PATH | O_CLOEXEC), r = fd < 0 ? -errno : 0;

	if (fd >= 0) {
		*ret = fcntl(fd, F_DUPFD_CLOEXEC, DESCRIPTOR_LEAST);
		r = *ret < 0 ? -errno : 0;
		close(fd);
	}
	return r < 0 ? pn_error_set(err, r, "%s: cannot open: %s", path, strerror(-r)) : 0;
}

static void
add_file(struct code *code, const char *path, const struct stat *seen)
{
	if (code->count == code->room) {
		size_t room = code->room ? 2 * code->room : 16;
		struct code_file *more = arena_alloc(&code->arena, room * sizeof(*more));

		if (code->count > 0)
			memcpy(more, code->files, code->count * sizeof(*more));
		code->files = more;
		code->room = room;
	}
	code->files[code->count++] = (struct code_file){ .path = arena_text(&code->arena, path),
		.seen = *seen };
}

static void
forget(struct code *code)
{
	arena_free(&code->arena);
	buf_free(&code->changed);
	code->arena = (struct arena){ 0 };
	code->changed = BUF_INIT(CHANGED_MOST);
	code->files = NULL;
	code->count = code->room = 0;
}

int
code_own(struct code *ret, struct pn_error *err)
{
	char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);

	*ret = (struct code){ .program = -1 };
	if (len < 0)
		return pn_error_set(
		    err, -errno, "cannot tell where posternd is: %s", strerror(errno));
	path[len] = '\0';
	ret->path = strdup(path);
	if (!ret->path)
		return pn_error_set(err, -ENOMEM, "out of memory");
	return open_program("/proc/self/exe", &ret->program, err);
}

int
code_newest(const struct code *now, struct code *ret, struct pn_error *err)
{
	struct stat st;
	int r;

	*ret = (struct code){ .program = -1, .path = strdup(now->path) };
	if (!ret->path)
		return pn_error_set(err, -ENOMEM, "out of memory");
	r = open_program(ret->path, &ret->program, err);
	if (r < 0)
		return r;
	if (fstat(ret->program, &st) < 0 || !S_ISREG(st.st_mode) || !(st.st_mode & 0111))
		return pn_error_set(err, -ENOEXEC, "%s: no program", ret->path);
	return 0;
}

void
code_begin(struct code *code, const struct checker_answer *answer)
{
	struct stat seen;

	forget(code);
	if (fstat(code->program, &seen) == 0)
		add_file(code, code->path, &seen);
	code_add(code, answer);
}

void
code_add(struct code *code, const struct checker_answer *answer)
{
	for (size_t i = 0; i < answer->module_count; i++) {
		struct stat seen;
		size_t at = 0;

		while (at < code->count && strcmp(code->files[at].path, answer->modules[i]) != 0)
			at++;
		if (at < code->count)
			continue;
		watch_stat(answer->modules[i], &seen);
		add_file(code, answer->modules[i], &seen);
	}
}

bool
code_look(struct code *code)
{
	struct buf changed = BUF_INIT(CHANGED_MOST);
	bool news;

	for (size_t i = 0; i < code->count; i++) {
		struct code_file *file = &code->files[i];
		struct stat now;

		watch_stat(file->path, &now);
		if (watch_same(&now, &file->seen))
			continue;
		if (!file->told)
			log_event(PN_LOG_NOTICE, "code-changed", "path", file->path, "taken-by",
			    "posternctl upgrade", NULL);
		file->told = true;
		if (buf_printf(&changed, "%s\n", file->path) < 0)
			break; /* enough of them to be told */
	}
	news = changed.len != code->changed.len ||
	       (changed.len > 0 && memcmp(changed.data, code->changed.data, changed.len) != 0);
	buf_free(&code->changed);
	code->changed = changed;
	return news;
}

void
code_free(struct code *code)
{
	forget(code);
	if (code->program >= 0)
		close(code->program);
	free(code->path);
	*code = (struct code){ .program = -1 };
}
