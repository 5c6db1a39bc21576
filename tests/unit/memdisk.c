/* SPDX-License-Identifier: Apache-2.0 */
/* memdisk.c - a file system in memory that fails and forgets on demand. */
#include "tests/unit/memdisk.h"

#include <errno.h>
#include <fcntl.h>

static void
file_release(void *ptr)
{
	struct memdisk_file *file = ptr;

	if (!file || --file->references > 0)
		return;
	g_byte_array_unref(file->bytes);
	g_free(file);
}

static struct memdisk_file *
file_hold(struct memdisk_file *file)
{
	file->references++;
	return file;
}

static struct memdisk_file *
file_new(struct memdisk *disk)
{
	struct memdisk_file *file = g_new0(struct memdisk_file, 1);

	file->bytes = g_byte_array_new();
	file->number = disk->files++;
	file->references = 1;
	return file;
}

static void
event_clear(void *ptr)
{
	struct memdisk_event *event = ptr;

	g_free(event->name);
	g_free(event->to);
	if (event->bytes)
		g_byte_array_unref(event->bytes);
}

static void
record(struct memdisk *disk, struct memdisk_event event)
{
	if (!disk->trace)
		return;
	event.name = g_strdup(event.name);
	event.to = g_strdup(event.to);
	g_array_append_val(disk->trace, event);
}

/* Counts down; true when this call is to fail. */
static bool
fails(struct memdisk *disk, enum memdisk_fault what)
{
	int *count = &disk->faults[what];

	if (*count < 0)
		return false;
	if (*count > 0) {
		--*count;
		return false;
	}
	if (!disk->stay_broken)
		*count = -1;
	return true;
}

static int
mem_make_folder(void *arg, const char *path)
{
	return 0;
}

static int
mem_list(
    void *arg, const char *folder, void (*each)(void *each_arg, const char *name), void *each_arg)
{
	struct memdisk *disk = arg;
	size_t len = strlen(folder);
	GHashTableIter iter;
	gpointer key;

	pthread_mutex_lock(&disk->lock);
	g_hash_table_iter_init(&iter, disk->names);
	while (g_hash_table_iter_next(&iter, &key, NULL)) {
		const char *path = key;

		if (strncmp(path, folder, len) == 0 && path[len] == '/' &&
		    !strchr(path + len + 1, '/'))
			each(each_arg, path + len + 1);
	}
	pthread_mutex_unlock(&disk->lock);
	return 0;
}

static int
add_descriptor(struct memdisk *disk, struct memdisk_file *file)
{
	for (guint i = 0; i < disk->open->len; i++) {
		if (!disk->open->pdata[i]) {
			disk->open->pdata[i] = file_hold(file);
			return (int)i;
		}
	}
	g_ptr_array_add(disk->open, file_hold(file));
	return (int)disk->open->len - 1;
}

static int
mem_open(void *arg, const char *path, int flags)
{
	struct memdisk *disk = arg;
	struct memdisk_file *file;
	int fd = -ENOENT;

	pthread_mutex_lock(&disk->lock);
	file = g_hash_table_lookup(disk->names, path);
	if (file && flags & O_RDWR && !(flags & O_CREAT) && fails(disk, MEMDISK_FAIL_OPEN)) {
		fd = -disk->error;
		goto out;
	}
	if (file && flags & O_EXCL) {
		fd = -EEXIST;
		goto out;
	}
	if (!file && flags & O_CREAT) {
		file = file_new(disk);
		g_hash_table_insert(disk->names, g_strdup(path), file);
		record(disk, (struct memdisk_event){ .kind = MEMDISK_CREATE,
				 .name = (char *)(uintptr_t)path,
				 .file = file->number });
	}
	if (file)
		fd = add_descriptor(disk, file);
	if (file && flags & O_TRUNC)
		g_byte_array_set_size(file->bytes, 0);
out:
	pthread_mutex_unlock(&disk->lock);
	return fd;
}

static int
mem_lock(void *arg, const char *path, pid_t *ret_pid)
{
	*ret_pid = 0;
	return mem_open(arg, path, O_CREAT);
}

static void
mem_close(void *arg, int fd)
{
	struct memdisk *disk = arg;

	pthread_mutex_lock(&disk->lock);
	file_release(disk->open->pdata[fd]);
	disk->open->pdata[fd] = NULL;
	pthread_mutex_unlock(&disk->lock);
}

static struct memdisk_file *
file_of(struct memdisk *disk, int fd)
{
	return disk->open->pdata[fd];
}

static int
mem_size(void *arg, int fd, uint64_t *ret)
{
	struct memdisk *disk = arg;

	pthread_mutex_lock(&disk->lock);
	*ret = file_of(disk, fd)->bytes->len;
	pthread_mutex_unlock(&disk->lock);
	return 0;
}

static int
mem_modified(void *arg, int fd, int64_t *ret_us)
{
	*ret_us = 0;
	return 0;
}

static ssize_t
mem_read(void *arg, int fd, void *bytes, size_t len, uint64_t offset)
{
	struct memdisk *disk = arg;
	const GByteArray *from;
	ssize_t n = 0;

	pthread_mutex_lock(&disk->lock);
	from = file_of(disk, fd)->bytes;
	if (offset < from->len) {
		n = (ssize_t)MIN(len, from->len - offset);
		memcpy(bytes, from->data + offset, (size_t)n);
		disk->read_bytes += (uint64_t)n;
	}
	pthread_mutex_unlock(&disk->lock);
	return n;
}

static void
put_bytes(GByteArray *to, uint64_t offset, const void *bytes, size_t len)
{
	guint before = to->len;

	if (offset + len > before) {
		g_byte_array_set_size(to, (guint)(offset + len));
		memset(to->data + before, 0, to->len - before);
	}
	if (len > 0)
		memcpy(to->data + offset, bytes, len);
}

static ssize_t
mem_write(void *arg, int fd, const struct iovec *parts, int count, uint64_t offset)
{
	struct memdisk *disk = arg;
	GByteArray *all = g_byte_array_new();
	ssize_t n;

	for (int i = 0; i < count; i++)
		g_byte_array_append(all, parts[i].iov_base, (guint)parts[i].iov_len);
	pthread_mutex_lock(&disk->lock);
	if (disk->short_writes && all->len > 1)
		g_byte_array_set_size(all, all->len / 2);
	if (fails(disk, MEMDISK_FAIL_WRITE)) {
		n = -disk->error;
		g_byte_array_set_size(all, all->len / 2); /* some of it got there */
	} else {
		n = (ssize_t)all->len;
	}
	put_bytes(file_of(disk, fd)->bytes, offset, all->data, all->len);
	if (disk->trace)
		record(disk, (struct memdisk_event){ .kind = MEMDISK_WRITE,
				 .file = file_of(disk, fd)->number,
				 .offset = offset,
				 .bytes = g_byte_array_ref(all) });
	pthread_mutex_unlock(&disk->lock);
	g_byte_array_unref(all);
	return n;
}

static int
mem_sync(void *arg, int fd)
{
	struct memdisk *disk = arg;
	int r = 0;

	pthread_mutex_lock(&disk->lock);
	if (fails(disk, MEMDISK_FAIL_SYNC))
		r = -disk->error;
	else
		record(disk, (struct memdisk_event){
				 .kind = MEMDISK_SYNC, .file = file_of(disk, fd)->number });
	pthread_mutex_unlock(&disk->lock);
	return r;
}

static int
mem_allocate(void *arg, int fd, uint64_t size)
{
	struct memdisk *disk = arg;
	struct memdisk_file *file;
	int r = 0;

	pthread_mutex_lock(&disk->lock);
	file = file_of(disk, fd);
	if (fails(disk, MEMDISK_FAIL_ALLOCATE)) {
		r = -disk->error;
	} else {
		if (size > file->bytes->len)
			put_bytes(file->bytes, size, NULL, 0);
		record(disk, (struct memdisk_event){
				 .kind = MEMDISK_SIZE, .file = file->number, .offset = size });
	}
	pthread_mutex_unlock(&disk->lock);
	return r;
}

static int
rename_in(GHashTable *names, const char *from, const char *to)
{
	struct memdisk_file *file = g_hash_table_lookup(names, from);

	if (!file)
		return -ENOENT;
	g_hash_table_insert(names, g_strdup(to), file_hold(file));
	g_hash_table_remove(names, from);
	return 0;
}

static int
mem_rename(void *arg, const char *from, const char *to)
{
	struct memdisk *disk = arg;
	int r;

	pthread_mutex_lock(&disk->lock);
	r = rename_in(disk->names, from, to);
	record(disk, (struct memdisk_event){ .kind = MEMDISK_RENAME,
			 .name = (char *)(uintptr_t)from,
			 .to = (char *)(uintptr_t)to });
	pthread_mutex_unlock(&disk->lock);
	return r;
}

static int
mem_remove(void *arg, const char *path)
{
	struct memdisk *disk = arg;
	int r;

	pthread_mutex_lock(&disk->lock);
	r = g_hash_table_remove(disk->names, path) ? 0 : -ENOENT;
	record(disk,
	    (struct memdisk_event){ .kind = MEMDISK_REMOVE, .name = (char *)(uintptr_t)path });
	pthread_mutex_unlock(&disk->lock);
	return r;
}

static int
mem_sync_folder(void *arg, const char *path)
{
	struct memdisk *disk = arg;

	pthread_mutex_lock(&disk->lock);
	record(disk,
	    (struct memdisk_event){ .kind = MEMDISK_SYNC_FOLDER, .name = (char *)(uintptr_t)path });
	pthread_mutex_unlock(&disk->lock);
	return 0;
}

static int
mem_free_bytes(void *arg, const char *path, uint64_t *ret)
{
	struct memdisk *disk = arg;

	pthread_mutex_lock(&disk->lock);
	*ret = disk->free_bytes;
	pthread_mutex_unlock(&disk->lock);
	return 0;
}

struct memdisk *
memdisk_new(void)
{
	struct memdisk *disk = g_new0(struct memdisk, 1);

	disk->io = (struct segment_io){ disk, mem_make_folder, mem_list, mem_lock, mem_open,
		mem_close, mem_size, mem_modified, mem_read, mem_write, mem_sync, mem_allocate,
		mem_rename, mem_remove, mem_sync_folder, mem_free_bytes };
	disk->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, file_release);
	disk->open = g_ptr_array_new();
	disk->free_bytes = UINT64_MAX / 2;
	pthread_mutex_init(&disk->lock, NULL);
	memdisk_mend(disk);
	return disk;
}

void
memdisk_free(struct memdisk **ptr)
{
	struct memdisk *disk = *ptr;

	if (!disk)
		return;
	*ptr = NULL;
	for (guint i = 0; i < disk->open->len; i++)
		file_release(disk->open->pdata[i]);
	g_ptr_array_unref(disk->open);
	g_hash_table_unref(disk->names);
	if (disk->trace)
		g_array_unref(disk->trace);
	pthread_mutex_destroy(&disk->lock);
	g_free(disk);
}

void
memdisk_fail(struct memdisk *disk, enum memdisk_fault what, int after, int error)
{
	pthread_mutex_lock(&disk->lock);
	disk->faults[what] = after;
	disk->error = error;
	pthread_mutex_unlock(&disk->lock);
}

void
memdisk_break(struct memdisk *disk, enum memdisk_fault what, int after, int error)
{
	pthread_mutex_lock(&disk->lock);
	disk->stay_broken = true;
	pthread_mutex_unlock(&disk->lock);
	memdisk_fail(disk, what, after, error);
}

void
memdisk_mend(struct memdisk *disk)
{
	pthread_mutex_lock(&disk->lock);
	memset(disk->faults, -1, sizeof(disk->faults));
	disk->stay_broken = false;
	pthread_mutex_unlock(&disk->lock);
}

void
memdisk_trace(struct memdisk *disk)
{
	disk->trace = g_array_new(FALSE, TRUE, sizeof(struct memdisk_event));
	g_array_set_clear_func(disk->trace, event_clear);
}

void
memdisk_note(struct memdisk *disk, const char *name, int number)
{
	pthread_mutex_lock(&disk->lock);
	record(disk, (struct memdisk_event){
			 .kind = MEMDISK_NOTE, .name = (char *)(uintptr_t)name, .number = number });
	pthread_mutex_unlock(&disk->lock);
}

GByteArray *
memdisk_bytes(struct memdisk *disk, const char *path)
{
	struct memdisk_file *file = g_hash_table_lookup(disk->names, path);

	return file ? file->bytes : NULL;
}

void
memdisk_put(struct memdisk *disk, const char *path, const void *bytes, size_t len)
{
	struct memdisk_file *file = file_new(disk);

	g_byte_array_append(file->bytes, bytes, (guint)len);
	g_hash_table_insert(disk->names, g_strdup(path), file);
}

struct memdisk *
memdisk_copy(struct memdisk *disk)
{
	struct memdisk *copy = memdisk_new();
	GHashTableIter iter;
	gpointer key, value;

	g_hash_table_iter_init(&iter, disk->names);
	while (g_hash_table_iter_next(&iter, &key, &value)) {
		struct memdisk_file *file = value;

		memdisk_put(copy, key, file->bytes->data, file->bytes->len);
	}
	return copy;
}

guint
memdisk_count(struct memdisk *disk, const char *prefix)
{
	GHashTableIter iter;
	gpointer key;
	guint count = 0;

	g_hash_table_iter_init(&iter, disk->names);
	while (g_hash_table_iter_next(&iter, &key, NULL))
		count += g_str_has_prefix(key, prefix);
	return count;
}

/* ---- the power goes ---- */

/* For each event before the cut: did a later one make it durable? */
static bool *
find_durable(const struct memdisk *disk, guint cut)
{
	bool *durable = g_new0(bool, cut + 1), *synced = g_new0(bool, disk->files + 1);
	bool folder = false;

	for (guint i = cut; i-- > 0;) {
		const struct memdisk_event *event = &g_array_index(
		    disk->trace, struct memdisk_event, i);

		if (event->kind == MEMDISK_SYNC)
			synced[event->file] = true;
		else if (event->kind == MEMDISK_SYNC_FOLDER)
			folder = true;
		else if (event->kind == MEMDISK_WRITE || event->kind == MEMDISK_SIZE)
			durable[i] = synced[event->file];
		else
			durable[i] = folder;
	}
	g_free(synced);
	return durable;
}

static void
replay(struct memdisk *disk, GPtrArray *files, const struct memdisk_event *event, size_t most)
{
	struct memdisk_file *file;

	while (files->len <= event->file)
		g_ptr_array_add(files, file_new(disk));
	file = files->pdata[event->file];
	switch (event->kind) {
	case MEMDISK_CREATE:
		g_hash_table_insert(disk->names, g_strdup(event->name), file_hold(file));
		break;
	case MEMDISK_WRITE:
		put_bytes(
		    file->bytes, event->offset, event->bytes->data, MIN(most, event->bytes->len));
		break;
	case MEMDISK_SIZE:
		if (event->offset > file->bytes->len)
			put_bytes(file->bytes, event->offset, NULL, 0);
		break;
	case MEMDISK_RENAME:
		(void)rename_in(disk->names, event->name, event->to);
		break;
	case MEMDISK_REMOVE:
		g_hash_table_remove(disk->names, event->name);
		break;
	default:
		break;
	}
}

struct memdisk *
memdisk_cut(const struct memdisk *disk, guint cut, memdisk_keeps_fn *keeps, void *arg)
{
	struct memdisk *after = memdisk_new();
	GPtrArray *files = g_ptr_array_new_with_free_func(file_release);
	bool *durable = find_durable(disk, cut);

	for (guint i = 0; i < cut; i++) {
		size_t most = durable[i] ? SIZE_MAX : keeps(arg, i);

		if (most > 0)
			replay(after, files, &g_array_index(disk->trace, struct memdisk_event, i),
			    most);
	}
	g_free(durable);
	g_ptr_array_unref(files);
	return after;
}

static size_t
all_of_it(void *arg, guint event)
{
	return SIZE_MAX;
}

struct memdisk *
memdisk_kill(const struct memdisk *disk, guint cut)
{
	struct memdisk *after = memdisk_cut(disk, cut, all_of_it, NULL);

	memdisk_trace(after);
	for (guint i = 0; i < cut; i++) {
		struct memdisk_event event = g_array_index(disk->trace, struct memdisk_event, i);

		if (event.bytes)
			g_byte_array_ref(event.bytes);
		record(after, event);
	}
	return after;
}
