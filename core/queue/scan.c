/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.c - walks through the records of one segment file.
 *
 * Called by recovery. A length is believed only under a header CRC of this segment's epoch, which
 * nobody who sends mail can know. Where a header is damaged the next valid one is searched; where
 * none follows, the log ends. Never stops at damage, never reads past the file. What the disk does
 * not give is asked for again, a few times in each segment: an error may pass.
 */
#include <core/base/text.h>
#include <core/queue/scan.h>
#include <errno.h>
#include <glib.h>

#define WINDOW   (256u * 1024)
#define PAGE     4096u

#define RETRIES  8u /* in one segment */
#define RETRY_US 50000

struct scan {
	const struct segment_io *io;
	int fd;
	uint64_t epoch, size;
	const struct scan_handler *handler;
	struct cipher *cipher;
	struct buf opened; /* a head */
	char *window;
	size_t capacity, len;
	uint64_t at; /* of the window */
	unsigned retries;
	bool unreadable; /* a header or a head */
};

static bool
load(struct scan *scan, uint64_t offset, size_t len)
{
	scan->at = offset;
	scan->len = 0;
	if (len > scan->capacity) {
		scan->window = g_realloc(scan->window, len);
		scan->capacity = len;
	}
	if (segment_io_read_all(scan->io, scan->fd, scan->window, len, offset) < 0)
		return false;
	scan->len = len;
	return true;
}

static bool
load_patiently(struct scan *scan, uint64_t offset, size_t len)
{
	while (!load(scan, offset, len)) {
		if (scan->retries == RETRIES)
			return false;
		scan->retries++;
		g_usleep(RETRY_US);
	}
	return true;
}

/* Bytes of the file, valid until the next call; NULL where they cannot be read. */
static const char *
bytes_at(struct scan *scan, uint64_t offset, size_t len)
{
	uint64_t ahead;

	if (offset > scan->size || len > scan->size - offset)
		return NULL;
	if (offset < scan->at || offset + len > scan->at + scan->len) {
		ahead = scan->size - offset < WINDOW ? scan->size - offset : WINDOW;
		if (ahead < len)
			ahead = len;
		/* A bad block further on is no reason to lose these bytes. */
		if (!load(scan, offset, (size_t)ahead) && !load_patiently(scan, offset, len))
			return NULL;
	}
	return scan->window + (offset - scan->at);
}

static int
header_at(struct scan *scan, uint64_t offset, struct record_header *ret)
{
	const char *bytes = bytes_at(scan, offset, RECORD_HEADER);
	size_t len = RECORD_HEADER;
	int r;

	if (!bytes)
		return -EIO;
	r = record_header_read(pn_slice(bytes, len), scan->epoch, ret);
	if (r == 0 || field_load32(bytes) != RECORD_MAGIC)
		return r;
	/* Perhaps a longer one than ours. */
	len = scan->size - offset < RECORD_HEADER_MOST ? (size_t)(scan->size - offset)
						       : RECORD_HEADER_MOST;
	bytes = bytes_at(scan, offset, len);
	return bytes ? record_header_read(pn_slice(bytes, len), scan->epoch, ret) : -EIO;
}

/* Where a header may begin at or behind `offset`; stops at what is not in the window yet. */
static uint64_t
skip_to_magic(const struct scan *scan, uint64_t offset)
{
	const uint64_t end = scan->at + scan->len;

	if (offset < scan->at)
		return offset;
	while (offset + RECORD_HEADER <= end &&
	       field_load32(scan->window + (offset - scan->at)) != RECORD_MAGIC)
		offset += RECORD_ALIGN;
	return offset;
}

/* The next valid header at or behind `offset`, or the end of the file. */
static uint64_t
find_header(struct scan *scan, uint64_t offset)
{
	struct record_header header;
	int r;

	while (offset + RECORD_HEADER <= scan->size) {
		r = header_at(scan, offset, &header);
		if (r == 0)
			return offset;
		scan->unreadable |= r == -EIO;
		if (r == -EIO) /* go on behind the bad block */
			offset = (offset & ~(uint64_t)(PAGE - 1)) + PAGE;
		else
			offset = skip_to_magic(scan, offset + RECORD_ALIGN);
	}
	return scan->size;
}

/* What cannot be read now is not damaged: whoever wants to send it tries again, and names it. */
static bool
body_is_damaged(struct scan *scan, const struct scan_record *record)
{
	const struct record_header *header = &record->header;
	uint64_t at = record->offset + header->header_len + header->head_len;
	uint64_t end = at + header->body_len;
	uint32_t crc = 0;

	while (at < end) {
		size_t len = end - at < WINDOW ? (size_t)(end - at) : WINDOW;
		const char *bytes = bytes_at(scan, at, len);

		if (!bytes)
			return false;
		crc = text_crc32(crc, bytes, len);
		at += len;
	}
	return crc != header->body_crc;
}

/* The head in clear, and lengths to match. */
static int
open_head(struct scan *scan, const char *bytes, struct scan_record *record)
{
	struct record_header *header = &record->header, stored = *header;
	int r;

	record->head = pn_slice(bytes, header->head_len);
	if (!scan->cipher)
		return 0;
	r = cipher_clear_lengths(header);
	if (r == 0)
		r = buf_reserve(&scan->opened, header->head_len);
	if (r == 0)
		r = cipher_open_part(
		    scan->cipher, &stored, CIPHER_HEAD, record->head, scan->opened.data);
	record->head = pn_slice(scan->opened.data, header->head_len);
	return r;
}

/* A record whose header is good: its length may be believed. */
static int
read_record(struct scan *scan, struct scan_record *record)
{
	const struct scan_handler *handler = scan->handler;
	const struct record_header *header = &record->header;
	uint64_t at = record->offset + header->header_len;
	const char *bytes;

	/* At once where it fits. Else the body first: reading it moves the window from the head. */
	if (record->length <= WINDOW)
		(void)bytes_at(scan, record->offset, (size_t)record->length);
	record->body_damaged = body_is_damaged(scan, record);
	bytes = bytes_at(scan, at, header->head_len);
	scan->unreadable |= !bytes;
	if (!bytes || text_crc32(0, bytes, header->head_len) != header->head_crc) {
		handler->damaged(
		    handler->arg, record->offset, record->length, "the record's head is damaged");
		return 0;
	}
	if (open_head(scan, bytes, record) < 0) {
		handler->damaged(handler->arg, record->offset, record->length,
		    "the record's head is not what was encrypted");
		return 0;
	}
	return handler->record(handler->arg, record);
}

/* Damage at `offset`; returns where to go on. */
static uint64_t
pass_damage(struct scan *scan, uint64_t offset)
{
	const struct scan_handler *handler = scan->handler;
	uint64_t next = find_header(scan, offset + RECORD_ALIGN);
	const char *bytes;
	uint64_t len;

	if (next < scan->size) {
		handler->damaged(
		    handler->arg, offset, next - offset, "records are damaged or missing");
		return next;
	}
	bytes = bytes_at(scan, offset, RECORD_HEADER);
	if (bytes && !record_header_remains(pn_slice(bytes, RECORD_HEADER), scan->epoch))
		return next; /* the end of the log */
	/* Its lengths may be right even so. */
	len = scan->size - offset;
	if (bytes) {
		struct record_header header = { .header_len = RECORD_HEADER,
			.head_len = field_load32(bytes + 32),
			.body_len = field_load64(bytes + 24) };
		uint64_t said = record_length(&header);

		if (said > 0 && said < len)
			len = said;
	}
	handler->damaged(handler->arg, offset, len, "the last record is damaged");
	return next;
}

static int
walk(struct scan *scan, uint64_t offset)
{
	int r = 0;

	while (r == 0 && offset + RECORD_HEADER <= scan->size) {
		struct scan_record record = { .offset = offset };

		r = header_at(scan, offset, &record.header);
		scan->unreadable |= r == -EIO;
		if (r < 0) {
			r = 0;
			offset = pass_damage(scan, offset);
			continue;
		}
		record.length = record_length(&record.header);
		if (record.length == 0 || record.length > scan->size - offset) {
			scan->handler->damaged(scan->handler->arg, offset, scan->size - offset,
			    "the record is longer than the file");
			offset = find_header(scan, offset + RECORD_ALIGN);
			continue;
		}
		r = read_record(scan, &record);
		offset += record.length;
	}
	return r;
}

int
scan_segment(const struct segment_io *io, int fd, const struct segment *segment,
    struct cipher *cipher, uint64_t size, const struct scan_handler *handler)
{
	struct scan scan = {
		.io = io,
		.fd = fd,
		.epoch = segment->epoch,
		.size = size,
		.handler = handler,
		.cipher = cipher,
		.opened = BUF_INIT(RECORD_HEAD_MOST),
	};
	int r;

	r = walk(&scan, segment->records_at);
	if (scan.unreadable)
		handler->unreadable(handler->arg);
	g_free(scan.window);
	buf_free(&scan.opened);
	return r;
}
