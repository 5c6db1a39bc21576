/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spool_cipher.c - fuzz target: key files, and encrypted segments that somebody has changed.
 *
 * The first byte chooses: 0 the input is a key file; 1 it is the heads of records, encrypted so
 * that every tag is right; 2 it is changes to a valid segment; 3 the same, with all CRCs made right
 * again. What comes back is read and finished, and the spool opened again, which must then be
 * empty. Without the key nothing may come back.
 */
#include "tests/unit/memdisk.h"

#include <core/base/text.h>
#include <core/queue/segment.h>
#include <core/queue/spool.h>
#include <stdlib.h>

#define FOLDER "spool"
#define FILE_1 FOLDER "/00000001.seg"
#define SIZE   (12u * 1024)
#define EPOCH  0x1122334455667788u
#define KEY    "one 00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef\n"
#define OTHER  "two ffeeddccbbaa99887766554433221100fedcba9876543210fedcba9876543210\n"
#define BODY   "Subject: x\r\n\r\ny\r\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct keyring *
parse(const char *text)
{
	struct keyring *keys = NULL;
	struct pn_error err;

	if (keyring_parse(pn_slice_of(text), &keys, &err) < 0)
		abort();
	return keys;
}

static struct cipher *
put_header(char *image, struct keyring *keys)
{
	struct segment_header header = {
		.number = 1, .epoch = EPOCH, .size = SIZE, .first_sequence = 1, .records_at = 8192
	};
	struct cipher *cipher = NULL;

	if (segment_header_cipher(&header, keys, &cipher) < 0)
		abort();
	segment_header_write(&header, image);
	segment_header_write(&header, image + SEGMENT_COPY_AT);
	return cipher;
}

static uint32_t
put_part(struct cipher *cipher, const struct record_header *header, enum cipher_part part,
    struct pn_slice clear, char *to)
{
	if (cipher_begin(cipher, header, part) < 0 || cipher_add(cipher, clear, to) < 0 ||
	    cipher_end(cipher, to + clear.len) < 0)
		abort();
	return text_crc32(0, to, clear.len + CIPHER_TAG);
}

/* At `at`, if there is room; returns where the next one goes. */
static size_t
put_record(char *image, size_t at, struct cipher *cipher, uint8_t type, uint16_t flags,
    struct pn_slice head, struct pn_slice body)
{
	struct record_header header = { .type = type,
		.flags = flags,
		.header_len = RECORD_HEADER,
		.head_len = (uint32_t)head.len,
		.body_len = body.len,
		.epoch = EPOCH,
		.sequence = at };
	char *to = image + at;
	size_t len;

	cipher_lengths(&header);
	len = (size_t)record_length(&header);
	if (len > SIZE - at)
		return at;
	to += RECORD_HEADER;
	header.head_crc = put_part(cipher, &header, CIPHER_HEAD, head, to);
	if (body.len > 0)
		header.body_crc = put_part(
		    cipher, &header, CIPHER_BODY, body, to + header.head_len);
	record_header_write(&header, image + at);
	return at + len;
}

static size_t
put_message(char *image, size_t at, struct cipher *cipher, const char *id)
{
	struct item *item = item_new();
	struct buf head = BUF_INIT(4096);
	struct field_writer writer = { &head, 0 };

	memcpy(item->id, id, 14);
	item->envelope.sender = item->envelope.original_sender = "a@example.org";
	mail_envelope_add(&item->envelope, &item->arena, "b@example.net");
	item_prepare(item);
	record_put_item(&writer, item);
	at = put_record(image, at, cipher, RECORD_MESSAGE, 0, buf_slice(&head), pn_slice_of(BODY));
	buf_free(&head);
	item_free(&item);
	return at;
}

/* Records as: type, flags (2), length of the head (2), head. */
static void
put_records(char *image, size_t at, struct cipher *cipher, const uint8_t *data, size_t size)
{
	while (size >= 5) {
		size_t len = (size_t)(data[3] | data[4] << 8);

		if (len > size - 5)
			len = size - 5;
		at = put_record(image, at, cipher, data[0], (uint16_t)(data[1] | data[2] << 8),
		    pn_slice(data + 5, len), pn_slice_of("body"));
		data += 5 + len;
		size -= 5 + len;
	}
}

/* The CRCs of one record, as far as its lengths make sense; its length. */
static size_t
mend_record(char *record, size_t room)
{
	size_t head = field_load32(record + 32), body = (size_t)field_load64(record + 24);

	if (head > room - RECORD_HEADER || body > room - RECORD_HEADER - head)
		return room;
	field_store32(record + 36, text_crc32(0, record + RECORD_HEADER, head));
	field_store32(record + 40, text_crc32(0, record + RECORD_HEADER + head, body));
	field_store32(record + 44, text_crc32(0, record, 44));
	return (RECORD_HEADER + head + body + 15) & ~(size_t)15;
}

static void
mend(char *image)
{
	size_t at = 8192;

	for (size_t copy = 0; copy <= SEGMENT_COPY_AT; copy += SEGMENT_COPY_AT)
		field_store32(image + copy + SEGMENT_HEADER - 4,
		    text_crc32(0, image + copy, SEGMENT_HEADER - 4));
	while (at + RECORD_HEADER <= SIZE && field_load32(image + at) == RECORD_MAGIC)
		at += mend_record(image + at, SIZE - at);
}

/* Changes as: offset (2), value. */
static void
change(char *image, const uint8_t *data, size_t size)
{
	for (; size >= 3; data += 3, size -= 3)
		image[(data[0] | data[1] << 8) % SIZE] ^= (char)data[2];
}

static void
put_input(struct memdisk *disk, struct keyring *keys, int way, const uint8_t *data, size_t size)
{
	static char image[SIZE];
	struct cipher *cipher;
	size_t at = 8192;

	memset(image, 0, sizeof(image));
	cipher = put_header(image, keys);
	at = put_message(image, at, cipher, "0F3K9Z0000001");
	at = put_message(image, at, cipher, "0F3K9Z0000002");
	if (way == 1)
		put_records(image, at, cipher, data, size);
	else
		change(image, data, size);
	if (way == 3)
		mend(image);
	cipher_free(&cipher);
	memdisk_put(disk, FILE_1, image, sizeof(image));
}

static void
on_item(void *arg, struct item *item)
{
	g_ptr_array_add(arg, item);
}

/* What is read is what was there, or nothing: tags see to that. */
static void
use(struct spool *spool, struct item *item)
{
	struct mail_bytes *bytes = NULL;

	if (spool_read(spool, item, &bytes) == 0 &&
	    !pn_slice_equals(pn_slice(bytes->data, bytes->len), pn_slice_of(BODY)) &&
	    !pn_slice_equals(pn_slice(bytes->data, bytes->len), pn_slice_of("body")))
		abort();
	mail_bytes_release(&bytes);
	spool_finish(spool, item);
	item_free(&item);
}

static int
open_once(struct memdisk *disk, struct keyring *keys, guint *ret_items)
{
	struct spool_settings settings = {
		.directory = FOLDER, .segment_size = SEGMENT_LEAST, .io = &disk->io, .keys = keys
	};
	GPtrArray *items = g_ptr_array_new();
	struct spool_recovery recovery = { .item = on_item, .arg = items };
	struct spool *spool;
	struct pn_error err;
	int r;

	r = spool_open(&settings, &recovery, &spool, &err);
	*ret_items = items->len;
	for (guint i = 0; r == 0 && i < items->len; i++)
		use(spool, g_ptr_array_index(items, i));
	if (r == 0)
		spool_close(&spool);
	g_ptr_array_unref(items);
	return r;
}

static void
try_segment(int way, const uint8_t *data, size_t size)
{
	struct keyring *keys = parse(KEY), *other = parse(OTHER);
	struct memdisk *disk = memdisk_new();
	guint items;
	int r;

	put_input(disk, keys, way, data, size);
	/* Changes of a header may make of it a segment in clear. */
	if (open_once(disk, other, &items) == 0 && items > 0 && way == 1)
		abort();
	r = open_once(disk, keys, &items);
	if (r == 0 && (open_once(disk, keys, &items) < 0 || items > 0))
		abort();
	memdisk_free(&disk);
	keyring_release(&keys);
	keyring_release(&other);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct keyring *keys = NULL;
	struct pn_error err;
	int way = size > 0 ? data[0] % 4 : 0;

	if (way > 0) {
		try_segment(way, data + 1, size - 1);
		return 0;
	}
	if (keyring_parse(pn_slice(data + (size > 0), size - (size > 0)), &keys, &err) == 0 &&
	    keyring_count(keys) == 0)
		abort();
	keyring_release(&keys);
	return 0;
}
