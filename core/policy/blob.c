/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob.c - keeps what was compiled under the hash of what it was compiled from.
 *
 * Called around every `prepare`, and by checker and relay for the way between them. Must never give
 * one module's bytes to another, nor to another build of it.
 */
#include <core/config/overlay.h>
#include <core/policy/blob.h>
#include <core/policy/call.h>
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <stdlib.h>

#define NAME_MOST 64

struct blobs {
	uint32_t references; /* atomic */
	pthread_mutex_t lock;
	GHashTable *items; /* "key name" -> GBytes */
	size_t total;
};

struct blob_got {
	struct blob_got *next;
	GBytes *bytes;
};

struct blobs *
blobs_new(void)
{
	struct blobs *blobs = g_new0(struct blobs, 1);

	blobs->references = 1;
	pthread_mutex_init(&blobs->lock, NULL);
	blobs->items = g_hash_table_new_full(
	    g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
	return blobs;
}

struct blobs *
blobs_hold(struct blobs *blobs)
{
	__atomic_fetch_add(&blobs->references, 1, __ATOMIC_RELAXED);
	return blobs;
}

void
blobs_release(struct blobs **blobs)
{
	struct blobs *old = *blobs;

	*blobs = NULL;
	if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	g_hash_table_destroy(old->items);
	pthread_mutex_destroy(&old->lock);
	g_free(old);
}

static int
keep(struct blobs *blobs, const char *key, struct pn_slice bytes)
{
	int r = 0;

	pthread_mutex_lock(&blobs->lock);
	if (g_hash_table_contains(blobs->items, key)) {
		; /* of the same content: it is there */
	} else if (bytes.len > BLOBS_MOST - blobs->total) {
		r = -E2BIG;
	} else {
		blobs->total += bytes.len;
		g_hash_table_insert(
		    blobs->items, g_strdup(key), g_bytes_new(bytes.data, bytes.len));
	}
	pthread_mutex_unlock(&blobs->lock);
	return r;
}

/* ---- between processes ----------------------------------------------------------------------- */

struct head {
	uint32_t key, bytes;
};

int
blobs_write(struct blobs *blobs, struct buf *ret)
{
	GHashTableIter iter;
	gpointer key, value;
	int r = 0;

	pthread_mutex_lock(&blobs->lock);
	g_hash_table_iter_init(&iter, blobs->items);
	while (r == 0 && g_hash_table_iter_next(&iter, &key, &value)) {
		gsize len;
		const void *bytes = g_bytes_get_data(value, &len);
		struct head head = { (uint32_t)strlen(key), (uint32_t)len };

		r = buf_add(ret, &head, sizeof(head));
		if (r == 0)
			r = buf_add(ret, key, head.key);
		if (r == 0)
			r = buf_add(ret, bytes, len);
	}
	pthread_mutex_unlock(&blobs->lock);
	return r;
}

int
blobs_read(struct blobs *blobs, struct pn_slice bytes)
{
	char key[BLOB_KEY + NAME_MOST + 2];
	struct head head;

	while (bytes.len > 0) {
		if (bytes.len < sizeof(head))
			return -EBADMSG;
		memcpy(&head, bytes.data, sizeof(head));
		bytes = pn_slice(bytes.data + sizeof(head), bytes.len - sizeof(head));
		if (head.key >= sizeof(key) || head.key > bytes.len ||
		    head.bytes > bytes.len - head.key)
			return -EBADMSG;
		memcpy(key, bytes.data, head.key);
		key[head.key] = '\0';
		keep(blobs, key, pn_slice(bytes.data + head.key, head.bytes));
		bytes = pn_slice(
		    bytes.data + head.key + head.bytes, bytes.len - head.key - head.bytes);
	}
	return 0;
}

/* ---- what they are made from ----------------------------------------------------------------- */

static void
add_bytes(GChecksum *sum, const void *bytes, size_t len)
{
	uint64_t size = len; /* so that no two sequences of texts are the same bytes */

	g_checksum_update(sum, (const guchar *)&size, sizeof(size));
	if (len > 0)
		g_checksum_update(sum, bytes, (gssize)len);
}

/* With the file it stands in, since a path may count from there. */
static void
add_node(GChecksum *sum, const struct config_node *node)
{
	const struct config_followed *followed = node->followed;
	struct pn_slice secret = pn_secret_bytes(followed ? followed->secret : NULL);
	unsigned char kinds[2] = { (unsigned char)node->kind, (unsigned char)node->tag };

	add_bytes(sum, kinds, sizeof(kinds));
	if (node->kind == CONFIG_SCALAR) {
		add_bytes(sum, node->text, strlen(node->text));
		if (followed && followed->text)
			add_bytes(sum, followed->text, strlen(followed->text));
		add_bytes(sum, secret.data, secret.len);
		if (node->mark.file)
			add_bytes(sum, node->mark.file, strlen(node->mark.file));
	}
	add_bytes(sum, &node->count, sizeof(node->count));
	for (size_t i = 0; i < node->count; i++) {
		if (node->keys)
			add_bytes(sum, node->keys[i]->text, strlen(node->keys[i]->text));
		add_node(sum, node->items[i]);
	}
}

void
blob_access_begin(struct blob_access *access, struct blobs *blobs, const struct pn_module *module,
    const struct scopes *scopes, const struct scope_stack *stack)
{
	unsigned char id[BUILD_ID_MOST];
	size_t len = blobs ? build_id_of(module, id) : 0;
	const struct config_node *node;
	struct arena arena = { 0 };
	GChecksum *sum;

	*access = (struct blob_access){ 0 };
	if (len == 0)
		return;
	node = scopes_merge(scopes, stack, &arena);
	sum = g_checksum_new(G_CHECKSUM_SHA256);
	add_bytes(sum, id, len);
	add_bytes(sum, module->name, strlen(module->name));
	if (node)
		add_node(sum, node);
	access->blobs = blobs_hold(blobs);
	strcpy(access->key, g_checksum_get_string(sum));
	g_checksum_free(sum);
	arena_free(&arena);
}

void
blob_access_end(struct blob_access *access)
{
	struct blob_got *next;

	for (struct blob_got *got = access->got; got; got = next) {
		next = got->next;
		g_bytes_unref(got->bytes);
		g_free(got);
	}
	blobs_release(&access->blobs);
	*access = (struct blob_access){ 0 };
}

/* ---- the modules' side ----------------------------------------------------------------------- */

#define FULL_KEY (BLOB_KEY + NAME_MOST + 2)

static bool
full_key(const struct blob_access *access, const char *name, char ret[FULL_KEY])
{
	if (!call_name_valid(name, NAME_MOST))
		return false;
	g_snprintf(ret, FULL_KEY, "%s %s", access->key, name);
	return true;
}

bool
pn_blob_get(struct pn_check *check, const char *name, struct pn_slice *ret)
{
	struct blob_access *access = check->blobs;
	char key[FULL_KEY];
	struct blob_got *got;
	GBytes *bytes;
	gsize len;

	if (!access || !access->blobs || !full_key(access, name, key))
		return false;
	pthread_mutex_lock(&access->blobs->lock);
	bytes = g_hash_table_lookup(access->blobs->items, key);
	if (bytes)
		g_bytes_ref(bytes);
	pthread_mutex_unlock(&access->blobs->lock);
	if (!bytes)
		return false;
	got = g_new0(struct blob_got, 1);
	got->bytes = bytes;
	got->next = access->got;
	access->got = got;
	ret->data = g_bytes_get_data(bytes, &len);
	ret->len = len;
	return true;
}

int
pn_blob_put(struct pn_check *check, const char *name, struct pn_slice bytes)
{
	struct blob_access *access = check->blobs;
	char key[FULL_KEY];

	if (!access || !access->blobs)
		return 0; /* nobody would find it */
	return full_key(access, name, key) ? keep(access->blobs, key, bytes) : -EINVAL;
}
