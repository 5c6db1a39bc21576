/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.c - matches waiting mail against what somebody asks for.
 *
 * Called by the relay's queue commands, for each item on its loop. Must never match more than all
 * that was asked for.
 */
#include <core/config/option.h>
#include <core/queue/filter.h>
#include <core/queue/item.h>
#include <errno.h>
#include <fnmatch.h>
#include <glib.h>
#include <string.h>

struct condition;

struct rule { /* beside filter_kinds, in its order */
	enum { VALUE_PATTERN, VALUE_PART, VALUE_AGE, VALUE_SIZE, VALUE_COUNT, VALUE_STATE } value;
	bool (*message)(const struct condition *condition, const struct filter_view *view);
	bool (*recipient)(const struct condition *condition, const struct filter_view *view);
};

struct condition {
	const struct rule *rule;
	char *text;
	int64_t number; /* bytes, milliseconds, or a count */
};

struct filter {
	GArray *conditions; /* of struct condition */
	GPtrArray *ids;
	bool needs_route;
};

/* ---- matching ---- */

/* `*` and `?` stand for anything; never by case. */
static bool
matches(const struct condition *condition, const char *text)
{
	return text && fnmatch(condition->text, text, FNM_CASEFOLD) == 0;
}

static bool
contains(const struct condition *condition, const char *text)
{
	return text && strcasestr(text, condition->text);
}

static const struct item_recipient *
recipient_of(const struct filter_view *view)
{
	return &view->item->recipients[view->index];
}

static bool
is_id(const struct condition *condition, const struct filter_view *view)
{
	return matches(condition, view->item->id) || matches(condition, item_log_id(view->item));
}

static bool
is_sender(const struct condition *condition, const struct filter_view *view)
{
	return matches(condition, view->item->envelope.sender) ||
	       matches(condition, view->item->envelope.original_sender);
}

static bool
is_recipient(const struct condition *condition, const struct filter_view *view)
{
	return matches(condition, recipient_of(view)->envelope->address) ||
	       matches(condition, recipient_of(view)->envelope->original);
}

static bool
is_domain(const struct condition *condition, const struct filter_view *view)
{
	const char *at = strrchr(recipient_of(view)->envelope->address, '@');

	return at && matches(condition, at + 1);
}

static int64_t
age_ms(const struct filter_view *view)
{
	return (view->now - view->item->accepted_us) / 1000;
}

static bool
is_older(const struct condition *condition, const struct filter_view *view)
{
	return age_ms(view) > condition->number;
}

static bool
is_newer(const struct condition *condition, const struct filter_view *view)
{
	return age_ms(view) < condition->number;
}

static bool
is_larger(const struct condition *condition, const struct filter_view *view)
{
	return (int64_t)view->item->size > condition->number;
}

static bool
is_smaller(const struct condition *condition, const struct filter_view *view)
{
	return (int64_t)view->item->size < condition->number;
}

static bool
is_state(const struct condition *condition, const struct filter_view *view)
{
	return strcmp(condition->text, view->state) == 0;
}

static bool
is_route(const struct condition *condition, const struct filter_view *view)
{
	return matches(condition, view->route ? view->route : "none");
}

static bool
is_user(const struct condition *condition, const struct filter_view *view)
{
	return matches(condition, view->item->facts.user);
}

static bool
is_tag(const struct condition *condition, const struct filter_view *view)
{
	for (size_t i = 0; i < view->item->tag_count; i++)
		if (matches(condition, view->item->tags[i]))
			return true;
	return false;
}

static bool
is_client(const struct condition *condition, const struct filter_view *view)
{
	return matches(condition, view->item->facts.client_address);
}

static bool
is_owner(const struct condition *condition, const struct filter_view *view)
{
	const struct item_hold *hold = recipient_of(view)->hold;

	return hold && matches(condition, hold->owner);
}

static bool
is_reason(const struct condition *condition, const struct filter_view *view)
{
	const struct item_hold *hold = recipient_of(view)->hold;

	return hold && contains(condition, hold->reason);
}

static bool
is_reply(const struct condition *condition, const struct filter_view *view)
{
	return contains(condition, recipient_of(view)->last_reply);
}

static bool
is_remote(const struct condition *condition, const struct filter_view *view)
{
	return matches(condition, recipient_of(view)->last_remote);
}

static bool
is_method(const struct condition *condition, const struct filter_view *view)
{
	return matches(condition, mail_plan_method(&recipient_of(view)->plan));
}

static bool
has_attempts(const struct condition *condition, const struct filter_view *view)
{
	return (int64_t)recipient_of(view)->attempts >= condition->number;
}

/* ---- what there is ---- */

const struct filter_kind filter_kinds[] = {
	{ "id", "ID", "the message's id" },
	{ "sender", "ADDRESS", "the sender of the envelope, \"\" for reports" },
	{ "recipient", "ADDRESS", "a recipient" },
	{ "domain", "DOMAIN", "a recipient's domain" },
	{ "older", "TIME", "accepted longer ago: 2h, 3d" },
	{ "newer", "TIME", "accepted within that time" },
	{ "larger", "SIZE", "more bytes: 100k, 10m" },
	{ "smaller", "SIZE", "fewer bytes" },
	{ "state", "STATE", "waiting, deferred, held, sending, replanning or bouncing" },
	{ "route", "NAME", "the route by the settings of now, as logged: smarthost:mx.example:25" },
	{ "remote", "HOST", "the next hop of the last attempt" },
	{ "user", "ADDRESS", "who had logged in" },
	{ "client", "IP", "the client's address" },
	{ "tag", "TAG", "a tag that a module has given" },
	{ "held-by", "NAME", "who holds it: an administrator or an entry of the pipeline" },
	{ "reason", "TEXT", "part of the reason why it is held" },
	{ "reply", "TEXT", "part of the next hop's last reply" },
	{ "method", "NAME", "how it is protected: none, tls, ..." },
	{ "attempts", "NUMBER", "tried at least so often" },
	{ NULL, NULL, NULL },
};

static const struct rule rules[] = {
	{ VALUE_PATTERN, is_id, NULL },
	{ VALUE_PATTERN, is_sender, NULL },
	{ VALUE_PATTERN, NULL, is_recipient },
	{ VALUE_PATTERN, NULL, is_domain },
	{ VALUE_AGE, is_older, NULL },
	{ VALUE_AGE, is_newer, NULL },
	{ VALUE_SIZE, is_larger, NULL },
	{ VALUE_SIZE, is_smaller, NULL },
	{ VALUE_STATE, NULL, is_state },
	{ VALUE_PATTERN, NULL, is_route },
	{ VALUE_PATTERN, NULL, is_remote },
	{ VALUE_PATTERN, is_user, NULL },
	{ VALUE_PATTERN, is_client, NULL },
	{ VALUE_PATTERN, is_tag, NULL },
	{ VALUE_PATTERN, NULL, is_owner },
	{ VALUE_PART, NULL, is_reason },
	{ VALUE_PART, NULL, is_reply },
	{ VALUE_PATTERN, NULL, is_method },
	{ VALUE_COUNT, NULL, has_attempts },
};
G_STATIC_ASSERT(sizeof(rules) / sizeof(*rules) + 1 == sizeof(filter_kinds) / sizeof(*filter_kinds));

/* ---- making one ---- */

struct filter *
filter_new(void)
{
	struct filter *filter = g_new0(struct filter, 1);

	filter->conditions = g_array_new(FALSE, FALSE, sizeof(struct condition));
	filter->ids = g_ptr_array_new_with_free_func(g_free);
	return filter;
}

void
filter_free(struct filter **filter_at)
{
	struct filter *filter = *filter_at;

	if (!filter)
		return;
	*filter_at = NULL;
	for (guint i = 0; i < filter->conditions->len; i++)
		g_free(g_array_index(filter->conditions, struct condition, i).text);
	g_array_free(filter->conditions, TRUE);
	g_ptr_array_free(filter->ids, TRUE);
	g_free(filter);
}

static int
check_state(const char *text, struct pn_error *err)
{
	static const char *const states[] = { "waiting", "deferred", "held", "sending",
		"replanning", "bouncing", NULL };

	if (g_strv_contains(states, text))
		return 0;
	return pn_error_set(err, -EINVAL,
	    "--state: \"%s\" is none of waiting, deferred, held, sending, replanning, bouncing",
	    text);
}

static int
read_number(struct condition *condition, const char *name, const char *text, struct pn_error *err)
{
	static const uint16_t types[] = {
		[VALUE_AGE] = PN_TYPE_DURATION,
		[VALUE_SIZE] = PN_TYPE_SIZE,
		[VALUE_COUNT] = PN_TYPE_INT,
	};
	struct pn_option row = { .type = types[condition->rule->value], .max = INT64_MAX };
	struct pn_error why = { 0 };

	if (option_read(&row, text, &condition->number, &why) < 0)
		return pn_error_set(err, -EINVAL, "--%s: \"%s\" %s", name, text, why.text);
	return 0;
}

static int
unknown(const char *name, struct pn_error *err)
{
	const char *names[sizeof(filter_kinds) / sizeof(*filter_kinds)];
	struct arena arena = { 0 };
	size_t count = 0;

	while (filter_kinds[count].name) {
		names[count] = filter_kinds[count].name;
		count++;
	}
	names[count] = NULL;
	pn_error_set(
	    err, -EINVAL, "there is no filter --%s%s", name, option_hint(&arena, name, names));
	arena_free(&arena);
	return -EINVAL;
}

int
filter_add(struct filter *filter, const char *name, const char *value, struct pn_error *err)
{
	struct condition condition = { 0 };
	size_t i = 0;
	int r = 0;

	while (filter_kinds[i].name && strcmp(filter_kinds[i].name, name) != 0)
		i++;
	if (!filter_kinds[i].name)
		return unknown(name, err);
	condition.rule = &rules[i];
	if (condition.rule->value == VALUE_STATE)
		r = check_state(value, err);
	else if (condition.rule->value != VALUE_PATTERN && condition.rule->value != VALUE_PART)
		r = read_number(&condition, name, value, err);
	if (r < 0)
		return r;
	condition.text = g_strdup(value);
	filter->needs_route |= condition.rule->recipient == is_route;
	g_array_append_val(filter->conditions, condition);
	return 0;
}

int
filter_add_id(struct filter *filter, const char *id, struct pn_error *err)
{
	size_t len = strlen(id);

	if (len == 0 || len >= ITEM_ID_SIZE ||
	    strspn(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") != len)
		return pn_error_set(err, -EINVAL, "\"%s\" is no id of a message", id);
	g_ptr_array_add(filter->ids, g_strdup(id));
	return 0;
}

bool
filter_is_empty(const struct filter *filter)
{
	return filter->conditions->len == 0 && filter->ids->len == 0;
}

bool
filter_needs_route(const struct filter *filter)
{
	return filter->needs_route;
}

/* ---- using it ---- */

static bool
is_named(const struct filter *filter, const struct item *item)
{
	for (guint i = 0; i < filter->ids->len; i++) {
		const char *id = g_ptr_array_index(filter->ids, i);

		if (strcmp(id, item->id) == 0 || strcmp(id, item_log_id(item)) == 0)
			return true;
	}
	return filter->ids->len == 0;
}

bool
filter_message(const struct filter *filter, const struct filter_view *view)
{
	if (!is_named(filter, view->item))
		return false;
	for (guint i = 0; i < filter->conditions->len; i++) {
		const struct condition *condition = &g_array_index(
		    filter->conditions, struct condition, i);

		if (condition->rule->message && !condition->rule->message(condition, view))
			return false;
	}
	return true;
}

bool
filter_recipient(const struct filter *filter, const struct filter_view *view)
{
	for (guint i = 0; i < filter->conditions->len; i++) {
		const struct condition *condition = &g_array_index(
		    filter->conditions, struct condition, i);

		if (condition->rule->recipient && !condition->rule->recipient(condition, view))
			return false;
	}
	return true;
}
