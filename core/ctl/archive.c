/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive.c - backups as tar files, by libarchive.
 *
 * Called by command_backup.c and command_restore.c. Must never leave half a file under the name it
 * was asked for, write anything before it is checked, or write to a name that an archive chose.
 */
#include <archive.h>
#include <archive_entry.h>
#include <core/ctl/archive.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK         ((size_t)256 * 1024)
#define MANIFEST_MOST ((size_t)16 * 1024 * 1024)
#define MIB           (1024.0 * 1024.0)

/* ---- writing --------------------------------------------------------------------------------- */

struct archive_writer {
	struct archive *tar;
	char *path, *unfinished;
	int fd;
	json_t *files;
	char *block;
};

static int
fail(struct archive *archive, const char *path, struct pn_error *err)
{
	int code = archive_errno(archive);

	return pn_error_set(err, code > 0 ? -code : -EIO, "%s: %s", path,
	    archive_error_string(archive) ? archive_error_string(archive) : "cannot be written");
}

static int
open_unfinished(struct archive_writer *writer, struct pn_error *err)
{
	if (access(writer->path, F_OK) == 0)
		return pn_error_set(err, -EEXIST, "%s: there is such a file already", writer->path);
	writer->fd = g_mkstemp_full(writer->unfinished, O_WRONLY | O_CLOEXEC, 0600);
	if (writer->fd >= 0)
		return 0;
	g_clear_pointer(&writer->unfinished, g_free);
	return pn_error_set(err, -errno, "%s: %s", writer->path, g_strerror(errno));
}

int
archive_create(const char *path, struct archive_writer **ret, struct pn_error *err)
{
	struct archive_writer *writer = g_new0(struct archive_writer, 1);
	int r;

	writer->path = g_strdup(path);
	writer->unfinished = g_strdup_printf("%s.XXXXXX", path);
	writer->files = json_object();
	writer->block = g_malloc(BLOCK);
	writer->fd = -1;
	r = open_unfinished(writer, err);
	writer->tar = archive_write_new();
	if (r == 0 && !writer->tar)
		r = pn_error_set(err, -ENOMEM, "out of memory");
	if (r == 0 && (archive_write_set_format_pax_restricted(writer->tar) != ARCHIVE_OK ||
			  (g_str_has_suffix(path, ".gz") &&
			      archive_write_add_filter_gzip(writer->tar) != ARCHIVE_OK) ||
			  (g_str_has_suffix(path, ".zst") &&
			      archive_write_add_filter_zstd(writer->tar) != ARCHIVE_OK) ||
			  archive_write_open_fd(writer->tar, writer->fd) != ARCHIVE_OK))
		r = fail(writer->tar, path, err);
	if (r < 0)
		archive_close(&writer);
	*ret = writer;
	return r;
}

static int
write_header(
    struct archive_writer *writer, const char *name, const struct stat *st, struct pn_error *err)
{
	struct archive_entry *entry = archive_entry_new();
	int code;

	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, st->st_mode & 07777);
	archive_entry_set_size(entry, st->st_size);
	archive_entry_set_mtime(entry, st->st_mtim.tv_sec, 0);
	code = archive_write_header(writer->tar, entry);
	archive_entry_free(entry);
	return code == ARCHIVE_OK ? 0 : fail(writer->tar, writer->path, err);
}

static int
write_data(struct archive_writer *writer, const void *data, size_t len, struct pn_error *err)
{
	while (len > 0) {
		la_ssize_t n = archive_write_data(writer->tar, data, len);

		if (n <= 0)
			return fail(writer->tar, writer->path, err);
		data = (const char *)data + n;
		len -= (size_t)n;
	}
	return 0;
}

/* Exactly the length that the header says: a file may grow meanwhile, and must not shrink. */
static int
copy_in(struct archive_writer *writer, int fd, const char *name, off_t size, GChecksum *sum,
    struct progress *progress, struct pn_error *err)
{
	off_t done = 0;
	int r = 0;

	while (r == 0 && done < size) {
		ssize_t n = read(fd, writer->block, (size_t)MIN((off_t)BLOCK, size - done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return pn_error_set(err, n < 0 ? -errno : -EIO, "%s: %s", name,
			    n < 0 ? g_strerror(errno) : "it became shorter while it was read");
		g_checksum_update(sum, (guchar *)writer->block, n);
		r = write_data(writer, writer->block, (size_t)n, err);
		done += n;
		if (progress && progress_is_due(progress))
			progress_say(progress, "%s: %.1f of %.1f MiB", name, (double)done / MIB,
			    (double)size / MIB);
	}
	return r;
}

static int
add(struct archive_writer *writer, const char *name, int fd, struct progress *progress,
    struct pn_error *err)
{
	GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
	struct stat st;
	int r = 0;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		r = pn_error_set(err, -EINVAL, "%s: not a regular file", name);
	if (r == 0)
		r = write_header(writer, name, &st, err);
	if (r == 0)
		r = copy_in(writer, fd, name, st.st_size, sum, progress, err);
	if (r == 0)
		json_object_set_new(writer->files, name,
		    json_pack("{s:I, s:s}", "size", (json_int_t)st.st_size, "sha256",
			g_checksum_get_string(sum)));
	g_checksum_free(sum);
	return r;
}

int
archive_add(struct archive_writer *writer, const char *name, const char *path,
    struct progress *progress, struct pn_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), r;

	if (fd < 0)
		return pn_error_set(err, -errno, "%s: %s", path, g_strerror(errno));
	r = add(writer, name, fd, progress, err);
	close(fd);
	return r;
}

static int
write_manifest(struct archive_writer *writer, json_t *facts, struct pn_error *err)
{
	struct stat st = { .st_mode = 0600, .st_mtim.tv_sec = time(NULL) };
	char *text;
	int r;

	json_object_set_new(facts, "format", json_integer(ARCHIVE_FORMAT));
	json_object_set(facts, "files", writer->files);
	text = json_dumps(facts, JSON_INDENT(2) | JSON_SORT_KEYS);
	if (!text)
		return pn_error_set(err, -ENOMEM, "out of memory");
	st.st_size = (off_t)strlen(text);
	r = write_header(writer, ARCHIVE_MANIFEST, &st, err);
	if (r == 0)
		r = write_data(writer, text, (size_t)st.st_size, err);
	free(text);
	return r;
}

static int
sync_folder(const char *path, struct pn_error *err)
{
	char *folder = g_path_get_dirname(path);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (fd < 0 || fsync(fd) < 0)
		r = pn_error_set(err, -errno, "%s: %s", folder, g_strerror(errno));
	if (fd >= 0)
		close(fd);
	g_free(folder);
	return r;
}

int
archive_commit(struct archive_writer *writer, json_t *facts, struct pn_error *err)
{
	int r = write_manifest(writer, facts, err);

	json_decref(facts);
	if (r == 0 && archive_write_close(writer->tar) != ARCHIVE_OK)
		r = fail(writer->tar, writer->path, err);
	/* link, not rename: nothing that came there meanwhile is replaced */
	if (r == 0 && (fsync(writer->fd) < 0 || link(writer->unfinished, writer->path) < 0))
		r = pn_error_set(err, -errno, "%s: %s", writer->path, g_strerror(errno));
	return r == 0 ? sync_folder(writer->path, err) : r;
}

void
archive_close(struct archive_writer **writer_at)
{
	struct archive_writer *writer = *writer_at;

	*writer_at = NULL;
	if (!writer)
		return;
	archive_write_free(writer->tar);
	if (writer->fd >= 0)
		close(writer->fd);
	if (writer->unfinished)
		unlink(writer->unfinished);
	g_free(writer->path);
	g_free(writer->unfinished);
	g_free(writer->block);
	json_decref(writer->files);
	g_free(writer);
}

/* ---- reading --------------------------------------------------------------------------------- */

struct reading {
	const char *path;
	struct progress *progress;
	struct archive *tar;
	struct archive_entry *entry;
	char *block;
	GString *text; /* of the manifest; NULL: it has not come */
	json_t *seen;  /* name -> size and checksum, as they are */
	uint64_t done;
};

static int
broken(const struct reading *reading, const char *name, const char *what, struct pn_error *err)
{
	return pn_error_set(err, -EBADMSG, "%s: %s%s%s; nothing was changed", reading->path,
	    name ? name : "", name ? ": " : "", what);
}

static int
reading_open(
    struct reading *reading, const char *path, struct progress *progress, struct pn_error *err)
{
	*reading = (struct reading){ .path = path, .progress = progress };
	reading->tar = archive_read_new();
	if (!reading->tar)
		return pn_error_set(err, -ENOMEM, "out of memory");
	reading->block = g_malloc(BLOCK);
	reading->seen = json_object();
	archive_read_support_format_tar(reading->tar);
	archive_read_support_filter_gzip(reading->tar);
	archive_read_support_filter_zstd(reading->tar);
	if (archive_read_open_filename(reading->tar, path, BLOCK) == ARCHIVE_OK)
		return 0;
	return pn_error_set(err,
	    archive_errno(reading->tar) > 0 ? -archive_errno(reading->tar) : -EIO,
	    "%s: no backup: %s", path, archive_error_string(reading->tar));
}

static void
reading_close(struct reading *reading)
{
	archive_read_free(reading->tar);
	g_free(reading->block);
	if (reading->text)
		g_string_free(reading->text, TRUE);
	json_decref(reading->seen);
}

/* 1: `entry` is the next one; 0: that was all. */
static int
next_member(struct reading *reading, struct pn_error *err)
{
	int code = archive_read_next_header(reading->tar, &reading->entry);

	if (code == ARCHIVE_EOF)
		return 0;
	if (code != ARCHIVE_OK)
		return broken(reading, NULL, archive_error_string(reading->tar), err);
	if (!archive_entry_pathname(reading->entry) ||
	    archive_entry_filetype(reading->entry) != AE_IFREG)
		return broken(reading, archive_entry_pathname(reading->entry),
		    "not a regular file, which is all that a backup has", err);
	return 1;
}

static int
write_out(int fd, const char *data, size_t len, const char *to, struct pn_error *err)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return pn_error_set(err, -errno, "%s: %s", to, g_strerror(errno));
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
keep_text(struct reading *reading, const char *name, size_t len, struct pn_error *err)
{
	if (reading->text->len + len > MANIFEST_MOST)
		return broken(reading, name, "too long", err);
	g_string_append_len(reading->text, reading->block, (gssize)len);
	return 0;
}

/* The bytes of the member, noted in `seen`; also to `fd` if that is one. */
static int
read_member(struct reading *reading, const char *name, int fd, const char *to, struct pn_error *err)
{
	GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
	bool manifest = strcmp(name, ARCHIVE_MANIFEST) == 0;
	int64_t size = 0;
	la_ssize_t n = 0;
	int r = 0;

	while (r == 0 && (n = archive_read_data(reading->tar, reading->block, BLOCK)) > 0) {
		size += n;
		reading->done += (uint64_t)n;
		g_checksum_update(sum, (guchar *)reading->block, n);
		if (manifest)
			r = keep_text(reading, name, (size_t)n, err);
		if (r == 0 && fd >= 0)
			r = write_out(fd, reading->block, (size_t)n, to, err);
		if (reading->progress && progress_is_due(reading->progress))
			progress_say(
			    reading->progress, "%.1f MiB read", (double)reading->done / MIB);
	}
	if (r == 0 && n < 0)
		r = broken(reading, name, archive_error_string(reading->tar), err);
	if (r == 0 && !manifest)
		json_object_set_new(reading->seen, name,
		    json_pack("{s:I, s:s}", "size", (json_int_t)size, "sha256",
			g_checksum_get_string(sum)));
	g_checksum_free(sum);
	return r;
}

static int
read_all(struct reading *reading, struct pn_error *err)
{
	int r;

	while ((r = next_member(reading, err)) == 1) {
		const char *name = archive_entry_pathname(reading->entry);

		if (reading->text)
			return broken(reading, name, "stands behind " ARCHIVE_MANIFEST, err);
		if (json_object_get(reading->seen, name))
			return broken(reading, name, "is in it twice", err);
		if (strcmp(name, ARCHIVE_MANIFEST) == 0)
			reading->text = g_string_new(NULL);
		r = read_member(reading, name, -1, NULL, err);
		if (r < 0)
			return r;
	}
	return r;
}

/* Both ways: what it names is there, and what is there it names. */
static int
compare(const struct reading *reading, const json_t *manifest, struct pn_error *err)
{
	json_t *files = json_object_get(manifest, "files"), *value;
	const char *name;

	json_object_foreach(files, name, value)
	{
		const json_t *seen = json_object_get(reading->seen, name);

		if (!seen)
			return broken(reading, name, "is missing", err);
		if (!json_equal(seen, value))
			return broken(reading, name,
			    "is not what was backed up: its SHA-256 or size is another", err);
	}
	json_object_foreach(reading->seen, name, value)
	{
		if (!json_object_get(files, name))
			return broken(reading, name, "is not in " ARCHIVE_MANIFEST, err);
	}
	return 0;
}

static int
take_manifest(const struct reading *reading, json_t **ret, struct pn_error *err)
{
	json_int_t format;

	if (!reading->text)
		return broken(reading, NULL,
		    "it has no " ARCHIVE_MANIFEST " at its end: no backup, or cut off", err);
	*ret = json_loadb(reading->text->str, reading->text->len, JSON_REJECT_DUPLICATES, NULL);
	format = json_integer_value(json_object_get(*ret, "format"));
	if (format > ARCHIVE_FORMAT)
		return pn_error_set(err, -EPROTONOSUPPORT,
		    "%s: of format %lld, from a newer version of Postern; this one knows %d",
		    reading->path, (long long)format, ARCHIVE_FORMAT);
	if (format < 1 || !json_is_object(json_object_get(*ret, "files")))
		return broken(reading, ARCHIVE_MANIFEST, "makes no sense", err);
	return compare(reading, *ret, err);
}

int
archive_check(
    const char *path, struct progress *progress, json_t **ret_manifest, struct pn_error *err)
{
	struct reading reading;
	int r = reading_open(&reading, path, progress, err);

	*ret_manifest = NULL;
	if (r == 0)
		r = read_all(&reading, err);
	if (r == 0)
		r = take_manifest(&reading, ret_manifest, err);
	if (r < 0) {
		json_decref(*ret_manifest);
		*ret_manifest = NULL;
	}
	reading_close(&reading);
	return r;
}

static int
extract_here(struct reading *reading, const json_t *manifest, const char *name, const char *to,
    struct pn_error *err)
{
	int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600), r;

	if (fd < 0)
		return pn_error_set(err, -errno, "%s: %s", to, g_strerror(errno));
	r = read_member(reading, name, fd, to, err);
	if (r == 0 && !json_equal(json_object_get(reading->seen, name),
			  json_object_get(json_object_get(manifest, "files"), name)))
		r = broken(reading, name, "was changed while it was restored", err);
	if (r == 0 && fsync(fd) < 0)
		r = pn_error_set(err, -errno, "%s: %s", to, g_strerror(errno));
	close(fd);
	if (r < 0)
		unlink(to);
	return r;
}

static bool
is_wanted(const char *name, const char *wanted)
{
	size_t len = strlen(wanted);

	return wanted[len - 1] == '/' ? strncmp(name, wanted, len) == 0 : strcmp(name, wanted) == 0;
}

/* Names below the one that was asked for are the archive's: one step, and no way out of `to`. */
static int
extract_below(struct reading *reading, const json_t *manifest, const char *name, const char *wanted,
    const char *to, struct pn_error *err)
{
	const char *base = name + strlen(wanted);
	char *file;
	int r;

	if (wanted[strlen(wanted) - 1] != '/')
		return extract_here(reading, manifest, name, to, err);
	if (!*base || *base == '.' || strchr(base, '/'))
		return broken(reading, name, "no name that a backup has", err);
	file = g_strdup_printf("%s/%s", to, base);
	r = extract_here(reading, manifest, name, file, err);
	g_free(file);
	return r;
}

int
archive_extract(const char *path, const json_t *manifest, const char *name, const char *to,
    struct progress *progress, struct pn_error *err)
{
	struct reading reading;
	int r = reading_open(&reading, path, progress, err), more = 0, count = 0;

	while (r == 0 && (more = next_member(&reading, err)) == 1) {
		const char *member = archive_entry_pathname(reading.entry);

		if (!is_wanted(member, name))
			continue;
		r = extract_below(&reading, manifest, member, name, to, err);
		count++;
	}
	if (r == 0)
		r = more;
	if (r == 0 && count == 0)
		r = broken(&reading, name, "is missing", err);
	reading_close(&reading);
	return r < 0 ? r : count;
}
