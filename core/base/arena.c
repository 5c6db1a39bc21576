/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.c - pools that are dropped whole.
 *
 * Blocks start small, so that an idle session stays small, and double up to 64 KiB.
 */
#include <core/base/arena.h>
#include <core/base/log.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_BLOCK 512u
#define MOST_BLOCK  (64u * 1024)

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	alignas(max_align_t) char bytes[];
};

static struct arena_block *
add_block(struct arena *arena, size_t size)
{
	struct arena_block *block;

	block = size > SIZE_MAX / 2 ? NULL : calloc(1, sizeof(*block) + size);
	if (!block) {
		log_text(PN_LOG_ERROR, "out of memory");
		abort();
	}
	block->size = size;
	block->next = arena->blocks;
	arena->blocks = block;
	return block;
}

static struct arena_block *
grow(struct arena *arena, size_t least)
{
	size_t size = arena->blocks ? arena->blocks->size * 2
				    : FIRST_BLOCK - sizeof(struct arena_block);

	if (size > MOST_BLOCK)
		size = MOST_BLOCK;
	return add_block(arena, size < least ? least : size);
}

static void *
take(struct arena *arena, size_t size, size_t align)
{
	struct arena_block *block = arena->blocks;
	size_t at = block ? (block->used + align - 1) & ~(align - 1) : 0;

	if (size > SIZE_MAX / 2)
		abort();
	if (!block || at > block->size || block->size - at < size) {
		block = grow(arena, size);
		at = 0;
	}
	block->used = at + size;
	return block->bytes + at;
}

void *
arena_alloc(struct arena *arena, size_t size)
{
	return take(arena, size, alignof(max_align_t));
}

void
arena_reserve(struct arena *arena, size_t size)
{
	if (size > 0)
		add_block(arena, size);
}

size_t
arena_used(const struct arena *arena)
{
	const size_t align = alignof(max_align_t);
	size_t used = 0;

	for (const struct arena_block *block = arena->blocks; block; block = block->next)
		used += (block->used + align - 1) & ~(align - 1);
	return used;
}

void *
arena_copy(struct arena *arena, const void *bytes, size_t size)
{
	void *copy = arena_alloc(arena, size);

	if (size > 0)
		memcpy(copy, bytes, size);
	return copy;
}

char *
arena_slice(struct arena *arena, struct pn_slice bytes)
{
	char *copy = arena_alloc(arena, bytes.len + 1);

	if (bytes.len > 0)
		memcpy(copy, bytes.data, bytes.len);
	return copy;
}

char *
arena_text_of(struct arena *arena, struct pn_slice text)
{
	char *copy = take(arena, text.len + 1, 1);

	if (text.len > 0)
		memcpy(copy, text.data, text.len);
	return copy;
}

char *
arena_text(struct arena *arena, const char *text)
{
	return text ? arena_text_of(arena, pn_slice_of(text)) : NULL;
}

char *
arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args;
	char *text;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0)
		abort();
	text = take(arena, (size_t)len + 1, 1);
	va_start(args, format);
	vsnprintf(text, (size_t)len + 1, format, args);
	va_end(args);
	return text;
}

static void
drop(struct arena *arena, bool wipe)
{
	struct arena_block *next;

	for (struct arena_block *block = arena->blocks; block; block = next) {
		next = block->next;
		if (wipe)
			explicit_bzero(block->bytes, block->size);
		free(block);
	}
	arena->blocks = NULL;
}

void
arena_free(struct arena *arena)
{
	drop(arena, false);
}

void
arena_wipe(struct arena *arena)
{
	drop(arena, true);
}
