/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_io.h - what the spool asks of the file system, behind function pointers, so that tests
 * can fail a sync, fill the disk and cut the power.
 *
 * All return 0 (or a count) or a negative errno. Called from several threads.
 */
#ifndef CORE_QUEUE_SEGMENT_IO_H
#define CORE_QUEUE_SEGMENT_IO_H

#include <postern/base.h>
#include <sys/types.h>
#include <sys/uio.h>

struct segment_io {
	void *arg;
	int (*make_folder)(void *arg, const char *path); /* 0 also if it is there */
	/* Calls `each` for every name but . and .. */
	int (*list)(void *arg, const char *folder, void (*each)(void *each_arg, const char *name),
	    void *each_arg);
	/* The lock file's descriptor; -EBUSY with the holder in *ret_pid, 0 if that is unknown. */
	int (*lock)(void *arg, const char *path, pid_t *ret_pid);

	int (*open)(void *arg, const char *path, int flags); /* as open(2); mode 0600 */
	void (*close)(void *arg, int fd);
	int (*size)(void *arg, int fd, uint64_t *ret);
	int (*modified)(void *arg, int fd, int64_t *ret_us); /* wall time of the last write */
	/* Both as the system calls: fewer bytes than asked for are possible. */
	ssize_t (*read)(void *arg, int fd, void *bytes, size_t len, uint64_t offset);
	ssize_t (*write)(void *arg, int fd, const struct iovec *parts, int count, uint64_t offset);
	int (*sync)(void *arg, int fd);
	/* Reserves blocks and sets the size. */
	int (*allocate)(void *arg, int fd, uint64_t size);

	int (*rename)(void *arg, const char *from, const char *to);
	int (*remove)(void *arg, const char *path);
	int (*sync_folder)(void *arg, const char *path);
	int (*free_bytes)(void *arg, const char *path, uint64_t *ret);
};

/* The real one. */
extern const struct segment_io segment_io_system;

/* All of it or an error; -ENODATA where the file ends first. */
int segment_io_read_all(
    const struct segment_io *io, int fd, void *bytes, size_t len, uint64_t offset);
/* All of it or an error; changes `parts`. */
int segment_io_write_all(
    const struct segment_io *io, int fd, struct iovec *parts, int count, uint64_t offset);

#endif
