/* SPDX-License-Identifier: Apache-2.0 */
/*
 * marks.c - where each setting stood in YAML, for complaints by path after the tree is gone.
 *
 * Called by modules' check and prepare through pn_complain() and pn_warn(), and by the core's own
 * checks. A path that leads nowhere gives the nearest place above it, never an error.
 */
#include <core/config/option.h>
#include <stdio.h>
#include <stdlib.h>

struct settings_marks {
	const char *key; /* NULL in a list */
	struct config_mark mark;
	enum config_node_kind kind;
	size_t count;
	struct settings_marks *children;
};

struct copy {
	struct arena *arena;
	const char *seen, *file; /* the last file name: the tree's, and our copy */
};

static struct config_mark
keep_mark(struct copy *copy, struct config_mark mark)
{
	if (mark.file && mark.file != copy->seen) {
		copy->seen = mark.file;
		copy->file = arena_text(copy->arena, mark.file);
	}
	if (mark.file)
		mark.file = copy->file;
	return mark;
}

static void
copy_marks(struct copy *copy, const struct config_node *node, struct settings_marks *ret)
{
	ret->mark = keep_mark(copy, node->mark);
	ret->kind = node->kind;
	ret->count = node->count;
	ret->children = arena_alloc(copy->arena, node->count * sizeof(*ret->children));
	for (size_t i = 0; i < node->count; i++) {
		if (node->kind == CONFIG_MAP)
			ret->children[i].key = arena_text(copy->arena, node->keys[i]->text);
		copy_marks(copy, node->items[i], &ret->children[i]);
	}
}

struct settings_marks *
marks_copy(struct arena *arena, const struct config_node *node, struct config_mark mark)
{
	struct copy copy = { .arena = arena };
	struct settings_marks *marks = arena_alloc(arena, sizeof(*marks));

	if (node)
		copy_marks(&copy, node, marks);
	if (!node || !marks->mark.file)
		marks->mark = keep_mark(&copy, mark);
	return marks;
}

/* Keys may hold dots ("domains.clinic.example.text"), so the longest key that fits is taken. */
static const struct settings_marks *
child_by_key(const struct settings_marks *marks, const char **path)
{
	const struct settings_marks *best = NULL;
	size_t longest = 0;

	for (size_t i = 0; marks->kind == CONFIG_MAP && i < marks->count; i++) {
		const char *key = marks->children[i].key;
		size_t len = strlen(key);
		char end = strncmp(*path, key, len) == 0 ? (*path)[len] : 'x';

		if ((end == '\0' || end == '.' || end == '[') && len >= longest) {
			best = &marks->children[i];
			longest = len;
		}
	}
	*path += longest;
	return best;
}

static const struct settings_marks *
child_by_index(const struct settings_marks *marks, const char **path)
{
	char *end;
	unsigned long index = strtoul(*path + 1, &end, 10);

	if (*end != ']' || marks->kind != CONFIG_LIST || index >= marks->count)
		return NULL;
	*path = end + 1;
	return &marks->children[index];
}

struct config_mark
settings_mark(const struct settings *settings, const char *path)
{
	const struct settings_marks *marks = settings->marks, *child;

	if (!marks)
		return (struct config_mark){ 0 };
	for (path = path ? path : ""; *path; marks = child) {
		child = *path == '[' ? child_by_index(marks, &path) : child_by_key(marks, &path);
		if (!child)
			break;
		path += *path == '.';
	}
	return marks->mark;
}

PN_PRINTF(4, 0)
static void
say(struct pn_check *check, enum diag_kind kind, const char *path, const char *format, va_list args)
{
	bool has_path = path && *path;
	char text[1000];

	vsnprintf(text, sizeof(text), format, args);
	diag_add(check->diags, kind, settings_mark(check->settings, path), "%s%s%s: %s",
	    check->where, has_path && *path != '[' ? "." : "", has_path ? path : "", text);
}

void
pn_complain(struct pn_check *check, const char *path, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(check, DIAG_ERROR, path, format, args);
	va_end(args);
}

void
pn_warn(struct pn_check *check, const char *path, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(check, DIAG_WARNING, path, format, args);
	va_end(args);
}
