/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.c - reads a configuration's files from the file system.
 *
 * Called by posternctl, by the master for its checker, and by tests. Reads regular files only, so a
 * pipe or a device under a name in the YAML cannot hang a reload; must never read more than
 * SOURCE_FILE_MOST, nor leave what it read in memory it gave back.
 */
#include <core/config/source.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int
wants_name(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".yaml") == 0;
}

/* By bytes, not by locale: the same order everywhere. */
static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int
files_list(struct source *source, const char *folder, struct buf *ret, struct pn_error *err)
{
	struct dirent **names = NULL;
	int count, r = 0;

	count = scandir(folder, &names, wants_name, by_name);
	if (count < 0) {
		r = -errno;
		return pn_error_set(err, r, "cannot read the folder %s: %s", folder, strerror(-r));
	}
	for (int i = 0; i < count; i++) {
		if (r == 0)
			r = buf_add(ret, names[i]->d_name, strlen(names[i]->d_name) + 1);
		free(names[i]);
	}
	free(names);
	return r < 0 ? pn_error_set(err, r, "the folder %s holds too many files", folder) : 0;
}

/* Reads to the end; the buffer has room for `most` bytes and one more. */
static ssize_t
read_all(int fd, char *data, size_t most)
{
	size_t len = 0;

	while (len <= most) {
		ssize_t n = read(fd, data + len, most + 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return (ssize_t)len;
		len += (size_t)n;
	}
	return -EFBIG;
}

static int
read_file(int fd, struct source_file *ret)
{
	struct stat st;
	ssize_t len;
	char *data;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	if (st.st_size > (off_t)SOURCE_FILE_MOST)
		return -EFBIG;
	data = malloc((size_t)st.st_size + 2);
	if (!data)
		return -ENOMEM;
	len = read_all(fd, data, (size_t)st.st_size);
	if (len < 0) {
		explicit_bzero(data, (size_t)st.st_size + 1);
		free(data);
		return (int)len;
	}
	data[len] = '\0';
	*ret = (struct source_file){ .data = data, .len = (size_t)len, .mode = st.st_mode };
	return 0;
}

static int
files_read(struct source *source, const char *path, struct source_file *ret, struct pn_error *err)
{
	/* O_NONBLOCK: opening a FIFO would wait for its writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int r = fd < 0 ? -errno : read_file(fd, ret);

	if (fd >= 0)
		close(fd);
	if (r == -EFBIG)
		return pn_error_set(err, r, "cannot read %s: larger than %u MiB, or still growing",
		    path, SOURCE_FILE_MOST >> 20);
	if (r == -EINVAL)
		return pn_error_set(err, r, "cannot read %s: not a regular file", path);
	if (r < 0)
		return pn_error_set(err, r, "cannot read %s: %s", path, strerror(-r));
	return 0;
}

static void
files_free(struct source *source)
{
	free(source);
}

int
source_files(struct source **ret)
{
	static const struct source_ops ops = { files_list, files_read, files_free };
	struct source *source = malloc(sizeof(*source));

	if (!source)
		return -ENOMEM;
	source->ops = &ops;
	*ret = source;
	return 0;
}

void
source_free(struct source **source)
{
	if (*source)
		(*source)->ops->free(*source);
	*source = NULL;
}
