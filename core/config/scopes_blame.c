/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scopes_blame.c - whose settings a complaint is about, where several layers were laid over one
 * another.
 *
 * Called when the effective settings of a stack were filled in or checked. A value that a domain
 * has must not be told as the user's for whom it was found.
 */
#include <core/config/overlay.h>

static bool
is_mark(const struct config_mark *a, const struct config_mark *b)
{
	return a->line == b->line && a->column == b->column && a->file && b->file &&
	       strcmp(a->file, b->file) == 0;
}

static bool
has_mark(const struct config_node *node, const struct config_mark *mark)
{
	if (!node || is_mark(&node->mark, mark))
		return node;
	for (size_t i = 0; i < node->count; i++)
		if ((node->keys && is_mark(&node->keys[i]->mark, mark)) ||
		    has_mark(node->items[i], mark))
			return true;
	return false;
}

/* The strongest that has it; the top of the stack where it is nobody's, as what is missing. */
static const char *
whose(const struct scopes *scopes, const struct scope_stack *stack, const struct config_mark *mark)
{
	for (size_t i = stack->count; i-- > 0;) {
		const struct scope_layer *layer = &scopes->layers[stack->layers[i]];

		if (has_mark(layer->node, mark))
			return layer->where;
	}
	if (has_mark(scopes->section, mark))
		return scopes->how.where;
	return scopes_where(scopes, stack);
}

const char *
scopes_where(const struct scopes *scopes, const struct scope_stack *stack)
{
	return stack->count > 0 ? scopes->layers[stack->layers[stack->count - 1]].where
				: scopes->how.where;
}

void
scopes_blame(
    const struct scopes *scopes, const struct scope_stack *stack, struct diags *diags, size_t first)
{
	const char *told = scopes_where(scopes, stack);
	size_t len = strlen(told);

	for (size_t i = first; i < diags->count; i++) {
		struct diag *diag = &diags->items[i];
		const char *owner = whose(scopes, stack, &diag->mark);

		if (owner != told && strncmp(diag->text, told, len) == 0)
			diag->text = arena_printf(&diags->arena, "%s%s", owner, diag->text + len);
	}
}
