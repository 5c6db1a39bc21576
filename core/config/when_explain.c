/* SPDX-License-Identifier: Apache-2.0 */
/*
 * when_explain.c - why a condition does, or does not, fit: in the words of its keys.
 *
 * Called by posternctl route. Must decide nothing: config_when_misfit() has decided.
 */
#include <core/config/when.h>

static const struct pn_option *
option_of(const char *key)
{
	const struct pn_option *option = config_when_options;

	while (strcmp(option->name, key) != 0)
		option++;
	return option;
}

static const char *
join(struct arena *arena, const char *const *items, size_t count)
{
	const char *text = count ? items[0] : "none";

	for (size_t i = 1; i < count; i++)
		text = arena_printf(arena, "%s, %s", text, items[i]);
	return *text ? text : "\"\"";
}

/* Of groups and accounts: of whom they are asked. */
static const char *
member_of(struct arena *arena, const struct config_subject *subject, bool groups)
{
	struct config_scope scope;

	config_scope_find(subject->roster, subject->facts, subject->original_sender, &scope);
	if (groups)
		return join(arena, scope.groups, scope.group_count);
	return scope.account ? scope.account : "none";
}

/* What the message has where the key asks. */
static const char *
fact(struct arena *arena, const char *key, const struct config_subject *subject)
{
	const struct mail_facts *facts = subject->facts;
	const char *text = NULL;

	if (strcmp(key, "larger_than") == 0)
		return arena_printf(arena, "%zu", subject->size);
	if (strcmp(key, "tag") == 0)
		return join(arena, subject->tags, subject->tag_count);
	if (strcmp(key, "group") == 0 || strcmp(key, "account") == 0)
		return member_of(arena, subject, *key == 'g');
	if (strcmp(key, "header") == 0)
		return subject->header ? "that of the message" : "not known";
	if (strncmp(key, "sender", 6) == 0)
		text = subject->sender;
	else if (strncmp(key, "recipient", 9) == 0)
		text = subject->recipient;
	else if (strcmp(key, "user") == 0)
		text = facts && facts->user ? facts->user : "nobody";
	else if (strcmp(key, "listener") == 0)
		text = facts ? facts->listener : NULL;
	else
		text = facts ? facts->client_address : NULL;
	if (text && strstr(key, "_domain"))
		text = mail_address_domain(text);
	if (!text)
		return "not known";
	return *text ? text : "\"\"";
}

/* What the key asks for; NULL: it is not given. */
static const char *
wanted(struct arena *arena, const struct config_when *when, const struct pn_option *option)
{
	const struct pn_strings *items = (const void *)((const char *)when + option->offset);

	if (option->type == PN_TYPE_SIZE)
		return when->larger_than > 0
			   ? arena_printf(arena, "%lld", (long long)when->larger_than)
			   : NULL;
	return items->count ? join(arena, items->items, items->count) : NULL;
}

const char *
config_when_explain(
    const struct config_when *when, const struct config_subject *subject, struct arena *arena)
{
	const char *misfit = config_when_misfit(when, subject), *text = NULL;

	if (!when->given)
		return "has no when: takes everything";
	if (misfit)
		return arena_printf(arena, "%s is %s; wanted: %s", misfit,
		    fact(arena, misfit, subject), wanted(arena, when, option_of(misfit)));
	for (const struct pn_option *o = config_when_options; o->type != PN_TYPE_END; o++)
		if (wanted(arena, when, o))
			text = arena_printf(arena, "%s%s%s is %s", text ? text : "",
			    text ? ", " : "", o->name, fact(arena, o->name, subject));
	return text;
}
