/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool.c - fuzz target: recovery of the spool from whatever a segment may hold.
 *
 * The first byte chooses: 0 the input is the file; 1 it is the heads of records, wrapped so that
 * every CRC is right; 2 it is changes to a valid segment; 3 it is an index at the segment's end,
 * under right CRCs as well. What comes back is read, marked and finished, and the spool opened
 * again, which must then be empty.
 */
#include "tests/unit/memdisk.h"

#include <core/base/text.h>
#include <core/queue/record.h>
#include <core/queue/segment_index.h>
#include <core/queue/spool.h>
#include <errno.h>
#include <stdlib.h>

#define FOLDER "spool"
#define FILE_1 FOLDER "/00000001.seg"
#define SIZE   (12u * 1024) /* little to search through is fast */
#define EPOCH  0x1122334455667788u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
put_header(char *image)
{
	struct segment_header header = {
		.number = 1, .epoch = EPOCH, .size = SIZE, .first_sequence = 1, .records_at = 8192
	};

	segment_header_write(&header, image);
	segment_header_write(&header, image + SEGMENT_COPY_AT);
}

/* At `at`, if there is room; returns where the next one goes. */
static size_t
put_record(char *image, size_t at, uint8_t type, uint16_t flags, struct pn_slice head,
    struct pn_slice body)
{
	struct record_header header = { .type = type,
		.flags = flags,
		.header_len = RECORD_HEADER,
		.head_len = (uint32_t)head.len,
		.head_crc = text_crc32(0, head.data, head.len),
		.body_len = body.len,
		.body_crc = text_crc32(0, body.data, body.len),
		.epoch = EPOCH,
		.sequence = at };
	size_t len = (size_t)record_length(&header);

	if (len > SIZE - at)
		return at;
	record_header_write(&header, image + at);
	memcpy(image + at + RECORD_HEADER, head.data, head.len);
	memcpy(image + at + RECORD_HEADER + head.len, body.data, body.len);
	return at + len;
}

#define BODY "Subject: x\r\n\r\ny\r\n"

/*
 * A message of two recipients, so that marks in the input have something to be about. The second
 * message takes over from the first.
 */
static size_t
put_message(char *image, size_t at, const char *id, const char *replaces)
{
	static const uint32_t indices[] = { 1, 0 };
	struct mail_rendering renderings[] = { { .len = 10 }, { .offset = 5, .len = 12 } };
	struct item *item = item_new();
	struct buf head = BUF_INIT(4096);
	struct field_writer writer = { &head, 0 };

	memcpy(item->id, id, 14);
	item->envelope.sender = item->envelope.original_sender = "a@example.org";
	mail_envelope_add(&item->envelope, &item->arena, "b@example.net");
	mail_envelope_add(&item->envelope, &item->arena, "c@example.net");
	item_prepare(item);
	item->recipients[0].plan = (struct mail_plan){ .method = "tls", .next = "a" };
	item->recipients[1].plan.rendering = 1;
	item->renderings = renderings;
	item->rendering_count = 2;
	if (replaces) {
		memcpy(item->replaces, replaces, 14);
		item->replaced = indices;
		item->replaced_count = 2;
	}
	record_put_item(&writer, item);
	at = put_record(image, at, RECORD_MESSAGE, 0, buf_slice(&head), pn_slice_of(BODY));
	buf_free(&head);
	item_free(&item);
	return at;
}

/* Records as: type, flags (2), length of the head (2), head. */
static void
put_records(char *image, size_t at, const uint8_t *data, size_t size)
{
	while (size >= 5) {
		size_t len = (size_t)(data[3] | data[4] << 8);

		if (len > size - 5)
			len = size - 5;
		at = put_record(image, at, data[0], (uint16_t)(data[1] | data[2] << 8),
		    pn_slice(data + 5, len), pn_slice_of("body"));
		data += 5 + len;
		size -= 5 + len;
	}
}

/* Changes as: offset (2), value. */
static void
change(char *image, const uint8_t *data, size_t size)
{
	for (; size >= 3; data += 3, size -= 3)
		image[(data[0] | data[1] << 8) % SIZE] ^= (char)data[2];
}

/* Entries as: type, flags (2), length of the body (2), length of the head (2), head. */
static uint64_t
put_entries(struct buf *index, const uint8_t *data, size_t size)
{
	uint64_t length = 0;

	while (size >= 7) {
		size_t len = (size_t)(data[5] | data[6] << 8);
		struct record_header header = { .type = data[0],
			.flags = (uint16_t)(data[1] | data[2] << 8),
			.header_len = RECORD_HEADER,
			.body_len = (uint64_t)(data[3] | data[4] << 8),
			.epoch = EPOCH };
		char bytes[RECORD_HEADER];

		len = len > size - 7 ? size - 7 : len;
		header.head_len = (uint32_t)len;
		record_header_write(&header, bytes);
		if (segment_index_add(index, bytes, pn_slice(data + 7, len)) < 0)
			break;
		length += record_length(&header);
		data += 7 + len;
		size -= 7 + len;
	}
	return length;
}

/* Of the records that are there, up to `end`. */
static void
put_own_entries(struct buf *index, const char *image, size_t end)
{
	struct record_header header;

	for (size_t at = 8192; at < end; at += (size_t)record_length(&header))
		if (record_header_read(pn_slice(image + at, SIZE - at), EPOCH, &header) < 0 ||
		    segment_index_add(index, image + at,
			pn_slice(image + at + RECORD_HEADER, header.head_len)) < 0)
			abort();
}

/*
 * The first byte: bit 0: behind the messages that are there, whose records end at `at`; bit 1: the
 * input is the index itself and not its entries; bit 2: the next two bytes are where the trailer
 * says it is.
 */
static void
put_index(char *image, size_t at, const uint8_t *data, size_t size)
{
	struct buf index = BUF_INIT(SIZE);
	uint64_t said;

	if (size < 4)
		return;
	said = (uint64_t)(data[1] | data[2] << 8);
	if (data[0] & 1)
		put_own_entries(&index, image, at);
	else
		at = 8192;
	if (!(data[0] & 2))
		at += (size_t)put_entries(&index, data + 3, size - 3);
	else if (buf_add(&index, data + 3, size - 3) < 0)
		at = SIZE;
	if (at < SIZE && index.len > 0)
		(void)put_record(
		    image, at, RECORD_CHECKPOINT, 0, pn_slice("", 0), buf_slice(&index));
	segment_index_trailer(EPOCH, data[0] & 4 ? said : at, image + SIZE - SEGMENT_INDEX_TRAILER);
	buf_free(&index);
}

static void
put_input(struct memdisk *disk, const uint8_t *data, size_t size)
{
	static char image[SIZE];
	size_t at = 8192;

	if (size == 0 || data[0] % 4 == 0) {
		memdisk_put(disk, FILE_1, data + (size > 0), size - (size > 0));
		return;
	}
	memset(image, 0, sizeof(image));
	put_header(image);
	at = put_message(image, at, "0F3K9Z0000001", NULL);
	at = put_message(image, at, "0F3K9Z0000002", "0F3K9Z0000001");
	if (data[0] % 4 == 1)
		put_records(image, at, data + 1, size - 1);
	else if (data[0] % 4 == 3)
		put_index(image, at, data + 1, size - 1);
	else
		change(image, data + 1, size - 1);
	memdisk_put(disk, FILE_1, image, sizeof(image));
}

static void
on_item(void *arg, struct item *item)
{
	g_ptr_array_add(arg, item);
}

/* `unchecked`: an index may have said what is not so; else recovery had looked at it. */
static void
use(struct spool *spool, struct item *item, bool unchecked)
{
	struct mail_bytes *bytes = NULL;
	uint32_t index = 0;
	int r = spool_read(spool, item, &bytes);

	if (r < 0 && !(unchecked && r == -EBADMSG))
		abort();
	mail_bytes_release(&bytes);
	if (item->envelope.count > 0)
		spool_mark(spool, item, &index, 1);
	spool_mark_effects(spool, item);
	spool_finish(spool, item);
	item_free(&item);
}

static int
open_once(struct memdisk *disk, guint *ret_items)
{
	struct spool_settings settings = {
		.directory = FOLDER, .segment_size = SEGMENT_LEAST, .io = &disk->io
	};
	GPtrArray *items = g_ptr_array_new();
	struct spool_recovery recovery = { .item = on_item, .arg = items };
	struct spool_figures figures;
	struct spool *spool;
	struct pn_error err;
	int r;

	r = spool_open(&settings, &recovery, &spool, &err);
	*ret_items = items->len;
	if (r == 0) {
		spool_figures(spool, &figures);
		for (guint i = 0; i < items->len; i++)
			use(spool, g_ptr_array_index(items, i), figures.indexed > 0);
		spool_close(&spool);
	}
	g_ptr_array_unref(items);
	return r;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct memdisk *disk = memdisk_new();
	guint items;
	int r;

	put_input(disk, data, size);
	r = open_once(disk, &items);
	if (r == 0 && (open_once(disk, &items) < 0 || items > 0))
		abort();
	memdisk_free(&disk);
	return 0;
}
