/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address_list.c - a scanner for address lists in headers, as tolerant as clients make it be.
 *
 * Called for To and Cc, to tell who is a Bcc recipient, and for From and Sender, to tell who
 * speaks. Must never report an address that a reader would not see in the field (comments, display
 * names and what stands in quotes are no addresses), nor call a field clear that readers differ on.
 */
#include <core/mail/address_list.h>
#include <errno.h>

/* What has been read of one mailbox. */
struct mailbox {
	char text[MAIL_ADDRESS_SIZE]; /* words outside of <>, or what stood in it */
	size_t len;
	bool any;   /* something that is no blank */
	bool angle; /* <> was seen: `text` is what stood in it */
	bool inside, too_long;
	bool at;                       /* a '@' outside of quotes */
	char shown[MAIL_ADDRESS_SIZE]; /* the address before the <>; "": none */
};

struct scan {
	struct pn_slice value;
	size_t next;
	struct mailbox mailbox;
	bool group, ended; /* inside of a group; behind one */
	bool doubtful;
	mail_address_fn *each;
	void *arg;
};

static void
begin(struct mailbox *mailbox)
{
	mailbox->len = 0;
	mailbox->any = mailbox->angle = mailbox->inside = mailbox->too_long = mailbox->at = false;
	*mailbox->shown = '\0';
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
is_control(char c)
{
	return ((unsigned char)c < ' ' && !is_blank(c)) || c == '\x7f';
}

static void
add(struct scan *scan, char c)
{
	struct mailbox *mailbox = &scan->mailbox;

	if (is_control(c))
		scan->doubtful = true;
	if (!is_blank(c)) {
		mailbox->any = true;
		if (scan->ended || (mailbox->angle && !mailbox->inside))
			scan->doubtful = true; /* behind the '>' or the group */
	}
	if (mailbox->angle && !mailbox->inside)
		return;
	if (mailbox->len + 1 >= sizeof(mailbox->text))
		mailbox->too_long = true;
	else
		mailbox->text[mailbox->len++] = c;
}

/* What was read, blanks around it apart, as an address. Blanks within make it none. */
static bool
read_address(struct mailbox *mailbox, char ret[MAIL_ADDRESS_SIZE])
{
	const char *text = mailbox->text;
	size_t len = mailbox->len;

	while (len > 0 && is_blank(text[len - 1]))
		len--;
	mailbox->text[len] = '\0';
	while (is_blank(*text))
		text++;
	return !mailbox->too_long && *text &&
	       strlen(text) == len - (size_t)(text - mailbox->text) &&
	       mail_address_canonical(text, ret) == 0;
}

static void
finish(struct scan *scan)
{
	struct mailbox *mailbox = &scan->mailbox;
	char canonical[MAIL_ADDRESS_SIZE];

	if (!mailbox->inside && read_address(mailbox, canonical)) {
		scan->each(scan->arg, canonical);
		if (*mailbox->shown && strcmp(mailbox->shown, canonical))
			scan->doubtful = true;
		/* Some readers decode it, against RFC 2047 section 5. */
		if (strstr(canonical, "=?"))
			scan->doubtful = true;
	} else if (mailbox->any || mailbox->angle) {
		scan->doubtful = true;
	}
	begin(mailbox);
}

/* Words before a '<': a reader may take what looks like an address for one. */
static void
open_angle(struct scan *scan)
{
	struct mailbox *mailbox = &scan->mailbox;
	char shown[MAIL_ADDRESS_SIZE] = "";

	if (scan->ended || (mailbox->at && !read_address(mailbox, shown)))
		scan->doubtful = true;
	begin(mailbox);
	mailbox->angle = mailbox->inside = true;
	strcpy(mailbox->shown, shown);
}

static void
begin_group(struct scan *scan)
{
	if (scan->group || scan->ended || scan->mailbox.angle || scan->mailbox.at)
		scan->doubtful = true;
	scan->group = true;
	begin(&scan->mailbox);
}

/* Some readers separate addresses by ';' where no group is. */
static void
separate(struct scan *scan, char c)
{
	finish(scan);
	if (c == ';' && !scan->group)
		scan->doubtful = true;
	scan->ended = c == ';' && scan->group;
	if (c == ';')
		scan->group = false;
}

/* Behind the comment that begins there; comments nest. */
static void
skip_comment(struct scan *scan)
{
	struct pn_slice value = scan->value;
	unsigned depth = 0;

	for (; scan->next < value.len; scan->next++) {
		char c = value.data[scan->next];

		if (c == '\\' && scan->next + 1 < value.len)
			c = value.data[++scan->next];
		else if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0)
			break;
		if (is_control(c))
			scan->doubtful = true; /* some readers end the field there */
	}
	if (scan->next >= value.len || scan->mailbox.inside)
		scan->doubtful = true;
	scan->next = scan->next < value.len ? scan->next + 1 : value.len;
	add(scan, ' ');
}

/*
 * Copies up to and with `end`, quoted pairs whole. Brackets are a domain's; anywhere else they
 * quote for some readers only, who then differ on an address within.
 */
static void
copy_until(struct scan *scan, char end)
{
	struct pn_slice value = scan->value;
	bool words = end == ']' && !scan->mailbox.at;

	add(scan, value.data[scan->next++]);
	while (scan->next < value.len) {
		char c = value.data[scan->next++];

		if (words && c != '\0' && strchr("<>@,;:\"(", c))
			scan->doubtful = true;
		add(scan, c);
		if (c == end)
			return;
		if (c == '\\' && scan->next < value.len)
			add(scan, value.data[scan->next++]);
	}
	scan->doubtful = true;
}

/* One character that begins neither comment nor quotes. */
static void
step(struct scan *scan, char c)
{
	struct mailbox *mailbox = &scan->mailbox;

	if (c == '<' && !mailbox->angle) {
		open_angle(scan);
	} else if (c == '>' && mailbox->inside) {
		mailbox->inside = false;
	} else if (!mailbox->inside && (c == ',' || c == ';')) {
		separate(scan, c);
	} else if (!mailbox->inside && c == ':') {
		begin_group(scan);
	} else {
		mailbox->at |= c == '@';
		scan->doubtful |= c == '>' || c == '\\';
		add(scan, c);
	}
}

int
mail_address_list(struct pn_slice value, mail_address_fn *each, void *arg)
{
	struct scan scan = { .value = value, .each = each, .arg = arg };

	begin(&scan.mailbox);
	while (scan.next < value.len) {
		char c = value.data[scan.next];

		if (c == '(') {
			skip_comment(&scan);
		} else if (c == '"' || c == '[') {
			copy_until(&scan, c == '"' ? '"' : ']');
		} else {
			scan.next++;
			step(&scan, c);
		}
	}
	finish(&scan);
	return scan.doubtful || scan.group ? -EBADMSG : 0;
}
