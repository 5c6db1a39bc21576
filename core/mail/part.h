/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part.h - the parts of a message: a flat list in depth-first order, made by GMime, which is let go
 * again before anybody looks at it.
 *
 * Called by policy when a hook asks. A tree holds the bytes it was made of and is counted by
 * reference, so a hook that outlives its call still reads memory that is there. What is decoded on
 * demand is decoded under the tree's lock and kept.
 */
#ifndef CORE_MAIL_PART_H
#define CORE_MAIL_PART_H

#include <core/base/buf.h>
#include <core/mail/message.h>
#include <postern/part.h>
#include <pthread.h>

/* More than a message needs; GMime takes some 2 KB for each part (and stops at 1,024 levels). */
#define MAIL_PARTS_MOST      4000u
#define MAIL_PARTS_FIELDS    20000u
#define MAIL_PARTS_BOUNDARY  1000u
#define MAIL_PARTS_ADDRESSES (256u * 1024) /* bytes of a field whose addresses are read */

enum mail_encoding {
	MAIL_ENCODING_PLAIN, /* 7bit, 8bit, binary, nothing declared: the bytes themselves */
	MAIL_ENCODING_QP,
	MAIL_ENCODING_BASE64,
	MAIL_ENCODING_UU,     /* read only */
	MAIL_ENCODING_UNKNOWN /* RFC 2045 section 6.4: not to be decoded */
};

struct mail_parameter {
	const char *name, *value;
};

struct pn_part {
	struct mail_parts *tree;
	size_t index, behind; /* in the list; `behind` is the first that is not inside */
	struct pn_part *parent;
	size_t start, body, end; /* in the message: header, body, behind the body */
	const char *type, *disposition, *filename, *charset, *encoding_name;
	enum mail_encoding encoding;
	bool is_text;
	size_t parameter_count;
	struct mail_parameter *parameters;

	/* under the tree's lock, once somebody asked */
	struct mail_bytes *raw, *text;
	bool lossy; /* not all of it could be decoded */
};

struct mail_parts {
	uint32_t references; /* atomic */
	pthread_mutex_t lock;
	struct mail_bytes *bytes; /* held */
	struct pn_slice view;     /* of them; its data is never NULL */
	struct arena arena;
	size_t count, capacity;
	struct pn_part **parts;
};

/* Holds the bytes. 0, -EOVERFLOW (cannot be inspected), -ENOMEM. */
int mail_parts_read(struct mail_bytes *bytes, struct mail_parts **ret, struct pn_error *err);
struct mail_parts *mail_parts_hold(struct mail_parts *parts);
void mail_parts_release(struct mail_parts **parts);

/*
 * Counts the lines that may be boundaries, before any parser sees the message. -EOVERFLOW where
 * they are more than `most`.
 */
int mail_parts_scan(struct pn_slice bytes, size_t most);

/*
 * Could the header of a part behind the message's own have a byte that is not ASCII? By the lines
 * behind boundaries alone; true where that is not to be told.
 */
bool mail_parts_header_is_utf8(struct pn_slice bytes);

static inline struct pn_slice
mail_part_body(const struct pn_part *part)
{
	return pn_slice(part->tree->view.data + part->body, part->end - part->body);
}

/* Transfer encoding undone. -E2BIG, -ENOTSUP, -ENOMEM. Borrowed from the tree. */
int mail_part_raw(const struct pn_part *part, size_t most, struct pn_slice *ret);
/* As UTF-8. */
int mail_part_text(const struct pn_part *part, size_t most, struct pn_slice *ret);
/*
 * How many bytes of the decoded part make `offset` bytes of its text: -EINVAL if that is no border
 * between characters.
 */
int mail_part_find(const struct pn_part *part, struct pn_slice raw, size_t offset, size_t *ret);

/*
 * From UTF-8 into the part's charset. A character that is not in it: as an HTML reference if
 * `reference`, '?' if `force`; else -EILSEQ. Returns how many became '?'.
 */
struct mail_charset_how {
	bool reference, force;
};
int mail_part_encode(const struct pn_part *part, struct pn_slice raw, struct pn_slice text,
    struct mail_charset_how how, struct buf *ret);

/* pn_part_splice_text(), staged in `edits`. */
int mail_part_splice(const struct pn_part *part, size_t offset, size_t length, struct pn_slice text,
    struct arena *arena, struct mail_edits *edits);

/*
 * All of a part that is MAIL_ENCODING_PLAIN, to `encoding`: QP or BASE64; what it decodes to is the
 * same to the byte. -ENOTSUP where its header cannot say so.
 */
int mail_part_reencode(const struct pn_part *part, enum mail_encoding encoding, struct arena *arena,
    struct mail_edits *edits);

/* RFC 2045 section 6.7, continuing a line of which `column` characters stand already. */
int mail_qp_encode(struct pn_slice bytes, size_t column, struct buf *ret);

/* A field's value, unfolded and decoded, in the arena. */
const char *mail_header_text(struct pn_slice value, struct arena *arena);
size_t mail_header_mailboxes(
    struct pn_slice value, struct arena *arena, const struct pn_mailbox **ret);

#endif
