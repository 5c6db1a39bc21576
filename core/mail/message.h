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
#include <core/mail/overflow.h>
#include <postern/txn.h>

/* Of a message that may overflow this much is gathered in memory, and so much of it stays there. */
#define MAIL_IN_MEMORY ((size_t)1024 * 1024)
#define MAIL_KEPT      ((size_t)64 * 1024)
/* It is read and written so much at a time. */
#define MAIL_WINDOW ((size_t)256 * 1024)

/*
 * Every live mail_bytes counts against the process's memory budget. mail_bytes_budget sets it (0:
 * none); -ENOMEM is answered past it, which becomes 452 4.3.1.
 */
void mail_bytes_budget(size_t most);
/* Bytes of mail that are somewhere else in memory count as well. -ENOMEM: no room now. */
int mail_memory_take(size_t len);
void mail_memory_give(size_t len);
size_t mail_bytes_in_use(void);

/*
 * What overflow.h has of it counts only as far as it is in memory.
 */
struct mail_bytes {
	char *data; /* the front of a large message: its header, and MAIL_KEPT at least */
	size_t len, capacity;
	uint32_t references;        /* atomic */
	struct mail_overflow *rest; /* held; behind `data`. NULL: that is all of it */
	/* of an owner who fills it */
	size_t overflow_at; /* from this length on the rest leaves memory; 0: never */
	bool stays, lazy;
};

/* A new one with room for `capacity`, one reference, to be filled by its only owner. */
int mail_bytes_new(size_t capacity, struct mail_bytes **ret);
/*
 * The same for a whole message, which overflows when it grows large. `LAZY`: nothing is written
 * before mail_bytes_settle(), so that appending does not block. `STAYS`: of a message that is on
 * disk already; where there is no room for the overflow it stays in memory.
 */
#define MAIL_BYTES_LAZY  0x1u
#define MAIL_BYTES_STAYS 0x2u
int mail_bytes_new_message(size_t capacity, unsigned how, struct mail_bytes **ret);
/*
 * Owner only: appends, growing by doubling up to `most` bytes (-E2BIG) and the budget (-ENOMEM).
 * Of a message that overflows also -ENOSPC, -EIO and whatever says why there is no file.
 */
int mail_bytes_append(struct mail_bytes *bytes, const void *data, size_t len, size_t most);
/* Appends a part of another one, window by window. */
int mail_bytes_append_part(
    struct mail_bytes *bytes, const struct mail_bytes *from, size_t offset, size_t len);
/* LAZY: enough waits to be written; `all`: anything that can be. */
bool mail_bytes_is_due(const struct mail_bytes *bytes, bool all);
/* LAZY, owner only: writes it. Blocks. Errors as mail_bytes_append(). */
int mail_bytes_settle(struct mail_bytes *bytes);
/* Owner only: gives spare capacity back. */
void mail_bytes_trim(struct mail_bytes *bytes);
struct mail_bytes *mail_bytes_hold(struct mail_bytes *bytes);
void mail_bytes_release(struct mail_bytes **bytes);

/* All of it. */
static inline size_t
mail_bytes_size(const struct mail_bytes *bytes)
{
	return bytes->len + (bytes->rest ? mail_overflow_len(bytes->rest) : 0);
}
/* What is in memory: the header at least, of a message. */
static inline struct pn_slice
mail_bytes_front(const struct mail_bytes *bytes)
{
	return pn_slice(bytes->data, bytes->len);
}
/* A window of it, which is there. Blocks where it overflowed. -EIO, -ENOMEM. */
int mail_bytes_read(const struct mail_bytes *bytes, size_t offset, char *to, size_t len);
/* All of it in memory, held: the same where it is. Blocks. -ENOMEM (the budget), -EIO. */
int mail_bytes_whole(struct mail_bytes *bytes, struct mail_bytes **ret);
/* What MAIL has to find room for, of a message of that size. */
size_t mail_bytes_need(uint64_t size);
/* True where a byte is above 127; of what has overflowed it is known. */
bool mail_any_eightbit(struct pn_slice bytes);
bool mail_bytes_has_eightbit(const struct mail_bytes *bytes, size_t offset);

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
/* The same with a message; what has overflowed is shared unless it is edited, which blocks. */
int mail_bytes_edit(
    struct mail_bytes *from, const struct mail_edits *edits, struct mail_bytes **ret);

/* True where a CR stands without its LF, or an LF without its CR. */
bool mail_bare_newline(struct pn_slice bytes);
/* 1, 0, or an error of mail_bytes_read(). */
int mail_bytes_bare_newline(const struct mail_bytes *bytes);
/* "Name: value" fit for a header: RFC 5322 names, no bare CR, LF or NUL, folds begin with blank. */
bool mail_header_name_valid(const char *name);
bool mail_header_value_valid(const char *value);

#endif
