/* SPDX-License-Identifier: Apache-2.0 */
/*
 * field.h - typed fields of variable length, the form of everything in a record's head.
 *
 * The format and its rules for unknown fields stand in record.h.
 */
#ifndef CORE_QUEUE_FIELD_H
#define CORE_QUEUE_FIELD_H

#include <core/base/buf.h>

#define FIELD_HEAD     8u
#define FIELD_VERSION  1u
#define FIELD_CRITICAL 0x1u /* in `flags`: who does not know this field must not go on */

/* The first error sticks; the calls after it do nothing. */
struct field_writer {
	struct buf *buf;
	int r;
};
void field_put(struct field_writer *writer, uint16_t type, const void *value, size_t len);
void field_put_text(struct field_writer *writer, uint16_t type, const char *text);  /* NULL: none */
void field_put_number(struct field_writer *writer, uint16_t type, uint64_t number); /* 0: none */
/* Also a 0: in a list each counts. */
void field_put_each(struct field_writer *writer, uint16_t type, uint64_t number);
/* Nested fields: what is put between begin and end; `mark` is what begin returned. */
size_t field_begin(struct field_writer *writer, uint16_t type);
/* Between begin and end: FIELD_CRITICAL is set. */
void field_is_critical(struct field_writer *writer, size_t mark);
void field_end(struct field_writer *writer, size_t mark);

struct field {
	uint16_t type;
	uint8_t version, flags;
	struct pn_slice value; /* points into what is read */
};
/* Takes the next field from the front of `rest`: 1, 0 at the end, -EBADMSG. */
int field_next(struct pn_slice *rest, struct field *ret);
/* For a field whose type the caller does not know: 0 to skip it, -EPROTONOSUPPORT. */
int field_skip(const struct field *field);
/* A field of known type but newer version is to be treated as unknown. */
bool field_too_new(const struct field *field);
/* -EBADMSG if it is too short. */
int field_number(const struct field *field, uint64_t *ret);

uint16_t field_load16(const char *bytes);
uint32_t field_load32(const char *bytes);
uint64_t field_load64(const char *bytes);
void field_store16(char *bytes, uint16_t value);
void field_store32(char *bytes, uint32_t value);
void field_store64(char *bytes, uint64_t value);

#endif
