/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tail_cipher.c - encrypts a record on its way into the segment that is being written.
 *
 * Called by tail.c, on the committer. Small records go, one behind the other, into one buffer that
 * is written with one call; the body of a large one is written by tail_window.c. Must never write a
 * byte in clear.
 */
#include <core/base/text.h>
#include <core/queue/tail.h>
#include <errno.h>

bool
tail_cipher_room(const struct spool *spool, uint64_t length)
{
	return spool->part_count == 0 || length <= TAIL_WINDOW - spool->encrypted_len;
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

int
tail_cipher_record(struct spool *spool, const struct spool_op *op)
{
	struct record_header header = op->header;
	struct pn_slice head = pn_slice(op->encoded.data + RECORD_HEADER, header.head_len);
	bool large = op->large || op->length > TAIL_WINDOW;
	size_t front, used;
	char *to;
	int r = 0;

	cipher_lengths(&header);
	front = used = RECORD_HEADER + header.head_len;
	if (spool->part_count == 0) {
		spool->encrypted_len = 0;
		tail_window_reserve(spool, MAX(TAIL_WINDOW, front));
	}
	to = spool->encrypted + spool->encrypted_len;
	if (large)
		r = tail_window_write(spool, op, &header);
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
