/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field.c - writes and reads fields; see record.h for the format.
 *
 * Called by record.c and the spool. Reading never looks past the slice it was given.
 */
#include <core/queue/field.h>
#include <endian.h>
#include <errno.h>

uint16_t
field_load16(const char *bytes)
{
	uint16_t value;

	memcpy(&value, bytes, sizeof(value));
	return le16toh(value);
}

uint32_t
field_load32(const char *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return le32toh(value);
}

uint64_t
field_load64(const char *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

void
field_store16(char *bytes, uint16_t value)
{
	value = htole16(value);
	memcpy(bytes, &value, sizeof(value));
}

void
field_store32(char *bytes, uint32_t value)
{
	value = htole32(value);
	memcpy(bytes, &value, sizeof(value));
}

void
field_store64(char *bytes, uint64_t value)
{
	value = htole64(value);
	memcpy(bytes, &value, sizeof(value));
}

void
field_put(struct field_writer *writer, uint16_t type, const void *value, size_t len)
{
	struct buf *buf = writer->buf;
	char *head;

	if (writer->r < 0)
		return;
	writer->r = len > UINT32_MAX ? -E2BIG : buf_reserve(buf, FIELD_HEAD + len);
	if (writer->r < 0)
		return;
	head = buf->data + buf->len;
	field_store16(head, type);
	head[2] = FIELD_VERSION;
	head[3] = 0;
	field_store32(head + 4, (uint32_t)len);
	if (len > 0)
		memcpy(head + FIELD_HEAD, value, len);
	buf->len += FIELD_HEAD + len;
}

void
field_put_text(struct field_writer *writer, uint16_t type, const char *text)
{
	if (text)
		field_put(writer, type, text, strlen(text));
}

void
field_put_each(struct field_writer *writer, uint16_t type, uint64_t number)
{
	char bytes[8];

	field_store64(bytes, number);
	field_put(writer, type, bytes, sizeof(bytes));
}

void
field_put_number(struct field_writer *writer, uint16_t type, uint64_t number)
{
	if (number != 0)
		field_put_each(writer, type, number);
}

size_t
field_begin(struct field_writer *writer, uint16_t type)
{
	size_t mark = writer->buf->len;

	field_put(writer, type, NULL, 0);
	return mark;
}

void
field_is_critical(struct field_writer *writer, size_t mark)
{
	if (writer->r == 0)
		writer->buf->data[mark + 3] = FIELD_CRITICAL;
}

void
field_end(struct field_writer *writer, size_t mark)
{
	size_t len;

	if (writer->r < 0)
		return;
	len = writer->buf->len - mark - FIELD_HEAD;
	if (len > UINT32_MAX)
		writer->r = -E2BIG;
	else
		field_store32(writer->buf->data + mark + 4, (uint32_t)len);
}

int
field_next(struct pn_slice *rest, struct field *ret)
{
	uint32_t len;

	if (rest->len == 0)
		return 0;
	if (rest->len < FIELD_HEAD)
		return -EBADMSG;
	len = field_load32(rest->data + 4);
	if (len > rest->len - FIELD_HEAD)
		return -EBADMSG;
	ret->type = field_load16(rest->data);
	ret->version = (uint8_t)rest->data[2];
	ret->flags = (uint8_t)rest->data[3];
	ret->value = pn_slice(rest->data + FIELD_HEAD, len);
	*rest = pn_slice(rest->data + FIELD_HEAD + len, rest->len - FIELD_HEAD - len);
	return 1;
}

int
field_skip(const struct field *field)
{
	return field->flags & FIELD_CRITICAL ? -EPROTONOSUPPORT : 0;
}

bool
field_too_new(const struct field *field)
{
	return field->version > FIELD_VERSION;
}

int
field_number(const struct field *field, uint64_t *ret)
{
	if (field->value.len < 8)
		return -EBADMSG;
	*ret = field_load64(field->value.data);
	return 0;
}
