/* SPDX-License-Identifier: Apache-2.0 */
/*
 * segment_index.c - the index at a segment's end, written and read.
 *
 * Called by tail_index.c on the committer, and by recovery.c. All of an index is checked before any
 * of it is handed out: whoever cannot believe it must be able to read the records instead. Must
 * never take one that was written under another epoch.
 */
#include <core/base/text.h>
#include <core/queue/segment_index.h>
#include <errno.h>
#include <glib.h>

#define MAGIC "PNINDEX\n"

uint64_t
segment_index_most(uint64_t segment_size)
{
	return MIN(segment_size / SEGMENT_INDEX_SHARE, SEGMENT_INDEX_MOST);
}

int
segment_index_add(struct buf *index, const char header[RECORD_HEADER], struct pn_slice head)
{
	int r = buf_reserve(index, RECORD_HEADER + head.len);

	if (r == 0)
		r = buf_add(index, header, RECORD_HEADER);
	return r == 0 ? buf_add(index, head.data, head.len) : r;
}

void
segment_index_trailer(uint64_t epoch, uint64_t offset, char ret[SEGMENT_INDEX_TRAILER])
{
	memset(ret, 0, SEGMENT_INDEX_TRAILER);
	memcpy(ret, MAGIC, 8);
	field_store64(ret + 8, epoch);
	field_store64(ret + 16, offset);
	field_store32(ret + 28, text_crc32(0, ret, 28));
}

/* ---- reading ---- */

struct segment_index {
	const struct segment *segment;
	struct cipher *cipher;
	struct scan_record self; /* the index's own record; its head is empty */
	struct pn_slice entries; /* in clear */
	char *stored;
};

/* 1 with the offset of the index; 0: there is none; -EBADMSG, or an error of the disk. */
static int
read_trailer(const struct segment_io *io, int fd, const struct segment *segment, uint64_t size,
    uint64_t *ret_offset)
{
	char bytes[SEGMENT_INDEX_TRAILER];
	uint64_t least = segment->records_at + RECORD_HEADER + SEGMENT_INDEX_TRAILER;
	int r;

	if (size < segment->size || segment->size < least)
		return 0;
	r = segment_io_read_all(io, fd, bytes, sizeof(bytes), segment->size - sizeof(bytes));
	if (r < 0)
		return r;
	/* Left from an earlier use of the file, or bytes of a record. */
	if (memcmp(bytes, MAGIC, 8) != 0 || field_load64(bytes + 8) != segment->epoch)
		return 0;
	*ret_offset = field_load64(bytes + 16);
	if (field_load32(bytes + 28) != text_crc32(0, bytes, 28) || *ret_offset % RECORD_ALIGN ||
	    *ret_offset < segment->records_at ||
	    *ret_offset > segment->size - SEGMENT_INDEX_TRAILER - RECORD_HEADER)
		return -EBADMSG;
	return 1;
}

/* The header of the index's own record; its lengths stay those that are stored. */
static int
read_own_header(
    const struct segment_io *io, int fd, struct segment_index *index, struct record_header *ret)
{
	const struct segment *segment = index->segment;
	uint64_t room = segment->size - SEGMENT_INDEX_TRAILER - index->self.offset;
	char bytes[RECORD_HEADER];
	int r = segment_io_read_all(io, fd, bytes, sizeof(bytes), index->self.offset);

	if (r == 0)
		r = record_header_read(pn_slice(bytes, sizeof(bytes)), segment->epoch, ret);
	if (r < 0)
		return r;
	index->self.header = *ret;
	index->self.length = record_length(ret);
	if (ret->type != RECORD_CHECKPOINT || record_known(ret) < 0 ||
	    ret->header_len != RECORD_HEADER || ret->head_len > CIPHER_TAG ||
	    ret->body_len > segment_index_most(segment->size) + CIPHER_TAG ||
	    index->self.length > room)
		return -EBADMSG;
	return index->cipher ? cipher_clear_lengths(&index->self.header) : 0;
}

/* Reads and opens what is stored. */
static int
read_entries(const struct segment_io *io, int fd, struct segment_index *index)
{
	struct record_header header;
	char *body, empty[CIPHER_TAG];
	int r = read_own_header(io, fd, index, &header);

	if (r < 0)
		return r;
	index->stored = g_malloc(header.head_len + header.body_len + 1);
	r = segment_io_read_all(io, fd, index->stored, header.head_len + header.body_len,
	    index->self.offset + RECORD_HEADER);
	body = index->stored + header.head_len;
	if (r == 0 && (text_crc32(0, index->stored, header.head_len) != header.head_crc ||
			  text_crc32(0, body, header.body_len) != header.body_crc ||
			  index->self.header.head_len > 0))
		r = -EBADMSG;
	if (r == 0 && index->cipher)
		r = cipher_open_part(index->cipher, &header, CIPHER_HEAD,
		    pn_slice(index->stored, header.head_len), empty);
	if (r == 0 && index->cipher && header.body_len > 0)
		r = cipher_open_part(
		    index->cipher, &header, CIPHER_BODY, pn_slice(body, header.body_len), body);
	index->entries = pn_slice(body, index->self.header.body_len);
	return r;
}

/* 1: the next one is in *ret, and taken from *rest; 0: that was all; -EBADMSG. */
static int
next_entry(
    const struct segment_index *index, struct pn_slice *rest, uint64_t *at, struct scan_record *ret)
{
	struct record_header *header = &ret->header;
	int r;

	*ret = (struct scan_record){ .offset = *at };
	if (rest->len == 0)
		return *at == index->self.offset ? 0 : -EBADMSG;
	r = record_header_read(*rest, index->segment->epoch, header);
	if (r < 0 || header->header_len != RECORD_HEADER)
		return -EBADMSG;
	ret->length = record_length(header);
	if (ret->length == 0 || ret->length > index->self.offset - *at ||
	    (index->cipher && cipher_clear_lengths(header) < 0) ||
	    header->head_len > rest->len - RECORD_HEADER)
		return -EBADMSG;
	ret->head = pn_slice(rest->data + RECORD_HEADER, header->head_len);
	*rest = pn_slice(
	    ret->head.data + header->head_len, rest->len - RECORD_HEADER - header->head_len);
	*at += ret->length;
	return 1;
}

/* All of them fit, one behind the other, up to the index itself. */
static int
check_entries(const struct segment_index *index)
{
	struct pn_slice rest = index->entries;
	uint64_t at = index->segment->records_at;
	struct scan_record record;
	int r;

	while ((r = next_entry(index, &rest, &at, &record)) > 0)
		;
	return r;
}

int
segment_index_read(const struct segment_io *io, int fd, const struct segment *segment,
    struct cipher *cipher, uint64_t size, struct segment_index **ret)
{
	struct segment_index *index;
	uint64_t offset;
	int r = read_trailer(io, fd, segment, size, &offset);

	*ret = NULL;
	if (r <= 0)
		return r;
	index = g_new0(struct segment_index, 1);
	index->segment = segment;
	index->cipher = cipher;
	index->self.offset = offset;
	index->self.head = pn_slice("", 0);
	r = read_entries(io, fd, index);
	if (r == 0)
		r = check_entries(index);
	if (r < 0) {
		segment_index_free(&index);
		return r;
	}
	*ret = index;
	return 1;
}

int
segment_index_walk(const struct segment_index *index, const struct scan_handler *handler)
{
	struct pn_slice rest = index->entries;
	uint64_t at = index->segment->records_at;
	struct scan_record record;
	int r = 0;

	while (r == 0 && next_entry(index, &rest, &at, &record) > 0)
		r = handler->record(handler->arg, &record);
	return r == 0 ? handler->record(handler->arg, &index->self) : r;
}

void
segment_index_free(struct segment_index **ptr)
{
	if (*ptr)
		g_free((*ptr)->stored);
	g_free(*ptr);
	*ptr = NULL;
}
