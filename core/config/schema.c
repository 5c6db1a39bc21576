/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.c - tables of options as JSON Schema.
 *
 * Called by `posternctl schema`. Everything comes from the table; a YAML reader may hand numbers
 * and yes/no over as such or as texts, so both are good wherever the table takes the text.
 */
#include <core/config/option.h>
#include <core/config/schema.h>
#include <core/config/scopes.h>

static json_t *
typed(const char *type)
{
	return json_pack("{s:s}", "type", type);
}

static json_t *
any_of(json_t *a, json_t *b)
{
	return json_pack("{s:[o,o]}", "anyOf", a, b);
}

/* Anything that stands on a line of its own: a text, also where it looks like a number. */
static json_t *
text(void)
{
	return json_pack("{s:[s,s,s]}", "type", "string", "number", "boolean");
}

static json_t *
number(const struct pn_option *row, const char *pattern)
{
	json_t *plain = typed("integer"), *written = typed("string");

	if (row->min != 0 || row->max != 0) {
		json_object_set_new(plain, "minimum", json_integer(row->min));
		if (row->max != INT64_MAX)
			json_object_set_new(plain, "maximum", json_integer(row->max));
	}
	json_object_set_new(written, "pattern", json_string(pattern));
	return any_of(plain, written);
}

static json_t *
duration(void)
{
	json_t *written = typed("string");

	json_object_set_new(written, "pattern",
	    json_string("^([0-9]+([yY]|[wW]|[dD]|[hH]|[mM]|[sS]"
			"|[mM][sS])|0)$"));
	return any_of(written, json_pack("{s:i}", "const", 0));
}

/* YAML 1.1 reads these words as truth values, and an editor may. */
static void
add_word(json_t *words, const char *word)
{
	static const char *const yes[] = { "yes", "on", "true" }, *const no[] = { "no", "off",
		"false" };

	json_array_append_new(words, json_string(word));
	for (size_t i = 0; i < 3; i++) {
		if (strcmp(word, yes[i]) == 0)
			json_array_append_new(words, json_true());
		if (strcmp(word, no[i]) == 0)
			json_array_append_new(words, json_false());
	}
}

static json_t *
choice(const struct pn_choice *choices)
{
	json_t *words = json_array();

	for (; choices && choices->word; choices++)
		add_word(words, choices->word);
	return json_pack("{s:o}", "enum", words);
}

static json_t *
truth(void)
{
	static const struct pn_choice words[] = { { "yes", 1, NULL }, { "no", 0, NULL },
		{ "true", 1, NULL }, { "false", 0, NULL }, { "on", 1, NULL }, { "off", 0, NULL },
		{ NULL, 0, NULL } };
	json_t *ret = json_pack("{s:[b,b]}", "enum", 1, 0);

	for (size_t i = 0; words[i].word; i++)
		json_array_append_new(json_object_get(ret, "enum"), json_string(words[i].word));
	return ret;
}

static json_t *
list_of(json_t *item, bool required)
{
	json_t *ret = json_pack("{s:s, s:o}", "type", "array", "items", item);

	if (required)
		json_object_set_new(ret, "minItems", json_integer(1));
	return ret;
}

/* `- word: value`, or the word alone where its row need not have a value. */
static json_t *
tagged(const struct pn_option *rows, size_t row_size)
{
	json_t *kinds = json_array(), *bare = json_array();
	struct pn_option row;

	for (size_t i = 0; (row = option_row(rows, row_size, i)).type != PN_TYPE_END; i++) {
		struct pn_option only[2] = { row, PN_OPT_END };
		json_t *kind = schema_table(only, sizeof(only[0]));

		json_object_set_new(kind, "minProperties", json_integer(1));
		json_array_append_new(kinds, kind);
		if (!(row.flags & PN_REQUIRED))
			json_array_append_new(bare, json_string(row.name));
	}
	json_array_append_new(kinds, json_pack("{s:o}", "enum", bare));
	return json_pack("{s:o}", "anyOf", kinds);
}

static json_t *
map_of(const struct pn_option *rows, size_t row_size)
{
	return json_pack("{s:[s,s], s:o}", "type", "object", "null", "additionalProperties",
	    schema_table(rows, row_size));
}

static json_t *
value(const struct pn_option *row, size_t row_size)
{
	bool required = row->flags & PN_REQUIRED;

	switch ((enum pn_option_type)row->type) {
	case PN_TYPE_BOOL:
		return truth();
	case PN_TYPE_INT:
		return number(row, "^-?[0-9]+$");
	case PN_TYPE_SIZE:
		return number(row, "^[0-9]+[kKmMgGtT]?$");
	case PN_TYPE_DURATION:
		return duration();
	case PN_TYPE_CHOICE:
		return choice(row->choices);
	case PN_TYPE_GROUP:
		return schema_table(row->nested, row_size);
	case PN_TYPE_STRINGS:
		return any_of(row->choices ? choice(row->choices) : text(),
		    list_of(row->choices ? choice(row->choices) : text(), required));
	case PN_TYPE_LIST:
		return list_of(schema_table(row->nested, row_size), required);
	case PN_TYPE_MAP:
		return map_of(row->nested, row_size);
	case PN_TYPE_UNION:
		return list_of(tagged(row->nested, row_size), required);
	case PN_TYPE_STRING:
	case PN_TYPE_SECRET:
	case PN_TYPE_END:
		break;
	}
	return text();
}

/* The default as it would stand in YAML: a text, or a list of words. */
static json_t *
fallback(const char *text)
{
	json_t *words = json_array();

	if (*text != '[') {
		json_decref(words);
		return json_string(text);
	}
	for (text++; *text && *text != ']'; text += strspn(text, ", ")) {
		size_t len = strcspn(text, ",]");

		json_array_append_new(words, json_stringn(text, len));
		text += len;
	}
	return words;
}

static json_t *
described(const struct pn_option *row, size_t row_size)
{
	json_t *ret = value(row, row_size);

	if (row->help)
		json_object_set_new(ret, "description", json_string(row->help));
	if (row->fallback)
		json_object_set_new(ret, "default", fallback(row->fallback));
	return ret;
}

json_t *
schema_table(const struct pn_option *rows, size_t row_size)
{
	json_t *properties, *required, *ret;
	struct pn_option row = option_row(rows, row_size, 0);

	if (option_is_bare(rows, row_size))
		return described(&row, row_size);
	properties = json_object();
	required = json_array();
	for (size_t i = 0; (row = option_row(rows, row_size, i)).type != PN_TYPE_END; i++) {
		json_object_set_new(properties, row.name, described(&row, row_size));
		if (row.flags & PN_REQUIRED)
			json_array_append_new(required, json_string(row.name));
	}
	ret = json_pack("{s:[s], s:o, s:b}", "type", "object", "properties", properties,
	    "additionalProperties", 0);
	if (json_array_size(required) > 0)
		json_object_set_new(ret, "required", required);
	else
		json_decref(required);
	if (!json_object_get(ret, "required"))
		json_array_append_new(json_object_get(ret, "type"), json_string("null"));
	return ret;
}

/* ---- sections of the pipeline ---------------------------------------------------------------- */

/* What a scope may say: the keys that are its own, none of them required. */
static json_t *
scope(const struct pn_option *rows, size_t row_size, bool inherited, enum config_scope_kind kind)
{
	json_t *properties = json_object(), *group;
	struct pn_option row;

	for (size_t i = 0; (row = option_row(rows, row_size, i)).type != PN_TYPE_END; i++) {
		bool scoped = scope_allows(&row, inherited);

		if (row.type == PN_TYPE_GROUP) {
			group = scope(row.nested, row_size, scoped, kind);
			if (json_object_size(json_object_get(group, "properties")) > 0)
				json_object_set(properties, row.name, group);
			json_decref(group);
		} else if (row.name && scoped &&
			   !(row.flags & PN_ACCOUNT_ONLY && kind > SCOPE_ACCOUNT)) {
			json_object_set_new(properties, row.name, described(&row, row_size));
		}
	}
	return json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties,
	    "additionalProperties", 0);
}

/* The same for a whole section, which has its switch. */
static json_t *
section_scope(const struct pn_option *rows, size_t row_size, enum config_scope_kind kind)
{
	json_t *ret = scope(rows, row_size, false, kind);

	json_object_set_new(json_object_get(ret, "properties"), "enabled", truth());
	return ret;
}

json_t *
schema_section(const struct pn_option *rows, size_t row_size)
{
	json_t *ret = schema_table(rows, row_size);
	json_t *properties = json_object_get(ret, "properties");

	if (!properties)
		return ret;
	json_object_set_new(properties, "enabled", truth());
	for (int kind = SCOPE_ACCOUNT; kind < SCOPE_KINDS; kind++)
		json_object_set_new(properties, scope_key((enum config_scope_kind)kind),
		    json_pack("{s:[s,s], s:o, s:s}", "type", "object", "null",
			"additionalProperties",
			section_scope(rows, row_size, (enum config_scope_kind)kind), "description",
			"What differs for some: by name of the scope, the settings."));
	/* A required setting may come from the scopes alone. */
	json_object_del(ret, "required");
	return ret;
}
