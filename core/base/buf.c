/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.c - the growing byte buffer.
 *
 * Doubles its memory as it grows; never past its ceiling.
 */
#include <core/base/buf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int
buf_reserve(struct buf *buf, size_t more)
{
	size_t need, capacity;
	char *data;

	if (more > buf->ceiling || buf->len > buf->ceiling - more)
		return -E2BIG;
	need = buf->len + more;
	if (need < buf->capacity) /* one byte stays free for buf_text */
		return 0;
	capacity = buf->capacity ? buf->capacity : 64;
	while (capacity <= need)
		capacity *= 2;
	data = realloc(buf->data, capacity);
	if (!data)
		return -ENOMEM;
	buf->data = data;
	buf->capacity = capacity;
	return 0;
}

int
buf_add(struct buf *buf, const void *bytes, size_t len)
{
	int r = buf_reserve(buf, len);

	if (r < 0)
		return r;
	if (len > 0)
		memcpy(buf->data + buf->len, bytes, len);
	buf->len += len;
	return 0;
}

int
buf_add_text(struct buf *buf, const char *text)
{
	return buf_add(buf, text, strlen(text));
}

int
buf_printf(struct buf *buf, const char *format, ...)
{
	char most[256]; /* of what is ever printed; formatting twice costs more than a copy */
	va_list args;
	int len, r;

	va_start(args, format);
	len = vsnprintf(most, sizeof(most), format, args);
	va_end(args);
	if (len < 0)
		return -EINVAL;
	if ((size_t)len < sizeof(most))
		return buf_add(buf, most, (size_t)len);
	r = buf_reserve(buf, (size_t)len);
	if (r < 0)
		return r;
	va_start(args, format);
	vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
	va_end(args);
	buf->len += (size_t)len;
	return 0;
}

void
buf_consume(struct buf *buf, size_t len)
{
	if (len >= buf->len) {
		buf->len = 0;
		return;
	}
	memmove(buf->data, buf->data + len, buf->len - len);
	buf->len -= len;
}

struct pn_slice
buf_slice(const struct buf *buf)
{
	return pn_slice(buf->data, buf->len);
}

const char *
buf_text(struct buf *buf)
{
	if (buf_reserve(buf, 0) < 0 || !buf->data)
		return NULL;
	buf->data[buf->len] = '\0';
	return buf->data;
}

void
buf_reset(struct buf *buf)
{
	buf->len = 0;
}

void
buf_free(struct buf *buf)
{
	free(buf->data);
	*buf = BUF_INIT(buf->ceiling);
}

void
buf_wipe(struct buf *buf)
{
	if (buf->data)
		explicit_bzero(buf->data, buf->capacity);
	buf_free(buf);
}
