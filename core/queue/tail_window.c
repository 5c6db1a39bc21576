/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail_window.c - bodies of large records, written window by window into the segment.
 *
 * Called by tail.c and tail_cipher.c, on the committer, for what is encrypted and for what has
 * overflowed: so no message is in memory twice, and a large one never as a whole. Must never write
 * a byte in clear where there is a key.
 */
#include <core/base/text.h>
#include <core/queue/tail.h>
#include <errno.h>

void
tail_window_reserve(struct spool *spool, size_t size)
{
	if (size <= spool->encrypted_capacity)
		return;
	spool->encrypted = g_realloc(spool->encrypted, size);
	spool->encrypted_capacity = size;
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

/* The next window as it is to be stored. */
static int
fill_window(struct spool *spool, const struct spool_op *op, size_t done, size_t len)
{
	struct pn_slice clear = pn_slice(spool->encrypted, len);

	if (op->large && mail_bytes_read(op->large, done, spool->encrypted, len) < 0)
		return -EBADMSG;
	if (!op->large)
		clear = pn_slice(op->body.data + done, len);
	if (spool->tail_cipher)
		return cipher_add(spool->tail_cipher, clear, spool->encrypted);
	if (!op->large)
		memcpy(spool->encrypted, clear.data, len);
	return 0;
}

/* The tag, if there is one, and zeroes up to the next record. */
static int
write_end(struct spool *spool, const struct spool_op *op, uint64_t at, struct record_header *header)
{
	bool tagged = spool->tail_cipher && header->body_len > 0;
	int r = tagged ? cipher_end(spool->tail_cipher, spool->encrypted) : 0;
	struct iovec padding;

	if (r == 0 && tagged)
		r = write_window(spool, CIPHER_TAG, &at, header);
	memset(spool->encrypted, 0, RECORD_ALIGN);
	padding = (struct iovec){ spool->encrypted, op->offset + op->length - at };
	return r == 0 ? segment_io_write_all(spool->io, spool->tail_fd, &padding, 1, at) : r;
}

int
tail_window_write(struct spool *spool, const struct spool_op *op, struct record_header *header)
{
	uint64_t at = op->offset + RECORD_HEADER + header->head_len;
	size_t size = op->header.body_len; /* in clear */
	/* It may be empty, under a head that is large itself. */
	int r = spool->tail_cipher && size > 0
		    ? cipher_begin(spool->tail_cipher, header, CIPHER_BODY)
		    : 0;

	header->body_crc = 0;
	for (size_t done = 0, len; r == 0 && done < size; done += len) {
		len = MIN(size - done, TAIL_WINDOW);
		r = fill_window(spool, op, done, len);
		if (r == 0)
			r = write_window(spool, len, &at, header);
	}
	return r == 0 ? write_end(spool, op, at, header) : r;
}
