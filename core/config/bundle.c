/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle.c - a source that remembers what was read through it, and one that reads what was
 * remembered.
 *
 * Called by the master (records, writes) and by the relay (reads). A bundle comes from another
 * process, so nothing in it is believed; it holds secrets, so nothing of it is left behind.
 *
 * Format: "PNB1", then per answer: kind ('F' file, 'L' list), u32 length of the path, the path,
 * u32 mode, u32 length of the data, the data. Numbers are little-endian. No path occurs twice.
 */
#include <core/config/source.h>
#include <errno.h>
#include <glib.h>
#include <limits.h>
#include <stdlib.h>

#define MAGIC     "PNB1"
#define MAGIC_LEN 4u
#define HEAD_LEN  13u /* kind and three numbers */

struct answer {
	char kind;
	const char *path;
	uint32_t mode;
	size_t len;
	char data[]; /* NUL behind, then the path */
};

struct memory {
	struct source source;
	struct source *from; /* borrowed; NULL for a bundle */
	GHashTable *files, *lists;
};

static void
answer_free(void *data)
{
	struct answer *answer = data;

	explicit_bzero(answer->data, answer->len);
	free(answer);
}

static struct answer *
answer_new(char kind, struct pn_slice path, uint32_t mode, struct pn_slice data)
{
	struct answer *answer = malloc(sizeof(*answer) + data.len + 1 + path.len + 1);
	char *copy;

	if (!answer)
		return NULL;
	*answer = (struct answer){ .kind = kind, .mode = mode, .len = data.len };
	if (data.len > 0)
		memcpy(answer->data, data.data, data.len);
	answer->data[data.len] = '\0';
	copy = answer->data + data.len + 1;
	memcpy(copy, path.data, path.len);
	copy[path.len] = '\0';
	answer->path = copy;
	return answer;
}

/* Takes the answer. -EEXIST where the path is known. */
static int
remember(struct memory *memory, struct answer *answer)
{
	GHashTable *table = answer->kind == 'F' ? memory->files : memory->lists;

	if (g_hash_table_contains(table, answer->path)) {
		answer_free(answer);
		return -EEXIST;
	}
	g_hash_table_insert(table, (void *)(uintptr_t)answer->path, answer);
	return 0;
}

static const struct answer *
ask_list(struct memory *memory, const char *folder, struct pn_error *err)
{
	struct buf names = BUF_INIT(SOURCE_FILE_MOST);
	struct answer *answer;

	if (!memory->from) {
		pn_error_set(err, -ENOENT, "cannot read the folder %s: not in the bundle", folder);
		return NULL;
	}
	if (memory->from->ops->list(memory->from, folder, &names, err) < 0) {
		buf_free(&names);
		return NULL;
	}
	answer = answer_new('L', pn_slice_of(folder), 0, buf_slice(&names));
	buf_free(&names);
	if (answer)
		remember(memory, answer);
	else
		pn_error_set(err, -ENOMEM, "out of memory");
	return answer;
}

static int
memory_list(struct source *source, const char *folder, struct buf *ret, struct pn_error *err)
{
	struct memory *memory = (struct memory *)source;
	struct pn_error why = { 0 };
	const struct answer *answer = g_hash_table_lookup(memory->lists, folder);

	if (!answer)
		answer = ask_list(memory, folder, &why);
	if (!answer)
		return pn_error_set(err, why.code, "%s", why.text);
	return buf_add(ret, answer->data, answer->len);
}

static const struct answer *
ask_file(struct memory *memory, const char *path, struct pn_error *err)
{
	struct source_file file = { 0 };
	struct answer *answer;

	if (!memory->from) {
		pn_error_set(err, -ENOENT, "cannot read %s: not in the bundle", path);
		return NULL;
	}
	if (memory->from->ops->read(memory->from, path, &file, err) < 0)
		return NULL;
	answer = answer_new('F', pn_slice_of(path), file.mode, pn_slice(file.data, file.len));
	explicit_bzero(file.data, file.len);
	free(file.data);
	if (answer)
		remember(memory, answer);
	else
		pn_error_set(err, -ENOMEM, "out of memory");
	return answer;
}

static int
memory_read(struct source *source, const char *path, struct source_file *ret, struct pn_error *err)
{
	struct memory *memory = (struct memory *)source;
	struct pn_error why = { 0 };
	const struct answer *answer = g_hash_table_lookup(memory->files, path);
	char *data;

	if (!answer)
		answer = ask_file(memory, path, &why);
	if (!answer)
		return pn_error_set(err, why.code, "%s", why.text);
	data = malloc(answer->len + 1);
	if (!data)
		return pn_error_set(err, -ENOMEM, "out of memory");
	memcpy(data, answer->data, answer->len + 1);
	*ret = (struct source_file){ data, answer->len, answer->mode };
	return 0;
}

static void
memory_free(struct source *source)
{
	struct memory *memory = (struct memory *)source;

	g_hash_table_destroy(memory->files);
	g_hash_table_destroy(memory->lists);
	free(memory);
}

static struct memory *
memory_new(struct source *from)
{
	static const struct source_ops ops = { memory_list, memory_read, memory_free };
	struct memory *memory = malloc(sizeof(*memory));

	if (!memory)
		return NULL;
	*memory = (struct memory){
		.source.ops = &ops,
		.from = from,
		.files = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, answer_free),
		.lists = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, answer_free),
	};
	return memory;
}

int
source_recording(struct source *from, struct source **ret)
{
	struct memory *memory = memory_new(from);

	if (!memory)
		return -ENOMEM;
	*ret = &memory->source;
	return 0;
}

static void
put_number(char *to, size_t number)
{
	for (int i = 0; i < 4; i++)
		to[i] = (char)(number >> (8 * i));
}

/* The buffer has room: source_bundle_write() reserved it. */
static void
put(struct buf *buf, const void *bytes, size_t len)
{
	memcpy(buf->data + buf->len, bytes, len);
	buf->len += len;
}

static void
put_answer(struct buf *buf, const struct answer *answer)
{
	size_t path_len = strlen(answer->path);
	char number[4];

	put(buf, &answer->kind, 1);
	put_number(number, path_len);
	put(buf, number, sizeof(number));
	put(buf, answer->path, path_len);
	put_number(number, answer->mode);
	put(buf, number, sizeof(number));
	put_number(number, answer->len);
	put(buf, number, sizeof(number));
	put(buf, answer->data, answer->len);
}

static size_t
table_size(GHashTable *table)
{
	size_t size = 0;
	GHashTableIter iter;
	void *value;

	g_hash_table_iter_init(&iter, table);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const struct answer *answer = value;

		size += HEAD_LEN + strlen(answer->path) + answer->len;
	}
	return size;
}

static void
put_table(struct buf *buf, GHashTable *table)
{
	GHashTableIter iter;
	void *value;

	g_hash_table_iter_init(&iter, table);
	while (g_hash_table_iter_next(&iter, NULL, &value))
		put_answer(buf, value);
}

int
source_bundle_write(struct source *recording, struct buf *ret)
{
	struct memory *memory = (struct memory *)recording;
	/* All at once: a buffer that grows leaves copies of secrets behind. */
	int r = buf_reserve(ret, MAGIC_LEN + table_size(memory->lists) + table_size(memory->files));

	if (r < 0)
		return r;
	put(ret, MAGIC, MAGIC_LEN);
	put_table(ret, memory->lists);
	put_table(ret, memory->files);
	return 0;
}

void
source_recorded(struct source *recording, void (*each)(void *arg, const char *path), void *arg)
{
	struct memory *memory = (struct memory *)recording;
	GHashTableIter iter;
	gpointer path;

	g_hash_table_iter_init(&iter, memory->files);
	while (g_hash_table_iter_next(&iter, &path, NULL))
		each(arg, path);
}

static bool
take(struct pn_slice *from, size_t len, struct pn_slice *ret)
{
	if (from->len < len)
		return false;
	*ret = pn_slice(from->data, len);
	from->data += len;
	from->len -= len;
	return true;
}

static bool
take_number(struct pn_slice *from, uint32_t most, uint32_t *ret)
{
	struct pn_slice bytes;

	if (!take(from, 4, &bytes))
		return false;
	*ret = 0;
	for (int i = 0; i < 4; i++)
		*ret |= (uint32_t)(unsigned char)bytes.data[i] << (8 * i);
	return *ret <= most;
}

static bool
take_counted(struct pn_slice *from, uint32_t most, struct pn_slice *ret)
{
	uint32_t len;

	return take_number(from, most, &len) && take(from, len, ret);
}

/* One answer off the front. -EBADMSG where it is none. */
static int
read_answer(struct memory *memory, struct pn_slice *rest)
{
	struct pn_slice kind, path, data;
	struct answer *answer;
	uint32_t mode;

	if (!take(rest, 1, &kind) || !take_counted(rest, PATH_MAX, &path) ||
	    !take_number(rest, UINT32_MAX, &mode) || !take_counted(rest, SOURCE_FILE_MOST, &data))
		return -EBADMSG;
	if ((*kind.data != 'F' && *kind.data != 'L') || path.len == 0 ||
	    memchr(path.data, '\0', path.len))
		return -EBADMSG;
	if (*kind.data == 'L' && data.len > 0 && data.data[data.len - 1] != '\0')
		return -EBADMSG;
	answer = answer_new(*kind.data, path, mode, data);
	if (!answer)
		return -ENOMEM;
	return remember(memory, answer) < 0 ? -EBADMSG : 0;
}

int
source_bundle(struct pn_slice bundle, struct source **ret, struct pn_error *err)
{
	struct memory *memory;
	struct pn_slice magic;
	int r = 0;

	if (!take(&bundle, MAGIC_LEN, &magic) || memcmp(magic.data, MAGIC, MAGIC_LEN) != 0)
		return pn_error_set(err, -EBADMSG, "not a bundle of configuration files");
	memory = memory_new(NULL);
	if (!memory)
		return pn_error_set(err, -ENOMEM, "out of memory");
	while (r == 0 && bundle.len > 0)
		r = read_answer(memory, &bundle);
	if (r < 0) {
		memory_free(&memory->source);
		return pn_error_set(err, r, "the bundle of configuration files is damaged");
	}
	*ret = &memory->source;
	return 0;
}
