/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.c - the bytes of a message, counted by reference and against the memory budget; of a
 * large one the greater part is overflow.c's. Header fields are header.c's, edits message_edit.c's.
 *
 * Called by sessions (which fill), the chain (which edits), spool and couriers (which read), on
 * several threads. Must never change a byte that somebody else can see.
 */
#include <core/mail/message.h>
#include <errno.h>
#include <stdlib.h>

#define LEAST_CAPACITY 1024u
#define SPARE_KEPT     4096u /* less than that is not worth a realloc */

static struct {
	size_t most, used;
} budget;

/* ---- the budget ------------------------------------------------------------------------------ */

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

int
mail_memory_take(size_t len)
{
	return budget_take(len);
}

void
mail_memory_give(size_t len)
{
	budget_give(len);
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

/* ---- bytes ---------------------------------------------------------------------------------- */

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
mail_bytes_new_message(size_t capacity, unsigned how, struct mail_bytes **ret)
{
	bool overflows = mail_overflow_is_configured();
	int r = mail_bytes_new(
	    overflows && capacity > MAIL_IN_MEMORY ? MAIL_IN_MEMORY : capacity, ret);

	if (r < 0 || !overflows)
		return r;
	(*ret)->overflow_at = MAIL_IN_MEMORY;
	(*ret)->lazy = (how & MAIL_BYTES_LAZY) != 0;
	(*ret)->stays = (how & MAIL_BYTES_STAYS) != 0;
	return 0;
}

static int
append_in_memory(struct mail_bytes *bytes, const void *data, size_t len, size_t most)
{
	size_t capacity;
	int r;

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

/* Behind the empty line that ends the header; 0: it is not there yet. */
static size_t
find_body(const struct mail_bytes *bytes)
{
	const char *end;

	if (bytes->len >= 2 && memcmp(bytes->data, "\r\n", 2) == 0)
		return 2;
	end = memmem(bytes->data, bytes->len, "\r\n\r\n", 4);
	return end ? (size_t)(end - bytes->data) + 4 : 0;
}

/* All but the header and a little more is to leave memory from now on. */
static int
overflow(struct mail_bytes *bytes)
{
	size_t kept = find_body(bytes);
	int r;

	/* What was accepted has a header that was small enough then, whatever is now. */
	if (kept == 0 && (bytes->stays || bytes->len < mail_overflow_header_most())) {
		bytes->overflow_at = bytes->len * 2;
		return 0;
	}
	/* A header that is larger still is refused. */
	kept = kept == 0 ? bytes->len : kept < MAIL_KEPT ? MAIL_KEPT : kept;
	r = mail_overflow_new(bytes->stays, &bytes->rest);
	if (r == 0)
		r = mail_overflow_add(bytes->rest, pn_slice(bytes->data + kept, bytes->len - kept));
	if (r < 0) {
		mail_overflow_release(&bytes->rest);
		return r;
	}
	bytes->len = kept;
	mail_bytes_trim(bytes);
	return bytes->lazy ? 0 : mail_bytes_settle(bytes);
}

int
mail_bytes_append(struct mail_bytes *bytes, const void *data, size_t len, size_t most)
{
	size_t size = mail_bytes_size(bytes);
	int r;

	if (size > most || len > most - size)
		return -E2BIG;
	if (!bytes->rest) {
		r = append_in_memory(bytes, data, len, most);
		return r == 0 && bytes->overflow_at > 0 && bytes->len > bytes->overflow_at
			   ? overflow(bytes)
			   : r;
	}
	r = mail_overflow_add(bytes->rest, pn_slice(data, len));
	return r == 0 && !bytes->lazy && mail_bytes_is_due(bytes, false) ? mail_bytes_settle(bytes)
									 : r;
}

int
mail_bytes_append_part(
    struct mail_bytes *bytes, const struct mail_bytes *from, size_t offset, size_t len)
{
	size_t here = offset < from->len ? from->len - offset : 0;
	char *window;
	int r;

	if (here > len)
		here = len;
	r = mail_bytes_append(bytes, from->data + offset, here, SIZE_MAX);
	if (r < 0 || here == len)
		return r;
	window = malloc(MAIL_WINDOW);
	if (!window)
		return -ENOMEM;
	for (size_t at = here, part; r == 0 && at < len; at += part) {
		part = len - at < MAIL_WINDOW ? len - at : MAIL_WINDOW;
		r = mail_bytes_read(from, offset + at, window, part);
		if (r == 0)
			r = mail_bytes_append(bytes, window, part, SIZE_MAX);
	}
	free(window);
	return r;
}

bool
mail_bytes_is_due(const struct mail_bytes *bytes, bool all)
{
	return bytes->rest && mail_overflow_pending(bytes->rest) >= (all ? MAIL_KEPT : MAIL_WINDOW);
}

int
mail_bytes_settle(struct mail_bytes *bytes)
{
	return bytes->rest ? mail_overflow_write(bytes->rest) : 0;
}

void
mail_bytes_trim(struct mail_bytes *bytes)
{
	size_t spare = bytes->capacity - bytes->len;
	char *data;

	if (bytes->rest)
		mail_overflow_trim(bytes->rest);
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
	mail_overflow_release(&old->rest);
	budget_give(old->capacity);
	free(old->data);
	free(old);
}

/* ---- reading --------------------------------------------------------------------------------- */

int
mail_bytes_read(const struct mail_bytes *bytes, size_t offset, char *to, size_t len)
{
	size_t here = offset < bytes->len ? bytes->len - offset : 0;

	if (here > len)
		here = len;
	if (here > 0)
		memcpy(to, bytes->data + offset, here);
	if (here == len)
		return 0;
	return mail_overflow_read(bytes->rest, offset + here - bytes->len, to + here, len - here);
}

int
mail_bytes_whole(struct mail_bytes *bytes, struct mail_bytes **ret)
{
	size_t size = mail_bytes_size(bytes);
	struct mail_bytes *whole;
	int r;

	if (!bytes->rest) {
		*ret = mail_bytes_hold(bytes);
		return 0;
	}
	r = mail_bytes_new(size, &whole);
	if (r < 0)
		return r;
	r = mail_bytes_read(bytes, 0, whole->data, size);
	if (r < 0) {
		mail_bytes_release(&whole);
		return r;
	}
	whole->len = size;
	*ret = whole;
	return 0;
}

size_t
mail_bytes_need(uint64_t size)
{
	uint64_t most = mail_overflow_is_configured() ? MAIL_IN_MEMORY : SIZE_MAX;

	return (size_t)(size < most ? size : most);
}

/* Eight bytes a step: this looks at every byte of every message. */
bool
mail_any_eightbit(struct pn_slice bytes)
{
	const uint64_t high = 0x8080808080808080u;
	uint64_t seen = 0, word;
	size_t i = 0;

	for (; i + 32 <= bytes.len && !(seen & high); i += 32)
		for (size_t k = 0; k < 32; k += 8) {
			memcpy(&word, bytes.data + i + k, 8);
			seen |= word;
		}
	for (; i < bytes.len; i++)
		seen |= (uint64_t)(unsigned char)bytes.data[i];
	return (seen & high) != 0;
}

bool
mail_bytes_has_eightbit(const struct mail_bytes *bytes, size_t offset)
{
	if (bytes->rest && mail_overflow_has_eightbit(bytes->rest))
		return true;
	return offset < bytes->len &&
	       mail_any_eightbit(pn_slice(bytes->data + offset, bytes->len - offset));
}
