/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail_cipher.c - encrypts a record on its way into the segment that is being written.
 *
 * Called by tail.c, on the committer. Small records go, one behind the other, into one buffer that
 * is written with one call; the body of a large one is encrypted and written window by window, so
 * that no message is in memory twice. Must never write a byte in clear.
 */
#include <core/base/text.h>
#include <core/queue/tail.h>
#include <errno.h>

#define AT_ONCE (1024u * 1024) /* of the buffer */

bool
tail_cipher_room(const struct spool *spool, uint64_t length)
{
	return spool->part_count == 0 || length <= AT_ONCE - spool->encrypted_len;
}

/* Nothing may be in it, since it may move. */
static void
reserve(struct spool *spool, size_t size)
{
	if (size <= spool->encrypted_capacity)
		return;
	spool->encrypted = g_realloc(spool->encrypted, size);
	spool->encrypted_capacity = size;
}

/* A whole part with its tag; returns its CRC through `ret_crc`. */
static int
cipher_part(struct cipher *cipher, const struct record_header *header, enum cipher_part part,
    struct pn_slice clear, char *to, uint32_t *ret_crc)
{
	int r = cipher_begin(cipher, header, part);

	if (r == 0)
		r = cipher_add(cipher, clear, to);
	if (r == 0)
		r = cipher_end(cipher, to + clear.len);
	if (r == 0)
		*ret_crc = text_crc32(0, to, clear.len + CIPHER_TAG);
	return r;
}

static int
write_window(struct spool *spool, size_t len, uint64_t *at, struct record_header *header)
{
	struct iovec window = { spool->encrypted, len };
	int r = segment_io_write_all(spool->io, spool->tail_fd, &window, 1, *at);

	header->body_crc = text_crc32(header->body_crc, spool->encrypted, len);
	*at += len;
	return r;
}

/* The body of a large record, its tag, and zeroes up to the next record. */
static int
write_body(struct spool *spool, const struct spool_op *op, struct record_header *header)
{
	uint64_t at = op->offset + RECORD_HEADER + header->head_len;
	struct pn_slice rest = op->body;
	struct iovec padding;
	bool empty = op->body.len == 0; /* under a head that is large itself */
	int r = empty ? 0 : cipher_begin(spool->tail_cipher, header, CIPHER_BODY);

	header->body_crc = 0;
	while (r == 0 && rest.len > 0) {
		size_t len = rest.len < AT_ONCE ? rest.len : AT_ONCE;

		r = cipher_add(spool->tail_cipher, pn_slice(rest.data, len), spool->encrypted);
		if (r == 0)
			r = write_window(spool, len, &at, header);
		rest = pn_slice(rest.data + len, rest.len - len);
	}
	if (r == 0 && !empty)
		r = cipher_end(spool->tail_cipher, spool->encrypted);
	if (r == 0 && !empty)
		r = write_window(spool, CIPHER_TAG, &at, header);
	memset(spool->encrypted, 0, RECORD_ALIGN);
	padding = (struct iovec){ spool->encrypted, op->offset + op->length - at };
	return r == 0 ? segment_io_write_all(spool->io, spool->tail_fd, &padding, 1, at) : r;
}

int
tail_cipher_record(struct spool *spool, const struct spool_op *op)
{
	struct record_header header = op->header;
	struct pn_slice head = pn_slice(op->encoded.data + RECORD_HEADER, header.head_len);
	bool large = op->length > AT_ONCE;
	size_t front, used;
	char *to;
	int r = 0;

	cipher_lengths(&header);
	front = used = RECORD_HEADER + header.head_len;
	if (spool->part_count == 0) {
		spool->encrypted_len = 0;
		reserve(spool, MAX(AT_ONCE, front));
	}
	to = spool->encrypted + spool->encrypted_len;
	if (large)
		r = write_body(spool, op, &header);
	else if (op->body.len > 0)
		r = cipher_part(spool->tail_cipher, &header, CIPHER_BODY, op->body, to + front,
		    &header.body_crc);
	if (r == 0)
		r = cipher_part(spool->tail_cipher, &header, CIPHER_HEAD, head, to + RECORD_HEADER,
		    &header.head_crc);
	if (r < 0)
		return r;
	record_header_write(&header, to);
	tail_index_add(spool, to, op);
	if (!large) {
		memset(to + front + header.body_len, 0, op->length - front - header.body_len);
		used = op->length;
	}
	spool->parts[spool->part_count++] = (struct iovec){ to, used };
	spool->encrypted_len += used;
	return large ? 1 : 0;
}
