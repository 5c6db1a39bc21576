/* SPDX-License-Identifier: Apache-2.0 */
/*
 * item_pack.c - an item that waits, in as little memory as it needs.
 *
 * Called by the queue before an item waits for long. It becomes what a restart would make of it:
 * its own record, written and read. Must never change what a courier or a hook is looking at.
 */
#include <core/queue/record.h>

void
item_pack(struct item **item)
{
	struct buf head = BUF_INIT(RECORD_HEAD_MOST);
	struct field_writer writer = { &head, 0 };
	struct item *old = *item, *packed = NULL;

	record_put_item(&writer, old);
	if (writer.r == 0 && record_get_item(buf_slice(&head), old->size, &packed) == 0) {
		packed->bytes = old->bytes;
		old->bytes = NULL;
		packed->place = old->place;
		packed->effects_done = old->effects_done;
		packed->unfinished = old->unfinished;
		packed->queue = old->queue;
		*item = packed;
		item_free(&old);
	}
	buf_free(&head);
}
