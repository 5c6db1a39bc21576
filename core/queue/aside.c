/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aside.c - keeps bytes that could not be read as a file of their own, for people to look at.
 *
 * Called by recovery and by spool_read(), which change no segment; and when a segment leaves of
 * which not all could be read.
 */
#include <core/queue/spool_core.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

/* What the disk does not give back is written as zeroes: the rest may still be of use. */
static int
copy_bytes(const struct segment_io *io, int from, uint64_t offset, uint64_t len, int to)
{
	char bytes[4096];
	uint64_t done = 0;
	int r = 0;

	while (r == 0 && done < len) {
		size_t size = len - done < sizeof(bytes) ? (size_t)(len - done) : sizeof(bytes);
		struct iovec part = { bytes, size };

		memset(bytes, 0, sizeof(bytes));
		(void)segment_io_read_all(io, from, bytes, size, offset + done);
		r = segment_io_write_all(io, to, &part, 1, done);
		done += size;
	}
	return r;
}

int
aside_keep(const struct spool *spool, int fd, uint64_t number, uint64_t offset, uint64_t len,
    char ret_path[SPOOL_PATH])
{
	const struct segment_io *io = spool->io;
	char folder[SPOOL_PATH];
	int to, r;

	snprintf(folder, sizeof(folder), "%s/corrupt", spool->directory);
	if (snprintf(ret_path, SPOOL_PATH, "%s/corrupt/%" PRIu64 "-%" PRIu64 ".record",
		spool->directory, number, offset) >= SPOOL_PATH)
		return -ENAMETOOLONG;
	r = io->make_folder(io->arg, folder);
	if (r < 0)
		return r;
	to = io->open(io->arg, ret_path, O_WRONLY | O_CREAT | O_EXCL);
	if (to < 0)
		return to == -EEXIST ? 0 : to;
	r = copy_bytes(io, fd, offset, len, to);
	if (r == 0)
		r = io->sync(io->arg, to);
	io->close(io->arg, to);
	if (r == 0)
		r = io->sync_folder(io->arg, folder);
	if (r < 0) {
		io->remove(io->arg, ret_path);
		return r;
	}
	return 1;
}

int
aside_move(const struct spool *spool, const struct segment *segment, const char *path)
{
	const struct segment_io *io = spool->io;
	char folder[SPOOL_PATH], to[SPOOL_PATH];
	int r;

	snprintf(folder, sizeof(folder), "%s/corrupt", spool->directory);
	if (snprintf(to, sizeof(to), "%s/corrupt/%" PRIu64 "-%016" PRIx64 ".seg", spool->directory,
		segment->number, segment->epoch) >= SPOOL_PATH)
		return -ENAMETOOLONG;
	r = io->make_folder(io->arg, folder);
	if (r == 0)
		r = io->rename(io->arg, path, to);
	return r == 0 ? io->sync_folder(io->arg, folder) : r;
}
