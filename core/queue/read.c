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

int
read_body(const struct segment_io *io, int fd, const struct spool_place *place,
    const struct record_header *header, struct cipher *cipher, char *ret, size_t *ret_len)
{
	size_t len = header->body_len;
	int r = segment_io_read_all(
	    io, fd, ret, len, place->offset + header->header_len + header->head_len);

	if (r == 0 && text_crc32(0, ret, len) != header->body_crc)
		r = -EBADMSG;
	if (r == 0 && cipher && len > 0)
		r = cipher_open_part(cipher, header, CIPHER_BODY, pn_slice(ret, len), ret);
	if (r == 0)
		*ret_len = cipher && len > 0 ? len - CIPHER_TAG : len;
	return r;
}

static int
read_bytes(const struct segment_io *io, int fd, const struct spool_place *place, uint64_t epoch,
    struct cipher *cipher, struct mail_bytes **ret)
{
	struct record_header header;
	struct mail_bytes *body = NULL;
	int r = read_header(io, fd, place, epoch, &header);

	if (r == 0)
		r = mail_bytes_new(header.body_len, &body);
	if (r == 0)
		r = read_body(io, fd, place, &header, cipher, body->data, &body->len);
	if (r < 0) {
		mail_bytes_release(&body);
		return r;
	}
	*ret = body;
	return 0;
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
