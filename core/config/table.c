/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.c - is a table of options sound in itself?
 *
 * Called by tests over every table of the tree, and before a module from outside is used: its table
 * decides where settings.c writes.
 */
#include <core/config/option.h>
#include <core/config/parse.h>
#include <stdio.h>

#define NESTED_MOST 16u
#define ROWS_MOST   250u

struct table_check {
	size_t row_size;
	unsigned depth;
	bool below; /* inside a list, a map or a union, which are overridden as a whole */
	char *text; /* of the fault */
	size_t size;
};

static bool
fault(const struct table_check *check, const char *name, const char *text)
{
	snprintf(check->text, check->size, "%s: %s", name ? name : "(value)", text);
	return false;
}

static size_t
field_size(const struct pn_option *row)
{
	static const size_t sizes[] = {
		[PN_TYPE_STRING] = sizeof(const char *),
		[PN_TYPE_BOOL] = sizeof(bool),
		[PN_TYPE_INT] = sizeof(int64_t),
		[PN_TYPE_SIZE] = sizeof(int64_t),
		[PN_TYPE_DURATION] = sizeof(int64_t),
		[PN_TYPE_CHOICE] = sizeof(int),
		[PN_TYPE_SECRET] = sizeof(struct pn_secret *),
		[PN_TYPE_STRINGS] = sizeof(struct pn_strings),
		[PN_TYPE_LIST] = sizeof(struct pn_list),
		[PN_TYPE_MAP] = sizeof(struct pn_map),
		[PN_TYPE_UNION] = sizeof(struct pn_list),
	};

	return row->type == PN_TYPE_GROUP ? row->nested_size : sizes[row->type];
}

static bool
is_key(const char *name)
{
	return *name >= 'a' && *name <= 'z' &&
	       name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0';
}

static bool
is_numeric(const struct pn_option *row)
{
	return row->type >= PN_TYPE_INT && row->type <= PN_TYPE_DURATION;
}

static bool
has_zero(const struct pn_choice *choices)
{
	for (; choices->word; choices++)
		if (choices->value == 0)
			return true;
	return false;
}

static bool
check_words(const struct table_check *check, const struct pn_option *row)
{
	struct pn_error err;
	int value;

	if (row->type != PN_TYPE_CHOICE && row->type != PN_TYPE_STRINGS)
		return !row->choices || fault(check, row->name, "choices, but no CHOICE or WORDS");
	if (row->type == PN_TYPE_CHOICE && !row->choices)
		return fault(check, row->name, "no choices");
	if (row->type == PN_TYPE_CHOICE && !row->fallback && !(row->flags & PN_REQUIRED) &&
	    !has_zero(row->choices))
		return fault(check, row->name, "no default, and 0 is no choice");
	for (size_t i = 0; row->choices && row->choices[i].word; i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(row->choices[i].word, row->choices[j].word) == 0)
				return fault(check, row->name, "a choice stands twice");
	if (row->type == PN_TYPE_CHOICE && row->fallback &&
	    option_choose(row->choices, row->fallback, &value, &err) < 0)
		return fault(check, row->name, "the default is no choice");
	return true;
}

/* A list's default: YAML, each item a word that may stand there. */
static bool
check_list_default(const struct table_check *check, const struct pn_option *row)
{
	struct parse_budget budget = { 0 };
	struct arena arena = { 0 };
	struct diags diags = { 0 };
	const struct config_node *node;
	struct pn_error err;
	bool whole, good;
	int value;

	node = parse_yaml(pn_slice_of(row->fallback), NULL, &arena, &budget, &diags, &whole);
	good = node && diags.errors == 0 && node->kind != CONFIG_MAP;
	for (size_t i = 0; good && node->kind == CONFIG_LIST && i < node->count; i++)
		good = node->items[i]->kind == CONFIG_SCALAR &&
		       (!row->choices ||
			   option_choose(row->choices, node->items[i]->text, &value, &err) == 0);
	if (good && node->kind == CONFIG_SCALAR && row->choices)
		good = option_choose(row->choices, node->text, &value, &err) == 0;
	arena_free(&arena);
	diags_free(&diags);
	return good || fault(check, row->name, "the default is no list of what may stand there");
}

static bool
check_default(const struct table_check *check, const struct pn_option *row)
{
	struct pn_error err;
	int64_t number;
	bool is_yes;

	if (!row->fallback)
		return true;
	if (row->flags & PN_REQUIRED)
		return fault(check, row->name, "required, and yet a default");
	if (row->type == PN_TYPE_STRINGS)
		return check_list_default(check, row);
	if (row->type == PN_TYPE_BOOL)
		return option_read(row, row->fallback, &is_yes, &err) == 0 ||
		       fault(check, row->name, "the default is neither yes nor no");
	if (is_numeric(row))
		return option_read(row, row->fallback, &number, &err) == 0 ||
		       fault(check, row->name, "the default does not parse or is out of range");
	return row->type == PN_TYPE_STRING || row->type == PN_TYPE_CHOICE ||
	       fault(check, row->name, "this type takes no default");
}

static bool
check_range(const struct table_check *check, const struct pn_option *row)
{
	bool ranged = row->min != 0 || row->max != 0;

	if (ranged && !is_numeric(row))
		return fault(check, row->name, "a range, but no number");
	if (row->min > row->max)
		return fault(check, row->name, "min is larger than max");
	if (ranged && (row->type == PN_TYPE_SIZE || row->type == PN_TYPE_DURATION) && row->min < 0)
		return fault(check, row->name, "can never be negative");
	return true;
}

static bool
check_row(const struct table_check *check, const struct pn_option *row, size_t size)
{
	if (row->type > PN_TYPE_UNION)
		return fault(check, row->name, "unknown type; made for a newer Postern?");
	if (row->name && !is_key(row->name))
		return fault(check, row->name, "not a key: a-z, 0-9, _ and - after a letter");
	if (!row->help || !*row->help)
		return fault(check, row->name, "no help");
	if (row->flags &
	    ~(PN_REQUIRED | PN_PATH | PN_SCOPED | PN_FILE_ONLY | PN_ACCOUNT_ONLY | PN_WHOLE))
		return fault(check, row->name, "unknown flags");
	if (row->flags & PN_ACCOUNT_ONLY && !(row->flags & PN_SCOPED))
		return fault(check, row->name, "PN_ACCOUNT_ONLY without PN_SCOPED");
	if (row->flags & PN_WHOLE && (!(row->flags & PN_SCOPED) || row->type != PN_TYPE_GROUP))
		return fault(check, row->name, "PN_WHOLE, but no group with PN_SCOPED");
	if (row->flags & PN_SCOPED && check->below)
		return fault(check, row->name, "PN_SCOPED, but the list or map is one as a whole");
	if (row->flags & PN_PATH && row->type != PN_TYPE_STRING && row->type != PN_TYPE_STRINGS)
		return fault(check, row->name, "PN_PATH, but neither STRING nor STRINGS");
	if (size > 0 && (row->offset > size || field_size(row) > size - row->offset))
		return fault(check, row->name, "its field lies outside the struct");
	return check_range(check, row) && check_words(check, row) && check_default(check, row);
}

static bool check_rows(struct table_check *check, const struct pn_option *rows, size_t size);

static bool
check_nested(struct table_check *check, const struct pn_option *row)
{
	bool nests = row->type == PN_TYPE_GROUP || row->type >= PN_TYPE_LIST;
	bool sound, was_below;

	if (nests != (row->nested != NULL) || nests != (row->nested_size > 0))
		return fault(check, row->name, nests ? "no nested rows" : "nested rows of no use");
	if (!nests)
		return true;
	if ((row->type == PN_TYPE_GROUP || row->type == PN_TYPE_UNION) &&
	    option_is_bare(row->nested, check->row_size))
		return fault(check, row->name, "nested rows need keys here");
	if (++check->depth > NESTED_MOST)
		return fault(check, row->name, "nested too deep");
	was_below = check->below;
	check->below |= row->type != PN_TYPE_GROUP;
	sound = check_rows(check, row->nested, row->nested_size);
	check->below = was_below;
	check->depth--;
	return sound;
}

static bool
is_twin(const struct table_check *check, const struct pn_option *rows, size_t index)
{
	struct pn_option row = option_row(rows, check->row_size, index), other;

	for (size_t i = 0; i < index; i++) {
		other = option_row(rows, check->row_size, i);
		if (!row.name || !other.name || strcmp(row.name, other.name) == 0)
			return true;
	}
	return false;
}

static bool
check_rows(struct table_check *check, const struct pn_option *rows, size_t size)
{
	struct pn_option row;

	for (size_t i = 0; (row = option_row(rows, check->row_size, i)).type != PN_TYPE_END; i++) {
		if (i >= ROWS_MOST)
			return fault(check, row.name, "too many rows, or no end");
		if (is_twin(check, rows, i))
			return fault(check, row.name, "stands twice, or has no key of its own");
		if (!check_row(check, &row, size) || !check_nested(check, &row))
			return false;
	}
	return true;
}

const char *
settings_struct_fault(const struct pn_option *rows, size_t row_size, size_t size)
{
	static _Thread_local char text[200];
	struct table_check check = { .row_size = row_size, .text = text, .size = sizeof(text) };

	if (row_size < offsetof(struct pn_option, reserved))
		return "rows are shorter than any version of them";
	return check_rows(&check, rows, size) ? NULL : text;
}

const char *
settings_table_fault(const struct pn_option *rows, size_t row_size)
{
	return settings_struct_fault(rows, row_size, 0);
}
