/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool_copy.c - copies segments while the committer of another process writes.
 *
 * Why nothing is lost: a message only ever moves to a segment with a greater number, that record is
 * on the disk before the file of the old one is used again, and segments are copied in the order of
 * their numbers. Whoever has moved is still ahead of us, or in a segment that was begun later: so
 * where a file had been used again before it was copied, those are looked for as well. Then the
 * last one of the list, which is still written, is copied with those that follow it or not at all:
 * what went to its end meanwhile would be missing beside STATE records that count on it. The end of
 * the last segment may be torn, as after a crash.
 */
#include <core/queue/segment.h>
#include <core/queue/spool_copy.h>
#include <core/queue/spool_core.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#define BLOCK ((size_t)256 * 1024)

/* A header may be seen while it is written over another one. */
#define TRIES    5
#define RETRY_US 20000

struct found {
	uint64_t number;
	char *path;
};

static void
free_found(gpointer data)
{
	struct found *found = data;

	g_free(found->path);
	g_free(found);
}

static gint
compare(gconstpointer a, gconstpointer b)
{
	const struct found *first = *(const struct found *const *)a;
	const struct found *second = *(const struct found *const *)b;

	return first->number < second->number ? -1 : first->number > second->number;
}

static int
number_of(int fd, uint64_t *ret)
{
	struct segment_header header;
	int r = -EBADMSG;

	for (int i = 0; i < TRIES && r < 0 && r != -EPROTONOSUPPORT; i++) {
		if (i > 0)
			g_usleep(RETRY_US);
		r = segment_header_load(&segment_io_system, fd, &header);
	}
	*ret = r == 0 ? header.number : 0;
	return r;
}

static int
take_number(int fd, struct found *one, struct pn_error *err)
{
	int r = number_of(fd, &one->number);

	if (r == -EPROTONOSUPPORT)
		return pn_error_set(err, r, "%s: from a newer version of Postern", one->path);
	if (r < 0)
		return pn_error_set(err, r,
		    "%s: the segment's header cannot be read, and the relay leaves it alone; move "
		    "the file to another folder first",
		    one->path);
	return 0;
}

/* Those with greater numbers than `after`, by number. */
static int
list(const char *directory, uint64_t after, GPtrArray **ret, struct pn_error *err)
{
	GDir *dir = g_dir_open(directory, 0, NULL);
	GPtrArray *all = g_ptr_array_new_with_free_func(free_found);
	const char *name;
	int r = dir ? 0 : pn_error_set(err, -ENOENT, "%s: the spool cannot be read", directory);

	while (r == 0 && (name = g_dir_read_name(dir))) {
		struct found one = { 0, NULL };
		int fd;

		if (!g_str_has_suffix(name, ".seg"))
			continue;
		one.path = g_strdup_printf("%s/%s", directory, name);
		fd = open(one.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0)
			r = take_number(fd, &one, err);
		else if (errno != ENOENT)
			r = pn_error_set(err, -errno, "%s: %s", one.path, g_strerror(errno));
		if (fd >= 0)
			close(fd);
		if (one.number > after)
			g_ptr_array_add(all, g_memdup2(&one, sizeof(one)));
		else
			g_free(one.path);
	}
	if (dir)
		g_dir_close(dir);
	g_ptr_array_sort(all, compare);
	*ret = all;
	return r;
}

/* What stands in a small file of the spool; "" where it is not there. */
static void
read_text(const char *directory, const char *name, char ret[32])
{
	char *path = g_strdup_printf("%s/%s", directory, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd >= 0 ? pread(fd, ret, 31, 0) : 0;

	ret[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
	g_free(path);
}

static bool
is_held(const char *directory, const char *name)
{
	char *path = g_strdup_printf("%s/%s", directory, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;

	if (fd >= 0)
		close(fd);
	g_free(path);
	return held;
}

/*
 * While one process takes over from another both write, each its own segments, so the last one of
 * the list is not the only one that grows: what is copied would not be of one moment. Locks are
 * tried only where the files say so, since a relay that starts must not meet ours.
 */
static int
refuse_two(const char *directory, struct pn_error *err)
{
	char first[32], next[32];

	read_text(directory, SPOOL_LOCK, first);
	read_text(directory, SPOOL_LOCK_NEXT, next);
	if (strcmp(first, next) == 0 || !is_held(directory, SPOOL_LOCK) ||
	    !is_held(directory, SPOOL_LOCK_NEXT))
		return 0;
	return pn_error_set(err, -EBUSY,
	    "%s: an upgrade is under way, and process %ld writes mail here as well as process %ld; "
	    "try again when the first one has ended",
	    directory, strtol(first, NULL, 10), strtol(next, NULL, 10));
}

static int
copy_bytes(int from, int to, char *block)
{
	uint64_t at = 0;

	for (;;) {
		ssize_t n = pread(from, block, BLOCK, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		for (ssize_t done = 0; done < n;) {
			ssize_t put = pwrite(to, block + done, (size_t)(n - done), (off_t)at);

			if (put < 0 && errno != EINTR)
				return -errno;
			if (put > 0) {
				done += put;
				at += (uint64_t)put;
			}
		}
	}
}

/* 1: `scratch` is that segment; 0: its file is another one's meanwhile, or gone. */
static int
copy_one(const struct found *found, const char *scratch, char *block, struct pn_error *err)
{
	int from = open(found->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), to, r = 0;
	uint64_t number;

	if (from < 0)
		return errno == ENOENT
			   ? 0
			   : pn_error_set(err, -errno, "%s: %s", found->path, g_strerror(errno));
	to = open(scratch, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = to < 0 ? -errno : copy_bytes(from, to, block);
	if (r < 0)
		pn_error_set(err, r, "%s, copied to %s: %s", found->path, scratch, g_strerror(-r));
	if (to >= 0)
		close(to);
	if (r == 0)
		r = number_of(from, &number) == 0 && number == found->number;
	close(from);
	return r;
}

static int
copy_all(const char *directory, const char *scratch,
    int (*each)(void *arg, uint64_t number, struct pn_error *err), void *arg, struct pn_error *err)
{
	char *block = g_malloc(BLOCK);
	uint64_t last = 0;
	bool again = true;
	int r = 0;

	while (r == 0 && again) {
		GPtrArray *all;

		again = false;
		r = list(directory, last, &all, err);
		for (guint i = 0; r == 0 && i < all->len; i++) {
			const struct found *found = g_ptr_array_index(all, i);

			if (again && i + 1 == all->len)
				break;
			r = copy_one(found, scratch, block, err);
			again |= r == 0;
			if (r == 1)
				r = each(arg, found->number, err);
			last = found->number;
		}
		g_ptr_array_unref(all);
	}
	g_free(block);
	return r;
}

int
spool_copy(const char *directory, const char *scratch,
    int (*each)(void *arg, uint64_t number, struct pn_error *err), void *arg, struct pn_error *err)
{
	char before[32], after[32];
	int r = refuse_two(directory, err);

	read_text(directory, SPOOL_WRITER, before);
	if (r == 0)
		r = copy_all(directory, scratch, each, arg, err);
	if (r == 0)
		r = refuse_two(directory, err);
	/* One that began and ended meanwhile. */
	read_text(directory, SPOOL_WRITER, after);
	if (r == 0 && strcmp(before, after) != 0)
		r = pn_error_set(err, -EBUSY,
		    "%s: another relay began to write here while the mail was copied; try again",
		    directory);
	return r;
}

int
spool_copy_has_any(const char *directory, struct pn_error *err)
{
	GPtrArray *all;
	int r = access(directory, F_OK);

	if (r < 0)
		return errno == ENOENT
			   ? 0
			   : pn_error_set(err, -errno, "%s: %s", directory, g_strerror(errno));
	r = list(directory, 0, &all, err);
	if (r == 0)
		r = all->len > 0;
	g_ptr_array_unref(all);
	return r;
}

static int
check_key(const char *path, const struct keyring *keys, struct pn_error *err)
{
	struct segment_header header;
	struct cipher *cipher = NULL;
	char name[KEYRING_NAME + 1];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), r;

	if (fd < 0)
		return pn_error_set(err, -errno, "%s: %s", path, g_strerror(errno));
	r = segment_header_load(&segment_io_system, fd, &header);
	close(fd);
	if (r < 0 || !header.wrap.encrypted)
		return r < 0 ? pn_error_set(err, r, "%s: no segment", path) : 0;
	cipher_key_name(&header.wrap, name);
	r = keys ? cipher_open(keys, &header.wrap, &cipher) : -ENOKEY;
	cipher_free(&cipher);
	return r == 0 ? 1
		      : pn_error_set(err, -ENOKEY,
			    "the mail is encrypted with key \"%s\", which is not the one in "
			    "relay.spool.encrypt_with, or not there",
			    name);
}

int
spool_copy_check_keys(const char *directory, const struct keyring *keys, struct pn_error *err)
{
	GPtrArray *all;
	int count = 0, r = list(directory, 0, &all, err);

	for (guint i = 0; r >= 0 && i < all->len; i++) {
		r = check_key(((struct found *)g_ptr_array_index(all, i))->path, keys, err);
		count += r == 1;
	}
	g_ptr_array_unref(all);
	return r < 0 ? r : count;
}
