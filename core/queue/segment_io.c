/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_io.c - the spool's file system, for real.
 *
 * Called by the spool. Never retries a failed sync: after one, what is in the page cache says
 * nothing about the disk.
 */
#include <core/queue/segment_io.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int
system_make_folder(void *arg, const char *path)
{
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int
system_list(
    void *arg, const char *folder, void (*each)(void *each_arg, const char *name), void *each_arg)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int r;

	if (!dir)
		return -errno;
	while (errno = 0, (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			each(each_arg, entry->d_name);
	r = -errno;
	closedir(dir);
	return r;
}

static int
system_open(void *arg, const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? -errno : fd;
}

static void
system_close(void *arg, int fd)
{
	close(fd);
}

static int
system_lock(void *arg, const char *path, pid_t *ret_pid)
{
	char text[32] = "";
	int fd = system_open(arg, path, O_RDWR | O_CREAT), r, len;

	*ret_pid = 0;
	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
		if (pread(fd, text, sizeof(text) - 1, 0) > 0)
			*ret_pid = (pid_t)strtol(text, NULL, 10);
		close(fd);
		return r;
	}
	len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static int
system_modified(void *arg, int fd, int64_t *ret_us)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret_us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
	return 0;
}

static int
system_size(void *arg, int fd, uint64_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*ret = (uint64_t)st.st_size;
	return 0;
}

static ssize_t
system_read(void *arg, int fd, void *bytes, size_t len, uint64_t offset)
{
	ssize_t n = pread(fd, bytes, len, (off_t)offset);

	return n < 0 ? -errno : n;
}

static ssize_t
system_write(void *arg, int fd, const struct iovec *parts, int count, uint64_t offset)
{
	ssize_t n = pwritev(fd, parts, count, (off_t)offset);

	return n < 0 ? -errno : n;
}

static int
system_sync(void *arg, int fd)
{
	return fdatasync(fd) < 0 ? -errno : 0;
}

static int
system_allocate(void *arg, int fd, uint64_t size)
{
	if (fallocate(fd, 0, 0, (off_t)size) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS)
		return -errno;
	return ftruncate(fd, (off_t)size) < 0 ? -errno : 0;
}

static int
system_rename(void *arg, const char *from, const char *to)
{
	return rename(from, to) < 0 ? -errno : 0;
}

static int
system_remove(void *arg, const char *path)
{
	return unlink(path) < 0 ? -errno : 0;
}

static int
system_sync_folder(void *arg, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return -errno;
	r = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return r;
}

static int
system_free_bytes(void *arg, const char *path, uint64_t *ret)
{
	struct statvfs st;

	if (statvfs(path, &st) < 0)
		return -errno;
	*ret = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

const struct segment_io segment_io_system = {
	.make_folder = system_make_folder,
	.list = system_list,
	.lock = system_lock,
	.open = system_open,
	.close = system_close,
	.size = system_size,
	.modified = system_modified,
	.read = system_read,
	.write = system_write,
	.sync = system_sync,
	.allocate = system_allocate,
	.rename = system_rename,
	.remove = system_remove,
	.sync_folder = system_sync_folder,
	.free_bytes = system_free_bytes,
};

int
segment_io_read_all(const struct segment_io *io, int fd, void *bytes, size_t len, uint64_t offset)
{
	char *to = bytes;

	while (len > 0) {
		ssize_t n = io->read(io->arg, fd, to, len, offset);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? (int)n : -ENODATA;
		to += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* Takes what was written from the front of the parts. */
static void
skip_parts(struct iovec **parts, int *count, size_t written)
{
	while (*count > 0 && written >= (*parts)->iov_len) {
		written -= (*parts)->iov_len;
		(*parts)++;
		(*count)--;
	}
	if (*count > 0) {
		(*parts)->iov_base = (char *)(*parts)->iov_base + written;
		(*parts)->iov_len -= written;
	}
}

int
segment_io_write_all(
    const struct segment_io *io, int fd, struct iovec *parts, int count, uint64_t offset)
{
	skip_parts(&parts, &count, 0);
	while (count > 0) {
		ssize_t n = io->write(io->arg, fd, parts, count, offset);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		offset += (uint64_t)n;
		skip_parts(&parts, &count, (size_t)n);
	}
	return 0;
}
