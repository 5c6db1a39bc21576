/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read.c - messages read back from their segments, for couriers and for compaction.
 *
 * spool_read() is called by policy threads. The committer may move the message meanwhile and use
 * its old segment again: what is read there then has another epoch, so it is looked up and read
 * again. Must never call a message damaged that only moved.
 */
#include <core/base/text.h>
#include <core/queue/spool_core.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Only what never changes: the rest is the committer's. */
static bool
find_segment(struct spool *spool, uint64_t number, struct segment *ret)
{
	bool found = false;

	pthread_mutex_lock(&spool->table_lock);
	for (guint i = 0; !found && i < spool->segments->len; i++) {
		const struct segment *segment = g_ptr_array_index(spool->segments, i);

		if (segment->number != number)
			continue;
		*ret = (struct segment){
			.slot = segment->slot, .epoch = segment->epoch, .wrap = segment->wrap
		};
		found = true;
	}
	pthread_mutex_unlock(&spool->table_lock);
	return found;
}

int
read_header(const struct segment_io *io, int fd, const struct spool_place *place, uint64_t epoch,
    struct record_header *ret)
{
	char bytes[RECORD_HEADER_MOST];
	size_t len = MIN(sizeof(bytes), place->length);
	int r;

	r = segment_io_read_all(io, fd, bytes, len, place->offset);
	if (r == 0)
		r = record_header_read(pn_slice(bytes, len), epoch, ret);
	if (r < 0)
		return r;
	if (!record_has_message(ret->type) || record_length(ret) != place->length)
		return -EBADMSG;
	return 0;
}

int
read_head(const struct segment_io *io, int fd, const struct spool_place *place,
    const struct record_header *header, struct cipher *cipher, struct buf *ret)
{
	int r = buf_reserve(ret, header->head_len);
	char *to = ret->data + ret->len;
	size_t len = header->head_len;

	if (r == 0)
		r = segment_io_read_all(io, fd, to, len, place->offset + header->header_len);
	if (r == 0 && text_crc32(0, to, len) != header->head_crc)
		r = -EBADMSG;
	if (r == 0 && cipher)
		r = cipher_open_part(cipher, header, CIPHER_HEAD, pn_slice(to, len), to);
	if (r == 0)
		ret->len += cipher ? len - CIPHER_TAG : len;
	return r;
}

/* Body bytes on their way out of a record. */
struct body {
	const struct segment_io *io;
	int fd;
	uint64_t at, end; /* in the file; without the tag */
	uint32_t crc;
	struct cipher *cipher;
	char *window;
};

static int
read_window(struct body *body, struct mail_bytes *to)
{
	size_t len = MIN(body->end - body->at, MAIL_WINDOW);
	int r = segment_io_read_all(body->io, body->fd, body->window, len, body->at);

	if (r < 0)
		return r;
	body->crc = text_crc32(body->crc, body->window, len);
	body->at += len;
	if (body->cipher)
		r = cipher_add(body->cipher, pn_slice(body->window, len), body->window);
	return r < 0 ? r : mail_bytes_append(to, body->window, len, SIZE_MAX);
}

/* Behind the last byte. */
static int
check_body(struct body *body, const struct record_header *header)
{
	char tag[CIPHER_TAG];
	int r = 0;

	if (body->cipher) {
		r = segment_io_read_all(body->io, body->fd, tag, sizeof(tag), body->end);
		if (r == 0)
			body->crc = text_crc32(body->crc, tag, sizeof(tag));
	}
	if (r == 0 && body->crc != header->body_crc)
		r = -EBADMSG;
	return r == 0 && body->cipher ? cipher_open_end(body->cipher, tag) : r;
}

int
read_body(const struct segment_io *io, int fd, const struct spool_place *place,
    const struct record_header *header, struct cipher *cipher, struct mail_bytes **ret)
{
	uint64_t at = place->offset + header->header_len + header->head_len;
	struct body body = { .io = io, .fd = fd, .at = at, .end = at + header->body_len };
	struct mail_bytes *bytes = NULL;
	int r = 0;

	if (cipher && header->body_len > 0) {
		body.cipher = cipher;
		body.end -= CIPHER_TAG;
		r = header->body_len < CIPHER_TAG ? -EBADMSG
						  : cipher_open_begin(cipher, header, CIPHER_BODY);
	}
	if (r == 0)
		r = mail_bytes_new_message(body.end - body.at, MAIL_BYTES_STAYS, &bytes);
	body.window = r == 0 ? malloc(MIN(body.end - body.at + 1, MAIL_WINDOW)) : NULL;
	if (r == 0 && !body.window)
		r = -ENOMEM;
	while (r == 0 && body.at < body.end)
		r = read_window(&body, bytes);
	if (r == 0)
		r = check_body(&body, header);
	free(body.window);
	if (r < 0)
		mail_bytes_release(&bytes);
	else
		*ret = bytes;
	return r;
}

static int
read_bytes(const struct segment_io *io, int fd, const struct spool_place *place, uint64_t epoch,
    struct cipher *cipher, struct mail_bytes **ret)
{
	struct record_header header;
	int r = read_header(io, fd, place, epoch, &header);

	return r < 0 ? r : read_body(io, fd, place, &header, cipher, ret);
}

/* -EBADMSG with the file still open in *ret_fd. */
static int
read_at(struct spool *spool, const struct spool_place *place, struct mail_bytes **ret, int *ret_fd)
{
	char path[SPOOL_PATH];
	struct cipher *cipher;
	struct segment segment;
	int fd, r;

	if (!find_segment(spool, place->segment, &segment))
		return -EIO;
	r = spool_keys_open(spool, &segment.wrap, &cipher);
	if (r < 0)
		return r == -ENOMEM ? r : -EIO;
	spool_segment_path(spool, segment.slot, path);
	fd = spool->io->open(spool->io->arg, path, O_RDONLY);
	r = fd < 0 ? -EIO : read_bytes(spool->io, fd, place, segment.epoch, cipher, ret);
	cipher_free(&cipher);
	if (r == -EBADMSG)
		*ret_fd = fd;
	else if (fd >= 0)
		spool->io->close(spool->io->arg, fd);
	return r == 0 || r == -EBADMSG || r == -ENOMEM ? r : -EIO;
}

/* Says so the first time only. */
static void
set_aside(struct spool *spool, int fd, const struct spool_place *place, const char *id)
{
	char path[SPOOL_PATH], text[300];
	int r = aside_keep(spool, fd, place->segment, place->offset, place->length, path);

	if (r == 0 || !spool->damaged)
		return;
	snprintf(text, sizeof(text),
	    "segment %" PRIu64 ", offset %" PRIu64 ", %" PRIu64 " bytes: message %s is damaged%s%s",
	    place->segment, place->offset, place->length, id,
	    r < 0 ? "; cannot be set aside: " : "", r < 0 ? strerror(-r) : "");
	spool->damaged(spool->damaged_arg, path, text);
}

int
spool_read(struct spool *spool, const struct item *item, struct mail_bytes **ret)
{
	struct spool_place place = item->place, now;
	int fd, r;

	(void)live_place(&spool->live, item->id, &place);
	for (;;) {
		r = read_at(spool, &place, ret, &fd);
		if (r == 0 || r == -ENOMEM)
			return r;
		now = place;
		(void)live_place(&spool->live, item->id, &now);
		if (now.segment == place.segment && now.offset == place.offset)
			break;
		if (r == -EBADMSG)
			spool->io->close(spool->io->arg, fd);
		place = now;
	}
	if (r == -EBADMSG) {
		set_aside(spool, fd, &place, item->id);
		spool->io->close(spool->io->arg, fd);
	}
	return r;
}
