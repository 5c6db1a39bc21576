/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address_list.c - a scanner for address lists in headers, as tolerant as clients make it be.
 *
 * Called for To and Cc, to tell who is a Bcc recipient. Must never report an address that a reader
 * would not see in the field: comments, display names and what stands in quotes are no addresses.
 */
#include <core/mail/address_list.h>

/* What has been read of one mailbox. */
struct mailbox {
	char text[MAIL_ADDRESS_SIZE]; /* words outside of <>, or what stood in it */
	size_t len;
	bool angle; /* <> was seen: `text` is what stood in it */
	bool inside, too_long;
};

static void
begin(struct mailbox *mailbox)
{
	mailbox->len = 0;
	mailbox->angle = mailbox->inside = mailbox->too_long = false;
}

static void
add(struct mailbox *mailbox, char c)
{
	if (mailbox->angle && !mailbox->inside)
		return; /* behind the '>' */
	if (mailbox->len + 1 >= sizeof(mailbox->text))
		mailbox->too_long = true;
	else
		mailbox->text[mailbox->len++] = c;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Blanks around it go; blanks within make it no address. */
static void
finish(struct mailbox *mailbox, mail_address_fn *each, void *arg)
{
	char canonical[MAIL_ADDRESS_SIZE];
	const char *text = mailbox->text;
	size_t len = mailbox->len;

	while (len > 0 && is_blank(text[len - 1]))
		len--;
	mailbox->text[len] = '\0';
	while (is_blank(*text))
		text++;
	if (!mailbox->too_long && !mailbox->inside && *text &&
	    strlen(text) == len - (size_t)(text - mailbox->text) &&
	    mail_address_canonical(text, canonical) == 0)
		each(arg, canonical);
	begin(mailbox);
}

/* Behind the comment that begins at `at`; comments nest. */
static size_t
skip_comment(struct pn_slice value, size_t at)
{
	unsigned depth = 0;

	for (; at < value.len; at++) {
		if (value.data[at] == '\\')
			at++;
		else if (value.data[at] == '(')
			depth++;
		else if (value.data[at] == ')' && --depth == 0)
			return at + 1;
	}
	return value.len;
}

/* Copies up to and with `end`, quoted pairs whole; returns what is behind it. */
static size_t
copy_until(struct mailbox *mailbox, struct pn_slice value, size_t at, char end)
{
	add(mailbox, value.data[at++]);
	while (at < value.len) {
		char c = value.data[at++];

		add(mailbox, c);
		if (c == end)
			break;
		if (c == '\\' && at < value.len)
			add(mailbox, value.data[at++]);
	}
	return at;
}

void
mail_address_list(struct pn_slice value, mail_address_fn *each, void *arg)
{
	struct mailbox mailbox;
	size_t at = 0;

	begin(&mailbox);
	while (at < value.len) {
		char c = value.data[at];

		if (c == '(') {
			at = skip_comment(value, at);
			add(&mailbox, ' ');
			continue;
		}
		if (c == '"' || c == '[') {
			at = copy_until(&mailbox, value, at, c == '"' ? '"' : ']');
			continue;
		}
		at++;
		if (c == '<' && !mailbox.angle) {
			begin(&mailbox);
			mailbox.angle = mailbox.inside = true;
		} else if (c == '>' && mailbox.inside) {
			mailbox.inside = false;
		} else if (!mailbox.inside && (c == ',' || c == ';')) {
			finish(&mailbox, each, arg);
		} else if (!mailbox.inside && c == ':') { /* a group's name */
			begin(&mailbox);
		} else {
			add(&mailbox, c);
		}
	}
	finish(&mailbox, each, arg);
}
