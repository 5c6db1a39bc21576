/* SPDX-License-Identifier: Apache-2.0 */
/*
 * live.c - the spool's index of unfinished messages.
 *
 * Called by the committer and by recovery; not locked. It keeps no text that is not needed: most
 * messages are finished before anything was said of them.
 */
#include <core/queue/live.h>
#include <glib.h>

#define ENTRY_COST 64u /* of a message in a STATE record, without its states */

void
live_init(struct live_index *index)
{
	*index = (struct live_index){ .table = g_hash_table_new(g_str_hash, g_str_equal) };
	pthread_mutex_init(&index->lock, NULL);
}

size_t
live_count(const struct live_index *index)
{
	return g_hash_table_size(index->table);
}

struct live *
live_find(const struct live_index *index, const char *id)
{
	return g_hash_table_lookup(index->table, id);
}

static void
link_to(struct live *live, struct segment *segment, uint64_t offset, uint64_t length)
{
	live->segment = segment;
	live->offset = offset;
	live->length = length;
	live->next = segment->live;
	live->link = &segment->live;
	if (live->next)
		live->next->link = &live->next;
	segment->live = live;
	segment->live_count++;
	segment->live_bytes += length;
}

static void
unlink_from(struct live *live)
{
	*live->link = live->next;
	if (live->next)
		live->next->link = live->link;
	live->segment->live_count--;
	live->segment->live_bytes -= live->length;
}

void
live_add(struct live_index *index, struct segment *segment, const char *id,
    const struct spool_place *place, size_t recipients)
{
	struct live *live;

	if (live_find(index, id))
		return;
	live = g_new0(struct live, 1);
	memcpy(live->id, id, ITEM_ID_SIZE);
	live->first = segment->number;
	live->recipients = (uint32_t)recipients;
	link_to(live, segment, place->offset, place->length);
	index->bytes += live->length;
	index->state_bytes += ENTRY_COST;
	pthread_mutex_lock(&index->lock);
	g_hash_table_insert(index->table, live->id, live);
	pthread_mutex_unlock(&index->lock);
}

void
live_move(struct live_index *index, struct live *live, struct segment *segment, uint64_t offset,
    uint64_t length)
{
	pthread_mutex_lock(&index->lock);
	unlink_from(live);
	index->bytes += length - live->length;
	link_to(live, segment, offset, length);
	pthread_mutex_unlock(&index->lock);
}

bool
live_place(struct live_index *index, const char *id, struct spool_place *ret)
{
	const struct live *live;

	pthread_mutex_lock(&index->lock);
	live = live_find(index, id);
	if (live)
		*ret = (struct spool_place){ live->segment->number, live->offset, live->length };
	pthread_mutex_unlock(&index->lock);
	return live != NULL;
}

static void
drop_state(struct live_index *index, struct pn_slice *state)
{
	index->state_bytes -= state->data ? FIELD_HEAD + state->len : 0;
	g_free((void *)(uintptr_t)state->data);
	*state = pn_slice(NULL, 0);
}

static void
keep_state(struct live_index *index, struct live *live, struct pn_slice value)
{
	struct pn_slice rest = value;
	struct field field;
	uint64_t number = 0;

	while (field_next(&rest, &field) > 0)
		if (field.type == RECORD_INDEX)
			(void)field_number(&field, &number);
	if (number >= live->recipients)
		return;
	if (!live->states)
		live->states = g_new0(struct pn_slice, live->recipients);
	drop_state(index, &live->states[number]);
	live->states[number] = pn_slice(g_memdup2(value.data, value.len), value.len);
	index->state_bytes += live->states[number].data ? FIELD_HEAD + value.len : 0;
}

void
live_apply(struct live_index *index, struct live *live, struct pn_slice head)
{
	struct field field;

	while (field_next(&head, &field) > 0) {
		if (field.type == RECORD_RECIPIENT_STATE)
			keep_state(index, live, field.value);
		else if (field.type == RECORD_EFFECTS_DONE)
			live->effects_done = true;
	}
}

void
live_take_over(struct live_index *index, const struct item *by)
{
	struct live *live = live_find(index, by->replaces);
	struct item_recipient recipient = { .state = ITEM_REPLANNED };
	struct buf buf = BUF_INIT(RECORD_HEAD_MOST);
	struct field_writer writer = { &buf, 0 };

	for (size_t i = 0; live && i < by->replaced_count; i++)
		record_put_state(&writer, by->replaced[i], &recipient);
	if (live)
		live_apply(index, live, buf_slice(&buf));
	buf_free(&buf);
}

void
live_remove(struct live_index *index, struct live *live)
{
	pthread_mutex_lock(&index->lock);
	g_hash_table_remove(index->table, live->id);
	pthread_mutex_unlock(&index->lock);
	index->bytes -= live->length;
	index->state_bytes -= ENTRY_COST;
	for (uint32_t i = 0; live->states && i < live->recipients; i++)
		drop_state(index, &live->states[i]);
	g_free(live->states);
	unlink_from(live);
	g_free(live);
}

void
live_clear(struct live_index *index)
{
	GHashTableIter iter;
	gpointer value;

	if (!index->table)
		return;
	for (;;) { /* removal ends an iteration */
		g_hash_table_iter_init(&iter, index->table);
		if (!g_hash_table_iter_next(&iter, NULL, &value))
			break;
		live_remove(index, value);
	}
	g_hash_table_unref(index->table);
	index->table = NULL;
	pthread_mutex_destroy(&index->lock);
}

static gboolean
move(gpointer key, gpointer value, gpointer arg)
{
	struct live_index *into = arg;
	struct live *live = value;

	return !live_find(into, live->id) && g_hash_table_insert(into->table, live->id, live);
}

void
live_merge(struct live_index *into, struct live_index *from)
{
	pthread_mutex_lock(&into->lock);
	g_hash_table_foreach_steal(from->table, move, into);
	pthread_mutex_unlock(&into->lock);
	live_clear(from); /* takes what is left off both counts */
	into->bytes += from->bytes;
	into->state_bytes += from->state_bytes;
}

void
live_put_states(const struct live *live, struct field_writer *writer)
{
	if (live->effects_done)
		field_put(writer, RECORD_EFFECTS_DONE, NULL, 0);
	for (uint32_t i = 0; live->states && i < live->recipients; i++)
		if (live->states[i].data)
			field_put(writer, RECORD_RECIPIENT_STATE, live->states[i].data,
			    live->states[i].len);
}

void
live_put(const struct live *live, struct field_writer *writer)
{
	size_t mark = field_begin(writer, RECORD_LIVE);

	record_put_id(writer, live->id);
	live_put_states(live, writer);
	field_end(writer, mark);
}
