/* SPDX-License-Identifier: Apache-2.0 */
/* spool_kit.c - small helpers shared by the tests of the spool. */
#include "tests/unit/spool_kit.h"

static void
on_item(void *arg, struct item *item)
{
	struct kit *kit = arg;

	g_ptr_array_add(kit->items, item);
}

static void
on_damaged(void *arg, const char *aside, const char *what)
{
	struct kit *kit = arg;

	g_ptr_array_add(kit->asides, g_strdup(aside));
	g_ptr_array_add(kit->whats, g_strdup(what));
}

static void
free_item(void *item)
{
	struct item *ptr = item;

	item_free(&ptr);
}

struct keyring *
kit_keys(const char *text)
{
	struct keyring *keys = NULL;
	struct pn_error err;

	if (text)
		ck_assert_msg(keyring_parse(pn_slice_of(text), &keys, &err) == 0, "%s", err.text);
	return keys;
}

int
kit_open(struct kit *kit, const struct segment_io *io, const char *folder, uint64_t reserve)
{
	struct spool_settings settings = { .directory = folder,
		.segment_size = 64 * 1024,
		.reserve = reserve,
		.gather_us = 100,
		.io = io,
		.keys = kit_keys(kit->keys ? kit->keys : KIT_KEYS),
		.no_index = kit->no_index,
		.damaged = on_damaged,
		.arg = kit };
	struct spool_recovery recovery = { on_item, on_damaged, kit };
	int r;

	kit->items = g_ptr_array_new_with_free_func(free_item);
	kit->asides = g_ptr_array_new_with_free_func(g_free);
	kit->whats = g_ptr_array_new_with_free_func(g_free);
	r = spool_open(&settings, &recovery, &kit->spool, &kit->err);
	keyring_release(&settings.keys);
	return r;
}

void
kit_close(struct kit *kit)
{
	spool_close(&kit->spool);
	g_ptr_array_unref(kit->items);
	g_ptr_array_unref(kit->asides);
	g_ptr_array_unref(kit->whats);
	*kit = (struct kit){ 0 };
}

struct item *
kit_find(const struct kit *kit, const char *id)
{
	for (guint i = 0; i < kit->items->len; i++) {
		struct item *item = g_ptr_array_index(kit->items, i);

		if (strcmp(item->id, id) == 0)
			return item;
	}
	return NULL;
}

static char
body_byte(const char *id, size_t i)
{
	return (char)(id[i % 13] + i / 13 % 7);
}

struct item *
kit_item(size_t size, size_t recipients)
{
	struct item *item = item_new();

	item_id_new(item->id);
	item->accepted_us = 1700000000000000 + (int64_t)size;
	item->envelope.sender = item->envelope.original_sender = arena_text(
	    &item->arena, "alice@example.org");
	for (size_t i = 0; i < recipients; i++)
		mail_envelope_add(&item->envelope, &item->arena,
		    arena_printf(&item->arena, "r%zu@example.net", i));
	item_prepare(item);
	ck_assert_int_eq(mail_bytes_new(size, &item->bytes), 0);
	for (size_t i = 0; i < size; i++)
		item->bytes->data[i] = body_byte(item->id, i);
	item->bytes->len = item->size = size;
	return item;
}

void
kit_check_body(const struct item *item, const struct mail_bytes *bytes)
{
	size_t wrong = 0;

	ck_assert_uint_eq(bytes->len, item->size);
	for (size_t i = 0; i < bytes->len; i++)
		wrong += bytes->data[i] != body_byte(item->id, i);
	ck_assert_uint_eq(wrong, 0);
}

struct wait {
	struct spool_request request; /* first */
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool ready;
	int r;
};

static void
on_done(struct spool_request *request, int r)
{
	struct wait *wait = (struct wait *)request;

	pthread_mutex_lock(&wait->lock);
	wait->r = r;
	wait->ready = true;
	pthread_cond_signal(&wait->done);
	pthread_mutex_unlock(&wait->lock);
}

static int
ask(struct kit *kit, void (*what)(struct spool *spool, struct spool_request *request),
    struct item *item)
{
	struct wait wait = { .request = { .done = on_done, .item = item } };

	pthread_mutex_init(&wait.lock, NULL);
	pthread_cond_init(&wait.done, NULL);
	what(kit->spool, &wait.request);
	pthread_mutex_lock(&wait.lock);
	while (!wait.ready)
		pthread_cond_wait(&wait.done, &wait.lock);
	pthread_mutex_unlock(&wait.lock);
	pthread_mutex_destroy(&wait.lock);
	pthread_cond_destroy(&wait.done);
	return wait.r;
}

int
kit_append(struct kit *kit, struct item *item)
{
	return ask(kit, spool_append, item);
}

int
kit_sync(struct kit *kit)
{
	return ask(kit, spool_sync, NULL);
}

struct item *
kit_accept(struct kit *kit, size_t size, size_t recipients)
{
	struct item *item = kit_item(size, recipients);

	ck_assert_int_eq(kit_append(kit, item), 0);
	return item;
}

void
kit_check_read(struct kit *kit, const struct item *item)
{
	struct mail_bytes *bytes = NULL;

	ck_assert_int_eq(spool_read(kit->spool, item, &bytes), 0);
	kit_check_body(item, bytes);
	mail_bytes_release(&bytes);
}
