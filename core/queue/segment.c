/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment.c - headers of segment files; the format stands in record.h.
 *
 * Called by the committer when a segment is begun, and by recovery.
 */
#include <core/base/text.h>
#include <core/queue/field.h>
#include <core/queue/segment.h>
#include <errno.h>

#define MAGIC           "PNSPOOL\n"
#define SEGMENT_VERSION 1
#define CIPHER_NONE     0u
#define CIPHER_GCM      1u /* AES-256-GCM */
#define AT_WRAP         80

static void
write_front(const struct segment_header *header, bool encrypted, char ret[CIPHER_BOUND])
{
	memset(ret, 0, CIPHER_BOUND);
	memcpy(ret, MAGIC, 8);
	field_store16(ret + 8, SEGMENT_VERSION);
	field_store32(ret + 12, encrypted ? CIPHER_GCM : CIPHER_NONE);
	field_store64(ret + 16, header->number);
	field_store64(ret + 24, header->epoch);
}

int
segment_header_cipher(
    struct segment_header *header, const struct keyring *keys, struct cipher **ret)
{
	write_front(header, true, header->wrap.bound);
	return cipher_make(keys, &header->wrap, ret);
}

void
segment_header_write(const struct segment_header *header, char ret[SEGMENT_HEADER])
{
	memset(ret, 0, SEGMENT_HEADER);
	write_front(header, header->wrap.encrypted, ret);
	field_store64(ret + 32, header->size);
	field_store64(ret + 40, header->first_sequence);
	field_store64(ret + 48, (uint64_t)header->begun_us);
	field_store32(ret + 56, (uint32_t)header->records_at);
	memcpy(ret + 64, header->id_floor, ITEM_ID_SIZE);
	if (header->wrap.encrypted)
		memcpy(ret + AT_WRAP, header->wrap.bytes, CIPHER_WRAP);
	field_store32(ret + SEGMENT_HEADER - 4, text_crc32(0, ret, SEGMENT_HEADER - 4));
}

int
segment_header_read(const char bytes[SEGMENT_HEADER], struct segment_header *ret)
{
	if (memcmp(bytes, MAGIC, 8) != 0 ||
	    field_load32(bytes + SEGMENT_HEADER - 4) != text_crc32(0, bytes, SEGMENT_HEADER - 4))
		return -EBADMSG;
	if (field_load16(bytes + 8) > SEGMENT_VERSION || field_load16(bytes + 10) & 0xff00 ||
	    field_load32(bytes + 12) > CIPHER_GCM)
		return -EPROTONOSUPPORT;
	ret->number = field_load64(bytes + 16);
	ret->epoch = field_load64(bytes + 24);
	ret->size = field_load64(bytes + 32);
	ret->first_sequence = field_load64(bytes + 40);
	ret->begun_us = (int64_t)field_load64(bytes + 48);
	ret->records_at = field_load32(bytes + 56);
	memcpy(ret->id_floor, bytes + 64, ITEM_ID_SIZE);
	ret->id_floor[ITEM_ID_SIZE - 1] = '\0';
	ret->wrap.encrypted = field_load32(bytes + 12) == CIPHER_GCM;
	memcpy(ret->wrap.bound, bytes, CIPHER_BOUND);
	memcpy(ret->wrap.bytes, bytes + AT_WRAP, CIPHER_WRAP);
	if (ret->number == 0 || ret->number == UINT64_MAX || ret->size > INT64_MAX ||
	    ret->records_at > ret->size || ret->records_at % 16)
		return -EBADMSG;
	return 0;
}

int
segment_header_store(const struct segment_io *io, int fd, const struct segment_header *header)
{
	char bytes[SEGMENT_HEADER];
	struct iovec part;
	int r = 0;

	segment_header_write(header, bytes);
	for (uint64_t at = 0; r == 0 && at <= SEGMENT_COPY_AT; at += SEGMENT_COPY_AT) {
		part = (struct iovec){ bytes, sizeof(bytes) };
		r = segment_io_write_all(io, fd, &part, 1, at);
	}
	return r;
}

int
segment_header_load(const struct segment_io *io, int fd, struct segment_header *ret)
{
	struct segment_header header;
	char bytes[SEGMENT_HEADER];
	int r, result = -EBADMSG;

	for (uint64_t at = 0; at <= SEGMENT_COPY_AT; at += SEGMENT_COPY_AT) {
		if (segment_io_read_all(io, fd, bytes, sizeof(bytes), at) < 0)
			continue;
		r = segment_header_read(bytes, &header);
		if (r == -EPROTONOSUPPORT)
			return r;
		if (r == 0 && (result < 0 || header.number > ret->number)) {
			*ret = header;
			result = 0;
		}
	}
	return result;
}
