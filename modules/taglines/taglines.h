/* SPDX-License-Identifier: Apache-2.0 */
/* taglines.h - what the files of this module share: settings, texts with variables, places. */
#ifndef MODULES_TAGLINES_TAGLINES_H
#define MODULES_TAGLINES_TAGLINES_H

#include <glib.h>
#include <postern/module.h>

enum position { AT_BOTTOM, AT_TOP, BEFORE_QUOTE };
enum treatment { SKIP, WRAP };

struct taglines {
	const char *text, *html;
	int position;
	bool once_per_thread;
	int64_t max_body;
	int sealed, calendar, report, no_text;
};

/* ---- template.c: a text with {{variables}} --------------------------------------------------- */

enum variable { LITERAL, SENDER, NAME, TITLE, PHONE, DATE, SUBJECT };

struct piece {
	enum variable variable;
	const char *text; /* of a literal; g_free */
};
struct template
{
	size_t count;
	struct piece *pieces;
};
/* What the variables stand for; borrowed. */
struct values {
	const char *texts[SUBJECT + 1];
};

/* What is wrong with it is complained of as `path`; -EINVAL. */
int template_parse(
    const char *text, const char *path, struct pn_check *check, struct template *ret);
void template_free(struct template *template);
bool template_has(const struct template *template, enum variable variable);
/* `html`: what the values say is escaped. */
char *template_fill(const struct template *template, const struct values *values, bool html);

/* What `prepare` makes of the settings: both forms, whichever was given. */
struct prepared {
	bool given; /* false: there is nothing to add */
	struct template text, html;
};

/* ---- body.c: which parts carry the text that is read first ----------------------------------- */

#define LEAVES_MOST 16

enum body_kind { BODY_TEXT, BODY_SEALED, BODY_CALENDAR, BODY_REPORT, BODY_NONE };

struct body {
	enum body_kind kind;
	size_t count;
	const struct pn_part *leaves[LEAVES_MOST];
};
void body_find(const struct pn_part *root, struct body *ret);
/* RFC 4880 section 6.2: signed or encrypted inside of the text. */
bool body_is_armored(struct pn_slice text);

/* ---- plain.c: a place in plain text, and what goes there ------------------------------------- */

struct insertion {
	size_t offset;
	char *text; /* g_free */
};
void plain_place(struct pn_slice text, const char *tagline, enum position position, bool flowed,
    struct insertion *ret);

/* ---- html.c ---------------------------------------------------------------------------------- */

void html_place(
    struct pn_slice text, const char *block, enum position position, struct insertion *ret);
/* What a reader sees, roughly; {{variables}} stay. */
char *html_to_text(struct pn_slice html);
char *html_from_text(const char *text);
char *html_escape(const char *text);

/* ---- seen.c: is it there already --------------------------------------------------------------
 */

/* The class that marks our block in HTML. */
char *seen_mark(const char *entry);
/* False: the words are not there, however they stand. Quick. */
bool seen_possible(struct pn_slice text, const struct template *template);
bool seen_in_html(struct pn_slice html, const char *mark);
/* `text` is what a reader sees, quoted or not; whatever the variables said then. */
bool seen_in_text(struct pn_slice text, const struct template *template, const char *filled);

/* ---- wrap.c: around what must not be touched --------------------------------------------------
 */

int wrap_message(
    struct pn_call *call, struct pn_txn *txn, const char *tagline, enum position position);

#endif
