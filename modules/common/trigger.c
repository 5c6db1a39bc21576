/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trigger.c - words in the subject and fields of the header that say what the sender wants.
 *
 * Called by modules at the message stage and later, on the loop. Must never take half a field's
 * value, or a name that only begins alike, for what was asked for.
 */
#include "trigger.h"
#include <glib.h>
#include <string.h>

#define REPLY_PREFIX 8 /* characters before a colon */

/* ---- comparing ------------------------------------------------------------------------------- */

/* Without white space, case and the ways to write letters with marks; g_free. */
static char *
squeeze(const char *text)
{
	char *valid = g_utf8_make_valid(text, -1);
	char *folded = g_utf8_casefold(valid, -1);
	char *composed = g_utf8_normalize(folded, -1, G_NORMALIZE_ALL_COMPOSE);
	GString *ret = g_string_new(NULL);

	for (char *at = composed; at && *at; at = g_utf8_next_char(at))
		if (!g_unichar_isspace(g_utf8_get_char(at)))
			g_string_append_unichar(ret, g_utf8_get_char(at));
	g_free(valid);
	g_free(folded);
	g_free(composed);
	return g_string_free(ret, FALSE);
}

/* What a reply brings along stands behind "Re:", "AW:" and the like. */
static bool
is_reply(struct pn_call *call, const char *subject)
{
	return pn_header_text(call, "In-Reply-To", 0) || pn_header_text(call, "References", 0) ||
	       strcspn(subject, ":") < REPLY_PREFIX;
}

static bool
stands_in(struct pn_call *call, const char *subject, const char *word, enum trigger_place place)
{
	char *in = squeeze(subject), *what = squeeze(word);
	bool found;

	if (place == TRIGGER_ANYWHERE)
		found = strstr(in, what) != NULL;
	else
		found = g_str_has_prefix(in, what) ||
			(g_str_has_suffix(in, what) && !is_reply(call, in));
	found = found && *what;
	g_free(in);
	g_free(what);
	return found;
}

static bool
is_equal(const char *one, const char *other)
{
	char *first = squeeze(one), *second = squeeze(other);
	bool equal = strcmp(first, second) == 0;

	g_free(first);
	g_free(second);
	return equal;
}

/* ---- finding --------------------------------------------------------------------------------- */

bool
trigger_in_subject(struct pn_call *call, const char *word, enum trigger_place place)
{
	const char *subject = pn_header_text(call, "Subject", 0);

	return subject && stands_in(call, subject, word, place);
}

static bool
has_field(struct pn_call *call, const char *field)
{
	const char *colon = strchr(field, ':');
	char *name = colon ? g_strndup(field, (size_t)(colon - field)) : NULL;
	const char *text = "";
	bool found = false;

	for (size_t i = 0; name && !found && (text = pn_header_text(call, name, i)); i++)
		found = is_equal(text, colon + 1);
	g_free(name);
	return found;
}

const char *
trigger_find(struct pn_call *call, const struct trigger *trigger, enum trigger_place place)
{
	if (trigger->subject && trigger_in_subject(call, trigger->subject, place))
		return "its subject";
	if (trigger->header && has_field(call, trigger->header))
		return "a field of its header";
	return NULL;
}

/* ---- settings -------------------------------------------------------------------------------- */

static void
complain(struct pn_check *check, const char *path, const char *key, const char *text)
{
	char *at = g_strdup_printf("%s.%s", path, key);

	pn_complain(check, at, "%s", text);
	g_free(at);
}

/* RFC 5322 section 2.2. */
static bool
is_field(const char *text)
{
	size_t name = strcspn(text, ":");

	if (name == 0 || text[name] != ':')
		return false;
	for (size_t i = 0; i < name; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return text[name + 1 + strspn(text + name + 1, " ")] != '\0';
}

void
trigger_check(struct pn_check *check, const char *path, const struct trigger *trigger)
{
	if (trigger->subject && trigger->subject[strspn(trigger->subject, " \t")] == '\0')
		complain(check, path, "subject",
		    "is empty and would be found in every subject; leave it out");
	if (trigger->header && !is_field(trigger->header))
		complain(check, path, "header",
		    "must be a field with its value, as in \"X-Protect: yes\"");
}
