/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diag.c - collects what is wrong with a configuration and writes it as lines.
 *
 * Called by everything under core/config and by whoever checks settings after it. Keeps copies, so
 * a problem outlives the tree it speaks of. Must never be handed a secret.
 */
#include <core/config/diag.h>
#include <stdio.h>
#include <stdlib.h>

/* A file of nonsense must not fill the memory with complaints about it. */
#define DIAGS_MOST 1000u

/* One line stays one line: controls, C1 ones (C2 80 to C2 9F) too, are shown as "?". */
static void
tame(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++) {
		if (*c < ' ' || *c == 0x7f)
			*c = '?';
		else if (*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
			c[0] = c[1] = '?';
	}
}

static struct diag *
next_diag(struct diags *diags)
{
	if (diags->count == diags->capacity) {
		size_t capacity = diags->capacity ? diags->capacity * 2 : 16;
		struct diag *items = arena_alloc(&diags->arena, capacity * sizeof(*items));

		if (diags->count > 0)
			memcpy(items, diags->items, diags->count * sizeof(*items));
		diags->items = items;
		diags->capacity = capacity;
	}
	return &diags->items[diags->count++];
}

static const char *
keep_file(struct diags *diags, const char *file)
{
	const char *last = diags->count > 1 ? diags->items[diags->count - 2].mark.file : NULL;

	return last && file && strcmp(last, file) == 0 ? last : arena_text(&diags->arena, file);
}

void
diag_add(struct diags *diags, enum diag_kind kind, struct config_mark mark, const char *format, ...)
{
	va_list args;
	struct diag *diag;
	char *text;
	int len;

	diags->errors += kind == DIAG_ERROR;
	if (diags->count > DIAGS_MOST)
		return;
	diag = next_diag(diags);
	*diag = (struct diag){ .kind = kind, .mark = mark };
	if (diags->count > DIAGS_MOST) {
		diag->mark = (struct config_mark){ 0 };
		diag->text = "there are more problems than are shown here";
		return;
	}
	diag->mark.file = keep_file(diags, mark.file);
	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	text = arena_alloc(&diags->arena, (size_t)(len < 0 ? 0 : len) + 1);
	va_start(args, format);
	vsnprintf(text, (size_t)(len < 0 ? 0 : len) + 1, format, args);
	va_end(args);
	tame(text);
	diag->text = text;
}

static int
compare(const void *left, const void *right)
{
	const struct diag *a = left, *b = right;
	int r = strcmp(a->mark.file ? a->mark.file : "", b->mark.file ? b->mark.file : "");

	if (r == 0 && a->mark.line != b->mark.line)
		r = a->mark.line < b->mark.line ? -1 : 1;
	if (r == 0 && a->mark.column != b->mark.column)
		r = a->mark.column < b->mark.column ? -1 : 1;
	if (r == 0)
		r = (int)a->kind - (int)b->kind;
	return r != 0 ? r : strcmp(a->text, b->text);
}

void
diags_sort(struct diags *diags)
{
	size_t kept = 0;

	if (diags->count < 2)
		return;
	qsort(diags->items, diags->count, sizeof(*diags->items), compare);
	for (size_t i = 1; i < diags->count; i++)
		if (compare(&diags->items[kept], &diags->items[i]) != 0)
			diags->items[++kept] = diags->items[i];
		else
			diags->errors -= diags->items[i].kind == DIAG_ERROR;
	diags->count = kept + 1;
}

const char *
diag_format(const struct diag *diag, struct arena *arena)
{
	const char *kind = diag->kind == DIAG_WARNING ? "warning: " : "";

	if (!diag->mark.file)
		return arena_printf(arena, "%s%s", kind, diag->text);
	if (diag->mark.line == 0)
		return arena_printf(arena, "%s: %s%s", diag->mark.file, kind, diag->text);
	return arena_printf(arena, "%s:%u:%u: %s%s", diag->mark.file, diag->mark.line,
	    diag->mark.column, kind, diag->text);
}

void
diags_free(struct diags *diags)
{
	arena_free(&diags->arena);
	*diags = (struct diags){ 0 };
}
