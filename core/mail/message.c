/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.c - the bytes of a message, counted by reference and against the memory budget, and the
 * splices that make new bytes out of old ones. Header fields are header.c's.
 *
 * Called by sessions (which fill), the chain (which edits), spool and couriers (which read), on
 * several threads. Must never change a byte that somebody else can see.
 */
#include <core/mail/message.h>
#include <errno.h>
#include <stdlib.h>

#define LEAST_CAPACITY 1024u
#define SPARE_KEPT     4096u /* less than that is not worth a realloc */
#define EDITS_CAPACITY 8u

static struct {
	size_t most, used;
} budget;

/* ---- bytes ---------------------------------------------------------------------------------- */

void
mail_bytes_budget(size_t most)
{
	__atomic_store_n(&budget.most, most, __ATOMIC_RELAXED);
}

size_t
mail_bytes_in_use(void)
{
	return __atomic_load_n(&budget.used, __ATOMIC_RELAXED);
}

static void
budget_give(size_t len)
{
	__atomic_fetch_sub(&budget.used, len, __ATOMIC_RELAXED);
}

static int
budget_take(size_t len)
{
	size_t most = __atomic_load_n(&budget.most, __ATOMIC_RELAXED);
	size_t used = __atomic_add_fetch(&budget.used, len, __ATOMIC_RELAXED);

	if (most == 0 || used <= most)
		return 0;
	budget_give(len);
	return -ENOMEM;
}

/* realloc() moves large blocks by mremap(), so doubling copies little. */
static int
grow(struct mail_bytes *bytes, size_t capacity)
{
	size_t more = capacity - bytes->capacity;
	char *data;
	int r;

	r = budget_take(more);
	if (r < 0)
		return r;
	data = realloc(bytes->data, capacity);
	if (!data) {
		budget_give(more);
		return -ENOMEM;
	}
	bytes->data = data;
	bytes->capacity = capacity;
	return 0;
}

int
mail_bytes_new(size_t capacity, struct mail_bytes **ret)
{
	struct mail_bytes *bytes = calloc(1, sizeof(*bytes));
	int r;

	if (!bytes)
		return -ENOMEM;
	bytes->references = 1;
	r = capacity > 0 ? grow(bytes, capacity) : 0;
	if (r < 0) {
		free(bytes);
		return r;
	}
	*ret = bytes;
	return 0;
}

int
mail_bytes_append(struct mail_bytes *bytes, const void *data, size_t len, size_t most)
{
	size_t capacity;
	int r;

	if (bytes->len > most || len > most - bytes->len)
		return -E2BIG;
	if (len > bytes->capacity - bytes->len) {
		capacity = bytes->capacity > SIZE_MAX / 2 ? SIZE_MAX : bytes->capacity * 2;
		if (capacity < LEAST_CAPACITY)
			capacity = LEAST_CAPACITY;
		if (capacity > most)
			capacity = most;
		if (capacity < bytes->len + len)
			capacity = bytes->len + len;
		r = grow(bytes, capacity);
		if (r < 0)
			return r;
	}
	if (len > 0)
		memcpy(bytes->data + bytes->len, data, len);
	bytes->len += len;
	return 0;
}

void
mail_bytes_trim(struct mail_bytes *bytes)
{
	size_t spare = bytes->capacity - bytes->len;
	char *data;

	if (spare < SPARE_KEPT || bytes->len == 0)
		return;
	data = realloc(bytes->data, bytes->len);
	if (!data)
		return; /* it stays as large as it is */
	bytes->data = data;
	bytes->capacity = bytes->len;
	budget_give(spare);
}

struct mail_bytes *
mail_bytes_hold(struct mail_bytes *bytes)
{
	__atomic_fetch_add(&bytes->references, 1, __ATOMIC_RELAXED);
	return bytes;
}

void
mail_bytes_release(struct mail_bytes **bytes)
{
	struct mail_bytes *old = *bytes;

	*bytes = NULL;
	if (!old || __atomic_sub_fetch(&old->references, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	budget_give(old->capacity);
	free(old->data);
	free(old);
}

/* ---- edits ---------------------------------------------------------------------------------- */

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
