/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - the bytes of a message, its header fields by index, and edits as splices.
 *
 * A `struct mail_bytes` is immutable once shared and counted by reference, so session, chain,
 * spool and couriers on several threads hold one copy. An edit makes new bytes out of old ones;
 * what no splice touches is the same to the byte.
 */
#ifndef CORE_MAIL_MESSAGE_H
#define CORE_MAIL_MESSAGE_H

#include <core/base/arena.h>
#include <postern/txn.h>

/*
 * Every live mail_bytes counts against the process's memory budget. mail_bytes_budget sets it (0:
 * none); -ENOMEM is answered past it, which becomes 452 4.3.1.
 */
void mail_bytes_budget(size_t most);
size_t mail_bytes_in_use(void);

struct mail_bytes {
	char *data;
	size_t len, capacity;
	uint32_t references; /* atomic */
};

/* A new one with room for `capacity`, one reference, to be filled by its only owner. */
int mail_bytes_new(size_t capacity, struct mail_bytes **ret);
/* Owner only: appends, growing by doubling up to `most` bytes (-E2BIG) and the budget (-ENOMEM). */
int mail_bytes_append(struct mail_bytes *bytes, const void *data, size_t len, size_t most);
/* Owner only: gives spare capacity back. */
void mail_bytes_trim(struct mail_bytes *bytes);
struct mail_bytes *mail_bytes_hold(struct mail_bytes *bytes);
void mail_bytes_release(struct mail_bytes **bytes);

/* Where the header fields are. Offsets into the bytes; a field runs to the start of the next. */
struct mail_field {
	uint32_t start, name_len; /* name_len 0: a line that is no field; kept as it is */
	uint32_t value, end;      /* value begins behind the colon; end is behind the final CRLF */
};
struct mail_header {
	size_t count;
	struct mail_field *fields;
	size_t size; /* bytes of all fields, without the empty line */
	size_t
	    body; /* where the body begins: behind the empty line, or the end where there is none */
};
/*
 * Finds the fields (RFC 5322 section 2.2). Never fails: junk becomes fields without name. `most`
 * fields are indexed, -E2BIG past that.
 */
int mail_header_index(
    struct pn_slice bytes, size_t most, struct arena *arena, struct mail_header *ret);
/* Raw value without the final CRLF; false past the end or for junk. */
bool mail_header_field(
    struct pn_slice bytes, const struct mail_header *header, size_t index, struct pn_header *ret);
/* Index of the nth field of that name, or -ENOENT. */
int mail_header_find(
    struct pn_slice bytes, const struct mail_header *header, const char *name, size_t nth);

/* Edits of one hook, in coordinates of the view it began with. */
struct mail_splice {
	size_t offset, length; /* replaced bytes; length 0 inserts */
	struct pn_slice bytes;
	uint32_t order; /* inserts at one place stand in the order they were made */
};
struct mail_edits {
	struct mail_splice *splices; /* sorted by offset, then order */
	size_t count, capacity;
};
/*
 * Copies `bytes` into the arena. -EINVAL where it overlaps an earlier splice. An insert where a
 * replacement begins stands before it.
 */
int mail_edits_add(struct mail_edits *edits, struct arena *arena, size_t offset, size_t length,
    struct pn_slice bytes);
/* New bytes with all splices done, one reference. */
int mail_edits_apply(
    const struct mail_edits *edits, struct pn_slice from, size_t most, struct mail_bytes **ret);

/* True where a CR stands without its LF, or an LF without its CR. */
bool mail_bare_newline(struct pn_slice bytes);
/* "Name: value" fit for a header: RFC 5322 names, no bare CR, LF or NUL, folds begin with blank. */
bool mail_header_name_valid(const char *name);
bool mail_header_value_valid(const char *value);

#endif
