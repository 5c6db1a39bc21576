/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message_edit.c - splices that make new bytes of a message out of old ones.
 *
 * Called by the chain for what hooks have staged, and for the core's own edits. Must never change a
 * byte that somebody else can see.
 */
#include <core/mail/message.h>
#include <errno.h>

#define EDITS_CAPACITY 8u

static bool
is_insert(const struct mail_splice *splice)
{
	return splice->length == 0;
}

/* Where `offset` comes in: behind all that begin before it, and an insert before a replacement. */
static size_t
find_place(const struct mail_edits *edits, size_t offset, size_t length)
{
	size_t at = edits->count;

	while (at > 0) {
		const struct mail_splice *before = &edits->splices[at - 1];

		if (before->offset < offset)
			break;
		if (before->offset == offset && (is_insert(before) || length > 0))
			break;
		at--;
	}
	return at;
}

/* An insert touches a replaced range only strictly inside it; two replacements may not meet. */
static bool
overlaps(const struct mail_edits *edits, size_t at, size_t offset, size_t length)
{
	if (at > 0) {
		const struct mail_splice *before = &edits->splices[at - 1];

		if (before->offset + before->length > offset)
			return true;
	}
	/* What comes behind begins at or after `offset`. */
	return at < edits->count && offset + length > edits->splices[at].offset;
}

static void
reserve(struct mail_edits *edits, struct arena *arena)
{
	struct mail_splice *more;

	if (edits->count < edits->capacity)
		return;
	edits->capacity = edits->capacity ? edits->capacity * 2 : EDITS_CAPACITY;
	more = arena_alloc(arena, edits->capacity * sizeof(*more));
	if (edits->count > 0)
		memcpy(more, edits->splices, edits->count * sizeof(*more));
	edits->splices = more;
}

int
mail_edits_add(struct mail_edits *edits, struct arena *arena, size_t offset, size_t length,
    struct pn_slice bytes)
{
	struct mail_splice *splice;
	size_t at;

	if (offset > SIZE_MAX - length)
		return -EINVAL;
	if (length == 0 && bytes.len == 0)
		return 0;
	at = find_place(edits, offset, length);
	if (overlaps(edits, at, offset, length))
		return -EINVAL;
	reserve(edits, arena);
	splice = &edits->splices[at];
	memmove(splice + 1, splice, (edits->count - at) * sizeof(*splice));
	*splice = (struct mail_splice){
		.offset = offset,
		.length = length,
		.bytes = pn_slice(arena_slice(arena, bytes), bytes.len),
		.order = (uint32_t)edits->count,
	};
	edits->count++;
	return 0;
}

/* Size of the outcome; -EINVAL where a splice lies outside. */
static int
measure(const struct mail_edits *edits, size_t len, size_t most, size_t *ret)
{
	size_t taken = 0, added = 0;

	for (size_t i = 0; i < edits->count; i++) {
		const struct mail_splice *splice = &edits->splices[i];

		if (splice->offset > len || splice->length > len - splice->offset)
			return -EINVAL;
		if (splice->bytes.len > SIZE_MAX - added)
			return -E2BIG;
		taken += splice->length; /* never overlapping, so never more than len */
		added += splice->bytes.len;
	}
	if (added > most || len - taken > most - added)
		return -E2BIG;
	*ret = len - taken + added;
	return 0;
}

static void
put(struct mail_bytes *to, const char *data, size_t len)
{
	if (len == 0)
		return;
	memcpy(to->data + to->len, data, len);
	to->len += len;
}

int
mail_edits_apply(
    const struct mail_edits *edits, struct pn_slice from, size_t most, struct mail_bytes **ret)
{
	struct mail_bytes *to;
	size_t len, done = 0;
	int r;

	r = measure(edits, from.len, most, &len);
	if (r < 0)
		return r;
	r = mail_bytes_new(len, &to);
	if (r < 0)
		return r;
	for (size_t i = 0; i < edits->count; i++) {
		const struct mail_splice *splice = &edits->splices[i];

		put(to, from.data + done, splice->offset - done);
		put(to, splice->bytes.data, splice->bytes.len);
		done = splice->offset + splice->length;
	}
	put(to, from.data + done, from.len - done);
	*ret = to;
	return 0;
}

static bool
are_in_front(const struct mail_edits *edits, const struct mail_bytes *from)
{
	for (size_t i = 0; i < edits->count; i++) {
		const struct mail_splice *splice = &edits->splices[i];

		if (splice->offset > from->len || splice->length > from->len - splice->offset)
			return false;
	}
	return true;
}

/* What has overflowed is edited: made anew, in a file of its own. */
static int
edit_windows(const struct mail_bytes *from, const struct mail_edits *edits, struct mail_bytes *to)
{
	size_t done = 0, len;
	int r = measure(edits, mail_bytes_size(from), SIZE_MAX, &len);

	for (size_t i = 0; r == 0 && i < edits->count; i++) {
		const struct mail_splice *splice = &edits->splices[i];

		r = mail_bytes_append_part(to, from, done, splice->offset - done);
		if (r == 0)
			r = mail_bytes_append(to, splice->bytes.data, splice->bytes.len, SIZE_MAX);
		done = splice->offset + splice->length;
	}
	return r < 0 ? r : mail_bytes_append_part(to, from, done, mail_bytes_size(from) - done);
}

int
mail_bytes_edit(struct mail_bytes *from, const struct mail_edits *edits, struct mail_bytes **ret)
{
	struct mail_bytes *to = NULL;
	int r;

	if (!from->rest || are_in_front(edits, from)) {
		r = mail_edits_apply(edits, mail_bytes_front(from), SIZE_MAX, &to);
		if (r == 0 && from->rest)
			to->rest = mail_overflow_hold(from->rest);
	} else {
		r = mail_bytes_new_message(MAIL_IN_MEMORY, 0, &to);
		if (r == 0)
			r = edit_windows(from, edits, to);
		if (r < 0)
			mail_bytes_release(&to);
		else
			mail_bytes_trim(to);
	}
	if (r == 0)
		*ret = to;
	return r;
}
