/* SPDX-License-Identifier: Apache-2.0 */
/*
 * taglines.c - adds a text to what goes out: a disclaimer, an address, a notice.
 *
 * Called at the message stage, once per message. Must never touch an attachment, a message inside
 * of the message, or what is signed, encrypted or meant for a program; and never wait on the
 * network.
 */
#include "taglines.h"
#include <errno.h>
#include <string.h>
#include <time.h>

#define QUICK_MOST (128u * 1024) /* larger messages are not for the event loop */

static const struct pn_choice positions[] = {
	{ "bottom", AT_BOTTOM, "below the text, and below what it quotes" },
	{ "top", AT_TOP, "above the text" },
	{ "before-quote", BEFORE_QUOTE,
	    "above the first quoted line and what introduces it, else at the bottom" },
	{ NULL, 0, NULL },
};
static const struct pn_choice treatments[] = {
	{ "skip", SKIP, "leave it alone" },
	{ "wrap", WRAP,
	    "make it, unchanged, the first part of a multipart/mixed whose other part is the "
	    "text" },
	{ NULL, 0, NULL },
};

static const struct pn_option taglines_options[] = {
	PN_OPT_STRING("text", struct taglines, text, NULL, PN_SCOPED,
	    "What text/plain bodies get, in UTF-8; made of `html` if only that is given. "
	    "{{sender}}, {{name}}, {{date}} and {{subject}} stand for what they say."),
	PN_OPT_STRING("html", struct taglines, html, NULL, PN_SCOPED,
	    "What text/html bodies get; made of `text` if only that is given."),
	PN_OPT_CHOICE("position", struct taglines, position, "bottom", positions, PN_SCOPED,
	    "Where in a body it goes."),
	PN_OPT_BOOL("once_per_thread", struct taglines, once_per_thread, "yes", PN_SCOPED,
	    "Not again in a message that quotes it already."),
	PN_OPT_SIZE("max_body", struct taglines, max_body, "1m", 1, 64 * 1024 * 1024, PN_SCOPED,
	    "Leave a text body that is larger alone; attachments do not count."),
	PN_OPT_CHOICE("signed", struct taglines, sealed, "skip", treatments, PN_SCOPED,
	    "What is signed or encrypted: S/MIME, PGP/MIME, PGP inside of the text."),
	PN_OPT_CHOICE("calendar", struct taglines, calendar, "skip", treatments, PN_SCOPED,
	    "Invitations and their answers: a body that has a text/calendar."),
	PN_OPT_CHOICE("report", struct taglines, report, "skip", treatments, PN_SCOPED,
	    "Delivery reports, receipts and the like: multipart/report."),
	PN_OPT_CHOICE("no_text", struct taglines, no_text, "skip", treatments, PN_SCOPED,
	    "Messages without a text body, as a scanned page alone."),
	PN_OPT_END
};

/* ---- settings -------------------------------------------------------------------------------- */

static void
taglines_release(void *derived)
{
	struct prepared *prepared = derived;

	template_free(&prepared->text);
	template_free(&prepared->html);
	g_free(prepared);
}

static int
parse_both(const struct taglines *cfg, struct pn_check *check, struct prepared *prepared)
{
	const char *text = cfg->text, *html = cfg->html;
	char *made;
	int r;

	if (text && html)
		made = NULL;
	else if (html)
		text = made = html_to_text(pn_slice_of(html));
	else
		html = made = html_from_text(text);
	r = template_parse(text, cfg->text ? "text" : "html", check, &prepared->text);
	if (r == 0)
		r = template_parse(html, cfg->html ? "html" : "text", check, &prepared->html);
	g_free(made);
	return r;
}

static int
taglines_prepare(struct pn_check *check, const void *settings, void **ret)
{
	const struct taglines *cfg = settings;
	struct prepared *prepared = g_new0(struct prepared, 1);
	int r = 0;

	prepared->given = (cfg->text && *cfg->text) || (cfg->html && *cfg->html);
	if (prepared->given)
		r = parse_both(cfg, check, prepared);
	if (r < 0) {
		taglines_release(prepared);
		return r;
	}
	*ret = prepared;
	return 0;
}

/* ---- one message ----------------------------------------------------------------------------- */

struct work {
	struct pn_call *call;
	struct pn_txn *txn;
	const struct taglines *cfg;
	const struct prepared *prepared;
	char *text, *html, *mark, *block;
};

static bool
wants(const struct prepared *prepared, enum variable variable)
{
	return template_has(&prepared->text, variable) || template_has(&prepared->html, variable);
}

static bool
wants_profile(const struct prepared *prepared)
{
	return wants(prepared, NAME) || wants(prepared, TITLE) || wants(prepared, PHONE);
}

struct profile {
	char name[PN_USER_FIELD_SIZE], title[PN_USER_FIELD_SIZE], phone[PN_USER_FIELD_SIZE];
};

/* What the directory knows of the user, or of the sender where nobody logged in: perhaps nothing.
 */
static int
read_profile(struct work *work, const char *sender, struct profile *ret, struct pn_error *err)
{
	const char *user = pn_txn_user(work->txn) ? pn_txn_user(work->txn) : sender;
	struct {
		enum variable variable;
		const char *field;
		char *value;
	} fields[] = { { NAME, "name", ret->name }, { TITLE, "title", ret->title },
		{ PHONE, "phone", ret->phone } };
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(fields) / sizeof(*fields); i++)
		if (wants(work->prepared, fields[i].variable))
			r = pn_user_field(work->call, user, fields[i].field, fields[i].value, err);
	return r == -ENOENT ? 0 : r;
}

static int
fill(struct work *work, struct pn_error *err)
{
	const struct pn_mailbox *from = NULL;
	struct profile profile = { "", "", "" };
	char date[16];
	time_t now = time(NULL);
	struct tm tm;
	struct values values = { .texts = { NULL } };
	int r;

	strftime(date, sizeof(date), "%Y-%m-%d", localtime_r(&now, &tm));
	if (pn_header_mailboxes(work->call, "From", 0, &from) == 0)
		from = NULL;
	values.texts[SENDER] = from ? from->address : pn_txn_sender(work->txn);
	r = read_profile(work, values.texts[SENDER], &profile, err);
	if (r < 0)
		return r;
	values.texts[NAME] = from && *from->name ? from->name : values.texts[SENDER];
	if (*profile.name)
		values.texts[NAME] = profile.name;
	values.texts[TITLE] = profile.title;
	values.texts[PHONE] = profile.phone;
	values.texts[DATE] = date;
	if (wants(work->prepared, SUBJECT))
		values.texts[SUBJECT] = pn_header_text(work->call, "Subject", 0);
	work->text = template_fill(&work->prepared->text, &values, false);
	work->html = template_fill(&work->prepared->html, &values, true);
	work->mark = seen_mark(pn_entry(work->call));
	work->block = g_strdup_printf("<div class=\"%s\">%s</div>", work->mark, work->html);
	return 0;
}

static bool
is_flowed(const struct pn_part *part)
{
	const char *format = pn_part_parameter(part, "format");

	return format && !g_ascii_strcasecmp(format, "flowed");
}

static bool
is_seen(const struct work *work, const struct pn_part *part, struct pn_slice text)
{
	char *shown;
	bool seen;

	if (pn_part_is(part, "text/html") && seen_in_html(text, work->mark))
		return true;
	if (!seen_possible(text, &work->prepared->text))
		return false;
	if (pn_part_is(part, "text/plain"))
		return seen_in_text(text, &work->prepared->text, work->text);
	shown = html_to_text(text);
	seen = seen_in_text(pn_slice_of(shown), &work->prepared->text, work->text);
	g_free(shown);
	return seen;
}

/* 0, or what could not be done: said aloud, but no reason to refuse a message. */
static int
add_to(struct work *work, const struct pn_part *part)
{
	struct insertion insertion;
	struct pn_slice text;
	int r = pn_part_text(work->call, part, (size_t)work->cfg->max_body, &text);

	if (r < 0)
		return r;
	if (pn_part_is(part, "text/html"))
		html_place(text, work->block, work->cfg->position, &insertion);
	else
		plain_place(text, work->text, work->cfg->position, is_flowed(part), &insertion);
	r = pn_part_insert_text(work->call, part, insertion.offset, pn_slice_of(insertion.text));
	g_free(insertion.text);
	return r < 0 ? r : 0;
}

static const char *
reason(int r)
{
	if (r == -E2BIG)
		return "a body is larger than max_body";
	return r == -ENOTSUP ? "a body is encoded in a way that cannot be edited" : NULL;
}

static struct pn_verdict
add_to_all(struct work *work, const struct body *body)
{
	const char *why = NULL;
	size_t added = 0;

	for (size_t i = 0; i < body->count; i++) {
		int r = add_to(work, body->leaves[i]);

		if (r < 0 && !reason(r))
			return pn_fault(work->call, r, "cannot add the text");
		if (r < 0)
			why = reason(r);
		else
			added++;
	}
	if (why)
		return pn_pass_because(
		    work->call, "%s: %s", added > 0 ? "added in part" : "not added", why);
	return pn_pass_because(work->call, "added");
}

/* Looks at the text of all bodies before any is touched. */
static enum body_kind
inspect(struct work *work, const struct body *body, bool *ret_seen)
{
	for (size_t i = 0; i < body->count; i++) {
		struct pn_slice text;

		if (pn_part_text(work->call, body->leaves[i], (size_t)work->cfg->max_body, &text) <
		    0)
			continue;
		if (body_is_armored(text))
			return BODY_SEALED;
		if (work->cfg->once_per_thread && is_seen(work, body->leaves[i], text))
			*ret_seen = true;
	}
	return body->kind;
}

static struct pn_verdict
leave_or_wrap(struct work *work, enum body_kind kind)
{
	const struct taglines *cfg = work->cfg;
	static const char *const names[] = {
		[BODY_SEALED] = "signed or encrypted",
		[BODY_CALENDAR] = "a calendar",
		[BODY_REPORT] = "a report",
		[BODY_NONE] = "without a text body",
	};
	int treatment = kind == BODY_SEALED     ? cfg->sealed
			: kind == BODY_CALENDAR ? cfg->calendar
			: kind == BODY_REPORT   ? cfg->report
						: cfg->no_text;
	int r;

	if (treatment == SKIP || pn_txn_body(work->txn).len == 0)
		return pn_pass_because(work->call, "not added: %s", names[kind]);
	r = wrap_message(work->call, work->txn, work->text, cfg->position);
	return r < 0 ? pn_fault(work->call, r, "cannot wrap the message")
		     : pn_pass_because(work->call, "wrapped: %s", names[kind]);
}

static struct pn_verdict
work_on(struct work *work, const struct pn_part *root)
{
	struct body body;
	bool seen = false;
	enum body_kind kind;

	body_find(root, &body);
	kind = inspect(work, &body, &seen);
	if (kind != BODY_TEXT)
		return leave_or_wrap(work, kind);
	if (seen)
		return pn_pass_because(work->call, "it is there already");
	return add_to_all(work, &body);
}

static struct pn_verdict
taglines_on_message(struct pn_call *call, struct pn_txn *txn)
{
	struct work work = {
		.call = call, .txn = txn, .cfg = pn_settings(call), .prepared = pn_derived(call)
	};
	const struct pn_part *root;
	struct pn_verdict verdict;
	struct pn_error err = { 0 };
	int r;

	if (!work.prepared->given)
		return pn_pass_because(call, "nothing to add");
	if (!pn_may_block(call) && (pn_txn_size(txn) > QUICK_MOST || wants_profile(work.prepared)))
		return pn_not_quick();
	r = pn_parts(call, &root, &err);
	if (r == -EOVERFLOW) /* whether such a message may leave is for others to say */
		return pn_pass_because(call, "not added: %s", err.text);
	if (r < 0)
		return pn_fault(call, r, "%s", err.text);
	r = fill(&work, &err);
	if (r < 0)
		return pn_fault(call, r, "cannot ask the directory: %s", err.text);
	verdict = work_on(&work, root);
	g_free(work.text);
	g_free(work.html);
	g_free(work.mark);
	g_free(work.block);
	return verdict;
}

static const struct pn_hook taglines_hooks[] = {
	{ PN_STAGE_MESSAGE, PN_QUICK, taglines_on_message }, PN_HOOK_END
};

PN_MODULE(taglines) = {
	PN_MODULE_HEAD,
	.name = "taglines",
	.summary = "Adds a text to outgoing messages: a disclaimer, an address, a notice.",
	.flags = PN_MODIFIES,
	.settings_size = sizeof(struct taglines),
	.settings = taglines_options,
	.prepare = taglines_prepare,
	.release = taglines_release,
	.hooks = taglines_hooks,
};
